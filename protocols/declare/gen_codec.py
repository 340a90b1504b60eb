"""Writes protocols/wire/codec.py: one flat NamedTuple class per message, struct formats spelled out, no
loop for fixed ones."""

import inspect
from typing import Any

from scapy.packet import Packet

from protocols.declare.family import Family
from protocols.declare.fields import (
    Bits,
    Bytes,
    CodePoint,
    Count,
    Enumerated,
    Message,
    NamedBits,
    Place,
    Record,
    Records,
    Reserved,
    layout,
    public,
)

WIDTH = 110
LETTERS = {8: "B", 16: "H", 32: "I"}

PREAMBLE = '''"""GENERATED from protocols/declare by `python -m protocols.declare`: do not edit.

Every message of Bellwire as a NamedTuple. `pack()` gives its body; `unpack(body)` reads one and raises
WireError (reason `short`, `long`, `bound` or `value`) for anything that is not exactly one such message.
Reserved bits are sent as zero and ignored when received. What the fields mean stands in docs/wire.md.
"""

import struct
from enum import IntEnum
from typing import ClassVar, NamedTuple, Self

from protocols.wire.error import WireError
'''


def class_name(family: Family, layer: type[Packet]) -> str:
    return family.name.capitalize() + layer.__name__


def constant(name: str) -> str:
    """MhpGen -> _MHP_GEN"""
    return "_" + "".join("_" + c if c.isupper() and i else c for i, c in enumerate(name)).upper()


class Row:
    """What one layer's fields become in Python: a struct format, names, types, and how to get from one to
    the other."""

    def __init__(self, layer: type[Packet]) -> None:
        self.format = "!"
        self.fields: list[tuple[str, str, str]] = []  # name, type, default
        self.packed: list[str] = []  # arguments of struct.pack
        self.checks: list[str] = []  # statements before packing
        self.raw: list[str] = []  # targets of struct.unpack
        self.built: list[str] = []  # arguments of the class
        self.points: list[type[CodePoint]] = []
        self.tail: Bytes | Records | None = None
        group: list[Place] = []
        for place in layout(layer):
            field = place.field
            if isinstance(field, Bits | NamedBits | Reserved):
                group.append(place)
                if (place.bit + place.size) % 8 == 0:
                    self._bit_group(group)
                    group = []
            elif isinstance(field, Bytes | Records):
                self.tail = field
                kind = "bytes" if isinstance(field, Bytes) else f"tuple[{field.record.__name__}, ...]"
                self.fields.append((public(field.name), kind, ""))
            else:
                self._whole(field)

    def _whole(self, field: Any) -> None:
        name = public(field.name)
        self.format += field.fmt[1:]
        self.raw.append(name)
        if isinstance(field, Count):
            self.packed.append("length")
            return
        self.packed.append(f"self.{name}")
        if isinstance(field, Enumerated):
            self.points.append(field.points)
            self.built.append(f"{constant(field.points.__name__)}[{name}]")
            self.fields.append((name, field.points.__name__, ""))
        else:
            self.built.append(name)
            self.fields.append((name, "int", f" = {field.default}" if field.optional else ""))

    def _bit_group(self, group: list[Place]) -> None:
        left = sum(place.size for place in group)
        self.format += LETTERS[left]
        target, parts = f"bits{len(self.raw)}", []
        for nth, (field, _, size) in enumerate(group):
            left -= size
            if isinstance(field, Reserved):
                continue
            if nth:  # struct refuses what is too large for the first field; the others would run into it
                self.checks += [
                    f"if self.{field.name} >> {size}:",
                    f'    raise struct.error("{field.name}: {size} bits")',
                ]
            parts.append(f"self.{field.name} << {left}" if left else f"self.{field.name}")
            whole = target if not left else f"{target} >> {left}"
            self.built.append(whole if not nth else f"({whole}) & {(1 << size) - 1}")
            self.fields.append((field.name, "int", f" = {field.default}" if field.optional else ""))
        self.packed.append(" | ".join(parts) or "0")
        self.raw.append(target)

    @property
    def plain(self) -> bool:
        """The struct's values are the fields, as they stand."""
        return self.raw == self.built


