"""Scripts for device programs: the quantum plane between two nodes that command it."""

from typing import Final

from protocols.device import Condition, Program, unpack_handle
from protocols.wire import DeviceBits, DeviceError, DeviceFailed, DeviceOp, DeviceOpcode
from testbed.conformance.devices import INIT_PS, LIVES, MEASURE_PS, ONE_PS, QUBITS, Bench, program
from testbed.conformance.scene import DEVICES, PARALLEL
from testbed.conformance.scripts import decides
from testbed.conformance.stage import NotMet

FIRST_IS_ONE: Final = Condition(1, 1)


@decides("DEV-1", scene=DEVICES, emulated=True)
async def handles_name_own_qubits(bench: Bench) -> None:
    """Index in the upper half, generation in the lower.  An index that there is not: FOREIGN; another generation:
    STALE; each at the operation that names it."""
    for node in (1, 2):
        handles = bench.handles(node)
        if [handle >> 16 for handle in handles] != list(range(len(handles))):
            raise NotMet(f"the handles {handles} do not have the indexes of qubits")
        good = handles[0]
        for index in (len(handles), 999):
            bad = Program().x(good).x(index << 16 | 1)
            bench.expect(bad, DeviceFailed(DeviceError.FOREIGN, 1), node)
        for generation in ((good & 0xFFFF) + 1, 0):
            bad = Program().x(good & ~0xFFFF | generation)
            bench.expect(bad, DeviceFailed(DeviceError.STALE, 0), node)
        bench.expect(Program().init(good), DeviceBits(b""), node)


@decides("DEV-2", scene=DEVICES, emulated=True)
async def a_release_begins_a_generation(bench: Bench) -> None:
    """The first is 1; each RELEASE adds one, of this qubit and this node only; a restart begins at 4,097."""
    first = bench.handles()
    if any(unpack_handle(handle).generation != 1 for handle in (*first, *bench.handles(2))):
        raise NotMet(f"the first handles are {first}")
    handle = first[QUBITS]
    for generation in (2, 3):
        bench.ask(Program().release(handle))
        bench.expect(Program().x(handle), DeviceFailed(DeviceError.STALE, 0))
        handle = handle & ~0xFFFF | generation
        bench.expect(Program().x(handle), DeviceBits(b""))
    if bench.handles() != [*first[:QUBITS], handle] or bench.handles(2) != first:
        raise NotMet(f"after releases of one qubit the handles are {bench.handles()} and {bench.handles(2)}")
    bench.plane.reset_node(1, bench.now)
    if [unpack_handle(handle).generation for handle in bench.handles()] != [LIVES + 1] * len(first):
        raise NotMet(f"the handles of the second life are {bench.handles()}")


@decides("DEV-3", scene=DEVICES, emulated=True)
async def what_fails_changes_nothing(bench: Bench) -> None:
    """A program that turns a qubit, releases another and then names a foreign one: neither has been done."""
    one, two, *_ = bench.handles()
    bench.ask(Program().init(one))
    bench.expect(Program().x(one).release(two).x(77 << 16), DeviceFailed(DeviceError.FOREIGN, 2))
    bench.expect(Program().measure(one).x(two), DeviceBits(b"\0"))
    keys = [bench.command(Program().x(one)), bench.command(Program().x(77 << 16), 2)]
    bench.run()
    if [len(bench.answered[key]) for key in keys] != [1, 1]:
        raise NotMet("a command is answered more than once, or not at all")


