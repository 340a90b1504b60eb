"""One end of one link: LINK_TABLE at work.  The rules are in node.py.

What may live here: agreeing on trains with the peer, and who is told how a train or a request has ended.  Which train
is proposed says proposals.py, when it is tried again patience.py, what it needs holding.py, what it brings delivery.py.
"""

from typing import Any, Final

from protocols.egp.delivery import Delivery
from protocols.egp.estimation import Estimator
from protocols.egp.facts import LinkFacts
from protocols.egp.holding import Holding
from protocols.egp.patience import Patience
from protocols.egp.proposals import Proposals, most_pairs
from protocols.egp.queue import RequestQueue
from protocols.egp.rounds import TestRounds
from protocols.egp.schedulers import Scheduler
from protocols.egp.service import AskStation, CutTrain, Reserve, StartTrain, StopTrain, Unreserve
from protocols.egp.states import LINK_TABLE, LinkInput, LinkState, Request, RequestId, Shared, Terms, Train, from_on
from protocols.ignored import Ignored
from protocols.measuring import Measure
from protocols.mhp.node import TrainOutcome
from protocols.mhp.trains import SUCCESSES
from protocols.wire.codec import (
    DeviceRemembered,
    EgpError,
    EgpExpire,
    EgpExpireAck,
    EgpTest,
    EgpTested,
    EgpTrain,
    EgpTrainAck,
    EgpVerdict,
    Message,
    MhpError,
    MhpOutcome,
)

_QUESTION: Final = 0
"""The queue id of a Train without attempts: it asks whether its request is known.  No train has it."""

MOST_SLOTS: Final = 0xFFFFFFFF
"""Of a reservation."""


