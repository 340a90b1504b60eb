"""Runs `bellwire run` as a user does, in processes of its own, and looks at what it does while it runs.

What may live here: scenarios that run long or in a moment, starting, finding the children, waiting.  What must hold is
in the tests.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from testbed.trace import NodeIdentity, merge, read_events, read_trace

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "testbed" / "scenarios"
BELLWIRE = str(Path(sys.executable).with_name("bellwire"))
THREE = ("trace.pcapng", "events.jsonl", "report.json")

PATIENCE_S = 60.0
"""For what must happen; the machine may be busy."""

WITHIN_S = 5.0
"""The contract: however a run ends, it is over in this time."""

IDLER = "from stack.sdk import attach\nnode = attach()\nwhile True:\n    node.call('sleep', duration_ps=10**9)\n"


def command(*arguments: str | Path) -> list[str]:
    return [BELLWIRE, "run", *map(str, arguments)]


def bellwire(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run to the end; ``options`` go to the process."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=100, **options)


def together(*runs: list[str | Path]) -> list[subprocess.CompletedProcess[str]]:
    """Several runs at once, to their ends."""
    with contextlib.ExitStack() as stack:
        started = []
        for arguments in runs:
            process = subprocess.Popen(
                command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            stack.callback(_end, process)
            started.append(process)
        done = []
        for process in started:
            stdout, stderr = process.communicate(timeout=100)
            done.append(subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr))
        return done


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def three(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in THREE]


def said(stderr: str) -> list[str]:
    """The lines of standard error, those apart that say how far a long run is: a busy machine makes any run long."""
    return [line for line in stderr.splitlines() if not line.startswith("bellwire run: virtual time ")]


def run_facts(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return facts


def write(folder: Path, text: dict[str, Any], name: str = "case.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(text, sort_keys=False))
    return path


def toy(folder: Path, count: int, program: str = "", **top: Any) -> Path:
    """Three nodes in a row; pings from west to mid, and a program at east if one is given."""
    nodes = {name: {"kind": "controller"} for name in ("west", "mid", "east")}
    links = {
        "west-mid": {"kind": "classical", "a": "west", "b": "mid", "length_m": 2000},
        "mid-east": {"kind": "classical", "a": "mid", "b": "east", "length_m": 2000},
    }
    text = {"nodes": nodes, "links": links, "toy": {"from": "west", "to": "mid", "count": count}, **top}
    if program:
        (folder / "program.py").write_text(program)
        text["programs"] = [{"node": "east", "run": "program.py"}]
    return write(folder, text)


def endless_toy(folder: Path, **top: Any) -> Path:
    return toy(folder, 10**6, IDLER, **top)


def endless_quantum(folder: Path) -> Path:
    """Very many shots on two QPUs, and a program."""
    text = yaml.safe_load((SCENARIOS / "two-qpus.yaml").read_text())
    (folder / "ghz-4.qasm").write_text((SCENARIOS / "ghz-4.qasm").read_text())
    (folder / "program.py").write_text(IDLER)
    text["job"]["shots"] = 1_000_000
    text["programs"] = [{"node": "west", "run": "program.py"}]
    return write(folder, text)


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


class Running:
    """A run that is under way: every process is up, and there are frames in the trace."""

    def __init__(self, scenario: Path, *options: str, **process: Any) -> None:
        folder = scenario.parent
        self.out = folder / "out"
        self._peek = folder / "peek"
        self._peek.mkdir()
        self.process = subprocess.Popen(
            command(scenario, "--out", self.out, *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **process,
        )
        self.facts: dict[str, Any] = {"pids": {}}
        try:
            self._wait_for_frames()
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> dict[str, int]:
        pids: dict[str, int] = self.facts["pids"]
        return pids

    def _wait_for_frames(self) -> None:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            assert self.process.poll() is None, self.process.communicate()[1]
            if (self.out / "run.json").exists():
                self.facts = run_facts(self.out)
                nodes = [NodeIdentity(n["number"], name, n["kind"]) for name, n in self.facts["nodes"].items()]
                with contextlib.suppress(OSError, ValueError):
                    if len(self.pids) > 1 and merge(self.out / ".spool", self._peek, nodes).frames > 200:
                        return
            time.sleep(0.05)
        raise AssertionError("it never got under way")

    def ended(self) -> tuple[int, str]:
        """Its exit code and stderr; it must end in time."""
        _, stderr = self.process.communicate(timeout=WITHIN_S)
        return self.process.returncode, stderr

    def left(self, patience_s: float) -> list[str]:
        """Which processes of the run are still there, the launcher apart."""
        end = time.monotonic() + patience_s
        while True:
            alive = [name for name, pid in self.pids.items() if name != "launcher" and lives(pid)]
            if not alive or time.monotonic() > end:
                return alive
            time.sleep(0.05)

    def check_trace(self) -> int:
        """It opens, is in order, and holds what there was before; how many frames."""
        frames = list(read_trace(self.out / "trace.pcapng"))
        assert len(frames) >= 200
        assert [f.t_ps for f in frames] == sorted(f.t_ps for f in frames)
        assert list(read_events(self.out / "events.jsonl"))
        return len(frames)

    def close(self) -> None:
        for pid in self.pids.values():
            if lives(pid):
                os.kill(pid, signal.SIGKILL)
        _end(self.process)


@contextlib.contextmanager
def running(scenario: Path, *options: str, **process: Any) -> Iterator[Running]:
    run = Running(scenario, *options, **process)
    try:
        yield run
    finally:
        run.close()
