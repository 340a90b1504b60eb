"""What passes between REL and whoever uses it."""

from typing import NamedTuple


class Undelivered(NamedTuple):
    """A message that the peer did not acknowledge.  It may have arrived all the same."""

    protocol: int
    message: int
    body: bytes


class Delivered(NamedTuple):
    """Event: the next message of a peer."""

    source: int
    protocol: int
    message: int
    body: bytes


class Broken(NamedTuple):
    """Event: messages to or from this peer may be missing from here on; it was silent, or it has restarted.

    `unsent` are the messages this node had sent to it without being sure of their arrival.  Empty: it was the
    peer that gave up a stream of its own.
    """

    peer: int
    unsent: tuple[Undelivered, ...]
