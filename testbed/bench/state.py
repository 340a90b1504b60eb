"""One gate on the quantum state: through the whole command path of the plane, in SeQUeNCe's managers, in qulacs.

What may live here: benches of the plane alone, without clocks, nodes or sockets.
"""

import time
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import count, pairwise

import numpy as np
from sequence.components.circuit import Circuit
from sequence.kernel.quantum_manager import QuantumManagerDensity, QuantumManagerKet

from protocols.device import Durations, Program
from stack.runtime.times import MS, NS
from testbed.bench.measure import Measured
from testbed.plane import DeviceModel, Plane, PlaneConfig
from testbed.plane.state.engine import Formalism

GATES = 600
ROUNDS = 5


def state_figures() -> Iterator[Measured]:
    """A CX between random members of one entangled group; CPU time, the best of some rounds."""
    how = "program of one CX: submit, step, answer; T1, T2, gate noise, no time twice"
    rows: tuple[tuple[int, Formalism, int], ...] = ((2, "density", 15), (4, "density", 15), (14, "trajectory", 60))
    for qubits, formalism, limit in rows:
        yield _row(f"plane, {qubits}-qubit {formalism}", _plane_cx(qubits, formalism), how, limit)
    how_8 = "the same; per gate of a program of eight"
    yield _row("plane, 4-qubit density, long program", _plane_cx(4, "density", together=8), how_8, 15)
    yield _row("plane, 8-qubit density", _plane_cx(8, "density", gates=60), how, 2000)
    ideal = "the same without noise or decay"
    yield _row("plane, 8-qubit density, ideal", _plane_cx(8, "density", gates=60, noisy=False), ideal, 400)
    yield _row("plane, 500-qubit stabilizer", _plane_cx(500, "stabilizer"), how, 100)
    for qubits in (4, 8, 14):
        if qubits < 14:
            density = _sequence_cx(QuantumManagerDensity(), qubits, 40 if qubits == 4 else 4)
            yield _row(f"SeQUeNCe density matrix, {qubits} qubits", density, "run_circuit, one CX, no noise")
        if qubits < 14:
            ket = _sequence_cx(QuantumManagerKet(), qubits, 40)
            yield _row(f"SeQUeNCe ket, {qubits} qubits", ket, "run_circuit, one CX, no noise")
        yield from _qulacs_cx(qubits)


def _row(name: str, value_us: float, how: str, limit: float | None = None) -> Measured:
    return Measured(f"CX, {name}", value_us, "µs/gate", how, limit)


def _best(each: Callable[[], float], gates: int) -> float:
    """µs per gate. CPU time: other processes of the machine are not what is measured."""
    return min(sum(each() for _ in range(gates)) / gates for _ in range(ROUNDS)) * 1e6


def _timed(call: Callable[[], object]) -> float:
    began = time.thread_time()
    call()
    return time.thread_time() - began


def _plane_cx(qubits: int, formalism: Formalism, gates: int = GATES, together: int = 1, noisy: bool = True) -> float:
    durations = Durations(init_ps=NS, one_qubit_ps=20 * NS, two_qubit_ps=100 * NS)
    noise = {"t1_data_ps": 10 * MS, "t2_data_ps": 5 * MS} if noisy else {}
    fidelity = 0.999 if noisy else 1.0
    model = DeviceModel(qubits, 0, durations=durations, two_qubit_fidelity=fidelity, **noise)
    plane = Plane(PlaneConfig(1, {1: model}, formalism=formalism))
    handles = plane.handles(1)
    rng = np.random.default_rng(1)
    sequence = count(1)
    now = 0

    def carry(program: Program) -> float:
        nonlocal now
        message, body, number = program.message().MESSAGE, bytes(program), next(sequence)

        def path() -> None:
            nonlocal now
            plane.submit(1, now, number, message, body)
            plane.step()
            now = plane.take_answers()[0].due_ps

        spent = _timed(path)
        now += 1 + number % 9973  # no elapsed time comes twice
        return spent / len(program)

    carry(Program().h(handles[0]))
    for a, b in pairwise(handles):
        carry(Program().cx(a, b))

    def each() -> float:
        program = Program()
        for _ in range(together):
            a, b = rng.choice(qubits, 2, replace=False)
            program.cx(handles[a], handles[b])
        return carry(program)

    return _best(each, gates // together)


def _sequence_cx(manager: QuantumManagerKet | QuantumManagerDensity, qubits: int, gates: int) -> float:
    keys = [manager.new() for _ in range(qubits)]
    entangle = Circuit(qubits)
    entangle.h(0)
    for i in range(qubits - 1):
        entangle.cx(i, i + 1)
    manager.run_circuit(entangle, keys)
    one = Circuit(2)
    one.cx(0, 1)
    return _best(lambda: _timed(lambda: manager.run_circuit(one, [keys[0], keys[-1]])), gates)


def _qulacs_cx(qubits: int) -> Iterator[Measured]:
    try:
        qulacs = import_module("qulacs")  # for comparison only, and not everywhere to be had: no dependency
    except ImportError:
        yield _row(f"qulacs, {qubits} qubits", float("nan"), "NOT MEASURED: pip install qulacs")
        return
    for kind, state in (("ket", qulacs.QuantumState), ("density matrix", qulacs.DensityMatrix)):
        if qubits < 14 or kind == "ket":
            vector, gate = state(qubits), qulacs.gate.CNOT(0, qubits - 1)
            spent = _best(lambda v=vector, g=gate: _timed(lambda: g.update_quantum_state(v)), 200)  # type: ignore[misc]
            yield _row(f"qulacs {kind}, {qubits} qubits", spent, "the kernel alone, no noise")
