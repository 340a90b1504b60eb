"""QTP, the transport layer: sessions on ports, pair streams, teleported qubits.  QTP-n: qtp.toml.

What passes between QTP and its neighbours in the stack stands in service.py, the states of a session and
their table in states.py; here are the rules.  Either end may send, and what follows holds for each
direction by itself.

A qubit to be teleported is, at the sender, in one of these places:

    unpaired --a pair of its own, a place there--> measuring --m1, m2--> sent --Delivered OK--> delivered
    unpaired --no more pairs, or the session ends--> returned    (it was not touched, and is the user's again)
    measuring, sent --Delivered LOST, or the session ends--> lost

It is consumed only once a pair is confirmed, and the receiver has a free place: a pair comes here when both ends hold
it, and the receiver says below which index there are places (Accept, Open, Delivered, Credit).  The receiver hands
up qubits in the order of their index, each once: a Teleport waits for those before it and for its pair, and
when the pair is gone, or does not come in HOLD_PS, the qubit is lost and both ends say so.  Corrections go
with the qubit and are applied by the user: the pair's own Bell index is merged by the sender, so the
receiver need not look at its own.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from protocols import bell
from protocols.holds import Holds
from protocols.ignored import Ignored
from protocols.labels import LabelSpace
from protocols.machine import Output, Send
from protocols.pairs import Pair, ReleaseQubit
from protocols.qtp.pacing import Pacer
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
from protocols.qtp.states import SESSION_TABLE, Do, SessionInput, SessionState
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
    QtpStatus,
    QtpTeleport,
)

HOLD_PS = 10_000_000_000  # 10 ms; the pair left the network layer before the Teleport: only drivers delay it
MOST_SESSIONS = 256  # that one peer may have opened here at a time
MOST_PENDING = 1024  # Teleports of a session that wait for their turn; pairs of it that are known to be gone
MOST_WINDOW = 64  # pairs that a session asks for at a time, unless more are to be kept ready
MOST_PLACES = 0xFFFF
MOST_NOTE = 1 << 20  # bytes of one note, however many pieces it comes in
_PIECE = 1024
_NUMBER_BITS = 15  # so that a live session's purpose id is its own


class _Waiting(NamedTuple):
    """A qubit that is to be sent."""

    index: int  # type: ignore[assignment]
    qubit: int
    frame: int
    """X^x and then Z^z, as a Bell index, that are still to be applied to it."""


@dataclass(slots=True)
class _Session:
    id: SessionId
    port: int
    service: QtpService
    opener: bool
    state: SessionState = SessionState.OPENING
    reason: CloseReason = CloseReason.CLOSED

    # What this end sends.
    next_index: int = 0
    limit: int = 0  # the peer has places for indexes below it
    unpaired: deque[_Waiting] = field(default_factory=deque)
    spare: deque[Pair] = field(default_factory=deque)  # pairs that came ahead of their qubit
    ahead: int = 0  # how many of those there should be
    asked: int = 0  # pairs that the network layer still owes
    pacer: Pacer = field(default_factory=lambda: Pacer(MOST_WINDOW))
    interval_ps: int = 0  # of a stream of pairs; 0: none
    measuring: dict[int, tuple[Pair, int]] = field(default_factory=dict)  # pair and Pauli frame by index
    sent: set[int] = field(default_factory=set)

    # What this end receives.
    expected: int = 0  # the next index to hand up
    grant: int = 0  # there are places for indexes below it
    told: int = 0  # what the peer knows of that
    pending: dict[int, QtpTeleport] = field(default_factory=dict)  # by index
    pool: dict[int, Pair | None] = field(default_factory=dict)  # the peer's pairs by pair id; None: it is gone
    note: bytes = b""  # what has come of the peer's next note

    def settled(self) -> bool:
        return not (self.unpaired or self.measuring or self.sent)


class Qtp:
    """Both ends of QTP for one node.  places: qubits that a session may bring before its user lets go of one."""

    def __init__(self, node: int, hold_ps: int = HOLD_PS, places: int = MOST_PLACES) -> None:
        self._node = node
        self._places = min(places, MOST_PLACES)
        self._streams: Timers[SessionId] = Timers()
        self._outputs: list[Output] = []
        self._ports: dict[int, QtpService] = {}
        self._sessions: dict[SessionId, _Session] = {}
        self._numbers: dict[int, LabelSpace] = {}  # by peer
        self._holds: Holds[tuple[SessionId, int]] = Holds(hold_ps)  # a Teleport without its pair

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
        session = _Session(SessionId(peer, number), port, service, opener=True)
        session.grant = session.told = self._places
        self._sessions[session.id] = session
        self._send(peer, QtpOpen(number, port, service, self._places))  # QTP-1
        return session.id

    def close(self, session: SessionId, now: int) -> None:
        """Close once what is on the way has been delivered or lost.  A session that has gone is no error."""
        if (known := self._sessions.get(session)) is not None:
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
        self._need(self._usable(session, QtpService.PAIRS), number, now)

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
            self._outputs.append(ReleaseQubit(pair.qubit))
        elif known.service is QtpService.PAIRS:
            if pair.head == self._node:
                self._came(known, now)
            self._outputs.append(PairReady(session, pair))
        elif pair.head != self._node:
            if known.pool.setdefault(pair.pair_id, pair) is None:  # it was given up before it came
                self._outputs.append(ReleaseQubit(pair.qubit))
            self._hand_up(known)
        else:
            self._came(known, now)
            known.spare.append(pair)
            self._advance(known, now)

    def pair_lost(self, session: SessionId, pair: Pair, now: int) -> None:
        """A pair that was given to this session is a pair no more."""
        known = self._sessions.get(session)
        if known is None:
            return  # released when the session ended
        if known.service is QtpService.PAIRS:
            self._outputs.append(PairGone(session, pair))
        elif pair.head != self._node:
            if known.pool.get(pair.pair_id) is not None:
                known.pool[pair.pair_id] = None
                self._outputs.append(ReleaseQubit(pair.qubit))
                self._hand_up(known)
        elif pair in known.spare:
            known.spare.remove(pair)
            self._outputs.append(ReleaseQubit(pair.qubit))
            self._ask(known, now)
        # One in use goes on: the receiver, which lost it too, says LOST.

    def no_pairs(self, session: SessionId, now: int) -> None:
        """The network layer gave up: what waits for a pair goes back to its user, and the session closes."""
        if (known := self._sessions.get(session)) is not None and known.state is not SessionState.OPENING:
            known.reason = CloseReason.NO_PAIRS
            known.asked = 0
            known.pacer.forget()
            self._move(known, SessionInput.NO_PAIRS)
            self._settle(known)

    # Teleportation.

    def reserve(self, session: SessionId, ahead: int, now: int) -> None:
        """From now on keep so many pairs ready for qubits that are not here yet.  Raises SessionGone.

        Pairs above that, which are here or asked for already, are kept for what comes.
        """
        if ahead < 0:
            raise ValueError(f"{ahead} pairs cannot be kept")
        known = self._usable(session, QtpService.TELEPORT)
        known.ahead = ahead
        self._ask(known, now)

    def ready(self, session: SessionId) -> int:
        """Pairs that wait for qubits; 0 for a session that has gone."""
        known = self._sessions.get(session)
        return 0 if known is None else len(known.spare)

    def freed(self, session: SessionId, now: int) -> None:
        """The user has let go of a qubit that had arrived: there is a place for another.  QTP-10."""
        if (known := self._sessions.get(session)) is not None:
            known.grant += 1
            self._credit(known)

    def teleport(self, session: SessionId, qubit: int, now: int, frame: int = 0) -> int:
        """Send a qubit, which is QTP's from now on; returns its index in the session.  Raises SessionGone.

        frame: X^x and then Z^z, as a Bell index, that are still to be applied to it: merged, never applied (QTP-4).

        Exactly one of Delivered, Lost and Returned will follow.
        """
        known = self._usable(session, QtpService.TELEPORT)
        index = known.next_index
        known.next_index += 1
        known.unpaired.append(_Waiting(index, qubit, frame))
        self._advance(known, now)
        return index

    def note(self, session: SessionId, text: bytes, now: int) -> None:
        """Say something to the user at the other end.  Raises SessionGone, ValueError if it is too long.  QTP-14."""
        if len(text) > MOST_NOTE:
            raise ValueError(f"a note of {len(text)} bytes; at most {MOST_NOTE}")
        known = self._sessions.get(session)
        if known is None or known.state in (SessionState.OPENING, SessionState.CLOSING):
            raise SessionGone(f"session {session.number} with node {session.peer} is not open")
        for at in range(0, max(1, len(text)), _PIECE):
            more = at + _PIECE < len(text)
            self._send(session.peer, QtpNote(session.number, more, text[at : at + _PIECE]))

    def measured(self, session: SessionId, index: int, m1: int, m2: int, now: int) -> None:
        """The Bell measurement of RunBellMeasurement read m1 on the data qubit and m2 on the pair's half."""
        known = self._sessions.get(session)
        if known is None:
            return  # the session ended meanwhile, and said that this qubit is lost
        pair, frame = known.measuring.pop(index)
        known.sent.add(index)
        correction = bell.compose(frame, bell.teleport_correction(pair.bell_index, m1, m2))  # QTP-4
        self._send(session.peer, QtpTeleport(session.number, index, pair.pair_id, correction))

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
            case QtpClose() | QtpReset() | QtpFinish():
                self._on_ending(message, source)
            case QtpCredit():
                self._on_credit(message, source, now)
            case QtpNote():
                self._on_note(message, source)
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
                "unpaired": len(session.unpaired),
                "measuring": len(session.measuring),
                "unconfirmed": len(session.sent),
                "pairs_spare": len(session.spare),
                "pairs_asked": session.asked,
                "pending": len(session.pending),
            }
            for session in self._sessions.values()
        ]

    def poll(self, now: int) -> list[Output]:
        for session_id in self._streams.take_due(now):
            streaming = self._sessions.get(session_id)
            if streaming is not None and streaming.state is SessionState.OPEN:
                if streaming.asked < streaming.pacer.window:
                    self._need(streaming, 1, now)
                self._streams.set(session_id, now + streaming.interval_ps)
        for session_id, index in self._holds.take_due(now):
            session = self._sessions[session_id]
            teleport = session.pending.get(index)
            if teleport is not None:  # else it went a moment ago, with another that names the same pair
                session.pool[teleport.pair_id] = None
                self._hand_up(session)
                gone = [pair_id for pair_id, pair in session.pool.items() if pair is None]
                for pair_id in gone[:-MOST_PENDING]:
                    del session.pool[pair_id]
        outputs, self._outputs = self._outputs, []
        return outputs

    def next_timeout(self) -> int | None:
        return soonest(self._holds.next_due(), self._streams.next())

    # Messages.

    def _on_open(self, message: QtpOpen, source: int) -> None:
        session_id = SessionId(source, message.session)
        service = self._ports.get(message.port)
        numbers = self._numbers_with(source)
        reason = None
        if message.session >> _NUMBER_BITS:
            reason = RefuseReason.UNSUPPORTED
        elif session_id in self._sessions or numbers.owns(message.session):
            reason = RefuseReason.IN_USE
        else:
            numbers.peer_took(message.session)
            if sum(s.id.peer == source and not s.opener for s in self._sessions.values()) >= MOST_SESSIONS:
                reason = RefuseReason.TOO_MANY
        if reason is None and service != message.service:
            reason = RefuseReason.NO_LISTENER if service is None else RefuseReason.WRONG_SERVICE
        if reason is not None:
            self._send(source, QtpRefuse(message.session, reason))
        else:
            session = _Session(session_id, message.port, QtpService(message.service), opener=False)
            session.grant = session.told = self._places
            session.limit = message.places
            self._sessions[session_id] = session
            self._send(source, QtpAccept(message.session, self._places))  # QTP-2
            self._move(session, SessionInput.ACCEPT)

    def _on_answer(self, message: QtpAccept | QtpRefuse, source: int) -> None:
        session = self._sessions.get(SessionId(source, message.session))
        if session is None or session.state is not SessionState.OPENING:
            self._ignore(source, message, "answers nothing")
        elif isinstance(message, QtpAccept):
            session.limit = message.places
            self._move(session, SessionInput.ACCEPT)
        else:
            known = message.reason in set(RefuseReason)
            reason = RefuseReason(message.reason) if known else RefuseReason.UNSUPPORTED
            self._outputs.append(Refused(session.id, session.port, reason))
            self._move(session, SessionInput.REFUSE)

    def _on_teleport(self, message: QtpTeleport, source: int, now: int) -> None:
        session = self._sessions.get(SessionId(source, message.session))
        if session is None or session.service is not QtpService.TELEPORT:
            self._ignore(source, message, "no open session of TELEPORT")
        elif message.index < session.expected or message.index in session.pending:
            self._ignore(source, message, "the index has been used")  # QTP-5
        elif len(session.pending) >= MOST_PENDING or message.index >= session.grant:
            self._ignore(source, message, "too many wait for their turn")
            self._send(source, QtpDelivered(message.session, message.index, QtpStatus.LOST, session.grant))
        else:
            session.pending[message.index] = message
            if message.pair_id not in session.pool:
                self._holds.put((session.id, message.index), now)
            self._hand_up(session)

    def _on_delivered(self, message: QtpDelivered, source: int, now: int) -> None:
        session = self._sessions.get(SessionId(source, message.session))
        if session is None or message.index not in session.sent:
            self._ignore(source, message, "nothing was sent under that index")
            return
        session.sent.remove(message.index)
        session.limit = max(session.limit, message.limit)
        if message.status == QtpStatus.OK:
            self._outputs.append(Delivered(session.id, message.index))
        else:
            self._outputs.append(Lost(session.id, message.index, incoming=False))
        self._advance(session, now)
        self._settle(session)

    def _on_credit(self, message: QtpCredit, source: int, now: int) -> None:
        session = self._sessions.get(SessionId(source, message.session))
        if session is None or session.state is SessionState.OPENING:
            self._ignore(source, message, "no open session")
        else:
            session.limit = max(session.limit, message.limit)
            self._advance(session, now)

    def _on_note(self, message: QtpNote, source: int) -> None:
        session = self._sessions.get(SessionId(source, message.session))
        if session is None or session.state is SessionState.OPENING:
            self._ignore(source, message, "no open session")
        elif len(session.note) + len(message.text) > MOST_NOTE:
            session.note = b""
            self._ignore(source, message, "the note is too long")
        else:
            session.note += message.text
            if not message.more:
                self._outputs.append(NoteCame(session.id, session.note))
                session.note = b""

    def _on_ending(self, message: QtpClose | QtpReset | QtpFinish, source: int) -> None:
        session = self._sessions.get(SessionId(source, message.session))
        if session is None or session.state is SessionState.OPENING:
            self._ignore(source, message, "no open session")
        elif isinstance(message, QtpFinish):
            self._outputs.append(PeerFinished(session.id))  # QTP-11
        elif isinstance(message, QtpReset):
            session.reason = CloseReason.RESET_BY_PEER
            self._move(session, SessionInput.PEER_RESET)
        else:
            session.reason = CloseReason.CLOSED_BY_PEER
            self._move(session, SessionInput.PEER_CLOSED)

    # Small steps.

    def _advance(self, session: _Session, now: int) -> None:
        """Measure what has a pair and a place, and ask for pairs for the rest.  QTP-3, QTP-10."""
        while session.unpaired and session.spare and session.unpaired[0].index < session.limit:
            waiting, pair = session.unpaired.popleft(), session.spare.popleft()
            session.measuring[waiting.index] = (pair, waiting.frame)
            self._outputs.append(RunBellMeasurement(session.id, waiting.index, waiting.qubit, pair.qubit))
        self._ask(session, now)

    def _ask(self, session: _Session, now: int) -> None:
        """For a pair for each qubit that has a place, and for those ahead: these when half are missing, not one by
        one.  No more at a time than the window, or than are to be ahead.  QTP-12."""
        if session.state in (SessionState.OPENING, SessionState.CLOSED):
            return
        ahead = session.ahead if session.state is SessionState.OPEN else 0
        placed = 0
        if session.unpaired:
            placed = max(0, min(len(session.unpaired), session.limit - session.unpaired[0].index))
        urgent = placed - len(session.spare) - session.asked
        missing = min(urgent + ahead, max(session.pacer.window, ahead) - session.asked)
        if missing > 0 and (urgent > 0 or 2 * missing >= ahead):
            self._need(session, missing, now)

    def _need(self, session: _Session, number: int, now: int) -> None:
        session.asked += number
        session.pacer.asked(number, now)
        self._outputs.append(NeedPair(session.id, number))

    @staticmethod
    def _came(session: _Session, now: int) -> None:
        session.asked -= session.asked > 0
        session.pacer.came(now)

    def _credit(self, session: _Session) -> None:
        """Tell of places only when the peer knows of none: else the next Delivered says it.  QTP-10."""
        if session.told <= session.expected < session.grant:
            session.told = session.grant
            self._send(session.id.peer, QtpCredit(session.id.number, session.grant))

    def _hand_up(self, session: _Session) -> None:
        """Everything that is next in order and whose pair is here, or known to be gone."""
        while (teleport := session.pending.get(session.expected)) and teleport.pair_id in session.pool:
            index = session.expected
            session.expected += 1
            del session.pending[index]
            self._holds.drop((session.id, index))
            pair = session.pool[teleport.pair_id]
            if pair is None:  # remembered, for it may still come
                status = QtpStatus.LOST
                session.grant += 1
                self._outputs.append(Lost(session.id, index, incoming=True))
            else:
                status = QtpStatus.OK
                del session.pool[teleport.pair_id]
                x, z = bell.bit_flip(teleport.correction), bell.phase_flip(teleport.correction)
                self._outputs.append(Arrived(session.id, index, pair.qubit, x, z))
            session.told = session.grant
            self._send(session.id.peer, QtpDelivered(session.id.number, index, status, session.grant))  # QTP-6

    def _move(self, session: _Session, stimulus: SessionInput) -> None:
        session.state, actions = SESSION_TABLE[session.state, stimulus]
        for action in actions:
            match action:
                case Do.ANNOUNCE:
                    self._outputs.append(Opened(session.id, session.port, session.service, session.opener))
                case Do.RETURN:
                    self._return_unpaired(session)
                case Do.DRAIN:
                    self._return_unpaired(session)
                    self._drain(session)
                case Do.TELL_FINISH:  # QTP-11
                    self._send(session.id.peer, QtpFinish(session.id.number, session.next_index))
                case Do.TELL:  # QTP-8
                    self._send(session.id.peer, QtpClose(session.id.number))
                case Do.TELL_RESET:  # QTP-13
                    self._send(session.id.peer, QtpReset(session.id.number))
                case Do.END:
                    self._outputs.append(Closed(session.id, session.reason))
        if session.state is SessionState.CLOSED:
            self._streams.cancel(session.id)
            del self._sessions[session.id]
            if session.opener:
                self._numbers[session.id.peer].give_back(session.id.number)

    def _settle(self, session: _Session) -> None:
        if session.state in (SessionState.CLOSING, SessionState.FINISHING) and session.settled():
            self._move(session, SessionInput.SETTLED)

    def _return_unpaired(self, session: _Session) -> None:
        for index, qubit, _ in session.unpaired:
            self._outputs.append(Returned(session.id, index, qubit))
        session.unpaired.clear()

    def _drain(self, session: _Session) -> None:
        """Nothing more will be heard of what is under way.  QTP-7."""
        for index in sorted([*session.measuring, *session.sent]):
            self._outputs.append(Lost(session.id, index, incoming=False))
        for index in sorted(session.pending):
            self._holds.drop((session.id, index))
            self._outputs.append(Lost(session.id, index, incoming=True))
        unused: Iterable[Pair | None] = (*session.spare, *session.pool.values())
        for pair in unused:
            if pair is not None:
                self._outputs.append(ReleaseQubit(pair.qubit))

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

    def _send(
        self,
        destination: int,
        message: QtpOpen
        | QtpAccept
        | QtpRefuse
        | QtpTeleport
        | QtpDelivered
        | QtpClose
        | QtpCredit
        | QtpFinish
        | QtpReset
        | QtpNote,
    ) -> None:
        self._outputs.append(Send(destination, message, reliable=True))

    def _ignore(self, source: int, message: NamedTuple, reason: str) -> None:
        self._outputs.append(Ignored(source, type(message).__name__, reason))
