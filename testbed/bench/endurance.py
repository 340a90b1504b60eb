"""What only shows after a while: testbeds brought up and down again and again, a big one, and one at work for minutes.

What may live here: those, and what is looked at meanwhile.  They take many minutes, so no test runs them whole.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from testbed.bench.measure import Measured
from testbed.standing.testbed import Testbed

SCENARIOS: Final = Path(__file__).resolve().parents[1] / "scenarios"
CYCLES: Final = 200
MINUTES: Final = 10.0
_LOOK_EVERY_S = 5.0
_PATIENCE_S = 60.0


class Left(Exception):
    """Something was left behind, or lost; in words."""


def many_up(say: Callable[[str], object]) -> list[Measured]:
    """The biggest network there is, up and down a few times: what its user waits, command and plane included."""
    took = []
    for _ in range(3):
        with TemporaryDirectory(prefix="bellwire-") as folder:
            began = time.monotonic()
            here = Path(folder)
            bed = Testbed(SCENARIOS / "metro.yaml", name="many", dilation=100, out=here / "out", folder=here)
            took.append(time.monotonic() - began)
            nodes = len(bed.status().nodes)
            bed.down()
            say(f"  {nodes} nodes up in {took[-1]:.1f} s")
    return [Measured(f"{nodes} quantum nodes up", min(took), "s", "metro.yaml as a testbed, best of 3", 6)]


def cycles(count: int, say: Callable[[str], object]) -> list[Measured]:
    """Bring a network up and down ``count`` times.  Raises Left if a process outlives its testbed."""
    took = []
    for n in range(count):
        with TemporaryDirectory(prefix="bellwire-") as folder:
            began = time.monotonic()
            bed = Testbed(SCENARIOS / "echo.yaml", name="cycle", out=Path(folder) / "out", folder=Path(folder))
            pids = _pids(bed)
            bed.down()
            took.append(time.monotonic() - began)
            alive = [name for name, pid in pids.items() if _lives(pid)]
            if alive:
                raise Left(f"after testbed {n + 1} these are still there: {', '.join(alive)}")
        if (n + 1) % 20 == 0:
            say(f"  {n + 1} testbeds up and down, {sum(took) / len(took):.2f} s each")
    return [Measured("testbed up and down", sum(took) / len(took), "s", f"{count} times, nothing left, none hung")]


def minutes(span: float, say: Callable[[str], object]) -> list[Measured]:
    """Two QPUs in wall time: pairs and pings without a pause.  Raises Left for a request that was lost."""
    with TemporaryDirectory(prefix="bellwire-") as folder:
        bed = Testbed(
            SCENARIOS / "two-qpus.yaml", name="minutes", dilation=20, out=Path(folder) / "out", folder=Path(folder)
        )
        with bed, bed.attach("west") as west:
            pids = _pids(bed)
            began = looked = time.monotonic()
            seen: list[tuple[float, int]] = []
            pairs = pings = 0
            while (now := time.monotonic()) - began < 60 * span:
                made = bed.ping("west", "east", 2, patience_s=_PATIENCE_S)
                answered = west.call("ping", destination=3, count=20)["answered"]
                if made.pairs != 2 or answered != 20:
                    raise Left(f"after {now - began:.0f} s: {made.pairs} of 2 pairs {made.why}, {answered} of 20 pings")
                pairs, pings = pairs + 2, pings + 20
                if now - looked > _LOOK_EVERY_S:
                    looked = now
                    seen.append((now - began, sum(_anonymous_kb(pid) for pid in pids.values())))
                    if len(seen) % 12 == 0:
                        say(f"  {now - began:.0f} s: {pairs} pairs, {pings} pings, {seen[-1][1] / 1024:.1f} MB")
    half = [kb for t, kb in seen if t > 30 * span] or [0]
    growth = (half[-1] - half[0]) / 1024
    return [
        Measured("requests lost", 0, "", f"of {pairs} pairs and {pings} pings in {span:g} minutes of paced", 0),
        Measured("memory growth", growth, "MB", f"all processes, second half; {half[-1] / 1024:.0f} MB in the end", 1),
    ]


def _pids(bed: Testbed) -> dict[str, int]:
    """Every process of a testbed."""
    own = {node.name: node.pid for node in bed.status().nodes.values() if node.pid}
    facts: dict[str, Any] = json.loads((bed.out / "run.json").read_text())
    return {**facts["pids"], **own}


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _anonymous_kb(pid: int) -> int:
    """What a process has taken for itself, without what it shares and the files it has mapped (proc(5))."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def endurance_figures(count: int, span: float, say: Callable[[str], object]) -> list[Measured]:
    """All of them.  Raises Left."""
    return [*many_up(say), *cycles(count, say), *minutes(span, say)]


__all__ = ["CYCLES", "MINUTES", "Left", "endurance_figures"]
