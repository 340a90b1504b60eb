"""The reliable sublayer (REL): ordered delivery between two nodes."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from wire import Ack, Data, Probe, Reset, encode
from world import MS, Timer, World

WINDOW = 64
TRIES = 259
DOUBLINGS = 4  # of the timeout, at most
PART = 1100
LONGEST = 1 << 20  # of a body that is put together
KEEP_ALIVE = 2_000 * MS
SPREAD = 0x9E3779B1


def first_of(epoch: int) -> int:
    """The sequence of a stream's first segment (REL-4)."""
    return epoch * SPREAD % 2**32


def newer(a: int, b: int, bits: int = 32) -> bool:
    """Serial number arithmetic of RFC 1982."""
    return 0 < (a - b) % (1 << bits) < 1 << (bits - 1)


@dataclass
class Segment:
    """A message on its way, or a part of one."""

    protocol: int
    message: int
    more: int
    payload: bytes
    sequence: int = 0
    sent: int = 0
    tries: int = 0


@dataclass
class Outward:
    """The stream to the peer."""

    epoch: int
    next: int
    opened: bool = False  # the first segment has been acknowledged


@dataclass
class Inward:
    """The stream from the peer."""

    epoch: int
    expected: int
    over: bool = False  # with the stream to the peer


class Reliable:
    """Both streams between this node and one peer."""

    def __init__(
        self, world: World, peer: int, deliver: Callable[[int, int, bytes], None], broken: Callable[[], None]
    ) -> None:
        self.world, self.peer, self.deliver, self.broken = world, peer, deliver, broken
        self.ended = 0
        self.ack_delay = 2 * world.delay[peer]
        self.out: Outward | None = None
        self.waiting: deque[Segment] = deque()
        self.flying: deque[Segment] = deque()
        self.resend: Timer | None = None
        self.inward: Inward | None = None
        self.early: dict[int, Data] = {}
        self.parts = b""
        self.owed: Timer | None = None
        self.life: int | None = None
        self.watched = False
        self.told = False  # of the end of the peer's stream, of which nothing has come since then
        self.brought = False  # anything, by the peer, since the last Broken
        self.probe: Timer | None = None
        self._fresh()

    def _fresh(self) -> None:
        """Nothing is known of the round trip."""
        self.smooth: int | None = None
        self.variation = 0
        self.doublings = 0
        self.timeouts = 0  # in a row
        self.unsure = 0  # acknowledgements in a row that measured nothing
        self.repeated = -1  # when something was last sent again

    def timeout(self) -> int:
        """The retransmission timeout (REL-8)."""
        if self.smooth is None:
            return max(6 * self.world.delay[self.peer], MS) << self.doublings
        return self.smooth + 4 * self.variation + self.ack_delay << self.doublings

    def send(self, message: tuple[object, ...]) -> None:
        """Send a message."""
        self.send_body(*encode(message))

    def send_body(self, protocol: int, number: int, body: bytes) -> None:
        """Send a message that is a body already."""
        parts = [body[i : i + PART] for i in range(0, len(body), PART)] or [b""]
        for index, part in enumerate(parts):
            self.waiting.append(Segment(protocol, number, int(index < len(parts) - 1), part))
        self._push()

    def watch(self) -> None:
        """Somebody waits for this peer from now on (REL-14)."""
        if not self.watched:
            self.watched = True
            self._quiet(KEEP_ALIVE)

    def _quiet(self, after: int) -> None:
        if self.probe is not None:
            self.probe.cancel()
        self.probe = self.world.after(after, lambda: self._ask(after)) if self.watched else None

    def _ask(self, after: int) -> None:
        if not self.flying and not self.waiting:
            self.send(Probe())
        self._quiet(2 * after)

    def _push(self) -> None:
        if self.waiting and self.out is None:
            epoch = (self.world.incarnation << 16 | self.ended % 2**16) % 2**32
            self.out = Outward(epoch, first_of(epoch))
        while self.out and self.waiting and len(self.flying) < (WINDOW if self.out.opened else 1):
            segment = self.waiting.popleft()
            segment.sequence = self.out.next
            self.out.next = (self.out.next + 1) % 2**32
            self.flying.append(segment)
            self._transmit(segment)
            if self.resend is None:
                self.resend = self.world.after(self.timeout(), self._timeout)

    def _transmit(self, segment: Segment) -> None:
        assert self.out is not None
        segment.sent = self.world.now()
        segment.tries += 1
        acknowledged = self.inward.expected if self.inward and not self.told else 0
        numbers = (self.out.epoch, segment.sequence, acknowledged)
        self._settle()
        self.world.send(self.peer, Data(*numbers, segment.protocol, segment.message, segment.more, segment.payload))

    def _timeout(self) -> None:
        self.resend = None
        if self.flying[0].tries >= TRIES:
            if self.inward is not None:
                self.inward.over = self.told = True  # REL-17
            self._lost()
            return
        self.timeouts += 1
        if self.timeouts % 2 == 0:
            self.doublings = min(self.doublings + 1, DOUBLINGS)
        self.repeated = self.world.now()
        self._transmit(self.flying[0])
        self.resend = self.world.after(self.timeout(), self._timeout)

    def end(self) -> None:
        """The stream to the peer is over."""
        if self.out is not None:
            self.ended += 1
        self.out = None
        self.waiting.clear()
        self.flying.clear()
        if self.resend is not None:
            self.resend.cancel()
            self.resend = None
        self._fresh()

    def met(self, life: int) -> None:
        """A frame of the peer, whatever it carries: of a life that is new (REL-13)?"""
        known, self.life = self.life, life
        if known is None or known == life:
            return
        if self.brought or (self.out is not None and self.out.opened):
            self._lost()
        self._settle()
        self.early.clear()
        self.parts = b""
        self.told = True

    def announce(self) -> None:
        """This is not the first life of the node (REL-16)."""
        if self.out is None:
            self.send(Probe())

    def _lost(self) -> None:
        """The stream ends, and whoever uses it hears of that."""
        self.end()
        self.brought = False
        self.broken()

    def receive(self, message: object) -> None:
        """A segment or an acknowledgement of the peer has come."""
        if isinstance(message, Data):
            self._acknowledged(message.acknowledged)
            self._data(message)
            if self.owed is not None and self.owed.due <= self.world.now():
                self._acknowledge()
        elif isinstance(message, Ack) and self.out is not None and message.stream_epoch == self.out.epoch:
            self._acknowledged(message.acknowledged)
        elif isinstance(message, Reset) and self.out is not None and message.stream_epoch == self.out.epoch:
            self._lost()
            self.told = True

    def _acknowledged(self, below: int) -> None:
        if self.out is None or not self.flying:
            return
        count = (below - self.flying[0].sequence) % 2**32
        if not 0 < count <= len(self.flying):
            return
        done = [self.flying.popleft() for _ in range(count)]
        self.out.opened = True
        if all(segment.tries == 1 and segment.sent > self.repeated for segment in done):
            self._sample(self.world.now() - done[-1].sent)
        else:
            self.timeouts, self.unsure = 0, self.unsure + 1
            self.doublings = min(self.unsure // 4, 2)
        if self.resend is not None:
            self.resend.cancel()
        self.resend = self.world.after(self.timeout(), self._timeout) if self.flying else None
        self._push()

    def _sample(self, trip: int) -> None:
        if self.smooth is None:
            self.smooth, self.variation = trip, trip // 2
        else:
            trip = min(trip, 2 * self.smooth)
            self.variation = (3 * self.variation + abs(self.smooth - trip)) // 4
            self.smooth = (7 * self.smooth + trip) // 8
        self.doublings = self.timeouts = self.unsure = 0

    def _data(self, data: Data) -> None:
        if self.inward is None or data.stream_epoch != self.inward.epoch:
            if self.inward is not None and not newer(data.stream_epoch, self.inward.epoch):
                return
            if data.sequence != first_of(data.stream_epoch) or not self._meant(data.acknowledged):
                self.world.send(self.peer, Reset(data.stream_epoch))
                return
            self._begin(data)
        elif self.inward.over and not self._known(data.acknowledged):
            if self.out is None:
                self.world.send(self.peer, Reset(data.stream_epoch))
            return
        elif self.inward.over and data.sequence == first_of(data.stream_epoch):
            self._empty(data.stream_epoch)  # REL-17
        elif self._void(data):
            self.inward.over = self.told = True
            self._lost()
            self.world.send(self.peer, Reset(data.stream_epoch))
            return
        assert self.inward is not None
        self.told = self.inward.over = False
        ahead = (data.sequence - self.inward.expected) % 2**32
        filled = bool(self.early)
        if ahead == 0:
            first = data.sequence == first_of(data.stream_epoch)
            self._owe(0 if first or filled else self.ack_delay)
            self._quiet(KEEP_ALIVE)
            self.brought = True
            self.early[data.sequence] = data
            ready = []
            while self.inward.expected in self.early:
                ready.append(self.early.pop(self.inward.expected))
                self.inward.expected = (self.inward.expected + 1) % 2**32
            for each in ready:
                self._part(each)
        elif ahead < WINDOW:
            self.early[data.sequence] = data
            self._owe(0)
        elif ahead >= 2**31:
            self._owe(0)

    def _meant(self, below: int) -> bool:
        """Is this said to this life of the node, and to its stream (REL-11)?"""
        return below == 0 or self._known(below)

    def _void(self, data: Data) -> bool:
        """Does this segment, which is new, answer to a stream of this node that has ended?"""
        assert self.inward is not None
        ahead = (data.sequence - self.inward.expected) % 2**32 < 2**31
        return ahead and not self._meant(data.acknowledged)

    def _known(self, below: int) -> bool:
        """Does the peer have the stream of this node?"""
        if self.out is None:
            return False
        first = first_of(self.out.epoch)
        return (below - first) % 2**32 <= (self.out.next - first) % 2**32

    def _begin(self, data: Data) -> None:
        """A newer stream of the peer (REL-12)."""
        news = self.inward is not None and not self.told
        given_up = data.stream_epoch % 2**16 > 0 and not data.acknowledged
        self._empty(data.stream_epoch)
        self.told = False
        if given_up and self.out is not None and (news or self.out.opened):
            self._lost()
            if self.out is None:
                self.send(Probe())
        elif news:
            self.brought = False
            self.broken()

    def _empty(self, epoch: int) -> None:
        """Nothing of this stream has come yet."""
        self.inward = Inward(epoch, first_of(epoch))
        self.early.clear()
        self.parts = b""

    def _part(self, data: Data) -> None:
        self.parts += data.payload
        if len(self.parts) > LONGEST:
            self.parts = b""
        if not data.more:
            body, self.parts = self.parts, b""
            if (data.protocol, data.message) != (1, 4):
                self.deliver(data.protocol, data.message, body)

    def _owe(self, within: int) -> None:
        due = self.world.now() + within
        if self.owed is None or due < self.owed.due:
            self._settle()
            self.owed = self.world.at(due, self._acknowledge)

    def _settle(self) -> None:
        if self.owed is not None:
            self.owed.cancel()
            self.owed = None

    def _acknowledge(self) -> None:
        self._settle()
        if self.inward is not None:
            self.world.send(self.peer, Ack(self.inward.epoch, self.inward.expected))
