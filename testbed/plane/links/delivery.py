"""Links that deliver both halves of a pair as photons: a source in the middle, and sender to receiver.

A node flags a stored photon without measuring it; a dark flag (`dark_probability`, per node, or noise of its
converter) stores a random bit. The pair is Psi+. Visibility, arrival and phase are those of the two rails to
each other. What may live here: the law, and one attempt as events. In the photonic grade each photon is lost
or kept on its own, arrival and phase are drawn per attempt, and the state follows; no closed form is used.
"""

from cmath import rect
from collections.abc import Callable
from functools import partial
from math import exp, sqrt
from typing import TYPE_CHECKING, ClassVar, override

import numpy as np
from numpy.random import Generator

from testbed.keyed import keyed_generator
from testbed.plane.links.interference import heralded_state
from testbed.plane.links.model import (
    ALONE,
    ON_TIME,
    PSI_PLUS,
    Arrivals,
    Brightness,
    Done,
    Grade,
    Herald,
    LinkId,
    LinkParameters,
    draw_first,
)
from testbed.plane.links.timing import Retimed
from testbed.plane.state.gates import Complex

if TYPE_CHECKING:
    from sequence.kernel.timeline import Timeline


def delivered(
    a: float, b: float, dark_a: float, dark_b: float, visibility: float, mean_pairs: float
) -> Complex:
    """Unnormalised state at both nodes when both flag; its trace is the probability.

    mean_pairs n = 0: exactly one pair. Else two modes (rails) of two-mode squeezed vacuum with n pairs each on
    average, of which a node accepts exactly one photon: per mode, with x = n/(1+n) and y = x(1-a)(1-b),
    P00 = (1-x)/(1-y), P10 = (1-x) a x (1-b)/(1-y)^2, P11 = (1-x) a b x (1+y)/(1-y)^3, and the coherence of
    |00> and |11> (1-x) sqrt(x a b)/(1-y)^2. At low efficiency w = (1+n)/(1+3n).
    """
    state = np.zeros((4, 4), complex)
    if mean_pairs == 0:
        state[1, 1] = state[2, 2] = a * b / 2
        state[1, 2] = state[2, 1] = visibility * a * b / 2
        one_a, one_b, none = a * (1 - b), b * (1 - a), (1 - a) * (1 - b)
    else:
        x = mean_pairs / (1 + mean_pairs)
        y = x * (1 - a) * (1 - b)
        p00, p11 = (1 - x) / (1 - y), (1 - x) * a * b * x * (1 + y) / (1 - y) ** 3
        p10, p01 = ((1 - x) * own * x * (1 - other) / (1 - y) ** 2 for own, other in ((a, b), (b, a)))
        state[1, 1] = state[2, 2] = p00 * p11
        state[0, 0] = state[3, 3] = p10 * p01
        state[1, 2] = state[2, 1] = visibility * ((1 - x) * sqrt(x * a * b) / (1 - y) ** 2) ** 2
        one_a, one_b, none = 2 * p10 * p00, 2 * p01 * p00, p00**2
    # A dark flag keeps nothing of the pair, and the photon's partner alone is a random bit.
    state += np.eye(4) / 4 * (one_a * dark_b + one_b * dark_a + none * dark_a * dark_b)
    return state


