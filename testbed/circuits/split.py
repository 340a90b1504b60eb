"""From gates on circuit qubits to one list of steps per node.

What may live here: which gate is local, which is a telegate, and in what order each node meets them. A
telegate is one CNOT or CZ over one pair of the network; what it does on the wire is the remote-gate
protocol's business.

Steps are JSON lists:

    ["local", [[opcode, q, other, angle], ...]]      q, other: data qubits of the node; angle: 2π/2³² each
    ["telegate", {"gate": id, "kind": "CNOT" | "CZ", "role": "control" | "target", "peer": node, "qubit": q}]
    ["measure", [[q, clbit], ...]]                   last

Every node goes through its steps in the order of the circuit, one at a time. Hence two nodes meet their gates
in the same order, and no ring of nodes can wait for each other: the telegate that is earliest in the circuit
among those still open has both its nodes ready for it, or on their way to it through local work only.
"""

from collections.abc import Mapping, Sequence
from math import pi
from typing import Any, Final, NamedTuple

from protocols.device import MAX_OPS, DeviceOpcode, turn
from testbed.circuits.gates import GateOp
from testbed.circuits.lower import Lowered

type Step = list[Any]

_HALF_TURN: Final = -(1 << 31)


class Seat(NamedTuple):
    """Where a circuit qubit lives: a node, and the index among its data qubits."""

    node: str
    qubit: int


class Split(NamedTuple):
    programs: dict[str, list[Step]]
    gates: int
    """Telegates, numbered from 0 in the order of the circuit."""
    crossings: list[tuple[str, str, int]]
    """Control node, target node and instruction of each telegate."""


def split(lowered: Lowered, seats: Sequence[Seat]) -> Split:
    """Steps of every node that has a qubit; `seats` is indexed by circuit qubit."""
    builder = _Builder()
    for seat in seats[: lowered.qubits]:
        builder.local(seat.node, DeviceOpcode.INIT, seat.qubit)
    for gate in lowered.gates:
        _place(builder, gate, seats)
    by_node: dict[str, list[list[int]]] = {}
    for measurement in lowered.measurements:
        seat = seats[measurement.qubit]
        by_node.setdefault(seat.node, []).append([seat.qubit, measurement.clbit])
    for node, pairs in by_node.items():
        for start in range(0, len(pairs), MAX_OPS):
            builder.programs[node].append(["measure", pairs[start : start + MAX_OPS]])
    return Split(builder.programs, len(builder.crossings), builder.crossings)


def _place(builder: "_Builder", gate: GateOp, seats: Sequence[Seat]) -> None:
    if len(gate.qubits) == 1:
        seat = seats[gate.qubits[0]]
        builder.local(seat.node, gate.opcode, seat.qubit, angle=turn(gate.angle))
        return
    a, b = (seats[qubit] for qubit in gate.qubits)
    if a.node == b.node:
        builder.local(a.node, gate.opcode, a.qubit, b.qubit, turn(gate.angle))
    elif gate.opcode == DeviceOpcode.CX:
        builder.telegate("CNOT", a, b, gate.instruction)
    elif gate.opcode == DeviceOpcode.CZ:
        builder.telegate("CZ", a, b, gate.instruction)
    elif gate.opcode == DeviceOpcode.SWAP:
        for control, target in ((a, b), (b, a), (a, b)):
            builder.telegate("CNOT", control, target, gate.instruction)
    elif turn(gate.angle) == _HALF_TURN:
        # A controlled phase of π needs one pair, not two.
        builder.telegate("CZ", a, b, gate.instruction)
    else:
        _controlled_phase(builder, a, b, gate)


def _controlled_phase(builder: "_Builder", a: Seat, b: Seat, gate: GateOp) -> None:
    """CP(φ) = P(φ/2) on both · CX · P(−φ/2) on the target · CX (Barenco et al. 1995, section 5); RZ for P.

    φ is reduced to [−π, π) first: half of 2π is not a full turn.
    """
    half = turn(gate.angle) * pi / (1 << 32)
    builder.local(a.node, DeviceOpcode.RZ, a.qubit, angle=turn(half))
    builder.telegate("CNOT", a, b, gate.instruction)
    builder.local(b.node, DeviceOpcode.RZ, b.qubit, angle=turn(-half))
    builder.telegate("CNOT", a, b, gate.instruction)
    builder.local(b.node, DeviceOpcode.RZ, b.qubit, angle=turn(half))


class _Builder:
    def __init__(self) -> None:
        self.programs: dict[str, list[Step]] = {}
        self.crossings: list[tuple[str, str, int]] = []

    def local(self, node: str, opcode: DeviceOpcode, qubit: int, other: int = 0, angle: int = 0) -> None:
        """Joins the node's last step if that is local and has room: a step is one program of the device."""
        steps = self.programs.setdefault(node, [])
        if not steps or steps[-1][0] != "local" or len(steps[-1][1]) >= MAX_OPS:
            steps.append(["local", []])
        steps[-1][1].append([int(opcode), qubit, other, angle])

    def telegate(self, kind: str, control: Seat, target: Seat, instruction: int) -> None:
        gate = len(self.crossings)
        self.crossings.append((control.node, target.node, instruction))
        for role, seat, peer in (("control", control, target), ("target", target, control)):
            self.programs[seat.node].append(
                [
                    "telegate",
                    {"gate": gate, "kind": kind, "role": role, "peer": peer.node, "qubit": seat.qubit},
                ]
            )


def seats_of(mapping: Mapping[str, Sequence[int]]) -> dict[int, Seat]:
    """Circuit qubit to seat."""
    return {
        circuit_qubit: Seat(node, qubit)
        for node, qubits in mapping.items()
        for qubit, circuit_qubit in enumerate(qubits)
    }
