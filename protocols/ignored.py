"""The event by which a protocol says that a peer broke its rules: for counting, never an exception."""

from typing import NamedTuple


class Ignored(NamedTuple):
    """Event: a message of a peer that does not fit the state it met; it was dropped."""

    source: int
    message: str  # name of the message's class
    reason: str