class SourceMidpoint(Retimed):
    """Source in the middle: p = (eta_d T(L/2))^2 with one pair per slot; one attempt per tau_l + tau_0.

    A slot is the source's emission; the station knows when both flags have come back. `alpha` is ignored.
    """

    receiver_only: ClassVar[bool] = False
    meeting = False

    def __init__(self, parameters: LinkParameters, grade: Grade = "sampled", ident: LinkId = ALONE) -> None:
        super().__init__(parameters, grade, ident)
        known, timing = parameters, (parameters.offset_ps * 1e-12, parameters.jitter_ps * 1e-12)
        self._kept = known.detection_a * known.gate_a, known.detection_b * known.gate_b
        noise_a, noise_b = known.converter_noise
        self._noise = noise_a * known.detector_efficiency, noise_b * known.detector_efficiency
        self._pairs = known.mean_pairs
        if self.receiver_only:
            # The sender's half never travels: it is there, and the photon crosses both arms.
            through = known.transmission(known.arm_a_m + known.arm_b_m) * known.detector_efficiency
            self._kept = 1.0, known.efficiency_a * known.conversion_a * through * known.gate_b
            self._noise = 0.0, noise_a * through
            self._pairs = 0.0
        self._dark = 0.0 if self.receiver_only else known.dark_probability, known.dark_probability
        flag_a, flag_b = (1 - (1 - dark) * exp(-n) for dark, n in zip(self._dark, self._noise, strict=True))
        rails = known.coherence * exp(-(known.phase_sigma_rad**2) / 2)
        rails *= known.visibility * known.packets.mean_visibility(*timing)
        self._law = delivered(*self._kept, flag_a, flag_b, rails, self._pairs)
        self._p = float(np.trace(self._law).real)
        self._rng = keyed_generator(ident.seed, "photonic", ident.name, "delivery")

    @property
    def attempt_ps(self) -> int:
        return self.parameters.window_ps + 2 * max(self.parameters.arm_a_ps, self.parameters.arm_b_ps)

    @property
    def births_ps(self) -> tuple[int, int]:
        """Both halves are stored when they arrive."""
        return self.parameters.arm_a_ps, self.parameters.arm_b_ps

    def success_probability(self, alpha: Brightness = 0.5) -> float:
        return self._p

    def heralded_fidelity(self, alpha: Brightness = 0.5) -> float:
        law = self._law
        return float((law[1, 1] + law[2, 2] + law[1, 2] + law[2, 1]).real) / 2 / self._p if self._p else 0.0

    def estimate(self, alpha: Brightness = 0.5) -> float:
        return self.heralded_fidelity(alpha)

    def draw_attempts(self, rng: Generator, alpha: Brightness = 0.5) -> int:
        return draw_first(rng, self._p)

    def draw_state(self, rng: Generator, alpha: Brightness = 0.5) -> Herald:
        return PSI_PLUS, heralded_state(self._law)

    def renew(self) -> None:
        pass  # attempts are independent

    def _emission_ps(self, slot_ps: int, late: Arrivals) -> int:
        """The source is the station's own: whatever the nodes' clocks show, it emits at the slot's time."""
        return slot_ps

    def start_attempt(
        self, timeline: "Timeline", slot_ps: int, alpha: Brightness, done: Done, arrivals: Arrivals | None = None
    ) -> None:
        # Imported when a photon is to fly: the closed forms need no simulator, whose import takes a second.
        from testbed.plane.simulator import Event, Process

        late = arrivals or ON_TIME
        emission_ps = self._emission_ps(slot_ps, late)
        if emission_ps < timeline.now():
            raise ValueError(f"slot at {slot_ps} ps: its emission, at {emission_ps} ps, is before now")
        gates = self.gates(late)
        kept_a, kept_b = (kept * gate for kept, gate in zip(self._kept, gates, strict=True))
        attempt = _Attempt(self.parameters, (kept_a, kept_b), self._dark, self._noise, self._pairs, self._rng)

        def at(time_ps: int, act: Callable[[], None]) -> None:
            timeline.schedule(Event(time_ps, Process(_Call(act), "run", []), self.ident.priority))

        def emit() -> None:
            attempt.emit()
            # Scheduled from here: an arrival that is due at once must not come before its emission.
            if self.receiver_only:
                attempt.arrive(0)
            else:
                at(slot_ps + self.parameters.arm_a_ps, partial(attempt.arrive, 0))
            # Over a short fibre a photon may start later than one that is on time arrives.
            at(max(slot_ps + self.parameters.arm_b_ps, emission_ps), partial(attempt.arrive, 1))

        at(emission_ps, emit)
        at(slot_ps + self.attempt_ps, lambda: done(attempt.report()))


class SenderReceiver(SourceMidpoint):
    """Sender to receiver: p = eta_s eta_d T(L); one attempt per 2 tau_l + tau_0.

    Node a keeps its half and sends the other over both arms to b; the station tells both what b flagged.
    """

    receiver_only = True

    @override
    def _emission_ps(self, slot_ps: int, late: Arrivals) -> int:
        return slot_ps - self.parameters.arm_a_ps + late.a_ps

    @override
    def gates(self, arrivals: Arrivals) -> tuple[float, float]:
        """The sender's photon against the receiver's gate."""
        return super().gates(Arrivals(0, arrivals.a_ps - arrivals.b_ps))

    @property
    @override
    def attempt_ps(self) -> int:
        return self.parameters.window_ps + 2 * self.parameters.arm_b_ps

    @property
    @override
    def births_ps(self) -> tuple[int, int]:
        return -self.parameters.arm_a_ps, self.parameters.arm_b_ps


