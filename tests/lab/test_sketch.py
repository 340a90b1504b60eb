"""The drawing of a network: every node at a place of its own, no words on others or over the edge, in any network."""

import re
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path
from random import Random
from typing import NamedTuple
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from slice_lab import SCENARIOS

from testbed.page.sketch import LinkNote, sketch
from testbed.scenario import ClassicalLink, load_scenario

SVG = "{http://www.w3.org/2000/svg}"
LOST = "Not every word finds room"


@cache
def helvetica(bold: bool) -> dict[str, float]:
    """Widths of letters in font sizes, by the font's own metrics: the drawing only reckons them."""
    name = "Helvetica-Bold.afm" if bold else "Helvetica.afm"
    metrics = (Path(mpl.get_data_path()) / "fonts" / "pdfcorefonts" / name).read_text()
    return {chr(int(code)): int(wide) / 1000 for code, wide in re.findall(r"^C (\d+) ; WX (\d+)", metrics, re.M)}


class Room(NamedTuple):
    left: float
    right: float
    top: float
    bottom: float

    def meets(self, other: "Room") -> bool:
        beside = self.right <= other.left or other.right <= self.left
        return not (beside or self.bottom <= other.top or other.bottom <= self.top)


class Drawn(NamedTuple):
    width: float
    top: float
    foot: float
    words: dict[Room, str]
    nodes: list[Room]
    lost: bool


def read(svg: str) -> Drawn:
    root = ElementTree.fromstring(svg)
    _, top, width, height = (float(x) for x in root.attrib["viewBox"].split())
    words, nodes = {}, []
    for text in root.iter(f"{SVG}text"):
        if text.get("text-anchor") != "middle":
            continue
        size = float(re.findall(r"([\d.]+)px", text.get("style", ""))[0])
        wide = size * sum(helvetica(text.get("font-weight") == "600").get(c, 0.6) for c in text.text or "")
        x, y = float(text.get("x", "")), float(text.get("y", ""))
        words[Room(x - wide / 2, x + wide / 2, y - 0.72 * size, y + 0.2 * size)] = text.text or ""
    for shape in root.iter(f"{SVG}circle"):
        x, y, r = (float(shape.get(key, "")) for key in ("cx", "cy", "r"))
        nodes.append(Room(x - r * 0.9, x + r * 0.9, y - r * 0.9, y + r * 0.9))
    for shape in root.iter(f"{SVG}rect"):
        x, y, wide = (float(shape.get(key, "")) for key in ("x", "y", "width"))
        nodes.append(Room(x, x + wide, y, y + wide))
    return Drawn(width, top, top + height, words, nodes, LOST in svg)


def some_network(nodes: int, links: int, seed: int, stem: str = "n"):
    """A tree with more links between any two, now and then two beside each other; a third of them at one switch."""
    draw, base = Random(seed), load_scenario(SCENARIOS / "two-qpus.yaml")
    qpu, station = base.node("west"), base.node("mid")
    ends = [replace(qpu, name=f"{stem}{i}", number=i + 1, kind=draw.choice(["qpu", "repeater"])) for i in range(nodes)]
    joined = [(i, max(0, i - draw.randint(1, 4))) for i in range(1, nodes)]
    joined += [tuple(draw.sample(range(nodes), 2)) for _ in range(links - len(joined))]
    hub, switched = f"{stem}hub", draw.choice([True, False])
    stations, made = {}, []
    for k, (a, b) in enumerate(joined):
        name = hub if switched and k % 3 == 0 else f"m{k}"
        stations.setdefault(name, replace(station, name=name, number=nodes + 1 + len(stations)))
        arms = {f"arm_{end}_m": draw.choice([0.0, 3.0, 1e3, 4e4]) for end in "ab"}
        made.append(replace(base.links[0], name=f"l{k}", a=ends[a].name, b=ends[b].name, station=name, **arms))
    more = (ClassicalLink("c", ends[0].name, ends[-1].name, 5.0, 10),) if draw.random() < 0.5 else ()
    lone = replace(station, name="lone", number=999)
    return replace(base, nodes=(*ends, *stations.values(), lone), links=tuple(made), classical_links=more)


