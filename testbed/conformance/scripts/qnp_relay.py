"""Scripts for QNP on circuits of many hops: repeaters between nodes 1 and 3, and heads that have several ways."""

from typing import Any, Final, NamedTuple

from protocols.bell import compose, measured
from protocols.wire import (
    BellIndex,
    CircuitFate,
    CircuitHop,
    DeviceProgram,
    EgpAdd,
    MhpOutcome,
    PairFate,
    QnpDiscard,
    QnpForward,
    QnpForwardAck,
    QnpInstall,
    QnpInstalled,
    QnpReach,
    QnpRefresh,
    QnpTeardown,
    QnpTrack,
    QnpWant,
)
from protocols.wire.codec import DeviceOpcode
from testbed.conformance.scene import (
    CROSSROADS,
    FULL,
    LINK,
    MS,
    PAIRS_PER_KS,
    REFRESH_PS,
    REPEATER,
    ROUTER,
    ROUTING,
)
from testbed.conformance.scripts import decides
from testbed.conformance.scripts.circuits import (
    LAST,
    PURPOSE,
    Hop,
    hop_row,
    install,
    label_of,
    released,
    track,
)
from testbed.conformance.scripts.neighbours import FAR, TOLD_PS, advert_of, hears_no_more, link_to, up
from testbed.conformance.stage import SOON_PS, NotMet, Peer, Stage

SECOND: Final = 2
"""The link away from the head."""
LIFETIME_PS: Final = 3 * REFRESH_PS


class Through(NamedTuple):
    """A circuit through the implementation."""

    up: int
    """Its label towards the head."""
    down: int
    first: Hop
    second: Hop


def _route(*ranks: int, rate: int = 0, **fields: Any) -> tuple[CircuitHop, ...]:
    """From node 1 over the implementation to node 3; or with a hop before and one behind."""
    if len(ranks) == 1:
        return hop_row(LINK, 2, ranks[0]), hop_row(SECOND, 3, **fields)
    before, here, behind = ranks
    return hop_row(8, 1, before), hop_row(LINK, 2, here), hop_row(SECOND, 3, behind), hop_row(9, 4)


async def _passed_on(stage: Stage, label: int, message: QnpInstall) -> QnpInstall:
    """An Install that is passed on: the same circuit, one step further, under a label of the implementation's."""
    stage.peers[1].send(message)
    onward = await stage.peers[3].expect(QnpInstall)
    wanted = message._replace(circuit=onward.circuit, position=message.position + 1)
    if onward != wanted:
        raise NotMet(f"{onward} comes of {message}")
    return onward


async def _through(stage: Stage, pairs: int = 4, ranks: tuple[int, ...] = (0,), **fields: Any) -> Through:
    """Set up as far as the tail, with pairs asked for on both links."""
    first, second = Hop(stage, LINK), Hop(stage, SECOND)
    label = label_of(stage, 1)
    head, position = (1, 0) if len(ranks) == 1 else (7, 1)
    onward = await _passed_on(stage, label, install(label, head, *_route(*ranks), position=position, **fields))
    stage.peers[3].send(QnpInstalled(onward.circuit))
    await stage.peers[1].expect(QnpInstalled, circuit=label)
    stage.peers[1].send(QnpWant(label, pairs))
    await second.asked(onward.circuit)
    await first.ask(label, pairs)
    return Through(label, onward.circuit, first, second)


def _swaps(stage: Stage) -> list[DeviceProgram]:
    programs = [command for _, command in stage.devices.commands if isinstance(command, DeviceProgram)]
    return [p for p in programs if sum(op.opcode == DeviceOpcode.MEASURE for op in p.ops) == 2]


async def _swapped(stage: Stage, *qubits: int) -> None:
    """A Bell measurement of these two, which are released."""
    deadline = stage.now + SOON_PS + stage.ground.slack_ps
    while not (found := _swaps(stage)):
        if stage.now >= deadline:
            raise NotMet(f"the qubits {qubits} are not swapped")
        await stage.step(deadline)
    program = found[0]
    stage.devices.commands = [(at, command) for at, command in stage.devices.commands if command is not program]
    read = [op.qubit for op in program.ops if op.opcode == DeviceOpcode.MEASURE]
    let_go = [op.qubit for op in program.ops if op.opcode == DeviceOpcode.RELEASE]
    if not sorted(read) == sorted(let_go) == sorted(qubits):
        raise NotMet(f"a swap measures {read} and releases {let_go}, not both {qubits}")


