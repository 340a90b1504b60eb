"""One end of one link: LINK_TABLE at work.  The rules are in egp.py.

What may live here: agreeing on trains with the peer, what comes of them, and expiry.
"""

from typing import Final

from protocols.egp.queue import RequestQueue
from protocols.egp.service import AskStation, LinkFacts, Ok, Reserve, StartTrain, StopTrain, Unreserve
from protocols.egp.states import (
    LINK_TABLE,
    UNSET,
    Given,
    LinkInput,
    LinkState,
    Request,
    RequestId,
    Shared,
    TimerKey,
    TimerKind,
    Train,
    from_on,
)
from protocols.ignored import Ignored
from protocols.machine import Send
from protocols.mhp.node import TrainOutcome
from protocols.mhp.trains import SEQUENCE_MODULUS, SUCCESSES
from protocols.pairs import ReleaseQubit
from protocols.wire.codec import (
    BellIndex,
    EgpError,
    EgpExpire,
    EgpExpireAck,
    EgpTrain,
    EgpTrainAck,
    EgpVerdict,
    Message,
    MhpError,
    MhpOutcome,
)

REMEMBERED: Final = 1_024
"""Delivered pairs that an Expire can still name."""

_QUESTION: Final = 0
"""The queue id of a Train without attempts: it asks whether its request is known.  No train has it."""

_LONGEST_PAUSE: Final = 10  # doublings

MOST_SLOTS: Final = 0xFFFFFFFF
"""Of a reservation."""

_BELL: Final = {MhpOutcome.PSI_PLUS: BellIndex.PSI_PLUS, MhpOutcome.PSI_MINUS: BellIndex.PSI_MINUS}


