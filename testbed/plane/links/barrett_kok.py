"""Barrett-Kok (double click): two rounds, one click in each, with all spins flipped in between.

Same detector twice heralds Psi+, different detectors Psi-.
"""

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator

from testbed.plane.links.interference import click_masks, heralded_state
from testbed.plane.links.model import (
    ALONE,
    PSI_PLUS,
    Arrivals,
    Brightness,
    Done,
    Grade,
    Herald,
    LinkId,
    LinkParameters,
    Optics,
    draw_first,
)
from testbed.plane.links.timing import Retimed
from testbed.plane.state.gates import Complex

if TYPE_CHECKING:
    from sequence.kernel.timeline import Timeline

    from testbed.plane.links.photonic import Bench


def success_probability(optics: Optics) -> float:
    """p of one attempt, exact for threshold detectors: (1-P)^2 [ab/2 + 2P(u + ab(1+M)/4) + 4P^2 v].

    u = a + b - 2ab: one of two photons is detected; v = (1-a)(1-b): none is. Barrett and Kok,
    PRA 71, 060310 (2005), with dark counts.
    """
    if optics.dead:
        return _blind(optics)[0]
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
    if optics.dead:
        return _blind(optics)[1] / p
    a, b, dark = optics.pa, optics.pb, optics.dark
    u, v = a + b - 2 * a * b, (1 - a) * (1 - b)
    alike = optics.visibility * optics.rounds_coherence
    return (1 - dark) ** 2 * (a * b * (1 + alike) / 4 + dark * u / 2 + dark**2 * v) / p


def first_round_probability(optics: Optics) -> float:
    """P1 that the first round shows exactly one click; without dark counts and for equal arms

    e/2 + (e^2 (1+M)/2 + 2e(1-e))/4. A link that gives up after a round without a click makes an attempt per
    (tau_l + tau_0)(1 + P1) instead of 2(tau_l + tau_0).
    """
    masks = click_masks(optics.pa, optics.pb, optics.visibility)
    return float(sum(np.trace(masks.observed(detector, optics.dark)) for detector in (0, 1)) / 4)


def blind_state(optics: Optics) -> Complex:
    """Unnormalised state after two different detectors, the first being blind in the second round."""
    masks = click_masks(optics.pa, optics.pb, optics.visibility)
    first = np.full((4, 4), 0.25, np.complex128) * masks.observed(0, optics.dark)
    # The blind detector vetoes nothing: any pattern in which the other one clicks will do.
    second = masks.only[1] + masks.both + optics.dark * (masks.none + masks.only[0])
    state: Complex = first[::-1, ::-1] * second
    return _rounds(state, optics.rounds_coherence)


def _rounds(state: Complex, factor: float) -> Complex:
    state = state.copy()
    state[1, 2] *= factor
    state[2, 1] *= factor
    return state


def _blind(optics: Optics) -> tuple[float, float]:
    """(p, p F) with a dead time longer than the gap: only different detectors herald."""
    rho = blind_state(optics)
    p = float(np.trace(rho).real)
    match = float((rho[1, 1] + rho[2, 2] - rho[1, 2] - rho[2, 1]).real) / 2
    return 2 * p, 2 * match


class BarrettKok(Retimed):
    """A double-click link; `alpha` has no meaning here and is ignored throughout."""

    rounds, rails = 2, 1

    def __init__(self, parameters: LinkParameters, grade: Grade = "sampled", ident: LinkId = ALONE) -> None:
        if self.rounds == 2 and parameters.round_gap_ps <= parameters.window_ps:
            raise ValueError(
                f"round_gap_ps: {parameters.round_gap_ps} is not longer than window_ps {parameters.window_ps}"
            )
        super().__init__(parameters, grade, ident)
        optics = parameters.optics
        # Each node is bright in one of both rounds: if it then emits twice, that tells in which.
        once = optics.rounds_coherence * parameters.emitted_once
        self.optics = optics._replace(rounds_coherence=once)
        self._p = success_probability(self.optics)

    @cached_property
    def _bench(self) -> "Bench":
        # Imported when a photon is to fly: the closed forms need no simulator, whose import takes a second.
        from testbed.plane.links.photonic import Bench

        return Bench(self.parameters, self.rounds, self.ident, rails=self.rails, waits=self.parameters.abort)

    @property
    def first_rounds(self) -> int:
        """How many photonic attempts so far had one click in their first round."""
        return self._bench.first_rounds

    @property
    def attempt_ps(self) -> int:
        return self.parameters.round_gap_ps + self.parameters.window_ps

    @property
    def births_ps(self) -> tuple[int, int]:
        """Each half is there from its node's first emission."""
        return self.parameters.emissions_ps

    def success_probability(self, alpha: Brightness = 0.5) -> float:
        return self._p

    def heralded_fidelity(self, alpha: Brightness = 0.5) -> float:
        return heralded_fidelity(self.optics)

    def estimate(self, alpha: Brightness = 0.5) -> float:
        """A node knows its link's efficiency, dark counts and visibility: it may evaluate the law."""
        return heralded_fidelity(self.optics)

    def draw_attempts(self, rng: Generator, alpha: Brightness = 0.5) -> int:
        return draw_first(rng, self._p)

    def draw_state(self, rng: Generator, alpha: Brightness = 0.5) -> Herald:
        psi = 1 if self.optics.dead else int(rng.random() < 0.5)
        return PSI_PLUS + psi, self._states[psi]

    @cached_property
    def _states(self) -> tuple[Complex, Complex]:
        """Heralded states for Psi+ and Psi-; the two click patterns behind each give the same state."""
        optics = self.optics
        masks = click_masks(optics.pa, optics.pb, optics.visibility)
        first = np.full((4, 4), 0.25, np.complex128) * masks.observed(0, optics.dark)
        flipped = first[::-1, ::-1]
        if optics.dead:
            only = heralded_state(blind_state(optics))
            return only, only
        plus, minus = (
            heralded_state(_rounds(flipped * masks.observed(detector, optics.dark), optics.rounds_coherence))
            for detector in (0, 1)
        )
        return plus, minus

    def renew(self) -> None:
        self._bench.renew()

    def start_attempt(
        self, timeline: "Timeline", slot_ps: int, alpha: Brightness, done: Done, arrivals: Arrivals | None = None
    ) -> None:
        self._bench.start(timeline, slot_ps, 0.5, done, arrivals)
