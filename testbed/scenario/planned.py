"""Planned faults: what happens to nodes and to the network, at a time of the scenario.

What may live here: the `faults:` section. Which faults a network can have, and where, is in troubles.py; what goes
wrong with frames all the time is in channels.py.
"""

from collections.abc import Mapping
from typing import Final

from testbed.fault_kinds import BREAKS, BROKER, CHANCES, DISK, DRIFT
from testbed.scenario import nodes as node_section
from testbed.scenario import schema
from testbed.scenario.model import Node, PlannedFault
from testbed.scenario.schema import Form, Section
from testbed.scenario.source import Item
from testbed.scenario.troubles import FASTEST_PPB, Ground, NoTrouble

_NODES: Final = ("kill", "restart", "freeze")
_SPANS: Final = {"delay_s": "delay", "jitter_s": "jitter"}
_DRIFT: Final = "drift_ppm"
_AMOUNTS: Final = {kind: kind for kind in CHANCES} | _SPANS | {_DRIFT: DRIFT}
"""Keys whose value says how much; where stands under `at`."""
_GONE: Final = {DISK: "full", BROKER: "gone"}
"""Keys of which there is one, and the one word that they can have."""
_KEYS: Final = (*_NODES, *BREAKS, *_AMOUNTS, *_GONE)
_FAULT: Final = Form("faults[]", "a fault", ("at_s", *_KEYS, "at", "for_s"))


def read(item: Item | None, nodes: Mapping[str, Node], ground: Ground) -> list[PlannedFault]:
    """In the order of time; those of one instant in the order in which they are written."""
    read_items = (
        [] if item is None else [(_fault(entry, nodes, ground), entry) for entry in schema.items(item, "faults")]
    )
    read_items.sort(key=lambda pair: pair[0].at_ps)
    dead: set[str] = set()
    frozen_until: dict[str, int] = {}
    for fault, entry in read_items:
        if fault.kind not in _NODES:
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


def _fault(item: Item, nodes: Mapping[str, Node], ground: Ground) -> PlannedFault:
    keys = Section(item, _FAULT)
    at_ps = keys.seconds("at_s", None)
    key = next((key for key in _KEYS if key in keys), None)
    if key is None:
        raise item.bad("a fault that does nothing", f"add one of {', '.join(_KEYS)}")
    keys.refuse([other for other in _KEYS if other != key], f"the fault is a {key}")
    if key not in _AMOUNTS:
        keys.refuse(["at"], f"{key} says itself where it is")
    subject = keys.need(key)
    if key in ("kill", "restart"):
        keys.refuse(["for_s"], f"the fault is a {key}")
        return PlannedFault(at_ps, key, node_section.name(subject, nodes))
    for_ps = keys.seconds("for_s", None, 1e-12)
    if key == "freeze":
        return PlannedFault(at_ps, "freeze", node_section.name(subject, nodes), for_ps)
    value, at = _amount(keys, key), _where(keys, key, nodes, ground)
    if value == 0:
        raise subject.bad("nothing would happen", "write another number than 0")
    fault = PlannedFault(at_ps, _AMOUNTS.get(key, key), "", for_ps, value, at)
    try:
        ground.checked(fault.about)
    except NoTrouble as no:
        raise (keys.get("at") or subject).bad(no.problem, no.remedy) from None
    return fault


def _amount(keys: Section, key: str) -> float | None:
    """How much, as commands have it: a probability, picoseconds or ppb."""
    if key in CHANCES:
        return keys.probability(key, None)
    if key in _SPANS:
        return keys.seconds(key, None, 1e-12, 1.0)
    if key != _DRIFT:
        return None
    most = FASTEST_PPB / 1000
    ppb = 1000 * keys.number(key, None, -most, most)
    if abs(ppb - round(ppb)) > 1e-6:
        raise keys.need(key).bad("finer than 0.001 ppm", "give at most three decimals")
    return round(ppb)


def _where(keys: Section, key: str, nodes: Mapping[str, Node], ground: Ground) -> tuple[str, ...]:
    subject = keys.need(key)
    if key in _GONE:
        schema.choice(subject, (_GONE[key],), "state")
        return ()
    if key == "blind":
        return (node_section.name(subject, nodes, ("station",)),)
    if key == "cut":
        link = schema.name(subject, "link")
        if link not in ground.sides:
            schema.unknown(subject, link, ground.sides, "link")
        return (link,)
    if key == "partition":
        return tuple(node_section.name(entry, nodes) for entry in schema.items(subject, "nodes"))
    places = keys.get("at")
    names = [] if places is None else schema.items(places, "links or nodes")
    known = [*ground.sides, *nodes]
    for name in names:
        if schema.name(name, "link or node") not in known:
            schema.unknown(name, str(name.value), known, "link or node")
    return tuple(str(name.value) for name in names)
