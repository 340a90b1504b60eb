"""The kernel of one node: its time, its timers, its waits, its tasks, and where its inputs are handed in.

What may live here: what every layer of a node leans on, whatever clock the testbed runs.  A kernel belongs to a
``Host`` (one per process), which owns the event heap and decides when things happen; node code never sees the host.

Determinism rests on two rules kept here: work that must happen later is a *timer* or a *wake* in the host's own
order, and trio is handed one wake at a time, so its order of runnable tasks has nothing to decide.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from socket import socket
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import outcome
import trio

from stack.runtime.clock import NodeClock, true_clock
from stack.runtime.times import NEVER

if TYPE_CHECKING:
    from stack.config import Path
    from stack.record import NullRecorder, Recorder

ANSWER: Final = 0
FRAME: Final = 1
TIMER: Final = 2
"""Classes of input, in the order in which a node handles them at one instant."""


type Entry = tuple[int, int, int, int, int, int, int, Kernel, Any]
"""(due true ps, node, class, three keys of the class, incarnation, kernel, input)."""


class Timer:
    """A callback at a node time; ``cancel`` is cheap and idempotent."""

    __slots__ = ("callback", "rests", "when")

    def __init__(self, when: int, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback
        self.rests: Callable[[], bool] | None = None
        """Whether what is due then is no reason for time to pass, where that stands still without one."""

    def cancel(self) -> None:
        self.callback = None


class Waiter[T]:
    """One value that one task waits for; set by synchronous code, at most once."""

    __slots__ = ("_kernel", "_outcome", "_task")

    def __init__(self, kernel: "Kernel") -> None:
        self._kernel = kernel
        self._task: trio.lowlevel.Task | None = None
        self._outcome: outcome.Outcome[T] | None = None

    def set(self, value: T) -> None:
        self._finish(outcome.Value(value))

    def fail(self, error: BaseException) -> None:
        self._finish(outcome.Error(error))

    def _finish(self, result: "outcome.Outcome[T]") -> None:
        if self._outcome is not None:
            raise RuntimeError("a waiter was set twice")
        self._outcome = result
        if self._task is not None:
            self._kernel.wake(self._resume)

    def _resume(self) -> None:
        task, self._task = self._task, None
        if task is not None and self._outcome is not None:
            trio.lowlevel.reschedule(task, self._outcome)

    def set_to(self) -> T | None:
        """What has been set; None if nothing has, or an error: for who tidies up after a task that was cancelled."""
        return self._outcome.value if isinstance(self._outcome, outcome.Value) else None

    @property
    def failed(self) -> bool:
        """Whether an error has been set."""
        return isinstance(self._outcome, outcome.Error)

    async def wait(self) -> T:
        if self._outcome is not None:
            return self._outcome.unwrap()
        if self._task is not None:
            raise RuntimeError("a waiter serves one task")
        self._task = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        result: T = await trio.lowlevel.wait_task_rescheduled(abort)
        return result


class Mailbox[T]:
    """An unbounded queue from synchronous code to one task.  What comes for a task that is cancelled stays in it."""

    __slots__ = ("_items", "_kernel", "_waiter")

    def __init__(self, kernel: "Kernel") -> None:
        self._kernel = kernel
        self._items: deque[T] = deque()
        self._waiter: Waiter[T] | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.set(item)
        else:
            self._items.append(item)

    def fail(self, error: BaseException) -> None:
        """Whoever waits for an item gets this instead."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.fail(error)

    def take(self) -> T:
        """The oldest item; raises IndexError if there is none."""
        return self._items.popleft()

    async def get(self) -> T:
        if self._items:
            return self._items.popleft()
        if self._waiter is not None:
            raise RuntimeError("a mailbox serves one task")
        waiter = self._waiter = Waiter(self._kernel)
        try:
            return await waiter.wait()
        except trio.Cancelled:
            if self._waiter is waiter:
                self._waiter = None
            else:
                self._items.appendleft(cast("T", waiter.set_to()))
            raise


class Holder(Protocol):
    """What a layer keeps for one program."""

    calls: dict[str, Callable[..., Awaitable[Any]]]
    """Of this program only."""
    waits: frozenset[str]
    """Those that may take long, and are given up when the program goes away meanwhile: cancelled, wherever they are."""

    def ended(self) -> None:
        """The program has gone."""


