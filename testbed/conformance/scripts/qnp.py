"""Scripts for QNP at the ends of a circuit: requests, tracking, what is given up.  Repeaters are in qnp_relay.py."""

from collections.abc import Callable
from typing import Any

from protocols.qnp.purify import turned, verdict
from protocols.wire import (
    BellIndex,
    CircuitFate,
    DeviceProgram,
    EgpAdd,
    EgpError,
    MhpOutcome,
    PairFate,
    PairKind,
    PairUse,
    Purification,
    PurifyScope,
    QnpClaim,
    QnpComplete,
    QnpDiscard,
    QnpForward,
    QnpForwardAck,
    QnpInstall,
    QnpInstalled,
    QnpOutcome,
    QnpPurify,
    QnpPurifyAck,
    QnpTeardown,
    QnpTrack,
)
from protocols.wire.codec import DeviceOpcode
from testbed.conformance.scene import LINK, PURIFYING, QPU, SECOND_QPU
from testbed.conformance.scripts import decides
from testbed.conformance.scripts.circuits import (
    PURPOSE,
    Circuit,
    Hop,
    forward,
    hop_row,
    install,
    label_of,
    released,
    requested,
    served,
    track,
)
from testbed.conformance.stage import SOON_PS, NotMet, Stage

UNKNOWN_KIND = 3
QNP = (QnpInstall, QnpForward, QnpTrack, QnpDiscard, QnpComplete, QnpTeardown)


@decides("QNP-1", scene=QPU)
async def a_request_is_announced_and_pairs_wait_for_the_circuit(stage: Stage) -> None:
    """Install and Forward come; no pair is asked of the link before Installed has been said."""
    hop = Hop(stage)
    stage.user.order("request", node=2, purpose=PURPOSE)
    request = (await stage.user.expect("requested"))["request"]
    stage.user.order("want", request=request, number=2)
    label = (await hop.peer.expect(QnpInstall)).circuit
    await hop.peer.expect(QnpForward, circuit=label, request=request, kind=PairKind.KEEP, purpose=PURPOSE)
    await hop.peer.silence(EgpAdd, during=2 * SOON_PS)
    hop.peer.send(QnpInstalled(label))
    hop.peer.send(QnpForwardAck(label, request, 1, 0))
    await hop.asked(label)


@decides("QNP-2", scene=QPU)
async def each_forward_has_one_answer(stage: Stage) -> None:
    """Nobody listens; then somebody does; the same number again; a kind that there is not; nobody listens any more."""
    circuit = await served_without_request(stage)

    async def say(request: int, error: EgpError | None, **fields: Any) -> None:
        circuit.peer.send(forward(circuit.label, request, **fields))
        answer = await circuit.peer.expect(QnpForwardAck, circuit=circuit.label, request=request)
        if bool(answer.accepted) != (error is None) or (error is not None and answer.error != error):
            raise NotMet(f"{answer} answers request {request}; expected {'no error' if error is None else error.name}")

    await say(1, EgpError.REJECTED)
    stage.user.order("listen", purpose=PURPOSE)
    await stage.wait(SOON_PS)
    await say(2, None)
    await say(2, EgpError.CREATE)
    await say(3, EgpError.UNSUPP, kind=UNKNOWN_KIND)
    await say(4, EgpError.REJECTED, purpose=PURPOSE + 1)
    stage.user.order("unlisten", purpose=PURPOSE)
    await stage.wait(SOON_PS)
    await say(5, EgpError.REJECTED)
    await circuit.peer.silence(QnpForwardAck)


async def served_without_request(stage: Stage) -> Circuit:
    """The peer's circuit is set up, and nothing is asked for yet."""
    hop = Hop(stage)
    label = label_of(stage, hop.peer.number)
    hop.peer.send(install(label, hop.peer.number, hop_row(LINK, stage.scene.node)))
    await hop.peer.expect(QnpInstalled, circuit=label)
    return Circuit(hop, label, 1, False)


