"""report.html put together: what ran, what came out, what it cost, and where time and fidelity went.

What may live here: the order of the page and its sentences.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from math import comb, prod, sqrt
from pathlib import Path
from typing import Any, Final

from testbed.circuits import CompiledJob
from testbed.page.budget import GateBudget, gate_budgets, held, idle_fidelity, local_fidelity
from testbed.page.findings import network
from testbed.page.frame import framed
from testbed.page.histogram import histogram, histogram_keys
from testbed.page.style import Column, keyed, rolling, table, tiles, unbroken, unfinished
from testbed.palette import BLUE, GREY, ORANGE
from testbed.report.outcome import Outcome
from testbed.rundir import Figure
from testbed.scenario import Scenario

_VISIBLE: Final = 1e-6
"""The chance that luck alone gives the right answer as often: below it the answer is seen."""

_GATES: Final = 60
_COLUMNS: Final = (
    *(Column(name, "words") for name in ("gate", "kind", "between")),
    *(Column(name) for name in ("pair", "operations", "readout", "memory", "all", "waiting", "pair", "gate")),
    Column("to scale", "bars"),
)
_TIMES: Final = (("waiting for the other QPU", GREY), ("making the pair", ORANGE), ("operations and messages", BLUE))


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the page is made from."""

    scenario: Scenario
    jobs: list[CompiledJob]
    outcome: Outcome
    figures: list[Figure]
    counts: Mapping[str, Mapping[str, int]]
    unfinished: list[str]


def write_page(facts: RunFacts, events: Iterable[dict[str, Any]], chart: str | None, path: Path) -> None:
    """Write report.html.  events: of the run's events.jsonl; chart: an SVG of one telegate."""
    path.write_text(page(facts, list(_about_gates(events)), chart), encoding="utf-8")


