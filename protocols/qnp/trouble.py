"""What a request of this node has met with on its ways, and how soon it may be tried again.  QNP-17

What may live here: that memory of one request, and the rules by which it fades.  What is tried is for asking.py.
"""

from collections.abc import Callable
from typing import Final

TRIES: Final = 2  # in haste, of ways on which it has failed; then only after pauses
SHARE: Final = 2  # a pause starts at this part of the node's patience
SHORTEST_PS: Final = 10_000_000_000  # or here, if it has none: no news shortens a pause then
LONGEST_PS: Final = 8_000_000_000_000  # one try costs a few frames on a way that is dead


class Trouble:
    """Of one request, from its start to its end.  Times are in ps."""

    __slots__ = ("_delivered", "_pause_ps", "_set_out", "avoid", "since", "tries", "where")

    def __init__(self) -> None:
        self.avoid: frozenset[int] = frozenset()
        """Links over which it has failed."""
        self.where = 0
        """The node that ended its last circuit."""
        self._set_out = 0  # on its newest circuit
        self._delivered = 0  # of its pairs, when it failed last
        self._calm()

    def _calm(self) -> None:
        """The next failure is the first of a trouble of its own."""
        self.since: int | None = None
        """When the trouble began: patience counts from here."""
        self.tries = 0
        """In haste, in this trouble."""
        self._pause_ps = 0

    def set_out(self, now: int) -> None:
        """It has a circuit, which may be there already or not yet."""
        self._set_out = now

    def failed(self, delivered: int, was_open: bool, patience_ps: int, now: int) -> None:
        """Its circuit has failed.  One that has brought pairs, or was open for a patience, was the end of a trouble."""
        if delivered > self._delivered or (was_open and now - self._set_out >= patience_ps):
            self._calm()
        self._delivered = delivered
        self.needs(now)

    def needs(self, now: int) -> None:
        """It has no circuit."""
        if self.since is None:
            self.since = now

    def news(self, lasts: Callable[[int], bool]) -> None:
        """A link that is not what it was counts as new, and so does the trouble that it has made."""
        kept = frozenset(link for link in self.avoid if lasts(link))
        if kept != self.avoid:
            self.avoid = kept
            self._calm()

    def pause(self, patience_ps: int) -> int:
        """How long to wait now, if there is no news."""
        if not self._pause_ps:
            self._pause_ps = min(max(1, patience_ps // SHARE), LONGEST_PS) if patience_ps else SHORTEST_PS
        return self._pause_ps

    def paused(self) -> None:
        """A pause is over, without news: everything may be tried again, and the next one is twice as long.

        Once more in haste, too: the first that goes over a healed link may find out what was lost over it meanwhile.
        """
        self.avoid = frozenset()
        self.tries = min(self.tries, TRIES - 1)
        self._pause_ps = min(2 * self._pause_ps, LONGEST_PS)
