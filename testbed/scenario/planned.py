"""Planned faults of nodes: kill, restart and freeze at a time of the scenario.

What may live here: the `faults:` section. What goes wrong with frames is in channels.py.
"""

from collections.abc import Mapping
from typing import Final

from testbed.scenario import nodes as node_section
from testbed.scenario import schema
from testbed.scenario.model import Node, PlannedFault
from testbed.scenario.schema import Form, Section
from testbed.scenario.source import Item

_FAULT: Final = Form("faults[]", "a fault", ("at_s", "kill", "freeze", "restart", "for_s"))


def read(item: Item | None, nodes: Mapping[str, Node]) -> list[PlannedFault]:
    """In the order of time; those of one instant in the order in which they are written."""
    read_items = (
        [] if item is None else [(_fault(entry, nodes), entry) for entry in schema.items(item, "faults")]
    )
    read_items.sort(key=lambda pair: pair[0].at_ps)
    dead: set[str] = set()
    frozen_until: dict[str, int] = {}
    for fault, entry in read_items:
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


def _fault(item: Item, nodes: Mapping[str, Node]) -> PlannedFault:
    keys = Section(item, _FAULT)
    at_ps = keys.seconds("at_s", None)
    if "kill" in keys:
        keys.refuse(["freeze", "restart", "for_s"], "the fault is a kill")
        return PlannedFault(at_ps, "kill", node_section.name(keys.need("kill"), nodes))
    if "restart" in keys:
        keys.refuse(["freeze", "for_s"], "the fault is a restart")
        return PlannedFault(at_ps, "restart", node_section.name(keys.need("restart"), nodes))
    if "freeze" in keys:
        node = node_section.name(keys.need("freeze"), nodes)
        return PlannedFault(at_ps, "freeze", node, keys.seconds("for_s", None, 1e-12))
    raise item.bad("a fault that does nothing", "add kill, freeze or restart with the name of a node")
