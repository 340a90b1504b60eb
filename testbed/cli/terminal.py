"""What every command has to do with the terminal: arguments, standard streams, progress, signals.

What may live here: how text goes out and what a person may press; nothing about what a command does.
"""

import argparse
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, Self

from testbed.errors import BadInput
from testbed.program import program

EXITS = """exit codes:
  0 well   1 a check failed, or the work was not finished   2 bad input   3 a process died
  4 the emulator broke its own rules   130 interrupted (Ctrl-C)   143 terminated (SIGTERM)
"""

_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|ms|us|µs|ns|ps)")
_UNITS = {"s": 10**12, "ms": 10**9, "us": 10**6, "µs": 10**6, "ns": 10**3, "ps": 1}

type Commands = "argparse._SubParsersAction[Parser]"


class Parser(argparse.ArgumentParser):
    """One line for a mistake, as for every other bad input."""

    def error(self, message: str) -> NoReturn:
        print(f"command line: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


class Unwritable(Exception):
    """Standard output is closed or full.  ``code``: what the command has come to all the same."""

    def __init__(self, error: OSError, code: int) -> None:
        super().__init__(str(error))
        self.code = code
        self.quiet = isinstance(error, BrokenPipeError)  # the reader has had enough
        abandon_stdout()


def say(lines: list[str], code: int) -> None:
    """Print, at once; ``code`` is the exit code if that cannot be done."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except OSError as error:
        raise Unwritable(error, code) from None


def opening(trace: Path) -> list[str]:
    return [
        f"  {program()} dissector > bellwire.lua",
        f"  tshark -X lua_script:bellwire.lua -r {shlex.quote(str(trace))}     (or wireshark, without -r)",
    ]


def check_writable(path: Path | None, option: str = "--json") -> None:
    """Find out before the work what would spoil its end; ``path`` is what the option names, if anything."""
    if path is None:
        return
    if not path.parent.is_dir():
        raise BadInput(path, option, "its folder does not exist", "make it first")
    if path.is_dir():
        raise BadInput(path, option, "it is a folder", "name a file")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise BadInput(path, option, "it may not be written", "name another file")


class Terminable:
    """SIGTERM ends a run as Ctrl-C does, in order; the exit code tells them apart."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGTERM, self._terminate)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _terminate(self, *_: object) -> None:
        self.asked = True
        signal.raise_signal(signal.SIGINT)


class ProgressLine:
    """Long work shows how far it is: on a terminal in a line that is gone at the end, elsewhere now and then in one of
    its own.  ``wall`` gives the time in seconds."""

    EVERY_S = 10.0

    def __init__(self, wall: Callable[[], float] = time.monotonic) -> None:
        self._live = sys.stderr.isatty()
        self._shown = False
        self._wall = wall
        self._began = self._said = wall()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def show(self, facts: dict[str, Any]) -> None:
        with suppress(OSError):  # nobody listens: no reason to end a run
            self._show(facts)

    def _show(self, facts: dict[str, Any]) -> None:
        text = f"virtual time {facts['t_ps'] * 1e-12:.6f} s"
        if facts.get("jobs"):
            text += f", {facts['jobs']}"
        now = self._wall()
        if self._live:
            hint = "   (Ctrl-C ends the run and keeps what there is)"
            print(f"\r\x1b[K{text}{hint}", end="", file=sys.stderr, flush=True)
            self._shown = True
        elif now - self._said >= self.EVERY_S:
            self._said = now
            print(f"bellwire run: {text} after {now - self._began:.0f} s", file=sys.stderr, flush=True)


def reopen_standard_streams() -> None:
    """A standard stream that was closed at the start leads nowhere from now on.

    Otherwise the next file or socket would get its number, and what is printed would go there.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is not None:
            continue
        opened = os.open("/dev/full" if name == "stdout" else os.devnull, os.O_RDWR)
        if opened != number:
            os.dup2(opened, number, inheritable=False)
            os.close(opened)
        setattr(sys, name, os.fdopen(number, mode))


def abandon_stdout() -> None:
    """Have what is still buffered go nowhere, so that the interpreter does not stumble over it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def span_ps(option: str, text: str | None) -> int | None:
    """A time on the command line, in picoseconds."""
    if text is None:
        return None
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise BadInput("command line", option, f"{text} is no time", "write a number and its unit: 3ms, 2.5us, 800ns")
    number, unit = found.groups()
    whole, _, fraction = number.partition(".")
    size = _UNITS[unit]
    return int(whole) * size + (int(fraction) * size // 10 ** len(fraction) if fraction else 0)
