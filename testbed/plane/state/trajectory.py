"""Quantum trajectories: a group of n qubits as one ket of 2^n amplitudes; noise is drawn, not averaged.

The ket is kept unnormalised between events that need its norm: a decay without a jump then costs one scaling.
The unravelling is that of the channels of noise.py, so averages over draws equal the exact density matrix.
"""

from math import sqrt

import numpy as np

from testbed.plane.state.density import Decay, Decays, Draw, Draws, from_pauli, to_pauli
from testbed.plane.state.gates import PAULIS, Complex, Gate1, Gate2, Real
from testbed.plane.state.noise import damping, phase_flip

# numpy runs a stacked product matrix by matrix: quick for up to _STACK of them. Beyond that one wider
# product is quicker, as long as its inner size is below _WIDE.
_STACK = 64
_WIDE = 16


def norm2(ket: Complex) -> float:
    return float(np.vdot(ket, ket).real)


def sample_ket(vector: Real, draw: Draw) -> Complex:
    """One pure state out of the ensemble of eigenvectors of a mixed state given by its Pauli components."""
    weights, columns = np.linalg.eigh(from_pauli(vector))
    weights = np.clip(weights, 0.0, None)
    chosen = min(
        int(np.searchsorted(np.cumsum(weights), draw() * weights.sum(), side="right")), len(weights) - 1
    )
    return np.ascontiguousarray(columns[:, chosen])


