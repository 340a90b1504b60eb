"""A testbed that stays, and a node that is started elsewhere: by hand, at another address, told only a ticket."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio.testing
import yaml
from command_lab import BELLWIRE, PATIENCE_S, command, lives, toy
from far_lab import free_addresses, patient
from outside_lab import eventually
from slice_lab import SCENARIOS
from test_controller import network

from protocols.wire import parse
from stack.record import spool_name
from stack.runtime import bus
from stack.runtime.line import HELLO, ORDERS
from stack.runtime.paced import PacedHost
from stack.streams import part
from testbed import BadInput, Testbed
from testbed.cli import main
from testbed.lab.remote import Clock
from testbed.lab.spawning import processes
from testbed.standing.jobs import OVER
from testbed.trace import read_events, read_trace

LAB, FAR, FARTHER = free_addresses(3)
KILLED = "bellwire node: east was killed there; its next life comes with a ticket of its own\n"


AHEAD_S = 86_400


def _ahead() -> list[str]:
    """How to begin what finds its clock a day ahead of ours, as on another machine (time_namespaces(7)), if that is
    allowed here."""
    begin = ["unshare", "--time", "--monotonic", str(AHEAD_S)]
    with contextlib.suppress(OSError, ValueError):
        shown = [sys.executable, "-c", "import time; print(time.monotonic())"]
        said = subprocess.run([*begin, *shown], capture_output=True)
        if float(said.stdout) - time.monotonic() > AHEAD_S - 60:
            return begin
    return []


class Far:
    """What a person has started elsewhere, where the clock shows another time."""

    process: subprocess.Popen[str] | None = None
    told = ""

    def start(self, ticket: Path | None, address: str) -> subprocess.Popen[str]:
        assert ticket is not None
        be = [*_ahead(), BELLWIRE, "node", str(ticket), "--address", address]
        self.process = subprocess.Popen(be, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return self.process

    @property
    def child(self) -> int:
        """The node's own process."""
        assert self.process is not None
        (child,) = (process.pid for process in processes() if process.parent == self.process.pid)
        return child

    def ended(self) -> tuple[int, str]:
        assert self.process is not None
        self.told, said = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, said

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture(scope="module")
def far() -> Iterator[Far]:
    started = Far()
    yield started
    started.end()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("far")


@pytest.fixture(scope="module")
def bed(folder: Path, far: Far) -> Iterator[Testbed]:
    options = {"dilation": 50, "out": folder / "out", "folder": folder}
    with Testbed(patient(folder), name="two", remote=["east"], bind=LAB, **options) as up:
        yield up


def state(bed: Testbed, node: str = "east") -> str:
    return bed.status().nodes[node].state


# ------------------------------------------------------------ one testbed, step by step (the order counts)


def test_it_comes_up_without_it_and_says_what_to_do(bed, folder, capsys):
    assert [state(bed, node) for node in ("west", "mid", "east")] == ["up", "up", "awaited"]
    east = bed.status().nodes["east"]
    assert east.ticket == bed.out / "tickets" / "east.json"
    assert east.ticket.stat().st_mode & 0o077 == 0
    there = rf"east: it is awaited.*bellwire node {re.escape(str(east.ticket))} --address ADDRESS"
    for refused in (bed.kill, bed.restart, bed.freeze, bed.attach):
        with pytest.raises(BadInput, match=there):
            refused("east")
    with pytest.raises(BadInput, match=there):
        bed.ping("west", "east", 1, patience_s=0.1)
    assert main(["status", "--dir", str(folder)]) == 0
    assert re.search(rf"east +awaited +qpu, there, .*{re.escape(str(east.ticket))} --address", capsys.readouterr().out)


