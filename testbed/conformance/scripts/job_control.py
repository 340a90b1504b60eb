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
    ProtocolId,
    RelData,
)
from testbed.conformance.scene import CONTROLLER, LEASED_QUBITS, MS
from testbed.conformance.scripts import decides
from testbed.conformance.stage import SOON_PS, NotMet, Peer, Stage, Undecided

QUBITS: Final = 2 * LEASED_QUBITS
"""Of a job that takes two QPUs."""
BUSY_PS: Final = 2_000 * MS
"""In which it counts against no job that a QPU is BUSY."""
LOST_PS: Final = 60 * 60_000 * MS
"""In which whoever never acknowledges is lost: 259 tries (REL-10)."""
ASKED_PS: Final = 60_000 * MS
"""In which a QPU that was lost is asked for again, and a job that waits for it in vain has failed."""


async def _up(stage: Stage, but: int = 0) -> None:
    """All QPUs say that they are there, when they are asked; one may be dead."""
    if but:
        stage.peers[but].reliable = None
    for peer in stage.peers.values():
        if peer.number != but:
            await peer.expect(JobCensus)
            peer.send(JobHere(LEASED_QUBITS, 0))
    await stage.wait(SOON_PS)


async def _submitted(stage: Stage, shots: int = 3, qubits: int = QUBITS) -> int:
    stage.user.order("submit", qubits=qubits, shots=shots)
    return int((await stage.user.expect("job", shots_done=0))["job"])


async def _lost(stage: Stage, peer: Peer) -> None:
    """Until the controller asks again for a QPU that acknowledges nothing: by a new stream, the first is given up."""

    def asks(data: RelData) -> bool:
        return (data.protocol, data.message) == (ProtocolId.JOB, JobCensus.MESSAGE)

    first = (await peer.expect(RelData, LOST_PS, where=asks)).stream_epoch
    await peer.expect(RelData, LOST_PS + ASKED_PS, where=lambda data: asks(data) and data.stream_epoch != first)


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
    return JobOutcome(lease, first, len(rows), 0, 0, bytes(rows))


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


@decides("JOB-12", "JOB-20", scene=CONTROLLER)
async def a_lease_of_an_earlier_life_is_ended(stage: Stage) -> None:
    """Two of three QPUs hold a lease that nobody here has given: Stop to both, and no Load before they have let go."""
    old = 77
    for peer in stage.peers.values():
        await peer.expect(JobCensus)
    free, *held = stage.peers.values()
    free.send(JobHere(LEASED_QUBITS, 0))
    for peer in held:
        peer.send(JobHere(LEASED_QUBITS, old))
        await peer.expect(JobStop, lease=old)
    await _submitted(stage)
    for peer in stage.peers.values():
        await peer.silence(JobLoad)
    for peer in held:
        peer.send(_released(old, JobWhy.STOPPED))
    await _loads(stage)


@decides("JOB-20", scene=CONTROLLER)
async def who_is_busy_is_asked_with_what(stage: Stage) -> None:
    """A QPU that was free holds a lease: Census, Stop of that one, and no Load before it has let go."""
    await _up(stage)
    await _submitted(stage)
    (lease, (busy, other)), old = await _loads(stage), 77
    busy.send(_released(lease, JobWhy.BUSY))
    await busy.expect(JobCensus)
    await other.expect(JobStop, lease=lease)
    other.send(JobHere(0, lease))
    other.send(_released(lease, JobWhy.STOPPED))
    await busy.silence(JobLoad)
    busy.send(JobHere(LEASED_QUBITS, old))
    await busy.expect(JobStop, lease=old)
    await busy.silence(JobLoad)
    for peer in stage.peers.values():
        if peer is not busy:
            peer.send(JobHere(0, 0))
    busy.send(_released(old, JobWhy.STOPPED))
    other.send(JobHere(LEASED_QUBITS, 0))
    await _loads(stage)


