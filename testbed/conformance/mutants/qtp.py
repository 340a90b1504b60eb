"""QPUs that are wrong about their sessions."""

from typing import Any

from protocols import bell
from protocols.device import Program
from protocols.labels import LabelSpace
from protocols.qnp.end import End
from protocols.qtp.node import Qtp
from protocols.qtp.pacing import Pacer
from protocols.qtp.receiving import Receiving
from protocols.qtp.sending import Sending
from protocols.qtp.service import SessionId
from protocols.qtp.states import SESSION_TABLE, Do, SessionInput, SessionState
from protocols.wire import (
    PairUse,
    QnpTrack,
    QtpAccept,
    QtpClose,
    QtpCredit,
    QtpDelivered,
    QtpFinish,
    QtpNote,
    QtpRefuse,
    QtpReset,
    QtpStatus,
    QtpTeleport,
)
from stack.transport.session import QtpSession
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import instead, never_says, nothing, rows, says, value


@breaks("QTP-1")
def takes_the_others_numbers() -> Wrong:
    """Its sessions have numbers that are the peer's to choose."""

    def set_up(right: Any, space: LabelSpace, node: int, peer: int, bits: int) -> None:
        right(space, peer, node, bits)

    return instead(LabelSpace, "__init__", set_up)


@breaks("QTP-2")
def answers_twice() -> Wrong:
    """An Open has two Accepts."""
    return says(QtpAccept, lambda message: (message, message))


@breaks("QTP-2")
def refuses_in_silence() -> Wrong:
    """What it does not take on it leaves unanswered."""
    return never_says(QtpRefuse)


@breaks("QTP-2")
def takes_on_everything() -> Wrong:
    """Whatever the service of the port."""
    return says(QtpRefuse, lambda message: QtpAccept(message.session, 4))


@breaks("QTP-3")
def measures_at_once() -> Wrong:
    """A qubit is used as soon as the user hands it over."""

    def send(right: Any, session: QtpSession, qubit: int, preparation: Program | None = None, frame: int = 0) -> Any:
        session._qubits.run_before(Program().z(qubit))
        return right(session, qubit, preparation, frame)

    return instead(QtpSession, "send", send)


@breaks("QTP-3")
def trusts_its_own_half() -> Wrong:
    """A pair is good when its half is here."""

    def track(right: Any, one: End, record: Any, now: int) -> None:
        right(one, record, now)
        half = record.half
        name, index = (record.name.link, record.name.number), half.bell_index
        row: Any = (one.id.label, record.pair_id, *name, index, index, PairUse.DELIVER, 0, 0, 0, 0, 0)
        one.take_track(QnpTrack(*row), now)

    return instead(End, "_track", track)


@breaks("QTP-4")
def forgets_the_pairs_frame() -> Wrong:
    """The correction is what was measured, whatever the pair's Bell state."""
    return value(bell, "teleport_correction", lambda pair, m1, m2: m2 << 1 | m1)


@breaks("QTP-4")
def swaps_its_outcomes() -> Wrong:
    """m1 and m2 change places."""

    def measured(right: Any, one: Qtp, session: Any, index: int, m1: int, m2: int, now: int) -> None:
        right(one, session, index, m2, m1, now)

    return instead(Qtp, "measured", measured)


@breaks("QTP-4")
def forgets_the_qubits_frame() -> Wrong:
    """What a qubit still needs is left out."""

    def teleport(right: Any, one: Qtp, session: Any, qubit: int, now: int, frame: int = 0) -> int:
        return int(right(one, session, qubit, now))

    return instead(Qtp, "teleport", teleport)


@breaks("QTP-5")
def hands_up_what_comes() -> Wrong:
    """Whatever the order."""

    def on_teleport(right: Any, one: Qtp, message: QtpTeleport, source: int, now: int) -> None:
        session = one._sessions[SessionId(source, message.session)]
        session.receiving.expected = message.index
        right(one, message, source, now)

    return instead(Qtp, "_on_teleport", on_teleport)


@breaks("QTP-6")
def says_nothing_of_what_is_lost() -> Wrong:
    """Only what arrives is told."""
    return says(QtpDelivered, lambda message: None if message.status == QtpStatus.LOST else message)


