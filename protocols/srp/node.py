"""The node of SRP: asks for an analyser until it is granted, refused, or not wanted any more.  SRP-n: srp.toml."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from protocols.asking import TRIES, interval_ps
from protocols.ignored import Ignored
from protocols.machine import Output, Send
from protocols.timers import Timers
from protocols.wire.codec import SrpDeny, SrpGrant, SrpQueued, SrpReason, SrpRelease, SrpReserve


class SwitchPort(NamedTuple):
    """What a node knows of the switch that serves one of its links."""

    station: int
    round_trip_ps: int


class Granted(NamedTuple):
    """Event: the link has an analyser in these slots, from the first on."""

    link: int
    first_slot: int
    slots: int


class Refused(NamedTuple):
    """Event: the reservation has ended without a grant.  `reason` None: the switch does not answer."""

    link: int
    reason: SrpReason | None


class NodeState(Enum):
    """Of a link's reservation at the node that leads the link."""

    NONE = auto()
    ASKING = auto()  # no word of the switch yet, or not for long
    QUEUED = auto()
    GRANTED = auto()


class NodeInput(Enum):
    """What moves it."""

    ASK = auto()
    WAIT = auto()  # Queued has come
    GRANT = auto()
    DENY = auto()
    LATE = auto()  # an answer should have come, or the reservation is to be refreshed
    SILENT = auto()  # the switch has been asked often enough
    RELEASE = auto()


_N, _I = NodeState, NodeInput
NODE_TABLE: dict[tuple[NodeState, NodeInput], NodeState] = {
    (_N.NONE, _I.ASK): _N.ASKING,
    (_N.ASKING, _I.ASK): _N.ASKING,  # superseded
    (_N.ASKING, _I.WAIT): _N.QUEUED,
    (_N.ASKING, _I.GRANT): _N.GRANTED,
    (_N.ASKING, _I.DENY): _N.NONE,
    (_N.ASKING, _I.LATE): _N.ASKING,
    (_N.ASKING, _I.SILENT): _N.NONE,
    (_N.ASKING, _I.RELEASE): _N.NONE,
    (_N.QUEUED, _I.ASK): _N.ASKING,
    (_N.QUEUED, _I.WAIT): _N.QUEUED,
    (_N.QUEUED, _I.GRANT): _N.GRANTED,
    (_N.QUEUED, _I.DENY): _N.NONE,
    (_N.QUEUED, _I.LATE): _N.ASKING,
    (_N.QUEUED, _I.RELEASE): _N.NONE,
    (_N.GRANTED, _I.ASK): _N.ASKING,  # the grant has been used
    (_N.GRANTED, _I.WAIT): _N.GRANTED,  # answers to repeated Reserves
    (_N.GRANTED, _I.GRANT): _N.GRANTED,
    (_N.GRANTED, _I.RELEASE): _N.NONE,
}


@dataclass(slots=True)
class _Reservation:
    port: SwitchPort
    reserve: SrpReserve
    state: NodeState = NodeState.NONE
    deadline: int | None = None
    tries: int = 0


class NodeSrp:
    """The node's side, on all its switched links; one reservation per link at a time."""

    def __init__(self, links: Mapping[int, SwitchPort], tries: int = TRIES) -> None:
        self._reservations = {link: _Reservation(port, SrpReserve(link, 0, 0, 0, 0)) for link, port in links.items()}
        self._tries = tries
        self._timers: Timers[int] = Timers()
        self._outputs: list[Output] = []

    def reserve(self, link: int, slots: int, notice_ps: int, deadline: int | None, now: int) -> None:
        """Ask for an analyser for `slots` slots; comes to one Granted or Refused, unless it is released before.

        notice_ps: least time from the sending of the grant to the first slot.  deadline: in ps, when a grant is of
        no use any more.  What was reserved for the link before is superseded.
        """
        if slots < 1:
            raise ValueError(f"a reservation of {slots} slots")
        reservation = self._reservations[link]
        ticket = max(now, reservation.reserve.ticket + 1)  # SRP-1
        reservation.reserve = SrpReserve(link, ticket, slots, notice_ps, 0)
        reservation.deadline = deadline
        reservation.tries = 0
        self._move(reservation, NodeInput.ASK)
        self._ask(reservation, now)

    def release(self, link: int) -> None:
        """The reservation, or what is left of its grant, is not needed any more; there need not be one."""
        reservation = self._reservations[link]
        if reservation.state is not NodeState.NONE:
            self._move(reservation, NodeInput.RELEASE)
            self._send_release(reservation.port.station, link, reservation.reserve.ticket)  # SRP-4

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        if not isinstance(message, SrpQueued | SrpGrant | SrpDeny):
            raise TypeError(f"{type(message).__name__} is not a message to an SRP node")
        reservation = self._reservations.get(message.link)
        if reservation is None or source != reservation.port.station:
            self._outputs.append(Ignored(source, type(message).__name__, "not the switch of this link"))
            return
        current = message.ticket == reservation.reserve.ticket and reservation.state is not NodeState.NONE
        match message:
            case SrpGrant():
                if not current:
                    # SRP-4: of a former life, or one that crossed a Release.  Nobody will use it.
                    self._send_release(source, message.link, message.ticket)
                elif reservation.state is not NodeState.GRANTED:
                    self._move(reservation, NodeInput.GRANT)
                    self._outputs.append(Granted(message.link, message.first_slot, message.slots))
            case SrpQueued():
                if current:
                    self._move(reservation, NodeInput.WAIT)
                    if reservation.state is NodeState.QUEUED:
                        reservation.tries = 0
                        self._timers.set(message.link, now + max(message.refresh_ps, reservation.port.round_trip_ps))
            case SrpDeny():
                if current and reservation.state is not NodeState.GRANTED:
                    self._move(reservation, NodeInput.DENY)
                    self._outputs.append(Refused(message.link, SrpReason(message.reason)))

    def poll(self, now: int) -> list[Output]:
        for link in self._timers.take_due(now):
            reservation = self._reservations[link]
            if reservation.tries < self._tries:
                self._move(reservation, NodeInput.LATE)
                self._ask(reservation, now)
            else:
                self._move(reservation, NodeInput.SILENT)
                self._outputs.append(Refused(link, None))  # SRP-2
        outputs, self._outputs = self._outputs, []
        return outputs

    def next_timeout(self) -> int | None:
        return self._timers.next()

    def _ask(self, reservation: _Reservation, now: int) -> None:
        """SRP-2: as often as an answer could come, then less often, for a switch that is down."""
        reserve, deadline = reservation.reserve, reservation.deadline
        within_ps = 0 if deadline is None else max(1, deadline - now)
        self._outputs.append(Send(reservation.port.station, reserve._replace(within_ps=within_ps)))
        self._timers.set(reserve.link, now + interval_ps(reservation.port.round_trip_ps, reservation.tries))
        reservation.tries += 1

    def _move(self, reservation: _Reservation, stimulus: NodeInput) -> None:
        reservation.state = NODE_TABLE[reservation.state, stimulus]
        if reservation.state in (NodeState.NONE, NodeState.GRANTED):
            self._timers.cancel(reservation.reserve.link)

    def _send_release(self, station: int, link: int, ticket: int) -> None:
        self._outputs.append(Send(station, SrpRelease(link, ticket)))
