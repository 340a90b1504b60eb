"""A plan under the ``virtual`` or ``paced`` clock: a process per host, one for plane and coordinator, real UDP.

What may live here: bringing the processes of one run up, serving the coordinator's wishes (planned deaths, progress),
and taking everything down again.
"""

import json
import os
import pickle
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import trio

from stack.config import Plight
from stack.process import PLANE, result_name
from testbed.clock.orders import MOVED
from testbed.errors import BadInput
from testbed.lab.attached import program_environment, program_title
from testbed.lab.children import FLOOR_S, GRACE_S, PROGRAM, Children, HostStart, ProcessDied, lifeline
from testbed.lab.plane_process import END_SOON, PlaneOrders
from testbed.lab.remote import Remotes, Told
from testbed.lab.sockets import bind_at, bind_nodes, capacity
from testbed.plan.plan import Plan
from testbed.report.outcome import Outcome
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
        """``remotes``: nodes that are started elsewhere; the others then have their frames at the address ``bind``.

        A run begins when they are there; a testbed that stands comes up without them, and takes them in as it does a
        node that is born again."""
        self.plan = plan
        self.clock = clock
        self.out = out
        self.spool_dir = spool_dir
        self.groups = groups
        self.progress = progress
        journals = str(RunFolder(out).journals.resolve())
        self.configs = {n.number: replace(n, spools=str(spool_dir), journals=journals) for n in plan.nodes}
        self.names = {n.number: n.name for n in plan.nodes}
        self.remotes = remotes
        elsewhere = {} if remotes is None else remotes.nodes
        self._unborn = set(elsewhere.values()) if plan.standing else set()
        """Nodes without which the testbed comes up, and that have not come yet."""
        here = [number for number, name in self.names.items() if name not in elsewhere]
        if bind is None:
            self.sockets = bind_nodes(here, stock_buffers, among_themselves=clock == "virtual")
        else:
            self.sockets = bind_at(here, bind)
        self.on_processes: Callable[[dict[str, int]], None] = lambda pids: None
        """Called with every child's process id when they have been started, and again when that has changed."""
        self.on_up: Callable[[dict[str, int]], None] = lambda pids: None
        """Called with the same when all nodes have booted."""
        self.on_state: Callable[[str, str], None] = lambda node, state: None
        """Called with a node's name and its new state: awaited, up, killed, restarted."""
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
        self.on_thinks: Callable[[str, bool, int], None] = lambda node, still, process: None
        """Called with a node whose program keeps the floor, so that time stands still, and when it has gone on."""
        self.commanded = False
        """Whether ``order`` may be called."""
        self.interrupted = False
        """Somebody has asked for its end, and it has come to one in order."""
        self.whole = False
        """All nodes have ended by themselves: ``outcome`` may be asked for."""
        self._is_up = False
        self._control = socket.socket(socket.AF_UNIX)  # to nobody yet
        self._orders: socket.socket | None = None
        self.done: dict[str, Any] | None = None
        self._emptied: dict[int, int] = {}
        """Datagrams found in the sockets of dead nodes: what else was on its way to them only ``virtual`` knows."""
        self._dead: set[int] = set()
        self.addresses: dict[int, tuple[str, int]] = {n: s.getsockname() for n, s in self.sockets.items()}
        """Of those nodes that are there, or have been."""
        self._lived: dict[str, int] = {}
        """The last life of each node elsewhere that has begun."""
        self.unrecorded_s: dict[str, list[float]] = {}
        """Of nodes elsewhere that have vanished, by life: the wall seconds of which the trace may say nothing."""
        self.journals_lost: dict[str, str] = {}
        """Why a controller elsewhere does not know the jobs of earlier lives, if so."""
        self._t_ps = 0
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
                        self.remotes.on_come = self._come
                        self.remotes.on_vanished = self._vanished
                        await nursery.start(self.remotes.serve)
                        if not self.plan.standing:
                            await self.remotes.gather()
                    with ExitStack() as passed_on:
                        await self._bring_up(children, passed_on)
                    self.on_processes(children.pids())
                    company, heeding = trio.CancelScope(), trio.CancelScope()
                    if threading.current_thread() is threading.main_thread():
                        nursery.start_soon(self._heed_interrupts, heeding, children)
                    if self.beside is not None:
                        nursery.start_soon(self._beside, company, children)
                    await self._serve(children)
                    company.cancel()
                    await children.wait_for(["plane", *map(self.host_name, self.groups)])
                    self.whole = True
                    for name in self._cut_off():
                        children.pardon(name)
                    children.judge_programs()
                    await children.wait_all()
                    heeding.cancel()
                finally:
                    if self.remotes is not None:
                        self.remotes.over = True
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

    async def _heed_interrupts(self, scope: trio.CancelScope, children: Children) -> None:
        """The first ends the run in order, so that it can be told of, without its programs if they do not let it; the
        second, or slowness, at once."""
        with scope, trio.open_signal_receiver(signal.SIGINT) as signals:
            async for _ in signals:
                if not self._is_up or self.interrupted:
                    raise KeyboardInterrupt
                self.interrupted = True
                if self._orders is not None:
                    self.order("input", id=0, what={"do": "end"})
                elif "plane" in (pids := children.pids()):
                    os.kill(pids["plane"], END_SOON)
                with trio.move_on_after(FLOOR_S):
                    await anext(signals)
                    raise KeyboardInterrupt
                children.end_programs()
                with trio.move_on_after(GRACE_S):
                    await anext(signals)
                raise KeyboardInterrupt

    def order(self, do: str, /, **facts: object) -> None:
        """Tell the keeper of the clock what to do; see ``testbed.clock.orders``."""
        assert self._orders is not None
        with suppress(OSError):  # the plane has died: its watch ends the testbed
            self._orders.send(json.dumps({"do": do, **facts}).encode())

    async def _bring_up(self, children: Children, passed_on: ExitStack) -> None:
        """Start plane, nodes and programs.  The ends of sockets that are theirs join ``passed_on``, to be closed."""
        self._control.close()
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
            awaited=tuple(self._unborn),
        )
        await children.start(
            "plane",
            ["-m", "testbed.lab.plane_process"],
            pickle.dumps(orders),
            [theirs.fileno(), *(plane_end.fileno() for plane_end, _ in buses), *([told.fileno()] if told else [])],
            {},
        )
        sessions: dict[int, list[socket.socket]] = {}
        programs: list[tuple[int, Any, socket.socket]] = []
        for index, program in enumerate(self.plan.programs):
            node_end, program_end = map(passed_on.enter_context, socket.socketpair())
            sessions.setdefault(program.node, []).append(node_end)
            programs.append((index, program, program_end))
        hosts = [
            self._host(children, group, host_end, sessions)
            for group, (_, host_end) in zip(self.groups, buses, strict=True)
        ]
        await self._start(children, hosts, sessions)
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

    async def _start(
        self, children: Children, hosts: list[HostStart], sessions: dict[int, list[socket.socket]]
    ) -> None:
        """Those of this machine are started; those elsewhere are told what to be as soon as they are there."""
        elsewhere = {} if self.remotes is None else self.remotes.nodes
        for host in hosts:
            if self.remotes is not None and host.name in elsewhere:
                orders = partial(self._orders_now, host)
                number = elsewhere[host.name]
                bus = trio.socket.from_stdlib_socket(socket.socket(fileno=os.dup(host.orders["bus"])))
                held = [own.dup() for own in sessions.get(number, [])]
                self.remotes.tell(host.name, Told(orders, bus, self.doors.get(number), held, children))
        await children.start_hosts([host for host in hosts if host.name not in elsewhere])

    def _orders_now(self, host: HostStart, journal: int) -> dict[str, Any]:
        """A node elsewhere may come late: it begins now, and where others are it is told as it is now.  ``journal``:
        the life whose journal it has."""
        (config,) = host.orders["nodes"]
        last, self._lived[host.name] = self._lived.get(host.name, 0), config["incarnation"]
        lost = ""
        if config["control"] is not None and last not in (0, journal):
            lost = self.journals_lost[host.name] = f"life {last} wrote its journal elsewhere, or it is gone"
        return host.orders | {
            "nodes": [config | {"start_ps": max(config["start_ps"], self._t_ps), "journal_lost": lost}]
        }

    def _come(self, name: str, address: tuple[str, int]) -> None:
        """A node elsewhere is there; whoever lives already is told where its frames go."""
        assert self.remotes is not None
        number = self.remotes.nodes[name]
        self.addresses[number] = address
        if self._orders is not None:
            self.order(MOVED, node=number, address=address)

    def _vanished(self, name: str, lost_s: float) -> None:
        self.unrecorded_s.setdefault(name, []).append(lost_s)

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
                        self._is_up = True
                        self.on_up(children.pids())
                        for number, name in self.names.items():
                            self.on_state(name, "awaited" if number in self._unborn else "up")
                    case "progress":
                        self._t_ps = wish["t_ps"]
                        self.progress(wish)
                    case "kill":
                        for name in self._programs_of(wish["node"]):
                            children.pardon(name)
                        if self.remotes is None or not self.remotes.withdrawn(self.names[wish["node"]]):
                            await children.kill(self.host_name([wish["node"]]))
                        await self._answer(b"{}")
                    case "buried":
                        for name in self._programs_of(wish["node"]):
                            children.pardon(name)  # it lost its node by plan: how it takes that is its own affair
                        if wish["node"] in self.sockets:
                            self._emptied.setdefault(wish["node"], 0)
                        self._dead.add(wish["node"])
                        self._unborn.discard(wish["node"])
                        self.on_state(self.names[wish["node"]], "killed")
                    case "restart":
                        await self._restart(children, wish["node"], wish["t_ps"], wish["plight"])
                    case "born":
                        self.on_processes(children.pids())
                        first = wish["node"] in self._unborn
                        self._unborn.discard(wish["node"])
                        self.on_state(self.names[wish["node"]], "up" if first else "restarted")
                    case "turned":
                        self.on_state(self.names[wish["node"]], wish["state"])
                    case "spent":
                        self.on_spent(wish["id"], wish["fidelities"])
                    case "obeyed":
                        self.on_obeyed(wish["id"], wish["t_ps"])
                    case "troubles":
                        self.on_troubles(wish["active"])
                    case "thinks":
                        self.on_thinks(self.names[wish["node"]], wish["still"], wish["process"])
                    case "ending":
                        children.over = True
                    case "done":
                        self.done = wish
                        for node in self._dead & self._emptied.keys():
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

    async def _restart(self, children: Children, node: int, t_ps: int, plight: dict[str, Any]) -> None:
        """The next incarnation of a node: what still lies in its socket was lost with the last one."""
        if node in self._emptied:
            self._emptied[node] += self._empty(node)
        self._dead.discard(node)
        self.configs[node] = replace(self.configs[node].reborn(t_ps), plight=Plight.from_json(plight))
        plane_end, host_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with plane_end:
            await self._answer(b"{}", plane_end.fileno())  # at once: a plane that follows the wall's clock waits for it
        if self.remotes is not None and self.names[node] in self.remotes.nodes:
            self.remotes.expect(self.names[node])
            self.on_state(self.names[node], "awaited")
        with host_end:  # the plane misses it if it is not passed on
            try:
                await self._start(children, [self._host(children, [node], host_end, {})], {})
            except ProcessDied as death:
                if not children.on_fall(self.names[node], f"was not started: {death}"):
                    raise

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
            elsewhere=frozenset(() if self.remotes is None else self.remotes.nodes),
            interrupted=self.interrupted,
        )


__all__ = ["Launch", "ProcessDied"]
