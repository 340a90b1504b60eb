"""QNP between two neighbours: requests and circuits, and what comes before or after them (QNP-1, 2, 6 to 10)."""

from typing import Any

import pytest
from qnp_lab import (
    DELAY_PS,
    FIDELITY,
    HEAD,
    LINK,
    PURPOSE,
    TAIL,
    a_track,
    an_install,
    arrive,
    half,
    net,
    open_circuit,
    qnp,
    released,
)

from protocols.ignored import Ignored
from protocols.machine import Send
from protocols.pairs import ReleaseQubit
from protocols.qnp.book import MAX_EARLY
from protocols.qnp.node import HOLD_PS, Qnp
from protocols.qnp.service import (
    CircuitClosed,
    CircuitId,
    CircuitOpened,
    InUse,
    NeedLinkPairs,
    PairDelivered,
    RequestEnded,
    RequestOpened,
    StopLinkPairs,
)
from protocols.qnp.states import END_TABLE, SWAP_TABLE, CircuitInput, PairInput, PairState, PairTable
from protocols.wire.codec import (
    BellIndex,
    CircuitFate,
    CircuitHop,
    EgpError,
    PairFate,
    PairKind,
    QnpComplete,
    QnpDiscard,
    QnpForward,
    QnpForwardAck,
    QnpInstall,
    QnpInstalled,
    QnpTeardown,
)

# Requests and circuits.


def test_the_link_layer_is_asked_when_the_tail_has_accepted() -> None:
    """QNP-1, QNP-2."""
    network = net()
    request = qnp(network, HEAD).request(TAIL, PURPOSE, 3, FIDELITY, now=0)
    network.run(until=2 * DELAY_PS - 1)
    assert network.of(HEAD, NeedLinkPairs) == []
    network.run()
    circuit = CircuitId(TAIL, 2)
    assert network.messages() == [
        an_install(circuit.label),
        QnpForward(circuit.label, request, PairKind.KEEP, 3, FIDELITY, PURPOSE),
        QnpInstalled(circuit.label),
        QnpForwardAck(circuit.label, request, 1, 0),
    ]
    assert network.events[HEAD] == [
        InUse(TAIL, 1),
        RequestOpened(circuit, request, HEAD, TAIL, PURPOSE),
        NeedLinkPairs(LINK, circuit.label, 3, FIDELITY),
    ]
    tail_circuit = CircuitId(HEAD, circuit.label)
    assert network.events[TAIL] == [
        InUse(HEAD, 1),
        CircuitOpened(tail_circuit, HEAD, 1),
        RequestOpened(tail_circuit, request, HEAD, HEAD, PURPOSE),
    ]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"purpose": PURPOSE + 1}, EgpError.REJECTED),
        ({"kind": 3}, EgpError.UNSUPP),
        ({"kind": PairKind.MEASURE, "bases": 4}, EgpError.UNSUPP),
    ],
)
def test_the_tail_refuses_a_request(change: dict[str, int], error: EgpError) -> None:
    """QNP-2."""
    tail = Qnp(TAIL, {LINK: HEAD})
    tail.listen(PURPOSE)
    tail.receive(an_install(), HEAD, now=0)
    tail.poll(0)
    forward = QnpForward(2, 5, PairKind.KEEP, 1, FIDELITY, PURPOSE)._replace(**change)
    tail.receive(forward, HEAD, now=0)
    assert tail.poll(0) == [Send(HEAD, QnpForwardAck(forward.circuit, 5, 0, error), reliable=True)]


@pytest.mark.parametrize(
    ("change", "fate"),
    [
        ({"circuit": 3}, CircuitFate.IN_USE),  # an odd label is the tail's own
        ({"circuit": 0xFF02}, CircuitFate.IN_USE),  # the purpose id of a program that uses links directly
        ({"hops": (CircuitHop(LINK, 3, 255, 0, 0),)}, CircuitFate.NOT_HERE),
        ({"hops": (CircuitHop(LINK + 1, TAIL, 255, 0, 0),)}, CircuitFate.NOT_HERE),
        ({"position": 1}, CircuitFate.NOT_HERE),
        ({"hops": (CircuitHop(LINK, TAIL, 0, 0, 0), CircuitHop(4, 3, 255, 0, 0))}, CircuitFate.NOT_HERE),
    ],
)
def test_the_tail_refuses_a_circuit(change: dict[str, Any], fate: CircuitFate) -> None:
    """QNP-12."""
    tail = Qnp(TAIL, {LINK: HEAD})
    message = an_install(**{"label": change.pop("circuit", 2), **change})
    tail.receive(message, HEAD, now=0)
    assert tail.poll(0) == [Send(HEAD, QnpTeardown(message.circuit, TAIL, fate), reliable=True)]


