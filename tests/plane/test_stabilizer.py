"""Stabilizer groups against exact density matrices, and what happens at their limits."""

from pathlib import Path

import numpy as np
import pytest

from testbed.bench.measure import timed_local
from testbed.errors import BadInput
from testbed.keyed import keyed_generator
from testbed.plan.compose import PlaneSpec, compose
from testbed.plane.state import StateEngine, rotation
from testbed.plane.state.gates import PAULIS
from testbed.plane.state.stabilizer import NotClifford
from testbed.scenario import load_scenario

SCENARIOS = Path(__file__).parents[2] / "testbed" / "scenarios"
ONE = ["x", "y", "z", "h", "s", "sdg", "sx"]
TWO = ["cx", "cz", "swap"]
PHI_PLUS = np.array([1, 0, 0, 1]) / np.sqrt(2)


class Fixed:
    """A generator whose next draw the test has chosen."""

    def __init__(self, sample):
        self.sample = sample

    def random(self):
        return self.sample


@pytest.mark.parametrize("seed", range(30))
def test_random_clifford_circuits_equal_the_density_matrix(seed):
    """Gates, measurements and resets on five qubits, step by step: equal bits and equal states, to 1e-6."""
    rng = np.random.default_rng(seed)
    engines = [StateEngine(formalism=f) for f in ("stabilizer", "density")]
    keys = [engines[0].new_qubit(0) for _ in range(5)]
    assert keys == [engines[1].new_qubit(0) for _ in range(5)]
    for now in range(60):
        a, b = (int(k) for k in rng.choice(keys, 2, replace=False))
        kind, sample = rng.random(), Fixed(rng.random())
        one, two = ONE[rng.integers(len(ONE))], TWO[rng.integers(len(TWO))]
        if kind < 0.15:
            bits = {engine.measure(a, now, sample) for engine in engines}
            assert len(bits) == 1
        elif kind < 0.55:
            for engine in engines:
                engine.gate1(a, one, now)
        elif kind < 0.6:
            # Quarter turns about Z are Clifford gates too; as matrices they have no name.
            for engine in engines:
                engine.gate1(a, rotation("z", np.pi / 2 * (now % 4)), now)
        else:
            for engine in engines:
                engine.gate2(a, b, two, now)
        assert len({tuple(sorted(engine.group_keys(a))) for engine in engines}) == 1
        some = [int(k) for k in rng.permutation(keys)[:3]]
        np.testing.assert_allclose(engines[0].density(some, now), engines[1].density(some, now), atol=1e-6)


def test_large_groups_merge_split_and_use_their_slots_again():
    """Two GHZ states of 20, each joined from halves and shortened, then joined by a Bell measurement."""
    engine = StateEngine(formalism="stabilizer")
    rng = keyed_generator(1, "slots")
    rows = [[engine.new_qubit(0) for _ in range(20)] for _ in range(2)]
    for row in rows:
        for start in (0, 10):
            engine.gate1(row[start], "h", 0)
            for i in range(start, start + 9):
                engine.gate2(row[i], row[i + 1], "cx", 0)
        # Fusing two GHZ states: CX across, measure the target, and flip its side if it read 1.
        engine.gate2(row[9], row[10], "cx", 0)
        if engine.measure(row[10], 0, rng):
            for key in row[11:]:
                engine.gate1(key, "x", 0)
        assert len(engine.group_keys(row[0])) == 19
        engine.gate2(row[0], row[10], "cx", 0) if engine.density([row[10]], 0)[0, 0] > 0.5 else None
    a, b = rows[0][0], rows[1][0]
    engine.gate2(a, b, "cx", 0)
    assert len(set(engine.group_keys(a)) & set(rows[1])) >= 19
    for i, j in ((1, 5), (5, 15)):
        rho = engine.density([rows[0][i], rows[0][j]], 0)
        np.testing.assert_allclose(np.diag(rho).real, [0.5, 0, 0, 0.5], atol=1e-6)
    assert len({engine.measure(key, 0, rng) for key in rows[0][1:10]}) == 1


def expectations(make, strings, runs):
    values = np.einsum("nij,sji->ns", [make(seed) for seed in range(runs)], strings).real
    return values.mean(axis=0), np.maximum(values.std(axis=0), 1 / runs) / np.sqrt(runs)


