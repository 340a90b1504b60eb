"""The communication qubits that are at a machine's disposal: whose they are, and which are free.

Rules.  A qubit is free or in use, and no qubit is taken twice.  It may be bound to one user (a link, to whose
fibre it is coupled) or serve all.  What is still the pool's comes back by `give_back`; what is not goes by
`part_with`.
"""

from collections import deque


class QubitPool[U]:
    """Qubit handles, for users of type U."""

    __slots__ = ("_bound_to", "_free")

    def __init__(self) -> None:
        self._bound_to: dict[int, U | None] = {}  # every qubit that is the pool's, free or in use
        self._free: dict[U | None, deque[int]] = {}

    def offer(self, qubit: int, user: U | None = None) -> None:
        """Put a qubit in; ValueError if it is in already."""
        if qubit in self._bound_to:
            raise ValueError(f"qubit {qubit:#x} has been offered already")
        self._bound_to[qubit] = user
        self._free.setdefault(user, deque()).append(qubit)

    def take(self, user: U) -> int | None:
        """A free qubit that serves `user`, one of its own first; None if there is none."""
        pool = self._free.get(user) or self._free.get(None)
        return pool.popleft() if pool else None

    def serves(self, user: U) -> bool:
        """Would `take` have one?"""
        return bool(self._free.get(user) or self._free.get(None))

    def give_back(self, qubit: int) -> None:
        """It is free again, and the first to be taken."""
        self._free[self._bound_to[qubit]].appendleft(qubit)

    def part_with(self, qubit: int) -> None:
        """A qubit in use is the pool's no longer."""
        del self._bound_to[qubit]

    def withdraw(self, qubit: int) -> bool:
        """Take out a qubit if it is free; False if it is in use or was never in."""
        if qubit not in self._bound_to or qubit not in self._free[self._bound_to[qubit]]:
            return False
        self._free[self._bound_to.pop(qubit)].remove(qubit)
        return True

    def __len__(self) -> int:
        """Those that are the pool's, free or in use."""
        return len(self._bound_to)

    def free(self) -> tuple[int, ...]:
        """Those that wait to be taken."""
        return tuple(qubit for pool in self._free.values() for qubit in pool)
