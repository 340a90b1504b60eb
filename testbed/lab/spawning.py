"""How the lab starts a process of its own, ends it, and says how it ended.

What may live here: what needs no clock and no task, so that small processes can lean on it.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_PACKAGES = str(Path(__file__).resolve().parents[2])


def python(*arguments: str) -> list[str]:
    """A command for this interpreter, in which no file of the current folder can pass itself off as a module."""
    return [sys.executable, "-P", *arguments]


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """A child's environment: it finds our packages where we are, installed or not."""
    search = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), _PACKAGES)))
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": search, **more}


def how_it_ended(code: int, log: Path | None = None) -> str:
    """An exit status in words, with the last line of what the process had to say about it."""
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


def kill_session(pid: int) -> None:
    """End a child and whatever it has started: every child leads a session, hence a group, of its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


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
