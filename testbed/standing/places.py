"""Where standing testbeds are found: a folder each, under XDG_RUNTIME_DIR or as one was told.

What may live here: those folders, as their keeper makes and sweeps them; ``stack.standing`` has the rule of what lies
where.  What a keeper that was killed has left is swept away by the next that takes the name.
"""

import fcntl
import json
import os
import re
import shlex
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from stack.standing import about, default_folder, door, held, up
from testbed.errors import BadInput
from testbed.program import program

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,39}")
LONGEST_PATH = 107
"""Of a socket's path, in bytes (sun_path of Linux, less its final zero)."""
LONGEST_NAME = 32
"""Of a node."""


def base() -> Path:
    """The folder of this user's testbeds; made if need be.  Raises BadInput."""
    path = default_folder()
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        about = path.lstat()
    except OSError as error:
        raise BadInput(path, "testbeds", error.strerror or str(error), "set XDG_RUNTIME_DIR, or name --dir") from None
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
        raise BadInput(path, "testbeds", "it belongs to somebody else", "set XDG_RUNTIME_DIR, or name --dir")
    return path


class Fall(NamedTuple):
    """Why a testbed is up no more, and what to look into."""

    cause: str
    remedy: str

    @property
    def problem(self) -> str:
        return f"it is not up any more: {self.cause}"


class Place:
    """The folder of one testbed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.control = path / "control"
        self.lock = path / "lock"
        self._about = about(path)

    def door(self, node: str) -> Path:
        """The socket at which programs attach to a node."""
        return door(self.path, node)

    def check(self, nodes: Callable[[], Iterable[str]]) -> None:
        """Raise BadInput if a socket's path would be too long; ``nodes`` names those that will have doors, and is only
        asked where a name may decide it."""
        sockets = [self.control]
        if _too_long(self.door("n" * LONGEST_NAME)):
            sockets += map(self.door, nodes())
        for path in sockets:
            if _too_long(path):
                problem = "it is too long for the path of a socket in it"
                raise BadInput(self.path.parent, "--dir", problem, "name a folder with a shorter path")

    @property
    def about(self) -> dict[str, Any]:
        """What its keeper says of it: pid, scenario, out, clock; nothing if it never came up."""
        try:
            found: dict[str, Any] = json.loads(self._about.read_text())
        except (OSError, ValueError):
            return {}
        return found

    def write_about(self, facts: dict[str, Any]) -> None:
        draft = self._about.with_suffix(".tmp")
        draft.write_text(json.dumps(facts, indent=2) + "\n")
        draft.replace(self._about)

    def held(self) -> bool:
        """Whether its keeper lives."""
        return held(self.lock)

    def fell(self, trouble: str) -> None:
        """Its keeper leaves word of why it ends, though nobody has asked it to."""
        self.write_about(self.about | {"trouble": trouble})

    @property
    def fall(self) -> Fall | None:
        """Of a testbed that was up and ended unasked; None if it is up, has been ended, or never was."""
        about = self.about
        if not about or self.held():
            return None
        trouble = about.get("trouble") or f"its keeper, process {about.get('pid')}, was killed"
        out = shlex.quote(str(about.get("out")))
        return Fall(trouble, f"its trace: {program()} trace {out}")

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Be its keeper.  Raises BadInput if another is."""
        descriptor = self._locked()
        try:
            self._sweep()
            (self.path / "attach").mkdir(mode=0o700)
            yield
        finally:
            self._sweep(all_of_it="trouble" not in self.about)
            with suppress(OSError):
                self.lock.unlink()
                self.path.rmdir()
            os.close(descriptor)

    def clear(self) -> None:
        """Sweep away what a keeper that was killed has left.  Raises BadInput if one lives."""
        with self.hold():
            pass

    def _locked(self) -> int:
        while True:
            try:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
                descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise BadInput(self.path, "--dir", error.strerror or str(error), "name another folder") from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_lock(descriptor):
                    return descriptor
            except BlockingIOError:
                os.close(descriptor)
                remedy = f"give this one a --name, or end it: {program()} down"
                raise BadInput(self.name, "testbed", "one of that name is up", remedy) from None
            os.close(descriptor)  # its keeper has just taken the file away: once more

    def _is_lock(self, descriptor: int) -> bool:
        """Whether the file that we have open is the one that others will find."""
        try:
            return os.path.samestat(os.fstat(descriptor), self.lock.stat())
        except OSError:
            return False

    def _sweep(self, all_of_it: bool = True) -> None:
        for path in (self.control, *([self._about] if all_of_it else [])):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.path / "attach", ignore_errors=True)


def _too_long(socket: Path) -> bool:
    return len(os.fsencode(os.path.realpath(socket))) > LONGEST_PATH


def place(name: str, folder: Path | None = None) -> Place:
    """Where the testbed of that name is, or is to be.  Raises BadInput for what is no name."""
    if not _NAME.fullmatch(name):
        remedy = "take letters, digits, - and _, at most 40"
        raise BadInput("command line", "--name", f"{name!r:.60} cannot be a testbed's name", remedy)
    return Place((folder or base()) / name)


def standing(folder: Path | None = None) -> list[Place]:
    """All testbeds that are up, by name."""
    return [Place(path) for path in up(folder or base())]


def fallen(folder: Path | None = None) -> list[Place]:
    """Those that were up and have ended unasked, and whose names nobody has taken since."""
    where = folder or base()
    try:
        found = [Place(path) for path in sorted(where.iterdir()) if path.is_dir()]
    except OSError:
        return []
    return [one for one in found if one.fall]


def the_one(name: str | None, folder: Path | None = None) -> Place:
    """The testbed of that name; without a name the only one that is up.  Raises BadInput."""
    there = standing(folder)
    names = ", ".join(one.name for one in there)
    if name is not None:
        for one in there:
            if one.name == name:
                return one
        if fall := place(name, folder).fall:
            raise BadInput(name, "testbed", fall.problem, fall.remedy)
        remedy = f"there is {names}" if there else f"start one: {program()} up SCENARIO"
        raise BadInput("command line", "--testbed", f"no testbed {name!r:.60} is up", remedy)
    if not there:
        for one in fallen(folder):
            if fall := one.fall:
                raise BadInput(one.name, "testbed", fall.problem, fall.remedy)
        raise BadInput("this machine", "testbed", "none is up", f"start one: {program()} up SCENARIO")
    if len(there) > 1:
        raise BadInput("command line", "--testbed", f"{len(there)} testbeds are up", f"say which: {names}")
    return there[0]


__all__ = ["LONGEST_PATH", "Fall", "Place", "base", "fallen", "place", "standing", "the_one"]
