"""Midpoint heralding (MHP): the station of a link, and a node's side of one train."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from wire import Done, Failed, Gen, Herald, Listen, Reply, StopListen
from world import MS, Timer, World

PRODUCE, ERR, INFO = range(3)
FAIL, PSI_PLUS, PSI_MINUS, ERROR = range(4)
NONE, QUEUE_MISMATCH, TIME_MISMATCH, NO_CLASSICAL_OTHER, OUT_OF_WINDOW, GEN_FAIL, LOCAL, GENERAL = range(8)
MODULUS = 2**16 - 1  # of the MHP sequence
REMEMBERED = 64  # ended trains of a link
AT_A_TIME = 16  # Replies to one INFO
FARTHEST = 3600 * 10**12  # how far ahead a train may begin
ASKS = 259

Name = tuple[int, int]  # queue id and first slot


def name_of(gen: Gen) -> Name:
    """What a train of a link is called."""
    return gen.queue_id, gen.first_slot


class Running:
    """A train that the station looks at."""

    def __init__(self, gen: Gen) -> None:
        self.gen = gen
        self.replies: list[Reply] = []
        self.cursor = gen.first_slot  # first slot not looked at


class Station:
    """The midpoint of one link."""

    def __init__(self, world: World, link: dict[str, Any]) -> None:
        self.world, self.link = world, link
        self.ends: tuple[int, int] = (link["a"], link["b"])
        self.slot: int = link["slot_ps"]
        self.born = 0
        self.sequence = 0
        self.waiting: tuple[int, Gen, Timer] | None = None
        self.running: Running | None = None
        self.ended: OrderedDict[tuple[int, Name], list[Reply]] = OrderedDict()

    def receive(self, source: int, gen: Gen) -> None:
        """A Gen has come."""
        if source not in self.ends:
            return
        name = name_of(gen)
        running = self.running
        if running is not None and name == name_of(running.gen):
            if gen.kind == ERR:
                self._stop(GEN_FAIL)
            elif gen.kind == INFO:
                self._tell_again(source, running.replies, gen.pairs)
        elif (source, name) in self.ended:
            replies = self.ended[source, name]
            self._tell_again(source, replies, gen.pairs if gen.kind == INFO else len(replies) - 1)
        elif gen.kind == ERR:
            self._cannot(source, gen)
        elif gen.kind == INFO:
            self._unknown(source, gen)
        else:
            self._produce(source, gen)

    def _tell_again(self, source: int, replies: list[Reply], known: int) -> None:
        for reply in replies[min(known, len(replies)) :][:AT_A_TIME]:
            self.world.send(source, reply)

    def _error(self, error: int, gen: Gen, other: int, number: int = 0, slot: int | None = None) -> Reply:
        where = gen.first_slot if slot is None else slot
        return Reply(ERROR, error, gen.link, self.sequence, gen.queue_id, other, where, number, 0)

    def _end(self, node: int, gen: Gen, replies: list[Reply]) -> None:
        """Tell a node the end of its train, and remember what it was told."""
        self.world.send(node, replies[-1])
        self.ended[node, name_of(gen)] = replies
        while len(self.ended) > 2 * REMEMBERED:
            self.ended.popitem(last=False)

    def _unknown(self, source: int, gen: Gen) -> None:
        if self.waiting is not None and self.waiting[0] == source and name_of(self.waiting[1]) == name_of(gen):
            return
        lived = gen.first_slot * self.slot > self.born
        self.world.send(source, self._error(GEN_FAIL if lived else GENERAL, gen, gen.queue_id))

    def _cannot(self, source: int, gen: Gen) -> None:
        """A node cannot take part in a train that is not looked at."""
        if self.waiting is not None and name_of(self.waiting[1]) == name_of(gen):
            self.waiting[2].cancel()
            self.waiting = None
        for node in self.ends:
            self._end(node, gen, [self._error(GEN_FAIL, gen, gen.queue_id)])

    def _produce(self, source: int, gen: Gen) -> None:
        start, now = gen.first_slot * self.slot, self.world.now()
        if not now < start < now + FARTHEST or not gen.attempts or (gen.attempts > 1 and not gen.spacing):
            self.world.send(source, self._error(OUT_OF_WINDOW, gen, gen.queue_id))
            return
        if self.running is not None:
            self._stop(QUEUE_MISMATCH)
        if self.waiting is None or self.waiting[0] == source:
            if self.waiting is not None:
                if name_of(self.waiting[1]) == name_of(gen):
                    return
                self.waiting[2].cancel()
            self.waiting = (source, gen, self.world.at(start, self._alone))
            return
        first, other, timer = self.waiting
        timer.cancel()
        self.waiting = None
        if other == gen:
            self.running = Running(gen)
            self._listen(self.running)
            return
        error = QUEUE_MISMATCH if other.queue_id != gen.queue_id else TIME_MISMATCH
        self._end(first, other, [self._error(error, other, gen.queue_id)])
        self._end(source, gen, [self._error(error, gen, other.queue_id)])

    def _alone(self) -> None:
        """The first slot is here, and one Gen."""
        assert self.waiting is not None
        _, gen, _ = self.waiting
        self.waiting = None
        for node in self.ends:
            self._end(node, gen, [self._error(NO_CLASSICAL_OTHER, gen, gen.queue_id)])

    def _left(self, running: Running) -> int:
        """How many slots there are still to look at."""
        gen = running.gen
        missed = -(-(self.world.now() - running.cursor * self.slot) // (self.slot * max(1, gen.spacing)))
        running.cursor += max(0, missed) * gen.spacing
        done = (running.cursor - gen.first_slot) // max(1, gen.spacing)
        return max(0, int(gen.attempts - done))

    def _listen(self, running: Running) -> None:
        gen = running.gen
        left = gen.attempts if not running.replies else self._left(running)
        listen = Listen(gen.link, running.cursor, gen.spacing, left)
        self.world.command(listen, lambda answer: self._heralded(running, answer))

    def _heralded(self, running: Running, answer: Any) -> None:
        if running is not self.running:
            return
        if isinstance(answer, Failed | Done):
            self._finish(ERROR, LOCAL)
        elif isinstance(answer, Herald) and answer.outcome == FAIL:
            self._finish(FAIL, NONE, answer.slot)
        elif isinstance(answer, Herald):
            running.cursor = answer.slot + max(1, running.gen.spacing)
            number = len(running.replies) + 1
            more = number < running.gen.pairs and self._left(running) > 0
            gen = running.gen
            names = (gen.link, self.sequence, gen.queue_id, gen.queue_id)
            reply = Reply(answer.outcome, NONE, *names, answer.slot, number, int(more))
            self.sequence = (self.sequence + 1) % MODULUS
            running.replies.append(reply)
            if more:
                for node in self.ends:
                    self.world.send(node, reply)
                self._listen(running)
            else:
                self._close()

    def _finish(self, outcome: int, error: int, slot: int | None = None) -> None:
        """The train that is looked at ends without a further success."""
        assert self.running is not None
        gen, number = self.running.gen, len(self.running.replies)
        reply = self._error(error, gen, gen.queue_id, number, slot)
        self.running.replies.append(reply._replace(outcome=outcome))
        self._close()

    def _close(self) -> None:
        assert self.running is not None
        gen, replies = self.running.gen, self.running.replies
        self.running = None
        for node in self.ends:
            self._end(node, gen, replies)

    def _stop(self, error: int) -> None:
        """Look no more."""
        assert self.running is not None
        self.world.command(StopListen(self.running.gen.link))
        self._finish(ERROR, error)


class Heralding:
    """A node's side of one train: its Gens, and what the station says of them."""

    def __init__(
        self,
        world: World,
        link: dict[str, Any],
        gen: Gen,
        each: bool,
        succeeded: Callable[[Reply], None],
        over: Callable[[int, int | None], None],
    ) -> None:
        """`over` is told outcome and error; an error of None says that the station was silent."""
        self.world, self.link, self.whole, self.each = world, link, gen, each
        self.succeeded, self.over = succeeded, over
        self.station: int = link["station"]
        self.gen = gen._replace(attempts=1, pairs=1) if each else gen
        self.known = 0
        self.pairs: int = gen.pairs  # still wanted
        self.early: dict[int, Reply] = {}
        self.asks = 0
        self.ended = False
        self.timer: Timer | None = None
        world.send(self.station, self.gen)
        self._wait()

    def _wait(self) -> None:
        """Until a Reply should be here."""
        last = self.gen.first_slot + (self.gen.attempts - 1) * self.gen.spacing
        trip = self.world.delay[self.station] + 2 * self.world.allowance
        due = last * self.link["slot_ps"] + self.link["attempt_ps"] + trip
        self.asks = 0
        self._at(max(due, self.world.now() + trip))

    def _at(self, due: int) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.world.at(due, self._ask)

    def _ask(self) -> None:
        """What came of this train?"""
        if self.asks == ASKS:
            self._end(ERROR, None)
            return
        self.asks += 1
        self.world.send(self.station, self.gen._replace(kind=INFO, pairs=self.known))
        first = 4 * self.world.delay[self.station] + self.world.allowance + MS
        self._at(self.world.now() + min(self.asks, 12) * first)

    def cannot(self) -> None:
        """This node cannot go on."""
        if not self.ended:
            self.world.send(self.station, self.gen._replace(kind=ERR))

    def _end(self, outcome: int, error: int | None) -> None:
        self.ended = True
        if self.timer is not None:
            self.timer.cancel()
        self.over(outcome, error)

    def receive(self, reply: Reply) -> None:
        """The station says something of this link."""
        gen = self.gen
        attempt, off = divmod(reply.slot - gen.first_slot, max(1, gen.spacing))
        if self.ended or reply.queue_id != gen.queue_id or off or not 0 <= attempt < gen.attempts:
            return
        if reply.outcome in (PSI_PLUS, PSI_MINUS):
            self._success(reply)
        elif reply.number > self.known:
            self._ask()
        elif self.each and (reply.outcome == FAIL or reply.error in (NO_CLASSICAL_OTHER, OUT_OF_WINDOW)):
            self._next()
        elif reply.outcome == ERROR or reply.number == self.known:
            self._end(reply.outcome, reply.error)

    def _success(self, reply: Reply) -> None:
        if not self.known < reply.number <= self.gen.pairs:
            return
        self.early[reply.number] = reply
        if reply.number > self.known + 1:
            if self.asks == 0:
                self._ask()
            return
        while self.known + 1 in self.early:
            self.known += 1
            reply = self.early.pop(self.known)
            self.pairs -= 1
            self.succeeded(reply)
        if not self.pairs or not (reply.more or self.each):
            self._end(reply.outcome, NONE)
        elif self.each:
            self._next()
        elif not self.early:
            self._wait()

    def _next(self) -> None:
        """The first attempt of which the station can hear in time (MHP-14)."""
        whole, slot = self.whole, self.gen.first_slot
        earliest = self.world.now() + self.world.delay[self.station] + self.world.allowance
        while slot <= self.gen.first_slot or slot * self.link["slot_ps"] < earliest:
            slot += max(1, whole.spacing)
        if slot > whole.first_slot + (whole.attempts - 1) * whole.spacing:
            self._end(FAIL, NONE)
            return
        self.gen, self.known = self.gen._replace(first_slot=slot), 0
        self.world.send(self.station, self.gen)
        self._wait()
