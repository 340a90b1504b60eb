"""REL: delivers messages to each peer in order and exactly once, over a network that loses them.  REL-n:
reliable.toml.

Rules.  A node sends each peer one stream of segments, named by its epoch and numbered from a place that
depends on the epoch.  The two directions between two nodes are independent but for this: acknowledgements of
one ride on the Data of the other.  Every node is therefore a sender (`_Outgoing`) and a receiver
(`_Incoming`) towards each of its peers.

The sender.  An epoch is the sender's incarnation in the high half and a count of its streams to this peer in
the low half, so it only grows.  A stream ends, and the next begins, when a segment has been sent `tries`
times in vain, when the peer says Reset, or when the peer is seen to have restarted; what was not acknowledged
is dropped and reported (`Broken`).  Until the first segment of a stream has been acknowledged no second one
is sent: whoever then gets a segment other than the first, of a stream it does not know, can be sure to have
forgotten that stream by a restart, and says Reset at once.

The receiver, on a Data of the peer's stream `epoch`, by what it knows of that peer:

    knows     | epoch, segment        | does
    nothing   | any, the first        | opens the stream
    nothing   | any, not the first    | Reset
    a stream  | that stream           | delivers in order, keeps what came early, acknowledges it again
    a stream  | older                 | ignores it: a straggler
    a stream  | newer, the first      | Broken, and opens it; a newer incarnation: ends its own stream, too
    a stream  | newer, not the first  | Reset

A peer that dies in silence is noticed only by who sends to it.  So whoever waits for a peer says so
(`watch`), and a peer that has said nothing for the keep-alive time is sent a Probe, as a Data like any other:
it is acknowledged, or the stream breaks.  As long as that is all that happens, the time doubles: who has
waited for some time knows of a death within the same time again, and two that wait for each other in vain
come to rest.

Timing is RFC 6298 in integer picoseconds without its floor of one second, which would outlive every qubit; in
its place stands the peer's possible delay of acknowledgements, as in RFC 9002.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from protocols.ignored import Ignored
from protocols.machine import Output, Send
from protocols.timers import Timers, soonest
from protocols.wire.codec import RelAck, RelData, RelProbe, RelReset

MAX_PAYLOAD: Final = 1_100
"""Bytes of a message's body in one segment."""

MAX_BODY: Final = 1 << 20
"""Bytes of a message's body: what a peer may make this node keep until its last segment comes."""

WINDOW: Final = 64
"""Segments on the way to a peer; at a receiver, how far ahead of its turn a segment may come and be kept."""

TRIES: Final = 12

KEEPALIVE_PS: Final = 100_000_000_000
"""100 ms: long beside any round trip, short beside any patience."""

_LONGEST_SILENCE_PS: Final = 10**18
"""Eleven days: nobody is asked again after so long."""

_PROBE: Final = (RelProbe.PROTOCOL, RelProbe.MESSAGE)

GRANULARITY_PS: Final = 1_000
"""G of RFC 6298: no delay in the network is shorter."""

_KEPT_BACK_OFF: Final = 4

_U32: Final = 0xFFFFFFFF
_SPREAD: Final = 0x9E3779B1
"""2^32 over the golden ratio, and odd: its multiples lie far apart (Knuth, TAOCP 3, section 6.4)."""


class Undelivered(NamedTuple):
    """A message that the peer did not acknowledge.  It may have arrived all the same."""

    protocol: int
    message: int
    body: bytes


class Delivered(NamedTuple):
    """Event: the next message of a peer."""

    source: int
    protocol: int
    message: int
    body: bytes


class Broken(NamedTuple):
    """Event: messages to or from this peer may be missing from here on; it was silent, or it has restarted.

    `unsent` are the messages this node had sent to it without being sure of their arrival.  Empty: it was the
    peer that gave up a stream of its own.
    """

    peer: int
    unsent: tuple[Undelivered, ...]


