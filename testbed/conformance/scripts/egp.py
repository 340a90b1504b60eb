"""Scripts for EGP: an end of a link, as its master or as the other one, with peer, station and devices played."""

from typing import Any, Final

from protocols.asking import TRIES
from protocols.wire import (
    DeviceMeasuringTrain,
    DeviceOpcode,
    DeviceProgram,
    DeviceRemembered,
    DeviceTrain,
    EgpAdd,
    EgpAddAck,
    EgpAddReject,
    EgpBases,
    EgpBasis,
    EgpError,
    EgpExpire,
    EgpExpireAck,
    EgpKind,
    EgpMeasuring,
    EgpTest,
    EgpTested,
    EgpTrain,
    EgpTrainAck,
    EgpVerdict,
    MhpError,
    MhpGen,
    MhpKind,
    MhpOutcome,
)
from testbed.conformance.scene import DELAY_PS, FOLLOWER, FULL, LINK, MASTER, MS, SLOT_PS, URGENT
from testbed.conformance.scripts import decides
from testbed.conformance.scripts.pairs import (
    PURPOSE,
    STATION,
    UNSET,
    Running,
    add,
    asked,
    begun,
    followed,
    heralded,
    led,
    other,
    proposal,
    proposed,
    ready,
    reply,
)
from testbed.conformance.stage import SOON_PS, NotMet, Stage

TRAIN_PS: Final = 60 * SLOT_PS
"""In which a train of this link is over, with its outcome told."""
MODULUS: Final = 0xFFFF


async def _delivered(stage: Stage, running: Running, sequence: int, bell_index: int = 2) -> int:
    """A success at the first slot of a train, told in time and handed on; the qubit of the pair."""
    await heralded(stage, running, sequence)
    ok = await stage.user.expect("ok", create_id=running.request, sequence=sequence, bell_index=bell_index)
    return int(ok["qubit"])


async def _next(stage: Stage, request: int) -> tuple[EgpTrain, Running]:
    """At the master: the next train that it proposes for a request, agreed on and begun."""
    train = await stage.peers[2].expect(EgpTrain, TRAIN_PS, where=lambda t: t.count > 0, create_id=request)
    stage.peers[2].send(ready(train, train.expected_sequence))
    return train, await begun(stage, request, train)


def _accept(stage: Stage) -> None:
    stage.user.order("recv", remote=other(stage), purpose=PURPOSE)


# The queue.


@decides("EGP-1", "EGP-26", scene=MASTER)
async def the_master_orders_all_requests(stage: Stage) -> None:
    """A request of its own, one of the peer, one of its own: numbered so, and served so."""
    peer = stage.peers[2]
    _accept(stage)
    first = await asked(stage)
    peer.send(EgpAddAck(LINK, first.create_id, 0, 0))
    train = await peer.expect(EgpTrain, origin=1, create_id=first.create_id)
    peer.send(ready(train))
    running = await begun(stage, first.create_id, train)
    peer.send(add(900, queue_sequence=0))
    theirs = await peer.expect(EgpAddAck, create_id=900)
    last = await asked(stage)
    peer.send(EgpAddAck(LINK, last.create_id, 0, 0))
    numbers = [first.queue_sequence, theirs.queue_sequence, last.queue_sequence]
    if [(n - numbers[0]) % 65536 for n in numbers] != [0, 1, 2]:
        raise NotMet(f"three requests in a row have the numbers {numbers}")
    stage.user.order("release", qubit=await _delivered(stage, running, 0))
    for sequence, (create_id, origin) in enumerate(((900, 0), (last.create_id, 1)), 1):
        train = await peer.expect(EgpTrain, TRAIN_PS, where=lambda t: t.count > 0)
        if (train.create_id, train.origin) != (create_id, origin):
            raise NotMet(f"the train is for request ({train.create_id}, {train.origin}), not ({create_id}, {origin})")
        peer.send(ready(train, train.expected_sequence))
        qubit = await _delivered(stage, await begun(stage, create_id, train), sequence)
        stage.user.order("release", qubit=qubit)


