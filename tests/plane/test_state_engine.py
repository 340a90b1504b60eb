"""The state engine against plain linear algebra on the full density matrix, and trajectories against both."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sequence.components.circuit import Circuit
from sequence.kernel.quantum_manager import QuantumManagerKet
from sequence.kernel.timeline import Timeline

from testbed.keyed import keyed_generator
from testbed.plane.links import LinkParameters, make_link
from testbed.plane.state import NAMED, StateEngine, controlled_phase, rotation
from testbed.plane.state.gates import PAULIS

ONE_QUBIT = ["x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx"]
TIMES = [(0, 0), (900, 0), (0, 700), (1000, 600), (500, 1000)]
PSI_PLUS = np.array([0, 1, 1, 0]) / np.sqrt(2)


class Fixed:
    """A generator whose next draw the test has chosen."""

    def __init__(self, sample):
        self.sample = sample

    def random(self):
        return self.sample


class Reference:
    """All qubits in one 2^n x 2^n density matrix, every channel by its Kraus operators."""

    def __init__(self, times):
        self.count, self.times = len(times), times
        self.touched = [0] * self.count
        self.rho = np.zeros((2**self.count, 2**self.count), complex)
        self.rho[0, 0] = 1

    def apply(self, kraus, *targets):
        """Each operator acts on the targets' axes, first target most significant."""
        total = np.zeros_like(self.rho)
        for operator in kraus:
            full = self.embed(operator, targets)
            total += full @ self.rho @ full.conj().T
        self.rho = total

    def embed(self, operator, targets):
        order = [*targets, *(q for q in range(self.count) if q not in targets)]
        wide = np.kron(operator, np.eye(2 ** (self.count - len(targets))))
        tensor = wide.reshape((2,) * (2 * self.count))
        back = [order.index(q) for q in range(self.count)]
        tensor = tensor.transpose(back + [self.count + x for x in back])
        return tensor.reshape(2**self.count, 2**self.count)

    def touch(self, qubit, now):
        t1, t2 = self.times[qubit]
        t = now - self.touched[qubit]
        self.touched[qubit] = now
        gamma = 1 - np.exp(-t / t1) if t1 else 0
        self.apply([np.diag([1, np.sqrt(1 - gamma)]), np.array([[0, np.sqrt(gamma)], [0, 0]])], qubit)
        wanted = np.exp(-t / t2) if t2 else np.sqrt(1 - gamma)
        flip = max(0, 1 - wanted / np.sqrt(1 - gamma)) / 2
        self.apply([np.sqrt(1 - flip) * np.eye(2), np.sqrt(flip) * np.diag([1, -1])], qubit)

    def depolarise(self, p, *targets):
        paulis = list(PAULIS)
        if len(targets) == 2:
            paulis = [np.kron(a, b) for a in PAULIS for b in PAULIS]
        weights = [1 - p, *[p / (len(paulis) - 1)] * (len(paulis) - 1)]
        self.apply([np.sqrt(w) * m for w, m in zip(weights, paulis, strict=True)], *targets)

    def measure(self, qubit, sample):
        one = self.embed(np.diag([0, 1]), [qubit])
        chance = np.trace(one @ self.rho).real
        bit = int(sample < chance)
        projector = one if bit else np.eye(len(one)) - one
        self.rho = projector @ self.rho @ projector / (chance if bit else 1 - chance)
        return bit, chance

    def reset(self, qubit, now):
        self.apply([np.diag([1, 0]), np.array([[0, 1], [0, 0]])], qubit)
        self.touched[qubit] = now

    def reduced(self, qubits):
        tensor = self.rho.reshape((2,) * (2 * self.count))
        others = [q for q in range(self.count) if q not in qubits]
        order = [*qubits, *others]
        tensor = tensor.transpose(order + [self.count + q for q in order])
        k = len(qubits)
        return np.einsum("aibi->ab", tensor.reshape(2**k, 2 ** (self.count - k), 2**k, -1))


def random_unitary(seed, size):
    rng = np.random.default_rng(seed)
    q, r = np.linalg.qr(rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size)))
    return np.ascontiguousarray(q * (np.diag(r) / abs(np.diag(r))))


