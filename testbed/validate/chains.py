"""Tables of area `network` on chains of repeaters: pairs through the whole stack, as the oracle finds them.

Every row is a run of the real stack under the `local` clock: a chain of repeaters between two ends, a request for
pairs, and the oracle's fidelity of each when the first end lets it go.
"""

import json
import tempfile
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any, Final

from protocols.correlations import DEVIATIONS
from testbed.errors import BadInput
from testbed.lab.local import run_local
from testbed.plan.compose import compose
from testbed.report.outcome import Outcome
from testbed.report.requests import believed_and_true, true_fidelities
from testbed.scenario import PURIFICATIONS, Scenario, load_scenario
from testbed.validate.table import Measurement, Parameter, Parameters, Table, Value

_MOST_HOPS: Final = 32
_EXACT: Final = 5e-7
_MOST_PAIRS: Final = 10_000


def scenario(given: Parameters, seed: int, folder: Path) -> Scenario:
    """A chain of such links, and a request between its ends; BadInput if the scenario's reader finds it wrong."""
    values: dict[str, Value] = {c.name: c.default for c in COLUMNS if c.default is not None} | dict(given)
    hops, pairs = whole(values, "hops", _MOST_HOPS), whole(values, "pairs", _MOST_PAIRS)
    device = {
        "data_qubits": 0,
        "parallel": True,
        "t1_s": values["t1_s"],
        "t2_s": values["t2_s"],
        "gate_2q_fidelity": values["gate_2q_fidelity"],
        "readout_error_0": values["readout_error"],
        "readout_error_1": values["readout_error"],
        "readout_s": values["readout_s"],
    }
    memories = whole(values, "memories", 64)
    nodes: dict[str, Any] = {
        f"n{i}": {
            "kind": "qpu" if i in (0, hops) else "repeater",
            "device": device | {"communication_qubits": memories if i in (0, hops) else 2 * memories},
        }
        for i in range(hops + 1)
    }
    station: dict[str, Any] = {"kind": "station"}
    if values["link_fidelity"] != 1.0:
        # A switch of one analyser mixes white noise in: what Werner pairs are.
        cost = 1.0 - float(values["link_fidelity"])
        station["switch"] = {"analysers": 1, "reconfigure_s": 1e-9, "fidelity_cost": cost}
    nodes |= {f"s{i}": {**station} for i in range(hops)}
    model = str(values["model"])
    link = {
        "length_m": values["length_m"],
        "model": model,
        "grade": "sampled",
        "slot_s": values["slot_s"],
        "attenuation_db_per_km": values["attenuation_db_per_km"],
        "detector_efficiency": values["detector_efficiency"],
        "visibility": values["visibility"],
        "efficiency_a": values["efficiency"],
        "efficiency_b": values["efficiency"],
        **({"alpha": values["alpha"]} if model == "single-click" else {"round_gap_s": 1e-6}),
    }
    circuits: dict[str, Any] = {"cutoff_s": values["cutoff_s"], "swapping": values["swapping"]}
    if values["method"] != "none":
        circuits |= {
            "purification": values["method"],
            "link_rounds": whole(values, "link_rounds", 4, 0),
            "end_rounds": whole(values, "end_rounds", 4, 0),
            "pumping": values["pumping"] == "yes",
        }
    tests = {"test_share": values["test_share"]} if "test_share" in values else {}
    text = {
        "seed": seed,
        "nodes": nodes,
        "links": {f"l{i}": {"a": f"n{i}", "b": f"n{i + 1}", "station": f"s{i}", **link} for i in range(hops)},
        "circuits": circuits,
        "requests": [{"from": "n0", "to": f"n{hops}", "pairs": pairs, "ahead": memories, **tests}],
    }
    path = folder / "chain.yaml"
    path.write_text(json.dumps(text), encoding="utf-8")
    return load_scenario(path)


