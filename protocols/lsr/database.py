"""The adverts that a node holds, and what follows from them: digest, reach, graph.

What may live here: comparing versions, keeping the newest, and questions about all of them together.  Nothing here
sends, and nothing waits.
"""

from hashlib import blake2b
from typing import NamedTuple

from protocols.lsr.service import Graph
from protocols.routes import Hop, Offer
from protocols.serial import serial_newer
from protocols.wire.codec import LsrAdvert, LsrLink, LsrVersion


class Key(NamedTuple):
    """Names an advert."""

    origin: int
    part: int


FIRST = Key(0, 0)
LAST = Key(0xFFFF, 0xFF)


def newer(a: LsrAdvert | LsrVersion, b: LsrAdvert | LsrVersion) -> bool:
    """Is `a` a newer version than `b` of the same advert?  LSR-4"""
    if a.incarnation != b.incarnation:
        return serial_newer(a.incarnation, b.incarnation, 16)
    return serial_newer(a.sequence, b.sequence, 32)


def version_of(advert: LsrAdvert) -> LsrVersion:
    return LsrVersion(advert.origin, advert.part, advert.incarnation, advert.sequence)


def hash_of(advert: LsrAdvert) -> int:
    """64 bits for one version; a digest is the XOR of many."""
    return int.from_bytes(blake2b(version_of(advert).pack(), digest_size=8).digest(), "big")


class _Origin:
    """All that is held of one node: its newest life, and the parts that this life has said."""

    __slots__ = ("adverts", "digest", "incarnation", "links")

    def __init__(self, incarnation: int) -> None:
        self.incarnation = incarnation
        self.adverts: dict[int, LsrAdvert] = {}
        self.digest = 0
        self.links: dict[int, LsrLink] = {}
        """By number, whichever part it stands in: a link may move from one to another."""


