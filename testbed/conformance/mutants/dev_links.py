"""Quantum planes that are wrong at links."""

from typing import Any

from protocols.measuring import PLAIN, basis_at
from protocols.wire import DeviceError, DeviceHerald
from stack.runtime.clock import NodeClock
from testbed.conformance.devices import NS, SLOT_PS
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import fails_as, instead, nothing, value
from testbed.plane import remembered
from testbed.plane.config import LinkConfig
from testbed.plane.devices import Device
from testbed.plane.events import Answers
from testbed.plane.measured import effects
from testbed.plane.plane import Plane
from testbed.plane.slot_clock import SlotClock
from testbed.plane.switches import Switch
from testbed.plane.train import Train
from testbed.plane.trains import Link


def _due(kind: type, by_ps: int) -> Wrong:
    """Answers of a kind come so much later."""

    def give(right: Any, answers: Answers, node: int, sequence: int, due: int, message: Any) -> None:
        right(answers, node, sequence, due + by_ps * isinstance(message, kind), message)

    return instead(Answers, "give", give)


@breaks("DEV-9")
def shares_its_qubits() -> Wrong:
    """A qubit that a program holds can be had."""

    def claim(right: Any, device: Device, handle: int, now: int) -> Any:
        qubit = device.find(handle)
        if not isinstance(qubit, DeviceError) and qubit.train is None:
            return qubit
        return right(device, handle, now)

    return instead(Device, "claim", claim)


@breaks("DEV-9")
def takes_qubits_from_trains() -> Wrong:
    """A program may use a qubit that a train holds."""

    def claim(right: Any, device: Device, handle: int, now: int) -> Any:
        qubit = device.find(handle)
        return qubit if not isinstance(qubit, DeviceError) and qubit.free_ps <= now else right(device, handle, now)

    return instead(Device, "claim", claim)


@breaks("DEV-10")
def emits_at_the_slot() -> Wrong:
    """The photon leaves when it should arrive."""
    return value(LinkConfig, "leads_ps", property(lambda config: (0, 0)))


@breaks("DEV-10")
def emits_alike_at_both_ends() -> Wrong:
    """End b reckons with the arm of a."""
    return value(LinkConfig, "leads_ps", property(lambda config: (-config.model.births_ps[0],) * 2))


@breaks("DEV-10")
def refuses_by_one_name() -> Wrong:
    """A train on another's link is BAD."""
    return fails_as(DeviceError.NO_LINK, DeviceError.BAD)


@breaks("DEV-11")
def emits_and_keeps() -> Wrong:
    """An emission leaves what the qubit held."""
    return nothing(Link, "_spoil")


@breaks("DEV-12")
def waits_no_flight() -> Wrong:
    """A train is over with its last emission."""
    return instead(Train, "home_ps", lambda right, train, slot: train.emission_ps(slot))


@breaks("DEV-12")
def stops_nothing() -> Wrong:
    """A StopTrain leaves the train as it is."""
    return nothing(Train, "cut")


@breaks("DEV-13")
def hears_the_past() -> Wrong:
    """A herald names the slot before."""

    def give(right: Any, answers: Answers, node: int, sequence: int, due: int, message: Any) -> None:
        if isinstance(message, DeviceHerald) and message.outcome:
            message = message._replace(slot=message.slot - 1)
        right(answers, node, sequence, due, message)

    return instead(Answers, "give", give)


@breaks("DEV-13")
def tells_late() -> Wrong:
    """A herald comes 1 ps late."""
    return _due(DeviceHerald, 1)


@breaks("DEV-13")
def hears_what_one_end_emits() -> Wrong:
    """Slots in which the other end emits count, whatever this one does."""
    return instead(Link, "common", lambda right, link, a, b: b.at_station)


@breaks("DEV-14")
def listens_for_anybody() -> Wrong:
    """Any node may listen."""
    return instead(Plane, "_heard", lambda right, plane, node, number: plane._links.get(number))


@breaks("DEV-14")
def counts_what_is_not_over() -> Wrong:
    """A listen that is stopped has its last slot too early."""
    return instead(SlotClock, "upto", lambda right, clock, true_ps: right(clock, true_ps + 2 * SLOT_PS))


@breaks("DEV-15")
def measures_in_no_time() -> Wrong:
    """A measuring train is over with its last emission."""
    return instead(Train, "measuring_ps", lambda right, train: 0)


@breaks("DEV-15")
def chooses_one_basis() -> Wrong:
    """The slot does not matter."""
    return value(remembered, "basis_at", lambda measure, slot: basis_at(measure, 0))


@breaks("DEV-15")
def does_not_turn() -> Wrong:
    """The rotation before a measurement is left out."""
    return value(remembered, "effects", lambda device, how, basis: effects(device, PLAIN, basis))


@breaks("DEV-16")
def remembers_little() -> Wrong:
    """Half as many results are kept."""
    return value(remembered, "REMEMBERED", 512)


@breaks("DEV-16")
def knows_everything() -> Wrong:
    """What did not herald is remembered as 0."""
    return instead(
        remembered.Results, "recall", lambda right, known, side, slot: right(known, side, slot)._replace(known=1)
    )


@breaks("DEV-17")
def hears_in_the_dark() -> Wrong:
    """Every link of a switch reaches an analyser."""
    return instead(Switch, "passes", lambda right, switch, link, now: True)


@breaks("DEV-17")
def hears_before_there_is_light() -> Wrong:
    """A fibre that is being moved is listened to."""
    return instead(Switch, "passes", lambda right, switch, link, now: right(switch, link, now + 10**12))


@breaks("DEV-18")
def leaves_fibres_where_they_were() -> Wrong:
    """A port can be at two analysers."""
    return instead(Switch, "_ends", lambda right, switch, number: (-1, -1))


@breaks("DEV-18")
def connects_at_once() -> Wrong:
    """No time to reconfigure."""

    def connect(right: Any, switch: Switch, command: Any, now: int) -> Any:
        ready_ps = right(switch, command, now)
        return now + NS if isinstance(ready_ps, int) else ready_ps

    return instead(Switch, "connect", connect)


@breaks("DEV-18")
def remembers_after_death() -> Wrong:
    """A switch that starts anew has what was set."""
    return nothing(Switch, "reset")


@breaks("DEV-20")
def steers_but_does_not_set() -> Wrong:
    """A step is left out."""
    return instead(NodeClock, "steer", lambda right, clock, now, step, rate: right(clock, now, 0, rate))


@breaks("DEV-20")
def keeps_its_rate() -> Wrong:
    """A rate is left out."""
    return instead(NodeClock, "steer", lambda right, clock, now, step, rate: right(clock, now, step, 0))


@breaks("DEV-20")
def goes_on_after_a_step() -> Wrong:
    """A clock that is set ends nothing."""
    return nothing(Link, "jump")


@breaks("DEV-20")
def is_steered_after_death() -> Wrong:
    """A restart leaves the clock as it was steered."""
    return nothing(NodeClock, "let_go")
