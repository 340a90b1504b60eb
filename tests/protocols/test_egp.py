"""EGP: whole links, their frames carried by hand.  Requirements: protocols/egp/egp.toml."""

import itertools
import random
from typing import Any

import pytest
from egp_lab import CHAIN, LINK, LONG, ONE, TRIANGLE, A, B, both, finish, lossy, sent
from hypothesis import given, settings
from hypothesis import strategies as st
from link_lab import ANSWER, ATTEMPT, DELAY, ESTIMATE, PURPOSE, SLOT, LinkLab, Way
from machine_pair import Faults

from protocols.egp.facts import LinkFacts, Setting, least_spacing
from protocols.egp.node import Egp
from protocols.egp.queue import OPEN
from protocols.egp.service import Err, Ok
from protocols.egp.states import UNSET, RequestId
from protocols.ignored import Ignored
from protocols.machine import Send
from protocols.mhp.trains import SEQUENCE_MODULUS
from protocols.reliable import Broken
from protocols.wire.codec import (
    EgpAdd,
    EgpAddAck,
    EgpAddReject,
    EgpError,
    EgpKind,
    EgpTest,
    EgpTrain,
    EgpTrainAck,
    EgpVerdict,
    MhpGen,
    MhpReply,
    RelData,
)

# --------------------------------------------------------------------------------------------------- pairs


@pytest.mark.parametrize("asker", [A, B])
def test_pairs_for_either_node(asker: int) -> None:
    """EGP-8, EGP-14: five pairs, numbered by the station, told alike to both nodes; then all is forgotten."""
    lab = LinkLab(ONE)
    create_id = lab.create(asker, LINK, number=5)
    finish(lab)
    for node in (A, B):
        story = lab.story(node, LINK, asker, create_id)
        assert [ok.link_sequence for ok in story.oks] == [0, 1, 2, 3, 4]
        assert {ok.directionality for ok in story.oks} == {int(node != asker)}
        assert {(ok.purpose_id, ok.goodness, ok.remote) for ok in story.oks} == {(PURPOSE, ESTIMATE, A + B - node)}
        assert story.errs == []


def test_what_one_pair_costs() -> None:
    """One Add, one Train, one Gen and Reply per node; a pair whose first attempt succeeds has its earliest
    slot."""
    lab = LinkLab(ONE, p=1)
    lab.create(A, LINK)
    finish(lab)
    kinds = [type(m).__name__ for m in lab.messages(MhpGen, MhpReply)]
    assert sorted(kinds) == ["MhpGen"] * 2 + ["MhpReply"] * 2
    assert len(lab.messages(RelData)) == 4
    (ok,) = lab.of(A, Ok)
    asked, facts = 2 * DELAY, lab.link_facts(ONE[0], A)
    assert ok.time_of_goodness == facts.first_slot(asked) * SLOT
    assert ok.time_of_goodness - asked < 3 * DELAY + facts.margin_ps + facts.lead_ps + SLOT


def test_two_qubits_serve_one_train_after_the_other() -> None:
    """EGP-5: and what is used up is awaited, not taken twice."""
    lab = LinkLab(ONE, qubits={A: 2, B: 1}, p=1)
    create_id = lab.create(A, LINK, number=3)
    finish(lab)
    times = [ok.time_of_goodness for ok in both(lab, A, create_id)[0].oks]
    assert all(later - earlier > lab.hold_ps for earlier, later in itertools.pairwise(times))


