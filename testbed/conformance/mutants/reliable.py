"""Nodes whose reliable sublayer is not."""

from typing import Any

from protocols.reliable import Delivered, Reliable, RoundTrip, node, timing
from protocols.reliable.streams import Outgoing
from protocols.wire import RelAck, RelData, RelReset
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import instead, never_says, nothing, says, value

_HALF_RING = 1 << 31


@breaks("REL-1")
def delivers_copies() -> Wrong:
    """What comes again is delivered again."""

    def on_data(right: Any, machine: Reliable, peer: Any, data: RelData, now: int) -> None:
        known = peer.incoming
        behind = 0 if known is None else (known.expected - data.sequence) & 0xFFFFFFFF
        if known is not None and data.stream_epoch == known.epoch and 0 < behind < _HALF_RING:
            machine._outputs.append(Delivered(peer.number, data.protocol, data.message, data.payload))
        right(machine, peer, data, now)

    return instead(Reliable, "_on_data", on_data)


@breaks("REL-1")
def delivers_parts() -> Wrong:
    """Each segment of a long body is delivered as one of its own."""
    return instead(
        Reliable,
        "_take",
        lambda right, machine, peer, incoming, data, now: right(machine, peer, incoming, data._replace(more=0), now),
    )


@breaks("REL-2")
def counts_no_streams() -> Wrong:
    """The next stream has the epoch of the last."""
    return instead(Outgoing, "begin", lambda right, outgoing, epoch: right(outgoing, epoch & 0xFFFF0000))


@breaks("REL-3")
def sends_all_at_once() -> Wrong:
    """Nothing waits for the first segment's acknowledgement."""

    def begin(right: Any, outgoing: Outgoing, epoch: int) -> None:
        right(outgoing, epoch)
        outgoing.begun = True

    return instead(Outgoing, "begin", begin)


@breaks("REL-4")
def counts_from_one() -> Wrong:
    """Every stream begins with segment 1."""

    def begin(right: Any, outgoing: Outgoing, epoch: int) -> None:
        right(outgoing, epoch)
        outgoing.next_sequence = outgoing.recover = 1

    return instead(Outgoing, "begin", begin)


@breaks("REL-5")
def splits_short_bodies() -> Wrong:
    """Segments have at most 1,000 bytes."""
    return value(node, "MAX_PAYLOAD", 1_000)


@breaks("REL-6")
def acknowledges_nothing_in_data() -> Wrong:
    """Data carries 0."""
    return says(RelData, lambda data: data._replace(acknowledged=0))


@breaks("REL-6")
def acknowledges_only_in_data() -> Wrong:
    """There is no Ack."""
    return never_says(RelAck)


@breaks("REL-7")
def keeps_nothing_early() -> Wrong:
    """What comes before its turn is acknowledged and thrown away."""

    def on_data(right: Any, machine: Reliable, peer: Any, data: RelData, now: int) -> None:
        right(machine, peer, data, now)
        if peer.incoming is not None:
            peer.incoming.early.clear()

    return instead(Reliable, "_on_data", on_data)


@breaks("REL-7")
def answers_no_copies() -> Wrong:
    """What comes again, or too early, is not acknowledged."""

    def on_data(right: Any, machine: Reliable, peer: Any, data: RelData, now: int) -> None:
        known = peer.incoming
        if known is None or data.stream_epoch != known.epoch or data.sequence == known.expected:
            right(machine, peer, data, now)

    return instead(Reliable, "_on_data", on_data)


@breaks("REL-8")
def repeats_at_even_times() -> Wrong:
    """The timeout does not double."""
    return nothing(RoundTrip, "back_off")


@breaks("REL-8")
def doubles_without_end() -> Wrong:
    """The timeout has no ceiling."""
    return value(timing, "DOUBLINGS", 40)


@breaks("REL-8")
def believes_every_sample() -> Wrong:
    """What was late because an acknowledgement was lost counts like any other sample."""
    return value(timing, "_MOST_SAMPLE", 1_000)


@breaks("REL-8")
def has_a_floor_of_a_second() -> Wrong:
    """As RFC 6298 has it."""

    def estimate(right: Any, timing: RoundTrip) -> int:
        return max(int(right(timing)), 10**12)

    return instead(RoundTrip, "_estimate", estimate)


@breaks("REL-8")
def measures_what_was_repeated() -> Wrong:
    """A segment that was sent again gives a sample: Karn's mistake."""

    def on_acknowledgement(right: Any, machine: Reliable, peer: Any, acknowledged: int, now: int) -> None:
        for segment in peer.outgoing.flight:
            segment.resent = False
            peer.outgoing.recover = segment.sequence
        right(machine, peer, acknowledged, now)

    return instead(Reliable, "_on_acknowledgement", on_acknowledgement)


@breaks("REL-9")
def has_too_wide_a_window() -> Wrong:
    """A hundred segments are on the way."""

    def begin(right: Any, machine: Reliable, *row: Any, **options: Any) -> None:
        right(machine, *row, **{**options, "window": 100})

    return instead(Reliable, "__init__", begin)


@breaks("REL-10")
def gives_up_early() -> Wrong:
    """After three times in vain."""

    def begin(right: Any, machine: Reliable, *row: Any, **options: Any) -> None:
        right(machine, *row, **{**options, "tries": 3})

    return instead(Reliable, "__init__", begin)


@breaks("REL-11")
def resets_nothing() -> Wrong:
    """A segment of an unknown stream is not answered."""
    return never_says(RelReset)


