"""Nodes that answer or ask wrongly in ECHO."""

from itertools import count
from typing import Any

from protocols.echo import Echo
from protocols.wire import EchoPing, EchoPong
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import instead, says


@breaks("ECHO-1")
def counts_no_hops() -> Wrong:
    """A Pong has the hops of its Ping."""
    return says(EchoPong, lambda pong: pong._replace(hops=pong.hops - 1 & 0xFFFF))


@breaks("ECHO-1")
def answers_twice() -> Wrong:
    """Two Pongs for each Ping."""
    return says(EchoPong, lambda pong: (pong, pong))


@breaks("ECHO-2")
def has_one_token() -> Wrong:
    """All pings have the same token."""
    return says(EchoPing, lambda ping: ping._replace(token=7))


@breaks("ECHO-2")
def has_one_more_in_flight() -> Wrong:
    """A ping more is unanswered than the run allows."""

    def ping(right: Any, echo: Echo, *row: Any, in_flight: int = 1, **options: Any) -> int:
        run: int = right(echo, *row, in_flight=in_flight + 1, **options)
        return run

    return instead(Echo, "ping", ping)


@breaks("ECHO-3")
def repeats_another_ping() -> Wrong:
    """Each transmission counts a hop."""
    hops = count()
    return says(EchoPing, lambda ping: ping._replace(hops=next(hops)))


@breaks("ECHO-4")
def takes_any_pong() -> Wrong:
    """Whatever Pong comes answers the oldest ping."""

    def answered(right: Any, echo: Echo, token: int, *rest: int) -> None:
        right(echo, next(iter(echo._unanswered), token), *rest)

    return instead(Echo, "_answered", answered)


@breaks("ECHO-5")
def is_done_when_all_is_sent() -> Wrong:
    """A run ends with an answer that leaves no ping to be sent, whatever is unanswered."""

    def go_on(right: Any, echo: Echo, run: Any, *rest: int) -> None:
        if run.sent == run.count:
            run.answered = run.count - run.lost
        right(echo, run, *rest)

    return instead(Echo, "_go_on", go_on)
