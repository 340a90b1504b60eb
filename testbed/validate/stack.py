"""Tables of area `link` on the link layer as a whole: links of shipped scenarios, with requests made of the real stack.

Every row is a run under the `local` clock of two nodes and a station.  The figures are what the nodes were told and,
for fidelities, what the oracle saw when each herald had arrived.
"""

import tempfile
from functools import lru_cache
from math import sqrt
from pathlib import Path
from typing import Any, Final

import yaml

from testbed.lab.local import run_local
from testbed.plan.compose import compose
from testbed.report.link_load import ClassResult, results
from testbed.scenario import load_scenario
from testbed.validate.heralds import mean_of
from testbed.validate.table import Measurement, Parameter, Parameters, Table

_SCENARIOS: Final = Path(__file__).parents[1] / "scenarios"
LINKS: Final = {
    "lab": ("link-load", "lab-fcfs"),
    "metro": ("link-load", "metro-fcfs"),
    "ion": ("two-qpus-teleport", "west-east"),
    "ion-cavity-20m": ("two-data-centres", "north-12"),
    "ion-cavity-2km": ("two-data-centres", "street-11"),
    "memory-repeater": ("repeater-chain", "l1"),
    "transmon-qnu": ("transducers", "target"),
    "transmon-qnu-2022": ("transducers", "y2022"),
    "transmon-qnu-2024": ("transducers", "y2024"),
    "transmon-qnu-2025": ("transducers", "y2025"),
    "transmon-qnu-2026": ("transducers", "y2026"),
}
"""Of shipped scenarios: file and link, with what stands at its ends."""
_MOST_FOR_S: Final = 10_000.0
COVERAGE_STDERR: Final = 0.01
"""Bars are meant to hold 99 % of pairs; with this error a share below .95 is more than 5 sigma from all of them."""


def _scenario(values: Parameters, seed: int, own_alpha: bool) -> dict[str, Any]:
    file, name = LINKS[str(values["link"])]
    text = yaml.safe_load((_SCENARIOS / f"{file}.yaml").read_text(encoding="utf-8"))
    known = text["links"][name]
    link = {**known, "grade": "sampled"}
    if not own_alpha:
        link["alpha"] = float(values["alpha"])
    if values["test_rounds"]:
        link["test_rounds"] = float(values["test_rounds"])
    elif "test_rounds" in link:
        del link["test_rounds"]
    if values["device_data_off"]:
        link["device_data_off"] = float(values["device_data_off"])
    one = {"name": "all", "kind": values["kind"], "pairs": int(values["pairs"])}
    load = {"link": name, "load": float(values["load"]), "for_s": float(values["for_s"]), "from": "a"}
    kept = {key: text[key] for key in ("speed_m_per_s", "devices") if key in text}
    return kept | {
        "seed": seed,
        "nodes": {
            known["station"]: {"kind": "station"},
            **{end: {"kind": "qpu", "device": text["nodes"][end]["device"]} for end in (known["a"], known["b"])},
        },
        "links": {name: link},
        "link_requests": [load | {"minimum_fidelity": float(values["minimum_fidelity"]), "classes": [one]}],
        "duration_s": float(values["for_s"]) * (1 if float(values["load"]) > 1 else 4),
    }


@lru_cache(maxsize=8)
def _ran(key: tuple[tuple[str, float | str], ...], seed: int, own_alpha: bool) -> ClassResult:
    """One run, cached: several rows ask for figures of one."""
    with tempfile.TemporaryDirectory(prefix="bellwire-validate-") as folder:
        path = Path(folder) / "link.yaml"
        path.write_text(yaml.safe_dump(_scenario(dict(key), seed, own_alpha)), encoding="utf-8")
        scenario = load_scenario(path)
        outcome = run_local(compose(scenario, "local", []), None, {})
    (found,) = results(scenario, scenario.link_loads[0], 0, outcome)
    return found


def _run(values: Parameters, seed: int) -> ClassResult:
    key = tuple(sorted((name, value) for name, value in values.items() if name != "figure"))
    return _ran(key, seed, not isinstance(values["alpha"], int | float))


def _service(values: Parameters, seed: int) -> Measurement:
    found = _run(values, seed)
    if values["figure"] == "rate":
        pairs = found.pairs_per_s * float(values["for_s"])
        # Waiting for the first of a series is geometric: so many arrivals have about the spread of a Poisson count.
        return Measurement(found.pairs_per_s, max(1.0, sqrt(pairs)) / float(values["for_s"]), round(pairs))
    if not found.true:
        return Measurement(float("nan"), None, 0, spent="no pair was delivered")
    spread = max(found.true) - min(found.true)
    mean = sum(found.true) / len(found.true)
    return mean_of(found.true) if spread > 1e-6 else Measurement(mean, None, len(found.true))


def _coverage(values: Parameters, seed: int) -> Measurement:
    found = _run(values, seed)
    if not found.true:
        return Measurement(float("nan"), None, 0, spent="no pair was delivered")
    return Measurement(found.covered / len(found.true), COVERAGE_STDERR, len(found.true))


def _check(values: Parameters) -> None:
    for name in ("load", "for_s"):
        if float(values[name]) <= 0:
            raise ValueError(f"{name}: {values[name]} is not positive")
    if float(values["for_s"]) > _MOST_FOR_S:
        raise ValueError(f"for_s: {values['for_s']} is more than {_MOST_FOR_S:g}")
    if not 1 <= float(values["pairs"]) <= 1_000 or not float(values["pairs"]).is_integer():
        raise ValueError(f"pairs: {values['pairs']} is no whole number from 1 to 1000")
    for name in ("test_rounds", "minimum_fidelity"):
        if not 0 <= float(values[name]) <= 1:
            raise ValueError(f"{name}: {values[name]} is not within 0 and 1")
    alpha = values["alpha"]
    if not isinstance(alpha, str) and not 1e-9 <= alpha <= 1:
        raise ValueError(f"alpha: {alpha} is not within 1e-9 and 1")


_LINK: Final = (
    Parameter("link", "word", "of a shipped scenario, with its devices", None, tuple(LINKS)),
    Parameter("kind", "word", "K, M or R", "keep", ("keep", "measure", "prepare")),
    Parameter("load", "share", "of the link's time; above 1 there is always a request open", 1.5),
    Parameter("for_s", "s", "of emulated time in which requests come"),
    Parameter("pairs", "pairs", "per request", 20),
    Parameter("alpha", "probability", "bright-state population", "as the scenario says"),
    Parameter("minimum_fidelity", "F", "asked for; brightness follows from it, if it is not 0", 0.0),
    Parameter("test_rounds", "share", "of pairs that are measured to learn the fidelity", 0.0),
    Parameter("device_data_off", "F", "by how much the device data of the nodes are too high", 0.0),
)

TABLES: Final = (
    Table(
        "link-service",
        "what the link layer delivers: pairs per second, or their true fidelity when their heralds have arrived",
        (Parameter("figure", "word", "which", "rate", ("rate", "fidelity")), *_LINK),
        _service,
        _check,
    ),
    Table(
        "estimate-coverage",
        "share of pairs whose true fidelity lies within the error bar of the nodes' estimate; below .95 it fails",
        _LINK,
        _coverage,
        _check,
    ),
)