async def listened(stage: Stage, pairs: int = 1, **fields: Any) -> Circuit:
    """The implementation is the tail, and its user listens."""
    stage.user.order("listen", purpose=PURPOSE)
    await stage.wait(SOON_PS)
    return await served(Hop(stage), pairs=pairs, **fields)


@decides("QNP-3", "QNP-4", scene=QPU)
async def the_head_names_its_pairs(stage: Stage) -> None:
    """Each half is tracked at once, with a number of its own and the request; given when the tail's Track comes."""
    circuit = await requested(stage, 2)
    numbers = set()
    for outcome, index in ((MhpOutcome.PSI_PLUS, 2), (MhpOutcome.PSI_MINUS, 3)):
        its = await circuit.half(outcome)
        if (its.bell_index, its.link_bell_index, its.request) != (index, index, circuit.request):
            raise NotMet(f"{its} is of a half of Bell index {index} for request {circuit.request}")
        if not its.pair_id or its.pair_id in numbers:
            raise NotMet(f"{its} names no pair, or one that lives")
        numbers.add(its.pair_id)
        await stage.user.silence("pair")
        circuit.answer(its)
        await stage.user.expect("pair", node=2, purpose=PURPOSE, head=1, pair_id=its.pair_id, bell_index=index)
    await stage.user.silence("pair")


@decides("QNP-3", "QNP-4", scene=QPU)
async def the_tail_takes_the_heads_name(stage: Stage) -> None:
    """A half that comes first is tracked with number 0, one that comes after the head's Track with that one's.  Given
    is what the head said, its Bell index too, which repeaters have changed."""
    stage.user.order("listen", purpose=PURPOSE)
    await stage.wait(SOON_PS)
    hop = Hop(stage)
    label = label_of(stage, 2)
    hop.peer.send(install(label, 7, hop_row(8, 2, 0), hop_row(LINK, 1), position=1))
    await hop.peer.expect(QnpInstalled, circuit=label)
    hop.peer.send(forward(label))
    await hop.peer.expect(QnpForwardAck, accepted=1)
    await hop.ask(label, 2)
    circuit = Circuit(hop, label, 1, False)
    its = await circuit.half()
    if its.pair_id:
        raise NotMet(f"{its} names a pair that the tail has not heard of")
    await stage.user.silence("pair")
    hop.peer.send(track(label, LINK, its.link_sequence, 41, bell_index=BellIndex.PHI_MINUS, request=1))
    await stage.user.expect("pair", node=7, head=7, pair_id=41, bell_index=1)
    hop.peer.send(track(label, LINK, its.link_sequence + 1, 42, bell_index=BellIndex.PHI_PLUS, request=1))
    await stage.user.silence("pair")
    its = await circuit.half()
    if its.pair_id != 42:
        raise NotMet(f"{its} is of pair 42, says the head")
    await stage.user.expect("pair", head=7, pair_id=42, bell_index=0)


@decides("QNP-5", scene=QPU)
async def what_the_peer_gives_up_goes(stage: Stage) -> None:
    """A half that waits is released; of a pair that the user has, the loss is told."""
    circuit = await listened(stage, 2)
    its = await circuit.half()
    circuit.peer.send(QnpDiscard(circuit.label, 0, LINK, its.link_sequence, PairFate.EXPIRED))
    await released(stage, circuit.hop.qubits[its.link_sequence])
    given = await circuit.given()
    circuit.peer.send(QnpDiscard(circuit.label, given.pair_id, LINK, given.sequence, PairFate.EXPIRED))
    await stage.user.expect("pair-lost", pair_id=given.pair_id)


@decides("QNP-6", scene=QPU)
async def what_comes_for_a_circuit_waits_for_it_and_not_longer(stage: Stage) -> None:
    """A Track just before its circuit counts.  A pair that comes after Teardown is released without a word, and a Track
    then changes nothing."""
    other = await listened(stage, 0)
    label = label_of(stage, 2, 2)
    other.peer.send(track(label, LINK, 0, 71, request=2))
    circuit = await served(other.hop, pairs=2, number=2)
    await circuit.half()
    await stage.user.expect("pair", pair_id=71)
    sequence = await circuit.hop.pair()
    circuit.peer.send(QnpTeardown(label, 2, CircuitFate.FINISHED))
    await released(stage, circuit.hop.qubits[sequence])
    await circuit.peer.silence(QnpDiscard, QnpTrack)
    circuit.peer.send(track(label, LINK, sequence, 72, request=1))
    await circuit.peer.silence(*QNP)


