"""What a switch on the photons' way does to a heralded pair, on top of the loss that enters every law.

What may live here: white noise, in both grades: a heralded state becomes k rho + (1 - k) 1/4, and its w = (4F - 1)/3
k times as large.  The cost of a switch is quoted for a perfect pair, F = 1 - cost: k = 1 - 4 cost/3, so that "at most
4 % fidelity degradation" is w x .9467 for a pair of any fidelity.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator

from testbed.plane.links.model import ON_TIME, Arrivals, Brightness, Done, Grade, Herald, LinkModel, LinkParameters
from testbed.plane.state.gates import Complex

if TYPE_CHECKING:
    from sequence.kernel.timeline import Timeline

MOST_COST = 0.75
"""Of a switch that leaves nothing: F = 1/4."""


def werner_factor(fidelity_cost: float) -> float:
    """k, by which w = (4F - 1)/3 shrinks; ValueError beyond 0 .. 3/4."""
    if not 0.0 <= fidelity_cost <= MOST_COST:
        raise ValueError(f"fidelity_cost: {fidelity_cost} is not within 0 and {MOST_COST}")
    return 1.0 - fidelity_cost / MOST_COST


class Switched:
    """A link of any kind whose photons pass a switch; `parameters.fidelity_cost` says what that costs."""

    def __init__(self, link: LinkModel) -> None:
        self._link = link
        self._k = werner_factor(link.parameters.fidelity_cost)
        self.parameters: LinkParameters = link.parameters
        self.grade: Grade = link.grade
        self._states = lru_cache(maxsize=256)(self._noisy)

    @property
    def attempt_ps(self) -> int:
        return self._link.attempt_ps

    @property
    def births_ps(self) -> tuple[int, int]:
        return self._link.births_ps

    def success_probability(self, alpha: Brightness) -> float:
        return self._link.success_probability(alpha)

    def heralded_fidelity(self, alpha: Brightness) -> float:
        return 0.25 + self._k * (self._link.heralded_fidelity(alpha) - 0.25)

    def estimate(self, alpha: Brightness) -> float:
        return 0.25 + self._k * (self._link.estimate(alpha) - 0.25)

    def draw_attempts(self, rng: Generator, alpha: Brightness) -> int:
        return self._link.draw_attempts(rng, alpha)

    def draw_state(self, rng: Generator, alpha: Brightness) -> Herald:
        outcome, state = self._link.draw_state(rng, alpha)
        return outcome, self._states(state.tobytes())

    def renew(self) -> None:
        self._link.renew()

    def arriving(self, arrivals: Arrivals) -> "Switched":
        return self if arrivals == ON_TIME else Switched(self._link.arriving(arrivals))

    def ceiling(self, alpha: Brightness) -> float:
        return self._link.ceiling(alpha)

    def start_attempt(
        self, timeline: "Timeline", slot_ps: int, alpha: Brightness, done: Done, arrivals: Arrivals | None = None
    ) -> None:
        def noisy(herald: Herald | None) -> None:
            done(None if herald is None else (herald[0], self._noisy(herald[1].tobytes())))

        self._link.start_attempt(timeline, slot_ps, alpha, noisy, arrivals)

    def _noisy(self, state: bytes) -> Complex:
        rho: Complex = self._k * np.frombuffer(state, np.complex128).reshape(4, 4) + (1 - self._k) / 4 * np.eye(4)
        rho.setflags(write=False)
        return rho
