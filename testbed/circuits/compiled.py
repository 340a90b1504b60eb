"""From a job of a scenario to what its nodes execute.

What may live here: the compiler's one entry for jobs, the checks that need circuit and scenario together, and the
result.
"""

from collections.abc import Container
from dataclasses import asdict, dataclass
from typing import Any

from stack.application.compiler.circuit import Circuit, Op
from stack.application.compiler.cut import DoesNotFit, cut
from stack.application.compiler.steps import Programs, write
from stack.application.compiler.ways import Distance, Ways
from stack.application.compiler.weave import Block, Move, Piece, Remote, Seat, Woven, weave
from testbed.circuits.ideal import ideal_histogram
from testbed.circuits.lower import lower
from testbed.circuits.nearness import nearness
from testbed.circuits.parse import Parsed, parse
from testbed.circuits.source import read_source
from testbed.scenario.model import Job, Scenario


@dataclass(frozen=True, slots=True)
class CompiledJob:
    """A circuit as steps per node (see stack.application.compiler.steps), and what it would give without noise."""

    name: str
    shots: int
    qubits: int
    clbits: int
    programs: dict[str, list[Any]]
    """By node; nodes without a step are left out."""
    results: dict[str, list[int]]
    """Classical bits of which a node knows the value at the end of a shot."""
    gates: int
    """Pairs that one shot uses, if every condition holds."""
    ideal: dict[str, float]
    """Bit strings in Qiskit's order to probabilities; empty if the circuit is too large to know."""
    minimum_fidelity: float
    circuit: Circuit | None = None
    """Of a job that its controller compiles: there are no programs before."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compile_jobs(scenario: Scenario, distance: Distance | None = None) -> list[CompiledJob]:
    """All jobs of a scenario, which run at the same time: no two share a QPU.  Those that go to a controller are only
    read: it compiles them.  Raises BadInput."""
    owners: dict[str, str] = {}
    if scenario.teleport is not None:
        owners[scenario.teleport.source] = "the teleport section"  # its states wait in data qubit 0
    compiled = []
    distance = distance or nearness(scenario)
    for job in scenario.jobs:
        if job.controller:
            compiled.append(read_job(job))
            continue
        compiled.append(compile_job(scenario, job, distance, owners))
        for node in compiled[-1].programs:
            if node in owners:
                raise job.mapping_place.bad(
                    f"{job.name} uses {node}, and so does {owners[node]}: both would work on the same data qubits",
                    "map the job to other QPUs, or run the two one after the other",
                )
            owners[node] = f"the job {job.name}"
    return compiled


def read_job(job: Job) -> CompiledJob:
    """A job for a controller.  Raises BadInput."""
    circuit = lower(parse(read_source(job.circuit, job.circuit_place)))
    return CompiledJob(
        name=job.name,
        shots=job.shots,
        qubits=circuit.qubits,
        clbits=circuit.clbits,
        programs={},
        results={},
        gates=0,
        ideal=ideal_histogram(circuit),
        minimum_fidelity=job.minimum_fidelity,
        circuit=circuit,
    )


def compile_job(
    scenario: Scenario, job: Job, distance: Distance | None = None, taken: Container[str] = ()
) -> CompiledJob:
    """Raises BadInput, in the circuit file or at the job's place in the scenario.

    distance: what a pair between two nodes costs (see `cut`); without it `nearness` of the scenario.
    taken: nodes on which no qubit is placed, unless the mapping says so.
    """
    parsed = parse(read_source(job.circuit, job.circuit_place))
    circuit = lower(parsed)
    seats, woven = _placed(scenario, job, circuit, distance or nearness(scenario), taken)
    _check_links(scenario, parsed, woven)
    programs: Programs = write(woven.pieces, seats)
    if job.ahead:
        _check_ahead(scenario, job, woven)
    names = {node.number: node.name for node in scenario.nodes}
    return CompiledJob(
        name=job.name,
        shots=job.shots,
        qubits=circuit.qubits,
        clbits=circuit.clbits,
        programs={names[node]: steps for node, steps in programs.steps.items()},
        results={names[node]: programs.results.get(node, []) for node in programs.steps},
        gates=programs.gates,
        ideal=ideal_histogram(circuit),
        minimum_fidelity=job.minimum_fidelity,
    )


def _placed(
    scenario: Scenario, job: Job, circuit: Circuit, distance: Distance, taken: Container[str]
) -> tuple[list[Seat], Woven]:
    """A seat for every qubit: where the job's mapping says, else where few pairs are needed."""
    names = {node.number: node.name for node in scenario.nodes}
    rooms = {
        node.number: node.device.data_qubits
        for node in scenario.nodes
        if node.kind == "qpu" and node.device is not None and node.device.data_qubits
    }
    if job.mapping is None:
        free = {number: room for number, room in rooms.items() if names[number] not in taken}
        try:
            return cut(circuit, free, distance)
        except DoesNotFit as error:
            raise job.circuit_place.bad(
                f"{job.circuit.name}: {error}", "add QPUs, or give their devices more data_qubits"
            ) from None
    seats = {
        qubit: Seat(scenario.node(node).number, index)
        for node, qubits in job.mapping.items()
        for index, qubit in enumerate(qubits)
    }
    missing = next((qubit for qubit in range(circuit.qubits) if qubit not in seats), None)
    if missing is not None:
        raise job.mapping_place.bad(
            f"qubit {missing} of {job.circuit.name} ({circuit.qubits} qubits) is not mapped",
            "add it to the list of a QPU, or remove the mapping to have qubits placed where few pairs are needed",
        )
    if len(seats) > circuit.qubits and not job.overridden:
        raise job.mapping_place.bad(
            f"qubit {circuit.qubits} is mapped, but {job.circuit.name} has {circuit.qubits} qubits, 0 to"
            f" {circuit.qubits - 1}",
            "take it out of the mapping",
        )
    chosen = [seats[qubit] for qubit in range(circuit.qubits)]
    return chosen, weave(circuit, chosen, rooms, Ways(rooms, distance), job.merge)


