"""QNP, the network layer: requests, circuits, pairs tracked until both ends hold them.  QNP-n: qnp.toml.

Only the rules of the two ends of a circuit live here, and for now a circuit is one link long: the neighbour
of an end is the other end.  The service upward is the one for many hops.  service.py has what passes
between the layers, states.py the states and their tables, circuit.py one end of one circuit; this
file has the node's circuits.

Theory of operation.  The head names a circuit by a label and announces a request with Forward; the tail
accepts it if somebody listens for its purpose.  Then the head asks its link layer for pairs, with the label
as the link's purpose id.  Both ends learn of each link pair by themselves, at different times, and say so in
a Track.  A pair goes upward at an end when that end holds its half and the other end's Track is there: both
then know the same (head, pair_id) and Bell index, and a half whose partner never came to be is never handed
out.

Labels are of the hop: (neighbour, label).  They rise, and Forwards stay in order (this protocol travels over
the reliable sublayer), so an unknown label of the peer is either not open yet, and what comes for it is held
a while, or is older than its newest, and then it is closed and its pairs are released.
"""

from collections.abc import Mapping
from itertools import count, cycle
from typing import NamedTuple

from protocols.holds import Holds
from protocols.ignored import Ignored
from protocols.labels import LabelSpace
from protocols.machine import Output, Send
from protocols.pairs import ReleaseQubit
from protocols.qnp.circuit import CircuitEnd, HoldKey, LinkSequence, Request
from protocols.qnp.service import CircuitId, LinkPair, RequestEnded
from protocols.qnp.states import CircuitInput, Phase
from protocols.wire.codec import (
    EgpError,
    EgpKind,
    QnpComplete,
    QnpDiscard,
    QnpForward,
    QnpForwardAck,
    QnpTrack,
)

HOLD_PS = 10_000_000_000  # 10 ms: more than a round trip over 900 km, more than two ends' heralds are apart
MAX_EARLY = 256  # what is held for one circuit that is not open yet
_LABEL_BITS = 16

type _Early = LinkPair | QnpTrack | QnpDiscard


