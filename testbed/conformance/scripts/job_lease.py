"""Scripts for JOB: a QPU that a controller, node 5, leases for jobs."""

import json
from collections.abc import Iterable
from typing import Any, Final

from protocols.wire import (
    DeviceProgram,
    JobCensus,
    JobHere,
    JobLoad,
    JobLoaded,
    JobOutcome,
    JobReleased,
    JobRun,
    JobStop,
    JobWhy,
)
from protocols.wire.codec import DeviceOpcode
from testbed.conformance.scene import LEASED
from testbed.conformance.scripts import decides
from testbed.conformance.stage import SOON_PS, NotMet, Peer, Stage

JOB: Final = 7
PROGRAM: Final = json.dumps(
    {
        "steps": [["local", [[int(DeviceOpcode.INIT), 0, 0, 0]]], ["measure", [[0, 0]]]],
        "clbits": [0],
        "minimum_fidelity": 0.0,
    }
).encode()
"""One qubit is prepared and measured."""
SHOTS_PS: Final = 3 * SOON_PS


def _loads(lease: int, program: bytes = PROGRAM, parts: int = 2) -> list[JobLoad]:
    size = -(-len(program) // parts)
    pieces = [program[at : at + size] for at in range(0, len(program), size)]
    return [JobLoad(lease, JOB, number, len(pieces), piece) for number, piece in enumerate(pieces)]


def _send(peer: Peer, messages: Iterable[Any]) -> None:
    for message in messages:
        peer.send(message)


async def _loaded(stage: Stage, lease: int = 1) -> Peer:
    """The QPU is leased, and has its program."""
    controller = stage.peers[5]
    _send(controller, _loads(lease))
    await controller.expect(JobLoaded, lease=lease)
    return controller


def _acts(stage: Stage) -> bool:
    return any(isinstance(command, DeviceProgram) for _, command in stage.devices.commands)


@decides("JOB-4", scene=LEASED)
async def a_qpu_says_that_it_is_there(stage: Stage) -> None:
    """When it comes up, and to every Census: how many data qubits it has, and which lease it holds."""
    controller = stage.peers[5]
    await controller.expect(JobHere, data_qubits=4, lease=0)
    for _ in range(2):
        controller.send(JobCensus())
        await controller.expect(JobHere, data_qubits=4, lease=0)
    await _loaded(stage, 6)
    controller.send(JobCensus())
    await controller.expect(JobHere, lease=6)


@decides("JOB-5", scene=LEASED)
async def only_its_controller_leases_it(stage: Stage) -> None:
    """Everything of node 2 is nothing; then what the controller says is done."""
    stranger = stage.peers[2]
    _send(stranger, [JobCensus(), *_loads(1)])
    await stranger.silence(JobHere, JobLoaded, JobReleased)
    controller = await _loaded(stage, 2)
    _send(stranger, [JobRun(2, 1), JobStop(2)])
    await stranger.silence(JobHere, JobReleased)
    await controller.silence(JobReleased, JobOutcome, during=0)
    controller.send(JobRun(2, 1))
    await controller.expect(JobReleased, SHOTS_PS, lease=2, why=JobWhy.DONE)


@decides("JOB-6", scene=LEASED)
async def one_lease_at_a_time(stage: Stage) -> None:
    """A Load of another, amid the first and behind it: BUSY; the first goes on."""
    controller = stage.peers[5]
    first, second = _loads(1)
    controller.send(first)
    controller.send(_loads(2)[0])
    await controller.expect(JobReleased, lease=2, why=JobWhy.BUSY)
    controller.send(second)
    await controller.expect(JobLoaded, lease=1)
    controller.send(_loads(3)[0])
    await controller.expect(JobReleased, lease=3, why=JobWhy.BUSY)
    controller.send(JobRun(1, 1))
    await controller.expect(JobReleased, SHOTS_PS, lease=1, why=JobWhy.DONE)


@decides("JOB-7", scene=LEASED)
async def what_is_no_program_is_refused(stage: Stage) -> None:
    """Pieces out of turn, of another number, no JSON, a qubit that there is not: MALFORMED, and nothing is done."""
    controller = stage.peers[5]
    (first, second), wrong = _loads(1), PROGRAM.replace(b"[[0, 0]]", b"[[9, 0]]")
    for lease, loads in enumerate(
        ([second], [first, second._replace(parts=3)], _loads(1, b"no program", 1), _loads(1, wrong, 1)), 1
    ):
        _send(controller, [load._replace(lease=lease) for load in loads])
        await controller.expect(JobReleased, lease=lease, why=JobWhy.MALFORMED)
        await controller.silence(JobLoaded, JobReleased)
    if _acts(stage):
        raise NotMet("the devices are asked to do something of a program that was refused")
    await _loaded(stage, 9)


@decides("JOB-8", scene=LEASED)
async def nothing_is_done_before_run(stage: Stage) -> None:
    """Loaded comes when the last piece is there; the devices wait for Run."""
    controller = stage.peers[5]
    first, second = _loads(1)
    controller.send(first)
    await controller.silence(JobLoaded)
    controller.send(second)
    await controller.expect(JobLoaded, lease=1)
    await stage.wait(2 * SOON_PS)
    if _acts(stage):
        raise NotMet("a program is begun before Run")
    controller.send(JobRun(1, 1))
    await stage.devices.expect(DeviceProgram)


@decides("JOB-4", "JOB-21", scene=LEASED)
async def qubits_have_one_holder(stage: Stage) -> None:
    """A program holds all data qubits: Here with none, IN_USE, and Here again when it has given them back.  Then the
    lease holds one, and the program gets three, before the shots and while they go on; after them it gets all."""
    controller, user = stage.peers[5], stage.user
    await controller.expect(JobHere, data_qubits=4)
    user.order("hold", qubits=4)
    await user.expect("held", qubits=4)
    _send(controller, _loads(1))
    await controller.expect(JobHere, data_qubits=0)
    await controller.expect(JobReleased, lease=1, why=JobWhy.IN_USE)
    await controller.silence(JobHere, JobLoaded)
    user.order("hold", qubits=0)
    await user.expect("held", qubits=0)
    await controller.expect(JobHere, data_qubits=4, lease=0)
    await _loaded(stage, 2)
    for shots in (0, 1_000_000):
        if shots:
            controller.send(JobRun(2, shots))
            await stage.devices.expect(DeviceProgram)
        user.order("hold", qubits=4)
        await user.expect("held", qubits=3)
    controller.send(JobStop(2))
    await controller.expect(JobReleased, SHOTS_PS, lease=2)
    user.told.clear()
    user.order("hold", qubits=4)
    await user.expect("held", qubits=4)


@decides("JOB-9", "JOB-10", scene=LEASED)
async def every_shot_is_told_once_and_in_order(stage: Stage) -> None:
    """Thirty shots that read 1, 0, 1, ...: as many rows, none spoilt, all before the one Released; each word says how
    long it has taken until then, and that no pair was used."""
    read: list[int] = []

    def bits(program: DeviceProgram) -> bytes:
        found = bytes((len(read) + n + 1) % 2 for n in range(len(_measurements(program))))
        read.extend(found)
        return found

    stage.devices.bits = bits
    controller = await _loaded(stage)
    controller.send(JobRun(1, 30))
    released = await controller.expect(JobReleased, 10 * SHOTS_PS, lease=1, why=JobWhy.DONE)
    told: list[int] = []
    took_ps = 0
    for seen in controller.seen:
        if isinstance(seen.message, JobOutcome):
            if seen.message.first_shot != len(told) or len(seen.message.rows) != seen.message.shots:
                raise NotMet(f"{seen.message} comes when {len(told)} shots have been told")
            if seen.message.pairs or not took_ps < seen.message.elapsed_ps <= released.elapsed_ps:
                raise NotMet(f"{seen.message}, after {took_ps} ps and before {released}")
            told += seen.message.rows
            took_ps = seen.message.elapsed_ps
    if told != read or len(told) != 30:
        raise NotMet(f"{read} was read in {len(read)} shots, and {told} is told")
    controller.forget()
    await controller.silence(JobReleased, JobOutcome)


def _measurements(program: DeviceProgram) -> list[Any]:
    return [op for op in program.ops if op.opcode == DeviceOpcode.MEASURE]


@decides("JOB-10", scene=LEASED)
async def a_lease_ends_with_one_word(stage: Stage) -> None:
    """Stop of what is loaded: STOPPED; again, or of what never was: UNKNOWN."""
    controller = await _loaded(stage)
    controller.send(JobStop(1))
    await controller.expect(JobReleased, lease=1, why=JobWhy.STOPPED)
    await controller.silence(JobReleased)
    for lease in (1, 77):
        controller.send(JobStop(lease))
        await controller.expect(JobReleased, lease=lease, why=JobWhy.UNKNOWN)
    await _loaded(stage, 2)


@decides("JOB-11", scene=LEASED)
async def a_lost_controller_leases_nothing(stage: Stage) -> None:
    """It restarts: the QPU holds no lease any more, and can be leased."""
    controller = await _loaded(stage, 4)
    controller.restart()
    controller.send(JobCensus())
    await controller.expect(JobHere)
    await stage.wait(SOON_PS)
    controller.send(JobCensus())
    controller.seen = [seen for seen in controller.seen if not isinstance(seen.message, JobHere)]
    await controller.expect(JobHere, lease=0)
    await _loaded(stage, 5)


@decides("JOB-4", scene=LEASED)
async def a_qpu_says_that_it_is_there_after_a_loss(stage: Stage) -> None:
    """Its controller restarts, and asks nothing: Here comes all the same."""
    controller = await _loaded(stage, 4)
    controller.restart()
    controller.send(JobStop(77))
    await controller.expect(JobHere, SHOTS_PS)
