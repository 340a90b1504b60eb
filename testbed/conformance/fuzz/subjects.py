"""Who is fuzzed: nodes of ours in small scenes, at work while hostile frames come in.

What may live here: a scene per role of a protocol, and what its node is doing meanwhile.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NamedTuple

from protocols.key.service import Terms
from protocols.wire import DeviceOpcode, EgpBasis, ProtocolId, QtpService
from stack.application.compiler.circuit import Circuit, Op
from stack.application.keys import FIRST_PURPOSE
from stack.config import Control, NodeConfig, RouteHop, Routing, TimeKeeping
from stack.network.interface import Measured
from stack.node import Node
from testbed.conformance.scene import ECHO, FOLLOWER, FULL, LINK, MASTER, MS, STATION, SWITCH, SWITCHED, LinkRow, Scene
from testbed.conformance.simulated import SimulatedGround

PURPOSES: Final = (1, 2, 3)

_MIDDLE: Final = Scene("middle", "end", 2, (1, 3, 9), (LinkRow(1, 1, 2, 9), LinkRow(2, 2, 3, 9)), qubits=4)
_OFFER: Final = (round(0.9 * FULL), 10_000, 50 * MS, 2, 0)


class _Above:
    """A user of every layer's service, who takes what comes."""

    def pair(self, peer: int, purpose: int, pair: Any) -> None:
        pass

    def pair_lost(self, peer: int, purpose: int, pair: Any) -> None:
        pass

    def no_pairs(self, peer: int, purpose: int, cause: str) -> None:
        pass

    def peer_finished(self, peer: int, purpose: int) -> None:
        pass


class Subject(NamedTuple):
    """A node in a scene, for the messages of one protocol."""

    protocol: int
    scene: Scene
    adapt: Callable[[NodeConfig], NodeConfig] = lambda config: config

    @property
    def name(self) -> str:
        return f"{ProtocolId(self.protocol).name} at {self.scene.name}"


class FuzzGround(SimulatedGround):
    """A ground whose node may be configured in other ways than the kit's, and is set to work."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject.scene)
        self._config = subject.adapt(self._config)
        self._protocol = subject.protocol

    @property
    def node(self) -> Node:
        assert self._node is not None
        return self._node

    @property
    def has_services(self) -> bool:
        """A node whose clock must be set first has none before."""
        return hasattr(self.node, "messenger")

    def work(self) -> None:
        """Listen for everything, and ask for what the layers above the link can have."""
        node = self.node
        for peer in self._config.paths:
            node.nic._peer(peer)  # a record that is made when a peer is first met: no state of a protocol
        if not hasattr(node, "network"):
            return
        above = _Above()
        for purpose in PURPOSES:
            node.network.listen(purpose + 1, above)
            node.transport.listen(purpose, QtpService(purpose % 2))
        if self._protocol == ProtocolId.KEY:
            self._measure(min(self._config.paths))
        for peer in self._config.routes:
            node.network.want(node.network.request(peer, 2, above, 0.5), 4)


    def _measure(self, peer: int) -> None:
        """Sessions of keys, with pairs for a few blocks."""
        keys = self.node.keys
        for _ in range(4):
            session = keys.open(peer, Terms(24, FULL // 2, 8, 1, 1, patience=1_000))
            for pair_id in range(1, 200):
                read = Measured(session.ident.opener, pair_id, EgpBasis.X if pair_id % 2 else EgpBasis.Z, 1, FULL)
                keys.pair_measured(peer, FIRST_PURPOSE + session.ident.number, read)


def _with_routes(config: NodeConfig) -> NodeConfig:
    routes: dict[int, tuple[tuple[RouteHop, ...], ...]] = {}
    if len(config.links) > 1:
        routes = {3: ((RouteHop(2, 3, _OFFER),),), 1: ((RouteHop(1, 1, _OFFER),),)}
        return replace(config, kind="repeater", routes=routes)
    if config.number == 1:
        routes = {2: ((RouteHop(LINK, 2, _OFFER),),)}
    return replace(config, routes=routes)


def _with_routing(config: NodeConfig) -> NodeConfig:
    routing = Routing("hops", 100 * MS, 400 * MS, 0, 60_000 * MS, 10 * MS, 1_000 * MS, 1_000 * MS)
    return replace(config, kind="repeater", routing=routing)


def _with_time(server: int | None) -> Callable[[NodeConfig], NodeConfig]:
    return lambda config: replace(config, time=TimeKeeping(server, 200 * MS), device=None, links=())


def _leased(config: NodeConfig) -> NodeConfig:
    """A QPU whose controller is its neighbour."""
    assert config.device is not None
    return replace(_with_routes(config), controller=1, device=replace(config.device, data_qubits=2))


def _in_control(config: NodeConfig) -> NodeConfig:
    """The controller of its neighbours, with a job for them."""
    circuit = Circuit(3, 3, tuple(Op(DeviceOpcode.MEASURE, (n,), 0, n) for n in range(3)))
    jobs = [
        {"name": f"job {n}", "circuit": circuit.to_json(), "shots": 50, "minimum_fidelity": 0.0, "ahead": 0,
         "at_ps": n * MS, "cancel_at_ps": None}
        for n in range(200)
    ]  # fmt: skip
    return replace(
        config,
        kind="controller",
        device=None,
        links=(),
        control=Control({2: ("q2", 2), 3: ("q3", 2)}, {2: {3: 1.0}, 3: {2: 1.0}}, {2: 2, 3: 2}),
        apps={"controller": {"jobs": jobs}},
    )


SUBJECTS: Final = (
    Subject(ProtocolId.ECHO, ECHO),
    Subject(ProtocolId.REL, ECHO),
    Subject(ProtocolId.REL, MASTER),
    Subject(ProtocolId.MHP, STATION),
    Subject(ProtocolId.MHP, MASTER),
    Subject(ProtocolId.EGP, MASTER),
    Subject(ProtocolId.EGP, FOLLOWER),
    Subject(ProtocolId.SRP, SWITCH),
    Subject(ProtocolId.SRP, SWITCHED),
    Subject(ProtocolId.QNP, MASTER, _with_routes),
    Subject(ProtocolId.QNP, FOLLOWER, _with_routes),
    Subject(ProtocolId.QNP, _MIDDLE, _with_routes),
    Subject(ProtocolId.QTP, FOLLOWER, _with_routes),
    Subject(ProtocolId.RGP, FOLLOWER, _with_routes),
    Subject(ProtocolId.KEY, FOLLOWER, _with_routes),
    Subject(ProtocolId.JOB, FOLLOWER, _with_routes),
    Subject(ProtocolId.JOB, FOLLOWER, _leased),
    Subject(ProtocolId.JOB, MASTER, _in_control),
    Subject(ProtocolId.LSR, _MIDDLE, _with_routing),
    Subject(ProtocolId.TTP, MASTER, _with_time(2)),
    Subject(ProtocolId.TTP, FOLLOWER, _with_time(None)),
)
