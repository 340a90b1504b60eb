"""What became of the jobs that a scenario gave to its controller: when and where each ran, how busy the QPUs were.

What may live here: from the controller's records to figures, lines and sections of the report.
"""

from dataclasses import dataclass
from typing import Any

from testbed.circuits import CompiledJob
from testbed.lab.outcome import Outcome
from testbed.report.counts import Came, count_figures, count_lines
from testbed.rundir import Figure
from testbed.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Asked:
    """A job, and the controller's record of it; empty: it did not live to submit it."""

    job: CompiledJob
    record: dict[str, Any]

    @property
    def state(self) -> str:
        return str(self.record.get("state", "LOST"))

    @property
    def waited_ps(self) -> int | None:
        """From submission until QPUs were leased to it; None: they never were."""
        placings = self.record.get("placings")
        return placings[0]["began_ps"] - self.record["submitted_ps"] if placings else None

    @property
    def leased_ps(self) -> int:
        """How long it held QPUs, over all its leases."""
        return sum((p["ended_ps"] or p["began_ps"]) - p["began_ps"] for p in self.record.get("placings", ()))

    @property
    def came(self) -> Came:
        record = self.record
        nodes = [f"{n}" for placing in record["placings"] for n in placing["nodes"]]
        counts, spoilt = record["counts"], record["shots_spoilt"]
        return Came(counts, spoilt, record["pairs"], record["running_ps"], list(dict.fromkeys(nodes)))


def asked(scenario: Scenario, jobs: list[CompiledJob], outcome: Outcome) -> list[Asked]:
    """In the order of the scenario."""
    records = outcome.results[scenario.jobs[0].controller].get("jobs") or [{} for _ in jobs]
    return [Asked(job, record) for job, record in zip(jobs, records, strict=True)]


def figures(scenario: Scenario, jobs: list[Asked]) -> list[Figure]:
    """Waiting, running, placings and counts of each; utilisation of the QPUs over all."""
    found = []
    for one in jobs:
        name = one.job.name
        if one.waited_ps is not None:
            found.append(Figure("waiting", name, one.waited_ps * 1e-12, "s", 1))
            found.append(Figure("running", name, one.leased_ps * 1e-12, "s", len(one.record["placings"])))
            found.append(Figure("placings", name, len(one.record["placings"]), "1", 1))
            found += count_figures(one.job, one.came)
    controller = scenario.jobs[0].controller
    for state in ("DONE", "CANCELLED", "FAILED", "REFUSED"):
        number = sum(one.state == state for one in jobs)
        found.append(Figure(f"jobs_{state.lower()}", controller, number, "1", len(jobs)))
    span_ps = _span_ps(jobs)
    if span_ps:
        qpus = sum(node.kind == "qpu" for node in scenario.nodes)
        busy_ps = sum(
            (p["ended_ps"] - p["began_ps"]) * len(p["nodes"])
            for one in jobs
            for p in one.record.get("placings", ())
            if p["ended_ps"] is not None
        )
        found.append(Figure("makespan", controller, span_ps * 1e-12, "s", len(jobs)))
        found.append(Figure("utilisation", controller, busy_ps / (span_ps * qpus), "1", qpus))
        pairs = sum(one.record.get("pairs", 0) for one in jobs)
        found.append(Figure("pairs_used", controller, pairs, "1", len(jobs)))
    return found


def _span_ps(jobs: list[Asked]) -> int:
    """From the first submission to the last end."""
    ends = [one.record["ended_ps"] for one in jobs if one.record.get("ended_ps") is not None]
    return int(max(ends) - min(one.record["submitted_ps"] for one in jobs if one.record)) if ends else 0


def lines(scenario: Scenario, jobs: list[Asked]) -> list[str]:
    """A table of all jobs, and the outcomes of each."""
    width = max(len("job"), *(len(one.job.name) for one in jobs))
    head = f"  {'job':{width}}  state      waited ms  leased ms  shots  QPUs"
    found = [f"jobs of {scenario.jobs[0].controller}", head]
    for one in jobs:
        waited = "-" if one.waited_ps is None else f"{one.waited_ps * 1e-9:.3f}"
        shots = f"{one.record.get('shots_done', 0)}"
        where = " then ".join(", ".join(p["nodes"]) for p in one.record.get("placings", ()))
        leased = f"{one.leased_ps * 1e-9:.3f}"
        row = f"  {one.job.name:{width}}  {one.state.lower():9}  {waited:>9}  {leased:>9}  {shots:>5}  {where}"
        found.append(row.rstrip())
        if one.record.get("reason"):
            found.append(f"  {'':{width}}  {one.record['reason']}")
    for one in jobs:
        if one.waited_ps is not None:
            found += count_lines(one.job, one.came)
    return found


def sections(jobs: list[Asked]) -> dict[str, Any]:
    """Counts by job, as of any other; and the controller's records."""
    counts = {one.job.name: one.record["counts"] for one in jobs if one.record.get("counts")}
    records = [{k: v for k, v in one.record.items() if k not in ("counts", "version")} for one in jobs]
    return {"counts": counts, "jobs": records}


def unfinished(scenario: Scenario, jobs: list[Asked]) -> list[str]:
    """What did not end as it was planned."""
    controller = scenario.jobs[0].controller
    found = []
    for one in jobs:
        if one.state not in ("DONE", "CANCELLED"):
            why = one.record.get("reason") or one.state.lower()
            found.append(f"{controller}: {one.job.name}: {why}")
    return found
