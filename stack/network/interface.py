"""What the network layer offers upward: end-to-end pairs on request.  Made for many hops, whatever is below.

What may live here: the interface only.
"""

from typing import Protocol

from protocols.pairs import Pair


class NetworkUser(Protocol):
    """A service above, known to the network layer by its purpose id."""

    def pair(self, peer: int, purpose: int, pair: Pair) -> None:
        """Both ends hold this pair; its qubit is the user's from now on."""

    def pair_lost(self, peer: int, purpose: int, pair: Pair) -> None:
        """A pair delivered before is a pair no more; its qubit stays the user's, to be released."""

    def no_pairs(self, peer: int, purpose: int, cause: str) -> None:
        """The request has ended, by its number of pairs or otherwise; nothing more comes of it."""


class NetworkLayer(Protocol):
    """Purposes tell the users of a node apart, at both ends alike."""

    def listen(self, purpose: int, user: NetworkUser) -> None:
        """Accept requests of other nodes for this purpose."""

    def unlisten(self, purpose: int) -> None:
        """Accept no more of them."""

    def request(self, peer: int, purpose: int, user: NetworkUser, minimum_fidelity: float) -> int:
        """Open a circuit to ``peer`` that makes pairs as :meth:`want` says; the number of the request."""

    def want(self, request: int, number: int) -> None:
        """So many more pairs."""

    def finish(self, request: int) -> None:
        """No more pairs; what is not delivered is released."""