def random_state(seed, size):
    a = np.random.default_rng(seed).normal(size=(size, size, 2)) @ [1, 1j]
    return a @ a.conj().T / np.trace(a @ a.conj().T).real


qubit = st.integers(0, 3)
# Rounded: the reference cannot divide by what is smaller than a float can hold well.
chance = st.floats(0, 1).map(lambda x: round(x, 12))
seeds = st.integers(0, 10**6)
steps = st.one_of(
    st.tuples(st.just("gate1"), qubit, st.one_of(st.sampled_from(ONE_QUBIT), seeds)),
    st.tuples(st.just("gate2"), qubit, qubit, st.one_of(st.sampled_from(["cx", "cz", "swap"]), seeds)),
    st.tuples(st.just("cp"), qubit, qubit, st.floats(-4, 4)),
    st.tuples(st.just("rotate"), qubit, st.sampled_from("xyz"), st.floats(-4, 4)),
    st.tuples(st.just("touch"), qubit),
    st.tuples(st.just("depolarise1"), qubit, chance),
    st.tuples(st.just("depolarise2"), qubit, qubit, chance),
    st.tuples(st.just("pauli1"), qubit, st.floats(0, 0.3), st.floats(0, 0.3), st.floats(0, 0.3)),
    st.tuples(st.just("measure"), qubit, chance),
    st.tuples(st.just("reset"), qubit),
    st.tuples(st.just("pair"), qubit, qubit, seeds),
)


def play(engine, keys, reference, circuit):
    """Plays a circuit on both, 100 ps a step; measurements with chosen samples."""
    now = 0
    for step in circuit:
        now += 100
        name, where = step[0], [x for x in step[1:3] if isinstance(x, int)][: 1 if step[0] in ONLY_ONE else 2]
        if len(set(where)) < len(where):
            continue
        targets = [keys[q] for q in where]
        argument = step[1 + len(where) :]
        if name in ("gate1", "gate2", "cp", "rotate", "touch", "measure"):
            for q in where:
                reference.touch(q, now)
        if name in ("gate1", "gate2"):
            given_name = isinstance(argument[0], str)
            matrix = NAMED[argument[0]] if given_name else random_unitary(argument[0], 2 ** len(where))
            gate = argument[0] if given_name else matrix
            (engine.gate1 if name == "gate1" else engine.gate2)(*targets, gate, now)
            reference.apply([matrix], *where)
        elif name == "cp":
            engine.gate2(*targets, controlled_phase(argument[0]), now)
            reference.apply([controlled_phase(argument[0])], *where)
        elif name == "rotate":
            engine.gate1(*targets, rotation(*argument), now)
            reference.apply([rotation(*argument)], *where)
        elif name == "touch":
            engine.touch(*targets, now)
        elif name in ("depolarise1", "depolarise2"):
            getattr(engine, name)(*targets, *argument)
            reference.depolarise(*argument, *where)
        elif name == "pauli1":
            engine.pauli1(*targets, *argument)
            weights = [1 - sum(argument), *argument]
            reference.apply([np.sqrt(w) * m for w, m in zip(weights, PAULIS, strict=True)], *where)
        elif name == "measure":
            bit, one = reference.measure(*where, *argument)
            # Where a rounding error could decide, there is nothing to compare.
            if abs(argument[0] - one) < 1e-9 or (one if bit else 1 - one) < 1e-6:
                return None
            assert engine.measure(*targets, now, Fixed(argument[0])) == bit
        elif name == "reset":
            engine.reset(*targets, now)
            reference.reset(*where, now)
        else:
            rho = random_state(argument[0], 4)
            engine.set_pair(*targets, rho, now - 50, now - 20)
            for q in where:
                reference.reset(q, now)
            low, columns = np.linalg.eigh(rho)
            kraus = [
                np.sqrt(max(w, 0)) * np.outer(v, [1, 0, 0, 0]) for w, v in zip(low, columns.T, strict=True)
            ]
            reference.apply(kraus, *where)
            reference.touched[where[0]], reference.touched[where[1]] = now - 50, now - 20
    return now


