"""Requests of this node: a way for each, a circuit, another way when that fails, patience where there is none.

What may live here: setting circuits up and keeping requests alive, at the head.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Final, NamedTuple

from protocols.qnp.book import MANY, Book
from protocols.qnp.circuit import FATES, INPUTS, Circuit
from protocols.qnp.end import End
from protocols.qnp.promise import UNKNOWN, Wishes, install, promise
from protocols.qnp.requests import Request
from protocols.qnp.service import CircuitId, Delivery, RequestEnded
from protocols.qnp.shared import Shared, TimerKey, TimerKind
from protocols.qnp.states import CircuitInput, Phase
from protocols.qnp.trouble import TRIES, Trouble
from protocols.routes import Hop, Route, Routes
from protocols.wire.codec import CircuitFate, EgpBases, PairKind, QnpInstall

WAYS: Final = 4  # that are considered for a circuit
_NO_CIRCUIT: Final = CircuitId(0, 0)


class DirectRoutes:
    """Ways to the neighbours of a node that knows no others."""

    def __init__(self, links: Mapping[int, int]) -> None:
        self._links = links

    def paths(self, destination: int, most: int) -> Sequence[Route]:
        """Up to `most` links to it."""
        return [(Hop(link, peer, UNKNOWN),) for link, peer in self._links.items() if peer == destination][:most]


class _Waiting(NamedTuple):
    """A request that has no way, and what it asks for; `failed`: what it had before has failed so."""

    request: Request
    destination: int
    priority: int
    pairs_per_ks: int
    failed: CircuitInput | None


class Asking:
    """One per node."""

    def __init__(self, book: Book, shared: Shared, routes: Routes | None, wishes: Wishes, patience_ps: int) -> None:
        """patience_ps: how long a request that has no time of its own waits for a way, where ways come and go."""
        self._book, self._shared = book, shared
        self._routes = routes or DirectRoutes(book.links)
        self._wishes = wishes
        self._troubles: dict[int, Trouble] = {}  # by request: all that live
        self._requests: dict[int, End] = {}  # those that have a circuit
        self._patience_ps = patience_ps
        self._waiting: dict[int, _Waiting] = {}  # by request: those without a way
        self._request_numbers = count(1)
        self._circuit_numbers = count(1)
        book.on_swept = self._sweep_requests

    def request(
        self,
        destination: int,
        purpose: int,
        number: int,
        minimum_fidelity: int,
        now: int,
        priority: int,
        pairs_per_ks: int,
        max_time_ps: int,
        delivery: Delivery,
    ) -> int:
        """A new request, under way; its number."""
        request = Request(
            next(self._request_numbers), purpose, number, minimum_fidelity, checked(delivery), wanted=number
        )
        self._troubles[request.number] = Trouble()
        if max_time_ps:
            self._shared.timers.set(_deadline(request.number), now + max_time_ps)
        self._set_out(request, destination, priority, pairs_per_ks, now, None)
        return request.number

    def lives(self, request: int) -> bool:
        """Has this request of the node not ended yet?"""
        return request in self._troubles

    def want(self, request: int, number: int, now: int) -> None:
        """`number` more pairs for an open-ended request of this node; one that has ended gets none."""
        if request in self._waiting:
            self._waiting[request].request.wanted += number
            return
        circuit = self._requests.get(request)
        if circuit is None:
            return
        known = circuit.requests[request]
        if known.pairs:
            raise ValueError(f"request {request} asked for a fixed number of pairs")
        circuit.want(known, number, now)

    def due(self, key: TimerKey, now: int) -> bool:
        """A timer of a request has run out; False if it is none."""
        match key.kind:
            case TimerKind.DEADLINE:
                self.end(key.number, CircuitInput.TIMEOUT, now)
            case TimerKind.WAY:
                waiting = self._waiting.pop(key.number)
                self._unserved(waiting.request, waiting.destination, waiting.failed, CircuitInput.NO_ROUTE)
            case TimerKind.AGAIN:
                self._troubles[key.number].paused()
                self._try_again(key.number, now)
            case _:
                return False
        return True

    def routes_changed(self, now: int, lasts: Callable[[int], bool]) -> None:
        """Ways may have come or gone; `lasts` says of a link whether it is up, and the same since the last call.

        Who waits for a way tries again.  A link that does not last counts as new (QNP-17).
        """
        for trouble in self._troubles.values():
            trouble.news(lasts)
        for number in list(self._waiting):
            self._try_again(number, now)
            trouble = self._troubles[number]
            if number in self._waiting and trouble.avoid and trouble.tries < TRIES:
                trouble.tries += 1
                trouble.avoid = frozenset()
                self._try_again(number, now)

    def _try_again(self, number: int, now: int) -> None:
        """For a request that waits: a way on which it has not failed."""
        request, destination, priority, pairs_per_ks, failed = self._waiting.pop(number)
        self._set_out(request, destination, priority, pairs_per_ks, now, failed)
        if number not in self._waiting:
            self._shared.timers.cancel(_way(number))
            self._shared.timers.cancel(_again(number))

    # Circuits.

    def _open_circuit(self, request: Request, destination: int, priority: int) -> End | None:
        """One of this node's that serves another request as it is."""
        if request.alone:
            return None
        for circuit in self._book.circuits.values():
            if (
                isinstance(circuit, End)
                and circuit.is_head
                and circuit.peer == destination
                and circuit.priority == priority
                and not circuit.install.pairs_per_ks
                and circuit.promised >= request.minimum_fidelity
                and circuit.wishes == self._wishes_of(request)
                and circuit.alone is None
            ):
                return circuit
        return None

    def _wishes_of(self, request: Request) -> Wishes:
        """What the operator wishes, and what the request would have otherwise."""
        wishes = self._wishes
        if request.delivery.cutoff_ps is not None:
            wishes = replace(wishes, cutoff_ps=request.delivery.cutoff_ps)
        if request.alone and wishes.end_rounds != 0:
            wishes = replace(wishes, end_rounds=0)  # a half that is handed up or measured at once cannot be purified
        return wishes

    def _route(
        self,
        requests: list[Request],
        destination: int,
        priority: int,
        pairs_per_ks: int,
        now: int,
        failed: CircuitInput | None,
    ) -> None:
        """Open a circuit for these requests, on the best way that they have not failed on; or end them."""
        least = max(request.minimum_fidelity for request in requests)
        avoid = frozenset[int]().union(*(self._troubles[request.number].avoid for request in requests))
        cause = CircuitInput.NO_ROUTE
        wishes = self._wishes_of(requests[0])
        facts = replace(self._shared.facts, memories=self._book.memories())
        for route in self._routes.paths(destination, WAYS):
            if avoid.intersection(hop.link for hop in route):
                continue
            made = promise(route, least, facts, wishes)
            if made is None:
                roomy = promise(route, least, replace(facts, memories=MANY), wishes) is not None
                cause = CircuitInput.NO_MEMORY if roomy else CircuitInput.NO_PROMISE
                continue
            label = self._book.labels[route[0].node].take()
            if label is None:
                continue
            down = CircuitId(route[0].node, label)
            message = install(
                route,
                next(self._circuit_numbers),
                self._shared.node,
                label,
                priority,
                pairs_per_ks,
                made,
                wishes,
            )
            circuit = End(message, None, down, self._shared)
            circuit.wishes = wishes
            circuit.promised = made.expected if len(route) > 1 else least
            self._book.enter(circuit)
            self._shared.send(down.neighbour, message)  # QNP-11
            if len(route) > 1:
                self._shared.timers.set(TimerKey(TimerKind.REFRESH, down), now + message.refresh_ps)
            for request in requests:
                request.phase, request.underway = Phase.OPENING, 0
                self._troubles[request.number].set_out(now)
                self._requests[request.number] = circuit
                circuit.add(request)
            return
        for request in requests:
            if self._patience_ps or (failed is not None and self._in_time(request)):
                self._wait(_Waiting(request, destination, priority, pairs_per_ks, failed or cause), now)
            else:
                self._unserved(request, destination, failed, cause)

    def _in_time(self, request: Request) -> bool:
        """Has it been given a time, that is not over?"""
        return _deadline(request.number) in self._shared.timers

    def _wait(self, waiting: _Waiting, now: int) -> None:
        """For a way: until the request's time is over, or else the node's patience; meanwhile it is tried (QNP-17)."""
        number, timers = waiting.request.number, self._shared.timers
        self._waiting[number] = waiting
        trouble = self._troubles[number]
        trouble.needs(now)
        if _again(number) not in timers:
            timers.set(_again(number), now + trouble.pause(self._patience_ps))
        if not self._in_time(waiting.request):
            assert trouble.since is not None
            timers.set(_way(number), trouble.since + self._patience_ps)

    def _set_out(
        self,
        request: Request,
        destination: int,
        priority: int,
        pairs_per_ks: int,
        now: int,
        failed: CircuitInput | None,
    ) -> None:
        """A request without a circuit: onto one that is open, or onto one of its own."""
        shared = None if pairs_per_ks else self._open_circuit(request, destination, priority)
        if shared is not None:
            request.phase, request.underway = Phase.OPENING, 0
            self._troubles[request.number].set_out(now)
            self._requests[request.number] = shared
            shared.add(request)
        else:
            self._route([request], destination, priority, pairs_per_ks, now, failed)

    def _unserved(
        self, request: Request, destination: int, failed: CircuitInput | None, cause: CircuitInput
    ) -> None:
        """A request ends for want of a circuit; `failed`: what its last one has failed by, which says more."""
        node = self._shared.node
        blamed = self._troubles[request.number].where if failed else node
        self._forget(request.number)
        for timer in (_deadline, _way, _again):
            self._shared.timers.cancel(timer(request.number))
        what = (CircuitId(destination, 0), request.number, node, destination, request.purpose, request.delivered)
        self._shared.outputs.append(RequestEnded(*what, failed or cause, request.error, blamed or node))

    def fail(self, circuit: Circuit, stimulus: CircuitInput, now: int) -> None:
        """A circuit ends before its time; at its head the requests take another way, if there is one (QNP-15)."""
        rescued: list[Request] = []
        cause = _cause(circuit, stimulus)
        if isinstance(circuit, End) and circuit.is_head:
            where = self._shared.node if stimulus is not CircuitInput.FROM_DOWN else circuit.where
            links = _links_at(circuit.install, where)
            lost = stimulus is CircuitInput.DOWN_LOST or circuit.fate is CircuitFate.PEER_LOST
            again = lost and circuit.phase is Phase.OPENING and len(circuit.install.hops) > 1
            for request in list(circuit.requests.values()):
                # What neighbours said before one of them started anew breaks when they next talk: it is tried again.
                trouble = self._troubles[request.number]
                trouble.where = where
                trouble.failed(request.delivered, circuit.phase is Phase.OPEN, self._patience_ps, now)
                trouble.tries += again
                if not again or trouble.tries > TRIES:
                    trouble.avoid |= links
                waits = lost and (self._patience_ps or self._in_time(request))
                ways = self._routes.paths(circuit.peer, WAYS)
                if waits or any(not trouble.avoid.intersection(h.link for h in r) for r in ways):
                    rescued.append(request)
                    del circuit.requests[request.number], self._requests[request.number]
        self._book.move(circuit, stimulus, now)
        if rescued:
            kept = circuit.install
            self._route(rescued, kept.hops[-1].node, kept.priority, kept.pairs_per_ks, now, cause)

    def end(self, number: int, stimulus: CircuitInput, now: int) -> None:
        if number in self._waiting:
            waiting = self._waiting.pop(number)
            late = waiting.failed if stimulus is CircuitInput.TIMEOUT else None  # says more: what it has waited for
            self._unserved(waiting.request, waiting.destination, late, stimulus)
            return
        circuit = self._requests.get(number)
        if circuit is None:
            return
        circuit.move_request(circuit.requests[number], stimulus, now)
        self._sweep_requests(circuit)
        if not circuit.requests:
            self._book.move(circuit, CircuitInput.UNUSED, now)

    def settle(self, circuit: End, now: int) -> None:
        """Requests may have ended by themselves, and the circuit with the last of them."""
        self._sweep_requests(circuit)
        if not circuit.requests and circuit.phase is not Phase.CLOSED:
            self._book.move(circuit, CircuitInput.UNUSED, now)

    def _sweep_requests(self, circuit: End) -> None:
        for number in [n for n, c in self._requests.items() if c is circuit and n not in circuit.requests]:
            self._forget(number)

    def _forget(self, request: int) -> None:
        self._requests.pop(request, None)
        self._troubles.pop(request, None)


