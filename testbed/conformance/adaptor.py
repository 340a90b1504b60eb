"""Our own node as an implementation under test: its configuration, and the orders of the kit's upper tester.

What may live here: the translation between the published JSON and the interfaces of the layers.
"""

from collections.abc import Callable
from typing import Any

from protocols.egp.service import Err, How, Ok, OkMeasured, OkPrepared
from protocols.machine import Send
from protocols.measuring import PLAIN
from protocols.wire import EchoPing, EgpBases, EgpKind, EgpMeasuring, ProtocolId, Purification
from stack.application.results import ResultMissing
from stack.config import Circuits, Control, Device, Link, NodeConfig, Path, RouteHop, Routing, Switch, TimeKeeping
from stack.network.routing import LinkStateRoutes
from stack.node import Node
from testbed.conformance.users import Gates, Jobs, Pairs, Programs, Secrets, Sessions

_KINDS = {"station": "station", "switch": "station", "router": "repeater"} | {
    role: role for role in ("repeater", "controller")
}
_METHODS = {"none": Purification.NONE, "dejmps": Purification.DEJMPS}
Tell = Callable[[dict[str, Any]], None]


def node_config(told: dict[str, Any]) -> NodeConfig:
    """The configuration of one of our nodes, from what the kit tells every implementation."""
    links = tuple(_link(row) for row in told["links"])
    qubits = told["communication_qubits"]
    device = Device(told["data_qubits"], qubits, 0, 0, 0, (1.0, 0.0, 0.0, 0.0)) if qubits else None
    circuits = told["circuits"]
    return NodeConfig(
        number=told["node"],
        name="iut",
        kind=_KINDS.get(told["role"], "qpu"),
        seed=1,
        incarnation=told["incarnation"],
        paths={int(n): Path(f"iut-{n}", peer["delay_ps"]) for n, peer in told["peers"].items()},
        keys={int(n): peer["key"] for n, peer in told["peers"].items()},
        device=device,
        links=links,
        time=None if told["time"] is None else TimeKeeping(**told["time"]),
        routing=None if told["routing"] is None else Routing("hops", **told["routing"]),
        routes={int(node): tuple(map(_way, ways)) for node, ways in told["ways"].items()},
        circuits=Circuits(
            refresh_ps=circuits["refresh_ps"], method=_METHODS[circuits["method"]], link_rounds=circuits["rounds"]
        ),
        switch=None if told["switch"] is None else Switch(**told["switch"]),
        allowance_ps=told["allowance_ps"],
        controller=told["controller"],
        control=_control(told["qpus"]),
    )


def _control(qpus: dict[str, int] | None) -> Control | None:
    if qpus is None:
        return None
    nodes = [int(node) for node in qpus]
    distances = {a: {b: 1.0 for b in nodes if b != a} for a in nodes}
    return Control({int(node): (f"q{node}", room) for node, room in qpus.items()}, distances, dict.fromkeys(nodes, 1))


def _way(hops: list[dict[str, int]]) -> tuple[RouteHop, ...]:
    offered = "fidelity", "pairs_per_ks", "delay_ps", "memories"
    return tuple(RouteHop(hop["link"], hop["node"], tuple(hop[name] for name in offered)) for hop in hops)


def _link(row: dict[str, Any]) -> Link:
    p, fidelity = row["success_probability"], row["fidelity"] / 0xFFFFFFFF
    return Link(
        number=row["number"],
        name=f"link-{row['number']}",
        a=row["a"],
        b=row["b"],
        station=row["station"],
        slot_ps=row["slot_ps"],
        arm_a_ps=row["arm_a_ps"],
        arm_b_ps=row["arm_b_ps"],
        attempt_ps=row["attempt_ps"],
        emission_ps=0,
        success_probability=p,
        estimate=fidelity,
        measured_estimate=fidelity,
        pairs_per_ks=round(1e15 * p / row["slot_ps"]),
        switched=row["switched"],
        scheduler=row["scheduler"],
    )


class _User:
    """Who hears of pairs at a node, and tells the kit."""

    def __init__(self, node: int, tell: Tell) -> None:
        self._node = node
        self._tell = tell

    def link_ok(self, ok: Ok) -> None:
        self._tell({"event": "ok", "kind": "K", **self._pair(ok), "qubit": ok.qubit})

    def link_measured(self, ok: OkMeasured | OkPrepared) -> None:
        kind = "M" if isinstance(ok, OkMeasured) else "R"
        self._tell({"event": "ok", "kind": kind, **self._pair(ok), "basis": ok.basis.name, "outcome": ok.outcome})

    def link_error(self, err: Err) -> None:
        facts: dict[str, Any] = {"link": err.link, "create_id": err.create_id, "code": err.code.name}
        if err.sequence_low is not None:
            facts |= {"sequence_low": err.sequence_low, "sequence_high": err.sequence_high}
        self._tell({"event": "err", "origin": err.origin, **facts})

    def _pair(self, ok: Ok | OkMeasured | OkPrepared) -> dict[str, Any]:
        return {
            "link": ok.link,
            "origin": ok.remote if ok.directionality else self._node,
            "create_id": ok.create_id,
            "sequence": ok.link_sequence,
            "bell_index": int(ok.bell_index),
        }


