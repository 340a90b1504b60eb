"""A message sequence chart of a stretch of a run, as SVG: lifelines of nodes, frames as arrows, events as notes.

What may live here: drawing, and what is left out of a drawing.  Time is ordinal: every instant at which
something happens has a row of its own, with the time beside it.  Colours are named: testbed.palette makes a file of it.
"""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from testbed.lettering import Box, Sheet, text_width
from testbed.palette import BLUE, DOT, GOLD, GREEN, INK, LINE, OLIVE, ORANGE, PAPER, PINK, RED, SOFT, TEAL, VIOLET
from testbed.trace.spans import time_text
from testbed.trace.story import Arrow, Choice, Note, Story, brief, read_story

_ROW = 34
_TOP = 64
_HALO = f'stroke="{PAPER}" stroke-width="4" paint-order="stroke"'
_MARGIN = 12
_LANE = 350
_WIDEST_LANE = 470
_LANE_OF_TWO = 560
_SIZE = 11
_FONT = f'style="font-size:{_SIZE}px"'
"""Said of each text: a page in which the drawing stands has a size of its own for texts."""
_LEVEL = 30.0
"""Words lie along an arrow that is no steeper than that, in degrees."""
_OFF = (-5, 13, -18, 27, -31, 40, -44, 53)
"""How far below its arrow the foot of a label may be: just above, just under, further off."""
_PARTS = (0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74)
"""Where along its arrow the middle of a label may be."""


def _astray(part: float, off: int) -> float:
    """How far that is from just above the arrow's middle, in pixels of lines that its words might cross instead."""
    return 2 * abs(off - _OFF[0]) + 150 * abs(part - 0.5)


_PLACES = sorted(((part, off) for off in _OFF for part in _PARTS), key=lambda place: _astray(*place))
_COLOURS = {
    "MHP": ORANGE, "EGP": GREEN, "QNP": BLUE, "QTP": VIOLET, "RGP": RED, "REL": SOFT, "JOB": PINK, "KEY": TEAL,
    "SRP": OLIVE,
}  # fmt: skip
_ARROW_HEAD = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 L8 4 L0 8 z" fill="context-stroke"/></marker></defs>'
)
_SHOWN_EVENTS = {"heralded", "herald", "ok", "pair", "done", "arrived", "refused", "err"}


def ladder(folder: Path, nodes: list[str], start_ps: int, end_ps: int, title: str) -> str:
    """The SVG of ``folder``'s run between two instants (both included); ``nodes`` from left to right."""
    story = read_story(folder / "trace.pcapng", folder / "events.jsonl", end_ps)
    return chart(story.chosen(Choice(start_ps=start_ps, end_ps=end_ps)), nodes, title)


def chart(story: Story, nodes: Sequence[str], title: str, every_event: bool = False) -> str:
    """The SVG of the steps that lie between or at ``nodes``; of the events those that most want to see, or all."""
    drawn = [s for s in story.steps if isinstance(s, Arrow) and s.source in nodes and s.destination in nodes]
    said = [
        s
        for s in story.steps
        if isinstance(s, Note) and s.node in nodes and (every_event or s.kind in _SHOWN_EVENTS)
    ]
    return draw(drawn, said, nodes, title)


