"""Barrett-Kok that gives up after a first round without a click: its interval, its law, and trains of rounds."""

from math import sqrt
from typing import Any

import numpy as np
import pytest
from plane_bench import NS, SLOT, A, B, bench, noisy
from sequence.kernel.timeline import Timeline
from test_link_barrett_kok import drain, fidelity

from testbed.keyed import keyed_generator
from testbed.plane import DeviceModel
from testbed.plane.links import PSI_MINUS, LinkId, LinkParameters, make_link
from testbed.plane.links.barrett_kok import first_round_probability, success_probability

KNOWN: dict[str, Any] = {
    "efficiency_a": 0.8, "efficiency_b": 0.7, "detector_efficiency": 0.9, "visibility": 0.9, "dark_probability": 0.01,
}  # fmt: skip
GAP = 10**9


def rounds(grade: Any, seed: int = 5) -> Any:
    known = LinkParameters(100, 100, **KNOWN, round_gap_ps=GAP, abort=True)
    return make_link("barrett-kok", known, grade, LinkId(seed=seed))


def test_photonic_rounds_obey_the_law_of_attempts() -> None:
    """6,000 rounds: attempts per round 1/(1 + P1), heralds p per attempt; 6 sigma (false alarm 2e-9) each."""
    link, timeline, reports = rounds("photonic"), Timeline(formalism="bellwire"), []
    for number in range(1, 6001):
        link.start_attempt(timeline, number * GAP, 0.5, reports.append)
        drain(timeline)
    heralds = [report for report in reports if report]
    p, first = success_probability(link.optics), first_round_probability(link.optics)
    attempts = 6000 - link.first_rounds
    assert abs(link.first_rounds - attempts * first) < 6 * sqrt(attempts * first * (1 - first))
    assert abs(len(heralds) - attempts * p) < 6 * sqrt(attempts * p * (1 - p))
    seen = [fidelity(herald) for herald in heralds]
    assert abs(np.mean(seen) - link.heralded_fidelity()) < 6 * np.std(seen) / sqrt(len(seen))
    assert abs(sum(outcome == PSI_MINUS for outcome, _ in heralds) - len(heralds) / 2) < 3 * sqrt(len(heralds))


def test_the_interval_is_the_published_one() -> None:
    """P1 = e/2 + (e^2 (1+M)/2 + 2e(1-e))/4 for equal arms without dark counts, e = eta eta_d."""
    e, m = 0.72, 0.9
    known = {"efficiency_a": 0.8, "efficiency_b": 0.8, "detector_efficiency": 0.9, "visibility": m, "abort": True}
    link: Any = make_link("barrett-kok", LinkParameters(0, 0, **known))
    published = e / 2 + (e**2 * (1 + m) / 2 + 2 * e * (1 - e)) / 4
    assert link.success_probability() * (1 + published) == pytest.approx(success_probability(link.optics))


def test_drawn_rounds_have_the_mean_of_the_law() -> None:
    """Rounds to a herald: a sum over attempts, so its mean is (1 + P1)/p (Wald); 6 sigma of 4,000 draws."""
    link = rounds("sampled")
    rng = keyed_generator(1, "rounds")
    drawn = [link.draw_attempts(rng) for _ in range(4000)]
    assert min(drawn) == 2
    assert abs(np.mean(drawn) - 1 / link.success_probability()) < 6 * np.std(drawn) / sqrt(4000)


@pytest.mark.parametrize(("grade", "pairs"), [("sampled", 500), ("photonic", 120)])
@pytest.mark.parametrize("spacing", [15, 40])
def test_trains_of_rounds_herald_by_the_law(grade: Any, pairs: int, spacing: int) -> None:
    """Slots up to the herald: mean (1 + P1)/p within 6 sigma; halves live from the round before."""
    link: Any = noisy("barrett-kok", grade, 9, arm_b_m=1000, dark_probability=0.01, round_gap_ps=SLOT, abort=True)
    t1 = 10**12
    lab = bench(link, DeviceModel(2, 2, t1_communication_ps=t1))
    used: list[int] = []
    t = 0
    while len(used) < pairs:
        first = t // SLOT + 40
        for node in (A, B):
            lab.train(node, t, first, spacing, 100_000)
        listen = lab.listen(t, first, spacing, 100_000)
        while listen not in lab.answers:
            lab.step()
        due, herald = lab.answers[listen]
        assert due == herald.slot * SLOT + link.attempt_ps + NS
        used.append((herald.slot - first) // spacing + 1)
        pair = lab.plane.oracle.pairs[-1]
        age = link.attempt_ps + NS + 2 * link.parameters.arm_a_ps + spacing * SLOT
        assert pair.fidelity_at_home == pytest.approx(pair.fidelity_at_emission * (1 - age / t1), rel=0.02)
        for node in (A, B):
            lab.stop(node, due + 6 * SLOT)
        lab.run(due + 60 * SLOT)
        t = (due // SLOT + 60) * SLOT
    assert min(used) >= 2
    assert abs(np.mean(used) - 1 / link.success_probability()) < 6 * np.std(used) / sqrt(pairs)


@pytest.mark.parametrize("grade", ["sampled", "photonic"])
def test_a_round_that_is_not_listened_to_heralds_nothing(grade: Any) -> None:
    perfect = {"efficiency_a": 1, "efficiency_b": 1, "detector_efficiency": 1, "visibility": 1, "arm_b_m": 1000}
    perfect |= {"attenuation_db_per_km": 0, "dark_probability": 0, "round_gap_ps": SLOT, "abort": True}
    link = noisy("barrett-kok", grade, **perfect)
    lab = bench(link)
    for node in (A, B):
        lab.train(node, 0, 100, 1, 400)
    lab.listen(0, 100, 2, 200)
    lab.run()
    assert not lab.plane.oracle.pairs
