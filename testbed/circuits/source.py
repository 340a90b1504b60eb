"""The text of an OpenQASM file as statements with their lines, and what is refused before any parser sees it.

What may live here: text only. Qiskit's parsers say little about where an instruction came from, and some
inputs make them read other files, take all memory or end the process; that is caught here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from testbed.errors import BadInput, Place, shown
from testbed.scenario.source import read_text

MAX_BITS: Final = 4096
"""Qubits, or classical bits, that a circuit may declare: more than any device has, harmless to allocate."""

LIBRARIES: Final = {2: "qelib1.inc", 3: "stdgates.inc"}

# What separates and groups statements. Comments and strings are tokens: what stands in them does not count.
_TOKEN = re.compile(
    r"""(?P<skip>//[^\n]*|/\*.*?\*/|\s+)"""
    r"""|(?P<string>"[^"\n]*"|'[^'\n]*')"""
    r"""|(?P<mark>[;{}])"""
    r"""|(?P<other>/|[^\s;{}"'/]+|["'])""",
    re.DOTALL,
)
_VERSION = re.compile(r"OPENQASM\s+(\d+)(?:\.(\d+))?\s*;")
_INCLUDE = re.compile(r"include\b\s*([\"'])(.*?)\1")
_QUBITS = re.compile(r"\bqreg\s+\w+\s*\[\s*(\d+)|\bqubit\s*\[\s*(\d+)")
_BITS = re.compile(r"\bcreg\s+\w+\s*\[\s*(\d+)|\bbit\s*\[\s*(\d+)")
# Seen to end the process (a 64-bit overflow in the parser's Rust) or to exhaust the stack.
_HUGE_INTEGER = re.compile(r"(?<![\w.])\d{19,}(?![\w.])")
_DEEP = re.compile(r"(?:[-+~!]\s*){100}|(?:\([^()]*){100}|(?:(?:\^|\*\*)[^;^*]*){100}")
_HARDWARE_QUBIT = re.compile(r"\$\d+")


class Statement(NamedTuple):
    """A top-level statement: the line it starts in, its text without comments, where it ends in the file."""

    line: int
    text: str
    end: int


@dataclass(frozen=True, slots=True)
class Source:
    file: str
    text: str
    version: int
    statements: tuple[Statement, ...]

    @property
    def library(self) -> bool:
        """Whether the gates of the standard library are there."""
        return any(_INCLUDE.match(statement.text) for statement in self.statements)

    def bad(self, line: int | None, problem: str, remedy: str) -> BadInput:
        return BadInput(self.file, f"line {line}" if line else "whole file", problem, remedy)

    def head(self, statements: int) -> str:
        """The file up to and including so many of its statements."""
        return self.text[: self.statements[statements - 1].end] if statements else ""


def read_source(path: Path, named_at: Place) -> Source:
    """Read a circuit file and refuse what no parser should be given; raises BadInput."""
    text = read_text(path, "circuit", named_at)
    statements = tuple(_statements(text))
    file = str(path)
    if not statements:
        raise BadInput(file, "line 1", "the file holds nothing but comments", "write a circuit into it")
    first = statements[0]
    version = _VERSION.match(first.text)
    if version is None:
        raise BadInput(
            file, f"line {first.line}", "the first statement names no OpenQASM version",
            "begin with `OPENQASM 2.0;` or `OPENQASM 3.0;`",
        )  # fmt: skip
    number = int(version[1][:9])
    if number not in LIBRARIES or (number == 2 and int(version[2] or "0") != 0):
        raise BadInput(
            file, f"line {first.line}", f"{shown(version[0].rstrip(';'))} is not supported",
            "write the circuit in OpenQASM 2.0 or 3.0",
        )  # fmt: skip
    source = Source(file, text, number, statements)
    _check(source)
    return source


def _statements(text: str) -> Iterator[Statement]:
    """Split at `;` and at closing braces, outside of any braces."""
    depth = 0
    start: int | None = None
    parts: list[str] = []
    line, counted = 1, 0
    for token in _TOKEN.finditer(text):
        if token["skip"] is not None:
            parts.append(" ")
            continue
        if start is None:
            start = token.start()
            line += text.count("\n", counted, start)
            counted = start
            parts = []
        parts.append(token[0])
        if token["mark"] is None:
            continue
        depth += {"{": 1, "}": -1, ";": 0}[token[0]]
        if depth <= 0 and token[0] != "{":
            yield Statement(line, "".join(parts), token.end())
            start, depth = None, 0
    if start is not None:
        yield Statement(line, "".join(parts).rstrip(), len(text))


def _check(source: Source) -> None:
    qubits = bits = 0
    for statement in source.statements:
        line, text = statement.line, statement.text
        include = _INCLUDE.match(text)
        if include is not None and include[2] != LIBRARIES[source.version]:
            raise source.bad(
                line, f"it includes {shown(include[2])}",
                f"include only {LIBRARIES[source.version]} and define other gates in the file itself",
            )  # fmt: skip
        qubits += _declared(_QUBITS, text)
        bits += _declared(_BITS, text)
        if max(qubits, bits) > MAX_BITS:
            raise source.bad(
                line, f"more than {MAX_BITS} {'qubits' if qubits > MAX_BITS else 'classical bits'}",
                "declare smaller registers",
            )  # fmt: skip
        if _HUGE_INTEGER.search(text):
            raise source.bad(line, "a whole number of 19 digits or more", "write a smaller number")
        if _DEEP.search(text):
            raise source.bad(line, "an expression nested 100 deep", "write it more simply")
        if text.startswith("opaque") and not text[6:7].isalnum():
            raise source.bad(line, "`opaque` is not supported", "define the gate by its gates: `gate name a { … }`")
        if _HARDWARE_QUBIT.search(text):
            raise source.bad(line, "hardware qubits ($0) are not supported", "declare a register: `qubit[2] q;`")


def _declared(pattern: re.Pattern[str], text: str) -> int:
    # Cut to nine digits: enough to be too many, and never a number that takes long to read.
    return sum(int((match[1] or match[2])[:9]) for match in pattern.finditer(text))
