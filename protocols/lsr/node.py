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
down is asked for at intervals that double, without end while nobody watches anything.  So a network without circuits
comes to rest, and a lost neighbour that nobody watched is found out by the first who depends on it.

Ageing follows from that: as nothing is refreshed, an advert ages only while its origin cannot be reached (RFC 7787 does
likewise), when there is no neighbour of that origin left to say what became of it.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from protocols.ignored import Ignored
from protocols.lsr.damper import Damper, worth_telling
from protocols.lsr.database import FIRST, LAST, Database, Key, newer, serial_newer, version_of
from protocols.lsr.neighbour import PATIENCE, Neighbour
from protocols.lsr.service import DEFAULTS, Changed, Forgotten, Graph, NeighbourDown, NeighbourUp, Settings
from protocols.lsr.states import TABLE, Do, Input, State
from protocols.machine import Output, Send
from protocols.routes import Offer
from protocols.timers import Timers
from protocols.wire.codec import LsrAck, LsrAdvert, LsrHello, LsrLink, LsrPart, LsrRequest, LsrSummary, LsrVersion

LINKS_IN_ADVERT = 40
VERSIONS_IN_MESSAGE = 120
BURST = 32
"""Adverts that are repeated to one neighbour at once."""

_RETRY, _POLL, _ACK = "retry", "poll", "ack"  # of a neighbour
_SPEAK, _CHECK_SOON, _FORGET = ("speak", 0), ("check", 0), ("forget", 0)
_MASK32 = (1 << 32) - 1


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
        self._transit = int(transit)
        self._settings = settings
        self._neighbours = {n: Neighbour(n, trip, node < n) for n, trip in sorted(neighbours.items())}
        self._offers: dict[int, tuple[int, Offer]] = {}  # by link: its neighbour, what it can deliver
        self._sequence = first_sequence - 1 & _MASK32
        self._damper = Damper(settings, 2 * max(neighbours.values(), default=0))
        self._watches = 0
        self._forget_at: dict[int, int] = {}  # origins out of reach
        self._checked = 0  # topology changes seen when that was looked at
        self._told = 0  # changes told in events
        self._timers: Timers[tuple[str, int]] = Timers()
        self._outputs: list[Output] = []

    # The service upward.

    def start(self, now: int) -> None:
        """Look for the neighbours."""
        for neighbour in self._neighbours.values():
            self._ask(neighbour, now)

    def offer(self, link: int, peer: int, offer: Offer | None, now: int) -> None:
        """What a link to a neighbour can deliver; None if it can deliver nothing."""
        if peer not in self._neighbours:
            raise ValueError(f"node {peer} is no neighbour")
        if offer is None:
            self._offers.pop(link, None)
        else:
            self._offers[link] = peer, offer
        self._consider(now)

    def watch(self, peer: int, now: int) -> None:
        """Ask from now on whether this neighbour is there; each call is matched by an `unwatch`."""
        neighbour = self._neighbours[peer]
        neighbour.watches += 1
        self._watches += 1
        if neighbour.watches == 1 and neighbour.up:
            self._poll_again(neighbour, now)
        if self._watches == 1:
            for other in self._neighbours.values():
                if not other.up:  # the interval of its questions may have become very long
                    self._progress(other)
                    self._ask(other, now)

    def unwatch(self, peer: int, now: int) -> None:
        self._neighbours[peer].watches -= 1
        self._watches -= 1

    def suspect(self, peer: int, now: int) -> None:
        """There is reason to believe that this neighbour is gone: ask now."""
        neighbour = self._neighbours[peer]
        if neighbour.up and not neighbour.asking:
            neighbour.asking = True
            self._ask(neighbour, now)

    def graph(self) -> Graph:
        """What is known of the network; the same object until something changes."""
        return self.database.graph()

    def link_up(self, link: int) -> bool:
        """Do both ends of this link say that it is up, and can they be reached from here?"""
        return self.database.link_in_reach(link)

    def neighbour_up(self, peer: int) -> bool:
        return self._neighbours[peer].up

    # The machine.

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        neighbour = self._neighbours.get(source)
        if neighbour is None:
            self._ignore(source, message, "not a neighbour")
        elif isinstance(message, LsrHello):
            self._on_hello(neighbour, message, now)
        elif not neighbour.up:
            self._ignore(source, message, "a neighbour that is down")  # its Hello was lost, or it thinks we are up
        else:
            self._heard(neighbour, now)
            busy = neighbour.busy
            match message:
                case LsrAdvert():
                    self._on_advert(neighbour, message, now)
                case LsrAck():
                    for version in message.versions:
                        self._landed(neighbour, version)
                case LsrSummary():
                    self._on_summary(neighbour, message, now)
                case LsrRequest():
                    self._on_request(neighbour, message, now)
                case _:
                    raise TypeError(f"{type(message).__name__} is not a message of LSR")
            if busy and not neighbour.busy:
                self._confirm(neighbour)
            self._rearm(neighbour, now)

    def poll(self, now: int) -> list[Output]:
        for timer in self._timers.take_due(now):
            kind, number = timer
            if timer == _SPEAK:
                self._speak(now)
            elif timer in (_CHECK_SOON, _FORGET):
                self._check_reach(now)
            elif kind == _RETRY:
                self._retry(self._neighbours[number], now)
            elif kind == _POLL:
                self._poll(self._neighbours[number], now)
            else:
                self._acknowledge(self._neighbours[number])
        if self.database.topology_changes != self._checked and _CHECK_SOON not in self._timers:
            self._timers.set(_CHECK_SOON, now + self._settings.hold_ps)
        if self.database.changes != self._told:
            self._told = self.database.changes
            self._outputs.append(Changed())
        outputs, self._outputs = self._outputs, []
        return outputs

    def next_timeout(self) -> int | None:
        return self._timers.next()

    # Hellos.

    def _on_hello(self, neighbour: Neighbour, hello: LsrHello, now: int) -> None:
        if hello.incarnation != neighbour.life:
            if neighbour.life and not serial_newer(hello.incarnation, neighbour.life, 16):
                self._ignore(neighbour.number, hello, "of an earlier life")
                return
            if neighbour.up:
                self._move(neighbour, Input.RESTARTED, now)
            neighbour.life, neighbour.newest = hello.incarnation, 0
        if hello.number <= neighbour.newest:  # LSR-2
            self._ignore(neighbour.number, hello, "overtaken")
            return
        neighbour.newest = hello.number
        neighbour.hears = True
        neighbour.asking = False
        self._heard(neighbour, now)
        if hello.heard != self._incarnation:  # LSR-1
            self._move(neighbour, Input.ONE_WAY, now)
        else:
            if hello.answer:
                self._hello(neighbour, answer=False)  # LSR-3
            # What is on the way to it makes no difference.
            agrees = hello.digest == self.database.digest() or (neighbour.state is State.AGREE and neighbour.busy)
            self._move(neighbour, Input.AGREES if agrees else Input.DIFFERS, now)
        self._rearm(neighbour, now)

    def _hello(self, neighbour: Neighbour, answer: bool) -> None:
        neighbour.sent += 1
        heard = neighbour.life if neighbour.hears else 0
        digest = self.database.digest()
        self._send(neighbour, LsrHello(self._incarnation, heard, neighbour.sent, int(answer), digest))

    def _ask(self, neighbour: Neighbour, now: int) -> None:
        """Send a Hello that is repeated until there is an answer."""
        self._hello(neighbour, answer=True)
        self._wait(neighbour, now)

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
            self._timers.set((_POLL, neighbour.number), due if due > now else now + interval)

    def _interval(self, neighbour: Neighbour) -> int:
        """How often it is asked, or 0.  Who does not lead waits a little longer, for the other's question."""
        interval = self._settings.hello_ps if neighbour.watches else self._settings.idle_hello_ps
        return interval if neighbour.leads else interval + interval // 4

    # Repeating what is not answered.

    def _heard(self, neighbour: Neighbour, now: int) -> None:
        neighbour.heard_at = now
        if neighbour.asked_at is not None:
            neighbour.asked_at = now

    def _wait(self, neighbour: Neighbour, now: int) -> None:
        """Something has been sent that must be answered."""
        if neighbour.asked_at is None:
            neighbour.asked_at = now
        due = now + self._timeout(neighbour)
        if (_RETRY, neighbour.number) not in self._timers:
            self._timers.set((_RETRY, neighbour.number), due)

    def _timeout(self, neighbour: Neighbour) -> int:
        timeout = neighbour.timeout_ps << min(neighbour.back_off, 64)
        if neighbour.up or self._watches or self._settings.idle_hello_ps:
            timeout = min(timeout, max(self._settings.hello_ps, neighbour.timeout_ps))
        return timeout

    def _rearm(self, neighbour: Neighbour, now: int) -> None:
        """After anything has been heard: is there still something to wait for?"""
        if neighbour.outstanding:
            self._wait(neighbour, now)
        else:
            neighbour.asked_at = None
            neighbour.back_off = 0
            self._timers.cancel((_RETRY, neighbour.number))

    def _progress(self, neighbour: Neighbour) -> None:
        """What was waited for has come, in part: the rest has a first timeout from now."""
        neighbour.back_off = 0
        self._timers.cancel((_RETRY, neighbour.number))

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
            self._send(neighbour, advert)
        if not neighbour.flight and neighbour.state is State.DIFFER and neighbour.leads:
            self._summarise(neighbour)
        elif not neighbour.flight:
            self._hello(neighbour, answer=True)
        self._wait(neighbour, now)

    # The table's actions.

    def _move(self, neighbour: Neighbour, stimulus: Input, now: int) -> None:
        neighbour.state, actions = TABLE[neighbour.state, stimulus]
        for action in actions:
            self._do(action, neighbour, now)

    def _do(self, action: Do, neighbour: Neighbour, now: int) -> None:
        match action:
            case Do.UP:
                neighbour.drop()
                self._timers.cancel((_RETRY, neighbour.number))
                self._outputs.append(NeighbourUp(neighbour.number))
                self._poll_again(neighbour, now)
                self._give_unreached(neighbour, now)
                self._consider(now)
            case Do.LOST:
                neighbour.drop()
                self._timers.cancel((_RETRY, neighbour.number))
                self._timers.cancel((_ACK, neighbour.number))
                self._outputs.append(NeighbourDown(neighbour.number))
                self._consider(now)
            case Do.ASK:
                self._ask(neighbour, now)
            case Do.COMPARE:
                neighbour.back_off = 0
                if neighbour.leads:  # LSR-8
                    self._summarise(neighbour)
                self._wait(neighbour, now)
            case Do.REST:
                neighbour.wanted.clear()

    # Adverts.

    def _on_advert(self, neighbour: Neighbour, advert: LsrAdvert, now: int) -> None:
        key = Key(advert.origin, advert.part)
        if len({link.link for link in advert.links}) != len(advert.links):
            self._ignore(neighbour.number, advert, "a link named twice")
            return
        if (stale := self.database.supersedes(advert)) is not None:  # LSR-6
            self._landed(neighbour, advert)
            self._give(neighbour, stale, now)
        elif advert.origin == self._node and not self.database.holds(advert):
            self._outdo(neighbour, advert, now)
        else:
            known = self.database.holds(advert)
            answered = self._landed(neighbour, advert)
            if not known:
                self._install(advert, neighbour, now)
            if not (known and answered):
                self._owe(neighbour, version_of(advert), now)
        if key in neighbour.wanted:
            neighbour.wanted.discard(key)
            self._progress(neighbour)

    def _install(self, advert: LsrAdvert, heard_from: Neighbour | None, now: int) -> None:
        """Keep a new version, and pass it on.  LSR-5"""
        key = Key(advert.origin, advert.part)
        fallen = self.database.install(advert)
        for neighbour in self._neighbours.values():
            for old in fallen:
                neighbour.flight.pop(old, None)
            if neighbour is not heard_from and neighbour.up:
                self._give(neighbour, advert, now)
            else:
                neighbour.flight.pop(key, None)

    def _give(self, neighbour: Neighbour, advert: LsrAdvert, now: int) -> None:
        """Send an advert until it is acknowledged."""
        key = Key(advert.origin, advert.part)
        if neighbour.flight.get(key) is advert:
            return
        neighbour.flight.pop(key, None)  # the newest stands last
        neighbour.flight[key] = advert
        self._send(neighbour, advert)
        self._wait(neighbour, now)

    def _give_unreached(self, neighbour: Neighbour, now: int) -> None:
        """What came before its way was known: no digest counts it, and when it counts nobody compares.  LSR-15"""
        for version in self.database.versions(frozenset(self.database.unreachable())):
            if (advert := self.database.get(Key(version.origin, version.part))) is not None:
                self._give(neighbour, advert, now)

    def _landed(self, neighbour: Neighbour, version: LsrAdvert | LsrVersion) -> bool:
        """The neighbour has this version: was that one, or an older one, on the way to it?"""
        key = Key(version.origin, version.part)
        flying = neighbour.flight.get(key)
        if flying is None or newer(flying, version):
            return False
        del neighbour.flight[key]
        self._progress(neighbour)
        return True

    def _owe(self, neighbour: Neighbour, version: LsrVersion, now: int) -> None:
        """Acknowledge soon, together with others that come about now."""
        neighbour.owed[Key(version.origin, version.part)] = version
        if (_ACK, neighbour.number) not in self._timers:
            self._timers.set((_ACK, neighbour.number), now + neighbour.round_trip_ps)

    def _acknowledge(self, neighbour: Neighbour) -> None:
        versions = tuple(neighbour.owed.values())
        neighbour.owed.clear()
        for at in range(0, len(versions), VERSIONS_IN_MESSAGE):
            self._send(neighbour, LsrAck(versions[at : at + VERSIONS_IN_MESSAGE]))

    def _outdo(self, neighbour: Neighbour, advert: LsrAdvert, now: int) -> None:
        """The network holds something of this node that this node, in this life, has not said.  LSR-7"""
        if serial_newer(advert.incarnation, self._incarnation, 16):
            self._ignore(neighbour.number, advert, "of a later life of this node")
            return
        if advert.incarnation == self._incarnation and serial_newer(advert.sequence, self._sequence, 32):
            self._sequence = advert.sequence
        self._speak(now, anyway=True)

    # What this node says of itself.

    def _links(self) -> tuple[LsrLink, ...]:
        links = [
            LsrLink(link, peer, o.fidelity, o.pairs_per_ks, o.latency_ps, o.memories, o.load)
            for link, (peer, o) in self._offers.items()
            if self._neighbours[peer].up
        ]
        return tuple(sorted(links, key=lambda link: (link.neighbour, link.link)))

    def _said(self) -> tuple[LsrLink, ...]:
        held = self.database.versions(frozenset({self._node}))
        adverts = [self.database.get(Key(self._node, version.part)) for version in held]
        return tuple(link for advert in adverts if advert is not None for link in advert.links)

    def _consider(self, now: int) -> None:
        """Something about this node's links may have changed."""
        if worth_telling(self._said(), self._links()):
            self._damper.changed(now)
            if self._damper.due is not None:
                self._timers.set(_SPEAK, self._damper.due)
        else:
            self._damper.unchanged()
            self._timers.cancel(_SPEAK)

    def _speak(self, now: int, anyway: bool = False) -> None:
        """Say what has changed since the last time; `anyway`: repeat the rest, too."""
        self._damper.said(now)
        self._timers.cancel(_SPEAK)
        links = self._links()
        parts = [links[at : at + LINKS_IN_ADVERT] for at in range(0, len(links), LINKS_IN_ADVERT)] or [()]
        told = len(self.database.versions(frozenset({self._node})))
        parts += [()] * (told - len(parts))  # a part that was told stays, if only to say that nothing is left of it
        for part, content in enumerate(parts):
            held = self.database.get(Key(self._node, part))
            if anyway or held is None or held.links != content:
                self._sequence = self._sequence + 1 & _MASK32
                advert = LsrAdvert(self._node, part, self._incarnation, self._sequence, self._transit, content)
                self._install(advert, None, now)

    # Comparing databases.  LSR-8

    def _summarise(self, neighbour: Neighbour) -> None:
        """Send all versions within reach, in as many pieces as it takes."""
        versions = self.database.versions(self.database.reach())
        first = FIRST
        while True:
            piece, versions = versions[:VERSIONS_IN_MESSAGE], versions[VERSIONS_IN_MESSAGE:]
            last = Key(piece[-1].origin, piece[-1].part) if versions else LAST
            self._send(neighbour, LsrSummary(*first, *last, tuple(piece)))
            if not versions:
                return
            first = Key(last.origin, last.part + 1) if last.part < LAST.part else Key(last.origin + 1, 0)

    def _on_summary(self, neighbour: Neighbour, summary: LsrSummary, now: int) -> None:
        first = Key(summary.first_origin, summary.first_part)
        last = Key(summary.last_origin, summary.last_part)
        listed = {Key(version.origin, version.part) for version in summary.versions}
        wanted, differs = self._compare(neighbour, summary.versions, now)
        for version in self.database.versions(self.database.reach(), first, last):
            key = Key(version.origin, version.part)
            if key not in listed and (mine := self.database.get(key)) is not None:
                differs = True
                self._give(neighbour, mine, now)
        if wanted:
            neighbour.wanted.update(wanted)
            self._send(neighbour, LsrRequest(tuple(LsrPart(*key) for key in wanted)))
        if differs:
            self._move(neighbour, Input.DIFFERS, now)
        elif not neighbour.flight:
            self._hello(neighbour, answer=False)

    def _compare(
        self, neighbour: Neighbour, versions: Iterable[LsrVersion], now: int
    ) -> tuple[list[Key], bool]:
        """Give what is newer here; what is newer there, and whether anything is different."""
        wanted = []
        differs = False
        for version in versions:
            if self.database.holds(version):
                continue
            differs = True
            stale = self.database.supersedes(version)
            if stale is not None:
                self._give(neighbour, stale, now)
            else:
                wanted.append(Key(version.origin, version.part))
        return wanted, differs

    def _on_request(self, neighbour: Neighbour, request: LsrRequest, now: int) -> None:
        for part in request.parts:
            advert = self.database.get(Key(part.origin, part.part))
            if advert is not None:
                self._give(neighbour, advert, now)

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
            self._outputs.append(Forgotten(origin))
        if self._forget_at:
            self._timers.set(_FORGET, min(self._forget_at.values()))

    def _send(self, neighbour: Neighbour, message: NamedTuple) -> None:
        self._outputs.append(Send(neighbour.number, message))

    def _ignore(self, source: int, message: NamedTuple, reason: str) -> None:
        self._outputs.append(Ignored(source, type(message).__name__, reason))
