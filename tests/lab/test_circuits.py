"""Circuits: compiled, split over nodes, and executed here by a small exact simulator with ideal telegates.

What the split programs give is compared with Qiskit's statevector of the file as it stands, so both the expansion
to device gates and the split are tested against something that uses neither.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from math import pi
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qasm2, qasm3
from qiskit.circuit.library import QFTGate
from qiskit.quantum_info import Statevector

from protocols.device import MAX_OPS, DeviceOpcode
from testbed.circuits import CompiledJob, bit_string, compile_job
from testbed.circuits.source import read_source
from testbed.errors import Place
from testbed.scenario import load_scenario, with_options

ROOT = Path(__file__).parents[2]
NODES = ("north", "south", "west")
BELL = (
    'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\ncreg c[2];\nh q[0];\ncx q[0],q[1];\nmeasure q -> c;\n'
)

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


class Lab:
    """All data qubits in one state; each node goes through its steps, a telegate waits for its peer."""

    def __init__(self, job: CompiledJob) -> None:
        self.job = job
        self.axis: dict[tuple[str, int], int] = {}
        self.state = np.ones((), dtype=complex)
        self.results: dict[int, int] = {}  # axis of a measured qubit -> its classical bit
        self.telegates: list[int] = []

    def run(self) -> dict[str, float]:
        at = dict.fromkeys(self.job.programs, 0)
        while True:
            open_nodes = [node for node, steps in self.job.programs.items() if at[node] < len(steps)]
            if not open_nodes:
                break
            moved = [node for node in open_nodes if self.step(node, at)]
            assert moved, f"deadlock: {[(n, self.job.programs[n][at[n]]) for n in open_nodes]}"
        return self.histogram()

    def step(self, node: str, at: dict[str, int]) -> bool:
        kind, content = self.job.programs[node][at[node]]
        if kind == "local":
            assert len(content) <= MAX_OPS
            for opcode, qubit, other, angle in content:
                self.operate(node, opcode, qubit, other, angle)
        elif kind == "measure":
            for qubit, clbit in content:
                assert clbit not in self.results.values()
                self.results[self.axis[node, qubit]] = clbit
        elif not self.telegate(node, content, at):
            return False
        at[node] += 1
        return True

    def operate(self, node: str, opcode: int, qubit: int, other: int, angle: int) -> None:
        if opcode == DeviceOpcode.INIT:
            assert (node, qubit) not in self.axis
            self.axis[node, qubit] = self.state.ndim
            self.state = np.multiply.outer(self.state, [1, 0])
            return
        assert -(2**31) <= angle < 2**31
        unitary = matrix(opcode, angle * 2 * pi / 2**32)
        axes = [self.axis[node, qubit]] + ([self.axis[node, other]] if len(unitary) == 4 else [])
        self.apply(unitary, axes)

    def telegate(self, node: str, own: dict[str, Any], at: dict[str, int]) -> bool:
        peer = own["peer"]
        kind, theirs = self.job.programs[peer][at[peer]]
        if kind != "telegate" or theirs["gate"] != own["gate"]:
            return False
        assert theirs == {**own, "peer": node, "qubit": theirs["qubit"], "role": theirs["role"]}
        assert {own["role"], theirs["role"]} == {"control", "target"}
        ends = {own["role"]: self.axis[node, own["qubit"]], theirs["role"]: self.axis[peer, theirs["qubit"]]}
        opcode = {"CNOT": DeviceOpcode.CX, "CZ": DeviceOpcode.CZ}[own["kind"]]
        self.apply(matrix(opcode, 0), [ends["control"], ends["target"]])
        self.telegates.append(own["gate"])
        at[peer] += 1
        return True

    def apply(self, unitary: Any, axes: list[int]) -> None:
        n = len(axes)
        tensor = unitary.reshape((2,) * (2 * n))
        moved = np.tensordot(tensor, self.state, axes=(list(range(n, 2 * n)), axes))
        self.state = np.moveaxis(moved, list(range(n)), axes)

    def histogram(self) -> dict[str, float]:
        counts: dict[str, float] = {}
        for index, p in np.ndenumerate(np.abs(self.state) ** 2):
            bits = {clbit: index[axis] for axis, clbit in self.results.items()}
            key = bit_string(bits, self.job.clbits)
            counts[key] = counts.get(key, 0.0) + float(p)
        return counts


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


def compiled(text: str, mapping: Mapping[str, Sequence[int]] | None, data_qubits: int = 24) -> CompiledJob:
    """A job on three QPUs, each joined to both others."""
    nodes = "".join(
        f"  {n}: {{kind: qpu, device: {{data_qubits: {data_qubits}, communication_qubits: 2}}}}\n"
        for n in NODES
    )
    pairs = [(a, b) for i, a in enumerate(NODES) for b in NODES[i + 1 :]]
    links = "".join(
        f"  {a}-{b}: {{a: {a}, b: {b}, station: mid, length_m: 2, model: barrett-kok, grade: sampled,"
        " slot_s: 1e-6}\n"
        for a, b in pairs
    )
    job = "job:\n  circuit: circuit.qasm\n  shots: 10\n"
    if mapping is not None:
        job += f"  mapping: {json.dumps({node: list(qubits) for node, qubits in mapping.items()})}\n"
    # A fixture would not do: hypothesis calls a test many times.
    with TemporaryDirectory() as folder:
        (Path(folder) / "circuit.qasm").write_text(text)
        (Path(folder) / "lab.yaml").write_text(
            f"nodes:\n{nodes}  mid: {{kind: station}}\nlinks:\n{links}{job}"
        )
        scenario = load_scenario(Path(folder) / "lab.yaml")
        return compile_job(scenario, scenario.jobs[0])


def check(text: str, mapping: Mapping[str, Sequence[int]]) -> CompiledJob:
    """Compile, execute, and compare both the result and the stated ideal with Qiskit's."""
    job = compiled(text, mapping)
    expected = qiskit_histogram(text)
    assert_same(job.ideal, expected)
    lab = Lab(job)
    assert_same(lab.run(), expected)
    assert sorted(lab.telegates) == list(range(job.gates))
    return job


