"""Circuits compiled, split over nodes, and executed by a small exact simulator with ideal telegates.

What the split programs give is compared with Qiskit's statevector of the file as it stands, so both the expansion
to device gates and the split are tested against something that uses neither.

What may live here: that simulator, and what tests of circuits ask of it.
"""

import json
from collections.abc import Mapping, Sequence
from math import pi
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit, qasm2, qasm3
from qiskit.quantum_info import Statevector

from protocols.device import MAX_OPS, DeviceOpcode
from stack.application.compiler.circuit import Clause, holds
from stack.application.compiler.steps import COPY
from testbed.circuits import CompiledJob, bit_string, compile_job
from testbed.scenario import load_scenario

ROOT = Path(__file__).parents[2]
NODES = ("north", "south", "west")
BELL = 'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\ncreg c[2];\nh q[0];\ncx q[0],q[1];\nmeasure q -> c;\n'

# ------------------------------------------------------------------------------------------ the exact reference

_S2 = 2**-0.5


def rotation(pauli: Sequence[Sequence[complex]], angle: float) -> Any:
    return np.cos(angle / 2) * np.eye(2) - 1j * np.sin(angle / 2) * np.array(pauli)


X = [[0, 1], [1, 0]]
Y = [[0, -1j], [1j, 0]]
Z = [[1, 0], [0, -1]]
FIXED = {
    DeviceOpcode.X: X,
    DeviceOpcode.Y: Y,
    DeviceOpcode.Z: Z,
    DeviceOpcode.H: [[_S2, _S2], [_S2, -_S2]],
    DeviceOpcode.S: [[1, 0], [0, 1j]],
    DeviceOpcode.SDG: [[1, 0], [0, -1j]],
    DeviceOpcode.T: [[1, 0], [0, np.exp(1j * pi / 4)]],
    DeviceOpcode.TDG: [[1, 0], [0, np.exp(-1j * pi / 4)]],
    DeviceOpcode.SX: [[0.5 + 0.5j, 0.5 - 0.5j], [0.5 - 0.5j, 0.5 + 0.5j]],
    DeviceOpcode.CX: [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]],
    DeviceOpcode.CZ: np.diag([1, 1, 1, -1]),
    DeviceOpcode.SWAP: [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]],
}


def matrix(opcode: int, angle: float) -> Any:
    """The unitary; of two qubits the first is the more significant."""
    match DeviceOpcode(opcode):
        case DeviceOpcode.RX:
            return rotation(X, angle)
        case DeviceOpcode.RY:
            return rotation(Y, angle)
        case DeviceOpcode.RZ:
            return rotation(Z, angle)
        case DeviceOpcode.CP:
            return np.diag([1, 1, 1, np.exp(1j * angle)])
        case fixed:
            return np.array(FIXED[fixed], dtype=complex)


NUMBER = {1: "north", 2: "south", 3: "west"}
"""Nodes by number, as steps name their peers."""


class Lab:
    """All data qubits in one state; each node goes through its steps, a telegate or a move waits for its peer.

    `run` follows every outcome of every measurement, with its probability: `script` holds the outcomes to find, and
    grows by those it did not foresee.
    """

    def __init__(self, job: CompiledJob, names: Mapping[int, str] = NUMBER) -> None:
        self.job = job
        self.names = names
        self.pairs = 0

    def run(self) -> dict[str, float]:
        counts: dict[str, float] = {}
        scripts: list[list[int]] = [[]]
        while scripts:
            shot = _Shot(self.job, self.names, scripts.pop())
            shot.run()
            key = bit_string(shot.results(), self.job.clbits)
            counts[key] = counts.get(key, 0.0) + shot.probability
            scripts += shot.alternatives
            self.pairs = max(self.pairs, len(shot.used))
        return counts


