"""The states of QNP's circuits, requests and link pairs, and the tables that move them: all of them are here.

A table maps (state, input) to (next state, actions in order).  What is not in a table cannot happen: an
input of the peer that is not there is reported and changes nothing, one of this node's own layers is an
error of ours.
"""

from enum import Enum, auto


class Phase(Enum):
    """Of a circuit at one of its nodes."""

    OPENING = auto()
    OPEN = auto()
    CLOSED = auto()


class CircuitInput(Enum):
    """What moves a circuit or a request; the reason in RequestEnded."""

    ACCEPTED = auto()  # the tail serves the request
    REFUSED = auto()  # the tail does not
    SATISFIED = auto()  # the number asked for has been delivered
    FINISHED = auto()  # the user at the head needs no more
    TIMEOUT = auto()  # the request's time is over
    LINK_FAILED = auto()
    COMPLETE = auto()  # the head says that the request has ended
    PEER_LOST = auto()  # a node of the circuit is gone
    NO_ROUTE = auto()  # no way leads there, or no label is free; no circuit came to be
    NO_PROMISE = auto()  # no way can keep the fidelity that is asked for
    NO_MEMORY = auto()  # a node on the way, this one perhaps, has not the memories for it
    NO_RATE = auto()  # a link on the way has not the rate for it left
    PREEMPTED = auto()
    SILENT = auto()  # nothing was heard of the circuit for its lifetime

    INSTALLED = auto()  # every node up to the tail has it
    UNUSED = auto()  # its last request has ended
    FROM_UP = auto()  # Teardown from the head's side
    FROM_DOWN = auto()  # Teardown from the tail's side
    UP_LOST = auto()  # the neighbour on the head's side is gone
    DOWN_LOST = auto()


class PairState(Enum):
    """What one node knows of one link pair."""

    ABSENT = auto()
    HERE = auto()  # this node's half is here; at an end, the peer's Track is not
    THERE = auto()  # a Track is here, this node's half is not
    BOTH = auto()  # an end has both; remembered until its sequence number comes round or the circuit closes
    SWAPPING = auto()  # a repeater measures it
    SWAPPED = auto()  # it was measured; remembered as long as news of its chain may come
    DOOMED = auto()  # its chain broke while it was measured
    VOID = auto()  # the peer discarded it: its half here, should it still come, is worth nothing
    DEAD = auto()  # this node discarded it: a Track may still be on its way.  A hold ends both


class PairInput(Enum):
    """What moves a link pair."""

    LINK_PAIR = auto()
    TRACK = auto()
    MISFIT = auto()  # half and Track are both there, and name different Bell states or pair ids
    EXPIRED = auto()  # says the link layer
    DISCARD = auto()  # says the peer
    SURPLUS = auto()  # a half came to the head that nobody needs
    DROPPED = auto()  # its request has ended
    CHOSEN = auto()  # a repeater swaps it
    MEASURED = auto()
    BROKEN = auto()  # the pair it was swapped with is dead
    CUTOFF = auto()  # it has waited too long
    HELD_LONG = auto()
    AGED = auto()  # it has lain in the bank for its time
    NO_ROOM = auto()  # the bank has no place for it


class Do(Enum):
    """Actions of the tables."""

    ANNOUNCE = auto()  # event
    ASK = auto()  # more pairs from the link layer: what is missing, the pair that just died included
    STOP = auto()  # event StopLinkPairs, if any are outstanding
    DROP = auto()  # undelivered halves are released, the peer is told of each
    RELEASE_ALL = auto()  # the same without a word: the peer drops them itself, or is gone
    TELL_UP = auto()  # Teardown towards the head
    TELL_DOWN = auto()  # Teardown towards the tail
    PASS_UP = auto()  # Installed, towards the head
    COMPLETE = auto()  # send Complete, unless the circuit ends with the request
    END = auto()  # the request has ended, or every one of the circuit

    TAKE = auto()  # the half is kept with its record
    NOTE = auto()  # the Track is kept with its record
    TRACK = auto()  # send Track
    EARLY = auto()  # hand the half up before the peer's Track, on a circuit whose request wants that
    PASS = auto()  # send the Track that is noted on, past the swap
    DELIVER = auto()
    RELEASE = auto()
    DISCARD = auto()  # send Discard
    LOSE = auto()  # a pair that was complete is none any more
    BREAK = auto()  # the pair it was swapped with is BROKEN
    MATCH = auto()  # it may be swapped
    CLOCK = auto()  # its cutoff begins
    HOLD = auto()
    REPORT = auto()  # event Ignored


