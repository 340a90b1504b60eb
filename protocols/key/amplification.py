"""How many bits of a corrected block are secret, and the Toeplitz matrices that distil them.

What may live here: the length of a key, and hashing by a Toeplitz matrix.  Bit strings are whole numbers, their first
bit the least significant.
"""

from math import floor, log, log2, sqrt
from typing import Final

_PARITIES: Final = str.maketrans("0123456789abcdef", "01" * 8)


def toeplitz(seed: int, bits: int, size: int, rows: int) -> int:
    """The product, modulo 2, of a Toeplitz matrix of ``rows`` times ``size`` and a vector of ``size`` bits.

    Entry (row, column) of the matrix is bit ``row + size - 1 - column`` of ``seed``, which has ``size + rows - 1``
    bits. These matrices are a 2-universal family (Mansour, Nisan, Tiwari 1990): two vectors that differ have equal
    products for at most 2^-rows of all seeds.

    Row by row this would take size * rows steps.  It is a convolution: with every bit in a digit so wide that no sum of
    ``size`` of them overflows, one product of whole numbers does it.
    """
    if rows <= 0 or size <= 0:
        return 0
    width = -(-(size.bit_length() + 1) // 4)  # hexadecimal digits for each bit
    digits = f"{_spread(seed, width) * _spread(bits, width):x}"
    parities = digits[::-1][::width].translate(_PARITIES)[size - 1 : size - 1 + rows]
    return int(parities[::-1], 2) if parities else 0


def _spread(bits: int, width: int) -> int:
    zero = "0" * width
    return int(f"{bits:b}".replace("0", "o").replace("1", zero[1:] + "1").replace("o", zero), 16)


def seed_bits(size: int, rows: int) -> int:
    """Bits of the seed of such a matrix."""
    return size + rows - 1


def seeds_bits(size: int, correctness: int, length: int) -> int:
    """Bits of the seed of both matrices of a block, see ``hashes``."""
    return seed_bits(size, correctness) + seed_bits(size, length)


def hashes(seed: int, bits: int, size: int, correctness: int, length: int) -> tuple[int, int]:
    """What verifies ``bits``, and the key that they make: a matrix for each, the first's seed the less significant."""
    verifying = seed_bits(size, correctness)
    tag = toeplitz(seed & (1 << verifying) - 1, bits, size, correctness)
    return tag, toeplitz(seed >> verifying & (1 << seed_bits(size, length)) - 1, bits, size, length)


def entropy(share: float) -> float:
    """The binary entropy of an error rate, 1 from one half on."""
    if share <= 0:
        return 0.0
    return 1.0 if share >= 0.5 else -share * log2(share) - (1 - share) * log2(1 - share)


def deviation(sifted: int, tested: int, secrecy: int) -> float:
    """By how much the error rate of ``sifted`` bits in X, had they been measured so, may be above that of ``tested``
    ones, but for a chance that 2^-secrecy covers: mu of Tomamichel, Lim, Gisin, Renner, Nat. Commun. 3, 634 (2012)."""
    n, k = sifted, tested
    return sqrt((n + k) / (n * k) * (k + 1) / k * (log(4) + secrecy * log(2)))


def key_length(sifted: int, tested: int, errors: int, leak: int, secrecy: int, correctness: int) -> int:
    """Bits of key in a block: l = n (1 - h(Q + mu)) - leak - log2(2 / (e_sec^2 e_cor)); 0 if there is none.

    Tomamichel, Lim, Gisin, Renner, Nat. Commun. 3, 634 (2012), with q = 1.  Of ``tested`` bits measured
    in X ``errors`` differ; ``sifted`` bits measured in Z are the key's; ``leak`` bits about them have been said to
    correct them.  e_sec = 2^-secrecy, e_cor = 2^-correctness: the bits of the hash that verifies are in the last
    term.
    """
    if not sifted or not tested:
        return 0
    secret = sifted * (1 - entropy(errors / tested + deviation(sifted, tested, secrecy)))
    return max(0, floor(secret - leak - 1 - 2 * secrecy - correctness))


__all__ = ["deviation", "entropy", "hashes", "key_length", "seed_bits", "seeds_bits", "toeplitz"]
