"""The whole stack in `local` where nodes die: stations and QPUs that come back, and work whose peer is gone.

What may live here: runs of variants of the shipped two-QPU scenarios with planned deaths, and what must hold of each.
"""

from typing import Any

import pytest
from engine_lab import local, virtual
from slice_lab import BUSY, IDEAL, PERFECT, QPUS, ended_well, job, leaks, run_slice, teleport, two_qpus, write_and_load

from protocols.device import Program
from protocols.wire import MhpError, QtpService
from stack.node import Node
from stack.runtime.times import MS
from testbed.plan.compose import compose
from testbed.report.whole import build_report

TIMES = [1e-12, 1.5e-8, 6e-8, 4.1e-5, 1.37e-4, 3.9e-4, 5.55e-4, 1.1e-3]
"""Before anything has been said, while a circuit opens, during trains and gates.  The work takes 2 ms and more."""


@pytest.mark.parametrize("at_s", TIMES)
def test_a_station_that_restarts_is_used_again(tmp_path, at_s):
    faults = [{"at_s": at_s, "kill": "mid"}, {"at_s": at_s + 0.003, "restart": "mid"}]
    text = two_qpus(job(shots=20), BUSY, PERFECT, faults=faults, linger_s=0.05, duration_s=5)
    ran = run_slice(text, tmp_path)
    ended_well(ran)
    counts, spoilt = ran.shots()
    assert (sum(counts.values()), spoilt) == (20, 0)
    assert set(counts) <= {"0000", "1111"}


def test_a_station_that_stays_dead_leaves_the_work_undone(tmp_path):
    text = two_qpus(job(shots=20), BUSY, PERFECT, faults=[{"at_s": 0.001, "kill": "mid"}], duration_s=0.1)
    ran = run_slice(text, tmp_path)
    assert ran.outcome.end_ps == 100 * MS
    assert ran.outcome.results["west"]["running"] == ["job-0"]
    assert [leak for name in QPUS for leak in leaks(ran.node(name), at_rest=False)] == []


class Meeting:
    """What two nodes do once one of them has come back: pairs over a session, measured at both ends."""

    def __init__(self, first_s: float) -> None:
        self.first_ps = round(first_s * 1e12)
        self.bits: dict[str, list[tuple[int, int, int, int]]] = {"west": [], "east": []}

    async def open(self, node: Node) -> None:
        await node.kernel.sleep_until(self.first_ps)
        peer = 3 if node.config.name == "west" else 1
        session = await node.transport.open(peer, 9, QtpService.PAIRS)
        session.ask_pairs(4)
        await self.measure(node, session)
        session.close()

    async def accept(self, node: Node) -> None:
        node.transport.listen(9, QtpService.PAIRS)
        await self.measure(node, await node.transport.accept(9))

    async def measure(self, node: Node, session: Any) -> None:
        for _ in range(4):
            pair = await session.pair()
            (bit,) = await node.physical.run(Program().measure(pair.qubit).release(pair.qubit))
            node.physical.memory.void(pair.qubit)
            self.bits[node.config.name].append((pair.head, pair.pair_id, pair.bell_index, bit))

    def agreed(self) -> bool:
        """The same pairs in the same order; outcomes that differ where the Bell index says so."""
        return len(self.bits["west"]) == 4 and all(
            w[:3] == e[:3] and w[3] ^ e[3] == w[2] >> 1
            for w, e in zip(self.bits["west"], self.bits["east"], strict=True)
        )


