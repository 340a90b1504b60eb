"""Exact mixed states: a group of n qubits as the real vector of its 4^n Pauli components.

Component P of a state rho is r_P = Tr(rho P); each qubit has an axis of four. In this basis every local
channel is a real 4x4 matrix on one axis, a Clifford gate a signed permutation, a partial trace an index, a
tensor product an outer product; no 2^n x 2^n matrix is formed.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from testbed.plane.state.gates import DECAY, DECAYS, PAULIS, Complex, Gate1, Gate2, Indices, Real
from testbed.plane.state.noise import coherence, damping

type Draw = Callable[[], float]
type Decay = tuple[int, int, int]
"""Elapsed time, T1, T2 in ps."""
type Decays = tuple[Decay | None, Decay | None]
type Draws = tuple[Draw, Draw]

_NO_DECAYS: Decays = (None, None)

# Beyond this size a precomputed map of the whole vector costs more memory than it saves time, and a noisy gate is
# quicker in parts than as one matrix.
_MAPPED_QUBITS = 6
_MATRIX_QUBITS = 2


@lru_cache(maxsize=_MATRIX_QUBITS + 1)
def _expansion(count: int) -> tuple[Complex, Complex]:
    """Matrices from a flat density matrix to Pauli components, and back: rho = 2^-n sum_P r_P P."""
    strings = np.ones((1, 1, 1), complex)
    for _ in range(count):
        size = 2 * strings.shape[1]
        strings = np.einsum("aij,bkl->abikjl", strings, PAULIS).reshape(-1, size, size)
    flat = strings.reshape(len(strings), -1)
    return flat.conj().copy(), np.ascontiguousarray(flat.T / 2**count)


def to_pauli(rho: Complex) -> Real:
    """Pauli components (length 4^n) of a 2^n x 2^n density matrix."""
    count = len(rho).bit_length() - 1
    if count <= _MATRIX_QUBITS:
        components: Real = (_expansion(count)[0] @ rho.reshape(-1)).real.copy()
        return components
    # Bring (ket_i, bra_i) together, then transform axis by axis.
    tensor = rho.reshape((2,) * (2 * count))
    tensor = tensor.transpose([x for i in range(count) for x in (i, count + i)]).reshape((4,) * count)
    for axis in range(count):
        tensor = np.moveaxis(np.tensordot(_expansion(1)[0], tensor, (1, axis)), 0, axis)
    return np.ascontiguousarray(tensor.real).reshape(-1)


def from_pauli(vector: Real) -> Complex:
    """The 2^n x 2^n density matrix of 4^n Pauli components."""
    count = (len(vector).bit_length() - 1) // 2
    if count <= _MATRIX_QUBITS:
        return (_expansion(count)[1] @ vector).reshape(2**count, 2**count)
    tensor: Complex = vector.reshape((4,) * count).astype(complex)
    for axis in range(count):
        tensor = np.moveaxis(np.tensordot(_expansion(1)[1], tensor, (1, axis)), 0, axis)
    tensor = tensor.reshape((2,) * (2 * count))
    order = [2 * i for i in range(count)] + [2 * i + 1 for i in range(count)]
    return np.ascontiguousarray(tensor.transpose(order)).reshape(2**count, 2**count)


def _left(decay: Decay | None) -> tuple[float, float, float]:
    """Coherence c, 1 - gamma and gamma; elapsed times seldom repeat, so nothing made of them is kept."""
    if decay is None:
        return 1.0, 1.0, 0.0
    elapsed_ps, t1_ps, t2_ps = decay
    gamma = damping(elapsed_ps, t1_ps)
    return coherence(elapsed_ps, t2_ps, t1_ps), 1.0 - gamma, gamma


def _transfer1(gate: Gate1, error: float, decay: Decay | None) -> Real:
    """The transfer matrix of decay, the gate, depolarising."""
    matrix: Real = gate.transfer.dot(np.array((1.0, *_left(decay))).dot(DECAY).reshape(4, 4))
    if error:
        matrix[1:] *= 1.0 - 4.0 * error / 3.0
    return matrix


def _transfer2(gate: Gate2, error: float, decays: Decays) -> Real:
    """The transfer matrix of decay of both, the gate, depolarising, over |ab>."""
    c, z, g = _left(decays[0])
    d, y, h = _left(decays[1])
    products = np.array((1.0, d, y, h, c, c * d, c * y, c * h, z, z * d, z * y, z * h, g, g * d, g * y, g * h))
    if gate.source is not None:
        matrix: Real = products.dot(gate.channel(error)).reshape(16, 16)
        return matrix
    matrix = gate.transfer.dot(products.dot(DECAYS).reshape(16, 16))
    matrix[1:] *= 1.0 - 16.0 * error / 15.0
    return matrix


@lru_cache(maxsize=256)
def _to_front(count: int, a: int, b: int) -> Indices:
    """The index that takes a Pauli vector to one whose first axes are a and b, in this order."""
    index: Indices = np.moveaxis(np.arange(4**count).reshape((4,) * count), (a, b), (0, 1)).reshape(-1)
    return index


def relaxation(elapsed_ps: int, t1_ps: int, t2_ps: int) -> Real:
    """T1/T2 decay as a Pauli transfer matrix; 0 stands for an infinite time."""
    matrix: Real = np.array((1.0, *_left((elapsed_ps, t1_ps, t2_ps)))).dot(DECAY).reshape(4, 4)
    return matrix


def apply1(vector: Real, axis: int, last: bool, matrix: Real) -> Real:
    """A 4x4 matrix on one axis of a Pauli vector; `last` says that it is the last, contiguous axis."""
    product: Real
    if last:
        product = vector.reshape(-1, 4).dot(matrix.T)
    elif axis == 0:
        product = matrix.dot(vector.reshape(4, -1))
    else:
        product = np.matmul(matrix, vector.reshape(1 << (2 * axis), 4, -1))
    return product.reshape(-1)


class DensityGroup:
    """Qubits that share one exact state; `keys` gives the order of the axes."""

    __slots__ = ("keys", "vector")

    def __init__(self, keys: list[int], vector: Real) -> None:
        self.keys = keys
        self.vector = vector

    def _cube(self, axis: int) -> Real:
        return self.vector.reshape(1 << (2 * axis), 4, -1)

    def _pair(self, a: int, b: int) -> Real:
        """View with two axes first, in the order given: view[P_a, P_b, ...]."""
        if a < b:
            return self.vector.reshape(1 << (2 * a), 4, 1 << (2 * (b - a - 1)), 4, -1).transpose(1, 3, 0, 2, 4)
        return self.vector.reshape(1 << (2 * b), 4, 1 << (2 * (a - b - 1)), 4, -1).transpose(3, 1, 0, 2, 4)

    def gate1(self, axis: int, gate: Gate1) -> None:
        self.vector = apply1(self.vector, axis, axis == len(self.keys) - 1, gate.transfer)

    def relax(self, axis: int, elapsed_ps: int, t1_ps: int, t2_ps: int, draw: Draw) -> None:
        decay = relaxation(elapsed_ps, t1_ps, t2_ps)
        self.vector = apply1(self.vector, axis, axis == len(self.keys) - 1, decay)

    def noisy_gate1(self, axis: int, gate: Gate1, error: float, decay: Decay | None, draw: Draw) -> None:
        """Decay, the gate, depolarising, in one pass."""
        plain = decay is None and not error
        transfer = gate.transfer if plain else _transfer1(gate, error, decay)
        self.vector = apply1(self.vector, axis, axis == len(self.keys) - 1, transfer)

    def noisy_gate2(self, a: int, b: int, gate: Gate2, error: float, decays: Decays, draws: Draws) -> None:
        """Decay of both, the gate, depolarising: one pass in a small group, where the two come to the front."""
        count = len(self.keys)
        if not error and decays == _NO_DECAYS:
            self.gate2(a, b, gate)
        elif count <= _MAPPED_QUBITS:
            if a or b != 1:
                self.vector = self.vector.take(_to_front(count, a, b))
                first, second = self.keys[a], self.keys[b]
                self.keys.remove(first)
                self.keys.remove(second)
                self.keys[:0] = first, second
            moved = _transfer2(gate, error, decays).dot(self.vector.reshape(16, -1))
            self.vector = moved.reshape(-1)
        else:
            for axis, decay in zip((a, b), decays, strict=True):
                if decay is not None:
                    self.vector = apply1(self.vector, axis, axis == count - 1, relaxation(*decay))
            self.gate2(a, b, gate)
            if error:
                self.depolarise2(a, b, error, draws[0])

    def gate2(self, a: int, b: int, gate: Gate2) -> None:
        count = len(self.keys)
        if gate.swaps:
            self.keys[a], self.keys[b] = self.keys[b], self.keys[a]
            return
        if gate.source is not None and count <= _MAPPED_QUBITS:
            index, sign = gate.whole_map(count, a, b)
            self.vector = self.vector.take(index)
            if sign is not None:
                self.vector *= sign
            return
        blocks = self._pair(a, b)
        if gate.source is not None and gate.sign is not None:
            self.vector = np.empty_like(self.vector)
            target = self._pair(a, b)
            for row in range(16):
                source = int(gate.source[row])
                np.multiply(blocks[source >> 2, source & 3], gate.sign[row], out=target[row >> 2, row & 3])
            return
        moved = (gate.transfer @ blocks.reshape(16, -1)).reshape(blocks.shape)
        self.vector = np.empty_like(self.vector)
        self._pair(a, b)[...] = moved

    def pauli1(self, axis: int, x: float, y: float, z: float, draw: Draw) -> None:
        """X, Y, Z with these probabilities: each shrinks the components it anticommutes with."""
        cube = self._cube(axis)
        if x == y == z:
            cube[:, 1:] *= 1.0 - 4.0 * x
        else:
            cube[:, 1:] *= np.array([1 - 2 * (y + z), 1 - 2 * (x + z), 1 - 2 * (x + y)])[:, None]

    def depolarise2(self, a: int, b: int, probability: float, draw: Draw) -> None:
        """One of the 15 two-qubit Paulis: all that is not identity on the two shrinks by 1 - 16p/15."""
        untouched = self._pair(a, b)[0, 0]
        kept = untouched.copy()
        self.vector *= 1.0 - 16.0 * probability / 15.0
        untouched[...] = kept

    def measure(self, axis: int, sample: float) -> int:
        """Projects on Z = ±1 and drops the qubit; `sample` in [0, 1) below P(1) gives 1."""
        cube = self._cube(axis)
        probability = 0.5 * (1.0 - float(cube[0, 3, 0]))
        bit = int(sample < probability)
        weight = probability if bit else 1.0 - probability
        rest = cube[:, 0] - cube[:, 3] if bit else cube[:, 0] + cube[:, 3]
        rest *= 0.5 / weight
        self.vector = rest.reshape(-1)
        self.vector[0] = 1.0
        del self.keys[axis]
        return bit

    def discard(self, axis: int, draw: Draw) -> None:
        """Traces the qubit out."""
        self.vector = self._cube(axis)[:, 0].reshape(-1).copy()
        del self.keys[axis]

    def reduced(self, axes: list[int]) -> Real:
        """Pauli components over these axes, in this order; a copy."""
        count = len(self.keys)
        others = tuple(0 if i not in axes else slice(None) for i in range(count))
        tensor = self.vector.reshape((4,) * count)[others]
        ranks = sorted(axes)
        return tensor.transpose([ranks.index(i) for i in axes]).reshape(-1).copy()

    def absorb(self, other: "DensityGroup") -> None:
        self.vector = np.multiply.outer(self.vector, other.vector).reshape(-1)
        self.keys += other.keys
