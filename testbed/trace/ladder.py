"""A message sequence chart of a stretch of a run, as SVG: lifelines of nodes, frames as arrows, events as notes.

What may live here: choosing what to draw from a run folder, and drawing it.  Time is ordinal: every instant at which
something happens has a row of its own, with the time beside it.
"""

from collections.abc import Iterable
from html import escape
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from protocols.wire import HEADER_BYTES, Header, ProtocolId, RelAck, RelData, WireError, decode, parse
from testbed.trace.reading import TracedFrame, read_events, read_trace

_ROW = 34
_TOP = 64
_HALO = 'stroke="#ffffff" stroke-width="4" paint-order="stroke"'
_LEFT = 118
_LANE = 350
_COLOURS = {
    "MHP": "#b3541e", "EGP": "#2f6f4f", "QNP": "#28568f", "QTP": "#7a3e8f", "RGP": "#a3223f", "REL": "#8a8a8a",
}
_ARROW_HEAD = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 L8 4 L0 8 z" fill="context-stroke"/></marker></defs>'
)
_SHOWN_EVENTS = {"heralded", "herald", "ok", "pair", "done", "arrived", "refused", "err"}
_SHOWN_FACTS = {"slot", "sequence", "pair_id", "bell_index", "gate", "role"}
_HIDDEN_FIELDS = {
    "link", "stream_epoch", "job", "circuit", "epoch", "goodness", "alpha", "purpose_id", "priority",
    "minimum_fidelity", "spacing", "peer_queue_id", "expected_sequence", "origin", "kind", "error", "accepted",
}


class Arrow(NamedTuple):
    """One frame on its way; ``received_ps`` is None if it never arrived."""

    source: str
    destination: str
    sent_ps: int
    received_ps: int | None
    protocol: str
    text: str


class Note(NamedTuple):
    """Something that a node knows from here on."""

    node: str
    t_ps: int
    text: str


def arrows(frames: Iterable[TracedFrame], names: dict[int, str], acknowledgements: bool = False) -> list[Arrow]:
    """Frames of a trace, each sent frame joined with its first reception."""
    sent: dict[tuple[int, int, int, int], TracedFrame] = {}
    received: dict[tuple[int, int, int, int], int] = {}
    for traced in frames:
        try:
            header = parse(traced.frame)
        except WireError:
            continue
        key = (header.source, header.destination, header.incarnation, header.sequence)
        if traced.direction == "sent":
            sent[key] = traced
        else:
            received.setdefault(key, traced.t_ps)
    found = []
    for key, traced in sent.items():
        header = parse(traced.frame)
        protocol, text, is_ack = _label(header, traced.frame)
        if is_ack and not acknowledgements:
            continue
        source, destination = (names.get(number, str(number)) for number in (header.source, header.destination))
        found.append(Arrow(source, destination, traced.t_ps, received.get(key), protocol, text))
    return sorted(found, key=lambda a: a.sent_ps)


def _label(header: Header, frame: bytes) -> tuple[str, str, bool]:
    """Protocol, text, and whether it is a bare acknowledgement."""
    message = decode(header, frame[HEADER_BYTES:])
    if isinstance(message, RelData) and not message.more:
        message = decode(message, message.payload)
    kind = type(message).__name__
    protocol = ProtocolId(message.PROTOCOL).name
    fields = []
    for name, value in message._asdict().items():
        if name in _HIDDEN_FIELDS or isinstance(value, bytes):
            continue
        fields.append(f"{name}={getattr(value, 'name', value)}")
    verb = kind.removeprefix(protocol.capitalize())
    return protocol, f"{protocol} {verb} " + " ".join(fields[:4]), isinstance(message, RelAck)


def notes(events: Iterable[dict[str, object]]) -> list[Note]:
    """Events worth a note."""
    found = []
    for event in events:
        if event["event"] not in _SHOWN_EVENTS:
            continue
        facts = [f"{k}={v}" for k, v in event.items() if k in _SHOWN_FACTS]
        text = f"{event['layer']}: {event['event']} {' '.join(facts)}"
        found.append(Note(str(event["node"]), int(str(event["t_ps"])), text))
    return found


def ladder(folder: Path, nodes: list[str], start_ps: int, end_ps: int, title: str) -> str:
    """The SVG of ``folder``'s run between two instants (both included); ``nodes`` from left to right."""
    frames, names = _stretch(read_trace(folder / "trace.pcapng"), start_ps, end_ps)
    drawn = [
        a
        for a in arrows(frames, names)
        if start_ps <= a.sent_ps <= end_ps and a.source in nodes and a.destination in nodes
    ]
    told = takewhile(lambda event: event["t_ps"] <= end_ps, read_events(folder / "events.jsonl"))
    said = [n for n in notes(told) if start_ps <= n.t_ps and n.node in nodes]
    return draw(drawn, said, nodes, title)


