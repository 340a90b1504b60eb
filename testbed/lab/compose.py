"""From a checked scenario to a plan: what each node is told, what the plane is built from, what is planned.

What may live here: that translation, and nothing that depends on the clock but the keys.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from protocols.device import Durations
from stack.config import Control, Device, Link, NodeConfig, Path, Switch
from stack.runtime.times import NEVER
from testbed.clock.agenda import Deed, Planned
from testbed.clock.federate import Federate
from testbed.lab.circuits import all_routes, circuits, gate_2q_w, pairs_per_ks, routing, swap_errors
from testbed.lab.clocks import oscillations, oscillators, time_keeping
from testbed.lab.link_load import link_load_app
from testbed.lab.plan import Disturbance, NoPlaneMaker, Plan, Program
from testbed.lab.ways import all_ways
from testbed.scenario import Device as ScenarioDevice
from testbed.scenario import Link as ScenarioLink
from testbed.scenario import Node, Scenario
from testbed.scenario.model import LEAST_DELAY_PS

if TYPE_CHECKING:
    from testbed.circuits import CompiledJob
    from testbed.plane.config import LinkConfig
    from testbed.plane.devices import DeviceModel


HOST_SLOWNESS_PS = 5_000_000_000
"""``paced``: how late, in wall time, a process of this machine may be; protocol timers and trains allow for it."""


@dataclass(frozen=True, slots=True)
class PlaneSpec:
    """Builds the quantum plane of a scenario, in whichever process keeps the clock."""

    scenario: Scenario
    seed: int

    def build(self) -> Federate:
        from testbed.plane.config import PlaneConfig
        from testbed.plane.plane import Plane
        from testbed.plane.switches import SwitchModel

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


def device_model(d: ScenarioDevice) -> "DeviceModel":
    """A scenario's device, as the plane knows it."""
    from testbed.plane.devices import DeviceModel

    return DeviceModel(
        data=d.data_qubits,
        communication=d.communication_qubits,
        t1_data_ps=d.t1_ps,
        t2_data_ps=d.t2_ps,
        t1_communication_ps=d.communication_t1_ps,
        t2_communication_ps=d.communication_t2_ps,
        durations=Durations(
            one_qubit_ps=d.gate_1q_ps,
            two_qubit_ps=d.gate_2q_ps,
            swap_ps=d.swap_ps,
            measure_ps=d.readout_ps,
            init_ps=d.prepare_ps,
            parallel=d.parallel,
        ),
        one_qubit_fidelity=d.gate_1q_fidelity,
        two_qubit_fidelity=d.gate_2q_fidelity,
        init_error=d.prepare_error,
        readout_error_0=d.readout_error_0,
        readout_error_1=d.readout_error_1,
        swap_fidelity=d.swap_fidelity,
        attempt_dephasing=d.attempt_dephasing,
        storage=d.storage_qubits,
    )


def link_config(scenario: Scenario, link: ScenarioLink, grade: str, seed: int) -> "LinkConfig":
    """A scenario's link, as the plane knows it."""
    from testbed.plane.config import LinkConfig
    from testbed.plane.links import make_link

    parameters = link_parameters(scenario, link)
    during = {
        kind: tuple(
            (f.at_ps, f.at_ps + f.for_ps) for f in scenario.faults if (f.kind, f.link, f.node) == (kind, *where)
        )
        for kind, where in {"cut": (link.name, ""), "blind": ("", link.station)}.items()
    }
    return LinkConfig(
        a=scenario.node(link.a).number,
        b=scenario.node(link.b).number,
        station=scenario.node(link.station).number,
        slot_ps=link.slot_ps,
        arm_a_ps=link.delay_a_ps,
        arm_b_ps=link.delay_b_ps,
        frame_hz=link.qubit_frame_hz,
        cuts=during["cut"],
        blindings=during["blind"],
        model=make_link(link.model, parameters, grade, link.name, seed, link.number),  # type: ignore[arg-type]
    )


