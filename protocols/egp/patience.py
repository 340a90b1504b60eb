"""How long a link waits before it tries again, by what has come to nothing.

What may live here: counts of failures in a row, and the pauses and margins that follow from them.

Two kinds of failure are told apart.  Where there is nothing to make a pair with, waiting helps, and whoever has it
again says so: each pause is twice as long as the last.  Where messages came late or not at all, waiting helps nobody,
for no frame stands in another's way: pauses are short until so many trains have failed in a row that it is hardly
chance.
"""

from typing import Final

from protocols.asking import DOUBLINGS
from protocols.egp.facts import LinkFacts
from protocols.egp.states import Shared, TimerKey, TimerKind, Train

SILENT_TRAINS: Final = 2
"""So many trains in a row of which the station said nothing, over at least the keep-alive time, and it is dead."""

BY_CHANCE: Final = 8
"""Failures in a row before pauses are twice as long: at 30 % loss one train in four comes about, so that so many fail
in a row one time in ten, and four times as many once in ten thousand times."""

WARY: Final = 8
"""Trains after one whose Gens were late or lost, of which each Gen is sent twice (MHP-1)."""

_RELAXED: Final = 8
"""What is added shrinks by this part of it with each answer, or herald, that comes in time."""

_LONGEST: Final = 10  # doublings, of what somebody's word can end at any time


class Patience:
    """`extra_ps` is added to the margin of proposals for as long as they come too late, `herald_ps` to the time between
    two attempts for as long as heralds do (EGP-30).

    What is late once may have been lost and sent again; what is late twice in a row has most likely a longer way.
    """

    def __init__(self, facts: LinkFacts, shared: Shared) -> None:
        self.extra_ps = 0
        self.herald_ps = 0
        self.vain = 0  # grants of a switch in a row for which there was no qubit
        self._facts = facts
        self._timers = shared.timers
        self._declined = 0  # proposals in a row for which there was nothing to make a pair with
        self._lost = 0  # proposals and trains in a row that came to nothing by what was late or lost
        self._late_ps: int | None = None  # by how much the last proposal was answered too late
        self._herald_late_ps: int | None = None  # by how much the last herald came too late, if it may have been lost
        self._gens_late = False  # those of the last train, or lost
        self._wary = 0  # trains that are still to be told twice
        self._silent = 0  # trains in a row of which nobody knows what came
        self._silent_since = 0  # when the first of them began
        self._pause_ps = 2 * facts.round_trip_ps + facts.margin_ps
        self._retry = TimerKey(TimerKind.RETRY, facts.number)

    @property
    def pausing(self) -> bool:
        return self._retry in self._timers

    @property
    def held_ps(self) -> int:
        """How long a qubit is kept for the train that is to come: longer each time that it did not."""
        return 4 * self._pause_ps << min(self.vain, _LONGEST)

    @property
    def wary(self) -> bool:
        """Have Gens been lost lately?"""
        return self._wary > 0

    def pause(self, now: int) -> None:
        """There was nothing to make a pair with: wait before the next proposal, longer each time (EGP-29)."""
        self._wait(min(self._declined, _LONGEST), now)
        self._declined += 1

    def lost(self, now: int) -> None:
        """What was said of a train came late or not at all: wait longer only if that is hardly chance (EGP-29)."""
        self._wait(min(self._lost // BY_CHANCE, DOUBLINGS), now)
        self._lost += 1

    def _wait(self, doublings: int, now: int) -> None:
        self._timers.set(self._retry, now + (self._pause_ps << doublings))

    def resume(self) -> None:
        """There is no need to wait any longer."""
        self._timers.cancel(self._retry)

    def agreed(self) -> None:
        """The peer has accepted a proposal in time."""
        self._declined = 0
        self._late_ps = None
        self.extra_ps -= self.extra_ps // _RELAXED

    def answered_late(self, by_ps: int, now: int) -> None:
        """A proposal: so much too late for its slots."""
        if self._late_ps is None:
            self._late_ps = by_ps
        else:
            self._stretch(min(by_ps, self._late_ps))
            self._late_ps = None
        self.lost(now)

    def came_late(self) -> None:
        """What was agreed, for its slots: the network is slower than the facts say, or frames get lost."""
        self._wary = WARY
        if self._gens_late:
            self._stretch(max(self.extra_ps, self._pause_ps))
        self._gens_late = not self._gens_late

    def _stretch(self, by_ps: int) -> None:
        self.extra_ps = min(self.extra_ps + by_ps, self._pause_ps << _LONGEST)

    def herald_in_time(self) -> None:
        """Before the next emission."""
        self._herald_late_ps = None
        self.herald_ps -= self.herald_ps // _RELAXED

    def herald_late(self, next_emission: int, due: int, now: int) -> None:
        """After the next emission.  Since `due` the station has been asked, so what comes then may have been lost."""
        late_ps = now - next_emission
        if now > due:
            late_ps = now - due - 2 * self._facts.delay_to_station_ps  # no later than an answer comes: it was lost
            before, self._herald_late_ps = self._herald_late_ps, late_ps
            late_ps = 0 if before is None else max(0, min(before, late_ps))
        self.herald_ps = min(self.herald_ps + late_ps, self._pause_ps << _LONGEST)

    def silence(self, train: Train, now: int) -> tuple[int, bool]:
        """Nobody knows what came of this train: for how long that has been so, and whether the station is dead."""
        if not self._silent:
            self._silent_since = min(now, train.first_slot * self._facts.slot_ps)
        self._silent += 1
        silence_ps = now - self._silent_since
        return silence_ps, self._silent >= SILENT_TRAINS and silence_ps >= self._facts.keepalive_ps

    def wait_out(self, silence_ps: int, now: int) -> None:
        """As REL tries a silent peer: who has waited for some time knows more within the same time again."""
        self._timers.set(self._retry, now + silence_ps)

    def heard(self, looked: bool) -> None:
        """The station has told what came of a train; `looked`: that it has looked at its slots."""
        self._silent = 0
        if looked:
            self._lost = 0
            self._gens_late = False
            self._wary = max(0, self._wary - 1)

    def station_lives(self) -> bool:
        """It has said something, if not of a train; whether there was doubt."""
        doubted = self._silent > 0
        if doubted:
            self._silent = 0
            self.resume()
        return doubted

    def forget(self) -> None:
        """The peer begins anew."""
        self._declined = self._lost = 0
        self._late_ps = None
        self.resume()
