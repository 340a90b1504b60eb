"""The states of LSR's neighbours, and the table that moves them: all of them are here.

The table maps (state, input) to (next state, actions in order).  What is not in it cannot happen.
"""

from enum import Enum, auto


class State(Enum):
    """Of a neighbour, as this node sees it."""

    DOWN = auto()  # not heard, or it does not hear this node; asked for at growing intervals
    DIFFER = auto()  # both hear each other; the databases are being compared
    AGREE = auto()  # they have been equal; what comes to one is passed on to the other


class Input(Enum):
    """What moves a neighbour."""

    ONE_WAY = auto()  # its Hello does not name this life of this node
    DIFFERS = auto()  # it does, but the digests differ; or a Summary has shown a difference
    AGREES = auto()  # it does, and the digests are equal
    RESTARTED = auto()  # its Hello comes from a newer life
    SILENT = auto()  # it has not answered for too long


class Do(Enum):
    """Actions of the table."""

    UP = auto()  # event NeighbourUp; this node's adverts name the links to it from now on
    LOST = auto()  # event NeighbourDown, and no more of that; what was on its way to it is dropped
    ASK = auto()  # send Hello, to be answered
    COMPARE = auto()  # the lower-numbered of the two sends Summary; the other asks, if that does not come
    REST = auto()  # nothing more is asked


_S, _I = State, Input
TABLE: dict[tuple[State, Input], tuple[State, tuple[Do, ...]]] = {
    (_S.DOWN, _I.ONE_WAY): (_S.DOWN, (Do.ASK,)),
    (_S.DOWN, _I.DIFFERS): (_S.DIFFER, (Do.UP, Do.COMPARE)),
    (_S.DOWN, _I.AGREES): (_S.AGREE, (Do.UP, Do.REST)),
    (_S.DIFFER, _I.ONE_WAY): (_S.DOWN, (Do.LOST, Do.ASK)),
    (_S.DIFFER, _I.DIFFERS): (_S.DIFFER, ()),
    (_S.DIFFER, _I.AGREES): (_S.AGREE, (Do.REST,)),
    (_S.DIFFER, _I.RESTARTED): (_S.DOWN, (Do.LOST,)),
    (_S.DIFFER, _I.SILENT): (_S.DOWN, (Do.LOST, Do.ASK)),
    (_S.AGREE, _I.ONE_WAY): (_S.DOWN, (Do.LOST, Do.ASK)),
    (_S.AGREE, _I.DIFFERS): (_S.DIFFER, (Do.COMPARE,)),
    (_S.AGREE, _I.AGREES): (_S.AGREE, (Do.REST,)),
    (_S.AGREE, _I.RESTARTED): (_S.DOWN, (Do.LOST,)),
    (_S.AGREE, _I.SILENT): (_S.DOWN, (Do.LOST, Do.ASK)),
}
