"""Who has the floor in virtual time: programs that rest, and programs of one thread with sessions at several nodes.

Elsewhere: who keeps the floor, and is named (test_standing); what the SDK does beside it (test_sdk).
"""

import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from command_lab import ROOT
from outside_lab import (
    MS,
    answers,
    asked,
    both,
    brought_up,
    call,
    comes,
    comes_again,
    eventually,
    inputs,
    program,
    says,
    when,
    written,
)

from stack.sdk import CallFailed, SessionEnded, connect
from testbed import AsyncTestbed, BadInput, Testbed
from testbed.lab.inputs import read_inputs
from testbed.standing.places import place

LATE = 10**15
"""Picoseconds: the alarm of a program that sleeps.  Nothing else is due in an idle network, so whenever nobody has the
floor time leaps to it."""
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Testbed]:
    with brought_up(tmp_path) as up:
        yield up


def at(bed: Testbed, node: str) -> Any:
    return connect(node, testbed=bed.name, folder=bed.out.parent)


def alarm(bed: Testbed) -> socket.socket:
    """A program of somebody else's that goes to sleep as soon as it is let in, after those that have the floor now."""
    return comes(bed, "west", call("sleep", duration_ps=LATE))


# ------------------------------------------------------------ as inputs of a run, in every placement


NODES = ("west", "mid", "east")
REST, NAP = call("rest"), call("sleep", duration_ps=MS)


def test_who_rests_is_heard_at_the_time_at_which_it_stirs(tmp_path):
    """Time goes on meanwhile, and others are heard; whatever it says first, or its end, counts then."""
    ran = both(
        tmp_path,
        None,
        (1, "attach", program("a", REST, NAP, REST, call("rise"), "")),
        (2, "attach", program("b", call("hello"), REST, "")),
        (3, "stir", {"session": "a"}),
        (6, "stir", {"session": "a"}),
        (7, "stir", {"session": "b"}),
        (8, "attach", program("c", REST, call("hello"))),
    )
    assert (when(ran, "call", 0), when(ran, "detached", 0)) == ([1, 3, 4, 6], [6])
    assert (when(ran, "call", 1), when(ran, "detached", 1)) == ([2, 2], [7])
    assert (when(ran, "call", 2), when(ran, "detached", 2)) == ([8], []), "it rests to the end"
    assert ran.outcome.results["west"]["sessions"] == [2]


def test_a_node_that_is_frozen_hears_who_stirs_when_it_is_thawed(tmp_path):
    ran = both(
        tmp_path,
        1,
        (1, "attach", program("a", REST, call("hello"))),
        (1, "attach", program("b", REST, "")),
        (2, "freeze", {}),
        (3, "stir", {"session": "a"}),
        (4, "stir", {"session": "b"}),
        (7, "thaw", {}),
    )
    assert (when(ran, "call", 0), when(ran, "detached", 0)) == ([1, 7], [])
    assert (when(ran, "call", 1), when(ran, "detached", 1)) == ([1], [7])


