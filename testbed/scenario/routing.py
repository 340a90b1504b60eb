"""Routing in a scenario: how nodes find ways to each other.

What may live here: the `routing:` section.
"""

import ast
from pathlib import Path
from typing import Final

from testbed.scenario import schema
from testbed.scenario.model import PATH_POLICIES, RoutingPolicy
from testbed.scenario.schema import Form, Section
from testbed.scenario.source import Item, read_text

_ROUTING: Final = Form(
    "routing",
    "the routing section",
    ("policy", "hello_s", "dead_s", "idle_hello_s", "forget_s", "hold_s", "most_hold_s", "patience_s"),
)
_LEAST_S: Final = 1e-6


def read(item: Item | None, folder: Path) -> RoutingPolicy | None:
    """None: ways come from a table."""
    if item is None:
        return None
    keys = Section(item, _ROUTING)
    usual = RoutingPolicy()
    return RoutingPolicy(
        policy=_policy(keys.need("policy"), folder) if "policy" in keys else usual.policy,
        hello_ps=keys.seconds("hello_s", usual.hello_ps, _LEAST_S),
        dead_ps=keys.seconds("dead_s", usual.dead_ps, _LEAST_S),
        idle_hello_ps=keys.seconds("idle_hello_s", usual.idle_hello_ps),
        forget_ps=keys.seconds("forget_s", usual.forget_ps, _LEAST_S),
        hold_ps=keys.seconds("hold_s", usual.hold_ps, _LEAST_S),
        most_hold_ps=keys.seconds("most_hold_s", usual.most_hold_ps, _LEAST_S),
        patience_ps=keys.seconds("patience_s", usual.patience_ps, _LEAST_S),
    )


def _policy(item: Item, folder: Path) -> str:
    """A name, or the path of a Python file that defines `paths`; it is read here, and run by the nodes."""
    value = schema.text(item, "the name of a path policy")
    if not value.endswith(".py"):
        return schema.choice(item, PATH_POLICIES, "path policy")
    path = folder / value
    try:
        tree = ast.parse(read_text(path, "path policy", item.place))
    except SyntaxError as error:
        raise item.bad(f"{value} is no Python: {error.msg}, line {error.lineno}", "mend it") from None
    if not any(isinstance(node, ast.FunctionDef) and node.name == "paths" for node in tree.body):
        raise item.bad(f"{value} defines no function paths", "see docs/routing.md for one in ten lines")
    return str(path.resolve())
