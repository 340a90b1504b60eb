"""Where the nodes of a network are put in its drawing.

What may live here: places, in pixels.  Lengths are not to scale: a longer fibre is drawn longer, a thousand times the
length about three times as long.  A station that serves one link lies on the line between that link's ends; all others
are laid out by how far they are from each other over fibres (Kamada and Kawai, 1989), each connected part for itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import atan2, cos, hypot, log10, pi, sin
from typing import Any, Final, NamedTuple

from testbed.scenario import Link, Scenario

WIDTH: Final = 920
_SIDE: Final = 78
_ABOVE: Final = 54
_BELOW: Final = 62
_EDGE: Final = 24.0
"""No node's middle is nearer to the edge."""
_TALLEST: Final = 560.0
_LONGEST: Final = 190.0
"""So many pixels at most is a length of 1."""
_PLANNED: Final = 150
"""A part of so many nodes is laid out by distances; a larger one by springs, which is faster."""
_ROUNDS: Final = 60
_ROW: Final = 7.0
"""Parts stand side by side as far as that, in lengths,"""
_GAP: Final = 1.6
"""and so far from each other."""
_BESIDE: Final = 40.0
"""Between links that join the same two nodes."""

type Place = tuple[float, float]


class Layout(NamedTuple):
    """Places by node; ``arms``: of every link the two lines from its ends to its station."""

    places: dict[str, Place]
    height: float
    radius: float
    """Of a node; a station is half as large."""


