"""What a client of TTP can be in, and what moves it.

What may live here: states, inputs, the table, and what the machine tells its driver.
"""

from enum import Enum, auto
from typing import NamedTuple


class TimeState(Enum):
    """Of a node's clock."""

    UNSET = auto()
    SET = auto()  # once; its rate is not known yet
    SETTLING = auto()  # time and rate are near the server's
    TRACKING = auto()
    HOLDOVER = auto()  # the server is silent


class TimeInput(Enum):
    """What moves it."""

    NEAR = auto()  # an exchange, as could be expected
    FAR = auto()  # an exchange that neither delay nor noise explains
    SETTLED = auto()  # so many NEAR
    SILENT = auto()  # so many exchanges in a row without an answer


class Do(Enum):
    """Actions of the table."""

    STEP = auto()  # set the clock
    RATE = auto()  # set the clock again, and its rate by how far it has run off since
    SLEW = auto()  # change its rate for a while
    COAST = auto()  # leave it at the rate that was right so far


_S, _I = TimeState, TimeInput
TABLE: dict[tuple[TimeState, TimeInput], tuple[TimeState, Do]] = {
    (_S.UNSET, _I.NEAR): (_S.SET, Do.STEP),
    (_S.UNSET, _I.FAR): (_S.SET, Do.STEP),
    (_S.UNSET, _I.SILENT): (_S.UNSET, Do.COAST),
    (_S.SET, _I.NEAR): (_S.SETTLING, Do.RATE),
    (_S.SET, _I.FAR): (_S.SETTLING, Do.RATE),
    (_S.SET, _I.SILENT): (_S.UNSET, Do.COAST),
    (_S.SETTLING, _I.NEAR): (_S.SETTLING, Do.SLEW),
    (_S.SETTLING, _I.SETTLED): (_S.TRACKING, Do.SLEW),
    (_S.SETTLING, _I.FAR): (_S.SET, Do.STEP),
    (_S.SETTLING, _I.SILENT): (_S.HOLDOVER, Do.COAST),
    (_S.TRACKING, _I.NEAR): (_S.TRACKING, Do.SLEW),
    (_S.TRACKING, _I.FAR): (_S.SET, Do.STEP),
    (_S.TRACKING, _I.SILENT): (_S.HOLDOVER, Do.COAST),
    (_S.HOLDOVER, _I.NEAR): (_S.SETTLING, Do.SLEW),
    (_S.HOLDOVER, _I.FAR): (_S.SET, Do.STEP),
    (_S.HOLDOVER, _I.SILENT): (_S.HOLDOVER, Do.COAST),
}


class Steer(NamedTuple):
    """Event: set the clock forward by so much, and have it run so much faster than its oscillator (units of 1e-15)."""

    step_ps: int
    rate: int


class Exchange(NamedTuple):
    """Event: one exchange, as it was understood.  used: it steered the clock; else it was slower than others."""

    offset_ps: int
    delay_ps: int
    used: bool


class Turned(NamedTuple):
    """Event: the clock's state is another."""

    state: TimeState
