"""The bytes between a host and the coordinator: reports and grants, with device commands and answers riding on them.

What may live here: packing and unpacking, for both ends.  One packet socket per host; one packet per message, split
by ``MORE`` when it grows long; beside them a host may say unasked what has come to it from outside.  This is the
emulator's own language, not part of the emulated wire.
"""

import json
from dataclasses import asdict
from struct import Struct
from typing import Any, Final, NamedTuple

from stack.config import Plight

REPORT, GRANT, START, COMMANDS, ANSWERS, THINKS, INPUT = range(1, 8)

_REPORT: Final = Struct("!BqBIqIHHHH")
_SENT: Final = Struct("!HIq")
_COMMAND: Final = Struct("!HqIBH")
_GRANT: Final = Struct("!BqBHHH")
_EXPECT: Final = Struct("!HI")
_ANSWER: Final = Struct("!HqIBH")
_ORDER: Final = Struct("!BHqH")
_START: Final = Struct("!Bqd")
_THINKS: Final = Struct("!BHBI")

MORE: Final = 1
"""Report: frames still wait in the outbox for room at their destinations.  Grant: more of it follows."""
DRAIN: Final = 2
"""Grant: only take what has arrived in; time does not move."""
LAST: Final = 4
"""Grant: everything before ``end`` is the rest of the run; finish after it."""
DONE: Final = 8
"""Report (``paced``): an order has been carried out."""
RESTS: Final = 16
"""Report, in a testbed that stands: what the host holds is no reason for time to pass."""
HEARD: Final = 32
"""Report: a program from outside has been heard since the last one."""
KNOCKS: Final = 64
"""Report, after ``DRAIN``: a program waits at a door of a node here, to be let in."""

KILL, REVIVE, PLIGHT, FREEZE, THAW, CALLS, ATTACH, REPLAY, MOVED, HANGUP, STIR = range(1, 12)
"""What a host is ordered to do to one of its nodes.  Deaths and births are ordered where nodes share a process only."""

PACKET_MAX: Final = 60_000


class Sent(NamedTuple):
    """Datagrams sent to a node since the last report, and the earliest due among them."""

    node: int
    count: int  # type: ignore[assignment]
    due: int


class Command(NamedTuple):
    """A device command of ``node`` at true time ``t``."""

    node: int
    t: int
    sequence: int
    message: int
    body: bytes


class Answer(NamedTuple):
    """The devices' answer to command ``sequence`` of ``node``, due at true time ``due``."""

    node: int
    due: int
    sequence: int
    message: int
    body: bytes


class Order(NamedTuple):
    """What befalls a node at true time ``t``.  ``body``: of ``PLIGHT`` and ``CALLS``, see ``plight_orders`` and
    ``replay_orders``; of ``ATTACH``, ``REPLAY``, ``HANGUP`` and ``STIR`` what the session is called; of ``MOVED`` as
    JSON where frames to that node, of whichever host, go from now on (``paced``)."""

    kind: int
    node: int
    t: int
    body: bytes = b""


class Report(NamedTuple):
    """What a host says when it has nothing left before its horizon: its earliest input, open programs and when the
    last one closed, frames handled, frames lost at its dead nodes, what it sent, what it asks of the devices, and how
    many of the programs rest, of which nothing is to be heard."""

    next: int
    flags: int
    programs: int
    closed_at: int
    taken: int
    lost: list[tuple[int, int]]
    sent: list[Sent]
    commands: list[Command]
    resting: int = 0


class Grant(NamedTuple):
    """How far a host may go now."""

    end: int
    flags: int
    expect: list[tuple[int, int]]
    answers: list[Answer]
    orders: list[Order]


def pack_report(report: Report) -> list[bytes]:
    """One or more packets; all but the last carry only commands."""
    packets: list[bytes] = []
    parts: list[bytes] = []
    size = count = 0
    for node, t, sequence, message, body in report.commands:
        if size + len(body) > PACKET_MAX:
            packets.append(_REPORT.pack(COMMANDS, 0, 0, 0, 0, 0, 0, 0, count, 0) + b"".join(parts))
            parts, size, count = [], 0, 0
        parts.append(_COMMAND.pack(node, t, sequence, message, len(body)) + body)
        size += len(parts[-1])
        count += 1
    lost, sent = report.lost, report.sent
    head = _REPORT.pack(
        REPORT,
        report.next,
        report.flags,
        report.programs,
        report.closed_at,
        report.taken,
        len(lost),
        len(sent),
        count,
        report.resting,
    )
    counts = b"".join([_EXPECT.pack(*c) for c in lost]) + b"".join([_SENT.pack(*s) for s in sent])
    packets.append(head + counts + b"".join(parts))
    return packets


def unpack_report(packet: bytes, earlier: list[Command]) -> Report | None:
    """The report, or None if the packet was only a first part (its commands are appended to ``earlier``)."""
    kind, nxt, flags, programs, closed_at, taken, losses, sents, commands, resting = _REPORT.unpack_from(packet)
    at = _REPORT.size
    lost = []
    for _ in range(losses):
        lost.append(_EXPECT.unpack_from(packet, at))
        at += _EXPECT.size
    sent = []
    for _ in range(sents):
        sent.append(Sent(*_SENT.unpack_from(packet, at)))
        at += _SENT.size
    for _ in range(commands):
        node, t, sequence, message, length = _COMMAND.unpack_from(packet, at)
        at += _COMMAND.size
        earlier.append(Command(node, t, sequence, message, packet[at : at + length]))
        at += length
    if kind == COMMANDS:
        return None
    return Report(nxt, flags, programs, closed_at, taken, lost, sent, earlier, resting)


