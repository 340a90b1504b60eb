"""Pairs on paper, against density matrices and closed forms."""

from itertools import product
from math import exp
from random import Random

import numpy as np
import pytest

from protocols import bell
from protocols.qnp.purify import Imperfect, distilled, program
from protocols.qnp.sketch import (
    FOREVER,
    FULL,
    MIXED,
    PERFECT,
    STILL,
    Known,
    Memory,
    Sketch,
    from_correlators,
    from_wire,
    shaped,
    sketched,
    swapped,
    to_wire,
    waited,
    werner,
)
from protocols.wire.codec import DeviceOpcode

ONE, X, Z = np.eye(2), np.array([[0, 1], [1, 0]]), np.diag([1, -1])
Y = 1j * X @ Z
H, S = (X + Z) / 2**0.5, np.diag([1, 1j])
TURN = np.cos(np.pi / 4) * ONE - 1j * np.sin(np.pi / 4) * X
CX = np.kron(np.diag([1, 0]), ONE) + np.kron(np.diag([0, 1]), X)


def density(sketch: Sketch) -> np.ndarray:
    xx, yy, zz, first, second = sketch
    return (
        np.eye(4) + xx * np.kron(X, X) + yy * np.kron(Y, Y) + zz * np.kron(Z, Z)
        + first * np.kron(Z, ONE) + second * np.kron(ONE, Z)
    ) / 4  # fmt: skip


def sketch_of(rho: np.ndarray) -> Sketch:
    return Sketch(*(np.trace(rho @ np.kron(*both)).real for both in ((X, X), (Y, Y), (Z, Z), (Z, ONE), (ONE, Z))))


def some(random: Random, leans: float = 0.3) -> tuple[Sketch, int]:
    """A state that has all a sketch knows, and the index that it is taken for."""
    index = random.randrange(4)
    errors = [1.0, *(random.random() / 8 for _ in range(3))]
    total = sum(errors)
    lean = random.uniform(-leans, leans), random.uniform(-leans, leans)
    z = errors[0], errors[1], errors[2], errors[3]
    return sketched((z[0] / total, z[1] / total, z[2] / total, z[3] / total), index, lean), index


def on(gate: np.ndarray, *qubits: int, of: int = 4) -> np.ndarray:
    """An operator on some of the qubits."""
    whole = np.zeros((2**of, 2**of), complex)
    for row, column in product(range(2**of), repeat=2):
        bits = [[number >> of - 1 - q & 1 for q in range(of)] for number in (row, column)]
        if all(bits[0][q] == bits[1][q] for q in range(of) if q not in qubits):
            at = [int("".join(str(side[q]) for q in qubits), 2) for side in bits]
            whole[row, column] = gate[at[0], at[1]]
    return whole


def mixed(state: np.ndarray, *qubits: int) -> np.ndarray:
    """Nothing is left of these two: the mean over all Paulis."""
    paulis = [on(np.kron(a, b), *qubits) for a, b in product((ONE, X, Y, Z), repeat=2)]
    return sum(pauli @ state @ pauli.conj().T for pauli in paulis) / 16


@pytest.mark.parametrize("index", range(4))
def test_both_halves_under_t1_alone(index: int) -> None:
    """Amplitude damping of both halves by g leaves Phi with 1 - g + g^2/2, Psi with 1 - g."""
    memory, elapsed = Memory(t1_ps=1000), 300
    g = 1 - exp(-0.3)
    expected = 1 - g if bell.bit_flip(index) else 1 - g + g * g / 2
    after = waited(sketched(PERFECT, index), (memory, elapsed), (memory, elapsed))
    assert after.errors(index)[0] == pytest.approx(expected, abs=1e-12)
    assert sum(after.errors(index)) == pytest.approx(1.0)


def test_waits_add_up_half_by_half() -> None:
    one, other = Memory(1000, 1500), Memory(700, 400)
    start, _ = some(Random(1))
    whole = waited(start, (one, 300), (other, 200))
    apart = waited(waited(start, (one, 300), STILL), (FOREVER, 5), (other, 170))
    assert waited(apart, STILL, (other, 30)) == pytest.approx(whole)


def test_both_halves_of_11_decay() -> None:
    """|11> becomes |01> and |10>, and half of that is Psi+: g(1 - g)."""
    memory, g = Memory(1000), 1 - exp(-0.3)
    after = waited(sketched((0, 0, 0.5, 0.5), 2, (-1, -1)), (memory, 300), (memory, 300))
    assert after.errors(2)[0] == pytest.approx(g * (1 - g))


def test_dephasing_flips_phases_only() -> None:
    """T1 infinite as good as: (1 + exp(-t/T2))/2 for one half."""
    once = waited(sketched(PERFECT, 2), (Memory(t1_ps=10**15, t2_ps=1000), 400), STILL).errors(2)
    assert once[0] == pytest.approx((1 + exp(-0.4)) / 2, abs=1e-9)
    assert once[2] == pytest.approx(0, abs=1e-9)


