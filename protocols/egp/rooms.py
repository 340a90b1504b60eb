"""Places in storage, into which a node moves the halves that it keeps.

What may live here: how many are free, and for which link.
"""

from collections.abc import Mapping


class Rooms:
    """Of one node.  A place serves one link or, under None, any."""

    def __init__(self, free: Mapping[int | None, int] | None) -> None:
        """None: halves stay where they are made, and nothing limits them here."""
        self._free = None if free is None else dict(free)

    @property
    def limited(self) -> bool:
        """Are halves moved at all?"""
        return self._free is not None

    def free(self, link: int) -> int | None:
        """Places for a half of this link; None: it stays where it is made."""
        return None if self._free is None else self._free.get(self._key(link), 0)

    def take(self, link: int) -> None:
        """One is set aside; there must be one."""
        assert self.free(link), f"no place for a half of link {link}"
        self._change(link, -1)

    def give(self, link: int | None) -> None:
        """One is free again."""
        self._change(link, 1)

    def _key(self, link: int | None) -> int | None:
        return link if self._free is not None and link in self._free else None

    def _change(self, link: int | None, by: int) -> None:
        if self._free is not None:
            key = self._key(link)
            self._free[key] = self._free.get(key, 0) + by
