"""The states of a QTP session, the table that moves them, and what the sessions of a node share.

The table maps (state, input) to (next state, actions in order).  What is not in it cannot happen: the machine
reports such an input of the peer and drops it, one of this node is an error of ours.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from protocols.holds import Holds
from protocols.ignored import Ignored
from protocols.machine import Output, Send
from protocols.qtp.service import SessionId
from protocols.wire.codec import Message


class SessionState(Enum):
    """Of a session at one of its ends."""

    OPENING = auto()
    OPEN = auto()
    FINISHING = auto()  # no new qubits from here; those on the way are waited for; the peer may send
    FINISHED = auto()  # the peer knows that; it may send
    CLOSING = auto()  # no new qubits; those on the way from here are waited for
    CLOSED = auto()


class SessionInput(Enum):
    """What moves a session."""

    ACCEPT = auto()
    REFUSE = auto()
    FINISH = auto()  # says the user: half-close
    CLOSE = auto()  # says the user
    RESET = auto()  # says the user
    SETTLED = auto()  # nothing is on the way from here any more
    NO_PAIRS = auto()
    PEER_CLOSED = auto()
    PEER_RESET = auto()
    PEER_LOST = auto()


class Do(Enum):
    """Actions of the table."""

    ANNOUNCE = auto()  # event Opened
    RETURN = auto()  # the user gets back what is unpaired
    DRAIN = auto()  # the same, and what is on the way is lost, and unused pairs are released
    TELL_FINISH = auto()  # send Finish
    TELL = auto()  # send Close
    TELL_RESET = auto()  # send Reset
    END = auto()  # event Closed


_S, _I = SessionState, SessionInput
_LIVING = (_S.OPEN, _S.FINISHING, _S.FINISHED, _S.CLOSING)
SESSION_TABLE: dict[tuple[SessionState, SessionInput], tuple[SessionState, tuple[Do, ...]]] = {
    (_S.OPENING, _I.ACCEPT): (_S.OPEN, (Do.ANNOUNCE,)),
    (_S.OPENING, _I.REFUSE): (_S.CLOSED, ()),  # event Refused, which says why, takes the place of Closed
    (_S.OPENING, _I.CLOSE): (_S.CLOSED, (Do.TELL, Do.END)),
    (_S.OPENING, _I.RESET): (_S.CLOSED, (Do.TELL_RESET, Do.END)),
    (_S.OPENING, _I.PEER_LOST): (_S.CLOSED, (Do.END,)),
    (_S.OPEN, _I.FINISH): (_S.FINISHING, ()),
    (_S.FINISHING, _I.FINISH): (_S.FINISHING, ()),
    (_S.FINISHED, _I.FINISH): (_S.FINISHED, ()),
    (_S.CLOSING, _I.FINISH): (_S.CLOSING, ()),
    (_S.FINISHING, _I.SETTLED): (_S.FINISHED, (Do.TELL_FINISH,)),
    (_S.OPEN, _I.CLOSE): (_S.CLOSING, ()),
    (_S.FINISHING, _I.CLOSE): (_S.CLOSING, ()),
    (_S.FINISHED, _I.CLOSE): (_S.CLOSING, ()),
    (_S.CLOSING, _I.CLOSE): (_S.CLOSING, ()),
    (_S.CLOSING, _I.SETTLED): (_S.CLOSED, (Do.DRAIN, Do.TELL, Do.END)),
    **{(state, _I.NO_PAIRS): (_S.CLOSING, (Do.RETURN,)) for state in _LIVING},
    **{(state, _I.RESET): (_S.CLOSED, (Do.DRAIN, Do.TELL_RESET, Do.END)) for state in _LIVING},
    **{
        (state, stimulus): (_S.CLOSED, (Do.DRAIN, Do.END))
        for state in _LIVING
        for stimulus in (_I.PEER_CLOSED, _I.PEER_RESET, _I.PEER_LOST)
    },
}


@dataclass(slots=True, eq=False)
class Shared:
    """What the sessions of one node have in common."""

    holds: Holds[tuple[SessionId, int]]  # Teleports without their pair
    outputs: list[Output] = field(default_factory=list)

    def send(self, destination: int, message: Message) -> None:
        self.outputs.append(Send(destination, message, reliable=True))

    def ignore(self, source: int, message: NamedTuple, reason: str) -> None:
        self.outputs.append(Ignored(source, type(message).__name__, reason))