class RoundTrip:
    """RFC 6298's estimator for one peer, in integer picoseconds.

    srtt is kept times 8 and rttvar times 4 (Jacobson and Karels 1988), so that the gains 1/8 and 1/4 lose
    nothing.
    """

    __slots__ = ("_ack_delay_ps", "_first_ps", "_rttvar4", "_srtt8", "timeout_ps")

    def __init__(self, configured_ps: int, ack_delay_ps: int) -> None:
        self._ack_delay_ps = ack_delay_ps
        self._srtt8 = 0
        self._rttvar4 = 0
        self._first_ps = self.timeout_ps = 3 * max(configured_ps, GRANULARITY_PS)  # REL-8

    def sample(self, measured_ps: int) -> None:
        """Take in one measured round trip; ends any back-off."""
        if self._srtt8 == 0:
            self._srtt8 = 8 * measured_ps
            self._rttvar4 = 2 * measured_ps
        else:
            error = measured_ps - self._srtt8 // 8
            self._rttvar4 += abs(error) - self._rttvar4 // 4
            self._srtt8 += error
        self.timeout_ps = self._estimate()

    def back_off(self) -> None:
        """A timeout (RFC 6298, 5.5)."""
        self.timeout_ps *= 2

    def progress(self) -> None:
        """Something was acknowledged, but gave no sample.

        Karn keeps the back-off until there is a sample, for the round trip may have grown beyond the timeout.  When
        half of all exchanges fail, as at 30 % loss, that lets the timeout grow without end; two doublings are enough
        to get a sample from a round trip that has grown.  (RFC 9002 ends the back-off here.)
        """
        self.timeout_ps = min(self.timeout_ps, _KEPT_BACK_OFF * self._estimate())

    def _estimate(self) -> int:
        if self._srtt8 == 0:
            return self._first_ps
        # The peer may wait before it acknowledges.  RFC 6298's floor covers that; RFC 9002, 6.2.1 adds it.
        return self._srtt8 // 8 + max(GRANULARITY_PS, self._rttvar4) + self._ack_delay_ps


class _Segment:
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


class _Outgoing:
    """The stream to one peer.  `flight` are the segments sent and not acknowledged, oldest first."""

    __slots__ = (
        "begun",
        "epoch",
        "flight",
        "next_sequence",
        "recover",
        "resets",
        "timing",
        "tries",
        "waiting",
    )

    def __init__(self, epoch: int, timing: RoundTrip) -> None:
        self.timing = timing
        self.flight: deque[_Segment] = deque()
        self.waiting: deque[_Segment] = deque()
        self.begin(epoch)

    def begin(self, epoch: int) -> None:
        self.epoch = epoch & _U32
        self.next_sequence = first_sequence(self.epoch)
        self.begun = False  # whether anything of this stream has been acknowledged
        self.resets = False  # whether it began because the peer said Reset, and no Data has come since
        self.tries = 0
        self.recover = self.next_sequence  # segments below it were on their way at the last timeout

    def undelivered(self) -> tuple[Undelivered, ...]:
        whole = [segment.whole for part in (self.flight, self.waiting) for segment in part]
        return tuple(message for message in whole if message is not None and message[:2] != _PROBE)


class _Incoming:
    """The peer's stream: `expected` is the next sequence; `early` came before its turn; `parts` of a split
    body."""

    __slots__ = ("early", "epoch", "expected", "owed", "parts", "refused", "size")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.expected = first_sequence(epoch)
        self.owed = 0  # segments that came since the last acknowledgement
        self.early: dict[int, RelData] = {}
        self.parts: list[bytes] = []
        self.size = 0
        self.refused = False  # its sender broke a rule: nothing more of it is taken


class _Peer:
    __slots__ = ("ack_delay_ps", "heard_at", "incoming", "number", "outgoing", "silence_ps", "watchers")

    def __init__(self, number: int, epoch: int, round_trip_ps: int, ack_delay_ps: int) -> None:
        self.number = number
        self.ack_delay_ps = ack_delay_ps
        self.outgoing = _Outgoing(epoch, RoundTrip(round_trip_ps, ack_delay_ps))
        self.incoming: _Incoming | None = None
        self.watchers = 0
        self.heard_at = 0  # when it last sent something of content
        self.silence_ps = 0  # how long it may be silent since then, if it is watched


def first_sequence(epoch: int) -> int:
    """Where the numbers of a stream begin (REL-4).

    Data does not say to which stream its acknowledgement belongs.  As TCP's choice of initial numbers does
    (RFC 9293, 3.4.1), this puts the numbers of a node's successive streams so far apart that none is taken
    for another's.
    """
    return epoch * _SPREAD & _U32


