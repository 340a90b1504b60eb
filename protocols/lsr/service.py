"""What passes between LSR and the layers beside it: its settings, its events, the graph it offers."""

from collections.abc import Mapping
from typing import NamedTuple

from protocols.routes import Hop

type Graph = Mapping[int, tuple[Hop, ...]]
"""From each node the hops to its neighbours, in order of (neighbour, link): links that both their ends advertise,
each with the worse of what the two say.  Nodes through which no circuit may pass have no hops, but for the one whose
graph it is.  What cannot be reached from that one is not there."""


class Settings(NamedTuple):
    """Times in picoseconds."""

    hello_ps: int = 100_000_000_000
    """How often a neighbour is asked whether it is there, while somebody watches it."""
    dead_ps: int = 400_000_000_000
    """How long it may leave questions unanswered; at least 32 times the first timeout all the same."""
    idle_hello_ps: int = 0
    """How often a neighbour is asked that nobody watches; 0: never."""
    forget_ps: int = 60_000_000_000_000
    """To what age an advert is kept; it ages while its origin cannot be reached."""
    hold_ps: int = 10_000_000_000
    """At least so long lies between two versions of what a node says; it doubles while changes keep coming, ..."""
    most_hold_ps: int = 1_000_000_000_000
    """... up to this."""


DEFAULTS = Settings()


class NeighbourUp(NamedTuple):
    """Event: this node and its neighbour hear each other."""

    peer: int


class NeighbourDown(NamedTuple):
    """Event: they do no more."""

    peer: int


class Changed(NamedTuple):
    """Event: what is known of the network has changed; at most once in a poll."""


class Forgotten(NamedTuple):
    """Event: an origin has been out of reach for so long that its adverts are dropped."""

    origin: int
