"""What passes between the machines of leases and the layer above them.

What may live here: data.  A shot's row is an integer: bit i is the i-th classical bit that ends at the QPU, the bit
above them all says that the shot was spoilt.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Protocol

from protocols.job.states import JobState
from protocols.wire import JobWhy

# ------------------------------------------------------------ at a QPU


class Offered(NamedTuple):
    """Event: a program is here.  Answered by `accept`, or by `ended` with MALFORMED."""

    lease: int
    job: int
    program: bytes


class Start(NamedTuple):
    """Event: do the shots, tell their outcomes by `outcome`, and end by `ended`."""

    lease: int
    shots: int


class Halt(NamedTuple):
    """Event: let go of everything, and say so by `ended`."""

    lease: int


class Ending(NamedTuple):
    """How a part of a job has ended at a QPU."""

    why: JobWhy
    node: int = 0
    """Of PEER_LOST, NO_PAIRS and GIVEN_UP: which."""
    pairs: int = 0
    elapsed_ps: int = 0


class Watch(NamedTuple):
    """Event, here and at the controller: the loss of this node must be heard of from now on."""

    node: int


class Unwatch(NamedTuple):
    """Event: takes back one Watch."""

    node: int


# ------------------------------------------------------------ at the controller


class Order(NamedTuple):
    """A job as it is submitted.  `circuit` is the planner's business; a job that is over has none."""

    name: str
    qubits: int
    clbits: int
    shots: int
    circuit: Any
    minimum_fidelity: float = 0.0
    ahead: int = 0
    """Pairs that wait for their gates, on each way over which it does any, as far as its QPUs have room."""
    origin: int = 0
    """Whose it is: the layer above knows."""


class Part(NamedTuple):
    """What one QPU does in a job."""

    program: bytes
    clbits: tuple[int, ...]
    """Classical bits that end there."""


type Apart = Collection[tuple[int, int]]
"""Nodes, the lower first, between which no pairs can be had at the moment."""


class Planner(Protocol):
    """Knows the network.  What fits somewhere can be compiled there."""

    def unfit(self, order: Order, rooms: Mapping[int, int], apart: Apart) -> str:
        """Why no QPUs among these, with so many free data qubits, could hold the job; nothing, if some can."""



class Compile(NamedTuple):
    """Event: the parts of a job are wanted, by QPU, among these QPUs.  Answered by `compiled`, at once or later."""

    job: int
    order: Order
    rooms: Mapping[int, int]
    apart: Apart


class JobChanged(NamedTuple):
    """Event: a job has come to another state."""

    job: int
    state: JobState
    reason: str
    nodes: tuple[int, ...] = ()


class JobProgress(NamedTuple):
    """Event: more shots of a job are done."""

    job: int
    shots_done: int
    shots: int


class QpuChanged(NamedTuple):
    """Event: a QPU is there, or is not."""

    node: int
    up: bool
