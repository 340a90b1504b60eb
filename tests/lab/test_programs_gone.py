"""What a program leaves behind that goes away, in the midst of whatever it does: nothing.  And what it may ask for: any
call, with whatever arguments, is served or refused, and the node lives on."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from inside import HungUp, Inside
from slice_lab import BUSY, IDEAL, PERFECT, held_by_programs, leaks, run_slice, two_qpus

from stack.node import Node
from stack.runtime.kernel import Kernel, Mailbox
from stack.sdk import CallFailed

WEST, MID, EAST = 1, 2, 3
US, MS = 10**6, 10**9
PORT = 40

type NodeProgram = Callable[[Node], Awaitable[None]]


def both(tmp_path: Path, west: NodeProgram, east: NodeProgram, device: dict[str, Any] = IDEAL) -> None:
    """Run a program at each end; when both have ended nothing is held."""
    ran = run_slice(two_qpus({}, device, PERFECT), tmp_path, programs={("west", 1): west, ("east", 1): east})
    assert ran.finished
    nodes = ran.node("west"), ran.node("east")
    assert [left for node in nodes for left in leaks(node) + held_by_programs(node)] == []


async def opened(node: Node, service: str = "TELEPORT") -> tuple[Inside, int]:
    """A program of west, with a channel to east."""
    program = Inside(node)
    channel = await program.ask("open", peer=EAST, port=PORT, service=service, patience_ps=MS)
    return program, channel["channel"]


async def accepted(node: Node, service: str = "TELEPORT") -> tuple[Inside, int]:
    """A program of east, with a channel to west."""
    program = Inside(node)
    await program.ask("listen", port=PORT, service=service)
    return program, (await program.ask("accept", port=PORT))["channel"]


async def hangs_up_in(program: Inside, after_ps: int, name: str, **arguments: Any) -> None:
    """The program makes a call and goes away so much later: the call has not been answered by then."""
    kernel: Kernel = program.kernel
    kernel.after(after_ps, lambda: kernel.wake(program.hang_up))
    with pytest.raises(HungUp):
        await program.ask(name, **arguments)
    program.close()


async def idle(node: Node) -> None:
    """A program that does nothing."""


def test_a_call_over_a_session_of_another_service_is_refused(tmp_path: Path) -> None:
    """As are rates that are none: the node lives on, and so does the session."""
    refused: list[str] = []

    async def fails(program: Inside, name: str, **arguments: Any) -> None:
        with pytest.raises(CallFailed) as failed:
            await program.ask(name, **arguments)
        refused.append(str(failed.value))

    async def west(node: Node) -> None:
        program, teleport = await opened(node)
        qubit = await program.ask("qubit")
        await fails(program, "ask_pairs", channel=teleport, pairs=1)
        await fails(program, "ask_pairs", channel=teleport, pairs_per_s=1000.0)
        await fails(program, "pair", channel=teleport)
        await fails(program, "outcome", channel=teleport)
        assert await program.ask("send", channel=teleport, qubit=qubit)
        pairs = (await program.ask("open", peer=EAST, port=PORT + 1, service="PAIRS", patience_ps=MS))["channel"]
        qubit = await program.ask("qubit")
        await fails(program, "send", channel=pairs, qubit=qubit)
        await fails(program, "receive", channel=pairs)
        await fails(program, "reserve", channel=pairs, pairs=1)
        for rate in (1e-300, 1e12, -1.0, float("nan"), float("inf"), True):
            await fails(program, "ask_pairs", channel=pairs, pairs_per_s=rate)
        await program.ask("ask_pairs", channel=pairs, pairs=1)
        await program.ask("pair", channel=pairs)
        program.close()

    async def east(node: Node) -> None:
        program, channel = await accepted(node)
        await program.ask("listen", port=PORT + 1, service="PAIRS")
        await program.ask("receive", channel=channel)
        pairs = await program.ask("accept", port=PORT + 1)
        await program.ask("pair", channel=pairs["channel"])
        program.close()

    both(tmp_path, west, east)
    assert refused[:4] == ["channel 1 is a session of TELEPORT: this call needs PAIRS"] * 4
    assert refused[4:7] == ["channel 2 is a session of PAIRS: this call needs TELEPORT"] * 3
    assert refused[7:] == ["pairs_per_s must be a number from 1e-06 on, or 0"] * 6


def test_no_session_or_key_leads_to_a_node_without_qubits(tmp_path: Path) -> None:
    """A station would never answer."""
    refused: list[str] = []

    async def west(node: Node) -> None:
        program = Inside(node)
        for name, arguments in (("open", {"port": PORT}), ("keys_open", {})):
            with pytest.raises(CallFailed) as failed:
                await program.ask(name, peer=MID, **arguments)
            refused.append(str(failed.value))
        program.close()

    both(tmp_path, west, idle)
    assert refused == ["mid has no qubits: no session leads there", "mid has no qubits to make keys of"]


@pytest.mark.parametrize("closes", [False, True])
def test_what_came_over_a_session_that_nobody_fetched_is_let_go_of(tmp_path: Path, closes: bool) -> None:
    async def west(node: Node) -> None:
        program, channel = await opened(node)
        assert await program.ask("send", channel=channel, qubit=await program.ask("qubit"))
        if not closes:
            await node.kernel.sleep(3 * MS)
        program.close()

    async def east(node: Node) -> None:
        program = Inside(node)
        await program.ask("listen", port=PORT)
        await node.kernel.sleep(2 * MS)
        program.close()

    both(tmp_path, west, east)


def test_whoever_hangs_up_while_it_opens_leaves_no_session(tmp_path: Path) -> None:
    """Before the other end has heard of it, before its answer is here, and between two tries."""

    async def west(node: Node) -> None:
        there_ps = node.config.paths[EAST].delay_ps
        for after_ps in (there_ps // 2, 3 * there_ps // 2):
            await hangs_up_in(Inside(node), after_ps, "open", peer=EAST, port=PORT)
        await hangs_up_in(Inside(node), MS, "open", peer=EAST, port=PORT + 1, patience_ps=3600 * 1000 * MS)
        assert node.kernel.now < 2 * MS

    async def east(node: Node) -> None:
        program = Inside(node)
        await program.ask("listen", port=PORT)
        await node.kernel.sleep(3 * MS)
        program.close()

    both(tmp_path, west, east)


def test_whoever_hangs_up_while_it_sends_holds_nothing_any_more(tmp_path: Path) -> None:
    """The other end takes no qubit: it has no place for the third."""

    async def west(node: Node) -> None:
        program, channel = await opened(node)
        for _ in range(IDEAL["communication_qubits"]):
            assert await program.ask("send", channel=channel, qubit=await program.ask("qubit"))
        await hangs_up_in(program, MS, "send", channel=channel, qubit=await program.ask("qubit"))
        assert held_by_programs(node) == []

    async def east(node: Node) -> None:
        program, _ = await accepted(node)
        await node.kernel.sleep(20 * MS)
        program.close()

    both(tmp_path, west, east)


def test_whoever_hangs_up_while_a_pair_is_measured_lets_go_of_it(tmp_path: Path) -> None:
    """At any instant: steps are shorter than a measurement takes."""
    answered: list[bool] = []

    async def west(node: Node) -> None:
        for after_us in range(0, 100, 5):
            program, channel = await opened(node, "PAIRS")
            await program.ask("ask_pairs", channel=channel, pairs=1)
            node.kernel.after(after_us * US, lambda gone=program: node.kernel.wake(gone.hang_up))
            try:
                await program.ask("outcome", channel=channel)
                answered.append(True)
            except HungUp:
                answered.append(False)
            program.close()

    async def east(node: Node) -> None:
        program = Inside(node)
        await program.ask("listen", port=PORT, service="PAIRS")
        while len(answered) < 20:
            await node.kernel.sleep(MS)
        program.close()

    both(tmp_path, west, east, BUSY)
    assert {True, False} == set(answered)


def test_what_comes_at_the_instant_of_a_hang_up_is_not_lost(tmp_path: Path) -> None:
    """It stays in the mailbox, before what comes after it, for whoever tidies up."""
    found: list[str] = []

    async def west(node: Node) -> None:
        kernel = node.kernel
        mailbox: Mailbox[str] = Mailbox(kernel)
        program = Inside(node)
        program.calls["get"] = mailbox.get
        program.waits |= {"get"}

        def comes() -> None:
            mailbox.put("first")
            program.hang_up()
            mailbox.put("second")

        kernel.after(US, comes)
        with pytest.raises(HungUp):
            await program.ask("get")
        program.close()
        found.extend([await mailbox.get(), await mailbox.get()])

    both(tmp_path, west, idle)
    assert found == ["first", "second"]


def test_a_place_whose_qubit_is_being_sent_is_anothers_at_once(tmp_path: Path) -> None:
    """The other end resets the session while the Bell measurement runs: the qubit is lost, and the next program has
    its place, by another handle."""
    fates: list[bool] = []

    async def west(node: Node) -> None:
        program, channel = await opened(node)
        others = [await program.ask("qubit") for _ in range(BUSY["data_qubits"])]
        session = next(iter(node.transport._sessions.values()))
        node.kernel.spawn(_resets_while_measuring, node, session)
        fates.append(await program.ask("send", channel=channel, qubit=others[0]))
        second = Inside(node)
        qubit = await second.ask("qubit")
        assert await second.ask("run", ops=[["x", qubit], ["measure", qubit]]) == [1]
        program.close()
        second.close()

    async def east(node: Node) -> None:
        program, _ = await accepted(node)
        await node.kernel.sleep(5 * MS)
        program.close()

    both(tmp_path, west, east, BUSY)
    assert fates == [False]


async def _resets_while_measuring(node: Node, session: Any) -> None:
    while not node.transport.driver.machine._sessions[session.ident].sending.measuring:
        await node.kernel.sleep(US)
    session.reset()


def test_a_gate_that_was_refused_at_once_is_none_that_the_other_end_waits_for(tmp_path: Path) -> None:
    read: list[list[int]] = []

    async def west(node: Node) -> None:
        program, channel = await opened(node)
        qubit = await program.ask("qubit")
        with pytest.raises(CallFailed, match="no qubit 99"):
            await program.ask("gate", channel=channel, kind="CNOT", qubit=99)
        await program.ask("run", ops=[["x", qubit]])
        await program.ask("gate", channel=channel, kind="CNOT", qubit=qubit)
        program.close()

    async def east(node: Node) -> None:
        program, channel = await accepted(node)
        target = await program.ask("qubit")
        await program.ask("gate", channel=channel, kind="CNOT", block=[["cx", 0, target]])
        read.append(await program.ask("run", ops=[["measure", target]]))
        program.close()

    both(tmp_path, west, east)
    assert read == [[1]]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("sleep", {"duration_ps": 3600 * 1000 * MS}), ("ping", {"destination": EAST, "count": 1_000_000})],
)
def test_whoever_hangs_up_while_it_sleeps_or_pings_is_missed_at_once(
    tmp_path: Path, name: str, arguments: dict[str, int]
) -> None:
    async def west(node: Node) -> None:
        program = Inside(node)
        await program.ask("qubit")
        await hangs_up_in(program, US, name, **arguments)
        assert held_by_programs(node) == []
        sent = node.kernel.frames_out
        await node.kernel.sleep(US)
        assert node.kernel.frames_out == sent

    both(tmp_path, west, idle)
