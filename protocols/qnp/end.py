"""One end of a circuit, head or tail: requests, and pairs tracked until both ends hold them.

What may live here: the tables of an end at work.  Repeaters are in relay.py.
"""

from dataclasses import dataclass
from typing import Final

from protocols.ignored import Ignored
from protocols.pairs import Pair, ReleaseQubit
from protocols.qnp.circuit import INPUTS, Circuit, raw_pairs
from protocols.qnp.distill import Distiller, Stored
from protocols.qnp.purify import werner
from protocols.qnp.service import (
    CircuitId,
    LinkPair,
    LinkSequence,
    PairDelivered,
    PairLost,
    RequestEnded,
    RequestOpened,
)
from protocols.qnp.shared import FULL, MOST_REMEMBERED, Shared, TimerKey, TimerKind
from protocols.qnp.states import (
    END_TABLE,
    HEAD_TABLE,
    REQUEST_TABLE,
    TAIL_TABLE,
    CircuitInput,
    Do,
    PairInput,
    PairState,
    Phase,
)
from protocols.wire.codec import (
    EgpError,
    PairFate,
    PairUse,
    PurifyScope,
    QnpComplete,
    QnpDiscard,
    QnpForward,
    QnpInstall,
    QnpInstalled,
    QnpPurify,
    QnpPurifyAck,
    QnpTrack,
    QnpWant,
)

_FATES: Final = {
    PairInput.EXPIRED: PairFate.EXPIRED,
    PairInput.MISFIT: PairFate.MISFIT,
    PairInput.SURPLUS: PairFate.SURPLUS,
    PairInput.DROPPED: PairFate.CLOSED,
}


@dataclass(slots=True)
class Request:
    """What pairs are for, at either end; `wanted` is the head's alone."""

    number: int
    purpose: int
    pairs: int  # 0: open-ended
    minimum_fidelity: int
    kind: int
    phase: Phase = Phase.OPENING
    wanted: int = 0
    delivered: int = 0
    underway: int = 0  # pairs of the head's that are tracked for it
    error: EgpError | None = None

    def lacks(self, each: int) -> int:
        """Chains for which no half is here yet, if one pair is made of `each`."""
        return (self.wanted - self.delivered) * each - self.underway if self.phase is Phase.OPEN else 0


@dataclass(slots=True)
class _Record:
    """What this end knows of one link pair."""

    name: LinkSequence
    state: PairState = PairState.ABSENT
    half: LinkPair | None = None
    track: QnpTrack | None = None
    pair_id: int = 0  # 0: not known yet
    request: int = 0  # 0: not known yet
    final: Pair | None = None  # as it was handed up
    user: Request | None = None  # to whom


