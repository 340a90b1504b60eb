"""The kinds of field a Bellwire message may have: scapy fields that carry their own meaning and unit.

A message is a row of big-endian integers, enumerations and bit fields; at most one part of it is variable
(a byte string or a list of fixed records), it stands last, and a count with an upper bound precedes it.
There are no floats. Everything generated (codec, dissector, docs) is derived from these objects and from
nothing else.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Any, ClassVar, NamedTuple, Self

from scapy.fields import (
    AnyField,
    BitEnumField,
    BitField,
    EnumField,
    Field,
    FieldLenField,
    PacketListField,
    StrLenField,
)
from scapy.packet import Packet

BITS = {"!B": 8, "!H": 16, "!I": 32, "!i": 32, "!Q": 64, "!q": 64}
SIGNED = ("!i", "!q")


class CodePoint(IntEnum):
    """An enumeration on the wire: each member is written `NAME = value, "meaning"`."""

    meaning: str

    def __new__(cls, value: int, meaning: str = "") -> Self:
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


class Message(Packet):
    """A message of a family; its docstring is its documentation, `code` its message number."""

    code: ClassVar[int] = -1


class Record(Packet):
    """A fixed part that repeats inside a list."""

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes]:
        return b"", s


class Number(Field[int, int]):
    """An integer. `optional` gives it its default value in the codec's constructor too; `key` puts it in
    Wireshark's Info."""

    __slots__ = ["key", "meaning", "optional", "unit"]

    def __init__(self, name: str, fmt: str, meaning: str, unit: str, default: int | None, key: bool) -> None:
        super().__init__(name, default or 0, fmt)
        self.meaning, self.unit, self.key, self.optional = meaning, unit, key, default is not None


class Enumerated(EnumField[int]):
    """One byte that holds a code point. The codec refuses a value the enumeration does not have."""

    __slots__ = ["key", "meaning", "optional", "points", "unit"]

    def __init__(self, name: str, points: type[CodePoint], meaning: str, key: bool) -> None:
        super().__init__(name, int(next(iter(points))), points, "!B")
        self.meaning, self.unit, self.key, self.points, self.optional = meaning, "", key, points, False


class Bits(BitField):
    """A part of a byte, an unsigned integer."""

    __slots__ = ["key", "meaning", "optional", "unit"]

    def __init__(self, name: str, size: int, meaning: str, unit: str, default: int | None, key: bool) -> None:
        super().__init__(name, default or 0, size)
        self.meaning, self.unit, self.key, self.optional = meaning, unit, key, default is not None


class NamedBits(BitEnumField):
    """Bits whose every value has a name. The codec leaves them an `int`, because they are combined by XOR."""

    __slots__ = ["key", "meaning", "optional", "points", "unit"]

    def __init__(self, name: str, size: int, points: type[CodePoint], meaning: str, key: bool) -> None:
        super().__init__(name, 0, size, {int(point): point.name for point in points})
        self.meaning, self.unit, self.key, self.points, self.optional = meaning, "", key, points, False
        if len(points) != 1 << size:
            raise TypeError(f"{name}: {points.__name__} does not name every value of {size} bits")


class Reserved(BitField):
    """Bits that are sent as zero and ignored when received."""

    __slots__ = ["key", "meaning", "unit"]

    def __init__(self, size: int) -> None:
        super().__init__("reserved", 0, size)
        self.meaning, self.unit, self.key = "sent as zero, ignored when received", "", False


class Tag(Field[bytes, bytes]):
    """A byte string of fixed length."""

    __slots__ = ["key", "meaning", "unit"]

    def __init__(self, name: str, length: int, meaning: str) -> None:
        super().__init__(name, bytes(length), f"!{length}s")
        self.meaning, self.unit, self.key = meaning, "", False


class Count(FieldLenField):
    """The length, in bytes or records, of the variable part that follows it; `bound` is the largest legal
    value."""

    __slots__ = ["bound", "key", "meaning", "unit"]

    def __init__(self, name: str, of: str, bound: int, *, records: bool) -> None:
        if records:
            super().__init__(name, None, fmt="!B", count_of=of)
        else:
            super().__init__(name, None, fmt="!H", length_of=of)
        self.meaning = f"{'number of records in' if records else 'length of'} `{public(of)}`, at most {bound}"
        self.unit, self.key, self.bound = "" if records else "bytes", False, bound


class Bytes(StrLenField):
    """A byte string whose length stands in the Count before it."""

    __slots__ = ["count", "key", "meaning", "unit"]

    def __init__(self, name: str, count: Count, meaning: str) -> None:
        super().__init__(name, b"", length_from=lambda packet: int(packet.getfieldval(count.name)))
        self.meaning, self.unit, self.key, self.count = meaning, "", False, count


