"""Merging the spools of a run into trace.pcapng and events.jsonl: the order, and what a line says.

The order is (true time, node, incarnation, counter). Within one spool it is the order of writing, so a heap
with one record per spool merges them in one pass, in memory that does not grow with the length of the run.
"""

import heapq
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stack.record import SPOOL_SUFFIX
from testbed.trace.pcapng import PcapngWriter
from testbed.trace.spool import Spool, SpoolFrame

_BUFFER = 1 << 20
_LOOK_AT_CLOCK_EVERY = 128  # records


class NodeIdentity(NamedTuple):
    """A node as the trace names it. The order of the list is the order of the interfaces."""

    number: int
    name: str
    kind: str


class MergeResult(NamedTuple):
    """What a merge wrote, how many spools ended in a torn record, and whether it came to the end."""

    frames: int
    events: int
    torn: int
    complete: bool


def merge(
    spool_dir: Path, out_dir: Path, nodes: Sequence[NodeIdentity], deadline_s: float | None = None
) -> MergeResult:
    """Write out_dir/trace.pcapng and out_dir/events.jsonl anew from every spool in spool_dir.

    Should an incarnation have more than one spool, the names of the files decide between equal times.
    The spools are left as they are, and their processes may be dead, dying or alive: each gives what is in it
    in full. After `deadline_s` seconds of wall time it stops behind a whole record. Both files are written
    from the front and in whole records, so that whatever ends this process early leaves a prefix that opens.

    Raises OSError (a full disk, an unreadable spool), and ValueError for a spool of a node that is not in
    `nodes`.
    """
    until = None if deadline_s is None else time.monotonic() + deadline_s
    names = {node.number: node.name for node in nodes}
    spools = [Spool(path) for path in sorted(spool_dir.glob("*" + SPOOL_SUFFIX))]
    spools = sorted(
        (spool for spool in spools if not spool.empty), key=lambda spool: (spool.node, spool.incarnation)
    )
    for spool in spools:
        if spool.node not in names and not spool.torn:
            raise ValueError(f"{spool.path.name} belongs to node {spool.node}, which the run does not have")
    encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
    frames = events = 0
    complete = True
    with (
        (out_dir / "trace.pcapng").open("wb", buffering=_BUFFER) as trace,
        (out_dir / "events.jsonl").open("wb", buffering=_BUFFER) as lines,
    ):
        writer = PcapngWriter(trace.write)
        interfaces = {node.number: writer.interface(node.name, node.kind) for node in nodes}
        trace.flush()  # from now on the file opens, however early the end
        streams = [spool.records() for spool in spools]
        heap = [
            (record.t_ps, rank, record)
            for rank, stream in enumerate(streams)
            if (record := next(stream, None)) is not None
        ]
        heapq.heapify(heap)  # no two entries have one rank, so records themselves are never compared
        while heap:
            done = frames + events
            if until is not None and done % _LOOK_AT_CLOCK_EVERY == 0 and time.monotonic() >= until:
                complete = False
                break
            t_ps, rank, record = heap[0]
            node = spools[rank].node
            if isinstance(record, SpoolFrame):
                _, counter, received, source, destination, payload, note = record
                writer.packet(interfaces[node], t_ps, received, source, destination, payload, counter, note)
                frames += 1
            else:
                _, _, layer, name, fields = record
                line = encode({"t_ps": t_ps, "node": names[node], "layer": layer, "event": name} | fields)
                # A lone surrogate has no UTF-8; its backslash form is the JSON escape of the same character.
                lines.write(line.encode(errors="backslashreplace") + b"\n")
                events += 1
            following = next(streams[rank], None)
            if following is None:
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, (following.t_ps, rank, following))
    return MergeResult(frames, events, sum(spool.torn for spool in spools), complete)
