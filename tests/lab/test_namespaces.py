"""Two QPUs in two network namespaces, each with an address of its own, started by hand: no socket is inherited."""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_lab import BELLWIRE, PATIENCE_S
from slice_lab import SCENARIOS

from testbed.cli import main
from testbed.trace import read_events, read_trace

LAB, FAR = "10.213.77.1", "10.213.77.2"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def namespaces() -> Iterator[tuple[str, str]]:
    """Two of them, joined by a veth; a loud skip where that is not allowed."""
    if shutil.which("ip") is None:
        pytest.skip("there is no `ip` here: nothing is run in network namespaces")
    here, there = (f"bw{os.getpid()}{side}" for side in "ab")
    try:
        for name in (here, there):
            ip("netns", "add", name)
        ip("link", "add", f"{here}v", "netns", here, "type", "veth", "peer", "name", f"{there}v", "netns", there)
        for name, address in ((here, LAB), (there, FAR)):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", f"{name}v")
            ip("-n", name, "link", "set", f"{name}v", "up")
            ip("-n", name, "link", "set", "lo", "up")
    except subprocess.CalledProcessError as error:
        _remove(here, there)
        pytest.skip(f"network namespaces are not allowed here ({error.stderr.strip()}): nothing is run in them")
    yield here, there
    _remove(here, there)


def _remove(*names: str) -> None:
    for name in names:
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("netns", "del", name)


def inside(namespace: str, *arguments: str | Path) -> subprocess.Popen[str]:
    command = ["ip", "netns", "exec", namespace, BELLWIRE, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_qpus_in_two_namespaces(namespaces, tmp_path):
    here, there = namespaces
    out = tmp_path / "out"
    remote = ("--remote", "west", "--remote", "east", "--bind", LAB)
    options = ("--clock", "paced", "--dilation", "50", "--shots", "2", "--out", out)
    run = inside(here, "run", SCENARIOS / "two-qpus.yaml", *options, *remote)
    nodes = []
    try:
        end = time.monotonic() + PATIENCE_S
        while not (out / "tickets" / "east.json").exists():
            assert run.poll() is None, run.communicate()[1]
            assert time.monotonic() < end
            time.sleep(0.05)
        assert (out / "tickets" / "east.json").stat().st_mode & 0o077 == 0
        nodes = [
            inside(namespace, "node", out / "tickets" / f"{name}.json", "--address", address)
            for namespace, name, address in ((here, "west", LAB), (there, "east", FAR))
        ]
        said, trouble = run.communicate(timeout=PATIENCE_S)
        assert run.returncode == 0, trouble
        assert [node.wait(PATIENCE_S) for node in nodes] == [0, 0]
    finally:
        for process in (run, *nodes):
            process.kill()
            process.communicate()
    assert "waiting for west, east" in said
    addresses = json.loads((out / "run.json").read_text())["addresses"]
    assert (addresses["west"], addresses["east"]) == (f"{LAB}:57721", f"{FAR}:57721")
    counts = json.loads((out / "report.json").read_text())["counts"]
    assert sum(sum(job.values()) for job in counts.values()) == 2
    assert {frame.node for frame in read_trace(out / "trace.pcapng")} == {"west", "mid", "east"}
    assert sum(e["event"] == "done" and e["layer"] == "gates" for e in read_events(out / "events.jsonl")) == 8


def test_what_cannot_be_elsewhere(tmp_path, capsys):
    scenario = str(SCENARIOS / "two-qpus.yaml")
    paced = ["--clock", "paced", "--out", str(tmp_path / "out")]
    for options, said in (
        ([*paced, "--remote", "west"], "--remote and --bind go together"),
        (["--remote", "west", "--bind", "127.0.0.1"], "take --clock paced"),
        ([*paced, "--remote", "north", "--bind", "127.0.0.1"], "there is no node north"),
        ([*paced, "--remote", "west", "--bind", "192.0.2.1"], "192.0.2.1"),
    ):
        assert main(["run", scenario, *options]) == 2
        assert said in capsys.readouterr().err
    (tmp_path / "no.json").write_text("[]")
    assert main(["node", str(tmp_path / "no.json"), "--address", "127.0.0.1"]) == 2
    (tmp_path / "no.json").write_text('{"node": "west", "lab": "127.0.0.1:9", "token": ""}')
    assert main(["node", str(tmp_path / "no.json"), "--address", "127.0.0.99"]) == 3
