"""The ground of wall time: an implementation behind sockets, in whatever language.

What may live here: its process, its sockets and pipes, and the delays that the kit adds on both ways.
"""

import heapq
import json
import math
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import IO, Any, Final

import trio

from testbed.conformance import bus
from testbed.conformance.ground import Arrived, Commanded, Gone, Happening, NotSupported, Told
from testbed.conformance.scene import DELAY_PS, MS, Scene

UNSUPPORTED: Final = 127
"""Exit code by which an implementation says that it does not play the role."""

_READY_S: Final = 15.0
_END_S: Final = 2.0
_HOST: Final = "127.0.0.1"


class _World:
    """What both kinds of target share: peers' sockets, time, and what is on its way."""

    has_user = False
    slack_ps = 2_000 * MS
    first_incarnation = 1

    def __init__(self, scene: Scene, ports: dict[int, int] | None = None) -> None:
        self._scene = scene
        self._epoch_ns = 0
        self._coming: list[tuple[int, int, Happening]] = []
        self._order = count()
        self._news = trio.Event()
        self._target: tuple[str, int] = (_HOST, 0)
        self._leaving: list[tuple[int, int, Callable[[], Awaitable[None]]]] = []
        self._more = trio.Event()
        self._ended: Exception | None = None
        self._peers: dict[int, trio.socket.SocketType] = {}
        self._ports = ports or {}

    def now(self) -> int:
        return max(0, (time.monotonic_ns() - self._epoch_ns) * 1000)

    def send(self, peer: int, incarnation: int, sequence: int, frame: bytes) -> None:
        sock = self._peers[peer]

        async def deliver() -> None:
            await sock.sendto(frame, self._target)

        self._at(self.now() + DELAY_PS, deliver)

    def answer(self, sequence: int, message: int, body: bytes, due: int) -> None:
        raise NotImplementedError

    def order(self, order: dict[str, Any]) -> None:
        raise NotImplementedError

    async def advance(self, until: int) -> list[Happening]:
        while True:
            self._news = trio.Event()
            now = self.now()
            happened = []
            while self._coming and self._coming[0][0] <= now:
                happened.append(heapq.heappop(self._coming)[2])
            if happened:
                return happened
            if self._ended is not None:
                raise self._ended
            if now >= until:
                return []
            first = min(until, self._coming[0][0]) if self._coming else until
            with trio.move_on_after((first - now) * 1e-12):
                await self._news.wait()

    def _at(self, due: int, act: Callable[[], Awaitable[None]]) -> None:
        heapq.heappush(self._leaving, (due, next(self._order), act))
        self._more.set()

    async def _deliver(self) -> None:
        """What is on its way, each when it is due: in order, for no network between two nodes turns frames round."""
        while True:
            self._more = trio.Event()
            if not self._leaving:
                await self._more.wait()
                continue
            due = self._leaving[0][0]
            if due > self.now():
                with trio.move_on_after((due - self.now()) * 1e-12):
                    await self._more.wait()
                continue
            await heapq.heappop(self._leaving)[2]()

    def _comes(self, happening: Happening) -> None:
        heapq.heappush(self._coming, (happening.at, next(self._order), happening))
        self._news.set()

    async def _bind(self) -> None:
        for peer in self._scene.peers:
            self._peers[peer] = await _udp(self._ports.get(peer, 0))

    async def _listen(self, peer: int) -> None:
        sock = self._peers[peer]
        while True:
            frame, _ = await sock.recvfrom(bus.MOST_BYTES)
            self._comes(Arrived(self.now() + DELAY_PS, peer, frame))

    def _close(self) -> None:
        for sock in self._peers.values():
            sock.close()


