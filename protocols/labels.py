"""Numbers that either of two nodes may choose, for things they share, without ever choosing the same one."""


class LabelSpace:
    """Labels for what this node starts with one peer: even from the lower-numbered node, odd from the higher.

    A label grows with every use and comes round only after the whole space, so that a straggler of an old
    use finds nothing.  What is still in use is skipped.  The first label is never 0: zero reads as "none" in
    a trace.
    """

    def __init__(self, node: int, peer: int, bits: int) -> None:
        self._parity = 0 if node < peer else 1
        self._mask = (1 << bits) - 1
        self._last = self._parity
        self._in_use: set[int] = set()

    def take(self) -> int | None:
        """A free label of this node's half of the space, or None when all are in use."""
        for _ in range((self._mask + 1) // 2):
            self._last = self._last + 2 & self._mask
            if self._last not in self._in_use and self._last != 0:
                self._in_use.add(self._last)
                return self._last
        return None

    def owns(self, label: int) -> bool:
        """Is it for this node, not for the peer, to use this label?"""
        return label & 1 == self._parity

    def give_back(self, label: int) -> None:
        """Free a label; one that this node did not take is none of its concern."""
        self._in_use.discard(label)
