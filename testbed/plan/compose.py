"""From a checked scenario to a plan: what each node is told, what the plane is built from, what is planned.

What may live here: that translation, and of what depends on the clock only keys and patience.
"""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from protocols.timers import UNTIL_REST, Pauses
from stack.config import Control, NodeConfig, Path
from stack.runtime.times import MOST_PAUSE, NEVER
from testbed.clock.agenda import Deed, Planned
from testbed.clock.federate import Federate
from testbed.hardware import device_model, device_told, link_config, link_told, switch_told
from testbed.plan.apps import apps_of
from testbed.plan.circuits import all_routes, circuits, routing
from testbed.plan.clocks import oscillations, oscillators, time_keeping
from testbed.plan.plan import NoPlaneMaker, Plan, Program
from testbed.plan.ways import all_ways
from testbed.scenario import Scenario
from testbed.scenario.model import PlannedFault

if TYPE_CHECKING:
    from testbed.circuits import CompiledJob


@dataclass(frozen=True, slots=True)
class PlaneSpec:
    """Builds the quantum plane of a scenario, in whichever process keeps the clock."""

    scenario: Scenario
    seed: int

    def build(self) -> Federate:
        from testbed.plane.config import PlaneConfig, SwitchModel
        from testbed.plane.plane import Plane

        scenario = self.scenario
        switches = {n.number: n.switch for n in scenario.nodes if n.switch is not None}
        return Plane(
            PlaneConfig(
                seed=self.seed,
                nodes={n.number: device_model(n.device) if n.device else None for n in scenario.nodes},
                links={link.number: link_config(scenario, link, link.grade, self.seed) for link in scenario.links},
                switches={n: SwitchModel(s.analysers, s.reconfigure_ps) for n, s in switches.items()},
                oscillators=oscillators(scenario),
                formalism=scenario.formalism,  # type: ignore[arg-type]
            ),
            oracle=True,
        )

    def summarise(self, plane: Any) -> dict[str, Any]:
        """What the oracle saw of every pair, as plain data."""
        pairs = [
            {
                "link": pair.link,
                "slot": pair.slot,
                "outcome": pair.outcome,
                "fidelity_at_emission": pair.fidelity_at_emission,
                "fidelity_at_herald": pair.fidelity_at_home,
                **({} if pair.arrivals is None else {"arrivals_ps": list(pair.arrivals)}),
            }
            for pair in plane.oracle.pairs
        ]
        spent = [
            {
                "node": node,
                "qubit": handle,
                "at_ps": spent.at_ps,
                "fidelities": list(spent.fidelities),
                "other": spent.other and list(spent.other),
            }
            for (node, handle), spent in plane.oracle.spent.items()
        ]
        return {"pairs": pairs, "spent": spent}


def compose(
    scenario: Scenario,
    clock: str,
    jobs: "list[CompiledJob]",
    standing: bool = False,
) -> Plan:
    """The plan of a scenario; ``jobs`` are its circuits, compiled; ``standing``: its end is not its own."""
    seed = scenario.seed
    numbers = {n.name: n.number for n in scenario.nodes}
    paced = clock == "paced"
    allowance = round(scenario.host_allowance_ps / scenario.dilation) if paced else 0
    ways = all_ways(scenario)
    clocks, keeping = oscillations(scenario), time_keeping(scenario)
    controllers = _controllers(scenario, ways)
    keys: dict[tuple[int, int], str] = {}
    for a, there in ways.items() if paced else ():
        for b in there:
            keys[a, b] = keys.get((b, a)) or secrets.token_hex(32)
    links = {link.name: link_told(scenario, link) for link in scenario.links}
    configs = []
    for node in scenario.nodes:
        device = node.device
        configs.append(
            NodeConfig(
                number=node.number,
                name=node.name,
                kind=node.kind,
                seed=seed,
                offset_ps=clocks[node.number].offset_ps,
                rate_ppb=clocks[node.number].rate_ppb,
                noise=clocks[node.number].noise,
                time=keeping.get(node.number),
                paths=ways[node.number],
                keys={n: keys[node.number, n] for n in ways[node.number]} if paced else {},
                device=device_told(device) if device else None,
                circuits=circuits(scenario.circuits),
                routing=routing(scenario.routing),
                links=tuple(links[s.name] for s in scenario.links if node.name in (s.a, s.b, s.station)),
                switch=switch_told(node),
                controller=controllers.get(node.number, 0),
                control=_control(scenario, node.number, controllers),
                apps=dict(apps_of(scenario, node.name, jobs)),
                sessions=sum(1 for p in scenario.programs if p.node == node.name),
                allowance_ps=allowance,
                pauses=Pauses(MOST_PAUSE, ever=True) if standing or paced else UNTIL_REST,
            )
        )
    routes = {} if scenario.routing else all_routes(scenario, {config.number: config for config in configs})
    configs = [replace(config, routes=routes.get(config.number, {})) for config in configs]
    return Plan(
        name=scenario.name,
        seed=seed,
        nodes=tuple(configs),
        linger_ps=scenario.linger_ps,
        duration_ps=scenario.duration_ps or NEVER,
        planned=tuple(deed for fault in scenario.faults for deed in _planned(fault, numbers)),
        programs=tuple(Program(numbers[p.node], str(p.run)) for p in scenario.programs),
        plane=PlaneSpec(scenario, seed) if scenario.links else NoPlaneMaker(),
        dilation=scenario.dilation,
        network=scenario,
        standing=standing,
    )


def _planned(fault: PlannedFault, numbers: dict[str, int]) -> Iterator[Planned]:
    """A fault of the scenario, as whoever keeps the clock is to carry it out."""
    if not fault.node:
        yield Planned(fault.at_ps, 0, Deed.FAULT, fault.about)
        return
    yield Planned(fault.at_ps, numbers[fault.node], Deed(fault.kind))
    if fault.kind == "freeze":
        yield Planned(fault.at_ps + fault.for_ps, numbers[fault.node], Deed.THAW)


def _controllers(scenario: Scenario, ways: Mapping[int, Mapping[int, Path]]) -> dict[int, int]:
    """Who may lease each QPU: the controller that it names, or the first that it reaches."""
    found = {}
    for qpu in (node for node in scenario.nodes if node.kind == "qpu"):
        reached = [n for n in scenario.nodes if n.kind == "controller" and n.number in ways[qpu.number]]
        ours = [n.number for n in reached if qpu.controller in ("", n.name)]
        if ours:
            found[qpu.number] = ours[0]
    return found


def _control(scenario: Scenario, number: int, controllers: Mapping[int, int]) -> Control | None:
    """What a controller is told of its QPUs; None for one that has none, and for any other node."""
    if scenario.nodes[number - 1].kind != "controller":
        return None
    from testbed.circuits.nearness import costs

    devices = {
        node: node.device
        for node in scenario.nodes
        if controllers.get(node.number) == number and node.device is not None
    }
    qpus = {node.number: (node.name, device.data_qubits) for node, device in devices.items()}
    communication = {node.number: device.communication_qubits for node, device in devices.items()}
    return Control(qpus, costs(scenario), communication) if qpus else None
