"""A circuit that a stabilizer run cannot hold is the scenario's fault, found only on the way: one line, exit code 2."""

import pytest
from command_lab import bellwire

SCENARIO = """
formalism: stabilizer
devices:
  wide: {data_qubits: 22, communication_qubits: 1}
nodes:
  west: {kind: qpu, device: wide}
  mid: {kind: station}
  east: {kind: qpu, device: wide}
links:
  west-east: {a: west, b: east, station: mid, length_m: 2, model: barrett-kok, grade: sampled, slot_s: 20.0e-6}
job: {circuit: wide.qasm, shots: 1, mapping: {west: [%s], east: [22]}}
"""


@pytest.mark.parametrize("clock", ["local", "virtual"])
def test_a_t_gate_on_a_wide_stabilizer_state_is_bad_input(tmp_path, clock):
    chain = "".join(f"cx q[{i}],q[{i + 1}];" for i in range(22))
    (tmp_path / "wide.qasm").write_text(
        f'OPENQASM 2.0; include "qelib1.inc"; qreg q[23]; creg c[23]; h q[0]; {chain} t q[5]; measure q -> c;'
    )
    scenario = tmp_path / "wide.yaml"
    scenario.write_text(SCENARIO % ",".join(map(str, range(22))))
    ended = bellwire(scenario, "--clock", clock, "--out", tmp_path / "out")
    assert ended.returncode == 2
    (said,) = ended.stderr.strip().splitlines()
    assert said.startswith("scenario: formalism: a group of 22 entangled qubits cannot go on: the gate is not")