class Qnp:
    """Both ends of QNP for one node."""

    def __init__(self, node: int, links: Mapping[int, int], hold_ps: int = HOLD_PS) -> None:
        """links: number of each link that ends here -> the neighbour at its other end."""
        self._node = node
        self._links = dict(sorted(links.items()))
        self._labels = {peer: LabelSpace(node, peer, _LABEL_BITS) for peer in self._links.values()}
        self._outputs: list[Output] = []
        self._holds: Holds[HoldKey] = Holds(hold_ps)
        self._listening: set[tuple[int, int | None]] = set()  # (purpose, head or any)
        self._circuits: dict[CircuitId, CircuitEnd] = {}
        self._requests: dict[int, CircuitEnd] = {}  # this node's own
        self._early: dict[CircuitId, list[_Early]] = {}
        self._request_numbers = count(1)
        self._pair_ids = cycle(range(1, 1 << 32))  # over all circuits: (head, pair_id) alone names a pair

    # The service upward.

    def listen(self, purpose: int, head: int | None = None) -> None:
        """Accept requests for this purpose, of one head or of any."""
        self._listening.add((purpose, head))

    def unlisten(self, purpose: int, head: int | None = None) -> None:
        """Take back `listen` with the same arguments; open circuits stay."""
        self._listening.discard((purpose, head))

    def request(self, destination: int, purpose: int, number: int, minimum_fidelity: int, now: int) -> int:
        """Ask for `number` pairs with `destination`; 0: as many as `want` will say, until `finish`.

        Returns the number of the request, which every event about it carries; RequestEnded always comes.
        """
        request = Request(next(self._request_numbers), self._node, purpose, number, minimum_fidelity)
        link = next((link for link, peer in self._links.items() if peer == destination), None)
        label = None if link is None else self._labels[destination].take()
        if link is None or label is None:
            where = (CircuitId(destination, 0), request.number, self._node, destination, purpose)
            self._outputs.append(RequestEnded(*where, 0, CircuitInput.NO_ROUTE, None))
            return request.number
        circuit = self._add_circuit(CircuitId(destination, label), link, request)
        self._requests[request.number] = circuit
        kept = EgpKind.KEEP
        forward = QnpForward(
            label, request.number, self._node, destination, kept, number, minimum_fidelity, purpose
        )
        self._send(destination, forward)  # QNP-1
        return request.number

    def want(self, request: int, number: int, now: int) -> None:
        """`number` more pairs for an open-ended request of this node; one that has ended gets none."""
        circuit = self._requests.get(request)
        if circuit is None:
            return
        if circuit.request.pairs:
            raise ValueError(f"request {request} asked for a fixed number of pairs")
        circuit.want(number)

    def finish(self, request: int, now: int) -> None:
        """End a request of this node: undelivered pairs are released.  One that has ended is no error."""
        if (circuit := self._requests.get(request)) is not None:
            self._move(circuit, CircuitInput.FINISHED)

    # From the link layer.

    def link_pair(self, pair: LinkPair, now: int) -> None:
        """This end's half of a link pair is ready."""
        circuit_id = CircuitId(self._links[pair.link], pair.purpose)
        circuit = self._circuits.get(circuit_id)
        if circuit is None:
            self._without_circuit(circuit_id, pair, now)
        else:
            circuit.take_half(pair, now)
            self._sweep(circuit)

    def link_expired(self, link: int, link_sequence: int, now: int) -> None:
        """The link layer takes back a pair (its ERR EXPIRE), or will never have it."""
        name = LinkSequence(link, link_sequence)
        for circuit in [c for c in self._circuits.values() if c.knows(name)]:
            circuit.expire(name, now)
        for circuit_id, early in self._early.items():
            expired: list[_Early] = [
                i for i in early if isinstance(i, LinkPair) and (i.link, i.link_sequence) == name
            ]
            early[:] = [i for i in early if i not in expired]
            self._release(circuit_id, expired, tell=True)

    def link_failed(self, link: int, purpose: int, error: EgpError, now: int) -> None:
        """The link layer gave up: after EXPIRE the rest is asked for anew, else the request ends.

        The head acts; at the tail this is no news, it hears of it in Complete.
        """
        circuit = self._circuits.get(CircuitId(self._links[link], purpose))
        if circuit is not None and circuit.is_head:
            circuit.link_ended(error)
            self._sweep(circuit)

    # The machine.

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        if source not in self._labels:
            self._ignore(source, message, "not a neighbour")
            return
        match message:
            case QnpTrack() | QnpDiscard():
                self._on_pair_message(message, source, now)
            case QnpForward():
                self._on_forward(message, source, now)
            case QnpForwardAck():
                self._on_forward_ack(message, source)
            case QnpComplete():
                self._on_complete(message, source)
            case _:
                raise TypeError(f"{type(message).__name__} is not a message of QNP")

    def peer_lost(self, peer: int, now: int) -> None:
        """The neighbour is gone, or has started anew: all that was shared with it is void."""
        for circuit in [c for c in self._circuits.values() if c.id.neighbour == peer]:
            self._move(circuit, CircuitInput.PEER_LOST)  # QNP-10
        for circuit_id in [c for c in self._early if c.neighbour == peer]:
            self._release(circuit_id, self._take_early(circuit_id), tell=False)
        self._labels[peer].peer_starts_anew()

    def poll(self, now: int) -> list[Output]:
        for circuit_id, name in self._holds.take_due(now):
            if name is None:
                self._release(circuit_id, self._early.pop(circuit_id), tell=True)
            else:
                self._circuits[circuit_id].held_long(name, now)
        outputs = self._outputs.copy()
        self._outputs.clear()  # the circuits write to this very list
        return outputs

    def next_timeout(self) -> int | None:
        return self._holds.next_due()

    # Messages.

    def _on_forward(self, message: QnpForward, source: int, now: int) -> None:
        circuit_id = CircuitId(source, message.circuit)
        error = None
        if circuit_id in self._circuits or self._labels[source].owns(message.circuit):
            error = EgpError.CREATE
        elif message.tail != self._node or message.head != source:
            error = EgpError.OTHER  # a circuit ends at the neighbour, for now
        elif message.kind != EgpKind.KEEP:  # QNP-2
            error = EgpError.UNSUPP
        elif not self._listening & {(message.purpose, message.head), (message.purpose, None)}:
            error = EgpError.REJECTED
        self._send(source, QnpForwardAck(message.circuit, message.request, int(error is None), error or 0))
        if error is EgpError.CREATE:
            return  # the label is another circuit's
        self._labels[source].peer_took(message.circuit)
        early = self._take_early(circuit_id)
        if error is not None:
            self._release(circuit_id, early, tell=False)
            return
        request = Request(message.request, source, message.purpose, message.pairs, message.minimum_fidelity)
        link = next(link for link, peer in self._links.items() if peer == source)
        self._add_circuit(circuit_id, link, request).move(CircuitInput.ACCEPTED)
        for item in early:
            if isinstance(item, LinkPair):
                self.link_pair(item, now)
            else:
                self._on_pair_message(item, source, now)

    def _on_forward_ack(self, message: QnpForwardAck, source: int) -> None:
        circuit = self._circuits.get(CircuitId(source, message.circuit))
        if circuit is None and self._is_past(CircuitId(source, message.circuit)):
            return  # finished before the answer came
        if circuit is None or not circuit.is_head or circuit.phase is not Phase.OPENING:
            self._ignore(source, message, "answers nothing")
        elif message.accepted:
            self._move(circuit, CircuitInput.ACCEPTED)
        else:
            circuit.error = EgpError(message.error) if message.error in set(EgpError) else EgpError.OTHER
            self._move(circuit, CircuitInput.REFUSED)

    def _on_complete(self, message: QnpComplete, source: int) -> None:
        circuit = self._circuits.get(CircuitId(source, message.circuit))
        if circuit is not None and not circuit.is_head:
            self._move(circuit, CircuitInput.COMPLETE)
        elif circuit is not None or not self._is_past(CircuitId(source, message.circuit)):
            self._ignore(source, message, "no such circuit")  # one that was refused may still be finished

    def _on_pair_message(self, message: QnpTrack | QnpDiscard, source: int, now: int) -> None:
        circuit_id = CircuitId(source, message.circuit)
        circuit = self._circuits.get(circuit_id)
        if self._links.get(message.link) != source:
            self._ignore(source, message, "not a link to the sender")
        elif circuit is None:
            self._without_circuit(circuit_id, message, now)
        elif isinstance(message, QnpDiscard):
            circuit.take_discard(message, now)
        elif not circuit.is_head and message.pair_id == 0:
            self._ignore(source, message, "the head gave no pair id")
        else:
            circuit.take_track(message, now)
            self._sweep(circuit)

    # Circuits that are there, not yet there, and there no more.

    def _add_circuit(self, circuit_id: CircuitId, link: int, request: Request) -> CircuitEnd:
        is_head = request.head == self._node
        circuit = CircuitEnd(circuit_id, link, request, is_head, self._outputs, self._holds, self._pair_ids)
        self._circuits[circuit_id] = circuit
        return circuit

    def _move(self, circuit: CircuitEnd, stimulus: CircuitInput) -> None:
        circuit.move(stimulus)
        self._sweep(circuit)

    def _sweep(self, circuit: CircuitEnd) -> None:
        """Forget the circuit if its last step closed it."""
        if circuit.phase is Phase.CLOSED:
            del self._circuits[circuit.id]
            if circuit.is_head:
                del self._requests[circuit.request.number]
                self._labels[circuit.id.neighbour].give_back(circuit.id.label)

    def _without_circuit(self, circuit_id: CircuitId, item: _Early, now: int) -> None:
        early = self._early.get(circuit_id, [])
        if self._is_past(circuit_id):
            self._release(circuit_id, [item], tell=False)
        elif len(early) == MAX_EARLY:
            self._release(circuit_id, [item], tell=True)
        else:  # QNP-6
            if not early:
                self._early[circuit_id] = early
                self._holds.put((circuit_id, None), now)
            early.append(item)

    def _is_past(self, circuit_id: CircuitId) -> bool:
        """Is a circuit that is not known here closed, rather than not open yet?"""
        return self._labels[circuit_id.neighbour].is_past(circuit_id.label)

    def _take_early(self, circuit_id: CircuitId) -> list[_Early]:
        self._holds.drop((circuit_id, None))
        return self._early.pop(circuit_id, [])

    def _release(self, circuit_id: CircuitId, items: list[_Early], tell: bool) -> None:
        """Give up link pairs that found no circuit; `tell` the peer if it may have one."""
        peer, label = circuit_id
        for item in items:
            if isinstance(item, LinkPair):
                self._outputs.append(ReleaseQubit(item.qubit))
                if tell:
                    self._send(peer, QnpDiscard(label, 0, item.link, item.link_sequence))

    def _send(self, destination: int, message: QnpForward | QnpForwardAck | QnpDiscard) -> None:
        self._outputs.append(Send(destination, message, reliable=True))

    def _ignore(self, source: int, message: NamedTuple, reason: str) -> None:
        self._outputs.append(Ignored(source, type(message).__name__, reason))
