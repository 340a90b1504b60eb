"""What passes between QNP and its neighbours in the stack: the link pairs it is given, and its events.

Events go upward (CircuitOpened, PairDelivered, PairLost, RequestEnded) or down to the link layer
(NeedLinkPairs, StopLinkPairs); ReleaseQubit stands in pairs.py.  A fidelity is a u32 over 2^32 - 1, as on
the wire.
"""

from typing import NamedTuple

from protocols.pairs import Pair
from protocols.qnp.states import CircuitInput
from protocols.wire.codec import EgpError


class CircuitId(NamedTuple):
    """A circuit as one node knows it."""

    neighbour: int
    label: int


class LinkPair(NamedTuple):
    """Input from the link layer: one end's half of a pair with the neighbour."""

    link: int
    purpose: int  # the link layer's purpose id: the label of the circuit
    link_sequence: int
    bell_index: int
    qubit: int
    goodness: int  # u32 over 2^32 - 1
    time_of_goodness: int


class NeedLinkPairs(NamedTuple):
    """Event at the head: ask the link layer for so many more pairs."""

    link: int
    purpose: int
    number: int
    minimum_fidelity: int


class StopLinkPairs(NamedTuple):
    """Event at the head: what was asked for and has not come is not needed any more."""

    link: int
    purpose: int


class CircuitOpened(NamedTuple):
    """Event at both ends."""

    circuit: CircuitId
    request: int
    head: int
    peer: int
    purpose: int


class PairDelivered(NamedTuple):
    """Event: both ends hold this pair; its qubit belongs to the layer above from now on."""

    circuit: CircuitId
    request: int
    peer: int
    purpose: int
    pair: Pair
    time_of_goodness: int


class PairLost(NamedTuple):
    """Event: a delivered pair is a pair no more; the layer above still has to release the qubit."""

    circuit: CircuitId
    request: int
    peer: int
    purpose: int
    pair: Pair


class RequestEnded(NamedTuple):
    """Event at both ends; at the tail only if the circuit opened."""

    circuit: CircuitId
    request: int
    head: int
    peer: int
    purpose: int
    delivered: int
    cause: CircuitInput
    error: EgpError | None  # of the link layer, or of the tail that refused
