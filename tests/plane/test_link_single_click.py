"""Single click: closed form, sampled states and photonic events are one law; the estimator lies near."""

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from test_link_barrett_kok import fidelity, run_attempts

from testbed.hardware import link_told
from testbed.keyed import keyed_generator
from testbed.plane.links import PSI_MINUS, PSI_PLUS, LinkId, LinkParameters, SingleClick, make_link
from testbed.plane.links.interference import click_masks
from testbed.plane.links.model import Optics
from testbed.plane.links.single_click import estimated_fidelity, heralded_fidelity, success_probability
from testbed.scenario import load_scenario

chance = st.floats(0, 1)
NAMED = (np.array([0, 1, 1, 0]) / np.sqrt(2), np.array([0, 1, -1, 0]) / np.sqrt(2))


@given(chance, chance, chance, chance, st.floats(0, 0.5), chance, chance)
def test_closed_form_equals_one_round_of_clicks(alpha_a, alpha_b, pa, pb, dark, visibility, coherence):
    """Also for unequal brightness, which the link class does not use."""
    masks = click_masks(pa, pb, visibility, coherence)
    node_a, node_b = ([np.sqrt(1 - x), np.sqrt(x)] for x in (alpha_a, alpha_b))
    ket = np.kron(node_a, node_b)
    states = [np.outer(ket, ket) * masks.observed(detector, dark) for detector in (0, 1)]
    total = sum(np.trace(rho) for rho in states)
    match = sum(named @ rho @ named for named, rho in zip(NAMED, states, strict=True))
    optics = Optics(pa, pb, dark, visibility, coherence)
    assert success_probability(alpha_a, alpha_b, optics) == pytest.approx(total, abs=1e-12)
    assert heralded_fidelity(alpha_a, alpha_b, optics) * total == pytest.approx(match, abs=1e-12)


def test_estimator_is_about_a_thousandth_high_where_dark_counts_are_few():
    optics = Optics(3e-4, 3e-4, 5e-7, 0.9)
    for alpha in (0.05, 0.1, 0.3):
        above = estimated_fidelity(alpha, alpha, optics) - heralded_fidelity(alpha, alpha, optics)
        assert 5e-4 < above < 3e-3


def test_estimator_is_low_where_photons_are_many_and_differ():
    optics = Optics(0.3, 0.3, 0.0, 0.8)
    below = heralded_fidelity(0.2, 0.2, optics) - estimated_fidelity(0.2, 0.2, optics)
    assert below == pytest.approx(0.0024, abs=1e-4)


def test_what_nodes_are_told_of_a_link_may_be_as_bad_as_the_link_is(tmp_path):
    """Emitters that are always bright: every pair is |11>."""
    text = {
        "nodes": {
            "west": {"kind": "qpu", "device": "ion"},
            "east": {"kind": "qpu", "device": "ion"},
            "mid": {"kind": "station"},
        },
        "links": {"l": {"a": "west", "b": "east", "station": "mid", "length_m": 20, "model": "single-click",
                        "grade": "sampled", "alpha": 1, "slot_s": 1e-4, "efficiency_a": 0.1, "efficiency_b": 0.1}},
    }  # fmt: skip
    (tmp_path / "bright.yaml").write_text(yaml.safe_dump(text))
    scenario = load_scenario(tmp_path / "bright.yaml")
    told = link_told(scenario, scenario.links[0])
    assert told.measured_estimate == pytest.approx(0, abs=1e-9)
    assert told.estimate == pytest.approx(told.errors[0], abs=1e-9)


@given(st.floats(0.01, 0.99), st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0, 0.5), chance, chance)
def test_drawn_states_are_states_and_have_the_exact_fidelity(alpha, pa, pb, dark, visibility, coherence):
    link = SingleClick(LinkParameters(0, 0, 0, 2e8, pa, pb, 1, dark, visibility, coherence))
    rng = keyed_generator(1, "draw")
    outcomes = set()
    for _ in range(12):
        herald = link.draw_state(rng, alpha)
        outcomes.add(herald[0])
        assert fidelity(herald) == pytest.approx(link.heralded_fidelity(alpha), abs=1e-12)
        assert np.linalg.eigvalsh(herald[1]).min() > -1e-12
        assert not herald[1].flags.writeable
    assert outcomes == {PSI_PLUS, PSI_MINUS}


@pytest.mark.parametrize(
    ("parameters", "alpha"),
    [
        (
            LinkParameters(
                1, 1, 0, efficiency_a=0.3, efficiency_b=0.3, dark_probability=1e-4, visibility=0.95
            ),
            0.1,
        ),
        (
            LinkParameters(
                1, 1, 0, efficiency_a=0.2, efficiency_b=0.2, dark_probability=5e-7, visibility=0.9
            ),
            0.2,
        ),
        (LinkParameters(10e3, 15e3, 0.5, dark_probability=0.03, visibility=0.8, coherence=0.9), 0.3),
    ],
)
def test_photonic_attempts_obey_the_law(parameters, alpha):
    """9,000 attempts: p and F within 6 σ of the closed form (false alarm 2e-9 each)."""
    link = make_link("single-click", parameters, "photonic", LinkId(seed=12))
    _, reports = run_attempts(link, 9000, alpha)
    p, heralds = link.success_probability(alpha), [fidelity(r) for r in reports if r]
    assert abs(len(heralds) - len(reports) * p) < 6 * np.sqrt(len(reports) * p * (1 - p))
    error = max(np.std(heralds), 1 / len(heralds)) / np.sqrt(len(heralds))
    assert abs(np.mean(heralds) - link.heralded_fidelity(alpha)) < 6 * error


def test_small_probabilities_cost_no_more_than_large_ones():
    """Draws at p = 7e-5: the mean number of attempts within 6 σ of 1/p (false alarm 2e-9)."""
    link = make_link("single-click", LinkParameters(1, 1, efficiency_a=4e-4, efficiency_b=4e-4))
    rng = keyed_generator(3, "first")
    draws = np.array([link.draw_attempts(rng, 0.1) for _ in range(5000)])
    p = link.success_probability(0.1)
    assert p < 1e-4
    assert abs(draws.mean() * p - 1) < 6 / np.sqrt(len(draws))


def test_a_link_that_never_heralds_says_so():
    link = make_link("single-click", LinkParameters(1, 1))
    assert link.draw_attempts(keyed_generator(1, "dark"), 0.0) == 1 << 62
    with pytest.raises(ValueError, match="never heralds"):
        link.draw_state(keyed_generator(1, "dark"), 0.0)
