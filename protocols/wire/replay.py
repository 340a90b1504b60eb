"""The replay window: each frame of a source is accepted once, and none of an earlier life of the source."""

WINDOW = 1024
_MASK = (1 << WINDOW) - 1


class ReplayWindow:
    """What one receiver has accepted from one source. Ask it only about frames whose tag has been verified.

    Sequence numbers may come in any order within WINDOW of the highest one accepted; what lies further back
    is refused like one that was seen. They do not wrap: a source that has used up 2**32 takes the next
    incarnation. Incarnations do wrap, so "newer" is serial number arithmetic (RFC 1982): up to half the
    ring ahead.
    """

    __slots__ = ("_highest", "_seen", "incarnation")

    def __init__(self) -> None:
        self.incarnation: int | None = None
        """The newest of which a frame has been accepted."""
        self._highest = 0
        self._seen = 0  # bit i = sequence _highest - i has been accepted

    def accept(self, incarnation: int, sequence: int) -> str | None:
        """None if the frame is new, and takes note of it; else why not: 'old incarnation' or 'replayed'."""
        if incarnation != self.incarnation:
            if self.incarnation is not None and (incarnation - self.incarnation) & 0xFFFF >= 0x8000:
                return "old incarnation"
            self.incarnation, self._highest, self._seen = incarnation, sequence, 1
            return None
        ahead = sequence - self._highest
        if ahead > 0:
            # A jump beyond the window leaves nothing of it: shifting by 2**32 bits would build half a
            # gigabyte first.
            self._seen = (self._seen << ahead | 1) & _MASK if ahead < WINDOW else 1
            self._highest = sequence
            return None
        bit = 1 << -ahead if -ahead < WINDOW else 0
        if not bit or self._seen & bit:
            return "replayed"
        self._seen |= bit
        return None
