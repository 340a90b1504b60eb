"""What a node does only where time is the wall's."""

import socket
from typing import Any, cast

import pytest

from stack.runtime import bus
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel
from stack.runtime.paced import PacedHost
from stack.runtime.virtual import CoordinatorGone, heard


def test_the_last_word_of_a_plane_that_has_gone_is_heard_whatever_was_said_to_it_meanwhile() -> None:
    ours, plane = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        host = PacedHost(ours, {}, {})
        host.program_opened()  # which nobody reads: the kernel tells this end that its connection was reset
        (last,) = bus.pack_grant(bus.Grant(7, bus.LAST, [], [], []))
        plane.send(last)
        plane.close()
        host.program_closed(0)
        assert heard(ours) == last
        with pytest.raises(CoordinatorGone):
            heard(ours)


class Clock:
    """As much of a kernel as a driver needs."""

    def __init__(self) -> None:
        self.now = 0
        self.timers: list[Any] = []

    def at(self, when: int, callback: Any) -> Any:
        self.timers.append((when, callback))
        return type("Timer", (), {"when": when, "callback": callback, "cancel": lambda self: None})()


class Machine:
    """Has something due at 100, whenever it is polled before, and 100 later from each time that it was."""

    due = 100

    def __init__(self) -> None:
        self.fired: list[int] = []

    def receive(self, message: Any, source: int, now: int) -> None:
        pass

    def poll(self, now: int) -> list[Any]:
        if now >= self.due:
            self.fired.append(now)
            self.due = now + 100
        return []

    def next_timeout(self) -> int:
        return self.due


@pytest.mark.parametrize(
    ("allowance_ps", "patient", "fired"),
    [(50, True, [150, 300]), (50, False, [100, 200, 300]), (0, True, [100, 200, 300])],
)
def test_a_patient_driver_gives_the_host_its_allowance_whoever_calls(
    allowance_ps: int, patient: bool, fired: list[int]
) -> None:
    """Frames come every 10 ps, and each has the machine polled."""
    clock, machine = Clock(), Machine()
    driver = Driver(cast("Kernel", clock), machine, lambda send: None, lambda event: None, allowance_ps, patient)
    for clock.now in range(0, 301, 10):
        driver.receive(None, 1)
    assert machine.fired == fired
