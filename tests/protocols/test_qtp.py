"""QTP between two nodes: sessions, teleported qubits, pair streams, losses, notes (QTP-1 to QTP-9, QTP-14)."""

from collections import Counter
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ideal_qubits import CX, H, Qubits, X, Z
from machine_pair import Net

from protocols.ignored import Ignored
from protocols.machine import Send
from protocols.pairs import Pair, ReleaseQubit
from protocols.qtp.node import HOLD_PS, MOST_NOTE, MOST_PENDING, MOST_PLACES, MOST_SESSIONS, Qtp
from protocols.qtp.pacing import FIRST_WINDOW, Pacer
from protocols.qtp.service import (
    Arrived,
    Closed,
    CloseReason,
    Delivered,
    Lost,
    NeedPair,
    NoteCame,
    Opened,
    PairGone,
    PairReady,
    PeerFinished,
    Refused,
    RefuseReason,
    Returned,
    RunBellMeasurement,
    SessionGone,
    SessionId,
)
from protocols.wire.codec import (
    BellIndex,
    QtpAccept,
    QtpClose,
    QtpCredit,
    QtpDelivered,
    QtpFinish,
    QtpNote,
    QtpOpen,
    QtpRefuse,
    QtpReset,
    QtpService,
    QtpStatus,
    QtpTeleport,
)

A, B = 1, 2
PORT = 80
DELAY_PS = 10_000


def net(on_event: Any = None) -> Net:
    machines = {A: Qtp(A), B: Qtp(B)}
    machines[B].listen(PORT, QtpService.TELEPORT)
    machines[B].listen(PORT + 1, QtpService.PAIRS)
    return Net(machines, DELAY_PS, on_event=on_event)


def qtp(network: Net, node: int) -> Qtp:
    machine = network.machines[node]
    assert isinstance(machine, Qtp)
    return machine


def opened(network: Net, service: QtpService = QtpService.TELEPORT) -> tuple[SessionId, SessionId]:
    """A session as A and as B know it."""
    port = PORT if service is QtpService.TELEPORT else PORT + 1
    session = qtp(network, A).open(B, port, service, network.now)
    network.run()
    return session, SessionId(A, session.number)


def pair_up(network: Net, sessions: tuple[SessionId, SessionId], pair_id: int, index: int = 0) -> None:
    """Both ends get a pair that A asked for; a qubit's handle names its node and pair."""
    for node, session in zip((A, B), sessions, strict=True):
        qtp(network, node).pair(session, Pair(A, pair_id, index, node * 1000 + pair_id), network.now)
    network.run()


def endings(network: Net, node: int, *, incoming: bool = False) -> list[Any]:
    """What became of the qubits that a node sent, or was sent."""
    kinds = (Arrived,) if incoming else (Delivered, Returned)
    return [
        event
        for event in network.events[node]
        if isinstance(event, kinds) or (isinstance(event, Lost) and event.incoming is incoming)
    ]


# Sessions.


def test_a_session_opens_at_both_ends() -> None:
    """QTP-1, QTP-2."""
    network = net()
    session, other = opened(network)
    assert session == SessionId(B, 2)
    assert network.messages() == [QtpOpen(2, PORT, QtpService.TELEPORT, MOST_PLACES), QtpAccept(2, MOST_PLACES)]
    assert network.events[A] == [Opened(session, PORT, QtpService.TELEPORT, opener=True)]
    assert network.events[B] == [Opened(other, PORT, QtpService.TELEPORT, opener=False)]
    assert session.purpose == other.purpose == 0x8002


def test_both_nodes_may_open_at_once() -> None:
    """QTP-1: the numbers, and so the purposes of their pairs, differ."""
    network = net()
    qtp(network, A).listen(PORT, QtpService.TELEPORT)
    first = qtp(network, A).open(B, PORT, QtpService.TELEPORT, now=0)
    second = qtp(network, B).open(A, PORT, QtpService.TELEPORT, now=0)
    third = qtp(network, A).open(B, PORT, QtpService.TELEPORT, now=0)
    network.run()
    assert len({first.purpose, second.purpose, third.purpose}) == 3
    assert len(network.of(A, Opened)) == len(network.of(B, Opened)) == 3


@pytest.mark.parametrize(
    ("port", "service", "reason"),
    [
        (PORT + 9, QtpService.TELEPORT, RefuseReason.NO_LISTENER),
        (PORT, QtpService.PAIRS, RefuseReason.WRONG_SERVICE),
        (PORT, QtpService.MESSAGES, RefuseReason.WRONG_SERVICE),
    ],
)
def test_a_session_is_refused(port: int, service: QtpService, reason: RefuseReason) -> None:
    """QTP-2."""
    network = net()
    session = qtp(network, A).open(B, port, service, now=0)
    network.run()
    assert network.events == {A: [Refused(session, port, reason)], B: []}
    with pytest.raises(SessionGone):
        qtp(network, A).teleport(session, 5, network.now)


