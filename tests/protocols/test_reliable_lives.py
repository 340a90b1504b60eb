"""REL: peers that start anew, fall silent, or are given up though they live.  Requirements:
protocols/reliable/reliable.toml."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_pair import Faults, Net
from reliable_lab import DELAY, ROUND_TRIP, A, B, bodies, lossy, pair, send

from protocols.ignored import Ignored
from protocols.reliable import (
    KEEPALIVE_PS,
    TRIES,
    Broken,
    Delivered,
    Reliable,
    Undelivered,
    first_sequence,
)
from protocols.reliable.node import lost_after_ps
from protocols.timers import Pauses
from protocols.wire.codec import ProtocolId, RelAck, RelData, RelProbe, RelReset

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


def test_who_says_anything_in_a_new_life_has_forgotten_the_old_one() -> None:
    """REL-13: told once, by whatever frame."""
    net = conversation()
    restart(net, B, 2)
    net.machines[A].restarted(B, net.now)
    send(net, A, b"who are you?")
    send(net, B, b"somebody else")
    net.run()
    assert net.events[A][1:] == [Broken(B, ()), Delivered(B, 3, 1, b"somebody else")]
    assert bodies(net, B)[1:] == [b"who are you?"]


def test_what_nobody_can_have_forgotten_is_sent_on() -> None:
    """REL-13: a stream of which the dead had nothing is the living one's."""
    net = conversation()
    net.cut.add(B)
    net.machines[A].watch(B, net.now)
    net.machines[A].give_up(B, net.now)  # it is known that the old life is over
    send(net, A, b"whoever you are")
    net.run(until=net.now + ROUND_TRIP)
    net.cut.clear()
    restart(net, B, 2)
    announce(net, B)
    net.run(until=net.now + KEEPALIVE_PS // 2)
    assert net.of(A, Broken) == [Broken(B, ())]
    assert bodies(net, B)[1:] == [b"whoever you are"]


def announce(net: Net, node: int) -> None:
    net.machines[node].announce([B if node == A else A], net.now)


@given(lossy, st.integers(0, 2**32), st.sampled_from([(A,), (B,), (A, B)]), st.booleans())
@settings(max_examples=40)
def test_what_is_begun_with_a_node_that_has_announced_itself_is_delivered(
    faults: Faults, seed: int, dead: tuple[int, ...], spoken: bool
) -> None:
    """REL-13, REL-16: whether one has started anew or both, under loss, and whether or not anything was said before;
    nothing is told of a node to which nothing was said."""
    net = conversation() if spoken else pair()
    net.faults = faults
    for node in dead:
        restart(net, node, 2)
        announce(net, node)
    net.run()
    told = {node: net.of(node, Broken) for node in (A, B)}
    for node, breaks in told.items():
        assert breaks == ([Broken(B if node == A else A, ())] if spoken and node not in dead else [])
    send(net, A, b"a")
    send(net, B, b"b")
    net.run()
    assert (bodies(net, A)[-1], bodies(net, B)[-1]) == (b"b", b"a")
    assert {node: net.of(node, Broken) for node in (A, B)} == told


def test_who_is_not_there_is_not_told_for_ever() -> None:
    """REL-10, REL-16: the announcement is given up, and nobody hears of that, for nothing was lost."""
    net = pair()
    restart(net, B, 2)
    net.cut.add(A)
    announce(net, B)
    net.run()
    assert net.machines[B].next_timeout() is None
    assert net.events[B] == []
    net.cut.clear()
    send(net, A, b"late")
    send(net, B, b"later")
    net.run()
    assert net.events == {A: [Delivered(B, 3, 1, b"later")], B: [Delivered(A, 3, 1, b"late")]}


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


@given(lossy, st.integers(0, 2**32), st.sampled_from([1, 65_533, 65_535]))
@settings(max_examples=40)
def test_restarts_at_any_time_under_loss(faults: Faults, seed: int, first: int) -> None:
    """REL-1, REL-2, REL-12, REL-13: within one life of both, what is delivered is in order and never twice; nor is
    anything amiss when lives have been counted once round."""
    net = pair(faults, seed, first=first)
    chance = random.Random(seed)
    lives = {A: first, B: first}
    for number in range(60):
        net.run(until=net.now + chance.randrange(2 * DELAY))
        if chance.random() < 0.05:
            node = chance.choice([A, B])
            lives[node] = (lives[node] + 1) % 2**16
            net.events[node].append("restart")
            restart(net, node, lives[node])
        send(net, chance.choice([A, B]), bytes([lives[A] & 0xFF, lives[B] & 0xFF, number]))
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
        life = None
        for event in net.events[sink]:
            if isinstance(event, Delivered):
                assert life in (None, event.body[source - 1])
                life = event.body[source - 1]
            else:
                life = None
    # And each hears the other in the end.
    net.faults = Faults()
    for _ in range(3):
        for source in (A, B):
            send(net, source, b"end")
        net.run()
    assert [net.events[node][-1] for node in (A, B)] == [Delivered(B, 3, 1, b"end"), Delivered(A, 3, 1, b"end")]


def test_lives_are_counted_once_round() -> None:
    """REL-2, REL-12: life 0 comes after life 65,535, and what is left of that is a straggler; nobody is deaf to it."""
    net = pair(first=65_535)
    send(net, A, b"last")
    net.run()
    (old, *_) = net.messages(RelData)
    restart(net, A, 0)
    send(net, A, b"once round")
    net.run()
    assert net.events[B] == [Delivered(A, 3, 1, b"last"), Broken(A, ()), Delivered(A, 3, 1, b"once round")]
    net.machines[B].receive(old, A, net.now)
    assert net.machines[B].poll(net.now) == []


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


def test_where_pauses_cost_nothing_a_silent_peer_is_asked_for_ever() -> None:
    """REL-14, where time stands still till then: at even pauses in the end, and after an answer all is at rest."""
    longest = 7 * KEEPALIVE_PS
    net = pair(pauses=Pauses(longest, ever=True))
    a = net.machines[A]
    send(net, A, b"x")
    assert not a.at_rest()
    a.watch(B, 0)
    net.run(until=100 * KEEPALIVE_PS)
    asked = probes(net)
    assert asked[:4] == [KEEPALIVE_PS, 2 * KEEPALIVE_PS, 4 * KEEPALIVE_PS, 11 * KEEPALIVE_PS]
    assert {later - earlier for earlier, later in pairwise(asked[2:])} == {longest}
    assert a.at_rest()
    net.cut.add(B)
    net.run(until=asked[-1] + longest)
    assert not a.at_rest(), "it waits for an answer"
    net.run(until=asked[-1] + longest + 4 * lost_after_ps(ROUND_TRIP))
    assert net.of(A, Broken)


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
    net.run(until=KEEPALIVE_PS + 5 * ROUND_TRIP * 2**12)
    assert net.of(A, Broken) == [Broken(B, ())]
    net.machines[A].unwatch(B)
    assert net.machines[A].next_timeout() is None


def gives_up(net: Net) -> None:
    """A cannot reach B for a while, and tells so."""
    net.cut.add(B)
    send(net, A, b"to nobody")
    net.run()
    net.cut.clear()


def test_who_was_given_up_and_lives_hears_of_it_as_soon_as_it_speaks() -> None:
    """REL-17, REL-12: by a Reset; each end is told once, and what either begins then arrives.  Its unheard words are
    reported."""
    net = conversation()
    gives_up(net)
    send(net, B, b"to who has gone on")
    net.run()
    (a,), (b,) = (net.of(node, Broken) for node in (A, B))
    assert [message.body for message in a.unsent] == [b"to nobody"]
    assert [message.body for message in b.unsent] == [b"to who has gone on"]
    send(net, A, b"anew")
    send(net, B, b"as well")
    net.run()
    assert (bodies(net, B)[-1], bodies(net, A)[-1]) == (b"anew", b"as well")
    assert [len(net.of(node, Broken)) for node in (A, B)] == [1, 1]


def test_who_begins_anew_with_a_peer_that_it_has_given_up_hears_its_answer() -> None:
    """REL-12, REL-17: by the stream that had ended, for the peer knows the next one."""
    net = conversation()
    gives_up(net)
    send(net, A, b"anew")
    net.run()
    send(net, B, b"in answer")
    net.run()
    assert bodies(net, A)[-1] == b"in answer"
    assert [len(net.of(node, Broken)) for node in (A, B)] == [1, 1]


def test_a_peer_that_has_never_been_heard_to_answer_hears_of_it_too() -> None:
    """REL-12: it knew no stream of the node's; but the node's next one does not know what it had once acknowledged."""
    net = pair()
    send(net, B, b"hallo")
    net.run()
    gives_up(net)
    send(net, A, b"anew")
    send(net, B, b"before it has heard that")
    net.run()
    send(net, B, b"as well")
    net.run()
    assert (bodies(net, A), bodies(net, B)) == ([b"hallo", b"as well"], [b"anew"])
    assert [len(net.of(node, Broken)) for node in (A, B)] == [1, 1]
    assert [message.body for message in net.of(B, Broken)[0].unsent] == [b"before it has heard that"]


def test_what_was_said_before_a_peer_gave_up_is_not_said_after_it() -> None:
    """REL-12: it was about what both have let go of."""
    net = conversation()
    net.trouble = lambda *_: True
    send(net, A, b"to nobody")
    send(net, B, b"to nobody either")
    net.run(until=net.now + 100 * ROUND_TRIP)
    net.machines[A].give_up(B, net.now)
    send(net, A, b"anew")
    net.trouble = None
    net.run()
    assert (bodies(net, A), bodies(net, B)) == ([b"hallo"], [b"hello", b"anew"])
    assert [message.body for message in net.of(B, Broken)[0].unsent] == [b"to nobody either"]
    assert [len(net.of(node, Broken)) for node in (A, B)] == [1, 1]


def test_who_has_never_heard_that_it_was_heard_is_heard_again() -> None:
    """REL-17: what it began had come, and was dropped when it was given up."""
    net = pair()
    net.trouble = lambda source, destination, message: source == A
    send(net, B, b"hallo")
    net.run(until=4 * DELAY)
    assert bodies(net, A) == [b"hallo"]
    net.trouble = lambda *_: True
    send(net, A, b"to nobody")
    net.run(until=net.now + 100 * ROUND_TRIP)
    net.machines[A].give_up(B, net.now)
    send(net, A, b"anew")
    net.trouble = None
    net.run()
    assert net.events[A][1:] == [net.of(A, Broken)[0], Delivered(B, 3, 1, b"hallo")]
    assert net.events[B] == [Delivered(A, 3, 1, b"anew")]


def test_what_answers_to_a_stream_that_was_given_up_since_is_void() -> None:
    """REL-11: A has given B up twice when B, which stood still, hears all that was said, one thing after the other."""
    net = conversation()
    net.trouble = lambda *_: True
    said = len(net.sent)
    for body in (b"one", b"two"):
        send(net, A, body)
        net.run(until=net.now + 100 * ROUND_TRIP)
        net.machines[A].give_up(B, net.now)
    late = dict.fromkeys(message for *_, message in net.sent[said:])
    net.trouble = None
    for message in late:
        net.machines[B].receive(message, A, net.now)
    net.run()
    assert [type(event) for event in net.events[B][1:]] == [Delivered, Broken, Delivered, Broken]
    assert [len(net.of(node, Broken)) for node in (A, B)] == [2, 2]
    send(net, A, b"anew")
    send(net, B, b"as well")
    net.run()
    assert (bodies(net, B)[-1], bodies(net, A)[-1]) == (b"anew", b"as well")
    assert [len(net.of(node, Broken)) for node in (A, B)] == [2, 2]


def test_a_stream_that_goes_on_to_answer_to_what_was_given_up_is_void() -> None:
    """REL-11: B gives A up, speaks, and hears then what A had said before it gave B up twice."""
    net = conversation()
    net.trouble = lambda *_: True
    said = len(net.sent)
    send(net, A, b"one")
    net.run(until=net.now + 100 * ROUND_TRIP)
    net.machines[A].give_up(B, net.now)
    send(net, A, b"two")
    net.run(until=net.now + 100 * ROUND_TRIP)
    net.machines[A].give_up(B, net.now)
    (late,) = {message for _, source, _, message in net.sent[said:] if source == A and message.payload == b"two"}
    send(net, B, b"unheard")
    net.machines[B].give_up(A, net.now)
    net.trouble = None
    send(net, B, b"anew")
    net.settle()
    net.machines[B].receive(late, A, net.now)
    send(net, B, b"in answer")
    net.run()
    assert [type(event) for event in net.events[B][1:]] == [Broken, Delivered, Broken]
    assert [type(event) for event in net.events[A][1:]] == [Broken, Broken, Delivered, Broken]
    send(net, A, b"at last")
    send(net, B, b"indeed")
    net.run()
    assert (bodies(net, B)[-1], bodies(net, A)[-1]) == (b"at last", b"indeed")
    assert [len(net.of(node, Broken)) for node in (A, B)] == [3, 2]


class Shared:
    """What the two ends have begun with each other: each lets go of all of it when it hears of a Broken, and waits for
    the other as long as there is anything."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.held: dict[int, set[bytes]] = {A: set(), B: set()}
        self._seen = {A: 0, B: 0}
        self._waits: set[int] = set()

    def begin(self, node: int, what: bytes) -> None:
        self.held[node].add(what)
        send(self.net, node, what)

    def run(self, until: int) -> None:
        """In steps, so that what is heard counts soon."""
        while self.net.now < until:
            self._hear()
            self.net.run(until=min(until, self.net.now + DELAY))
        self._hear()

    def _hear(self) -> None:
        for node, events in self.net.events.items():
            for event in events[self._seen[node] :]:
                if isinstance(event, Broken):
                    self.held[node].clear()
                else:
                    self.held[node].add(event.body)
            self._seen[node] = len(events)
            machine, peer = self.net.machines[node], B if node == A else A
            if self.held[node] and node not in self._waits:
                machine.watch(peer, self.net.now)
                self._waits.add(node)
            elif not self.held[node] and node in self._waits:
                machine.unwatch(peer)
                self._waits.remove(node)


@pytest.mark.parametrize("faults", [Faults(), Faults(loss=0.3), Faults(loss=0.1, duplicate=0.2, jitter_ps=5 * DELAY)])
def test_no_end_waits_for_what_the_other_has_given_up(faults: Faults) -> None:
    """REL-12, REL-17: while nothing passes, either may give the other up, and begin anew; when all is well again and
    quiet, both hold the same."""
    for seed in range(150):
        chance = random.Random(seed)
        net = pair(faults, seed)
        shared = Shared(net)
        dark = None
        for number in range(chance.randrange(5, 15)):
            node = chance.choice([A, B])
            match chance.choices(["begin", "dark", "light", "give up"], [5, 2, 1, 2])[0]:
                case "begin":
                    shared.begin(node, bytes([number]))
                case "dark":
                    net.faults, dark = Faults(loss=1.0), net.now
                case "light":
                    net.faults, dark = faults, None
                case "give up" if dark is not None and net.now >= dark + 20 * DELAY:  # all that was on its way has come
                    net.machines[node].give_up(B if node == A else A, net.now)
            shared.run(net.now + chance.choice([0, DELAY, 3 * DELAY, 30 * DELAY, 60 * DELAY]))
        net.faults = Faults()
        shared.run(net.now + 300 * ROUND_TRIP)
        for doubled in range(5):  # who waits asks
            net.run(until=net.now + (KEEPALIVE_PS << doubled))
            shared.run(net.now + 100 * ROUND_TRIP)
        assert shared.held[A] == shared.held[B], seed


def test_an_answer_to_a_stream_that_has_ended_begins_nothing() -> None:
    """REL-11: its first word is about what its node has given up."""
    net = pair()
    net.trouble = lambda source, destination, message: source == B
    send(net, A, b"unheard answers")
    net.run()
    net.trouble = None
    send(net, B, b"an answer")
    net.run()
    assert bodies(net, A) == []
    assert [message.body for message in net.of(B, Broken)[0].unsent] == [b"an answer"]


@pytest.mark.parametrize("up_at", [15_000, 20_000, None])
def test_a_peer_that_may_not_be_up_yet_is_tried_on(up_at: int | None) -> None:
    """REL-10: with pauses that double; its first word has it tried at once; till the time by which all are up."""
    net = pair(all_up_at=30_000 * ROUND_TRIP)
    net.cut.add(B)
    send(net, A, b"early")
    net.run(until=(up_at or 25_000) * ROUND_TRIP)
    assert net.of(A, Broken) == []
    assert TRIES < len(net.sent) < TRIES + 12
    if up_at is None:
        net.run()
        assert net.now >= 30_000 * ROUND_TRIP
        assert [message.body for message in net.of(A, Broken)[0].unsent] == [b"early"]
        return
    net.cut.clear()
    began = net.now
    send(net, B, b"up")
    net.run(until=began + 3 * DELAY)
    assert (bodies(net, A), bodies(net, B)) == ([b"up"], [b"early"])
    net.run()
    assert net.of(A, Broken) == net.of(B, Broken) == []


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