@decides("QNP-1", "QNP-12", scene=REPEATER)
async def an_install_is_passed_on_and_pairs_wait(stage: Stage) -> None:
    """On to the next node, and Installed back; before that no pair is asked of the link, whatever the head wants."""
    label = label_of(stage, 1)
    onward = await _passed_on(stage, label, install(label, 1, *_route(0)))
    if onward.circuit % 2 or not 0 < onward.circuit < 0x8000:
        raise NotMet(f"{onward} has a label that is not the implementation's to give")
    await stage.peers[1].silence(QnpInstalled)
    stage.peers[1].send(QnpWant(label, 2))
    await stage.peers[3].silence(EgpAdd, during=2 * SOON_PS)
    hop = Hop(stage, SECOND)
    stage.peers[3].send(QnpInstalled(onward.circuit))
    await stage.peers[1].expect(QnpInstalled, circuit=label)
    await hop.asked(onward.circuit)


async def _refused(stage: Stage, message: QnpInstall, fate: CircuitFate, peer: int = 1) -> None:
    stage.peers[peer].send(message)
    row: dict[str, Any] = {"circuit": message.circuit, "node": stage.scene.node, "fate": fate}
    await stage.peers[peer].expect(QnpTeardown, **row)
    for number in stage.peers:
        await stage.peers[number].silence(QnpInstall, QnpInstalled, during=0)