@pytest.mark.parametrize(
    ("number", "reason"),
    [(2, RefuseReason.IN_USE), (3, RefuseReason.IN_USE), (1 << 15, RefuseReason.UNSUPPORTED)],
)
def test_a_number_that_cannot_be_is_refused(number: int, reason: RefuseReason) -> None:
    """QTP-2: 2 is in use, 3 is for the acceptor to give out, the last has no purpose of its own."""
    network = net()
    opened(network)
    qtp(network, B).receive(QtpOpen(number, PORT, QtpService.TELEPORT, MOST_PLACES), A, network.now)
    assert qtp(network, B).poll(network.now) == [Send(A, QtpRefuse(number, reason), reliable=True)]


def test_what_nobody_can_do_is_refused_at_once() -> None:
    machine = Qtp(A)
    with pytest.raises(ValueError):
        machine.listen(PORT, QtpService.MESSAGES)
    with pytest.raises(ValueError):
        machine.open(A, PORT, QtpService.TELEPORT, now=0)
    network = net()
    session, _ = opened(network, QtpService.PAIRS)
    with pytest.raises(ValueError):
        qtp(network, A).teleport(session, 5, network.now)
    with pytest.raises(TypeError):
        machine.receive(NeedPair(session, 1), B, now=0)


@pytest.mark.parametrize("node", [A, B])
def test_either_end_may_close(node: int) -> None:
    """QTP-8."""
    network = net()
    sessions = opened(network)
    pair_up(network, sessions, 1)
    qtp(network, node).close(sessions[node - 1], network.now)
    network.run()
    for end in (A, B):
        reason = CloseReason.CLOSED if end == node else CloseReason.CLOSED_BY_PEER
        assert network.events[end][-2:] == [ReleaseQubit(end * 1000 + 1), Closed(sessions[end - 1], reason)]
    assert len(network.messages(QtpClose)) == 1
    qtp(network, A).pair(sessions[0], Pair(A, 2, 0, 1002), network.now)  # one that was on its way
    assert qtp(network, A).poll(network.now) == [ReleaseQubit(1002)]


def test_both_ends_may_close_at_once() -> None:
    network = net()
    sessions = opened(network)
    for node in (A, B):
        qtp(network, node).close(sessions[node - 1], network.now)
    network.run()
    for node in (A, B):
        assert network.of(node, Closed) == [Closed(sessions[node - 1], CloseReason.CLOSED)]
        assert network.of(node, Ignored) == []


def test_closing_before_the_answer() -> None:
    network = net()
    session = qtp(network, A).open(B, PORT, QtpService.TELEPORT, now=0)
    qtp(network, A).close(session, now=0)
    network.run()
    assert network.of(A, Closed) == [Closed(session, CloseReason.CLOSED)]
    assert [type(event) for event in network.events[B]] == [Opened, Closed]


def test_the_peer_may_be_lost_before_it_answers() -> None:
    """QTP-9."""
    machine = Qtp(A)
    session = machine.open(B, PORT, QtpService.TELEPORT, now=0)
    machine.poll(0)
    machine.peer_lost(B, now=1)
    assert machine.poll(1) == [Closed(session, CloseReason.PEER_LOST)]


@pytest.mark.parametrize("then", ["close", "no pairs", "peer is lost"])
def test_what_may_happen_while_a_session_closes(then: str) -> None:
    """QTP-7 to QTP-9."""
    network = net()
    sessions = opened(network)
    machine = qtp(network, A)
    machine.teleport(sessions[0], 50, network.now)
    machine.close(sessions[0], network.now)
    machine.poll(network.now)
    if then == "close":
        machine.close(sessions[0], network.now)
        assert machine.poll(network.now) == []
    elif then == "no pairs":
        machine.no_pairs(sessions[0], network.now)
        assert machine.poll(network.now) == [
            Returned(sessions[0], 0, 50),
            Send(B, QtpClose(sessions[0].number), reliable=True),
            Closed(sessions[0], CloseReason.NO_PAIRS),
        ]
    else:
        machine.peer_lost(B, network.now)
        assert machine.poll(network.now) == [
            Returned(sessions[0], 0, 50),
            Closed(sessions[0], CloseReason.PEER_LOST),
        ]


# Teleportation.


