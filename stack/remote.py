"""A node that nobody has started but a person, on a machine or in a network of its own: it is told where the lab is.

What may live here: the node's end of its line to the lab (``stack.runtime.line``).  The node is a process like any
other, with all that a launcher gives to one: a device bus, a door at which programs attach, a folder for what it writes
down.  This process stands in for the launcher: it carries over the line what passes between the two.  Frames go over
UDP, as ever.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import trio

from protocols.wire import PORT
from stack.estate import Estate
from stack.record import RESULT_SUFFIX, SPOOL_SUFFIX, whole_records
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
    QUIET_S,
    SESSION,
    Line,
    LineClosed,
    LineSilent,
    join,
)

LOG: Final = "log"
INPUTS: Final = "inputs"
"""Files that go to the lab beside spools and results: what the process says, and what came to it from outside."""

_PIECE: Final = 1 << 16
"""Bytes of a file that go in one part."""
_RECEIVE_BUFFER: Final = 4 << 20
_CALLS_WITHIN_S: Final = 10.0
_FOLDERS: Final = "bellwire-node-"
"""How the names of work folders begin."""
_STALE_S: Final = 60.0
"""A younger one may be somebody's who is about to hold it."""


class LabGone(Exception):
    """The line to the lab has closed, or could not be opened; in words."""


