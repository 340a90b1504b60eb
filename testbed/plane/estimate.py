"""What a node may believe of its link's pairs: the published estimate at emission, less what waiting costs.

What may live here: that one figure, from device data alone; no run, no oracle.
"""

from sequence.kernel.timeline import Timeline

from testbed.keyed import keyed_generator
from testbed.plane.config import LinkConfig
from testbed.plane.devices import DeviceModel
from testbed.plane.oracle import BELL_KETS
from testbed.plane.state import FORMALISM, StateEngine


def estimate_at_herald(link: LinkConfig, a: DeviceModel, b: DeviceModel, alpha: float) -> float:
    """Fidelity of a pair when both ends can have heard of it.

    The model's estimate at emission, minus what T1 and T2 of the communication qubits take, each half from its
    birth until the later end has its herald.
    """
    model = link.model
    engine = Timeline(formalism=FORMALISM, manager_kwargs={"seed": 0}).quantum_manager
    assert isinstance(engine, StateEngine)
    start = max(link.arm_a_ps, link.arm_b_ps)
    home = start + model.attempt_ps + start
    keys = [engine.new_qubit(0, d.t1_communication_ps, d.t2_communication_ps) for d in (a, b)]
    outcome, state = model.draw_state(keyed_generator(0, "estimate", 0), alpha)
    born_a, born_b = (start + birth for birth in model.births_ps)
    engine.set_pair(keys[0], keys[1], state, born_a, born_b)
    ket = BELL_KETS[outcome]
    at_emission = float((ket.conj() @ state @ ket).real)
    lost = at_emission - engine.fidelity(keys, ket, home)
    return max(0.25, model.estimate(alpha) - lost)
