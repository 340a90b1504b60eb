"""What comes over a stream, cut into what was said: lines, or parts of a told length.

What may live here: the cutting.  Nothing here reads or waits.
"""

from struct import Struct
from typing import Final

MOST: Final = 1 << 26
"""Bytes of a part, at most."""

_HEAD: Final = Struct("!IB")


class Lines:
    """Of a stream whose messages are lines."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, more: bytes) -> None:
        """So much has come."""
        self._pending += more

    @property
    def ready(self) -> bool:
        """Is there a whole line?"""
        return b"\n" in self._pending

    def next(self) -> bytes | None:
        """The next line, with its end; None if there is no whole one."""
        if not self.ready:
            return None
        line, end, self._pending = self._pending.partition(b"\n")
        return line + end

    def __len__(self) -> int:
        """Bytes that wait."""
        return len(self._pending)


class Parts:
    """Of a stream whose messages are a length (u32, of the body), a kind and a body."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        """Bytes that a part may have."""
        self._pending = b""

    def feed(self, more: bytes) -> None:
        """So much has come."""
        self._pending += more

    def next(self) -> tuple[int, bytes] | None:
        """Kind and body of the next part; None if there is no whole one.  ValueError if it claims to be too long."""
        if len(self._pending) < _HEAD.size:
            return None
        length, kind = _HEAD.unpack_from(self._pending)
        if length > self.most:
            raise ValueError(f"a part of {length} bytes; at most {self.most}")
        end = _HEAD.size + length
        if len(self._pending) < end:
            return None
        body, self._pending = self._pending[_HEAD.size : end], self._pending[end:]
        return kind, body


def part(kind: int, body: bytes) -> bytes:
    """As `Parts` reads it."""
    return _HEAD.pack(len(body), kind) + body