def draw(drawn: list[Arrow], said: list[Note], nodes: list[str], title: str) -> str:
    """Arrows and notes as one SVG."""
    rows: dict[int, float] = {}
    beside: dict[tuple[int, str], int] = {}
    for note in said:
        beside[note.t_ps, note.node] = beside.get((note.t_ps, note.node), 0) + 1
    moments = sorted({t for a in drawn for t in (a.sent_ps, a.received_ps) if t is not None} | {n.t_ps for n in said})
    y = float(_TOP)
    for t in moments:
        leaving = [a for a in drawn if a.sent_ps == t]
        stacked = max([beside.get((t, node), 0) for node in nodes], default=0)
        rows[t] = y
        y += _ROW * max(1, len(leaving), stacked)
    x = {node: _LEFT + 90 + i * _LANE for i, node in enumerate(nodes)}
    beyond = max([230, *(20 + 6 * len(note.text) for note in said if note.node == nodes[-1])])
    width, height = _LEFT + 90 + (len(nodes) - 1) * _LANE + beyond, int(y) + 30
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    out = [
        head + ' font-family="Helvetica, Arial, sans-serif" font-size="11">',
        _ARROW_HEAD,
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="20" font-size="14" font-weight="bold">{escape(title)}</text>',
    ]
    for node, at in x.items():
        out.append(f'<line x1="{at}" y1="{_TOP - 14}" x2="{at}" y2="{height - 12}" stroke="#c8c8c8"/>')
        heading = 'text-anchor="middle" font-size="13" font-weight="bold"'
        out.append(f'<text x="{at}" y="{_TOP - 22}" {heading}>{escape(node)}</text>')
    out += [f'<text x="12" y="{rows[t] + 4}" fill="#666">{_time(t)}</text>' for t in moments]
    used: dict[int, int] = {}
    for arrow in drawn:
        out.append(_arrow(arrow, x, rows, used))
    stacked_at: dict[tuple[int, str], int] = {}
    for note in said:
        level = stacked_at.get((note.t_ps, note.node), 0)
        stacked_at[note.t_ps, note.node] = level + 1
        at, row = x[note.node], rows[note.t_ps] + level * _ROW
        out.append(f'<circle cx="{at}" cy="{row}" r="4" fill="#d9a400" stroke="#7a5c00"/>')
        out.append(f'<text x="{at + 8}" y="{row + 15}" fill="#7a5c00" {_HALO}>{escape(note.text)}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def _arrow(arrow: Arrow, x: dict[str, int], rows: dict[int, float], used: dict[int, int]) -> str:
    level = used.get(arrow.sent_ps, 0)
    used[arrow.sent_ps] = level + 1
    x1, x2 = x[arrow.source], x[arrow.destination]
    y1 = rows[arrow.sent_ps] + level * _ROW
    lost = arrow.received_ps is None
    y2 = y1 + 10 if arrow.received_ps is None else max(rows[arrow.received_ps], y1)
    if lost:
        x2 = (x1 + x2) // 2
    colour = _COLOURS.get(arrow.protocol, "#333333")
    dash = ' stroke-dasharray="4 3"' if lost else ""
    middle, up = (x1 + x2) / 2, (y1 + y2) / 2 - 5
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="1.4"{dash} '
        'marker-end="url(#head)"/>'
        f'<text x="{middle}" y="{up}" text-anchor="middle" fill="{colour}" {_HALO}>{escape(arrow.text)}</text>'
    )


def _stretch(frames: Iterable[TracedFrame], start_ps: int, end_ps: int) -> tuple[list[TracedFrame], dict[int, str]]:
    """Frames sent between two instants and what became of them, and node numbers to names: the rest of the trace, which
    may be long, is not read."""
    found: list[TracedFrame] = []
    names: dict[int, str] = {}
    on_the_way: set[tuple[int, int, int, int]] = set()
    for traced in frames:
        if traced.t_ps > end_ps and not on_the_way:
            break
        try:
            header = parse(traced.frame)
        except WireError:
            continue
        key = (header.source, header.destination, header.incarnation, header.sequence)
        if traced.direction == "sent":
            names[header.source] = traced.node
            if not start_ps <= traced.t_ps <= end_ps:
                continue
            if "lost" not in traced.note:
                on_the_way.add(key)
        else:
            names[header.destination] = traced.node
            on_the_way.discard(key)
        found.append(traced)
    return found, names


def _time(t_ps: int) -> str:
    for unit, size in (("ms", 10**9), ("µs", 10**6), ("ns", 10**3)):
        if t_ps >= size:
            return f"{t_ps / size:,.6f}".rstrip("0").rstrip(".") + f" {unit}"
    return f"{t_ps} ps"
