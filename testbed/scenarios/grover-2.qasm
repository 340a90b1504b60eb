// Grover's search among four, for 11: one query finds it. The two CZ are remote if the qubits are at different QPUs.
OPENQASM 2.0;
include "qelib1.inc";
qreg q[2];
creg c[2];
h q[0];
h q[1];
cz q[0], q[1];          // the oracle marks 11
h q[0];
h q[1];
x q[0];
x q[1];
cz q[0], q[1];          // inversion about the mean
x q[0];
x q[1];
h q[0];
h q[1];
measure q -> c;
