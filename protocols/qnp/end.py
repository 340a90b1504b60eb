"""One end of a circuit, head or tail: pairs tracked until both ends hold them, and handed up as was asked for.

What may live here: the tables of an end at work.  Requests stand in requests.py, how many pairs they need in needs.py.
"""

from typing import Final, NamedTuple

from protocols.chance import drawn
from protocols.ignored import Ignored
from protocols.measuring import BASES
from protocols.pairs import Pair, ReleaseQubit
from protocols.qnp.diagonal import Diagonal, from_wire, goodness, to_wire, waited
from protocols.qnp.distill import Distiller, Order, Stored
from protocols.qnp.needs import Needing
from protocols.qnp.records import Holder, Reading, Record
from protocols.qnp.requests import Request
from protocols.qnp.service import (
    CircuitId,
    LinkPair,
    LinkSequence,
    PairDelivered,
    PairEarly,
    PairLost,
    PairMeasured,
    PairTested,
)
from protocols.qnp.shared import MOST_REMEMBERED, Shared, TimerKey, TimerKind
from protocols.qnp.states import (
    END_TABLE,
    HEAD_TABLE,
    TAIL_TABLE,
    CircuitInput,
    Do,
    PairInput,
    PairState,
    Phase,
)
from protocols.qnp.testing import TESTS, folded, measuring
from protocols.wire.codec import (
    EgpBasis,
    PairFate,
    PairKind,
    PairUse,
    PurifyScope,
    QnpClaim,
    QnpDiscard,
    QnpForward,
    QnpForwardAck,
    QnpInstall,
    QnpInstalled,
    QnpOutcome,
    QnpPurify,
    QnpPurifyAck,
    QnpTrack,
)

_FATES: Final = {
    PairInput.EXPIRED: PairFate.EXPIRED,
    PairInput.MISFIT: PairFate.MISFIT,
    PairInput.SURPLUS: PairFate.SURPLUS,
    PairInput.DROPPED: PairFate.CLOSED,
    PairInput.AGED: PairFate.AGED,
    PairInput.NO_ROOM: PairFate.SURPLUS,
}


class _Test(NamedTuple):
    """A test round, at the head; `read`: what was read here (True) and there."""

    use: PairUse
    request: Request
    bell_index: int
    read: dict[bool, int]


