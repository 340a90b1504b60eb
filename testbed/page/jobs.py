"""report.html of a run whose jobs went to a controller: which QPU had which job when, and what came out of each.

What may live here: that page, and the drawing of time over QPUs.
"""

from collections.abc import Iterable
from html import escape
from math import ceil
from pathlib import Path
from typing import Final

from testbed.lettering import text_width
from testbed.page.frame import framed
from testbed.page.histogram import histogram, histogram_keys
from testbed.page.style import Column, table, tiles, unbroken
from testbed.palette import BLUE, GREEN, GREY, INK, LINE, OLIVE, ORANGE, PANEL, PAPER, PINK, RED, SOFT, TEAL, VIOLET
from testbed.report.jobs import Asked
from testbed.rundir import Figure
from testbed.scenario import Scenario

_COLOURS: Final = (BLUE, GREEN, ORANGE, VIOLET, TEAL, PINK, OLIVE, SOFT)
_WIDTH: Final = 860
_RIGHT: Final = 34
_ROW: Final = 30
_ABOUT: Final = (
    "<p>A bar is a lease: the QPU given to one job. A pale bar ended before its time: the job was cancelled, or lost a "
    "QPU (×) or its controller (the shade), and was placed anew with the shots that were left. An open ring is a job's "
    "submission.</p>"
)
_COLUMNS: Final = (
    *(Column(name, "words") for name in ("job", "state", "QPUs")),
    *(Column(name) for name in ("submitted", "waited", "held QPUs", "shots", "ebits")),
)


def write_jobs_page(scenario: Scenario, jobs: list[Asked], figures: Iterable[Figure], path: Path) -> None:
    """Write report.html."""
    path.write_text(jobs_page(scenario, jobs, list(figures)), encoding="utf-8")


def jobs_page(scenario: Scenario, jobs: list[Asked], figures: list[Figure]) -> str:
    """The page's text."""
    out = [
        _tiles(scenario.jobs[0].controller, figures),
        "<h2>Who had which QPU when</h2>",
        _ABOUT,
        f'<div class="drawing">{timeline(scenario, jobs)}</div>',
        "<h2>The jobs</h2>",
        _table(jobs),
    ]
    counted = [one for one in jobs if one.record.get("counts")]
    if counted:
        out += ["<h2>What came out</h2>", histogram_keys(any(one.job.ideal for one in counted))]
    for one in counted:
        shots = sum(one.record["counts"].values())
        out += [
            f"<h3>{escape(one.job.name)}, {shots} shot{'s' * (shots != 1)}</h3>",
            f'<div class="drawing">{histogram(one.record["counts"], one.job.ideal, one.job.clbits)}</div>',
        ]
    return framed(scenario, out)


def _tiles(controller: str, figures: list[Figure]) -> str:
    known = {f.name: f.value for f in figures if f.subject == controller and f.value is not None}
    some = [(f"{known.get('jobs_done', 0):g}", "jobs done")]
    for state in ("cancelled", "failed", "refused"):
        if known.get(f"jobs_{state}"):
            some.append((f"{known[f'jobs_{state}']:g}", state))
    if "makespan" in known:
        some.append((_time(known["makespan"] * 1e12), "from first submission to last end"))
        some.append((f"{100 * known['utilisation']:.0f} %", "of the QPUs' time leased"))
        some.append((f"{known['pairs_used']:g}", "ebits used"))
    return tiles(some)


