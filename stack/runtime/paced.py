"""The host of the ``paced`` clock: wall time, bare frames on UDP, delay and faults added by the receiver's NIC.

What may live here: the pump that waits for sockets and wall time.  Nothing here is reproducible, and nothing here may
be needed by the other clocks.
"""

import errno
import heapq
import json
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import outcome
import trio

from stack.runtime import bus
from stack.runtime.host import Host
from stack.runtime.kernel import ANSWER, FRAME, Kernel, Program
from stack.runtime.session import HungUp
from stack.runtime.times import NEVER
from stack.runtime.virtual import heard

BURST = 64
"""Inputs handled before other tasks of the process get a turn."""


_NO_WAY = frozenset((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.ENOBUFS))
"""What a machine says of a network that is not there any more: a frame is lost there, as it would be further on."""


async def _all_at_rest() -> None:
    """Until no other task can run.  (``trio.testing`` has the like, and takes pytest along: .2 s for every node.)"""
    while True:
        await trio.lowlevel.checkpoint()
        if not trio.lowlevel.current_statistics().tasks_runnable:
            return


def _empty(sock: socket.socket) -> None:
    """What was sent to a node while it was not there is lost.  If it takes seconds to come up, others have said what
    they have to say to it a hundred times by now; to answer each would keep it busy for as long again."""
    sock.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            sock.recv(65535)


async def _hung_up(program: socket.socket) -> bool:
    """Whether it has, as soon as that can be told.  One that already says more is there still."""
    await trio.lowlevel.wait_readable(program)
    try:
        return not program.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return True