class LinkEnd:
    """Called by the machine of its node, which hands out qubits (`waits`, `use_qubit`) after each call."""

    def __init__(self, facts: LinkFacts, shared: Shared, scheduler: Scheduler) -> None:
        self.facts = facts
        self.estimator = Estimator(facts)
        self.requests = RequestQueue(facts, shared, self.estimator, scheduler)
        self._shared = shared
        self._rounds = TestRounds(facts, shared, self.estimator)
        self._patience = Patience(facts, shared)
        self._proposals = Proposals(facts, self.requests, self._rounds, self._patience)
        self._holding = Holding(facts.number, shared)
        self._delivery = Delivery(facts, shared, self.estimator, self.requests, self._rounds, self._holding)
        self._state = LinkState.IDLE
        self._train: Train | None = None
        self._next_queue_id = 1
        self._owes_ack = False  # of an Expire that came during a train
        self._owed: int | None = None  # queue id of a proposal that was declined for want of a qubit
        self._owed_keeps = False  # that proposal needs a place to keep its half, too
        self._asked: RequestId | None = None  # what the peer was last asked about
        self._declined: int | None = None  # queue id of our own proposal that the peer declined

    @property
    def served(self) -> int:
        """When it last got a qubit: the links of a node take turns."""
        return self._holding.served

    def shown(self) -> dict[str, Any]:
        """The link's queue and its train, for people who look."""
        train = self._train
        running = {} if train is None else {
            "queue_id": train.queue_id, "first_slot": train.first_slot, "count": train.count, "qubit": train.qubit
        }  # fmt: skip
        return {
            "link": self.facts.number,
            "peer": self.facts.peer,
            "state": self._state.name,
            "train": running,
            "requests": self.requests.shown(),
        }

    # Agreeing on a train.

    @property
    def waits(self) -> bool:
        """Could it do anything with a qubit, or has it something to say between trains?  A node with many links asks
        each time, and calls :meth:`use_qubit` of those that do."""
        if self._state is LinkState.IDLE:
            return self._owed is not None or self._may_propose() or bool(self.requests.withdrawn)
        return self._state is LinkState.RESERVING

    def _may_propose(self) -> bool:
        return self.requests.master and bool(self.requests.open) and not self._patience.pausing

    def use_qubit(self, now: int) -> None:
        """There may be a qubit for this link, which waits: invite the peer, or propose a train, if either is wanted."""
        self._delivery.tell_withdrawn()
        if self._state is LinkState.RESERVING:
            if self._proposals.following(self.facts.first_slot(now)) is None:
                self._unreserve()
        elif self._owed is not None:
            self._invite(self._owed, now)
        elif self._may_propose():
            if self.facts.switched:
                self._reserve(now)
            else:
                self._propose(self.facts.first_slot(now + self._patience.extra_ps))

    def consider(self, request: Request | None) -> None:
        """A request has come into the queue: is it so urgent that the train that runs is cut short (EGP-24)?"""
        train = self._train
        if request is None or train is None or self._state is not LinkState.RUNNING:
            return
        if self.requests.master and self.requests.preempts(request, train.request):
            self._cut(train)

    def on_train(self, message: EgpTrain, now: int) -> None:
        facts = self.facts
        request = self.requests.named(message.origin, message.create_id)
        if not message.count:
            self._answer(message, EgpVerdict.UNKNOWN if request is None else EgpVerdict.READY)  # EGP-17
            return
        if self.requests.master:
            self._ignore(message, "only the master proposes")  # EGP-2
            return
        self._owed = None
        most = 1 if request is None or message.each or message.test else most_pairs(request)  # EGP-28
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
            self._accept(message, request)
        self._holding.let_go()  # an invitation is for one proposal

    def _accept(self, message: EgpTrain, request: Request) -> None:
        """A proposal that makes sense: if there is all that it needs."""
        row = (message.first_slot, message.spacing, message.count, message.alpha, message.test)
        train = self._with_qubit(request, message.queue_id, Terms(*row, message.pairs, bool(message.each)))
        if train is None:
            self._owed, self._owed_keeps = message.queue_id, request.keeps(self._shared.node, message.test)
            self._answer(message, EgpVerdict.BUSY)  # EGP-5
            self._granted_in_vain()
        else:
            self._delivery.adopt(message.expected_sequence)
            self._answer(message, EgpVerdict.READY)
            self._patience.vain = 0
            self._move(LinkInput.ACCEPT, train)

    def on_train_ack(self, ack: EgpTrainAck, now: int) -> None:
        train = self._train
        if ack.queue_id == _QUESTION:
            asked = self.requests.open.get(self._asked) if self._asked is not None else None
            if ack.verdict == EgpVerdict.UNKNOWN and asked is not None:
                self.end_in_time(asked, _gone(asked))
            return
        if self._state is not LinkState.PROPOSED or train is None or train.queue_id != ack.queue_id:
            if ack.verdict == EgpVerdict.READY and ack.queue_id == self._declined:
                self._patience.resume()  # EGP-7: invited
            return
        self._delivery.adopt(ack.expected_sequence)
        request = train.request
        late = not self.facts.in_time(train.first_slot, now)
        wanted = request.over is None and request.id in self.requests.open
        if ack.verdict == EgpVerdict.READY and wanted and not late:
            self._patience.agreed()
            self._move(LinkInput.AGREED, train)
            return
        self._move(LinkInput.DECLINED)
        self._holding.put_back(train)
        if self.facts.switched:
            self._shared.outputs.append(Unreserve(self.facts.number))
        if ack.verdict == EgpVerdict.UNKNOWN:
            request.over = request.over or _gone(request)
        else:
            self._declined = ack.queue_id
            if late:
                self._patience.answered_late(now - self.facts.latest(train.first_slot), now)
            else:
                self._patience.pause(now)
        if request.over is not None:
            self.requests.end(request, request.over)

    def ask_peer(self) -> None:
        """It has been silent for long: does it live, and does it still have our requests?  One at a time."""
        requests = list(self.requests.open)
        last = requests.index(self._asked) if self._asked in requests else -1
        self._asked = requests[(last + 1) % len(requests)]
        self._say_train(self._asked, _QUESTION, Terms(0, 0, 0, 0, EgpTest.NONE, 0, False))

    def _propose(self, first_slot: int, slots: int | None = None) -> bool:
        """A train from this slot on, for as long as its request needs and `slots` allow; False if there is none."""
        found = self._proposals.train(first_slot, slots, self._delivery.expected)
        if found is None or (train := self._with_qubit(found[0], self._next_queue_id, found[1])) is None:
            return False
        self._next_queue_id = self._next_queue_id % 0xFFFFFFFF + 1
        self._move(LinkInput.PROPOSE, train)
        self._say_train(train.request.id, train.queue_id, found[1])
        return True

    def _with_qubit(self, request: Request, queue_id: int, terms: Terms) -> Train | None:
        """A train, with all that this node must set aside for it; None if there is not enough (EGP-5)."""
        aside = self._holding.set_aside(request.keeps(self._shared.node, terms.test))
        return None if aside is None else Train(request, queue_id, aside.qubit, aside.room, *terms)

    def _invite(self, queue_id: int, now: int) -> None:
        """A proposal that was declined could be accepted now; the qubit is kept for its successor (EGP-7).

        Who invites the master of a switched link knows not when its turn will come, and keeps none.
        """
        holding, shared = self._holding, self._shared
        if not holding.has_room(self._owed_keeps):
            return
        if self.facts.switched and not shared.mixed:
            if not shared.qubits.serves(self.facts.number):
                return
        elif holding.kept is not None or (qubit := holding.take()) is None:
            return
        else:
            holding.keep(qubit, now + self._patience.held_ps)
        self._owed = None
        self._send(EgpTrainAck(self.facts.number, queue_id, EgpVerdict.READY, self._delivery.say_expected()))

    # Analysers of a switch.  No qubit waits for one (EGP-19), unless others than the switch's links keep taking it.

    def _reserve(self, now: int) -> None:
        """Ask the switch for slots, if there is a train to propose."""
        facts, holding = self.facts, self._holding
        extra_ps = self._patience.extra_ps
        following = self._proposals.following(facts.first_slot(now + extra_ps))
        if following is None:
            return
        request, attempts = following
        if not holding.has_room(request.keeps(self._shared.node, EgpTest.NONE)):
            return
        if self._patience.vain and self._shared.mixed and holding.kept is None:
            if (qubit := holding.take()) is None:
                return
            holding.keep(qubit, now + self._patience.held_ps)
        self._move(LinkInput.RESERVE)
        slots = (attempts - 1) * self._proposals.spacing(request) + 1
        notice_ps = facts.notice_ps + extra_ps + facts.delay_to_station_ps  # the last is the grant's own way
        self._shared.outputs.append(Reserve(facts.number, min(slots, MOST_SLOTS), notice_ps, request.deadline))

    def on_granted(self, first_slot: int, slots: int, now: int) -> None:
        """The switch has an analyser for this link, in these slots."""
        if self._state is not LinkState.RESERVING:
            return
        if first_slot < self.facts.first_slot(now):
            self._patience.came_late()
            self._unreserve()
        elif self._propose(first_slot, slots):
            self._patience.vain = 0
        else:
            self._unreserve()
            if self._proposals.following(first_slot) is not None:
                self._granted_in_vain()
                self._pause(now)

    def on_refused(self, silent: bool, now: int) -> None:
        """The switch has none, or (`silent`) is dead."""
        if self._state is not LinkState.RESERVING:
            return
        self._move(LinkInput.UNRESERVE)
        self._pause(now)
        following = self._proposals.following(self.facts.first_slot(now)) if silent else None
        if following is not None:
            self.withdraw(following[0])  # EGP-20

    def _granted_in_vain(self) -> None:
        """There was a grant, and no qubit: the switch has a wrong idea of this node, or other links took it."""
        if self.facts.switched:
            self._patience.vain += 1
            if not self._shared.mixed:
                self._shared.told[self.facts.station] = None

    def _unreserve(self) -> None:
        self._move(LinkInput.UNRESERVE)
        self._shared.outputs.append(Unreserve(self.facts.number))

    # Trains that run, and their end.

    def _pause(self, now: int) -> None:
        """A proposal or its train has come to nothing."""
        if self.requests.master:
            self._patience.pause(now)

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
            more = (train.pairs, train.each, self._patience.wary)
            start = StartTrain(facts.number, train.queue_id, train.qubit, *row, due, measure, *more)
            self._shared.outputs.append(start)

    def _cut(self, train: Train) -> None:
        """For another request; once."""
        if not train.cut:
            train.cut = True
            self._shared.outputs.append(CutTrain(self.facts.number))

    def _stop(self, train: Train) -> None:
        self._shared.outputs.append(StopTrain(self.facts.number, train.queue_id, train.qubit))

    def on_result(
        self, outcome: TrainOutcome, last_emitted_slot: int, now: int, remembered: DeviceRemembered | None
    ) -> None:
        """What MHP says, the last slot for which the device has emitted, and what it measured at the heralded one."""
        train = self._train
        if self._state is not LinkState.RUNNING or train is None or train.queue_id != outcome.queue_id:
            return  # of a train that was given up
        if outcome.error is not MhpError.GENERAL:
            self.requests.deaf_until = 0
            self._patience.heard(outcome.outcome is not MhpOutcome.ERROR)
        if outcome.more:
            self._on_another(train, outcome, remembered)
            return
        self._move(LinkInput.RESULT)
        if outcome.outcome in SUCCESSES:
            self._note_lateness(train, outcome.slot, last_emitted_slot, now)
            self._delivery.last(train, outcome, last_emitted_slot, remembered)
        elif outcome.error is MhpError.GENERAL:
            self._on_silence(train, now)
        else:
            self._holding.put_back(train)
            if outcome.error in (MhpError.NO_CLASSICAL_OTHER, MhpError.OUT_OF_WINDOW):
                self._patience.came_late()
            if outcome.outcome is MhpOutcome.ERROR and not train.cut and self.requests.master:
                self._patience.lost(now)
        self._settle(train)

    def _note_lateness(self, train: Train, slot: int, last_emitted_slot: int, now: int) -> None:
        """Of a herald: after it the device was to emit no more."""
        if train.measuring(self._shared.node) is not None:
            return
        if last_emitted_slot <= slot:
            self._patience.herald_in_time()
        else:
            next_emission = (slot + train.spacing) * self.facts.slot_ps - self.facts.arm_ps
            due = self.facts.reply_due(train.first_slot + (train.count - 1) * train.spacing)
            self._patience.herald_late(next_emission, due, now)

    def _on_another(self, train: Train, outcome: TrainOutcome, remembered: DeviceRemembered | None) -> None:
        if not self._delivery.another(train, outcome, remembered):
            self._stop(train)
            self._move(LinkInput.RESULT)
            self._delivery.last(train, outcome, outcome.slot, remembered)
            self._settle(train)
        elif self.requests.master and self.requests.overtaken(train.request):
            self._cut(train)  # EGP-24: the scheduler decides anew after each pair

    def _on_silence(self, train: Train, now: int) -> None:
        """Nobody knows what came of the train: the peer may hold a pair of which this node knows nothing."""
        delivery = self._delivery
        self._holding.release(train)
        delivery.send_expire(train.request, delivery.expected, delivery.expected)  # EGP-11
        delivery.expected = None
        silence_ps, dead = self._patience.silence(train, now)
        self.requests.end(train.request, EgpError.OTHER if dead else EgpError.EXPIRE)
        if dead:  # EGP-27
            self.requests.deaf_until = now + silence_ps
            for request in list(self.requests.open.values()):
                self.withdraw(request)
        elif self.requests.master:
            self._patience.wait_out(silence_ps, now)

    def station_lives(self) -> bool:
        """Whatever came of the last trains; whether there was doubt (EGP-27)."""
        self.requests.deaf_until = 0
        return self._patience.station_lives()

    def on_failed(self, queue_id: int, now: int) -> None:
        """The device did not take the train; its qubit is given up."""
        train = self._train
        if self._state is LinkState.RUNNING and train is not None and train.queue_id == queue_id:
            self._move(LinkInput.RESULT)
            self._stop(train)
            self._holding.release(train)
            self._pause(now)
            self._settle(train)

    def _settle(self, train: Train) -> None:
        """What had to wait for the end of the train."""
        if train.request.over is not None:
            self.requests.end(train.request, train.request.over)
        if self._owes_ack:
            self._owes_ack = False
            self._delivery.send_expire_ack()

    def on_broken(self) -> None:
        """The peer has restarted, or what was said between the nodes is lost: all requests end."""
        train, state = self._train, self._state
        self._move(LinkInput.BROKEN)
        if self.facts.switched and state is not LinkState.IDLE and self.requests.master:
            self._shared.outputs.append(Unreserve(self.facts.number))
        if train is not None and state is LinkState.RUNNING:
            self._stop(train)
            self._holding.release(train)
        elif train is not None:
            self._holding.put_back(train)
        self._holding.let_go()
        self._owed = self._declined = None
        self._owes_ack = False
        self._patience.forget()
        self._delivery.forget()
        self._rounds.forget()
        self.requests.forget()  # EGP-16

    def let_go(self) -> None:
        """A proposal of the peer, for which a qubit is kept, has not come in time."""
        self._holding.let_go()

    def on_measured(self, sequence: int, outcome: int) -> None:
        """This node's result of a test round."""
        self._rounds.measured(sequence, outcome)

    def on_tested(self, message: EgpTested) -> None:
        self._rounds.on_tested(message)

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
            self.requests.end(request, code)

    def on_expire(self, message: EgpExpire) -> None:
        request = self.requests.named(message.origin, message.create_id)
        train = self._train if self._state is LinkState.RUNNING else None
        self._delivery.void(message.old_sequence, None if train is None else train.request)
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
            self._delivery.adopt(message.new_sequence)
            self._delivery.send_expire_ack()

    def on_expire_ack(self, message: EgpExpireAck) -> None:
        if self._state is not LinkState.RUNNING:  # else it would run ahead of our own Reply
            self._delivery.adopt(message.expected_sequence)

    # Messages.

    def _say_train(self, request: RequestId, queue_id: int, terms: Terms) -> None:
        asked_here, create_id = int(request.origin == self._shared.node), request.create_id
        more = (self._delivery.say_expected(), terms.test, terms.pairs, int(terms.each))
        self._send(EgpTrain(self.facts.number, asked_here, create_id, queue_id, *terms[:4], *more))

    def _answer(self, train: EgpTrain, verdict: EgpVerdict) -> None:
        self._send(EgpTrainAck(train.link, train.queue_id, verdict, self._delivery.say_expected()))

    def _ignore(self, message: Message, reason: str) -> None:
        self._shared.outputs.append(Ignored(self.facts.peer, type(message).__name__, reason))

    def _send(self, message: Message) -> None:
        self._shared.send(self.facts.peer, message)


def _gone(request: Request) -> EgpError:
    """Why the peer does not know a request, if nothing was said of lost messages: its time was over there."""
    return EgpError.OTHER if request.deadline is None else EgpError.TIMEOUT
