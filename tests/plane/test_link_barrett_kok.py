"""Barrett-Kok: closed form, sampled states and photonic events are one law; masks equal counted photons."""

from heapq import heappop
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sequence.components.bsm import SingleAtomBSM
from sequence.kernel.timeline import Timeline

from testbed.keyed import keyed_generator
from testbed.plane.links import LINKS, NEVER_ATTEMPT, PSI_MINUS, PSI_PLUS, BarrettKok, LinkId, LinkParameters, make_link
from testbed.plane.links.barrett_kok import heralded_fidelity, success_probability
from testbed.plane.links.interference import click_masks
from testbed.plane.links.model import Optics
from testbed.plane.links.photonic import Analyser, SequenceAnalyser

chance = st.floats(0, 1)
NAMED = {PSI_PLUS: np.array([0, 1, 1, 0]) / np.sqrt(2), PSI_MINUS: np.array([0, 1, -1, 0]) / np.sqrt(2)}


def fidelity(herald):
    outcome, rho = herald
    return np.vdot(NAMED[outcome], rho @ NAMED[outcome]).real


def run_attempts(link, count, alpha=0.5, spacing_ps=10**9):
    """Attempts one after another on a timeline of their own; what each reported."""
    timeline = Timeline(formalism="bellwire")
    reports = []
    for number in range(1, count + 1):
        link.start_attempt(timeline, number * spacing_ps, alpha, reports.append)
        drain(timeline)
    return timeline, reports


def drain(timeline):
    events = timeline.events.data
    while events:
        event = heappop(events)
        timeline.time = event.time
        event.process.run()


def add_photon(ways, polynomial):
    """Products of creation operators, as {sorted tuple of modes: amplitude}, times one more photon."""
    out = {}
    for modes, amplitude in ways.items():
        for mode, weight in polynomial.items():
            key = tuple(sorted((*modes, mode)))
            out[key] = out.get(key, 0) + amplitude * weight
    return out


def count_photons(pa, pb, visibility):
    """Brute force: photons as creation operators on detector modes, overlapping or not, and loss modes."""
    s, same, other = np.sqrt(0.5), np.sqrt(visibility), np.sqrt(1 - visibility)
    photon_a = {("d0", 0): s * np.sqrt(pa), ("d1", 0): s * np.sqrt(pa), ("lost a", 0): np.sqrt(1 - pa)}
    photon_b = {("lost b", 0): np.sqrt(1 - pb)}
    for mode, weight in ((0, same), (1, other)):
        photon_b["d0", mode] = s * weight * np.sqrt(pb)
        photon_b["d1", mode] = -s * weight * np.sqrt(pb)
    finals = []
    for bright_a, bright_b in product((0, 1), repeat=2):
        ways = {(): 1.0}
        if bright_a:
            ways = add_photon(ways, photon_a)
        if bright_b:
            ways = add_photon(ways, photon_b)
        # A mode that holds two photons has norm sqrt(2).
        finals.append({k: v * (np.sqrt(2) if len(k) == 2 and k[0] == k[1] else 1) for k, v in ways.items()})
    masks = {pattern: np.zeros((4, 4)) for pattern in product((0, 1), repeat=2)}
    for modes in {m for final in finals for m in final}:
        pattern = tuple(int(any(m[0] == f"d{d}" for m in modes)) for d in (0, 1))
        amplitudes = np.array([final.get(modes, 0) for final in finals])
        masks[pattern] += np.outer(amplitudes, amplitudes)
    return masks


@given(chance, chance, chance)
def test_click_masks_equal_a_count_of_photons(pa, pb, visibility):
    masks, counted = click_masks(pa, pb, visibility), count_photons(pa, pb, visibility)
    for mask, pattern in (
        (masks.none, (0, 0)),
        (masks.only[0], (1, 0)),
        (masks.only[1], (0, 1)),
        (masks.both, (1, 1)),
    ):
        np.testing.assert_allclose(mask, counted[pattern], atol=1e-12)


@given(chance, chance, st.floats(0, 0.5), chance)
def test_closed_form_equals_two_rounds_of_clicks(pa, pb, dark, visibility):
    masks = click_masks(pa, pb, visibility)
    total = match = 0.0
    for first, second in product((0, 1), repeat=2):
        rho = np.full((4, 4), 0.25) * masks.observed(first, dark)
        rho = rho[::-1, ::-1] * masks.observed(second, dark)
        total += np.trace(rho)
        named = NAMED[PSI_PLUS if first == second else PSI_MINUS]
        match += named @ rho @ named
    optics = Optics(pa, pb, dark, visibility)
    assert success_probability(optics) == pytest.approx(total, abs=1e-12)
    assert heralded_fidelity(optics) * total == pytest.approx(match, abs=1e-12)


