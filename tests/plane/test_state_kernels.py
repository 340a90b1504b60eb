"""The kernels at every place in a large group, against gates applied by einsum on one plain ket."""

import numpy as np
import pytest

from protocols.device import Durations, Program
from testbed.plane import DeviceModel, Plane, PlaneConfig
from testbed.plane.state import NAMED, StateEngine, controlled_phase, rotation
from testbed.plane.state.gates import gate1, gate2, turn1, turn2

COUNT = 9
ISWAP = np.array([[1, 0, 0, 0], [0, 0, 1j, 0], [0, 1j, 0, 0], [0, 0, 0, 1]])
CYCLE = np.eye(4, dtype=complex)[[1, 2, 3, 0]]


def circuit(seed, length):
    """Gates on random places; among them one- and two-qubit unitaries of every form that a kernel tells apart."""
    rng = np.random.default_rng(seed)
    ones = [NAMED[n] for n in ("x", "y", "z", "h", "s", "t", "sx")] + [rotation("y", 0.3)]
    twos = [NAMED[n] for n in ("cx", "cz", "swap")] + [ISWAP, CYCLE, controlled_phase(0.7), np.kron(ones[3], ones[6])]
    for _ in range(length):
        if rng.random() < 0.4:
            yield (int(rng.integers(COUNT)),), ones[rng.integers(len(ones))]
        else:
            yield tuple(int(q) for q in rng.choice(COUNT, 2, replace=False)), twos[rng.integers(len(twos))]


def applied(ket, places, gate):
    """The gate on these axes of a ket of shape (2, 2, ...)."""
    k = len(places)
    moved = np.tensordot(gate.reshape((2,) * (2 * k)), ket, (range(k, 2 * k), places))
    return np.moveaxis(moved, range(k), places)


@pytest.mark.parametrize("formalism", ["trajectory", "density"])
def test_gates_at_every_place_of_a_large_group_are_those_of_linear_algebra(formalism):
    ket = np.zeros((2,) * COUNT, complex)
    ket[(0,) * COUNT] = 1
    engine = StateEngine(1, formalism)
    keys = [engine.new_qubit(0) for _ in range(COUNT)]
    for places, gate in circuit(3, 250 if formalism == "trajectory" else 60):
        ket = applied(ket, places, gate)
        if len(places) == 1:
            engine.gate1(keys[places[0]], gate, 0)
        else:
            engine.gate2(keys[places[0]], keys[places[1]], gate, 0)
    assert engine.fidelity(keys, ket.reshape(-1), 0) == pytest.approx(1, abs=1e-9)


def test_a_swap_without_error_exchanges_places_and_joins_nothing():
    """Half of a pair moves to storage; each qubit goes on with its own T1."""
    engine = StateEngine()
    here, there, storage = engine.new_qubit(0), engine.new_qubit(0), engine.new_qubit(0, t1_ps=1000)
    engine.gate1(here, "h", 0)
    engine.gate2(here, there, "cx", 0)
    engine.gate1(storage, "x", 0)
    engine.gate2(here, storage, "swap", 500)
    assert sorted(engine.group_keys(there)) == sorted([there, storage])
    assert engine.group_keys(here) == [here]
    phi = np.array([1, 0, 0, 1]) / np.sqrt(2)
    assert engine.fidelity([there, storage], phi, 500) == pytest.approx(1)
    assert engine.fidelity([here], np.array([0, 1]), 500) == pytest.approx(np.exp(-0.5))
    assert engine.fidelity([storage], np.array([0, 1]), 1500) == pytest.approx(np.exp(-1) / 2)


def test_a_swap_with_error_joins_and_leaves_its_error():
    engine = StateEngine()
    a, b = engine.new_qubit(0), engine.new_qubit(0)
    engine.gate2(a, b, "swap", 0, error=0.15)
    assert sorted(engine.group_keys(a)) == [a, b]
    # Of the 15 Paulis 3 leave |00> alone.
    assert engine.fidelity([a, b], np.array([1, 0, 0, 0]), 0) == pytest.approx(1 - 0.15 * 12 / 15)


@pytest.mark.parametrize("angle", [0.0, 0.3, np.pi / 2, np.pi, -2.0])
def test_turns_are_compiled_as_their_matrices_are(angle):
    for axis in "xyz":
        turned, plain = turn1(axis, angle), gate1(rotation(axis, angle))
        assert np.allclose(turned.unitary, plain.unitary)
        assert np.allclose(turned.transfer, plain.transfer, atol=1e-12)
    turned, plain = turn2(angle), gate2(controlled_phase(angle))
    assert np.allclose(turned.transfer, plain.transfer, atol=1e-12)
    assert (turned.source is None) == (plain.source is None)


def test_a_program_that_uses_what_it_has_released_is_refused_whole():
    """The static fault waits its turn: an earlier operation on a foreign handle is what the answer names."""
    plane = Plane(PlaneConfig(1, {1: DeviceModel(2, 0, durations=Durations(one_qubit_ps=1000))}))
    first, second = plane.handles(1)

    def answer(number, program):
        plane.submit(1, number * 10_000, number, program.message().MESSAGE, bytes(program))
        plane.step()
        return plane.take_answers()[0].body

    stale = answer(1, Program().release(first).x(first))
    foreign = answer(2, Program().x(9 << 16 | 1).release(first).x(first))
    assert stale != foreign
    assert plane.handles(1) == [first, second]
