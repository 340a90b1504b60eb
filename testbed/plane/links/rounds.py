"""Barrett-Kok that gives up after a first round without a click: a slot is a round, not an attempt.

Slots in which both nodes emit must be so far apart that the station has told them of the one before (tau_l + tau_0).
After one click the next such slot is the second round; after none, or two, it is another first one. So an attempt
takes 1 + P1 of them on average, P1 being the chance of one click in a first round, instead of two.

What may live here: that class. The station owns the state: a train that follows at once on another one's last round,
which had its click, begins with a second round that heralds nothing.
"""

from typing import TYPE_CHECKING, override

from numpy.random import Generator

from testbed.plane.links.barrett_kok import BarrettKok, first_round_probability
from testbed.plane.links.model import (
    ALONE,
    NEVER_ATTEMPT,
    Arrivals,
    Brightness,
    Done,
    Grade,
    LinkId,
    LinkParameters,
    draw_first,
)

if TYPE_CHECKING:
    from sequence.kernel.timeline import Timeline


class BarrettKokRounds(BarrettKok):
    """`round_gap_ps` is the least distance of rounds, a slot. Halves live from the first round's emission on."""

    def __init__(self, parameters: LinkParameters, grade: Grade = "sampled", ident: LinkId = ALONE) -> None:
        super().__init__(parameters, grade, ident)
        self._first = first_round_probability(self.optics)

    @property
    @override
    def attempt_ps(self) -> int:
        return self.parameters.window_ps

    @property
    @override
    def births_ps(self) -> tuple[int, int]:
        a, b = self.parameters.emissions_ps
        return a - self.parameters.round_gap_ps, b - self.parameters.round_gap_ps

    @override
    def success_probability(self, alpha: Brightness = 0.5) -> float:
        """Heralds per slot: p/(1 + P1)."""
        return self._p / (1 + self._first)

    @override
    def draw_attempts(self, rng: Generator, alpha: Brightness = 0.5) -> int:
        """Slots up to and with the second round that heralds: two for it, one or two for each attempt before."""
        attempts = draw_first(rng, self._p)
        if attempts == NEVER_ATTEMPT:
            return NEVER_ATTEMPT
        failed = attempts - 1
        second = (self._first - self._p) / (1 - self._p) if failed else 0.0
        return failed + int(rng.binomial(failed, second)) + 2

    @override
    def start_attempt(
        self, timeline: "Timeline", slot_ps: int, alpha: Brightness, done: Done, arrivals: Arrivals | None = None
    ) -> None:
        self._bench.start_round(timeline, slot_ps, done, arrivals)