@decides("EGP-1", "EGP-2", scene=FOLLOWER)
async def the_other_end_proposes_nothing(stage: Stage) -> None:
    """Its request is in the queue when the AddAck comes; the master's train for it is taken part in."""
    request = await asked(stage)
    master = stage.peers[1]
    master.send(EgpAddAck(LINK, request.create_id, 0, 0))
    await master.silence(EgpTrain, during=6 * SLOT_PS, where=lambda t: t.count > 0)
    train = proposal(stage, request.create_id, queue_id=2, origin=0)
    master.send(train)
    await master.expect(EgpTrainAck, queue_id=2, verdict=EgpVerdict.READY)
    await _delivered(stage, await begun(stage, request.create_id, train), 0)


@decides("EGP-2", scene=MASTER)
async def a_train_proposed_to_the_master_is_nothing(stage: Stage) -> None:
    """The peer proposes a train for its own request: no answer, no attempt."""
    peer = stage.peers[2]
    _accept(stage)
    peer.send(add(5))
    await peer.expect(EgpAddAck, create_id=5)
    peer.send(proposal(stage, 5, queue_id=0x7000))
    await peer.silence(EgpTrainAck, where=lambda ack: ack.queue_id == 0x7000)
    await stage.wait(6 * SLOT_PS)
    if any(isinstance(command, DeviceTrain) for _, command in stage.devices.commands):
        raise NotMet("the master attempts in a train that the other end has proposed")


@decides("EGP-3", scene=FOLLOWER)
async def a_request_needs_a_rule(stage: Stage) -> None:
    """No rule: REJECTED.  A rule: AddAck.  Another purpose, or the rule taken back: REJECTED."""
    master = stage.peers[1]
    master.send(add(1))
    await master.expect(EgpAddReject, create_id=1, error=EgpError.REJECTED)
    _accept(stage)
    await stage.wait(10 * MS)
    master.send(add(2))
    await master.expect(EgpAddAck, create_id=2)
    master.send(add(3, purpose_id=PURPOSE + 1))
    await master.expect(EgpAddReject, create_id=3, error=EgpError.REJECTED)
    stage.user.order("stop-recv", remote=1, purpose=PURPOSE)
    await stage.wait(10 * MS)
    master.send(add(4))
    await master.expect(EgpAddReject, create_id=4, error=EgpError.REJECTED)


@decides("EGP-3", scene=MASTER)
async def a_rejection_is_told(stage: Stage) -> None:
    """The peer's AddReject ends the request with its error."""
    for error in (EgpError.REJECTED, EgpError.UNSUPP, EgpError.NORES):
        request = await asked(stage)
        stage.peers[2].send(EgpAddReject(LINK, request.create_id, error))
        await stage.user.expect("err", create_id=request.create_id, code=error.name)
    await stage.peers[2].silence(EgpTrain)


@decides("EGP-4", scene=MASTER)
async def a_fidelity_out_of_reach_is_refused(stage: Stage) -> None:
    """Asked for more than the estimate: ERR UNSUPP at once, and no Add; asked so by the peer: AddReject UNSUPP."""
    peer = stage.peers[2]
    _accept(stage)
    beyond = round(0.95 * FULL)
    stage.user.order("create", link=LINK, purpose=PURPOSE, fidelity=beyond)
    made = await stage.user.expect("created")
    await stage.user.expect("err", create_id=made["create_id"], code="UNSUPP")
    await peer.silence(EgpAdd)
    peer.send(add(8, minimum_fidelity=beyond))
    await peer.expect(EgpAddReject, create_id=8, error=EgpError.UNSUPP)


