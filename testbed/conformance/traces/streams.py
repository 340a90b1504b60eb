"""Rules of REL: streams, their segments, what is sent again, what is acknowledged."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from protocols.reliable import DOUBLINGS, MAX_PAYLOAD, TRIES, WINDOW, first_sequence
from protocols.wire import RelAck, RelData
from testbed.conformance.traces import Broken, Found, Shown, shows
from testbed.conformance.traces.trace import Frame, Trace, newer

_U32: Final = 0xFFFFFFFF
_TIMER: Final = 0.1
"""By how much a timer may be off, and a host late: a tenth."""
_SOON_PS: Final = 100_000_000_000
"""In which what is due at once is there on any host."""


class Stream(NamedTuple):
    """Of one node to another."""

    source: int
    destination: int
    epoch: int


class Sending(NamedTuple):
    """One transmission of a segment; ``acknowledged``: the next sequence that the sender knew the other to expect."""

    frame: Frame
    data: RelData
    acknowledged: int | None


def _streams(trace: Trace) -> dict[Stream, list[Sending]]:
    """Every transmission, in order."""
    found: dict[Stream, list[Sending]] = {}
    known: dict[tuple[int, int], int] = {}
    for frame in _as_lived(trace):
        header, message = frame.header, frame.message
        if not isinstance(message, RelData | RelAck):
            continue
        if frame.received is not False:  # it has arrived
            pair = (header.destination, header.source)
            before = known.get(pair)
            if before is None or newer(message.acknowledged, before):
                known[pair] = message.acknowledged
        if not frame.received and isinstance(message, RelData):
            stream = Stream(header.source, header.destination, message.stream_epoch)
            acknowledged = known.get((header.source, header.destination))
            found.setdefault(stream, []).append(Sending(frame, message, acknowledged))
    return found


def _as_lived(trace: Trace) -> Iterator[Frame]:
    """Frames as sent, and as taken."""
    return (frame for frame in trace.frames if not frame.dropped)


def _offset(stream: Stream, sequence: int) -> int:
    """Which segment of its stream it is, from 0."""
    return (sequence - first_sequence(stream.epoch)) & _U32


def _whole(sendings: list[Sending], stream: Stream) -> bool:
    """Does the trace have the stream from its beginning?"""
    return _offset(stream, sendings[0].data.sequence) == 0


@shows("REL-2")
def epochs_grow(trace: Trace) -> Found:
    """The incarnation in the upper half; between two nodes no epoch is less than one before."""
    last: dict[tuple[int, int], Sending] = {}
    for stream, sendings in _streams(trace).items():
        first = sendings[0]
        life = first.frame.header.incarnation
        before = last.get((stream.source, stream.destination))
        if stream.epoch >> 16 != life:
            why = f"epoch {stream.epoch:#x} in life {life}"
            yield Broken(stream.source, why, (first.frame.number,))
        elif before is not None and not newer(stream.epoch, before.data.stream_epoch):
            why = f"epoch {stream.epoch:#x} after {before.data.stream_epoch:#x}"
            yield Broken(stream.source, why, (before.frame.number, first.frame.number))
        else:
            yield Shown(stream.source, (first.frame.number,))
        last[stream.source, stream.destination] = first


@shows("REL-4")
def segments_are_numbered_in_a_row(trace: Trace) -> Found:
    """From where the epoch says."""
    for stream, sendings in _streams(trace).items():
        highest = -1 if sendings[0].frame.number < 100 or _whole(sendings, stream) else None
        for sending in sendings:
            offset = _offset(stream, sending.data.sequence)
            if highest is None:
                highest = offset
            if offset > highest + 1:
                why = f"segment {offset} of a stream is sent when {highest} was the last"
                yield Broken(stream.source, why, (sending.frame.number,))
            elif offset == highest + 1:
                yield Shown(stream.source, (sending.frame.number,))
            highest = max(highest, offset)


@shows("REL-3")
def the_first_is_sent_alone(trace: Trace) -> Found:
    """No second segment before the first is acknowledged."""
    for stream, sendings in _streams(trace).items():
        if not _whole(sendings, stream):
            continue
        for sending in sendings:
            if _offset(stream, sending.data.sequence) == 1:
                known = sending.acknowledged
                numbers = (sendings[0].frame.number, sending.frame.number)
                if known is not None and 0 < _offset(stream, known) < 1 << 31:
                    yield Shown(stream.source, numbers)
                else:
                    yield Broken(stream.source, "a second segment is sent before the first is acknowledged", numbers)
                break


@shows("REL-5")
def bodies_are_split_at_the_limit(trace: Trace) -> Found:
    """All but the last segment of a body are full."""
    for stream, sendings in _streams(trace).items():
        for sending in sendings:
            size, more = len(sending.data.payload), sending.data.more
            if size > MAX_PAYLOAD or (more and size != MAX_PAYLOAD):
                why = f"a segment of {size} bytes{', with more to come' if more else ''}"
                yield Broken(stream.source, why, (sending.frame.number,))
            elif more:
                yield Shown(stream.source, (sending.frame.number,))


@shows("REL-9")
def a_window_is_under_way(trace: Trace) -> Found:
    """Not more than 64 segments that are not acknowledged; shown where there are several."""
    for stream, sendings in _streams(trace).items():
        for sending in sendings:
            if sending.acknowledged is None:
                continue
            acknowledged = _offset(stream, sending.acknowledged)
            if acknowledged >= 1 << 31:
                continue  # of the stream before
            under_way = _offset(stream, sending.data.sequence) + 1 - acknowledged
            if under_way > WINDOW:
                yield Broken(stream.source, f"{under_way} segments are under way", (sending.frame.number,))
            elif under_way > 1:
                yield Shown(stream.source, (sending.frame.number,))


@shows("REL-8", "REL-10")
def what_is_sent_again_waits_longer(trace: Trace) -> Found:
    """While nothing comes back the time between two transmissions of a segment is twice what it was two transmissions
    ago, up to a ceiling.  That is no less than four times where it began, for two doublings may have been left, and no
    more than sixteen times; there are 259 transmissions at most."""
    for stream, sendings in _streams(trace).items():
        times: dict[int, list[Sending]] = {}
        for sending in sendings:
            row = times.setdefault(sending.data.sequence, [])
            if row and row[-1].acknowledged != sending.acknowledged:
                row.clear()  # something came back, and the estimate is another
            row.append(sending)
            numbers = tuple(one.frame.number for one in row)
            if len(row) > TRIES:
                yield Broken(stream.source, f"a segment is sent {len(row)} times in vain", numbers)
            if len(row) < 5:
                continue  # from the first of them the timeout of another segment may have been left over
            gaps = [b.frame.t_ps - a.frame.t_ps for a, b in pairwise(row)]
            last, before, begun = gaps[-1], gaps[-3], gaps[1]
            most = (1 << DOUBLINGS) * begun
            steady = before >= (1 << DOUBLINGS - 2) * (1 - _TIMER) * begun
            least = before * (1 - _TIMER) if steady else (2 - _TIMER) * before
            if last < least or last > min((2 + _TIMER) * before, (1 + _TIMER) * most) + _SOON_PS:
                why = f"sent again after {last / 1e9:.3f} ms, and after {before / 1e9:.3f} ms two times before"
                yield Broken(stream.source, why, numbers[-4:])
            else:
                yield Shown(stream.source, numbers[-4:])


@shows("REL-6", "REL-7")
def the_first_and_what_came_before_are_acknowledged(trace: Trace) -> Found:
    """At once: by an Ack, or by Data that carries it."""
    expected: dict[Stream, int] = {}
    answers = [f for f in trace.sent if isinstance(f.message, RelData | RelAck)]
    by_pair: dict[tuple[int, int], list[Frame]] = {}
    for frame in answers:
        by_pair.setdefault((frame.header.source, frame.header.destination), []).append(frame)
    for frame in trace.frames:
        data, header = frame.message, frame.header
        if frame.received is False or frame.dropped or not isinstance(data, RelData):
            continue
        stream = Stream(header.source, header.destination, data.stream_epoch)
        offset = _offset(stream, data.sequence)
        before = expected.get(stream, 0)
        if offset == before:
            expected[stream] = before + 1
        if offset >= before and offset > 0:
            continue
        if any(newer(s.epoch, stream.epoch) for s in expected if s[:2] == stream[:2]):
            continue  # of a stream that is over: ignored
        wanted = (first_sequence(stream.epoch) + max(before, 1)) & _U32
        told = next(
            (
                one
                for one in by_pair.get((header.destination, header.source), ())
                if (one.t_ps, one.number) >= (frame.t_ps, frame.number)
                and isinstance(one.message, RelData | RelAck)
                and not newer(wanted, one.message.acknowledged)
            ),
            None,
        )
        if told is not None and told.t_ps - frame.t_ps <= _SOON_PS:
            yield Shown(header.destination, (frame.number, told.number))
        elif frame.t_ps + 10 * _SOON_PS < trace.end_ps:
            yield Broken(header.destination, "what is to be acknowledged at once is not", (frame.number,))
