"""One end of a session, as its user has it.

What may live here: what the user asks of the session, and what waits until the user takes it.
"""

from collections.abc import Callable
from typing import Any

from protocols.device import Program
from protocols.pairs import Pair
from protocols.qtp.node import Qtp
from protocols.qtp.service import (
    Arrived,
    Closed,
    CloseReason,
    Delivered,
    Lost,
    NoteCame,
    PairGone,
    PairReady,
    PeerFinished,
    Returned,
    SessionGone,
    SessionId,
)
from protocols.wire import QtpService
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel, Mailbox, Waiter
from stack.transport.interface import Incoming, Outcome, SessionClosed
from stack.transport.qubits import SessionQubits


class QtpSession:
    """Made by ``Transport.open`` and ``Transport.accept``.  Implements ``Session``."""

    def __init__(
        self, ident: SessionId, service: QtpService, kernel: Kernel, driver: Driver[Qtp], qubits: SessionQubits
    ) -> None:
        self.ident = ident
        self.service = service
        self.closed: CloseReason | None = None
        self.on_pair_gone: Callable[[Pair], None] = lambda pair: None
        self.on_closed: Callable[[], None] = lambda: None
        self.lost = 0
        self.peer_finished = False
        self._kernel = kernel
        self._driver = driver
        self._qubits = qubits
        self._arrivals: Mailbox[Incoming | None] = Mailbox(kernel)
        self._sent: dict[int, Waiter[bool]] = {}
        self._filling: tuple[int, Waiter[None]] | None = None
        self._pairs: Mailbox[Pair | None] = Mailbox(kernel)
        self._notes: Mailbox[bytes | None] = Mailbox(kernel)
        self._not_handed_up: set[Pair] = set()
        self._abandoned = False

    # Qubits.

    async def teleport(self, qubit: int, preparation: Program | None = None, frame: int = 0) -> bool:
        return await self.send(qubit, preparation, frame).wait()

    def send(self, qubit: int, preparation: Program | None = None, frame: int = 0) -> Waiter[bool]:
        waiter: Waiter[bool] = Waiter(self._kernel)
        machine = self._driver.machine
        together = machine.ready(self.ident) > 0
        try:
            index = machine.teleport(self.ident, qubit, self._kernel.now, frame)
        except SessionGone:
            raise self._gone() from None
        self._sent[index] = waiter
        if preparation is not None:
            if together:
                self._qubits.preparations[self.ident, index] = preparation
            else:
                self._qubits.run_before(preparation)
        self._driver.flush()
        return waiter

    def reserve(self, ahead: int) -> None:
        self._ask(self._driver.machine.reserve, ahead)

    async def filled(self, pairs: int) -> None:
        if self.closed is None and self._driver.machine.ready(self.ident) < pairs:
            self._filling = (pairs, Waiter(self._kernel))
            await self._filling[1].wait()

    def more_pairs(self) -> None:
        """Who waits until pairs are ready may have enough of them."""
        filling = self._filling
        if filling is not None and (self.closed is not None or self._driver.machine.ready(self.ident) >= filling[0]):
            self._filling = None
            filling[1].set(None)

    async def receive(self) -> Incoming:
        over = self._ended(self._arrivals) or (self.peer_finished and not len(self._arrivals))
        incoming = None if over else await self._arrivals.get()
        if incoming is None:
            raise self._gone()
        return incoming

    # Pairs.

    def ask_pairs(self, number: int) -> None:
        self._ask(self._driver.machine.ask_pairs, number)

    def stream(self, pairs_per_s: float) -> None:
        self._ask(self._driver.machine.stream, round(1e12 / pairs_per_s) if pairs_per_s else 0)

    async def pair(self) -> Pair:
        while True:
            pair = None if self._ended(self._pairs) else await self._pairs.get()
            if pair is None:
                raise self._gone()
            if pair in self._not_handed_up:  # else it has gone meanwhile
                self._not_handed_up.remove(pair)
                return pair

    async def outcome(self) -> Outcome:
        return await self._qubits.measured(await self.pair())

    # Notes.

    def note(self, text: bytes) -> None:
        self._ask(self._driver.machine.note, text)

    async def heard(self) -> bytes:
        text = None if self._ended(self._notes) else await self._notes.get()
        if text is None:
            raise self._gone()
        return text

    # The end.

    def finish(self) -> None:
        self._ask(self._driver.machine.finish)

    def close(self, give_back: bool = False) -> None:
        self._ask(lambda ident, now: self._driver.machine.close(ident, now, give_back))

    def reset(self) -> None:
        self._ask(self._driver.machine.reset)

    def abandon(self) -> None:
        self._abandoned = True
        for mailbox in (self._arrivals, self._pairs):
            while len(mailbox):
                item = mailbox.take()
                if item is not None and (isinstance(item, Incoming) or item in self._not_handed_up):
                    self._qubits.release(item.qubit)
        self._not_handed_up.clear()

    def _ask(self, act: Callable[..., None], *what: Any) -> None:
        """Of the machine; raises SessionClosed."""
        try:
            act(self.ident, *what, self._kernel.now)
        except SessionGone:
            raise self._gone() from None
        self._driver.flush()

    def _gone(self) -> SessionClosed:
        still = "the peer has finished" if self.peer_finished else "closing"
        reason = still if self.closed is None else self.closed.name
        return SessionClosed(self.ident.peer, reason)

    def _ended(self, mailbox: Mailbox[Any]) -> bool:
        return self.closed is not None and not len(mailbox)

    # What the machine says.

    def hear(self, event: Any) -> None:
        match event:
            case Arrived(index=index, qubit=qubit, x=x, z=z):
                self.report("arrived", index=index, qubit=qubit, x=x, z=z)
                self._qubits.arrived[qubit] = self.ident
                if self._abandoned:
                    self._qubits.release(qubit)
                    return
                self._arrivals.put(Incoming(index, qubit, x, z))
            case Delivered(index=index):
                self.report("delivered", index=index)
                self._sent.pop(index).set(True)
            case Returned(index=index, qubit=qubit):
                self._qubits.returned(self.ident, index)
                self.report("returned", index=index, qubit=qubit)
                self._sent.pop(index).fail(self._gone())
            case Lost(index=index, incoming=incoming):
                self.report("lost", index=index, incoming=incoming)
                self.lost += 1
                if not incoming:
                    self._sent.pop(index).set(False)
            case PeerFinished():
                self.peer_finished = True
                self._arrivals.put(None)
            case NoteCame(text=text):
                self._notes.put(text)
            case PairReady(pair=pair) if self._abandoned:
                self._qubits.release(pair.qubit)
            case PairReady(pair=pair):
                self._not_handed_up.add(pair)
                self._pairs.put(pair)
            case PairGone(pair=pair):
                if pair in self._not_handed_up:
                    self._not_handed_up.remove(pair)
                    self._qubits.release(pair.qubit)
                else:
                    self.on_pair_gone(pair)
            case Closed(reason=reason):
                self.closed = reason
                self.more_pairs()
                self._arrivals.put(None)
                self._pairs.put(None)
                self._notes.put(None)
                self.on_closed()

    def report(self, name: str, **fields: int | bool) -> None:
        """An event of this session."""
        self._kernel.event("transport", name, peer=self.ident.peer, session=self.ident.number, **fields)
