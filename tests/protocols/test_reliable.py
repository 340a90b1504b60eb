"""REL: what arrives, how it is acknowledged and sent again.  Requirements: protocols/reliable/reliable.toml."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_pair import Faults
from reliable_lab import DELAY, ROUND_TRIP, A, B, bodies, lossy, pair, send

from protocols.ignored import Ignored
from protocols.machine import Send
from protocols.reliable import (
    MAX_BODY,
    MAX_PAYLOAD,
    TRIES,
    WINDOW,
    Broken,
    Delivered,
    Reliable,
    RoundTrip,
    Undelivered,
    first_sequence,
)
from protocols.wire.codec import RelAck, RelData

# --------------------------------------------------------------------------------------------- what it is for


@given(lossy, st.integers(0, 2**32), st.lists(st.integers(0, 4_000), max_size=25), st.integers(1, 8))
@settings(max_examples=60)
def test_everything_arrives_once_in_order_both_ways(
    faults: Faults, seed: int, sizes: list[int], window: int
) -> None:
    """REL-1, REL-9 with up to 30 % loss, 30 % duplicates and reordering; 60 tries, so that no stream
    breaks."""
    net = pair(faults, seed, window=window, tries=60)
    chance = random.Random(seed)
    sent: dict[int, list[tuple[int, int, int, bytes]]] = {A: [], B: []}
    for number, size in enumerate(sizes):
        source = chance.choice([A, B])
        body = number.to_bytes(2) + bytes(size)
        sent[source].append((source, 3, number & 0xFF, body))
        net.run(until=net.now + chance.randrange(2 * DELAY))
        send(net, source, body, number & 0xFF)
        assert not net.of(A, Broken)
    net.run()
    for source, sink in ((A, B), (B, A)):
        assert [tuple(event) for event in net.of(sink, Delivered)] == sent[source]
        assert not net.of(sink, Broken)
        assert net.machines[source].backlog(sink) == 0
    assert all(machine.next_timeout() is None for machine in net.machines.values())


@given(lossy, st.integers(0, 2**32))
@settings(max_examples=30)
def test_with_few_tries_what_is_delivered_is_a_prefix_of_each_stream_and_the_rest_is_reported(
    faults: Faults, seed: int
) -> None:
    """REL-1, REL-10, REL-12: streams break here, now and then; nothing is doubled, disordered or
    forgotten."""
    net = pair(faults, seed, tries=3)
    messages = [number.to_bytes(2) for number in range(60)]
    for number, body in enumerate(messages):
        net.run(until=number * DELAY)
        send(net, A, body)
    net.run()
    arrived = bodies(net, B)
    reported = [message.body for event in net.of(A, Broken) for message in event.unsent]
    assert arrived == sorted(set(arrived))
    assert reported == sorted(set(reported))
    assert sorted(set(arrived) | set(reported)) == messages


def test_a_message_keeps_its_protocol_number_and_empty_body() -> None:
    """REL-1."""
    net = pair()
    net.machines[A].send(B, 200, 7, b"", net.now)
    net.run()
    assert net.of(B, Delivered) == [Delivered(A, 200, 7, b"")]


@pytest.mark.parametrize(
    ("size", "segments"),
    [(0, [0]), (1_100, [1_100]), (1_101, [1_100, 1]), (2_200, [1_100, 1_100]), (2_500, [1_100, 1_100, 300])],
)
def test_a_large_body_is_split(size: int, segments: list[int]) -> None:
    """REL-5."""
    net = pair()
    body = random.Random(1).randbytes(size)
    send(net, A, body)
    net.run()
    data = net.messages(RelData)
    assert [len(segment.payload) for segment in data] == segments
    assert [segment.more for segment in data] == [1] * (len(segments) - 1) + [0]
    assert bodies(net, B) == [body]


def test_a_body_larger_than_a_peer_must_take_is_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        Reliable(1, ROUND_TRIP).send(B, 3, 1, bytes(MAX_BODY + 1), 0)


def test_a_body_without_end_is_not_kept() -> None:
    """What a peer may make this node keep is bounded."""
    machine = Reliable(1, ROUND_TRIP)
    first = first_sequence(1 << 16)
    for offset in range(MAX_BODY // MAX_PAYLOAD + 3):
        machine.receive(RelData(1 << 16, first + offset & 0xFFFFFFFF, 0, 3, 1, 1, bytes(MAX_PAYLOAD)), A, 0)
    assert [out for out in machine.poll(0) if isinstance(out, Ignored)] == [
        Ignored(A, "RelData", "a body without end")
    ]


# ------------------------------------------------------------------------------------------- acknowledgements


def test_the_first_segment_goes_alone_and_is_acknowledged_at_once() -> None:
    """REL-3, REL-6."""
    net = pair()
    for number in range(3):
        send(net, A, bytes([number]))
    net.run(until=DELAY - 1)
    assert len(net.messages(RelData)) == 1
    net.run(until=2 * DELAY)
    assert net.messages(RelAck) == [RelAck(1 << 16, first_sequence(1 << 16) + 1)]
    assert [time for time, _, _, m in net.sent if isinstance(m, RelData)] == [0, 2 * DELAY, 2 * DELAY]


def test_acknowledgements_ride_on_data() -> None:
    """REL-6: ping-pong, one frame each way; only the first segment of a stream costs an Ack."""
    net = pair()
    machines = net.machines

    def bounce(node: int, event: Any, now: int) -> None:
        if isinstance(event, Delivered) and event.message < 20:
            machines[node].send(event.source, 3, event.message + 1, b"", now)

    net._on_event = bounce
    send(net, A, b"", message=0)
    net.run()
    assert len(net.messages(RelData)) == 21
    # A's and B's first segments at once; the last segment after the delay; none in between.
    assert len(net.messages(RelAck)) == 3


def test_a_lone_segment_is_acknowledged_after_the_delay() -> None:
    """REL-6."""
    net = pair(ack_delay_ps=7_000)
    send(net, A, b"first")
    net.run()
    sent_at = net.now
    send(net, A, b"second")
    net.run()
    assert net.sent[-1][0] == sent_at + DELAY + 7_000
    assert isinstance(net.sent[-1][3], RelAck)


def test_a_duplicate_is_acknowledged_again_and_not_delivered_again() -> None:
    """REL-7."""
    net = pair()
    send(net, A, b"once")
    net.run()
    data = net.messages(RelData)[0]
    machine = net.machines[B]
    machine.receive(data, A, net.now)
    assert machine.poll(net.now) == [Send(A, RelAck(1 << 16, first_sequence(1 << 16) + 1))]


def test_a_segment_beyond_the_window_is_not_kept() -> None:
    """REL-9, seen from the receiver."""
    machine = Reliable(1, ROUND_TRIP)
    first = first_sequence(1 << 16)
    machine.receive(RelData(1 << 16, first, 0, 3, 1, 0, b""), A, 0)
    machine.receive(RelData(1 << 16, first + WINDOW & 0xFFFFFFFF, 0, 3, 1, 0, b""), A, 0)
    machine.receive(RelData(1 << 16, first + WINDOW + 1 & 0xFFFFFFFF, 0, 3, 1, 0, b""), A, 0)
    assert [out.reason for out in machine.poll(0) if isinstance(out, Ignored)] == ["beyond the window"]


def test_no_more_than_a_window_is_under_way() -> None:
    """REL-9."""
    net = pair()
    send(net, A, b"")
    net.run()
    before = len(net.messages(RelData))
    for _ in range(3 * WINDOW):
        send(net, A, b"")
    net.settle()
    assert len(net.messages(RelData)) - before == WINDOW
    net.run()
    assert len(bodies(net, B)) == 1 + 3 * WINDOW


# -------------------------------------------------------------------------------------------------- the timer


def test_first_timeout_back_off_and_end() -> None:
    """REL-8, REL-10: sent again after 3, 3, 6, 6, 12, ... round trips, at last every 48; after 259 times in vain it is
    reported."""
    net = pair()
    net.cut.add(B)
    send(net, A, b"lost")
    send(net, A, bytes(3_000), message=9)
    net.run()
    times = [time for time, *_ in net.sent]
    gaps = [3 * ROUND_TRIP << min(n // 2, 4) for n in range(TRIES)]
    assert times == [sum(gaps[:n]) for n in range(TRIES)]
    assert net.now == sum(gaps)
    assert net.of(A, Broken) == [Broken(B, (Undelivered(3, 1, b"lost"), Undelivered(3, 9, bytes(3_000))))]


def test_the_next_stream_after_a_break() -> None:
    """REL-2, REL-4, REL-10: a new epoch and new numbers; the receiver learns that something is missing."""
    net = pair(tries=2)
    send(net, A, b"one")
    net.run()
    net.trouble = lambda source, destination, message: True
    send(net, A, b"two")
    net.run()
    net.trouble = None
    send(net, A, b"three")
    net.run()
    assert bodies(net, B) == [b"one", b"three"]
    assert net.events[B] == [Delivered(A, 3, 1, b"one"), Broken(A, ()), Delivered(A, 3, 1, b"three")]
    last = net.messages(RelData)[-1]
    assert last[:2] == ((1 << 16) + 1, first_sequence((1 << 16) + 1))


@given(st.lists(st.integers(1_000, 10**12), min_size=1, max_size=40), st.integers(0, 10**9))
def test_the_estimator_is_that_of_rfc_6298(samples: list[int], ack_delay_ps: int) -> None:
    """REL-8, against the RFC's formulas in exact fractions, with samples of two smoothed round trips at most."""
    from fractions import Fraction

    timing = RoundTrip(1_000_000, ack_delay_ps)
    assert timing.timeout_ps == 3_000_000
    srtt = rttvar = Fraction(0)
    for number, sample in enumerate(samples):
        timing.sample(sample)
        if number == 0:
            srtt, rttvar = Fraction(sample), Fraction(sample, 2)
        else:
            taken = min(Fraction(sample), 2 * srtt)
            rttvar = Fraction(3, 4) * rttvar + Fraction(1, 4) * abs(srtt - taken)
            srtt = Fraction(7, 8) * srtt + Fraction(1, 8) * taken
        expected = srtt + max(1_000, 4 * rttvar) + ack_delay_ps
        assert abs(timing.timeout_ps - expected) <= 40 + 40 * number


