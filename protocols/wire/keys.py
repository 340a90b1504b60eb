"""Keys of the authentication tag, one per unordered pair of nodes, derived where there is no secret."""

import hmac

KEY_BYTES = 32


def derive_key(seed: int, a: int, b: int) -> bytes:
    """The 32-byte key of nodes `a` and `b`, the same in either order.

    For the `virtual` and `local` clocks, where bytes must follow from the seed. In `paced` keys are drawn
    at random instead: anybody who knows the seed has these.
    """
    low, high = sorted((a, b))
    return hmac.digest(b"bellwire pair key", f"{seed}/{low}/{high}".encode(), "sha256")
