"""Time transfer: who follows whose clock, and how often they ask.

What may live here: the `time_sync:` section, and the tree of time servers that follows from it.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from testbed.scenario import nodes as node_section
from testbed.scenario.model import Channel, Clock, Node, TimeSync
from testbed.scenario.schema import Form, Section
from testbed.scenario.source import Item

INTERVAL_PS: Final = 62_500_000_000
"""Sixteen exchanges a second, as common for PTP in telecommunication."""
LEAST_INTERVAL_PS: Final = 1_000_000
TIMESTAMP_NOISE_PS: Final = 10
"""White Rabbit's timestamps are that good; those of PTP's hardware are of 8 ns."""
OFF: Final = "off"
_MOST_NOISE_S = 1e-7

_FORM: Final = Form("time_sync", "time transfer", ("master", "interval_s", "timestamp_noise_s"))


def read(
    item: Item | None, nodes: Mapping[str, Node], channels: Iterable[Channel], quantum: bool
) -> TimeSync | None:
    """What the section says. Without it, nodes that make entanglement keep their clocks together if they differ."""
    if item is None:
        if not quantum or not _differ([node.clock for node in nodes.values()]):
            return None
        return TimeSync(_servers(nodes, list(channels), None), INTERVAL_PS, TIMESTAMP_NOISE_PS)
    if item.value == OFF:
        return None
    keys = Section(item, _FORM)
    master = node_section.name(keys.need("master"), nodes) if "master" in keys else None
    interval_ps = keys.seconds("interval_s", INTERVAL_PS)
    if interval_ps < LEAST_INTERVAL_PS:
        raise keys.need("interval_s").bad("shorter than 1e-6 s", "make it longer")
    noise_ps = keys.seconds("timestamp_noise_s", TIMESTAMP_NOISE_PS, 0.0, _MOST_NOISE_S)
    ways = list(channels)
    longest = max((2 * way.delay_ps for way in ways), default=0)
    if interval_ps <= longest:
        raise (keys.get("interval_s") or item).bad(
            f"an exchange takes up to {longest / 1e12:g} s", "make interval_s longer than that"
        )
    return TimeSync(_servers(nodes, ways, master), interval_ps, noise_ps)


def _differ(clocks: list[Clock]) -> bool:
    """Clocks that nothing keeps together: not all alike, or with draws of their own."""
    free = [clock for clock in clocks if not clock.wander_ps]
    return len(set(free)) > 1 or any(clock.accuracy_ppm or clock.allan_1s or clock.allan_floor for clock in free)


def _servers(nodes: Mapping[str, Node], channels: list[Channel], master: str | None) -> dict[str, str | None]:
    """The time server of each node: its neighbour on the way with the fewest channels to the master, of several the
    quickest. Nodes that no channel joins with the master have one of their own; unless it is named, a master is the
    first station, or else the first node, of those that channels join.
    """
    near: dict[str, list[tuple[int, int, str]]] = {name: [] for name in nodes}
    for way in channels:
        for here, there in ((way.a, way.b), (way.b, way.a)):
            near[here].append((way.delay_ps, nodes[there].number, there))
    servers: dict[str, str | None] = {}
    first = [name for name in nodes if name == master]
    for start in (*first, *(n for n in nodes if nodes[n].kind == "station"), *nodes):
        if start in servers:
            continue
        servers[start] = None
        hops = {start: 0}
        waiting = deque([start])
        while waiting:
            here = waiting.popleft()
            for _, _, there in sorted(near[here]):
                if there not in hops:
                    hops[there] = hops[here] + 1
                    waiting.append(there)
        for name in sorted(hops, key=lambda name: (hops[name], nodes[name].number)):
            if name != start:
                servers[name] = min(way for way in near[name] if hops[way[2]] < hops[name])[2]
    return servers
