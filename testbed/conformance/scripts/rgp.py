"""Scripts for RGP: a QPU that is the control of a remote gate, or its target, with the network below it played."""

from typing import Any, Final

from protocols.wire import (
    BellIndex,
    DeviceProgram,
    QnpInstall,
    QnpTeardown,
    RgpCat,
    RgpKind,
    RgpReady,
    RgpRefused,
    RgpUncat,
)
from protocols.wire.codec import CircuitFate, DeviceOpcode
from testbed.conformance.scene import QPU
from testbed.conformance.scripts import decides
from testbed.conformance.scripts.circuits import Circuit, Hop, announced, ops, released, served
from testbed.conformance.stage import SOON_PS, NotMet, Stage

PURPOSE: Final = 1
"""Of pairs for remote gates."""
JOB: Final = 5
DATA: Final = tuple(index << 16 | 1 for index in range(4))
ANY = (RgpReady, RgpCat, RgpUncat, RgpRefused)
CX, CZ, X, Z, H, MEASURE, RELEASE = (DeviceOpcode[name] for name in ("CX", "CZ", "X", "Z", "H", "MEASURE", "RELEASE"))


def _start(stage: Stage, gate: int, role: str, kind: RgpKind = RgpKind.CNOT, qubit: int = DATA[0]) -> None:
    """The user does its part of a gate with node 2."""
    stage.user.order("gate", job=JOB, gate=gate, role=role, kind=kind.name, qubit=qubit, node=2)


def _ready(stage: Stage, gate: int, kind: RgpKind = RgpKind.CNOT, control: int = 0) -> None:
    stage.peers[2].send(RgpReady(JOB, gate, kind, control))


def _reads(stage: Stage, **values: int) -> None:
    """What measurements read: `data` on the first data qubit, `ebit` on any other."""

    def bits(program: DeviceProgram) -> bytes:
        read = [op.qubit for op in program.ops if op.opcode == MEASURE]
        return bytes(values.get("data" if qubit in DATA else "ebit", 0) for qubit in read)

    stage.devices.bits = bits


async def _program(stage: Stage, qubit: int) -> list[tuple[DeviceOpcode, int, int]]:
    """The next program that touches this qubit, its last releases left out."""
    done = ops(await stage.devices.expect(DeviceProgram, where=lambda p: any(op.qubit == qubit for op in p.ops)))
    return [step for step in done if step[0] != RELEASE]


async def _control(stage: Stage, gate: int, circuit: Circuit | None = None, kind: RgpKind = RgpKind.CNOT) -> Circuit:
    """The implementation is the control, and the target is ready: a circuit for its pair."""
    _start(stage, gate, "CONTROL", kind)
    await stage.wait(SOON_PS)
    _ready(stage, gate, kind)
    return circuit or await announced(Hop(stage), PURPOSE)


async def _entangled(circuit: Circuit, bell_index: BellIndex = BellIndex.PSI_PLUS) -> tuple[int, int]:
    """A pair for the control: its number, and the implementation's half."""
    its = await circuit.half()
    return circuit.answer(its, bell_index=bell_index), circuit.hop.qubits[its.link_sequence]


async def _target(stage: Stage, pairs: int = 1) -> tuple[Circuit, list[int]]:
    """Pairs for gates that node 2 controls are here: their numbers."""
    circuit = await served(Hop(stage), PURPOSE, pairs)
    numbers = [(await circuit.both())[0] for _ in range(pairs)]
    await stage.wait(SOON_PS)
    return circuit, numbers


def _cat(gate: int, pair_id: int, outcome: int = 0, kind: RgpKind = RgpKind.CNOT, phase: int = 0) -> RgpCat:
    return RgpCat(JOB, gate, kind, pair_id, outcome, phase)


async def _refused_to_user(stage: Stage, gate: int, intact: bool) -> None:
    await stage.user.expect("gate-refused", where={"gate": gate}, job=JOB, intact=intact)
    await stage.user.silence("gate-refused", "gate-done", during=0)


