"""What came of requests for pairs: how many, how fast, how good the nodes believe them to be, what the oracle knows.

What may live here: figures of one request, and the plot of rate and fidelity over the cutoff of several.
"""

from collections.abc import Iterator
from math import sqrt
from pathlib import Path
from typing import Any, Final, NamedTuple

from protocols.correlations import DEVIATIONS
from protocols.wire import EgpBasis, PairKind
from testbed.palette import LIGHT
from testbed.report.outcome import Outcome
from testbed.report.statistics import averaged
from testbed.rundir import Figure
from testbed.scenario import Requests, Scenario

PLOT: Final = "cutoffs.svg"
WHY: Final = {
    ("REFUSED", "REJECTED"): "nobody there listens for it",
    ("REFUSED", "UNSUPP"): "pairs of that kind are not served there",
    ("REFUSED", "CREATE"): "it has a request of that number",
    ("LINK_FAILED", "UNSUPP"): "the link cannot make pairs so good",
    ("LINK_FAILED", "NOTIME"): "not in that time, for all that the link has to do",
    ("LINK_FAILED", "NORES"): "no qubits, no place in its queue, or a station that is silent",
}
"""By how a request ended and what was said against it: that in words."""
_FULL: Final = (1 << 32) - 1


def request_figures(scenario: Scenario, index: int, outcome: Outcome) -> tuple[list[Figure], list[str], list[str]]:
    """Figures for report.json, lines for people, and what is unfinished."""
    asked = scenario.requests[index]
    name = f"{asked.source}-{asked.destination}-{index}"
    asking = outcome.results[asked.source].get(f"pairs-{index}")
    if asking is None:
        return [], [], [f"{asked.source}: its request {name} died with it"]
    unfinished = []
    if "failed" in asking:
        names = {node.number: node.name for node in scenario.nodes}
        where = names.get(asking.get("where"), asked.source)
        why = WHY.get((asking["failed"], asking.get("error")))
        if asking["failed"] == "REFUSED" and f"pairs-{index}" not in outcome.results.get(asked.destination, {}):
            why = "its part in the request died with an earlier life of the node"
        unfinished.append(
            f"{asked.source}: request {name}: {asking['failed']} at {where}{f' ({why})' if why else ''}"
        )
    came = asking["measured"] or asking["pairs"]
    figures = [Figure("pairs_delivered", name, len(came), "1", asked.pairs)]
    lines = [f"request {asked.source} -> {asked.destination}: {len(came)} of {asked.pairs} pairs"]
    if came:
        for figure, words in _of_pairs(scenario, index, outcome, name):
            figures.append(figure)
            if words:
                lines.append(f"  {words:47} {figure.value:.6g}{_bar(figure)}")
    return figures, lines, unfinished


def _bar(figure: Figure) -> str:
    return "" if figure.stderr is None else f" +- {figure.stderr:.2g}"


def _of_pairs(scenario: Scenario, index: int, outcome: Outcome, name: str) -> Iterator[tuple[Figure, str]]:
    """Figures, and how a line says it."""
    asked = scenario.requests[index]
    asking = outcome.results[asked.source][f"pairs-{index}"]
    there = outcome.results.get(asked.destination, {}).get(f"pairs-{index}", {})
    measured, kept = asking["measured"], asking["pairs"]
    n = len(measured or kept)
    elapsed_s = (asking["last_ps"] - asking["began_ps"]) * 1e-12
    yield Figure("pairs_per_second", name, n / elapsed_s, "1/s", n), "pairs per second"
    goodness = [row[3] for row in measured or kept]
    believed = sum(goodness) / n / _FULL
    yield Figure("fidelity_estimated", name, believed, "1", n), "fidelity as the head estimates it"
    true = true_fidelities(scenario, index, outcome)
    if true:
        yield averaged("fidelity_delivered", name, true, "1"), "fidelity as the oracle has it, at delivery"
    if "tested" in asking:
        rounds, fidelity, error = asking["tested"]
        figure = Figure("fidelity_tested", name, fidelity / _FULL, "1", rounds, error / _FULL / DEVIATIONS)
        yield figure, f"fidelity by {rounds} test rounds"
    if asked.every_ps:
        waits = [ps * 1e-12 for ps in asking["waited_ps"]]
        yield averaged("wait", name, waits, "s"), "seconds from asking to having"
    if asked.delivery.kind is PairKind.EARLY:
        lost = asking["lost"] + there.get("lost", 0)
        yield Figure("early_lost", name, lost, "1", n), "early halves that became no pair, at both ends"
        if asking["early_ps"]:
            leads = [ps * 1e-12 for ps in asking["early_ps"]]
            yield averaged("early_lead", name, leads, "s"), "seconds from half to pair, at the head"
    for bases, value, rounds in correlations(measured, there.get("measured", [])):
        deviation = sqrt(max(1 - value**2, 1 / rounds) / rounds)
        words = f"correlation {bases} over {rounds} pairs"
        yield Figure(f"correlation_{bases}", name, value, "1", rounds, deviation), words


def correlations(here: list[list[int]], there: list[list[int]]) -> Iterator[tuple[str, float, int]]:
    """Mean product of the outcomes (+1 and -1) of measured pairs, by the two bases: (bases, mean, pairs)."""
    peers = {row[0]: row for row in there}
    found: dict[tuple[int, int], list[int]] = {}
    for pair_id, basis, outcome, _ in here:
        if pair_id in peers:
            _, other, read, _ = peers[pair_id]
            found.setdefault((basis, other), []).append(1 - 2 * (outcome ^ read))
    for (basis, other), products in sorted(found.items()):
        names = f"{EgpBasis(basis).name},{EgpBasis(other).name}"
        yield names, sum(products) / len(products), len(products)