@decides("EGP-14", "EGP-17", scene=FOLLOWER)
async def a_served_request_is_forgotten(stage: Stage) -> None:
    """Asked about by a Train without attempts: READY while it is open, UNKNOWN when its pair has been delivered."""
    master = stage.peers[1]
    running = await followed(stage, request=6)
    question = proposal(stage, 6, queue_id=0, count=0, first_slot=0, spacing=0)
    master.send(question)
    await master.expect(EgpTrainAck, queue_id=0, verdict=EgpVerdict.READY)
    await _delivered(stage, running, 0)
    master.send(question)
    await master.expect(EgpTrainAck, queue_id=0, verdict=EgpVerdict.UNKNOWN)


# Trains.


@decides("EGP-5", "EGP-7", scene=FOLLOWER)
async def a_train_needs_a_free_qubit(stage: Stage) -> None:
    """Both qubits hold pairs: BUSY; an unknown request: UNKNOWN; a qubit is free again: READY for the same train."""
    master = stage.peers[1]
    qubits = []
    for number in (1, 2):
        running = await followed(stage, request=number, queue_id=number)
        qubits.append(await _delivered(stage, running, number - 1))
    if len(set(qubits)) < 2:
        raise NotMet(f"qubit {qubits[0]} is handed out twice")
    master.send(proposal(stage, 77, queue_id=4))
    await master.expect(EgpTrainAck, queue_id=4, verdict=EgpVerdict.UNKNOWN)
    master.send(add(3))
    await master.expect(EgpAddAck, create_id=3)
    master.send(proposal(stage, 3, queue_id=3))
    await master.expect(EgpTrainAck, queue_id=3, verdict=EgpVerdict.BUSY)
    await stage.peers[STATION].silence(MhpGen, where=lambda gen: gen.queue_id in (3, 4))
    stage.user.order("release", qubit=qubits[0])
    await master.expect(EgpTrainAck, queue_id=3, verdict=EgpVerdict.READY)


@decides("EGP-6", scene=MASTER)
async def a_train_fits_its_request(stage: Stage) -> None:
    """At p = .5 a train has at least ten attempts; with 1.2 s left, its outcome is due by then."""
    request, train = await proposed(stage)
    if 0.5**train.count > 1e-3:
        raise NotMet(f"a train of {train.count} attempts fails with probability {0.5**train.count:.2g}")
    first = train.first_slot * SLOT_PS
    if first < stage.now + 2 * DELAY_PS:
        raise NotMet("the first slot leaves no time for the answer and the photons")
    stage.peers[2].send(ready(train))
    await _delivered(stage, await begun(stage, request.create_id, train), 0)
    limit = stage.now + 1_200 * MS
    _, short = await proposed(stage, max_time_ps=1_200 * MS)
    outcome_due = (short.first_slot + (short.count - 1) * short.spacing) * SLOT_PS + DELAY_PS
    if outcome_due > limit:
        raise NotMet(f"the outcome is due {(outcome_due - limit) / MS:.0f} ms after the request's deadline")


@decides("EGP-8", "EGP-13", scene=MASTER)
async def successes_are_delivered_and_counted(stage: Stage) -> None:
    """Any first sequence is taken: 41, psi-; the next train expects 42, and its success, psi+, is delivered."""
    running = await led(stage, number=2)
    await heralded(stage, running, 41, outcome=MhpOutcome.PSI_MINUS)
    await stage.user.expect("ok", create_id=running.request, sequence=41, bell_index=3)
    train, running = await _next(stage, running.request)
    if train.expected_sequence != 42:
        raise NotMet(f"after sequence 41 the next train expects {train.expected_sequence}")
    await _delivered(stage, running, 42)


@decides("EGP-8", "EGP-13", scene=FOLLOWER)
async def the_other_end_delivers_as_well(stage: Stage) -> None:
    """The sequence wraps: 65534 is followed by 0; the TrainAck says what is expected."""
    master = stage.peers[1]
    await _delivered(stage, await followed(stage, 1, 1), MODULUS - 1)
    master.send(add(2))
    await master.expect(EgpAddAck, create_id=2)
    train = proposal(stage, 2, queue_id=2)
    master.send(train)
    await master.expect(EgpTrainAck, queue_id=2, verdict=EgpVerdict.READY, expected_sequence=0)
    await _delivered(stage, await begun(stage, 2, train), 0)


