"""The state of all qubits: one engine, exact or sampled per group, and the noise it applies.

Importing the engine registers the formalism 'bellwire' with SeQUeNCe; it is imported when it is first asked for, since
gates and noise serve whoever does without a simulator.
"""

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from testbed.plane.state.engine import FORMALISM, StateEngine
    from testbed.plane.state.stabilizer import NotClifford

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
    "NotClifford",
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


def __getattr__(name: str) -> Any:
    if name not in ("FORMALISM", "NotClifford", "StateEngine"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from testbed.plane.state import engine

    return getattr(engine, name)