ONLY_ONE = {"gate1", "rotate", "touch", "depolarise1", "pauli1", "measure", "reset"}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from(TIMES), min_size=4, max_size=4),
    st.lists(steps, max_size=25),
    st.permutations(range(4)),
)
def test_density_engine_equals_full_matrices(times, circuit, order):
    engine = StateEngine(formalism="density")
    keys = [engine.new_qubit(0, *t) for t in times]
    reference = Reference(times)
    now = play(engine, keys, reference, circuit)
    if now is None:
        return
    later = now + 130
    seen = engine.density([keys[q] for q in order], later)
    part = engine.density([keys[order[0]], keys[order[1]]], later)
    for q in range(4):
        reference.touch(q, later)
    np.testing.assert_allclose(seen, reference.reduced(order), atol=1e-11)
    np.testing.assert_allclose(part, reference.reduced(order[:2]), atol=1e-11)


@pytest.mark.parametrize(
    ("formalism", "count"),
    [("density", 5), ("density", 6), ("density", 7), ("trajectory", 3), ("trajectory", 11)],
)
def test_large_groups_equal_kets(formalism, count):
    """Size decides the path a gate takes: without noise all of them must equal a plain ket."""
    rng = keyed_generator(1, "large groups", count)
    engine = StateEngine(formalism=formalism)
    keys = [engine.new_qubit(0) for _ in range(count)]
    ket = np.zeros((2,) * count, complex)
    ket[(0,) * count] = 1
    for _ in range(6 * count):
        a, b = (int(x) for x in rng.choice(count, 2, replace=False))
        one = random_unitary(int(rng.integers(1 << 30)), 2)
        two = [NAMED["cx"], NAMED["cz"], NAMED["swap"], random_unitary(7, 4)][rng.integers(4)]
        engine.gate1(keys[a], one, 0)
        engine.gate2(keys[a], keys[b], two, 0)
        ket = np.moveaxis(np.tensordot(one, ket, (1, a)), 0, a)
        ket = np.moveaxis(np.tensordot(two.reshape(2, 2, 2, 2), ket, ((2, 3), (a, b))), (0, 1), (a, b))
    if formalism == "density":
        assert engine.fidelity(keys, ket.reshape(-1), 0) == pytest.approx(1, abs=1e-11)
        return
    # The whole matrix of eleven qubits is too large to look at; three at a time, from either end.
    for key_set, axes in ((keys[:3], (0, 1, 2)), (keys[-1:-4:-1], (count - 1, count - 2, count - 3))):
        moved = np.moveaxis(ket, axes, (0, 1, 2)).reshape(8, -1)
        np.testing.assert_allclose(engine.density(key_set, 0), moved @ moved.conj().T, atol=1e-11)


NOISY = [
    ("gate1", 0, "h"), ("gate2", 0, 1, "cx"), ("depolarise2", 0, 1, 0.2), ("gate1", 2, "sx"), ("touch", 1),
    ("gate2", 1, 2, "cz"), ("depolarise1", 2, 0.15), ("rotate", 2, "x", 0.7), ("gate2", 2, 0, 11),
    ("touch", 0),
    ("pauli1", 1, 0.1, 0.02, 0.05), ("cp", 0, 2, 1.1), ("rotate", 1, "y", 0.4), ("gate2", 0, 1, "swap"),
    ("touch", 2),
]  # fmt: skip


def test_trajectories_average_to_the_density_matrix():
    """3,000 trajectories, 64 Pauli expectations: each within 6.5 σ (false alarm 64 × 8e-11)."""
    times = [(1000, 600), (0, 700), (900, 0), (0, 0)]
    reference = Reference(times)
    exact_engine = StateEngine(formalism="density")
    exact_keys = [exact_engine.new_qubit(0, *t) for t in times]
    now = play(exact_engine, exact_keys, reference, NOISY)
    exact = exact_engine.density(exact_keys[:3], now + 300)
    runs = []
    for seed in range(3000):
        engine = StateEngine(seed=seed, formalism="trajectory")
        keys = [engine.new_qubit(0, *t) for t in times]
        play_fast(engine, keys, NOISY)
        runs.append(engine.density(keys[:3], now + 300))
    strings = [np.kron(a, np.kron(b, c)) for a in PAULIS for b in PAULIS for c in PAULIS]
    for string in strings:
        values = np.einsum("nij,ji->n", np.array(runs), string).real
        error = max(values.std(), 1 / len(runs)) / np.sqrt(len(runs))
        assert abs(values.mean() - np.trace(exact @ string).real) < 6.5 * error


