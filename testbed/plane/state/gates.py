"""Unitaries compiled once into what the kernels want: transfer matrices, signed permutations, monomial rows.

Qubit order is |ab> with `a` the more significant bit, and Pauli order I, X, Y, Z, everywhere in this package.
"""

from cmath import exp
from functools import lru_cache
from math import cos, pi, sin, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

type Complex = NDArray[np.complex128]
type Real = NDArray[np.float64]
type Indices = NDArray[np.intp]

PAULIS: Final[Complex] = np.array(
    [[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]]
)
_PAIRS: Final[Complex] = np.einsum("aij,bkl->abikjl", PAULIS, PAULIS).reshape(16, 4, 4)

X, Y, Z = (PAULIS[i].copy() for i in (1, 2, 3))
H: Final[Complex] = np.array([[1, 1], [1, -1]], np.complex128) / sqrt(2)
S: Final[Complex] = np.diag([1, 1j]).astype(np.complex128)
SDG: Final[Complex] = S.conj()
T: Final[Complex] = np.diag([1, exp(0.25j * pi)]).astype(np.complex128)
TDG: Final[Complex] = T.conj()
SX: Final[Complex] = np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]], np.complex128) / 2
CX: Final[Complex] = np.eye(4, dtype=np.complex128)[[0, 1, 3, 2]]
CZ: Final[Complex] = np.diag([1, 1, 1, -1]).astype(np.complex128)
SWAP: Final[Complex] = np.eye(4, dtype=np.complex128)[[0, 2, 1, 3]]
NAMED: Final[dict[str, Complex]] = {
    "x": X,
    "y": Y,
    "z": Z,
    "h": H,
    "s": S,
    "sdg": SDG,
    "t": T,
    "tdg": TDG,
    "sx": SX,
    "cx": CX,
    "cz": CZ,
    "swap": SWAP,
}


def rotation(axis: str, angle: float) -> Complex:
    """exp(-i angle P / 2) for the axis 'x', 'y' or 'z' (angle in radians)."""
    pauli = PAULIS["ixyz".index(axis)]
    matrix: Complex = cos(angle / 2) * PAULIS[0] - 1j * sin(angle / 2) * pauli
    return matrix


def controlled_phase(angle: float) -> Complex:
    """diag(1, 1, 1, e^(i angle)) (angle in radians)."""
    return np.diag([1, 1, 1, exp(1j * angle)]).astype(np.complex128)


class Gate1:
    """A one-qubit unitary with its Pauli transfer matrix R_ij = Tr(P_i U P_j U†)/2."""

    __slots__ = ("diagonal", "transfer", "unitary")

    def __init__(self, unitary: Complex) -> None:
        self.unitary = unitary
        self.diagonal = bool(unitary[0, 1] == 0 and unitary[1, 0] == 0)
        self.transfer = _transfer(PAULIS, unitary)


class Gate2:
    """A two-qubit unitary, its Pauli transfer matrix, and what makes it cheap when it has such a form.

    `source`, `sign`: a Clifford gate permutes Pauli components up to a sign, r'_i = sign_i r_source_i.
    `rows`: a monomial unitary (CX, CZ, SWAP, a controlled phase) moves amplitudes, psi'_i = phase_i
    psi_source_i.
    """

    __slots__ = ("_maps", "rows", "sign", "source", "stays", "transfer", "unitary")

    def __init__(self, unitary: Complex) -> None:
        self.unitary = unitary
        self.transfer = _transfer(_PAIRS, unitary)
        permutes = bool((np.count_nonzero(self.transfer, axis=1) == 1).all())
        self.source: Indices | None = np.abs(self.transfer).argmax(axis=1) if permutes else None
        self.sign: Real | None = self.transfer.sum(axis=1) if permutes else None
        self.rows: list[tuple[int, complex]] | None = None
        if (np.count_nonzero(unitary, axis=1) == 1).all():
            self.rows = [(int(np.flatnonzero(row)[0]), complex(row.sum())) for row in unitary]
        self.stays = self.rows is not None and all(source == row for row, (source, _) in enumerate(self.rows))
        self._maps: dict[tuple[int, int, int, float], tuple[Indices, Real | None]] = {}

    def whole_map(self, count: int, a: int, b: int, error: float = 0.0) -> tuple[Indices, Real | None]:
        """Index and weight (None: all +1) over a whole Pauli vector of `count` qubits; Clifford gates only.

        The weight is a sign, and with an `error` that of depolarising the two afterwards (noise.depolarising2).
        """
        found = self._maps.get((count, a, b, error))
        if found is None:
            assert self.source is not None
            assert self.sign is not None
            index = np.moveaxis(np.arange(4**count).reshape((4,) * count), (a, b), (0, 1))
            rest = index.shape[2:]
            index = np.moveaxis(index.reshape(16, -1)[self.source].reshape(4, 4, *rest), (0, 1), (a, b))
            weight = self.sign * (1.0 - 16.0 * error / 15.0)
            weight[0] = self.sign[0]
            plain = bool((weight == 1.0).all())
            weight = np.broadcast_to(weight.reshape(4, 4, *(1,) * len(rest)), (4, 4, *rest))
            weight = np.moveaxis(weight, (0, 1), (a, b))
            found = index.reshape(-1).copy(), None if plain else weight.reshape(-1).copy()
            self._maps[count, a, b, error] = found
        return found


def _transfer(paulis: Complex, unitary: Complex) -> Real:
    moved = unitary @ paulis @ unitary.conj().T
    transfer = np.einsum("iab,jba->ij", paulis, moved).real / len(unitary)
    # Clifford entries are 0 or ±1: without their rounding noise they stay exact, and are recognised as such.
    near = np.rint(transfer)
    return np.ascontiguousarray(np.where(np.abs(transfer - near) < 1e-14, near, transfer))


@lru_cache(maxsize=4096)
def _gate1(raw: bytes) -> Gate1:
    return Gate1(_checked(np.frombuffer(raw, complex).reshape(2, 2)))


@lru_cache(maxsize=1024)
def _gate2(raw: bytes) -> Gate2:
    return Gate2(_checked(np.frombuffer(raw, complex).reshape(4, 4)))


def _checked(unitary: Complex) -> Complex:
    if not np.allclose(unitary @ unitary.conj().T, np.eye(len(unitary)), atol=1e-9):
        raise ValueError("gate is not unitary")
    return unitary


def gate1(gate: Complex | str) -> Gate1:
    """The compiled form of a 2x2 complex unitary or of a name in NAMED; ValueError if it is not unitary."""
    return _gate1((NAMED[gate] if isinstance(gate, str) else gate).tobytes())


def gate2(gate: Complex | str) -> Gate2:
    """The compiled form of a 4x4 complex unitary or of a name in NAMED; ValueError if it is not unitary."""
    return _gate2((NAMED[gate] if isinstance(gate, str) else gate).tobytes())
