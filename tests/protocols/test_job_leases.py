"""A lease at its two ends, most of all at the QPU: loaded, run, told, stopped, lost (JOB-4 to JOB-11, JOB-20)."""

from typing import Any

import pytest
from job_lab import CTL, DELAY_PS, PAIRS, SHOT_PS, Lab, Q, ReliableLab

from protocols.ignored import Ignored
from protocols.job.controller import MAX_PLACINGS, PATIENCE_PS, RECALL_PS
from protocols.job.qpu import AGAIN_PS, PIECE
from protocols.job.service import Ending, Halt, JobProgress, Offered
from protocols.job.states import JOB_TABLE, LEASE_TABLE, JobInput, JobState, LeaseInput, LeaseState
from protocols.machine import Send
from protocols.reliable import Broken
from protocols.reliable.node import KEEPALIVE_PS
from protocols.timers import UNTIL_REST, Pauses
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


def test_a_job_goes_through_its_states_and_is_counted():
    lab = Lab({1: 2, 2: 2})
    job = lab.submit(4, 5)
    lab.net.run()
    assert lab.states(job) == ["QUEUED", "COMPILING", "LOADING", "RUNNING", "DONE"]
    done = lab.ctl.jobs[job]
    assert done.counts == {"1010": 5}, "classical bit 0 stands rightmost"
    assert (done.spoilt, done.pairs, done.running_ps) == (0, 2 * 5 * PAIRS, 5 * SHOT_PS)
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
    qpu.outcome(1, 1, [n & 3 for n in range(2500)], 7, 25_000)
    qpu.outcome(1, 1, [1], 8, 25_010)
    told = [o.message for o in qpu.poll(0) if isinstance(getattr(o, "message", None), JobOutcome)]
    assert [(m.first_shot, m.shots) for m in told] == [(0, 1024), (1024, 1024), (2048, 452), (2500, 1)]
    assert [(m.pairs, m.elapsed_ps) for m in told] == [(7, 25_000)] * 3 + [(8, 25_010)]
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
    qpu.peer_lost(CTL, 0)
    assert qpu.poll(0) == [Halt(6)]


def test_what_was_lost_on_the_way_to_the_controller_is_said_again_until_it_arrives():
    """JOB-4: a QPU that comes up in vain, and one whose Released is lost; ever more seldom, and not for ever."""
    qpu = Q(CTL, 4)
    qpu.come_up()
    qpu.receive(JobLoad(6, 1, 0, 1, b"x"), CTL, 0)
    qpu.accept(6)
    now = 10 * AGAIN_PS
    for again in range(3):
        qpu.poll(now)
        qpu.peer_lost(CTL, now)
        if again == 1:
            qpu.ended(6, Ending(JobWhy.STOPPED))
        qpu.poll(now)
        assert qpu.next_timeout() == now + AGAIN_PS * 2**again
        now += AGAIN_PS * 2**again
        held = 6 if again == 0 else 0
        assert [output.message for output in qpu.poll(now) if hasattr(output, "message")] == [JobHere(4, held)]
        assert qpu.next_timeout() is None, "it may have arrived"
    qpu.receive(JobCensus(), CTL, now)
    qpu.peer_lost(CTL, now)
    assert qpu.next_timeout() == now + AGAIN_PS, "it was heard meanwhile"
    qpu.receive(JobCensus(), CTL, now)
    assert qpu.next_timeout() is None, "the answer says it"
    vain = 0
    while qpu.next_timeout() is not None or not vain:
        vain += 1
        qpu.poll(now := qpu.next_timeout() or now)
        qpu.peer_lost(CTL, now)
    assert vain < 40
    assert now < 3 * UNTIL_REST.longest_ps


@pytest.mark.parametrize("pause_ps", [4 * RECALL_PS, UNTIL_REST.longest_ps])
def test_who_cannot_be_reached_is_asked_for_as_long_as_was_said_and_then_all_is_at_rest(pause_ps: int):
    """A clock that leaps over pauses needs them to be few; by the wall's there may be a day of them."""
    lab = ReliableLab({1: 1, 2: 1}, Pauses(pause_ps))
    lab.submit(1, 40)
    lab.net.run(1_000_000)
    lab.net.trouble = lambda source, destination, message: CTL in (source, destination)
    lab.net.run()
    assert pause_ps / 2 < lab.net.now < 4 * pause_ps