@decides("EGP-13", scene=FOLLOWER)
async def the_larger_expectation_counts(stage: Stage) -> None:
    """The master expects 9, and so does the answer; a success 9 is then delivered."""
    master = stage.peers[1]
    await _delivered(stage, await followed(stage, 1, 1), 3)
    master.send(add(2))
    await master.expect(EgpAddAck, create_id=2)
    train = proposal(stage, 2, queue_id=2, expected_sequence=9)
    master.send(train)
    await master.expect(EgpTrainAck, queue_id=2, verdict=EgpVerdict.READY, expected_sequence=9)
    await _delivered(stage, await begun(stage, 2, train), 9)


@decides("EGP-9", scene=FOLLOWER)
async def a_sequence_ahead_expires_what_is_between(stage: Stage) -> None:
    """Expected 4, told 6: Expire from 4 to 7, and ERR EXPIRE for 4 to 6."""
    master = stage.peers[1]
    await _delivered(stage, await followed(stage, 1, 1), 3)
    running = await followed(stage, 2, 2)
    await heralded(stage, running, 6)
    await master.expect(EgpExpire, create_id=2, origin=0, old_sequence=4, new_sequence=7)
    await stage.user.expect("err", create_id=2, code="EXPIRE", sequence_low=4, sequence_high=6)
    await stage.user.silence("ok")


@decides("EGP-10", scene=FOLLOWER)
async def a_sequence_behind_is_ignored(stage: Stage) -> None:
    """Expected 101, told 50: no OK, and 51 is expected next."""
    master = stage.peers[1]
    await _delivered(stage, await followed(stage, 1, 1), 100)
    running = await followed(stage, 2, 2)
    await heralded(stage, running, 50)
    await stage.user.silence("ok", "err")
    train = proposal(stage, 2, queue_id=3)
    master.send(train)
    await master.expect(EgpTrainAck, queue_id=3, verdict=EgpVerdict.READY, expected_sequence=51)
    await _delivered(stage, await begun(stage, 2, train), 51)


@decides("EGP-11", scene=FOLLOWER)
async def a_success_overwritten_expires(stage: Stage) -> None:
    """Told too late: the device has emitted again, so the pair is gone.  Expire from s to s + 1, ERR EXPIRE."""
    running = await followed(stage, 1, 1)
    await stage.wait_slot(running.gen.first_slot + running.gen.spacing + 1)
    stage.peers[STATION].send(reply(running, sequence=5))
    await stage.peers[1].expect(EgpExpire, create_id=1, old_sequence=5, new_sequence=6)
    await stage.user.expect("err", create_id=1, code="EXPIRE")
    await stage.user.silence("ok")


@decides("EGP-11", "MHP-3", scene=FOLLOWER, patient=True)
async def an_outcome_nobody_tells_expires(stage: Stage) -> None:
    """The station is silent for good: it is asked 259 times, then Expire from the expected sequence to itself, ERR
    EXPIRE."""
    await _delivered(stage, await followed(stage, 1, 1), 3)
    await followed(stage, 2, 2)
    await stage.peers[1].expect(EgpExpire, 3_000_000 * MS, create_id=2, old_sequence=4, new_sequence=4)
    asked_for = sum(seen.message.kind == MhpKind.INFO for seen in stage.peers[STATION].seen)
    if asked_for != TRIES:
        raise NotMet(f"the station was asked {asked_for} times, not {TRIES}")
    await stage.user.expect("err", create_id=2, code="EXPIRE")


