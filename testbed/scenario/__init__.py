"""Scenario files: `load_scenario(path)` gives a checked, frozen `Scenario`, or raises one clear `BadInput`.

Files: source.py reads text and YAML with its lines; schema.py reads single values; devices, nodes, switches, links,
stars, channels, planned, circuits, routing, keys, link_requests and work read one section each; load.py the whole;
options.py lets the command line override; model.py holds the result.
"""

from testbed.scenario.load import load_scenario
from testbed.scenario.model import (
    PAULI_STATES,
    PURIFICATIONS,
    Channel,
    CircuitPolicy,
    ClassicalLink,
    Clock,
    Device,
    Job,
    KeyRequest,
    Link,
    LinkLoad,
    LoadClass,
    Node,
    PlannedFault,
    Program,
    Requests,
    RoutingPolicy,
    Scenario,
    Switch,
    Teleport,
    TimeSync,
    Toy,
)
from testbed.scenario.options import with_options

__all__ = [
    "PAULI_STATES",
    "PURIFICATIONS",
    "Channel",
    "CircuitPolicy",
    "ClassicalLink",
    "Clock",
    "Device",
    "Job",
    "KeyRequest",
    "Link",
    "LinkLoad",
    "LoadClass",
    "Node",
    "PlannedFault",
    "Program",
    "Requests",
    "RoutingPolicy",
    "Scenario",
    "Switch",
    "Teleport",
    "TimeSync",
    "Toy",
    "load_scenario",
    "with_options",
]
