"""A scenario's devices, links and switches as the plane knows them, and as nodes are told of them.

What may live here: what follows from one device, one link or one switch; what follows from the network is next door.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from protocols.device import Durations
from protocols.egp.facts import least_spacing
from protocols.qnp.sketch import Diagonal, Memory, from_correlators
from stack.config import Device, Link, Switch
from testbed.scenario import Device as ScenarioDevice
from testbed.scenario import Link as ScenarioLink
from testbed.scenario import Node, Scenario
from testbed.scenario.model import LEAST_DELAY_PS

if TYPE_CHECKING:
    from testbed.plane.config import DeviceModel, LinkConfig

_MOST_PER_KS: Final = (1 << 32) - 1


def device_model(d: ScenarioDevice) -> "DeviceModel":
    """A scenario's device, as the plane knows it."""
    from testbed.plane.config import DeviceModel

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
    from testbed.plane.links import LinkId, make_link

    parameters = link_parameters(scenario, link)
    return LinkConfig(
        a=scenario.node(link.a).number,
        b=scenario.node(link.b).number,
        station=scenario.node(link.station).number,
        slot_ps=link.slot_ps,
        arm_a_ps=link.delay_a_ps,
        arm_b_ps=link.delay_b_ps,
        frame_hz=link.qubit_frame_hz,
        model=make_link(link.model, parameters, grade, LinkId(link.name, seed, link.number)),  # type: ignore[arg-type]
    )


def link_parameters(scenario: Scenario, link: ScenarioLink) -> Any:
    """The physics of one link, as its model takes it."""
    from testbed.plane.links import LINKS, LinkParameters, SingleClick

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
    alpha = link.alpha
    if link.best_alpha:
        model = LINKS[link.model](parameters)
        assert isinstance(model, SingleClick), "no other link knows alpha"
        alpha = model.best_alpha()
    return replace(parameters, alpha=alpha) if alpha else parameters


def device_told(device: ScenarioDevice) -> Device:
    """What a node is told of its own qubits."""
    memory = _memory(device)
    return Device(
        data_qubits=device.data_qubits,
        communication_qubits=device.communication_qubits,
        emission_ps=device.emission_ps,
        memory_t1_ps=memory.t1_ps,
        memory_t2_ps=memory.t2_ps,
        swap_errors=swap_errors(device),
        gate_2q_w=gate_2q_w(device),
        readout=(device.readout_error_0, device.readout_error_1),
        parity_ps=device.gate_2q_ps + device.readout_ps,
        parity_w=memory.kept(device.gate_2q_ps)[0],
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
        leaning=own.leaning,
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


def switch_told(node: Node) -> Switch | None:
    """What a switch is told about itself; light and noise are the plane's."""
    switch = node.switch
    if switch is None:
        return None
    return Switch(switch.analysers, switch.reconfigure_ps, switch.longest_grant_ps, switch.policy, switch.stay_ps)


def gate_2q_w(device: ScenarioDevice) -> float:
    """What is left of every correlator after a depolarising gate of that average fidelity on two qubits."""
    return (4 * device.gate_2q_fidelity - 1) / 3


def swap_errors(device: ScenarioDevice) -> Diagonal:
    """Errors that a Bell measurement on this device adds to a chain.

    It is CX, H on the first qubit, and two readouts.  Depolarising gates of average fidelity F keep (dF - 1)/(d - 1) of
    every correlator; an outcome that is wrong with probability e turns the correlators that it decides about by 1 - 2e:
    the first those of XX and YY, the second those of ZZ and YY.  What the qubits lose meanwhile does the same: the
    first its coherence during CX, its population during H; the second its population until it is read.
    """
    two = gate_2q_w(device)
    one = 2 * device.gate_1q_fidelity - 1
    readout = 1 - device.readout_error_0 - device.readout_error_1
    memory, gates_ps = _memory(device), device.gate_1q_ps + device.gate_2q_ps
    until_second_ps = device.gate_2q_ps if device.parallel else gates_ps + device.readout_ps
    first = one * readout * memory.kept(device.gate_2q_ps)[1] * memory.kept(device.gate_1q_ps)[0]
    second = readout * memory.kept(until_second_ps)[0]
    return from_correlators(two * first, two * first * second, two * second)


def _memory(device: ScenarioDevice) -> Memory:
    """What halves of pairs wait in."""
    if device.storage_qubits:
        return Memory(device.t1_ps, device.t2_ps)
    return Memory(device.communication_t1_ps, device.communication_t2_ps)


def swap_w(device: ScenarioDevice) -> float:
    """What a Bell measurement on this device leaves of the w = (4F - 1)/3 of a chain of Werner pairs."""
    return (4 * swap_errors(device)[0] - 1) / 3


def pairs_per_ks(link: Link, success_probability: float) -> int:
    """Pairs in 1,000 s with one memory at each end: a train is agreed on, and runs until it succeeds."""
    longest = max(lead + arm for lead, arm in zip(link.leads_ps, (link.arm_a_ps, link.arm_b_ps), strict=True))
    spacing = least_spacing(link.slot_ps, longest, link.attempt_ps, link.emission_ps)
    if success_probability <= 0:
        return 0
    agreeing = 2 * (link.arm_a_ps + link.arm_b_ps) + 2 * max(link.arm_a_ps, link.arm_b_ps)
    each_ps = agreeing + spacing * link.slot_ps / success_probability
    return min(_MOST_PER_KS, round(1e15 / each_ps))
