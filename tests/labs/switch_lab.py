"""A data centre in small for tests: QPUs around one switch, whose programs ask the link layer for pairs.

What may live here: how such a run is written, and what its nodes were told.  What must hold is in the tests.
"""

from collections import Counter
from collections.abc import Callable
from itertools import combinations
from typing import Any

from slice_lab import NodeProgram

from protocols.device import Program
from protocols.egp.service import Err, Ok
from stack.node import Node
from stack.runtime.kernel import Waiter

PURPOSE = 3


def star(qpus: int = 4, analysers: int = 2, **changes: Any) -> dict[str, Any]:
    """QPUs q1, q2, ... with one communication qubit each, 20 m around a switch; no work.

    changes: to the switch, or under `link`, `device`, `arm_m`, `pairs` or a top-level key's name to those.
    """
    link = {"model": "barrett-kok", "grade": "sampled", "slot_s": 20e-6, "efficiency": 0.5} | changes.pop("link", {})
    device = {"data_qubits": 1, "communication_qubits": 1, "parallel": True} | changes.pop("device", {})
    around = {"arm_m": changes.pop("arm_m", 20), "pairs": changes.pop("pairs", "all")}
    top = {key: changes.pop(key) for key in ("seed", "channel", "faults", "duration_s", "linger_s") if key in changes}
    names = [f"q{n}" for n in range(1, qpus + 1)]
    switch = {"analysers": analysers, "technology": "electro-optic"} | changes
    if "reconfigure_s" in switch:
        del switch["technology"]
    nodes: dict[str, Any] = {name: {"kind": "qpu", "device": dict(device)} for name in names}
    nodes["hub"] = {"kind": "station", "switch": switch}
    return {"nodes": nodes, "stars": {"floor": {"station": "hub", "ends": names, "link": link, **around}}, **top}


class Asker:
    """Uses the link layer of a node: asks for `number` pairs on each link that it leads, or on those of `links`.

    Every qubit is measured and given back as soon as it is there, and after `hold_ps`.
    """

    def __init__(
        self, number: int, hold_ps: int = 0, max_time_ps: int = 0, links: Callable[[int, int], bool] | None = None
    ) -> None:
        self.number = number
        self.hold_ps = hold_ps
        self.max_time_ps = max_time_ps
        self.links = links or (lambda a, b: True)
        self.oks: list[tuple[int, int, Ok]] = []  # (node, life, what it was told)
        self.errs: list[tuple[int, int, Err]] = []
        self.asked: Counter[tuple[int, int]] = Counter()  # by (node, link)

    def program(self) -> NodeProgram:
        async def run(node: Node) -> None:
            await _User(self, node).run()

        return run

    def pairs(self, link: int) -> set[int]:
        """Sequences of pairs that both ends have been given, and not taken back since."""
        void = {
            (node, life, sequence)
            for node, life, err in self.errs
            if err.link == link and err.sequence_low is not None and err.sequence_high is not None
            for sequence in range(err.sequence_low, err.sequence_high + 1)
        }
        ends: dict[int, set[int]] = {}
        for node, life, ok in self.oks:
            if ok.link == link and (node, life, ok.link_sequence) not in void:
                ends.setdefault(ok.link_sequence, set()).add(node)
        return {sequence for sequence, nodes in ends.items() if len(nodes) == 2}


class _User:
    def __init__(self, asker: Asker, node: Node) -> None:
        self.asker, self.node = asker, node
        self.kernel = node.kernel
        self.open: dict[int, int] = {}  # pairs still to come, by create_id
        self.done: Waiter[None] = Waiter(self.kernel)

    async def run(self) -> None:
        node, asker = self.node, self.asker
        node.link.serve(self)
        mine = [link for link in node.config.links if asker.links(link.a, link.b)]
        for link in mine:
            node.link.recv(link.b if link.a == node.config.number else link.a, PURPOSE)
        # Every node has its rules before anybody asks.
        await self.kernel.sleep(1_000_000)
        for link in mine:
            if link.a == node.config.number:
                create_id = node.link.create(link.number, PURPOSE, asker.number, 0, asker.max_time_ps)
                self.open[create_id] = asker.number
                asker.asked[node.config.number, link.number] += 1
        if self.open:
            await self.done.wait()

    def link_ok(self, ok: Ok) -> None:
        self.asker.oks.append((self.kernel.number, self.kernel.incarnation, ok))
        self.kernel.after(self.asker.hold_ps, lambda: self._measure(ok.qubit))
        if ok.directionality == 0 and ok.create_id in self.open:
            self.open[ok.create_id] -= 1
            if not self.open[ok.create_id]:
                self._ended(ok.create_id)

    def _measure(self, qubit: int) -> None:
        program = Program().measure(qubit).release(qubit)
        self.node.physical.submit(program, lambda _: self.node.physical.memory.void(qubit))

    def link_error(self, err: Err) -> None:
        self.asker.errs.append((self.kernel.number, self.kernel.incarnation, err))
        if err.origin == self.kernel.number and err.create_id in self.open:
            self._ended(err.create_id)

    def _ended(self, create_id: int) -> None:
        del self.open[create_id]
        if not self.open:
            self.done.set(None)


def all_pairs(qpus: int) -> list[tuple[int, int]]:
    return list(combinations(range(1, qpus + 1), 2))
