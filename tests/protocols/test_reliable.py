"""REL: two endpoints, their frames carried by hand.  Requirements: protocols/reliable.toml."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_pair import Faults, Net

from protocols.ignored import Ignored
from protocols.machine import Send
from protocols.reliable import (
    KEEPALIVE_PS,
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
from protocols.wire.codec import ProtocolId, RelAck, RelData, RelProbe, RelReset

A, B = 1, 2
DELAY = 10_000
ROUND_TRIP = 2 * DELAY

lossy = st.builds(
    Faults,
    loss=st.floats(0, 0.3),
    duplicate=st.floats(0, 0.3),
    jitter_ps=st.sampled_from([0, DELAY // 4, 5 * DELAY]),
)


def pair(faults: Faults = Faults(), seed: int = 1, **options: Any) -> Net:
    machines = {node: Reliable(1, ROUND_TRIP, **options) for node in (A, B)}
    return Net(machines, DELAY, faults, seed)


def send(net: Net, source: int, body: bytes, message: int = 1) -> None:
    net.machines[source].send(B if source == A else A, 3, message, body, net.now)


def bodies(net: Net, node: int) -> list[bytes]:
    return [event.body for event in net.of(node, Delivered)]


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
    """REL-8, REL-10: sent at 0, 3, 3 + 6, 3 + 6 + 12, ... round trips; after 12 times in vain it is
    reported."""
    net = pair()
    net.cut.add(B)
    send(net, A, b"lost")
    send(net, A, bytes(3_000), message=9)
    net.run()
    times = [time for time, *_ in net.sent]
    assert times == [3 * ROUND_TRIP * (2**n - 1) for n in range(TRIES)]
    assert net.now == 3 * ROUND_TRIP * (2**TRIES - 1)
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
    """REL-8, against the RFC's formulas in exact fractions."""
    from fractions import Fraction

    timing = RoundTrip(1_000_000, ack_delay_ps)
    assert timing.timeout_ps == 3_000_000
    srtt = rttvar = Fraction(0)
    for number, sample in enumerate(samples):
        timing.sample(sample)
        if number == 0:
            srtt, rttvar = Fraction(sample), Fraction(sample, 2)
        else:
            rttvar = Fraction(3, 4) * rttvar + Fraction(1, 4) * abs(srtt - sample)
            srtt = Fraction(7, 8) * srtt + Fraction(1, 8) * sample
        expected = srtt + max(1_000, 4 * rttvar) + ack_delay_ps
        assert abs(timing.timeout_ps - expected) <= 40  # rounding down of eighths and quarters, accumulated


def test_a_retransmitted_segment_gives_no_sample() -> None:
    """REL-8 (Karn): the timeout stays backed off until a segment that was sent once is acknowledged."""
    net = pair(ack_delay_ps=0)
    send(net, A, b"")
    net.run()
    timing = net.machines[A]._peers[B].outgoing.timing
    settled = timing.timeout_ps
    lost = iter([True])
    net.trouble = lambda source, destination, message: next(lost, False)
    send(net, A, b"")
    net.run()
    assert timing.timeout_ps == 2 * settled
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


# ----------------------------------------------------------------------------------------------- restarts


def restart(net: Net, node: int, incarnation: int) -> None:
    net.replace(node, Reliable(incarnation, ROUND_TRIP))


def conversation() -> Net:
    net = pair()
    send(net, A, b"hello")
    send(net, B, b"hallo")
    net.run()
    return net


def test_a_restarted_peer_that_speaks_first() -> None:
    """REL-12, REL-13: Broken once, with what was under way, before the first message of its new life."""
    net = conversation()
    net.cut.add(B)
    send(net, A, b"to the dead")
    net.run(until=net.now + ROUND_TRIP)
    net.cut.clear()
    restart(net, B, 2)
    send(net, B, b"again")
    net.run()
    assert net.events[A][1:] == [Broken(B, (Undelivered(3, 1, b"to the dead"),)), Delivered(B, 3, 1, b"again")]
    send(net, A, b"welcome")
    net.run()
    assert net.events[B][1:] == [Delivered(A, 3, 1, b"welcome")]