def source(circuit: QuantumCircuit) -> str:
    """The circuit as OpenQASM 2 with all qubits measured, in registers q and c."""
    measured = QuantumCircuit(*circuit.qregs)
    measured.compose(circuit, inplace=True)
    measured.measure_all()
    text: str = qasm2.dumps(measured)
    return text


# -------------------------------------------------------------------------------------------------------- tests


def test_the_flagship_circuit_needs_two_telegates() -> None:
    scenario = load_scenario(ROOT / "testbed/scenarios/two-qpus.yaml")

    job = compile_job(scenario, scenario.jobs[0])

    west, east = job.programs["west"], job.programs["east"]
    init, h, cx = int(DeviceOpcode.INIT), int(DeviceOpcode.H), int(DeviceOpcode.CX)
    assert west == [
        ["local", [[init, 0, 0, 0], [init, 1, 0, 0], [h, 0, 0, 0], [cx, 0, 1, 0]]],
        ["telegate", {"gate": 0, "kind": "CNOT", "role": "control", "peer": "east", "qubit": 0}],
        ["telegate", {"gate": 1, "kind": "CNOT", "role": "control", "peer": "east", "qubit": 0}],
        ["measure", [[0, 0], [1, 1]]],
    ]
    assert east == [
        ["local", [[init, 0, 0, 0], [init, 1, 0, 0]]],
        ["telegate", {"gate": 0, "kind": "CNOT", "role": "target", "peer": "west", "qubit": 0}],
        ["telegate", {"gate": 1, "kind": "CNOT", "role": "target", "peer": "west", "qubit": 1}],
        ["measure", [[0, 2], [1, 3]]],
    ]
    assert (job.name, job.shots, job.gates, job.clbits) == ("ghz-4", 200, 2, 4)
    assert job.ideal == pytest.approx({"0000": 0.5, "1111": 0.5})
    assert_same(Lab(job).run(), job.ideal)


