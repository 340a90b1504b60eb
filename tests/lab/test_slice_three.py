"""The whole stack in `local` with a third QPU: whose gate, whose pair and whose session is which.

What may live here: runs of the shipped two-QPU scenarios with one more, and what must hold of each.
"""

from typing import Any

import pytest
from slice_lab import BUSY, IDEAL, PERFECT, ended_well, header, inverse, job, run_slice, two_qpus, with_south

from protocols.wire import QtpService
from stack.node import Node
from stack.runtime.times import MS
from stack.transport.interface import SessionClosed

THREE = ("west", "east", "south")
MAPPING = {"west": [0, 1], "east": [2], "south": [3]}
STAR = ["h q[0];", "cx q[0],q[2];", "cx q[3],q[1];", "cx q[0],q[3];", "cx q[2],q[1];", "cx q[1],q[3];"]
"""Gates of west with both others, in either direction; no two nodes have the same number of them."""


def test_three_qpus_agree_about_which_gate_is_which(tmp_path):
    """With one communication qubit less west could give its only one to the peer whose gate comes later."""
    qasm = header(4) + "\n".join(STAR + inverse(STAR)) + "\nmeasure q -> c;\n"
    text = two_qpus(job("circuit.qasm", 6, mapping=MAPPING), BUSY, PERFECT, duration_s=1)
    ran = run_slice(with_south(text), tmp_path, qasm=qasm)
    ended_well(ran, THREE)
    assert ran.shots() == ({"0000": 6}, 0)


@pytest.mark.parametrize("at_s", [1e-4, 6.1e-4, 1.2e-3, 3.3e-3])
def test_a_job_that_one_gives_up_is_given_up_by_all(tmp_path, at_s):
    """East dies.  South has no gate with it and hears of it from west; pairs that were on order are returned."""
    qasm = header(4) + "\n".join(STAR) + "\nmeasure q -> c;\n"
    text = two_qpus(
        job("circuit.qasm", 50, mapping=MAPPING),
        BUSY,
        {**PERFECT, "efficiency_a": 0.3},
        faults=[{"at_s": at_s, "kill": "east"}],
        linger_s=0.05,
        duration_s=1,
    )
    ran = run_slice(with_south(text), tmp_path, qasm=qasm)
    ended_well(ran, ("west", "south"))
    assert "was lost" in ran.result("west", "job-0")["failed"]
    assert "given the job up" in ran.result("south", "job-0")["failed"]


def test_sessions_of_equal_number_do_not_know_each_other(tmp_path):
    """East and south each open their first session with west; that east closes its own is nothing to south."""
    got: list[Any] = []

    async def west(node: Node) -> None:
        node.transport.listen(9, QtpService.PAIRS)
        for _ in range(2):
            node.kernel.spawn(taker, node, await node.transport.accept(9))
        await node.kernel.sleep(30 * MS)

    async def taker(node: Node, session: Any) -> None:
        try:
            while True:
                node.physical.memory.release((await session.pair()).qubit)
        except SessionClosed:
            got.append(session.closed.name)

    async def opener(node: Node) -> None:
        session = await node.transport.open(1, 9, QtpService.PAIRS)
        await node.kernel.sleep(20 * MS if node.config.name == "south" else MS)
        session.ask_pairs(2)
        for _ in range(2):
            pair = await session.pair()
            got.append((node.config.name, session.ident.number))
            node.physical.memory.release(pair.qubit)
        session.close()
        with pytest.raises(SessionClosed):
            await session.pair()

    text = with_south(two_qpus({}, IDEAL, PERFECT, duration_s=1))
    ran = run_slice(text, tmp_path, programs={("west", 1): west, ("east", 1): opener, ("south", 1): opener})
    ended_well(ran, THREE)
    assert got == [("east", 3)] * 2 + ["CLOSED_BY_PEER"] + [("south", 3)] * 2 + ["CLOSED_BY_PEER"]
