"""The network layer of a node: QNP over the link layer.

What may live here: the driver of ``protocols.qnp``, and who above hears of which purpose.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from protocols.egp.service import Err, Ok
from protocols.ignored import Ignored
from protocols.mhp.trains import SEQUENCE_MODULUS
from protocols.pairs import ReleaseQubit
from protocols.qnp.node import Qnp
from protocols.qnp.promise import Wishes
from protocols.qnp.service import (
    KEPT,
    CircuitClosed,
    CircuitId,
    CircuitOpened,
    Delivery,
    InUse,
    LinkPair,
    NeedLinkPairs,
    PairDelivered,
    PairEarly,
    PairLost,
    PairMeasured,
    PairTested,
    RequestEnded,
    RequestOpened,
    RunProgram,
    StopLinkPairs,
)
from protocols.qnp.shared import NodeFacts
from protocols.qnp.sketch import Known, Memory
from protocols.qnp.states import CircuitInput
from protocols.routes import Hop, Offer, Route
from protocols.wire import EgpKind, PairKind, ProtocolId, Purification
from stack.config import Link, NodeConfig
from stack.link.interface import LinkLayer
from stack.network.interface import CircuitUser, Measured, NetworkUser, Tested
from stack.network.routing import LinkStateRoutes
from stack.physical.interface import PhysicalLayer
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel
from stack.runtime.messenger import Messenger

_FULL = (1 << 32) - 1


class StaticRoutes:
    """Ways through the network from a table in the node's configuration."""

    def __init__(self, config: NodeConfig) -> None:
        self._ways: dict[int, list[Route]] = {
            destination: [tuple(Hop(hop.link, hop.node, Offer(*hop.offer)) for hop in way) for way in ways]
            for destination, ways in config.routes.items()
        }

    def paths(self, destination: int, most: int) -> Sequence[Route]:
        """Up to ``most`` ways, the best first."""
        return self._ways.get(destination, [])[:most]


class _Owed(NamedTuple):
    """Pairs that a CREATE has still to bring."""

    link: int
    pairs: int