@decides("RGP-1", "RGP-10", scene=QPU)
async def a_control_uses_pairs_of_its_own(stage: Stage) -> None:
    """One of the peer is here.  It asks for its own when the target is ready, and not before; for another gate it asks
    again."""
    theirs, _ = await _target(stage)
    _start(stage, 1, "CONTROL")
    await stage.peers[2].silence(QnpInstall)
    _ready(stage, 1)
    circuit = await announced(theirs.hop, PURPOSE)
    used = []
    for gate in (1, 2):
        if gate == 2:
            await _control(stage, gate, circuit)
        number, _ = await _entangled(circuit)
        cat = await stage.peers[2].expect(RgpCat, job=JOB, gate=gate)
        if cat.pair_id != number or cat.pair_id in used:
            raise NotMet(f"{cat} uses another pair than {number}, which was made for it")
        used.append(number)
        stage.peers[2].send(RgpUncat(JOB, gate, 0))
        await stage.user.expect("gate-done", job=JOB, gate=gate)


@decides("RGP-2", "RGP-3", "RGP-11", scene=QPU)
async def the_control_measures_its_ebit(stage: Stage) -> None:
    """CX from the data qubit, a measurement of the ebit; Cat has the outcome and the pair's x, and no phase.  The
    Uncat's outcome is the Z that is left to apply."""
    circuit = None
    cases = ((0, 0, 1), (2, 1, 0), (1, 1, 1), (3, 0, 0))
    for gate, (bell_index, m1, z) in enumerate(cases):
        index = BellIndex(bell_index)
        _reads(stage, ebit=m1)
        circuit = await _control(stage, gate, circuit)
        number, ebit = await _entangled(circuit, index)
        row: dict[str, Any] = {"gate": gate, "kind": RgpKind.CNOT, "pair_id": number, "phase": 0}
        await stage.peers[2].expect(RgpCat, job=JOB, outcome=m1 ^ index >> 1, **row)
        done = await _program(stage, DATA[0])
        if done != [(CX, DATA[0], ebit), (MEASURE, ebit, 0)]:
            raise NotMet(f"the control does {done}")
        stage.peers[2].send(RgpUncat(JOB, gate, z))
        await stage.user.expect("gate-done", job=JOB, gate=gate, z=z)


@decides("RGP-2", "RGP-4", "RGP-10", scene=QPU)
async def the_target_does_the_gate(stage: Stage) -> None:
    """Ready; then X if the Cat says so, the gate from the ebit, H and a measurement; Uncat has the outcome and the
    pair's z."""
    circuit = await served(Hop(stage), PURPOSE, 4)
    cases = (
        (BellIndex.PHI_PLUS, RgpKind.CNOT, 0, 1),
        (BellIndex.PHI_MINUS, RgpKind.CZ, 1, 1),
        (BellIndex.PSI_MINUS, RgpKind.CNOT, 1, 0),
        (BellIndex.PSI_PLUS, RgpKind.CZ, 0, 0),
    )
    for gate, (index, kind, outcome, m2) in enumerate(cases):
        _start(stage, gate, "TARGET", kind)
        await stage.peers[2].expect(RgpReady, job=JOB, gate=gate, kind=kind, control=0)
        _reads(stage, ebit=m2)
        number, ebit = await _entangled(circuit, index)
        await stage.wait(SOON_PS)
        stage.peers[2].send(_cat(gate, number, outcome, kind))
        await stage.peers[2].expect(RgpUncat, job=JOB, gate=gate, outcome=m2 ^ index & 1)
        done = await _program(stage, ebit)
        act = (CX if kind == RgpKind.CNOT else CZ, ebit, DATA[0])
        if done != [*[(X, ebit, 0)] * outcome, act, (H, ebit, 0), (MEASURE, ebit, 0)]:
            raise NotMet(f"the target does {done}")
        await stage.user.expect("gate-done", job=JOB, gate=gate, z=0)


