"""Frames and messages: layouts, the authentication tag, the replay window (FRM)."""

import hashlib
import hmac
import struct
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

HEADER = struct.Struct(">BBBBHHHHI16s")
LONGEST = 1200
OVER_UDP = frozenset((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12))
WINDOW = 1024
TOP = 2**32 - 1  # a fidelity or a probability of one


# ruff: noqa: PYI024 (a class a message would be three times as long, and say no more)
# The fields of each message, as docs/wire.md has them (but `count`, which a tuple has already: `attempts`).
Ping = namedtuple("Ping", "token hops padding")
Pong = namedtuple("Pong", "token hops padding")
Data = namedtuple("Data", "stream_epoch sequence acknowledged protocol message more payload")
Ack = namedtuple("Ack", "stream_epoch acknowledged")
Reset = namedtuple("Reset", "stream_epoch")
Probe = namedtuple("Probe", "")
Gen = namedtuple("Gen", "kind link queue_id first_slot spacing attempts alpha pairs")
Reply = namedtuple("Reply", "outcome error link mhp_sequence queue_id peer_queue_id slot number more")
Measuring = namedtuple("Measuring", "bases chance_1 chance_2 x_1 y x_2")
Add = namedtuple(
    "Add",
    "link create_id purpose_id number minimum_fidelity priority "
    "kind max_time_ps flags queue_sequence virtual_finish measuring",
)
AddAck = namedtuple("AddAck", "link create_id queue_sequence virtual_finish")
AddReject = namedtuple("AddReject", "link create_id error")
Train = namedtuple(
    "Train",
    "link origin create_id queue_id first_slot spacing attempts alpha expected_sequence test pairs each",
)
TrainAck = namedtuple("TrainAck", "link queue_id verdict expected_sequence")
Expire = namedtuple("Expire", "link origin create_id old_sequence new_sequence")
ExpireAck = namedtuple("ExpireAck", "link expected_sequence")
Tested = namedtuple("Tested", "link mhp_sequence outcome")
Op = namedtuple("Op", "opcode flags qubit other angle condition expect")
Program = namedtuple("Program", "ops")
DeviceTrain = namedtuple("DeviceTrain", "link qubit first_slot spacing attempts alpha")
MeasuringTrain = namedtuple(
    "MeasuringTrain",
    "link qubit first_slot spacing attempts alpha choice bases chance_1 chance_2 x_1 y x_2",
)
StopTrain = namedtuple("StopTrain", "link qubit")
Listen = namedtuple("Listen", "link first_slot spacing attempts")
StopListen = namedtuple("StopListen", "link")
Recall = namedtuple("Recall", "link slot")
Bits = namedtuple("Bits", "bits")
TrainDone = namedtuple("TrainDone", "emitted last_slot")
Herald = namedtuple("Herald", "outcome slot")
Failed = namedtuple("Failed", "error op")
Done = namedtuple("Done", "")
Remembered = namedtuple("Remembered", "known outcome basis")


@dataclass(frozen=True)
class Layout:
    """How a message lies in its body: `?` is one bit and seven reserved ones, the tail is bytes or records."""

    protocol: int
    message: int
    type: Any
    codes: str
    tail: int = 0  # longest tail, in bytes or records
    record: "Layout | None" = None
    bounds: tuple[tuple[int, int], ...] = ()  # index of a field, and its highest code point

    def pack(self, values: Any) -> bytes:
        """The body of a message with these fields."""
        fields = [bool(v) << 7 if code == "?" else v for code, v in zip(self.codes, values, strict=False)]
        body = struct.pack(">" + self.codes.replace("?", "B"), *fields)
        if not self.tail:
            return body
        if self.record is None:
            return body + struct.pack(">H", len(values[-1])) + bytes(values[-1])
        return body + bytes([len(values[-1])]) + b"".join(self.record.pack(each) for each in values[-1])

    def unpack(self, body: bytes) -> Any:
        """The message, or None if the body is not exactly one."""
        fixed = struct.Struct(">" + self.codes.replace("?", "B"))
        if len(body) < fixed.size:
            return None
        values = [v >> 7 if c == "?" else v for c, v in zip(self.codes, fixed.unpack_from(body), strict=True)]
        if any(values[index] > highest for index, highest in self.bounds):
            return None
        rest = body[fixed.size :]
        if self.tail:
            width = 1 if self.record else 2
            length = int.from_bytes(rest[:width])
            rest = rest[width:]
            if len(body) < fixed.size + width or length > self.tail:
                return None
            if self.record is None:
                if len(rest) != length:
                    return None
                values.append(rest)
            else:
                size = struct.calcsize(">" + self.record.codes.replace("?", "B"))
                records = [self.record.unpack(rest[i * size : (i + 1) * size]) for i in range(length)]
                if len(rest) != length * size or None in records:
                    return None
                values.append(tuple(records))
        elif rest:
            return None
        return self.type(*values)


