"""A controller's queue: who is placed when and where, and whose QPU dies (JOB-12 to JOB-18, JOB-21)."""

from itertools import pairwise

import pytest
from job_lab import CTL, Lab, Q

from protocols.ignored import Ignored
from protocols.job.controller import APART_PS, MAX_PASSED, PATIENCE_PS, Unfit
from protocols.job.service import Ending, Part
from protocols.job.states import JobState
from protocols.wire import (
    JobHere,
    JobLoad,
    JobLoaded,
    JobOutcome,
    JobReleased,
    JobRun,
    JobWhy,
)


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


def test_a_job_waits_for_a_qpu_that_is_soon_back_and_says_so():
    """JOB-13: nothing was ever tried, and nothing is wrong with it."""
    lab = Lab({1: 1, 2: 1})
    lab.net.run()
    lab.kill(2)
    job = lab.submit(2)
    lab.net.run(lab.net.now + PATIENCE_PS // 2)
    waits = lab.ctl.jobs[job]
    assert waits.state is JobState.QUEUED
    assert lab.ctl.hindrance(waits) == "2 qubits do not fit into 1 (q2 cannot be reached)"
    lab.restart(2)
    lab.net.run()
    assert (waits.state, len(waits.placings)) == (JobState.DONE, 1)


def test_a_qpu_that_comes_back_is_used_again():
    lab = Lab({1: 1, 2: 1})
    lab.net.run()
    lab.kill(2)
    lab.renew(2)
    lab.net.cut.clear()
    lab.qpu(2).come_up()
    lab.net.run()
    assert lab.ctl.up(2)
    job = lab.submit(2)
    lab.net.run()
    assert lab.ctl.jobs[job].state is JobState.DONE


def test_a_qpu_whose_qubits_are_held_refuses_and_says_when_they_are_free():
    """JOB-4, JOB-21: with the room that there is, before it is free; and again when there is more."""
    qpu = Q(CTL, 4)
    qpu.come_up()
    qpu.room(1)
    qpu.receive(JobLoad(6, 1, 0, 1, b"x"), CTL, 0)
    qpu.ended(6, Ending(JobWhy.IN_USE))
    qpu.room(1)
    qpu.room(3)
    said = [output.message for output in qpu.poll(0) if hasattr(output, "message")]
    assert said == [JobHere(4, 0), JobHere(1, 6), JobReleased(6, JobWhy.IN_USE, 0, 0, 0), JobHere(3, 0)]


def test_a_job_whose_qubits_are_held_waits_and_says_why():
    """JOB-22: it is not placed on the room that is left, nor does it fail for having tried."""
    lab = Lab({1: 2, 2: 2})
    lab.in_use[2] = 1
    job, small = lab.submit(4, 2), lab.submit(3, 1)
    lab.net.run()
    waits = lab.ctl.jobs[job]
    assert (waits.state, waits.broken) == (JobState.QUEUED, 0)
    assert lab.ctl.hindrance(waits) == "programs hold data qubits of q2"
    assert lab.ctl.jobs[small].state is JobState.DONE
    del lab.in_use[2]
    lab.qpu(2).room(2)
    lab.net.run()
    assert lab.ctl.jobs[job].state is JobState.DONE
    assert [len(lab.ctl.jobs[number].placings) for number in (job, small)] == [2, 1]


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


@pytest.mark.parametrize("message", [
    JobOutcome(1, 1, 1, 0, 0, b"\0"), JobOutcome(1, 0, 2, 0, 0, b"\0"), JobOutcome(1, 0, 1, 0, 0, b"\4"),
    JobOutcome(1, 0, 9, 0, 0, bytes(9)), JobOutcome(7, 0, 1, 0, 0, b"\0"),
    JobLoaded(7), JobReleased(7, JobWhy.DONE, 0, 0, 0), JobRun(1, 1),
])  # fmt: skip
def test_outcomes_that_cannot_be_are_ignored(message):
    lab = Lab({1: 1})
    job = lab.submit(1, 3)
    lab.net.run(20_000)
    lab.ctl.receive(message, 1, lab.net.now)
    lab.net.run()
    assert lab.ctl.jobs[job].counts == {"0": 3}
    assert len(lab.net.of(CTL, Ignored)) == 1
