"""The requests at one end of a circuit: the head announces them, the tail serves them, both see them end.

What may live here: requests and their table at work; what becomes of pairs is in end.py and complete.py.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from protocols.qnp.circuit import INPUTS, Circuit
from protocols.qnp.promise import Wishes
from protocols.qnp.service import KEPT, CircuitId, Delivery, RequestEnded, RequestOpened
from protocols.qnp.shared import Shared, TimerKey, TimerKind
from protocols.qnp.sketch import FOREVER, FULL, Memory
from protocols.qnp.states import REQUEST_TABLE, CircuitInput, Do, Phase
from protocols.qnp.testing import Tests
from protocols.wire.codec import (
    EgpError,
    PairKind,
    QnpComplete,
    QnpForward,
    QnpForwardAck,
    QnpInstall,
)


@dataclass(slots=True)
class Request:
    """What pairs are for, at either end; `wanted` is the head's alone."""

    number: int
    purpose: int
    pairs: int  # 0: open-ended
    minimum_fidelity: int
    delivery: Delivery = KEPT
    phase: Phase = Phase.OPENING
    wanted: int = 0
    delivered: int = 0
    underway: int = 0  # pairs of the head's that are tracked for it
    error: EgpError | None = None
    tests: Tests = field(default_factory=Tests)

    def lacks(self, each: int) -> int:
        """Chains for which no half is here yet, if one pair is made of `each`."""
        return (self.wanted - self.delivered) * each - self.underway if self.phase is Phase.OPEN else 0

    @property
    def alone(self) -> bool:
        """Must no other request share its circuit?  A half that is handed up or measured before the head's Track says
        for whom it is can be for one only."""
        return self.delivery.kind is not PairKind.KEEP


class FarEnd(NamedTuple):
    """What the other end has told of its devices."""

    memory: Memory = FOREVER
    readout: tuple[float, float] = (0.0, 0.0)
    memories: int = 0


class Serving(Circuit):
    """An end of a circuit, as far as its requests go."""

    def __init__(self, install: QnpInstall, up: CircuitId | None, down: CircuitId | None, shared: Shared) -> None:
        super().__init__(install, up, down, shared)
        self.is_head = up is None
        self.promised = 0  # fidelity that every request on it can have
        self.requests: dict[int, Request] = {}
        self.wishes = Wishes()  # with which the head has set it up
        self.far = FarEnd()

    @property
    def peer(self) -> int:
        """The node at the other end."""
        return self.tail if self.is_head else self.install.head

    @property
    def alone(self) -> Request | None:
        """The one request of a circuit that no other may share."""
        return next((request for request in self.requests.values() if request.alone), None)

    def add(self, request: Request) -> None:
        """A request joins the circuit; at the head it is announced, at the tail it is served."""
        self.requests[request.number] = request
        if self.is_head:
            self.announce(request)
        else:
            self.move_request(request, CircuitInput.ACCEPTED)

    def announce(self, request: Request) -> None:
        """Tell the tail."""
        forward = QnpForward(
            self.id.label,
            request.number,
            request.delivery.kind,
            request.pairs,
            request.minimum_fidelity,
            request.purpose,
            request.delivery.peer_bases,
            request.delivery.chance,
            *self.own_devices(),
        )
        self._send(self.id, forward)  # QNP-1

    def own_devices(self) -> tuple[int, int, int, int, int]:
        """What is told to the other end."""
        facts = self._shared.facts
        zero, one = (round(error * FULL) for error in facts.readout)
        return (*facts.memory, zero, one, min(facts.memories, 0xFFFF))

    def heard(self, message: QnpForward | QnpForwardAck) -> None:
        """What the other end tells of its own."""
        readout = (message.readout_0 / FULL, message.readout_1 / FULL)
        self.far = FarEnd(Memory(message.t1_ps, message.t2_ps), readout, message.memories)

    def want(self, request: Request, number: int, now: int) -> None:
        """The user of an open-ended request needs more pairs."""
        request.wanted += number
        self._wanted(now)

    def move_request(self, request: Request, stimulus: CircuitInput, now: int = 0) -> None:
        """One step of a request's table."""
        request.phase, actions = REQUEST_TABLE[request.phase, stimulus]
        for action in actions:
            match action:
                case Do.ANNOUNCE:
                    opened = RequestOpened(self.id, request.number, self.install.head, self.peer, request.purpose)
                    self._shared.outputs.append(opened)
                case Do.ASK:
                    self._wanted(now)
                case Do.DROP:
                    if len(self.requests) > 1:  # else they go with the circuit
                        self._drop_request(request, now)
                case Do.COMPLETE:
                    if len(self.requests) > 1:
                        self._send(self.id, QnpComplete(self.id.label, request.number))
                case Do.END:
                    self._end(request, stimulus)
                case _:
                    raise AssertionError(f"{action} is not an action of a request")
        if request.phase is Phase.CLOSED:
            self._shared.timers.cancel(TimerKey(TimerKind.DEADLINE, CircuitId(0, 0), None, request.number))
            del self.requests[request.number]
            if self.requests:
                self._wanted(now)  # it needs less

    def _end(self, request: Request, cause: CircuitInput) -> None:
        ended = RequestEnded(
            self.id,
            request.number,
            self.install.head,
            self.peer,
            request.purpose,
            request.delivered,
            cause,
            request.error,
            self.where,
        )
        self._shared.outputs.append(ended)

    def _end_requests(self, now: int) -> None:
        """The circuit has ended, and with it every request that has not been taken to another way."""
        cause = INPUTS[self.fate]
        for request in list(self.requests.values()):
            fits = (request.phase, cause) in REQUEST_TABLE
            self.move_request(request, cause if fits else CircuitInput.PEER_LOST, now)

    # What becomes of pairs.

    def _wanted(self, now: int) -> None:
        """What the requests want has changed."""
        raise NotImplementedError

    def _drop_request(self, request: Request, now: int) -> None:
        """What is underway for a request is not needed."""
        raise NotImplementedError