@given(lossy, st.integers(0, 2**32), st.integers(1, 3), st.floats(0.05, 1))
@settings(max_examples=40)
def test_every_request_ends_alike_at_both_nodes_under_loss(
    faults: Faults, seed: int, qubits: int, p: float
) -> None:
    """EGP-8, EGP-11, EGP-12, EGP-14 to 30 % loss: OKs agree with each other and with the devices, or are
    void."""
    lab = LinkLab(ONE, qubits, p=p, faults=faults, seed=seed)
    chance = random.Random(seed)
    wanted = {}
    for _ in range(6):
        lab.run(until=lab.now + chance.randrange(30 * DELAY))
        node, number = chance.choice([A, B]), chance.randint(1, 4)
        wanted[node, lab.create(node, LINK, number)] = number
    finish(lab)
    for (origin, create_id), number in wanted.items():
        for node in (A, B):
            assert lab.ended(node, LINK, origin, create_id, number)
        here, there = both(lab, origin, create_id)
        assert {err.code for err in here.errs + there.errs} <= {EgpError.EXPIRE}
    if faults == Faults():
        assert not lab.of(A, Err)
        assert not lab.of(B, Err)


# ------------------------------------------------------------------------------------------------ the queue


@given(lossy, st.integers(0, 2**32))
@settings(max_examples=30)
def test_both_queues_have_one_order(faults: Faults, seed: int) -> None:
    """EGP-1: whatever is lost, and although no request is served meanwhile."""
    lab = LinkLab(ONE, qubits=0, faults=faults, seed=seed)
    chance = random.Random(seed)
    for _ in range(20):
        lab.run(until=lab.now + chance.randrange(2 * DELAY))
        lab.create(chance.choice([A, B]), LINK)
        a, b = lab.egp(A).queue(LINK), lab.egp(B).queue(LINK)
        common = set(a) & set(b)
        assert [r for r in a if r in common] == [r for r in b if r in common]
    lab.run(until=lab.now + 100_000 * DELAY)
    order = lab.egp(A).queue(LINK)
    assert order == lab.egp(B).queue(LINK)
    assert len(order) == 20
    for node in (A, B):
        own = [r.create_id for r in order if r.origin == node]
        assert own == sorted(own)


