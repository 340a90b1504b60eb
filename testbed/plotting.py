"""Plots by matplotlib that look like our other drawings.

What may live here: looks of plots, and how one is saved.  Only who draws a plot imports this: matplotlib takes half a
second to load.
"""

import re
from html import escape
from io import StringIO
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from testbed.palette import LIGHT, by_name, standalone

_OF_INK: Final = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
_LOOKS: Final[dict[Any, Any]] = {
    "svg.hashsalt": "bellwire",  # ids in the file instead of random ones: equal points, equal bytes
    "figure.facecolor": LIGHT["paper"],
    "axes.facecolor": LIGHT["paper"],
    "legend.edgecolor": LIGHT["line"],
    "grid.color": LIGHT["line"],
    **dict.fromkeys(_OF_INK, LIGHT["ink"]),
}
_NOT_OURS: Final = re.compile(r"<metadata>.*?</metadata>\s*|<defs>\s*<style.*?</style>\s*</defs>\s*", re.DOTALL)
"""What a drawing does without: when it was made, and a style sheet that would count for all of a page around it."""

mpl.rcParams.update(_LOOKS)


def save(figure: Figure, label: str, path: Path, **how: Any) -> str:
    """Write it into `path`, and give the SVG, colours by name; label: what it shows, for who cannot see it."""
    figure.savefig(written := StringIO(), format="svg", metadata={"Date": None}, **how)
    svg = written.getvalue()
    body = _NOT_OURS.sub("", svg[svg.index("<svg") :])
    look = 'stroke-linejoin="round" stroke-linecap="butt"'
    drawing = by_name(body.replace("<svg", f'<svg role="img" aria-label="{escape(label)}" {look}', 1))
    path.write_text(standalone(drawing), encoding="utf-8")
    return drawing
