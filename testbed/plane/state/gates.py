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
type Rows = tuple[tuple[int, complex], ...]
"""Of a monomial 4x4 matrix: row i has its one element, the second figure, in the column of the first."""

PAULIS: Final[Complex] = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
_PAIRS: Final[Complex] = np.einsum("aij,bkl->abikjl", PAULIS, PAULIS).reshape(16, 4, 4)

_IDENTITY: Final[Complex] = np.eye(4, dtype=np.complex128)

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
    c, s = cos(angle / 2), sin(angle / 2)
    if axis == "x":
        return np.array(((c, -1j * s), (-1j * s, c)))
    if axis == "y":
        return np.array(((c, -s), (s, c)), np.complex128)
    return np.array(((complex(c, -s), 0), (0, complex(c, s))))


def controlled_phase(angle: float) -> Complex:
    """diag(1, 1, 1, e^(i angle)) (angle in radians)."""
    matrix = _IDENTITY.copy()
    matrix[3, 3] = exp(1j * angle)
    return matrix


# Decay of one qubit as a Pauli transfer matrix is K_0 + c K_1 + (1 - gamma) K_2 + gamma K_3, with c the total
# coherence left and gamma the damping (noise.py): DECAY takes (1, c, 1 - gamma, gamma) to it, and DECAYS the products
# of two such rows to the matrix for two qubits.
_KINDS = np.zeros((4, 4, 4))
_KINDS[0, 0, 0] = _KINDS[1, 1, 1] = _KINDS[1, 2, 2] = _KINDS[2, 3, 3] = _KINDS[3, 3, 0] = 1.0
DECAY: Final[Real] = _KINDS.reshape(4, 16)
DECAYS: Final[Real] = np.einsum("mik,njl->mnijkl", _KINDS, _KINDS).reshape(16, 256)


class Gate1:
    """A one-qubit unitary with its Pauli transfer matrix R_ij = Tr(P_i U P_j U†)/2."""

    __slots__ = ("diagonal", "transfer", "unitary")

    def __init__(self, unitary: Complex, transfer: Real | None = None) -> None:
        self.unitary = unitary
        self.diagonal = bool(unitary[0, 1] == 0 and unitary[1, 0] == 0)
        self.transfer = _transfer(PAULIS, unitary) if transfer is None else transfer


class Gate2:
    """A two-qubit unitary, its Pauli transfer matrix, and what makes it cheap when it has such a form.

    `source`, `sign`: a Clifford gate permutes Pauli components up to a sign, r'_i = sign_i r_source_i.
    `rows`: a monomial unitary (CX, CZ, SWAP, a controlled phase) moves amplitudes, psi'_i = phase_i
    psi_source_i.
    """

    __slots__ = ("_channels", "_maps", "rows", "sign", "source", "swaps", "transfer", "unitary")

    def __init__(self, unitary: Complex, transfer: Real | None = None, rows: Rows | None = None) -> None:
        """transfer, rows: if they are known already."""
        self.unitary = unitary
        self.transfer = _transfer(_PAIRS, unitary) if transfer is None else transfer
        permutes = np.count_nonzero(self.transfer) == 16
        self.source: Indices | None = np.abs(self.transfer).argmax(axis=1) if permutes else None
        self.sign: Real | None = self.transfer.sum(axis=1) if permutes else None
        self.rows = rows or _rows(unitary)
        self.swaps = self.rows == _SWAPPED
        self._maps: dict[tuple[int, int, int], tuple[Indices, Real | None]] = {}
        self._channels: dict[float, Real] = {}

    def channel(self, error: float) -> Real:
        """Decay of both, the gate, depolarising: a 16x256 matrix that makes the 16x16 transfer matrix over |ab>.

        It takes the 16 products of (1, c, 1 - gamma, gamma) of `a` with those of `b`; error: noise.depolarising2.
        Made once for each error: for gates that come again.
        """
        found = self._channels.get(error)
        if found is None:
            transfer = self.transfer.copy()
            transfer[1:] *= 1.0 - 16.0 * error / 15.0
            found = self._channels[error] = (transfer @ DECAYS.reshape(16, 16, 16)).reshape(16, 256)
        return found

    def whole_map(self, count: int, a: int, b: int) -> tuple[Indices, Real | None]:
        """Index and sign (None: all +1) over a whole Pauli vector of `count` qubits; Clifford gates only."""
        found = self._maps.get((count, a, b))
        if found is None:
            assert self.source is not None
            assert self.sign is not None
            index = np.moveaxis(np.arange(4**count).reshape((4,) * count), (a, b), (0, 1))
            rest = index.shape[2:]
            index = np.moveaxis(index.reshape(16, -1)[self.source].reshape(4, 4, *rest), (0, 1), (a, b))
            plain = bool((self.sign == 1.0).all())
            sign = np.broadcast_to(self.sign.reshape(4, 4, *(1,) * len(rest)), (4, 4, *rest))
            sign = np.moveaxis(sign, (0, 1), (a, b))
            found = index.reshape(-1).copy(), None if plain else sign.reshape(-1).copy()
            self._maps[count, a, b] = found
        return found


