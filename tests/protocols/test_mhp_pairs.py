"""MHP where a train brings several pairs, and where it is told attempt by attempt.  Requirements: mhp.toml."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_pair import NO_FAULTS, Faults, Net

from protocols.mhp.node import Midpoint, NodeMhp, TrainOutcome
from protocols.mhp.station import Arm, Disarm, StationLink, StationMhp
from protocols.wire.codec import MhpError, MhpGen, MhpKind, MhpOutcome, MhpReply

A, B, STATION = 1, 2, 3
LINK = 7
SLOT, DELAY, LEAD = 1_000, 10_000, 1_000
FIRST = 100


class Lab(Net):
    """A link whose device has its successes at these slots, if it looks at them."""

    def __init__(self, successes: set[int], faults: Faults = NO_FAULTS, seed: int = 1) -> None:
        midpoint = Midpoint(STATION, 2 * DELAY, SLOT, LEAD)
        machines: dict[int, Any] = {
            A: NodeMhp({LINK: midpoint}),
            B: NodeMhp({LINK: midpoint}),
            STATION: StationMhp({LINK: StationLink((A, B), SLOT, LEAD)}),
        }
        super().__init__(machines, DELAY, faults, seed, self._device)
        self.successes = successes
        self.arm: Arm | None = None

    def _device(self, node: int, event: Any, now: int) -> None:
        if isinstance(event, Disarm):
            self.arm = None
        if isinstance(event, Arm):
            self.arm = event
            row = range(event.first_slot, event.first_slot + event.count * event.spacing, event.spacing)
            slot = next((s for s in row if s in self.successes and s * SLOT > now), row[-1])
            outcome = MhpOutcome.PSI_PLUS if slot in self.successes and slot * SLOT > now else MhpOutcome.FAIL

            def known() -> None:
                if self.arm is event:
                    self.machines[STATION].heralded(event, outcome, slot, self.now)

            self.at(max(now, slot * SLOT + 500), known)

    def start(self, spacing: int, count: int, first: int = FIRST, queue_id: int = 1, **how: Any) -> None:
        deadline = (first + (count - 1) * spacing) * SLOT + 2 * DELAY
        for node in (A, B):
            self.machines[node].start_train(LINK, queue_id, first, spacing, count, 0, deadline, **how)

    def told(self, node: int) -> list[tuple[int, int, bool]]:
        """Sequence and slot of every success, and whether its train went on."""
        return [
            (e.mhp_sequence, e.slot, e.more) for e in self.of(node, TrainOutcome) if e.outcome == MhpOutcome.PSI_PLUS
        ]


def test_a_train_goes_on_to_its_last_pair() -> None:
    """MHP-13: three of the four successes are wanted; each Gen is one, each success a Reply to both."""
    net = Lab({102, 103, 110, 115})
    net.start(1, 50, pairs=3)
    net.run()
    assert net.told(A) == net.told(B) == [(0, 102, True), (1, 103, True), (2, 110, False)]
    assert len(net.messages(MhpGen)) == 2
    assert [reply.number for reply in net.messages(MhpReply)] == [1, 1, 2, 2, 3, 3]
    assert all(net.machines[node].next_timeout() is None for node in net.machines)


def test_a_train_that_does_not_bring_all_its_pairs_ends_with_its_last_slot() -> None:
    """MHP-13: the end says how many there were; a success in the last slot ends the train, too."""
    net = Lab({102, 250})
    net.start(1, 50, pairs=3)
    net.run()
    assert net.told(A) == net.told(B) == [(0, 102, True)]
    assert net.of(A, TrainOutcome)[-1] == TrainOutcome(LINK, 1, MhpOutcome.FAIL, MhpError.NONE, 1, 149)
    net = Lab({102, 149})
    net.start(1, 50, pairs=3)
    net.run()
    assert net.told(A) == net.told(B) == [(0, 102, True), (1, 149, False)]


def test_a_lost_reply_is_seen_by_the_next_one_and_asked_for() -> None:
    """MHP-11, MHP-13: successes are told in their order."""
    net = Lab({102, 112, 140})
    lost = iter([True])
    net.trouble = lambda source, destination, message: (
        isinstance(message, MhpReply) and destination == A and next(lost, False)
    )
    net.start(1, 50, pairs=3)
    net.run()
    assert net.told(A) == net.told(B) == [(0, 102, True), (1, 112, True), (2, 140, False)]
    assert [gen.pairs for gen in net.messages(MhpGen) if gen.kind == MhpKind.INFO] == [0]


def test_a_train_for_other_numbers_of_pairs_is_another() -> None:
    """MHP-7."""
    net = Lab({102})
    for node, pairs in ((A, 2), (B, 3)):
        net.machines[node].start_train(LINK, 1, FIRST, 1, 5, 0, 200 * SLOT, pairs)
    net.run()
    assert [e.error for e in net.of(A, TrainOutcome)] == [MhpError.TIME_MISMATCH]


def test_a_train_that_is_cut_keeps_what_it_has_brought() -> None:
    """MHP-5: the end says GEN_FAIL to both."""
    net = Lab({102, 140})
    net.start(1, 50, pairs=3)
    net.run(until=115 * SLOT)
    net.machines[B].cut(LINK)
    net.run()
    assert net.told(A) == net.told(B) == [(0, 102, True)]
    assert [e.error for e in net.of(A, TrainOutcome)][-1] == MhpError.GEN_FAIL


SPACING = 30
"""Of attempts told one by one: each Reply is home before the next Gen must leave."""


def test_attempts_told_one_by_one() -> None:
    """MHP-14: a Gen and a Reply of each node per attempt, as published."""
    net = Lab({FIRST + 2 * SPACING})
    net.start(SPACING, 4, each=True)
    net.run()
    assert net.told(A) == net.told(B) == [(0, FIRST + 2 * SPACING, False)]
    slots = [gen.first_slot for gen in net.messages(MhpGen)]
    assert sorted(slots) == sorted([FIRST, FIRST + SPACING, FIRST + 2 * SPACING] * 2)
    assert all(gen.count == 1 for gen in net.messages(MhpGen))
    assert len(net.messages(MhpReply)) == 6


def test_attempts_told_one_by_one_in_vain() -> None:
    """MHP-14: one outcome, at the last slot."""
    net = Lab(set())
    net.start(SPACING, 4, each=True)
    net.run()
    last = TrainOutcome(LINK, 1, MhpOutcome.FAIL, MhpError.NONE, 0, FIRST + 3 * SPACING)
    assert net.of(A, TrainOutcome) == net.of(B, TrainOutcome) == [last]


@pytest.mark.parametrize("kind", [MhpGen, MhpReply])
def test_a_lost_message_costs_an_attempt_and_not_the_train(kind: type) -> None:
    """MHP-14: where the whole train would end with NO_CLASSICAL_OTHER, or wait for its end, the next attempt counts."""
    net = Lab({FIRST + 3 * SPACING})
    lost = iter([True])
    net.trouble = lambda source, destination, message: (
        isinstance(message, kind) and A in (source, destination) and next(lost, False)
    )
    net.start(SPACING, 8, each=True)
    net.run()
    assert net.told(A) == net.told(B) == [(0, FIRST + 3 * SPACING, False)]


@given(
    st.builds(
        Faults,
        loss=st.floats(0, 0.3),
        duplicate=st.floats(0, 0.3),
        jitter_ps=st.sampled_from([0, DELAY, 5 * DELAY]),
    ),
    st.integers(0, 2**32),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_trains_of_both_kinds_under_loss(faults: Faults, seed: int, each: bool) -> None:
    """MHP-4, MHP-12, MHP-13, MHP-14 at 30 % loss: what both nodes are told is the same, in order and without gaps."""
    chance = random.Random(seed)
    net = Lab({slot for slot in range(20_000) if chance.random() < 0.1}, faults, seed)
    trains = 5
    spacing, count, how = (SPACING, 4, {"each": True}) if each else (2, 60, {"pairs": 5})
    for queue_id in range(1, trains + 1):
        first = net.now // SLOT + 200
        net.start(spacing, count, first, queue_id, **how)
        while any(sum(not e.more for e in net.of(node, TrainOutcome)) < queue_id for node in (A, B)):
            net.run(until=net.now + 1_000_000)
    slots: dict[int, int] = {}
    for node in (A, B):
        told = net.told(node)
        assert [sequence for sequence, *_ in told] == sorted({sequence for sequence, *_ in told})
        for sequence, slot, _ in told:
            assert slots.setdefault(sequence, slot) == slot
        unknown = any(e.error == MhpError.GENERAL for e in net.of(node, TrainOutcome))
        if not unknown and not each:
            assert len(told) == net.machines[STATION]._sequences[LINK]
