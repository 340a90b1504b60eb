"""Runs toy plans under the engine's clocks and returns what a user would hold: the two trace files and the outcome."""

from dataclasses import dataclass
from pathlib import Path

import trio

from testbed.lab.local import run_local
from testbed.lab.virtual import Launch
from testbed.plan.plan import Plan
from testbed.report.outcome import Outcome
from testbed.trace.merging import NodeIdentity, merge
from testbed.trace.reading import read_events


@dataclass
class Ran:
    """One run, merged."""

    folder: Path
    outcome: Outcome

    @property
    def bytes(self) -> tuple[bytes, bytes]:
        return (self.folder / "trace.pcapng").read_bytes(), (self.folder / "events.jsonl").read_bytes()

    def events(self, name: str) -> list[dict]:
        return [e for e in read_events(self.folder / "events.jsonl") if e["event"] == name]


def _merged(plan: Plan, folder: Path, outcome: Outcome) -> Ran:
    identities = [NodeIdentity(n.number, n.name, n.kind) for n in plan.nodes]
    merge(folder / ".spool", folder, identities)
    return Ran(folder, outcome)


def _folders(folder: Path) -> Path:
    (folder / "logs").mkdir(parents=True)
    (folder / ".spool").mkdir()
    return folder


def local(plan: Plan, folder: Path) -> Ran:
    _folders(folder)
    return _merged(plan, folder, run_local(plan, folder / ".spool", {}))


def virtual(plan: Plan, folder: Path, processes: int | None = None, stock_buffers: bool = False) -> Ran:
    _folders(folder)
    launch = Launch(
        plan, "virtual", folder, folder / ".spool", plan.groups(processes), lambda _: None, stock_buffers
    )
    trio.run(launch.run)
    return _merged(plan, folder, launch.outcome())


def paced(plan: Plan, folder: Path, processes: int | None = None) -> Ran:
    _folders(folder)
    launch = Launch(plan, "paced", folder, folder / ".spool", plan.groups(processes), lambda _: None)
    trio.run(launch.run)
    return _merged(plan, folder, launch.outcome())
