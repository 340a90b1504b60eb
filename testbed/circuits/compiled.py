"""From a job of a scenario to what its nodes execute.

What may live here: the compiler's one entry, the checks that need circuit and scenario together, and the
result.
"""

from dataclasses import asdict, dataclass
from typing import Any

from testbed.circuits.ideal import ideal_histogram
from testbed.circuits.lower import lower
from testbed.circuits.parse import Parsed, parse
from testbed.circuits.source import read_source
from testbed.circuits.split import Seat, Split, Step, seats_of, split
from testbed.scenario.model import Job, Scenario


@dataclass(frozen=True, slots=True)
class CompiledJob:
    """A circuit as steps per node (see split.py), and what it would give without noise."""

    name: str
    shots: int
    qubits: int
    clbits: int
    programs: dict[str, list[Step]]
    """By node; nodes without a qubit are left out."""
    gates: int
    """Telegates in one shot, numbered from 0."""
    ideal: dict[str, float]
    """Bit strings in Qiskit's order to probabilities; empty if the circuit is too large to know."""
    minimum_fidelity: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compile_jobs(scenario: Scenario) -> list[CompiledJob]:
    """All jobs of a scenario, which run at the same time: no two share a QPU.  Raises BadInput."""
    owners: dict[str, str] = {}
    if scenario.teleport is not None:
        owners[scenario.teleport.source] = "the teleport section"  # its states wait in data qubit 0
    compiled = []
    for job in scenario.jobs:
        compiled.append(compile_job(scenario, job))
        for node in compiled[-1].programs:
            if node in owners:
                raise job.mapping_place.bad(
                    f"{job.name} uses {node}, and so does {owners[node]}: both would work on the same data qubits",
                    "map the job to other QPUs, or run the two one after the other",
                )
            owners[node] = f"the job {job.name}"
    return compiled


def compile_job(scenario: Scenario, job: Job) -> CompiledJob:
    """Raises BadInput, in the circuit file or at the job's place in the scenario."""
    parsed = parse(read_source(job.circuit, job.circuit_place))
    lowered = lower(parsed)
    seats = _seats(scenario, job, lowered.qubits)
    parts = split(lowered, seats)
    _check_links(scenario, parsed, parts)
    return CompiledJob(
        name=job.name,
        shots=job.shots,
        qubits=lowered.qubits,
        clbits=lowered.clbits,
        programs=parts.programs,
        gates=parts.gates,
        ideal=ideal_histogram(lowered),
        minimum_fidelity=job.minimum_fidelity,
    )


def _seats(scenario: Scenario, job: Job, qubits: int) -> list[Seat]:
    """A seat for every circuit qubit."""
    if job.mapping is None:
        return _fill(scenario, job, qubits)
    seats = seats_of(job.mapping)
    missing = next((qubit for qubit in range(qubits) if qubit not in seats), None)
    if missing is not None:
        raise job.mapping_place.bad(
            f"qubit {missing} of {job.circuit.name} ({qubits} qubits) is not mapped",
            "add it to the list of a QPU, or remove the mapping to have the QPUs filled in order",
        )
    if len(seats) > qubits and not job.overridden:
        raise job.mapping_place.bad(
            f"qubit {qubits} is mapped, but {job.circuit.name} has {qubits} qubits, 0 to {qubits - 1}",
            "take it out of the mapping",
        )
    return [seats[qubit] for qubit in range(qubits)]


def _fill(scenario: Scenario, job: Job, qubits: int) -> list[Seat]:
    """The QPUs filled one after the other, in topology order."""
    room = [
        Seat(node.name, index)
        for node in scenario.nodes
        if node.kind == "qpu" and node.device is not None
        for index in range(node.device.data_qubits)
    ]
    if qubits > len(room):
        raise job.circuit_place.bad(
            f"{job.circuit.name} has {qubits} qubits, all QPUs together {len(room)} data qubits",
            "add QPUs, or give their devices more data_qubits",
        )
    return room[:qubits]


def _check_links(scenario: Scenario, parsed: Parsed, parts: Split) -> None:
    for control, target, instruction in parts.crossings:
        if not scenario.joined(control, target):
            raise parsed.bad(
                instruction,
                f"a gate from {control} to {target}, which no quantum link joins, and no chain of links with repeaters",
                f"map both qubits to one node, or add a link to {scenario.path.name}",
            )
