"""How a half of a pair is measured at once: by which rotation, and in which basis at which slot.

What may live here: what a node and its device must agree on without a message per emission.  A train may have
millions of emissions, each with a basis of its own choice: both sides derive it from one number of the train,
which the node draws from its own seed, and from the slot.
"""

from hashlib import blake2b
from typing import Final, NamedTuple

from protocols.wire.codec import EgpBases, EgpBasis, EgpMeasuring, EgpTest

FULL: Final = (1 << 32) - 1
"""A probability of 1 on the wire."""

BASES: Final[dict[EgpBases, tuple[EgpBasis, ...]]] = {
    EgpBases.NONE: (EgpBasis.Z,),
    EgpBases.XZ: (EgpBasis.X, EgpBasis.Z),
    EgpBases.XYZ: (EgpBasis.X, EgpBasis.Y, EgpBasis.Z),
    EgpBases.CHSH: (EgpBasis.ZPLUSX, EgpBasis.ZMINUSX),
}
"""The bases of each set, in the order in which the request's probabilities name them."""

PLAIN: Final = EgpMeasuring(EgpBases.NONE)
"""No rotation, the Z basis."""

_QUARTER: Final = 1 << 30
TESTS: Final[dict[EgpTest, EgpMeasuring]] = {
    EgpTest.ZZ: PLAIN,
    # A quarter turn back about Y takes X to Z, one about X takes Y to Z.
    EgpTest.XX: EgpMeasuring(EgpBases.NONE, y=-_QUARTER),
    EgpTest.YY: EgpMeasuring(EgpBases.NONE, x_1=_QUARTER),
}
"""How a test round measures: by a rotation onto Z, so that kept and measured pairs are treated alike."""


class Measure(NamedTuple):
    """What a node tells its device about a train that measures."""

    choice: int
    """From which the basis at each slot follows."""
    how: EgpMeasuring


def makes_sense(how: EgpMeasuring) -> bool:
    """Are the probabilities such as the set of bases can have?"""
    return how.chance_1 + how.chance_2 <= FULL


def chosen(bases: EgpBases, chance: int, draw: int) -> EgpBasis:
    """One of the set by a draw of 32 bits; with ``chance`` (of 2^32 - 1) the first, 0: all are alike."""
    row = BASES[bases]
    if not chance or len(row) == 1:
        return row[draw * len(row) >> 32]
    if draw < chance:
        return row[0]
    return row[1 + (draw - chance) * (len(row) - 1) // ((1 << 32) - chance)]


def basis_at(measure: Measure, slot: int) -> EgpBasis:
    """The basis for the emission of this slot.

    Without probabilities (both 0) all bases of the set are alike; else the first two have theirs, and the last of the
    set has the rest.
    """
    choice, how = measure
    bases = BASES[EgpBases(how.bases)]
    if len(bases) == 1:
        return bases[0]
    key = choice.to_bytes(8, "big") + slot.to_bytes(8, "big")
    draw = int.from_bytes(blake2b(key, digest_size=4).digest(), "big")
    if not how.chance_1 and not how.chance_2:
        return bases[draw * len(bases) >> 32]
    if draw < how.chance_1:
        return bases[0]
    return bases[1] if len(bases) == 2 or draw < how.chance_1 + how.chance_2 else bases[2]
