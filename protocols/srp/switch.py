"""The switch of SRP: grants its analysers to links, in turn, and takes them back.  SRP-n: srp.toml.

A grant is made when an analyser and both ports of the link are free, never ahead: when a train will succeed nobody
knows.  It ends when its train has ended, when the train has not come by the first slot, or when its node says so.

Where it takes long to reconfigure, an analyser may wait for the link that it is set on, although others want it, as a
disk waits for the reader whose next block is near (Iyer, Druschel, SOSP 2001): no longer than reconfiguring takes, and
not when the link has had its turn (SRP-12).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NamedTuple

from protocols.ignored import Ignored
from protocols.machine import Output, Send
from protocols.srp.policy import LeastServed, Policy, Waiting
from protocols.timers import Timers
from protocols.wire.codec import SrpDeny, SrpGrant, SrpQueued, SrpReady, SrpReason, SrpRelease, SrpReserve

OVERTAKEN: Final = 4
"""How often a link whose ports are busy may be overtaken before its ports are kept free for it."""

REFRESHES: Final = 4
"""A reservation that has not been repeated for so many refresh times is forgotten, a port without qubits tried."""

# From a command to the device until its answer, when the device itself takes no time (DEV-5); and a little more.
_DEVICE_PS: Final = 2_000


class SwitchLink(NamedTuple):
    """What a switch knows of one of its links; the lower-numbered end leads it."""

    ends: tuple[int, int]
    slot_ps: int
    attempt_ps: int


class SwitchFacts(NamedTuple):
    """What a switch knows of itself."""

    analysers: int
    reconfigure_ps: int
    longest_ps: int
    """No grant is longer; nor is a waiting node silent for longer."""
    stay_ps: int = 0
    """An analyser waits for its link's next reservation if it has not been the link's for so long."""


class Connect(NamedTuple):
    """Event: the device is to set this link on this analyser."""

    link: int
    analyser: int


class Withdraw(NamedTuple):
    """Event: the link has lost its analyser, although its train has not ended."""

    link: int


class GrantEnded(NamedTuple):
    """Event: what became of a grant."""

    link: int
    waited_ps: int  # from its first Reserve to its Grant
    held_ps: int  # from its Grant to its end
    lit_ps: int  # from its first slot to its end, if a train has come: what it was for
    used: bool  # a train has come


class ReservationState(Enum):
    """Of a link at its switch."""

    NONE = auto()
    WAITING = auto()
    GRANTED = auto()  # until its first slot
    USED = auto()  # its train has come


class ReservationInput(Enum):
    """What moves it."""

    RESERVE = auto()
    GRANT = auto()
    TRAIN = auto()
    OVER = auto()  # its train has ended, or has not come; or its node gives it up


_S, _I = ReservationState, ReservationInput
RESERVATION_TABLE: dict[tuple[ReservationState, ReservationInput], ReservationState] = {
    (_S.NONE, _I.RESERVE): _S.WAITING,
    (_S.WAITING, _I.RESERVE): _S.WAITING,  # repeated
    (_S.WAITING, _I.GRANT): _S.GRANTED,
    (_S.WAITING, _I.OVER): _S.NONE,
    (_S.GRANTED, _I.TRAIN): _S.USED,
    (_S.GRANTED, _I.OVER): _S.NONE,
    (_S.USED, _I.OVER): _S.NONE,
}


class _Timer(Enum):
    FORGET = auto()  # a reservation that is not repeated
    START = auto()  # the train must have come
    END = auto()  # the train must have ended
    KEPT = auto()  # the link has not come back for its analyser
    STALE = auto()  # what a node has said of its qubits is no longer believed


@dataclass(slots=True)
class _Reservation:
    """The last of a link; its ticket stays when it has ended."""

    number: int
    link: SwitchLink
    state: ReservationState = ReservationState.NONE
    reserve: SrpReserve = field(default_factory=lambda: SrpReserve(0, 0, 0, 0, 0))
    since: int = 0
    deadline: int | None = None
    overtaken: int = 0
    analyser: int = 0
    granted_at: int = 0
    turn_since: int = 0  # when its analyser was set on it
    kept_since: int | None = None  # its analyser and its ports wait for its next grant
    grant: SrpGrant = field(default_factory=lambda: SrpGrant(0, 0, 0, 0))


class SwitchSrp:
    """The switch's side of all its links."""

    def __init__(self, links: Mapping[int, SwitchLink], facts: SwitchFacts, policy: Policy | None = None) -> None:
        if facts.analysers < 1 or facts.longest_ps < 1 or facts.reconfigure_ps < 0:
            raise ValueError(f"no switch is like this: {facts}")
        self._links = {number: _Reservation(number, link) for number, link in links.items()}
        self._facts = facts
        self._policy: Policy = policy or LeastServed()
        self._waiting: dict[int, _Reservation] = {}
        self._changed = False  # something, since nobody else could be served
        self._on: list[int | None] = [None] * facts.analysers  # the link that each analyser is set on
        self._holder: list[int | None] = [None] * facts.analysers  # the link that it is granted to
        self._resting = list(range(facts.analysers))  # those that are free, the one longest so first
        self._ports: set[int] = set()  # nodes whose port is granted
        self._nodes = {end for link in links.values() for end in link.ends}
        self._ready: dict[int, int] = {}  # qubits by node; of the others nothing is known, and the best is hoped
        self._timers: Timers[tuple[_Timer, int]] = Timers()
        self._outputs: list[Output] = []

    # From the station, which sees the trains.

    def train_comes(self, link: int, first_slot: int, last_slot: int, now: int) -> bool:
        """Both nodes have told of a train; False if the link has no grant for it (SRP-9)."""
        reservation = self._links[link]
        grant = reservation.grant
        granted = reservation.state is ReservationState.GRANTED
        if not granted or first_slot != grant.first_slot or last_slot - first_slot >= grant.slots:
            return False
        self._move(reservation, ReservationInput.TRAIN)
        self._timers.cancel((_Timer.START, link))
        over_ps = last_slot * reservation.link.slot_ps + reservation.link.attempt_ps
        self._timers.set((_Timer.END, link), over_ps + 2 * _DEVICE_PS)
        return True

    def train_ends(self, link: int, success: bool, now: int) -> None:
        """It has heralded (`success`), or will not any more; the train that came last is meant."""
        reservation = self._links[link]
        if reservation.state is not ReservationState.USED:
            return
        if success:
            self.train_heralds(link, now)
        stays = success and now - reservation.turn_since < self._facts.stay_ps  # SRP-12
        self._over(reservation, now, stays)  # SRP-7

    def train_heralds(self, link: int, now: int) -> None:
        """A train has had a success; whether it goes on or not, each node counts one qubit less (SRP-11)."""
        for end in self._links[link].link.ends:
            if end in self._ready:
                self._set_ready(end, max(0, self._ready[end] - 1), now)

    def lost(self, node: int, now: int) -> None:
        """The reliable sublayer may have lost what this node has said, or it has restarted."""
        self._forget_ready(node)
        self._serve(now)

    # The machine.

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        if not isinstance(message, SrpReserve | SrpRelease | SrpReady):
            raise TypeError(f"{type(message).__name__} is not a message to a switch")
        if isinstance(message, SrpReady):
            if source in self._nodes:
                self._set_ready(source, message.qubits, now)
                self._serve(now)
            else:
                self._outputs.append(Ignored(source, "SrpReady", "not an end of a link here"))
            return
        reservation = self._links.get(message.link)
        if reservation is None or source != min(reservation.link.ends):
            self._outputs.append(Ignored(source, type(message).__name__, "not the leading end of a link here"))
            self._deny(source, message.link, message.ticket, SrpReason.STRANGER)
        elif isinstance(message, SrpReserve):
            self._on_reserve(reservation, message, source, now)
        elif message.ticket >= reservation.reserve.ticket:
            self._stay_no_longer(reservation, now)
            if reservation.state is not ReservationState.NONE:
                self._give_up(reservation, now)
            # A Reserve of this ticket that comes behind its Release is too late.
            reservation.reserve = reservation.reserve._replace(ticket=message.ticket)

    def poll(self, now: int) -> list[Output]:
        for kind, number in self._timers.take_due(now):
            if kind is _Timer.STALE:
                self._forget_ready(number)
            elif kind is _Timer.KEPT:
                self._stay_no_longer(self._links[number], now)
            elif kind is _Timer.END:
                self._give_up(self._links[number], now)
            else:
                self._over(self._links[number], now)  # SRP-8, SRP-3
        self._serve(now)
        outputs, self._outputs = self._outputs, []
        return outputs

    def next_timeout(self) -> int | None:
        return self._timers.next()

    def _on_reserve(self, reservation: _Reservation, reserve: SrpReserve, source: int, now: int) -> None:
        known = reservation.reserve.ticket
        if reserve.ticket < known or (reserve.ticket == known and reservation.state is ReservationState.NONE):
            self._deny(source, reserve.link, reserve.ticket, SrpReason.OVER)  # SRP-5
            return
        if reserve.ticket > known and reservation.state is not ReservationState.NONE:
            self._give_up(reservation, now)  # SRP-5: its node has gone on without it
        if reservation.state in (ReservationState.GRANTED, ReservationState.USED):
            self._outputs.append(Send(source, reservation.grant))  # SRP-3: the first one was lost
            return
        if reservation.state is ReservationState.NONE:
            reservation.since = now
            reservation.overtaken = 0
            self._policy.arrived(reservation.number)
        self._move(reservation, ReservationInput.RESERVE)
        reservation.reserve = reserve
        reservation.deadline = now + reserve.within_ps if reserve.within_ps else None
        refresh_ps = self._facts.longest_ps
        self._timers.set((_Timer.FORGET, reserve.link), now + REFRESHES * refresh_ps)
        self._serve(now)
        if reservation.state is ReservationState.WAITING:
            self._outputs.append(Send(source, SrpQueued(reserve.link, reserve.ticket, refresh_ps)))

    # Grants.

    def _serve(self, now: int) -> None:
        """Grant what can be granted: to the links for which an analyser waits, then in the policy's order."""
        if not self._changed or not self._waiting:
            return
        self._changed = False
        for reservation in list(self._waiting.values()):
            if reservation.kept_since is not None and self._has_qubits(reservation):
                self._let_go(reservation, reservation.kept_since, now)
                self._grant(reservation, now)
        waiting = [Waiting(number, reservation.since) for number, reservation in self._waiting.items()]
        passed: list[_Reservation] = []  # in front of those that are granted, but with a busy port
        kept: set[int] = set()  # ports that are kept free for somebody
        for one in self._policy.order(waiting):
            reservation = self._links[one.link]
            if not self._resting:
                break
            if not self._has_qubits(reservation) or reservation.kept_since is not None:
                continue  # SRP-11, SRP-12
            if not self._ports.isdisjoint(reservation.link.ends) or not kept.isdisjoint(reservation.link.ends):
                passed.append(reservation)
                if reservation.overtaken >= OVERTAKEN:
                    kept.update(reservation.link.ends)  # SRP-6
            elif self._grant(reservation, now):
                for other in passed:
                    other.overtaken += 1

    def _has_qubits(self, reservation: _Reservation) -> bool:
        return all(self._ready.get(end) != 0 for end in reservation.link.ends)

    def _grant(self, reservation: _Reservation, now: int) -> bool:
        """False if a grant would come too late."""
        reserve, facts, link = reservation.reserve, self._facts, reservation.link
        number = reservation.number
        analyser = self._on.index(number) if number in self._on else self._resting[0]
        if analyser not in self._resting:
            raise AssertionError(f"analyser {analyser} is set on a link whose port is granted elsewhere")
        set_ps = facts.reconfigure_ps
        if self._on[analyser] == number:
            set_ps = 0
        else:
            reservation.turn_since = now
        earliest = now + max(set_ps + _DEVICE_PS, reserve.notice_ps)
        first_slot = -(-earliest // link.slot_ps)
        if reservation.deadline is not None and first_slot * link.slot_ps > reservation.deadline:
            self._over(reservation, now)
            self._deny(min(link.ends), number, reserve.ticket, SrpReason.TOO_LATE)
            return False
        slots = min(reserve.slots, max(1, facts.longest_ps // link.slot_ps))  # SRP-6
        self._move(reservation, ReservationInput.GRANT)
        self._policy.granted(number)
        self._resting.remove(analyser)
        self._holder[analyser] = number
        # A port that moves leaves the analyser on which it was.
        for other, was in enumerate(self._on):
            if was is not None and not set(self._links[was].link.ends).isdisjoint(link.ends):
                self._on[other] = None
        self._on[analyser] = number
        self._ports.update(link.ends)
        reservation.analyser, reservation.granted_at = analyser, now
        reservation.grant = SrpGrant(number, reserve.ticket, first_slot, slots)
        self._timers.cancel((_Timer.FORGET, number))
        self._timers.set((_Timer.START, number), first_slot * link.slot_ps)
        self._outputs.append(Connect(number, analyser))
        self._outputs.append(Send(min(link.ends), reservation.grant))
        return True

    def _set_ready(self, node: int, qubits: int, now: int) -> None:
        self._ready[node] = qubits
        self._changed = True
        if qubits:
            self._timers.cancel((_Timer.STALE, node))
        else:
            self._timers.set((_Timer.STALE, node), now + REFRESHES * self._facts.longest_ps)

    def _forget_ready(self, node: int) -> None:
        self._ready.pop(node, None)
        self._changed = True
        self._timers.cancel((_Timer.STALE, node))

    def _give_up(self, reservation: _Reservation, now: int) -> None:
        """The end of a reservation whose train may still be running."""
        if reservation.state is ReservationState.USED:
            self._outputs.append(Withdraw(reservation.number))
        self._over(reservation, now)

    def _over(self, reservation: _Reservation, now: int, stays: bool = False) -> None:
        was, number = reservation.state, reservation.number
        self._move(reservation, ReservationInput.OVER)
        for kind in (_Timer.FORGET, _Timer.START, _Timer.END):
            self._timers.cancel((kind, number))
        if was is ReservationState.WAITING:
            return
        held_ps = now - reservation.granted_at
        if stays:
            reservation.kept_since = now
            self._timers.set((_Timer.KEPT, number), now + self._facts.reconfigure_ps)
            self._policy.served(number, held_ps)
        else:
            self._let_go(reservation, reservation.granted_at, now)
        waited_ps = reservation.granted_at - reservation.since
        used = was is ReservationState.USED
        lit_ps = max(0, now - reservation.grant.first_slot * reservation.link.slot_ps) if used else 0
        self._outputs.append(GrantEnded(number, waited_ps, held_ps, lit_ps, used))

    def _stay_no_longer(self, reservation: _Reservation, now: int) -> None:
        if reservation.kept_since is not None:
            self._let_go(reservation, reservation.kept_since, now)

    def _let_go(self, reservation: _Reservation, since: int, now: int) -> None:
        """Of the analyser and the ports that the link has had since then."""
        reservation.kept_since = None
        self._timers.cancel((_Timer.KEPT, reservation.number))
        self._holder[reservation.analyser] = None
        self._resting.append(reservation.analyser)
        self._ports.difference_update(reservation.link.ends)
        self._policy.served(reservation.number, now - since)
        self._changed = True

    def _move(self, reservation: _Reservation, stimulus: ReservationInput) -> None:
        reservation.state = RESERVATION_TABLE[reservation.state, stimulus]
        self._changed = True
        if reservation.state is ReservationState.WAITING:
            self._waiting[reservation.number] = reservation
        else:
            self._waiting.pop(reservation.number, None)

    def _deny(self, node: int, link: int, ticket: int, reason: SrpReason) -> None:
        self._outputs.append(Send(node, SrpDeny(link, ticket, reason)))