def draw(drawn: Sequence[Arrow], said: Sequence[Note], nodes: Sequence[str], title: str) -> str:
    """Arrows and notes as one SVG."""
    rows, height = _rows(drawn, said, nodes)
    lane = _lane(drawn, said, nodes)
    past = max([0.0, *(_wide(a) / 2 + 10 for a in drawn if a.received_ps is None)]) - lane / 4  # half-way arrows
    named = [text_width(node, 13, bold=True) / 2 for node in nodes]
    moments = max([0.0, *(text_width(time_text(t), _SIZE) for t in rows)])
    left = math.ceil(_MARGIN + max(moments + 14, *named[:1], past))
    beyond = max([0.0, *(_wide(note) + 18 for note in said if note.node == nodes[-1])])
    width = math.ceil(left + (len(nodes) - 1) * lane + _MARGIN + max(beyond, *named[-1:], past))
    width = max(width, math.ceil(text_width(title, 14, bold=True)) + 2 * _MARGIN)
    x = {node: left + i * lane for i, node in enumerate(nodes)}
    label = f"{title}: {len(drawn)} frames between {', '.join(nodes)}"
    out = [
        (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
         f'role="img" aria-label="{escape(label)}" font-family="Helvetica, Arial, sans-serif" font-size="{_SIZE}">'),
        _ARROW_HEAD,
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
        f'<text x="{_MARGIN}" y="20" style="font-size:14px" font-weight="bold" fill="{INK}">{escape(title)}</text>',
    ]  # fmt: skip
    for node, at in x.items():
        out.append(f'<line x1="{at}" y1="{_TOP - 14}" x2="{at}" y2="{height - 12}" stroke="{LINE}"/>')
        heading = f'text-anchor="middle" style="font-size:13px" font-weight="bold" fill="{INK}"'
        out.append(f'<text x="{at}" y="{_TOP - 22}" {heading}>{escape(node)}</text>')
    out += [f'<text x="{_MARGIN}" y="{row + 4}" fill="{SOFT}" {_FONT}>{time_text(t)}</text>' for t, row in rows.items()]
    sheet = Sheet(width, height)
    for t, row in rows.items():
        sheet.take(_room(time_text(t), _MARGIN, row + 4))
    dots, remarks = [], []
    marked: set[tuple[float, float]] = set()
    stacked: dict[tuple[int, str], int] = {}
    for note in said:
        level = stacked.get((note.t_ps, note.node), 0)
        stacked[note.t_ps, note.node] = level + 1
        at, row = x[note.node], rows[note.t_ps] + level * _ROW
        marked.add((at, row))
        dots.append(f'<circle cx="{at}" cy="{row}" r="4" fill="{DOT}" stroke="{GOLD}"/>')
        remarks.append(f'<text x="{at + 8}" y="{row + 15}" fill="{GOLD}" {_FONT} {_HALO}>{escape(_said(note))}</text>')
        sheet.take(Box(at - 5, row - 5, at + 5, row + 5))
        sheet.take(_room(_said(note), at + 8, row + 15))
    used: dict[int, int] = {}
    ways = [_way(arrow, x, rows, used) for arrow in drawn]
    for way in ways:
        sheet.line(*way)
    labels = [_label(arrow, way, sheet) for arrow, way in zip(drawn, ways, strict=True)]
    out += [_line(arrow, way, (way.x2, way.y2) in marked) for arrow, way in zip(drawn, ways, strict=True)]
    out += [*dots, *labels, *remarks]  # what is read lies on top of what is only seen
    out.append("</svg>")
    return "\n".join(out) + "\n"


def _rows(drawn: Sequence[Arrow], said: Sequence[Note], nodes: Sequence[str]) -> tuple[dict[int, float], int]:
    """Every moment's height on the drawing, and the whole height."""
    rows: dict[int, float] = {}
    beside: dict[tuple[int, str], int] = {}
    for note in said:
        beside[note.t_ps, note.node] = beside.get((note.t_ps, note.node), 0) + 1
    leaving: dict[int, int] = {}
    for arrow in drawn:
        leaving[arrow.sent_ps] = leaving.get(arrow.sent_ps, 0) + 1
    y = float(_TOP)
    moments = {t for a in drawn for t in (a.sent_ps, a.received_ps) if t is not None} | {n.t_ps for n in said}
    for t in sorted(moments):
        stacked = max([beside.get((t, node), 0) for node in nodes], default=0)
        rows[t] = y
        crowded = leaving.get(t, 0) > 1 and stacked > 1  # labels find no room between notes
        y += _ROW * (max(1, leaving.get(t, 0), stacked) + crowded)
    return rows, int(y) + 10


def _lane(drawn: Sequence[Arrow], said: Sequence[Note], nodes: Sequence[str]) -> int:
    """How far two lifelines are from each other: as the longest words between two ask."""
    order = {node: i for i, node in enumerate(nodes)}
    asked = [(_wide(a) + 30) / (abs(order[a.source] - order[a.destination]) or 1) for a in drawn]
    asked += [_wide(note) + 24 for note in said]
    if len(nodes) == 2:  # all words stand between the two, and beside the notes of the first
        return _LANE_OF_TWO
    return round(min(_WIDEST_LANE, max([_LANE, *asked])))


def _said(step: Arrow | Note) -> str:
    return brief(step).rstrip()


