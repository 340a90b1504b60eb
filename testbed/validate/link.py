"""Area `link`: heralding probability and fidelity of every link class, and the decay of stored pairs.

Three ways to one figure: `closed` evaluates the law, `sampled` draws attempts and states as the plane's
sampled grade does, `photonic` runs attempts as events. The rows stand in link.yaml.
"""

from functools import lru_cache
from heapq import heappop
from math import sqrt
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from sequence.kernel.timeline import Timeline

from testbed.keyed import keyed_generator
from testbed.plane.links import PSI_MINUS, PSI_PLUS, BarrettKok, Herald, LinkModel, LinkParameters, make_link
from testbed.plane.state import FORMALISM, StateEngine
from testbed.validate import timing
from testbed.validate.table import Measurement, Parameter, Parameters, Table

ROWS = Path(__file__).with_name("link.yaml")
SAMPLED_HERALDS = 5_000
PHOTONIC_HERALDS = 2_000
PHOTONIC_LEAST = 500
# Beyond so many attempts PHOTONIC_LEAST heralds are enough; beyond the limit whatever there is must do.
PHOTONIC_PATIENCE, PHOTONIC_LIMIT = 40_000, 600_000
_BLOCK = 500

_SQRT = sqrt(0.5)
_BELL = {
    "phi+": np.array([_SQRT, 0, 0, _SQRT]),
    "phi-": np.array([_SQRT, 0, 0, -_SQRT]),
    "psi+": np.array([0, _SQRT, _SQRT, 0]),
    "psi-": np.array([0, _SQRT, -_SQRT, 0]),
}
_HERALDED = {PSI_PLUS: _BELL["psi+"], PSI_MINUS: _BELL["psi-"]}


class Outcome(NamedTuple):
    """Both figures of one link, from one run."""

    p: Measurement
    fidelity: Measurement


def herald_fidelity(herald: Herald) -> float:
    """Fidelity of one heralded state to the Bell state its herald names."""
    outcome, rho = herald
    ket = _HERALDED[outcome]
    return float((ket @ rho @ ket).real)


@lru_cache(maxsize=64)
def measure_link(kind: str, grade: str, parameters: LinkParameters, alpha: float, seed: int) -> Outcome:
    """p and F of a link, measured the way its grade works; cached, since two tables ask for one run."""
    if grade == "closed":
        law = make_link(kind, parameters)
        return Outcome(Measurement(law.success_probability(alpha)), Measurement(law.heralded_fidelity(alpha)))
    # Every link its own stream: rows of one table must err independently for its χ² to mean anything.
    rng = keyed_generator(seed, "validate link", kind, grade, repr(parameters), repr(alpha))
    if grade == "sampled":
        return _sample(make_link(kind, parameters), alpha, rng)
    return _photons(make_link(kind, parameters, "photonic", kind, int(rng.integers(1 << 62))), alpha)


def _sample(link: LinkModel, alpha: float, rng: Generator) -> Outcome:
    """p from the numbers of attempts, F from the mean of the drawn states of each outcome, which is exact."""
    if link.success_probability(alpha) <= 0:
        return Outcome(Measurement(0.0), Measurement(float("nan")))
    attempts = 0
    sums = {PSI_PLUS: np.zeros((4, 4), complex), PSI_MINUS: np.zeros((4, 4), complex)}
    for _ in range(SAMPLED_HERALDS):
        attempts += link.draw_attempts(rng, alpha)
        outcome, rho = link.draw_state(rng, alpha)
        sums[outcome] += rho
    fidelity = sum(herald_fidelity(mean) for mean in sums.items()) / SAMPLED_HERALDS
    return Outcome(_rate(SAMPLED_HERALDS, attempts), Measurement(fidelity, None, SAMPLED_HERALDS))


