"""The two streams between a node and one of its peers.

What may live here: what is remembered of streams, and how they are numbered.
"""

from collections import deque
from typing import Final

from protocols.reliable.service import Undelivered
from protocols.reliable.timing import RoundTrip
from protocols.wire.codec import RelData, RelProbe

PROBE: Final = (RelProbe.PROTOCOL, RelProbe.MESSAGE)

U32: Final = 0xFFFFFFFF
_SPREAD: Final = 0x9E3779B1
"""2^32 over the golden ratio, and odd: its multiples lie far apart (Knuth, TAOCP 3, section 6.4)."""


class Segment:
    """One Data on its way.  `whole` is the message it ends, for the report if the stream breaks."""

    __slots__ = ("message", "more", "payload", "protocol", "resent", "sent_at", "sequence", "whole")

    def __init__(
        self, sequence: int, protocol: int, message: int, more: int, payload: bytes, whole: Undelivered | None
    ) -> None:
        self.sequence = sequence
        self.protocol = protocol
        self.message = message
        self.more = more
        self.payload = payload
        self.whole = whole
        self.sent_at = 0
        self.resent = False


class Outgoing:
    """The stream to one peer.  `flight` are the segments sent and not acknowledged, oldest first."""

    __slots__ = (
        "begun",
        "epoch",
        "flight",
        "next_sequence",
        "recover",
        "timing",
        "tries",
        "waiting",
    )

    def __init__(self, epoch: int, timing: RoundTrip) -> None:
        self.timing = timing
        self.flight: deque[Segment] = deque()
        self.waiting: deque[Segment] = deque()
        self.begin(epoch)

    def begin(self, epoch: int) -> None:
        self.epoch = epoch & U32
        self.next_sequence = first_sequence(self.epoch)
        self.begun = False  # whether anything of this stream has been acknowledged
        self.tries = 0
        self.recover = self.next_sequence  # segments below it were on their way at the last timeout

    @property
    def unused(self) -> bool:
        """Nothing has been sent on it."""
        return self.next_sequence == first_sequence(self.epoch)

    def undelivered(self) -> tuple[Undelivered, ...]:
        whole = [segment.whole for part in (self.flight, self.waiting) for segment in part]
        return tuple(message for message in whole if message is not None and message[:2] != PROBE)


class Incoming:
    """The peer's stream: `expected` is the next sequence; `early` came before its turn; `parts` of a split
    body."""

    __slots__ = ("early", "ended", "epoch", "expected", "owed", "parts", "refused", "size", "told")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.expected = first_sequence(epoch)
        self.owed = 0  # segments that came since the last acknowledgement
        self.early: dict[int, RelData] = {}
        self.parts: list[bytes] = []
        self.size = 0
        self.refused = False  # its sender broke a rule: nothing more of it is taken
        self.ended = False  # with this node's own stream: nothing more of it is delivered
        self.told = False  # its end would be no news: its sender has forgotten it, and a Broken has said so


class Peer:
    """What a node knows of another: the two streams between them, and who waits for it."""

    __slots__ = (
        "ack_delay_ps",
        "delivered",
        "heard_at",
        "incoming",
        "number",
        "outgoing",
        "silence_ps",
        "unknown",
        "watchers",
    )

    def __init__(self, number: int, epoch: int, round_trip_ps: int, ack_delay_ps: int) -> None:
        self.number = number
        self.ack_delay_ps = ack_delay_ps
        self.outgoing = Outgoing(epoch, RoundTrip(round_trip_ps, ack_delay_ps))
        self.incoming: Incoming | None = None
        self.delivered = False  # whether it has delivered anything since the last Broken
        self.unknown = True  # no message of REL has come of it ever
        self.watchers = 0
        self.heard_at = 0  # when it last sent something of content
        self.silence_ps = 0  # how long it may be silent since then, if it is watched


def first_sequence(epoch: int) -> int:
    """Where the numbers of a stream begin (REL-4).

    Data does not say to which stream its acknowledgement belongs.  As TCP's choice of initial numbers does
    (RFC 9293, 3.4.1), this puts the numbers of a node's successive streams so far apart that none is taken
    for another's.
    """
    return epoch * _SPREAD & U32