def test_a_restarted_peer_that_is_spoken_to() -> None:
    """REL-11, REL-13: its Reset ends the stream at once; its first Data does not end the next one, too."""
    net = conversation()
    restart(net, B, 2)
    send(net, A, b"who are you?")
    net.run()
    assert net.messages(RelReset) == [RelReset(1 << 16)]
    assert net.events[A][1:] == [Broken(B, (Undelivered(3, 1, b"who are you?"),))]
    send(net, A, b"nice to meet you")
    net.run()
    send(net, B, b"me, too")
    net.run()
    assert bodies(net, B)[1:] == [b"nice to meet you"]
    assert net.events[A][2:] == [Delivered(B, 3, 1, b"me, too")]


def test_a_peer_that_never_spoke_is_found_to_have_restarted() -> None:
    """REL-3, REL-11."""
    net = pair()
    send(net, A, b"one way")
    net.run()
    restart(net, B, 2)
    send(net, A, b"lost")
    net.run()
    assert net.of(A, Broken) == [Broken(B, (Undelivered(3, 1, b"lost"),))]


def test_stragglers_change_nothing() -> None:
    """REL-11, REL-12: an old Reset, an Ack and Data of an old stream."""
    net = conversation()
    old = net.messages(RelData)[0]
    restart(net, A, 2)
    send(net, A, b"second life")
    net.run()
    machine = net.machines[B]
    machine.receive(old, A, net.now)
    machine.receive(old._replace(sequence=old.sequence + 5), A, net.now)
    machine.receive(RelAck(1 << 16, first_sequence(1 << 16) + 1), A, net.now)
    machine.receive(RelReset(1 << 16), A, net.now)
    assert machine.poll(net.now) == []


def test_an_acknowledgement_of_an_earlier_stream_is_not_taken_for_one_of_this() -> None:
    """REL-4: Data does not say which stream its acknowledgement is about, so its number must."""
    machine = Reliable(2, ROUND_TRIP)
    machine.send(B, 3, 1, b"second life", 0)
    acknowledgement_of_first_life = first_sequence(1 << 16) + 1
    data = RelData(1 << 16, first_sequence(1 << 16), acknowledgement_of_first_life, 3, 1, 0, b"")
    machine.receive(data, B, 0)
    machine.poll(0)
    assert machine.backlog(B) == 1


@given(st.integers(1, 0xFFFF), st.integers(1, 50), st.integers(0, 50), st.integers(0, 50))
def test_numbers_of_successive_streams_lie_far_apart(life: int, lives: int, one: int, other: int) -> None:
    """REL-4: for fifty lives of fifty streams each, more than a million messages."""
    later = min(life + lives, 0xFFFF)
    a, b = first_sequence(life << 16 | one), first_sequence(later << 16 | other)
    if life != later:
        assert min((a - b) % 2**32, (b - a) % 2**32) > 1_000_000


@given(lossy, st.integers(0, 2**32))
@settings(max_examples=30)
def test_restarts_at_any_time_under_loss(faults: Faults, seed: int) -> None:
    """REL-1, REL-12, REL-13: within one life of both, what is delivered is in order and never twice."""
    net = pair(faults, seed)
    chance = random.Random(seed)
    lives = {A: 1, B: 1}
    for number in range(60):
        net.run(until=net.now + chance.randrange(2 * DELAY))
        if chance.random() < 0.05:
            node = chance.choice([A, B])
            lives[node] += 1
            net.events[node].append("restart")
            restart(net, node, lives[node])
        send(net, chance.choice([A, B]), bytes([lives[A], lives[B], number]))
    net.run(until=net.now + 100_000 * ROUND_TRIP)
    for sink in (A, B):
        source = B if sink == A else A
        seen: list[int] = []
        for event in net.events[sink]:
            if event == "restart":
                seen.clear()
            elif isinstance(event, Delivered):
                seen.append(event.body[2])
        assert seen == sorted(set(seen))
        # Whoever was heard in two lives was reported in between.
        life = 0
        for event in net.events[sink]:
            if isinstance(event, Delivered):
                assert life in (0, event.body[source - 1])
                life = event.body[source - 1]
            else:
                life = 0