@pytest.mark.parametrize(("index", "m1", "m2"), product(BellIndex, (0, 1), (0, 1)))
def test_the_state_arrives_whatever_the_pair_and_the_outcomes(index: int, m1: int, m2: int) -> None:
    """QTP-3, QTP-4, by exact state vector: half of a pair is sent, so every state is covered."""
    qubits = Qubits()
    qubits.add_pair("reference", 5)

    def on_event(node: int, event: Any, now: int) -> None:
        match event:
            case NeedPair(session, 1):
                assert qubits.names == ["reference", 5]  # nothing has been touched
                qubits.add_pair(1007, 2007, index)
                for end in (A, B):
                    known_as = session if end == A else SessionId(A, session.number)
                    half = Pair(A, 7, index, end * 1000 + 7)
                    network.at(now + end, lambda e=end, s=known_as, h=half: qtp(network, e).pair(s, h, network.now))
            case RunBellMeasurement(session, number, data, half_here):
                qubits.run(CX, data, half_here)
                qubits.run(H, data)
                assert qubits.measure(data, m1) == pytest.approx(1 / 2)
                assert qubits.measure(half_here, m2) == pytest.approx(1 / 2)
                network.at(now + 500, lambda: qtp(network, A).measured(session, number, m1, m2, network.now))
            case Arrived(_, 0, qubit, x, z):
                if x:
                    qubits.run(X, qubit)
                if z:
                    qubits.run(Z, qubit)

    network = net(on_event)
    session, other = opened(network)
    assert qtp(network, A).teleport(session, 5, network.now) == 0
    network.run()
    expected = Qubits()
    expected.add_pair("reference", 2007)
    assert qubits.overlap(expected) == pytest.approx(1, abs=1e-12)
    assert endings(network, A) == [Delivered(session, 0)]
    assert [event[:3] for event in endings(network, B, incoming=True)] == [(other, 0, 2007)]
    assert network.messages(QtpTeleport, QtpDelivered) == [
        QtpTeleport(session.number, 0, 7, index ^ (m2 << 1 | m1)),
        QtpDelivered(session.number, 0, QtpStatus.OK, MOST_PLACES),
    ]


def test_a_qubit_is_not_touched_before_its_pair_is_confirmed() -> None:
    """QTP-3: pairs of the peer are for what the peer sends."""
    network = net()
    session, _ = opened(network)
    qtp(network, A).teleport(session, 5, network.now)
    qtp(network, A).pair(session, Pair(B, 1, 0, 1001), network.now)
    network.run()
    assert network.of(A, RunBellMeasurement) == []
    qtp(network, A).pair(session, Pair(A, 1, 0, 1002), network.now)
    network.run()
    assert network.of(A, RunBellMeasurement) == [RunBellMeasurement(session, 0, 5, 1002)]


def test_pairs_made_ahead_are_used_first() -> None:
    network = net()
    sessions = opened(network)
    pair_up(network, sessions, 1)
    qtp(network, A).teleport(sessions[0], 5, network.now)
    network.run()
    assert network.of(A, NeedPair) == []
    assert network.of(A, RunBellMeasurement) == [RunBellMeasurement(sessions[0], 0, 5, 1001)]


def test_pairs_are_kept_ready_and_asked_for_by_halves() -> None:
    network = net()
    sessions = opened(network)
    machine = qtp(network, A)
    machine.reserve(sessions[0], 4, network.now)
    for pair_id in (1, 2, 3, 4):
        pair_up(network, sessions, pair_id)
    assert network.of(A, NeedPair) == [NeedPair(sessions[0], 4)]
    assert machine.ready(sessions[0]) == 4
    for qubit in (50, 51):
        machine.teleport(sessions[0], qubit, network.now)
    machine.pair_lost(sessions[0], Pair(A, 4, 0, 1004), network.now)
    network.run()
    assert network.of(A, NeedPair)[1:] == [NeedPair(sessions[0], 2)]  # of three that are missing, two are on the way
    machine.reserve(sessions[0], 0, network.now)
    for qubit in (52, 53, 54, 55):
        machine.teleport(sessions[0], qubit, network.now)
    network.run()
    # One that was ready and two that were asked for serve three of them.
    assert network.of(A, NeedPair)[2:] == [NeedPair(sessions[0], 1)]


