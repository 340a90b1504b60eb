"""Pauli noise on a state of which there is one at a time: a draw says which Pauli has happened, if any.

What may live here: that choice, for every formalism that is not the whole mixture.
"""

from testbed.plane.state.density import Draw


class PauliDraws:
    """Part of a group of qubits; it can do a Pauli: 0 to 3 for 1, X, Y, Z."""

    __slots__ = ()

    def _pauli(self, axis: int, which: int) -> None:
        raise NotImplementedError

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
