"""Ends of a link that play EGP wrongly."""

from typing import Any

from protocols.egp import delivery as egp_delivery
from protocols.egp import patience as egp_patience
from protocols.egp import proposals as egp_proposals
from protocols.egp import queue as egp_queue
from protocols.egp.delivery import Delivery
from protocols.egp.facts import LinkFacts
from protocols.egp.link import LinkEnd
from protocols.egp.node import Egp
from protocols.egp.queue import RequestQueue
from protocols.egp.schedulers.fcfs import Fcfs
from protocols.egp.states import UNSET, Request, Train
from protocols.mhp.trains import SEQUENCE_MODULUS
from protocols.wire import (
    BellIndex,
    DeviceProgram,
    EgpAdd,
    EgpAddAck,
    EgpBasis,
    EgpError,
    EgpExpire,
    EgpExpireAck,
    EgpTested,
    EgpTrain,
    EgpTrainAck,
    EgpVerdict,
    MhpOutcome,
)
from protocols.wire.codec import DeviceOpcode
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import commands, instead, never_says, nothing, rows, says, value


@breaks("EGP-1")
def serves_the_last_first() -> Wrong:
    """The common order is turned round."""
    return instead(Fcfs, "order", lambda right, scheduler, requests: right(scheduler, requests)[::-1])


@breaks("EGP-1")
def leads_from_the_wrong_end() -> Wrong:
    """The higher-numbered node proposes trains, too."""

    def serve(right: Any, node: Egp, now: int) -> None:
        true = {end: end.requests.master for end in node._links.values()}
        for end in true:
            end.requests.master = True
        right(node, now)
        for end, master in true.items():
            end.requests.master = master

    return instead(Egp, "_serve", serve)


@breaks("EGP-2")
def follows_as_master() -> Wrong:
    """A master answers proposals."""

    def on_train(right: Any, end: LinkEnd, message: EgpTrain, now: int) -> None:
        if end.requests.master and message.count:
            end._answer(message, EgpVerdict.READY)
        else:
            right(end, message, now)

    return instead(LinkEnd, "on_train", on_train)


@breaks("EGP-3")
def accepts_everything() -> Wrong:
    """An Add needs no RECV."""

    def on_add(right: Any, queue: RequestQueue, add: EgpAdd, now: int) -> Any:
        queue._shared.rules.add((queue._facts.peer, add.purpose_id))
        return right(queue, add, now)

    return instead(RequestQueue, "on_add", on_add)


@breaks("EGP-3")
def accepts_for_ever() -> Wrong:
    """STOP_RECV changes nothing."""
    return nothing(Egp, "stop_recv")


@breaks("EGP-4")
def promises_any_fidelity() -> Wrong:
    """No fidelity is out of reach."""
    return instead(RequestQueue, "_setting", lambda right, queue, kind, minimum: queue._facts.own)


@breaks("EGP-5")
def is_always_ready() -> Wrong:
    """BUSY is called READY."""
    wrong = {EgpVerdict.BUSY: EgpVerdict.READY}
    return says(EgpTrainAck, lambda ack: ack._replace(verdict=wrong.get(ack.verdict, ack.verdict)))


@breaks("EGP-5")
def is_busy_with_the_unknown() -> Wrong:
    """A train for an unknown request is answered BUSY."""
    wrong = {EgpVerdict.UNKNOWN: EgpVerdict.BUSY}
    return says(EgpTrainAck, lambda ack: ack._replace(verdict=wrong.get(ack.verdict, ack.verdict)))


@breaks("EGP-6")
def proposes_one_attempt() -> Wrong:
    """Trains are one attempt long."""
    return instead(LinkFacts, "attempts", lambda right, *row: min(1, right(*row)))


@breaks("EGP-6")
def overlooks_the_deadline() -> Wrong:
    """Trains are as long for a request that has little time."""
    return instead(LinkFacts, "attempts", lambda right, facts, first, deadline, *rest: right(facts, first, None, *rest))


