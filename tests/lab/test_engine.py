"""The engine's promises, proved with the toy protocol: equal bytes, order, bursts, planned deaths."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
import trio
from engine_lab import Ran, local, paced, virtual

from protocols.wire import parse
from stack.config import Faults, Noise
from stack.record import NullRecorder
from stack.runtime.host import Host
from stack.runtime.kernel import ANSWER, FRAME, Kernel, Waiter
from stack.runtime.times import MS, NEVER, NS, US, ClockMap
from testbed.clock.agenda import Deed, Planned
from testbed.lab.toy import EchoPlaneConfig, toy_plan
from testbed.trace.reading import TracedFrame, read_trace

LOSSY = Faults(loss=0.1, duplicate=0.1, corrupt=0.1, reorder=0.2, jitter_ps=30 * NS)
PING = {"timeout_ps": 2 * US, "in_flight": 3}


def busy_plan(seed: int = 3, delay_ps: int = 10 * NS, **changes):
    """Four nodes that ping each other over bad channels and bother their devices at the shortest delay."""
    apps = {
        1: {"echo": {"destination": 2, "count": 60, **PING}, "device": {"count": 40, "delay_ps": NS}},
        2: {"echo": {"destination": 3, "count": 60, **PING}},
        3: {"device": {"count": 40, "delay_ps": 7 * NS}},
        4: {"echo": {"destination": 1, "count": 60, "think_ps": 13 * NS, **PING}},
    }
    return toy_plan(4, delay_ps, apps, seed=seed, faults=LOSSY, **changes)


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Ran:
    return local(busy_plan(), tmp_path_factory.mktemp("reference") / "run")


def test_local_repeats_to_the_byte(reference, tmp_path):
    assert local(busy_plan(), tmp_path / "run").bytes == reference.bytes


def test_another_seed_gives_another_trace(reference, tmp_path):
    assert local(busy_plan(seed=4), tmp_path / "run").bytes != reference.bytes


@pytest.mark.parametrize("processes", [None, 1, 2, 3])
def test_virtual_equals_local_whatever_the_placement(reference, tmp_path, processes):
    ran = virtual(busy_plan(), tmp_path / "run", processes)
    assert ran.bytes == reference.bytes
    assert ran.outcome.results == reference.outcome.results
    assert ran.outcome.counters == reference.outcome.counters
    assert ran.outcome.end_ps == reference.outcome.end_ps


def test_virtual_under_load_on_one_core(reference, tmp_path):
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert virtual(busy_plan(), tmp_path / "run").bytes == reference.bytes
    finally:
        os.sched_setaffinity(0, before)
        for burner in burners:
            burner.kill()
            burner.wait()


@pytest.fixture(params=[1, 2, 3])
def shuffled(request, monkeypatch) -> Iterator[None]:
    """trio's order of runnable tasks is another one."""
    import random

    import trio._core._run as trio_run

    seen = []

    class Shuffler(random.Random):
        def shuffle(self, batch):
            seen.append(len(batch))
            super().shuffle(batch)

    monkeypatch.setattr(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    monkeypatch.setattr(trio_run, "_r", Shuffler(request.param))
    yield
    assert seen, "the test no longer reaches trio's scheduler"


@pytest.mark.usefixtures("shuffled")
def test_trio_task_order_decides_nothing(reference, tmp_path):
    assert local(busy_plan(), tmp_path / "run").bytes == reference.bytes


class Alone(Host):
    """A host without a coordinator: all that is due is handled."""

    def refill(self) -> bool:
        self.end = NEVER
        return bool(self.heap)


@pytest.mark.usefixtures("shuffled")
def test_tasks_run_in_the_order_in_which_they_were_started_and_woken():
    """Many tasks of one node that become runnable by one act of it."""

    host = Alone()
    kernel = Kernel(host, 1, "n1", 1, NullRecorder())
    waiters: list[Waiter[None]] = []
    order = []

    async def task(index: int) -> None:
        order.append(index)
        waiters.append(Waiter(kernel))
        await waiters[-1].wait()
        order.append(100 + index)

    async def main() -> None:
        for index in range(8):
            kernel.spawn(task, index)
        kernel.after(NS, lambda: [waiter.set(None) for waiter in waiters])

    trio.run(host.run, lambda: host.start(kernel, main, 0), clock=host.trio_clock)
    assert order == [*range(8), *range(100, 108)]


def test_a_fast_clock_changes_nothing_but_its_own_times(tmp_path):
    """One node's oscillator runs 50 ppm fast: its timers fire early by the map, and by nothing else."""
    apps = {1: {"echo": {"destination": 2, "count": 50, "think_ps": 100 * US}}}
    plain = local(toy_plan(2, 10 * NS, apps), tmp_path / "plain")
    fast = local(toy_plan(2, 10 * NS, apps, changes={1: {"rate_ppb": 50_000}}), tmp_path / "fast")
    clock = ClockMap(0, 50_000)
    for a, b in zip(plain.events("done"), fast.events("done"), strict=True):
        thinking = 49 * 100 * US
        assert a["t_ps"] == thinking + 50 * 20 * NS
        # One picosecond of rounding per timer set and per time read.
        assert abs(b["t_ps"] - (clock.true_time(thinking) + 50 * 20 * NS)) <= 100
    assert fast.outcome.results["n1"]["echo"]["answered"] == 50
    assert fast.bytes == virtual(
        toy_plan(2, 10 * NS, apps, changes={1: {"rate_ppb": 50_000}}), tmp_path / "virtual"
    ).bytes


def test_noisy_oscillators_are_equal_in_all_placements(tmp_path):
    """The same draws whoever holds the node, and however often it is asked for the time."""
    noise = Noise(rate=-2e-6, white_fm=1e-7, flicker_fm=1e-8, wander_ps=500.0, knot_ps=100 * US)
    changes = {1: {"noise": noise, "offset_ps": 5 * MS}, 2: {"noise": noise}, 4: {"noise": noise, "rate_ppb": 900}}
    plan = busy_plan(changes=changes)
    ran = local(plan, tmp_path / "local")
    assert ran.bytes != local(busy_plan(), tmp_path / "plain").bytes
    for processes in (None, 2):
        assert virtual(plan, tmp_path / f"virtual-{processes}", processes).bytes == ran.bytes


def test_answers_at_the_shortest_delay_keep_their_order(tmp_path):
    """Frames and device answers one nanosecond after their cause, from every side at once."""
    apps = {
        n: {
            "device": {"count": 60, "delay_ps": NS},
            "echo": {"destination": destination, "count": 60, "in_flight": 4},
        }
        for n, destination in ((1, 2), (2, 3), (3, 2))
    }
    plan = toy_plan(3, NS, apps)
    ran = local(plan, tmp_path / "local")
    assert ran.bytes == virtual(plan, tmp_path / "virtual").bytes
    answered = [e["t_ps"] for e in ran.events("device answered") if e["node"] == "n1"]
    assert answered == [NS * i for i in range(1, 61)]
    # At one instant frames are handled by source, whoever sent first, and a source's in the order of its sequence.
    senders = [parse(r.frame).source for r in _received_by(ran, "n2") if r.t_ps == NS]
    assert senders == [1] * 4 + [3] * 4


def test_a_node_does_not_run_past_what_its_devices_owe_it(tmp_path):
    """Answers come long before what a neighbour could send, and between frames that are already on their way."""
    ping = {"count": 300, "in_flight": 60, "timeout_ps": 2 * US}
    apps = {
        1: {"device": {"count": 300, "delay_ps": 3 * NS}, "echo": {"destination": 2, **ping}},
        2: {"device": {"count": 200, "delay_ps": 7 * NS}, "echo": {"destination": 3, **ping}},
        3: {"device": {"count": 100, "delay_ps": 13 * NS}, "echo": {"destination": 1, **ping}},
    }
    plan = toy_plan(3, 200 * NS, apps, faults=replace(LOSSY, loss=0, corrupt=0, jitter_ps=100 * NS))
    assert local(plan, tmp_path / "local").bytes == virtual(plan, tmp_path / "virtual").bytes


def test_inputs_of_one_instant_are_handled_by_class_and_then_by_key():
    """Answers by command, frames by (source, incarnation, sequence), timers by creation, whichever was known first."""

    class Answering(Alone):
        def command(self, kernel: Kernel, sequence: int, message: int, body: bytes) -> None:
            self.push(NS, kernel, ANSWER, sequence, 0, 0, (message, body))

    host = Answering()
    kernel = Kernel(host, 1, "n1", 1, NullRecorder())
    order = []

    async def main() -> None:
        kernel.on_frame = lambda frame: order.append(frame.decode())
        for name in ("timer 1", "timer 2"):
            kernel.at(NS, partial(order.append, name))
        for key in ((3, 1, 1), (2, 2, 1), (2, 1, 9), (2, 1, 8)):
            host.push(NS, kernel, FRAME, *key, "frame {}.{}.{}".format(*key).encode())
        for name in ("answer 1", "answer 2"):
            kernel.command(0, name.encode(), lambda message, body: order.append(body.decode()))

    trio.run(host.run, lambda: host.start(kernel, main, 0), clock=host.trio_clock)
    assert order == [
        "answer 1", "answer 2", "frame 2.1.8", "frame 2.1.9", "frame 2.2.1", "frame 3.1.1", "timer 1", "timer 2",
    ]  # fmt: skip


def test_a_burst_fits_through_a_stock_receive_buffer(tmp_path):
    apps = {1: {"echo": {"destination": 2, "count": 5000, "in_flight": 5000, "padding": 900}}}
    plan = toy_plan(3, 10 * NS, apps)
    ran = virtual(plan, tmp_path / "virtual", stock_buffers=True)
    assert ran.outcome.results["n1"]["echo"]["answered"] == 5000
    assert ran.bytes == local(plan, tmp_path / "local").bytes


def test_a_plane_that_saw_much_still_says_that_it_is_done(tmp_path):
    """Its summary is as long as that of 20,000 pairs: more than a packet of the control line."""
    apps = {1: {"echo": {"destination": 2, "count": 3}}}
    ran = virtual(toy_plan(2, 400 * NS, apps, plane=EchoPlaneConfig(ballast=3_000_000)), tmp_path / "virtual")
    assert len(ran.outcome.plane["ballast"]) == 3_000_000


def deadly_plan(*planned: Planned):
    """n1 pings n2, which the plan may kill, restart or freeze; a timeout keeps n1 alive."""
    apps = {
        1: {"echo": {"destination": 2, "count": 300, "in_flight": 4, "timeout_ps": 5 * US, "attempts": 3}},
        3: {"echo": {"destination": 2, "count": 100, "think_ps": US, "timeout_ps": 5 * US, "attempts": 3}},
    }
    return toy_plan(3, 400 * NS, apps, planned=planned)


@pytest.mark.parametrize(
    ("kill_at", "placements"),
    [(1, [None]), (400 * NS, [None, 2]), (401 * NS, [2]), (12_345_678, [None]), (60 * US, [2])],
)
def test_kill_and_restart_are_equal_in_all_placements(tmp_path, kill_at, placements):
    """At 400 ns the first frames arrive."""
    plan = deadly_plan(Planned(kill_at, 2, Deed.KILL), Planned(kill_at + 30 * US, 2, Deed.RESTART))
    ran = local(plan, tmp_path / "local")
    assert ran.events("killed")[0]["t_ps"] == kill_at
    assert [e["incarnation"] for e in ran.events("started") if e["node"] == "n2"] == [1, 2]
    assert ran.outcome.frames_lost["n2"] > 0
    for processes in placements:
        other = virtual(plan, tmp_path / f"virtual-{processes}", processes)
        assert other.bytes == ran.bytes
        assert other.outcome.frames_lost == ran.outcome.frames_lost
        assert other.outcome.results == ran.outcome.results
        assert other.outcome.counters == ran.outcome.counters


def test_a_node_that_stays_dead_answers_nothing(tmp_path):
    plan = deadly_plan(Planned(10 * US, 2, Deed.KILL))
    ran = local(plan, tmp_path / "local")
    assert ran.outcome.results["n1"]["echo"]["lost"] > 0
    other = virtual(plan, tmp_path / "virtual")
    assert (other.bytes, other.outcome.frames_lost) == (ran.bytes, ran.outcome.frames_lost)
    assert (other.outcome.results, other.outcome.counters) == (ran.outcome.results, ran.outcome.counters)


@pytest.mark.parametrize("processes", [None, 1, 2])
def test_a_death_that_loses_no_frame_is_counted_alike(tmp_path, processes):
    """n3 dies with nothing on its way to it: the count is zero, and it is there, in every placement."""
    apps = {1: {"echo": {"destination": 2, "count": 50}}}
    plan = toy_plan(3, 400 * NS, apps, planned=(Planned(5 * US, 3, Deed.KILL),))
    ran = local(plan, tmp_path / "local")
    assert ran.outcome.frames_lost == {"n3": 0}
    other = virtual(plan, tmp_path / "virtual", processes)
    assert (other.bytes, other.outcome.frames_lost) == (ran.bytes, ran.outcome.frames_lost)


def test_what_is_on_its_way_to_a_dead_node_is_not_handed_to_it():
    """Not even when it lies among what is due for others, in one window."""

    class Deadly(Alone):
        async def between(self) -> None:
            await self.kill(2, 0)

    host = Deadly()
    living, dying = (Kernel(host, number, f"n{number}", 1, NullRecorder()) for number in (1, 2))
    heard: dict[int, list[bytes]] = {1: [], 2: []}

    async def main(kernel: Kernel) -> None:
        kernel.on_frame = heard[kernel.number].append

    def boot() -> None:
        for kernel in (living, dying):
            host.start(kernel, partial(main, kernel), 0)
        for due, kernel in ((1, living), (2, dying), (3, living)):
            host.push(due * NS, kernel, FRAME, 3, 1, due, b"frame")

    trio.run(host.run, boot, clock=host.trio_clock)
    assert heard == {1: [b"frame"] * 2, 2: []}


def test_a_killed_program_no_longer_holds_the_run_open(tmp_path):
    plan = deadly_plan(Planned(10 * US, 1, Deed.KILL), Planned(11 * US, 3, Deed.KILL))
    ran = local(plan, tmp_path / "local")
    assert ran.outcome.end_ps == 11 * US + plan.linger_ps
    other = virtual(plan, tmp_path / "virtual")
    assert other.bytes == ran.bytes
    assert (other.outcome.results, other.outcome.counters) == (ran.outcome.results, ran.outcome.counters)


def test_a_frozen_node_handles_its_input_when_it_thaws(tmp_path):
    plan = deadly_plan(Planned(2 * US, 2, Deed.FREEZE), Planned(40 * US, 2, Deed.THAW))
    ran = local(plan, tmp_path / "local")
    assert ran.bytes == virtual(plan, tmp_path / "virtual").bytes
    assert ran.outcome.results["n1"]["echo"]["retransmissions"] > 0
    times = [r.t_ps for r in _received_by(ran, "n2")]
    assert not [t for t in times if 2 * US <= t < 40 * US]
    assert times.count(40 * US) > 4


@pytest.mark.parametrize("processes", [None, 2])
def test_the_next_life_of_a_frozen_node_is_not_frozen(tmp_path, processes):
    deeds = (Planned(2 * US, 2, Deed.FREEZE), Planned(5 * US, 2, Deed.KILL), Planned(9 * US, 2, Deed.RESTART))
    plan = deadly_plan(*deeds, Planned(40 * US, 2, Deed.THAW))
    ran = local(plan, tmp_path / "local")
    assert [e["t_ps"] for e in ran.events("frozen")] == [2 * US]
    assert not ran.events("thawed")
    assert min(r.t_ps for r in _received_by(ran, "n2") if r.t_ps > 9 * US) < 20 * US
    assert ran.bytes == virtual(plan, tmp_path / "virtual", processes).bytes


def _received_by(ran: Ran, node: str) -> list[TracedFrame]:
    return [r for r in read_trace(ran.folder / "trace.pcapng") if r.node == node and r.direction == "received"]


def test_paced_carries_the_same_protocol_on_bare_frames(tmp_path):
    apps = {1: {"echo": {"destination": 2, "count": 20}, "device": {"count": 5, "delay_ps": MS}}}
    ran = paced(toy_plan(3, MS, apps, linger_ps=10 * MS), tmp_path / "run")
    assert ran.outcome.results["n1"]["echo"]["answered"] == 20
    assert ran.outcome.results["n1"]["echo"]["elapsed_ps"] >= 40 * MS
    assert len(ran.outcome.results["n1"]["device"]) == 5


def test_paced_adds_faults_at_the_receiver(tmp_path):
    apps = {1: {"echo": {"destination": 2, "count": 40, "in_flight": 8, "timeout_ps": 30 * MS}}}
    faults = replace(LOSSY, jitter_ps=0, loss=0.3)
    ran = paced(toy_plan(2, MS, apps, faults=faults, linger_ps=10 * MS), tmp_path / "run")
    assert ran.outcome.results["n1"]["echo"]["answered"] == 40
    lost = sum(c.get("frames_lost", 0) + c.get("dropped tag", 0) for c in ran.outcome.counters.values())
    assert lost > 0


@pytest.mark.parametrize("processes", [None, 1])
def test_paced_kills_and_restarts_at_the_wall_times_of_the_plan(tmp_path, processes):
    """n2 dies and returns while n1 asks it, n3 dies for good.  Nothing happens early; late may be what the machine is
    slow to do, hence the lenient bounds."""
    apps = {1: {"echo": {"destination": 2, "count": 150, "think_ps": MS, "timeout_ps": 50 * MS, "attempts": 1000}}}
    planned = (
        Planned(60 * MS, 2, Deed.KILL),
        Planned(80 * MS, 3, Deed.KILL),
        Planned(120 * MS, 2, Deed.RESTART),
    )
    ran = paced(toy_plan(3, MS, apps, planned=planned, linger_ps=10 * MS), tmp_path / "run", processes)
    assert ran.outcome.results["n1"]["echo"]["answered"] == 150
    assert ran.outcome.results["n1"]["echo"]["retransmissions"] > 0
    deaths = {e["node"]: e["t_ps"] for e in ran.events("killed")}
    births = [(e["incarnation"], e["t_ps"]) for e in ran.events("started") if e["node"] == "n2"]
    assert 60 * MS <= deaths["n2"] <= 30_000 * MS
    assert 80 * MS <= deaths["n3"] <= 30_000 * MS
    assert births[0] == (1, 0)
    assert births[1][0] == 2
    assert max(120 * MS, deaths["n2"]) <= births[1][1] <= 30_000 * MS
    if processes is None:
        assert set(ran.outcome.frames_lost) == {"n2", "n3"}
