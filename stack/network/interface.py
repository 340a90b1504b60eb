"""What the network layer offers upward: end-to-end pairs on request.  Made for many hops, whatever is below.

What may live here: the interface only.
"""

from typing import NamedTuple, Protocol

from protocols.pairs import Pair
from protocols.qnp.service import KEPT, Delivery
from protocols.wire import EgpBasis


class NetworkUser(Protocol):
    """A service above, known to the network layer by its purpose id."""

    def pair(self, peer: int, purpose: int, pair: Pair) -> None:
        """Both ends hold this pair; its qubit is the user's from now on."""

    def pair_lost(self, peer: int, purpose: int, pair: Pair) -> None:
        """A pair delivered before is a pair no more; its qubit stays the user's, to be released."""

    def no_pairs(self, peer: int, purpose: int, cause: str) -> None:
        """A request of this node has ended, by its number of pairs or otherwise; nothing more comes of it.

        ``cause`` is a name of ``protocols.qnp.states.CircuitInput``."""

    def peer_finished(self, peer: int, purpose: int) -> None:
        """A request of the peer has ended; no more pairs that it asked for will come, and it needs none that it has
        not yet spoken for."""


class Measured(NamedTuple):
    """This end's result of a pair that both ends have measured, as of |Phi+>: X and Z agree, Y differ."""

    head: int
    pair_id: int
    basis: EgpBasis
    outcome: int
    goodness: int  # of 2^32 - 1


class Tested(NamedTuple):
    """What test rounds of a request say so far; fidelity and half width at 99 %, of 2^32 - 1."""

    rounds: int
    fidelity: int
    error: int


class CircuitUser(NetworkUser, Protocol):
    """A user of deliveries other than plain pairs, which also wants to know where a request has ended."""

    def pair_early(self, peer: int, purpose: int, qubit: int) -> None:
        """This end's half of a pair to be; the qubit is the user's.  ``pair`` or ``pair_lost`` will say of it what it
        has become."""

    def pair_measured(self, peer: int, purpose: int, measured: Measured) -> None:
        """Both ends have measured a pair.  ``pair_lost`` may say later that it was none; then no qubit is to be
        released."""

    def tested(self, peer: int, purpose: int, tested: Tested) -> None:
        """At the node that asked: a test round is done, and there are enough of them."""

    def ended_at(self, peer: int, purpose: int, node: int, error: str) -> None:
        """Said before ``no_pairs``: the node that ended the request, or the circuit that it was on; ``error``: what it
        or its link layer had against it, a name of EgpError, or nothing."""


class NetworkLayer(Protocol):
    """Purposes tell the users of a node apart, at both ends alike."""

    def listen(self, purpose: int, user: NetworkUser, peer: int | None = None) -> None:
        """Accept requests for pairs for this purpose, of one other node or of any."""

    def listen_to_all(
        self, purpose: int, user: CircuitUser, peer: int | None = None, *, secret: bool = False
    ) -> None:
        """Accept early and measured deliveries as well.  ``secret``: outcomes of this purpose are told to the user and
        to nobody else, so no event shows them."""

    def unlisten(self, purpose: int, peer: int | None = None) -> None:
        """Take back ``listen`` with the same purpose and peer; what is open stays."""

    def request(
        self,
        peer: int,
        purpose: int,
        user: NetworkUser,
        minimum_fidelity: float,
        *,
        priority: int = 0,
        pairs_per_s: float = 0.0,
        max_time_ps: int = 0,
        delivery: Delivery = KEPT,
        secret: bool = False,
    ) -> int:
        """Open a circuit to ``peer`` that makes pairs as :meth:`want` says; the number of the request.

        ``delivery``: any other than a plain one needs a ``CircuitUser``, here and there; ValueError if it contradicts
        itself.  ``secret``: as in ``listen_to_all``.

        ``pairs_per_s``: a rate that every link on the way must have left for it; 0: whatever there is.  A circuit with
        a rate may take the place of others of a lower ``priority``.  ``max_time_ps``: the request ends after so long,
        and is tried again until then if nodes are lost; 0: never.  Nothing is heard of it before this call has
        returned, not even that there is no way to ``peer``."""

    def want(self, request: int, number: int) -> None:
        """So many more pairs; none, if the request has ended (``no_pairs`` has said so)."""

    def finish(self, request: int) -> None:
        """No more pairs; what is not delivered is released."""
