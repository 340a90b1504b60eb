"""A controller and its QPUs, their frames carried by hand: what runs, dies and lives again on a stage for tests."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from machine_pair import Net, OverReliable

from protocols.job.book import Accepted, Counted, Freed, Over, Placed, Record, Unplaced, Unwanted
from protocols.job.controller import Controller, Qpu
from protocols.job.qpu import QpuLeases
from protocols.job.service import Compile, Ending, Halt, JobChanged, Offered, Order, Part, Start, Unwatch, Watch
from protocols.machine import Machine
from protocols.reliable import Reliable
from protocols.timers import UNTIL_REST, Pauses
from protocols.wire import (
    JobWhy,
)
from protocols.wire.codec import ProtocolId

CTL = 9
DELAY_PS = 1_000
SHOT_PS = 100_000
PAIRS = 2
LOSS_PS = 20_000
Q = QpuLeases
RECORDS = (Accepted, Placed, Counted, Freed, Unplaced, Unwanted, Over)


class Fill:
    """A planner that fills QPUs in order; a circuit is the program of each of them, or nothing: then that says which
    classical bits are its."""

    def unfit(self, order: Order, rooms: Mapping[int, int], apart: Collection[tuple[int, int]]) -> str:
        usable = self._usable(rooms, apart)
        room = sum(usable.values())
        return "" if order.qubits <= room else f"{order.qubits} qubits do not fit into {room}"

    def place(
        self, order: Order, rooms: Mapping[int, int], apart: Collection[tuple[int, int]]
    ) -> dict[int, Part]:
        parts, at = {}, 0
        for node, room in self._usable(rooms, apart).items():
            held = tuple(range(at, min(at + room, order.qubits)))
            if held:
                parts[node] = Part(order.circuit or bytes(held), held)
            at += len(held)
        return parts

    def _usable(self, rooms: Mapping[int, int], apart: Collection[tuple[int, int]]) -> dict[int, int]:
        shunned = {b for _, b in apart}
        return {node: room for node, room in rooms.items() if node not in shunned}


class Lab:
    """A controller with QPUs whose upper layer does a shot in SHOT_PS, with PAIRS, and finds classical bit i to be 1 if
    i is odd."""

    def __init__(self, rooms: Mapping[int, int], pauses: Pauses = UNTIL_REST) -> None:
        self.rooms = dict(rooms)
        self._pauses = pauses
        qpus = {node: Qpu(f"q{node}", room) for node, room in rooms.items()}
        self.ctl = Controller(qpus, Fill(), pauses)
        self._qpus = {node: Q(CTL, room, pauses) for node, room in rooms.items()}
        machines = {node: self._over(node, machine) for node, machine in ((CTL, self.ctl), *self._qpus.items())}
        self.net = Net(machines, DELAY_PS, on_event=self)
        self.compiles = True
        self.refuses: set[int] = set()
        self.in_use: dict[int, int] = {}
        """Room at QPUs of whose qubits programs hold some."""
        self.spoils: set[int] = set()
        self.ends: dict[int, Ending] = {}
        """How a QPU ends its next lease in the middle."""
        self.held: dict[int, int] = {}
        self.clbits: dict[int, tuple[int, ...]] = {}
        self.shortens = False
        """Whether a life's records are retold when it ends."""
        self._retold: list[Record] = []
        self._told = 0
        self.net.trouble = self._carried
        for node in rooms:
            self.qpu(node).come_up()
        self.ctl.come_up(0)

    def qpu(self, node: int) -> QpuLeases:
        return self._qpus[node]

    def _over(self, node: int, machine: Controller | QpuLeases) -> Machine:
        """What carries it."""
        return machine

    def _hears(self, after_ps: int, tell: Callable[[], None]) -> None:
        """Somebody learns of a loss."""
        self.net.at(self.net.now + after_ps, tell)

    def __call__(self, node: int, event: Any, now: int) -> None:
        match event:
            case Compile(job, order, rooms, apart):
                if self.compiles:
                    self.ctl.compiled(job, Fill().place(order, rooms, apart), now)
            case Offered(lease) if node in self.refuses:
                self.qpu(node).ended(lease, Ending(JobWhy.MALFORMED))
            case Offered(lease, _, program) if len(program) > self.in_use.get(node, len(program)):
                self.qpu(node).room(self.in_use[node])
                self.qpu(node).ended(lease, Ending(JobWhy.IN_USE))
            case Offered(lease, _, program):
                self.clbits[node] = tuple(program)[: self.rooms[node]]
                self.qpu(node).accept(lease)
            case Start(lease, shots):
                self.held[node] = lease
                self.net.at(now + SHOT_PS, lambda: self._shot(node, lease, 0, shots, self.qpu(node)))
            case Watch(peer) if isinstance(machine := self.net.machines[node], OverReliable):
                machine.reliable.watch(peer, now)
            case Unwatch(peer) if isinstance(machine := self.net.machines[node], OverReliable):
                machine.reliable.unwatch(peer)
            case Halt(lease):
                self.held.pop(node, None)
                self.qpu(node).ended(lease, Ending(JobWhy.STOPPED))

    def _shot(self, node: int, lease: int, shot: int, shots: int, qpu: QpuLeases) -> None:
        if self.held.get(node) != lease or self.qpu(node) is not qpu:
            return
        clbits = self.clbits[node]
        row = sum((clbit & 1) << place for place, clbit in enumerate(clbits))
        used = PAIRS * (shot + 1), (shot + 1) * SHOT_PS
        qpu.outcome(lease, len(clbits), [row | (shot in self.spoils) << len(clbits)], *used)
        if node in self.ends and shot >= 1:
            self.held.pop(node)
            qpu.ended(lease, self.ends.pop(node))
        elif shot + 1 == shots:
            self.held.pop(node)
            qpu.ended(lease, Ending(JobWhy.DONE, 0, *used))
        else:
            self.net.at(self.net.now + SHOT_PS, lambda: self._shot(node, lease, shot + 1, shots, qpu))

    def _carried(self, source: int, destination: int, message: Any) -> bool:
        """What is sent to a dead node is found to be lost."""
        if destination in self.net.cut and destination != CTL:
            self._hears(LOSS_PS, lambda: self.ctl.peer_lost(destination, self.net.now))
        return False

    def submit(self, qubits: int, shots: int = 3, program: bytes = b"") -> int:
        return self.ctl.submit(Order("a job", qubits, qubits, shots, program), self.net.now)

    def kill(self, node: int) -> None:
        """The node is gone, and all others hear of it."""
        self.net.cut.add(node)
        self.held.pop(node, None)
        self.ctl.peer_lost(node, self.net.now)

    def strike(self, node: int) -> None:
        """The node is gone; who has to do with it finds that out, unless it is back before."""
        if node == CTL:
            self.kill_controller()
            return
        self.net.cut.add(node)
        self.held.pop(node, None)
        self._hears(LOSS_PS, lambda: self.ctl.peer_lost(node, self.net.now) if node in self.net.cut else None)

    def records(self) -> list[Record]:
        """What all lives of the controller have written down, in short as far as it was retold."""
        return self._retold + [event for event in self.net.events[CTL][self._told :] if isinstance(event, RECORDS)]

    def kill_controller(self) -> None:
        self.net.settle()
        self.net.cut.add(CTL)
        if self.shortens:
            self._retold, self._told = list(self.ctl.records()), len(self.net.events[CTL])
        ctl = self.ctl
        for node in self.rooms:
            self._hears(LOSS_PS, lambda node=node: self._orphaned(node, ctl))  # type: ignore[misc]

    def restart_controller(self) -> None:
        """The next life has read what the last has written; its first word to a QPU says that there is a new one."""
        self.net.cut.discard(CTL)
        self.ctl = Controller({node: Qpu(f"q{node}", room) for node, room in self.rooms.items()}, Fill())
        self.net.replace(CTL, self._over(CTL, self.ctl))
        for node in self.rooms:
            self._hears(DELAY_PS, lambda node=node: self._orphaned(node, None))  # type: ignore[misc]
        self.ctl.remember(self.records(), self.net.now)
        self.ctl.come_up(self.net.now)

    def _orphaned(self, node: int, of: Controller | None) -> None:
        if node not in self.net.cut and of in (None, self.ctl):
            self.qpu(node).peer_lost(CTL, self.net.now)

    def restart(self, node: int) -> None:
        self.net.cut.discard(node)
        self.renew(node)
        self._hears(DELAY_PS, lambda: self.ctl.peer_lost(node, self.net.now))
        self.qpu(node).come_up()

    def renew(self, node: int) -> None:
        """A QPU has lost its memory."""
        self._qpus[node] = Q(CTL, self.rooms[node])
        self.net.replace(node, self._over(node, self._qpus[node]))

    def states(self, job: int) -> list[str]:
        return [e.state.name for e in self.net.of(CTL, JobChanged) if e.job == job]


class _Told:
    """A machine that `OverReliable` tells of breaks."""

    def __init__(self, machine: Controller | QpuLeases) -> None:
        self.machine = machine
        self.receive, self.poll, self.next_timeout = machine.receive, machine.poll, machine.next_timeout
        self.broken = machine.peer_lost


class ReliableLab(Lab):
    """The same, and all that they say goes over the reliable sublayer: only that tells of losses."""

    def __init__(self, rooms: Mapping[int, int], pauses: Pauses = UNTIL_REST) -> None:
        self._lives: Counter[int] = Counter()
        super().__init__(rooms, pauses)
        self.net.trouble = None

    def _over(self, node: int, machine: Controller | QpuLeases) -> Machine:
        self._lives[node] += 1
        reliable = Reliable(self._lives[node], 2 * DELAY_PS, pauses=self._pauses)
        if self._lives[node] > 1:
            reliable.announce(self.rooms if node == CTL else [CTL], self.net.now)
        return OverReliable(reliable, {ProtocolId.JOB: _Told(machine)})

    def _hears(self, after_ps: int, tell: Callable[[], None]) -> None:
        pass