class Program(Protocol):
    """A program that is attached to a node."""

    sock: socket
    kernel: "Kernel"
    index: int
    label: str
    """What it is called in the log of a run's inputs; nothing, if it was there when the node booted."""
    from_outside: bool
    """Whether what it does is an input to the run, which is written down as it counts."""
    gone: bool
    """It has hung up: whatever else it has asked, its turn is its end."""
    serving: bool
    """A call of it is being served."""
    resting: int
    """How often it has been let rest, less how often it has stirred: it rests at 1.  Below 0 it has stirred before, as
    happens where it is replayed in another time than its own."""

    def open(self) -> None:
        """It has the floor."""

    def deed(self, do: str, **more: str) -> dict[str, Any]:
        """What it does, as it is written down among the inputs of a run."""

    def ready(self) -> bool:
        """Whether it is to be heard now, as every program is that has the floor."""

    def fed(self) -> bool:
        """Take what has arrived, without waiting; whether ``hear`` would find a whole call, or the end."""

    def begun(self) -> bool:
        """Take what has arrived, without waiting; whether it is anything, be it the end."""

    def hear(self) -> None:
        """Read its next call (blocking) and start serving it; end of file closes the session."""


class Pump(Protocol):
    """What nodes and their programs ask of the host that runs them."""

    follows_the_wall: bool
    """Whether time passes while a node works (``paced``)."""
    receiver_emulates: bool
    """Whether delay and faults are added by the receiver's NIC (``paced``) instead of the sender's."""

    def push(self, due: int, kernel: "Kernel", kind: int, a: int, b: int, c: int, item: Any) -> None:
        """Hand the node this input at the true instant ``due``."""

    def retime(self, kernel: "Kernel") -> None:
        """The clock of ``kernel``'s node has been steered: its timers are due at other true instants."""

    def wake(self, kernel: "Kernel", action: Callable[[], None]) -> None:
        """Have ``action`` make one task of the node runnable, when it is its turn."""

    def emit(self, kernel: "Kernel", destination: int, due: int, sequence: int, frame: bytes) -> None:
        """Carry one datagram that leaves ``kernel``'s node now and reaches ``destination`` at ``due``."""

    def command(self, kernel: "Kernel", sequence: int, message: int, body: bytes) -> None:
        """Carry one device command, stamped now, to the quantum plane."""

    def program_opened(self) -> None:
        """The run does not end before this program does."""

    def program_closed(self, true_ps: int) -> None:
        """One that was open has ended."""

    def owe(self, session: Program) -> None:
        """The program of ``session`` has the floor: time stands still until its next call."""

    def rest(self, session: Program) -> None:
        """The program of ``session`` does not have the floor: time goes on until, and after, it says something."""

    def thinks(self, kernel: "Kernel", still: bool, process: int) -> None:
        """A program of this node has had the floor for long (0: the process is not known), or has gone on."""

    async def attend[T](self, session: Program, call: Awaitable[T]) -> T:
        """Serve a call that may take for ever, until it is done or its program hangs up.  Raises HungUp."""

    async def reply(self, session: Program, line: bytes) -> None:
        """Send a program what it is to know.  Raises OSError."""

    def input(self, kernel: "Kernel", what: dict[str, Any]) -> None:
        """Something has come to a node from outside."""


