"""The wire: the generated codec against scapy, message by message, and the files committed."""

import enum
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_samples import as_scapy, body_of, draw_from, readings, refusal, sample

from protocols import wire
from protocols.declare import FAMILIES, LAYERS
from protocols.declare.__main__ import generated
from protocols.declare.family import Family
from protocols.declare.fields import (
    Bits,
    Bytes,
    Enumerated,
    Record,
    Records,
    Reserved,
    byte_string,
    i32,
    in_order,
    layout,
    records,
    u16,
)
from protocols.declare.fields import Message as Layer
from protocols.declare.gen_codec import codec
from protocols.declare.gen_exports import exports
from protocols.wire import (
    MAX_BODY,
    MESSAGES,
    WireError,
)

KEY = bytes(range(32))
KINDS = sorted(MESSAGES)
every_message = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: MESSAGES[kind].__name__)


few = settings(max_examples=12)  # of each of a hundred messages and more


def as_codec(cls: Any, layer: Any, values: dict[str, Any]) -> Any:
    """The codec's message with the values that scapy's was given."""
    arguments = dict(values)
    for field, _, _ in layout(layer):
        if isinstance(field, Enumerated):
            arguments[field.name] = getattr(wire, field.points.__name__)(values[field.name])
        elif isinstance(field, Records):
            record = getattr(wire, field.record.__name__)
            arguments[field.name] = tuple(as_codec(record, field.record, one) for one in values[field.name])
    return cls(**arguments)


# ------------------------------------------------------------------------------------------------ messages


def test_codec_has_every_declared_message() -> None:
    assert set(MESSAGES) == set(LAYERS)
    for (protocol, message), cls in MESSAGES.items():
        assert (protocol, message) == (cls.PROTOCOL, cls.MESSAGE)
    assert {int(number): number.name for number in wire.ProtocolId} == {f.number: f.name for f in FAMILIES}


def test_enumerations_have_the_declared_code_points() -> None:
    for family in FAMILIES:
        for points in family.points:
            generated_points = getattr(wire, points.__name__)
            assert {p.name: int(p) for p in generated_points} == {p.name: int(p) for p in points}


@every_message
@few
@given(data=st.data())
def test_codec_and_scapy_agree(kind: tuple[int, int], data: st.DataObject) -> None:
    layer, cls = LAYERS[kind], MESSAGES[kind]
    values = sample(layer, draw_from(data))
    message = as_codec(cls, layer, values)
    body = message.pack()
    assert body == bytes(as_scapy(layer, values))
    again = cls.unpack(body)
    assert again == message
    assert type(again) is cls
    for field, before, after in zip(message._fields, message, again, strict=True):
        assert type(before) is type(after), field
    read = readings(layer(body))
    for field in message._fields:
        if not isinstance(values[field], list):
            assert read[field] == getattr(again, field)


@every_message
@few
@given(body=st.binary(max_size=80))
def test_any_bytes_are_a_message_or_a_wire_error(kind: tuple[int, int], body: bytes) -> None:
    reason = refusal(lambda: MESSAGES[kind].unpack(body))
    assert reason in {None, "short", "long", "bound", "value"}
    if reason is None:
        message = MESSAGES[kind].unpack(body)
        assert len(message.pack()) == len(body)
        assert MESSAGES[kind].unpack(message.pack()) == message


@every_message
@few
@given(data=st.data())
def test_a_body_cut_or_continued_is_refused(kind: tuple[int, int], data: st.DataObject) -> None:
    body = body_of(kind, data)
    unpack = MESSAGES[kind].unpack
    if body:
        cut = data.draw(st.integers(0, len(body) - 1))
        assert refusal(lambda: unpack(body[:cut])) == "short"
    more = data.draw(st.binary(min_size=1, max_size=5))
    assert refusal(lambda: unpack(body + more)) == "long"


@every_message
@few
@given(data=st.data())
def test_reserved_bits_are_ignored(kind: tuple[int, int], data: st.DataObject) -> None:
    layer, cls = LAYERS[kind], MESSAGES[kind]
    body = body_of(kind, data)
    dirty = int.from_bytes(body, "big")
    for field, bit, size in layout(layer):
        if isinstance(field, Reserved):
            dirty |= ((1 << size) - 1) << (len(body) * 8 - bit - size)
    assert cls.unpack(dirty.to_bytes(len(body), "big")) == cls.unpack(body)


