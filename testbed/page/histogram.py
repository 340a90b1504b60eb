"""Outcomes of a circuit as bars: measured, beside what no noise would give and what chance would.

What may live here: that drawing.
"""

from collections.abc import Mapping
from html import escape
from math import ceil, log10, sqrt
from typing import Final

from testbed.page.style import keyed
from testbed.palette import BLUE, GREEN, GREY, INK, PANEL, RED, SOFT

SHOWN: Final = 16
_ROW: Final = 24
_WIDTH: Final = 820
_BAR: Final = 300
"""A longest bar is as long at least, however long the names of outcomes are."""
_NUMBER: Final = 74
"""For the number behind a bar."""


def histogram_keys(ideal_known: bool) -> str:
    """What is what in it, as a line above it."""
    keys = [keyed(BLUE, "measured, an outcome of the ideal circuit" if ideal_known else "measured")]
    if ideal_known:
        keys += [keyed(GREY, "measured, another"), keyed(GREEN, "ideal")]
    said = "".join([*keys, keyed(RED, "chance")])
    return f'<p class="small">Share of shots that gave each outcome:&ensp;{said}Whiskers: one standard error.</p>'


def histogram(counts: Mapping[str, int], ideal: Mapping[str, float], clbits: int) -> str:
    """SVG.  The most frequent outcomes, measured or ideal; ideal: empty if nobody knows it."""
    shots = sum(counts.values())
    measured = {key: n / shots for key, n in counts.items()}
    keys = sorted(
        set(measured) | {key for key, p in ideal.items() if p > 1e-9},
        key=lambda key: (-max(measured.get(key, 0.0), ideal.get(key, 0.0)), key),
    )
    chance = 2.0**-clbits
    whiskers = [share + sqrt(share * (1 - share) / shots) for share in measured.values()]
    largest = max([*whiskers, *ideal.values(), chance])
    shown = keys[:SHOWN]
    left = 26 + 8.2 * max(6, *(len(key) for key in shown))
    width = max(_WIDTH, left + _BAR + _NUMBER)
    scale = (width - left - _NUMBER) / largest
    height = _ROW * (len(shown) + (len(keys) > SHOWN)) + 40
    digits = max(2, ceil(log10(shots)))
    told = ", ".join(f"{key} {measured.get(key, 0.0):.{digits}f}" for key in shown)
    out = [
        (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="100%" '
         f'style="min-width:{0.7 * width:.0f}px" role="img" aria-label="share of shots by outcome: {escape(told)}">')
    ]  # fmt: skip
    halo = f'paint-order="stroke" stroke="{PANEL}" stroke-width="4"'
    numbers = []
    for row, key in enumerate(shown):
        y = 12 + row * _ROW
        share, right = measured.get(key, 0.0), ideal.get(key)
        error = sqrt(share * (1 - share) / shots) * scale
        colour = BLUE if not ideal or (right or 0.0) > 1e-9 else GREY
        out += [
            (f'<text x="{left - 10:.1f}" y="{y + 13}" text-anchor="end" font-family="monospace" fill="{INK}" '
            f'style="font-family:monospace">{key}</text>'),
            f'<rect x="{left:.1f}" y="{y + 2}" width="{max(share * scale, 0.5):.1f}" height="14" fill="{colour}"/>',
            *_over(left + max(0, share * scale - error), left + share * scale + error, y + 9, y + 9, INK, 1.2),
        ]
        if right is not None:
            x = left + right * scale
            out += _over(x, x, y - 1, y + 19, GREEN, 3)
        said = share * scale + error
        if right is not None and -8 < right * scale - said < 44:
            said = right * scale
        x = left + said + 8
        numbers.append(f'<text x="{x:.1f}" y="{y + 13}" {halo} fill="{INK}">{share:.{digits}f}</text>')
    foot = 12 + len(shown) * _ROW
    if len(keys) > SHOWN:
        rest = sum(measured.get(key, 0.0) for key in keys[SHOWN:])
        text = f"… and {len(keys) - SHOWN} more outcomes, together {rest:.{digits}f}"
        numbers.append(f'<text x="{left + 10:.1f}" y="{foot + 13}" {halo} fill="{SOFT}">{text}</text>')
        foot += _ROW
    x = left + chance * scale
    out += [
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="6" y2="{foot}" stroke="{RED}" stroke-dasharray="4 3"/>',
        f'<text x="{x + 4:.1f}" y="{foot + 16}" fill="{RED}">chance {chance:.2g}</text>',
        *numbers,  # what is read lies on top of the line of chance
        "</svg>",
    ]
    return "\n".join(out)


def _over(x1: float, x2: float, y1: int, y2: int, colour: str, width: float) -> list[str]:
    """A line that may lie on a bar, with a rim that tells it from the bar."""
    place = f'x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1}" y2="{y2}"'
    looks = (PANEL, width + 2), (colour, width)
    return [f'<line {place} stroke="{stroke}" stroke-width="{wide:g}"/>' for stroke, wide in looks]
