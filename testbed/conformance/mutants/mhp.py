"""Stations and ends of a link that play MHP wrongly."""

from typing import Any

from protocols.machine import Send
from protocols.mhp import node as mhp_node
from protocols.mhp import station as mhp_station
from protocols.mhp.node import NodeMhp
from protocols.mhp.station import STATION_TABLE, Arm, Do, StationInput, StationMhp, StationState
from protocols.wire import DeviceListen, MhpError, MhpGen, MhpKind, MhpOutcome, MhpReply
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import commands, instead, nothing, rows, says, value

_FAR_PS = 10**15


@breaks("MHP-1")
def tells_another_count() -> Wrong:
    """The Gen promises an attempt more than was agreed."""
    return says(MhpGen, lambda gen: gen._replace(count=gen.count + 1))


@breaks("MHP-1")
def tells_the_station_twice() -> Wrong:
    """Two Gens for one train."""
    return says(MhpGen, lambda gen: (gen, gen))


@breaks("MHP-2")
def looks_at_every_slot() -> Wrong:
    """The station listens between the slots of the train, too."""
    return commands(
        DeviceListen,
        lambda listen: listen._replace(spacing=1, count=(listen.count - 1) * listen.spacing + 1),
    )


@breaks("MHP-3")
def waits_for_ever() -> Wrong:
    """A Reply that does not come is not asked for."""

    def start(right: Any, machine: NodeMhp, *row: int) -> None:
        deadline = 6
        right(machine, *row[:deadline], row[deadline] + _FAR_PS, *row[deadline + 1 :])

    return instead(NodeMhp, "start_train", start)


@breaks("MHP-3")
def asks_at_even_intervals() -> Wrong:
    """The intervals do not grow."""

    return instead(mhp_node, "interval_ps", lambda right, round_trip_ps, asked: right(round_trip_ps, 0))


@breaks("MHP-3")
def asks_less_and_less() -> Wrong:
    """The intervals have no ceiling."""
    return instead(mhp_node, "interval_ps", lambda right, round_trip_ps, asked: right(round_trip_ps, 0) << asked)


@breaks("MHP-3")
def never_gives_up() -> Wrong:
    """The station is asked a thousand times."""

    def begin(right: Any, machine: NodeMhp, links: Any) -> None:
        right(machine, links, 1_000)

    return instead(NodeMhp, "__init__", begin)


@breaks("MHP-4")
def believes_anybody() -> Wrong:
    """A Reply of the other end counts."""

    def receive(right: Any, machine: NodeMhp, message: Any, source: int, now: int) -> None:
        right(machine, message, machine._links[message.link].station, now)

    return instead(NodeMhp, "receive", receive)


@breaks("MHP-4")
def believes_replies_of_other_trains() -> Wrong:
    """The queue id of a Reply is not looked at."""

    def receive(right: Any, machine: NodeMhp, message: Any, source: int, now: int) -> None:
        train = machine._trains.get(message.link)
        right(machine, message if train is None else message._replace(queue_id=train.gen.queue_id), source, now)

    return instead(NodeMhp, "receive", receive)


@breaks("MHP-4")
def believes_any_slot() -> Wrong:
    """The slot of a Reply is not looked at."""
    return value(mhp_node, "names_slot", lambda gen, slot: True)


@breaks("MHP-5")
def stops_for_nobody() -> Wrong:
    """A Gen ERR is ignored by the station."""

    def receive(right: Any, machine: StationMhp, message: MhpGen, source: int, now: int) -> None:
        if message.kind != MhpKind.ERR:
            right(machine, message, source, now)

    return instead(StationMhp, "receive", receive)


@breaks("MHP-6")
def looks_for_one_node() -> Wrong:
    """The station listens as soon as one node asks."""

    def on_produce(right: Any, machine: StationMhp, port: Any, gen: MhpGen, source: int, now: int) -> None:
        right(machine, port, gen, source, now)
        if port.state is StationState.HALF:
            machine._outputs.append(Arm(port.number, gen.first_slot, gen.spacing, gen.count))

    return instead(StationMhp, "_on_produce", on_produce)


@breaks("MHP-6")
def tells_no_failure() -> Wrong:
    """A train without a success gets no Reply."""

    def heralded(right: Any, machine: StationMhp, arm: Arm, outcome: MhpOutcome, *rest: int) -> None:
        if outcome is not MhpOutcome.FAIL:
            right(machine, arm, outcome, *rest)

    return instead(StationMhp, "heralded", heralded)


