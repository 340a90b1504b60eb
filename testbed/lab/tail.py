"""What is written in the spools of a run while it goes on.

What may live here: reading on from where one was.  It is read by whoever tells of it; the nodes that write know of
nobody, and wait for nobody.
"""

from collections import Counter
from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

from testbed.trace.spool import Spool, SpoolEvent, SpoolFrame

MOST = 5_000
"""Records taken from one spool at a time: a virtual run may write faster than anyone can tell of it."""


class News(NamedTuple):
    """Since the last look: events with their nodes, in order of time; frames by (node, sent or received)."""

    events: list[tuple[int, SpoolEvent]]
    frames: Counter[tuple[int, str]]


class Tail:
    """All spools in a folder, or those of some nodes; those too that are not there yet."""

    def __init__(self, spool_dir: Path, nodes: Container[int] | None = None) -> None:
        self._dir = spool_dir
        self._nodes = nodes
        self._spools: dict[str, Spool] = {}

    def news(self) -> News:
        """What is new.  A spool that cannot be read is passed over: it is somebody else's trouble."""
        events: list[tuple[int, SpoolEvent]] = []
        frames: Counter[tuple[int, str]] = Counter()
        try:
            paths = sorted(self._dir.glob("*.spool"))
        except OSError:
            paths = []
        for path in paths:
            try:
                spool = self._spools.get(path.name)
                if spool is None or not spool.read_to:  # its head was not there yet
                    spool = self._spools[path.name] = Spool(path)
                if self._nodes is not None and spool.node not in self._nodes:
                    continue
                for count, record in enumerate(spool.records(spool.read_to), 1):
                    if isinstance(record, SpoolFrame):
                        frames[spool.node, "received" if record.received else "sent"] += 1
                    else:
                        events.append((spool.node, record))
                    if count >= MOST:
                        break
            except OSError:
                continue
        events.sort(key=lambda one: (one[1].t_ps, one[0]))
        return News(events, frames)


__all__ = ["News", "Tail"]
