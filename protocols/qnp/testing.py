"""Test rounds between the ends of a circuit, and halves measured in a basis.

What may live here: which pairs are tested, what the tests say, and how a half is measured.
"""

from math import pi
from typing import Final

from protocols.chance import drawn
from protocols.correlations import DEVIATIONS, Estimate, Tally, shift_scale, sign
from protocols.device import Program
from protocols.qnp.sketch import FULL
from protocols.wire.codec import BellIndex, EgpBasis, EgpTest, PairUse

TESTS: Final = {
    PairUse.TEST_X: (EgpTest.XX, EgpBasis.X),
    PairUse.TEST_Y: (EgpTest.YY, EgpBasis.Y),
    PairUse.TEST_Z: (EgpTest.ZZ, EgpBasis.Z),
}
"""What both ends measure, as messages of this family say it and as the link layer does."""

_IN_TURN: Final = tuple(TESTS)
_EIGHTH: Final = pi / 4


class Tests:
    """Those of one request, at its head."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._begun = 0

    def use(self, key: str, share: int) -> PairUse:
        """What becomes of the next pair: each is tested by a chance of its own, X, Y and Z in turn."""
        if not share or drawn(key, 4) >= share:
            return PairUse.DELIVER
        self._begun += 1
        return _IN_TURN[self._begun % len(_IN_TURN)]

    def record(
        self,
        test: EgpTest,
        bell: int,
        outcomes: tuple[int, int],
        readouts: tuple[tuple[float, float], tuple[float, float]],
    ) -> tuple[int, Estimate | None]:
        """One round; how many there are, and what all of them say, with its error bar at 99 %."""
        tally = self._tally
        tally.add(test, sign(test, BellIndex(bell)), outcomes, readouts)
        scale = shift_scale(readouts[0])[1] * shift_scale(readouts[1])[1]
        found = tally.fidelity(scale)
        rounds = sum(tally.rounds)
        if found is None:
            return rounds, None
        fidelity, deviation = found
        half = min(round(DEVIATIONS * deviation * FULL), FULL)
        return rounds, Estimate(round(min(max(fidelity, 0.0), 1.0) * FULL), half)


def measuring(qubit: int, basis: EgpBasis) -> Program:
    """A half is measured in a basis, and given back."""
    program = Program()
    match basis:
        case EgpBasis.X:
            program.h(qubit)
        case EgpBasis.Y:
            program.sdg(qubit).h(qubit)
        case EgpBasis.ZPLUSX:
            program.ry(qubit, -_EIGHTH)
        case EgpBasis.ZMINUSX:
            program.ry(qubit, _EIGHTH)
        case _:
            pass
    return program.measure(qubit).release(qubit)


def folded(basis: EgpBasis, outcome: int, index: int) -> int:
    """The outcome as if the pair had been |Phi+>: what its Pauli frame did to this half is undone."""
    x, z = index >> 1 & 1, index & 1
    flip = {EgpBasis.X: z, EgpBasis.Y: x ^ z, EgpBasis.Z: x}[basis]
    return outcome ^ flip
