"""The states of EGP's links, requests and trains, and the table that moves a link.  The rules are in node.py."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import count
from typing import Final, NamedTuple

from protocols.chance import drawn
from protocols.egp.facts import Setting
from protocols.egp.rooms import Rooms
from protocols.egp.service import How, OkAny
from protocols.machine import Output, Send
from protocols.measuring import TESTS
from protocols.mhp.trains import SEQUENCE_MODULUS
from protocols.qubit_pool import QubitPool
from protocols.timers import Timers
from protocols.wire.codec import BellIndex, EgpError, EgpKind, EgpMeasuring, EgpTest, Message

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
    how: How
    setting: Setting
    estimated_cycles: int  # slots per pair
    queue_sequence: int = 0  # place in the common order, as the master numbers it
    virtual_finish: int = 0  # of the scheduler, in thousandths of a slot
    number: int = 0  # pairs asked for
    begun: bool = False  # it has had a pair
    withdrawn: bool = False
    over: EgpError | None = None  # it ends with this when its train has ended
    withheld: list[OkAny] = field(default_factory=list)  # of an atomic request: told when it has all its pairs

    @property
    def kind(self) -> EgpKind:
        return self.how.kind

    @property
    def atomic(self) -> bool:
        return self.how.atomic

    @property
    def together(self) -> bool:
        """Once begun, no other request is served before its end."""
        return self.how.atomic or self.how.consecutive

    def measuring(self, node: int, test: EgpTest = EgpTest.NONE) -> EgpMeasuring | None:
        """How this node measures its halves right after emission; None: it keeps them.

        A test round of a kept pair is kept, too: it must wait and move as kept pairs do.
        """
        if test:
            return TESTS[test] if self.kind == EgpKind.MEASURE else None
        if self.kind == EgpKind.KEEP:
            return None
        if node == self.id.origin:
            return self.how.local
        return self.how.remote if self.kind == EgpKind.MEASURE else None

    def keeps(self, node: int, test: EgpTest = EgpTest.NONE) -> bool:
        """Does this node keep its halves?"""
        return self.measuring(node, test) is None


class Terms(NamedTuple):
    """What the nodes agree on for a train."""

    first_slot: int
    spacing: int
    count: int  # type: ignore[assignment]
    alpha: int
    test: EgpTest
    pairs: int  # that end it
    each: bool  # its attempts are told to the station one by one


@dataclass(slots=True, eq=False)
class Train:
    """The train that is proposed or runs: what is set aside for it, and its terms."""

    request: Request
    queue_id: int
    qubit: int
    room: bool  # a place in storage is set aside for it
    first_slot: int
    spacing: int
    count: int
    alpha: int
    test: EgpTest
    pairs: int
    each: bool
    void_from: int | None = None  # the peer has nothing from this MHP sequence on
    cut: bool = False  # the master has cut it short for another request

    def measuring(self, node: int) -> EgpMeasuring | None:
        """How this node measures its half right after emission; None: it keeps it."""
        return self.request.measuring(node, self.test)

    def is_void(self, sequence: int) -> bool:
        """Has the peer told that it has not got this pair?"""
        return self.void_from is not None and from_on(self.void_from, sequence)


class Given(NamedTuple):
    """What is remembered of a pair after its Ok."""

    request: RequestId
    purpose_id: int


@dataclass(slots=True, eq=False)
class Round:
    """What is known of a test round whose results are not both here."""

    measured: bool
    alpha: int
    test: EgpTest = EgpTest.NONE  # NONE: the peer's result came first
    bell: BellIndex = BellIndex.PHI_PLUS
    here: int | None = None
    there: int | None = None


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
    seed: int = 0
    rooms: Rooms = field(default_factory=lambda: Rooms(None))
    outputs: list[Output] = field(default_factory=list)
    timers: Timers[TimerKey] = field(default_factory=Timers)
    qubits: QubitPool[int] = field(default_factory=QubitPool)  # its users are the links
    rules: set[tuple[int, int]] = field(default_factory=set)  # (remote, purpose id) of every RECV
    turns: Iterator[int] = field(default_factory=lambda: count(1))
    told: dict[int, int | None] = field(default_factory=dict)
    """By switch: the qubits for its links of which it knows (SRP-11); None: it must be told."""
    mixed: bool = False
    """Some links of the node go through a switch, and some do not: these may take qubits at any time."""

    def send(self, peer: int, message: Message) -> None:
        """All that EGP says goes over the reliable sublayer."""
        self.outputs.append(Send(peer, message, reliable=True))

    def draw(self, purpose: str, link: int, *what: int) -> int:
        """64 bits that follow from the node's seed: other draws move nothing here."""
        key = "/".join(["egp", str(self.seed), str(self.node), purpose, str(link), *map(str, what)])
        return drawn(key)


def from_on(old: int, sequence: int) -> bool:
    """Is the MHP sequence `sequence` `old` or one after it?  UNSET: before all."""
    return old == UNSET or (sequence - old) % SEQUENCE_MODULUS <= SEQUENCE_MODULUS // 2
