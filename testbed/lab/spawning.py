"""How the lab starts a process of its own, ends it, and says how it ended.

What may live here: what needs no clock and no task, so that small processes can lean on it.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

_PACKAGES = str(Path(__file__).resolve().parents[2])


def python(*arguments: str) -> list[str]:
    """A command for this interpreter, in which no file of the current folder can pass itself off as a module."""
    return [sys.executable, "-P", *arguments]


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """A child's environment: it finds our packages where we are, installed or not."""
    search = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), _PACKAGES)))
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": search, **more}


_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans(yes: bool) -> None:
    """Whether descendants whose parents end become children of this process, rather than of init (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)


GONE: Final = 256
"""In place of an exit status: the line to a process on another machine has closed."""
SILENT: Final = 257
"""The same: nothing is heard of it any more."""


def how_it_ended(code: int, log: Path | None = None) -> str:
    """An exit status in words, with the last line of what the process had to say about it."""
    if code == GONE:
        return "has gone: its line has closed"
    if code == SILENT:
        return "has gone: nothing is heard of it any more"
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    if log is None:
        return f"ended with exit code {code}"
    said = _last_words(log)
    return f"ended with exit code {code}{': ' + said if said else ''}; see {log}"


def note(log: Path, text: str) -> None:
    """A line of the launcher's own in a child's log; a full disk costs the line, not the run."""
    with suppress(OSError), open(log, "ab", buffering=0) as file:
        file.write(f"[{time.strftime('%H:%M:%S')} {text}]\n".encode(errors="backslashreplace"))


def end_program(pid: int) -> None:
    """Tell the keeper of an attached program (``program_process``) to end it, and all that it has started."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def kill_session(leader: int) -> None:
    """End what is left of the session that ``leader``, a child of ours, has led."""
    for process in processes():
        if process.session == leader:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)


class Process(NamedTuple):
    """A process of this machine, by ids."""

    pid: int
    parent: int
    session: int


def processes() -> Iterator[Process]:
    """All of them, those that wait to be reaped among them (proc(5), ``stat``)."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):  # it has just gone
                fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
                yield Process(int(entry), int(fields[1]), int(fields[3]))


def zombie(pid: int) -> bool:
    """Whether it has ended, and only waits to be reaped."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _last_words(log: Path) -> str:
    try:
        with open(log, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    # A group of exceptions is printed with a frame drawn around it.
    spoken = [bare for line in lines if not line.startswith("[") and (bare := line.strip(" |+-"))]
    return spoken[-1][:200] if spoken else ""
