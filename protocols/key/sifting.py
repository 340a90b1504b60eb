"""Who measured what: the rows by which two ends find the pairs that both have measured in one basis.

What may live here: rows as bytes, their pieces, and what follows from two of them.

A row has two bits for each pair id from a first one on, the first pair in the two lowest bits of the first byte: 0
for a pair that the end does not have, 1 for Z, 2 for X.  No outcome is in it.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from protocols.wire.codec import EgpBasis

PIECE: Final = 1_000
"""Bytes of a row, or of a bit string, in one message."""
MOST_SPAN: Final = 1 << 22
"""Pair ids between the first and the last of a block: other pairs of its head lie between."""
_CODES: Final = {EgpBasis.Z: 1, EgpBasis.X: 2}
_BASES: Final = {code: basis for basis, code in _CODES.items()}


class Read(NamedTuple):
    """What one end has of a pair."""

    basis: EgpBasis
    bit: int


def row(pairs: Mapping[int, Read], first: int, size: int) -> bytes:
    """Which of the pair ids ``first`` … ``first + size - 1`` were measured, in which basis."""
    data = bytearray(-(-size // 4))
    for pair_id, read in pairs.items():
        at = pair_id - first
        if 0 <= at < size:
            data[at >> 2] |= _CODES[read.basis] << 2 * (at & 3)
    return bytes(data)


def named(data: bytes | bytearray, first: int) -> dict[int, EgpBasis]:
    """Pair ids and bases of a row; a code of none counts as a pair that is not there."""
    found: dict[int, EgpBasis] = {}
    for index, byte in enumerate(data):
        if byte:
            for part in range(4):
                basis = _BASES.get(byte >> 2 * part & 3)
                if basis is not None:
                    found[first + 4 * index + part] = basis
    return found


class Sifted(NamedTuple):
    """What is left at one end, in the order of pair ids, a bit a byte: Z for the key, X for the test."""

    key: bytearray
    test: bytearray


NOTHING: Final = Sifted(bytearray(), bytearray())


def sift(mine: Mapping[int, Read], theirs: Mapping[int, EgpBasis]) -> Sifted:
    key, test = bytearray(), bytearray()
    for pair_id in sorted(mine.keys() & theirs.keys()):
        basis, bit = mine[pair_id]
        if basis is theirs[pair_id]:
            (key if basis is EgpBasis.Z else test).append(bit)
    return Sifted(key, test)


def pack(bits: Iterable[int]) -> int:
    """A bit string as a whole number, the first bit the least significant."""
    return int("".join(map(str, bits))[::-1] or "0", 2)


def pack_bytes(bits: bytearray) -> bytes:
    """The same as bytes, little-endian."""
    return pack(bits).to_bytes(-(-len(bits) // 8), "little")


def unpack(data: bytes, size: int) -> bytearray:
    """The first ``size`` bits of such bytes."""
    value = int.from_bytes(data, "little") & (1 << size) - 1
    return bytearray(map(int, f"{value:0{size}b}"[::-1])) if size else bytearray()


def pieces(data: bytes) -> list[bytes]:
    """At least one, none larger than PIECE."""
    return [data[at : at + PIECE] for at in range(0, max(1, len(data)), PIECE)]