@decides("EGP-12", scene=FOLLOWER)
async def an_expire_takes_pairs_back(stage: Stage) -> None:
    """A request for three has had two pairs, 7 and 8: an Expire from 8 voids the second, ends the request, and is
    acknowledged."""
    master = stage.peers[1]
    running = await followed(stage, 1, 1, number=3)
    await _delivered(stage, running, 7)
    train = proposal(stage, 1, queue_id=2, expected_sequence=8)
    master.send(train)
    await master.expect(EgpTrainAck, queue_id=2, verdict=EgpVerdict.READY)
    await _delivered(stage, await begun(stage, 1, train), 8)
    master.send(EgpExpire(LINK, 1, 1, 8, 9))
    await master.expect(EgpExpireAck, link=LINK)
    err = await stage.user.expect("err", create_id=1, code="EXPIRE")
    if err.get("sequence_low") != 8:
        raise NotMet(f"the pairs from 8 on are void, and {err} says something else")
    master.send(proposal(stage, 1, queue_id=0, count=0, first_slot=0, spacing=0))
    await master.expect(EgpTrainAck, queue_id=0, verdict=EgpVerdict.UNKNOWN)


@decides("EGP-15", scene=MASTER)
async def a_request_ends_in_time(stage: Stage) -> None:
    """Never acknowledged, with 600 ms of time: ERR TIMEOUT after them."""
    request = await asked(stage, max_time_ps=600 * MS)
    if request.max_time_ps != 600 * MS:
        raise NotMet(f"the Add says {request.max_time_ps / MS:.0f} ms, not 600")
    began = stage.now
    await stage.user.silence("err", during=400 * MS)
    await stage.user.expect("err", create_id=request.create_id, code="TIMEOUT")
    if stage.now - began > 900 * MS:
        raise NotMet(f"the request ended after {(stage.now - began) / MS:.0f} ms")


@decides("EGP-15", scene=FOLLOWER)
async def the_peer_s_request_ends_in_time(stage: Stage) -> None:
    """A request of the master with 500 ms of time, for which nothing is proposed: ERR TIMEOUT here, too."""
    _accept(stage)
    stage.peers[1].send(add(1, max_time_ps=500 * MS))
    await stage.peers[1].expect(EgpAddAck, create_id=1)
    await stage.user.expect("err", 600 * MS, create_id=1, code="TIMEOUT")


@decides("EGP-16", scene=FOLLOWER)
async def a_restarted_peer_ends_its_link(stage: Stage) -> None:
    """The master comes back as a new incarnation: the open request ends with ERR OTHER, and its train stops."""
    await followed(stage, 1, 1)
    master = stage.peers[1]
    master.restart()
    master.send(add(1))
    await stage.user.expect("err", create_id=1, code="OTHER")


@decides("EGP-17", scene=FOLLOWER)
async def a_silent_peer_is_asked(stage: Stage) -> None:
    """An open request and nothing heard: a Train without attempts asks; UNKNOWN ends the request."""
    request = await asked(stage)
    master = stage.peers[1]
    master.send(EgpAddAck(LINK, request.create_id, 0, 0))
    row: dict[str, Any] = {"origin": 1, "create_id": request.create_id, "queue_id": 0, "count": 0}
    await master.expect(EgpTrain, 5_000 * MS, **row)
    master.send(EgpTrainAck(LINK, 0, EgpVerdict.READY, UNSET))
    await stage.user.silence("err")
    await master.expect(EgpTrain, 10_000 * MS, **row)
    master.send(EgpTrainAck(LINK, 0, EgpVerdict.UNKNOWN, UNSET))
    await stage.user.expect("err", create_id=request.create_id)


@decides("EGP-18", scene=FOLLOWER)
async def a_withdrawn_request_ends_on_both_sides(stage: Stage) -> None:
    """Withdrawn before a train: ERR OTHER, and an Expire from the expected sequence to itself."""
    master = stage.peers[1]
    await _delivered(stage, await followed(stage, 1, 1), 3)
    request = await asked(stage)
    master.send(EgpAddAck(LINK, request.create_id, 1, 0))
    await stage.wait(2 * DELAY_PS)
    stage.user.order("withdraw", link=LINK, create_id=request.create_id)
    await stage.user.expect("err", create_id=request.create_id, code="OTHER")
    await master.expect(EgpExpire, origin=1, create_id=request.create_id, old_sequence=4, new_sequence=4)