def test_qubits_are_handed_up_in_order_each_once() -> None:
    """QTP-5, QTP-6."""
    network = net()
    sessions = opened(network)
    for qubit in (50, 51, 52):
        qtp(network, A).teleport(sessions[0], qubit, network.now)
    for pair_id in (1, 2, 3):
        pair_up(network, sessions, pair_id)
    for index in (2, 0, 1):
        qtp(network, A).measured(sessions[0], index, 0, 0, network.now)
        network.run()
    arrived = network.of(B, Arrived)
    assert [(event.index, event.qubit) for event in arrived] == [(0, 2001), (1, 2002), (2, 2003)]
    again = QtpTeleport(sessions[0].number, 1, 2, 0)
    qtp(network, B).receive(again, A, network.now)
    network.run()
    assert [event.reason for event in network.of(B, Ignored)] == ["the index has been used"]
    assert network.of(B, Arrived) == arrived
    assert network.of(A, Delivered) == [Delivered(sessions[0], index) for index in range(3)]


def test_a_teleport_may_come_before_its_pair() -> None:
    """QTP-6."""
    network = net()
    sessions = opened(network)
    qtp(network, A).teleport(sessions[0], 5, network.now)
    qtp(network, A).pair(sessions[0], Pair(A, 1, 0, 1001), network.now)
    network.run()
    qtp(network, A).measured(sessions[0], 0, 1, 1, network.now)
    network.run(until=network.now + HOLD_PS)
    assert network.events[B][1:] == []
    qtp(network, B).pair(sessions[1], Pair(A, 1, 0, 2001), network.now)
    network.run()
    assert endings(network, B, incoming=True) == [Arrived(sessions[1], 0, 2001, 1, 1)]
    assert endings(network, A) == [Delivered(sessions[0], 0)]


def test_a_pair_that_never_comes_is_a_lost_qubit() -> None:
    """QTP-6, QTP-7."""
    network = net()
    sessions = opened(network)
    for qubit in (50, 51):
        qtp(network, A).teleport(sessions[0], qubit, network.now)
    qtp(network, A).pair(sessions[0], Pair(A, 1, 0, 1001), network.now)
    pair_up(network, sessions, 2)
    for index in (0, 1):
        qtp(network, A).measured(sessions[0], index, 0, 0, network.now)
    begin = network.now
    network.run()
    assert network.now - begin == HOLD_PS + 2 * DELAY_PS
    assert endings(network, B, incoming=True) == [
        Lost(sessions[1], 0, incoming=True),
        Arrived(sessions[1], 1, 2002, 0, 0),
    ]
    assert endings(network, A) == [Lost(sessions[0], 0, incoming=False), Delivered(sessions[0], 1)]
    qtp(network, B).pair(sessions[1], Pair(A, 1, 0, 2001), network.now)  # after all
    assert qtp(network, B).poll(network.now) == [ReleaseQubit(2001)]


def test_a_pair_lost_under_way_is_a_lost_qubit() -> None:
    """QTP-6, QTP-7."""
    network = net()
    sessions = opened(network)
    qtp(network, A).teleport(sessions[0], 5, network.now)
    pair_up(network, sessions, 1)
    qtp(network, A).pair_lost(sessions[0], Pair(A, 1, 0, 1001), network.now)
    qtp(network, B).pair_lost(sessions[1], Pair(A, 1, 0, 2001), network.now)
    qtp(network, A).measured(sessions[0], 0, 0, 0, network.now)
    begin = network.now
    network.run()
    assert network.now - begin == 2 * DELAY_PS  # nobody waits for what is known to be gone
    assert endings(network, A) == [Lost(sessions[0], 0, incoming=False)]
    assert endings(network, B, incoming=True) == [Lost(sessions[1], 0, incoming=True)]
    assert network.of(B, ReleaseQubit) == [ReleaseQubit(2001)]
    assert network.of(A, ReleaseQubit) == []  # the program of the measurement released it


def test_an_unused_pair_may_be_lost() -> None:
    network = net()
    sessions = opened(network)
    pair_up(network, sessions, 1)
    qtp(network, A).pair_lost(sessions[0], Pair(A, 1, 0, 1001), network.now)
    qtp(network, A).teleport(sessions[0], 5, network.now)
    network.run()
    assert network.events[A][1:] == [ReleaseQubit(1001), NeedPair(sessions[0], 1)]


def test_closing_waits_for_what_is_under_way() -> None:
    """QTP-8."""
    network = net()
    sessions = opened(network)
    qtp(network, A).teleport(sessions[0], 5, network.now)
    qtp(network, A).close(sessions[0], network.now)
    network.run()
    with pytest.raises(SessionGone):
        qtp(network, A).teleport(sessions[0], 6, network.now)
    assert network.messages(QtpClose) == []
    pair_up(network, sessions, 1)
    qtp(network, A).measured(sessions[0], 0, 0, 0, network.now)
    network.run()
    assert network.events[A][-2:] == [Delivered(sessions[0], 0), Closed(sessions[0], CloseReason.CLOSED)]
    assert network.events[B][-1] == Closed(sessions[1], CloseReason.CLOSED_BY_PEER)