def test_a_label_in_use_is_refused_and_the_circuit_lives() -> None:
    """QNP-12."""
    network = net()
    _, circuit = open_circuit(network, 1)
    qnp(network, TAIL).receive(an_install(circuit.label, number=9), HEAD, network.now)
    answers = [output.message for output in qnp(network, TAIL).poll(network.now)]
    assert answers == [QnpTeardown(circuit.label, TAIL, CircuitFate.IN_USE)]
    arrive(network, HEAD, circuit, 1)
    arrive(network, TAIL, CircuitId(HEAD, circuit.label), 1)
    assert len(network.of(TAIL, PairDelivered)) == 1


def test_listeners_may_be_for_one_head() -> None:
    tail = Qnp(TAIL, {LINK: HEAD, LINK + 1: 3})
    tail.receive(an_install(), HEAD, now=0)
    tail.poll(0)

    def accepted(request: int) -> int:
        tail.receive(QnpForward(2, request, PairKind.KEEP, 1, FIDELITY, PURPOSE), HEAD, now=0)
        answer = tail.poll(0)[0].message.accepted
        assert isinstance(answer, int)
        return answer

    tail.listen(PURPOSE, head=3)
    assert not accepted(5)
    tail.listen(PURPOSE, head=HEAD)
    assert accepted(6)
    tail.unlisten(PURPOSE, head=HEAD)
    assert not accepted(7)


def test_a_refusal_ends_the_request() -> None:
    network = net()
    request = qnp(network, HEAD).request(TAIL, PURPOSE + 1, 1, FIDELITY, now=0)
    network.run()
    ended = RequestEnded(
        CircuitId(TAIL, 2), request, HEAD, TAIL, PURPOSE + 1, 0, CircuitInput.REFUSED, EgpError.REJECTED, HEAD
    )
    closed = CircuitClosed(CircuitId(TAIL, 2), HEAD, 1, CircuitFate.FINISHED, HEAD)
    assert network.events[HEAD] == [InUse(TAIL, 1), ended, closed, InUse(TAIL, 0)]
    assert network.of(TAIL, RequestOpened) == []


def test_only_neighbours_can_be_reached() -> None:
    head = Qnp(HEAD, {LINK: TAIL})
    request = head.request(3, PURPOSE, 1, FIDELITY, now=0)
    (ended,) = head.poll(0)
    assert (ended.request, ended.cause) == (request, CircuitInput.NO_ROUTE)
    head.receive(QnpComplete(2, 1), source=3, now=0)
    assert head.poll(0) == [Ignored(3, "QnpComplete", "not a neighbour")]


def test_a_lost_peer_ends_everything_shared_with_it() -> None:
    """QNP-10."""
    network = net()
    request, circuit = open_circuit(network, 4)
    for node in (HEAD, TAIL):
        arrive(network, node, circuit, 1)
    arrive(network, HEAD, circuit, 2)
    arrive(network, TAIL, circuit, 3)
    waiting = qnp(network, HEAD).request(TAIL, PURPOSE, 1, FIDELITY, network.now)
    qnp(network, TAIL).link_pair(half(CircuitId(HEAD, 100), 4, TAIL), network.now)
    sent = len(network.sent)
    for node in (HEAD, TAIL):
        qnp(network, node).poll(network.now)
        qnp(network, node).peer_lost(TAIL if node == HEAD else HEAD, network.now)
    network.run()
    assert len(network.sent) == sent
    assert network.of(HEAD, StopLinkPairs) == [StopLinkPairs(LINK, circuit.label)]
    assert [event.cause for event in network.of(TAIL, RequestEnded)] == [CircuitInput.PEER_LOST]
    causes = [(event.request, event.cause) for event in network.of(HEAD, RequestEnded)]
    assert causes == [(request, CircuitInput.PEER_LOST), (waiting, CircuitInput.PEER_LOST)]
    assert (released(network, HEAD), released(network, TAIL)) == ([2], [3, 4])
    assert qnp(network, TAIL).next_timeout() is None
    # A peer that starts anew names its circuits from the beginning.
    network.machines[HEAD] = Qnp(HEAD, {LINK: TAIL})
    _, again = open_circuit(network, 1)
    assert again == circuit


# Before its circuit, and after.


def test_what_comes_before_its_circuit_is_held() -> None:
    """QNP-6."""
    tail = Qnp(TAIL, {LINK: HEAD})
    tail.listen(PURPOSE)
    circuit = CircuitId(HEAD, 2)
    tail.link_pair(half(circuit, 1, TAIL), now=0)
    tail.link_pair(half(circuit, 2, TAIL), now=0)
    tail.receive(QnpDiscard(2, 0, LINK, 2, PairFate.EXPIRED), HEAD, now=0)
    assert tail.poll(0) == []
    assert tail.next_timeout() == HOLD_PS
    tail.receive(an_install(), HEAD, now=100)
    tail.receive(QnpForward(2, 5, PairKind.KEEP, 2, FIDELITY, PURPOSE), HEAD, now=100)
    tail.receive(a_track(2, 1, LINK, 1, BellIndex.PSI_PLUS, request=5), HEAD, now=100)
    outputs = tail.poll(100)
    assert [event.pair.qubit for event in outputs if isinstance(event, PairDelivered)] == [200_001]
    assert [event.qubit for event in outputs if isinstance(event, ReleaseQubit)] == [200_002]
    assert tail.next_timeout() is None