@every_message
def test_unknown_code_points_are_refused(kind: tuple[int, int]) -> None:
    layer, cls = LAYERS[kind], MESSAGES[kind]
    body = bytes(layer())
    for field, bit, _ in layout(layer):
        if isinstance(field, Enumerated):
            wrong = body[: bit // 8] + b"\xfe" + body[bit // 8 + 1 :]
            assert refusal(lambda wrong=wrong: cls.unpack(wrong)) == "value"


@every_message
def test_bounds_hold_both_ways(kind: tuple[int, int]) -> None:
    layer, cls = LAYERS[kind], MESSAGES[kind]
    places = list(layout(layer))
    if not places or not isinstance(places[-1].field, Bytes | Records):
        return
    count, tail = places[-2], places[-1].field
    bound = count.field.bound
    start, stop = count.bit // 8, (count.bit + count.size) // 8
    head = bytes(layer())[:start]
    one = bytes(tail.record()) if isinstance(tail, Records) else b"\0"
    full = head + bound.to_bytes(stop - start, "big") + one * bound
    assert cls.unpack(full).pack() == full
    beyond = head + (bound + 1).to_bytes(stop - start, "big") + one * (bound + 1)
    assert refusal(lambda: cls.unpack(beyond)) == "bound"
    name = cls.unpack(full)._fields[-1]
    most = getattr(cls.unpack(full), name)
    longer = most + most[:1]
    with pytest.raises(ValueError, match=">") as own:
        cls.unpack(full)._replace(**{name: longer}).pack()
    assert not isinstance(own.value, WireError)  # the sender's own fault, not a peer's


@every_message
def test_a_value_too_large_is_not_packed(kind: tuple[int, int]) -> None:
    layer, cls = LAYERS[kind], MESSAGES[kind]
    message: Any = cls.unpack(bytes(layer()))
    for field, _, size in layout(layer):
        if field.name in message._fields and not isinstance(field, Bytes | Records):
            for wrong in (1 << size, -(1 << size)):
                with pytest.raises(struct.error):
                    message._replace(**{field.name: wrong}).pack()


def test_no_message_outgrows_a_frame() -> None:
    for family in FAMILIES:
        for layer in family.messages if family.on_udp else ():
            *_, last = layout(layer) if layer.fields_desc else (None,)
            if last is None:
                continue  # it has no body
            most = last.field.count.bound if last.size == 0 else 0
            assert (last.bit + last.size) // 8 + most <= MAX_BODY, layer


def test_message_bodies_known_by_heart() -> None:
    gen = wire.MhpGen(
        wire.MhpKind.INFO, 0x0102, 0x03040506, 0x0708090A0B0C0D0E, 0x0F101112, 0x13141516, 0x17181920, 0x2122
    )
    assert gen.pack().hex() == "020102030405060708090a0b0c0d0e0f10111213141516171819202122"
    track = wire.QnpTrack(
        1, 2, 3, 4, wire.BellIndex.PSI_PLUS, wire.BellIndex.PHI_MINUS, wire.PairUse.TEST_Y, 5, 6, 7, 8, 9
    )
    assert track.pack().hex() == (
        "0001000000020003000490020000000500000006000000070000000000000008000000098000000080000000"
    )
    data = wire.RelData(1, 2, 3, 4, 5, 1, b"abc")
    assert data.pack().hex() == "0000000100000002000000030405800003616263"
    op = wire.DeviceOp(wire.DeviceOpcode.RX, qubit=0x00010002, angle=-1, condition=4, expect=1)
    assert wire.DeviceProgram((op,)).pack().hex() == "010a000001000200000000ffffffff0000000480"
    assert wire.DeviceDone().pack() == b""


class Stop(Record):
    """A record with more than one named field in a byte, which no message has yet."""

    name = "Stop"
    fields_desc = in_order(
        Bits("a", 3, "", "", None, False), Bits("b", 2, "", "", None, False), Reserved(3), i32("c", "")
    )


class Tour(Layer):
    """A message that somebody adds."""

    name = "Tour"
    code = 9
    fields_desc = in_order(u16("link", ""), records("stops", Stop, 3, ""))


def test_a_new_message_needs_only_its_layer() -> None:
    text = codec((Family(number=77, name="NEW", title="New", about="", messages=(Tour,)),))
    assert {"NewTour", "Stop"} <= set(re.findall(r'^    "(\w+)",$', exports(text), re.MULTILINE))
    made: dict[str, Any] = {"__name__": "made"}
    exec(text, made)
    tour = made["NewTour"](5, (made["Stop"](7, 1, -2), made["Stop"](0, 3, 4)))
    body = tour.pack()
    stops = [{"a": 7, "b": 1, "c": -2}, {"a": 0, "b": 3, "c": 4}]
    assert body == bytes(as_scapy(Tour, {"link": 5, "stops": stops}))
    assert made["MESSAGES"][77, 9].unpack(body) == tour
    for wrong in ({"a": 8}, {"b": 4}, {"b": -1}):
        with pytest.raises(struct.error):
            tour.stops[0]._replace(**wrong).pack()


def test_layouts_that_a_message_may_not_have() -> None:
    class Crooked(Layer):
        fields_desc = in_order(Bits("a", 3, "", "", None, False))

    class TailFirst(Layer):
        fields_desc = in_order(byte_string("a", 5, ""), byte_string("b", 5, ""))

    for layer in (Crooked, TailFirst):
        with pytest.raises(TypeError):
            list(layout(layer))


# --------------------------------------------------------------------------------------- committed files
@pytest.mark.parametrize("path", generated(), ids=lambda path: path.name)
def test_committed_files_are_the_generated_ones(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generated()[path], "run `python -m protocols.declare`"


def test_enumerations_stay_integers_on_the_wire() -> None:
    """An IntEnum of the codec packs like its number, so peers in other languages need only numbers."""
    assert isinstance(wire.EgpError.TIMEOUT, enum.IntEnum)
    assert wire.EgpAddReject(1, 2, wire.EgpError.TIMEOUT).pack() == struct.pack("!HIB", 1, 2, 3)