def _photons(link: LinkModel, alpha: float) -> Outcome:
    """Attempts one after another as events, in blocks, until there are heralds enough."""
    timeline = Timeline(formalism=FORMALISM)
    events = timeline.events.data
    arms = max(link.parameters.arm_a_ps, link.parameters.arm_b_ps)
    reports: list[Herald | None] = []
    fidelities: list[float] = []
    attempts = 0
    while len(fidelities) < PHOTONIC_HERALDS and attempts < PHOTONIC_LIMIT:
        if attempts >= PHOTONIC_PATIENCE and len(fidelities) >= PHOTONIC_LEAST:
            break
        for _ in range(_BLOCK):
            link.start_attempt(timeline, timeline.now() + arms + 1, alpha, reports.append)
            while events:
                event = heappop(events)
                timeline.time = event.time
                event.process.run()
        fidelities += [herald_fidelity(report) for report in reports if report is not None]
        reports.clear()
        attempts += _BLOCK
    return Outcome(_rate(len(fidelities), attempts), mean_of(fidelities))


def _rate(successes: int, attempts: int) -> Measurement:
    """A probability with its binomial error; never less than that of one success more."""
    p = successes / attempts
    return Measurement(p, max(sqrt(p * (1 - p) / attempts), 1 / attempts) if p < 1 else None, attempts)


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


def _link_parameters(values: Parameters) -> tuple[LinkParameters, float]:
    numbers = {name: float(value) for name, value in values.items() if name != "grade"}
    alpha = numbers.pop("alpha", 0.5)
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha: {alpha} is not within 0 and 1")
    return LinkParameters(**numbers), alpha  # type: ignore[arg-type]


def _outcome(kind: str, values: Parameters, seed: int) -> Outcome:
    parameters, alpha = _link_parameters(values)
    return measure_link(kind, str(values["grade"]), parameters, alpha, seed)


def _interval(values: Parameters, seed: int) -> Measurement:
    """Mean time per Barrett-Kok attempt with abort, from the photonic attempts that reached a second round."""
    given = {name: value for name, value in values.items() if name not in ("one_way_s", "emission_s")}
    parameters, alpha = _link_parameters(given)
    rng = keyed_generator(seed, "validate interval", repr(parameters))
    link = make_link("barrett-kok", parameters, "photonic", "interval", int(rng.integers(1 << 62)))
    assert isinstance(link, BarrettKok)
    attempts = _photons(link, alpha).p.n or 1
    second = _rate(link.first_rounds, attempts)
    once = float(values["one_way_s"]) + float(values["emission_s"])
    return Measurement(
        once * (1 + second.value), None if second.stderr is None else once * second.stderr, attempts
    )


def _both(kind: str, columns: tuple[Parameter, ...]) -> tuple[Table, Table]:
    """The two tables of a link class."""
    return (
        Table(
            f"{kind}-p", "probability that one attempt heralds", columns, lambda v, s: _outcome(kind, v, s).p
        ),
        Table(
            f"{kind}-fidelity",
            "fidelity at emission to the heralded Bell state",
            columns,
            lambda v, s: _outcome(kind, v, s).fidelity,
        ),
    )


def _estimate(values: Parameters, seed: int) -> Measurement:
    parameters, alpha = _link_parameters(values)
    return Measurement(make_link("single-click", parameters).estimate(alpha))


