"""Sessions through the whole stack: pair streams, half-close, and every qubit accounted for whatever happens to frames
and nodes (QTP-5, QTP-7, QTP-9 to QTP-12)."""

from pathlib import Path
from typing import Any

import pytest
from chain_lab import chain
from inside import Inside
from slice_lab import IDEAL, PERFECT, leaks, run_slice, two_qpus

from protocols.device import Program
from protocols.qtp.service import CloseReason
from protocols.wire import QtpService
from stack.node import Node
from stack.transport.interface import SessionClosed, SessionRefused

WEST, EAST = 1, 3
MS = 10**9
PORT = 9
QUBITS = 40


def test_both_ends_of_a_measured_stream_read_the_same_bits(tmp_path: Path) -> None:
    read: dict[str, list[Any]] = {"west": [], "east": []}
    came: list[int] = []

    async def reading(node: Node, session: Any) -> None:
        for _ in range(24):
            outcome = await session.outcome()
            read[node.config.name].append((outcome.pair.pair_id, outcome.basis, outcome.bit))
            if node.config.name == "west":
                came.append(node.kernel.now)

    async def west(node: Node) -> None:
        session = await node.transport.open(EAST, PORT, QtpService.PAIRS)
        session.stream(1_000.0)
        await reading(node, session)
        session.stream(0)
        session.close()

    async def east(node: Node) -> None:
        node.transport.listen(PORT, QtpService.PAIRS)
        await reading(node, await node.transport.accept(PORT))

    ran = run_slice(two_qpus({}, IDEAL, PERFECT), tmp_path, programs={("west", 1): west, ("east", 1): east})
    assert ran.finished
    assert read["west"] == read["east"]
    assert {bit for _, _, bit in read["west"]} == {0, 1}
    assert came[-1] - came[0] == pytest.approx(23 * MS, rel=0.02)
    assert [leak for name in ("west", "east") for leak in leaks(ran.node(name))] == []


def test_a_session_that_loses_its_peer_ends_its_circuit(tmp_path: Path) -> None:
    """QTP-7, QNP-1: over a repeater the stream between the ends may break while every neighbour is there: the circuit
    of the session must not outlive it."""
    ended: list[object] = []

    async def head(node: Node) -> None:
        session = await node.transport.open(3, PORT, QtpService.TELEPORT)
        session.reserve(1)
        await session.filled(1)
        node.transport._peer_lost(3)
        ended.append(session.closed)

    async def tail(node: Node) -> None:
        node.transport.listen(PORT, QtpService.TELEPORT)
        await node.transport.accept(PORT)

    ran = run_slice(chain(2, {}, linger_s=0.1), tmp_path, programs={("n0", 1): head, ("n2", 1): tail})
    assert ended == [CloseReason.PEER_LOST]
    for name in ("n0", "n1", "n2"):
        assert not ran.node(name).network._driver.machine._book.each()


def test_half_close_then_the_answer(tmp_path: Path) -> None:
    """West sends two ones and finishes; east sends back as many as came, more than it has places for at once."""
    told: list[Any] = []

    async def read(node: Node, incoming: Any) -> int:
        program = Program()
        if incoming.x:
            program.x(incoming.qubit)
        (bit,) = await node.physical.run(program.measure(incoming.qubit).release(incoming.qubit))
        node.physical.memory.void(incoming.qubit)
        return bit

    async def send(node: Node, session: Any, number: int) -> None:
        for _ in range(number):
            qubit = node.physical.memory.data(0)
            assert await session.teleport(qubit, Program().init(qubit).x(qubit))

    async def west(node: Node) -> None:
        session = await node.transport.open(EAST, PORT, QtpService.TELEPORT)
        await send(node, session, 5)
        session.finish()
        with pytest.raises(SessionClosed):
            session.send(0)
        for _ in range(5):
            told.append(await read(node, await session.receive()))
        with pytest.raises(SessionClosed):
            await session.receive()

    async def east(node: Node) -> None:
        node.transport.listen(PORT, QtpService.TELEPORT)
        session = await node.transport.accept(PORT)
        for _ in range(5):
            told.append(await read(node, await session.receive()))
        with pytest.raises(SessionClosed, match="the peer has finished"):
            await session.receive()
        await send(node, session, 5)
        session.close()

    ran = run_slice(two_qpus({}, IDEAL, PERFECT), tmp_path, programs={("west", 1): west, ("east", 1): east})
    assert ran.finished
    assert told == [1] * 10
    assert [leak for name in ("west", "east") for leak in leaks(ran.node(name))] == []


