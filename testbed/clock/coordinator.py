"""The coordinator of the ``virtual`` clock: conservative windows for node processes, with the plane as one federate.

What may live here: who may run how far.  A host's *effective* next time is the earliest of what it holds, what is in
flight to it and what the plane has answered it.  Host i may run up to ``min_j(min(effective_j, promise_j) +
reach[j][i])``, and not beyond ``promise_i``, a promise being how early the plane can answer a host: nobody can make
anything due at i before that.  The plane executes what is stamped t only when every effective time is above t.
Rounds are barriers with blocking reads in host order: on two cores that beats polling.
"""

import select
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol

from stack.runtime import bus
from stack.runtime.times import MOST_PAUSE, NEVER
from stack.runtime.virtual import CountError
from testbed.clock.agenda import Agenda, Deed, Ending, Inputs, Planned
from testbed.clock.federate import Federate
from testbed.clock.orders import Orders

PROGRESS_EVERY_S = 0.25
LETS_IN_S = 10.0
"""How long whoever keeps the doors may take to say that a program is at one."""
_TOLD = {Deed.HANGUP: bus.HANGUP, Deed.STIR: bus.STIR}
"""What a host has said of one of its programs, and is told again when it counts."""


class HostDied(Exception):
    """A host closed its bus before the end of the run."""

    def __init__(self, nodes: list[int]) -> None:
        super().__init__(f"the process of nodes {nodes} has gone")
        self.nodes = nodes


class Lab(Protocol):
    """What the coordinator asks of whoever keeps the processes."""

    def kill(self, node: int, t_ps: int) -> None:
        """End the node's process; return when it has ended."""

    def restart(self, node: int, t_ps: int) -> socket.socket:
        """Start the node's next incarnation in a new process; its bus."""

    def buried(self, node: int, t_ps: int, frames_lost: int | None) -> None:
        """A planned death is done; None: nobody knows what was on its way (``paced``)."""

    def born(self, node: int, t_ps: int) -> None:
        """A planned restart is done."""

    def up(self) -> None:
        """Every node has booted; time begins to move."""

    def spent(self, number: int, fidelities: list[tuple[float, ...] | None]) -> None:
        """The oracle's answer to order ``number`` of a standing testbed."""

    def obeyed(self, number: int, t_ps: int) -> None:
        """Order ``number`` has been carried out, and counted at ``t_ps``."""

    def thinks(self, node: int, still: bool, process: int) -> None:
        """A program of this node keeps the floor, and time stands still; or it has gone on."""

    def progress(self, t_ps: int, windows: int) -> None:
        """About four times a second of wall time."""

    def ending(self) -> None:
        """The run is over: from now on processes may end."""


