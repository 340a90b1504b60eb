"""What a run found, as figures and as the few lines a person reads first.

What may live here: from outcome to report.json's content and to text.  Nothing here depends on the clock or on wall
time.
"""

from collections import Counter
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from testbed.circuits import CompiledJob
from testbed.report import jobs as controlled
from testbed.report import link_load
from testbed.report.counts import Came, count_figures, count_lines
from testbed.report.keys import key_figures
from testbed.report.outcome import Outcome
from testbed.report.requests import request_figures
from testbed.report.statistics import averaged, mean_of
from testbed.report.switches import switch_figures
from testbed.report.sync import sync_figures, sync_points
from testbed.rundir import Figure
from testbed.scenario import LinkLoad, Scenario


@dataclass(slots=True)
class Report:
    """``lines`` are for people; the rest is report.json."""

    figures: list[Figure] = field(default_factory=list)
    sections: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)


def build_report(scenario: Scenario, jobs: list[CompiledJob], outcome: Outcome) -> Report:
    """Figures of every kind of work the scenario asks for, and of the links under it."""
    report = Report()
    report.figures.append(Figure("virtual_time", "run", outcome.end_ps * 1e-12, "s", 1))
    if outcome.ended_early:
        report.sections["ended_early"] = True
        report.lines.append(f"ended early, at virtual time {outcome.end_ps * 1e-12:g} s: this is what there is")
    for node, results in outcome.results.items():
        report.unfinished += [f"{node}: {app} had not ended" for app in results.get("running", [])]
    for index, job in enumerate(jobs):
        if job.circuit is None:
            _job(report, f"job-{index}", job, outcome)
    if scenario.jobs and scenario.jobs[0].controller:
        asked = controlled.asked(scenario, jobs, outcome)
        report.figures += controlled.figures(scenario, asked)
        report.lines += controlled.lines(scenario, asked)
        report.sections |= controlled.sections(asked)
        report.unfinished += controlled.unfinished(scenario, asked, outcome)
    if scenario.teleport is not None:
        _teleport(report, scenario, outcome)
    for index in range(len(scenario.requests)):
        figures, lines, unfinished = request_figures(scenario, index, outcome)
        report.figures += figures
        report.lines += lines
        report.unfinished += unfinished
    for index in range(len(scenario.keys)):
        figures, lines, unfinished = key_figures(scenario, index, outcome)
        report.figures += figures
        report.lines += lines
        report.unfinished += unfinished
    for index, load in enumerate(scenario.link_loads):
        _link_load(report, scenario, load, index, outcome)
    if scenario.toy is not None:
        _echo(report, scenario.toy.source, outcome)
    _links(report, scenario, outcome)
    figures, lines = sync_figures(sync_points(scenario, outcome.plane.get("pairs", [])))
    report.figures += figures
    report.lines += lines
    for station in scenario.nodes:
        figures, lines = switch_figures(scenario, station, outcome.results, outcome.plane.get("pairs", []))
        report.figures += figures
        report.lines += lines
    report.sections["counters"] = {n: dict(sorted(c.items())) for n, c in outcome.counters.items()}
    report.sections["frames_lost_with_dead_nodes"] = outcome.frames_lost
    return report


def _job(report: Report, name: str, job: CompiledJob, outcome: Outcome) -> None:
    parts = {node: outcome.results[node][name] for node in job.programs if name in outcome.results[node]}
    report.unfinished += [f"{node}: its part of {job.name} died with it" for node in job.programs if node not in parts]
    report.unfinished += [f"{node}: {job.name}: {p['failed']}" for node, p in parts.items() if "failed" in p]
    if not parts:
        return
    # A shot counts if every node has measured all its bits in it.
    measured = [
        shot
        for shot in range(min(len(part["bits"]) for part in parts.values()))
        if len(parts) == len(job.programs) and all(part["bits"][shot] is not None for part in parts.values())
    ]
    counts: Counter[str] = Counter()
    for shot in measured:
        bits = ["0"] * job.clbits
        for part in parts.values():
            for clbit, value in zip(part["clbits"], part["bits"][shot], strict=True):
                bits[job.clbits - 1 - clbit] = value
        counts["".join(bits)] += 1
    pairs = sum(part["pairs"] for part in parts.values())
    elapsed = max(part["elapsed_ps"] for part in parts.values())
    spoilt = max(part["spoilt"] for part in parts.values())
    came = Came(counts, spoilt, pairs, elapsed, list(job.programs))
    report.sections["counts"] = {**report.sections.get("counts", {}), job.name: dict(sorted(counts.items()))}
    report.figures += count_figures(job, came)
    report.lines += count_lines(job, came)