def test_werner_pairs_compose_by_their_w() -> None:
    """1/4 + 3/4 w^2."""
    w = (4 * 0.9 - 1) / 3
    chain = swapped(sketched(werner(0.9), 0), sketched(werner(0.9), 0), 0)
    assert chain.errors(0) == pytest.approx(werner((1 + 3 * w * w) / 4))


def test_a_swap_is_what_a_bell_measurement_makes_of_four_halves() -> None:
    random = Random(2)
    ket = np.array([1, 0, 0, 1]) / 2**0.5
    for found in range(4):
        (one, i), (other, j) = some(random), some(random)
        state = np.kron(density(one), density(other))
        x, z = bell.bit_flip(found), bell.phase_flip(found)
        bra = np.kron(ONE, np.linalg.matrix_power(X, x) @ np.linalg.matrix_power(Z, z)) @ ket
        # A phase flip of the outcome, with p: what a wrong readout of the first qubit does.
        p, rho = 0.1, np.zeros((4, 4), complex)
        for chance, seen in ((1 - p, bra), (p, np.kron(Z, ONE) @ bra)):
            project = np.kron(np.kron(ONE, seen.conj()), ONE)
            rho += chance * project @ state @ project.conj().T
        chain = swapped(one, other, found, from_correlators(1 - 2 * p, 1 - 2 * p, 1))
        assert chain == pytest.approx(sketch_of(rho / np.trace(rho).real), abs=1e-12)
        assert chain.errors(bell.compose(i, j, found))[0] > 0.5


def test_a_round_is_what_turns_cnots_and_readouts_make_of_four_halves() -> None:
    """Every permutation, with Paulis, all outcomes; depolarising CNOTs and faulty readouts."""
    random = Random(3)
    gates = {DeviceOpcode.H: H, DeviceOpcode.S: S, DeviceOpcode.SDG: S.conj(), DeviceOpcode.X: X, DeviceOpcode.Y: Y,
             DeviceOpcode.Z: Z, DeviceOpcode.CX: CX}  # fmt: skip
    w, e = 0.9, 0.05
    for turn in range(24):
        (kept, _), (measured, _) = some(random), some(random)
        turns, leads = (turn, random.randrange(24)), bool(turn % 2)
        # Qubits: kept there, kept here, measured there, measured here.
        state = np.kron(density(kept), density(measured)).astype(complex)
        for side in (0, 1):
            for op in program(1, 1 << 16 | 1, *turns, conjugate=leads == bool(side)).ops:
                if op.opcode in (DeviceOpcode.MEASURE, DeviceOpcode.RELEASE):
                    continue
                pair = (side, side + 2)
                gate = gates.get(op.opcode)
                if gate is None:  # a quarter about X, one way or the other
                    assert op.opcode == DeviceOpcode.RX
                    gate = TURN if op.angle > 0 else TURN.conj().T
                whole = on(gate, *pair) if op.opcode == DeviceOpcode.CX else on(gate, pair[op.qubit >> 16])
                state = whole @ state @ whole.conj().T
                if op.opcode == DeviceOpcode.CX:
                    state = w * state + (1 - w) * mixed(state, *pair)
        for outcomes in product((0, 1), repeat=2):
            seen = [np.diag([1 - e, e] if bit == 0 else [e, 1 - e]) for bit in outcomes]
            rest = (on(np.kron(*seen), 2, 3) @ state).reshape(4, 4, 4, 4).trace(axis1=1, axis2=3)
            chance = np.trace(rest).real
            likely, found = distilled(
                kept, measured, outcomes, turns, (not leads, leads), Imperfect(w, 1 - 2 * e)
            )  # fmt: skip
            assert likely == pytest.approx(chance, abs=1e-12)
            assert found == pytest.approx(sketch_of(rest / chance), abs=1e-12)


def test_a_fidelity_takes_the_shape_of_what_is_known() -> None:
    like = Known((0.9, 0.08, 0.02, 0.0), (-0.1, 0.02))
    assert shaped(like, 0.95).errors == pytest.approx((0.95, 0.04, 0.01, 0.0))
    assert shaped(like, 0.95).leaning == pytest.approx((-0.05, 0.01))
    assert shaped(Known(), 0.7).errors == pytest.approx(werner(0.7))


def test_the_wire_keeps_it_and_bounds_what_a_peer_may_say() -> None:
    state, index = some(Random(4))
    assert from_wire(index, *to_wire(state, index)) == pytest.approx(state, abs=1e-9)
    worst = from_wire(0, FULL, FULL, FULL, FULL, 0)
    assert worst.errors(0) == pytest.approx((0, 1 / 3, 1 / 3, 1 / 3))
    assert (worst.first, worst.second) == (1, -1)


def test_what_cannot_be_is_taken_for_nothing() -> None:
    """A peer may say of two halves that no Bell measurement could have found what it found."""
    up, down = (from_wire(0, 0, 0, 0, FULL, lean) for lean in (FULL, 0))
    assert swapped(up, down.swap_ends()._replace(first=-1.0), 0) == MIXED
    assert distilled(up, up._replace(zz=-1.0, first=1.0, second=-1.0), (0, 1))[0] >= 0
