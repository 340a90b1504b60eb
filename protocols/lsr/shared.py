"""What the parts of one node's LSR have in common.

What may live here: that.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from protocols.ignored import Ignored
from protocols.lsr.database import Database
from protocols.lsr.neighbour import Neighbour
from protocols.lsr.service import Settings
from protocols.machine import Output, Send
from protocols.timers import Timers

RETRY: Final = "retry"  # of a neighbour, as the next two
POLL: Final = "poll"
ACK: Final = "ack"
SPEAK: Final = ("speak", 0)


@dataclass(slots=True, eq=False)
class Shared:
    """Of one node."""

    node: int
    settings: Settings
    database: Database
    neighbours: dict[int, Neighbour]
    watches: int = 0  # of all neighbours together
    timers: Timers[tuple[str, int]] = field(default_factory=Timers)
    outputs: list[Output] = field(default_factory=list)

    def send(self, neighbour: Neighbour, message: NamedTuple) -> None:
        self.outputs.append(Send(neighbour.number, message))

    def ignore(self, source: int, message: NamedTuple, reason: str) -> None:
        self.outputs.append(Ignored(source, type(message).__name__, reason))