class Records(PacketListField):
    """A list of fixed records whose number stands in the Count before it."""

    __slots__ = ["count", "key", "meaning", "record", "unit"]

    def __init__(self, name: str, record: type[Record], count: Count, meaning: str) -> None:
        super().__init__(
            name,
            [],
            record,
            count_from=lambda packet: int(packet.getfieldval(count.name)),
            max_count=count.bound,  # scapy itself stops at 100
        )
        self.meaning, self.unit, self.key, self.count, self.record = meaning, "", False, count, record


# ------------------------------------------------------------ how declarations spell their fields


def public(name: str) -> str:
    """The name everybody else sees: scapy's packets have attributes of their own (`payload`), which a field
    may not
    take; such a field is declared with an underscore at its end."""
    return name.rstrip("_")


def u8(name: str, meaning: str, unit: str = "", default: int | None = None, key: bool = False) -> Number:
    return Number(name, "!B", meaning, unit, default, key)


def u16(name: str, meaning: str, unit: str = "", default: int | None = None, key: bool = False) -> Number:
    return Number(name, "!H", meaning, unit, default, key)


def u32(name: str, meaning: str, unit: str = "", default: int | None = None, key: bool = False) -> Number:
    return Number(name, "!I", meaning, unit, default, key)


def i32(name: str, meaning: str, unit: str = "", default: int | None = None, key: bool = False) -> Number:
    return Number(name, "!i", meaning, unit, default, key)


def u64(name: str, meaning: str, unit: str = "", default: int | None = None, key: bool = False) -> Number:
    return Number(name, "!Q", meaning, unit, default, key)


def i64(name: str, meaning: str, unit: str = "", default: int | None = None, key: bool = False) -> Number:
    return Number(name, "!q", meaning, unit, default, key)


def enum8(name: str, points: type[CodePoint], meaning: str, key: bool = False) -> Enumerated:
    return Enumerated(name, points, meaning, key)


def in_order(*parts: AnyField | list[AnyField]) -> list[AnyField]:
    """The fields of a layer, those that come in groups unpacked."""
    return [field for part in parts for field in (part if isinstance(part, list) else [part])]


def bits(
    name: str,
    size: int,
    meaning: str,
    points: type[CodePoint] | None = None,
    default: int | None = None,
    key: bool = False,
) -> list[AnyField]:
    """`size` bits at the head of a byte of their own; the rest of it is reserved."""
    field = (
        NamedBits(name, size, points, meaning, key) if points else Bits(name, size, meaning, "", default, key)
    )
    return [field, Reserved(8 - size)]


def byte_string(name: str, bound: int, meaning: str) -> list[AnyField]:
    """A byte string of at most `bound` bytes after its u16 length."""
    count = Count(f"{public(name)}_length", name, bound, records=False)
    return [count, Bytes(name, count, meaning)]


def records(name: str, record: type[Record], bound: int, meaning: str) -> list[AnyField]:
    """At most `bound` records after their u8 number."""
    count = Count(f"{public(name)}_count", name, bound, records=True)
    return [count, Records(name, record, count, meaning)]


# ------------------------------------------------------------ what the generators read them with


class Place(NamedTuple):
    """Where a field stands: `bit` from the start of the message, `size` in bits (0 = variable)."""

    field: Any
    bit: int
    size: int


def layout(layer: type[Packet]) -> Iterator[Place]:
    """The fields of a layer with their places; raises TypeError on what a Bellwire message may not have."""
    position, variable = 0, False
    for field in layer.fields_desc:
        if variable:
            raise TypeError(f"{layer.__name__}.{field.name}: the variable part of a message stands last")
        if isinstance(field, Bytes | Records):
            size, variable = 0, True
        elif isinstance(field, Tag):
            size = field.sz * 8
        elif isinstance(field, Bits | NamedBits | Reserved):
            size = int(field.size)
        elif isinstance(field, Number | Enumerated | Count):
            size = BITS[field.fmt]
        else:
            raise TypeError(
                f"{layer.__name__}.{field.name}: {type(field).__name__} is not a field of Bellwire"
            )
        if position % 8 and not isinstance(field, Bits | NamedBits | Reserved):
            raise TypeError(f"{layer.__name__}.{field.name}: does not start on a byte")
        yield Place(field, position, size)
        position += size
    if position % 8:
        raise TypeError(f"{layer.__name__}: does not end on a byte")
