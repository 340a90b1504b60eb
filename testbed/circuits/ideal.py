"""The histogram of a circuit without noise, exactly.

What may live here: the state of a lowered circuit, branch by branch of what it measures, and the probabilities of its
results.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from protocols.device import radians
from protocols.wire import DeviceOpcode
from stack.application.compiler.circuit import Circuit, Op, holds
from testbed.circuits.gates import METHOD

MAX_QUBITS: Final = 20
MAX_WORK: Final = 1 << 31
"""Gates times amplitudes: about a minute. Beyond, as beyond MAX_QUBITS, there is no ideal histogram."""

_SPLITTING: Final = 1 << 20
"""What a branch costs besides, in the same unit: at most 2048 of them."""

_NEGLIGIBLE = 1e-12


def bit_string(bits: Mapping[int, int], clbits: int) -> str:
    """Results in Qiskit's order: classical bit 0 rightmost; bits that nothing wrote are 0."""
    return "".join(str(bits.get(clbit, 0)) for clbit in reversed(range(clbits)))


def ideal_histogram(circuit: Circuit) -> dict[str, float]:
    """Probability of every bit string that can occur, sorted; empty if the circuit is too large to know it.

    Computed from the device gates, not from those of the file: of a gate with 19 controls Qiskit would build
    the matrix, 16 TB of it.
    """
    if circuit.qubits > MAX_QUBITS:
        return {}
    simulation = _Simulation(circuit)
    return dict(sorted(simulation.histogram.items())) if simulation.run() else {}


def _branching(circuit: Circuit) -> set[int]:
    """Measurements and resets, by place, of which the rest of the circuit depends on the outcome: their qubit is used
    again, or their result is read or may be overwritten."""
    used: set[int] = set()
    touched: set[int] = set()
    found = set()
    for place in reversed(range(len(circuit.ops))):
        op = circuit.ops[place]
        if op.opcode is DeviceOpcode.MEASURE:
            if op.when or op.qubits[0] in used or op.clbit in touched:
                found.add(place)
            touched.add(op.clbit)
        elif op.opcode is DeviceOpcode.INIT:
            found.add(place)
        used.update(op.qubits)
        touched |= op.reads
    return found


@dataclass(slots=True)
class _Branch:
    place: int
    state: Any
    probability: float
    bits: dict[int, int]
    last: dict[int, int]  # measured at the end: clbit -> qubit


class _Simulation:
    def __init__(self, circuit: Circuit) -> None:
        self.histogram: dict[str, float] = {}
        self._circuit = circuit
        self._branching = _branching(circuit)
        self._work = 0

    def run(self) -> bool:
        """Whether it could be done within MAX_WORK."""
        if len(self._circuit.ops) << self._circuit.qubits > MAX_WORK:
            return False
        from qiskit.quantum_info import Statevector

        open_branches = [_Branch(0, Statevector.from_int(0, 2**self._circuit.qubits), 1.0, {}, {})]
        while open_branches and self._work <= MAX_WORK:
            open_branches += self._follow(open_branches.pop())
        return not open_branches

    def _follow(self, branch: _Branch) -> list[_Branch]:
        """To the end, or to the next place where it splits."""
        from qiskit import QuantumCircuit

        segment = QuantumCircuit(self._circuit.qubits)
        self._work += _SPLITTING
        for place in range(branch.place, len(self._circuit.ops)):
            op = self._circuit.ops[place]
            if not holds(op.when, branch.bits):
                continue
            if place in self._branching:
                state = branch.state.evolve(segment)
                return self._split(branch, place, op, state)
            if op.opcode is DeviceOpcode.MEASURE:
                branch.last[op.clbit] = op.qubits[0]
                continue
            self._work += 1 << self._circuit.qubits
            record = METHOD[op.opcode]
            angle = (radians(op.angle),) if record.has_angle else ()
            getattr(segment, record.method)(*angle, *op.qubits)
        self._end(branch, branch.state.evolve(segment))
        return []

    def _split(self, branch: _Branch, place: int, op: Op, state: Any) -> list[_Branch]:
        qubit = op.qubits[0]
        found = []
        for value, share in enumerate(state.probabilities([qubit])):
            if share * branch.probability < _NEGLIGIBLE:
                continue
            after = _projected(state, qubit, value, op.opcode is DeviceOpcode.INIT)
            bits = dict(branch.bits)
            if op.opcode is DeviceOpcode.MEASURE:
                bits[op.clbit] = value
            found.append(_Branch(place + 1, after, branch.probability * float(share), bits, dict(branch.last)))
        return found

    def _end(self, branch: _Branch, state: Any) -> None:
        clbits = list(branch.last)
        probabilities = state.probabilities([branch.last[clbit] for clbit in clbits])
        for outcome in (probabilities * branch.probability > _NEGLIGIBLE).nonzero()[0].tolist():
            bits = branch.bits | {clbit: outcome >> place & 1 for place, clbit in enumerate(clbits)}
            key = bit_string(bits, self._circuit.clbits)
            share = float(probabilities[outcome]) * branch.probability
            self.histogram[key] = self.histogram.get(key, 0.0) + share


def _projected(state: Any, qubit: int, value: int, reset: bool) -> Any:
    """The normalised state after the qubit has been found to be `value` (and reset)."""
    import numpy as np
    from qiskit.quantum_info import Statevector

    amplitudes = np.array(state.data).reshape(-1, 2, 1 << qubit)
    kept = amplitudes[:, value, :].copy()
    after = np.zeros_like(amplitudes)
    after[:, 0 if reset else value, :] = kept / np.linalg.norm(kept)
    return Statevector(after.reshape(-1))