class Network:
    """Implements ``NetworkLayer`` (and is the link layer's user)."""

    def __init__(
        self, kernel: Kernel, config: NodeConfig, physical: PhysicalLayer, link: LinkLayer, messenger: Messenger
    ) -> None:
        self._kernel = kernel
        self._physical = physical
        self._link = link
        self._messenger = messenger
        self._neighbours = {
            n.number: n.b if n.a == config.number else n.a for n in config.links if config.number in (n.a, n.b)
        }
        offers = {link.number: _offer(config, link) for link in config.links if config.number in (link.a, link.b)}
        self._routing: LinkStateRoutes | None = None
        if config.routing is not None:
            own = {link: (self._neighbours[link], offer) for link, offer in offers.items()}
            self._routing = LinkStateRoutes(kernel, config, config.routing, own, messenger, self._routes_changed)
        self._watched: set[int] = set()
        # Links that are tested as they are used.
        self._learning = {n.number for n in config.links if n.test_share and n.number in self._neighbours}
        machine = Qnp(
            config.number,
            self._neighbours,
            routes=self._routing or StaticRoutes(config),
            facts=_facts(config),
            offers=offers,
            wishes=_wishes(config),
            patience_ps=config.routing.patience_ps if config.routing is not None else 0,
        )
        self._driver = Driver(kernel, machine, messenger.send, self._on_event, config.allowance_ps)
        self._users: dict[int, NetworkUser] = {}
        self._circuit_users: dict[int, CircuitUser] = {}
        self._secret: set[int] = set()  # purposes whose outcomes no event may show
        # What the link layer still owes for each circuit, by create_id.
        self._created: dict[CircuitId, dict[int, _Owed]] = {}
        # Which link pair each undelivered qubit is half of.
        self._made: dict[int, tuple[int, int]] = {}
        messenger.register(ProtocolId.QNP, self._driver.receive)
        messenger.on_broken(self._broken)
        link.serve(self)

    def start(self) -> None:
        """The node has booted: find out about the network, if it is to be found out."""
        if self._routing is not None:
            self._routing.start()

    def _routes_changed(self) -> None:
        assert self._routing is not None
        self._driver.machine.routes_changed(self._kernel.now, self._routing.link_lasts)
        self._driver.flush()

    def _in_use(self, neighbour: int, circuits: int) -> None:
        """So many circuits lead over this neighbour: its death must be heard of, and what is left of the links told."""
        routing = self._routing
        if circuits and neighbour not in self._watched:
            self._watched.add(neighbour)
            self._messenger.watch(neighbour)
            if routing is not None:
                routing.watch(neighbour)
        elif not circuits and neighbour in self._watched:
            self._watched.remove(neighbour)
            self._messenger.unwatch(neighbour)
            if routing is not None:
                routing.unwatch(neighbour)
        for link, peer in self._neighbours.items():
            if peer == neighbour and routing is not None:
                routing.load(link, self._driver.machine.promised(link))

    # -- the service upward -----------------------------------------------------------------------------------------

    def listen(self, purpose: int, user: NetworkUser, peer: int | None = None) -> None:
        self._users[purpose] = user
        self._driver.machine.listen(purpose, peer)

    def listen_to_all(
        self, purpose: int, user: CircuitUser, peer: int | None = None, *, secret: bool = False
    ) -> None:
        self._keep_secret(purpose, secret)
        self._users[purpose] = self._circuit_users[purpose] = user
        self._driver.machine.listen(purpose, peer, tuple(PairKind))

    def unlisten(self, purpose: int, peer: int | None = None) -> None:
        self._driver.machine.unlisten(purpose, peer)

    def request(
        self,
        peer: int,
        purpose: int,
        user: NetworkUser,
        minimum_fidelity: float,
        *,
        priority: int = 0,
        pairs_per_s: float = 0.0,
        max_time_ps: int = 0,
        delivery: Delivery = KEPT,
        secret: bool = False,
    ) -> int:
        self._keep_secret(purpose, secret)
        self._users[purpose] = user
        if delivery is not KEPT:
            self._circuit_users[purpose] = cast("CircuitUser", user)
        fidelity, rate = round(minimum_fidelity * _FULL), round(pairs_per_s * 1_000)
        request = self._driver.machine.request(
            peer, purpose, 0, fidelity, self._kernel.now, priority, rate, max_time_ps, delivery
        )
        self._kernel.event("network", "request", request=request, peer=peer, purpose=purpose)
        # It may have ended already, for want of a way: the caller must know its number by then.
        self._kernel.after(0, self._driver.flush)
        return request

    def _keep_secret(self, purpose: int, secret: bool) -> None:
        (self._secret.add if secret else self._secret.discard)(purpose)

    def want(self, request: int, number: int) -> None:
        self._driver.machine.want(request, number, self._kernel.now)
        self._driver.flush()

    def finish(self, request: int) -> None:
        self._driver.machine.finish(request, self._kernel.now)
        self._driver.flush()

    # -- from the link layer ----------------------------------------------------------------------------------------

    def link_ok(self, ok: Ok) -> None:
        if ok.directionality == 0:
            self._less(CircuitId(ok.remote, ok.purpose_id), ok.create_id)
        self._made[ok.qubit] = (ok.link, ok.link_sequence)
        if ok.link in self._learning:
            self._learned(ok.link)
        pair = LinkPair(
            ok.link, ok.purpose_id, ok.link_sequence, ok.bell_index, ok.qubit, ok.goodness, ok.time_of_goodness
        )
        self._driver.machine.link_pair(pair, self._kernel.now)
        self._driver.flush()

    def _learned(self, link: int) -> None:
        """Test rounds may have shown what a link is really like: new circuits, here and elsewhere, go by that."""
        believed = self._link.expects(link, EgpKind.KEEP, 0).fidelity
        self._driver.machine.learned(link, believed)
        if self._routing is not None:
            self._routing.fidelity(link, believed)

    def link_error(self, err: Err) -> None:
        machine = self._driver.machine
        low, high = err.sequence_low, err.sequence_high
        if low is not None and high is not None:
            for offset in range((high - low) % SEQUENCE_MODULUS + 1):
                machine.link_expired(err.link, (low + offset) % SEQUENCE_MODULUS, self._kernel.now)
        circuit = CircuitId(err.remote, err.purpose_id)
        if err.origin == self._kernel.number and err.create_id in self._created.get(circuit, {}):
            owed = self._created[circuit].pop(err.create_id)
            machine.link_failed(err.link, err.purpose_id, err.code, owed.pairs, self._kernel.now)
        self._driver.flush()

    def _less(self, circuit: CircuitId, create_id: int) -> None:
        """One pair of a CREATE has come; with its last the CREATE has ended."""
        created = self._created.get(circuit, {})
        owed = created.get(create_id)
        if owed is None or owed.pairs == 1:
            created.pop(create_id, None)
        else:
            created[create_id] = owed._replace(pairs=owed.pairs - 1)

    def _broken(self, peer: int) -> None:
        self._driver.machine.peer_lost(peer, self._kernel.now)
        self._driver.flush()

    # -- what the machine wants -------------------------------------------------------------------------------------

    def shown(self) -> list[dict[str, Any]]:
        """The circuits that lead through this node, for people who look."""
        return self._driver.machine.shown()

    def _on_event(self, event: Any) -> None:
        match event:
            case NeedLinkPairs(link=link, purpose=label, number=number, minimum_fidelity=fidelity):
                create_id = self._link.create(link, label, number, fidelity)
                owed = _Owed(link, number)
                self._created.setdefault(CircuitId(self._neighbours[link], label), {})[create_id] = owed
            case StopLinkPairs(link=link, purpose=label):
                self._withdraw(CircuitId(self._neighbours[link], label))
            case RunProgram(number=number, program=program, released=released):
                self._physical.submit(program, lambda bits: self._ran(number, released, bits))
            case CircuitOpened(circuit=circuit, head=head, number=number):
                self._link.recv(*circuit)
                self._kernel.event(
                    "network", "circuit", peer=circuit.neighbour, label=circuit.label, head=head, number=number
                )
            case CircuitClosed():
                self._closed(event)
            case InUse(neighbour=neighbour, circuits=circuits):
                self._in_use(neighbour, circuits)
            case RequestOpened():
                self._kernel.event("network", "request opened", request=event.request, head=event.head, peer=event.peer)
            case PairEarly(peer=peer, purpose=purpose, qubit=qubit):
                link, sequence = self._made[qubit]
                self._kernel.event(
                    "network", "pair early", peer=peer, purpose=purpose, qubit=qubit, link=link, sequence=sequence
                )
                self._circuit_users[purpose].pair_early(peer, purpose, qubit)
            case PairMeasured():
                self._measured(event)
            case PairTested():
                self._tested(event)
            case PairDelivered(peer=peer, purpose=purpose, pair=pair):
                link, sequence = self._made.pop(pair.qubit)
                self._kernel.event(
                    "network",
                    "pair",
                    peer=peer,
                    purpose=purpose,
                    head=pair.head,
                    pair_id=pair.pair_id,
                    bell_index=pair.bell_index,
                    qubit=pair.qubit,
                    link=link,
                    sequence=sequence,
                )
                self._users[purpose].pair(peer, purpose, pair)
            case PairLost(peer=peer, purpose=purpose, pair=pair):
                self._made.pop(pair.qubit, None)  # it may have been handed up early
                self._kernel.event("network", "pair lost", peer=peer, head=pair.head, pair_id=pair.pair_id)
                self._users[purpose].pair_lost(peer, purpose, pair)
            case RequestEnded():
                self._ended(event)
            case ReleaseQubit(qubit=qubit):
                self._made.pop(qubit, None)
                self._physical.memory.release(qubit)
            case Ignored(message=message):
                self._kernel.count(f"ignored {message}")
            case _:
                raise AssertionError(f"{event} is no event of Qnp")

    def _measured(self, event: PairMeasured) -> None:
        link, sequence = event.name
        shown = {} if event.purpose in self._secret else {"outcome": event.outcome}
        self._kernel.event(
            "network",
            "pair measured",
            peer=event.peer,
            purpose=event.purpose,
            head=event.head,
            pair_id=event.pair_id,
            basis=event.basis.name,
            **shown,
            link=link,
            sequence=sequence,
        )
        result = Measured(event.head, event.pair_id, event.basis, event.outcome, event.goodness)
        self._circuit_users[event.purpose].pair_measured(event.peer, event.purpose, result)

    def _tested(self, event: PairTested) -> None:
        said = {} if event.estimate is None else event.estimate._asdict()
        self._kernel.event(
            "network",
            "test",
            request=event.request,
            peer=event.peer,
            test=event.basis.name,
            here=event.here,
            there=event.there,
            rounds=event.rounds,
            **said,
        )
        if event.estimate is not None:
            tested = Tested(event.rounds, *event.estimate)
            self._circuit_users[event.purpose].tested(event.peer, event.purpose, tested)

    def _ran(self, number: int, released: tuple[int, ...], bits: tuple[int, ...]) -> None:
        for qubit in released:
            self._made.pop(qubit, None)
            self._physical.memory.void(qubit)
        self._driver.machine.ran(number, bits, self._kernel.now)
        self._driver.flush()

    def _closed(self, event: CircuitClosed) -> None:
        if event.head != self._kernel.number:
            self._link.stop_recv(*event.circuit)
        self._kernel.event(
            "network",
            "circuit closed",
            peer=event.circuit.neighbour,
            label=event.circuit.label,
            head=event.head,
            number=event.number,
            fate=event.fate.name,
            where=event.where,
        )

    def _withdraw(self, circuit: CircuitId) -> None:
        for create_id, owed in self._created.pop(circuit, {}).items():
            self._link.withdraw(owed.link, create_id)

    def _ended(self, event: RequestEnded) -> None:
        error = "" if event.error is None else event.error.name
        self._kernel.event(
            "network",
            "request ended",
            request=event.request,
            head=event.head,
            peer=event.peer,
            delivered=event.delivered,
            cause=event.cause.name,
            error=error,
            where=event.where,
        )
        user = self._users[event.purpose]
        if (full := self._circuit_users.get(event.purpose)) is user and full is not None:
            tail_refused = event.head == self._kernel.number and event.cause is CircuitInput.REFUSED
            full.ended_at(event.peer, event.purpose, event.peer if tail_refused else event.where, error)
        if event.head == self._kernel.number:
            user.no_pairs(event.peer, event.purpose, event.cause.name)
        else:
            user.peer_finished(event.peer, event.purpose)


