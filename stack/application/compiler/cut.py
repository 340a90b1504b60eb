"""Which QPU holds which qubit: few pairs, and those over near links.

The gates that one copy of a qubit could serve are a hyperedge (Andres-Martinez and Heunen, PRA 100, 032308, 2019, whose
count of pairs is a cut's connectivity less one), so a hypergraph partitioner, Mt-KaHyPar, gives the first answer for
each promising set of QPUs.  Then qubits change places for as long as the count of the real compiler, weave.py, falls.

What may live here: the choice of seats.  Everything is deterministic: one thread, a fixed seed, ties by number.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import inf
from typing import Final

from protocols.wire import DeviceOpcode
from stack.application.compiler.circuit import Circuit
from stack.application.compiler.ways import Distance, Ways
from stack.application.compiler.weave import Seat, Woven, cost, weave

WORK: Final = 120_000
"""Operations woven while places are tried: under a second."""

_SETS: Final = 8
_IMPROVED: Final = 2
_SEED: Final = 1


class DoesNotFit(Exception):
    """The circuit cannot be placed; the reason, for people."""


def cut(circuit: Circuit, rooms: Mapping[int, int], distance: Distance) -> tuple[list[Seat], Woven]:
    """Seats for all qubits on QPUs with so many data qubits, and what the compiler makes of them.  Raises
    DoesNotFit."""
    sets = promising(circuit.qubits, rooms, distance)
    places = [_Places(circuit, {node: rooms[node] for node in nodes}, distance) for nodes in sets]
    places.sort(key=lambda p: p.cost)  # stable: among equals the smaller, nearer set
    for place in places[:_IMPROVED]:
        place.improve(WORK // _IMPROVED)
    best = min(places, key=lambda p: p.cost)
    return best.seats, best.woven


def promising(qubits: int, rooms: Mapping[int, int], distance: Distance) -> list[tuple[int, ...]]:
    """The sets of QPUs that are tried, at least one.  Raises DoesNotFit."""
    total = sum(rooms.values())
    if qubits > total:
        raise DoesNotFit(f"the circuit has {qubits} qubits, all QPUs together {total} data qubits")
    sets = list(_sets(qubits, rooms, distance))
    if not sets:
        raise DoesNotFit(f"no QPUs that can reach each other have {qubits} data qubits together")
    return sets


def _sets(qubits: int, rooms: Mapping[int, int], distance: Distance) -> Iterator[tuple[int, ...]]:
    """Sets of QPUs that are worth trying: around each QPU the nearest to those taken until there is room, fewest and
    nearest first.  In each, every two can reach each other, if need be by way of others in it."""
    sets: dict[tuple[int, ...], float] = {}
    for seed in sorted(rooms):
        nodes, room = [seed], rooms[seed]
        while room < qubits:
            near = {n: min(distance(n, taken) for taken in nodes) for n in rooms if n not in nodes}
            near = {n: far for n, far in near.items() if far < inf}
            if not near:
                break
            # The nearest; among equals the smallest that suffices, else the largest; then the nearest to all.
            closest = [n for n in near if near[n] == min(near.values())]
            enough = [n for n in closest if room + rooms[n] >= qubits]
            ways = Ways([*nodes, *closest], distance)
            spread = {n: sum(ways.length(n, taken) for taken in nodes) for n in closest}
            node = min(enough or closest, key=lambda n: (rooms[n] if enough else -rooms[n], spread[n], n))
            nodes.append(node)
            room += rooms[node]
        if room >= qubits:
            ways = Ways(nodes, distance)
            sets[tuple(sorted(nodes))] = sum(ways.length(a, b) for a, b in combinations(sorted(nodes), 2))
    yield from sorted(sets, key=lambda nodes: (len(nodes), sets[nodes], nodes))[:_SETS]


def _hyperedges(circuit: Circuit) -> dict[tuple[int, ...], int]:
    """Qubits of gates that one copy could serve, with how many such groups there are of the same qubits."""
    open_groups: dict[int, set[int]] = {}
    edges: dict[tuple[int, ...], int] = {}

    def close(qubit: int) -> None:
        group = open_groups.pop(qubit, None)
        if group:
            key = tuple(sorted({qubit, *group}))
            edges[key] = edges.get(key, 0) + 1

    for op in circuit.ops:
        if len(op.qubits) == 2:
            controls = [qubit for qubit in op.qubits if op.keeps_z(qubit)]
            if op.when or not controls:
                key = tuple(sorted(op.qubits))
                edges[key] = edges.get(key, 0) + 1
            else:
                # A symmetric gate joins the group that is larger.
                control = max(controls, key=lambda c: len(open_groups.get(c, ())))
                a, b = op.qubits
                open_groups.setdefault(control, set()).add(b if control == a else a)
        for qubit in op.qubits:
            if not op.keeps_z(qubit):
                close(qubit)
    for qubit in sorted(open_groups):
        close(qubit)
    return edges


def _partition(circuit: Circuit, rooms: Mapping[int, int]) -> list[int]:
    """A QPU for each qubit, by Mt-KaHyPar where there is a choice."""
    nodes = sorted(rooms)
    edges = _hyperedges(circuit)
    if len(nodes) == 1 or not edges:
        return _fill(circuit.qubits, rooms)
    import mtkahypar

    mtkahypar.set_seed(_SEED)
    initializer = mtkahypar.initialize(1, False)
    context = initializer.context_from_preset(mtkahypar.PresetType.DETERMINISTIC)
    context.set_partitioning_parameters(len(nodes), 0.03, mtkahypar.Objective.KM1)
    context.set_individual_target_block_weights([rooms[node] for node in nodes])
    context.logging = False
    hypergraph = initializer.create_hypergraph(
        context,
        circuit.qubits,
        len(edges),
        [list(edge) for edge in edges],
        [1] * circuit.qubits,
        list(edges.values()),
    )
    blocks = hypergraph.partition(context).get_partition()
    return _fitted([nodes[block] for block in blocks], rooms)


def _fill(qubits: int, rooms: Mapping[int, int]) -> list[int]:
    """One QPU after the other."""
    return [node for node in sorted(rooms) for _ in range(rooms[node])][:qubits]


def _fitted(homes: list[int], rooms: Mapping[int, int]) -> list[int]:
    """The same with no QPU overfull: the last of its qubits go where there is room."""
    left = dict(rooms)
    homeless = []
    for qubit, node in enumerate(homes):
        if left[node]:
            left[node] -= 1
        else:
            homeless.append(qubit)
    for qubit in homeless:
        node = max(left, key=lambda n: (left[n], -n))
        left[node] -= 1
        homes[qubit] = node
    return homes


class _Places:
    """A QPU for each qubit, and what that costs."""

    def __init__(self, circuit: Circuit, rooms: Mapping[int, int], distance: Distance) -> None:
        self._circuit, self._rooms, self._ways = circuit, rooms, Ways(rooms, distance)
        self._homes = _partition(circuit, rooms)
        self.cost, self.seats, self.woven = self._judge(self._homes)

    def _judge(self, homes: list[int]) -> tuple[float, list[Seat], Woven]:
        seats = seated(homes)
        woven = weave(self._circuit, seats, self._rooms, self._ways)
        return cost(woven.pieces, self._ways.distance), seats, woven

    def improve(self, work: int) -> None:
        """Exchange qubits, or move them to free seats, or exchange whole QPUs, for as long as it gets cheaper."""
        trials = max(4, work // max(1, len(self._circuit.ops), 2 * len(self.woven.pieces)))
        changed = True
        while changed and self.cost > 0:
            changed = False
            for homes in _neighbours(self._homes, self._rooms):
                if not trials:
                    return
                trials -= 1
                found = self._judge(homes)
                if found[0] < self.cost:
                    self.cost, self.seats, self.woven = found
                    self._homes, changed = homes, True
                    break


def _neighbours(homes: list[int], rooms: Mapping[int, int]) -> Iterator[list[int]]:
    nodes = sorted(rooms)
    held = {node: homes.count(node) for node in nodes}
    for a, b in combinations(nodes, 2):
        if held[a] <= rooms[b] and held[b] <= rooms[a]:
            yield [b if home == a else a if home == b else home for home in homes]
    for qubit, home in enumerate(homes):
        for node in nodes:
            if node != home and held[node] < rooms[node]:
                yield [*homes[:qubit], node, *homes[qubit + 1 :]]
    for one, other in combinations(range(len(homes)), 2):
        if homes[one] != homes[other]:
            exchanged = list(homes)
            exchanged[one], exchanged[other] = homes[other], homes[one]
            yield exchanged


def seated(homes: Sequence[int]) -> list[Seat]:
    """Seats from homes: on each QPU in the order of the qubits."""
    used: dict[int, int] = {}
    seats = []
    for node in homes:
        seats.append(Seat(node, used.setdefault(node, 0)))
        used[node] += 1
    return seats


def naive_pairs(circuit: Circuit, rooms: Mapping[int, int]) -> int:
    """What the plainest compiler would use: QPUs filled in order, one pair for a remote CNOT or CZ, two for a
    controlled phase, three for a SWAP."""
    homes = _fill(circuit.qubits, rooms)
    each = {DeviceOpcode.CP: 2, DeviceOpcode.SWAP: 3}
    return sum(
        each.get(op.opcode, 1)
        for op in circuit.ops
        if len(op.qubits) == 2 and homes[op.qubits[0]] != homes[op.qubits[1]]
    )