def test_a_partition_of_which_only_the_qpu_knows_ends_the_lease_at_both_ends():
    """JOB-4, JOB-11, JOB-15, over the reliable sublayer: Outcome and Released are lost, no keep-alive is due, and the
    controller has nothing to say."""
    lab = ReliableLab({1: 1, 2: 1})
    job = lab.submit(1, 40)
    lab.net.run(1_000_000)
    assert lab.ctl.jobs[job].state is JobState.RUNNING
    lab.net.trouble = lambda source, destination, message: CTL in (source, destination)
    lab.net.run(1_000_000 + KEEPALIVE_PS // 4)
    assert lab.ctl.jobs[job].state is JobState.RUNNING
    assert lab.qpu(1)._lease is None
    lab.net.trouble = None
    lab.net.run(KEEPALIVE_PS)
    done = lab.ctl.jobs[job]
    assert (done.state, done.counts, len(done.placings)) == (JobState.DONE, {"0": 40}, 2)


def test_a_lease_ends_at_a_qpu_that_was_lost_and_knows_nothing_of_it():
    """JOB-23: it waits for Run and has nothing to say; Stop is lost; and no other job waits for it."""
    lab = ReliableLab({1: 1, 2: 1})
    lab.net.run(1_000_000)
    cut = True
    lab.net.trouble = lambda source, destination, message: (cut and 2 in (source, destination)) or None
    job = lab.submit(2, 5)
    cut = False
    lab.net.run(lab.net.now + DELAY_PS)
    assert lab.qpu(2)._lease is not None
    cut = True
    lab.ctl.cancel(job, lab.net.now)
    while lab.ctl.up(2) is not False:
        lab.net.run(lab.net.now + 1_000_000)
    assert lab.net.now < KEEPALIVE_PS, "the QPU has not missed the controller yet"
    cut = False
    lab.net.run(lab.net.now + 2 * RECALL_PS)
    assert (lab.ctl.up(2), lab.qpu(2)._lease) == (True, None)


def test_a_here_that_is_lost_just_when_its_controller_comes_up_is_said_again():
    """JOB-4: it has waited for the controller for as long as the sublayer tries, the answer to Census behind it."""

    def starts(at: int) -> Lab:
        lab = ReliableLab({1: 1, 2: 1})
        lab.net.cut.add(CTL)
        lab.net.at(at, lambda: lab.net.cut.discard(CTL))
        return lab

    alone = starts(KEEPALIVE_PS)
    while not alone.net.of(2, Broken):
        alone.net.run(alone.net.now + DELAY_PS)
    lab = starts(alone.net.now - 4 * DELAY_PS)
    lab.net.run(alone.net.now + 4 * DELAY_PS)
    assert (len(lab.net.of(2, Broken)[0].unsent), lab.ctl.up(2)) == (2, None)
    job = lab.submit(2, 3)
    lab.net.run(KEEPALIVE_PS)
    assert lab.ctl.jobs[job].state is JobState.DONE


def test_a_qpu_that_is_busy_is_asked_with_what():
    """JOB-20: with a lease that the controller has forgotten, and it not; it ends, and the job is placed."""
    lab = Lab({1: 1})
    lab.net.run()
    lab.qpu(1).receive(JobLoad(77, 1, 0, 2, b"x"), CTL, lab.net.now)
    job = lab.submit(1)
    lab.net.run()
    assert [m.lease for m in lab.net.messages(JobStop)] == [77]
    assert lab.ctl.jobs[job].state is JobState.DONE
    assert len(lab.ctl.jobs[job].placings) == 2


class Occupied:
    """A QPU that calls itself BUSY until then, and free whenever it is asked."""

    def __init__(self, right: Q, until: int) -> None:
        self.right, self.until = right, until
        self.said: list[Send] = []
        self.next_timeout = right.next_timeout

    def receive(self, message: Any, source: int, now: int) -> None:
        if isinstance(message, JobLoad) and now < self.until:
            self.said.append(Send(CTL, JobReleased(message.lease, JobWhy.BUSY, 0, 0, 0), reliable=True))
        else:
            self.right.receive(message, source, now)

    def poll(self, now: int) -> list[Any]:
        said, self.said = self.said, []
        return said + self.right.poll(now)


@pytest.mark.parametrize(("busy_ps", "ends", "broken"), [
    (PATIENCE_PS // 2, JobState.DONE, 0), (10**18, JobState.FAILED, MAX_PLACINGS)
])  # fmt: skip
def test_a_job_waits_for_a_qpu_that_is_busy_and_not_for_ever(busy_ps, ends, broken):
    """JOB-20: no placing counts against it as long as it is patient, and few are tried."""
    lab = Lab({1: 1, 2: 1})
    lab.net.run()
    lab.net.machines[1] = Occupied(lab.qpu(1), lab.net.now + busy_ps)
    job, other = lab.ctl.jobs[lab.submit(2)], lab.ctl.jobs[lab.submit(1)]
    lab.net.run()
    assert (job.state, job.broken) == (ends, broken)
    assert len(job.placings) < 120, "each try is made a quarter later, from nanoseconds to seconds"
    assert "q1 was leased already" in job.reason or ends is JobState.DONE
    assert other.state is JobState.DONE, "there is another QPU for it"
    assert lab.net.now < 20 * PATIENCE_PS


def test_the_tables_know_every_state_and_what_peers_can_do_in_it():
    assert {state for state, _ in JOB_TABLE} == {state for state in JobState if not state.final}
    for state in (JobState.LOADING, JobState.RUNNING, JobState.RETREATING, JobState.CANCELLING):
        assert {(state, JobInput.BROKEN), (state, JobInput.CANCEL)} <= JOB_TABLE.keys()
    for held in LeaseState:
        if held is not LeaseState.FREE:
            assert {(held, LeaseInput.STOP), (held, LeaseInput.LOST)} <= LEASE_TABLE.keys()
