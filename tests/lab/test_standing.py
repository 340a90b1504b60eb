"""A testbed that stays: brought up, asked, broken and ended, as its users do it."""

import json
import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from command_lab import lives
from slice_lab import SCENARIOS

from testbed import AsyncTestbed, BadInput, Testbed, TestbedError
from testbed.cli import main
from testbed.lab.inputs import read_inputs
from testbed.lab.places import Place, place, standing, the_one
from testbed.trace import read_events, read_trace

QPUS = SCENARIOS / "two-qpus.yaml"
CLASSICAL = SCENARIOS / "echo.yaml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bed")


@pytest.fixture(scope="module")
def bed(folder: Path) -> Iterator[Testbed]:
    """Two QPUs, at a hundredth of the speed of life: then a busy machine keeps up."""
    with Testbed(QPUS, name="two", dilation=100, out=folder / "out", folder=folder) as up:
        yield up


def pids(bed: Testbed) -> list[int]:
    own = [node.pid for node in bed.status().nodes.values() if node.pid]
    return [*own, json.loads((bed.out / "run.json").read_text())["pids"]["launcher"]]


def states(bed: Testbed) -> dict[str, str]:
    return {node.name: node.state for node in bed.status().nodes.values()}


def eventually_down(bed: Testbed, node: str) -> None:
    for _ in range(10_000):
        if states(bed)[node] == "down":
            return
    raise AssertionError(f"{node} is never found to be down")


# ------------------------------------------------------------ one testbed, step by step (the order counts)


def test_up_means_that_every_node_is(bed):
    status = bed.status()
    assert states(bed) == {"west": "up", "mid": "up", "east": "up"}
    assert (status.name, status.dilation, status.scenario) == ("two", 100, str(QPUS))
    assert [(link.a, link.station, link.b) for link in status.links] == [("west", "mid", "east")]
    assert len({node.address for node in status.nodes.values()}) == 3
    assert all(lives(pid) for pid in pids(bed))


def test_ping_makes_pairs(bed):
    made = bed.ping("west", "east", 3, patience_s=60)
    assert (made.pairs, made.asked, made.lost, made.why) == (3, 3, 0, "")
    assert made.pairs_per_s is not None
    assert 3 / made.span_s == pytest.approx(made.pairs_per_s)
    assert made.fidelity_estimate == pytest.approx(0.985, abs=0.001)
    assert made.fidelity_oracle == pytest.approx(0.985, abs=0.01)


def test_a_killed_node_is_dead_until_it_is_restarted(bed):
    old = bed.status().nodes["east"].pid
    bed.kill("east")
    assert states(bed) == {"west": "up", "mid": "up", "east": "killed"}
    assert not lives(old)
    with pytest.raises(BadInput, match=r"east: it is killed; .*bellwire restart east"):
        bed.ping("west", "east")
    assert bed.restart("east") == 2
    assert bed.ping("east", "west", 1, patience_s=60).pairs == 1


def test_a_death_that_nobody_planned_takes_no_other_with_it(bed):
    pid = bed.status().nodes["west"].pid
    os.kill(pid, signal.SIGKILL)
    eventually_down(bed, "west")
    assert states(bed) == {"west": "down", "mid": "up", "east": "up"}
    assert "SIGKILL" in bed.status().nodes["west"].why
    assert bed.restart("west") == 2
    assert bed.ping("west", "east", 1, patience_s=60).pairs == 1


def test_a_frozen_node_hears_later(bed):
    bed.freeze("mid")
    assert states(bed)["mid"] == "frozen"
    made = bed.ping("west", "east", 1, patience_s=0.5)
    assert (made.pairs, made.why) == (0, "TIMEOUT")
    bed.thaw("mid")
    assert bed.ping("west", "east", 1, patience_s=60).pairs == 1
    with pytest.raises(BadInput, match="only what is frozen"):
        bed.thaw("mid")


@pytest.mark.parametrize(
    ("kind", "value"),
    [("loss", 0.2), ("duplicate", 0.5), ("reorder", 0.5), ("corrupt", 0.1), ("jitter", 2e-5), ("delay", 2e-5)],
)
def test_pairs_come_and_are_good_whatever_becomes_of_frames(bed, kind, value):
    fault = bed.fault(kind, value, "west-east")
    try:
        assert bed.status().faults == (fault,)
        made = bed.ping("west", "east", 1, patience_s=60)
    finally:
        assert bed.heal(kind) == 1
    assert (made.pairs, made.lost) == (1, 0)
    assert made.fidelity_oracle == pytest.approx(0.985, abs=0.01), "both ends know which pair it is, and what it is"
    assert bed.status().faults == ()


