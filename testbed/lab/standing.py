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
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from testbed.broker import EmbeddedBroker
from testbed.errors import BadInput
from testbed.lab.children import Children
from testbed.lab.places import LONGEST_PATH, Place
from testbed.lab.troubles import NoTrouble, Trouble, Troubles
from testbed.lab.virtual import Launch
from testbed.program import program
from testbed.rundir import RunFolder
from testbed.scenario import Scenario

_FULL = 2**32 - 1
_LINE_MAX = 1 << 20
_LOOKS, _LOOK_S = 40, 0.05
BROKER = "broker"
"""The one fault that is none of the network's."""
PATIENCE_S = 10.0
"""How long a node may take to die or to come up before its command gives up."""


class Refused(Exception):
    """A command that cannot be obeyed: where, why, what to do."""

    def __init__(self, place: str, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.place, self.problem, self.remedy = place, problem, remedy


class StandingTestbed:
    """Implements ``testbed.lab.run.Standing``."""

    def __init__(self, place: Place, clock: str, on_up: Callable[[dict[str, Any]], None]) -> None:
        self._place = place
        self._clock = clock
        self._paced = clock == "paced"
        self._on_up = on_up
        self._launch: Launch | None = None
        self._children: Children | None = None
        self._states: dict[str, str] = {}
        self._why: dict[str, str] = {}
        self._changed = trio.Event()
        self._answers: dict[int, list[list[float] | None]] = {}
        self._stamps: dict[int, int] = {}
        self._questions = 0
        self._active: list[dict[str, Any]] = []
        self._t_ps = 0
        self._began = time.monotonic()
        self._ending = False
        self._dumb: tuple[Trouble, ...] = ()
        self._commands: dict[str, Callable[..., Awaitable[Any]]] = {
            "status": self._status,
            "ping": self._ping,
            "kill": self._kill,
            "restart": self._restart,
            "freeze": self._freeze,
            "thaw": self._thaw,
            "fault": self._fault,
            "heal": self._heal,
            "attach": self._attach,
            "down": self._down,
        }

    # -- for the run -------------------------------------------------------------------------------------------------

    def enter(
        self, scenario: Scenario, folder: RunFolder, launch: Launch, broker: EmbeddedBroker | None = None
    ) -> None:
        self._scenario, self._folder, self._launch = scenario, folder, launch
        self._numbers = {name: number for number, name in launch.names.items()}
        self._states = dict.fromkeys(self._numbers, "booting")
        for name, number in self._numbers.items():
            launch.doors[number] = _listening(self._place.door(name))
        self._control = _listening(self._place.control)
        tell = launch.on_state

        def on_state(node: str, state: str) -> None:
            fallen = state == "killed" and self._states[node] == "down"  # its process has told so already
            tell(node, "down" if fallen else state)
            if not fallen:
                self._turn(node, "up" if state == "restarted" else state)

        launch.on_state = on_state
        launch.commanded = True
        launch.on_up = self._up
        launch.on_spent = self._spent
        launch.on_obeyed = self._obeyed_at
        launch.on_troubles = self._troubled
        self._troubles = Troubles(scenario)
        self._broker = broker
        launch.beside = self._serve

    def progress(self, facts: dict[str, Any]) -> None:
        """About four times a second."""
        self._t_ps = facts["t_ps"]

    def _up(self, pids: dict[str, int]) -> None:
        facts = {"pid": os.getpid(), "scenario": str(self._scenario.path), "out": str(self._folder.path.resolve())}
        self._place.write_about(facts)
        self._began = time.monotonic()
        self._on_up(facts | {"nodes": len(self._numbers)})

    def _turn(self, node: str, state: str) -> None:
        self._states[node] = state
        self._changed.set()
        self._changed = trio.Event()

    def _spent(self, number: int, fidelities: list[list[float] | None]) -> None:
        self._answers[number] = fidelities
        self._changed.set()
        self._changed = trio.Event()

    def _obeyed_at(self, number: int, t_ps: int) -> None:
        self._stamps[number] = t_ps
        self._changed.set()
        self._changed = trio.Event()

    def _troubled(self, active: list[dict[str, Any]]) -> None:
        self._active = active
        self._changed.set()
        self._changed = trio.Event()

    def _fell(self, name: str, how: str) -> bool:
        """A child has died unasked: a node goes down alone, anything else takes the testbed with it."""
        if name not in self._states or self._states[name] == "booting" or self._ending or not self._paced:
            return False
        self._why[name] = how
        self._turn(name, "down")
        return True

    # -- the socket --------------------------------------------------------------------------------------------------

    async def _serve(self, children: Children) -> None:
        self._children = children
        children.on_fall = self._fell
        async with trio.open_nursery() as nursery:
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
                        await stream.send_all(json.dumps(await self._obeyed(line)).encode() + b"\n")
                    if len(pending) > _LINE_MAX:
                        return

    async def _obeyed(self, line: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(line)
            what = asked.pop("do")
            command = self._commands[what]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            known = ", ".join(self._commands)
            return _error("command", "it is none", f'send one line of JSON, {{"do": ...}}: {known}')
        try:
            return {"ok": await command(**asked)}
        except Refused as refused:
            return _error(refused.place, refused.problem, refused.remedy)
        except TypeError as error:
            return _error(what, str(error).rpartition("() ")[2], "see docs/testbed.md")

    # -- commands ----------------------------------------------------------------------------------------------------

    async def _status(self) -> dict[str, Any]:
        launch = self._running()
        pids = {} if self._children is None else self._children.pids()
        nodes = []
        for config in launch.configs.values():
            state = self._states[config.name]
            host, port = launch.addresses[config.number]
            facts = {
                "name": config.name,
                "number": config.number,
                "kind": config.kind,
                "state": state,
                "incarnation": config.incarnation,
                "pid": pids.get(config.name),
                "address": f"{host}:{port}",
            }
            nodes.append(facts | ({"why": self._why[config.name]} if state == "down" else {}))
        links = [
            {"name": link.name, "a": link.a, "b": link.b, "station": link.station, "length_m": link.length_m}
            for link in self._scenario.links
        ]
        return {
            "name": self._place.name,
            "scenario": str(self._scenario.path),
            "out": str(self._folder.path.resolve()),
            "clock": self._clock,
            "dilation": launch.plan.dilation,
            "t_s": self._t_ps * 1e-12,
            "up_s": round(time.monotonic() - self._began, 3),
            "nodes": nodes,
            "links": links,
            "faults": [*self._active, *(one.facts() for one in self._dumb)],
        }

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

    async def _kill(self, node: str) -> dict[str, Any]:
        """End a node's process, as a power cut would."""
        self._alive(node, frozen=True)
        await self._input("kill", node=node)
        await self._until(node, ("killed", "down"))
        return {"node": node, "state": self._states[node]}

    async def _restart(self, node: str) -> dict[str, Any]:
        """A node's next life; one that lives is killed first."""
        if self._known(node) not in ("killed", "down"):
            await self._kill(node)
        await self._input("restart", node=node)
        await self._until(node, ("up",))
        return {"node": node, "state": "up", "incarnation": self._running().configs[self._numbers[node]].incarnation}

    async def _freeze(self, node: str) -> dict[str, Any]:
        """Stop a node's process: time passes, and what is for it waits."""
        self._alive(node)
        await self._input("freeze", node=node)
        if self._paced:
            self._signal(node, signal.SIGSTOP)
        self._turn(node, "frozen")
        return {"node": node, "state": "frozen"}

    async def _thaw(self, node: str) -> dict[str, Any]:
        """Let a frozen node go on."""
        if self._known(node) != "frozen":
            raise Refused(node, f"it is {self._states[node]}", "only what is frozen can be thawed")
        await self._input("thaw", node=node)
        if self._paced:
            self._signal(node, signal.SIGCONT)
        self._turn(node, "up")
        return {"node": node, "state": "up"}

    async def _fault(
        self, kind: str, value: float | None = None, at: Sequence[str] = (), for_ps: int | None = None
    ) -> dict[str, Any]:
        """Disturb the network, or its broker; ``value`` is a probability or picoseconds."""
        about = {"kind": kind, "value": value, "at": at, "for_ps": for_ps}
        if kind == BROKER:
            self._embedded().stop(0.0)
            self._dumb = (Trouble(BROKER, (), 0.0, self._t_ps),)
            return self._dumb[0].facts()
        try:
            trouble = self._troubles.checked(about)
        except NoTrouble as no:
            raise Refused(no.place, no.problem, no.remedy) from None
        t_ps = await self._input("fault", **about)
        return trouble._replace(since_ps=t_ps).facts()

    async def _heal(self, kind: str | None = None, at: Sequence[str] = ()) -> dict[str, Any]:
        """Undo what ``fault`` has done: of a kind, at a place, or all."""
        mended = len(self._dumb) if kind in (None, BROKER) else 0
        if mended:
            self._embedded().start()
            self._dumb = ()
        if kind == BROKER or (mended and not self._active):
            return {"healed": mended}
        known = [Trouble(one["kind"], tuple(one["at"]), 0.0) for one in self._active]
        self._troubles.active = known
        try:
            over = self._troubles.matching({"kind": kind, "at": at})
        except NoTrouble as no:
            raise Refused(no.place, no.problem, no.remedy) from None
        await self._input("heal", kind=kind, at=at)
        return {"healed": mended + len(over)}

    def _embedded(self) -> EmbeddedBroker:
        if self._broker is None:
            raise Refused(BROKER, "this testbed has none of its own", "bring it up with --mqtt embedded")
        return self._broker

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

    async def _input(self, what: str, **about: Any) -> int:
        """Something that may change the run: the true time at which it counts."""
        self._questions += 1
        number = self._questions
        self._running().order("input", id=number, what={"do": what, **about})
        with trio.move_on_after(PATIENCE_S):
            while number not in self._stamps:
                await self._changed.wait()
            return self._stamps.pop(number)
        why = "look at logs/plane.log" if self._paced else "time may stand still while a program thinks"
        raise Refused(what, f"nothing came of it within {PATIENCE_S:g} s", why)

    def _running(self) -> Launch:
        assert self._launch is not None
        return self._launch

    def _known(self, node: object) -> str:
        if not isinstance(node, str) or node not in self._states:
            known = ", ".join(self._states)
            raise Refused("node", f"there is no {node!r:.60}", f"name one of {known:.200}")
        return self._states[node]

    def _alive(self, node: str, frozen: bool = False) -> None:
        state = self._known(node)
        if state != "up" and not (frozen and state == "frozen"):
            remedy = f"{program()} {'thaw' if state == 'frozen' else 'restart'} {node}"
            raise Refused(node, f"it is {state}", remedy)

    async def _until(self, node: str, states: tuple[str, ...]) -> None:
        with trio.move_on_after(PATIENCE_S):
            while self._states[node] not in states:
                await self._changed.wait()
            return
        raise Refused(node, f"it is still {self._states[node]} after {PATIENCE_S:g} s", "look at its log")

    def _signal(self, node: str, number: signal.Signals) -> None:
        assert self._children is not None
        pid = self._children.pids().get(node)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

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


def _error(place: str, problem: str, remedy: str) -> dict[str, Any]:
    return {"error": {"place": place, "problem": problem, "remedy": remedy}}


def _listening(path: Path) -> socket.socket:
    """A unix socket at which others may call.  Raises BadInput."""
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise BadInput(path, "--dir", "it is too long for a socket's path", "name a folder with a shorter path")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    sock.listen(16)
    return sock


__all__ = ["Refused", "StandingTestbed"]
