"""The states of QNP's circuits and link pairs, and the tables that move them: all of them are here.

A table maps (state, input) to (next state, actions in order).  What is not in a table cannot happen: an
input of the peer that is not there is reported and changes nothing, one of this node's own layers is an
error of ours.
"""

from enum import Enum, auto


class Phase(Enum):
    """Of a circuit at one of its ends."""

    OPENING = auto()
    OPEN = auto()
    CLOSED = auto()


class CircuitInput(Enum):
    """What moves a circuit; the reason in RequestEnded."""

    ACCEPTED = auto()
    REFUSED = auto()
    SATISFIED = auto()  # the number asked for has been delivered
    FINISHED = auto()  # the user at the head needs no more
    LINK_FAILED = auto()
    COMPLETE = auto()  # the head says that the request has ended
    PEER_LOST = auto()
    NO_ROUTE = auto()  # no link leads there, or no label is free; no circuit came to be


class PairState(Enum):
    """What one end knows of one link pair."""

    ABSENT = auto()
    HERE = auto()  # this end's half is here, the peer's Track is not
    THERE = auto()  # the peer's Track is here, this end's half is not
    BOTH = auto()  # delivered; remembered until its sequence number comes round or the circuit closes
    VOID = auto()  # the peer discarded it: its half here, should it still come, is worth nothing
    DEAD = auto()  # this end discarded it: the peer's Track may still be on its way.  A hold ends both


class PairInput(Enum):
    """What moves a link pair."""

    LINK_PAIR = auto()
    TRACK = auto()
    MISFIT = auto()  # half and Track are both there, and name different Bell states or pair ids
    EXPIRED = auto()  # says the link layer
    DISCARD = auto()  # says the peer
    SURPLUS = auto()  # a half came to the head that nobody needs
    HELD_LONG = auto()


class Do(Enum):
    """Actions of the tables."""

    ANNOUNCE = auto()  # event CircuitOpened
    ASK = auto()  # the head asks for what is missing
    STOP = auto()  # event StopLinkPairs, if any are outstanding
    DROP = auto()  # undelivered halves are released, the peer is told of each
    RELEASE_ALL = auto()  # the same without a word: the peer drops them itself, or is gone
    TELL = auto()  # send Complete
    END = auto()  # event RequestEnded

    TAKE = auto()  # the half is kept with its record
    NOTE = auto()  # the Track is kept with its record
    TRACK = auto()  # send Track
    DELIVER = auto()
    RELEASE = auto()
    DISCARD = auto()  # send Discard
    LOSE = auto()  # event PairLost
    HOLD = auto()
    REPORT = auto()  # event Ignored


_I = CircuitInput
HEAD_TABLE: dict[tuple[Phase, CircuitInput], tuple[Phase, tuple[Do, ...]]] = {
    (Phase.OPENING, _I.ACCEPTED): (Phase.OPEN, (Do.ANNOUNCE, Do.ASK)),
    (Phase.OPENING, _I.REFUSED): (Phase.CLOSED, (Do.END,)),
    (Phase.OPENING, _I.FINISHED): (Phase.CLOSED, (Do.TELL, Do.END)),
    (Phase.OPENING, _I.PEER_LOST): (Phase.CLOSED, (Do.END,)),
    (Phase.OPEN, _I.SATISFIED): (Phase.CLOSED, (Do.TELL, Do.END)),
    (Phase.OPEN, _I.FINISHED): (Phase.CLOSED, (Do.STOP, Do.DROP, Do.TELL, Do.END)),
    (Phase.OPEN, _I.LINK_FAILED): (Phase.CLOSED, (Do.DROP, Do.TELL, Do.END)),
    (Phase.OPEN, _I.PEER_LOST): (Phase.CLOSED, (Do.STOP, Do.RELEASE_ALL, Do.END)),
}
TAIL_TABLE: dict[tuple[Phase, CircuitInput], tuple[Phase, tuple[Do, ...]]] = {
    (Phase.OPENING, _I.ACCEPTED): (Phase.OPEN, (Do.ANNOUNCE,)),
    # What the head delivered, this end delivered before: the head's Tracks came before its Complete.
    (Phase.OPEN, _I.COMPLETE): (Phase.CLOSED, (Do.RELEASE_ALL, Do.END)),
    (Phase.OPEN, _I.PEER_LOST): (Phase.CLOSED, (Do.RELEASE_ALL, Do.END)),
}

