"""Writing pcapng: one named interface per node, nanosecond stamps, frames dressed as IPv4 and UDP.

Only the file format may live here; it knows nothing of spools or of what a frame means. The file says nothing
about the machine: no host, operating system, version or wall time, so that equal runs make equal bytes.

Blocks are those of draft-ietf-opsawg-pcapng (sections 4.1, 4.2, 4.3). The section is big-endian, as the
format allows: block, IPv4 and UDP headers are then one struct, which is where the speed comes from.
"""

import struct
from collections.abc import Callable

LINKTYPE_RAW = 101  # the packet begins with its IPv4 header
PORT = 57721  # Bellwire's UDP port, in real and in logical traffic
LOGICAL_NETWORK = 0x0A4D0000  # 10.77.0.0: node n is 10.77.(n >> 8).(n & 255)

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_END, _COMMENT, _FLAGS = 0, 1, 2  # options of any block, and of a packet
_APPLICATION, _NAME, _DESCRIPTION, _RESOLUTION = 4, 2, 3, 9  # options of the section, and of an interface
_INBOUND, _OUTBOUND = 1, 2

_PACKET_HEAD = struct.Struct(">IIIQIIBBHHHBBHIIHHHH")
_DRESS = 28  # IPv4 and UDP headers
_FIXED = 32  # of a packet block: 28 bytes before the data, the length after
_LENGTH = struct.Struct(">I")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")  # by length & 3
# The 16-bit words of the IPv4 header that never change: 0x4500, don't fragment, TTL 64 with protocol 17, and
# the upper halves of the two addresses. The lower half of a logical address is the node's number itself.
_CONSTANT_SUM = 0x4500 + 0x4000 + 0x4011 + 2 * (LOGICAL_NETWORK >> 16)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack(">HH", code, len(value)) + value + _PADDING[len(value) & 3]


def _block(kind: int, body: bytes) -> bytes:
    length = 12 + len(body)
    return struct.pack(">II", kind, length) + body + _LENGTH.pack(length)


class PcapngWriter:
    """Writes one section through `write`, one call per whole block."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._interfaces = 0
        self._marks: dict[str, bytes] = {"": b" ps"}
        # What follows a comment (padding, direction, the end of the options), by [received][length & 3].
        self._tails = tuple(
            tuple(
                padding + _option(_FLAGS, _LENGTH.pack(direction)) + _option(_END, b"")
                for padding in _PADDING
            )
            for direction in (_OUTBOUND, _INBOUND)
        )
        options = _option(_APPLICATION, b"bellwire") + _option(_END, b"")
        write(_block(_SECTION, struct.pack(">IHHq", 0x1A2B3C4D, 1, 0, -1) + options))

    def interface(self, name: str, description: str) -> int:
        """Describe one more interface, before a packet uses it, and return its number."""
        options = (
            _option(_NAME, name.encode())
            + _option(_DESCRIPTION, description.encode())
            + _option(_RESOLUTION, b"\x09")  # stamps count 10^-9 s
            + _option(_END, b"")
        )
        self._write(_block(_INTERFACE, struct.pack(">HHI", LINKTYPE_RAW, 0, 0) + options))
        self._interfaces += 1
        return self._interfaces - 1

    def packet(
        self,
        interface: int,
        t_ps: int,
        received: bool,
        source: int,
        destination: int,
        payload: bytes,
        identification: int,
        note: str = "",
    ) -> None:
        """Write one frame between two nodes (numbers, u16) as seen at `interface`.

        The stamp is cut to nanoseconds; the comment has the exact time, then the note: `t=12345 ps, lost`.
        """
        mark = self._marks.get(note)
        if mark is None:
            mark = self._marks[note] = f" ps, {note}".encode()
        comment = b"t=%d%b" % (t_ps, mark)
        noted = len(comment)
        size = len(payload) + _DRESS
        identification &= 0xFFFF
        total = _CONSTANT_SUM + size + identification + source + destination
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        length = _FIXED + ((size + 3) & ~3) + 4 + ((noted + 3) & ~3) + 12
        self._write(
            b"%b%b%b\0\1%b%b%b%b"
            % (
                _PACKET_HEAD.pack(
                    _PACKET, length, interface, t_ps // 1000, size, size,
                    0x45, 0, size, identification, 0x4000, 64, 17, ~total & 0xFFFF,
                    LOGICAL_NETWORK | source, LOGICAL_NETWORK | destination,
                    PORT, PORT, size - 20, 0,
                ),
                payload,
                _PADDING[size & 3],
                noted.to_bytes(2),
                comment,
                self._tails[received][noted & 3],
                _LENGTH.pack(length),
            )
        )  # fmt: skip
