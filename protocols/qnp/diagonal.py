"""Bell-diagonal states on paper: how they compose when chains are swapped, and what waiting makes of them.

What may live here: arithmetic; no state.

A Bell-diagonal state is four probabilities, by the XOR between the Bell index that it is taken for and the one that
it has: (I, Z, X, Y).  Swaps and Pauli errors compose them by XOR; of any other state that is what its diagonal does,
in the mean over the outcomes of a swap.
"""

from math import exp
from typing import Final, NamedTuple

from protocols import bell

type Diagonal = tuple[float, float, float, float]

PERFECT: Final[Diagonal] = (1.0, 0.0, 0.0, 0.0)
FULL: Final = (1 << 32) - 1
"""A probability of 1 on the wire."""


class Memory(NamedTuple):
    """What a half waits in; times in ps, T1 0: for ever, T2 0: as long as T1 permits."""

    t1_ps: int = 0
    t2_ps: int = 0

    def kept(self, elapsed_ps: int) -> tuple[float, float]:
        """What waiting leaves of the excited state's population and of the coherence."""
        population = exp(-elapsed_ps / self.t1_ps) if self.t1_ps else 1.0
        coherence = exp(-elapsed_ps / self.t2_ps) if self.t2_ps else population**0.5
        return population, coherence


FOREVER: Final = Memory()


def werner(fidelity: float) -> Diagonal:
    """All errors alike."""
    rest = (1 - fidelity) / 3
    return (fidelity, rest, rest, rest)


def shaped(like: Diagonal | None, fidelity: float) -> Diagonal:
    """A state of that fidelity whose errors stand to each other as in `like`; None, or perfect: all alike."""
    wrong = 0.0 if like is None else 1 - like[0]
    if like is None or wrong <= 0:
        return werner(fidelity)
    scale = (1 - fidelity) / wrong
    return (fidelity, like[1] * scale, like[2] * scale, like[3] * scale)


def composed(one: Diagonal, other: Diagonal) -> Diagonal:
    """Of a chain, when two pairs are swapped; or of a pair after a Pauli error."""
    new = [0.0] * 4
    for a, p in enumerate(one):
        for b, q in enumerate(other):
            new[bell.compose(a, b)] += p * q
    return (new[0], new[1], new[2], new[3])


def from_correlators(xx: float, yy: float, zz: float) -> Diagonal:
    """From what is left of the correlators of the state that it is taken for."""
    return ((1 + xx + yy + zz) / 4, (1 - xx - yy + zz) / 4, (1 + xx - yy - zz) / 4, (1 - xx + yy - zz) / 4)


def waited(diagonal: Diagonal, index: int, *halves: tuple[Memory, int]) -> Diagonal:
    """After each of the (memory, elapsed) halves has waited; of a pair taken for Bell state `index`.

    Coherences shrink by exp(-t/T2) at each half, <ZZ> by exp(-t/T1); and T1 takes both halves to |00>, which adds the
    product of what has decayed to <ZZ>: a loss for Psi, a gain for Phi.
    """
    if not any(memory.t1_ps or memory.t2_ps for memory, _ in halves):
        return diagonal
    i, z, x, y = diagonal
    plane, along, fallen = 1.0, 1.0, 1.0 if len(halves) > 1 else 0.0
    for memory, elapsed_ps in halves:
        population, coherence = memory.kept(max(0, elapsed_ps))
        plane *= coherence
        along *= population
        fallen *= 1 - population
    sign = 1 - 2 * bell.bit_flip(index)
    return from_correlators((i + x - z - y) * plane, (i + y - x - z) * plane, (i + z - x - y) * along + sign * fallen)


def to_wire(diagonal: Diagonal) -> tuple[int, int, int]:
    """The errors Z, X, Y as messages have them."""
    z, x, y = (round(min(max(error, 0.0), 1.0) * FULL) for error in diagonal[1:])
    return z, x, y


def from_wire(error_z: int, error_x: int, error_y: int) -> Diagonal:
    """What a peer says; more error than there can be is all error."""
    scale = max(FULL, error_z + error_x + error_y)
    z, x, y = error_z / scale, error_x / scale, error_y / scale
    return (max(0.0, 1 - z - x - y), z, x, y)


def goodness(diagonal: Diagonal) -> int:
    """Its fidelity, of 2^32 - 1."""
    return round(min(max(diagonal[0], 0.0), 1.0) * FULL)