@decides("JOB-20", scene=CONTROLLER)
async def who_is_busy_costs_no_placing(stage: Stage) -> None:
    """BUSY, and free when it is asked: six times within two seconds, for a job that needs all QPUs; then it runs."""
    await _up(stage)
    await _submitted(stage, qubits=len(stage.peers) * LEASED_QUBITS)
    busy, *others = stage.peers.values()
    first = stage.now
    for _ in range(6):
        lease = (await busy.expect(JobLoad, BUSY_PS)).lease
        if stage.now - first > BUSY_PS - SOON_PS:
            raise Undecided("it tries less often than six times in two seconds")
        busy.send(_released(lease, JobWhy.BUSY))
        for peer in others:
            await peer.expect(JobLoad, lease=lease)
            await peer.expect(JobStop, lease=lease)
            peer.send(_released(lease, JobWhy.STOPPED))
        await busy.expect(JobCensus)
        busy.send(JobHere(LEASED_QUBITS, 0))
    lease = (await busy.expect(JobLoad, BUSY_PS)).lease
    await _runs(stage, lease, [busy, *others], 3)


@decides("JOB-22", scene=CONTROLLER)
async def a_job_waits_for_qubits_that_are_held(stage: Stage) -> None:
    """Programs hold all qubits of two QPUs of three: a job that needs two waits, however often it was tried in vain;
    when there is room again, it is placed."""
    await _up(stage)
    job, placed = await _submitted(stage), 0
    lease, qpus = await _loads(stage)
    for peer in qpus:
        peer.send(JobHere(0, lease))
        peer.send(_released(lease, JobWhy.IN_USE))
    for peer in stage.peers.values():
        await peer.silence(JobLoad)
    for _ in range(6):
        for peer in qpus:
            peer.send(JobHere(LEASED_QUBITS, 0))
        lease, qpus = await _loads(stage)
        placed += 1
        for peer in qpus:
            peer.send(JobHere(0, lease))
            peer.send(_released(lease, JobWhy.IN_USE))
            await stage.wait(SOON_PS)
    if (state := (await _job(stage, job))["state"]) != "QUEUED":
        raise NotMet(f"the job is {state}, after {placed} times in vain")


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


@decides("JOB-13", scene=CONTROLLER, patient=True)
async def what_fits_only_with_the_lost_waits_for_it(stage: Stage) -> None:
    """A job needs all three QPUs, and one cannot be reached: it is asked for again, and is there; then the job runs."""
    await _up(stage, but=3)
    job = await _submitted(stage, qubits=len(stage.peers) * LEASED_QUBITS)
    lost = stage.peers[3]
    await _lost(stage, lost)
    if (state := (await _job(stage, job))["state"]) != "QUEUED":
        raise NotMet(f"the job is {state}, while a QPU that it needs is asked for")
    lost.restart()
    lost.send(JobHere(LEASED_QUBITS, 0))
    lease = (await lost.expect(JobLoad, 4 * SOON_PS)).lease  # behind all that waited for it
    await _runs(stage, lease, list(stage.peers.values()), 3)


@decides("JOB-13", scene=CONTROLLER, patient=True)
async def what_waits_for_the_lost_in_vain_fails(stage: Stage) -> None:
    """The same, and it never comes: in the end the job has failed, and no QPU got a program of it."""
    await _up(stage, but=3)
    job = await _submitted(stage, qubits=len(stage.peers) * LEASED_QUBITS)
    await _lost(stage, stage.peers[3])
    await stage.wait(ASKED_PS)
    if (state := (await _job(stage, job))["state"]) != "FAILED":
        raise NotMet(f"the job is {state}, and a QPU that it needs is not there")
    for number in (1, 2):
        await stage.peers[number].silence(JobLoad)


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


@decides("JOB-23", scene=CONTROLLER, patient=True)
async def who_is_lost_in_a_lease_is_asked_for(stage: Stage) -> None:
    """One of two QPUs acknowledges nothing any more, and its job is cancelled: no other waits, and it is asked for."""
    await _up(stage)
    job = await _submitted(stage)
    lease, (silent, other) = await _loads(stage)
    silent.reliable = None
    stage.user.order("cancel-job", job=job)
    await other.expect(JobStop, lease=lease)
    other.send(_released(lease, JobWhy.STOPPED))
    await _lost(stage, silent)


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
