"""Which attempt of a link heralds: drawn ahead from the exact law (`sampled`), or event by event
(`photonic`).

What may live here: the two grades of deciding. What a decision does is in trains.py.
"""

from functools import partial
from typing import TYPE_CHECKING

from numpy.random import Generator

from stack.runtime.times import NEVER
from testbed.keyed import keyed_generator
from testbed.plane.config import LinkConfig
from testbed.plane.events import LATE, priority
from testbed.plane.links import Arrivals, Herald
from testbed.plane.links.model import draw_first
from testbed.plane.simulator import Event
from testbed.plane.train import Train
from testbed.plane.trains import Link, World

if TYPE_CHECKING:
    from stack.runtime.clock import NodeClock

type Couple = tuple[Train, Train]


class SampledLink(Link):
    """Each couple of trains has a number of attempts to go until one heralds, drawn once and counted down.

    Attempts are independent, so that number is geometric whenever one begins to count, and whatever happens
    to the trains: a change moves the slot in which the number is reached, and nothing is ever drawn again. A
    listen costs one event, however many slots it has.
    """

    def __init__(
        self, number: int, config: LinkConfig, world: World, rng: Generator, thinning: Generator
    ) -> None:
        super().__init__(number, config, world)
        self._rng = rng
        self._thinning = thinning
        self._ceilings: dict[float, float] = {}
        """By brightness: what no attempt exceeds in its chance to herald, whatever the clocks do."""
        self._to_go: dict[Couple, int] = {}
        """Attempts up to and with the next success, counted from the beginning of the listen that lasts."""
        self._winner: tuple[Couple, int] | None = None

    def arrange(self, now: int) -> None:
        listening = self.listening
        if listening is None:
            return
        winner: tuple[Couple, int] | None = None
        for a in self.trains[0]:
            for b in self.trains[1]:
                couple = (a, b)
                attempts = self.listened(*couple)
                if not attempts.size:
                    continue
                to_go = self._to_go.get(couple)
                if to_go is None:
                    to_go = self._to_go[couple] = self._draw(a.alpha)
                if to_go <= attempts.size:
                    slot = attempts.nth(to_go - 1)
                    if winner is None or slot < winner[1]:
                        winner = couple, slot
        time = max(now, self.over_ps(listening.slots.last if winner is None else winner[1]))
        if listening.decision is not None and time == listening.decision.time and winner == self._winner:
            return
        if listening.decision is not None:
            self.world.events.cancel(listening.decision)
        self._winner = winner
        order = priority(self.config.station, listening.sequence)
        listening.decision = self.world.events.at(time, order, self, "give_up" if winner is None else "win")

    def wind(self, node: int, clock: "NodeClock") -> None:
        """Successes of another kind are counted with clocks than without, see `_draw`: all that is to come is drawn
        anew, as it may be, since attempts know nothing of each other."""
        anew = not self.clocked
        super().wind(node, clock)
        if anew and self.listening is not None:
            gone = self.station.upto(self.world.events.now - self.model.attempt_ps)
            for couple in self._to_go:
                self._to_go[couple] = self.listened(*couple).upto(gone) + self._draw(couple[0].alpha)
        elif anew:
            self._to_go.clear()

    def win(self) -> None:
        """Event: the station's detectors show a success."""
        listening = self.listening
        assert listening is not None
        assert self._winner is not None
        listening.decision = None
        couple, slot = self._winner
        self._winner = None
        a, b = couple
        model, arrivals = self.model, None
        stands = not self.dark(slot)
        if stands and self.clocked:
            arrivals = self.arrivals(a, b, slot)
            stands = arrivals is not None and self._stands(arrivals, a.alpha)
        if not stands:
            self._to_go[couple] = self.listened(*couple).upto(slot) + self._draw(a.alpha)
            self.arrange(self.world.events.now)
            return
        if arrivals is not None:
            model = model.arriving(arrivals)
        herald = model.draw_state(self._rng, a.alpha)
        self.succeed(a, b, slot, herald, arrivals, self.world.events.now)

    def _draw(self, alpha: float) -> int:
        """Attempts up to the next success; with clocks, to what would be one if photons came at their best.

        How likely an attempt heralds then changes from slot to slot. So successes are drawn at the ceiling of all
        chances, and each stands with its own chance over the ceiling: thinning (Lewis and Shedler 1979), exact.

        Where a slot is a round, no herald is in the first: one slot, and then a geometric number with the same mean.
        """
        if self.clocked:
            ceiling = self._ceiling(alpha)
            if self.model.parameters.abort:
                return 1 + draw_first(self._rng, ceiling / (1 - ceiling))
            return draw_first(self._rng, ceiling)
        return self.model.draw_attempts(self._rng, alpha)

    def _ceiling(self, alpha: float) -> float:
        if alpha not in self._ceilings:
            self._ceilings[alpha] = self.model.ceiling(alpha)
        return self._ceilings[alpha]

    def _stands(self, arrivals: Arrivals, alpha: float) -> bool:
        chance = self.model.arriving(arrivals).success_probability(alpha)
        return float(self._thinning.random()) * self._ceiling(alpha) < chance

    def heard(self, upto: int) -> None:
        listening = self.listening
        assert listening is not None
        if self.model.parameters.abort:
            self._to_go.clear()  # what is counted are rounds, and the next listen begins with a first one
        for couple, to_go in list(self._to_go.items()):
            left = to_go - self.listened(*couple).upto(upto)
            assert left >= 0, "an attempt beyond the success was counted"
            if left:
                self._to_go[couple] = left
            else:
                del self._to_go[couple]
        self._winner = None

    def decided_ps(self) -> int:
        listening = self.listening
        return NEVER if listening is None or listening.decision is None else listening.decision.time

    def forget(self, train: Train) -> None:
        for couple in [couple for couple in self._to_go if train in couple]:
            del self._to_go[couple]