class _Shot:
    def __init__(self, job: CompiledJob, names: Mapping[int, str], script: list[int]) -> None:
        self.job = job
        self.names = names
        self.script = script
        self.found: list[int] = []
        self.alternatives: list[list[int]] = []
        self.probability = 1.0
        self.axis: dict[tuple[str, int], int] = {}
        self.state = np.ones((), dtype=complex)
        self.bits: dict[str, dict[int, int]] = {node: {} for node in job.programs}
        self.told: dict[tuple[str, int], int] = {}
        self.used: list[int] = []

    def results(self) -> dict[int, int]:
        return {c: self.bits[node].get(c, 0) for node, clbits in self.job.results.items() for c in clbits}

    def run(self) -> None:
        todo = {node: list(steps) for node, steps in self.job.programs.items()}
        while any(todo.values()):
            moved = [self.step(node, todo) for node in todo if todo[node]]
            assert any(moved), f"deadlock: {todo}"

    def step(self, node: str, todo: dict[str, list[Any]]) -> bool:
        kind, content = todo[node][0]
        if kind == "local":
            assert len(content) <= MAX_OPS
            for opcode, qubit, other, angle in content:
                self.operate(node, opcode, qubit, other, angle)
        elif kind == "measure":
            for qubit, clbit in content:
                self.bits[node][clbit] = self.measure(self.at(node, qubit))
        elif kind == "tell":
            for number, clbit in content["results"]:
                for peer in content["peers"]:
                    self.told[self.names[peer], number] = self.bits[node].get(clbit, 0)
        elif kind == "hear":
            for number, clbit in content["results"]:
                if (node, number) not in self.told:
                    return False
                self.bits[node][clbit] = self.told[node, number]
        elif kind == "if":
            clauses = tuple(Clause(tuple(c[0]), c[1], c[2]) for c in content["when"])
            todo[node][:1] = content["steps"] if holds(clauses, self.bits[node]) else []
            return True
        elif not self.together(node, kind, content, todo):
            return False
        todo[node].pop(0)
        return True

    def at(self, node: str, qubit: int) -> int:
        if (node, qubit) not in self.axis:  # a seat that is empty at first
            self.axis[node, qubit] = self.state.ndim
            self.state = np.multiply.outer(self.state, [1, 0])
        return self.axis[node, qubit]

    def operate(self, node: str, opcode: int, qubit: int, other: int, angle: int, copy: int = -1) -> None:
        assert -(2**31) <= angle < 2**31
        place = copy if qubit == COPY else self.at(node, qubit)
        if opcode == DeviceOpcode.INIT:
            if self.measure(place):
                self.apply(matrix(DeviceOpcode.X, 0), [place])
            return
        unitary = matrix(opcode, angle * 2 * pi / 2**32)
        second = copy if other == COPY else self.at(node, other) if len(unitary) == 4 else -1
        self.apply(unitary, [place, second] if len(unitary) == 4 else [place])

    def measure(self, axis: int) -> int:
        moved = np.moveaxis(self.state, axis, 0)
        chances = [float(np.sum(np.abs(moved[value]) ** 2)) for value in (0, 1)]
        if len(self.found) < len(self.script):
            outcome = self.script[len(self.found)]
        else:
            outcome = int(chances[0] < 1e-9)
            if min(chances) > 1e-9:
                self.alternatives.append([*self.found, 1 - outcome])
        self.found.append(outcome)
        self.probability *= chances[outcome]
        moved[1 - outcome] = 0
        self.state = self.state / np.sqrt(chances[outcome])
        return outcome

    def together(self, node: str, kind: str, own: dict[str, Any], todo: dict[str, list[Any]]) -> bool:
        peer = self.names[own["peer"]]
        if not todo[peer] or todo[peer][0][0] != kind or todo[peer][0][1]["gate"] != own["gate"]:
            return False
        theirs = todo[peer][0][1]
        assert self.names[theirs["peer"]] == node
        ends = {own["role"]: (node, own), theirs["role"]: (peer, theirs)}
        if kind == "move":
            source, destination = (self.at(ends[role][0], ends[role][1]["qubit"]) for role in ("source", "destination"))
            self.state = np.swapaxes(self.state, source, destination)
        else:
            assert own["kind"] == theirs["kind"]
            (there, block), (here, control) = ends["target"], ends["control"]
            for opcode, qubit, other, angle in block["ops"]:
                self.operate(there, opcode, qubit, other, angle, self.at(here, control["qubit"]))
        self.used.append(own["gate"])
        todo[peer].pop(0)
        return True

    def apply(self, unitary: Any, axes: list[int]) -> None:
        n = len(axes)
        tensor = unitary.reshape((2,) * (2 * n))
        moved = np.tensordot(tensor, self.state, axes=(list(range(n, 2 * n)), axes))
        self.state = np.moveaxis(moved, list(range(n)), axes)


