"""Test rounds on paper: what measuring both halves of pairs says of their fidelity, with an error bar.

What may live here: that arithmetic, for pairs of links and of circuits alike.

A test round measures both halves of a pair in equal bases, after all that a pair of a user goes through.  With the
pair's Bell index b = (x << 1) | z the expected signs are <ZZ> = (-1)^x, <XX> = (-1)^z, <YY> = -(-1)^(x+z), and

    F = [1 + (-1)^x <ZZ> + (-1)^z <XX> - (-1)^(x+z) <YY>]/4

for any state.  Reading v = +-1 where s was true has the mean d + g s, with d = e1 - e0 and g = 1 - e0 - e1; so
(v_a - d_a)(v_b - d_b)/(g_a g_b) is in the mean the true correlation: readout error is undone round by round, and
pairs of either Bell index go into one mean once the frame has given them their sign.
"""

from math import sqrt
from typing import Final, NamedTuple

from protocols.wire.codec import BellIndex, EgpTest

DEVIATIONS: Final = 2.5758
"""Half width of every error bar in standard deviations: 99 % of a normal distribution."""

LEAST_ROUNDS: Final = 8
"""Of each of the three bases, before test rounds say anything."""


class Estimate(NamedTuple):
    """A fidelity and the half width of its error bar, both of 2^32 - 1."""

    fidelity: int
    error: int


class Tally:
    """Test rounds of one sort of pair: per basis their number, how often the sign was wrong, the sum of corrected
    correlations."""

    __slots__ = ("errors", "rounds", "sums")

    def __init__(self) -> None:
        self.rounds = [0, 0, 0]
        self.errors = [0, 0, 0]
        self.sums = [0.0, 0.0, 0.0]

    def add(
        self,
        test: EgpTest,
        expected: int,
        outcomes: tuple[int, int],
        readouts: tuple[tuple[float, float], tuple[float, float]],
    ) -> None:
        """One round: the sign of a perfect pair, both outcomes as read, both nodes' readout errors."""
        (shift_a, scale_a), (shift_b, scale_b) = map(shift_scale, readouts)
        a, b = (1 - 2 * outcome for outcome in outcomes)
        basis = test - 1
        self.rounds[basis] += 1
        self.errors[basis] += expected * a * b < 0
        self.sums[basis] += expected * (a - shift_a) * (b - shift_b) / (scale_a * scale_b)

    def fidelity(self, scale: float) -> tuple[float, float] | None:
        """(F, standard deviation), or None: too few rounds.

        The variance is 1/4 sum Q(1-Q)/n over the error rates of the three bases, scaled up by what undoing readout
        error costs.  Q is taken as (errors + 1)/(rounds + 2): no error in few rounds does not mean that there are none.
        """
        if min(self.rounds) < LEAST_ROUNDS:
            return None
        mean = 1.0
        variance = 0.0
        for rounds, errors, total in zip(self.rounds, self.errors, self.sums, strict=True):
            mean += total / rounds
            rate = (errors + 1) / (rounds + 2)
            variance += rate * (1 - rate) / rounds
        return mean / 4, sqrt(variance / 4) / scale


def shift_scale(readout: tuple[float, float]) -> tuple[float, float]:
    """(d, g) of a reading's mean d + g s."""
    zero, one = readout
    return one - zero, 1 - zero - one


def sign(test: EgpTest, bell: BellIndex) -> int:
    """The correlation that the pair would have if it were perfect."""
    x, z = bell >> 1, bell & 1
    if test == EgpTest.ZZ:
        return 1 - 2 * x
    if test == EgpTest.XX:
        return 1 - 2 * z
    return 2 * (x ^ z) - 1
