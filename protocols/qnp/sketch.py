"""Pairs on paper: what a node works out of a pair's state, from what it is told of links, waits, swaps and outcomes.

What may live here: arithmetic; no state.  Purification is in purify.py.

A Sketch is what a state of two qubits is to whoever measures both in X, in Y or in Z, or only one of them in Z.  That
is all of a state whose other correlators vanish; heralded pairs are such, and waiting, swaps and Pauli errors leave
them so.  A sketch has no Bell index: what the pair is taken for comes in only when somebody asks how good it is.
"""

from math import exp
from typing import Final, NamedTuple

from protocols import bell

type Diagonal = tuple[float, float, float, float]
"""Parts of a state in the four Bell states, by the XOR with the index that it is taken for: errors I, Z, X, Y."""
type Leaning = tuple[float, float]
"""<Z> of each half by itself, 1 for |0>: whither T1 pulls."""

PERFECT: Final[Diagonal] = (1.0, 0.0, 0.0, 0.0)
UPRIGHT: Final[Leaning] = (0.0, 0.0)
FULL: Final = (1 << 32) - 1
"""A probability of 1 on the wire."""
LEAST: Final = 1e-9
"""Of a chance: below it somebody has told nonsense."""


class Sketch(NamedTuple):
    """Correlators of both halves, and <Z> of the first and of the second by themselves."""

    xx: float
    yy: float
    zz: float
    first: float = 0.0
    second: float = 0.0

    def errors(self, index: int) -> Diagonal:
        """As parts of a pair that is taken for this Bell state."""
        x, y, z = _signs(index)
        return from_correlators(x * self.xx, y * self.yy, z * self.zz)

    def goodness(self, index: int) -> int:
        """Its fidelity to this Bell state, of 2^32 - 1."""
        return round(min(max(self.errors(index)[0], 0.0), 1.0) * FULL)

    def swap_ends(self) -> "Sketch":
        """The same, seen from the other end."""
        return Sketch(self.xx, self.yy, self.zz, self.second, self.first)


class Known(NamedTuple):
    """What device data say of a link's pairs at a node, when their heralds have come: the leaning of the neighbour's
    half, and of this node's."""

    errors: Diagonal = PERFECT
    leaning: Leaning = UPRIGHT


MIXED: Final = Sketch(0.0, 0.0, 0.0)


class Memory(NamedTuple):
    """What a half waits in; times in ps, T1 0: for ever, T2 0: as long as T1 permits."""

    t1_ps: int = 0
    t2_ps: int = 0

    def kept(self, elapsed_ps: int) -> tuple[float, float]:
        """What waiting leaves of the excited state's population and of the coherence."""
        elapsed_ps = max(0, elapsed_ps)
        population = exp(-elapsed_ps / self.t1_ps) if self.t1_ps else 1.0
        coherence = exp(-elapsed_ps / self.t2_ps) if self.t2_ps else population**0.5
        return population, coherence


FOREVER: Final = Memory()

type Waiting = tuple[Memory, int]
"""What a half waits in, and for how long, in ps."""
STILL: Final[Waiting] = (FOREVER, 0)
"""Of a half whose waiting is somebody else's to count."""


def _signs(index: int) -> tuple[int, int, int]:
    """<XX>, <YY>, <ZZ> of a Bell state."""
    x, z = 1 - 2 * bell.phase_flip(index), 1 - 2 * bell.bit_flip(index)
    return x, -x * z, z


def werner(fidelity: float) -> Diagonal:
    """All errors alike."""
    rest = (1 - fidelity) / 3
    return (fidelity, rest, rest, rest)


def correlators(errors: Diagonal) -> tuple[float, float, float]:
    """What Pauli errors leave of <XX>, <YY> and <ZZ>."""
    i, z, x, y = errors
    return i + x - z - y, i + y - x - z, i + z - x - y


def from_correlators(xx: float, yy: float, zz: float) -> Diagonal:
    """The same, backwards."""
    return ((1 + xx + yy + zz) / 4, (1 - xx - yy + zz) / 4, (1 + xx - yy - zz) / 4, (1 - xx + yy - zz) / 4)


