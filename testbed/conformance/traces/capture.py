"""Reading captures: our own trace.pcapng, and what tcpdump, dumpcap or Wireshark have written of a live network.

What may live here: file formats and link types.  What the frames mean is `trace`'s business.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from protocols.wire import WireError, parse
from protocols.wire.frame import PORT
from testbed.errors import BadInput

_LINK_HEADERS: Final = {0: 4, 108: 4, 1: 14, 12: 0, 14: 0, 101: 0, 228: 0, 113: 16, 276: 20}
"""Bytes before the IPv4 header, by link type: BSD loopback, Ethernet, raw IP, Linux cooked."""
_UDP: Final = 17


class Captured(NamedTuple):
    """One datagram with a Bellwire frame; `number` as Wireshark counts."""

    number: int
    t_ps: int
    received: bool | None
    """As its receiver saw it; None: nobody says, as in a capture of a live network."""
    note: str
    """What the emulator did to it, or why its receiver dropped it."""
    frame: bytes


def read(path: Path) -> list[Captured]:
    """All of a file, in its order; raises BadInput."""
    try:
        found = list(_frames(path))
    except OSError as error:
        raise BadInput(str(path), "file", (error.strerror or str(error)).lower(), "name a capture") from None
    except Exception as error:  # scapy says in many ways that a file is none of its formats
        raise BadInput(str(path), "file", f"it is no capture ({error})", "name a pcapng or pcap file") from None
    if not found:
        raise BadInput(str(path), "file", "no frame of Bellwire is in it", "capture UDP between the nodes")
    return found


def _frames(path: Path) -> Iterator[Captured]:
    from scapy.utils import RawPcapReader  # half a second to import

    with open(path, "rb") as file, RawPcapReader(file) as reader:  # type: ignore[arg-type]
        about: Any
        for number, (data, about) in enumerate(reader, 1):
            payload, port = _datagram(data, _link_type(about, reader))
            if payload is None or not (port or _is_frame(payload)):
                continue
            t_ps, note = _time(about, getattr(reader, "nano", False))
            direction = getattr(about, "direction", None)
            yield Captured(number, t_ps, {1: True, 2: False}.get(direction or 0), note, payload)


def _link_type(about: Any, reader: Any) -> int:
    """Of the packet's interface, or of the whole file."""
    of_packet = getattr(about, "linktype", None)
    return int(reader.linktype if of_packet is None else of_packet)


def _datagram(data: bytes, link_type: int) -> tuple[bytes | None, bool]:
    """What is in the UDP datagram, if it is one, and whether our port is one of its two."""
    start = _LINK_HEADERS.get(link_type)
    if start is None or len(data) < start + 28 or data[start] >> 4 != 4 or data[start + 9] != _UDP:
        return None, False
    udp = start + 4 * (data[start] & 15)
    ports = int.from_bytes(data[udp : udp + 2]), int.from_bytes(data[udp + 2 : udp + 4])
    length = int.from_bytes(data[udp + 4 : udp + 6])
    return data[udp + 8 : udp + length], PORT in ports


def _is_frame(payload: bytes) -> bool:
    try:
        parse(payload)
    except WireError:
        return False
    return True


def _time(about: Any, nano: bool) -> tuple[int, str]:
    """Picoseconds, and the note; our own comments have both."""
    for comment in getattr(about, "comments", None) or ():
        text = comment.decode(errors="replace")
        stamp, separator, note = text.removeprefix("t=").partition(" ps")
        if text.startswith("t=") and separator and stamp.isdecimal():
            return int(stamp), note.removeprefix(", ")
    if hasattr(about, "tshigh"):
        return ((about.tshigh << 32) + about.tslow) * 10**12 // about.tsresol, ""
    return about.sec * 10**12 + about.usec * (1_000 if nano else 1_000_000), ""
