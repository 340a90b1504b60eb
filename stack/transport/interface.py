"""What the transport layer offers upward: sessions on ports between any two nodes.

What may live here: the interface only.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from protocols.bell import Basis
from protocols.device import Program
from protocols.pairs import Pair
from protocols.qtp.service import CloseReason, SessionId
from protocols.wire import QtpService
from stack.runtime.kernel import Waiter


class SessionRefused(Exception):
    """The other node does not accept the session."""


class SessionClosed(Exception):
    """The session has ended; nothing more comes over it."""

    def __init__(self, peer: int, reason: str) -> None:
        """``peer``: the node at its other end; ``reason``: in words, or the name of a ``CloseReason``."""
        super().__init__(f"the session with node {peer}: {reason}")
        self.peer = peer
        self.reason = reason


class Incoming(NamedTuple):
    """A qubit that has arrived: what was sent, once X^x and then Z^z are applied.  It is the caller's."""

    index: int  # type: ignore[assignment]
    qubit: int
    x: int
    z: int


class Outcome(NamedTuple):
    """What this end read of its half of a pair, the pair's Bell index taken into account."""

    pair: Pair
    basis: Basis
    bit: int


class Session(Protocol):
    """One end of a session.

    ``teleport`` and ``receive`` are for sessions of TELEPORT; ``ask_pairs``, ``stream``, ``pair``, ``outcome`` and
    ``on_pair_gone`` for those of PAIRS, where every pair that either end asks for is handed up at both.
    """

    ident: SessionId
    closed: CloseReason | None
    """Why it has ended, once it has."""
    peer_finished: bool
    """The other end sends no more."""
    service: QtpService
    lost: int
    """Qubits that were lost on it, either way."""
    on_pair_gone: Callable[[Pair], None]
    """Called when a pair that was handed up is a pair no more; its qubit stays the user's."""
    on_closed: Callable[[], None]
    """Called when it has ended."""

    async def teleport(self, qubit: int, preparation: Program | None = None, frame: int = 0) -> bool:
        """Send a qubit, which is gone from here on; whether it was delivered.

        frame: X^x and then Z^z, as a Bell index, that are still to be applied to it: the receiver gets them merged
        into its own.

        preparation: is run before; if a pair is ready, in one program with the Bell measurement, and so in one trip to
        the device.

        If not it is lost; with the peer lost meanwhile, nobody knows whether it arrived.  Raises SessionClosed if it
        was not touched: it is the caller's again.
        """

    def send(self, qubit: int, preparation: Program | None = None, frame: int = 0) -> Waiter[bool]:
        """The same without waiting: what ``teleport`` returns or raises comes out of the waiter."""

    def reserve(self, ahead: int) -> None:
        """Keep so many pairs ready for qubits to come.  Raises SessionClosed."""

    async def filled(self, pairs: int) -> None:
        """Until so many pairs are ready, or the session has ended; :meth:`reserve` them before."""

    async def receive(self) -> Incoming:
        """The next qubit, in the order of sending; raises SessionClosed when no more will come.

        It takes one of the places of this node, until it is released.
        """

    def ask_pairs(self, number: int) -> None:
        """So many more pairs, for both ends to :meth:`pair`.  Raises SessionClosed."""

    def stream(self, pairs_per_s: float) -> None:
        """So many pairs a second from now on, for both ends to :meth:`pair`, as far as the network can; 0: no more.
        Raises SessionClosed."""

    async def pair(self) -> Pair:
        """The next pair that both ends hold; its qubit is the caller's.  Raises SessionClosed at the end."""

    async def outcome(self) -> Outcome:
        """The next pair, measured at once: in Z if its number is even, in X if it is odd.  Without errors both ends
        read the same bit: the head turns its own round where the pair's Bell index says so.

        A pair that is lost meanwhile is an outcome all the same.  Raises SessionClosed.
        """

    def note(self, text: bytes) -> None:
        """Say something to the user at the other end, up to 2^20 bytes.  Raises SessionClosed."""

    async def heard(self) -> bytes:
        """The next note of the user at the other end; raises SessionClosed when no more will come."""

    def finish(self) -> None:
        """Half-close: no more is sent from here; what is on the way still arrives, and the other end may send.  Its
        ``receive`` raises SessionClosed when it has had everything.  Raises SessionClosed if there is no session."""

    def close(self, give_back: bool = False) -> None:
        """No more will be sent; what is on the way from here still arrives.

        give_back: but for what has not been touched yet, which is its sender's again: ``send`` says SessionClosed.
        """

    def reset(self) -> None:
        """End at once: what is on the way is lost to both ends."""

    def abandon(self) -> None:
        """Nobody is there any more to take what has come, or comes: it is let go of."""


class TransportLayer(Protocol):
    """One node's sessions."""

    def listen(self, port: int, service: QtpService) -> None:
        """Accept sessions on this port; :meth:`accept` hands them out."""

    def unlisten(self, port: int) -> None:
        """Accept no more of them; those that nobody has fetched are closed, and what came over them is let go of."""

    async def accept(self, port: int, peer: int | None = None) -> Session:
        """The next session on a port that is listened to.

        ``peer``: the node that is about to open it.  Raises SessionClosed when it must have given that up by now: when
        its last word, had it opened one as soon as it was up, would have come."""

    async def open(self, peer: int, port: int, service: QtpService, minimum_fidelity: float = 0.0) -> Session:
        """A session with ``peer``, for which this end will ask for pairs of at least that fidelity.

        Raises SessionRefused, or SessionClosed if the peer is lost meanwhile.  One that proves to have started anew is
        asked once more: it is its old life that was lost.
        """
