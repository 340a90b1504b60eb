"""Area `gates`: teleports, telegates, teledata and GHZ states through the whole stack, against closed forms.

Every row is runs of the real stack under the `local` clock, between QPUs whose local operations are ideal unless the
row says otherwise, over pairs of a known fidelity.  Nothing is read from the plane: a process fidelity is the mean
of the stabilizers of its Choi state, each measured by a circuit of its own on product states (Flammia and Liu,
PRL 106, 230501 (2011)), whose preparation takes no gate on two qubits.
The rows stand in gates.yaml.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from math import sqrt
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from stack.application.compiler.circuit import Circuit
from stack.application.compiler.steps import write
from stack.application.compiler.weave import Local, Move, Piece, Seat
from testbed.circuits import CompiledJob, compile_jobs
from testbed.circuits.lower import lower
from testbed.circuits.parse import parse
from testbed.circuits.source import read_source
from testbed.lab.local import run_local
from testbed.plan.compose import compose
from testbed.report.outcome import Outcome
from testbed.scenario import Scenario, load_scenario
from testbed.scenario.model import PAULI_STATES
from testbed.validate.table import Measurement, Parameter, Parameters, Table

ROWS: Final = Path(__file__).with_name("gates.yaml")
_MOST_SHOTS: Final = 100_000
_MOST_QPUS: Final = 5

_PAIRS: Final = ("werner", "dephased", "single-click")
_EFFICIENCY: Final = 0.2


def _link(values: Parameters) -> dict[str, Any]:
    """A link that makes pairs of this sort and fidelity; a Werner pair gets its noise in the switch."""
    kind, fidelity = values["pairs"], float(values["fidelity"])
    common = {"length_m": 2, "grade": "sampled", "slot_s": 10e-6, "attenuation_db_per_km": 0.0}
    if kind == "single-click":
        # Without dark counts and with full overlap F = 2(1 - a)/(2 - a p), p being the efficiency of an arm.
        alpha = (2 - 2 * fidelity) / (2 - fidelity * _EFFICIENCY)
        arms = {"efficiency_a": _EFFICIENCY, "efficiency_b": _EFFICIENCY}
        return {**common, "model": "single-click", "alpha": alpha, "visibility": 1.0, **arms}
    visibility = 2 * fidelity - 1 if kind == "dephased" else 1.0  # Barrett-Kok: F = (1 + M)/2
    return {**common, "model": "barrett-kok", "round_gap_s": 1e-6, "visibility": visibility}


def _lab(values: Parameters, seed: int, qpus: int, work: dict[str, Any]) -> dict[str, Any]:
    """QPUs q0, q1, ... in a row, each linked with the next, as the text of a scenario."""
    device = {
        "data_qubits": 3,
        "communication_qubits": 2,
        "parallel": True,
        "gate_2q_fidelity": values["gate_2q_fidelity"],
    }
    switch = {"analysers": qpus, "reconfigure_s": 0.0}
    if values["pairs"] == "werner":
        switch["fidelity_cost"] = 1 - float(values["fidelity"])
    nodes: dict[str, Any] = {f"q{i}": {"kind": "qpu", "device": dict(device)} for i in range(qpus)}
    nodes["hub"] = {"kind": "station", "switch": switch}
    links = {f"l{i}": {"a": f"q{i - 1}", "b": f"q{i}", "station": "hub", **_link(values)} for i in range(1, qpus)}
    return {"seed": seed, "nodes": nodes, "links": links, **work}


def _check(values: Parameters) -> None:
    fidelity, kind = float(values["fidelity"]), values["pairs"]
    least = 0.25 if kind == "werner" else 0.5
    if not least <= fidelity <= 1 or (kind == "single-click" and fidelity == 1):
        raise ValueError(f"fidelity: {fidelity} is not within {least} and 1, as that of {kind} pairs")
    if not 0.4 <= float(values["gate_2q_fidelity"]) <= 1:
        raise ValueError(f"gate_2q_fidelity: {values['gate_2q_fidelity']} is not within .4 and 1")
    shots, qpus = values["shots"], values.get("qpus", 2)
    if not isinstance(shots, int) or not 1 <= shots <= _MOST_SHOTS:
        raise ValueError(f"shots: {shots} is no whole number from 1 to {_MOST_SHOTS}")
    if not isinstance(qpus, int) or not 2 <= qpus <= _MOST_QPUS:
        raise ValueError(f"qpus: {qpus} is no whole number from 2 to {_MOST_QPUS}")


# Teleports.


def _teleport(values: Parameters, seed: int) -> Measurement:
    rounds = -(-int(values["shots"]) // len(PAULI_STATES))
    work = {"teleport": {"from": "q0", "to": "q1", "rounds": rounds}}
    with tempfile.TemporaryDirectory(prefix="bellwire-validate-") as folder:
        scenario = _load(_lab(values, seed, 2, work), Path(folder))
        found = run_local(compose(scenario, "local", []), None, {}).results["q1"]["teleport"]["states"]
    sent = sum(n for n, _ in found.values())
    return _share(sum(good for _, good in found.values()), sent)


def _share(good: int, n: int) -> Measurement:
    share = good / n
    return Measurement(share, sqrt(share * (1 - share) / n), n, 1.0)


# Gates and states, by their stabilizers.


class Stabilizer(NamedTuple):
    """A product of Pauli operators, "IXYZ" by qubit, and the sign with which it stabilizes the ideal state."""

    paulis: str
    sign: int


def group(generators: list[str]) -> Iterator[Stabilizer]:
    """All products of commuting Pauli operators but the identity, with their signs."""
    for chosen in product((0, 1), repeat=len(generators)):
        if not any(chosen):
            continue
        bits = [(0, 0)] * len(generators[0])  # (x, z) of i^(xz) X^x Z^z by qubit
        phase = 0  # powers of i
        for generator, used in zip(generators, chosen, strict=True):
            for qubit, letter in enumerate(generator if used else ""):
                x, z = int(letter in "XY"), int(letter in "YZ")
                old_x, old_z = bits[qubit]
                new_x, new_z = old_x ^ x, old_z ^ z
                # i^(ab) X^a Z^b · i^(cd) X^c Z^d = i^(ab + cd - ef) (-1)^(bc) · i^(ef) X^e Z^f, e = a + c, f = b + d.
                phase += old_x * old_z + x * z - new_x * new_z + 2 * old_z * x
                bits[qubit] = (new_x, new_z)
        letters = {(0, 0): "I", (1, 0): "X", (1, 1): "Y", (0, 1): "Z"}
        yield Stabilizer("".join(letters[pair] for pair in bits), 1 - phase % 4)


_TO_Z: Final = {"I": "", "X": "h q[{0}];", "Y": "sdg q[{0}]; h q[{0}];", "Z": ""}

# A gate's qubits are 0 and 1; 2 and 3 of a member of the group are their references.
CHOI: Final = {
    "CNOT": ["XXXI", "ZIZI", "IXIX", "ZZIZ"],
    "CZ": ["XZXI", "ZIZI", "ZXIX", "IZIZ"],
}
_GATE: Final = {"CNOT": "cx q[0], q[1];", "CZ": "cz q[0], q[1];"}
_MAPPING: Final = {"q0": [0], "q1": [1]}

# A reference measured before the gate leaves the gate's qubit in an eigenstate, drawn evenly, of the transpose of the
# operator that it was measured in.  So does this, which needs no reference: the bit says which eigenstate it is.
_DRAW: Final = "h q[{0}]; measure q[{0}] -> c[{1}];"
_FROM_Z: Final = {"I": "", "X": "h q[{0}];", "Y": "h q[{0}]; sdg q[{0}];", "Z": ""}


def _process(values: Parameters, seed: int, compiler: Callable[[Scenario], list[CompiledJob]]) -> Measurement:
    """Of a gate's Choi state."""
    gate = str(values["gate"])

    def circuit(paulis: str) -> str:
        outputs, references = paulis[:2], paulis[2:]
        drawn = "".join((_DRAW + _FROM_Z[letter]).format(q, q + 2) for q, letter in enumerate(references))
        turned = "".join(_TO_Z[letter].format(q) for q, letter in enumerate(outputs))
        return f"qreg q[2]; creg c[4];\n{drawn}\n{_GATE[gate]}\n{turned}\n{_measured(2)}"

    return _fidelity(values, seed, circuit, CHOI[gate], _MAPPING, compiler)


