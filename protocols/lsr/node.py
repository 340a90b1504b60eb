"""LSR, routing: the machine of one node.  LSR-n: lsr.toml.

Theory of operation.  Neighbours, the nodes at the other ends of a node's links, find each other by Hellos.  What a
node's links can deliver stands in its adverts; each version of them goes to all neighbours and from there to theirs, so
that it floods the network, each step acknowledged and repeated until it is.  A node that joins, or comes back, or heals
a partition, compares its database with its neighbour's: one of the two sends a Summary of the versions it holds, the
other sends what is missing there and requests what is newer.  Digests in the Hellos tell when the two agree.  From its
database every node computes paths for itself; how is not LSR's business (`graph`).

Quiet by design.  Neighbours that agree exchange nothing until something changes, as over RFC 1793's demand circuits,
unless somebody here watches a neighbour, for a circuit that leads there: then it is asked every so often whether it is
there.  Of two that watch each other the lower-numbered asks, and its question answers the other's.  A neighbour that is
down is asked for at intervals that grow with the time for which it has been down, without end while nobody watches
anything.  So a network without circuits comes to rest, and a lost neighbour that nobody watched is found out by the
first who depends on it.

Ageing follows from that: as nothing is refreshed, an advert ages only while its origin cannot be reached (RFC 7787 does
likewise), when there is no neighbour of that origin left to say what became of it.

Here are Hellos, the states of neighbours, and who gets a message.  How adverts spread is in flooding.py, what a node
says of itself in saying.py, when something is said again in repeats.py.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from protocols.lsr.database import Database, Key, version_of
from protocols.lsr.flooding import Flooding
from protocols.lsr.neighbour import PATIENCE, Neighbour
from protocols.lsr.repeats import Repeats
from protocols.lsr.saying import Saying
from protocols.lsr.service import DEFAULTS, Changed, Forgotten, Graph, NeighbourDown, NeighbourUp, Settings
from protocols.lsr.shared import ACK, POLL, RETRY, SPEAK, Shared
from protocols.lsr.states import TABLE, Do, Input, State
from protocols.machine import Output
from protocols.routes import Offer
from protocols.serial import serial_newer
from protocols.wire.codec import LsrAck, LsrAdvert, LsrHello, LsrRequest, LsrSummary

BURST: Final = 32
"""Adverts that are repeated to one neighbour at once."""

_CHECK_SOON: Final = ("check", 0)
_FORGET: Final = ("forget", 0)


class Lsr:
    """One node.  `start` begins it."""

    def __init__(
        self,
        node: int,
        incarnation: int,
        neighbours: Mapping[int, int],
        transit: bool = True,
        settings: Settings = DEFAULTS,
        first_sequence: int = 1,
    ) -> None:
        """neighbours: number of each -> the round trip to it, in ps.  transit: whether circuits may pass through."""
        self.database = Database(node)
        self._node = node
        self._incarnation = incarnation
        self._settings = settings
        self._neighbours = {n: Neighbour(n, trip, node < n) for n, trip in sorted(neighbours.items())}
        self._shared = Shared(node, settings, self.database, self._neighbours)
        self._repeats = Repeats(self._shared)
        self._flooding = Flooding(self._shared, self._repeats)
        settle_ps = 2 * max(neighbours.values(), default=0)
        self._saying = Saying(self._shared, self._flooding, incarnation, transit, first_sequence, settle_ps)
        self._forget_at: dict[int, int] = {}  # origins out of reach
        self._checked = 0  # topology changes seen when that was looked at
        self._told = 0  # changes told in events

    # The service upward.

    def start(self, now: int) -> None:
        """Look for the neighbours."""
        for neighbour in self._neighbours.values():
            neighbour.down_at = now
            self._ask(neighbour, now)

    def offer(self, link: int, peer: int, offer: Offer | None, now: int) -> None:
        """What a link to a neighbour can deliver; None if it can deliver nothing."""
        if peer not in self._neighbours:
            raise ValueError(f"node {peer} is no neighbour")
        self._saying.offer(link, peer, offer, now)

    def watch(self, peer: int, now: int) -> None:
        """Ask from now on whether this neighbour is there; each call is matched by an `unwatch`."""
        neighbour = self._neighbours[peer]
        neighbour.watches += 1
        self._shared.watches += 1
        if neighbour.watches == 1 and neighbour.up:
            self._poll_again(neighbour, now)
        if self._shared.watches == 1:
            for other in self._neighbours.values():
                if not other.up:  # the interval of its questions may have become long
                    self._repeats.progress(other)
                    self._ask(other, now)

    def unwatch(self, peer: int, now: int) -> None:
        self._neighbours[peer].watches -= 1
        self._shared.watches -= 1

    def suspect(self, peer: int, now: int) -> None:
        """There is reason to believe that this neighbour is gone: ask now."""
        neighbour = self._neighbours[peer]
        if neighbour.up and not neighbour.asking:
            neighbour.asking = True
            self._ask(neighbour, now)

    def graph(self) -> Graph:
        """What is known of the network; the same object until something changes."""
        return self.database.graph()

    def link_lasts(self, link: int, since: int) -> bool:
        """Is it up, and the same as it was after so many of the database's topology changes?"""
        return self.database.lasts(link, since)

    def neighbour_up(self, peer: int) -> bool:
        return self._neighbours[peer].up

    # The machine.

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        neighbour = self._neighbours.get(source)
        if neighbour is None:
            self._shared.ignore(source, message, "not a neighbour")
        elif isinstance(message, LsrHello):
            self._on_hello(neighbour, message, now)
        elif not neighbour.up:
            # Its Hello was lost, or it thinks we are up.
            self._shared.ignore(source, message, "a neighbour that is down")
        else:
            self._repeats.heard(neighbour, now)
            busy = neighbour.busy
            match message:
                case LsrAdvert():
                    self._on_advert(neighbour, message, now)
                case LsrAck():
                    for version in message.versions:
                        self._flooding.landed(neighbour, version)
                case LsrSummary():
                    self._on_summary(neighbour, message, now)
                case LsrRequest():
                    self._flooding.on_request(neighbour, message, now)
                case _:
                    raise TypeError(f"{type(message).__name__} is not a message of LSR")
            if busy and not neighbour.busy:
                self._confirm(neighbour)
            self._repeats.rearm(neighbour, now)

    def poll(self, now: int) -> list[Output]:
        for timer in self._shared.timers.take_due(now):
            kind, number = timer
            if timer == SPEAK:
                self._saying.speak(now)
            elif timer in (_CHECK_SOON, _FORGET):
                self._check_reach(now)
            elif kind == RETRY:
                self._retry(self._neighbours[number], now)
            elif kind == POLL:
                self._poll(self._neighbours[number], now)
            else:
                self._flooding.acknowledge(self._neighbours[number])
        if self.database.topology_changes != self._checked and _CHECK_SOON not in self._shared.timers:
            self._shared.timers.set(_CHECK_SOON, now + self._settings.hold_ps)
        if self.database.changes != self._told:
            self._told = self.database.changes
            self._shared.outputs.append(Changed())
        outputs, self._shared.outputs = self._shared.outputs, []
        return outputs

    def next_timeout(self) -> int | None:
        return self._shared.timers.next()

    # Hellos.

    def _on_hello(self, neighbour: Neighbour, hello: LsrHello, now: int) -> None:
        if hello.incarnation != neighbour.life:
            if neighbour.life and not serial_newer(hello.incarnation, neighbour.life, 16):
                self._shared.ignore(neighbour.number, hello, "of an earlier life")
                return
            if neighbour.up:
                self._move(neighbour, Input.RESTARTED, now)
            neighbour.life, neighbour.newest = hello.incarnation, 0
        if hello.number <= neighbour.newest:  # LSR-2
            self._shared.ignore(neighbour.number, hello, "overtaken")
            return
        neighbour.newest = hello.number
        neighbour.hears = True
        neighbour.asking = False
        self._repeats.heard(neighbour, now)
        if hello.heard != self._incarnation:  # LSR-1
            self._move(neighbour, Input.ONE_WAY, now)
        else:
            if hello.answer:
                self._hello(neighbour, answer=False)  # LSR-3
            # What is on the way to it makes no difference.
            agrees = hello.digest == self.database.digest() or (neighbour.state is State.AGREE and neighbour.busy)
            self._move(neighbour, Input.AGREES if agrees else Input.DIFFERS, now)
        self._repeats.rearm(neighbour, now)

    def _hello(self, neighbour: Neighbour, answer: bool) -> None:
        neighbour.sent += 1
        heard = neighbour.life if neighbour.hears else 0
        digest = self.database.digest()
        self._shared.send(neighbour, LsrHello(self._incarnation, heard, neighbour.sent, int(answer), digest))

    def _ask(self, neighbour: Neighbour, now: int) -> None:
        """Send a Hello that is repeated until there is an answer."""
        self._hello(neighbour, answer=True)
        self._repeats.wait(neighbour, now)

    def _poll(self, neighbour: Neighbour, now: int) -> None:
        """The time has come to ask whether a neighbour is there, if it has not been heard meanwhile."""
        if not neighbour.up or not self._interval(neighbour):
            return
        if not neighbour.asking and now - neighbour.heard_at >= self._interval(neighbour):
            neighbour.asking = True
            self._ask(neighbour, now)
        self._poll_again(neighbour, now)

    def _poll_again(self, neighbour: Neighbour, now: int) -> None:
        interval = self._interval(neighbour)
        if interval:
            due = neighbour.heard_at + interval
            self._shared.timers.set((POLL, neighbour.number), due if due > now else now + interval)

    def _interval(self, neighbour: Neighbour) -> int:
        """How often it is asked, or 0.  Who does not lead waits a little longer, for the other's question."""
        interval = self._settings.hello_ps if neighbour.watches else self._settings.idle_hello_ps
        return interval if neighbour.leads else interval + interval // 4

    def _retry(self, neighbour: Neighbour, now: int) -> None:
        assert neighbour.asked_at is not None
        patience = max(self._settings.dead_ps, PATIENCE * neighbour.timeout_ps)
        if neighbour.up and now - neighbour.asked_at >= patience:  # LSR-10
            neighbour.hears = False
            self._move(neighbour, Input.SILENT, now)
            return
        neighbour.back_off += 1
        neighbour.wanted.clear()  # what is still wanted then, the next Summary will tell
        for advert in list(neighbour.flight.values())[:BURST]:
            self._shared.send(neighbour, advert)
        if not neighbour.flight and neighbour.state is State.DIFFER and neighbour.leads:
            self._flooding.summarise(neighbour)
        elif not neighbour.flight:
            self._hello(neighbour, answer=True)
        self._repeats.wait(neighbour, now)

    # The table's actions.

    def _move(self, neighbour: Neighbour, stimulus: Input, now: int) -> None:
        neighbour.state, actions = TABLE[neighbour.state, stimulus]
        for action in actions:
            self._do(action, neighbour, now)

    def _do(self, action: Do, neighbour: Neighbour, now: int) -> None:
        match action:
            case Do.UP:
                neighbour.drop()
                self._shared.timers.cancel((RETRY, neighbour.number))
                self._shared.outputs.append(NeighbourUp(neighbour.number))
                self._poll_again(neighbour, now)
                self._flooding.give_unreached(neighbour, now)
                self._saying.consider(now)
            case Do.LOST:
                neighbour.drop()
                neighbour.down_at = now
                self._shared.timers.cancel((RETRY, neighbour.number))
                self._shared.timers.cancel((ACK, neighbour.number))
                self._shared.outputs.append(NeighbourDown(neighbour.number))
                self._saying.consider(now)
            case Do.ASK:
                self._ask(neighbour, now)
            case Do.COMPARE:
                neighbour.back_off = 0
                if neighbour.leads:  # LSR-8
                    self._flooding.summarise(neighbour)
                self._repeats.wait(neighbour, now)
            case Do.REST:
                neighbour.wanted.clear()

    # Adverts.

    def _on_advert(self, neighbour: Neighbour, advert: LsrAdvert, now: int) -> None:
        key = Key(advert.origin, advert.part)
        if len({link.link for link in advert.links}) != len(advert.links):
            self._shared.ignore(neighbour.number, advert, "a link named twice")
            return
        if (stale := self.database.supersedes(advert)) is not None:  # LSR-6
            self._flooding.landed(neighbour, advert)
            self._flooding.give(neighbour, stale, now)
        elif advert.origin == self._node and not self.database.holds(advert):
            self._outdo(neighbour, advert, now)
        else:
            known = self.database.holds(advert)
            answered = self._flooding.landed(neighbour, advert)
            if not known:
                self._flooding.install(advert, neighbour, now)
            if not (known and answered):
                self._flooding.owe(neighbour, version_of(advert), now)
        if key in neighbour.wanted:
            neighbour.wanted.discard(key)
            self._repeats.progress(neighbour)

    def _outdo(self, neighbour: Neighbour, advert: LsrAdvert, now: int) -> None:
        """The network holds something of this node that this node, in this life, has not said.  LSR-7"""
        if serial_newer(advert.incarnation, self._incarnation, 16):
            self._shared.ignore(neighbour.number, advert, "of a later life of this node")
            return
        if advert.incarnation == self._incarnation and serial_newer(advert.sequence, self._saying.sequence, 32):
            self._saying.sequence = advert.sequence
        self._saying.speak(now, anyway=True)

    # Comparing databases.  LSR-8

    def _on_summary(self, neighbour: Neighbour, summary: LsrSummary, now: int) -> None:
        if self._flooding.compare(neighbour, summary, now):
            self._move(neighbour, Input.DIFFERS, now)
        elif not neighbour.flight:
            self._hello(neighbour, answer=False)

    def _confirm(self, neighbour: Neighbour) -> None:
        """Nothing is on the way any more, in either direction: the digests should be equal."""
        if neighbour.state is State.DIFFER and neighbour.leads:
            self._hello(neighbour, answer=True)

    # Ageing.  LSR-11

    def _check_reach(self, now: int) -> None:
        """Forget who has been out of reach for too long, note who is."""
        self._checked = self.database.topology_changes
        gone = self.database.unreachable()
        self._forget_at = {n: self._forget_at.get(n, now + self._settings.forget_ps) for n in gone}
        for origin in [n for n, due in self._forget_at.items() if due <= now]:
            del self._forget_at[origin]
            self.database.forget(origin)
            self._checked = self.database.topology_changes
            self._shared.outputs.append(Forgotten(origin))
        if self._forget_at:
            self._shared.timers.set(_FORGET, min(self._forget_at.values()))
