"""One end of a circuit, head or tail: link pairs, tracked until both ends of the circuit hold a pair.

What may live here: the tables of an end at work.  Requests stand in requests.py, how many pairs they need in needs.py,
what becomes of a pair that both ends hold in complete.py.
"""

from typing import Final

from protocols.chance import drawn
from protocols.ignored import Ignored
from protocols.measuring import chosen
from protocols.qnp.complete import Completing
from protocols.qnp.records import Holder, Reading, Record
from protocols.qnp.requests import Request
from protocols.qnp.service import (
    CircuitId,
    LinkPair,
    LinkSequence,
    PairEarly,
    PairLost,
)
from protocols.qnp.shared import MOST_REMEMBERED, Shared, TimerKey, TimerKind
from protocols.qnp.sketch import from_wire, to_wire
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
from protocols.qnp.testing import measuring
from protocols.wire.codec import (
    EgpBasis,
    PairFate,
    PairKind,
    PairUse,
    QnpDiscard,
    QnpInstall,
    QnpInstalled,
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


class End(Completing):
    """The head or the tail of a circuit: what it knows of each link pair, by its name."""

    def __init__(self, install: QnpInstall, up: CircuitId | None, down: CircuitId | None, shared: Shared) -> None:
        super().__init__(install, up, down, shared)
        self._records: dict[LinkSequence, Record] = {}
        self._reading: dict[LinkSequence, Reading] = {}

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
        facts = self._shared.facts
        key = f"basis/{facts.seed}/{self._shared.node}/{self.install.head}/{self.install.number}/{pair.name}"
        basis = chosen(alone.delivery.bases, alone.delivery.chance, drawn(f"{key}/{now}", 4))
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
                    # A half that has been measured waits no more.
                    record.half, record.since, record.read = incoming, incoming.since if read is None else now, read
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
                    self._track(record, now)
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

    def _track(self, record: Record, now: int) -> None:
        half = record.half
        assert half is not None
        # What this end holds is the whole chain so far; each repeater on the way adds its swap.
        index = half.bell_index
        error_z, error_x, error_y, begun, there = to_wire(half.sketch.swap_ends(), index)
        track = QnpTrack(
            self.id.label,
            record.pair_id,
            *record.name,
            index,
            index,
            record.use if self.is_head else PairUse.DELIVER,
            error_z,
            error_x,
            error_y,
            now - record.since + self._shared.facts.delays.get(half.link, 0),
            record.request if self.is_head else 0,
            begun,
            there,
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
        # The Track has what the whole chain has gone through, apart from the waiting of the halves at its ends.
        record.index = track.bell_index
        said = (track.error_z, track.error_x, track.error_y, track.zero_begun, track.zero_here)
        record.sketch = from_wire(track.bell_index, *said)
        record.at = record.noted - track.age_ps, record.since
        self._completed(record, request, now)
        self._forget()

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