_S, _P = PairState, PairInput
PAIR_TABLE: dict[tuple[PairState, PairInput], tuple[PairState, tuple[Do, ...]]] = {
    (_S.ABSENT, _P.LINK_PAIR): (_S.HERE, (Do.TAKE, Do.TRACK)),
    (_S.ABSENT, _P.TRACK): (_S.THERE, (Do.NOTE,)),
    (_S.ABSENT, _P.EXPIRED): (_S.ABSENT, ()),
    (_S.ABSENT, _P.DISCARD): (_S.VOID, (Do.HOLD,)),
    (_S.HERE, _P.LINK_PAIR): (_S.HERE, (Do.RELEASE, Do.TAKE, Do.TRACK)),  # the number came round
    (_S.HERE, _P.TRACK): (_S.BOTH, (Do.NOTE, Do.DELIVER)),
    (_S.HERE, _P.MISFIT): (_S.ABSENT, (Do.REPORT, Do.DISCARD, Do.RELEASE, Do.ASK)),
    (_S.HERE, _P.EXPIRED): (_S.DEAD, (Do.DISCARD, Do.RELEASE, Do.HOLD, Do.ASK)),
    (_S.HERE, _P.DISCARD): (_S.ABSENT, (Do.RELEASE, Do.ASK)),
    (_S.THERE, _P.LINK_PAIR): (_S.BOTH, (Do.TAKE, Do.TRACK, Do.DELIVER)),
    (_S.THERE, _P.MISFIT): (_S.ABSENT, (Do.REPORT, Do.TAKE, Do.DISCARD, Do.RELEASE, Do.ASK)),
    (_S.THERE, _P.TRACK): (_S.THERE, (Do.NOTE,)),
    (_S.THERE, _P.EXPIRED): (_S.ABSENT, (Do.DISCARD,)),
    (_S.THERE, _P.DISCARD): (_S.VOID, (Do.HOLD,)),
    (_S.BOTH, _P.LINK_PAIR): (_S.HERE, (Do.TAKE, Do.TRACK)),
    (_S.BOTH, _P.TRACK): (_S.THERE, (Do.NOTE,)),
    (_S.BOTH, _P.EXPIRED): (_S.ABSENT, (Do.DISCARD, Do.LOSE)),
    (_S.BOTH, _P.DISCARD): (_S.ABSENT, (Do.LOSE,)),
    (_S.VOID, _P.LINK_PAIR): (_S.ABSENT, (Do.TAKE, Do.RELEASE, Do.ASK)),
    (_S.VOID, _P.TRACK): (_S.THERE, (Do.NOTE,)),
    (_S.VOID, _P.EXPIRED): (_S.ABSENT, ()),
    (_S.VOID, _P.DISCARD): (_S.VOID, (Do.HOLD,)),
    (_S.VOID, _P.HELD_LONG): (_S.ABSENT, ()),
    (_S.DEAD, _P.LINK_PAIR): (_S.HERE, (Do.TAKE, Do.TRACK)),
    (_S.DEAD, _P.TRACK): (_S.ABSENT, ()),
    (_S.DEAD, _P.EXPIRED): (_S.DEAD, (Do.HOLD,)),
    (_S.DEAD, _P.DISCARD): (_S.ABSENT, ()),  # both ends discarded it at once
    (_S.DEAD, _P.HELD_LONG): (_S.ABSENT, ()),
    (_S.ABSENT, _P.SURPLUS): (_S.DEAD, (Do.TAKE, Do.DISCARD, Do.RELEASE, Do.HOLD)),
    (_S.THERE, _P.SURPLUS): (_S.ABSENT, (Do.TAKE, Do.DISCARD, Do.RELEASE)),
    (_S.BOTH, _P.SURPLUS): (_S.DEAD, (Do.TAKE, Do.DISCARD, Do.RELEASE, Do.HOLD)),
    (_S.VOID, _P.SURPLUS): (_S.ABSENT, (Do.TAKE, Do.RELEASE)),
    (_S.DEAD, _P.SURPLUS): (_S.DEAD, (Do.TAKE, Do.DISCARD, Do.RELEASE, Do.HOLD)),
}
