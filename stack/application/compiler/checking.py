"""Whether a program that came over the wire is one that this QPU can run: steps.py has the forms.

What may live here: the checks.  What passes them may still be a bad circuit, but breaks nothing.
"""

from collections.abc import Callable
from typing import Any, Final

from protocols.device import ONE_QUBIT
from protocols.wire import DeviceOpcode, RgpKind
from stack.application.compiler.circuit import TWO_QUBIT
from stack.application.compiler.steps import COPY
from stack.application.compiler.weave import BLOCK_OPS

MAX_CLBITS: Final = 4096
_MOST_NESTED: Final = 8
_U32: Final = 0xFFFFFFFF

_ONE: Final = frozenset({*ONE_QUBIT, DeviceOpcode.INIT})
_GATES: Final = frozenset({*ONE_QUBIT, *TWO_QUBIT})


def check_steps(steps: Any, data_qubits: int, reaches: Callable[[int], bool]) -> set[int]:
    """The data qubits that the steps name.  Raises ValueError, TypeError, KeyError or IndexError for what is no list of
    steps for a QPU with so many data qubits that reaches these nodes."""
    checker = _Checker(data_qubits, reaches)
    checker.steps(steps, 0)
    return checker.qubits


class _Checker:
    def __init__(self, data_qubits: int, reaches: Callable[[int], bool]) -> None:
        self.qubits: set[int] = set()
        self._data_qubits = data_qubits
        self._reaches = reaches

    def steps(self, steps: Any, depth: int) -> None:
        if depth > _MOST_NESTED:
            raise ValueError("conditions too deep in each other")
        for step in _list(steps):
            kind, body = step
            match kind:
                case "local":
                    for entry in _list(body):
                        self._operation(entry, _ONE | _GATES, copies=False)
                case "measure":
                    for qubit, clbit in _list(body):
                        self._qubit(qubit)
                        _whole(clbit, MAX_CLBITS - 1)
                case "telegate":
                    self._telegate(body)
                case "move":
                    self._gate(body, ("source", "destination"))
                    self._qubit(body["qubit"])
                case "tell" | "hear":
                    for number, clbit in _list(body["results"]):
                        _whole(number, _U32)
                        _whole(clbit, MAX_CLBITS - 1)
                    for peer in _list(body["peers"]) if kind == "tell" else [body["peer"]]:
                        self._peer(peer)
                case "if":
                    for clbits, value, negated in _list(body["when"]):
                        for clbit in _list(clbits):
                            _whole(clbit, MAX_CLBITS - 1)
                        if type(value) is not int or type(negated) is not bool:
                            raise ValueError("a condition that compares with no number")
                    self.steps(body["steps"], depth + 1)
                case _:
                    raise ValueError("a step of no kind")

    def _telegate(self, body: Any) -> None:
        self._gate(body, ("control", "target"))
        if RgpKind[body["kind"]] is RgpKind.MOVE:
            raise ValueError("a move is no telegate")
        if body["role"] == "control":
            self._qubit(body["qubit"])
            return
        if len(_list(body["ops"])) > BLOCK_OPS:
            raise ValueError("too much is done with one copy")
        for entry in body["ops"]:
            self._operation(entry, _GATES, copies=True)

    def _gate(self, body: Any, roles: tuple[str, str]) -> None:
        _whole(body["gate"], _U32)
        self._peer(body["peer"])
        if body["role"] not in roles:
            raise ValueError("a role in no gate of this kind")

    def _operation(self, entry: Any, opcodes: frozenset[DeviceOpcode], copies: bool) -> None:
        opcode, qubit, other, angle = entry
        if type(opcode) is not int or opcode not in opcodes:
            raise ValueError("an operation that has no place there")
        self._qubit(qubit, copies)
        if opcode in TWO_QUBIT:
            self._qubit(other, copies)
            if qubit == other:
                raise ValueError("a gate between a qubit and itself")
        if type(angle) is not int or not -(1 << 31) <= angle < 1 << 31:
            raise ValueError("an angle that is none")

    def _qubit(self, qubit: Any, copies: bool = False) -> None:
        if not (copies and qubit == COPY and type(qubit) is int):
            _whole(qubit, self._data_qubits - 1)
            self.qubits.add(qubit)

    def _peer(self, peer: Any) -> None:
        _whole(peer, 0xFFFF)
        if not self._reaches(peer):
            raise ValueError("no way leads to a node of it")


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise TypeError("a list is wanted")
    return value


def _whole(value: Any, most: int) -> None:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError("a number out of bounds")