def _facts(config: NodeConfig) -> NodeFacts:
    device = config.device
    assert device is not None
    own = [link for link in config.links if config.number in (link.a, link.b)]
    links = len(own)
    swaps = config.kind == "repeater" and min(device.communication_qubits, device.keeps) >= links > 1
    return NodeFacts(
        swaps,
        device.keeps // links if swaps else device.keeps,
        Memory(device.memory_t1_ps, device.memory_t2_ps),
        device.swap_errors,
        device.gate_2q_w,
        device.readout,
        device.parity_ps,
        device.parity_w,
        config.seed,
        {n.number: config.paths[n.b if n.a == config.number else n.a].delay_ps for n in own},
        {n.number: _known(n, config.number) for n in own if n.errors},
    )


def _known(link: Link, node: int) -> Known:
    """What the device data say of a link's pairs, the neighbour's half first."""
    i, z, x, y = link.errors
    at_a, at_b = link.leaning or (0.0, 0.0)
    return Known((i, z, x, y), (at_b, at_a) if link.a == node else (at_a, at_b))


def _offer(config: NodeConfig, link: Link) -> Offer:
    """What a link of this node can do, as far as it knows by itself."""
    peer = link.b if link.a == config.number else link.a
    return Offer(
        round(link.estimate * _FULL),
        link.pairs_per_ks,
        config.paths[peer].delay_ps,
        _facts(config).memories,
    )


def _wishes(config: NodeConfig) -> Wishes:
    circuits = config.circuits
    return Wishes(
        circuits.cutoff_ps,
        circuits.nested,
        Purification(circuits.method),
        circuits.link_rounds,
        circuits.end_rounds,
        circuits.pumping,
        circuits.refresh_ps,
    )
