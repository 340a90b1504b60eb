"""REL: the machine of a node.  REL-n: reliable.toml.

Rules.  A node sends each peer one stream of segments, named by its epoch and numbered from a place that
depends on the epoch.  The two directions between two nodes are independent but for this: acknowledgements of
one ride on the Data of the other.  Every node is therefore a sender (`Outgoing`) and a receiver
(`Incoming`) towards each of its peers.

The sender.  An epoch is the sender's incarnation in the high half and a count of its streams to this peer in
the low half, so it only grows; life 65,535 is followed by life 0, and so epochs are compared as serial numbers
(RFC 1982).  A stream ends, and the next begins, when a segment has been sent `tries`
times in vain, when the peer says Reset, or when the peer has restarted; what was not acknowledged is dropped
and reported (`Broken`).  Until the first segment of a stream has been acknowledged no second one
is sent: whoever then gets a segment other than the first, of a stream it does not know, can be sure to have
forgotten that stream by a restart, and says Reset at once.

The receiver, on a Data of the peer's stream `epoch`, by what it knows of that peer:

    knows     | epoch, segment        | does
    nothing   | any, the first        | opens the stream; Reset, if it was said to an earlier life of this node
    nothing   | any, not the first    | Reset
    a stream  | that stream           | delivers in order, keeps what came early, acknowledges it again
              |                       | (Reset, if it is new, and answers to a stream of this node that has ended)
    a stream  | older                 | ignores it: a straggler
    a stream  | newer, the first      | Broken, unless its end has been told of already, and opens it; Reset, if it
              |                       | answers to a stream of this node that has ended; see below
    a stream  | newer, not the first  | Reset

A restart.  Headers tell in which life their sender is, so the first frame of a newer one, of whatever protocol,
is news (`restarted`): all that the peer has acknowledged or delivered it has forgotten.  Then the stream to it
ends.  If there has been nothing of the kind since the last Broken, all that is said to it was said in doubt,
nothing of it can rest on the peer's old life, and it is sent on.  So that nobody begins anything with a node
whose death was not noticed, a node that lives again tells everybody by itself (`announce`): with a Probe, which
is sent again until it is acknowledged.

Who has given a peer up has told so to whoever waited for it, and begins everything with it anew.  A peer that lives
all the same, cut off for a while, may know nothing of that and wait for ever.  So its stream has ended, too: what comes
of it is answered by Reset, and the peer knows as much.  Likewise what it begins in answer to a stream that has ended.
But as soon as this node has begun something anew a Reset would end that, too, and only there.  Then the first segment
of the new stream tells it: a stream that is not the first of its sender's life, and that acknowledges nothing although
this end's was acknowledged once, comes of somebody who has given this end up.  So its own stream ends, what was on its
way is dropped, and the next begins at once, with a Probe: what was said here meanwhile may have come there, and is as
void.  If nothing had been acknowledged yet, the stream goes on, from its first segment: what came of it before, the
users of who gave up have let go of.  Who had stood still may hear what streams said that have been given up since, and
answer to that: by a segment that acknowledges one of them, and so it is given up as well, and told.

A node that must set its clock before it is up may be later than a stream lasts.  Till all must be up (`all_up_at`) a
peer that has never been heard is not given up; it is tried on, after pauses that double.

A peer that dies in silence is noticed only by who sends to it.  So whoever waits for a peer says so
(`watch`), and a peer that has said nothing for the keep-alive time is sent a Probe, as a Data like any other:
it is acknowledged, or the stream breaks.  As long as that is all that happens, the time doubles: who has
waited for some time knows of a death within the same time again, and two that wait for each other in vain
come to rest.

What may live here: what each message, timeout and order does to the streams.  How long is waited says timing.py.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from protocols.ignored import Ignored
from protocols.machine import Output, Send
from protocols.reliable.service import Broken, Delivered, Undelivered
from protocols.reliable.streams import PROBE, U32, Incoming, Outgoing, Peer, Segment, first_sequence
from protocols.reliable.timing import RoundTrip
from protocols.serial import serial_newer
from protocols.timers import UNTIL_REST, Pauses, Timers, soonest
from protocols.wire.codec import RelAck, RelData, RelProbe, RelReset

MAX_PAYLOAD: Final = 1_100
"""Bytes of a message's body in one segment."""