class LinkEnd:
    """`served` says when it last got a qubit: those of one node take turns."""

    def __init__(self, facts: LinkFacts, shared: Shared) -> None:
        self.facts = facts
        self.requests = RequestQueue(facts, shared)
        self.served = 0
        self._shared = shared
        self._state = LinkState.IDLE
        self._train: Train | None = None
        self._next_queue_id = 1
        self._expected: int | None = None  # the MHP sequence that comes next, if it is known
        self._given: dict[int, Given] = {}  # by MHP sequence, oldest first
        self._withdrawn: list[RequestId] = []  # requests of this node whose end the peer does not know yet
        self._owes_ack = False  # of an Expire that came during a train
        self._owed: int | None = None  # queue id of a proposal that was declined for want of a qubit
        self._held: int | None = None  # the qubit set aside after an invitation
        self._asked: RequestId | None = None  # what the peer was last asked about
        self._declined: int | None = None  # queue id of our own proposal that the peer declined
        self._misses = 0  # proposals in a row that came to nothing
        self._extra_ps = 0  # added to the margin of proposals for as long as they come too late
        self._pause_ps = 2 * facts.round_trip_ps + facts.margin_ps
        self._retry = TimerKey(TimerKind.RETRY, facts.number)
        self._hold = TimerKey(TimerKind.HELD, facts.number)

    # Agreeing on a train.

    def use_qubit(self, now: int) -> None:
        """There may be a qubit for this link: invite the peer, or propose a train, if either is wanted."""
        if self._state is LinkState.RESERVING:
            self._tell_withdrawn()
            if self._next_request(self.facts.first_slot(now)) is None:
                self._unreserve()
            return
        if self._state is not LinkState.IDLE:
            return
        self._tell_withdrawn()
        if self._owed is not None:
            if self._held is None and (qubit := self._take()) is not None:
                self._invite(self._owed, qubit, now)
        elif self.requests.master and self._retry not in self._shared.timers:
            if self.facts.switched:
                self._reserve(now)
            else:
                self._propose(self.facts.first_slot(now + self._extra_ps))

    def on_train(self, message: EgpTrain, now: int) -> None:
        facts = self.facts
        origin = facts.peer if message.origin else self._shared.node
        request = self.requests.open.get(RequestId(origin, message.create_id))
        if not message.count:
            self._answer(message, EgpVerdict.UNKNOWN if request is None else EgpVerdict.READY)  # EGP-17
            return
        if self.requests.master:
            self._ignore(message, "only the master proposes")  # EGP-2
            return
        self._owed = None
        if request is None or message.spacing < facts.spacing_slots:
            self._answer(message, EgpVerdict.UNKNOWN)
        elif self._state is LinkState.RUNNING:
            # The master knows what came of the last train, this node does not: its Reply is late, or lost.
            self._owed = message.queue_id
            self._shared.outputs.append(AskStation(facts.number))
            self._answer(message, EgpVerdict.BUSY)
        elif not facts.in_time(message.first_slot, now):
            self._answer(message, EgpVerdict.BUSY)
        elif (qubit := self._take()) is None:
            self._owed = message.queue_id
            self._answer(message, EgpVerdict.BUSY)  # EGP-5
        else:
            self._adopt(message.expected_sequence)
            self._answer(message, EgpVerdict.READY)
            row = (message.first_slot, message.spacing, message.count, message.alpha)
            self._move(LinkInput.ACCEPT, Train(request, message.queue_id, qubit, *row))
        self.let_go()  # an invitation is for one proposal

    def on_train_ack(self, ack: EgpTrainAck, now: int) -> None:
        train = self._train
        if ack.queue_id == _QUESTION:
            asked = self.requests.open.get(self._asked) if self._asked is not None else None
            if ack.verdict == EgpVerdict.UNKNOWN and asked is not None:
                self.end_in_time(asked, _gone(asked))
            return
        if self._state is not LinkState.PROPOSED or train is None or train.queue_id != ack.queue_id:
            if ack.verdict == EgpVerdict.READY and ack.queue_id == self._declined:
                self._shared.timers.cancel(self._retry)  # EGP-7: invited
            return
        self._adopt(ack.expected_sequence)
        request = train.request
        late = not self.facts.in_time(train.first_slot, now)
        wanted = request.over is None and request.id in self.requests.open
        if ack.verdict == EgpVerdict.READY and wanted and not late:
            self._misses = 0
            self._extra_ps //= 2
            self._move(LinkInput.AGREED, train)
            return
        self._move(LinkInput.DECLINED)
        self._shared.qubits.give_back(train.qubit)
        if self.facts.switched:
            self._shared.outputs.append(Unreserve(self.facts.number))
        if ack.verdict == EgpVerdict.UNKNOWN:
            request.over = request.over or _gone(request)
        else:
            self._declined = ack.queue_id
            self._pause(now)
        if request.over is not None:
            self._end(request, request.over)

    def ask_peer(self) -> None:
        """It has been silent for long: does it live, and does it still have our requests?  One at a time."""
        requests = list(self.requests.open)
        last = requests.index(self._asked) if self._asked in requests else -1
        self._asked = requests[(last + 1) % len(requests)]
        asked_here = int(self._asked.origin == self._shared.node)
        number, expected = self.facts.number, self._say_expected()
        self._send(EgpTrain(number, asked_here, self._asked.create_id, _QUESTION, 0, 0, 0, 0, expected))

    def _next_request(self, first_slot: int) -> tuple[Request, int] | None:
        """The first in the queue that has time for an attempt (EGP-2), and its attempts, for a train from this slot."""
        for request in self.requests.ordered.values():
            attempts = self.facts.attempts(first_slot, request.deadline) if request.agreed else 0  # EGP-6
            if attempts:
                return request, attempts
        return None  # who has no time for another attempt waits for its TIMEOUT

    def _propose(self, first_slot: int, slots: int | None = None) -> bool:
        """A train from this slot on, for as long as its request needs and `slots` allow; False if there is none."""
        facts = self.facts
        following = self._next_request(first_slot)
        qubit = self._take() if following is not None else None
        if following is None or qubit is None:
            return False
        request, attempts = following
        if slots is not None:
            attempts = min(attempts, max(1, (slots - 1) // facts.spacing_slots + 1))
        queue_id, self._next_queue_id = self._next_queue_id, self._next_queue_id % 0xFFFFFFFF + 1
        row = (first_slot, facts.spacing_slots, attempts, facts.alpha)
        self._move(LinkInput.PROPOSE, Train(request, queue_id, qubit, *row))
        origin, create_id = request.id
        asked_here = int(origin == self._shared.node)
        self._send(EgpTrain(facts.number, asked_here, create_id, queue_id, *row, self._say_expected()))
        return True

    # Analysers of a switch.  No qubit waits for one (EGP-19).

    def _reserve(self, now: int) -> None:
        """Ask the switch for slots, if there is a train to propose and a qubit for it, now."""
        facts = self.facts
        notice_ps = facts.notice_ps + self._extra_ps
        following = self._next_request(facts.first_slot(now + self._extra_ps))
        if following is None or not self._shared.qubits.serves(facts.number):
            return
        request, attempts = following
        self._move(LinkInput.RESERVE)
        slots = (attempts - 1) * facts.spacing_slots + 1
        notice_ps += facts.delay_to_station_ps  # the grant's own way
        self._shared.outputs.append(Reserve(facts.number, min(slots, MOST_SLOTS), notice_ps, request.deadline))

    def on_granted(self, first_slot: int, slots: int, now: int) -> None:
        """The switch has an analyser for this link, in these slots."""
        if self._state is not LinkState.RESERVING:
            return
        if first_slot < self.facts.first_slot(now):
            self._come_earlier()
            self._unreserve()
        elif not self._propose(first_slot, slots):
            self._unreserve()

    def on_refused(self, silent: bool, now: int) -> None:
        """The switch has none, or (`silent`) is dead."""
        if self._state is not LinkState.RESERVING:
            return
        self._move(LinkInput.UNRESERVE)
        self._pause(now)
        following = self._next_request(self.facts.first_slot(now)) if silent else None
        if following is not None:
            self.withdraw(following[0])  # EGP-20

    def _unreserve(self) -> None:
        self._move(LinkInput.UNRESERVE)
        self._shared.outputs.append(Unreserve(self.facts.number))

    def _invite(self, queue_id: int, qubit: int, now: int) -> None:
        """A proposal that was declined could be accepted now; the qubit is kept for its successor (EGP-7)."""
        self._owed = None
        self._held = qubit
        self._shared.timers.set(self._hold, now + 4 * self._pause_ps)
        self._send(EgpTrainAck(self.facts.number, queue_id, EgpVerdict.READY, self._say_expected()))

    def _answer(self, train: EgpTrain, verdict: EgpVerdict) -> None:
        self._send(EgpTrainAck(train.link, train.queue_id, verdict, self._say_expected()))

    def _come_earlier(self) -> None:
        """What was agreed came too late for its slots: the network is slower than the facts say."""
        longest_ps = self._pause_ps << _LONGEST_PAUSE
        self._extra_ps = min(max(2 * self._extra_ps, self._pause_ps), longest_ps)

    def _pause(self, now: int) -> None:
        """A proposal or its train has come to nothing: wait before the next."""
        if self.requests.master:
            pause_ps = self._pause_ps << min(self._misses, _LONGEST_PAUSE)
            self._shared.timers.set(self._retry, now + pause_ps)
            self._misses += 1

    def _move(self, stimulus: LinkInput, train: Train | None = None) -> None:
        self._state = LINK_TABLE[self._state, stimulus]
        self._train = train
        if self._state is LinkState.RUNNING:
            assert train is not None
            facts = self.facts
            row = (train.first_slot, train.spacing, train.count, train.alpha)
            due = facts.reply_due(train.first_slot + (train.count - 1) * train.spacing)
            self._shared.outputs.append(StartTrain(facts.number, train.queue_id, train.qubit, *row, due))

    # What came of a train.

    def on_result(self, outcome: TrainOutcome, last_emitted_slot: int, now: int) -> None:
        """What MHP says, and the last slot for which the device has emitted."""
        train = self._train
        if self._state is not LinkState.RUNNING or train is None or train.queue_id != outcome.queue_id:
            return  # of a train that was given up
        self._move(LinkInput.RESULT)
        if outcome.outcome in SUCCESSES:
            self._on_success(train, outcome, last_emitted_slot)
        elif outcome.error is MhpError.GENERAL:
            self._on_silence(train)
        else:
            self._shared.qubits.give_back(train.qubit)
            if outcome.error in (MhpError.NO_CLASSICAL_OTHER, MhpError.OUT_OF_WINDOW):
                self._come_earlier()
            if outcome.outcome is MhpOutcome.ERROR:
                self._pause(now)
        self._settle(train)

    def on_failed(self, queue_id: int, now: int) -> None:
        """The device did not take the train; its qubit is given up."""
        train = self._train
        if self._state is LinkState.RUNNING and train is not None and train.queue_id == queue_id:
            self._move(LinkInput.RESULT)
            self._shared.outputs.append(StopTrain(self.facts.number, queue_id, train.qubit))
            self._release(train.qubit)
            self._pause(now)
            self._settle(train)

    def on_broken(self) -> None:
        """The peer has restarted, or what was said between the nodes is lost: all requests end."""
        train, state = self._train, self._state
        self._move(LinkInput.BROKEN)
        if self.facts.switched and state is not LinkState.IDLE and self.requests.master:
            self._shared.outputs.append(Unreserve(self.facts.number))
        if train is not None and state is LinkState.RUNNING:
            self._shared.outputs.append(StopTrain(self.facts.number, train.queue_id, train.qubit))
            self._release(train.qubit)
        elif train is not None:
            self._shared.qubits.give_back(train.qubit)
        self.let_go()
        self._owed = self._declined = None
        self._owes_ack = False
        self._misses = 0
        self._given.clear()
        self._withdrawn.clear()
        self._shared.timers.cancel(self._retry)
        for request in list(self.requests.open.values()):
            self.requests.end(request, EgpError.OTHER)  # EGP-16

    def _on_success(self, train: Train, outcome: TrainOutcome, last_emitted_slot: int) -> None:
        request, sequence = train.request, outcome.mhp_sequence
        missed = 0 if self._expected is None else (sequence - self._expected) % SEQUENCE_MODULUS
        following = (sequence + 1) % SEQUENCE_MODULUS
        old, self._expected = self._expected, following
        if missed > SEQUENCE_MODULUS // 2:
            # EGP-10: behind.  The Reply names our train, so it is no straggler: the station counts anew.
            self._release(train.qubit)
        elif missed and old is not None:
            self._release(train.qubit)
            self._send_expire(request.id, old, following)  # EGP-9
            self._end(request, EgpError.EXPIRE, old, sequence)
        elif train.void_from is not None and from_on(train.void_from, sequence):
            self._release(train.qubit)  # the peer has told already that it has not got this pair
        elif last_emitted_slot > outcome.slot:
            self._release(train.qubit)
            self._send_expire(request.id, sequence, following)  # EGP-11
            self._end(request, EgpError.EXPIRE, sequence, sequence)
        else:
            self._deliver(train, outcome)  # EGP-8

    def _deliver(self, train: Train, outcome: TrainOutcome) -> None:
        request, facts = train.request, self.facts
        self._shared.qubits.part_with(train.qubit)
        sequence, given = outcome.mhp_sequence, self._given
        if given and from_on(sequence, next(reversed(given))):
            given.clear()  # numbers of an earlier count: the station has restarted
        given[sequence] = Given(request.id, request.purpose_id)
        if len(given) > REMEMBERED:
            del given[next(iter(given))]
        self._shared.outputs.append(
            Ok(
                facts.number,
                request.id.create_id,
                int(request.id.origin != self._shared.node),
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
            self._end(request, None)  # EGP-14

    def _on_silence(self, train: Train) -> None:
        """Nobody knows what came of the train: the peer may hold a pair of which this node knows nothing."""
        self._release(train.qubit)
        self._send_expire(train.request.id, self._expected, self._expected)  # EGP-11
        self._expected = None
        self._end(train.request, EgpError.EXPIRE)

    def _settle(self, train: Train) -> None:
        """What had to wait for the end of the train."""
        if train.request.over is not None:
            self._end(train.request, train.request.over)
        if self._owes_ack:
            self._owes_ack = False
            self._send_expire_ack()

    # How requests end.

    def withdraw(self, request: Request) -> None:
        """This node needs no more of its pairs (EGP-18)."""
        request.withdrawn = True
        self.end_in_time(request, EgpError.OTHER)

    def end_in_time(self, request: Request, code: EgpError) -> None:
        """End a request: now, or when the train that is agreed or being agreed for it has ended."""
        if self._train is not None and self._train.request is request:
            request.over = request.over or code
        else:
            self._end(request, code)

    def _end(
        self, request: Request, code: EgpError | None, low: int | None = None, high: int | None = None
    ) -> None:
        was_open = self.requests.end(request, code, low, high)
        if was_open and request.withdrawn and code not in (None, EgpError.EXPIRE):
            self._withdrawn.append(request.id)

    def _tell_withdrawn(self) -> None:
        """Only between trains: an Expire says from where on there is nothing, and a train may bring something."""
        for request_id in self._withdrawn:
            self._send_expire(request_id, self._expected, self._expected)
        self._withdrawn.clear()

    # Expiry.

    def on_expire(self, message: EgpExpire) -> None:
        facts = self.facts
        origin = facts.peer if message.origin else self._shared.node
        request = self.requests.open.get(RequestId(origin, message.create_id))
        train = self._train if self._state is LinkState.RUNNING else None
        void: dict[Given, list[int]] = {}
        for sequence, given in list(self._given.items()):
            if from_on(message.old_sequence, sequence):  # EGP-12
                void.setdefault(given, []).append(sequence)
                del self._given[sequence]
        for (request_id, purpose_id), sequences in void.items():
            of_pairs = self.requests.open.get(request_id)
            if of_pairs is None or (train is not None and train.request is of_pairs):
                low, high = sequences[0], sequences[-1]
                self.requests.tell_err(request_id, purpose_id, EgpError.EXPIRE, low, high)
            else:
                self._end(of_pairs, EgpError.EXPIRE, sequences[0], sequences[-1])
        if request is not None and request.id in self.requests.open:
            self.end_in_time(request, EgpError.EXPIRE)
        if train is not None:
            # Which sequence this train may bring is not known yet: the answer waits for it.
            train.void_from = message.old_sequence
            self._owes_ack = True
        else:
            self._adopt(message.new_sequence)
            self._send_expire_ack()

    def on_expire_ack(self, message: EgpExpireAck) -> None:
        if self._state is not LinkState.RUNNING:  # else it would run ahead of our own Reply
            self._adopt(message.expected_sequence)

    def _send_expire_ack(self) -> None:
        self._send(EgpExpireAck(self.facts.number, self._say_expected()))

    def _send_expire(self, request: RequestId, old: int | None, new: int | None) -> None:
        asked_here = int(request.origin == self._shared.node)
        old_sequence, new_sequence = UNSET if old is None else old, UNSET if new is None else new
        self._send(EgpExpire(self.facts.number, asked_here, request.create_id, old_sequence, new_sequence))

    def _adopt(self, theirs: int) -> None:
        """The larger expected sequence counts (EGP-13)."""
        if theirs != UNSET and (self._expected is None or from_on(self._expected, theirs)):
            self._expected = theirs

    def _say_expected(self) -> int:
        return UNSET if self._expected is None else self._expected

    # Qubits and messages.

    def _take(self) -> int | None:
        qubit = self._held
        if qubit is not None:
            self._held = None
            self._shared.timers.cancel(self._hold)
        else:
            qubit = self._shared.qubits.take(self.facts.number)
        if qubit is not None:
            self.served = next(self._shared.turns)
        return qubit

    def let_go(self) -> None:
        """Of the qubit that is kept for a proposal of the peer, if any."""
        if self._held is not None:
            self._shared.qubits.give_back(self._held)
            self._held = None
            self._shared.timers.cancel(self._hold)

    def _release(self, qubit: int) -> None:
        """It may be entangled with something: the device is to empty it and to give it a new name."""
        self._shared.qubits.part_with(qubit)
        self._shared.outputs.append(ReleaseQubit(qubit))

    def _ignore(self, message: Message, reason: str) -> None:
        self._shared.outputs.append(Ignored(self.facts.peer, type(message).__name__, reason))

    def _send(self, message: Message) -> None:
        self._shared.outputs.append(Send(self.facts.peer, message, reliable=True))


def _gone(request: Request) -> EgpError:
    """Why the peer does not know a request, if nothing was said of lost messages: its time was over there."""
    return EgpError.OTHER if request.deadline is None else EgpError.TIMEOUT
