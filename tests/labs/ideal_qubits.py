"""Ideal qubits for tests of protocols: an exact state vector, whose measurement outcomes the test chooses."""

from collections.abc import Sequence

import numpy as np

X = np.array([[0, 1], [1, 0]], dtype=complex)
Y = np.array([[0, -1j], [1j, 0]])
Z = np.diag([1, -1]).astype(complex)
H = np.array([[1, 1], [1, -1]], dtype=complex) / np.sqrt(2)
CX = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], dtype=complex)
CZ = np.diag([1, 1, 1, -1]).astype(complex)


class Qubits:
    """Named qubits in one pure state, each an axis of the vector."""

    def __init__(self) -> None:
        self.names: list[object] = []
        self.vector = np.ones((), dtype=complex)

    def add(self, name: object, amplitudes: Sequence[complex] = (1, 0)) -> None:
        assert name not in self.names
        self.names.append(name)
        self.vector = np.multiply.outer(self.vector, np.asarray(amplitudes, dtype=complex))

    def add_pair(self, first: object, second: object, index: int = 0) -> None:
        """(I x X^x Z^z)|Phi+>, straight from the definition of the Bell index."""
        self.add(first)
        self.add(second)
        self.run(H, first)
        self.run(CX, first, second)
        if index & 1:
            self.run(Z, second)
        if index >> 1:
            self.run(X, second)

    def run(self, gate: np.ndarray, *names: object) -> None:
        axes = [self.names.index(name) for name in names]
        tensor = gate.reshape((2,) * (2 * len(axes)))
        moved = np.tensordot(tensor, self.vector, axes=(range(len(axes), 2 * len(axes)), axes))
        self.vector = np.moveaxis(moved, range(len(axes)), axes)

    def measure(self, name: object, outcome: int) -> float:
        """Project onto `outcome` in the Z basis and drop the qubit; returns the outcome's probability."""
        axis = self.names.index(name)
        self.names.pop(axis)
        self.vector = np.take(self.vector, outcome, axis=axis)
        probability = float(np.vdot(self.vector, self.vector).real)
        if probability > 0:
            self.vector = self.vector / np.sqrt(probability)
        return probability

    def overlap(self, other: "Qubits") -> float:
        """|<self|other>|^2, with the qubits of both matched by name: 1 if equal up to a global phase."""
        assert sorted(map(str, self.names)) == sorted(map(str, other.names))
        order = [other.names.index(name) for name in self.names]
        return float(abs(np.vdot(self.vector, other.vector.transpose(order))) ** 2)

    def expectation(self, gate: np.ndarray, *names: object) -> float:
        """Mean of the product of one-qubit observables `gate` on each of `names`."""
        other = Qubits()
        other.names, other.vector = list(self.names), self.vector
        for name in names:
            other.run(gate, name)
        return float(np.vdot(self.vector, other.vector).real)