class HostLink:
    """The coordinator's view of one host."""

    def __init__(self, sock: socket.socket, nodes: list[int]) -> None:
        self.sock = sock
        self.nodes = nodes
        self.next = 0
        self.flight = NEVER
        self.answers: list[bus.Answer] = []
        self.programs = 0
        self.closed_at = 0
        self.taken = 0
        self.lost: dict[int, int] = {}
        self.more = False
        self._resting = False
        self.programs_at_rest = 0
        self.knocks = False
        self.granted: dict[int, int] = dict.fromkeys(nodes, 0)
        self._frozen: set[int] = set()
        self.on_thinks: Callable[[int, bool, int], None] = lambda node, still, process: None
        self.on_input: Callable[[dict[str, Any]], None] = lambda what: None

    def fileno(self) -> int:
        return self.sock.fileno()

    @property
    def effective(self) -> int:
        e = min(self.next, self.flight)
        for answer in self.answers:
            e = min(e, answer.due)
        return e

    @property
    def at_rest(self) -> bool:
        """Nothing that it is to do is a reason for time to pass."""
        return self._resting and self.flight == NEVER and not self.answers

    def reports(self, report: bus.Report) -> None:
        """It has come to the end of its window."""
        self.next = report.next
        self.programs = report.programs
        self.closed_at = report.closed_at
        self.taken = report.taken
        self.lost.update(report.lost)
        self.more = bool(report.flags & bus.MORE)
        self._resting = bool(report.flags & bus.RESTS)
        self.programs_at_rest = report.resting
        self.knocks = bool(report.flags & bus.KNOCKS)

    def turns(self, node: int, frozen: bool) -> bool:
        """A node is to be frozen, or thawed; False if it is so already."""
        if (node in self._frozen) == frozen:
            return False
        self._frozen ^= {node}
        return True

    def dies(self, node: int) -> None:
        """Its next life is not frozen."""
        self._frozen.discard(node)

    def hear(self) -> tuple[bus.Report, list[bus.Command]]:
        """Its next report, and the device commands in it; waits for it.  Raises HostDied."""
        commands: list[bus.Command] = []
        while True:
            packet = self._packet()
            if self._aside(packet):
                continue
            report = bus.unpack_report(packet, commands)
            if report is not None:
                return report, commands

    def overhear(self) -> None:
        """What it says though nothing was asked of it.  Raises HostDied."""
        if not self._aside(self._packet()):
            raise RuntimeError(f"the host of nodes {self.nodes} reports unasked")

    def _packet(self) -> bytes:
        try:
            packet = self.sock.recv(bus.PACKET_MAX * 2)
        except OSError:
            packet = b""
        if not packet:
            raise HostDied(self.nodes)
        return packet

    def _aside(self, packet: bytes) -> bool:
        """Whether it is no part of a report; then it has been heeded."""
        if packet[0] == bus.THINKS:
            self.on_thinks(*bus.unpack_thinks(packet))
        elif packet[0] == bus.INPUT:
            self.on_input(bus.unpack_input(packet))
        else:
            return False
        return True


