"""Numbers that come round: which of two is the newer one (RFC 1982).

What may live here: that one comparison.
"""


def serial_newer(a: int, b: int, bits: int) -> bool:
    """Is `a` ahead of `b` by less than half the ring?"""
    size = 1 << bits
    return 0 < (a - b) % size < size >> 1
