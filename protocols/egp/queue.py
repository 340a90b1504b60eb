"""The requests of one link at one of its nodes: which are open, in which common order, and how they end.

The rules are in egp.py.  What may live here: CREATE and Add with their answers, deadlines, and every Err.
"""

from typing import Final

from protocols.egp.service import Err, LinkFacts
from protocols.egp.states import Request, RequestId, Shared, TimerKey, TimerKind
from protocols.machine import Send
from protocols.wire.codec import EgpAdd, EgpAddAck, EgpAddReject, EgpError, EgpKind, Message

OPEN: Final = 256
"""Requests of one link that may be open at a time."""


class RequestQueue:
    """Both nodes' requests; `ordered` holds those that have a place in the common order, in that order."""

    def __init__(self, facts: LinkFacts, shared: Shared) -> None:
        self.master = shared.node < facts.peer
        self.ordered: dict[RequestId, Request] = {}
        self.open: dict[RequestId, Request] = {}
        self._facts = facts
        self._shared = shared
        self._quiet = TimerKey(TimerKind.QUIET, facts.number)

    def create(self, request: Request, now: int) -> None:
        """A request of this node: to the peer with it, or an Err."""
        facts = self._facts
        error = None
        if not 1 <= request.remaining <= 0xFFFF:
            error = EgpError.CREATE
        elif request.minimum_fidelity > facts.goodness():
            error = EgpError.UNSUPP  # EGP-4
        elif len(self.open) >= OPEN:
            error = EgpError.NORES
        elif not facts.attempts(facts.first_slot(now + facts.round_trip_ps), request.deadline):
            error = EgpError.NOTIME
        if error is not None:
            self.tell_err(request.id, request.purpose_id, error)
            return
        self._put(request, now)
        if self.master:
            self.ordered[request.id] = request  # EGP-1
        self._send(
            EgpAdd(
                facts.number,
                request.id.create_id,
                request.purpose_id,
                request.remaining,
                request.minimum_fidelity,
                request.priority,
                EgpKind.KEEP,
                0 if request.deadline is None else request.deadline - now,
            )
        )

    def on_add(self, add: EgpAdd, now: int) -> None:
        """A request of the peer."""
        facts = self._facts
        request_id = RequestId(facts.peer, add.create_id)
        error = None
        if request_id in self.open or add.number == 0:
            error = EgpError.CREATE
        elif (facts.peer, add.purpose_id) not in self._shared.rules:
            error = EgpError.REJECTED  # EGP-3
        elif add.kind != EgpKind.KEEP or add.minimum_fidelity > facts.goodness():
            error = EgpError.UNSUPP  # EGP-4
        elif len(self.open) >= OPEN:
            error = EgpError.NORES
        if error is not None:
            self._send(EgpAddReject(facts.number, add.create_id, error))
            return
        # Its time has been running since the Add was sent, and the way took at least the delay.
        left_ps = max(0, add.max_time_ps - facts.delay_to_peer_ps)
        deadline = now + left_ps if add.max_time_ps else None
        request = Request(
            request_id, add.purpose_id, add.number, add.minimum_fidelity, add.priority, deadline, agreed=True
        )
        self._put(request, now)
        self.ordered[request_id] = request  # EGP-1
        self._send(EgpAddAck(facts.number, add.create_id))

    def on_add_ack(self, ack: EgpAddAck) -> None:
        request = self.open.get(RequestId(self._shared.node, ack.create_id))
        if request is not None:  # else it has ended meanwhile
            request.agreed = True
            self.ordered.setdefault(request.id, request)  # EGP-1

    def on_add_reject(self, reject: EgpAddReject) -> None:
        request = self.open.get(RequestId(self._shared.node, reject.create_id))
        if request is not None and not request.agreed:
            self.end(request, EgpError(reject.error))

    def end(
        self, request: Request, code: EgpError | None, low: int | None = None, high: int | None = None
    ) -> bool:
        """Forget a request; `code` None: it has all its pairs.  False if it has ended before."""
        if self.open.get(request.id) is not request:
            return False
        del self.open[request.id]
        self.ordered.pop(request.id, None)
        timers = self._shared.timers
        timers.cancel(TimerKey(TimerKind.DEADLINE, self._facts.number, request.id))
        if not self.open:
            timers.cancel(self._quiet)
        if code is not None:
            self.tell_err(request.id, request.purpose_id, code, low, high)
        return True

    def tell_err(
        self,
        request: RequestId,
        purpose_id: int,
        code: EgpError,
        low: int | None = None,
        high: int | None = None,
    ) -> None:
        origin, create_id = request
        facts = self._facts
        err = Err(facts.number, create_id, origin, purpose_id, facts.peer, code, low, high)
        self._shared.outputs.append(err)

    def heard(self, now: int) -> None:
        """Of the peer: it need not be tried for a while."""
        if self.open:
            self._shared.timers.set(self._quiet, now + self._facts.keepalive_ps)

    def _put(self, request: Request, now: int) -> None:
        self.open[request.id] = request
        if request.deadline is not None:
            key = TimerKey(TimerKind.DEADLINE, self._facts.number, request.id)
            self._shared.timers.set(key, request.deadline)
        self.heard(now)

    def _send(self, message: Message) -> None:
        self._shared.outputs.append(Send(self._facts.peer, message, reliable=True))