def run_node(
    node: str,
    lab: tuple[str, int],
    token: str,
    address: str,
    keeps: Path,
    announce: Callable[[str], None] = lambda line: None,
) -> int:
    """Be ``node`` of the lab's run until it ends, with frames at ``address``; the exit code.  ``keeps``: a folder, made
    if need be, for what its next life is to find; ``announce`` is told when it begins, and when it ends by itself.

    Raises LabGone, or OSError if the address is not ours or taken.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        udp.bind((address, PORT))
        try:
            return trio.run(_be, lab, {"node": node, "token": token}, udp, Estate(keeps, node), announce)
        except BaseExceptionGroup as group:
            if group.subgroup(KeyboardInterrupt) is None:
                raise
            raise KeyboardInterrupt from None


async def _be(
    lab: tuple[str, int],
    who: dict[str, str],
    udp: socket.socket,
    estate: Estate,
    announce: Callable[[str], None],
) -> int:
    """From the first word to the last."""
    stream = await _called(lab)
    async with stream:
        line = Line(stream)
        about = {**who, "udp": udp.getsockname(), "journal": estate.last_life}
        await line.say(HELLO, json.dumps(about).encode())
        try:
            while (said := await line.read())[0] != ORDERS:
                await _look_at_clock(line, *said)
        except LineClosed:
            raise LabGone("the lab has closed the line: the ticket may be of an earlier life, or used") from None
        with _work_folder() as folder:
            orders = json.loads(said[1])
            host, port = udp.getsockname()
            announce(f"{who['node']}, life {orders['nodes'][0]['incarnation']}, begins; its frames: {host}:{port}")
            code = await _Life(line, lab, who, folder, estate).live(orders, udp)
            announce(f"{who['node']} has died, code {code}" if code else f"{who['node']} has ended, with its run")
            return code


@contextmanager
def _work_folder() -> Iterator[Path]:
    """For what the node writes down until it is handed over.  Those of earlier ones that were killed are removed."""
    for old in Path(tempfile.gettempdir()).glob(f"{_FOLDERS}*"):
        with suppress(OSError), _held(old):
            if time.time() - old.stat().st_mtime > _STALE_S:
                shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_FOLDERS) as folder, _held(Path(folder)):
        yield Path(folder)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Nobody else has it meanwhile.  Raises OSError if somebody has."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


async def _called(lab: tuple[str, int]) -> trio.SocketStream:
    try:
        with trio.fail_after(_CALLS_WITHIN_S):
            return await trio.open_tcp_stream(*lab)
    except trio.TooSlowError:
        why = f"nobody answers within {_CALLS_WITHIN_S:g} s"
    except OSError as error:
        cause = error.__cause__  # of the attempts with several addresses
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        why = (cause.strerror if isinstance(cause, OSError) else error.strerror) or str(error)
    raise LabGone(f"{lab[0]}:{lab[1]}: {why}")


async def _look_at_clock(line: Line, kind: int, asked: bytes) -> None:
    if kind == CLOCK:
        await line.say(CLOCK, b"%b %d" % (asked, time.monotonic_ns()))


class _Life:
    """The node's process, and what passes between it and the lab."""

    def __init__(self, line: Line, lab: tuple[str, int], who: dict[str, str], folder: Path, estate: Estate) -> None:
        self._line = line
        self._lab = lab
        self._who = who
        self._folder = folder
        self._estate = estate
        self._door = folder / "door"
        self._sent: dict[Path, int] = {}
        self._killed = ""
        """Why it was, if so."""
        self._told_to_end = False
        self._alone = ""
        """Why the lab is not there any more, if so."""

    async def live(self, orders: dict[str, Any], udp: socket.socket) -> int:
        """Until the process ends; its exit code.  Raises LabGone."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        packets = trio.socket.from_stdlib_socket(ours)
        lifeline, alive = os.pipe()  # when this process ends, that one does
        try:
            with packets:
                process = await self._started(orders, theirs, lifeline, udp)
                udp.close()  # whoever sends to a node that has ended is to find nobody there
                try:
                    code = await self._company(process, packets)
                finally:
                    process.kill()
        finally:
            os.close(lifeline)
            os.close(alive)
        if not self._alone:
            await self._send_files(to_the_end=True)
            await self._line.say(ENDED, str(-signal.SIGINT if self._told_to_end else code).encode())
        if self._told_to_end:
            raise KeyboardInterrupt
        if why := self._killed or self._alone:  # who is killed and slow to say so is not waited for
            raise LabGone(why)
        return code

    async def _started(
        self, orders: dict[str, Any], bus_end: socket.socket, lifeline: int, udp: socket.socket
    ) -> trio.Process:
        """What the lab has told, with descriptors and places of this machine."""
        (config,) = orders["nodes"]
        number = config["number"]
        programs = [await self._opened(session) for session in orders["sessions"][str(number)]]
        with (
            bus_end,
            ExitStack() as held,
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door,
            (self._folder / LOG).open("ab", buffering=0) as log,
        ):
            door.bind(str(self._door))
            door.listen(16)
            for program in programs:
                held.enter_context(program)
            sessions = [program.fileno() for program in programs]
            own = [bus_end.fileno(), lifeline, udp.fileno(), door.fileno(), *sessions]
            here = {
                "bus": bus_end.fileno(),
                "lifeline": lifeline,
                "nodes": [self._estate.begin(config) | {"spools": str(self._folder)}],
                "sockets": {number: udp.fileno()},
                "sessions": {number: sessions},
                "doors": {number: door.fileno()},
                "results": str(self._folder),
                "inputs": str(self._folder / INPUTS),
            }
            process = await trio.lowlevel.open_process(
                [sys.executable, "-P", "-m", "stack.process"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=own,
                start_new_session=True,  # Ctrl-C reaches this process alone
                env=os.environ | {"PYTHONPATH": _search_path()},
            )
        assert process.stdin is not None
        with suppress(trio.BrokenResourceError):  # it died at once; its exit code says so
            await process.stdin.send_all(json.dumps(orders | here).encode())
            await process.stdin.aclose()
        return process

    async def _company(self, process: trio.Process, packets: trio.socket.SocketType) -> int:
        """Carry to and fro until it has ended, and all that it had to say is said."""
        async with trio.open_nursery() as nursery:
            carried = trio.Event()
            nursery.start_soon(self._from_lab, nursery, process, packets)
            nursery.start_soon(self._to_lab, packets, carried)
            nursery.start_soon(self._send_news)
            nursery.start_soon(self._heed_interrupts, process)
            code = await process.wait()
            if not self._alone:
                await carried.wait()
            nursery.cancel_scope.cancel()
        return code

    async def _from_lab(
        self, nursery: trio.Nursery, process: trio.Process, packets: trio.socket.SocketType
    ) -> None:
        try:
            while True:
                kind, body = await self._line.read()
                if kind == PACKET:
                    with suppress(OSError):  # the process has ended
                        await packets.send(body)
                elif kind == KILL:
                    killed = f"{self._who['node']} was killed there; its next life comes with a ticket of its own"
                    self._killed = "its run is over" if body == OVER else killed
                    process.kill()
                elif kind == SESSION:
                    nursery.start_soon(self._let_in, int(body))
                else:
                    await _look_at_clock(self._line, kind, body)
        except LineSilent:
            self._alone = f"nothing has been heard of the lab for {QUIET_S:g} s"
        except (LineClosed, ValueError):
            self._alone = "the lab has closed the line: its run was broken off, or it could not hear this node any more"
        process.kill()

    async def _to_lab(self, packets: trio.socket.SocketType, carried: trio.Event) -> None:
        with suppress(OSError):
            while packet := await packets.recv(2 * bus.PACKET_MAX):
                await self._line.say(PACKET, packet)
        carried.set()

    async def _let_in(self, session: int) -> None:
        """A program attaches there: it is brought to the door here."""
        with suppress(LabGone, OSError):
            await join(await self._reached(session), await trio.open_unix_socket(self._door))

    async def _opened(self, session: int) -> socket.socket:
        """The session of a program that is there before the node is, for the node itself.  Raises LabGone."""
        stream = await self._reached(session)
        async with stream:
            session_end = socket.socket(fileno=os.dup(stream.socket.fileno()))
        session_end.setblocking(True)
        return session_end

    async def _reached(self, session: int) -> trio.SocketStream:
        """The stream of a program there.  Raises LabGone."""
        stream = await _called(self._lab)
        await Line(stream).say(HELLO, json.dumps({**self._who, "session": session}).encode())
        return stream

    async def _heed_interrupts(self, process: trio.Process) -> None:
        """Whoever ends it here ends it as a power cut would, but all that it has written down is handed over first."""
        with trio.open_signal_receiver(signal.SIGINT) as signals:
            async for _ in signals:
                if self._told_to_end:
                    raise KeyboardInterrupt
                self._told_to_end = True
                process.kill()

    async def _send_news(self) -> None:
        while True:
            await trio.sleep(NEWS_EVERY_S)
            await self._send_files()

    async def _send_files(self, to_the_end: bool = False) -> None:
        """What has been written since the last time; of a file that may grow yet, what is whole."""
        for path in sorted(self._folder.iterdir()):
            if path.name not in (LOG, INPUTS) and path.suffix not in (SPOOL_SUFFIX, RESULT_SUFFIX):
                continue
            with path.open("rb") as file:
                file.seek(self._sent.setdefault(path, 0))
                while piece := file.read(_PIECE):
                    if path.suffix == SPOOL_SUFFIX:
                        piece = piece[: whole_records(piece)]
                    elif not to_the_end:
                        piece = piece[: piece.rfind(b"\n") + 1]
                    if not piece:
                        break
                    await self._line.say(FILE, path.name.encode() + b"\0" + piece)
                    self._sent[path] += len(piece)
                    file.seek(self._sent[path])


def _search_path() -> str:
    """Where the process finds our packages, installed or not."""
    return os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(Path(__file__).resolve().parents[1]))))


__all__ = ["INPUTS", "LOG", "LabGone", "run_node"]
