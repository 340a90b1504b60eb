"""Heads and tails that are wrong about their circuits."""

from dataclasses import replace
from typing import Any

from protocols.qnp import complete, distill, purify, testing
from protocols.qnp.book import Book
from protocols.qnp.circuit import Circuit
from protocols.qnp.demand import Demand
from protocols.qnp.end import End
from protocols.qnp.node import Qnp
from protocols.qnp.states import TAIL_TABLE, CircuitInput, Do, PairInput, PairState, Phase
from protocols.wire import (
    EgpBasis,
    PairUse,
    QnpDiscard,
    QnpForward,
    QnpForwardAck,
    QnpOutcome,
    QnpPurify,
    QnpPurifyAck,
    QnpTeardown,
    QnpTrack,
)
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import instead, never_says, nothing, rows, says, value


@breaks("QNP-1")
def announces_nothing() -> Wrong:
    """A circuit without a word about what it is for."""
    return never_says(QnpForward)


@breaks("QNP-2")
def answers_only_yes() -> Wrong:
    """What it cannot serve it leaves unanswered."""
    return says(QnpForwardAck, lambda message: message if message.accepted else None)


@breaks("QNP-2")
def accepts_everything() -> Wrong:
    """Whatever is asked for, and whoever listens."""
    return says(QnpForwardAck, lambda message: message._replace(accepted=1, error=0))


@breaks("QNP-2")
def answers_twice() -> Wrong:
    """Each Forward has two answers."""
    return says(QnpForwardAck, lambda message: (message, message))


@breaks("QNP-3")
def names_no_pair() -> Wrong:
    """Tracks carry no pair id."""
    return says(QnpTrack, lambda message: message._replace(pair_id=0))


@breaks("QNP-3")
def names_all_pairs_alike() -> Wrong:
    """A head has one number for all its pairs."""
    return instead(End, "_number", _one_number)


def _one_number(right: Any, one: End, record: Any) -> None:
    right(one, record)
    record.pair_id = 1


@breaks("QNP-3")
def tracks_for_no_request() -> Wrong:
    """A head does not say what a pair is for."""
    return says(QnpTrack, lambda message: message._replace(request=0))


@breaks("QNP-4")
def gives_what_it_has() -> Wrong:
    """A half is given as soon as it is tracked."""

    def step(right: Any, one: End, record: Any, stimulus: PairInput, now: int, *rest: Any) -> None:
        right(one, record, stimulus, now, *rest)
        if stimulus is PairInput.LINK_PAIR and record.state is PairState.HERE and one.is_head:
            half = record.half
            name = (record.name.link, record.name.number)
            index = half.bell_index
            row: Any = (index, index, PairUse.DELIVER, 0, 0, 0, 0, record.request)
            other = QnpTrack(one.id.label, record.pair_id, *name, *row)
            right(one, record, PairInput.TRACK, now, other)

    return instead(End, "_step", step)


@breaks("QNP-4")
def believes_its_own_index() -> Wrong:
    """A pair has the Bell index of its last link."""

    def hand_up(right: Any, one: End, record: Any, request: Any, now: int) -> None:
        record.index = record.half.bell_index
        right(one, record, request, now)

    return instead(End, "_hand_up", hand_up)


@breaks("QNP-5")
def keeps_what_was_given_up() -> Wrong:
    """A Discard is not listened to."""
    return nothing(Circuit, "take_discard")


@breaks("QNP-5")
def hides_losses() -> Wrong:
    """The loss of a pair that was given is not told."""
    return nothing(End, "_lose")


@breaks("QNP-6")
def drops_what_is_early() -> Wrong:
    """What comes before its circuit is lost."""
    return nothing(Book, "without_circuit")


@breaks("QNP-6")
def holds_what_is_late() -> Wrong:
    """A pair of a circuit that has ended is told, as if it had come early."""
    return instead(Book, "is_past", lambda right, book, circuit_id: False)


@breaks("QNP-7")
def makes_up_for_nothing() -> Wrong:
    """A lost pair is not replaced."""
    return nothing(Demand, "died")


@breaks("QNP-7")
def ends_in_silence() -> Wrong:
    """The tail hears nothing of the end."""
    return never_says(QnpTeardown)


