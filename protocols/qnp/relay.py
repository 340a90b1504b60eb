"""A repeater of a circuit: halves wait at both sides, are swapped, and Tracks are passed on past the swaps.

What may live here: the tables of a repeater at work.  The ends are in end.py, when to swap in swapping.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from protocols import bell
from protocols.device import Program
from protocols.ignored import Ignored
from protocols.pairs import ReleaseQubit
from protocols.qnp.circuit import Circuit
from protocols.qnp.service import CircuitId, LinkPair, LinkSequence
from protocols.qnp.shared import MOST_REMEMBERED, Shared, TimerKey, TimerKind, older
from protocols.qnp.sketch import STILL, from_wire, swapped, to_wire, waited
from protocols.qnp.states import RELAY_TABLE, SWAP_TABLE, CircuitInput, Do, PairInput, PairState, Phase
from protocols.qnp.swapping import END_RANK, Nested, SwapAsap, SwapPolicy, Waiting
from protocols.wire.codec import (
    PairFate,
    QnpDiscard,
    QnpInstall,
    QnpInstalled,
    QnpReach,
    QnpTrack,
    QnpWant,
)

_FATES: Final = {
    PairInput.EXPIRED: PairFate.EXPIRED,
    PairInput.MISFIT: PairFate.MISFIT,
    PairInput.CUTOFF: PairFate.CUTOFF,
}


@dataclass(slots=True, eq=False)
class _Record:
    """What this node knows of one link pair."""

    name: LinkSequence
    hop: CircuitId
    reach: int
    state: PairState = PairState.ABSENT
    half: LinkPair | None = None
    track: QnpTrack | None = None
    noted: int = 0  # when the Track came
    partner: "_Record | None" = None
    swap: int = 0  # what the Bell measurement found, as an index
    swapped: int = 0  # when it began
    fate: PairFate = PairFate.EXPIRED  # what is told of it when its partner dies


class Relay(Circuit):
    """A repeater in the middle of a circuit."""

    def __init__(self, install: QnpInstall, up: CircuitId, down: CircuitId, shared: Shared) -> None:
        super().__init__(install, up, down, shared)
        self._hops = (up, down)
        here = install.hops[install.position]
        self._nested = any(hop.rank for hop in install.hops[:-1])
        self._policy: SwapPolicy = Nested(here.rank) if self._nested else SwapAsap()
        before = install.hops[install.position - 1].rank if install.position else END_RANK
        self._reach = {up: before, down: self.hop_down.rank}
        self._records: dict[LinkSequence, _Record] = {}
        self._early_reach: dict[LinkSequence, int] = {}
        # Halves that wait, by hop, oldest first.
        self._waiting: dict[CircuitId, dict[LinkSequence, _Record]] = {up: {}, down: {}}

    # The circuit.

    def move(self, stimulus: CircuitInput, now: int) -> None:
        self.phase, actions = RELAY_TABLE[self.phase, stimulus]
        up, _ = self._hops
        for action in actions:
            match action:
                case Do.PASS_UP:
                    self._send(up, QnpInstalled(up.label))
                case Do.RELEASE_ALL:
                    self._release_all()
                case _:
                    self._act(action, stimulus)
        if self.phase is Phase.CLOSED:
            self._release_all()  # also marks of what was said before the circuit was open
            self._closed()

    def want(self, message: QnpWant) -> None:
        """The head says how many chains it needs in all; the tail need not know."""
        assert self.demand is not None
        self.demand.wanted = message.pairs
        _, down = self._hops
        if down.neighbour != self.tail:
            self._send(down, message._replace(circuit=down.label))
        self.demand.ask()

    def _release_all(self) -> None:
        for record in self._records.values():
            if record.state is PairState.HERE:
                assert record.half is not None
                self._shared.outputs.append(ReleaseQubit(record.half.qubit))
            for kind in (TimerKind.HOLD, TimerKind.CUTOFF):
                self._shared.timers.cancel(TimerKey(kind, record.hop, record.name))
        self._records.clear()
        for waiting in self._waiting.values():
            waiting.clear()

    # Link pairs.

    def _take_pure(self, pair: LinkPair, now: int) -> None:
        record = self._record(pair.name)
        if record.state is PairState.SWAPPED:
            record = self._anew(record)
        misfit = record.state is PairState.THERE and not _fits(pair, record.track)
        self._step(record, PairInput.MISFIT if misfit else PairInput.LINK_PAIR, now, pair)

    def take_track(self, track: QnpTrack, now: int) -> None:
        record = self._record(LinkSequence(track.link, track.link_sequence))
        known = record.state in (PairState.HERE, PairState.SWAPPING, PairState.SWAPPED)
        misfit = known and not _fits(record.half, track)
        self._step(record, PairInput.MISFIT if misfit else PairInput.TRACK, now, track)

    def _discarded(self, discard: QnpDiscard, now: int) -> None:
        record = self._record(LinkSequence(discard.link, discard.link_sequence))
        record.fate = PairFate(discard.fate)
        self._early_reach.pop(record.name, None)
        self._step(record, PairInput.DISCARD, now)

    def take_reach(self, reach: QnpReach, now: int) -> None:
        """The chain that one of its pairs is the end of has grown."""
        name = LinkSequence(reach.link, reach.link_sequence)
        record = self._records.get(name)
        if record is None or record.half is None:
            self._early_reach[name] = reach.rank  # the neighbour heard of the pair before this node
            return
        record.reach = reach.rank
        if record.state is PairState.HERE:
            self._match(now)
        elif record.state is PairState.SWAPPED and record.partner is not None:
            self._tell_reach(record.partner, reach.rank)

    def _expired(self, name: LinkSequence, now: int) -> None:
        self._step(self._record(name), PairInput.EXPIRED, now)

    def held_long(self, name: LinkSequence, now: int) -> None:
        self._step(self._record(name), PairInput.HELD_LONG, now)

    def _cut_off(self, name: LinkSequence, now: int) -> None:
        record = self._record(name)
        if record.state is PairState.HERE:
            self._step(record, PairInput.CUTOFF, now)

    def _has_record(self, name: LinkSequence) -> bool:
        return name in self._records

    def _is_void(self, name: LinkSequence) -> bool:
        return self._record(name).state is PairState.VOID

    def _step(
        self, record: _Record, stimulus: PairInput, now: int, incoming: LinkPair | QnpTrack | None = None
    ) -> None:
        """One step of a link pair's table."""
        before = record.state
        record.state, actions = SWAP_TABLE[before, stimulus]
        if before in (PairState.VOID, PairState.DEAD):
            self._shared.timers.cancel(TimerKey(TimerKind.HOLD, record.hop, record.name))
        if before is PairState.HERE and record.state is not PairState.HERE:
            self._waiting[record.hop].pop(record.name, None)
            self._shared.timers.cancel(TimerKey(TimerKind.CUTOFF, record.hop, record.name))
        if stimulus in _FATES:
            record.fate = _FATES[stimulus]
        if record.state is PairState.ABSENT:
            self._records.pop(record.name, None)
        else:
            self._records[record.name] = record
        for action in actions:
            self._do(action, record, now, incoming)

    def _do(self, action: Do, record: _Record, now: int, incoming: LinkPair | QnpTrack | None) -> None:
        match action:
            case Do.TAKE:
                assert isinstance(incoming, LinkPair)
                record.half = incoming
                record.reach = self._early_reach.pop(record.name, record.reach)
                if record.state is PairState.HERE:
                    self._waiting[record.hop][record.name] = record
            case Do.CLOCK:
                if self.install.cutoff_ps:
                    due = now + self.install.cutoff_ps
                    self._shared.timers.set(TimerKey(TimerKind.CUTOFF, record.hop, record.name), due)
            case Do.MATCH:
                self._match(now)
            case Do.NOTE:
                assert isinstance(incoming, QnpTrack)
                record.track, record.noted = incoming, now
            case Do.PASS:
                self._pass(record, now)
            case Do.RELEASE:
                assert record.half is not None
                self._shared.outputs.append(ReleaseQubit(record.half.qubit))
            case Do.DISCARD:
                self._send(record.hop, QnpDiscard(record.hop.label, 0, *record.name, record.fate))
            case Do.BREAK:
                partner, record.partner = record.partner, None
                if partner is not None:
                    partner.partner, partner.fate = None, record.fate
                    self._step(partner, PairInput.BROKEN, now)
            case Do.HOLD:
                self._shared.hold(record.hop, record.name, now)
            case Do.REPORT:
                reason = f"link pair {record.name.number} of link {record.name.link} is another one there"
                self._shared.outputs.append(Ignored(record.hop.neighbour, "QnpTrack", reason))
            case Do.ASK:
                if self.demand is not None and record.hop == self.down:
                    self.demand.died()
            case _:
                raise AssertionError(f"{action} is not an action of a pair")

    # Swapping.

    def _match(self, now: int) -> None:
        up, down = self._hops
        while chosen := self._policy.choose(self._offer(up), self._offer(down)):
            left, right = (self._records[name] for name in chosen)
            self._swap(left, right, now)

    def _offer(self, hop: CircuitId) -> Iterator[Waiting]:
        return (Waiting(name, record.reach) for name, record in self._waiting[hop].items())

    def _swap(self, left: _Record, right: _Record, now: int) -> None:
        left.partner, right.partner = right, left
        for record in (left, right):
            self._step(record, PairInput.CHOSEN, now)
        assert left.half is not None
        assert right.half is not None
        qubits = (left.half.qubit, right.half.qubit)
        program = Program().bell_measure(*qubits).release(qubits[0]).release(qubits[1])

        def measured(bits: tuple[int, ...], later: int) -> None:
            if self.phase is Phase.CLOSED:
                return
            for record, other in ((left, right), (right, left)):
                if record.state is PairState.DOOMED and other.state is PairState.SWAPPING:
                    other.fate = record.fate
                    self._step(other, PairInput.BROKEN, later)
            for record in (left, right):
                record.swap, record.swapped = bell.measured(*bits), now  # QNP-13
            reaches = left.reach, right.reach
            for record in (left, right):
                self._step(record, PairInput.MEASURED, later)
            if self._nested:
                for record, reach in ((left, reaches[1]), (right, reaches[0])):
                    if record.state is PairState.SWAPPED:
                        self._tell_reach(record, reach)
            self._forget()

        self._shared.run(program, qubits, measured)

    def _pass(self, record: _Record, now: int) -> None:
        """Send the Track of a swapped pair on, about the pair it was swapped with (QNP-13)."""
        track, partner = record.track, record.partner
        half = record.half
        if track is None or partner is None or partner.half is None or half is None:
            return
        record.track = None  # one is passed on once
        onward, facts = partner.half, self._shared.facts
        said = (track.error_z, track.error_x, track.error_y, track.zero_begun, track.zero_here)
        so_far = waited(from_wire(track.bell_index, *said), STILL, (facts.memory, record.swapped - half.since))
        last = waited(onward.sketch, STILL, (facts.memory, record.swapped - onward.since))
        chain = swapped(so_far, last.swap_ends(), record.swap, facts.swap)
        index = bell.compose(track.bell_index, record.swap, onward.bell_index)
        error_z, error_x, error_y, zero_begun, zero_here = to_wire(chain, index)
        passed = track._replace(
            circuit=partner.hop.label,
            link=onward.link,
            link_sequence=onward.link_sequence,
            bell_index=index,
            link_bell_index=onward.bell_index,
            error_z=error_z,
            error_x=error_x,
            error_y=error_y,
            age_ps=older(track.age_ps, now - record.noted + facts.delays.get(onward.link, 0)),
            zero_begun=zero_begun,
            zero_here=zero_here,
        )
        self._send(partner.hop, passed)

    def _tell_reach(self, record: _Record, rank: int) -> None:
        """The neighbour that holds the chain's end, or the one that passes it on."""
        if record.hop.neighbour not in (self.install.head, self.tail):
            self._send(record.hop, QnpReach(record.hop.label, *record.name, rank))

    # Small things.

    def _record(self, name: LinkSequence) -> _Record:
        known = self._records.get(name)
        if known is not None:
            return known
        up, down = self._hops
        hop = up if name.link == self.link_up else down
        return _Record(name, hop, self._reach[hop])

    def _anew(self, old: _Record) -> _Record:
        """A sequence number has come round: both pairs of that swap are of the past."""
        for record in (old, old.partner):
            if record is not None:
                self._records.pop(record.name, None)
        return self._record(old.name)

    def _forget(self) -> None:
        while len(self._records) > MOST_REMEMBERED:
            oldest = next((r for r in self._records.values() if r.state is PairState.SWAPPED), None)
            if oldest is None:
                return
            self._anew(oldest)


def _fits(half: LinkPair | None, track: QnpTrack | None) -> bool:
    """Do both nodes of the link mean the same pair?  Both know its Bell index from the herald itself."""
    assert half is not None
    assert track is not None
    return half.bell_index == track.link_bell_index  # QNP-9
