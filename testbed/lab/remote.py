"""Nodes that are started elsewhere, by hand or by another launcher: the lab's end of their lines.

What may live here: tickets, who comes with them, and what passes over a line (``stack.runtime.line``).  To the rest of
the lab a node elsewhere is a process as any other: it has a device bus, it can be killed, and it ends with a
code (``testbed.lab.children``).
"""

import hmac
import json
import mmap
import re
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

import trio

from stack.record import RESULT_SUFFIX, SPOOL_SUFFIX, Recorder, spool_name
from stack.remote import INPUTS, LOG
from stack.runtime import bus
from stack.runtime.line import (
    CLOCK,
    ENDED,
    FILE,
    HELLO,
    KILL,
    NEWS_EVERY_S,
    ORDERS,
    OVER,
    PACKET,
    SESSION,
    Line,
    LineClosed,
    LineSilent,
    join,
)
from testbed.errors import BadInput
from testbed.lab.children import Children
from testbed.lab.spawning import GONE, SILENT
from testbed.rundir import RunFolder, write_json

_LOOKS: Final = 8
"""Questions after a machine's clock of which the one answered soonest counts; so many are asked at once at first."""
_LOOKS_EVERY_S: Final = 1.0
_OFF_NS: Final = 1_000_000
"""By how much a clock must be seen to have gone off before it is told so."""
_HELLO_S: Final = 5.0
_HELLO_MOST: Final = 4096
_STRANGERS: Final = 32
"""So many may be heard out at a time."""
_COMES_S: Final = 10.0
"""How long a node may take to open a stream for a program."""
_DIES_S: Final = 1.0
"""How long a node that is killed may take to hand over what it has written; the clock's keeper waits for it."""

Address = tuple[str, int]


@dataclass(slots=True)
class Told:
    """What the rest of the lab has for a life.  ``orders`` are made when they are given, to whoever has the journal of
    that life."""

    orders: Callable[[int], dict[str, Any]]
    packets: trio.socket.SocketType
    door: socket.socket | None
    sessions: list[socket.socket]
    """The node's ends of those programs that are there from the beginning."""
    children: Children