def test_without_pairs_untouched_qubits_return() -> None:
    """QTP-7, QTP-8."""
    network = net()
    sessions = opened(network)
    for qubit in (50, 51, 52):
        qtp(network, A).teleport(sessions[0], qubit, network.now)
    pair_up(network, sessions, 1)
    qtp(network, A).no_pairs(sessions[0], network.now)
    network.run()
    assert endings(network, A) == [Returned(sessions[0], 1, 51), Returned(sessions[0], 2, 52)]
    qtp(network, A).measured(sessions[0], 0, 0, 0, network.now)
    network.run()
    assert network.events[A][-2:] == [Delivered(sessions[0], 0), Closed(sessions[0], CloseReason.NO_PAIRS)]


@pytest.mark.parametrize("how", ["peer closes", "peer is lost"])
def test_the_end_of_a_session_accounts_for_every_qubit(how: str) -> None:
    """QTP-7, QTP-8, QTP-9."""
    network = net()
    sessions = opened(network)
    for qubit in (50, 51, 52):
        qtp(network, A).teleport(sessions[0], qubit, network.now)
    pair_up(network, sessions, 1)
    pair_up(network, sessions, 2)
    qtp(network, A).pair(sessions[0], Pair(B, 9, 0, 1009), network.now)
    network.cut.add(B)
    qtp(network, A).measured(sessions[0], 0, 0, 0, network.now)  # sent; index 1 is being measured, 2 waits
    network.run()
    sent = len(network.sent)
    if how == "peer closes":
        qtp(network, A).receive(QtpClose(sessions[0].number), B, network.now)
        reason = CloseReason.CLOSED_BY_PEER
    else:
        qtp(network, A).peer_lost(B, network.now)
        reason = CloseReason.PEER_LOST
    network.run()
    assert network.events[A][-5:] == [
        Returned(sessions[0], 2, 52),
        Lost(sessions[0], 0, incoming=False),
        Lost(sessions[0], 1, incoming=False),
        ReleaseQubit(1009),
        Closed(sessions[0], reason),
    ]
    assert len(network.sent) == sent
    qtp(network, A).measured(sessions[0], 1, 0, 0, network.now)  # the device's answer comes late
    assert qtp(network, A).poll(network.now) == []
    assert qtp(network, A).next_timeout() is None


def test_a_receiver_that_loses_its_peer_reports_what_it_waited_for() -> None:
    """QTP-9."""
    network = net()
    sessions = opened(network)
    qtp(network, B).receive(QtpTeleport(sessions[0].number, 1, 4, 0), A, network.now)
    qtp(network, B).pair(sessions[1], Pair(A, 4, 0, 2004), network.now)
    qtp(network, B).peer_lost(A, network.now)
    assert qtp(network, B).poll(network.now) == [
        Lost(sessions[1], 1, incoming=True),
        ReleaseQubit(2004),
        Closed(sessions[1], CloseReason.PEER_LOST),
    ]
    assert qtp(network, B).next_timeout() is None


def test_a_peer_that_breaks_the_rules_is_reported() -> None:
    network = net()
    session, _ = opened(network)
    pairs, _ = opened(network, QtpService.PAIRS)
    opening = qtp(network, A).open(B, PORT, QtpService.TELEPORT, network.now)
    machine = qtp(network, A)
    machine.poll(network.now)
    for message in (
        QtpAccept(session.number, MOST_PLACES),
        QtpRefuse(900, 1),
        QtpTeleport(900, 0, 1, 0),
        QtpTeleport(pairs.number, 0, 1, 0),
        QtpDelivered(session.number, 0, QtpStatus.OK, MOST_PLACES),
        QtpClose(opening.number),
    ):
        machine.receive(message, B, network.now)
        assert [type(output) for output in machine.poll(network.now)] == [Ignored], message


# Pair streams.


def test_a_pair_stream_hands_pairs_up_at_both_ends() -> None:
    network = net()
    sessions = opened(network, QtpService.PAIRS)
    qtp(network, B).ask_pairs(sessions[1], 3, network.now)
    network.run()
    assert network.of(B, NeedPair) == [NeedPair(sessions[1], 3)]
    pair_up(network, sessions, 1, BellIndex.PSI_MINUS)
    for node in (A, B):
        pair = Pair(A, 1, BellIndex.PSI_MINUS, node * 1000 + 1)
        assert network.of(node, PairReady) == [PairReady(sessions[node - 1], pair)]
        qtp(network, node).pair_lost(sessions[node - 1], pair, network.now)
        assert qtp(network, node).poll(network.now) == [PairGone(sessions[node - 1], pair)]
    qtp(network, A).close(sessions[0], network.now)
    network.run()
    assert network.of(A, ReleaseQubit) == []  # given to the user
    with pytest.raises(SessionGone):
        qtp(network, A).ask_pairs(sessions[0], 1, network.now)


