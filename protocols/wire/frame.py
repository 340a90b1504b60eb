"""The common header of a frame, and the tag that authenticates header and body.

The layout is declared in protocols/declare/header.py and tabled in docs/wire.md; this is the fast reading
of it.
"""

import hashlib
import hmac
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

from protocols.wire.codec import MESSAGES, ON_UDP, Message
from protocols.wire.error import WireError

if TYPE_CHECKING:
    from hashlib import _Hash

PORT = 57721
VERSION = 1
HEADER_BYTES = 32
MAX_FRAME = 1200
MAX_BODY = MAX_FRAME - HEADER_BYTES

_TAG_AT = 16
_TAG_BYTES = 16
_NO_TAG = bytes(_TAG_BYTES)
_HEADER = struct.Struct("!BBBBHHHHI16s")
_UNTAGGED = struct.Struct("!BBBBHHHHI16x")
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class Header(NamedTuple):
    """The 32 bytes before every message."""

    version: int
    protocol: int
    message: int
    flags: int
    length: int
    source: int
    destination: int
    incarnation: int
    sequence: int
    tag: bytes


class Names(Protocol):
    """What names a message: the header of a frame, or a RelData that carries one."""

    @property
    def protocol(self) -> int: ...

    @property
    def message(self) -> int: ...


@lru_cache(maxsize=4096)
def _keyed(key: bytes) -> tuple["_Hash", "_Hash"]:
    """SHA-256 after the first block of HMAC's inner and outer hash (RFC 2104): half of the work for a short
    frame."""
    if len(key) > 64:
        key = hashlib.sha256(key).digest()
    block = key.ljust(64, b"\0")
    return hashlib.sha256(block.translate(_INNER)), hashlib.sha256(block.translate(_OUTER))


def _tag(untagged: bytes, key: bytes) -> bytes:
    # Twice as fast as hmac.digest for a frame of usual length, because the key's two blocks are hashed once
    # per key.
    inner, outer = _keyed(key)
    first = inner.copy()
    first.update(untagged)
    second = outer.copy()
    second.update(first.digest())
    return second.digest()[:_TAG_BYTES]


def seal(
    protocol: int,
    message: int,
    source: int,
    destination: int,
    incarnation: int,
    sequence: int,
    body: bytes,
    key: bytes,
) -> bytes:
    """The frame of a message body, with its tag; raises ValueError if it would be longer than MAX_FRAME.

    `protocol` and `message` are numbers as in `codec` (a message knows its own as PROTOCOL and MESSAGE);
    `source` and `destination` are node numbers; `sequence` never repeats within an incarnation, not even for
    a retransmission.
    """
    length = HEADER_BYTES + len(body)
    if length > MAX_FRAME:
        raise ValueError(f"a frame of {length} bytes, more than {MAX_FRAME}")
    untagged = (
        _UNTAGGED.pack(VERSION, protocol, message, 0, length, source, destination, incarnation, sequence)
        + body
    )
    return untagged[:_TAG_AT] + _tag(untagged, key) + body


def parse(frame: bytes) -> Header:
    """Reads the header of a received frame; the tag is not checked.

    Raises WireError with reason `short` (less than a header), `version`, `length` (other than the frame's
    own, or more than MAX_FRAME) or `protocol` (none that travels over UDP).
    """
    size = len(frame)
    if size < HEADER_BYTES:
        raise WireError("short", f"{size} bytes")
    header = Header._make(_HEADER.unpack_from(frame))
    if header.version != VERSION:
        raise WireError("version", str(header.version))
    if header.length != size or size > MAX_FRAME:
        raise WireError("length", f"{header.length} in a frame of {size} bytes")
    if header.protocol not in ON_UDP:
        raise WireError("protocol", str(header.protocol))
    return header


def verify(frame: bytes, key: bytes) -> bool:
    """Whether the tag of a frame is the one that this key gives; in constant time."""
    if len(frame) < HEADER_BYTES:
        return False
    tag = _tag(frame[:_TAG_AT] + _NO_TAG + frame[HEADER_BYTES:], key)
    return hmac.compare_digest(tag, frame[_TAG_AT:HEADER_BYTES])


def decode(names: Names, body: bytes) -> Message:
    """The message that a header (or a RelData) announces, read from its body.

    Raises WireError: `message` for a number that the protocol does not have, else what the codec finds wrong.
    """
    layout = MESSAGES.get((names.protocol, names.message))
    if layout is None:
        raise WireError("message", f"protocol {names.protocol} has no message {names.message}")
    return layout.unpack(body)
