"""From a Qiskit circuit to operations that devices know.

What may live here: the refusal of what cannot run on QPUs, the expansion of gates by their definitions, and the
unrolling of control flow into conditions (conditions.py).  No optimisation: what a person wrote is what is compiled.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final, NamedTuple

from protocols.device import DeviceOpcode, turn
from stack.application.compiler.circuit import Circuit, Clause, Op
from testbed.circuits.conditions import TooComplex, clauses, equals
from testbed.circuits.gates import BY_CLASS
from testbed.circuits.parse import Given, Parsed

MAX_GATES: Final = 100_000
MAX_NESTING: Final = 100


class _Refusal(NamedTuple):
    name: str
    remedy: str


_REFUSED: Final = {
    "WhileLoopOp": _Refusal("while", "write the repetitions out: nobody knows how many there will be"),
    "BreakLoopOp": _Refusal("break", "write the repetitions out"),
    "ContinueLoopOp": _Refusal("continue", "write the repetitions out"),
    "Delay": _Refusal("delay", "remove it: devices have durations of their own"),
    "Store": _Refusal("a classical variable", "remove it: only results of measurements are kept"),
}
_NOTHING: Final = frozenset({"Barrier", "IGate", "GlobalPhaseGate"})
_ALIASES: Final = {"CU1Gate": "CPhaseGate"}
_TURNING: Final = frozenset(record.opcode for record in BY_CLASS.values() if record.has_angle)
_HALF_TURN: Final = -(1 << 31)
_CLASSICAL: Final = frozenset({"Measure", "Reset", "IfElseOp", "SwitchCaseOp", "ForLoopOp", "BoxOp"})


def lower(parsed: Parsed | Given) -> Circuit:
    """Raises BadInput, with the line or the instruction, for what is not supported."""
    circuit = parsed.circuit
    expander = _Expander(parsed)
    names = _Names(
        {bit: index for index, bit in enumerate(circuit.qubits)},
        {bit: index for index, bit in enumerate(circuit.clbits)},
    )
    for number, instruction in enumerate(circuit.data):
        expander.instruction(instruction, names, (), number, 0)
    if not any(op.opcode is DeviceOpcode.MEASURE for op in expander.ops):
        raise parsed.bad_end("the circuit measures nothing", "measure at its end: `measure q -> c;`")
    return Circuit(len(circuit.qubits), len(circuit.clbits), tuple(expander.ops))


def _kind(operation: Any) -> str:
    """Qiskit's class. Names will not do: a file may define a gate of its own under nearly any name."""
    return str(operation.base_class.__name__)


def _open_control(operation: Any) -> bool:
    """Whether a control waits for |0⟩: the class is that of the gate, the definition has X around it."""
    controls = getattr(operation, "num_ctrl_qubits", 0)
    return bool(getattr(operation, "ctrl_state", 0) != (1 << controls) - 1)


class _Names(NamedTuple):
    """The bits of a circuit, or of a block inside it, by their numbers in the whole."""

    qubits: Mapping[Any, int]
    clbits: Mapping[Any, int]

    def inside(self, block: Any, instruction: Any) -> "_Names":
        """Those of a block, whose bits stand for the instruction's, place by place."""
        qubits = [self.qubits[bit] for bit in instruction.qubits]
        clbits = [self.clbits[bit] for bit in instruction.clbits]
        return _Names(dict(zip(block.qubits, qubits, strict=True)), dict(zip(block.clbits, clbits, strict=True)))


