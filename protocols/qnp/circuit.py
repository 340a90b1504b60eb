"""A circuit at one of its nodes: what an end and a repeater have in common.  Which circuits there are, node.py knows.

What may live here: the hops of a circuit, its demand on the link away from the head, and its end.
"""

from functools import partial
from typing import Final

from protocols.qnp.demand import MOST_AHEAD, Demand
from protocols.qnp.distill import Distiller, Order, Stored
from protocols.qnp.service import CircuitClosed, CircuitId, LinkPair, LinkSequence
from protocols.qnp.shared import Shared, TimerKey, TimerKind
from protocols.qnp.sketch import FULL, Memory, shaped, sketched
from protocols.qnp.states import CircuitInput, Do, Phase
from protocols.wire.codec import (
    CircuitFate,
    CircuitHop,
    Message,
    PairFate,
    PurifyScope,
    QnpDiscard,
    QnpInstall,
    QnpPurify,
    QnpPurifyAck,
    QnpTeardown,
    QnpTrack,
)

_NO_LIMIT: Final = 1 << 40

INPUTS: Final = {
    CircuitFate.FINISHED: CircuitInput.COMPLETE,
    CircuitFate.PREEMPTED: CircuitInput.PREEMPTED,
    CircuitFate.PEER_LOST: CircuitInput.PEER_LOST,
    CircuitFate.LINK_FAILED: CircuitInput.LINK_FAILED,
    CircuitFate.SILENT: CircuitInput.SILENT,
    CircuitFate.FIDELITY: CircuitInput.NO_PROMISE,
    CircuitFate.NO_MEMORY: CircuitInput.NO_MEMORY,
    CircuitFate.NO_REPEATER: CircuitInput.NO_MEMORY,
    CircuitFate.NO_RATE: CircuitInput.NO_RATE,
    CircuitFate.NOT_HERE: CircuitInput.NO_ROUTE,
    CircuitFate.IN_USE: CircuitInput.NO_ROUTE,
}
"""What a circuit's end is to its requests."""

FATES: Final = {
    CircuitInput.UNUSED: CircuitFate.FINISHED,
    CircuitInput.UP_LOST: CircuitFate.PEER_LOST,
    CircuitInput.DOWN_LOST: CircuitFate.PEER_LOST,
    CircuitInput.LINK_FAILED: CircuitFate.LINK_FAILED,
    CircuitInput.PREEMPTED: CircuitFate.PREEMPTED,
    CircuitInput.SILENT: CircuitFate.SILENT,
}
"""What this node tells the others of it."""


