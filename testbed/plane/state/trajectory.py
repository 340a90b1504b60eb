"""Quantum trajectories: a group of n qubits as one ket of 2^n amplitudes; noise is drawn, not averaged.

The ket is kept unnormalised between events that need its norm: a decay without a jump then costs one scaling.
The unravelling is that of the channels of noise.py, so averages over draws equal the exact density matrix.
"""

from functools import lru_cache
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from testbed.plane.state.density import Decay, Decays, Draw, Draws, from_pauli, to_pauli
from testbed.plane.state.gates import Complex, Gate1, Gate2, Indices, Real, Rows
from testbed.plane.state.noise import coherence, damping, phase_flip
from testbed.plane.state.pauli_draws import PauliDraws

# Up to so many amplitudes in a row are moved as one item, which numpy would else loop over one by one.
_RUN = 8
# A gate within so many last axes permutes each row of 2^n amplitudes by one index, or multiplies it by a row of phases.
_ROW_QUBITS = 6
_PHASE_QUBITS = 10


@lru_cache(maxsize=1024)
def _row_index(rows: Rows, a: int, b: int, count: int) -> Indices:
    """Where the amplitudes of `count` qubits come from under a monomial gate on two of them."""
    index = np.moveaxis(np.arange(1 << count).reshape((2,) * count), (a, b), (0, 1))
    moved = index.reshape(4, -1)[[source for source, _ in rows]].reshape(index.shape)
    return np.ascontiguousarray(np.moveaxis(moved, (0, 1), (a, b))).reshape(-1)


def norm2(ket: Complex) -> float:
    return float(np.vdot(ket, ket).real)


def sample_ket(vector: Real, draw: Draw) -> Complex:
    """One pure state out of the ensemble of eigenvectors of a mixed state given by its Pauli components."""
    weights, columns = np.linalg.eigh(from_pauli(vector))
    weights = np.clip(weights, 0.0, None)
    chosen = min(int(np.searchsorted(np.cumsum(weights), draw() * weights.sum(), side="right")), len(weights) - 1)
    return np.ascontiguousarray(columns[:, chosen])


@lru_cache(maxsize=256)
def _row_phases(rows: Rows, a: int, b: int, count: int) -> Complex:
    """The phases that those amplitudes take."""
    phases = np.array([phase for _, phase in rows]).reshape(2, 2, *(1,) * (count - 2))
    return np.moveaxis(np.broadcast_to(phases, (2,) * count), (0, 1), (a, b)).reshape(-1).copy()