@given(st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0, 0.5), chance)
def test_drawn_states_are_states_and_have_the_exact_fidelity(pa, pb, dark, visibility):
    link = BarrettKok(LinkParameters(0, 0, 0, 2e8, pa, pb, 1, dark, visibility))
    rng = keyed_generator(1, "draw")
    outcomes = set()
    for _ in range(12):
        herald = link.draw_state(rng)
        outcomes.add(herald[0])
        assert fidelity(herald) == pytest.approx(link.heralded_fidelity(), abs=1e-12)
        assert np.trace(herald[1]) == pytest.approx(1)
        assert np.linalg.eigvalsh(herald[1]).min() > -1e-12
    assert outcomes == {PSI_PLUS, PSI_MINUS}


def test_first_success_is_geometric_at_any_probability():
    """Mean number of attempts over 20,000 draws within 6 σ of 1/p (false alarm 2e-9 each)."""
    for efficiency in (1.0, 0.3, 1e-3):
        link = BarrettKok(LinkParameters(0, 0, efficiency_a=efficiency, efficiency_b=efficiency))
        rng = keyed_generator(2, "geometric")
        draws = np.array([link.draw_attempts(rng) for _ in range(20_000)])
        p = link.success_probability()
        assert draws.min() >= 1
        assert abs(draws.mean() - 1 / p) < 6 * np.sqrt((1 - p) / p**2 / len(draws))
    assert BarrettKok(LinkParameters(0, 0, efficiency_a=0)).draw_attempts(rng) == NEVER_ATTEMPT


@pytest.mark.parametrize(
    ("parameters", "analyser"),
    [
        (LinkParameters(1, 1), SequenceAnalyser),
        (LinkParameters(5000, 5000, 0.2, detector_efficiency=0.9), SequenceAnalyser),
        (
            LinkParameters(500, 500, efficiency_a=0.6, efficiency_b=0.6, dark_probability=0.06),
            SequenceAnalyser,
        ),
        (LinkParameters(5000, 5000, 0.2, detector_efficiency=0.9, visibility=0.97**2), Analyser),
        (LinkParameters(9000, 50, 0.3, detector_efficiency=0.8, dark_probability=0.04), Analyser),
        (LinkParameters(9000, 50, 0.3, efficiency_b=0.5, dark_probability=0.04, visibility=0.7), Analyser),
    ],
)
def test_photonic_attempts_obey_the_law(parameters, analyser):
    """2,500 attempts: p and F within 6 σ of the closed form (false alarm 2e-9 each)."""
    link = make_link("barrett-kok", parameters, "photonic", LinkId(seed=11))
    _, reports = run_attempts(link, 2500)
    assert type(link._bench.free[0].analyser) is analyser
    p, heralds = link.success_probability(0), [fidelity(r) for r in reports if r]
    assert abs(len(heralds) - len(reports) * p) < 6 * np.sqrt(len(reports) * p * (1 - p))
    error = max(np.std(heralds), 1 / len(heralds)) / np.sqrt(len(heralds))
    assert abs(np.mean(heralds) - link.heralded_fidelity(0)) < 6 * error
    for outcome in (PSI_PLUS, PSI_MINUS):
        share = sum(1 for r in reports if r and r[0] == outcome)
        assert abs(share - len(heralds) / 2) < 6 * np.sqrt(len(heralds)) / 2


def test_bunching_of_two_bright_atoms_is_put_right():
    """What SingleAtomBSM leaves out shows only with dark counts. Perfect optics, dark count .3 per window.

    Without bunching p would be .32 instead of .39: 6,000 attempts tell the two apart by more than 10 σ, and p
    must be within 5 σ (false alarm 6e-7).
    """
    parameters = LinkParameters(1, 1, dark_probability=0.3)
    optics = parameters.optics
    unbunched = success_probability(optics._replace(visibility=0.0))
    _, reports = run_attempts(make_link("barrett-kok", parameters, "photonic", LinkId(seed=5)), 6000)
    p, seen = success_probability(optics), np.mean([r is not None for r in reports])
    sigma = np.sqrt(p * (1 - p) / len(reports))
    assert p - unbunched > 10 * sigma
    assert abs(seen - p) < 5 * sigma


@pytest.mark.parametrize(
    ("gap_ps", "arms"), [(30_000, (5000, 5000)), (1_000_000, (1, 1)), (400_000, (3000, 20))]
)
def test_decision_comes_at_the_decision_time(gap_ps, arms):
    """Whether the second emission precedes the first arrival or not; the first is a long arm early."""
    link = make_link("barrett-kok", LinkParameters(*arms, round_gap_ps=gap_ps), "photonic", LinkId(seed=3))
    timeline = Timeline(formalism="bellwire")
    seen = []
    slot = 50_000_000
    for number in range(40):
        at = slot * (number + 1)
        link.start_attempt(timeline, at, 0, lambda r, at=at: seen.append((timeline.now() - at, r)))
        first = timeline.events.data[0].time
        assert first == at - max(link.parameters.arm_a_ps, link.parameters.arm_b_ps)
        drain(timeline)
    assert {when for when, _ in seen} == {link.attempt_ps}
    assert all(fidelity(r) == pytest.approx(1, abs=1e-9) for _, r in seen if r)
    assert 5 < sum(1 for _, r in seen if r) < 35


