"""Setting circuits up, at the nodes on the way and at the tail: who is admitted, and who has to go for it.

What may live here: what a node makes of an Install.
"""

from collections.abc import Callable, Mapping
from typing import Final

from protocols.qnp.book import LABEL_BITS, Book, Early, load
from protocols.qnp.circuit import Circuit, raw_pairs
from protocols.qnp.end import End
from protocols.qnp.promise import UNKNOWN, end_places, link_places
from protocols.qnp.relay import Relay
from protocols.qnp.service import CircuitId, CircuitOpened
from protocols.qnp.shared import Shared, TimerKey, TimerKind
from protocols.qnp.states import CircuitInput
from protocols.routes import Offer
from protocols.wire.codec import CircuitFate, QnpInstall, QnpTeardown

LIFETIME: Final = 3  # periods of Refresh


class Admission:
    """Of one node; `fail(circuit, PREEMPTED, now)` ends a circuit that has to go."""

    def __init__(
        self,
        book: Book,
        shared: Shared,
        offers: Mapping[int, Offer],
        fail: Callable[[Circuit, CircuitInput, int], None],
    ) -> None:
        """offers: what each link of this node can do."""
        self.offers = dict(offers)
        self._book, self._shared, self._fail = book, shared, fail

    def on_install(self, message: QnpInstall, source: int, now: int) -> list[Early]:
        """Take part or refuse; what came for the circuit before it is returned if it is there now."""
        book, node = self._book, self._shared.node
        up = CircuitId(source, message.circuit)
        foreign = message.circuit >> LABEL_BITS != 0  # a purpose id of somebody else's
        if foreign or up in book.circuits or book.labels[source].owns(message.circuit):
            self._shared.send(source, QnpTeardown(message.circuit, node, CircuitFate.IN_USE))
            return []  # the label is another circuit's
        book.labels[source].peer_took(message.circuit)
        early = book.take_early(up)
        refusal = self._refusal(message, source)
        if refusal is not None:  # QNP-12
            self._shared.send(source, QnpTeardown(message.circuit, node, refusal))
            book.release(up, early, tell=False)
            return []
        circuit: Circuit
        if message.position == len(message.hops) - 1:
            circuit = End(message, up, None, self._shared)
            self._admit(circuit)
            book.move(circuit, CircuitInput.INSTALLED, now)
        else:
            onward = message.hops[message.position + 1]
            self._make_room(message, onward.link, now)
            label = book.labels[onward.node].take()
            if label is None:
                self._shared.send(source, QnpTeardown(message.circuit, node, CircuitFate.IN_USE))
                book.release(up, early, tell=False)
                return []
            circuit = Relay(message, up, CircuitId(onward.node, label), self._shared)
            self._admit(circuit)
            self._shared.send(onward.node, message._replace(circuit=label, position=message.position + 1))
        self.heard_of(circuit, now)
        return early

    def heard_of(self, circuit: Circuit, now: int) -> None:
        """The head still uses it: it has a lifetime from now on."""
        if len(circuit.install.hops) > 1 and circuit.install.refresh_ps:
            due = now + LIFETIME * circuit.install.refresh_ps
            self._shared.timers.set(TimerKey(TimerKind.LIFETIME, circuit.id), due)

    def _admit(self, circuit: Circuit) -> None:
        self._book.enter(circuit)
        opened = CircuitOpened(circuit.id, circuit.install.head, circuit.install.number)
        self._shared.outputs.append(opened)

    def _refusal(self, message: QnpInstall, source: int) -> CircuitFate | None:
        """Why this node takes no part in the circuit, or None."""
        links = self._book.links
        position, hops = message.position, message.hops
        here = position < len(hops) and hops[position].node == self._shared.node
        if not here or links.get(hops[position].link) != source:
            return CircuitFate.NOT_HERE
        pumping = bool(message.pumping)
        if position == len(hops) - 1:
            needed = end_places(hops[position].rounds, message.end_rounds, pumping)
            return CircuitFate.NO_MEMORY if self._book.memories() < needed else None
        onward = hops[position + 1]
        if links.get(onward.link) != onward.node or onward.node == source:
            return CircuitFate.NOT_HERE
        if not self._shared.facts.swaps:
            return CircuitFate.NO_REPEATER
        if 0 < self._shared.facts.memories < max(link_places(hop.rounds, pumping) for hop in (hops[position], onward)):
            return CircuitFate.NO_MEMORY
        offer = self.offers.get(onward.link, UNKNOWN)
        if onward.minimum_fidelity > offer.fidelity:
            return CircuitFate.FIDELITY
        needed = message.pairs_per_ks * raw_pairs(onward.rounds, bool(message.pumping))
        if needed > offer.pairs_per_ks:
            return CircuitFate.NO_RATE
        if needed and needed > offer.pairs_per_ks - sum(
            load(circuit) for circuit in self._book.over(onward.link) if circuit.priority >= message.priority
        ):
            return CircuitFate.NO_RATE
        if message.pairs_per_ks and offer.memories <= sum(
            1
            for circuit in self._book.over(onward.link)
            if circuit.install.pairs_per_ks and circuit.priority >= message.priority
        ):
            return CircuitFate.NO_MEMORY
        return None

    def _make_room(self, message: QnpInstall, link: int, now: int) -> None:
        """End circuits of lower priority, the lowest first, until the rate and the memories are there (QNP-14)."""
        if not message.pairs_per_ks:
            return
        offer = self.offers.get(link, UNKNOWN)
        needed = message.pairs_per_ks * raw_pairs(message.hops[message.position + 1].rounds, bool(message.pumping))
        victims = sorted(
            (c for c in self._book.over(link) if c.install.pairs_per_ks and c.priority < message.priority),
            key=lambda circuit: circuit.priority,
        )
        for victim in victims:
            promised = [circuit for circuit in self._book.over(link) if circuit.install.pairs_per_ks]
            fits = needed + sum(map(load, promised)) <= offer.pairs_per_ks and len(promised) < offer.memories
            if fits:
                return
            self._fail(victim, CircuitInput.PREEMPTED, now)