@pytest.mark.parametrize("work", [job(shots=20), teleport(5)], ids=["job", "teleport"])
@pytest.mark.parametrize("victim", QPUS)
@pytest.mark.parametrize("at_s", TIMES)
def test_a_qpu_that_restarts_can_be_linked_with_again(tmp_path, at_s, victim, work):
    """Its own work is gone; the survivor's ends or is reported as unfinished; new requests are served, either way."""
    survivor = "east" if victim == "west" else "west"
    meeting = Meeting(at_s + 0.03)
    back = Meeting(at_s + 0.3)
    text = two_qpus(
        work,
        {**BUSY, "communication_qubits": 1},
        PERFECT,
        faults=[{"at_s": at_s, "kill": victim}, {"at_s": at_s + 0.005, "restart": victim}],
        duration_s=1,
    )

    async def the_reborn(node: Node) -> None:
        await meeting.open(node)
        await back.accept(node)

    async def the_survivor(node: Node) -> None:
        await meeting.accept(node)
        await back.open(node)

    programs = {(victim, 2): the_reborn, (survivor, 1): the_survivor}
    ran = run_slice(text, tmp_path, programs=programs)
    assert ran.outcome.end_ps <= 1000 * MS
    assert meeting.agreed()
    assert back.agreed()
    app = next(app for app in ("job-0", "teleport") if app in ran.outcome.results[survivor])
    result = ran.result(survivor, app)
    running = ran.outcome.results[survivor]["running"]
    assert "failed" in result or running == [app]
    assert [leak for name in QPUS for leak in leaks(ran.node(name), at_rest=False)] == []


LONG_TRAINS = {**PERFECT, "efficiency_a": 0.05}  # 5.5 ms each


@pytest.mark.parametrize("victim", QPUS)
def test_a_peer_that_returns_during_a_train_finds_its_qubit_free(tmp_path, victim):
    """The survivor learns of the death while its qubit emits: the device has to stop before the qubit is reused."""
    survivor = "east" if victim == "west" else "west"
    meeting = Meeting(1.1e-3)
    text = two_qpus(
        job(shots=20),
        {**BUSY, "communication_qubits": 1},
        LONG_TRAINS,
        faults=[{"at_s": 1e-4, "kill": victim}, {"at_s": 1e-3, "restart": victim}],
        duration_s=1,
    )
    programs = {(victim, 2): meeting.open, (survivor, 1): meeting.accept}
    ran = run_slice(text, tmp_path, record=True, programs=programs)
    trains = [e["t_ps"] for e in ran.events("train") if e["node"] == survivor]
    released = [e["t_ps"] for e in ran.events("released") if e["node"] == survivor]
    assert trains[0] < 1e8 < 1e9 < released[0] < 1.1e9
    assert meeting.agreed()
    assert "failed" in ran.result(survivor, "job-0")
    ended_well(ran)


def test_a_restarted_station_says_that_it_does_not_know(tmp_path):
    """It died with the train under way: had it been a success, only the dead would know.  So no node may take it for a
    failure."""
    faults = [{"at_s": 1e-4, "kill": "mid"}, {"at_s": 3e-4, "restart": "mid"}]
    text = two_qpus(job(shots=1), IDEAL, LONG_TRAINS, faults=faults, duration_s=1)
    ran = run_slice(text, tmp_path, record=True)
    first = [e for e in ran.events("herald") if e["queue_id"] == 1]
    assert [e["error"] for e in first] == [MhpError.GENERAL, MhpError.GENERAL]
    ended_well(ran)


def test_a_qpu_that_stays_dead_does_not_hold_the_run(tmp_path):
    text = two_qpus(job(shots=20), BUSY, PERFECT, faults=[{"at_s": 5.55e-4, "kill": "east"}], duration_s=1)
    ran = run_slice(text, tmp_path)
    assert "failed" in ran.result("west", "job-0")
    assert leaks(ran.node("west")) == []


@pytest.mark.parametrize("returns", [True, False])
@pytest.mark.parametrize("work", [job(shots=20), teleport(5)], ids=["job", "teleport"])
@pytest.mark.parametrize("victim", QPUS)
def test_work_whose_peer_dies_in_silence_ends_by_itself(tmp_path, work, victim, returns):
    """Whoever only waits then has nothing to send that could fail; no time limit ends these runs."""
    survivor = "east" if victim == "west" else "west"
    for n, at_s in enumerate(TIMES):
        faults = [{"at_s": at_s, "kill": victim}] + [{"at_s": at_s + 0.005, "restart": victim}] * returns
        ran = run_slice(two_qpus(work, BUSY, PERFECT, faults=faults, linger_s=0.1), tmp_path / str(n))
        ended_well(ran, (survivor,))
        (app,) = {"job-0", "teleport"} & ran.outcome.results[survivor].keys()
        assert "failed" in ran.result(survivor, app)
        assert ran.outcome.end_ps < 600 * MS


