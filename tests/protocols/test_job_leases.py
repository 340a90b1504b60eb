"""A controller and its QPUs: leases, queue, deaths, counts (JOB-4 to JOB-18)."""

from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any

import pytest
from machine_pair import Net

from protocols.ignored import Ignored
from protocols.job.controller import APART_PS, MAX_PASSED, MAX_PLACINGS, Controller, Qpu, Unfit
from protocols.job.qpu import PIECE, QpuLeases
from protocols.job.service import Compile, Ending, Halt, JobChanged, JobProgress, Offered, Order, Part, Start
from protocols.job.states import JOB_TABLE, LEASE_TABLE, JobInput, JobState, LeaseInput, LeaseState
from protocols.wire import (
    JobCensus,
    JobHere,
    JobLoad,
    JobLoaded,
    JobOutcome,
    JobReleased,
    JobRun,
    JobStop,
    JobWhy,
)

CTL = 9
DELAY_PS = 1_000
SHOT_PS = 100_000
Q = QpuLeases


class Fill:
    """A planner that fills QPUs in order; a circuit is a pattern that every QPU holds of its part of each shot."""

    def unfit(self, order: Order, rooms: Mapping[int, int], apart: Collection[tuple[int, int]]) -> str:
        usable = self._usable(rooms, apart)
        room = sum(usable.values())
        return "" if order.qubits <= room else f"{order.qubits} qubits do not fit into {room}"

    def place(
        self, order: Order, rooms: Mapping[int, int], apart: Collection[tuple[int, int]]
    ) -> dict[int, Part]:
        parts, at = {}, 0
        for node, room in self._usable(rooms, apart).items():
            held = tuple(range(at, min(at + room, order.qubits)))
            if held:
                parts[node] = Part(order.circuit * 1, held)
            at += len(held)
        return parts

    def _usable(self, rooms: Mapping[int, int], apart: Collection[tuple[int, int]]) -> dict[int, int]:
        shunned = {b for _, b in apart}
        return {node: room for node, room in rooms.items() if node not in shunned}


class Lab:
    """A controller with QPUs whose upper layer does a shot in SHOT_PS and finds classical bit i to be 1 if i is odd."""

    def __init__(self, rooms: Mapping[int, int]) -> None:
        self.rooms = dict(rooms)
        self.ctl = Controller({node: Qpu(f"q{node}", room) for node, room in rooms.items()}, Fill())
        self.net = Net({CTL: self.ctl, **{node: Q(CTL, room) for node, room in rooms.items()}}, DELAY_PS, on_event=self)
        self.compiles = True
        self.refuses: set[int] = set()
        self.spoils: set[int] = set()
        self.ends: dict[int, Ending] = {}
        """How a QPU ends its next lease in the middle."""
        self.held: dict[int, int] = {}
        self.net.trouble = self._carried
        for node in rooms:
            self.qpu(node).come_up()
        self.ctl.come_up(0)

    def qpu(self, node: int) -> QpuLeases:
        machine = self.net.machines[node]
        assert isinstance(machine, QpuLeases)
        return machine

    def __call__(self, node: int, event: Any, now: int) -> None:
        match event:
            case Compile(job, order, rooms, apart):
                if self.compiles:
                    self.ctl.compiled(job, Fill().place(order, rooms, apart), now)
            case Offered(lease) if node in self.refuses:
                self.qpu(node).ended(lease, Ending(JobWhy.MALFORMED))
            case Offered(lease):
                self.qpu(node).accept(lease)
            case Start(lease, shots):
                self.held[node] = lease
                self.net.at(now + SHOT_PS, lambda: self._shot(node, lease, 0, shots, self.qpu(node)))
            case Halt(lease):
                self.held.pop(node, None)
                self.qpu(node).ended(lease, Ending(JobWhy.STOPPED))

    def _shot(self, node: int, lease: int, shot: int, shots: int, qpu: QpuLeases) -> None:
        if self.held.get(node) != lease or self.qpu(node) is not qpu:
            return
        jobs = [job for job in self.ctl.jobs.values() if job.placings and not job.state.final]
        (job,) = [job for job in jobs if node in job.placings[-1].nodes]
        clbits = Fill().place(job.order, {n: self.rooms[n] for n in job.placings[-1].nodes}, ())[node].clbits
        row = sum((clbit & 1) << place for place, clbit in enumerate(clbits))
        qpu.outcome(lease, len(clbits), [row | (shot in self.spoils) << len(clbits)])
        if node in self.ends and shot >= 1:
            self.held.pop(node)
            qpu.ended(lease, self.ends.pop(node))
        elif shot + 1 == shots:
            self.held.pop(node)
            qpu.ended(lease, Ending(JobWhy.DONE, 0, 3, shots * SHOT_PS))
        else:
            self.net.at(self.net.now + SHOT_PS, lambda: self._shot(node, lease, shot + 1, shots, qpu))

    def _carried(self, source: int, destination: int, message: Any) -> bool:
        """What is sent to a dead node is found to be lost."""
        if destination in self.net.cut:
            self.net.at(self.net.now + 20_000, lambda: self.ctl.peer_lost(destination, self.net.now))
        return False

    def submit(self, qubits: int, shots: int = 3, program: bytes = b"program") -> int:
        return self.ctl.submit(Order("a job", qubits, qubits, shots, program), self.net.now)

    def kill(self, node: int) -> None:
        """The node is gone, and all others hear of it."""
        self.net.cut.add(node)
        self.held.pop(node, None)
        self.ctl.peer_lost(node, self.net.now)

    def states(self, job: int) -> list[str]:
        return [e.state.name for e in self.net.of(CTL, JobChanged) if e.job == job]