class Circuit:
    """`up` is the hop towards the head, None at the head; `down` the hop towards the tail, None at the tail."""

    def __init__(self, install: QnpInstall, up: CircuitId | None, down: CircuitId | None, shared: Shared) -> None:
        self.install = install
        self.up, self.down = up, down
        self.phase = Phase.OPENING
        self.fate, self.where = CircuitFate.FINISHED, shared.node
        self.demand: Demand | None = None
        self._shared = shared
        self.link_up = self.link_down = 0
        # The hop that leads here is `position` at every node but the head, whose Install is not sent yet.
        if up is not None:
            self.link_up = install.hops[install.position].link
        if down is not None:
            hop = self.hop_down
            self.link_down = hop.link
            ahead = MOST_AHEAD if len(install.hops) > 1 else _NO_LIMIT
            each = raw_pairs(hop.rounds, bool(install.pumping))
            self.demand = Demand(hop.link, down.label, hop.minimum_fidelity, each, ahead, shared.outputs)
        self._distillers: dict[int, Distiller] = {}
        for hop_id, link in ((up, self.link_up), (down, self.link_down)):
            rounds = next((hop.rounds for hop in install.hops if hop.link == link), 0)
            if hop_id is not None and rounds:
                leads = hop_id is down
                failed = partial(self._link_pair_died, leads)
                self._distillers[link] = Distiller(
                    install,
                    PurifyScope.LINK,
                    rounds,
                    leads,
                    hop_id,
                    shared,
                    self._link_pair_pure,
                    failed,
                    self._memories_at_link,
                    shared.facts.delays.get(link, 0),
                )

    # What node.py asks of it.

    @property
    def id(self) -> CircuitId:
        """Its first hop here."""
        circuit = self.up or self.down
        assert circuit is not None
        return circuit

    @property
    def ids(self) -> list[CircuitId]:
        return [hop for hop in (self.up, self.down) if hop is not None]

    @property
    def hop_down(self) -> CircuitHop:
        position = 0 if self.up is None else self.install.position + 1
        return self.install.hops[position]

    @property
    def tail(self) -> int:
        node: int = self.install.hops[-1].node
        return node

    @property
    def priority(self) -> int:
        priority: int = self.install.priority
        return priority

    def shown(self) -> dict[str, int | str]:
        """It, for people who look."""
        role = "head" if self.up is None else "tail" if self.down is None else "relay"
        return {
            "hop": f"{self.id.neighbour}:{self.id.label}",
            "head": self.install.head,
            "tail": self.tail,
            "role": role,
            "phase": self.phase.name,
            "pairs_wanted": 0 if self.demand is None else self.demand.wanted,
        }

    def beyond(self, neighbour: int) -> CircuitId | None:
        """The hop on the other side of this node."""
        return self.down if self.up is not None and neighbour == self.up.neighbour else self.up

    def side(self, circuit_id: CircuitId) -> bool:
        """Is it the hop towards the head?"""
        return circuit_id == self.up

    # What it is told; a subclass does the work.

    def take_half(self, pair: LinkPair, now: int) -> None:
        """The link layer made a pair: it is purified first, if the circuit says so."""
        if self.demand is not None and pair.link == self.link_down:
            self.demand.arrived()
        known = shaped(self._shared.facts.links.get(pair.link), pair.goodness / FULL)
        sketch = sketched(known.errors, pair.bell_index, known.leaning)
        distiller = self._distillers.get(pair.link)
        if distiller is None or self._is_void(pair.name):
            self._take_pure(pair._replace(sketch=sketch, since=now), now)
            return
        if distiller.leads and self.install.cutoff_ps:
            # Halves that wait for a second one could fill the memories of two circuits for ever.
            self._shared.timers.set(self._waits(pair.name), now + self.install.cutoff_ps)
        distiller.take(Stored(pair.link_sequence, pair.bell_index, pair.qubit, sketch, (now, now), pair), now)

    def take_discard(self, discard: QnpDiscard, now: int) -> None:
        """The neighbour gave up a pair."""
        name = LinkSequence(discard.link, discard.link_sequence)
        distiller = self._distillers.get(name.link)
        if distiller is not None:
            distiller.forget(name.number)
            if names := distiller.lose(name.number, now):
                hop = self.up if name.link == self.link_up else self.down
                assert hop is not None
                for number in names:
                    if number != name.number:  # the other node may not know that they belonged together
                        impure = PairFate.IMPURE
                        self._send(hop, QnpDiscard(hop.label, 0, name.link, number, impure))
                return
        self._discarded(discard, now)

    def expire(self, name: LinkSequence, now: int) -> None:
        """The link layer takes a pair back."""
        if not self._lose_raw(name, PairFate.EXPIRED, now):
            self._expired(name, now)

    def cutoff(self, name: LinkSequence, now: int) -> None:
        """A half has waited too long."""
        distiller = self._distillers.get(name.link)
        if distiller is not None and name.number in distiller:
            if distiller.is_free(name.number):
                self._lose_raw(name, PairFate.CUTOFF, now)
        else:
            self._cut_off(name, now)

    def take_purify(self, message: QnpPurify | QnpPurifyAck, source: int, now: int) -> None:
        """The node at the other end of a pair has done its part of a round."""
        link = self.link_up if self.up is not None and self.up.neighbour == source else self.link_down
        distiller = self._distillers.get(link)
        if distiller is None:
            return
        if isinstance(message, QnpPurify) and not distiller.leads:
            distiller.on_purify(message, now)
        elif isinstance(message, QnpPurifyAck) and distiller.leads:
            distiller.on_ack(message, now)

    def knows(self, name: LinkSequence) -> bool:
        """Has anything been heard of this link pair here?"""
        distiller = self._distillers.get(name.link)
        return self._has_record(name) or (distiller is not None and name.number in distiller)

    def _lose_raw(self, name: LinkSequence, fate: PairFate, now: int) -> bool:
        """Give up a pair that is being purified; False if it is none."""
        distiller = self._distillers.get(name.link)
        hop = self.up if name.link == self.link_up else self.down
        names = [] if distiller is None else distiller.lose(name.number, now)
        for number in names:
            assert hop is not None
            self._send(hop, QnpDiscard(hop.label, 0, name.link, number, fate))
        return bool(names)

    def _memories_at_link(self) -> tuple[Memory, Memory]:
        """What the halves of a link's pair wait in: the neighbour's is taken to be like this node's."""
        return self._shared.facts.memory, self._shared.facts.memory

    def _link_pair_pure(self, stored: Stored, order: Order, now: int) -> None:
        pair: LinkPair = stored.payload
        for part in (pair, *stored.parts):
            self._shared.timers.cancel(self._waits(part.name))
        sketch, (_, since) = stored.sketch, stored.since
        good = sketch.goodness(stored.index)
        self._take_pure(pair._replace(bell_index=stored.index, goodness=good, sketch=sketch, since=since), now)

    def _link_pair_died(self, leads: bool, stored: Stored, now: int) -> None:
        for part in (stored.payload, *stored.parts):
            self._shared.timers.cancel(self._waits(part.name))
        if leads:
            assert self.demand is not None
            self.demand.died(stored.raw)

    def _waits(self, name: LinkSequence) -> TimerKey:
        hop = self.up if name.link == self.link_up else self.down
        assert hop is not None
        return TimerKey(TimerKind.CUTOFF, hop, name)

    def _release_raw(self) -> None:
        """What is being purified goes with the circuit."""
        for distiller in self._distillers.values():
            for pair in distiller.payloads():
                self._shared.timers.cancel(self._waits(pair.name))
            distiller.release_all()

    # What a subclass does.

    def _take_pure(self, pair: LinkPair, now: int) -> None:
        raise NotImplementedError

    def _is_void(self, name: LinkSequence) -> bool:
        """Was it discarded before it came?"""
        raise NotImplementedError

    def _has_record(self, name: LinkSequence) -> bool:
        raise NotImplementedError

    def _discarded(self, discard: QnpDiscard, now: int) -> None:
        raise NotImplementedError

    def _expired(self, name: LinkSequence, now: int) -> None:
        raise NotImplementedError

    def _cut_off(self, name: LinkSequence, now: int) -> None:
        raise NotImplementedError

    def take_track(self, track: QnpTrack, now: int) -> None:
        """News of the chain that one of its pairs is the end of."""
        raise NotImplementedError

    def held_long(self, name: LinkSequence, now: int) -> None:
        """The hold of a mark has ended."""
        raise NotImplementedError

    def move(self, stimulus: CircuitInput, now: int) -> None:
        """One step of the circuit's table."""
        raise NotImplementedError

    # Actions that all have.

    def _act(self, action: Do, stimulus: CircuitInput) -> None:
        match action:
            case Do.ASK:
                assert self.demand is not None
                self.demand.open = True
                self.demand.ask()
            case Do.STOP:
                assert self.demand is not None
                self.demand.stop()
            case Do.TELL_UP | Do.TELL_DOWN:
                hop = self.up if action is Do.TELL_UP else self.down
                assert hop is not None
                self._set_fate(stimulus)
                self._send(hop, QnpTeardown(hop.label, self.where, self.fate))
            case _:
                raise AssertionError(f"{action} is not an action of a circuit")

    def _set_fate(self, stimulus: CircuitInput) -> None:
        if stimulus in FATES:
            self.fate, self.where = FATES[stimulus], self._shared.node

    def _closed(self) -> None:
        """Say so, and stop its clocks."""
        self._release_raw()
        self._shared.closed.append(self.id)
        for kind in (TimerKind.REFRESH, TimerKind.LIFETIME):
            self._shared.timers.cancel(TimerKey(kind, self.id))
        where = (self.id, self.install.head, self.install.number)
        self._shared.outputs.append(CircuitClosed(*where, self.fate, self.where))

    def _send(self, hop: CircuitId, message: Message) -> None:
        self._shared.send(hop.neighbour, message)


def raw_pairs(rounds: int, pumping: bool) -> int:
    """Pairs that one pair after so many rounds of purification is made of, if none fails."""
    return rounds + 1 if pumping else 1 << rounds