@decides("QNP-7", "QNP-5", scene=QPU)
async def a_lost_pair_is_replaced(stage: Stage) -> None:
    """Two are wanted and the second is lost on the way: another is asked for, two are given, and no more.  When the
    user has enough, the peer hears of it."""
    circuit = await requested(stage, 2)
    await circuit.hop.asked(circuit.label)
    await circuit.given()
    its = await circuit.half()
    circuit.peer.send(QnpDiscard(circuit.label, its.pair_id, LINK, its.link_sequence, PairFate.EXPIRED))
    await released(stage, circuit.hop.qubits[its.link_sequence])
    await circuit.hop.asked(circuit.label)
    await circuit.given()
    await circuit.peer.silence(EgpAdd)
    stage.user.order("finish", request=circuit.request)
    await stage.user.expect("no-pairs")
    ended = [s.message for s in circuit.peer.seen if isinstance(s.message, QnpComplete | QnpTeardown)]
    if not ended:
        ended = [await circuit.peer.expect(QnpTeardown)]
    if ended[0].circuit != circuit.label:
        raise NotMet(f"{ended[0]} ends another circuit than {circuit.label}")


@decides("QNP-8", "QNP-5", scene=QPU)
async def a_head_that_closes_discards_first(stage: Stage) -> None:
    """Its half waits for the tail's Track when the user has enough: Discard, then Teardown, and it is released."""
    circuit = await requested(stage, 2)
    its = await circuit.half()
    stage.user.order("finish", request=circuit.request)
    ended = await circuit.peer.expect_seen(QnpTeardown, circuit=circuit.label)
    discarded = await circuit.peer.expect_seen(QnpDiscard, link=LINK, link_sequence=its.link_sequence)
    if discarded.order > ended.order:
        raise NotMet("the Discard comes after the Teardown")
    await released(stage, circuit.hop.qubits[its.link_sequence])


@decides("QNP-8", scene=QPU)
async def a_tail_releases_what_it_has(stage: Stage) -> None:
    """At the head's Teardown a half that was not given goes; one that the user has stays."""
    circuit = await listened(stage, 2)
    given = await circuit.given()
    its = await circuit.half()
    circuit.peer.send(QnpTeardown(circuit.label, 2, CircuitFate.FINISHED))
    await stage.user.expect("finished", node=2)
    await released(stage, circuit.hop.qubits[its.link_sequence])
    await stage.user.silence("pair", "pair-lost")
    stage.user.order("release", qubit=given.qubit)
    await released(stage, given.qubit)


@decides("QNP-9", scene=QPU)
async def ends_that_differ_have_no_pair(stage: Stage) -> None:
    """A Track that names another Bell state of the link's pair, before the half and after it: nothing is given."""
    circuit = await listened(stage, 2)
    its = await circuit.half()
    wrong = {"bell_index": BellIndex.PSI_MINUS, "link_bell_index": BellIndex.PSI_MINUS}
    circuit.answer(its, **wrong)
    await stage.user.silence("pair")
    await released(stage, circuit.hop.qubits[its.link_sequence])
    circuit.answer(its._replace(link_sequence=its.link_sequence + 1), **wrong)
    sequence = await circuit.hop.pair()
    await released(stage, circuit.hop.qubits[sequence])
    await stage.user.silence("pair")


@decides("QNP-10", scene=QPU)
async def a_lost_neighbour_ends_the_circuit(stage: Stage) -> None:
    """The peer restarts: the half that waits is released, the request ends, and nothing of it is said to the peer."""
    circuit = await listened(stage, 1)
    its = await circuit.half()
    circuit.peer.restart()
    circuit.peer.send(forward(circuit.label, 9))
    await stage.user.expect("finished", node=2)
    await released(stage, circuit.hop.qubits[its.link_sequence])
    await circuit.peer.silence(*QNP)


