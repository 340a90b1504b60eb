"""Timers for what came before its state: each thing is held for one fixed period and then given up."""

from collections.abc import Hashable


class Holds[K: Hashable]:
    """Keys held for `period_ps` each, in the order in which they were put.

    One period for all keeps the dict sorted by due time, so every operation is O(1); time must not go back.
    """

    def __init__(self, period_ps: int) -> None:
        if period_ps <= 0:
            raise ValueError(f"a hold of {period_ps} ps would end before it begins")
        self._period_ps = period_ps
        self._due_ps: dict[K, int] = {}

    def put(self, key: K, now: int) -> None:
        """Hold `key` from now on; one already held begins anew."""
        self._due_ps.pop(key, None)
        self._due_ps[key] = now + self._period_ps

    def drop(self, key: K) -> None:
        """The wait for `key` is over; a key that is not held is no error."""
        self._due_ps.pop(key, None)

    def take_due(self, now: int) -> list[K]:
        """Keys whose hold has ended by `now`, oldest first; they are held no longer."""
        due: list[K] = []
        for key, due_ps in self._due_ps.items():
            if due_ps > now:
                break
            due.append(key)
        for key in due:
            del self._due_ps[key]
        return due

    def next_due(self) -> int | None:
        """When the oldest hold ends, in ps, or None."""
        return next(iter(self._due_ps.values()), None)
