"""Nodes: their kinds, with the devices and clocks they name or hold.

What may live here: the `nodes:` section, and how other sections name a node.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from testbed.errors import listed
from testbed.scenario import clocks, schema, switches
from testbed.scenario.devices import Own, of_node
from testbed.scenario.model import NODE_KINDS, Clock, Node
from testbed.scenario.schema import Form, Section
from testbed.scenario.source import Item

MAX_NODES: Final = 4096
WITH_DEVICE: Final = ("qpu", "repeater")

_NODE: Final = Form("nodes.NAME", "a node", ("kind", "device", "clock", "switch", "controller"))


def read(item: Item, own_devices: Own) -> dict[str, Node]:
    """All nodes by name, numbered from 1 in the order in which they are written."""
    nodes: dict[str, Node] = {}
    entries = schema.entries(item, "nodes")
    for called, body in entries.items():
        nodes[called] = _node(body, called, len(nodes) + 1, own_devices)
    for called, body in entries.items():
        keys = Section(body, _NODE)
        if "controller" in keys:
            nodes[called] = replace(nodes[called], controller=name(keys.need("controller"), nodes, ("controller",)))
    if not nodes:
        raise item.bad("no nodes", "add at least one")
    if len(nodes) > MAX_NODES:
        raise item.bad(f"{len(nodes)} nodes", f"a scenario has at most {MAX_NODES}")
    return nodes


def _node(item: Item, name: str, number: int, own_devices: Own) -> Node:
    keys = Section(item, _NODE)
    word = schema.choice(keys.need("kind"), NODE_KINDS, "kind of node")
    kind = next(k for k in NODE_KINDS if k == word)
    device = None
    if kind in WITH_DEVICE:
        device = of_node(keys.need("device"), name, own_devices)
    else:
        keys.refuse(["device"], f"a {kind} has no qubits")
    clock = keys.get("clock")
    switch = keys.get("switch")
    if kind != "station":
        keys.refuse(["switch"], f"a {kind} is no station")
    if kind != "qpu":
        keys.refuse(["controller"], f"a {kind} is not leased")
    return Node(
        name,
        number,
        kind,
        device,
        Clock() if clock is None else clocks.read(clock),
        None if switch is None else switches.read(switch),
    )


def name(item: Item, nodes: Mapping[str, Node], kinds: Collection[str] = NODE_KINDS) -> str:
    """The name of a node that exists and is of one of the given kinds."""
    word = schema.text(item, "the name of a node")
    if word not in nodes:
        schema.unknown(item, word, list(nodes), "node")
    kind = nodes[word].kind
    if kind not in kinds:
        fitting = [node.name for node in nodes.values() if node.kind in kinds]
        raise item.bad(f"{word} is a {kind}, not a {' or '.join(kinds)}", f"name one of: {listed(fitting)}")
    return word


def two(
    keys: Section, first: str, second: str, nodes: Mapping[str, Node], kinds: Collection[str]
) -> tuple[str, str]:
    """Two different nodes under two keys."""
    a = name(keys.need(first), nodes, kinds)
    b = name(keys.need(second), nodes, kinds)
    if a == b:
        raise keys.need(second).bad(f"{first} and {second} are both {a}", "name two different nodes")
    return a, b