class Reliable:
    """Both directions, towards every peer of one node.

    round_trip_ps: the configured round trip, one for all or a function of the peer.  ack_delay_ps: how long
    an acknowledgement may wait for a Data to ride on; by default one round trip.  keepalive_ps: how long a peer
    that is waited for may be silent before it is asked.
    """

    def __init__(
        self,
        incarnation: int,
        round_trip_ps: int | Callable[[int], int],
        *,
        ack_delay_ps: int | None = None,
        window: int = WINDOW,
        tries: int = TRIES,
        keepalive_ps: int = KEEPALIVE_PS,
    ) -> None:
        if not 0 <= incarnation <= 0xFFFF or window < 1 or tries < 1:
            raise ValueError(f"incarnation {incarnation}, window {window} or tries {tries} is out of range")
        self._first_epoch = incarnation << 16
        self._round_trip_ps = round_trip_ps
        self._ack_delay_ps = ack_delay_ps
        self._window = window
        self._ack_after = max(2, window // 4)
        self._tries = tries
        self._keepalive_ps = keepalive_ps
        self._peers: dict[int, _Peer] = {}
        self._retransmission: Timers[int] = Timers()
        self._acknowledgement: Timers[int] = Timers()
        self._silence: Timers[int] = Timers()
        self._outputs: list[Output] = []

    # The service upward.

    def send(self, peer: int, protocol: int, message: int, body: bytes, now: int) -> None:
        """Deliver a message to `peer` after all that was sent to it before, or report it in a Broken."""
        if len(body) > MAX_BODY:
            raise ValueError(f"a body of {len(body)} bytes; at most {MAX_BODY}")
        state = self._peer(peer)
        outgoing = state.outgoing
        whole = Undelivered(protocol, message, body)
        last = max(0, len(body) - 1) // MAX_PAYLOAD * MAX_PAYLOAD
        for at in range(0, last, MAX_PAYLOAD):  # REL-5
            self._queue(outgoing, protocol, message, 1, body[at : at + MAX_PAYLOAD], None)
        self._queue(outgoing, protocol, message, 0, body[last:] if last else body, whole)
        self._fill_window(state, now)

    def backlog(self, peer: int) -> int:
        """Segments for `peer` that are not acknowledged yet."""
        state = self._peers.get(peer)
        return len(state.outgoing.flight) + len(state.outgoing.waiting) if state else 0

    def watch(self, peer: int, now: int) -> None:
        """Somebody waits for this peer, and must know if it is gone (REL-14)."""
        state = self._peer(peer)
        state.watchers += 1
        if state.watchers == 1:
            state.heard_at, state.silence_ps = now, self._keepalive_ps
            self._silence.set(peer, now + self._keepalive_ps)

    def unwatch(self, peer: int) -> None:
        """Takes back one `watch`."""
        state = self._peer(peer)
        if not state.watchers:
            raise ValueError(f"nobody watches node {peer}")
        state.watchers -= 1
        if not state.watchers:
            self._silence.cancel(peer)

    def give_up(self, peer: int, now: int) -> None:
        """Somebody knows better that the peer cannot be reached: do not wait for the last try (REL-15)."""
        state = self._peers.get(peer)
        if state is not None and (state.outgoing.flight or state.watchers):
            self._break(state)

    # The machine.

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        peer = self._peer(source)
        if isinstance(message, RelData):
            self._on_data(peer, message, now)
        elif isinstance(message, RelAck):
            if message.stream_epoch == peer.outgoing.epoch:
                self._on_acknowledgement(peer, message.acknowledged, now)
        elif isinstance(message, RelReset):
            if message.stream_epoch == peer.outgoing.epoch:  # else it is about a stream that has ended
                self._break(peer)
                peer.outgoing.resets = True
        elif isinstance(message, RelProbe):
            self._outputs.append(Ignored(source, "RelProbe", "outside a Data"))
        else:
            raise TypeError(f"{type(message).__name__} is not a message of REL")

    def shown(self) -> list[dict[str, int]]:
        """Its queues, for people who look: peers with whom something is under way."""
        rows = []
        for number, peer in sorted(self._peers.items()):
            out, early = peer.outgoing, len(peer.incoming.early) if peer.incoming is not None else 0
            if out.flight or out.waiting or early:
                row = {"peer": number, "unacknowledged": len(out.flight), "waiting": len(out.waiting)}
                rows.append(row | {"early": early, "tries": out.tries})
        return rows

    def poll(self, now: int) -> list[Output]:
        for number in self._retransmission.take_due(now):
            self._on_timeout(self._peers[number], now)
        for number in self._acknowledgement.take_due(now):
            self._send_ack(self._peers[number])
        for number in self._silence.take_due(now):
            self._on_silence(self._peers[number], now)
        outputs, self._outputs = self._outputs, []
        return outputs

    def next_timeout(self) -> int | None:
        return soonest(self._retransmission.next(), self._acknowledgement.next(), self._silence.next())

    # The sender.

    @staticmethod
    def _queue(
        outgoing: _Outgoing, protocol: int, message: int, more: int, payload: bytes, whole: Undelivered | None
    ) -> None:
        outgoing.waiting.append(_Segment(outgoing.next_sequence, protocol, message, more, payload, whole))
        outgoing.next_sequence = outgoing.next_sequence + 1 & _U32

    def _fill_window(self, peer: _Peer, now: int) -> None:
        outgoing = peer.outgoing
        flight, waiting = outgoing.flight, outgoing.waiting
        limit = self._window if outgoing.begun else 1  # REL-3, REL-9
        while waiting and len(flight) < limit:
            segment = waiting.popleft()
            segment.sent_at = now
            if not flight:
                self._retransmission.set(peer.number, now + outgoing.timing.timeout_ps)
            flight.append(segment)
            self._transmit(peer, segment)

    def _transmit(self, peer: _Peer, segment: _Segment) -> None:
        incoming = peer.incoming
        acknowledged = 0
        if incoming is not None:
            acknowledged = incoming.expected  # REL-6
            if incoming.owed:
                incoming.owed = 0
                self._acknowledgement.cancel(peer.number)
        data = RelData(
            peer.outgoing.epoch,
            segment.sequence,
            acknowledged,
            segment.protocol,
            segment.message,
            segment.more,
            segment.payload,
        )
        self._outputs.append(Send(peer.number, data))

    def _on_acknowledgement(self, peer: _Peer, acknowledged: int, now: int) -> None:
        """The peer has every segment below `acknowledged`, unless that is a number of another stream or an
        old one."""
        outgoing = peer.outgoing
        flight = outgoing.flight
        if not flight:
            return
        done = acknowledged - flight[0].sequence & _U32
        if not 0 < done <= len(flight):
            return
        newest = None
        for _ in range(done):
            segment = flight.popleft()
            if not segment.resent:
                newest = segment
        # Karn: which transmission of a segment that was sent twice is meant, nobody knows; and while a hole
        # was being filled, what came behind it waited for that (REL-8).
        if (
            newest is not None
            and newest.sequence == (acknowledged - 1 & _U32)
            and not self._recovering(outgoing, newest.sequence)
        ):
            outgoing.timing.sample(now - newest.sent_at)
        else:
            outgoing.timing.progress()
        outgoing.begun = True
        outgoing.tries = 0
        if flight:
            self._retransmission.set(peer.number, now + outgoing.timing.timeout_ps)
            # A partial acknowledgement (RFC 6582): the next segment of that flight is missing, too, most
            # likely.
            if self._recovering(outgoing, flight[0].sequence) and not flight[0].resent:
                self._retransmit(peer, flight[0])
        else:
            self._retransmission.cancel(peer.number)
        self._fill_window(peer, now)

    @staticmethod
    def _recovering(outgoing: _Outgoing, sequence: int) -> bool:
        return 0 < (outgoing.recover - sequence & _U32) <= _U32 >> 1

    def _retransmit(self, peer: _Peer, segment: _Segment) -> None:
        segment.resent = True
        self._transmit(peer, segment)

    def _on_timeout(self, peer: _Peer, now: int) -> None:
        outgoing = peer.outgoing
        outgoing.tries += 1
        if outgoing.tries >= self._tries:  # REL-10
            self._break(peer)
            return
        outgoing.timing.back_off()
        oldest, newest = outgoing.flight[0], outgoing.flight[-1]
        outgoing.recover = newest.sequence + 1 & _U32
        self._retransmission.set(peer.number, now + outgoing.timing.timeout_ps)
        self._retransmit(peer, oldest)

    def _on_silence(self, peer: _Peer, now: int) -> None:
        due = peer.heard_at + peer.silence_ps
        if due <= now:
            if not peer.outgoing.flight:  # else it is being asked as it is
                self.send(peer.number, *_PROBE, b"", now)
            peer.silence_ps *= 2
            due = peer.heard_at + peer.silence_ps
        if peer.silence_ps <= _LONGEST_SILENCE_PS:
            self._silence.set(peer.number, due)

    def _break(self, peer: _Peer) -> None:
        """End the stream to this peer; the next message begins the next one."""
        outgoing = peer.outgoing
        unsent = outgoing.undelivered()
        outgoing.flight.clear()
        outgoing.waiting.clear()
        outgoing.timing = self._timing(peer.number)
        outgoing.begin(outgoing.epoch + 1)
        self._retransmission.cancel(peer.number)
        self._outputs.append(Broken(peer.number, unsent))

    # The receiver: the table at the top of this file.

    def _on_data(self, peer: _Peer, data: RelData, now: int) -> None:
        incoming = peer.incoming
        if incoming is None or data.stream_epoch > incoming.epoch:
            if data.sequence != first_sequence(data.stream_epoch):
                self._outputs.append(Send(peer.number, RelReset(data.stream_epoch)))  # REL-11
                return
            if incoming is not None:
                self._supersede(peer, incoming.epoch, data.stream_epoch)
            incoming = peer.incoming = _Incoming(data.stream_epoch)
        elif data.stream_epoch < incoming.epoch:
            return  # REL-12
        peer.outgoing.resets = False
        if incoming.refused:
            return
        if data.acknowledged:
            self._on_acknowledgement(peer, data.acknowledged, now)
        if data.sequence == incoming.expected:
            # RFC 5681, 4.2: at once, too, when a gap is filled, for the sender waits to know what else is missing.
            at_once = bool(incoming.early) or data.sequence == first_sequence(incoming.epoch)
            self._take(peer, incoming, data, now)
            while incoming.early and (following := incoming.early.pop(incoming.expected, None)) is not None:
                self._take(peer, incoming, following, now)
            self._owe(peer, incoming, now, at_once)
            return
        ahead = data.sequence - incoming.expected & _U32
        if ahead < self._window:
            incoming.early[data.sequence] = data
        elif ahead <= _U32 >> 1:
            self._outputs.append(Ignored(peer.number, "RelData", "beyond the window"))
            return
        self._send_ack(peer)  # REL-7: early, or a duplicate whose acknowledgement was lost

    def _supersede(self, peer: _Peer, old: int, new: int) -> None:
        """The peer has begun another stream before the old one was through."""
        outgoing = peer.outgoing
        restarted = new >> 16 != old >> 16
        if not restarted:
            self._outputs.append(Broken(peer.number, ()))  # REL-12
        elif not outgoing.resets:  # else its Reset has said so before
            self._break(peer)  # REL-13: what it had of this node's stream is gone
        self._acknowledgement.cancel(peer.number)

    def _take(self, peer: _Peer, incoming: _Incoming, data: RelData, now: int) -> None:
        incoming.expected = incoming.expected + 1 & _U32
        incoming.owed += 1
        if (data.protocol, data.message) == _PROBE:
            return
        peer.heard_at, peer.silence_ps = now, self._keepalive_ps
        if not data.more and not incoming.parts:
            self._outputs.append(Delivered(peer.number, data.protocol, data.message, data.payload))
            return
        incoming.parts.append(data.payload)
        incoming.size += len(data.payload)
        if incoming.size > MAX_BODY:
            # Never acknowledged, so that the peer has to give the stream up.  What is kept of it goes at
            # once.
            self._outputs.append(Ignored(peer.number, "RelData", "a body without end"))
            incoming.expected = incoming.expected - 1 & _U32
            incoming.owed = incoming.size = 0
            incoming.early.clear()
            incoming.parts.clear()
            incoming.refused = True
        elif not data.more:
            body = b"".join(incoming.parts)
            self._outputs.append(Delivered(peer.number, data.protocol, data.message, body))
            incoming.parts.clear()
            incoming.size = 0

    def _owe(self, peer: _Peer, incoming: _Incoming, now: int, at_once: bool) -> None:
        """Acknowledge soon: with the next Data, or alone after the delay (REL-6)."""
        if not incoming.owed:
            return  # a Data sent meanwhile has carried it
        if at_once or incoming.owed >= self._ack_after or not peer.ack_delay_ps:
            self._send_ack(peer)
        elif peer.number not in self._acknowledgement:
            self._acknowledgement.set(peer.number, now + peer.ack_delay_ps)

    def _send_ack(self, peer: _Peer) -> None:
        incoming = peer.incoming
        assert incoming is not None
        if incoming.owed:
            incoming.owed = 0
            self._acknowledgement.cancel(peer.number)
        self._outputs.append(Send(peer.number, RelAck(incoming.epoch, incoming.expected)))

    # Peers.

    def _peer(self, number: int) -> _Peer:
        peer = self._peers.get(number)
        if peer is None:
            round_trip_ps = self._configured(number)
            delay_ps = round_trip_ps if self._ack_delay_ps is None else self._ack_delay_ps
            peer = self._peers[number] = _Peer(number, self._first_epoch, round_trip_ps, delay_ps)
        return peer

    def _configured(self, number: int) -> int:
        return self._round_trip_ps(number) if callable(self._round_trip_ps) else self._round_trip_ps

    def _timing(self, number: int) -> RoundTrip:
        return RoundTrip(self._configured(number), self._peers[number].ack_delay_ps)
