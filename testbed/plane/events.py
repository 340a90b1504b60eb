"""Events on SeQUeNCe's timeline, taken off its heap directly, and the answers they will or may give.

What may live here: order of execution and the bounds that the clocks ask for; nothing that knows what an
event does. `Timeline.run` costs four times as much per event, and leaves `now` at the last one.
"""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Final, Protocol

from stack.runtime.times import NEVER
from testbed.clock.federate import PlaneAnswer
from testbed.plane.simulator import Event, Process, Timeline

LATE: Final = 1 << 62
"""A priority after that of every command at the same time."""

# Cancelled events are swept out when they are more than this and more than half of all.
_SWEEP: Final = 64


def priority(node: int, sequence: int) -> int:
    """Order among events of one time: by node, then by the node's commands."""
    return node << 32 | sequence


class Events:
    """What the plane has still to do, in strict order of (time, priority)."""

    __slots__ = ("_cancelled", "_heap", "timeline")

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self._heap: list[Event] = timeline.events.data
        self._cancelled = 0

    @property
    def now(self) -> int:
        return int(self.timeline.time)

    def at(self, time: int, priority: int, owner: object, method: str, *arguments: object) -> Event:
        event = Event(time, Process(owner, method, list(arguments)), priority)
        heappush(self._heap, event)  # as Timeline.schedule does, without numbering events for its own log
        return event

    def cancel(self, event: Event) -> None:
        """Far-off ends of trains and listens are cancelled all the time: they must not pile up."""
        event.set_invalid()
        self._cancelled += 1
        if self._cancelled > _SWEEP and 2 * self._cancelled > len(self._heap):
            self._heap[:] = [event for event in self._heap if not event.is_invalid()]
            heapify(self._heap)
            self._cancelled = 0

    def next_ps(self) -> int:
        heap = self._heap
        while heap and heap[0].is_invalid():
            heappop(heap)
            self._cancelled -= 1
        return heap[0].time if heap else NEVER

    def step(self) -> None:
        """Execute the earliest event; IndexError if there is none."""
        event = heappop(self._heap)
        while event.is_invalid():
            self._cancelled -= 1
            event = heappop(self._heap)
        assert event.time >= self.timeline.time, f"event at {event.time} ps, after {self.timeline.time} ps"
        self.timeline.time = event.time
        event.process.run()


class Packable(Protocol):
    """An answer's message."""

    @property
    def MESSAGE(self) -> int: ...

    def pack(self) -> bytes: ...


class Answers:
    """Commands that wait for their answer, each with the earliest time at which that can be due, and answers
    given.
    """

    __slots__ = ("_given", "_waiting")

    def __init__(self, nodes: Iterable[int]) -> None:
        self._waiting: dict[int, dict[int, int]] = {node: {} for node in nodes}
        self._given: list[PlaneAnswer] = []

    def expect(self, node: int, sequence: int, earliest_ps: int) -> None:
        """NEVER: whoever will give the answer keeps its bound elsewhere."""
        self._waiting[node][sequence] = earliest_ps

    def give(self, node: int, sequence: int, due_ps: int, message: Packable) -> None:
        earliest = self._waiting[node].pop(sequence)
        assert earliest in (due_ps, NEVER) or due_ps > earliest, (
            f"node {node}: answer {sequence} is due at {due_ps} ps, but was promised not before {earliest} ps"
        )
        self._given.append(PlaneAnswer(node, due_ps, sequence, message.MESSAGE, message.pack()))

    def waits(self, node: int, sequence: int) -> bool:
        return sequence in self._waiting[node]

    def take(self) -> list[PlaneAnswer]:
        given, self._given = self._given, []
        return given

    def earliest(self, node: int) -> int:
        """No answer to a command that this node has submitted is due before."""
        earliest = min(self._waiting[node].values(), default=NEVER)
        for answer in self._given:
            if answer.node == node and answer.due_ps < earliest:
                earliest = answer.due_ps
        return earliest

    def forget(self, node: int) -> None:
        """The node is dead: nobody waits any more."""
        self._waiting[node].clear()
        self._given = [answer for answer in self._given if answer.node != node]
