"""The node's clock, kept by TTP: timestamps at the NIC, steering of the kernel's clock and of the devices'.

What may live here: the driver of ``protocols.ttp``.
"""

from collections.abc import Callable
from typing import Any

from protocols.ignored import Ignored
from protocols.machine import Send
from protocols.ttp import Exchange, Steer, TimeState, Ttp, Turned
from protocols.wire import DeviceFailed, DeviceSteer, ProtocolId, TtpRequest, TtpResponse
from stack.config import NodeConfig, TimeKeeping
from stack.physical.devices import Devices
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel
from stack.runtime.nic import Nic
from stack.runtime.oscillator import Gauss

_SLACK_PS = 1_000
_SIGMAS = 12
"""An exchange has four timestamps, and is compared with the quickest of a few."""


class TimeKeeper:
    """Asks the node's time server if it has one, and answers its neighbours.

    ``ready`` is called once, when the network opens and the clock has settled (the master's always has), or when nobody
    tells the time.
    """

    def __init__(
        self, kernel: Kernel, config: NodeConfig, time: TimeKeeping, nic: Nic, ready: Callable[[], None]
    ) -> None:
        self._kernel = kernel
        self._nic = nic
        self._ready: Callable[[], None] | None = ready
        self._devices = Devices(kernel) if config.links else None
        self._noise_ps = time.timestamp_noise_ps
        self._stamps = Gauss("timestamp", config.seed, config.number, config.incarnation)
        self._stamped = 0
        slack_ps = _SLACK_PS + round(_SIGMAS * time.timestamp_noise_ps)
        machine = Ttp(time.server, time.interval_ps, slack_ps, config.incarnation, kernel.node_time(config.start_ps))
        self._driver = Driver(kernel, machine, self._transmit, self._on_event)
        self._patience_ps = time.patience_ps
        self._opens_ps = time.opens_ps
        nic.handlers[ProtocolId.TTP] = self._receive

    def start(self) -> None:
        """To be called when the node boots."""
        if self._driver.machine.serves:
            self._come_up()
            return
        self._kernel.after(self._patience_ps, self._give_up)
        self._driver.flush()

    def _stamp(self) -> int:
        """What the NIC takes for the time: the clock's, with the noise of a timestamp."""
        self._stamped += 1
        noise = round(self._noise_ps * self._stamps.draw(self._stamped)) if self._noise_ps else 0
        return max(0, self._kernel.now + noise)

    def _receive(self, message: Any, source: int) -> None:
        self._driver.machine.receive(message, source, self._stamp())
        self._driver.flush()

    def _transmit(self, send: Send) -> None:
        message, stamp = send.message, self._stamp()
        if isinstance(message, TtpResponse):
            message = message._replace(sent=stamp)  # as it passes the NIC
        self._nic.send(send.destination, message)
        if isinstance(message, TtpRequest):
            self._driver.machine.stamped(message.sequence, stamp)

    def _on_event(self, event: Any) -> None:
        kernel = self._kernel
        match event:
            case Exchange(offset_ps, delay_ps, used):
                kernel.event("time", "exchange", offset_ps=offset_ps, delay_ps=delay_ps, used=used)
                self._count(offset_ps, used)
            case Steer(step_ps, rate):
                kernel.steer(step_ps, rate)
                if self._devices is not None:
                    self._devices.steer(DeviceSteer(step_ps, rate), self._steered)
            case Turned(state):
                kernel.event("time", state.name.lower())
                if state is TimeState.TRACKING:
                    self._come_up()
            case Ignored(message=message):
                kernel.count(f"ignored {message}")
            case _:
                raise AssertionError(f"{event} is no event of Ttp")

    def _steered(self, answer: Any) -> None:
        if isinstance(answer, DeviceFailed):
            raise RuntimeError(f"node {self._kernel.name}: its devices have a clock of their own")

    def _count(self, offset_ps: int, used: bool) -> None:
        """What the node itself believes of its clock, once it has settled."""
        if used and self._driver.machine.state is TimeState.TRACKING:
            seen = self._kernel.results.setdefault("time", [0, 0])
            seen[0] += 1
            seen[1] += offset_ps**2

    def _give_up(self) -> None:
        if self._ready is not None:
            self._kernel.event("time", "nobody tells it")
            self._come_up()

    def _come_up(self) -> None:
        kernel = self._kernel
        if self._ready is not None and kernel.now < self._opens_ps:
            kernel.at(self._opens_ps, self._come_up)
            return
        ready, self._ready = self._ready, None
        if ready is not None:
            ready()
