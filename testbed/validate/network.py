"""Area `network`: pairs over repeaters through the whole stack, against what composing and purifying states must give.

Every row is a run of the real stack under the `local` clock: a chain of repeaters between two ends, a request for
pairs, and the oracle's fidelity of each when the first end lets it go. The rows stand in network.yaml.
"""

import tempfile
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any, Final

import yaml

from testbed.lab.compose import compose
from testbed.lab.local import run_local
from testbed.lab.outcome import Outcome
from testbed.lab.report import true_fidelities
from testbed.scenario import PURIFICATIONS, Scenario, load_scenario
from testbed.validate.table import Measurement, Parameter, Parameters, Table

ROWS: Final = Path(__file__).with_name("network.yaml")
_MOST_HOPS: Final = 32
_MOST_PAIRS: Final = 10_000


def _scenario(values: Parameters, seed: int, folder: Path) -> Scenario:
    hops, pairs = _whole(values, "hops", _MOST_HOPS), _whole(values, "pairs", _MOST_PAIRS)
    device = {
        "data_qubits": 0,
        "communication_qubits": 8,
        "parallel": True,
        "t1_s": values["t1_s"],
        "t2_s": values["t2_s"],
        "gate_2q_fidelity": values["gate_2q_fidelity"],
        "readout_error_0": values["readout_error"],
        "readout_error_1": values["readout_error"],
        "readout_s": values["readout_s"],
    }
    nodes: dict[str, Any] = {
        f"n{i}": {"kind": "qpu" if i in (0, hops) else "repeater", "device": dict(device)} for i in range(hops + 1)
    }
    nodes |= {f"s{i}": {"kind": "station"} for i in range(hops)}
    link = {
        "length_m": values["length_m"],
        "model": "barrett-kok",
        "grade": "sampled",
        "slot_s": 10e-6,
        "round_gap_s": 1e-6,
        "attenuation_db_per_km": 0.0,
        "visibility": values["visibility"],
        "efficiency_a": values["efficiency"],
        "efficiency_b": values["efficiency"],
    }
    circuits: dict[str, Any] = {"cutoff_s": values["cutoff_s"], "swapping": values["swapping"]}
    if values["method"] != "none":
        circuits |= {
            "purification": values["method"],
            "link_rounds": _whole(values, "link_rounds", 4, 0),
            "end_rounds": _whole(values, "end_rounds", 4, 0),
            "pumping": values["pumping"] == "yes",
        }
    text = {
        "seed": seed,
        "nodes": nodes,
        "links": {f"l{i}": {"a": f"n{i}", "b": f"n{i + 1}", "station": f"s{i}", **link} for i in range(hops)},
        "circuits": circuits,
        "requests": [{"from": "n0", "to": f"n{hops}", "pairs": pairs, "ahead": 4}],
    }
    path = folder / "chain.yaml"
    path.write_text(yaml.safe_dump(text), encoding="utf-8")
    return load_scenario(path)


def _whole(values: Parameters, name: str, most: int, least: int = 1) -> int:
    number = values[name]
    if not isinstance(number, int) or not least <= number <= most:
        raise ValueError(f"{name}: {number} is no whole number from {least} to {most}")
    return number


def _run(values: Parameters, seed: int) -> tuple[Scenario, Outcome]:
    with tempfile.TemporaryDirectory(prefix="bellwire-validate-") as folder:
        scenario = _scenario(values, seed, Path(folder))
        outcome = run_local(compose(scenario, "local", []), None, {})
    failed = outcome.results["n0"]["pairs-0"].get("failed")
    if failed:
        raise ValueError(f"the request ended: {failed}")
    return scenario, outcome


def _fidelity(values: Parameters, seed: int) -> Measurement:
    scenario, outcome = _run(values, seed)
    return _mean(true_fidelities(scenario, 0, outcome))


def _estimate(values: Parameters, seed: int) -> Measurement:
    """What the head believes, less what is true: the mean over the pairs."""
    scenario, outcome = _run(values, seed)
    came = outcome.results["n0"]["pairs-0"]["pairs"]
    believed = sum(goodness for *_, goodness in came) / len(came) / 0xFFFFFFFF
    true = _mean(true_fidelities(scenario, 0, outcome))
    return true._replace(value=believed - true.value, largest=None)


def _yield(values: Parameters, seed: int) -> Measurement:
    """Link pairs per delivered pair on the first link, each a geometric number of tries of `2^rounds` pairs."""
    _, outcome = _run(values, seed)
    made = sum(1 for pair in outcome.plane["pairs"] if pair["link"] == 1)
    delivered = len(outcome.results["n0"]["pairs-0"]["pairs"])
    each = 1 << _whole(values, "link_rounds", 4, 0)
    mean = made / delivered
    tries = mean / each
    return Measurement(mean, each * sqrt(max(tries * (tries - 1), 1e-4) / delivered), delivered)


def _mean(found: list[float]) -> Measurement:
    mean = sum(found) / len(found)
    spread = sqrt(sum((value - mean) ** 2 for value in found) / max(1, len(found) * (len(found) - 1)))
    return Measurement(mean, spread if spread > 1e-9 else None, len(found), 1.0 if spread > 1e-9 else None)


_CHAIN: Final = (
    Parameter("hops", "links", "between the two ends"),
    Parameter("pairs", "pairs", "asked for", 20),
    Parameter("visibility", "M", "Hong-Ou-Mandel, of the Barrett-Kok links: they dephase by (1 - M)/2", 1.0),
    Parameter("efficiency", "probability", "of both arms", 1.0),
    Parameter("length_m", "m", "of each link", 20.0),
    Parameter("gate_2q_fidelity", "F", "average gate fidelity of CX at every node, depolarising", 1.0),
    Parameter("readout_error", "probability", "of either outcome", 0.0),
    Parameter("readout_s", "s", "duration of a readout", 0.0),
    Parameter("t1_s", "s", "of all memories; 0 is infinite", 0.0),
    Parameter("t2_s", "s", "of all memories; 0 is infinite", 0.0),
    Parameter("cutoff_s", "s", "at repeaters; 0 is never", 0.0),
    Parameter("swapping", "word", "order of swaps", "asap", ("asap", "nested")),
    Parameter("method", "word", "of purification", "none", PURIFICATIONS),
    Parameter("link_rounds", "rounds", "of purification on every link", 0),
    Parameter("end_rounds", "rounds", "of purification between the ends", 0),
    Parameter("pumping", "word", "one pair is purified with fresh ones", "no", ("no", "yes")),
)


def _table(name: str, quantity: str, runner: Callable[[Parameters, int], Measurement]) -> Table:
    return Table(name, quantity, _CHAIN, runner)


TABLES: Final = (
    _table("chain-fidelity", "true fidelity of the delivered pairs", _fidelity),
    _table("chain-estimate", "fidelity as the head estimates it, less the true one", _estimate),
    _table("link-pairs", "link pairs used per delivered pair, on the first link", _yield),
)
