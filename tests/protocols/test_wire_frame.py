"""Frames: header, tag and keys, the replay window, and the test vectors of the docs."""

import hmac
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wire_samples import body_of, readings, refusal

from protocols import wire
from protocols.declare import LAYERS, dissect
from protocols.declare import header as declared_header
from protocols.wire import (
    HEADER_BYTES,
    MAX_BODY,
    MAX_FRAME,
    MESSAGES,
    WINDOW,
    Header,
    ReplayWindow,
    WireError,
    decode,
    derive_key,
    parse,
    seal,
    verify,
)

KEY = bytes(range(32))
KINDS = sorted(MESSAGES)


# -------------------------------------------------------------------------------------------------- frames

numbers = st.tuples(*(st.integers(0, (1 << size) - 1) for size in (16, 16, 16, 32)))


@given(
    data=st.data(), kind=st.sampled_from([kind for kind in KINDS if kind[0] in wire.ON_UDP]), where=numbers
)
def test_a_sealed_frame_is_what_scapy_and_parse_read(
    data: st.DataObject, kind: tuple[int, int], where: tuple[int, int, int, int]
) -> None:
    body = body_of(kind, data)
    frame = seal(*kind, *where, body, KEY)
    header = parse(frame)
    assert header[:-1] == (1, *kind, 0, len(frame), *where)
    assert header.tag == hmac.digest(KEY, frame[:16] + bytes(16) + frame[32:], "sha256")[:16]
    assert verify(frame, KEY)
    assert decode(header, frame[HEADER_BYTES:]).pack() == body
    packet = dissect(frame)
    assert tuple(readings(packet).values()) == header
    assert type(packet.payload) is LAYERS[kind] or not body


def test_header_known_by_heart() -> None:
    frame = seal(2, 1, 0x0304, 0x0506, 0x0708, 0x090A0B0C, b"\xdd" * 3, b"k" * 32)
    assert frame[:16].hex() == "010201000023030405060708090a0b0c"
    assert frame[16:32].hex() == "822463f1bcea9776b6c16cb7a5256ca0"
    assert frame[32:] == b"\xdd" * 3


def test_constants_are_the_declared_ones() -> None:
    assert (wire.PORT, wire.VERSION, MAX_FRAME) == (
        declared_header.PORT,
        declared_header.VERSION,
        declared_header.MAX_FRAME,
    )
    assert Header._fields == tuple(field.name for field in declared_header.Header.fields_desc)


@given(flip=st.integers(0, 8 * 40 - 1))
def test_every_bit_of_a_frame_is_authenticated(flip: int) -> None:
    frame = seal(0, 1, 1, 2, 3, 4, wire.EchoPing(5, 6, b"").pack(), KEY)
    assert verify(frame, KEY)
    assert not verify((int.from_bytes(frame, "big") ^ 1 << flip).to_bytes(len(frame), "big"), KEY)


@given(frame=st.binary(max_size=60), key=st.binary(max_size=100))
def test_verify_is_false_for_anything_else(frame: bytes, key: bytes) -> None:
    assert not verify(frame, key)


@given(key=st.binary(max_size=200), body=st.binary(max_size=200))
@example(key=b"k" * 64, body=b"")
@example(key=b"k" * 65, body=b"")
def test_tag_is_hmac_for_keys_of_any_length(key: bytes, body: bytes) -> None:
    frame = seal(0, 1, 1, 2, 1, 1, body, key)
    assert frame[16:32] == hmac.digest(key, frame[:16] + bytes(16) + frame[32:], "sha256")[:16]


def test_parse_refuses_bad_headers() -> None:
    frame = seal(0, 1, 1, 2, 1, 1, wire.EchoPing(5, 6, b"").pack(), KEY)
    assert refusal(lambda: parse(b"")) == "short"
    assert refusal(lambda: parse(frame[: HEADER_BYTES - 1])) == "short"
    assert refusal(lambda: parse(b"\x02" + frame[1:])) == "version"
    assert refusal(lambda: parse(frame + b"\0")) == "length"
    assert refusal(lambda: parse(frame[:-1])) == "length"
    assert refusal(lambda: parse(frame[:1] + b"\x7f" + frame[2:])) == "protocol"
    # Device programs (128) never travel in frames.
    assert refusal(lambda: parse(frame[:1] + b"\x80" + frame[2:])) == "protocol"
    too_long = frame[:4] + (MAX_FRAME + 1).to_bytes(2, "big") + frame[6:]
    assert refusal(lambda: parse(too_long.ljust(MAX_FRAME + 1, b"\0"))) == "length"


def test_seal_makes_frames_up_to_the_limit() -> None:
    assert len(seal(0, 1, 1, 2, 1, 1, bytes(MAX_BODY), KEY)) == MAX_FRAME
    with pytest.raises(ValueError, match="1201") as caught:
        seal(0, 1, 1, 2, 1, 1, bytes(MAX_BODY + 1), KEY)
    assert not isinstance(caught.value, WireError)


