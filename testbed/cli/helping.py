"""How the help of a command is laid out, at any width of the terminal.

What may live here: that.  Prose is written as it comes and wrapped here; what is indented, such as examples, keeps its
lines, and a remark behind two or more spaces keeps its column, or goes on below.
"""

import argparse
import re
import textwrap
from collections.abc import Iterator
from typing import Final

_PROSE: Final = 100
"""Longer lines of prose are hard to read, however wide the terminal."""
_REMARK: Final = re.compile(r"(\s+\S.*?\s{2,})(\S.*)")
_NARROW: Final = 24
"""A remark's column is no narrower than that."""


class HelpFormatter(argparse.HelpFormatter):
    """argparse's, with our texts."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        for command in self._iter_indented_subactions(action):  # argparse forgets how far these are indented
            length = len(self._format_action_invocation(command)) + self._current_indent
            self._action_max_length = max(self._action_max_length, length)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in laid_out(text, width - len(indent)))


def laid_out(text: str, width: int) -> Iterator[str]:
    """The lines of a text."""
    prose: list[str] = []
    for line in text.rstrip().splitlines():
        if line and not line[0].isspace():
            prose.append(line)
            continue
        yield from _wrapped(prose, width)
        prose = []
        yield from _example(line, width)
    yield from _wrapped(prose, width)


def _wrapped(prose: list[str], width: int) -> list[str]:
    return textwrap.wrap(" ".join(prose), min(width, _PROSE), break_on_hyphens=False)


def _example(line: str, width: int) -> Iterator[str]:
    found = _REMARK.fullmatch(line)
    if len(line) <= width or found is None:
        yield line
        return
    example, remark = found.groups()
    if width - len(example) < _NARROW:
        yield example.rstrip()
        example = " " * 8
    yield from textwrap.wrap(remark, width, initial_indent=example, subsequent_indent=" " * len(example))