@decides("EGP-18", scene=FOLLOWER)
async def a_withdrawn_request_sees_its_train_out(stage: Stage) -> None:
    """Withdrawn while its train runs: the pair is here and at the peer, so it is OK; then ERR OTHER and the Expire."""
    master = stage.peers[1]
    request = await asked(stage, number=2)
    master.send(EgpAddAck(LINK, request.create_id, 1, 0))
    train = proposal(stage, request.create_id, origin=0)
    master.send(train)
    await master.expect(EgpTrainAck, queue_id=train.queue_id, verdict=EgpVerdict.READY)
    running = await begun(stage, request.create_id, train)
    stage.user.order("withdraw", link=LINK, create_id=request.create_id)
    await stage.user.silence("err")
    await heralded(stage, running, 5)
    await stage.user.expect("ok", 3 * SOON_PS, create_id=request.create_id, sequence=5)
    await stage.user.expect("err", create_id=request.create_id, code="OTHER")
    await master.expect(EgpExpire, origin=1, create_id=request.create_id, old_sequence=6, new_sequence=6)


@decides("EGP-21", scene=MASTER)
async def a_time_that_cannot_do_is_refused(stage: Stage) -> None:
    """A thousand pairs in half a second: ERR NOTIME at once, and no Add."""
    stage.user.order("create", link=LINK, purpose=PURPOSE, number=1_000, max_time_ps=500 * MS)
    made = await stage.user.expect("created")
    await stage.user.expect("err", create_id=made["create_id"], code="NOTIME")
    await stage.peers[2].silence(EgpAdd)


@decides("EGP-22", scene=FOLLOWER)
async def atomic_pairs_are_told_together(stage: Stage) -> None:
    """Two pairs, atomic: nothing after the first; after the second both.  Three with two qubits: NORES."""
    master = stage.peers[1]
    running = await followed(stage, 1, 1, number=2, flags=1)
    await heralded(stage, running, 0)
    await stage.user.silence("ok")
    train = proposal(stage, 1, queue_id=2, expected_sequence=1)
    master.send(train)
    await master.expect(EgpTrainAck, queue_id=2, verdict=EgpVerdict.READY)
    await heralded(stage, await begun(stage, 1, train), 1)
    for sequence in (0, 1):
        await stage.user.expect("ok", create_id=1, sequence=sequence)
    master.send(add(2, number=3, flags=1))
    await master.expect(EgpAddReject, create_id=2, error=EgpError.NORES)


@decides("EGP-22", scene=MASTER)
async def a_consecutive_request_is_not_interrupted(stage: Stage) -> None:
    """An older request that the peer acknowledges only when a consecutive one has begun must wait for its end."""
    peer = stage.peers[2]
    older = await asked(stage)
    running = await led(stage, number=2, consecutive=True)
    peer.send(EgpAddAck(LINK, older.create_id, 0, 0))
    await stage.wait(2 * DELAY_PS)
    await _delivered(stage, running, 0)
    _, running = await _next(stage, running.request)
    stage.user.order("release", qubit=await _delivered(stage, running, 1))
    await _next(stage, older.create_id)


