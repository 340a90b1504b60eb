"""The states of a remote gate at each of its ends, and the tables that move them: all of them are here.

A table maps (state, input) to (next state, actions in order).  What is not in it cannot happen: the machine
reports such an input of the peer and drops it, one of this node is an error of ours.
"""

from enum import Enum, auto


class GateState(Enum):
    """Of a gate at one of its ends."""

    NEEDS_READY = auto()
    NEEDS_CAT = auto()
    NEEDS_PAIR = auto()
    RUNNING = auto()  # the device is at it
    NEEDS_UNCAT = auto()
    ENDED = auto()


class GateInput(Enum):
    """What moves a gate."""

    READY = auto()
    CAT = auto()
    PAIR = auto()
    MEASURED = auto()
    UNCAT = auto()
    FAIL = auto()  # here: no pair, a pair lost, ends that disagree, cancelled
    REFUSED = auto()  # says the peer
    PEER_LOST = auto()


class Do(Enum):
    """Actions of the tables."""

    ASK = auto()  # for a pair: event NeedPair, unless one is at hand
    RUN = auto()  # event RunControl or RunTarget
    CAT = auto()  # send Cat
    UNCAT = auto()  # send Uncat
    APPLY_Z = auto()
    DONE = auto()
    TELL = auto()  # send Refused
    REFUSE = auto()  # event GateRefused, data intact
    REFUSE_TOUCHED = auto()  # the same, but the data qubit has been used


_S, _I = GateState, GateInput
CONTROL_TABLE: dict[tuple[GateState, GateInput], tuple[GateState, tuple[Do, ...]]] = {
    (_S.NEEDS_READY, _I.READY): (_S.NEEDS_PAIR, (Do.ASK,)),
    (_S.NEEDS_READY, _I.FAIL): (_S.ENDED, (Do.TELL, Do.REFUSE)),
    (_S.NEEDS_READY, _I.REFUSED): (_S.ENDED, (Do.REFUSE,)),
    (_S.NEEDS_READY, _I.PEER_LOST): (_S.ENDED, (Do.REFUSE,)),
    (_S.NEEDS_PAIR, _I.PAIR): (_S.RUNNING, (Do.RUN,)),
    (_S.NEEDS_PAIR, _I.FAIL): (_S.ENDED, (Do.TELL, Do.REFUSE)),
    (_S.NEEDS_PAIR, _I.REFUSED): (_S.ENDED, (Do.REFUSE,)),
    (_S.NEEDS_PAIR, _I.PEER_LOST): (_S.ENDED, (Do.REFUSE,)),
    (_S.RUNNING, _I.MEASURED): (_S.NEEDS_UNCAT, (Do.CAT,)),
    (_S.RUNNING, _I.FAIL): (_S.ENDED, (Do.TELL, Do.REFUSE_TOUCHED)),
    (_S.RUNNING, _I.REFUSED): (_S.ENDED, (Do.REFUSE_TOUCHED,)),
    (_S.RUNNING, _I.PEER_LOST): (_S.ENDED, (Do.REFUSE_TOUCHED,)),
    (_S.NEEDS_UNCAT, _I.UNCAT): (_S.ENDED, (Do.APPLY_Z, Do.DONE)),
    (_S.NEEDS_UNCAT, _I.FAIL): (_S.ENDED, (Do.TELL, Do.REFUSE_TOUCHED)),
    (_S.NEEDS_UNCAT, _I.REFUSED): (_S.ENDED, (Do.REFUSE_TOUCHED,)),
    (_S.NEEDS_UNCAT, _I.PEER_LOST): (_S.ENDED, (Do.REFUSE_TOUCHED,)),
}
TARGET_TABLE: dict[tuple[GateState, GateInput], tuple[GateState, tuple[Do, ...]]] = {
    (_S.NEEDS_CAT, _I.CAT): (_S.NEEDS_PAIR, ()),
    (_S.NEEDS_CAT, _I.FAIL): (_S.ENDED, (Do.TELL, Do.REFUSE)),
    (_S.NEEDS_CAT, _I.REFUSED): (_S.ENDED, (Do.REFUSE,)),
    (_S.NEEDS_CAT, _I.PEER_LOST): (_S.ENDED, (Do.REFUSE,)),
    (_S.NEEDS_PAIR, _I.PAIR): (_S.RUNNING, (Do.RUN,)),
    (_S.NEEDS_PAIR, _I.FAIL): (_S.ENDED, (Do.TELL, Do.REFUSE)),
    (_S.NEEDS_PAIR, _I.REFUSED): (_S.ENDED, (Do.REFUSE,)),
    (_S.NEEDS_PAIR, _I.PEER_LOST): (_S.ENDED, (Do.REFUSE,)),
    (_S.RUNNING, _I.MEASURED): (_S.ENDED, (Do.UNCAT, Do.DONE)),
    (_S.RUNNING, _I.FAIL): (_S.ENDED, (Do.TELL, Do.REFUSE_TOUCHED)),
    (_S.RUNNING, _I.REFUSED): (_S.ENDED, (Do.REFUSE_TOUCHED,)),
    (_S.RUNNING, _I.PEER_LOST): (_S.ENDED, (Do.REFUSE_TOUCHED,)),
}
