"""The network of a run as a drawing: QPUs, repeaters, stations and the arms of fibre between them.

What may live here: where nodes are put, and how they and their links look.  Lengths are not to scale: a longer fibre is
drawn longer, a thousand times the length about three times as long.
"""

from collections.abc import Iterable, Mapping
from html import escape
from math import cos, log10, pi, sin
from typing import Any, Final, NamedTuple

from testbed.page.style import BLUE, GREEN, GREY, INK, ORANGE, PALE
from testbed.scenario import Link, Scenario

WIDTH: Final = 920
_PLANNED: Final = 70
"""Nodes that are placed by distances; more are put on a circle."""
_MARGIN: Final = 78
_LOOKS: Final = {"qpu": BLUE, "repeater": GREEN, "station": ORANGE, "controller": GREY}


class LinkNote(NamedTuple):
    """What stands beside a link."""

    text: str
    busy: bool


def sketch(scenario: Scenario, notes: Mapping[str, LinkNote], used: Mapping[str, str]) -> str:
    """SVG.  notes: by link; used: by node, what it held for the circuits."""
    places, height = _places(scenario)
    out = [
        (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="100%" role="img" '
        'aria-label="the network">')
    ]
    for link in scenario.links:
        note = notes.get(link.name, LinkNote("", False))
        ends = [(link.a, link.station), (link.station, link.b)]
        colour, width = (BLUE, 2.6) if note.busy else (GREY, 1.4)
        for one, other in ends:
            (x1, y1), (x2, y2) = places[one], places[other]
            out.append(
                f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
                f'stroke-width="{width}" stroke-opacity=".75"/>'
            )
    for classical in scenario.classical_links:
        (x1, y1), (x2, y2) = places[classical.a], places[classical.b]
        out.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{GREY}" stroke-dasharray="3 4"/>'
        )
    for node in scenario.nodes:
        out += _node(node.name, node.kind, places[node.name], used.get(node.name, ""))
    if len(scenario.links) <= _PLANNED:
        taken = [(x, y + down) for x, y in places.values() for down in (0, 30, 46)]
        for link in scenario.links:
            note = notes.get(link.name, LinkNote("", False))
            out += _label(link, note, places, taken)
    out.append("</svg>")
    return "\n".join(out)


def _node(name: str, kind: str, place: tuple[float, float], under: str) -> list[str]:
    x, y = place
    colour = _LOOKS[kind]
    if kind == "station":
        shape = f'<rect x="{x - 8:.1f}" y="{y - 8:.1f}" width="16" height="16" rx="3" fill="{colour}" '
        shape += f'transform="rotate(45 {x:.1f} {y:.1f})"/>'
        below = y + 27
    else:
        shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="17" fill="{colour}"/>'
        below = y + 33
    text = 'text-anchor="middle" paint-order="stroke" stroke="#fff" stroke-width="4"'
    lines = [shape, f'<text x="{x:.1f}" y="{below:.1f}" {text} font-weight="600" fill="{INK}">{escape(name)}</text>']
    if under:
        lines.append(f'<text x="{x:.1f}" y="{below + 15:.1f}" {text} font-size="12" fill="#555">{escape(under)}</text>')
    return lines


def _label(
    link: Link, note: LinkNote, places: Mapping[str, tuple[float, float]], taken: list[tuple[float, float]]
) -> list[str]:
    """Beside the longer arm; where another stands already, further along."""
    if not note.text:
        return []
    arms = [(link.a, link.station), (link.b, link.station)]
    spots = []
    for one, other in arms:
        (x1, y1), (x2, y2) = places[one], places[other]
        spots += [(x1 + (x2 - x1) * share, y1 + (y2 - y1) * share) for share in (0.5, 0.62, 0.38)]
    x, y = max(spots, key=lambda s: min([abs(s[0] - t[0]) / 3 + abs(s[1] - t[1]) for t in taken], default=0))
    taken.append((x, y))
    style = f'text-anchor="middle" font-size="12" fill="{INK}" paint-order="stroke" stroke="{PALE}" stroke-width="5"'
    lines = note.text.split("\n")
    top = y - 7 * (len(lines) - 1) + 4
    return [
        f'<text x="{x:.1f}" y="{top + 14 * i:.1f}" {style}>{escape(line)}</text>' for i, line in enumerate(lines)
    ]


