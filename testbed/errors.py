"""Errors that a person can cause: one class, one line, with the file, the place and what to do.

What may live here: BadInput, and the place in a file at which one is raised. Errors of ours are ordinary
exceptions.
"""

import re
from os import PathLike, fspath
from typing import NamedTuple

_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LONGEST = 300


class BadInput(Exception):
    """Input that cannot be used. str() is one line: `FILE: PLACE: PROBLEM; REMEDY`. Exit code 2."""

    def __init__(self, file: str | PathLike[str], place: str, problem: str, remedy: str) -> None:
        self.file = one_line(fspath(file))
        self.place = one_line(place)
        self.problem = one_line(problem)
        self.remedy = one_line(remedy)
        super().__init__(f"{self.file}: {self.place}: {self.problem}; {self.remedy}")

    def __reduce__(self) -> tuple[type["BadInput"], tuple[str, str, str, str]]:
        # Exception's own way would call the class with the finished line as its only argument.
        return BadInput, (self.file, self.place, self.problem, self.remedy)


class Place(NamedTuple):
    """Where in a file something stands: ``line 12, nodes.west.device``."""

    file: str
    where: str

    def bad(self, problem: str, remedy: str) -> BadInput:
        return BadInput(self.file, self.where, problem, remedy)


def one_line(text: str) -> str:
    """Text on one line of bearable length: what a person wrote may hold anything."""
    flat = _UNPRINTABLE.sub(" ", text).strip()
    # What the terminal or the log cannot encode (half a surrogate pair, from a file name) is spelled out.
    flat = flat.encode("utf-8", "backslashreplace").decode()
    return flat if len(flat) <= _LONGEST else flat[: _LONGEST - 1] + "…"


def shown(value: object) -> str:
    """A value as an error message shows it: text in quotes, cut short."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def nearest(word: str, known: list[str]) -> str | None:
    """The known word that a person most likely meant, or None."""
    # Imported here: only a mistake needs it.
    from difflib import get_close_matches

    matches = get_close_matches(word.lower(), [k.lower() for k in known], n=1, cutoff=0.6)
    return next((k for k in known if k.lower() == matches[0]), None) if matches else None


def listed(known: list[str], most: int = 12) -> str:
    """Names in a sentence: ``a, b, c``, cut after `most`."""
    return ", ".join(known[:most]) + (", …" if len(known) > most else "") if known else "none"