def test_requests_are_served_in_that_order() -> None:
    """EGP-2: the master proposes, for the first in the queue."""
    lab = LinkLab(ONE, qubits=0)
    for asker in (B, A, B):
        lab.create(asker, LINK, number=2)
        lab.run(until=lab.now + DELAY // 2)
    lab.run(until=10 * DELAY)
    order = [RequestId(A, 0), RequestId(B, 0), RequestId(B, 1)]
    assert list(lab.egp(A).queue(LINK)) == order
    for node in (A, B):
        lab._lend(node, 1)
    finish(lab)
    served = [RequestId(B if ok.directionality else A, ok.create_id) for ok in lab.of(A, Ok)]
    assert served == [request for request in order for _ in range(2)]
    assert {source for source, _ in sent(lab, EgpTrain)} == {A}


def test_a_peer_that_proposes_is_not_heard() -> None:
    """EGP-2."""
    egp = Egp(A, [LinkLab(ONE).link_facts(ONE[0], A)])
    egp.receive(EgpTrain(LINK, 1, 0, 1, 1_000, 20, 5, 0, UNSET, EgpTest.NONE, 1, 0), B, 0)
    assert egp.poll(0) == [Ignored(B, "EgpTrain", "only the master proposes")]
    egp.receive(EgpTrain(LINK, 1, 0, 1, 1_000, 20, 5, 0, UNSET, EgpTest.NONE, 1, 0), 3, 0)
    assert egp.poll(0) == [Ignored(3, "EgpTrain", "not the peer of this link")]


@pytest.mark.parametrize("asker", [A, B])
def test_no_rule_no_pairs(asker: int) -> None:
    """EGP-3."""
    lab = LinkLab(ONE)
    lab.egp(A + B - asker).stop_recv(asker, PURPOSE)
    create_id = lab.create(asker, LINK)
    finish_rejected(lab, asker, create_id, EgpError.REJECTED)


@pytest.mark.parametrize("asker", [A, B])
def test_too_high_a_fidelity(asker: int) -> None:
    """EGP-4: at once here; and there, if only there the estimate is lower."""
    lab = LinkLab(ONE)
    create_id = lab.create(asker, LINK, fidelity=ESTIMATE + 1)
    lab.settle()
    assert lab.codes(asker, LINK, asker, create_id) == [EgpError.UNSUPP]
    lab = LinkLab(ONE)
    way = ONE[0]
    own, less = lab.link_facts(way, asker), Egp(A + B - asker, [lab.link_facts(way, A + B - asker)])
    assert own.own.kept == ESTIMATE
    less.recv(asker, PURPOSE)
    less.receive(EgpAdd(LINK, 0, PURPOSE, 1, ESTIMATE + 1, 0, EgpKind.KEEP, 0, 0, 0, 0, ()), asker, 0)
    assert less.poll(0) == [Send(asker, EgpAddReject(LINK, 0, EgpError.UNSUPP), reliable=True)]


def finish_rejected(lab: LinkLab, asker: int, create_id: int, code: EgpError) -> None:
    lab.run(until=LONG)
    assert lab.codes(asker, LINK, asker, create_id) == [code]
    assert lab.egp(A).queue(LINK) == lab.egp(B).queue(LINK) == ()
    assert not lab.of(A + B - asker, Err)
    assert all(machine.next_timeout() is None for machine in lab.machines.values())


@pytest.mark.parametrize(
    ("add", "code"),
    [({"kind": EgpKind.MEASURE}, EgpError.CREATE), ({"number": 0}, EgpError.CREATE), ({}, EgpError.NORES)],
)
def test_what_else_is_rejected(add: dict[str, Any], code: EgpError) -> None:
    lab = LinkLab(ONE)
    egp = lab.egp(B)
    message = EgpAdd(LINK, 0, PURPOSE, 1, 0, 0, EgpKind.KEEP, 0, 0, 0, 0, ())
    if code is EgpError.NORES:
        for create_id in range(1, OPEN + 1):
            egp.receive(message._replace(create_id=create_id), A, 0)
        assert {type(send.message) for send in egp.poll(0)} == {EgpAddAck}
    egp.receive(message._replace(**add), A, 0)
    assert egp.poll(0) == [Send(A, EgpAddReject(LINK, 0, code), reliable=True)]


def test_what_cannot_be_is_told_where_it_was_asked() -> None:
    """NOTIME, CREATE and NORES of CREATE."""
    lab = LinkLab(ONE, qubits=0)
    too_short = lab.create(A, LINK, max_time_ps=5 * DELAY)
    none = lab.create(A, LINK, number=0)
    for _ in range(OPEN + 1):
        last = lab.create(A, LINK)
    lab.settle()
    assert [(err.create_id, err.code) for err in lab.of(A, Err)] == [
        (too_short, EgpError.NOTIME),
        (none, EgpError.CREATE),
        (last, EgpError.NORES),
    ]


# ---------------------------------------------------------------------------------------------------- time


@pytest.mark.parametrize("asker", [A, B])
def test_the_time_of_a_request_ends_at_both_nodes(asker: int) -> None:
    """EGP-15: for want of a qubit nothing is ever tried."""
    lab = LinkLab(ONE, qubits=0)
    create_id = lab.create(asker, LINK, max_time_ps=100 * DELAY)
    finish(lab)
    for node in (A, B):
        assert lab.codes(node, LINK, asker, create_id) == [EgpError.TIMEOUT]
    assert max(time for time, *_ in lab.sent) < 100 * DELAY


@given(st.integers(0, 2**32), st.sampled_from([A, B]), st.integers(10, 60))
@settings(max_examples=30)
def test_trains_end_by_the_deadline(seed: int, asker: int, delays: int) -> None:
    """EGP-6, EGP-15: every OK comes in time; what is missing then is a TIMEOUT at both."""
    lab = LinkLab(ONE, p=0.7, seed=seed)
    facts = lab.link_facts(ONE[0], asker)
    most = facts.fitting(facts.first_slot(2 * DELAY), delays * DELAY, facts.spacing_slots)
    create_id = lab.create(asker, LINK, number=most + 1, max_time_ps=delays * DELAY)
    when: list[int] = []
    happened = lab._on_event
    assert happened is not None

    def watch(node: int, event: Any, now: int) -> None:
        if isinstance(event, Ok):
            when.append(now)
        happened(node, event, now)

    lab._on_event = watch
    finish(lab)
    assert all(time <= delays * DELAY + ANSWER for time in when)
    for story in both(lab, asker, create_id):
        assert [err.code for err in story.errs] == [EgpError.TIMEOUT]


def test_a_train_that_nobody_can_be_in_time_for_is_proposed_earlier_next_time() -> None:
    """EGP-6: a network slower than the facts say costs proposals, and then no more."""
    lab = LinkLab(ONE, p=1, faults=Faults(jitter_ps=4 * DELAY), seed=3)
    lab.create(A, LINK, number=30)
    finish(lab)
    assert len(lab.of(A, Ok)) == 30
    assert len(sent(lab, EgpTrain)) < 4 * 30


# ------------------------------------------------------------------------------------------- shared qubits


@given(lossy, st.integers(0, 2**32), st.sampled_from([CHAIN, TRIANGLE]), st.integers(1, 2))
@settings(max_examples=40)
def test_links_share_qubits_without_deadlock_or_leak(
    faults: Faults, seed: int, ways: list[Way], qubits: int
) -> None:
    """EGP-5, EGP-15, EGP-18 with one or two qubits per node for all its links, deadlines and withdrawals."""
    lab = LinkLab(ways, qubits, faults=faults, seed=seed, keepalive_ps=10_000 * DELAY)
    chance = random.Random(seed)
    wanted = {}
    for _ in range(10):
        lab.run(until=lab.now + chance.randrange(30 * DELAY))
        way = chance.choice(ways)
        node, number = chance.choice([way.a, way.b]), chance.randint(1, 4)
        limit = chance.choice([0, 0, 60 * DELAY, 400 * DELAY])
        create_id = lab.create(node, way.number, number, max_time_ps=limit)
        wanted[way, node, create_id] = number
        if chance.random() < 0.2:
            lab.egp(node).withdraw(way.number, create_id, lab.now)
    finish(lab)
    for (way, origin, create_id), number in wanted.items():
        for node in (way.a, way.b):
            story = lab.story(node, way.number, origin, create_id)
            heard = bool(story.oks or story.errs)
            # A request that ends before its Add has been accepted is none at the other node.
            assert lab.ended(node, way.number, origin, create_id, number) or (node != origin and not heard)


def test_one_qubit_between_two_links_is_shared_in_turns() -> None:
    """EGP-7: node 2 is master of one link and not of the other; neither starves the other."""
    lab = LinkLab(CHAIN, qubits={1: 4, 2: 1, 3: 4}, p=1, hold_ps=1_000)
    lab.create(1, 1, number=30)
    lab.create(2, 2, number=30)
    finish(lab)
    order = [ok.link for ok in lab.of(2, Ok)]
    assert len(order) == 60
    assert max(abs(order[:n].count(1) - order[:n].count(2)) for n in range(61)) <= 4


@pytest.mark.parametrize(("loss", "seed"), [(0.1, 1), (0.2, 2)])
def test_one_qubit_between_two_links_starves_neither_though_frames_are_lost(loss: float, seed: int) -> None:
    """EGP-7: where node 2 is not the master, a lost frame costs that link more, so that it gets less; but its share."""
    lab = LinkLab(CHAIN, qubits={1: 4, 2: 1, 3: 4}, p=1, hold_ps=1_000, faults=Faults(loss=loss), seed=seed)
    lab.create(1, 1, number=60)
    lab.create(2, 2, number=60)
    finish(lab)
    order = [ok.link for ok in lab.of(2, Ok)]
    assert order.count(1) >= 60
    assert order.count(2) >= 60
    both_want = next(n for n in range(len(order)) if max(order[:n].count(1), order[:n].count(2)) == 60)
    assert min(order[:both_want].count(link) for link in (1, 2)) > 6


def test_a_busy_peer_invites() -> None:
    """EGP-5, EGP-7: the master need not find out by trying when the peer has a qubit again."""
    lab = LinkLab(ONE, qubits={A: 1, B: 0}, p=1)
    lab.create(A, LINK)
    lab.run(until=2_000 * DELAY)
    busy = [ack for _, ack in sent(lab, EgpTrainAck)]
    assert {ack.verdict for ack in busy} == {EgpVerdict.BUSY}
    proposals = len(sent(lab, EgpTrain))
    assert proposals <= 10
    lab._lend(B, 0x10001)
    finish(lab)
    verdicts = [ack.verdict for _, ack in sent(lab, EgpTrainAck)][len(busy) :]
    assert verdicts == [EgpVerdict.READY, EgpVerdict.READY]
    assert len(sent(lab, EgpTrain)) == proposals + 1


def test_a_qubit_can_be_bound_to_a_link_and_taken_back() -> None:
    lab = LinkLab(CHAIN, qubits=0)
    egp = lab.egp(2)
    egp.offer_qubit(0x10001, 0, link=1)
    egp.offer_qubit(0x20001, 0)
    with pytest.raises(ValueError, match="already"):
        egp.offer_qubit(0x10001, 0)
    assert sorted(egp.free_qubits()) == [0x10001, 0x20001]
    assert egp.withdraw_qubit(0x20001)
    assert not egp.withdraw_qubit(0x20001)
    lab.create(2, 2)
    lab.run(until=4 * DELAY)
    assert not sent(lab, EgpTrain)  # the qubit that is left serves the other link only


# ------------------------------------------------------------------------------------ withdrawals and deaths


@pytest.mark.parametrize("asker", [A, B])
@pytest.mark.parametrize("delays", [0, 1, 3, 5, 8, 20])
def test_a_request_is_withdrawn(asker: int, delays: int) -> None:
    """EGP-18: at any stage; pairs that were made are pairs."""
    lab = LinkLab(ONE, p=0.05)
    create_id = lab.create(asker, LINK, number=1_000)
    lab.run(until=delays * DELAY)
    lab.egp(asker).withdraw(LINK, create_id, lab.now)
    finish(lab)
    assert lab.codes(asker, LINK, asker, create_id) == [EgpError.OTHER]
    assert lab.codes(A + B - asker, LINK, asker, create_id) in ([EgpError.EXPIRE], [EgpError.OTHER])
    assert len(both(lab, asker, create_id)[0].oks) < 1_000


def test_withdrawing_does_not_harm_another_request() -> None:
    """EGP-18: not even the pair that is being made."""
    for delays in range(60):
        lab = LinkLab(ONE, p=0.2)
        good = lab.create(B, LINK, number=2)
        lab.run(until=delays * DELAY // 4)
        bad = lab.create(B, LINK)
        lab.run(until=lab.now + DELAY)
        lab.egp(B).withdraw(LINK, bad, lab.now)
        finish(lab)
        assert [len(story.oks) for story in both(lab, B, good)] == [2, 2]
        assert [story.errs for story in both(lab, B, good)] == [[], []]


@given(lossy, st.integers(0, 2**32))
@settings(max_examples=40)
def test_nodes_and_stations_die_and_live_again(faults: Faults, seed: int) -> None:
    """EGP-10, EGP-16, EGP-17: no request outlives what it was asked of, and every living node has its
    qubits."""
    lab = LinkLab(TRIANGLE, qubits=1, faults=faults, seed=seed, keepalive_ps=2_000 * DELAY)
    chance = random.Random(seed)
    for _ in range(15):
        lab.run(until=lab.now + chance.randrange(30 * DELAY))
        way = chance.choice(TRIANGLE)
        lab.create(chance.choice([way.a, way.b]), way.number, chance.randint(1, 4))
        if chance.random() < 0.2:
            lab.restart(chance.choice(lab.nodes))
        if chance.random() < 0.1:
            lab.restart_station(chance.choice([8, 9]))
    finish(lab, restarted=True)


def test_a_peer_that_dies_for_good() -> None:
    """EGP-16, EGP-17: the other is not the master, and would wait for ever."""
    lab = LinkLab(ONE, qubits=0, tries=12, keepalive_ps=1_000 * DELAY)
    create_id = lab.create(B, LINK)
    lab.run(until=10 * DELAY)
    lab.cut.add(A)
    lab.run(until=LONG)
    assert lab.codes(B, LINK, B, create_id) == [EgpError.OTHER]
    assert lab.machines[B].next_timeout() is None


def test_a_peer_that_has_forgotten_a_request() -> None:
    """EGP-17: without a word being lost; asked about one after the other."""
    lab = LinkLab(ONE, qubits=0, keepalive_ps=1_000 * DELAY)
    kept, forgotten = lab.create(B, LINK), lab.create(B, LINK)
    lab.run(until=10 * DELAY)
    queue = lab.egp(A)._links[LINK].requests
    queue.end(queue.open[RequestId(B, forgotten)], None)
    lab.run(until=5_000 * DELAY)
    assert lab.codes(B, LINK, B, forgotten) == [EgpError.OTHER]
    assert lab.egp(A).queue(LINK) == lab.egp(B).queue(LINK) == (RequestId(B, kept),)
    assert not lab.of(B, Broken)


# ------------------------------------------------------------------------------------------------- the facts


def test_the_slots_of_a_train() -> None:
    """EGP-6: the published METRO arms, 10 and 15 km; the farther node must still be in time."""
    near, far = 48_366_000, 72_550_000
    facts = LinkFacts(
        number=1,
        peer=2,
        station=3,
        slot_ps=10_120_000,
        arm_ps=near,
        peer_arm_ps=far,
        delay_to_peer_ps=near + far,
        delay_to_station_ps=near,
        delay_peer_to_station_ps=far,
        attempt_ps=1_000_000,
        spacing_slots=least_spacing(10_120_000, 2 * far, 1_000_000, 5_500_000),
        own=Setting(0, 8.14623e-5, 7, 8),
    )
    assert facts.spacing_slots == 15  # 151.6 us in slots of 10.12 us
    first = facts.first_slot(0)
    assert facts.in_time(first, 2 * (near + far))
    assert first * facts.slot_ps - far >= near + far + facts.lead_ps
    assert (first - 1) * facts.slot_ps < 2 * (near + far) + near + facts.lead_ps + facts.margin_ps
    p, spacing = facts.own.success_probability, facts.spacing_slots
    attempts, failure = facts.attempts(first, None, p, spacing), 1 - p
    assert failure**attempts <= 1e-3 < failure ** (attempts - 1)
    deadline = facts.reply_due(first + 9 * facts.spacing_slots) + far - near
    assert facts.attempts(first, deadline, p, spacing) == 10
    assert facts.attempts(first, deadline - facts.margin_ps - 1, p, spacing) == 9
    assert facts.attempts(first, first * facts.slot_ps + ATTEMPT, p, spacing) == 0


@pytest.mark.parametrize(("p", "attempts"), [(1.0, 1), (0.9999, 1), (0.5, 10), (0.0, 0xFFFFFFFF)])
def test_the_length_of_a_train(p: float, attempts: int) -> None:
    """EGP-6."""
    facts = LinkLab(ONE, p=p).link_facts(ONE[0], A)
    assert facts.attempts(100, None, p, facts.spacing_slots) == attempts


def test_the_modulus() -> None:
    assert SEQUENCE_MODULUS == UNSET
