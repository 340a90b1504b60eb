"""Reading the spools that `stack.record` writes, one at a time; their order is the merger's.

A spool may end in anything: its process may have been killed, or still be writing. Reading takes what is
there in full. It never maps the file, because a process that closes its spool cuts it, and a mapping past the
end is a SIGBUS.
"""

import marshal
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stack.record import RECORD_EVENT, RECORD_HEAD, RECORD_RECEIVED, RECORD_SENT, SPOOL_HEADER, SPOOL_MAGIC

_READ = 1 << 16  # bytes per read: what one spool costs in memory while many are merged


class SpoolFrame(NamedTuple):
    """A frame as sent or as received by the spool's node."""

    t_ps: int
    counter: int
    received: bool
    source: int
    destination: int
    payload: bytes
    note: str


class SpoolEvent(NamedTuple):
    """A protocol event of the spool's node."""

    t_ps: int
    counter: int
    layer: str
    name: str
    fields: dict[str, int | str | bool]


class Spool:
    """One spool file: whose it is, and its records.

    `empty` is a file whose process died before the header was stored: no node or incarnation is known of it.
    `torn` becomes true when the reading met a record that is not whole; all before it were given out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb", buffering=0) as file:
            header = file.read(SPOOL_HEADER.size)
        self.empty = not header.strip(b"\0")
        self.torn = False
        self.read_to = 0
        """Where in the file the first record begins that was not given out."""
        self.node = self.incarnation = 0
        if not self.empty:
            if len(header) == SPOOL_HEADER.size:
                magic, self.node, self.incarnation, _ = SPOOL_HEADER.unpack(header)
            self.torn = len(header) < SPOOL_HEADER.size or magic != SPOOL_MAGIC

    def records(self, start: int = 0) -> Iterator[SpoolFrame | SpoolEvent]:
        """Every whole record, in the order written, up to the first that is not.  ``start``: an earlier `read_to` of
        the same file; 0: its beginning."""
        if self.empty or self.torn:
            return
        position = self.read_to = start or SPOOL_HEADER.size  # where in the file `buffer` begins
        buffer = b""
        at = 0
        last_ps = 0
        while True:
            if len(buffer) - at < RECORD_HEAD.size:
                position += at
                buffer, at = self._read(position, _READ), 0
                if len(buffer) < RECORD_HEAD.size:
                    self.torn = bool(buffer.strip(b"\0"))
                    return
            length, kind, noted, size, counter, t_ps, source, destination = RECORD_HEAD.unpack_from(
                buffer, at
            )
            if length == 0:
                return
            if len(buffer) - at < length:
                position += at
                buffer, at = self._read(position, max(length, _READ)), 0
            body = at + RECORD_HEAD.size
            if len(buffer) - at < length or body + size + noted > at + length or t_ps < last_ps:
                self.torn = True
                return
            last_ps = t_ps
            try:
                record = _decode(
                    kind, t_ps, counter, source, destination, buffer[body : at + length], size, noted
                )
            except (
                ValueError,
                EOFError,
                TypeError,
            ):  # not what a Recorder writes: the disk's fault, or an editor's
                self.torn = True
                return
            at += length
            self.read_to = position + at
            yield record

    def _read(self, position: int, wanted: int) -> bytes:
        # Opened anew for each piece: a run of many nodes and restarts has more spools than a process may have
        # files open.
        with self.path.open("rb", buffering=0) as file:
            # A length that is not one must not ask for gigabytes of memory.
            wanted = min(wanted, os.fstat(file.fileno()).st_size - position)
            file.seek(position)
            return file.read(wanted) if wanted > 0 else b""


def _decode(
    kind: int, t_ps: int, counter: int, source: int, destination: int, body: bytes, size: int, noted: int
) -> SpoolFrame | SpoolEvent:
    if kind in (RECORD_SENT, RECORD_RECEIVED):
        note = body[size : size + noted].decode() if noted else ""
        return SpoolFrame(t_ps, counter, kind == RECORD_RECEIVED, source, destination, body[:size], note)
    if kind == RECORD_EVENT:
        layer, name, fields = marshal.loads(body)
        return SpoolEvent(t_ps, counter, layer, name, fields)
    raise ValueError(f"there is no record of kind {kind}")