_I = CircuitInput
_STOPPED = (Do.STOP, Do.RELEASE_ALL, Do.END)
HEAD_TABLE: dict[tuple[Phase, CircuitInput], tuple[Phase, tuple[Do, ...]]] = {
    (Phase.OPENING, _I.INSTALLED): (Phase.OPEN, (Do.ASK,)),
    (Phase.OPENING, _I.UNUSED): (Phase.CLOSED, (Do.TELL_DOWN,)),
    (Phase.OPENING, _I.FROM_DOWN): (Phase.CLOSED, (Do.END,)),
    (Phase.OPENING, _I.DOWN_LOST): (Phase.CLOSED, (Do.END,)),
    (Phase.OPENING, _I.PREEMPTED): (Phase.CLOSED, (Do.TELL_DOWN, Do.END)),
    (Phase.OPEN, _I.UNUSED): (Phase.CLOSED, (Do.STOP, Do.DROP, Do.TELL_DOWN)),
    (Phase.OPEN, _I.LINK_FAILED): (Phase.CLOSED, (Do.STOP, Do.DROP, Do.TELL_DOWN, Do.END)),
    (Phase.OPEN, _I.PREEMPTED): (Phase.CLOSED, (Do.STOP, Do.DROP, Do.TELL_DOWN, Do.END)),
    (Phase.OPEN, _I.FROM_DOWN): (Phase.CLOSED, _STOPPED),
    (Phase.OPEN, _I.DOWN_LOST): (Phase.CLOSED, _STOPPED),
}
TAIL_TABLE: dict[tuple[Phase, CircuitInput], tuple[Phase, tuple[Do, ...]]] = {
    (Phase.OPENING, _I.INSTALLED): (Phase.OPEN, (Do.PASS_UP,)),
    # What the head delivered, this end delivered before: the head's Tracks came before its Teardown.
    (Phase.OPEN, _I.FROM_UP): (Phase.CLOSED, (Do.RELEASE_ALL, Do.END)),
    (Phase.OPEN, _I.UP_LOST): (Phase.CLOSED, (Do.RELEASE_ALL, Do.END)),
    (Phase.OPEN, _I.SILENT): (Phase.CLOSED, (Do.RELEASE_ALL, Do.TELL_UP, Do.END)),
    (Phase.OPEN, _I.PREEMPTED): (Phase.CLOSED, (Do.RELEASE_ALL, Do.TELL_UP, Do.END)),
}
REQUEST_TABLE: dict[tuple[Phase, CircuitInput], tuple[Phase, tuple[Do, ...]]] = {
    (Phase.OPENING, _I.ACCEPTED): (Phase.OPEN, (Do.ANNOUNCE, Do.ASK)),
    (Phase.OPENING, _I.REFUSED): (Phase.CLOSED, (Do.END,)),
    (Phase.OPEN, _I.SATISFIED): (Phase.CLOSED, (Do.COMPLETE, Do.END)),
    (Phase.OPEN, _I.COMPLETE): (Phase.CLOSED, (Do.END,)),
} | {
    (phase, stimulus): (Phase.CLOSED, actions)
    for phase in (Phase.OPENING, Phase.OPEN)
    for stimulus, actions in {
        _I.FINISHED: (Do.DROP, Do.COMPLETE, Do.END),
        _I.TIMEOUT: (Do.DROP, Do.COMPLETE, Do.END),
        # With its circuit.
        _I.LINK_FAILED: (Do.END,),
        _I.PEER_LOST: (Do.END,),
        _I.NO_ROUTE: (Do.END,),
        _I.NO_PROMISE: (Do.END,),
        _I.NO_MEMORY: (Do.END,),
        _I.NO_RATE: (Do.END,),
        _I.PREEMPTED: (Do.END,),
        _I.SILENT: (Do.END,),
    }.items()
}
"""A request at the head or the tail."""

_FREED = (Do.STOP, Do.RELEASE_ALL)
RELAY_TABLE: dict[tuple[Phase, CircuitInput], tuple[Phase, tuple[Do, ...]]] = {
    (Phase.OPENING, _I.INSTALLED): (Phase.OPEN, (Do.PASS_UP, Do.ASK)),
} | {
    (phase, stimulus): (Phase.CLOSED, (*_FREED, *told))
    for phase in (Phase.OPENING, Phase.OPEN)
    for stimulus, told in {
        _I.FROM_UP: (Do.TELL_DOWN,),
        _I.UP_LOST: (Do.TELL_DOWN,),
        _I.FROM_DOWN: (Do.TELL_UP,),
        _I.DOWN_LOST: (Do.TELL_UP,),
        _I.LINK_FAILED: (Do.TELL_UP, Do.TELL_DOWN),
        _I.PREEMPTED: (Do.TELL_UP, Do.TELL_DOWN),
        _I.SILENT: (Do.TELL_UP, Do.TELL_DOWN),
    }.items()
}

_S, _P = PairState, PairInput
type PairTable = dict[tuple[PairState, PairInput], tuple[PairState, tuple[Do, ...]]]

