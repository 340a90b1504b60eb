"""What EGP is asked and what it says to the layers beside it.

Events go upward (Ok, OkMeasured, OkPrepared, Err), down to the physical layer (StartTrain, StopTrain, CutTrain,
AskStation, MeasureTest), or to the switch that serves the link (QubitsReady; Reserve, Unreserve: NodeSrp.reserve and
.release); ReleaseQubit stands in pairs.py.  A fidelity is a u32 over 2^32 - 1, as on the wire; times are integer
picoseconds of node time.
"""

from typing import NamedTuple

from protocols.measuring import PLAIN, Measure
from protocols.wire.codec import BellIndex, EgpBasis, EgpError, EgpKind, EgpMeasuring, EgpTest


class How(NamedTuple):
    """What is to become of the pairs of a request, beyond their number and fidelity.

    `local` is how the creator measures (M, R), `remote` how the other node does (M).
    """

    kind: EgpKind = EgpKind.KEEP
    atomic: bool = False  # all pairs are told at once, or none
    consecutive: bool = False  # once begun, no other request is served before its end
    local: EgpMeasuring = PLAIN
    remote: EgpMeasuring = PLAIN


KEPT = How()


class Expectation(NamedTuple):
    """What a node expects of a link for one sort of request, from device data and test rounds."""

    pair_ps: float  # mean time per pair, if nothing else is to be done
    fidelity: int
    error: int  # half width
    reachable: bool  # else the figures are those of the link's own brightness, and the request would end in UNSUPP


class StartTrain(NamedTuple):
    """Event downward: the device emits, and MHP tells the station; `deadline` is for NodeMhp.start_train."""

    link: int
    queue_id: int
    qubit: int
    first_slot: int
    spacing: int
    count: int  # type: ignore[assignment]
    alpha: int
    deadline: int
    measure: Measure | None = None
    """How this node's halves are measured right after emission; None: they are kept."""
    pairs: int = 1
    """Successes that end it; its result is told for each."""
    each: bool = False
    """MHP tells the station of its attempts one by one."""
    twice: bool = False
    """Each Gen is sent twice, for some have been lost."""


class CutTrain(NamedTuple):
    """Event downward: the station is to end the running train; its outcome will come (NodeMhp.cut)."""

    link: int


class Stash(NamedTuple):
    """Event downward: this half is kept, but will be told later, in an Ok, or come back in a ReleaseQubit."""

    qubit: int


class MeasureTest(NamedTuple):
    """Event downward: measure this half of a test round, give the qubit back, and tell `Egp.tested`."""

    link: int
    sequence: int
    qubit: int
    test: EgpTest


class StopTrain(NamedTuple):
    """Event downward: the train is of no use any more; NodeMhp.abort.  Its result is not waited for."""

    link: int
    queue_id: int
    qubit: int


class Reserve(NamedTuple):
    """Event to the switch: a train wants an analyser; comes to one Egp.granted or Egp.refused, unless unreserved."""

    link: int
    slots: int
    notice_ps: int  # from the sending of the grant to its first slot
    deadline: int | None


class Unreserve(NamedTuple):
    """Event to the switch: what was reserved or granted is not used."""

    link: int


class QubitsReady(NamedTuple):
    """Event to a switch: so many qubits of this node could take part in a train there (SRP-11)."""

    station: int
    qubits: int


class AskStation(NamedTuple):
    """Event downward: the peer is further on, so the running train has an outcome already; NodeMhp.ask."""

    link: int


class Ok(NamedTuple):
    """Event upward: this node's half of a pair; its qubit belongs to the layer above from now on."""

    link: int
    create_id: int
    directionality: int  # 0: asked for here, 1: by the remote node
    link_sequence: int  # the MHP sequence: names the pair at both nodes
    purpose_id: int
    remote: int
    goodness: int
    bell_index: BellIndex
    qubit: int
    time_of_goodness: int  # the slot's time at the station
    goodness_error: int = 0  # half width of its error bar


class OkMeasured(NamedTuple):
    """Event upward: this node's result of a pair measured directly (M)."""

    link: int
    create_id: int
    directionality: int
    link_sequence: int
    purpose_id: int
    remote: int
    goodness: int
    bell_index: BellIndex
    outcome: int
    basis: EgpBasis  # after the request's rotation
    time_of_goodness: int
    goodness_error: int = 0


class OkPrepared(NamedTuple):
    """Event upward at the creator: its result, which has prepared the other node's half (R).  There it is an Ok."""

    link: int
    create_id: int
    directionality: int
    link_sequence: int
    purpose_id: int
    remote: int
    goodness: int
    bell_index: BellIndex
    outcome: int
    basis: EgpBasis
    time_of_goodness: int
    goodness_error: int = 0


OkAny = Ok | OkMeasured | OkPrepared


class Err(NamedTuple):
    """Event upward: a request has ended without all its pairs.

    With a range of sequences (inclusive, modulo 2^16 - 1; only EXPIRE has one) those pairs are void at one
    end or both: a layer above that holds one must release it.
    """

    link: int
    create_id: int
    origin: int  # node that asked
    purpose_id: int
    remote: int  # the other node of the link
    code: EgpError
    sequence_low: int | None
    sequence_high: int | None
