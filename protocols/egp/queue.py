"""The requests of one link at one of its nodes: which are open, in which common order, and how they end.

The rules are in node.py.  What may live here: CREATE and Add with their answers, deadlines, and every Err.
"""

from typing import Any, Final

from protocols.egp.estimation import Estimator
from protocols.egp.facts import LinkFacts, Setting, hopeless
from protocols.egp.schedulers import Scheduler
from protocols.egp.service import Err, How, Ok
from protocols.egp.states import Request, RequestId, Shared, TimerKey, TimerKind
from protocols.measuring import PLAIN, makes_sense
from protocols.pairs import ReleaseQubit
from protocols.wire.codec import (
    EgpAdd,
    EgpAddAck,
    EgpAddReject,
    EgpError,
    EgpKind,
    Message,
)

OPEN: Final = 256
"""Requests of one link that may be open at a time."""

_ATOMIC: Final = 1
_CONSECUTIVE: Final = 2
_SEQUENCES: Final = 1 << 16
_LATEST: Final = (1 << 64) - 1


class RequestQueue:
    """Both nodes' requests; `ordered` holds those that have a place in the common order, in that order."""

    def __init__(self, facts: LinkFacts, shared: Shared, estimator: Estimator, scheduler: Scheduler) -> None:
        self.master = shared.node < facts.peer
        self.ordered: dict[RequestId, Request] = {}
        self.open: dict[RequestId, Request] = {}
        self.withdrawn: list[RequestId] = []  # requests of this node whose end the peer does not know yet
        self.deaf_until = 0  # the link's station seems dead: nothing is taken on before
        self._facts = facts
        self._shared = shared
        self._estimator = estimator
        self._scheduler = scheduler
        self._next_sequence = 0
        self._quiet = TimerKey(TimerKind.QUIET, facts.number)

    def in_line(self) -> list[Request]:
        """The requests in the order in which they are to be served now."""
        for request in self.ordered.values():
            if request.together and request.begun:
                return [request]  # EGP-22
        return self._scheduler.order(self.ordered.values())

    def preempts(self, request: Request, running: Request) -> bool:
        """Is it so urgent that a train for `running` is to be cut short?"""
        together = running.together and running.begun
        return not together and self._scheduler.preempts(request, running)

    def overtaken(self, running: Request) -> bool:
        """Is another to be served after this pair?"""
        line = [request for request in self.in_line() if request.agreed]
        return running.over is not None or bool(line and line[0] is not running)

    def named(self, origin: int, create_id: int) -> Request | None:
        """What the peer names so: `origin` is 1 if it has asked itself."""
        return self.open.get(RequestId(self._facts.peer if origin else self._shared.node, create_id))

    def served(self, request: Request) -> None:
        """It has got a pair."""
        request.remaining -= 1
        request.begun = True
        self._scheduler.served(request)

    def create(
        self,
        request_id: RequestId,
        purpose_id: int,
        number: int,
        minimum_fidelity: int,
        priority: int,
        max_time_ps: int,
        how: How,
        now: int,
    ) -> None:
        """A request of this node: to the peer with it, or an Err."""
        facts = self._facts
        deadline = now + max_time_ps if max_time_ps else None
        setting = self._setting(how.kind, minimum_fidelity)
        request = self._request(
            request_id, purpose_id, number, minimum_fidelity, priority, deadline, how, setting or facts.own
        )
        error = None
        if not _possible(number, priority, max_time_ps, purpose_id, how):
            error = EgpError.CREATE
        elif setting is None:
            error = EgpError.UNSUPP  # EGP-4
        elif now < self.deaf_until or len(self.open) >= OPEN or self._too_many(request):
            error = EgpError.NORES
        elif deadline is not None and self._no_time(request, deadline, now):
            error = EgpError.NOTIME  # EGP-21
        if error is not None:
            self.tell_err(request_id, purpose_id, error)
            return
        self._put(request, now)
        if self.master:
            self._queue(request, now)
        self._send(
            EgpAdd(
                facts.number,
                request_id.create_id,
                purpose_id,
                number,
                minimum_fidelity,
                priority,
                how.kind,
                max_time_ps,
                _ATOMIC * how.atomic + _CONSECUTIVE * how.consecutive,
                request.queue_sequence,
                request.virtual_finish,
                {EgpKind.KEEP: (), EgpKind.REMOTE: (how.local,), EgpKind.MEASURE: (how.local, how.remote)}[how.kind],
            )
        )

    def on_add(self, add: EgpAdd, now: int) -> Request | None:
        """A request of the peer; the request, if it is accepted."""
        facts = self._facts
        request_id = RequestId(facts.peer, add.create_id)
        how = _how(add)
        # Its time has been running since the Add was sent, and the way took at least the delay.
        left_ps = max(0, add.max_time_ps - facts.delay_to_peer_ps)
        deadline = now + left_ps if add.max_time_ps else None
        setting = self._setting(add.kind, add.minimum_fidelity)
        row = (add.purpose_id, add.number, add.minimum_fidelity, add.priority)
        request = self._request(request_id, *row, deadline, how or How(), setting or facts.own)
        error = None
        if request_id in self.open or add.number == 0 or how is None:
            error = EgpError.CREATE
        elif (facts.peer, add.purpose_id) not in self._shared.rules:
            error = EgpError.REJECTED  # EGP-3
        elif setting is None:
            error = EgpError.UNSUPP  # EGP-4
        elif now < self.deaf_until or len(self.open) >= OPEN or self._too_many(request):
            error = EgpError.NORES
        if error is not None:
            self._send(EgpAddReject(facts.number, add.create_id, error))
            return None
        request.agreed = True
        self._put(request, now)
        if self.master:
            self._queue(request, now)
        else:
            self._place(request, add.queue_sequence, add.virtual_finish)
        self._send(EgpAddAck(facts.number, add.create_id, request.queue_sequence, request.virtual_finish))
        return request

    def on_add_ack(self, ack: EgpAddAck) -> Request | None:
        request = self.open.get(RequestId(self._shared.node, ack.create_id))
        if request is not None:  # else it has ended meanwhile
            request.agreed = True
            if not self.master:
                self._place(request, ack.queue_sequence, ack.virtual_finish)
        return request

    def on_add_reject(self, reject: EgpAddReject) -> None:
        request = self.open.get(RequestId(self._shared.node, reject.create_id))
        if request is not None and not request.agreed:
            self.end(request, EgpError(reject.error))

    def end(self, request: Request, code: EgpError | None, low: int | None = None, high: int | None = None) -> None:
        """Forget a request; `code` None: it has all its pairs.  One that has ended before is no error."""
        if self.open.get(request.id) is not request:
            return
        del self.open[request.id]
        self.ordered.pop(request.id, None)
        timers = self._shared.timers
        timers.cancel(TimerKey(TimerKind.DEADLINE, self._facts.number, request.id))
        if not self.open:
            timers.cancel(self._quiet)
        if code is not None:
            self.tell_err(request.id, request.purpose_id, code, low, high)
        for ok in request.withheld:  # EGP-22: all or none
            if isinstance(ok, Ok):
                self._shared.outputs.append(ReleaseQubit(ok.qubit))
        request.withheld.clear()
        if request.withdrawn and code not in (None, EgpError.EXPIRE):
            self.withdrawn.append(request.id)

    def forget(self) -> None:
        """The peer knows none of them any more: all end."""
        self.withdrawn.clear()
        for request in list(self.open.values()):
            self.end(request, EgpError.OTHER)  # EGP-16

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

    def _setting(self, kind: EgpKind, minimum_fidelity: int) -> Setting | None:
        return self._estimator.choose(kind == EgpKind.MEASURE, minimum_fidelity)

    def _request(
        self,
        request_id: RequestId,
        purpose_id: int,
        number: int,
        minimum_fidelity: int,
        priority: int,
        deadline: int | None,
        how: How,
        setting: Setting,
    ) -> Request:
        return Request(
            request_id,
            purpose_id,
            number,
            minimum_fidelity,
            priority,
            deadline,
            agreed=False,
            how=how,
            setting=setting,
            estimated_cycles=self._facts.cycles(how.kind, setting),
            number=number,
        )

    def _too_many(self, request: Request) -> bool:
        """Pairs that must exist together need a place each."""
        return request.atomic and request.keeps(self._shared.node) and request.remaining > self._facts.capacity

    def _no_time(self, request: Request, deadline: int, now: int) -> bool:
        """Is there all but surely no time for it, after the requests that it waits for?"""
        facts = self._facts
        ahead = sum(
            other.remaining * facts.pair_ps(other.kind, other.setting)
            for other in self._scheduler.before(request, self.ordered.values())
        )
        spacing = facts.spacing(request.kind)
        fitting = facts.fitting(facts.first_slot(now + facts.round_trip_ps), deadline, spacing)
        left = fitting - ahead / (spacing * facts.slot_ps)
        return hopeless(request.remaining, left, request.setting.success_probability)

    def _queue(self, request: Request, now: int) -> None:
        """At the master: its place in the common order (EGP-1)."""
        finish = min(self._scheduler.admit(request, now // self._facts.slot_ps), _LATEST)
        self._place(request, self._next_sequence, finish)
        self._next_sequence = (self._next_sequence + 1) % _SEQUENCES

    def _place(self, request: Request, sequence: int, finish: int) -> None:
        request.queue_sequence, request.virtual_finish = sequence, finish
        self.ordered.setdefault(request.id, request)

    def _put(self, request: Request, now: int) -> None:
        self.open[request.id] = request
        if request.deadline is not None:
            key = TimerKey(TimerKind.DEADLINE, self._facts.number, request.id)
            self._shared.timers.set(key, request.deadline)
        self.heard(now)

    def shown(self) -> list[dict[str, Any]]:
        """For people who look."""
        return [
            {
                "origin": request.id.origin,
                "create_id": request.id.create_id,
                "pairs_left": request.remaining,
                "priority": request.priority,
                "agreed": request.agreed,
                "kind": request.kind.name,
            }
            for request in self.open.values()
        ]

    def _send(self, message: Message) -> None:
        self._shared.send(self._facts.peer, message)


def _possible(number: int, priority: int, max_time_ps: int, purpose_id: int, how: How) -> bool:
    """Does a CREATE make sense, whatever the link?"""
    fields = 0 <= priority <= 0xFF and 0 <= max_time_ps <= _LATEST and 0 <= purpose_id <= 0xFFFF
    return 1 <= number <= 0xFFFF and fields and makes_sense(how.local) and makes_sense(how.remote)


def _how(add: EgpAdd) -> How | None:
    """What an Add says about its pairs; None if it makes no sense."""
    atomic, consecutive = bool(add.flags & _ATOMIC), bool(add.flags & _CONSECUTIVE)
    wanted = {EgpKind.KEEP: 0, EgpKind.REMOTE: 1, EgpKind.MEASURE: 2}[add.kind]
    if add.flags > _ATOMIC | _CONSECUTIVE or len(add.measuring) != wanted or not all(map(makes_sense, add.measuring)):
        return None
    local, remote = (*add.measuring, PLAIN, PLAIN)[:2]
    return How(add.kind, atomic, consecutive, local, remote)
