// GHZ state of four qubits, as a star: with qubits 0, 1 on one QPU and 2, 3 on another, the last two CNOTs are remote.
OPENQASM 2.0;
include "qelib1.inc";

qreg q[4];
creg c[4];

h q[0];
cx q[0], q[1];
cx q[0], q[2];
cx q[0], q[3];

measure q -> c;
