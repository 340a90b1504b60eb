"""One direction of a QTP session, at its receiver: the qubits that come, and the places for them.  QTP-n: qtp.toml.

Qubits are handed up in the order of their index, each once: a Teleport waits for those before it and for its pair, and
when the pair is gone, or does not come in HOLD_PS, the qubit is lost and both ends say so.  Corrections go with the
qubit and are applied by the user: the pair's own Bell index is merged by the sender, so the receiver need not look at
its own.
"""

from typing import Final

from protocols import bell
from protocols.pairs import Pair, ReleaseQubit
from protocols.qtp.service import Arrived, Lost, NoteCame, SessionId
from protocols.qtp.states import Shared
from protocols.wire.codec import QtpCredit, QtpDelivered, QtpNote, QtpStatus, QtpTeleport

HOLD_PS: Final = 10_000_000_000  # 10 ms; the pair left the network layer before the Teleport: only drivers delay it

MOST_PENDING: Final = 1024
"""Teleports of a session that wait for their turn; pairs of it that are known to be gone."""

MOST_NOTE: Final = 1 << 20
"""Bytes of one note, however many pieces it comes in."""


class Receiving:
    """Of one session at one end."""

    def __init__(self, session: SessionId, shared: Shared, places: int) -> None:
        self.expected = 0  # the next index to hand up
        self.pending: dict[int, QtpTeleport] = {}  # by index
        self._grant = places  # there are places for indexes below it
        self._told = places  # what the peer knows of that
        self._pool: dict[int, Pair | None] = {}  # the peer's pairs by pair id; None: it is gone
        self._note = b""  # what has come of the peer's next note
        self._session = session
        self._shared = shared

    def teleport(self, message: QtpTeleport, now: int) -> None:
        index, peer = message.index, self._session.peer
        if index < self.expected or index in self.pending:
            self._shared.ignore(peer, message, "the index has been used")  # QTP-5
        elif len(self.pending) >= MOST_PENDING or index >= self._grant:
            self._shared.ignore(peer, message, "too many wait for their turn")
            self._shared.send(peer, QtpDelivered(message.session, index, QtpStatus.LOST, self._grant))
        else:
            self.pending[index] = message
            if message.pair_id not in self._pool:
                self._shared.holds.put((self._session, index), now)
            self._hand_up()

    def waited(self, index: int) -> None:
        """The pair of this Teleport has not come in time."""
        teleport = self.pending.get(index)
        if teleport is not None:  # else it went a moment ago, with another that names the same pair
            self._pool[teleport.pair_id] = None
            self._hand_up()
            gone = [pair_id for pair_id, pair in self._pool.items() if pair is None]
            for pair_id in gone[:-MOST_PENDING]:
                del self._pool[pair_id]

    def pair(self, pair: Pair) -> None:
        """One of the peer's."""
        if self._pool.setdefault(pair.pair_id, pair) is None:  # it was given up before it came
            self._shared.outputs.append(ReleaseQubit(pair.qubit))
        self._hand_up()

    def pair_lost(self, pair: Pair) -> None:
        if self._pool.get(pair.pair_id) is not None:
            self._pool[pair.pair_id] = None
            self._shared.outputs.append(ReleaseQubit(pair.qubit))
            self._hand_up()

    def freed(self) -> None:
        """There is a place for another.  The peer is told only when it knows of none: else the next Delivered says
        it.  QTP-10."""
        self._grant += 1
        if self._told <= self.expected < self._grant:
            self._told = self._grant
            self._shared.send(self._session.peer, QtpCredit(self._session.number, self._grant))

    def note(self, message: QtpNote) -> None:
        if len(self._note) + len(message.text) > MOST_NOTE:
            self._note = b""
            self._shared.ignore(self._session.peer, message, "the note is too long")
            return
        self._note += message.text
        if not message.more:
            self._shared.outputs.append(NoteCame(self._session, self._note))
            self._note = b""

    def _hand_up(self) -> None:
        """Everything that is next in order and whose pair is here, or known to be gone."""
        session = self._session
        while (teleport := self.pending.get(self.expected)) and teleport.pair_id in self._pool:
            index = self.expected
            self.expected += 1
            del self.pending[index]
            self._shared.holds.drop((session, index))
            pair = self._pool[teleport.pair_id]
            if pair is None:  # remembered, for it may still come
                status = QtpStatus.LOST
                self._grant += 1
                self._shared.outputs.append(Lost(session, index, incoming=True))
            else:
                status = QtpStatus.OK
                del self._pool[teleport.pair_id]
                x, z = bell.bit_flip(teleport.correction), bell.phase_flip(teleport.correction)
                self._shared.outputs.append(Arrived(session, index, pair.qubit, x, z))
            self._told = self._grant
            self._shared.send(session.peer, QtpDelivered(session.number, index, status, self._grant))  # QTP-6

    # The end.

    def lose(self) -> None:
        """Nothing more will be heard of what is under way.  QTP-7."""
        for index in sorted(self.pending):
            self._shared.holds.drop((self._session, index))
            self._shared.outputs.append(Lost(self._session, index, incoming=True))

    def release(self) -> None:
        """Of pairs that no qubit has used."""
        for pair in self._pool.values():
            if pair is not None:
                self._shared.outputs.append(ReleaseQubit(pair.qubit))
