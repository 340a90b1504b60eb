"""Sessions on ports between nodes: the driver of ``protocols.qtp``.

What may live here: opening and closing, pairs from the network layer, and who hears what the machine says.  One end of
a session is in session.py, what is done to qubits in qubits.py.
"""

from typing import Any

import trio

from protocols.ignored import Ignored
from protocols.pairs import Pair, ReleaseQubit
from protocols.qtp.node import MOST_PLACES, Qtp
from protocols.qtp.service import (
    Arrived,
    Closed,
    Delivered,
    Lost,
    NeedPair,
    NoteCame,
    Opened,
    PairGone,
    PairReady,
    PeerFinished,
    Refused,
    Returned,
    RunBellMeasurement,
    SessionId,
)
from protocols.wire import ProtocolId, QtpService
from stack.network.interface import NetworkLayer
from stack.physical.interface import PhysicalLayer
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel, Mailbox, Waiter
from stack.runtime.messenger import Messenger
from stack.transport.interface import SessionClosed, SessionRefused
from stack.transport.qubits import SessionQubits
from stack.transport.session import QtpSession


class Transport:
    """One node's sessions.  Implements ``TransportLayer``."""

    def __init__(
        self,
        kernel: Kernel,
        physical: PhysicalLayer,
        network: NetworkLayer,
        messenger: Messenger,
        places: int = MOST_PLACES,
    ) -> None:
        """places: qubits that a session may bring before one of them is let go of."""
        self.driver = Driver(kernel, Qtp(kernel.number, places=places), messenger.send, self._on_event)
        self._qubits = SessionQubits(kernel, physical, self.driver)
        self._kernel = kernel
        self._network = network
        self._sessions: dict[SessionId, QtpSession] = {}
        self._opening: dict[SessionId, Waiter[QtpSession]] = {}
        self._accepting: dict[int, Mailbox[QtpSession]] = {}
        self._of_purpose: dict[tuple[int, int], SessionId] = {}
        self._requests: dict[SessionId, int] = {}
        self._minimum_fidelity: dict[SessionId, float] = {}
        self._messenger = messenger
        messenger.register(ProtocolId.QTP, self.driver.receive)
        messenger.on_broken(self._peer_lost)

    def listen(self, port: int, service: QtpService) -> None:
        self._accepting[port] = Mailbox(self._kernel)
        self.driver.machine.listen(port, service)

    def unlisten(self, port: int) -> None:
        self.driver.machine.unlisten(port)
        waiting = self._accepting.pop(port)
        while len(waiting):
            session = waiting.take()
            session.abandon()
            session.close()

    async def accept(self, port: int, peer: int | None = None) -> QtpSession:
        incoming = self._accepting[port]
        if peer is None:
            return await incoming.get()
        # The peer's refusal cannot be told: what it gives up is the stream by which it would say so.
        patience_ps = self._messenger.lost_after_ps(peer) if self._messenger.reaches(peer) else 0
        timer = self._kernel.after(patience_ps, lambda: incoming.fail(SessionClosed(peer, "it has opened none")))
        try:
            return await incoming.get()
        finally:
            timer.cancel()

    async def open(self, peer: int, port: int, service: QtpService, minimum_fidelity: float = 0.0) -> QtpSession:
        if not self._messenger.reaches(peer):
            raise SessionRefused(f"no way to node {peer}")
        began = self._kernel.now
        try:
            return await self._open(peer, port, service, minimum_fidelity)
        except SessionClosed:
            if not self._messenger.restarted(peer, since=began):
                raise
        return await self._open(peer, port, service, minimum_fidelity)

    async def _open(self, peer: int, port: int, service: QtpService, minimum_fidelity: float) -> QtpSession:
        ident = self.driver.machine.open(peer, port, service, self._kernel.now)
        waiter: Waiter[QtpSession] = Waiter(self._kernel)
        self._opening[ident] = waiter
        self._minimum_fidelity[ident] = minimum_fidelity
        self._messenger.watch(peer)  # until the session is refused or closed
        self.driver.flush()
        try:
            return await waiter.wait()
        except trio.Cancelled:  # nobody will have it
            if (session := waiter.set_to()) is not None:
                session.abandon()
            self.driver.machine.close(ident, self._kernel.now)
            self.driver.flush()
            raise

    # -- from the network layer -------------------------------------------------------------------------------------

    def pair(self, peer: int, purpose: int, pair: Pair) -> None:
        ident = self._of_purpose.get((peer, purpose))
        if ident is None:
            self._qubits.release(pair.qubit)
            return
        self.driver.machine.pair(ident, pair, self._kernel.now)
        self.driver.flush()
        if (session := self._sessions.get(ident)) is not None:
            session.more_pairs()

    def pair_lost(self, peer: int, purpose: int, pair: Pair) -> None:
        ident = self._of_purpose.get((peer, purpose))
        if ident is not None:
            self.driver.machine.pair_lost(ident, pair, self._kernel.now)
            self.driver.flush()

    def no_pairs(self, peer: int, purpose: int, cause: str) -> None:
        ident = self._of_purpose.get((peer, purpose))
        if ident is not None and self._requests.pop(ident, None) is not None:
            self.driver.machine.no_pairs(ident, self._kernel.now)
            self.driver.flush()

    def peer_finished(self, peer: int, purpose: int) -> None:
        """What is left of its pairs goes with the session."""

    def _peer_lost(self, peer: int) -> None:
        self.driver.machine.peer_lost(peer, self._kernel.now)
        self.driver.flush()

    # -- what the machine wants -------------------------------------------------------------------------------------

    def _on_event(self, event: Any) -> None:
        match event:
            case NeedPair(session=ident, number=number):
                if ident not in self._requests:
                    self._requests[ident] = self._network.request(
                        ident.peer, ident.purpose, self, self._minimum_fidelity.get(ident, 0.0)
                    )
                self._network.want(self._requests[ident], number)
            case RunBellMeasurement():
                self._sessions[event.session].report("measuring", index=event.index, qubit=event.pair_qubit)
                self._qubits.bell_measurement(event)
            case Opened():
                self._opened(event)
            case Refused(session=ident, reason=reason):
                self._kernel.event("transport", "refused", peer=ident.peer, session=ident.number, reason=reason.name)
                self._minimum_fidelity.pop(ident, None)
                self._messenger.unwatch(ident.peer)
                self._opening.pop(ident).fail(SessionRefused(reason.name))
            case ReleaseQubit(qubit=qubit):
                self._qubits.release(qubit)
            case Arrived() | Delivered() | Returned() | Lost() | PairReady() | PairGone() | PeerFinished() | NoteCame():
                self._sessions[event.session].hear(event)
            case Closed(session=ident):
                self._closed(ident, event)
            case Ignored(message=message):
                self._kernel.count(f"ignored {message}")
            case _:
                raise AssertionError(f"{event} is no event of Qtp")

    def _opened(self, event: Opened) -> None:
        ident, port, service, opener = event
        self._kernel.event("transport", "opened", peer=ident.peer, session=ident.number, port=port, opener=opener)
        session = self._sessions[ident] = QtpSession(ident, service, self._kernel, self.driver, self._qubits)
        self._of_purpose[ident.peer, ident.purpose] = ident
        # Session numbers are of a pair of nodes: another peer may have a session of the same number.
        self._network.listen(ident.purpose, self, ident.peer)
        if opener:
            self._opening.pop(ident).set(session)
        else:
            self._messenger.watch(ident.peer)
            self._accepting[port].put(session)

    def _closed(self, ident: SessionId, event: Closed) -> None:
        self._kernel.event("transport", "closed", peer=ident.peer, session=ident.number, reason=event.reason.name)
        self._messenger.unwatch(ident.peer)
        self._of_purpose.pop((ident.peer, ident.purpose), None)
        self._network.unlisten(ident.purpose, ident.peer)
        self._minimum_fidelity.pop(ident, None)
        request = self._requests.pop(ident, None)
        if request is not None:
            # Also if the peer is lost: the network layer speaks to neighbours, and need not have heard of it.
            self._network.finish(request)
        waiter = self._opening.pop(ident, None)
        if waiter is not None:
            waiter.fail(SessionClosed(ident.peer, event.reason.name))
        session = self._sessions.pop(ident, None)
        if session is not None:
            session.hear(event)
