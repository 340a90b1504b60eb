"""A plan under the ``virtual`` or ``paced`` clock: a process per host, one for plane and coordinator, real UDP.

What may live here: bringing the processes of one run up, serving the coordinator's wishes (planned deaths, progress),
and taking everything down again.
"""

import json
import os
import pickle
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from stack.config import path_from_json
from stack.runtime.process import PLANE, result_name
from testbed.errors import BadInput
from testbed.lab.attached import program_environment, program_title
from testbed.lab.children import PROGRAM, Children, HostStart, ProcessDied, lifeline
from testbed.lab.local import chronicle
from testbed.lab.outcome import Outcome
from testbed.lab.plan import Plan
from testbed.lab.plane_process import PlaneOrders
from testbed.lab.remote import Remotes
from testbed.lab.sockets import bind_at, bind_nodes, capacity
from testbed.rundir import RunFolder
from testbed.trace.merging import NodeIdentity

Progress = Callable[[dict[str, Any]], None]


class Launch:
    """One run with processes."""

    def __init__(
        self,
        plan: Plan,
        clock: str,
        out: Path,
        spool_dir: Path,
        groups: list[list[int]],
        progress: Progress,
        stock_buffers: bool = False,
        remotes: Remotes | None = None,
        bind: str | None = None,
    ) -> None:
        """``remotes``: nodes that are started elsewhere; the others then have their frames at the address ``bind``."""
        self.plan = plan
        self.clock = clock
        self.out = out
        self.spool_dir = spool_dir
        self.groups = groups
        self.progress = progress
        self.configs = {n.number: replace(n, spools=str(spool_dir)) for n in plan.nodes}
        self.names = {n.number: n.name for n in plan.nodes}
        self.remotes = remotes
        here = [number for number in self.names if remotes is None or number not in remotes.nodes]
        if bind is None:
            self.sockets = bind_nodes(here, stock_buffers, among_themselves=clock == "virtual")
        else:
            self.sockets = bind_at(here, bind)
        self.on_processes: Callable[[dict[str, int]], None] = lambda pids: None
        """Called with every child's process id when they have been started, and again when that has changed."""
        self.on_up: Callable[[dict[str, int]], None] = lambda pids: None
        """Called with the same when all nodes have booted."""
        self.on_state: Callable[[str, str], None] = lambda node, state: None
        """Called with a node's name and its new state: up, killed, restarted."""
        self.doors: dict[int, socket.socket] = {}
        """Listening sockets of a standing testbed, at which programs attach to nodes."""
        self.beside: Callable[[Children], Awaitable[None]] | None = None
        """Runs beside a standing testbed, and says when it is to end."""
        self.on_spent: Callable[[int, list[list[float] | None]], None] = lambda number, fidelities: None
        """Called with the oracle's answers to ``order("spent", ...)``."""
        self.on_obeyed: Callable[[int, int], None] = lambda number, t_ps: None
        """Called when an ``order`` has been obeyed, with the true time at which it counted."""
        self.on_troubles: Callable[[list[dict[str, Any]]], None] = lambda active: None
        """Called with all that is wrong with the network when that has changed, see ``testbed.lab.troubles``."""
        self.commanded = False
        """Whether ``order`` may be called."""
        self._orders: socket.socket | None = None
        self.done: dict[str, Any] | None = None
        self._emptied: dict[int, int] = {}
        """Datagrams found in the sockets of dead nodes: what else was on its way to them only ``virtual`` knows."""
        self._dead: set[int] = set()
        self.addresses = {n: s.getsockname() for n, s in self.sockets.items()}
        room = min((capacity(s) for s in self.sockets.values()), default=1)
        self.undrained_max = room
        self.room = max(1, room * 2 // 3 // max(1, len(groups) - 1))

    def host_name(self, group: list[int]) -> str:
        return self.names[group[0]] if len(group) == 1 else f"{self.names[group[0]]}..{self.names[group[-1]]}"

    def _host(
        self, children: Children, group: list[int], bus: socket.socket, sessions: dict[int, list[socket.socket]]
    ) -> HostStart:
        """What the process of ``group`` is to be started with."""
        held = {n: [s.fileno() for s in sessions.get(n, [])] for n in group}
        sockets = {n: self.sockets[n].fileno() for n in group if n in self.sockets}
        doors = {n: self.doors[n].fileno() for n in group if n in self.doors}
        orders = {
            "clock": self.clock,
            "lifeline": children.lifeline,
            "bus": bus.fileno(),
            "nodes": [self.configs[n].to_json() for n in group],
            "sockets": sockets,
            "addresses": self.addresses,
            "sessions": held,
            "doors": doors,
            "room": self.room,
            "results": str(self.spool_dir),
            "inputs": str(RunFolder(self.out).inputs.resolve()),
        }
        own = [bus.fileno(), *sockets.values(), *doors.values(), *(fd for fds in held.values() for fd in fds)]
        return HostStart(self.host_name(group), orders, own)

    def _share_log(self, group: list[int]) -> None:
        """Nodes that share a process share its log, under each one's name."""
        log = self.out / "logs" / f"{self.host_name(group)}.log"
        for n in group if len(group) > 1 else []:
            with suppress(OSError):
                os.link(log, self.out / "logs" / f"{self.names[n]}.log")

    async def run(self) -> None:
        """Until the end of the run; raises ProcessDied, or BadInput for what only a run can tell."""
        with lifeline() as line:
            async with trio.open_nursery() as nursery:
                children = Children(nursery, self.out / "logs", line)
                try:
                    if self.remotes is not None:
                        await self.remotes.gather()
                        self.addresses |= self.remotes.addresses
                    with ExitStack() as passed_on:
                        await self._bring_up(children, passed_on, nursery)
                    self.on_processes(children.pids())
                    company = trio.CancelScope()
                    if self.beside is not None:
                        nursery.start_soon(self._beside, company, children)
                    await self._serve(children)
                    company.cancel()
                    await children.wait_for(["plane", *map(self.host_name, self.groups)])
                    if self.remotes is not None:
                        await self.remotes.ended()
                    for name in self._cut_off():
                        children.pardon(name)
                    children.judge_programs()
                    await children.wait_all()
                finally:
                    await children.kill_all()
                    for sock in (self._control, *self.sockets.values(), *self.doors.values()):
                        sock.close()
                    if self._orders is not None:
                        self._orders.close()
                    if self.remotes is not None:
                        self.remotes.close()
                        nursery.cancel_scope.cancel()

    async def _beside(self, company: trio.CancelScope, children: Children) -> None:
        with company:
            assert self.beside is not None
            await self.beside(children)

    def order(self, do: str, /, **facts: object) -> None:
        """Tell the keeper of the clock what to do; see ``testbed.clock.orders``."""
        assert self._orders is not None
        with suppress(OSError):  # the plane has died: its watch ends the testbed
            self._orders.send(json.dumps({"do": do, **facts}).encode())

    async def _bring_up(self, children: Children, passed_on: ExitStack, nursery: trio.Nursery) -> None:
        """Start plane, nodes and programs.  The ends of sockets that are theirs join ``passed_on``, to be closed."""
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        passed_on.enter_context(theirs)
        buses = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in self.groups]
        for end in (end for bus in buses for end in bus):
            passed_on.enter_context(end).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        told = None
        if self.commanded:
            self._orders, told = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            passed_on.enter_context(told)
        identities = [NodeIdentity(n.number, n.name, n.kind) for n in self.plan.nodes]
        orders = PlaneOrders(
            plan=self.plan,
            clock=self.clock,
            groups=self.groups,
            buses=[plane_end.fileno() for plane_end, _ in buses],
            control=theirs.fileno(),
            lifeline=children.lifeline,
            undrained_max=self.undrained_max,
            spool_dir=str(self.spool_dir),
            out=str(self.out),
            identities=identities,
            orders=None if told is None else told.fileno(),
        )
        await children.start(
            "plane",
            ["-m", "testbed.lab.plane_process"],
            pickle.dumps(orders),
            [theirs.fileno(), *(plane_end.fileno() for plane_end, _ in buses), *([told.fileno()] if told else [])],
            {},
        )
        sessions: dict[int, list[socket.socket]] = {}
        programs = []
        for index, program in enumerate(self.plan.programs):
            node_end, program_end = map(passed_on.enter_context, socket.socketpair())
            sessions.setdefault(program.node, []).append(node_end)
            programs.append((index, program, program_end))
        hosts = []
        for group, (_, host_end) in zip(self.groups, buses, strict=True):
            host = self._host(children, group, host_end, sessions)
            if self.remotes is not None and group[0] in self.remotes.nodes:
                await self.remotes.start(group[0], host.orders, host_end.dup(), nursery)
            else:
                hosts.append(host)
        await children.start_hosts(hosts)
        for group in self.groups:
            self._share_log(group)
        for index, program, end in programs:
            await children.start(
                f"{PROGRAM}{index}",
                ["-m", "testbed.lab.program_process", program.path],
                b"",
                [end.fileno()],
                program_environment(end.fileno(), self.names[program.node], children.lifeline),
                title=program_title(self.plan, index),
            )

    def _programs_of(self, node: int) -> list[str]:
        return [f"{PROGRAM}{index}" for index, program in enumerate(self.plan.programs) if program.node == node]

    def _cut_off(self) -> list[str]:
        """Programs that still held their session when the run was over."""
        return [
            f"{PROGRAM}{index}"
            for number in self.names
            for index in self.plan.holders(number, self._left_by(number).get("results", {}).get("sessions", []))
        ]

    async def _serve(self, children: Children) -> None:
        """Do what the coordinator asks until it says that the run is over."""
        control = self._control
        control.setblocking(False)
        with control:
            while True:
                await trio.lowlevel.wait_readable(control)
                wish = json.loads(await self._heard(control))
                match wish["do"]:
                    case "up":
                        self.on_up(children.pids())
                        for config in self.configs.values():
                            self.on_state(config.name, "up")
                    case "progress":
                        self.progress(wish)
                    case "kill":
                        for name in self._programs_of(wish["node"]):
                            children.pardon(name)
                        await children.kill(self.host_name([wish["node"]]))
                        await self._answer(b"{}")
                    case "buried":
                        for name in self._programs_of(wish["node"]):
                            children.pardon(name)  # it lost its node by plan: how it takes that is its own affair
                        self._emptied.setdefault(wish["node"], 0)
                        self._dead.add(wish["node"])
                        self.on_state(self.names[wish["node"]], "killed")
                    case "restart":
                        await self._restart(children, wish["node"], wish["t_ps"], wish["ways"])
                    case "born":
                        self.on_state(self.names[wish["node"]], "restarted")
                    case "spent":
                        self.on_spent(wish["id"], wish["fidelities"])
                    case "obeyed":
                        self.on_obeyed(wish["id"], wish["t_ps"])
                    case "troubles":
                        self.on_troubles(wish["active"])
                    case "ending":
                        children.over = True
                    case "done":
                        self.done = wish
                        for node in self._dead:
                            self._emptied[node] += self._empty(node)
                        return
                    case "bad input":
                        raise BadInput(wish["file"], wish["place"], wish["problem"], wish["remedy"])
                    case "lost host":
                        await trio.sleep_forever()
                    case other:
                        raise RuntimeError(f"the plane wishes {other}")

    async def _heard(self, control: socket.socket) -> bytes:
        try:
            packet = control.recv(1 << 20)
        except OSError:
            packet = b""
        if not packet:
            await trio.sleep_forever()  # the plane has died: its watch ends the run
        return packet

    async def _answer(self, packet: bytes, *descriptors: int) -> None:
        try:
            socket.send_fds(self._control, [packet], descriptors)
        except OSError:
            await trio.sleep_forever()  # as above

    async def _restart(self, children: Children, node: int, t_ps: int, ways: dict[str, dict[str, Any]]) -> None:
        """The next incarnation of a node: what still lies in its socket was lost with the last one."""
        self._emptied[node] += self._empty(node)
        self._dead.discard(node)
        disturbed = {int(peer): path_from_json(way) for peer, way in ways.items()}
        self.configs[node] = replace(self.configs[node].reborn(t_ps), disturbed=disturbed)
        plane_end, host_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with plane_end:
            await self._answer(b"{}", plane_end.fileno())  # at once: a plane that follows the wall's clock waits for it
        with host_end:
            await children.start_hosts([self._host(children, [node], host_end, {})])
        self.on_processes(children.pids())

    def _empty(self, node: int) -> int:
        """Take what lies in the socket of a dead node; how many datagrams."""
        sock = self.sockets[node]
        sock.setblocking(False)
        count = 0
        with suppress(BlockingIOError):
            while True:
                sock.recv(65535)
                count += 1
        return count

    def _left_by(self, number: int) -> dict[str, Any]:
        """What the process of a node, or the plane, left behind at its end; nothing if it was killed."""
        path = self.spool_dir / result_name(number)
        left: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return left

    def outcome(self) -> Outcome:
        """What the processes left behind; call after ``run``."""
        assert self.done is not None
        done = self.done
        chronicle(self.plan, self.spool_dir, done["end_ps"])
        results: dict[str, Any] = {}
        counters: dict[str, dict[str, int]] = {}
        strangers: dict[str, int] = {}
        lost = {self.names[int(n)]: c for n, c in done["frames_lost"].items()}
        if self.clock == "paced":
            lost = {self.names[n]: count for n, count in self._emptied.items()}
        for number, name in self.names.items():
            left = self._left_by(number)
            results[name], counters[name] = left.get("results", {}), left.get("counters", {})
            if left.get("strangers"):
                strangers[name] = left["strangers"]
            if left.get("frames_lost") is not None:  # zero is a count, too
                lost[name] = lost.get(name, 0) + left["frames_lost"]
        return Outcome(
            end_ps=done["end_ps"],
            stuck=done["stuck"],
            results=results,
            counters=counters,
            frames_lost=lost,
            plane=self._left_by(PLANE),
            wall=done["wall"] | {"datagrams_of_strangers": strangers},
        )


__all__ = ["Launch", "ProcessDied"]