class Kernel:
    """What the layers of one node share.  All times are node time in picoseconds unless the name says ``true``."""

    def __init__(
        self,
        host: Pump,
        number: int,
        name: str,
        incarnation: int,
        recorder: "Recorder | NullRecorder",
        clock: NodeClock | None = None,
    ) -> None:
        self.host = host
        self.number = number
        self.name = name
        self.incarnation = incarnation
        self.recorder = recorder
        self._clock = clock
        self.alive = True
        self.true_now = 0
        self.frames_in = 0
        self.frames_out = 0
        self.counters: dict[str, int] = {}
        self.results: dict[str, Any] = {}
        self.calls: dict[str, Callable[..., Awaitable[Any]]] = {}
        self.waits: set[str] = set()
        """Those of these calls that may take long, and are given up when their program goes away meanwhile."""
        self.for_programs: list[Callable[[], Holder]] = []
        """What makes, for each program that attaches, what layers keep for it."""
        self.scope = trio.CancelScope()
        self.on_frame: Callable[[bytes], None] | None = None
        self.on_ways: Callable[[dict[int, Path]], None] | None = None
        self.on_arrival: Callable[[bytes], list[tuple[int, bytes]]] | None = None
        self.sessions: list[Program] = []
        self.sessions_ever = 0
        self._programs = 0
        self.held: list[Entry] | None = None
        """While the node is frozen: inputs that have become due, kept for then."""
        self.unheard: list[Program] = []
        """While the node is frozen: programs that have the floor; time passes, and they are heard then."""
        self._created = 0
        self._commands = 0
        self._awaited: dict[int, Callable[[int, bytes], None]] = {}
        self._nursery: trio.Nursery | None = None

    # -- time ---------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Node time."""
        return self.true_now if self._clock is None else self._clock.node_time(self.true_now)

    @property
    def findings(self) -> dict[str, Any]:
        """What the node leaves at the end: the results of its programs and layers, and how many frames it has sent."""
        return {**self.results, "frames_sent": self.frames_out} if self.frames_out else self.results

    def node_time(self, true_ps: int) -> int:
        """What this node's clock shows at a true instant: for the lab's facts, which are in true time."""
        return true_ps if self._clock is None else self._clock.node_time(true_ps)

    def steer(self, step_ps: int, rate: int) -> None:
        """Set the clock and its rate, see ``NodeClock.steer``; timers move with it.  Raises LookupError for a clock
        that is true by definition."""
        if self._clock is None:
            raise LookupError(f"node {self.name} has no clock to steer")
        self._clock.steer(self.true_now, step_ps, rate)
        self.host.retime(self)

    def drift(self, true_ps: int, ppb: int) -> None:
        """The node's oscillator is off by ``ppb`` from now on; timers move with it."""
        if self._clock is None:
            self._clock = true_clock()
        self._clock.bend(true_ps, ppb)
        self.host.retime(self)

    def at(self, when: int, callback: Callable[[], None]) -> Timer:
        """Call back at node time ``when``, or now (after what is already due) if that is past.

        A peer's message may ask for a time beyond all times: that is never.
        """
        timer = Timer(when, callback)
        self._created += 1
        self.host.push(self.due(when), self, TIMER, when, self._created, 0, timer)
        return timer

    def due(self, when: int) -> int:
        """The true instant of a timer for node time ``when``."""
        true = when if self._clock is None else self._clock.true_time(when)
        return min(max(true, self.true_now), NEVER)

    def after(self, delay_ps: int, callback: Callable[[], None]) -> Timer:
        return self.at(self.now + delay_ps, callback)

    async def sleep(self, delay_ps: int) -> None:
        await self.sleep_until(self.now + delay_ps)

    async def sleep_until(self, when: int) -> None:
        waiter: Waiter[None] = Waiter(self)
        timer = self.at(when, lambda: waiter.set(None))
        try:
            await waiter.wait()
        finally:
            timer.cancel()

    # -- tasks --------------------------------------------------------------------------------------------------

    def wake(self, action: Callable[[], None]) -> None:
        """Have ``action`` make one task runnable, when it is its turn."""
        self.host.wake(self, action)

    def spawn(self, main: Callable[..., Awaitable[Any]], *args: Any, name: str | None = None) -> None:
        """Start a task of this node, when it is its turn."""
        label = name if name is not None else str(getattr(main, "__qualname__", main))
        self.wake(lambda: self._start(main, args, label))

    def _start(self, main: Callable[..., Awaitable[Any]], args: tuple[Any, ...], label: str) -> None:
        if self._nursery is None:
            raise RuntimeError(f"node {self.name} is not running")
        self._nursery.start_soon(main, *args, name=f"{self.name}/{label}")

    async def run(self, main: Callable[[], Awaitable[None]]) -> None:
        """The root task of the node; returns when it is killed or cancelled."""
        with self.scope:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                await main()
                await trio.sleep_forever()

    # -- device bus ---------------------------------------------------------------------------------------------

    def command(self, message: int, body: bytes, answer: Callable[[int, bytes], None]) -> int:
        """Give a command to the node's own devices; ``answer(message, body)`` is called when it is due."""
        self._commands += 1
        sequence = self._commands
        self._awaited[sequence] = answer
        if self.alive:
            self.host.command(self, sequence, message, body)
        return sequence

    def answered(self, sequence: int, message: int, body: bytes) -> None:
        callback = self._awaited.pop(sequence, None)
        if callback is None:
            raise RuntimeError(f"node {self.name}: an answer to no command ({sequence})")
        callback(message, body)

    def frame(self, datagram: bytes) -> None:
        """A datagram has reached the node's NIC."""
        self.frames_in += 1
        if self.on_frame is not None:
            self.on_frame(datagram)

    # -- programs -----------------------------------------------------------------------------------------------

    def program_opened(self) -> None:
        """A program runs; the run does not end before it does."""
        self._programs += 1
        self.host.program_opened()

    def program_closed(self) -> None:
        if self.alive:
            self._programs -= 1
            self.host.program_closed(self.true_now)

    def close_programs(self) -> int:
        """The node dies: its sessions end; how many programs were open."""
        for session in self.sessions:
            session.sock.close()
        programs, self._programs = self._programs, 0
        return programs

    # -- facts --------------------------------------------------------------------------------------------------

    def count(self, what: str, n: int = 1) -> None:
        self.counters[what] = self.counters.get(what, 0) + n

    def event(self, layer: str, name: str, **fields: int | str | bool) -> None:
        """One line of ``events.jsonl``."""
        if self.alive:
            self.recorder.event(self.true_now, layer, name, **fields)