def _decay(values: Parameters, seed: int) -> Measurement:
    """Both halves of a Bell pair left alone for a while; infinite times are written 0."""
    t1, t2, wait = (round(float(values[name]) * 1e12) for name in ("t1_s", "t2_s", "wait_s"))
    if wait < 0:
        raise ValueError(f"wait_s: {values['wait_s']} is negative")
    if t1 and t2 > 2 * t1:
        raise ValueError(f"t2_s: {values['t2_s']} is more than twice t1_s")
    ket = _BELL[str(values["state"])]
    pair = np.multiply.outer(ket, ket).astype(complex)

    def once(engine: StateEngine) -> float:
        keys = [engine.new_qubit(0, t1, t2) for _ in range(2)]
        engine.set_pair(keys[0], keys[1], pair, 0, 0)
        # Two touches: the wait is not one step, and trajectories draw their jumps.
        for now in (wait // 3, wait):
            for key in keys:
                engine.touch(key, now)
        return engine.fidelity(keys, ket.astype(complex), wait)

    if values["formalism"] == "density":
        return Measurement(once(StateEngine()))
    seeds = keyed_generator(seed, "validate decay", repr(sorted(values.items()))).integers(
        1 << 62, size=SAMPLED_HERALDS
    )
    return mean_of([once(StateEngine(int(s), "trajectory")) for s in seeds])


_GRADE = Parameter("grade", "word", "how the figure comes about", "closed", ("closed", "sampled", "photonic"))
_LINK = (
    _GRADE,
    Parameter("arm_a_m", "m", "fibre from node a to the midpoint", 0.0),
    Parameter("arm_b_m", "m", "fibre from node b to the midpoint", 0.0),
    Parameter("attenuation_db_per_km", "dB/km", "of the fibre", 0.2),
    Parameter("speed_m_per_s", "m/s", "of light in the fibre", 2e8),
    Parameter("efficiency_a", "probability", "from emitter a into the fibre", 1.0),
    Parameter("efficiency_b", "probability", "from emitter b into the fibre", 1.0),
    Parameter("detector_efficiency", "probability", "of a photon that arrives", 1.0),
    Parameter("dark_probability", "probability", "of a dark count per detector and window", 0.0),
    Parameter("visibility", "M, 0 to 1", "Hong-Ou-Mandel visibility, overlap squared", 1.0),
)
_SINGLE = (
    *_LINK,
    Parameter("coherence", "kappa, 0 to 1", "what is left of the phase between the two paths", 1.0),
    Parameter("alpha", "probability", "bright-state population of both nodes"),
)
_DELIVERY = (*_LINK, Parameter("mean_pairs", "pairs per mode", "of the source; 0 is exactly one pair", 0.0))
_TRANSDUCER = (*_SINGLE, Parameter("noise_photons", "photons", "thermal noise N, or n", 0.0))
_DECAY = (
    Parameter("state", "word", "Bell state at the start", "phi+", tuple(_BELL)),
    Parameter("t1_s", "s", "T1 of both halves; 0 is infinite"),
    Parameter("t2_s", "s", "T2 of both halves; 0 is infinite"),
    Parameter("wait_s", "s", "how long both halves wait"),
    Parameter(
        "formalism", "word", "exact, or an average of trajectories", "density", ("density", "trajectory")
    ),
)

TABLES = (
    Table(
        "barrett-kok-p",
        "probability that one double-click attempt heralds",
        _LINK,
        lambda values, seed: _outcome("barrett-kok", values, seed).p,
    ),
    Table(
        "barrett-kok-fidelity",
        "fidelity at emission to the heralded Bell state, double click",
        _LINK,
        lambda values, seed: _outcome("barrett-kok", values, seed).fidelity,
    ),
    Table(
        "single-click-p",
        "probability that one single-click attempt heralds",
        _SINGLE,
        lambda values, seed: _outcome("single-click", values, seed).p,
    ),
    Table(
        "single-click-fidelity",
        "fidelity at emission to the heralded Bell state, single click",
        _SINGLE,
        lambda values, seed: _outcome("single-click", values, seed).fidelity,
    ),
    Table("single-click-estimate", "fidelity a node estimates, published estimator", _SINGLE[1:], _estimate),
    Table("pair-decay", "fidelity to its Bell state of a pair whose halves wait", _DECAY, _decay),
    *_both("dual-rail", _LINK),
    *_both("source-midpoint", _DELIVERY),
    *_both("sender-receiver", _LINK),
    *_both("transducer-upconversion", _TRANSDUCER),
    *_both("transducer-pair", _TRANSDUCER),
    Table(
        "barrett-kok-interval",
        "mean time per attempt that gives up after a first round without a click, s",
        (
            *_LINK[1:],
            Parameter("one_way_s", "s", "delay tau_l of the whole link"),
            Parameter("emission_s", "s", "emission time tau_0", 0.0),
        ),
        _interval,
    ),
    *timing.TABLES,
)