@decides("DEV-4", "DEV-5", scene=DEVICES, emulated=True)
async def a_sequential_device_does_one_after_the_other(bench: Bench) -> None:
    """Two INITs, a gate that is skipped, and a MEASURE: the sum of all; what takes no time: 1 ns; a STALE is told when
    the program would have been over."""
    one, two, *_ = bench.handles()
    whole = Program().init(one).init(two).measure(one)
    total = 2 * INIT_PS + MEASURE_PS
    bench.expect(whole, DeviceBits(b"\0"), after=total)
    skipped = Program().measure(one)
    skipped.x(two, FIRST_IS_ONE)
    bench.expect(skipped, DeviceBits(b"\0"), after=MEASURE_PS + ONE_PS)
    bench.expect(Program().release(two), DeviceBits(b""), after=1_000)
    bench.expect(Program().measure(two), DeviceFailed(DeviceError.STALE, 0), after=MEASURE_PS)
    bench.expect(Program().x(77 << 16).measure(one), DeviceFailed(DeviceError.FOREIGN, 0), after=ONE_PS + MEASURE_PS)


@decides("DEV-4", scene=PARALLEL, emulated=True)
async def a_parallel_device_does_what_it_can_at_once(bench: Bench) -> None:
    """Two INITs and two MEASUREs: as long as one of each; a gate that looks at a result waits for it."""
    one, two, three, *_ = bench.handles()
    bench.expect(
        Program().init(one).init(two).measure(one).measure(two), DeviceBits(b"\0\0"), after=INIT_PS + MEASURE_PS
    )
    waits = Program().measure(one)
    waits.x(three, FIRST_IS_ONE)
    bench.expect(waits, DeviceBits(b"\0"), after=MEASURE_PS + ONE_PS)
    bench.expect(Program().measure(one).x(three), DeviceBits(b"\0"), after=MEASURE_PS)


@decides("DEV-6", scene=DEVICES, emulated=True)
async def conditions_are_parities(bench: Bench) -> None:
    """Results 1, 0: a gate runs if their parity, or that of one of them, is as expected.  A MEASURE that is skipped
    reads 0."""
    one, two, three, *_ = bench.handles()
    for condition, expect, runs in ((1, 1, 1), (1, 0, 0), (2, 1, 0), (2, 0, 1), (3, 1, 1), (3, 0, 0)):
        ready = Program().init(one).init(two).init(three).x(one).measure(one).measure(two)
        ready.x(three, Condition(condition, expect))
        bench.expect(ready.measure(three), DeviceBits(bytes([1, 0, runs])))
    last = Program().init(one).init(two).x(two).measure(one)
    last.measure(two, FIRST_IS_ONE)
    bench.expect(last, DeviceBits(b"\0\0"))


@decides("DEV-7", scene=DEVICES, emulated=True)
async def nonsense_is_bad(bench: Bench) -> None:
    """Flags, one qubit twice, a result that is to come, a negative time: BAD at that operation.  Bytes: BAD at 0."""
    one, two, *_ = bench.handles()
    fine = DeviceOp(DeviceOpcode.X, 0, one, 0, 0, 0, 0)
    for wrong in (
        fine._replace(flags=1),
        DeviceOp(DeviceOpcode.CX, 0, two, two, 0, 0, 0),
        fine._replace(condition=1),
        DeviceOp(DeviceOpcode.IDLE, 0, one, 0, -5, 0, 0),
    ):
        bench.expect(program(fine, fine, wrong), DeviceFailed(DeviceError.BAD, 2))
    answer = bench.ask(program(fine), body=b"\xff\xff\xff")
    if answer.message != DeviceFailed(DeviceError.BAD, 0):
        raise NotMet(f"{answer.message} answers bytes that are no program")


@decides("DEV-8", scene=DEVICES, emulated=True)
async def what_is_released_is_gone(bench: Bench) -> None:
    """RELEASE and then another operation on the same handle: STALE at that one, also if the RELEASE would not run."""
    one, two, *_ = bench.handles()
    bench.expect(Program().release(one).x(one), DeviceFailed(DeviceError.STALE, 1))
    skipped = Program().init(two).measure(two)
    skipped.release(one, FIRST_IS_ONE)
    bench.expect(skipped.x(one), DeviceFailed(DeviceError.STALE, 3))
    bench.expect(Program().x(one), DeviceBits(b""))
