"""Writes the Wireshark dissector: dissector.lua beside this file, with the tables made from the layers."""

import re
from pathlib import Path
from typing import Any

from scapy.packet import Packet

from protocols.declare import qnp, rel
from protocols.declare.family import Family
from protocols.declare.fields import (
    SIGNED,
    Bits,
    Bytes,
    CodePoint,
    Count,
    NamedBits,
    Number,
    Place,
    Records,
    Reserved,
    Tag,
    layout,
    public,
)
from protocols.declare.header import MAX_FRAME, PORT, VERSION, Header
from protocols.declare.pairs import NAMING, Name
from protocols.declare.remarks import REMARKS

TEMPLATE = Path(__file__).with_name("dissector.lua")
WIDTHS = {1: "uint8", 2: "uint16", 3: "uint24", 4: "uint32", 8: "uint64"}


def snake(name: str) -> str:
    """AddAck -> add_ack, as it stands in filter names."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _names(points: type[CodePoint]) -> str:
    return "{" + ", ".join(f"[{int(point)}] = {_quoted(point.name)}" for point in points) + "}"


def _unit(field: Any) -> str:
    return f"{field.meaning} [{field.unit}]" if field.unit else str(field.meaning)


def _declare(kind: str, abbreviation: str, name: str, more: str = "") -> str:
    arguments = ", ".join([_quoted(abbreviation), _quoted(name), *([more] if more else [])])
    return f"field(ProtoField.{kind}({arguments}))"


def _entry(prefix: str, place: Place) -> str:
    """One field: its ProtoField, where it stands, and how the Info column shows it."""
    field, first = place.field, place.bit // 8
    width = (place.bit + place.size - 1) // 8 - first + 1
    points = getattr(field, "points", None)
    names = f"V.{points.__name__}" if points else "nil"
    if isinstance(field, Tag):
        kind, display = "bytes", "base.NONE, "
    else:
        kind = WIDTHS[width]
        if isinstance(field, Number) and field.fmt in SIGNED:
            kind = kind.removeprefix("u")
        mask = "nil"
        if isinstance(field, Bits | NamedBits | Reserved):
            mask = hex(((1 << place.size) - 1) << (width * 8 - place.bit % 8 - place.size))
        display = f"base.DEC, {names}, {mask}, "
    name = public(field.name)
    declared = _declare(kind, f"{prefix}.{name}", name, display + _quoted(_unit(field)))
    extra = f", names = {names}" if points else ""
    extra += ", key = true" if field.key else ""
    return (
        f"{{f = {declared}, name = {_quoted(name)}, at = {first}, len = {width}, bit = {place.bit % 8},"
        f" bits = {place.size}{extra}}}"
    )


def _fixed(prefix: str, layer: type[Packet], indent: str) -> tuple[str, int]:
    """The table of a layer's fixed fields, and how many bytes they take."""
    places = [place for place in layout(layer) if place.size]
    rows = "".join(f"\n{indent}  {_entry(prefix, place)}," for place in places)
    return f"{{{rows}\n{indent}}}", sum(place.size for place in places) // 8


def _tail(prefix: str, layer: type[Packet]) -> str:
    """The variable part of a layer, if it has one."""
    places = list(layout(layer))
    if not places or places[-1].size:
        return ""
    field, count = places[-1].field, places[-2]
    name = f"{prefix}.{public(field.name)}"
    assert isinstance(count.field, Count)
    where = f"count_at = {count.bit // 8}, count_len = {count.size // 8}, bound = {count.field.bound}"
    if isinstance(field, Bytes):
        shown = _declare("bytes", name, public(field.name), f"base.NONE, {_quoted(field.meaning)}")
        return f"\n      tail = {{f = {shown}, {where}, each = 1}},"
    assert isinstance(field, Records)
    rows, size = _fixed(name, field.record, "        ")
    shown = _declare("none", name, field.record.__name__)
    return f"\n      tail = {{f = {shown}, {where}, each = {size}, fields = {rows}}},"


def _numbers(values: tuple[int, ...]) -> str:
    return "{" + ", ".join(f"[{int(value)}] = true" for value in values) + "}"


def _name(name: Name) -> str:
    fields = ", ".join(_quoted(field) for field in name.fields)
    stamp = f", stamp = {_quoted(name.stamp)}" if name.stamp else ""
    when = ""
    if name.when:
        field, values = name.when
        when = f", when = {_quoted(field)}" + (f", values = {_numbers(values)}" if values else "")
    return f"{{kind = {_quoted(name.kind)}, fields = {{{fields}}}{stamp}{when}}}"


def _about(layer: Any) -> str:
    """What the message says of pairs, and what a reader should not overlook in it."""
    lines = ""
    if layer in NAMING:
        names = ", ".join(_name(name) for name in NAMING[layer].names)
        joins = ", joins = true" if NAMING[layer].joins else ""
        lines += f"\n      naming = {{{names}{joins}}},"
    if layer in REMARKS:
        remark = REMARKS[layer]
        when = f", when = {_quoted(remark.field)}, values = {_numbers(remark.values)}" if remark.field else ""
        lines += f"\n      remark = {{expert = {remark.weight.name}, text = {_quoted(remark.text)}{when}}},"
    return lines + ("\n      installs = true," if layer is qnp.Install else "")


def _message(family: Family, layer: Any) -> str:
    prefix = f"bellwire.{family.name.lower()}.{snake(layer.__name__)}"
    rows, size = _fixed(prefix, layer, "      ")
    carries = "\n      carries = true," if layer is rel.Data else ""
    carries += _about(layer)
    return (
        f"    [{layer.code}] = {{\n      name = {_quoted(layer.__name__)}, size = {size},"
        f" node = {_declare('none', prefix, layer.__name__)},{carries}"
        f"{_tail(prefix, layer)}\n      fields = {rows},\n    }},"
    )


def _family(family: Family) -> str:
    prefix = f"bellwire.{family.name.lower()}"
    messages = "\n".join(_message(family, layer) for layer in family.messages)
    return (
        f"  [{family.number}] = {{\n    name = {_quoted(family.name)}, title = {_quoted(family.title)},"
        f" node = {_declare('none', prefix, family.title)},\n{messages}\n  }},"
    )


def _offsets(prefix: str, layer: type[Packet]) -> dict[str, str]:
    return {f"@{prefix}_{public(place.field.name).upper()}@": str(place.bit // 8) for place in layout(layer)}


def lua(families: tuple[Family, ...]) -> str:
    """The text of the dissector for these families."""
    points = [points for family in families for points in family.points]
    values = "\n".join(f"V.{points.__name__} = {_names(points)}" for points in points)
    numbers = ", ".join(f"[{family.number}] = {_quoted(family.name)}" for family in families)
    header = "\n".join(f"  {_entry('bellwire', place)}," for place in layout(Header))
    # The one value of the header with names; they are not an enumeration of any message.
    header = header.replace('"protocol", base.DEC, nil', '"protocol", base.DEC, PROTOCOL_NAMES')
    tables = {
        "@PORT@": str(PORT),
        "@VERSION@": str(VERSION),
        "@MAX_FRAME@": str(MAX_FRAME),
        "@HEADER@": header,
        "@HEADER_BYTES@": str(sum(place.size for place in layout(Header)) // 8),
        "@VALUES@": values,
        "@NUMBERS@": numbers,
        "@FAMILIES@": "\n".join(_family(family) for family in families),
        **_offsets("AT", Header),
        **_offsets("REL", rel.Data),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for mark, replacement in tables.items():
        text = text.replace(mark, replacement)
    return text
