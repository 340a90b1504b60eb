"""What became of the jobs that a scenario gave to its controller: when and where each ran, how busy the QPUs were.

What may live here: from the controller's records to figures, lines and sections of the report.
"""

from dataclasses import dataclass
from typing import Any

from testbed.circuits import CompiledJob
from testbed.report.counts import Came, count_figures, count_lines
from testbed.report.outcome import Outcome
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
    def placed(self) -> bool:
        return bool(self.record.get("placings"))

    @property
    def waited_ps(self) -> int | None:
        """How long it was without QPUs until it was over, also between placings; None: it never was in the queue."""
        waited: int | None = self.record.get("waited_ps")
        return waited

    @property
    def waited_first_ps(self) -> int:
        """Of a job that was placed: how much of that was before the first time."""
        return int(self.record["placings"][0]["began_ps"] - self.record["submitted_ps"])

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
        if one.placed:
            found.append(Figure("waiting_first", name, one.waited_first_ps * 1e-12, "s", 1))
            found.append(Figure("running", name, one.leased_ps * 1e-12, "s", len(one.record["placings"])))
            found.append(Figure("placings", name, len(one.record["placings"]), "1", 1))
            found += count_figures(one.job, one.came)
    controller = scenario.jobs[0].controller
    for state in ("DONE", "CANCELLED", "FAILED", "REFUSED"):
        number = sum(one.state == state for one in jobs)
        found.append(Figure(f"jobs_{state.lower()}", controller, number, "1", len(jobs)))
    span_ps = _span_ps(jobs)
    if span_ps:
        qpus = sum(node.kind == "qpu" and node.controller in ("", controller) for node in scenario.nodes)
        placings = [p for one in jobs for p in one.record.get("placings", ())]
        busy_ps = sum(freed_ps - p["began_ps"] for p in placings for freed_ps in p["freed_ps"] if freed_ps is not None)
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
        if one.placed:
            found += count_lines(one.job, one.came)
    return found


def sections(jobs: list[Asked]) -> dict[str, Any]:
    """Counts by job, as of any other; and the controller's records.  One that it has refused, or did not live to take,
    has a name and a state all the same."""
    counts = {one.job.name: one.record["counts"] for one in jobs if one.record.get("counts")}
    records = [
        {"name": one.job.name, "state": one.state}
        | {k: v for k, v in one.record.items() if k not in ("counts", "version")}
        for one in jobs
    ]
    return {"counts": counts, "jobs": records}


def unfinished(scenario: Scenario, jobs: list[Asked], outcome: Outcome) -> list[str]:
    """What did not end as it was planned."""
    controller = scenario.jobs[0].controller
    journal = "its journal, there," if controller in outcome.elsewhere else f"journals/{controller}.jsonl"
    found = []
    for one in jobs:
        if one.state not in ("DONE", "CANCELLED"):
            lost = f"lost with its controller; {journal} has what is known of it"
            why = lost if one.state == "LOST" else one.record.get("reason") or one.state.lower()
            found.append(f"{controller}: {one.job.name}: {why}")
    return found
