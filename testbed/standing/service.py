"""A testbed that stays: its nodes live until somebody says otherwise, and commands come over a socket.

What may live here: what a standing testbed knows of itself, and what each command does.  Processes are the business of
``virtual`` (which also starts ``paced`` nodes), dying and time that of ``testbed.clock.paced``.

The control socket speaks JSON lines: {"do": COMMAND, ...} is answered by {"ok": ...} or {"error": {place, problem,
remedy}}.  Many may be connected at once; each is answered in turn.
"""

import json
import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import trio

from stack.streams import Lines
from testbed.broker import EmbeddedBroker
from testbed.errors import BadInput
from testbed.lab.director import PATIENCE_S, Director, Refused, ends_with
from testbed.lab.virtual import Launch
from testbed.program import program
from testbed.rundir import RunFolder
from testbed.scenario import Scenario
from testbed.standing.places import LONGEST_PATH, Place

_FULL = 2**32 - 1
_LINE_MAX = 1 << 20
_MISSED_WITHIN_S = 2.0
_BLAMED_WITHIN_S = 1.0
_LOOKS, _LOOK_S = 40, 0.05
_ANSWERS_S = 2.0
"""Beyond what it takes by itself: how long a node that runs may take to answer a call."""
_NOT_THERE = frozenset(("killed", "down", "awaited"))
_HANGS_UP_S = 0.1
"""Whether whoever asked is still there is looked at so often."""


