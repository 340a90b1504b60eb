"""What an end of a circuit knows of one link pair, and of what has become of its half.

What may live here: that record.
"""

from dataclasses import dataclass
from enum import Enum, auto

from protocols.pairs import Pair
from protocols.qnp.requests import Request
from protocols.qnp.service import LinkPair, LinkSequence
from protocols.qnp.sketch import MIXED, Sketch
from protocols.qnp.states import PairState
from protocols.wire.codec import EgpBasis, PairUse, QnpTrack


class Holder(Enum):
    """Whose a half's qubit is."""

    NETWORK = auto()
    USER = auto()
    NOBODY = auto()  # it has been measured, or is in a program that will give it back


class Reading(Enum):
    """What has become of a half while it is measured, before it is tracked."""

    WELL = auto()
    EXPIRED = auto()
    DISCARDED = auto()


@dataclass(slots=True)
class Record:
    """What this end knows of one link pair."""

    name: LinkSequence
    state: PairState = PairState.ABSENT
    half: LinkPair | None = None
    track: QnpTrack | None = None
    since: int = 0  # when the half came
    noted: int = 0  # when the Track came
    pair_id: int = 0  # 0: not known yet
    request: int = 0  # 0: not known yet, or none
    use: PairUse = PairUse.DELIVER
    holder: Holder = Holder.NETWORK
    read: tuple[EgpBasis, int] | None = None  # what measuring the half has given
    index: int = 0  # of the pair between the ends,
    sketch: Sketch = MIXED  # what it was like, the half there first,
    at: tuple[int, int] = (0, 0)  # and when each half was so, there and here
    final: Pair | None = None  # as it was handed up
    user: Request | None = None  # to whom
