"""Single click: both nodes weakly bright, one photon heralds; the detector that clicks names Psi+ or Psi-."""

from collections.abc import Callable
from functools import cached_property, lru_cache
from math import exp, log, sqrt
from typing import TYPE_CHECKING, Final

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
    both,
    draw_first,
)
from testbed.plane.links.timing import Retimed
from testbed.plane.state.gates import Complex

if TYPE_CHECKING:
    from sequence.kernel.timeline import Timeline

    from testbed.plane.links.photonic import Bench


def populations(alpha_a: float, alpha_b: float, optics: Optics) -> tuple[float, float, float, float]:
    """(p_uu, p_ud, p_du, p_dd): one click, and both bright, only a, only b, neither; threshold detectors.

    With q = 1 - p_dc (no dark count in the other detector) and k = 2 p_dc q (one dark count alone).
    """
    a, b = optics.pa, optics.pb
    q = 1.0 - optics.dark
    k = 2.0 * optics.dark * q
    clicks = k * (1 - a) * (1 - b) + q * (a * (1 - b) + b * (1 - a)) + q * a * b * (1 + optics.visibility) / 2
    ud = alpha_a * (1 - alpha_b) * (q * a + k * (1 - a))
    du = alpha_b * (1 - alpha_a) * (q * b + k * (1 - b))
    return alpha_a * alpha_b * clicks, ud, du, (1 - alpha_a) * (1 - alpha_b) * k


def success_probability(alpha_a: float, alpha_b: float, optics: Optics) -> float:
    """p of one attempt, exact: p_uu + p_ud + p_du + p_dd."""
    return sum(populations(alpha_a, alpha_b, optics))


def heralded_fidelity(alpha_a: float, alpha_b: float, optics: Optics) -> float:
    """Exact fidelity at emission: [(p_ud + p_du)/2 + q kappa sqrt(M aA(1-aA) aB(1-aB) pA pB)]/p; 0 if p is 0.

    q = 1 - p_dc. Only photons are coherent: a dark count adds population and nothing else.
    """
    uu, ud, du, dd = populations(alpha_a, alpha_b, optics)
    p = uu + ud + du + dd
    if p == 0:
        return 0.0
    bright = alpha_a * (1 - alpha_a) * alpha_b * (1 - alpha_b)
    amplitude = sqrt(optics.visibility * bright * optics.pa * optics.pb)
    return ((ud + du) / 2 + (1 - optics.dark) * optics.coherence * amplitude) / p


def estimated_fidelity(alpha_a: float, alpha_b: float, optics: Optics) -> float:
    """What a node may estimate: the estimator of Humphreys et al., Nature 558, 268 (2018), SI.

    The SIGCOMM 2019 link layer uses it. It takes dark counts for coherent, which puts it about .001 above the exact law
    where photons are rare, as in the links it was published for; and it lets two photons always leave by one port, as
    if M were 1, which puts it below where they are not rare: by .0024 at pA = pB = .3, M = .8, alpha = .2.
    The published form has no coherence factor; here kappa scales its second term.
    """
    a, b = optics.pa, optics.pb
    none = (1 - optics.dark) ** 2
    some = 1 - none
    uu = alpha_a * alpha_b * (none * (a + b - a * b) + some * (1 - a) * (1 - b))
    ud = alpha_a * (1 - alpha_b) * (none * a + some * (1 - a))
    du = alpha_b * (1 - alpha_a) * (none * b + some * (1 - b))
    p = uu + ud + du + (1 - alpha_a) * (1 - alpha_b) * some
    return ((ud + du) / 2 + optics.coherence * sqrt(optics.visibility * ud * du)) / p if p else 0.0


_GOLDEN: Final = (sqrt(5) - 1) / 2
_LEAST_ALPHA: Final = 1e-9


def best_alpha(optics: Optics) -> float:
    """The bright-state population, alike at both nodes, with the largest exact fidelity; at least 1e-9.

    Without dark counts the less bright the better, and the least there is comes out. To leading order:
    transducer.best_alpha.
    """
    return brightness_of_peak(lambda alpha: heralded_fidelity(alpha, alpha, optics), 0.5)