@pytest.mark.parametrize("fault", [("cut", None, "west-east"), ("partition", None, "east")])
def test_what_is_broken_stays_so_over_a_restart_and_is_whole_when_it_is_healed(bed, fault):
    bed.fault(*fault)
    bed.restart("east")
    assert bed.ping("west", "east", 1, patience_s=1.0).pairs == 0
    bed.heal()
    assert bed.ping("west", "east", 1, patience_s=60).pairs == 1


def test_a_fault_for_a_time_is_over_by_itself(bed):
    bed.fault("cut", None, "west-east", for_s=0.01)
    assert len(bed.status().faults) == 1
    assert bed.ping("west", "east", 1, patience_s=60).pairs == 1
    assert bed.status().faults == ()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("lose", 0.1), "name one of loss"),
        (("loss", 2), "above 0, up to 1"),
        (("loss", None), "no probability"),
        (("delay", 2.0), "up to 1 s"),
        (("loss", 0.1, "north"), "name one of west-east, west, mid, east"),
        (("cut", None, "west"), "no link is named"),
        (("cut", 0.5, "west-east"), "leave the number out"),
        (("partition", None, "west", "mid", "east"), "nobody on one side"),
        (("partition", None, "west-east"), "nobody on one side"),
        (("broker",), "has none of its own"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(bed, asked, said):
    with pytest.raises(BadInput, match=said):
        bed.fault(*asked)
    with pytest.raises(BadInput, match="nothing wrong"):
        bed.heal()


def test_programs_attach_at_any_time_and_half_a_line_holds_up_nobody(bed):
    with bed.attach("west") as node:
        assert node.call("sleep", duration_ps=10) > 0
    with bed.attach("west") as lazy, bed.attach("west") as quick:
        lazy._sock.send(b'{"call": "sl')
        assert quick.call("ping", destination=3, count=1)["answered"] == 1
        lazy._sock.send(b'eep", "args": {"duration_ps": 1}}\n')
        assert b"value" in lazy._stream.readline()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{}\n", "send one line of JSON"),
        (b"[" * 100_000 + b"\n", "send one line of JSON"),
        (b'{"do": "kill"}\n', "'node'"),
        (b'{"do": "kill", "node": [1]}\n', "name one of"),
        (b'{"do": "ping", "a": "west", "b": "west"}\n', "name two nodes"),
        (b'{"do": "ping", "a": "west", "b": "east", "pairs": true}\n', "no number of pairs"),
        (b'{"do": "ping", "a": "west", "b": "east", "patience_s": "x"}\n', "no patience"),
        (b'{"do": "ping", "a": "west", "b": "east", "minimum_fidelity": 2}\n', "between 0 and 1"),
    ],
)
def test_whatever_comes_over_the_socket_is_answered(bed, folder, line, said):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(Place(folder / "two").control))
        sock.sendall(line)
        error = json.loads(sock.makefile().readline())["error"]
    assert said in f"{error['problem']}; {error['remedy']}"
    assert states(bed)["west"] == "up"