def _measured(qubits: int) -> str:
    return "".join(f"measure q[{qubit}] -> c[{qubit}];" for qubit in range(qubits))


def _telegate(values: Parameters, seed: int) -> Measurement:
    return _process(values, seed, compile_jobs)


def _teledata(values: Parameters, seed: int) -> Measurement:
    """The gate's first qubit goes to the other QPU, the gate is done there, and it returns."""
    return _process(values, seed, _there_and_back)


def _ghz(values: Parameters, seed: int) -> Measurement:
    qpus = int(values["qpus"])
    gates = "h q[0];" + "".join(f"cx q[{i}], q[{i + 1}];" for i in range(qpus - 1))
    generators = ["X" * qpus, *("I" * i + "ZZ" + "I" * (qpus - i - 2) for i in range(qpus - 1))]

    def circuit(paulis: str) -> str:
        turned = "".join(_TO_Z[letter].format(qubit) for qubit, letter in enumerate(paulis))
        return f"qreg q[{qpus}]; creg c[{qpus}];\n{gates}\n{turned}\n{_measured(qpus)}"

    return _fidelity(values, seed, circuit, generators, {f"q{i}": [i] for i in range(qpus)}, compile_jobs)


def _fidelity(
    values: Parameters,
    seed: int,
    circuit: Callable[[str], str],
    generators: list[str],
    mapping: dict[str, list[int]],
    compiler: Callable[[Scenario], list[CompiledJob]],
) -> Measurement:
    """To a stabilizer state: the mean of its stabilizers, the identity among them.

    `circuit` writes the body of the circuit whose bits, one to a letter, show one of them.
    """
    members = list(group(generators))
    shots = -(-int(values["shots"]) // len(members))
    total, variance = 1.0, 0.0
    for number, member in enumerate(members):
        text = f'OPENQASM 2.0; include "qelib1.inc"; {circuit(member.paulis)}\n'
        job = {"job": {"circuit": "gate.qasm", "shots": shots, "mapping": mapping}}
        with tempfile.TemporaryDirectory(prefix="bellwire-validate-") as folder:
            (Path(folder) / "gate.qasm").write_text(text, encoding="utf-8")
            scenario = _load(_lab(values, seed * len(members) + number, len(mapping), job), Path(folder))
            jobs = compiler(scenario)
        outcome = run_local(compose(scenario, "local", jobs), None, {})
        odd = sum(_odd(bits, member.paulis) for bits in shots_of(jobs[0], outcome))
        mean = member.sign * (1 - 2 * odd / shots)
        total += mean
        variance += (1 - mean * mean) / shots
    elements = len(members) + 1
    return Measurement(total / elements, sqrt(variance) / elements, shots * len(members), 1.0)


def shots_of(job: CompiledJob, outcome: Outcome) -> Iterator[dict[int, int]]:
    """The classical bits of every shot."""
    parts = [outcome.results[node]["job-0"] for node in job.programs]
    for found in zip(*(part["bits"] for part in parts), strict=True):
        bits: dict[int, int] = {}
        for part, values in zip(parts, found, strict=True):
            bits |= dict(zip(part["clbits"], map(int, values), strict=True))
        yield bits


def _odd(bits: dict[int, int], paulis: str) -> int:
    return sum(bits[qubit] for qubit, letter in enumerate(paulis) if letter != "I") & 1


def _there_and_back(scenario: Scenario) -> list[CompiledJob]:
    """The job with every gate between QPUs done by teledata, whatever the compiler would choose."""
    (job,) = scenario.jobs
    circuit: Circuit = lower(parse(read_source(job.circuit, job.circuit_place)))
    assert job.mapping is not None
    seats = {
        qubit: Seat(scenario.node(node).number, place)
        for node, qubits in job.mapping.items()
        for place, qubit in enumerate(qubits)
    }
    pieces: list[Piece] = []
    for op in circuit.ops:
        here = tuple(seats[qubit] for qubit in op.qubits)
        if len({seat.node for seat in here}) == 1:
            pieces.append(Local(op, here))
            continue
        home, other = here
        guest = Seat(other.node, 2)  # the third data qubit is free
        pieces += [Move(home, guest), Local(op, (guest, other)), Move(guest, home)]
    programs = write(pieces, seats.values())
    compiled = compile_jobs(scenario)[0]
    names = {node.number: node.name for node in scenario.nodes}
    return [
        replace(
            compiled,
            programs={names[node]: steps for node, steps in programs.steps.items()},
            results={names[node]: programs.results.get(node, []) for node in programs.steps},
            gates=programs.gates,
        )
    ]


def _load(text: dict[str, Any], folder: Path) -> Scenario:
    path = folder / "gates.yaml"
    path.write_text(yaml.safe_dump(text, sort_keys=False), encoding="utf-8")
    return load_scenario(path)


_COMMON: Final = (
    Parameter("fidelity", "F", "of the pairs, to the Bell state that the station heralds"),
    Parameter("pairs", "word", "Werner; dephased (Barrett-Kok, overlap 2F - 1); or with |11> (single click)",
              "werner", _PAIRS),
    Parameter("gate_2q_fidelity", "F", "average gate fidelity of every local CX, CZ and SWAP, depolarising", 1.0),
)  # fmt: skip
_GATES: Final = Parameter("gate", "word", "which", "CNOT", ("CNOT", "CZ"))


def _shots_column(default: int) -> Parameter:
    return Parameter("shots", "shots", "over all states or settings", default)


TABLES: Final = (
    Table(
        "teleport",
        "average fidelity of a teleported qubit, over the six Pauli eigenstates",
        (*_COMMON, _shots_column(900)),
        _teleport,
        _check,
    ),
    Table(
        "telegate",
        "process fidelity of a gate over one pair",
        (*_COMMON, _GATES, _shots_column(900)),
        _telegate,
        _check,
    ),
    Table(
        "teledata",
        "process fidelity of a gate by a qubit that goes there and back: two pairs, and a SWAP into place after each",
        (*_COMMON, _GATES, _shots_column(900)),
        _teledata,
        _check,
    ),
    Table(
        "ghz",
        "fidelity of a GHZ state over QPUs in a row, a telegate between neighbours",
        (*_COMMON, Parameter("qpus", "QPUs", "one qubit each, 2 to 5", 3), _shots_column(700)),
        _ghz,
        _check,
    ),
)

__all__ = ["CHOI", "ROWS", "TABLES", "Stabilizer", "group", "shots_of"]
