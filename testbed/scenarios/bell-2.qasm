OPENQASM 2.0;
include "qelib1.inc";
// One Bell pair: on two QPUs the CNOT is one telegate, which uses one pair.
qreg q[2];
creg c[2];
h q[0];
cx q[0], q[1];
measure q -> c;