class StandingTestbed(Director):
    """Implements ``testbed.lab.run.Standing``."""

    def __init__(self, place: Place, clock: str, on_up: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(place.name, clock)
        self._place = place
        self._on_up = on_up
        self._answers: dict[int, list[list[float] | None]] = {}
        self._ending = False
        del self._commands["end"]
        self._commands |= {"ping": self._ping, "attach": self._attach, "down": self._down}

    # -- for the run -------------------------------------------------------------------------------------------------

    def enter(
        self, scenario: Scenario, folder: RunFolder, launch: Launch, broker: EmbeddedBroker | None = None
    ) -> None:
        super().enter(scenario, folder, launch, broker)
        for name, number in self._numbers.items():
            launch.doors[number] = _listening(self._place.door(name))
        self._control = _listening(self._place.control)
        launch.on_up = self._up
        launch.on_spent = self._spent

    def _up(self, pids: dict[str, int]) -> None:
        about = {"scenario": str(self._scenario.path), "out": str(self._folder.path.resolve()), "clock": self._clock}
        facts = {"pid": os.getpid(), **about}
        self._place.write_about(facts)
        self._began = time.monotonic()
        self._on_up(facts | {"nodes": len(self._numbers)})

    def _spent(self, number: int, fidelities: list[list[float] | None]) -> None:
        self._answers[number] = fidelities
        self._announce()

    def _fell(self, name: str, how: str) -> bool:
        """A child has died unasked: a node goes down alone, anything else takes the testbed with it."""
        if name not in self._states or self._states[name] == "booting" or self._ending or not self._paced:
            return False
        self._why[name] = how
        self._turn(name, "down")
        return True

    # -- the socket --------------------------------------------------------------------------------------------------

    async def _serve(self, nursery: trio.Nursery) -> None:
        assert self._children is not None
        self._children.on_fall = self._fell
        for name in self._numbers:
            nursery.start_soon(self._turn_away if self._paced else self._welcome, name)
        while True:
            await trio.lowlevel.wait_readable(self._control)
            with suppress(OSError):
                connection, _ = self._control.accept()
                nursery.start_soon(self._answer_one, trio.SocketStream(trio.socket.from_stdlib_socket(connection)))

    async def _welcome(self, node: str) -> None:
        """``virtual``: a program that attaches is an input like any other, and is let in when its time has come."""
        door = self._running().doors[self._numbers[node]]
        door.setblocking(False)
        while True:
            await trio.lowlevel.wait_readable(door)
            self._questions += 1
            number = self._questions
            about = {"do": "attach", "node": node, "session": str(number)}
            self._running().order("input", id=number, what=about)
            await self._stamp(number)  # however long: who asked twice would let in two
            if self._states[node] not in ("up", "frozen"):
                with suppress(OSError):
                    door.accept()[0].close()

    async def _turn_away(self, node: str) -> None:
        """``paced``: a node lets programs in itself.  Whoever calls while it is not there hears so by being let go."""
        door = self._running().doors[self._numbers[node]]
        door.setblocking(False)
        while True:
            await self._turns(node, gone=True)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ends_with, partial(self._turns, node, gone=False), nursery.cancel_scope)
                while True:
                    await trio.lowlevel.wait_readable(door)
                    with suppress(OSError):
                        door.accept()[0].close()

    async def _turns(self, node: str, *, gone: bool) -> None:
        while (self._states[node] in _NOT_THERE) != gone:
            await self._changed.wait()

    async def _answer_one(self, stream: trio.SocketStream) -> None:
        lines = Lines()
        async with stream:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # whoever asked has gone
                async for more in stream:
                    lines.feed(bytes(more))
                    while (line := lines.next()) is not None:
                        answer = await self.obeyed(line, partial(_hung_up, stream.socket))
                        await stream.send_all(json.dumps(answer).encode() + b"\n")
                    if len(lines) > _LINE_MAX:
                        return

    # -- commands ----------------------------------------------------------------------------------------------------

    async def _ping(
        self, a: str, b: str, pairs: int = 10, minimum_fidelity: float = 0.0, patience_s: float = 10.0
    ) -> dict[str, Any]:
        """Make pairs between two nodes; how fast they came, and how good they were."""
        for name in (a, b):
            if self._known(name) != "awaited":
                self._alive(name)
        if a == b:
            raise Refused("ping", "a node makes no pairs with itself", "name two nodes")
        if type(pairs) is not int or not 1 <= pairs <= 100_000:
            raise Refused("ping", f"{pairs!r:.40} is no number of pairs", "give 1 to 100000")
        if not isinstance(patience_s, int | float) or not 0 < patience_s <= 86_400:
            raise Refused("ping", f"{patience_s!r:.40} s is no patience", "give seconds, up to a day")
        for name in (a, b):
            kind = self._running().configs[self._numbers[name]].kind
            if kind not in ("qpu", "repeater"):
                ends = [config.name for config in self._running().configs.values() if config.kind == "qpu"]
                problem = f"{name} is a {kind}, and makes no pairs of its own"
                raise Refused("ping", problem, f"name two QPUs: {', '.join(ends):.200}" if ends else "name two QPUs")
        if isinstance(minimum_fidelity, bool) or not isinstance(minimum_fidelity, int | float):
            raise Refused("--fidelity", f"{minimum_fidelity!r:.40} is no fidelity", "give a number from 0 to 1")
        if not 0 <= minimum_fidelity <= 1:
            raise Refused("--fidelity", f"{minimum_fidelity:g} is no fidelity", "give a number from 0 to 1")
        patience_s -= await self._come(a, b, patience_s)
        await self._moves("ping")
        return await self._unless_still("ping", partial(self._pinged, a, b, pairs, minimum_fidelity, patience_s))

    async def _come(self, a: str, b: str, patience_s: float) -> float:
        """Wait for those two, if they are to be started elsewhere; for how long that took.  Raises Refused."""
        began = time.monotonic()
        with trio.move_on_after(patience_s):
            while "awaited" in (self._states[a], self._states[b]):
                await self._changed.wait()
        for name in (a, b):
            self._alive(name)
        return time.monotonic() - began

    async def _pinged(
        self, a: str, b: str, pairs: int, minimum_fidelity: float, patience_s: float
    ) -> dict[str, Any]:
        began = time.monotonic()
        made: list[tuple[int, int, int, int]] = []
        lost, span_ps, why = 0, 0, ""
        while len(made) < pairs:
            left_s = patience_s - (time.monotonic() - began)
            if left_s <= 0:
                why = "TIMEOUT"
                break
            some = await self._pairs(a, b, pairs - len(made), minimum_fidelity, left_s)
            made += some["pairs"]
            lost, why = lost + some["lost"], some.get("failed", "")
            span_ps += some["last_ps"] - some["began_ps"] if some["pairs"] else 0
            if why != "PEER_LOST":  # else a node began anew while it was cut off, and this has found it out sooner
                break  # than its own word, which is repeated ever more seldom (REL-16), has come: now it is known
        wall_s = time.monotonic() - began
        count = len(made)
        true, why_unseen = await self._looked_at(a, b, made)
        return {
            "a": a,
            "b": b,
            "asked": pairs,
            "pairs": count,
            "lost": lost,
            "why": why,
            "pairs_per_s": count / (span_ps * 1e-12) if span_ps else None,
            "span_s": span_ps * 1e-12,
            "wall_s": round(wall_s, 3),
            "fidelity_estimate": sum(goodness for *_, goodness in made) / count / _FULL if count else None,
            "fidelity_oracle": sum(true) / len(true) if true else None,
            "unseen": why_unseen,
        }

    async def _looked_at(self, a: str, b: str, made: list[tuple[int, int, int, int]]) -> tuple[list[float], str]:
        """How good the pairs truly were; if the far end does not say which halves it had: nothing, and why."""
        seen: dict[int, int] = {}
        true: list[float] = []
        for look in range(_LOOKS + 1 if self._paced else 1):
            if look:
                await trio.sleep(_LOOK_S)  # a half is given back when the news of its pair has been told
            try:
                seen |= dict(await self._call(b, "pairs_seen", _ANSWERS_S, head=self._numbers[a]))
            except Refused as refused:
                return [], f"{refused.place}: {refused}; {refused.remedy}"
            true = await self._true_fidelities(a, b, made, seen)
            if len(true) == len(made):
                break
        return true, ""

    async def _pairs(self, a: str, b: str, number: int, minimum_fidelity: float, patience_s: float) -> dict[str, Any]:
        """One request of node ``a``, which keeps to its patience by virtual time: how long that takes here, where it is
        not the wall's, says nothing of the node."""
        dilation = self._running().plan.dilation if self._paced else 1.0
        limit_ps = max(1, round(patience_s / dilation * 1e12))
        wanted = {"peer": self._numbers[b], "number": number, "minimum_fidelity": minimum_fidelity}
        within_s = (patience_s if self._paced else max(patience_s, PATIENCE_S)) + _ANSWERS_S
        made: dict[str, Any] = await self._call(a, "pairs", within_s, **wanted, max_time_ps=limit_ps)
        return made

    async def _attach(self, node: str) -> dict[str, Any]:
        """Where a program attaches to a node."""
        self._alive(node)
        return {"node": node, "path": str(self._place.door(node))}

    async def _down(self) -> dict[str, Any]:
        """End it all; files are written after the answer.  Raises Refused where time does not come that far."""
        await self._moves("down", f"{program()} down --force")
        self._ending = True
        self._running().order("input", id=0, what={"do": "end"})
        return {"out": str(self._folder.path.resolve())}

    # -- what they need ----------------------------------------------------------------------------------------------

    async def _moves(self, what: str, remedy: str = "") -> None:
        """Raises Refused where time stands still.  It is asked of whoever keeps the clock, by an empty question."""
        if not self._paced:
            await self._unless_still(what, partial(self._seen_by_oracle, []), remedy)

    async def _call(self, node: str, name: str, within_s: float, **arguments: Any) -> Any:
        """A call to a node, as any attached program makes one; it hangs up after ``within_s``.  Raises Refused."""
        began_ps = self._t_ps
        with trio.move_on_after(within_s):
            return await self._called(node, name, arguments)
        passed_s = (self._t_ps - began_ps) * 1e-12
        if self._states[node] == "frozen":
            raise Refused(node, f"it did not answer within {within_s:.3g} s, it is frozen", f"{program()} thaw {node}")
        if not self._paced and passed_s:  # it has much to do, and is well
            problem = f"it was not done after {within_s:.3g} s here, in which virtual time went on by {passed_s:.3g} s"
            raise Refused(node, problem, "it was given up: ask for less, or with more patience")
        remedy = f"look at logs/{node}.log, or {program()} restart {node}"
        raise Refused(node, f"it did not answer within {within_s:.3g} s", remedy)

    async def _called(self, node: str, name: str, arguments: dict[str, Any]) -> Any:
        try:
            stream = await trio.open_unix_socket(str(self._place.door(node)))
            async with stream:
                await stream.send_all(json.dumps({"call": name, "args": arguments}).encode() + b"\n")
                lines = Lines()
                while (line := lines.next()) is None:
                    more = await stream.receive_some()
                    if not more:
                        await self._gone(node)
                        raise Refused(node, "it died meanwhile", f"{program()} restart {node}")
                    lines.feed(more)
        except (OSError, trio.BrokenResourceError):
            raise Refused(node, "it cannot be reached", f"{program()} restart {node}") from None
        reply = json.loads(line)
        if "error" in reply:
            raise Refused(node, reply["error"], "see docs/testbed.md")
        return reply["value"]

    async def _gone(self, node: str) -> None:
        """It has closed a session.  If its process is missed soon, that was why; or the testbed ends with it."""
        with trio.move_on_after(_MISSED_WITHIN_S):
            await self._turns(node, gone=True)
        await trio.sleep(_BLAMED_WITHIN_S)

    async def _true_fidelities(
        self, a: str, b: str, made: list[tuple[int, int, int, int]], seen: dict[int, int]
    ) -> list[float]:
        """What the oracle saw when the first half of each pair was let go, at whichever end."""
        places, indices = [], []
        for pair_id, qubit, bell_index, _ in made:
            places.append((self._numbers[a], qubit))
            places.append((self._numbers[b], seen.get(pair_id, 0)))
            indices.append(bell_index)
        answers = await self._seen_by_oracle(places)
        found = []
        for index, here, there in zip(indices, answers[::2], answers[1::2], strict=False):
            fidelities = here or there
            if fidelities:
                found.append(fidelities[index])
        return found

    async def _seen_by_oracle(self, places: list[tuple[int, int]]) -> list[list[float] | None]:
        """Fidelities with the Bell states of what was let go at (node, qubit); nothing if there is no answer."""
        self._questions += 1
        number = self._questions
        self._running().order("spent", id=number, places=places)
        with trio.move_on_after(PATIENCE_S):
            while number not in self._answers:
                await self._changed.wait()
        return self._answers.pop(number, [])


async def _hung_up(asker: trio.socket.SocketType) -> None:
    """Whoever is at the other end of a unix socket has closed it; to have nothing more to say is no end yet."""
    poll = select.poll()
    poll.register(asker.fileno(), 0)  # what is always told: its end, in both directions
    while not poll.poll(0):  # noqa: ASYNC110 - to wait for it would be to read what comes before it
        await trio.sleep(_HANGS_UP_S)


def _listening(path: Path) -> socket.socket:
    """A unix socket at which others may call.  Raises BadInput."""
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise BadInput(path, "--dir", "it is too long for a socket's path", "name a folder with a shorter path")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    sock.listen(128)
    return sock


__all__ = ["Refused", "StandingTestbed"]