@breaks("QNP-7")
def asks_for_one_too_many() -> Wrong:
    """A spare pair of each circuit."""

    def ask(right: Any, demand: Demand) -> None:
        wanted, demand.wanted = demand.wanted, demand.wanted + 1
        right(demand)
        demand.wanted = wanted

    return instead(Demand, "ask", ask)


@breaks("QNP-8")
def closes_without_a_word() -> Wrong:
    """A head that closes discards nothing."""
    return never_says(QnpDiscard)


@breaks("QNP-8")
def keeps_halves() -> Wrong:
    """A tail whose circuit has ended has its halves still."""
    return nothing(End, "_drop")


@breaks("QNP-9")
def takes_any_state() -> Wrong:
    """What the other end says of the link's pair is not compared."""
    return instead(End, "_fits", lambda right, one, record, half, track: True)


@breaks("QNP-10")
def waits_for_the_lost() -> Wrong:
    """A lost neighbour changes nothing."""
    return nothing(Qnp, "peer_lost")


@breaks("QNP-10")
def speaks_to_the_lost() -> Wrong:
    """A neighbour that has started anew is sent the end of what it does not know."""
    key = (Phase.OPEN, CircuitInput.UP_LOST)
    return rows(TAIL_TABLE, {key: (Phase.CLOSED, (Do.RELEASE_ALL, Do.TELL_UP, Do.END))})


@breaks("QNP-16")
def invents_its_outcome() -> Wrong:
    """What is said was not measured."""
    return says(QnpPurify, lambda message: message._replace(outcome=1 - message.outcome))


@breaks("QNP-16")
def answers_what_it_did_not_read() -> Wrong:
    """The same at the other end."""
    return says(QnpPurifyAck, lambda message: message._replace(outcome=1 - message.outcome))


@breaks("QNP-16")
def keeps_what_failed() -> Wrong:
    """Outcomes are not compared."""
    return value(distill, "verdict", lambda *case: purify.verdict(*case) or 0)




@breaks("QNP-20")
def tells_no_outcome() -> Wrong:
    """What a tail has read of a test stays with it."""
    return never_says(QnpOutcome)


@breaks("QNP-20")
def measures_every_test_alike() -> Wrong:
    """In Z, whatever basis the use names."""
    z = testing.TESTS[PairUse.TEST_Z]
    return rows(testing.TESTS, {PairUse.TEST_X: z, PairUse.TEST_Y: z})


@breaks("QNP-20")
def gives_tests_away() -> Wrong:
    """A pair that is to be tested goes to the user."""

    def take_track(right: Any, one: End, track: QnpTrack, now: int) -> None:
        right(one, track._replace(use=PairUse.DELIVER), now)

    return instead(End, "take_track", take_track)


@breaks("QNP-21")
def hears_no_claim() -> Wrong:
    """What is in the bank stays there."""
    return nothing(End, "take_claim")


@breaks("QNP-21")
def banks_everything() -> Wrong:
    """No memory stays free."""

    def into_bank(right: Any, one: End, record: Any, now: int) -> None:
        facts = one._shared.facts
        one._shared.facts = replace(facts, memories=99)
        right(one, record, now)
        one._shared.facts = facts

    return instead(End, "_into_bank", into_bank)


@breaks("QNP-18")
def waits_with_early_halves() -> Wrong:
    """A half is given with its pair."""
    return nothing(End, "_early")


@breaks("QNP-18")
def forgets_early_halves() -> Wrong:
    """It is not said that an early half will be no pair."""
    return nothing(End, "_let_go")


@breaks("QNP-19")
def tells_what_it_read() -> Wrong:
    """A head leaves the pair's frame in its outcome."""
    return value(complete, "folded", lambda basis, outcome, index: outcome)


@breaks("QNP-19")
def tracks_before_it_measures() -> Wrong:
    """A Track goes out while the half is measured."""

    def take_pure(right: Any, one: End, pair: Any, now: int) -> None:
        one._arrived(one._record(pair.name), pair, now, (EgpBasis.Z, 0))

    return instead(End, "_take_pure", take_pure)
