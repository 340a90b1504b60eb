"""The classical network: how long frames take between any two nodes, and what goes wrong with them on the way.

What may live here: ways over several channels.  The channels themselves are read in ``testbed.scenario.channels``.

What is emulated is that of its owner: at every site a router carries frames on, whatever becomes of the quantum node
beside it.  So any two nodes that a chain of channels joins can exchange frames.  They take the channel that joins the
two, where there is one, else the quickest chain.  Routers themselves take no time.
"""

from collections.abc import Collection, Iterable
from heapq import heappop, heappush
from itertools import pairwise
from math import prod

from stack.config import Faults, Path
from testbed.scenario import Channel, Scenario


def all_ways(scenario: Scenario, cuts: Collection[frozenset[str]] = ()) -> dict[int, dict[int, Path]]:
    """The way from each node to every other that it can reach, by their numbers, ascending; ``cuts``: the channels, by
    their ends, over which nothing passes."""
    numbers = {node.name: node.number for node in scenario.nodes}
    names = {node.number: node.name for node in scenario.nodes}
    holders = {node.number for node in scenario.nodes if node.kind in ("qpu", "repeater")}
    roads: dict[int, dict[int, Channel]] = {number: {} for number in sorted(names)}
    for channel in scenario.channels:
        a, b = numbers[channel.a], numbers[channel.b]
        roads[a][b] = roads[b][a] = channel
    ways: dict[int, dict[int, Path]] = {number: {} for number in roads}
    for a, road in roads.items():
        for b, chain in _quickest(roads, a).items():
            if b > a:  # the way back goes over the same channels
                direct = road.get(b)
                chain = [direct] if direct is not None else chain
                faults = _joined(chain)
                cut = any(frozenset((channel.a, channel.b)) in cuts for channel in chain)
                ways[a][b] = Path(names[b], _delay_ps(chain, names[a]), faults, cut, b in holders)
                ways[b][a] = Path(names[a], _delay_ps(chain[::-1], names[b]), faults, cut, a in holders)
    return {number: dict(sorted(there.items())) for number, there in ways.items()}


def _quickest(roads: dict[int, dict[int, Channel]], start: int) -> dict[int, list[Channel]]:
    """The chain of channels to each node that can be reached from `start` (Dijkstra); of equally quick ones that with
    fewer channels, then that over lower numbers."""
    found: dict[int, list[Channel]] = {}
    waiting: list[tuple[int, int, list[int]]] = [(0, 0, [start])]
    while waiting:
        delay_ps, hops, through = heappop(waiting)
        here = through[-1]
        if here in found:
            continue
        found[here] = [roads[a][b] for a, b in pairwise(through)]
        for there, channel in roads[here].items():
            if there not in found:
                heappush(waiting, (delay_ps + channel.delay_ps, hops + 1, [*through, there]))
    return found


def _delay_ps(chain: Iterable[Channel], here: str) -> int:
    """Of channels one after the other, from the node that is called so."""
    total_ps = 0
    for channel in chain:
        total_ps += channel.delay_from(here)
        here = channel.b if here == channel.a else channel.a
    return total_ps


def _joined(chain: list[Channel]) -> Faults:
    """Faults of channels one after the other: each does its own to a frame."""
    if len(chain) == 1:
        return chain[0].faults
    faults = [channel.faults for channel in chain]
    return Faults(
        loss=_any_of(f.loss for f in faults),
        duplicate=_any_of(f.duplicate for f in faults),
        corrupt=_any_of(f.corrupt for f in faults),
        reorder=_any_of(f.reorder for f in faults),
        jitter_ps=sum(f.jitter_ps for f in faults),
    )


def _any_of(probabilities: Iterable[float]) -> float:
    """That one at least of independent events happens."""
    present = [p for p in probabilities if p]
    return 1.0 - prod(1.0 - p for p in present) if present else 0.0
