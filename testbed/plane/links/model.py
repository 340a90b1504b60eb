"""What a heralded link is to the plane: its parameters, and the interface every link class offers."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from math import exp, isfinite, sqrt
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

from numpy.random import Generator

from testbed.plane.links.overlap import Packets
from testbed.plane.state.gates import Complex

if TYPE_CHECKING:
    from sequence.kernel.timeline import Timeline

PSI_PLUS, PSI_MINUS = 2, 3
NEVER_ATTEMPT = 1 << 62

type Herald = tuple[int, Complex]
type Done = Callable[[Herald | None], None]
type Brightness = float | tuple[float, float]
"""Bright-state population: of both nodes alike, or of a and of b."""
type Grade = Literal["sampled", "photonic"]

_PROBABILITIES = (
    "efficiency_a",
    "efficiency_b",
    "detector_efficiency",
    "dark_probability",
    "visibility",
    "coherence",
    "alpha",
    "double_excitation",
    "double_excitation_b",
    "conversion_a",
    "conversion_b",
    "gate_a",
    "gate_b",
    "extraction_a",
    "extraction_b",
)
_NOT_NEGATIVE = (
    "arm_a_m",
    "arm_b_m",
    "attenuation_db_per_km",
    "phase_sigma_rad",
    "conversion_noise",
    "conversion_noise_b",
    "noise_photons",
    "noise_photons_b",
    "mean_pairs",
    "dead_time_ps",
    "jitter_ps",
    "width_rad_per_s",
    "lifetime_s",
    "insertion_loss_db",
    "fidelity_cost",
)


@dataclass(frozen=True, slots=True)
class LinkParameters:
    """Two nodes a and b, a midpoint between them; ValueError names the first field out of range.

    efficiency_a, efficiency_b: from the emitter into the fibre (emission, collection, conversion).
    dark_probability: of a dark count, per detector and detection window.
    visibility: Hong-Ou-Mandel visibility M of the photons (their overlap squared).
    coherence: kappa, what is left of the phase between the paths, e^(-sigma_phi^2/2) and more (single click).
    alpha: bright-state population that a node uses when told nothing else (single click).
    round_gap_ps: from the first to the second excitation (Barrett-Kok: longer than window_ps).
    window_ps: how long the detectors are gated open.
    phase_sigma_rad: spread of the optical phase between the two paths (single click, delivery).
    double_excitation: chance that a bright node emits twice, which leaves no coherence; of node b if
    double_excitation_b says nothing else.
    conversion_a, conversion_b: efficiency of wavelength conversion; conversion_noise: photons that each
    converter adds per window at its output (Poisson); b's if conversion_noise_b says nothing else.
    noise_photons: thermal noise N in the photon's own mode (transducers), or in the microwave mode (pairs);
    of node b if noise_photons_b says nothing else.
    mean_pairs: pairs per mode of a source in the middle; 0 is a source of exactly one pair.
    dead_time_ps: of a detector after a click (Barrett-Kok: longer than the gap, it cannot click twice).
    offset_ps, jitter_ps: mean and rms of the photons' relative arrival.
    width_rad_per_s, width_ratio, lifetime_s, detuning_rad_per_s, polarisation_rad: overlap.Packets.
    jitter_frozen: one arrival for both rounds of an attempt, or one for each.
    modes: attempts that are made at once, of which the first success counts.
    abort: a slot is one round of Barrett-Kok, and the second is begun only after a click in the first.
    insertion_loss_db, fidelity_cost: of a switch that every photon passes, see switched.py.
    gate_a, gate_b: share of a photon that is not too early or late for its detection gate.
    extraction_a, extraction_b: chance that a pair's microwave photon gets into the qubit (transducer-pair).
    """

    arm_a_m: float
    arm_b_m: float
    attenuation_db_per_km: float = 0.2
    speed_m_per_s: float = 2e8
    efficiency_a: float = 1.0
    efficiency_b: float = 1.0
    detector_efficiency: float = 1.0
    dark_probability: float = 0.0
    visibility: float = 1.0
    coherence: float = 1.0
    alpha: float = 0.1
    round_gap_ps: int = 1_000_000
    window_ps: int = 25_000
    phase_sigma_rad: float = 0.0
    double_excitation: float = 0.0
    conversion_a: float = 1.0
    conversion_b: float = 1.0
    conversion_noise: float = 0.0
    noise_photons: float = 0.0
    mean_pairs: float = 0.0
    dead_time_ps: float = 0.0
    offset_ps: float = 0.0
    jitter_ps: float = 0.0
    width_rad_per_s: float = 0.0
    jitter_frozen: bool = True
    width_ratio: float = 1.0
    lifetime_s: float = 0.0
    detuning_rad_per_s: float = 0.0
    polarisation_rad: float = 0.0
    conversion_noise_b: float | None = None
    noise_photons_b: float | None = None
    double_excitation_b: float | None = None
    modes: int = 1
    abort: bool = False
    insertion_loss_db: float = 0.0
    fidelity_cost: float = 0.0
    gate_a: float = 1.0
    gate_b: float = 1.0
    extraction_a: float = 1.0
    extraction_b: float = 1.0

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        given = {name: value for name, value in given.items() if value is not None}
        for name, value in given.items():
            if not isfinite(value):
                raise ValueError(f"{name}: {value} is not a finite number")
        for name in _PROBABILITIES:
            if not 0.0 <= given.get(name, 0.0) <= 1.0:
                raise ValueError(f"{name}: {given[name]} is not within 0 and 1")
        for name in _NOT_NEGATIVE:
            if given.get(name, 0.0) < 0:
                raise ValueError(f"{name}: {given[name]} is negative")
        for name in ("width_ratio", "modes"):
            if given[name] <= 0:
                raise ValueError(f"{name}: {given[name]} is not positive")
        if self.lifetime_s and (self.width_rad_per_s or self.width_ratio != 1.0):
            raise ValueError("lifetime_s: a photon with a lifetime is exponential, one with a width Gaussian")
        if self.speed_m_per_s <= 0:
            raise ValueError(f"speed_m_per_s: {self.speed_m_per_s} is not positive")
        if self.window_ps < 1:
            raise ValueError(f"window_ps: {self.window_ps} is shorter than 1 ps")

    @property
    def arm_a_ps(self) -> int:
        """How long before its slot node a emits."""
        return round(self.arm_a_m / self.speed_m_per_s * 1e12)

    @property
    def arm_b_ps(self) -> int:
        return round(self.arm_b_m / self.speed_m_per_s * 1e12)

    @property
    def emissions_ps(self) -> tuple[int, int]:
        """When node a, and node b, emits, from the slot's time at the station."""
        return -self.arm_a_ps, -self.arm_b_ps

    @property
    def optics(self) -> "Optics":
        """All that the laws of a link depend on."""
        timing, packets = (self.offset_ps * 1e-12, self.jitter_ps * 1e-12), self.packets
        bunching, amplitude = packets.mean_visibility(*timing), packets.mean_amplitude(*timing)
        left = amplitude / sqrt(bunching) if bunching > 0 else 0.0
        kappa = self.coherence * exp(-(self.phase_sigma_rad**2) / 2) * self.emitted_once
        return Optics(
            self.detection_a * self.gate_a,
            self.detection_b * self.gate_b,
            1 - (1 - self.dark_probability) * (1 - self.noise_click),
            self.visibility * bunching,
            kappa * left,
            1.0 if self.jitter_frozen else left**2,
            self.dead_time_ps > self.round_gap_ps,
        )

    @property
    def packets(self) -> Packets:
        """What the photons' overlap depends on."""
        return Packets(
            self.width_rad_per_s,
            self.width_ratio,
            self.lifetime_s,
            self.detuning_rad_per_s,
            self.polarisation_rad,
        )

    @property
    def doubles(self) -> tuple[float, float]:
        """Chance that node a, that node b emits twice where it is bright."""
        b = self.double_excitation if self.double_excitation_b is None else self.double_excitation_b
        return self.double_excitation, b

    @property
    def emitted_once(self) -> float:
        """What double excitation leaves of an attempt's coherence.

        Exact for two clicks, where each node emits in one of two rounds or rails. With one click only one of them is
        bright in either term, and amplitudes give sqrt((1 - a)(1 - b)): 1 - p2 per node is the published convention.
        """
        a, b = self.doubles
        return (1 - a) * (1 - b)

    @property
    def noise(self) -> tuple[float, float]:
        """noise_photons of node a and of node b."""
        b = self.noise_photons if self.noise_photons_b is None else self.noise_photons_b
        return self.noise_photons, b

    @property
    def converter_noise(self) -> tuple[float, float]:
        """Photons per window at the output of each converter."""
        b = self.conversion_noise if self.conversion_noise_b is None else self.conversion_noise_b
        return self.conversion_noise, b

    @property
    def converted(self) -> tuple[float, float]:
        """Photons per window that each converter's noise puts into the detectors."""
        a, b = (
            noise * self.transmission(arm) * self.detector_efficiency
            for noise, arm in zip(self.converter_noise, (self.arm_a_m, self.arm_b_m), strict=True)
        )
        return a, b

    @property
    def thermal_click(self) -> float:
        """p_dc = eta N per detector: noise in the photon's own mode. Where it is 1 there is no such link."""
        a, b = self.noise
        return (a * self.detection_a + b * self.detection_b) / 2

    @property
    def noise_click(self) -> float:
        """Chance per detector and window that noise of converters or transducers makes it click."""
        return 1 - exp(-sum(self.converted) / 2) * (1 - self.thermal_click)

    @property
    def detection_a(self) -> float:
        """Probability that a photon emitted by node a makes its detector click."""
        return (
            self.efficiency_a * self.conversion_a * self.detector_efficiency * self.transmission(self.arm_a_m)
        )

    @property
    def detection_b(self) -> float:
        return (
            self.efficiency_b * self.conversion_b * self.detector_efficiency * self.transmission(self.arm_b_m)
        )

    def transmission(self, length_m: float) -> float:
        """10^(-dB/10) of so much fibre, and of the switch at its end."""
        return float(10.0 ** (-(length_m * 1e-3 * self.attenuation_db_per_km + self.insertion_loss_db) / 10.0))


