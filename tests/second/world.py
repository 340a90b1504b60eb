"""What a node lives in: its clock and timers, its sockets, the lines of its user, its devices."""

import heapq
import json
import os
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any

from wire import Sealer, decode, encode

Act = Callable[[], None]
MS = 10**9  # picoseconds


class Timer:
    """Something to be done at a time, unless it is cancelled before."""

    def __init__(self, due: int, act: Act) -> None:
        self.due = due
        self.act: Act | None = act

    def cancel(self) -> None:
        """It will not be done."""
        self.act = None

    def __lt__(self, other: "Timer") -> bool:
        return self.due < other.due


class World:
    """One thread, driven by time, datagrams and lines."""

    def __init__(self, configure: dict[str, Any]) -> None:
        self.node: int = configure["node"]
        self.incarnation: int = configure["incarnation"]
        self.allowance: int = configure["allowance_ps"]
        self.peers = {int(number): peer for number, peer in configure["peers"].items()}
        self.delay: dict[int, int] = {number: peer["delay_ps"] for number, peer in self.peers.items()}
        self.address = {number: tuple(peer["address"]) for number, peer in self.peers.items()}
        self.sealer = Sealer(self.node, self.incarnation, {n: bytes.fromhex(p["key"]) for n, p in self.peers.items()})
        self.zero_ns = time.monotonic_ns()
        self.timers: list[Timer] = []
        self.selector = selectors.DefaultSelector()
        self.devices = tuple(configure["devices"])
        self.frames = self._socket()
        self.bus = self._socket()
        self.asked: dict[int, Callable[[Any], None]] = {}
        self.asks = 0
        self.receive: Callable[[int, int, Any], None] = lambda source, life, message: None
        self.order: Callable[[dict[str, Any]], None] = lambda order: None
        self.running = True
        self._line = b""
        self.selector.register(self.frames, selectors.EVENT_READ, self._frames)
        self.selector.register(self.bus, selectors.EVENT_READ, self._answers)

    def _socket(self) -> socket.socket:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(self.devices)  # sends nothing, but says which of the host's addresses leads there
            host = probe.getsockname()[0]
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((host, 0))
        made.setblocking(False)
        return made

    def now(self) -> int:
        """Picoseconds since time 0."""
        return (time.monotonic_ns() - self.zero_ns) * 1000

    def at(self, due: int, act: Act) -> Timer:
        """Do something at a time."""
        timer = Timer(due, act)
        heapq.heappush(self.timers, timer)
        if len(self.timers) > 1000 and sum(t.act is None for t in self.timers) > 500:
            self.timers = [t for t in self.timers if t.act is not None]
            heapq.heapify(self.timers)
        return timer

    def after(self, delay: int, act: Act) -> Timer:
        """Do something after a while."""
        return self.at(self.now() + delay, act)

    def send(self, destination: int, message: tuple[Any, ...]) -> None:
        """Send a message bare in a frame."""
        try:
            self.frames.sendto(self.sealer.seal(destination, message), self.address[destination])
        except OSError:
            return  # as if it were lost on its way

    def command(self, message: tuple[Any, ...], answered: Callable[[Any], None] = lambda answer: None) -> None:
        """Give the devices a command; its one answer goes to `answered`."""
        self.asks += 1
        self.asked[self.asks] = answered
        _, number, body = encode(message)
        self.bus.sendto(self.asks.to_bytes(4) + bytes([number]) + body, self.devices)

    def event(self, **fields: Any) -> None:
        """Tell the user."""
        self.say({key: value for key, value in fields.items() if value is not None})

    @staticmethod
    def say(line: dict[str, Any]) -> None:
        """Write one line."""
        os.write(1, json.dumps(line).encode() + b"\n")

    def _frames(self) -> None:
        while (frame := self._read(self.frames)) is not None:
            opened = self.sealer.open(frame)
            if opened is not None:
                self.receive(*opened)

    def _answers(self) -> None:
        while (answer := self._read(self.bus)) is not None:
            answered = self.asked.pop(int.from_bytes(answer[:4]), None)
            message = decode(128, answer[4], answer[5:]) if len(answer) > 4 else None
            if answered is not None and message is not None:
                answered(message)

    @staticmethod
    def _read(source: socket.socket) -> bytes | None:
        try:
            return source.recv(65536)
        except OSError:
            return None

    def _lines(self) -> None:
        read = os.read(0, 65536)
        self.running = bool(read)
        *lines, self._line = (self._line + read).split(b"\n")
        for line in lines:
            if line.strip():
                self.order(json.loads(line))

    def run(self) -> None:
        """Until the input ends."""
        self.selector.register(0, selectors.EVENT_READ, self._lines)
        while self.running:
            while self.timers and (self.timers[0].act is None or self.timers[0].due <= self.now()):
                act = heapq.heappop(self.timers).act
                if act is not None:
                    act()
            wait = max(0, self.timers[0].due - self.now()) / 1e12 if self.timers else None
            for key, _ in self.selector.select(wait):
                key.data()
