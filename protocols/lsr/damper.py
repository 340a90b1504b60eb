"""When a node says something new: not for every change, and the less often the more often things change.

What may live here: which change is worth a word, and the time of the next one.  It draws on the throttling of OSPF
implementations (start, hold, maximum) and on thresholds with hysteresis for loads.
"""

from protocols.lsr.service import Settings
from protocols.wire.codec import LsrLink

FULL = (1 << 32) - 1
LOAD_STEP = FULL // 8
"""A load is told when it is this far from what was told last, or has come to 0 or to 1 since."""


def worth_telling(told: tuple[LsrLink, ...], now: tuple[LsrLink, ...]) -> bool:
    """Do two states of a node's links, in the same order, differ by more than small changes of load?  LSR-9"""
    if len(told) != len(now):
        return True
    return any(a._replace(load=b.load) != b or _far(a.load, b.load) for a, b in zip(told, now, strict=True))


def _far(told: int, now: int) -> bool:
    return abs(told - now) >= LOAD_STEP or (now in (0, FULL) and now != told)


class Damper:
    """Says when.  `due` is the time to speak, or None if there is nothing to say."""

    def __init__(self, settings: Settings, settle_ps: int) -> None:
        """settle_ps: a change waits so long for others that come with it."""
        self.due: int | None = None
        self._settle_ps = settle_ps
        self._least_ps, self._most_ps = settings.hold_ps, settings.most_hold_ps
        self._hold_ps = settings.hold_ps
        self._last: int | None = None

    def changed(self, now: int) -> None:
        """There is something to say."""
        if self.due is None:
            self.due = now + self._settle_ps
            if self._last is not None:
                self.due = max(self.due, self._last + self._hold_ps)

    def unchanged(self) -> None:
        """Things are again as they were told."""
        self.due = None

    def said(self, now: int) -> None:
        """The hold doubles if this comes within twice the hold of the last time; else it starts anew."""
        hurried = self._last is not None and now - self._last < 2 * self._hold_ps
        self._hold_ps = min(2 * self._hold_ps, self._most_ps) if hurried else self._least_ps
        self._last = now
        self.due = None
