"""One end of one circuit: the tables of states.py at work.  Which circuits there are, qnp.py knows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from protocols.holds import Holds
from protocols.ignored import Ignored
from protocols.machine import Output, Send
from protocols.pairs import Pair, ReleaseQubit
from protocols.qnp.service import (
    CircuitId,
    CircuitOpened,
    LinkPair,
    NeedLinkPairs,
    PairDelivered,
    PairLost,
    RequestEnded,
    StopLinkPairs,
)
from protocols.qnp.states import (
    HEAD_TABLE,
    PAIR_TABLE,
    TAIL_TABLE,
    CircuitInput,
    Do,
    PairInput,
    PairState,
    Phase,
)
from protocols.wire.codec import EgpError, QnpComplete, QnpDiscard, QnpTrack

MOST_AT_ONCE = 0xFFFF  # the link layer counts pairs in 16 bits


class LinkSequence(NamedTuple):
    """A link pair, by the name that both its ends know."""

    link: int
    number: int


type HoldKey = tuple[CircuitId, LinkSequence | None]
"""What is held a while: one link pair's mark, or (None) all that came before its circuit."""


class Request(NamedTuple):
    """What a circuit is for, as Forward says it."""

    number: int
    head: int
    purpose: int
    pairs: int  # 0: open-ended
    minimum_fidelity: int


@dataclass(slots=True)
class _Record:
    """What this end knows of one link pair."""

    name: LinkSequence
    state: PairState = PairState.ABSENT
    half: LinkPair | None = None
    track: QnpTrack | None = None
    pair_id: int = 0  # 0: not known yet


