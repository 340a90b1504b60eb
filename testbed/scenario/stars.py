"""Stars of links around a switch, written out: each node has one arm, and each pair of arms is a link.

What may live here: the `stars:` section. The links that it stands for are then read as any other.
"""

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Final

from testbed.scenario import nodes as node_section
from testbed.scenario import schema
from testbed.scenario.model import Node
from testbed.scenario.schema import Form, Section
from testbed.scenario.source import Item

_STAR: Final = Form("stars.NAME", "a star", ("station", "ends", "arm_m", "pairs", "link"))
_OWN: Final = ("kind", "a", "b", "station", "length_m", "arm_a_m", "arm_b_m")


def written_out(item: Item | None, nodes: Mapping[str, Node], link_keys: Iterable[str]) -> dict[str, Item]:
    """The links of all stars as items of a `links:` section, by name, in the order of the stars and their pairs.

    link_keys: what a link may hold.  A key `x` of a star's `link:` stands for both `x_a` and `x_b` where a link has
    those.
    """
    links: dict[str, Item] = {}
    known = set(link_keys)
    for star in ({} if item is None else schema.entries(item, "stars")).values():
        for name, link in _links(star, nodes, known).items():
            if name in links:
                raise star.bad(f"a second link {name}", "give each pair to one star")
            links[name] = link
    return links


def _links(item: Item, nodes: Mapping[str, Node], known: set[str]) -> dict[str, Item]:
    keys = Section(item, _STAR)
    station = keys.need("station")
    name = node_section.name(station, nodes, ("station",))
    if nodes[name].switch is None:
        raise station.bad(
            f"{name} is no switch: it has no pool of analysers to share", f"add a switch section to the node {name}"
        )
    ends = _ends(keys.need("ends"), nodes)
    arms = _arms(keys.need("arm_m"), ends)
    common = _both_ends(keys.need("link"), known)
    links = {}
    for a, b in _pairs(keys.get("pairs"), ends):
        own = {"a": ends[a], "b": ends[b], "station": station, "arm_a_m": arms[a], "arm_b_m": arms[b]}
        links[f"{a}-{b}"] = Item(item.file, item.line, f"{item.path}.{a}-{b}", own | common)
    return links


def _ends(item: Item, nodes: Mapping[str, Node]) -> dict[str, Item]:
    ends: dict[str, Item] = {}
    for end in schema.items(item, "nodes"):
        name = node_section.name(end, nodes, node_section.WITH_DEVICE)
        if name in ends:
            raise end.bad(f"{name} stands here twice", "name each end once")
        ends[name] = end
    if len(ends) < 2:
        raise item.bad(f"a star with {len(ends)} ends", "name at least two nodes")
    return ends


def _arms(item: Item, ends: Mapping[str, Item]) -> dict[str, Item]:
    """One length for all, or one each by name."""
    if not isinstance(item.value, dict):
        return dict.fromkeys(ends, item)
    for name, length in item.value.items():
        if name not in ends:
            schema.unknown(length, name, list(ends), "end")
    missing = next((name for name in ends if name not in item.value), None)
    if missing is not None:
        raise item.bad(f"the arm of {missing} has no length", f"add `{missing}:`, or write one length for all")
    return dict(item.value)


def _pairs(item: Item | None, ends: Mapping[str, Item]) -> list[tuple[str, str]]:
    if item is None or item.value == "all":
        return list(combinations(ends, 2))
    pairs: list[tuple[str, str]] = []
    for entry in schema.items(item, "pairs, or the word all"):
        both = [schema.text(end, "an end") for end in schema.items(entry, "two ends")]
        if len(both) != 2 or both[0] == both[1]:
            raise entry.bad(f"this is no pair: {len(set(both))} ends", "name two different ends: [q1, q2]")
        for end, name in zip(schema.items(entry, "two ends"), both, strict=True):
            if name not in ends:
                schema.unknown(end, name, list(ends), "end")
        a, b = both
        if (a, b) in pairs or (b, a) in pairs:
            raise entry.bad(f"{a} and {b} stand here twice", "name each pair once")
        pairs.append((a, b))
    if not pairs:
        raise item.bad("a star without pairs", "name some, or write all")
    return pairs


def _both_ends(item: Item, known: set[str]) -> dict[str, Item]:
    if not isinstance(item.value, dict):
        raise item.bad("a star's link has no keys", "write those that its links have in common below it, indented")
    common: dict[str, Item] = {}
    for key, value in item.value.items():
        if key in _OWN:
            raise value.bad(f"{key} has no meaning here: the star says it", "remove it")
        both = {f"{key}_a", f"{key}_b"}
        for name in sorted(both) if both <= known else [key]:
            if name in common:
                raise value.bad(f"{name} stands here twice", "write it once")
            common[name] = value
    return common