class CommandGround(_World):
    """An implementation that the kit starts: its command's standard streams are the upper tester."""

    has_user = True

    def __init__(self, scene: Scene, command: list[str], log: IO[bytes]) -> None:
        super().__init__(scene)
        self._command = command
        self._log = log
        self._process: trio.Process | None = None
        self._stdin: trio.abc.SendStream | None = None
        self._devices: trio.socket.SocketType | None = None
        self._bus_address: Any = None
        self._orders, self._ordered = trio.open_memory_channel[dict[str, Any]](math.inf)

    async def perform(self, script: Callable[[], Awaitable[None]]) -> None:
        """Start it, run a script, end it; raises Gone or NotSupported if it does not come up."""
        await self._bind()
        self._devices = await _udp(0)
        try:
            process = await trio.lowlevel.open_process(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, start_new_session=True
            )
        except OSError as error:
            raise Gone(f"{self._command[0]}: {error.strerror}") from None
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._stdin = process, process.stdin
        lines = _Lines(process.stdout)
        try:
            async with trio.open_nursery() as nursery:
                await self._configure(lines)
                nursery.start_soon(self._deliver)
                nursery.start_soon(self._hear, lines)
                nursery.start_soon(self._serve)
                nursery.start_soon(self._pass_on)
                for peer in self._peers:
                    nursery.start_soon(self._listen, peer)
                await script()
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await _end(process)
            self._close()
            self._devices.close()

    def order(self, order: dict[str, Any]) -> None:
        self._orders.send_nowait(order)

    async def _pass_on(self) -> None:
        """Orders, one after the other."""
        async for order in self._ordered:
            await self._write(order)

    def answer(self, sequence: int, message: int, body: bytes, due: int) -> None:
        async def deliver() -> None:
            assert self._devices is not None
            if self._bus_address is not None:
                await self._devices.sendto(bus.pack(sequence, message, body), self._bus_address)

        self._at(due, deliver)

    async def _configure(self, lines: "_Lines") -> None:
        assert self._devices is not None
        told = self._scene.configuration()
        for number, sock in self._peers.items():
            told["peers"][str(number)]["address"] = list(sock.getsockname()[:2])
        told["devices"] = list(self._devices.getsockname()[:2])
        await self._write({"configure": told})
        with trio.move_on_after(_READY_S):
            answer = await lines.next()
            if answer is None:
                raise await self._why_ended()
            try:
                host, port = json.loads(answer)["ready"]["address"]
            except (ValueError, KeyError, TypeError):
                raise Gone(f"its first line is not 'ready' with an address: {answer[:200]!r}") from None
            self._target = (host, port)
            self._epoch_ns = time.monotonic_ns() + 20_000_000
            await self._write({"start": {"monotonic_ns": self._epoch_ns, "unix_ns": time.time_ns() + 20_000_000}})
            await trio.sleep(0.02)
            return
        raise Gone(f"it was not ready within {_READY_S:.0f} s")

    async def _write(self, line: dict[str, Any]) -> None:
        assert self._stdin is not None
        try:
            await self._stdin.send_all(json.dumps(line).encode() + b"\n")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._ended = await self._why_ended()
            self._news.set()

    async def _hear(self, lines: "_Lines") -> None:
        while (line := await lines.next()) is not None:
            try:
                facts = json.loads(line)
                if not isinstance(facts, dict) or "event" not in facts:
                    raise ValueError
            except ValueError:
                self._ended = Gone(f"it wrote a line that tells nothing: {line[:200]!r}")
                self._news.set()
                return
            self._comes(Told(self.now(), facts))
        self._ended = await self._why_ended()
        self._news.set()

    async def _serve(self) -> None:
        assert self._devices is not None
        while True:
            datagram, self._bus_address = await self._devices.recvfrom(bus.MOST_BYTES)
            try:
                sequence, message, body = bus.unpack(datagram)
            except struct.error:
                self._ended = Gone(f"what came to the devices is no command: {datagram.hex()}")
                self._news.set()
                return
            self._comes(Commanded(self.now(), sequence, message, body))

    async def _why_ended(self) -> Exception:
        assert self._process is not None
        with trio.move_on_after(_END_S):
            code = await self._process.wait()
            if code == UNSUPPORTED:
                return NotSupported(f"it does not play the role '{self._scene.role}'")
            return Gone(f"it has ended with {_ending(code)}")
        return Gone("it has closed its standard output")


async def _end(process: trio.Process) -> None:
    """It, and what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


class UdpGround(_World):
    """A bare address: only what can be seen from outside.  Whoever runs it has given it the scene's peers and keys."""

    _lives = count()

    def __init__(self, scene: Scene, address: tuple[str, int], ports: dict[int, int]) -> None:
        super().__init__(scene, ports)
        self._target = address
        # It lives on from script to script and from run to run; in each the kit's peers must be newer than before.
        self.first_incarnation = (int(time.time()) // 4 + 8 * next(self._lives)) & 0xFFFF

    async def perform(self, script: Callable[[], Awaitable[None]]) -> None:
        await self._bind()
        self._epoch_ns = time.monotonic_ns()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._deliver)
                for peer in self._peers:
                    nursery.start_soon(self._listen, peer)
                await script()
                nursery.cancel_scope.cancel()
        finally:
            self._close()


class _Lines:
    """Lines of a stream."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self.stream = stream
        self._rest = b""

    async def next(self) -> bytes | None:
        while b"\n" not in self._rest:
            try:
                some = await self.stream.receive_some()
            except trio.BrokenResourceError:
                some = b""
            if not some:
                return None
            self._rest += some
        line, _, self._rest = self._rest.partition(b"\n")
        return line


async def _udp(port: int) -> trio.socket.SocketType:
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    await sock.bind((_HOST, port))
    return sock


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
