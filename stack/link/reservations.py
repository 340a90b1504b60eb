"""The link layer's side of the switches that its links go through.

What may live here: the driver of ``protocols.srp.node``.
"""

from collections.abc import Callable
from typing import Any

from protocols.egp.service import Reserve
from protocols.ignored import Ignored
from protocols.srp.node import Granted, NodeSrp, Refused, SwitchPort
from protocols.wire import ProtocolId, SrpDeny, SrpGrant, SrpQueued
from stack.config import NodeConfig
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel
from stack.runtime.messenger import Messenger


class Reservations:
    """Of the switched links that this node leads; ``told`` hears what comes of each."""

    def __init__(
        self, kernel: Kernel, config: NodeConfig, messenger: Messenger, told: Callable[[Granted | Refused], None]
    ) -> None:
        self._kernel = kernel
        self._told = told
        ports = {
            link.number: SwitchPort(link.station, 2 * config.paths[link.station].delay_ps)
            for link in config.links
            if link.switched and config.number == min(link.a, link.b)
        }
        self._driver = Driver(kernel, NodeSrp(ports), messenger.send, self._on_event, config.allowance_ps)
        if ports:
            messenger.register_bare(ProtocolId.SRP, self._receive)

    def reserve(self, wanted: Reserve) -> None:
        link, slots, notice_ps, deadline = wanted
        self._driver.machine.reserve(link, slots, notice_ps, deadline, self._kernel.now)
        self._driver.flush()

    def release(self, link: int) -> None:
        self._driver.machine.release(link)
        self._driver.flush()

    def _receive(self, message: Any, source: int) -> None:
        if isinstance(message, SrpQueued | SrpGrant | SrpDeny):
            self._driver.receive(message, source)
        else:
            self._kernel.count(f"ignored {type(message).__name__}")  # a node is no switch

    def _on_event(self, event: Any) -> None:
        match event:
            case Granted(link=link, first_slot=first_slot, slots=slots):
                self._kernel.event("link", "granted", link=link, first_slot=first_slot, slots=slots)
                self._told(event)
            case Refused(link=link, reason=reason):
                why = "SILENT" if reason is None else reason.name
                self._kernel.event("link", "refused", link=link, reason=why)
                self._told(event)
            case Ignored(message=message):
                self._kernel.count(f"ignored {message}")
            case _:
                raise AssertionError(f"{event} is no event of NodeSrp")
