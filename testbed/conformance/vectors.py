"""Golden vectors: for every message bytes and what they say, for implementations in any language.

What may live here: making them, and `python -m testbed.conformance.vectors`, which writes protocols/vectors.  They are
checked in: as long as the wire stays, they stay, and a test compares.
"""

import hashlib
import json
import struct
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import protocols
from protocols.declare import LAYERS
from protocols.wire import HEADER_BYTES, MAX_FRAME, MESSAGES, PORT, seal
from protocols.wire.codec import ON_UDP
from testbed.conformance.fuzz.messages import Field, fields_of

FOLDER: Final = Path(next(iter(protocols.__path__))) / "vectors"
KEY: Final = hashlib.sha256(b"bellwire golden vectors").digest()
SOURCE: Final = 1
DESTINATION: Final = 2
INCARNATION: Final = 3
CASES: Final = ("low", "high", "mixed")

_GLOBAL: Final = struct.Struct("<IHHiIII")
_PACKET: Final = struct.Struct("<IIII")
_IPV4: Final = 228
"""LINKTYPE_IPV4."""


class Vector(NamedTuple):
    """One message.  ``frame`` is empty for those of the device bus, which travels in no frame."""

    name: str
    case: str
    protocol: int
    message: int
    fields: dict[str, Any]
    body: bytes
    frame: bytes


def vectors() -> list[Vector]:
    """All of them, in the order of protocols, messages and cases."""
    found: list[Vector] = []
    for protocol, number in sorted(LAYERS):
        kind = MESSAGES[protocol, number]
        for case in CASES:
            random = Random(f"{kind.__name__} {case}")
            message = kind(*(_value(field, case, random) for field in fields_of(LAYERS[protocol, number])))
            body, frame = message.pack(), b""
            if protocol in ON_UDP:
                sequence = len(found) + 1
                frame = seal(protocol, number, SOURCE, DESTINATION, INCARNATION, sequence, body, KEY)
            found.append(Vector(kind.__name__, case, protocol, number, said(message), body, frame))
    return found


def _value(field: Field, case: str, random: Random) -> Any:
    if field.maker is not None:
        number = {"low": 0, "high": min(field.bound, 3), "mixed": 1}[case]
        return tuple(field.maker(*(_value(inner, case, random) for inner in field.inner)) for _ in range(number))
    if field.bound:
        longest = min(field.bound, MAX_FRAME - HEADER_BYTES - 64)
        return random.randbytes({"low": 0, "high": longest, "mixed": 7}[case])
    if field.points:
        return {"low": field.points[0], "high": field.points[-1], "mixed": random.choice(field.points)}[case]
    return {"low": field.low, "high": field.high, "mixed": random.randint(field.low, field.high)}[case]


def said(message: Any) -> dict[str, Any]:
    """The fields of a message as JSON has them: numbers, bytes in hexadecimal, records as objects."""
    return {name: _plain(value) for name, value in zip(message._fields, message, strict=True)}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [said(record) for record in value]
    return int(value)


def as_json(found: list[Vector]) -> str:
    rows = [
        {
            "name": v.name,
            "case": v.case,
            "protocol": v.protocol,
            "message": v.message,
            "fields": v.fields,
            "body": v.body.hex(),
            "frame": v.frame.hex() or None,
        }
        for v in found
    ]
    header = {"source": SOURCE, "destination": DESTINATION, "incarnation": INCARNATION}
    return json.dumps({"key": KEY.hex(), "header": header, "vectors": rows}, indent=1) + "\n"


def as_pcap(found: list[Vector]) -> bytes:
    """The frames, in UDP and IPv4, a microsecond apart."""
    parts = [_GLOBAL.pack(0xA1B2C3D4, 2, 4, 0, 0, 65_535, _IPV4)]
    for number, vector in enumerate(v for v in found if v.frame):
        size = 28 + len(vector.frame)
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size, 0, 0, 64, 17, 0, bytes((10, 77, 0, 1)), bytes((10, 77, 0, 2)))
        total = sum(struct.unpack("!10H", ip))
        total = (total & 0xFFFF) + (total >> 16)
        ip = ip[:10] + struct.pack("!H", ~total & 0xFFFF) + ip[12:]
        udp = struct.pack("!HHHH", PORT, PORT, size - 20, 0)
        parts += [_PACKET.pack(0, number, size, size), ip, udp, vector.frame]
    return b"".join(parts)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "messages.json").write_text(as_json(vectors()))
    (FOLDER / "frames.pcap").write_bytes(as_pcap(vectors()))