class Database:
    """What one node holds of all."""

    def __init__(self, node: int) -> None:
        self.changes = 0
        """Grows with every change."""
        self.topology_changes = 0
        """Grows when a link or a node has come or gone."""
        self._node = node
        self._origins: dict[int, _Origin] = {}
        self._said: dict[int, dict[int, LsrLink]] = {}  # by link, then by the end that says it
        self._begun: dict[int, int] = {}  # by link: the topology change with which an end has begun to say it
        self._reach: tuple[int, frozenset[int]] = (-1, frozenset())
        self._graph: tuple[int, Graph] = (-1, {})

    def get(self, key: Key) -> LsrAdvert | None:
        origin = self._origins.get(key.origin)
        return None if origin is None else origin.adverts.get(key.part)

    def life(self, origin: int) -> int | None:
        """The newest life known of a node, or None."""
        known = self._origins.get(origin)
        return None if known is None else known.incarnation

    def supersedes(self, version: LsrAdvert | LsrVersion) -> LsrAdvert | None:
        """A held advert from which it follows that `version` is out of date, or None.

        If the origin has lived on, that is the first part of its newer life."""
        origin = self._origins.get(version.origin)
        if origin is None:
            return None
        held = origin.adverts.get(version.part)
        if origin.incarnation == version.incarnation:
            return held if held is not None and newer(held, version) else None
        if serial_newer(origin.incarnation, version.incarnation, 16):
            return origin.adverts[min(origin.adverts)]
        return None

    def holds(self, version: LsrAdvert | LsrVersion) -> bool:
        """Is this very version held?"""
        held = self.get(Key(version.origin, version.part))
        return held is not None and (held.incarnation, held.sequence) == (version.incarnation, version.sequence)

    def install(self, advert: LsrAdvert) -> list[Key]:
        """Take in a version that is newer than what is held; the keys that fell with an earlier life of its origin."""
        fallen: list[Key] = []
        origin = self._origins.get(advert.origin)
        if origin is None or origin.incarnation != advert.incarnation:
            if origin is not None:
                fallen = [Key(advert.origin, part) for part in sorted(origin.adverts)]
                self._drop(advert.origin)
            origin = self._origins[advert.origin] = _Origin(advert.incarnation)
            self.topology_changes += 1
        old = origin.adverts.get(advert.part)
        if old is not None:
            origin.digest ^= hash_of(old)
        origin.digest ^= hash_of(advert)
        origin.adverts[advert.part] = advert
        self._retell(advert.origin, origin)
        self.changes += 1
        return [key for key in fallen if key.part not in origin.adverts]

    def forget(self, origin: int) -> None:
        """Drop all that is held of a node."""
        self._drop(origin)
        self.changes += 1

    def up(self, link: int) -> bool:
        """Do both ends of this link, reached or not, advertise it?"""
        ends = self._said.get(link, {})
        return len(ends) == 2 and all(end.neighbour in ends and end.neighbour != me for me, end in ends.items())

    def link_in_reach(self, link: int) -> bool:
        """Is it up, and does a chain of links lead to it?"""
        return self.up(link) and not self.reach().isdisjoint(self._said[link])

    def lasts(self, link: int, since: int) -> bool:
        """Is it up and in reach, and has no end said it anew, in another life or after it was gone, since so many
        topology changes?  For QNP-17."""
        return self.link_in_reach(link) and self._begun[link] <= since

    def versions(self, origins: frozenset[int], first: Key = FIRST, last: Key = LAST) -> list[LsrVersion]:
        """What is held of these nodes, in order, within a range."""
        held = (Key(o, part) for o in origins if o in self._origins for part in self._origins[o].adverts)
        return [version_of(self._origins[k.origin].adverts[k.part]) for k in sorted(held) if first <= k <= last]

    def digest(self) -> int:
        """Of all that is held of nodes within reach."""
        total = 0
        for origin in self.reach():
            if origin in self._origins:
                total ^= self._origins[origin].digest
        return total

    def unreachable(self) -> list[int]:
        """Nodes of which something is held, though no chain of links leads to them."""
        reach = self.reach()
        return sorted(origin for origin in self._origins if origin not in reach)

    def reach(self) -> frozenset[int]:
        """The nodes to which a chain of links leads that both their ends advertise; this node among them."""
        if self._reach[0] != self.topology_changes:
            found = {self._node}
            waiting = [self._node]
            while waiting:
                origin = self._origins.get(waiting.pop())
                for link in () if origin is None else origin.links.values():
                    if link.neighbour not in found and self.up(link.link):
                        found.add(link.neighbour)
                        waiting.append(link.neighbour)
            self._reach = (self.topology_changes, frozenset(found))
        return self._reach[1]

    def graph(self) -> Graph:
        """See `Graph`; the same object until something changes."""
        if self._graph[0] != self.changes:
            self._graph = (self.changes, {node: self._hops(node) for node in sorted(self.reach())})
        return self._graph[1]

    def _hops(self, node: int) -> tuple[Hop, ...]:
        origin = self._origins.get(node)
        if origin is None or not (node == self._node or all(a.transit for a in origin.adverts.values())):
            return ()
        hops = []
        for here in origin.links.values():
            if self.up(here.link):
                there = self._said[here.link][here.neighbour]
                hops.append(Hop(here.link, here.neighbour, worse(here, there)))
        return tuple(sorted(hops, key=lambda hop: (hop.node, hop.link)))

    def _drop(self, number: int) -> None:
        for link in self._origins.pop(number).links:
            self._unsay(number, link)
        self.topology_changes += 1

    def _retell(self, number: int, origin: _Origin) -> None:
        """Bring `_said` in line with what a node says now."""
        old = origin.links
        new = {link.link: link for part in sorted(origin.adverts) for link in origin.adverts[part].links}
        origin.links = new
        for link in old.keys() - new.keys():
            self._unsay(number, link)
        for link, said in new.items():
            self._said.setdefault(link, {})[number] = said
        if old.keys() != new.keys() or any(old[link].neighbour != said.neighbour for link, said in new.items()):
            self.topology_changes += 1
        for link in new.keys() - old.keys():
            self._begun[link] = self.topology_changes

    def _unsay(self, number: int, link: int) -> None:
        ends = self._said[link]
        del ends[number]
        if not ends:
            del self._said[link], self._begun[link]


def worse(a: LsrLink, b: LsrLink) -> Offer:
    """What a link can deliver: no more than either end says."""
    return Offer(
        min(a.fidelity, b.fidelity),
        min(a.pairs_per_ks, b.pairs_per_ks),
        max(a.latency_ps, b.latency_ps),
        min(a.memories, b.memories),
        max(a.load, b.load),
    )