@decides("EGP-23", scene=FOLLOWER)
async def a_test_round_is_measured_and_told(stage: Stage) -> None:
    """A train with test XX: its pair is measured (reading 1), told in a Tested, and is no pair of the request."""
    master = stage.peers[1]
    _accept(stage)
    master.send(add(1))
    await master.expect(EgpAddAck, create_id=1)
    train = proposal(stage, 1, test=EgpTest.XX)
    master.send(train)
    await master.expect(EgpTrainAck, verdict=EgpVerdict.READY)
    running = await begun(stage, 1, train)
    stage.devices.bits = lambda program: bytes([1] * sum(1 for op in program.ops if op.opcode == DeviceOpcode.MEASURE))
    await heralded(stage, running, 12)
    await master.expect(EgpTested, link=LINK, mhp_sequence=12, outcome=1)
    program = await stage.devices.expect(DeviceProgram)
    if program.ops[0].opcode in (DeviceOpcode.MEASURE, DeviceOpcode.RELEASE):
        raise NotMet(f"the half is measured in Z, not in X: {program}")
    await stage.user.silence("ok", "err")
    master.send(proposal(stage, 1, queue_id=0, count=0, first_slot=0, spacing=0))
    await master.expect(EgpTrainAck, queue_id=0, verdict=EgpVerdict.READY)


@decides("EGP-25", scene=MASTER)
async def measured_pairs_are_results(stage: Stage) -> None:
    """M: a train that measures; the OK has the result and the basis that the device remembers of the slot."""
    request, train = await proposed(stage, kind="M", bases="XZ")
    if len(request.measuring) != 2:
        raise NotMet(f"the Add of an M request has {len(request.measuring)} Measuring records, not two")
    stage.peers[2].send(ready(train))
    row: dict[str, Any] = {"link": LINK, "first_slot": train.first_slot, "spacing": train.spacing, "count": train.count}
    command = await stage.devices.expect(DeviceMeasuringTrain, **row)
    gen = await stage.peers[STATION].expect(MhpGen, queue_id=train.queue_id)
    stage.devices.remembered = DeviceRemembered(1, 1, EgpBasis.X)
    running = Running(request.create_id, train.queue_id, gen, command)  # type: ignore[arg-type]
    await heralded(stage, running, 2)
    await stage.user.expect("ok", kind="M", create_id=request.create_id, sequence=2, outcome=1, basis="X")


@decides("EGP-28", "MHP-13", scene=MASTER)
async def measured_pairs_share_a_train(stage: Stage) -> None:
    """M for three pairs: a train for as many, a Gen that says so, and an OK at each success while the train goes on; of
    the second the Reply is lost, and asked for when the third comes."""
    request, train = await proposed(stage, kind="M", bases="XZ", number=3)
    if train.pairs != 3 or train.test:
        raise NotMet(f"the train for three measured pairs is {train}")
    stage.peers[2].send(ready(train))
    row: dict[str, Any] = {"link": LINK, "first_slot": train.first_slot, "spacing": train.spacing, "count": train.count}
    command = await stage.devices.expect(DeviceMeasuringTrain, **row)
    station = stage.peers[STATION]
    gen = await station.expect(MhpGen, queue_id=train.queue_id, pairs=3)
    running = Running(request.create_id, train.queue_id, gen, command)  # type: ignore[arg-type]
    stage.devices.remembered = DeviceRemembered(1, 1, EgpBasis.X)
    slots = [gen.first_slot + n * gen.spacing for n in range(3)]
    replies = [reply(running, sequence=n, slot=slot, number=n + 1, more=int(n < 2)) for n, slot in enumerate(slots)]
    await stage.wait_slot(slots[0])
    station.send(replies[0])
    await stage.user.expect("ok", kind="M", create_id=request.create_id, sequence=0)
    await stage.wait_slot(slots[2])
    station.send(replies[2])
    await station.expect(MhpGen, kind=MhpKind.INFO, queue_id=train.queue_id, pairs=1)
    await stage.user.silence("ok", during=0)
    for one in replies[1:]:
        station.send(one)
    for sequence in (1, 2):
        await stage.user.expect("ok", kind="M", create_id=request.create_id, sequence=sequence)