class Coordinator:
    """Runs node processes to the end.  ``reach[a][b]``: least true time from a cause at host a to an effect at host b
    (``reach[a][a]``: the shortest way there and back); ``undrained_max``: datagrams a socket surely holds."""

    def __init__(
        self,
        hosts: list[HostLink],
        reach: list[list[int]],
        plane: Federate,
        agenda: Agenda,
        ending: Ending,
        any_programs: bool,
        undrained_max: int,
        lab: Lab,
        inputs: Inputs,
        orders: Orders | None = None,
    ) -> None:
        """``orders``: what comes from outside; who gives any may let time stand still, see ``Orders.standing``."""
        self.windows = 0
        self.grants = 0
        self.frames = 0
        self.stuck = False
        self.end_ps = 0
        self.frames_lost: dict[int, int] = {}
        self._hosts = hosts
        self._live = list(range(len(hosts)))
        self._host_of = {node: index for index, host in enumerate(hosts) for node in host.nodes}
        self._reach = reach
        self._plane = plane
        self._agenda = agenda
        self._ending = ending
        self._any_programs = any_programs
        self._undrained_max = undrained_max
        self._lab = lab
        self._inputs = inputs
        self._orders = orders
        self._done_ps = 0
        """What comes from outside counts from here on: something may have been done at all times before."""
        self._asks_until = 0
        self._told_end = NEVER
        self._interrupted = False
        self._heard = False
        """Whether a program from outside has been since the hosts were asked who has spoken."""
        self._dead: set[int] = set()
        self._sent = dict.fromkeys(self._host_of, 0)
        self._said = time.monotonic()
        self._outside: dict[int, HostLink | Orders] = {}
        """From where something may come at any time, by the numbers of their sockets."""
        self._look_out = select.poll()
        if orders is not None:
            self._heed(orders)
        for host in hosts:
            self._joins(host)

    # -- the loop -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until the end of the run; raises HostDied."""
        self._collect(self._live)
        self._lab.up()
        while True:
            self._empty_outboxes()
            self._look_round()
            self._hear_outside(0)
            if self._interrupted:
                self._interrupted = False
                self._agenda.take(self._inputs.stamped(self._done_ps, {"do": "end"}))
            effective = self._settle()
            first = min(effective.values(), default=NEVER)
            planned = self._agenda.next_ps()
            devices = self._plane.next_ps()
            stop = self._stop_ps()
            cap = min(stop, planned, self._program_cap(effective))
            if devices == stop == NEVER and self._at_rest(planned):
                if first > self._asks_until:
                    self._lab.progress(self._done_ps, self.windows)
                    self._hear_outside(None)
                    continue
                cap = min(cap, self._asks_until + 1)
            if min(first, devices, planned) >= stop or first == devices == planned == NEVER:
                self.stuck = stop == NEVER and any(h.programs for h in self._hosts)
                self.end_ps = stop if stop != NEVER else max(h.closed_at for h in self._hosts)
                self._lab.ending()
                self._finish()
                return
            if planned <= min(first, devices):
                deed = self._agenda.pop()
                self._carry_out(deed)
                if deed.order:
                    self._lab.obeyed(deed.order, deed.t_ps)
                continue
            self._window(effective, cap)

    def end_soon(self) -> None:
        """The run is to end as soon as it can; may be called from a signal's handler."""
        self._interrupted = True

    def _at_rest(self, planned: int) -> bool:
        """A testbed that stands has nothing to do but to ask, after pauses, whether peers still live.  After whatever
        may be why they do not everybody has the time to do so; else time stands still.

        Nor does it pass for what is ``planned`` for later, unless a program waits: that may be what it waits for."""
        if self._orders is None or not self._orders.standing or planned <= self._done_ps:
            return False
        waits = planned != NEVER and any(host.programs > host.programs_at_rest for host in self._hosts)
        return not waits and all(self._hosts[i].at_rest for i in self._live)

    def _stop_ps(self) -> int:
        open_programs = sum(h.programs for h in self._hosts) or self._agenda.owed
        last = max(h.closed_at for h in self._hosts)
        return min(self._ending.stop_ps(open_programs, last, self._any_programs), self._told_end)

    def _program_cap(self, effective: dict[int, int]) -> int:
        """Nobody may run past the earliest end that the last open program could still cause."""
        latest = max((e for i, e in effective.items() if self._hosts[i].programs), default=NEVER)
        return min(latest, NEVER - self._ending.linger_ps) + self._ending.linger_ps

    def _settle(self) -> dict[int, int]:
        """Let the plane execute what nobody can precede any more; the hosts' effective times."""
        hosts = self._hosts
        plane = self._plane
        effective = {i: hosts[i].effective for i in self._live}
        first = min(effective.values(), default=NEVER)
        limit = min(first, self._agenda.next_ps(), self._stop_ps())
        while (at := plane.next_ps()) < limit:
            self._done_ps = max(self._done_ps, at + 1)
            plane.step()
            for answer in plane.take_answers():
                index = self._host_of[answer.node]
                if index not in effective:
                    continue
                hosts[index].answers.append(bus.Answer(*answer))
                if answer.due_ps < effective[index]:
                    effective[index] = answer.due_ps
                    limit = min(limit, answer.due_ps)
        return effective

    def _window(self, effective: dict[int, int], cap: int) -> None:
        """Grant every host that can do something what it can do; wait for all of them."""
        hosts = self._hosts
        reach = self._reach
        plane = self._plane
        # What the plane has yet to do makes its host act, too, and what that sends reaches the others later.
        acts = dict(effective)
        promised = dict.fromkeys(effective, NEVER)
        if plane.next_ps() != NEVER:
            for j, e in effective.items():
                promised[j] = min(map(plane.promise, hosts[j].nodes))
                acts[j] = min(e, promised[j])
        busy = [(j, e) for j, e in acts.items() if e != NEVER]
        running = []
        for i, e in effective.items():
            if e < cap:
                horizon = min(cap, promised[i])
                column = reach
                for j, other in busy:
                    bound = other + column[j][i]
                    if bound < horizon:
                        horizon = bound
                if e < horizon:
                    self._grant(i, min(horizon, NEVER), 0, [])
                    self._done_ps = max(self._done_ps, horizon)
                    running.append(i)
                    continue
            if self._undrained(i) > self._undrained_max // 3:
                self._grant(i, 0, bus.DRAIN, [])
                running.append(i)
        if not running:
            raise CountError(f"no host may move: {effective}, plane at {plane.next_ps()}")
        self.windows += 1
        self._collect(running)
        now = time.monotonic()
        if now - self._said > PROGRESS_EVERY_S:
            self._said = now
            self._lab.progress(min(effective.values()), self.windows)

    # -- messages -----------------------------------------------------------------------------------------------

    def _grant(self, index: int, end: int, flags: int, orders: list[bus.Order]) -> None:
        host = self._hosts[index]
        expect = []
        for node in host.nodes:
            if self._sent[node] != host.granted[node]:
                host.granted[node] = self._sent[node]
                expect.append((node, self._sent[node]))
        answers, host.answers = host.answers, []
        host.flight = NEVER
        self.grants += 1
        try:
            for packet in bus.pack_grant(bus.Grant(end, flags, expect, answers, orders)):
                host.sock.send(packet)
        except OSError:
            raise HostDied(host.nodes) from None

    def _collect(self, indices: list[int]) -> None:
        for index in indices:
            host = self._hosts[index]
            report, commands = host.hear()
            host.reports(report)
            self._heard |= bool(report.flags & bus.HEARD)
            for node, count, due in report.sent:
                self._sent[node] += count
                self.frames += count
                there = self._hosts[self._host_of[node]]
                there.flight = min(there.flight, due)
            for node, t, sequence, message, body in commands:
                self._plane.submit(node, t, sequence, message, body)

    def _undrained(self, index: int) -> int:
        host = self._hosts[index]
        return sum(self._sent[node] - host.granted[node] for node in host.nodes)

    def _empty_outboxes(self) -> None:
        """Hosts whose frames wait for room: drain everybody, let them go on, until all is sent."""
        while any(self._hosts[i].more for i in self._live):
            full = [i for i in self._live if self._undrained(i)]
            for i in full:
                self._grant(i, 0, bus.DRAIN, [])
            self._collect(full)
            waiting = [i for i in self._live if self._hosts[i].more and i not in full]
            for i in waiting:
                self._grant(i, 0, bus.DRAIN, [])
            self._collect(waiting)

    def _finish(self) -> None:
        for i in self._live:
            self._grant(i, self.end_ps, bus.LAST, [])
        for i, host in enumerate(self._hosts):
            if i not in self._live:
                self._lost_while_down(host)

    def _lost_while_down(self, host: HostLink) -> None:
        node = host.nodes[0]
        self.frames_lost[node] += self._sent[node] - host.granted[node]

    # -- planned deaths -----------------------------------------------------------------------------------------

    def _carry_out(self, planned: Planned) -> None:
        t, node, deed, about, _ = planned
        self._done_ps = max(self._done_ps, t)
        if deed is Deed.END:
            self._told_end = t
            return
        if deed not in (Deed.ATTACH, *_TOLD):
            self._asks_until = t + 2 * MOST_PAUSE
        if deed in (Deed.FAULT, Deed.HEAL):
            self._disturb(planned)
            return
        index = self._host_of[node]
        if deed in (Deed.FREEZE, Deed.THAW):
            frozen = deed is Deed.FREEZE
            if node not in self._dead and self._hosts[index].turns(node, frozen):
                self._inputs.turned(t, node, frozen)
                self._order(index, bus.Order(bus.FREEZE if frozen else bus.THAW, node, t))
            return
        if deed in (Deed.ATTACH, *_TOLD):
            assert about is not None
            if node not in self._dead:
                self._tell_of_program(index, planned, about["session"], about.get("calls"))
            return
        if about is not None and (index in self._live and node not in self._dead) == (deed is Deed.RESTART):
            return  # it has died, or been restarted, between the order and now
        host = self._hosts[index]
        alone = len(host.nodes) == 1
        if deed is Deed.KILL:
            if alone:
                lost = self._sent[node] - host.taken
                host.granted[node] = self._sent[node]
                self._lab.kill(node, t)
                self._parts(host)
                if host.programs:
                    host.programs, host.closed_at = 0, t
                self._live.remove(index)
                self.frames_lost[node] = self.frames_lost.get(node, 0) + lost
            else:
                host.dies(node)
                before = host.lost.get(node, 0)
                self._order(index, bus.Order(bus.KILL, node, t))
                lost = host.lost.get(node, 0) - before
            self._dead.add(node)
            self._plane.reset_node(node, t)
            self._lab.buried(node, t, lost)
        elif alone:
            self._lost_while_down(host)
            fresh = HostLink(self._lab.restart(node, t), [node])
            fresh.closed_at = host.closed_at
            self._joins(fresh)
            self._hosts[index] = fresh
            self._sent[node] = 0
            self._live = sorted([*self._live, index])
            self._collect([index])
        else:
            self._order(index, bus.Order(bus.REVIVE, node, t))
        if deed is Deed.RESTART:
            self._dead.discard(node)
            self._lab.born(node, t)

    def _order(self, index: int, *orders: bus.Order) -> None:
        """What befalls nodes of one process: it is carried out there, and nothing else."""
        self._grant(index, 0, 0, list(orders))
        self._collect([index])

    # -- from outside -------------------------------------------------------------------------------------------

    def _heed(self, source: HostLink | Orders) -> None:
        self._outside[source.fileno()] = source
        self._look_out.register(source.fileno(), select.POLLIN)

    def _joins(self, host: HostLink) -> None:
        """Between its reports a host has something to say only where programs come from outside."""
        host.on_thinks = self._lab.thinks
        host.on_input = self._comes
        if self._orders is not None and self._orders.standing:
            self._heed(host)

    def _parts(self, host: HostLink) -> None:
        if self._outside.pop(host.fileno(), None) is not None:
            self._look_out.unregister(host.fileno())
        host.sock.close()

    def _hear_outside(self, patience_ms: int | None) -> None:
        """Take what has come from outside; None: wait until something comes.  No host owes a report now."""
        if not self._outside:
            return
        for number, _ in self._look_out.poll(patience_ms):
            source = self._outside[number]
            if isinstance(source, HostLink):
                source.overhear()
            else:
                self._take(source)

    def _look_round(self) -> None:
        """A program has just given up the floor, and programs rest.  If one has spoken before in a session that rested,
        or has come to a node, that counts before time goes on: nobody may have told so yet."""
        if not self._heard:
            return
        self._heard = False
        if not any(self._hosts[i].programs_at_rest for i in self._live):
            return
        for i in self._live:
            self._grant(i, 0, bus.DRAIN, [])
        self._collect(self._live)
        end = time.monotonic() + LETS_IN_S
        for host in [self._hosts[i] for i in self._live if self._hosts[i].knocks]:
            while not self._agenda.lets_in(host.nodes) and (left_s := end - time.monotonic()) > 0:
                self._hear_outside(int(left_s * 1000))

    def _take(self, orders: Orders) -> None:
        for order in orders.pending():
            if order["do"] == "spent":
                self._lab.spent(order["id"], self._plane.spent([(n, q) for n, q in order["places"]]))
            else:
                self._comes(order["what"], order["id"])
        if not orders.open:
            self._look_out.unregister(orders.fileno())

    def _comes(self, what: dict[str, Any], order: int = 0) -> None:
        """An input: it counts at the first instant before which all is done, and after which nothing."""
        self._agenda.take(self._inputs.stamped(self._done_ps, what)._replace(order=order))

    def _tell_of_program(
        self, index: int, planned: Planned, session: str, calls: list[tuple[int, str]] | None
    ) -> None:
        """It attaches, has hung up, or stirs; ``calls``: of one that attached once, all that it asked."""
        t, node = planned.t_ps, planned.node
        if planned.deed in _TOLD:
            orders = [bus.Order(_TOLD[planned.deed], node, t, session.encode())]
        elif calls is None:
            orders = [bus.Order(bus.ATTACH, node, t, session.encode())]
        else:
            orders = bus.replay_orders(node, t, session, calls)
        for order in orders:
            self._order(index, order)

    def _disturb(self, planned: Planned) -> None:
        done = self._inputs.befall(planned)
        self._plane.disturb(planned.t_ps, done.upset)
        for node, plight in done.plights.items():
            index = self._host_of[node]
            if index in self._live:
                for order in bus.plight_orders(node, planned.t_ps, plight):
                    self._order(index, order)
        if done.next is not None:
            self._agenda.follow(done.next)