def _of_two(kept: QnpTrack, measured: QnpTrack) -> tuple[int, int]:
    return kept.link_sequence, measured.link_sequence


async def _two_halves(circuit: Circuit) -> QnpPurify:
    """At the head: two link pairs, of which it purifies one."""
    for _ in range(2):
        await circuit.hop.pair()
    return await circuit.peer.expect(QnpPurify, circuit=circuit.label, scope=PurifyScope.LINK)


def _differs(message: QnpPurify) -> int:
    """By how much good outcomes differ, of two |Ψ+⟩ turned so."""
    found = [turned(BellIndex.PSI_PLUS, turn) for turn in (message.kept_turn, message.measured_turn)]
    return (found[0] ^ found[1]) >> 1


@decides("QNP-16", scene=PURIFYING)
async def the_head_purifies(stage: Stage) -> None:
    """Two pairs become one of a name that both know, if the outcomes fit; else both are gone, and others are made.
    What it measured is what it says."""
    circuit = await requested(stage, 1)
    for mine, fits in ((1, False), (0, True)):
        stage.devices.bits = lambda program, bit=mine: bytes([bit])  # type: ignore[misc]
        round_ = await _two_halves(circuit)
        if {round_.kept, round_.measured} != {circuit.hop.sequence - 2, circuit.hop.sequence - 1}:
            raise NotMet(f"{round_} is not of the two pairs that there are")
        if round_.outcome != mine:
            raise NotMet(f"{round_} says another outcome than {mine}, which was measured")
        theirs = mine ^ _differs(round_) ^ (not fits)
        circuit.peer.send(QnpPurifyAck(circuit.label, PurifyScope.LINK, round_.kept, round_.measured, theirs))
        if not fits:
            await released(stage, circuit.hop.qubits[round_.kept])
            await circuit.peer.silence(QnpTrack)
    its = await circuit.peer.expect(QnpTrack, circuit=circuit.label, link_sequence=round_.kept)
    turned_indexes = [turned(BellIndex.PSI_PLUS, t) for t in (round_.kept_turn, round_.measured_turn)]
    if its.bell_index != verdict(Purification.DEJMPS, turned_indexes[0], turned_indexes[1], (mine, theirs)):
        raise NotMet(f"{its} after turns {round_.kept_turn} and {round_.measured_turn} of two |Ψ+⟩")
    circuit.answer(its)
    await stage.user.expect("pair", pair_id=its.pair_id, bell_index=int(its.bell_index))


@decides("QNP-16", scene=QPU)
async def the_tail_does_its_part(stage: Stage) -> None:
    """It turns, measures the pair that the head names, and says what it read; the kept one goes on.  If the head loses
    one of two meanwhile, both are gone."""
    stage.user.order("listen", purpose=PURPOSE)
    await stage.wait(SOON_PS)
    hop = Hop(stage)
    label = label_of(stage, 2)
    hop.peer.send(install(label, 2, hop_row(LINK, 1, rounds=1), method=Purification.DEJMPS))
    await hop.peer.expect(QnpInstalled, circuit=label)
    hop.peer.send(forward(label))
    await hop.peer.expect(QnpForwardAck, accepted=1)
    await hop.ask(label, 4)
    stage.devices.bits = lambda program: b"\1"
    first, second = await hop.pair(), await hop.pair()
    stage.devices.commands.clear()
    hop.peer.send(QnpPurify(label, PurifyScope.LINK, second, first, 12, 12, 1, 0, PairUse.DELIVER))
    await hop.peer.expect(
        QnpPurifyAck, circuit=label, scope=PurifyScope.LINK, kept=second, measured=first, outcome=1
    )
    programs = [c for _, c in stage.devices.commands if isinstance(c, DeviceProgram)]
    measured = [op.qubit for p in programs for op in p.ops if op.opcode == DeviceOpcode.MEASURE]
    if measured != [hop.qubits[first]]:
        raise NotMet(f"the pair of qubit {hop.qubits[first]:#x} was to be measured, not {measured}")
    its = await hop.peer.expect(QnpTrack, circuit=label, link_sequence=second)
    hop.peer.send(track(label, LINK, second, 55, bell_index=its.bell_index, link_bell_index=its.bell_index, request=1))
    await stage.user.expect("pair", pair_id=55)
    first, second = await hop.pair(), await hop.pair()
    hop.peer.send(QnpPurify(label, PurifyScope.LINK, first, second, 12, 12, 0, 0, PairUse.DELIVER))
    await hop.peer.expect(QnpPurifyAck, kept=first, measured=second, outcome=1)
    await hop.peer.silence(QnpTrack)
    await released(stage, hop.qubits[first])