def whole(values: Parameters, name: str, most: int, least: int = 1) -> int:
    """A parameter that counts something; ValueError if it does not."""
    number = values[name]
    if not isinstance(number, int) or not least <= number <= most:
        raise ValueError(f"{name}: {number} is no whole number from {least} to {most}")
    return number


def check_chain(values: Parameters) -> None:
    """What the scenario's reader finds wrong is wrong with the parameter of that name."""
    method = values.get("method", "none")
    if method == "none" and (values.get("link_rounds") or values.get("end_rounds")):
        raise ValueError("method: rounds of purification need one")
    if method == "epl" and values["end_rounds"]:
        raise ValueError("end_rounds: EPL takes pairs as single clicks herald them, and those are pairs of links")
    with tempfile.TemporaryDirectory(prefix="bellwire-validate-") as folder:
        try:
            scenario(values, 1, Path(folder))
        except BadInput as error:
            key = error.place.rpartition(".")[2]
            raise ValueError(f"{_NAMES.get(key, key)}: {error.problem}") from None


_NAMES: Final = {
    "efficiency_a": "efficiency",
    "efficiency_b": "efficiency",
    "fidelity_cost": "link_fidelity",
    "readout_error_0": "readout_error",
    "readout_error_1": "readout_error",
    "purification": "method",
}
"""Keys of a scenario whose parameters have other names."""


def _run(values: Parameters, seed: int) -> tuple[Scenario, Outcome]:
    with tempfile.TemporaryDirectory(prefix="bellwire-validate-") as folder:
        read = scenario(values, seed, Path(folder))
        outcome = run_local(compose(read, "local", []), None, {})
    failed = outcome.results["n0"]["pairs-0"].get("failed")
    if failed:
        raise ValueError(f"the request ended: {failed}")
    return read, outcome


def _fidelity(values: Parameters, seed: int) -> Measurement:
    ran, outcome = _run(values, seed)
    return mean(true_fidelities(ran, 0, outcome), _drawn(values))


def _estimate(values: Parameters, seed: int) -> Measurement:
    """What the end that lets a pair go first believes of it, less what is true: the mean over the pairs."""
    ran, outcome = _run(values, seed)
    off = mean([believed - true for believed, true in believed_and_true(ran, 0, outcome)], _drawn(values))
    # Where each pair agrees to a nanosecond's decay there is no scatter to speak of: the row is exact.
    exact = off.stderr is None or off.stderr < _EXACT
    return off._replace(largest=None, stderr=None if exact else off.stderr)


def _tested(values: Parameters, seed: int) -> Measurement:
    """What test rounds between the ends say, with one standard deviation."""
    _, outcome = _run(values, seed)
    found = outcome.results["n0"]["pairs-0"].get("tested")
    if found is None:
        raise ValueError("too few test rounds: ask for more pairs")
    rounds, fidelity, error = found
    return Measurement(fidelity / 0xFFFFFFFF, error / 0xFFFFFFFF / DEVIATIONS, rounds)


def _rate(values: Parameters, seed: int) -> Measurement:
    """Pairs per second, from the request to the last pair."""
    _, outcome = _run(values, seed)
    result = outcome.results["n0"]["pairs-0"]
    pairs = len(result["pairs"])
    rate = pairs / ((result["last_ps"] - result["began_ps"]) * 1e-12)
    return Measurement(rate, rate / sqrt(pairs), pairs)


def _yield(values: Parameters, seed: int) -> Measurement:
    """Link pairs per delivered pair on the first link, each a geometric number of tries of `2^rounds` pairs."""
    _, outcome = _run(values, seed)
    made = sum(1 for pair in outcome.plane["pairs"] if pair["link"] == 1)
    delivered = len(outcome.results["n0"]["pairs-0"]["pairs"])
    each = 1 << whole(values, "link_rounds", 4, 0)
    mean = made / delivered
    tries = mean / each
    return Measurement(mean, each * sqrt(max(tries * (tries - 1), 1e-4) / delivered), delivered)