def _teleport(report: Report, scenario: Scenario, outcome: Outcome) -> None:
    assert scenario.teleport is not None
    for node in (scenario.teleport.source, scenario.teleport.destination):
        part = outcome.results[node].get("teleport")
        if part is None:
            report.unfinished.append(f"{node}: its part of the teleports died with it")
        elif "failed" in part:
            report.unfinished.append(f"{node}: teleport: {part['failed']}")
    arrived = outcome.results[scenario.teleport.destination].get("teleport")
    if not arrived:
        return
    total = right = 0
    for state, (n, good) in arrived["states"].items():
        total += n
        right += good
        if n:
            share = good / n
            report.figures.append(Figure("teleport_fidelity", state, share, "1", n, sqrt(share * (1 - share) / n)))
    if not total:
        return
    share = right / total
    stderr = sqrt(share * (1 - share) / total)
    report.figures.append(Figure("teleport_fidelity", "average", share, "1", total, stderr))
    report.figures.append(Figure("teleports_lost", "all", arrived["lost"], "1", total))
    pair = mean_of([p["fidelity_at_herald"] for p in outcome.plane.get("pairs", [])])
    ways = f"{scenario.teleport.source} -> {scenario.teleport.destination}"
    report.lines.append(f"teleported {ways}: {total} qubits, {arrived['lost']} lost")
    report.lines.append(f"  average fidelity, measured  {share:.4f} +- {stderr:.4f}")
    if pair is not None:
        expected = (2 * pair + 1) / 3
        report.figures.append(Figure("teleport_fidelity_expected", "average", expected, "1", total))
        report.lines.append(f"  (2F + 1)/3 of the pairs      {expected:.4f}  (ideal local operations)")


def _echo(report: Report, source: str, outcome: Outcome) -> None:
    done = outcome.results[source].get("echo")
    if not done:
        return
    pings = done["answered"] + done["lost"]
    report.figures.append(Figure("answered", source, done["answered"], "1", pings))
    report.figures.append(Figure("round_trip", source, done["elapsed_ps"] * 1e-12 / pings, "s", pings))
    report.lines.append(f"echo from {source}: {done['answered']} of {pings} answered, {done['lost']} lost")


def _link_load(report: Report, scenario: Scenario, load: LinkLoad, index: int, outcome: Outcome) -> None:
    link = scenario.link(load.link)
    told = [end for end in (link.a, link.b) if f"load-{index}" in outcome.results[end]]
    dead = [end for end in (link.a, link.b) if end not in told]
    report.unfinished += [f"{end}: its part of link_requests died with it" for end in dead]
    if not told:
        report.lines.append(f"link {load.link}: what its ends were told of their requests died with them")
        return
    found = list(link_load.results(scenario, load, index, outcome))
    for result in found:
        report.figures.extend(link_load.figures(load.link, result))
    report.lines.extend(link_load.table(load, link.scheduler, found))


def _links(report: Report, scenario: Scenario, outcome: Outcome) -> None:
    """Per link: how many pairs, what the nodes believe of them, and what the oracle knows."""
    pairs = outcome.plane.get("pairs", [])
    for link in scenario.links:
        mine = [p for p in pairs if p["link"] == link.number]
        # Only nodes that had pairs of this link have an estimate of it.
        known = [r.get("estimates", {}).get(str(link.number)) for r in outcome.results.values()]
        estimates = [estimate for estimate in known if estimate is not None]
        report.figures.append(Figure("pairs_heralded", link.name, len(mine), "1", 1))
        if not mine:
            continue
        estimated = sum(n for n, _ in estimates)
        believed = sum(total for _, total in estimates) / max(1, estimated)
        if estimated:
            report.figures.append(Figure("fidelity_estimated", link.name, believed, "1", estimated))
        rows = (
            ("fidelity_at_herald", [p["fidelity_at_herald"] for p in mine], "as the oracle has it, herald arrived"),
            ("fidelity_at_emission", [p["fidelity_at_emission"] for p in mine], "as the oracle has it, at emission"),
        )
        report.lines.append(f"link {link.name}: {len(mine)} pairs heralded")
        said = f"{believed:.5f}" if estimated else "no node had one at the end"
        report.lines.append(f"  fidelity {'as the nodes estimate it':38} {said}")
        for name, values, words in rows:
            figure = averaged(name, link.name, values, "1")
            report.figures.append(figure)
            report.lines.append(f"  fidelity {words:38} {figure.value:.5f}")
