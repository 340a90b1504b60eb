"""Programs that hang up while they wait, and programs at nodes that are frozen: when each is heard of.

Elsewhere: what becomes of what such a program held (test_programs_gone, test_sdk).
"""

import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
from outside_lab import (
    MS,
    WAITS,
    answers,
    both,
    brought_up,
    call,
    comes,
    comes_again,
    eventually,
    program,
    when,
    written,
)

from stack.record import NullRecorder
from stack.runtime import bus
from stack.runtime.inputs import InputLog
from stack.runtime.kernel import Kernel, Waiter
from stack.runtime.paced import PacedHost
from stack.runtime.session import Session
from stack.runtime.virtual import VirtualHost
from testbed import BadInput, Testbed, TestbedError
from testbed.lab.inputs import read_inputs

MUCH = 2_000_000


# ------------------------------------------------------------ as inputs of a run, in every placement


def test_a_call_that_waits_is_given_up_at_the_time_at_which_its_program_hangs_up(tmp_path):
    ran = both(
        tmp_path,
        None,
        (1, "attach", program("a", *WAITS)),
        (2, "attach", program("b", call("sleep", duration_ps=20 * MS), *WAITS)),
        (3, "hangup", {"session": "b"}),
        (5, "hangup", {"session": "a"}),
    )
    assert (when(ran, "call", 0), when(ran, "detached", 0)) == ([1, 1, 1], [5])
    assert (when(ran, "call", 1), when(ran, "detached", 1)) == ([2], [3])
    assert ran.outcome.results["west"]["sessions"] == []


def test_a_frozen_node_hears_no_program_and_time_passes(tmp_path):
    """Neither what is asked, nor who goes away; it makes up for it in the instant in which it is thawed."""
    ran = both(
        tmp_path,
        1,
        (1, "attach", program("a", *WAITS)),
        (2, "freeze", {}),
        (3, "attach", program("b", call("qubit"), call("sleep", duration_ps=MS))),
        (4, "hangup", {"session": "a"}),
        (5, "attach", program("c", *WAITS)),
        (6, "hangup", {"session": "c"}),
        (7, "thaw", {}),
    )
    assert (when(ran, "call", 0), when(ran, "detached", 0)) == ([1, 1, 1], [7])
    assert (when(ran, "call", 1), when(ran, "detached", 1)) == ([7, 7], [])
    assert (when(ran, "call", 2), when(ran, "detached", 2)) == ([], [7]), "nobody is there to be answered"
    assert ran.outcome.results["west"]["sessions"] == [1]


