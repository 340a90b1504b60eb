"""What the link layer offers upward: CREATE and RECV down, OK and ERR up, as published (draft-dahlberg-ll-quantum).

What may live here: the interface only.
"""

from typing import Protocol

from protocols.egp.service import Err, Ok


class LinkUser(Protocol):
    """The network layer, to the link layer."""

    def link_ok(self, ok: Ok) -> None:
        """This node's half of a pair; its qubit is the user's from now on."""

    def link_error(self, err: Err) -> None:
        """A request has ended without all its pairs, or pairs delivered before are void (EXPIRE)."""


class LinkLayer(Protocol):
    """Pairs with neighbours, on request of either end.  Fidelities are u32 over 2**32 - 1."""

    def serve(self, user: LinkUser) -> None:
        """Say who hears OK and ERR."""

    def create(self, link: int, purpose: int, number: int, minimum_fidelity: int, max_time_ps: int = 0) -> int:
        """CREATE; the create_id of what will be heard about it, at the same instant at the earliest but never before
        this call has returned."""

    def withdraw(self, link: int, create_id: int) -> None:
        """End a request of this node."""

    def recv(self, remote: int, purpose: int) -> None:
        """Accept requests of ``remote`` for this purpose."""

    def stop_recv(self, remote: int, purpose: int) -> None:
        """Accept no more of them."""
