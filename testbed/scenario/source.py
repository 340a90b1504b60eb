"""YAML as a tree whose every item knows its file, line and path, so that an error can say where it is.

What may live here: reading text files and YAML that a person wrote, whatever is wrong with them. Nothing here
knows what a scenario is. The tree is built from PyYAML's events, not by its constructors: those lose the
lines, accept duplicate keys, follow aliases without bound and read `no` as False and `1e-3` as text.
"""

import hashlib
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import yaml

from testbed.errors import BadInput, Place, shown

MAX_BYTES = 1 << 20
"""More than any scenario or circuit written by hand or by a sensible program."""
MAX_ITEMS = 100_000
MAX_DEPTH = 32

# YAML 1.2's core schema, with decimal integers only. YAML 1.1 would make 1e-3 a text and `on` a truth value.
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".inf": float("inf"), ".Inf": float("inf"), ".INF": float("inf"), "+.inf": float("inf"),
    "-.inf": float("-inf"), ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """One value of a YAML file. `value` is None, bool, int, float, str, list[Item] or dict[str, Item]."""

    file: str
    line: int
    path: str
    value: object

    @property
    def place(self) -> Place:
        return Place(self.file, f"line {self.line}" + (f", {self.path}" if self.path else ""))

    def bad(self, problem: str, remedy: str) -> BadInput:
        return self.place.bad(problem, remedy)


_noted: ContextVar[dict[str, str] | None] = ContextVar("noted", default=None)


@contextmanager
def noted() -> Iterator[dict[str, str]]:
    """What is read meanwhile: the path of each file, and the SHA-256 of what was in it."""
    found: dict[str, str] = {}
    token = _noted.set(found)
    try:
        yield found
    finally:
        _noted.reset(token)


def digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def read_text(path: Path, kind: str, named_at: Place | None = None) -> str:
    """The text of a file that a person named; `kind` is what it should be ("scenario", "circuit").

    Raises BadInput: at `named_at`, where its name was written, if it cannot be opened; otherwise in the file.
    """
    opening = named_at or Place(str(path), "whole file")
    subject = "it" if named_at is None else f"the {kind} {str(path)!r}"
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise opening.bad(f"{subject} is a directory", f"name the {kind} file inside it")
        # Opening a pipe would wait for its writer for ever, and a device may have no end.
        if not stat.S_ISREG(status.st_mode):
            raise opening.bad(f"{subject} is not an ordinary file", f"name a {kind} file")
        if status.st_size > MAX_BYTES:
            raise opening.bad(f"{subject} has {status.st_size} bytes", f"a {kind} has at most {MAX_BYTES}")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise opening.bad(f"{subject} does not exist", "check the path") from None
    except PermissionError:
        raise opening.bad(f"{subject} may not be read", "change its permissions") from None
    except (OSError, ValueError) as error:
        # ValueError: a name with a NUL in it.
        reason = getattr(error, "strerror", None) or str(error)
        raise opening.bad(f"{subject} cannot be read ({reason})", "check the path") from None
    if (found := _noted.get()) is not None:
        found[str(path.resolve())] = digest(raw)
    return _decode(path, kind, raw)


