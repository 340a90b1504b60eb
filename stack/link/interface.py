"""What the link layer offers upward: CREATE and RECV down, OK and ERR up, as published (draft-dahlberg-ll-quantum).

What may live here: the interface only.  The same service in the terms of the `qlink-interface` package is in
`qlink.py`.
"""

from typing import Final, Protocol

from protocols.egp.service import KEPT, Err, Expectation, How, Ok, OkMeasured, OkPrepared
from protocols.wire import EgpKind

APPLICATION_PURPOSES: Final = range(0xFF00, 0x10000)
"""Purpose ids of programs that use links directly.  Those of the network layer are labels of its circuits, below 0x8000
(QNP refuses an Install with another), so the two never meet."""


class LinkUser(Protocol):
    """Who asks for pairs that are kept, to the link layer."""

    def link_ok(self, ok: Ok) -> None:
        """This node's half of a pair; its qubit is the user's from now on."""

    def link_error(self, err: Err) -> None:
        """A request has ended without all its pairs, or pairs delivered before are void (EXPIRE)."""


class MeasuringUser(LinkUser, Protocol):
    """Who also asks for pairs that are measured."""

    def link_measured(self, ok: OkMeasured | OkPrepared) -> None:
        """This node's result of a pair measured directly (M), or at the creator of a state prepared remotely (R)."""


class LinkLayer(Protocol):
    """Pairs with neighbours, on request of either end.  Fidelities are u32 over 2**32 - 1."""

    def serve(self, user: LinkUser) -> None:
        """Say who hears OK and ERR of all purposes that nobody else serves."""

    def serve_purpose(self, purpose: int, user: MeasuringUser) -> None:
        """Say who hears OK and ERR of one of APPLICATION_PURPOSES."""

    def create(
        self,
        link: int,
        purpose: int,
        number: int,
        minimum_fidelity: int,
        max_time_ps: int = 0,
        priority: int = 0,
        how: How = KEPT,
    ) -> int:
        """CREATE; the create_id of what will be heard about it, at the same instant at the earliest but never before
        this call has returned.  ``priority`` is the scheduler's queue: 0 NL, 1 CK, 2 MD."""

    def expects(self, link: int, kind: EgpKind, minimum_fidelity: int) -> Expectation:
        """What a request can hope for: time per pair, fidelity and its error bar."""

    def withdraw(self, link: int, create_id: int) -> None:
        """End a request of this node."""

    def recv(self, remote: int, purpose: int) -> None:
        """Accept requests of ``remote`` for this purpose."""

    def stop_recv(self, remote: int, purpose: int) -> None:
        """Accept no more of them."""
