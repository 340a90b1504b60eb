"""report.html of a run without circuits: the network, and what was found.  The network stands in every page.

What may live here: that page, and how a network is introduced.
"""

from collections.abc import Iterable, Mapping
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Final

from testbed.page.frame import framed
from testbed.page.sketch import LOOKS, LinkNote, sketch
from testbed.page.style import keyed, unfinished
from testbed.report.whole import Report
from testbed.rundir import Figure
from testbed.scenario import Scenario

_KEYS: Final = {
    "qpu": "QPU", "repeater": "repeater", "station": "station, where photons meet", "controller": "controller",
}  # fmt: skip


def write_findings(scenario: Scenario, report: Report, charts: Iterable[str], path: Path) -> None:
    """Write report.html.  charts: SVGs of what the run found."""
    path.write_text(findings(scenario, report, charts), encoding="utf-8")


def findings(scenario: Scenario, report: Report, charts: Iterable[str]) -> str:
    """The page's text; charts: SVGs."""
    drawn = [f'<div class="chart">{chart}</div>' for chart in charts]
    failed = [unfinished(report.unfinished)] if report.unfinished else []
    about = network(scenario, report.figures, {})
    return framed(scenario, [*failed, *about, "<h2>What was found</h2>", *drawn, *_found(report.lines)])


def _found(lines: Iterable[str]) -> Iterable[str]:
    """What begins at the margin is about something, what is further in is what about it."""
    blocks = [(inside, list(some)) for inside, some in groupby(lines, key=lambda line: line.startswith(" "))]
    for place, (inside, words) in enumerate(blocks):
        if inside:
            yield '<pre class="wide">' + escape("\n".join(words)) + "</pre>"
            continue
        over = words[-1:] if place + 1 < len(blocks) else []  # a heading of what comes further in
        yield from (f"<p><b>{escape(line)}</b></p>" for line in words[: len(words) - len(over)])
        yield from (f"<h3>{escape(line)}</h3>" for line in over)


def network(scenario: Scenario, figures: Iterable[Figure], used: Mapping[str, str]) -> list[str]:
    """The network as it was at work; used: by node, what it held for the circuits."""
    known = {(figure.name, figure.subject): figure.value for figure in figures}
    notes = {
        link.name: LinkNote(
            int(known.get(("pairs_heralded", link.name)) or 0), known.get(("fidelity_at_herald", link.name))
        )
        for link in scenario.links
    }
    kinds = {node.kind for node in scenario.nodes}
    keys = [keyed(LOOKS[kind], what) for kind, what in _KEYS.items() if kind in kinds]
    return [
        "<h2>The network</h2>",
        (f'<p class="small">{" ".join(keys)} '
        "F: fidelity of pairs when both ends had heard of them. Lengths are not to scale.</p>"),
        f'<div class="drawing">{sketch(scenario, notes, used)}</div>',
    ]  # fmt: skip