def test_overlapping_attempts_do_not_see_each_other():
    """Slots 100 ns apart, 1 us between rounds: many lanes, second rounds on others' first rounds."""
    link = make_link("barrett-kok", LinkParameters(1000, 1000), "photonic", LinkId(seed=4))
    timeline = Timeline(formalism="bellwire")
    reports = []
    for number in range(400):
        link.start_attempt(timeline, 10**8 + number * 100_000, 0, reports.append)
    drain(timeline)
    heralds = [r for r in reports if r]
    assert len(reports) == 400
    assert abs(len(heralds) - 200) < 60
    assert all(fidelity(r) == pytest.approx(1, abs=1e-9) for r in heralds)


def test_equal_seeds_give_equal_attempts_whatever_else_is_on_the_timeline():
    parameters = LinkParameters(5000, 5000, dark_probability=0.05)
    outcomes = []
    for others in (0, 3):
        link = make_link("barrett-kok", parameters, "photonic", LinkId("west", 8))
        noise = [make_link("barrett-kok", parameters, "photonic", LinkId(f"other{i}", 8)) for i in range(others)]
        timeline = Timeline(formalism="bellwire")
        reports = []
        for number in range(1, 200):
            for model in noise:
                model.start_attempt(timeline, number * 10**9, 0, lambda r: None)
            link.start_attempt(timeline, number * 10**9, 0, reports.append)
            drain(timeline)
        outcomes.append([r and r[0] for r in reports])
    assert outcomes[0] == outcomes[1]
    assert len({str(x) for x in outcomes[0]}) == 3


def test_photonic_attempts_never_ask_the_closed_form(monkeypatch):
    """With the law replaced by a trap, attempts run as before, through SeQUeNCe's analyser."""
    calls = []
    original = SingleAtomBSM.get
    monkeypatch.setattr(SingleAtomBSM, "get", lambda self, photon: (calls.append(1), original(self, photon)))
    link = make_link("barrett-kok", LinkParameters(100, 100), "photonic", LinkId(seed=2))

    def trap(*_):
        raise AssertionError("closed form used")

    for name in ("success_probability", "heralded_fidelity"):
        monkeypatch.setattr(f"testbed.plane.links.barrett_kok.{name}", trap)
    monkeypatch.setattr(BarrettKok, "_states", property(trap))
    _, reports = run_attempts(link, 50)
    assert len(reports) == 50
    assert len(calls) > 100


def test_an_emission_in_the_past_is_refused():
    link = make_link("barrett-kok", LinkParameters(1000, 10), "photonic")
    timeline = Timeline(formalism="bellwire")
    timeline.time = 10**6
    with pytest.raises(ValueError, match="before now"):
        link.start_attempt(timeline, 10**6 + link.parameters.arm_a_ps - 1, 0, print)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("arm_a_m", -1), ("attenuation_db_per_km", -0.1), ("speed_m_per_s", 0), ("efficiency_a", 1.2),
        ("detector_efficiency", -0.1), ("dark_probability", 2), ("visibility", 1.2), ("coherence", -1),
        ("alpha", 1.5),
        ("window_ps", 0), ("arm_b_m", float("nan")), ("speed_m_per_s", float("inf")),
    ],
)  # fmt: skip
def test_parameters_out_of_range_are_named(field, value):
    with pytest.raises(ValueError, match=f"^{field}:"):
        LinkParameters(**{"arm_a_m": 1, "arm_b_m": 1, field: value})


def test_only_two_rounds_need_a_gap_longer_than_the_window():
    long = LinkParameters(1, 1, round_gap_ps=10**6, window_ps=10**6)
    with pytest.raises(ValueError, match=r"^round_gap_ps: 1000000 is not longer"):
        make_link("barrett-kok", long)
    for kind in set(LINKS) - {"barrett-kok"}:
        assert make_link(kind, long).parameters.window_ps == 10**6


def test_unknown_links_and_grades_are_refused():
    with pytest.raises(ValueError, match="none of barrett-kok, dual-rail"):
        make_link("dual-rails", LinkParameters(1, 1))
    with pytest.raises(ValueError, match="sampled, photonic"):
        make_link("barrett-kok", LinkParameters(1, 1), "exact")