@decides("EGP-28", scene=FOLLOWER)
async def a_train_told_one_by_one_is_for_one_pair(stage: Stage) -> None:
    """One that is proposed for two is refused, and the node takes part in the next that makes sense."""
    master = stage.peers[1]
    _accept(stage)
    await stage.wait(10 * MS)
    master.send(add(1, kind=EgpKind.MEASURE, number=2, measuring=(EgpMeasuring(EgpBases.NONE),) * 2))
    await master.expect(EgpAddAck, create_id=1)
    for queue_id, each, verdict in ((1, 1, EgpVerdict.UNKNOWN), (2, 0, EgpVerdict.READY)):
        master.send(proposal(stage, 1, queue_id, count=8, pairs=2, each=each))
        await master.expect(EgpTrainAck, queue_id=queue_id, verdict=verdict)


@decides("MHP-4", "EGP-8", scene=MASTER)
async def a_failed_train_is_followed_by_another(stage: Stage) -> None:
    """FAIL, and each published error but one: no pair, no end of the request, and another train."""
    running = await led(stage)
    for error in (MhpError.NONE, MhpError.NO_CLASSICAL_OTHER, MhpError.TIME_MISMATCH):
        outcome = MhpOutcome.ERROR if error else MhpOutcome.FAIL
        await stage.wait_slot(running.gen.first_slot)
        stage.peers[STATION].forget()  # where Gens get lost, each may come twice (MHP-1)
        stage.peers[STATION].send(reply(running, outcome, error=error))
        _, running = await _next(stage, running.request)
    await stage.user.silence("ok", "err", during=0)
    await _delivered(stage, running, 0)


async def _another_comes(stage: Stage) -> MhpGen:
    """At the master: a train for a request of priority 2, and then a request of priority 0; the Gen of the train."""
    running = await led(stage, priority=2, number=3)
    await stage.wait_slot(running.gen.first_slot)
    urgent = await asked(stage, priority=0)
    stage.peers[2].send(EgpAddAck(LINK, urgent.create_id, 0, 0))
    return running.gen


@decides("EGP-24", scene=URGENT)
async def an_urgent_request_cuts_a_train_short(stage: Stage) -> None:
    """The station hears of the end of the train, with a Gen ERR that says which."""
    gen = await _another_comes(stage)
    await stage.peers[STATION].expect(MhpGen, 2 * SOON_PS, kind=MhpKind.ERR, queue_id=gen.queue_id)


@decides("EGP-24", scene=MASTER)
async def a_request_that_waits_its_turn_cuts_nothing(stage: Stage) -> None:
    """First come, first served."""
    await _another_comes(stage)
    await stage.peers[STATION].silence(MhpGen, during=2 * SOON_PS, where=lambda gen: gen.kind == MhpKind.ERR)


@decides("EGP-27", scene=FOLLOWER, patient=True)
async def a_station_that_is_dead_ends_all_requests(stage: Stage) -> None:
    """Two trains in a row of which the station tells nothing: the open requests end with ERR OTHER, the peer is told,
    new ones are refused for as long as the silence has lasted, and no longer."""
    master = stage.peers[1]
    await followed(stage, 1, 1)
    began = stage.now
    await master.expect(EgpExpire, 3_000_000 * MS, create_id=1)
    await stage.user.expect("err", create_id=1, code="EXPIRE")
    stage.peers[STATION].forget()
    master.send(add(2))
    await master.expect(EgpAddAck, create_id=2)
    await followed(stage, 3, 3)
    await master.expect(EgpExpire, 3_000_000 * MS, create_id=3)
    silence = stage.now - began
    ended = [(await stage.user.expect("err", code="OTHER"))["create_id"] for _ in range(2)]
    if sorted(ended) != [2, 3]:
        raise NotMet(f"requests {ended} have ended, not 2 and 3")
    await master.expect(EgpExpire, create_id=2)
    master.send(add(4))
    await master.expect(EgpAddReject, create_id=4, error=EgpError.NORES)
    await stage.wait(2 * silence)
    master.send(add(5))
    await master.expect(EgpAddAck, create_id=5)
