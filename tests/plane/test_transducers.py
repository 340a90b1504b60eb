"""Transducers as formulas, and the brightness that a link may choose by them or by the exact law."""

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.plane.links import LinkParameters, TransducerPair, make_link, transducer
from testbed.plane.links.model import Optics
from testbed.plane.links.single_click import best_alpha, brightest_alpha, heralded_fidelity, success_probability
from testbed.plane.links.upconversion import mean_pair


def chain(efficiency: float, noise: float) -> Optics:
    """Both ends alike: p_dc = eta N."""
    return Optics(efficiency, efficiency, efficiency * noise)


def test_conversion_is_best_where_cooperativity_is_one() -> None:
    assert transducer.cooperativity(3.0, 6.0, 1.5) == pytest.approx(4)
    assert transducer.direct_efficiency(0.5, 0.4, 1) == pytest.approx(0.2)
    assert transducer.direct_efficiency(0.5, 0.4, 0.5) == pytest.approx(transducer.direct_efficiency(0.5, 0.4, 2))
    assert transducer.mediated_efficiency(1, 1, 50, 50) == pytest.approx((100 / 101) ** 2)
    assert transducer.direct_noise(0.02, 0.8) == pytest.approx(0.005)
    assert transducer.mediated_noise(5, 0.5, 100) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("noise", "fidelity"), [(0.5, 0.401924), (0.1, 0.590343), (0.01, 0.827193), (1e-3, 0.939662), (1e-4, 0.980297)]
)
def test_the_best_fidelity_is_the_published_one(noise: float, fidelity: float) -> None:
    assert transducer.best_fidelity(noise) == pytest.approx(fidelity, abs=5e-7)
    alpha = transducer.best_alpha(noise)
    assert alpha == pytest.approx(sqrt(noise**2 + noise) - noise)
    assert transducer.upconversion_fidelity(alpha, noise) == pytest.approx(fidelity, abs=5e-7)
    # The exact law, searched, comes to the same where the efficiency is small.
    exact = best_alpha(chain(1e-7, noise))
    assert exact == pytest.approx(alpha, rel=1e-3)
    assert heralded_fidelity(exact, exact, chain(1e-7, noise)) == pytest.approx(fidelity, abs=1e-5)


def test_where_one_half_is_lost() -> None:
    noise = (sqrt(2) - 1) / 2
    assert transducer.best_alpha(noise) == pytest.approx(1 - sqrt(0.5))
    assert transducer.best_fidelity(noise) == pytest.approx(0.5)
    assert transducer.pair_fidelity(2 ** (1 / 3) - 1) == pytest.approx(0.5)


def test_finite_efficiency_is_not_the_leading_order() -> None:
    """N 1e-4, eta .1: .98079, not .98030."""
    parameters = LinkParameters(0, 0, efficiency_a=0.1, efficiency_b=0.1, noise_photons=1e-4)
    link = make_link("transducer-upconversion", parameters)
    assert link.heralded_fidelity(best_alpha(parameters.optics)) == pytest.approx(0.98079, abs=5e-6)
    assert link.estimate(0.01) == link.heralded_fidelity(0.01)


@given(st.floats(1e-4, 0.2), st.floats(1e-6, 0.3), st.floats(0.3, 1))
def test_the_brightest_alpha_gives_the_fidelity_asked_for_and_no_more(eta: float, noise: float, m: float) -> None:
    optics = chain(eta, noise)._replace(visibility=m)
    best = best_alpha(optics)
    peak = heralded_fidelity(best, best, optics)
    assert brightest_alpha(optics, peak + 1e-6) is None
    asked = 0.2 + 0.7 * (peak - 0.2)
    alpha = brightest_alpha(optics, asked)
    if alpha is None:  # a peak below what was asked
        assert peak < asked
        return
    assert alpha >= best
    assert heralded_fidelity(alpha, alpha, optics) >= asked - 1e-9
    brighter = min(1.0, alpha * 1.001)
    assert alpha == 1.0 or heralded_fidelity(brighter, brighter, optics) < asked
    assert success_probability(alpha, alpha, optics) >= success_probability(best, best, optics) - 1e-12


@pytest.mark.parametrize(("alpha", "n"), [(0.3, 2.0), (0.5, 1.0), (0.02, 0.1), (1.0, 0.0), (1e-9, 5.0), (0.0, 1.0)])
def test_a_pair_is_at_most_certain_however_many_photons_were_there(alpha: float, n: float) -> None:
    x = n / (1 + n)
    counted = sum((1 - x) * x**k * min(1.0, alpha * (k + 1)) for k in range(1000))
    assert mean_pair(alpha, n) == pytest.approx(counted, rel=1e-12)


def test_the_best_pair_is_bright_enough_for_dark_counts_and_no_brighter_than_can_be() -> None:
    """By its own law: thermal photons of the microwave mode are no dark counts."""
    known = LinkParameters(0, 0, efficiency_a=0.3, efficiency_b=0.3, dark_probability=1e-4, noise_photons=3)
    link = make_link("transducer-pair", known)
    assert isinstance(link, TransducerPair)
    best = link.best_alpha()
    assert 1e-3 < best < 0.25
    assert link.heralded_fidelity(best) > max(link.heralded_fidelity(best * x) for x in (0.99, 1.01))
