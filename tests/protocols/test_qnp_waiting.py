"""QNP where ways come and go: requests wait for one (QNP-17)."""

from collections.abc import Sequence
from typing import Any

from machine_pair import Net

from protocols.qnp.node import Qnp
from protocols.qnp.promise import UNKNOWN
from protocols.qnp.service import InUse, NeedLinkPairs, RequestEnded, RequestOpened
from protocols.qnp.states import CircuitInput
from protocols.qnp.trouble import LONGEST_PS, SHORTEST_PS, TRIES
from protocols.routes import Hop, Route
from protocols.wire.codec import QnpInstall

HEAD, TAIL, LINK, PURPOSE = 1, 2, 9, 77
PATIENCE = 1_000_000


class Changing:
    """Ways that the test gives and takes."""

    def __init__(self) -> None:
        self.ways: list[Route] = []

    def paths(self, destination: int, most: int) -> Sequence[Route]:
        return self.ways[:most] if destination == TAIL else []


class Bench:
    def __init__(self, patience_ps: int = PATIENCE) -> None:
        self.routes = Changing()
        self.head = Qnp(HEAD, {LINK: TAIL}, routes=self.routes, patience_ps=patience_ps)
        tail = Qnp(TAIL, {LINK: HEAD})
        tail.listen(PURPOSE)
        self.net = Net({HEAD: self.head, TAIL: tail}, 10_000)

    def ask(self, number: int = 0, max_time_ps: int = 0) -> int:
        return self.head.request(TAIL, PURPOSE, number, 0, self.net.now, max_time_ps=max_time_ps)

    def way(self, up: bool = True, lasts: bool = True) -> None:
        self.routes.ways = [(Hop(LINK, TAIL, UNKNOWN),)] if up else []
        self.head.routes_changed(self.net.now, lambda link: up and lasts)

    def lose(self) -> None:
        self.head.peer_lost(TAIL, self.net.now)

    def installs(self) -> list[int]:
        """When circuits were set up."""
        return [time for time, source, _, message in self.net.sent if isinstance(message, QnpInstall)]

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


def used_up(bench: Bench, max_time_ps: int) -> None:
    """A request that has failed on its only way as often as it is tried in haste."""
    bench.way()
    bench.ask(max_time_ps=max_time_ps)
    for _ in range(TRIES):
        bench.lose()
        bench.way()
    bench.lose()
    bench.way()
    bench.net.run(until=bench.net.now)
    assert len(bench.installs()) == 1 + TRIES


def test_a_link_whose_end_has_a_new_life_is_new_though_nobody_saw_it_down() -> None:
    """It was down and up again within the time for which its ends hold such news back."""
    bench = Bench()
    used_up(bench, 0)
    bench.way()
    bench.net.run(until=1_000)
    assert len(bench.installs()) == 1 + TRIES

    bench.way(lasts=False)
    bench.net.run(until=2_000)

    assert bench.installs()[1 + TRIES :] == [1_000]
    for _ in range(TRIES):  # of which it has as many as before
        bench.lose()
        bench.way()
    bench.net.run(until=3_000)
    assert len(bench.installs()) == 2 * (1 + TRIES)


def test_what_has_failed_is_tried_after_a_pause_though_there_is_no_news() -> None:
    bench = Bench()
    used_up(bench, 0)

    bench.net.run(until=PATIENCE - 1)

    assert len(bench.installs()) == 2 + TRIES
    assert len(bench.net.of(HEAD, RequestOpened)) == 1


def test_a_request_with_a_time_of_its_own_is_tried_until_then_at_pauses_that_double() -> None:
    """Longer than the node's patience, and where the node has none.  Each try loses the peer."""
    for patience_ps, first in ((PATIENCE, PATIENCE // 2), (0, SHORTEST_PS)):
        bench, end = Bench(patience_ps), 3 * LONGEST_PS
        bench.way()
        bench.ask(max_time_ps=end)
        bench.lose()
        while not bench.ended():
            bench.net.run(until=(bench.head.next_timeout() or 0))
            bench.lose()
        tried = [time for time in bench.installs() if time]
        pauses = [b - a for a, b in zip([0, *tried], tried, strict=False)]

        assert bench.ended() == [CircuitInput.PEER_LOST]
        assert bench.net.now == end
        assert pauses == [min(first << n, LONGEST_PS) for n in range(len(pauses))]
        assert pauses[-1] == LONGEST_PS


def test_where_ways_neither_come_nor_go_a_request_without_a_time_ends_at_once() -> None:
    bench = Bench(patience_ps=0)
    bench.way()
    bench.ask()
    bench.ask(max_time_ps=PATIENCE)
    bench.lose()
    bench.net.run(until=0)
    assert bench.ended() == [CircuitInput.PEER_LOST]
    assert bench.head.request(TAIL + 1, PURPOSE, 1, 0, 0, max_time_ps=PATIENCE) == 3

    bench.net.run(until=0)

    assert bench.ended() == [CircuitInput.PEER_LOST, CircuitInput.NO_ROUTE]
