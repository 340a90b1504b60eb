"""Switches: stations that share a pool of analysers among their links.

What may live here: the `switch:` section of a station.
"""

from typing import Final

from protocols.srp.policy import POLICIES
from testbed.scenario import schema
from testbed.scenario.model import Switch
from testbed.scenario.schema import Form, Section
from testbed.scenario.source import Item

TECHNOLOGIES: Final = {"electro-optic": 1_000_000, "mems": 1_000_000_000}
"""Time to reconfigure in ps: 1 µs and 1 ms, within the published 10 ns to 10 µs and 10 µs to 10 ms."""

MAX_ANALYSERS: Final = 4096
MOST_LOSS_DB: Final = 100.0
MOST_COST: Final = 0.75
LEAST_GRANT_PS: Final = 10**10
GRANT_PER_RECONFIGURATION: Final = 50
"""The longest grant: so many times longer than a reconfiguration that little time is lost, and 10 ms at least."""

_SWITCH: Final = Form("nodes.NAME.switch", "a switch", (
    "analysers", "technology", "reconfigure_s", "insertion_loss_db", "fidelity_cost", "longest_grant_s", "policy",
    "stay_s",
))  # fmt: skip


def read(item: Item) -> Switch:
    """What a station's `switch:` says."""
    keys = Section(item, _SWITCH)
    if "technology" in keys:
        keys.refuse(["reconfigure_s"], "the technology says it")
        technology = schema.choice(keys.need("technology"), tuple(TECHNOLOGIES), "technology")
        reconfigure_ps = TECHNOLOGIES[technology]
    elif "reconfigure_s" in keys:
        reconfigure_ps = keys.seconds("reconfigure_s")
    else:
        raise item.bad("a switch without a time to reconfigure", "add the key technology, or reconfigure_s")
    longest_ps = max(LEAST_GRANT_PS, GRANT_PER_RECONFIGURATION * reconfigure_ps)
    policy = keys.get("policy")
    return Switch(
        analysers=keys.integer("analysers", None, 1, MAX_ANALYSERS),
        reconfigure_ps=reconfigure_ps,
        insertion_loss_db=keys.number("insertion_loss_db", 0.0, 0.0, MOST_LOSS_DB),
        fidelity_cost=keys.number("fidelity_cost", 0.0, 0.0, MOST_COST),
        longest_grant_ps=keys.seconds("longest_grant_s", longest_ps, 1e-9),
        policy="least-served" if policy is None else schema.choice(policy, tuple(POLICIES), "policy"),
        stay_ps=keys.seconds("stay_s", 0, 0.0),
    )
