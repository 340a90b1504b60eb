"""Values for the fields of any declared message, drawn by the caller: a seeded generator, or hypothesis."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from protocols.declare import LAYERS
from protocols.declare.fields import (
    SIGNED,
    Bits,
    Bytes,
    Count,
    Enumerated,
    NamedBits,
    Records,
    Reserved,
    layout,
    public,
)
from protocols.wire import WireError

Choose = Callable[[int, int], int]
"""choose(low, high): an integer, both ends included."""


def sample(layer: Any, choose: Choose) -> dict[str, Any]:
    """A legal value for every field that a sender sets, by its public name."""
    values: dict[str, Any] = {}
    for field, _, size in layout(layer):
        name = public(field.name)
        if isinstance(field, Reserved | Count):
            continue
        if isinstance(field, Enumerated):
            points = list(field.points)
            values[name] = int(points[choose(0, len(points) - 1)])
        elif isinstance(field, Bits | NamedBits):
            values[name] = choose(0, (1 << size) - 1)
        elif isinstance(field, Bytes):
            length = choose(0, field.count.bound)
            values[name] = choose(0, (1 << 8 * length) - 1).to_bytes(length, "big")
        elif isinstance(field, Records):
            values[name] = [sample(field.record, choose) for _ in range(choose(0, field.count.bound))]
        elif field.fmt in SIGNED:
            values[name] = choose(-(1 << size - 1), (1 << size - 1) - 1)
        else:
            values[name] = choose(0, (1 << size) - 1)
    return values


def as_scapy(layer: Any, values: dict[str, Any]) -> Any:
    """The scapy packet with these values."""
    declared = {public(field.name): field for field, _, _ in layout(layer)}
    arguments = {}
    for name, value in values.items():
        field = declared[name]
        whole = [as_scapy(field.record, one) for one in value] if isinstance(field, Records) else value
        arguments[field.name] = whole
    return layer(**arguments)


def readings(packet: Any) -> dict[str, Any]:
    """What scapy reads in each field of one layer, reserved bits and counts included, by public name."""
    return {public(field.name): packet.getfieldval(field.name) for field, _, _ in layout(type(packet))}


def draw_from(data: st.DataObject) -> Choose:
    """Lets hypothesis choose."""
    return lambda low, high: data.draw(st.integers(low, high))


def body_of(kind: tuple[int, int], data: st.DataObject) -> bytes:
    """The body of any message of one kind."""
    return bytes(as_scapy(LAYERS[kind], sample(LAYERS[kind], draw_from(data))))


def refusal(act: Callable[[], object]) -> str | None:
    """Why the bytes were refused, or None if they were not; any other exception is the test's failure."""
    try:
        act()
    except WireError as error:
        return error.reason
    return None