def test_a_job_goes_through_its_states_and_is_counted():
    lab = Lab({1: 2, 2: 2})
    job = lab.submit(4, 5)
    lab.net.run()
    assert lab.states(job) == ["QUEUED", "COMPILING", "LOADING", "RUNNING", "DONE"]
    done = lab.ctl.jobs[job]
    assert done.counts == {"1010": 5}, "classical bit 0 stands rightmost"
    assert (done.spoilt, done.pairs, done.running_ps) == (0, 6, 5 * SHOT_PS)
    assert [e.shots_done for e in lab.net.of(CTL, JobProgress)] == [1, 2, 3, 4, 5]


def test_a_program_travels_in_pieces_and_nothing_runs_before_all_are_loaded():
    """JOB-8, JOB-14."""
    lab = Lab({1: 1, 2: 1})
    lab.net.run()
    program = bytes(range(256)) * 9
    lab.submit(2, 1, program)
    lab.net.run()
    loads = [m for _, _, to, m in lab.net.sent if isinstance(m, JobLoad) and to == 2]
    assert b"".join(load.piece for load in loads) == program
    assert [load.part for load in loads] == list(range(-(-len(program) // PIECE)))
    sent = [type(m) for *_, m in lab.net.sent if isinstance(m, JobLoaded | JobRun)]
    assert sent == [JobLoaded, JobLoaded, JobRun, JobRun]


def test_a_qpu_says_here_when_it_comes_up_and_when_it_is_asked():
    """JOB-4."""
    qpu = Q(CTL, 7)
    qpu.come_up()
    qpu.receive(JobCensus(), CTL, 0)
    assert [send.message for send in qpu.poll(0)] == [JobHere(7, 0), JobHere(7, 0)]


@pytest.mark.parametrize("message", [JobCensus(), JobLoad(1, 1, 0, 1, b""), JobRun(1, 1), JobStop(1)])
def test_a_stranger_is_no_controller(message):
    """JOB-5."""
    qpu = Q(CTL, 1)
    qpu.receive(message, 3, 0)
    assert [type(output) for output in qpu.poll(0)] == [Ignored]


def test_a_second_lease_is_refused_and_the_first_goes_on():
    """JOB-6."""
    qpu = Q(CTL, 1)
    qpu.receive(JobLoad(1, 1, 0, 2, b"a"), CTL, 0)
    qpu.receive(JobLoad(2, 1, 0, 1, b"x"), CTL, 0)
    qpu.receive(JobLoad(1, 1, 1, 2, b"b"), CTL, 0)
    outputs = qpu.poll(0)
    assert JobReleased(2, JobWhy.BUSY, 0, 0, 0) in [getattr(o, "message", None) for o in outputs]
    assert Offered(1, 1, b"ab") in outputs


@pytest.mark.parametrize("load", [JobLoad(1, 1, 1, 2, b""), JobLoad(1, 1, 0, 0, b""), JobLoad(1, 1, 0, 9000, b"")])
def test_a_piece_that_is_not_the_next_ends_the_lease(load):
    """JOB-7."""
    qpu = Q(CTL, 1)
    qpu.receive(load, CTL, 0)
    assert JobReleased(1, JobWhy.MALFORMED, 0, 0, 0) in [getattr(o, "message", None) for o in qpu.poll(0)]
    qpu.receive(JobLoad(2, 1, 0, 1, b"x"), CTL, 0)
    assert Offered(2, 1, b"x") in qpu.poll(0), "another may come"


def test_a_program_that_cannot_be_run_fails_its_job_in_the_end():
    """JOB-7, JOB-15: it is placed anew, as often as is allowed."""
    lab = Lab({1: 1})
    lab.refuses.add(1)
    job = lab.submit(1)
    lab.net.run()
    failed = lab.ctl.jobs[job]
    assert failed.state is JobState.FAILED
    assert len(failed.placings) == MAX_PLACINGS
    assert "q1 could not run its program" in failed.reason


def test_outcomes_are_told_once_and_in_order():
    """JOB-9: more rows than a message holds."""
    qpu = Q(CTL, 1)
    qpu.receive(JobLoad(1, 1, 0, 1, b"x"), CTL, 0)
    qpu.accept(1)
    qpu.receive(JobRun(1, 3000), CTL, 0)
    qpu.outcome(1, 1, [n & 3 for n in range(2500)])
    qpu.outcome(1, 1, [1])
    told = [o.message for o in qpu.poll(0) if isinstance(getattr(o, "message", None), JobOutcome)]
    assert [(m.first_shot, m.shots) for m in told] == [(0, 1024), (1024, 1024), (2048, 452), (2500, 1)]
    assert b"".join(m.rows for m in told) == bytes(n & 3 for n in range(2500)) + b"\1"


def test_a_stop_is_answered_whatever_the_state():
    """JOB-10."""
    qpu = Q(CTL, 1)
    qpu.receive(JobStop(5), CTL, 0)
    assert [o.message for o in qpu.poll(0)] == [JobReleased(5, JobWhy.UNKNOWN, 0, 0, 0)]
    qpu.receive(JobLoad(6, 1, 0, 1, b"x"), CTL, 0)
    qpu.accept(6)
    qpu.receive(JobRun(6, 1), CTL, 0)
    qpu.poll(0)
    qpu.receive(JobStop(6), CTL, 0)
    qpu.receive(JobStop(6), CTL, 0)
    assert qpu.poll(0) == [Halt(6)], "Released comes when nothing is held"
    qpu.ended(6, Ending(JobWhy.STOPPED, 0, 4, 5))
    assert JobReleased(6, JobWhy.STOPPED, 0, 4, 5) in [getattr(o, "message", None) for o in qpu.poll(0)]


def test_without_a_controller_a_qpu_lets_go():
    """JOB-11."""
    qpu = Q(CTL, 1)
    qpu.receive(JobLoad(6, 1, 0, 1, b"x"), CTL, 0)
    qpu.accept(6)
    qpu.receive(JobRun(6, 1), CTL, 0)
    qpu.poll(0)
    qpu.peer_lost(CTL)
    assert qpu.poll(0) == [Halt(6)]


def test_jobs_run_side_by_side_and_a_qpu_has_one_at_a_time():
    """JOB-12."""
    lab = Lab({1: 1, 2: 1, 3: 1})
    jobs = [lab.submit(1), lab.submit(2), lab.submit(2)]
    lab.net.run(50_000)
    assert [lab.ctl.jobs[j].state.name for j in jobs] == ["RUNNING", "RUNNING", "QUEUED"]
    lab.net.run()
    assert {lab.ctl.jobs[j].state for j in jobs} == {JobState.DONE}
    spans: dict[int, list[tuple[int, int]]] = {}
    for job in jobs:
        for placing in lab.ctl.jobs[job].placings:
            assert placing.ended_ps is not None
            for node in placing.nodes:
                spans.setdefault(node, []).append((placing.began_ps, placing.ended_ps))
    for own in spans.values():
        own.sort()
        assert all(first[1] <= then[0] for first, then in pairwise(own))


def test_what_does_not_fit_is_refused_at_once():
    """JOB-13."""
    lab = Lab({1: 1, 2: 1})
    with pytest.raises(Unfit, match="3 qubits do not fit into 2"):
        lab.submit(3)
    assert lab.ctl.jobs == {}


def test_what_fits_only_with_the_dead_waits_until_they_have_been_asked():
    lab = Lab({1: 1, 2: 1})
    lab.net.run()
    lab.kill(2)
    lab.net.run()
    job = lab.submit(2)
    assert lab.ctl.jobs[job].state is JobState.QUEUED
    lab.net.run()
    assert lab.states(job) == ["QUEUED", "FAILED"]
    assert lab.ctl.jobs[job].reason == "2 qubits do not fit into 1 (q2 cannot be reached)"


def test_a_qpu_of_which_only_messages_were_lost_is_found_again():
    lab = Lab({1: 1, 2: 1})
    job = lab.submit(2, 10)
    lab.net.run(450_000)
    lab.ctl.peer_lost(2, lab.net.now)
    lab.net.run()
    assert lab.ctl.jobs[job].state is JobState.DONE
    assert [p.nodes for p in lab.ctl.jobs[job].placings] == [(1, 2), (1, 2)]


def test_a_qpu_dies_and_the_rest_of_the_job_goes_elsewhere():
    """JOB-15, JOB-16: shots of which all have told count, the others are done anew."""
    lab = Lab({1: 1, 2: 1, 3: 1})
    job = lab.submit(2, 10)
    lab.net.at(450_000, lambda: lab.kill(2))
    lab.net.run(20_000_000)
    done = lab.ctl.jobs[job]
    placed = ["QUEUED", "COMPILING", "LOADING", "RUNNING"]
    assert lab.states(job) == [*placed, "RETREATING", *placed, "DONE"]
    assert done.counts == {"10": 10}
    assert [p.nodes for p in done.placings] == [(1, 2), (1, 3)]
    assert [p.shots for p in done.placings] == [4, 6]
    assert [m.shots for m in lab.net.messages(JobRun)] == [10, 10, 6, 6]


def test_without_room_elsewhere_the_loss_is_reported():
    lab = Lab({1: 1, 2: 1})
    job = lab.submit(2, 10)
    lab.net.at(450_000, lambda: lab.kill(2))
    lab.net.run()
    lost = lab.ctl.jobs[job]
    assert lost.state is JobState.FAILED
    assert lost.reason == "2 qubits do not fit into 1 (q2 cannot be reached), after q2 was lost"
    assert lost.counts == {"10": 4}, "what was measured is kept"


def test_a_qpu_that_comes_back_is_used_again():
    lab = Lab({1: 1, 2: 1})
    lab.net.run()
    lab.kill(2)
    lab.net.replace(2, Q(CTL, 1))
    lab.net.cut.clear()
    lab.qpu(2).come_up()
    lab.net.run()
    assert lab.ctl.up(2)
    job = lab.submit(2)
    lab.net.run()
    assert lab.ctl.jobs[job].state is JobState.DONE


def test_two_without_pairs_are_kept_apart_for_a_while():
    lab = Lab({1: 1, 2: 1, 3: 1})
    lab.ends[1] = Ending(JobWhy.NO_PAIRS, 2)
    job = lab.submit(2, 5)
    lab.net.run(5_000_000)
    assert [p.nodes for p in lab.ctl.jobs[job].placings] == [(1, 2), (1, 3)]
    lab.net.run(2 * APART_PS)
    again = lab.submit(3)
    lab.net.run()
    assert lab.ctl.jobs[again].state is JobState.DONE


def test_a_spoilt_shot_is_told_and_not_counted():
    """JOB-16."""
    lab = Lab({1: 1, 2: 1})
    lab.spoils.add(1)
    job = lab.submit(2, 3)
    lab.net.run()
    assert (lab.ctl.jobs[job].counts, lab.ctl.jobs[job].spoilt) == ({"10": 2}, 1)


@pytest.mark.parametrize(("when", "states"), [
    (10, ["QUEUED", "COMPILING", "LOADING", "CANCELLING", "CANCELLED"]),
    (250_000, ["QUEUED", "COMPILING", "LOADING", "RUNNING", "CANCELLING", "CANCELLED"]),
])  # fmt: skip
def test_a_running_job_is_cancelled(when, states):
    """JOB-17: the QPU is free for the next only when it has let go."""
    lab = Lab({1: 1})
    lab.net.run()
    t0 = lab.net.now
    job, other = lab.submit(1, 10), lab.submit(1, 1)
    lab.net.at(t0 + when, lambda: lab.ctl.cancel(job, lab.net.now))
    lab.net.run()
    assert lab.states(job) == states
    assert lab.ctl.jobs[other].state is JobState.DONE
    assert not lab.ctl.cancel(job, lab.net.now)


def test_a_job_is_cancelled_while_it_is_compiled():
    lab = Lab({1: 1})
    lab.net.run()
    lab.compiles = False
    job = lab.submit(1)
    lab.net.run()
    assert lab.ctl.cancel(job, lab.net.now)
    lab.ctl.compiled(job, {1: Part(b"x", (0,))}, lab.net.now)
    lab.compiles = True
    other = lab.submit(1)
    lab.net.run()
    assert lab.states(job) == ["QUEUED", "COMPILING", "CANCELLED"]
    assert lab.ctl.jobs[other].state is JobState.DONE


def test_a_qpu_dies_while_a_job_is_compiled_for_it():
    lab = Lab({1: 1, 2: 1})
    lab.net.run()
    lab.compiles = False
    job = lab.submit(1)
    lab.net.run()
    lab.kill(1)
    lab.compiles = True
    lab.ctl.compiled(job, {1: Part(b"x", (0,))}, lab.net.now)
    lab.net.run()
    assert lab.states(job)[:4] == ["QUEUED", "COMPILING", "QUEUED", "COMPILING"]
    assert [p.nodes for p in lab.ctl.jobs[job].placings] == [(2,)]


def test_a_queued_job_is_cancelled_at_once():
    lab = Lab({1: 1})
    lab.submit(1, 10)
    job = lab.submit(1, 10)
    lab.net.run(50_000)
    assert lab.ctl.cancel(job, lab.net.now)
    assert lab.ctl.jobs[job].state is JobState.CANCELLED


def test_a_large_job_is_passed_so_often_and_no_more():
    """JOB-18."""
    lab = Lab({1: 1, 2: 1})
    lab.submit(1, 400)
    large = lab.submit(2, 1)
    small = [lab.submit(1, 1) for _ in range(MAX_PASSED + 2)]
    lab.net.run()
    began = {job: lab.ctl.jobs[job].placings[0].began_ps for job in (large, *small)}
    assert [began[job] < began[large] for job in small] == [True] * MAX_PASSED + [False] * 2


def test_a_controller_that_starts_anew_ends_leases_that_it_does_not_know():
    lab = Lab({1: 1})
    lab.submit(1, 10)
    lab.net.run(250_000)
    lab.net.replace(CTL, Controller({1: Qpu("q1", 1)}, Fill()))
    anew = lab.net.machines[CTL]
    assert isinstance(anew, Controller)
    lab.ctl = anew
    lab.held.clear()
    anew.come_up(lab.net.now)
    lab.net.run()
    job = lab.submit(1, 1)
    lab.net.run()
    assert lab.ctl.jobs[job].state is JobState.DONE


@pytest.mark.parametrize("message", [
    JobOutcome(1, 1, 1, b"\0"), JobOutcome(1, 0, 2, b"\0"), JobOutcome(1, 0, 1, b"\4"), JobOutcome(1, 0, 9, bytes(9)),
    JobOutcome(7, 0, 1, b"\0"), JobLoaded(7), JobReleased(7, JobWhy.DONE, 0, 0, 0), JobRun(1, 1),
])  # fmt: skip
def test_outcomes_that_cannot_be_are_ignored(message):
    lab = Lab({1: 1})
    job = lab.submit(1, 3)
    lab.net.run(20_000)
    lab.ctl.receive(message, 1, lab.net.now)
    lab.net.run()
    assert lab.ctl.jobs[job].counts == {"0": 3}
    assert len(lab.net.of(CTL, Ignored)) == 1


def test_the_tables_know_every_state_and_what_peers_can_do_in_it():
    assert {state for state, _ in JOB_TABLE} == {state for state in JobState if not state.final}
    for state in (JobState.LOADING, JobState.RUNNING, JobState.RETREATING, JobState.CANCELLING):
        assert {(state, JobInput.BROKEN), (state, JobInput.CANCEL)} <= JOB_TABLE.keys()
    for held in LeaseState:
        if held is not LeaseState.FREE:
            assert {(held, LeaseInput.STOP), (held, LeaseInput.LOST)} <= LEASE_TABLE.keys()