class Adaptor:
    """Carries out orders on a node, and tells what comes of them."""

    def __init__(self, node: Node, tell: Tell) -> None:
        self._node = node
        self._tell = tell
        self._served: set[int] = set()
        self._attached = False
        self._above: dict[str, Callable[..., None]] = {}
        """Orders for the layers above the link layer."""
        self._attach()

    def _attach(self) -> None:
        """A node whose clock must be set first has no services before."""
        if self._attached or not hasattr(self._node, "messenger"):
            return
        self._attached = True
        # An Echo travels bare; one that comes over the reliable sublayer is the kit's way to see what is delivered.
        self._node.messenger.register(ProtocolId.ECHO, self._heard)
        self._node.messenger.on_broken(lambda peer: self._tell({"event": "broken", "node": peer}))
        if hasattr(self._node, "controller"):
            self._above |= Jobs(self._node, self._tell).orders
        if hasattr(self._node, "network"):
            for users in (Pairs, Sessions, Gates, Programs, Secrets):
                self._above |= users(self._node, self._tell).orders

    def order(self, order: dict[str, Any]) -> None:
        """One line of the upper tester; raises KeyError for one that we do not know."""
        self._attach()
        arguments = {key: value for key, value in order.items() if key != "do"}
        above = self._above.get(order["do"])
        if above is not None:
            above(**arguments)
        else:
            _ORDERS[order["do"]](self, **arguments)

    def _serve(self, purpose: int) -> None:
        if purpose not in self._served:
            self._served.add(purpose)
            self._node.link.serve_purpose(purpose, _User(self._node.config.number, self._tell))

    def _recv(self, remote: int, purpose: int) -> None:
        self._serve(purpose)
        self._node.link.recv(remote, purpose)

    def _stop_recv(self, remote: int, purpose: int) -> None:
        self._node.link.stop_recv(remote, purpose)

    def _create(
        self,
        link: int,
        purpose: int,
        number: int = 1,
        fidelity: int = 0,
        max_time_ps: int = 0,
        priority: int = 0,
        kind: str = "K",
        atomic: bool = False,
        consecutive: bool = False,
        bases: str = "NONE",
        rotation: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        self._serve(purpose)
        measuring = EgpMeasuring(EgpBases[bases], 0, 0, *rotation)
        how = How(
            {"K": EgpKind.KEEP, "M": EgpKind.MEASURE, "R": EgpKind.REMOTE}[kind],
            atomic,
            consecutive,
            PLAIN if kind == "K" else measuring,
            measuring if kind == "M" else PLAIN,
        )
        create_id = self._node.link.create(link, purpose, number, fidelity, max_time_ps, priority, how)
        self._tell({"event": "created", "link": link, "create_id": create_id})

    def _withdraw(self, link: int, create_id: int) -> None:
        self._node.link.withdraw(link, create_id)

    def _release(self, qubit: int) -> None:
        self._node.physical.memory.release(qubit)

    def _ping(
        self, node: int, count: int = 1, in_flight: int = 1, padding: int = 0, timeout_ps: int | None = None
    ) -> None:
        async def ping() -> None:
            options = {} if timeout_ps is None else {"timeout_ps": timeout_ps}
            done = await self._node.echo.ping(node, count, in_flight=in_flight, padding=bytes(padding), **options)
            self._tell({"event": "pinged", "answered": done.answered, "lost": done.lost})

        self._node.kernel.spawn(ping, name="ping")

    def _say(self, node: int, size: int) -> None:
        self._node.messenger.send(Send(node, _Note(bytes(size)), reliable=True))

    def _watch(self, node: int) -> None:
        self._node.messenger.watch(node)

    def _depend(self, node: int) -> None:
        self._routes().watch(node)

    def _load(self, link: int, sixteenths: int) -> None:
        rate = next(row.pairs_per_ks for row in self._node.config.links if row.number == link)
        self._routes().load(link, sixteenths * rate // 16)

    def _ways(self, node: int) -> None:
        ways = [[hop.node for hop in way] for way in self._routes().paths(node, 4)]
        self._tell({"event": "ways", "node": node, "ways": ways})

    def _routes(self) -> LinkStateRoutes:
        routes = self._node.network._routing
        assert routes is not None
        return routes

    def _tell_result(self, run: int, measurement: int, value: int, nodes: list[int]) -> None:
        self._node.results.tell(run, measurement, value, nodes)

    def _hear_result(self, run: int, measurement: int, node: int) -> None:
        async def hear() -> None:
            facts = {"run": run, "measurement": measurement}
            try:
                value = await self._node.results.hear(run, measurement, node)
            except ResultMissing as missing:
                self._tell({"event": "no-result", **facts, "lost": missing.lost})
            else:
                self._tell({"event": "result", **facts, "value": value})

        self._node.kernel.spawn(hear, name="hear")

    def _give_up(self, run: int, nodes: list[int]) -> None:
        self._node.results.give_up([run], nodes)

    def _end(self, run: int) -> None:
        self._node.results.end(run)

    def _heard(self, ping: EchoPing, source: int) -> None:
        self._tell({"event": "heard", "node": source, "token": ping.token, "size": len(ping.padding)})


class _Note:
    """What `say` sends over the reliable sublayer: a message of no protocol, which changes nothing where it arrives."""

    PROTOCOL = 255
    MESSAGE = 1

    def __init__(self, body: bytes) -> None:
        self._body = body

    def pack(self) -> bytes:
        return self._body


_ORDERS: dict[str, Callable[..., None]] = {
    "recv": Adaptor._recv,
    "stop-recv": Adaptor._stop_recv,
    "create": Adaptor._create,
    "withdraw": Adaptor._withdraw,
    "release": Adaptor._release,
    "ping": Adaptor._ping,
    "say": Adaptor._say,
    "watch": Adaptor._watch,
    "tell": Adaptor._tell_result,
    "hear": Adaptor._hear_result,
    "give-up": Adaptor._give_up,
    "end": Adaptor._end,
    "depend": Adaptor._depend,
    "load": Adaptor._load,
    "ways": Adaptor._ways,
}