def qiskit_histogram(text: str) -> dict[str, float]:
    """What Qiskit makes of the file itself, which measures all of q into c at its end."""
    circuit = (
        qasm3.loads(text)
        if "OPENQASM 3" in text
        else qasm2.loads(
            text,
            custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS,
            include_path=qasm2.LEGACY_INCLUDE_PATH,
        )
    )
    circuit.remove_final_measurements()
    probabilities: dict[str, float] = Statevector(circuit).probabilities_dict()
    return probabilities


def assert_same(ours: Mapping[str, float], theirs: Mapping[str, float]) -> None:
    # Angles on the bus have 32 bits: each gate may be off by 7e-10.
    for key in ours.keys() | theirs.keys():
        assert ours.get(key, 0.0) == pytest.approx(theirs.get(key, 0.0), abs=1e-7), key


# ------------------------------------------------------------------------------------------------------- set-up


def compiled(
    text: str, mapping: Mapping[str, Sequence[int]] | None, data_qubits: int = 24, merge: bool = True
) -> CompiledJob:
    """A job on three QPUs, each joined to both others."""
    nodes = "".join(
        f"  {n}: {{kind: qpu, device: {{data_qubits: {data_qubits}, communication_qubits: 2}}}}\n" for n in NODES
    )
    pairs = [(a, b) for i, a in enumerate(NODES) for b in NODES[i + 1 :]]
    links = "".join(
        f"  {a}-{b}: {{a: {a}, b: {b}, station: mid, length_m: 2, model: barrett-kok, grade: sampled, slot_s: 1e-6}}\n"
        for a, b in pairs
    )
    job = f"job:\n  circuit: circuit.qasm\n  shots: 10\n  merge: {str(merge).lower()}\n"
    if mapping is not None:
        job += f"  mapping: {json.dumps({node: list(qubits) for node, qubits in mapping.items()})}\n"
    # A fixture would not do: hypothesis calls a test many times.
    with TemporaryDirectory() as folder:
        (Path(folder) / "circuit.qasm").write_text(text)
        (Path(folder) / "lab.yaml").write_text(f"nodes:\n{nodes}  mid: {{kind: station}}\nlinks:\n{links}{job}")
        scenario = load_scenario(Path(folder) / "lab.yaml")
        return compile_job(scenario, scenario.jobs[0])


def check(text: str, mapping: Mapping[str, Sequence[int]] | None, data_qubits: int = 24) -> CompiledJob:
    """Compile, execute, and compare both the result and the stated ideal with Qiskit's."""
    job = compiled(text, mapping, data_qubits)
    expected = qiskit_histogram(text)
    assert_same(job.ideal, expected)
    lab = Lab(job)
    assert_same(lab.run(), expected)
    assert lab.pairs == job.gates
    return job


def source(circuit: QuantumCircuit) -> str:
    """The circuit as OpenQASM 2 with all qubits measured, in registers q and c."""
    measured = QuantumCircuit(*circuit.qregs)
    measured.compose(circuit, inplace=True)
    measured.measure_all()
    text: str = qasm2.dumps(measured)
    return text
