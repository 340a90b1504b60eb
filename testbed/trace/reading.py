"""Reading a run's trace.pcapng and events.jsonl again, for tests, notebooks and the docs.

Both readers give what is whole and stop quietly at a torn end, as a crash may leave it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

_DRESS = 28  # the synthetic IPv4 and UDP headers


class TracedFrame(NamedTuple):
    """One frame of the trace: true time, node, which way, what the emulator did to it, its bytes."""

    t_ps: int
    node: str
    direction: Literal["sent", "received"]
    note: str  # "" or what follows the time in the comment: "lost", "duplicate", ...
    frame: bytes


def read_trace(path: str | Path) -> Iterator[TracedFrame]:
    """Every frame of a trace.pcapng, in its order."""
    from scapy.utils import RawPcapNgReader  # half a second to import: only for those who read

    # Given a name, scapy would leave a bad file open; that it takes a file, too, its types do not know.
    with open(path, "rb") as file, RawPcapNgReader(file) as reader:  # type: ignore[arg-type]
        about: Any  # scapy gives a named tuple whose fields its types do not know
        for data, about in reader:
            comment = about.comments[0].decode()
            stamp, _, note = comment.removeprefix("t=").partition(" ps")
            yield TracedFrame(
                t_ps=int(stamp),
                node=about.ifname.decode(),
                direction="received" if about.direction == 1 else "sent",
                note=note.removeprefix(", "),
                frame=data[_DRESS:],
            )


def read_events(path: str | Path) -> Iterator[dict[str, Any]]:
    """Every line of an events.jsonl, in its order."""
    with Path(path).open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield json.loads(line)
