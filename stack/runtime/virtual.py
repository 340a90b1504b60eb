"""The host of the ``virtual`` clock: real UDP between processes, time granted in windows by the coordinator.

What may live here: reports, grants, the datagram shim, the count of datagrams that keeps a socket from overflowing,
and the look-out for programs that hang up, or stir.  A host never runs past ``end``; whatever could still reach it
comes at or after ``end``.
"""

import select
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from struct import Struct
from typing import Any

from stack.runtime import bus
from stack.runtime.host import Host
from stack.runtime.kernel import ANSWER, FRAME, Kernel, Program
from stack.runtime.times import LEAST_DELAY

_SO_MEMINFO = 55
_MEMINFO = Struct("=9I")
"""Nine counts of a socket; the last is how many datagrams it has dropped."""

COUNT_PATIENCE_S = 1.5
"""Loopback delivers in ``sendto``; a datagram still missing after this is a broken rule, not a slow machine."""


class CountError(Exception):
    """Datagrams that were sent have not arrived: the emulator broke its own rules (exit code 4)."""


class CoordinatorGone(Exception):
    """The coordinator closed the bus before the end of the run."""


def heard(coordinator: socket.socket) -> bytes:
    """What the coordinator says next.  Raises CoordinatorGone if it says no more, or ConnectionError."""
    try:
        packet = coordinator.recv(bus.PACKET_MAX * 2)
    except ConnectionResetError:  # it has gone without having heard us out; what it had said is still there
        packet = coordinator.recv(bus.PACKET_MAX * 2)
    if not packet:
        raise CoordinatorGone
    return packet


