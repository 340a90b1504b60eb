"""One end of one link: LINK_TABLE at work.  The rules are in node.py.

What may live here: agreeing on trains with the peer, what comes of them, and expiry.
"""

from typing import Any, Final

from protocols.egp.estimation import Estimator
from protocols.egp.facts import LinkFacts
from protocols.egp.queue import RequestQueue
from protocols.egp.rounds import TestRounds
from protocols.egp.schedulers import Scheduler
from protocols.egp.service import (
    AskStation,
    CutTrain,
    Expectation,
    MeasureTest,
    Ok,
    OkAny,
    OkMeasured,
    OkPrepared,
    Reserve,
    StartTrain,
    Stash,
    StopTrain,
    Unreserve,
)
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
from protocols.measuring import Measure
from protocols.mhp.node import TrainOutcome
from protocols.mhp.trains import MOST_PAIRS, SEQUENCE_MODULUS, SHORT, SUCCESSES
from protocols.pairs import ReleaseQubit
from protocols.wire.codec import (
    BellIndex,
    DeviceRemembered,
    EgpBasis,
    EgpError,
    EgpExpire,
    EgpExpireAck,
    EgpKind,
    EgpTest,
    EgpTested,
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

SILENT_TRAINS: Final = 2
"""So many trains in a row of which the station said nothing, over at least the keep-alive time, and it is dead."""

MOST_SLOTS: Final = 0xFFFFFFFF
"""Of a reservation."""

_BELL: Final = {MhpOutcome.PSI_PLUS: BellIndex.PSI_PLUS, MhpOutcome.PSI_MINUS: BellIndex.PSI_MINUS}


class LinkEnd:
    """`served` says when it last got a qubit: those of one node take turns."""

    def __init__(self, facts: LinkFacts, shared: Shared, scheduler: Scheduler) -> None:
        self.facts = facts
        self.estimator = Estimator(facts)
        self.requests = RequestQueue(facts, shared, self.estimator, scheduler)
        self.served = 0
        self._scheduler = scheduler
        self._rounds = TestRounds(facts, shared, self.estimator)
        self._shared = shared
        self._state = LinkState.IDLE
        self._train: Train | None = None
        self._next_queue_id = 1
        self._expected: int | None = None  # the MHP sequence that comes next, if it is known
        self._given: dict[int, Given] = {}  # by MHP sequence, oldest first
        self._withdrawn: list[RequestId] = []  # requests of this node whose end the peer does not know yet
        self._owes_ack = False  # of an Expire that came during a train
        self._owed: int | None = None  # queue id of a proposal that was declined for want of a qubit
        self._owed_keeps = False  # that proposal needs a place to keep its half, too
        self._held: int | None = None  # the qubit set aside after an invitation
        self._asked: RequestId | None = None  # what the peer was last asked about
        self._declined: int | None = None  # queue id of our own proposal that the peer declined
        self._misses = 0  # proposals in a row that came to nothing
        self._vain = 0  # grants of a switch in a row for which there was no qubit
        self._silent = 0  # trains in a row of which nobody knows what came
        self._silent_since = 0  # when the first of them began
        self._extra_ps = 0  # added to the margin of proposals for as long as they come too late
        self._pause_ps = 2 * facts.round_trip_ps + facts.margin_ps
        self._retry = TimerKey(TimerKind.RETRY, facts.number)
        self._hold = TimerKey(TimerKind.HELD, facts.number)

    def shown(self) -> dict[str, Any]:
        """The link's queue and its train, for people who look."""
        train = self._train
        running = {} if train is None else {
            "queue_id": train.queue_id, "first_slot": train.first_slot, "count": train.count, "qubit": train.qubit
        }  # fmt: skip
        requests = [
            {
                "origin": request.id.origin,
                "create_id": request.id.create_id,
                "pairs_left": request.remaining,
                "priority": request.priority,
                "agreed": request.agreed,
                "kind": request.kind.name,
            }
            for request in self.requests.open.values()
        ]
        return {
            "link": self.facts.number,
            "peer": self.facts.peer,
            "state": self._state.name,
            "train": running,
            "requests": requests,
        }

    # Agreeing on a train.

    @property
    def waits(self) -> bool:
        """Could it do anything with a qubit, or has it something to say between trains?  If not, there is no use in
        :meth:`use_qubit`; a node with many links asks each time."""
        if self._state is LinkState.IDLE:
            wanted = self.requests.master and bool(self.requests.open)
            return wanted or self._owed is not None or bool(self._withdrawn)
        return self._state is LinkState.RESERVING

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
            room = not self._owed_keeps or self._shared.rooms.free(self.facts.number) != 0
            if room and self.facts.switched and not self._shared.mixed:
                self._invite_without_qubit(self._owed)
            elif room and self._held is None and (qubit := self._take()) is not None:
                self._invite(self._owed, qubit, now)
        elif self.requests.master and self._retry not in self._shared.timers:
            if self.facts.switched:
                self._reserve(now)
            else:
                self._propose(self.facts.first_slot(now + self._extra_ps))

    def consider(self, request: Request | None) -> None:
        """A request has come into the queue: is it so urgent that the train that runs is cut short (EGP-24)?"""
        train = self._train
        if request is None or train is None or train.cut or self._state is not LinkState.RUNNING:
            return
        running = train.request
        together = running.together and running.begun
        if self.requests.master and not together and self._scheduler.preempts(request, running):
            train.cut = True
            self._shared.outputs.append(CutTrain(self.facts.number))

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
        most = 1 if request is None or message.each or message.test else self._most_pairs(request)  # EGP-28
        fits = request is not None and 1 <= message.pairs <= most
        if request is None or message.spacing < facts.spacing(request.kind) or not fits:
            self._answer(message, EgpVerdict.UNKNOWN)
        elif self._state is LinkState.RUNNING:
            # The master knows what came of the last train, this node does not: its Reply is late, or lost.
            self._owed, self._owed_keeps = message.queue_id, False
            self._shared.outputs.append(AskStation(facts.number))
            self._answer(message, EgpVerdict.BUSY)
        elif not facts.in_time(message.first_slot, now):
            self._answer(message, EgpVerdict.BUSY)
        else:
            row = (message.first_slot, message.spacing, message.count, message.alpha, message.test)
            train = self._with_qubit(request, message.queue_id, *row, message.pairs, bool(message.each))
            if train is None:
                self._owed, self._owed_keeps = message.queue_id, self._keeps(request, message.test)
                self._answer(message, EgpVerdict.BUSY)  # EGP-5
                self._granted_in_vain()
            else:
                self._adopt(message.expected_sequence)
                self._answer(message, EgpVerdict.READY)
                self._vain = 0
                self._move(LinkInput.ACCEPT, train)
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
        self._put_back(train)
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
        row = (_QUESTION, 0, 0, 0, 0, expected, EgpTest.NONE, 0, 0)
        self._send(EgpTrain(number, asked_here, self._asked.create_id, *row))

    def _next_request(self, first_slot: int) -> tuple[Request, int] | None:
        """The first in the queue that has time for an attempt (EGP-2), and its attempts, for a train from this slot."""
        facts = self.facts
        for request in self.requests.in_line():
            p, spacing = request.setting.success_probability, facts.spacing(request.kind)
            pairs = self._most_pairs(request)
            attempts = facts.attempts(first_slot, request.deadline, p, spacing, pairs) if request.agreed else 0  # EGP-6
            if attempts:
                return request, attempts
        return None  # who has no time for another attempt waits for its TIMEOUT

    @staticmethod
    def _most_pairs(request: Request) -> int:
        """Of one train: whoever keeps a half needs its qubit; whoever measures has it back at once (EGP-28)."""
        return min(request.remaining, MOST_PAIRS) if request.kind == EgpKind.MEASURE else 1

    def _propose(self, first_slot: int, slots: int | None = None) -> bool:
        """A train from this slot on, for as long as its request needs and `slots` allow; False if there is none."""
        facts = self.facts
        following = self._next_request(first_slot)
        if following is None:
            return False
        request, attempts = following
        spacing = facts.spacing(request.kind)
        if slots is not None:
            attempts = min(attempts, max(1, (slots - 1) // spacing + 1))
        row = (first_slot, spacing, attempts, request.setting.alpha)
        test = self._rounds.choose(request, first_slot, self._expected)
        pairs = 1 if test else self._rounds.until_next(request, self._expected, self._most_pairs(request))
        if slots is None:
            attempts = min(attempts, facts.attempts(first_slot, None, request.setting.success_probability, 1, pairs))
            row = (first_slot, spacing, attempts, request.setting.alpha)
        each = attempts <= SHORT and pairs == 1 and not facts.switched and facts.waits(spacing)
        train = self._with_qubit(request, self._next_queue_id, *row, test, pairs, each)
        if train is None:
            return False
        self._next_queue_id = self._next_queue_id % 0xFFFFFFFF + 1
        self._move(LinkInput.PROPOSE, train)
        origin, create_id = request.id
        asked_here = int(origin == self._shared.node)
        expected = self._say_expected()
        more = (expected, test, pairs, int(each))
        self._send(EgpTrain(facts.number, asked_here, create_id, train.queue_id, *row, *more))
        return True

    # Analysers of a switch.  No qubit waits for one (EGP-19), unless others than the switch's links keep taking it.

    def _reserve(self, now: int) -> None:
        """Ask the switch for slots, if there is a train to propose."""
        facts = self.facts
        notice_ps = facts.notice_ps + self._extra_ps
        following = self._next_request(facts.first_slot(now + self._extra_ps))
        if following is None:
            return
        request, attempts = following
        if self._shared.rooms.free(facts.number) == 0 and self._keeps(request, EgpTest.NONE):
            return
        if self._vain and self._shared.mixed and self._held is None:
            if (qubit := self._take()) is None:
                return
            self._keep(qubit, now)
        self._move(LinkInput.RESERVE)
        slots = (attempts - 1) * facts.spacing(request.kind) + 1
        notice_ps += facts.delay_to_station_ps  # the grant's own way
        self._shared.outputs.append(Reserve(facts.number, min(slots, MOST_SLOTS), notice_ps, request.deadline))

    def on_granted(self, first_slot: int, slots: int, now: int) -> None:
        """The switch has an analyser for this link, in these slots."""
        if self._state is not LinkState.RESERVING:
            return
        if first_slot < self.facts.first_slot(now):
            self._come_earlier()
            self._unreserve()
        elif self._propose(first_slot, slots):
            self._vain = 0
        else:
            self._unreserve()
            if self._next_request(first_slot) is not None:
                self._granted_in_vain()
                self._pause(now)

    def on_refused(self, silent: bool, now: int) -> None:
        """The switch has none, or (`silent`) is dead."""
        if self._state is not LinkState.RESERVING:
            return
        self._move(LinkInput.UNRESERVE)
        self._pause(now)
        following = self._next_request(self.facts.first_slot(now)) if silent else None
        if following is not None:
            self.withdraw(following[0])  # EGP-20

    def _granted_in_vain(self) -> None:
        """There was a grant, and no qubit: the switch has a wrong idea of this node, or other links took it."""
        if self.facts.switched:
            self._vain += 1
            if not self._shared.mixed:
                self._shared.told[self.facts.station] = None

    def _invite_without_qubit(self, queue_id: int) -> None:
        """EGP-7; whoever invites the master of a switched link knows not when its turn will come."""
        if self._shared.qubits.serves(self.facts.number):
            self._owed = None
            self._send(EgpTrainAck(self.facts.number, queue_id, EgpVerdict.READY, self._say_expected()))

    def _unreserve(self) -> None:
        self._move(LinkInput.UNRESERVE)
        self._shared.outputs.append(Unreserve(self.facts.number))

    def _invite(self, queue_id: int, qubit: int, now: int) -> None:
        """A proposal that was declined could be accepted now; the qubit is kept for its successor (EGP-7)."""
        self._owed = None
        self._keep(qubit, now)
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
            measure = None
            if (how := train.measuring(self._shared.node)) is not None:
                choice = self._shared.draw("bases", facts.number, train.queue_id, train.first_slot)
                measure = Measure(choice, how)
            more = (due, measure, train.pairs, train.each)
            self._shared.outputs.append(StartTrain(facts.number, train.queue_id, train.qubit, *row, *more))

    # What came of a train.

    def on_result(
        self, outcome: TrainOutcome, last_emitted_slot: int, now: int, remembered: DeviceRemembered | None
    ) -> None:
        """What MHP says, the last slot for which the device has emitted, and what it measured at the heralded one."""
        train = self._train
        if self._state is not LinkState.RUNNING or train is None or train.queue_id != outcome.queue_id:
            return  # of a train that was given up
        if outcome.error is not MhpError.GENERAL:
            self._silent, self.requests.deaf_until = 0, 0
        if outcome.more:
            self._on_another(train, outcome, remembered)
            return
        self._move(LinkInput.RESULT)
        if outcome.outcome in SUCCESSES:
            self._on_success(train, outcome, last_emitted_slot, remembered)
        elif outcome.error is MhpError.GENERAL:
            self._on_silence(train, now)
        else:
            self._put_back(train)
            if outcome.error in (MhpError.NO_CLASSICAL_OTHER, MhpError.OUT_OF_WINDOW):
                self._come_earlier()
            if outcome.outcome is MhpOutcome.ERROR and not train.cut:
                self._pause(now)
        self._settle(train)

    def on_failed(self, queue_id: int, now: int) -> None:
        """The device did not take the train; its qubit is given up."""
        train = self._train
        if self._state is LinkState.RUNNING and train is not None and train.queue_id == queue_id:
            self._move(LinkInput.RESULT)
            self._shared.outputs.append(StopTrain(self.facts.number, queue_id, train.qubit))
            self._release(train)
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
            self._release(train)
        elif train is not None:
            self._put_back(train)
        self.let_go()
        self._owed = self._declined = None
        self._owes_ack = False
        self._misses = 0
        self._given.clear()
        self._withdrawn.clear()
        self._rounds.forget()
        self._shared.timers.cancel(self._retry)
        for request in list(self.requests.open.values()):
            self._end(request, EgpError.OTHER)  # EGP-16

    def _on_another(self, train: Train, outcome: TrainOutcome, remembered: DeviceRemembered | None) -> None:
        """A success after which the train goes on: both nodes measure, so it is theirs at once (EGP-28)."""
        request, sequence = train.request, outcome.mhp_sequence
        good = self._expected in (None, sequence) and remembered is not None and remembered.known
        void = train.void_from is not None and from_on(train.void_from, sequence)
        if not good or void or request.remaining == 1:
            # As if it were the last: of what comes after it nothing could be told.
            self._shared.outputs.append(StopTrain(self.facts.number, train.queue_id, train.qubit))
            self._move(LinkInput.RESULT)
            self._on_success(train, outcome, outcome.slot, remembered)
            self._settle(train)
            return
        self._expected = (sequence + 1) % SEQUENCE_MODULUS
        self._count_pair(request, self._ok(train, outcome, remembered))
        if self.requests.master and not train.cut:
            line = [other for other in self.requests.in_line() if other.agreed]
            if request.over is not None or (line and line[0] is not request):
                train.cut = True  # EGP-24: the scheduler decides anew after each pair
                self._shared.outputs.append(CutTrain(self.facts.number))

    def _on_success(
        self, train: Train, outcome: TrainOutcome, last_emitted_slot: int, remembered: DeviceRemembered | None
    ) -> None:
        request, sequence = train.request, outcome.mhp_sequence
        missed = 0 if self._expected is None else (sequence - self._expected) % SEQUENCE_MODULUS
        following = (sequence + 1) % SEQUENCE_MODULUS
        old, self._expected = self._expected, following
        measures = train.measuring(self._shared.node) is not None
        lost = (remembered is None or not remembered.known) if measures else last_emitted_slot > outcome.slot
        if missed > SEQUENCE_MODULUS // 2:
            # EGP-10: behind.  The Reply names our train, so it is no straggler: the station counts anew.
            self._release(train)
        elif missed and old is not None:
            self._release(train)
            self._send_expire(request, old, following)  # EGP-9
            self._end(request, EgpError.EXPIRE, old, sequence)
        elif train.void_from is not None and from_on(train.void_from, sequence):
            self._release(train)  # the peer has told already that it has not got this pair
        elif lost:
            self._release(train)
            self._send_expire(request, sequence, following)  # EGP-11
            self._end(request, EgpError.EXPIRE, sequence, sequence)
        elif train.test:
            self._on_test(train, outcome, remembered if measures else None)
        else:
            self._deliver(train, outcome, remembered if measures else None)  # EGP-8

    def _deliver(self, train: Train, outcome: TrainOutcome, remembered: DeviceRemembered | None) -> None:
        request = train.request
        if remembered is not None:
            self._put_back(train)
        else:
            self._shared.qubits.part_with(train.qubit)
        self._count_pair(request, self._ok(train, outcome, remembered))
        if not request.remaining:
            for withheld in request.withheld:
                self._tell(request, withheld)
            request.withheld.clear()
            self._end(request, None)  # EGP-14

    def _count_pair(self, request: Request, ok: OkAny) -> None:
        """One pair more, told at once unless all are to be told together."""
        request.remaining -= 1
        request.begun = True
        self._scheduler.served(request)
        if request.atomic:
            request.withheld.append(ok)
            if isinstance(ok, Ok) and request.remaining:
                self._shared.outputs.append(Stash(ok.qubit))
        else:
            self._tell(request, ok)

    def _ok(self, train: Train, outcome: TrainOutcome, remembered: DeviceRemembered | None) -> OkAny:
        request, facts = train.request, self.facts
        directly = request.kind == EgpKind.MEASURE
        setting = self.estimator.setting(train.alpha)
        if request.kind == EgpKind.REMOTE:
            fidelity, error = self.estimator.prepared(setting)
        else:
            fidelity, error = self.estimator.estimate(directly, setting)
        row = (
            facts.number,
            request.id.create_id,
            int(request.id.origin != self._shared.node),
            outcome.mhp_sequence,
            request.purpose_id,
            facts.peer,
            fidelity,
            _BELL[outcome.outcome],
        )
        if remembered is None:
            return Ok(*row, train.qubit, outcome.slot * facts.slot_ps, error)
        when = outcome.slot * facts.slot_ps
        result = (remembered.outcome, EgpBasis(remembered.basis), when, error)
        return OkMeasured(*row, *result) if directly else OkPrepared(*row, *result)

    def _tell(self, request: Request, ok: OkAny) -> None:
        sequence, given = ok.link_sequence, self._given
        if given and from_on(sequence, next(reversed(given))):
            given.clear()  # numbers of an earlier count: the station has restarted
        given[sequence] = Given(request.id, request.purpose_id)
        if len(given) > REMEMBERED:
            del given[next(iter(given))]
        self._shared.outputs.append(ok)

    def _on_test(self, train: Train, outcome: TrainOutcome, remembered: DeviceRemembered | None) -> None:
        """Both nodes measure the pair; a kept one when its herald has arrived (EGP-23)."""
        sequence = outcome.mhp_sequence
        self._rounds.succeeded(train, sequence, _BELL[outcome.outcome])
        if remembered is not None:
            self._put_back(train)
            self._rounds.measured(sequence, remembered.outcome)
        else:
            self._shared.qubits.part_with(train.qubit)
            self._shared.outputs.append(MeasureTest(self.facts.number, sequence, train.qubit, train.test))

    def expects(self, kind: EgpKind, minimum_fidelity: int) -> Expectation:
        """For a request of this kind and fidelity."""
        directly = kind == EgpKind.MEASURE
        setting = self.estimator.choose(directly, minimum_fidelity)
        used = setting or self.facts.own
        return Expectation(
            self.facts.pair_ps(kind, used), *self.estimator.estimate(directly, used), setting is not None
        )

    def on_measured(self, sequence: int, outcome: int) -> None:
        """This node's result of a test round."""
        self._rounds.measured(sequence, outcome)

    def on_tested(self, message: EgpTested) -> None:
        self._rounds.on_tested(message)

    def _on_silence(self, train: Train, now: int) -> None:
        """Nobody knows what came of the train: the peer may hold a pair of which this node knows nothing."""
        self._release(train)
        self._send_expire(train.request, self._expected, self._expected)  # EGP-11
        self._expected = None
        if not self._silent:
            self._silent_since = min(now, train.first_slot * self.facts.slot_ps)
        self._silent += 1
        silence_ps = now - self._silent_since
        dead = self._silent >= SILENT_TRAINS and silence_ps >= self.facts.keepalive_ps
        self._end(train.request, EgpError.OTHER if dead else EgpError.EXPIRE)
        if dead:  # EGP-27
            self.requests.deaf_until = now + silence_ps
            for request in list(self.requests.open.values()):
                self.withdraw(request)
        elif self.requests.master:
            # As REL tries a silent peer: who has waited for some time knows more within the same time again.
            self._shared.timers.set(self._retry, now + silence_ps)

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

    def _end(self, request: Request, code: EgpError | None, low: int | None = None, high: int | None = None) -> None:
        was_open = self.requests.end(request, code, low, high)
        for ok in request.withheld:  # EGP-22: all or none
            if isinstance(ok, Ok):
                self._shared.outputs.append(ReleaseQubit(ok.qubit))
        request.withheld.clear()
        if was_open and request.withdrawn and code not in (None, EgpError.EXPIRE):
            self._withdrawn.append(request.id)

    def _tell_withdrawn(self) -> None:
        """Only between trains: an Expire says from where on there is nothing, and a train may bring something."""
        for request_id in self._withdrawn:
            self._expire(request_id, self._expected, self._expected)
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
        for other in list(self.requests.open.values()):
            if any(from_on(message.old_sequence, ok.link_sequence) for ok in other.withheld):
                self.end_in_time(other, EgpError.EXPIRE)
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

    def _send_expire(self, request: Request, old: int | None, new: int | None) -> None:
        """From `old` on this node has nothing; of a request whose pairs belong together, nothing at all."""
        self._expire(request.id, request.withheld[0].link_sequence if request.withheld else old, new)

    def _expire(self, request: RequestId, old: int | None, new: int | None) -> None:
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

    def _keeps(self, request: Request, test: EgpTest) -> bool:
        """Does this node keep its half of such a pair?"""
        if test:
            return request.kind != EgpKind.MEASURE
        return request.measuring(self._shared.node) is None

    def _with_qubit(
        self,
        request: Request,
        queue_id: int,
        first_slot: int,
        spacing: int,
        count: int,
        alpha: int,
        test: EgpTest,
        pairs: int,
        each: bool,
    ) -> Train | None:
        """A train, with all that this node must set aside for it; None if there is not enough (EGP-5)."""
        rooms, link = self._shared.rooms, self.facts.number
        room = self._keeps(request, test) and rooms.limited
        if (room and not rooms.free(link)) or (qubit := self._take()) is None:
            return None
        if room:
            rooms.take(link)
        return Train(request, queue_id, qubit, first_slot, spacing, count, alpha, test, pairs, each, room)

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

    def _keep(self, qubit: int, now: int) -> None:
        """For the train that is to come; longer each time that it did not."""
        self._held = qubit
        self._shared.timers.set(self._hold, now + (4 * self._pause_ps << min(self._vain, _LONGEST_PAUSE)))

    def let_go(self) -> None:
        """Of the qubit that is kept for a proposal of the peer, if any."""
        if self._held is not None:
            self._shared.qubits.give_back(self._held)
            self._held = None
            self._shared.timers.cancel(self._hold)

    def _put_back(self, train: Train) -> None:
        """Its qubit is as good as before: nothing was made, or it has been measured."""
        self._shared.qubits.give_back(train.qubit)
        if train.room:
            self._shared.rooms.give(self.facts.number)

    def _release(self, train: Train) -> None:
        """Its qubit may be entangled with something: the device is to empty it and to give it a new name."""
        self._shared.qubits.part_with(train.qubit)
        self._shared.outputs.append(ReleaseQubit(train.qubit))
        if train.room:
            self._shared.rooms.give(self.facts.number)

    def _ignore(self, message: Message, reason: str) -> None:
        self._shared.outputs.append(Ignored(self.facts.peer, type(message).__name__, reason))

    def _send(self, message: Message) -> None:
        self._shared.outputs.append(Send(self.facts.peer, message, reliable=True))


def _gone(request: Request) -> EgpError:
    """Why the peer does not know a request, if nothing was said of lost messages: its time was over there."""
    return EgpError.OTHER if request.deadline is None else EgpError.TIMEOUT
