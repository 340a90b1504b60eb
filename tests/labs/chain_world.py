"""Links and devices under several QNP machines: states by stim, link pairs that come late, at one end, or not at all.

What may live here: the world below the network layer, as a `Net` with QNP machines needs it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import stim
from machine_pair import Net

from protocols.device import Program, radians
from protocols.pairs import ReleaseQubit
from protocols.qnp.node import Qnp
from protocols.qnp.promise import Wishes
from protocols.qnp.service import LinkPair, NeedLinkPairs, PairDelivered, PairEarly, PairLost, PairMeasured, RunProgram
from protocols.qnp.shared import NodeFacts
from protocols.routes import Hop, Offer, Route
from protocols.wire.codec import DeviceOpcode

FULL = (1 << 32) - 1
DELAY_PS = 10_000
OFFER = Offer(FULL, FULL, DELAY_PS, 4)


class Table:
    """Routes of one node: the only way, over a tree."""

    def __init__(self, node: int, links: Mapping[int, tuple[int, int]]) -> None:
        self._ways: dict[int, Route] = {node: ()}
        waiting = [node]
        while waiting:
            here = waiting.pop()
            for link, ends in links.items():
                if here in ends:
                    there = ends[1] if ends[0] == here else ends[0]
                    if there not in self._ways:
                        self._ways[there] = (*self._ways[here], Hop(link, there, OFFER))
                        waiting.append(there)

    def paths(self, destination: int, most: int) -> list[Route]:
        return [self._ways[destination]] if destination in self._ways else []


class World:
    """`links` by number: the two nodes.  `choose(what, options)` draws."""

    def __init__(
        self,
        links: Mapping[int, tuple[int, int]],
        wishes: Wishes,
        choose: Callable[[str, list[Any]], Any],
        troubles: int = 30,
    ) -> None:
        self.links = dict(links)
        self._draw = choose
        self.troubles = troubles  # pairs after which all goes well, so that a test ends
        nodes = sorted({node for ends in links.values() for node in ends})
        machines = {}
        for node in nodes:
            own = {link: b if a == node else a for link, (a, b) in links.items() if node in (a, b)}
            facts = NodeFacts(swaps=True, memories=4)
            machines[node] = Qnp(node, own, routes=Table(node, links), facts=facts, wishes=wishes)
        self.net = Net(machines, DELAY_PS, on_event=self.on_event)
        self.simulator = stim.TableauSimulator(seed=1)
        self.owner: dict[int, str] = {}  # of each qubit that is out: who has it
        self.node_of: dict[int, int] = {}
        self.mates: dict[tuple[int, int], list[int]] = {}  # the halves of each link pair
        self.early: dict[int, int] = {}  # by qubit: the request that has it
        self.measured: set[tuple[int, int, int]] = set()  # (node, head, pair id)
        self._sequence = 0
        self._qubits = 0

    def _choose(self, what: str, options: list[Any]) -> Any:
        """The first option is the one that goes well."""
        return self._draw(what, options) if self.troubles > 0 else options[0]

    def qnp(self, node: int) -> Qnp:
        machine = self.net.machines[node]
        assert isinstance(machine, Qnp)
        return machine

    # -- what the machines want

    def on_event(self, node: int, event: Any, now: int) -> None:
        match event:
            case NeedLinkPairs():
                for _ in range(event.number):
                    self._make(node, event.link, event.purpose)
            case RunProgram():
                after = self._choose("program", [1, 2, 30]) * DELAY_PS // 10
                self.net.at(now + after, lambda: self._run(node, event))
            case ReleaseQubit(qubit=qubit):
                self._take(node, qubit, "network")
                del self.owner[qubit]
            case PairEarly(qubit=qubit):
                self._take(node, qubit, "network")
                self.owner[qubit] = "user"
                self.early[qubit] = event.request
            case PairDelivered(pair=pair):
                if self.early.setdefault(pair.qubit, event.request) != event.request:
                    raise AssertionError(f"{pair} has been handed to another request")
                if self.owner.get(pair.qubit) != "user":
                    self._take(node, pair.qubit, "network")
                self.owner[pair.qubit] = "user"
            case PairMeasured():
                self.measured.add((node, event.head, event.pair_id))
            case PairLost(pair=pair):
                measured = (node, pair.head, pair.pair_id) in self.measured
                assert self.owner.get(pair.qubit) == (None if measured else "user")
            case _:
                pass

    def _take(self, node: int, qubit: int, whose: str) -> None:
        assert self.owner.get(qubit) == whose, f"{qubit} is with {self.owner.get(qubit)}"
        assert self.node_of[qubit] == node

    def _make(self, asker: int, link: int, label: int) -> None:
        self._sequence += 1
        self.troubles -= 1
        sequence = self._sequence
        ends = self.links[link]
        peer = ends[1] if ends[0] == asker else ends[0]
        fate = self._choose("fate", ["well", "well", "well", "asker only", "peer only"])
        index = self._choose("index", [2, 3])
        halves = {asker: self._new(), peer: self._new()}
        self._entangle(halves[asker], halves[peer], index)
        self.mates[link, sequence] = list(halves.values())
        delays = [0, 1, 2, 5]
        due = {n: self.net.now + self._choose("delay", delays) * DELAY_PS for n in (asker, peer)}
        late = max(due.values()) + self._choose("late", delays) * DELAY_PS

        def give(node: int, other: int) -> None:
            qubit = halves[node]
            self.owner[qubit], self.node_of[qubit] = "network", node
            self.qnp(node).link_pair(LinkPair(link, label, sequence, index, qubit, FULL, 5), self.net.now)

        told = {"well": (asker, peer), "asker only": (asker,), "peer only": (peer,)}[fate]
        for node in told:
            self.net.at(due[node], lambda n=node: give(n, peer if n == asker else asker))  # type: ignore[misc]
        if fate != "well":
            (node,) = told
            self.net.at(late, lambda: self.qnp(node).link_expired(link, sequence, self.net.now))
        if fate == "peer only":  # the asker's link layer still owes a pair
            self.net.at(late, lambda: self._make(asker, link, label))

    # -- states

    def _new(self) -> int:
        self._qubits += 1
        return self._qubits << 16 | 1

    def _entangle(self, a: int, b: int, index: int) -> None:
        x, y = a >> 16, b >> 16
        do = self.simulator
        do.h(x)
        do.cnot(x, y)
        if index & 2:
            do.x(y)
        if index & 1:
            do.z(y)

    def _run(self, node: int, event: RunProgram) -> None:
        bits = self.execute(event.program)
        for qubit in event.released:
            self._take(node, qubit, "network")
            del self.owner[qubit]
        self.qnp(node).ran(event.number, bits, self.net.now)

    def execute(self, program: Program) -> tuple[int, ...]:
        """The measured bits; Clifford operations only."""
        do, bits = self.simulator, []
        for op in program.ops:
            qubit, other = op.qubit >> 16, op.other >> 16
            match op.opcode:
                case DeviceOpcode.CX:
                    do.cnot(qubit, other)
                case DeviceOpcode.H:
                    do.h(qubit)
                case DeviceOpcode.S:
                    do.s(qubit)
                case DeviceOpcode.SDG:
                    do.s_dag(qubit)
                case DeviceOpcode.X:
                    do.x(qubit)
                case DeviceOpcode.Z:
                    do.z(qubit)
                case DeviceOpcode.RX:
                    assert abs(abs(radians(op.angle)) - 1.5707963) < 1e-6
                    (do.sqrt_x if op.angle > 0 else do.sqrt_x_dag)(qubit)
                case DeviceOpcode.MEASURE:
                    bits.append(int(do.measure(qubit)))
                case DeviceOpcode.RELEASE:
                    pass
                case other_code:
                    raise AssertionError(f"{other_code} is no operation of a network layer")
        return tuple(bits)

    def bell_index(self, a: int, b: int) -> int | None:
        """Which Bell state these two qubits are in, if any."""
        size = max(a, b) >> 16
        found = []
        for letter in "ZX":
            text = ["_"] * (size + 1)
            text[a >> 16] = text[b >> 16] = letter
            found.append(self.simulator.peek_observable_expectation(stim.PauliString("".join(text))))
        z, x = found
        return None if 0 in (z, x) else (z == -1) << 1 | (x == -1)
