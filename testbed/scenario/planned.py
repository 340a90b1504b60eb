"""Planned faults: kill, restart and freeze of nodes, blinded detectors, cuts and partitions, at a time of the scenario.

What may live here: the `faults:` section. What goes wrong with frames all the time is in channels.py.
"""

from collections.abc import Collection, Mapping
from typing import Final

from testbed.scenario import nodes as node_section
from testbed.scenario import schema
from testbed.scenario.model import Node, PlannedFault
from testbed.scenario.schema import Form, Section
from testbed.scenario.source import Item

_KINDS: Final = ("kill", "restart", "freeze", "blind", "cut", "partition")
_FAULT: Final = Form("faults[]", "a fault", ("at_s", *_KINDS, "for_s"))


def read(item: Item | None, nodes: Mapping[str, Node], links: Collection[str]) -> list[PlannedFault]:
    """In the order of time; those of one instant in the order in which they are written."""
    read_items = (
        [] if item is None else [(_fault(entry, nodes, links), entry) for entry in schema.items(item, "faults")]
    )
    read_items.sort(key=lambda pair: pair[0].at_ps)
    dead: set[str] = set()
    frozen_until: dict[str, int] = {}
    for fault, entry in read_items:
        if fault.kind in ("blind", "cut", "partition"):
            continue
        if fault.kind == "restart":
            if fault.node not in dead:
                raise entry.bad(
                    f"{fault.node} is not dead at that time", "kill it before, at an earlier at_s"
                )
            dead.discard(fault.node)
            continue
        if fault.node in dead:
            raise entry.bad(f"{fault.node} is dead at that time", "restart it before, at an earlier at_s")
        if fault.kind == "kill":
            dead.add(fault.node)
            frozen_until.pop(fault.node, None)
        elif fault.at_ps < frozen_until.get(fault.node, 0):
            raise entry.bad(f"{fault.node} is already frozen at that time", "freeze it once, for longer")
        else:
            frozen_until[fault.node] = fault.at_ps + fault.for_ps
    return [fault for fault, _ in read_items]


def _fault(item: Item, nodes: Mapping[str, Node], links: Collection[str]) -> PlannedFault:
    keys = Section(item, _FAULT)
    at_ps = keys.seconds("at_s", None)
    kind = next((kind for kind in _KINDS if kind in keys), None)
    if kind is None:
        raise item.bad("a fault that does nothing", f"add one of {', '.join(_KINDS)}")
    keys.refuse([other for other in _KINDS if other != kind], f"the fault is a {kind}")
    subject = keys.need(kind)
    if kind in ("kill", "restart"):
        keys.refuse(["for_s"], f"the fault is a {kind}")
        return PlannedFault(at_ps, kind, node_section.name(subject, nodes))  # type: ignore[arg-type]
    for_ps = keys.seconds("for_s", None, 1e-12)
    if kind == "freeze":
        return PlannedFault(at_ps, "freeze", node_section.name(subject, nodes), for_ps)
    if kind == "blind":
        return PlannedFault(at_ps, "blind", node_section.name(subject, nodes, ("station",)), for_ps)
    if kind == "cut":
        link = schema.name(subject, "link")
        if link not in links:
            schema.unknown(subject, link, links, "link")
        return PlannedFault(at_ps, "cut", for_ps=for_ps, link=link)
    apart = tuple(node_section.name(entry, nodes) for entry in schema.items(subject, "nodes"))
    if not apart or len(set(apart)) == len(nodes):
        raise subject.bad("a partition with nobody on one side", "name some of the nodes, not all")
    return PlannedFault(at_ps, "partition", for_ps=for_ps, apart=apart)