@decides("QNP-12", scene=REPEATER)
async def what_it_cannot_do_is_refused(stage: Stage) -> None:
    """A route past it, over a link that it has not; a label in use, or above; too good, too fast, one too many."""
    numbers = iter(range(2, 99))

    def label() -> int:
        return label_of(stage, 1, next(numbers))

    here = hop_row(LINK, 2, 0)
    for hops in (
        (hop_row(LINK, 5, 0), hop_row(SECOND, 3)),
        (hop_row(7, 2, 0), hop_row(SECOND, 3)),
        (here, hop_row(7, 3)),
        (here, hop_row(SECOND, 4)),
    ):
        await _refused(stage, install(label(), 1, *hops), CircuitFate.NOT_HERE)
    good = install(label_of(stage, 1), 1, *_route(0))
    await _passed_on(stage, good.circuit, good)
    for used in (good.circuit, 0x8000 + label(), label_of(stage, 3)):
        await _refused(stage, good._replace(circuit=used, number=9), CircuitFate.IN_USE)
    await _refused(stage, install(label(), 1, here, hop_row(SECOND, 3, minimum_fidelity=FULL)), CircuitFate.FIDELITY)
    row: dict[str, Any] = {"pairs_per_ks": PAIRS_PER_KS + 1}
    await _refused(stage, install(label(), 1, *_route(0), **row), CircuitFate.NO_RATE)
    for _ in range(2):
        one = install(label(), 1, *_route(0), pairs_per_ks=PAIRS_PER_KS // 4)
        await _passed_on(stage, one.circuit, one)
    await _refused(stage, install(label(), 1, *_route(0), pairs_per_ks=1), CircuitFate.NO_MEMORY)


@decides("QNP-12", scene=CROSSROADS)
async def a_node_that_cannot_swap_says_so(stage: Stage) -> None:
    """A QPU in the middle of a route."""
    label = label_of(stage, 2)
    await _refused(stage, install(label, 2, hop_row(LINK, 1, 0), hop_row(2, 4)), CircuitFate.NO_REPEATER, 2)


@decides("QNP-13", scene=REPEATER)
async def a_repeater_swaps_and_passes_tracks_on(stage: Stage) -> None:
    """It swaps as soon as it has both halves, before any Track.  Tracks of both sides go on, about the other link's
    pair, with the swap and that pair's own Bell index in theirs."""
    circuit = await _through(stage)
    plus, minus = MhpOutcome.PSI_PLUS, MhpOutcome.PSI_MINUS
    cases = (0, 1, plus, minus, False), (1, 1, minus, plus, True)
    for turn, (m1, m2, first, second, early) in enumerate(cases):
        stage.devices.bits = lambda program, bits=(m1, m2): bytes(bits)  # type: ignore[misc]
        left, right = (BellIndex(2 + (outcome == MhpOutcome.PSI_MINUS)) for outcome in (first, second))
        a = await circuit.first.pair(first)
        head = track(circuit.up, LINK, a, 30 + turn, bell_index=left, link_bell_index=left, request=5)
        if early:
            stage.peers[1].send(head)
        await stage.peers[3].silence(QnpTrack)
        b = await circuit.second.pair(second)
        await _swapped(stage, circuit.first.qubits[a], circuit.second.qubits[b])
        if not early:
            await stage.peers[3].silence(QnpTrack)
            stage.peers[1].send(head)
        whole = compose(left, measured(m1, m2), right)
        row: dict[str, Any] = {"circuit": circuit.down, "link": SECOND, "link_sequence": b, "bell_index": whole}
        await stage.peers[3].expect(QnpTrack, pair_id=30 + turn, request=5, link_bell_index=right, **row)
        stage.peers[3].send(track(circuit.down, SECOND, b, bell_index=right, link_bell_index=right))
        row = {"circuit": circuit.up, "link": LINK, "link_sequence": a, "bell_index": whole, "link_bell_index": left}
        await stage.peers[1].expect(QnpTrack, pair_id=0, **row)


@decides("QNP-13", scene=REPEATER)
async def ranks_make_it_wait(stage: Stage) -> None:
    """Between two nodes of a lower rank it swaps when both chains have grown beyond them, and not when one has."""
    circuit = await _through(stage, 1, (0, 1, 0))
    a, b = await circuit.first.pair(), await circuit.second.pair()
    for peer, label, link, sequence in ((1, circuit.up, LINK, a), (3, circuit.down, SECOND, b)):
        await stage.wait(SOON_PS)
        if _swaps(stage):
            raise NotMet("it swaps before both chains reach to a node of a higher rank")
        stage.peers[peer].send(QnpReach(label, link, sequence, LAST))
    await _swapped(stage, circuit.first.qubits[a], circuit.second.qubits[b])


@decides("QNP-9", scene=REPEATER)
async def a_pair_that_differs_is_not_swapped(stage: Stage) -> None:
    """Node 1 names another Bell state of the first link's pair: no swap when the second comes, and Discard."""
    circuit = await _through(stage)
    a = await circuit.first.pair()
    wrong = {"bell_index": BellIndex.PSI_MINUS, "link_bell_index": BellIndex.PSI_MINUS}
    stage.peers[1].send(track(circuit.up, LINK, a, 31, **wrong))
    await stage.peers[1].expect(QnpDiscard, link=LINK, link_sequence=a)
    await circuit.second.pair()
    await stage.wait(SOON_PS)
    if _swaps(stage):
        raise NotMet("it swaps a pair of which both ends name different Bell states")


@decides("QNP-5", scene=REPEATER)
async def a_discard_goes_on_past_the_swap(stage: Stage) -> None:
    """What node 1 gives up after the swap is told to node 3, about the pair of its link; before it, it is released."""
    circuit = await _through(stage)
    a, b = await circuit.first.pair(), await circuit.second.pair()
    await _swapped(stage, circuit.first.qubits[a], circuit.second.qubits[b])
    stage.peers[1].send(track(circuit.up, LINK, a, 30, request=5))
    await stage.peers[3].expect(QnpTrack, pair_id=30, link_sequence=b)
    stage.peers[1].send(QnpDiscard(circuit.up, 0, LINK, a, PairFate.CUTOFF))
    await stage.peers[3].expect(QnpDiscard, circuit=circuit.down, link=SECOND, link_sequence=b)
    a = await circuit.first.pair()
    stage.peers[1].send(QnpDiscard(circuit.up, 0, LINK, a, PairFate.CUTOFF))
    await released(stage, circuit.first.qubits[a])
    await stage.peers[3].silence(QnpDiscard)


@decides("QNP-5", "QNP-7", scene=REPEATER)
async def a_half_that_waits_too_long_is_given_up(stage: Stage) -> None:
    """At the cutoff: Discard on its hop, and released.  Of the second link, which it asks for, another is made."""
    cutoff_ps = 800 * MS
    circuit = await _through(stage, cutoff_ps=cutoff_ps)
    a = await circuit.first.pair()
    await stage.peers[1].silence(QnpDiscard, during=cutoff_ps - SOON_PS)
    await stage.peers[1].expect(QnpDiscard, 2 * SOON_PS, circuit=circuit.up, link=LINK, link_sequence=a)
    await released(stage, circuit.first.qubits[a])
    b = await circuit.second.pair()
    await stage.peers[3].expect(QnpDiscard, cutoff_ps + 2 * SOON_PS, link=SECOND, link_sequence=b)
    await circuit.second.asked(circuit.down)


@decides("QNP-8", scene=REPEATER)
async def a_repeater_passes_teardown_on(stage: Stage) -> None:
    """From either side: to the other, with its fate; what waits is released."""
    circuit = await _through(stage)
    a = await circuit.first.pair()
    stage.peers[3].send(QnpTeardown(circuit.down, 3, CircuitFate.PREEMPTED))
    row: dict[str, Any] = {"circuit": circuit.up, "node": 3, "fate": CircuitFate.PREEMPTED}
    await stage.peers[1].expect(QnpTeardown, **row)
    await released(stage, circuit.first.qubits[a])


@decides("QNP-10", scene=REPEATER)
async def a_lost_neighbour_is_told_beyond(stage: Stage) -> None:
    """Node 1 restarts: Teardown to node 3, and nothing to node 1."""
    circuit = await _through(stage)
    a = await circuit.first.pair()
    await stage.wait(SOON_PS)
    stage.peers[1].restart()
    stage.peers[1].send(QnpRefresh(circuit.up))
    await stage.peers[3].expect(QnpTeardown, circuit=circuit.down, node=2, fate=CircuitFate.PEER_LOST)
    await released(stage, circuit.first.qubits[a])
    await stage.peers[1].silence(QnpTeardown, QnpDiscard)


@decides("QNP-11", scene=REPEATER)
async def a_circuit_that_is_silent_ends(stage: Stage) -> None:
    """Refreshed, it stays and passes Refresh on; three periods after the last, Teardown both ways."""
    circuit = await _through(stage)
    for _ in range(3):
        await stage.wait(2 * REFRESH_PS)
        stage.peers[1].send(QnpRefresh(circuit.up))
        await stage.peers[3].expect(QnpRefresh, circuit=circuit.down)
    await stage.peers[1].silence(QnpTeardown, during=LIFETIME_PS - 2 * SOON_PS)
    for peer, label in ((1, circuit.up), (3, circuit.down)):
        await stage.peers[peer].expect(QnpTeardown, 3 * SOON_PS, circuit=label, fate=CircuitFate.SILENT)


@decides("QNP-11", scene=CROSSROADS)
async def a_head_names_the_route_and_refreshes(stage: Stage) -> None:
    """One Install with both hops, then a Refresh a period, as long as the request lives."""
    stage.user.order("request", node=3, purpose=PURPOSE)
    request = (await stage.user.expect("requested"))["request"]
    message = await stage.peers[2].expect(QnpInstall, head=1, position=0)
    if [(hop.link, hop.node) for hop in message.hops] != [(LINK, 2), (3, 3)]:
        raise NotMet(f"{message} does not name the way over links 1 and 3 to nodes 2 and 3")
    stage.peers[2].send(QnpInstalled(message.circuit))
    for _ in range(3):
        await stage.peers[2].expect(QnpRefresh, REFRESH_PS + SOON_PS, circuit=message.circuit)
    await stage.peers[2].silence(QnpInstall, during=0)
    stage.user.order("finish", request=request)
    await stage.peers[2].expect(QnpTeardown, circuit=message.circuit, fate=CircuitFate.FINISHED)
    await stage.peers[2].silence(QnpRefresh, during=2 * REFRESH_PS)


@decides("QNP-14", scene=REPEATER)
async def the_lowest_go_first_and_no_more_than_needed(stage: Stage) -> None:
    """Two circuits with a rate fill the memories, of priorities 2 and 1; one of 3 takes the place of that of 1, which
    is told both ways.  Another of 1 is refused."""
    made = {}
    for number, priority in ((1, 2), (2, 1), (3, 3)):
        label = label_of(stage, 1, number)
        row: dict[str, Any] = {"pairs_per_ks": PAIRS_PER_KS // 4, "priority": priority, "number": number}
        onward = await _passed_on(stage, label, install(label, 1, *_route(0), **row))
        made[priority] = (label, onward.circuit)
        if priority == 3:
            for peer, lost in zip((1, 3), made[1], strict=True):
                await stage.peers[peer].expect(QnpTeardown, circuit=lost, fate=CircuitFate.PREEMPTED)
            for peer in (1, 3):
                await stage.peers[peer].silence(QnpTeardown)
    again = install(label_of(stage, 1, 4), 1, *_route(0), pairs_per_ks=PAIRS_PER_KS // 4, priority=1, number=4)
    await _refused(stage, again, CircuitFate.NO_MEMORY)


async def _tried(stage: Stage, peer: Peer, within: int = SOON_PS) -> QnpInstall:
    """The head sets a circuit up over this neighbour."""
    message = await peer.expect(QnpInstall, within)
    await peer.expect(QnpForward, circuit=message.circuit)
    return message


@decides("QNP-15", scene=CROSSROADS)
async def another_way_is_tried(stage: Stage) -> None:
    """Node 2 refuses, and a circuit over node 4 that was open fails: the cause is told when there is no other way."""
    stage.user.order("request", node=3, purpose=PURPOSE)
    request = (await stage.user.expect("requested"))["request"]
    stage.user.order("want", request=request, number=1)
    first = await _tried(stage, stage.peers[2])
    stage.peers[2].send(QnpTeardown(first.circuit, 2, CircuitFate.NO_RATE))
    second = await _tried(stage, stage.peers[4])
    if [(hop.link, hop.node) for hop in second.hops] != [(2, 4), (4, 3)]:
        raise NotMet(f"{second} is not the way over node 4")
    await stage.user.silence("no-pairs")
    hop = Hop(stage, 2)
    stage.peers[4].send(QnpInstalled(second.circuit))
    stage.peers[4].send(QnpForwardAck(second.circuit, request, 1, 0))
    await hop.asked(second.circuit)
    stage.peers[4].send(QnpTeardown(second.circuit, 4, CircuitFate.LINK_FAILED))
    told = await stage.user.expect("no-pairs", node=3, purpose=PURPOSE)
    if told["cause"] in ("SATISFIED", "FINISHED", "COMPLETE"):
        raise NotMet(f"the user is told {told}, and has no pair")
    for peer in stage.peers.values():
        await peer.silence(QnpInstall)


@decides("QNP-17", scene=ROUTER)
async def a_request_waits_for_a_way(stage: Stage) -> None:
    """Node 3 is not there yet, then its link comes up: a circuit.  To a node that nobody knows: the end, when the
    node's patience is over, and not before."""
    patience_ps = ROUTING["patience_ps"]
    stage.user.order("request", node=3, purpose=PURPOSE)
    stage.user.order("request", node=77, purpose=PURPOSE + 1)
    await stage.wait(patience_ps // 2)
    (side,) = await up(stage, 3)
    side.peer.send(advert_of(1, 3, links=(link_to(SECOND, 2),)))
    await _tried(stage, side.peer, 3 * TOLD_PS)
    await stage.user.silence("no-pairs", during=patience_ps // 2 - 20 * SOON_PS)
    await stage.user.expect("no-pairs", 30 * SOON_PS, node=77, purpose=PURPOSE + 1)


@decides("QNP-17", scene=ROUTER)
async def a_way_that_failed_is_not_tried_for_ever(stage: Stage) -> None:
    """Node 3 says each time that a neighbour is gone: three tries at most, before a pause.  A link that was down is a
    new one, at once."""
    (side,) = await up(stage, 3)
    side.peer.send(advert_of(1, 3, links=(link_to(SECOND, 2),)))
    await stage.wait(2 * TOLD_PS)  # the link is no news any more
    stage.user.order("request", node=3, purpose=PURPOSE)
    tries = []

    def refuse(message: Any) -> bool:
        if isinstance(message, QnpInstall):
            tries.append(message)
            side.peer.send(QnpTeardown(message.circuit, 3, CircuitFate.PEER_LOST))
        return isinstance(message, QnpInstall)

    side.peer.takers.append(refuse)
    for sequence in range(2, 6):  # whoever waits may think that something has changed
        links = (link_to(SECOND, 2), link_to(7, FAR))[: 1 + sequence % 2]
        side.peer.send(advert_of(sequence, 3, links=links))
        await stage.wait(TOLD_PS)
    if not 1 < len(tries) < 4:
        raise NotMet(f"a way that fails each time is tried {len(tries)} times")
    side.peer.takers.remove(refuse)
    await hears_no_more(stage, side)
    await stage.wait(TOLD_PS)
    side.hello()
    await _tried(stage, stage.peers[3], 2 * TOLD_PS)