class _Call:
    """A function as SeQUeNCe's events want it: a method of an object."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def run(self) -> None:
        self._act()


class _Attempt:
    """The photons of one slot. counts[rail]: pairs; lost[node][rail]: photons that did not arrive."""

    def __init__(
        self,
        known: LinkParameters,
        kept: tuple[float, float],
        dark: tuple[float, float],
        noise: tuple[float, float],
        mean_pairs: float,
        rng: Generator,
    ) -> None:
        """Of each node: the chance to keep a photon, that of a dark flag, and its mean number of noise photons."""
        self.known, self.kept, self.dark, self.noise, self.rng = known, kept, dark, noise, rng
        self.mean_pairs = mean_pairs
        self.counts = [0, 0]
        self.lost = [[0, 0], [0, 0]]
        self.flags = [False, False]
        self.blank = [False, False]

    def emit(self) -> None:
        if self.mean_pairs:
            self.counts = [int(n) - 1 for n in self.rng.geometric(1 / (1 + self.mean_pairs), 2)]
        else:
            self.counts[int(self.rng.random() < 0.5)] = 1

    def arrive(self, node: int) -> None:
        """Each photon on its own; the node flags exactly one, or none with a dark flag."""
        arrived = [int(self.rng.binomial(count, self.kept[node])) for count in self.counts]
        self.lost[node] = [count - here for count, here in zip(self.counts, arrived, strict=True)]
        self.blank[node] = sum(arrived) == 0
        self.flags[node] = sum(arrived) == 1 or (self.blank[node] and self._dark_flag(node))

    def _dark_flag(self, node: int) -> bool:
        dark = float(self.rng.random()) < self.dark[node]
        return dark or (self.noise[node] > 0 and int(self.rng.poisson(self.noise[node])) > 0)

    def report(self) -> Herald | None:
        if not all(self.flags):
            return None
        if any(self.blank):
            return PSI_PLUS, np.eye(4).astype(np.complex128) / 4
        # Given what was lost, every arrival that accounts for it adds its amplitude. Rails: a's photon in rail
        # r leaves a in r; the source is Psi+, so b's photon in rail r leaves b in 1 - r.
        ket = np.zeros(4)
        for a in (0, 1):
            for b in (0, 1):
                ket[2 * a + (1 - b)] = self._amplitude((int(a == 0), int(a == 1)), (int(b == 0), int(b == 1)))
        rho = np.outer(ket, ket).astype(complex)
        rails = self._rails()
        rho[1, 2] *= rails
        rho[2, 1] *= rails.conjugate()
        return PSI_PLUS, heralded_state(rho)

    def _rails(self) -> complex:
        """What this attempt's arrival and phase leave of the rails' coherence."""
        known = self.known
        offset_ps = known.offset_ps + known.jitter_ps * float(self.rng.standard_normal())
        rails = known.coherence * known.visibility * known.packets.visibility(offset_ps * 1e-12)
        return rails * rect(1.0, known.phase_sigma_rad * float(self.rng.standard_normal()))

    def _amplitude(self, arrived_a: tuple[int, int], arrived_b: tuple[int, int]) -> float:
        weight = 1.0
        counts = []
        for rail in (0, 1):
            pairs = self.lost[0][rail] + arrived_a[rail]
            if pairs != self.lost[1][rail] + arrived_b[rail]:
                return 0.0
            counts.append(pairs)
            # One photon of `pairs` arrives in `pairs` ways; kept and lost factors are common to all patterns.
            weight *= pairs ** (arrived_a[rail] + arrived_b[rail])
            if self.mean_pairs:
                weight *= (self.mean_pairs / (1 + self.mean_pairs)) ** pairs
        return sqrt(weight) if self.mean_pairs or sum(counts) == 1 else 0.0
