"""The policies that come with Bellwire, and how a scenario names one.

What may live here: what makes one way better than another.  Costs are integers, so that equal ways cost exactly the
same, on every machine.
"""

import importlib.util
import math
from collections.abc import Sequence
from typing import Final

from protocols.lsr.service import Graph
from protocols.routes import Hop, Route
from stack.network.paths.search import Cost, PathPolicy, k_shortest

FULL: Final = (1 << 32) - 1
CANDIDATES: Final = 8
"""How many ways `rate` looks at, for each of the costs by which it finds them."""

_NANO: Final = 10**9
_PANELS: Final = 100


def additive(graph: Graph, source: int, destination: int, most: int) -> Sequence[Route]:
    """By fidelity: the least sum of -log w, w = (4F - 1)/3, which is what multiplies when Werner pairs are swapped.

    Links that have nothing left to give come last.
    """
    return _spared(graph, source, destination, most, _minus_log_w)


def hops(graph: Graph, source: int, destination: int, most: int) -> Sequence[Route]:
    """By number of links; those that have nothing left to give come last."""
    return _spared(graph, source, destination, most, lambda hop: 1)


def rate(graph: Graph, source: int, destination: int, most: int) -> Sequence[Route]:
    """By the rate of end-to-end pairs that is to be expected (`end_to_end_rate`).

    That is not isotonic: of two ways to a node on the way the better one need not be part of the best way on (Caleffi,
    IEEE Access 5, 22299, 2017), so no shortest-path search finds it by itself.  The shortest ways by two costs that do
    add up are evaluated instead; of equal ones the shorter comes first.
    """
    found = {}
    for cost in (_mean_wait, _minus_log_w):
        for route in _spared(graph, source, destination, max(most, CANDIDATES), cost):
            found[tuple(hop.link for hop in route)] = route
    return sorted(found.values(), key=lambda r: (-end_to_end_rate(r), len(r), [hop.node for hop in r]))[:most]


def end_to_end_rate(route: Route) -> float:
    """Pairs per second between the ends of a way, one at a time, swapped as soon as possible.

    All links start together, each making its pair at the rate that is left of it (exponential waiting times); the last
    one decides.  Then the news travels to the end.  1/rate = E[max T_i] + sum of latencies.
    """
    rates = [_free_hz(hop) for hop in route]
    if not all(rates):
        return 0.0
    latency_s = sum(hop.offer.latency_ps for hop in route) * 1e-12
    return 1.0 / (_mean_of_the_last(rates) + latency_s)


def _mean_of_the_last(rates: Sequence[float]) -> float:
    """E[max] of independent exponential times: the integral of 1 - prod(1 - exp(-r_i t)) over t.

    With u = exp(-r t), r the least rate, it becomes one over (0, 1), of a function without poles; by Simpson's rule.
    """
    least = min(rates)
    powers = [r / least for r in rates]

    def integrand(u: float) -> float:
        if u == 0.0:
            return float(powers.count(1.0))
        left: float = math.prod(1.0 - u**power for power in powers)
        return (1.0 - left) / u

    step = 1.0 / (2 * _PANELS)
    inner = math.fsum((4 if i % 2 else 2) * integrand(i * step) for i in range(1, 2 * _PANELS))
    area: float = (integrand(0.0) + inner + integrand(1.0)) * step / 3
    return area / least


def _free_hz(hop: Hop) -> float:
    return hop.offer.pairs_per_ks / 1000 * (1 - hop.offer.load / FULL)


def _minus_log_w(hop: Hop) -> float:
    w = (4 * hop.offer.fidelity / FULL - 1) / 3
    return 1 + round(-math.log(w) * _NANO) if w > 0 else math.inf  # 1: of two perfect ways the shorter


def _mean_wait(hop: Hop) -> float:
    free = _free_hz(hop)
    return hop.offer.latency_ps + round(1e12 / free) if free else math.inf


def _spared(graph: Graph, source: int, destination: int, most: int, cost: Cost) -> list[Route]:
    """The shortest ways over links that have something left to give; then, if these are too few, over any."""
    free = k_shortest(graph, source, destination, most, lambda hop: math.inf if hop.offer.load == FULL else cost(hop))
    if len(free) == most:
        return free
    known = {tuple(hop.link for hop in route) for route in free}
    others = k_shortest(graph, source, destination, most, cost)
    return (free + [route for route in others if tuple(hop.link for hop in route) not in known])[:most]


POLICIES: Final[dict[str, PathPolicy]] = {"fidelity": additive, "rate": rate, "hops": hops}


def policy(name: str) -> PathPolicy:
    """One of POLICIES, or the function `paths` of a Python file.  What is wrong in one is its author's to see."""
    if name in POLICIES:
        return POLICIES[name]
    spec = importlib.util.spec_from_file_location("path_policy", name)
    if spec is None or spec.loader is None:
        raise ValueError(f"{name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: PathPolicy = module.paths
    return found
