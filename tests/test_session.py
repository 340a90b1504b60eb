"""Attached programs: one sequential session each, and time that stands still while they think."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from testbed.trace import read_events

ROOT = Path(__file__).parents[1]

PROGRAM = """
    import time
    from stack.sdk import CallFailed, attach

    with attach() as node:
        for turn in range(3):
            time.sleep({think})
            answer = node.call("ping", destination={peer}, count=2)
            assert answer["answered"] == 2, answer
            node.call("sleep", duration_ps=1_000_000)
        try:
            node.call("levitate")
        except CallFailed as refused:
            assert "levitate" in str(refused)
        else:
            raise AssertionError("the node can levitate")
        {end}
"""


def scenario(folder: Path, think: float = 0.0, end: str = "pass") -> Path:
    """Two nodes 100 m apart, a program at each."""
    for peer, name in ((2, "left"), (1, "right")):
        code = textwrap.dedent(PROGRAM).format(think=think, peer=peer, end=end if name == "left" else "pass")
        (folder / f"{name}.py").write_text(code)
    text = {
        "nodes": {"a": {"kind": "controller"}, "b": {"kind": "controller"}},
        "links": {"a-b": {"kind": "classical", "a": "a", "b": "b", "length_m": 100}},
        "programs": [{"node": "a", "run": "left.py"}, {"node": "b", "run": "right.py"}],
        "duration_s": 1.0,
    }
    path = folder / "programs.yaml"
    path.write_text(yaml.safe_dump(text, sort_keys=False))
    return path


def run(folder: Path, out: str, *options: str) -> tuple[int, list[bytes], str]:
    command = [
        sys.executable,
        "-m",
        "testbed.cli",
        "run",
        str(folder / "programs.yaml"),
        "--out",
        str(folder / out),
        *options,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    files = [folder / out / name for name in ("trace.pcapng", "events.jsonl", "report.json")]
    return done.returncode, [f.read_bytes() if f.exists() else b"" for f in files], done.stderr


def test_programs_see_one_time_under_every_placement_however_long_they_think(tmp_path):
    scenario(tmp_path)
    code, reference, stderr = run(tmp_path, "virtual")
    assert code == 0, stderr
    assert len(list(read_events(tmp_path / "virtual" / "events.jsonl"))) > 10
    assert run(tmp_path, "local", "--clock", "local")[:2] == (0, reference)
    scenario(tmp_path, think=0.1)
    assert run(tmp_path, "slow")[:2] == (0, reference)
    assert run(tmp_path, "slow-local", "--clock", "local")[:2] == (0, reference)


def test_a_paced_run_serves_programs_too(tmp_path):
    scenario(tmp_path)
    assert run(tmp_path, "paced", "--clock", "paced")[0] == 0


@pytest.mark.parametrize("clock", ["virtual", "local"])
def test_a_program_that_fails_ends_the_run_and_is_named(tmp_path, clock):
    scenario(tmp_path, end="raise SystemExit(7)")
    code, _, stderr = run(tmp_path, clock, "--clock", clock)
    assert code == 3
    assert "program-0" in stderr
    assert json.loads((tmp_path / clock / "run.json").read_text())["exit_code"] == 3


def test_a_session_ends_with_its_node(tmp_path):
    """The node dies by plan while its program sleeps: the program hears of it, the run goes on to its end."""
    path = scenario(tmp_path)
    (tmp_path / "left.py").write_text(
        textwrap.dedent(
            """
            from stack.sdk import SessionEnded, attach
            node = attach()
            try:
                node.call("sleep", duration_ps=10**12)
            except SessionEnded:
                pass
            else:
                raise AssertionError("the node should have died")
            """
        )
    )
    text = yaml.safe_load(path.read_text()) | {"faults": [{"kill": "a", "at_s": 0.001}]}
    path.write_text(yaml.safe_dump(text, sort_keys=False))
    codes = {}
    for clock in ("virtual", "local"):
        codes[clock] = run(tmp_path, clock, "--clock", clock)
    assert codes["virtual"][1] == codes["local"][1]
    assert [e["event"] for e in read_events(tmp_path / "local" / "events.jsonl") if e["node"] == "a"][-1] == "killed"
