"""Many modes at once: in every slot a link tries several times, in frequency or in space, and one success is enough.

What may live here: that wrapper around any link class. Of several successes in a slot the first mode's counts; the
state is that of one heralded attempt.
"""

from functools import partial
from math import expm1, log1p
from typing import TYPE_CHECKING

from numpy.random import Generator

from testbed.plane.links.model import (
    ON_TIME,
    Arrivals,
    Brightness,
    Done,
    Grade,
    Herald,
    LinkModel,
    LinkParameters,
    draw_first,
)

if TYPE_CHECKING:
    from sequence.kernel.timeline import Timeline


class Modes:
    """`parameters.modes` attempts of `link` in every slot."""

    def __init__(self, link: LinkModel) -> None:
        self.link, self.count = link, link.parameters.modes
        self.parameters: LinkParameters = link.parameters
        self.grade: Grade = link.grade

    @property
    def attempt_ps(self) -> int:
        return self.link.attempt_ps

    @property
    def births_ps(self) -> tuple[int, int]:
        return self.link.births_ps

    def success_probability(self, alpha: Brightness) -> float:
        """1 - (1 - p)^modes."""
        one = self.link.success_probability(alpha)
        return -expm1(self.count * log1p(-one)) if one < 1 else 1.0

    def heralded_fidelity(self, alpha: Brightness) -> float:
        return self.link.heralded_fidelity(alpha)

    def estimate(self, alpha: Brightness) -> float:
        return self.link.estimate(alpha)

    def draw_attempts(self, rng: Generator, alpha: Brightness) -> int:
        return draw_first(rng, self.success_probability(alpha))

    def draw_state(self, rng: Generator, alpha: Brightness) -> Herald:
        return self.link.draw_state(rng, alpha)

    def renew(self) -> None:
        self.link.renew()

    def arriving(self, arrivals: Arrivals) -> "Modes":
        return self if arrivals == ON_TIME else Modes(self.link.arriving(arrivals))

    def ceiling(self, alpha: Brightness) -> float:
        one = self.link.ceiling(alpha)
        return -expm1(self.count * log1p(-one)) if one < 1 else 1.0

    def start_attempt(
        self, timeline: "Timeline", slot_ps: int, alpha: Brightness, done: Done, arrivals: Arrivals | None = None
    ) -> None:
        seen: list[Herald | None] = [None] * self.count
        left = self.count

        def hear(mode: int, herald: Herald | None) -> None:
            nonlocal left
            seen[mode] = herald
            left -= 1
            if not left:
                done(next((each for each in seen if each is not None), None))

        for mode in range(self.count):
            self.link.start_attempt(timeline, slot_ps, alpha, partial(hear, mode), arrivals)
