"""What a node may believe of its link's pairs: the published estimate at emission, less what waiting costs.

What may live here: figures that follow from device data alone; no run, no oracle.
"""

from typing import Final, NamedTuple

import numpy as np

from stack.runtime.times import NS
from testbed.keyed import keyed_generator
from testbed.plane.config import DeviceModel, LinkConfig
from testbed.plane.pairs import pair_fidelity, stored, waited

DEVICE_DATA_ERROR: Final = 0.005
"""Half width of what device data leave open, at 99 %: an assumption about how well a link is characterised.  The
published single-click estimator is off by something that is known, and comes on top."""

_ALPHAS: Final = np.geomspace(1e-5, 0.5, 64)
"""Bright-state populations that nodes choose from; between them they take straight lines."""


class Outlook(NamedTuple):
    """What attempts of one brightness bring."""

    alpha: float
    success_probability: float
    kept: float
    """Fidelity of a pair as its nodes find it when their heralds arrive, or, with storage, when they have moved it."""
    measured: float
    """Fidelity of the state at emission, in which pairs measured directly are measured."""
    error: float
    """What the published estimate may be off by: it takes the clicks of noise for coherent, and the device data say how
    many those are."""
    errors: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    """Of the delivered state: its parts in the four Bell states, by the XOR with the heralded one."""
    leaning: tuple[float, float] = (0.0, 0.0)
    """<Z> of its halves, 1 for |0>: where T1 goes on from."""


def outlook(link: LinkConfig, a: DeviceModel, b: DeviceModel, alpha: float) -> Outlook:
    """Of one brightness (without meaning for a link that has none).

    The model's estimate at emission, minus what T1 and T2 of the communication qubits take, each half from its
    birth until its own node has its herald, and what the move to storage takes.
    """
    model = link.model
    outcome, state = model.draw_state(keyed_generator(0, "estimate", 0), alpha)
    known = model.attempt_ps + NS
    waits = (known + link.arm_a_ps - model.births_ps[0], known + link.arm_b_ps - model.births_ps[1])
    delivered = stored(waited(state, waits, (a, b)), (a, b))
    lost = pair_fidelity(state, outcome) - pair_fidelity(delivered, outcome)
    measured = model.estimate(alpha)
    off = abs(measured - model.heralded_fidelity(alpha))
    parts = [pair_fidelity(delivered, outcome ^ error) for error in range(4)]
    errors = (parts[0], parts[1], parts[2], parts[3])
    up = delivered.diagonal().real
    leaning = (float(up[0] + up[1] - up[2] - up[3]), float(up[0] - up[1] + up[2] - up[3]))
    return Outlook(alpha, model.success_probability(alpha), max(0.0, measured - lost), measured, off, errors, leaning)


def outlooks(link: LinkConfig, a: DeviceModel, b: DeviceModel) -> list[Outlook]:
    """All brightnesses that nodes choose from, dimmest first; those a model cannot have are left out."""
    found = []
    for alpha in _ALPHAS:
        try:
            found.append(outlook(link, a, b, float(alpha)))
        except ValueError:
            break  # brighter than the model can be
    return found
