"""The SDK: programs on two QPUs, blocking and awaited, in a scenario and beside a testbed that is up; the examples of
its page; qubits that have gone."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml
from command_lab import bellwire, three
from slice_lab import IDEAL, PERFECT, two_qpus, with_south

from stack.sdk import CallFailed, NoRoom, SessionEnded, connect
from stack.sdk.group import Group
from stack.sdk.keys import Keys
from stack.sdk.plain import PlainChannel, PlainGroup, PlainKeys, PlainPairs, PlainQpu
from stack.sdk.qpu import Channel, Pairs, Qpu
from testbed import Testbed

PAGE = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text()
EXAMPLES = {found[1]: found[2] for found in re.finditer(r"```python\n# (\w+)\.py\n(.*?)```", PAGE, re.S)}


def scenario(folder: Path, programs: dict[str, str], south: bool = False) -> Path:
    """The path of one whose programs, by node, are these texts."""
    text = two_qpus({}, IDEAL | {"communication_qubits": 4}, PERFECT)
    if south:
        text = with_south(text)
    for node, program in programs.items():
        (folder / f"{node}.py").write_text(textwrap.dedent(program))
    text["programs"] = [{"node": node, "run": f"{node}.py"} for node in programs]
    path = folder / "case.yaml"
    path.write_text(yaml.safe_dump(text, sort_keys=False))
    return path


def ran(path: Path, clock: str = "local") -> Path:
    out = path.parent / clock
    done = bellwire(path, "--clock", clock, "--out", out)
    logs = "\n".join(log.read_text() for log in sorted((out / "logs").glob("program-*")))
    assert done.returncode == 0, done.stderr + logs
    return out


def spoken(out: Path, index: int) -> list[str]:
    lines = (out / "logs" / f"program-{index}.log").read_text().splitlines()
    return [line for line in lines if not line.startswith("[")]


def test_blocking_programs_have_all_that_awaiting_ones_have():
    inner = {"ask_with_gates", "give_copy", "greet", "number_of", "opened", "take_copy"}  # of the SDK's own rooms
    both = ((Qpu, PlainQpu), (Channel, PlainChannel), (Pairs, PlainPairs), (Group, PlainGroup), (Keys, PlainKeys))
    for awaited, plain in both:
        assert {name for name in vars(awaited) if name[0] != "_"} - inner <= {*dir(plain)}, plain


def test_the_examples_of_the_page_do_what_it_says_under_both_clocks(tmp_path):
    path = scenario(tmp_path, {"west": EXAMPLES["west"], "east": EXAMPLES["east"]})
    out = ran(path)
    outcomes = [[line for line in spoken(out, index) if line[0] in "ZX"] for index in (0, 1)]
    assert outcomes[0] == outcomes[1]
    assert [line[0] for line in outcomes[0]] in (list("ZXZXZXZX"), list("XZXZXZXZ"))
    assert three(ran(path, "virtual")) == three(out)


def test_the_example_of_a_group(tmp_path):
    out = ran(scenario(tmp_path, dict.fromkeys(("west", "east", "south"), EXAMPLES["member"]), south=True))
    assert spoken(out, 0) in (["GHZ [0, 0, 0]"], ["GHZ [1, 1, 1]"])


def test_the_example_of_keys(tmp_path):
    out = ran(scenario(tmp_path, {"west": EXAMPLES["master"], "east": EXAMPLES["slave"]}))
    west, east = spoken(out, 0), spoken(out, 1)
    assert west == [*east, west[1]]
    name, secret = east[0].split()
    assert len(name) == 36
    assert len(secret) == 4
    assert west[1].split()[1:] == ["16", "128"]
    assert all(secret not in line for line in (out / "events.jsonl").read_text().splitlines() if '"keys"' in line)


GONE = """
    from stack.sdk import NoRoom, QubitGone, QubitLost, ChannelClosed, ChannelRefused, CallFailed, SessionEnded, connect

    def fails(kind, what, *arguments, **more):
        try:
            what(*arguments, **more)
        except kind as failed:
            return str(failed)
        raise AssertionError(f"{what} did not raise {kind.__name__}")

    def anything(qubit):
        for what in (qubit.h, qubit.t, qubit.use):
            fails(QubitGone, what)
        fails(QubitGone, qubit.rx, 0.1)
        for what in (qpu.measure, qpu.release, qpu.reset):
            fails(QubitGone, what, qubit)

    fails(SessionEnded, connect("east").__enter__)
    with connect() as qpu:
        here, other = qpu.qubit(), qpu.qubit()
        fails(NoRoom, qpu.qubit)
        fails(ValueError, here.cx, here)
        assert qpu.measure(here.x(), other, keep=True) == (1, 0)
        assert qpu.measure(here, other) == (1, 0)
        anything(here)
        fails(QubitGone, qpu.qubit().cx, here)
        assert fails(ChannelRefused, qpu.open, "east", 21, patience_s=1e-4) == "port 21 of east: NO_LISTENER"
        fails(ChannelRefused, qpu.open, "nowhere", 20)
        east = qpu.open("east", 20)
        sent = qpu.qubit().x()
        east.send(sent)
        anything(sent)
        fails(QubitGone, east.send, sent)
        fails(QubitGone, qpu.cnot, sent, east)
        fails(CallFailed, qpu.ask, "run", ops=[["h", sent.number]])
        assert east.hear() == "have it"
        kept = qpu.qubit().x()
        for closed in (
            fails(ChannelClosed, east.hear),
            fails(ChannelClosed, east.send, kept),
            fails(ChannelClosed, qpu.cnot, kept, east),
        ):
            assert "the session with east" in closed, closed
        assert qpu.measure(kept) == (1,), "it was not touched"