@given(
    frame=st.binary(max_size=1300) | st.binary(min_size=32, max_size=80).map(lambda tail: b"\x01\x02" + tail)
)
def test_any_bytes_are_a_frame_or_a_wire_error(frame: bytes) -> None:
    reason = refusal(lambda: decode(parse(frame), frame[HEADER_BYTES:]))
    assert reason is None or reason.isidentifier()


@given(protocol=st.integers(0, 255), message=st.integers(0, 255), body=st.binary(max_size=60))
def test_decode_knows_only_declared_messages(protocol: int, message: int, body: bytes) -> None:
    carrier = wire.RelData(1, 1, 1, protocol, message, 0, body)
    reason = refusal(lambda: decode(carrier, carrier.payload))
    assert (reason == "message") == ((protocol, message) not in MESSAGES)
    if reason is None:
        decoded = decode(carrier, carrier.payload)
        assert (protocol, message) == (decoded.PROTOCOL, decoded.MESSAGE)


def test_keys_belong_to_unordered_pairs() -> None:
    keys = {
        derive_key(seed, a, b) for seed in (0, 1, -1, 1 << 80) for a in range(1, 13) for b in range(a, 13)
    }
    assert len(keys) == 4 * 78
    assert all(len(key) == 32 for key in keys)
    assert derive_key(7, 3, 11) == derive_key(7, 11, 3)


def test_vectors_of_the_docs_verify() -> None:
    text = (Path(__file__).parents[2] / "docs" / "wire.md").read_text(encoding="utf-8")
    found = re.findall(
        r"^key   ([0-9a-f]+)\nframe ((?:[0-9a-f]+\s+)+)tag   ([0-9a-f]{32})$", text, re.MULTILINE
    )
    assert len(found) >= 4
    for key, lines, tag in found:
        frame = bytes.fromhex("".join(lines.split()))
        header = parse(frame)
        assert header.tag.hex() == tag
        assert verify(frame, bytes.fromhex(key))
        decode(header, frame[HEADER_BYTES:])
    assert derive_key(7, 1, 2).hex() in text


# ------------------------------------------------------------------------------------------- replay window
class Naive:
    """The replay window's rule with a set instead of a bit mask."""

    def __init__(self) -> None:
        self.incarnation: int | None = None
        self.seen: set[int] = set()

    def accept(self, incarnation: int, sequence: int) -> str | None:
        if self.incarnation is not None and incarnation != self.incarnation:
            if (incarnation - self.incarnation) % 65536 >= 32768:
                return "old incarnation"
            self.seen = set()
        self.incarnation = incarnation
        if sequence in self.seen or (self.seen and sequence <= max(self.seen) - WINDOW):
            return "replayed"
        self.seen.add(sequence)
        return None


sequences = st.integers(0, 40) | st.integers(0, 3 * WINDOW) | st.integers((1 << 32) - 50, (1 << 32) - 1)
incarnations = st.sampled_from([0, 0, 0, 1, 2, 65535, 32767, 32768])


@given(st.lists(st.tuples(incarnations, sequences), max_size=60))
def test_replay_window_follows_its_rule(frames: list[tuple[int, int]]) -> None:
    window, naive = ReplayWindow(), Naive()
    for incarnation, sequence in frames:
        assert window.accept(incarnation, sequence) == naive.accept(incarnation, sequence)


@given(st.permutations(range(200)), st.integers(0, (1 << 32) - 200))
def test_replay_window_accepts_any_order_once(order: list[int], start: int) -> None:
    window = ReplayWindow()
    assert [window.accept(1, start + sequence) for sequence in order] == [None] * 200
    assert [window.accept(1, start + sequence) for sequence in order] == ["replayed"] * 200


def test_replay_window_has_exactly_its_width() -> None:
    window = ReplayWindow()
    assert window.accept(1, 5000) is None
    assert window.accept(1, 5000 - WINDOW + 1) is None
    assert window.accept(1, 5000 - WINDOW) == "replayed"
    assert window.accept(1, 5001) is None
    assert window.accept(1, 5001 - WINDOW + 1) is None
    assert window.accept(1, 5001 - WINDOW) == "replayed"
    assert window.accept(1, 0xFFFFFFFF) is None
    assert window.accept(1, 5001) == "replayed"


def test_incarnations_wrap() -> None:
    window = ReplayWindow()
    assert window.accept(65535, 9) is None
    assert window.accept(0, 9) is None
    assert window.accept(65535, 10) == "old incarnation"
    assert window.accept(32767, 9) is None  # as far ahead as counts as newer
    assert window.accept(0, 10) == "old incarnation"
    assert window.accept(32767, 9) == "replayed"
