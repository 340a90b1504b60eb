"""What passes between EGP and its neighbours in the stack: the facts of a link, and the events.

Events go upward (Ok, Err), down to the physical layer (StartTrain, StopTrain, AskStation), or to the switch
that serves the link (Reserve, Unreserve: NodeSrp.reserve and .release); ReleaseQubit stands in pairs.py.  A
fidelity is a u32 over 2^32 - 1, as on the wire; times are integer picoseconds of node time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log, log1p
from typing import Final, NamedTuple

from protocols.wire.codec import BellIndex, EgpError

TRAIN_FAILURE: Final = 1e-3
"""A train is so long that it fails with about this probability, unless its request has less time."""

_LONGEST: Final = 0xFFFFFFFF

# The station's device tells of a herald this much after knowing (DEV-5), and a train stops this much later
# still.
_DEVICE_PS: Final = 2_000


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """What a node knows of one of its links; `arm` is the quantum way to the station, `delay` the classical
    one."""

    number: int
    peer: int
    station: int
    slot_ps: int
    arm_ps: int
    peer_arm_ps: int
    delay_to_peer_ps: int
    delay_to_station_ps: int
    delay_peer_to_station_ps: int
    attempt_ps: int
    """From a slot until the station's device knows what came of it."""
    spacing_slots: int
    """Between two attempts with the same qubit; see `least_spacing`."""
    success_probability: float
    """Of one attempt."""
    estimate: int | Callable[[], int]
    """Fidelity of a pair when both nodes have heard of it."""
    alpha: int = 0
    """Bright-state population of attempts; 0 = the device's own."""
    margin_ps: int = 10_000
    """Slack of a proposed train: jitter of the network, and time for device commands, go in here."""
    lead_ps: int = 2_000
    """A node takes no part in a train whose Gen would reach the station later than this before its first
    slot."""
    keepalive_ps: int = 100_000_000_000
    """A peer that was silent so long, with requests open, is tried."""
    switched: bool = False
    """Its station is a switch: a train needs a grant of an analyser (see protocols.srp)."""

    @property
    def round_trip_ps(self) -> int:
        return 2 * self.delay_to_peer_ps

    def goodness(self) -> int:
        return self.estimate() if callable(self.estimate) else self.estimate

    @property
    def notice_ps(self) -> int:
        """From the proposal of a train to its first slot, at least: both nodes can still send their Gens and emit in
        time."""
        own = self.round_trip_ps + max(self.arm_ps, self.delay_to_station_ps)
        peer = self.delay_to_peer_ps + max(self.peer_arm_ps, self.delay_peer_to_station_ps)
        return max(own, peer) + self.lead_ps + self.margin_ps

    def first_slot(self, now: int) -> int:
        """First slot of a train proposed at `now`."""
        return -(-(now + self.notice_ps) // self.slot_ps)

    def in_time(self, first_slot: int, now: int) -> bool:
        """Can this node, from now on, take part in a train?"""
        begins = first_slot * self.slot_ps - max(self.arm_ps, self.delay_to_station_ps)
        return now + self.lead_ps <= begins

    def reply_due(self, last_slot: int) -> int:
        """When this node will have heard of the slot, if nothing is lost."""
        known = last_slot * self.slot_ps + self.attempt_ps + _DEVICE_PS
        return known + self.delay_to_station_ps + self.margin_ps

    def attempts(self, first_slot: int, deadline: int | None) -> int:
        """Attempts of a train: enough that it succeeds all but surely, as many as fit before the deadline; >=
        0."""
        p = self.success_probability
        count = 1 if p >= 1 else ceil(log(TRAIN_FAILURE) / log1p(-p)) if p > 0 else _LONGEST
        count = max(1, min(count, _LONGEST))
        if deadline is not None:
            back = self.attempt_ps + max(self.delay_to_station_ps, self.delay_peer_to_station_ps) + _DEVICE_PS
            left_ps = deadline - back - first_slot * self.slot_ps
            count = min(count, max(0, left_ps // (self.spacing_slots * self.slot_ps) + 1))
        return count


def least_spacing(
    slot_ps: int, longest_way_ps: int, attempt_ps: int, emission_ps: int, margin_ps: int = 0
) -> int:
    """Slots between two attempts such that the herald of one stops the next, in slots.

    The way is quantum arm plus classical delay between the station and the farther node: one photon there,
    one Reply back.  numbers of the published METRO link: emission + 2 x the longest arm.
    """
    return max(1, -(-(emission_ps + longest_way_ps + attempt_ps + _DEVICE_PS + margin_ps) // slot_ps))


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
