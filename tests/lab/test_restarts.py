"""A node dies and lives again, unnoticed: what is begun with it right afterwards works, without being begun twice
(REL-13, REL-16)."""

from pathlib import Path
from typing import Any

import pytest
from chain_lab import chain
from slice_lab import IDEAL, PERFECT, Slice, leaks, run_slice, two_qpus
from test_controller import GHZ, network

from protocols.device import Program
from protocols.wire import QtpService
from stack.node import Node

EAST = 3
PORT = 9
DIED_S, BACK_S = 2e-3, 3e-3
FAULTS = {"loss": 0.2, "duplicate": 0.1, "reorder": 0.1}


def deaths(*nodes: str, back_s: float = BACK_S) -> list[dict[str, Any]]:
    return [{"at_s": DIED_S, "kill": node} for node in nodes] + [{"at_s": back_s, "restart": node} for node in nodes]


def broken(run: Slice, node: str) -> list[int]:
    """When a node was told of lost streams."""
    return [event["t_ps"] for event in run.events("broken") if event["node"] == node]


@pytest.mark.parametrize("channel", [{}, FAULTS], ids=["clean", "lossy"])
@pytest.mark.parametrize("after_s", [0, 1e-6])
def test_a_session_is_opened(after_s: float, channel: dict[str, Any], tmp_path: Path) -> None:
    """Also by who cannot know yet that the node lives again: its first question finds that out, and is asked anew."""
    read: list[int] = []

    async def west(node: Node) -> None:
        await send(node)
        await node.kernel.sleep(round((BACK_S + after_s) * 1e12) - node.kernel.now)
        await send(node)

    async def send(node: Node) -> None:
        session = await node.transport.open(EAST, PORT, QtpService.TELEPORT)
        qubit = node.physical.memory.data(0)
        assert await session.teleport(qubit, Program().init(qubit).x(qubit))
        session.close()

    async def east(node: Node) -> None:
        node.transport.listen(PORT, QtpService.TELEPORT)
        session = await node.transport.accept(PORT)
        incoming = await session.receive()
        program = Program()
        if incoming.x:
            program.x(incoming.qubit)
        read.extend(await node.physical.run(program.measure(incoming.qubit).release(incoming.qubit)))
        node.physical.memory.void(incoming.qubit)

    text = two_qpus({}, IDEAL, PERFECT, faults=deaths("east"), channel=channel)
    programs = {("west", 1): west, ("east", 1): east, ("east", 2): east}
    run = run_slice(text, tmp_path, programs=programs)
    assert run.finished
    assert read == [1, 1]
    assert [leak for name in ("west", "east") for leak in leaks(run.node(name))] == []


@pytest.mark.parametrize("dead", [("n1",), ("n2",), ("n1", "n2"), ("n0", "n1", "n2")], ids="+".join)
def test_pairs_are_made(dead: tuple[str, ...], tmp_path: Path) -> None:
    """Over a repeater, whoever has died, alone or together.  The next circuit is set up when all have been told."""
    made: list[tuple[str, int]] = []

    async def head(node: Node) -> None:
        if node.config.incarnation == 1:
            await ask(node)
        await node.kernel.sleep(round((BACK_S + 1e-5) * 1e12) - node.kernel.now)
        await ask(node)

    async def ask(node: Node) -> None:
        session = await node.transport.open(EAST, PORT, QtpService.PAIRS)
        session.ask_pairs(2)
        await take(node, session)
        session.close()

    async def tail(node: Node) -> None:
        node.transport.listen(PORT, QtpService.PAIRS)
        while True:
            await take(node, await node.transport.accept(PORT))

    async def take(node: Node, session: Any) -> None:
        for _ in range(2):
            outcome = await session.outcome()
            made.append((node.config.name, outcome.bit))

    programs = {(name, life): act for name, act in (("n0", head), ("n2", tail)) for life in (1, 2)}
    run = run_slice(chain(2, {}, faults=deaths(*dead), duration_s=0.5), tmp_path, programs=programs)
    bits = {end: [bit for name, bit in made if name == end] for end in ("n0", "n2")}
    assert len(bits["n0"]) == 4
    assert bits["n0"] == bits["n2"]
    assert [leak for name in ("n0", "n1", "n2") for leak in leaks(run.node(name))] == []


@pytest.mark.parametrize("after_s", [0, 1e-6])
@pytest.mark.parametrize("dead", [("q2",), ("q1", "q2")], ids="+".join)
def test_a_job_is_done(dead: tuple[str, ...], after_s: float, tmp_path: Path) -> None:
    """It is placed anew at most, and nobody is kept apart from anybody for it."""
    jobs = [GHZ | {"name": "before"}, GHZ | {"name": "after", "at_s": BACK_S + after_s}]
    run = run_slice(network(2, jobs, faults=deaths(*dead)), tmp_path)
    before, after = run.outcome.results["ctl"]["jobs"]
    assert before["state"] == after["state"] == "DONE"
    assert before["ended_ps"] < DIED_S * 1e12
    assert after["ended_ps"] < (BACK_S + 1e-4) * 1e12
    assert len(after["placings"]) <= 1 + (after_s == 0)


@pytest.mark.parametrize("seed", range(3))
def test_a_job_is_done_though_the_news_is_lost(seed: int, tmp_path: Path) -> None:
    """A QPU that finds out about the other's restart in the middle of a job does not say that there is no way to it."""
    jobs = [GHZ | {"name": "before"}, GHZ | {"name": "after", "at_s": BACK_S}]
    run = run_slice(network(2, jobs, faults=deaths("q2"), channel=FAULTS, seed=seed), tmp_path)
    before, after = run.outcome.results["ctl"]["jobs"]
    assert before["state"] == after["state"] == "DONE"
    assert after["ended_ps"] < (BACK_S + 1) * 1e12
