"""Collective verbs over three QPUs with ideal devices: what each costs in ebits is what its page says, and the state
that it leaves, as the oracle sees it, is what it should be."""

import re
from functools import reduce
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inside import Inside
from slice_lab import IDEAL, PERFECT, leaks, run_slice, two_qpus, with_south

from stack.node import Node
from stack.sdk import Group, Qpu, Qubit, group

MEMBERS = ("west", "east", "south")
ANGLES = (0.7, 1.1, 2.0)
PAGE = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text()
COSTS = {
    verb: {"0": 0, "1": 1, "k − 1": len(MEMBERS) - 1}[row[2]]
    for row in re.finditer(r"^\| (`.*`[^|]*) \| .* \| ([^|]*) \|$", PAGE, re.M)
    for verb in re.findall(r"`(\w+)", row[1])
    if row[2] in ("0", "1", "k − 1")
}


def one(angle: float) -> Any:
    return np.array([np.cos(angle / 2), np.sin(angle / 2)])


def row(*kets: Any) -> Any:
    return reduce(np.kron, kets)


def cat(ket: Any, qubits: int) -> Any:
    """a|0...0> + b|1...1>."""
    state = np.zeros(2**qubits)
    state[0], state[-1] = ket
    return state


def with_parity(kets: Any) -> Any:
    """Qubits as they are, and after them one that has their parity."""
    state = np.zeros(2 ** (len(kets) + 1))
    for bits in product((0, 1), repeat=len(kets)):
        place = int("".join(map(str, [*bits, sum(bits) % 2])), 2)
        state[place] = np.prod([ket[bit] for ket, bit in zip(kets, bits, strict=True)])
    return state


class Stage:
    """What the members show to the oracle."""

    def __init__(self) -> None:
        self.shown: dict[int, list[tuple[int, int]]] = {}
        self.ebits: dict[str, int] = {}
        self.nodes: dict[str, Node] = {}

    async def verb(self, name: str, us: Group, before: int, qubits: list[Qubit], ket: Any = None) -> None:
        """The verb is done here, with these qubits to show for it.  The root has them looked at together."""
        qpu = us.qpu
        self.ebits[name] = self.ebits.get(name, 0) + us.ebits - before
        await qpu.flush()
        await qpu.ask("run", ops=[["touch", qubit.use()] for qubit in qubits])  # the frames that are due
        held = qpu.session.qubits._held  # type: ignore[attr-defined]
        self.shown[us.rank] = [(qpu.number, held[qubit.number].handle) for qubit in qubits]
        await us.barrier()
        if us.rank == 0:
            places = [place for rank in sorted(self.shown) for place in self.shown[rank]]
            host: Any = self.nodes[qpu.name].kernel.host
            assert host.plane.oracle.fidelity(places, ket, host.true_now) == pytest.approx(1, abs=1e-9), name
        await us.barrier()
        await qpu.release(*qubits)


def test_what_each_verb_costs_and_leaves(tmp_path: Path) -> None:
    stage = Stage()

    async def member(node: Node) -> None:
        stage.nodes[node.config.name] = node
        qpu = await Qpu(Inside(node)).greet()
        us = await group(qpu, MEMBERS)
        rank, kets = us.rank, [one(angle) for angle in ANGLES]

        async def mine() -> Qubit:
            return (await qpu.qubit()).ry(ANGLES[rank])

        before = us.ebits
        if rank == 0:
            await us.send(await mine(), to=1)
        got = [await us.receive(0)] if rank == 1 else []
        await stage.verb("send", us, before, got, kets[0])

        before = us.ebits
        given = [(await qpu.qubit()).ry(angle) for angle in ANGLES] if rank == 0 else None
        await stage.verb("scatter", us, before, [await us.scatter(given)], row(*kets))

        before = us.ebits
        await stage.verb("gather", us, before, await us.gather(await mine()), row(*kets))

        before = us.ebits
        copy = await us.broadcast(await mine() if rank == 0 else None)
        targets = [await qpu.qubit(), await qpu.qubit()]
        copy.cx(targets[0]).cx(targets[1])  # as many gates as one likes
        stage.ebits["broadcast"] = stage.ebits.get("broadcast", 0) + us.ebits - before
        before = us.ebits
        await us.retract(copy)
        left = [copy, *targets] if rank == 0 else targets
        await stage.verb("retract", us, before, left, cat(kets[0], 7))

        before = us.ebits
        await stage.verb("ghz", us, before, [await us.ghz(root=0)], cat(one(np.pi / 2), 3))

        before = us.ebits
        qubit = await mine()
        parity = await us.reduce_parity(qubit)
        # The root shows its two first: parity, own, then the others'.
        shown = [qubit] if parity is None else [parity, qubit]
        expected = with_parity(kets).reshape([2] * 4).transpose(3, 0, 1, 2).reshape(-1)
        await stage.verb("reduce_parity", us, before, shown, expected)

        before = us.ebits
        words = await us.gather_words({"rank": rank})
        assert words == ([{"rank": 0}, {"rank": 1}, {"rank": 2}] if rank == 0 else [])
        assert await us.broadcast_word(b"\xff" * 3_000 if rank == 0 else None) == b"\xff" * 3_000
        for name in ("gather_words", "broadcast_word", "barrier"):
            stage.ebits[name] = stage.ebits.get(name, 0) + us.ebits - before
        await us.close()
        qpu.close()

    device = IDEAL | {"data_qubits": 4, "communication_qubits": 4}
    text = with_south(two_qpus({}, device, PERFECT))
    ran = run_slice(text, tmp_path, record=True, programs={(name, 1): member for name in MEMBERS})
    assert ran.finished
    assert stage.ebits == {verb: cost for verb, cost in COSTS.items() if verb in stage.ebits}
    assert set(COSTS) == {*stage.ebits, "receive"}
    # What the members have counted is what the layers below have used.
    sent, controlled = ran.events("measuring"), [e for e in ran.events("began") if e["role"] == "CONTROL"]
    assert len(sent) + len(controlled) == sum(stage.ebits.values())
    assert [leak for name in MEMBERS for leak in leaks(ran.node(name))] == []
