"""Halves that are measured right after their emission: what both ends read, and what is left of a kept half.

What may live here: the joint law of the results, given the heralded state.  The herald comes later than the
measurement, but they commute: drawing the results when the herald is decided is the same law.  The measurement acts
at the emission; the rotation before it is one gate of the device, with that gate's error; reading has its error.
"""

from functools import lru_cache
from math import sqrt
from typing import Final

import numpy as np
from numpy.random import Generator

from protocols.device import radians
from protocols.wire.codec import EgpBasis, EgpMeasuring
from testbed.plane.devices import Device
from testbed.plane.state import rotation
from testbed.plane.state.gates import Complex

_HALF: Final = 1 / sqrt(2)
_DIRECTIONS: Final[dict[EgpBasis, tuple[float, float, float]]] = {
    EgpBasis.Z: (0.0, 0.0, 1.0),
    EgpBasis.X: (1.0, 0.0, 0.0),
    EgpBasis.Y: (0.0, 1.0, 0.0),
    EgpBasis.ZPLUSX: (_HALF, 0.0, _HALF),
    EgpBasis.ZMINUSX: (-_HALF, 0.0, _HALF),
}
_PAULIS: Final = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]], complex)
_ONE: Final = np.eye(2, dtype=complex)


def is_turned(how: EgpMeasuring, basis: EgpBasis) -> bool:
    """Does the device need a gate before it reads the qubit?"""
    return basis != EgpBasis.Z or bool(how.x_1 or how.y or how.x_2)


@lru_cache(maxsize=512)
def _observable(x_1: int, y: int, x_2: int, basis: EgpBasis) -> Complex:
    """U† (n · sigma) U: what is measured of the half as it was emitted, U being the rotation."""
    turn = rotation("x", radians(x_2)) @ rotation("y", radians(y)) @ rotation("x", radians(x_1))
    return turn.conj().T @ np.tensordot(_DIRECTIONS[basis], _PAULIS, 1) @ turn


def effects(device: Device, how: EgpMeasuring, basis: EgpBasis) -> tuple[Complex, Complex]:
    """POVM elements of reading 0 and 1, gate and readout errors included."""
    model = device.model
    # A depolarising channel of Pauli probability p shrinks the Bloch vector by 1 - 4p/3.
    sharp = 1 - 4 * device.one_qubit_error / 3 if is_turned(how, basis) else 1.0
    observable = sharp * _observable(how.x_1, how.y, how.x_2, basis)
    up, down = (_ONE + observable) / 2, (_ONE - observable) / 2
    zero = (1 - model.readout_error_0) * up + model.readout_error_1 * down
    return zero, _ONE - zero


def both(rho: Complex, a: tuple[Complex, Complex], b: tuple[Complex, Complex], rng: Generator) -> tuple[int, int]:
    """Results of measuring both halves of the state (4x4 over |ab>)."""
    chances = [float(np.trace(rho @ np.kron(ea, eb)).real) for ea in a for eb in b]
    draw = float(rng.random()) * sum(chances)
    for index, chance in enumerate(chances):
        draw -= chance
        if draw < 0:
            return index >> 1, index & 1
    return 1, 1


def one(rho: Complex, side: int, seen: tuple[Complex, Complex], rng: Generator) -> tuple[int, Complex]:
    """Result of measuring the half of `side` (0: a), and the 2x2 state that it leaves the other half in."""
    tensor = rho.reshape(2, 2, 2, 2)  # a, b, a', b'
    left: list[Complex] = []
    for effect in seen:
        # Trace out the measured half: sum over m, n of effect[n, m] rho[m, ., n, .]
        path = "nm,mbnd->bd" if side == 0 else "nm,bmdn->bd"
        left.append(np.einsum(path, effect, tensor))
    chance = float(np.trace(left[0]).real) / float(np.trace(left[0] + left[1]).real)
    bit = int(float(rng.random()) >= chance)
    return bit, left[bit] / np.trace(left[bit]).real