def timeline(scenario: Scenario, jobs: list[Asked]) -> str:
    """SVG: a row for each QPU, a bar for each lease."""
    qpus = [node.name for node in scenario.nodes if node.kind == "qpu"]
    left = 20 + ceil(max(text_width(name, 13) for name in qpus))
    ends = [one.record["ended_ps"] for one in jobs if one.record.get("ended_ps")]
    span = max([*ends, *(one.record.get("submitted_ps", 0) for one in jobs), 1])
    scale = (_WIDTH - left - _RIGHT) / span
    top, foot = 26, 26 + _ROW * len(qpus)
    out = [
        (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {foot + 34}" width="100%" role="img" '
         'aria-label="leases of QPUs over time; the table of jobs has them in words">')
    ]  # fmt: skip
    for row, name in enumerate(qpus):
        y = top + row * _ROW
        out += [
            f'<text x="{left - 10}" y="{y + 19}" text-anchor="end" fill="{INK}">{escape(name)}</text>',
            f'<line x1="{left}" x2="{_WIDTH - _RIGHT}" y1="{y + _ROW}" y2="{y + _ROW}" stroke="{LINE}"/>',
        ]
    for begin, end in _dead(scenario, span):
        x, width = left + begin * scale, max(1.0, (end - begin) * scale)
        out.append(
            f'<path d="M{x:.1f} {top}h{width:.1f}v{foot - top}h-{width:.1f}z" fill="{RED}" fill-opacity="0.12">'
            f"<title>{escape(scenario.jobs[0].controller)} was dead</title></path>"
        )
    killed = [
        (fault.node, left + fault.at_ps * scale)
        for fault in scenario.faults
        if fault.kind == "kill" and fault.node in qpus and fault.at_ps <= span
    ]
    for number, one in enumerate(jobs):
        colour = _COLOURS[number % len(_COLOURS)]
        if "submitted_ps" in one.record:
            x = left + one.record["submitted_ps"] * scale
            out.append(f'<circle cx="{x:.1f}" cy="14" r="4.5" fill="none" stroke="{colour}" stroke-width="2"/>')
        placings = one.record.get("placings", ())
        for place, placing in enumerate(placings):
            begin = placing["began_ps"]
            whole = one.state == "DONE" and place + 1 == len(placings)
            for name, freed_ps in zip(placing["nodes"], placing["freed_ps"], strict=True):
                x, width = left + begin * scale, max(1.0, ((freed_ps or span) - begin) * scale)
                y = top + qpus.index(name) * _ROW + 5
                out.append(
                    f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="20" rx="2" fill="{colour}"'
                    f' fill-opacity="{1 if whole else 0.4}"><title>{escape(one.job.name)}</title></rect>'
                )
                at = _room(one.job.name, x, width, [cross for node, cross in killed if node == name])
                if at is not None:
                    ink = PAPER if whole else INK
                    out.append(f'<text x="{at:.1f}" y="{y + 15}" fill="{ink}">{escape(one.job.name)}</text>')
    for name, x in killed:
        out.append(
            f'<text x="{x:.1f}" y="{top + qpus.index(name) * _ROW + 22}" text-anchor="middle" fill="{RED}" '
            f'paint-order="stroke" stroke="{PANEL}" stroke-width="3" style="font-size:24px;font-weight:bold">×</text>'
        )
    step = _round_step(span)
    for tick in range(span // step + 1):
        x = left + tick * step * scale
        out += [
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{foot}" y2="{foot + 5}" stroke="{GREY}"/>',
            f'<text x="{x:.1f}" y="{foot + 20}" text-anchor="middle" fill="{SOFT}">{_time(tick * step)}</text>',
        ]
    out.append("</svg>")
    return "\n".join(out)


def _room(name: str, x: float, width: float, crosses: Iterable[float]) -> float | None:
    """Where a name begins on a bar, so that it lies under no cross; None: nowhere."""
    at, long = x + 5, text_width(name, 13)
    for cross in sorted(crosses):
        if at - 10 < cross < at + long + 10:
            at = cross + 11
    return at if at + long + 4 <= x + width else None


def _round_step(span: int) -> int:
    """1, 2 or 5 times a power of ten: at most eight steps fill the span, and at least three one of 10 or more."""
    size = int(10 ** (len(str(span)) - 1))
    return next(step for step in (size // 5, size // 2, size, 2 * size) if step and span // step <= 8)


def _dead(scenario: Scenario, span: int) -> list[tuple[int, int]]:
    """From when until when the controller was dead, up to the end of the drawing."""
    deaths = sorted((f.at_ps, f.kind) for f in scenario.faults if f.node == scenario.jobs[0].controller)
    spans = []
    for place, (begin, kind) in enumerate(deaths):
        end = next((at for at, later in deaths[place:] if later == "restart"), span)
        if kind == "kill" and begin < span:
            spans.append((begin, min(end, span)))
    return spans


def _table(jobs: list[Asked]) -> str:
    rows = []
    for number, one in enumerate(jobs):
        record = one.record
        key = f'<span class="key" style="background:{_COLOURS[number % len(_COLOURS)]}"></span>'
        why = record.get("reason", "")
        state = one.state.lower() + (f": {escape(why)}" if why and why != one.state.lower() else "")
        rows.append([
            key + unbroken(one.job.name),
            state,
            ", then ".join(", ".join(map(unbroken, p["nodes"])) for p in record.get("placings", ())) or "-",
            _time(record["submitted_ps"]) if record else "-",
            "-" if one.waited_ps is None else _time(one.waited_ps),
            _time(one.leased_ps),
            f"{record.get('shots_done', 0)} of {one.job.shots}",
            f"{record.get('pairs', 0)}",
        ])  # fmt: skip
    return table("the jobs", _COLUMNS, rows, ())


def _time(t_ps: float) -> str:
    for unit, size in (("s", 1e12), ("ms", 1e9), ("µs", 1e6), ("ns", 1e3)):
        if t_ps >= size:
            return f"{t_ps / size:.3g} {unit}"
    return "0"
