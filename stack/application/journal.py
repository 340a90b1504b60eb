"""A controller's journal: what it writes down of its jobs, on the disk that outlives it.

What may live here: the file, and records as lines of it.  What the records mean is ``protocols.job.book``.

The file is appended to, a line of JSON for each record, with one write before anything that follows from the record
is sent.  What has been written survives the end of the process, however sudden; a power cut of the machine ends the
whole testbed, so nothing waits for the platters.

When it has grown long it is written anew, shorter, beside the old one, and takes its place at one stroke: whoever dies
meanwhile leaves one or the other.
"""

import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import fields
from typing import Any, Final

from protocols.job.book import (
    Accepted,
    Counted,
    Freed,
    Job,
    Numbered,
    Over,
    Placed,
    Placing,
    Record,
    Retold,
    Unplaced,
    Unwanted,
)
from protocols.job.service import Order
from protocols.job.states import JobState
from stack.application.compiler.circuit import Circuit

LONG: Final = 1 << 18
"""Bytes.  A shorter journal is left as it is; one that was shortened, until it is twice as long as then."""

_CHANGES = (Accepted, Placed, Counted, Freed, Unplaced, Unwanted, Over)
_KINDS = {kind.__name__.lower(): kind for kind in (*_CHANGES, Numbered, Retold)}


class Journal:
    """``path``: its file, or nothing: then nothing is kept."""

    def __init__(self, path: str, anew: bool, full: Callable[[], bool] = lambda: False) -> None:
        """``anew``: it begins empty, whatever lies there.  ``full``: whether the disk is to be taken for full."""
        self.trouble = ""
        """Why what was last written is not on the disk, if it is not: the next write tries again."""
        self.damaged = 0
        """Lines that could not be read."""
        self._path = path
        self._full = full
        self._beside = f"{path}.tmp"
        self._size = 0
        self._long = LONG
        self._waiting = b""
        if not path:
            return
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(self._beside)
        if anew:
            with suppress(FileNotFoundError, NotADirectoryError):
                os.truncate(path, 0)
        if os.path.exists(path):
            self._size = os.stat(path).st_size

    def records(self) -> Iterator[Record]:
        """All that earlier lives have written, in order.  What death has left of a last line is written over.  Raises
        OSError for what cannot be read: to go on as if nothing had been would lose it."""
        if not self._path or not os.path.exists(self._path):
            return
        with open(self._path, "rb") as file:
            told = file.read()
        self._size = told.rfind(b"\n") + 1
        if self._size < len(told):
            os.truncate(self._path, self._size)
        for line in told[: self._size].splitlines():
            try:
                yield _read(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError):
                self.damaged += 1

    def write(self, record: Record) -> None:
        """Never fails: see ``trouble``."""
        if self._path:
            self._waiting += _line(record)
            self.catch_up()

    def catch_up(self) -> None:
        """Write what waits for room; ``trouble`` says whether there is any."""
        try:
            self._check_room()
            if self._waiting:
                os.makedirs(os.path.dirname(self._path), exist_ok=True)
                self._append()
        except OSError as error:
            self.trouble = error.strerror or str(error)
        else:
            self.trouble = ""

    def shorten(self, records: Callable[[], Iterable[Record]]) -> None:
        """If it has grown long, put these in its place, which are worth as much as all that has been written.  Never
        fails: where there is no room for a second one the first stays.  So does one that is damaged, for people."""
        if not self._path or self._size < self._long or self._waiting or self.damaged:
            return
        told = b"".join(_line(record) for record in records())
        try:
            self._check_room()
            with open(self._beside, "wb") as file:
                file.write(told)
            os.replace(self._beside, self._path)
        except OSError:
            with suppress(OSError):
                os.unlink(self._beside)
        else:
            self._size = len(told)
        self._long = max(LONG, 2 * self._size)

    def _check_room(self) -> None:
        """Raises OSError."""
        if self._full():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _append(self) -> None:
        """Raises OSError, and has written some of it then."""
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            while self._waiting:
                done = os.pwrite(file, self._waiting, self._size)
                self._waiting = self._waiting[done:]
                self._size += done
        finally:
            os.close(file)


def _line(record: Record) -> bytes:
    return json.dumps(_facts(record), separators=(",", ":")).encode() + b"\n"


def _facts(record: Record) -> dict[str, Any]:
    """As JSON."""
    facts: dict[str, Any] = {"is": type(record).__name__.lower()}
    if isinstance(record, Retold):
        facts |= {field.name: getattr(record.known, field.name) for field in fields(Job)}
        facts["placings"] = [placing._asdict() for placing in record.known.placings]
    else:
        facts |= record._asdict()
    if isinstance(record, Accepted | Retold):
        circuit = facts["order"].circuit
        facts["order"] = facts["order"]._asdict() | {"circuit": None if circuit is None else circuit.to_json()}
    if isinstance(record, Over | Retold):
        facts["state"] = facts["state"].name
    return facts


def _read(facts: dict[str, Any]) -> Record:
    """Raises ValueError, TypeError, KeyError or AttributeError for what is none."""
    kind = _KINDS[facts.pop("is")]
    if kind is Accepted or kind is Retold:
        order, circuit = facts["order"], facts["order"]["circuit"]
        facts["order"] = Order(**order | {"circuit": None if circuit is None else Circuit.from_json(circuit)})
    if kind is Over or kind is Retold:
        facts["state"] = JobState[facts["state"]]
    if kind is Placed:
        facts["nodes"] = tuple(facts["nodes"])
    elif kind is Counted:
        facts["counts"] = tuple((key, number) for key, number in facts["counts"])
    elif kind is Retold:
        facts["placings"] = [_placing(**placing) for placing in facts["placings"]]
        return Retold(Job(**facts))
    return kind(**facts)


def _placing(nodes: list[int], freed_ps: list[int | None], **others: Any) -> Placing:
    return Placing(nodes=tuple(nodes), freed_ps=tuple(freed_ps), **others)
