"""Weighted fair queueing of the SIGCOMM 2019 link layer: strict queues first, then by virtual finish.

A request's priority names its queue: 0 NL (network layer), 1 CK (create and keep), 2 MD (measure directly); what lies
beyond the last queue is in the last.  A queue of weight 0 has strict precedence, in the order of the queues.  Of the
others the smallest virtual finish is next:

    finish = max(cycle, last finish of its queue) + estimated cycles / weight        (atomic: times its pairs)

A request that is not atomic competes pair by pair: each pair it gets moves its finish by as much again.  All this is
counted in thousandths of a slot, so that weights keep their meaning where a pair takes a few slots.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from protocols.egp.states import Request

PARTS: Final = 1_000


class WeightedFair:
    """Implements `Scheduler`; one weight per queue."""

    def __init__(self, weights: Sequence[int]) -> None:
        if not weights or min(weights) < 0:
            raise ValueError(f"weights {weights}: each queue has one, 0 or more")
        self._weights = tuple(weights)
        self._last = [0] * len(weights)

    def admit(self, request: Request, cycle: int) -> int:
        queue = self._queue(request)
        if not self._weights[queue]:
            return 0
        pairs = request.remaining if request.atomic else 1
        finish = max(cycle * PARTS, self._last[queue]) + pairs * self._step(request)
        self._last[queue] = finish
        return finish

    def order(self, requests: Iterable[Request]) -> list[Request]:
        # Sorting keeps the common order among equals.
        return sorted(requests, key=self._rank)

    def before(self, request: Request, others: Iterable[Request]) -> Iterable[Request]:
        queue = self._queue(request)
        ahead = {queue} | {q for q, weight in enumerate(self._weights) if not weight and q < queue}
        return [other for other in others if self._queue(other) in ahead]

    def served(self, request: Request) -> None:
        queue = self._queue(request)
        if request.remaining and not request.atomic and self._weights[queue]:
            request.virtual_finish += self._step(request)
            self._last[queue] = max(self._last[queue], request.virtual_finish)

    def preempts(self, waiting: Request, running: Request) -> bool:
        """Only for a stricter queue: fairness is a matter of shares, not of moments."""
        ahead, behind = self._rank(waiting), self._rank(running)
        return ahead[0] == 0 and ahead[:2] < behind[:2]

    def _queue(self, request: Request) -> int:
        return min(request.priority, len(self._weights) - 1)

    def _step(self, request: Request) -> int:
        return max(1, request.estimated_cycles * PARTS // self._weights[self._queue(request)])

    def _rank(self, request: Request) -> tuple[int, int, int]:
        queue = self._queue(request)
        strict = not self._weights[queue]
        return (0, queue, 0) if strict else (1, 0, request.virtual_finish)