def true_fidelities(scenario: Scenario, index: int, outcome: Outcome) -> list[float]:
    """Of each pair that both ends of a request had, when the first of them let it go."""
    return [fidelity for _, fidelity in believed_and_true(scenario, index, outcome)]


def believed_and_true(scenario: Scenario, index: int, outcome: Outcome) -> list[tuple[float, float]]:
    """The same, each with what the end that let it go first believed of it."""
    asked = scenario.requests[index]
    numbers = {node.name: node.number for node in scenario.nodes}
    spent = {(entry["node"], entry["qubit"]): entry for entry in outcome.plane.get("spent", [])}
    ends: list[dict[int, Any]] = []
    for name in (asked.source, asked.destination):
        part = outcome.results.get(name, {}).get(f"pairs-{index}", {"pairs": []})
        ends.append({row[0]: (numbers[name], *row[1:4]) for row in part["pairs"]})
    found = []
    for pair_id in ends[0].keys() & ends[1].keys():
        entries = [
            (spent.get((node, qubit)), index, goodness)
            for node, qubit, index, goodness in (ends[0][pair_id], ends[1][pair_id])
        ]
        first = min(((e["at_ps"], e["fidelities"][i], g) for e, i, g in entries if e is not None), default=None)
        if first is not None:
            _, fidelity, goodness = first
            found.append((goodness / _FULL, fidelity))
    return found


class CutoffPoint(NamedTuple):
    """One request: how long a half may wait for its swap (0: for ever), and what came of it."""

    cutoff_s: float
    rate_hz: float
    fidelity: float
    stderr: float
    believed: float
    pairs: int


def cutoff_points(scenario: Scenario, outcome: Outcome) -> list[CutoffPoint]:
    """Of the requests that say how long a half may wait, by rising cutoff, without one last."""
    points = []
    for index, asked in enumerate(scenario.requests):
        figures, _, _ = request_figures(scenario, index, outcome)
        found = {figure.name: figure for figure in figures}
        if asked.delivery.cutoff_ps is None or not {"pairs_per_second", "fidelity_delivered"} <= found.keys():
            continue
        true = found["fidelity_delivered"]
        rate, fidelity, believed = (
            float(found[name].value or 0.0) for name in ("pairs_per_second", "fidelity_delivered", "fidelity_estimated")
        )
        cutoff_s = asked.delivery.cutoff_ps * 1e-12
        points.append(CutoffPoint(cutoff_s, rate, fidelity, true.stderr or 0.0, believed, true.n))
    return sorted(points, key=lambda point: point.cutoff_s or float("inf"))


def draw(scenario: Scenario, points: list[CutoffPoint], path: Path) -> str:
    """Rate and fidelity over the cutoff, one above the other; without a cutoff, as a line across.  The drawing, which
    is written into `path` too."""
    from matplotlib.figure import Figure as Canvas

    from testbed.plotting import save

    blue, orange, grey = (LIGHT[name] for name in ("blue", "orange", "grey"))
    canvas = Canvas(figsize=(6.4, 5.6), layout="constrained")
    rates, fidelities = canvas.subplots(2, 1, sharex=True)
    on = [point for point in points if point.cutoff_s]
    off = [point for point in points if not point.cutoff_s]
    cutoffs_ms = [point.cutoff_s * 1e3 for point in on]
    # A geometric number of tries each: the rate is known to one part in the root of its pairs.
    rates.errorbar(
        cutoffs_ms, [p.rate_hz for p in on], yerr=[p.rate_hz / sqrt(p.pairs) for p in on], **_style(blue, "cutoff")
    )
    fidelities.errorbar(
        cutoffs_ms, [p.fidelity for p in on], yerr=[p.stderr for p in on], **_style(blue, "cutoff, true")
    )
    believed = [p.believed for p in on]
    fidelities.plot(cutoffs_ms, believed, color=orange, linestyle="none", marker="x", label="as the head believes")
    for point in off:
        for axes, value, half in (
            (rates, point.rate_hz, point.rate_hz / sqrt(point.pairs)),
            (fidelities, point.fidelity, point.stderr),
        ):
            axes.axhline(value, color=grey, linewidth=1.2, label="no cutoff")
            axes.axhspan(value - half, value + half, color=grey, alpha=0.2, linewidth=0)
    rates.set_ylabel("pairs per second")
    rates.set_ylim(bottom=0)
    fidelities.set_ylabel("fidelity at delivery")
    fidelities.set_xlabel("cutoff: how long a half waits at a repeater, ms")
    fidelities.set_xlim(left=0)
    rates.set_title(_title(scenario.requests, scenario), fontsize=10)
    for axes in (rates, fidelities):
        axes.legend(frameon=False, fontsize=8)
        axes.grid(alpha=0.7)
    return save(canvas, f"{_title(scenario.requests, scenario)}: rate and fidelity over the cutoff", path)


def _style(color: str, label: str) -> dict[str, Any]:
    return {"color": color, "label": label, "fmt": "o-", "markersize": 4, "linewidth": 1.2, "capsize": 2}


def _title(requests: tuple[Requests, ...], scenario: Scenario) -> str:
    ends = {(asked.source, asked.destination) for asked in requests}
    return f"{scenario.name}: " + ", ".join(f"{a} to {b}" for a, b in sorted(ends))
