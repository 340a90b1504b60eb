"""A testbed that stays: brought up, asked, broken and ended, as its users do it."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from command_lab import PATIENCE_S, lives
from slice_lab import SCENARIOS

from testbed import AsyncTestbed, BadInput, Testbed, TestbedError
from testbed.cli import main
from testbed.lab.inputs import read_inputs
from testbed.lab.spawning import processes
from testbed.standing.places import LONGEST_PATH, Place, place, standing, the_one
from testbed.trace import read_events, read_trace

QPUS = SCENARIOS / "two-qpus.yaml"
CLASSICAL = SCENARIOS / "echo.yaml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bed")


class Keeper:
    """Of one testbed for many tests: each finds it whole, whatever became of it in another."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ups = 0
        self._bed: Testbed | None = None

    def whole(self) -> Testbed:
        """Every node is up, and nothing is wrong with the network."""
        if self._bed is None or not standing(self._folder):
            self._ups += 1
            out = self._folder / f"out-{self._ups}"
            self._bed = Testbed(QPUS, name="two", dilation=100, out=out, folder=self._folder)
        status = self._bed.status()
        if status.faults:
            self._bed.heal()
        for node in status.nodes.values():
            if node.state == "frozen":
                self._bed.thaw(node.name)
            elif node.state != "up":
                self._bed.restart(node.name)
        return self._bed

    def close(self) -> None:
        if self._bed is not None:
            self._bed.__exit__(None, None, None)


@pytest.fixture(scope="module")
def keeper(folder: Path) -> Iterator[Keeper]:
    """Two QPUs, at a hundredth of the speed of life: then a busy machine keeps up."""
    kept = Keeper(folder)
    try:
        yield kept
    finally:
        kept.close()


@pytest.fixture
def bed(keeper: Keeper) -> Testbed:
    return keeper.whole()


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


def calls_at(bed: Testbed, node: str) -> socket.socket:
    """As a program does that finds its own way."""
    program = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    program.settimeout(PATIENCE_S)
    program.connect(str(place(bed.name, bed.out.parent).door(node)))
    with suppress(BrokenPipeError):
        program.sendall(b'{"call": "hello", "args": {}}\n')
    return program


def hears(program: socket.socket) -> bytes:
    with program:
        try:
            return program.recv(65536)
        except ConnectionResetError:  # what it said was never read
            return b""


# ------------------------------------------------------------ one testbed for all of these


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
    east = bed.status().nodes["east"]
    old = east.pid
    os.kill(old, signal.SIGSTOP)
    early = calls_at(bed, "east")
    bed.kill("east")
    assert states(bed) == {"west": "up", "mid": "up", "east": "killed"}
    assert not lives(old)
    assert (hears(early), hears(calls_at(bed, "east"))) == (b"", b""), "no program waits at it for ever"
    with pytest.raises(BadInput, match=r"east: it is killed; .*bellwire restart east"):
        bed.ping("west", "east")
    assert bed.restart("east") == east.incarnation + 1
    assert bed.ping("east", "west", 1, patience_s=60).pairs == 1


def test_a_death_that_nobody_planned_takes_no_other_with_it(bed):
    west = bed.status().nodes["west"]
    os.kill(west.pid, signal.SIGKILL)
    eventually_down(bed, "west")
    assert states(bed) == {"west": "down", "mid": "up", "east": "up"}
    assert "SIGKILL" in bed.status().nodes["west"].why
    assert bed.restart("west") == west.incarnation + 1
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


def test_a_ping_waits_for_no_far_end_that_stands_still(bed):
    east = bed.status().nodes["east"].pid
    os.kill(east, signal.SIGSTOP)
    late = threading.Timer(15, os.kill, (east, signal.SIGCONT))  # so that it ends also where nothing limits it
    late.start()
    try:
        made = bed.ping("west", "east", 1, patience_s=0.3)
    finally:
        late.cancel()
        os.kill(east, signal.SIGCONT)
    assert (made.pairs, made.why, made.fidelity_oracle) == (0, "TIMEOUT", None)
    assert re.match(r"east: it did not answer within 2 s; look at logs/east\.log", made.unseen)
    assert bed.ping("west", "east", 1, patience_s=60).unseen == ""