def link_parameters(scenario: Scenario, link: ScenarioLink) -> Any:
    """The physics of one link, as its model takes it."""
    from testbed.plane.links import LinkParameters, single_click

    switch = scenario.node(link.station).switch
    passing: dict[str, float] = {}
    if switch is not None:
        passing = {"insertion_loss_db": switch.insertion_loss_db, "fidelity_cost": switch.fidelity_cost}
    parameters = LinkParameters(
        arm_a_m=link.arm_a_m,
        arm_b_m=link.arm_b_m,
        speed_m_per_s=scenario.speed_m_per_s,
        **passing,  # type: ignore[arg-type]
        **link.physics,  # type: ignore[arg-type]
    )
    alpha = single_click.best_alpha(parameters.optics) if link.best_alpha else link.alpha
    return replace(parameters, alpha=alpha) if alpha else parameters


def compose(
    scenario: Scenario,
    clock: str,
    jobs: "list[CompiledJob]",
) -> Plan:
    """The plan of a scenario; ``jobs`` are its circuits, compiled."""
    seed = scenario.seed
    numbers = {n.name: n.number for n in scenario.nodes}
    secret = clock == "paced"
    allowance = round(HOST_SLOWNESS_PS / scenario.dilation) if secret else 0
    ways = all_ways(scenario)
    clocks, keeping = oscillations(scenario), time_keeping(scenario)
    controllers = _controllers(scenario, ways)
    keys: dict[tuple[int, int], str] = {}
    for a, there in ways.items() if secret else ():
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
                freezes=tuple(
                    (f.at_ps, f.at_ps + f.for_ps) for f in scenario.faults if f.kind == "freeze" and f.node == node.name
                ),
                paths=ways[node.number],
                keys={n: keys[node.number, n] for n in ways[node.number]} if secret else {},
                device=_device(device) if device else None,
                circuits=circuits(scenario.circuits),
                routing=routing(scenario.routing),
                links=tuple(links[s.name] for s in scenario.links if node.name in (s.a, s.b, s.station)),
                switch=_switch(node),
                controller=controllers.get(node.number, 0),
                control=_control(scenario, node.number, controllers),
                apps=_apps(scenario, node.name, numbers, jobs),
                sessions=sum(1 for p in scenario.programs if p.node == node.name),
                allowance_ps=allowance,
            )
        )
    routes = {} if scenario.routing else all_routes(scenario, {config.number: config for config in configs})
    configs = [replace(config, routes=routes.get(config.number, {})) for config in configs]
    planned = tuple(
        Planned(f.at_ps, numbers[f.node], Deed.KILL if f.kind == "kill" else Deed.RESTART)
        for f in scenario.faults
        if f.kind in ("kill", "restart")
    )
    return Plan(
        name=scenario.name,
        seed=seed,
        nodes=tuple(configs),
        linger_ps=scenario.linger_ps,
        duration_ps=scenario.duration_ps or NEVER,
        planned=planned,
        disturbances=_disturbances(scenario, numbers),
        programs=tuple(Program(numbers[p.node], str(p.run)) for p in scenario.programs),
        plane=PlaneSpec(scenario, seed) if scenario.links else NoPlaneMaker(),
        dilation=scenario.dilation,
        network=scenario,
    )


