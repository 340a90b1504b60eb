"""What a node may believe of its link's pairs: the published estimate at emission, less what waiting costs.

What may live here: that one figure, from device data alone; no run, no oracle.
"""

from stack.runtime.times import NS
from testbed.keyed import keyed_generator
from testbed.plane.config import LinkConfig
from testbed.plane.devices import DeviceModel
from testbed.plane.oracle import pair_fidelity, waited


def estimate_at_herald(link: LinkConfig, a: DeviceModel, b: DeviceModel, alpha: float) -> float:
    """Fidelity of a pair as its nodes find it when their heralds arrive.

    The model's estimate at emission, minus what T1 and T2 of the communication qubits take, each half from its
    birth until its own node has its herald.
    """
    model = link.model
    outcome, state = model.draw_state(keyed_generator(0, "estimate", 0), alpha)
    known = model.attempt_ps + NS
    waits = (known + link.arm_a_ps - model.births_ps[0], known + link.arm_b_ps - model.births_ps[1])
    lost = pair_fidelity(state, outcome) - pair_fidelity(waited(state, waits, (a, b)), outcome)
    return max(0.25, model.estimate(alpha) - lost)