class Clock:
    """By how much a machine's clock is ahead of ours.  NTP's way: the question that was answered soonest says most."""

    def __init__(self) -> None:
        self.ahead_ns = 0
        self._looks: list[tuple[int, int]] = []

    def look(self, asked: int, answered: int, heard: int) -> bool:
        """A question has been answered; whether that is news."""
        self._looks = [*self._looks[1 - _LOOKS :], (heard - asked, answered - (asked + heard) // 2)]
        took, ahead = min(self._looks)
        news = abs(ahead - self.ahead_ns) > max(took, _OFF_NS)
        if news or len(self._looks) < _LOOKS:
            self.ahead_ns = ahead
        return news


class _Life:
    """Of one node, from its ticket to its end.  Once it has begun it is a process of the run's."""

    pid = 0

    def __init__(self, number: int, name: str, folder: RunFolder) -> None:
        self.number, self.name = number, name
        self.token = secrets.token_hex(16)
        self.come = trio.Event()
        self.told: Told | None = None
        self.on_vanished: Callable[[str, float], None] = lambda name, lost_s: None
        """Called with how much of what it wrote down may be missing, if it has not come to an end in order."""
        self.is_over: Callable[[], bool] = lambda: False
        """Whether its run is."""
        self._is_told = trio.Event()
        self._folder = folder
        self._line: Line | None = None
        self._company: trio.Nursery | None = None
        """Of what is done while the line is there."""
        self._journal = 0
        self._scope = trio.CancelScope()
        self._clock = Clock()
        self._start: tuple[int, float] | None = None
        self._incarnation = 0
        self._heard = 0.0
        self._dies = trio.CancelScope()
        self._ended = trio.Event()
        self._code = GONE
        self._dropped: set[str] = set()
        self._callers: dict[int, trio.SocketStream] = {}
        self._sessions = 0

    def tell(self, told: Told) -> None:
        """What it is to be, as soon as it is there."""
        self.told = told
        self._is_told.set()

    def claim(self, line: Line, journal: int) -> None:
        """It is there; ``journal``: the life whose journal it has."""
        self._line, self._journal = line, journal
        self.come.set()

    def session(self, number: object, stream: trio.SocketStream) -> bool:
        """It has opened a stream for a program."""
        if self._company is None or not isinstance(number, int) or number not in self._callers:
            return False
        self._company.start_soon(join, self._callers.pop(number), stream)
        return True

    # -- as a process ------------------------------------------------------------------------------------------------

    async def wait(self) -> int:
        """Until it has ended, and left what it had to leave; its exit code."""
        await self._ended.wait()
        return self._code

    def kill(self) -> None:
        if self._line is not None and self._company is not None:
            self._company.start_soon(self._line.say, KILL, OVER if self.is_over() else b"")
            self._dies.deadline = min(self._dies.deadline, trio.current_time() + _DIES_S)

    # -- its line ----------------------------------------------------------------------------------------------------

    async def live(self) -> None:
        """From its ticket to its end."""
        try:
            with self._scope:
                await self._lived()
        finally:
            for caller in self._callers.values():
                caller.socket.close()
            self._callers.clear()  # a stream that comes late is nobody's
            if self.told is not None:
                self.told.packets.close()
                for program in self.told.sessions:
                    program.close()
            self._ended.set()

    @property
    def over(self) -> bool:
        return self._ended.is_set() or self._scope.cancel_called

    def withdraw(self) -> bool:
        """It need not come any more; False if it has begun."""
        if not self._incarnation:
            self._scope.cancel()
        return not self._incarnation

    async def _lived(self) -> None:
        while True:
            await self.come.wait()
            assert self._line is not None
            self._dies = trio.CancelScope()
            async with self._line.stream:
                with self._dies:
                    await self._served(self._line)
            if self._incarnation:
                self._note_loss()
                return
            self.come = trio.Event()  # whoever was early and left may come again

    def _note_loss(self) -> None:
        """If nobody has said that it has ended: say how much is missing, where its trace breaks off, too."""
        if self._code not in (GONE, SILENT) or self._start is None:
            return
        lost_s = round(trio.current_time() - self._heard + NEWS_EVERY_S, 3)
        self.on_vanished(self.name, lost_s)
        epoch_ns, dilation = self._start
        t_ps = int((time.monotonic_ns() - epoch_ns) * 1000 / dilation)
        path = self._folder.spools / spool_name(self.number, self._incarnation, "-vanished")
        with suppress(OSError), Recorder(path, self.number, self._incarnation, mmap.ALLOCATIONGRANULARITY) as recorder:
            recorder.event(max(0, t_ps), "lab", "not recorded", last_wall_ms=round(1000 * lost_s))

    async def _served(self, line: Line) -> None:
        async with trio.open_nursery() as nursery:
            self._company = nursery
            nursery.start_soon(self._look_at_clock, line)
            nursery.start_soon(self._begin, line, nursery)
            try:
                while not await self._take(*await line.read(), line):
                    self._heard = trio.current_time()
            except LineSilent:
                self._code = SILENT
            except LineClosed:
                self._code = GONE
            finally:
                self._company = None
            nursery.cancel_scope.cancel()

    async def _begin(self, line: Line, nursery: trio.Nursery) -> None:
        """Give it its orders; from now on its bus is carried, and its door is open."""
        await self._is_told.wait()
        told = self.told
        assert told is not None
        told.children.join(self.name, self)
        sessions = [self._calls(program) for program in told.sessions]
        orders = told.orders(self._journal) | {"sessions": {self.number: sessions}}
        self._incarnation = orders["nodes"][0]["incarnation"]
        await line.say(ORDERS, json.dumps(orders).encode())
        if told.door is not None:
            nursery.start_soon(self._welcome, told.door, line, nursery)
        with suppress(OSError):
            while packet := await told.packets.recv(2 * bus.PACKET_MAX):
                if packet[0] == bus.START:
                    self._start = bus.unpack_start(packet)
                    packet = self._start_there()
                await line.say(PACKET, packet)

    def _start_there(self) -> bytes:
        """When time began, on the clock of its machine."""
        assert self._start is not None
        epoch_ns, dilation = self._start
        return bus.pack_start(epoch_ns + self._clock.ahead_ns, dilation)

    async def _look_at_clock(self, line: Line) -> None:
        looks = 0
        while True:
            await line.say(CLOCK, b"%d" % time.monotonic_ns())
            looks += 1
            await trio.sleep(0.0 if looks < _LOOKS else _LOOKS_EVERY_S)

    async def _take(self, kind: int, body: bytes, line: Line) -> bool:
        """What it says; whether that was its last word.  Raises LineClosed if that cannot be."""
        try:
            if kind == CLOCK:
                asked, answered = map(int, body.split())
                if self._clock.look(asked, answered, time.monotonic_ns()) and self._start is not None:
                    await line.say(PACKET, self._start_there())
            elif kind == PACKET and self.told is not None:
                with suppress(OSError):  # it has been cut off
                    await self.told.packets.send(body)
            elif kind == FILE:
                name, _, more = body.partition(b"\0")
                self._write(name.decode(), more)
            elif kind == ENDED:
                self._code = int(body)
        except ValueError:
            raise LineClosed from None
        return kind == ENDED

    def _write(self, name: str, more: bytes) -> None:
        """More of a file: its log, its part of the inputs, its own spools and results, and no others."""
        spool = rf"{self.number:05}(-[0-9]{{5}}{re.escape(SPOOL_SUFFIX)}|{re.escape(RESULT_SUFFIX)})"
        if name == LOG:
            path: Path = self._folder.log(self.name)
        elif name == INPUTS:
            path = self._folder.inputs
        elif re.fullmatch(spool, name):
            path = self._folder.spools / name
        else:
            return
        if name not in self._dropped:
            try:
                with path.open("ab", buffering=0) as file:
                    file.write(more)
            except OSError:  # a full disk: what came later would stand in the wrong place
                self._dropped.add(name)

    # -- programs ----------------------------------------------------------------------------------------------------

    async def _welcome(self, door: socket.socket, line: Line, nursery: trio.Nursery) -> None:
        """A program that attaches is a stream of its own."""
        with door.dup() as door:  # until the node is up, somebody else waits at it to turn programs away
            door.setblocking(False)
            while True:
                await trio.lowlevel.wait_readable(door)
                with suppress(OSError):
                    session = self._calls(door.accept()[0])
                    await line.say(SESSION, b"%d" % session)
                    nursery.start_soon(self._give_up, session)

    def _calls(self, program: socket.socket) -> int:
        """The node is to open a stream for this program; the number by which it says for whom that is."""
        self._sessions += 1
        self._callers[self._sessions] = trio.SocketStream(trio.socket.from_stdlib_socket(program))
        return self._sessions

    async def _give_up(self, session: int) -> None:
        await trio.sleep(_COMES_S)
        if (caller := self._callers.pop(session, None)) is not None:
            await trio.aclose_forcefully(caller)


class Remotes:
    """The nodes of a run that are started elsewhere, by name.  Their first tickets are written when ``serve`` begins.

    Raises BadInput if ``bind`` is no address of this machine.
    """

    def __init__(self, nodes: dict[str, int], bind: str, folder: Path) -> None:
        self.nodes = nodes
        self.on_come: Callable[[str, Address], None] = lambda name, address: None
        """Called when a node is there, with the address of its frames, before it is told anything."""
        self.on_vanished: Callable[[str, float], None] = lambda name, lost_s: None
        """Called when a node has ended without a word, with the seconds of which its trace may say nothing."""
        self.over = False
        """Whoever is killed from now on is killed because the run has ended."""
        self._folder = RunFolder(folder)
        self._lives: dict[str, _Life] = {}
        self._limit = trio.Semaphore(_STRANGERS)
        try:
            self._listening = socket.create_server((bind, 0))
        except OSError as error:
            remedy = "name one of this machine that the nodes can reach"
            raise BadInput("command line", "--bind", f"{bind}: {error.strerror or error}", remedy) from None
        if IPv4Address(self._listening.getsockname()[0]).is_unspecified:
            self._listening.close()
            problem = f"{bind} is all addresses, and none that a node could call"
            raise BadInput("command line", "--bind", problem, "name one of this machine that the nodes can reach")
        self._lab = f"{bind}:{self._listening.getsockname()[1]}"
        self._run = secrets.token_hex(4)
        self._listening.setblocking(False)
        (folder / "tickets").mkdir(exist_ok=True)

    def close(self) -> None:
        self._listening.close()

    def ticket(self, name: str) -> Path:
        """Of the node's present life; whoever is to start it needs a copy."""
        return self._folder.path / "tickets" / f"{name}.json"

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hear whoever comes, as long as the run lasts; it is begun when the tickets are written."""
        async with trio.open_nursery() as self._nursery:
            for name in self.nodes:
                self.expect(name)
            task_status.started()
            await self._listen(self._nursery)

    async def _listen(self, nursery: trio.Nursery) -> None:
        while True:
            await self._limit.acquire()
            try:
                await trio.lowlevel.wait_readable(self._listening)
                connection, _ = self._listening.accept()
            except OSError:  # it has gone already, or there are too many files open
                self._limit.release()
                await trio.sleep(_HELLO_S / 100)
                continue
            connection.setblocking(False)
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(connection))
            nursery.start_soon(self._hear_out, stream)

    def expect(self, name: str) -> None:
        """A life of this node is to begin: its ticket is written, an earlier one serves no more."""
        life = self._lives[name] = _Life(self.nodes[name], name, self._folder)
        life.on_vanished = self.on_vanished
        life.is_over = lambda: self.over
        self._nursery.start_soon(life.live)
        ticket = {"node": name, "lab": self._lab, "token": life.token, "run": self._run}
        self.ticket(name).unlink(missing_ok=True)
        write_json(self.ticket(name), ticket, mode=0o600)

    def tell(self, name: str, told: Told) -> None:
        """What the expected life of this node is to be, whether it is there yet or not."""
        self._lives[name].tell(told)

    def withdrawn(self, name: str) -> bool:
        """Whether this node was still awaited: then it is no more, and its ticket serves nobody."""
        return name in self._lives and self._lives[name].withdraw()

    async def gather(self) -> None:
        """Until every one is there."""
        while missing := [life for life in self._lives.values() if not life.come.is_set()]:
            await missing[0].come.wait()

    async def _hear_out(self, stream: trio.SocketStream) -> None:
        line = Line(stream, _HELLO_MOST)
        try:
            with trio.move_on_after(_HELLO_S), suppress(LineClosed):
                if self._claimed(*await line.read(), line):
                    return
        finally:
            self._limit.release()
        await trio.aclose_forcefully(stream)

    def _claimed(self, kind: int, body: bytes, line: Line) -> bool:
        """Whether this is a node that is expected, or a stream that it has opened for a program."""
        try:
            hello = json.loads(body)
            life = self._lives[hello["node"]]
            if kind != HELLO or not hmac.compare_digest(life.token, hello["token"]):
                return False
            line.trust()
            if "session" in hello:
                return life.session(hello["session"], line.stream)
            host, port = hello["udp"]
            address = str(host), int(port)
            journal = int(hello.get("journal", 0))
        except (ValueError, KeyError, TypeError):
            return False
        if life.come.is_set() or life.over:
            return False
        self.on_come(life.name, address)
        life.claim(line, journal)
        return True


__all__ = ["Address", "Clock", "Remotes", "Told"]