def _call(indent: str, head: str, arguments: list[str], tail: str) -> str:
    """One line if it fits, else one argument a line."""
    line = f"{indent}{head}{', '.join(arguments)}{tail}"
    if len(line) <= WIDTH:
        return line
    return "\n".join(
        [f"{indent}{head}", *(f"{indent}    {argument}," for argument in arguments), f"{indent}{tail}"]
    )


def _assign(targets: list[str], value: str) -> str:
    if len(targets) == 1:
        return f"        ({targets[0]},) = {value}"
    line = f"        {', '.join(targets)} = {value}"
    return line if len(line) <= WIDTH else _call("        ", "(", targets, f") = {value}")


def _enumeration(name: str, doc: str, members: list[tuple[str, int, str]], lookup: bool) -> str:
    """The IntEnum, and with `lookup` the dictionary by which unpack turns a number into its member."""
    lines = [f"class {name}(IntEnum):", f'    """{doc}"""', ""]
    for member, value, meaning in members:
        noqa = "  # noqa: E741" if member == "I" else ""
        lines.append(f"    {member} = {value}{noqa or f'  # {meaning}'}")
    if lookup:
        lines += ["", "", f"{constant(name)} = {{int(point): point for point in {name}}}"]
    return "\n".join(lines)


def _fields_class(name: str, row: Row) -> list[str]:
    lines = [f"class _{name}(NamedTuple):"]
    for field, kind, default in row.fields:
        clash = "  # type: ignore[assignment]" if field in ("count", "index") else ""  # tuple's methods
        lines.append(f"    {field}: {kind}{default}{clash}")
    return lines if row.fields else [*lines, "    pass"]


def _pack(name: str, row: Row) -> list[str]:
    lines = ["    def pack(self) -> bytes:"]
    if row.tail is not None:
        tail = public(row.tail.name)
        lines += [
            f"        length = len(self.{tail})",
            f"        if length > {row.tail.count.bound}:",
            f'            raise ValueError(f"{name}.{tail}: {{length}} > {row.tail.count.bound}")',
        ]
    lines += [f"        {check}" for check in row.checks]
    if row.format == "!":
        return [*lines, '        return b""']
    if row.tail is None:
        return [*lines, _call("        ", f"return {constant(name)}.pack(", row.packed, ")")]
    lines.append(_call("        ", f"head = {constant(name)}.pack(", row.packed, ")"))
    if isinstance(row.tail, Bytes):
        return [*lines, f"        return head + self.{tail}"]
    return [*lines, f'        return head + b"".join([record.pack() for record in self.{tail}])']


def _unpack_fixed(name: str, row: Row) -> list[str]:
    struct_name = constant(name)
    if row.format == "!":
        lines = ["        if body:", f'            raise WireError("long", "{name}")', "        return cls()"]
    else:
        lines = [
            f"        if len(body) != {struct_name}.size:",
            f"            raise _misfit(body, {struct_name}, cls)",
        ]
        if row.plain:
            lines.append(f"        return tuple.__new__(cls, {struct_name}.unpack(body))")
        else:
            lines.append(_assign(row.raw, f"{struct_name}.unpack(body)"))
            lines += _build(name, row)
    return lines


def _build(name: str, row: Row) -> list[str]:
    indent = "            " if row.points else "        "
    comma = "," if len(row.built) == 1 else ""
    line = f"{indent}return tuple.__new__(cls, ({', '.join(row.built)}{comma}))"
    if len(line) <= WIDTH:
        lines = [line]
    else:
        lines = [_call(indent, "values = (", row.built, ")"), f"{indent}return tuple.__new__(cls, values)"]
    if not row.points:
        return lines
    return [
        "        try:",
        *lines,
        "        except KeyError as unknown:",
        f'            raise WireError("value", f"{name}: {{unknown}}") from None',
    ]


