"""Algebra of Bell indexes: Pauli frames composed, corrections merged, signs of parities.  Pure integers.

A Bell index is b = (x << 1) | z and names |B_xz> = (I (x) X^x Z^z)|Phi+>: Phi+ 0, Phi- 1, Psi+ 2, Psi- 3
(the order of V1Quantum and of the qlink interface; the wire's enumeration is `codec.BellIndex`).  Up to a
global phase a Pauli on one half equals the same Pauli on the other, so frames commute and every composition
is an XOR; either end may correct.
"""

from enum import IntEnum


class Basis(IntEnum):
    """In which basis both halves of a pair are measured."""

    X = 0
    Y = 1
    Z = 2


def bell_index(x: int, z: int) -> int:
    """The index with bit flip x and phase flip z, each 0 or 1."""
    return x << 1 | z


def bit_flip(index: int) -> int:
    """x of |B_xz>: 1 if the Z outcomes of the halves differ."""
    return index >> 1 & 1


def phase_flip(index: int) -> int:
    """z of |B_xz>: 1 if the X outcomes of the halves differ."""
    return index & 1


def compose(*indexes: int) -> int:
    """The Pauli frame that several frames, applied in any order, amount to."""
    frame = 0
    for index in indexes:
        frame ^= index
    return frame


def measured(m1: int, m2: int) -> int:
    """Index found by a Bell measurement: CX(first, second), H(first), m1 read on `first`, m2 on `second`."""
    return bell_index(m2, m1)


def swap(left: int, right: int, m1: int, m2: int) -> int:
    """Index of the pair that is left when the inner halves of `left` and `right` are Bell-measured.

    Which of the two inner halves is `first` does not matter: it changes the global phase only.
    """
    return compose(left, right, measured(m1, m2))


def teleport_correction(pair: int, m1: int, m2: int) -> int:
    """What the receiver of a teleported qubit still has to apply, X^x and then Z^z, as a Bell index.

    m1 is read on the data qubit, m2 on the pair's half (Bennett et al. 1993 for Phi+; the pair's own frame
    is merged).
    """
    return compose(pair, measured(m1, m2))


def cat_correction(pair: int, m1: int) -> int:
    """Exponent of the X that a telegate's target applies to its half, when the control read m1 on its own.

    Cat-entangler of Eisert et al. 2000 / Yimsiriwattana & Lomonaco 2004; the pair's bit flip is merged here.
    """
    return m1 ^ bit_flip(pair)


def uncat_correction(pair: int, m2: int) -> int:
    """Exponent of the Z that the control of a telegate applies to its data qubit, when the target read m2.

    The pair's phase flip sits on the shared cat state as Z^z, and so merges with the disentangler's own Z^m2.
    """
    return m2 ^ phase_flip(pair)


def parity_bit(index: int, basis: Basis) -> int:
    """XOR of the two outcomes when both halves of an ideal pair are measured in `basis`."""
    x, z = bit_flip(index), phase_flip(index)
    # <YY> = -(-1)^(x+z): Phi+ is anti-correlated in Y.
    return {Basis.X: z, Basis.Y: 1 ^ x ^ z, Basis.Z: x}[basis]


def parity_sign(index: int, basis: Basis) -> int:
    """Expectation value of the product of the two outcomes: +1 or -1."""
    return 1 - 2 * parity_bit(index, basis)
