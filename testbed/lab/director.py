"""Commands to a run while it goes on: what each asks of the clock's keeper and of processes.

What may live here: those that any run knows whose time has its own way, over whatever they came.  A testbed that stays
knows more, see ``testbed.lab.standing``.
"""

import json
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import trio

from testbed.broker import EmbeddedBroker
from testbed.lab.children import Children
from testbed.lab.troubles import BROKER, NoTrouble, Trouble, Troubles
from testbed.lab.virtual import Launch
from testbed.program import program
from testbed.rundir import RunFolder
from testbed.scenario import Scenario

PATIENCE_S = 10.0
"""How long a node may take to die or to come up before its command gives up."""

class Refused(Exception):
    """A command that cannot be obeyed: where, why, what to do."""

    def __init__(self, place: str, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.place, self.problem, self.remedy = place, problem, remedy


class Director:
    """Gives a run its commands.  ``paced``: its time is the wall's."""

    def __init__(self, name: str, clock: str) -> None:
        self._name = name
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
        self._active: list[dict[str, Any]] = []
        self._dumb: tuple[Trouble, ...] = ()
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._t_ps = 0
        self._began = time.monotonic()
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
        launch.on_troubles = on_troubles
        launch.beside = self._beside

    def progress(self, facts: dict[str, Any]) -> None:
        """About four times a second."""
        self._t_ps = facts["t_ps"]

    async def _beside(self, children: Children) -> None:
        self._children = children
        async with trio.open_nursery() as nursery:
            self._nursery, self._token = nursery, trio.lowlevel.current_trio_token()
            try:
                await self._serve(nursery)
            finally:
                self._nursery = None

    async def _serve(self, nursery: trio.Nursery) -> None:
        """Hear commands."""
        await trio.sleep_forever()

    # -- over MQTT ---------------------------------------------------------------------------------------------------

    def request(self, line: bytes, reply: Callable[[dict[str, Any]], None]) -> None:
        """A command from another thread; ``reply`` is told what came of it."""
        if self._token is None:
            busy = {"place": "command", "problem": "it is not up yet", "remedy": "wait for the state up"}
            reply({"error": busy})
            return
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._begin, line, reply)

    def _begin(self, line: bytes, reply: Callable[[dict[str, Any]], None]) -> None:
        if self._nursery is None:
            reply({"error": {"place": "command", "problem": "it is over", "remedy": "look at result"}})
        else:
            self._nursery.start_soon(self._answer_request, line, reply)

    async def _answer_request(self, line: bytes, reply: Callable[[dict[str, Any]], None]) -> None:
        reply(await self.obeyed(line))

    # -- commands ----------------------------------------------------------------------------------------------------

    async def obeyed(self, line: bytes) -> dict[str, Any]:
        """What comes of one command, a JSON object {"do": NAME, ...}: {"ok": ...} or {"error": ...}."""
        remedy = f'send one line of JSON, {{"do": ...}}: {", ".join(self._commands)}'
        try:
            asked = json.loads(line)
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict) or not isinstance(what := asked.pop("do", None), str):
            return _error("command", "it is none", remedy)
        asked.pop("id", None)
        command = self._commands.get(what)
        if command is None:
            return _error("command", f"there is no {what!r:.40}", remedy)
        try:
            return {"ok": await command(**asked)}
        except Refused as refused:
            return _error(refused.place, refused.problem, refused.remedy)
        except TypeError as error:
            return _error(what, str(error).rpartition("() ")[2], "see docs/testbed.md")

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
            "name": self._name,
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

    async def _end(self) -> dict[str, Any]:
        """End the run, whatever its programs still want; files are written after the answer."""
        return {"t_s": await self._input("end") * 1e-12}

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

    def _announce(self) -> None:
        """Wake whoever waits for a change."""
        self._changed.set()
        self._changed = trio.Event()

    def _turn(self, node: str, state: str) -> None:
        self._states[node] = state
        self._announce()

    def _obeyed_at(self, number: int, t_ps: int) -> None:
        self._stamps[number] = t_ps
        self._announce()

    def _troubled(self, active: list[dict[str, Any]]) -> None:
        self._active = active
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


def _error(place: str, problem: str, remedy: str) -> dict[str, Any]:
    return {"error": {"place": place, "problem": problem, "remedy": remedy}}


__all__ = ["PATIENCE_S", "Director", "Refused"]