class CircuitEnd:
    """The head or the tail of a circuit.  What it says goes to `outputs`, what it waits for to `holds`."""

    def __init__(
        self,
        circuit: CircuitId,
        link: int,
        request: Request,
        is_head: bool,
        outputs: list[Output],
        holds: Holds[HoldKey],
        pair_ids: Iterator[int],
    ) -> None:
        self.id = circuit
        self.link = link
        self.request = request
        self.is_head = is_head
        self.phase = Phase.OPENING
        self.error: EgpError | None = None  # why it was refused or why the link layer gave up
        self._outputs = outputs
        self._holds = holds
        self._pair_ids = pair_ids
        self._wanted = request.pairs
        self._delivered = 0
        self._waiting = 0  # halves in state HERE
        self._outstanding = 0  # link pairs that the head asked for and that have not come
        self._records: dict[LinkSequence, _Record] = {}

    def want(self, number: int) -> None:
        """The user of an open-ended request needs more pairs."""
        self._wanted += number
        self._ask()

    def take_half(self, pair: LinkPair, now: int) -> None:
        """The link layer made a pair."""
        record = self._record(LinkSequence(pair.link, pair.link_sequence))
        if self.is_head:
            self._outstanding = max(0, self._outstanding - 1)
            if record.state is not PairState.HERE and self._delivered + self._waiting >= self._wanted:
                self._step(record, PairInput.SURPLUS, now, pair)
                return
        fits = record.state is not PairState.THERE or self._fits(record, pair, record.track)
        self._step(record, PairInput.LINK_PAIR if fits else PairInput.MISFIT, now, pair)

    def take_track(self, track: QnpTrack, now: int) -> None:
        """The peer holds its half."""
        record = self._record(LinkSequence(track.link, track.link_sequence))
        fits = record.state is not PairState.HERE or self._fits(record, record.half, track)
        self._step(record, PairInput.TRACK if fits else PairInput.MISFIT, now, track)

    def take_discard(self, discard: QnpDiscard, now: int) -> None:
        """The peer gave up its half."""
        self._step(self._record(LinkSequence(discard.link, discard.link_sequence)), PairInput.DISCARD, now)

    def expire(self, name: LinkSequence, now: int) -> None:
        """The link layer takes a pair back."""
        self._step(self._record(name), PairInput.EXPIRED, now)

    def held_long(self, name: LinkSequence, now: int) -> None:
        """The hold of a mark has ended."""
        self._step(self._record(name), PairInput.HELD_LONG, now)

    def link_ended(self, error: EgpError) -> None:
        """The link layer made no more of what it was asked for."""
        self._outstanding = 0
        if error is EgpError.EXPIRE:
            self._ask()  # it dropped the request along with the pairs; the request here lives on
        else:
            self.error = error
            self.move(CircuitInput.LINK_FAILED)

    def move(self, stimulus: CircuitInput) -> None:
        """One step of the circuit's table."""
        table = HEAD_TABLE if self.is_head else TAIL_TABLE
        self.phase, actions = table[self.phase, stimulus]
        for action in actions:
            match action:
                case Do.ANNOUNCE:
                    opened = CircuitOpened(
                        self.id, self.request.number, self.request.head, *self._peer_and_purpose
                    )
                    self._outputs.append(opened)
                case Do.ASK:
                    self._ask()
                case Do.STOP:
                    if self._outstanding:
                        self._outputs.append(StopLinkPairs(self.link, self.id.label))
                case Do.DROP | Do.RELEASE_ALL:
                    self._drop(tell=action is Do.DROP)
                case Do.TELL:
                    self._send(QnpComplete(self.id.label, self.request.number))
                case Do.END:
                    self._end(stimulus)
                case _:
                    raise AssertionError(f"{action} is not an action of a circuit")

    def _step(
        self, record: _Record, stimulus: PairInput, now: int, incoming: LinkPair | QnpTrack | None = None
    ) -> None:
        """One step of a link pair's table."""
        before = record.state
        record.state, actions = PAIR_TABLE[before, stimulus]
        self._waiting += (record.state is PairState.HERE) - (before is PairState.HERE)
        if before in (PairState.VOID, PairState.DEAD):
            self._holds.drop((self.id, record.name))
        if incoming is not None and before not in (PairState.HERE, PairState.THERE):
            record.half, record.track, record.pair_id = None, None, 0  # a new pair, an old number
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
                        record.pair_id = next(self._pair_ids)
                case Do.NOTE:
                    assert isinstance(incoming, QnpTrack)
                    record.track = incoming
                    if not self.is_head:
                        record.pair_id = incoming.pair_id
                case Do.TRACK:
                    self._track(record)
                case Do.DELIVER:
                    self._deliver(record)
                case Do.RELEASE:
                    assert record.half is not None
                    self._outputs.append(ReleaseQubit(record.half.qubit))
                case Do.DISCARD:
                    self._send(QnpDiscard(self.id.label, record.pair_id, *record.name))  # QNP-5
                case Do.LOSE:
                    pair = self._pair(record)
                    self._outputs.append(
                        PairLost(self.id, self.request.number, *self._peer_and_purpose, pair)
                    )
                case Do.HOLD:
                    self._holds.put((self.id, record.name), now)
                case Do.REPORT:
                    reason = f"link pair {record.name.number} of link {record.name.link} is another one there"
                    self._outputs.append(Ignored(self.id.neighbour, "QnpTrack", reason))
                case Do.ASK:
                    self._ask()
                case _:
                    raise AssertionError(f"{action} is not an action of a pair")

    # Actions.

    def _ask(self) -> None:
        """The head asks its link layer for what neither is here nor on the way."""
        if not self.is_head or self.phase is not Phase.OPEN:
            return
        missing = self._wanted - self._delivered - self._waiting - self._outstanding  # QNP-7
        while missing > 0:
            number = min(missing, MOST_AT_ONCE)
            self._outputs.append(
                NeedLinkPairs(self.link, self.id.label, number, self.request.minimum_fidelity)
            )
            self._outstanding += number
            missing -= number

    def _track(self, record: _Record) -> None:
        half = record.half
        assert half is not None
        # One link: what this end holds is the whole chain.  A node that swaps will fold in bell.swap.
        track = QnpTrack(self.id.label, record.pair_id, *record.name, half.bell_index, half.goodness, 0)
        self._send(track)  # QNP-3

    def _deliver(self, record: _Record) -> None:
        assert record.half is not None
        self._delivered += 1
        pair, time_of_goodness = self._pair(record), record.half.time_of_goodness
        delivered = PairDelivered(
            self.id, self.request.number, *self._peer_and_purpose, pair, time_of_goodness
        )
        self._outputs.append(delivered)  # QNP-4
        if self.is_head and self.request.pairs and self._delivered == self._wanted:
            self.move(CircuitInput.SATISFIED)

    def _drop(self, tell: bool) -> None:
        for record in self._records.values():
            if record.state is PairState.HERE:
                assert record.half is not None
                # QNP-8. The peer may have delivered its half already: it had this end's Track.
                if tell:
                    self._send(QnpDiscard(self.id.label, record.pair_id, *record.name))
                self._outputs.append(ReleaseQubit(record.half.qubit))
            self._holds.drop((self.id, record.name))
        self._records.clear()

    def _end(self, cause: CircuitInput) -> None:
        for name in self._records:
            self._holds.drop((self.id, name))
        number, head, *_ = self.request
        ended = RequestEnded(
            self.id, number, head, *self._peer_and_purpose, self._delivered, cause, self.error
        )
        self._outputs.append(ended)

    # Small things.

    def knows(self, name: LinkSequence) -> bool:
        """Has anything been heard of this link pair here?"""
        return name in self._records

    def _record(self, name: LinkSequence) -> _Record:
        return self._records.get(name) or _Record(name)

    def _fits(self, record: _Record, half: LinkPair | None, track: QnpTrack | None) -> bool:
        """Do both ends mean the same pair?  On one link both know the Bell index from the herald itself."""
        assert half is not None
        assert track is not None
        if self.is_head and track.pair_id not in (0, record.pair_id):
            return False
        return half.bell_index == track.bell_index  # QNP-9

    def _pair(self, record: _Record) -> Pair:
        """Both ends say the same of it: the head's number, the common index, the smaller estimate."""
        half, track = record.half, record.track
        assert half is not None
        assert track is not None
        goodness = min(half.goodness, track.goodness)
        return Pair(self.request.head, record.pair_id, track.bell_index, half.qubit, goodness)

    @property
    def _peer_and_purpose(self) -> tuple[int, int]:
        return self.id.neighbour, self.request.purpose

    def _send(self, message: QnpTrack | QnpDiscard | QnpComplete) -> None:
        self._outputs.append(Send(self.id.neighbour, message, reliable=True))
