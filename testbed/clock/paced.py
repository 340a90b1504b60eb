"""The plane under the ``paced`` clock: device commands and answers by wall time.

What may live here: the loop that executes the plane's events, and what is planned, when the wall says so.  A command
stamped in the past (its packet took a while) is executed at once and counted.  A planned death falls on the wall time
of its virtual time, or as soon after it as the machine can: it is recorded at the instant at which it happened.

A standing testbed gives orders while time passes: they are obeyed at once.  There the death of a process that nobody
planned is no end of anything: the node is cut off, as by a planned one.
"""

import json
import select
import time
from collections.abc import Sequence

from stack.runtime import bus
from testbed.clock.agenda import Agenda, Deed, Ending, Inputs, Planned
from testbed.clock.coordinator import PROGRESS_EVERY_S, HostDied, HostLink, Lab
from testbed.clock.federate import Federate
from testbed.clock.orders import MOVED, WITHDRAW, Orders

START_AFTER_S = 0.05
REMEMBERED = 500
"""How many pairs the oracle remembers in a standing testbed, which may make them for days; three kilobytes each."""


class PacedPlane:
    """Serves the device bus until the run is over."""

    def __init__(
        self,
        hosts: list[HostLink],
        plane: Federate,
        agenda: Agenda,
        ending: Ending,
        any_programs: bool,
        dilation: float,
        lab: Lab,
        inputs: Inputs,
        orders: Orders | None = None,
        awaited: Sequence[int] = (),
    ) -> None:
        """Only of a testbed that stands does an unplanned death pass.  ``awaited``: nodes that may come late, each with
        a process of its own."""
        self.end_ps = 0
        self._orders = orders
        self._stands = orders is not None and orders.standing
        self._inputs = inputs
        self._asked_to_end = False
        self._interrupted = False
        self._hosts = hosts
        self._live = dict.fromkeys(range(len(hosts)))
        self._host_of = {node: index for index, host in enumerate(hosts) for node in host.nodes}
        self._waking: dict[int, int] = {self._host_of[node]: node for node in awaited}
        """Hosts that have been started since time began and have not said yet that they have booted; the node of
        each."""
        self._held: dict[int, list[bytes]] = {}
        """For those, what they are to hear once they know what time it is."""
        self._poll = select.poll()
        self._by_fd: dict[int, int] = {}
        self._plane = plane
        self._agenda = agenda
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

    def end_soon(self) -> None:
        """The run is to end as soon as it can; may be called from a signal's handler."""
        self._interrupted = True

    def _now(self) -> int:
        return int((time.monotonic_ns() - self._epoch_ns) * 1000 / self._dilation)

    def run(self) -> None:
        """Until the end of the run; raises HostDied."""
        for index in self._live:  # every host reports when its nodes have booted
            if index not in self._waking:
                self._hear(index, 0)
            self._attend(index)
        if self._orders is not None:
            self._poll.register(self._orders.fileno(), select.POLLIN)
        self._lab.up()
        self._epoch_ns = time.monotonic_ns() + int(START_AFTER_S * 1e9)
        for index in self._live:
            if index not in self._waking:
                self._start(index)
        said = time.monotonic()
        while True:
            now = self._now()
            while self._agenda.next_ps() <= now:
                self._carry_out(self._agenda.pop())
                now = self._now()
            self._execute(now)
            stop = self._ending.stop_ps(
                sum(h.programs for h in self._hosts) or self._agenda.owed,
                max(h.closed_at for h in self._hosts),
                self._any_programs,
            )
            if self._interrupted:
                self._interrupted = False
                self._carry_out(self._inputs.stamped(max(0, now), {"do": "end"}))
            if self._asked_to_end:
                stop = now
            if now >= stop:
                self.end_ps = stop
                break
            if time.monotonic() - said > PROGRESS_EVERY_S:
                said = time.monotonic()
                self._lab.progress(max(0, now), 0)
                if self._stands:
                    self._plane.forget(REMEMBERED)
            next_ps = min(self._plane.next_ps(), self._agenda.next_ps(), stop)
            wait_s = (next_ps - now) * 1e-12 * self._dilation
            for fd, _ in self._poll.poll(max(0, int(1000 * min(wait_s, PROGRESS_EVERY_S)))):
                if fd in self._by_fd:
                    self._attend_to(self._by_fd[fd])
                elif self._orders is not None and fd == self._orders.fileno():
                    self._obey(self._orders)
        self._lab.ending()
        for index in list(self._live):
            if index in self._waking:
                self._start(index)
            self._tell(index, bus.pack_grant(bus.Grant(self.end_ps, bus.LAST, [], [], [])))

    def _execute(self, now: int) -> None:
        plane = self._plane
        while plane.next_ps() <= now:
            self._executed = plane.next_ps()
            plane.step()
            for answer in plane.take_answers():
                index = self._host_of[answer.node]
                if index in self._live:
                    self._tell(index, bus.pack_grant(bus.Grant(0, 0, [], [bus.Answer(*answer)], [])))

    # -- a standing testbed -------------------------------------------------------------------------------------

    def _obey(self, orders: Orders) -> None:
        """Do what the launcher says, now."""
        order = orders.next()
        if order is None:  # it has gone; the lifeline ends us
            self._poll.unregister(orders.fileno())
        elif order["do"] == "spent":
            self._lab.spent(order["id"], self._plane.spent([(n, q) for n, q in order["places"]]))
        elif order["do"] == MOVED:
            address = json.dumps(order["address"]).encode()
            for index in self._live:
                self._befall(index, bus.Order(bus.MOVED, order["node"], max(0, self._now()), address))
        elif order["do"] != WITHDRAW:  # too late: it was done when it came
            t_ps = max(0, self._now(), self._executed)
            self._execute(t_ps - 1)
            self._executed = t_ps
            self._carry_out(self._inputs.stamped(t_ps, order["what"]))
            self._lab.obeyed(order["id"], t_ps)

    def _disturb(self, planned: Planned) -> None:
        """The network becomes another, to those that live; the next lives of others are told at their births."""
        t_ps = max(planned.t_ps, self._executed)
        self._execute(t_ps - 1)
        self._executed = t_ps
        done = self._inputs.befall(planned._replace(t_ps=t_ps))
        self._plane.disturb(t_ps, done.upset)
        for node, plight in done.plights.items():
            index = self._host_of[node]
            if index in self._live:
                for order in bus.plight_orders(node, t_ps, plight):
                    self._befall(index, order)
        if done.next is not None:
            self._agenda.follow(done.next)

    def _attend_to(self, index: int) -> None:
        """Hear a host; in a standing testbed it may have died."""
        try:
            self._hear(index, max(0, self._now()))
        except HostDied:
            if not self._stands:
                raise
            self._fallen(index)

    def _fallen(self, index: int) -> None:
        """A process has died by itself: its nodes are cut off, and what they had is gone."""
        self._cut(index)
        t_ps = max(0, self._now(), self._executed)
        self._execute(t_ps - 1)
        for node in self._hosts[index].nodes:
            self._plane.reset_node(node, t_ps)
            self._lab.buried(node, t_ps, None)
        self._executed = t_ps

    # -- messages -----------------------------------------------------------------------------------------------

    def _attend(self, index: int) -> None:
        fd = self._hosts[index].sock.fileno()
        self._by_fd[fd] = index
        self._poll.register(fd, select.POLLIN)

    def _start(self, index: int) -> None:
        """Tell a host that has booted what time it is, and what has happened since it was told of its network."""
        self._tell(index, [bus.pack_start(self._epoch_ns, self._dilation), *self._held.pop(index, [])])

    def _tell(self, index: int, packets: list[bytes]) -> None:
        host = self._hosts[index]
        try:
            for packet in packets:
                host.sock.send(packet)
        except OSError:
            if not self._stands:
                raise HostDied(host.nodes) from None
            # Its end of the bus says so as well, and is heard in its turn.

    def _hear(self, index: int, now: int) -> bus.Report:
        host = self._hosts[index]
        report, commands = host.hear()
        if report.programs or index not in self._waking:  # the work that it comes back to it has yet to take up
            host.programs = report.programs
        host.closed_at = max(host.closed_at, report.closed_at)
        for node, t, sequence, message, body in commands:
            if t < now:
                self._late += 1
                self._latest_ps = max(self._latest_ps, now - t)
            self._plane.submit(node, max(t, self._executed), sequence, message, body)
        if index in self._waking:
            self._start(index)
            self._lab.born(self._waking.pop(index), now)
        return report

    def _befall(self, index: int, order: bus.Order) -> None:
        """What befalls a node of a host; one that is about to be born hears of it then."""
        packets = bus.pack_grant(bus.Grant(0, 0, [], [], [order]))
        if index in self._waking:
            self._held.setdefault(index, []).extend(packets)
        else:
            self._tell(index, packets)

    # -- planned deaths -----------------------------------------------------------------------------------------

    def _carry_out(self, planned: Planned) -> None:
        node, deed = planned.node, planned.deed
        if deed in (Deed.FAULT, Deed.HEAL):
            self._disturb(planned)
            return
        if deed is Deed.END:
            self._asked_to_end = True
            return
        if deed in (Deed.ATTACH, Deed.HANGUP, Deed.STIR):  # hosts let programs in, and miss them, themselves
            return
        index = self._host_of[node]
        if deed in (Deed.FREEZE, Deed.THAW):
            frozen = deed is Deed.FREEZE
            if index in self._live and self._hosts[index].turns(node, frozen):
                self._befall(index, bus.Order(bus.FREEZE if frozen else bus.THAW, node, planned.t_ps))
                self._inputs.turned(planned.t_ps, node, frozen)
            return
        alone = len(self._hosts[index].nodes) == 1
        if alone and (index in self._live) is not (deed is Deed.KILL):
            return  # it is so already: somebody's command, or its own death, was first
        if deed is Deed.KILL:
            if alone:
                self._bury(index)
            else:
                self._hosts[index].dies(node)
                self._order(index, bus.KILL, node)
            t_ps = max(0, self._now(), self._executed)
            self._execute(t_ps - 1)
            self._plane.reset_node(node, t_ps)
            self._executed = t_ps
            self._lab.buried(node, t_ps, None)
        elif alone:
            fresh = HostLink(self._lab.restart(node, max(0, self._now())), [node])
            fresh.closed_at = self._hosts[index].closed_at
            fresh.programs = int(self._agenda.resumes(planned))  # until it says itself
            self._hosts[index] = fresh
            self._live[index] = None
            self._waking[index] = node
            self._attend(index)
        else:
            self._order(index, bus.REVIVE, node)
            self._lab.born(node, max(0, self._now()))

    def _bury(self, index: int) -> None:
        """End the process of a host, and with it what it had to say."""
        host = self._hosts[index]
        (node,) = host.nodes
        self._lab.kill(node, max(0, self._now()))
        self._cut(index)

    def _cut(self, index: int) -> None:
        """Nothing is heard of this host any more."""
        host = self._hosts[index]
        fd = host.sock.fileno()
        self._poll.unregister(fd)
        del self._by_fd[fd], self._live[index]
        self._waking.pop(index, None)
        self._held.pop(index, None)
        host.sock.close()
        if host.programs:
            host.programs, host.closed_at = 0, max(0, self._now())

    def _order(self, index: int, kind: int, node: int) -> None:
        """A death or birth inside a process that other nodes share; it is done, and all said before is heard."""
        t_ps = max(0, self._now())
        self._tell(index, bus.pack_grant(bus.Grant(0, 0, [], [], [bus.Order(kind, node, t_ps)])))
        while not self._hear(index, max(0, self._now())).flags & bus.DONE:
            pass