"""

ANSWERS = """
    from stack.sdk import connect

    with connect() as qpu:
        qpu.listen(20)
        west = qpu.accept(20)
        arrived = west.receive()
        moved = qpu.qubit()
        arrived.swap(moved)
        assert qpu.measure(moved) == (1,)
        west.tell("have it")
        west.close()
"""


def test_qubits_that_have_gone_are_refused_and_those_untouched_stay(tmp_path):
    ran(scenario(tmp_path, {"west": GONE, "east": ANSWERS}))


COUNTS = """
    from stack.sdk import ChannelClosed, connect

    with connect() as qpu:
        for about in ({"n": 8}, {"rate": 1000.0}):
            came = 0
            try:
                for outcome in qpu.pairs("east", measured=True, **about):
                    came += 1
                print("all", came)
            except ChannelClosed as closed:
                assert closed.by_peer
                print("short", came, closed)
"""

LEAVES = """
    from stack.sdk import connect

    with connect() as qpu:
        for about in ({"n": 8}, {"rate": 1000.0}):
            with qpu.pairs("west", measured=True, **about) as pairs:
                for number, outcome in enumerate(pairs):
                    if number == 2:
                        break
"""


def test_a_stream_of_pairs_that_ends_short_says_so(tmp_path):
    """Of a number that was agreed on; one without end ends when either has enough of it."""
    agreed, endless = spoken(ran(scenario(tmp_path, {"west": COUNTS, "east": LEAVES})), 0)
    word, came, said = agreed.split(" ", 2)
    assert word == "short"
    assert 3 <= int(came) < 8
    assert said.endswith(f"; {8 - int(came)} of the pairs agreed on have not come")
    assert endless.startswith("all ")


# ------------------------------------------------------------ beside a testbed that is up


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("bed")
    path = scenario(folder, {})
    with Testbed(path, name="two", dilation=100, out=folder / "out", folder=folder) as up:
        yield folder, up


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_programs_started_by_hand_hold_qpus_of_a_testbed_that_is_up(bed, backend):
    folder, _ = bed
    read: list[tuple[int, ...]] = []

    async def west() -> None:
        async with connect("west", folder=folder) as qpu, await qpu.open("east", 20) as east:
            await east.send((await qpu.qubit()).x())
            half = (await qpu.qubit()).h()
            await qpu.cz(half, east)
            read.append(await qpu.measure(half.h()))

    async def east() -> None:
        async with connect("east", testbed="two", folder=folder) as qpu:
            await qpu.listen(20)
            channel = await qpu.accept(20)
            arrived = await channel.receive()
            await qpu.cz(channel, arrived)  # it is |1>, which turns the other's phase
            read.append(await qpu.measure(arrived))

    async def both() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(west)
            tasks.start_soon(east)

    anyio.run(both, backend=backend)
    assert read == [(1,), (1,)]


def test_what_a_program_held_is_free_when_it_has_ended(bed):
    folder, _ = bed
    for _ in range(2):
        with connect("west", folder=folder) as qpu:
            for _ in range(qpu.data_qubits):
                qpu.qubit().h()
            with pytest.raises(NoRoom):
                qpu.qubit()
            qpu.listen(30)  # nor is the port taken


def test_where_there_is_none_to_connect_to_it_says_what_there_is(bed, tmp_path):
    folder, _ = bed
    for arguments, places, words in (
        (("west",), {"folder": tmp_path}, "no testbed is up"),
        (("west",), {"folder": folder, "testbed": "three"}, "there is two"),
        (("north",), {"folder": folder}, "no node 'north'; it has east, mid, west"),
        ((), {"folder": folder}, "say which node"),
    ):
        with pytest.raises(SessionEnded, match=words):
            connect(*arguments, **places).__enter__()


def test_a_call_that_is_cancelled_ends_its_session_and_what_it_held_is_free(bed):
    folder, _ = bed

    async def gives_up() -> None:
        async with connect("west", folder=folder) as qpu:
            for _ in range(qpu.data_qubits):
                await qpu.qubit()
            await qpu.listen(40)
            with anyio.move_on_after(0.05):
                await qpu.accept(40)
            with pytest.raises(SessionEnded):
                await qpu.qubit()

    def another() -> bool:
        with connect("west", folder=folder) as qpu:
            try:
                qpu.listen(40)
                return len([qpu.qubit() for _ in range(qpu.data_qubits)]) == qpu.data_qubits
            except CallFailed:
                return False

    anyio.run(gives_up)
    assert any(another() for _ in range(1_000)), "the node never hears that it has gone"


ODD_CALLS: list[tuple[str, dict[str, Any]]] = [
    *(
        ("run", {"ops": ops})
        for ops in (
            5, [5], [["h"]], [["h", True]], [["h", 1, 2]], [["cx", 1, 1]], [["rx", 1]], [["rx", 1, "far"]],
            [["rx", 1, float("inf")]], [["levitate", 1]], [["h", 99]], [["h", 0]], [[["h"], 1]], [["h", []]],
            [["release", 1], ["h", 1]],
        )
    ),
    *(("listen", {"port": port}) for port in (1, "x", 70_000)),
    ("listen", {"port": 50, "service": "MESSAGES"}),
    ("accept", {"port": 50}), ("accept", {"port": []}), ("unlisten", {"port": 50}),
    ("open", {"peer": 1, "port": 50}), ("open", {"peer": 9, "port": 50}), ("open", {"peer": [], "port": 50}),
    ("open", {"peer": 3, "port": 50, "minimum_fidelity": 2}), ("open", {"peer": 3, "port": 50, "service": []}),
    ("open", {"peer": 3, "port": 50, "patience_ps": -1}),
    *((name, {"channel": 1}) for name in ("receive", "hear", "finish", "close", "reset", "pair", "outcome")),
    ("send", {"channel": 1, "qubit": 1}), ("receive", {"channel": []}), ("tell", {"channel": 1, "data": "!"}),
    ("gate", {"channel": 1, "kind": "CNOT", "qubit": 1}), ("ask_pairs", {"channel": 1}),
]  # fmt: skip


def test_calls_that_make_no_sense_are_refused_and_change_nothing(bed):
    folder, _ = bed
    with connect("west", folder=folder) as qpu:
        one = qpu.qubit().x()
        qpu.flush()
        for name, arguments in ODD_CALLS:
            with pytest.raises(CallFailed) as failed:
                qpu.ask(name, **arguments)
            assert len(str(failed.value)) < 300
        assert qpu.measure(one) == (1,)
