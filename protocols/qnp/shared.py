"""What all circuits of a node share: its way out, its timers, its programs, and what it knows of itself.

What may live here: that.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import count, cycle
from typing import Final, NamedTuple

from protocols.device import Program
from protocols.machine import Output, Send
from protocols.qnp.purify import Imperfect
from protocols.qnp.service import CircuitId, LinkSequence, RunProgram
from protocols.qnp.sketch import FOREVER, PERFECT, Diagonal, Known, Memory
from protocols.timers import Timers
from protocols.wire.codec import Message

MOST_REMEMBERED: Final = 4_096
"""Pairs of one circuit that are done with but may still be named; the link layer remembers fewer."""

_OLDEST_PS: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node knows of its own devices.  Times in ps, 0 = for ever."""

    swaps: bool = False
    """Its memories are bound to its links, so that a chain can wait at both for a swap."""
    memories: int = 0
    """Halves that it can keep for each of its links (a repeater), or in all (an end); 0: not known."""
    memory: Memory = FOREVER
    """What halves wait in here."""
    swap: Diagonal = PERFECT
    """Errors that a swap here adds: gates, decay during them, and readout."""
    gate_w: float = 1.0
    """What a gate between two qubits leaves of every correlator."""
    readout: tuple[float, float] = (0.0, 0.0)
    """Chances of reading 1 from |0> and 0 from |1>."""
    parity_ps: int = 0
    """From the beginning of a CNOT until this node hears what was then read of its target."""
    parity_w: float = 1.0
    """What decay during that CNOT leaves of the target's <Z>."""
    seed: int = 0
    """From which this node's choices of bases and of test rounds follow."""
    delays: Mapping[int, int] = field(default_factory=dict)
    """Classical way along each link, in ps."""
    links: Mapping[int, Known] = field(default_factory=dict)
    """What is known of each link's pairs when they are handed over."""

    @property
    def purifying(self) -> Imperfect:
        """What two nodes like this one do to the pairs that they purify."""
        return Imperfect(self.gate_w, (1 - sum(self.readout)) * self.parity_w)

    @property
    def swap_w(self) -> float:
        """What a swap here leaves of the w = (4F - 1)/3 of Werner pairs."""
        return (4 * self.swap[0] - 1) / 3


def older(age_ps: int, by_ps: int) -> int:
    """What is said of an age is bounded, whatever a peer has said."""
    return min(age_ps + by_ps, _OLDEST_PS)


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
    BANK = auto()  # a banked pair grows old


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
        self.banked = 0  # pairs in banks here, of all circuits
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