def checked(delivery: Delivery) -> Delivery:
    """Raises ValueError if it contradicts itself."""
    kept = delivery.kind is PairKind.KEEP
    if not kept and (delivery.bank or delivery.test_share):
        raise ValueError("only pairs that are kept can be banked or tested")
    if delivery.bank and delivery.test_share:
        raise ValueError("pairs from a bank are not tested")
    if delivery.kind is PairKind.MEASURE and delivery.bases is EgpBases.CHSH:
        raise ValueError("the head folds the Pauli frame into outcomes in X, Y and Z only")
    if delivery.chance and (delivery.kind is not PairKind.MEASURE or delivery.bases is EgpBases.NONE):
        raise ValueError("there is no choice of bases that could have a chance")
    return delivery


def _deadline(request: int) -> TimerKey:
    return TimerKey(TimerKind.DEADLINE, _NO_CIRCUIT, None, request)


def _way(request: int) -> TimerKey:
    return TimerKey(TimerKind.WAY, _NO_CIRCUIT, None, request)


def _again(request: int) -> TimerKey:
    return TimerKey(TimerKind.AGAIN, _NO_CIRCUIT, None, request)


def _cause(circuit: Circuit, stimulus: CircuitInput) -> CircuitInput:
    """By what the requests of a circuit have failed that ends so."""
    fate = circuit.fate if stimulus is CircuitInput.FROM_DOWN else FATES[stimulus]
    return CircuitInput.PEER_LOST if fate is CircuitFate.FINISHED else INPUTS[fate]


def _links_at(install: QnpInstall, where: int) -> frozenset[int]:
    """The link of a route that is to blame when node `where` has ended a circuit: the one that leads on from it."""
    for position, hop in enumerate(install.hops):
        if hop.node == where:
            onward = min(position + 1, len(install.hops) - 1)
            return frozenset((install.hops[onward].link,))
    return frozenset((install.hops[0].link,))
