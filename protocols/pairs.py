"""One end's halves of shared pairs, as the layers above the network hold them: identity, pool, release.

Rules of the identity: the end that asked for a pair (its head) numbers it, so (head, pair_id) names the same
pair at both ends; a pair id is not used twice by a head while the pair lives.
"""

from typing import NamedTuple


class Pair(NamedTuple):
    """This end's half of a pair that both ends hold."""

    head: int  # node that numbered the pair
    pair_id: int
    bell_index: int
    qubit: int  # this end's qubit handle
    goodness: int = 0  # estimated fidelity, u32 over 2^32 - 1


class ReleaseQubit(NamedTuple):
    """Event: nobody needs this qubit any more; the driver gives it back to the device."""

    qubit: int
