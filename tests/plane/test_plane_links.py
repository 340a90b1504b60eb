"""The quantum plane over real link models of both grades: their law, repeatability, an idle oracle."""

from math import sqrt
from typing import Any

import numpy as np
import pytest
from plane_bench import ATTEMPT, FAR, NS, SLOT, STATION, A, B, Bench, bench, noisy

from protocols.device import Program, pack_handle
from protocols.wire import (
    DeviceListen,
    DeviceOutcome,
    DeviceTrain,
)
from testbed.plane import DeviceModel, LinkConfig, Plane, PlaneConfig

PLUS, MINUS, FAIL = DeviceOutcome.PSI_PLUS, DeviceOutcome.PSI_MINUS, DeviceOutcome.FAIL


def over(slot: int) -> int:
    """When the station knows about a slot."""
    return slot * SLOT + ATTEMPT


def home(slot: int, arm: int) -> int:
    """When a node could know about it."""
    return over(slot) + NS + arm


# -------------------------------------------------------------------------------------- the oracle and chance


def traffic(lab: Bench) -> list[Any]:
    """A bit of everything, on a noisy link; the raw answers."""
    q = lab.data(A)
    for turn in range(30):
        t = turn * 400 * SLOT
        for node in (A, B):
            lab.train(node, t, turn * 400 + 100, 35, 8)
            lab.stop(node, t + (200 + 20 * node) * SLOT)
        lab.listen(t, turn * 400 + 100, 1, 200)
        lab.run(t + 399 * SLOT)
        lab.command(A, t + 399 * SLOT, Program().init(q).h(q).cx(lab.communication(A), q).measure(q))
        lab.command(B, t + 399 * SLOT, Program().measure(lab.communication(B)))
    lab.run()
    return lab.raw


DECAYING = DeviceModel(2, 2, 10**11, 10**11, 10**11, 10**11, readout_error_0=0.01, init_error=0.01)


def test_the_oracle_changes_nothing() -> None:
    with_it = bench(noisy(), DECAYING, oracle=True)
    without = bench(noisy(), DECAYING, oracle=False)
    asked = bench(noisy(), DECAYING, oracle=True)
    step = asked.step

    def curious() -> None:
        step()
        asked.pair_fidelity(asked.plane._events.now)
        asked.plane.oracle.density([(A, asked.data(A)), (B, asked.communication(B))], 10**15)

    asked.step = curious  # type: ignore[method-assign]
    assert traffic(with_it) == traffic(without) == traffic(asked)
    assert len(with_it.plane.oracle.pairs) > 5
    with pytest.raises(LookupError, match="oracle=True"):
        _ = without.plane.oracle.pairs
    with pytest.raises(LookupError, match="STALE"):
        asked.plane.oracle.density([(A, pack_handle(0, 7))], 0)


def test_equal_commands_give_equal_answers_and_other_links_move_nothing() -> None:
    first = traffic(bench(noisy(), DECAYING))
    assert traffic(bench(noisy(), DECAYING)) == first
    assert traffic(bench(noisy(), DECAYING, seed=8)) != first
    lab = bench(noisy(), DECAYING)
    config = lab.plane.config
    known = noisy().parameters
    more = LinkConfig(FAR, A, STATION, SLOT, known.arm_a_ps, known.arm_b_ps, noisy())
    wide = Bench(Plane(PlaneConfig(config.seed, config.nodes, {1: config.links[1], 2: more})))
    busy = [
        (FAR, DeviceTrain(2, pack_handle(2), 50, 1, 9000, 0)),
        (A, DeviceTrain(2, pack_handle(3), 50, 1, 9000, 0)),
        (STATION, DeviceListen(2, 50, 1, 9000)),
        (FAR, Program().init(pack_handle(0)).h(pack_handle(0)).measure(pack_handle(0))),
    ]
    wide._sequence = 10_000
    extra = {wide.command(node, 0, message) for node, message in busy}
    wide._sequence = 0
    answers = [answer for answer in traffic(wide) if (answer.node, answer.sequence) not in extra]
    assert answers == first


