"""A second implementation of MHP and EGP, written from docs/wire.md and the catalogue alone.

It speaks the JSON lines of docs/conformance.md on its standard input and output.
"""

import json
import os
import sys
from typing import Any

from echo import Echo
from egp import LinkLayer
from mhp import Station
from reliable import Reliable
from wire import Ack, Data, Gen, Ping, Pong, Reply, Reset, decode
from world import World


class Node:
    """One node: what comes to it, and who handles that."""

    def __init__(self, configure: dict[str, Any]) -> None:
        self.world = world = World(configure)
        self.echo = Echo(world)
        self.streams = {peer: self._stream(peer) for peer in world.peers}
        links = configure["links"]
        self.stations = {link["number"]: Station(world, link) for link in links if link["station"] == world.node}
        self.layer: LinkLayer | None = None
        if configure["role"] == "end":
            self.layer = LinkLayer(world, links, configure["communication_qubits"], self._send)
        world.receive, world.order = self.receive, self.order

    def _stream(self, peer: int) -> Reliable:
        return Reliable(self.world, peer, lambda *message: self.deliver(peer, *message), lambda: self.broken(peer))

    def _send(self, peer: int, message: tuple[Any, ...]) -> None:
        self.streams[peer].send(message)

    def receive(self, source: int, life: int, message: Any) -> None:
        """A frame has come."""
        self.streams[source].met(life)
        match message:
            case Ping() | Pong():
                self.echo.receive(source, message)
            case Data() | Ack() | Reset():
                self.streams[source].receive(message)
            case Gen() if message.link in self.stations:
                self.stations[message.link].receive(source, message)
            case Reply() if self.layer is not None:
                self.layer.reply(source, message)

    def deliver(self, source: int, protocol: int, number: int, body: bytes) -> None:
        """REL has delivered a message."""
        message = decode(protocol, number, body)
        if isinstance(message, Ping):
            self.world.event(event="heard", node=source, token=message.token, size=len(message.padding))
        elif protocol == 3 and message is not None and self.layer is not None:
            self.layer.receive(source, message)

    def broken(self, peer: int) -> None:
        """REL has lost messages."""
        self.world.event(event="broken", node=peer)
        if self.layer is not None:
            self.layer.broken(peer)

    def order(self, order: dict[str, Any]) -> None:
        """The user wants something."""
        if "start" in order:
            self.world.zero_ns = order["start"]["monotonic_ns"]
            for station in self.stations.values():
                station.born = self.world.now()
            if self.world.incarnation != 1:
                for stream in self.streams.values():
                    stream.announce()
            return
        do = order.pop("do", None)
        if do == "ping":
            defaults = {"count": 1, "in_flight": 1, "padding": 0, "timeout_ps": 10**12}
            self.echo.ping(order["node"], *(order.get(key, value) for key, value in defaults.items()))
        elif do == "say":
            self.streams[order["node"]].send_body(255, 1, bytes(order["size"]))
        elif do == "watch":
            self.streams[order["node"]].watch()
        elif self.layer is None or not self.layer.order(do, order):
            self.world.event(event="unsupported", do=do)


def _first_line() -> bytes:
    """The first line of the input, and not a byte of what comes behind it."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line


def main() -> int:
    """Configure, be ready, start, run."""
    configure = json.loads(_first_line())["configure"]
    if configure["role"] not in ("echo", "end", "station") or configure["time"] or configure["routing"]:
        return 127
    if any(link["switched"] for link in configure["links"]):
        return 127
    node = Node(configure)
    node.world.say({"ready": {"address": list(node.world.frames.getsockname())}})
    node.world.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
