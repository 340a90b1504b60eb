"""Bell-diagonal arithmetic against closed forms."""

from math import exp

import pytest

from protocols.bell import bit_flip
from protocols.qnp.diagonal import FULL, PERFECT, Memory, composed, from_wire, shaped, to_wire, waited, werner


@pytest.mark.parametrize("index", range(4))
def test_both_halves_under_t1_alone(index: int) -> None:
    """Amplitude damping of both halves by g leaves Phi with 1 - g + g^2/2, Psi with 1 - g."""
    memory, elapsed = Memory(t1_ps=1000), 300
    g = 1 - exp(-0.3)
    expected = 1 - g if bit_flip(index) else 1 - g + g * g / 2
    after = waited(PERFECT, index, (memory, elapsed), (memory, elapsed))
    assert after[0] == pytest.approx(expected, abs=1e-12)
    assert sum(after) == pytest.approx(1.0)


def test_dephasing_flips_phases_only_and_waits_add_up() -> None:
    """T1 infinite as good as: (1 + exp(-t/T2))/2 for one half, and two waits are one of their sum."""
    memory = Memory(t1_ps=10**15, t2_ps=1000)
    once = waited(PERFECT, 2, (memory, 400))
    assert once[0] == pytest.approx((1 + exp(-0.4)) / 2, abs=1e-9)
    assert once[2] == pytest.approx(0, abs=1e-9)
    twice = waited(waited(PERFECT, 2, (memory, 150)), 2, (memory, 250))
    assert twice == pytest.approx(once)


def test_werner_pairs_compose_by_their_w() -> None:
    """1/4 + 3/4 w^2."""
    w = (4 * 0.9 - 1) / 3
    assert composed(werner(0.9), werner(0.9)) == pytest.approx(werner((1 + 3 * w * w) / 4))


def test_dephased_pairs_compose_by_xor() -> None:
    state = (0.95, 0.05, 0.0, 0.0)
    assert composed(state, state) == pytest.approx((0.95**2 + 0.05**2, 2 * 0.95 * 0.05, 0, 0))


def test_a_fidelity_takes_the_shape_of_what_is_known() -> None:
    assert shaped((0.9, 0.08, 0.02, 0.0), 0.95) == pytest.approx((0.95, 0.04, 0.01, 0.0))
    assert shaped(PERFECT, 0.7) == pytest.approx(werner(0.7))


def test_the_wire_keeps_it_and_bounds_what_a_peer_may_say() -> None:
    state = (0.9, 0.05, 0.03, 0.02)
    assert from_wire(*to_wire(state)) == pytest.approx(state, abs=1e-9)
    worst = from_wire(FULL, FULL, FULL)
    assert worst == pytest.approx((0, 1 / 3, 1 / 3, 1 / 3))
