"""Programs on the node's qubits, in order: one that touches a qubit in use waits for it, and for nothing else.
A qubit that emits is in use, too.

What may live here: the queue in front of the device bus.  (The device itself refuses a qubit that is busy.)
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from protocols.device import Program
from protocols.wire import DeviceFailed
from stack.physical.devices import DeviceRefused, Devices

Done = Callable[[tuple[int, ...] | DeviceRefused], None]


class _Waiting(NamedTuple):
    program: Program
    qubits: frozenset[int]
    done: Done


class ProgramQueue:
    """Programs of one node.  Qubits are told apart by index: a handle's next generation is the same place."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self._in_use: set[int] = set()
        self._waiting: deque[_Waiting] = deque()

    def submit(self, program: Program, done: Done) -> None:
        """Execute as soon as every qubit of the program is free; ``done`` hears the results, or the refusal."""
        waiting = _Waiting(program, _qubits(program), done)
        if self._waiting or not self._in_use.isdisjoint(waiting.qubits):
            self._waiting.append(waiting)
            self._start_what_can()
        else:
            self._start(waiting)

    def hold(self, qubit: int) -> None:
        """A train has begun with this qubit, which no program uses."""
        self._in_use.add(qubit >> 16)

    def let_go(self, qubit: int) -> None:
        """The train is over."""
        self._in_use.discard(qubit >> 16)
        self._start_what_can()

    def _start(self, waiting: _Waiting) -> None:
        self._in_use |= waiting.qubits
        self._devices.run(waiting.program, lambda answer: self._ended(waiting, answer))

    def _ended(self, waiting: _Waiting, answer: tuple[int, ...] | DeviceFailed) -> None:
        self._in_use -= waiting.qubits
        # Who hears the answer may have what comes next for these qubits; what waits for them already is older.
        self._start_what_can()
        waiting.done(DeviceRefused(answer) if isinstance(answer, DeviceFailed) else answer)

    def _start_what_can(self) -> None:
        """In order of arrival; a program does not overtake one that waits for a qubit of its own."""
        blocked = set(self._in_use)
        still: deque[_Waiting] = deque()
        ready = []
        for waiting in self._waiting:
            if blocked.isdisjoint(waiting.qubits):
                ready.append(waiting)
            else:
                still.append(waiting)
            blocked |= waiting.qubits
        self._waiting = still
        for waiting in ready:
            self._start(waiting)


def _qubits(program: Program) -> frozenset[int]:
    ops = program.ops
    return frozenset([op.qubit >> 16 for op in ops] + [op.other >> 16 for op in ops if op.other])
