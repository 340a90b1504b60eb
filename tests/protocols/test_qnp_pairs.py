"""QNP between two neighbours: what becomes of link pairs, and of the halves at both ends (QNP-3 to QNP-9)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qnp_lab import (
    DELAY_PS,
    FIDELITY,
    HEAD,
    LINK,
    PURPOSE,
    TAIL,
    a_track,
    arrive,
    half,
    net,
    open_circuit,
    qnp,
    released,
)

from protocols.ignored import Ignored
from protocols.machine import Send
from protocols.pairs import Pair, ReleaseQubit
from protocols.qnp.node import HOLD_PS, Qnp
from protocols.qnp.service import (
    CircuitClosed,
    CircuitId,
    CircuitOpened,
    InUse,
    NeedLinkPairs,
    PairDelivered,
    PairLost,
    RequestEnded,
    RequestOpened,
    StopLinkPairs,
)
from protocols.qnp.shared import TimerKind
from protocols.qnp.states import CircuitInput
from protocols.wire.codec import (
    BellIndex,
    CircuitFate,
    EgpError,
    PairFate,
    QnpDiscard,
    QnpForward,
    QnpInstall,
    QnpTeardown,
    QnpTrack,
)

# Pairs.


@pytest.mark.parametrize("first", [HEAD, TAIL])
@pytest.mark.parametrize("index", list(BellIndex))
def test_a_pair_goes_up_when_both_ends_hold_it(first: int, index: BellIndex) -> None:
    """QNP-3, QNP-4, QNP-7."""
    network = net()
    request, circuit = open_circuit(network, 1)
    tail_circuit = CircuitId(HEAD, circuit.label)
    second = TAIL if first == HEAD else HEAD
    arrive(network, first, circuit, 40, index)
    assert network.of(HEAD, PairDelivered) == network.of(TAIL, PairDelivered) == []
    begin = network.now
    arrive(network, second, circuit, 40, index)
    for end, peer, known, qubit in ((HEAD, TAIL, circuit, 100_040), (TAIL, HEAD, tail_circuit, 200_040)):
        (delivered,) = network.of(end, PairDelivered)
        goodness = delivered.pair.goodness
        assert delivered == PairDelivered(known, request, peer, PURPOSE, Pair(HEAD, 1, index, qubit, goodness), 5)
        assert abs(goodness - (4_000_000_000 - peer)) <= 3  # what the peer's Track says, rounded
    # The end that knew last delivers at once; nobody waits for a round trip.
    assert network.now - begin <= 2 * DELAY_PS
    tracks = network.messages(QnpTrack)
    assert {track.pair_id for track in tracks} == ({1} if first == HEAD else {0, 1})
    assert {(track.link, track.link_sequence, track.bell_index) for track in tracks} == {(LINK, 40, index)}
    assert network.messages(QnpTeardown) == [QnpTeardown(circuit.label, HEAD, CircuitFate.FINISHED)]
    for node, cause in ((HEAD, CircuitInput.SATISFIED), (TAIL, CircuitInput.COMPLETE)):
        (ended,) = network.of(node, RequestEnded)
        assert (ended.delivered, ended.cause, ended.error) == (1, cause, None)
        assert network.of(node, ReleaseQubit) == []


def test_the_tail_delivers_before_the_head_can_use_its_half() -> None:
    """The Track that lets the tail deliver stands before whatever the head sends about the pair."""
    network = net()
    _, circuit = open_circuit(network, 1)
    qnp(network, TAIL).link_pair(half(circuit, 1, TAIL), network.now)
    network.run(until=network.now + 3 * DELAY_PS)
    qnp(network, HEAD).link_pair(half(circuit, 1, HEAD), network.now)
    network.run(until=network.now)
    assert len(network.of(HEAD, PairDelivered)) == 1
    kinds = [type(message) for _, source, _, message in network.sent if source == HEAD]
    assert kinds == [QnpInstall, QnpForward, QnpTrack, QnpTeardown]


def test_pair_ids_differ_across_circuits() -> None:
    """QNP-3: (head, pair_id) alone names a pair."""
    network = net()
    qnp(network, TAIL).listen(PURPOSE + 1)
    first = open_circuit(network, 2)[1]
    for node in (HEAD, TAIL):
        arrive(network, node, first, 9)
        arrive(network, node, first, 10)
    circuits = [open_circuit(network, 2)[1]]
    assert circuits != [first]
    for sequence, circuit in enumerate(circuits * 2):
        arrive(network, HEAD, circuit, sequence)
        arrive(network, TAIL, circuit, sequence)
    names = [event.pair.pair_id for event in network.of(HEAD, PairDelivered)]
    assert names == [1, 2, 3, 4]
    assert [event.pair.pair_id for event in network.of(TAIL, PairDelivered)] == names


def test_both_ends_may_be_heads_at_once() -> None:
    network = net()
    qnp(network, HEAD).listen(PURPOSE)
    qnp(network, HEAD).request(TAIL, PURPOSE, 1, FIDELITY, now=0)
    qnp(network, TAIL).request(HEAD, PURPOSE, 1, FIDELITY, now=0)
    network.run()
    labels = [event.circuit.label for event in network.of(HEAD, RequestOpened)]
    assert sorted(labels) == [2, 3]
    for sequence, label in enumerate(labels):
        arrive(network, HEAD, CircuitId(TAIL, label), sequence)
        arrive(network, TAIL, CircuitId(HEAD, label), sequence)
    mine = [event.pair[:3] for event in network.of(HEAD, PairDelivered)]
    assert mine == [event.pair[:3] for event in network.of(TAIL, PairDelivered)]
    assert {head for head, _, _ in mine} == {HEAD, TAIL}


def test_ends_that_disagree_deliver_nothing() -> None:
    """QNP-9, QNP-7."""
    network = net()
    _, circuit = open_circuit(network, 1)
    arrive(network, HEAD, circuit, 1, BellIndex.PSI_PLUS)
    arrive(network, TAIL, circuit, 1, BellIndex.PSI_MINUS)
    assert network.of(HEAD, PairDelivered) == network.of(TAIL, PairDelivered) == []
    assert released(network, HEAD) == released(network, TAIL) == [1]
    assert [event.reason for event in network.of(TAIL, Ignored)] == [f"link pair 1 of link {LINK} is another one there"]
    assert [need.number for need in network.of(HEAD, NeedLinkPairs)] == [1, 1]


def test_a_sequence_number_that_comes_round_is_a_new_pair() -> None:
    """QNP-4: nothing of the old pair sticks to the new one."""
    network = net()
    _, circuit = open_circuit(network, 2)
    for index in (BellIndex.PSI_PLUS, BellIndex.PSI_MINUS):
        for node in (HEAD, TAIL):
            qubit = half(circuit, 7, node, index)._replace(qubit=index * 10 + node)
            qnp(network, node).link_pair(qubit, network.now)
            network.run()
    for node in (HEAD, TAIL):
        pairs = [event.pair for event in network.of(node, PairDelivered)]
        assert [(pair.pair_id, pair.bell_index, pair.qubit) for pair in pairs] == [
            (1, 2, 20 + node),
            (2, 3, 30 + node),
        ]


def test_surplus_pairs_are_given_up_at_both_ends() -> None:
    """QNP-7."""
    network = net()
    _, circuit = open_circuit(network, 1)
    for sequence in (1, 2):
        qnp(network, HEAD).link_pair(half(circuit, sequence, HEAD), network.now)
    network.run(until=network.now + DELAY_PS)
    for sequence in (2, 1):
        qnp(network, TAIL).link_pair(half(circuit, sequence, TAIL), network.now)
    network.run()
    assert released(network, HEAD) == released(network, TAIL) == [2]
    assert [event.pair.qubit for event in network.of(HEAD, PairDelivered)] == [100_001]


# Losses.


@pytest.mark.parametrize(("end", "other"), [(HEAD, TAIL), (TAIL, HEAD)])
def test_a_pair_that_expires_before_its_delivery_is_replaced(end: int, other: int) -> None:
    """QNP-5, QNP-7: the other end never had its half."""
    network = net()
    _, circuit = open_circuit(network, 1)
    arrive(network, end, circuit, 1)
    qnp(network, end).link_expired(LINK, 1, network.now)
    network.run()
    assert released(network, end) == [1]
    assert len(network.messages(QnpDiscard)) == 1
    # Seen from the head, a half that never came here is still owed by the link layer.
    asked = [need.number for need in network.of(HEAD, NeedLinkPairs)]
    assert asked == ([1, 1] if end == HEAD else [1])
    arrive(network, end, circuit, 2)
    arrive(network, other, circuit, 2)
    for node in (HEAD, TAIL):
        assert [event.pair.qubit for event in network.of(node, PairDelivered)] == [node * 100_000 + 2]


@pytest.mark.parametrize("end", [HEAD, TAIL])
def test_a_pair_that_expires_after_its_delivery_is_reported_at_both_ends(end: int) -> None:
    """QNP-5."""
    network = net()
    _, circuit = open_circuit(network, 2)
    for node in (HEAD, TAIL):
        arrive(network, node, circuit, 1)
    qnp(network, end).link_expired(LINK, 1, network.now)
    network.run()
    for node in (HEAD, TAIL):
        (lost,) = network.of(node, PairLost)
        assert lost.pair == network.of(node, PairDelivered)[0].pair
        assert network.of(node, ReleaseQubit) == []  # the qubit is the user's


def test_a_half_that_comes_after_its_discard_is_released() -> None:
    """QNP-5."""
    network = net()
    _, circuit = open_circuit(network, 1)
    arrive(network, TAIL, circuit, 1)
    qnp(network, TAIL).link_expired(LINK, 1, network.now)
    network.run(until=network.now + DELAY_PS)
    qnp(network, HEAD).link_pair(half(circuit, 1, HEAD), network.now)
    network.run()
    assert released(network, HEAD) == [1]
    assert [need.number for need in network.of(HEAD, NeedLinkPairs)] == [1, 1]


def test_a_late_track_of_a_discarded_pair_is_swallowed() -> None:
    """QNP-5: it must not meet the next pair of that number."""
    network = net()
    _, circuit = open_circuit(network, 2)
    qnp(network, HEAD).link_pair(half(circuit, 1, HEAD), network.now)
    qnp(network, TAIL).link_pair(half(circuit, 1, TAIL), network.now)
    qnp(network, HEAD).link_expired(LINK, 1, network.now)  # before the tail's Track is here
    network.run()
    (lost,) = network.of(TAIL, PairLost)
    assert lost.pair.qubit == 200_001
    assert network.of(HEAD, PairDelivered) == []
    arrive(network, HEAD, circuit, 1)
    assert network.of(HEAD, PairDelivered) == []
    arrive(network, TAIL, circuit, 1)
    assert [event.pair.pair_id for event in network.of(HEAD, PairDelivered)] == [2]
    assert [event.pair.pair_id for event in network.of(TAIL, PairDelivered)] == [1, 2]


def test_what_the_link_layer_dropped_is_asked_for_anew() -> None:
    """QNP-7."""
    network = net()
    _, circuit = open_circuit(network, 5)
    for node in (HEAD, TAIL):
        arrive(network, node, circuit, 1)
    qnp(network, HEAD).link_failed(LINK, circuit.label, EgpError.EXPIRE, 4, network.now)
    network.run()
    assert [need.number for need in network.of(HEAD, NeedLinkPairs)] == [5, 4]


def test_another_link_error_ends_the_request() -> None:
    """QNP-8."""
    network = net()
    request, circuit = open_circuit(network, 5)
    arrive(network, HEAD, circuit, 1)
    arrive(network, TAIL, circuit, 2)
    qnp(network, TAIL).link_failed(LINK, circuit.label, EgpError.NORES, 5, network.now)
    qnp(network, HEAD).link_failed(LINK, circuit.label, EgpError.NORES, 5, network.now)
    network.run()
    (ended,) = network.of(HEAD, RequestEnded)
    assert (ended.request, ended.cause, ended.error) == (request, CircuitInput.LINK_FAILED, EgpError.NORES)
    assert network.of(TAIL, RequestEnded)[0].cause is CircuitInput.LINK_FAILED
    assert (released(network, HEAD), released(network, TAIL)) == ([1], [2])


def test_finishing_tells_the_tail_of_each_undelivered_half() -> None:
    """QNP-8: the tail may have delivered what the head gives up."""
    network = net()
    request, circuit = open_circuit(network, 3)
    arrive(network, HEAD, circuit, 1)
    qnp(network, TAIL).link_pair(half(circuit, 1, TAIL), network.now)
    qnp(network, HEAD).finish(request, network.now)
    network.run()
    assert [event.pair.qubit for event in network.of(TAIL, PairDelivered)] == [200_001]
    assert [event.pair.qubit for event in network.of(TAIL, PairLost)] == [200_001]
    assert network.of(HEAD, PairDelivered) == []
    assert released(network, HEAD) == [1]
    assert network.of(HEAD, StopLinkPairs) == [StopLinkPairs(LINK, circuit.label)]
    assert network.of(HEAD, RequestEnded)[0].cause is CircuitInput.FINISHED
    qnp(network, HEAD).finish(request, network.now)  # again: no error
    assert qnp(network, HEAD).poll(network.now) == []


def test_finishing_before_the_answer() -> None:
    network = net()
    request = qnp(network, HEAD).request(TAIL, PURPOSE, 1, FIDELITY, now=0)
    qnp(network, HEAD).finish(request, now=0)
    network.run()
    assert [type(event) for event in network.events[HEAD]] == [InUse, RequestEnded, CircuitClosed, InUse]
    ends = [InUse, CircuitOpened, RequestOpened, RequestEnded, CircuitClosed, InUse]
    assert [type(event) for event in network.events[TAIL]] == ends
    refused = qnp(network, HEAD).request(TAIL, PURPOSE + 1, 1, FIDELITY, network.now)
    qnp(network, HEAD).finish(refused, network.now)
    network.run()
    assert network.of(TAIL, Ignored) == network.of(HEAD, Ignored) == []


def test_an_open_ended_request_lasts_until_it_is_finished() -> None:
    network = net()
    request, circuit = open_circuit(network, 0)
    assert network.of(HEAD, NeedLinkPairs) == []
    for sequence in range(3):
        qnp(network, HEAD).want(request, 1, network.now)
        network.run()
        for node in (HEAD, TAIL):
            arrive(network, node, circuit, sequence)
    assert [need.number for need in network.of(HEAD, NeedLinkPairs)] == [1, 1, 1]
    assert network.of(HEAD, RequestEnded) == []
    qnp(network, HEAD).finish(request, network.now)
    network.run()
    for node in (HEAD, TAIL):
        assert network.of(node, RequestEnded)[0].delivered == 3
        assert network.of(node, ReleaseQubit) == []
    qnp(network, HEAD).want(request, 1, network.now)
    network.run()
    assert len(network.of(HEAD, NeedLinkPairs)) == 3
    fixed, _ = open_circuit(network, 1)
    with pytest.raises(ValueError):
        qnp(network, HEAD).want(fixed, 1, network.now)


def test_the_link_layer_is_asked_for_no_more_than_it_can_count() -> None:
    network = net()
    open_circuit(network, 100_000)
    assert [need.number for need in network.of(HEAD, NeedLinkPairs)] == [0xFFFF, 100_000 - 0xFFFF]


# Link pair by link pair: every row of the table, at the head.

ASK, TRACK, DISCARD, REPORT, HOLD = "ask", "Track", "Discard", "report", "hold"


def told(outputs: list[Any], machine: Qnp) -> list[str]:
    """What a head said, in words; a qubit's handle says which half it was, counted from 1."""
    words = []
    for output in outputs:
        match output:
            case Send(_, message):
                words.append(type(message).__name__.removeprefix("Qnp"))
            case NeedLinkPairs():
                words.append(ASK)
            case ReleaseQubit(qubit):
                words.append(f"release {qubit}")
            case PairDelivered(pair=pair):
                words.append(f"deliver {pair.qubit}")
            case PairLost(pair=pair):
                words.append(f"lose {pair.qubit}")
            case Ignored():
                words.append(REPORT)
    return words + [HOLD] * any(key.kind is TimerKind.HOLD for key in machine._shared.timers._due)


