"""A pair of qubits: its Bell states, what waiting and storing make of it, and the record of one that was heralded.

What may live here: what is true of two qubits, whichever link made them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from testbed.plane.config import DeviceModel
from testbed.plane.links import Arrivals
from testbed.plane.state.density import apply1, from_pauli, relaxation, to_pauli
from testbed.plane.state.gates import Complex
from testbed.plane.state.noise import depolarising2

_ROOT: Final = 2**-0.5
BELL_KETS: Final[tuple[Complex, ...]] = (
    np.array([_ROOT, 0, 0, _ROOT], complex),
    np.array([_ROOT, 0, 0, -_ROOT], complex),
    np.array([0, _ROOT, _ROOT, 0], complex),
    np.array([0, _ROOT, -_ROOT, 0], complex),
)
"""Φ+, Φ−, Ψ+, Ψ−, by Bell index."""


@dataclass(slots=True)
class HeraldedPair:
    """One success of a link, as it truly is."""

    link: int
    slot: int
    outcome: int
    """Bell index of the state that the herald names: 2 or 3."""
    a: tuple[int, int]
    """(node, index of the qubit) at the link's end a."""
    b: tuple[int, int]
    fidelity_at_emission: float
    heralds_home_ps: int
    """When both nodes could have heard of it."""
    fidelity_at_home: float
    """Fidelity when the heralds arrive: each half as its own node finds it, if neither touches it before; where a node
    has storage, when the half has been moved there."""
    arrivals: Arrivals | None = None
    """How late the two photons were, if the nodes have clocks of their own."""
    lost_ps: int | None = None
    """When an emission after the success, or the death of a node, destroyed a half."""
    measured: int = 0
    """How many of its halves were measured at emission: such a pair counts as it was then."""


def pair_fidelity(state: Complex, index: int) -> float:
    """Of a 4x4 state to the Bell state of that index."""
    ket = BELL_KETS[index]
    return float(np.vdot(ket, state @ ket).real)


def waited(
    state: Complex, waits_ps: tuple[int, int], models: tuple[DeviceModel, DeviceModel]
) -> Complex:
    """A pair in communication qubits of those devices after each half has waited so long (T1, T2)."""
    vector = to_pauli(np.asarray(state, complex))
    for axis, (wait_ps, model) in enumerate(zip(waits_ps, models, strict=True)):
        decay = relaxation(wait_ps, model.t1_communication_ps, model.t2_communication_ps)
        vector = apply1(vector, axis, axis == 1, decay)
    return from_pauli(vector)


def stored(
    state: Complex, models: tuple[DeviceModel, DeviceModel], moves: tuple[bool, bool] = (True, True)
) -> Complex:
    """A pair after each half of a device with storage, if it moves, has been moved there: INIT of the place, SWAP.

    A depolarising SWAP of Pauli probability p leaves one of its qubits with a Pauli in 12 of 15 cases, so its Bloch
    vector shrinks by 1 - 16 p/15.
    """
    vector = to_pauli(np.asarray(state, complex))
    for axis, (model, move) in enumerate(zip(models, moves, strict=True)):
        if not model.storage or not move:
            continue
        times = model.durations
        waiting = relaxation(times.init_ps, model.t1_communication_ps, model.t2_communication_ps)
        vector = apply1(vector, axis, axis == 1, waiting)
        fidelity = model.two_qubit_fidelity if model.swap_fidelity is None else model.swap_fidelity
        left = 1 - 16 * depolarising2(fidelity) / 15
        shrink = np.array([1.0, left, left, left])
        vector = (vector.reshape(4, 4) * (shrink[:, None] if axis == 0 else shrink)).reshape(vector.shape)
        vector = apply1(vector, axis, axis == 1, relaxation(times.swap_ps, model.t1_data_ps, model.t2_data_ps))
    return from_pauli(vector)