def test_places_are_free_again_where_halves_lie_in_storage(tmp_path: Path) -> None:
    """QTP-10: two places; their user keeps both and lets both go, when no communication qubit is out any more, to tell
    of it as it becomes free."""
    told: list[bool] = []

    async def west(node: Node) -> None:
        session = await node.transport.open(EAST, PORT, QtpService.TELEPORT)
        for _ in range(6):
            qubit = node.physical.memory.data(0)
            told.append(await session.teleport(qubit, Program().init(qubit)))
        session.close()

    async def east(node: Node) -> None:
        node.transport.listen(PORT, QtpService.TELEPORT)
        session = await node.transport.accept(PORT)
        for _ in range(3):
            held = [(await session.receive()).qubit for _ in range(2)]
            await node.kernel.sleep(MS)
            for qubit in held:
                node.physical.memory.release(qubit)

    text = two_qpus({}, IDEAL | {"storage_qubits": 2}, PERFECT, duration_s=2)
    ran = run_slice(text, tmp_path, programs={("west", 1): west, ("east", 1): east})
    assert told == [True] * 6
    assert ran.finished
    assert [leak for name in ("west", "east") for leak in leaks(ran.node(name))] == []


@pytest.mark.parametrize("seed", range(1, 6))
def test_exactly_once_or_reported_whatever_happens(tmp_path: Path, seed: int) -> None:
    """A fifth of all frames lost, others doubled and disordered; the receiver dies in the middle and comes back."""
    channel = {"loss": 0.2, "duplicate": 0.2, "reorder": 0.2, "jitter_s": 1e-6}
    died_ps = (seed * 7 % 11 + 4) * MS // 4
    text = two_qpus(
        {},
        IDEAL,
        PERFECT,
        channel=channel,
        faults=[{"at_s": died_ps / 1e12, "kill": "east"}, {"at_s": died_ps / 1e12 + 0.02, "restart": "east"}],
        seed=seed,
        duration_s=8,
    )
    sent: dict[int, list[str]] = {}
    arrived: dict[int, list[tuple[int, int]]] = {}

    async def west(node: Node) -> None:
        while not sent or list(sent.values())[-1] != ["delivered"] * QUBITS:
            try:
                session = await node.transport.open(EAST, PORT, QtpService.TELEPORT)
                await send(node, session, sent.setdefault(session.ident.number, []))
            except (SessionClosed, SessionRefused):
                await node.kernel.sleep(50 * MS)

    async def send(node: Node, session: Any, fates: list[str]) -> None:
        while len(fates) < QUBITS:
            qubit = node.physical.memory.data(0)
            await node.physical.run(Program().init(qubit).x(qubit))
            fates.append("on the way")
            try:
                fates[-1] = "delivered" if await session.teleport(qubit) else "lost"
            except SessionClosed:
                fates[-1] = "returned"
                (bit,) = await node.physical.run(Program().measure(qubit))
                assert bit == 1  # it was not touched
                raise
        session.close()

    async def east(node: Node) -> None:
        node.transport.listen(PORT, QtpService.TELEPORT)
        while True:
            session = await node.transport.accept(PORT)
            await receive(node, session, arrived.setdefault(session.ident.number, []))

    async def receive(node: Node, session: Any, got: list[tuple[int, int]]) -> None:
        try:
            while True:
                incoming = await session.receive()
                program = Program()
                if incoming.x:
                    program.x(incoming.qubit)
                (bit,) = await node.physical.run(program.measure(incoming.qubit).release(incoming.qubit))
                node.physical.memory.void(incoming.qubit)
                got.append((incoming.index, bit))
        except SessionClosed:
            return

    programs = {("west", 1): west, ("east", 1): east, ("east", 2): east}
    ran = run_slice(text, tmp_path, programs=programs)
    assert len(sent) >= 2, "the death came too late to disturb anything"
    assert list(sent.values())[-1] == ["delivered"] * QUBITS
    for number, fates in sent.items():
        assert "on the way" not in fates
        assert fates.count("lost") <= 1  # only what was under way when the peer died
        got = arrived.get(number, [])
        indexes = [index for index, _ in got]
        assert indexes == sorted(set(indexes))  # in order, each once
        assert all(bit == 1 for _, bit in got)
        # Each end knows the same of every qubit, but for those of the moment of death.
        delivered = {index for index, fate in enumerate(fates) if fate == "delivered"}
        assert len(delivered ^ set(indexes)) <= ("lost" in fates or "returned" in fates) + (len(fates) < QUBITS)
    assert [leak for name in ("west", "east") for leak in leaks(ran.node(name))] == []


def test_a_port_is_the_next_programs_at_once_and_to_its_end(tmp_path: Path) -> None:
    """What the first one leaves behind takes nothing from the second, which listens at the instant of its end."""
    met: list[int] = []

    async def east(node: Node) -> None:
        first, second = Inside(node), Inside(node)
        await first.ask("listen", port=40)
        first.close()
        await second.ask("listen", port=40)
        met.append((await second.ask("accept", port=40))["peer"])
        second.close()
        await Inside(node).ask("listen", port=40)

    async def west(node: Node) -> None:
        program = Inside(node)
        await program.ask("open", peer=EAST, port=40, patience_ps=MS)
        program.close()

    ran = run_slice(two_qpus({}, IDEAL, PERFECT), tmp_path, programs={("west", 1): west, ("east", 1): east})
    assert ran.finished
    assert met == [WEST]
