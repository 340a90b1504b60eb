"""A message sequence chart of a stretch of a run, as SVG: lifelines of nodes, frames as arrows, events as notes.

What may live here: drawing, and what is left out of a drawing.  Time is ordinal: every instant at which
something happens has a row of its own, with the time beside it.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from testbed.trace.story import Arrow, Choice, Note, Story, brief, read_story

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
    beyond = max([230, *(20 + 6 * len(brief(note)) for note in said if note.node == nodes[-1])])
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
        out.append(f'<text x="{at + 8}" y="{row + 15}" fill="#7a5c00" {_HALO}>{escape(brief(note))}</text>')
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
        f'<text x="{middle}" y="{up}" text-anchor="middle" fill="{colour}" {_HALO}>{escape(brief(arrow))}</text>'
    )


def _time(t_ps: int) -> str:
    for unit, size in (("ms", 10**9), ("µs", 10**6), ("ns", 10**3)):
        if t_ps >= size:
            return f"{t_ps / size:,.6f}".rstrip("0").rstrip(".") + f" {unit}"
    return f"{t_ps} ps"
