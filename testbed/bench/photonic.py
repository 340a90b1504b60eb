"""Attempts photon by photon: the `photonic` grade beside SeQUeNCe's own components driven bare, in one run.

What may live here: benches of links alone. Blocks of both sides take turns, so that a busy machine is busy for both.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final

from sequence.constants import KET_VECTOR_FORMALISM
from sequence.kernel.quantum_manager import QuantumManager
from sequence.kernel.timeline import Timeline

from testbed.bench.measure import Measured
from testbed.plane.links import Herald, LinkId, LinkParameters, make_link
from testbed.plane.state import FORMALISM
from testbed.validate.heralds import attempt
from testbed.validate.sequence import BareBarrettKok

ATTEMPTS: Final = 40
BLOCKS: Final = 20

_ARM_M, _MEMORY, _DETECTOR, _DB_PER_KM = 5_000.0, 0.9, 0.9, 0.2


def photonic_figures() -> Iterator[Measured]:
    """µs per attempt, and the ratio that the project promises."""
    sides = {
        "barrett-kok": _ours("barrett-kok", 1.0),
        "SeQUeNCe bare": _bare(),
        "barrett-kok, M .9": _ours("barrett-kok", 0.9),
        "single-click, M .9": _ours("single-click", 0.9),
    }
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(BLOCKS):
        for name, block in sides.items():
            best[name] = min(best[name], block())
    how = f"5 km arms, efficiencies .9, best of {BLOCKS} blocks of {ATTEMPTS}"
    for name, value in best.items():
        yield Measured(f"attempt, photonic: {name}", value * 1e6, "us/attempt", how)
    ratio = best["barrett-kok"] / best["SeQUeNCe bare"]
    yield Measured("attempt, photonic: ours to SeQUeNCe's", ratio, "times", "same attempts, same run", 2)


def _ours(kind: str, visibility: float) -> Callable[[], float]:
    known = LinkParameters(
        arm_a_m=_ARM_M,
        arm_b_m=_ARM_M,
        attenuation_db_per_km=_DB_PER_KM,
        efficiency_a=_MEMORY,
        efficiency_b=_MEMORY,
        detector_efficiency=_DETECTOR,
        visibility=visibility,
    )
    link = make_link(kind, known, "photonic", LinkId(kind, 1))
    timeline = Timeline(formalism=FORMALISM)
    reports: list[Herald | None] = []

    def block() -> float:
        QuantumManager.set_global_manager_formalism(FORMALISM)  # of the whole process: the other side has set its own
        began = time.perf_counter()
        for _ in range(ATTEMPTS):
            attempt(timeline, link, 0.1, reports)
        spent = time.perf_counter() - began
        reports.clear()
        return spent / ATTEMPTS

    block()
    return block


def _bare() -> Callable[[], float]:
    link = BareBarrettKok(_ARM_M, _MEMORY, _DETECTOR, _DB_PER_KM, 1)

    def block() -> float:
        QuantumManager.set_global_manager_formalism(KET_VECTOR_FORMALISM)
        began = time.perf_counter()
        for _ in range(ATTEMPTS):
            link.attempt()
        return (time.perf_counter() - began) / ATTEMPTS

    block()
    return block