_FRESH = (Do.TAKE, Do.TRACK, Do.EARLY)
END_TABLE: PairTable = {
    (_S.ABSENT, _P.LINK_PAIR): (_S.HERE, _FRESH),
    (_S.ABSENT, _P.TRACK): (_S.THERE, (Do.NOTE,)),
    (_S.ABSENT, _P.EXPIRED): (_S.ABSENT, ()),
    (_S.ABSENT, _P.DISCARD): (_S.VOID, (Do.HOLD,)),
    (_S.HERE, _P.LINK_PAIR): (_S.HERE, (Do.RELEASE, Do.ASK, *_FRESH)),  # the number came round
    (_S.HERE, _P.TRACK): (_S.BOTH, (Do.NOTE, Do.DELIVER)),
    (_S.HERE, _P.MISFIT): (_S.ABSENT, (Do.REPORT, Do.DISCARD, Do.RELEASE, Do.ASK)),
    (_S.HERE, _P.EXPIRED): (_S.DEAD, (Do.DISCARD, Do.RELEASE, Do.HOLD, Do.ASK)),
    (_S.HERE, _P.DISCARD): (_S.ABSENT, (Do.RELEASE, Do.ASK)),
    (_S.HERE, _P.DROPPED): (_S.DEAD, (Do.DISCARD, Do.RELEASE, Do.HOLD, Do.ASK)),
    (_S.THERE, _P.LINK_PAIR): (_S.BOTH, (Do.TAKE, Do.TRACK, Do.DELIVER)),
    (_S.THERE, _P.MISFIT): (_S.ABSENT, (Do.REPORT, Do.TAKE, Do.DISCARD, Do.RELEASE, Do.ASK)),
    (_S.THERE, _P.TRACK): (_S.THERE, (Do.NOTE,)),
    (_S.THERE, _P.EXPIRED): (_S.ABSENT, (Do.DISCARD,)),
    (_S.THERE, _P.DISCARD): (_S.VOID, (Do.HOLD,)),
    (_S.BOTH, _P.LINK_PAIR): (_S.HERE, _FRESH),
    (_S.BOTH, _P.TRACK): (_S.THERE, (Do.NOTE,)),
    (_S.BOTH, _P.EXPIRED): (_S.ABSENT, (Do.DISCARD, Do.LOSE)),
    (_S.BOTH, _P.DISCARD): (_S.ABSENT, (Do.LOSE,)),
    (_S.BOTH, _P.AGED): (_S.ABSENT, (Do.DISCARD, Do.LOSE)),
    (_S.BOTH, _P.NO_ROOM): (_S.ABSENT, (Do.DISCARD, Do.LOSE)),
    (_S.VOID, _P.LINK_PAIR): (_S.ABSENT, (Do.TAKE, Do.RELEASE, Do.ASK)),
    (_S.VOID, _P.TRACK): (_S.THERE, (Do.NOTE,)),
    (_S.VOID, _P.EXPIRED): (_S.ABSENT, ()),
    (_S.VOID, _P.DISCARD): (_S.VOID, (Do.HOLD,)),
    (_S.VOID, _P.HELD_LONG): (_S.ABSENT, ()),
    (_S.DEAD, _P.LINK_PAIR): (_S.HERE, _FRESH),
    (_S.DEAD, _P.TRACK): (_S.ABSENT, ()),
    (_S.DEAD, _P.EXPIRED): (_S.DEAD, (Do.HOLD,)),
    (_S.DEAD, _P.DISCARD): (_S.ABSENT, ()),  # both ends discarded it at once
    (_S.DEAD, _P.HELD_LONG): (_S.ABSENT, ()),
    (_S.ABSENT, _P.SURPLUS): (_S.DEAD, (Do.TAKE, Do.DISCARD, Do.RELEASE, Do.HOLD, Do.ASK)),
    (_S.THERE, _P.SURPLUS): (_S.ABSENT, (Do.TAKE, Do.DISCARD, Do.RELEASE, Do.ASK)),
    (_S.BOTH, _P.SURPLUS): (_S.DEAD, (Do.TAKE, Do.DISCARD, Do.RELEASE, Do.HOLD, Do.ASK)),
    (_S.VOID, _P.SURPLUS): (_S.ABSENT, (Do.TAKE, Do.RELEASE, Do.ASK)),
    (_S.DEAD, _P.SURPLUS): (_S.DEAD, (Do.TAKE, Do.DISCARD, Do.RELEASE, Do.HOLD, Do.ASK)),
}
"""A link pair at the head or the tail."""

