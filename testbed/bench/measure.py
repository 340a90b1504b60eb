"""One measured figure, and running a plan for the sake of measuring it.

What may live here: what every bench needs.
"""

import gc
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path
from typing import Any

import trio

from testbed.lab.local import run_local
from testbed.lab.virtual import Launch
from testbed.plan.plan import Plan
from testbed.report.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Measured:
    """``limit`` is what the project promises, if it does."""

    name: str
    value: float
    unit: str
    how: str
    limit: float | None = None

    def as_dict(self) -> dict[str, Any]:
        row = asdict(self)
        if isnan(self.value):
            row["value"] = None  # not measured; JSON knows no NaN
        return row

    def __str__(self) -> str:
        limit = "" if self.limit is None else f"<={self.limit:g}"
        mark = "" if self.limit is None or self.value <= self.limit else "  OVER THE LIMIT"
        return f"{self.name:44} {self.value:10.4g}  {self.unit:14} {limit:>7}  {self.how}{mark}"


@dataclass(slots=True)
class Timed:
    """A run and what it took; ``run_s`` leaves out starting processes."""

    outcome: Outcome
    run_s: float
    up_s: float
    memory_mb: dict[str, float]


@contextmanager
def _folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="bellwire-bench-"))
    try:
        (path / "logs").mkdir()
        (path / ".spool").mkdir()
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _as_if_alone() -> Iterator[None]:
    """What earlier figures have left in this process is not walked through in search of garbage, as it would not be in
    a process of its own."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def timed_local(plan: Plan) -> Timed:
    """In this process, traces on."""
    with _folder() as folder, _as_if_alone():
        began = time.perf_counter()
        outcome = run_local(plan, folder / ".spool", {})
        return Timed(outcome, time.perf_counter() - began, 0.0, {})


def timed_virtual(plan: Plan, processes: int | None = None) -> Timed:
    """With processes, traces on."""
    memory: dict[str, float] = {}
    up = 0.0
    with _folder() as folder:
        launch = Launch(plan, "virtual", folder, folder / ".spool", plan.groups(processes), lambda _: None)
        began = time.perf_counter()

        def on_up(pids: dict[str, int]) -> None:
            nonlocal up
            up = time.perf_counter() - began
            memory.update({name: resident_mb(pid) for name, pid in pids.items()})

        launch.on_up = on_up
        trio.run(launch.run)
        outcome = launch.outcome()
        return Timed(outcome, outcome.wall["run_s"], up, memory)


def resident_mb(pid: int) -> float:
    """Resident memory of a process, shared pages included; 0 if it has gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0
