"""What all circuits of a node share: its way out, its timers, its programs, and what it knows of itself.

What may live here: that, and the estimate of a pair's fidelity through waiting and swapping.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import count, cycle
from math import exp
from typing import Final, NamedTuple

from protocols.device import Program
from protocols.machine import Output, Send
from protocols.qnp.purify import Diagonal
from protocols.qnp.service import CircuitId, LinkSequence, RunProgram
from protocols.timers import Timers
from protocols.wire.codec import Message

FULL: Final = (1 << 32) - 1
"""A fidelity of 1."""

MOST_REMEMBERED: Final = 4_096
"""Pairs of one circuit that are done with but may still be named; the link layer remembers fewer."""


def w(goodness: int) -> float:
    """What multiplies along a chain of Werner pairs: (4F - 1)/3."""
    return (4 * goodness / FULL - 1) / 3


def from_w(value: float) -> int:
    """The goodness of a Werner pair."""
    return round(max(0.0, min(1.0, (3 * value + 1) / 4)) * FULL)


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node knows of its own devices.  Times in ps, 0 = for ever."""

    swaps: bool = False
    """Its memories are bound to its links, so that a chain can wait at both for a swap."""
    memories: int = 0
    """Communication qubits that each of its links has to itself (a repeater) or may have (an end)."""
    t1_ps: int = 0
    t2_ps: int = 0
    swap_w: float = 1.0
    """What a swap here leaves of w: gates and readout."""

    diagonals: Mapping[int, Diagonal] = field(default_factory=dict)
    """What is known of each link's pairs: probabilities of the errors I, Z, X, Y against the heralded Bell state."""

    def decay(self, elapsed_ps: int) -> float:
        """What waiting leaves of w, if both halves wait in memories like these.

        Of the three correlators of a Werner pair two shrink with T2 and one with T1, at each half.
        """
        if elapsed_ps <= 0:
            return 1.0
        t1 = exp(-2 * elapsed_ps / self.t1_ps) if self.t1_ps else 1.0
        t2 = exp(-2 * elapsed_ps / self.t2_ps) if self.t2_ps else 1.0
        return (t1 + 2 * t2) / 3


class TimerKind(Enum):
    """What a node waits for."""

    EARLY = auto()  # the circuit of what came before it
    HOLD = auto()  # the end of a mark
    CUTOFF = auto()
    REFRESH = auto()
    LIFETIME = auto()
    DEADLINE = auto()
    WAY = auto()  # the end of patience
    AGAIN = auto()


class TimerKey(NamedTuple):
    """`circuit` is the circuit by its first hop here; DEADLINE, WAY and AGAIN have the number of a request instead."""

    kind: TimerKind
    circuit: CircuitId
    pair: LinkSequence | None = None
    number: int = 0


type Then = Callable[[tuple[int, ...], int], None]
"""What a program's results are good for: (bits, now)."""


class Shared:
    """One per node."""

    def __init__(self, node: int, facts: NodeFacts, hold_ps: int) -> None:
        self.node = node
        self.facts = facts
        self.hold_ps = hold_ps
        self.outputs: list[Output] = []
        self.timers: Timers[TimerKey] = Timers()
        self.pair_ids: Iterator[int] = cycle(range(1, 1 << 32))  # (head, pair_id) alone names a pair
        self.closed: list[CircuitId] = []  # circuits that a program's result has closed, by their first hop here
        self._programs: dict[int, Then] = {}
        self._numbers = count(1)

    def send(self, neighbour: int, message: Message) -> None:
        self.outputs.append(Send(neighbour, message, reliable=True))

    def hold(self, circuit: CircuitId, pair: LinkSequence, now: int) -> None:
        """A mark stays for a while, and then is HELD_LONG."""
        self.timers.set(TimerKey(TimerKind.HOLD, circuit, pair), now + self.hold_ps)

    def run(self, program: Program, released: tuple[int, ...], then: Then) -> None:
        """Have the devices execute it."""
        number = next(self._numbers)
        self._programs[number] = then
        self.outputs.append(RunProgram(number, program, released))

    def ran(self, number: int, bits: tuple[int, ...], now: int) -> None:
        """It has been executed."""
        self._programs.pop(number)(bits, now)
