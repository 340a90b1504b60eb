"""Sessions on ports between nodes, and what travels over them.

What may live here: the driver of ``protocols.qtp``: pairs from the network layer, programs to the devices, and
sessions as objects for the layer above.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from protocols.bell import Basis, parity_bit
from protocols.device import MAX_OPS, Program
from protocols.ignored import Ignored
from protocols.pairs import Pair, ReleaseQubit
from protocols.qtp.node import MOST_PLACES, Qtp
from protocols.qtp.service import (
    Arrived,
    Closed,
    CloseReason,
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
    SessionGone,
    SessionId,
)
from protocols.wire import ProtocolId, QtpService
from stack.network.interface import NetworkLayer
from stack.physical.interface import PhysicalLayer
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel, Mailbox, Waiter
from stack.runtime.messenger import Messenger

_BELL_MEASUREMENT: Final = 6
"""Operations in it, the release of both qubits included."""


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


class Outcome(NamedTuple):
    """What this end read of its half of a pair, the pair's Bell index taken into account."""

    pair: Pair
    basis: Basis
    bit: int


class Session:
    """One end of a session.  Made by ``Transport.open`` and ``Transport.accept``.

    ``teleport`` and ``receive`` are for sessions of TELEPORT; ``ask_pairs``, ``stream``, ``pair``, ``outcome`` and
    ``on_pair_gone`` for those of PAIRS, where every pair that either end asks for is handed up at both.
    """

    def __init__(self, transport: "Transport", ident: SessionId, kernel: Kernel) -> None:
        self.ident = ident
        self.closed: CloseReason | None = None
        """Why it has ended, once it has."""
        self.on_pair_gone: Callable[[Pair], None] = lambda pair: None
        """Called when a pair that was handed up is a pair no more; its qubit stays the user's."""
        self.on_closed: Callable[[], None] = lambda: None
        """Called when it has ended."""
        self.lost = 0
        self.peer_finished = False
        """The other end sends no more."""
        self._transport = transport
        self._kernel = kernel
        self._arrivals: Mailbox[Incoming | None] = Mailbox(kernel)
        self._sent: dict[int, Waiter[bool]] = {}
        self._filling: tuple[int, Waiter[None]] | None = None
        self._pairs: Mailbox[Pair | None] = Mailbox(kernel)
        self._notes: Mailbox[bytes | None] = Mailbox(kernel)
        self._not_handed_up: set[Pair] = set()
        self._abandoned = False

    async def teleport(self, qubit: int, preparation: Program | None = None, frame: int = 0) -> bool:
        """Send a qubit, which is gone from here on; whether it was delivered.

        frame: X^x and then Z^z, as a Bell index, that are still to be applied to it: the receiver gets them merged
        into its own.

        preparation: is run before; if a pair is ready, in one program with the Bell measurement, and so in one trip to
        the device.

        If not it is lost; with the peer lost meanwhile, nobody knows whether it arrived.  Raises SessionClosed if it
        was not touched: it is the caller's again.
        """
        return await self.send(qubit, preparation, frame).wait()

    def send(self, qubit: int, preparation: Program | None = None, frame: int = 0) -> Waiter[bool]:
        """The same without waiting: what ``teleport`` returns or raises comes out of the waiter."""
        waiter: Waiter[bool] = Waiter(self._kernel)
        transport = self._transport
        machine = transport.driver.machine
        together = machine.ready(self.ident) > 0
        try:
            index = machine.teleport(self.ident, qubit, self._kernel.now, frame)
        except SessionGone:
            raise self._gone() from None
        self._sent[index] = waiter
        if preparation is not None:
            if together:
                transport.preparations[self.ident, index] = preparation
            else:
                transport.run_before(preparation)
        transport.driver.flush()
        return waiter

    def reserve(self, ahead: int) -> None:
        """Keep so many pairs ready for qubits to come.  Raises SessionClosed."""
        try:
            self._transport.driver.machine.reserve(self.ident, ahead, self._kernel.now)
        except SessionGone:
            raise self._gone() from None
        self._transport.driver.flush()

    async def filled(self, pairs: int) -> None:
        """Until so many pairs are ready, or the session has ended; :meth:`reserve` them before."""
        if self.closed is None and self._transport.driver.machine.ready(self.ident) < pairs:
            self._filling = (pairs, Waiter(self._kernel))
            await self._filling[1].wait()

    def _more_pairs(self) -> None:
        filling = self._filling
        if filling is not None and (
            self.closed is not None or self._transport.driver.machine.ready(self.ident) >= filling[0]
        ):
            self._filling = None
            filling[1].set(None)

    async def receive(self) -> Incoming:
        """The next qubit, in the order of sending; raises SessionClosed when no more will come.

        It takes one of the places of this node, until it is released.
        """
        over = self._ended(self._arrivals) or (self.peer_finished and not len(self._arrivals))
        incoming = None if over else await self._arrivals.get()
        if incoming is None:
            raise self._gone()
        return incoming

    def ask_pairs(self, number: int) -> None:
        """So many more pairs, for both ends to :meth:`pair`.  Raises SessionClosed."""
        try:
            self._transport.driver.machine.ask_pairs(self.ident, number, self._kernel.now)
        except SessionGone:
            raise self._gone() from None
        self._transport.driver.flush()

    def stream(self, pairs_per_s: float) -> None:
        """So many pairs a second from now on, for both ends to :meth:`pair`, as far as the network can; 0: no more.
        Raises SessionClosed."""
        interval_ps = round(1e12 / pairs_per_s) if pairs_per_s else 0
        try:
            self._transport.driver.machine.stream(self.ident, interval_ps, self._kernel.now)
        except SessionGone:
            raise self._gone() from None
        self._transport.driver.flush()

    async def outcome(self) -> Outcome:
        """The next pair, measured at once: in Z if its number is even, in X if it is odd.  Without errors both ends
        read the same bit: the head turns its own round where the pair's Bell index says so.

        A pair that is lost meanwhile is an outcome all the same.  Raises SessionClosed.
        """
        return await self._transport.measured(await self.pair())

    async def pair(self) -> Pair:
        """The next pair that both ends hold; its qubit is the caller's.  Raises SessionClosed at the end."""
        while True:
            pair = None if self._ended(self._pairs) else await self._pairs.get()
            if pair is None:
                raise self._gone()
            if pair in self._not_handed_up:  # else it has gone meanwhile
                self._not_handed_up.remove(pair)
                return pair

    def note(self, text: bytes) -> None:
        """Say something to the user at the other end, up to 2^20 bytes.  Raises SessionClosed."""
        try:
            self._transport.driver.machine.note(self.ident, text, self._kernel.now)
        except SessionGone:
            raise self._gone() from None
        self._transport.driver.flush()

    async def heard(self) -> bytes:
        """The next note of the user at the other end; raises SessionClosed when no more will come."""
        text = None if self._ended(self._notes) else await self._notes.get()
        if text is None:
            raise self._gone()
        return text

    def _gone(self) -> SessionClosed:
        still = "the peer has finished" if self.peer_finished else "closing"
        reason = still if self.closed is None else self.closed.name
        return SessionClosed(f"session {self.ident.number} with node {self.ident.peer}: {reason}")

    def _ended(self, mailbox: Mailbox[Any]) -> bool:
        return self.closed is not None and not len(mailbox)

    def finish(self) -> None:
        """Half-close: no more is sent from here; what is on the way still arrives, and the other end may send.  Its
        ``receive`` raises SessionClosed when it has had everything.  Raises SessionClosed if there is no session."""
        try:
            self._transport.driver.machine.finish(self.ident, self._kernel.now)
        except SessionGone:
            raise self._gone() from None
        self._transport.driver.flush()

    def reset(self) -> None:
        """End at once: what is on the way is lost to both ends."""
        self._transport.driver.machine.reset(self.ident, self._kernel.now)
        self._transport.driver.flush()

    def close(self) -> None:
        """No more will be sent; what is on the way from here still arrives."""
        self._transport.driver.machine.close(self.ident, self._kernel.now)
        self._transport.driver.flush()

    def abandon(self) -> None:
        """Nobody is there any more to take what has come, or comes: it is let go of."""
        self._abandoned = True
        for mailbox in (self._arrivals, self._pairs):
            while len(mailbox):
                item = mailbox.take()
                if item is not None and (isinstance(item, Incoming) or item in self._not_handed_up):
                    self._transport.release(item.qubit)
        self._not_handed_up.clear()

    def _hear(self, event: Any) -> None:
        match event:
            case Arrived(index=index, qubit=qubit, x=x, z=z):
                self._event("arrived", index=index, qubit=qubit, x=x, z=z)
                self._transport.arrived[qubit] = self.ident
                if self._abandoned:
                    self._transport.release(qubit)
                    return
                self._arrivals.put(Incoming(index, qubit, x, z))
            case Delivered(index=index):
                self._event("delivered", index=index)
                self._sent.pop(index).set(True)
            case Returned(index=index, qubit=qubit):
                preparation = self._transport.preparations.pop((self.ident, index), None)
                if preparation is not None:
                    self._transport.run_before(preparation)
                self._event("returned", index=index, qubit=qubit)
                self._sent.pop(index).fail(self._gone())
            case Lost(index=index, incoming=incoming):
                self._event("lost", index=index, incoming=incoming)
                self.lost += 1
                if not incoming:
                    self._sent.pop(index).set(False)
            case PeerFinished():
                self.peer_finished = True
                self._arrivals.put(None)
            case NoteCame(text=text):
                self._notes.put(text)
            case PairReady(pair=pair) if self._abandoned:
                self._transport.release(pair.qubit)
            case PairReady(pair=pair):
                self._not_handed_up.add(pair)
                self._pairs.put(pair)
            case PairGone(pair=pair):
                if pair in self._not_handed_up:
                    self._not_handed_up.remove(pair)
                    self._transport.release(pair.qubit)
                else:
                    self.on_pair_gone(pair)
            case Closed(reason=reason):
                self.closed = reason
                self._more_pairs()
                self._arrivals.put(None)
                self._pairs.put(None)
                self._notes.put(None)
                self.on_closed()

    def _event(self, name: str, **fields: int | bool) -> None:
        self._kernel.event("transport", name, peer=self.ident.peer, session=self.ident.number, **fields)


