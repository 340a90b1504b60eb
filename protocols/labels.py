"""Numbers that either of two nodes may choose, for things they share, without ever choosing the same one."""


class LabelSpace:
    """Labels of what this node starts with one peer, and of what the peer starts: even from the lower-numbered
    node, odd from the higher.

    Labels rise with every use and come round only after the whole space, and both ends learn of them in order.  So
    a label for which there is nothing (any more, or yet) can be told to be past or to come, as long as fewer than
    half the space is between it and the newest.  What is still in use is skipped.  No label is 0.
    """

    def __init__(self, node: int, peer: int, bits: int) -> None:
        self._parity = 0 if node < peer else 1
        self._size = 1 << bits
        self._last = self._parity
        self._newest_of_peer: int | None = None
        self._in_use: set[int] = set()

    def take(self) -> int | None:
        """A free label of this node's half of the space, or None when all are in use."""
        for _ in range(self._size // 2):
            self._last = (self._last + 2) % self._size
            if self._last not in self._in_use and self._last != 0:
                self._in_use.add(self._last)
                return self._last
        return None

    def give_back(self, label: int) -> None:
        """Free a label; one that this node did not take is none of its concern."""
        self._in_use.discard(label)

    def owns(self, label: int) -> bool:
        """Is it for this node, not for the peer, to use this label?"""
        return label % 2 == self._parity

    def peer_took(self, label: int) -> None:
        """The peer has started something under this label."""
        self._newest_of_peer = label

    def peer_starts_anew(self) -> None:
        """The peer has forgotten what labels it took."""
        self._newest_of_peer = None

    def is_past(self, label: int) -> bool:
        """Given that nothing is known here under this label: was there something, rather than will there be?"""
        newest = self._last if self.owns(label) else self._newest_of_peer
        return newest is not None and (newest - label) % self._size < self._size // 2
