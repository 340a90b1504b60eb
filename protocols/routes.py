"""Ways through the network as the network layer asks for them, whoever finds them: a routing protocol or a table.

What may live here: that interface only.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Offer(NamedTuple):
    """What a link can deliver, as its ends advertise it."""

    fidelity: int  # of a pair when both ends have heard of it; u32 over 2^32 - 1
    pairs_per_ks: int  # pairs in 1,000 s with nothing else on the link; u32
    latency_ps: int  # one way, of a frame between its ends
    memories: int  # communication qubits free for it, at the end that has fewer
    load: int = 0  # the part of its rate that circuits have been promised; u32 over 2^32 - 1


class Hop(NamedTuple):
    """One step of a route."""

    link: int
    node: int  # at the far end of the link
    offer: Offer


type Route = tuple[Hop, ...]
"""From this node on; the last hop's node is the destination.  No node stands on it twice."""


class Routes(Protocol):
    """Whoever knows the network's links."""

    def paths(self, destination: int, most: int) -> Sequence[Route]:
        """Up to `most` ways to `destination`, the best first; none if it cannot be reached from here."""