# All of it at once.


@given(data=st.data())
def test_every_qubit_is_delivered_once_or_lost_to_both_or_returned(data: Any) -> None:
    """QTP-5 to QTP-9, both ends sending, with pairs late, lost or refused, and a session closed or a peer lost."""
    draw = data.draw
    pair_ids = iter(range(1, 1000))
    lost_pairs: set[int] = set()
    given_qubits: dict[int, list[int]] = {A: [], B: []}
    consumed: dict[int, list[int]] = {A: [], B: []}  # by programs of Bell measurements

    def give(end: int, session: SessionId, pair: Pair) -> None:
        if end not in network.cut:
            given_qubits[end].append(pair.qubit)
            qtp(network, end).pair(session, pair, network.now)

    def on_event(node: int, event: Any, now: int) -> None:
        match event:
            case NeedPair(session, 1):
                fate = draw(st.sampled_from(["well"] * 6 + ["lost at the peer", "none"]))
                if fate == "none":
                    network.at(now + 1, lambda: qtp(network, node).no_pairs(session, network.now))
                    return
                pair_id, peer = next(pair_ids), A + B - node
                for end in (node, peer):
                    due = now + draw(st.integers(0, 4)) * DELAY_PS
                    pair = Pair(node, pair_id, 0, end * 1000 + pair_id)
                    network.at(due, lambda e=end, p=pair: give(e, sessions[e], p))
                    if fate == "lost at the peer" and end == peer:
                        lost_pairs.add(pair_id)
                        later = due + draw(st.integers(0, 4)) * DELAY_PS
                        network.at(later, lambda p=pair: qtp(network, peer).pair_lost(sessions[peer], p, network.now))
            case RunBellMeasurement(session, index, _, half_here):
                consumed[node].append(half_here)
                due = now + draw(st.integers(1, 4)) * DELAY_PS
                network.at(due, lambda: qtp(network, node).measured(session, index, 0, 0, network.now))

    network = net(on_event)
    session_a, session_b = opened(network)
    sessions = {A: session_a, B: session_b}
    sent: Counter[int] = Counter()

    def teleport(node: int) -> None:
        try:
            qtp(network, node).teleport(sessions[node], 500 + sent[node], network.now)
        except SessionGone:
            return
        sent[node] += 1

    for _ in range(draw(st.integers(1, 8))):
        node = draw(st.sampled_from([A, B]))
        network.at(network.now + draw(st.integers(0, 8)) * DELAY_PS, lambda n=node: teleport(n))
    ending = draw(st.sampled_from(["A closes", "B closes", "both close", "B dies"]))
    when = network.now + draw(st.integers(0, 20)) * DELAY_PS
    if ending == "B dies":
        network.at(when, lambda: network.cut.add(B))
        network.at(when + 3 * DELAY_PS, lambda: qtp(network, A).peer_lost(B, network.now))
    for end in (A, B):
        if ending in ("both close", f"{'AB'[end - 1]} closes"):
            network.at(when, lambda e=end: qtp(network, e).close(sessions[e], network.now))
    network.run()

    for node in (A,) if ending == "B dies" else (A, B):
        ends = endings(network, node)
        assert sorted(event.index for event in ends) == list(range(sent[node]))  # QTP-7
        told = [event for event in network.events[node] if not isinstance(event, ReleaseQubit)]
        assert isinstance(told[-1], Closed)  # a pair may come later, and is released
        assert len(network.of(node, Closed)) == 1
        returned = [event.qubit for event in ends if isinstance(event, Returned)]
        assert returned == [500 + event.index for event in ends if isinstance(event, Returned)]
        arrived = [event.qubit for event in network.of(node, Arrived)]
        freed = [event.qubit for event in network.of(node, ReleaseQubit)]
        assert sorted(arrived + freed + consumed[node]) == sorted(given_qubits[node])  # QTP-8, QTP-9
        assert qtp(network, node).next_timeout() is None
    for node, peer in ((A, B), (B, A)):
        up = [event.index for event in network.of(peer, Arrived)]
        assert up == sorted(set(up))  # QTP-5
        confirmed = {event.index for event in network.of(node, Delivered)}
        assert confirmed <= set(up)
        if ending not in ("B dies",):
            lost_there = {event.index for event in network.of(peer, Lost) if event.incoming}
            lost_here = {event.index for event in network.of(node, Lost) if not event.incoming}
            assert lost_there <= lost_here
            assert confirmed == set(up)