class VirtualHost(Host):
    """Kernels of one process; ``sockets`` are theirs, ``addresses`` are everybody's, ``room`` is how many datagrams
    may go to one destination between two drains of it."""

    def __init__(
        self,
        coordinator: socket.socket,
        sockets: dict[int, socket.socket],
        addresses: dict[int, tuple[str, int]],
        room: int,
    ) -> None:
        super().__init__()
        self.revive: Callable[[int, int], None] | None = None
        self.doors: dict[int, socket.socket] = {}
        """Listening sockets at which programs attach to nodes; one waits there when it is ordered to be let in."""
        self._bus = coordinator
        self._sockets = sockets
        self._addresses = addresses
        self._known = set(addresses.values())
        self._room = room
        self._received = dict.fromkeys(sockets, 0)
        self._strangers = dict.fromkeys(sockets, 0)
        self._outbox: deque[tuple[int, int, bytes]] = deque()
        self._gone: dict[int, int] = {}
        self._earliest: dict[int, int] = {}
        self._commands: list[bus.Command] = []
        self._orders: list[bus.Order] = []
        self._calls = b""
        self._waiting: dict[int, Program] = {}
        """Programs from outside whose calls may take for ever, and those that rest, by their sockets' numbers."""
        self._heard = False
        self._look_out = select.poll()
        self._look_out.register(coordinator, select.POLLIN)
        for sock in sockets.values():
            sock.setblocking(False)

    def emit(self, kernel: Kernel, destination: int, due: int, sequence: int, frame: bytes) -> None:
        here = self.kernels.get(destination)
        if here is not None:
            if here.alive:
                self.push(due, here, FRAME, kernel.number, kernel.incarnation, sequence, frame)
            else:
                self._lost(destination, 1)
            return
        packet = bus.SHIM.pack(due, kernel.number, kernel.incarnation, sequence) + frame
        earliest = self._earliest.get(destination)
        if earliest is None or due < earliest:
            self._earliest[destination] = due
        gone = self._gone.get(destination, 0)
        if gone < self._room and not self._outbox:
            self._sockets[kernel.number].sendto(packet, self._addresses[destination])
            self._gone[destination] = gone + 1
        else:
            self._outbox.append((kernel.number, destination, packet))

    def command(self, kernel: Kernel, sequence: int, message: int, body: bytes) -> None:
        self._commands.append(bus.Command(kernel.number, kernel.true_now, sequence, message, body))
        self.end = min(self.end, kernel.true_now + LEAST_DELAY)

    def thinks(self, kernel: Kernel, still: bool, process: int) -> None:
        self._bus.send(bus.pack_thinks(kernel.number, still, process))

    async def attend[T](self, session: Program, call: Awaitable[T]) -> T:
        if not session.from_outside:
            return await super().attend(session, call)
        number = self._heed(session, 0)  # only what is always told: that nobody is at the other end
        try:
            return await super().attend(session, call)
        finally:
            self._heed_no_more(number)

    def rest(self, session: Program) -> None:
        super().rest(session)
        if not session.from_outside:
            return
        if session.begun():
            self._tell(session)
        else:
            self._heed(session, select.POLLIN)

    def input(self, kernel: Kernel, what: dict[str, Any]) -> None:
        super().input(kernel, what)
        self._heard = True

    def _heed(self, session: Program, what: int) -> int:
        """From now on look out for this from its program; the number of its socket."""
        number = session.sock.fileno()
        self._waiting[number] = session
        self._look_out.register(number, what)
        return number

    def _heed_no_more(self, number: int) -> None:
        if self._waiting.pop(number, None) is not None:
            self._look_out.unregister(number)

    def strangers(self, node: int) -> int:
        """Those that came as far as here, and those that the socket's own filter has dropped."""
        dropped = 0
        with suppress(OSError):
            kept = self._sockets[node].getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
            dropped = _MEMINFO.unpack(kept)[-1]
        return self._strangers[node] + dropped

    def refill(self) -> bool:
        drained = False
        while True:
            grant = self._exchange(self._flush() | (self._knocked() if drained else 0))
            for answer in grant.answers:
                kernel = self.kernels[answer.node]
                self.push(answer.due, kernel, ANSWER, answer.sequence, 0, 0, (answer.message, answer.body))
            for node, expect in grant.expect:
                self._drain(node, expect)
            if grant.flags & bus.LAST:
                return False
            if drained := bool(grant.flags & bus.DRAIN):
                continue
            self.end = grant.end
            self._orders = grant.orders
            return True

    async def between(self) -> None:
        """Carry out what befalls nodes of this process."""
        orders, self._orders = self._orders, []
        for order in orders:
            if order.kind == bus.KILL:
                self._lost(order.node, await self.kill(order.node, order.t))
            elif order.kind == bus.PLIGHT:
                self.suffer(order.node, bus.ordered_plight(order))
            elif order.kind == bus.FREEZE:
                self.freeze(order.node)
            elif order.kind == bus.THAW:
                self.thaw(order.node, order.t)
            elif order.kind == bus.CALLS:
                self._calls += order.body
            elif order.kind == bus.REPLAY:
                self.attach(order.node, order.t, bus.ordered_calls(self._calls), order.body.decode())
                self._calls = b""
            elif order.kind == bus.ATTACH:
                self.attach(order.node, order.t, self.doors[order.node].accept()[0], order.body.decode())
            elif order.kind == bus.HANGUP:
                self.hang_up(order.node, order.t, order.body.decode())
            elif order.kind == bus.STIR:
                self.stir(order.node, order.t, order.body.decode())
            elif self.revive is not None:
                self.revive(order.node, order.t)

    def _lost(self, node: int, count: int) -> None:
        self.frames_lost[node] = self.frames_lost.get(node, 0) + count

    def _flush(self) -> int:
        """Send what the destinations have room for; flags for the report."""
        outbox = self._outbox
        if not outbox:
            return 0
        full: set[int] = set()
        for _ in range(len(outbox)):
            source, destination, packet = outbox.popleft()
            gone = self._gone.get(destination, 0)
            if gone < self._room and destination not in full:
                self._sockets[source].sendto(packet, self._addresses[destination])
                self._gone[destination] = gone + 1
            else:
                full.add(destination)
                outbox.append((source, destination, packet))
        return bus.MORE if outbox else 0

    def _exchange(self, flags: int) -> bus.Grant:
        self._look_round(0)
        flags |= bus.HEARD if self._heard else 0
        self._heard = False
        sent = [bus.Sent(node, self._gone.get(node, 0), due) for node, due in self._earliest.items()]
        taken = sum(kernel.frames_in for kernel in self.kernels.values())
        report = bus.Report(
            self.next_ps(),
            flags | (bus.RESTS if self.doors and self.rests() else 0),
            self.open_programs,
            self.last_closed,
            taken,
            list(self.frames_lost.items()),
            sent,
            self._commands,
            sum(session.resting > 0 for session in self._waiting.values()),
        )
        self._earliest = {} if not flags & bus.MORE else {d: self._earliest[d] for _, d, _ in self._outbox}
        self._gone = {}
        self._commands = []
        try:
            for packet in bus.pack_report(report):
                self._bus.send(packet)
            self._wait_for_grant()
            answers: list[bus.Answer] = []
            while True:
                grant = bus.unpack_grant(heard(self._bus), answers)
                if grant is not None:
                    return grant
        except ConnectionError:
            raise CoordinatorGone from None

    def _wait_for_grant(self) -> None:
        """Until there is one; meanwhile say which programs have hung up, or stirred."""
        while not self._look_round(None):
            pass

    def _look_round(self, patience_ms: int | None) -> bool:
        """Say which programs have hung up, or stirred.  Each is to be heard of once, and then counts when the
        coordinator says so.  None: wait until there is one, or a grant; whether there is nothing to wait for but that.
        """
        if not self._waiting:
            return True
        ready = [number for number, _ in self._look_out.poll(patience_ms)]
        for number in ready:
            if number in self._waiting:
                session = self._waiting[number]
                self._heed_no_more(number)
                self._tell(session)
        return self._bus.fileno() in ready

    def _knocked(self) -> int:
        return bus.KNOCKS if select.select(self.doors.values(), [], [], 0)[0] else 0

    def _tell(self, session: Program) -> None:
        with suppress(OSError):  # the coordinator has ended; its last word is to be heard
            self._bus.send(bus.pack_input(session.deed("stir" if session.resting else "hangup")))

    def _drain(self, node: int, expect: int) -> None:
        """Take in every datagram that was ever sent to ``node``."""
        sock = self._sockets[node]
        kernel = self.kernels[node]
        received = self._received[node]
        while received < expect:
            try:
                packet, sender = sock.recvfrom(65535)
            except BlockingIOError:
                if not select.select([sock], [], [], COUNT_PATIENCE_S)[0]:
                    raise CountError(
                        f"node {kernel.name}: {expect} datagrams were sent to it, {received} arrived"
                    ) from None
                continue
            if sender not in self._known:
                self._strangers[node] += 1  # it has no shim, and was in nobody's count
                continue
            due, source, incarnation, sequence = bus.SHIM.unpack_from(packet)
            if kernel.alive:
                if due < kernel.true_now:
                    raise CountError(f"node {kernel.name}: a datagram due at {due} ps came at {kernel.true_now} ps")
                self.push(due, kernel, FRAME, source, incarnation, sequence, packet[bus.SHIM.size :])
            else:
                self._lost(node, 1)
            received += 1
        self._received[node] = received


__all__ = ["CoordinatorGone", "CountError", "VirtualHost", "heard"]
