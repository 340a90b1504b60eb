"""Which pairs of a link a node has: the station's count of successes, an Ok for each, an Expire where they are lost.

The rules are in node.py.  What may live here: what a success is worth to this node, and what its peer has lost.
"""

from typing import Final

from protocols.egp.estimation import Estimator
from protocols.egp.facts import LinkFacts
from protocols.egp.holding import Holding
from protocols.egp.queue import RequestQueue
from protocols.egp.rounds import TestRounds
from protocols.egp.service import MeasureTest, Ok, OkAny, OkMeasured, OkPrepared, Stash
from protocols.egp.states import UNSET, Given, Request, RequestId, Shared, Train, from_on
from protocols.mhp.node import TrainOutcome
from protocols.mhp.trains import SEQUENCE_MODULUS
from protocols.wire.codec import (
    BellIndex,
    DeviceRemembered,
    EgpBasis,
    EgpError,
    EgpExpire,
    EgpExpireAck,
    EgpKind,
    MhpOutcome,
)

REMEMBERED: Final = 1_024
"""Delivered pairs that an Expire can still name."""

_BELL: Final = {MhpOutcome.PSI_PLUS: BellIndex.PSI_PLUS, MhpOutcome.PSI_MINUS: BellIndex.PSI_MINUS}


class Delivery:
    """`expected` is the MHP sequence that comes next, if it is known."""

    def __init__(
        self,
        facts: LinkFacts,
        shared: Shared,
        estimator: Estimator,
        requests: RequestQueue,
        rounds: TestRounds,
        holding: Holding,
    ) -> None:
        self.expected: int | None = None
        self._facts = facts
        self._shared = shared
        self._estimator = estimator
        self._requests = requests
        self._rounds = rounds
        self._holding = holding
        self._given: dict[int, Given] = {}  # by MHP sequence, oldest first

    def adopt(self, theirs: int) -> None:
        """The larger expected sequence counts (EGP-13)."""
        if theirs != UNSET and (self.expected is None or from_on(self.expected, theirs)):
            self.expected = theirs

    def say_expected(self) -> int:
        """As messages have it."""
        return UNSET if self.expected is None else self.expected

    def forget(self) -> None:
        """The peer knows nothing of these pairs any more."""
        self._given.clear()

    # Pairs.

    def another(self, train: Train, outcome: TrainOutcome, remembered: DeviceRemembered | None) -> bool:
        """A success after which the train goes on: both nodes measure, so it is theirs at once (EGP-28).

        False, and nothing is done, if it has to be the last: of what came after it nothing could be told.
        """
        request, sequence = train.request, outcome.mhp_sequence
        good = self.expected in (None, sequence) and remembered is not None and remembered.known
        if not good or train.is_void(sequence) or request.remaining == 1:
            return False
        self.expected = (sequence + 1) % SEQUENCE_MODULUS
        self._count_pair(request, self._ok(train, outcome, remembered))
        return True

    def last(
        self, train: Train, outcome: TrainOutcome, last_emitted_slot: int, remembered: DeviceRemembered | None
    ) -> None:
        """The success with which a train has ended."""
        request, sequence = train.request, outcome.mhp_sequence
        missed = 0 if self.expected is None else (sequence - self.expected) % SEQUENCE_MODULUS
        following = (sequence + 1) % SEQUENCE_MODULUS
        old, self.expected = self.expected, following
        measures = train.measuring(self._shared.node) is not None
        lost = (remembered is None or not remembered.known) if measures else last_emitted_slot > outcome.slot
        if missed > SEQUENCE_MODULUS // 2:
            # EGP-10: behind.  The Reply names our train, so it is no straggler: the station counts anew.
            self._holding.release(train)
        elif missed and old is not None:
            self._holding.release(train)
            self.send_expire(request, old, following)  # EGP-9
            self._requests.end(request, EgpError.EXPIRE, old, sequence)
        elif train.is_void(sequence):
            self._holding.release(train)  # the peer has told already that it has not got this pair
        elif lost:
            self._holding.release(train)
            self.send_expire(request, sequence, following)  # EGP-11
            self._requests.end(request, EgpError.EXPIRE, sequence, sequence)
        elif train.test:
            self._test(train, outcome, remembered if measures else None)
        else:
            self._deliver(train, outcome, remembered if measures else None)  # EGP-8

    def _deliver(self, train: Train, outcome: TrainOutcome, remembered: DeviceRemembered | None) -> None:
        request = train.request
        if remembered is not None:
            self._holding.put_back(train)
        else:
            self._holding.part_with(train)
        self._count_pair(request, self._ok(train, outcome, remembered))
        if not request.remaining:
            for withheld in request.withheld:
                self._tell(request, withheld)
            request.withheld.clear()
            self._requests.end(request, None)  # EGP-14

    def _count_pair(self, request: Request, ok: OkAny) -> None:
        """One pair more, told at once unless all are to be told together."""
        self._requests.served(request)
        if request.atomic:
            request.withheld.append(ok)
            if isinstance(ok, Ok) and request.remaining:
                self._shared.outputs.append(Stash(ok.qubit))
        else:
            self._tell(request, ok)

    def _ok(self, train: Train, outcome: TrainOutcome, remembered: DeviceRemembered | None) -> OkAny:
        request, facts = train.request, self._facts
        directly = request.kind == EgpKind.MEASURE
        setting = self._estimator.setting(train.alpha)
        if request.kind == EgpKind.REMOTE:
            fidelity, error = self._estimator.prepared(setting)
        else:
            fidelity, error = self._estimator.estimate(directly, setting)
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

    def _test(self, train: Train, outcome: TrainOutcome, remembered: DeviceRemembered | None) -> None:
        """Both nodes measure the pair; a kept one when its herald has arrived (EGP-23)."""
        sequence = outcome.mhp_sequence
        self._rounds.succeeded(train, sequence, _BELL[outcome.outcome])
        if remembered is not None:
            self._holding.put_back(train)
            self._rounds.measured(sequence, remembered.outcome)
        else:
            self._holding.part_with(train)
            self._shared.outputs.append(MeasureTest(self._facts.number, sequence, train.qubit, train.test))

    # Expiry.

    def void(self, old_sequence: int, running: Request | None) -> None:
        """The peer has none of the pairs from `old_sequence` on (EGP-12): their requests end, but for the one whose
        train is `running`."""
        void: dict[Given, list[int]] = {}
        for sequence, given in list(self._given.items()):
            if from_on(old_sequence, sequence):
                void.setdefault(given, []).append(sequence)
                del self._given[sequence]
        for (request_id, purpose_id), sequences in void.items():
            request = self._requests.open.get(request_id)
            if request is None or request is running:
                low, high = sequences[0], sequences[-1]
                self._requests.tell_err(request_id, purpose_id, EgpError.EXPIRE, low, high)
            else:
                self._requests.end(request, EgpError.EXPIRE, sequences[0], sequences[-1])

    def tell_withdrawn(self) -> None:
        """Only between trains: an Expire says from where on there is nothing, and a train may bring something."""
        for request_id in self._requests.withdrawn:
            self._expire(request_id, self.expected, self.expected)
        self._requests.withdrawn.clear()

    def send_expire(self, request: Request, old: int | None, new: int | None) -> None:
        """From `old` on this node has nothing; of a request whose pairs belong together, nothing at all."""
        self._expire(request.id, request.withheld[0].link_sequence if request.withheld else old, new)

    def send_expire_ack(self) -> None:
        self._shared.send(self._facts.peer, EgpExpireAck(self._facts.number, self.say_expected()))

    def _expire(self, request: RequestId, old: int | None, new: int | None) -> None:
        asked_here = int(request.origin == self._shared.node)
        old_sequence, new_sequence = UNSET if old is None else old, UNSET if new is None else new
        expire = EgpExpire(self._facts.number, asked_here, request.create_id, old_sequence, new_sequence)
        self._shared.send(self._facts.peer, expire)
