"""The engine alone: what a frame costs under each clock, how fast nodes come up, how big they are.

What may live here: benches that need no quantum devices.
"""

import subprocess
import sys
from collections.abc import Iterator
from math import nan

from stack.runtime.times import NS
from testbed.bench.measure import Measured, timed_local, timed_virtual
from testbed.lab.toy import toy_plan

FRAMES = 10_000
HEAVY = ("scapy", "sequence", "numpy", "yaml", "qiskit", "pytest")


def engine_figures() -> Iterator[Measured]:
    """Ping-pong with one frame in flight over 2 m (10 ns), three nodes; then size and start of processes."""
    apps = {1: {"echo": {"destination": 2, "count": FRAMES // 2}}}
    plan = toy_plan(3, 10 * NS, apps)
    local = min(timed_local(plan).run_s for _ in range(3))
    yield Measured("ping-pong, local", local / FRAMES * 1e6, "us/frame", "one process, best of 3", 60)
    runs = [timed_virtual(plan) for _ in range(3)]
    best = min(runs, key=lambda r: r.run_s)
    yield Measured("ping-pong, virtual", best.run_s / FRAMES * 1e6, "us/frame", "3 nodes + plane, best of 3", 250)
    windows = best.outcome.wall["windows"] / FRAMES
    yield Measured("ping-pong, windows", windows, "windows/frame", "one at least: nothing else is in flight")
    # They must be there while they are measured: two of them keep the rest from their end.
    many = timed_virtual(toy_plan(20, 10 * NS, {1: {"echo": {"destination": 2, "count": FRAMES // 2}}}))
    yield Measured("20 nodes up", many.up_s, "s", "launch to all booted", 4)
    nodes = [mb for name, mb in many.memory_mb.items() if name != "plane"]
    yield Measured("node process, memory", max(nodes) or nan, "MB", "resident, largest of 20", 45)
    yield Measured("node process, heavy imports", float(len(heavy_imports())), "modules", ", ".join(HEAVY), 0)


def heavy_imports() -> list[str]:
    """Which of the heavy libraries a node process imports (none, it is hoped)."""
    code = f"import sys, stack.process; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