@pytest.mark.parametrize("processes", [1, None])
def test_with_its_node_dies_the_session_of_who_rests(tmp_path, processes):
    ran = both(
        tmp_path,
        processes,
        (1, "attach", program("a", REST, call("hello"))),
        (2, "kill", {}),
        (3, "stir", {"session": "a"}),
        (4, "restart", {}),
        (5, "stir", {"session": "a"}),
        (6, "attach", program("b", REST, call("hello"))),
        (7, "stir", {"session": "b"}),
    )
    assert [(e["t_ps"] // MS, e["call"]) for e in ran.events("call")] == [(1, "rest"), (6, "rest"), (7, "hello")]


def test_who_stirred_before_it_could_rest_is_heard_all_the_same(tmp_path):
    """As a program of a testbed in wall time, of which a call took longer when it was done again."""
    ran = both(
        tmp_path,
        None,
        (1, "attach", program("a", call("sleep", duration_ps=3 * MS), REST, NAP, REST, call("hello"))),
        (2, "stir", {"session": "a"}),
        (7, "stir", {"session": "a"}),
    )
    assert when(ran, "call", 0) == [1, 4, 4, 5, 7]


def test_nobody_who_is_not_there_stirs(tmp_path):
    path = tmp_path / "inputs.jsonl"
    path.write_text('{"t_ps": 1, "do": "stir", "node": "west", "session": "1"}\n')
    with pytest.raises(BadInput, match=r"inputs.jsonl: line 1: it is no input"):
        read_inputs(path)


# ------------------------------------------------------------ programs that rest by themselves


def test_while_a_program_rests_time_goes_on_and_nobody_has_the_floor(bed, tmp_path):
    resting = comes(bed, "west", call("hello"), REST)
    assert answers(resting, 2)[1] is True
    with bed.attach("east") as other:
        other.call("sleep", duration_ps=50)
    bed.fault("loss", 0.1)
    assert bed.status().floor == ()
    says(resting, call("sleep", duration_ps=7))
    assert answers(resting, 1)[0] > 50
    resting.close()
    done = [one["do"] for one in inputs(bed)]
    assert done.index("fault") < done.index("stir")
    comes_again(bed.down(), tmp_path, "local")


def test_who_rests_waits_for_nothing(bed):
    """For whom else does, what is planned is a reason for time to pass."""
    with comes(bed, "west", REST) as resting:
        assert answers(resting, 1) == [True]
        bed.fault("loss", 0.1, for_s=1.0)
        bed.freeze("mid")
        assert [fault.kind for fault in bed.status().faults] == ["loss"]
        with comes(bed, "west", call("listen", port=20), call("accept", port=20)):
            eventually(lambda: not bed.status().faults)


def test_who_asks_to_rest_and_goes_on_at_once_is_heard(bed):
    """All in one packet, half a line of it, and the end."""
    hasty = comes(bed, "west", REST, call("hello"), REST, REST)
    assert [type(answer) for answer in answers(hasty, 4)] == [bool, dict, bool, bool]
    hasty.sendall(b'{"call": ')
    eventually(lambda: written(bed, "stir") == 3)
    hasty.sendall(b'"rise"}\n')
    assert answers(hasty, 1) == [None]
    says(hasty, REST)
    assert answers(hasty, 1) == [True]
    hasty.close()
    eventually(lambda: written(bed, "detach") == 1)
    assert written(bed, "stir") == 4


def test_who_rests_at_a_node_that_freezes_or_dies(bed, tmp_path):
    stays, leaves, dies = (comes(bed, node, REST) for node in ("west", "west", "east"))
    for one in (stays, leaves, dies):
        assert answers(one, 1) == [True]
    bed.freeze("west")
    says(stays, call("hello"), REST)
    leaves.close()
    eventually(lambda: written(bed, "stir") == 2)
    bed.kill("east")
    assert dies.recv(1) == b""
    assert written(bed, "detach") == 0, "nobody is heard at west"
    bed.thaw("west")
    assert answers(stays, 2)[0]["node"] == "west"
    stays.close()
    eventually(lambda: written(bed, "detach") == 2)
    bed.restart("east")
    again = comes(bed, "east", REST)
    assert answers(again, 1) == [True]
    comes_again(bed.down(), tmp_path, "local", "virtual")
    dies.close()
    again.close()


def at_alarm(bed: Testbed, west: socket.socket) -> socket.socket:
    """An alarm that is set; ``west`` has the floor."""
    set_one = alarm(bed)
    while not any(str(LATE) in one.get("line", "") for one in inputs(bed)):
        says(west, NAP)
        answers(west, 1)
    return set_one


@contextmanager
def stopped(process: int | None) -> Iterator[None]:
    """As slow as a process can be."""
    assert process is not None
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def test_what_a_program_says_before_another_rests_counts_before_time_goes_on(bed):
    with comes(bed, "east", REST) as east:
        assert answers(east, 1) == [True]
        with comes(bed, "west") as west, at_alarm(bed, west) as late:
            with stopped(bed.status().nodes["east"].pid):
                says(east, call("sleep", duration_ps=1))
                says(west, REST)
                assert answers(west, 1) == [True]
                assert not select.select([late], [], [], 0.5)[0]
            assert answers(east, 1)[0] < LATE


def test_so_does_that_one_has_come(bed):
    with comes(bed, "west") as west, at_alarm(bed, west) as late:
        with stopped(place(bed.name, bed.out.parent).about["pid"]):
            east = comes(bed, "east", call("sleep", duration_ps=1))
            says(west, REST)
            assert answers(west, 1) == [True]
            assert not select.select([late], [], [], 0.5)[0]
        with east:
            assert answers(east, 1)[0] < LATE


# ------------------------------------------------------------ one thread, sessions at several nodes


def test_one_thread_makes_pairs_between_two_nodes(bed, tmp_path):
    with bed.attach("west") as west, bed.attach("east") as east:
        made = west.call("pairs", peer=3, number=2, minimum_fidelity=0.0, max_time_ps=10**12)
        seen = east.call("pairs_seen", head=1)
        assert [pair for pair, *_ in made["pairs"]] == [pair for pair, _ in seen]
        assert east.call("pairs", peer=1, number=1, minimum_fidelity=0.0, max_time_ps=10**12)["lost"] == 0
    comes_again(bed.down(), tmp_path, "local", "virtual")


def test_one_thread_holds_two_qpus_and_time_stands_still_while_it_thinks(bed, tmp_path):
    """However often it goes from one to the other; also where it attaches late, and where it lets one go."""
    with at(bed, "west") as west, alarm(bed):
        with at(bed, "east") as east:
            east.listen(20)
            there = west.open("east", 20)
            here = east.accept(20)
            for n in range(20):
                there.send(west.qubit().x())
                assert east.measure(here.receive()) == (1,)
                here.tell(n)
                assert there.hear() == n
        west.sleep(1e-6)
        with at(bed, "east") as east:
            east.sleep(1e-6)
            assert east.t_ps < LATE
        assert west.ask("sleep", duration_ps=1) < LATE
    assert written(bed, "stir") > 40
    comes_again(bed.down(), tmp_path, "local", "virtual")


@BACKENDS
def test_one_task_holds_two_qpus(bed, tmp_path, backend):
    async def holds() -> None:
        async with at(bed, "west") as west, at(bed, "east") as east:
            with alarm(bed):
                await east.listen(20)
                there = await west.open("east", 20)
                here = await east.accept(20)
                for n in range(10):
                    await there.send((await west.qubit()).x())
                    assert await east.measure(await here.receive()) == (1,)
                    await here.tell(n)
                    assert await there.hear() == n
                assert max(west.t_ps, east.t_ps) < LATE

    anyio.run(holds, backend=backend)
    comes_again(bed.down(), tmp_path, "local")


@BACKENDS
def test_tasks_of_one_thread_wait_for_each_other(bed, tmp_path, backend):
    """One for an answer, another for what the first has to say then; and where both call, neither lets go meanwhile."""

    async def holds() -> None:
        said = anyio.Event()
        async with at(bed, "west") as west, at(bed, "east") as east:

            async def first() -> None:
                await west.sleep(1e-6)
                for _ in range(10):
                    await west.sleep(1e-6)
                said.set()

            async def second() -> None:
                began = await east.ask("sleep", duration_ps=1)
                await said.wait()
                assert LATE > await east.ask("sleep", duration_ps=1) > began + 10_000_000

            with alarm(bed):
                async with anyio.create_task_group() as group:
                    group.start_soon(second)
                    group.start_soon(first)
                async with anyio.create_task_group() as group:
                    for qpu in (west, east):
                        group.start_soon(steps, qpu)

    async def steps(qpu: Any) -> None:
        began = await qpu.ask("sleep", duration_ps=1)
        for n in range(1, 20):
            assert await qpu.ask("sleep", duration_ps=1000) == began + n * 1000

    anyio.run(holds, backend=backend)
    comes_again(bed.down(), tmp_path, "local")


async def test_what_blocks_a_loop_lets_its_other_sessions_rest(bed):
    async with at(bed, "east") as east:
        await east.sleep(1e-6)
        with bed.attach("west") as west:
            west.call("sleep", duration_ps=1000)
            await east.sleep(1e-6)


def test_a_thread_lets_only_its_own_sessions_rest(bed):
    """Another may be about to call: what has been used by it keeps the floor, and has its next call in time."""
    took: list[int] = []

    def other() -> None:
        with bed.attach("east") as east:
            for _ in range(5):
                began = east.call("sleep", duration_ps=10**6)
                took.append(east.call("sleep", duration_ps=1000) - began)

    with bed.attach("west") as west:
        thread = threading.Thread(target=other)
        thread.start()
        while thread.is_alive():
            west.call("sleep", duration_ps=10**5)
    assert took == [1000] * 5
    assert "rest" not in asked(bed)


def test_one_session_says_nothing_of_rest_nor_do_any_in_wall_time(tmp_path):
    for clock, nodes in (("virtual", ["west"]), ("paced", ["west", "east", "west"])):
        folder = tmp_path / clock
        folder.mkdir()
        with brought_up(folder, clock) as bed, ExitStack() as stack:
            sessions = [stack.enter_context(bed.attach(node)) for node in nodes]
            for session in sessions * 2:
                session.call("sleep", duration_ps=1000)
            assert set(asked(bed)) == {"sleep"}


def test_a_question_longer_than_any_buffer_reaches_a_node_where_its_program_rests(bed):
    with bed.attach("west") as west, bed.attach("east") as east:
        west.call("sleep", duration_ps=1)
        east.call("sleep", duration_ps=1)
        with pytest.raises(CallFailed, match="much"):
            west.call("sleep", duration_ps=1, much="x" * 3_000_000)


def test_who_never_comes_to_an_end_is_not_listened_to_for_ever(bed, tmp_path):
    """A node keeps no more of a call than it must; others are served, and it comes again to the byte."""
    with comes(bed, "west") as endless, pytest.raises(ConnectionError):
        endless.sendall(bytes(1 << 28))
    with bed.attach("west") as west:
        assert west.call("sleep", duration_ps=1)
    comes_again(bed.down(), tmp_path, "local", "virtual")


def test_who_loses_one_session_has_the_floor_in_another(bed):
    """To a death, as by closing it: what one thread does next happens when it is done."""

    def kills() -> None:
        eventually(lambda: "accept" in asked(bed))
        bed.kill("east")

    with at(bed, "west") as west, at(bed, "east") as east:
        west.sleep(1e-6)
        east.listen(20)
        killer = threading.Thread(target=kills)
        killer.start()
        with pytest.raises(SessionEnded):
            east.accept(20)
        killer.join()
        eventually(lambda: [floor.node for floor in bed.status().floor] == ["west"])
        west.sleep(1e-6)


FORKS = """
import os, sys
from pathlib import Path
from stack.sdk import connect

def at(node):
    return connect(node, testbed="one", folder=Path(sys.argv[1]))

with at("west") as west:
    child = os.fork()
    if not child:
        with at("east") as east:
            east.sleep(1e-6)
        os._exit(0)
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        assert type(west.ask("sleep", duration_ps=10**6)) is int
    assert type(west.ask("sleep", duration_ps=10**6)) is int
"""


def test_a_process_that_is_forked_off_lets_no_session_of_its_parent_rest(bed, tmp_path):
    subprocess.run([sys.executable, "-c", FORKS, str(tmp_path)], cwd=ROOT, check=True, timeout=300)
    assert "rest" not in asked(bed)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_programs_do_in_whatever_order_comes_again_to_the_byte(tmp_path, seed):
    """Threads with several sessions each, which call, attach and leave as they like, and others that say when they
    rest."""

    def holds(chance: random.Random) -> None:
        with ExitStack() as stack:
            held = [stack.enter_context(bed.attach(chance.choice(NODES))) for _ in range(3)]
            for _ in range(30):
                index = chance.randrange(len(held))
                match chance.randrange(8):
                    case 0:
                        held[index].close()
                        held[index] = stack.enter_context(bed.attach(chance.choice(NODES)))
                    case 1 | 2:
                        there = 1 if held[index].name == "mid" else 2
                        held[index].call("ping", destination=there, count=2, timeout_ps=10**8)
                    case 3:
                        held[index].call("rise")
                    case _:
                        held[index].call("sleep", duration_ps=chance.randrange(10**6))

    def says_itself(chance: random.Random) -> None:
        with comes(bed, chance.choice(NODES), call("rise")) as sock:
            for _ in range(20):
                says(sock, *chance.choices([REST, call("sleep", duration_ps=1000), call("rise")], k=2), REST)
                assert len(answers(sock, 3 if _ else 4)) >= 3

    with brought_up(tmp_path) as bed:
        whats = (holds, holds, says_itself, says_itself)
        threads = [threading.Thread(target=what, args=(random.Random(9 * seed + n),)) for n, what in enumerate(whats)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({one["session"] for one in inputs(bed) if one["do"] == "stir"}) >= 4
        comes_again(bed.down(), tmp_path, "local", "virtual")


# ------------------------------------------------------------ a thread that commands the testbed


def test_who_commands_the_testbed_lets_its_own_sessions_rest_and_thinks_on_afterwards(bed, tmp_path):
    """Nothing is refused for a floor that the caller has itself; at the end, too, though sessions are open then."""
    with at(bed, "west") as west, bed.attach("east") as east:
        west.sleep(1e-6)
        bed.fault("loss", 0.01)
        assert bed.ping("east", "west", 2, patience_s=60).pairs == 2
        assert (bed.heal(), bed.restart("mid")) == (1, 2)
        with alarm(bed):
            assert east.call("sleep", duration_ps=1) < LATE
            assert west.ask("sleep", duration_ps=1) < LATE
        with bed:
            west.sleep(1e-6)
    assert not bed.folder.exists()
    comes_again(bed.out, tmp_path, "local", "virtual")


def test_a_testbed_outlives_its_with_in_no_case(bed):
    with ExitStack() as held:
        west = held.enter_context(bed.attach("west"))
        thinks = threading.Thread(target=west.call, args=("sleep",), kwargs={"duration_ps": 1})
        thinks.start()  # the session is that thread's, and nobody knows whether it is about to call
        thinks.join()
        with pytest.raises(BadInput, match="time stands still"), bed:
            pass
    assert not bed.folder.exists()


@BACKENDS
def test_a_task_that_commands_the_testbed_waits_beside_others(bed, tmp_path, backend):
    async def holds() -> None:
        there = await AsyncTestbed.find(bed.name, bed.out.parent)
        async with at(bed, "west") as west, at(bed, "east") as east:
            await east.listen(20)

            async def accepts() -> None:
                channel = await east.accept(20)
                assert await channel.hear() == 1

            async with anyio.create_task_group() as group:
                group.start_soon(accepts)
                await west.sleep(1e-6)
                await there.fault("loss", 0.01)
                assert (await there.ping("west", "east", 1, patience_s=60)).pairs == 1
                assert await there.heal() == 1
                async with await west.open("east", 20) as channel:
                    await channel.tell(1)
            await there.down()

    anyio.run(holds, backend=backend)
    comes_again(bed.out, tmp_path, "local")
