"""Attempt trains and listens on one heralded link: who emits when, what that does to qubits, when it ends.

What may live here: the bookkeeping common to both grades of a link. Which slot succeeds is heralds.py's
business.

A train is a row of slots, a listen another, so that neither costs more for being long. Only what changes
something is an event: the first emission (it destroys what the qubit held), the first emission after a
success (it destroys that half), the time when the last herald could be back, the decision of a listen.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sequence.kernel.event import Event

from protocols.device import LEAST_ANSWER_PS
from protocols.wire.codec import (
    DeviceDone,
    DeviceError,
    DeviceFailed,
    DeviceHerald,
    DeviceListen,
    DeviceOutcome,
    DeviceTrain,
    DeviceTrainDone,
)
from stack.runtime.times import NEVER
from testbed.plane.config import LinkConfig
from testbed.plane.devices import Device, Qubit
from testbed.plane.events import Answers, Events, priority
from testbed.plane.links import Herald
from testbed.plane.programs import spoil
from testbed.plane.slots import Slots
from testbed.plane.state import StateEngine

if TYPE_CHECKING:
    from testbed.plane.oracle import HeraldedPair, HeraldLog

_ALPHA_SCALE: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class World:
    """What every link works on."""

    events: Events
    answers: Answers
    engine: StateEngine
    devices: dict[int, Device]
    log: "HeraldLog | None"


class Train:
    """One node's emissions on one link. `slots` shrinks when the train is stopped; it never grows."""

    __slots__ = (
        "alpha",
        "arm_ps",
        "dead",
        "device",
        "key",
        "link",
        "node",
        "over",
        "pair",
        "qubit",
        "sequence",
        "side",
        "slot_ps",
        "slots",
        "spoiling",
        "stops",
    )

    def __init__(
        self,
        link: "Link",
        node: int,
        side: int,
        device: Device,
        qubit: Qubit,
        sequence: int,
        slots: Slots,
        alpha: float,
    ) -> None:
        self.link = link
        self.node = node
        self.side = side
        self.device = device
        self.qubit = qubit
        self.key = qubit.key
        self.sequence = sequence
        self.slots = slots
        self.alpha = alpha
        self.slot_ps = link.config.slot_ps
        self.arm_ps = link.arm_ps(side)
        self.stops: list[int] = []
        """Sequences of the StopTrains that wait for its end."""
        self.dead = False
        """Its node has died; photons that are on the way still arrive."""
        self.pair: HeraldedPair | None = None
        """The oracle's record of the pair whose half the qubit holds."""
        self.spoiling: Event | None = None
        self.over: Event | None = None

    def emission_ps(self, slot: int) -> int:
        return slot * self.slot_ps - self.arm_ps

    def emitted(self, now: int) -> int:
        """Emissions so far; one at `now` has happened."""
        return self.slots.upto((now + self.arm_ps) // self.slot_ps)

    def cut(self, now: int) -> None:
        """No emission later than `now`."""
        self.slots = self.slots.ending((now + self.arm_ps) // self.slot_ps)

    def summary(self) -> DeviceTrainDone:
        return DeviceTrainDone(self.slots.size, self.slots.last if self.slots.size else 0)


@dataclass(slots=True)
class Listening:
    """The station looks at these slots; `sequence` of its Listen."""

    sequence: int
    slots: Slots
    decision: Event | None = None
    """The event that will end it, if nothing changes."""


class Link(ABC):
    """One link at work. Its commands have been checked for all that has nothing to do with the link."""

    def __init__(self, number: int, config: LinkConfig, world: World) -> None:
        self.number = number
        self.config = config
        self.model = config.model
        self.world = world
        self.trains: tuple[list[Train], list[Train]] = ([], [])
        self.listening: Listening | None = None
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

    # -- times -----------------------------------------------------------------------------------------------

    def over_ps(self, slot: int) -> int:
        """When the station knows about a slot."""
        return slot * self.config.slot_ps + self.model.attempt_ps

    def home_ps(self, slot: int, arm_ps: int) -> int:
        """When a node could know about a slot: the station's device says it 1 ns after knowing."""
        return self.over_ps(slot) + LEAST_ANSWER_PS + arm_ps

    def births_ps(self, slot: int) -> tuple[int, int]:
        """When the halves of a pair of that slot came to be."""
        at = slot * self.config.slot_ps
        a, b = self.model.births_ps
        return at + a, at + b

    def side(self, node: int) -> int | None:
        """0 at the end a, 1 at the end b."""
        return 0 if node == self.config.a else 1 if node == self.config.b else None

    def arm_ps(self, side: int) -> int:
        return self.config.arm_b_ps if side else self.config.arm_a_ps

    def row(self, command: DeviceTrain | DeviceListen) -> Slots | None:
        """The slots a command names; None if there are none, or if they reach beyond the end of time."""
        count = int(command.count)
        if count < 1 or (count > 1 and command.spacing < 1):
            return None
        slots = Slots(command.first_slot, command.spacing if count > 1 else 1, count)
        return slots if self.home_ps(slots.last, max(self.arm_ps(0), self.arm_ps(1))) < NEVER // 2 else None

    def emittable(self, slots: Slots, side: int, now: int) -> Slots:
        """Those whose emission is not past (DEV-10)."""
        return slots.starting(-(-(now + self.arm_ps(side)) // self.config.slot_ps))

    def brightness(self, alpha: int) -> float:
        """The bright-state population that a command asks for; 0 stands for the link's own."""
        return alpha / _ALPHA_SCALE if alpha else self.model.parameters.alpha

    def promise(self) -> int:
        """No herald of the listen that lasts is due before this."""
        if self.listening is None:
            return NEVER
        return min(self.decided_ps() + LEAST_ANSWER_PS, min(self.coming.values(), default=NEVER))

    def common(self, a: Train, b: Train) -> Slots:
        """Slots in which both emit, as bright as each other (as far as this link can tell)."""
        success = self.model.success_probability
        if a.alpha != b.alpha and success(a.alpha) != success(b.alpha):
            return Slots(0, 1, 0)
        return a.slots.meet(b.slots)

    # -- trains ----------------------------------------------------------------------------------------------

    def start(
        self, node: int, side: int, qubit: Qubit, sequence: int, command: DeviceTrain, now: int
    ) -> DeviceFailed | None:
        """A Train whose qubit is free (DEV-10, DEV-11)."""
        world = self.world
        row = self.row(command)
        if row is None or qubit.stores:
            return DeviceFailed(DeviceError.BAD, 0)
        slots = self.emittable(row, side, now)
        if any(slots.meet(other.slots).size for other in self.trains[side]):
            return DeviceFailed(DeviceError.BUSY, 0)
        device = world.devices[node]
        train = Train(self, node, side, device, qubit, sequence, slots, self.brightness(command.alpha))
        if not slots.size:
            world.answers.give(node, sequence, now + LEAST_ANSWER_PS, train.summary())
            return None
        qubit.train = train
        device.trains.append(train)
        self.trains[side].append(train)
        self._spoil_at(train, slots.first)
        self._end_at(train, self.home_ps(slots.last, train.arm_ps))
        self.arrange(now)
        return None

    def stop(self, train: Train, sequence: int, now: int) -> None:
        """A StopTrain for a train of this link (DEV-12)."""
        train.stops.append(sequence)
        self._cut(train, now, now)

    def die(self, train: Train, now: int) -> None:
        """The node has died before anything happened at `now`; what it has emitted is on its way."""
        train.dead = True
        train.stops.clear()
        self._spoil(train, now)
        self._cut(train, now - 1, now)

    def _cut(self, train: Train, last_emission: int, now: int) -> None:
        train.cut(last_emission)
        if train.spoiling is not None and train.spoiling.time > last_emission:
            self.world.events.cancel(train.spoiling)
            train.spoiling = None
        home = self.home_ps(train.slots.last, train.arm_ps) if train.slots.size else now
        if home <= now:
            if train.over is not None:
                self.world.events.cancel(train.over)
            self._expect(train, now)
            self.end(train)
        else:
            self._end_at(train, home)
        self.arrange(now)

    def _end_at(self, train: Train, time: int) -> None:
        events = self.world.events
        if train.over is not None:
            events.cancel(train.over)
        train.over = events.at(time, priority(train.node, train.sequence), self, "end", train)
        self._expect(train, time)

    def _expect(self, train: Train, end: int) -> None:
        if not train.dead:
            for sequence in (train.sequence, *train.stops):
                self.world.answers.expect(train.node, sequence, end + LEAST_ANSWER_PS)

    def end(self, train: Train) -> None:
        """Event: the herald of the last emission could be back."""
        self.trains[train.side].remove(train)
        train.device.trains.remove(train)
        train.device.emitted += train.slots.size
        self.forget(train)
        if train.dead:
            self.world.engine.remove(train.key)
            return
        train.qubit.train = None
        due = self.world.events.now + LEAST_ANSWER_PS
        for sequence in (train.sequence, *train.stops):
            self.world.answers.give(train.node, sequence, due, train.summary())

    # -- what emissions and heralds do to qubits -------------------------------------------------------------

    def _spoil_at(self, train: Train, slot: int) -> None:
        time = train.emission_ps(slot)
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

    def succeed(self, a: Train, b: Train, slot: int, herald: Herald, now: int) -> None:
        """A slot of the listen has heralded: each half has decayed since it came to be (DEV-13)."""
        listening = self.listening
        assert listening is not None
        assert now == self.over_ps(slot)
        world = self.world
        index, state = herald
        births = self.births_ps(slot)
        world.engine.set_pair(a.key, b.key, state, *births)
        pair = None
        if world.log is not None:
            homes = self.home_ps(slot, a.arm_ps), self.home_ps(slot, b.arm_ps)
            pair = world.log.heralded(self.number, slot, index, (a, b), state, births, homes)
        for train in (a, b):
            train.pair = pair
            following = train.slots.after(slot)
            if train.dead:
                self._spoil(train, now)
            elif following is not None and train.emission_ps(following) <= now:
                self._spoil(train, train.emission_ps(following))
            elif following is not None:
                self._spoil_at(train, following)
        self.hush(slot)
        answer = DeviceHerald(DeviceOutcome(index - 1), slot)
        world.answers.give(self.config.station, listening.sequence, now + LEAST_ANSWER_PS, answer)

    # -- listens ---------------------------------------------------------------------------------------------

    def listen(self, sequence: int, command: DeviceListen, now: int) -> DeviceFailed | None:
        """A Listen of the station (DEV-13, DEV-14)."""
        row = self.row(command)
        if row is None:
            return DeviceFailed(DeviceError.BAD, 0)
        if self.listening is not None:
            return DeviceFailed(DeviceError.BUSY, 0)
        slots = row.starting(-(-now // self.config.slot_ps))
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
        listening = self.listening
        if listening is not None:
            upto = (now - self.model.attempt_ps) // self.config.slot_ps
            self.hush(upto)
            self._in_vain(listening.sequence, listening.slots.ending(upto), now)
        self.world.answers.give(self.config.station, sequence, now + LEAST_ANSWER_PS, DeviceDone())
        return None

    def deafen(self, now: int) -> None:
        """The station has died before anything happened at `now`: the listen ends without an answer."""
        if self.listening is not None:
            self.hush((now - 1 - self.model.attempt_ps) // self.config.slot_ps)

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
