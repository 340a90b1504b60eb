"""A sound scenario and circuit to damage, and what holds for every error about bad input.

What may live here: what test_bad_input and test_bad_circuits share.
"""

from pathlib import Path

import pytest

from testbed.circuits import compile_jobs
from testbed.errors import BadInput
from testbed.scenario import load_scenario

GOOD = """\
seed: 7
devices:
  ion:
    data_qubits: 2
    communication_qubits: 2
    t1_s: 1.0
    t2_s: 1.0
    gate_2q_fidelity: 0.99
    gate_2q_s: 100e-6
nodes:
  west: {kind: qpu, device: ion}
  mid: {kind: station}
  east:
    kind: qpu
    device: ion
  far: {kind: qpu, device: ion}
  boss: {kind: controller}
links:
  west-east:
    a: west
    b: east
    station: mid
    arm_a_m: 1
    arm_b_m: 1
    model: barrett-kok
    grade: sampled
    slot_s: 20e-6
    visibility: 0.97
job:
  circuit: bell.qasm
  shots: 200
  mapping:
    west: [0]
    east: [1]
"""

BELL = """\
OPENQASM 2.0;
include "qelib1.inc";
qreg q[2];
creg c[2];
h q[0];
cx q[0],q[1];
measure q -> c;
"""


def write_good(folder: Path) -> Path:
    """The sound files in a folder; returns the folder."""
    (folder / "bell.qasm").write_text(BELL)
    (folder / "lab.yaml").write_text(GOOD)
    return folder


def line_of(text: str, piece: str) -> int:
    """The last line that holds the piece."""
    return text.count("\n", 0, text.rindex(piece)) + 1


def prepare(path: Path) -> None:
    """What a run does before it starts anything."""
    scenario = load_scenario(path)
    compile_jobs(scenario)


def refused(path: Path) -> BadInput:
    """The error of loading a scenario and compiling its jobs, after checks that hold for every one."""
    with pytest.raises(BadInput) as caught:
        prepare(path)
    error = caught.value
    assert str(error) == f"{error.file}: {error.place}: {error.problem}; {error.remedy}"
    assert len(str(error).splitlines()) == 1
    assert str(error).isprintable()
    assert error.problem
    assert error.remedy
    return error
