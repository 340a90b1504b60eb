"""QNP where ways come and go: requests wait for one (QNP-17)."""

from collections.abc import Sequence
from typing import Any

from machine_pair import Net

from protocols.qnp.node import Qnp
from protocols.qnp.promise import UNKNOWN
from protocols.qnp.service import InUse, NeedLinkPairs, RequestEnded, RequestOpened
from protocols.qnp.states import CircuitInput
from protocols.routes import Hop, Route

HEAD, TAIL, LINK, PURPOSE = 1, 2, 9, 77
PATIENCE = 1_000_000


class Changing:
    """Ways that the test gives and takes."""

    def __init__(self) -> None:
        self.ways: list[Route] = []

    def paths(self, destination: int, most: int) -> Sequence[Route]:
        return self.ways[:most] if destination == TAIL else []


class Bench:
    def __init__(self) -> None:
        self.routes = Changing()
        self.head = Qnp(HEAD, {LINK: TAIL}, routes=self.routes, patience_ps=PATIENCE)
        tail = Qnp(TAIL, {LINK: HEAD})
        tail.listen(PURPOSE)
        self.net = Net({HEAD: self.head, TAIL: tail}, 10_000)

    def ask(self, number: int = 0) -> int:
        return self.head.request(TAIL, PURPOSE, number, 0, self.net.now)

    def way(self, up: bool = True) -> None:
        self.routes.ways = [(Hop(LINK, TAIL, UNKNOWN),)] if up else []
        self.head.routes_changed(self.net.now, lambda link: up)

    def ended(self) -> list[Any]:
        return [event.cause for event in self.net.of(HEAD, RequestEnded)]


def test_a_request_without_a_way_waits_and_ends_when_patience_does() -> None:
    bench = Bench()
    bench.ask()

    bench.net.run(until=PATIENCE - 1)
    assert bench.ended() == []
    bench.net.run()

    assert bench.ended() == [CircuitInput.NO_ROUTE]
    assert bench.net.now == PATIENCE


def test_a_way_that_comes_is_taken_with_all_that_was_wanted_meanwhile() -> None:
    bench = Bench()
    request = bench.ask()
    bench.head.want(request, 3, 0)
    bench.net.run(until=1_000)

    bench.way()
    bench.net.run(until=PATIENCE * 2)

    assert [event.request for event in bench.net.of(HEAD, RequestOpened)] == [request]
    assert [event.number for event in bench.net.of(HEAD, NeedLinkPairs)] == [3]
    assert bench.ended() == []


def test_two_that_wait_share_a_circuit() -> None:
    bench = Bench()
    bench.ask()
    bench.ask()

    bench.way()
    bench.net.run(until=PATIENCE // 2)

    assert bench.net.of(HEAD, InUse) == [InUse(TAIL, 1)]
    assert len(bench.net.of(HEAD, RequestOpened)) == 2


def test_one_that_waits_may_be_finished() -> None:
    bench = Bench()
    request = bench.ask()

    bench.head.finish(request, 0)
    bench.net.run()

    assert bench.ended() == [CircuitInput.FINISHED]
    assert bench.net.now == 0


def test_a_lost_peer_is_waited_for_and_tried_again_when_its_link_is_up_again() -> None:
    bench = Bench()
    bench.way()
    bench.ask()
    bench.net.run(until=100_000)

    bench.head.peer_lost(TAIL, bench.net.now)
    bench.way(up=False)
    bench.net.run(until=200_000)
    assert bench.ended() == []
    bench.way()
    bench.net.run(until=400_000)

    assert len(bench.net.of(HEAD, RequestOpened)) == 2


def test_a_way_that_fails_for_ever_is_not_tried_for_ever() -> None:
    """The link is said to be up, but whoever sets out on it loses the peer."""
    bench = Bench()
    bench.way()
    bench.ask()

    for _ in range(20):
        bench.net.run(until=bench.net.now + PATIENCE // 2)
        bench.head.peer_lost(TAIL, bench.net.now)
    bench.net.run()

    assert bench.ended() == [CircuitInput.PEER_LOST]
    assert len(bench.net.of(HEAD, RequestOpened)) <= 4
