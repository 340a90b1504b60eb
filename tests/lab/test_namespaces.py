"""Two QPUs in two network namespaces, each with an address of its own, started by hand: no socket is inherited."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_lab import BELLWIRE, PATIENCE_S
from far_lab import Refused, apart, free_addresses, patient
from slice_lab import SCENARIOS

from testbed.cli import main
from testbed.trace import read_events, read_trace

LAB, FAR = "10.213.77.1", "10.213.77.2"


class Spaces:
    """Two namespaces, `here` and `there`, joined by a veth."""

    def __init__(self, apart: list[str]) -> None:
        self._apart = apart
        for name in ("here", "there"):
            self.ip("netns", "add", name)
        self.ip("link", "add", "veth", "netns", "here", "type", "veth", "peer", "name", "veth", "netns", "there")
        for name, address in (("here", LAB), ("there", FAR)):
            self.ip("-n", name, "addr", "add", f"{address}/24", "dev", "veth")
            self.ip("-n", name, "link", "set", "veth", "up")
            self.ip("-n", name, "link", "set", "lo", "up")

    def ip(self, *arguments: str) -> None:
        subprocess.run([*self._apart, "ip", *arguments], check=True, capture_output=True, text=True)

    def inside(self, namespace: str, *arguments: str | Path) -> subprocess.Popen[str]:
        command = [*self._apart, "ip", "netns", "exec", namespace, BELLWIRE, *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def spaces() -> Iterator[Spaces]:
    """A loud skip where that is not allowed."""
    if shutil.which("ip") is None:
        pytest.skip("there is no `ip` here: nothing is run in network namespaces")
    try:
        with apart() as command:
            try:
                made = Spaces(command)
            except subprocess.CalledProcessError as error:
                raise Refused(error.stderr.strip()) from None
            yield made
    except Refused as refused:
        pytest.skip(f"network namespaces are not allowed here ({refused}): nothing is run in them")


def test_two_qpus_in_two_namespaces(spaces, tmp_path):
    out = tmp_path / "out"
    remote = ("--remote", "west", "--remote", "east", "--bind", LAB)
    options = ("--clock", "paced", "--dilation", "50", "--out", out)
    run = spaces.inside("here", "run", patient(tmp_path), *options, *remote)
    nodes = []
    try:
        end = time.monotonic() + PATIENCE_S
        while not (out / "tickets" / "east.json").exists():
            assert run.poll() is None, run.communicate()[1]
            assert time.monotonic() < end
            time.sleep(0.05)
        assert (out / "tickets" / "east.json").stat().st_mode & 0o077 == 0
        nodes = [
            spaces.inside(namespace, "node", out / "tickets" / f"{name}.json", "--address", address)
            for namespace, name, address in (("here", "west", LAB), ("there", "east", FAR))
        ]
        said, trouble = run.communicate(timeout=4 * PATIENCE_S)
        assert run.returncode == 0, trouble
        assert [node.wait(PATIENCE_S) for node in nodes] == [0, 0]
    finally:
        for process in (run, *nodes):
            process.kill()
            process.communicate()
    for name in ("west", "east"):
        assert f"waiting for {name}; there, with a copy of its ticket: " in said
    addresses = json.loads((out / "run.json").read_text())["addresses"]
    assert (addresses["west"], addresses["east"]) == (f"{LAB}:57721", f"{FAR}:57721")
    counts = json.loads((out / "report.json").read_text())["counts"]
    assert sum(sum(job.values()) for job in counts.values()) == 2
    assert {frame.node for frame in read_trace(out / "trace.pcapng")} == {"west", "mid", "east"}
    assert sum(e["event"] == "done" and e["layer"] == "gates" for e in read_events(out / "events.jsonl")) == 8


def test_a_testbed_in_one_and_its_node_in_another_until_the_cable_is_cut(spaces, tmp_path):
    bed = ("--dir", tmp_path)

    def asked(*arguments: str | Path) -> str:
        process = spaces.inside("here", *arguments, *bed)
        said, trouble = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, trouble
        return said

    out = tmp_path / "out"
    options = ("--dilation", "50", "--remote", "east", "--bind", LAB, "--out", out)
    assert "two-qpus is up: west, mid\neast is awaited; " in asked("up", patient(tmp_path), *options)
    node = None
    try:
        node = spaces.inside("there", "node", out / "tickets" / "east.json", "--address", FAR)
        assert "2 of 2 pairs" in asked("ping", "west", "east", "-n", "2", "--patience", "60")
        assert f"elsewhere, at {FAR}:57721" in asked("status")
        spaces.ip("-n", "there", "link", "set", "veth", "down")
        assert node.wait(PATIENCE_S) == 3
        assert "nothing has been heard of the lab for 10 s" in node.communicate()[1]
        end = time.monotonic() + PATIENCE_S
        while not re.search(r"east +down .*has gone: nothing is heard of it any more", said := asked("status")):
            assert time.monotonic() < end, said
        assert "east is awaited, life 2" in asked("restart", "east")
    finally:
        if node is not None:
            node.kill()
            node.communicate()
        asked("down")
    assert {frame.node for frame in read_trace(out / "trace.pcapng")} == {"west", "mid", "east"}
    assert json.loads((out / "run.json").read_text())["exit_code"] == 0


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
    (tmp_path / "no.json").write_text('{"node": "west", "lab": "127.0.0.1:9", "token": "", "run": "0"}')
    assert main(["node", str(tmp_path / "no.json"), "--address", free_addresses(1)[0]]) == 3
