"""From a Qiskit circuit to gates that devices know, followed by its measurements.

What may live here: the refusal of what cannot run on QPUs that only measure at the end, and the expansion of
gates by their definitions. No optimisation: what a person wrote is what runs.
"""

from math import isfinite
from typing import Any, Final, NamedTuple

from protocols.device import DeviceOpcode, turn
from testbed.circuits.gates import BY_CLASS, GateOp
from testbed.circuits.parse import Parsed

MAX_GATES: Final = 100_000
MAX_NESTING: Final = 100


class _Refusal(NamedTuple):
    name: str
    remedy: str


_CONDITION = "remove the condition: gates that depend on results are not there yet"
_LOOP = "write the repetitions out"
_REFUSED: Final = {
    "Reset": _Refusal("reset", "start from fresh qubits: all of them begin in |0⟩"),
    "IfElseOp": _Refusal("if", _CONDITION),
    "SwitchCaseOp": _Refusal("switch", _CONDITION),
    "ForLoopOp": _Refusal("for", _LOOP),
    "WhileLoopOp": _Refusal("while", _LOOP),
    "BoxOp": _Refusal("box", "take the statements out of the box"),
    "Delay": _Refusal("delay", "remove it: devices have durations of their own"),
    "Store": _Refusal("a classical variable", "remove it: only results of measurements are kept"),
}
_NOTHING: Final = frozenset({"Barrier", "IGate", "GlobalPhaseGate"})
_ALIASES: Final = {"CU1Gate": "CPhaseGate"}
_TURNING: Final = frozenset(record.opcode for record in BY_CLASS.values() if record.has_angle)


class Measurement(NamedTuple):
    qubit: int
    clbit: int
    instruction: int


class Lowered(NamedTuple):
    """A circuit of device gates; measurements come after all of them."""

    qubits: int
    clbits: int
    gates: list[GateOp]
    measurements: list[Measurement]


def lower(parsed: Parsed) -> Lowered:
    """Raises BadInput, with the line, for what is not supported."""
    circuit = parsed.circuit
    qubit_index = {bit: index for index, bit in enumerate(circuit.qubits)}
    clbit_index = {bit: index for index, bit in enumerate(circuit.clbits)}
    expander = _Expander(parsed)
    measurements: list[Measurement] = []
    measured: set[int] = set()
    written: set[int] = set()
    for number, instruction in enumerate(circuit.data):
        operation = instruction.operation
        qubits = tuple(qubit_index[bit] for bit in instruction.qubits)
        kind = _kind(operation)
        if kind in _NOTHING:
            continue
        if kind in _REFUSED:
            refusal = _REFUSED[kind]
            raise parsed.bad(number, f"`{refusal.name}` is not supported", refusal.remedy)
        again = next((qubit for qubit in qubits if qubit in measured), None)
        if again is not None:
            raise parsed.bad(
                number,
                f"{_named(circuit, again)} is used after it has been measured",
                "measure every qubit once, at the end of the circuit",
            )
        if kind == "Measure":
            clbit = clbit_index[instruction.clbits[0]]
            if clbit in written:
                raise parsed.bad(
                    number, f"a second result for classical bit {clbit}", "give each result a bit of its own"
                )
            measured.add(qubits[0])
            written.add(clbit)
            measurements.append(Measurement(qubits[0], clbit, number))
            continue
        expander.add(operation, qubits, number)
    if not measurements:
        last = parsed.source.statements[-1].line
        raise parsed.source.bad(last, "the circuit measures nothing", "measure at its end: `measure q -> c;`")
    return Lowered(len(circuit.qubits), len(circuit.clbits), expander.gates, measurements)


def _kind(operation: Any) -> str:
    """Qiskit's class. Names will not do: a file may define a gate of its own under nearly any name."""
    return str(operation.base_class.__name__)


def _named(circuit: Any, qubit: int) -> str:
    """The qubit as the file calls it: q[1]."""
    registers = circuit.find_bit(circuit.qubits[qubit]).registers
    return f"{registers[0][0].name}[{registers[0][1]}]" if registers else f"qubit {qubit}"


def _open_control(operation: Any) -> bool:
    """Whether a control waits for |0⟩: the class is that of the gate, the definition has X around it."""
    controls = getattr(operation, "num_ctrl_qubits", 0)
    return bool(getattr(operation, "ctrl_state", 0) != (1 << controls) - 1)


class _Expander:
    def __init__(self, parsed: Parsed) -> None:
        self.gates: list[GateOp] = []
        self._parsed = parsed
        self._visited = 0

    def add(self, operation: Any, qubits: tuple[int, ...], number: int, depth: int = 0) -> None:
        """Append a gate, or those of its definition. Global phases are dropped: nothing is controlled now."""
        # Counted by visits, not by gates: definitions that double at each level may end in nothing at all.
        self._visited += 1
        if self._visited > MAX_GATES or depth > MAX_NESTING:
            raise self._parsed.bad(
                number, f"the circuit expands to more than {MAX_GATES} gates", "write a smaller circuit"
            )
        kind = _kind(operation)
        if kind in _NOTHING:
            return
        if kind in ("UGate", "PhaseGate", "U1Gate"):
            self._rotations(kind, self._angles(operation, number), qubits, number)
            return
        record = BY_CLASS.get(_ALIASES.get(kind, kind))
        if record is not None and not _open_control(operation):
            angle = self._angles(operation, number)[0] if record.has_angle else 0.0
            self._append(record.opcode, qubits, angle, number)
            return
        definition = getattr(operation, "definition", None)
        if definition is None:
            raise self._parsed.bad(
                number, f"`{operation.name}` is not supported", "use gates that are defined by unitary gates"
            )
        inner = {bit: qubits[index] for index, bit in enumerate(definition.qubits)}
        for part in definition.data:
            if part.clbits or _kind(part.operation) in _REFUSED:
                name = part.operation.name
                raise self._parsed.bad(
                    number, f"`{name}` inside a gate is not supported", "take it out of the gate"
                )
            self.add(part.operation, tuple(inner[bit] for bit in part.qubits), number, depth + 1)

    def _append(self, opcode: DeviceOpcode, qubits: tuple[int, ...], angle: float, number: int) -> None:
        if opcode in _TURNING and turn(angle) == 0:
            return
        self.gates.append(GateOp(opcode, qubits, angle, number))

    def _rotations(self, kind: str, angles: list[float], qubits: tuple[int, ...], number: int) -> None:
        """U(θ, φ, λ) = RZ(φ) RY(θ) RZ(λ) up to a global phase (OpenQASM 2, Cross et al. 2017, eq. 2)."""
        theta, phi, lam = angles if kind == "UGate" else (0.0, 0.0, angles[0])
        if turn(theta) == 0:
            phi, lam = 0.0, phi + lam
        for opcode, angle in ((DeviceOpcode.RZ, lam), (DeviceOpcode.RY, theta), (DeviceOpcode.RZ, phi)):
            self._append(opcode, qubits, angle, number)

    def _angles(self, operation: Any, number: int) -> list[float]:
        try:
            angles = [float(parameter) for parameter in operation.params]
        except (TypeError, ValueError):
            raise self._parsed.bad(
                number, "an angle without a value", "write a number in place of the parameter"
            ) from None
        if not all(isfinite(angle) for angle in angles):
            raise self._parsed.bad(
                number, "an angle that is not a finite number", "write a number of radians"
            )
        return angles
