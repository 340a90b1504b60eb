"""What passes between QTP and its neighbours in the stack: names, reasons, states and events of sessions.

ReleaseQubit stands in pairs.py: a qubit given away in an event belongs to the receiver of the event.
"""

from enum import Enum, IntEnum, auto
from typing import NamedTuple

from protocols.pairs import Pair
from protocols.wire.codec import QtpService


class SessionId(NamedTuple):
    """A session as one node knows it; either end may have opened it."""

    peer: int
    number: int

    @property
    def purpose(self) -> int:
        """The network layer's purpose id for the session's pairs: both ends listen for it.

        The upper half of the purposes is QTP's; what else uses the network layer takes the lower.
        """
        return 0x8000 | self.number & 0x7FFF


class SessionGone(Exception):
    """The session is not open: not yet, or no more (an event has said so)."""


class RefuseReason(IntEnum):
    """Reason in Refuse, on the wire."""

    NO_LISTENER = 1
    WRONG_SERVICE = 2
    IN_USE = 3  # the number is another session's
    UNSUPPORTED = 4
    TOO_MANY = 5  # sessions of this peer


class CloseReason(Enum):
    """Why a session ended."""

    CLOSED = auto()  # this end closed it
    CLOSED_BY_PEER = auto()
    RESET = auto()  # this end broke it off
    RESET_BY_PEER = auto()
    PEER_LOST = auto()
    NO_PAIRS = auto()  # the network layer will deliver none


class Opened(NamedTuple):
    """Event at both ends: the session can be used."""

    session: SessionId
    port: int
    service: QtpService
    opener: bool  # did this end open it?


class Refused(NamedTuple):
    """Event at the opener."""

    session: SessionId
    port: int
    reason: RefuseReason


class Closed(NamedTuple):
    """Event at both ends, the session's last.  Every qubit it held has been accounted for before."""

    session: SessionId
    reason: CloseReason


class PeerFinished(NamedTuple):
    """Event: the peer sends no more qubits; all that it sent have been handed up or reported lost before."""

    session: SessionId


class NeedPair(NamedTuple):
    """Event: ask the network layer for so many pairs with the peer, for `session.purpose`."""

    session: SessionId
    number: int


class PairReady(NamedTuple):
    """Event at both ends of a session of PAIRS: a pair for the user, who owns its qubit now."""

    session: SessionId
    pair: Pair


class PairGone(NamedTuple):
    """Event at both ends of a session of PAIRS: a pair is a pair no more; its qubit stays the user's."""

    session: SessionId
    pair: Pair


class RunBellMeasurement(NamedTuple):
    """Event: run CX(data, pair), H(data), measure data -> m1, pair -> m2, release both; then `measured`."""

    session: SessionId
    index: int  # type: ignore[assignment]
    data_qubit: int
    pair_qubit: int


class Delivered(NamedTuple):
    """Event at the sender: the peer has the qubit."""

    session: SessionId
    index: int  # type: ignore[assignment]


class Returned(NamedTuple):
    """Event at the sender: the qubit was not touched and is the user's again."""

    session: SessionId
    index: int  # type: ignore[assignment]
    qubit: int


class Arrived(NamedTuple):
    """Event at the receiver: `qubit` holds what was sent once X^x and then Z^z are applied to it."""

    session: SessionId
    index: int  # type: ignore[assignment]
    qubit: int
    x: int
    z: int


class NoteCame(NamedTuple):
    """Event: the user at the other end says something."""

    session: SessionId
    text: bytes


class Lost(NamedTuple):
    """Event at both ends: a qubit was consumed and did not arrive, and never will."""

    session: SessionId
    index: int  # type: ignore[assignment]
    incoming: bool  # True at the receiver
