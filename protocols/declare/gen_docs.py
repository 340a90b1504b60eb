"""Writes docs/wire.md: header, messages, enumerations, departures from print, authentication and its test
vectors."""

import hashlib
import inspect
from typing import Any

from scapy.packet import Packet

from protocols.declare.family import Family
from protocols.declare.fields import (
    SIGNED,
    Bytes,
    Count,
    Enumerated,
    NamedBits,
    Number,
    Place,
    Record,
    Records,
    Reserved,
    Tag,
    layout,
    public,
)
from protocols.declare.header import MAX_FRAME, PORT, Header

INTRODUCTION = f"""<!-- GENERATED from protocols/declare by `python -m protocols.declare`: do not edit. -->

# The wire

Every message that Bellwire's nodes exchange, bit for bit. The one definition is the scapy layers in
`protocols/declare/`; the codec that nodes run, the Wireshark dissector (`bellwire dissector`) and this page
are generated from them.

- A frame is one UDP payload: the common header, then the body of one message. It has at most {MAX_FRAME:,}
  bytes; the port is {PORT}. No registry has assigned that port: it lies in the dynamic range.
- All integers are big-endian. u8, u16, u32 and u64 are unsigned, i32 and i64 are two's complement; u1 … u7 are bits,
  the most significant first. There are no floats: a fidelity or a population is a u32 over 2³² − 1.
- ECHO, MHP, LSR, TTP and SRP (but for its Ready) are bodies of frames. All others travel over REL, whose Data are.
- At most one part of a message is variable (a byte string or a list). It stands last, and its length
  precedes it.
- Reserved bits and the header's flags are sent as zero and ignored when received. Everything else that is
  not exactly a message is counted and dropped: a body that is too short or too long, a length beyond its
  bound, a code point that the enumeration does not have, an unknown message.
- Slots are counted at the station of a link, from its time zero; times are picoseconds.
- A Bell index is `b = (x << 1) | z`: |B_xz⟩ = (I ⊗ X^x Z^z)|Φ+⟩, so that composing pairs and corrections
  is XOR.
- In Wireshark the Protocol column shows the name of the protocol (of the one carried, if REL carries a whole
  message), and a field's filter is `bellwire.PROTOCOL.MESSAGE.FIELD`, such as `bellwire.egp.add_ack.link`; a
  header field's is `bellwire.FIELD`.

## Common header
"""

AUTHENTICATION = """## Authentication

    tag = HMAC-SHA256(key, frame with its 16 tag bytes set to zero), the first 16 bytes

Each unordered pair of nodes has one key of 32 bytes. With the clocks `virtual` and `local` there is no
secret, and bytes must follow from the seed: there, for nodes a < b and S the scenario's seed,

    key = HMAC-SHA256("bellwire pair key", "S/a/b"), the numbers in decimal

so that the pair of nodes 1 and 2 has, with seed 7, the key

    {derived}

With the clock `paced` keys are drawn at random, and a node holds only its own. A receiver checks the
length, the version and the protocol, then the tag, and only then the replay window: per source, the highest
sequence accepted and the 1,023 below it. A frame that was accepted before, or lies further back, is
refused. A newer incarnation of the source (by serial number arithmetic, RFC 1982) empties the window; a
frame of an older one is refused. What is refused is counted and dropped.
"""


def hmac_sha256(key: bytes, text: bytes) -> bytes:
    """HMAC by the letter of RFC 2104 (keys of at most 64 bytes); shares nothing with the code of nodes."""
    block = key + bytes(64 - len(key))
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + text).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).digest()


def tag_of(frame: bytes, key: bytes) -> bytes:
    """The authentication tag of a frame, whatever stands in its place."""
    return hmac_sha256(key, frame[:16] + bytes(16) + frame[32:])[:16]


def vectors(families: tuple[Family, ...]) -> list[tuple[str, bytes, bytes, bytes]]:
    """(what it is, key, frame, tag) for a few frames that use short, long, fixed and carried bodies."""
    layers: dict[str, Any] = {
        f"{family.name} {layer.__name__}": layer for family in families for layer in family.messages
    }
    chain = {"circuit": 1, "pair_id": 7, "link": 2, "link_sequence": 65534, "bell_index": 3}
    errors = {"error_z": 0x08000000, "error_x": 0x08000000, "error_y": 0}
    track = layers["QNP Track"](**chain, **errors, age_ps=50_000, request=3)
    gen = layers["MHP Gen"](kind=0, link=1, queue_id=42, first_slot=1 << 40, spacing=1, count=1000, alpha=0)
    opened = bytes(layers["QTP Open"](session=1, port=4000, service=1))
    cases = [
        (
            "ECHO Ping without padding",
            b"\x0b" * 32,
            1,
            2,
            1,
            1,
            layers["ECHO Ping"](token=0xDEADBEEF, hops=3),
        ),
        ("MHP Gen", bytes(range(32)), 1, 3, 1, 2, gen),
        ("QNP Track", b"\xaa" * 32, 65535, 256, 65535, 0xFFFFFFFF, track),
        (
            "REL Data that carries QTP Open",
            hashlib.sha256(b"bellwire").digest(),
            4,
            2,
            2,
            17,
            layers["REL Data"](
                stream_epoch=1, sequence=0, acknowledged=0, protocol=5, message=1, more=0, payload_=opened
            ),
        ),
        (
            "ECHO Pong with padding",
            bytes(32),
            2,
            1,
            1,
            3,
            layers["ECHO Pong"](token=1, padding=bytes(range(100))),
        ),
    ]
    found = []
    for what, key, source, destination, incarnation, sequence, body in cases:
        family, name = next((f, m) for f in families for m in f.messages if type(body) is m)
        header = Header(
            protocol=family.number,
            message=name.code,
            length=32 + len(bytes(body)),
            source=source,
            destination=destination,
            incarnation=incarnation,
            sequence=sequence,
        )
        tag = tag_of(bytes(header / body), key)
        header.tag = tag
        found.append((what, key, bytes(header / body), tag))
    return found


