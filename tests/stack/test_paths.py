"""Path policies: the ways they find, and the order they put them in."""

import itertools
import math
import random
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.lsr.service import Graph
from protocols.routes import Hop, Offer, Route
from stack.network.paths import additive, end_to_end_rate, hops, k_shortest, policy, rate

FULL = (1 << 32) - 1
MS = 10**9


def offer(fidelity: float = 0.95, hz: float = 1000.0, latency_ps: int = MS, load: float = 0.0) -> Offer:
    return Offer(round(fidelity * FULL), round(hz * 1000), latency_ps, 2, round(load * FULL))


def graph(links: dict[tuple[int, int], Offer]) -> Graph:
    """Links are numbered in the order in which they are written."""
    out: dict[int, list[Hop]] = {node: [] for node in sorted({end for ends in links for end in ends})}
    for number, ((a, b), what) in enumerate(links.items(), 1):
        out[a].append(Hop(number, b, what))
        out[b].append(Hop(number, a, what))
    return {node: tuple(sorted(found, key=lambda hop: (hop.node, hop.link))) for node, found in out.items()}


def through(routes: list[Route]) -> list[list[int]]:
    return [[hop.node for hop in route] for route in routes]


def by_hand(graph: Graph, source: int, destination: int) -> list[Route]:
    """All loopless ways."""
    found: list[Route] = []

    def go(route: Route, seen: set[int]) -> None:
        here = route[-1].node if route else source
        if here == destination:
            found.append(route)
            return
        for hop in graph.get(here, ()):
            if hop.node not in seen:
                go((*route, hop), seen | {hop.node})

    go((), {source})
    return found


SQUARE = {(1, 2): offer(0.99), (2, 4): offer(0.99), (1, 3): offer(0.98), (3, 4): offer(0.98), (1, 4): offer(0.9)}


def test_additive_multiplies_w_along_the_way() -> None:
    """w = (4F - 1)/3: two links of .99 (w = .974) beat two of .98 (.947) and one of .9 (.867); three of .99 too."""
    assert through(additive(graph(SQUARE), 1, 4, 5)) == [[2, 4], [3, 4], [4]]
    assert through(additive(graph(SQUARE), 1, 4, 2)) == [[2, 4], [3, 4]]


def test_log_w_is_not_log_f() -> None:
    """.77 twice or .595 once: by the product of F once is better (.593), by that of w twice is (.481 against .46)."""
    links = {(1, 2): offer(0.77), (2, 3): offer(0.77), (1, 3): offer(0.595)}

    assert 0.77**2 < 0.595
    assert through(additive(graph(links), 1, 3, 1)) == [[2, 3]]


def test_fewest_hops() -> None:
    assert through(hops(graph(SQUARE), 1, 4, 5)) == [[4], [2, 4], [3, 4]]


def test_of_equal_ways_that_over_lower_nodes_comes_first() -> None:
    links = {(1, 5): offer(), (5, 9): offer(), (1, 3): offer(), (3, 9): offer(), (1, 4): offer(), (4, 9): offer()}

    for find in (additive, hops, rate):
        assert through(find(graph(links), 1, 9, 3)) == [[3, 9], [4, 9], [5, 9]]


def test_a_link_below_the_worth_of_any_pair_is_never_used() -> None:
    links = {(1, 2): offer(0.24), (1, 3): offer(0.5), (3, 2): offer(0.5)}

    assert through(additive(graph(links), 1, 2, 3)) == [[3, 2]]


def test_of_parallel_links_the_better_is_taken() -> None:
    both = {1: (Hop(1, 2, offer(0.9)), Hop(2, 2, offer(0.95))), 2: ()}

    assert [[hop.link for hop in route] for route in additive(both, 1, 2, 2)] == [[2]]


@pytest.mark.parametrize("find", [additive, hops, rate])
def test_what_cannot_be_reached_has_no_ways(find: object) -> None:
    cut = graph({(1, 2): offer(), (3, 4): offer()})

    assert find(cut, 1, 3, 3) == []  # type: ignore[operator]
    assert find(cut, 1, 9, 3) == []  # type: ignore[operator]
    assert find(cut, 1, 1, 3) == []  # type: ignore[operator]


def test_nobody_is_passed_through_who_has_no_hops() -> None:
    closed = {**graph({(1, 2): offer(), (2, 3): offer(), (1, 4): offer(), (4, 3): offer()}), 2: ()}

    assert through(additive(closed, 1, 3, 3)) == [[4, 3]]
    assert through(additive(closed, 1, 2, 3)) == [[2], [4, 3, 2]]


# ------------------------------------------------------------------------------------------------------------- rate