@decides("RGP-11", scene=QPU)
async def a_qubit_moves_away(stage: Stage) -> None:
    """The control measures the qubit, too: its outcome and the pair's z are the phase."""
    circuit = None
    for gate, (index, m0, m1) in enumerate(((BellIndex.PHI_MINUS, 0, 1), (BellIndex.PSI_PLUS, 1, 0))):
        _reads(stage, data=m0, ebit=m1)
        circuit = await _control(stage, gate, circuit, RgpKind.MOVE)
        number, ebit = await _entangled(circuit, index)
        row: dict[str, Any] = {"gate": gate, "kind": RgpKind.MOVE, "pair_id": number, "outcome": m1 ^ index >> 1}
        await stage.peers[2].expect(RgpCat, job=JOB, phase=m0 ^ index & 1, **row)
        done = await _program(stage, DATA[0])
        if sorted(done) != sorted([(CX, DATA[0], ebit), (H, DATA[0], 0), (MEASURE, DATA[0], 0), (MEASURE, ebit, 0)]):
            raise NotMet(f"the control of a MOVE does {done}")
        stage.peers[2].send(RgpUncat(JOB, gate, 0))
        await stage.user.expect("gate-done", job=JOB, gate=gate)


@decides("RGP-11", scene=QPU)
async def a_qubit_moves_here(stage: Stage) -> None:
    """X and Z as the Cat says, on the ebit, and nothing is measured: the Uncat is 0."""
    circuit = await served(Hop(stage), PURPOSE, 2)
    _reads(stage, ebit=1)
    for gate, (outcome, phase) in enumerate(((1, 0), (0, 1))):
        _start(stage, gate, "TARGET", RgpKind.MOVE)
        await stage.peers[2].expect(RgpReady, gate=gate, kind=RgpKind.MOVE)
        number, ebit = await _entangled(circuit, BellIndex.PHI_MINUS)
        await stage.wait(SOON_PS)
        stage.peers[2].send(_cat(gate, number, outcome, RgpKind.MOVE, phase))
        await stage.peers[2].expect(RgpUncat, job=JOB, gate=gate, outcome=0)
        done = await _program(stage, ebit)
        paulis = [step for step in done if step[0] in (X, Z)]
        if paulis != [(X, ebit, 0)] * outcome + [(Z, ebit, 0)] * phase or any(step[0] == MEASURE for step in done):
            raise NotMet(f"the target of a MOVE does {done}")
        await stage.user.expect("gate-done", job=JOB, gate=gate)


@decides("RGP-5", scene=QPU)
async def a_ready_that_comes_early_is_kept(stage: Stage) -> None:
    """Before the gate is started here: it asks at once then.  A Refused undoes it: then the gate waits for another."""
    for gate in (1, 2):
        _ready(stage, gate)
    stage.peers[2].send(RgpRefused(JOB, 2, 5))
    await stage.wait(2 * SOON_PS)
    _start(stage, 2, "CONTROL", qubit=DATA[1])
    await stage.peers[2].silence(QnpInstall)
    await stage.user.silence("gate-refused")
    _start(stage, 1, "CONTROL")
    await stage.peers[2].expect(QnpInstall)


@decides("RGP-5", scene=QPU)
async def a_refusal_that_comes_early_is_not_kept(stage: Stage) -> None:
    """A target that starts the gate says Ready all the same, and is refused by the answer to that."""
    stage.peers[2].send(RgpRefused(JOB, 1, 5))
    await stage.wait(2 * SOON_PS)
    _start(stage, 1, "TARGET")
    await stage.peers[2].expect(RgpReady, job=JOB, gate=1)
    await stage.user.silence("gate-refused")
    stage.peers[2].send(RgpRefused(JOB, 1, 5))
    await _refused_to_user(stage, 1, True)


@decides("RGP-5", scene=QPU)
async def what_was_refused_is_refused_again(stage: Stage) -> None:
    """A Ready of a target, of a control, and a Cat, for gates that were given up here: the same Refused once more."""
    stage.user.order("cancel", job=JOB, gates=[1, 2, 3], node=2)
    for gate in (1, 2, 3):
        await _refuses(stage, gate, told=False)
    stage.peers[2].forget()
    _ready(stage, 1)
    _ready(stage, 2, control=1)
    stage.peers[2].send(_cat(3, 997))
    for gate in (1, 2, 3):
        await _refuses(stage, gate, told=False)


async def _refuses(stage: Stage, gate: int, told: bool = True) -> None:
    await stage.peers[2].expect(RgpRefused, job=JOB, gate=gate)
    if told:
        await _refused_to_user(stage, gate, True)


