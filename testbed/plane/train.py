"""A train of attempts: one node's emissions on one link.

What may live here: which slots it has, when it emits, measures and is over. What its emissions do is in trains.py.
"""

from protocols.device import LEAST_ANSWER_PS
from protocols.measuring import BASES, Measure
from protocols.wire.codec import DeviceTrainDone
from testbed.plane.devices import Device, Qubit
from testbed.plane.link_times import LinkTimes
from testbed.plane.measured import is_turned
from testbed.plane.pairs import HeraldedPair
from testbed.plane.simulator import Event
from testbed.plane.slots import Slots


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
        link: LinkTimes,
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

    def home_ps(self, slot: int) -> int:
        """When a node could know about a slot: the station's device says it 1 ns after knowing.

        Reckoned from its own emission: nothing that happens to the station's clock changes when a train is over.
        """
        flights = self.lead_ps + self.arm_ps + self.link.slack_ps
        return self.emission_ps(slot) + flights + self.link.model.attempt_ps + LEAST_ANSWER_PS

    def summary(self) -> DeviceTrainDone:
        return DeviceTrainDone(self.slots.size, self.slots.last if self.slots.size else 0)
