"""The qubits that one attached program holds, and what it has done to them: its operations become device programs.

What may live here: which qubits are whose, the operations that a program may name, and Pauli frames that are due.
A program knows its qubits by numbers that are never used twice, so one that has gone is never another.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from protocols.device import MAX_OPS, Program
from protocols.pairs import Pair
from stack.application.data_qubits import AllHeld, DataQubits
from stack.physical.interface import PhysicalLayer
from stack.runtime.session import CallError

COPY: Final = 0
"""In a block of a remote gate: the copy of the control, which is no qubit of the program's."""

_ONE: Final = frozenset({"x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "init", "measure", "release"})
_TURNED: Final = frozenset({"rx", "ry", "rz"})
_TWO: Final = frozenset({"cx", "cz", "swap"})
_WITH_COPY: Final = frozenset({"cx", "cz", "cp"})
_MOST_OPS: Final = 10_000
_MOST_IN_BLOCK: Final = MAX_OPS - 8


@dataclass(slots=True)
class Held:
    """One qubit of a program's."""

    handle: int
    data: int | None
    """Number of the data qubit; None: a communication qubit."""
    frame: int = 0
    """X^x and then Z^z, as a Bell index, due before anything else is done to it."""
    fresh: bool = False
    """Not prepared yet."""
    pair: Pair | None = None
    """Half of which it is."""
    void: bool = False
    """That pair is a pair no more."""


class Holdings:
    """The qubits of one program, by number."""

    def __init__(self, physical: PhysicalLayer, data: DataQubits) -> None:
        self._physical = physical
        self._data = data
        self._held: dict[int, Held] = {}
        self._last = COPY

    def add(self, held: Held) -> int:
        """Its number from now on."""
        self._last += 1
        self._held[self._last] = held
        return self._last

    def new(self) -> int:
        """A data qubit in |0>.  Raises CallError when none is free."""
        try:
            index = self._data.take()
        except AllHeld as held:
            raise CallError(str(held), "full") from None
        return self.add(Held(self._physical.memory.data(index), index, fresh=True))

    def find(self, number: object, damaged: bool = False) -> Held:
        """Raises CallError for what is no qubit of the program's, and, unless ``damaged`` will do, for half a pair that
        is a pair no more."""
        held = self._held.get(number) if type(number) is int else None
        if held is None:
            raise CallError(f"this program has no qubit {number!r:.40}", "gone")
        if held.void and not damaged:
            raise CallError("it was half of a pair, and is no more: the other half has been lost", "lost")
        return held

    def pop(self, number: int) -> Held:
        return self._held.pop(number)

    def put_back(self, number: int, held: Held) -> None:
        """It has not been touched after all."""
        self._held[number] = held

    def gone(self, held: Held) -> None:
        """The device has released it."""
        if held.data is not None:
            self._data.give_back([held.data])

    def lost(self, pair: Pair) -> None:
        """It is a pair no more; its half may be here still."""
        for held in self._held.values():
            if held.pair == pair:
                held.void = True

    def release_all(self) -> None:
        """The program has ended."""
        for held in self._held.values():
            if held.data is None:
                self._physical.memory.release(held.handle)
            else:
                self._physical.submit(Program().release(held.handle), lambda _: None)
                self._physical.memory.void(held.handle)
            self.gone(held)
        self._held.clear()

    # -- operations ------------------------------------------------------------------------------------------------

    async def run(self, ops: Any) -> list[int]:
        """Do them in order; what was measured.  Raises CallError, and has done nothing then."""
        programs, released = self.programs(ops, may_end=True)
        bits: list[int] = []
        for program in programs:
            bits += await self._physical.run(program)
        for number in released:
            held = self._held.pop(number)
            self._physical.memory.void(held.handle)
            self.gone(held)
        return bits

    def before(self, ops: Any, *touched: int) -> Program:
        """What is to be run before ``touched`` are used otherwise, in one program: more than that is begun at once."""
        programs, _ = self.programs([*_listed(ops), *(["touch", number] for number in touched)])
        for program in programs[:-1]:
            self._physical.submit(program, lambda _: None)
        return programs[-1]

    def programs(self, ops: Any, may_end: bool = False) -> tuple[list[Program], list[int]]:
        """Operations, and what is due before each, as device programs, and the qubits that they release.

        Raises CallError, and changes nothing then.
        """
        listed = _listed(ops)
        released: list[int] = []
        for op in listed:
            name, numbers, _ = _read(op)
            if name in ("measure", "release", "init") and not may_end:
                raise CallError(f"{name} cannot be part of this call")
            for number in numbers:
                self.find(number, damaged=name == "release")
                if number in released:
                    raise CallError("an operation on a qubit that was released before", "gone")
            if name == "release":
                released += numbers
        programs = [Program()]
        for op in listed:
            name, numbers, angle = _read(op)
            held = [self._held[number] for number in numbers]
            for one in held:
                if name in ("release", "init"):
                    one.frame, one.fresh = 0, False
                else:
                    self._due(programs, one)
            if name != "touch":
                _add(programs, name, [one.handle for one in held], angle)
        return programs, released

    @staticmethod
    def _due(programs: list[Program], held: Held) -> None:
        if held.fresh:
            _add(programs, "init", [held.handle])
        for bit, name in ((2, "x"), (1, "z")):
            if held.frame & bit:
                _add(programs, name, [held.handle])
        held.frame, held.fresh = 0, False

    def block(self, ops: Any) -> tuple[list[int], list[tuple[str, list[int], float | None]]]:
        """What a remote gate does with the copy of its control: which qubits, and the operations, COPY being the copy.

        Raises CallError for what does not commute with Z on the copy.
        """
        read = [_read(op) for op in _listed(ops)]
        if not 1 <= len(read) <= _MOST_IN_BLOCK:
            raise CallError(f"a remote gate does 1 to {_MOST_IN_BLOCK} operations with the copy, not {len(read)}")
        touched: list[int] = []
        for name, numbers, _ in read:
            if COPY in numbers and (name not in _WITH_COPY or (name == "cx" and numbers[1] == COPY)):
                raise CallError(f"{name} would disturb the copy: it may control cx, cz and cp")
            if name in ("measure", "release", "init", "touch"):
                raise CallError(f"{name} cannot be part of a remote gate")
            touched += [number for number in numbers if number != COPY and number not in touched]
        for number in touched:
            self.find(number)
        return touched, read

    def add_block(self, program: Program, copy: int, ops: Iterable[tuple[str, list[int], float | None]]) -> None:
        for name, numbers, angle in ops:
            handles = [copy if number == COPY else self._held[number].handle for number in numbers]
            getattr(program, name)(*handles, *(() if angle is None else (angle,)))


def _listed(ops: Any) -> list[Any]:
    if not isinstance(ops, list) or len(ops) > _MOST_OPS:
        raise CallError(f"operations are a list of at most {_MOST_OPS}")
    return ops


def _read(op: Any) -> tuple[str, list[int], float | None]:
    """Name, numbers of qubits, angle in radians if it has one.  Raises CallError."""
    if not isinstance(op, list) or not op or not isinstance(op[0], str):
        raise CallError("an operation is a list: its name, its qubits, its angle")
    name, *rest = op
    angle: float | None = None
    if name in _TURNED or name == "cp":
        last = rest.pop() if rest else None
        if isinstance(last, bool) or not isinstance(last, int | float) or not isfinite(last):
            raise CallError(f"{name} needs an angle, in radians")
        angle = float(last)
    qubits = 1 if name in _ONE or name in _TURNED or name == "touch" else 2 if name in _TWO or name == "cp" else 0
    if not qubits:
        raise CallError(f"there is no operation {name!r:.40}")
    if len(rest) != qubits or len({*map(str, rest)}) != qubits or not all(type(number) is int for number in rest):
        raise CallError(f"{name} needs {qubits} qubit{'s, each another' if qubits > 1 else ''}")
    return name, rest, angle


def _add(programs: list[Program], name: str, handles: Sequence[int], angle: float | None = None) -> None:
    if len(programs[-1]) == MAX_OPS:
        programs.append(Program())
    getattr(programs[-1], name)(*handles, *(() if angle is None else (angle,)))