def _check_ahead(scenario: Scenario, job: Job, woven: Woven) -> None:
    """Pairs that wait hold qubits at both ends.  If a node could not hold all of them, one kind might take the qubit
    that another needs first, and nodes would wait for each other for ever."""
    growing = scenario.circuits.growing
    held: dict[int, int] = {}
    for ends in {ends for piece in woven.pieces if (ends := _ends(piece)) is not None}:
        for number in ends:
            held[number] = held.get(number, 0) + job.ahead
    for node in scenario.nodes:
        room = node.device.communication_qubits if node.device is not None else 0
        if held.get(node.number, 0) > room:
            peers = held[node.number] // job.ahead
            raise job.mapping_place.bad(
                f"{job.ahead} pairs ahead for each of {peers} ways over which {node.name} does gates are more than its"
                f" {room} communication qubits",
                "lower `ahead` of the job, or give the device more communication_qubits",
            )
        places = node.device.places if node.device is not None else 0
        if node.number in held and held[node.number] + growing > places:  # the last of them would never be made
            raise job.mapping_place.bad(
                f"{held[node.number]} pairs ahead at {node.name}, of which the last takes {growing + 1} qubits while it"
                f" is purified, are more than {places} qubits have room for",
                "lower `ahead` of the job, purify in fewer rounds, or give the device more qubits",
            )


def _ends(piece: Piece) -> tuple[int, int] | None:
    """The nodes that share the pair of a piece, the one that asks for it first."""
    match piece:
        case Block():
            return piece.control.node, piece.node
        case Remote():
            return piece.control.node, piece.target.node
        case Move():
            return piece.source.node, piece.destination.node
        case _:
            return None


def _check_links(scenario: Scenario, parsed: Parsed, woven: Woven) -> None:
    names = {node.number: node.name for node in scenario.nodes}
    op: Op | None
    for piece in woven.pieces:
        ends = _ends(piece)
        if ends is None:
            continue
        here, there = ends
        match piece:
            case Block():
                op = piece.ops[0][0]
            case Remote():
                op = piece.op
            case _:
                op = None
        if not scenario.joined(names[here], names[there]):
            what = "a gate" if op is not None else "a qubit"
            raise parsed.bad(
                op.origin if op is not None else 0,
                f"{what} from {names[here]} to {names[there]}, which no quantum link joins, and no"
                " chain of links with repeaters",
                f"map both qubits to one node, or add a link to {scenario.path.name}",
            )
