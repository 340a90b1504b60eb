"""From woven pieces to one list of steps per QPU, as JSON: what the nodes are sent.

    ["local", [[opcode, q, other, angle], ...]]        q, other: data qubits of the node
    ["measure", [[q, clbit], ...]]
    ["telegate", {"gate": n, "kind": "CNOT" | "CZ" | "COPY", "role": "control", "peer": node, "qubit": q}]
    ["telegate", {..., "role": "target", "peer": node, "ops": [[opcode, q, other, angle], ...]}]     -1: the copy
    ["move", {"gate": n, "role": "source" | "destination", "peer": node, "qubit": q}]
    ["tell", {"results": [[m, clbit], ...], "peers": [node, ...]}]     results of measurements, by number
    ["hear", {"results": [[m, clbit], ...], "peer": node}]
    ["if", {"when": [[[clbit, ...], value, negated], ...], "steps": [...]}]

Every node goes through its steps one at a time, and all lists follow the one order of the pieces.  So the earliest step
anywhere that is not done has all its nodes ready for it, or on their way to it through what needs nobody: no ring of
nodes can wait for each other.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from protocols.device import MAX_OPS
from protocols.wire import DeviceOpcode
from stack.application.compiler.circuit import Clause, Op
from stack.application.compiler.weave import Block, Local, Move, Piece, Remote, Seat

type Step = list[Any]

COPY: Final = -1
"""In place of a qubit: the copy of the control."""


class Programs(NamedTuple):
    """What all QPUs together do in one shot."""

    steps: dict[int, list[Step]]
    results: dict[int, list[int]]
    """Classical bits of which a node holds the last value."""
    gates: int
    """Pairs that one shot uses, if every condition holds; they are numbered from 0."""


def write(pieces: Iterable[Piece], seats: Iterable[Seat]) -> Programs:
    """`seats`: of all qubits at the start; each is prepared."""
    pieces = list(pieces)
    writer = _Writer(_tellings(pieces))
    for seat in seats:
        writer.local(seat.node, [int(DeviceOpcode.INIT), seat.qubit, 0, 0])
    for number, piece in enumerate(pieces):
        writer.piece(number, piece)
    return Programs(writer.steps, writer.results, writer.gates)


class _Measured(NamedTuple):
    """A measurement: its piece, and the QPU where it happens."""

    number: int
    node: int


class _Tellings(NamedTuple):
    told: dict[int, list[int]]  # by measuring piece: the QPUs that need its result
    heard: dict[tuple[int, int], list[tuple[int, int, int]]]  # by (reading piece, QPU): (piece, clbit, from)


def _readers(piece: Piece) -> tuple[list[int], list[int]]:
    """QPUs that decide something in this piece, and by which classical bits."""
    match piece:
        case Local(op, seats):
            reads = set(op.reads)
            if op.opcode is DeviceOpcode.MEASURE and op.when:
                reads.add(op.clbit)  # what stands there now stays, if it is not measured
            return [seats[0].node], sorted(reads)
        case Remote(op, control, target):
            return [control.node, target.node], sorted(op.reads)
    return [], []


def _tellings(pieces: list[Piece]) -> _Tellings:
    last: dict[int, _Measured] = {}
    known: set[tuple[int, int]] = set()
    told: dict[int, list[int]] = {}
    heard: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for number, piece in enumerate(pieces):
        nodes, clbits = _readers(piece)
        for node in nodes:
            for clbit in clbits:
                source = last.get(clbit)
                if source is None or source.node == node or (source.number, node) in known:
                    continue
                known.add((source.number, node))
                told.setdefault(source.number, []).append(node)
                heard.setdefault((number, node), []).append((source.number, clbit, source.node))
        if isinstance(piece, Local) and piece.op.opcode is DeviceOpcode.MEASURE:
            last[piece.op.clbit] = _Measured(number, piece.seats[0].node)
    return _Tellings(told, heard)


class _Writer:
    def __init__(self, tellings: _Tellings) -> None:
        self.steps: dict[int, list[Step]] = {}
        self.results: dict[int, list[int]] = {}
        self.gates = 0
        self._tellings = tellings
        self._holder: dict[int, int] = {}

    def piece(self, number: int, piece: Piece) -> None:
        for node in _readers(piece)[0]:
            for measured, clbit, peer in self._tellings.heard.get((number, node), ()):
                self._add(node, ["hear", {"results": [[measured, clbit]], "peer": peer}])
        match piece:
            case Local(op, seats):
                self._local(number, op, seats)
            case Block():
                self._block(piece)
            case Remote(op, control, target):
                block = Block(control, target.node, [(op, (None, target))], 1)
                for node, step in self._telegate(block).items():
                    self._add(node, ["if", {"when": _when(op.when), "steps": [step]}])
            case Move():
                gate = self._gate()
                ends = (("source", piece.source, piece.destination), ("destination", piece.destination, piece.source))
                for role, own, other in ends:
                    body = {"gate": gate, "role": role, "peer": other.node, "qubit": own.qubit}
                    self._add(own.node, ["move", body])

    def local(self, node: int, entry: list[int]) -> None:
        """Joins the node's last step if that is local and has room: a step is one program of the device."""
        steps = self.steps.setdefault(node, [])
        if not steps or steps[-1][0] != "local" or len(steps[-1][1]) >= MAX_OPS:
            steps.append(["local", []])
        steps[-1][1].append(entry)

    def _add(self, node: int, step: Step) -> None:
        self.steps.setdefault(node, []).append(step)

    def _gate(self) -> int:
        self.gates += 1
        return self.gates - 1

    def _local(self, number: int, op: Op, seats: tuple[Seat, ...]) -> None:
        node = seats[0].node
        if op.opcode is DeviceOpcode.MEASURE:
            self._measure(number, op, seats[0])
        elif op.when:
            self._add(node, ["if", {"when": _when(op.when), "steps": [["local", [_entry(op, seats)]]]}])
        else:
            self.local(node, _entry(op, seats))

    def _measure(self, number: int, op: Op, seat: Seat) -> None:
        node = seat.node
        step: Step = ["measure", [[seat.qubit, op.clbit]]]
        steps = self.steps.setdefault(node, [])
        if op.when:
            steps.append(["if", {"when": _when(op.when), "steps": [step]}])
        elif steps and steps[-1][0] == "measure" and len(steps[-1][1]) < MAX_OPS:
            steps[-1][1].append(step[1][0])
        else:
            steps.append(step)
        before = self._holder.get(op.clbit)
        if before is not None:
            self.results[before].remove(op.clbit)
        self._holder[op.clbit] = node
        self.results.setdefault(node, []).append(op.clbit)
        peers = self._tellings.told.get(number)
        if peers:
            steps.append(["tell", {"results": [[number, op.clbit]], "peers": sorted(peers)}])

    def _block(self, block: Block) -> None:
        for node, step in self._telegate(block).items():
            self._add(node, step)

    def _telegate(self, block: Block) -> dict[int, Step]:
        gate = self._gate()
        ops = [_entry(op, seats) for op, seats in block.ops]
        kind = "COPY"
        if len(block.ops) == 1:
            kind = {DeviceOpcode.CX: "CNOT", DeviceOpcode.CZ: "CZ"}.get(block.ops[0][0].opcode, "COPY")
        control, target = block.control.node, block.node
        common = {"gate": gate, "kind": kind}
        return {
            control: ["telegate", {**common, "role": "control", "peer": target, "qubit": block.control.qubit}],
            target: ["telegate", {**common, "role": "target", "peer": control, "ops": ops}],
        }


def _entry(op: Op, seats: tuple[Seat | None, ...]) -> list[int]:
    places = [COPY if seat is None else seat.qubit for seat in seats]
    return [int(op.opcode), places[0], places[1] if len(places) == 2 else 0, op.angle]


def _when(clauses: tuple[Clause, ...]) -> list[Any]:
    return [[list(clbits), value, negated] for clbits, value, negated in clauses]
