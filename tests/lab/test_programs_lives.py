"""Programs that come and go at random, and hang up in the midst of calls: whatever they do, no node ends, and when all
have gone nothing is held."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from inside import HungUp, Inside
from slice_lab import BUSY, IDEAL, PERFECT, held_by_programs, leaks, run_slice, two_qpus

from stack.node import Node
from stack.runtime.kernel import Waiter
from stack.sdk import CallFailed

US = 10**6
NUMBERS = {"west": 1, "east": 3}
PORTS = {"TELEPORT": 40, "PAIRS": 41}
TOGETHER = {
    "send": ("send", "receive"),
    "back": ("receive", "send"),
    "gate": ("control", "target"),
    "say": ("tell", "hear"),
    "ask": ("ask_pairs", "pair"),
    "pair": ("pair", "pair"),
    "outcome": ("outcome", "outcome"),
    "alone": ("reserve", "tell"),
    "finish": ("finish", "hear"),
    "close": ("close", "close"),
    "reset": ("hear", "reset"),
}
"""What the two programs of a session do next: the one that opened it, the one that accepted it."""
USUAL = {"TELEPORT": ("send", "back", "gate", "say", "alone"), "PAIRS": ("ask", "ask", "pair", "outcome", "gate")}


@dataclass(frozen=True)
class Life:
    """Of a program: where, from when on, how long, and what it does over its session."""

    node: str
    service: str
    opens: bool
    fetches: bool
    """The sessions that come to its port, if it opens none."""
    at_us: int
    for_us: int
    eager: bool
    """It is missed at once, and not when what the node is at has come to rest."""
    steps: list[str]


@st.composite
def meetings(draw: st.DrawFn) -> list[Life]:
    """Two lives that may meet."""
    service = draw(st.sampled_from(sorted(PORTS)))
    opener = draw(st.sampled_from(sorted(NUMBERS)))
    step = st.sampled_from(USUAL[service] * 4 + tuple(TOGETHER))
    together = draw(st.lists(step, min_size=2, max_size=8))
    return [
        Life(
            node,
            service,
            node == opener,
            draw(st.integers(0, 3)) > 0,
            draw(st.integers(0, 40)),
            draw(st.sampled_from([400, 150, 2_000, 60])) + draw(st.integers(0, 99)),
            draw(st.booleans()),
            [TOGETHER[one][node != opener] for one in together],
        )
        for node in sorted(NUMBERS)
    ]


async def lived(node: Node, life: Life) -> None:
    kernel, program = node.kernel, Inside(node)

    def hang_up() -> None:
        if life.eager:
            program.hang_up()
        kernel.wake(program.hang_up)

    kernel.after(life.for_us * US, hang_up)
    with suppress(HungUp):
        await _session(program, life)
    program.close()


async def _session(program: Inside, life: Life) -> None:
    port = PORTS[life.service]
    if life.opens:
        (peer,) = (number for name, number in NUMBERS.items() if name != life.node)
        found = await _asked(program, "open", peer=peer, port=port, service=life.service, patience_ps=500 * US)
    else:
        await _asked(program, "listen", port=port, service=life.service)
        if not life.fetches:
            await program.ask("sleep", duration_ps=10**18)
        found = await _asked(program, "accept", port=port)
    for step in life.steps if found is not None else ():
        await _stepped(program, found["channel"], step)


async def _stepped(program: Inside, channel: int, step: str) -> None:
    match step:
        case "send" | "control" | "target":
            qubit = await _asked(program, "qubit")
            part = {"qubit": qubit} if step == "control" else {"block": [["cx", 0, qubit]]}
            how: dict[str, Any] = {"qubit": qubit} if step == "send" else {"kind": "CNOT", **part}
            before = [["h", qubit]] if channel % 2 else []
            await _asked(program, "send" if step == "send" else "gate", channel=channel, before=before, **how)
        case "reserve":
            await _asked(program, "reserve", channel=channel, pairs=1)
        case "tell":
            await _asked(program, "tell", channel=channel, data="aaaa")
        case "ask_pairs":
            await _asked(program, "ask_pairs", channel=channel, pairs=2)
        case _:
            await _asked(program, step, channel=channel)


async def _asked(program: Inside, name: str, **arguments: Any) -> Any:
    try:
        return await program.ask(name, **arguments)
    except CallFailed:
        return None


@given(st.lists(meetings(), min_size=1, max_size=4), st.booleans())
@settings(max_examples=80)
def test_when_all_programs_have_gone_nothing_is_held(met: list[list[Life]], busy: bool) -> None:
    drawn = [life for meeting in met for life in meeting]

    async def programs(node: Node) -> None:
        ended: Waiter[None] = Waiter(node.kernel)
        mine = [life for life in drawn if life.node == node.config.name]
        left = len(mine)

        async def one(life: Life) -> None:
            nonlocal left
            await node.kernel.sleep(life.at_us * US)
            await lived(node, life)
            left -= 1
            if not left:
                ended.set(None)

        for life in mine:
            node.kernel.spawn(one, life)
        if mine:
            await ended.wait()

    text = two_qpus({}, BUSY if busy else IDEAL, PERFECT)
    with TemporaryDirectory() as folder:
        ran = run_slice(text, Path(folder), programs={("west", 1): programs, ("east", 1): programs})
    assert not ran.outcome.stuck
    assert ran.finished
    nodes = ran.node("west"), ran.node("east")
    assert [left for node in nodes for left in leaks(node) + held_by_programs(node)] == []