def _kind(place: Place) -> str:
    field = place.field
    if isinstance(field, Bytes):
        return "bytes"
    if isinstance(field, Records):
        return f"list of {field.record.__name__}"
    if isinstance(field, Tag):
        return f"{field.sz} bytes"
    signed = isinstance(field, Number) and field.fmt in SIGNED
    return f"{'i' if signed else 'u'}{place.size}"


def _meaning(field: Any) -> str:
    if isinstance(field, Enumerated | NamedBits):
        return f"{_escape(field.meaning)} ([{field.points.__name__}](#{field.points.__name__.lower()}))"
    return _escape(field.meaning)


def _table(layer: type[Packet]) -> list[str]:
    places = list(layout(layer))
    if not places:
        return ["The body is empty.", ""]
    lines = ["| offset | type | field | meaning | unit |", "|---|---|---|---|---|"]
    for place in places:
        field, bit = place.field, place.bit
        offset = str(bit // 8) if place.size % 8 == 0 else f"{bit // 8}, bit {bit % 8}"
        name = f"*{field.name}*" if isinstance(field, Reserved | Count) else f"`{public(field.name)}`"
        lines.append(f"| {offset} | {_kind(place)} | {name} | {_meaning(field)} | {field.unit} |")
    last = places[-1]
    size = (last.bit + last.size) // 8
    variable = isinstance(last.field, Bytes | Records)
    return [*lines, "", f"{size} bytes{' and what is variable' if variable else ''}.", ""]


def _records(layer: type[Packet]) -> list[type[Record]]:
    return [field.record for field in layer.fields_desc if isinstance(field, Records)]


def _family(family: Family) -> list[str]:
    where = "" if family.on_udp else " It never travels over UDP."
    lines = [f"## {family.name} ({family.number}): {family.title}", "", f"{family.about}{where}", ""]
    for layer in family.messages:
        lines += [f"### {family.name} {layer.code} {layer.__name__}", "", inspect.getdoc(layer) or "", ""]
        lines += _table(layer)
        for record in _records(layer):
            lines += [f"#### {record.__name__}", "", inspect.getdoc(record) or "", "", *_table(record)]
    for points in family.points:
        lines += [f"### {points.__name__}", "", inspect.getdoc(points) or "", ""]
        lines += ["| value | name | meaning |", "|---|---|---|"]
        lines += [f"| {int(point)} | {point.name} | {_escape(point.meaning)} |" for point in points]
        lines.append("")
    return lines


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


def _departures(families: tuple[Family, ...]) -> list[str]:
    lines = ["## Departures from published layouts", ""]
    lines += ["Where a layout or a code point is published, it is kept, except:", ""]
    lines += ["| protocol | published | here | reason |", "|---|---|---|---|"]
    for family in families:
        for departure in family.departures:
            published, here, reason = (_escape(text) for text in departure)
            lines.append(f"| {family.name} | {published} | {here} | {reason} |")
    return [*lines, ""]


def _test_vectors(families: tuple[Family, ...]) -> list[str]:
    lines = ["### Test vectors", ""]
    lines += ["Computed by the letter of RFC 2104, not with the code that nodes run.", ""]
    for what, key, frame, tag in vectors(families):
        first, *rest = (frame.hex()[i : i + 96] for i in range(0, len(frame) * 2, 96))
        lines += [
            f"{what}:",
            "",
            "```",
            f"key   {key.hex()}",
            f"frame {first}",
            *(f"      {row}" for row in rest),
        ]
        lines += [f"tag   {tag.hex()}", "```", ""]
    return lines


def docs(families: tuple[Family, ...]) -> str:
    """The text of docs/wire.md."""
    lines = [INTRODUCTION, *_table(Header)]
    lines += ["## Protocols", "", "| number | name | what it is |", "|---|---|---|"]
    lines += [f"| {family.number} | {family.name} | {family.title} |" for family in families]
    lines.append("")
    for family in families:
        lines += _family(family)
    derived = hmac_sha256(b"bellwire pair key", b"7/1/2").hex()
    lines += [*_departures(families), AUTHENTICATION.replace("{derived}", derived), *_test_vectors(families)]
    return "\n".join(lines).rstrip() + "\n"