@pytest.mark.parametrize("kind", ["single-click", "barrett-kok"])
def test_the_law_holds_through_stops_and_interruptions(kind: str) -> None:
    """Trains of four attempts, listens of three, again and again: of n attempts np herald.

    About 6,000 attempts; 5.1 sigma two-sided is a false alarm of 3.4e-7 for each kind.
    """
    link = noisy(kind)
    p = link.success_probability(0.2)
    lab = bench(link, oracle=False)
    attempts = successes = 0
    t = 0
    for _ in range(2000):
        first = t // SLOT + 40
        for node in (A, B):
            lab.train(node, t, first, 1, 4)
        heard = lab.listen(t, first, 1, 3)
        lab.run(t + 90 * SLOT)
        slot = lab.answers[heard][1].slot
        attempts += slot - first + 1
        successes += lab.answers[heard][1].outcome != FAIL
        t += 90 * SLOT
    assert abs(successes - attempts * p) < 5.1 * sqrt(attempts * p * (1 - p))


@pytest.mark.parametrize("kind", ["single-click", "barrett-kok"])
def test_photonic_links_herald_by_the_same_law(kind: str) -> None:
    """Attempts to the first success: mean 1/p, deviation sqrt(1-p)/p; 150 pairs, 5.1 sigma two-sided."""
    link = noisy(kind, "photonic")
    p = link.success_probability(0.2)
    lab = bench(link)
    attempts = []
    t = 0
    while len(attempts) < 150:
        first = t // SLOT + 40
        for node in (A, B):
            lab.train(node, t, first, 1, 100_000)
        listen = lab.listen(t, first, 1, 100_000)
        while listen not in lab.answers:
            lab.step()
        due, herald = lab.answers[listen]
        assert due == herald.slot * SLOT + link.attempt_ps + NS
        attempts.append(herald.slot - first + 1)
        for node in (A, B):
            lab.stop(node, due + 30 * SLOT)
        lab.run(due + 100 * SLOT)
        t = (due // SLOT + 100) * SLOT
    mean = float(np.mean(attempts))
    assert abs(mean - 1 / p) < 5.1 * sqrt((1 - p) / len(attempts)) / p
    true = float(np.mean([pair.fidelity_at_emission for pair in lab.plane.oracle.pairs]))
    wanted = link.heralded_fidelity(0.2)
    # A number within [0, 1] and of mean F varies by F (1 - F) at most.
    assert abs(true - wanted) < 5.1 * sqrt(wanted * (1 - wanted) / len(attempts))


def test_a_photonic_link_obeys_trains_and_listens() -> None:
    perfect = {
        "arm_b_m": 1000,
        "efficiency_a": 1,
        "efficiency_b": 1,
        "detector_efficiency": 1,
        "visibility": 1,
    }
    link = noisy("barrett-kok", "photonic", attenuation_db_per_km=0, dark_probability=0, **perfect)
    assert link.success_probability(0.5) == pytest.approx(0.5)
    lab = bench(link)
    lab.train(A, 0, 100, 2, 500)
    lab.train(B, 0, 100, 3, 500)
    slots = []
    t = 0
    for _ in range(40):
        key = lab.listen(t, 100, 1, 10_000)
        while key not in lab.answers:
            lab.step()
        t, herald = lab.answers[key]
        slots.append(herald.slot)
    assert all((slot - 100) % 6 == 0 for slot in slots)
    assert sorted(set(slots)) == slots
    for node in (A, B):
        lab.stop(node, t)
    listen = lab.listen(t, 0, 1, t // SLOT + 1000)
    lab.run()
    # What was emitted before the stop is judged; then there is silence.
    assert lab.answers[listen][1].slot <= t // SLOT + 1000


def test_what_is_stopped_between_two_emissions_does_not_herald() -> None:
    """B emits first, and the photonic attempt begins with that; A stops just before its own, or after."""
    perfect = {"efficiency_a": 1, "efficiency_b": 1, "detector_efficiency": 1, "visibility": 1}
    for after, some in ((-1, False), (0, True)):
        heralds = 0
        for seed in range(20):
            link = noisy("barrett-kok", "photonic", seed, dark_probability=0, **perfect)
            lab = bench(link)
            for node in (A, B):
                lab.train(node, 0, 100, 1, 200)
            lab.listen(0, 100)
            lab.stop(A, 100 * SLOT - link.parameters.arm_a_ps + after)
            lab.run()
            heralds += len(lab.plane.oracle.pairs)
        assert (heralds > 0) == some