def test_strangers_are_told_nothing(bed):
    ticket = json.loads(bed.status().nodes["east"].ticket.read_text())
    host, _, port = ticket["lab"].rpartition(":")
    hello = {"node": "east", "udp": [FAR, 57721]}
    for said in (
        part(HELLO, json.dumps(hello | {"token": "0" * 32}).encode()),
        part(HELLO, json.dumps(hello | {"node": "west", "token": ticket["token"]}).encode()),
        part(HELLO, json.dumps(hello | {"token": ticket["token"], "session": 1}).encode()),
        part(ORDERS, json.dumps(hello | {"token": ticket["token"]}).encode()),
        part(HELLO, b"[" * 5000),
        b"\xff" * 5,
    ):
        with socket.create_connection((host, int(port))) as stranger:
            stranger.sendall(said)
            stranger.settimeout(PATIENCE_S)
            with contextlib.suppress(ConnectionResetError):  # of what was not read
                assert stranger.recv(1) == b""
    assert state(bed) == "awaited"


def test_it_comes_and_is_a_node_as_any_other(bed, far, folder):
    bed.fault("duplicate", 0.5)  # it finds the network as it is when it comes
    ticket = bed.status().nodes["east"].ticket
    shutil.copy(ticket, folder / "used.json")
    far.start(ticket, FAR)
    made = bed.ping("west", "east", 3, patience_s=60)
    assert (made.pairs, made.lost) == (3, 0)
    assert made.fidelity_oracle == pytest.approx(0.985, abs=0.01)
    assert bed.ping("east", "west", 1, patience_s=60).pairs == 1
    east = bed.status().nodes["east"]
    assert (east.state, east.incarnation, east.pid, east.elsewhere) == ("up", 1, None, True)
    assert (east.address, east.ticket) == (f"{FAR}:57721", None)
    assert bed.heal() == 1
    with bed.attach("east") as node:
        assert node.call("ping", destination=1, count=1, timeout_ps=10**12)["answered"] == 1


def test_its_clock_is_a_day_ahead(far):
    if not _ahead():
        pytest.skip("LOUD: no process here may have a clock of its own (unshare --time): only one machine's is tried")
    offsets = Path(f"/proc/{far.child}/timens_offsets").read_text().split()
    assert offsets[:2] == ["monotonic", str(AHEAD_S)]


def test_frozen_it_holds_its_pairs_back_until_it_is_thawed(bed):
    bed.freeze("east")
    assert state(bed) == "frozen"
    with bed.attach("west") as node:
        made = node.call("pairs", peer=3, number=1, minimum_fidelity=0.0, max_time_ps=10**10)  # half a second here
    assert (made["pairs"], made["failed"]) == ([], "TIMEOUT")
    bed.thaw("east")
    assert bed.ping("west", "east", 1, patience_s=60).pairs == 1


def test_killed_it_ends_there_and_a_ticket_serves_once(bed, far, folder):
    bed.kill("east")
    assert state(bed) == "killed"
    code, said = far.ended()
    assert (code, said) == (3, KILLED)
    assert bed.restart("east") == 2
    assert state(bed) == "awaited"
    far.start(folder / "used.json", FAR)
    code, said = far.ended()
    assert code == 3
    assert "the ticket may be of an earlier life, or used" in said
    far.start(bed.status().nodes["east"].ticket, FARTHER)  # it may have moved
    assert bed.ping("west", "east", 1, patience_s=60).pairs == 1
    assert bed.status().nodes["east"].address == f"{FARTHER}:57721"


def test_vanished_it_is_down_and_takes_no_other_with_it(bed, far):
    child = far.child
    eventually((bed.out / ".spool" / spool_name(3, 2)).exists)  # what it writes down comes at once
    os.kill(far.process.pid, signal.SIGKILL)
    eventually(lambda: state(bed) == "down")
    east = bed.status().nodes["east"]
    assert east.why == "has gone: its line has closed"
    assert east.unrecorded_s > 0
    assert state(bed, "west") == state(bed, "mid") == "up"
    far.ended()
    eventually(lambda: not lives(child))
    assert bed.restart("east") == 3


