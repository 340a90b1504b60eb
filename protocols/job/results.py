"""Results of measurements, from the QPU that measures to those that decide something by them.  JOB-n: job.toml.

One machine plays both sides.  It travels over the reliable sublayer, so a result is sent once.  A shot is known by the
number of its run, which all nodes of the job give it alike.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from protocols.ignored import Ignored
from protocols.machine import Output, Send
from protocols.wire.codec import JobGivenUp, JobResult

MAX_EARLY: Final = 4096
"""Results of one peer that are kept for later; likewise the shots that it has given up."""


class Heard(NamedTuple):
    """Event: what was expected is here."""

    run: int
    measurement: int
    value: int


class NotHeard(NamedTuple):
    """Event: what was expected will not come."""

    run: int
    measurement: int
    lost: bool  # the peer is gone; else it has given the shot up
    peer: int


class _Expected(NamedTuple):
    peer: int
    run: int
    measurement: int


class Results:
    """Both sides for one node."""

    def __init__(self) -> None:
        self._outputs: list[Output] = []
        self._early: dict[int, dict[tuple[int, int], int]] = {}  # by peer: (run, measurement) -> value
        self._given_up: dict[int, set[int]] = {}  # runs by peer
        self._expected: set[_Expected] = set()

    # The service upward.

    def tell(self, run: int, measurement: int, value: int, peers: Iterable[int]) -> None:
        for peer in peers:
            self._send(peer, JobResult(run, measurement, value))

    def expect(self, run: int, measurement: int, peer: int) -> None:
        """Ends in Heard or in NotHeard, at the next poll at the earliest."""
        value = self._early.get(peer, {}).pop((run, measurement), None)
        if value is not None:
            self._outputs.append(Heard(run, measurement, value))
        elif run in self._given_up.get(peer, ()):
            self._outputs.append(NotHeard(run, measurement, False, peer))
        else:
            self._expected.add(_Expected(peer, run, measurement))

    def give_up(self, runs: Iterable[int], peers: Iterable[int]) -> None:
        """This node has no more to say in these shots (JOB-2)."""
        peers = list(peers)
        for run in runs:
            for peer in peers:
                self._send(peer, JobGivenUp(run))

    def cancel(self, run: int) -> None:
        """What is expected in this shot is not waited for any more."""
        self._fail([e for e in self._expected if e.run == run], lost=False)

    def end(self, run: int) -> None:
        """The shot is over here: nothing is kept of it."""
        for early in self._early.values():
            for key in [key for key in early if key[0] == run]:
                del early[key]
        for given_up in self._given_up.values():
            given_up.discard(run)

    def end_all(self) -> None:
        """So is every shot."""
        self._early.clear()
        self._given_up.clear()

    # The machine.

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        match message:
            case JobResult(run, measurement, value):
                self._on_result(source, run, measurement, value & 1)
            case JobGivenUp(run):
                given_up = self._given_up.setdefault(source, set())
                if len(given_up) < MAX_EARLY:
                    given_up.add(run)
                else:
                    self._outputs.append(Ignored(source, "JobGivenUp", "too much was given up"))
                self._fail([e for e in self._expected if (e.peer, e.run) == (source, run)], lost=False)
            case _:
                self._outputs.append(Ignored(source, type(message).__name__, "it is none between QPUs"))

    def peer_lost(self, peer: int) -> None:
        """The node is gone, or has started anew (JOB-3)."""
        self._early.pop(peer, None)
        self._given_up.pop(peer, None)
        self._fail([e for e in self._expected if e.peer == peer], lost=True)

    def poll(self, now: int) -> list[Output]:
        outputs, self._outputs = self._outputs, []
        return outputs

    def next_timeout(self) -> int | None:
        return None

    def _on_result(self, source: int, run: int, measurement: int, value: int) -> None:
        expected = _Expected(source, run, measurement)
        early = self._early.setdefault(source, {})
        if expected in self._expected:
            self._expected.remove(expected)
            self._outputs.append(Heard(run, measurement, value))
        elif len(early) < MAX_EARLY:
            early.setdefault((run, measurement), value)  # JOB-1
        else:
            self._outputs.append(Ignored(source, "JobResult", "too much came early"))

    def _fail(self, expected: list[_Expected], lost: bool) -> None:
        for one in sorted(expected):
            self._expected.remove(one)
            self._outputs.append(NotHeard(one.run, one.measurement, lost, one.peer))

    def _send(self, destination: int, message: JobResult | JobGivenUp) -> None:
        self._outputs.append(Send(destination, message, reliable=True))
