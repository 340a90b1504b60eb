"""A node whose clock is steered: its timers move with it."""

from collections.abc import Callable

import pytest
import trio

from stack.record import NullRecorder
from stack.runtime.clock import RATE_UNIT, NodeClock
from stack.runtime.host import Host
from stack.runtime.kernel import Kernel
from stack.runtime.oscillator import Oscillator
from stack.runtime.times import MS, NEVER, US, ClockMap, S


class OneShotHost(Host):
    """Runs what there is to do, once."""

    def refill(self) -> bool:
        granted, self.end = self.end, NEVER
        return granted != NEVER


def run(setup: Callable[[Kernel], None], clock: NodeClock | None) -> Kernel:
    host = OneShotHost()
    kernel = Kernel(host, 1, "n1", 1, NullRecorder(), clock)

    async def main() -> None:
        setup(kernel)

    trio.run(host.run, lambda: host.start(kernel, main, 0), clock=host.clock)
    return kernel


def test_timers_are_due_when_the_steered_clock_says_so() -> None:
    fired: list[tuple[int, int, int]] = []

    def setup(kernel: Kernel) -> None:
        for when in (10 * MS, 20 * MS, 30 * MS):
            kernel.at(when, lambda when=when: fired.append((when, kernel.now, kernel.true_now)))  # type: ignore[misc]
        kernel.at(10 * MS, lambda: kernel.steer(3 * MS, 5 * RATE_UNIT // 1_000))

    run(setup, NodeClock(Oscillator(ClockMap())))

    # At 10 ms the clock was set to 13 ms, and has run half a percent fast since.
    assert [(when, now) for when, now, _ in fired] == [(10 * MS, 10 * MS), (20 * MS, 20 * MS), (30 * MS, 30 * MS)]
    assert [true for *_, true in fired] == [
        10 * MS,
        10 * MS - (-7 * MS * 1_000 // 1_005),
        10 * MS - (-17 * MS * 1_000 // 1_005),
    ]


def test_timers_that_a_step_has_passed_are_due_at_once_and_in_order() -> None:
    fired: list[tuple[int, int]] = []

    def setup(kernel: Kernel) -> None:
        for when in (30 * MS, 20 * MS, 2 * S):
            kernel.at(when, lambda when=when: fired.append((when, kernel.true_now)))  # type: ignore[misc]
        kernel.at(10 * MS, lambda: kernel.steer(S, 0))

    run(setup, NodeClock(Oscillator(ClockMap())))

    assert fired == [(20 * MS, 10 * MS), (30 * MS, 10 * MS), (2 * S, S)]


def test_a_clock_set_back_makes_timers_wait() -> None:
    fired: list[int] = []

    def setup(kernel: Kernel) -> None:
        kernel.at(20 * MS, lambda: fired.append(kernel.true_now))
        kernel.at(10 * MS, lambda: kernel.steer(-4 * MS, 0))

    run(setup, NodeClock(Oscillator(ClockMap(5 * US))))

    assert fired == [24 * MS - 5 * US]


def test_true_time_cannot_be_steered() -> None:
    def setup(kernel: Kernel) -> None:
        with pytest.raises(LookupError, match="no clock to steer"):
            kernel.steer(1, 0)

    run(setup, None)
