"""Circuits over several nodes give what their file says: all gates, random circuits, shared pairs, qubits that move."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from circuit_lab import (
    BELL,
    NODES,
    ROOT,
    Lab,
    assert_same,
    check,
    compiled,
    qiskit_histogram,
    source,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit.library import QFTGate

from protocols.device import MAX_OPS, DeviceOpcode
from stack.application.compiler.steps import COPY
from testbed.circuits import compile_job
from testbed.circuits.source import read_source
from testbed.errors import Place
from testbed.scenario import load_scenario, with_options

# -------------------------------------------------------------------------------------------------------- tests


def test_the_flagship_circuit_needs_two_telegates() -> None:
    scenario = load_scenario(ROOT / "testbed/scenarios/two-qpus.yaml")

    job = compile_job(scenario, scenario.jobs[0])

    west, east = job.programs["west"], job.programs["east"]
    init, h, cx = int(DeviceOpcode.INIT), int(DeviceOpcode.H), int(DeviceOpcode.CX)
    assert west == [
        ["local", [[init, 0, 0, 0], [init, 1, 0, 0], [h, 0, 0, 0], [cx, 0, 1, 0]]],
        ["telegate", {"gate": 0, "kind": "CNOT", "role": "control", "peer": 3, "qubit": 0}],
        ["telegate", {"gate": 1, "kind": "CNOT", "role": "control", "peer": 3, "qubit": 0}],
        ["measure", [[0, 0], [1, 1]]],
    ]
    assert east == [
        ["local", [[init, 0, 0, 0], [init, 1, 0, 0]]],
        ["telegate", {"gate": 0, "kind": "CNOT", "role": "target", "peer": 1, "ops": [[cx, COPY, 0, 0]]}],
        ["telegate", {"gate": 1, "kind": "CNOT", "role": "target", "peer": 1, "ops": [[cx, COPY, 1, 0]]}],
        ["measure", [[0, 2], [1, 3]]],
    ]
    assert (job.name, job.shots, job.gates, job.clbits) == ("ghz-4", 200, 2, 4)
    assert job.ideal == pytest.approx({"0000": 0.5, "1111": 0.5})
    assert_same(Lab(job, {1: "west", 3: "east"}).run(), job.ideal)


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

    # One QPU has qubits 0 and 2, the other qubit 1 and much room: one moves over, and the swap costs nothing.
    assert job.gates == 1


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
        ("cp(0.3) q[0],q[1];", ["COPY"]),
        ("cp(pi) q[0],q[1];", ["CZ"]),
        ("cp(-3*pi) q[0],q[1];", ["CZ"]),
        ("cp(2*pi) q[0],q[1];", []),
        ("swap q[0],q[1];", ["CNOT"] * 3),
    ],
)
def test_telegates_of_a_gate_across(gate: str, telegates: list[str]) -> None:
    job = compiled(BELL.replace("cx q[0],q[1];", gate), {"north": [0], "south": [1]}, merge=False)

    for node in ("north", "south"):
        assert [s[1]["kind"] for s in job.programs[node] if s[0] == "telegate"] == telegates


def test_local_steps_fit_into_a_program_of_the_device() -> None:
    text = BELL.replace("cx q[0],q[1];", "t q[0];\n" * (2 * MAX_OPS))

    north = compiled(text, {"north": [0, 1]}).programs["north"]

    assert [len(step[1]) for step in north] == [MAX_OPS, MAX_OPS, 3, 2]
    assert [step[0] for step in north] == ["local", "local", "local", "measure"]


def test_without_a_mapping_what_belongs_together_shares_a_qpu() -> None:
    """Three Bell pairs of neighbours far apart in the register: each fits into a QPU of its own."""
    pairs = [(0, 5), (1, 4), (2, 3)]
    gates = "".join(f"h q[{a}];\ncx q[{a}],q[{b}];\n" for a, b in pairs)
    text = BELL.replace("q[2]", "q[6]").replace("c[2]", "c[6]").replace("h q[0];\ncx q[0],q[1];\n", gates)

    job = check(text, None, data_qubits=2)

    assert job.gates == 0
    assert sorted(job.programs) == sorted(NODES)


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


# ----------------------------------------------------------------------------------- pairs shared, qubits that move


def across(body: str, qubits: int = 4, clbits: int | None = None) -> str:
    head = f'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[{qubits}];\ncreg c[{clbits or qubits}];\n'
    return head + body + "measure q -> c;\n"


SPREAD = "".join(f"u({0.7 + i},{0.3 * i},{1.1 - i}) q[{i}];\n" for i in range(4))
"""Turned so that every amplitude and phase shows."""


@pytest.mark.parametrize(
    ("gates", "pairs"),
    [
        ("cx q[0],q[2]; cx q[0],q[3];", 1),
        ("cx q[0],q[2]; rz(.3) q[0]; t q[2]; h q[3]; cz q[3],q[0]; cp(.4) q[0],q[2];", 1),
        ("cx q[0],q[2]; h q[0]; cx q[0],q[3];", 2),  # the control has changed
        ("cx q[0],q[2]; cx q[1],q[0]; cx q[0],q[3];", 2),
        ("cx q[0],q[2]; cx q[1],q[3]; cx q[0],q[3];", 3),  # a QPU keeps one copy at a time
        ("cz q[0],q[2]; cz q[1],q[2];", 1),  # symmetric: the copy is of qubit 2
        ("swap q[0],q[2]; h q[0]; cx q[0],q[1];", 1),  # the names change, then qubit 0 is across
        ("cx q[0],q[2]; x q[2]; cx q[0],q[2];", 1),
    ],
)
def test_gates_that_share_a_control_share_a_pair(gates: str, pairs: int) -> None:
    turn_out = "".join(f"u({1.9 - i},{0.8 * i},{0.2 + i}) q[{i}];\n" for i in range(4))
    job = check(across(f"{SPREAD}{gates}\n{turn_out}"), {"north": [0, 1], "south": [2, 3]}, data_qubits=2)

    assert job.gates == pairs


def test_a_qubit_with_much_to_do_elsewhere_moves_there() -> None:
    gates = "cx q[0],q[2]; h q[0]; cx q[2],q[0]; h q[2]; cx q[0],q[2]; h q[0]; cx q[0],q[3];"

    job = check(across(SPREAD + gates), {"north": [0, 1], "south": [2, 3]}, data_qubits=3)

    assert [step[0] for step in job.programs["north"] if step[0] in ("move", "telegate")] == ["move"]
    assert job.gates == 1
    # Without a free seat it has to stay.
    assert check(across(SPREAD + gates), {"north": [0, 1], "south": [2, 3]}, data_qubits=2).gates == 4


def test_as_it_is_written_every_remote_gate_has_its_own_pair() -> None:
    text = across("cx q[0],q[2]; cx q[0],q[3]; swap q[0],q[2]; cp(.3) q[1],q[2];")

    job = compiled(text, {"north": [0, 1], "south": [2, 3]}, merge=False)

    assert job.gates == 1 + 1 + 3 + 1
    assert_same(Lab(job).run(), qiskit_histogram(text))


@settings(max_examples=60)
@given(circuits(NODES))
def test_random_circuits_with_few_free_seats(case: tuple[str, dict[str, list[int]]]) -> None:
    text, mapping = case
    check(text, mapping, data_qubits=max(2, *map(len, mapping.values())))


@settings(max_examples=30)
@given(circuits(NODES))
def test_random_circuits_placed_by_the_compiler(case: tuple[str, dict[str, list[int]]]) -> None:
    text, _ = case
    check(text, None, data_qubits=2)