_NEW = (Do.TAKE, Do.CLOCK, Do.MATCH)
_GIVEN_UP = (Do.DISCARD, Do.RELEASE, Do.HOLD, Do.ASK)
SWAP_TABLE: PairTable = {
    (_S.ABSENT, _P.LINK_PAIR): (_S.HERE, _NEW),
    (_S.ABSENT, _P.TRACK): (_S.THERE, (Do.NOTE,)),
    (_S.ABSENT, _P.EXPIRED): (_S.ABSENT, ()),
    (_S.ABSENT, _P.DISCARD): (_S.VOID, (Do.HOLD,)),
    (_S.THERE, _P.LINK_PAIR): (_S.HERE, _NEW),
    (_S.THERE, _P.MISFIT): (_S.ABSENT, (Do.REPORT, Do.TAKE, Do.DISCARD, Do.RELEASE, Do.ASK)),
    (_S.THERE, _P.TRACK): (_S.THERE, (Do.NOTE,)),
    (_S.THERE, _P.EXPIRED): (_S.ABSENT, (Do.DISCARD,)),
    (_S.THERE, _P.DISCARD): (_S.VOID, (Do.HOLD,)),
    (_S.HERE, _P.LINK_PAIR): (_S.HERE, (Do.RELEASE, Do.ASK, *_NEW)),  # the number came round
    (_S.HERE, _P.TRACK): (_S.HERE, (Do.NOTE,)),
    (_S.HERE, _P.MISFIT): (_S.ABSENT, (Do.REPORT, Do.DISCARD, Do.RELEASE, Do.ASK)),
    (_S.HERE, _P.CHOSEN): (_S.SWAPPING, ()),
    (_S.HERE, _P.EXPIRED): (_S.DEAD, _GIVEN_UP),
    (_S.HERE, _P.CUTOFF): (_S.DEAD, _GIVEN_UP),
    (_S.HERE, _P.DISCARD): (_S.ABSENT, (Do.RELEASE, Do.ASK)),
    # Its qubit belongs to the program that measures it: nothing is released here.
    (_S.SWAPPING, _P.TRACK): (_S.SWAPPING, (Do.NOTE,)),
    (_S.SWAPPING, _P.MISFIT): (_S.DOOMED, (Do.REPORT, Do.DISCARD)),
    (_S.SWAPPING, _P.EXPIRED): (_S.DOOMED, (Do.DISCARD,)),
    (_S.SWAPPING, _P.DISCARD): (_S.DOOMED, ()),
    (_S.SWAPPING, _P.BROKEN): (_S.DOOMED, (Do.DISCARD,)),
    (_S.SWAPPING, _P.MEASURED): (_S.SWAPPED, (Do.PASS,)),
    (_S.DOOMED, _P.TRACK): (_S.DOOMED, ()),
    (_S.DOOMED, _P.MISFIT): (_S.DOOMED, ()),
    (_S.DOOMED, _P.EXPIRED): (_S.DOOMED, ()),
    (_S.DOOMED, _P.DISCARD): (_S.DOOMED, ()),
    (_S.DOOMED, _P.BROKEN): (_S.DOOMED, ()),
    (_S.DOOMED, _P.MEASURED): (_S.DEAD, (Do.BREAK, Do.ASK, Do.HOLD)),
    (_S.SWAPPED, _P.TRACK): (_S.SWAPPED, (Do.NOTE, Do.PASS)),
    (_S.SWAPPED, _P.MISFIT): (_S.ABSENT, (Do.REPORT, Do.DISCARD, Do.BREAK, Do.ASK)),
    (_S.SWAPPED, _P.EXPIRED): (_S.DEAD, (Do.DISCARD, Do.BREAK, Do.ASK, Do.HOLD)),
    (_S.SWAPPED, _P.DISCARD): (_S.ABSENT, (Do.BREAK, Do.ASK)),
    (_S.SWAPPED, _P.BROKEN): (_S.DEAD, (Do.DISCARD, Do.ASK, Do.HOLD)),
    (_S.VOID, _P.LINK_PAIR): (_S.ABSENT, (Do.TAKE, Do.RELEASE, Do.ASK)),
    (_S.VOID, _P.TRACK): (_S.THERE, (Do.NOTE,)),
    (_S.VOID, _P.EXPIRED): (_S.ABSENT, ()),
    (_S.VOID, _P.DISCARD): (_S.VOID, (Do.HOLD,)),
    (_S.VOID, _P.HELD_LONG): (_S.ABSENT, ()),
    (_S.DEAD, _P.LINK_PAIR): (_S.HERE, _NEW),
    (_S.DEAD, _P.TRACK): (_S.ABSENT, ()),
    (_S.DEAD, _P.MISFIT): (_S.ABSENT, ()),
    (_S.DEAD, _P.EXPIRED): (_S.DEAD, (Do.HOLD,)),
    (_S.DEAD, _P.DISCARD): (_S.ABSENT, ()),
    (_S.DEAD, _P.BROKEN): (_S.DEAD, ()),
    (_S.DEAD, _P.HELD_LONG): (_S.ABSENT, ()),
}
"""A link pair at a repeater."""
