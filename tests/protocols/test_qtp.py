"""QTP between two nodes: sessions, their ends, pair streams, notes (QTP-1, 2, 8, 9, 11 to 14)."""


import pytest
from qtp_lab import PORT, A, B, net, opened, pair_up, qtp

from protocols.ignored import Ignored
from protocols.machine import Send
from protocols.pairs import Pair, ReleaseQubit
from protocols.qtp.node import MOST_PLACES, Qtp
from protocols.qtp.pacing import FIRST_WINDOW, Pacer
from protocols.qtp.receiving import MOST_NOTE
from protocols.qtp.service import (
    Arrived,
    Closed,
    CloseReason,
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
    SessionGone,
    SessionId,
)
from protocols.wire.codec import (
    BellIndex,
    QtpAccept,
    QtpClose,
    QtpFinish,
    QtpNote,
    QtpOpen,
    QtpRefuse,
    QtpReset,
    QtpService,
)

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


# Half-close, reset, pace.


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
