// Hidden shift on ten qubits (van Dam, Hallgren and Ip, 2003), for the bent function that is the sum of the products of
// qubits i and i + 5. The shift is 1011001110: qubits 1, 2, 3, 6, 7 and 9 (the rightmost digit is qubit 0). Without noise the
// circuit reads the shift in every shot; chance would read it once in 1024. Each of the ten CZ crosses between two QPUs.
OPENQASM 2.0;
include "qelib1.inc";

qreg q[10];
creg c[10];

h q;

// The shifted function, in the phase.
x q[1]; x q[2]; x q[3]; x q[6]; x q[7]; x q[9];
cz q[0], q[5];
cz q[1], q[6];
cz q[2], q[7];
cz q[3], q[8];
cz q[4], q[9];
x q[1]; x q[2]; x q[3]; x q[6]; x q[7]; x q[9];

h q;

// The dual of the function, which is the same for this one.
cz q[0], q[5];
cz q[1], q[6];
cz q[2], q[7];
cz q[3], q[8];
cz q[4], q[9];

h q;

measure q -> c;
