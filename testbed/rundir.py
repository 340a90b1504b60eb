"""The folder a run leaves behind: its layout, making and clearing it, and writing its JSON documents.

    report.json  report.html  trace.pcapng  events.jsonl  run.json  inputs.jsonl  keys.json  mqtt.json
    telegate.svg  sync-error.svg  cutoffs.svg
    logs/NODE.log  journals/NODE.jsonl (of controllers)  .spool/ (while it runs)

What stands in a report is the business of those who measure; here it is only put into one form: equal results
make equal bytes, and no reader ever meets half a document.
"""

import contextlib
import errno
import fcntl
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import NamedTuple

from stack.record import RESULT_SUFFIX, SPOOL_SUFFIX, spool_name
from testbed.errors import BadInput

REPORT_SCHEMA = "bellwire.report/1"

_FILES = (
    "report.json", "report.html", "trace.pcapng", "events.jsonl", "run.json", "inputs.jsonl", "keys.json",
    "mqtt.json", "telegate.svg", "sync-error.svg", "cutoffs.svg",
)  # fmt: skip
_FOLDERS = {"logs": (".log",), ".spool": (SPOOL_SUFFIX, RESULT_SUFFIX), "journals": (".jsonl", ".jsonl.tmp")}
"""And the endings of what a run puts there."""
_LATER = "journals"
"""Made by the first node that has something to write there."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EBADF)
"""Said of a lock by file systems that have none for folders."""
_FILE_NAME = re.compile(r"[\w-][\w.-]*")


class Figure(NamedTuple):
    """One measured figure of a report. `stderr` is None where none can be given."""

    name: str
    subject: str
    value: float | None
    unit: str
    n: int
    stderr: float | None = None


class RunFolder:
    """The paths in a run folder, and what is written there by the launcher itself."""

    def __init__(self, path: Path) -> None:
        """An existing run folder, as it is. A new run calls `create`."""
        self.path = path
        self.report = path / "report.json"
        self.trace = path / "trace.pcapng"
        self.events = path / "events.jsonl"
        self.run = path / "run.json"
        self.inputs = path / "inputs.jsonl"
        self.keys = path / "keys.json"
        self.mqtt = path / "mqtt.json"
        self.page = path / "report.html"
        self.telegate = path / "telegate.svg"
        self.logs = path / "logs"
        self.spools = path / ".spool"
        self.journals = path / _LATER

    @classmethod
    def create(cls, path: Path, force: bool = False) -> "RunFolder":
        """Make the folder for a new run; what is missing above it is made too.

        A folder with anything in it is refused, unless `force`: then the files a run makes, and no others,
        are removed. Nothing is removed if a run's name is taken by something a run does not make, such as a
        symbolic link. Raises BadInput where the folder cannot be had.
        """
        try:
            _make(path)
            if any(path.iterdir()):
                if not force:
                    raise BadInput(
                        str(path),
                        "output folder",
                        "it is not empty",
                        "name another folder, or give --force to replace the run in it",
                    )
                _clear(path)
            for name in _FOLDERS.keys() - {_LATER}:
                (path / name).mkdir(exist_ok=True)
        except OSError as error:
            raise _unusable(path, error) from error
        return cls(path)

    @staticmethod
    @contextlib.contextmanager
    def taken(path: Path) -> Iterator[None]:
        """Have the folder, which is made if need be, for one run alone.  Raises BadInput if another run has it."""
        try:
            _make(path)
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                remedy = "name another one, or end that run first"
                raise BadInput(str(path), "output folder", "a run that has not ended writes there", remedy) from None
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise _unusable(path, error) from error
            yield
        finally:
            os.close(descriptor)

    def log(self, node: str) -> Path:
        """Where the output of the process called `node` goes."""
        return self.logs / f"{_checked(node)}.log"

    def spool(self, node_number: int, incarnation: int) -> Path:
        """Where one incarnation of a node writes its records."""
        return self.spools / spool_name(node_number, incarnation)

    def room(self) -> int:
        """How many bytes its disk has left."""
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize

    def drop_spools(self) -> None:
        """Remove the spools, after a complete merge."""
        _remove_files(self.spools, _FOLDERS[".spool"])
        with contextlib.suppress(OSError):  # somebody put something else there
            self.spools.rmdir()

    def write_report(self, scenario: str, seed: int, figures: Sequence[Figure], **sections: object) -> None:
        """Write report.json. `sections` (counts, ...) follow the figures in alphabetical order."""
        write_json(self.report, report_document(scenario, seed, figures, **sections))

    def write_run(self, facts: Mapping[str, object]) -> None:
        """Write run.json, the one place for wall-clock facts, paths and versions."""
        write_json(self.run, facts)

    def write_operator(self, broker: str, user: str, password: str) -> None:
        """Write mqtt.json, likewise: who may give commands at the embedded broker."""
        write_json(self.mqtt, {"broker": broker, "user": user, "password": password}, mode=0o600)

    def write_keys(self, keys: Mapping[str, Mapping[str, str]]) -> None:
        """Write keys.json, for nobody else's eyes: node to peer to their secret key, hexadecimal."""
        write_json(self.keys, keys, mode=0o600)