def sketched(errors: Diagonal, index: int, leaning: Leaning = UPRIGHT) -> Sketch:
    """Of a pair that is taken for this Bell state."""
    (x, y, z), (xx, yy, zz) = _signs(index), correlators(errors)
    return Sketch(x * xx, y * yy, z * zz, *leaning)


def shaped(like: Known | None, fidelity: float) -> Known:
    """What is known, if the fidelity is another: errors, and what makes halves lean, grow and shrink together.  Of
    what is not known, or perfect, all errors are alike."""
    wrong = 0.0 if like is None else 1 - like.errors[0]
    if like is None or wrong <= 0:
        return Known(werner(fidelity))
    scale = (1 - fidelity) / wrong
    _, z, x, y = like.errors
    first, second = (min(max(lean * scale, -1.0), 1.0) for lean in like.leaning)
    return Known((fidelity, z * scale, x * scale, y * scale), (first, second))


def waited(sketch: Sketch, first: Waiting, second: Waiting) -> Sketch:
    """After each half has waited.

    Coherences shrink by exp(-t/T2) at each half; and T1 takes <Z> of each to k <Z> + 1 - k, k = exp(-t/T1), so that
    <ZZ> becomes k k' <ZZ> + k (1 - k') <Z> + k' (1 - k) <Z'> + (1 - k)(1 - k') (Nielsen, Chuang 2000, 8.3.5).
    """
    (one, one_ps), (other, other_ps) = first, second
    if not (one.t1_ps or one.t2_ps or other.t1_ps or other.t2_ps):
        return sketch
    (k, c), (k_other, c_other) = one.kept(one_ps), other.kept(other_ps)
    xx, yy, zz, lean, lean_other = sketch
    fallen, fallen_other = 1 - k, 1 - k_other
    plane = c * c_other
    along = k * k_other * zz + k * fallen_other * lean + k_other * fallen * lean_other + fallen * fallen_other
    return Sketch(plane * xx, plane * yy, along, k * lean + fallen, k_other * lean_other + fallen_other)


def swapped(one: Sketch, other: Sketch, found: int, noise: Diagonal = PERFECT) -> Sketch:
    """Of the chain, when a Bell measurement on the second half of `one` and the first of `other` has found that index,
    with the errors of the measurement itself.

    Pauli correlators multiply through the Bell state that was found, T'_il = sum_k T_ik b_k T_kl, over the chance of
    finding it.  So outcomes tell apart chains whose halves lean.
    """
    x, y, z = (sign * kept for sign, kept in zip(_signs(found), correlators(noise), strict=True))
    likely = 1 + z * one.second * other.first
    if likely < LEAST:
        return MIXED
    return Sketch(
        x * one.xx * other.xx / likely,
        y * one.yy * other.yy / likely,
        (one.first * other.second + z * one.zz * other.zz) / likely,
        (one.first + z * one.zz * other.first) / likely,
        (other.second + z * one.second * other.zz) / likely,
    )


def to_wire(sketch: Sketch, index: int) -> tuple[int, int, int, int, int]:
    """The errors Z, X, Y against this index, and the chances that the first and the second half are |0>."""
    _, *errors = sketch.errors(index)
    chances = (*errors, (1 + sketch.first) / 2, (1 + sketch.second) / 2)
    z, x, y, first, second = (round(min(max(chance, 0.0), 1.0) * FULL) for chance in chances)
    return z, x, y, first, second


def from_wire(index: int, error_z: int, error_x: int, error_y: int, first: int, second: int) -> Sketch:
    """What a peer says; more error than there can be is all error."""
    scale = max(FULL, error_z + error_x + error_y)
    z, x, y = error_z / scale, error_x / scale, error_y / scale
    return sketched((max(0.0, 1 - z - x - y), z, x, y), index, (2 * first / FULL - 1, 2 * second / FULL - 1))