class _Expander:
    def __init__(self, parsed: Parsed | Given) -> None:
        self.ops: list[Op] = []
        self._parsed = parsed
        self._visited = 0

    def instruction(self, instruction: Any, names: _Names, when: tuple[Clause, ...], number: int, depth: int) -> None:
        """Append what one instruction does, under a condition.  `number`: its top-level instruction."""
        operation = instruction.operation
        kind = _kind(operation)
        qubits = tuple(names.qubits[bit] for bit in instruction.qubits)
        self._visit(number, depth)
        if kind in _REFUSED:
            refusal = _REFUSED[kind]
            raise self._parsed.bad(number, f"`{refusal.name}` is not supported", refusal.remedy)
        match kind:
            case "Measure":
                clbit = names.clbits[instruction.clbits[0]]
                self.ops.append(Op(DeviceOpcode.MEASURE, qubits, 0, clbit, when, number))
            case "Reset":
                self.ops.append(Op(DeviceOpcode.INIT, qubits, when=when, origin=number))
            case "IfElseOp":
                self._if(instruction, names, when, number, depth)
            case "SwitchCaseOp":
                self._switch(instruction, names, when, number, depth)
            case "ForLoopOp":
                self._for(instruction, names, when, number, depth)
            case "BoxOp":
                self._block(operation.blocks[0], names.inside(operation.blocks[0], instruction), when, number, depth)
            case _:
                self._gate(operation, qubits, when, number, depth)

    # -- control flow

    def _block(self, block: Any, names: _Names, when: tuple[Clause, ...], number: int, depth: int) -> None:
        for inner in block.data:
            self.instruction(inner, names, when, number, depth + 1)

    def _branch(
        self, block: Any, instruction: Any, names: _Names, when: tuple[Clause, ...], number: int, depth: int
    ) -> None:
        """A block under a condition of its own, which must not change while it runs."""
        first = len(self.ops)
        self._block(block, names.inside(block, instruction), when, number, depth)
        reads = {clbit for clause in when for clbit in clause.clbits}
        if any(op.opcode is DeviceOpcode.MEASURE and op.clbit in reads for op in self.ops[first:]):
            raise self._parsed.bad(
                number, "a measurement into a bit that its own condition looks at", "measure into another bit"
            )

    def _if(self, instruction: Any, names: _Names, when: tuple[Clause, ...], number: int, depth: int) -> None:
        operation = instruction.operation
        first = len(self.ops)
        for block, wanted in zip(operation.blocks, (True, False), strict=False):
            own = self._clauses(operation.condition, wanted, names, number)
            if not wanted:
                self._unchanged(own, first, number)
            if own is not None:  # else it can never hold
                self._branch(block, instruction, names, (*when, *own), number, depth)

    def _switch(self, instruction: Any, names: _Names, when: tuple[Clause, ...], number: int, depth: int) -> None:
        operation = instruction.operation
        first = len(self.ops)
        seen: list[Clause] = []
        for values, block in operation.cases_specifier():
            for value in values:
                # The default comes last; no case falls through to the next.
                default = not isinstance(value, int)
                own = tuple(seen) if default else (self._equals(operation.target, value, names, number),)
                self._unchanged(own, first, number)
                self._branch(block, instruction, names, (*when, *own), number, depth)
                if not default:
                    seen.append(own[0]._replace(negated=True))

    def _unchanged(self, own: tuple[Clause, ...] | None, first: int, number: int) -> None:
        """An earlier branch must not have changed what this one looks at."""
        reads = {clbit for clause in own or () for clbit in clause.clbits}
        if any(op.opcode is DeviceOpcode.MEASURE and op.clbit in reads for op in self.ops[first:]):
            raise self._parsed.bad(
                number, "a measurement into a bit that its own condition looks at", "measure into another bit"
            )

    def _for(self, instruction: Any, names: _Names, when: tuple[Clause, ...], number: int, depth: int) -> None:
        values, parameter, body = instruction.operation.params
        inner = names.inside(body, instruction)
        for value in values:
            self._visit(number, depth)
            block = body
            if parameter is not None and parameter in body.parameters:
                block = body.assign_parameters({parameter: value})
            self._block(block, inner, when, number, depth)

    def _clauses(self, condition: Any, wanted: bool, names: _Names, number: int) -> tuple[Clause, ...] | None:
        try:
            return clauses(condition, wanted, names.clbits)
        except TooComplex as error:
            raise self._parsed.bad(
                number,
                f"a condition that is too complex: {error}",
                "compare bits or registers with numbers, joined by &&",
            ) from None

    def _equals(self, target: Any, value: int, names: _Names, number: int) -> Clause:
        try:
            return equals(target, value, names.clbits)
        except TooComplex as error:
            raise self._parsed.bad(
                number, f"a switch that is too complex: {error}", "switch over a register or a bit"
            ) from None

    # -- gates

    def _visit(self, number: int, depth: int) -> None:
        # Counted by visits, not by gates: definitions that double at each level may end in nothing at all.
        self._visited += 1
        if self._visited > MAX_GATES or depth > MAX_NESTING:
            raise self._parsed.bad(
                number, f"the circuit expands to more than {MAX_GATES} gates", "write a smaller circuit"
            )

    def _gate(self, operation: Any, qubits: tuple[int, ...], when: tuple[Clause, ...], number: int, depth: int) -> None:
        """Append a gate, or those of its definition. Global phases are dropped: nothing is controlled now."""
        kind = _kind(operation)
        if kind in _NOTHING:
            return
        if kind in ("UGate", "PhaseGate", "U1Gate"):
            self._rotations(kind, self._angles(operation, number), qubits, when, number)
            return
        record = BY_CLASS.get(_ALIASES.get(kind, kind))
        if record is not None and not _open_control(operation):
            angle = self._angles(operation, number)[0] if record.has_angle else 0.0
            self._append(record.opcode, qubits, angle, when, number)
            return
        definition = getattr(operation, "definition", None)
        if definition is None:
            raise self._parsed.bad(
                number, f"`{operation.name}` is not supported", "use gates that are defined by unitary gates"
            )
        inner = {bit: qubits[index] for index, bit in enumerate(definition.qubits)}
        for part in definition.data:
            if part.clbits or _kind(part.operation) in _REFUSED or _kind(part.operation) in _CLASSICAL:
                name = part.operation.name
                raise self._parsed.bad(number, f"`{name}` inside a gate is not supported", "take it out of the gate")
            self._visit(number, depth)
            self._gate(part.operation, tuple(inner[bit] for bit in part.qubits), when, number, depth + 1)

    def _append(
        self, opcode: DeviceOpcode, qubits: tuple[int, ...], angle: float, when: tuple[Clause, ...], number: int
    ) -> None:
        turned = turn(angle) if opcode in _TURNING else 0
        if opcode is DeviceOpcode.CP and turned == _HALF_TURN:
            opcode, turned = DeviceOpcode.CZ, 0
        if turned or opcode not in _TURNING:
            self.ops.append(Op(opcode, qubits, turned, when=when, origin=number))

    def _rotations(
        self, kind: str, angles: list[float], qubits: tuple[int, ...], when: tuple[Clause, ...], number: int
    ) -> None:
        """U(θ, φ, λ) = RZ(φ) RY(θ) RZ(λ) up to a global phase (OpenQASM 2, Cross et al. 2017, eq. 2)."""
        theta, phi, lam = angles if kind == "UGate" else (0.0, 0.0, angles[0])
        if turn(theta) == 0:
            phi, lam = 0.0, phi + lam
        for opcode, angle in ((DeviceOpcode.RZ, lam), (DeviceOpcode.RY, theta), (DeviceOpcode.RZ, phi)):
            self._append(opcode, qubits, angle, when, number)

    def _angles(self, operation: Any, number: int) -> list[float]:
        try:
            angles = [float(parameter) for parameter in operation.params]
        except (TypeError, ValueError):
            raise self._parsed.bad(
                number, "an angle without a value", "write a number in place of the parameter"
            ) from None
        if not all(isfinite(angle) for angle in angles):
            raise self._parsed.bad(number, "an angle that is not a finite number", "write a number of radians")
        return angles
