"""Sessions on ports between nodes, and what travels over them.

What may live here: the driver of ``protocols.qtp``: pairs from the network layer, programs to the devices, and
sessions as objects for the layer above.
"""

from typing import Any, NamedTuple

from protocols.device import Program
from protocols.pairs import Pair, ReleaseQubit
from protocols.qtp import Qtp
from protocols.qtp_service import (
    Arrived,
    Closed,
    Delivered,
    Lost,
    NeedPair,
    Opened,
    PairGone,
    PairReady,
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


class SessionRefused(Exception):
    """The other node does not accept the session."""


class SessionClosed(Exception):
    """The session has ended; nothing more comes over it."""


class Incoming(NamedTuple):
    """A qubit that has arrived: what was sent, once X^x and then Z^z are applied.  It is the caller's."""

    index: int  # type: ignore[assignment]
    qubit: int
    x: int
    z: int


class Session:
    """One end of a session.  Made by ``Transport.open`` and ``Transport.accept``."""

    def __init__(self, transport: "Transport", ident: SessionId, kernel: Kernel) -> None:
        self.ident = ident
        self.closed = False
        self.lost = 0
        self._transport = transport
        self._kernel = kernel
        self._arrivals: Mailbox[Incoming | None] = Mailbox(kernel)
        self._sent: dict[int, Waiter[bool]] = {}

    async def teleport(self, qubit: int) -> bool:
        """Send a qubit, which is gone from here on; whether it was delivered (else it is lost).

        Raises SessionClosed if it was not touched: it is the caller's again.
        """
        waiter: Waiter[bool] = Waiter(self._kernel)
        machine = self._transport.driver.machine
        index = machine.teleport(self.ident, qubit, self._kernel.now)
        self._sent[index] = waiter
        self._transport.driver.flush()
        return await waiter.wait()

    async def receive(self) -> Incoming:
        """The next qubit, in the order of sending; raises SessionClosed at the end of the session."""
        incoming = await self._arrivals.get()
        if incoming is None:
            raise SessionClosed(str(self.ident))
        return incoming

    def close(self) -> None:
        """No more will be sent; what is on the way still arrives."""
        self._transport.driver.machine.close(self.ident, self._kernel.now)
        self._transport.driver.flush()

    def _hear(self, event: Any) -> None:
        match event:
            case Arrived(index=index, qubit=qubit, x=x, z=z):
                self._arrivals.put(Incoming(index, qubit, x, z))
            case Delivered(index=index):
                self._sent.pop(index).set(True)
            case Returned(index=index):
                self._sent.pop(index).fail(SessionClosed(str(self.ident)))
            case Lost(index=index, incoming=incoming):
                self.lost += 1
                if not incoming:
                    self._sent.pop(index).set(False)
            case Closed():
                self.closed = True
                self._arrivals.put(None)


class Transport:
    """One node's sessions."""

    def __init__(
        self, kernel: Kernel, physical: PhysicalLayer, network: NetworkLayer, messenger: Messenger
    ) -> None:
        self.minimum_fidelity = 0.0
        self.driver = Driver(kernel, Qtp(kernel.number), messenger.send, self._on_event)
        self._kernel = kernel
        self._physical = physical
        self._network = network
        self._sessions: dict[SessionId, Session] = {}
        self._opening: dict[SessionId, Waiter[Session]] = {}
        self._accepting: dict[int, Mailbox[Session]] = {}
        self._of_purpose: dict[tuple[int, int], SessionId] = {}
        self._requests: dict[SessionId, int] = {}
        messenger.register(ProtocolId.QTP, self.driver.receive)
        messenger.on_broken(self._peer_lost)

    def listen(self, port: int, service: QtpService) -> None:
        """Accept sessions on this port; :meth:`accept` hands them out."""
        self._accepting[port] = Mailbox(self._kernel)
        self.driver.machine.listen(port, service)

    async def accept(self, port: int) -> Session:
        return await self._accepting[port].get()

    async def open(self, peer: int, port: int, service: QtpService) -> Session:
        """A session with ``peer``; raises SessionRefused, or SessionClosed if the peer is lost meanwhile."""
        ident = self.driver.machine.open(peer, port, service, self._kernel.now)
        waiter: Waiter[Session] = Waiter(self._kernel)
        self._opening[ident] = waiter
        self.driver.flush()
        return await waiter.wait()

    # -- from the network layer -------------------------------------------------------------------------------------

    def pair(self, peer: int, purpose: int, pair: Pair) -> None:
        ident = self._of_purpose.get((peer, purpose))
        if ident is None:
            self._physical.memory.release(pair.qubit)
            return
        self.driver.machine.pair(ident, pair, self._kernel.now)
        self.driver.flush()

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

    def _peer_lost(self, peer: int) -> None:
        self.driver.machine.peer_lost(peer, self._kernel.now)
        self.driver.flush()

    # -- what the machine wants -------------------------------------------------------------------------------------

    def _on_event(self, event: Any) -> None:
        match event:
            case NeedPair(session=ident, number=number):
                if ident not in self._requests:
                    self._requests[ident] = self._network.request(
                        ident.peer, ident.purpose, self, self.minimum_fidelity
                    )
                self._network.want(self._requests[ident], number)
            case RunBellMeasurement():
                self._bell_measurement(event)
            case Opened(session=ident, port=port, opener=opener):
                self._opened(ident, port, opener)
            case Refused(session=ident, reason=reason):
                self._opening.pop(ident).fail(SessionRefused(reason.name))
            case ReleaseQubit(qubit=qubit):
                self._physical.memory.release(qubit)
            case Arrived() | Delivered() | Returned() | Lost() | PairReady() | PairGone():
                self._sessions[event.session]._hear(event)
            case Closed(session=ident):
                self._closed(ident, event)
            case _:
                self._kernel.count("ignored")

    def _opened(self, ident: SessionId, port: int, opener: bool) -> None:
        self._kernel.event("transport", "opened", peer=ident.peer, session=ident.number, port=port, opener=opener)
        session = self._sessions[ident] = Session(self, ident, self._kernel)
        self._of_purpose[ident.peer, ident.purpose] = ident
        self._network.listen(ident.purpose, self)
        if opener:
            self._opening.pop(ident).set(session)
        else:
            self._accepting[port].put(session)

    def _closed(self, ident: SessionId, event: Closed) -> None:
        self._kernel.event(
            "transport", "closed", peer=ident.peer, session=ident.number, reason=event.reason.name
        )
        self._of_purpose.pop((ident.peer, ident.purpose), None)
        self._network.unlisten(ident.purpose)
        request = self._requests.pop(ident, None)
        if request is not None:
            self._network.finish(request)
        waiter = self._opening.pop(ident, None)
        if waiter is not None:
            waiter.fail(SessionClosed(event.reason.name))
        session = self._sessions.pop(ident, None)
        if session is not None:
            session._hear(event)

    def _bell_measurement(self, run: RunBellMeasurement) -> None:
        data, half = run.data_qubit, run.pair_qubit
        program = Program().bell_measure(data, half).release(data).release(half)

        def done(bits: tuple[int, ...]) -> None:
            self._physical.memory.void(data)
            self._physical.memory.void(half)
            self.driver.machine.measured(run.session, run.index, bits[0], bits[1], self._kernel.now)
            self.driver.flush()

        self._physical.submit(program, done)
