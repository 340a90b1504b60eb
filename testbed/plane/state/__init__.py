"""The state of all qubits: one engine, exact or sampled per group, and the noise it applies.

Importing this package registers the formalism 'bellwire' with SeQUeNCe.
"""

from testbed.plane.state.engine import FORMALISM, StateEngine
from testbed.plane.state.gates import (
    CX,
    CZ,
    NAMED,
    SDG,
    SWAP,
    SX,
    TDG,
    H,
    S,
    T,
    X,
    Y,
    Z,
    controlled_phase,
    rotation,
)
from testbed.plane.state.noise import depolarising1, depolarising2, read_out

__all__ = [
    "CX",
    "CZ",
    "FORMALISM",
    "NAMED",
    "SDG",
    "SWAP",
    "SX",
    "TDG",
    "H",
    "S",
    "StateEngine",
    "T",
    "X",
    "Y",
    "Z",
    "controlled_phase",
    "depolarising1",
    "depolarising2",
    "read_out",
    "rotation",
]
