"""One direction of a QTP session, at its sender: the qubits that go, and the pairs that they go by.  QTP-n: qtp.toml.

A qubit to be teleported is in one of these places:

    unpaired --a pair of its own, a place there--> measuring --m1, m2--> sent --Delivered OK--> delivered
    unpaired --no more pairs, or the session ends--> returned    (it was not touched, and is the user's again)
    measuring, sent --Delivered LOST, or the session ends--> lost

It is consumed only once a pair is confirmed, and the receiver has a free place: a pair comes here when both ends hold
it, and the receiver says below which index there are places (Accept, Open, Delivered, Credit).
"""

from collections import deque
from typing import Final, NamedTuple

from protocols import bell
from protocols.pairs import Pair, ReleaseQubit
from protocols.qtp.pacing import Pacer
from protocols.qtp.service import Delivered, Lost, NeedPair, Returned, RunBellMeasurement, SessionId
from protocols.qtp.states import Shared
from protocols.wire.codec import QtpDelivered, QtpNote, QtpStatus, QtpTeleport

MOST_WINDOW: Final = 64
"""Pairs that a session asks for at a time, unless more are to be kept ready."""

_PIECE: Final = 1024


class _Waiting(NamedTuple):
    """A qubit that is to be sent."""

    index: int  # type: ignore[assignment]
    qubit: int
    frame: int
    """X^x and then Z^z, as a Bell index, that are still to be applied to it."""


class Sending:
    """Of one session at one end."""

    def __init__(self, session: SessionId, shared: Shared) -> None:
        self.limit = 0  # the peer has places for indexes below it
        self.ahead = 0  # pairs that there should be for qubits that are not here yet
        self.next_index = 0
        self.unpaired: deque[_Waiting] = deque()
        self.measuring: dict[int, tuple[Pair, int]] = {}  # pair and Pauli frame by index
        self.sent: set[int] = set()
        self.spare: deque[Pair] = deque()  # pairs that came ahead of their qubit
        self.asked = 0  # pairs that the network layer still owes
        self._pacer = Pacer(MOST_WINDOW)
        self._session = session
        self._shared = shared

    @property
    def settled(self) -> bool:
        """Is nothing on the way?"""
        return not (self.unpaired or self.measuring or self.sent)

    # Qubits.

    def teleport(self, qubit: int, frame: int, now: int) -> int:
        """One more; its index."""
        index = self.next_index
        self.next_index += 1
        self.unpaired.append(_Waiting(index, qubit, frame))
        self.advance(now)
        return index

    def measured(self, index: int, m1: int, m2: int) -> None:
        pair, frame = self.measuring.pop(index)
        self.sent.add(index)
        correction = bell.compose(frame, bell.teleport_correction(pair.bell_index, m1, m2))  # QTP-4
        self._shared.send(self._session.peer, QtpTeleport(self._session.number, index, pair.pair_id, correction))

    def delivered(self, message: QtpDelivered, now: int) -> None:
        """What has become of one that was sent."""
        index = message.index
        self.sent.remove(index)
        self.limit = max(self.limit, message.limit)
        if message.status == QtpStatus.OK:
            self._shared.outputs.append(Delivered(self._session, index))
        else:
            self._shared.outputs.append(Lost(self._session, index, incoming=False))
        self.advance(now)

    def credit(self, limit: int, now: int) -> None:
        """The peer has places for indexes below `limit`."""
        self.limit = max(self.limit, limit)
        self.advance(now)

    def note(self, text: bytes) -> None:
        """Said at once: notes wait for no qubits.  QTP-14."""
        for at in range(0, max(1, len(text)), _PIECE):
            more = at + _PIECE < len(text)
            self._shared.send(self._session.peer, QtpNote(self._session.number, more, text[at : at + _PIECE]))

    # Pairs.

    def pair(self, pair: Pair, now: int) -> None:
        """One of those asked for, for the next qubit."""
        self.came(now)
        self.spare.append(pair)
        self.advance(now)

    def pair_lost(self, pair: Pair, now: int) -> None:
        """One in use goes on: the receiver, which lost it too, says LOST."""
        if pair in self.spare:
            self.spare.remove(pair)
            self._shared.outputs.append(ReleaseQubit(pair.qubit))
            self._ask(now)

    def reserve(self, ahead: int, now: int) -> None:
        self.ahead = ahead
        self._ask(now)

    def need(self, number: int, now: int) -> None:
        """From the network layer."""
        self.asked += number
        self._pacer.asked(number, now)
        self._shared.outputs.append(NeedPair(self._session, number))

    def need_in_window(self, now: int) -> None:
        """One more, unless as many are owed as the network can bring.  QTP-12."""
        if self.asked < self._pacer.window:
            self.need(1, now)

    def came(self, now: int) -> None:
        """One of those that are owed."""
        self.asked -= self.asked > 0
        self._pacer.came(now)

    def no_pairs(self) -> None:
        """What is owed will not come."""
        self.asked = 0
        self._pacer.forget()

    def advance(self, now: int) -> None:
        """Measure what has a pair and a place, and ask for pairs for the rest.  QTP-3, QTP-10."""
        while self.unpaired and self.spare and self.unpaired[0].index < self.limit:
            waiting, pair = self.unpaired.popleft(), self.spare.popleft()
            self.measuring[waiting.index] = (pair, waiting.frame)
            self._shared.outputs.append(
                RunBellMeasurement(self._session, waiting.index, waiting.qubit, pair.qubit)
            )
        self._ask(now)

    def _ask(self, now: int) -> None:
        """For a pair for each qubit that has a place, and for those ahead: these when half are missing, not one by
        one.  No more at a time than the window, or than are to be ahead.  QTP-12."""
        placed = 0
        if self.unpaired:
            placed = max(0, min(len(self.unpaired), self.limit - self.unpaired[0].index))
        urgent = placed - len(self.spare) - self.asked
        missing = min(urgent + self.ahead, max(self._pacer.window, self.ahead) - self.asked)
        if missing > 0 and (urgent > 0 or 2 * missing >= self.ahead):
            self.need(missing, now)

    # The end.

    def return_unpaired(self) -> None:
        """The user gets back what was not touched."""
        for index, qubit, _ in self.unpaired:
            self._shared.outputs.append(Returned(self._session, index, qubit))
        self.unpaired.clear()

    def lose(self) -> None:
        """Nothing more will be heard of what is under way.  QTP-7."""
        for index in sorted([*self.measuring, *self.sent]):
            self._shared.outputs.append(Lost(self._session, index, incoming=False))

    def release(self) -> None:
        """Of pairs that no qubit has used."""
        for pair in self.spare:
            self._shared.outputs.append(ReleaseQubit(pair.qubit))
