"""Nodes that tell the time wrongly, or take it wrongly."""

from typing import Any

from protocols.ttp import node as ttp_node
from protocols.ttp.node import Ttp
from protocols.ttp.states import TABLE, Do, TimeInput, TimeState
from protocols.wire import TtpResponse
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import instead, nothing, rows, says, value


@breaks("TTP-1")
def tells_a_late_time() -> Wrong:
    """The time of arrival is that of a tenth of a second later."""
    late = 10**11
    return says(TtpResponse, lambda told: told._replace(received=told.received + late, sent=told.sent + late))


@breaks("TTP-1")
def answers_another_number() -> Wrong:
    """A Response does not say which Request it answers."""
    return says(TtpResponse, lambda told: told._replace(sequence=0))


def _hearing(spoil: Any) -> Wrong:
    """Responses are heard as `spoil(machine, response, source)` says: another response, another source."""

    def receive(right: Any, machine: Ttp, message: Any, source: int, now: int) -> None:
        if isinstance(message, TtpResponse):
            message, source = spoil(machine, message, source)
        right(machine, message, source, now)

    return instead(Ttp, "receive", receive)


@breaks("TTP-2")
def believes_anybody() -> Wrong:
    """A Response of another node counts."""
    return _hearing(lambda machine, response, source: (response, machine._server))


@breaks("TTP-2")
def believes_any_number() -> Wrong:
    """The number of a Response is not looked at."""
    return _hearing(lambda machine, response, source: (response._replace(sequence=machine._sequence), source))


@breaks("TTP-2")
def believes_any_times() -> Wrong:
    """Times that cannot be are believed."""
    return value(ttp_node, "_NOISE_PS", 10**15)


@breaks("TTP-3")
def believes_slow_exchanges() -> Wrong:
    """However long an exchange took, it steers the clock."""

    def begin(right: Any, machine: Ttp, server: int | None, interval: int, slack: int, *row: int) -> None:
        right(machine, server, interval, 10**15, *row)

    return instead(Ttp, "__init__", begin)


@breaks("TTP-4")
def corrects_twice() -> Wrong:
    """Without an answer the clock goes on as it was slewed."""
    return nothing(Ttp, "_coast")


@breaks("TTP-5")
def serves_at_once() -> Wrong:
    """Requests are answered from the first moment on."""
    return value(Ttp, "serves", property(lambda machine: True))


@breaks("TTP-5")
def settles_early() -> Wrong:
    """Four exchanges settle a clock."""
    return value(ttp_node, "HOLD", 4)


@breaks("TTP-5")
def serves_only_while_served() -> Wrong:
    """In holdover nobody is answered."""
    return value(Ttp, "serves", property(lambda machine: machine.state is TimeState.TRACKING))


@breaks("TTP-6")
def always_steps() -> Wrong:
    """Every offset sets the clock."""
    near = (TimeState.SETTLING, TimeInput.NEAR)
    return rows(TABLE, {near: (TimeState.SETTLING, Do.STEP)})


@breaks("TTP-6")
def never_steps_again() -> Wrong:
    """However far off, a clock that has been set is slewed."""
    return value(ttp_node, "_FAR_PS", 10**18)
