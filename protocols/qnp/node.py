"""QNP, the network layer: circuits over many hops, and pairs tracked until both ends hold them.  QNP-n: qnp.toml.

Theory of operation.  The head asks for ways to the other end (protocols.routes), works out what every hop
must do to keep the promise (promise.py), and sends an Install along the route.  Each node admits the circuit
or refuses it, names its next hop by a label of its own, and passes the Install on; the tail answers Installed,
which retraces the way.  Right behind the Install comes a Forward for each request.  Several requests with one
node share a circuit.  Circuits are soft state: the head refreshes them, and whoever hears nothing for three
periods forgets them.  Teardown travels from wherever a circuit ends, both ways; a head that has requests left
tries another way, or waits for one (trouble.py).

On every hop the node nearer to the head asks its link layer for pairs, with the hop's label as the link's
purpose id.  Repeaters swap (relay.py); ends track (end.py): each sends a Track as soon as it holds a half, each
repeater passes it on past its swap, with the swap's outcome folded into the Bell index.  A pair goes upward at
an end when that end holds its half and the other end's Track is there: both then know the same (head, pair_id)
and Bell index.  Where a chain breaks, Discards run both ways along it and free what it held.

The circuits of the node are kept in book.py; asking.py sets them up at their heads, admission.py admits them elsewhere.

Labels are of the hop: (neighbour, label).  They rise, and messages stay in order (this protocol travels over
the reliable sublayer), so an unknown label of the peer is either not open yet, and what comes for it is held
a while, or is older than its newest, and then it is closed and its pairs are released.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from protocols.machine import Output
from protocols.qnp.admission import Admission
from protocols.qnp.asking import Asking
from protocols.qnp.book import Book, Early, load
from protocols.qnp.end import End
from protocols.qnp.promise import Wishes
from protocols.qnp.relay import Relay
from protocols.qnp.requests import Request
from protocols.qnp.service import KEPT, CircuitId, Delivery, LinkPair, LinkSequence
from protocols.qnp.shared import NodeFacts, Shared, TimerKey, TimerKind, older
from protocols.qnp.states import CircuitInput, Phase
from protocols.routes import Offer, Routes
from protocols.wire.codec import (
    CircuitFate,
    EgpBases,
    EgpError,
    PairKind,
    PurifyScope,
    QnpClaim,
    QnpComplete,
    QnpDiscard,
    QnpForward,
    QnpForwardAck,
    QnpInstall,
    QnpInstalled,
    QnpOutcome,
    QnpPurify,
    QnpPurifyAck,
    QnpReach,
    QnpRefresh,
    QnpTeardown,
    QnpTrack,
    QnpWant,
)

HOLD_PS: Final = 10_000_000_000  # 10 ms: more than a round trip over 900 km, more than two ends' heralds are apart

type _About = QnpForward | QnpForwardAck | QnpComplete | QnpRefresh | QnpWant | QnpClaim
type _Data = QnpTrack | QnpDiscard | QnpReach | QnpPurify | QnpPurifyAck | QnpOutcome


class Qnp:
    """QNP for one node, whatever it is to each circuit."""

    def __init__(
        self,
        node: int,
        links: Mapping[int, int],
        hold_ps: int = HOLD_PS,
        routes: Routes | None = None,
        facts: NodeFacts | None = None,
        offers: Mapping[int, Offer] | None = None,
        wishes: Wishes | None = None,
        patience_ps: int = 0,
    ) -> None:
        """links: number of each link that ends here -> the neighbour at its other end; offers: what each can do.

        patience_ps: how long a request that has no time of its own waits for a way, where ways come and go.
        """
        self._shared = Shared(node, facts or NodeFacts(), hold_ps)
        self._book = book = Book(node, links, self._shared)
        self._asking = Asking(book, self._shared, routes, wishes or Wishes(), patience_ps)
        self._admission = Admission(book, self._shared, offers or {}, self._asking.fail)
        self._links, self._circuits = book.links, book.circuits
        self._listening: dict[tuple[int, int | None], Collection[PairKind]] = {}  # by (purpose, head or any)

    # The service upward.

    def listen(self, purpose: int, head: int | None = None, kinds: Collection[PairKind] = (PairKind.KEEP,)) -> None:
        """Accept requests of these kinds for this purpose, of one head or of any."""
        self._listening[purpose, head] = kinds

    def unlisten(self, purpose: int, head: int | None = None) -> None:
        """Take back `listen` with the same arguments; open requests stay."""
        self._listening.pop((purpose, head), None)

    def request(
        self,
        destination: int,
        purpose: int,
        number: int,
        minimum_fidelity: int,
        now: int,
        priority: int = 0,
        pairs_per_ks: int = 0,
        max_time_ps: int = 0,
        delivery: Delivery = KEPT,
    ) -> int:
        """Ask for `number` pairs with `destination`; 0: as many as `want` will say, until `finish`.

        pairs_per_ks: a rate that every link must have left.  max_time_ps: after it the request ends, 0: never.
        Returns the number of the request, which every event about it carries; RequestEnded always comes.
        Raises ValueError if the delivery contradicts itself.
        """
        what = (destination, purpose, number, minimum_fidelity)
        return self._asking.request(*what, now, priority, pairs_per_ks, max_time_ps, delivery)

    def want(self, request: int, number: int, now: int) -> None:
        """`number` more pairs for an open-ended request of this node; one that has ended gets none."""
        self._asking.want(request, number, now)

    def routes_changed(self, now: int, lasts: Callable[[int], bool]) -> None:
        """Ways may have come or gone; `lasts` says of a link whether it is up, and the same since the last call.

        Who waits for a way tries again (QNP-17).  A link that does not last counts as new: that a request failed on it
        before is forgotten.
        """
        self._asking.routes_changed(now, lasts)

    def finish(self, request: int, now: int) -> None:
        """End a request of this node: undelivered pairs are released.  One that has ended is no error."""
        self._asking.end(request, CircuitInput.FINISHED, now)

    def promised(self, link: int) -> int:
        """Pairs in 1,000 s that circuits have been promised on a link of this node."""
        return sum(load(circuit) for circuit in self._book.over(link))

    def learned(self, link: int, fidelity: int) -> None:
        """What is believed of a link of this node by now."""
        offers = self._admission.offers
        if link in offers:
            offers[link] = offers[link]._replace(fidelity=fidelity)

    # From the link layer and the devices.

    def link_pair(self, pair: LinkPair, now: int) -> None:
        """This end's half of a link pair is ready."""
        circuit_id = CircuitId(self._links[pair.link], pair.purpose)
        circuit = self._circuits.get(circuit_id)
        if circuit is None:
            self._book.without_circuit(circuit_id, pair, now)
        else:
            circuit.take_half(pair, now)
            self._book.sweep(circuit)

    def link_expired(self, link: int, link_sequence: int, now: int) -> None:
        """The link layer takes back a pair (its ERR EXPIRE), or will never have it."""
        name = LinkSequence(link, link_sequence)
        for circuit in self._book.each():
            if circuit.knows(name):
                circuit.expire(name, now)
        for circuit_id, early in self._book.early.items():
            expired: list[Early] = [i for i in early if isinstance(i, LinkPair) and i.name == name]
            early[:] = [i for i in early if i not in expired]
            self._book.release(circuit_id, expired, tell=True)

    def link_failed(self, link: int, purpose: int, error: EgpError, pairs: int, now: int) -> None:
        """The link layer will not make so many pairs: after EXPIRE they are asked for anew, else the circuit ends.

        The node that asked acts; at the other this is no news.
        """
        circuit = self._circuits.get(CircuitId(self._links[link], purpose))
        if circuit is None or circuit.demand is None or circuit.link_down != link:
            return
        if error is EgpError.EXPIRE and circuit.demand.will_not_come(pairs):
            return  # it dropped the request along with the pairs; the circuit lives on
        if isinstance(circuit, End):
            for request in circuit.requests.values():
                request.error = error
        self._asking.fail(circuit, CircuitInput.LINK_FAILED, now)

    def ran(self, number: int, bits: tuple[int, ...], now: int) -> None:
        """What RunProgram measured."""
        self._shared.closed.clear()
        self._shared.ran(number, bits, now)
        for circuit_id in self._shared.closed:
            if (circuit := self._circuits.get(circuit_id)) is not None:
                self._book.sweep(circuit)  # it has ended with its last pair

    # The machine.

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        if source not in self._book.labels:
            self._book.ignore(source, message, "not a neighbour")
            return
        match message:
            case QnpTrack() | QnpDiscard() | QnpReach() | QnpPurify() | QnpPurifyAck() | QnpOutcome():
                self._on_pair_message(message, source, now)
            case QnpInstall():
                self._on_install(message, source, now)
            case QnpInstalled():
                self._on_installed(message, source, now)
            case QnpTeardown():
                self._on_teardown(message, source, now)
            case QnpForward() | QnpForwardAck() | QnpComplete() | QnpRefresh() | QnpWant() | QnpClaim():
                self._on_request_message(message, source, now)
            case _:
                raise TypeError(f"{type(message).__name__} is not a message of QNP")

    def peer_lost(self, peer: int, now: int) -> None:
        """A node is gone, or has started anew: all that was shared with it, if it is a neighbour, is void."""
        if peer not in self._book.labels:
            return  # such as a switch, to which other layers speak
        for circuit in self._book.each():
            if circuit.phase is Phase.CLOSED:
                continue
            if circuit.up is not None and circuit.up.neighbour == peer:
                self._book.move(circuit, CircuitInput.UP_LOST, now)  # QNP-10
            elif circuit.down is not None and circuit.down.neighbour == peer:
                self._asking.fail(circuit, CircuitInput.DOWN_LOST, now)
        for circuit_id in [c for c in self._book.early if c.neighbour == peer]:
            self._book.release(circuit_id, self._book.take_early(circuit_id), tell=False)
        self._book.labels[peer].peer_starts_anew()

    def poll(self, now: int) -> list[Output]:
        for key in self._shared.timers.take_due(now):
            self._due(key, now)
        self._shared.closed.clear()
        outputs = self._shared.outputs.copy()
        self._shared.outputs.clear()  # the circuits write to this very list
        return outputs

    def next_timeout(self) -> int | None:
        return self._shared.timers.next()

    def _due(self, key: TimerKey, now: int) -> None:
        if key.kind is TimerKind.EARLY:
            self._book.release(key.circuit, self._book.early.pop(key.circuit), tell=True)
            return
        if self._asking.due(key, now):
            return
        circuit = self._circuits[key.circuit]
        match key.kind:
            case TimerKind.HOLD:
                assert key.pair is not None
                circuit.held_long(key.pair, now)
            case TimerKind.CUTOFF:
                assert key.pair is not None
                circuit.cutoff(key.pair, now)
            case TimerKind.BANK:
                assert key.pair is not None
                assert isinstance(circuit, End)
                circuit.aged(key.pair, now)
            case TimerKind.REFRESH:
                self._shared.send(circuit.id.neighbour, QnpRefresh(circuit.id.label))
                self._shared.timers.set(key, now + circuit.install.refresh_ps)
            case TimerKind.LIFETIME:
                self._book.move(circuit, CircuitInput.SILENT, now)

    # Circuits.

    def _on_install(self, message: QnpInstall, source: int, now: int) -> None:
        for item in self._admission.on_install(message, source, now):
            if isinstance(item, LinkPair):
                self.link_pair(item, now)
            else:
                self._on_pair_message(item, source, now)

    def _on_installed(self, message: QnpInstalled, source: int, now: int) -> None:
        circuit_id = CircuitId(source, message.circuit)
        circuit = self._circuits.get(circuit_id)
        if circuit is None and self._book.is_past(circuit_id):
            return  # torn down before the answer came
        if circuit is None or circuit.side(circuit_id) or circuit.phase is not Phase.OPENING:
            self._book.ignore(source, message, "answers nothing")
        else:
            self._book.move(circuit, CircuitInput.INSTALLED, now)

    def _on_teardown(self, message: QnpTeardown, source: int, now: int) -> None:
        circuit_id = CircuitId(source, message.circuit)
        circuit = self._circuits.get(circuit_id)
        if circuit is None:
            if not self._book.is_past(circuit_id):
                self._book.ignore(source, message, "no such circuit")
            return
        circuit.fate, circuit.where = CircuitFate(message.fate), message.node
        if circuit.side(circuit_id):
            self._book.move(circuit, CircuitInput.FROM_UP, now)
        else:
            self._asking.fail(circuit, CircuitInput.FROM_DOWN, now)

    # What travels from end to end: repeaters pass it on.

    def _on_request_message(self, message: _About, source: int, now: int) -> None:
        circuit_id = CircuitId(source, message.circuit)
        circuit = self._circuits.get(circuit_id)
        if circuit is None:
            if not self._book.is_past(circuit_id):
                self._book.ignore(source, message, "no such circuit")
            return
        downward = circuit.side(circuit_id)
        if downward is isinstance(message, QnpForwardAck):
            self._book.ignore(source, message, "from the wrong side")
            return
        if isinstance(message, QnpRefresh):
            self._admission.heard_of(circuit, now)
        if isinstance(circuit, Relay):
            if isinstance(message, QnpWant):
                circuit.want(message)
            else:
                self._pass_on(circuit, message, source)
        elif isinstance(circuit, End):
            self._at_end(circuit, message, source, now)

    def _at_end(
        self,
        circuit: End,
        message: _About,
        source: int,
        now: int,
    ) -> None:
        match message:
            case QnpForward():
                self._on_forward(circuit, message)
            case QnpForwardAck():
                request = circuit.requests.get(message.request)
                if request is None and self._asking.lives(message.request):
                    self._book.ignore(source, message, "answers nothing")
                elif request is not None and request.phase is Phase.OPENING:
                    circuit.heard(message)
                    known = message.error in set(EgpError)
                    if not message.accepted:
                        request.error = EgpError(message.error) if known else EgpError.OTHER
                    answer = CircuitInput.ACCEPTED if message.accepted else CircuitInput.REFUSED
                    circuit.move_request(request, answer, now)
                    self._asking.settle(circuit, now)
                elif request is not None:
                    self._book.ignore(source, message, "answers nothing")
            case QnpClaim():
                circuit.take_claim(message, now)
                self._book.sweep(circuit)
            case QnpComplete():
                request = circuit.requests.get(message.request)
                if request is not None:
                    circuit.move_request(request, CircuitInput.COMPLETE, now)
            case _:
                pass

    def _on_forward(self, circuit: End, message: QnpForward) -> None:
        head = circuit.install.head
        keys = ((message.purpose, head), (message.purpose, None))
        error = None
        if message.request in circuit.requests:
            error = EgpError.CREATE
        elif not _fits(message, circuit):  # QNP-2
            error = EgpError.UNSUPP
        elif not (heard := [self._listening[key] for key in keys if key in self._listening]):
            error = EgpError.REJECTED
        elif not any(message.kind in kinds for kinds in heard):
            error = EgpError.UNSUPP
        devices = circuit.own_devices()
        answer = QnpForwardAck(circuit.id.label, message.request, int(error is None), error or 0, *devices)
        self._shared.send(circuit.id.neighbour, answer)
        if error is None:
            circuit.heard(message)
            how = Delivery(PairKind(message.kind), EgpBases(message.bases), chance=message.chance)
            circuit.add(Request(message.request, message.purpose, message.pairs, message.minimum_fidelity, how))

    def _pass_on(self, circuit: Relay, message: NamedTuple, source: int) -> None:
        onward = circuit.beyond(source)
        assert onward is not None
        changed = {"circuit": onward.label}
        if isinstance(message, QnpPurify | QnpPurifyAck):
            link = circuit.link_up if onward == circuit.up else circuit.link_down
            changed["age_ps"] = older(message.age_ps, self._shared.facts.delays.get(link, 0))
        self._shared.send(onward.neighbour, message._replace(**changed))  # type: ignore[arg-type]

    def _on_pair_message(self, message: _Data, source: int, now: int) -> None:
        circuit_id = CircuitId(source, message.circuit)
        circuit = self._circuits.get(circuit_id)
        if isinstance(message, QnpTrack | QnpDiscard | QnpReach) and self._links.get(message.link) != source:
            self._book.ignore(source, message, "not a link to the sender")
        elif circuit is None:
            if isinstance(message, QnpTrack | QnpDiscard):
                self._book.without_circuit(circuit_id, message, now)
        elif isinstance(message, QnpDiscard):
            circuit.take_discard(message, now)
        elif isinstance(message, QnpTrack):
            if circuit.side(circuit_id) and message.pair_id == 0:
                self._book.ignore(source, message, "the head gave no pair id")
                return
            circuit.take_track(message, now)
            self._book.sweep(circuit)
        elif isinstance(message, QnpReach):
            if isinstance(circuit, Relay):
                circuit.take_reach(message, now)
        elif isinstance(message, QnpOutcome) and isinstance(circuit, End):
            circuit.take_outcome(message)
        elif isinstance(circuit, Relay) and (isinstance(message, QnpOutcome) or message.scope is PurifyScope.ENDS):
            self._pass_on(circuit, message, source)
        elif isinstance(message, QnpPurify | QnpPurifyAck):
            circuit.take_purify(message, source, now)
            self._book.sweep(circuit)

    def shown(self) -> list[dict[str, int | str]]:
        """The circuits that lead through this node, for people who look."""
        return [circuit.shown() for circuit in self._book.each()]


def _fits(message: QnpForward, circuit: End) -> bool:
    """May such a request be on this circuit?"""
    if message.kind not in set(PairKind) or message.bases not in set(EgpBases):
        return False
    return circuit.alone is None and (not circuit.requests or message.kind == PairKind.KEEP)
