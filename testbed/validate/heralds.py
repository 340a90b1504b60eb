"""Tables of area `link` on heralding: probability, fidelity, rate and interval of every link class.

Three ways to one figure: `closed` evaluates the law, `sampled` draws attempts and states as the plane's sampled grade
does, `photonic` runs attempts as events and never calls a law.
"""

from dataclasses import replace
from functools import lru_cache, partial
from heapq import heappop
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from sequence.kernel.timeline import Timeline

from testbed.keyed import keyed_generator
from testbed.plane.links import (
    LINKS,
    PSI_MINUS,
    PSI_PLUS,
    BarrettKok,
    Brightness,
    Herald,
    LinkId,
    LinkModel,
    LinkParameters,
    make_link,
)
from testbed.plane.state import FORMALISM
from testbed.scenario.link_types import KEYS, LINK_TYPES
from testbed.validate.table import Measurement, Parameter, Parameters, Table

SAMPLED_HERALDS = 5_000
PHOTONIC_HERALDS = 2_000
PHOTONIC_LEAST = 500
# Beyond so many attempts PHOTONIC_LEAST heralds are enough, and none at all is an answer; beyond the limit whatever
# there is must do.
PHOTONIC_PATIENCE, PHOTONIC_LIMIT = 40_000, 200_000
_BLOCK = 500
MOST_MODES = 100
"""That the photonic grade runs one by one."""

_SQRT = sqrt(0.5)
BELL = {
    "phi+": np.array([_SQRT, 0, 0, _SQRT]),
    "phi-": np.array([_SQRT, 0, 0, -_SQRT]),
    "psi+": np.array([0, _SQRT, _SQRT, 0]),
    "psi-": np.array([0, _SQRT, -_SQRT, 0]),
}
HERALDED = {PSI_PLUS: BELL["psi+"], PSI_MINUS: BELL["psi-"]}


class Outcome(NamedTuple):
    """Both figures of one link, from one run."""

    p: Measurement
    fidelity: Measurement


def herald_fidelity(herald: Herald) -> float:
    """Fidelity of one heralded state to the Bell state its herald names."""
    outcome, rho = herald
    ket = HERALDED[outcome]
    return float((ket @ rho @ ket).real)


@lru_cache(maxsize=64)
def measure_link(kind: str, grade: str, parameters: LinkParameters, alpha: Brightness, seed: int) -> Outcome:
    """p and F of a link, measured the way its grade works; cached, since two tables ask for one run."""
    if grade == "closed":
        law = make_link(kind, parameters)
        return Outcome(Measurement(law.success_probability(alpha)), Measurement(law.heralded_fidelity(alpha)))
    # Every link its own stream: rows of one table must err independently for its χ² to mean anything.
    rng = keyed_generator(seed, "validate link", kind, grade, repr(parameters), repr(alpha))
    if grade == "sampled":
        return _sample(make_link(kind, parameters), alpha, rng)
    return photons(make_link(kind, parameters, "photonic", LinkId(kind, int(rng.integers(1 << 62)))), alpha)


def _sample(link: LinkModel, alpha: Brightness, rng: Generator) -> Outcome:
    """p from the numbers of attempts, F from the mean of the drawn states of each outcome, which is exact."""
    if link.success_probability(alpha) <= 0:
        return Outcome(Measurement(0.0), Measurement(float("nan"), spent="this link never heralds"))
    attempts = 0
    sums = {PSI_PLUS: np.zeros((4, 4), complex), PSI_MINUS: np.zeros((4, 4), complex)}
    for _ in range(SAMPLED_HERALDS):
        attempts += link.draw_attempts(rng, alpha)
        outcome, rho = link.draw_state(rng, alpha)
        sums[outcome] += rho
    fidelity = sum(herald_fidelity(mean) for mean in sums.items()) / SAMPLED_HERALDS
    return Outcome(rate(SAMPLED_HERALDS, attempts), Measurement(fidelity, None, SAMPLED_HERALDS))


