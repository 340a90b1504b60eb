"""Barrett-Kok (double click): two rounds, one click in each, with all spins flipped in between.

Same detector twice heralds Psi+, different detectors Psi-.
"""

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator

from testbed.plane.links.interference import click_masks, heralded_state
from testbed.plane.links.model import PSI_PLUS, Done, Grade, Herald, LinkParameters, Optics, draw_first
from testbed.plane.links.photonic import Bench
from testbed.plane.state.gates import Complex

if TYPE_CHECKING:
    from sequence.kernel.timeline import Timeline


def success_probability(optics: Optics) -> float:
    """p of one attempt, exact for threshold detectors: (1-P)^2 [ab/2 + 2P(u + ab(1+M)/4) + 4P^2 v].

    u = a + b - 2ab: one of two photons is detected; v = (1-a)(1-b): none is. Barrett and Kok,
    PRA 71, 060310 (2005), with dark counts.
    """
    a, b, dark = optics.pa, optics.pb, optics.dark
    u, v = a + b - 2 * a * b, (1 - a) * (1 - b)
    chance = a * b / 2 + 2 * dark * (u + a * b * (1 + optics.visibility) / 4) + 4 * dark**2 * v
    return (1 - dark) ** 2 * chance


def heralded_fidelity(optics: Optics) -> float:
    """Fidelity at emission to the heralded Bell state: (1-P)^2 [ab(1+M)/4 + Pu/2 + P^2 v]/p; 0 if p is 0.

    Without dark counts (1+M)/2. The form after Dhara et al. (2023) writes V for the overlap of amplitudes,
    so that M = V^2.
    """
    p = success_probability(optics)
    if p == 0:
        return 0.0
    a, b, dark = optics.pa, optics.pb, optics.dark
    u, v = a + b - 2 * a * b, (1 - a) * (1 - b)
    return (1 - dark) ** 2 * (a * b * (1 + optics.visibility) / 4 + dark * u / 2 + dark**2 * v) / p


class BarrettKok:
    """A double-click link; `alpha` has no meaning here and is ignored throughout."""

    rounds = 2

    def __init__(
        self,
        parameters: LinkParameters,
        grade: Grade = "sampled",
        name: str = "link",
        seed: int = 0,
        priority: int = 0,
    ) -> None:
        self.parameters, self.grade, self.optics = parameters, grade, parameters.optics
        self._bench = Bench(parameters, self.rounds, name, seed, priority)
        self._p = success_probability(self.optics)

    @property
    def attempt_ps(self) -> int:
        return self.parameters.round_gap_ps + self.parameters.window_ps

    def success_probability(self, alpha: float = 0.5) -> float:
        return self._p

    def heralded_fidelity(self, alpha: float = 0.5) -> float:
        return heralded_fidelity(self.optics)

    def estimate(self, alpha: float = 0.5) -> float:
        """A node knows its link's efficiency, dark counts and visibility: it may evaluate the law."""
        return heralded_fidelity(self.optics)

    def draw_attempts(self, rng: Generator, alpha: float = 0.5) -> int:
        return draw_first(rng, self._p)

    def draw_state(self, rng: Generator, alpha: float = 0.5) -> Herald:
        psi = int(rng.random() < 0.5)
        return PSI_PLUS + psi, self._states[psi]

    @cached_property
    def _states(self) -> tuple[Complex, Complex]:
        """Heralded states for Psi+ and Psi-; the two click patterns behind each give the same state."""
        optics = self.optics
        masks = click_masks(optics.pa, optics.pb, optics.visibility)
        first = np.full((4, 4), 0.25, np.complex128) * masks.observed(0, optics.dark)
        flipped = first[::-1, ::-1]
        return (
            heralded_state(flipped * masks.observed(0, optics.dark)),
            heralded_state(flipped * masks.observed(1, optics.dark)),
        )

    def start_attempt(self, timeline: "Timeline", slot_ps: int, alpha: float, done: Done) -> None:
        self._bench.start(timeline, slot_ps, 0.5, done)