@breaks("MHP-7")
def takes_one_mismatch_for_another() -> Wrong:
    """QUEUE_MISMATCH is called TIME_MISMATCH."""
    wrong = {MhpError.QUEUE_MISMATCH: MhpError.TIME_MISMATCH}
    return says(MhpReply, lambda reply: reply._replace(error=wrong.get(reply.error, reply.error)))


@breaks("MHP-7")
def swaps_the_queue_ids() -> Wrong:
    """A Reply names the other's queue id as the receiver's."""
    return says(MhpReply, lambda reply: reply._replace(queue_id=reply.peer_queue_id, peer_queue_id=reply.queue_id))


@breaks("MHP-7")
def compares_first_slots_only() -> Wrong:
    """Other spacings and counts are let pass."""

    def on_produce(right: Any, machine: StationMhp, port: Any, gen: MhpGen, source: int, now: int) -> None:
        for other in port.gens.values():
            gen = gen._replace(spacing=other.spacing, count=other.count)
        right(machine, port, gen, source, now)

    return instead(StationMhp, "_on_produce", on_produce)


@breaks("MHP-8")
def tells_only_who_asked() -> Wrong:
    """The node whose Gen is missing hears nothing."""

    def answer_all(right: Any, machine: StationMhp, port: Any, result: Any) -> None:
        asked = set(port.gens)
        right(machine, port, result)
        if result.error is MhpError.NO_CLASSICAL_OTHER:
            told = [send for send in machine._outputs if isinstance(send, Send)]
            machine._outputs[:] = [send for send in told if send.destination in asked]

    return instead(StationMhp, "_answer_all", answer_all)


@breaks("MHP-8")
def waits_for_the_other_gen() -> Wrong:
    """A Gen that stays alone is never answered."""

    def poll(right: Any, machine: StationMhp, now: int) -> Any:
        for link in machine._ports:
            machine._timers.cancel(link)
        return right(machine, now)

    return instead(StationMhp, "poll", poll)


@breaks("MHP-9")
def knows_no_late_gen() -> Wrong:
    """A Gen whose first slot is past is taken like any other."""
    return instead(StationMhp, "_closing_ps", lambda right, port, gen: right(port, gen) + _FAR_PS)


@breaks("MHP-10")
def keeps_the_first_gen() -> Wrong:
    """A node cannot change its mind before the other's Gen has come."""
    half = StationState.HALF
    return rows(STATION_TABLE, {(half, StationInput.GEN): (half, ())})


@breaks("MHP-10")
def goes_on_looking() -> Wrong:
    """A Gen of another train does not stop the listening."""
    armed = STATION_TABLE[StationState.ARMED, StationInput.GEN]
    return rows(STATION_TABLE, {(StationState.ARMED, StationInput.GEN): (armed[0], (Do.ANSWER, Do.KEEP))})


@breaks("MHP-11")
def remembers_no_reply() -> Wrong:
    """What has ended is not known any more."""
    return value(mhp_station, "KEPT", 0)


@breaks("MHP-11")
def answers_no_question() -> Wrong:
    """A Gen INFO of an unknown train is ignored."""
    return nothing(StationMhp, "_on_question")


@breaks("MHP-12")
def counts_failures() -> Wrong:
    """The sequence grows with every train."""
    return value(mhp_station, "SUCCESSES", frozenset(MhpOutcome))


@breaks("MHP-12")
def counts_nothing() -> Wrong:
    """The sequence stands still."""
    return value(mhp_station, "SUCCESSES", frozenset())


@breaks("MHP-13")
def ends_with_the_first_pair() -> Wrong:
    """A train ends with its first success, however many pairs are wanted."""
    return rows(STATION_TABLE, {(StationState.ARMED, StationInput.MORE): (StationState.EMPTY, (Do.ANSWER,))})


@breaks("MHP-13")
def looks_no_further() -> Wrong:
    """More is promised, but the station does not listen behind a success."""
    return rows(STATION_TABLE, {(StationState.ARMED, StationInput.MORE): (StationState.ARMED, (Do.ANSWER,))})


@breaks("MHP-14")
def tells_all_attempts_at_once() -> Wrong:
    """A train that is to be told attempt by attempt is told as a whole."""

    def start(right: Any, machine: NodeMhp, *row: Any) -> None:
        right(machine, *row[:-2], False, row[-1])

    return instead(NodeMhp, "start_train", start)


@breaks("MHP-14")
def gives_up_after_the_first_attempt() -> Wrong:
    """A Reply FAIL to one attempt ends the train."""
    return instead(NodeMhp, "_next_attempt", lambda right, *row: False)