def _disturbances(scenario: Scenario, numbers: dict[str, int]) -> tuple[Disturbance, ...]:
    """What the trace says of freezes, blindings, cuts and partitions."""
    ends = {link.name: link.a for link in scenario.links} | {way.name: way.a for way in scenario.classical_links}
    found = []
    about: dict[str, str]
    for fault in scenario.faults:
        over_ps = fault.at_ps + fault.for_ps
        if fault.kind == "freeze":
            node, words, about = fault.node, ("frozen", "thawed"), {}
        elif fault.kind == "blind":
            node, words, about = fault.node, ("blinded", "sighted"), {}
        elif fault.kind == "cut":
            node, words, about = ends[fault.link], ("cut", "mended"), {"link": fault.link}
        elif fault.kind == "partition":
            node, words, about = fault.apart[0], ("parted", "healed"), {"nodes": ",".join(fault.apart)}
        else:
            continue
        for t_ps, word in zip((fault.at_ps, over_ps), words, strict=True):
            found.append(Disturbance(t_ps, numbers[node], word, about))
    return tuple(sorted(found, key=lambda d: (d.t_ps, d.node)))


def _device(device: ScenarioDevice) -> Device:
    """What a node is told of its own qubits."""
    return Device(
        data_qubits=device.data_qubits,
        communication_qubits=device.communication_qubits,
        emission_ps=device.emission_ps,
        memory_t1_ps=device.communication_t1_ps,
        memory_t2_ps=device.communication_t2_ps,
        swap_errors=swap_errors(device),
        gate_2q_w=gate_2q_w(device),
        readout=(device.readout_error_0, device.readout_error_1),
        # Of two readings one after the other, the mean.
        readout_ps=device.readout_ps if device.parallel else 3 * device.readout_ps // 2,
        storage_qubits=device.storage_qubits,
    )


def link_told(scenario: Scenario, link: ScenarioLink) -> Link:
    """What the nodes of a link are told about it."""
    from testbed.plane.estimate import DEVICE_DATA_ERROR, outlook, outlooks

    config = link_config(scenario, link, "sampled", 0)
    alpha = config.model.parameters.alpha
    devices = [device for end in (link.a, link.b) if (device := scenario.node(end).device) is not None]
    models = [device_model(device) for device in devices]
    own = outlook(config, models[0], models[1], alpha)
    choices = outlooks(config, models[0], models[1]) if link.alpha or link.best_alpha else []
    (zero_a, one_a), (zero_b, one_b) = ((d.readout_error_0, d.readout_error_1) for d in devices)
    told = Link(
        number=link.number,
        name=link.name,
        a=config.a,
        b=config.b,
        station=config.station,
        slot_ps=link.slot_ps,
        arm_a_ps=link.delay_a_ps,
        arm_b_ps=link.delay_b_ps,
        attempt_ps=config.model.attempt_ps,
        emission_ps=max(device.emission_ps for device in devices),
        success_probability=own.success_probability,
        estimate=_believed(own.kept, link),
        measured_estimate=_believed(own.measured, link),
        estimate_error=DEVICE_DATA_ERROR,
        formula_error=own.error,
        settings=tuple(
            (c.alpha, c.success_probability, _believed(c.kept, link), _believed(c.measured, link), c.error)
            for c in choices
        ),
        lead_a_ps=config.leads_ps[0],
        lead_b_ps=config.leads_ps[1],
        measuring_ps=max(_heard_ps(config), *(device.readout_ps + device.gate_1q_ps for device in devices)),
        readout_a=(zero_a, one_a),
        readout_b=(zero_b, one_b),
        scheduler=link.scheduler,
        test_share=link.test_rounds,
        switched=scenario.node(link.station).switch is not None,
        pairs_per_ks=0,
        errors=own.errors,
    )
    return replace(told, pairs_per_ks=pairs_per_ks(told, told.success_probability))


def _believed(fidelity: float, link: ScenarioLink) -> float:
    """What the device data say of it."""
    return min(max(fidelity + link.device_data_off, 0.0), 1.0)


def _heard_ps(config: "LinkConfig") -> int:
    """How long a measurement must wait for the station: between rounds that follow only from a click."""
    if not config.model.parameters.abort:
        return 0
    return 2 * max(config.arm_a_ps, config.arm_b_ps) + config.model.attempt_ps + LEAST_DELAY_PS


