"""How adverts spread: passed on to every neighbour until acknowledged, and compared with those of one that joins.

What may live here: what is on the way to each neighbour, and what it has.  LSR-5, LSR-8.
"""

from collections.abc import Iterable
from typing import Final

from protocols.lsr.database import FIRST, LAST, Key, newer
from protocols.lsr.neighbour import Neighbour
from protocols.lsr.repeats import Repeats
from protocols.lsr.shared import ACK, Shared
from protocols.wire.codec import LsrAck, LsrAdvert, LsrPart, LsrRequest, LsrSummary, LsrVersion

VERSIONS_IN_MESSAGE: Final = 120


class Flooding:
    """From one node to all its neighbours."""

    def __init__(self, shared: Shared, repeats: Repeats) -> None:
        self._shared = shared
        self._database = shared.database
        self._repeats = repeats

    def install(self, advert: LsrAdvert, heard_from: Neighbour | None, now: int) -> None:
        """Keep a new version, and pass it on.  LSR-5"""
        key = Key(advert.origin, advert.part)
        fallen = self._database.install(advert)
        for neighbour in self._shared.neighbours.values():
            for old in fallen:
                neighbour.flight.pop(old, None)
            if neighbour is not heard_from and neighbour.up:
                self.give(neighbour, advert, now)
            else:
                neighbour.flight.pop(key, None)

    def give(self, neighbour: Neighbour, advert: LsrAdvert, now: int) -> None:
        """Send an advert until it is acknowledged."""
        key = Key(advert.origin, advert.part)
        if neighbour.flight.get(key) is advert:
            return
        neighbour.flight.pop(key, None)  # the newest stands last
        neighbour.flight[key] = advert
        self._shared.send(neighbour, advert)
        self._repeats.wait(neighbour, now)

    def give_unreached(self, neighbour: Neighbour, now: int) -> None:
        """What came before its way was known: no digest counts it, and when it counts nobody compares.  LSR-15"""
        unreached = frozenset(self._database.unreachable())
        self._give_all(neighbour, self._database.versions(unreached), now)

    def landed(self, neighbour: Neighbour, version: LsrAdvert | LsrVersion) -> bool:
        """The neighbour has this version: was that one, or an older one, on the way to it?"""
        key = Key(version.origin, version.part)
        flying = neighbour.flight.get(key)
        if flying is None or newer(flying, version):
            return False
        del neighbour.flight[key]
        self._repeats.progress(neighbour)
        return True

    def owe(self, neighbour: Neighbour, version: LsrVersion, now: int) -> None:
        """Acknowledge soon, together with others that come about now."""
        neighbour.owed[Key(version.origin, version.part)] = version
        if (ACK, neighbour.number) not in self._shared.timers:
            self._shared.timers.set((ACK, neighbour.number), now + neighbour.round_trip_ps)

    def acknowledge(self, neighbour: Neighbour) -> None:
        """All that is owed."""
        versions = tuple(neighbour.owed.values())
        neighbour.owed.clear()
        for at in range(0, len(versions), VERSIONS_IN_MESSAGE):
            self._shared.send(neighbour, LsrAck(versions[at : at + VERSIONS_IN_MESSAGE]))

    # Comparing databases.  LSR-8

    def summarise(self, neighbour: Neighbour) -> None:
        """Send all versions within reach, in as many pieces as it takes."""
        versions = self._database.versions(self._database.reach())
        first = FIRST
        while True:
            piece, versions = versions[:VERSIONS_IN_MESSAGE], versions[VERSIONS_IN_MESSAGE:]
            last = Key(piece[-1].origin, piece[-1].part) if versions else LAST
            self._shared.send(neighbour, LsrSummary(*first, *last, tuple(piece)))
            if not versions:
                return
            first = Key(last.origin, last.part + 1) if last.part < LAST.part else Key(last.origin + 1, 0)

    def compare(self, neighbour: Neighbour, summary: LsrSummary, now: int) -> bool:
        """Give what is newer here, request what is newer there; is anything different?"""
        database = self._database
        first = Key(summary.first_origin, summary.first_part)
        last = Key(summary.last_origin, summary.last_part)
        different = [version for version in summary.versions if not database.holds(version)]
        wanted = []
        for version in different:
            stale = database.supersedes(version)
            if stale is not None:
                self.give(neighbour, stale, now)
            else:
                wanted.append(Key(version.origin, version.part))
        listed = {Key(version.origin, version.part) for version in summary.versions}
        unlisted = [v for v in database.versions(database.reach(), first, last) if Key(v.origin, v.part) not in listed]
        self._give_all(neighbour, unlisted, now)
        if wanted:
            neighbour.wanted.update(wanted)
            self._shared.send(neighbour, LsrRequest(tuple(LsrPart(*key) for key in wanted)))
        return bool(different or unlisted)

    def on_request(self, neighbour: Neighbour, request: LsrRequest, now: int) -> None:
        self._give_all(neighbour, request.parts, now)

    def _give_all(self, neighbour: Neighbour, parts: Iterable[LsrVersion | LsrPart], now: int) -> None:
        """As far as they are held."""
        for part in parts:
            if (advert := self._database.get(Key(part.origin, part.part))) is not None:
                self.give(neighbour, advert, now)