@breaks("REL-11")
def takes_what_was_said_to_the_dead() -> Wrong:
    """What answers to an earlier life, or to a stream that has ended, is delivered."""
    return instead(Reliable, "_knows", lambda right, peer, acknowledged: True)


@breaks("REL-11")
def takes_any_stream_of_a_peer_that_it_knows() -> Wrong:
    """What a next stream answers to is asked of peers only of whom no stream is known."""

    def knows(right: Any, peer: Any, acknowledged: int) -> bool:
        incoming = peer.incoming
        return (incoming is not None and not incoming.ended) or bool(right(peer, acknowledged))

    return instead(Reliable, "_knows", knows)


@breaks("REL-11")
def takes_whatever_goes_on() -> Wrong:
    """What a stream answers to is asked of its first segment only."""
    return instead(Reliable, "_is_new", lambda right, incoming, data: False)


@breaks("REL-11")
def resets_copies() -> Wrong:
    """An answer to what has ended is reset, also if the segment has come already."""
    return instead(Reliable, "_is_new", lambda right, incoming, data: True)


@breaks("REL-11")
def believes_any_reset() -> Wrong:
    """A Reset of another epoch ends the stream as well."""

    def receive(right: Any, machine: Reliable, message: Any, source: int, now: int) -> None:
        if isinstance(message, RelReset):
            message = RelReset(machine._peer(source).outgoing.epoch)
        right(machine, message, source, now)

    return instead(Reliable, "receive", receive)


@breaks("REL-12")
def says_nothing_of_a_newer_stream() -> Wrong:
    """A newer stream replaces the known one without a Broken."""
    return instead(Reliable, "_superseded", lambda right, machine, peer, data: False)


@breaks("REL-12")
def keeps_its_stream_to_who_has_given_it_up() -> Wrong:
    """What the peer says in its next stream ends nothing of the own one."""

    def superseded(right: Any, machine: Reliable, peer: Any, data: RelData) -> bool:
        known = data._replace(acknowledged=data.acknowledged or 1)
        return bool(right(machine, peer, known))

    return instead(Reliable, "_superseded", superseded)


@breaks("REL-12")
def begins_anew_in_silence() -> Wrong:
    """Its stream ends with the peer's, and the peer does not hear of that."""

    def superseded(right: Any, machine: Reliable, peer: Any, data: RelData) -> bool:
        right(machine, peer, data)
        return False

    return instead(Reliable, "_superseded", superseded)


@breaks("REL-12")
def ends_its_stream_with_any_of_the_peer() -> Wrong:
    """A next stream of the peer ends its own, whether or not the peer knows that."""

    def superseded(right: Any, machine: Reliable, peer: Any, data: RelData) -> bool:
        return bool(right(machine, peer, data._replace(acknowledged=0)))

    return instead(Reliable, "_superseded", superseded)


@breaks("REL-12")
def knows_no_life_after_the_last() -> Wrong:
    """Epochs are compared as plain numbers."""
    return instead(node, "serial_newer", lambda right, a, b, bits: a > b)


@breaks("REL-13")
def keeps_its_stream_to_a_restarted_peer() -> Wrong:
    """What a peer has forgotten by a restart is taken to be known to it."""
    return nothing(Reliable, "_forgotten")


@breaks("REL-13")
def notices_restarts_by_streams() -> Wrong:
    """A newer incarnation in the header of a frame says nothing."""
    return nothing(Reliable, "restarted")


@breaks("REL-13")
def gives_up_what_is_new_to_both() -> Wrong:
    """A restart ends every stream to the peer, whatever the peer knows of it."""
    return instead(
        Reliable, "restarted", lambda right, machine, peer, now: machine._break(machine._peer(peer))
    )


@breaks("REL-14")
def asks_nobody() -> Wrong:
    """A silent peer is waited for without a question."""
    return nothing(Reliable, "_on_silence")


@breaks("REL-14")
def asks_once() -> Wrong:
    """A silent peer that has answered one question is not asked again."""

    def on_silence(right: Any, machine: Reliable, peer: Any, now: int) -> None:
        right(machine, peer, now)
        machine._silence.cancel(peer.number)

    return instead(Reliable, "_on_silence", on_silence)


@breaks("REL-17")
def gives_up_without_a_word() -> Wrong:
    """The stream of a peer that was given up goes on."""
    return instead(Reliable, "_give_up", lambda right, machine, peer: machine._break(peer))


@breaks("REL-17")
def resets_what_it_has_begun_anew() -> Wrong:
    """The stream of a peer that was given up is never taken again."""

    def knows(right: Any, peer: Any, acknowledged: int) -> bool:
        return right(peer, acknowledged) and not (peer.incoming is not None and peer.incoming.ended)

    return instead(Reliable, "_knows", knows)


@breaks("REL-17")
def remembers_what_was_dropped() -> Wrong:
    """The first segment of a stream that had ended is a copy to it, and not delivered again."""

    def on_data(right: Any, machine: Reliable, peer: Any, data: RelData, now: int) -> None:
        known = peer.incoming
        if known is not None and known.ended and Reliable._knows(peer, data.acknowledged):
            known.ended = False
        right(machine, peer, data, now)

    return instead(Reliable, "_on_data", on_data)


@breaks("REL-16")
def comes_back_in_silence() -> Wrong:
    """A node that lives again waits to be spoken to."""
    return nothing(Reliable, "announce")


@breaks("REL-16")
def comes_back_for_one() -> Wrong:
    """It tells the first of its peers only."""
    return instead(Reliable, "announce", lambda right, machine, peers, now: right(machine, list(peers)[:1], now))
