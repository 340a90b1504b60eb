"""A net for tests of the upper protocols' machines: what is sent reliably arrives, in order, after a delay.

What is not sent reliably is lost with a given probability.  Every message goes through its bytes.
"""

import heapq
import random
from collections.abc import Callable, Mapping
from typing import Any

from protocols.machine import Machine, Send

type Handler = Callable[[int, Any, int], None]


class OrderedNet:
    """Machines by node number; `on_event(node, event, now)` plays the layers above and below."""

    def __init__(
        self,
        machines: Mapping[int, Machine],
        on_event: Handler | None = None,
        delay_ps: int = 10_000,
        loss: float = 0.0,
        seed: int = 1,
    ) -> None:
        self.machines = dict(machines)
        self.now = 0
        self.events: dict[int, list[Any]] = {node: [] for node in machines}
        self.sent: list[tuple[int, int, Any]] = []  # (source, destination, message)
        self.cut: set[int] = set()  # nodes that neither send nor receive
        self._on_event = on_event
        self._delay_ps = delay_ps
        self._loss = loss
        self._random = random.Random(seed)
        self._under_way: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, time_ps: int, action: Callable[[], None]) -> None:
        """Run `action` at `time_ps`; those of one instant run in the order of the calls."""
        assert time_ps >= self.now
        self._count += 1
        heapq.heappush(self._under_way, (time_ps, self._count, action))

    def run(self, until: int | None = None) -> None:
        """Go on until nothing is left to happen, or to `until`."""
        self._drain()
        while (due := self._next()) is not None and (until is None or due <= until):
            assert due >= self.now
            self.now = due
            while self._under_way and self._under_way[0][0] <= self.now:
                heapq.heappop(self._under_way)[2]()
                self._drain()
            self._drain()
        if until is not None:
            self.now = max(self.now, until)

    def of(self, node: int, kind: type) -> list[Any]:
        """The events of one kind that a node has had."""
        return [event for event in self.events[node] if type(event) is kind]

    def messages(self, *kinds: type) -> list[Any]:
        """The messages of these kinds that were sent, by anybody."""
        return [message for _, _, message in self.sent if not kinds or type(message) in kinds]

    def _next(self) -> int | None:
        times = [m.next_timeout() for node, m in self.machines.items() if node not in self.cut]
        due = [time for time in times if time is not None] + [entry[0] for entry in self._under_way[:1]]
        return min(due, default=None)

    def _drain(self) -> None:
        busy = True
        while busy:
            busy = False
            for node, machine in self.machines.items():
                for output in machine.poll(self.now) if node not in self.cut else ():
                    busy = True
                    if isinstance(output, Send):
                        self._carry(node, output)
                    else:
                        self.events[node].append(output)
                        if self._on_event is not None:
                            self._on_event(node, output, self.now)

    def _carry(self, source: int, send: Send) -> None:
        self.sent.append((source, send.destination, send.message))
        if not send.reliable and self._random.random() < self._loss:
            return
        message = type(send.message).unpack(send.message.pack())
        assert message == send.message

        def arrive() -> None:
            if send.destination not in self.cut:
                self.machines[send.destination].receive(message, source, self.now)

        self.at(self.now + self._delay_ps, arrive)