class PhotonicLink(Link):
    """Every attempt of a couple of trains runs on the timeline, listened to or not.

    Photons leave before anybody knows whether they will be looked at, so an attempt begins with its earlier
    emission: a slot counts only if both trains are known by then. What later keeps it from counting (a stop
    between the two emissions, a station that does not listen) is looked at when it is decided.
    """

    def __init__(self, number: int, config: LinkConfig, world: World) -> None:
        super().__init__(number, config, world)
        self._launches: dict[Couple, Event | None] = {}
        """The next attempt of each couple; None if it had its last."""
        self._launched: dict[Couple, int] = {}
        """The slot of its latest."""
        self._due: dict[tuple[Couple, int], int] = {}
        """When what is in flight will be decided: clocks that are steered meanwhile change nothing about that."""

    def arrange(self, now: int) -> None:
        for a in self.trains[0]:
            for b in self.trains[1]:
                if (a, b) not in self._launches:
                    first = max(train.times.after(now) + train.shift for train in (a, b))
                    first = max(first, self.station.after(now))
                    self._launch_after((a, b), max(first - 1, self._launched.get((a, b), first - 1)))
        listening = self.listening
        if listening is not None and listening.decision is None:
            end = max(now, self.over_ps(listening.slots.last))
            listening.decision = self.world.events.at(end, LATE + self.number, self, "give_up")

    def _launch_after(self, couple: Couple, slot: int) -> None:
        """The next attempt of a couple in a slot later than this one, if there is one."""
        following = self.common(*couple).after(slot)
        if following is None:
            self._launches[couple] = None
            return
        a = couple[0]
        # Where a source sends the photons, they start at the slot's own time, before the nodes have anything to do.
        time = min(self.station.at(following), *(train.emission_ps(following - train.shift) for train in couple))
        order = priority(a.node, a.sequence)
        self._launches[couple] = self.world.events.at(time, order, self, "launch", couple, following)

    def launch(self, couple: Couple, slot: int) -> None:
        """Event: the earlier of the two emissions for a slot."""
        a, b = couple
        self._launched[couple] = slot
        slots = self.common(a, b)
        if slots.first == slot:
            self.model.renew()
        arrivals = self.arrivals(a, b, slot) if self.clocked else None
        meets = slots.after(slot - 1) == slot
        if meets and (arrivals is not None or not self.clocked):
            done = partial(self._seen, couple, slot, arrivals)
            due = self.station.at(slot)
            self._due[couple, slot] = due + self.model.attempt_ps
            self.model.start_attempt(self.world.events.timeline, due, a.alpha, done, arrivals)
        self._launch_after(couple, slot)

    def _seen(self, couple: Couple, slot: int, arrivals: Arrivals | None, herald: Herald | None) -> None:
        del self._due[couple, slot]
        listening = self.listening
        if herald is None or listening is None or listening.slots.after(slot - 1) != slot or self.dark(slot):
            return
        a, b = couple
        heard = self.listened(a, b)
        if self.model.parameters.abort and slot == heard.first:
            return  # the first round was another couple's, or nobody listened to it
        if heard.after(slot - 1) == slot:
            self.succeed(a, b, slot, herald, arrivals, self.world.events.now)

    def retime(self, node: int, now: int) -> None:
        for couple in [couple for couple in self._launches if self._turns(node, couple)]:
            self._forget(couple)
        super().retime(node, now)

    def _turns(self, node: int, couple: Couple) -> bool:
        """Whether the clock of `node` decides when this couple makes its attempts."""
        return any(train.node == node for train in couple)

    def heard(self, upto: int) -> None:
        pass

    def decided_ps(self) -> int:
        listening = self.listening
        if listening is None or listening.decision is None:
            return NEVER
        earliest = listening.decision.time
        if self.clocked:
            earliest = min([earliest, *self._due.values()])
        since = self.station.after(self.world.events.now - self.model.attempt_ps)
        for a in self.trains[0]:
            for b in self.trains[1]:
                slot = listening.slots.meet(self.common(a, b)).after(since - 1)
                if slot is not None:
                    earliest = min(earliest, self.over_ps(slot))
        return int(earliest)

    def forget(self, train: Train) -> None:
        for couple in [couple for couple in self._launches if train in couple]:
            self._forget(couple)
            self._launched.pop(couple, None)

    def _forget(self, couple: Couple) -> None:
        launch = self._launches.pop(couple)
        if launch is not None:
            self.world.events.cancel(launch)


def make(number: int, config: LinkConfig, world: World, seed: int) -> Link:
    """The link at work for a configured one; a sampled link has its own stream of random numbers."""
    if config.model.grade == "photonic":
        return PhotonicLink(number, config, world)
    streams = [keyed_generator(seed, purpose, number) for purpose in ("link", "thinning")]
    return SampledLink(number, config, world, *streams)
