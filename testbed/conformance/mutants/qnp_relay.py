"""Repeaters that are wrong about what goes through them, and heads that are wrong about their ways."""

from typing import Any

from protocols import bell
from protocols.qnp import asking, relay
from protocols.qnp.admission import Admission
from protocols.qnp.asking import Asking
from protocols.qnp.demand import Demand
from protocols.qnp.end import End
from protocols.qnp.node import Qnp
from protocols.qnp.relay import Relay
from protocols.qnp.states import CircuitInput
from protocols.qnp.swapping import SwapAsap, SwapPolicy
from protocols.wire import QnpInstall, QnpRefresh, QnpTeardown
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import instead, never_says, nothing, says, value


@breaks("QNP-1")
def asks_before_there_is_a_circuit() -> Wrong:
    """A link is asked for pairs as soon as any are wanted."""

    def ask(right: Any, demand: Demand) -> None:
        demand.open = True
        right(demand)

    return instead(Demand, "ask", ask)


@breaks("QNP-5")
def keeps_a_discard_to_itself() -> Wrong:
    """What is given up behind a swap is not passed on."""
    right = relay.Relay._do

    def do(_: Any, one: Relay, action: Any, record: Any, now: int, incoming: Any) -> None:
        if action.name == "BREAK":
            record.partner = None
        else:
            right(one, action, record, now, incoming)

    return instead(Relay, "_do", do)


@breaks("QNP-5")
def waits_for_ever() -> Wrong:
    """The cutoff is not minded."""
    return nothing(Relay, "_cut_off")


@breaks("QNP-9")
def swaps_what_differs() -> Wrong:
    """What the neighbour says of the link's pair is not compared."""
    return value(relay, "_fits", lambda half, track: True)


@breaks("QNP-10")
def tells_nobody() -> Wrong:
    """A lost neighbour ends a circuit, and the rest of it is not told."""
    return says(QnpTeardown, lambda message: None if message.fate == 7 else message)


@breaks("QNP-11")
def refreshes_nothing() -> Wrong:
    """A head sets up, and says no more."""
    return never_says(QnpRefresh)


@breaks("QNP-11")
def forgets_no_circuit() -> Wrong:
    """A circuit of which nothing is heard stays."""
    return nothing(Admission, "heard_of")


@breaks("QNP-11")
def names_only_the_next_node() -> Wrong:
    """An Install has one hop."""
    return says(QnpInstall, lambda message: message._replace(hops=message.hops[:1]))


@breaks("QNP-12")
def admits_everybody() -> Wrong:
    """Nothing is refused for want of rate, fidelity or memories."""
    right = Admission._refusal

    def refusal(_: Any, one: Admission, message: QnpInstall, source: int) -> Any:
        found = right(one, message, source)
        return found if found in (1, 2) else None

    return instead(Admission, "_refusal", refusal)


@breaks("QNP-12")
def swaps_where_it_cannot() -> Wrong:
    """A QPU takes part as a repeater."""
    right = Admission._refusal

    def refusal(_: Any, one: Admission, message: QnpInstall, source: int) -> Any:
        found = right(one, message, source)
        return None if found == 2 else found

    return instead(Admission, "_refusal", refusal)


@breaks("QNP-12")
def gives_a_label_twice() -> Wrong:
    """A label in use can be had again."""
    return says(QnpTeardown, lambda message: None if message.fate == 10 else message)


@breaks("QNP-13")
def leaves_its_swap_out() -> Wrong:
    """Tracks go on with the Bell index that they came with."""
    return value(bell, "compose", lambda *indexes: indexes[0])


@breaks("QNP-13")
def waits_for_tracks() -> Wrong:
    """A half is swapped only when the head's Track is there."""

    def match(right: Any, one: Relay, now: int) -> None:
        up, _ = one._hops
        if all(record.track is not None for record in one._waiting[up].values()):
            right(one, now)

    return instead(Relay, "_match", match)


@breaks("QNP-13")
def minds_no_ranks() -> Wrong:
    """It swaps as soon as it can, whatever the circuit says."""
    policy: type[SwapPolicy] = SwapAsap
    return value(relay, "Nested", lambda rank: policy())


@breaks("QNP-14")
def gives_way_to_nobody() -> Wrong:
    """A higher priority takes nothing."""

    def refusal(right: Any, one: Admission, message: QnpInstall, source: int) -> Any:
        return right(one, message._replace(priority=0), source)

    return instead(Admission, "_refusal", refusal)


@breaks("QNP-14")
def clears_the_table() -> Wrong:
    """Every circuit of a lower priority goes."""

    def make_room(right: Any, one: Admission, message: QnpInstall, link: int, now: int) -> None:
        for circuit in one._book.over(link):
            if circuit.install.pairs_per_ks and circuit.priority < message.priority:
                one._fail(circuit, CircuitInput.PREEMPTED, now)

    return instead(Admission, "_make_room", make_room)


@breaks("QNP-15")
def tries_one_way() -> Wrong:
    """A circuit that fails ends its requests."""
    return value(asking, "WAYS", 1)


@breaks("QNP-15")
def says_that_all_is_well() -> Wrong:
    """A request without a way ends as if it had had its pairs."""

    def end(right: Any, one: Any, request: Any, cause: Any) -> None:
        right(one, request, CircuitInput.SATISFIED)

    return instead(End, "_end", end)


@breaks("QNP-17")
def has_no_patience() -> Wrong:
    """A request without a way ends at once."""

    def set_up(right: Any, one: Asking, *rest: Any) -> None:
        right(one, *rest)
        one._patience_ps = 0

    return instead(Asking, "__init__", set_up)


@breaks("QNP-17")
def tries_for_ever() -> Wrong:
    """A way that has failed is a new one each time."""
    return value(asking, "TRIES", 1_000)


@breaks("QNP-17")
def bears_a_grudge() -> Wrong:
    """A link on which it failed stays bad, though it was down and is up again."""
    return instead(Qnp, "routes_changed", lambda right, one, now, up: right(one, now, lambda link: True))


