"""Every link class: events (`photonic`) and law (`sampled`) are one model."""

import numpy as np
import pytest
from test_link_barrett_kok import fidelity, run_attempts

from testbed.keyed import keyed_generator
from testbed.plane.links import LinkId, LinkParameters, make_link

WIDE = {"width_rad_per_s": 1e11}
NOISY = {"efficiency_a": 0.6, "efficiency_b": 0.5, "dark_probability": 0.02, "visibility": 0.9}


@pytest.mark.parametrize(
    ("kind", "alpha", "known"),
    [
        ("dual-rail", 0.5, NOISY),
        ("source-midpoint", 0.5, NOISY),
        ("source-midpoint", 0.5, {**NOISY, "mean_pairs": 0.5}),
        ("source-midpoint", 0.5, {**NOISY, **WIDE, "jitter_ps": 12, "phase_sigma_rad": 0.5, "conversion_noise": 0.05}),
        ("sender-receiver", 0.5, {**NOISY, **WIDE, "offset_ps": 5, "jitter_ps": 9, "conversion_noise": 0.02}),
        ("sender-receiver", 0.5, {**NOISY, "detector_efficiency": 0.5}),
        ("single-click", 0.2, {**NOISY, "phase_sigma_rad": 0.6, "double_excitation": 0.1}),
        ("single-click", 0.2, {**NOISY, "conversion_a": 0.7, "conversion_b": 0.7, "conversion_noise": 0.1}),
        ("single-click", 0.2, {**NOISY, **WIDE, "offset_ps": 4, "jitter_ps": 12}),
        ("barrett-kok", 0.5, {**NOISY, **WIDE, "jitter_ps": 12}),
        ("barrett-kok", 0.5, {**NOISY, **WIDE, "jitter_ps": 12, "jitter_frozen": False}),
        ("barrett-kok", 0.5, {**NOISY, "dead_time_ps": 5e6}),
        ("barrett-kok", 0.5, {**NOISY, "double_excitation": 0.1, "double_excitation_b": 0.2}),
        ("dual-rail", 0.5, {**NOISY, "double_excitation": 0.1}),
        ("single-click", 0.2, {**NOISY, "lifetime_s": 2e-11, "jitter_ps": 12, "detuning_rad_per_s": 2e10}),
        ("single-click", 0.2, {**NOISY, **WIDE, "jitter_ps": 9, "width_ratio": 1.5, "polarisation_rad": 0.3}),
        ("single-click", 0.2, {**NOISY, "efficiency_a": 0.2, "modes": 3}),
        ("transducer-upconversion", 0.2, {**NOISY, "noise_photons": 0.1}),
        ("transducer-upconversion", 0.2, {**NOISY, "noise_photons": 0.1, "noise_photons_b": 0.02}),
        ("transducer-pair", 0.05, {**NOISY, "dark_probability": 0.001, "noise_photons": 0.2}),
    ],
)
def test_events_obey_the_law(kind, alpha, known):
    """3,000 attempts: p and F within 6 sigma of the law (false alarm 2e-9 each), drawn states exactly."""
    parameters = LinkParameters(100, 100, **known)
    link = make_link(kind, parameters, "photonic", LinkId(seed=5))
    _, reports = run_attempts(link, 3000, alpha)
    p, heralds = link.success_probability(alpha), [fidelity(r) for r in reports if r]
    assert abs(len(heralds) - 3000 * p) < 6 * np.sqrt(3000 * p * (1 - p))
    error = max(np.std(heralds), 1 / len(heralds)) / np.sqrt(len(heralds))
    assert abs(np.mean(heralds) - link.heralded_fidelity(alpha)) < 6 * error
    rng = keyed_generator(1, "law")
    for _ in range(5):
        herald = link.draw_state(rng, alpha)
        assert fidelity(herald) == pytest.approx(link.heralded_fidelity(alpha), abs=1e-12)
        assert np.linalg.eigvalsh(herald[1]).min() > -1e-12
