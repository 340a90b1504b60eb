"""Entanglement generation (EGP): the queue that both ends of a link share, and the requests in it."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from odds import attempts_for, fewer
from qubits import Qubits
from trains import NOBODY, Attempt, ahead, larger
from wire import TOP, Add, AddAck, AddReject, Expire, ExpireAck, Measuring, Reply, Tested, Train, TrainAck
from world import MS, Timer, World

UNSUPP, NOTIME, NORES, TIMEOUT, REJECTED, OTHER, EXPIRE, CREATE = range(8)
ERRORS = ("UNSUPP", "NOTIME", "NORES", "TIMEOUT", "REJECTED", "OTHER", "EXPIRE", "CREATE")
KEEP, MEASURE, REMOTE = range(3)
KINDS = "KMR"
BASES = ("NONE", "XZ", "XYZ", "CHSH")
READY, BUSY, UNKNOWN = range(3)
ATOMIC, CONSECUTIVE = 1, 2
KEEP_ALIVE = 2_000 * MS
PATIENCE = 1_000 * MS  # of a master whose peer was busy
HOLD = 3_000 * MS  # how long a qubit is kept after a late READY
MISS = 1e-3
LONG_AGO = -(2**63)  # orders may come before time 0
MOST_PAIRS = 64  # of a train
SHORT = 4  # attempts that are told one by one

Key = tuple[int, int]  # creator and create_id


@dataclass
class Request:
    """A request in the queue of this node."""

    key: Key
    add: Any
    left: int
    deadline: int | None
    timer: Timer | None = None
    place: int = 0  # in the common order, of the master
    ready: bool = False  # both nodes have it
    late: bool = False  # its time passed during a train
    had: bool = False  # it has had a pair
    held: list[dict[str, Any]] = field(default_factory=list)  # OKs of an atomic request

    def locks(self) -> bool:
        """No other request may be served now."""
        return self.had and bool(self.add.flags & (ATOMIC | CONSECUTIVE))


class Link:
    """One link, as one of its ends sees it."""

    def __init__(self, layer: "LinkLayer", link: dict[str, Any]) -> None:
        self.layer, self.world, self.link, self.qubits = layer, layer.world, link, layer.qubits
        self.number: int = link["number"]
        self.slot: int = link["slot_ps"]
        self.peer: int = link["a"] + link["b"] - self.world.node
        self.master = self.world.node < self.peer
        self.station: int = link["station"]
        self.requests: dict[Key, Request] = {}
        self.told: deque[tuple[Key, int]] = deque(maxlen=1024)
        self.expected = NOBODY
        self.create_ids = 0
        self.places = 0
        self.finish = 0
        self.queue_ids = 0
        self.train: Attempt | None = None
        self.deferred: list[Callable[[], None]] = []
        self.busy: int | None = None  # queue id that one of the nodes was busy for
        self.hold: tuple[int, Timer] | None = None
        self.retry: Timer | None = None
        self.heard = 0
        self.asked: Key | None = None
        self.alive: Timer | None = None
        self.silent: tuple[int, int] | None = None  # since when, in how many trains
        self.closed = self.pause = LONG_AGO
        self.measuring = 1  # slots from one measured attempt to the next, at least

    # What the user wants

    def create(self, order: dict[str, Any]) -> None:
        """CREATE."""
        self.create_ids += 1
        kind = KINDS.index(order.get("kind", "K"))
        fidelity = order.get("fidelity", 0)
        how = self._how(order.get("bases"), order.get("rotation"))
        add = Add(
            self.number,
            self.create_ids,
            order["purpose"],
            order.get("number", 1),
            int(fidelity * TOP) if isinstance(fidelity, float) else fidelity,
            order.get("priority", 0),
            kind,
            order.get("max_time_ps", 0),
            ATOMIC * bool(order.get("atomic")) | CONSECUTIVE * bool(order.get("consecutive")),
            0,
            0,
            (how,) * (0, 2, 1)[kind],
        )
        self.world.event(event="created", link=self.number, create_id=add.create_id)
        key = (self.world.node, add.create_id)
        error = self._refusal(add)
        if error is None and not self._in_time(add):
            error = NOTIME
        if error is not None:
            self._error(key, error)
            return
        if self.master:
            add = self._place(add)
        self._enter(Request(key, add, add.number, self.world.now() + add.max_time_ps if add.max_time_ps else None))
        self.layer.send(self.peer, add)

    @staticmethod
    def _how(bases: Any, rotation: Any) -> Measuring:
        angles = rotation or (0, 0, 0)
        return Measuring(BASES.index(bases) if isinstance(bases, str) else bases or 0, 0, 0, *angles)

    def _rank(self, add: Add) -> int:
        """Of two ranks the lower is served first."""
        return int(self.link["scheduler"] == "higher-wfq" and add.priority > 0)

    def _refusal(self, add: Add) -> int | None:
        """Why a request cannot be served at all."""
        if not add.number:
            return CREATE
        if add.minimum_fidelity > self.link["fidelity"]:
            return UNSUPP
        kept = add.kind == KEEP or add.kind == REMOTE
        if (add.flags & ATOMIC and kept and add.number > self.qubits.count) or self.world.now() < self.closed:
            return NORES
        return None

    def _in_time(self, add: Add) -> bool:
        """Whether the chance to have all pairs in time is not surely below 1 % (EGP-21)."""
        if not add.max_time_ps:
            return True
        needed, spacing = add.number, self._spacing(add.kind)
        for request in self.requests.values():
            if not request.deadline and self._rank(request.add) <= self._rank(add):
                needed += request.left
                spacing = min(spacing, self._spacing(request.add.kind))
        lead = self._lead() + self.link["attempt_ps"] + self.world.delay[self.station]
        attempts = max(0, add.max_time_ps - lead) // (spacing * self.slot) + (add.max_time_ps > lead)
        chance = self.link["success_probability"]
        return attempts * chance > 10 * needed or fewer(attempts, chance, needed) <= 0.99

    def withdraw(self, create_id: int) -> None:
        """The user ends a request (EGP-18)."""
        key = (self.world.node, create_id)
        if key not in self.requests:
            return
        if self.train is not None and self.train.key == key:
            self._after_train(lambda: self._withdrawn(key))
        else:
            self._end(key, OTHER)
            self._after_train(lambda: self._expire(key, self.expected, self.expected))

    def _withdrawn(self, key: Key) -> None:
        if key in self.requests:
            self._end(key, OTHER)
            self._expire(key, self.expected, self.expected)

    # The queue

    def _place(self, add: Add) -> Add:
        self.places += 1
        cost = self._spacing(add.kind) * add.number / self.link["success_probability"]
        self.finish += int(1000 * cost)
        return add._replace(queue_sequence=self.places % 2**16, virtual_finish=self.finish % 2**64)

    def _enter(self, request: Request) -> None:
        self.requests[request.key] = request
        request.place = self.places
        if request.deadline is not None:
            request.timer = self.world.at(request.deadline, lambda: self._too_late(request))
        self._watch()

    def _too_late(self, request: Request) -> None:
        request.late = True
        if self.train is None or self.train.key != request.key:
            self._end(request.key, TIMEOUT)

    def _error(self, key: Key, code: int, low: int | None = None, high: int | None = None) -> None:
        where = {"sequence_low": low, "sequence_high": high}
        self.world.event(event="err", link=self.number, origin=key[0], create_id=key[1], code=ERRORS[code], **where)

    def _end(self, key: Key, code: int, low: int | None = None, high: int | None = None) -> None:
        """A request ends with an error."""
        self._forget(key)
        self._error(key, code, low, high)

    def _forget(self, key: Key) -> None:
        request = self.requests.pop(key)
        if request.timer is not None:
            request.timer.cancel()
        for held in request.held:
            if "qubit" in held:
                self.qubits.release(held["qubit"])
        request.held = []
        if self.asked == key:
            self.asked = None
        if not self.requests and self.alive is not None:
            self.alive.cancel()
            self.alive = None

    def receive(self, message: Any) -> None:
        """The peer says something over REL."""
        self.heard = self.world.now()
        match message:
            case Add():
                self._add(message)
            case AddAck():
                self._add_ack(message)
            case AddReject() if (self.world.node, message.create_id) in self.requests:
                self._end((self.world.node, message.create_id), message.error)
            case Train():
                self._proposed(message)
            case TrainAck():
                self._train_ack(message)
            case Expire():
                self._expired(message)
            case ExpireAck():
                self._larger(message.expected_sequence)
            case Tested():
                pass  # an estimate of the fidelity would begin here
        self.serve()

    def _add(self, add: Add) -> None:
        key = (self.peer, add.create_id)
        if (self.peer, add.purpose_id) not in self.layer.rules:
            error: int | None = REJECTED
        else:
            error = self._refusal(add)
        if error is not None:
            self.layer.send(self.peer, AddReject(self.number, add.create_id, error))
            return
        if self.master:
            add = self._place(add)
        started = self.world.now() - self.world.delay[self.peer]
        deadline = started + add.max_time_ps if add.max_time_ps else None
        order = (add.queue_sequence, add.virtual_finish) if self.master else (0, 0)
        self.layer.send(self.peer, AddAck(self.number, add.create_id, *order))
        self._enter(Request(key, add, add.number, deadline, ready=True))
        self._precede(add)

    def _add_ack(self, ack: AddAck) -> None:
        request = self.requests.get((self.world.node, ack.create_id))
        if request is not None:
            request.ready = True
            if not self.master:
                request.add = request.add._replace(queue_sequence=ack.queue_sequence, virtual_finish=ack.virtual_finish)
            self._precede(request.add)

    def _precede(self, add: Add) -> None:
        """A train is cut short for a request of a stricter queue (EGP-24)."""
        train = self.train
        served = self.requests.get(train.key) if train else None
        if self.master and train and served and self._rank(add) < self._rank(served.add) and not served.locks():
            train.cut()

    # Trains

    def _spacing(self, kind: int) -> int:
        """Slots from one attempt to the next."""
        busy: int = self.link["attempt_ps"]
        if kind == MEASURE:
            return max(self.measuring, -(-busy // self.slot))
        busy += self._arm() + max(self._arm(), self.world.delay[self.station]) + 2 * self.world.allowance
        return -(-busy // self.slot)

    def _arm(self) -> int:
        return max(int(self.link["arm_a_ps"]), int(self.link["arm_b_ps"]))

    def _lead(self) -> int:
        """From a Train to its first slot."""
        reach = max(self._arm(), self.world.delay[self.station])
        return reach + 2 * self.world.delay[self.peer] + 3 * self.world.allowance

    def serve(self) -> None:
        """The master proposes a train if there is something to do; the other end says that it is ready."""
        if self.train is not None:
            return
        if not self.master:
            self._ready_now()
            return
        if self.busy is not None or self.world.now() < self.pause:
            return
        queue = sorted(
            (request for request in self.requests.values() if request.ready),
            key=lambda request: (self._rank(request.add), request.place),
        )
        locked = [request for request in queue if request.locks()]
        for request in locked or queue:
            train = self._plan(request)
            if train is not None:
                break
        else:
            return
        qubit = self.qubits.take()
        if qubit is None:
            return
        self.queue_ids = self.queue_ids % (2**32 - 1) + 1
        self.train = Attempt(self, train._replace(queue_id=self.queue_ids), request.key, request.add, qubit)
        self.layer.send(self.peer, self.train.train)

    def _plan(self, request: Request) -> Train | None:
        """The next train for a request, if there is time for an attempt (EGP-6)."""
        add = request.add
        spacing = self._spacing(add.kind)
        pairs = min(request.left, MOST_PAIRS) if add.kind == MEASURE else 1
        first = -(-(self.world.now() + self._lead()) // self.slot)
        count = attempts_for(pairs, self.link["success_probability"], MISS)
        told = self.link["attempt_ps"] + max(
            self.world.delay[self.station], self.link["arm_a_ps"], self.link["arm_b_ps"]
        )
        if request.deadline is not None:
            room = request.deadline - told - 2 * self.world.allowance - first * self.slot
            if room < 0:
                return None
            count = min(count, room // (spacing * self.slot) + 1)
        gap = told + self.world.delay[self.station] + 2 * self.world.allowance
        each = int(count <= SHORT and pairs == 1 and spacing * self.slot >= gap)
        own = int(request.key[0] == self.world.node)
        numbers = (self.number, own, request.key[1], 0, first, spacing, count, 0)
        return Train(*numbers, self.expected, 0, pairs, each)

    def _proposed(self, train: Train) -> None:
        key = (self.peer if train.origin else self.world.node, train.create_id)
        if not train.attempts:
            verdict = READY if key in self.requests else UNKNOWN
            self.layer.send(self.peer, TrainAck(self.number, train.queue_id, verdict, self.expected))
            return
        if self.master:
            return
        self._larger(train.expected_sequence)
        qubit, verdict = None, BUSY
        self.busy = None
        if key not in self.requests or not 1 <= train.pairs <= self._most(self.requests[key], train):
            verdict = UNKNOWN
        elif self.train is None:
            qubit = self._held() or self.qubits.take()
            verdict = BUSY if qubit is None else READY
        if verdict == BUSY:
            self.busy = train.queue_id
        self.layer.send(self.peer, TrainAck(self.number, train.queue_id, verdict, self.expected))
        if qubit is not None:
            self.train = Attempt(self, train, key, self.requests[key].add, qubit)
            self.train.start()

    @staticmethod
    def _most(request: Request, train: Train) -> int:
        """Pairs that a train may be for (EGP-28)."""
        alone = train.test or train.each or request.add.kind != MEASURE
        return 1 if alone else min(request.left, MOST_PAIRS)

    def _held(self) -> int | None:
        """The qubit that was kept after a late READY."""
        if self.hold is None:
            return None
        qubit, timer = self.hold
        timer.cancel()
        self.hold = None
        return qubit

    def _ready_now(self) -> None:
        """What was wanting is here (EGP-7)."""
        if self.busy is None or self.hold is not None:
            return
        qubit = self.qubits.take()
        if qubit is not None:
            self.hold = (qubit, self.world.after(HOLD, self._let_go))
            self.layer.send(self.peer, TrainAck(self.number, self.busy, READY, self.expected))
            self.busy = None

    def _let_go(self) -> None:
        qubit = self._held()
        if qubit is not None:
            self.qubits.put(qubit)

    def _train_ack(self, ack: TrainAck) -> None:
        self._larger(ack.expected_sequence)
        train = self.train
        if ack.queue_id == 0:
            if self.asked is not None and ack.verdict == UNKNOWN:
                self._unknown(self.asked)
            self.asked = None
        elif self.master and train is not None and train.proposed and train.train.queue_id == ack.queue_id:
            if ack.verdict == READY:
                train.start()
                return
            if ack.verdict == BUSY:
                self.busy = ack.queue_id
                self.retry = self.world.after(PATIENCE, self._again)
            self.train = None
            self._settle()
            if ack.verdict == UNKNOWN:
                self._unknown(train.key)
            self.qubits.put(train.qubit)
        elif self.master and ack.queue_id == self.busy and ack.verdict == READY:
            self._again()

    def _unknown(self, key: Key) -> None:
        """The peer does not have a request (EGP-17)."""
        if key in self.requests:
            self._end(key, OTHER if self.requests[key].deadline is None else TIMEOUT)

    def _again(self) -> None:
        """Propose again after BUSY."""
        if self.retry is not None:
            self.retry.cancel()
        self.retry = self.busy = None
        self.serve()

    def _larger(self, expected: int) -> None:
        if self.train is None or self.train.proposed:
            self.expected = larger(self.expected, expected)

    def trained(self) -> None:
        """A train is over."""
        self._settle()
        self.serve()

    def _settle(self) -> None:
        """Do what waited for the end of a train."""
        deferred, self.deferred = self.deferred, []
        for act in deferred:
            act()
        for request in list(self.requests.values()):
            if request.late:
                self._end(request.key, TIMEOUT)

    def _after_train(self, act: Callable[[], None]) -> None:
        if self.train is None:
            act()
        else:
            self.deferred.append(act)

    # What comes of trains

    def deliver(self, key: Key, sequence: int, bell_index: int, got: dict[str, Any]) -> None:
        """A pair of a request is here."""
        request = self.requests[key]
        request.left -= 1
        request.had = True
        kind = "K" if "qubit" in got else KINDS[request.add.kind]
        names = {"link": self.number, "origin": key[0], "create_id": key[1], "sequence": sequence}
        request.held.append({"event": "ok", "kind": kind, **names, "bell_index": bell_index, **got})
        if request.left and request.add.flags & ATOMIC:
            return
        told, request.held = request.held, []
        for line in told:
            if self.told and ahead(line["sequence"], self.told[-1][1]) <= 0:
                self.told.clear()  # the station counts anew
            self.told.append((key, line["sequence"]))
            if "qubit" in line:
                self.qubits.keep(line["qubit"])
            self.world.event(**line)
        if not request.left:
            self._forget(key)

    def lost(self, key: Key, old: int, new: int, dead: bool = False) -> None:
        """Pairs are lost to this side: the request ends here and there."""
        if key in self.requests:
            self._expire(key, old, new)
            self._end(key, OTHER if dead else EXPIRE, *(() if new == old else (old, (new - 1) % NOBODY)))

    def _expire(self, key: Key, old: int, new: int) -> None:
        self.layer.send(self.peer, Expire(self.number, int(key[0] == self.world.node), key[1], old, new))

    def _expired(self, expire: Expire) -> None:
        key = (self.peer if expire.origin else self.world.node, expire.create_id)
        if self.train is None or self.train.proposed:  # what is only proposed has been agreed on behind the Expire
            self._take_back(key, expire)
        else:
            self.train.void = expire.old_sequence
            self.deferred.append(lambda: self._take_back(key, expire))

    def _take_back(self, key: Key, expire: Expire) -> None:
        """EGP-12."""
        old = expire.old_sequence
        void = [entry for entry in self.told if old == NOBODY or (entry[1] - old) % NOBODY <= NOBODY // 2]
        gone: dict[Key, list[int]] = {}
        for other, sequence in void:
            gone.setdefault(other, []).append(sequence)
        for other, sequences in gone.items():
            self._error(other, EXPIRE, sequences[0], sequences[-1])
            if other in self.requests:
                self._forget(other)
        if key in self.requests:
            self._end(key, EXPIRE)
        self.told = deque((entry for entry in self.told if entry not in void), maxlen=1024)
        self.expected = larger(self.expected, expire.new_sequence)
        self.layer.send(self.peer, ExpireAck(self.number, self.expected))

    def broken(self) -> None:
        """The peer has lost its memory, or messages are lost (EGP-16)."""
        for key in list(self.requests):
            self._end(key, OTHER)
        self._let_go()
        self.busy = self.asked = None
        self.deferred = []
        train = self.train
        if train is not None and train.proposed:
            self.train = None
            self.qubits.put(train.qubit)
        elif train is not None:
            train.abort()

    # Silence

    def _watch(self) -> None:
        """Ask a peer that is silent while there are requests (EGP-17)."""
        if self.requests and self.alive is None:
            self.heard = max(self.heard, self.world.now())
            self.alive = self.world.after(KEEP_ALIVE, self._question)

    def _question(self) -> None:
        self.alive = None
        quiet = self.world.now() - self.heard
        if quiet < KEEP_ALIVE or self.asked is not None:
            self.alive = self.world.after(max(KEEP_ALIVE - quiet, KEEP_ALIVE // 10), self._question)
            return
        key = next(iter(self.requests))
        self.requests[key] = self.requests.pop(key)
        self.asked = key
        own = int(key[0] == self.world.node)
        self.layer.send(self.peer, Train(self.number, own, key[1], 0, 0, 0, 0, 0, self.expected, 0, 0, 0))
        self.alive = self.world.after(KEEP_ALIVE, self._question)

    def heralded(self, began: int, word: bool) -> bool:
        """Whether the station, from what it has said of a train or not, is dead (EGP-27)."""
        if word:
            self.silent, self.closed = None, LONG_AGO
            return False
        since, trains = self.silent or (began, 0)
        self.silent = (since, trains + 1)
        silence = self.world.now() - since
        if trains + 1 < 2 or silence < KEEP_ALIVE:
            self.pause = self.world.now() + silence
            self.world.at(self.pause, self.serve)
            return False
        self.closed = self.world.now() + silence
        return True

    def dead(self) -> None:
        """Nothing can be done for any request."""
        for key in list(self.requests):
            self._end(key, OTHER)
            self._after_train(lambda key=key: self._expire(key, self.expected, self.expected))  # type: ignore[misc]


class LinkLayer:
    """All links of a node."""

    def __init__(
        self,
        world: World,
        links: list[dict[str, Any]],
        qubits: int,
        send: Callable[[int, tuple[Any, ...]], None],
    ) -> None:
        self.world, self.send = world, send
        self.rules: set[tuple[int, int]] = set()
        self.qubits = Qubits(world, qubits, self.freed)
        self.links = {link["number"]: Link(self, link) for link in links if world.node in (link["a"], link["b"])}

    def freed(self) -> None:
        """A qubit is free."""
        for link in self.links.values():
            link.serve()

    def reply(self, source: int, reply: Reply) -> None:
        """A station says something."""
        link = self.links.get(reply.link)
        if link is not None and link.station == source and link.train is not None:
            link.train.reply(reply)

    def receive(self, source: int, message: Any) -> None:
        """A neighbour says something."""
        link = self.links.get(message.link)
        if link is not None and link.peer == source:
            link.receive(message)

    def broken(self, peer: int) -> None:
        """Messages to or from a peer are lost."""
        for link in self.links.values():
            if link.peer == peer:
                link.broken()

    def order(self, do: str, order: dict[str, Any]) -> bool:
        """The user wants something; whether it is known here."""
        if do == "recv":
            self.rules.add((order["remote"], order["purpose"]))
        elif do == "stop-recv":
            self.rules.discard((order["remote"], order["purpose"]))
        elif do == "release":
            self.qubits.give_back(order["qubit"])
        elif do == "create":
            self.links[order["link"]].create(order)
        elif do == "withdraw":
            self.links[order["link"]].withdraw(order["create_id"])
        else:
            return False
        return True
