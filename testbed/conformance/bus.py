"""The device bus between an implementation under test and the kit: one UDP datagram per command and per answer.

    u32 sequence    of the command; its answer carries the same
    u8  message     number of a DEVICE message (docs/wire.md)
    the message's body

What may live here: packing and unpacking, for both ends.
"""

from struct import Struct
from typing import Final

_HEAD: Final = Struct("!IB")
MOST_BYTES: Final = 65_535


def pack(sequence: int, message: int, body: bytes) -> bytes:
    return _HEAD.pack(sequence, message) + body


def unpack(datagram: bytes) -> tuple[int, int, bytes]:
    """(sequence, message, body); raises struct.error for less than a head."""
    sequence, message = _HEAD.unpack_from(datagram)
    return sequence, message, datagram[_HEAD.size :]