def report_document(
    scenario: str, seed: int, figures: Sequence[Figure], **sections: object
) -> dict[str, object]:
    """The report as JSON values: numbers rounded to 9 significant digits, keys in an order of their own.

    Equal figures so give equal bytes, in whatever order a mapping was filled. Raises ValueError for NaN and
    infinities, TypeError for what JSON does not know; both name the place.
    """
    head = {"schema": REPORT_SCHEMA, "scenario": scenario, "seed": seed}
    if taken := sections.keys() & (head.keys() | {"figures"}):
        raise ValueError(f"a report's section may not be called {min(taken)}")
    rows = [
        {key: _plain(value, f"figures[{index}].{key}") for key, value in figure._asdict().items()}
        for index, figure in enumerate(figures)
    ]
    return head | {"figures": rows} | {key: _plain(sections[key], key) for key in sorted(sections)}


def write_json(path: Path, document: Mapping[str, object] | Sequence[object], mode: int = 0o644) -> None:
    """Put a JSON document in the place of `path` at once: a reader finds the old one or the new one, whole.
    `mode` are its permissions, less what the umask takes.

    Raises ValueError for NaN and infinities, OSError when it cannot be written; the old document then stays.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    draft = path.with_name(f".{path.name}.tmp")
    draft.unlink(missing_ok=True)  # one that is left over would keep its permissions
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _plain(value: object, place: str) -> object:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):  # numpy's integers too
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(f"the report's {place} is {number}, which is no figure")
        return float(f"{number:.9g}") + 0.0  # + 0.0 makes -0.0 plain zero
    if isinstance(value, Mapping):
        return {key: _plain(value[key], f"{place}.{key}") for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
    raise TypeError(f"the report's {place} is a {type(value).__name__}, which JSON does not know")


def _make(path: Path) -> None:
    """Raises BadInput for what is there and is no folder, OSError if it cannot be made."""
    if path.exists() and not path.is_dir():
        raise BadInput(str(path), "output folder", "it is not a folder", "name another one")
    path.mkdir(parents=True, exist_ok=True)


def _unusable(path: Path, error: OSError) -> BadInput:
    problem = f"it cannot be used ({error.strerror or error})"
    return BadInput(str(path), "output folder", problem, "name a folder that can be written to")


def _clear(folder: Path) -> None:
    """Remove the files a run makes from `folder`; look at everything before removing anything."""
    for name in (*_FILES, *_FOLDERS):
        try:
            mode = (folder / name).lstat().st_mode
        except FileNotFoundError:
            continue
        if not (stat.S_ISDIR(mode) if name in _FOLDERS else stat.S_ISREG(mode)):
            kind = "a symbolic link" if stat.S_ISLNK(mode) else "not what a run makes there"
            raise BadInput(str(folder), name, f"it is {kind}", "remove it yourself, or name another folder")
    for name, endings in _FOLDERS.items():
        if (folder / name).exists():
            _remove_files(folder / name, endings)
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)
        (folder / f".{name}.tmp").unlink(missing_ok=True)


def _remove_files(folder: Path, endings: tuple[str, ...]) -> None:
    """Remove the regular files with those endings from `folder`, which must not be a symbolic link."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with os.scandir(descriptor) as entries:
            names = [
                entry.name
                for entry in entries
                if entry.name.endswith(endings) and entry.is_file(follow_symlinks=False)
            ]
        for name in names:
            os.unlink(name, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _checked(name: str) -> str:
    if not _FILE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be part of a file's name")
    return name
