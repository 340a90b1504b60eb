"""EGP: whole links, their frames carried by hand, and one machine alone.  Requirements:
protocols/egp/egp.toml."""

import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from link_lab import ANSWER, ATTEMPT, DELAY, ESTIMATE, PURPOSE, SLOT, LinkLab, Story, Way
from machine_pair import Faults

from protocols.egp.facts import LinkFacts, Setting, least_spacing
from protocols.egp.link import REMEMBERED
from protocols.egp.node import Egp
from protocols.egp.queue import OPEN
from protocols.egp.service import Err, Ok, StartTrain, StopTrain
from protocols.egp.states import UNSET, RequestId
from protocols.ignored import Ignored
from protocols.machine import Send
from protocols.mhp.node import TrainOutcome
from protocols.mhp.trains import SEQUENCE_MODULUS
from protocols.pairs import ReleaseQubit
from protocols.reliable import Broken
from protocols.wire.codec import (
    BellIndex,
    EgpAdd,
    EgpAddAck,
    EgpAddReject,
    EgpError,
    EgpExpire,
    EgpExpireAck,
    EgpKind,
    EgpTest,
    EgpTrain,
    EgpTrainAck,
    EgpVerdict,
    MhpError,
    MhpGen,
    MhpOutcome,
    MhpReply,
    RelData,
)

A, B, STATION, LINK = 1, 2, 9, 5
ONE = [Way(LINK, A, B, STATION)]
CHAIN = [Way(1, 1, 2, 8), Way(2, 2, 3, 9)]
TRIANGLE = [Way(1, 1, 2, 9), Way(2, 2, 3, 9), Way(3, 1, 3, 8)]
LONG = 1_000_000_000_000  # a second: far more than anything here takes

