"""The plane under the ``paced`` clock: device commands and answers by wall time.

What may live here: the loop that executes the plane's events when the wall says so.  A command stamped in the past
(its packet took a while) is executed at once and counted.
"""

import select
import time
from collections.abc import Callable

from stack.runtime import bus
from testbed.clock.agenda import Ending
from testbed.clock.coordinator import HostDied, HostLink
from testbed.clock.federate import Federate

START_AFTER_S = 0.05


class PacedPlane:
    """Serves the device bus until the run is over."""

    def __init__(
        self,
        hosts: list[HostLink],
        plane: Federate,
        ending: Ending,
        any_programs: bool,
        dilation: float,
        up: Callable[[], None],
    ) -> None:
        self.end_ps = 0
        self._hosts = hosts
        self._host_of = {node: host for host in hosts for node in host.nodes}
        self._plane = plane
        self._ending = ending
        self._any_programs = any_programs
        self._dilation = dilation
        self._up = up
        self._epoch_ns = 0
        self._executed = 0
        self._late = 0
        self._latest_ps = 0

    def wall(self) -> dict[str, int]:
        """Facts for run.json."""
        return {"late_commands": self._late, "latest_command_ps": self._latest_ps}

    def _now(self) -> int:
        return int((time.monotonic_ns() - self._epoch_ns) * 1000 / self._dilation)

    def run(self) -> None:
        for host in self._hosts:  # every host reports when its nodes have booted
            self._hear(host, 0)
        self._up()
        self._epoch_ns = time.monotonic_ns() + int(START_AFTER_S * 1e9)
        for host in self._hosts:
            host.sock.send(bus.pack_start(self._epoch_ns, self._dilation))
        poll = select.poll()
        by_fd = {host.sock.fileno(): host for host in self._hosts}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        while True:
            now = self._now()
            self._execute(now)
            stop = self._ending.stop_ps(
                sum(h.programs for h in self._hosts), max(h.closed_at for h in self._hosts), self._any_programs
            )
            if now >= stop:
                self.end_ps = stop
                break
            wait_ps = min(self._plane.next_ps(), stop, now + 10**12) - now
            wait_ms = max(0, int(wait_ps * 1e-9 * self._dilation))
            for fd, _ in poll.poll(wait_ms):
                self._hear(by_fd[fd], max(0, self._now()))
        for host in self._hosts:
            for packet in bus.pack_grant(bus.Grant(self.end_ps, bus.LAST, [], [], [])):
                host.sock.send(packet)

    def _execute(self, now: int) -> None:
        plane = self._plane
        while plane.next_ps() <= now:
            self._executed = plane.next_ps()
            plane.step()
            for answer in plane.take_answers():
                grant = bus.Grant(0, 0, [], [bus.Answer(*answer)], [])
                for packet in bus.pack_grant(grant):
                    self._host_of[answer.node].sock.send(packet)

    def _hear(self, host: HostLink, now: int) -> None:
        commands: list[bus.Command] = []
        report = None
        while report is None:
            packet = host.sock.recv(bus.PACKET_MAX * 2)
            if not packet:
                raise HostDied(host.nodes)
            report = bus.unpack_report(packet, commands)
        host.programs = report.programs
        host.closed_at = max(host.closed_at, report.closed_at)
        for node, t, sequence, message, body in commands:
            if t < now:
                self._late += 1
                self._latest_ps = max(self._latest_ps, now - t)
            self._plane.submit(node, max(t, self._executed), sequence, message, body)


