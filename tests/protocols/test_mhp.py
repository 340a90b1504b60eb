"""MHP: two nodes and a station, their frames carried by hand.  Requirements: protocols/mhp/mhp.toml."""

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_pair import NO_FAULTS, Faults, Net

from protocols.ignored import Ignored
from protocols.machine import Send
from protocols.mhp.node import TRIES, Midpoint, NodeMhp, TrainOutcome
from protocols.mhp.station import KEPT, Arm, Disarm, StationLink, StationMhp
from protocols.mhp.trains import SEQUENCE_MODULUS
from protocols.wire.codec import MhpError, MhpGen, MhpKind, MhpOutcome, MhpReply

A, B, STATION = 1, 2, 3
LINK = 7
SLOT = 1_000
DELAY = 10_000
FIRST, SPACING, COUNT = 100, 10, 5
LAST = FIRST + (COUNT - 1) * SPACING
DEADLINE = LAST * SLOT + 2 * DELAY


class Lab(Net):
    """A link whose device has its success at a slot of the train, or (None) none."""

    def __init__(self, success: int | None = FIRST, faults: Faults = NO_FAULTS, seed: int = 1) -> None:
        machines: dict[int, Any] = {
            A: NodeMhp({LINK: Midpoint(STATION, 2 * DELAY)}),
            B: NodeMhp({LINK: Midpoint(STATION, 2 * DELAY)}),
            STATION: StationMhp({LINK: StationLink((A, B), SLOT)}),
        }
        super().__init__(machines, DELAY, faults, seed, self._device)
        self.success = success

    def _device(self, node: int, event: Any, now: int) -> None:
        if isinstance(event, Arm):
            assert now < event.first_slot * SLOT
            slot, outcome = self.success, MhpOutcome.PSI_MINUS
            if slot is None:
                slot, outcome = event.first_slot + (event.count - 1) * event.spacing, MhpOutcome.FAIL
            station = self.machines[STATION]
            self.at(slot * SLOT + 1_000, lambda: station.heralded(event, outcome, slot, self.now))

    def start(self, node: int, queue_id: int = 1, first: int = FIRST, count: int = COUNT) -> None:
        deadline = (first + (count - 1) * SPACING) * SLOT + 2 * DELAY
        self.machines[node].start_train(LINK, queue_id, first, SPACING, count, 0, deadline)

    def outcomes(self, node: int) -> list[tuple[MhpOutcome, MhpError]]:
        return [(event.outcome, event.error) for event in self.of(node, TrainOutcome)]


def gen(kind: MhpKind = MhpKind.PRODUCE, queue_id: int = 1, first: int = FIRST, count: int = COUNT) -> MhpGen:
    return MhpGen(kind, LINK, queue_id, first, SPACING, count, 0, int(kind is not MhpKind.INFO))


def error(code: MhpError) -> list[tuple[MhpOutcome, MhpError]]:
    return [(MhpOutcome.ERROR, code)]


# ---------------------------------------------------------------------------------------------- without loss


def test_a_success() -> None:
    """MHP-1, MHP-6, MHP-12: one Gen and one Reply for each node, and both say the same."""
    net = Lab(success=FIRST + 2 * SPACING)
    net.start(A)
    net.start(B)
    net.run()
    outcome = TrainOutcome(LINK, 1, MhpOutcome.PSI_MINUS, MhpError.NONE, 0, FIRST + 2 * SPACING)
    assert net.events == {A: [outcome], B: [outcome], STATION: [Arm(LINK, FIRST, SPACING, COUNT)]}
    assert net.messages(MhpGen) == [gen(), gen()]
    assert len(net.messages(MhpReply)) == 2


