"""Pairs that both ends of a circuit hold: purified, tested, banked, or handed up.

What may live here: what becomes of a pair from then on, at either end.  How it comes about, and is lost, is in end.py.
"""

from typing import NamedTuple

from protocols.pairs import Pair, ReleaseQubit
from protocols.qnp.distill import Distiller, Order, Stored
from protocols.qnp.needs import Needing
from protocols.qnp.records import Holder, Record
from protocols.qnp.requests import Request
from protocols.qnp.service import CircuitId, PairDelivered, PairLost, PairMeasured, PairTested
from protocols.qnp.shared import Shared, TimerKey, TimerKind
from protocols.qnp.sketch import Memory, waited
from protocols.qnp.states import CircuitInput, PairInput, PairState, Phase
from protocols.qnp.testing import TESTS, folded, measuring
from protocols.wire.codec import (
    PairUse,
    PurifyScope,
    QnpClaim,
    QnpForward,
    QnpForwardAck,
    QnpInstall,
    QnpOutcome,
    QnpPurify,
    QnpPurifyAck,
)


class _Test(NamedTuple):
    """A test round, at the head; `read`: what was read here (True) and there."""

    use: PairUse
    request: Request
    bell_index: int
    read: dict[bool, int]


class Completing(Needing):
    """An end of a circuit, as far as its pairs are complete."""

    def __init__(self, install: QnpInstall, up: CircuitId | None, down: CircuitId | None, shared: Shared) -> None:
        super().__init__(install, up, down, shared)
        self._tested: dict[int, _Test] = {}  # by pair id: the rounds that are being made
        if install.end_rounds:
            self._ends = Distiller(
                install,
                PurifyScope.ENDS,
                install.end_rounds,
                self.is_head,
                self.id,
                shared,
                self._pure,
                self._impure,
                self._memories_at_ends,
                shared.facts.delays.get(self.link_down if self.is_head else self.link_up, 0),
                order=self._serves,
            )

    def _completed(self, record: Record, request: Request | None, now: int) -> None:
        """Both ends have this pair, as it came."""
        assert record.half is not None
        if self.is_head:
            self._complete += 1
        if self._ends is not None:
            stored = Stored(record.pair_id, record.index, record.half.qubit, record.sketch, record.at, record)
            self._ends.take(stored, now)
        else:
            self._dispose(record, request, record.use, now)

    def _dispose(self, record: Record, request: Request | None, use: PairUse, now: int) -> None:
        """Both ends have this pair, as good as it was promised."""
        self._underway(record, -1)
        if use is PairUse.BANK or request is None:
            self._into_bank(record, now)
        elif use in TESTS:
            self._test(record, request, use)
        else:
            self._hand_up(record, request, now)

    def _hand_up(self, record: Record, request: Request, now: int) -> None:
        half = record.half
        assert half is not None
        record.request = request.number
        request.delivered += 1
        record.user = request
        sketch = record.sketch
        if record.read is None:  # else it is what it was then
            (there, here), memories = record.at, self._memories_at_ends()
            sketch = waited(sketch, (memories[0], now - there), (memories[1], now - here))
        record.final = Pair(self.install.head, record.pair_id, record.index, half.qubit, sketch.goodness(record.index))
        where = (self.id, request.number, self.peer, request.purpose)
        if record.read is None:
            record.holder = Holder.USER
            self._shared.outputs.append(PairDelivered(*where, record.final, half.time_of_goodness))  # QNP-4
        else:
            basis, outcome = record.read
            if self.is_head:
                outcome = folded(basis, outcome, record.index)
            name = (self.install.head, record.pair_id, record.name)
            self._shared.outputs.append(PairMeasured(*where, *name, basis, outcome, record.final.goodness))  # QNP-19
        if self.is_head and request.pairs and request.delivered == request.wanted:
            self.move_request(request, CircuitInput.SATISFIED, now)
            if not self.requests:
                self.move(CircuitInput.UNUSED, now)

    def _let_go(self, record: Record) -> None:
        """A half that has not become a pair."""
        half, user = record.half, record.user
        assert half is not None
        if record.holder is Holder.NETWORK:
            self._shared.outputs.append(ReleaseQubit(half.qubit))
        elif record.holder is Holder.USER and user is not None:
            pair = Pair(self.install.head, record.pair_id, half.bell_index, half.qubit)
            self._shared.outputs.append(PairLost(self.id, user.number, self.peer, user.purpose, pair))

    # Test rounds.

    def _test(self, record: Record, request: Request, use: PairUse) -> None:
        """QNP-20: both ends measure, and the head learns from it."""
        half, pair_id = record.half, record.pair_id
        assert half is not None
        record.holder = Holder.NOBODY
        if self.is_head:
            self._tested[pair_id] = _Test(use, request, record.index, {})
            self._ask()  # another for the user

        def done(bits: tuple[int, ...], _: int) -> None:
            if self.phase is Phase.CLOSED:
                return
            if self.is_head:
                self._read(pair_id, True, bits[0])
            else:
                self._send(self.id, QnpOutcome(self.id.label, pair_id, bits[0]))

        _, basis = TESTS[use]
        self._shared.run(measuring(half.qubit, basis), (half.qubit,), done)

    def take_outcome(self, message: QnpOutcome) -> None:
        """What the tail has read of a test round."""
        if self.is_head:
            self._read(message.pair_id, False, message.outcome & 1)

    def _read(self, pair_id: int, here: bool, outcome: int) -> None:
        known = self._tested.get(pair_id)
        if known is None:
            return  # lost meanwhile
        use, request, index, read = known
        read[here] = outcome
        if len(read) < 2:
            return
        del self._tested[pair_id]
        if request.phase is not Phase.OPEN:
            return
        test, _ = TESTS[use]
        outcomes, readouts = (read[True], read[False]), (self._shared.facts.readout, self.far.readout)
        rounds, estimate = request.tests.record(test, index, outcomes, readouts)
        where = (self.id, request.number, self.peer, request.purpose)
        self._shared.outputs.append(PairTested(*where, test, index, *outcomes, rounds, estimate))

    # The bank.

    def heard(self, message: QnpForward | QnpForwardAck) -> None:
        super().heard(message)
        if self.far.memories and self._shared.facts.memories:
            self._bank.most = min(self._shared.facts.memories, self.far.memories) - 1

    def _into_bank(self, record: Record, now: int) -> None:
        """QNP-21: one memory stays free of all banks."""
        places = self._shared.facts.memories - 1
        record.final = record.user = None
        if self.is_head and (request := self._lacking()) is not None:
            self._claim(record, request, now)
        elif places >= 0 and self._shared.banked >= places:
            if self.is_head:
                self._bank.refused()
            self._bank.pairs[record.pair_id] = record
            self._shared.banked += 1
            self._step(record, PairInput.NO_ROOM, now)
        else:
            self._bank.pairs[record.pair_id] = record
            self._shared.banked += 1
            if self.is_head and self._bank.age_ps:
                self._shared.timers.set(self._grows_old(record), now + self._bank.age_ps)

    def _outgrown(self, now: int) -> None:
        for record in list(self._bank.pairs.values())[: max(0, len(self._bank.pairs) - self._bank.size)]:
            self._step(record, PairInput.AGED, now)

    def _serve_from_bank(self, now: int) -> None:
        while self._bank.pairs and (request := self._lacking()) is not None:
            record = self._bank.freshest()
            self._leave_bank(record)
            self._claim(record, request, now)

    def _claim(self, record: Record, request: Request, now: int) -> None:
        self._send(self.id, QnpClaim(self.id.label, record.pair_id, request.number))
        self._hand_up(record, request, now)

    def take_claim(self, message: QnpClaim, now: int) -> None:
        """The head has found who needs a banked pair."""
        record = None if self.is_head else self._bank.pairs.pop(message.pair_id, None)
        if record is None:
            return  # lost meanwhile, as the head will hear
        self._leave_bank(record)
        request = self.requests.get(message.request)
        if request is None or request.phase is not Phase.OPEN:
            self._let_go(record)
            self._step(record, PairInput.EXPIRED, now)
        else:
            self._hand_up(record, request, now)

    def _leave_bank(self, record: Record) -> None:
        self._shared.banked -= 1
        self._shared.timers.cancel(self._grows_old(record))

    def _grows_old(self, record: Record) -> TimerKey:
        return TimerKey(TimerKind.BANK, self.id, record.name)

    # Purification between the ends.

    def take_purify(self, message: QnpPurify | QnpPurifyAck, source: int, now: int) -> None:
        if message.scope is PurifyScope.LINK:
            super().take_purify(message, source, now)
        elif self._ends is not None and isinstance(message, QnpPurify) is not self.is_head:
            if isinstance(message, QnpPurify):
                self._ends.on_purify(message, now)
            else:
                self._ends.on_ack(message, now)

    def _serves(self, stored: Stored) -> Order:
        """What a pair is for, when its last round begins."""
        record: Record = stored.payload
        if record.use is PairUse.BANK:
            return Order(0, PairUse.BANK)
        request = self.requests.get(record.request) or next(iter(self.requests.values()), None)
        return Order() if request is None else Order(request.number, self._chosen(request, stored.name))

    def _pure(self, stored: Stored, order: Order, now: int) -> None:
        record: Record = stored.payload
        request = self.requests.get(order.request)
        for part in stored.parts:
            self._underway(part, -1)
        record.index, record.sketch, record.at = stored.index, stored.sketch, stored.since
        if order.use is not PairUse.BANK and (request is None or request.phase is not Phase.OPEN):
            self._underway(record, -1)
            record.final = None
            self._shared.outputs.append(ReleaseQubit(stored.qubit))
            if record.state is PairState.BOTH:  # the other end may have handed it up
                self._step(record, PairInput.EXPIRED, now)
            return
        self._dispose(record, request, PairUse(order.use), now)

    def _impure(self, stored: Stored, now: int) -> None:
        for part in (stored.payload, *stored.parts):
            self._underway(part, -1)
        if self.is_head and self.requests:
            self._ask()

    def _memories_at_ends(self) -> tuple[Memory, Memory]:
        """What halves wait in, at the other end and at this one."""
        return self.far.memory, self._shared.facts.memory

    # What end.py does.

    def _step(self, record: Record, stimulus: PairInput, now: int) -> None:
        """One step of a link pair's table."""
        raise NotImplementedError