@decides("QNP-1", "QNP-3", scene=SECOND_QPU)
async def a_head_that_does_not_lead_its_link(stage: Stage) -> None:
    """The same, where the other end leads the link."""
    circuit = await requested(stage, 1)
    its = await circuit.half()
    if not its.pair_id or its.request != circuit.request:
        raise NotMet(f"{its} names no pair, or another request")
    circuit.answer(its)
    await stage.user.expect("pair", head=2, pair_id=its.pair_id)




def _touching(qubit: int) -> Callable[[DeviceProgram], bool]:
    return lambda program: any(op.qubit == qubit for op in program.ops)


@decides("QNP-20", scene=QPU)
async def a_test_is_measured_and_told(stage: Stage) -> None:
    """The head's Track names a basis: the tail measures in it, says what it read in Outcome, and gives nothing."""
    circuit = await listened(stage, 3)
    for use, read in ((PairUse.TEST_Z, 1), (PairUse.TEST_X, 0), (PairUse.TEST_Y, 1)):
        its = await circuit.half()
        qubit = circuit.hop.qubits[its.link_sequence]
        stage.devices.bits = lambda program, bit=read: bytes([bit])  # type: ignore[misc]
        number = circuit.answer(its, use=use)
        await circuit.peer.expect(QnpOutcome, circuit=circuit.label, pair_id=number, outcome=read)
        program = await stage.devices.expect(DeviceProgram, where=_touching(qubit))
        turned_before = [op for op in program.ops if op.opcode not in (DeviceOpcode.MEASURE, DeviceOpcode.RELEASE)]
        if not any(op.opcode == DeviceOpcode.MEASURE for op in program.ops):
            raise NotMet(f"for {use.name} the tail does {program}, and measures nothing")
        if bool(turned_before) == (use == PairUse.TEST_Z):
            raise NotMet(f"for {use.name} the tail does {program}")
    await stage.user.silence("pair")


@decides("QNP-21", scene=QPU)
async def a_bank_keeps_pairs_until_they_are_claimed(stage: Stage) -> None:
    """Three are kept, and the fourth is not, for one memory is to stay free.  A Claim gives one to the user, a Discard
    frees another."""
    circuit = await listened(stage, 5)
    banked = []
    for place in range(4):
        its = await circuit.half()
        number = circuit.answer(its, use=PairUse.BANK, request=0)
        if place < 3:
            banked.append((number, its.link_sequence))
            await circuit.peer.silence(QnpDiscard)
        else:
            await circuit.peer.expect(QnpDiscard, link=LINK, link_sequence=its.link_sequence)
            await released(stage, circuit.hop.qubits[its.link_sequence])
    await stage.user.silence("pair")
    (claimed, _), (given_up, sequence), _ = banked
    circuit.peer.send(QnpClaim(circuit.label, claimed, circuit.request))
    await stage.user.expect("pair", pair_id=claimed)
    circuit.peer.send(QnpDiscard(circuit.label, given_up, LINK, sequence, PairFate.EXPIRED))
    await released(stage, circuit.hop.qubits[sequence])
    await stage.user.silence("pair", "pair-lost")


