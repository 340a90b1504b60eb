"""Device programs as both ends of the device bus understand them: qubit handles, durations, timing, and a
builder.

What may live here: rules that a node and its devices must agree on (ids DEV-n, see device.toml). The layouts
stand in the codec; what the operations do to a state is the quantum plane's business.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi
from typing import Final, NamedTuple, Self

from protocols.wire.codec import DeviceError, DeviceOp, DeviceOpcode, DeviceOutcome, DeviceProgram

MAX_OPS: Final = 64
"""Operations in one program."""

MAX_CONDITION_BITS: Final = 32
"""Only so many results of a program can decide about later operations: the width of the mask."""

LEAST_ANSWER_PS: Final = 1_000
"""No answer comes earlier than this after its command (DEV-5)."""

_TURN: Final = 1 << 32
_INDEX_MAX: Final = 0xFFFF


# ---------------------------------------------------------------- handles


class Handle(NamedTuple):
    """What a handle says: which qubit of the node, and under which generation."""

    qubit: int
    generation: int


FIRST_GENERATION: Final = 1


LIFE_GENERATIONS: Final = 4_096
"""Generations between the beginnings of two lives of a node."""


def first_generation(incarnation: int) -> int:
    """The generation of every qubit when a node is born: the node and its devices agree on it without a word (DEV-2).

    A restarted node has forgotten how often it released what, and its devices have dropped all that it had asked for.
    """
    return (incarnation - 1) * LIFE_GENERATIONS % _INDEX_MAX + 1


def pack_handle(index: int, generation: int = FIRST_GENERATION) -> int:
    """The u32 of the bus (DEV-1); raises ValueError for what does not fit."""
    if not 0 <= index <= _INDEX_MAX or not 1 <= generation <= _INDEX_MAX:
        raise ValueError(f"no handle has index {index} and generation {generation}")
    return index << 16 | generation


def unpack_handle(handle: int) -> Handle:
    return Handle(handle >> 16, handle & _INDEX_MAX)


def next_generation(generation: int) -> int:
    """The generation after a release; 0 is skipped, so that no handle of a live qubit ends in zeros
    (DEV-2).
    """
    return generation % _INDEX_MAX + 1


def released(handle: int) -> int:
    """The handle under which a qubit is known after this one has been released."""
    index, generation = unpack_handle(handle)
    return pack_handle(index, next_generation(generation))


# ---------------------------------------------------------------- operations and their time

ONE_QUBIT: Final = frozenset(
    {
        DeviceOpcode.X,
        DeviceOpcode.Y,
        DeviceOpcode.Z,
        DeviceOpcode.H,
        DeviceOpcode.S,
        DeviceOpcode.SDG,
        DeviceOpcode.T,
        DeviceOpcode.TDG,
        DeviceOpcode.SX,
        DeviceOpcode.RX,
        DeviceOpcode.RY,
        DeviceOpcode.RZ,
    }
)
TWO_QUBIT: Final = frozenset({DeviceOpcode.CX, DeviceOpcode.CZ, DeviceOpcode.SWAP, DeviceOpcode.CP})


@dataclass(frozen=True, slots=True)
class Durations:
    """How long a device's operations take, in picoseconds, and whether those on different qubits may
    overlap.
    """

    init_ps: int = 0
    one_qubit_ps: int = 0
    two_qubit_ps: int = 0
    swap_ps: int = 0
    """A SWAP, which is also how a half moves between communication and data qubits."""
    measure_ps: int = 0
    parallel: bool = False

    def __post_init__(self) -> None:
        for name in ("init_ps", "one_qubit_ps", "two_qubit_ps", "swap_ps", "measure_ps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is negative")

    def of(self, op: DeviceOp) -> int:
        """Picoseconds that one operation takes. A release takes none."""
        opcode = op.opcode
        if opcode in ONE_QUBIT:
            return self.one_qubit_ps
        if opcode == DeviceOpcode.SWAP:
            return self.swap_ps
        if opcode in TWO_QUBIT:
            return self.two_qubit_ps
        if opcode == DeviceOpcode.MEASURE:
            return self.measure_ps
        if opcode == DeviceOpcode.INIT:
            return self.init_ps
        if opcode == DeviceOpcode.IDLE:
            return op.angle * 1_000
        return 0


def schedule(ops: Sequence[DeviceOp], durations: Durations) -> tuple[list[int], int]:
    """When each operation starts, in picoseconds after the program, and how long the program takes (DEV-4).

    A sequential device does one after the other. A parallel one starts each as soon as its qubits are free
    and the results that its condition looks at are known. An operation whose condition turns out false takes
    its time all the same: the duration of a program is known before it runs, and that is what lets the clock
    look ahead.
    """
    starts: list[int] = []
    if not durations.parallel:
        now = 0
        for op in ops:
            starts.append(now)
            now += durations.of(op)
        return starts, now
    free: dict[int, int] = {}
    known: list[int] = []
    total = 0
    for op in ops:
        start = free.get(op.qubit, 0)
        two = op.opcode in TWO_QUBIT
        if two:
            start = max(start, free.get(op.other, 0))
        if op.condition:
            start = max([start, *(t for bit, t in enumerate(known) if op.condition >> bit & 1)])
        end = start + durations.of(op)
        starts.append(start)
        free[op.qubit] = end
        if two:
            free[op.other] = end
        if op.opcode == DeviceOpcode.MEASURE:
            known.append(end)
        total = max(total, end)
    return starts, total


def answer_delay(total_ps: int) -> int:
    """Time from a program to its answer (DEV-5)."""
    return max(total_ps, LEAST_ANSWER_PS)


def holds(op: DeviceOp, results: int) -> bool:
    """Whether an operation runs, given the results so far as a mask (bit i = i-th measurement; DEV-6)."""
    return not op.condition or (op.condition & results).bit_count() & 1 == op.expect


def _senseless(op: DeviceOp) -> bool:
    """An operation that makes no sense whatever has been measured before (DEV-7)."""
    if op.flags:
        return True
    if op.opcode in TWO_QUBIT:
        return op.qubit >> 16 == op.other >> 16
    return op.opcode == DeviceOpcode.IDLE and op.angle < 0


def fault(ops: Sequence[DeviceOp]) -> int | None:
    """Index of the first operation that makes no sense whatever the state of the device is (DEV-7), or
    None.
    """
    measured = 0
    for index, op in enumerate(ops):
        if _senseless(op) or op.condition >> measured:
            return index
        if op.opcode == DeviceOpcode.MEASURE and measured < MAX_CONDITION_BITS:
            measured += 1
    return None


def turn(radians: float) -> int:
    """An angle as the bus has it: units of 2π/2³², wrapped into [-π, π)."""
    return (round(radians / (2 * pi) * _TURN) + _TURN // 2) % _TURN - _TURN // 2


def radians(angle: int) -> float:
    """The reverse of `turn`."""
    return angle * (2 * pi / _TURN)


# ---------------------------------------------------------------- builder


class Condition(NamedTuple):
    """An operation runs only if the parity of the masked results of its program equals `expect`."""

    mask: int
    expect: int


def parity(*bits: int, equals: int = 1) -> Condition:
    """The XOR of the results number `bits` (0 = the first measurement of the program) must equal `equals`."""
    mask = 0
    for bit in bits:
        if not 0 <= bit < MAX_CONDITION_BITS:
            raise ValueError(f"result {bit} cannot decide about an operation")
        mask ^= 1 << bit
    if not mask or equals not in (0, 1):
        raise ValueError("a condition needs results, and 0 or 1 to compare with")
    return Condition(mask, equals)


_ALWAYS: Final = Condition(0, 0)


class Program:
    """A program under construction: `Program().init(q).h(q).cx(a, b).measure(q).message()`.

    Qubits are handles. Every operation takes `when=parity(0, 1)`: run only if those results XOR to 1. Raises
    ValueError where an operation would make the device answer BAD.
    """

    __slots__ = ("_measured", "_ops")

    def __init__(self) -> None:
        self._ops: list[DeviceOp] = []
        self._measured = 0

    @property
    def ops(self) -> tuple[DeviceOp, ...]:
        return tuple(self._ops)

    @property
    def measured(self) -> int:
        """Number of measurements so far, hence the number of the next result."""
        return self._measured

    def message(self) -> DeviceProgram:
        return DeviceProgram(tuple(self._ops))

    def __bytes__(self) -> bytes:
        """The body of the command, as the bus carries it."""
        return self.message().pack()

    def __len__(self) -> int:
        return len(self._ops)

    def __bool__(self) -> bool:
        return bool(self._ops)

    def add(
        self, opcode: DeviceOpcode, qubit: int, other: int = 0, angle: int = 0, when: Condition = _ALWAYS
    ) -> Self:
        """Append any operation; `angle` in units of the bus."""
        if len(self._ops) >= MAX_OPS:
            raise ValueError(f"a program has at most {MAX_OPS} operations")
        if when.mask and when.mask >> min(self._measured, MAX_CONDITION_BITS):
            raise ValueError(f"operation {len(self._ops)} looks at a result that it cannot see")
        op = DeviceOp(opcode, 0, qubit, other, angle, when.mask, when.expect)
        if _senseless(op):
            raise ValueError(f"operation {len(self._ops)} ({opcode.name}) makes no sense on these qubits")
        self._ops.append(op)
        self._measured += opcode == DeviceOpcode.MEASURE
        return self

    def extend(self, other: "Program") -> Self:
        """Append another program; its conditions go on looking at its own results."""
        shift = self._measured
        for op in other._ops:
            self.add(op.opcode, op.qubit, op.other, op.angle, Condition(op.condition << shift, op.expect))
        return self

    # -- operations on one qubit

    def init(self, qubit: int, when: Condition = _ALWAYS) -> Self:
        return self.add(DeviceOpcode.INIT, qubit, when=when)

    def x(self, qubit: int, when: Condition = _ALWAYS) -> Self:
        return self.add(DeviceOpcode.X, qubit, when=when)

    def y(self, qubit: int, when: Condition = _ALWAYS) -> Self:
        return self.add(DeviceOpcode.Y, qubit, when=when)

    def z(self, qubit: int, when: Condition = _ALWAYS) -> Self:
        return self.add(DeviceOpcode.Z, qubit, when=when)

    def h(self, qubit: int, when: Condition = _ALWAYS) -> Self:
        return self.add(DeviceOpcode.H, qubit, when=when)

    def s(self, qubit: int, when: Condition = _ALWAYS) -> Self:
        return self.add(DeviceOpcode.S, qubit, when=when)

    def sdg(self, qubit: int, when: Condition = _ALWAYS) -> Self:
        return self.add(DeviceOpcode.SDG, qubit, when=when)

    def t(self, qubit: int, when: Condition = _ALWAYS) -> Self:
        return self.add(DeviceOpcode.T, qubit, when=when)

    def tdg(self, qubit: int, when: Condition = _ALWAYS) -> Self:
        return self.add(DeviceOpcode.TDG, qubit, when=when)

    def sx(self, qubit: int, when: Condition = _ALWAYS) -> Self:
        return self.add(DeviceOpcode.SX, qubit, when=when)

    def rx(self, qubit: int, angle: float, when: Condition = _ALWAYS) -> Self:
        """Rotation about X by `angle` radians."""
        return self.add(DeviceOpcode.RX, qubit, angle=turn(angle), when=when)

    def ry(self, qubit: int, angle: float, when: Condition = _ALWAYS) -> Self:
        """Rotation about Y by `angle` radians."""
        return self.add(DeviceOpcode.RY, qubit, angle=turn(angle), when=when)

    def rz(self, qubit: int, angle: float, when: Condition = _ALWAYS) -> Self:
        """Rotation about Z by `angle` radians."""
        return self.add(DeviceOpcode.RZ, qubit, angle=turn(angle), when=when)

    def turn_x(self, qubit: int, angle: int, when: Condition = _ALWAYS) -> Self:
        """Rotation about X, the angle in the bus's own unit of 2π/2³²."""
        return self.add(DeviceOpcode.RX, qubit, angle=angle, when=when)

    def turn_y(self, qubit: int, angle: int, when: Condition = _ALWAYS) -> Self:
        """Rotation about Y, the angle in the bus's own unit."""
        return self.add(DeviceOpcode.RY, qubit, angle=angle, when=when)

    def measure(self, qubit: int, when: Condition = _ALWAYS) -> Self:
        """Measure in the Z basis. If `when` fails nothing is measured and the result reads 0 (DEV-6)."""
        return self.add(DeviceOpcode.MEASURE, qubit, when=when)

    def release(self, qubit: int, when: Condition = _ALWAYS) -> Self:
        """Give the qubit back; from then on it answers to `released(qubit)`."""
        return self.add(DeviceOpcode.RELEASE, qubit, when=when)

    def idle(self, qubit: int, duration_ps: int, when: Condition = _ALWAYS) -> Self:
        """Wait, in whole nanoseconds (rounded up)."""
        nanoseconds = -(-duration_ps // 1_000)
        if duration_ps < 0 or nanoseconds >= _TURN // 2:
            raise ValueError(f"a device cannot idle for {duration_ps} ps")
        return self.add(DeviceOpcode.IDLE, qubit, angle=nanoseconds, when=when)

    # -- operations on two qubits

    def cx(self, control: int, target: int, when: Condition = _ALWAYS) -> Self:
        return self.add(DeviceOpcode.CX, control, target, when=when)

    def cz(self, qubit: int, other: int, when: Condition = _ALWAYS) -> Self:
        return self.add(DeviceOpcode.CZ, qubit, other, when=when)

    def swap(self, qubit: int, other: int, when: Condition = _ALWAYS) -> Self:
        return self.add(DeviceOpcode.SWAP, qubit, other, when=when)

    def cp(self, qubit: int, other: int, angle: float, when: Condition = _ALWAYS) -> Self:
        """Phase `angle` (radians) on |11⟩."""
        return self.add(DeviceOpcode.CP, qubit, other, angle=turn(angle), when=when)

    # -- what protocols do all the time

    def pauli(self, qubit: int, bell_index: int, when: Condition = _ALWAYS) -> Self:
        """X^x and then Z^z of a Bell index: the correction of a teleported qubit, or a change of Pauli
        frame.
        """
        if bell_index >> 1 & 1:
            self.x(qubit, when)
        if bell_index & 1:
            self.z(qubit, when)
        return self

    def bell_measure(self, first: int, second: int) -> Self:
        """Two results, m1 on `first` and m2 on `second`: the arguments of protocols.bell.measured."""
        return self.cx(first, second).h(first).measure(first).measure(second)


__all__ = [
    "FIRST_GENERATION",
    "LEAST_ANSWER_PS",
    "MAX_CONDITION_BITS",
    "MAX_OPS",
    "ONE_QUBIT",
    "TWO_QUBIT",
    "Condition",
    "DeviceError",
    "DeviceOp",
    "DeviceOpcode",
    "DeviceOutcome",
    "Durations",
    "Handle",
    "Program",
    "answer_delay",
    "fault",
    "holds",
    "next_generation",
    "pack_handle",
    "parity",
    "radians",
    "released",
    "schedule",
    "turn",
    "unpack_handle",
]
