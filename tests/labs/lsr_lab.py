"""Meshes of LSR machines, their frames carried by hand.

What may live here: the mesh, what is done to it, and what must then be true.
"""

from typing import Any

from machine_pair import NO_FAULTS, Faults, Net

from protocols.lsr.damper import FULL, LOAD_STEP
from protocols.lsr.node import Lsr
from protocols.lsr.service import Settings
from protocols.routes import Offer

MS = 10**9
S = 10**12
DELAY = MS // 2
GOOD = Offer(FULL // 10 * 9, 1_000_000, DELAY, 2)
ALERT = Settings(idle_hello_ps=100 * MS)
"""Every neighbour is asked all the time, so that losses are seen though nobody watches."""

type Links = dict[int, tuple[int, int]]
"""By number: the two ends."""


class Mesh:
    """Nodes joined by links; links can be cut, nodes killed and restarted."""

    def __init__(
        self,
        links: Links,
        options: Settings = ALERT,
        faults: Faults = NO_FAULTS,
        seed: int = 1,
        transit: dict[int, bool] | None = None,
        **more: Any,
    ) -> None:
        self.links = links
        self.options = options
        self.more = more
        self.transit = transit or {}
        self.offers = dict.fromkeys(links, GOOD)
        self.down: set[int] = set()  # links that are cut
        self.lives = dict.fromkeys(sorted({end for ends in links.values() for end in ends}), 1)
        self.net = Net({n: self._machine(n) for n in self.lives}, DELAY, faults, seed)
        self.net.trouble = None
        self._chance = self.net._carry
        self.net._carry = self._carry  # type: ignore[method-assign]
        for n in self.lives:
            self._begin(n)

    def _machine(self, n: int) -> Lsr:
        neighbours = {a + b - n: 2 * DELAY for a, b in self.links.values() if n in (a, b)}
        return Lsr(n, self.lives[n], neighbours, self.transit.get(n, True), self.options, **self.more)

    def _begin(self, n: int) -> None:
        machine = self[n]
        for link, (a, b) in self.links.items():
            if n in (a, b):
                machine.offer(link, a + b - n, self.offers[link], self.net.now)
        machine.start(self.net.now)

    def _carry(self, source: int, send: Any) -> None:
        """Frames of two nodes run beside their links: all cut, none arrive."""
        pair = {source, send.destination}
        if all(link in self.down for link, ends in self.links.items() if set(ends) == pair):
            self.net.sent.append((self.net.now, source, *send[:2]))
        else:
            self._chance(source, send)

    def __getitem__(self, n: int) -> Lsr:
        return self.net.machines[n]  # type: ignore[return-value]

    def run(self, for_ps: int) -> None:
        self.net.run(until=self.net.now + for_ps)

    def kill(self, n: int) -> None:
        self.net.cut.add(n)

    def restart(self, n: int) -> None:
        self.lives[n] += 1
        self.net.cut.discard(n)
        self.net.replace(n, self._machine(n))
        self._begin(n)

    def cut(self, *links: int) -> None:
        self.down.update(links)

    def mend(self, *links: int) -> None:
        self.down.difference_update(links)

    def load(self, link: int, part: float) -> None:
        self.offers[link] = self.offers[link]._replace(load=round(part * FULL))
        for n in self.links[link]:
            if n not in self.net.cut:
                self[n].offer(link, sum(self.links[link]) - n, self.offers[link], self.net.now)

    # -- what is true ---------------------------------------------------------------------------------------------

    def works(self, link: int) -> bool:
        """A link works while frames get through between its ends: their links share a way."""
        ends = set(self.links[link])
        together = [other for other, its in self.links.items() if set(its) == ends]
        return not ends & self.net.cut and any(other not in self.down for other in together)

    def component(self, n: int) -> set[int]:
        found, waiting = {n}, [n]
        while waiting:
            here = waiting.pop()
            there = {sum(ends) - here for link, ends in self.links.items() if here in ends and self.works(link)}
            waiting += there - found
            found |= there
        return found

    def check(self) -> None:
        """All databases of a connected part are equal, and say what is true."""
        for n in self.lives:
            if n in self.net.cut:
                continue
            part = self.component(n)
            graph = self[n].graph()
            assert set(graph) == part, f"node {n} reaches {set(graph)}, not {part}"
            for other in part:
                expected = sorted(
                    (sum(ends) - other, link) for link, ends in self.links.items() if other in ends and self.works(link)
                )
                if other == n or self.transit.get(other, True):
                    assert [(hop.node, hop.link) for hop in graph[other]] == expected, f"{other} as {n} sees it"
                else:
                    assert graph[other] == ()
                for hop in graph[other]:
                    assert hop.offer._replace(load=0) == self.offers[hop.link]._replace(load=0)
                    assert abs(hop.offer.load - self.offers[hop.link].load) < LOAD_STEP
                assert self[n].database.life(other) in (self.lives[other], None)
                assert self[n].database.digest() == self[other].database.digest()
                reach = frozenset(part)
                assert self[n].database.versions(reach) == self[other].database.versions(reach)


def chain(count: int) -> Links:
    return {n: (n, n + 1) for n in range(1, count)}


def ring(count: int) -> Links:
    return chain(count) | {count: (1, count)}


def frames(mesh: Mesh, *kinds: type) -> int:
    return len(mesh.net.messages(*kinds))