def _drawn(values: Parameters) -> bool:
    """Do the pairs of a run depend on something that may not have happened yet?"""
    return float(values.get("readout_error", 0.0)) > 0


def mean(found: list[float], drawn: bool = False) -> Measurement:
    """Of values between 0 and 1; exact, if all are the same, unless they were drawn: what is as rare as one in n may
    not be among n."""
    n = len(found)
    value = sum(found) / n
    spread = sqrt(sum((one - value) ** 2 for one in found) / max(1, n * (n - 1)))
    if drawn:
        spread = max(spread, 1 / n)
    return Measurement(value, spread if spread > 1e-9 else None, n, 1.0 if spread > 1e-9 else None)


MEASURES: Final[dict[str, Callable[[Parameters, int], Measurement]]] = {"rate": _rate, "fidelity": _fidelity}
"""For tables that compare chains with others' chains; parameters may be left out."""

COLUMNS: Final = (
    Parameter("hops", "links", "between the two ends, 1 to 32", None, (), ("n", "links")),
    Parameter("pairs", "pairs", "asked for", 20),
    Parameter("link_fidelity", "F", "white noise makes perfect pairs Werner pairs of it", 1.0, (), ("F",)),
    Parameter("model", "word", "of the links", "barrett-kok", ("barrett-kok", "single-click")),
    Parameter("alpha", "probability", "bright-state population of single clicks", 0.1, (), ("α",)),
    Parameter(
        "visibility",
        "M",
        "Hong-Ou-Mandel: Barrett-Kok pairs dephase by (1 - M)/2, single-click ones by (1 - sqrt M)/2",
        1.0,
        (),
        ("M",),
    ),
    Parameter("efficiency", "probability", "of both arms", 1.0, (), ("η",)),
    Parameter("detector_efficiency", "probability", "of a photon that arrives", 1.0, (), ("η_d",)),
    Parameter("attenuation_db_per_km", "dB/km", "of the fibre", 0.0),
    Parameter("memories", "qubits", "of each node for each of its links, 1 to 64", 4),
    Parameter("length_m", "m", "of each link", 20.0, (), ("L",)),
    Parameter("slot_s", "s", "from one attempt to the next", 10e-6),
    Parameter("gate_2q_fidelity", "F", "average gate fidelity of CX at every node, depolarising", 1.0),
    Parameter("readout_error", "probability", "of either outcome", 0.0),
    Parameter("readout_s", "s", "duration of a readout", 0.0),
    Parameter("t1_s", "s", "of all memories; 0 is infinite", 0.0, (), ("T1",)),
    Parameter("t2_s", "s", "of all memories; 0 is what T1 permits", 0.0, (), ("T2",)),
    Parameter("cutoff_s", "s", "at repeaters; 0 is never", 0.0),
    Parameter("swapping", "word", "order of swaps", "asap", ("asap", "nested")),
    Parameter("method", "word", "of purification", "none", PURIFICATIONS),
    Parameter("link_rounds", "rounds", "of purification on every link", 0),
    Parameter("end_rounds", "rounds", "of purification between the ends", 0),
    Parameter("pumping", "word", "one pair is purified with fresh ones", "no", ("no", "yes")),
)


def _table(name: str, quantity: str, runner: Callable[[Parameters, int], Measurement]) -> Table:
    return Table(name, quantity, COLUMNS, runner, check_chain)


_TESTED: Final = (
    *COLUMNS,
    Parameter("test_share", "probability", "of a pair to be measured by both ends", 0.5),
)


TABLES: Final = (
    _table("chain-fidelity", "true fidelity of the delivered pairs", _fidelity),
    _table("chain-estimate", "fidelity as the head estimates it, less the true one", _estimate),
    Table("chain-tested", "fidelity as test rounds between the ends see it", _TESTED, _tested, check_chain),
    _table("link-pairs", "link pairs used per delivered pair, on the first link: 2^rounds / p of all rounds", _yield),
)