def _decode(path: Path, kind: str, raw: bytes) -> str:
    def at(offset: int) -> Place:
        return Place(str(path), f"line {raw.count(b'\n', 0, offset) + 1}")

    if len(raw) > MAX_BYTES:
        raise at(0).bad("the file grows while it is read", f"name a {kind} file")
    if not raw.strip(b" \t\r\n\xef\xbb\xbf"):
        raise at(0).bad("the file is empty", f"write a {kind} into it, or name another file")
    binary = re.search(rb"[\x00-\x08\x0e-\x1f\x7f]", raw)
    if binary:
        raise at(binary.start()).bad(
            f"the file is binary (byte 0x{raw[binary.start()]:02x})", f"name a {kind} in plain text"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise at(error.start).bad(
            f"the file is not UTF-8 (byte 0x{raw[error.start]:02x})", "save it as UTF-8 text"
        ) from None


def load_yaml(path: Path, kind: str, named_at: Place | None = None) -> Item:
    """The tree of a YAML file with one document in it; raises BadInput."""
    file = str(path)
    text = read_text(path, kind, named_at)
    try:
        return _Composer(file, kind, text).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "line 1"
        problem = error.problem or error.context or "a mistake"
        remedy = "indent with spaces, not tabs" if r"'\t'" in problem else "correct the YAML there"
        raise BadInput(file, where, f"not YAML: {problem}", remedy) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BadInput(file, f"line {line}", f"not YAML: {error.reason}", "remove that character") from None
    except yaml.YAMLError as error:
        raise BadInput(file, "line 1", f"not YAML: {error}", "correct it") from None


class _Composer:
    def __init__(self, file: str, kind: str, text: str) -> None:
        self._file = file
        self._kind = kind
        self._events: Iterator[yaml.Event] = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        self._items = 0

    def document(self) -> Item:
        next(self._events)  # the stream's start
        event = next(self._events)
        if not isinstance(event, yaml.DocumentStartEvent):
            raise BadInput(
                self._file, "line 1", "the file holds nothing but comments", f"write a {self._kind} into it"
            )
        root = self._value(next(self._events), "", None, 0)
        next(self._events)  # the document's end
        event = next(self._events)
        if isinstance(event, yaml.DocumentStartEvent):
            raise BadInput(
                self._file, f"line {_line(event)}", "a second document starts here",
                f"keep one {self._kind} in a file",
            )  # fmt: skip
        return root

    def _value(self, event: yaml.Event, path: str, line: int | None, depth: int) -> Item:
        here = Item(self._file, _line(event) if line is None else line, path, None)
        self._items += 1
        if self._items > MAX_ITEMS:
            raise here.bad(f"the file has more than {MAX_ITEMS} values", f"make the {self._kind} smaller")
        if depth > MAX_DEPTH:
            raise here.bad(f"values nested more than {MAX_DEPTH} deep", "take the needless brackets out")
        # Refused, not bounded: a few aliases of aliases stand for billions of values.
        if isinstance(event, yaml.AliasEvent):
            raise here.bad(f"the alias *{event.anchor} is not accepted", "write the value out")
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            raise here.bad(f"the anchor &{event.anchor} is not accepted", "write the value out where needed")
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            raise here.bad(f"the tag {shown(tag)} is not accepted", "write the plain value")
        if isinstance(event, yaml.ScalarEvent):
            value = plain(event.value) if event.implicit[0] and event.style is None else event.value
            return Item(here.file, here.line, path, value)
        if isinstance(event, yaml.SequenceStartEvent):
            return Item(here.file, here.line, path, self._sequence(path, depth))
        return Item(here.file, here.line, path, self._mapping(path, depth))

    def _sequence(self, path: str, depth: int) -> list[Item]:
        items: list[Item] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, f"{path}[{len(items)}]", None, depth + 1))
        return items

    def _mapping(self, path: str, depth: int) -> dict[str, Item]:
        entries: dict[str, Item] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = _line(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise Item(self._file, line, path, None).bad(
                    "a key that is not a name", "write `name: value`"
                )
            key = event.value
            below = f"{path}.{key}" if path else key
            if key in entries:
                raise Item(self._file, line, below, None).bad(
                    f"{shown(key)} stands here twice, first in line {entries[key].line}",
                    "rename or remove one of the two",
                )
            # An item is where its key is: that is the line a person looks for.
            entries[key] = self._value(next(self._events), below, line, depth + 1)
        return entries


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1


def plain(text: str) -> bool | int | float | str | None:
    """What an unquoted YAML scalar means."""
    if text in _SPECIAL:
        return _SPECIAL[text]
    # int() refuses thousands of digits; no number of ours needs thirty.
    if _INTEGER.fullmatch(text) and len(text) <= 30:
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