# Flow control, half-close, reset, pace.


def test_a_qubit_waits_for_a_place() -> None:
    """QTP-10: it is not touched before, though its pair is there; a Credit tells of a place."""
    network = net()
    network.machines[B] = Qtp(B, places=1)
    qtp(network, B).listen(PORT, QtpService.TELEPORT)
    sessions = opened(network)
    for qubit in (50, 51, 52):
        qtp(network, A).teleport(sessions[0], qubit, network.now)
    network.run()
    assert network.of(A, NeedPair) == [NeedPair(sessions[0], 1)]
    for pair_id in (1, 2, 3):
        pair_up(network, sessions, pair_id)
    for index in range(3):
        assert [run.index for run in network.of(A, RunBellMeasurement)] == list(range(index + 1))
        qtp(network, A).measured(sessions[0], index, 0, 0, network.now)
        network.run()
        assert len(network.of(A, RunBellMeasurement)) == index + 1
        qtp(network, B).freed(sessions[1], network.now)
        network.run()
    assert network.messages(QtpCredit) == [QtpCredit(sessions[0].number, n) for n in (2, 3, 4)]
    assert len(network.of(B, Arrived)) == 3


def test_a_sender_without_regard_for_places_loses_its_qubit() -> None:
    """QTP-10."""
    network = net()
    network.machines[B] = Qtp(B, places=1)
    qtp(network, B).listen(PORT, QtpService.TELEPORT)
    sessions = opened(network)
    qtp(network, B).receive(QtpTeleport(sessions[0].number, 1, 4, 0), A, network.now)
    network.settle()
    assert network.messages(QtpDelivered) == [QtpDelivered(sessions[0].number, 1, QtpStatus.LOST, 1)]


def test_half_close_leaves_the_other_direction_open() -> None:
    """QTP-11."""
    network = net()
    sessions = opened(network)
    qtp(network, A).teleport(sessions[0], 50, network.now)
    qtp(network, A).finish(sessions[0], network.now)
    network.run()
    assert network.messages(QtpFinish) == []
    pair_up(network, sessions, 1)
    qtp(network, A).measured(sessions[0], 0, 0, 0, network.now)
    network.run()
    assert network.messages(QtpFinish) == [QtpFinish(sessions[0].number, 1)]
    assert network.of(B, PeerFinished) == [PeerFinished(sessions[1])]
    with pytest.raises(SessionGone):
        qtp(network, A).teleport(sessions[0], 51, network.now)
    qtp(network, B).teleport(sessions[1], 60, network.now)
    for node, session in zip((A, B), sessions, strict=True):
        qtp(network, node).pair(session, Pair(B, 5, 0, node * 1000 + 5), network.now)
    network.run()
    qtp(network, B).measured(sessions[1], 0, 0, 0, network.now)
    qtp(network, B).close(sessions[1], network.now)
    network.run()
    assert [event.index for event in network.of(A, Arrived)] == [0]
    assert network.of(A, Closed) == [Closed(sessions[0], CloseReason.CLOSED_BY_PEER)]


def test_a_reset_ends_everything_at_once() -> None:
    """QTP-13."""
    network = net()
    sessions = opened(network)
    for qubit in (50, 51):
        qtp(network, A).teleport(sessions[0], qubit, network.now)
    pair_up(network, sessions, 1)
    qtp(network, B).reset(sessions[1], network.now)
    network.run()
    assert network.events[B][-2:] == [ReleaseQubit(2001), Closed(sessions[1], CloseReason.RESET)]
    assert network.events[A][-3:] == [
        Returned(sessions[0], 1, 51),
        Lost(sessions[0], 0, incoming=False),
        Closed(sessions[0], CloseReason.RESET_BY_PEER),
    ]
    assert network.messages(QtpReset) == [QtpReset(sessions[0].number)]


def test_a_frame_travels_with_the_qubit() -> None:
    """QTP-4."""
    network = net()
    sessions = opened(network)
    qtp(network, A).teleport(sessions[0], 50, network.now, frame=BellIndex.PSI_PLUS)
    pair_up(network, sessions, 1, BellIndex.PHI_MINUS)
    qtp(network, A).measured(sessions[0], 0, 0, 0, network.now)
    network.run()
    assert network.of(B, Arrived) == [Arrived(sessions[1], 0, 2001, 1, 1)]


