"""The states of EGP's links, requests and trains, and the table that moves a link.  The rules are in
egp.py."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import count
from typing import Final, NamedTuple

from protocols.machine import Output
from protocols.mhp.trains import SEQUENCE_MODULUS
from protocols.qubit_pool import QubitPool
from protocols.timers import Timers
from protocols.wire.codec import EgpError

UNSET: Final = 0xFFFF
"""On the wire: this node does not know which MHP sequence comes next.  No sequence has this value."""


class LinkState(Enum):
    """Of a link at one of its nodes."""

    IDLE = auto()
    RESERVING = auto()  # only at the master of a switched link: the switch has been asked for an analyser
    PROPOSED = auto()  # only at the master
    RUNNING = auto()


class LinkInput(Enum):
    """What moves it."""

    RESERVE = auto()
    UNRESERVE = auto()  # refused, of no use any more, or granted in vain
    PROPOSE = auto()
    ACCEPT = auto()  # a proposal of the master
    AGREED = auto()  # the peer is READY, and there is still time
    DECLINED = auto()
    RESULT = auto()
    BROKEN = auto()  # the peer is gone


_S, _I = LinkState, LinkInput
LINK_TABLE: dict[tuple[LinkState, LinkInput], LinkState] = {
    (_S.IDLE, _I.PROPOSE): _S.PROPOSED,
    (_S.IDLE, _I.RESERVE): _S.RESERVING,
    (_S.RESERVING, _I.PROPOSE): _S.PROPOSED,
    (_S.RESERVING, _I.UNRESERVE): _S.IDLE,
    (_S.RESERVING, _I.BROKEN): _S.IDLE,
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
    """One CREATE that has not ended."""

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
    """The train that is proposed or runs."""

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


class TimerKind(Enum):
    """What a link waits for."""

    DEADLINE = auto()  # of a request
    RETRY = auto()  # the pause after a proposal that came to nothing
    HELD = auto()  # how long a qubit is kept for an invited peer
    QUIET = auto()  # a silent peer is to be tried


class TimerKey(NamedTuple):
    """Names a timer of the machine."""

    kind: TimerKind
    link: int
    request: RequestId | None = None


@dataclass(slots=True, eq=False)
class Shared:
    """What the links of one node have in common."""

    node: int
    outputs: list[Output] = field(default_factory=list)
    timers: Timers[TimerKey] = field(default_factory=Timers)
    qubits: QubitPool[int] = field(default_factory=QubitPool)  # its users are the links
    rules: set[tuple[int, int]] = field(default_factory=set)  # (remote, purpose id) of every RECV
    turns: Iterator[int] = field(default_factory=lambda: count(1))


def from_on(old: int, sequence: int) -> bool:
    """Is the MHP sequence `sequence` `old` or one after it?  UNSET: before all."""
    return old == UNSET or (sequence - old) % SEQUENCE_MODULUS <= SEQUENCE_MODULUS // 2
