"""The plane under the ``paced`` clock: device commands and answers by wall time.

What may live here: the loop that executes the plane's events when the wall says so.  A command stamped in the past
(its packet took a while) is executed at once and counted.
"""

import select
import time

from stack.runtime import bus
from testbed.clock.agenda import Ending
from testbed.clock.coordinator import PROGRESS_EVERY_S, HostDied, HostLink, Lab
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
        lab: Lab,
    ) -> None:
        self.end_ps = 0
        self._hosts = hosts
        self._host_of = {node: host for host in hosts for node in host.nodes}
        self._plane = plane
        self._ending = ending
        self._any_programs = any_programs
        self._dilation = dilation
        self._lab = lab
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
        self._lab.up()
        self._epoch_ns = time.monotonic_ns() + int(START_AFTER_S * 1e9)
        for host in self._hosts:
            self._tell(host, [bus.pack_start(self._epoch_ns, self._dilation)])
        poll = select.poll()
        by_fd = {host.sock.fileno(): host for host in self._hosts}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        said = time.monotonic()
        while True:
            now = self._now()
            self._execute(now)
            stop = self._ending.stop_ps(
                sum(h.programs for h in self._hosts), max(h.closed_at for h in self._hosts), self._any_programs
            )
            if now >= stop:
                self.end_ps = stop
                break
            if time.monotonic() - said > PROGRESS_EVERY_S:
                said = time.monotonic()
                self._lab.progress(max(0, now), 0)
            wait_s = (min(self._plane.next_ps(), stop) - now) * 1e-12 * self._dilation
            for fd, _ in poll.poll(max(0, int(1000 * min(wait_s, PROGRESS_EVERY_S)))):
                self._hear(by_fd[fd], max(0, self._now()))
        self._lab.ending()
        for host in self._hosts:
            self._tell(host, bus.pack_grant(bus.Grant(self.end_ps, bus.LAST, [], [], [])))

    def _execute(self, now: int) -> None:
        plane = self._plane
        while plane.next_ps() <= now:
            self._executed = plane.next_ps()
            plane.step()
            for answer in plane.take_answers():
                grant = bus.Grant(0, 0, [], [bus.Answer(*answer)], [])
                self._tell(self._host_of[answer.node], bus.pack_grant(grant))

    def _tell(self, host: HostLink, packets: list[bytes]) -> None:
        try:
            for packet in packets:
                host.sock.send(packet)
        except OSError:
            raise HostDied(host.nodes) from None

    def _hear(self, host: HostLink, now: int) -> None:
        commands: list[bus.Command] = []
        report = None
        while report is None:
            try:
                packet = host.sock.recv(bus.PACKET_MAX * 2)
            except OSError:
                packet = b""
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


