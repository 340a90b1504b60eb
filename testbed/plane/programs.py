"""Executes device programs: operations on the state, with their noise, each at its own start.

What may live here: what an operation does, and when a program is refused. Programs run as one, at the time of
their command: what they do later than that is nobody else's to see, since their qubits are held until the
program ends, and operations on different qubits commute.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from numpy.random import Generator

from protocols.device import TWO_QUBIT, Durations, answer_delay, fault, holds, radians, schedule
from protocols.wire.codec import DeviceBits, DeviceError, DeviceFailed, DeviceOp, DeviceOpcode, DeviceProgram
from protocols.wire.error import WireError
from testbed.plane.devices import Device, Qubit
from testbed.plane.state import StateEngine, controlled_phase, read_out, rotation
from testbed.plane.state.gates import Complex

_NAMES: Final = {
    opcode: opcode.name.lower()
    for opcode in (
        DeviceOpcode.X,
        DeviceOpcode.Y,
        DeviceOpcode.Z,
        DeviceOpcode.H,
        DeviceOpcode.S,
        DeviceOpcode.SDG,
        DeviceOpcode.T,
        DeviceOpcode.TDG,
        DeviceOpcode.SX,
        DeviceOpcode.CX,
        DeviceOpcode.CZ,
        DeviceOpcode.SWAP,
    )
}
_AXES: Final = {DeviceOpcode.RX: "x", DeviceOpcode.RY: "y", DeviceOpcode.RZ: "z"}


@lru_cache(maxsize=4096)
def _turned(opcode: DeviceOpcode, angle: int) -> Complex:
    """The unitary of an operation with an angle, in units of the bus."""
    if opcode == DeviceOpcode.CP:
        return controlled_phase(radians(angle))
    return rotation(_AXES[opcode], radians(angle))


def _unitary(op: DeviceOp) -> Complex | str:
    return _NAMES.get(op.opcode) or _turned(op.opcode, op.angle)


class Prepared(NamedTuple):
    """A program whose bytes make sense: its operations, their starts, and when it is answered."""

    ops: tuple[DeviceOp, ...]
    starts: tuple[int, ...]
    total_ps: int
    answer_ps: int


@lru_cache(maxsize=4096)
def prepare(durations: Durations, body: bytes) -> Prepared | DeviceFailed:
    """What can be known of a program when it is submitted; nodes send the same few over and over."""
    try:
        ops = DeviceProgram.unpack(body).ops
    except WireError:
        return DeviceFailed(DeviceError.BAD, 0)
    wrong = fault(ops)
    if wrong is not None:
        return DeviceFailed(DeviceError.BAD, wrong)
    starts, total = schedule(ops, durations)
    return Prepared(ops, tuple(starts), total, answer_delay(total))


def run(device: Device, program: Prepared, now: int, rng: Generator) -> DeviceBits | DeviceFailed:
    """Execute a program at `now`. If Failed, nothing was touched."""
    found = _claim(device, program.ops, now)
    if isinstance(found, DeviceFailed):
        return found
    model = device.model
    if model.attempt_dephasing:
        for qubit in found.values():
            if qubit.stores:
                device.wear_out(qubit, now)
    bits = _operate(device, program, found, now, rng)
    end = now + program.total_ps
    for qubit in found.values():
        qubit.free_ps = end
    return DeviceBits(bytes(bits))


def _claim(device: Device, ops: tuple[DeviceOp, ...], now: int) -> dict[int, Qubit] | DeviceFailed:
    """The qubits of a program by handle, or why it is refused (DEV-1, DEV-8, DEV-9)."""
    found: dict[int, Qubit] = {}
    released: set[int] = set()
    for index, op in enumerate(ops):
        opcode = op.opcode
        for handle in (op.qubit, op.other) if opcode in TWO_QUBIT else (op.qubit,):
            if handle in released:
                return DeviceFailed(DeviceError.STALE, index)
            if handle not in found:
                qubit = device.claim(handle, now)
                if isinstance(qubit, DeviceError):
                    return DeviceFailed(qubit, index)
                found[handle] = qubit
        if opcode == DeviceOpcode.RELEASE:
            released.add(op.qubit)
    return found


def _operate(
    device: Device, program: Prepared, found: dict[int, Qubit], now: int, rng: Generator
) -> bytearray:
    """An operation acts at its start; what happens to the qubit meanwhile comes with its next touch."""
    engine, model = device.engine, device.model
    bits = bytearray()
    results = 0
    for op, start in zip(program.ops, program.starts, strict=True):
        opcode = op.opcode
        if not holds(op, results):
            if opcode == DeviceOpcode.MEASURE:
                bits.append(0)
            continue
        at = now + start
        qubit = found[op.qubit]
        key = qubit.key
        if opcode == DeviceOpcode.MEASURE:
            bit = engine.measure(key, at, rng)
            bit = read_out(bit, model.readout_error_0, model.readout_error_1, rng)
            results |= bit << len(bits)
            bits.append(bit)
        elif opcode == DeviceOpcode.INIT:
            engine.reset(key, at)
            if model.init_error:
                engine.pauli1(key, model.init_error, 0.0, 0.0)
        elif opcode in TWO_QUBIT:
            other = found[op.other].key
            error = device.swap_error if opcode == DeviceOpcode.SWAP else device.two_qubit_error
            engine.gate2(key, other, _unitary(op), at, error)
        elif opcode == DeviceOpcode.RELEASE:
            spoil(engine, key, at)
            device.release(qubit)
        elif opcode != DeviceOpcode.IDLE:
            engine.gate1(key, _unitary(op), at, device.one_qubit_error)
    return bits


def spoil(engine: StateEngine, key: int, now: int) -> None:
    """Leave the qubit in a state that is good for nothing but INIT: alone, and fully mixed.

    |0⟩ would hide a program that forgets its INIT.
    """
    engine.reset(key, now)
    engine.pauli1(key, 0.5, 0.0, 0.0)