def _places(scenario: Scenario) -> tuple[dict[str, tuple[float, float]], float]:
    """By node, in pixels; and the height of the drawing."""
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(node.name for node in scenario.nodes)
    for link in scenario.links:
        for end, arm_m in ((link.a, link.arm_a_m), (link.b, link.arm_b_m)):
            graph.add_edge(end, link.station, weight=_drawn_length(arm_m))
    for classical in scenario.classical_links:
        graph.add_edge(classical.a, classical.b, weight=_drawn_length(classical.length_m))
    parts = [list(part) for part in nx.connected_components(graph)]
    order = {node.name: i for i, node in enumerate(scenario.nodes)}
    parts.sort(key=lambda part: (-len(part), min(order[name] for name in part)))
    places: dict[str, tuple[float, float]] = {}
    left, tallest = 0.0, 1.0
    for part in parts:
        names = sorted(part, key=order.__getitem__)
        laid = _laid_out(graph.subgraph(names), names)
        lowest_x, lowest_y = (min(place[axis] for place in laid.values()) for axis in (0, 1))
        for name, (x, y) in laid.items():
            places[name] = (left + x - lowest_x, y - lowest_y)
        width = max(place[0] for place in laid.values()) - lowest_x
        tallest = max(tallest, max(place[1] for place in laid.values()) - lowest_y)
        left += width + 1.6
    left = max(left - 1.6, 1.0)
    scale = min((WIDTH - 2 * _MARGIN) / left, 560 / tallest, 190.0)
    shift = (WIDTH - 2 * _MARGIN - left * scale) / 2
    pixels = {name: (_MARGIN + shift + x * scale, 40 + y * scale) for name, (x, y) in places.items()}
    return pixels, 40 + tallest * scale + 70


def _drawn_length(length_m: float) -> float:
    return 1 + 0.6 * log10(1 + max(0.0, length_m) / 10)


def _laid_out(graph: Any, names: list[str]) -> dict[str, tuple[float, float]]:
    """One connected part: distances as drawn lengths say, and wider than tall."""
    if len(names) == 1:
        return {names[0]: (0.0, 0.0)}
    if len(names) > _PLANNED:
        around = [2 * pi * i / len(names) for i in range(len(names))]
        return {name: (4 * cos(angle), 4 * sin(angle)) for name, angle in zip(names, around, strict=True)}
    import networkx as nx

    # From a start without symmetry, so that the result does not depend on which of two mirror images is nearer.
    start = {name: (cos(2.4 * i) * (1 + 0.1 * i), sin(2.4 * i) * (1 + 0.1 * i)) for i, name in enumerate(names)}
    laid = nx.kamada_kawai_layout(graph, pos=start, weight="weight")
    size = sum(data["weight"] for _, _, data in graph.edges(data=True)) / graph.number_of_edges()
    spread = _mean_edge(graph, laid)
    return _turned({name: (float(x) * size / spread, float(y) * size / spread) for name, (x, y) in laid.items()})


def _mean_edge(graph: Any, laid: Mapping[str, Iterable[float]]) -> float:
    total = 0.0
    for a, b in graph.edges:
        (xa, ya), (xb, yb) = laid[a], laid[b]
        total += ((xa - xb) ** 2 + (ya - yb) ** 2) ** 0.5
    return float(total / graph.number_of_edges()) or 1.0


def _turned(laid: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """The long way of it lies flat."""
    best, least = dict(laid), float("inf")
    for step in range(36):
        c, s = cos(pi * step / 36), sin(pi * step / 36)
        turned = {name: (c * x - s * y, s * x + c * y) for name, (x, y) in laid.items()}
        tall = max(y for _, y in turned.values()) - min(y for _, y in turned.values())
        if tall < least - 1e-9:
            best, least = turned, tall
    return best
