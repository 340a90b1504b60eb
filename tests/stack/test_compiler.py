"""The compiler by itself: what it makes of a circuit does what the circuit does, wherever it puts the qubits."""

import random
from math import inf

import pytest

from protocols.wire import DeviceOpcode
from stack.application.compiler.circuit import Circuit, Op
from stack.application.compiler.cut import DoesNotFit, cut, naive_pairs, seated
from stack.application.compiler.ways import Ways
from stack.application.compiler.weave import Block, Local, Move, Remote, Seat, cost, weave
from testbed.circuits.ideal import ideal_histogram

TOPOLOGIES = {
    "all": [(a, b) for a in range(4) for b in range(a)],
    "line": [(0, 1), (1, 2), (2, 3)],
    "star": [(0, 1), (0, 2), (0, 3)],
    "ring": [(0, 1), (1, 2), (2, 3), (3, 0)],
}
ONE = (DeviceOpcode.H, DeviceOpcode.T, DeviceOpcode.X, DeviceOpcode.RY)
TWO = (DeviceOpcode.CX, DeviceOpcode.CZ, DeviceOpcode.CP, DeviceOpcode.SWAP)


def distance_of(ways, costs=1.0):
    linked = {frozenset(way) for way in ways}
    return lambda a, b: 0.0 if a == b else costs if frozenset((a, b)) in linked else inf


def a_circuit(seed, qubits, length):
    rng = random.Random(seed)
    ops = []
    for _ in range(length):
        opcode = rng.choice(ONE + TWO + TWO)
        some = tuple(rng.sample(range(qubits), 2 if opcode in TWO else 1))
        angle = rng.randrange(-(1 << 31), 1 << 31) if opcode in (DeviceOpcode.CP, DeviceOpcode.RY) else 0
        ops.append(Op(opcode, some, angle))
    ops += [Op(DeviceOpcode.MEASURE, (qubit,), 0, qubit) for qubit in range(qubits)]
    return Circuit(qubits, qubits, tuple(ops))


def as_circuit(woven, clbits):
    """Pieces as one circuit on the seats: a copy of a control stands for it, a move is a SWAP."""
    numbers: dict[Seat, int] = {}

    def at(*seats):
        return tuple(numbers.setdefault(seat, len(numbers)) for seat in seats)

    ops: list[Op] = []
    for piece in woven.pieces:
        match piece:
            case Local(op, seats):
                ops.append(op._replace(qubits=at(*seats)))
            case Block():
                for op, seats in piece.ops:
                    ops.append(op._replace(qubits=at(*(piece.control if seat is None else seat for seat in seats))))
            case Remote(op, control, target):
                ops.append(op._replace(qubits=at(control, target)))
            case Move(source, destination):
                ops.append(Op(DeviceOpcode.SWAP, at(source, destination)))
    return Circuit(len(numbers), clbits, tuple(ops))


def joined(woven, distance):
    """Every pair is between QPUs that can have one."""
    return cost(woven.pieces, distance) < inf


def same(one, other):
    keys = one.keys() | other.keys()
    return all(one.get(key, 0.0) == pytest.approx(other.get(key, 0.0), abs=1e-9) for key in keys)


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("room", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_cut_and_woven_it_is_the_same_circuit(topology, room, seed):
    """Also where QPUs are joined by others only, and where none has a free seat."""
    circuit = a_circuit(seed, 8, 40)
    distance = distance_of(TOPOLOGIES[topology])
    _, woven = cut(circuit, dict.fromkeys(range(4), room), distance)
    assert joined(woven, distance)
    assert same(ideal_histogram(circuit), ideal_histogram(as_circuit(woven, 8)))


@pytest.mark.parametrize("seed", range(4))
def test_any_seats_will_do(seed):
    """Where a person has put the qubits, too: on a line, the worst way round."""
    circuit = a_circuit(seed, 6, 30)
    distance = distance_of(TOPOLOGIES["line"])
    rooms = dict.fromkeys(range(4), 2)
    woven = weave(circuit, seated([3, 0, 1, 2, 0, 3]), rooms, Ways(rooms, distance))
    assert joined(woven, distance)
    assert same(ideal_histogram(circuit), ideal_histogram(as_circuit(woven, 6)))


def test_near_qpus_before_far_ones():
    """Four QPUs in two houses; whatever fits into one house stays there, whichever numbers it has."""
    near = {frozenset((0, 2)): 1.0, frozenset((1, 3)): 1.3}

    def distance(a, b):
        return 0.0 if a == b else near.get(frozenset((a, b)), 4.0)

    circuit = a_circuit(1, 4, 30)
    seats, _ = cut(circuit, dict.fromkeys(range(4), 2), distance)
    assert {seat.node for seat in seats} == {0, 2}
    # Half of the better house is taken.
    seats, _ = cut(circuit, {0: 1, 1: 2, 2: 1, 3: 2}, distance)
    assert {seat.node for seat in seats} == {1, 3}


def test_no_more_pairs_than_the_plainest_compiler():
    for seed in range(6):
        circuit = a_circuit(seed, 8, 60)
        rooms = dict.fromkeys(range(4), 2)
        distance = distance_of(TOPOLOGIES["all"])
        _, woven = cut(circuit, rooms, distance)
        assert cost(woven.pieces, distance) <= naive_pairs(circuit, rooms)


def test_what_cannot_be_placed_is_said():
    circuit = a_circuit(1, 4, 5)
    with pytest.raises(DoesNotFit, match="all QPUs together 3 data qubits"):
        cut(circuit, {0: 2, 1: 1}, distance_of(TOPOLOGIES["all"]))
    with pytest.raises(DoesNotFit, match="no QPUs that can reach each other have 4"):
        cut(circuit, {0: 2, 3: 2}, distance_of(TOPOLOGIES["line"]))
