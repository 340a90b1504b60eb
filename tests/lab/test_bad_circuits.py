"""Bad circuits: what is not OpenQASM, what QPUs cannot run, and what does not fit the scenario, each in its line."""

from pathlib import Path

import pytest
from bad_input_lab import BELL, GOOD, line_of, refused, write_good

HEAD_3 = 'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[2] q;\nbit[2] c;\n'
HEAD_2 = BELL[: BELL.index("h q[0]")]

CIRCUITS: dict[str, tuple[str, int, str]] = {
    # Text, line, problem
    "comments only": ("// nothing\n", 1, "nothing but comments"),
    "no version": ("qreg q[2];\n", 1, "names no OpenQASM version"),
    "prose": ("hello, world\n", 1, "names no OpenQASM version"),
    "version 4": ("\nOPENQASM 4.0;\n", 2, "'OPENQASM 4.0' is not supported"),
    "version 2.1": ("OPENQASM 2.1;\n", 1, "'OPENQASM 2.1' is not supported"),
    "missing semicolon": (BELL.replace("h q[0];", "h q[0]"), 6, "needed ';'"),
    "unknown gate": (BELL.replace("cx", "cy2"), 6, "'cy2' is not defined"),
    "index too large": (BELL.replace("cx q[0],q[1]", "cx q[0],q[2]"), 6, "out-of-range"),
    "same qubit twice": (BELL.replace("q[0],q[1]", "q[1],q[1]"), 6, "duplicate qubits"),
    "division by zero": (BELL.replace("h q[0]", "rx(1/0) q[0]"), 5, "divide by zero"),
    "foreign include": (BELL.replace("qelib1.inc", "/etc/passwd"), 2, "includes '/etc/passwd'"),
    "open quote": (BELL + '"\n', 8, "line break while lexing"),
    "open comment": (BELL + "/* x\n", 8, "not OpenQASM 2"),
    "not ASCII": (BELL.replace("h q[0]", "h é[0]"), 5, "non-ASCII"),
    "opaque": (BELL.replace("h q[0]", "opaque magic a"), 5, "`opaque` is not supported"),
    "nothing measured": (BELL.replace("measure q -> c;\n", ""), 6, "measures nothing"),
    "too many qubits": (BELL.replace("q[2]", "q[2000000000]"), 3, "more than 4096 qubits"),
    "too many bits": (BELL.replace("c[2]", "c[99999999999999999999]"), 4, "more than 4096 classical bits"),
    "number beyond 64 bits": (BELL.replace("h q[0]", "rx(99999999999999999999) q[0]"), 5, "19 digits"),
    "too many signs": (BELL.replace("h q[0]", f"rx({'-' * 99999}1) q[0]"), 5, "nested 100 deep"),
    "too many brackets": (
        BELL.replace("h q[0]", f"rx({'(' * 9999}1{')' * 9999}) q[0]"),
        5,
        "nested 100 deep",
    ),
    "too many powers": (BELL.replace("h q[0]", f"rx({'2^' * 9999}1) q[0]"), 5, "nested 100 deep"),
    "3: missing semicolon": (HEAD_3 + "h q[0]\nx q[1];\n", 6, "unexpected 'x'"),
    "3: unknown gate": (HEAD_3 + "h q[0];\nfoo q[1];\n", 6, "gate 'foo' is not defined"),
    "3: index too large": (HEAD_3 + "h q[0];\nh q[9];\n", 6, "out of range"),
    "3: strange character": (HEAD_3 + "\n£;\n", 6, "token recognition error"),
    "3: ends too early": (HEAD_3 + "gate g a { h a;\n", 6, "the file ends too early"),
    "3: measured into its own condition": (
        HEAD_3 + "c[0] = measure q[0];\nif (c[0]) {\n x q[1];\n c[0] = measure q[1];\n}\n",
        6,
        "its own condition looks at",
    ),
    "3: compound condition": (HEAD_3 + "c = measure q;\nif (c[0] ^ c[1]) { x q[1]; }\n", 6, "`if` is not supported"),
    "3: while": (HEAD_3 + "while (c[0]) { x q[1]; }\n", 5, "`while` is not supported"),
    "3: for": (HEAD_3 + "\nfor int i in [0:1] {\n h q[i]; break;\n}\nc = measure q;\n", 6, "`for` is not supported"),
    "3: switch": (HEAD_3 + "switch (c[0] ^ c[1]) { case 1 { x q[0]; } }\n", 5, "`switch` is not supported"),
    "3: delay": (HEAD_3 + "delay[100ns] q[0];\nc = measure q;\n", 5, "`delay` is not supported"),
    "3: const": (HEAD_3 + "const int n = 1 / 2;\n", 5, "`const` is not supported"),
    "3: def": (HEAD_3 + "def f(qubit a) {\n h a;\n}\n", 5, "`def` is not supported"),
    "3: parameter": (HEAD_3 + "input float a;\nrx(a) q[0];\nc = measure q;\n", 6, "an angle without a value"),
    "3: assignment": (HEAD_3 + "c[0] = 1;\n", 5, "ClassicalAssignment is not supported"),
    "3: hardware qubit": (HEAD_3 + "h $0;\n", 5, "hardware qubits"),
    "3: foreign include": (HEAD_3 + 'include "other.inc";\n', 5, "includes 'other.inc'"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_good(tmp_path)


@pytest.mark.parametrize("name", CIRCUITS)
def test_a_damaged_circuit_is_refused_in_its_line(
    folder: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    text, line, problem = CIRCUITS[name]
    (folder / "bell.qasm").write_text(text)

    error = refused(folder / "lab.yaml")

    assert (error.file, error.place) == (str(folder / "bell.qasm"), f"line {line}")
    assert problem in error.problem
    # The parsers under it have nothing to say of their own.
    assert capfd.readouterr() == ("", "")


def test_gates_that_double_forty_times(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the end they do nothing at all, 2^40 times."""
    monkeypatch.setattr("testbed.circuits.lower.MAX_GATES", 1000)
    gates = "gate g0 a { id a; id a; }\n"
    gates += "".join(f"gate g{n} a {{ g{n - 1} a; g{n - 1} a; }}\n" for n in range(1, 40))
    (folder / "bell.qasm").write_text(HEAD_2 + gates + "g39 q[0];\nmeasure q -> c;\n")

    error = refused(folder / "lab.yaml")

    assert error.place == "line 45"
    assert error.problem == "the circuit expands to more than 1000 gates"


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b"", 1, "is empty"),
        (b"OPENQASM 2.0;\n\x00\x00", 2, "binary"),
        (b"OPENQASM 2.0;\n\n// \xff\n", 3, "not UTF-8"),
    ],
)
def test_a_file_that_is_no_circuit(folder: Path, content: bytes, line: int, problem: str) -> None:
    (folder / "bell.qasm").write_bytes(content)

    error = refused(folder / "lab.yaml")

    assert (error.file, error.place) == (str(folder / "bell.qasm"), f"line {line}")
    assert problem in error.problem


@pytest.mark.parametrize(
    ("qubits", "path", "problem"),
    [
        (3, "job.mapping", "qubit 2 of bell.qasm (3 qubits) is not mapped"),
        (1, "job.mapping", "qubit 1 is mapped, but bell.qasm has 1 qubits"),
    ],
)
def test_a_mapping_that_does_not_fit_its_circuit(folder: Path, qubits: int, path: str, problem: str) -> None:
    text = BELL.replace("[2]", f"[{qubits}]").replace("cx q[0],q[1];\n", "")
    (folder / "bell.qasm").write_text(text)

    error = refused(folder / "lab.yaml")

    assert (error.file, error.place) == (
        str(folder / "lab.yaml"),
        f"line {line_of(GOOD, 'mapping:')}, {path}",
    )
    assert problem in error.problem


def test_a_circuit_larger_than_all_qpus(folder: Path) -> None:
    (folder / "bell.qasm").write_text(BELL.replace("[2]", "[7]"))
    (folder / "lab.yaml").write_text(GOOD[: GOOD.index("  mapping:")])

    error = refused(folder / "lab.yaml")

    assert error.place == f"line {line_of(GOOD, 'circuit:')}, job.circuit"
    assert "7 qubits, all QPUs together 6 data qubits" in error.problem


def test_a_gate_between_nodes_without_a_link(folder: Path) -> None:
    (folder / "lab.yaml").write_text(GOOD.replace("    east: [1]", "    far: [1]"))

    error = refused(folder / "lab.yaml")

    assert (error.file, error.place) == (str(folder / "bell.qasm"), "line 6")
    assert "from west to far, which no quantum link joins" in error.problem