@pytest.mark.parametrize(
    ("steps", "last"),
    [
        ("half", [TRACK]),
        ("track", []),
        ("expire", []),
        ("discard", [HOLD]),
        # here
        ("half half", ["release 1", ASK, TRACK]),
        ("half half track", ["deliver 2"]),
        ("half track", ["deliver 1"]),
        ("half odd-track", [REPORT, DISCARD, "release 1", ASK]),
        ("half odd-track half", [TRACK]),
        ("half expire", [DISCARD, "release 1", ASK, HOLD]),
        ("half discard", ["release 1", ASK]),
        ("half discard track", []),
        # there
        ("track half", [TRACK, "deliver 1"]),
        ("track odd-half", [REPORT, DISCARD, "release 1", ASK]),
        ("track odd-track odd-half", [TRACK, "deliver 1"]),
        ("track expire", [DISCARD]),
        ("track expire half", [TRACK]),
        ("track discard", [HOLD]),
        ("track discard half", ["release 1", ASK]),
        # both
        ("half track half", [TRACK]),
        ("half track half track", ["deliver 2"]),
        ("half track track", []),
        ("half track track half", [TRACK, "deliver 2"]),
        ("half track expire", [DISCARD, "lose 1"]),
        ("half track expire expire", []),
        ("half track discard", ["lose 1"]),
        ("half track discard half", [TRACK]),
        # void
        ("discard half", ["release 1", ASK]),
        ("discard half half", [TRACK]),
        ("discard track", []),
        ("discard track half", [TRACK, "deliver 1"]),
        ("discard expire", []),
        ("discard expire half", [TRACK]),
        ("discard discard", [HOLD]),
        ("discard wait", []),
        ("discard wait half", [TRACK]),
        # dead
        ("half expire half", [TRACK]),
        ("half expire half track", ["deliver 2"]),
        ("half expire track", []),
        ("half expire track half", [TRACK]),
        ("half expire expire", [HOLD]),
        ("half expire discard", []),
        ("half expire discard half", [TRACK]),
        ("half expire wait", []),
        ("half expire wait track half", [TRACK, "deliver 2"]),
        # nobody needs it
        ("enough half", [DISCARD, "release 1", HOLD]),
        ("enough half track", []),
        ("enough half half", [DISCARD, "release 2", HOLD]),
        ("track enough half", [DISCARD, "release 1"]),
        ("half track enough half", [DISCARD, "release 2", HOLD]),
        ("discard enough half", ["release 1"]),
    ],
)
def test_what_becomes_of_one_link_pair_at_the_head(steps: str, last: list[str]) -> None:
    """QNP-3 to QNP-9.  `enough`: other halves wait for their Tracks, and all that was asked for is there."""
    network = net()
    _, circuit = open_circuit(network, 3)
    machine, halves, delivered, outputs = qnp(network, HEAD), 0, 0, []
    for step in steps.split():
        network.now += HOLD_PS if step == "wait" else 1
        index = BellIndex.PSI_MINUS if step.startswith("odd") else BellIndex.PSI_PLUS
        match step:
            case "half" | "odd-half":
                halves += 1
                machine.link_pair(half(circuit, 7, HEAD, index)._replace(qubit=halves), network.now)
            case "track" | "odd-track":
                machine.receive(a_track(circuit.label, 0, LINK, 7, index), TAIL, network.now)
            case "expire":
                machine.link_expired(LINK, 7, network.now)
            case "discard":
                machine.receive(QnpDiscard(circuit.label, 0, LINK, 7, PairFate.EXPIRED), TAIL, network.now)
            case "enough":
                for sequence in range(90, 93 - delivered):
                    machine.link_pair(half(circuit, sequence, HEAD), network.now)
        outputs = machine.poll(network.now)
        delivered += sum(isinstance(output, PairDelivered) for output in outputs)
    assert told(outputs, machine) == last


