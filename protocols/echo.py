"""ECHO, the toy protocol: shows how a machine is written, exercises the engine.  ECHO-n: echo.toml.

One machine plays both sides.  As responder it answers every Ping at once and keeps no state.  As pinger it
keeps runs: a run has `count` pings to one node, at most `in_flight` of them unanswered at a time.
in_flight=1 is ping-pong, with one frame on the way; in_flight=count is a burst.  A ping is in one of these
states:

    waiting --think time--> unanswered --Pong--> answered
                            unanswered --timeout, attempts left--> unanswered   (the same token, sent again)
                            unanswered --timeout, none left--> lost
"""

import heapq
from dataclasses import dataclass
from itertools import count as counter
from typing import NamedTuple

from protocols.machine import Output, Send
from protocols.wire.codec import EchoPing, EchoPong


class PongSeen(NamedTuple):
    """Event: a ping has been answered."""

    run: int
    token: int
    hops: int
    source: int
    round_trip_ps: int  # since the ping was first sent


class PingLost(NamedTuple):
    """Event: a ping has been given up after all its attempts."""

    run: int
    token: int


class Done(NamedTuple):
    """Event: every ping of a run has been answered or given up."""

    run: int
    destination: int
    pings: int
    answered: int
    lost: int
    retransmissions: int
    elapsed_ps: int


@dataclass(slots=True)
class _Run:
    number: int
    destination: int
    count: int
    padding: bytes
    think_ps: int
    timeout_ps: int | None
    attempts: int | None
    began: int
    sent: int = 0
    answered: int = 0
    lost: int = 0
    retransmissions: int = 0


@dataclass(slots=True)
class _Ping:
    run: _Run
    message: EchoPing
    sent_at: int | None = None  # None: it waits for its think time to end
    attempts: int = 0
    settled: bool = False


class Echo:
    """Both sides of ECHO for one node."""

    def __init__(self) -> None:
        self.stray_pongs = 0  # Pongs that answer nothing, such as the second answer to a ping sent twice
        self._outputs: list[Output] = []
        self._runs = counter(1)
        self._tokens = counter()
        self._unanswered: dict[int, _Ping] = {}
        self._timers: list[tuple[int, int, _Ping]] = []  # (due, creation, ping): a heap
        self._creation = counter()

    def ping(
        self,
        destination: int,
        count: int,
        now: int,
        *,
        in_flight: int = 1,
        padding: bytes = b"",
        think_ps: int = 0,
        timeout_ps: int | None = None,
        attempts: int | None = None,
    ) -> int:
        """Start a run; returns its number, which its events carry.

        think_ps passes between an answer and the ping that follows it.  Without timeout_ps a lost frame
        leaves its ping unanswered for ever; without attempts a ping is sent again and again until its Pong
        comes.
        """
        if count < 1 or in_flight < 1 or (attempts is not None and attempts < 1):
            raise ValueError(
                f"count {count}, in_flight {in_flight} and attempts {attempts} must be at least 1"
            )
        if think_ps < 0 or (timeout_ps is not None and timeout_ps < 1):
            raise ValueError(f"think_ps {think_ps} or timeout_ps {timeout_ps} is too short")
        run = _Run(next(self._runs), destination, count, padding, think_ps, timeout_ps, attempts, began=now)
        for _ in range(min(in_flight, count)):  # ECHO-2
            self._transmit(self._next_ping(run, hops=0), now)
        return run.number

    def give_up(self, run: int) -> None:
        """Send no more of this run, nor of those again that are not answered; there will be no Done."""
        for ping in [ping for ping in self._unanswered.values() if ping.run.number == run]:
            self._settle(ping)

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        match message:
            case EchoPing(token, hops, padding):
                pong = EchoPong(token, hops + 1 & 0xFFFF, padding)  # ECHO-1
                self._outputs.append(Send(source, pong, reliable=False))
            case EchoPong(token, hops, _):
                self._answered(token, hops, source, now)
            case _:
                raise TypeError(f"{type(message).__name__} is not a message of ECHO")

    def poll(self, now: int) -> list[Output]:
        while self._timers and self._timers[0][0] <= now:
            _, _, ping = heapq.heappop(self._timers)
            if not ping.settled:
                self._due(ping, now)
        outputs, self._outputs = self._outputs, []
        return outputs

    def next_timeout(self) -> int | None:
        while self._timers and self._timers[0][2].settled:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _answered(self, token: int, hops: int, source: int, now: int) -> None:
        ping = self._unanswered.get(token)
        if ping is None or ping.sent_at is None or source != ping.run.destination:
            self.stray_pongs += 1  # ECHO-4
            return
        self._settle(ping)
        run = ping.run
        run.answered += 1
        self._outputs.append(PongSeen(run.number, token, hops, source, now - ping.sent_at))
        self._go_on(run, hops + 1, now)

    def _due(self, ping: _Ping, now: int) -> None:
        """The think time before `ping`, or the wait for its answer, has ended."""
        run = ping.run
        if ping.attempts == 0:
            self._transmit(ping, now)
        elif run.attempts is None or ping.attempts < run.attempts:
            run.retransmissions += 1
            self._transmit(ping, now)  # ECHO-3
        else:
            self._settle(ping)
            run.lost += 1
            self._outputs.append(PingLost(run.number, ping.message.token))
            self._go_on(run, ping.message.hops + 1, now)

    def _go_on(self, run: _Run, hops: int, now: int) -> None:
        """A ping of `run` has been settled: the next one, or the end."""
        if run.sent < run.count:
            ping = self._next_ping(run, hops)
            if run.think_ps:
                self._schedule(now + run.think_ps, ping)
            else:
                self._transmit(ping, now)
        elif run.answered + run.lost == run.count:  # ECHO-5
            self._outputs.append(
                Done(
                    run.number,
                    run.destination,
                    run.count,
                    run.answered,
                    run.lost,
                    run.retransmissions,
                    now - run.began,
                )
            )

    def _next_ping(self, run: _Run, hops: int) -> _Ping:
        run.sent += 1
        token = next(self._tokens) & 0xFFFFFFFF
        ping = _Ping(run, EchoPing(token, hops & 0xFFFF, run.padding))
        self._unanswered[token] = ping
        return ping

    def _transmit(self, ping: _Ping, now: int) -> None:
        run = ping.run
        if ping.sent_at is None:
            ping.sent_at = now
        ping.attempts += 1
        self._outputs.append(Send(run.destination, ping.message, reliable=False))
        if run.timeout_ps is not None:
            self._schedule(now + run.timeout_ps, ping)

    def _settle(self, ping: _Ping) -> None:
        ping.settled = True
        del self._unanswered[ping.message.token]

    def _schedule(self, due: int, ping: _Ping) -> None:
        # The creation number orders timers of one instant and keeps the heap from comparing pings.
        heapq.heappush(self._timers, (due, next(self._creation), ping))