class PacedHost(Host):
    """Kernels of one process; what they do happens when the wall says so."""

    follows_the_wall = True
    receiver_emulates = True

    def __init__(
        self, plane: socket.socket, sockets: dict[int, socket.socket], addresses: dict[int, tuple[str, int]]
    ) -> None:
        super().__init__()
        self.trio_clock = None
        self.end = NEVER
        self.late = 0
        self.revive: Callable[[int, int], None] | None = None
        self.doors: dict[int, socket.socket] = {}
        """Listening sockets at which programs attach to nodes."""
        self._bus = plane
        self._sockets = sockets
        self._addresses = addresses
        self._kick = trio.Event()
        self._thawed = trio.Event()
        self._over = False
        self._arrivals = 0
        self._epoch_ns = 0
        self._dilation = 1.0
        self._least = 0

    def wall_ps(self) -> int:
        """True time now; it stands still while a clock that was ahead is waited for."""
        return max(self._least, int((time.monotonic_ns() - self._epoch_ns) * 1000 / self._dilation))

    def push(self, due: int, kernel: Kernel, kind: int, a: int, b: int, c: int, item: object) -> None:
        super().push(due, kernel, kind, a, b, c, item)
        self._kick.set()

    def wake(self, kernel: Kernel, action: Callable[[], None]) -> None:
        super().wake(kernel, action)
        self._kick.set()

    def emit(self, kernel: Kernel, destination: int, due: int, sequence: int, frame: bytes) -> None:
        address = self._addresses.get(destination)
        if address is None:
            return  # nobody is there yet
        try:
            self._sockets[kernel.number].sendto(frame, address)
        except OSError as error:
            if error.errno not in _NO_WAY:
                raise

    def command(self, kernel: Kernel, sequence: int, message: int, body: bytes) -> None:
        self._report([bus.Command(kernel.number, kernel.true_now, sequence, message, body)])

    def program_closed(self, true_ps: int) -> None:
        super().program_closed(true_ps)
        self._report([])

    def program_opened(self) -> None:
        super().program_opened()
        self._report([])

    def owe(self, session: Program) -> None:
        session.kernel.spawn(self._hear, session, name=f"hear-{session.index}")

    async def _hear(self, session: Program) -> None:
        # Half a line must not hold up the node: wall time does not wait for programs.
        while not session.fed():
            await trio.lowlevel.wait_readable(session.sock)
        await self._heeds(session.kernel)
        if session.resting:  # where this is done again, time waits for those that do not rest
            session.resting = 0
            self.input(session.kernel, session.deed("stir"))
        session.hear()

    def rest(self, session: Program) -> None:
        session.resting = 1
        self.owe(session)

    async def _heeds(self, kernel: Kernel) -> None:
        """Until the node is not frozen; then it is now there."""
        while kernel.held is not None:
            await self._thawed.wait()
        kernel.true_now = max(kernel.true_now, self.wall_ps())

    def thaw(self, number: int, true_ps: int) -> None:
        super().thaw(number, true_ps)
        self._thawed.set()
        self._thawed = trio.Event()

    async def _watch(self, session: Program, call: trio.CancelScope) -> None:
        """Give up a call when its program has hung up."""
        if not await _hung_up(session.sock):
            return
        await self._heeds(session.kernel)
        if session.from_outside:
            self.input(session.kernel, session.deed("hangup"))
        call.cancel()

    async def attend[T](self, session: Program, call: Awaitable[T]) -> T:
        """Serve a call until it is done, or the program hangs up: others may wait for what it holds.  Raises HungUp."""
        result: outcome.Outcome[T] | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, session, nursery.cancel_scope)
            try:
                result = outcome.Value(await call)
            except Exception as error:
                result = outcome.Error(error)
            nursery.cancel_scope.cancel()
        if result is None:
            raise HungUp
        return result.unwrap()

    async def reply(self, session: Program, line: bytes) -> None:
        # Wall time does not wait for a program that asks and does not read.
        while line:
            try:
                line = line[session.sock.send(line, socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(session.sock)

    async def _welcome(self, node: int, door: socket.socket) -> None:
        """Programs may attach to a node of a standing testbed at any time: each connection is a session."""
        door.setblocking(False)
        while True:
            await trio.lowlevel.wait_readable(door)
            try:
                connection, _ = door.accept()
            except BlockingIOError:  # it has been closed again
                continue
            connection.setblocking(True)
            kernel = self.kernels[node]
            kernel.true_now = max(kernel.true_now, self.wall_ps())
            label = f"{kernel.name}.{kernel.incarnation}.{kernel.sessions_ever}"
            self.input(kernel, {"do": "attach", "node": kernel.name, "session": label})
            self.attach(node, kernel.true_now, connection, label)

    async def settle(self) -> None:
        """Others' tasks never rest here; those of a dead node can do nothing any more."""
        await trio.lowlevel.checkpoint()

    def _report(self, commands: list[bus.Command], flags: int = 0) -> None:
        report = bus.Report(0, flags, self.open_programs, self.last_closed, 0, [], [], commands)
        with suppress(OSError):  # the plane is gone; whether it has said that this is the end, is still to be read
            for packet in bus.pack_report(report):
                self._bus.send(packet)

    async def pump(self) -> None:
        while self.wakes:
            self.wakes.popleft()[1]()
            await _all_at_rest()
        self._report([])  # booted; the plane starts everybody at one instant
        packet = heard(self._bus)
        self._epoch_ns, self._dilation = bus.unpack_start(packet)
        for node, sock in self._sockets.items():
            if self.kernels[node].true_now:  # it was born while others lived
                _empty(sock)
        nursery = self._nursery
        assert nursery is not None
        nursery.start_soon(self._listen_bus)
        for node, sock in self._sockets.items():
            nursery.start_soon(self._listen, node, sock)
        for node, door in self.doors.items():
            nursery.start_soon(self._welcome, node, door)
        while not self._over:
            self._kick = trio.Event()
            for _ in range(BURST):
                if not self._one():
                    break
            await trio.lowlevel.checkpoint()
            if self.wakes:
                continue
            wait_ps = (self.heap[0][0] if self.heap else NEVER) - self.wall_ps()
            if wait_ps > 0:
                with trio.move_on_after(min(wait_ps * 1e-12 * self._dilation, 3600.0)):
                    await self._kick.wait()

    def _one(self) -> bool:
        """Handle one input that is due, or one wake; False when there is none."""
        if self.wakes:
            kernel, action = self.wakes.popleft()
            if kernel.alive:
                kernel.true_now = max(kernel.true_now, self.wall_ps())
                action()
            return True
        now = self.wall_ps()
        if not self.heap or self.heap[0][0] > now:
            return False
        self._dispatch((now, *heapq.heappop(self.heap)[1:]))
        return True

    async def _listen(self, node: int, sock: socket.socket) -> None:
        sock.setblocking(False)
        while True:
            await trio.lowlevel.wait_readable(sock)
            while True:
                try:
                    frame = sock.recv(65535)
                except BlockingIOError:
                    break
                kernel = self.kernels[node]
                if kernel.alive and kernel.on_arrival is not None:
                    now = self.wall_ps()
                    for delay, copy in kernel.on_arrival(frame):
                        self._arrivals += 1
                        self.push(now + delay, kernel, FRAME, 0, 0, self._arrivals, copy)

    async def _listen_bus(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._bus)
            packet = heard(self._bus)
            if packet[0] == bus.START:  # the clocks of two machines have gone apart
                self._least = self.wall_ps()
                self._epoch_ns, self._dilation = bus.unpack_start(packet)
                continue
            answers: list[bus.Answer] = []
            grant = bus.unpack_grant(packet, answers)
            for answer in answers:
                kernel = self.kernels[answer.node]
                self.push(answer.due, kernel, ANSWER, answer.sequence, 0, 0, (answer.message, answer.body))
            for order in grant.orders if grant is not None else []:
                await self._carry_out(order)
            if grant is not None and grant.flags & bus.LAST:
                self._over = True
                self._kick.set()
                return

    async def _carry_out(self, order: bus.Order) -> None:
        """What befalls a node of this process."""
        now = self.wall_ps()
        if order.kind == bus.PLIGHT:
            self.suffer(order.node, bus.ordered_plight(order))
            self._kick.set()  # timers may be due at other times
            return
        if order.kind == bus.FREEZE:
            self.freeze(order.node)
            return
        if order.kind == bus.THAW:
            self.thaw(order.node, now)
            return
        if order.kind == bus.MOVED:
            host, port = json.loads(order.body)
            self._addresses[order.node] = host, port
            return
        if order.kind == bus.KILL:
            lost = await self.kill(order.node, now)
            self.frames_lost[order.node] = self.frames_lost.get(order.node, 0) + lost
        elif self.revive is not None:
            self.revive(order.node, now)
        self._report([], bus.DONE)