def photons(link: LinkModel, alpha: Brightness) -> Outcome:
    """Attempts one after another as events, in blocks, until there are heralds enough, or too many attempts."""
    timeline = Timeline(formalism=FORMALISM)
    reports: list[Herald | None] = []
    fidelities: list[float] = []
    attempts = 0
    # All modes of a slot are attempts of their own, and cost as much.
    block = max(1, _BLOCK // link.parameters.modes)
    while len(fidelities) < PHOTONIC_HERALDS and (spent := attempts * link.parameters.modes) < PHOTONIC_LIMIT:
        if spent >= PHOTONIC_PATIENCE and not 0 < len(fidelities) < PHOTONIC_LEAST:
            break
        for _ in range(block):
            attempt(timeline, link, alpha, reports)
        fidelities += [herald_fidelity(report) for report in reports if report is not None]
        reports.clear()
        attempts += block
    few = f"{len(fidelities)} heralds in {attempts} attempts" if len(fidelities) < PHOTONIC_LEAST else ""
    return Outcome(rate(len(fidelities), attempts)._replace(spent=few), mean_of(fidelities)._replace(spent=few))


def attempt(timeline: Timeline, link: LinkModel, alpha: Brightness, reports: list[Herald | None]) -> None:
    """One photonic attempt, from its first emission to the station's decision."""
    arms = max(link.parameters.arm_a_ps, link.parameters.arm_b_ps)
    link.start_attempt(timeline, timeline.now() + arms + 1, alpha, reports.append)
    events = timeline.events.data
    while events:
        event = heappop(events)
        timeline.time = event.time
        event.process.run()


def rate(successes: int, attempts: int) -> Measurement:
    """A probability with its binomial error; never less than that of one success more, or less."""
    p = successes / attempts
    return Measurement(p, max(sqrt(p * (1 - p) / attempts), 1 / attempts), attempts, 1.0)


def mean_of(fidelities: list[float]) -> Measurement:
    """Mean of figures within 0 and 1. One state of fidelity 0 is added to their spread, not to their mean.

    A mean of n draws says nothing about events rarer than 1/n, such as a dark count, however small the
    spread of what was drawn.
    """
    count = len(fidelities)
    if not count:
        return Measurement(float("nan"), None, 0)
    mean = float(np.mean(fidelities))
    spread = float(np.sum((np.array(fidelities) - mean) ** 2)) + mean**2
    return Measurement(mean, sqrt(spread) / count, count, max(fidelities))


# ---- parameters ----

GRADE = Parameter("grade", "word", "how the figure comes about", "closed", ("closed", "sampled", "photonic"))
ALPHA = Parameter(
    "alpha", "probability", "bright-state population, or of a pair from vacuum", None, (), ("α", "αA", "alpha_a")
)
ALPHA_B = Parameter("alpha_b", "probability", "that of node b", "alpha", (), ("αB",))
_ETA = ("eta", "η", "eta_s", "η_s", "p_det")
_ETA_A, _ETA_B = (*_ETA, "eta_a", "ηA", "pA"), (*_ETA, "eta_b", "ηB", "pB")
LINK = (
    Parameter("arm_a_m", "m", "fibre from node a to the midpoint", 0.0),
    Parameter("arm_b_m", "m", "fibre from node b to the midpoint", 0.0),
    Parameter("attenuation_db_per_km", "dB/km", "of the fibre", 0.2),
    Parameter("speed_m_per_s", "m/s", "of light in the fibre", 2e8),
    Parameter("efficiency_a", "probability", "from emitter a into the fibre", 1.0, (), _ETA_A),
    Parameter("efficiency_b", "probability", "from emitter b into the fibre", 1.0, (), _ETA_B),
    Parameter("conversion_a", "probability", "wavelength conversion of a's photon", 1.0),
    Parameter("conversion_b", "probability", "wavelength conversion of b's photon", 1.0),
    Parameter("conversion_noise", "photons", "that the converter (of a) adds per window at its output", 0.0),
    Parameter("conversion_noise_b", "photons", "that the converter of b adds", "conversion_noise"),
    Parameter("detector_efficiency", "probability", "of a photon that arrives", 1.0, (), ("eta_d", "η_d", "η_det")),
    Parameter("dark_probability", "probability", "of a dark count per detector and window", 0.0, (), ("P", "p_dc")),
    Parameter(
        "visibility", "M, 0 to 1", "Hong-Ou-Mandel visibility (overlap squared) of photons that meet", 1.0, (), ("M",)
    ),
    Parameter("insertion_loss_db", "dB", "of a switch that every photon passes", 0.0),
    Parameter("fidelity_cost", "1 - F", "of that switch, quoted for a perfect pair: w shrinks by 1 - 4/3 of it", 0.0),
    Parameter("modes", "count", "attempts made at once, of which the first success counts", 1),
    Parameter("offset_ps", "ps", "mean relative arrival of the photons", 0.0),
    Parameter("jitter_ps", "ps", "rms relative arrival", 0.0),
    Parameter("arrivals", "word", "one arrival for both rounds, or one for each", "frozen", ("frozen", "independent")),
    Parameter("width_rad_per_s", "rad/s", "spectral width sigma of Gaussian photons; 0: no arrival matters", 0.0),
    Parameter("width_ratio", "ratio", "width of b's photon in units of a's", 1.0, (), ("r",)),
    Parameter("lifetime_s", "s", "of exponential photons, in place of a width", 0.0),
    Parameter("detuning_rad_per_s", "rad/s", "between the photons' centres; needs a width or a lifetime", 0.0),
    Parameter("polarisation_rad", "rad", "angle between the photons' polarisations", 0.0),
    Parameter(
        "double_excitation", "probability", "of a second photon, per node (or a) that is bright", 0.0, (), ("p2", "p₂")
    ),
    Parameter("double_excitation_b", "probability", "that of node b", "double_excitation"),
)
_TWO_ROUNDS = (
    Parameter("round_gap_ps", "ps", "from the first excitation to the second", 1e6),
    Parameter("dead_time_ps", "ps", "of a detector after a click: longer than the gap, it cannot click twice", 0.0),
)
_PHASE = (
    Parameter("phase_sigma_rad", "rad", "rms phase between the two paths", 0.0, (), ("sigma_phi", "σφ")),
    Parameter("coherence", "0 to 1", "what else is left of the paths' coherence", 1.0, (), ("kappa", "κ")),
)


def _noise(symbol: str, meaning: str) -> tuple[Parameter, Parameter]:
    return (
        Parameter("noise_photons", "photons", meaning, 0.0, (), (symbol,)),
        Parameter("noise_photons_b", "photons", "those of node b", "noise_photons"),
    )


_NOISE = _noise("N", "thermal photons in the photon's own mode, at the transducer's input")
_THERMAL = (
    *_noise("n", "thermal photons in the microwave mode"),
    Parameter("extraction_a", "probability", "that a's microwave photon gets into the qubit", 1.0),
    Parameter("extraction_b", "probability", "that b's does", 1.0),
)
_SOURCE = (Parameter("mean_pairs", "pairs per mode", "of the source; 0 is exactly one pair", 0.0, (), ("n",)),)
_BRIGHT = (ALPHA, ALPHA_B)
_OF_CLASS = {
    "barrett-kok": _TWO_ROUNDS,
    "dual-rail": (),
    "single-click": _BRIGHT,
    "source-midpoint": _SOURCE,
    "sender-receiver": (),
    "transducer-upconversion": (*_BRIGHT, *_NOISE),
    "transducer-pair": (*_BRIGHT, *_THERMAL),
}
_FIELDS = {key.gives for key in KEYS.values()}


def knows(kind: str, column: Parameter) -> bool:
    """Has the column a meaning for this link class? As in scenarios: what one refuses, the other does not offer."""
    field = {"arrivals": "jitter_frozen", "alpha_b": "alpha"}.get(column.name, column.name)
    return field not in _FIELDS or field in {KEYS[key].gives for key in LINK_TYPES[kind].keys}


def columns_of(kind: str) -> tuple[Parameter, ...]:
    """All that describes a link of this class."""
    return tuple(column for column in (*LINK, *_PHASE, *_OF_CLASS[kind]) if knows(kind, column))


_WHOLE = {"modes", "round_gap_ps", "window_ps"}


def link_parameters(values: Parameters) -> tuple[LinkParameters, Brightness]:
    """The link that a row describes, and alpha; ValueError names what is out of range."""
    known = {column.name for columns in (LINK, _PHASE, *_OF_CLASS.values()) for column in columns} | {"window_ps"}
    given = {name: value for name, value in values.items() if name in known}
    frozen = given.pop("arrivals", "frozen") == "frozen"
    # Text names the column that stands for this one.
    numbers: dict[str, float] = {
        n: float(given[v] if isinstance(v, str) and v in given else v) for n, v in given.items()
    }
    alpha = numbers.pop("alpha", 0.5)
    alpha_b = numbers.pop("alpha_b", alpha)
    for name, one in (("alpha", alpha), ("alpha_b", alpha_b)):
        if not 0.0 <= one <= 1.0:
            raise ValueError(f"{name}: {one} is not within 0 and 1")
    if numbers.get("detuning_rad_per_s") and not (numbers.get("width_rad_per_s") or numbers.get("lifetime_s")):
        raise ValueError("detuning_rad_per_s: it means nothing without width_rad_per_s or lifetime_s")
    for name in _WHOLE & set(numbers):
        if not numbers[name].is_integer():
            raise ValueError(f"{name}: {numbers[name]} is not a whole number")
        numbers[name] = int(numbers[name])
    known_alpha: Brightness = alpha if alpha == alpha_b else (alpha, alpha_b)
    return LinkParameters(**numbers, jitter_frozen=frozen), known_alpha  # type: ignore[arg-type]


def check(kind: str, values: Parameters) -> float:
    """The probability that an attempt heralds; ValueError if there can be no such link."""
    parameters, alpha = link_parameters(values)
    most = MOST_MODES if values.get("grade") == "photonic" else 1_000_000
    if parameters.modes > most:
        raise ValueError(f"modes: {parameters.modes} is more than {most}, each of which is an attempt of its own")
    return make_link(kind, parameters).success_probability(alpha)


def outcome(kind: str, values: Parameters, seed: int) -> Outcome:
    parameters, alpha = link_parameters(values)
    return measure_link(kind, str(values["grade"]), parameters, alpha, seed)


# ---- tables ----


def _tables(kind: str) -> tuple[Table, Table]:
    """The two tables of a link class."""
    columns = (GRADE, *columns_of(kind))
    return (
        Table(
            f"{kind}-p",
            "probability that one attempt heralds",
            columns,
            lambda v, s: outcome(kind, v, s).p,
            partial(check, kind),
        ),
        Table(
            f"{kind}-fidelity",
            "fidelity at emission to the heralded Bell state",
            columns,
            lambda v, s: outcome(kind, v, s).fidelity,
            partial(check, kind),
        ),
    )


def _estimate(values: Parameters, seed: int) -> Measurement:
    parameters, alpha = link_parameters(values)
    return Measurement(make_link("single-click", parameters).estimate(alpha))


def _pair_rate(values: Parameters, seed: int) -> Measurement:
    p = outcome(str(values["link"]), values, seed).p
    slot_s = float(values["slot_s"])
    return Measurement(p.value / slot_s, None if p.stderr is None else p.stderr / slot_s, p.n)


def _check_rate(values: Parameters) -> None:
    if float(values["slot_s"]) <= 0:
        raise ValueError(f"slot_s: {values['slot_s']} is not positive")
    kind = str(values["link"])
    for column in _RATE:
        if values[column.name] != column.default and not knows(kind, column):
            raise ValueError(f"{column.name}: it has no meaning for {kind}")
    check(kind, values)


def _interval(values: Parameters, seed: int) -> Measurement:
    """Time from an attempt's first emission until whoever emits next has heard how it went, on the plane's timeline.

    That is both nodes, the sender alone, or the source in the middle. Barrett-Kok waits for the herald of its first
    round before its second; with abort, it makes no second round after a first without a click. The window is 1 ps:
    what detectors need counts as emission.
    """
    kind, emission_s = str(values["link"]), float(values["emission_s"])
    aborts, kind = kind.endswith(_ABORT), kind.removesuffix(_ABORT)
    bare, _ = link_parameters({**values, "window_ps": 1})
    arm_ps = max(bare.arm_a_ps, bare.arm_b_ps)
    once_s = emission_s + 2 * arm_ps * 1e-12
    gap_ps = max(2, round(once_s * 1e12))
    parameters = replace(bare, round_gap_ps=gap_ps)
    rng = keyed_generator(seed, "validate interval", kind, repr(parameters))
    link = make_link(kind, parameters, "photonic", LinkId("interval", int(rng.integers(1 << 62))))
    if aborts:
        assert isinstance(link, BarrettKok)
        attempts = photons(link, 0.5).p.n or 1
        second = rate(link.first_rounds, attempts)
        stderr = None if second.stderr is None else once_s * second.stderr
        return Measurement(once_s * (1 + second.value), stderr, attempts)
    timeline = Timeline(formalism=FORMALISM)
    attempt(timeline, link, 0.5, [])
    decided_ps = timeline.now() - (arm_ps + 1)  # after its slot
    away_ps = {"source-midpoint": 0, "sender-receiver": bare.arm_a_ps}.get(kind, arm_ps)
    return Measurement((away_ps + decided_ps + away_ps - 1) * 1e-12 + emission_s)


def _check_interval(values: Parameters) -> None:
    if float(values["emission_s"]) < 0:
        raise ValueError(f"emission_s: {values['emission_s']} is negative")
    if str(values["link"]).endswith(_ABORT) and float(values["modes"]) != 1:
        raise ValueError("modes: only one mode can abort")
    if str(values["link"]).endswith(_ABORT) and float(values["fidelity_cost"]):
        raise ValueError("fidelity_cost: it has no interval")
    check(str(values["link"]).removesuffix(_ABORT), {**values, "grade": "photonic"})


_RATE = (
    Parameter("link", "word", "link class", None, tuple(_OF_CLASS)),
    Parameter("slot_s", "s", "from one attempt to the next"),
    GRADE,
    *LINK,
    *_TWO_ROUNDS,
    *_PHASE,
    replace(ALPHA, default=0.5),
    ALPHA_B,
    *_noise("N", "thermal: N in the photon's mode, n in the microwave mode"),
    *_THERMAL[2:],
    *_SOURCE,
)
_ABORT = "-abort"
_ATTEMPTS = (*(kind for kind in LINKS if not kind.startswith("transducer")), f"barrett-kok{_ABORT}")

TABLES = (
    *(table for kind in _OF_CLASS for table in _tables(kind)),
    Table(
        "single-click-estimate",
        "fidelity a node estimates, published estimator",
        columns_of("single-click"),
        _estimate,
        partial(check, "single-click"),
    ),
    Table(
        "pair-rate",
        "pairs per second of slots",
        _RATE,
        _pair_rate,
        _check_rate,
    ),
    Table(
        "attempt-interval",
        "time per attempt, s: from its first emission until whoever emits next has heard how it went",
        (
            Parameter(
                "link",
                "word",
                "link class; -abort gives up after a first round without a click",
                None,
                _ATTEMPTS,
            ),
            Parameter("emission_s", "s", "emission time", 0.0, (), ("tau_0", "τ_0")),
            *LINK,
        ),
        _interval,
        _check_interval,
    ),
)