MAX_BODY: Final = 1 << 20
"""Bytes of a message's body: what a peer may make this node keep until its last segment comes."""

WINDOW: Final = 64
"""Segments on the way to a peer; at a receiver, how far ahead of its turn a segment may come and be kept."""

TRIES: Final = 259
"""Some 4,000 first timeouts, as long as twelve tries would take if each doubled it: 2 (1 + 2 + 4 + 8) + 251 x 16."""


def lost_after_ps(round_trip_ps: int, tries: int = TRIES) -> int:
    """How long a sender waits for a first answer of a peer before the stream breaks (REL-8, REL-10)."""
    timing = RoundTrip(round_trip_ps, 0)
    total = 0
    for _ in range(tries):
        total += timing.timeout_ps
        timing.back_off()
    return total


KEEPALIVE_PS: Final = 100_000_000_000
"""100 ms: long beside any round trip, short beside any patience."""

_STREAMS: Final = 0xFFFF
"""The part of an epoch that counts the streams of one life."""

_MOST_DOUBLINGS: Final = 40
"""Of the pauses after which a peer is tried that may not have come up yet."""


class Reliable:
    """Both directions, towards every peer of one node.

    round_trip_ps: the configured round trip, one for all or a function of the peer.  ack_delay_ps: how long
    an acknowledgement may wait for a Data to ride on; by default one round trip.  keepalive_ps: how long a peer
    that is waited for may be silent before it is asked.  all_up_at: till then a peer may not have come up yet.
    pauses: after which a peer that stays silent is asked again.
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
        all_up_at: int = 0,
        pauses: Pauses = UNTIL_REST,
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
        self._all_up_at = all_up_at
        self._pauses = pauses
        self._peers: dict[int, Peer] = {}
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
            self._give_up(state)

    def announce(self, peers: Iterable[int], now: int) -> None:
        """This node lives again: have these peers know, before they begin anything with it (REL-16)."""
        for number in peers:
            if not self.backlog(number):
                self.send(number, *PROBE, b"", now)

    def restarted(self, peer: int, now: int) -> None:
        """A frame of a newer incarnation of the peer has come, the first of it (REL-13)."""
        state = self._peers.get(peer)
        if state is not None:
            self._forgotten(state)

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
                if peer.incoming is not None:
                    peer.incoming.told = True
        elif isinstance(message, RelProbe):
            self._outputs.append(Ignored(source, "RelProbe", "outside a Data"))
        else:
            raise TypeError(f"{type(message).__name__} is not a message of REL")
        if peer.unknown:
            peer.unknown = False
            self._came_up(peer, now)

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

    def at_rest(self) -> bool:
        """Whether nothing is due but to ask a peer whether it is still there."""
        return not self._retransmission and not self._acknowledgement

    # The sender.

    @staticmethod
    def _queue(
        outgoing: Outgoing, protocol: int, message: int, more: int, payload: bytes, whole: Undelivered | None
    ) -> None:
        outgoing.waiting.append(Segment(outgoing.next_sequence, protocol, message, more, payload, whole))
        outgoing.next_sequence = outgoing.next_sequence + 1 & U32

    def _fill_window(self, peer: Peer, now: int) -> None:
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

    def _transmit(self, peer: Peer, segment: Segment) -> None:
        incoming = peer.incoming
        acknowledged = 0
        if incoming is not None and not incoming.told:
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

    def _on_acknowledgement(self, peer: Peer, acknowledged: int, now: int) -> None:
        """The peer has every segment below `acknowledged`, unless that is a number of another stream or an
        old one."""
        outgoing = peer.outgoing
        flight = outgoing.flight
        if not flight:
            return
        done = acknowledged - flight[0].sequence & U32
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
            and newest.sequence == (acknowledged - 1 & U32)
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
    def _recovering(outgoing: Outgoing, sequence: int) -> bool:
        return 0 < (outgoing.recover - sequence & U32) <= U32 >> 1

    def _retransmit(self, peer: Peer, segment: Segment) -> None:
        segment.resent = True
        self._transmit(peer, segment)

    def _on_timeout(self, peer: Peer, now: int) -> None:
        outgoing = peer.outgoing
        outgoing.tries += 1
        if outgoing.tries >= self._tries:  # REL-10
            if peer.unknown and now < self._all_up_at:
                self._try_later(peer, now)
            else:
                self._give_up(peer)
            return
        outgoing.timing.back_off()
        oldest, newest = outgoing.flight[0], outgoing.flight[-1]
        outgoing.recover = newest.sequence + 1 & U32
        self._retransmission.set(peer.number, now + outgoing.timing.timeout_ps)
        self._retransmit(peer, oldest)

    def _try_later(self, peer: Peer, now: int) -> None:
        """It may not have come up yet."""
        outgoing = peer.outgoing
        longer = min(outgoing.tries - self._tries + 1, _MOST_DOUBLINGS)
        due = min(now + (outgoing.timing.timeout_ps << longer), self._all_up_at)
        self._retransmission.set(peer.number, due)
        self._retransmit(peer, outgoing.flight[0])

    def _came_up(self, peer: Peer, now: int) -> None:
        """The first that is heard of it: what has been tried in vain, and is about to be so after a long pause, is
        tried now."""
        outgoing = peer.outgoing
        if outgoing.tries >= self._tries:
            outgoing.tries = 0
            self._retransmission.set(peer.number, now + outgoing.timing.timeout_ps)
            self._retransmit(peer, outgoing.flight[0])

    def _on_silence(self, peer: Peer, now: int) -> None:
        due = peer.heard_at + peer.silence_ps
        if due <= now:
            if not peer.outgoing.flight:  # else it is being asked as it is
                self.send(peer.number, *PROBE, b"", now)
            longer = self._pauses.after(peer.silence_ps)
            if longer is None:
                return
            if longer < 2 * peer.silence_ps:
                peer.heard_at = now  # from here on it is asked at even pauses
            peer.silence_ps = longer
            due = peer.heard_at + longer
        self._silence.set(peer.number, due)

    def _give_up(self, peer: Peer) -> None:
        """It cannot be reached.  If that is news here, it must be so there, should it live (REL-17)."""
        incoming = peer.incoming
        if self._break(peer) and incoming is not None:
            incoming.ended = incoming.told = True
            incoming.early.clear()  # should it go on, that comes again

    def _break(self, peer: Peer) -> bool:
        """End the stream to this peer; the next message begins the next one.  Whether that is news.

        Nobody hears of a peer to which nothing was said but that this node lives, and which nobody waits for.
        """
        outgoing = peer.outgoing
        unsent = outgoing.undelivered()
        news = unsent or outgoing.begun or peer.delivered or peer.watchers
        peer.delivered = False
        outgoing.flight.clear()
        outgoing.waiting.clear()
        outgoing.timing = self._timing(peer.number)
        outgoing.begin(outgoing.epoch + 1)
        self._retransmission.cancel(peer.number)
        if news:
            self._outputs.append(Broken(peer.number, unsent))
        return bool(news)

    # The receiver: the table at the top of this file.

    def _on_data(self, peer: Peer, data: RelData, now: int) -> None:
        incoming, anew = peer.incoming, False
        if incoming is None or serial_newer(data.stream_epoch, incoming.epoch, 32):
            known = not data.acknowledged or self._knows(peer, data.acknowledged)
            if data.sequence != first_sequence(data.stream_epoch) or not known:
                self._outputs.append(Send(peer.number, RelReset(data.stream_epoch)))  # REL-11
                return
            anew = self._superseded(peer, data)
            incoming = peer.incoming = Incoming(data.stream_epoch)
        elif data.stream_epoch != incoming.epoch:
            return  # REL-12
        elif incoming.ended:  # REL-17
            if not self._knows(peer, data.acknowledged):
                if peer.outgoing.unused:
                    self._outputs.append(Send(peer.number, RelReset(data.stream_epoch)))
                return
            if data.sequence == first_sequence(data.stream_epoch):
                incoming = peer.incoming = Incoming(data.stream_epoch)
        elif data.acknowledged and not self._knows(peer, data.acknowledged) and self._is_new(incoming, data):
            self._give_up(peer)
            self._outputs.append(Send(peer.number, RelReset(data.stream_epoch)))  # REL-11
            return
        incoming.told = incoming.ended = False
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
            if anew:
                self.send(peer.number, *PROBE, b"", now)
            self._owe(peer, incoming, now, at_once)
            return
        ahead = data.sequence - incoming.expected & U32
        if ahead < self._window:
            incoming.early[data.sequence] = data
        elif ahead <= U32 >> 1:
            self._outputs.append(Ignored(peer.number, "RelData", "beyond the window"))
            return
        self._send_ack(peer)  # REL-7: early, or a duplicate whose acknowledgement was lost

    @staticmethod
    def _knows(peer: Peer, acknowledged: int) -> bool:
        """Whether who acknowledges this has the stream of this node.

        What was on its way to an earlier life, or answers to a stream that has ended, answers to what was said there:
        nothing of it is for this one (REL-11).
        """
        outgoing = peer.outgoing
        first = first_sequence(outgoing.epoch)
        return not outgoing.unused and acknowledged - first & U32 <= outgoing.next_sequence - first & U32

    @staticmethod
    def _is_new(incoming: Incoming, data: RelData) -> bool:
        """Whether this segment of the stream has not come yet."""
        return data.sequence - incoming.expected & U32 <= U32 >> 1

    def _superseded(self, peer: Peer, data: RelData) -> bool:
        """The peer begins a stream, perhaps before the last one was through.  Whether this node's own to it has ended
        with that, so that the peer must hear of the next (REL-12)."""
        incoming, outgoing = peer.incoming, peer.outgoing
        news = incoming is not None and not incoming.told  # else its end is none
        if incoming is not None:
            self._acknowledgement.cancel(peer.number)
            if news and incoming.epoch >> 16 != data.stream_epoch >> 16:  # nobody has called `restarted`
                self._forgotten(peer)
                return False
        # One that is not the first of the peer's life, and acknowledges nothing: the peer has given this node up.
        given_up = bool(data.stream_epoch & _STREAMS) and not data.acknowledged
        if given_up and (outgoing.begun or (news and not outgoing.unused)):
            self._break(peer)
            return True
        if news:
            peer.delivered = False
            self._outputs.append(Broken(peer.number, ()))
        return False

    def _forgotten(self, peer: Peer) -> None:
        """The peer has started anew and knows neither stream (REL-13)."""
        if peer.outgoing.begun or peer.delivered:
            self._break(peer)
        incoming = peer.incoming
        if incoming is not None:
            incoming.told = True
            incoming.owed = incoming.size = 0
            incoming.early.clear()
            incoming.parts.clear()
            self._acknowledgement.cancel(peer.number)

    def _take(self, peer: Peer, incoming: Incoming, data: RelData, now: int) -> None:
        incoming.expected = incoming.expected + 1 & U32
        incoming.owed += 1
        peer.delivered = True
        if (data.protocol, data.message) == PROBE:
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
            incoming.expected = incoming.expected - 1 & U32
            incoming.owed = incoming.size = 0
            incoming.early.clear()
            incoming.parts.clear()
            incoming.refused = True
        elif not data.more:
            body = b"".join(incoming.parts)
            self._outputs.append(Delivered(peer.number, data.protocol, data.message, body))
            incoming.parts.clear()
            incoming.size = 0

    def _owe(self, peer: Peer, incoming: Incoming, now: int, at_once: bool) -> None:
        """Acknowledge soon: with the next Data, or alone after the delay (REL-6)."""
        if not incoming.owed:
            return  # a Data sent meanwhile has carried it
        if at_once or incoming.owed >= self._ack_after or not peer.ack_delay_ps:
            self._send_ack(peer)
        elif peer.number not in self._acknowledgement:
            self._acknowledgement.set(peer.number, now + peer.ack_delay_ps)

    def _send_ack(self, peer: Peer) -> None:
        incoming = peer.incoming
        assert incoming is not None
        if incoming.owed:
            incoming.owed = 0
            self._acknowledgement.cancel(peer.number)
        self._outputs.append(Send(peer.number, RelAck(incoming.epoch, incoming.expected)))

    # Peers.

    def _peer(self, number: int) -> Peer:
        peer = self._peers.get(number)
        if peer is None:
            round_trip_ps = self._configured(number)
            delay_ps = round_trip_ps if self._ack_delay_ps is None else self._ack_delay_ps
            peer = self._peers[number] = Peer(number, self._first_epoch, round_trip_ps, delay_ps)
        return peer

    def _configured(self, number: int) -> int:
        return self._round_trip_ps(number) if callable(self._round_trip_ps) else self._round_trip_ps

    def _timing(self, number: int) -> RoundTrip:
        return RoundTrip(self._configured(number), self._peers[number].ack_delay_ps)