def test_heralded_pairs_and_noise_average_to_the_density_matrix():
    """Bell-diagonal and single-click pairs, T2 < T1 decay, depolarising: 2 x 15 expectations within 6.5 σ."""
    strings = [np.kron(a, b) for a in PAULIS for b in PAULIS][1:]
    bell = [np.kron(PAULIS[i], PAULIS[0]) @ PHI_PLUS for i in range(4)]
    diagonal = sum(w * np.outer(k, k.conj()) for w, k in zip((0.1, 0.7, 0.15, 0.05), bell, strict=True))
    click = np.diag([0.02, 0.44, 0.44, 0.1]).astype(complex)
    click[1, 2] = click[2, 1] = -0.4
    for rho in (diagonal, click):

        def state(seed, formalism="stabilizer", rho=rho):
            engine = StateEngine(seed, formalism)
            a, b = engine.new_qubit(0, 1000, 600), engine.new_qubit(0, 0, 700)
            engine.set_pair(a, b, rho, 0, 50)
            engine.gate1(a, "h", 200)
            engine.depolarise2(a, b, 0.1)
            engine.gate2(a, b, "cx", 350)
            engine.touch(a, 500)
            engine.touch(b, 500)
            return engine.density([a, b], 500)

        exact = state(0, "density")
        mean, error = expectations(state, strings, 1500)
        for string, value, sigma in zip(strings, mean, error, strict=True):
            assert abs(value - np.trace(exact @ string).real) < 6.5 * sigma


def test_decay_with_t2_beyond_t1_is_twirled_by_setting_and_elsewhere_refused():
    """T2 = 2 T1 is no stabilizer channel: the twirl keeps coherence (6 σ); `auto` says that it has no room."""
    kept = []
    for seed in range(3000):
        engine = StateEngine(seed, "stabilizer")
        key = engine.new_qubit(0, 1000, 2000)
        engine.gate1(key, "h", 0)
        engine.touch(key, 400)
        kept.append(2 * engine.density([key], 400)[0, 1].real)
    assert abs(np.mean(kept) - np.exp(-0.2)) < 6 * np.std(kept) / np.sqrt(len(kept))
    engine = StateEngine(density_qubits=1, trajectory_qubits=2)
    keys = [engine.new_qubit(0, 1000, 2000) for _ in range(3)]
    for i in range(2):
        engine.gate2(keys[i], keys[i + 1], "cx", 0)
    with pytest.raises(NotClifford, match="T2 > T1"):
        engine.touch(keys[0], 10)


def test_a_group_that_meets_a_t_gate_becomes_a_trajectory_or_says_why_it_cannot():
    engine = StateEngine(formalism="stabilizer", trajectory_qubits=3)
    keys = [engine.new_qubit(0) for _ in range(4)]
    engine.gate1(keys[0], "h", 0)
    for i in range(2):
        engine.gate2(keys[i], keys[i + 1], "cx", 0)
    exact = engine.density(keys[:3], 0)
    engine.gate1(keys[2], "t", 0)
    assert engine.density(keys[:3], 0)[0, 7] == pytest.approx(exact[0, 7] * np.exp(-0.25j * np.pi), abs=1e-6)
    with pytest.raises(NotClifford, match=r"4 entangled qubits.*trajectory_qubits = 3"):
        engine.gate2(keys[2], keys[3], "cx", 0)
    other = StateEngine(formalism="stabilizer", trajectory_qubits=1)
    a, b = other.new_qubit(0), other.new_qubit(0)
    other.gate2(a, b, "cx", 0)
    with pytest.raises(NotClifford, match="not a Clifford gate"):
        other.gate1(a, rotation("z", 1e-4), 0)
    other.gate1(a, "h", 0)  # the group is as it was


def test_auto_goes_from_density_over_trajectory_to_stabilizer():
    """A GHZ state of 40 qubits, read out."""
    engine = StateEngine(seed=2, density_qubits=3, trajectory_qubits=6)
    rng = keyed_generator(2, "auto")
    keys = [engine.new_qubit(0) for _ in range(40)]
    engine.gate1(keys[0], "h", 0)
    for i in range(39):
        engine.gate2(keys[i], keys[i + 1], "cx", 10 * i)
    assert len(engine.group_keys(keys[0])) == 40
    bits = [engine.measure(key, 400, rng) for key in keys]
    assert len(set(bits)) == 1
    assert all(engine.group_keys(key) == [key] for key in keys)


def test_a_scenario_chooses_the_formalism(tmp_path):
    """The key reaches the plane's engine; a word that is none is refused with its place."""
    source = (SCENARIOS / "two-qpus-teleport.yaml").read_text()
    path = tmp_path / "clifford.yaml"
    path.write_text(source.replace("rounds: 50", "rounds: 3") + "\nformalism: stabilizer\n")
    scenario = load_scenario(path)
    assert PlaneSpec(scenario, 1).build().config.formalism == "stabilizer"
    outcome = timed_local(compose(scenario, "local", [])).outcome
    assert not outcome.stuck
    assert len(outcome.plane["pairs"]) >= 2
    path.write_text(source + "\nformalism: stabiliser\n")
    with pytest.raises(BadInput, match=r"formalism.*stabilizer"):
        load_scenario(path)
