"""Scenes: which node the implementation under test is, and who stands around it.

What may live here: the small networks of the kit and what an implementation is told of them (`Scene.configuration`,
published in docs/conformance.md).  Everything around the implementation is played by the kit.

Times are long, so that a host without real-time guarantees keeps them: slots of 50 ms, ways of 50 ms, hence a first
retransmission after 300 ms.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Final

MS: Final = 1_000_000_000
SLOT_PS: Final = 50 * MS
DELAY_PS: Final = 50 * MS
"""One way between any two nodes, frames and photons alike.  The kit adds it, in both directions."""
ATTEMPT_PS: Final = 5 * MS
ALLOWANCE_PS: Final = 10 * MS
KEEP_ALIVE_PS: Final = 2_000 * MS
"""The longest keep-alive that an implementation may choose, of REL and of a link."""
DEVICE_PS: Final = MS
"""How long a program takes on the kit's devices."""
RECONFIGURE_PS: Final = 300 * MS
"""How long the devices of a switch take to set a link on an analyser."""
LONGEST_GRANT_PS: Final = 1_000 * MS
STAY_PS: Final = 1_500 * MS
"""Of the switch whose analyser waits for the next train of its link."""
TIME_INTERVAL_PS: Final = 400 * MS
"""Between two exchanges of a node that follows another's clock."""
ROUTING: Final = {
    "hello_ps": 1_000 * MS,
    "dead_ps": 4_000 * MS,
    "idle_hello_ps": 0,
    "forget_ps": 60_000 * MS,
    "hold_ps": 200 * MS,
    "most_hold_ps": 2_000 * MS,
    "patience_ps": 12_000 * MS,
}
"""The times of LSR."""
FULL: Final = 0xFFFFFFFF
LEASED_QUBITS: Final = 2
"""Of each QPU that a controller leases."""
REFRESH_PS: Final = 1_000 * MS
"""Between two Refreshes of a circuit that the implementation has set up."""
PAIRS_PER_KS: Final = 10_000
"""What a link makes: one pair in two slots."""
LINK: Final = 1


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A quantum link: ends a < b, and its station."""

    number: int
    a: int
    b: int
    station: int
    switched: bool = False
    scheduler: str = "fcfs"


@dataclass(frozen=True, slots=True)
class TimeRow:
    """How the clock of the implementation is kept: by that of a neighbour, or it is the master's."""

    server: int | None


Way = tuple[tuple[int, int], ...]
"""(link, node at its far end), hop by hop."""


@dataclass(frozen=True, slots=True)
class Scene:
    """``role`` is what an implementation says that it can be."""

    name: str
    role: str
    node: int
    peers: tuple[int, ...]
    links: tuple[LinkRow, ...] = ()
    qubits: int = 0
    analysers: int = 0
    stay_ps: int = 0
    success_probability: float = 0.5
    estimate: float = 0.9
    time: TimeRow | None = None
    routing: bool = False
    data_qubits: int = 0
    ways: tuple[Way, ...] = ()
    """To nodes that the implementation has pairs with; the best first."""
    leases: tuple[int, ...] = ()
    """QPUs that the implementation leases, each of two data qubits."""
    controller: int = 0
    """The node that may lease the implementation; 0: none."""
    rounds: int = 0
    """Of purification on each link of its circuits."""
    incarnation: int = 1
    """In which the implementation begins."""
    secret: bytes | None = None

    def key(self, a: int, b: int) -> bytes:
        """Of a pair of nodes.  Unless the implementation brings one it is no secret: the kit is its whole world."""
        if self.secret is not None:
            return self.secret
        low, high = sorted((a, b))
        return hashlib.sha256(f"bellwire conformance {low} {high}".encode()).digest()

    def configuration(self) -> dict[str, Any]:
        """What the implementation is told, but for addresses and the epoch."""
        return {
            "role": self.role,
            "node": self.node,
            "incarnation": self.incarnation,
            "allowance_ps": ALLOWANCE_PS,
            "peers": {str(p): {"key": self.key(self.node, p).hex(), "delay_ps": DELAY_PS} for p in self.peers},
            "links": [
                {
                    "number": link.number,
                    "a": link.a,
                    "b": link.b,
                    "station": link.station,
                    "slot_ps": SLOT_PS,
                    "arm_a_ps": DELAY_PS,
                    "arm_b_ps": DELAY_PS,
                    "attempt_ps": ATTEMPT_PS,
                    "success_probability": self.success_probability,
                    "fidelity": round(self.estimate * FULL),
                    "switched": link.switched,
                    "scheduler": link.scheduler,
                }
                for link in self.links
            ],
            "time": None if self.time is None else {"server": self.time.server, "interval_ps": TIME_INTERVAL_PS},
            "routing": dict(ROUTING) if self.routing else None,
            "data_qubits": self.data_qubits,
            "communication_qubits": self.qubits,
            "controller": self.controller,
            "qpus": {str(node): LEASED_QUBITS for node in self.leases} or None,
            "ways": self._ways(),
            "circuits": {
                "refresh_ps": REFRESH_PS,
                "method": "dejmps" if self.rounds else "none",
                "rounds": self.rounds,
            },
            "switch": {
                "analysers": self.analysers,
                "reconfigure_ps": RECONFIGURE_PS,
                "longest_grant_ps": LONGEST_GRANT_PS,
                "policy": "first-come",
                "stay_ps": self.stay_ps,
            }
            if self.analysers
            else None,
        }

    def _ways(self) -> dict[str, list[list[dict[str, int]]]]:
        """By destination."""
        offer = {"fidelity": round(self.estimate * FULL), "pairs_per_ks": PAIRS_PER_KS, "delay_ps": DELAY_PS}
        ways: dict[str, list[list[dict[str, int]]]] = {}
        for way in self.ways:
            hops = [{"link": link, "node": node, **offer, "memories": 2} for link, node in way]
            ways.setdefault(str(way[-1][1]), []).append(hops)
        return ways


