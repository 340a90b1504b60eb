"""The physical layer at a heralding station: MHP's other side, and the detectors.

What may live here: the driver of ``protocols.mhp.station.StationMhp``.
"""

from typing import Any

from protocols.ignored import Ignored
from protocols.mhp.station import Arm, Disarm, StationLink, StationMhp
from protocols.wire import DeviceFailed, DeviceHerald, DeviceListen, MhpGen, MhpOutcome, ProtocolId
from stack.config import NodeConfig
from stack.physical.devices import Devices
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel
from stack.runtime.messenger import Messenger

FIRST_SEQUENCES = 4096
"""Successes that a station may have had in an earlier life, and that its sequence therefore skips (see below)."""


class Station:
    """Serves every link whose midpoint is here."""

    def __init__(self, kernel: Kernel, config: NodeConfig, messenger: Messenger) -> None:
        self._kernel = kernel
        self._devices = Devices(kernel)
        links = {
            link.number: StationLink((link.a, link.b), link.slot_ps)
            for link in config.links
            if link.station == config.number
        }
        # A restarted station has forgotten its sequence; the nodes have not.  Each life begins elsewhere.
        first = (config.incarnation - 1) * FIRST_SEQUENCES
        self._driver = Driver(
            kernel,
            StationMhp(links, first_sequence=first, born_ps=kernel.node_time(config.start_ps)),
            messenger.send,
            self._on_event,
            allowance_ps=config.allowance_ps,
        )
        messenger.register_bare(ProtocolId.MHP, self._receive)

    def _receive(self, message: Any, source: int) -> None:
        if isinstance(message, MhpGen):
            self._driver.receive(message, source)
        else:
            self._kernel.count(f"ignored {type(message).__name__}")  # a station emits nothing

    def _on_event(self, event: Any) -> None:
        if isinstance(event, Arm):
            self._listen(event)
        elif isinstance(event, Disarm):
            self._devices.stop_listen(event.link)
        elif isinstance(event, Ignored):
            self._kernel.count(f"ignored {event.message}")
        else:
            raise AssertionError(f"{event} is no event of StationMhp")

    def _listen(self, arm: Arm) -> None:
        command = DeviceListen(arm.link, arm.first_slot, arm.spacing, arm.count)
        self._devices.listen(command, lambda answer: self._heard(arm, answer))

    def _heard(self, arm: Arm, answer: DeviceHerald | DeviceFailed) -> None:
        if isinstance(answer, DeviceFailed):
            # Slots that no device can look at: two nodes have agreed on them, so the fault is theirs.
            self._kernel.event("physical", "listen refused", link=arm.link, error=int(answer.error))
            self._driver.machine.failed(arm, self._kernel.now)
        else:
            outcome = MhpOutcome(answer.outcome)
            self._kernel.event("physical", "heralded", link=arm.link, outcome=int(outcome), slot=answer.slot)
            self._driver.machine.heralded(arm, outcome, answer.slot, self._kernel.now)
        self._driver.flush()
