"""The style sheet and the head of report.html, and the few pieces of which all its pages are made.

What may live here: looks only.  Colours are those of `testbed.palette`, by name.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final, NamedTuple

from testbed.palette import GREEN, GREY, INK, LINE, PANEL, PAPER, RED, SOFT, variables

SHEET: Final = f"""
{variables()}
body {{ margin: 0; background: {PAPER}; color: {INK}; font: 15px/1.5 Helvetica, Arial, sans-serif; }}
main {{ max-width: 980px; margin: 0 auto; padding: 28px 30px 60px; }}
h1 {{ font-size: 27px; line-height: 1.25; margin: 0 0 4px; }}
h2 {{ font-size: 19px; margin: 38px 0 8px; border-bottom: 1px solid {LINE}; padding-bottom: 4px; }}
h3 {{ font-size: 16px; margin: 18px 0 6px; }}
h1, h2, h3, p, li {{ overflow-wrap: anywhere; }}
p {{ margin: 8px 0; }}
.lead {{ font-size: 17px; }}
.verdict {{ border-left: 5px solid {GREEN}; background: {PANEL}; padding: 12px 16px; margin: 18px 0; font-size: 17px; }}
.verdict {{ overflow-wrap: anywhere; }}
.verdict.drowned {{ border-color: {RED}; }}
.verdict.open {{ border-color: {GREY}; }}
.verdict ul {{ margin: 4px 0 0; padding-left: 20px; font-size: 15px; }}
.tiles {{ display: flex; flex-wrap: wrap; gap: 12px; margin: 16px 0; }}
.tile {{ background: {PANEL}; border-radius: 6px; padding: 10px 16px; min-width: 88px; }}
.tile b {{ display: block; font-size: 22px; }}
.tile span {{ color: {SOFT}; font-size: 13px; }}
.drawing {{ background: {PANEL}; border-radius: 6px; padding: 8px; overflow-x: auto; margin: 8px 0; }}
.drawing svg {{ display: block; min-width: 600px; }}
svg text {{ font-family: Helvetica, Arial, sans-serif; font-size: 13px; }}
.wide {{ overflow-x: auto; }}
.chart {{ box-sizing: border-box; width: max-content; max-width: 100%; overflow-x: auto; }}
.chart {{ background: {PAPER}; border: 1px solid {LINE}; border-radius: 6px; padding: 8px; margin: 8px 0; }}
.chart svg {{ display: block; max-width: 100%; height: auto; }}
.chart.ladder svg {{ min-width: 1000px; }}
table {{ border-collapse: collapse; width: 100%; font-size: 13.5px; }}
th, td {{ text-align: right; padding: 4px 8px; border-bottom: 1px solid {LINE}; white-space: nowrap; }}
th {{ font-weight: 600; color: {SOFT}; }}
tbody th {{ font-weight: 400; color: {INK}; }}
th, td {{ vertical-align: baseline; }}
.words {{ text-align: left; white-space: normal; overflow-wrap: break-word; }}
.whole {{ white-space: nowrap; }}
tr.over th, tr.over td {{ text-align: center; font-weight: 400; border: 0; padding-bottom: 0; }}
.bars {{ width: 152px; text-align: left; }}
.bar {{ display: inline-block; height: 10px; vertical-align: middle; }}
.key {{ display: inline-block; width: 10px; height: 10px; margin-right: 4px; }}
.keyed {{ display: inline-block; margin-right: 14px; }}
.key, .bar, .tile, .verdict, .drawing {{ print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
pre {{ font-size: 12.5px; line-height: 1.45; margin: 0 0 14px; }}
.small {{ color: {SOFT}; font-size: 13px; }}
code {{ font-size: 13px; }}
@media screen and (min-width: 1040px) {{
.chart {{ max-width: calc(50vw + 460px); }} /* it may reach beyond the column, up to the window's right margin */
}}
@media (max-width: 760px) {{
main {{ padding: 20px 20px 40px; }}
.lead, .verdict {{ font-size: 16px; }}
table {{ font-size: 12.5px; }}
th, td {{ padding: 4px 5px; }}
pre {{ font-size: 11.5px; }}
.bars, .times .key {{ display: none; }}
.times .keyed {{ margin-right: 4px; }}
.times .keyed:not(:last-child)::after {{ content: ","; }}
}}
@media print {{
main {{ max-width: none; padding: 0; }}
h1, h2, h3, .small {{ break-after: avoid; }}
tr, pre, .tile, .verdict, .drawing, .chart {{ break-inside: avoid; }}
.wide, .drawing, .chart {{ overflow: visible; }}
.drawing svg, .chart.ladder svg {{ min-width: 0; }}
pre {{ font-size: 10px; }}
}}
"""

_SHORT: Final = 20


def head(title: str) -> str:
    """How a page begins, up to its first heading; `title` is escaped already."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}: a run of Bellwire</title>\n<style>{SHEET}</style>\n</head>\n<body>\n<main>"
    )


def keyed(colour: str, what: str) -> str:
    """A patch of a colour and what it means; `what` is escaped already."""
    return f'<span class="keyed"><span class="key" style="background:{colour}"></span>{what}</span>'


def rolling(kind: str, label: str, inside: str) -> str:
    """What may be wider than the page, and is then rolled sideways, also by who has no mouse."""
    return f'<div class="{kind}" tabindex="0" role="region" aria-label="{escape(label)}">{inside}</div>'


def unbroken(name: str) -> str:
    """A name in words that may be broken: it is broken itself only if it is a long one."""
    return f'<span class="whole">{escape(name)}</span>' if "-" in name and len(name) <= _SHORT else escape(name)


class Column(NamedTuple):
    """kind: "" of figures, `words` of what may take several lines, `bars` of what a narrow page leaves out."""

    name: str
    kind: str = ""


def table(label: str, columns: Sequence[Column], rows: Iterable[Sequence[str]], over: Sequence[tuple[str, int]]) -> str:
    """A table; what its first column says is what a row is about.  over: what stands above so many columns each."""
    looks = [f' class="{column.kind}"' if column.kind else "" for column in columns]
    groups = "".join(f'<colgroup span="{span}"></colgroup>' for _, span in over)
    above = [
        f'<th scope="colgroup" colspan="{span}">{name}</th>' if name else f'<td colspan="{span}"></td>'
        for name, span in over
    ]
    named = "".join(f'<th scope="col"{look}>{column.name}</th>' for column, look in zip(columns, looks, strict=True))
    head = (f'<tr class="over">{"".join(above)}</tr>' if above else "") + f"<tr>{named}</tr>"
    lines = []
    for about, *cells in rows:
        rest = "".join(f"<td{look}>{cell}</td>" for cell, look in zip(cells, looks[1:], strict=True))
        lines.append(f'<tr><th scope="row"{looks[0]}>{about}</th>{rest}</tr>')
    body = "\n".join(lines)
    return rolling("wide", label, f"<table>{groups}<thead>{head}</thead><tbody>{body}</tbody></table>")


def tiles(some: Iterable[tuple[str, str]]) -> str:
    """Figures in large letters, each with what it is; both escaped already."""
    cells = "".join(f'<div class="tile"><b>{value}</b><span>{what}</span></div>' for value, what in some)
    return f'<div class="tiles">{cells}</div>'


def unfinished(said: Sequence[str]) -> str:
    """That something was not finished, and what."""
    if len(said) == 1:
        return f'<div class="verdict drowned">Not finished. {escape(said[0])}</div>'
    items = "".join(f"<li>{escape(one)}</li>" for one in said)
    return f'<div class="verdict drowned">Not finished:<ul>{items}</ul></div>'