@pytest.mark.parametrize(
    "rates", [(3.0,), (5.0, 5.0), (1.0, 2.0, 4.0), (7.0,) * 8, (1.0, 30.0, 900.0), (2.0, 2.0, 3.0)]
)
def test_the_rate_is_that_of_the_slowest_of_all_links_and_the_news(rates: tuple[float, ...]) -> None:
    """Inclusion and exclusion: E[max] = sum over subsets of (-1)^(n+1) / sum of rates."""
    subsets = (some for size in range(1, len(rates) + 1) for some in itertools.combinations(rates, size))
    mean = sum((-1) ** (len(some) + 1) / sum(some) for some in subsets)
    route = tuple(Hop(n, n + 1, offer(hz=hz, latency_ps=20 * MS)) for n, hz in enumerate(rates, 1))

    assert end_to_end_rate(route) == pytest.approx(1 / (mean + 0.02 * len(rates)), rel=1e-3)


def test_the_best_rate_is_not_made_of_best_rates() -> None:
    """To 2, the one link of 400 pairs/s is better than two of 580; on to 3, over another of 400, it is not."""
    links = {(1, 2): offer(hz=400, latency_ps=0), (1, 9): offer(hz=580, latency_ps=0)}
    links |= {(9, 2): offer(hz=580, latency_ps=0), (2, 3): offer(hz=400, latency_ps=0)}

    assert through(rate(graph(links), 1, 2, 2)) == [[2], [9, 2]]
    assert through(rate(graph(links), 1, 3, 2)) == [[9, 2, 3], [2, 3]]


def test_load_moves_ways_away() -> None:
    """By rate as soon as it makes the other way faster; by fidelity only when nothing is left."""
    links = {(1, 2): offer(0.99), (2, 4): offer(0.99), (1, 3): offer(0.98), (3, 4): offer(0.98)}
    half = {**links, (2, 4): offer(0.99, load=0.5)}
    full = {**links, (2, 4): offer(0.99, load=1.0)}

    assert [through(find(graph(links), 1, 4, 1)) for find in (additive, rate)] == [[[2, 4]], [[2, 4]]]
    assert [through(find(graph(half), 1, 4, 1)) for find in (additive, rate)] == [[[2, 4]], [[3, 4]]]
    assert [through(find(graph(full), 1, 4, 1)) for find in (additive, rate)] == [[[3, 4]], [[3, 4]]]
    assert through(additive(graph(full), 1, 4, 2)) == [[3, 4], [2, 4]], "still there, but last"


@given(st.integers(0, 1 << 32))
def test_the_shortest_are_those_of_all_ways(seed: int) -> None:
    """Against every loopless way, on random graphs of up to seven nodes."""
    draw = random.Random(seed)
    count = draw.randint(2, 7)
    pairs = [(a, b) for a in range(1, count + 1) for b in range(a + 1, count + 1) if draw.random() < 0.6]
    if not pairs:
        return
    some = graph({pair: offer(draw.choice([0.8, 0.9, 0.95, 0.99]), draw.choice([10, 50, 100])) for pair in pairs})
    source, destination = draw.choice(sorted(some)), draw.choice(sorted(some))
    ways = [] if source == destination else by_hand(some, source, destination)

    def minus_log_w(route: Route) -> float:
        return sum(-math.log((4 * hop.offer.fidelity / FULL - 1) / 3) for hop in route)

    found = additive(some, source, destination, 4)
    assert len(found) == min(4, len(ways))
    assert [minus_log_w(r) for r in found] == pytest.approx(sorted(minus_log_w(r) for r in ways)[:4], abs=1e-7)
    by_rate = rate(some, source, destination, 1)
    assert bool(by_rate) == bool(ways)
    if len(ways) <= 8:
        assert all(end_to_end_rate(way) <= end_to_end_rate(by_rate[0]) * (1 + 1e-12) for way in ways)


# ---------------------------------------------------------------------------------------------------- a user's own


def test_a_policy_of_ones_own(tmp_path: Path) -> None:
    """As docs/routing.md has it."""
    page = (Path(__file__).parents[2] / "docs" / "routing.md").read_text()
    example = page.split("```python\n")[1].split("```")[0]
    (tmp_path / "own.py").write_text(textwrap.dedent(example))

    own = policy(str(tmp_path / "own.py"))

    assert len(example.strip().splitlines()) <= 10
    links = {(1, 2): offer(load=0.9), (2, 4): offer(), (1, 3): offer(load=0.1), (3, 5): offer(), (5, 4): offer()}
    assert through(own(graph(links), 1, 4, 2)) == [[3, 5, 4], [2, 4]]


def test_policies_are_known_by_name() -> None:
    assert [policy(name) for name in ("fidelity", "rate", "hops")] == [additive, rate, hops]


def test_k_shortest_may_be_asked_by_any_cost() -> None:
    assert through(k_shortest(graph(SQUARE), 1, 4, 9, lambda hop: -hop.link + 10)) == [[4], [3, 4], [2, 4]]