def brightness_of_peak(fidelity: Callable[[float], float], most: float) -> float:
    """Where a fidelity is largest that rises from dark counts' to a peak and falls again: by golden section."""
    # On a logarithmic scale, since peaks lie where alpha equals a dark count's probability.
    low, high = log(_LEAST_ALPHA), log(most)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = (fidelity(exp(x)) for x in (left, right))
    while high - low > 1e-9:
        if at_left > at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = fidelity(exp(left))
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = fidelity(exp(right))
    return exp((low + high) / 2)


def brightest_alpha(optics: Optics, fidelity: float) -> float | None:
    """The largest bright-state population, alike at both nodes, whose exact fidelity is that much; None if none is.

    Where photons are often lost the rate grows with alpha, so that a request for a fidelity is served fastest by it.
    """
    low, high = best_alpha(optics), 1.0
    if heralded_fidelity(low, low, optics) < fidelity:
        return None
    # Beyond its peak the fidelity falls.
    for _ in range(60):
        middle = (low + high) / 2
        if heralded_fidelity(middle, middle, optics) >= fidelity:
            low = middle
        else:
            high = middle
    return low


class SingleClick(Retimed):
    """A single-click link; alpha is the bright-state population of both nodes, or a pair of them."""

    rounds = 1

    def __init__(self, parameters: LinkParameters, grade: Grade = "sampled", ident: LinkId = ALONE) -> None:
        super().__init__(parameters, grade, ident)
        self.optics = parameters.optics
        # A link sees few different alphas, and asks for each of them per pair.
        self._states = lru_cache(maxsize=256)(self._heralded_states)

    @cached_property
    def _bench(self) -> "Bench":
        # Imported when a photon is to fly: the closed forms need no simulator, whose import takes a second.
        from testbed.plane.links.photonic import Bench

        return Bench(self.parameters, self.rounds, self.ident)

    @property
    def attempt_ps(self) -> int:
        return self.parameters.window_ps

    @property
    def births_ps(self) -> tuple[int, int]:
        """Each half is there from its node's first emission."""
        return self.parameters.emissions_ps

    def success_probability(self, alpha: Brightness) -> float:
        return success_probability(*both(alpha), self.optics)

    def heralded_fidelity(self, alpha: Brightness) -> float:
        return heralded_fidelity(*both(alpha), self.optics)

    def estimate(self, alpha: Brightness) -> float:
        return estimated_fidelity(*both(alpha), self.optics)

    def best_alpha(self) -> float:
        """The brightness of both nodes with the largest fidelity."""
        return best_alpha(self.optics)

    def draw_attempts(self, rng: Generator, alpha: Brightness) -> int:
        return draw_first(rng, success_probability(*both(alpha), self.optics))

    def draw_state(self, rng: Generator, alpha: Brightness) -> Herald:
        psi = int(rng.random() < 0.5)
        return PSI_PLUS + psi, self._states(alpha)[psi]

    def _heralded_states(self, alpha: Brightness) -> tuple[Complex, Complex]:
        """Heralded states for Psi+ and Psi-."""
        optics = self.optics
        masks = click_masks(optics.pa, optics.pb, optics.visibility, optics.coherence)
        node_a, node_b = (np.array([sqrt(1 - x), sqrt(x)], np.complex128) for x in both(alpha))
        ket = np.kron(node_a, node_b)
        emitted = np.multiply.outer(ket, ket)
        return (
            heralded_state(emitted * masks.observed(0, optics.dark)),
            heralded_state(emitted * masks.observed(1, optics.dark)),
        )

    def renew(self) -> None:
        pass  # attempts are independent

    def start_attempt(
        self, timeline: "Timeline", slot_ps: int, alpha: Brightness, done: Done, arrivals: Arrivals | None = None
    ) -> None:
        self._bench.start(timeline, slot_ps, alpha, done, arrivals)