class TrajectoryGroup(PauliDraws):
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

    def _apply(self, axis: int, unitary: Complex) -> int:
        """Any 2x2 matrix on one axis; the axis where the qubit is afterwards."""
        cube = self._cube(axis)
        inner = cube.shape[2]
        if inner == 1:
            self.ket = self.ket.reshape(-1, 2).dot(unitary.T).reshape(-1)
        elif inner >= _RUN or axis == 0:
            self.ket = np.matmul(unitary, cube).reshape(-1)
        else:
            # numpy runs a stacked product matrix by matrix, too many of them here: the qubit comes to the front.
            moved = self._items(axis).transpose(1, 0, 2).copy().view(np.complex128)
            self.ket = unitary.dot(moved.reshape(2, -1)).reshape(-1)
            self.keys.insert(0, self.keys.pop(axis))
            return 0
        return axis

    def _items(self, axis: int) -> NDArray[np.generic]:
        """As `_cube`, for moving amplitudes about: a short run of them stands as one item."""
        length = len(self.ket) >> (axis + 1)
        items: NDArray[np.generic] = self.ket
        if 1 < length <= _RUN:
            items = items.view(np.dtype((np.void, length * self.ket.itemsize)))
        return items.reshape(1 << axis, 2, -1)

    def gate1(self, axis: int, gate: Gate1) -> int:
        """The axis where the qubit is afterwards."""
        if not gate.diagonal:
            return self._apply(axis, gate.unitary)
        cube = self._cube(axis)
        if gate.unitary[0, 0] != 1:
            cube[:, 0] *= gate.unitary[0, 0]
        cube[:, 1] *= gate.unitary[1, 1]
        return axis

    def _scale(self, axis: int, bit: int, factor: float) -> None:
        """All amplitudes whose qubit has this value, in place, as real numbers."""
        parts = self.ket.view(np.float64).reshape(1 << axis, 2, -1)[:, bit]
        if factor == -1.0:
            np.negative(parts, out=parts)
        else:
            parts *= factor

    def gate2(self, a: int, b: int, gate: Gate2) -> None:
        rows = gate.rows
        if gate.swaps:
            self.keys[a], self.keys[b] = self.keys[b], self.keys[a]
        elif rows is None:
            blocks = self._blocks(a, b)
            moved = (gate.unitary @ blocks.reshape(4, -1)).reshape(blocks.shape)
            self.ket = np.empty_like(self.ket)
            self._blocks(a, b)[...] = moved
        else:
            self._monomial(a, b, rows)

    def _monomial(self, a: int, b: int, rows: Rows) -> None:
        """Blocks change places, then some take a phase."""
        low = min(a, b)
        count = len(self.keys) - low
        if any(source != row for row, (source, _) in enumerate(rows)):
            if count <= _ROW_QUBITS:
                index = _row_index(rows, a - low, b - low, count)
                self.ket = self.ket.reshape(-1, len(index)).take(index, axis=1).reshape(-1)
            else:
                self._rotate(a, b, rows)
        if any(phase != 1 for _, phase in rows):
            if count <= _PHASE_QUBITS:
                phases = _row_phases(rows, a - low, b - low, count)
                wide = self.ket.reshape(-1, len(phases))
                wide *= phases
                return
            blocks = self._blocks(a, b)
            for row, (_, phase) in enumerate(rows):
                if phase == -1:
                    np.negative(blocks[row >> 1, row & 1], out=blocks[row >> 1, row & 1])
                elif phase != 1:
                    blocks[row >> 1, row & 1] *= phase

    def _rotate(self, a: int, b: int, rows: Rows) -> None:
        """Moves the four blocks along the cycles of a permutation, in place."""
        low, high = (a, b) if a < b else (b, a)
        cube = self._items(high).reshape(1 << low, 2, 1 << (high - low - 1), 2, -1)
        order = ((0, 0), (0, 1), (1, 0), (1, 1)) if a < b else ((0, 0), (1, 0), (0, 1), (1, 1))
        blocks = [cube[:, i, :, j] for i, j in order]
        left = {row for row, (source, _) in enumerate(rows) if source != row}
        while left:
            first = here = min(left)
            spare = blocks[first].copy()
            while True:
                left.discard(here)
                source = rows[here][0]
                if source == first:
                    break
                blocks[here][...] = blocks[source]
                here = source
            blocks[here][...] = spare

    def noisy_gate1(self, axis: int, gate: Gate1, error: float, decay: Decay | None, draw: Draw) -> None:
        """Decay, the gate, depolarising: one pass unless something is drawn to happen."""
        factor = 1.0 if decay is None else self._survive(axis, *decay, draw)
        if factor == 1.0:
            axis = self.gate1(axis, gate)
        else:
            axis = self._apply(axis, gate.unitary * np.array([1.0, factor]))
        if error:
            self.pauli1(axis, error / 3, error / 3, error / 3, draw)

    def noisy_gate2(self, a: int, b: int, gate: Gate2, error: float, decays: Decays, draws: Draws) -> None:
        """Decay of both, the gate, depolarising."""
        for axis, decay, draw in zip((a, b), decays, draws, strict=True):
            if decay is not None:
                self.relax(axis, *decay, draw)
        self.gate2(a, b, gate)
        if error:
            self.depolarise2(a, b, error, draws[0])

    def relax(self, axis: int, elapsed_ps: int, t1_ps: int, t2_ps: int, draw: Draw) -> None:
        factor = self._survive(axis, elapsed_ps, t1_ps, t2_ps, draw)
        if factor != 1.0:
            self._scale(axis, 1, factor)

    def _survive(self, axis: int, elapsed_ps: int, t1_ps: int, t2_ps: int, draw: Draw) -> float:
        """Draws what decay did; what is left to do is a factor for the amplitudes of |1>.

        Where T2 <= T1, decay is a mixture: |0> with probability gamma, else a phase flip with probability
        (1 - gamma - e^(-t/T2))/2, else nothing; seldom anything to do, and one draw tells. Where T1 < T2, amplitude
        damping by jumps, then a phase flip: two draws at most.
        """
        gamma = damping(elapsed_ps, t1_ps)
        if t2_ps and (t2_ps <= t1_ps or not t1_ps):
            sample = draw()
            if sample < gamma:
                self._fall(axis, draw())
            elif sample < gamma + 0.5 * (1.0 - gamma - coherence(elapsed_ps, t2_ps, t1_ps)):
                return -1.0
            return 1.0
        # A jump has probability gamma P(1) <= gamma: the norm is needed only below gamma.
        sample = draw()
        if sample < gamma:
            excited = self._excited(axis)
            if sample < gamma * excited:
                self._fall(axis, 0.0)
                return 1.0  # a phase flip does nothing to |0>
        factor = sqrt(1.0 - gamma)
        flip = phase_flip(elapsed_ps, t1_ps, t2_ps)
        return -factor if flip and draw() < flip else factor

    def _excited(self, axis: int) -> float:
        """P(1)."""
        return norm2(self._cube(axis)[:, 1].ravel()) / norm2(self.ket)

    def _fall(self, axis: int, sample: float) -> None:
        """A measurement whose result nobody learns, then |0>; `sample` below P(1) finds |1>."""
        excited = self._excited(axis)
        cube = self._cube(axis)
        if sample < excited:
            cube[:, 0] = cube[:, 1] / sqrt(excited)
        else:
            cube[:, 0] /= sqrt(1.0 - excited)
        cube[:, 1] = 0.0

    def _pauli(self, axis: int, which: int) -> None:
        if which & 1 ^ which >> 1:  # X or Y
            zeros, ones = self._items(axis).transpose(1, 0, 2)
            spare = zeros.copy()
            zeros[...] = ones
            ones[...] = spare
        if which == 2:
            self._cube(axis)[:, 0] *= -1j
            self._cube(axis)[:, 1] *= 1j
        elif which == 3:
            self._scale(axis, 1, -1.0)

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