class End(Needing):
    """The head or the tail of a circuit."""

    def __init__(self, install: QnpInstall, up: CircuitId | None, down: CircuitId | None, shared: Shared) -> None:
        super().__init__(install, up, down, shared)
        self._records: dict[LinkSequence, Record] = {}
        self._reading: dict[LinkSequence, Reading] = {}
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
                self._waited_at_ends,
                self._serves,
            )

    # The circuit.

    def move(self, stimulus: CircuitInput, now: int) -> None:
        table = HEAD_TABLE if self.is_head else TAIL_TABLE
        self.phase, actions = table[self.phase, stimulus]
        self._set_fate(stimulus)
        for action in actions:
            match action:
                case Do.PASS_UP:
                    self._send(self.id, QnpInstalled(self.id.label))
                case Do.DROP | Do.RELEASE_ALL:
                    self._drop(tell=action is Do.DROP)
                case Do.END:
                    self._end_requests(now)
                case _:
                    self._act(action, stimulus)
        if self.phase is Phase.CLOSED:
            self._drop(tell=False)  # also marks of what was said before the circuit was open
            self._closed()

    def _drop(self, tell: bool) -> None:
        for record in self._bank.pairs.values():
            self._leave_bank(record)
            self._let_go(record)
        self._bank.pairs.clear()
        self._reading.clear()  # their qubits come back from their programs
        if self._ends is not None:
            for record in self._ends.payloads():
                if tell:  # the peer may have handed up what a round has made of it
                    self._discard(record, PairFate.CLOSED)
            self._ends.release_all()
        for record in self._records.values():
            if record.state is PairState.HERE:
                # QNP-8. The peer may have delivered its half already: it had this end's Track.
                if tell:
                    self._discard(record, PairFate.CLOSED)
                self._let_go(record)
            self._shared.timers.cancel(TimerKey(TimerKind.HOLD, self.id, record.name))
        self._records.clear()

    def _drop_request(self, request: Request, now: int) -> None:
        for record in list(self._records.values()):
            if record.state is PairState.HERE and record.request == request.number:
                self._step(record, PairInput.DROPPED, now)

    # Link pairs.

    def _take_pure(self, pair: LinkPair, now: int) -> None:
        record = self._record(pair.name)
        if self.is_head and record.state is not PairState.HERE and not self._lacks():
            self._step(record, PairInput.SURPLUS, now, pair)
            return
        alone = self.alone
        if alone is None or alone.delivery.kind is not PairKind.MEASURE or record.state is PairState.VOID:
            self._arrived(record, pair, now)
            return
        # Measured before it is tracked: whoever has both Tracks knows that both outcomes are there.
        bases = BASES[alone.delivery.bases]
        facts = self._shared.facts
        key = f"basis/{facts.seed}/{self._shared.node}/{self.install.head}/{self.install.number}/{pair.name}"
        basis = bases[drawn(f"{key}/{now}", 4) * len(bases) >> 32]
        self._reading[pair.name] = Reading.WELL

        def done(bits: tuple[int, ...], later: int) -> None:
            became = self._reading.pop(pair.name, None)
            if self.phase is Phase.CLOSED or became is None:
                return
            if became is Reading.DISCARDED:
                if self.demand is not None:
                    self.demand.died()
                return
            record = self._record(pair.name)
            self._arrived(record, pair, later, (basis, bits[0]))
            if became is Reading.EXPIRED:
                self._step(self._record(pair.name), PairInput.EXPIRED, later)

        self._shared.run(measuring(pair.qubit, basis), (pair.qubit,), done)

    def _arrived(self, record: Record, pair: LinkPair, now: int, read: tuple[EgpBasis, int] | None = None) -> None:
        fits = record.state is not PairState.THERE or self._fits(record, pair, record.track)
        self._step(record, PairInput.LINK_PAIR if fits else PairInput.MISFIT, now, pair, read)

    def take_track(self, track: QnpTrack, now: int) -> None:
        record = self._record(LinkSequence(track.link, track.link_sequence))
        fits = record.state is not PairState.HERE or self._fits(record, record.half, track)
        self._step(record, PairInput.TRACK if fits else PairInput.MISFIT, now, track)

    def _discarded(self, discard: QnpDiscard, now: int) -> None:
        name = LinkSequence(discard.link, discard.link_sequence)
        record = self._record(name)
        if name in self._reading:
            self._reading[name] = Reading.DISCARDED
            self._records.pop(name, None)
            return
        if self.is_head and record.pair_id in self._bank.pairs and discard.fate == PairFate.SURPLUS:
            self._bank.refused()
        self._step(record, PairInput.DISCARD, now)

    def _expired(self, name: LinkSequence, now: int) -> None:
        if name in self._reading:
            self._reading[name] = Reading.EXPIRED
        else:
            self._step(self._record(name), PairInput.EXPIRED, now)

    def held_long(self, name: LinkSequence, now: int) -> None:
        self._step(self._record(name), PairInput.HELD_LONG, now)

    def aged(self, name: LinkSequence, now: int) -> None:
        """A banked pair has lain there for its time: it is replaced."""
        self._step(self._record(name), PairInput.AGED, now)

    def _step(
        self,
        record: Record,
        stimulus: PairInput,
        now: int,
        incoming: LinkPair | QnpTrack | None = None,
        read: tuple[EgpBasis, int] | None = None,
    ) -> None:
        """One step of a link pair's table."""
        before = record.state
        record.state, actions = END_TABLE[before, stimulus]
        if before in (PairState.VOID, PairState.DEAD):
            self._shared.timers.cancel(TimerKey(TimerKind.HOLD, self.id, record.name))
        if incoming is not None and before not in (PairState.HERE, PairState.THERE):
            record.half, record.track, record.pair_id = None, None, 0  # a new pair, an old number
            record.final = record.user = None
        if record.state is PairState.ABSENT:
            self._records.pop(record.name, None)
        else:
            self._records[record.name] = record
        for action in actions:
            match action:
                case Do.TAKE:
                    assert isinstance(incoming, LinkPair)
                    record.half, record.since, record.read = incoming, now, read
                    record.holder = Holder.NETWORK if read is None else Holder.NOBODY
                    if self.is_head:
                        self._number(record)
                case Do.NOTE:
                    assert isinstance(incoming, QnpTrack)
                    record.track, record.noted = incoming, now
                    if not self.is_head:
                        record.pair_id, record.request = incoming.pair_id, incoming.request
                        record.use = PairUse(incoming.use)
                case Do.TRACK:
                    self._track(record)
                case Do.EARLY:
                    self._early(record)
                case Do.DELIVER:
                    self._deliver(record, now)
                case Do.RELEASE:
                    self._underway(record, -1)
                    self._let_go(record)
                case Do.DISCARD:
                    self._discard(record, _FATES[stimulus])  # QNP-5
                case Do.LOSE:
                    self._lose(record, now)
                case Do.HOLD:
                    self._shared.hold(self.id, record.name, now)
                case Do.REPORT:
                    reason = f"link pair {record.name.number} of link {record.name.link} is another one there"
                    self._shared.outputs.append(Ignored(self.id.neighbour, "QnpTrack", reason))
                case Do.ASK:
                    if self.demand is not None:
                        self.demand.died()
                case _:
                    raise AssertionError(f"{action} is not an action of a pair")

    # Tracks, and what follows when both ends have theirs.

    def _track(self, record: Record) -> None:
        half = record.half
        assert half is not None
        assert half.diagonal is not None
        # What this end holds is the whole chain so far; each repeater on the way adds its swap.
        index = half.bell_index
        track = QnpTrack(
            self.id.label,
            record.pair_id,
            *record.name,
            index,
            index,
            record.use if self.is_head else PairUse.DELIVER,
            *to_wire(half.diagonal),
            self._shared.facts.delays.get(half.link, 0),
            record.request if self.is_head else 0,
        )
        self._send(self.id, track)  # QNP-3

    def _early(self, record: Record) -> None:
        """QNP-18: the half of an early pair is the user's at once."""
        alone = self.alone
        if alone is None or alone.phase is not Phase.OPEN or alone.delivery.kind is not PairKind.EARLY:
            return
        assert record.half is not None
        record.holder, record.user = Holder.USER, alone
        early = PairEarly(self.id, alone.number, self.peer, alone.purpose, record.half.qubit)
        self._shared.outputs.append(early)

    def _deliver(self, record: Record, now: int) -> None:
        half, track = record.half, record.track
        assert half is not None
        assert track is not None
        request = self.requests.get(record.request)
        if record.use is not PairUse.BANK and (request is None or request.phase is not Phase.OPEN):
            # The tail knows that the request has ended: the head has given up what it tracked for it.
            record.state = PairState.VOID
            self._shared.hold(self.id, record.name, now)
            self._let_go(record)
            return
        if self.is_head:
            self._complete += 1
        # The Track has what the whole chain has gone through, apart from the waiting of the halves at its ends.
        record.index, record.at = track.bell_index, now
        ages = track.age_ps + now - record.noted, now - record.since
        errors = from_wire(track.error_z, track.error_x, track.error_y)
        record.errors = self._waited_at_ends(errors, record.index, *ages)
        if self._ends is not None:
            stored = Stored(record.pair_id, record.index, half.qubit, record.errors, now, record)
            self._ends.take(stored, now)
        else:
            self._dispose(record, request, record.use, now)
        self._forget()

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
        errors = self._waited_at_ends(record.errors, record.index, now - record.at, now - record.at)
        record.final = Pair(self.install.head, record.pair_id, record.index, half.qubit, goodness(errors))
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

    def _lose(self, record: Record, now: int) -> None:
        """A pair that was complete is a pair no more."""
        banked = self._bank.pairs.pop(record.pair_id, None)
        if banked is not None:
            self._leave_bank(record)
            self._let_go(record)
        self._tested.pop(record.pair_id, None)
        if self.is_head:
            assert self.demand is not None
            # Every node that swapped for it counts a dead pair and makes another: one chain less is wanted.
            self._complete -= 1
            self._ask()
            self.demand.died()
        if self._ends is not None and record.pair_id in self._ends:
            # What was being purified with it is lost, too; the other end may not know that they belonged together.
            for pair_id in self._ends.lose(record.pair_id, now):
                other = next((r for r in self._records.values() if r.pair_id == pair_id), None)
                if other is not None and other.state is PairState.BOTH:
                    self._step(other, PairInput.EXPIRED, now)
            return
        request = record.user
        if request is not None and record.final is not None:  # also if the request has ended meanwhile
            self._shared.outputs.append(PairLost(self.id, request.number, self.peer, request.purpose, record.final))

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
        record.index, record.errors, record.at = stored.index, stored.diagonal, stored.since
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

    def _waited_at_ends(self, errors: Diagonal, index: int, there_ps: int, here_ps: int | None = None) -> Diagonal:
        """Of a pair whose halves have waited so long at the other end, and at this one."""
        here = (self._shared.facts.memory, there_ps if here_ps is None else here_ps)
        return waited(errors, index, (self.far.memory, there_ps), here)

    # Small things.

    def _forget(self) -> None:
        if len(self._records) > MOST_REMEMBERED:
            done = (
                n for n, r in self._records.items() if r.state is PairState.BOTH and r.pair_id not in self._bank.pairs
            )
            oldest = next(done, None)
            if oldest is not None:
                del self._records[oldest]

    def _has_record(self, name: LinkSequence) -> bool:
        return name in self._records or name in self._reading

    def _is_void(self, name: LinkSequence) -> bool:
        return self._record(name).state is PairState.VOID

    def _cut_off(self, name: LinkSequence, now: int) -> None:
        """Ends let nothing wait in vain: what was purified meanwhile stays."""

    def _record(self, name: LinkSequence) -> Record:
        return self._records.get(name) or Record(name)

    def _fits(self, record: Record, half: LinkPair | None, track: QnpTrack | None) -> bool:
        """Do both nodes of the link mean the same pair?  Both know its Bell index from the herald itself."""
        assert half is not None
        assert track is not None
        if self.is_head and track.pair_id not in (0, record.pair_id):
            return False
        return half.bell_index == track.link_bell_index  # QNP-9

    def _discard(self, record: Record, fate: PairFate) -> None:
        self._send(self.id, QnpDiscard(self.id.label, record.pair_id, *record.name, fate))