class Ground(NamedTuple):
    """A network laid out in lengths, all but stations that serve one link (``thin``); to be scaled."""

    scenario: Scenario
    places: dict[str, Place]
    thin: dict[str, Link]

    def scaled(self, stretch: float = 1.0) -> Layout:
        """`stretch`: so much taller than the fibres' lengths ask for."""
        n = len(self.places)
        wide, deep = (max(place[axis] for place in self.places.values()) for axis in (0, 1))
        scale = min((WIDTH - 2 * _SIDE) / max(wide, 1.0), _TALLEST / max(deep, 0.1), _LONGEST)
        radius = self._radius(scale)
        left = (WIDTH - wide * scale) / 2
        spare = 3 * radius if n > 12 and deep * scale < 120 else 0.0  # room for the names along a line
        height = _ABOVE + deep * scale * stretch + _BELOW + 2 * spare
        top = _ABOVE + spare
        pixels = {name: (left + x * scale, top + y * scale * stretch) for name, (x, y) in self.places.items()}
        beside = _between(self.thin.values())
        for station, link in self.thin.items():
            x, y = _on_the_line(link, pixels, beside[link.name])
            pixels[station] = min(max(x, _EDGE), WIDTH - _EDGE), y
        above = max(0.0, _EDGE - min(y for _, y in pixels.values()))  # many links beside each other bulge
        height = max(height, *(y + _EDGE for _, y in pixels.values())) + above
        pixels = {name: (x, y + above) for name, (x, y) in pixels.items()}
        room = {node.name: radius / 2 if node.kind == "station" else radius for node in self.scenario.nodes}
        return Layout(_apart(pixels, room, height), height, radius)


    def _radius(self, scale: float) -> float:
        """The more nodes, and the nearer they lie, the smaller."""
        lengths = []
        for link in self.scenario.links:
            ends = (link.a, link.b) if link.station in self.thin else (link.a, link.station)
            (x1, y1), (x2, y2) = (self.places[end] for end in ends)
            lengths.append(hypot(x2 - x1, y2 - y1) * scale / (2 if link.station in self.thin else 1))
        n = len(self.places)
        usual = 17.0 if n <= 24 else 11.0 if n <= 60 else 7.0
        short = sorted(lengths)[len(lengths) // 10] if lengths else _LONGEST
        return round(min(usual, max(4.0, 0.36 * short)), 1)


def lay_out(scenario: Scenario) -> Ground:
    """Of two equal networks equal places."""
    thin = _thin(scenario)
    drawn = [node.name for node in scenario.nodes if node.name not in thin]
    return Ground(scenario, _ends(scenario, drawn, thin), thin)


def _thin(scenario: Scenario) -> dict[str, Link]:
    """Stations that serve one link, and which."""
    served: dict[str, list[Link]] = {}
    for link in scenario.links:
        served.setdefault(link.station, []).append(link)
    reached = {name for c in scenario.classical_links for name in (c.a, c.b)}
    return {name: links[0] for name, links in served.items() if len(links) == 1 and name not in reached}


def _between(links: Iterable[Link]) -> dict[str, float]:
    """How far beside the line a link lies, because others join the same two nodes."""
    together: dict[frozenset[str], list[str]] = {}
    for link in links:
        together.setdefault(frozenset((link.a, link.b)), []).append(link.name)
    return {
        name: _BESIDE * (i - (len(names) - 1) / 2) for names in together.values() for i, name in enumerate(names)
    }


def _on_the_line(link: Link, pixels: Mapping[str, Place], beside: float) -> Place:
    (x1, y1), (x2, y2) = sorted((pixels[link.a], pixels[link.b]))
    to_a = _drawn_length(link.arm_a_m) / (_drawn_length(link.arm_a_m) + _drawn_length(link.arm_b_m))
    share = to_a if (x1, y1) == pixels[link.a] else 1 - to_a
    length = hypot(x2 - x1, y2 - y1) or 1.0
    across = (-(y2 - y1) / length * beside, (x2 - x1) / length * beside)
    return x1 + (x2 - x1) * share + across[0], y1 + (y2 - y1) * share + across[1]


def _ends(scenario: Scenario, drawn: list[str], thin: Mapping[str, Link]) -> dict[str, Place]:
    """All but thin stations, in lengths, from (0, 0) on; parts side by side, in rows."""
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(drawn)
    for link in scenario.links:
        to_a, to_b = _drawn_length(link.arm_a_m), _drawn_length(link.arm_b_m)
        if link.station in thin:
            _join(graph, link.a, link.b, to_a + to_b)
        else:
            _join(graph, link.a, link.station, to_a)
            _join(graph, link.station, link.b, to_b)
    for classical in scenario.classical_links:
        _join(graph, classical.a, classical.b, _drawn_length(classical.length_m))
    order = {name: i for i, name in enumerate(drawn)}
    parts = [sorted(part, key=order.__getitem__) for part in nx.connected_components(graph)]
    parts.sort(key=lambda part: (-len(part), order[part[0]]))
    return _in_rows([_laid_out(graph.subgraph(names), names) for names in parts])


def _in_rows(parts: Sequence[Mapping[str, Place]]) -> dict[str, Place]:
    extents = [[max(place[axis] for place in part.values()) for axis in (0, 1)] for part in parts]
    widest = max(_ROW, *(wide for wide, _ in extents))
    places: dict[str, Place] = {}
    left, top, deepest = 0.0, 0.0, 0.0
    for part, (wide, deep) in zip(parts, extents, strict=True):
        if left > 0 and left + wide > widest:
            left, top = 0.0, top + deepest + _GAP
            deepest = 0.0
        places |= {name: (left + x, top + y) for name, (x, y) in part.items()}
        left, deepest = left + wide + _GAP, max(deepest, deep)
    return places


def _join(graph: Any, one: str, other: str, length: float) -> None:
    known = graph.get_edge_data(one, other, {"weight": length})
    graph.add_edge(one, other, weight=min(length, known["weight"]))


def _drawn_length(length_m: float) -> float:
    return 1 + 0.6 * log10(1 + max(0.0, length_m) / 10)


def _laid_out(graph: Any, names: Sequence[str]) -> dict[str, Place]:
    """One connected part: distances as drawn lengths say, and wider than tall."""
    if len(names) == 1:
        return {names[0]: (0.0, 0.0)}
    import networkx as nx

    # From a start without symmetry, so that the result does not depend on which of two mirror images is nearer.
    start = {name: (cos(2.4 * i) * (1 + 0.1 * i), sin(2.4 * i) * (1 + 0.1 * i)) for i, name in enumerate(names)}
    if len(names) <= _PLANNED:
        laid = nx.kamada_kawai_layout(graph, pos=start, weight="weight")
    else:
        laid = nx.spring_layout(graph, pos=start, iterations=80, weight=None, seed=1)
    lengths = [data["weight"] for _, _, data in graph.edges(data=True)]
    edges = [hypot(*(a - b for a, b in zip(laid[one], laid[other], strict=True))) for one, other in graph.edges]
    grow = (sum(lengths) / sum(edges)) if sum(edges) else 1.0
    return _turned({name: (float(x) * grow, float(y) * grow) for name, (x, y) in laid.items()}, names)


def _turned(laid: Mapping[str, Place], names: Sequence[str]) -> dict[str, Place]:
    """From (0, 0) on; the long way of it lies flat, and what was named first is at the left, and above."""
    n = len(laid)
    mean_x, mean_y = sum(x for x, _ in laid.values()) / n, sum(y for _, y in laid.values()) / n
    moved = {name: (x - mean_x, y - mean_y) for name, (x, y) in laid.items()}
    xx, yy = sum(x * x for x, _ in moved.values()), sum(y * y for _, y in moved.values())
    main = atan2(2 * sum(x * y for x, y in moved.values()), xx - yy) / 2
    best, least = dict(moved), float("inf")
    for step in range(36):
        c, s = cos(pi * step / 36 - main), sin(pi * step / 36 - main)
        turned = {name: (c * x - s * y, s * x + c * y) for name, (x, y) in moved.items()}
        tall = max(y for _, y in turned.values()) - min(y for _, y in turned.values())
        if tall < least - 1e-9:
            best, least = turned, tall
    over = 1 if best[names[0]][0] <= 1e-9 else -1
    down = 1 if best[names[0]][1] <= 1e-9 else -1
    left, top = min(over * x for x, _ in best.values()), min(down * y for _, y in best.values())
    return {name: (over * x - left, down * y - top) for name, (x, y) in best.items()}


def _apart(pixels: dict[str, Place], room: Mapping[str, float], height: float) -> dict[str, Place]:
    """None on another: what is too near is pushed away, a little at a time."""
    names = list(pixels)
    for _ in range(_ROUNDS):
        near = 0
        cells: dict[tuple[int, int], list[str]] = {}
        for name in names:
            cells.setdefault((int(pixels[name][0] // 50), int(pixels[name][1] // 50)), []).append(name)
        for place, one in enumerate(names):
            i, j = int(pixels[one][0] // 50), int(pixels[one][1] // 50)
            for other in [n for a in (-1, 0, 1) for b in (-1, 0, 1) for n in cells.get((i + a, j + b), ())]:
                if other <= one:
                    continue
                (x1, y1), (x2, y2) = pixels[one], pixels[other]
                wanted, far = room[one] + room[other] + 6, hypot(x2 - x1, y2 - y1)
                if far >= wanted:
                    continue
                near += 1
                angle = atan2(y2 - y1, x2 - x1) if far > 1e-6 else 2.4 * place
                push = (wanted - far) / 2 + 0.5
                pixels[one] = _kept(x1 - push * cos(angle), y1 - push * sin(angle), height)
                pixels[other] = _kept(x2 + push * cos(angle), y2 + push * sin(angle), height)
        if not near:
            break
    return pixels


def _kept(x: float, y: float, height: float) -> Place:
    return min(max(x, _EDGE), WIDTH - _EDGE), min(max(y, _EDGE), height - _EDGE)