_MEASURING = Layout(3, 0, Measuring, "BIIiii", bounds=((0, 3),))
_OP = Layout(128, 0, Op, "BBIIiI?")
LAYOUTS = (
    Layout(0, 1, Ping, "IH", tail=1000),
    Layout(0, 2, Pong, "IH", tail=1000),
    Layout(1, 1, Data, "IIIBB?", tail=1100),
    Layout(1, 2, Ack, "II"),
    Layout(1, 3, Reset, "I"),
    Layout(1, 4, Probe, ""),
    Layout(2, 1, Gen, "BHIQIIIH", bounds=((0, 2),)),
    Layout(2, 2, Reply, "BBHHIIQHB", bounds=((0, 3), (1, 7))),
    Layout(3, 1, Add, "HIHHIBBQBHQ", tail=2, record=_MEASURING, bounds=((6, 2),)),
    Layout(3, 2, AddAck, "HIHQ"),
    Layout(3, 3, AddReject, "HIB", bounds=((2, 7),)),
    Layout(3, 4, Train, "HBIIQIIIHBHB", bounds=((9, 3),)),
    Layout(3, 5, TrainAck, "HIBH", bounds=((2, 2),)),
    Layout(3, 6, Expire, "HBIHH"),
    Layout(3, 7, ExpireAck, "HH"),
    Layout(3, 8, Tested, "HH?"),
    Layout(128, 1, Program, "", tail=64, record=_OP),
    Layout(128, 2, DeviceTrain, "HIQIII"),
    Layout(128, 3, StopTrain, "HI"),
    Layout(128, 4, Listen, "HQII"),
    Layout(128, 5, StopListen, "H"),
    Layout(128, 10, MeasuringTrain, "HIQIIIQBIIiii"),
    Layout(128, 11, Recall, "HQ"),
    Layout(128, 64, Bits, "", tail=64),
    Layout(128, 65, TrainDone, "IQ"),
    Layout(128, 66, Herald, "BQ", bounds=((0, 2),)),
    Layout(128, 67, Failed, "BB"),
    Layout(128, 68, Done, ""),
    Layout(128, 70, Remembered, "BBB", bounds=((2, 4),)),
)
BY_TYPE: dict[type, Layout] = {layout.type: layout for layout in LAYOUTS}
BY_NUMBER = {(layout.protocol, layout.message): layout for layout in LAYOUTS}


def encode(message: tuple[Any, ...]) -> tuple[int, int, bytes]:
    """Protocol number, message number and body of a message."""
    layout = BY_TYPE[type(message)]
    return layout.protocol, layout.message, layout.pack(message)


def decode(protocol: int, message: int, body: bytes) -> Any:
    """The message with these numbers and this body, or None if there is none such."""
    layout = BY_NUMBER.get((protocol, message))
    return None if layout is None else layout.unpack(body)


def _tag(key: bytes, frame: bytes) -> bytes:
    return hmac.digest(key, frame[:16] + bytes(16) + frame[32:], hashlib.sha256)[:16]


@dataclass
class Heard:
    """What has been accepted of one source: its incarnation, the highest sequence, and the window below it."""

    incarnation: int = -1
    highest: int = 0
    window: int = 0  # bit i = highest - i has been accepted

    def admits(self, incarnation: int, sequence: int) -> bool:
        """Whether a frame is neither of an older life nor a repetition."""
        if incarnation != self.incarnation:
            return self.incarnation < 0 or 0 < (incarnation - self.incarnation) % 2**16 < 2**15
        behind = self.highest - sequence
        return behind < 0 or (behind < WINDOW and not self.window >> behind & 1)

    def note(self, incarnation: int, sequence: int) -> None:
        """A frame has been accepted."""
        if incarnation != self.incarnation:
            self.incarnation, self.highest, self.window = incarnation, sequence, 1
        elif sequence > self.highest:
            shift = min(sequence - self.highest, WINDOW)
            self.window = (self.window << shift | 1) & (1 << WINDOW) - 1
            self.highest = sequence
        else:
            self.window |= 1 << (self.highest - sequence)


class Sealer:
    """Makes this node's frames, and opens those that are for it."""

    def __init__(self, node: int, incarnation: int, keys: dict[int, bytes]) -> None:
        self.node, self.incarnation, self.keys = node, incarnation, keys
        self.sequence = 0
        self.heard = {peer: Heard() for peer in keys}

    def seal(self, destination: int, message: tuple[Any, ...]) -> bytes:
        """The frame that carries a message."""
        protocol, number, body = encode(message)
        self.sequence += 1
        head = (1, protocol, number, 0, HEADER.size + len(body), self.node, destination, self.incarnation)
        frame = HEADER.pack(*head, self.sequence, bytes(16)) + body
        return frame[:16] + _tag(self.keys[destination], frame) + frame[32:]

    def open(self, frame: bytes) -> tuple[int, int, Any] | None:
        """Source, its incarnation, and the message; None if the frame is refused, which changes nothing."""
        if not HEADER.size <= len(frame) <= LONGEST:
            return None
        version, protocol, number, _, length, source, destination, life, sequence, tag = HEADER.unpack_from(frame)
        if version != 1 or length != len(frame) or protocol not in OVER_UDP or destination != self.node:
            return None
        if source not in self.keys or not hmac.compare_digest(tag, _tag(self.keys[source], frame)):
            return None
        message = decode(protocol, number, frame[HEADER.size :])
        if message is None or not self.heard[source].admits(life, sequence):
            return None
        self.heard[source].note(life, sequence)
        return source, life, message
