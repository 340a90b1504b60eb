"""Scripts for JOB: a controller that leases nodes 1, 2 and 3, each of two data qubits, for jobs of its user."""

from typing import Any, Final

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
from testbed.conformance.scene import CONTROLLER, LEASED_QUBITS
from testbed.conformance.scripts import decides
from testbed.conformance.stage import SOON_PS, NotMet, Peer, Stage

QUBITS: Final = 2 * LEASED_QUBITS
"""Of a job that takes two QPUs."""


async def _up(stage: Stage) -> None:
    """All QPUs say that they are there, when they are asked."""
    for peer in stage.peers.values():
        await peer.expect(JobCensus)
        peer.send(JobHere(LEASED_QUBITS, 0))
    await stage.wait(SOON_PS)


async def _submitted(stage: Stage, shots: int = 3) -> int:
    stage.user.order("submit", qubits=QUBITS, shots=shots)
    return int((await stage.user.expect("job", shots_done=0))["job"])


async def _loads(stage: Stage) -> tuple[int, list[Peer]]:
    """The next job is placed: its lease, and its QPUs, which have their whole programs and have not said so."""
    await _first_load(stage)
    await stage.wait(SOON_PS)
    placed: dict[int, list[JobLoad]] = {}
    for number, peer in stage.peers.items():
        for seen in [seen for seen in peer.seen if isinstance(seen.message, JobLoad)]:
            peer.seen.remove(seen)
            placed.setdefault(number, []).append(seen.message)
    leases = {load.lease for loads in placed.values() for load in loads}
    whole = all([load.part for load in loads] == list(range(loads[0].parts)) for loads in placed.values())
    if len(leases) != 1 or len(placed) != 2 or not whole:
        raise NotMet(f"a job of {QUBITS} qubits is placed so: {placed}")
    return leases.pop(), [stage.peers[number] for number in placed]


async def _first_load(stage: Stage) -> None:
    """Until a Load comes to whichever QPU."""
    deadline = stage.now + SOON_PS + stage.ground.slack_ps
    while not any(isinstance(seen.message, JobLoad) for peer in stage.peers.values() for seen in peer.seen):
        if stage.now >= deadline:
            raise NotMet("no QPU gets a program")
        await stage.step(deadline)


async def _runs(stage: Stage, lease: int, qpus: list[Peer], shots: int) -> None:
    for peer in qpus:
        peer.send(JobLoaded(lease))
    for peer in qpus:
        await peer.expect(JobRun, lease=lease, shots=shots)


def _rows(lease: int, *rows: int, first: int = 0) -> JobOutcome:
    return JobOutcome(lease, first, len(rows), bytes(rows))


def _released(lease: int, why: JobWhy = JobWhy.DONE, node: int = 0) -> JobReleased:
    return JobReleased(lease, why, node, 0, 0)


async def _job(stage: Stage, job: int) -> dict[str, Any]:
    stage.user.order("ask-job", job=job)
    return await stage.user.expect("job", job=job)


@decides("JOB-12", "JOB-14", scene=CONTROLLER)
async def a_qpu_is_leased_once_and_runs_when_all_are_ready(stage: Stage) -> None:
    """Run waits for the last Loaded.  A second job that needs two QPUs waits for both of the first to be released."""
    await _up(stage)
    await _submitted(stage)
    await _submitted(stage)
    lease, qpus = await _loads(stage)
    qpus[0].send(JobLoaded(lease))
    for peer in qpus:
        await peer.silence(JobRun)
    qpus[1].send(JobLoaded(lease))
    for peer in qpus:
        await peer.expect(JobRun, lease=lease, shots=3)
        peer.send(_rows(lease, 0, 1, 2))
    # The third QPU is free all the time, but one alone does not hold the second job.
    for peer in stage.peers.values():
        await peer.silence(JobLoad)
    for peer in qpus:
        peer.send(_released(lease))
    second, _ = await _loads(stage)
    if second == lease:
        raise NotMet("two leases have one number")


@decides("JOB-13", scene=CONTROLLER)
async def what_no_qpus_hold_is_refused(stage: Stage) -> None:
    """Seven qubits, where six are; the user is told why."""
    await _up(stage)
    stage.user.order("submit", qubits=3 * LEASED_QUBITS + 1, shots=1)
    told = await stage.user.expect("job-refused")
    if not told["reason"]:
        raise NotMet("a job is refused without a reason")
    for peer in stage.peers.values():
        await peer.silence(JobLoad)


@decides("JOB-15", scene=CONTROLLER)
async def a_job_is_placed_anew(stage: Stage) -> None:
    """One QPU lets go after a shot: Stop to the other; when that has let go, too, the rest of the shots is placed."""
    await _up(stage)
    await _submitted(stage)
    lease, qpus = await _loads(stage)
    await _runs(stage, lease, qpus, 3)
    for peer in qpus:
        peer.send(_rows(lease, 1))
    await stage.wait(SOON_PS)
    qpus[0].send(_released(lease, JobWhy.NO_PAIRS, qpus[1].number))
    await qpus[1].expect(JobStop, lease=lease)
    for peer in stage.peers.values():
        await peer.silence(JobLoad)
    qpus[1].send(_released(lease, JobWhy.STOPPED))
    again, qpus = await _loads(stage)
    await _runs(stage, again, qpus, 2)


@decides("JOB-16", scene=CONTROLLER)
async def a_shot_counts_when_all_have_told_it(stage: Stage) -> None:
    """Not after one QPU has told it, nor when one calls it spoilt: of three, two count."""
    await _up(stage)
    job = await _submitted(stage)
    lease, qpus = await _loads(stage)
    await _runs(stage, lease, qpus, 3)
    spoilt = 1 << LEASED_QUBITS
    qpus[0].send(_rows(lease, 3, 0, 3))
    await stage.wait(SOON_PS)
    told = await _job(stage, job)
    if told["shots_done"]:
        raise NotMet(f"{told}, and one QPU has not told its shots")
    qpus[1].send(_rows(lease, 3, spoilt, 3))
    await stage.wait(SOON_PS)
    told = await _job(stage, job)
    if (told["shots_spoilt"], told["counts"]) != (1, {"1" * QUBITS: 2}):
        raise NotMet(f"{told} after two shots of ones and one that was spoilt")


@decides("JOB-17", scene=CONTROLLER)
async def what_is_cancelled_is_over_when_all_have_let_go(stage: Stage) -> None:
    """Stop to both; it is over with the last Released, and is not placed again."""
    await _up(stage)
    job = await _submitted(stage)
    lease, qpus = await _loads(stage)
    await _runs(stage, lease, qpus, 3)
    stage.user.order("cancel-job", job=job)
    for peer in qpus:
        await peer.expect(JobStop, lease=lease)
    for peer in qpus:
        if (await _job(stage, job))["state"] == "CANCELLED":
            raise NotMet(f"job {job} is over, and node {peer.number} holds its lease")
        peer.send(_released(lease, JobWhy.STOPPED))
        await stage.wait(SOON_PS)
    stage.user.told.clear()
    if (await _job(stage, job))["state"] != "CANCELLED":
        raise NotMet(f"job {job} is not over, and nobody holds its lease")
    for peer in stage.peers.values():
        await peer.silence(JobLoad)