def test_who_goes_away_takes_the_ping_along(bed, folder):
    def busy() -> bool:
        try:
            return bed.ping("west", "east", 1, patience_s=60).pairs != 1
        except BadInput as refused:
            return "for somebody else already" in str(refused)

    line = b'{"do": "ping", "a": "west", "b": "east", "pairs": 90000, "patience_s": 3600}\n'
    with socket.socket(socket.AF_UNIX) as asker:
        asker.connect(str(folder / "two" / "control"))
        asker.sendall(line)
        while not busy():  # ours came first, and theirs perhaps meanwhile
            if select.select([asker], [], [], 0.0)[0]:
                assert b"somebody else" in asker.recv(65536)
                asker.sendall(line)
        asker.shutdown(socket.SHUT_WR)  # it asks nothing more, and still waits for its answer
        assert not select.select([asker], [], [], 0.3)[0]
        assert busy()
    end = time.monotonic() + 20
    while busy():
        assert time.monotonic() < end, "its request goes on without it"


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


@pytest.mark.parametrize("fault", [("cut", None, "west-east"), ("partition", None, "east"), ("blind", None, "mid")])
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
    assert bed.heal("cut") == bed.heal() == 0, "there was one, and it is over"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("lose", 0.1), "name one of loss"),
        (("loss", 2), "above 0, up to 1"),
        (("loss", None), "no probability"),
        (("delay", 2.0), "up to 1 s"),
        (("loss", 0.1, "north"), "name one of west-east, west, mid, east"),
        (("cut", None, "west"), "west: no link"),
        (("kill", None, "west"), "kill is a command of its own"),
        (("cut", 0.5, "west-east"), "leave the number out"),
        (("partition", None, "west", "mid", "east"), "nobody on one side"),
        (("partition", None, "west-east"), "nobody on one side"),
        (("broker",), "has none of its own"),
        (("blind", None, "west"), "west is a qpu, not a station; name one of: mid"),
        (("drift", 2e-3, "west"), "2000000 ppb is no drift"),
        (("drift", 1e-6, "west-east"), "west-east is a link, not a node"),
        (("disk", None, "west"), "one of it for all"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(bed, asked, said):
    with pytest.raises(BadInput, match=said):
        bed.fault(*asked)
    with pytest.raises(BadInput, match="nothing wrong"):
        bed.heal("broker")


def test_programs_attach_at_any_time_and_half_a_line_holds_up_nobody(bed):
    with bed.attach("west") as node:
        assert node.call("sleep", duration_ps=10) > 0
    with bed.attach("west") as lazy, bed.attach("west") as quick:
        lazy._sock.send(b'{"call": "sl')
        assert quick.call("ping", destination=3, count=1)["answered"] == 1
        lazy._sock.send(b'eep", "args": {"duration_ps": 1}}\n')
        assert b"value" in lazy._sock.recv(65536)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{}\n", 'there is no "do" among its keys: none; send one line of JSON'),
        (b"[" * 100_000 + b"\n", "it is no JSON; send one line of JSON"),
        (b"{do: kill}\n", "it is no JSON (Expecting property name"),
        (b"\xff\n", "it is no text"),
        (b'"kill"\n', 'it is no JSON object, but "kill"'),
        (b'{"do": "kil", "node": "west"}\n', "there is no 'kil'; did you mean kill"),
        (b'{"do": ["kill"]}\n', "there is no ['kill']"),
        (b'{"do": "kill"}\n', "missing a required argument: 'node'; it takes \"node\""),
        (b'{"do": "status", "node": "west"}\n', "unexpected keyword argument 'node'; it takes nothing"),
        (b'{"do": "kill", "node": [1]}\n', "name one of"),
        (b'{"do": "ping", "a": "west", "b": "west"}\n', "name two nodes"),
        (b'{"do": "ping", "a": "west", "b": "east", "pairs": true}\n', "no number of pairs"),
        (b'{"do": "ping", "a": "west", "b": "east", "patience_s": "x"}\n', "no patience"),
        (b'{"do": "ping", "a": "west", "b": "east", "minimum_fidelity": 2}\n', "2 is no fidelity; give a number"),
        (b'{"do": "ping", "a": "west", "b": "mid"}\n', "mid is a station, and makes no pairs of its own; name tw"),
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
    assert main(["fault", "drift", "-20ppb", "east", *where]) == 0
    assert "drift -0.02 ppm at east, since" in capsys.readouterr().out
    assert main(["fault", "drift", "fast", "east", *where]) == 2
    assert "fast is no drift; write a number and its unit" in capsys.readouterr().err
    assert main(["fault", "disk", *where]) == 0
    assert main(["status", *where]) == 0
    said = capsys.readouterr().out
    assert "  fault: disk, since" in said
    assert "  clock: a fault drift was at east; without time_sync it stays off by that" in said
    assert main(["ping", "west", "east", "-n", "1", "--patience", "60", *where]) == 0
    assert main(["freeze", "mid", *where]) == 0
    assert main(["ping", "west", "east", "-n", "1", "--patience", "0.3", *where]) == 1
    short = capsys.readouterr().out.splitlines()
    begins = next(n for n, line in enumerate(short) if "0 of 1 pairs (TIMEOUT: --patience was over)" in line)
    amiss = [line for line in said.splitlines() if line.startswith(("  clock:", "  fault:"))]
    assert short[begins + 1 :] == ["  mid is frozen", *amiss], "what may be why"
    assert main(["thaw", "mid", *where]) == 0
    assert main(["heal", "disk", *where]) == main(["heal", *where]) == main(["heal", "disk", *where]) == 0
    assert capsys.readouterr().out.endswith("1 healed\n1 healed\nit has healed already\n")
    assert main(["ping", "west", "east", "--fidelity", "0.9999", *where]) == 1
    assert "(LINK_FAILED: a link on the way cannot promise --fidelity 0.9999, however" in capsys.readouterr().out
    assert main(["kill", "north", *where]) == 2
    assert main(["up", str(CLASSICAL), "--name", "two", *where]) == 2
    kill, up = capsys.readouterr().err.splitlines()
    assert "name one of west, mid, east" in kill
    assert "one of that name is up" in up


def test_down_leaves_files_and_no_process(bed, folder):
    bed.kill("east")
    bed.restart("east")
    bed.fault("partition", None, "east")
    lives_in_all = sum(node.incarnation for node in bed.status().nodes.values())
    left = pids(bed)
    out = bed.down()
    assert not [pid for pid in left if lives(pid)]
    assert standing(folder) == []
    assert not (folder / "two").exists()
    assert json.loads((out / "run.json").read_text())["exit_code"] == 0
    events = [event["event"] for event in read_events(out / "events.jsonl")]
    assert events.count("started") == lives_in_all
    inputs = read_inputs(out / "inputs.jsonl")
    done = [(one["do"], one.get("node") or one.get("kind")) for one in inputs]
    assert done[-4:] == [("kill", "east"), ("restart", "east"), ("fault", "partition"), ("end", None)]
    assert any(True for _ in read_trace(out / "trace.pcapng"))
    with pytest.raises(TestbedError):
        bed.status()


# ------------------------------------------------------------ others


@pytest.mark.parametrize("clock", ["paced", "virtual"])
def test_whose_plane_dies_is_told_so_whatever_it_was_about(clock, tmp_path):
    """It takes the nodes with it; nobody is told to restart one of those."""
    dilation = 1000 if clock == "paced" else None
    bed = Testbed(QPUS, name="own", clock=clock, dilation=dilation, out=tmp_path / "out", folder=tmp_path)
    plane = json.loads((tmp_path / "out" / "run.json").read_text())["pids"]["plane"]
    killer = threading.Timer(0.5, os.kill, (plane, signal.SIGKILL))
    killer.start()
    with pytest.raises(TestbedError, match="plane was killed by SIGKILL"):
        bed.ping("west", "east", 100_000, patience_s=600)
    killer.join()
    assert standing(tmp_path) == []


def test_a_path_that_leads_round_in_a_circle_is_no_traceback(tmp_path, capsys):
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    for arguments in ([str(circle)], [str(CLASSICAL), "--out", str(circle)], [str(CLASSICAL), "--dir", str(circle)]):
        assert main(["up", *arguments]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_life_that_cannot_begin_is_refused_and_all_else_stays_up(tmp_path):
    def children() -> set[int]:
        return {process.pid for process in processes() if process.parent == keeper}

    def kill_what_it_is_forked_from(before: set[int], until: float) -> None:
        while not (started := children() - before) and time.monotonic() < until:
            pass
        for pid in started:
            os.kill(pid, signal.SIGKILL)

    with Testbed(QPUS, name="own", dilation=100, out=tmp_path / "out", folder=tmp_path) as bed:
        keeper = Place(tmp_path / "own").about["pid"]
        bed.kill("east")
        killer = threading.Thread(target=kill_what_it_is_forked_from, args=(children(), time.monotonic() + 30))
        killer.start()
        with pytest.raises(BadInput, match="its next life was not started: template was killed by SIGKILL"):
            bed.restart("east")
        killer.join()
        assert states(bed) == {"west": "up", "mid": "up", "east": "down"}
        assert bed.status().nodes["east"].why == "was not started: template was killed by SIGKILL"
        bed.restart("east")
        assert bed.ping("west", "east", 1, patience_s=60).pairs == 1


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


def test_a_program_that_keeps_the_floor_is_named_to_whoever_wants_time_to_pass(tmp_path, capsys):
    where = ["--dir", str(tmp_path)]
    with Testbed(QPUS, name="one", clock="virtual", out=tmp_path / "out", folder=tmp_path) as bed:
        with bed.attach("west") as node:
            thinks = threading.Thread(target=node.call, args=("ping",), kwargs={"destination": 3, "count": 1})
            thinks.start()  # of another thread: the sessions of whoever commands rest meanwhile
            thinks.join()
            for command in (["kill", "east"], ["ping", "west", "east"], ["down"]):
                assert main([*command, *where]) == 2
                said = capsys.readouterr().err
                assert f"{command[0]}: time stands still: process {os.getpid()} (" in said
                assert "has had the floor of west for" in said
                assert "its next call at west, whatever it waits for elsewhere, or close that session" in said
                assert ("down --force" in said) == (command == ["down"])
            (floor,) = bed.status().floor
            assert (floor.node, floor.process) == ("west", os.getpid())
            assert main(["status", *where]) == 0
            assert "  time stands still: process" in capsys.readouterr().out
            node.call("sleep", duration_ps=10)
        bed.kill("east")
        assert bed.status().floor == ()
    done = [one["do"] for one in read_inputs(tmp_path / "out" / "inputs.jsonl")]
    assert done == ["attach", "kill", "end"], "what was refused was not done later"


def test_who_asks_after_a_testbed_that_fell_hears_why(tmp_path, capsys):
    where = ["--dir", str(tmp_path)]
    beds = [Testbed(CLASSICAL, name=name, out=tmp_path / "out" / name, folder=tmp_path) for name in ("one", "two")]
    own = [json.loads((bed.out / "run.json").read_text())["pids"] for bed in beds]
    os.kill(own[0]["plane"], signal.SIGKILL)
    os.kill(own[1]["launcher"], signal.SIGKILL)
    for pid in (pid for pids in own for pid in pids.values()):
        _gone(pid)
    with pytest.raises(TestbedError, match=r"one: it is not up any more: plane was killed by SIGKILL; its trace: "):
        beds[0].status()
    with pytest.raises(BadInput, match=r"two: testbed: it is not up any more: its keeper, process [0-9]+, was killed"):
        Testbed.find("two", tmp_path)
    assert main(["status", *where]) == main(["down", "--all", *where]) == 0
    said = capsys.readouterr().out
    for bed in beds:
        assert said.count(f"trace {bed.out}") == 2
    assert main(["trace", str(beds[1].out)]) == 0
    assert main(["kill", "alice", *where]) == 2
    assert "none is up" in capsys.readouterr().err, "it has been heard of"


def test_one_down_is_enough_for_a_testbed_that_fell(tmp_path, capsys):
    bed = Testbed(CLASSICAL, name="one", out=tmp_path / "out", folder=tmp_path)
    own = json.loads((bed.out / "run.json").read_text())["pids"]
    os.kill(own["plane"], signal.SIGKILL)
    for pid in own.values():
        _gone(pid)
    assert main(["down", "--dir", str(tmp_path)]) == 0
    assert "plane was killed by SIGKILL" in capsys.readouterr().out
    assert main(["down", "--dir", str(tmp_path)]) == 2
    assert "none is up" in capsys.readouterr().err


def test_a_down_that_could_not_write_all_says_so(tmp_path, capsys):
    bed = Testbed(CLASSICAL, name="one", out=tmp_path / "out", folder=tmp_path)
    (bed.out / "report.json").mkdir()  # stands for a disk on which there is no room for it
    assert main(["down", "--dir", str(tmp_path)]) == 3
    err = capsys.readouterr().err
    assert "one is down, but not as it should be: the machine refused: " in err
    assert f"trace {bed.out}" in err
    assert not (tmp_path / "one").exists()


def test_whose_keeper_is_killed_leaves_nothing_running(tmp_path):
    bed = Testbed(CLASSICAL, name="one", out=tmp_path / "out", folder=tmp_path)
    left = pids(bed)
    bed.down(force=True)
    for pid in left:
        _gone(pid)
    assert not (tmp_path / "one").exists()
    with Testbed(CLASSICAL, name="one", out=tmp_path / "again", folder=tmp_path) as again:
        assert states(again)["bob"] == "up"


def test_it_ends_with_whoever_is_named_as_its_owner_however_that_ends(tmp_path):
    """As what tests bring up ends with pytest, see testbed/pytest_plugin.py."""
    bring_up = (
        "import os, sys, time; from pathlib import Path; from testbed import Testbed\n"
        "os.environ['BELLWIRE_OWNER'] = str(os.getpid())\n"
        "bed = Testbed(sys.argv[1], name='one', out=Path(sys.argv[2], 'out'), folder=Path(sys.argv[2]))\n"
        "print('up', flush=True); time.sleep(1000)"
    )
    command = [sys.executable, "-c", bring_up, str(CLASSICAL), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout.readline() == "up\n"
        bed = Testbed.find("one", tmp_path)
        left = pids(bed)
        owner.kill()
    for pid in left:
        _gone(pid)
    assert json.loads((bed.out / "run.json").read_text())["exit_code"] == 130, "it was ended in order"
    assert standing(tmp_path) == []


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


def test_mistakes_start_nothing(tmp_path, capsys):
    assert main(["up", str(CLASSICAL), "--remote", "bob", "--dir", str(tmp_path)]) == 2
    assert "--remote and --bind go together" in capsys.readouterr().err
    with pytest.raises(BadInput, match="does not exist"):
        Testbed(tmp_path / "nothing.yaml", folder=tmp_path)
    with pytest.raises(BadInput, match="cannot be a testbed's name"):
        Testbed(CLASSICAL, name="a/b", folder=tmp_path)
    deep = tmp_path / ("d" * 100)
    with pytest.raises(BadInput, match="too long for the path of a socket"):
        Testbed(CLASSICAL, name="one", out=tmp_path / "out", folder=deep)
    # The control socket's path would do; that of the door of ``alice`` does not.
    room = LONGEST_PATH - len(str(tmp_path / "one" / "attach" / "alic")) - 1
    with pytest.raises(BadInput, match="too long for the path of a socket"):
        Testbed(CLASSICAL, name="one", out=tmp_path / "out", folder=tmp_path / ("d" * room))
    assert standing(tmp_path) == standing(deep) == list(tmp_path.iterdir()) == []


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