def test_a_retransmitted_segment_gives_no_sample() -> None:
    """REL-8 (Karn): its acknowledgement ends the back-off, but four such in a row leave a doubling, eight two, until a
    segment that was sent once is acknowledged."""
    net = pair(ack_delay_ps=0)
    send(net, A, b"")
    net.run()
    timing = net.machines[A]._peers[B].outgoing.timing
    settled = timing.timeout_ps
    found = []
    for _ in range(12):
        lost = iter([True] * 3)
        net.trouble = lambda source, destination, message, lost=lost: next(lost, False)
        send(net, A, b"")
        net.run()
        found.append(timing.timeout_ps)
    assert found == [settled] * 3 + [2 * settled] * 4 + [4 * settled] * 5
    send(net, A, b"")
    net.run()
    assert timing.timeout_ps < 2 * settled


def test_a_hole_is_filled_by_one_timeout() -> None:
    """Several losses in a window cost one timeout: the partial acknowledgement says what is missing next."""
    net = pair()
    send(net, A, b"")
    net.run()
    lost = {3, 4, 7}
    count = iter(range(1_000))
    net.trouble = lambda source, destination, message: isinstance(message, RelData) and next(count) in lost
    for number in range(10):
        send(net, A, bytes([number]))
    net.run()
    assert bodies(net, B)[1:] == [bytes([number]) for number in range(10)]
    *once, first, second, third = [time for time, _, _, message in net.sent if isinstance(message, RelData)]
    assert len(once) == 11
    assert third - second == second - first == ROUND_TRIP