def test_a_compiled_job_is_plain_json() -> None:
    job = compiled(BELL, {"north": [0], "south": [1]})

    assert json.loads(json.dumps(job.to_json())) == job.to_json()


@pytest.mark.parametrize("mapping", [{"north": [0, 2], "south": [1]}, {"south": [2, 0], "west": [1]}])
def test_qft_on_three_qubits(mapping: dict[str, list[int]]) -> None:
    circuit = QuantumCircuit(3)
    for qubit, angle in enumerate((0.3, 1.1, -2.0)):
        circuit.ry(angle, qubit)
    circuit.append(QFTGate(3), range(3))
    circuit = circuit.decompose(["qft"])

    job = check(source(circuit), mapping)

    # Three controlled phases and a swap, all but those of qubits 0 and 2 across: 2 · 2 telegates at least.
    assert job.gates >= 4


ONE = ["x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "sxdg", "id", "rx(0.7)", "ry(-2.5)", "rz(4)", "p(1.2)",
       "u1(0.4)", "u2(0.3,-1)", "u3(0.2,3,-0.6)", "u(3.3,-2,9)", "u0(1)",
       "U(0,0.4,0.9)", "U(2*pi,0.4,0.9)"]  # fmt: skip
TWO = ["cx", "cz", "cy", "ch", "swap", "crx(0.7)", "cry(1.5)", "crz(-0.3)", "cp(2.2)", "cp(pi)", "cu1(-1)", "csx",
       "cu3(0.3,0.4,0.5)", "cu(0.1,0.2,0.3,0.4)", "rxx(0.4)", "rzz(1)", "CX"]  # fmt: skip
MANY = ["ccx", "cswap", "rccx", "c3x", "c3sqrtx"]


@pytest.mark.parametrize("gate", ONE + TWO + MANY)
def test_every_gate_of_the_library(gate: str) -> None:
    qubits = 1 if gate in ONE else 2 if gate in TWO else 4 if gate.startswith("c3") or gate == "rc3x" else 3
    # Turned before and after, so that every amplitude and phase of the gate shows in the result.
    turn_in = "".join(f"u({0.7 + i},{0.3 * i},{1.1 - i}) q[{i}];\n" for i in range(4))
    turn_out = "".join(f"u({1.9 - i},{0.8 * i},{0.2 + i}) q[{i}];\n" for i in range(4))
    operands = ",".join(f"q[{i}]" for i in range(qubits))
    text = (
        'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[4];\ncreg c[4];\n'
        f"{turn_in}{gate} {operands};\n{turn_out}measure q -> c;\n"
    )

    check(text, {"north": [0, 2], "south": [1, 3]})
    check(text, {"north": [0, 1, 2, 3]})


GATES_1 = st.sampled_from(["x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx"])
ANGLED_1 = st.sampled_from(["rx", "ry", "rz", "p"])
PAIRED = st.sampled_from(["cx", "cz", "swap", "cy"])
ANGLED_2 = st.sampled_from(["cp", "crz"])
ANGLES = st.floats(-7, 7, allow_nan=False).map(lambda angle: round(angle, 6))