@decides("RGP-6", "RGP-7", scene=QPU)
async def a_target_that_cannot_says_so(stage: Stage) -> None:
    """Another kind than here; a pair that does not come; a Cat for what was not started; cancelled."""
    _start(stage, 1, "TARGET")
    await stage.peers[2].expect(RgpReady, gate=1)
    _ready(stage, 1, RgpKind.CZ, control=1)
    await _refuses(stage, 1)
    _start(stage, 2, "TARGET")
    await stage.peers[2].expect(RgpReady, gate=2)
    stage.peers[2].send(_cat(2, 999))
    await _refuses(stage, 2)
    stage.peers[2].send(_cat(3, 998))
    await _refuses(stage, 3, told=False)
    _start(stage, 4, "TARGET")
    await stage.peers[2].expect(RgpReady, gate=4)
    stage.user.order("cancel", job=JOB, gates=[6], node=2)
    await _refuses(stage, 4)
    await _refuses(stage, 6, told=False)


@decides("RGP-6", "RGP-7", scene=QPU)
async def a_control_that_cannot_says_so(stage: Stage) -> None:
    """The target has another kind; both take themselves for the control; no pair can be had."""
    _start(stage, 1, "CONTROL")
    await stage.wait(SOON_PS)
    _ready(stage, 1, RgpKind.CZ)
    await _refuses(stage, 1)
    _start(stage, 2, "CONTROL")
    await stage.wait(SOON_PS)
    _ready(stage, 2, control=1)
    await _refuses(stage, 2)
    circuit = await _control(stage, 3)
    circuit.peer.send(QnpTeardown(circuit.label, 2, CircuitFate.NO_RATE))
    await _refuses(stage, 3)


@decides("RGP-7", scene=QPU)
async def a_refusal_says_what_became_of_the_qubit(stage: Stage) -> None:
    """By the target: before the control has done its part the qubit is intact, after it is not.  Said twice, it is told
    once."""
    _start(stage, 1, "CONTROL")
    await stage.wait(SOON_PS)
    for _ in range(2):
        stage.peers[2].send(RgpRefused(JOB, 1, 5))
    await _refused_to_user(stage, 1, True)
    circuit = await _control(stage, 2)
    await _entangled(circuit)
    await stage.peers[2].expect(RgpCat, gate=2)
    for _ in range(2):
        stage.peers[2].send(RgpRefused(JOB, 2, 5))
    await _refused_to_user(stage, 2, False)
    await stage.user.silence("gate-refused", "gate-done")


@decides("RGP-8", scene=QPU)
async def a_lost_peer_ends_its_gates(stage: Stage) -> None:
    """It restarts: gates at every step are refused, pairs of it released, and nothing is said."""
    circuit, _ = await _target(stage)
    _start(stage, 1, "CONTROL")
    _start(stage, 2, "TARGET", qubit=DATA[1])
    await stage.peers[2].expect(RgpReady, gate=2)
    await stage.wait(SOON_PS)
    stage.peers[2].restart()
    stage.peers[2].send(RgpRefused(JOB, 77, 5))
    for gate in (1, 2):
        await stage.user.expect("gate-refused", where={"gate": gate}, job=JOB, intact=True)
    await released(stage, circuit.hop.qubits[0])
    await stage.peers[2].silence(*ANY)


@decides("RGP-9", scene=QPU)
async def a_half_of_a_refused_gate_is_released(stage: Stage) -> None:
    """Cats for gates that were not started: of a pair that is here, and of one that comes later."""
    circuit, (first,) = await _target(stage)
    stage.peers[2].send(_cat(1, first))
    await _refuses(stage, 1, told=False)
    await released(stage, circuit.hop.qubits[0])
    await circuit.hop.ask(circuit.label)
    its = await circuit.half()
    stage.peers[2].send(_cat(2, 444))
    await _refuses(stage, 2, told=False)
    circuit.answer(its, pair_id=444)
    await released(stage, circuit.hop.qubits[its.link_sequence])


@decides("RGP-10", scene=QPU)
async def a_control_that_waits_says_so(stage: Stage) -> None:
    """As long as the target says nothing no pair is asked for; after the hold it sends a Ready of its own."""
    _start(stage, 1, "CONTROL", RgpKind.CZ)
    await stage.peers[2].expect(RgpReady, job=JOB, gate=1, kind=RgpKind.CZ, control=1)
    await stage.peers[2].silence(QnpInstall, during=4 * SOON_PS)
