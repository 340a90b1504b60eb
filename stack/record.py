"""What a node writes down while it runs: every frame and every protocol event, in one spool per incarnation.

Only the writing side and the layout of the spool may live here. The spool is compact and belongs to one run;
making pcapng and JSON lines of it is the work of the lab (`testbed.trace`), after the run and off the hot
path.

A spool survives the death of its process. It is a shared memory mapping, so what was stored is in the
kernel's page cache and `kill -9` loses nothing of it (a power cut may). The file is grown with
posix_fallocate *before* it is mapped: a full disk is then a clean OSError here, where writing into a sparse
mapping would be a SIGBUS anywhere. A node works on without it: what finds no room is counted, not written, and
when there is room again a record says how much is missing.

Layout (in the machine's byte order: no spool leaves it). The file starts with `SPOOL_HEADER`; records follow,
each at a multiple of 4:

    length u32 | kind u8 | note length u8 | payload length u16 | counter u32 |
    t_ps u64 | source u16 | destination u16,
    then of a frame: payload, note (UTF-8); of an event: marshal of (layer, event, fields);
    then bytes without meaning up to a multiple of 4

The length counts the whole record and is stored *last*, as one aligned word: a record is there in full or not
at all, also for a reader that looks while the writer lives. A length of zero, or the end of the file, ends
the spool.
"""

import errno
import marshal
import mmap
import os
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

RESULT_SUFFIX = ".result"
"""Ending of the file in which a node leaves its results, in the folder of the spools."""

SPOOL_SUFFIX = ".spool"

SPOOL_MAGIC = b"BELLSPL1"
SPOOL_HEADER = struct.Struct("=8sHHI")  # magic, node number, incarnation, reserved (0)
RECORD_HEAD = struct.Struct("=IBBHIQHH")  # as above, the length included
RECORD_SENT, RECORD_RECEIVED, RECORD_EVENT = 1, 2, 3
# The keys every line of events.jsonl begins with.
RESERVED_KEYS = frozenset(("t_ps", "node", "layer", "event"))

WINDOW_BYTES = 1 << 20
"""So much a spool takes at a time."""

NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""The disk is full, a quota is used up, a file may grow no more."""

_GAP_BYTES = 128
"""At least what the record takes that says how many are missing."""
_PATIENCE = 100
"""So many more records are missing before another tries: trying costs as much as writing some."""

_LENGTH = struct.Struct("=I")
_AFTER_LENGTH = struct.Struct("=BBHIQHH")
_HEAD = RECORD_HEAD.size
_PLAIN = frozenset((int, str, bool))
# marshal's version 2 has no back references: nothing to gain for small tuples, and they cost time.
_MARSHAL = 2


def spool_name(node_number: int, incarnation: int, part: str = "") -> str:
    """The file name of a spool; `part` tells apart what others say of the same incarnation (its death)."""
    return f"{node_number:05}-{incarnation:05}{part}{SPOOL_SUFFIX}"


def whole_records(part: bytes) -> int:
    """How many bytes of this part of a spool, which begins where the spool or a record of it does, hold records that
    are there in full (and the spool's head)."""
    at = 0
    if part.startswith(SPOOL_MAGIC):
        if len(part) < SPOOL_HEADER.size:
            return 0
        at = SPOOL_HEADER.size
    while at + _LENGTH.size <= len(part):
        (length,) = _LENGTH.unpack_from(part, at)
        if not length or at + length > len(part):
            break
        at += length
    return at


class Recorder:
    """The spool of one incarnation of one node.

    Times are true times in picoseconds and never decrease within one recorder; with the counter, which frames
    and events share, they give the merged trace its order: (t_ps, node, incarnation, counter).

    Where there is no room (the disk is full, a quota or a limit of file size is met) a record is not written and
    counts as `missing`; all earlier ones stay. Now and then a later one tries again. When it succeeds, an event
    `lab not recorded` stands before it.
    """

    __slots__ = (
        "_at",
        "_base",
        "_closed",
        "_counter",
        "_end",
        "_header",
        "_held",
        "_last_ps",
        "_map",
        "_path",
        "_size",
        "_tries_at",
        "_window",
        "_words",
        "missing",
    )

    def __init__(self, path: str | Path, node_number: int, incarnation: int, window: int = WINDOW_BYTES) -> None:
        """Make the spool file `path`, which must not exist yet. `window` bytes of it are mapped at a time."""
        if window <= 0 or window % mmap.ALLOCATIONGRANULARITY:
            raise ValueError(
                f"the window must be a multiple of {mmap.ALLOCATIONGRANULARITY} bytes, not {window}"
            )
        self._header = SPOOL_HEADER.pack(SPOOL_MAGIC, node_number, incarnation, 0)
        self.missing = 0
        """Records that found no room and of which the spool does not say so yet."""
        self._held = False
        self._tries_at = 0
        self._path = os.path.abspath(path)
        self._window = window
        self._closed = False
        self._map: mmap.mmap | None = None
        self._words = memoryview(b"")
        self._base = 0  # where in the file the mapped window begins
        self._at = 0  # where in the window the next record goes
        self._size = 0  # of the window
        self._end = 0  # where it ends; 0 when there is none, or no room, so that the next record asks for it
        self._counter = 0
        self._last_ps = 0
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644))
            self._next_window(0)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise

    def frame(
        self, t_ps: int, received: bool, source: int, destination: int, payload: bytes, note: str = ""
    ) -> None:
        """Write down one frame as sent, or as received. `note`: what the emulator did to it, e.g. "lost"."""
        size = len(payload)
        if note:
            tail = note.encode()
            payload = payload + tail
            noted = len(tail)
        else:
            noted = 0
        at = self._at
        body = at + _HEAD
        length = (_HEAD + size + noted + 3) & ~3
        memory = self._map
        if memory is None or at + length > self._end:
            found = self._room(t_ps, length)
            if found is None:
                return
            memory = found
            at = self._at
            body = at + _HEAD
        if t_ps < self._last_ps:
            raise ValueError(f"a frame at {t_ps} ps was recorded after something at {self._last_ps} ps")
        _AFTER_LENGTH.pack_into(
            memory,
            at + 4,
            RECORD_RECEIVED if received else RECORD_SENT,
            noted,
            size,
            self._counter,
            t_ps,
            source,
            destination,
        )
        memory[body : body + size + noted] = payload
        self._words[at >> 2] = length  # last: now the record exists
        self._at = at + length
        self._counter += 1
        self._last_ps = t_ps

    def event(self, t_ps: int, layer: str, name: str, /, **fields: int | str | bool) -> None:
        """Write down one protocol event; `fields` appear in the order of the call."""
        if not (_PLAIN.issuperset(map(type, fields.values())) and RESERVED_KEYS.isdisjoint(fields)):
            fields = _made_plain(layer, name, fields)
        body = marshal.dumps((layer, name, fields), _MARSHAL)
        at = self._at
        size = len(body)
        length = (_HEAD + size + 3) & ~3
        memory = self._map
        if memory is None or at + length > self._end:
            found = self._room(t_ps, length)
            if found is None:
                return
            memory = found
            at = self._at
        if t_ps < self._last_ps:
            raise ValueError(f"an event at {t_ps} ps was recorded after something at {self._last_ps} ps")
        _AFTER_LENGTH.pack_into(memory, at + 4, RECORD_EVENT, 0, 0, self._counter, t_ps, 0, 0)
        memory[at + _HEAD : at + _HEAD + size] = body
        self._words[at >> 2] = length
        self._at = at + length
        self._counter += 1
        self._last_ps = t_ps

    def hold(self, full: bool) -> None:
        """Take the disk for full from now on, or no longer."""
        self._held = full
        self._end = 0  # the next record asks for room

    @property
    def full(self) -> bool:
        """Whether the disk is taken for full."""
        return self._held

    def end(self) -> None:
        """The run is over: if records are missing, say so where the last one stands; and close."""
        if self.missing and not self._closed:
            self._held, self._tries_at = False, 0
            self._room(self._last_ps, 0)
        self.close()

    def close(self) -> None:
        """Cut the file to what was written. A recorder that was never closed only leaves zeros at its end."""
        if not self._closed:
            self._closed = True
            self._unmap()
            if os.path.exists(self._path):  # a full disk may have had no room for its name
                os.truncate(self._path, self._base + self._at)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _room(self, t_ps: int, needed: int) -> mmap.mmap | None:
        """Where the next `needed` bytes go; None: there is no room, and the record is missing."""
        if self._closed:
            raise ValueError("the recorder is closed")
        if self._held or self.missing < self._tries_at:
            self.missing += 1
            return None
        missing = self.missing
        try:
            if self._map is None or self._at + needed + _GAP_BYTES > self._size:
                self._next_window(needed + _GAP_BYTES)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self._end = 0
            self.missing += 1
            self._tries_at = self.missing + _PATIENCE
            return None
        self._end = self._size
        self.missing = self._tries_at = 0
        if missing:
            self.event(t_ps, "lab", "not recorded", records=missing)
        return self._map

    def _next_window(self, needed: int) -> mmap.mmap:
        """Allocate and map where the next `needed` bytes go; on OSError nothing has changed."""
        new = not self._base + self._at
        needed += len(self._header) if new else 0
        position = self._base + self._at
        base = position - position % mmap.ALLOCATIONGRANULARITY
        size = -(-(position - base + needed) // self._window) * self._window
        # The file is opened anew each time, so that a recorder holds one descriptor (the mapping's) and not
        # two: hundreds of nodes may live in one process.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            os.posix_fallocate(descriptor, base, size)
            memory = mmap.mmap(descriptor, size, offset=base)
        finally:
            os.close(descriptor)
        self._unmap()
        self._map = memory
        self._words = memoryview(memory).cast("I")
        self._base, self._at, self._end, self._size = base, position - base, size, size
        if new:
            self._at = len(self._header)
            memory[: self._at] = self._header
        return memory

    def _unmap(self) -> None:
        if self._map is not None:
            self._words.release()
            self._map.close()
            self._map = None


class NullRecorder:
    """A recorder for runs without traces: takes everything, keeps nothing."""

    __slots__ = ()
    full = False

    def frame(
        self, t_ps: int, received: bool, source: int, destination: int, payload: bytes, note: str = ""
    ) -> None:
        """Do nothing."""

    def event(self, t_ps: int, layer: str, name: str, /, **fields: int | str | bool) -> None:
        """Do nothing."""

    def hold(self, full: bool) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def _made_plain(layer: str, name: str, fields: dict[str, int | str | bool]) -> dict[str, int | str | bool]:
    """Turn members of IntEnum and StrEnum into their values; all else not plain is an error of ours."""
    plain: dict[str, int | str | bool] = {}
    for key, value in fields.items():
        if key in RESERVED_KEYS:
            raise ValueError(f"event {layer}.{name}: a field may not be called {key}")
        if isinstance(value, bool):
            plain[key] = value
        elif isinstance(value, int):
            plain[key] = int(value)
        elif isinstance(value, str):
            plain[key] = str.__str__(value)
        else:
            raise TypeError(
                f"event {layer}.{name}: field {key} is a {type(value).__name__}, not int, str or bool"
            )
    return plain
