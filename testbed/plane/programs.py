"""Device programs: compiled when they are submitted, executed with their noise, each operation at its own start.

What may live here: what an operation does, and when a program is refused. Programs run as one, at the time of
their command: what they do later than that is nobody else's to see, since their qubits are held until the
program ends, and operations on different qubits commute.
"""

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache, partial
from typing import Final, NamedTuple

from numpy.random import Generator

from protocols.device import ONE_QUBIT, TWO_QUBIT, Durations, answer_delay, fault, holds, pack_handle, radians, schedule
from protocols.wire.codec import DeviceBits, DeviceError, DeviceFailed, DeviceOp, DeviceOpcode, DeviceProgram
from protocols.wire.error import WireError
from testbed.plane.devices import Device, Qubit
from testbed.plane.state import NAMED, StateEngine, read_out
from testbed.plane.state.gates import Gate1, Gate2, gate1, gate2, turn1, turn2

_AXES: Final = {DeviceOpcode.RX: "x", DeviceOpcode.RY: "y", DeviceOpcode.RZ: "z"}


class _Do(IntEnum):
    """What a step does; an IDLE is no step, since what a wait does to a qubit comes with its next touch."""

    GATE1 = 0
    GATE2 = 1
    SWAP = 2
    MEASURE = 3
    INIT = 4
    RELEASE = 5


_KINDS: Final = (
    dict.fromkeys(ONE_QUBIT, _Do.GATE1)
    | dict.fromkeys(TWO_QUBIT, _Do.GATE2)
    | {
        DeviceOpcode.SWAP: _Do.SWAP,
        DeviceOpcode.MEASURE: _Do.MEASURE,
        DeviceOpcode.INIT: _Do.INIT,
        DeviceOpcode.RELEASE: _Do.RELEASE,
    }
)


# Where handles stand in a program's bytes: a count, then operations alike in size, opcode and flags first.
_OP_SIZE: Final = len(DeviceOp(DeviceOpcode.IDLE).pack())
_FIRST_HANDLE: Final = len(DeviceProgram(()).pack()) + 2


class Step(NamedTuple):
    """One operation, compiled. `first`, `second`: which of the program's handles; `op` holds what else it says."""

    do: _Do
    first: int
    second: int
    gate: Gate1 | Gate2 | None
    start_ps: int
    op: DeviceOp


class Claim(NamedTuple):
    """A handle that a program needs, and its first operation that does."""

    handle: int
    op: int


class Prepared(NamedTuple):
    """A program whose bytes make sense: the qubits it needs, its steps, and when it is answered."""

    claims: tuple[Claim, ...]
    stale: int | None
    """The operation that uses a qubit which the program itself has released (DEV-1), and ends it."""
    steps: tuple[Step, ...]
    total_ps: int
    answer_ps: int


def prepare(durations: Durations, body: bytes) -> Prepared | DeviceFailed:
    """What can be known of a program when it is submitted."""
    try:
        ops = DeviceProgram.unpack(body).ops
    except WireError:
        return DeviceFailed(DeviceError.BAD, 0)
    wrong = fault(ops)
    if wrong is not None:
        return DeviceFailed(DeviceError.BAD, wrong)
    starts, total = schedule(ops, durations)
    claims, stale = _claims(ops)
    places = {claim.handle: place for place, claim in enumerate(claims)}
    steps = [
        Step(
            _KINDS[op.opcode],
            places.get(op.qubit, 0),
            places.get(op.other, 0) if op.opcode in TWO_QUBIT else 0,
            _compiled(op.opcode, op.angle),
            start,
            op._replace(qubit=0, other=0),
        )
        for op, start in zip(ops, starts, strict=True)
        if op.opcode in _KINDS
    ]
    return Prepared(claims, stale, tuple(steps), total, answer_delay(total))


_BYTE_FOR_BYTE = 512


