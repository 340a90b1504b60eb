"""What a node says of its own links, and when.

What may live here: its adverts.  How often they may change is in damper.py, how they spread in flooding.py.
"""

from typing import Final

from protocols.lsr.damper import Damper, worth_telling
from protocols.lsr.database import Key
from protocols.lsr.flooding import Flooding
from protocols.lsr.shared import SPEAK, Shared
from protocols.routes import Offer
from protocols.wire.codec import LsrAdvert, LsrLink

LINKS_IN_ADVERT: Final = 40
_MASK32: Final = (1 << 32) - 1


class Saying:
    """Of one node; `incarnation` and whether circuits may pass through it (`transit`) stay as they are."""

    def __init__(
        self, shared: Shared, flooding: Flooding, incarnation: int, transit: bool, first_sequence: int, settle_ps: int
    ) -> None:
        self.sequence = first_sequence - 1 & _MASK32
        self._shared = shared
        self._database = shared.database
        self._node = shared.node
        self._flooding = flooding
        self._incarnation = incarnation
        self._transit = int(transit)
        self._offers: dict[int, tuple[int, Offer]] = {}  # by link: its neighbour, what it can deliver
        self._damper = Damper(shared.settings, settle_ps)

    def offer(self, link: int, peer: int, offer: Offer | None, now: int) -> None:
        """What a link to a neighbour can deliver; None if it can deliver nothing."""
        if offer is None:
            self._offers.pop(link, None)
        else:
            self._offers[link] = peer, offer
        self.consider(now)

    def _links(self) -> tuple[LsrLink, ...]:
        links = [
            LsrLink(link, peer, o.fidelity, o.pairs_per_ks, o.latency_ps, o.memories, o.load)
            for link, (peer, o) in self._offers.items()
            if self._shared.neighbours[peer].up
        ]
        return tuple(sorted(links, key=lambda link: (link.neighbour, link.link)))

    def _said(self) -> tuple[LsrLink, ...]:
        held = self._database.versions(frozenset({self._node}))
        adverts = [self._database.get(Key(self._node, version.part)) for version in held]
        return tuple(link for advert in adverts if advert is not None for link in advert.links)

    def consider(self, now: int) -> None:
        """Something about this node's links may have changed."""
        if worth_telling(self._said(), self._links()):
            self._damper.changed(now)
            if self._damper.due is not None:
                self._shared.timers.set(SPEAK, self._damper.due)
        else:
            self._damper.unchanged()
            self._shared.timers.cancel(SPEAK)

    def speak(self, now: int, anyway: bool = False) -> None:
        """Say what has changed since the last time; `anyway`: repeat the rest, too."""
        self._damper.said(now)
        self._shared.timers.cancel(SPEAK)
        links = self._links()
        parts = [links[at : at + LINKS_IN_ADVERT] for at in range(0, len(links), LINKS_IN_ADVERT)] or [()]
        told = len(self._database.versions(frozenset({self._node})))
        parts += [()] * (told - len(parts))  # a part that was told stays, if only to say that nothing is left of it
        for part, content in enumerate(parts):
            held = self._database.get(Key(self._node, part))
            if anyway or held is None or held.links != content:
                self.sequence = self.sequence + 1 & _MASK32
                advert = LsrAdvert(self._node, part, self._incarnation, self.sequence, self._transit, content)
                self._flooding.install(advert, None, now)
