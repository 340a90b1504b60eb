"""Transducer links: single click over up-conversion, and blue-detuned pair generation.

Up-conversion with thermal noise N in the photon's own mode is single click with eta N added to each detector's
dark counts (LinkParameters.noise_photons). Pair generation starts each microwave mode thermal, with n photons.
"""

from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING, Self, override

import numpy as np
from numpy.random import Generator

from testbed.keyed import keyed_generator
from testbed.plane.links import single_click
from testbed.plane.links.interference import heralded_state
from testbed.plane.links.model import (
    ALONE,
    Arrivals,
    Brightness,
    Done,
    Grade,
    Herald,
    LinkId,
    LinkParameters,
    both,
    draw_first,
)
from testbed.plane.links.single_click import SingleClick
from testbed.plane.state.gates import Complex

if TYPE_CHECKING:
    from sequence.kernel.timeline import Timeline


class TransducerUpconversion(SingleClick):
    """Single click; `noise_photons` is N, `efficiency_a`, `efficiency_b` the whole chain of conversion."""

    def __init__(self, parameters: LinkParameters, grade: Grade = "sampled", ident: LinkId = ALONE) -> None:
        if parameters.thermal_click >= 1:
            raise ValueError(
                f"noise_photons: {parameters.thermal_click:g} of them per detector and window, after all losses,"
                " is not less than 1"
            )
        super().__init__(parameters, grade, ident)

    @override
    def estimate(self, alpha: Brightness) -> float:
        """The published estimator takes noise for coherent: by much, where there is much of it. A node knows N."""
        return self.heralded_fidelity(alpha)


def extracted(rho: Complex, a: float, b: float) -> Complex:
    """What two qubits hold of a state of two microwave modes, of which a photon gets through with chance a, and b.

    Amplitude damping of either half (Nielsen and Chuang 2000, 8.3.5).
    """
    if a == b == 1.0:
        return rho
    kept: Complex = np.zeros((4, 4), np.complex128)
    for ka in _damping(a):
        for kb in _damping(b):
            kraus = np.kron(ka, kb)
            kept += kraus @ rho @ kraus.conj().T
    return kept


def _damping(share: float) -> tuple[Complex, Complex]:
    stays, goes = np.diag([1.0, sqrt(share)]), np.array([[0.0, sqrt(1 - share)], [0.0, 0.0]])
    return stays.astype(np.complex128), goes.astype(np.complex128)


def mean_pair(alpha: float, n: float) -> float:
    """<min(1, alpha (k + 1))> over a thermal k of mean n: alpha (1 + n), less where many photons make a pair certain.

    k is j or more with chance x^j, x = n/(1 + n): each j adds alpha, up to the K-th, beyond which it adds the rest.
    """
    if alpha <= 0:
        return 0.0
    most = int(1 / alpha)
    beyond = (n / (1 + n)) ** most
    return alpha * (1 + n) * (1 - beyond) + (1 - alpha * most) * beyond


class TransducerPair(SingleClick):
    """Blue-detuned: alpha is the chance of a pair from vacuum, `noise_photons` n of the microwave mode.

    From k photons the pair is k + 1 times as likely, at most certain, and the state leaves the qubit: that leakage
    is booked as |11>, which no Bell state heralded here overlaps. A microwave photon that does not get into its
    qubit (`extraction_a`, `extraction_b`) leaves it in |0>, whatever the optical one does. Leading order in alpha:
    p = 2 eta alpha (1+n), F = extraction/(1+n)^3 with both alike at both ends.
    """

    def __init__(self, parameters: LinkParameters, grade: Grade = "sampled", ident: LinkId = ALONE) -> None:
        # n is no noise in the optical mode: it makes no click by itself.
        quiet = replace(parameters, noise_photons=0.0, noise_photons_b=None)
        super().__init__(quiet, grade, ident)
        self._n = parameters.noise
        self._cold = 1 / ((1 + self._n[0]) * (1 + self._n[1]))
        """Chance that both microwave modes start empty."""
        self._photon_rng = keyed_generator(ident.seed, "photonic", ident.name, "thermal")

    @override
    def altered(self, **changes: float) -> Self:
        quanta = {"noise_photons": self._n[0], "noise_photons_b": self._n[1]}
        return super().altered(**(quanta | changes))

    def _bright(self, alpha: Brightness) -> tuple[float, float]:
        """Mean chance of a pair at each node, in which the chance of a click is linear."""
        if max(x * (1 + n) for x, n in zip(both(alpha), self._n, strict=True)) > 1:
            raise ValueError(f"alpha: {alpha} (1 + n) is more than 1")
        a, b = (mean_pair(x, n) for x, n in zip(both(alpha), self._n, strict=True))
        return a, b

    @override
    def best_alpha(self) -> float:
        """Where its own law has the largest fidelity, among those that there can be."""
        return single_click.brightness_of_peak(self.heralded_fidelity, min(0.5, 1 / (1 + max(self._n))))

    @property
    def _extractions(self) -> tuple[float, float]:
        return self.parameters.extraction_a, self.parameters.extraction_b

    @override
    def success_probability(self, alpha: Brightness) -> float:
        return single_click.success_probability(*self._bright(alpha), self.optics)

    @override
    def heralded_fidelity(self, alpha: Brightness) -> float:
        """The single-click law's terms, each with the chance that what is bright stays so, and is all that does."""
        p = self.success_probability(alpha)
        if not p:
            return 0.0
        uu, ud, du, _ = single_click.populations(*both(alpha), self.optics)
        a, b = self._extractions
        one = (a * (ud + (1 - b) * uu) + b * (du + (1 - a) * uu)) / 2
        # What the law holds beside its populations is coherence, of one photon's loss at either end.
        coherent = super().success_probability(alpha) * super().heralded_fidelity(alpha) - (ud + du) / 2
        return (one + sqrt(a * b) * coherent) * self._cold / p

    @override
    def estimate(self, alpha: Brightness) -> float:
        return self.heralded_fidelity(alpha)

    @override
    def draw_attempts(self, rng: Generator, alpha: Brightness) -> int:
        return draw_first(rng, self.success_probability(alpha))

    @override
    def draw_state(self, rng: Generator, alpha: Brightness) -> Herald:
        outcome, emitted = super().draw_state(rng, alpha)
        clean = extracted(emitted, *self._extractions)
        share = super().success_probability(alpha) * self._cold / self.success_probability(alpha)
        rho: Complex = clean * share
        rho[3, 3] += 1 - share
        return outcome, heralded_state(rho)

    @override
    def start_attempt(
        self, timeline: "Timeline", slot_ps: int, alpha: Brightness, done: Done, arrivals: Arrivals | None = None
    ) -> None:
        k, m = (int(self._photon_rng.geometric(1 / (1 + n))) - 1 for n in self._n)

        def clean(herald: Herald | None) -> None:
            done(None if herald is None else (herald[0], extracted(herald[1], *self._extractions)))

        if k == m == 0:
            super().start_attempt(timeline, slot_ps, alpha, clean, arrivals)
            return
        alpha_a, alpha_b = both(alpha)
        brights = min(1.0, alpha_a * (k + 1)), min(1.0, alpha_b * (m + 1))

        def leaked(herald: Herald | None) -> None:
            rho = np.zeros((4, 4), complex)
            rho[3, 3] = 1.0
            done(None if herald is None else (herald[0], rho))

        self._bench.start(timeline, slot_ps, brights, leaked, arrivals)