@st.composite
def circuits(draw: st.DrawFn, nodes: Sequence[str]) -> tuple[str, dict[str, list[int]]]:
    """A file on two to four qubits and a mapping of them to some of the nodes, in any order."""
    qubits = draw(st.integers(2, 4))
    lines = []
    for _ in range(draw(st.integers(1, 14))):
        a, b = draw(st.permutations(range(qubits)))[:2]
        lines.append(
            draw(
                st.one_of(
                    GATES_1.map(lambda g, a=a: f"{g} q[{a}];"),
                    st.tuples(ANGLED_1, ANGLES).map(lambda g, a=a: f"{g[0]}({g[1]}) q[{a}];"),
                    PAIRED.map(lambda g, a=a, b=b: f"{g} q[{a}],q[{b}];"),
                    st.tuples(ANGLED_2, ANGLES).map(lambda g, a=a, b=b: f"{g[0]}({g[1]}) q[{a}],q[{b}];"),
                )
            )
        )
    mapping: dict[str, list[int]] = {}
    for qubit in draw(st.permutations(range(qubits))):
        mapping.setdefault(draw(st.sampled_from(nodes)), []).append(qubit)
    head = f'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[{qubits}];\ncreg c[{qubits}];\n'
    return head + "\n".join(lines) + "\nmeasure q -> c;\n", mapping


@settings(max_examples=80)
@given(circuits(NODES[:2]))
def test_random_circuits_over_two_nodes(case: tuple[str, dict[str, list[int]]]) -> None:
    check(*case)


@settings(max_examples=40)
@given(circuits(NODES))
def test_random_circuits_over_three_nodes_never_deadlock(case: tuple[str, dict[str, list[int]]]) -> None:
    check(*case)


@pytest.mark.parametrize(
    ("gate", "telegates"),
    [
        ("cx q[0],q[1];", ["CNOT"]),
        ("cz q[0],q[1];", ["CZ"]),
        ("cp(0.3) q[0],q[1];", ["CNOT", "CNOT"]),
        ("cp(pi) q[0],q[1];", ["CZ"]),
        ("cp(-3*pi) q[0],q[1];", ["CZ"]),
        ("cp(2*pi) q[0],q[1];", []),
        ("swap q[0],q[1];", ["CNOT"] * 3),
    ],
)
def test_telegates_of_a_gate_across(gate: str, telegates: list[str]) -> None:
    job = compiled(BELL.replace("cx q[0],q[1];", gate), {"north": [0], "south": [1]})

    for node in ("north", "south"):
        assert [s[1]["kind"] for s in job.programs[node] if s[0] == "telegate"] == telegates


def test_local_steps_fit_into_a_program_of_the_device() -> None:
    text = BELL.replace("cx q[0],q[1];", "t q[0];\n" * (2 * MAX_OPS))

    north = compiled(text, {"north": [0, 1]}).programs["north"]

    assert [len(step[1]) for step in north] == [MAX_OPS, MAX_OPS, 3, 2]
    assert [step[0] for step in north] == ["local", "local", "local", "measure"]


def test_without_a_mapping_the_qpus_are_filled_in_order() -> None:
    text = BELL.replace("q[2]", "q[5]").replace("c[2]", "c[5]")

    job = compiled(text, None, data_qubits=2)

    assert [step for step in job.programs["west"] if step[0] == "measure"] == [["measure", [[0, 4]]]]
    assert list(job.programs) == list(NODES)


def test_bit_strings_are_in_qiskits_order_and_unwritten_bits_are_zero() -> None:
    text = (
        'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\ncreg a[2];\ncreg b[2];\n'
        "x q[1];\nmeasure q[1] -> a[1];\nmeasure q[0] -> b[0];\n"
    )

    assert compiled(text, {"north": [0, 1]}).ideal == {"0010": 1.0}


def test_barriers_do_nothing_also_after_measurements() -> None:
    measures = "barrier q;\nmeasure q[0] -> c[0];\nbarrier q;\nmeasure q[1] -> c[1];"
    text = BELL.replace("measure q -> c;", measures)

    assert compiled(text, {"north": [0, 1]}).programs == compiled(BELL, {"north": [0, 1]}).programs