def test_down_ends_it_and_the_trace_has_all_its_lives(bed, far):
    far.start(bed.status().nodes["east"].ticket, FAR)
    assert bed.ping("west", "east", 1, patience_s=60).pairs == 1
    out = bed.down()
    assert far.ended() == (0, "")
    assert far.told.splitlines()[-1] == "bellwire node: east has ended, with its run"
    frames = [frame for frame in read_trace(out / "trace.pcapng") if frame.node == "east"]
    assert {parse(frame.frame).incarnation for frame in frames if frame.direction == "sent"} == {1, 2, 3}
    assert any(frame.note == "dropped: replayed" for frame in frames)
    pairs = sum(e["event"] == "ok" and e["node"] == "east" for e in read_events(out / "events.jsonl"))
    assert pairs >= 6, "all but what it wrote down in the moment in which it vanished"
    gaps = [e["last_wall_ms"] for e in read_events(out / "events.jsonl") if e["event"] == "not recorded"]
    facts = json.loads((out / "run.json").read_text())
    assert gaps, "it has vanished once"
    assert facts["unrecorded_s"] == {"east": [gap / 1000 for gap in gaps]}
    assert (facts["exit_code"], facts["trace_complete"]) == (0, True)
    asked = [json.loads(line) for line in (out / "inputs.jsonl").read_text().splitlines()]
    assert {"east.1.0", "west.1.0"} <= {one.get("session") for one in asked}


# ------------------------------------------------------------ what a scenario plans


def test_a_run_that_waits_for_its_nodes_can_be_interrupted(tmp_path):
    out = tmp_path / "out"
    options = ("--clock", "paced", "--remote", "east", "--bind", LAB, "--out", out)
    run = subprocess.Popen(command(toy(tmp_path, 1), *options), stderr=subprocess.PIPE, text=True)
    try:
        eventually((out / "tickets" / "east.json").exists)
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=PATIENCE_S)[1]
    finally:
        run.kill()
        run.communicate()
    assert (run.returncode, said) == (130, "bellwire run: interrupted\n")


PATIENT = """from stack.sdk import attach
with attach() as node:
    node.call("sleep", duration_ps=100_000_000_000)
    while not node.call("ping", destination=3, count=1, timeout_ps=10_000_000_000)["answered"]:
        pass
    print(node.name, "hears from east again", flush=True)
"""
"""Of a node that is elsewhere: it ends, and the run with it, when another lives again that has been killed before."""


def test_killed_by_plan_it_is_awaited_again_and_a_program_of_the_scenario_is_with_its_node(tmp_path):
    faults = [{"at_s": 0.05, "kill": "east"}, {"at_s": 0.06, "restart": "east"}]
    scenario = toy(tmp_path, 1, PATIENT, faults=faults)
    scenario.write_text(scenario.read_text().replace("node: east", "node: mid"))
    out, mid, east = tmp_path / "out", Far(), Far()
    options = ("--clock", "paced", "--dilation", "20", "--remote", "mid", "--remote", "east", "--bind", LAB)
    run = subprocess.Popen(command(scenario, *options, "--out", out), stdout=subprocess.PIPE, text=True)
    try:
        assert [run.stdout.readline().partition(";")[0] for _ in range(2)] == ["waiting for mid", "waiting for east"]
        eventually((out / "tickets" / "east.json").exists)  # the last that is written
        mid.start(out / "tickets" / "mid.json", FAR)
        east.start(out / "tickets" / "east.json", FARTHER)
        assert run.stdout.readline().startswith("waiting for east, life 2; there, with a copy of its ticket: ")
        code, said = east.ended()
        assert (code, said) == (3, KILLED)
        east.start(out / "tickets" / "east.json", FARTHER)
        run.communicate(timeout=4 * PATIENCE_S)
        assert (run.returncode, mid.ended(), east.ended()) == (0, (0, ""), (0, ""))
    finally:
        for process in (mid, east):
            process.end()
        run.kill()
        run.communicate()
    assert "mid hears from east again" in (out / "logs" / "program-0.log").read_text()
    told = [e["event"] for e in read_events(out / "events.jsonl") if e["node"] == "east"]
    assert [event for event in told if event in ("started", "killed")] == ["started", "killed", "started"]


# ------------------------------------------------------------ a controller