lossy = st.builds(
    Faults,
    loss=st.floats(0, 0.3),
    duplicate=st.floats(0, 0.3),
    jitter_ps=st.sampled_from([0, DELAY // 4, 3 * DELAY]),
)


def finish(lab: LinkLab, restarted: bool = False) -> None:
    """Everything comes to rest by itself: no timer is left, hence no request."""
    lab.run(until=lab.now + LONG)
    assert all(machine.next_timeout() is None for machine in lab.machines.values())
    lab.check(restarted)


def both(lab: LinkLab, origin: int, create_id: int) -> tuple[Story, Story]:
    return lab.story(A, LINK, origin, create_id), lab.story(B, LINK, origin, create_id)


def sent(lab: LinkLab, *kinds: type) -> list[tuple[int, Any]]:
    """Messages of EGP, with their sender, as the reliable sublayer first sent them."""
    seen, found = set(), []
    for _, source, _, data in lab.sent:
        if isinstance(data, RelData) and (source, *data[:2]) not in seen:
            seen.add((source, *data[:2]))
            kind = {k.MESSAGE: k for k in (EgpAdd, EgpTrain, EgpTrainAck, EgpExpire, EgpExpireAck)}.get(data.message)
            if kind in kinds and kind is not None:
                found.append((source, kind.unpack(data.payload)))
    return found


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


# ------------------------------------------------------------------------- one machine, its station and peer


class Alone:
    """The master of a link, with a request of its own for `number` pairs, and its first train."""

    def __init__(self, number: int = 10) -> None:
        self.facts = LinkLab(ONE).link_facts(ONE[0], A)
        self.egp = Egp(A, [self.facts])
        self.now = 0
        self.qubit = 1
        self.create_id = self.egp.create(LINK, PURPOSE, number, 0, 0, 0, 0)
        self.peer(EgpAddAck(LINK, self.create_id))

    def peer(self, message: Any) -> list[Any]:
        self.egp.receive(message, B, self.now)
        return self.outputs()

    def outputs(self) -> list[Any]:
        return [out.message if isinstance(out, Send) else out for out in self.egp.poll(self.now)]

    def train(self, expected: int = UNSET) -> StartTrain:
        """Get the next train under way; `expected` is what the peer says."""
        self.now += 1_000_000
        self.outputs()
        self.qubit += 1
        self.egp.offer_qubit(self.qubit, self.now)
        (proposal,) = self.outputs()
        assert isinstance(proposal, EgpTrain)
        (start,) = self.peer(EgpTrainAck(LINK, proposal.queue_id, EgpVerdict.READY, expected))
        assert isinstance(start, StartTrain)
        return start

    def success(self, start: StartTrain, sequence: int, last: int | None = None) -> list[Any]:
        slot = start.first_slot + start.spacing
        outcome = TrainOutcome(LINK, start.queue_id, MhpOutcome.PSI_PLUS, MhpError.NONE, sequence, slot)
        self.egp.train_result(outcome, slot if last is None else last, self.now)
        return self.outputs()

    def error(self, start: StartTrain, code: MhpError) -> list[Any]:
        outcome = TrainOutcome(LINK, start.queue_id, MhpOutcome.ERROR, code, 0, start.first_slot)
        self.egp.train_result(outcome, start.first_slot, self.now)
        return self.outputs()

    def expired(self, low: int | None, high: int | None, code: EgpError = EgpError.EXPIRE) -> Err:
        return Err(LINK, self.create_id, A, PURPOSE, B, code, low, high)


def test_the_expected_sequence_is_delivered() -> None:
    """EGP-8: the first one whatever it is, the next in order, also where the count comes round."""
    alone = Alone()
    for sequence in (65_533, 65_534, 0, 1):
        start = alone.train()
        (ok,) = alone.success(start, sequence)
        assert (ok.link_sequence, ok.bell_index, ok.qubit) == (sequence, BellIndex.PSI_PLUS, start.qubit)
        assert ok.time_of_goodness == (start.first_slot + start.spacing) * SLOT


def test_a_sequence_that_is_ahead() -> None:
    """EGP-9."""
    alone = Alone()
    alone.success(alone.train(), 10)
    start = alone.train()
    assert alone.success(start, 13) == [
        ReleaseQubit(start.qubit),
        EgpExpire(LINK, 1, alone.create_id, 11, 14),
        alone.expired(11, 13),
    ]


def test_a_sequence_that_is_behind() -> None:
    """EGP-10: ignored; the station has restarted, and the next one is good again."""
    alone = Alone()
    alone.success(alone.train(), 10)
    start = alone.train()
    assert alone.success(start, 0) == [ReleaseQubit(start.qubit)]
    (ok,) = alone.success(alone.train(), 1)
    assert ok.link_sequence == 1


def test_a_device_that_has_emitted_again() -> None:
    """EGP-11."""
    alone = Alone()
    start = alone.train()
    assert alone.success(start, 7, last=start.first_slot + 2 * start.spacing) == [
        ReleaseQubit(start.qubit),
        EgpExpire(LINK, 1, alone.create_id, 7, 8),
        alone.expired(7, 7),
    ]


def test_a_station_that_says_nothing() -> None:
    """EGP-11: with and without an expected sequence; afterwards none is expected."""
    alone = Alone()
    start = alone.train()
    expire = EgpExpire(LINK, 1, alone.create_id, UNSET, UNSET)
    assert alone.error(start, MhpError.GENERAL) == [ReleaseQubit(start.qubit), expire, alone.expired(None, None)]
    alone = Alone()
    alone.success(alone.train(), 10)
    start = alone.train()
    expire = EgpExpire(LINK, 1, alone.create_id, 11, 11)
    assert alone.error(start, MhpError.GENERAL) == [ReleaseQubit(start.qubit), expire, alone.expired(None, None)]


def test_a_station_that_never_says_anything_again() -> None:
    """EGP-27: the pauses between trains grow with the silence; all requests end, new ones are not taken for a time."""
    alone = Alone()
    begun = alone.train()
    alone.now = begun.first_slot * SLOT + 30_000_000_000
    alone.error(begun, MhpError.GENERAL)
    second = alone.egp.create(LINK, PURPOSE, 1, 0, 0, 0, alone.now)
    alone.peer(EgpAddAck(LINK, second))
    assert alone.egp.next_timeout() == alone.now + 30_000_000_000
    alone.now += 30_000_000_000
    (proposal,) = [out for out in alone.outputs() if isinstance(out, EgpTrain)] or [None]
    if proposal is None:
        alone.egp.offer_qubit(9, alone.now)
        (proposal,) = alone.outputs()
    (start,) = alone.peer(EgpTrainAck(LINK, proposal.queue_id, EgpVerdict.READY, UNSET))
    third = alone.egp.create(LINK, PURPOSE, 1, 0, 0, 0, alone.now)
    alone.peer(EgpAddAck(LINK, third))
    alone.now = begun.first_slot * SLOT + 100_000_000_000
    told = alone.error(start, MhpError.GENERAL)
    errs = [out for out in told if isinstance(out, Err)]
    assert [(err.create_id, err.code) for err in errs] == [(second, EgpError.OTHER), (third, EgpError.OTHER)]
    alone.egp.create(LINK, PURPOSE, 1, 0, 0, 0, alone.now + 99_999_999_999)
    assert [out.code for out in alone.outputs() if isinstance(out, Err)] == [EgpError.NORES]
    alone.egp.create(LINK, PURPOSE, 1, 0, 0, 0, alone.now + 100_000_000_000)
    assert [out for out in alone.outputs() if isinstance(out, Err)] == []


@pytest.mark.parametrize("code", [c for c in MhpError if c not in (MhpError.NONE, MhpError.GENERAL)])
def test_a_train_with_an_error_is_followed_by_another(code: MhpError) -> None:
    """The qubit is still good, and nothing was delivered anywhere."""
    alone = Alone()
    start = alone.train()
    assert alone.error(start, code) == []
    assert alone.egp.free_qubits() == (start.qubit,)
    alone.now = alone.egp.next_timeout() or 0
    (proposal,) = alone.outputs()
    assert (proposal.queue_id, proposal.create_id) == (start.queue_id + 1, alone.create_id)


def test_pairs_that_the_peer_takes_back() -> None:
    """EGP-12: those it does not have, and of a request that has all its pairs, too; the larger sequence
    counts."""
    alone = Alone(number=3)
    for sequence in (5, 6, 7):
        alone.success(alone.train(), sequence)
    assert alone.egp.queue(LINK) == ()
    assert alone.peer(EgpExpire(LINK, 0, alone.create_id, 6, 7)) == [alone.expired(6, 7), EgpExpireAck(LINK, 8)]
    assert alone.peer(EgpExpire(LINK, 0, alone.create_id, 6, 7)) == [EgpExpireAck(LINK, 8)]
    assert alone.peer(EgpExpire(LINK, 0, alone.create_id, UNSET, UNSET))[0] == alone.expired(5, 5)


def test_an_expire_drops_the_request() -> None:
    """EGP-12, EGP-13."""
    alone = Alone()
    alone.success(alone.train(), 5)
    assert alone.peer(EgpExpire(LINK, 0, alone.create_id, 6, 9)) == [alone.expired(None, None), EgpExpireAck(LINK, 9)]
    assert alone.egp.queue(LINK) == ()


@pytest.mark.parametrize(("old", "void"), [(6, True), (7, False), (UNSET, True)])
def test_an_expire_during_a_train(old: int, void: bool) -> None:
    """EGP-12: the answer waits for the outcome, which is void if the peer has said that it has nothing of
    it."""
    alone = Alone()
    alone.success(alone.train(), 5)
    start = alone.train()
    taken_back = alone.peer(EgpExpire(LINK, 0, alone.create_id, old, old))
    assert taken_back == ([alone.expired(5, 5)] if old == UNSET else [])
    first, *rest = alone.success(start, 6)
    assert first == ReleaseQubit(start.qubit) if void else first.link_sequence == 6
    assert rest == [alone.expired(None, None), EgpExpireAck(LINK, 7)]


@pytest.mark.parametrize(("theirs", "taken"), [(20, 20), (3, 11), (UNSET, 11)])
def test_the_larger_expected_sequence_counts(theirs: int, taken: int) -> None:
    """EGP-13."""
    alone = Alone()
    alone.success(alone.train(), 10)
    start = alone.train(expected=theirs)
    (ok,) = alone.success(start, taken)
    assert ok.link_sequence == taken


def test_what_is_remembered_of_pairs_is_bounded() -> None:
    alone = Alone(number=REMEMBERED + 5)
    for sequence in range(REMEMBERED + 5):
        alone.success(alone.train(), sequence)
    assert alone.peer(EgpExpire(LINK, 0, alone.create_id, 0, 1))[0] == alone.expired(5, REMEMBERED + 4)


def test_a_device_that_refuses() -> None:
    """Its qubit is given up, and the request goes on with another."""
    alone = Alone()
    start = alone.train()
    alone.egp.train_failed(LINK, start.queue_id, alone.now)
    assert alone.outputs() == [StopTrain(LINK, start.queue_id, start.qubit), ReleaseQubit(start.qubit)]
    assert alone.egp.free_qubits() == ()
    assert alone.train().queue_id == start.queue_id + 1


def test_a_request_that_the_peer_does_not_know() -> None:
    """EGP-5."""
    alone = Alone()
    alone.egp.offer_qubit(9, 0)
    (proposal,) = alone.outputs()
    assert alone.peer(EgpTrainAck(LINK, proposal.queue_id, EgpVerdict.UNKNOWN, UNSET)) == [
        alone.expired(None, None, EgpError.OTHER)
    ]
    assert alone.egp.free_qubits() == (9,)


def test_a_result_of_a_train_that_was_given_up_finds_nothing() -> None:
    """EGP-16."""
    alone = Alone()
    start = alone.train()
    alone.egp.broken(B, alone.now)
    assert alone.outputs() == [
        StopTrain(LINK, start.queue_id, start.qubit),
        ReleaseQubit(start.qubit),
        alone.expired(None, None, EgpError.OTHER),
    ]
    assert alone.success(start, 0) == []


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
