"""A circuit at one of its nodes: what an end and a repeater have in common.  Which circuits there are, node.py knows.

What may live here: the hops of a circuit, its demand on the link away from the head, and its end.
"""

from typing import Final

from protocols.qnp.demand import MOST_AHEAD, Demand
from protocols.qnp.service import CircuitClosed, CircuitId, LinkPair, LinkSequence
from protocols.qnp.shared import Shared, TimerKey, TimerKind
from protocols.qnp.states import CircuitInput, Do, Phase
from protocols.wire.codec import CircuitFate, CircuitHop, Message, QnpDiscard, QnpInstall, QnpTeardown, QnpTrack

_NO_LIMIT: Final = 1 << 40

INPUTS: Final = {
    CircuitFate.FINISHED: CircuitInput.COMPLETE,
    CircuitFate.PREEMPTED: CircuitInput.PREEMPTED,
    CircuitFate.PEER_LOST: CircuitInput.PEER_LOST,
    CircuitFate.LINK_FAILED: CircuitInput.LINK_FAILED,
    CircuitFate.SILENT: CircuitInput.SILENT,
}
"""What a circuit's end is to its requests; every other fate is NO_PROMISE."""

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

    def beyond(self, neighbour: int) -> CircuitId | None:
        """The hop on the other side of this node."""
        return self.down if self.up is not None and neighbour == self.up.neighbour else self.up

    def side(self, circuit_id: CircuitId) -> bool:
        """Is it the hop towards the head?"""
        return circuit_id == self.up

    # What it is told; a subclass does the work.

    def take_half(self, pair: LinkPair, now: int) -> None:
        """The link layer made a pair."""
        raise NotImplementedError

    def take_track(self, track: QnpTrack, now: int) -> None:
        """News of the chain that one of its pairs is the end of."""
        raise NotImplementedError

    def take_discard(self, discard: QnpDiscard, now: int) -> None:
        """The neighbour gave up a pair."""
        raise NotImplementedError

    def expire(self, name: LinkSequence, now: int) -> None:
        """The link layer takes a pair back."""
        raise NotImplementedError

    def held_long(self, name: LinkSequence, now: int) -> None:
        """The hold of a mark has ended."""
        raise NotImplementedError

    def knows(self, name: LinkSequence) -> bool:
        """Has anything been heard of this link pair here?"""
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
        for kind in (TimerKind.REFRESH, TimerKind.LIFETIME):
            self._shared.timers.cancel(TimerKey(kind, self.id))
        where = (self.id, self.install.head, self.install.number)
        self._shared.outputs.append(CircuitClosed(*where, self.fate, self.where))

    def _send(self, hop: CircuitId, message: Message) -> None:
        self._shared.send(hop.neighbour, message)


def raw_pairs(rounds: int, pumping: bool) -> int:
    """Pairs that one pair after so many rounds of purification is made of, if none fails."""
    return rounds + 1 if pumping else 1 << rounds