def test_the_same_from_the_command_line(bed, folder, capsys):
    where = ["--dir", str(folder)]
    assert main(["status", *where]) == 0
    assert "  mid   up       station, process" in capsys.readouterr().out
    assert main(["ping", "west", "east", "-n", "1", "--patience", "60", "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"] == 1
    assert main(["fault", "loss", "0.1", "west", "east", "--for", "1s", *where]) == 0
    assert "loss 0.1 at east, west, since" in capsys.readouterr().out
    assert main(["fault", "loss", "west", *where]) == 2
    assert "west is no probability" in capsys.readouterr().err
    assert main(["heal", *where]) == 0
    assert "1 healed" in capsys.readouterr().out
    assert main(["kill", "north", *where]) == 2
    assert main(["up", str(CLASSICAL), "--name", "two", *where]) == 2
    kill, up = capsys.readouterr().err.splitlines()
    assert "name one of west, mid, east" in kill
    assert "one of that name is up" in up


def test_down_leaves_files_and_no_process(bed, folder):
    left = pids(bed)
    out = bed.down()
    assert not [pid for pid in left if lives(pid)]
    assert standing(folder) == []
    assert not (folder / "two").exists()
    assert json.loads((out / "run.json").read_text())["exit_code"] == 0
    events = [event["event"] for event in read_events(out / "events.jsonl")]
    assert events.count("started") == 7, "three nodes, west twice, east four times"
    inputs = read_inputs(out / "inputs.jsonl")
    done = [(one["do"], one.get("node") or one.get("kind")) for one in inputs]
    first = [("kill", "east"), ("restart", "east"), ("restart", "west")]
    assert [deed for deed in done if deed[0] != "attach"][:3] == first
    assert ("fault", "partition") in done
    assert done[-1] == ("end", None)
    assert any(True for _ in read_trace(out / "trace.pcapng"))
    with pytest.raises(TestbedError):
        bed.status()


# ------------------------------------------------------------ others


def test_several_at_once_do_not_meet(tmp_path, capsys):
    beds = [Testbed(CLASSICAL, name=name, out=tmp_path / "out" / name, folder=tmp_path) for name in ("one", "two")]
    try:
        addresses = [node.address for bed in beds for node in bed.status().nodes.values()]
        assert len(set(addresses)) == 6
        with pytest.raises(BadInput, match="say which: one, two"):
            the_one(None, tmp_path)
        assert the_one("two", tmp_path).name == "two"
        left = [pid for bed in beds for pid in pids(bed)]
        assert main(["down", "--all", "--dir", str(tmp_path)]) == 0
        assert not [pid for pid in left if lives(pid)]
    finally:
        for bed in beds:
            bed.__exit__(None, None, None)
    assert main(["status", "--dir", str(tmp_path)]) == 0
    assert "no testbed is up" in capsys.readouterr().out


def test_whose_keeper_is_killed_leaves_nothing_running(tmp_path):
    bed = Testbed(CLASSICAL, name="one", out=tmp_path / "out", folder=tmp_path)
    left = pids(bed)
    bed.down(force=True)
    for pid in left:
        _gone(pid)
    assert not (tmp_path / "one").exists()
    with Testbed(CLASSICAL, name="one", out=tmp_path / "again", folder=tmp_path) as again:
        assert states(again)["bob"] == "up"


async def test_awaited(tmp_path):
    async with await AsyncTestbed.up(CLASSICAL, name="one", out=tmp_path / "out", folder=tmp_path) as bed:
        async with trio.open_nursery() as nursery:
            for node in ("alice", "bob"):
                nursery.start_soon(bed.kill, node)
        assert {n.name: n.state for n in (await bed.status()).nodes.values()} == {
            "alice": "killed", "bob": "killed", "carol": "up",
        }  # fmt: skip
        assert await bed.restart("alice") == 2
    assert standing(tmp_path) == []


def test_mistakes_start_nothing(tmp_path):
    with pytest.raises(BadInput, match="does not exist"):
        Testbed(tmp_path / "nothing.yaml", folder=tmp_path)
    with pytest.raises(BadInput, match="cannot be a testbed's name"):
        Testbed(CLASSICAL, name="a/b", folder=tmp_path)
    deep = tmp_path / ("d" * 100)
    with pytest.raises(TestbedError, match="too long for a socket's path"):
        Testbed(CLASSICAL, name="one", out=tmp_path / "out", folder=deep)
    assert standing(tmp_path) == standing(deep) == []


def test_one_lock_one_keeper(tmp_path):
    here = place("one", tmp_path)
    assert not here.held()
    with here.hold():
        assert here.held()
        with pytest.raises(BadInput, match="one of that name is up"), here.hold():
            pass
        assert here.held(), "who was refused has broken nothing"
        assert standing(tmp_path)[0].name == "one"
    assert not here.held()
    assert not here.path.exists()


def _gone(pid: int) -> None:
    """Wait until a process that is no child of ours has gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with os.fdopen(descriptor):
        assert select.select([descriptor], [], [], 30)[0]


def test_the_program_in_the_docs_runs(folder, monkeypatch, capsys):
    page = (Path(__file__).parents[2] / "docs" / "testbed.md").read_text()
    program = page.split("```python\n")[1].partition("```")[0].replace("testbed/scenarios/", f"{SCENARIOS}/")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.chdir(folder)
    exec(program, {})
    pair, ping, life = capsys.readouterr().out.splitlines()
    assert float(pair.split()[1]) == pytest.approx(0.985, abs=0.001)
    assert "'answered': 1" in ping
    assert life == "2"