def test_a_stream_keeps_its_pace_and_its_window() -> None:
    """QTP-12."""
    network = net()
    sessions = opened(network, QtpService.PAIRS)
    begin = network.now
    qtp(network, A).stream(sessions[0], 1_000_000, begin)
    network.run(until=begin + 2_500_000)
    assert len(network.of(A, NeedPair)) == 3
    network.run(until=begin + 9_500_000)
    assert len(network.of(A, NeedPair)) == FIRST_WINDOW  # none comes
    pair = Pair(A, 1, 0, 1001)
    qtp(network, A).pair(sessions[0], pair, network.now)
    network.run(until=begin + 20_500_000)
    assert len(network.of(A, NeedPair)) == FIRST_WINDOW + 1
    qtp(network, A).stream(sessions[0], 0, network.now)
    network.run()
    assert qtp(network, A).next_timeout() is None


def test_the_window_is_what_comes_within_the_least_latency() -> None:
    """QTP-12."""
    pacer = Pacer(64)
    assert pacer.window == FIRST_WINDOW
    pacer.asked(20, 0)
    for time in range(1_000, 1_800, 100):
        pacer.came(time)
    assert (pacer.interval_ps, pacer.window) == (100, 11)
    pacer.forget()
    pacer.came(5_000)
    assert pacer.window == 11
    assert Pacer(2).window == 2


# What a peer may not do.


def test_two_teleports_over_one_pair_are_two_losses() -> None:
    """The pair never comes; both wait equally long for it."""
    network = net()
    _, session = opened(network)
    machine = qtp(network, B)
    for index in (1, 0):
        machine.receive(QtpTeleport(session.number, index, 77, 0), A, network.now)
    machine.poll(network.now)
    outputs = machine.poll(network.now + HOLD_PS)
    assert [output for output in outputs if isinstance(output, Lost)] == [
        Lost(session, 0, incoming=True),
        Lost(session, 1, incoming=True),
    ]


def test_what_a_peer_can_make_a_node_keep_is_bounded() -> None:
    network = net()
    _, session = opened(network)
    machine = qtp(network, B)
    for index in range(1, MOST_PENDING + 10):
        machine.receive(QtpTeleport(session.number, index, index, 0), A, network.now)
    answers = [output.message for output in machine.poll(network.now) if isinstance(output, Send)]
    assert answers == [
        QtpDelivered(session.number, MOST_PENDING + n, QtpStatus.LOST, MOST_PLACES) for n in range(1, 10)
    ]
    for number in range(4, 4 + 2 * MOST_SESSIONS, 2):
        machine.receive(QtpOpen(number, PORT, QtpService.TELEPORT, MOST_PLACES), A, network.now)
    answers = [output.message for output in machine.poll(network.now) if isinstance(output, Send)]
    assert [type(answer) for answer in answers] == [QtpAccept] * (MOST_SESSIONS - 1) + [QtpRefuse]
    assert answers[-1].reason == RefuseReason.TOO_MANY


# Notes.


def test_notes_come_whole_in_order_and_both_ways() -> None:
    """QTP-14."""
    network = net()
    session, other = opened(network)
    notes = [b"", b"x" * 1024, bytes(range(256)) * 20, b"last"]
    for text in notes:
        qtp(network, A).note(session, text, network.now)
    qtp(network, B).note(other, b"back", network.now)
    network.run()
    assert network.of(B, NoteCame) == [NoteCame(other, text) for text in notes]
    assert network.of(A, NoteCame) == [NoteCame(session, b"back")]


def test_a_note_that_is_too_long_is_not_sent_and_one_that_comes_is_dropped() -> None:
    """QTP-14."""
    network = net()
    session, other = opened(network)
    with pytest.raises(ValueError, match="at most"):
        qtp(network, A).note(session, bytes(MOST_NOTE + 1), network.now)
    for _ in range(MOST_NOTE // 1024 + 1):
        qtp(network, B).receive(QtpNote(session.number, 1, bytes(1024)), A, network.now)
    qtp(network, B).receive(QtpNote(session.number, 0, b"next"), A, network.now)
    network.run()
    assert network.of(B, NoteCame) == [NoteCame(other, b"next")]
    assert [event.reason for event in network.of(B, Ignored)] == ["the note is too long"]


def test_nothing_is_said_over_a_session_that_is_not_open() -> None:
    """QTP-14: what comes for none is dropped."""
    network = net()
    session, _ = opened(network)
    qtp(network, A).close(session, network.now)
    with pytest.raises(SessionGone):
        qtp(network, A).note(session, b"late", network.now)
    network.run()
    qtp(network, B).receive(QtpNote(8, 0, b"of none"), A, network.now)
    network.run()
    assert not network.of(B, NoteCame)