class Optics(NamedTuple):
    """What the laws of a link depend on; pa, pb: probability that a bright node's photon makes a click."""

    pa: float
    pb: float
    dark: float = 0.0
    visibility: float = 1.0
    coherence: float = 1.0
    rounds_coherence: float = 1.0
    """What jitter that differs from round to round leaves of M in the coherence of two clicks."""
    dead: bool = False
    """A detector that clicked in the first round is blind in the second."""


class LinkId(NamedTuple):
    """Which link of which run: keys of the photonic grade's random streams.

    ``priority`` is that of its events on the timeline, and must differ between links of one timeline if the order of
    their decisions in one picosecond matters.
    """

    name: str = "link"
    seed: int = 0
    priority: int = 0


ALONE: Final = LinkId()
"""A link that has its timeline to itself."""


class Arrivals(NamedTuple):
    """How late the photon of node a, and that of node b, comes for the station's slot: 0 if the clocks agree."""

    a_ps: int
    b_ps: int


ON_TIME: Final = Arrivals(0, 0)


def both(alpha: Brightness) -> tuple[float, float]:
    """The bright-state population of node a, and of node b."""
    return alpha if isinstance(alpha, tuple) else (alpha, alpha)


def draw_first(rng: Generator, probability: float) -> int:
    """Number of the first success, from 1; as cheap at 1e-5 as at .1. NEVER_ATTEMPT if there can be none."""
    return min(int(rng.geometric(probability)), NEVER_ATTEMPT) if probability > 0 else NEVER_ATTEMPT