_SWAPPED: Final[Rows] = ((0, 1.0), (2, 1.0), (1, 1.0), (3, 1.0))


def _rows(unitary: Complex) -> Rows | None:
    if (np.count_nonzero(unitary, axis=1) != 1).any():
        return None
    return tuple((int(np.flatnonzero(row)[0]), complex(row.sum())) for row in unitary)


def _transfer(paulis: Complex, unitary: Complex) -> Real:
    moved = unitary @ paulis @ unitary.conj().T
    return _snapped(np.einsum("iab,jba->ij", paulis, moved).real / len(unitary))


def _snapped(transfer: Real) -> Real:
    """Clifford entries are 0 or ±1: without their rounding noise they stay exact, and are recognised as such."""
    near = np.rint(transfer)
    return np.where(np.abs(transfer - near) < 1e-14, near, transfer)


@lru_cache(maxsize=4)
def _turning(kind: str) -> tuple[Real, Real, Real]:
    """A, B, C of a transfer matrix A + B cos(angle) + C sin(angle): conjugation is linear in e^(+-i angle)."""
    paulis = _PAIRS if kind == "p" else PAULIS
    none, quarter, half = (_transfer(paulis, _turned(kind, angle)) for angle in (0.0, pi / 2, pi))
    middle = (none + half) / 2
    return middle, (none - half) / 2, quarter - middle


def _turned(kind: str, angle: float) -> Complex:
    return controlled_phase(angle) if kind == "p" else rotation(kind, angle)


def turn1(axis: str, angle: float) -> Gate1:
    """`rotation`, compiled, at a tenth of what compiling its matrix costs: programs often bring new angles."""
    middle, cosine, sine = _turning(axis)
    return Gate1(rotation(axis, angle), _snapped(middle + cos(angle) * cosine + sin(angle) * sine))


def turn2(angle: float) -> Gate2:
    """`controlled_phase`, compiled, likewise."""
    middle, cosine, sine = _turning("p")
    transfer = _snapped(middle + cos(angle) * cosine + sin(angle) * sine)
    return Gate2(controlled_phase(angle), transfer, ((0, 1.0), (1, 1.0), (2, 1.0), (3, exp(1j * angle))))


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


def gate1(gate: Complex | str | Gate1) -> Gate1:
    """The compiled form of a 2x2 complex unitary or of a name in NAMED; ValueError if it is not unitary."""
    if isinstance(gate, Gate1):
        return gate
    return _gate1((NAMED[gate] if isinstance(gate, str) else gate).tobytes())


def gate2(gate: Complex | str | Gate2) -> Gate2:
    """The compiled form of a 4x4 complex unitary or of a name in NAMED; ValueError if it is not unitary."""
    if isinstance(gate, Gate2):
        return gate
    return _gate2((NAMED[gate] if isinstance(gate, str) else gate).tobytes())
