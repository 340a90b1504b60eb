"""report.html of a run without circuits: the network, and what was found.  The network stands in every page.

What may live here: that page, and how a network is introduced.
"""

from collections.abc import Iterable, Mapping
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Final

from testbed.page.frame import framed
from testbed.page.sketch import LinkNote, sketch
from testbed.page.style import BLUE, GREEN, GREY, ORANGE
from testbed.rundir import Figure
from testbed.scenario import Scenario

_KEYS: Final = ((BLUE, "QPU"), (GREEN, "repeater"), (ORANGE, "station, where photons meet"), (GREY, "controller"))


def write_findings(
    scenario: Scenario, figures: Iterable[Figure], lines: Iterable[str], charts: Iterable[Path], path: Path
) -> None:
    """Write report.html.  lines: what the run found, as a terminal shows it; charts: SVG files of it."""
    drawn = [chart.read_text(encoding="utf-8") for chart in charts]
    path.write_text(findings(scenario, list(figures), lines, drawn), encoding="utf-8")


def findings(scenario: Scenario, figures: list[Figure], lines: Iterable[str], charts: Iterable[str]) -> str:
    """The page's text; charts: SVGs."""
    drawn = [f'<div class="drawing">{chart[chart.index("<svg") :]}</div>' for chart in charts]
    return framed(scenario, [*network(scenario, figures, {}), "<h2>What was found</h2>", *drawn, *_found(lines)])


def _found(lines: Iterable[str]) -> Iterable[str]:
    """What begins at the margin is about something, what is further in is what about it."""
    for inside, some in groupby(lines, key=lambda line: line.startswith(" ")):
        words = [escape(line) for line in some]
        if inside:
            yield '<pre class="wide">' + "\n".join(words) + "</pre>"
        else:
            yield from (f"<p><b>{line}</b></p>" for line in words)


def network(scenario: Scenario, figures: Iterable[Figure], used: Mapping[str, str]) -> list[str]:
    """The network as it was at work; used: by node, what it held for the circuits."""
    known = {(figure.name, figure.subject): figure.value for figure in figures}
    notes = {
        link.name: LinkNote(
            int(known.get(("pairs_heralded", link.name)) or 0), known.get(("fidelity_at_herald", link.name))
        )
        for link in scenario.links
    }
    keys = [f'<span class="key" style="background:{colour}"></span>{what}' for colour, what in _KEYS]
    return [
        "<h2>The network</h2>",
        (f'<p class="small keys">{" ".join(keys)}. '
        "F: fidelity of pairs when both ends had heard of them. Lengths are not to scale.</p>"),
        f'<div class="drawing">{sketch(scenario, notes, used)}</div>',
    ]  # fmt: skip