class LinkModel(Protocol):
    """One heralded link. Slots are the station's: a node emits one arm delay earlier."""

    parameters: LinkParameters
    grade: Grade

    @property
    def attempt_ps(self) -> int:
        """From the slot's time at the station to the station's decision."""

    @property
    def births_ps(self) -> tuple[int, int]:
        """When the half of node a, and that of b, comes to be, from the slot's time at the station."""

    def success_probability(self, alpha: Brightness) -> float:
        """Exact probability that one attempt heralds."""

    def heralded_fidelity(self, alpha: Brightness) -> float:
        """Exact fidelity at emission to the Bell state that the herald names; for tests and the oracle."""

    def estimate(self, alpha: Brightness) -> float:
        """The fidelity at emission that a node may estimate from the link's published figures."""

    def draw_attempts(self, rng: Generator, alpha: Brightness) -> int:
        """Number of the first attempt that heralds, from 1; NEVER_ATTEMPT if none can."""

    def draw_state(self, rng: Generator, alpha: Brightness) -> Herald:
        """(PSI_PLUS or PSI_MINUS, state at emission) of a heralded attempt: a read-only 4x4 array."""

    def arriving(self, arrivals: Arrivals) -> "LinkModel":
        """The law of attempts whose photons come so late; at most half a window."""

    def ceiling(self, alpha: Brightness) -> float:
        """No arrivals make an attempt more likely to herald than this."""

    def start_attempt(
        self, timeline: "Timeline", slot_ps: int, alpha: Brightness, done: Done, arrivals: Arrivals | None = None
    ) -> None:
        """Runs one attempt as events; calls `done` at slot_ps + attempt_ps with the herald or None.

        Without arrivals, photons are on time. Must be called no later than the earlier emission, then
        slot_ps - max(arm), or the source's; ValueError otherwise.
        """

    def renew(self) -> None:
        """The next attempt is the first of its trains: it owes nothing to those before."""
