"""The histogram of a circuit without noise, exactly.

What may live here: the statevector of a lowered circuit and the probabilities of its results.
"""

from collections.abc import Mapping
from typing import Final

from testbed.circuits.gates import METHOD
from testbed.circuits.lower import Lowered

MAX_QUBITS: Final = 20
MAX_WORK: Final = 1 << 31
"""Gates times amplitudes: about a minute. Beyond, as beyond MAX_QUBITS, there is no ideal histogram."""

_NEGLIGIBLE = 1e-12


def bit_string(bits: Mapping[int, int], clbits: int) -> str:
    """Results in Qiskit's order: classical bit 0 rightmost; bits that nothing wrote are 0."""
    return "".join(str(bits.get(clbit, 0)) for clbit in reversed(range(clbits)))


def ideal_histogram(lowered: Lowered) -> dict[str, float]:
    """Probability of every bit string that can occur, sorted; empty if the circuit is too large to know it.

    Computed from the device gates, not from those of the file: of a gate with 19 controls Qiskit would build
    the matrix, 16 TB of it.
    """
    if lowered.qubits > MAX_QUBITS or len(lowered.gates) << lowered.qubits > MAX_WORK:
        return {}
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import Statevector

    circuit = QuantumCircuit(lowered.qubits)
    for gate in lowered.gates:
        record = METHOD[gate.opcode]
        angle = (gate.angle,) if record.has_angle else ()
        getattr(circuit, record.method)(*angle, *gate.qubits)
    measured = [measurement.qubit for measurement in lowered.measurements]
    probabilities = Statevector(circuit).probabilities(measured)
    histogram: dict[str, float] = {}
    for outcome in (probabilities > _NEGLIGIBLE).nonzero()[0].tolist():
        bits = {m.clbit: outcome >> place & 1 for place, m in enumerate(lowered.measurements)}
        histogram[bit_string(bits, lowered.clbits)] = float(probabilities[outcome])
    return dict(sorted(histogram.items()))