# ------------------------------------------------------------------------------------------------ signs of life


def probes(net: Net) -> list[int]:
    """When each Probe was sent, by anybody, the first time."""
    seen: dict[tuple[int, int], int] = {}
    for time, source, _, message in net.sent:
        if isinstance(message, RelData) and (message.protocol, message.message) == (ProtocolId.REL, RelProbe.MESSAGE):
            seen.setdefault((source, message.sequence), time)
    return list(seen.values())


def watching() -> Net:
    """A has once sent something to B, and waits for it from time 0."""
    net = pair()
    send(net, A, b"x")
    net.machines[A].watch(B, 0)
    return net


def test_a_silent_peer_is_asked_ever_more_rarely() -> None:
    """REL-14: nothing of it is delivered, and two that live come to rest."""
    net = watching()
    net.run()
    asked = probes(net)
    assert asked[:4] == [KEEPALIVE_PS, 2 * KEEPALIVE_PS, 4 * KEEPALIVE_PS, 8 * KEEPALIVE_PS]
    assert len(asked) < 30
    assert bodies(net, B) == [b"x"]
    assert not net.of(A, Broken)


def test_whoever_says_something_is_not_asked() -> None:
    """REL-14: the time begins anew with each message."""
    net = watching()
    for _ in range(5):
        net.run(until=net.now + KEEPALIVE_PS - DELAY)
        send(net, B, b"y")
    net.run(until=net.now + KEEPALIVE_PS)
    assert probes(net) == []
    net.run(until=net.now + DELAY)
    assert len(probes(net)) == 1


def test_nobody_is_asked_for_nothing() -> None:
    net = watching()
    net.machines[A].watch(B, 0)
    net.machines[A].unwatch(B)
    net.run(until=KEEPALIVE_PS)
    assert len(probes(net)) == 1
    net.machines[A].unwatch(B)
    net.run()
    assert net.now < 2 * KEEPALIVE_PS
    with pytest.raises(ValueError):
        net.machines[A].unwatch(B)


@pytest.mark.parametrize("returns", [True, False])
def test_a_peer_that_died_in_silence_is_missed(returns: bool) -> None:
    """REL-14: whether it stays dead or has forgotten everything."""
    net = watching()
    net.run(until=10 * ROUND_TRIP)
    if returns:
        net.replace(B, Reliable(2, ROUND_TRIP))
    else:
        net.cut.add(B)
    net.run(until=KEEPALIVE_PS + 5 * ROUND_TRIP * 2**TRIES)
    assert net.of(A, Broken) == [Broken(B, ())]
    net.machines[A].unwatch(B)
    assert net.machines[A].next_timeout() is None


def test_a_probe_outside_a_stream_changes_nothing() -> None:
    net = pair()
    net.machines[A].receive(RelProbe(), B, 0)
    assert net.machines[A].poll(0) == [Ignored(B, "RelProbe", "outside a Data")]


def test_who_is_known_to_be_out_of_reach_is_given_up_at_once() -> None:
    """REL-15: what was on its way is reported, what is said later goes by a new stream, and arrives."""
    net = pair()
    send(net, A, b"x")
    net.run()
    net.cut.add(B)
    send(net, A, b"y")
    net.machines[A].give_up(B, net.now)
    net.run(until=net.now + 1)
    (broken,) = net.of(A, Broken)
    assert [message.body for message in broken.unsent] == [b"y"]
    net.machines[A].give_up(B, net.now)  # nobody waits, nothing is on its way: no news
    net.run()
    assert len(net.of(A, Broken)) == 1
    net.cut.discard(B)
    send(net, A, b"z")
    net.run()
    assert bodies(net, B) == [b"x", b"z"]
    assert net.of(B, Broken) == [Broken(A, ())]