def test_with_a_frozen_node_that_dies_the_sessions_of_its_programs_end(tmp_path):
    ran = both(
        tmp_path,
        1,
        (1, "attach", program("a", *WAITS)),
        (2, "freeze", {}),
        (3, "attach", program("b", call("hello"))),
        (4, "kill", {}),
        (5, "attach", program("c", call("hello"))),
        (5, "hangup", {"session": "a"}),
        (6, "restart", {}),
        (7, "thaw", {}),
        (8, "attach", program("d", call("hello"))),
    )
    assert [(e["t_ps"] // MS, e["session"]) for e in ran.events("call")] == [(1, 0)] * 3 + [(8, 0)]
    assert ran.outcome.results["west"]["sessions"] == [0], "only who came to its next life"
    assert ran.outcome.end_ps == 9 * MS


def test_a_hangup_of_nobody_is_no_input(tmp_path):
    path = tmp_path / "inputs.jsonl"
    path.write_text('{"t_ps": 1, "do": "hangup", "node": "west", "session": "1"}\n')
    with pytest.raises(BadInput, match=r"inputs.jsonl: line 1: it is no input"):
        read_inputs(path)


# ------------------------------------------------------------ in wall time


class Waits:
    """Of a program whose calls are answered at once, or never."""

    waits = frozenset({"wait"})

    def __init__(self, kernel: Kernel) -> None:
        self.calls = {"wait": Waiter(kernel).wait, "now": self._now, "much": self._much}

    async def _now(self) -> int:
        return 1

    async def _much(self) -> str:
        return "x" * MUCH

    def ended(self) -> None:
        pass


class InWallTime:
    """A node in this process that has programs, and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.lab, self.ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.host = PacedHost(self.ours, {}, {})
        self.host.input_log = InputLog(str(folder / "inputs.jsonl"))
        self.kernel = Kernel(self.host, 1, "west", 1, NullRecorder())
        self.kernel.for_programs.append(lambda: Waits(self.kernel))

    def attached(self, label: str, *calls: str) -> socket.socket:
        theirs, mine = socket.socketpair()
        mine.setblocking(False)
        mine.sendall("".join(call + "\n" for call in calls).encode())
        self.host.attach(1, self.host.wall_ps(), theirs, label)
        return mine

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        with self.lab, self.ours:
            self.lab.send(bus.pack_start(time.monotonic_ns(), 1.0))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.host.run, lambda: self.host.start(self.kernel, trio.sleep_forever, 0))
                await trio.testing.wait_all_tasks_blocked()
                yield
                await trio.testing.wait_all_tasks_blocked()
                assert self.kernel.sessions == []
                self.lab.send(bus.pack_grant(bus.Grant(0, bus.LAST, [], [], []))[0])


async def test_in_wall_time_a_frozen_node_hears_no_program_either(tmp_path):
    node = InWallTime(tmp_path)
    host, attached = node.host, node.attached

    def done() -> list[tuple[str, str]]:
        lines = (tmp_path / "inputs.jsonl").read_text().splitlines()
        return [(one["do"], one["session"]) for one in map(json.loads, lines)]

    async with node.running():
        waiting = attached("a", call("now"), call("wait"))
        thinking = attached("b", call("now"))
        await trio.testing.wait_all_tasks_blocked()
        assert b"value" in waiting.recv(65536)
        assert b"value" in thinking.recv(65536)
        host.freeze(1)
        asking = attached("c", call("now"))
        waiting.close()
        thinking.sendall(call("now").encode() + b"\n")
        await trio.testing.wait_all_tasks_blocked()
        for program in (thinking, asking):
            with pytest.raises(BlockingIOError):
                program.recv(65536)
        assert sorted(done()) == [("call", "a"), ("call", "a"), ("call", "b")]
        host.thaw(1, host.wall_ps())
        await trio.testing.wait_all_tasks_blocked()
        for program in (thinking, asking):
            assert b"value" in program.recv(65536)
            program.close()
        assert {("call", "b"), ("call", "c"), ("hangup", "a"), ("detach", "a")} == set(done()[3:])


async def test_in_wall_time_who_asks_and_does_not_read_holds_up_nobody(tmp_path):
    node = InWallTime(tmp_path)
    async with node.running():
        deaf, gone = node.attached("a", call("much")), node.attached("b", call("much"))
        await trio.testing.wait_all_tasks_blocked()
        quick = node.attached("c", call("now"))
        await trio.testing.wait_all_tasks_blocked()
        assert b"value" in quick.recv(65536)
        gone.close()
        heard = b""
        while not heard.endswith(b"\n"):
            heard += deaf.recv(1 << 20)
            await trio.testing.wait_all_tasks_blocked()
        assert json.loads(heard)["value"] == "x" * MUCH
        deaf.close()
        quick.close()


async def test_in_wall_time_to_rest_is_nothing_and_is_written_down_for_where_it_is_done_again(tmp_path):
    node = InWallTime(tmp_path)
    async with node.running():
        resting = node.attached("a", call("rest"))
        await trio.testing.wait_all_tasks_blocked()
        assert b'"value": false' in resting.recv(65536)
        resting.sendall(f"{call('now')}\n{call('rest')}\n{call('now')}\n".encode())
        await trio.testing.wait_all_tasks_blocked()
        assert resting.recv(65536).count(b"value") == 3
        resting.close()
    lines = [json.loads(line) for line in (tmp_path / "inputs.jsonl").read_text().splitlines()]
    assert [one["do"] for one in lines] == ["call", "stir", "call", "call", "stir", "call", "detach"]


# ------------------------------------------------------------ beside a testbed in virtual time


async def for_ever() -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize("said_first", [False, True])
async def test_who_hangs_up_when_all_is_over_already_troubles_nobody(said_first):
    """The coordinator has said its last word, and gone, before it could hear so."""
    lab, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs, program = socket.socketpair()
    host = VirtualHost(ours, {}, {}, 1)
    session = Session(Kernel(host, 1, "west", 1, NullRecorder()), 0, theirs, "a")
    lab.send(bus.pack_grant(bus.Grant(9, bus.LAST, [], [], []))[0])
    wait = host._wait_for_grant

    def goes_meanwhile() -> None:
        for act in (wait, lab.close) if said_first else (lab.close, wait):
            act()

    host._wait_for_grant = goes_meanwhile
    with ours, theirs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.attend, session, for_ever())
            await trio.testing.wait_all_tasks_blocked()
            program.close()
            assert not host.refill()
            nursery.cancel_scope.cancel()


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Testbed]:
    with brought_up(tmp_path) as up:
        yield up


def makes_pairs(bed: Testbed) -> bool:
    try:
        return bed.ping("west", "east", 1).pairs == 1
    except BadInput as refused:
        if "for somebody else already" in str(refused):
            return False
        raise


def test_who_hangs_up_is_missed_and_so_it_is_done_again(bed, tmp_path):
    """While time stands still, since nobody has anything to do; while it passes; and while the node is frozen."""
    waiting = comes(bed, "west", *WAITS)
    answers(waiting, 2)
    waiting.close()
    eventually(lambda: written(bed, "detach") == 1)
    assert written(bed, "hangup") == 1
    with bed.attach("west") as node:
        node.call("listen", port=20)

    asks = socket.socket(socket.AF_UNIX)
    asks.connect(str(tmp_path / "one" / "control"))
    asks.sendall(b'{"do": "ping", "a": "west", "b": "east", "pairs": 100000, "patience_s": 86400}\n')
    eventually(lambda: written(bed, "call") == 5)
    asks.close()
    eventually(lambda: makes_pairs(bed))
    assert written(bed, "hangup") == 2

    leaving = comes(bed, "west", *WAITS)
    answers(leaving, 2)
    bed.freeze("west")
    detached = written(bed, "detach")
    late = comes(bed, "west", call("hello"), call("sleep", duration_ps=MS))
    leaving.close()
    eventually(lambda: written(bed, "hangup") == 3)
    bed.fault("loss", 0.1)  # time would not pass if it had the floor
    assert written(bed, "detach") == detached, "nobody is heard there"
    bed.thaw("west")
    assert answers(late, 2)[0]["node"] == "west"
    late.close()
    out = bed.down()
    comes_again(out, tmp_path, "local")


def test_an_error_of_whoever_has_the_floor_leaves_no_testbed_behind(bed):
    def fails() -> None:
        with bed:
            node.call("sleep", duration_ps=MS)
            raise ZeroDivisionError

    with bed.attach("west") as node, pytest.raises(ZeroDivisionError):
        fails()
    with pytest.raises(TestbedError):
        bed.status()
