"""QTP, the transport layer: sessions on ports, pair streams, teleported qubits.  QTP-n: qtp.toml.

Here are the sessions of a node: how they are opened and closed, and which of them a message or a pair is for.  Either
end may send, and each direction goes by itself: sending.py and receiving.py are its two ends.  The states of a session
and their table stand in states.py, what passes between QTP and its neighbours in the stack in service.py.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from protocols.holds import Holds
from protocols.labels import LabelSpace
from protocols.machine import Output
from protocols.pairs import Pair, ReleaseQubit
from protocols.qtp.receiving import HOLD_PS, MOST_NOTE, Receiving
from protocols.qtp.sending import Sending
from protocols.qtp.service import (
    Closed,
    CloseReason,
    Opened,
    PairGone,
    PairReady,
    PeerFinished,
    Refused,
    RefuseReason,
    SessionGone,
    SessionId,
)
from protocols.qtp.states import SESSION_TABLE, Do, SessionInput, SessionState, Shared
from protocols.timers import Timers, soonest
from protocols.wire.codec import (
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
    QtpTeleport,
)

MOST_SESSIONS: Final = 256
"""That one peer may have opened here at a time."""

MOST_PLACES: Final = 0xFFFF

_NUMBER_BITS: Final = 15  # so that a live session's purpose id is its own


@dataclass(slots=True)
class _Session:
    id: SessionId
    port: int
    service: QtpService
    opener: bool
    sending: Sending
    receiving: Receiving
    state: SessionState = SessionState.OPENING
    reason: CloseReason = CloseReason.CLOSED
    interval_ps: int = 0  # of a stream of pairs; 0: none


class Qtp:
    """Both ends of QTP for one node.  places: qubits that a session may bring before its user lets go of one."""

    def __init__(self, node: int, hold_ps: int = HOLD_PS, places: int = MOST_PLACES) -> None:
        self._node = node
        self._places = min(places, MOST_PLACES)
        self._streams: Timers[SessionId] = Timers()
        self._shared = Shared(Holds(hold_ps))
        self._ports: dict[int, QtpService] = {}
        self._sessions: dict[SessionId, _Session] = {}
        self._numbers: dict[int, LabelSpace] = {}  # by peer

    # Sessions.

    def listen(self, port: int, service: QtpService) -> None:
        """Accept sessions of any node on this port."""
        if service is QtpService.MESSAGES:
            raise ValueError("QTP has no service for messages yet")
        self._ports[port] = service

    def unlisten(self, port: int) -> None:
        """Accept no more of them; open sessions stay."""
        self._ports.pop(port, None)

    def open(self, peer: int, port: int, service: QtpService, now: int) -> SessionId:
        """Ask for a session; Opened, Refused or Closed will tell."""
        if peer == self._node:
            raise ValueError("a session needs another node")
        number = self._numbers_with(peer).take()
        if number is None:
            raise ValueError(f"every session number with node {peer} is in use")
        session = self._add(SessionId(peer, number), port, service, opener=True)
        self._shared.send(peer, QtpOpen(number, port, service, self._places))  # QTP-1
        return session.id

    def close(self, session: SessionId, now: int, give_back: bool = False) -> None:
        """Close once what is on the way has been delivered or lost.  A session that has gone is no error.

        give_back: what has not been touched is not waited for: it is returned.
        """
        if (known := self._sessions.get(session)) is not None:
            if give_back:
                known.sending.return_unpaired()
            self._move(known, SessionInput.CLOSE)
            self._settle(known)

    def finish(self, session: SessionId, now: int) -> None:
        """Half-close: send no more once what is on the way has been delivered or lost; go on receiving."""
        if (known := self._sessions.get(session)) is not None:
            if known.state is SessionState.OPENING:
                raise SessionGone(f"session {session.number} with node {session.peer} is not open yet")
            self._move(known, SessionInput.FINISH)
            self._settle(known)

    def reset(self, session: SessionId, now: int) -> None:
        """End at once: what is on the way is lost to both.  A session that has gone is no error."""
        if (known := self._sessions.get(session)) is not None:
            known.reason = CloseReason.RESET
            self._move(known, SessionInput.RESET)

    # Pairs, from the network layer.

    def ask_pairs(self, session: SessionId, number: int, now: int) -> None:
        """A user of PAIRS needs so many more.  Raises SessionGone."""
        self._usable(session, QtpService.PAIRS).sending.need(number, now)

    def stream(self, session: SessionId, interval_ps: int, now: int) -> None:
        """A user of PAIRS needs one every `interval_ps`, from now on; 0: no more.  Raises SessionGone.

        When pairs do not come as fast as that, no more than the window are asked for at a time.  QTP-12.
        """
        if interval_ps < 0:
            raise ValueError(f"no pairs come every {interval_ps} ps")
        known = self._usable(session, QtpService.PAIRS)
        known.interval_ps = interval_ps
        if interval_ps:
            self._streams.set(session, now)
        else:
            self._streams.cancel(session)

    def pair(self, session: SessionId, pair: Pair, now: int) -> None:
        """Both ends of the session hold this pair now."""
        known = self._sessions.get(session)
        if known is None:
            self._shared.outputs.append(ReleaseQubit(pair.qubit))
        elif known.service is QtpService.PAIRS:
            if pair.head == self._node:
                known.sending.came(now)
            self._shared.outputs.append(PairReady(session, pair))
        elif pair.head == self._node:
            known.sending.pair(pair, now)
        else:
            known.receiving.pair(pair)

    def pair_lost(self, session: SessionId, pair: Pair, now: int) -> None:
        """A pair that was given to this session is a pair no more."""
        known = self._sessions.get(session)
        if known is None:
            return  # released when the session ended
        if known.service is QtpService.PAIRS:
            self._shared.outputs.append(PairGone(session, pair))
        elif pair.head == self._node:
            known.sending.pair_lost(pair, now)
        else:
            known.receiving.pair_lost(pair)

    def no_pairs(self, session: SessionId, now: int) -> None:
        """The network layer gave up: what waits for a pair goes back to its user, and the session closes."""
        if (known := self._sessions.get(session)) is not None and known.state is not SessionState.OPENING:
            known.reason = CloseReason.NO_PAIRS
            known.sending.no_pairs()
            self._move(known, SessionInput.NO_PAIRS)
            self._settle(known)

    # Teleportation.

    def reserve(self, session: SessionId, ahead: int, now: int) -> None:
        """From now on keep so many pairs ready for qubits that are not here yet.  Raises SessionGone.

        Pairs above that, which are here or asked for already, are kept for what comes.
        """
        if ahead < 0:
            raise ValueError(f"{ahead} pairs cannot be kept")
        self._usable(session, QtpService.TELEPORT).sending.reserve(ahead, now)

    def ready(self, session: SessionId) -> int:
        """Pairs that wait for qubits; 0 for a session that has gone."""
        known = self._sessions.get(session)
        return 0 if known is None else len(known.sending.spare)

    def freed(self, session: SessionId, now: int) -> None:
        """The user has let go of a qubit that had arrived: there is a place for another.  QTP-10."""
        if (known := self._sessions.get(session)) is not None:
            known.receiving.freed()

    def teleport(self, session: SessionId, qubit: int, now: int, frame: int = 0) -> int:
        """Send a qubit, which is QTP's from now on; returns its index in the session.  Raises SessionGone.

        frame: X^x and then Z^z, as a Bell index, that are still to be applied to it: merged, never applied (QTP-4).

        Exactly one of Delivered, Lost and Returned will follow.
        """
        return self._usable(session, QtpService.TELEPORT).sending.teleport(qubit, frame, now)

    def note(self, session: SessionId, text: bytes, now: int) -> None:
        """Say something to the user at the other end.  Raises SessionGone, ValueError if it is too long.  QTP-14."""
        if len(text) > MOST_NOTE:
            raise ValueError(f"a note of {len(text)} bytes; at most {MOST_NOTE}")
        known = self._sessions.get(session)
        if known is None or known.state in (SessionState.OPENING, SessionState.CLOSING):
            raise SessionGone(f"session {session.number} with node {session.peer} is not open")
        known.sending.note(text)

    def measured(self, session: SessionId, index: int, m1: int, m2: int, now: int) -> None:
        """The Bell measurement of RunBellMeasurement read m1 on the data qubit and m2 on the pair's half."""
        if (known := self._sessions.get(session)) is not None:  # else it ended, and said that this qubit is lost
            known.sending.measured(index, m1, m2)

    # The machine.

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        match message:
            case QtpOpen():
                self._on_open(message, source)
            case (
                QtpAccept()
                | QtpRefuse()
                | QtpTeleport()
                | QtpDelivered()
                | QtpClose()
                | QtpCredit()
                | QtpFinish()
                | QtpReset()
                | QtpNote()
            ) if self._is_past(SessionId(source, message.session)):
                pass  # sent before the peer knew that the session had ended
            case QtpAccept() | QtpRefuse():
                self._on_answer(message, source)
            case QtpTeleport():
                self._on_teleport(message, source, now)
            case QtpDelivered():
                self._on_delivered(message, source, now)
            case QtpCredit() | QtpNote() | QtpFinish() | QtpReset() | QtpClose():
                self._on_open_session(message, source, now)
            case _:
                raise TypeError(f"{type(message).__name__} is not a message of QTP")

    def peer_lost(self, peer: int, now: int) -> None:
        """The node is gone, or has started anew: its sessions are void."""
        for session in [s for s in self._sessions.values() if s.id.peer == peer]:
            session.reason = CloseReason.PEER_LOST  # QTP-9
            self._move(session, SessionInput.PEER_LOST)
        self._numbers_with(peer).peer_starts_anew()

    def shown(self) -> list[dict[str, int | str]]:
        """Its sessions, for people who look."""
        return [
            {
                "peer": session.id.peer,
                "port": session.port,
                "state": session.state.name,
                "service": session.service.name,
                "unpaired": len(session.sending.unpaired),
                "measuring": len(session.sending.measuring),
                "unconfirmed": len(session.sending.sent),
                "pairs_spare": len(session.sending.spare),
                "pairs_asked": session.sending.asked,
                "pending": len(session.receiving.pending),
            }
            for session in self._sessions.values()
        ]

    def poll(self, now: int) -> list[Output]:
        for session_id in self._streams.take_due(now):
            streaming = self._sessions.get(session_id)
            if streaming is not None and streaming.state is SessionState.OPEN:
                streaming.sending.need_in_window(now)
                self._streams.set(session_id, now + streaming.interval_ps)
        for session_id, index in self._shared.holds.take_due(now):
            self._sessions[session_id].receiving.waited(index)
        outputs, self._shared.outputs = self._shared.outputs, []
        return outputs

    def next_timeout(self) -> int | None:
        return soonest(self._shared.holds.next_due(), self._streams.next())

    # Messages.

    def _on_open(self, message: QtpOpen, source: int) -> None:
        reason = self._refusal(message, source)
        if reason is not None:
            self._shared.send(source, QtpRefuse(message.session, reason))
            return
        session = self._add(SessionId(source, message.session), message.port, QtpService(message.service), opener=False)
        session.sending.limit = message.places
        self._shared.send(source, QtpAccept(message.session, self._places))  # QTP-2
        self._move(session, SessionInput.ACCEPT)

    def _refusal(self, message: QtpOpen, source: int) -> RefuseReason | None:
        """Why there can be no such session."""
        numbers = self._numbers_with(source)
        if message.session >> _NUMBER_BITS:
            return RefuseReason.UNSUPPORTED
        if SessionId(source, message.session) in self._sessions or numbers.owns(message.session):
            return RefuseReason.IN_USE
        numbers.peer_took(message.session)
        if sum(s.id.peer == source and not s.opener for s in self._sessions.values()) >= MOST_SESSIONS:
            return RefuseReason.TOO_MANY
        service = self._ports.get(message.port)
        if service is None:
            return RefuseReason.NO_LISTENER
        return None if service == message.service else RefuseReason.WRONG_SERVICE

    def _on_answer(self, message: QtpAccept | QtpRefuse, source: int) -> None:
        session = self._sessions.get(SessionId(source, message.session))
        if session is None or session.state is not SessionState.OPENING:
            self._shared.ignore(source, message, "answers nothing")
        elif isinstance(message, QtpAccept):
            session.sending.limit = message.places
            self._move(session, SessionInput.ACCEPT)
        else:
            known = message.reason in set(RefuseReason)
            reason = RefuseReason(message.reason) if known else RefuseReason.UNSUPPORTED
            self._shared.outputs.append(Refused(session.id, session.port, reason))
            self._move(session, SessionInput.REFUSE)

    def _on_teleport(self, message: QtpTeleport, source: int, now: int) -> None:
        session = self._sessions.get(SessionId(source, message.session))
        if session is None or session.service is not QtpService.TELEPORT:
            self._shared.ignore(source, message, "no open session of TELEPORT")
        else:
            session.receiving.teleport(message, now)

    def _on_delivered(self, message: QtpDelivered, source: int, now: int) -> None:
        session = self._sessions.get(SessionId(source, message.session))
        if session is None or message.index not in session.sending.sent:
            self._shared.ignore(source, message, "nothing was sent under that index")
            return
        session.sending.delivered(message, now)
        self._settle(session)

    def _on_open_session(
        self, message: QtpCredit | QtpNote | QtpFinish | QtpReset | QtpClose, source: int, now: int
    ) -> None:
        session = self._sessions.get(SessionId(source, message.session))
        if session is None or session.state is SessionState.OPENING:
            self._shared.ignore(source, message, "no open session")
            return
        match message:
            case QtpCredit():
                session.sending.credit(message.limit, now)
            case QtpNote():
                session.receiving.note(message)
            case QtpFinish():
                self._shared.outputs.append(PeerFinished(session.id))  # QTP-11
            case QtpReset():
                session.reason = CloseReason.RESET_BY_PEER
                self._move(session, SessionInput.PEER_RESET)
            case QtpClose():
                session.reason = CloseReason.CLOSED_BY_PEER
                self._move(session, SessionInput.PEER_CLOSED)

    # Small steps.

    def _add(self, session_id: SessionId, port: int, service: QtpService, opener: bool) -> _Session:
        halves = Sending(session_id, self._shared), Receiving(session_id, self._shared, self._places)
        session = self._sessions[session_id] = _Session(session_id, port, service, opener, *halves)
        return session

    def _move(self, session: _Session, stimulus: SessionInput) -> None:
        session.state, actions = SESSION_TABLE[session.state, stimulus]
        if session.state is not SessionState.OPEN:
            session.sending.ahead = 0  # no qubits come any more
        for action in actions:
            match action:
                case Do.ANNOUNCE:
                    self._shared.outputs.append(Opened(session.id, session.port, session.service, session.opener))
                case Do.RETURN:
                    session.sending.return_unpaired()
                case Do.DRAIN:
                    session.sending.return_unpaired()
                    for half in (session.sending, session.receiving):
                        half.lose()
                    for half in (session.sending, session.receiving):
                        half.release()
                case Do.TELL_FINISH:  # QTP-11
                    self._shared.send(session.id.peer, QtpFinish(session.id.number, session.sending.next_index))
                case Do.TELL:  # QTP-8
                    self._shared.send(session.id.peer, QtpClose(session.id.number))
                case Do.TELL_RESET:  # QTP-13
                    self._shared.send(session.id.peer, QtpReset(session.id.number))
                case Do.END:
                    self._shared.outputs.append(Closed(session.id, session.reason))
        if session.state is SessionState.CLOSED:
            self._streams.cancel(session.id)
            del self._sessions[session.id]
            if session.opener:
                self._numbers[session.id.peer].give_back(session.id.number)

    def _settle(self, session: _Session) -> None:
        if session.state in (SessionState.CLOSING, SessionState.FINISHING) and session.sending.settled:
            self._move(session, SessionInput.SETTLED)

    def _usable(self, session: SessionId, service: QtpService) -> _Session:
        known = self._sessions.get(session)
        if known is None or known.state is not SessionState.OPEN:
            raise SessionGone(f"session {session.number} with node {session.peer} is not open")
        if known.service is not service:
            raise ValueError(f"session {session.number} with node {session.peer} is not one of {service.name}")
        return known

    def _is_past(self, session: SessionId) -> bool:
        """Was there a session of this number, and is there none now?"""
        return session not in self._sessions and self._numbers_with(session.peer).is_past(session.number)

    def _numbers_with(self, peer: int) -> LabelSpace:
        if peer not in self._numbers:
            self._numbers[peer] = LabelSpace(self._node, peer, _NUMBER_BITS)
        return self._numbers[peer]