_ENDS: Final = (LinkRow(LINK, 1, 2, 3),)

ECHO: Final = Scene("echo", "echo", 1, (2,))
REBORN: Final = Scene("reborn", "echo", 1, (2, 3), incarnation=2)
"""A node in its second life, of which its peers know nothing yet."""
MASTER: Final = Scene("master", "end", 1, (2, 3), _ENDS, qubits=2)
"""An end of a link, the one with the lower number, which leads."""
URGENT: Final = Scene("urgent", "end", 1, (2, 3), (LinkRow(LINK, 1, 2, 3, scheduler="higher-wfq"),), qubits=2)
"""The leading end of a link whose requests of priority 0 go first."""
FOLLOWER: Final = Scene("follower", "end", 2, (1, 3), _ENDS, qubits=2)
STATION: Final = Scene("station", "station", 3, (1, 2), _ENDS)

MASTER_CLOCK: Final = Scene("master-clock", "clock", 1, (2,), time=TimeRow(None))
"""A node whose clock is the network's."""
CLOCKED: Final = Scene("clocked", "end", 2, (1, 3), _ENDS, qubits=2, time=TimeRow(1))
"""An end of a link that follows the clock of its neighbour."""
ROUTER: Final = Scene(
    "router", "router", 2, (1, 3, 9), (LinkRow(LINK, 1, 2, 9), LinkRow(2, 2, 3, 9)), qubits=4, routing=True
)
"""A repeater between two neighbours, that finds out about the network by LSR."""
_SWITCHED: Final = (LinkRow(LINK, 1, 2, 3, switched=True),)
SWITCHED: Final = Scene("switched", "end", 1, (2, 3), _SWITCHED, qubits=2)
"""The leading end of a link whose station is a switch."""
LED: Final = Scene("led", "end", 2, (1, 3), _SWITCHED, qubits=2)
"""The other end of it."""
_STAR: Final = tuple(LinkRow(n, a, b, 9, switched=True) for n, (a, b) in enumerate(((1, 2), (1, 3), (3, 4), (5, 6)), 1))
SWITCH: Final = Scene("switch", "switch", 9, (1, 2, 3, 4, 5, 6), _STAR, analysers=2)
"""A switch with two analysers; nodes 1 and 3 have two links each, on one port."""
STAYING: Final = replace(SWITCH, name="staying", analysers=1, stay_ps=STAY_PS)
"""The same with one analyser, which waits for its link's next train."""

_DIRECT: Final = (((LINK, 2),),)
QPU: Final = Scene("qpu", "qpu", 1, (2, 3), _ENDS, qubits=4, data_qubits=4, ways=_DIRECT)
"""All layers of a QPU, which leads the link with the only other one."""
SECOND_QPU: Final = Scene("second-qpu", "qpu", 2, (1, 3), _ENDS, qubits=4, data_qubits=4, ways=(((LINK, 1),),))
"""The same with the other QPU leading."""
LEASED: Final = Scene("leased", "qpu", 1, (2, 3, 5), _ENDS, qubits=4, data_qubits=4, ways=_DIRECT, controller=5)
"""The same, with node 5 as a controller that may lease it."""
CONTROLLER: Final = Scene("controller", "controller", 5, (1, 2, 3), leases=(1, 2, 3))
"""A controller that leases nodes 1, 2 and 3; every two can have pairs."""
PURIFYING: Final = Scene("purifying", "qpu", 1, (2, 3), _ENDS, qubits=4, data_qubits=4, ways=_DIRECT, rounds=1)
"""As `qpu`, and of two pairs it makes one."""
REPEATER: Final = Scene("repeater", "repeater", 2, (1, 3, 9), (LinkRow(LINK, 1, 2, 9), LinkRow(2, 2, 3, 9)), qubits=4)
"""Two qubits for either link."""
CROSSROADS: Final = Scene(
    "crossroads",
    "qpu",
    1,
    (2, 4, 9),
    (LinkRow(LINK, 1, 2, 9), LinkRow(2, 1, 4, 9)),
    qubits=4,
    data_qubits=4,
    ways=(((LINK, 2), (3, 3)), ((2, 4), (4, 3))),
)
"""A QPU with two ways to node 3: over node 2, and over node 4."""

DEVICES: Final = Scene("devices", "devices", 0, ())
"""The quantum plane of two nodes, whose devices do one operation after the other."""
PARALLEL: Final = Scene("parallel devices", "devices", 0, ())
LINKED_DEVICES: Final = Scene("linked devices", "devices", 0, ())
"""The same with links between them: at a station, and with a third node at a switch."""
CLOCKED_DEVICES: Final = Scene("clocked devices", "devices", 0, ())
"""The same, where the clocks of node 2 and of the station can be steered."""

SCENES: Final = {
    scene.name: scene
    for scene in (
        *(ECHO, REBORN, MASTER, URGENT, FOLLOWER, STATION, MASTER_CLOCK, CLOCKED),
        *(ROUTER, SWITCHED, LED, SWITCH, STAYING),
        *(QPU, SECOND_QPU, LEASED, CONTROLLER, PURIFYING, REPEATER, CROSSROADS),
    )
}
