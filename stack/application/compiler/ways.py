"""How far QPUs are from each other when not every two can have pairs: shortest ways over those that can.

What may live here: that search, over what a pair costs.
"""

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from math import inf

Distance = Callable[[int, int], float]
"""What a pair between two QPUs costs, the cheapest about 1; 0 within one, infinite if there can be none."""


class Ways:
    """Over a set of QPUs; a qubit that has to go further than one pair reaches goes from one to the next."""

    def __init__(self, nodes: Iterable[int], distance: Distance) -> None:
        self.distance = distance
        self._nodes = sorted(set(nodes))
        self._from: dict[int, tuple[dict[int, float], dict[int, int]]] = {}

    def length(self, a: int, b: int) -> float:
        """Of the cheapest way, infinite if there is none."""
        direct = self.distance(a, b)
        return direct if direct < inf else self._search(a)[0].get(b, inf)

    def between(self, a: int, b: int) -> list[int]:
        """The QPUs after `a` on the cheapest way, `b` the last; empty if there is none."""
        lengths, before = self._search(a)
        if b not in lengths:
            return []
        way = [b]
        while before[way[-1]] != a:
            way.append(before[way[-1]])
        return way[::-1]

    def _search(self, start: int) -> tuple[dict[int, float], dict[int, int]]:
        """Dijkstra; of equal ways the one over lower numbers."""
        if start not in self._from:
            lengths: dict[int, float] = {}
            before: dict[int, int] = {}
            waiting = [(0.0, start, start)]
            while waiting:
                length, node, previous = heappop(waiting)
                if node in lengths:
                    continue
                lengths[node], before[node] = length, previous
                for other in self._nodes:
                    step = self.distance(node, other)
                    if other not in lengths and step < inf:
                        heappush(waiting, (length + step, other, node))
            self._from[start] = lengths, before
        return self._from[start]
