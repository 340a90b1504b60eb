"""From OpenQASM text to a Qiskit circuit, and from an instruction of the circuit back to its line.

What may live here: calls of Qiskit's parsers and the translation of what they say into BadInput. Qiskit is
imported on first use: a run without a circuit never pays for it.
"""

import re
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from functools import cache
from io import StringIO
from typing import Any, Final

from testbed.circuits.source import Source
from testbed.errors import BadInput

MAX_INSTRUCTIONS: Final = 100_000

UNSUPPORTED_WORDS: Final = frozenset({
    "array", "angle", "bool", "box", "break", "cal", "complex", "const", "continue", "def", "defcal",
    "defcalgrammar", "delay", "duration", "end", "extern", "float", "for", "if", "input", "int", "let",
    "output", "pragma", "reset", "return", "stretch", "switch", "uint", "while",
})  # fmt: skip
"""Where Qiskit's importer of OpenQASM 3 may give up, for reasons that say nothing to a person."""

_AT_LINE = (
    re.compile(r"<input>:(\d+),\d+: (.*)", re.DOTALL),  # qiskit.qasm2
    re.compile(r"L(\d+):C\d+: (.*)", re.DOTALL),  # openqasm3's lexer and visitor
    re.compile(r"line (\d+):\d+ (.*)", re.DOTALL),  # ANTLR, on stderr
    re.compile(r"(\d+),\d+: (.*)", re.DOTALL),  # qiskit_qasm3_import
)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A Qiskit QuantumCircuit and the text it came from."""

    source: Source
    circuit: Any
    _lines: dict[int, int] = field(default_factory=dict)

    def line(self, instruction: int) -> int:
        """The line of the statement that made the n-th instruction of the circuit.

        Found by halving: that statement is the first with which the parsed head of the file has more than n
        instructions. Works alike for both versions, broadcasts and loops over registers included.
        """
        if instruction not in self._lines:
            low, high = 1, len(self.source.statements)
            while low < high:
                middle = (low + high) // 2
                if len(_circuit(self.source, self.source.head(middle)).data) > instruction:
                    high = middle
                else:
                    low = middle + 1
            self._lines[instruction] = self.source.statements[low - 1].line
        return self._lines[instruction]

    def bad(self, instruction: int, problem: str, remedy: str) -> BadInput:
        return self.source.bad(self.line(instruction), problem, remedy)

    def bad_end(self, problem: str, remedy: str) -> BadInput:
        """What is missing at the end."""
        return self.source.bad(self.source.statements[-1].line, problem, remedy)


@dataclass(frozen=True, slots=True)
class Given:
    """A Qiskit QuantumCircuit that a program has made: nothing of it stands in a file."""

    name: str
    circuit: Any

    def bad(self, instruction: int, problem: str, remedy: str) -> BadInput:
        return BadInput(self.name, f"instruction {instruction}", problem, remedy)

    def bad_end(self, problem: str, remedy: str) -> BadInput:
        """What is missing at the end."""
        return BadInput(self.name, "its end", problem, remedy)


def parse(source: Source) -> Parsed:
    """Raises BadInput, with the line, for a circuit that does not parse."""
    said = StringIO()
    try:
        # ANTLR reports on stderr, which belongs to the one line that a person gets.
        with redirect_stderr(said):
            circuit = _circuit(source, source.text)
    except _MissingParser:
        raise source.bad(
            source.statements[0].line, "OpenQASM 3 is not supported without the package qiskit-qasm3-import",
            "install it, or write the circuit in OpenQASM 2.0",
        ) from None  # fmt: skip
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        line, problem = _what(source, error, said.getvalue())
        word = _first_word(source, line)
        node = re.match(r"node of type (\w+) is not supported", problem)
        if word in UNSUPPORTED_WORDS or node:
            what = f"`{word}`" if word in UNSUPPORTED_WORDS or not node else node[1]
            raise source.bad(line, f"{what} is not supported", "write the circuit without it") from None
        raise source.bad(line, f"not OpenQASM {source.version}: {problem}", "correct it") from None
    if len(circuit.data) > MAX_INSTRUCTIONS:
        raise source.bad(None, f"{len(circuit.data)} instructions", f"keep to {MAX_INSTRUCTIONS}")
    return Parsed(source, circuit)


class _MissingParser(Exception):
    """The optional parser of OpenQASM 3 is not installed."""


def _circuit(source: Source, text: str) -> Any:
    if source.version == 2:
        from qiskit import qasm2

        return qasm2.loads(
            text,
            include_path=(qasm2.LEGACY_INCLUDE_PATH[0],),
            # Without the library a file may define an `x` of its own, which Qiskit would take for X.
            custom_instructions=_library_gates() if source.library else (),
            custom_classical=qasm2.LEGACY_CUSTOM_CLASSICAL,
            # Strict would refuse 1e-5 for want of a point, which Qiskit's own exporter writes.
            strict=False,
        )
    try:
        import qiskit_qasm3_import
    except ImportError:
        raise _MissingParser from None
    from testbed.circuits.flatten import flatten

    return qiskit_qasm3_import.parse(flatten(text))


@cache
def _library_gates() -> tuple[Any, ...]:
    """Qiskit's classes for the gates that its qelib1.inc defines, no other: a file may define the rest."""
    from pathlib import Path

    from qiskit import qasm2

    library = Path(qasm2.LEGACY_INCLUDE_PATH[0], "qelib1.inc").read_text(encoding="utf-8")
    defined = set(re.findall(r"^gate\s+(\w+)", library, re.MULTILINE))
    return tuple(gate for gate in qasm2.LEGACY_CUSTOM_INSTRUCTIONS if gate.name in defined)


def _what(source: Source, error: BaseException, said: str) -> tuple[int, str]:
    """Line and problem, from whatever the parser gave."""
    # str() of a Qiskit error is the repr of its message.
    message = str(getattr(error, "message", None) or error).strip().removesuffix(".")
    for text in (message, said.strip()):
        for pattern in _AT_LINE:
            match = pattern.match(text)
            if match:
                return _within(source, int(match[1])), match[2]
    problem = message or (error.__class__.__name__ if error.args else "a syntax error")
    token = _offending_token(error)
    if token is not None:
        text = getattr(token, "text", "")
        expected = "the file ends too early" if text == "<EOF>" else f"unexpected {text!r}"
        return _within(source, int(token.line)), expected
    return _first_failing_line(source), problem


def _first_word(source: Source, line: int) -> str:
    """The keyword of the statement that a line belongs to."""
    texts = [statement.text for statement in source.statements if statement.line <= line]
    word = re.match(r"\w+", texts[-1]) if texts else None
    return word[0] if word else ""


def _within(source: Source, line: int) -> int:
    return max(1, min(line, source.text.count("\n") + 1))


def _offending_token(error: BaseException | None) -> Any:
    """ANTLR's token, somewhere in the causes of the error."""
    while error is not None:
        for candidate in (error, *error.args):
            token = getattr(candidate, "offendingToken", None)
            if token is not None:
                return token
        error = error.__cause__
    return None


def _first_failing_line(source: Source) -> int:
    """The line of the first statement with which the head of the file fails to parse."""
    low, high = 1, len(source.statements)
    while low < high:
        middle = (low + high) // 2
        try:
            with redirect_stderr(StringIO()):
                _circuit(source, source.head(middle))
        except Exception:
            high = middle
        else:
            low = middle + 1
    return source.statements[low - 1].line
