"""Switches, and ends of their links, that play SRP wrongly."""

from typing import Any

from protocols.egp.link import LinkEnd
from protocols.srp import node as srp_node
from protocols.srp import switch as srp_switch
from protocols.srp.node import NodeSrp
from protocols.srp.switch import SwitchSrp, _Timer
from protocols.wire import SrpQueued, SrpReady, SrpRelease
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import instead, never_says, nothing, value


@breaks("SRP-1")
def has_one_ticket() -> Wrong:
    """Every reservation has ticket 5."""

    def reserve(right: Any, machine: NodeSrp, link: int, *row: Any) -> None:
        right(machine, link, *row)
        reservation = machine._reservations[link]
        reservation.reserve = reservation.reserve._replace(ticket=5)
        send: Any = machine._outputs[-1]
        machine._outputs[-1] = send._replace(message=send.message._replace(ticket=5))

    return instead(NodeSrp, "reserve", reserve)


@breaks("SRP-2")
def asks_at_even_intervals() -> Wrong:
    """The intervals do not double."""

    return instead(srp_node, "interval_ps", lambda right, round_trip_ps, asked: right(round_trip_ps, 0))


@breaks("SRP-2")
def asks_less_and_less() -> Wrong:
    """The intervals have no ceiling."""
    return instead(srp_node, "interval_ps", lambda right, round_trip_ps, asked: right(round_trip_ps, 0) << asked)


@breaks("SRP-2")
def never_gives_up() -> Wrong:
    """A switch that is dead is asked a thousand times."""
    return instead(NodeSrp, "__init__", lambda right, machine, links: right(machine, links, 1_000))


@breaks("SRP-2")
def minds_no_queue() -> Wrong:
    """Queued is ignored."""

    def receive(right: Any, machine: NodeSrp, message: Any, *rest: int) -> None:
        if not isinstance(message, SrpQueued):
            right(machine, message, *rest)

    return instead(NodeSrp, "receive", receive)


@breaks("SRP-3")
def says_nothing_of_queues() -> Wrong:
    """Who waits is not told."""
    return never_says(SrpQueued)


@breaks("SRP-3")
def forgets_nobody() -> Wrong:
    """A reservation lasts for ever."""
    return value(srp_switch, "REFRESHES", 1_000)


@breaks("SRP-4")
def releases_nothing() -> Wrong:
    """What is not needed is kept."""
    return never_says(SrpRelease)


@breaks("SRP-5")
def takes_old_reserves() -> Wrong:
    """A Reserve with an older ticket counts as the newest."""

    def on_reserve(right: Any, machine: SwitchSrp, reservation: Any, reserve: Any, *rest: int) -> None:
        ticket = max(reserve.ticket, reservation.reserve.ticket)
        right(machine, reservation, reserve._replace(ticket=ticket), *rest)

    return instead(SwitchSrp, "_on_reserve", on_reserve)


@breaks("SRP-5")
def takes_old_releases() -> Wrong:
    """A Release with an older ticket ends what is newer."""

    def receive(right: Any, machine: SwitchSrp, message: Any, *rest: int) -> None:
        if isinstance(message, SrpRelease) and message.link in machine._links:
            message = message._replace(ticket=machine._links[message.link].reserve.ticket)
        right(machine, message, *rest)

    return instead(SwitchSrp, "receive", receive)


def _granting(**facts: int) -> Wrong:
    """Grants are made as if these were the switch's facts."""

    def grant(right: Any, machine: SwitchSrp, *row: Any) -> bool:
        true, machine._facts = machine._facts, machine._facts._replace(**facts)
        granted: bool = right(machine, *row)
        machine._facts = true
        return granted

    return instead(SwitchSrp, "_grant", grant)


@breaks("SRP-6")
def grants_what_is_asked() -> Wrong:
    """No grant is too long."""
    return _granting(longest_ps=10**15)


@breaks("SRP-6")
def lets_overtake() -> Wrong:
    """A link whose ports are busy is passed over for ever."""
    return value(srp_switch, "OVERTAKEN", 1_000)


@breaks("SRP-7")
def waits_for_the_last_slot() -> Wrong:
    """A herald does not end the grant."""
    return nothing(SwitchSrp, "train_ends")


@breaks("SRP-8")
def keeps_unused_grants() -> Wrong:
    """A grant whose train has not come lasts."""

    def poll(right: Any, machine: SwitchSrp, now: int) -> Any:
        for link in machine._links:
            machine._timers.cancel((_Timer.START, link))
        return right(machine, now)

    return instead(SwitchSrp, "poll", poll)


@breaks("SRP-9")
def listens_to_any_train() -> Wrong:
    """No grant is asked for."""
    return instead(SwitchSrp, "train_comes", lambda right, *row: right(*row) or True)


@breaks("SRP-10")
def grants_an_analyser_twice() -> Wrong:
    """What is granted is granted again."""

    def grant(right: Any, machine: SwitchSrp, *row: Any) -> bool:
        resting = list(machine._resting)
        granted: bool = right(machine, *row)
        machine._resting[:] = resting
        return granted

    return instead(SwitchSrp, "_grant", grant)


@breaks("SRP-10")
def overlooks_ports() -> Wrong:
    """A node has as many ports as links."""

    def grant(right: Any, machine: SwitchSrp, *row: Any) -> bool:
        granted: bool = right(machine, *row)
        machine._ports.clear()
        return granted

    return instead(SwitchSrp, "_grant", grant)


@breaks("SRP-10")
def takes_no_time_to_reconfigure() -> Wrong:
    """The first slot comes before light can pass."""
    return _granting(reconfigure_ps=0)


@breaks("SRP-11")
def minds_no_qubits() -> Wrong:
    """A link is granted whatever its ends can do."""
    return nothing(SwitchSrp, "_set_ready")


@breaks("SRP-11")
def tells_no_qubits() -> Wrong:
    """The switch has to guess."""
    return never_says(SrpReady)


@breaks("SRP-12")
def waits_for_ever() -> Wrong:
    """An analyser waits for its link until that comes back."""
    return nothing(SwitchSrp, "_stay_no_longer")


@breaks("SRP-12")
def knows_no_turns() -> Wrong:
    """An analyser waits for its link after every train."""

    def ends(right: Any, machine: SwitchSrp, *row: Any) -> None:
        machine._facts = machine._facts._replace(stay_ps=10**15)
        right(machine, *row)

    return instead(SwitchSrp, "train_ends", ends)


@breaks("EGP-19")
def begins_a_slot_late() -> Wrong:
    """A train begins with the second slot of its grant."""
    return instead(LinkEnd, "on_granted", lambda right, end, first, slots, now: right(end, first + 1, slots, now))


@breaks("EGP-19")
def goes_beyond_the_grant() -> Wrong:
    """A train is as long as its request needs."""
    return instead(LinkEnd, "on_granted", lambda right, end, first, slots, now: right(end, first, 1_000, now))


@breaks("EGP-19")
def keeps_grants_of_no_use() -> Wrong:
    """A grant of which nothing comes is not given back."""
    return never_says(SrpRelease)


@breaks("EGP-20")
def waits_for_a_dead_switch() -> Wrong:
    """A request outlives its switch."""
    return instead(LinkEnd, "on_refused", lambda right, end, silent, now: right(end, False, now))