@breaks("QTP-6")
def waits_for_a_pair_for_ever() -> Wrong:
    """The hold does not end."""

    def set_up(right: Any, one: Qtp, node: int, **named: Any) -> None:
        right(one, node, **named, hold_ps=10**18)

    return instead(Qtp, "__init__", set_up)


@breaks("QTP-7")
def believes_that_all_arrive() -> Wrong:
    """A lost qubit is told as delivered."""

    def on_delivered(right: Any, one: Qtp, message: QtpDelivered, source: int, now: int) -> None:
        right(one, message._replace(status=QtpStatus.OK), source, now)

    return instead(Qtp, "_on_delivered", on_delivered)


@breaks("QTP-8")
def leaves_at_once() -> Wrong:
    """Close does not wait for what is under way."""

    def close(right: Any, one: Qtp, session: Any, *rest: Any) -> None:
        known = one._sessions[session]
        known.sending.sent.clear()
        known.sending.unpaired.clear()
        right(one, session, *rest)

    return instead(Qtp, "close", close)


@breaks("QTP-8")
def leaves_in_silence() -> Wrong:
    """The peer does not hear of the end."""
    return never_says(QtpClose)


@breaks("QTP-8")
def keeps_unused_pairs() -> Wrong:
    """What a session has left over is nobody's."""
    return _drains_not("PEER_CLOSED")


@breaks("QTP-9")
def waits_for_the_lost() -> Wrong:
    """A lost peer changes nothing."""
    return nothing(Qtp, "peer_lost")


@breaks("QTP-9")
def speaks_to_the_lost() -> Wrong:
    """A peer that knows nothing of a session hears that it is reset."""
    key = (SessionState.OPEN, SessionInput.PEER_LOST)
    return rows(SESSION_TABLE, {key: (SessionState.CLOSED, (Do.DRAIN, Do.TELL_RESET, Do.END))})


@breaks("QTP-10")
def minds_no_limit() -> Wrong:
    """Qubits go whether there is a place or not."""

    def on_answer(right: Any, one: Qtp, message: Any, source: int) -> None:
        if isinstance(message, QtpAccept):
            message = message._replace(places=0xFFFF)
        right(one, message, source)

    return instead(Qtp, "_on_answer", on_answer)


@breaks("QTP-10")
def keeps_free_places_to_itself() -> Wrong:
    """No Credit."""
    return never_says(QtpCredit)


@breaks("QTP-10")
def has_endless_places() -> Wrong:
    """Delivered always promises one more."""
    return says(QtpDelivered, lambda message: message._replace(limit=message.index + 9))


@breaks("QTP-11")
def finishes_too_soon() -> Wrong:
    """Finish is said while qubits are under way."""
    return instead(Qtp, "_settle", _settles_at_once)


def _settles_at_once(right: Any, one: Qtp, session: Any) -> None:
    if session.state is SessionState.FINISHING:
        one._move(session, SessionInput.SETTLED)
    else:
        right(one, session)


@breaks("QTP-11")
def finishes_both_ways() -> Wrong:
    """A half-close is a close."""
    return says(QtpFinish, lambda message: QtpClose(message.session))


@breaks("QTP-12")
def asks_for_all() -> Wrong:
    """As many as are wanted are asked for."""
    return value(Pacer, "window", property(lambda pacer: 64))


@breaks("QTP-13")
def resets_itself_only() -> Wrong:
    """The peer does not hear of a reset."""
    return never_says(QtpReset)


@breaks("QTP-13")
def loses_what_it_has() -> Wrong:
    """What waits at a reset is gone."""
    return nothing(Sending, "return_unpaired")


@breaks("QTP-13")
def keeps_pairs_after_a_reset() -> Wrong:
    """Unused pairs stay."""
    return _drains_not("PEER_RESET")


def _drains_not(stimulus: str) -> Wrong:
    key = (SessionState.OPEN, SessionInput[stimulus])
    return rows(SESSION_TABLE, {key: (SessionState.CLOSED, (Do.RETURN, Do.END))})


@breaks("QTP-14")
def hands_up_pieces() -> Wrong:
    """A note comes as its pieces."""

    return instead(Receiving, "note", lambda right, one, message: right(one, message._replace(more=0)))


@breaks("QTP-14")
def says_notes_twice() -> Wrong:
    """Each piece is sent again."""
    return says(QtpNote, lambda message: (message, message))
