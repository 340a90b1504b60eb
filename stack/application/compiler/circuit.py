"""A circuit as the controller knows it: device operations on numbered qubits, and results they may depend on.

What may live here: the data, its JSON form, and what an operation leaves alone (which is what lets gates share a pair).
"""

from typing import Any, Final, NamedTuple

from protocols.device import ONE_QUBIT
from protocols.wire import DeviceOpcode

DIAGONAL: Final = frozenset(
    {
        DeviceOpcode.Z, DeviceOpcode.S, DeviceOpcode.SDG, DeviceOpcode.T, DeviceOpcode.TDG, DeviceOpcode.RZ,
        DeviceOpcode.CZ, DeviceOpcode.CP,
    }
)  # fmt: skip
"""Gates that commute with Z on each of their qubits."""

TWO_QUBIT: Final = frozenset({DeviceOpcode.CX, DeviceOpcode.CZ, DeviceOpcode.SWAP, DeviceOpcode.CP})


_OPCODES: Final = frozenset({*ONE_QUBIT, *TWO_QUBIT, DeviceOpcode.INIT, DeviceOpcode.MEASURE})


class Clause(NamedTuple):
    """`clbits` (the first is the least significant) hold `value`, or do not, if `negated`."""

    clbits: tuple[int, ...]
    value: int
    negated: bool = False


class Op(NamedTuple):
    """A gate, INIT (reset to |0>) or MEASURE."""

    opcode: DeviceOpcode
    qubits: tuple[int, ...]
    angle: int = 0
    """A full turn is 2**32, as on the device bus; in [-2**31, 2**31)."""
    clbit: int = -1
    """Of a MEASURE: where the result goes."""
    when: tuple[Clause, ...] = ()
    """Done only if all of them hold, of what has been measured by then; bits never written are 0."""
    origin: int = 0
    """Which instruction of the source it came from, for people."""

    def keeps_z(self, qubit: int) -> bool:
        """Whether it commutes with Z on that qubit of its own: a copy of the qubit made before serves after it, too."""
        return self.opcode in DIAGONAL or (self.opcode is DeviceOpcode.CX and qubit == self.qubits[0])

    @property
    def reads(self) -> frozenset[int]:
        """Classical bits that decide about it."""
        return frozenset(clbit for clause in self.when for clbit in clause.clbits)


class Circuit(NamedTuple):
    """All qubits begin in |0>, all classical bits at 0."""

    qubits: int
    clbits: int
    ops: tuple[Op, ...]

    def to_json(self) -> list[Any]:
        ops = [
            [int(op.opcode), list(op.qubits), op.angle, op.clbit, [[list(c[0]), *c[1:]] for c in op.when], op.origin]
            for op in self.ops
        ]
        return [self.qubits, self.clbits, ops]

    @classmethod
    def from_json(cls, data: list[Any]) -> "Circuit":
        """Raises ValueError, TypeError or KeyError for what is none."""
        qubits, clbits, ops = data
        if type(qubits) is not int or type(clbits) is not int or qubits < 1 or clbits < 0:
            raise ValueError("no number of qubits, or of classical bits")
        circuit = cls(qubits, clbits, tuple(_op(*op) for op in ops))
        for op in circuit.ops:
            if not all(0 <= qubit < qubits for qubit in op.qubits) or not op.qubits:
                raise ValueError(f"{op} is on qubits that are not there")
            if len(set(op.qubits)) != len(op.qubits) or len(op.qubits) != (2 if op.opcode in TWO_QUBIT else 1):
                raise ValueError(f"{op} has too few qubits, or too many")
            if not -(1 << 31) <= op.angle < 1 << 31:
                raise ValueError(f"{op} turns by an angle that is none")
            if (op.opcode is DeviceOpcode.MEASURE) != (op.clbit >= 0):
                raise ValueError(f"{op} has a classical bit too many, or none")
            if not -1 <= op.clbit < clbits or not all(0 <= clbit < clbits for clbit in op.reads):
                raise ValueError(f"{op} is about classical bits that are not there")
        return circuit


def _op(opcode: int, qubits: list[int], angle: int, clbit: int, when: list[Any], origin: int) -> Op:
    numbers = [opcode, *qubits, angle, clbit, origin, *(n for clbits, value, _ in when for n in (*clbits, value))]
    if any(type(number) is not int for number in numbers):
        raise TypeError("an operation with something that is no whole number in it")
    if opcode not in _OPCODES:
        raise ValueError(f"{opcode} is no operation of a circuit")
    clauses = tuple(Clause(tuple(clbits), value, bool(negated)) for clbits, value, negated in when)
    return Op(DeviceOpcode(opcode), tuple(qubits), angle, clbit, clauses, origin)


def holds(when: tuple[Clause, ...], bits: dict[int, int]) -> bool:
    """Whether all clauses hold of these results."""
    for clbits, value, negated in when:
        found = sum(bits.get(clbit, 0) << place for place, clbit in enumerate(clbits))
        if (found == value) is negated:
            return False
    return True
