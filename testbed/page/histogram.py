"""Outcomes of a circuit as bars: measured, beside what no noise would give and what chance would.

What may live here: that drawing.
"""

from collections.abc import Mapping
from math import ceil, log10, sqrt
from typing import Final

from testbed.page.style import BLUE, GREEN, GREY, INK, PALE, RED

SHOWN: Final = 16
_ROW: Final = 24
_BAR: Final = 520


def histogram(counts: Mapping[str, int], ideal: Mapping[str, float], clbits: int) -> str:
    """SVG.  The most frequent outcomes, measured or ideal; ideal: empty if nobody knows it."""
    shots = sum(counts.values())
    measured = {key: n / shots for key, n in counts.items()}
    keys = sorted(
        set(measured) | {key for key, p in ideal.items() if p > 1e-9},
        key=lambda key: (-max(measured.get(key, 0.0), ideal.get(key, 0.0)), key),
    )
    chance = 2.0**-clbits
    largest = max([*measured.values(), *ideal.values(), chance])
    shown = keys[:SHOWN]
    left = 26 + 8.2 * max(6, *(len(key) for key in shown))
    scale = _BAR / largest
    height = _ROW * (len(shown) + (len(keys) > SHOWN)) + 40
    width = left + _BAR + 130
    digits = max(2, ceil(log10(shots)))
    out = [
        (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="100%" '
        f'style="min-width:{0.7 * width:.0f}px" role="img" aria-label="histogram of outcomes">')
    ]
    halo = f'paint-order="stroke" stroke="{PALE}" stroke-width="4"'
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
            (f'<line x1="{left + max(0, share * scale - error):.1f}" x2="{left + share * scale + error:.1f}" '
            f'y1="{y + 9}" y2="{y + 9}" stroke="{INK}" stroke-width="1.2"/>'),
        ]
        if right is not None:
            x = left + right * scale
            out.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 1}" y2="{y + 19}" stroke="{GREEN}" stroke-width="3"/>'
            )
        said = share * scale + error
        if right is not None and -8 < right * scale - said < 44:
            said = right * scale
        x = left + said + 8
        numbers.append(f'<text x="{x:.1f}" y="{y + 13}" {halo} fill="{INK}">{share:.{digits}f}</text>')
    foot = 12 + len(shown) * _ROW
    if len(keys) > SHOWN:
        rest = sum(measured.get(key, 0.0) for key in keys[SHOWN:])
        text = f"… and {len(keys) - SHOWN} more outcomes, together {rest:.{digits}f}"
        numbers.append(f'<text x="{left + 10:.1f}" y="{foot + 13}" {halo} fill="#555">{text}</text>')
        foot += _ROW
    x = left + chance * scale
    out += [
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="6" y2="{foot}" stroke="{RED}" stroke-dasharray="4 3"/>',
        f'<text x="{x + 4:.1f}" y="{foot + 16}" fill="{RED}">chance {chance:.2g}</text>',
        *numbers,  # what is read lies on top of the line of chance
        "</svg>",
    ]
    return "\n".join(out)