def _switch(node: Node) -> Switch | None:
    """What a switch is told about itself; light and noise are the plane's."""
    switch = node.switch
    if switch is None:
        return None
    return Switch(switch.analysers, switch.reconfigure_ps, switch.longest_grant_ps, switch.policy, switch.stay_ps)


def _controllers(scenario: Scenario, ways: Mapping[int, Mapping[int, Path]]) -> dict[int, int]:
    """Who may lease each QPU: the first controller that it reaches."""
    found = {}
    for qpu in (node.number for node in scenario.nodes if node.kind == "qpu"):
        ours = [n.number for n in scenario.nodes if n.kind == "controller" and n.number in ways[qpu]]
        if ours:
            found[qpu] = ours[0]
    return found


def _control(scenario: Scenario, number: int, controllers: Mapping[int, int]) -> Control | None:
    """What a controller is told of its QPUs; None for one that has none, and for any other node."""
    if scenario.nodes[number - 1].kind != "controller":
        return None
    from testbed.circuits.nearness import costs

    qpus = {
        node.number: (node.name, node.device.data_qubits)
        for node in scenario.nodes
        if controllers.get(node.number) == number and node.device is not None
    }
    return Control(qpus, costs(scenario)) if qpus else None


def _apps(
    scenario: Scenario, name: str, numbers: dict[str, int], jobs: "list[CompiledJob]"
) -> dict[str, dict[str, Any]]:
    """The programs that node ``name`` runs by itself."""
    apps: dict[str, dict[str, Any]] = {}
    toy = scenario.toy
    if toy is not None and toy.source == name:
        apps["echo"] = {
            "destination": numbers[toy.destination],
            "count": toy.count,
            "padding": toy.padding,
            "in_flight": toy.in_flight,
            "think_ps": toy.think_ps,
            "timeout_ps": toy.timeout_ps,
            "attempts": toy.attempts,
        }
    if jobs and scenario.jobs[0].controller == name:
        apps["controller"] = {
            "jobs": [
                {
                    "name": job.name,
                    "circuit": job.circuit.to_json(),
                    "shots": job.shots,
                    "minimum_fidelity": job.minimum_fidelity,
                    "at_ps": asked.at_ps,
                    "cancel_at_ps": asked.cancel_at_ps,
                }
                for job, asked in zip(jobs, scenario.jobs, strict=True)
                if job.circuit is not None
            ]
        }
    for index, job in enumerate(jobs):
        if name in job.programs:
            apps[f"job-{index}"] = {
                "job": index,
                "shots": job.shots,
                "steps": job.programs[name],
                "clbits": job.results[name],
                "minimum_fidelity": scenario.jobs[index].minimum_fidelity,
                "ahead": scenario.jobs[index].ahead,
            }
    for index, request in enumerate(scenario.requests):
        if name in (request.source, request.destination):
            asks = name == request.source
            apps[f"pairs-{index}"] = {
                "number": index,
                "asks": asks,
                "peer": numbers[request.destination if asks else request.source],
                "pairs": request.pairs,
                "minimum_fidelity": request.minimum_fidelity,
                "at_ps": request.at_ps,
                "priority": request.priority,
                "pairs_per_s": request.pairs_per_s,
                "max_time_ps": request.max_time_ps,
                "ahead": request.ahead,
                "every_ps": request.every_ps,
                "delivery": list(request.delivery),
            }
    for index, load in enumerate(scenario.link_loads):
        apps |= link_load_app(scenario, load, index, name, numbers)
    teleport = scenario.teleport
    if teleport is not None and name in (teleport.source, teleport.destination):
        sends = name == teleport.source
        apps["teleport"] = {
            "peer": numbers[teleport.destination if sends else teleport.source],
            "sends": sends,
            "states": list(teleport.states),
            "rounds": teleport.rounds,
            "minimum_fidelity": teleport.minimum_fidelity,
            "ahead": teleport.ahead,
            "in_flight": teleport.in_flight,
        }
    return apps
