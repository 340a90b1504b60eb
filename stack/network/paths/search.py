"""The shortest ways through a graph of links, by any cost that adds up along them.

What may live here: the one call into the graph library, and the types that policies share.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise

from protocols.lsr.service import Graph
from protocols.routes import Hop, Route

type Cost = Callable[[Hop], float]
"""Of one hop; not negative.  `math.inf`: the hop is not to be used."""

type PathPolicy = Callable[[Graph, int, int, int], Sequence[Route]]
"""``policy(graph, source, destination, most)``: up to `most` ways, the best first, each without a node twice."""


def k_shortest(graph: Graph, source: int, destination: int, most: int, cost: Cost) -> list[Route]:
    """The `most` cheapest ways without a loop (Yen 1971), by NetworkX; of equally cheap ones that with fewer hops
    first, then that over lower nodes.

    Of parallel links between two nodes the cheapest counts.  What cannot be reached has no ways.
    """
    if source == destination or destination not in graph:
        return []
    best = _cheapest_hops(graph, cost)
    ways = list(islice(_ways(best, source, destination, cost), most))
    routes = [tuple(best[edge] for edge in pairwise(way)) for way in ways]
    return sorted(routes, key=lambda r: (sum(cost(hop) for hop in r), len(r), [hop.node for hop in r]))


def _cheapest_hops(graph: Graph, cost: Cost) -> dict[tuple[int, int], Hop]:
    best: dict[tuple[int, int], Hop] = {}
    for node, hops in graph.items():
        for hop in hops:
            known = best.get((node, hop.node))
            if cost(hop) < (float("inf") if known is None else cost(known)):
                best[node, hop.node] = hop
    return best


def _ways(best: dict[tuple[int, int], Hop], source: int, destination: int, cost: Cost) -> Iterator[list[int]]:
    # Here, not above: it is a third of a node's memory, and most nodes never look for a way (docs/dependencies.md).
    import networkx

    network = networkx.DiGraph()
    for (here, there), hop in best.items():
        network.add_edge(here, there, cost=cost(hop))
    try:
        yield from networkx.shortest_simple_paths(network, source, destination, weight="cost")
    except (networkx.NetworkXNoPath, networkx.NodeNotFound):
        return