def test_a_failure_does_not_count() -> None:
    """MHP-12."""
    net = Lab(success=None)
    for queue_id, success in ((1, None), (2, 300), (3, None), (4, 700)):
        first = 200 * queue_id - 100
        net.success = success
        net.start(A, queue_id, first, 1)
        net.start(B, queue_id, first, 1)
        net.run()
    for node in (A, B):
        told = [(event.outcome, event.mhp_sequence) for event in net.of(node, TrainOutcome)]
        assert told[0::2] == [(MhpOutcome.FAIL, 0), (MhpOutcome.FAIL, 1)]
        assert told[1::2] == [(MhpOutcome.PSI_MINUS, 0), (MhpOutcome.PSI_MINUS, 1)]


def test_the_sequence_counts_modulo_65535() -> None:
    """MHP-12."""
    station = StationMhp({LINK: StationLink((A, B), SLOT)}, first_sequence=SEQUENCE_MODULUS - 1)
    numbers = []
    for queue_id in (1, 2):
        for node in (A, B):
            station.receive(gen(queue_id=queue_id, first=queue_id * 100), node, 0)
        arm = station.poll(0)[0]
        station.heralded(arm, MhpOutcome.PSI_PLUS, queue_id * 100, 0)
        numbers.append(station.poll(0)[0].message.mhp_sequence)
    assert numbers == [65_534, 0]


# ----------------------------------------------------------------------------------------------------- errors


def test_different_queue_ids() -> None:
    """MHP-7."""
    net = Lab()
    net.start(A, queue_id=1)
    net.start(B, queue_id=2)
    net.run()
    assert net.outcomes(A) == net.outcomes(B) == error(MhpError.QUEUE_MISMATCH)
    replies = {(r.queue_id, r.peer_queue_id) for r in net.messages(MhpReply)}
    assert replies == {(1, 2), (2, 1)}


@pytest.mark.parametrize("other", [{"first": FIRST + 1}, {"count": COUNT + 1}])
def test_different_slots(other: dict[str, int]) -> None:
    """MHP-7."""
    net = Lab()
    net.start(A)
    net.start(B, **other)
    net.run()
    assert net.outcomes(A) == net.outcomes(B) == error(MhpError.TIME_MISMATCH)
    assert not net.of(STATION, Arm)


def test_only_one_node() -> None:
    """MHP-8: told at the first slot, to both: neither waits for the end of the train."""
    net = Lab()
    net.start(A)
    net.start(B)
    net.trouble = lambda source, destination, message: source == B
    net.run()
    assert net.outcomes(A) == net.outcomes(B) == error(MhpError.NO_CLASSICAL_OTHER)
    assert net.now == FIRST * SLOT - 1_000 + DELAY


def test_a_gen_that_comes_too_late() -> None:
    """MHP-9: and the other node is not disturbed."""
    net = Lab()
    net.start(A, queue_id=2, first=900)
    net.run(until=FIRST * SLOT)
    net.start(B)
    net.run(until=FIRST * SLOT + 3 * DELAY)
    assert net.outcomes(B) == error(MhpError.OUT_OF_WINDOW)
    assert net.outcomes(A) == []


