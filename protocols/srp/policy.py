"""Whose turn it is at a switch: small classes, one per policy.  Add another by writing one with these methods.

What may live here: orders of waiting links.  Which of them can be served at all is the switch's business.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol


class Waiting(NamedTuple):
    """A link that waits for an analyser."""

    link: int
    since_ps: int


class Policy(Protocol):
    """Times are integer picoseconds."""

    def arrived(self, link: int) -> None:
        """The link, which had no reservation, has one now."""

    def order(self, waiting: Iterable[Waiting]) -> list[Waiting]:
        """Who is to be served first, who next."""

    def granted(self, link: int) -> None:
        """It has an analyser now."""

    def served(self, link: int, held_ps: int) -> None:
        """It has had one for so long."""


class LeastServed:
    """Links share the analysers' time alike, whatever their trains take: start-time fair queueing.

    Each link has a tag, the time it has been served for; the smallest goes first.  A link that comes back after a
    while starts from the tag of the last one granted, so it cannot claim for the time in which it wanted nothing
    (Goyal, Vin, Cheng, SIGCOMM 1996, with what was served instead of what was announced).
    """

    def __init__(self) -> None:
        self._tags: dict[int, int] = {}
        self._floor = 0

    def arrived(self, link: int) -> None:
        self._tags[link] = max(self._floor, self._tags.get(link, 0))

    def order(self, waiting: Iterable[Waiting]) -> list[Waiting]:
        return sorted(waiting, key=lambda one: (self._tags[one.link], one.since_ps, one.link))

    def granted(self, link: int) -> None:
        self._floor = max(self._floor, self._tags[link])

    def served(self, link: int, held_ps: int) -> None:
        self._tags[link] += held_ps


class FirstCome:
    """In the order in which they have asked."""

    def arrived(self, link: int) -> None:
        pass

    def order(self, waiting: Iterable[Waiting]) -> list[Waiting]:
        return sorted(waiting, key=lambda one: (one.since_ps, one.link))

    def granted(self, link: int) -> None:
        pass

    def served(self, link: int, held_ps: int) -> None:
        pass


POLICIES: dict[str, type[LeastServed] | type[FirstCome]] = {"least-served": LeastServed, "first-come": FirstCome}
