"""What nodes are told so that they can set up circuits: ways to each other, and what the links on them can do.

What may live here: figures that follow from a scenario's network; how circuits are made is the stack's.
"""

from heapq import heappop, heappush
from math import log
from typing import Final

from stack.config import Circuits, Link, NodeConfig, RouteHop, Routing
from testbed.scenario import CircuitPolicy, RoutingPolicy, Scenario

WAYS: Final = 3
"""To each destination, at most."""

_FULL: Final = (1 << 32) - 1
_LEAST_W: Final = 1e-9
_HOP: Final = 1e-6  # among perfect links, fewer


def circuits(policy: CircuitPolicy) -> Circuits:
    """What the scenario says about circuits."""
    return Circuits(
        policy.cutoff_ps,
        policy.nested,
        policy.method,
        policy.link_rounds,
        policy.end_rounds,
        policy.pumping,
        policy.refresh_ps,
    )


def routing(policy: RoutingPolicy | None) -> Routing | None:
    """What the scenario says about routing."""
    if policy is None:
        return None
    return Routing(
        policy.policy,
        policy.hello_ps,
        policy.dead_ps,
        policy.idle_hello_ps,
        policy.forget_ps,
        policy.hold_ps,
        policy.most_hold_ps,
        policy.patience_ps,
    )


type Ways = dict[int, tuple[tuple[RouteHop, ...], ...]]


def all_routes(scenario: Scenario, configs: dict[int, NodeConfig]) -> dict[int, Ways]:
    """Ways from each node with qubits to every other that a chain of links and repeaters joins.

    The best by fidelity for each link that leads away from the node: -log w is what adds up (w = (4F - 1)/3).
    """
    swaps = {node.number for node in scenario.nodes if node.kind == "repeater"}
    roads: dict[int, list[tuple[int, Link]]] = {}
    for config in configs.values():
        for link in config.links:
            if config.number in (link.a, link.b):
                other = link.b if link.a == config.number else link.a
                roads.setdefault(config.number, []).append((other, link))
    offers = {
        link.number: _offer(link, configs[link.a], configs[link.b], swaps)
        for there in roads.values()
        for _, link in there
    }
    found: dict[int, Ways] = {}
    for start in sorted(roads):
        ways: dict[int, list[_Way]] = {}
        for first in roads[start]:
            for destination, way in _best(start, first, roads, swaps).items():
                ways.setdefault(destination, []).append(way)
        found[start] = {
            destination: tuple(
                tuple(RouteHop(link.number, node, offers[link.number]) for node, link in steps)
                for _, _, steps in sorted(several, key=lambda way: way[:2])[:WAYS]
            )
            for destination, several in sorted(ways.items())
        }
    return found


type _Step = tuple[int, Link]
type _Way = tuple[float, int, list[_Step]]


def _best(start: int, first: _Step, roads: dict[int, list[_Step]], swaps: set[int]) -> dict[int, _Way]:
    """Dijkstra over one of the links of `start`, swapping at repeaters only: cost, hops and steps by destination."""
    best: dict[int, _Way] = {}
    # Ties go to the lower-numbered nodes, then to the lower-numbered links: those are never equal.
    waiting: list[tuple[float, int, tuple[int, ...], tuple[int, ...], list[_Step]]] = [
        (_cost(first[1]), 1, (start, first[0]), (first[1].number,), [first])
    ]
    while waiting:
        cost, hops, through, links, way = heappop(waiting)
        here = through[-1]
        if here in best:
            continue
        best[here] = (cost, hops, way)
        if here not in swaps:
            continue
        for there, link in roads[here]:
            if there not in best and there != start:
                onward = (*through, there), (*links, link.number), [*way, (there, link)]
                heappush(waiting, (cost + _cost(link), hops + 1, *onward))
    return best


def _cost(link: Link) -> float:
    return -log(max(_LEAST_W, (4 * link.estimate - 1) / 3)) + _HOP


def _offer(link: Link, a: NodeConfig, b: NodeConfig, swaps: set[int]) -> tuple[int, ...]:
    """The fields of protocols.routes.Offer."""
    memories = []
    for end in (a, b):
        assert end.device is not None
        own = sum(1 for other in end.links if end.number in (other.a, other.b)) if end.number in swaps else 1
        memories.append(end.device.keeps // own)
    return (
        round(link.estimate * _FULL),
        link.pairs_per_ks,
        a.paths[b.number].delay_ps,
        min(memories),
        0,
    )
