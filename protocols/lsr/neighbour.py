"""What a node knows of one neighbour, and what is on the way to it.

What may live here: the record and its small rules.  What happens when is `node`'s business.
"""

from protocols.lsr.database import Key
from protocols.lsr.states import State
from protocols.wire.codec import LsrAdvert, LsrVersion

FIRST_TIMEOUT = 4
"""Of an unanswered message, in round trips: one for the way there and back, one for an Ack that waits for company, the
rest for jitter."""

PATIENCE = 32
"""No neighbour is silent before this many first timeouts: six attempts, as the timeout doubles."""


class Neighbour:
    """One neighbour.  All times are node time."""

    __slots__ = (
        "asked_at",
        "asking",
        "back_off",
        "down_at",
        "flight",
        "heard_at",
        "hears",
        "leads",
        "life",
        "newest",
        "number",
        "owed",
        "round_trip_ps",
        "sent",
        "state",
        "timeout_ps",
        "wanted",
        "watches",
    )

    def __init__(self, number: int, round_trip_ps: int, leads: bool) -> None:
        self.number = number
        self.round_trip_ps = round_trip_ps
        self.timeout_ps = FIRST_TIMEOUT * round_trip_ps
        self.leads = leads  # whether this node leads towards it: asks first, compares first
        self.state = State.DOWN
        self.watches = 0
        self.life = 0  # newest life heard; 0: none yet
        self.hears = False  # whether this node hears it, and says so
        self.newest = 0  # highest Hello number of that life
        self.sent = 0  # Hello numbers given out
        self.heard_at = 0
        self.down_at = 0  # since when it has been down, or asked for
        self.back_off = 0  # how often the timeout has doubled
        self.asking = False  # whether a Hello that wants an answer has none
        self.asked_at: int | None = None  # since when some answer is waited for
        self.flight: dict[Key, LsrAdvert] = {}  # sent, not acknowledged
        self.wanted: set[Key] = set()  # requested, not received
        self.owed: dict[Key, LsrVersion] = {}  # received, to be acknowledged

    @property
    def up(self) -> bool:
        return self.state is not State.DOWN

    @property
    def busy(self) -> bool:
        """Is an advert on the way, in either direction, as far as is known?"""
        return bool(self.flight or self.wanted)

    @property
    def outstanding(self) -> bool:
        """Is there anything that must be repeated if nothing comes of it?"""
        return self.busy or self.asking or self.state is not State.AGREE

    def drop(self) -> None:
        """Nothing is on the way to it any more."""
        self.flight.clear()
        self.wanted.clear()
        self.owed.clear()
        self.asking = False
        self.asked_at = None
        self.back_off = 0
