"""Nodes that are started elsewhere, by hand or by another launcher: the lab's end of their lines.

What may live here: waiting for them, giving them their orders, carrying their device bus, taking in what they leave.
The bytes are those of ``stack.runtime.remote``.
"""

import hmac
import json
import re
import secrets
import socket
import time
from pathlib import Path
from typing import Any, Final

import trio

from stack.runtime import bus
from stack.runtime.remote import CLOCK, ENDED, FILE, HEAD, HELLO, MOST, ORDERS, PACKET, part
from testbed.errors import BadInput
from testbed.lab.children import ProcessDied
from testbed.rundir import write_json

_LOOKS: Final = 8
_HELLO_S: Final = 5.0
_FILE_NAME: Final = re.compile(r"[0-9]{5}(-[0-9]{5}\.spool|\.result)")


class _Line:
    """To one node; ``ahead_ns``: by how much its machine's clock is ahead of ours."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.ahead_ns = 0
        self._pending = b""

    async def read(self) -> tuple[int, bytes] | None:
        """The next part; None if the other end has closed."""
        size = HEAD.size
        while True:
            if len(self._pending) >= HEAD.size:
                length, kind = HEAD.unpack_from(self._pending)
                if length > MOST:
                    return None
                size = HEAD.size + length
                if len(self._pending) >= size:
                    body, self._pending = self._pending[HEAD.size : size], self._pending[size:]
                    return kind, body
            try:
                more = await self.stream.receive_some(1 << 16)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None
            if not more:
                return None
            self._pending += more

    async def look_at_clock(self) -> None:
        """NTP's way: of several questions the one that was answered soonest says most."""
        best = None
        for _ in range(_LOOKS):
            asked = time.monotonic_ns()
            await self.stream.send_all(part(CLOCK, b""))
            answer = await self.read()
            heard = time.monotonic_ns()
            if answer is None:
                return
            if best is None or heard - asked < best:
                best = heard - asked
                self.ahead_ns = int(answer[1]) - (asked + heard) // 2


class Remotes:
    """The nodes of a run that are started elsewhere: number and name.  Their tickets are written at once.

    Raises BadInput if ``bind`` is no address of this machine.
    """

    def __init__(self, nodes: dict[int, str], bind: str, folder: Path) -> None:
        self.nodes = nodes
        self.addresses: dict[int, tuple[str, int]] = {}
        self._folder = folder
        self._lines: dict[int, _Line] = {}
        self._done: dict[int, trio.Event] = {number: trio.Event() for number in nodes}
        self._tokens = {name: secrets.token_hex(16) for name in nodes.values()}
        try:
            self._listening = socket.create_server((bind, 0))
        except OSError as error:
            remedy = "name one of this machine that the nodes can reach"
            raise BadInput("command line", "--bind", f"{bind}: {error.strerror or error}", remedy) from None
        self.port: int = self._listening.getsockname()[1]
        tickets = folder / "tickets"
        tickets.mkdir(exist_ok=True)
        for name, token in self._tokens.items():
            ticket = {"node": name, "lab": f"{bind}:{self.port}", "token": token}
            write_json(tickets / f"{name}.json", ticket, mode=0o600)

    def close(self) -> None:
        self._listening.close()

    async def gather(self) -> None:
        """Until each has come and said where its frames go."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._listening))
        while len(self._lines) < len(self.nodes):
            stream = await listener.accept()
            line = _Line(stream)
            with trio.move_on_after(_HELLO_S):
                number, address = self._claimed(await line.read())
                if number:
                    await line.look_at_clock()
                    self._lines[number], self.addresses[number] = line, address
                    continue
            await trio.aclose_forcefully(stream)

    def _claimed(self, said: tuple[int, bytes] | None) -> tuple[int, tuple[str, int]]:
        """Which node this is, 0 if it is none that is waited for, and where its frames go."""
        nobody = (0, ("", 0))
        if said is None or said[0] != HELLO:
            return nobody
        try:
            hello = json.loads(said[1])
            host, port = hello["udp"]
            known = hmac.compare_digest(self._tokens[hello["node"]], hello["token"])
        except (ValueError, KeyError, TypeError):
            return nobody
        for number, name in self.nodes.items():
            if known and name == hello["node"] and number not in self._lines:
                return number, (str(host), int(port))
        return nobody

    async def start(self, number: int, orders: dict[str, Any], bus_end: socket.socket, nursery: trio.Nursery) -> None:
        """Give a node its orders; from now on its device bus is carried.  ``bus_end`` is ours from now on."""
        line = self._lines[number]
        await line.stream.send_all(part(ORDERS, json.dumps(orders).encode()))
        packets = trio.socket.from_stdlib_socket(bus_end)
        nursery.start_soon(self._to_node, line, packets)
        nursery.start_soon(self._from_node, number, line, packets)

    async def _to_node(self, line: _Line, packets: trio.socket.SocketType) -> None:
        try:
            while packet := await packets.recv(2 * bus.PACKET_MAX):
                if packet[0] == bus.START:  # in the time of another machine
                    epoch_ns, dilation = bus.unpack_start(packet)
                    packet = bus.pack_start(epoch_ns + line.ahead_ns, dilation)
                await line.stream.send_all(part(PACKET, packet))
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the other direction says so

    async def _from_node(self, number: int, line: _Line, packets: trio.socket.SocketType) -> None:
        while True:
            read = await line.read()
            if read is None:
                packets.close()
                raise ProcessDied(self.nodes[number], "has gone: its line has closed", False)
            kind, body = read
            if kind == PACKET:
                await packets.send(body)
            elif kind == FILE:
                name, _, piece = body.partition(b"\0")
                if _FILE_NAME.fullmatch(name.decode(errors="replace")):
                    with (self._folder / ".spool" / name.decode()).open("ab") as file:
                        file.write(piece)
            elif kind == ENDED:
                packets.close()
                if body != b"0":
                    how = f"ended with exit code {body.decode(errors='replace')[:10]}"
                    raise ProcessDied(self.nodes[number], how, False)
                self._done[number].set()
                return

    async def ended(self) -> None:
        """Until all have left what they had to leave."""
        for done in self._done.values():
            await done.wait()


__all__ = ["Remotes"]
