"""What every command has to do with the terminal: arguments, standard streams, progress, signals.

What may live here: how text goes out and what a person may press; nothing about what a command does.
"""

import argparse
import io
import os
import re
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn, Self

from testbed.cli.helping import HelpFormatter
from testbed.errors import BadInput
from testbed.program import program

EXITS = """exit codes:
  0    well
  1    a check failed, or the work was not finished
  2    bad input
  3    a process died
  4    the emulator broke its own rules
  130  interrupted (Ctrl-C); 143: terminated (SIGTERM); 129: terminal closed
"""

_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|ms|us|µs|ns|ps)")
_PARTS = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*(ppm|ppb)")
_NEGATIVE = re.compile(r"-(\d+(\.\d*)?|\.\d+)\s*(ppm|ppb|s|ms|us|µs|ns|ps)?$")
"""What is a value and no option, though it begins with a dash."""
_UNITS = {"s": 10**12, "ms": 10**9, "us": 10**6, "µs": 10**6, "ns": 10**3, "ps": 1}

type Commands = "argparse._SubParsersAction[Parser]"


class Parser(argparse.ArgumentParser):
    """One line for a mistake, as for every other bad input; a negative amount is a value, whatever its unit."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"formatter_class": HelpFormatter, **options})
        self._negative_number_matcher = _NEGATIVE

    def knows(self, option: str) -> bool:
        """Whether it is one of its own options, and of no command."""
        return any(option in action.option_strings for action in self._actions)

    def print_help(self, file: Any = None) -> None:
        if file is None:
            say([self.format_help().rstrip("\n")], 2)
        else:
            super().print_help(file)

    def error(self, message: str) -> NoReturn:
        print(f"command line: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


class Unwritable(Exception):
    """Standard output is closed or full.  ``code``: what the command has come to all the same; 2: nothing.
    ``quiet``: its reader has had enough, as of `| head`, and misses nothing."""

    def __init__(self, error: OSError, code: int) -> None:
        super().__init__(str(error))
        self.code = code
        self.quiet = isinstance(error, BrokenPipeError)
        abandon_stdout()


def say(lines: list[str], code: int) -> None:
    """Print, at once; ``code`` is the exit code if that cannot be done."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except OSError as error:
        raise Unwritable(error, code) from None


def tell(line: str) -> None:
    """Print a line of work that goes on, and comes to its verdict, also when the reader has had enough."""
    try:
        say([line], 2)
    except Unwritable as unwritable:
        if not unwritable.quiet:
            raise


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
    """SIGTERM, or a terminal that closes (SIGHUP), ends work as Ctrl-C does, in order; the exit code tells them apart.

    ``asked``: the signal, if one came.
    """

    ENDS: Final = {signal.SIGTERM: "terminated", signal.SIGHUP: "its terminal has closed"}
    """Each in words."""

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._terminals = [number for number in (1, 2) if os.isatty(number)]

    def __enter__(self) -> Self:
        for number in self.ENDS:
            if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
                self._before[number] = signal.signal(number, self._terminate)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._hush()

    def _terminate(self, number: int, _: object) -> None:
        again, self.asked = self.asked, signal.Signals(number)
        self._hush()
        if again != signal.SIGHUP or number != signal.SIGHUP:  # the shell and the kernel may both say so: it is one
            signal.raise_signal(signal.SIGINT)

    def _hush(self) -> None:
        """What is said to a terminal that has gone goes nowhere, rather than wrong."""
        for number in self._terminals:
            if not os.isatty(number):
                _lead_nowhere(number)


class ProgressLine:
    """Long work shows how far it is: on a terminal in a line that is gone at the end, elsewhere now and then in one of
    its own.  ``wall`` gives the time in seconds."""

    EVERY_S = 10.0

    def __init__(self, wall: Callable[[], float] = time.monotonic) -> None:
        self._live = sys.stderr.isatty() and os.environ.get("TERM", "") != "dumb"
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
            columns = shutil.get_terminal_size().columns - 1  # what wraps would stay behind
            hint = "   (Ctrl-C ends the run and keeps what there is)"
            line = text + hint if len(text + hint) <= columns else text[:columns]
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows no µ shows a ? instead
            stream.reconfigure(errors="replace")


def abandon_stdout() -> None:
    """Have what is still buffered go nowhere, so that the interpreter does not stumble over it at its end."""
    _lead_nowhere(sys.stdout.fileno())


def _lead_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor, inheritable=descriptor <= 2)
    os.close(nowhere)


def span_ps(option: str, text: str | None) -> int | None:
    """A time on the command line, in picoseconds."""
    if text is None:
        return None
    found = _TIME.fullmatch(text.strip())
    if found is None and _TIME.fullmatch(text.strip().removeprefix("-")):
        raise BadInput("command line", option, f"{text} is negative", "write a time of 0 or more: 3ms, 2.5us, 800ns")
    if found is None:
        raise BadInput("command line", option, f"{text} is no time", "write a number and its unit: 3ms, 2.5us, 800ns")
    number, unit = found.groups()
    whole, _, fraction = number.partition(".")
    size = _UNITS[unit]
    return int(whole) * size + (int(fraction) * size // 10 ** len(fraction) if fraction else 0)


def parts_per_billion(option: str, text: str) -> int:
    """How far off a frequency is, on the command line."""
    found = _PARTS.fullmatch(text.strip())
    ppb = 0.5 if found is None else float(found[1]) * (1000 if found[2] == "ppm" else 1)
    if found is None or abs(ppb - round(ppb)) > 1e-6:
        remedy = "write a number and its unit, in whole ppb: 50ppm, -0.2ppm, 20ppb"
        raise BadInput("command line", option, f"{text} is no drift", remedy)
    return round(ppb)