class Transport:
    """One node's sessions."""

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
        self.arrived: dict[int, SessionId] = {}
        """Qubits that came by teleport and are still held here."""
        physical.memory.when_freed(self._freed)
        self._kernel = kernel
        self._physical = physical
        self._network = network
        self._sessions: dict[SessionId, Session] = {}
        self._opening: dict[SessionId, Waiter[Session]] = {}
        self._accepting: dict[int, Mailbox[Session]] = {}
        self._of_purpose: dict[tuple[int, int], SessionId] = {}
        self._requests: dict[SessionId, int] = {}
        self._minimum_fidelity: dict[SessionId, float] = {}
        self.preparations: dict[tuple[SessionId, int], Program] = {}
        """What is to be run before a qubit is measured, by session and index."""
        self._messenger = messenger
        messenger.register(ProtocolId.QTP, self.driver.receive)
        messenger.on_broken(self._peer_lost)

    def listen(self, port: int, service: QtpService) -> None:
        """Accept sessions on this port; :meth:`accept` hands them out."""
        self._accepting[port] = Mailbox(self._kernel)
        self.driver.machine.listen(port, service)

    async def unlisten(self, port: int) -> None:
        """Accept no more of them; those that nobody has fetched are closed."""
        self.driver.machine.unlisten(port)
        waiting = self._accepting.pop(port)
        while len(waiting):
            (await waiting.get()).close()

    async def accept(self, port: int) -> Session:
        """The next session on a port that is listened to."""
        return await self._accepting[port].get()

    async def measured(self, pair: Pair) -> Outcome:
        """Measure this end's half of a pair, and let it go."""
        basis = Basis.X if pair.pair_id & 1 else Basis.Z
        program = Program()
        if basis is Basis.X:
            program.h(pair.qubit)
        (bit,) = await self._physical.run(program.measure(pair.qubit).release(pair.qubit))
        self._physical.memory.void(pair.qubit)
        if pair.head == self._kernel.number:
            bit ^= parity_bit(pair.bell_index, basis)
        return Outcome(pair, basis, bit)

    def _freed(self) -> None:
        """A qubit of the node has become free: was it one that had come by teleport?"""
        gone = [qubit for qubit in self.arrived if not self._physical.memory.is_current(qubit)]
        for qubit in gone:
            self.driver.machine.freed(self.arrived.pop(qubit), self._kernel.now)
        if gone:
            self.driver.flush()

    def run_before(self, program: Program) -> None:
        """Run a program before whatever is asked next of its qubits: the device keeps that order."""
        self._physical.submit(program, lambda _: None)

    def release(self, qubit: int) -> None:
        """Give a communication qubit back."""
        self._physical.memory.release(qubit)

    async def open(self, peer: int, port: int, service: QtpService, minimum_fidelity: float = 0.0) -> Session:
        """A session with ``peer``, for which this end will ask for pairs of at least that fidelity.

        Raises SessionRefused, or SessionClosed if the peer is lost meanwhile.
        """
        if not self._messenger.reaches(peer):
            raise SessionRefused(f"no way to node {peer}")
        ident = self.driver.machine.open(peer, port, service, self._kernel.now)
        waiter: Waiter[Session] = Waiter(self._kernel)
        self._opening[ident] = waiter
        self._minimum_fidelity[ident] = minimum_fidelity
        self._messenger.watch(peer)  # until the session is refused or closed
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
        if (session := self._sessions.get(ident)) is not None:
            session._more_pairs()

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
                self._bell_measurement(event)
            case Opened(session=ident, port=port, opener=opener):
                self._opened(ident, port, opener)
            case Refused(session=ident, reason=reason):
                self._kernel.event("transport", "refused", peer=ident.peer, session=ident.number, reason=reason.name)
                self._minimum_fidelity.pop(ident, None)
                self._messenger.unwatch(ident.peer)
                self._opening.pop(ident).fail(SessionRefused(reason.name))
            case ReleaseQubit(qubit=qubit):
                self._physical.memory.release(qubit)
            case Arrived() | Delivered() | Returned() | Lost() | PairReady() | PairGone() | PeerFinished() | NoteCame():
                self._sessions[event.session]._hear(event)
            case Closed(session=ident):
                self._closed(ident, event)
            case Ignored(message=message):
                self._kernel.count(f"ignored {message}")
            case _:
                raise AssertionError(f"{event} is no event of Qtp")

    def _opened(self, ident: SessionId, port: int, opener: bool) -> None:
        self._kernel.event("transport", "opened", peer=ident.peer, session=ident.number, port=port, opener=opener)
        session = self._sessions[ident] = Session(self, ident, self._kernel)
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
            waiter.fail(SessionClosed(event.reason.name))
        session = self._sessions.pop(ident, None)
        if session is not None:
            session._hear(event)

    def _bell_measurement(self, run: RunBellMeasurement) -> None:
        data, half = run.data_qubit, run.pair_qubit
        self._sessions[run.session]._event("measuring", index=run.index, qubit=half)
        program = self.preparations.pop((run.session, run.index), None) or Program()
        if len(program) + _BELL_MEASUREMENT > MAX_OPS:
            self.run_before(program)
            program = Program()
        measured = program.measured
        program.bell_measure(data, half).release(data).release(half)

        def done(bits: tuple[int, ...]) -> None:
            m1, m2 = bits[measured:]
            self._physical.memory.void(data)
            self._physical.memory.void(half)
            self.driver.machine.measured(run.session, run.index, m1, m2, self._kernel.now)
            self.driver.flush()

        self._physical.submit(program, done)