@pytest.mark.parametrize("body", ["h a;", "U(0,0,0.3) a;", "U(pi/2,0,pi) a; U(0,0,pi/4) a;"])
def test_a_gate_is_what_its_file_defines_whatever_its_name(body: str) -> None:
    """Qiskit's parser would take this x for X. Here the definition counts."""
    gate = body.replace("h a;", "U(pi/2,0,pi) a;")
    text = f"OPENQASM 2.0;\ngate x a {{ {gate} }}\nqreg q[1];\ncreg c[1];\nx q[0];\nmeasure q -> c;\n"

    job = compiled(text, {"north": [0]})

    assert job.ideal.get("1", 0.0) == pytest.approx(0.0 if body == "U(0,0,0.3) a;" else 0.5)
    assert_same(Lab(job).run(), job.ideal)


@pytest.mark.parametrize("gate", ["iswap", "delay"])
def test_a_gate_that_only_qiskit_knows_keeps_the_body_of_its_file(gate: str) -> None:
    """With the library included Qiskit offers classes for more names than the library defines."""
    text = BELL.replace("qreg", f"gate {gate}(t) a {{ rx(t) a; }}\nqreg")
    text = text.replace("h q[0];\ncx q[0],q[1];", f"{gate}(pi) q[0];")

    assert compiled(text, {"north": [0, 1]}).ideal == pytest.approx({"01": 1.0})


OPENQASM_3 = """OPENQASM 3.0;
include "stdgates.inc";
gate turn(x) a, b { rx(x) a; cx a, b; ry(-x / 2) b; }
qubit[3] q;
bit[3] c;
h q;
turn(pi / 5) q[0], q[2];
ctrl @ turn(0.4) q[1], q[2], q[0];
negctrl @ x q[0], q[1];
inv @ s q[2];
pow(2) @ t q[1];
gphase(0.4);
cp(-0.7) q[2], q[1];
c = measure q;
"""


def test_openqasm_3() -> None:
    check(OPENQASM_3, {"north": [0], "south": [2, 1]})


def test_openqasm_2_and_3_compile_alike() -> None:
    three = 'OPENQASM 3;\ninclude "stdgates.inc";\nqubit[2] q;\nbit[2] c;\n'
    three += "h q[0];\ncx q[0], q[1];\nc = measure q;\n"
    mapping = {"north": [0], "south": [1]}

    assert compiled(three, mapping) == compiled(BELL, mapping)


def test_beyond_twenty_qubits_there_is_no_ideal() -> None:
    text = BELL.replace("q[2]", "q[21]").replace("c[2]", "c[21]")

    assert compiled(text, {"north": list(range(21))}).ideal == {}
    assert len(compiled(text.replace("[21]", "[20]"), {"north": list(range(20))}).ideal) == 2


def test_an_overridden_circuit_may_leave_seats_empty(tmp_path: Path) -> None:
    scenario = load_scenario(ROOT / "testbed/scenarios/two-qpus.yaml")
    (tmp_path / "bell.qasm").write_text(BELL)

    scenario = with_options(scenario, circuit=tmp_path / "bell.qasm", shots=7)

    job = compile_job(scenario, scenario.jobs[0])
    assert (list(job.programs), job.name, job.shots) == (["west"], "bell", 7)


def test_statements_know_their_lines(tmp_path: Path) -> None:
    text = 'OPENQASM 2.0; // one; two\ninclude "qelib1.inc";\n\nqreg q[1]; creg c[1];\n'
    text += "gate g a {\n  h a;\n  x a;\n}\ng\n q[0]; measure q->c;"
    (tmp_path / "lines.qasm").write_text(text)

    statements = read_source(tmp_path / "lines.qasm", Place("x", "y")).statements

    assert [s.line for s in statements] == [1, 2, 4, 4, 5, 9, 10]
    assert statements[-1].text == "measure q->c;"


def test_qiskit_is_imported_only_when_there_is_a_circuit() -> None:
    program = (
        "import sys\nfrom testbed.scenario import load_scenario\nimport testbed.circuits\n"
        "load_scenario('testbed/scenarios/two-qpus.yaml')\n"
        "raise SystemExit('qiskit' in sys.modules or 'numpy' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