def _wide(step: Arrow | Note) -> float:
    return text_width(_said(step), _SIZE)


def _room(text: str, left: float, baseline: float) -> Box:
    return Box(left, baseline - 10, left + text_width(text, _SIZE), baseline + 3)


class _Way(NamedTuple):
    """From where to where an arrow is drawn."""

    x1: float
    y1: float
    x2: float
    y2: float

    def at(self, part: float) -> tuple[float, float]:
        return self.x1 + part * (self.x2 - self.x1), self.y1 + part * (self.y2 - self.y1)

    @property
    def tilt(self) -> float:
        """Of words along it, in degrees, read from the left; 0 where they would be too steep to read."""
        left, right = sorted(((self.x1, self.y1), (self.x2, self.y2)))
        tilt = math.degrees(math.atan2(right[1] - left[1], right[0] - left[0]))
        return tilt if abs(tilt) <= _LEVEL else 0.0


def _way(arrow: Arrow, x: dict[str, int], rows: dict[int, float], used: dict[int, int]) -> _Way:
    level = used.get(arrow.sent_ps, 0)
    used[arrow.sent_ps] = level + 1
    x1, x2 = x[arrow.source], x[arrow.destination]
    y1 = rows[arrow.sent_ps] + level * _ROW
    if arrow.received_ps is None:
        return _Way(x1, y1, (x1 + x2) // 2, y1 + 10)
    return _Way(x1, y1, x2, max(rows[arrow.received_ps], y1))


def _line(arrow: Arrow, way: _Way, marked: bool) -> str:
    """`marked`: there is a dot where it ends, which would hide its head."""
    dash = ' stroke-dasharray="4 3"' if arrow.received_ps is None else ""
    length = math.hypot(way.x2 - way.x1, way.y2 - way.y1)
    x2, y2 = way.at(1 - 5 / length) if marked and length > 10 else (way.x2, way.y2)
    return (
        f'<line x1="{way.x1}" y1="{way.y1}" x2="{round(x2, 1):g}" y2="{round(y2, 1):g}" stroke="{_colour(arrow)}" '
        f'stroke-width="1.4"{dash} marker-end="url(#head)"/>'
    )


def _label(arrow: Arrow, way: _Way, sheet: Sheet) -> str:
    """The arrow's words along it, at its middle and just above it, or as near to there as they lie on nothing else."""
    words = _said(arrow)
    best, least = _PLACES[0], (math.inf, math.inf)
    for place in _PLACES:
        astray = _astray(*place)
        if least <= (0, astray):  # whatever comes now is further off
            break
        rooms = _along(words, way, *place)
        crossed = sheet.crossed(rooms)
        if way.tilt or way.y1 == way.y2:  # words along an arrow do not cross it, though their rooms may
            crossed -= sum(room.crossed(*way) for room in rooms)
        badness = round(sheet.covered(rooms)), round(crossed + astray, 3)
        if badness < least:
            best, least = place, badness
    part, off = best
    for room in _along(words, way, part, off):
        sheet.take(room)
    x, y = way.at(part)
    turn = f' transform="rotate({way.tilt:.2f} {round(x, 1):g} {round(y, 1):g})"' if way.tilt else ""
    where = f'x="{round(x, 1):g}" y="{round(y + off, 1):g}" text-anchor="middle"{turn}'
    return f'<text {where} fill="{_colour(arrow)}" {_FONT} {_HALO}>{escape(words)}</text>'


def _along(words: str, way: _Way, part: float, off: float) -> list[Box]:
    """The room of words at a place of an arrow, in pieces: for they are tilted as it is."""
    (x, y), tilt, wide = way.at(part), math.radians(way.tilt), text_width(words, _SIZE)
    pieces = max(1, round(wide / 24))
    long, below = wide / pieces, off - 3.5
    rooms = []
    for piece in range(pieces):
        ahead = (piece + 0.5) * long - wide / 2
        over, down = (
            ahead * math.cos(tilt) - below * math.sin(tilt),
            ahead * math.sin(tilt) + below * math.cos(tilt),
        )
        rooms.append(Box.around(x + over, y + down, long, 12 + long * abs(math.sin(tilt))))
    return rooms


def _colour(arrow: Arrow) -> str:
    return _COLOURS.get(arrow.protocol, INK)
