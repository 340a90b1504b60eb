"""The ``local`` clock: every node, the plane and the order of time in one process, without sockets.

What may live here: the host that drives plane and nodes directly, under the very rules of the coordinator.
"""

from collections.abc import Callable
from typing import Protocol

from stack.runtime.host import Host
from stack.runtime.kernel import ANSWER, FRAME, Kernel
from stack.runtime.times import NEVER
from testbed.clock.agenda import Agenda, Deed, Ending, Inputs, Planned
from testbed.clock.federate import Federate


class Undertaker(Protocol):
    """Tells the lab's records of a death: node, true time, frames lost in flight."""

    def __call__(self, node: int, t_ps: int, frames_lost: int) -> None: ...


class LocalHost(Host):
    """``revive(node, t_ps)`` boots the next incarnation of a node."""

    def __init__(
        self,
        plane: Federate,
        agenda: Agenda,
        ending: Ending,
        any_programs: bool,
        revive: Callable[[int, int], None],
        buried: Undertaker,
        inputs: Inputs,
    ) -> None:
        super().__init__()
        self.plane = plane
        self.stuck = False
        self._agenda = agenda
        self._ending = ending
        self._any_programs = any_programs
        self._revive = revive
        self._buried = buried
        self._inputs = inputs
        self._dead: set[int] = set()
        self._told_end = NEVER
        self.interrupted = False
        self._deed: Planned | None = None

    def end_soon(self) -> None:
        """The run is to end as soon as it can; may be called from a signal's handler."""
        self.interrupted = True
        self.end = 0

    def emit(self, kernel: Kernel, destination: int, due: int, sequence: int, frame: bytes) -> None:
        there = self.kernels[destination]
        if there.alive:
            self.push(due, there, FRAME, kernel.number, kernel.incarnation, sequence, frame)
        else:
            self.frames_lost[destination] = self.frames_lost.get(destination, 0) + 1

    def command(self, kernel: Kernel, sequence: int, message: int, body: bytes) -> None:
        self.plane.submit(kernel.number, kernel.true_now, sequence, message, body)
        self.end = min(self.end, kernel.true_now + 1)

    def program_closed(self, true_ps: int) -> None:
        super().program_closed(true_ps)
        self.end = min(self.end, self._stop_ps())

    def _stop_ps(self) -> int:
        open_programs = self.open_programs or self._agenda.owed
        return min(self._ending.stop_ps(open_programs, self.last_closed, self._any_programs), self._told_end)

    def refill(self) -> bool:
        plane = self.plane
        while True:
            nodes = self.next_ps()
            devices = plane.next_ps()
            first = min(nodes, devices)
            planned = self._agenda.next_ps()
            if self.interrupted:
                self._told_end = min(self._told_end, first, planned)
            stop = self._stop_ps()
            if min(first, planned) >= stop or first == planned == NEVER:
                self.true_now = min(stop, max(self.true_now, self.last_closed)) if stop == NEVER else stop
                self.stuck = self.open_programs > 0 and stop == NEVER
                return False
            if planned <= first:
                self._deed = self._agenda.pop()
                self.end = 0
                return True
            if devices < nodes:
                plane.step()
                for answer in plane.take_answers():
                    kernel = self.kernels[answer.node]
                    self.push(answer.due_ps, kernel, ANSWER, answer.sequence, 0, 0, (answer.message, answer.body))
                continue
            self.end = min(devices, planned - 1, stop - 1) + 1
            return True

    async def between(self) -> None:
        deed, self._deed = self._deed, None
        if deed is None:
            return
        t_ps, node, kind, about, _ = deed
        alive = node not in self._dead
        if kind in (Deed.KILL, Deed.RESTART) and about is not None and alive == (kind is Deed.RESTART):
            return  # from outside, and too late
        match kind:
            case Deed.KILL:
                lost = await self.kill(node, t_ps)
                self._dead.add(node)
                self.plane.reset_node(node, t_ps)
                self.frames_lost[node] = self.frames_lost.get(node, 0) + lost
                self._buried(node, t_ps, lost)
            case Deed.RESTART:
                self._dead.discard(node)
                self._revive(node, t_ps)
            case Deed.FREEZE if alive and self.kernels[node].held is None:
                self._inputs.turned(t_ps, node, True)
                self.freeze(node)
            case Deed.THAW if alive and self.kernels[node].held is not None:
                self._inputs.turned(t_ps, node, False)
                self.thaw(node, t_ps)
            case Deed.ATTACH if alive:
                assert about is not None
                self.attach(node, t_ps, list(about["calls"]), about["session"])
            case Deed.HANGUP if alive:
                assert about is not None
                self.hang_up(node, t_ps, about["session"])
            case Deed.STIR if alive:
                assert about is not None
                self.stir(node, t_ps, about["session"])
            case Deed.FAULT | Deed.HEAL:
                done = self._inputs.befall(deed)
                self.plane.disturb(t_ps, done.upset)
                for sufferer, plight in done.plights.items():
                    self.suffer(sufferer, plight)
                if done.next is not None:
                    self._agenda.follow(done.next)
            case Deed.END:
                self._told_end = t_ps
