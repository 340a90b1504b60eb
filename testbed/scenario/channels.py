"""Classical channels: which follow from the links, and what goes wrong on them.

What may live here: the `channel:` section (loss, duplication, corruption, reordering, jitter) and the delays
between pairs of nodes. What is planned to go wrong at a time is in planned.py.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from stack.config import Faults
from testbed.scenario import nodes as node_section
from testbed.scenario import schema
from testbed.scenario.model import Channel, ClassicalLink, Link, Node
from testbed.scenario.schema import Form, Section
from testbed.scenario.source import Item

_KEYS: Final = ("loss", "duplicate", "corrupt", "reorder", "jitter_s")
_CHANNEL: Final = Form("channel", "the channel section", (*_KEYS, "pairs"))
_PAIR: Final = Form("channel.pairs[]", "a pair", ("between", *_KEYS))
_MAX_JITTER_S = 1.0


def read(
    item: Item | None, nodes: Mapping[str, Node], links: Iterable[Link], classical: Iterable[ClassicalLink]
) -> list[Channel]:
    """One channel per pair of nodes that links join, in the order of node numbers."""
    delays = _delays(links, classical)
    everywhere, overrides = _faults(item, nodes, delays)
    channels = []
    for pair in sorted(delays, key=lambda pair: sorted(nodes[name].number for name in pair)):
        a, b = sorted(pair, key=lambda name: nodes[name].number)
        way = delays[pair]
        asymmetry_ps = way.asymmetry_ps if way.a == a else -way.asymmetry_ps
        channels.append(Channel(a, b, way.delay_ps, overrides.get(pair, everywhere), asymmetry_ps))
    return channels


def _delays(links: Iterable[Link], classical: Iterable[ClassicalLink]) -> dict[frozenset[str], Channel]:
    """The quickest way per pair. Frames of a quantum link run beside its fibre, from end to end past the station; of
    its asymmetry each arm has the share that its length has.
    """
    found: dict[frozenset[str], Channel] = {}
    for link in links:
        whole_ps = link.delay_a_ps + link.delay_b_ps
        first_ps = link.asymmetry_ps * link.delay_a_ps // whole_ps
        for way in (
            Channel(link.a, link.station, link.delay_a_ps, asymmetry_ps=first_ps),
            Channel(link.station, link.b, link.delay_b_ps, asymmetry_ps=link.asymmetry_ps - first_ps),
            Channel(link.a, link.b, whole_ps, asymmetry_ps=link.asymmetry_ps),
        ):
            _add(found, way)
    # A classical link was laid on purpose: where there is one, frames take it.
    laid: dict[frozenset[str], Channel] = {}
    for wire in classical:
        _add(laid, Channel(wire.a, wire.b, wire.delay_ps, asymmetry_ps=wire.asymmetry_ps))
    return found | laid


def _add(ways: dict[frozenset[str], Channel], way: Channel) -> None:
    pair = frozenset((way.a, way.b))
    if pair not in ways or way.delay_ps < ways[pair].delay_ps:
        ways[pair] = way


def _faults(
    item: Item | None, nodes: Mapping[str, Node], delays: Mapping[frozenset[str], Channel]
) -> tuple[Faults, dict[frozenset[str], Faults]]:
    if item is None:
        return Faults(), {}
    keys = Section(item, _CHANNEL)
    everywhere = _set(keys, Faults())
    overrides: dict[frozenset[str], Faults] = {}
    pairs = keys.get("pairs")
    for entry in [] if pairs is None else schema.items(pairs, "pairs of nodes"):
        own = Section(entry, _PAIR)
        between = own.need("between")
        ends = schema.items(between, "two nodes")
        if len(ends) != 2:
            raise between.bad(f"a pair of {len(ends)}", "name two nodes: [west, east]")
        a, b = (node_section.name(end, nodes) for end in ends)
        pair = frozenset((a, b))
        if pair not in delays:
            raise between.bad(f"no link joins {a} and {b}", "name two nodes that a link joins")
        if pair in overrides:
            raise between.bad(f"{a} and {b} stand here twice", "merge the two entries")
        overrides[pair] = _set(own, everywhere)
    return everywhere, overrides


def _set(keys: Section, otherwise: Faults) -> Faults:
    return Faults(
        loss=keys.probability("loss", otherwise.loss),
        duplicate=keys.probability("duplicate", otherwise.duplicate),
        corrupt=keys.probability("corrupt", otherwise.corrupt),
        reorder=keys.probability("reorder", otherwise.reorder),
        jitter_ps=keys.seconds("jitter_s", otherwise.jitter_ps, 0.0, _MAX_JITTER_S),
    )
