"""One gate on the quantum state: through the whole command path of the plane, in SeQUeNCe's managers, in qulacs.

What may live here: benches of the plane alone, without clocks, nodes or sockets. A figure is the quickest of many short
blocks: on a busy machine that is what the code takes, where a mean says what the neighbours do.
"""

import os
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import count, pairwise
from typing import Any, Final

import numpy as np
from sequence.components.circuit import Circuit
from sequence.kernel.quantum_manager import QuantumManagerDensity, QuantumManagerKet

from protocols.device import Durations, Program
from stack.runtime.times import MS, NS
from testbed.bench.measure import Measured
from testbed.plane import DeviceModel, Plane, PlaneConfig
from testbed.plane.state.engine import Formalism

SECONDS: Final = 0.4
"""That each row is measured for."""

_PATH = "submit, step, answer; T1, T2, gate noise, no time twice"
_IDEAL = "the same without noise or decay"
_BARE = "run_circuit, no noise"


def state_figures() -> Iterator[Measured]:
    """A CX between random members of one entangled group, by size, each of ours beside what others take for it."""
    for qubits in (2, 4):
        yield _row(qubits, "plane, density matrix", _plane(qubits, "density"), _PATH, 15)
        if qubits == 4:
            yield _row(4, "plane, eight in a program", _plane(4, "density", together=8), "per gate of it", 15)
            yield _row(
                4,
                "plane, new programs",
                _plane(4, "density", angles=True),
                "CP by an angle that never came: compiled first",
            )
        yield from _others(qubits)
    yield _row(8, "plane, density matrix", _plane(8, "density"), _PATH, 2000)
    yield _row(8, "plane, density matrix, ideal", _plane(8, "density", noisy=False), _IDEAL, 400)
    yield from _others(8)
    yield _row(14, "plane, trajectory", _plane(14, "trajectory"), _PATH, 60)
    yield from _others(14)
    yield _row(500, "plane, stabilizer", _plane(500, "stabilizer"), _PATH, 100)


def _row(qubits: int, name: str, value_us: float, how: str, limit: float | None = None) -> Measured:
    return Measured(f"CX, {qubits} qubits: {name}", value_us, "us/gate", how, limit)


def _best(block: Callable[[], int]) -> float:
    """µs per gate in the quickest block; a block says how many gates it did."""
    best = float("inf")
    end = time.perf_counter() + SECONDS
    while True:
        began = time.perf_counter()
        gates = block()
        now = time.perf_counter()
        best = min(best, (now - began) / gates)
        if now > end:
            return best * 1e6


def _plane(
    qubits: int,
    formalism: Formalism,
    together: int = 1,
    noisy: bool = True,
    angles: bool = False,
) -> float:
    durations = Durations(init_ps=NS, one_qubit_ps=20 * NS, two_qubit_ps=100 * NS)
    noise = {"t1_data_ps": 10 * MS, "t2_data_ps": 5 * MS} if noisy else {}
    fidelity = 0.999 if noisy else 1.0
    model = DeviceModel(qubits, 0, durations=durations, two_qubit_fidelity=fidelity, **noise)
    plane = Plane(PlaneConfig(1, {1: model}, formalism=formalism))
    handles = plane.handles(1)
    rng = np.random.default_rng(1)
    sequence = count(1)
    message = Program().message().MESSAGE
    now = 0

    def carry(bodies: list[bytes]) -> int:
        nonlocal now
        for body in bodies:
            number = next(sequence)
            plane.submit(1, now, number, message, body)
            plane.step()
            now = plane.take_answers()[0].due_ps + 1 + number % 9973  # no elapsed time comes twice
        return len(bodies) * together

    def program() -> bytes:
        steps = Program()
        for _ in range(together):
            a, b = (handles[i] for i in rng.choice(qubits, 2, replace=False))
            if angles:
                steps.cp(a, b, float(rng.uniform(0.1, 3.0)))
            else:
                steps.cx(a, b)
        return bytes(steps)

    carry([bytes(Program().h(handles[0])), *(bytes(Program().cx(a, b)) for a, b in pairwise(handles))])
    bodies = [program() for _ in range(400)]
    if angles:
        fresh = iter([program() for _ in range(20_000)])
        return _best(lambda: carry([next(fresh) for _ in range(4)]))
    carry(bodies)
    blocks = [bodies[i : i + 8] for i in range(0, len(bodies), 8)]
    turn = count()
    return _best(lambda: carry(blocks[next(turn) % len(blocks)]))


def _others(qubits: int) -> Iterator[Measured]:
    """A CX between the first and the last of a GHZ state."""
    if qubits <= 8:
        yield _row(qubits, "SeQUeNCe density matrix", _sequence(QuantumManagerDensity(), qubits), _BARE)
        yield _row(qubits, "SeQUeNCe ket", _sequence(QuantumManagerKet(), qubits), _BARE)
    else:
        how = f"NOT MEASURED: it makes a 2^{qubits} x 2^{qubits} matrix per gate"
        yield _row(qubits, "SeQUeNCe ket", float("nan"), how)
    os.environ.setdefault("QULACS_NUM_THREADS", "1")  # as ours; on a busy machine its threads wait for each other
    try:
        qulacs = import_module("qulacs")  # for this comparison alone: an extra for developers
    except ImportError:
        yield _row(qubits, "qulacs", float("nan"), "NOT MEASURED: pip install qulacs")
        return
    kinds = [("ket", qulacs.QuantumState), ("density matrix", qulacs.DensityMatrix)]
    for kind, state in kinds if qubits <= 8 else kinds[:1]:
        yield _row(
            qubits,
            f"qulacs {kind}",
            _qulacs(state(qubits), qulacs.gate, qubits),
            "the kernel alone, one thread, no noise",
        )


def _sequence(manager: QuantumManagerKet | QuantumManagerDensity, qubits: int) -> float:
    keys = [manager.new() for _ in range(qubits)]
    entangle = Circuit(qubits)
    entangle.h(0)
    for i in range(qubits - 1):
        entangle.cx(i, i + 1)
    manager.run_circuit(entangle, keys)
    one = Circuit(2)
    one.cx(0, 1)
    ends = [keys[0], keys[-1]]

    def block() -> int:
        manager.run_circuit(one, ends)
        return 1

    return _best(block)


def _qulacs(state: Any, gates: Any, qubits: int) -> float:
    gates.H(0).update_quantum_state(state)
    for i in range(qubits - 1):
        gates.CNOT(i, i + 1).update_quantum_state(state)
    one = gates.CNOT(0, qubits - 1)

    def block() -> int:
        for _ in range(8):
            one.update_quantum_state(state)
        return 8

    return _best(block)
