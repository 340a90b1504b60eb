"""Tables of area `network` on the state engine alone: Werner pairs that wait under T1 and T2, and are then swapped.

No protocol is in the way here, so waits are what a row says, and figures are exact but where T1 makes outcomes differ.
"""

from itertools import pairwise

import numpy as np

from protocols import bell
from testbed.keyed import keyed_generator
from testbed.plane.pairs import BELL_KETS
from testbed.plane.state import StateEngine
from testbed.scenario.schema import MAX_S
from testbed.validate.chains import mean, whole
from testbed.validate.table import Measurement, Parameter, Parameters, Table
from testbed.validate.waiting import check_time

_MOST_LINKS = 32
_DRAWS = 400
"""Of the swaps' outcomes: without T1 all of them give one figure."""


def _swapped(values: Parameters, seed: int) -> Measurement:
    """All pairs of a chain wait, every repeater swaps, and what is left is compared with the Bell state it must be."""
    links = whole(values, "links", _MOST_LINKS)
    t1, t2, wait = (round(float(values[name]) * 1e12) for name in ("t1_s", "t2_s", "wait_s"))
    w = (4 * float(values["fidelity"]) - 1) / 3
    ket = BELL_KETS[0]
    state = (w * np.multiply.outer(ket, ket.conj()) + (1 - w) * np.eye(4) / 4).astype(complex)
    rng = keyed_generator(seed, "validate swaps", repr(sorted(values.items())))

    def once() -> float:
        engine = StateEngine()
        pairs = [(engine.new_qubit(0, t1, t2), engine.new_qubit(0, t1, t2)) for _ in range(links)]
        for a, b in pairs:
            engine.set_pair(a, b, state, 0, 0)
        index = 0
        for (_, left), (right, _) in pairwise(pairs):
            engine.gate2(left, right, "cx", wait)
            engine.gate1(left, "h", wait)
            m1, m2 = engine.measure(left, wait, rng), engine.measure(right, wait, rng)
            index = bell.swap(index, 0, m1, m2)
        return engine.fidelity((pairs[0][0], pairs[-1][1]), BELL_KETS[index], wait)

    # Every outcome of a swap comes about often: the spread of what was drawn says all.
    return mean([once() for _ in range(_DRAWS if t1 else 8)])._replace(largest=None)


def _check(values: Parameters) -> None:
    whole(values, "links", _MOST_LINKS)
    if not 0.25 <= float(values["fidelity"]) <= 1:
        raise ValueError(f"fidelity: {values['fidelity']} is not within 1/4 and 1")
    for name in ("t1_s", "t2_s", "wait_s"):
        if float(values[name]) > MAX_S:
            raise ValueError(f"{name}: {values[name]} is more than {MAX_S:g}")
        check_time(values, name)
    if float(values["t1_s"]) and float(values["t2_s"]) > 2 * float(values["t1_s"]):
        raise ValueError("t2_s: it is more than twice t1_s")


TABLES = (
    Table(
        "swap-chain",
        "fidelity of Werner pairs of Phi+ after both halves of each have waited, and every repeater has swapped",
        (
            Parameter("links", "links", "in the chain, 1 to 32; 1 is not swapped", 2, (), ("n", "hops")),
            Parameter("fidelity", "F", "of each pair before it waits", 1.0, (), ("F",)),
            Parameter("wait_s", "s", "of every half", 0.0, (), ("t",)),
            Parameter("t1_s", "s", "0 is infinite", 0.0, (), ("T1",)),
            Parameter("t2_s", "s", "0 is what T1 permits", 0.0, (), ("T2",)),
        ),
        _swapped,
        _check,
    ),
)