class TrajectoryGroup:
    """Qubits that share one sampled pure state; `keys` gives the order of the axes."""

    __slots__ = ("ket", "keys")

    def __init__(self, keys: list[int], ket: Complex) -> None:
        self.keys = keys
        self.ket = ket

    def _cube(self, axis: int) -> Complex:
        return self.ket.reshape(1 << axis, 2, -1)

    def _blocks(self, a: int, b: int) -> Complex:
        """View with the two axes first: blocks[bit_a, bit_b, ...]."""
        if a < b:
            return self.ket.reshape(1 << a, 2, 1 << (b - a - 1), 2, -1).transpose(1, 3, 0, 2, 4)
        return self.ket.reshape(1 << b, 2, 1 << (a - b - 1), 2, -1).transpose(3, 1, 0, 2, 4)

    def _apply(self, axis: int, unitary: Complex) -> None:
        """Any 2x2 matrix on one axis."""
        cube = self._cube(axis)
        outer, inner = cube.shape[0], cube.shape[2]
        if inner == 1:
            self.ket = (self.ket.reshape(-1, 2) @ unitary.T).reshape(-1)
        elif outer <= _STACK:
            self.ket = np.matmul(unitary, cube).reshape(-1)
        elif inner < _WIDE:
            wide = np.zeros((2, inner, 2, inner), np.complex128)
            every = np.arange(inner)
            wide[:, every, :, every] = unitary.T
            self.ket = (self.ket.reshape(-1, 2 * inner) @ wide.reshape(2 * inner, -1)).reshape(-1)
        else:
            self.ket = np.matmul(unitary, cube).reshape(-1)

    def gate1(self, axis: int, gate: Gate1) -> None:
        if not gate.diagonal:
            self._apply(axis, gate.unitary)
            return
        cube = self._cube(axis)
        if gate.unitary[0, 0] != 1:
            cube[:, 0] *= gate.unitary[0, 0]
        cube[:, 1] *= gate.unitary[1, 1]

    def gate2(self, a: int, b: int, gate: Gate2, factors: tuple[float, float] = (1.0, 1.0)) -> None:
        """The gate, after scaling the amplitudes of |1> of either by its factor."""
        rows = gate.rows
        if rows is None:
            for axis, factor in zip((a, b), factors, strict=True):
                if factor != 1.0:
                    self._cube(axis)[:, 1] *= factor
            blocks = self._blocks(a, b)
            moved = (gate.unitary @ blocks.reshape(4, -1)).reshape(blocks.shape)
            self.ket = np.empty_like(self.ket)
            self._blocks(a, b)[...] = moved
            return
        scale = (1.0, factors[1], factors[0], factors[0] * factors[1])
        blocks = self._blocks(a, b)
        if gate.stays:
            for row, (_, phase) in enumerate(rows):
                weight = phase * scale[row]
                if weight != 1:
                    blocks[row >> 1, row & 1] *= weight
            return
        self.ket = np.empty_like(self.ket)
        target = self._blocks(a, b)
        for row, (source, phase) in enumerate(rows):
            weight = phase * scale[source]
            if weight == 1:
                target[row >> 1, row & 1] = blocks[source >> 1, source & 1]
            elif weight.imag:
                np.multiply(blocks[source >> 1, source & 1], weight, out=target[row >> 1, row & 1])
            else:
                np.multiply(blocks[source >> 1, source & 1], weight.real, out=target[row >> 1, row & 1])

    def noisy_gate2(self, a: int, b: int, gate: Gate2, error: float, decays: Decays, draws: Draws) -> None:
        """Decay of both, the gate, depolarising: one pass unless something is drawn to happen."""
        owed: dict[int, float] = {}
        for axis, decay, draw in zip((a, b), decays, draws, strict=True):
            if decay is not None:
                factor = self._survive(axis, *decay, draw, owed)
                if factor is not None:
                    owed[axis] = factor
        self.gate2(a, b, gate, (owed.get(a, 1.0), owed.get(b, 1.0)))
        if error:
            self.depolarise2(a, b, error, draws[0])

    def _survive(
        self, axis: int, elapsed_ps: int, t1_ps: int, t2_ps: int, draw: Draw, owed: dict[int, float] | None = None
    ) -> float | None:
        """Draws what decay did: None for a jump, which is made, or the factor due to the amplitudes of |1>.

        Amplitude damping by jumps, then a phase flip: two draws at most, none for an infinite time. `owed` has
        factors not yet applied on other axes; where the norm is needed, they are, and it is left empty.
        """
        factor = 1.0
        if t1_ps:
            gamma = damping(elapsed_ps, t1_ps)
            sample = draw()
            # A jump has probability gamma P(1) <= gamma: the norm is needed only below gamma.
            if sample < gamma:
                while owed:
                    other, due = owed.popitem()
                    self._cube(other)[:, 1] *= due
                cube = self._cube(axis)
                ones = cube[:, 1]
                excited = norm2(ones.ravel()) / norm2(self.ket)
                if sample < gamma * excited:
                    cube[:, 0] = ones / sqrt(excited)
                    cube[:, 1] = 0.0
                    return None  # a phase flip does nothing to |0>
            factor = sqrt(1.0 - gamma)
        flip = phase_flip(elapsed_ps, t1_ps, t2_ps)
        return -factor if flip and draw() < flip else factor

    def relax(self, axis: int, elapsed_ps: int, t1_ps: int, t2_ps: int, draw: Draw) -> None:
        factor = self._survive(axis, elapsed_ps, t1_ps, t2_ps, draw)
        if factor is not None:
            self._cube(axis)[:, 1] *= factor

    def noisy_gate1(self, axis: int, gate: Gate1, error: float, decay: Decay, draw: Draw) -> None:
        """Decay, the gate, depolarising: one pass unless something is drawn to happen."""
        factor = self._survive(axis, *decay, draw)
        if factor is None:
            self.gate1(axis, gate)
        else:
            self._apply(axis, gate.unitary * np.array([1.0, factor]))
        if error:
            self.pauli1(axis, error / 3, error / 3, error / 3, draw)

    def pauli1(self, axis: int, x: float, y: float, z: float, draw: Draw) -> None:
        sample = draw()
        if sample < x + y + z:
            self._pauli(axis, 1 if sample < x else 2 if sample < x + y else 3)

    def depolarise2(self, a: int, b: int, probability: float, draw: Draw) -> None:
        sample = draw()
        if sample < probability:
            which = 1 + min(14, int(15 * sample / probability))
            self._pauli(a, which >> 2)
            self._pauli(b, which & 3)

    def _pauli(self, axis: int, which: int) -> None:
        if which:
            self.ket = np.matmul(PAULIS[which], self._cube(axis)).reshape(-1)

    def measure(self, axis: int, sample: float) -> int:
        """Projects on Z = ±1 and drops the qubit; `sample` in [0, 1) below P(1) gives 1."""
        cube = self._cube(axis)
        zeros, ones = cube[:, 0].ravel(), cube[:, 1].ravel()
        weight_0, weight_1 = norm2(zeros), norm2(ones)
        bit = int(sample * (weight_0 + weight_1) < weight_1)
        self.ket = ones / sqrt(weight_1) if bit else zeros / sqrt(weight_0)
        del self.keys[axis]
        return bit

    def discard(self, axis: int, draw: Draw) -> None:
        """Traces the qubit out: a ket can only do so by a measurement whose result nobody learns."""
        self.measure(axis, draw())

    def reduced(self, axes: list[int]) -> Real:
        """Pauli components over these axes, in this order, of this trajectory; a copy."""
        tensor = np.moveaxis(self.ket.reshape((2,) * len(self.keys)), axes, range(len(axes))).reshape(
            1 << len(axes), -1
        )
        return to_pauli(tensor @ tensor.conj().T / norm2(self.ket))

    def absorb(self, other: "TrajectoryGroup") -> None:
        self.ket = np.multiply.outer(self.ket, other.ket).reshape(-1)
        self.keys += other.keys
