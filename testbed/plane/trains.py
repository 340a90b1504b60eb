"""Attempt trains and listens on one heralded link: who emits when, what that does to qubits, when it ends.

What may live here: the bookkeeping common to both grades of a link. Which slot succeeds is heralds.py's
business.

A train is a row of slots, a listen another, so that neither costs more for being long. Only what changes
something is an event: the first emission (it destroys what the qubit held), the first emission after a
success (it destroys that half), the time when the last herald could be back, the decision of a listen.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from protocols.device import LEAST_ANSWER_PS
from protocols.measuring import BASES, Measure, basis_at
from protocols.wire.codec import (
    DeviceDone,
    DeviceError,
    DeviceFailed,
    DeviceHerald,
    DeviceListen,
    DeviceMeasuringTrain,
    DeviceOutcome,
    DeviceRemembered,
    DeviceTrain,
    DeviceTrainDone,
    EgpBasis,
    EgpMeasuring,
)
from stack.runtime.times import NEVER
from testbed.keyed import keyed_generator
from testbed.plane.config import LinkConfig
from testbed.plane.devices import Device, Qubit
from testbed.plane.events import Answers, Events, priority
from testbed.plane.links import Arrivals, Herald
from testbed.plane.links.timing import turned
from testbed.plane.measured import both, effects, is_turned, one
from testbed.plane.programs import spoil
from testbed.plane.simulator import Event
from testbed.plane.slot_clock import SlotClock
from testbed.plane.slots import NO_SLOTS, Slots
from testbed.plane.state import StateEngine
from testbed.plane.state.gates import Complex

if TYPE_CHECKING:
    from stack.runtime.clock import NodeClock
    from testbed.plane.oracle import HeraldedPair, HeraldLog

_ALPHA_SCALE: Final = (1 << 32) - 1

REMEMBERED: Final = 1_024
"""Results of heralded emissions that a device keeps per link."""


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


type TrainCommand = DeviceTrain | DeviceMeasuringTrain


class Train:
    """One node's emissions on one link. `slots` shrinks when the train is stopped; it never grows."""

    __slots__ = (
        "alpha",
        "arm_ps",
        "dead",
        "device",
        "ended",
        "freed",
        "freeing",
        "key",
        "lead_ps",
        "link",
        "measure",
        "node",
        "over",
        "pair",
        "qubit",
        "sequence",
        "shift",
        "side",
        "slots",
        "spoiler",
        "spoiling",
        "stops",
        "times",
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
        measure: Measure | None = None,
    ) -> None:
        self.measure = measure
        """How the half is measured after each emission; None: it is kept."""
        self.freed = False
        """It measures, and its qubit is free again; photons may still be on their way."""
        self.freeing: Event | None = None
        self.ended = False
        """No herald of it can come any more."""
        self.link = link
        self.node = node
        self.side = side
        self.device = device
        self.qubit = qubit
        self.key = qubit.key
        self.sequence = sequence
        self.slots = slots
        """As the node numbers them."""
        self.alpha = alpha
        self.times = link.emitting[side]
        self.arm_ps = link.arm_ps(side)
        self.lead_ps = link.config.leads_ps[side]
        self.shift = 0
        """What the station calls slot k of the node is k plus this: clocks may differ by many slots."""
        if slots.size and link.clocked:
            self.shift = link.station.nearest(self.emission_ps(slots.first) + self.lead_ps) - slots.first
        self.stops: list[int] = []
        """Sequences of the StopTrains that wait for its end."""
        self.dead = False
        """Its node has died; photons that are on the way still arrive."""
        self.pair: HeraldedPair | None = None
        """The oracle's record of the pair whose half the qubit holds."""
        self.spoiling: Event | None = None
        self.spoiler = 0
        """The slot whose emission that is."""
        self.over: Event | None = None

    @property
    def at_station(self) -> Slots:
        """Its slots as the station numbers them."""
        return self.slots.shifted(self.shift) if self.shift else self.slots

    def emission_ps(self, slot: int) -> int:
        """When the node emits for a slot of its own count."""
        return self.times.at(slot)

    def emitted(self, now: int) -> int:
        """Emissions so far; one at `now` has happened."""
        return self.slots.upto(self.times.upto(now))

    def cut(self, now: int) -> None:
        """No emission later than `now`."""
        self.slots = self.slots.ending(self.times.upto(now))

    def measuring_ps(self) -> int:
        """From an emission until its half has been measured, if it is measured."""
        if self.measure is None:
            return 0
        how, durations = self.measure.how, self.device.model.durations
        turned = any(is_turned(how, basis) for basis in BASES[how.bases])
        return durations.measure_ps + (durations.one_qubit_ps if turned else 0)

    def measured_ps(self) -> int:
        """When its last half has been measured; it must have emissions."""
        return self.emission_ps(self.slots.last) + self.measuring_ps()

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
        self.rng = keyed_generator(world.seed, "measured", number)
        self.remembered: tuple[dict[int, tuple[int, EgpBasis]], ...] = ({}, {})
        """What each side has measured at heralded slots, oldest first."""
        self.coming: dict[tuple[int, int], int] = {}
        """Trains not yet executed, by (node, sequence): when the earliest herald of each could be due."""
        clocks = [world.clocks.get(node) for node in (config.a, config.b, config.station)]
        self.emitting = tuple(
            SlotClock(clock, config.slot_ps, lead_ps)
            for clock, lead_ps in zip(clocks, config.leads_ps, strict=False)
        )
        self.station = SlotClock(clocks[2], config.slot_ps)
        self.clocked = any(clock is not None for clock in clocks)
        self._dark = config.dark_ps
        # A photon further off has no chance to meet its gate.
        gate_ps = min(config.model.parameters.window_ps, config.model.attempt_ps) // 2
        self.slack_ps = gate_ps if self.clocked else 0
        """How far a photon that may herald can be from the slot's time."""

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
        return self.station.at(slot) + self.model.attempt_ps

    def home_ps(self, train: Train, slot: int) -> int:
        """When a node could know about a slot: the station's device says it 1 ns after knowing.

        Reckoned from its own emission: nothing that happens to the station's clock changes when a train is over.
        """
        flights = train.lead_ps + train.arm_ps + self.slack_ps
        return train.emission_ps(slot) + flights + self.model.attempt_ps + LEAST_ANSWER_PS

    def dark(self, slot: int) -> bool:
        """Is the fibre cut, or are the detectors blinded, so that nothing can herald in a slot of the station's?"""
        if not self._dark:
            return False
        at = self.station.at(slot)
        return any(start < at < end for start, end in self._dark)

    def births_ps(self, train_a: Train, train_b: Train, slot: int) -> tuple[int, int]:
        """When the halves of a pair of that slot came to be."""
        if self.model.parameters.abort:  # in the round before; the model reckons with a slot, trains may skip some
            slot -= self.common(train_a, train_b).spacing - 1
        at = self.station.at(slot)
        a, b = self.model.births_ps
        return at + a, at + b

    def side(self, node: int) -> int | None:
        """0 at the end a, 1 at the end b."""
        return 0 if node == self.config.a else 1 if node == self.config.b else None

    def arm_ps(self, side: int) -> int:
        return self.config.arm_b_ps if side else self.config.arm_a_ps

    def row(self, command: "TrainCommand | DeviceListen") -> Slots | None:
        """The slots a command names; None if there are none, or if they reach beyond the end of time."""
        count = int(command.count)
        if count < 1 or (count > 1 and command.spacing < 1):
            return None
        slots = Slots(command.first_slot, command.spacing if count > 1 else 1, count)
        flight_ps = max(self.config.arm_a_ps, self.config.arm_b_ps)
        over_ps = slots.last * self.config.slot_ps + self.model.attempt_ps + flight_ps
        return slots if over_ps < NEVER // 2 else None

    def emittable(self, slots: Slots, side: int, now: int) -> Slots:
        """Those whose emission is not past (DEV-10)."""
        return slots.starting(self.emitting[side].after(now))

    def earliest_herald_ps(self, row: Slots, side: int, now: int) -> int:
        """No herald of a train with these slots, commanded at `now`, is due before; NEVER if it emits for none."""
        slots = self.emittable(row, side, now)
        if not slots.size:
            return NEVER
        if not self.clocked:
            return self.over_ps(slots.first) + LEAST_ANSWER_PS
        # The clocks may be steered before it begins, so that only the flight is certain.
        flight_ps = self.config.leads_ps[side] - self.slack_ps
        return now + flight_ps + self.model.attempt_ps + LEAST_ANSWER_PS

    def arrivals(self, a: Train, b: Train, slot: int) -> Arrivals | None:
        """When the photons for a slot of the station come, None if one has no chance to meet its gate."""
        due = self.station.at(slot)
        late = [train.emission_ps(slot - train.shift) + train.lead_ps - due for train in (a, b)]
        return Arrivals(*late) if max(map(abs, late)) <= self.slack_ps else None

    def brightness(self, alpha: int) -> float:
        """The bright-state population that a command asks for; 0 stands for the link's own."""
        return alpha / _ALPHA_SCALE if alpha else self.model.parameters.alpha

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
        self, node: int, side: int, qubit: Qubit, sequence: int, command: "TrainCommand", now: int
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
        self._end_at(train, self.home_ps(train, slots.last))
        if measure is not None:
            self._free_at(train, train.measured_ps())
        self.arrange(now)
        return None

    def recall(self, side: int, slot: int) -> DeviceRemembered:
        """What was measured after the emission for a slot (DEV-16)."""
        known = self.remembered[side].get(slot)
        return DeviceRemembered(0, 0, EgpBasis.Z) if known is None else DeviceRemembered(1, *known)

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
        home = self.home_ps(train, train.slots.last) if train.slots.size else now
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
            self._measure(a, b, slot, state, births)
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

    def _measure(self, a: Train, b: Train, slot: int, state: Complex, births: tuple[int, int]) -> None:
        """One half, or both, of a heralded pair have been measured after their emission."""
        seen: list[tuple[Complex, Complex] | None] = [None, None]
        bases = [EgpBasis.Z, EgpBasis.Z]
        for side, train in enumerate((a, b)):
            if train.measure is not None:
                bases[side] = basis_at(train.measure, slot)
                seen[side] = effects(train.device, train.measure.how, bases[side])
        if seen[0] is not None and seen[1] is not None:
            bits: tuple[int, ...] = both(state, seen[0], seen[1], self.rng)
        else:
            side = 0 if seen[0] is not None else 1
            effect = seen[side]
            assert effect is not None
            bit, left = one(state, side, effect, self.rng)
            bits = (bit, bit)
            keeper = b if side == 0 else a
            # A heralded state is put in by pairs: the partner here is a qubit of nobody's, gone at once.
            engine, born = self.world.engine, births[1 - side]
            nobody = engine.new_qubit(born)
            mixed = np.kron(np.eye(2) / 2, left).astype(np.complex128)
            engine.set_pair(nobody, keeper.key, mixed, born, born)
            engine.remove(nobody)
        for side in (0, 1):
            if seen[side] is not None:
                results = self.remembered[side]
                results[slot] = bits[side], bases[side]
                if len(results) > REMEMBERED:
                    del results[next(iter(results))]

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
                    self._end_at(train, max(now, self.home_ps(train, train.slots.last)))
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