def play_fast(engine, keys, circuit):
    """As `play`, without the reference."""
    now = 0
    for name, *step in circuit:
        now += 100
        if name in ("gate1", "touch"):
            getattr(engine, name)(keys[step[0]], *step[1:], now)
        elif name == "gate2":
            gate = step[2] if isinstance(step[2], str) else random_unitary(step[2], 4)
            engine.gate2(keys[step[0]], keys[step[1]], gate, now)
        elif name == "cp":
            engine.gate2(keys[step[0]], keys[step[1]], controlled_phase(step[2]), now)
        elif name == "rotate":
            engine.gate1(keys[step[0]], rotation(*step[1:]), now)
        elif name == "depolarise2":
            engine.depolarise2(keys[step[0]], keys[step[1]], step[2])
        else:
            getattr(engine, name)(keys[step[0]], *step[1:])


def test_groups_merge_on_interaction_and_split_after_measurement():
    engine = StateEngine()
    a, b, c = (engine.new_qubit(0) for _ in range(3))
    engine.gate1(a, "h", 0)
    engine.gate2(a, b, "cx", 0)
    engine.gate2(b, c, "cx", 0)
    assert engine.group_keys(c) == [a, b, c]
    bit = engine.measure(b, 5, Fixed(0.3))
    assert bit == 1
    assert engine.group_keys(b) == [b]
    assert engine.group_keys(a) == [a, c]
    np.testing.assert_allclose(engine.density([c, b, a], 5)[7, 7], 1, atol=1e-12)
    engine.reset(a, 6)
    assert engine.group_keys(c) == [c]


def test_auto_turns_to_trajectories_when_a_group_outgrows_the_limit():
    engine = StateEngine(density_qubits=3)
    rng = keyed_generator(1, "outgrow")
    keys = [engine.new_qubit(0, 10**6, 10**6) for _ in range(8)]
    engine.gate1(keys[0], "h", 0)
    for i in range(7):
        engine.gate2(keys[i], keys[i + 1], "cx", 10 * i)
    ghz = np.zeros(256)
    ghz[[0, 255]] = np.sqrt(0.5)
    assert 0.99 < engine.fidelity(keys, ghz, 70) <= 1 + 1e-12
    bits = [engine.measure(key, 80, rng) for key in keys]
    assert len(set(bits)) == 1
    assert all(engine.group_keys(key) == [key] for key in keys)


def test_setting_trajectory_samples_heralded_states_too():
    """A mixed pair is drawn as one of its pure states; the mean fidelity of 2,000 is the pair's (6 σ)."""
    rho = 0.7 * np.outer(PSI_PLUS, PSI_PLUS) + 0.3 * np.eye(4) / 4
    seen = []
    for seed in range(2000):
        engine = StateEngine(seed=seed, formalism="trajectory")
        a, b = engine.new_qubit(0), engine.new_qubit(0)
        engine.set_pair(a, b, rho, 0, 0)
        state = engine.density([a, b], 0)
        assert np.trace(state @ state).real == pytest.approx(1)
        seen.append(engine.fidelity([a, b], PSI_PLUS, 0))
    assert abs(np.mean(seen) - (0.7 + 0.3 / 4)) < 6 * np.std(seen) / np.sqrt(len(seen))


