"""A trace put together: which frames were sent and which arrived, and what every node said over and under REL.

What may live here: that, from frames as they were captured.  Rules look at it.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, Final, NamedTuple

from protocols.reliable import first_sequence
from protocols.wire import HEADER_BYTES, MESSAGES, Message, ProtocolId, RelData, WireError, decode, parse
from protocols.wire.frame import Header
from testbed.conformance.traces.capture import Captured

_HALF: Final = 1 << 31
_U32: Final = 0xFFFFFFFF
DROPPED: Final = "dropped"

Key = Callable[[int, int], bytes | None]
"""Of two nodes, if it is known."""


class Frame(NamedTuple):
    """One frame as it was seen; `message` is None if its body is none."""

    number: int
    t_ps: int
    received: bool | None
    note: str
    header: Header
    message: Message | None
    raw: bytes

    @property
    def dropped(self) -> bool:
        return self.note.startswith(DROPPED)


class Said(NamedTuple):
    """A message of a node to another: bare, each time it was sent; or over REL, once."""

    number: int
    t_ps: int
    source: int
    destination: int
    life: int
    message: Any
    heard_ps: int | None
    """When the other node had it, in its turn; None: it never had, as far as the trace shows."""
    heard_number: int | None
    carried: bool = False
    """Over REL."""

    def before(self, other: "Said") -> bool:
        """Did its receiver have this when it said the other?"""
        return self.heard_ps is not None and (self.heard_ps, self.heard_number or 0) <= (other.t_ps, other.number)


class Trace:
    """All of it, in the order of the file."""

    def __init__(self, captured: Iterable[Captured], key: Key = lambda a, b: None, end_ps: int = 0) -> None:
        """end_ps: until when was listened, if that is later than the last frame."""
        self.key = key
        self.frames: list[Frame] = []
        self.damaged: list[Captured] = []
        """What is no frame."""
        for one in captured:
            frame = _frame(one)
            if frame is None:
                self.damaged.append(one)
            else:
                self.frames.append(frame)
        self.end_ps = max((frame.t_ps for frame in self.frames), default=0)
        self.end_ps = max(self.end_ps, end_ps)
        self.births: dict[int, list[int]] = {}
        """When each node is heard of in a new life."""
        lives: dict[int, int] = {}
        for frame in self.frames:
            if not frame.received:
                life = lives.setdefault(frame.header.source, frame.header.incarnation)
                if newer(frame.header.incarnation, life, 16):
                    self.births.setdefault(frame.header.source, []).append(frame.t_ps)
                    lives[frame.header.source] = frame.header.incarnation
        self.sent = [frame for frame in self.frames if not frame.received]
        """Frames as they left their node, or passed by; each transmission is one."""
        self.directed = any(frame.received is not None for frame in self.frames)
        """It says which frames arrived, and which were dropped."""
        self._arrived: dict[tuple[int, int, int, bytes], Frame] = {}
        for frame in self.frames:
            if (frame.received or frame.received is None) and not frame.dropped:
                self._arrived.setdefault(_wire_name(frame), frame)
        self.said = sorted([*self._bare(), *self._carried()], key=lambda said: (said.t_ps, said.number))
        self._between: dict[tuple[Any, ...], list[Said]] = {}
        self._by: dict[tuple[Any, ...], dict[tuple[Any, ...], list[Said]]] = {}
        self._by_kind: dict[type, list[Said]] = {}
        for said in self.said:
            self._by_kind.setdefault(type(said.message), []).append(said)

    def of(self, *kinds: type) -> list[Said]:
        """What was said of these kinds, in order."""
        if len(kinds) == 1:
            return self._by_kind.get(kinds[0], [])
        found = [said for kind in kinds for said in self._by_kind.get(kind, [])]
        return sorted(found, key=lambda said: (said.t_ps, said.number))

    def between(self, source: int, destination: int, *kinds: type) -> list[Said]:
        """What one node said of these kinds to another, in order."""
        name = (source, destination, *kinds)
        if name not in self._between:
            ends: dict[tuple[int, int], list[Said]] = {}
            for said in self.of(*kinds):
                ends.setdefault((said.source, said.destination), []).append(said)
            for pair, found in ends.items():
                self._between[*pair, *kinds] = found
        return self._between.setdefault(name, [])

    def answers(self, asked: Said, *kinds: type, **fields: Any) -> Iterator[Said]:
        """What who heard a message says back of these kinds, with these fields, from then on."""
        if asked.heard_ps is None:
            return
        said = self.between(asked.destination, asked.source, *kinds)
        start = bisect_left(said, asked.heard_ps, key=lambda one: one.t_ps)
        for one in islice(said, start, None):
            if all(getattr(one.message, name) == value for name, value in fields.items()):
                yield one

    def by(self, kind: type, *names: str) -> dict[tuple[Any, ...], list[Said]]:
        """What was said of a kind, by fields of the message; a name with a dot is one of ``Said`` itself."""
        if (kind, *names) not in self._by:
            found: dict[tuple[Any, ...], list[Said]] = {}
            for said in self.of(kind):
                key = tuple(
                    getattr(said, name[1:]) if name.startswith(".") else getattr(said.message, name) for name in names
                )
                found.setdefault(key, []).append(said)
            self._by[kind, *names] = found
        return self._by[kind, *names]

    def arrived(self, frame: Frame) -> Frame | None:
        """The frame as its receiver took it."""
        return self._arrived.get(_wire_name(frame))

    def _bare(self) -> Iterator[Said]:
        seen: set[bytes] = set()
        for frame in self.sent:
            if frame.raw in seen:
                continue  # the same frame, at another interface
            seen.add(frame.raw)
            if frame.message is not None and frame.header.protocol != ProtocolId.REL:
                there = self.arrived(frame)
                yield _said(frame, frame.number, frame.message, there)

    def _carried(self) -> Iterator[Said]:
        """Messages over REL, from the segments of each stream."""
        streams: dict[tuple[int, int, int], dict[int, tuple[Frame, Frame | None]]] = {}
        for frame in self.sent:
            if isinstance(frame.message, RelData):
                name = (frame.header.source, frame.header.destination, frame.message.stream_epoch)
                segments = streams.setdefault(name, {})
                known = segments.get(frame.message.sequence)
                there = self.arrived(frame)
                if known is None:
                    segments[frame.message.sequence] = (frame, there)
                elif there is not None and (known[1] is None or there.t_ps < known[1].t_ps):
                    segments[frame.message.sequence] = (known[0], there)
        for (_, _, epoch), segments in streams.items():
            yield from _messages(first_sequence(epoch), segments)


def _messages(first: int, segments: dict[int, tuple[Frame, Frame | None]]) -> Iterator[Said]:
    """In order, as far as the segments go without a gap.  A capture may begin amid a stream."""
    sequence = first if first in segments else min(segments, key=lambda number: (number - first) & _U32)
    parts: list[bytes] = []
    begun: Frame | None = None
    had: Frame | None = None
    lost = False
    while sequence in segments:
        frame, there = segments[sequence]
        data = frame.message
        assert isinstance(data, RelData)
        begun = begun or frame
        if there is None:
            lost = True
        elif had is None or there.t_ps > had.t_ps:
            had = there
        parts.append(data.payload)
        if not data.more:
            layout = MESSAGES.get((data.protocol, data.message))
            if layout is not None:
                with suppress(WireError):
                    whole = layout.unpack(b"".join(parts))
                    yield _said(frame, begun.number, whole, None if lost else had)._replace(carried=True)
            parts, begun = [], None
        sequence = (sequence + 1) & _U32


def _said(frame: Frame, number: int, message: Message, there: Frame | None) -> Said:
    header = frame.header
    heard = (None, None) if there is None else (there.t_ps, there.number)
    return Said(number, frame.t_ps, header.source, header.destination, header.incarnation, message, *heard)


def _frame(one: Captured) -> Frame | None:
    try:
        header = parse(one.frame)
    except WireError:
        return None
    try:
        message: Message | None = decode(header, one.frame[HEADER_BYTES:])
    except WireError:
        message = None
    return Frame(one.number, one.t_ps, one.received, one.note, header, message, one.frame)


def _wire_name(frame: Frame) -> tuple[int, int, int, bytes]:
    header = frame.header
    return header.source, header.incarnation, header.sequence, header.tag


def newer(a: int, b: int, bits: int = 32) -> bool:
    """Is the serial number a behind b (RFC 1982)?"""
    return a != b and (a - b) % (1 << bits) < 1 << (bits - 1)


def reborn(trace: Trace, asked: Said) -> bool:
    """Has one of the two died since?"""
    ends = (asked.source, asked.destination)
    return any(any(t_ps >= asked.t_ps for t_ps in trace.births.get(node, ())) for node in ends)
