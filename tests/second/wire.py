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


BY_TYPE: dict[type, Layout] = {}
BY_NUMBER: dict[tuple[int, int], Layout] = {}


def _message(
    name: str, protocol: int, number: int, codes: str, fields: str, tail: int = 0, record: Any = None, **highest: int
) -> Any:
    """The type of a message or of a record (number 0), its fields as docs/wire.md has them.

    But for `count`, which a tuple has already: `attempts`.
    """
    made = namedtuple(name, fields)  # noqa: PYI024 (its fields are told in one string)
    bounds = tuple((made._fields.index(field), top) for field, top in highest.items())
    layout = Layout(protocol, number, made, codes, tail, BY_TYPE.get(record), bounds)
    BY_TYPE[made] = layout
    if number:
        BY_NUMBER[protocol, number] = layout
    return made


# fmt: off
Measuring = _message("Measuring", 3, 0, "BIIiii", "bases chance_1 chance_2 x_1 y x_2", bases=3)
Op = _message("Op", 128, 0, "BBIIiI?", "opcode flags qubit other angle condition expect")
Ping = _message("Ping", 0, 1, "IH", "token hops padding", tail=1000)
Pong = _message("Pong", 0, 2, "IH", "token hops padding", tail=1000)
Data = _message("Data", 1, 1, "IIIBB?", "stream_epoch sequence acknowledged protocol message more payload", tail=1100)
Ack = _message("Ack", 1, 2, "II", "stream_epoch acknowledged")
Reset = _message("Reset", 1, 3, "I", "stream_epoch")
Probe = _message("Probe", 1, 4, "", "")
Gen = _message("Gen", 2, 1, "BHIQIIIH", "kind link queue_id first_slot spacing attempts alpha pairs", kind=2)
Reply = _message(
    "Reply", 2, 2, "BBHHIIQHB",
    "outcome error link mhp_sequence queue_id peer_queue_id slot number more", outcome=3, error=7,
)
Add = _message(
    "Add", 3, 1, "HIHHIBBQBHQ",
    "link create_id purpose_id number minimum_fidelity priority kind "
    "max_time_ps flags queue_sequence virtual_finish measuring", tail=2, record=Measuring, kind=2,
)
AddAck = _message("AddAck", 3, 2, "HIHQ", "link create_id queue_sequence virtual_finish")
AddReject = _message("AddReject", 3, 3, "HIB", "link create_id error", error=7)
Train = _message(
    "Train", 3, 4, "HBIIQIIIHBHB",
    "link origin create_id queue_id first_slot spacing attempts alpha expected_sequence test pairs each", test=3,
)
TrainAck = _message("TrainAck", 3, 5, "HIBH", "link queue_id verdict expected_sequence", verdict=2)
Expire = _message("Expire", 3, 6, "HBIHH", "link origin create_id old_sequence new_sequence")
ExpireAck = _message("ExpireAck", 3, 7, "HH", "link expected_sequence")
Tested = _message("Tested", 3, 8, "HH?", "link mhp_sequence outcome")
Program = _message("Program", 128, 1, "", "ops", tail=64, record=Op)
DeviceTrain = _message("DeviceTrain", 128, 2, "HIQIII", "link qubit first_slot spacing attempts alpha")
StopTrain = _message("StopTrain", 128, 3, "HI", "link qubit")
Listen = _message("Listen", 128, 4, "HQII", "link first_slot spacing attempts")
StopListen = _message("StopListen", 128, 5, "H", "link")
MeasuringTrain = _message(
    "MeasuringTrain", 128, 10, "HIQIIIQBIIiii",
    "link qubit first_slot spacing attempts alpha choice bases chance_1 chance_2 x_1 y x_2",
)
Recall = _message("Recall", 128, 11, "HQ", "link slot")
Bits = _message("Bits", 128, 64, "", "bits", tail=64)
TrainDone = _message("TrainDone", 128, 65, "IQ", "emitted last_slot")
Herald = _message("Herald", 128, 66, "BQ", "outcome slot", outcome=2)
Failed = _message("Failed", 128, 67, "BB", "error op")
Done = _message("Done", 128, 68, "", "")
Remembered = _message("Remembered", 128, 70, "BBB", "known outcome basis", basis=4)
# fmt: on


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
