"""When things happen on one link: what follows from its lengths, its slots and the clocks of its nodes.

What may live here: slots and times. What is done at them is in trains.py.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from protocols.device import LEAST_ANSWER_PS
from protocols.wire.codec import DeviceListen, DeviceMeasuringTrain, DeviceTrain
from stack.runtime.times import NEVER
from testbed.plane.config import LinkConfig
from testbed.plane.darkness import Darkness
from testbed.plane.slot_clock import SlotClock
from testbed.plane.slots import Slots

if TYPE_CHECKING:
    from stack.runtime.clock import NodeClock

type TrainCommand = DeviceTrain | DeviceMeasuringTrain

_ALPHA_SCALE: Final = (1 << 32) - 1


class LinkTimes:
    """Of one link. `clocks` are those of nodes that do not show true time."""

    def __init__(self, config: LinkConfig, clocks: Mapping[int, "NodeClock"]) -> None:
        self.config = config
        self.model = config.model
        of_nodes = [clocks.get(node) for node in (config.a, config.b, config.station)]
        self.emitting = tuple(
            SlotClock(clock, config.slot_ps, lead_ps)
            for clock, lead_ps in zip(of_nodes, config.leads_ps, strict=False)
        )
        self.station = SlotClock(of_nodes[2], config.slot_ps)
        self.clocked = any(clock is not None for clock in of_nodes)
        self.darkness = Darkness(config)

    @property
    def slack_ps(self) -> int:
        """How far from the slot's time a photon can be that may herald: further off, it cannot meet its gate."""
        return min(self.config.model.parameters.window_ps, self.config.model.attempt_ps) // 2 if self.clocked else 0

    def over_ps(self, slot: int) -> int:
        """When the station knows about a slot."""
        return self.station.at(slot) + self.model.attempt_ps

    def dark(self, slot: int) -> bool:
        """Was the fibre cut, or were detectors blinded, so that a slot of the station's, now over, cannot herald?"""
        return self.darkness.covers(self.station.at(slot))

    def side(self, node: int) -> int | None:
        """0 at the end a, 1 at the end b."""
        return 0 if node == self.config.a else 1 if node == self.config.b else None

    def arm_ps(self, side: int) -> int:
        return self.config.arm_b_ps if side else self.config.arm_a_ps

    def row(self, command: TrainCommand | DeviceListen) -> Slots | None:
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

    def brightness(self, alpha: int) -> float:
        """The bright-state population that a command asks for; 0 stands for the link's own."""
        return alpha / _ALPHA_SCALE if alpha else self.model.parameters.alpha

    def wind(self, node: int, clock: "NodeClock") -> None:
        """`node`, which has shown true time, has a clock of its own from now on."""
        nodes = self.config.a, self.config.b, self.config.station
        for place, times in zip(nodes, (*self.emitting, self.station), strict=True):
            if place == node:
                times.wind(clock)
        self.clocked = True
