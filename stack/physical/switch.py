"""The physical layer at a switch: a station whose links share a pool of analysers, granted train by train.

What may live here: the driver of ``protocols.srp.switch.SwitchSrp``, and how a train waits for its light to pass.
"""

from typing import Any

from protocols.ignored import Ignored
from protocols.mhp.station import Arm, Disarm
from protocols.srp.policy import POLICIES
from protocols.srp.switch import Connect, GrantEnded, SwitchFacts, SwitchLink, SwitchSrp, Withdraw
from protocols.wire import (
    DeviceDone,
    DeviceError,
    DeviceFailed,
    DeviceHerald,
    DeviceOutcome,
    ProtocolId,
    SrpReady,
    SrpRelease,
    SrpReserve,
)
from stack.config import NodeConfig
from stack.physical.station import Station
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel
from stack.runtime.messenger import Messenger


class Switch(Station):
    """A station that listens to a link only while the link has a grant, and an analyser is set on it."""

    def __init__(self, kernel: Kernel, config: NodeConfig, messenger: Messenger) -> None:
        super().__init__(kernel, config, messenger)
        switch = config.switch
        assert switch is not None
        links = {
            link.number: SwitchLink((link.a, link.b), link.slot_ps, link.attempt_ps)
            for link in config.links
            if link.station == config.number
        }
        facts = SwitchFacts(switch.analysers, switch.reconfigure_ps, switch.longest_grant_ps, switch.stay_ps)
        self._grants = Driver(
            kernel,
            SwitchSrp(links, facts, POLICIES[switch.policy]()),
            messenger.send,
            self._on_grant,
            allowance_ps=config.allowance_ps,
        )
        self._own = frozenset(links)
        self._connected: dict[int, Connect] = {}
        """Of the grants that last: those to whose link light can pass."""
        self._connecting: dict[int, Connect] = {}
        self._trains: dict[int, Arm] = {}
        """Those that have come, one per link that has a grant."""
        self._early: set[int] = set()
        """Links whose train has come before light can pass."""
        # Picoseconds: from the first reservation to the end of the last grant; and what each link had, by number.
        self._tally: dict[str, Any] = {"since_ps": None, "until_ps": 0, "links": {}}
        kernel.results["switch"] = self._tally
        messenger.register_bare(ProtocolId.SRP, self._receive_reservation)
        messenger.register(ProtocolId.SRP, self._receive_ready)
        messenger.on_broken(self._lost)

    def _receive_ready(self, message: Any, source: int) -> None:
        if isinstance(message, SrpReady):
            self._grants.receive(message, source)
        else:
            self._kernel.count(f"ignored {type(message).__name__}")

    def _counted(self, link: int) -> dict[str, Any]:
        """What this link had: there from its first reservation on, whatever comes of that."""
        blank = {"grants": 0, "used": 0, "held_ps": 0, "lit_ps": 0, "waited_ps": []}
        tally: dict[str, Any] = self._tally["links"].setdefault(str(link), blank)
        return tally

    def _lost(self, node: int) -> None:
        self._grants.machine.lost(node, self._kernel.now)
        self._grants.flush()

    def _receive_reservation(self, message: Any, source: int) -> None:
        if isinstance(message, SrpReserve | SrpRelease):
            if isinstance(message, SrpReserve) and message.link in self._own:
                self._counted(message.link)
            if self._tally["since_ps"] is None:
                self._tally["since_ps"] = self._kernel.now
            self._grants.receive(message, source)
        else:
            self._kernel.count(f"ignored {type(message).__name__}")  # a switch asks for nothing

    # What the station wants.

    def _on_event(self, event: Any) -> None:
        super()._on_event(event)
        if isinstance(event, Disarm):
            self._train_ended(event.link, success=False)

    def _listen(self, arm: Arm) -> None:
        if arm.link in self._trains:  # it goes on behind a success
            self._trains[arm.link] = arm
            super()._listen(arm)
            return
        last_slot = arm.first_slot + (arm.count - 1) * arm.spacing
        if not self._grants.machine.train_comes(arm.link, arm.first_slot, last_slot, self._kernel.now):
            self._refuse(arm, "no grant")  # SRP-9
            return
        self._trains[arm.link] = arm
        if arm.link in self._connected:
            super()._listen(arm)
        else:
            self._early.add(arm.link)

    def _heard(self, arm: Arm, answer: DeviceHerald | DeviceFailed) -> None:
        known = self._trains.get(arm.link) is arm
        super()._heard(arm, answer)
        success = isinstance(answer, DeviceHerald) and answer.outcome != DeviceOutcome.FAIL
        if self._trains.get(arm.link) is arm:
            self._train_ended(arm.link, success)
        elif known and success and arm.link in self._trains:
            self._grants.machine.train_heralds(arm.link, self._kernel.now)
            self._grants.flush()

    def _train_ended(self, link: int, success: bool) -> None:
        self._trains.pop(link, None)
        self._early.discard(link)
        self._grants.machine.train_ends(link, success, self._kernel.now)
        self._grants.flush()

    def _refuse(self, arm: Arm, why: str) -> None:
        self._kernel.event("switch", "train refused", link=arm.link, why=why)
        self._driver.machine.failed(arm, self._kernel.now)
        self._driver.flush()

    # What the reservations want.

    def _on_grant(self, event: Any) -> None:
        match event:
            case Connect(link=link, analyser=analyser):
                self._kernel.event("switch", "connect", link=link, analyser=analyser)
                self._connecting[link] = event
                self._devices.connect(link, analyser, lambda answer: self._set(event, answer))
            case Withdraw(link=link):
                self._kernel.event("switch", "withdraw", link=link)
                arm = self._trains.pop(link)
                if link in self._early:
                    self._early.discard(link)
                    self._refuse(arm, "withdrawn")
                else:
                    self._devices.stop_listen(link)
            case GrantEnded(link=link):
                self._connected.pop(link, None)
                self._connecting.pop(link, None)
                self._ended(event)
            case Ignored(message=message):
                self._kernel.count(f"ignored {message}")
            case _:
                raise AssertionError(f"{event} is no event of SwitchSrp")

    def _set(self, connect: Connect, answer: DeviceDone | DeviceFailed) -> None:
        """The device has set a link on its analyser, unless it has been told otherwise since."""
        link = connect.link
        if isinstance(answer, DeviceFailed):
            raise AssertionError(f"{connect} is refused: {DeviceError(answer.error).name}")
        if self._connecting.get(link) is not connect:
            return
        self._connected[link] = self._connecting.pop(link)
        if link in self._early:
            self._early.discard(link)
            super()._listen(self._trains[link])

    def _ended(self, ended: GrantEnded) -> None:
        self._kernel.event(
            "switch",
            "grant ended",
            link=ended.link,
            waited_ps=ended.waited_ps,
            held_ps=ended.held_ps,
            used=ended.used,
        )
        self._tally["until_ps"] = self._kernel.now
        tally = self._counted(ended.link)
        tally["grants"] += 1
        tally["used"] += ended.used
        tally["held_ps"] += ended.held_ps
        tally["lit_ps"] += ended.lit_ps
        tally["waited_ps"].append(ended.waited_ps)