def test_jobs_outlive_a_controller_where_its_journal_is_and_where_it_is_not_that_is_said(tmp_path, capsys):
    text = network(2, [], host_allowance_s=0.03)
    text.pop("jobs")
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(text))
    far = Far()

    def begin(machine: str) -> None:
        (tmp_path / machine).mkdir(exist_ok=True)
        ticket = shutil.copy(bed.status().nodes["ctl"].ticket, tmp_path / machine / "ctl.json")
        far.start(ticket, FAR)
        eventually(lambda: state(bed, "ctl") == "up")

    def die(number: int = signal.SIGKILL) -> None:
        far.process.send_signal(number)
        assert far.ended()[0] in (-number, 128 + number)
        eventually(lambda: state(bed, "ctl") == "down")
        bed.restart("ctl")

    options = {"dilation": 50, "out": tmp_path / "out", "folder": tmp_path}
    try:
        with Testbed(tmp_path / "two.yaml", name="jobs", remote=["ctl"], bind=LAB, **options) as bed:
            begin("one")
            endless = bed.submit(SCENARIOS / "bell-2.qasm", 1_000_000)
            job = bed.submit(SCENARIOS / "ghz-4.qasm", 2)  # it waits for the QPU that the other has
            die()
            begin("one")
            assert [(one.job, one.state in OVER) for one in bed.jobs()] == [(1, False), (2, False)]
            bed.cancel(endless.job)
            done = bed.wait(job.job)
            assert (done.state, sum(done.counts.values())) == ("DONE", 2)
            lost_s = bed.status().nodes["ctl"].unrecorded_s
            die(signal.SIGTERM)
            assert bed.status().nodes["ctl"].unrecorded_s == lost_s, "who is ended there in order loses nothing"
            assert bed.status().nodes["ctl"].journal_lost == ""
            begin("two")
            lost = "life 2 wrote its journal elsewhere, or it is gone"
            assert bed.status().nodes["ctl"].journal_lost == lost
            with pytest.raises(BadInput, match=f"there is no job 2; {lost}"):
                bed.job(2)
            for asked in ("jobs", "status"):
                assert main([asked, "--dir", str(tmp_path)]) == 0
                assert f"ctl does not know the jobs of earlier lives: {lost}" in capsys.readouterr().out
            assert bed.submit(SCENARIOS / "bell-2.qasm", 1).job > 2, "nobody takes it for an earlier one"
            bed.restart("ctl")  # as a power cut would, but its last words come through
            far.ended()
            begin("one")
            assert bed.jobs() == [], "what it knows ends before the last life did"
            (aside,) = (tmp_path / "one").glob("journals-*/ctl.before-4.jsonl")
            assert aside.stat().st_size
    finally:
        far.end()
    told = [e["reason"] for e in read_events(tmp_path / "out" / "events.jsonl") if e["event"] == "journal lost"]
    assert told == [lost, lost.replace("2", "3")]


# ------------------------------------------------------------ clocks of two machines


def test_a_clock_that_has_gone_off_is_noticed_and_a_slow_answer_is_no_sign_of_it():
    clock, news = Clock(), []

    def look(took: int, ahead: int) -> None:
        asked = len(news) * 10**9
        news.append(clock.look(asked, asked + took // 2 + ahead, asked + took))

    for _ in range(8):
        look(1_000, 5 * 10**9)
    assert clock.ahead_ns == 5 * 10**9
    news.clear()
    look(10**8, 5 * 10**9 + 4 * 10**7)  # the answer lay about on its way back
    assert not any(news)
    for _ in range(9):
        look(1_000 + len(news), 5 * 10**9 + 3 * 10**6)
    assert news.count(True) == 1
    assert clock.ahead_ns == 5 * 10**9 + 3 * 10**6


async def test_time_does_not_go_back_for_a_node_whose_clock_was_ahead(monkeypatch):
    now_ns = epoch_ns = 10**9
    monkeypatch.setattr("stack.runtime.paced.time.monotonic_ns", lambda: now_ns)
    lab, here = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with lab, here:
        host = PacedHost(here, {}, {})
        lab.send(bus.pack_start(epoch_ns, 1.0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.run, lambda: None)
            await trio.testing.wait_all_tasks_blocked(0.01)
            now_ns += 1_000_000
            assert host.wall_ps() == 10**9
            lab.send(bus.pack_start(epoch_ns + 400_000, 1.0))
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert host.wall_ps() == 10**9
            now_ns += 1_000_000
            assert host.wall_ps() == 16 * 10**8
            nursery.cancel_scope.cancel()
