"""Colours of pages and drawings, by day and by night, each named once.

Drawings name a colour, `fill="var(--ink)"`: what it is, is said by the page around them, or by themselves when they are
files of their own.  Such a file has the light colours as plain attributes, for programs that know no variables, and a
style sheet that changes them where a reader likes it dark.  Print is light.

What may live here: the colours, and how a drawing comes by them.  Texts on `paper` or `panel` have a contrast of 4.5 at
least in every colour but those of `MARKS`; these have 3 there (WCAG 2.2, 1.4.3 and 1.4.11), but for hairlines.
"""

import re
from html import escape, unescape
from types import MappingProxyType
from typing import Final

LIGHT: Final = MappingProxyType({
    "paper": "#ffffff", "panel": "#f6f8fa", "line": "#d3dae1", "ink": "#1d2733", "soft": "#5a6673", "grey": "#7b8692",
    "dot": "#b08400", "blue": "#1f5fa8", "green": "#2f7d5b", "orange": "#b4560f", "red": "#a3223f", "violet": "#6b4fa0",
    "teal": "#1f7783", "pink": "#a84872", "olive": "#75652a", "gold": "#7a5c00",
})  # fmt: skip
DARK: Final = MappingProxyType({
    "paper": "#14191f", "panel": "#1c232b", "line": "#38424d", "ink": "#e4e9ef", "soft": "#a3afbc", "grey": "#7f8b98",
    "dot": "#e0b93a", "blue": "#6ea8ec", "green": "#63b98f", "orange": "#e2984a", "red": "#f07f96", "violet": "#b39ae6",
    "teal": "#58b9c5", "pink": "#df8fb1", "olive": "#c3b06a", "gold": "#e3c463",
})  # fmt: skip
MARKS: Final = frozenset({"grey", "dot"})
"""Too faint for words."""
HAIRLINES: Final = frozenset({"line"})
"""Rules between things that are told apart without them."""

PAPER: Final = "var(--paper)"
"""What a page is written on, and words that lie on a bar."""
PANEL: Final = "var(--panel)"
LINE: Final = "var(--line)"
INK: Final = "var(--ink)"
SOFT: Final = "var(--soft)"
GREY: Final = "var(--grey)"
DOT: Final = "var(--dot)"
BLUE: Final = "var(--blue)"
GREEN: Final = "var(--green)"
ORANGE: Final = "var(--orange)"
RED: Final = "var(--red)"
VIOLET: Final = "var(--violet)"
TEAL: Final = "var(--teal)"
PINK: Final = "var(--pink)"
OLIVE: Final = "var(--olive)"
GOLD: Final = "var(--gold)"

_WHERE_DARK: Final = "@media screen and (prefers-color-scheme: dark)"
_VARIABLE: Final = re.compile(r"var\(--([a-z]+)\)")
_LITERAL: Final = re.compile("|".join(LIGHT.values()))
_ROOT: Final = re.compile(r"<svg\b[^>]*>")
_LABEL: Final = re.compile(r'aria-label="([^"]*)"')


def variables() -> str:
    """CSS that says what every colour of a page is."""
    day, night = ("; ".join(f"--{name}: {colour}" for name, colour in some.items()) for some in (LIGHT, DARK))
    return f":root {{ color-scheme: light; {day}; }}\n{_WHERE_DARK} {{\n:root {{ color-scheme: dark; {night}; }}\n}}"


def standalone(drawing: str) -> str:
    """A drawing as a file of its own; its label becomes its title."""
    used = dict.fromkeys(_VARIABLE.findall(drawing))
    plain = _VARIABLE.sub(lambda found: LIGHT[found[1]], drawing)
    rules = [rule for name in used for rule in _darkened(name, plain)]
    root = _ROOT.search(plain)
    assert root is not None, "no drawing"
    label = _LABEL.search(root[0])
    title = f"<title>{escape(unescape(label[1]), quote=False)}</title>\n" if label else ""
    sheet = "<style>\n" + _WHERE_DARK + " {\n" + "\n".join(rules) + "\n}\n</style>\n"
    return f"{plain[: root.end()]}\n{title}{sheet}{plain[root.end() :].lstrip()}"


def _darkened(name: str, plain: str) -> list[str]:
    """Rules for one colour, as attributes and as inline styles say it."""
    colour, rules = LIGHT[name], []
    for what in ("fill", "stroke"):
        said = [f'[{what}="{colour}"]'] if f'{what}="{colour}"' in plain else []
        if f"{what}: {colour}" in plain:
            said.append(f'[style*="{what}: {colour}"]')
        if said:
            rules.append(f"{', '.join(said)} {{ {what}: {DARK[name]} !important; }}")
    return rules


def by_name(drawing: str) -> str:
    """A drawing whose colours are literally those of `LIGHT`, with their names in place of them."""
    names = {colour: name for name, colour in LIGHT.items()}
    return _LITERAL.sub(lambda found: f"var(--{names[found[0]]})", drawing)
