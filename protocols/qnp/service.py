"""What passes between QNP and its neighbours in the stack: the link pairs it is given, and its events.

Events go upward (RequestOpened, PairDelivered, PairLost, RequestEnded), down to the link layer
(CircuitOpened, CircuitClosed, NeedLinkPairs, StopLinkPairs) or to the devices (RunProgram); ReleaseQubit
stands in pairs.py.  A fidelity is a u32 over 2^32 - 1, as on the wire.
"""

from typing import NamedTuple

from protocols.correlations import Estimate
from protocols.device import Program
from protocols.pairs import Pair
from protocols.qnp.sketch import MIXED, Sketch
from protocols.qnp.states import CircuitInput
from protocols.wire.codec import CircuitFate, EgpBases, EgpBasis, EgpError, EgpTest, PairKind


class Delivery(NamedTuple):
    """How the pairs of a request are to be delivered."""

    kind: PairKind = PairKind.KEEP
    bases: EgpBases = EgpBases.NONE
    """MEASURE: from which each half here is measured, at random; at a head, of X, Y and Z only."""
    peer_bases: EgpBases = EgpBases.NONE
    chance: int = 0
    """MEASURE: of 2^32 - 1, at both ends: of the first of their bases, while the others are alike; 0: all are alike."""
    test_share: int = 0
    """Of 2^32 - 1: so many of the pairs that are kept are measured by both ends to learn their fidelity."""
    cutoff_ps: int | None = None
    """In place of the node's own wish."""
    bank: int = 0
    """Pairs that are made ahead of demand and kept at both ends."""
    bank_age_ps: int = 0
    """After it a banked pair is replaced; 0: never."""


KEPT = Delivery()


class CircuitId(NamedTuple):
    """A circuit as one node knows it, on one of its hops."""

    neighbour: int
    label: int


class LinkSequence(NamedTuple):
    """A link pair, by the name that both its ends know."""

    link: int
    number: int


class LinkPair(NamedTuple):
    """Input from the link layer: one end's half of a pair with the neighbour."""

    link: int
    purpose: int  # the link layer's purpose id: the label of the circuit
    link_sequence: int
    bell_index: int
    qubit: int
    goodness: int  # u32 over 2^32 - 1
    time_of_goodness: int
    sketch: Sketch = MIXED  # the neighbour's half first; made here: the link layer says its goodness only
    since: int = 0  # when this half was as it is in the sketch

    @property
    def name(self) -> LinkSequence:
        return LinkSequence(self.link, self.link_sequence)


class NeedLinkPairs(NamedTuple):
    """Event: ask the link layer for so many more pairs."""

    link: int
    purpose: int
    number: int
    minimum_fidelity: int


class StopLinkPairs(NamedTuple):
    """Event: what was asked for and has not come is not needed any more."""

    link: int
    purpose: int


class RunProgram(NamedTuple):
    """Event: the devices are to execute this; Qnp.ran hears the results.  It releases `released` by itself."""

    number: int
    program: Program
    released: tuple[int, ...]


class CircuitOpened(NamedTuple):
    """Event at every node of a circuit but its head: pairs of this neighbour are expected under this label."""

    circuit: CircuitId
    head: int
    number: int  # with the head, the name of the circuit at all its nodes


class InUse(NamedTuple):
    """Event: so many circuits lead over the links with this neighbour now."""

    neighbour: int
    circuits: int


class CircuitClosed(NamedTuple):
    """Event at every node of a circuit; `circuit` is the hop towards the head, at the head the one away from
    it."""

    circuit: CircuitId
    head: int
    number: int
    fate: CircuitFate
    where: int  # node that ended it


class RequestOpened(NamedTuple):
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
    """Event: a pair that was delivered is a pair no more, or an early half has become none; the layer above still has
    to release the qubit.  If it was measured, its outcome says nothing, and there is no qubit."""

    circuit: CircuitId
    request: int
    peer: int
    purpose: int
    pair: Pair


class PairEarly(NamedTuple):
    """Event: this end's half is there, and the layer above may use it; whether the other end's is, PairDelivered
    will say, or PairLost."""

    circuit: CircuitId
    request: int
    peer: int
    purpose: int
    qubit: int


class PairMeasured(NamedTuple):
    """Event: both ends have measured their halves.

    The head has folded the Pauli frame into its outcome: both outcomes are as of |Phi+>, so X and Z agree, Y differ.
    """

    circuit: CircuitId
    request: int
    peer: int
    purpose: int
    head: int
    pair_id: int
    name: LinkSequence  # of this end's half
    basis: EgpBasis
    outcome: int
    goodness: int


class PairTested(NamedTuple):
    """Event at the head: a test round is done, and what all of this request's say so far."""

    circuit: CircuitId
    request: int
    peer: int
    purpose: int
    basis: EgpTest
    bell_index: int
    here: int
    there: int  # both as they were read
    rounds: int
    estimate: Estimate | None  # None: too few rounds


class RequestEnded(NamedTuple):
    """Event at both ends; at the tail only if the request opened."""

    circuit: CircuitId
    request: int
    head: int
    peer: int
    purpose: int
    delivered: int
    cause: CircuitInput
    error: EgpError | None  # of the link layer, or of the tail that refused
    where: int  # node that ended it, or its circuit
