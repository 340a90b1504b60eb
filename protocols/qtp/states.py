"""The states of a QTP session, and the table that moves them: all of them are here.

The table maps (state, input) to (next state, actions in order).  What is not in it cannot happen: the machine
reports such an input of the peer and drops it, one of this node is an error of ours.
"""

from enum import Enum, auto


class SessionState(Enum):
    """Of a session at one of its ends."""

    OPENING = auto()
    OPEN = auto()
    CLOSING = auto()  # no new qubits; those on the way are waited for
    CLOSED = auto()


class SessionInput(Enum):
    """What moves a session."""

    ACCEPT = auto()
    REFUSE = auto()
    CLOSE = auto()  # says the user
    SETTLED = auto()  # nothing is on the way any more
    NO_PAIRS = auto()
    PEER_CLOSED = auto()
    PEER_LOST = auto()


class Do(Enum):
    """Actions of the table."""

    ANNOUNCE = auto()  # event Opened
    RETURN = auto()  # the user gets back what is unpaired
    DRAIN = auto()  # the same, and what is on the way is lost, and unused pairs are released
    TELL = auto()  # send Close
    END = auto()  # event Closed


_S, _I = SessionState, SessionInput
SESSION_TABLE: dict[tuple[SessionState, SessionInput], tuple[SessionState, tuple[Do, ...]]] = {
    (_S.OPENING, _I.ACCEPT): (_S.OPEN, (Do.ANNOUNCE,)),
    (_S.OPENING, _I.REFUSE): (_S.CLOSED, ()),  # event Refused, which says why, takes the place of Closed
    (_S.OPENING, _I.CLOSE): (_S.CLOSED, (Do.TELL, Do.END)),
    (_S.OPENING, _I.PEER_LOST): (_S.CLOSED, (Do.END,)),
    (_S.OPEN, _I.CLOSE): (_S.CLOSING, ()),
    (_S.OPEN, _I.NO_PAIRS): (_S.CLOSING, (Do.RETURN,)),
    (_S.OPEN, _I.PEER_CLOSED): (_S.CLOSED, (Do.DRAIN, Do.END)),
    (_S.OPEN, _I.PEER_LOST): (_S.CLOSED, (Do.DRAIN, Do.END)),
    (_S.CLOSING, _I.CLOSE): (_S.CLOSING, ()),
    (_S.CLOSING, _I.NO_PAIRS): (_S.CLOSING, (Do.RETURN,)),
    (_S.CLOSING, _I.SETTLED): (_S.CLOSED, (Do.DRAIN, Do.TELL, Do.END)),
    (_S.CLOSING, _I.PEER_CLOSED): (_S.CLOSED, (Do.DRAIN, Do.END)),
    (_S.CLOSING, _I.PEER_LOST): (_S.CLOSED, (Do.DRAIN, Do.END)),
}