# All of it at once.


class FlakyLink:
    """A link layer for both ends: halves come at different times, some at one end only, and then they expire."""

    def __init__(self, data: Any) -> None:
        self.network = net(self.on_event)
        self.draw = data.draw
        self.sequence = 0
        self.given: dict[int, list[int]] = {HEAD: [], TAIL: []}
        self.left = 60  # pairs after which the link goes well, so that a test ends

    def on_event(self, node: int, event: Any, now: int) -> None:
        if isinstance(event, NeedLinkPairs):
            for _ in range(event.number):
                self.make(node, event.purpose)

    def make(self, asker: int, label: int) -> None:
        self.sequence += 1
        self.left -= 1
        sequence = self.sequence
        peer = TAIL if asker == HEAD else HEAD
        fate = self.draw(st.sampled_from(["well", "well", "asker only", "peer only"])) if self.left > 0 else "well"
        index = self.draw(st.integers(2, 3))
        due = {node: self.network.now + self.draw(st.integers(0, 4)) * DELAY_PS for node in (asker, peer)}
        late = max(due.values()) + self.draw(st.integers(0, 4)) * DELAY_PS
        ends = {"well": (asker, peer), "asker only": (asker,), "peer only": (peer,)}[fate]
        for node in ends:
            self.network.at(due[node], lambda node=node: self.deliver(node, label, sequence, index))
        if fate == "asker only":
            self.network.at(late, lambda: self.expire(asker, sequence))
        if fate == "peer only":  # the asker's link layer still owes a pair
            self.network.at(late, lambda: self.expire(peer, sequence))
            self.network.at(late, lambda: self.make(asker, label))

    def deliver(self, node: int, label: int, sequence: int, index: int) -> None:
        peer = TAIL if node == HEAD else HEAD
        self.given[node].append(node * 100_000 + sequence)
        qnp(self.network, node).link_pair(half(CircuitId(peer, label), sequence, node, index), self.network.now)

    def expire(self, node: int, sequence: int) -> None:
        qnp(self.network, node).link_expired(LINK, sequence, self.network.now)