def test_a_node_that_cannot_go_on() -> None:
    """MHP-5: before the station looks, and while it does."""
    for wait in (DELAY // 2, 3 * DELAY):
        net = Lab(success=LAST)
        net.start(A)
        net.run(until=wait)
        net.start(B)
        net.run(until=2 * wait)
        net.machines[B].abort(LINK)
        net.run()
        assert net.outcomes(A) == error(MhpError.GEN_FAIL)
        assert net.outcomes(B) == []
        assert len(net.of(STATION, Disarm)) == len(net.of(STATION, Arm))


def test_a_device_that_fails() -> None:
    """The station's own fault is LOCAL."""
    net = Lab(success=LAST)
    net.start(A)
    net.start(B)
    net.run(until=2 * DELAY)
    net.machines[STATION].failed(net.of(STATION, Arm)[0], net.now)
    net.run()
    assert net.outcomes(A) == net.outcomes(B) == error(MhpError.LOCAL)


def test_a_train_that_is_superseded_while_the_station_looks() -> None:
    """MHP-10, MHP-4: the answer of the device about the old train finds nothing."""
    net = Lab(success=LAST)
    net.start(A)
    net.start(B)
    net.run(until=2 * DELAY)
    net.start(A, queue_id=2, first=500)
    net.run(until=4 * DELAY)
    assert net.outcomes(B) == error(MhpError.QUEUE_MISMATCH)
    net.success = 500
    net.start(B, queue_id=2, first=500)
    net.run()
    assert net.events[STATION] == [
        Arm(LINK, FIRST, SPACING, COUNT),
        Disarm(LINK),
        Arm(LINK, 500, SPACING, COUNT),
    ]
    assert net.outcomes(A) == [(MhpOutcome.PSI_MINUS, MhpError.NONE)]
    assert net.of(A, TrainOutcome)[0].queue_id == 2


def test_a_gen_superseded_before_its_equal_came() -> None:
    """MHP-10."""
    net = Lab(success=500)
    net.start(A)
    net.run(until=2 * DELAY)
    net.start(A, queue_id=2, first=500)
    net.start(B, queue_id=2, first=500)
    net.run()
    assert net.outcomes(A) == net.outcomes(B) == [(MhpOutcome.PSI_MINUS, MhpError.NONE)]


def test_who_is_not_of_the_link_is_not_heard() -> None:
    """MHP-4."""
    station = StationMhp({LINK: StationLink((A, B), SLOT)})
    station.receive(gen(), 9, 0)
    assert station.poll(0) == [Ignored(9, "MhpGen", "not an end of this link")]
    node = NodeMhp({LINK: Midpoint(STATION, DELAY)})
    node.start_train(LINK, 1, FIRST, SPACING, COUNT, 0, DEADLINE)
    reply = MhpReply(MhpOutcome.FAIL, MhpError.NONE, LINK, 0, 1, 1, LAST, 0, 0)
    node.receive(reply, 9, 0)
    for stray in (reply._replace(slot=FIRST + 1), reply._replace(slot=LAST + SPACING), reply._replace(queue_id=2)):
        node.receive(stray, STATION, 0)
    assert node.poll(0) == [Send(STATION, gen()), Ignored(9, "MhpReply", "not the station of this link")]


# ------------------------------------------------------------------------------------------------------- loss


def test_a_lost_reply_is_asked_for() -> None:
    """MHP-3, MHP-11."""
    net = Lab()
    lost = iter([True])
    net.trouble = lambda source, destination, message: (
        isinstance(message, MhpReply) and destination == A and next(lost, False)
    )
    net.start(A)
    net.start(B)
    net.run()
    assert net.of(A, TrainOutcome) == net.of(B, TrainOutcome)
    assert net.messages(MhpGen)[2:] == [gen(MhpKind.INFO)]
    assert net.now == DEADLINE + 2 * DELAY


def test_a_node_asks_at_once_when_it_is_told_to() -> None:
    """The link layer may know that there is an outcome."""
    net = Lab()
    net.trouble = lambda source, destination, message: destination == A
    net.start(A)
    net.start(B)
    net.run(until=FIRST * SLOT + 2 * DELAY)
    net.trouble = None
    net.machines[A].ask(LINK)
    net.run()
    assert net.of(A, TrainOutcome) == net.of(B, TrainOutcome)
    assert net.now < DEADLINE


def test_both_gens_lost() -> None:
    """MHP-11: the station has been there all the time: there was no train."""
    net = Lab()
    net.trouble = lambda source, destination, message: getattr(message, "kind", None) == MhpKind.PRODUCE
    net.start(A)
    net.run()
    assert net.outcomes(A) == error(MhpError.GEN_FAIL)


def test_a_station_that_has_restarted_does_not_know() -> None:
    """MHP-11."""
    net = Lab()
    net.trouble = lambda source, destination, message: destination == A
    net.start(A)
    net.start(B)
    net.run(until=FIRST * SLOT + 2 * DELAY)
    net.trouble = None
    net.replace(STATION, StationMhp({LINK: StationLink((A, B), SLOT)}, born_ps=net.now))
    net.run()
    assert net.outcomes(B) == [(MhpOutcome.PSI_MINUS, MhpError.NONE)]
    assert net.outcomes(A) == error(MhpError.GENERAL)


def test_where_gens_get_lost_each_is_sent_twice() -> None:
    """MHP-1: the station takes the second for the first, and hears it where that was lost."""
    net = Lab()
    lost = iter([True, False])
    net.trouble = lambda source, destination, message: source == A and next(lost, False)
    for node in (A, B):
        machine = net.machines[node]
        machine.start_train(LINK, 1, FIRST, SPACING, COUNT, 0, DEADLINE, twice=True)
    net.run()
    assert net.messages(MhpGen) == [gen()] * 4
    assert net.of(A, TrainOutcome) == net.of(B, TrainOutcome)
    assert net.outcomes(A) == [(MhpOutcome.PSI_MINUS, MhpError.NONE)]


def test_a_station_that_is_dead() -> None:
    """MHP-3."""
    net = Lab()
    net.cut.add(STATION)
    net.start(A)
    net.run()
    assert net.outcomes(A) == error(MhpError.GENERAL)
    times = [time for time, _, _, message in net.sent if message.kind is MhpKind.INFO]
    assert [b - a for a, b in pairwise(times)] == [6 * DELAY << min(n, 4) for n in range(TRIES - 1)]
    assert net.machines[A].next_timeout() is None


def test_a_station_remembers_a_bounded_number_of_trains() -> None:
    station = StationMhp({LINK: StationLink((A, B), SLOT)})
    for queue_id in range(100):
        station.receive(gen(queue_id=queue_id, first=0), A, SLOT)
    station.poll(SLOT)
    assert len(station._ports[LINK].kept) == KEPT


@given(
    st.builds(
        Faults,
        loss=st.floats(0, 0.3),
        duplicate=st.floats(0, 0.3),
        jitter_ps=st.sampled_from([0, DELAY, 5 * DELAY]),
    ),
    st.integers(0, 2**32),
)
@settings(max_examples=80)
def test_trains_in_a_row_under_loss(faults: Faults, seed: int) -> None:
    """MHP-2, MHP-4, MHP-6, MHP-12 at 30 % loss: one outcome per train and node; two known ones never
    differ."""
    net = Lab(None, faults, seed)
    chance = random.Random(seed)
    trains = 12
    for queue_id in range(1, trains + 1):
        first = net.now // SLOT + 200
        net.success = chance.choice([None, first, first + SPACING, first + 4 * SPACING])
        net.start(A, queue_id, first)
        net.run(until=net.now + chance.randrange(5 * DELAY))
        net.start(B, queue_id, first)
        net.run(until=net.now + 3_000_000)
        for node in (A, B):
            while len(net.of(node, TrainOutcome)) < queue_id:
                net.run(until=net.now + 10_000_000)
    known = 0
    successes: list[TrainOutcome] = []
    for a, b in zip(net.of(A, TrainOutcome), net.of(B, TrainOutcome), strict=True):
        assert a.queue_id == b.queue_id
        if MhpError.GENERAL not in (a.error, b.error) and MhpOutcome.ERROR not in (a.outcome, b.outcome):
            assert a == b
            known += 1
        successes += [x for x in (a, b) if x.outcome == MhpOutcome.PSI_MINUS][:1]
        if a.outcome == MhpOutcome.PSI_MINUS:
            assert b.outcome == MhpOutcome.PSI_MINUS or b.error == MhpError.GENERAL
    numbers = [event.mhp_sequence for event in successes]
    assert numbers == sorted(set(numbers))
    if faults.loss == 0 and not faults.jitter_ps:
        assert known == trains