def test_what_is_held_too_long_is_given_up() -> None:
    """QNP-6."""
    tail = Qnp(TAIL, {LINK: HEAD})
    tail.link_pair(half(CircuitId(HEAD, 2), 1, TAIL), now=50)
    assert tail.poll(50 + HOLD_PS - 1) == []
    assert tail.poll(50 + HOLD_PS) == [
        ReleaseQubit(200_001),
        Send(HEAD, QnpDiscard(2, 0, LINK, 1, PairFate.UNKNOWN), reliable=True),
    ]
    assert tail.next_timeout() is None


def test_a_held_pair_may_expire() -> None:
    """QNP-6."""
    tail = Qnp(TAIL, {LINK: HEAD})
    tail.link_pair(half(CircuitId(HEAD, 2), 1, TAIL), now=0)
    tail.link_expired(LINK, 1, now=1)
    assert ReleaseQubit(200_001) in tail.poll(1)
    assert tail.poll(HOLD_PS) == []


def test_no_more_than_a_bound_is_held() -> None:
    """QNP-6."""
    tail = Qnp(TAIL, {LINK: HEAD})
    for sequence in range(MAX_EARLY + 1):
        tail.link_pair(half(CircuitId(HEAD, 2), sequence, TAIL), now=0)
    assert tail.poll(0)[0] == ReleaseQubit(200_000 + MAX_EARLY)
    assert sum(isinstance(output, ReleaseQubit) for output in tail.poll(HOLD_PS)) == MAX_EARLY


@pytest.mark.parametrize("node", [HEAD, TAIL])
def test_a_pair_of_a_closed_circuit_is_released_at_once(node: int) -> None:
    """QNP-6."""
    network = net()
    request, circuit = open_circuit(network, 2)
    qnp(network, HEAD).finish(request, network.now)
    network.run()
    qnp(network, node).link_pair(half(circuit, 1, node), network.now)
    assert qnp(network, node).poll(network.now) == [ReleaseQubit(node * 100_000 + 1)]
    assert qnp(network, node).next_timeout() is None


def test_a_peer_that_breaks_the_rules_is_reported() -> None:
    network = net()
    request, circuit = open_circuit(network, 1)
    head, tail = qnp(network, HEAD), qnp(network, TAIL)
    head.receive(QnpForwardAck(circuit.label, request, 1, 0), TAIL, network.now)
    head.receive(QnpComplete(circuit.label, request), TAIL, network.now)
    head.receive(a_track(circuit.label, 1, LINK + 1, 1, 0), TAIL, network.now)
    assert [type(output) for output in head.poll(network.now)] == [Ignored] * 3
    tail.receive(a_track(circuit.label, 0, LINK, 1, 0), HEAD, network.now)
    tail.receive(QnpComplete(400, 1), HEAD, network.now)
    assert [type(output) for output in tail.poll(network.now)] == [Ignored] * 2
    with pytest.raises(TypeError):
        tail.receive(NeedLinkPairs(1, 1, 1, 1), HEAD, network.now)


@pytest.mark.parametrize("table", [END_TABLE, SWAP_TABLE], ids=["end", "repeater"])
def test_the_pair_tables_leave_no_input_of_others_open(table: PairTable) -> None:
    """Whatever the peer sends, and whatever the link layer says, there is a row for it."""
    for state in {state for state, _ in table}:
        for stimulus in (PairInput.TRACK, PairInput.EXPIRED, PairInput.DISCARD):
            assert (state, stimulus) in table or (state, PairInput.MISFIT) in table
    held = {state for (state, stimulus) in table if stimulus is PairInput.HELD_LONG}
    assert held == {PairState.VOID, PairState.DEAD}


@pytest.mark.parametrize("node", [HEAD, TAIL])
def test_a_circuit_that_never_opens_leaves_no_marks(node: int) -> None:
    """A peer speaks of pairs of a circuit that is still being set up, and then tears it down."""
    network = net()
    machine = qnp(network, node)
    machine.request(3 - node, PURPOSE, 1, FIDELITY, now=0)
    install = next(o.message for o in machine.poll(0) if isinstance(o, Send) and isinstance(o.message, QnpInstall))
    for message in (
        QnpDiscard(install.circuit, 0, LINK, 4, PairFate.EXPIRED),
        QnpTeardown(install.circuit, 3 - node, CircuitFate.LINK_FAILED),
    ):
        machine.receive(message, 3 - node, now=1)
        machine.poll(1)
    machine.poll(10 * HOLD_PS)
    assert machine.next_timeout() is None
