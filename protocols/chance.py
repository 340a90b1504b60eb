"""Chance by name: numbers that look random, and follow from what they are drawn for.

What may live here: the draw.  One that is added elsewhere moves nothing here, and the same seed draws the same again.
"""

from hashlib import blake2b


def drawn(key: str, size: int = 8) -> int:
    """So many bytes as a whole number, evenly spread over keys.  ``key`` says who draws, for what, for which time."""
    return int.from_bytes(blake2b(key.encode(), digest_size=size).digest(), "big")
