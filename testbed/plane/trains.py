"""Attempt trains and listens on one heralded link: what they do to qubits, when they end.

What may live here: the bookkeeping common to both grades of a link. Which slot succeeds is heralds.py's business; what
follows from times and clocks alone stands in link_times.py, what one train is in train.py.

A train is a row of slots, a listen another, so that neither costs more for being long. Only what changes
something is an event: the first emission (it destroys what the qubit held), the first emission after a
success (it destroys that half), the time when the last herald could be back, the decision of a listen.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocols.device import LEAST_ANSWER_PS
from protocols.measuring import Measure
from protocols.wire.codec import (
    DeviceDone,
    DeviceError,
    DeviceFailed,
    DeviceHerald,
    DeviceListen,
    DeviceMeasuringTrain,
    DeviceOutcome,
    EgpMeasuring,
)
from stack.runtime.times import NEVER
from testbed.keyed import keyed_generator
from testbed.plane.config import LinkConfig
from testbed.plane.devices import Device, Qubit
from testbed.plane.events import Answers, Events, priority
from testbed.plane.link_times import LinkTimes, TrainCommand
from testbed.plane.links import Arrivals, Herald
from testbed.plane.links.timing import turned
from testbed.plane.programs import spoil
from testbed.plane.remembered import Results
from testbed.plane.simulator import Event
from testbed.plane.slots import NO_SLOTS, Slots
from testbed.plane.state import StateEngine
from testbed.plane.train import Train

if TYPE_CHECKING:
    from stack.runtime.clock import NodeClock
    from testbed.plane.oracle import HeraldLog


@dataclass(frozen=True, slots=True)
class World:
    """What every link works on."""

    events: Events
    answers: Answers
    engine: StateEngine
    devices: dict[int, Device]
    clocks: Mapping[int, "NodeClock"]
    """Of those nodes that do not show true time."""
    log: "HeraldLog | None"
    seed: int = 0


@dataclass(slots=True)
class Listening:
    """The station looks at these slots; `sequence` of its Listen."""

    sequence: int
    slots: Slots
    decision: Event | None = None
    """The event that will end it, if nothing changes."""


class Link(LinkTimes, ABC):
    """One link at work. Its commands have been checked for all that has nothing to do with the link."""

    def __init__(self, number: int, config: LinkConfig, world: World) -> None:
        super().__init__(config, world.clocks)
        self.number = number
        self.world = world
        self.trains: tuple[list[Train], list[Train]] = ([], [])
        self.listening: Listening | None = None
        self.results = Results(world.engine, keyed_generator(world.seed, "measured", number))
        self.coming: dict[tuple[int, int], int] = {}
        """Trains not yet executed, by (node, sequence): when the earliest herald of each could be due."""

    # -- what the grades differ in ---------------------------------------------------------------------------

    @abstractmethod
    def arrange(self, now: int) -> None:
        """Trains or the listen have changed: work out anew what is to be decided when."""

    @abstractmethod
    def heard(self, upto: int) -> None:
        """The listen ends. Its slots up to `upto` are spent, in vain or by the success just found."""

    @abstractmethod
    def decided_ps(self) -> int:
        """No decision about the listen that lasts falls before this, with the trains there are."""

    @abstractmethod
    def forget(self, train: Train) -> None:
        """The train is over."""

    # -- couples: a train of each end -------------------------------------------------------------------------

    def births_ps(self, train_a: Train, train_b: Train, slot: int) -> tuple[int, int]:
        """When the halves of a pair of that slot came to be."""
        if self.model.parameters.abort:  # in the round before; the model reckons with a slot, trains may skip some
            slot -= self.common(train_a, train_b).spacing - 1
        at = self.station.at(slot)
        a, b = self.model.births_ps
        return at + a, at + b

    def arrivals(self, a: Train, b: Train, slot: int) -> Arrivals | None:
        """When the photons for a slot of the station come, None if one has no chance to meet its gate."""
        due = self.station.at(slot)
        late = [train.emission_ps(slot - train.shift) + train.lead_ps - due for train in (a, b)]
        return Arrivals(*late) if max(map(abs, late)) <= self.slack_ps else None

    def promise(self) -> int:
        """No herald of the listen that lasts is due before this."""
        if self.listening is None:
            return NEVER
        return min(self.decided_ps() + LEAST_ANSWER_PS, min(self.coming.values(), default=NEVER))

    def common(self, a: Train, b: Train) -> Slots:
        """The station's slots in which both emit, as bright as each other (as far as this link can tell)."""
        success = self.model.success_probability
        if a.alpha != b.alpha and success(a.alpha) != success(b.alpha):
            return Slots(0, 1, 0)
        return a.at_station.meet(b.at_station)

    def listened(self, a: Train, b: Train) -> Slots:
        """Slots in which both emit and the station listens, of what may herald.

        Rounds that are slots of their own must all be listened to.
        """
        common = self.common(a, b)
        if self.listening is None or not common.size:
            return NO_SLOTS
        heard = self.listening.slots.meet(common)
        if self.model.parameters.abort and heard.size > 1 and heard.spacing != common.spacing:
            return NO_SLOTS
        return heard

    # -- trains ----------------------------------------------------------------------------------------------

    def start(
        self, node: int, side: int, qubit: Qubit, sequence: int, command: TrainCommand, now: int
    ) -> DeviceFailed | None:
        """A Train or MeasuringTrain whose qubit is free (DEV-10, DEV-11, DEV-15)."""
        world = self.world
        row = self.row(command)
        if row is None or qubit.stores:
            return DeviceFailed(DeviceError.BAD, 0)
        slots = self.emittable(row, side, now)
        if any(slots.meet(other.slots).size for other in self.trains[side]):
            return DeviceFailed(DeviceError.BUSY, 0)
        device = world.devices[node]
        measure = None
        if isinstance(command, DeviceMeasuringTrain):
            measure = Measure(
                command.choice,
                EgpMeasuring(command.bases, command.chance_1, command.chance_2, command.x_1, command.y, command.x_2),
            )
        train = Train(self, node, side, device, qubit, sequence, slots, self.brightness(command.alpha), measure)
        if slots.size > 1 and slots.spacing * self.config.slot_ps < train.measuring_ps():
            return DeviceFailed(DeviceError.BAD, 0)
        if not slots.size:
            world.answers.give(node, sequence, now + LEAST_ANSWER_PS, train.summary())
            return None
        qubit.train = train
        device.trains.append(train)
        self.trains[side].append(train)
        self._spoil_at(train, slots.first)
        self._end_at(train, train.home_ps(slots.last))
        if measure is not None:
            self._free_at(train, train.measured_ps())
        self.arrange(now)
        return None

    def held(self, side: int, qubit: Qubit) -> Train | None:
        """The train of this link that holds the qubit."""
        return next((train for train in self.trains[side] if train is qubit.train), None)

    def stop(self, train: Train, sequence: int, now: int) -> None:
        """A StopTrain for a train of this link (DEV-12)."""
        train.stops.append(sequence)
        self._cut(train, now, now)

    def die(self, train: Train, now: int) -> None:
        """The node has died before anything happened at `now`; what it has emitted is on its way."""
        train.dead = True
        train.stops.clear()
        if train.measure is None:
            self._spoil(train, now)
        elif not train.freed:
            self.free(train)
        self._cut(train, now - 1, now)

    def _cut(self, train: Train, last_emission: int, now: int) -> None:
        train.cut(last_emission)
        if train.spoiling is not None and train.spoiling.time > last_emission:
            self.world.events.cancel(train.spoiling)
            train.spoiling = None
        home = train.home_ps(train.slots.last) if train.slots.size else now
        self._free_again(train, now)
        if train.ended:
            return
        if home <= now:
            self._end_now(train, now)
        else:
            self._end_at(train, home)
        self.arrange(now)

    def _end_now(self, train: Train, now: int) -> None:
        if train.over is not None:
            self.world.events.cancel(train.over)
        if train.measure is None:
            self._expect(train, now)
        self.end(train)

    def _free_again(self, train: Train, now: int) -> None:
        """A measuring train has been cut, or its clock steered: its last half is measured at another time."""
        if train.measure is not None and not train.freed:
            self._free_at(train, max(train.measured_ps(), now) if train.slots.size else now)

    def _end_at(self, train: Train, time: int) -> None:
        events = self.world.events
        if train.over is not None:
            events.cancel(train.over)
        train.over = events.at(time, priority(train.node, train.sequence), self, "end", train)
        if train.measure is None:
            self._expect(train, time)

    def _free_at(self, train: Train, time: int) -> None:
        """A measuring train is over for its node when its last half has been measured (DEV-15)."""
        events = self.world.events
        if train.freeing is not None:
            events.cancel(train.freeing)
        train.freeing = events.at(time, priority(train.node, train.sequence), self, "free", train)
        self._expect(train, time)

    def _expect(self, train: Train, end: int) -> None:
        if not train.dead:
            for sequence in (train.sequence, *train.stops):
                self.world.answers.expect(train.node, sequence, end + LEAST_ANSWER_PS)

    def end(self, train: Train) -> None:
        """Event: the herald of the last emission could be back."""
        train.ended = True
        self.trains[train.side].remove(train)
        self.forget(train)
        if train.measure is not None:
            return
        train.device.trains.remove(train)
        train.device.emitted += train.slots.size
        if train.dead:
            self.world.engine.remove(train.key)
        else:
            self._done(train)

    def free(self, train: Train) -> None:
        """Event: a measuring train has measured its last half, or its node has died."""
        train.freed = True
        if train.freeing is not None:
            self.world.events.cancel(train.freeing)
            train.freeing = None
        train.device.trains.remove(train)
        train.device.emitted += train.slots.size
        if train.dead:
            train.qubit.train = None
        else:
            self._done(train)

    def _done(self, train: Train) -> None:
        train.qubit.train = None
        due = self.world.events.now + LEAST_ANSWER_PS
        for sequence in (train.sequence, *train.stops):
            self.world.answers.give(train.node, sequence, due, train.summary())

    # -- what emissions and heralds do to qubits -------------------------------------------------------------

    def _spoil_at(self, train: Train, slot: int) -> None:
        time = max(train.emission_ps(slot), self.world.events.now)  # a clock that was steered may round it down
        train.spoiler = slot
        train.spoiling = self.world.events.at(
            time, priority(train.node, train.sequence), self, "spoil", train
        )

    def spoil(self, train: Train) -> None:
        """Event: an emission destroys what the qubit held (DEV-11)."""
        train.spoiling = None
        self._spoil(train, self.world.events.now)

    def _spoil(self, train: Train, time: int) -> None:
        spoil(self.world.engine, train.key, time)
        if train.pair is not None and self.world.log is not None:
            self.world.log.lost(train.pair, time)
            train.pair = None

    def succeed(
        self, a: Train, b: Train, slot: int, herald: Herald, arrivals: Arrivals | None, now: int
    ) -> None:
        """A slot of the listen has heralded: each half has decayed since it came to be (DEV-13)."""
        listening = self.listening
        assert listening is not None
        assert self.clocked or now == self.over_ps(slot)
        world = self.world
        index, state = herald
        if arrivals is not None and self.config.frame_hz:
            state = turned(state, self.config.frame_hz, arrivals)
        births = self.births_ps(a, b, slot)
        kept = [train for train in (a, b) if train.measure is None]
        if len(kept) == 2:
            world.engine.set_pair(a.key, b.key, state, *births)
        else:
            self.results.measure((a, b), slot, state, births)
        pair = None
        if world.log is not None:
            homes = now + LEAST_ANSWER_PS + a.arm_ps, now + LEAST_ANSWER_PS + b.arm_ps
            pair = world.log.heralded(self.number, slot, index, (a, b), state, births, homes, arrivals)
        for train in kept:
            train.pair = pair
            following = train.slots.after(slot - train.shift)
            if train.dead:
                self._spoil(train, now)
            elif following is not None and train.emission_ps(following) <= now:
                self._spoil(train, train.emission_ps(following))
            elif following is not None:
                self._spoil_at(train, following)
        self.hush(slot)
        answer = DeviceHerald(DeviceOutcome(index - 1), slot)
        world.answers.give(self.config.station, listening.sequence, now + LEAST_ANSWER_PS, answer)

    # -- clocks ----------------------------------------------------------------------------------------------

    def jump(self, node: int, now: int) -> None:
        """The clock of `node` is about to be set: what was meant by its numbers ends here (DEV-20)."""
        for train in [train for train in (*self.trains[0], *self.trains[1]) if train.node == node]:
            train.cut(now)
            if train.spoiling is not None:
                self.world.events.cancel(train.spoiling)
                train.spoiling = None
            self._free_again(train, now)
            self._end_now(train, now)
        if node == self.config.station:
            self._stop_listening(now)
        self.arrange(now)

    def retime(self, node: int, now: int) -> None:
        """The clock of `node` has been steered: what it does for slots to come, it does at other times."""
        events = self.world.events
        for train in (*self.trains[0], *self.trains[1]):
            if train.node == node and not train.dead:
                if train.spoiling is not None:
                    events.cancel(train.spoiling)
                    self._spoil_at(train, train.spoiler)
                if train.slots.size:
                    self._end_at(train, max(now, train.home_ps(train.slots.last)))
                self._free_again(train, now)
        listening = self.listening
        if listening is not None and listening.decision is not None:
            events.cancel(listening.decision)
            listening.decision = None
        self.arrange(now)

    # -- listens ---------------------------------------------------------------------------------------------

    def listen(self, sequence: int, command: DeviceListen, now: int) -> DeviceFailed | None:
        """A Listen of the station (DEV-13, DEV-14)."""
        row = self.row(command)
        if row is None:
            return DeviceFailed(DeviceError.BAD, 0)
        if self.listening is not None:
            return DeviceFailed(DeviceError.BUSY, 0)
        slots = row.starting(self.station.after(now))
        if not slots.size:
            self._in_vain(sequence, slots, now)
            return None
        self.listening = Listening(sequence, slots)
        # When it will be answered depends on trains that may come and go: `promise` has the bound.
        self.world.answers.expect(self.config.station, sequence, NEVER)
        self.arrange(now)
        return None

    def stop_listening(self, sequence: int, now: int) -> DeviceFailed | None:
        """A StopListen of the station (DEV-14)."""
        self._stop_listening(now)
        self.world.answers.give(self.config.station, sequence, now + LEAST_ANSWER_PS, DeviceDone())
        return None

    def _stop_listening(self, now: int) -> None:
        listening = self.listening
        if listening is not None:
            upto = self.station.upto(now - self.model.attempt_ps)
            self.hush(upto)
            self._in_vain(listening.sequence, listening.slots.ending(upto), now)

    def deafen(self, now: int) -> None:
        """The station has died before anything happened at `now`: the listen ends without an answer."""
        if self.listening is not None:
            self.hush(self.station.upto(now - 1 - self.model.attempt_ps))

    def give_up(self) -> None:
        """Event: the last slot of the listen has passed without success."""
        listening = self.listening
        assert listening is not None
        listening.decision = None
        self.hush(listening.slots.last)
        self._in_vain(listening.sequence, listening.slots, self.world.events.now)

    def hush(self, upto: int) -> None:
        """The listen is over, with its slots up to `upto`."""
        listening = self.listening
        assert listening is not None
        self.heard(upto)
        if listening.decision is not None:
            self.world.events.cancel(listening.decision)
        self.listening = None

    def _in_vain(self, sequence: int, slots: Slots, now: int) -> None:
        answer = DeviceHerald(DeviceOutcome.FAIL, slots.last if slots.size else 0)
        self.world.answers.give(self.config.station, sequence, now + LEAST_ANSWER_PS, answer)
