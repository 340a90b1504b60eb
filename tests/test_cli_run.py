"""The contract of `bellwire run`, as a stranger meets it: files, exit codes, equal bytes, and nothing left running."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testbed.trace import read_events, read_trace

ROOT = Path(__file__).parents[1]
SCENARIOS = ROOT / "testbed" / "scenarios"
THREE = ("trace.pcapng", "events.jsonl", "report.json")


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "testbed.cli", "run", *map(str, arguments)]


def bellwire(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=100)


def three(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in THREE]


@pytest.mark.parametrize("name", ["two-qpus", "two-qpus-teleport"])
def test_virtual_local_and_packed_runs_are_equal_to_the_byte(name, tmp_path):
    scenario = SCENARIOS / f"{name}.yaml"
    if name == "two-qpus-teleport":
        text = scenario.read_text().replace("rounds: 50", "rounds: 3")
        scenario = tmp_path / "few.yaml"
        scenario.write_text(text)
    few = ["--shots", "6"] if name == "two-qpus" else []
    ways = {"virtual": [], "local": ["--clock", "local"], "packed": ["--processes", "2"]}
    for way, options in ways.items():
        done = bellwire(scenario, *few, *options, "--out", tmp_path / way)
        assert done.returncode == 0, done.stderr
        left = {p.name for p in (tmp_path / way).iterdir()}
        assert left >= {*THREE, "run.json", "logs"}
    assert three(tmp_path / "virtual") == three(tmp_path / "local") == three(tmp_path / "packed")
    assert {p.name for p in (tmp_path / "virtual" / "logs").iterdir()} == {
        f"{n}.log" for n in ("west", "mid", "east", "plane")
    }
    report = json.loads((tmp_path / "local" / "report.json").read_text())
    assert set(report["figures"][0]) == {"name", "subject", "value", "unit", "n", "stderr"}
    for word in (str(tmp_path), os.uname().nodename, "virtual_", "local"):
        for content in three(tmp_path / "virtual"):
            assert word.encode() not in content.replace(b"virtual_time", b"")


def test_the_seed_decides_and_json_is_a_copy(tmp_path):
    runs = []
    for seed in ("5", "6"):
        out, copy = tmp_path / seed, tmp_path / f"{seed}.json"
        done = bellwire(
            SCENARIOS / "two-qpus.yaml",
            "--shots",
            "3",
            "--clock",
            "local",
            "--seed",
            seed,
            "--out",
            out,
            "--json",
            copy,
        )
        assert done.returncode == 0
        assert copy.read_bytes() == (out / "report.json").read_bytes()
        runs.append(three(out))
    assert runs[0][0] != runs[1][0]
    again = tmp_path / "again"
    assert bellwire("--replay", tmp_path / "5", "--clock", "local", "--out", again).returncode == 0
    assert three(again) == runs[0]


# ---------------------------------------------------------------- sudden ends


class Running:
    """A run of very many shots, up and under way."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.out = folder / "out"
        self.process = subprocess.Popen(
            command(SCENARIOS / "two-qpus.yaml", "--shots", "1000000", "--out", self.out, *options),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pids: dict[str, int] = {}
        end = time.monotonic() + 60
        while time.monotonic() < end and "plane" not in self.pids:
            time.sleep(0.05)
            if (self.out / "run.json").exists():
                self.pids = json.loads((self.out / "run.json").read_text())["pids"]
        assert "plane" in self.pids
        time.sleep(0.7)

    def ended(self) -> tuple[int, str]:
        """Its exit code and stderr; it must end within 5 s."""
        _, stderr = self.process.communicate(timeout=5)
        return self.process.returncode, stderr

    def left(self, patience_s: float) -> list[str]:
        """Which processes of the run are still there."""
        end = time.monotonic() + patience_s
        while True:
            alive = [name for name, pid in self.pids.items() if _lives(pid)]
            if not alive or time.monotonic() > end:
                return alive
            time.sleep(0.05)

    def check_trace(self) -> None:
        frames = list(read_trace(self.out / "trace.pcapng"))
        assert len(frames) > 50
        assert [f.t_ps for f in frames] == sorted(f.t_ps for f in frames)
        assert len(list(read_events(self.out / "events.jsonl"))) > 10

    def close(self) -> None:
        for pid in self.pids.values():
            if _lives(pid):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.communicate()


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def running(tmp_path, request):
    run = Running(tmp_path, *getattr(request, "param", ()))
    yield run
    run.close()


@pytest.mark.parametrize("child", ["plane", "west", "mid", "east"])
def test_a_killed_child_ends_the_run_and_is_named(running, child):
    os.kill(running.pids[child], signal.SIGKILL)
    code, stderr = running.ended()
    assert code == 3
    assert child in stderr.splitlines()[-1]
    assert "SIGKILL" in stderr
    del running.pids["launcher"]
    assert running.left(1) == []
    running.check_trace()
    facts = json.loads((running.out / "run.json").read_text())
    assert facts["exit_code"] == 3


def test_a_killed_launcher_leaves_nothing_but_the_trace(running):
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait()
    assert running.left(5) == []
    running.check_trace()


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_cleans_up(running, sent, code):
    running.process.send_signal(sent)
    assert running.ended()[0] == code
    assert running.left(1) == []
    running.check_trace()


def test_an_interrupted_local_run_leaves_its_trace(tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(SCENARIOS / "two-qpus.yaml", "--shots", "1000000", "--clock", "local", "--out", out),
        cwd=ROOT,
        stderr=subprocess.PIPE,
    )
    end = time.monotonic() + 60
    while time.monotonic() < end and not list((out / ".spool").glob("*.spool")):
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    assert process.returncode == 130
    assert len(list(read_trace(out / "trace.pcapng"))) > 50


def test_telemetry_changes_no_byte(tmp_path):
    for setting in ("none", "embedded", "mqtt://127.0.0.1:9"):
        out = tmp_path / setting[:4]
        done = bellwire(SCENARIOS / "two-qpus.yaml", "--shots", "5", "--mqtt", setting, "--out", out)
        assert done.returncode == 0, done.stderr
    assert three(tmp_path / "none") == three(tmp_path / "embe") == three(tmp_path / "mqtt")
