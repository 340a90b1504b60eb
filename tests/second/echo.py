"""ECHO: answers pings, and asks for answers."""

from collections import deque

from wire import Ping, Pong
from world import Timer, World

TRIES = 3


class Run:
    """So many pings to one node, some of them at a time."""

    def __init__(self, echo: "Echo", node: int, count: int, in_flight: int, padding: int, timeout: int) -> None:
        self.echo, self.node, self.in_flight, self.timeout = echo, node, max(1, in_flight), timeout
        self.padding = bytes(padding)
        self.todo = deque(range(count))
        self.flying: dict[int, Timer] = {}
        self.answered = self.lost = 0

    def more(self) -> None:
        """Send what may be sent; tell the end."""
        while self.todo and len(self.flying) < self.in_flight:
            self.todo.popleft()
            self.echo.tokens += 1
            self.ask(self.echo.tokens % 2**32, 1)
        if not self.flying and not self.todo:
            self.echo.runs.remove(self)
            self.echo.world.event(event="pinged", answered=self.answered, lost=self.lost)

    def ask(self, token: int, tries: int) -> None:
        """Send a ping, once more or for the first time."""
        self.flying[token] = self.echo.world.after(self.timeout, lambda: self.missed(token, tries))
        self.echo.world.send(self.node, Ping(token, 0, self.padding))

    def missed(self, token: int, tries: int) -> None:
        """No answer in time."""
        if tries < TRIES:
            self.ask(token, tries + 1)
            return
        del self.flying[token]
        self.lost += 1
        self.more()


class Echo:
    """Both sides of ECHO."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tokens = 0
        self.runs: list[Run] = []

    def ping(self, node: int, count: int, in_flight: int, padding: int, timeout: int) -> None:
        """Begin a run."""
        self.runs.append(Run(self, node, count, in_flight, padding, timeout))
        self.runs[-1].more()

    def receive(self, source: int, message: Ping | Pong) -> None:
        """A frame of ECHO has come."""
        if isinstance(message, Ping):
            self.world.send(source, Pong(message.token, (message.hops + 1) % 2**16, message.padding))
            return
        for run in self.runs:
            if run.node == source and (timer := run.flying.pop(message.token, None)) is not None:
                timer.cancel()
                run.answered += 1
                run.more()
                return
