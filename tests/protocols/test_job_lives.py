"""A controller that dies, and lives again with what it has written down (JOB-19)."""

import random
from itertools import pairwise

import pytest
from job_lab import CTL, LOSS_PS, PAIRS, SHOT_PS, Fill, Lab, ReliableLab

from protocols.job.book import Book, Placed
from protocols.job.controller import Controller, Qpu
from protocols.job.states import JobState
from protocols.reliable.node import KEEPALIVE_PS
from protocols.wire import (
    JobReleased,
    JobWhy,
)


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


def test_a_controller_that_starts_anew_goes_on_with_its_jobs():
    """JOB-19: what was counted counts, what waited waits, what was over is over; no lease has the number of another."""
    lab = Lab({1: 1})
    done, running, waiting = lab.submit(1, 2), lab.submit(1, 10), lab.submit(1, 4)
    lab.net.run(600_000)
    assert [lab.ctl.jobs[job].state.name for job in (done, running, waiting)] == ["DONE", "RUNNING", "QUEUED"]
    lab.kill_controller()
    lab.net.run(lab.net.now + 5 * LOSS_PS)
    lab.restart_controller()
    assert lab.ctl.jobs[running].state is JobState.QUEUED
    assert lab.ctl.jobs[running].reason == "the controller has started anew"
    assert lab.submit(1, 1) == waiting + 1
    lab.net.run()
    assert {job.state for job in lab.ctl.jobs.values()} == {JobState.DONE}
    assert [lab.states(job).count("DONE") for job in lab.ctl.jobs] == [1, 1, 1, 1]
    assert [[p.shots for p in lab.ctl.jobs[job].placings] for job in (done, running, waiting)] == [[2], [3, 7], [4]]
    assert lab.ctl.jobs[running].counts == {"0": 10}
    leases = [record.lease for record in lab.records() if isinstance(record, Placed)]
    assert len(set(leases)) == len(leases)


def test_a_last_shot_that_was_counted_and_a_wish_to_end_are_not_forgotten():
    lab = Lab({1: 1, 2: 1})
    counted, unwanted = lab.submit(1, 3), lab.submit(1, 9)
    lab.net.run(30_000)
    lab.net.trouble = lambda source, destination, message: isinstance(message, JobReleased)
    lab.net.run(400_000)
    lab.ctl.cancel(unwanted, lab.net.now)
    assert lab.ctl.jobs[counted].complete
    lab.net.trouble = None
    lab.kill_controller()
    lab.restart_controller()
    lab.net.settle()
    assert lab.states(counted)[-2:] == ["QUEUED", "DONE"]
    assert lab.states(unwanted)[-2:] == ["QUEUED", "CANCELLED"]


@pytest.mark.parametrize("seed", range(80))
def test_whoever_dies_every_job_ends_once_with_a_result_or_a_reason(seed):
    """JOB-19, JOB-12, JOB-16: jobs of all sizes, some unwanted, while the controller and its QPUs die at random; with
    every other seed its journal is written anew at each death, with every fourth frames are lost and nodes cut off,
    some for longer than they are missed (JOB-23)."""
    chance = random.Random(seed)
    rough = seed % 4 == 3
    lab = (ReliableLab if rough else Lab)({1: 1, 2: 2, 3: 1, 4: 3})
    lab.shortens = seed % 2 == 1
    cut_off: set[int] = set()
    if rough:
        loss = chance.choice([0, 0.2])
        lab.net.trouble = lambda source, destination, message: (
            source in cut_off or destination in cut_off or chance.random() < loss
        )
    accepted: list[int] = []
    unwanted: set[int] = set()

    def submit() -> None:
        if CTL not in lab.net.cut:
            accepted.append(lab.submit(chance.randint(1, 5), chance.randint(1, 12)))

    def cancel() -> None:
        number = chance.choice(accepted) if accepted else 0
        if CTL not in lab.net.cut and lab.ctl.cancel(number, lab.net.now):
            unwanted.add(number)

    def strike() -> None:
        node = chance.choice([CTL, CTL, *lab.rooms])
        if node in lab.net.cut:
            return
        lab.strike(node)
        back = lab.restart_controller if node == CTL else lambda: lab.restart(node)
        lab.net.at(lab.net.now + chance.choice([1, LOSS_PS // 2, 20 * LOSS_PS]), back)

    def cut() -> None:
        node = chance.choice([CTL, *lab.rooms])
        cut_off.add(node)
        while_ps = chance.choice([LOSS_PS, 10**6, 10**8, KEEPALIVE_PS, 5 * KEEPALIVE_PS])
        lab.net.at(lab.net.now + while_ps, lambda: cut_off.discard(node))

    for act, often in ((submit, 12), (cancel, 3), (strike, 6), (cut, 6 * rough)):
        for _ in range(often):
            lab.net.at(chance.randrange(3_000_000), act)
    lab.net.run(200 * 10**12)
    assert sorted(lab.ctl.jobs) == accepted
    for number, job in lab.ctl.jobs.items():
        ends = [state for state in lab.states(number) if JobState[state].final]
        assert ends == [job.state.name], f"job {number} ends as {ends}"
        assert sum(placing.shots for placing in job.placings) == job.shots_done <= job.order.shots
        assert all(placing.ended_ps is not None for placing in job.placings)
        assert job.pairs >= PAIRS * sum(placing.shots * len(placing.nodes) for placing in job.placings)
        assert job.running_ps >= SHOT_PS * job.shots_done, "of what was counted it is known what it has used"
        if job.state is JobState.DONE:
            assert job.counts == {f"{0xAAAA & (1 << job.order.clbits) - 1:0{job.order.clbits}b}": job.order.shots}
        else:
            assert job.reason
        assert (job.state is JobState.CANCELLED) == (number in unwanted)
    held: dict[int, list[tuple[int, int]]] = {node: [] for node in lab.rooms}
    for placing in (placing for job in lab.ctl.jobs.values() for placing in job.placings):
        for node, freed_ps in zip(placing.nodes, placing.freed_ps, strict=True):
            assert freed_ps is not None
            held[node].append((placing.began_ps, freed_ps))
    assert all(first[1] <= then[0] for spans in held.values() for first, then in pairwise(sorted(spans)))
    assert all(lab.qpu(node)._lease is None for node in lab.rooms)
    assert [m for m in lab.net.messages(JobReleased) if m.why == JobWhy.BUSY] == []
    book = Book()
    for record in lab.records():
        book.take(record)
    assert book.jobs == lab.ctl.jobs
