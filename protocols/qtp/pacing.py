"""How many pairs a session asks for at a time: as many as keep the network busy, and no more.

Rules.  Pairs come at some interval, and the first of those asked for comes after some latency.  To ask for
1 + latency / interval pairs keeps the pipe full; more would only wait, and age, and hold qubits that others need.  Both
are measured: the interval as a running mean over gaps in which a pair was owed, the latency as the least that was seen,
since waiting behind one's own requests is no latency (Cardwell et al., ACM Queue 14, 20 (2016), of TCP).
"""

from collections import deque
from typing import Final

FIRST_WINDOW: Final = 4
"""Pairs that are asked for while nothing has been measured."""


class Pacer:
    """Of one session."""

    __slots__ = ("_asked_at", "_interval8", "_last", "_latency", "_most")

    def __init__(self, most: int) -> None:
        self._most = max(1, most)
        self._asked_at: deque[int] = deque()  # when each of the pairs that are owed was asked for
        self._interval8 = 0  # mean interval in ps, times 8
        self._latency: int | None = None
        self._last: int | None = None  # when a pair came last, if another was owed from then on

    def asked(self, number: int, now: int) -> None:
        """So many more have been asked for."""
        self._asked_at.extend([now] * number)

    def came(self, now: int) -> None:
        """One has come."""
        if not self._asked_at:
            return  # nobody asked
        latency = now - self._asked_at.popleft()
        self._latency = latency if self._latency is None else min(self._latency, latency)
        if self._last is not None:
            gap = now - self._last
            self._interval8 += gap - self._interval8 // 8 if self._interval8 else 8 * gap
        self._last = now if self._asked_at else None

    def forget(self) -> None:
        """What was owed will not come."""
        self._asked_at.clear()
        self._last = None

    @property
    def interval_ps(self) -> int:
        """Between two pairs while pairs are owed; 0: not known yet."""
        return self._interval8 // 8

    @property
    def window(self) -> int:
        """Pairs that may be owed at a time."""
        if not self._interval8 or self._latency is None:
            return min(FIRST_WINDOW, self._most)
        return min(1 + -(-8 * self._latency // self._interval8), self._most)
