"""What the devices of one link have measured at heralded slots, and remember for a while (DEV-15, DEV-16).

What may live here: that. The law of the results is in measured.py.
"""

from typing import Final

import numpy as np
from numpy.random import Generator

from protocols.measuring import basis_at
from protocols.wire.codec import DeviceRemembered, EgpBasis
from testbed.plane.measured import both, effects, one
from testbed.plane.state import StateEngine
from testbed.plane.state.gates import Complex
from testbed.plane.train import Train

REMEMBERED: Final = 1_024
"""Results of heralded emissions that a device keeps per link."""


class Results:
    """By side, and by slot as the station numbers it, oldest first."""

    def __init__(self, engine: StateEngine, rng: Generator) -> None:
        self._engine = engine
        self._rng = rng
        self._results: tuple[dict[int, tuple[int, EgpBasis]], ...] = ({}, {})

    def recall(self, side: int, slot: int) -> DeviceRemembered:
        """What was measured after the emission for a slot (DEV-16)."""
        known = self._results[side].get(slot)
        return DeviceRemembered(0, 0, EgpBasis.Z) if known is None else DeviceRemembered(1, *known)

    def measure(self, couple: tuple[Train, Train], slot: int, state: Complex, births: tuple[int, int]) -> None:
        """One half, or both, of a heralded pair have been measured after their emission."""
        seen: list[tuple[Complex, Complex] | None] = [None, None]
        bases = [EgpBasis.Z, EgpBasis.Z]
        for side, train in enumerate(couple):
            if train.measure is not None:
                bases[side] = basis_at(train.measure, slot)
                seen[side] = effects(train.device, train.measure.how, bases[side])
        if seen[0] is not None and seen[1] is not None:
            bits: tuple[int, ...] = both(state, seen[0], seen[1], self._rng)
        else:
            side = 0 if seen[0] is not None else 1
            effect = seen[side]
            assert effect is not None
            bit, left = one(state, side, effect, self._rng)
            bits = (bit, bit)
            keeper = couple[1 - side]
            # A heralded state is put in by pairs: the partner here is a qubit of nobody's, gone at once.
            engine, born = self._engine, births[1 - side]
            nobody = engine.new_qubit(born)
            mixed = np.kron(np.eye(2) / 2, left).astype(np.complex128)
            engine.set_pair(nobody, keeper.key, mixed, born, born)
            engine.remove(nobody)
        for side in (0, 1):
            if seen[side] is not None:
                results = self._results[side]
                results[slot] = bits[side], bases[side]
                if len(results) > REMEMBERED:
                    del results[next(iter(results))]
