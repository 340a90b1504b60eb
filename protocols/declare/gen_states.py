"""Draws docs/sessions.md's picture and table of a session's states from the one table that moves them.

What may live here: tables of states to Mermaid and Markdown.  The prose of the page is its own; what stands between its
two marks is written here.
"""

from pathlib import Path
from typing import Final

from protocols.qtp.states import SESSION_TABLE, Do, SessionInput, SessionState

_BEGIN: Final = "<!-- from protocols/qtp/states.py: python -m protocols.declare -->\n"
_END: Final = "<!-- end -->\n"

Table = dict[tuple[SessionState, SessionInput], tuple[SessionState, tuple[Do, ...]]]


def page(path: Path) -> str:
    """The page with its drawn part anew; raises ValueError if its marks are not there."""
    text = path.read_text(encoding="utf-8")
    head, begin, rest = text.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{path.name} has lost the marks of its drawn part")
    return head + begin + drawn(SESSION_TABLE) + end + tail


def drawn(table: Table) -> str:
    """A Mermaid diagram, one arrow for each pair of states, and below it every row as text."""
    arrows: dict[tuple[str, str], list[str]] = {}
    rows = []
    for (state, stimulus), (after, actions) in table.items():
        arrows.setdefault((state.name, after.name), []).append(stimulus.name)
        done = ", ".join(action.name for action in actions)
        rows.append(f"| {state.name} | {stimulus.name} | {after.name} | {done} |")
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> OPENING"]
    lines += [f"    {a} --> {b}: {', '.join(inputs)}" for (a, b), inputs in arrows.items() if a != b]
    lines += ["    CLOSED --> [*]", "```", "", "| state | input | next | actions |", "|---|---|---|---|", *rows]
    return "\n".join(lines) + "\n"
