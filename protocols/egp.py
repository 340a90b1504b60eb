"""EGP, the link layer: pairs with a neighbour, created and kept.  EGP-n: egp.toml.

Theory of operation.  Of the two nodes of a link the lower-numbered one is its master.  Either may ask for pairs; the
requests of both form one queue per link, in the same order at both nodes.  The order is the master's: it queues
its own requests when they are made and its peer's when they arrive, and says so, in that order, in Adds and AddAcks.
This protocol travels over the reliable sublayer, which keeps order, so the peer queues them in that order, too.

Pairs are made one train of attempts at a time.  The master proposes a train for the first request in the queue
(Train), with a qubit of its own set aside; the peer sets one aside and agrees (TrainAck READY), or has none (BUSY:
proposed again after a pause, or when the peer's second TrainAck, READY, invites it), or does not know the request.
Nobody waits for a qubit while it holds another, so nodes that share one qubit between links do not deadlock; links
take turns at a node's qubits.  A train of a link at one of its nodes moves as LINK_TABLE says.

The station numbers its successes.  Both nodes know the next number before each train: they say it in Train and
TrainAck, and the larger counts.  A success with that number is an Ok.  One that is ahead of it: pairs were missed.
One whose slot was not the device's last emission: the next emission has destroyed this half.  A train of which the
station tells nothing: nobody knows.  In these cases the node tells its peer in an Expire from which number on it has
nothing, and the request ends at both with EXPIRE; whoever still wants the pairs asks again.
"""

from collections.abc import Iterable
from itertools import count
from typing import Final, NamedTuple

from protocols.egp_service import AskStation, Err, LinkFacts, Ok, StartTrain, StopTrain
from protocols.egp_states import (
    LINK_TABLE,
    UNSET,
    Given,
    Link,
    LinkInput,
    LinkState,
    Request,
    RequestId,
    Train,
    from_on,
)
from protocols.ignored import Ignored
from protocols.machine import Output, Send
from protocols.mhp import SEQUENCE_MODULUS, SUCCESSES, TrainOutcome
from protocols.pairs import ReleaseQubit
from protocols.qubit_pool import QubitPool
from protocols.timers import Timers
from protocols.wire.codec import (
    BellIndex,
    EgpAdd,
    EgpAddAck,
    EgpAddReject,
    EgpError,
    EgpExpire,
    EgpExpireAck,
    EgpKind,
    EgpTrain,
    EgpTrainAck,
    EgpVerdict,
    MhpError,
    MhpOutcome,
)

QUEUE: Final = 256
"""Open requests per link."""

REMEMBERED: Final = 1_024
"""Delivered pairs per link that an Expire can still name."""

_CREATE_IDS: Final = 0xFFFFFFFF  # their modulus, as published
_LONGEST_PAUSE: Final = 10  # doublings

_BELL: Final = {MhpOutcome.PSI_PLUS: BellIndex.PSI_PLUS, MhpOutcome.PSI_MINUS: BellIndex.PSI_MINUS}


class _TimerKey(NamedTuple):
    kind: str  # deadline, retry, held or quiet
    link: int
    request: RequestId | None = None


