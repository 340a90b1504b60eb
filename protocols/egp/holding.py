"""What a node sets aside for the trains of one link: a communication qubit and, for a half that it keeps, a place in
storage.

What may live here: taking both, and whether the qubit of a train comes back as it was or is given up.
"""

from typing import NamedTuple

from protocols.egp.states import Shared, TimerKey, TimerKind, Train
from protocols.pairs import ReleaseQubit


class SetAside(NamedTuple):
    """For one train."""

    qubit: int
    room: bool  # a place in storage, too


class Holding:
    """`served` says when the link last got a qubit: those of one node take turns."""

    def __init__(self, link: int, shared: Shared) -> None:
        self.served = 0
        self.kept: int | None = None  # the qubit for a train that is to come
        self._link = link
        self._shared = shared
        self._until = TimerKey(TimerKind.HELD, link)

    def has_room(self, keeps: bool) -> bool:
        """For a half that the node keeps, or measures at once."""
        return not keeps or self._shared.rooms.free(self._link) != 0

    def set_aside(self, keeps: bool) -> SetAside | None:
        """All that a train needs; None if there is not enough (EGP-5)."""
        rooms = self._shared.rooms
        if not self.has_room(keeps) or (qubit := self.take()) is None:
            return None
        room = keeps and rooms.limited
        if room:
            rooms.take(self._link)
        return SetAside(qubit, room)

    def take(self) -> int | None:
        """A qubit, the kept one first."""
        qubit = self.kept
        if qubit is not None:
            self.kept = None
            self._shared.timers.cancel(self._until)
        else:
            qubit = self._shared.qubits.take(self._link)
        if qubit is not None:
            self.served = next(self._shared.turns)
        return qubit

    def keep(self, qubit: int, until: int) -> None:
        """Of those taken: for the train that is to come."""
        self.kept = qubit
        self._shared.timers.set(self._until, until)

    def let_go(self) -> None:
        """Of the kept qubit, if any."""
        if self.kept is not None:
            self._shared.qubits.give_back(self.kept)
            self.kept = None
            self._shared.timers.cancel(self._until)

    def put_back(self, train: Train) -> None:
        """Its qubit is as good as before: nothing was made, or it has been measured."""
        self._shared.qubits.give_back(train.qubit)
        if train.room:
            self._shared.rooms.give(self._link)

    def part_with(self, train: Train) -> None:
        """Its qubit goes with the pair, to whoever is told of it; the place in storage, too."""
        self._shared.qubits.part_with(train.qubit)

    def release(self, train: Train) -> None:
        """Its qubit may be entangled with something: the device is to empty it and to give it a new name."""
        self._shared.qubits.part_with(train.qubit)
        self._shared.outputs.append(ReleaseQubit(train.qubit))
        if train.room:
            self._shared.rooms.give(self._link)
