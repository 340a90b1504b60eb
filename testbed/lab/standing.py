"""A testbed that stays: its nodes live until somebody says otherwise, and commands come over a socket.

What may live here: what a standing testbed knows of itself, and what each command does.  Processes are the business of
``virtual`` (which also starts ``paced`` nodes), dying and time that of ``testbed.clock.paced``.

The control socket speaks JSON lines: {"do": COMMAND, ...} is answered by {"ok": ...} or {"error": {place, problem,
remedy}}.  Many may be connected at once; each is answered in turn.
"""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from testbed.broker import EmbeddedBroker
from testbed.errors import BadInput
from testbed.lab.director import PATIENCE_S, Director, Refused
from testbed.lab.places import LONGEST_PATH, Place
from testbed.lab.virtual import Launch
from testbed.program import program
from testbed.rundir import RunFolder
from testbed.scenario import Scenario

_FULL = 2**32 - 1
_LINE_MAX = 1 << 20
_LOOKS, _LOOK_S = 40, 0.05


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
        facts = {"pid": os.getpid(), "scenario": str(self._scenario.path), "out": str(self._folder.path.resolve())}
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
        for name in self._numbers if not self._paced else ():
            nursery.start_soon(self._welcome, name)
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
            with suppress(Refused):
                await self._input("attach", node=node, session=str(self._questions))
            if self._states[node] not in ("up", "frozen"):
                with suppress(OSError):
                    door.accept()[0].close()

    async def _answer_one(self, stream: trio.SocketStream) -> None:
        pending = b""
        async with stream:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # whoever asked has gone
                async for more in stream:
                    pending += more
                    while b"\n" in pending:
                        line, _, pending = pending.partition(b"\n")
                        await stream.send_all(json.dumps(await self.obeyed(line)).encode() + b"\n")
                    if len(pending) > _LINE_MAX:
                        return

    # -- commands ----------------------------------------------------------------------------------------------------

    async def _ping(
        self, a: str, b: str, pairs: int = 10, minimum_fidelity: float = 0.0, patience_s: float = 10.0
    ) -> dict[str, Any]:
        """Make pairs between two nodes; how fast they came, and how good they were."""
        for name in (a, b):
            self._alive(name)
        if a == b:
            raise Refused("ping", "a node makes no pairs with itself", "name two nodes")
        if type(pairs) is not int or not 1 <= pairs <= 100_000:
            raise Refused("ping", f"{pairs!r:.40} is no number of pairs", "give 1 to 100000")
        if not isinstance(patience_s, int | float) or not 0 < patience_s <= 86_400:
            raise Refused("ping", f"{patience_s!r:.40} s is no patience", "give seconds, up to a day")
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
            if why != "PEER_LOST":  # it has just been found out that a node had begun anew: now it is known
                break
        wall_s = time.monotonic() - began
        count = len(made)
        seen = dict(await self._call(b, "pairs_seen", head=self._numbers[a]))
        true = await self._true_fidelities(a, b, made, seen)
        for _ in range(_LOOKS if self._paced else 0):
            if len(true) == count:
                break
            await trio.sleep(_LOOK_S)  # a half is given back when the news of its pair has been told
            seen |= dict(await self._call(b, "pairs_seen", head=self._numbers[a]))
            true = await self._true_fidelities(a, b, made, seen)
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
        }

    async def _pairs(self, a: str, b: str, number: int, minimum_fidelity: float, patience_s: float) -> dict[str, Any]:
        """One request of node ``a``."""
        dilation = self._running().plan.dilation if self._paced else 1.0
        limit_ps = max(1, round(patience_s / dilation * 1e12))
        with trio.move_on_after(patience_s + 2.0):
            wanted = {"peer": self._numbers[b], "number": number, "minimum_fidelity": minimum_fidelity}
            made: dict[str, Any] = await self._call(a, "pairs", **wanted, max_time_ps=limit_ps)
            return made
        raise Refused(a, f"it did not answer within {patience_s:g} s", "look at its log, or restart it")

    async def _attach(self, node: str) -> dict[str, Any]:
        """Where a program attaches to a node."""
        self._alive(node)
        return {"node": node, "path": str(self._place.door(node))}

    async def _down(self) -> dict[str, Any]:
        """End it all; files are written after the answer."""
        self._ending = True
        for name, state in self._states.items():
            if state == "frozen" and self._paced:
                self._signal(name, signal.SIGCONT)
        self._running().order("input", id=0, what={"do": "end"})
        return {"out": str(self._folder.path.resolve())}

    # -- what they need ----------------------------------------------------------------------------------------------

    async def _call(self, node: str, name: str, **arguments: Any) -> Any:
        """A call to a node, as any attached program makes one."""
        try:
            stream = await trio.open_unix_socket(str(self._place.door(node)))
            async with stream:
                await stream.send_all(json.dumps({"call": name, "args": arguments}).encode() + b"\n")
                pending = b""
                while b"\n" not in pending:
                    more = await stream.receive_some()
                    if not more:
                        raise Refused(node, "it died meanwhile", f"{program()} restart {node}")
                    pending += more
        except (OSError, trio.BrokenResourceError):
            raise Refused(node, "it cannot be reached", f"{program()} restart {node}") from None
        reply = json.loads(pending)
        if "error" in reply:
            raise Refused(node, reply["error"], "see docs/testbed.md")
        return reply["value"]

    async def _true_fidelities(
        self, a: str, b: str, made: list[tuple[int, int, int, int]], seen: dict[int, int]
    ) -> list[float]:
        """What the oracle saw when the first half of each pair was let go, at whichever end."""
        places, indices = [], []
        for pair_id, qubit, bell_index, _ in made:
            places.append((self._numbers[a], qubit))
            places.append((self._numbers[b], seen.get(pair_id, 0)))
            indices.append(bell_index)
        self._questions += 1
        number = self._questions
        self._running().order("spent", id=number, places=places)
        with trio.move_on_after(PATIENCE_S):
            while number not in self._answers:
                await self._changed.wait()
        answers = self._answers.pop(number, [])
        found = []
        for index, here, there in zip(indices, answers[::2], answers[1::2], strict=False):
            fidelities = here or there
            if fidelities:
                found.append(fidelities[index])
        return found


def _listening(path: Path) -> socket.socket:
    """A unix socket at which others may call.  Raises BadInput."""
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise BadInput(path, "--dir", "it is too long for a socket's path", "name a folder with a shorter path")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    sock.listen(16)
    return sock


__all__ = ["Refused", "StandingTestbed"]
