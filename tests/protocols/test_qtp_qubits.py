"""QTP between two nodes: teleported qubits, each delivered once, lost to both or returned (QTP-3 to QTP-7, QTP-10)."""

from collections import Counter
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ideal_qubits import CX, H, Qubits, X, Z
from qtp_lab import DELAY_PS, PORT, A, B, endings, net, opened, pair_up, qtp

from protocols.ignored import Ignored
from protocols.machine import Send
from protocols.pairs import Pair, ReleaseQubit
from protocols.qtp.node import MOST_PLACES, MOST_SESSIONS, Qtp
from protocols.qtp.receiving import HOLD_PS, MOST_PENDING
from protocols.qtp.service import (
    Arrived,
    Closed,
    CloseReason,
    Delivered,
    Lost,
    NeedPair,
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
    QtpOpen,
    QtpRefuse,
    QtpService,
    QtpStatus,
    QtpTeleport,
)

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


def test_a_frame_travels_with_the_qubit() -> None:
    """QTP-4."""
    network = net()
    sessions = opened(network)
    qtp(network, A).teleport(sessions[0], 50, network.now, frame=BellIndex.PSI_PLUS)
    pair_up(network, sessions, 1, BellIndex.PHI_MINUS)
    qtp(network, A).measured(sessions[0], 0, 0, 0, network.now)
    network.run()
    assert network.of(B, Arrived) == [Arrived(sessions[1], 0, 2001, 1, 1)]


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
