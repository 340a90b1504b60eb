"""Which attempt of a link heralds: drawn ahead from the exact law (`sampled`), or event by event
(`photonic`).

What may live here: the two grades of deciding. What a decision does is in trains.py.
"""

from functools import partial

from numpy.random import Generator
from sequence.kernel.event import Event

from stack.runtime.times import NEVER
from testbed.keyed import keyed_generator
from testbed.plane.config import LinkConfig
from testbed.plane.events import LATE, priority
from testbed.plane.links import Herald
from testbed.plane.trains import Link, Train, World

type Couple = tuple[Train, Train]


class SampledLink(Link):
    """Each couple of trains has a number of attempts to go until one heralds, drawn once and counted down.

    Attempts are independent, so that number is geometric whenever one begins to count, and whatever happens
    to the trains: a change moves the slot in which the number is reached, and nothing is ever drawn again. A
    listen costs one event, however many slots it has.
    """

    def __init__(self, number: int, config: LinkConfig, world: World, rng: Generator) -> None:
        super().__init__(number, config, world)
        self._rng = rng
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
                    to_go = self._to_go[couple] = self.model.draw_attempts(self._rng, a.alpha)
                if to_go <= attempts.size:
                    slot = attempts.nth(to_go - 1)
                    if winner is None or slot < winner[1]:
                        winner = couple, slot
        time = self.over_ps(listening.slots.last if winner is None else winner[1])
        if listening.decision is not None and time == listening.decision.time and winner == self._winner:
            return
        if listening.decision is not None:
            self.world.events.cancel(listening.decision)
        self._winner = winner
        order = priority(self.config.station, listening.sequence)
        listening.decision = self.world.events.at(time, order, self, "give_up" if winner is None else "win")

    def win(self) -> None:
        """Event: the station's detectors show a success."""
        listening = self.listening
        assert listening is not None
        assert self._winner is not None
        listening.decision = None
        (a, b), slot = self._winner
        self._winner = None
        herald = self.model.draw_state(self._rng, a.alpha)
        self.succeed(a, b, slot, herald, self.world.events.now)

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
        self._lead_ps = max(0, *config.leads_ps)

    def arrange(self, now: int) -> None:
        for a in self.trains[0]:
            for b in self.trains[1]:
                if (a, b) not in self._launches:
                    self._launch_after((a, b), (now + self._lead_ps - 1) // self.config.slot_ps)
        listening = self.listening
        if listening is not None and listening.decision is None:
            end = self.over_ps(listening.slots.last)
            listening.decision = self.world.events.at(end, LATE + self.number, self, "give_up")

    def _launch_after(self, couple: Couple, slot: int) -> None:
        """The next attempt of a couple in a slot later than this one, if there is one."""
        following = self.common(*couple).after(slot)
        if following is None:
            self._launches[couple] = None
            return
        a = couple[0]
        time = following * self.config.slot_ps - self._lead_ps
        order = priority(a.node, a.sequence)
        self._launches[couple] = self.world.events.at(time, order, self, "launch", couple, following)

    def launch(self, couple: Couple, slot: int) -> None:
        """Event: the earlier of the two emissions for a slot."""
        a, b = couple
        slots = self.common(a, b)
        if slots.first == slot:
            self.model.renew()
        if slots.after(slot - 1) == slot:
            done = partial(self._seen, couple, slot)
            timeline = self.world.events.timeline
            self.model.start_attempt(timeline, slot * self.config.slot_ps, a.alpha, done)
        self._launch_after(couple, slot)

    def _seen(self, couple: Couple, slot: int, herald: Herald | None) -> None:
        listening = self.listening
        if herald is None or listening is None or listening.slots.after(slot - 1) != slot:
            return
        a, b = couple
        heard = self.listened(a, b)
        if self.model.parameters.abort and slot == heard.first:
            return  # the first round was another couple's, or nobody listened to it
        if heard.after(slot - 1) == slot:
            self.succeed(a, b, slot, herald, self.world.events.now)

    def heard(self, upto: int) -> None:
        pass

    def decided_ps(self) -> int:
        listening = self.listening
        if listening is None or listening.decision is None:
            return NEVER
        earliest = listening.decision.time
        since = -((self.model.attempt_ps - self.world.events.now) // self.config.slot_ps)
        for a in self.trains[0]:
            for b in self.trains[1]:
                slot = listening.slots.meet(self.common(a, b)).after(since - 1)
                if slot is not None:
                    earliest = min(earliest, self.over_ps(slot))
        return int(earliest)

    def forget(self, train: Train) -> None:
        for couple in [couple for couple in self._launches if train in couple]:
            launch = self._launches.pop(couple)
            if launch is not None:
                self.world.events.cancel(launch)


def make(number: int, config: LinkConfig, world: World, seed: int) -> Link:
    """The link at work for a configured one; a sampled link has its own stream of random numbers."""
    if config.model.grade == "photonic":
        return PhotonicLink(number, config, world)
    return SampledLink(number, config, world, keyed_generator(seed, "link", number))