def test_each_half_of_a_pair_decays_from_its_own_emission():
    """METRO, alpha .1: .85038 at emission, about .749 when the heralds arrive (T1 2.68 ms, T2 1 ms)."""
    link = make_link("single-click", LinkParameters(
        10e3, 15e3, 0.5, 206753.41931e3, 0.46 * 0.00442566011, 0.46 * 0.00442566011, 0.8,
        1 - np.exp(-20 * 25e-9), 0.9,
    ))  # fmt: skip
    engine = StateEngine()
    a, b = (engine.new_qubit(0, 2_680_000_000, 1_000_000_000) for _ in range(2))
    slot = 10**9
    outcome, rho = link.draw_state(keyed_generator(1, "metro"), 0.1)
    arm_a, arm_b = link.parameters.arm_a_ps, link.parameters.arm_b_ps
    named = np.array([0, 1, 1 if outcome == 2 else -1, 0]) / np.sqrt(2)
    engine.set_pair(a, b, rho, slot - arm_a, slot - arm_b)
    assert engine.fidelity([a, b], named, slot - arm_b) == pytest.approx(0.85038199, abs=1e-8)
    at_b = engine.fidelity([a, b], named, slot + arm_b)
    # Node a has its herald sooner: each half counted to its own herald, a two short arms, b two long ones.
    engine.set_pair(a, b, rho, slot + arm_b - 2 * arm_a, slot - arm_b)
    assert engine.fidelity([a, b], named, slot + arm_b) == pytest.approx(0.749, abs=1e-3)
    assert at_b < 0.745


@pytest.mark.parametrize("formalism", ["density", "trajectory"])
def test_the_oracle_changes_nothing(formalism):
    """Equal seeds, one engine watched: the same bits come out."""
    results = []
    for watched in (False, True):
        engine = StateEngine(seed=3, formalism=formalism)
        rng = keyed_generator(5, "oracle")
        keys = [engine.new_qubit(0, 2000, 1500) for _ in range(3)]
        bits = []
        for turn in range(40):
            now = 100 * turn
            engine.gate1(keys[0], "h", now)
            engine.gate2(keys[0], keys[1], "cx", now + 10)
            engine.gate2(keys[1], keys[2], "cx", now + 20)
            if watched:
                engine.density([keys[2], keys[0]], now + 25)
                engine.fidelity(keys, np.eye(8)[0], now + 10_000)
            engine.depolarise2(keys[0], keys[2], 0.1)
            bits += [engine.measure(key, now + 30, rng) for key in keys]
        results.append(bits)
    assert results[0] == results[1]
    assert 0 < sum(results[0]) < len(results[0])


def test_times_run_forward_and_t2_is_at_most_twice_t1():
    engine = StateEngine()
    key = engine.new_qubit(100)
    with pytest.raises(ValueError, match="after 50 ps"):
        engine.gate1(key, "x", 50)
    with pytest.raises(ValueError, match="t2_ps"):
        engine.new_qubit(0, 10, 21)
    with pytest.raises(ValueError, match="not unitary"):
        engine.gate1(key, np.array([[1, 1], [1, 1]], complex), 200)
    with pytest.raises(ValueError, match="itself"):
        engine.gate2(key, key, "cx", 300)


def test_timeline_makes_the_engine_by_its_formalism():
    timeline = Timeline(formalism="bellwire", manager_kwargs={"seed": 9, "density_qubits": 4})
    assert isinstance(timeline.quantum_manager, StateEngine)
    assert timeline.quantum_manager.seed == 9


@pytest.mark.parametrize("seed", range(20))
def test_sequence_circuits_give_what_its_own_manager_gives(seed):
    """Random circuits over partly entangled qubits: every measurement result, and the state after."""
    rng = np.random.default_rng(seed)
    ours, theirs = StateEngine(), QuantumManagerKet()
    mine = {theirs.new(): ours.new() for _ in range(4)}
    keys = list(mine)
    for _ in range(6):
        size = int(rng.integers(1, 5))
        circuit = Circuit(size)
        for _ in range(6):
            getattr(circuit, ["h", "x", "y", "z", "s", "sdg", "t"][rng.integers(7)])(int(rng.integers(size)))
            if size > 1:
                pair = [int(x) for x in rng.choice(size, 2, replace=False)]
                getattr(circuit, ["cx", "cz", "swap"][rng.integers(3)])(*pair)
        for i in rng.choice(size, int(rng.integers(0, size + 1)), replace=False):
            circuit.measure(int(i))
        where = [keys[i] for i in rng.choice(4, size, replace=False)]
        sample = rng.random()
        result = theirs.run_circuit(circuit, where, sample)
        assert ours.run_circuit(circuit, [mine[k] for k in where], sample) == {
            mine[k]: bit for k, bit in result.items()
        }
    for key in keys:
        state = theirs.get(key)
        assert ours.fidelity([mine[k] for k in state.keys], state.state, 0) == pytest.approx(1, abs=1e-10)
