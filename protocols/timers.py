"""Timers by name for a sans-IO machine: set, move or cancel at any time, what is due in order of (time,
creation).

What may live here: that one structure, and pauses that double.  (`holds.py` is the simpler one, for things that all
wait equally long.)
"""

from collections.abc import Hashable, Iterable, Iterator
from heapq import heappop, heappush
from itertools import count
from typing import Final, NamedTuple


class Pauses(NamedTuple):
    """How long who hears nothing of another goes on asking, after pauses that double up to `longest_ps`."""

    longest_ps: int = 10**18
    """Eleven days."""
    ever: bool = False
    """The longest is not the last: for a lab in which that alone is no reason for time to pass.  Others must come to
    rest."""

    def after(self, pause_ps: int) -> int | None:
        """The next one; None: there is none."""
        if 2 * pause_ps <= self.longest_ps:
            return 2 * pause_ps
        return max(pause_ps, self.longest_ps) if self.ever else None


UNTIL_REST: Final = Pauses()



def soonest(*dues: int | None) -> int | None:
    """The earliest of due times, of which each may be missing."""
    first = None
    for due in dues:
        if due is not None and (first is None or due < first):
            first = due
    return first


class Timers[K: Hashable]:
    """At most one due time per key, in integer picoseconds.

    A timer that is moved later, as a retransmission timer is by every acknowledgement, keeps its old place in
    the heap and is put right when that place comes up.  So setting costs O(1) but for the first time, and the
    heap holds about one entry per key however often its timer moves.
    """

    __slots__ = ("_creation", "_due", "_heap", "_place")

    def __init__(self) -> None:
        self._due: dict[K, tuple[int, int]] = {}  # (due, creation) of each running timer
        self._place: dict[K, tuple[int, int]] = {}  # its earliest entry in the heap: not later than that
        self._heap: list[tuple[int, int, K]] = []
        self._creation = count()

    def set(self, key: K, due: int) -> None:
        """Start the timer of `key`, or move it."""
        entry = (due, next(self._creation))
        self._due[key] = entry
        place = self._place.get(key)
        if place is None or due < place[0]:
            self._place[key] = entry
            heappush(self._heap, (*entry, key))  # creations differ: keys are never compared

    def cancel(self, key: K) -> None:
        """Stop the timer of `key`; one that does not run is no error."""
        self._due.pop(key, None)

    def next(self) -> int | None:
        """When the earliest timer is due, or None."""
        heap, places = self._heap, self._place
        while heap:
            due, creation, key = heap[0]
            place = (due, creation)
            entry = self._due.get(key)
            if entry == place:
                return due
            heappop(heap)
            if places.get(key) != place:
                continue  # an earlier entry has taken its part
            if entry is None:
                del places[key]
            else:
                places[key] = entry
                heappush(heap, (*entry, key))
        return None

    def take_due(self, now: int) -> Iterable[K]:
        """Keys whose time has come by `now`, each stopped before it is yielded; setting timers meanwhile is
        allowed."""
        heap = self._heap
        if not heap or heap[0][0] > now:  # no timer is due before its place in the heap
            return ()
        return self._taking(now)

    def _taking(self, now: int) -> Iterator[K]:
        while (due := self.next()) is not None and due <= now:
            _, _, key = heappop(self._heap)
            del self._place[key], self._due[key]
            yield key

    def __contains__(self, key: K) -> bool:
        return key in self._due

    def __iter__(self) -> Iterator[K]:
        """The keys of those that run."""
        return iter(self._due)

    def __len__(self) -> int:
        return len(self._due)