def sketched(scenario, seed: int = 0) -> Drawn:
    draw = Random(seed)
    notes = {
        link.name: LinkNote(draw.choice([0, 1, 20, 123456]), draw.choice([None, 0.9])) for link in scenario.links
    }
    used = {node.name: "2 qubits, 13 qubits" for node in scenario.nodes if node.kind == "qpu"}
    return read(sketch(scenario, notes, used))


def check(drawn: Drawn, nodes: int) -> None:
    rooms = list(drawn.words)
    assert len(drawn.nodes) == len(set(drawn.nodes)) == nodes
    on_another = [(drawn.words[a], drawn.words[b]) for a, b in combinations(rooms, 2) if a.meets(b)]
    assert not on_another
    assert not [drawn.words[room] for room in rooms for node in drawn.nodes if room.meets(node)]
    for room in (*rooms, *drawn.nodes):
        assert room.left >= 0
        assert room.right <= drawn.width
        assert room.top >= drawn.top
        assert room.bottom <= drawn.foot
    everything = (*rooms, *drawn.nodes)
    assert min(room.top for room in everything) - drawn.top < 30, "no empty ground above"
    assert drawn.foot - max(room.bottom for room in everything) < 60, "nor below, but for a line of words"


@pytest.mark.parametrize(
    ("nodes", "links", "stem"),
    [
        (2, 1, "n"), (2, 5, "node-"), (5, 7, "an-uncommonly-long-name-"), (12, 11, "n"), (30, 29, "repeater-"),
        (30, 40, "n"), (60, 75, "n"), (100, 110, "node"), (40, 200, "n"),
    ],
)  # fmt: skip
def test_no_words_lie_on_others_or_leave_the_drawing(nodes, links, stem):
    scenario = some_network(nodes, links, 7 * nodes + links, stem)
    check(sketched(scenario, links), len(scenario.nodes))


@pytest.mark.parametrize(
    "name", ["two-qpus", "two-data-centres", "today-transducers", "metro", "data-centre", "two-sites", "link-load"]
)
def test_shipped_networks_are_drawn_with_every_name(name):
    scenario = load_scenario(SCENARIOS / f"{name}.yaml")
    drawn = sketched(scenario)
    check(drawn, len(scenario.nodes))
    assert {node.name for node in scenario.nodes if node.kind != "station"} <= set(drawn.words.values())


def test_a_link_says_what_it_did_and_what_finds_no_room_is_said_when_one_points_at_it():
    scenario = load_scenario(SCENARIOS / "two-qpus.yaml")
    svg = sketch(scenario, {"west-east": LinkNote(1, 0.98765)}, {"west": "2 qubits"})
    assert {"west", "east", "mid", "1 pair", "F 0.988", "2 qubits"} == set(read(svg).words.values())
    assert LOST not in svg
    crowd = some_network(40, 200, 480)
    svg = sketch(crowd, {link.name: LinkNote(3, 0.5) for link in crowd.links}, {})
    assert LOST in svg
    for node in crowd.nodes:
        assert f"<title>{node.name}: " in svg


def test_links_of_a_switch_that_share_an_arm_are_said_together():
    scenario = load_scenario(SCENARIOS / "data-centre.yaml")
    svg = sketch(scenario, {link.name: LinkNote(10, 0.9) for link in scenario.links}, {})
    words = list(read(svg).words.values())
    assert words.count("70 pairs") == 8, "each of eight QPUs with seven others"
    assert svg.count("<line") == 8


def test_equal_networks_are_drawn_equal():
    one, other = (sketch(some_network(25, 30, 3), {}, {}) for _ in range(2))
    assert one == other