class Preparer:
    """`prepare` for one device, remembering what it has compiled.

    Every pair has another communication qubit, or a new handle of the same, so the bytes of programs hardly ever come
    back; what they do does.  So a program is known by its bytes, with its qubits and the generations of each numbered
    in the order in which they occur.
    """

    def __init__(self, durations: Durations, most: int) -> None:
        self._prepare = lru_cache(maxsize=most)(partial(prepare, durations))
        # Data qubits keep their handles: programs on them come back byte for byte.  Few are kept: those on
        # communication qubits never do, and at a kilobyte each would fill the memory of a testbed that stays for hours.
        self.prepare = lru_cache(maxsize=min(most, _BYTE_FOR_BYTE))(self._by_names)

    def _by_names(self, body: bytes) -> Prepared | DeviceFailed:
        known = bytearray(body)
        names: dict[bytes, bytes] = {}
        seen: dict[bytes, list[int]] = {}  # by index: the qubit's number, and that of its last generation
        for start in range(_FIRST_HANDLE, len(body), _OP_SIZE):
            for at in (start, start + 4):
                handle = body[at : at + 4]
                name = names.get(handle)
                if name is None:
                    qubit = seen.setdefault(handle[:2], [len(seen), -1])
                    qubit[1] += 1
                    name = names[handle] = (qubit[0] << 16 | qubit[1]).to_bytes(4, "big")
                known[at : at + 4] = name
        prepared = self._prepare(bytes(known))
        if isinstance(prepared, DeviceFailed):
            return prepared
        handles = {int.from_bytes(name, "big"): int.from_bytes(handle, "big") for handle, name in names.items()}
        claims = tuple([Claim(handles[handle], op) for handle, op in prepared.claims])
        return Prepared(claims, *prepared[1:])


def _claims(ops: Sequence[DeviceOp]) -> tuple[tuple[Claim, ...], int | None]:
    """The handles that operations use, in this order, up to the first that one of them has released."""
    found: dict[int, Claim] = {}
    released: set[int] = set()
    for index, op in enumerate(ops):
        for handle in (op.qubit, op.other) if op.opcode in TWO_QUBIT else (op.qubit,):
            if handle in released:
                return tuple(found.values()), index
            found.setdefault(handle, Claim(handle, index))
        if op.opcode == DeviceOpcode.RELEASE:
            released.add(op.qubit)
    return tuple(found.values()), None


@lru_cache(maxsize=4096)
def _compiled(opcode: DeviceOpcode, angle: int) -> Gate1 | Gate2 | None:
    """The gate of an operation, its angle in units of the bus; None for what is no gate."""
    if opcode == DeviceOpcode.CP:
        return turn2(radians(angle))
    if opcode in _AXES:
        return turn1(_AXES[opcode], radians(angle))
    name = opcode.name.lower()
    if name not in NAMED:
        return None
    return gate2(name) if opcode in TWO_QUBIT else gate1(name)


def run(device: Device, program: Prepared, now: int, rng: Generator) -> DeviceBits | DeviceFailed:
    """Execute a program at `now`. If Failed, nothing was touched (DEV-1, DEV-8, DEV-9)."""
    qubits: list[Qubit] = []
    for handle, op in program.claims:
        qubit = device.claim(handle, now)
        if isinstance(qubit, DeviceError):
            return DeviceFailed(qubit, op)
        qubits.append(qubit)
    if program.stale is not None:
        return DeviceFailed(DeviceError.STALE, program.stale)
    if device.model.attempt_dephasing:
        for qubit in qubits:
            if qubit.stores:
                device.wear_out(qubit, now)
    bits = _operate(device, program.steps, qubits, now, rng)
    end = now + program.total_ps
    for qubit in qubits:
        qubit.free_ps = end
    return DeviceBits(bytes(bits))


def _operate(device: Device, steps: Sequence[Step], qubits: Sequence[Qubit], now: int, rng: Generator) -> bytearray:
    """An operation acts at its start; what happens to the qubit meanwhile comes with its next touch."""
    engine, model = device.engine, device.model
    bits = bytearray()
    results = 0
    for do, first, second, gate, start, op in steps:
        if op.condition and not holds(op, results):
            if do is _Do.MEASURE:
                bits.append(0)
            continue
        at = now + start
        key = qubits[first].key
        if do is _Do.GATE1:
            assert isinstance(gate, Gate1)
            engine.gate1(key, gate, at, device.one_qubit_error)
        elif do is _Do.GATE2 or do is _Do.SWAP:
            assert isinstance(gate, Gate2)
            error = device.two_qubit_error if do is _Do.GATE2 else device.swap_error
            engine.gate2(key, qubits[second].key, gate, at, error)
        elif do is _Do.MEASURE:
            bit = engine.measure(key, at, rng)
            bit = read_out(bit, model.readout_error_0, model.readout_error_1, rng)
            results |= bit << len(bits)
            bits.append(bit)
        elif do is _Do.INIT:
            engine.reset(key, at)
            if model.init_error:
                engine.pauli1(key, model.init_error, 0.0, 0.0)
        else:
            if device.watcher is not None:
                device.watcher(pack_handle(qubits[first].index, qubits[first].generation), key, at)
            spoil(engine, key, at)
            device.release(qubits[first])
    return bits


def spoil(engine: StateEngine, key: int, now: int) -> None:
    """Leave the qubit in a state that is good for nothing but INIT: alone, and fully mixed.

    |0⟩ would hide a program that forgets its INIT.
    """
    engine.reset(key, now)
    engine.pauli1(key, 0.5, 0.0, 0.0)