class End(Circuit):
    """The head or the tail of a circuit."""

    def __init__(self, install: QnpInstall, up: CircuitId | None, down: CircuitId | None, shared: Shared) -> None:
        super().__init__(install, up, down, shared)
        self.is_head = up is None
        self.promised = 0  # fidelity that every request on it can have
        self.requests: dict[int, Request] = {}
        self._complete = 0  # chains that both ends have had, less those that broke later
        self._told = 0  # the last Want
        self._records: dict[LinkSequence, _Record] = {}
        self._each = raw_pairs(install.end_rounds, bool(install.pumping))
        self._ends: Distiller | None = None
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
                self._serves,
            )

    @property
    def peer(self) -> int:
        """The node at the other end."""
        return self.tail if self.is_head else self.install.head

    # Requests.

    def add(self, request: Request) -> None:
        """A request joins the circuit; at the head it is announced, at the tail it is served."""
        self.requests[request.number] = request
        if self.is_head:
            self.announce(request)
        else:
            self.move_request(request, CircuitInput.ACCEPTED)

    def announce(self, request: Request) -> None:
        forward = QnpForward(
            self.id.label,
            request.number,
            request.kind,
            request.pairs,
            request.minimum_fidelity,
            request.purpose,
        )
        self._send(self.id, forward)  # QNP-1

    def want(self, request: Request, number: int) -> None:
        """The user of an open-ended request needs more pairs."""
        request.wanted += number
        self._ask()

    def move_request(self, request: Request, stimulus: CircuitInput, now: int = 0) -> None:
        """One step of a request's table."""
        request.phase, actions = REQUEST_TABLE[request.phase, stimulus]
        for action in actions:
            match action:
                case Do.ANNOUNCE:
                    opened = RequestOpened(self.id, request.number, self.install.head, self.peer, request.purpose)
                    self._shared.outputs.append(opened)
                case Do.ASK:
                    if self.is_head:
                        self._ask()
                case Do.DROP:
                    if len(self.requests) > 1:  # else they go with the circuit
                        self._drop_request(request, now)
                case Do.COMPLETE:
                    if len(self.requests) > 1:
                        self._send(self.id, QnpComplete(self.id.label, request.number))
                case Do.END:
                    self._end(request, stimulus)
                case _:
                    raise AssertionError(f"{action} is not an action of a request")
        if request.phase is Phase.CLOSED:
            self._shared.timers.cancel(TimerKey(TimerKind.DEADLINE, CircuitId(0, 0), None, request.number))
            del self.requests[request.number]
            if self.is_head and self.requests:
                self._ask()  # it needs less

    def _drop_request(self, request: Request, now: int) -> None:
        for record in list(self._records.values()):
            if record.state is PairState.HERE and record.request == request.number:
                self._step(record, PairInput.DROPPED, now)

    def _end(self, request: Request, cause: CircuitInput) -> None:
        ended = RequestEnded(
            self.id,
            request.number,
            self.install.head,
            self.peer,
            request.purpose,
            request.delivered,
            cause,
            request.error,
        )
        self._shared.outputs.append(ended)

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

    def _end_requests(self, now: int) -> None:
        """The circuit has ended, and with it every request that node.py has not taken to another way."""
        cause = INPUTS.get(self.fate, CircuitInput.NO_PROMISE)
        for request in list(self.requests.values()):
            fits = (request.phase, cause) in REQUEST_TABLE
            self.move_request(request, cause if fits else CircuitInput.PEER_LOST, now)

    def _drop(self, tell: bool) -> None:
        if self._ends is not None:
            for record in self._ends.payloads():
                if tell:  # the peer may have handed up what a round has made of it
                    self._discard(record, PairFate.CLOSED)
            self._ends.release_all()
        for record in self._records.values():
            if record.state is PairState.HERE:
                assert record.half is not None
                # QNP-8. The peer may have delivered its half already: it had this end's Track.
                if tell:
                    self._discard(record, PairFate.CLOSED)
                self._shared.outputs.append(ReleaseQubit(record.half.qubit))
            self._shared.timers.cancel(TimerKey(TimerKind.HOLD, self.id, record.name))
        self._records.clear()

    # Link pairs.

    def _take_pure(self, pair: LinkPair, now: int) -> None:
        record = self._record(pair.name)
        if self.is_head and record.state is not PairState.HERE and not self._lacking():
            self._step(record, PairInput.SURPLUS, now, pair)
            return
        fits = record.state is not PairState.THERE or self._fits(record, pair, record.track)
        self._step(record, PairInput.LINK_PAIR if fits else PairInput.MISFIT, now, pair)

    def take_track(self, track: QnpTrack, now: int) -> None:
        record = self._record(LinkSequence(track.link, track.link_sequence))
        fits = record.state is not PairState.HERE or self._fits(record, record.half, track)
        self._step(record, PairInput.TRACK if fits else PairInput.MISFIT, now, track)

    def _discarded(self, discard: QnpDiscard, now: int) -> None:
        self._step(self._record(LinkSequence(discard.link, discard.link_sequence)), PairInput.DISCARD, now)

    def _expired(self, name: LinkSequence, now: int) -> None:
        self._step(self._record(name), PairInput.EXPIRED, now)

    def held_long(self, name: LinkSequence, now: int) -> None:
        self._step(self._record(name), PairInput.HELD_LONG, now)

    def _step(
        self, record: _Record, stimulus: PairInput, now: int, incoming: LinkPair | QnpTrack | None = None
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
                    record.half = incoming
                    if self.is_head:
                        self._number(record)
                case Do.NOTE:
                    assert isinstance(incoming, QnpTrack)
                    record.track = incoming
                    if not self.is_head:
                        record.pair_id, record.request = incoming.pair_id, incoming.request
                case Do.TRACK:
                    self._track(record)
                case Do.DELIVER:
                    self._deliver(record, now)
                case Do.RELEASE:
                    assert record.half is not None
                    self._underway(record, -1)
                    self._shared.outputs.append(ReleaseQubit(record.half.qubit))
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

    # Actions.

    def _ask(self) -> None:
        """Every node is to make what is neither here nor on the way (QNP-7)."""
        assert self.demand is not None
        needed = sum(
            (request.wanted - request.delivered) * self._each
            for request in self.requests.values()
            if request.phase is Phase.OPEN
        )
        if self._ends is not None:
            needed = max(0, needed - self._ends.raw)
        self.demand.wanted = wanted = self._complete + needed
        if self.phase is not Phase.OPEN:
            return
        if wanted != self._told and len(self.install.hops) > 1:
            self._told = wanted
            self._send(self.id, QnpWant(self.id.label, wanted % (1 << 32)))
        self.demand.ask()

    def _lacking(self) -> Request | None:
        """The request that the next pair is for."""
        return next((request for request in self.requests.values() if request.lacks(self._each) > 0), None)

    def _number(self, record: _Record) -> None:
        """The head names the pair, and says what it is for."""
        record.pair_id = next(self._shared.pair_ids)
        request = self._lacking()
        record.request = 0 if request is None else request.number
        self._underway(record, 1)

    def _underway(self, record: _Record, change: int) -> None:
        if self.is_head and (request := self.requests.get(record.request)) is not None:
            request.underway += change
            if change < 0:
                record.request = 0

    def _track(self, record: _Record) -> None:
        half = record.half
        assert half is not None
        # What this end holds is the whole chain so far; each repeater on the way adds its swap.
        request = record.request if self.is_head else 0
        index = half.bell_index
        track = QnpTrack(
            self.id.label,
            record.pair_id,
            *record.name,
            index,
            index,
            PairUse.DELIVER,
            half.goodness,
            request,
        )
        self._send(self.id, track)  # QNP-3

    def _deliver(self, record: _Record, now: int) -> None:
        half, track = record.half, record.track
        assert half is not None
        assert track is not None
        request = self.requests.get(record.request)
        if request is None or request.phase is not Phase.OPEN:
            # The tail knows that the request has ended: the head has given up what it tracked for it.
            record.state = PairState.VOID
            self._shared.hold(self.id, record.name, now)
            self._shared.outputs.append(ReleaseQubit(half.qubit))
            return
        if self.is_head:
            self._complete += 1
        if self._ends is not None:
            pair = self._pair(record)
            diagonal = werner(pair.goodness / FULL)
            self._ends.take(Stored(pair.pair_id, pair.bell_index, pair.qubit, diagonal, record), now)
        else:
            record.final = self._pair(record)
            self._hand_up(record, request, now)
        self._forget()

    def _hand_up(self, record: _Record, request: Request, now: int) -> None:
        """Both ends have this pair, as good as it was promised."""
        half, pair = record.half, record.final
        assert half is not None
        assert pair is not None
        if self.is_head:
            self._underway(record, -1)
            record.request = request.number
        request.delivered += 1
        record.user = request
        self._shared.outputs.append(
            PairDelivered(self.id, request.number, self.peer, request.purpose, pair, half.time_of_goodness)
        )  # QNP-4
        if self.is_head and request.pairs and request.delivered == request.wanted:
            self.move_request(request, CircuitInput.SATISFIED, now)
            if not self.requests:
                self.move(CircuitInput.UNUSED, now)

    def _lose(self, record: _Record, now: int) -> None:
        """A pair that was delivered is a pair no more."""
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
            self._shared.outputs.append(
                PairLost(self.id, request.number, self.peer, request.purpose, record.final)
            )

    # Purification between the ends.

    def take_purify(self, message: QnpPurify | QnpPurifyAck, source: int, now: int) -> None:
        if message.scope is PurifyScope.LINK:
            super().take_purify(message, source, now)
        elif self._ends is not None and isinstance(message, QnpPurify) is not self.is_head:
            if isinstance(message, QnpPurify):
                self._ends.on_purify(message, now)
            else:
                self._ends.on_ack(message, now)

    def _serves(self, stored: Stored) -> int:
        """The request that a pair is for, when its last round begins."""
        if stored.payload.request in self.requests:
            number: int = stored.payload.request
            return number
        return next(iter(self.requests), 0)

    def _pure(self, stored: Stored, number: int, now: int) -> None:
        record: _Record = stored.payload
        request = self.requests.get(number)
        for part in stored.parts:
            self._underway(part, -1)
        record.final = Pair(
            self.install.head, stored.name, stored.index, stored.qubit, round(stored.diagonal[0] * FULL)
        )
        if request is None or request.phase is not Phase.OPEN:
            self._underway(record, -1)
            record.final = None
            self._shared.outputs.append(ReleaseQubit(stored.qubit))
            if record.state is PairState.BOTH:  # the other end may have handed it up
                self._step(record, PairInput.EXPIRED, now)
            return
        self._hand_up(record, request, now)

    def _impure(self, stored: Stored, now: int) -> None:
        for part in (stored.payload, *stored.parts):
            self._underway(part, -1)
        if self.is_head and self.requests:
            self._ask()

    def _forget(self) -> None:
        if len(self._records) > MOST_REMEMBERED:
            oldest = next((n for n, r in self._records.items() if r.state is PairState.BOTH), None)
            if oldest is not None:
                del self._records[oldest]

    # Small things.

    def _has_record(self, name: LinkSequence) -> bool:
        return name in self._records

    def _is_void(self, name: LinkSequence) -> bool:
        return self._record(name).state is PairState.VOID

    def _cut_off(self, name: LinkSequence, now: int) -> None:
        """Ends let nothing wait in vain: what was purified meanwhile stays."""

    def _record(self, name: LinkSequence) -> _Record:
        return self._records.get(name) or _Record(name)

    def _fits(self, record: _Record, half: LinkPair | None, track: QnpTrack | None) -> bool:
        """Do both nodes of the link mean the same pair?  Both know its Bell index from the herald itself."""
        assert half is not None
        assert track is not None
        if self.is_head and track.pair_id not in (0, record.pair_id):
            return False
        return half.bell_index == track.link_bell_index  # QNP-9

    def _pair(self, record: _Record) -> Pair:
        """Both ends say the same of it: the head's number and the chain's index."""
        half, track = record.half, record.track
        assert half is not None
        assert track is not None
        goodness = min(half.goodness, track.goodness)
        return Pair(self.install.head, record.pair_id, track.bell_index, half.qubit, goodness)

    def _discard(self, record: _Record, fate: PairFate) -> None:
        self._send(self.id, QnpDiscard(self.id.label, record.pair_id, *record.name, fate))