def _about_gates(events: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    return (event for event in events if event["layer"] in ("gates", "network", "physical"))


def page(facts: RunFacts, events: list[dict[str, Any]], chart: str | None) -> str:
    """The page's text."""
    scenario = facts.scenario
    of_none = [said for said in facts.unfinished if not any(job.name in said for job in facts.jobs)]
    out: list[str] = [unfinished(of_none)] if of_none else []
    for index, job in enumerate(facts.jobs):
        out += _job(facts, index, job, gate_budgets(scenario, index, job, events, facts.outcome.plane.get("pairs", [])))
    seats: dict[str, list[str]] = {}
    for job in facts.jobs:
        for name, count in held(job).items():
            seats.setdefault(name, []).append(f"{count} qubit{'s' * (count != 1)}")
    out += network(scenario, facts.figures, {name: ", ".join(texts) for name, texts in seats.items()})
    if chart is not None:
        out += [
            "<h2>One telegate, message by message</h2>",
            ("<p>Drawn from the trace: every arrow is a frame that stands in <code>trace.pcapng</code>; bare "
            "acknowledgements are left out. A row is a moment; rows are not to scale.</p>"),
            rolling("chart ladder", "a telegate, message by message", chart),
        ]
    return framed(scenario, out)


def _figure(facts: RunFacts, name: str, subject: str) -> Figure | None:
    return next((f for f in facts.figures if f.name == name and f.subject == subject), None)


def _job(facts: RunFacts, index: int, job: CompiledJob, budgets: list[GateBudget]) -> list[str]:
    counts = facts.counts.get(job.name, {})
    shots = sum(counts.values())
    qpus = len(job.programs)
    out = [f"<h2>{escape(job.name)}</h2>"]
    out.append(
        f"<p>{job.qubits} qubits on {qpus} QPU{'s' * (qpus != 1)}: {escape(', '.join(job.programs))}. "
        f"{job.gates} remote operation{'s' * (job.gates != 1)} a shot, each over an entangled pair.</p>"
    )
    mine = [said for said in facts.unfinished if job.name in said]
    if mine:
        out.append(unfinished(mine))
    if not shots:
        return out
    out += [_verdict(job, counts, shots), _tiles(facts, job, shots), _drawn_histogram(job, counts)]
    done = [budget for budget in budgets if budget.shots]
    if done:
        out += _budget(facts, job, done)
    return out


def _verdict(job: CompiledJob, counts: Mapping[str, int], shots: int) -> str:
    chance = 2.0**-job.clbits
    if len(job.ideal) != 1:
        if not job.ideal:
            return '<div class="verdict open">Too large a circuit to know what it would give without noise.</div>'
        measured = sum(sqrt(counts.get(k, 0) / shots * p) for k, p in job.ideal.items()) ** 2
        flat = sum(sqrt(p * chance) for p in job.ideal.values()) ** 2
        return (
            f'<div class="verdict open">Against the ideal distribution the measured one has a classical fidelity of '
            f"<b>{measured:.3f}</b>; outcomes by pure chance would have {flat:.3f}.</div>"
        )
    (answer,) = job.ideal
    right = counts.get(answer, 0)
    share, luck = right / shots, tail(right, shots, chance)
    stderr = sqrt(share * (1 - share) / shots)
    first = all(n < right for key, n in counts.items() if key != answer)
    came = f"came in <b>{right} of {shots}</b> shots: {share:.2f} ± {stderr:.2f}"
    said = f"The right answer, <code>{answer}</code>, {came}; pure chance would give {chance:.2g}"
    if luck < _VISIBLE and first:
        return f'<div class="verdict">{said}. It stands out: no other outcome is as frequent.</div>'
    if luck < _VISIBLE:
        return f'<div class="verdict drowned">{said}. More than luck, but another outcome is as frequent.</div>'
    return (
        f'<div class="verdict drowned">{said}. <b>The answer drowns</b>: of runs that only guess, a share of '
        f"{luck:.2g} does as well.</div>"
    )


def tail(successes: int, trials: int, probability: float) -> float:
    """The chance of at least so many successes, each with that probability."""
    below = sum(comb(trials, k) * probability**k * (1 - probability) ** (trials - k) for k in range(successes))
    if below < 0.5:
        return 1 - below
    return sum(
        comb(trials, k) * probability**k * (1 - probability) ** (trials - k)
        for k in range(successes, min(trials, successes + 400) + 1)
    )


def _tiles(facts: RunFacts, job: CompiledJob, shots: int) -> str:
    pairs = _figure(facts, "pairs_used", job.name)
    time = _figure(facts, "virtual_time_per_shot", job.name)
    spoilt = _figure(facts, "shots_spoilt", job.name)
    some = [(str(shots), "shots")]
    if pairs is not None and pairs.value is not None:
        some += [(f"{pairs.value:g}", "ebits used"), (f"{pairs.value / shots:g}", "ebits a shot")]
    if time is not None and time.value is not None:
        some.append((_time(time.value * 1e12), "a shot, in the network's time"))
    if spoilt is not None and spoilt.value:
        some.append((f"{spoilt.value:g}", "shots spoilt"))
    return tiles(some)


def _drawn_histogram(job: CompiledJob, counts: Mapping[str, int]) -> str:
    drawn = histogram(counts, job.ideal, job.clbits)
    return f'{histogram_keys(bool(job.ideal))}<div class="drawing">{drawn}</div>'


def _budget(facts: RunFacts, job: CompiledJob, budgets: list[GateBudget]) -> list[str]:
    """Time and fidelity of every remote gate, and what they come to together."""
    longest = max(budget.total_ps for budget in budgets) or 1.0
    legend = "".join(keyed(colour, what) for what, colour in _TIMES)
    rows = []
    for budget in budgets[:_GATES]:
        parts = (budget.waiting_ps, budget.pairing_ps, budget.working_ps)
        bars = "".join(
            f'<span class="bar" style="width:{150 * part / longest:.1f}px;background:{colour}"></span>'
            for part, (_, colour) in zip(parts, _TIMES, strict=True)
        )
        pair = "not known" if budget.fidelity_pair is None else f"{budget.fidelity_pair:.4f}"
        cells = [
            str(budget.gate),
            budget.kind if budget.gates_served == 1 else f"{budget.kind}, {budget.gates_served} gates",
            f"{unbroken(budget.control)} → {unbroken(budget.target)}",
            pair,
            f"{budget.fidelity_operations:.4f}",
            f"{budget.fidelity_readout:.4f}",
            f"{budget.fidelity_memory:.4f}",
            f"<b>{budget.fidelity:.4f}</b>",
            *(_time(part) for part in parts),
            bars,
        ]
        rows.append(cells)
    together = prod(budget.fidelity for budget in budgets)
    local = local_fidelity(facts.scenario, job)
    time = _figure(facts, "virtual_time_per_shot", job.name)
    shot_ps = 0.0 if time is None or time.value is None else time.value * 1e12
    idle = idle_fidelity(facts.scenario, job, budgets, shot_ps)
    more = f"<p>… and {len(budgets) - _GATES} more.</p>" if len(budgets) > _GATES else ""
    return [
        "<h3>Fidelity and time of each remote gate</h3>",
        ("<p>Fidelity by source, means over all shots, as far as it can be reckoned: the pair as the oracle knew it "
        "when it was used; the two programs' gates; their two readouts; the memory of the two data qubits from the "
        "first asking to the end. All of them multiplied is the gate's.</p>"),
        f'<p class="small times">Time:&ensp;{legend}</p>',
        table(f"remote gates of {job.name}", _COLUMNS, rows, (("", 3), ("fidelity", 5), ("mean time", 4))),
        more,
        (
            f"<p>All remote gates together {together:.3f}, local gates and the last readouts {local:.3f}, the memory "
            f"of qubits in no remote gate {idle:.3f}: <b>{together * local * idle:.3f}</b> is the chance that nothing "
            "goes wrong at all. The right answer may come more often, since some errors never show: a phase error just "
            "before a measurement, two that undo each other.</p>"
        ),
    ]


def _time(t_ps: float) -> str:
    for unit, size in (("s", 1e12), ("ms", 1e9), ("µs", 1e6), ("ns", 1e3)):
        if t_ps >= size:
            return f"{t_ps / size:.3g} {unit}"
    return "0" if t_ps < 1 else f"{t_ps:.0f} ps"