@given(data=st.data())
def test_every_delivered_pair_is_delivered_at_both_ends_and_every_qubit_is_accounted_for(data: Any) -> None:
    """QNP-3 to QNP-8 under halves that are late, missing or taken back, and users that change their mind."""
    link = FlakyLink(data)
    network = link.network
    qnp(network, HEAD).listen(PURPOSE)
    requests = data.draw(
        st.lists(st.tuples(st.sampled_from([HEAD, TAIL]), st.integers(1, 4), st.booleans()), min_size=1, max_size=3)
    )
    finished = set()
    for node, number, finish in requests:
        peer = TAIL if node == HEAD else HEAD
        request = qnp(network, node).request(peer, PURPOSE, number, FIDELITY, network.now)
        if finish:
            finished.add((node, request))
            when = data.draw(st.integers(0, 12)) * DELAY_PS
            network.at(network.now + when, lambda n=node, r=request: qnp(network, n).finish(r, network.now))
    network.run()

    names = {}
    for node in (HEAD, TAIL):
        delivered = [event.pair for event in network.of(node, PairDelivered)]
        lost = [event.pair for event in network.of(node, PairLost)]
        kept = [pair for pair in delivered if pair not in lost]
        assert set(lost) <= set(delivered)
        names[node] = {(pair.head, pair.pair_id): pair for pair in kept}
        assert len(names[node]) == len(kept)
        ours = [pair.qubit for pair in delivered] + [event.qubit for event in network.of(node, ReleaseQubit)]
        assert sorted(ours) == sorted(link.given[node])  # each qubit went up or back, once
        assert qnp(network, node).next_timeout() is None
        assert network.of(node, Ignored) == []
        for ended in network.of(node, RequestEnded):
            if ended.head == node and (node, ended.request) not in finished:
                assert ended.cause is CircuitInput.SATISFIED
        assert len([e for e in network.of(node, RequestEnded) if e.head == node]) == sum(
            asker == node for asker, _, _ in requests
        )
    assert names[HEAD].keys() == names[TAIL].keys()
    for name, pair in names[HEAD].items():
        other = names[TAIL][name]
        assert pair.qubit - 100_000 == other.qubit - 200_000  # the same link pair
        assert (pair.bell_index, pair.goodness) == (other.bell_index, other.goodness)
