"""From measured offsets to a clock's rate: a proportional and an integral part, in integers.

What may live here: that arithmetic.  When to use it is node.py's business.
"""

from typing import Final

RATE_UNIT: Final = 10**15
"""Rates are integers in 1e-15."""

MOST_RATE: Final = RATE_UNIT // 100
"""No clock is made to run more than 1 % fast or slow."""

# Of an offset, three tenths are made up for in the next interval, and a twentieth is taken for an error of the rate.
# The loop forgets an error in about six intervals (poles of modulus 0.84); of an offset's noise it passes on a half.
_PROPORTIONAL: Final = (3, 10)
_INTEGRAL: Final = (1, 20)


class Servo:
    """`rate` is what has been right so far: the integral part."""

    def __init__(self, interval_ps: int) -> None:
        self.rate = 0
        self._interval_ps = interval_ps

    def learn(self, offset_ps: int, over_ps: int) -> int:
        """The clock has run off by so much in so long, at the present rate: the rate at which it does not."""
        self.rate = _within(self.rate + offset_ps * RATE_UNIT // over_ps)
        return self.rate

    def slew(self, offset_ps: int) -> int:
        """The rate for the next interval, the server's clock being `offset_ps` ahead."""
        share, of = _INTEGRAL
        self.rate = _within(self.rate + offset_ps * RATE_UNIT * share // (of * self._interval_ps))
        share, of = _PROPORTIONAL
        return _within(self.rate + offset_ps * RATE_UNIT * share // (of * self._interval_ps))


def _within(rate: int) -> int:
    return max(-MOST_RATE, min(MOST_RATE, rate))
