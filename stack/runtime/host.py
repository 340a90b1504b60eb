"""A host: the kernels of one process and the pump that hands them their inputs in order.

What may live here: the event heap and the loop common to all clocks.  How far the loop may run, where frames and
device commands go, and what happens when nothing is left to do is a subclass's business (``refill``).

Order at one instant, per node: device answers by command, frames by (source, incarnation, sequence), timers by
(time, creation); each drained to quiescence before the next.
"""

import heapq
from collections import deque
from collections.abc import Awaitable, Callable
from socket import socket
from typing import Any

import trio

from stack.config import Plight
from stack.runtime.inputs import InputLog
from stack.runtime.kernel import FRAME, TIMER, Entry, Kernel, Program, Pump, Timer
from stack.runtime.quiescence import QuiescenceClock
from stack.runtime.session import HungUp, ReplayedSession, Session
from stack.runtime.times import NEVER


class Host(Pump):
    """Base of the three clocks' hosts."""

    follows_the_wall = False
    receiver_emulates = False

    def __init__(self) -> None:
        self.clock = QuiescenceClock()
        self.heap: list[Entry] = []
        self.wakes: deque[tuple[Kernel, Callable[[], None]]] = deque()
        self.kernels: dict[int, Kernel] = {}
        self.end = 0
        self.true_now = 0
        self.open_programs = 0
        self.last_closed = 0
        self.frames_lost: dict[int, int] = {}
        self.steps = 0
        self.trio_clock: trio.abc.Clock | None = self.clock
        self.on_plight: Callable[[int, Plight], None] = lambda node, plight: None
        """Called before something comes to pass for a node: its next life is to have it, too."""
        self.input_log: InputLog | None = None
        self._owing: list[Program] = []
        self._attended: dict[Program, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None

    # -- for kernels ----------------------------------------------------------------------------------------------

    def push(self, due: int, kernel: Kernel, kind: int, a: int, b: int, c: int, item: Any) -> None:
        heapq.heappush(self.heap, (due, kernel.number, kind, a, b, c, kernel.incarnation, kernel, item))

    def retime(self, kernel: Kernel) -> None:
        heap = self.heap
        for index, entry in enumerate(heap):
            if entry[7] is kernel and entry[2] == TIMER:
                heap[index] = (kernel.due(entry[3]), *entry[1:])
        heapq.heapify(heap)

    def wake(self, kernel: Kernel, action: Callable[[], None]) -> None:
        self.wakes.append((kernel, action))

    def refill(self) -> bool:
        """Nothing is left before ``end``: get more room, or say False when the run is over."""
        raise NotImplementedError

    def strangers(self, node: int) -> int:
        """Datagrams to this node that came from outside the testbed, where a host can tell (``virtual``)."""
        return 0

    def program_opened(self) -> None:
        self.open_programs += 1

    def program_closed(self, true_ps: int) -> None:
        self.open_programs -= 1
        self.last_closed = max(self.last_closed, true_ps)

    # -- nodes ----------------------------------------------------------------------------------------------------

    def start(self, kernel: Kernel, main: Callable[[], Awaitable[None]], true_ps: int) -> None:
        """Boot a node: its root task runs first thing at ``true_ps``."""
        kernel.true_now = true_ps
        self.kernels[kernel.number] = kernel
        nursery = self._nursery
        if nursery is None:
            raise RuntimeError("the host does not run")
        kernel.wake(lambda: nursery.start_soon(kernel.run, main, name=kernel.name))

    async def kill(self, number: int, true_ps: int) -> int:
        """Cut a node off and drop its tasks; returns how many frames in flight to it are lost with it."""
        kernel = self.kernels[number]
        lost = sum(1 for entry in (*self.heap, *(kernel.held or ())) if entry[7] is kernel and entry[2] == FRAME)
        kernel.alive = False
        kernel.results, kernel.counters, kernel.frames_out = {}, {}, 0  # volatile, as everything of the node
        self._owing = [s for s in self._owing if s.kernel is not kernel]
        for _ in range(kernel.close_programs()):
            self.program_closed(true_ps)
        kernel.scope.cancel()
        await self.settle()
        kernel.recorder.close()
        return lost

    def thinks(self, kernel: Kernel, still: bool, process: int) -> None:
        """Told to nobody, where nobody else waits for this process."""

    async def attend[T](self, session: Program, call: Awaitable[T]) -> T:
        """Where time is virtual, that a program has hung up counts when ``hang_up`` says so: at a time of the run's, as
        any input from outside.  A program of the scenario is no such input (``from_outside``): what it asked runs out,
        or the same run would not leave the same bytes again."""
        with trio.CancelScope() as scope:
            self._attended[session] = scope
            try:
                return await call
            finally:
                del self._attended[session]
        raise HungUp

    async def reply(self, session: Program, line: bytes) -> None:
        """Where time is virtual, a program that does not read keeps the floor, as one that thinks."""
        session.sock.sendall(line)

    def attach(self, number: int, true_ps: int, program: socket | list[tuple[int, str]], label: str) -> None:
        """A program attaches to a node that runs already; or one that has, and is replayed, see ReplayedSession.
        ``label`` is what it is called in the log.  At a node that is frozen it is heard when that is thawed."""
        kernel = self.kernels[number]
        kernel.true_now = max(kernel.true_now, true_ps)
        index = kernel.sessions_ever
        kernel.sessions_ever += 1
        if isinstance(program, list):
            session: Session = ReplayedSession(kernel, index, program, label)
        else:
            session = Session(kernel, index, program, label)
        kernel.sessions.append(session)
        session.open()

    def hang_up(self, number: int, true_ps: int, label: str) -> None:
        """The program of that session has gone in the middle of a call: it is given up, if it may be (``attend``), and
        then the session ends.  A node that is frozen notices when it is thawed; one whose session has ended meanwhile
        has nothing to do."""
        kernel = self.kernels[number]
        for session in [s for s in kernel.sessions if kernel.alive and s.label == label]:
            kernel.true_now = max(kernel.true_now, true_ps)
            session.gone = True
            if kernel.held is None:
                self._let_go(session)

    def rest(self, session: Program) -> None:
        """Where time is virtual, that a program at rest says something counts when ``stir`` says so."""
        session.resting += 1
        if session.resting <= 0:
            self.owe(session)

    def stir(self, number: int, true_ps: int, label: str) -> None:
        """The program of that session, which rests, has said something, or hung up: it has the floor from now on.  A
        node that is frozen hears it when it is thawed."""
        kernel = self.kernels[number]
        for session in [s for s in kernel.sessions if kernel.alive and s.label == label]:
            kernel.true_now = max(kernel.true_now, true_ps)
            session.resting -= 1
            if session.resting == 0:
                self.owe(session)

    def _let_go(self, session: Program) -> None:
        if session in self._attended:
            session.kernel.wake(self._attended[session].cancel)
        elif not session.serving:
            self.owe(session)

    def input(self, kernel: Kernel, what: dict[str, Any]) -> None:
        if self.input_log is not None:
            self.input_log.write(kernel.true_now, what)

    def suffer(self, number: int, plight: Plight) -> None:
        """Something comes to pass for a node."""
        self.on_plight(number, plight)
        kernel = self.kernels[number]
        if not kernel.alive:
            return
        if plight.ways and kernel.on_ways is not None:
            kernel.on_ways(plight.ways)
        for true_ps, ppb in plight.drifts:
            kernel.drift(true_ps, ppb)
        if plight.full is not None:
            kernel.recorder.hold(plight.full)

    def freeze(self, number: int) -> None:
        """Keep a node's inputs from it until it is thawed: whatever is due, and what programs ask."""
        kernel = self.kernels[number]
        if kernel.held is None:
            kernel.held = []

    def thaw(self, number: int, true_ps: int) -> None:
        """It handles now what it has not got meanwhile, in the order in which it would have."""
        kernel = self.kernels[number]
        kernel.true_now = max(kernel.true_now, true_ps)
        held, kernel.held = kernel.held or [], None
        for _, _, kind, a, b, c, _, _, item in held:
            self.push(true_ps, kernel, kind, a, b, c, item)
        for session in [s for s in kernel.sessions if s.gone]:
            self._let_go(session)
        unheard, kernel.unheard = kernel.unheard, []
        for session in unheard:
            self.owe(session)

    async def settle(self) -> None:
        """Until every task has come to rest."""
        await self.clock.idle()

    def next_ps(self) -> int:
        """The earliest input of a living node."""
        heap = self.heap
        while heap and _is_void(heap[0]):
            heapq.heappop(heap)
        return heap[0][0] if heap else NEVER

    def rests(self) -> bool:
        """Whether nothing that it holds is a reason for time to pass."""
        return all(_is_void(entry) or _rests(entry) for entry in self.heap)

    # -- the pump -------------------------------------------------------------------------------------------------

    async def run(self, boot: Callable[[], None]) -> None:
        """Run until ``refill`` says the end; ``boot`` starts the nodes."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            boot()
            await self.pump()
            nursery.cancel_scope.cancel()

    async def pump(self) -> None:
        idle = self.clock.idle
        wakes = self.wakes
        heap = self.heap
        while True:
            while wakes:
                kernel, action = wakes.popleft()
                if kernel.alive:
                    action()
                    await idle()
            if self._owing:
                self._hear_program()
            elif heap and heap[0][0] < self.end:
                self._dispatch(heapq.heappop(heap))
            else:
                if not self.refill():
                    return
                await self.between()

    async def between(self) -> None:
        """Carry out what was planned for the start of this window (deaths and births of nodes)."""

    def _dispatch(self, entry: Entry) -> None:
        due, _, kind, a, _, _, _, kernel, item = entry
        if not kernel.alive or (kind == TIMER and item.callback is None):
            return
        if kernel.held is not None:
            kernel.held.append(entry)
            return
        self.steps += 1
        self.true_now = kernel.true_now = due
        if kind == TIMER:
            timer: Timer = item
            callback, timer.callback = timer.callback, None
            assert callback is not None
            callback()
        elif kind == FRAME:
            kernel.frame(item)
        else:
            kernel.answered(a, *item)

    # -- programs -------------------------------------------------------------------------------------------------

    def owe(self, session: Program) -> None:
        if session.kernel.held is not None:
            session.kernel.unheard.append(session)
            return
        if session in self._owing or not session.ready():
            return
        self._owing.append(session)
        self._owing.sort(key=lambda s: (s.kernel.number, s.index))

    def _hear_program(self) -> None:
        session = self._owing.pop(0)
        session.hear()


def _is_void(entry: Entry) -> bool:
    """Nothing comes of it: its node is dead, or the timer was cancelled."""
    return not entry[7].alive or (entry[2] == TIMER and entry[8].callback is None)


def _rests(entry: Entry) -> bool:
    return entry[2] == TIMER and entry[8].rests is not None and bool(entry[8].rests())
