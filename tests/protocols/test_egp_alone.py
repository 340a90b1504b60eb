"""EGP: one machine, its station, its devices and its peer played by the test.  Requirements: protocols/egp/egp.toml."""

from typing import Any

import pytest
from egp_lab import LINK, ONE, A, B
from link_lab import PURPOSE, SLOT, LinkLab

from protocols.egp.delivery import REMEMBERED
from protocols.egp.node import Egp
from protocols.egp.service import Err, StartTrain, StopTrain
from protocols.egp.states import UNSET
from protocols.machine import Send
from protocols.mhp.node import TrainOutcome
from protocols.pairs import ReleaseQubit
from protocols.wire.codec import (
    BellIndex,
    EgpAddAck,
    EgpError,
    EgpExpire,
    EgpExpireAck,
    EgpTrain,
    EgpTrainAck,
    EgpVerdict,
    MhpError,
    MhpOutcome,
)


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
    (again,) = alone.peer(EgpTrainAck(LINK, proposal.queue_id, EgpVerdict.READY, UNSET))
    assert again.qubit == start.qubit
    assert again.twice == (code in (MhpError.NO_CLASSICAL_OTHER, MhpError.OUT_OF_WINDOW))  # MHP-1


def test_trains_that_keep_failing_are_tried_more_and_more_seldom_until_one_is_looked_at() -> None:
    """EGP-29: after each eighth error in a row twice as seldom, with a ceiling."""
    alone = Alone()
    waited = []
    start = alone.train()
    for _ in range(64):
        assert alone.error(start, MhpError.NO_CLASSICAL_OTHER) == []
        before, alone.now = alone.now, alone.egp.next_timeout() or 0
        waited.append(alone.now - before)
        (proposal,) = alone.outputs()
        (start,) = alone.peer(EgpTrainAck(LINK, proposal.queue_id, EgpVerdict.READY, UNSET))
    first = 2 * alone.facts.round_trip_ps + alone.facts.margin_ps
    assert waited == [first << min(n // 8, 4) for n in range(64)]
    alone.success(start, 5)
    alone.error(alone.train(), MhpError.NO_CLASSICAL_OTHER)
    assert alone.egp.next_timeout() == alone.now + first


def test_a_way_that_has_grown_longer_is_allowed_for() -> None:
    """EGP-30: by as much as two answers in a row came too late; one alone may have been lost and sent again."""
    alone = Alone()
    alone.egp.offer_qubit(2, alone.now)
    (proposal,) = alone.outputs()
    notices = []
    for late in (400_000, 300_000, 300_000):
        notices.append(proposal.first_slot * SLOT - alone.now)
        alone.now = alone.facts.latest(proposal.first_slot) + late
        assert alone.peer(EgpTrainAck(LINK, proposal.queue_id, EgpVerdict.READY, UNSET)) == []
        alone.now = alone.egp.next_timeout() or 0
        (proposal,) = alone.outputs()
    beyond = [notice - alone.facts.notice_ps for notice in notices]
    assert [0 <= one < SLOT for one in beyond] == [True, True, False]
    assert 0 <= beyond[2] - 300_000 < SLOT


def test_heralds_that_come_later_are_waited_for() -> None:
    """EGP-30: by as much as one came after the next emission; one that came only when it was asked for may be lost."""
    alone = Alone()
    train = alone.train()
    slot, spacing = train.first_slot + train.spacing, train.spacing
    for late, asked in ((100_000, False), (0, True)):
        assert train.spacing == spacing
        due = alone.facts.reply_due(train.first_slot + (train.count - 1) * train.spacing)
        alone.now = due + 1 if asked else (slot + spacing) * SLOT - alone.facts.arm_ps + late
        assert (alone.now > due) == asked
        alone.success(train, 5, last=slot + spacing)
        create_id = alone.egp.create(LINK, PURPOSE, 1, 0, 0, 0, alone.now)
        alone.peer(EgpAddAck(LINK, create_id))
        train = alone.train()
        spacing += -(-late // SLOT)
        slot = train.first_slot + train.spacing
    assert train.spacing == spacing


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