@breaks("EGP-6")
def proposes_the_next_slot() -> Wrong:
    """The first slot leaves no time for the answer."""
    return instead(LinkFacts, "first_slot", lambda right, facts, now: now // facts.slot_ps + 1)


@breaks("EGP-7")
def invites_nobody() -> Wrong:
    """A qubit that is free again is not told."""
    return nothing(LinkEnd, "_invite")


@breaks("EGP-8")
def knows_one_bell_state() -> Wrong:
    """Every pair is called Psi+."""
    return rows(egp_delivery._BELL, {MhpOutcome.PSI_MINUS: BellIndex.PSI_PLUS})


@breaks("EGP-8")
def tells_the_next_sequence() -> Wrong:
    """An OK carries the sequence that comes next."""
    return instead(
        Delivery,
        "_ok",
        lambda right, *row: (ok := right(*row))._replace(link_sequence=ok.link_sequence + 1),
    )


def _on_success(spoil: Any) -> Wrong:
    """`spoil(delivery, missed)` before a success is handled; what it returns is called after."""

    def last(right: Any, delivery: Delivery, train: Train, outcome: Any, *rest: Any) -> None:
        expected = outcome.mhp_sequence if delivery.expected is None else delivery.expected
        after = spoil(delivery, (outcome.mhp_sequence - expected) % SEQUENCE_MODULUS)
        right(delivery, train, outcome, *rest)
        if after is not None:
            after()

    return instead(Delivery, "last", last)


@breaks("EGP-9")
def delivers_what_is_ahead() -> Wrong:
    """A sequence ahead of the expected one is as good as that."""

    def spoil(delivery: Delivery, missed: int) -> None:
        if 0 < missed <= SEQUENCE_MODULUS // 2:
            delivery.expected = None

    return _on_success(spoil)


@breaks("EGP-10")
def delivers_what_is_behind() -> Wrong:
    """A sequence behind the expected one is delivered."""

    def spoil(delivery: Delivery, missed: int) -> None:
        if missed > SEQUENCE_MODULUS // 2:
            delivery.expected = None

    return _on_success(spoil)


@breaks("EGP-10")
def keeps_its_count() -> Wrong:
    """A sequence behind the expected one does not begin a new count."""

    def spoil(delivery: Delivery, missed: int) -> Any:
        if missed <= SEQUENCE_MODULUS // 2:
            return None
        expected = delivery.expected
        return lambda: setattr(delivery, "expected", expected)

    return _on_success(spoil)


@breaks("EGP-11")
def delivers_what_is_overwritten() -> Wrong:
    """Whether the device has emitted since is not looked at."""

    def on_result(right: Any, end: LinkEnd, outcome: Any, last: int, *rest: Any) -> None:
        right(end, outcome, min(last, outcome.slot), *rest)

    return instead(LinkEnd, "on_result", on_result)


@breaks("EGP-11")
def ends_in_silence() -> Wrong:
    """What is lost is not told to the peer."""
    return never_says(EgpExpire)


@breaks("EGP-12")
def acknowledges_no_expire() -> Wrong:
    """There is no ExpireAck."""
    return never_says(EgpExpireAck)


@breaks("EGP-12")
def keeps_void_pairs() -> Wrong:
    """Delivered pairs stay good."""

    return nothing(Delivery, "void")


@breaks("EGP-13")
def says_no_expectation() -> Wrong:
    """A TrainAck does not say which sequence is expected."""
    return says(EgpTrainAck, lambda ack: ack._replace(expected_sequence=UNSET))


@breaks("EGP-13")
def trusts_its_own_count() -> Wrong:
    """The peer's expectation is not looked at."""
    return nothing(Delivery, "adopt")


@breaks("EGP-14")
def forgets_no_request() -> Wrong:
    """A request that has all its pairs is still known."""

    def end(right: Any, queue: RequestQueue, request: Request, code: Any, *range_: Any) -> None:
        if code is not None:
            right(queue, request, code, *range_)

    return instead(RequestQueue, "end", end)


@breaks("EGP-15")
def has_all_the_time() -> Wrong:
    """No request ends in time."""

    def put(right: Any, queue: RequestQueue, request: Request, now: int) -> None:
        request.deadline = None
        right(queue, request, now)

    return instead(RequestQueue, "_put", put)


@breaks("EGP-15")
def times_only_its_own() -> Wrong:
    """The time of the peer's requests does not run here."""
    return instead(
        RequestQueue, "on_add", lambda right, queue, add, now: right(queue, add._replace(max_time_ps=0), now)
    )


@breaks("EGP-16")
def outlives_its_peer() -> Wrong:
    """A restart of the peer changes nothing."""
    return nothing(LinkEnd, "on_broken")


@breaks("EGP-17")
def asks_nobody() -> Wrong:
    """A silent peer is waited for."""
    return nothing(LinkEnd, "ask_peer")


@breaks("EGP-17")
def knows_every_request() -> Wrong:
    """Every question is answered READY."""
    return says(EgpTrainAck, lambda ack: ack if ack.queue_id else ack._replace(verdict=EgpVerdict.READY))


@breaks("EGP-17")
def hears_no_answer() -> Wrong:
    """A request that the peer does not know goes on."""

    def on_train_ack(right: Any, end: LinkEnd, ack: EgpTrainAck, now: int) -> None:
        if ack.queue_id:
            right(end, ack, now)

    return instead(LinkEnd, "on_train_ack", on_train_ack)


@breaks("EGP-18")
def withdraws_in_silence() -> Wrong:
    """The peer is not told."""
    return nothing(Delivery, "tell_withdrawn")


@breaks("EGP-18")
def withdraws_nothing() -> Wrong:
    """A request goes on."""
    return nothing(Egp, "withdraw")


@breaks("EGP-18")
def withdraws_under_its_train() -> Wrong:
    """A request ends while its train runs, and what that brings is the peer's alone."""

    def withdraw(right: Any, link: LinkEnd, request: Request) -> None:
        request.withdrawn = True
        link.requests.end(request, EgpError.OTHER)

    return instead(LinkEnd, "withdraw", withdraw)


@breaks("EGP-21")
def hopes_for_anything() -> Wrong:
    """No time is too short."""
    return value(egp_queue, "hopeless", lambda *row: False)


@breaks("EGP-22")
def tells_atomic_pairs_one_by_one() -> Wrong:
    """An atomic request is one like any other."""
    return value(Request, "atomic", property(lambda request: False))


@breaks("EGP-22")
def keeps_any_number() -> Wrong:
    """More pairs than there are qubits are promised together."""
    return instead(RequestQueue, "_too_many", lambda right, queue, request: False)


@breaks("EGP-22")
def interrupts() -> Wrong:
    """What is consecutive is not kept together."""
    return value(Request, "together", property(lambda request: False))


@breaks("EGP-23")
def tells_no_result() -> Wrong:
    """There is no Tested."""
    return never_says(EgpTested)


@breaks("EGP-23")
def counts_test_rounds() -> Wrong:
    """The pair of a test round is delivered."""
    return instead(Delivery, "_test", lambda right, delivery, *row: delivery._deliver(*row))


@breaks("EGP-23")
def tests_in_one_basis() -> Wrong:
    """Every test round is measured in Z."""

    def plain(program: DeviceProgram) -> DeviceProgram:
        kept = (DeviceOpcode.MEASURE, DeviceOpcode.RELEASE)
        return program._replace(ops=tuple(op for op in program.ops if op.opcode in kept))

    return commands(DeviceProgram, plain)


@breaks("EGP-25")
def keeps_what_is_to_be_measured() -> Wrong:
    """M is made by trains that measure nothing."""
    return instead(Train, "measuring", lambda right, train, node: None)


@breaks("EGP-25")
def tells_the_wrong_basis() -> Wrong:
    """An OK of M always says Z."""

    def ok(right: Any, *row: Any) -> Any:
        told = right(*row)
        return told._replace(basis=EgpBasis.Z) if hasattr(told, "basis") else told

    return instead(Delivery, "_ok", ok)


@breaks("EGP-28")
def has_a_train_for_every_pair() -> Wrong:
    """Measured pairs do not share a train."""
    return value(egp_proposals, "MOST_PAIRS", 1)


@breaks("EGP-28")
def tells_measured_pairs_at_the_end() -> Wrong:
    """Of the pairs of a train only the last is told."""
    return nothing(LinkEnd, "_on_another")


@breaks("EGP-26")
def numbers_nothing() -> Wrong:
    """Every request has the number 0."""
    return says((EgpAdd, EgpAddAck), lambda message: message._replace(queue_sequence=0))


@breaks("EGP-27")
def believes_in_its_station() -> Wrong:
    """A station that tells nothing any more is tried for ever."""
    return value(egp_patience, "SILENT_TRAINS", 1_000)


@breaks("EGP-27")
def takes_on_more() -> Wrong:
    """New requests are accepted while the station is dead."""

    def on_add(right: Any, queue: RequestQueue, add: EgpAdd, now: int) -> Any:
        queue.deaf_until = 0
        return right(queue, add, now)

    return instead(RequestQueue, "on_add", on_add)


@breaks("EGP-24")
def finishes_what_it_has_begun() -> Wrong:
    """A train runs to its end, whoever waits."""
    return nothing(LinkEnd, "consider")


@breaks("EGP-24")
def cuts_for_anybody() -> Wrong:
    """Every request that comes ends the train that runs."""
    return instead(Fcfs, "preempts", lambda right, scheduler, waiting, running: True)