class Egp:
    """The link layer of one node, on all its links.

    Its messages go over the reliable sublayer.  The driver hands in what came of trains (`train_result`), and what
    the sublayer says about a peer (`broken`).
    """

    def __init__(self, node: int, links: Iterable[LinkFacts]) -> None:
        self._node = node
        self._links = {facts.number: Link(facts, node < facts.peer) for facts in links}
        self._rules: set[tuple[int, int]] = set()
        self._next_create_id = 0
        self._qubits: QubitPool[int] = QubitPool()
        self._turns = count(1)
        self._timers: Timers[_TimerKey] = Timers()
        self._outputs: list[Output] = []

    # The service upward.

    def recv(self, remote: int, purpose_id: int) -> None:
        """RECV: accept requests of `remote` for this purpose."""
        self._rules.add((remote, purpose_id))

    def stop_recv(self, remote: int, purpose_id: int) -> None:
        """STOP_RECV: accept no more of them; open requests go on."""
        self._rules.discard((remote, purpose_id))

    def create(
        self,
        link: int,
        purpose_id: int,
        number: int,
        minimum_fidelity: int,
        priority: int,
        max_time_ps: int,
        now: int,
    ) -> int:
        """CREATE `number` pairs to keep, within max_time_ps (0: any time); returns the create_id of Ok and Err.

        What cannot be is told by an Err, at the next poll.  First come, first served: priority is only passed on.
        """
        port = self._links[link]
        facts = port.facts
        create_id, self._next_create_id = self._next_create_id, (self._next_create_id + 1) % _CREATE_IDS
        deadline = now + max_time_ps if max_time_ps else None
        request = Request(
            RequestId(self._node, create_id), purpose_id, number, minimum_fidelity, priority, deadline, False
        )
        error = None
        if not 1 <= number <= 0xFFFF:
            error = EgpError.CREATE
        elif minimum_fidelity > facts.goodness():
            error = EgpError.UNSUPP  # EGP-4
        elif len(port.requests) >= QUEUE:
            error = EgpError.NORES
        elif not facts.attempts(facts.first_slot(now + facts.round_trip_ps), deadline):
            error = EgpError.NOTIME
        if error is not None:
            self._tell_err(port, request.id, purpose_id, error)
            return create_id
        self._open(port, request, now)
        if port.master:
            port.queue[request.id] = request  # EGP-1
        self._send(
            port,
            EgpAdd(
                link, create_id, purpose_id, number, minimum_fidelity, priority, EgpKind.KEEP, max_time_ps
            ),
        )
        return create_id

    def withdraw(self, link: int, create_id: int, now: int) -> None:
        """End a request of this node, with Err OTHER; a train that runs is seen to its end.  Ended: no error."""
        port = self._links[link]
        request = port.requests.get(RequestId(self._node, create_id))
        if request is not None:
            request.withdrawn = True
            self._end_in_time(port, request, EgpError.OTHER)
            self._serve(now)

    def queue(self, link: int) -> tuple[RequestId, ...]:
        """The requests of both nodes, in the common order."""
        return tuple(self._links[link].queue)

    # Qubits.

    def offer_qubit(self, qubit: int, now: int, link: int | None = None) -> None:
        """A communication qubit that is free, for any link or for one.  It stays with this machine until Ok or
        ReleaseQubit names it."""
        self._qubits.offer(qubit, link)
        self._serve(now)

    def withdraw_qubit(self, qubit: int) -> bool:
        """Take a qubit back; False if it is in use, or not here at all."""
        return self._qubits.withdraw(qubit)

    def free_qubits(self) -> tuple[int, ...]:
        """Those that wait to be used."""
        return self._qubits.free()

    # From the layer below, and from the reliable sublayer.

    def train_result(self, outcome: TrainOutcome, last_emitted_slot: int, now: int) -> None:
        """What MHP says of a train, and the last slot for which the device has emitted, now that it has stopped."""
        port = self._links[outcome.link]
        train = port.train
        if port.state is not LinkState.RUNNING or train is None or train.queue_id != outcome.queue_id:
            return  # of a train that was given up
        self._move(port, LinkInput.RESULT)
        request = train.request
        if outcome.outcome in SUCCESSES:
            self._on_success(port, train, outcome, last_emitted_slot)
        elif outcome.error is MhpError.GENERAL:
            self._on_silence(port, train)
        else:
            self._qubits.give_back(train.qubit)
            if outcome.error in (MhpError.NO_CLASSICAL_OTHER, MhpError.OUT_OF_WINDOW):
                self._too_late(port)
            if outcome.outcome is MhpOutcome.ERROR:
                self._pause(port, now)
        if request.over is not None:
            self._end(port, request, request.over)
        if port.owes_ack:
            port.owes_ack = False
            self._send_expire_ack(port)
        self._serve(now)

    def train_failed(self, link: int, queue_id: int, now: int) -> None:
        """The device refused the train; its qubit is given up."""
        port = self._links[link]
        train = port.train
        if port.state is LinkState.RUNNING and train is not None and train.queue_id == queue_id:
            self._move(port, LinkInput.RESULT)
            self._outputs.append(StopTrain(link, queue_id, train.qubit))
            self._release(train.qubit)
            self._pause(port, now)
            if train.request.over is not None:
                self._end(port, train.request, train.request.over)
            if port.owes_ack:
                port.owes_ack = False
                self._send_expire_ack(port)
            self._serve(now)

    def broken(self, peer: int, now: int) -> None:
        """The reliable sublayer has lost messages to or from this peer, or it has restarted: all requests end."""
        for port in self._links.values():
            if port.facts.peer != peer:
                continue
            train, state = port.train, port.state
            self._move(port, LinkInput.BROKEN)
            if train is not None:
                if state is LinkState.RUNNING:
                    self._outputs.append(StopTrain(port.facts.number, train.queue_id, train.qubit))
                    self._release(train.qubit)
                else:
                    self._qubits.give_back(train.qubit)
            self._unhold(port)
            port.owed = port.declined = None
            port.owes_ack = False
            port.misses = 0
            port.given.clear()
            self._timers.cancel(_TimerKey("retry", port.facts.number))
            for request in list(port.requests.values()):
                request.withdrawn = False
                self._end(port, request, EgpError.OTHER)  # EGP-16
        self._serve(now)

    # The machine.

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        port = self._links.get(getattr(message, "link", -1))
        if port is None or port.facts.peer != source:
            self._ignore(source, message, "not the peer of this link")
            return
        match message:
            case EgpAdd():
                self._on_add(port, message, now)
            case EgpAddAck():
                self._on_add_ack(port, message)
            case EgpAddReject():
                request = port.requests.get(RequestId(self._node, message.create_id))
                if request is not None and not request.agreed:
                    self._end(port, request, EgpError(message.error))
            case EgpTrain():
                self._on_train(port, message, now)
            case EgpTrainAck():
                self._on_train_ack(port, message, now)
            case EgpExpire():
                self._on_expire(port, message)
            case EgpExpireAck():
                if port.state is not LinkState.RUNNING:
                    self._adopt(port, message.expected_sequence)  # EGP-13
            case _:
                raise TypeError(f"{type(message).__name__} is not a message of EGP")
        self._listen(port, now)
        self._serve(now)

    def poll(self, now: int) -> list[Output]:
        for key in self._timers.take_due(now):
            port = self._links[key.link]
            if key.kind == "deadline":
                assert key.request is not None
                self._end_in_time(port, port.requests[key.request], EgpError.TIMEOUT)  # EGP-15
            elif key.kind == "held":
                self._unhold(port)
            elif key.kind == "quiet":
                self._send_expire_ack(port)  # EGP-17
                self._listen(port, now)
            self._serve(now)
        outputs, self._outputs = self._outputs, []
        return outputs

    def next_timeout(self) -> int | None:
        return self._timers.next()

    # The queue.

    def _on_add(self, port: Link, add: EgpAdd, now: int) -> None:
        request_id = RequestId(port.facts.peer, add.create_id)
        error = None
        if request_id in port.requests or add.number == 0:
            error = EgpError.CREATE
        elif (port.facts.peer, add.purpose_id) not in self._rules:
            error = EgpError.REJECTED  # EGP-3
        elif add.kind != EgpKind.KEEP or add.minimum_fidelity > port.facts.goodness():
            error = EgpError.UNSUPP  # EGP-4
        elif len(port.requests) >= QUEUE:
            error = EgpError.NORES
        if error is not None:
            self._send(port, EgpAddReject(port.facts.number, add.create_id, error))
            return
        # The time has been running since the Add was sent; on its way it has been for at least the delay.
        left_ps = max(0, add.max_time_ps - port.facts.delay_to_peer_ps)
        deadline = now + left_ps if add.max_time_ps else None
        request = Request(
            request_id, add.purpose_id, add.number, add.minimum_fidelity, add.priority, deadline, agreed=True
        )
        self._open(port, request, now)
        port.queue[request_id] = request  # EGP-1
        self._send(port, EgpAddAck(port.facts.number, add.create_id))

    def _on_add_ack(self, port: Link, ack: EgpAddAck) -> None:
        request = port.requests.get(RequestId(self._node, ack.create_id))
        if request is not None:  # else it has ended meanwhile
            request.agreed = True
            port.queue.setdefault(request.id, request)  # EGP-1

    def _open(self, port: Link, request: Request, now: int) -> None:
        port.requests[request.id] = request
        if request.deadline is not None:
            self._timers.set(_TimerKey("deadline", port.facts.number, request.id), request.deadline)
        self._listen(port, now)

    def _end_in_time(self, port: Link, request: Request, code: EgpError) -> None:
        """End a request now, or when the train that is agreed or being agreed for it has ended."""
        if port.train is not None and port.train.request is request:
            request.over = request.over or code
        else:
            self._end(port, request, code)

    def _end(
        self,
        port: Link,
        request: Request,
        code: EgpError | None,
        low: int | None = None,
        high: int | None = None,
    ) -> None:
        """Forget a request; `code` None: it has all its pairs."""
        if port.requests.get(request.id) is not request:
            return
        del port.requests[request.id]
        port.queue.pop(request.id, None)
        self._timers.cancel(_TimerKey("deadline", port.facts.number, request.id))
        if not port.requests:
            self._timers.cancel(_TimerKey("quiet", port.facts.number))
        if code is None:
            return
        self._tell_err(port, request.id, request.purpose_id, code, low, high)
        if request.withdrawn and code is not EgpError.EXPIRE:
            self._send_expire(port, request.id, port.expected, port.expected)

    def _listen(self, port: Link, now: int) -> None:
        """Something was heard of the peer: it need not be tried for a while."""
        if port.requests:
            self._timers.set(_TimerKey("quiet", port.facts.number), now + port.facts.keepalive_ps)

    # Trains: agreeing.

    def _serve(self, now: int) -> None:
        """Use free qubits: links take turns, and what the peer has asked for counts like what this node wants."""
        for port in sorted(self._links.values(), key=lambda port: (port.served, port.facts.number)):
            if port.state is not LinkState.IDLE:
                continue
            if port.owed is not None:
                if port.held is None and (qubit := self._take(port)) is not None:
                    self._invite(port, port.owed, qubit, now)
            elif port.master and _TimerKey("retry", port.facts.number) not in self._timers:
                self._propose(port, now)

    def _propose(self, port: Link, now: int) -> None:
        facts = port.facts
        first_slot = facts.first_slot(now + port.extra_ps)
        for request in port.queue.values():
            if not request.agreed:
                continue
            count = facts.attempts(first_slot, request.deadline)  # EGP-6
            if not count:
                continue  # no time for another attempt: it waits for its TIMEOUT
            qubit = self._take(port)
            if qubit is None:
                return
            queue_id = next(port.queue_ids) & 0xFFFFFFFF
            spacing, alpha = facts.spacing_slots, facts.alpha
            train = Train(request, queue_id, qubit, first_slot, spacing, count, alpha)
            self._move(port, LinkInput.PROPOSE, train)
            origin, create_id = request.id
            message = EgpTrain(
                facts.number,
                int(origin == self._node),
                create_id,
                queue_id,
                first_slot,
                spacing,
                count,
                alpha,
                self._say_expected(port),
            )
            self._send(port, message)
            return

    def _on_train(self, port: Link, message: EgpTrain, now: int) -> None:
        if port.master:
            self._ignore(port.facts.peer, message, "only the master proposes")  # EGP-2
            return
        port.owed = None
        origin = port.facts.peer if message.origin else self._node
        request = port.requests.get(RequestId(origin, message.create_id))
        if request is None or message.spacing < port.facts.spacing_slots or not message.count:
            self._answer(port, message, EgpVerdict.UNKNOWN)
        elif port.state is LinkState.RUNNING:
            # The master knows what came of the last train, this node does not: its Reply is late, or lost.
            port.owed = message.queue_id
            self._outputs.append(AskStation(port.facts.number))
            self._answer(port, message, EgpVerdict.BUSY)
        elif not port.facts.in_time(message.first_slot, now):
            self._answer(port, message, EgpVerdict.BUSY)
        elif (qubit := self._take(port)) is None:
            port.owed = message.queue_id
            self._answer(port, message, EgpVerdict.BUSY)  # EGP-5
        else:
            self._adopt(port, message.expected_sequence)
            self._answer(port, message, EgpVerdict.READY)
            train = Train(request, message.queue_id, qubit, *message[4:8])
            self._move(port, LinkInput.ACCEPT, train)
            self._start(port, train)
        if port.state is LinkState.IDLE:
            self._unhold(port)

    def _on_train_ack(self, port: Link, ack: EgpTrainAck, now: int) -> None:
        train = port.train
        if port.state is not LinkState.PROPOSED or train is None or train.queue_id != ack.queue_id:
            if ack.verdict == EgpVerdict.READY and ack.queue_id == port.declined:
                port.declined = None
                self._timers.cancel(_TimerKey("retry", port.facts.number))  # invited
            return
        self._adopt(port, ack.expected_sequence)
        request = train.request
        late = not port.facts.in_time(train.first_slot, now)
        wanted = request.over is None and request.id in port.requests
        if ack.verdict == EgpVerdict.READY and wanted and not late:
            port.misses = 0
            port.extra_ps //= 2
            self._move(port, LinkInput.AGREED)
            self._start(port, train)
            return
        self._move(port, LinkInput.DECLINED)
        self._qubits.give_back(train.qubit)
        if late:
            self._too_late(port)
        if ack.verdict == EgpVerdict.UNKNOWN:
            # Nothing has been lost between the nodes, or it would have been told: the request's time was over there.
            request.over = request.over or (EgpError.TIMEOUT if request.deadline else EgpError.OTHER)
        else:
            port.declined = ack.queue_id
            self._pause(port, now)
        if request.over is not None:
            self._end(port, request, request.over)

    def _invite(self, port: Link, queue_id: int, qubit: int, now: int) -> None:
        """A declined proposal could be accepted now; the qubit is kept for it for a while (EGP-7)."""
        port.owed = None
        port.held = qubit
        self._timers.set(_TimerKey("held", port.facts.number), now + 4 * port.pause_ps)
        ack = EgpTrainAck(port.facts.number, queue_id, EgpVerdict.READY, self._say_expected(port))
        self._send(port, ack)

    def _answer(self, port: Link, train: EgpTrain, verdict: EgpVerdict) -> None:
        self._send(port, EgpTrainAck(train.link, train.queue_id, verdict, self._say_expected(port)))

    def _start(self, port: Link, train: Train) -> None:
        last_slot = train.first_slot + (train.count - 1) * train.spacing
        self._outputs.append(
            StartTrain(
                port.facts.number,
                train.queue_id,
                train.qubit,
                train.first_slot,
                train.spacing,
                train.count,
                train.alpha,
                port.facts.reply_due(last_slot),
            )
        )

    def _too_late(self, port: Link) -> None:
        port.extra_ps = min(max(2 * port.extra_ps, port.pause_ps), port.pause_ps << _LONGEST_PAUSE)

    def _pause(self, port: Link, now: int) -> None:
        """A proposal or its train has come to nothing: wait before the next."""
        if port.master:
            self._timers.set(_TimerKey("retry", port.facts.number), now + (port.pause_ps << min(port.misses, _LONGEST_PAUSE)))
            port.misses += 1

    def _move(self, port: Link, stimulus: LinkInput, train: Train | None = None) -> None:
        port.state = LINK_TABLE[port.state, stimulus]
        if port.state is LinkState.IDLE:
            port.train = None
        elif train is not None:
            port.train = train

    # Trains: results.

    def _on_success(self, port: Link, train: Train, outcome: TrainOutcome, last_emitted_slot: int) -> None:
        request, sequence = train.request, outcome.mhp_sequence
        missed = 0 if port.expected is None else (sequence - port.expected) % SEQUENCE_MODULUS
        following = (sequence + 1) % SEQUENCE_MODULUS
        old, port.expected = port.expected, following
        if missed > SEQUENCE_MODULUS // 2:
            # EGP-10: behind.  The Reply names our train, so it is no straggler: the station counts anew.
            self._release(train.qubit)
        elif missed and old is not None:
            self._release(train.qubit)
            self._send_expire(port, request.id, old, following)  # EGP-9
            self._end(port, request, EgpError.EXPIRE, old, sequence)
        elif train.void_from is not None and from_on(train.void_from, sequence):
            self._release(train.qubit)  # the peer has told already that it has not got this pair
        elif last_emitted_slot > outcome.slot:
            self._release(train.qubit)
            self._send_expire(port, request.id, sequence, following)  # EGP-11
            self._end(port, request, EgpError.EXPIRE, sequence, sequence)
        else:
            self._deliver(port, train, outcome)  # EGP-8

    def _deliver(self, port: Link, train: Train, outcome: TrainOutcome) -> None:
        request, facts = train.request, port.facts
        self._qubits.part_with(train.qubit)
        sequence, given = outcome.mhp_sequence, port.given
        if given and from_on(sequence, next(reversed(given))):
            given.clear()  # numbers of an earlier count: the station has restarted
        given[sequence] = Given(request.id, request.purpose_id)
        if len(given) > REMEMBERED:
            del given[next(iter(given))]
        self._outputs.append(
            Ok(
                facts.number,
                request.id.create_id,
                int(request.id.origin != self._node),
                sequence,
                request.purpose_id,
                facts.peer,
                facts.goodness(),
                _BELL[outcome.outcome],
                train.qubit,
                outcome.slot * facts.slot_ps,
            )
        )
        request.remaining -= 1
        if not request.remaining:
            self._end(port, request, None)  # EGP-14

    def _on_silence(self, port: Link, train: Train) -> None:
        """Nobody knows what came of the train.  The peer may hold a pair of which this node knows nothing."""
        self._release(train.qubit)
        self._send_expire(port, train.request.id, port.expected, port.expected)  # EGP-11
        port.expected = None
        self._end(port, train.request, EgpError.EXPIRE)

    # Expiry.

    def _on_expire(self, port: Link, message: EgpExpire) -> None:
        origin = port.facts.peer if message.origin else self._node
        request = port.requests.get(RequestId(origin, message.create_id))
        void: dict[Given, list[int]] = {}
        for sequence, given in list(port.given.items()):
            if from_on(message.old_sequence, sequence):  # EGP-12: also those that the peer does not know of
                void.setdefault(given, []).append(sequence)
                del port.given[sequence]
        train = port.train if port.state is LinkState.RUNNING else None
        for (request_id, purpose_id), sequences in void.items():
            low, high = sequences[0], sequences[-1]
            open_request = port.requests.get(request_id)
            if open_request is None or (train is not None and train.request is open_request):
                self._tell_err(port, request_id, purpose_id, EgpError.EXPIRE, low, high)
            else:
                self._end(port, open_request, EgpError.EXPIRE, low, high)
        if request is not None:
            self._end_in_time(port, request, EgpError.EXPIRE)
        if train is not None:
            # The sequence that this train may bring is not known yet: the answer waits for it.
            train.void_from = message.old_sequence
            port.owes_ack = True
        else:
            self._adopt(port, message.new_sequence)
            self._send_expire_ack(port)

    def _adopt(self, port: Link, theirs: int) -> None:
        """The larger expected sequence counts (EGP-13)."""
        if theirs != UNSET and (port.expected is None or from_on(port.expected, theirs)):
            port.expected = theirs

    @staticmethod
    def _say_expected(port: Link) -> int:
        return UNSET if port.expected is None else port.expected

    def _send_expire(self, port: Link, request: RequestId, old: int | None, new: int | None) -> None:
        old_sequence, new_sequence = UNSET if old is None else old, UNSET if new is None else new
        asked_here = int(request.origin == self._node)
        self._send(
            port, EgpExpire(port.facts.number, asked_here, request.create_id, old_sequence, new_sequence)
        )

    def _send_expire_ack(self, port: Link) -> None:
        self._send(port, EgpExpireAck(port.facts.number, self._say_expected(port)))

    # Qubits.

    def _take(self, port: Link) -> int | None:
        """A qubit for this link, if there is one: it is used or given back before anything else happens to it."""
        qubit = port.held
        if qubit is not None:
            port.held = None
            self._timers.cancel(_TimerKey("held", port.facts.number))
        else:
            qubit = self._qubits.take(port.facts.number)
            if qubit is None:
                return None
        port.served = next(self._turns)
        return qubit

    def _unhold(self, port: Link) -> None:
        if port.held is not None:
            self._qubits.give_back(port.held)
            port.held = None
            self._timers.cancel(_TimerKey("held", port.facts.number))

    def _release(self, qubit: int) -> None:
        """It may be entangled with something: the device must give it a new name."""
        self._qubits.part_with(qubit)
        self._outputs.append(ReleaseQubit(qubit))

    # Telling.

    def _tell_err(
        self,
        port: Link,
        request: RequestId,
        purpose_id: int,
        code: EgpError,
        low: int | None = None,
        high: int | None = None,
    ) -> None:
        origin, create_id = request
        self._outputs.append(
            Err(port.facts.number, create_id, origin, purpose_id, port.facts.peer, code, low, high)
        )

    def _ignore(self, source: int, message: NamedTuple, reason: str) -> None:
        self._outputs.append(Ignored(source, type(message).__name__, reason))

    def _send(self, port: Link, message: NamedTuple) -> None:
        self._outputs.append(Send(port.facts.peer, message, reliable=True))