def _unpack_variable(name: str, row: Row) -> list[str]:
    assert row.tail is not None
    struct_name, tail, bound = constant(name), public(row.tail.name), row.tail.count.bound
    unit = f" * {constant(row.tail.record.__name__)}.size" if isinstance(row.tail, Records) else ""
    length = public(row.tail.count.name)
    lines = [
        f"        if len(body) < {struct_name}.size:",
        f"            raise _misfit(body, {struct_name}, cls)",
        _assign(row.raw, f"{struct_name}.unpack_from(body)"),
        f"        if {length} > {bound}:",
        f'            raise WireError("bound", f"{name}.{tail}: {{{length}}} > {bound}")',
        f"        if len(body) != {struct_name}.size + {length}{unit}:",
        f"            raise _misfit_tail(body, {struct_name}.size + {length}{unit}, cls)",
    ]
    if isinstance(row.tail, Bytes):
        row.built.append(f"body[{struct_name}.size :]")
    else:
        record = row.tail.record.__name__
        size = f"{constant(record)}.size"
        lines += [
            f"        starts = range({struct_name}.size, len(body), {size})",
            f"        {tail} = tuple([{record}.unpack(body[start : start + {size}]) for start in starts])",
        ]
        row.built.append(tail)
    return lines + _build(name, row)


def _layer(name: str, layer: type[Packet], family: Family) -> str:
    row = Row(layer)
    lines = [] if row.format == "!" else [f'{constant(name)} = struct.Struct("{row.format}")', "", ""]
    lines += [
        *_fields_class(name, row),
        "",
        "",
        f"class {name}(_{name}):",
        f'    """{inspect.getdoc(layer)}"""',
        "",
    ]
    lines += ["    __slots__ = ()", ""]
    if issubclass(layer, Message):
        lines += [
            f"    PROTOCOL: ClassVar[int] = {family.number}",
            f"    MESSAGE: ClassVar[int] = {layer.code}",
            "",
        ]
    lines += [*_pack(name, row), "", "    @classmethod", "    def unpack(cls, body: bytes) -> Self:"]
    lines += _unpack_variable(name, row) if row.tail is not None else _unpack_fixed(name, row)
    return "\n".join(lines)


def _helpers() -> str:
    return """def _misfit(body: bytes, layout: struct.Struct, cls: type) -> WireError:
    return _misfit_tail(body, layout.size, cls)


def _misfit_tail(body: bytes, size: int, cls: type) -> WireError:
    reason = "short" if len(body) < size else "long"
    return WireError(reason, f"{cls.__name__}: {len(body)} bytes, not {size}")"""


def _records(family: Family) -> list[type[Record]]:
    found: list[type[Record]] = []
    for layer in family.messages:
        found += [
            field.record
            for field in layer.fields_desc
            if isinstance(field, Records) and field.record not in found
        ]
    return found


def codec(families: tuple[Family, ...]) -> str:
    """The text of protocols/wire/codec.py."""
    parts = [_helpers()]
    members = [(family.name, family.number, family.title) for family in families]
    parts.append(_enumeration("ProtocolId", "Protocol numbers.", members, lookup=False))
    on_udp = ", ".join(str(family.number) for family in families if family.on_udp)
    parts.append(
        f"ON_UDP = frozenset({{{on_udp}}})\n"
        '"""Protocols that travel in frames; the others stay on the device bus."""'
    )
    layers = [layer for family in families for layer in (*_records(family), *family.messages)]
    looked_up = {points for layer in layers for points in Row(layer).points}
    names: list[str] = []
    for family in families:
        for points in family.points:
            doc = inspect.getdoc(points) or ""
            members = [(point.name, int(point), point.meaning) for point in points]
            parts.append(_enumeration(points.__name__, doc, members, lookup=points in looked_up))
        parts += [_layer(record.__name__, record, family) for record in _records(family)]
        for layer in family.messages:
            names.append(class_name(family, layer))
            parts.append(_layer(names[-1], layer, family))
    union = "\n    | ".join(names)
    parts.append(f"type Message = (\n    {union}\n)")
    rows = "\n".join(f"    ({name}.PROTOCOL, {name}.MESSAGE): {name}," for name in names)
    parts.append(f"MESSAGES: dict[tuple[int, int], type[Message]] = {{\n{rows}\n}}")
    return PREAMBLE + "\n\n" + "\n\n\n".join(parts) + "\n"
