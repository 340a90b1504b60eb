"""The surface of every sans-IO protocol machine, and the one output they share.

What may live here: the interface only.  A machine has no clock, no socket and no task: time is an argument.
"""

from typing import Any, NamedTuple, Protocol


class Send(NamedTuple):
    """Output: a message for another node; ``reliable`` asks for the ordered, exactly-once sublayer."""

    destination: int
    message: Any
    reliable: bool = False


Output = tuple[Any, ...]
"""A ``Send``, or an event of the machine's own protocol."""


class Machine(Protocol):
    """Every protocol in this package.  All times are node time in integer picoseconds."""

    def receive(self, message: Any, source: int, now: int) -> None:
        """Take in one message."""

    def poll(self, now: int) -> list[Any]:
        """What is to be sent and told, what was due at ``now`` included; drains."""

    def next_timeout(self) -> int | None:
        """When ``poll`` must be called even if nothing arrives."""