def pack_thinks(node: int, still: bool, process: int) -> bytes:
    """While the coordinator waits for a report: a program of ``node`` keeps the floor, or has gone on."""
    return _THINKS.pack(THINKS, node, still, process)


def unpack_thinks(packet: bytes) -> tuple[int, bool, int]:
    """What `pack_thinks` was given."""
    _, node, still, process = _THINKS.unpack(packet)
    return node, bool(still), process


def pack_input(what: dict[str, Any]) -> bytes:
    """At any time: something has come to a node from outside, and asks for the time at which it is to count."""
    return bytes([INPUT]) + json.dumps(what).encode()


def unpack_input(packet: bytes) -> dict[str, Any]:
    """What `pack_input` was given."""
    what: dict[str, Any] = json.loads(packet[1:])
    return what


def pack_grant(grant: Grant) -> list[bytes]:
    """One or more packets; all but the last carry only answers."""
    packets: list[bytes] = []
    parts: list[bytes] = []
    size = count = 0
    for node, due, sequence, message, body in grant.answers:
        if size + len(body) > PACKET_MAX:
            packets.append(_GRANT.pack(ANSWERS, 0, MORE, 0, count, 0) + b"".join(parts))
            parts, size, count = [], 0, 0
        parts.append(_ANSWER.pack(node, due, sequence, message, len(body)) + body)
        size += len(parts[-1])
        count += 1
    head = _GRANT.pack(GRANT, grant.end, grant.flags, len(grant.expect), count, len(grant.orders))
    expect = b"".join([_EXPECT.pack(*e) for e in grant.expect])
    orders = b"".join([_ORDER.pack(o.kind, o.node, o.t, len(o.body)) + o.body for o in grant.orders])
    packets.append(head + expect + b"".join(parts) + orders)
    return packets


def unpack_grant(packet: bytes, earlier: list[Answer]) -> Grant | None:
    """The grant, or None if the packet was only a first part (its answers are appended to ``earlier``)."""
    kind, end, flags, expects, answers, orders = _GRANT.unpack_from(packet)
    at = _GRANT.size
    expect = []
    for _ in range(expects):
        expect.append(_EXPECT.unpack_from(packet, at))
        at += _EXPECT.size
    for _ in range(answers):
        node, due, sequence, message, length = _ANSWER.unpack_from(packet, at)
        at += _ANSWER.size
        earlier.append(Answer(node, due, sequence, message, packet[at : at + length]))
        at += length
    order = []
    for _ in range(orders):
        what, node, t, length = _ORDER.unpack_from(packet, at)
        at += _ORDER.size
        order.append(Order(what, node, t, packet[at : at + length]))
        at += length
    if kind == ANSWERS:
        return None
    return Grant(end, flags, expect, earlier, order)


_WAYS_IN_ONE: Final = 100
"""So many fit into a packet."""


def plight_orders(node: int, t: int, plight: Plight) -> list[Order]:
    """The orders by which this comes to pass for a node."""
    peers = list(plight.ways)
    parts = [peers[i : i + _WAYS_IN_ONE] for i in range(0, len(peers), _WAYS_IN_ONE)]
    pieces = [Plight({peer: plight.ways[peer] for peer in part}) for part in parts]
    rest = Plight(drifts=plight.drifts, full=plight.full)
    pieces += [rest] if rest != Plight() else []
    return [Order(PLIGHT, node, t, json.dumps(asdict(piece)).encode()) for piece in pieces]


def ordered_plight(order: Order) -> Plight:
    """What ``plight_orders`` has packed."""
    return Plight.from_json(json.loads(order.body))


_CALLS_IN_ONE: Final = 20_000


def replay_orders(node: int, t: int, session: str, calls: list[tuple[int, str]]) -> list[Order]:
    """The orders by which a program that once attached to a node does so again: first what it asked, in pieces."""
    text = json.dumps(calls).encode()
    pieces = [text[i : i + _CALLS_IN_ONE] for i in range(0, len(text), _CALLS_IN_ONE)]
    return [*(Order(CALLS, node, t, piece) for piece in pieces), Order(REPLAY, node, t, session.encode())]


def ordered_calls(text: bytes) -> list[tuple[int, str]]:
    """What the pieces come to."""
    return [(t_ps, line) for t_ps, line in json.loads(text)]


def pack_start(epoch_ns: int, dilation: float) -> bytes:
    """``paced``: true time 0 is ``epoch_ns`` of CLOCK_MONOTONIC; ``dilation`` wall seconds per virtual second."""
    return _START.pack(START, epoch_ns, dilation)


def unpack_start(packet: bytes) -> tuple[int, float]:
    _, epoch_ns, dilation = _START.unpack_from(packet)
    return epoch_ns, dilation


SHIM: Final = Struct("!qHHI")
"""In front of each datagram in ``virtual``: due true ps, source, its incarnation, its datagram sequence."""
