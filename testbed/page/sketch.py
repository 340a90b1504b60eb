"""The network of a run as a drawing: QPUs, repeaters, stations and the arms of fibre between them.

What may live here: how nodes and links look, and where their words stand: no two on each other, none over the edge.
In a crowd words become fewer: first what a node holds and a link's fidelity are left out, then stations' names, then
numbers of pairs, last names; whatever is left out is said when one points at it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from html import escape
from math import hypot
from typing import Final, NamedTuple

from testbed.lettering import Block, Box, Sheet
from testbed.page.layout import WIDTH, Layout, Place, lay_out
from testbed.palette import BLUE, GREEN, GREY, INK, ORANGE, PANEL, SOFT
from testbed.scenario import Node, Scenario

LOOKS: Final = {"qpu": BLUE, "repeater": GREEN, "station": ORANGE, "controller": GREY}
_KINDS: Final = {"qpu": "QPU", "repeater": "repeater", "station": "station", "controller": "controller"}
_STRETCHES: Final = (1.0, 1.35, 1.8, 2.4)
"""How much taller a drawing may become until its words find room."""
_CROWD: Final = 150
"""So many nodes and more are drawn as tall as can be at once: less would not do, and to try takes seconds."""
_FOOT: Final = 24
_RIM: Final = 18
"""Above the highest of a drawing, and below the lowest."""
_SHARES: Final = (0.5, 0.4, 0.6, 0.3, 0.7, 0.22, 0.78)
"""Where along an arm the words about it may stand."""
_UNUSED: Final = f'stroke="{GREY}" stroke-width="1.4"'


type Arm = tuple[Place, Place]


class LinkNote(NamedTuple):
    """What a link has done: pairs made, and their mean fidelity when both ends had heard of them, if it is known."""

    pairs: int
    fidelity: float | None = None

    def words(self) -> str:
        return f"{self.pairs} pair{'s' * (self.pairs != 1)}"

    def full(self) -> str:
        return self.words() + ("" if self.fidelity is None else f", F {self.fidelity:.3f}")


class _Words(NamedTuple):
    """What has found a place: its lines, and where."""

    block: Block
    box: Box
    about_node: bool


def sketch(scenario: Scenario, notes: Mapping[str, LinkNote], used: Mapping[str, str]) -> str:
    """SVG.  notes: by link; used: by node, what it held for the circuits."""
    best: tuple[int, Layout, list[_Words]] | None = None
    ground = lay_out(scenario)
    for stretch in _STRETCHES if len(scenario.nodes) <= _CROWD else _STRETCHES[-1:]:
        layout = ground.scaled(stretch)
        words, lost = _lettered(scenario, layout, notes, used)
        if best is None or lost < best[0]:
            best = lost, layout, words
        if not lost:
            break
    assert best is not None
    lost, layout, words = best
    reach = layout.radius + _RIM
    top = min([y - reach for _, y in layout.places.values()] + [one.box.top - _RIM for one in words])
    foot = max([y + reach for _, y in layout.places.values()] + [one.box.bottom + _RIM for one in words])
    foot += _FOOT if lost else 0
    view = f"0 {top:.0f} {WIDTH} {foot - top:.0f}"
    out = [
        (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" width="100%" role="img" '
         f'aria-label="{escape(_told(scenario))}">'),
        *_arms(scenario, layout, notes),
        *(_node(node, layout, used.get(node.name, "")) for node in scenario.nodes),
        *(line for one in words for line in _written(one)),
    ]  # fmt: skip
    if lost:
        said = "Not every word finds room: point at a node or at a link."
        out.append(f'<text x="12" y="{foot - 10:.0f}" style="font-size:12px" fill="{SOFT}">{said}</text>')
    out.append("</svg>")
    return "\n".join(out)


def _told(scenario: Scenario) -> str:
    """The drawing for who cannot see it."""
    kinds: dict[str, list[str]] = {}
    for node in scenario.nodes:
        kinds.setdefault(node.kind, []).append(node.name)
    said = [f"{_KINDS[kind]} {', '.join(names)}" for kind, names in kinds.items()]
    n = len(scenario.links)
    return f"the network: {'; '.join(said)}; {n} link{'s' * (n != 1)}"


def _arm_notes(scenario: Scenario, notes: Mapping[str, LinkNote]) -> dict[tuple[str, str], LinkNote]:
    """What went over each arm of fibre, by (end, station): behind a switch many links share one."""
    over: dict[tuple[str, str], list[LinkNote]] = {}
    for link in scenario.links:
        for end in (link.a, link.b):
            over.setdefault((end, link.station), []).append(notes.get(link.name, LinkNote(0)))
    return {arm: _together(some) for arm, some in over.items()}


def _together(notes: Iterable[LinkNote]) -> LinkNote:
    """Of several links: all pairs, and the mean over those of which something is known."""
    notes = list(notes)
    known = [(note.pairs, note.fidelity) for note in notes if note.pairs and note.fidelity is not None]
    weight = sum(pairs for pairs, _ in known)
    mean = sum(pairs * fidelity for pairs, fidelity in known) / weight if weight else None
    return LinkNote(sum(note.pairs for note in notes), mean)


def _arms(scenario: Scenario, layout: Layout, notes: Mapping[str, LinkNote]) -> Iterator[str]:
    thick = 2.6 if layout.radius > 10 else 1.8
    for (end, station), note in _arm_notes(scenario, notes).items():
        names = [link.name for link in scenario.links if link.station == station and end in (link.a, link.b)]
        what = names[0] if len(names) == 1 else f"{end} to {station}, {len(names)} links"
        look = f'stroke="{BLUE}" stroke-width="{thick}" stroke-opacity=".75"' if note.pairs else _UNUSED
        yield _line(layout, end, station, look, f"{what}: {note.full()}")
    for classical in scenario.classical_links:
        look = f'stroke="{GREY}" stroke-dasharray="3 4"'
        yield _line(layout, classical.a, classical.b, look, f"{classical.a} to {classical.b}: messages only")


def _line(layout: Layout, one: str, other: str, look: str, title: str) -> str:
    (x1, y1), (x2, y2) = layout.places[one], layout.places[other]
    place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {place} {look}><title>{escape(title)}</title></line>'


def _node(node: Node, layout: Layout, holds: str) -> str:
    x, y = layout.places[node.name]
    colour, r = LOOKS[node.kind], layout.radius
    title = f"<title>{escape(', '.join(filter(None, (f'{node.name}: {_KINDS[node.kind]}', holds))))}</title>"
    if node.kind != "station":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:g}" fill="{colour}">{title}</circle>'
    half = r / 2
    shape = f'<rect x="{x - half:.1f}" y="{y - half:.1f}" width="{r:g}" height="{r:g}" rx="{r / 6:.1f}"'
    return f'{shape} fill="{colour}" transform="rotate(45 {x:.1f} {y:.1f})">{title}</rect>'


def _lettered(
    scenario: Scenario, layout: Layout, notes: Mapping[str, LinkNote], used: Mapping[str, str]
) -> tuple[list[_Words], int]:
    """All words that find room, and how many find none; of these names count tenfold, but for stations."""
    sheet = Sheet(WIDTH, layout.height)
    half = {node.name: layout.radius * (0.72 if node.kind == "station" else 1.0) for node in scenario.nodes}
    for name, (x, y) in layout.places.items():
        sheet.take(Box.around(x, y, 2 * half[name], 2 * half[name]))
    arms = _arm_notes(scenario, notes)
    drawn = [*arms, *((c.a, c.b) for c in scenario.classical_links)]
    for one, other in drawn:
        sheet.line(*layout.places[one], *layout.places[other])
    words: list[_Words] = []
    size = 13.0 if layout.radius > 11 else 12.0 if layout.radius >= 9 else 10.5

    def named(node: Node) -> bool:
        blocks = _names(node, used.get(node.name, ""), size)
        place = _fits(sheet, blocks, lambda block: _around(layout.places[node.name], half[node.name], block))
        if place is not None:
            words.append(_Words(*place, about_node=True))
        return place is not None

    lost = sum(10 * (not named(node)) for node in scenario.nodes if node.kind != "station")
    for spots, note in _link_spots(scenario, layout, notes, arms):
        if not note.pairs:
            continue
        place = _fits(sheet, _numbers(note, size - 1), partial(_along, spots))
        lost += place is None
        if place is not None:
            words.append(_Words(*place, about_node=False))
    # Last of all, for these say least.
    lost += sum(not named(node) for node in scenario.nodes if node.kind == "station")
    return words, lost


def _names(node: Node, holds: str, size: float) -> list[Block]:
    """From all that one would like to read to the least."""
    cut = node.name if len(node.name) <= 20 else node.name[:12] + "…" + node.name[-6:]
    whole = (node.name, size, True)
    blocks = [Block([whole, (holds, size - 1, False)])] if holds else []
    blocks.append(Block([whole]))
    if cut != node.name:
        blocks.append(Block([(cut, size, True)]))
    return blocks


def _numbers(note: LinkNote, size: float) -> list[Block]:
    words = (note.words(), size, False)
    full = [] if note.fidelity is None else [Block([words, (f"F {note.fidelity:.3f}", size, False)])]
    return [*full, Block([words]), Block([(str(note.pairs), size, False)])]


def _link_spots(
    scenario: Scenario, layout: Layout, notes: Mapping[str, LinkNote], arms: Mapping[tuple[str, str], LinkNote]
) -> Iterator[tuple[list[Arm], LinkNote]]:
    """What is said beside which arms: of a link alone at its station once, on either; of a switch on each arm."""
    served: dict[str, list[str]] = {}
    for link in scenario.links:
        served.setdefault(link.station, []).append(link.name)
    places = layout.places
    for link in scenario.links:
        middle, crowd = places[link.station], served[link.station]
        if len(crowd) == 1:
            both = [(places[link.a], middle), (places[link.b], middle)]
            both.sort(key=lambda arm: -round(hypot(arm[1][0] - arm[0][0], arm[1][1] - arm[0][1])))
            yield both, notes.get(link.name, LinkNote(0))
        elif link.name == crowd[0]:
            for (end, station), note in arms.items():
                if station == link.station:
                    yield [(places[end], middle)], note


def _fits(sheet: Sheet, blocks: Iterable[Block], spots: Callable[[Block], Iterable[Place]]) -> tuple[Block, Box] | None:
    """The first of these that finds room, where it crosses the fewest lines; it is taken."""
    for block in blocks:
        width, height = block.width + 2, block.height + 1
        boxes = [Box.around(x, y, width, height) for x, y in spots(block)]
        free = [box for box in boxes if sheet.free([box])]
        if free:
            box = min(free, key=lambda box: round(sheet.crossed([box])))  # the first of the best: the likeliest place
            sheet.take(box)
            return block, box
    return None


def _around(place: Place, half: float, block: Block) -> Iterator[Place]:
    """Middles of words about a node: below, above, at its sides, at its corners, further below and above."""
    x, y = place
    beside, under = half + block.width / 2 + 4, half + block.height / 2 + 3
    yield x, y + under
    yield x, y - under
    yield x + beside, y
    yield x - beside, y
    for over, down in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
        yield x + over * (block.width / 2 + half * 0.6), y + down * under
    for further in (1, 2):
        for way in (1, -1):
            yield x, y + way * (under + further * (block.height + 2))


def _along(arms: Iterable[Arm], block: Block) -> Iterator[Place]:
    """Middles of words beside a line, so far from it that they do not touch."""
    arms, wide, high = list(arms), block.width / 2, block.height / 2
    for share in _SHARES:
        for (x1, y1), (x2, y2) in arms:
            length = hypot(x2 - x1, y2 - y1) or 1.0
            across_x, across_y = -(y2 - y1) / length, (x2 - x1) / length
            if across_y > 0:  # above first
                across_x, across_y = -across_x, -across_y
            near = abs(across_x) * wide + abs(across_y) * high + 5
            for off in (near, -near, near + 9, -near - 9):
                yield x1 + (x2 - x1) * share + off * across_x, y1 + (y2 - y1) * share + off * across_y


def _written(words: _Words) -> Iterator[str]:
    block, box, about_node = words
    x = (box.left + box.right) / 2
    for (text, size, bold), y in zip(block.lines, block.baselines(box.top), strict=True):
        colour = INK if bold or not about_node else SOFT
        weight = ' font-weight="600"' if bold else ""
        look = f'text-anchor="middle" paint-order="stroke" stroke="{PANEL}" stroke-width="3"'
        yield (
            f'<text x="{x:.1f}" y="{y:.1f}" style="font-size:{size:g}px" {look}{weight} fill="{colour}">'
            f"{escape(text)}</text>"
        )
