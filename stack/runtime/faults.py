"""What an emulated channel does to frames: a device in front of the wire, every draw keyed, none from a stream.

What may live here: loss, duplication, corruption, reordering and jitter, as a function of (seed, source, destination,
n) alone, so that a fault switched on elsewhere moves nothing here.
"""

from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from stack.config import Path

_DRAWS = Struct("!8Q")
_FULL = 1 << 64


class Copy(NamedTuple):
    """One copy of a frame that will arrive."""

    delay_ps: int
    frame: bytes
    note: str


class Channel:
    """The channel from one node to another; ``carry`` is called once per frame."""

    def __init__(self, seed: int, source: int, destination: int, path: Path) -> None:
        self.become(path)
        self._key = blake2b(f"nic/{seed}/{source}/{destination}".encode(), digest_size=32).digest()
        self._n = 0

    def become(self, path: Path) -> None:
        """From the next frame on it is like this; which draws are that frame's does not depend on it."""
        self.delay_ps = path.delay_ps
        self.clean = path.faults.none
        self._faults = path.faults

    def carry(self, frame: bytes) -> tuple[list[Copy], str]:
        """The copies that arrive, and a note on the frame as sent ("lost", "duplicate", ... or nothing)."""
        if self.clean:
            return [Copy(self.delay_ps, frame, "")], ""
        faults = self._faults
        n = self._n
        self._n += 1
        digest = blake2b(n.to_bytes(8, "big"), digest_size=64, key=self._key).digest()
        loss, twice, corrupt, reorder, late, late_twice, where, how_late = _DRAWS.unpack(digest)
        notes = []
        if loss < faults.loss * _FULL:
            return [], "lost"
        delay = self.delay_ps
        if faults.jitter_ps:
            delay += late * (faults.jitter_ps + 1) // _FULL
        if reorder < faults.reorder * _FULL:
            delay += how_late * (faults.jitter_ps + 2 * self.delay_ps) // _FULL
            notes.append("delayed")
        sent = frame
        if corrupt < faults.corrupt * _FULL:
            bit = where * (len(frame) * 8) // _FULL
            spoilt = bytearray(frame)
            spoilt[bit >> 3] ^= 1 << (bit & 7)
            sent = bytes(spoilt)
            notes.append("corrupted")
        copies = [Copy(delay, sent, "")]
        if twice < faults.duplicate * _FULL:
            again = self.delay_ps + late_twice * (faults.jitter_ps + self.delay_ps) // _FULL
            copies.append(Copy(again, frame, "duplicate"))
            notes.append("duplicate")
        return copies, ", ".join(notes)
