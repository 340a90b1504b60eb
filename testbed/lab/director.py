"""Commands to a run while it goes on: what each asks of the clock's keeper and of processes.

What may live here: those that any run knows whose time has its own way, over whatever they came.  A testbed that stays
knows more, see ``testbed.standing.service``.
"""

import json
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import trio

from stack.record import WINDOW_BYTES
from stack.runtime.session import THINKS_S
from testbed.broker import EmbeddedBroker
from testbed.errors import nearest
from testbed.fault_kinds import BROKER, DISK, DRIFT
from testbed.lab.children import Children
from testbed.lab.troubles import Troubles, matching
from testbed.lab.virtual import Launch
from testbed.program import program, start_there
from testbed.rundir import RunFolder
from testbed.scenario import Scenario
from testbed.scenario.troubles import NoTrouble, Trouble

Reply = Callable[[dict[str, Any]], None]

PATIENCE_S = 10.0
"""How long a node may take to die or to come up before its command gives up."""

FLOOR_S = 1.0
"""How long a command waits for a program that is known to keep the floor."""

GIVEN_UP = frozenset({"ping"})
"""Commands that are not done to their end for somebody who has gone meanwhile."""


class Refused(Exception):
    """A command that cannot be obeyed: where, why, what to do."""

    def __init__(self, place: str, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.place, self.problem, self.remedy = place, problem, remedy


class Director:
    """Gives a run its commands.  ``paced``: its time is the wall's."""

    def __init__(self, name: str, clock: str) -> None:
        self.name = name
        self._clock = clock
        self._paced = clock == "paced"
        self._launch: Launch | None = None
        self._children: Children | None = None
        self._states: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._why: dict[str, str] = {}
        self._changed = trio.Event()
        self._stamps: dict[int, int] = {}
        self._questions = 0
        self._floor: dict[str, tuple[int, float]] = {}
        """Nodes of which a program keeps the floor: its process, and since when."""
        self._waiting: set[trio.CancelScope] = set()
        self._active: list[dict[str, Any]] = []
        self._full_since_ps: int | None = None
        self._ever: set[Trouble] = set()
        """Whatever has been wrong; of each only kind and place."""
        self._requests, self._asked = trio.open_memory_channel[tuple[bytes, Reply]](math.inf)
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._t_ps = 0
        self._began = time.monotonic()
        self.telemetry: Callable[[], str] = lambda: ""
        """Why nobody hears of it over MQTT, though somebody should."""
        self._commands: dict[str, Callable[..., Awaitable[Any]]] = {
            "status": self._status,
            "kill": self._kill,
            "restart": self._restart,
            "freeze": self._freeze,
            "thaw": self._thaw,
            "fault": self._fault,
            "heal": self._heal,
            "end": self._end,
        }

    def enter(
        self, scenario: Scenario, folder: RunFolder, launch: Launch, broker: EmbeddedBroker | None = None
    ) -> None:
        """All is ready to be started; ``broker``: the one of its own, if it has one."""
        self._scenario, self._folder, self._launch = scenario, folder, launch
        self._numbers = {name: number for number, name in launch.names.items()}
        self._states = dict.fromkeys(self._numbers, "booting")
        self._troubles = Troubles(scenario)
        self._broker = broker
        tell, tell_troubles = launch.on_state, launch.on_troubles

        def on_state(node: str, state: str) -> None:
            fallen = state == "killed" and self._states[node] == "down"  # its process has told so already
            tell(node, "down" if fallen else state)
            if not fallen:
                self._turn(node, "up" if state == "restarted" else state)

        def on_troubles(active: list[dict[str, Any]]) -> None:
            tell_troubles(active)
            self._troubled(active)

        launch.commanded = True
        launch.on_state = on_state
        launch.on_obeyed = self._obeyed_at
        launch.on_thinks = self._thinks
        launch.on_troubles = on_troubles
        launch.beside = self._beside

    def progress(self, facts: dict[str, Any]) -> None:
        """About four times a second."""
        self._t_ps = facts["t_ps"]

    async def _beside(self, children: Children) -> None:
        self._children = children
        async with trio.open_nursery() as nursery:
            self._nursery, self._token = nursery, trio.lowlevel.current_trio_token()
            nursery.start_soon(self._answer_requests, nursery)
            try:
                await self._serve(nursery)
            finally:
                self._nursery = None

    async def _serve(self, nursery: trio.Nursery) -> None:
        """Hear commands."""
        await trio.sleep_forever()

    # -- over MQTT ---------------------------------------------------------------------------------------------------

    def request(self, line: bytes, reply: Reply) -> None:
        """A command from another thread; ``reply`` is told what came of it."""
        if self._token is None:
            busy = {"place": "command", "problem": "it is not up yet", "remedy": "wait for the state up"}
            reply({"error": busy})
            return
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._begin, line, reply)

    def _begin(self, line: bytes, reply: Reply) -> None:
        if self._nursery is None:
            reply({"error": {"place": "command", "problem": "it is over", "remedy": "look at result"}})
        else:
            self._requests.send_nowait((line, reply))

    async def _answer_requests(self, nursery: trio.Nursery) -> None:
        """One after another, as they have come; but nobody waits for the end of what only asks, and may take long."""
        async for line, reply in self._asked:
            try:
                quick = self._understood(line)[0] not in GIVEN_UP
            except Refused:
                quick = True
            if quick:
                await self._answer_request(line, reply)
            else:
                nursery.start_soon(self._answer_request, line, reply)

    async def _answer_request(self, line: bytes, reply: Reply) -> None:
        reply(await self.obeyed(line))

    # -- commands ----------------------------------------------------------------------------------------------------

    async def obeyed(self, line: bytes, gone: Callable[[], Awaitable[None]] | None = None) -> dict[str, Any]:
        """What comes of one command, a JSON object {"do": NAME, ...}: {"ok": ...} or {"error": ...}.

        ``gone`` returns when nobody wants to know any more; then what only asks, and may take long, is given up."""
        try:
            what, asked = self._understood(line)
        except Refused as refused:
            return _error(refused.place, refused.problem, refused.remedy)
        answer: dict[str, Any] = {}
        async with trio.open_nursery() as nursery:
            if gone is not None and what in GIVEN_UP:
                nursery.start_soon(ends_with, gone, nursery.cancel_scope)
            try:
                answer = {"ok": await self._commands[what](**asked)}
            except Refused as refused:
                answer = _error(refused.place, refused.problem, refused.remedy)
            nursery.cancel_scope.cancel()
        return answer

    def _understood(self, line: bytes) -> tuple[str, dict[str, Any]]:
        """A command's name, one of ours, and arguments that it takes.  Raises Refused, which says what is wrong."""
        remedy = f'send one line of JSON, {{"do": ...}}: {", ".join(self._commands)}'
        try:
            asked = json.loads(line)
        except UnicodeDecodeError:
            raise Refused("command", "it is no text", remedy) from None
        except (ValueError, RecursionError) as error:
            where = f" ({error.msg}, at character {error.pos + 1})" if isinstance(error, json.JSONDecodeError) else ""
            raise Refused("command", f"it is no JSON{where}", remedy) from None
        if not isinstance(asked, dict):
            raise Refused("command", f"it is no JSON object, but {line[:40].decode(errors='replace').strip()}", remedy)
        if "do" not in asked:
            raise Refused("command", f"there is no \"do\" among its keys: {', '.join(asked) or 'none'}"[:200], remedy)
        what = asked.pop("do")
        asked.pop("id", None)
        if not isinstance(what, str) or what not in self._commands:
            known = nearest(what, list(self._commands)) if isinstance(what, str) else None
            hint = f"; did you mean {known}" if known else ""
            raise Refused("command", f"there is no {what!r:.40}{hint}", remedy)
        takes = signature(self._commands[what])
        try:
            takes.bind(**asked)
        except TypeError as error:
            keys = ", ".join(
                f'"{one.name}"' + ("" if one.default is one.empty else "?") for one in takes.parameters.values()
            )
            raise Refused(what, str(error), f"it takes {keys or 'nothing'} (?: may be left out)") from None
        return what, asked

    async def _status(self) -> dict[str, Any]:
        launch = self._running()
        pids = {} if self._children is None else self._children.pids()
        nodes = []
        for config in launch.configs.values():
            state = self._states[config.name]
            address = launch.addresses.get(config.number)
            facts = {
                "name": config.name,
                "number": config.number,
                "kind": config.kind,
                "state": state,
                "incarnation": config.incarnation,
                "pid": pids.get(config.name),
                "address": "" if address is None else "{}:{}".format(*address),
                "drifted": self._drifted(config.name),
                "elsewhere": self._elsewhere(config.name),
                "ticket": self._ticket(config.name),
                "unrecorded_s": sum(launch.unrecorded_s.get(config.name, [])),
                "journal_lost": launch.journals_lost.get(config.name, ""),
            }
            nodes.append(facts | ({"why": self._why.get(config.name, "")} if state == "down" else {}))
        links = [
            {"name": link.name, "a": link.a, "b": link.b, "station": link.station, "length_m": link.length_m}
            for link in self._scenario.links
        ]
        return {
            "name": self.name,
            "scenario": str(self._scenario.path),
            "out": str(self._folder.path.resolve()),
            "clock": self._clock,
            "dilation": launch.plan.dilation,
            "t_s": self._t_ps * 1e-12,
            "up_s": round(time.monotonic() - self._began, 3),
            "nodes": nodes,
            "links": links,
            "telemetry": self.telemetry(),
            "faults": [*self._active, *self._full_disk()],
            "floor": [
                {"node": node, "process": process, "program": _program(process), "for_s": round(self._held_s(since), 3)}
                for node, (process, since) in self._floor.items()
            ],
        }

    def _drifted(self, node: str) -> bool:
        """Its clock is off for what a fault has done to it, for nobody keeps it; a restart does not set it."""
        kept = self._scenario.time_sync is not None
        return not kept and any(one.kind == DRIFT and (not one.at or node in one.at) for one in self._ever)

    def _full_disk(self) -> list[dict[str, Any]]:
        """That there is no room for more of the trace, if nobody has told so as a fault; since when it is known."""
        if self._folder.room() >= WINDOW_BYTES or any(one["kind"] == DISK for one in self._active):
            self._full_since_ps = None
            return []
        if self._full_since_ps is None:
            self._full_since_ps = self._t_ps
        return [Trouble(DISK, (), 0.0, self._full_since_ps).facts()]

    async def _kill(self, node: str) -> dict[str, Any]:
        """End a node's process, as a power cut would."""
        self._alive(node, frozen=True)
        await self._input("kill", node=node)
        await self._until(node, ("killed", "down"))
        return {"node": node, "state": self._states[node]}

    async def _restart(self, node: str) -> dict[str, Any]:
        """A node's next life; one that lives is killed first.  Of one elsewhere that is for a person to begin."""
        if self._known(node) not in ("killed", "down"):
            await self._kill(node)
        self._why.pop(node, None)
        await self._input("restart", node=node)
        await self._until(node, ("awaited",) if self._elsewhere(node) else ("up",))
        if node in self._why:
            raise Refused(node, f"its next life {self._why[node]}", f"look at logs/{node}.log")
        return {
            "node": node,
            "state": self._states[node],
            "incarnation": self._running().configs[self._numbers[node]].incarnation,
            "ticket": self._ticket(node),
        }

    async def _freeze(self, node: str) -> dict[str, Any]:
        """Stop a node: time passes, and what is for it waits."""
        self._alive(node)
        await self._input("freeze", node=node)
        await self._until(node, ("frozen",))
        return {"node": node, "state": "frozen"}

    async def _thaw(self, node: str) -> dict[str, Any]:
        """Let a frozen node go on."""
        if self._known(node) != "frozen":
            raise Refused(node, f"it is {self._states[node]}", "only what is frozen can be thawed")
        await self._input("thaw", node=node)
        await self._until(node, ("up",))
        return {"node": node, "state": "up"}

    async def _end(self) -> dict[str, Any]:
        """End the run, whatever its programs still want; files are written after the answer."""
        return {"t_s": await self._input("end") * 1e-12}

    async def _fault(
        self, kind: str, value: float | None = None, at: Sequence[str] = (), for_ps: int | None = None
    ) -> dict[str, Any]:
        """Disturb the network, or its broker; ``value`` is a probability, picoseconds or ppb."""
        about = {"kind": kind, "value": value, "at": at, "for_ps": for_ps}
        try:
            trouble = self._troubles.checked(about)
        except NoTrouble as no:
            raise Refused(no.place, no.problem, no.remedy) from None
        if kind == BROKER and self._broker is None:
            raise Refused(BROKER, "this testbed has none of its own", "bring it up with --mqtt embedded")
        t_ps = await self._input("fault", **about)
        return trouble._replace(since_ps=t_ps).facts()

    async def _heal(self, kind: str | None = None, at: Sequence[str] = ()) -> dict[str, Any]:
        """Undo what ``fault`` has done: of a kind, at a place, or all.  What is over already need not be undone."""
        about = {"kind": kind, "at": at}
        try:
            over = matching(map(_kind_and_place, self._active), about)
        except NoTrouble as no:
            with suppress(NoTrouble):
                matching(self._ever, about)
                return {"healed": 0}
            raise Refused(no.place, no.problem, no.remedy) from None
        await self._input("heal", **about)
        return {"healed": len(over)}

    # -- what they need ----------------------------------------------------------------------------------------------

    async def _input(self, what: str, **about: Any) -> int:
        """Something that may change the run: the true time at which it counts."""
        self._questions += 1
        number = self._questions
        self._running().order("input", id=number, what={"do": what, **about})
        try:
            with trio.move_on_after(PATIENCE_S):
                return await self._unless_still(what, partial(self._stamp, number))
        except Refused:
            self._running().order("withdraw", id=number)
            raise
        self._running().order("withdraw", id=number)
        raise Refused(what, f"nothing came of it within {PATIENCE_S:g} s", "look at logs/plane.log")

    async def _stamp(self, number: int) -> int:
        while number not in self._stamps:
            await self._changed.wait()
        return self._stamps.pop(number)

    async def _unless_still[T](self, what: str, work: Callable[[], Awaitable[T]], remedy: str = "") -> T:
        """Do what needs time to pass.  Raises Refused if a program keeps the floor and does not go on soon;
        ``remedy``: what else would help."""
        with trio.CancelScope() as scope:
            self._waiting.add(scope)
            self._hurry()
            try:
                return await work()
            finally:
                self._waiting.discard(scope)
        node, (process, since) = next(iter(self._floor.items()), ("a node", (0, time.monotonic())))
        problem = f"time stands still: {_program(process)} has had the floor of {node} for {self._held_s(since):.0f} s"
        more = f", or: {remedy}" if remedy else ""
        call = f"have that program make its next call at {node}, whatever it waits for elsewhere, or close that session"
        raise Refused(what, problem, f"nothing was done; {call}, or end it{more}")

    def _thinks(self, node: str, still: bool, process: int) -> None:
        if still:
            self._floor[node] = process, time.monotonic() - THINKS_S
        else:
            self._floor.pop(node, None)
        self._hurry()

    def _hurry(self) -> None:
        """Whoever waits for time to pass gives up soon if it does not."""
        for scope in self._waiting:
            scope.deadline = min(scope.deadline, trio.current_time() + FLOOR_S) if self._floor else math.inf

    @staticmethod
    def _held_s(since: float) -> float:
        return time.monotonic() - since

    def _announce(self) -> None:
        """Wake whoever waits for a change."""
        self._changed.set()
        self._changed = trio.Event()

    def _turn(self, node: str, state: str) -> None:
        self._states[node] = state
        if state != "down":
            self._why.pop(node, None)
        self._announce()

    def _obeyed_at(self, number: int, t_ps: int) -> None:
        self._stamps[number] = t_ps
        self._announce()

    def _troubled(self, active: list[dict[str, Any]]) -> None:
        self._active = active
        self._ever.update(map(_kind_and_place, active))
        self._announce()

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
        if state == "awaited":
            remedy = start_there(Path(self._ticket(node) or ""))
            raise Refused(node, "it is awaited, and to be started elsewhere", remedy)
        if state != "up" and not (frozen and state == "frozen"):
            remedy = f"{program()} {'thaw' if state == 'frozen' else 'restart'} {node}"
            raise Refused(node, f"it is {state}", remedy)

    def _elsewhere(self, node: str) -> bool:
        remotes = self._running().remotes
        return remotes is not None and node in remotes.nodes

    def _ticket(self, node: str) -> str | None:
        """Of a node that is awaited: what whoever starts it needs."""
        remotes = self._running().remotes
        if remotes is None or self._states[node] != "awaited":
            return None
        return str(remotes.ticket(node).resolve())

    async def _until(self, node: str, states: tuple[str, ...]) -> None:
        with trio.move_on_after(PATIENCE_S):
            while self._states[node] not in states and node not in self._why:
                await self._changed.wait()
            return
        raise Refused(node, f"it is still {self._states[node]} after {PATIENCE_S:g} s", "look at its log")


def _program(process: int) -> str:
    """A process as a person knows it."""
    try:
        words = Path(f"/proc/{process}/cmdline").read_text(errors="replace").replace("\0", " ").strip()
    except OSError:
        words = ""
    return f"process {process} ({words:.60})" if words else "its program"


def _kind_and_place(facts: dict[str, Any]) -> Trouble:
    return Trouble(facts["kind"], tuple(facts["at"]), 0.0)


async def ends_with(gone: Callable[[], Awaitable[None]], work: trio.CancelScope) -> None:
    """Give up some work when ``gone`` returns."""
    await gone()
    work.cancel()


def _error(place: str, problem: str, remedy: str) -> dict[str, Any]:
    return {"error": {"place": place, "problem": problem, "remedy": remedy}}


__all__ = ["PATIENCE_S", "Director", "Refused", "ends_with"]
