"""The states of EGP's links, requests and trains, and the table that moves a link.  Its rules are in egp.py."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import count
from typing import Final, NamedTuple

from protocols.egp_service import LinkFacts
from protocols.mhp import SEQUENCE_MODULUS
from protocols.wire.codec import EgpError

UNSET: Final = 0xFFFF
"""On the wire: this node does not know which MHP sequence comes next.  No sequence has this value."""


class LinkState(Enum):
    """Of a link at one of its nodes."""

    IDLE = auto()
    PROPOSED = auto()  # only at the master
    RUNNING = auto()


class LinkInput(Enum):
    """What moves it."""

    PROPOSE = auto()
    ACCEPT = auto()  # a proposal of the master
    AGREED = auto()  # the peer is READY, and there is still time
    DECLINED = auto()
    RESULT = auto()
    BROKEN = auto()  # the peer is gone


_S, _I = LinkState, LinkInput
LINK_TABLE: dict[tuple[LinkState, LinkInput], LinkState] = {
    (_S.IDLE, _I.PROPOSE): _S.PROPOSED,
    (_S.IDLE, _I.ACCEPT): _S.RUNNING,
    (_S.IDLE, _I.BROKEN): _S.IDLE,
    (_S.PROPOSED, _I.AGREED): _S.RUNNING,
    (_S.PROPOSED, _I.DECLINED): _S.IDLE,
    (_S.PROPOSED, _I.BROKEN): _S.IDLE,
    (_S.RUNNING, _I.RESULT): _S.IDLE,
    (_S.RUNNING, _I.BROKEN): _S.IDLE,
}


class RequestId(NamedTuple):
    """Names a request at both nodes of its link."""

    origin: int
    create_id: int


@dataclass(slots=True, eq=False)
class Request:
    id: RequestId
    purpose_id: int
    remaining: int  # pairs
    minimum_fidelity: int
    priority: int
    deadline: int | None
    agreed: bool  # the peer has it, too
    withdrawn: bool = False
    over: EgpError | None = None  # it ends with this when its train has ended


@dataclass(slots=True, eq=False)
class Train:
    request: Request
    queue_id: int
    qubit: int
    first_slot: int
    spacing: int
    count: int
    alpha: int
    void_from: int | None = None  # the peer has nothing from this MHP sequence on


class Given(NamedTuple):
    """What is remembered of a pair after its Ok."""

    request: RequestId
    purpose_id: int


@dataclass(slots=True, eq=False)
class Link:
    facts: LinkFacts
    master: bool
    state: LinkState = LinkState.IDLE
    train: Train | None = None
    requests: dict[RequestId, Request] = field(default_factory=dict)  # all that are open
    queue: dict[RequestId, Request] = field(default_factory=dict)  # those with a place in the common order
    expected: int | None = None  # the MHP sequence that comes next, if it is known
    given: dict[int, Given] = field(default_factory=dict)  # by MHP sequence, oldest first
    owes_ack: bool = False  # of an Expire that came during a train
    owed: int | None = None  # queue id of a proposal that was declined for want of a qubit
    held: int | None = None  # qubit set aside for the next proposal, after an invitation
    declined: int | None = None  # queue id of our own proposal that the peer declined
    served: int = 0  # when it last got a qubit, for taking turns
    misses: int = 0  # proposals in a row that came to nothing
    extra_ps: int = 0  # added to the margin of proposals, for as long as they come too late
    queue_ids: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def pause_ps(self) -> int:
        return 2 * self.facts.round_trip_ps + self.facts.margin_ps


def from_on(old: int, sequence: int) -> bool:
    """Is `sequence` `old` or after it?  UNSET: before all."""
    return old == UNSET or (sequence - old) % SEQUENCE_MODULUS <= SEQUENCE_MODULUS // 2
