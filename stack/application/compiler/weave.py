"""Which gates share a pair: a circuit and the seats of its qubits become pieces, in an order all nodes can follow.

Theory of operation.  A pair gives the QPU of a gate's target a copy, in the Z basis, of the gate's control (the
cat-entangler).  The copy serves every further gate there that has the same control, until something is done to the
control that does not commute with Z, or until that QPU needs to do something that is no gate of its own.  So gates are
collected in *blocks*: a control, a QPU, and the operations there from the first gate of the copy to its last.  A block
is one program of the device, so a QPU that holds a copy waits for nobody, and no ring of nodes can wait.

Where a qubit has much to do at another QPU and there is a free seat, it moves there instead (teledata): also one pair.
A SWAP costs nothing: the two qubits change names.

Where two QPUs cannot have pairs, one of the qubits is first carried from QPU to QPU till they can: into a free seat for
one pair a step, into the place of a qubit that goes the other way for two, or for three if neither QPU has a free seat.

What may live here: those decisions.  How nodes are told is steps.py's business.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final, NamedTuple

from protocols.device import MAX_OPS
from protocols.wire import DeviceOpcode
from stack.application.compiler.circuit import Circuit, Op
from stack.application.compiler.ways import Distance, Ways

AHEAD: Final = 48
"""How many operations are looked at before it is decided how to serve one."""

BLOCK_OPS: Final = MAX_OPS - 4
"""Operations of a block: with those of the copy itself it is still one program."""


class Seat(NamedTuple):
    """Where a qubit of the circuit lives: a QPU, and which of its data qubits."""

    node: int
    qubit: int


class Local(NamedTuple):
    """An operation on one QPU, its qubits in their seats; also a measurement, or a reset."""

    op: Op
    seats: tuple[Seat, ...]


@dataclass(slots=True, eq=False)
class Block:
    """Operations at `node` that use one copy of the qubit at `control`.  In `ops` None stands for the copy."""

    control: Seat
    node: int
    ops: list[tuple[Op, tuple[Seat | None, ...]]] = field(default_factory=list)
    used: int = 0
    """Operations up to and with the last that uses the copy."""


class Remote(NamedTuple):
    """A gate over one pair under a condition: it stands alone."""

    op: Op
    control: Seat
    target: Seat


class Move(NamedTuple):
    """A qubit goes to a free seat of another QPU."""

    source: Seat
    destination: Seat


type Piece = Local | Block | Remote | Move


class Woven(NamedTuple):
    pieces: list[Piece]
    seats: list[Seat]
    """Where each qubit is at the end."""


def weave(circuit: Circuit, seats: Sequence[Seat], rooms: Mapping[int, int], ways: Ways, merge: bool = True) -> Woven:
    """seats: by qubit.  rooms: data qubits of every QPU.  ways: over these QPUs.  Without `merge` the circuit runs as
    it is written: each remote gate over a pair of its own, each qubit in its seat."""
    return _Weaver(circuit, seats, rooms, ways, merge).run()


def cost(pieces: Iterable[Piece], distance: Distance) -> float:
    """Pairs used, each by the cost of a pair between its two nodes."""
    total = 0.0
    for piece in pieces:
        match piece:
            case Block():
                total += distance(piece.control.node, piece.node)
            case Remote():
                total += distance(piece.control.node, piece.target.node)
            case Move():
                total += distance(piece.source.node, piece.destination.node)
    return total


class _Weaver:
    def __init__(
        self, circuit: Circuit, seats: Sequence[Seat], rooms: Mapping[int, int], ways: Ways, merge: bool
    ) -> None:
        self._circuit = circuit
        self._seats = list(seats)
        self._distance = ways.distance
        self._ways = ways
        self._merge = merge
        taken = set(self._seats)
        self._free = {
            node: [Seat(node, qubit) for qubit in range(room) if Seat(node, qubit) not in taken]
            for node, room in rooms.items()
        }
        self._pieces: list[Piece] = []
        self._tail: dict[int, Block] = {}  # the open block at the end of what a QPU does
        self._of: dict[int, list[Op]] = {qubit: [] for qubit in range(circuit.qubits)}
        for op in circuit.ops:
            for qubit in op.qubits:
                self._of[qubit].append(op)
        self._done = dict.fromkeys(self._of, 0)
        self._now = 0

    def run(self) -> Woven:
        for place, op in enumerate(self._circuit.ops):
            self._now = place
            self._place(op)
            for qubit in op.qubits:
                self._done[qubit] += 1
        for node in list(self._tail):
            self._seal(node)
        return Woven(self._pieces, self._seats)

    # One operation.

    def _place(self, op: Op) -> None:
        nodes = [self._seats[qubit].node for qubit in op.qubits]
        if op.opcode is DeviceOpcode.SWAP and not op.when and self._merge:
            a, b = op.qubits
            self._spent(op)
            self._seats[a], self._seats[b] = self._seats[b], self._seats[a]
        elif len(set(nodes)) == 1:
            self._local(op, nodes[0])
        elif op.opcode is DeviceOpcode.SWAP:
            a, b = op.qubits
            for control, target in ((a, b), (b, a), (a, b)):
                self._place(op._replace(opcode=DeviceOpcode.CX, qubits=(control, target)))
        else:
            if self._distance(*nodes) == inf and self._merge:
                self._bring_together(op)
            if op.when:
                self._conditional(op)
            else:
                self._crossing(op)

    def _local(self, op: Op, node: int) -> None:
        self._spent(op)
        block = self._tail.get(node)
        plain = not op.when and op.opcode is not DeviceOpcode.MEASURE
        if block is not None and plain and len(block.ops) < BLOCK_OPS:
            block.ops.append((op, self._at(op)))
            return
        self._seal(node)
        self._pieces.append(Local(op, self._at(op)))

    def _conditional(self, op: Op) -> None:
        self._spent(op, entirely=True)
        control, target = (self._seats[qubit] for qubit in op.qubits)
        self._seal(control.node)
        self._seal(target.node)
        self._pieces.append(Remote(op, control, target))

    def _crossing(self, op: Op) -> None:
        controls = op.qubits if op.keeps_z(op.qubits[1]) else op.qubits[:1]
        open_for = next((c for c in controls if self._serves(c, self._other(op, c))), None)
        if open_for is None:
            mover = self._worth_moving(op)
            if mover is not None:
                self._move(mover, self._seats[self._other(op, mover)].node)
                self._local(op, self._seats[mover].node)
                return
            open_for = max(controls, key=lambda c: (self._shared(c, self._other(op, c)), -controls.index(c)))
            self._open(open_for, self._seats[self._other(op, open_for)].node)
        control, target = open_for, self._other(op, open_for)
        # What the gate does to its target may end other copies of that; the control's it leaves alone.
        self._spent(op, but=control)
        node = self._seats[target].node
        block = self._tail[node]
        places = tuple(None if qubit == control else self._seats[qubit] for qubit in op.qubits)
        block.ops.append((op, places))
        block.used = len(block.ops)
        if not self._merge:
            self._seal(node)

    @staticmethod
    def _other(op: Op, qubit: int) -> int:
        a, b = op.qubits
        return b if qubit == a else a

    def _at(self, op: Op) -> tuple[Seat, ...]:
        return tuple(self._seats[qubit] for qubit in op.qubits)

    # Blocks.

    def _serves(self, control: int, target: int) -> bool:
        """Is there an open copy of `control` where `target` is?"""
        block = self._tail.get(self._seats[target].node)
        return block is not None and block.control == self._seats[control] and len(block.ops) < BLOCK_OPS

    def _open(self, control: int, node: int) -> None:
        self._seal(node)
        self._seal(self._seats[control].node)
        block = self._tail[node] = Block(self._seats[control], node)
        self._pieces.append(block)

    def _seal(self, node: int) -> None:
        """The QPU has something else to do: what stands after the last use of the copy is done without it."""
        block = self._tail.pop(node, None)
        if block is not None:
            for op, seats in block.ops[block.used :]:
                self._pieces.append(Local(op, tuple(seat for seat in seats if seat is not None)))
            del block.ops[block.used :]

    def _spent(self, op: Op, but: int | None = None, entirely: bool = False) -> None:
        """Copies of qubits that the operation changes can serve no longer."""
        for qubit in op.qubits:
            if qubit != but and (entirely or not op.keeps_z(qubit)):
                seat = self._seats[qubit]
                for node in [node for node, block in self._tail.items() if block.control == seat]:
                    self._seal(node)

    def _shared(self, control: int, target: int) -> int:
        """How many of the gates that come next a copy of `control` at the QPU of `target` would serve, before that QPU
        has another gate with one elsewhere."""
        node = self._seats[target].node
        served = 0
        for op in self._circuit.ops[self._now : self._now + AHEAD]:
            if control in op.qubits:
                if not op.keeps_z(control) or op.when:
                    break
                served += len(op.qubits) == 2 and self._seats[self._other(op, control)].node == node
            elif len(op.qubits) == 2:
                a, b = (self._seats[qubit].node for qubit in op.qubits)
                if a != b and node in (a, b):
                    break
        return served

    def _coming(self, qubit: int) -> Iterable[Op]:
        start = self._done[qubit]
        return self._of[qubit][start : start + AHEAD]

    # Moving.

    def _worth_moving(self, op: Op) -> int | None:
        """A qubit of the gate that needs fewer pairs if it moves to where the other is, and may."""
        if not self._merge:
            return None
        best: tuple[float, int] | None = None
        for qubit in op.qubits:
            here, node = self._seats[qubit].node, self._seats[self._other(op, qubit)].node
            if not self._free.get(node):
                continue
            saved = self._pairs(qubit, here) - self._pairs(qubit, node) - self._ways.length(here, node)
            if saved > 0 and (best is None or saved > best[0]) and self._reaches_all(qubit, node):
                best = saved, qubit
        return None if best is None else best[1]

    def _reaches_all(self, qubit: int, home: int) -> bool:
        """Is there a way from `home` to all with which the qubit will ever have a gate, where they are now?"""
        others = (self._other(op, qubit) for op in self._of[qubit][self._done[qubit] :] if len(op.qubits) == 2)
        return all(self._distance(home, self._seats[other].node) < inf for other in others)

    def _pairs(self, qubit: int, home: int) -> float:
        """An estimate of what the pairs for the qubit's coming gates cost if it lives at `home`: its copies elsewhere
        last until it changes, a copy of another here until that is changed, or this one's turn at it is over."""
        pairs = 0.0
        away: set[int] = set()  # QPUs with a copy of this qubit
        here: int | None = None  # the qubit of which a copy is here
        for op in self._coming(qubit):
            if op.when and len(op.qubits) == 2:
                pairs += self._ways.length(self._seats[self._other(op, qubit)].node, home)
                away.clear()
                here = None
                continue
            if not op.keeps_z(qubit):
                away.clear()
            if len(op.qubits) == 1:
                continue
            other = self._other(op, qubit)
            node = self._seats[other].node
            if node == home or op.opcode is DeviceOpcode.SWAP:
                continue
            if op.keeps_z(qubit):
                pairs += self._ways.length(node, home) if node not in away else 0
                away.add(node)
            else:
                pairs += self._ways.length(node, home) if here != other else 0
                here = other
        return pairs

    def _move(self, qubit: int, node: int) -> None:
        source = self._seats[qubit]
        for block_node in [n for n, block in self._tail.items() if block.control == source]:
            self._seal(block_node)
        self._seal(source.node)
        self._seal(node)
        destination = self._free[node].pop(0)
        self._free[source.node].append(source)
        self._free[source.node].sort()
        self._seats[qubit] = destination
        self._pieces.append(Move(source, destination))

    # Carrying.

    def _bring_together(self, op: Op) -> None:
        """One of the two qubits goes next to the other, if there is a way; which one, by what it takes."""
        best: tuple[float, int, list[int]] | None = None
        for qubit in op.qubits:
            here, there = self._seats[qubit].node, self._seats[self._other(op, qubit)].node
            steps = self._ways.between(here, there)[:-1]
            price = sum(1.0 if self._free[node] else 2.5 for node in steps)
            if steps and (best is None or price < best[0]):
                best = price, qubit, steps
        if best is not None:
            for node in best[2]:
                self._carry(best[1], node, op)

    def _carry(self, qubit: int, node: int, op: Op) -> None:
        here = self._seats[qubit].node
        if self._free[node]:
            self._move(qubit, node)
            return
        # Out of the way goes who has least to do yet.
        residents = [other for other, seat in enumerate(self._seats) if seat.node == node]
        other = min(residents, key=lambda q: (len(self._of[q]) - self._done[q], q))
        if self._free[here]:
            self._move(other, here)
            self._move(qubit, node)
            return
        # Three CNOTs exchange the two states, so each is now where the other was.
        for control, target in ((qubit, other), (other, qubit), (qubit, other)):
            self._crossing(Op(DeviceOpcode.CX, (control, target), origin=op.origin))
        self._spent(Op(DeviceOpcode.SWAP, (qubit, other)))
        self._seats[qubit], self._seats[other] = self._seats[other], self._seats[qubit]
