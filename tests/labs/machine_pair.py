"""A net for tests of sans-IO machines: carries their messages by hand, loses, doubles and disorders them,
jumps the clock.  `Net` holds any number of machines; `OverReliable` is one node's machines over its reliable
sublayer.

Everything random comes from the seed.  Every message goes through its bytes.
"""

import heapq
import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from protocols.machine import Machine, Send
from protocols.reliable import Broken, Delivered, Reliable
from protocols.wire.codec import MESSAGES, ProtocolId

type Handler = Callable[[int, Any, int], None]


class Faults(NamedTuple):
    """Of every frame: probabilities, and by how much it may be late at most."""

    loss: float = 0.0
    duplicate: float = 0.0
    jitter_ps: int = 0  # as long as the delay: reordering


NO_FAULTS = Faults()


class Net:
    """Machines by node number; `on_event(node, event, now)` plays the layers above and below.

    Like a node's interface it drops frames of a life that is over, once it has had one of the next, and tells a
    machine that has a method `restarted(peer, now)` of the first of these.

    `trouble`, if set, decides instead of chance: called with (source, destination, message), True loses the
    frame.
    """

    def __init__(
        self,
        machines: Mapping[int, Machine],
        delay_ps: int | Callable[[int, int], int] = 10_000,
        faults: Faults = NO_FAULTS,
        seed: int = 1,
        on_event: Handler | None = None,
    ) -> None:
        self.machines = dict(machines)
        self.faults = faults
        self.now = 0
        self.events: dict[int, list[Any]] = {node: [] for node in machines}
        self.sent: list[tuple[int, int, int, Any]] = []  # (time, source, destination, message)
        self.cut: set[int] = set()  # nodes that neither send nor receive
        self.trouble: Callable[[int, int, Any], bool] | None = None
        self._lives = dict.fromkeys(machines, 0)
        self._heard: dict[tuple[int, int], int] = {}  # (by whom, of whom): in which life
        self._delay_ps = delay_ps
        self._on_event = on_event
        self._random = random.Random(seed)
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, time_ps: int, action: Callable[[], None]) -> None:
        """Run `action` at `time_ps`; those of one instant run in the order of the calls."""
        assert time_ps >= self.now
        self._count += 1
        heapq.heappush(self._agenda, (time_ps, self._count, action))

    def run(self, until: int | None = None) -> None:
        """Go on until nothing is left to happen, or to `until`, what happens then included."""
        self.settle()
        while (due := self._next()) is not None and (until is None or due <= until):
            assert due >= self.now, "a machine wants to be polled in the past"
            self.now = due
            while self._agenda and self._agenda[0][0] <= self.now:
                heapq.heappop(self._agenda)[2]()
                self.settle()
            self.settle()
        if until is not None:
            self.now = max(self.now, until)

    def replace(self, node: int, machine: Machine) -> None:
        """The node dies, with all that is on its way to it, and lives again."""
        self.machines[node] = machine
        self._lives[node] += 1
        self._heard = {pair: life for pair, life in self._heard.items() if pair[0] != node}

    def of(self, node: int, kind: type) -> list[Any]:
        """The events of one kind that a node has had."""
        return [event for event in self.events[node] if type(event) is kind]

    def messages(self, *kinds: type) -> list[Any]:
        """The messages of these kinds that were sent, by anybody."""
        return [message for *_, message in self.sent if not kinds or type(message) in kinds]

    def settle(self) -> None:
        """Drain every machine, until none has anything to say at this instant."""
        busy = True
        while busy:
            busy = False
            for node in list(self.machines):
                if node in self.cut:
                    continue
                for output in self.machines[node].poll(self.now):
                    busy = True
                    if type(output) is Send:
                        self._carry(node, output)
                    else:
                        self.events[node].append(output)
                        if self._on_event is not None:
                            self._on_event(node, output, self.now)

    def _next(self) -> int | None:
        times = [m.next_timeout() for node, m in self.machines.items() if node not in self.cut]
        due = [time for time in times if time is not None]
        if self._agenda:
            due.append(self._agenda[0][0])
        return max(self.now, min(due)) if due else None

    def _carry(self, source: int, send: Send) -> None:
        destination, message, _ = send
        self.sent.append((self.now, source, destination, message))
        message = type(message).unpack(message.pack())
        assert message == send.message
        if self.trouble is not None:
            if not self.trouble(source, destination, message):
                self._deliver(source, destination, message)
            return
        chance = self._random.random
        if chance() >= self.faults.loss:
            self._deliver(source, destination, message)
            if chance() < self.faults.duplicate:
                self._deliver(source, destination, message)

    def _deliver(self, source: int, destination: int, message: Any) -> None:
        way = self._delay_ps
        delay = way(source, destination) if callable(way) else way
        if self.faults.jitter_ps:
            delay += self._random.randrange(self.faults.jitter_ps)
        life, sent_in = self._lives[destination], self._lives[source]

        def arrive() -> None:
            if destination in self.cut or self._lives[destination] != life:
                return
            machine, known = self.machines[destination], self._heard.get((destination, source), sent_in)
            if sent_in < known:
                return
            self._heard[destination, source] = sent_in
            if known < sent_in and hasattr(machine, "restarted"):
                machine.restarted(source, self.now)
            machine.receive(message, source, self.now)

        self.at(self.now + delay, arrive)


class OverReliable:
    """The machines of one node as one machine, what they send reliably through the node's sublayer.

    Each hears of a break, if it has a method `broken(peer, now)`, before anything that comes after it.
    """

    def __init__(self, reliable: Reliable, machines: Mapping[int, Machine]) -> None:
        self.reliable = reliable
        self.machines = dict(machines)  # by protocol number

    def receive(self, message: Any, source: int, now: int) -> None:
        if message.PROTOCOL == ProtocolId.REL:
            self.reliable.receive(message, source, now)
        else:
            self.machines[message.PROTOCOL].receive(message, source, now)

    def restarted(self, peer: int, now: int) -> None:
        self.reliable.restarted(peer, now)

    def poll(self, now: int) -> list[Any]:
        outputs: list[Any] = []
        busy = True
        while busy:
            busy = False
            for event in self.reliable.poll(now):
                busy = True
                if isinstance(event, Delivered):
                    message = MESSAGES[event.protocol, event.message].unpack(event.body)
                    self.machines[event.protocol].receive(message, event.source, now)
                else:
                    outputs.append(event)
                    if isinstance(event, Broken):
                        for machine in self.machines.values():
                            if hasattr(machine, "broken"):
                                machine.broken(event.peer, now)
            for machine in self.machines.values():
                for output in machine.poll(now):
                    busy = True
                    if type(output) is Send and output.reliable:
                        peer, inner, _ = output
                        self.reliable.send(peer, inner.PROTOCOL, inner.MESSAGE, inner.pack(), now)
                    else:
                        outputs.append(output)
        return outputs

    def next_timeout(self) -> int | None:
        times = [m.next_timeout() for m in (self.reliable, *self.machines.values())]
        return min((time for time in times if time is not None), default=None)
