"""The states of a session of KEY at each of its ends, and the tables that move them: all of them are here.

A table maps (state, input) to the next state.  What is not in it cannot happen: the machine reports such an input of
the peer and drops it, one of this node is an error of ours.
"""

from enum import Enum, auto


class KeyState(Enum):
    """Of a session at one of its ends; but for the first two and the last, of its block."""

    OPENING = auto()  # the opener waits for Accept
    RESTING = auto()  # the opener has keys enough
    GATHERING = auto()  # pairs are measured
    SIFTING = auto()  # the opener waits for the responder's bases and tests
    MATCHING = auto()  # the responder waits for pairs that the opener has
    ESTIMATING = auto()  # the responder waits for Estimate
    CORRECTING = auto()
    PROVING = auto()  # the opener waits for Verified, the responder for Proof
    CLOSED = auto()


class KeyInput(Enum):
    """What moves a session."""

    ACCEPTED = auto()
    NEED = auto()  # more keys are wanted
    GATHERED = auto()  # opener: a block of pairs is here; responder: its bases are
    MATCHED = auto()  # the pairs that both have are known
    ESTIMATED = auto()  # few enough of the tested bits differ
    CORRECTED = auto()
    VERIFIED = auto()
    GIVEN_UP = auto()  # the block, by either end
    CLOSE = auto()  # the session is over, whoever has ended it


_S, _I = KeyState, KeyInput
_OVER: dict[tuple[KeyState, KeyInput], KeyState] = {
    (state, _I.CLOSE): _S.CLOSED for state in KeyState if state is not _S.CLOSED
}

OPENER_TABLE: dict[tuple[KeyState, KeyInput], KeyState] = {
    (_S.OPENING, _I.ACCEPTED): _S.RESTING,
    (_S.RESTING, _I.NEED): _S.GATHERING,
    (_S.GATHERING, _I.GATHERED): _S.SIFTING,
    (_S.GATHERING, _I.GIVEN_UP): _S.RESTING,
    (_S.SIFTING, _I.ESTIMATED): _S.CORRECTING,
    (_S.SIFTING, _I.GIVEN_UP): _S.RESTING,
    (_S.CORRECTING, _I.CORRECTED): _S.PROVING,
    (_S.CORRECTING, _I.GIVEN_UP): _S.RESTING,
    (_S.PROVING, _I.VERIFIED): _S.RESTING,
    (_S.PROVING, _I.GIVEN_UP): _S.RESTING,
    **_OVER,
}
RESPONDER_TABLE: dict[tuple[KeyState, KeyInput], KeyState] = {
    (_S.GATHERING, _I.GATHERED): _S.MATCHING,
    (_S.GATHERING, _I.GIVEN_UP): _S.GATHERING,
    (_S.MATCHING, _I.MATCHED): _S.ESTIMATING,
    (_S.MATCHING, _I.GIVEN_UP): _S.GATHERING,
    (_S.ESTIMATING, _I.ESTIMATED): _S.CORRECTING,
    (_S.ESTIMATING, _I.GIVEN_UP): _S.GATHERING,
    (_S.CORRECTING, _I.CORRECTED): _S.PROVING,
    (_S.CORRECTING, _I.GIVEN_UP): _S.GATHERING,
    (_S.PROVING, _I.VERIFIED): _S.GATHERING,
    (_S.PROVING, _I.GIVEN_UP): _S.GATHERING,
    **_OVER,
}
