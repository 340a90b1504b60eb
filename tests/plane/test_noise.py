"""Noise formulas: average gate fidelities, decay of pairs, readout, keyed generators."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.keyed import keyed_generator
from testbed.plane.state import StateEngine, depolarising1, depolarising2, read_out
from testbed.plane.state.noise import check_times, coherence, damping, phase_flip

EIGENSTATES = [[1, 0], [0, 1], [1, 1], [1, -1], [1, 1j], [1, -1j]]


@given(st.floats(1 / 3, 1))
def test_one_qubit_depolarising_has_the_average_fidelity_it_was_made_for(fidelity):
    """The average over the six Pauli eigenstates is exact (they form a 2-design)."""
    probability = depolarising1(fidelity)
    seen = []
    for amplitudes in EIGENSTATES:
        engine = StateEngine()
        key = engine.new()
        engine.set([key], amplitudes)
        engine.depolarise1(key, probability)
        seen.append(engine.fidelity([key], np.array(amplitudes) / np.linalg.norm(amplitudes), 0))
    assert np.mean(seen) == pytest.approx(fidelity, abs=1e-12)


@given(st.floats(0.2, 1))
def test_two_qubit_depolarising_has_the_average_fidelity_it_was_made_for(fidelity):
    """F = (4 F_process + 1)/5, with F_process seen on half of two maximally entangled pairs."""
    engine = StateEngine()
    a, b, c, d = (engine.new() for _ in range(4))
    for left, right in ((a, c), (b, d)):
        engine.gate1(left, "h", 0)
        engine.gate2(left, right, "cx", 0)
    engine.depolarise2(a, b, depolarising2(fidelity))
    phi = np.eye(2).reshape(4) / np.sqrt(2)
    process = engine.fidelity([a, c, b, d], np.kron(phi, phi), 0)
    assert (4 * process + 1) / 5 == pytest.approx(fidelity, abs=1e-12)


def test_fidelities_that_no_depolarising_channel_has_are_refused():
    for wrong in (1.2, 0.1, -1.0):
        with pytest.raises(ValueError, match="depolarising"):
            depolarising1(wrong)
    with pytest.raises(ValueError, match="depolarising"):
        depolarising2(1.0001)


@pytest.mark.parametrize(
    ("bell", "expected"), [(0, 0.97546914), (1, 0.97546914), (2, 0.97541964), (3, 0.97541964)]
)
def test_both_halves_of_a_pair_decay(bell, expected):
    """T1 = 1, T2 = .5, t = .01, both halves."""
    ket = np.array([[1, 0, 0, 1], [1, 0, 0, -1], [0, 1, 1, 0], [0, 1, -1, 0]][bell]) / np.sqrt(2)
    engine = StateEngine()
    keys = [engine.new_qubit(0, 10**12, 5 * 10**11) for _ in range(2)]
    engine.set_pair(*keys, np.outer(ket, ket), 0, 0)
    assert engine.fidelity(keys, ket, 10**10) == pytest.approx(expected, abs=5e-9)


@given(st.floats(0, 8), st.integers(1, 10**6), st.floats(0.01, 2))
def test_damping_and_phase_flip_compose_to_the_total_coherence(lifetimes, t1, ratio):
    elapsed = int(lifetimes * t1)
    t2 = max(1, int(t1 * ratio))
    check_times(t1, t2)
    left = np.sqrt(1 - damping(elapsed, t1)) * (1 - 2 * phase_flip(elapsed, t1, t2))
    assert left == pytest.approx(coherence(elapsed, t2, t1), abs=1e-12)


def test_infinite_times_are_written_zero():
    assert damping(10**9, 0) == 0
    assert coherence(10**9, 0) == 1
    assert coherence(100, 0, 100) == pytest.approx(np.exp(-0.5))
    check_times(0, 5)
    with pytest.raises(ValueError, match="t1_ps"):
        check_times(-1, 0)


def test_readout_errs_as_often_as_told():
    """20,000 readings of each bit; 6 σ (false alarm 4e-9)."""
    rng = keyed_generator(1, "readout")
    for bit, error in ((0, 0.05), (1, 0.005)):
        wrong = sum(read_out(bit, 0.05, 0.005, rng) != bit for _ in range(20_000))
        assert abs(wrong - 20_000 * error) < 6 * np.sqrt(20_000 * error * (1 - error))


def test_keyed_generators_depend_on_every_part_of_the_key():
    keys = [
        (1, "a"),
        (2, "a"),
        (1, "b"),
        (1, "a", 1),
        (1, "a", "1"),
        (1, "a", 1, 2),
        (1, "a", 12),
        (1, "ab"),
        (1, "a", "b"),
    ]
    firsts = [keyed_generator(*key).integers(1 << 62) for key in keys]
    assert len(set(firsts)) == len(keys)
    assert keyed_generator(7, "x", 3).integers(1 << 62) == keyed_generator(7, "x", 3).integers(1 << 62)
    assert keyed_generator(1, "a", np.int64(1).item()).integers(1 << 62) == firsts[3]
    with pytest.raises(TypeError, match="float"):
        keyed_generator(1, "a", 1.0)
