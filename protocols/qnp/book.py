"""The circuits of a node: those that are there, those that are not yet there, and those that are there no more.

What may live here: the book of circuits by their hops here, and what came for a circuit before it was open.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from protocols.ignored import Ignored
from protocols.labels import LabelSpace
from protocols.pairs import ReleaseQubit
from protocols.qnp.circuit import Circuit, raw_pairs
from protocols.qnp.end import End
from protocols.qnp.promise import link_places
from protocols.qnp.service import CircuitId, InUse, LinkPair
from protocols.qnp.shared import Shared, TimerKey, TimerKind
from protocols.qnp.states import CircuitInput, Phase
from protocols.wire.codec import PairFate, QnpDiscard, QnpTrack

MAX_EARLY: Final = 256  # what is held for one circuit that is not open yet
LABEL_BITS: Final = 15  # the upper half of the purpose ids is for others who use the link layer

MANY: Final = 1 << 16  # memories, where their number is not known

type Early = LinkPair | QnpTrack | QnpDiscard
"""What may come for a circuit before it is open."""


class Book:
    """One per node."""

    def __init__(self, node: int, links: Mapping[int, int], shared: Shared) -> None:
        """links: number of each link that ends here -> the neighbour at its other end."""
        self.links = dict(sorted(links.items()))
        self.labels = {peer: LabelSpace(node, peer, LABEL_BITS) for peer in self.links.values()}
        self.circuits: dict[CircuitId, Circuit] = {}  # by each of its hops here
        self.early: dict[CircuitId, list[Early]] = {}
        self.on_swept: Callable[[End], None] = lambda _: None
        """Hears of each head that has taken a step: requests on it may have ended by themselves."""
        self._shared = shared

    # Circuits that are there.

    def each(self) -> list[Circuit]:
        """Every circuit once, in the order of their first hops here."""
        return [circuit for hop, circuit in self.circuits.items() if hop == circuit.id]

    def over(self, link: int) -> list[Circuit]:
        """Those for which this node asks a link for pairs."""
        return [circuit for circuit in self.each() if circuit.demand is not None and circuit.link_down == link]

    def memories(self) -> int:
        """Halves that the node can keep for one more circuit that ends here: each that does may keep some that wait for
        their next round of purification, and none would ever give up its own for another's."""
        ends = [circuit.install for circuit in self.each() if isinstance(circuit, End)]
        kept = sum(link_places(install.end_rounds, bool(install.pumping)) - 1 for install in ends)
        return (self._shared.facts.memories or MANY) - kept

    def enter(self, circuit: Circuit) -> None:
        """From now on it is there."""
        for hop in circuit.ids:
            self.circuits[hop] = circuit
            self._tell_use(hop.neighbour)

    def move(self, circuit: Circuit, stimulus: CircuitInput, now: int) -> None:
        """One step of a circuit's table."""
        circuit.move(stimulus, now)
        self.sweep(circuit)

    def sweep(self, circuit: Circuit) -> None:
        """Forget the circuit if its last step closed it."""
        if isinstance(circuit, End) and circuit.is_head:
            self.on_swept(circuit)
        if circuit.phase is Phase.CLOSED and circuit.id in self.circuits:
            for hop in circuit.ids:
                del self.circuits[hop]
                self._tell_use(hop.neighbour)
            if circuit.down is not None:
                self.labels[circuit.down.neighbour].give_back(circuit.down.label)

    def _tell_use(self, neighbour: int) -> None:
        circuits = sum(1 for hop in self.circuits if hop.neighbour == neighbour)
        self._shared.outputs.append(InUse(neighbour, circuits))

    # Those that are not yet there, or there no more.

    def is_past(self, circuit_id: CircuitId) -> bool:
        """Is a circuit that is not known here closed, rather than not open yet?"""
        return self.labels[circuit_id.neighbour].is_past(circuit_id.label)

    def without_circuit(self, circuit_id: CircuitId, item: Early, now: int) -> None:
        """Something has come for a circuit that is not there."""
        early = self.early.get(circuit_id, [])
        if self.is_past(circuit_id):
            self.release(circuit_id, [item], tell=False)
        elif len(early) == MAX_EARLY:
            self.release(circuit_id, [item], tell=True)
        else:  # QNP-6
            if not early:
                self.early[circuit_id] = early
                self._shared.timers.set(TimerKey(TimerKind.EARLY, circuit_id), now + self._shared.hold_ps)
            early.append(item)

    def take_early(self, circuit_id: CircuitId) -> list[Early]:
        """What has come for a circuit before it, in order; it is held no more."""
        self._shared.timers.cancel(TimerKey(TimerKind.EARLY, circuit_id))
        return self.early.pop(circuit_id, [])

    def release(self, circuit_id: CircuitId, items: Sequence[Early], tell: bool) -> None:
        """Give up link pairs that found no circuit; `tell` the peer if it may have one."""
        peer, label = circuit_id
        for item in items:
            if isinstance(item, LinkPair):
                self._shared.outputs.append(ReleaseQubit(item.qubit))
                if tell:
                    self._shared.send(peer, QnpDiscard(label, 0, *item.name, PairFate.UNKNOWN))

    def ignore(self, source: int, message: NamedTuple, reason: str) -> None:
        """A message that changes nothing is reported."""
        self._shared.outputs.append(Ignored(source, type(message).__name__, reason))


def load(circuit: Circuit) -> int:
    """What a circuit has been promised of the link away from its head, in pairs per 1,000 s."""
    promised: int = circuit.install.pairs_per_ks * raw_pairs(circuit.hop_down.rounds, bool(circuit.install.pumping))
    return promised