async def _of_kind(stage: Stage, kind: PairKind, pairs: int) -> Circuit:
    """The implementation is the tail of a request of this kind."""
    stage.user.order("listen", purpose=PURPOSE)
    await stage.wait(SOON_PS)
    circuit = await served_without_request(stage)
    circuit.peer.send(forward(circuit.label, kind=kind))
    await circuit.peer.expect(QnpForwardAck, request=1, accepted=1)
    await circuit.hop.ask(circuit.label, pairs)
    return circuit


@decides("QNP-18", scene=QPU)
async def an_early_half_is_given_at_once(stage: Stage) -> None:
    """Before the head's Track, and then it is said of it that it is a pair, or that it will be none: each once."""
    circuit = await _of_kind(stage, PairKind.EARLY, 2)
    for good in (True, False):
        its = await circuit.half()
        qubit = circuit.hop.qubits[its.link_sequence]
        await stage.user.expect("half", purpose=PURPOSE, qubit=qubit)
        await stage.user.silence("pair", "pair-lost", "half")
        if good:
            await stage.user.expect("pair", pair_id=circuit.answer(its), qubit=qubit)
        else:
            circuit.peer.send(QnpDiscard(circuit.label, 0, LINK, its.link_sequence, PairFate.EXPIRED))
            await stage.user.expect("pair-lost", qubit=qubit)
        await stage.user.silence("pair", "pair-lost", "half")
        stage.user.order("release", qubit=qubit)


@decides("QNP-18", scene=QPU)
async def an_early_half_is_given_at_the_head(stage: Stage) -> None:
    """With the Track that it sends, before that of the tail."""
    circuit = await requested(stage, 1, kind="EARLY")
    its = await circuit.half()
    qubit = circuit.hop.qubits[its.link_sequence]
    await stage.user.expect("half", purpose=PURPOSE, qubit=qubit)
    await stage.user.silence("pair")
    circuit.answer(its)
    await stage.user.expect("pair", pair_id=its.pair_id, qubit=qubit)


@decides("QNP-19", scene=QPU)
async def a_half_is_measured_before_it_is_tracked(stage: Stage) -> None:
    """At the tail; what it read is told when the head's Track has come, as it was read."""
    circuit = await _of_kind(stage, PairKind.MEASURE, 2)
    for read in (1, 0):
        stage.devices.bits = lambda program, bit=read: bytes([bit])  # type: ignore[misc]
        its = await circuit.half()
        _measured_before(stage, circuit, its)
        await stage.user.silence("measured", "pair")
        await stage.user.expect("measured", pair_id=circuit.answer(its), outcome=read)


@decides("QNP-19", scene=QPU)
async def the_head_folds_the_frame_into_its_outcome(stage: Stage) -> None:
    """Of |Ψ±⟩ in Z and X it tells what a |Φ+⟩ would have shown."""
    circuit = await requested(stage, 6, kind="MEASURE", bases="XZ")
    for turn in range(6):
        read = turn & 1
        stage.devices.bits = lambda program, bit=read: bytes([bit])  # type: ignore[misc]
        its = await circuit.half(MhpOutcome.PSI_MINUS if turn & 2 else MhpOutcome.PSI_PLUS)
        _measured_before(stage, circuit, its)
        circuit.answer(its)
        told = await stage.user.expect("measured", pair_id=its.pair_id)
        flip = its.bell_index >> 1 if told["basis"] == "Z" else its.bell_index & 1
        if told["outcome"] != read ^ flip:
            raise NotMet(f"{told} of {its}, of which {read} was read")


def _measured_before(stage: Stage, circuit: Circuit, its: QnpTrack) -> None:
    qubit = circuit.hop.qubits[its.link_sequence]
    programs = [command for _, command in stage.devices.commands if isinstance(command, DeviceProgram)]
    if not any(op.opcode == DeviceOpcode.MEASURE and op.qubit == qubit for p in programs for op in p.ops):
        raise NotMet(f"{its} is sent, and its half has not been measured")