@pytest.mark.parametrize("work", [job(shots=20), teleport(5)], ids=["job", "teleport"])
def test_who_has_been_given_up_hears_of_it_or_does_not_wait_for_ever(tmp_path, work):
    """While east stands still west gives it up, and its word of that is lost with the stream; no time limit ends these
    runs."""
    faults = [{"at_s": 0.0, "partition": ["east"], "for_s": 0.09}, {"at_s": 0.0, "freeze": "east", "for_s": 0.1}]
    ran = run_slice(two_qpus(work, BUSY, PERFECT, faults=faults, linger_s=0.1), tmp_path)
    ended_well(ran)
    (app,) = {"job-0", "teleport"} & ran.outcome.results["west"].keys()
    for node in QPUS:
        assert "failed" in ran.result(node, app)
    assert ran.outcome.end_ps < 2_000 * MS


@pytest.mark.parametrize("victim", QPUS)
def test_who_died_before_anybody_knew_it_tells_of_the_part_that_died_with_it(tmp_path, victim):
    """Its next life is all that the other end ever hears of it."""
    faults = [{"at_s": 1e-12, "kill": victim}, {"at_s": 0.001, "restart": victim}]
    text = two_qpus(job(shots=20), IDEAL, PERFECT, faults=faults, time_sync={"interval_s": 0.001}, linger_s=0.1)
    ran = run_slice(text, tmp_path)
    survivor = "east" if victim == "west" else "west"
    ended_well(ran, (survivor,))
    assert ran.result(survivor, "job-0")["failed"] == "the other node of a gate has given the job up"
    assert ran.outcome.end_ps < 600 * MS


@pytest.mark.parametrize("work", [job(shots=20), teleport(5)], ids=["job", "teleport"])
def test_work_whose_station_dies_for_good_ends_by_itself(tmp_path, work):
    """Nobody says that it is dead, so the nodes must find that out; no time limit ends these runs."""
    for n, at_s in enumerate(TIMES[::3]):
        text = two_qpus(work, BUSY, PERFECT, faults=[{"at_s": at_s, "kill": "mid"}], linger_s=0.1)
        ran = run_slice(text, tmp_path / str(n))
        ended_well(ran)
        (app,) = {"job-0", "teleport"} & ran.outcome.results["west"].keys()
        assert "failed" in ran.result("west", app)
        assert ran.outcome.end_ps < 600 * MS
        assert build_report(ran.scenario, ran.jobs, ran.outcome).unfinished


def test_deaths_and_bad_channels_leave_the_same_trace_in_virtual(tmp_path):
    channel = {"loss": 0.15, "duplicate": 0.1, "reorder": 0.2, "jitter_s": 1e-6}
    faults = [
        {"at_s": 3e-4, "kill": "mid"},
        {"at_s": 1e-3, "restart": "mid"},
        {"at_s": 2e-3, "kill": "west"},
        {"at_s": 3e-3, "restart": "west"},
    ]
    text = two_qpus(job(shots=12), BUSY, PERFECT, faults=faults, channel=channel, duration_s=0.005)
    scenario, jobs = write_and_load(text, tmp_path)
    ran = local(compose(scenario, "local", jobs), tmp_path / "local")
    assert ran.events("began")
    other = virtual(compose(scenario, "virtual", jobs), tmp_path / "virtual")
    assert other.bytes == ran.bytes
    assert other.outcome.results == ran.outcome.results
    assert other.outcome.counters == ran.outcome.counters
