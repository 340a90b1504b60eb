"""QNP, the network layer: circuits over many hops, and pairs tracked until both ends hold them.  QNP-n: qnp.toml.

Theory of operation.  The head asks for ways to the other end (protocols.routes), works out what every hop
must do to keep the promise (promise.py), and sends an Install along the route.  Each node admits the circuit
or refuses it, names its next hop by a label of its own, and passes the Install on; the tail answers Installed,
which retraces the way.  Right behind the Install comes a Forward for each request.  Several requests with one
node share a circuit.  Circuits are soft state: the head refreshes them, and whoever hears nothing for three
periods forgets them.  Teardown travels from wherever a circuit ends, both ways; a head that has requests left
tries another way.

On every hop the node nearer to the head asks its link layer for pairs, with the hop's label as the link's
purpose id.  Repeaters swap (relay.py); ends track (end.py): each sends a Track as soon as it holds a half, each
repeater passes it on past its swap, with the swap's outcome folded into the Bell index.  A pair goes upward at
an end when that end holds its half and the other end's Track is there: both then know the same (head, pair_id)
and Bell index.  Where a chain breaks, Discards run both ways along it and free what it held.

Labels are of the hop: (neighbour, label).  They rise, and messages stay in order (this protocol travels over
the reliable sublayer), so an unknown label of the peer is either not open yet, and what comes for it is held
a while, or is older than its newest, and then it is closed and its pairs are released.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Final, NamedTuple

from protocols.ignored import Ignored
from protocols.labels import LabelSpace
from protocols.machine import Output
from protocols.pairs import ReleaseQubit
from protocols.qnp.circuit import Circuit, raw_pairs
from protocols.qnp.end import End, Request
from protocols.qnp.promise import UNKNOWN, Wishes, install, promise
from protocols.qnp.relay import Relay
from protocols.qnp.service import CircuitId, CircuitOpened, InUse, LinkPair, LinkSequence, RequestEnded
from protocols.qnp.shared import NodeFacts, Shared, TimerKey, TimerKind
from protocols.qnp.states import CircuitInput, Phase
from protocols.routes import Hop, Offer, Route, Routes
from protocols.wire.codec import (
    CircuitFate,
    EgpError,
    EgpKind,
    PairFate,
    PurifyScope,
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
MAX_EARLY: Final = 256  # what is held for one circuit that is not open yet
LIFETIME: Final = 3  # periods of Refresh
WAYS: Final = 4  # that are considered for a circuit
TRIES: Final = 2  # of a way that breaks while a circuit is being set up on it
_LABEL_BITS: Final = 15  # the upper half of the purpose ids is for others who use the link layer
_NO_CIRCUIT: Final = CircuitId(0, 0)

type _Early = LinkPair | QnpTrack | QnpDiscard
type _Data = QnpTrack | QnpDiscard | QnpReach | QnpPurify | QnpPurifyAck | QnpOutcome


class DirectRoutes:
    """Ways to the neighbours of a node that knows no others."""

    def __init__(self, links: Mapping[int, int]) -> None:
        self._links = links

    def paths(self, destination: int, most: int) -> Sequence[Route]:
        """Up to `most` links to it."""
        return [(Hop(link, peer, UNKNOWN),) for link, peer in self._links.items() if peer == destination][:most]


class _Waiting(NamedTuple):
    """A request that has no way, and what it asks for; `failed`: what it had before has failed so."""

    request: Request
    destination: int
    priority: int
    pairs_per_ks: int
    failed: CircuitInput | None


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

        patience_ps: how long a request waits for a way, where ways come and go.
        """
        self._node = node
        self._links = dict(sorted(links.items()))
        self._offers = dict(offers or {})
        self._routes = routes or DirectRoutes(self._links)
        self._wishes = wishes or Wishes()
        self._labels = {peer: LabelSpace(node, peer, _LABEL_BITS) for peer in self._links.values()}
        self._shared = Shared(node, facts or NodeFacts(), hold_ps)
        self._listening: set[tuple[int, int | None]] = set()  # (purpose, head or any)
        self._circuits: dict[CircuitId, Circuit] = {}  # by each of its hops here
        self._avoid: dict[int, frozenset[int]] = {}  # by request: links over which it has failed
        self._tries: dict[int, int] = {}  # by request: how often it has set out on a way that broke meanwhile
        self._requests: dict[int, End] = {}  # this node's own
        self._patience_ps = patience_ps
        self._waiting: dict[int, _Waiting] = {}  # by request: those without a way
        self._early: dict[CircuitId, list[_Early]] = {}
        self._request_numbers = count(1)
        self._circuit_numbers = count(1)

    # The service upward.

    def listen(self, purpose: int, head: int | None = None) -> None:
        """Accept requests for this purpose, of one head or of any."""
        self._listening.add((purpose, head))

    def unlisten(self, purpose: int, head: int | None = None) -> None:
        """Take back `listen` with the same arguments; open requests stay."""
        self._listening.discard((purpose, head))

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
    ) -> int:
        """Ask for `number` pairs with `destination`; 0: as many as `want` will say, until `finish`.

        pairs_per_ks: a rate that every link must have left.  max_time_ps: after it the request ends, 0: never.
        Returns the number of the request, which every event about it carries; RequestEnded always comes.
        """
        request = Request(next(self._request_numbers), purpose, number, minimum_fidelity, EgpKind.KEEP, wanted=number)
        self._avoid[request.number] = frozenset()
        if max_time_ps:
            self._shared.timers.set(_deadline(request.number), now + max_time_ps)
        self._set_out(request, destination, priority, pairs_per_ks, now, None)
        return request.number

    def routes_changed(self, now: int, up: Callable[[int], bool]) -> None:
        """Ways may have come or gone; `up` says of a link whether it is up.  Who waits for one tries again (QNP-17).

        A link that is down now is a new one when it is up again: that a request failed on it before counts no more.
        """
        for number in list(self._waiting):
            self._avoid[number] = frozenset(link for link in self._avoid[number] if up(link))
            self._try_again(number, now)

    def _try_again(self, number: int, now: int) -> None:
        """For a request that waits: another way, or else, but not for ever, the one that it has failed on."""
        request, destination, priority, pairs_per_ks, failed = self._waiting.pop(number)
        self._set_out(request, destination, priority, pairs_per_ks, now, failed)
        if number in self._waiting and self._avoid[number] and self._tries.get(number, 0) < TRIES:
            self._tries[number] = self._tries.get(number, 0) + 1
            self._avoid[number] = frozenset()
            del self._waiting[number]
            self._set_out(request, destination, priority, pairs_per_ks, now, failed)
        if number not in self._waiting:
            self._shared.timers.cancel(_way(number))
            self._shared.timers.cancel(_again(number))

    def want(self, request: int, number: int, now: int) -> None:
        """`number` more pairs for an open-ended request of this node; one that has ended gets none."""
        if request in self._waiting:
            self._waiting[request].request.wanted += number
            return
        circuit = self._requests.get(request)
        if circuit is None:
            return
        known = circuit.requests[request]
        if known.pairs:
            raise ValueError(f"request {request} asked for a fixed number of pairs")
        circuit.want(known, number)

    def finish(self, request: int, now: int) -> None:
        """End a request of this node: undelivered pairs are released.  One that has ended is no error."""
        self._end_request(request, CircuitInput.FINISHED, now)

    def promised(self, link: int) -> int:
        """Pairs in 1,000 s that circuits have been promised on a link of this node."""
        return sum(_load(circuit) for circuit in self._over(link))

    # From the link layer and the devices.

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
        for circuit in self._each():
            if circuit.knows(name):
                circuit.expire(name, now)
        for circuit_id, early in self._early.items():
            expired: list[_Early] = [i for i in early if isinstance(i, LinkPair) and i.name == name]
            early[:] = [i for i in early if i not in expired]
            self._release(circuit_id, expired, tell=True)

    def link_failed(self, link: int, purpose: int, error: EgpError, pairs: int, now: int) -> None:
        """The link layer will not make so many pairs: after EXPIRE they are asked for anew, else the circuit ends.

        The node that asked acts; at the other this is no news.
        """
        circuit = self._circuits.get(CircuitId(self._links[link], purpose))
        if circuit is None or circuit.demand is None or circuit.link_down != link:
            return
        if error is EgpError.EXPIRE:
            circuit.demand.will_not_come(pairs)  # it dropped the request along with the pairs; the circuit lives on
            return
        if isinstance(circuit, End):
            for request in circuit.requests.values():
                request.error = error
        self._fail(circuit, CircuitInput.LINK_FAILED, now)

    def ran(self, number: int, bits: tuple[int, ...], now: int) -> None:
        """What RunProgram measured."""
        self._shared.closed.clear()
        self._shared.ran(number, bits, now)
        for circuit_id in self._shared.closed:
            if (circuit := self._circuits.get(circuit_id)) is not None:
                self._sweep(circuit)  # it has ended with its last pair

    # The machine.

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        if source not in self._labels:
            self._ignore(source, message, "not a neighbour")
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
            case QnpForward() | QnpForwardAck() | QnpComplete() | QnpRefresh() | QnpWant():
                self._on_request_message(message, source, now)
            case _:
                raise TypeError(f"{type(message).__name__} is not a message of QNP")

    def peer_lost(self, peer: int, now: int) -> None:
        """A node is gone, or has started anew: all that was shared with it, if it is a neighbour, is void."""
        if peer not in self._labels:
            return  # such as a switch, to which other layers speak
        for circuit in self._each():
            if circuit.phase is Phase.CLOSED:
                continue
            if circuit.up is not None and circuit.up.neighbour == peer:
                self._move(circuit, CircuitInput.UP_LOST, now)  # QNP-10
            elif circuit.down is not None and circuit.down.neighbour == peer:
                self._fail(circuit, CircuitInput.DOWN_LOST, now)
        for circuit_id in [c for c in self._early if c.neighbour == peer]:
            self._release(circuit_id, self._take_early(circuit_id), tell=False)
        self._labels[peer].peer_starts_anew()

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
            self._release(key.circuit, self._early.pop(key.circuit), tell=True)
            return
        if key.kind is TimerKind.DEADLINE:
            self._end_request(key.number, CircuitInput.TIMEOUT, now)
            return
        if key.kind is TimerKind.WAY:
            waiting = self._waiting.pop(key.number)
            self._unserved(waiting.request, waiting.destination, waiting.failed or CircuitInput.NO_ROUTE)
            return
        if key.kind is TimerKind.AGAIN:
            self._try_again(key.number, now)
            return
        circuit = self._circuits[key.circuit]
        match key.kind:
            case TimerKind.HOLD:
                assert key.pair is not None
                circuit.held_long(key.pair, now)
            case TimerKind.CUTOFF:
                assert key.pair is not None
                circuit.cutoff(key.pair, now)
            case TimerKind.REFRESH:
                self._shared.send(circuit.id.neighbour, QnpRefresh(circuit.id.label))
                self._shared.timers.set(key, now + circuit.install.refresh_ps)
            case TimerKind.LIFETIME:
                self._move(circuit, CircuitInput.SILENT, now)

    # Setting circuits up: the head.

    def _open_circuit(self, destination: int, minimum_fidelity: int, priority: int) -> End | None:
        """One of this node's that serves another request as it is."""
        for circuit in self._circuits.values():
            if (
                isinstance(circuit, End)
                and circuit.is_head
                and circuit.peer == destination
                and circuit.priority == priority
                and not circuit.install.pairs_per_ks
                and circuit.promised >= minimum_fidelity
            ):
                return circuit
        return None

    def _route(
        self,
        requests: list[Request],
        destination: int,
        priority: int,
        pairs_per_ks: int,
        now: int,
        failed: CircuitInput | None,
    ) -> None:
        """Open a circuit for these requests, on the best way that they have not failed on; or end them."""
        least = max(request.minimum_fidelity for request in requests)
        avoid = frozenset[int]().union(*(self._avoid[request.number] for request in requests))
        cause = CircuitInput.NO_ROUTE
        for route in self._routes.paths(destination, WAYS):
            if avoid.intersection(hop.link for hop in route):
                continue
            made = promise(route, least, self._shared.facts, self._wishes)
            if made is None:
                cause = CircuitInput.NO_PROMISE
                continue
            label = self._labels[route[0].node].take()
            if label is None:
                continue
            down = CircuitId(route[0].node, label)
            message = install(
                route,
                next(self._circuit_numbers),
                self._node,
                label,
                priority,
                pairs_per_ks,
                made,
                self._wishes,
            )
            circuit = End(message, None, down, self._shared)
            circuit.promised = made.expected if len(route) > 1 else least
            self._circuits[down] = circuit
            self._tell_use(down.neighbour)
            self._shared.send(down.neighbour, message)  # QNP-11
            if len(route) > 1:
                self._shared.timers.set(TimerKey(TimerKind.REFRESH, down), now + message.refresh_ps)
            for request in requests:
                request.phase, request.underway = Phase.OPENING, 0
                self._requests[request.number] = circuit
                circuit.add(request)
            return
        for request in requests:
            if not self._patience_ps:
                self._unserved(request, destination, failed or cause)
                continue
            self._waiting[request.number] = _Waiting(request, destination, priority, pairs_per_ks, failed or cause)
            if _way(request.number) not in self._shared.timers:
                self._shared.timers.set(_way(request.number), now + self._patience_ps)
                self._shared.timers.set(_again(request.number), now + self._patience_ps // 4)

    def _tell_use(self, neighbour: int) -> None:
        circuits = sum(1 for hop in self._circuits if hop.neighbour == neighbour)
        self._shared.outputs.append(InUse(neighbour, circuits))

    def _set_out(
        self,
        request: Request,
        destination: int,
        priority: int,
        pairs_per_ks: int,
        now: int,
        failed: CircuitInput | None,
    ) -> None:
        """A request without a circuit: onto one that is open, or onto one of its own."""
        shared = None if pairs_per_ks else self._open_circuit(destination, request.minimum_fidelity, priority)
        if shared is not None:
            request.phase, request.underway = Phase.OPENING, 0
            self._requests[request.number] = shared
            shared.add(request)
        else:
            self._route([request], destination, priority, pairs_per_ks, now, failed)

    def _unserved(self, request: Request, destination: int, cause: CircuitInput) -> None:
        """A request ends for want of a circuit."""
        self._forget(request.number)
        for timer in (_deadline, _way, _again):
            self._shared.timers.cancel(timer(request.number))
        where = (CircuitId(destination, 0), request.number, self._node, destination, request.purpose)
        self._shared.outputs.append(RequestEnded(*where, request.delivered, cause, request.error))

    def _fail(self, circuit: Circuit, stimulus: CircuitInput, now: int) -> None:
        """A circuit ends before its time; at its head the requests take another way, if there is one (QNP-15)."""
        rescued: list[Request] = []
        if isinstance(circuit, End) and circuit.is_head:
            where = self._node if stimulus is not CircuitInput.FROM_DOWN else circuit.where
            links = _links_at(circuit.install, where)
            lost = stimulus is CircuitInput.DOWN_LOST or circuit.fate is CircuitFate.PEER_LOST
            again = lost and circuit.phase is Phase.OPENING and len(circuit.install.hops) > 1
            for request in list(circuit.requests.values()):
                # What neighbours said before one of them started anew breaks when they next talk: it is tried again.
                tries = self._tries[request.number] = self._tries.get(request.number, 0) + again
                if not again or tries > TRIES:
                    self._avoid[request.number] |= links
                avoid = self._avoid[request.number]
                ways = self._routes.paths(circuit.peer, WAYS)
                if (lost and self._patience_ps) or any(not avoid.intersection(h.link for h in r) for r in ways):
                    rescued.append(request)
                    del circuit.requests[request.number], self._requests[request.number]
        self._move(circuit, stimulus, now)
        if rescued:
            kept = circuit.install
            self._route(rescued, kept.hops[-1].node, kept.priority, kept.pairs_per_ks, now, CircuitInput.PEER_LOST)

    def _end_request(self, number: int, stimulus: CircuitInput, now: int) -> None:
        if number in self._waiting:
            waiting = self._waiting.pop(number)
            self._unserved(waiting.request, waiting.destination, stimulus)
            return
        circuit = self._requests.get(number)
        if circuit is None:
            return
        circuit.move_request(circuit.requests[number], stimulus, now)
        self._sweep_requests(circuit)
        if not circuit.requests:
            self._move(circuit, CircuitInput.UNUSED, now)

    # Setting circuits up: the nodes on the way.

    def _on_install(self, message: QnpInstall, source: int, now: int) -> None:
        up = CircuitId(source, message.circuit)
        foreign = message.circuit >> _LABEL_BITS != 0  # a purpose id of somebody else's
        if foreign or up in self._circuits or self._labels[source].owns(message.circuit):
            self._shared.send(source, QnpTeardown(message.circuit, self._node, CircuitFate.IN_USE))
            return  # the label is another circuit's
        self._labels[source].peer_took(message.circuit)
        early = self._take_early(up)
        refusal = self._refusal(message, source)
        if refusal is not None:  # QNP-12
            self._shared.send(source, QnpTeardown(message.circuit, self._node, refusal))
            self._release(up, early, tell=False)
            return
        circuit: Circuit
        if message.position == len(message.hops) - 1:
            circuit = End(message, up, None, self._shared)
            self._admit(circuit)
            self._move(circuit, CircuitInput.INSTALLED, now)
        else:
            onward = message.hops[message.position + 1]
            self._make_room(message, onward.link, now)
            label = self._labels[onward.node].take()
            if label is None:
                self._shared.send(source, QnpTeardown(message.circuit, self._node, CircuitFate.IN_USE))
                self._release(up, early, tell=False)
                return
            down = CircuitId(onward.node, label)
            circuit = Relay(message, up, down, self._shared)
            self._admit(circuit)
            self._shared.send(onward.node, message._replace(circuit=label, position=message.position + 1))
        if len(message.hops) > 1 and message.refresh_ps:
            due = now + LIFETIME * message.refresh_ps
            self._shared.timers.set(TimerKey(TimerKind.LIFETIME, circuit.id), due)
        for item in early:
            if isinstance(item, LinkPair):
                self.link_pair(item, now)
            else:
                self._on_pair_message(item, source, now)

    def _admit(self, circuit: Circuit) -> None:
        for hop in circuit.ids:
            self._circuits[hop] = circuit
            self._tell_use(hop.neighbour)
        opened = CircuitOpened(circuit.id, circuit.install.head, circuit.install.number)
        self._shared.outputs.append(opened)

    def _refusal(self, message: QnpInstall, source: int) -> CircuitFate | None:
        """Why this node takes no part in the circuit, or None."""
        position, hops = message.position, message.hops
        if position >= len(hops) or hops[position].node != self._node or self._links.get(hops[position].link) != source:
            return CircuitFate.NOT_HERE
        if position == len(hops) - 1:
            return None
        onward = hops[position + 1]
        if self._links.get(onward.link) != onward.node or onward.node == source:
            return CircuitFate.NOT_HERE
        if not self._shared.facts.swaps:
            return CircuitFate.NO_REPEATER
        offer = self._offers.get(onward.link, UNKNOWN)
        if onward.minimum_fidelity > offer.fidelity:
            return CircuitFate.FIDELITY
        needed = message.pairs_per_ks * raw_pairs(onward.rounds, bool(message.pumping))
        if needed > offer.pairs_per_ks:
            return CircuitFate.NO_RATE
        if needed and needed > offer.pairs_per_ks - sum(
            _load(circuit) for circuit in self._over(onward.link) if circuit.priority >= message.priority
        ):
            return CircuitFate.NO_RATE
        if message.pairs_per_ks and offer.memories <= sum(
            1
            for circuit in self._over(onward.link)
            if circuit.install.pairs_per_ks and circuit.priority >= message.priority
        ):
            return CircuitFate.NO_MEMORY
        return None

    def _make_room(self, message: QnpInstall, link: int, now: int) -> None:
        """End circuits of lower priority, the lowest first, until the rate and the memories are there (QNP-14)."""
        if not message.pairs_per_ks:
            return
        offer = self._offers.get(link, UNKNOWN)
        needed = message.pairs_per_ks * raw_pairs(message.hops[message.position + 1].rounds, bool(message.pumping))
        victims = sorted(
            (c for c in self._over(link) if c.install.pairs_per_ks and c.priority < message.priority),
            key=lambda circuit: circuit.priority,
        )
        for victim in victims:
            promised = [circuit for circuit in self._over(link) if circuit.install.pairs_per_ks]
            fits = needed + sum(map(_load, promised)) <= offer.pairs_per_ks and len(promised) < offer.memories
            if fits:
                return
            self._fail(victim, CircuitInput.PREEMPTED, now)

    def _on_installed(self, message: QnpInstalled, source: int, now: int) -> None:
        circuit_id = CircuitId(source, message.circuit)
        circuit = self._circuits.get(circuit_id)
        if circuit is None and self._is_past(circuit_id):
            return  # torn down before the answer came
        if circuit is None or circuit.side(circuit_id) or circuit.phase is not Phase.OPENING:
            self._ignore(source, message, "answers nothing")
        else:
            self._move(circuit, CircuitInput.INSTALLED, now)

    def _on_teardown(self, message: QnpTeardown, source: int, now: int) -> None:
        circuit_id = CircuitId(source, message.circuit)
        circuit = self._circuits.get(circuit_id)
        if circuit is None:
            if not self._is_past(circuit_id):
                self._ignore(source, message, "no such circuit")
            return
        circuit.fate, circuit.where = CircuitFate(message.fate), message.node
        if circuit.side(circuit_id):
            self._move(circuit, CircuitInput.FROM_UP, now)
        else:
            self._fail(circuit, CircuitInput.FROM_DOWN, now)

    # What travels from end to end: repeaters pass it on.

    def _on_request_message(
        self, message: QnpForward | QnpForwardAck | QnpComplete | QnpRefresh | QnpWant, source: int, now: int
    ) -> None:
        circuit_id = CircuitId(source, message.circuit)
        circuit = self._circuits.get(circuit_id)
        if circuit is None:
            if not self._is_past(circuit_id):
                self._ignore(source, message, "no such circuit")
            return
        downward = circuit.side(circuit_id)
        if downward is isinstance(message, QnpForwardAck):
            self._ignore(source, message, "from the wrong side")
            return
        if isinstance(message, QnpRefresh):
            due = now + LIFETIME * circuit.install.refresh_ps
            self._shared.timers.set(TimerKey(TimerKind.LIFETIME, circuit.id), due)
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
        message: QnpForward | QnpForwardAck | QnpComplete | QnpRefresh | QnpWant,
        source: int,
        now: int,
    ) -> None:
        match message:
            case QnpForward():
                self._on_forward(circuit, message)
            case QnpForwardAck():
                request = circuit.requests.get(message.request)
                if request is None and message.request in self._avoid:
                    self._ignore(source, message, "answers nothing")
                elif request is not None and request.phase is Phase.OPENING:
                    known = message.error in set(EgpError)
                    if not message.accepted:
                        request.error = EgpError(message.error) if known else EgpError.OTHER
                    answer = CircuitInput.ACCEPTED if message.accepted else CircuitInput.REFUSED
                    circuit.move_request(request, answer, now)
                    self._settle(circuit, now)
                elif request is not None:
                    self._ignore(source, message, "answers nothing")
            case QnpComplete():
                request = circuit.requests.get(message.request)
                if request is not None:
                    circuit.move_request(request, CircuitInput.COMPLETE, now)
            case _:
                pass

    def _on_forward(self, circuit: End, message: QnpForward) -> None:
        head = circuit.install.head
        error = None
        if message.request in circuit.requests:
            error = EgpError.CREATE
        elif message.kind != EgpKind.KEEP:  # QNP-2
            error = EgpError.UNSUPP
        elif not self._listening & {(message.purpose, head), (message.purpose, None)}:
            error = EgpError.REJECTED
        answer = QnpForwardAck(circuit.id.label, message.request, int(error is None), error or 0)
        self._shared.send(circuit.id.neighbour, answer)
        if error is None:
            circuit.add(
                Request(message.request, message.purpose, message.pairs, message.minimum_fidelity, message.kind)
            )

    def _pass_on(self, circuit: Relay, message: NamedTuple, source: int) -> None:
        onward = circuit.beyond(source)
        assert onward is not None
        self._shared.send(onward.neighbour, message._replace(circuit=onward.label))  # type: ignore[arg-type]

    def _on_pair_message(self, message: _Data, source: int, now: int) -> None:
        circuit_id = CircuitId(source, message.circuit)
        circuit = self._circuits.get(circuit_id)
        if isinstance(message, QnpTrack | QnpDiscard | QnpReach) and self._links.get(message.link) != source:
            self._ignore(source, message, "not a link to the sender")
        elif circuit is None:
            if isinstance(message, QnpTrack | QnpDiscard):
                self._without_circuit(circuit_id, message, now)
        elif isinstance(message, QnpDiscard):
            circuit.take_discard(message, now)
        elif isinstance(message, QnpTrack):
            if circuit.side(circuit_id) and message.pair_id == 0:
                self._ignore(source, message, "the head gave no pair id")
                return
            circuit.take_track(message, now)
            self._sweep(circuit)
        elif isinstance(message, QnpReach):
            if isinstance(circuit, Relay):
                circuit.take_reach(message, now)
        elif isinstance(circuit, Relay) and (isinstance(message, QnpOutcome) or message.scope is PurifyScope.ENDS):
            self._pass_on(circuit, message, source)
        elif isinstance(message, QnpPurify | QnpPurifyAck):
            circuit.take_purify(message, source, now)
            self._sweep(circuit)

    # Circuits that are there, not yet there, and there no more.

    def _each(self) -> list[Circuit]:
        """Every circuit once, in the order of their first hops here."""
        return [circuit for hop, circuit in self._circuits.items() if hop == circuit.id]

    def _over(self, link: int) -> list[Circuit]:
        """Those for which this node asks a link for pairs."""
        return [circuit for circuit in self._each() if circuit.demand is not None and circuit.link_down == link]

    def _move(self, circuit: Circuit, stimulus: CircuitInput, now: int) -> None:
        circuit.move(stimulus, now)
        self._sweep(circuit)

    def _settle(self, circuit: End, now: int) -> None:
        """Requests may have ended by themselves, and the circuit with the last of them."""
        self._sweep_requests(circuit)
        if not circuit.requests and circuit.phase is not Phase.CLOSED:
            self._move(circuit, CircuitInput.UNUSED, now)

    def _sweep(self, circuit: Circuit) -> None:
        """Forget the circuit if its last step closed it."""
        if isinstance(circuit, End) and circuit.is_head:
            self._sweep_requests(circuit)
        if circuit.phase is Phase.CLOSED and circuit.id in self._circuits:
            for hop in circuit.ids:
                del self._circuits[hop]
                self._tell_use(hop.neighbour)
            if circuit.down is not None:
                self._labels[circuit.down.neighbour].give_back(circuit.down.label)

    def _sweep_requests(self, circuit: End) -> None:
        for number in [n for n, c in self._requests.items() if c is circuit and n not in circuit.requests]:
            self._forget(number)

    def _forget(self, request: int) -> None:
        self._requests.pop(request, None)
        self._avoid.pop(request, None)
        self._tries.pop(request, None)

    def _without_circuit(self, circuit_id: CircuitId, item: _Early, now: int) -> None:
        early = self._early.get(circuit_id, [])
        if self._is_past(circuit_id):
            self._release(circuit_id, [item], tell=False)
        elif len(early) == MAX_EARLY:
            self._release(circuit_id, [item], tell=True)
        else:  # QNP-6
            if not early:
                self._early[circuit_id] = early
                self._shared.timers.set(TimerKey(TimerKind.EARLY, circuit_id), now + self._shared.hold_ps)
            early.append(item)

    def _is_past(self, circuit_id: CircuitId) -> bool:
        """Is a circuit that is not known here closed, rather than not open yet?"""
        return self._labels[circuit_id.neighbour].is_past(circuit_id.label)

    def _take_early(self, circuit_id: CircuitId) -> list[_Early]:
        self._shared.timers.cancel(TimerKey(TimerKind.EARLY, circuit_id))
        return self._early.pop(circuit_id, [])

    def _release(self, circuit_id: CircuitId, items: Sequence[_Early], tell: bool) -> None:
        """Give up link pairs that found no circuit; `tell` the peer if it may have one."""
        peer, label = circuit_id
        for item in items:
            if isinstance(item, LinkPair):
                self._shared.outputs.append(ReleaseQubit(item.qubit))
                if tell:
                    self._shared.send(peer, QnpDiscard(label, 0, *item.name, PairFate.UNKNOWN))

    def _ignore(self, source: int, message: NamedTuple, reason: str) -> None:
        self._shared.outputs.append(Ignored(source, type(message).__name__, reason))


def _deadline(request: int) -> TimerKey:
    return TimerKey(TimerKind.DEADLINE, _NO_CIRCUIT, None, request)


def _way(request: int) -> TimerKey:
    return TimerKey(TimerKind.WAY, _NO_CIRCUIT, None, request)


def _again(request: int) -> TimerKey:
    return TimerKey(TimerKind.AGAIN, _NO_CIRCUIT, None, request)


def _load(circuit: Circuit) -> int:
    """What a circuit has been promised of the link away from its head, in pairs per 1,000 s."""
    load: int = circuit.install.pairs_per_ks * raw_pairs(circuit.hop_down.rounds, bool(circuit.install.pumping))
    return load


def _links_at(install: QnpInstall, where: int) -> frozenset[int]:
    """The link of a route that is to blame when node `where` has ended a circuit: the one that leads on from it."""
    for position, hop in enumerate(install.hops):
        if hop.node == where:
            onward = min(position + 1, len(install.hops) - 1)
            return frozenset((install.hops[onward].link,))
    return frozenset((install.hops[0].link,))
