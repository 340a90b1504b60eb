"""The data qubits of one node, and who holds each.

What may live here: that book.  Programs of people take the highest, one by one; a leased circuit takes those that it
names, which begin with the lowest.  Nobody gets what another holds.
"""

from collections import Counter
from collections.abc import Callable, Collection

PROGRAM = "attached programs"


class AllHeld(Exception):
    """What is wanted is not free; who holds how much, for people."""


class DataQubits:
    """``number`` of them, from 0."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._holders: dict[int, str] = {}
        self.on_room: Callable[[int], None] = lambda room: None
        """Called with ``room`` when it has changed."""

    @property
    def room(self) -> int:
        """How many, from the lowest on, no program holds: what a circuit could have."""
        return min((index for index, holder in self._holders.items() if holder == PROGRAM), default=self._number)

    def take(self) -> int:
        """One for a program.  Raises AllHeld."""
        for index in reversed(range(self._number)):
            if index not in self._holders:
                self._hold([index], PROGRAM)
                return index
        held = [f"{number} by {holder}" for holder, number in sorted(Counter(self._holders.values()).items())]
        by = ", ".join(held) or "it has none"
        raise AllHeld(f"all {self._number} data qubits of this node are in use: {by}")

    def claim(self, indices: Collection[int], holder: str) -> None:
        """These for a circuit, or none.  Raises AllHeld."""
        others = {self._holders[index] for index in indices if index in self._holders}
        if others:
            raise AllHeld(f"{' and '.join(sorted(others))} hold data qubits that it needs")
        self._hold(indices, holder)

    def give_back(self, indices: Collection[int]) -> None:
        """They are free again; those that were free are no error."""
        before = self.room
        for index in indices:
            self._holders.pop(index, None)
        self._changed(before)

    def _hold(self, indices: Collection[int], holder: str) -> None:
        before = self.room
        self._holders |= dict.fromkeys(indices, holder)
        self._changed(before)

    def _changed(self, before: int) -> None:
        if self.room != before:
            self.on_room(self.room)
