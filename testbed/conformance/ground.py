"""What a script stands on: emulated time with our own node in it, or sockets and the wall clock.

What may live here: the interface that `simulated` and `sockets` share.  All times are picoseconds since the start.
"""

from typing import Any, NamedTuple, Protocol


class Arrived(NamedTuple):
    """A frame of the implementation has reached a peer."""

    at: int
    peer: int
    frame: bytes


class Commanded(NamedTuple):
    """The implementation commands its devices; the answer carries the same sequence."""

    at: int
    sequence: int
    message: int
    body: bytes


class Told(NamedTuple):
    """The implementation tells the user above it something."""

    at: int
    facts: dict[str, Any]


Happening = Arrived | Commanded | Told


class Gone(Exception):
    """The implementation has ended, or broken down; what it said last."""


class NotSupported(Exception):
    """It does not play this role."""


class Ground(Protocol):
    """One implementation under test in one scene."""

    has_user: bool
    """Whether it can be asked for things, and tells what came of them."""
    slack_ps: int
    """How much later than due a thing may come without being missed: what a busy host may take."""
    first_incarnation: int
    """Of the kit's peers: one that has been heard of before must be reborn to be heard."""

    def now(self) -> int: ...

    def send(self, peer: int, incarnation: int, sequence: int, frame: bytes) -> None:
        """A frame leaves the peer now; it arrives one delay later."""

    def answer(self, sequence: int, message: int, body: bytes, due: int) -> None:
        """The devices answer a command."""

    def order(self, order: dict[str, Any]) -> None:
        """The user above wants something."""

    async def advance(self, until: int) -> list[Happening]:
        """Let time pass until something reaches the kit, or to ``until``; raises Gone."""
