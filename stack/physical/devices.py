"""The node's side of the device bus: programs, trains and heralds as calls.

What may live here: one command, one answer.  Rules about when to use them belong to the layers.
"""

from collections.abc import Callable
from typing import Any

from protocols.device import Program
from protocols.wire import (
    DeviceBits,
    DeviceConnect,
    DeviceDone,
    DeviceError,
    DeviceFailed,
    DeviceHerald,
    DeviceListen,
    DeviceMeasuringTrain,
    DeviceRecall,
    DeviceRemembered,
    DeviceSteer,
    DeviceStopListen,
    DeviceStopTrain,
    DeviceTrain,
    DeviceTrainDone,
)
from stack.runtime.kernel import Kernel

_ANSWERS: dict[int, Any] = {
    m.MESSAGE: m for m in (DeviceBits, DeviceTrainDone, DeviceHerald, DeviceFailed, DeviceDone, DeviceRemembered)
}


class DeviceRefused(Exception):
    """The devices did not execute a command; nothing has changed."""

    def __init__(self, failed: DeviceFailed) -> None:
        super().__init__(f"{DeviceError(failed.error).name} (operation {failed.op})")
        self.error = DeviceError(failed.error)
        self.op = failed.op


class Devices:
    """One node's own devices."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def run(self, program: Program, ended: Callable[[tuple[int, ...] | DeviceFailed], None]) -> None:
        """Execute a program as one; its measurement results, or why nothing was done."""

        def answered(answer: DeviceBits | DeviceFailed) -> None:
            ended(answer if isinstance(answer, DeviceFailed) else tuple(answer.bits))

        self._command(program.message(), answered)

    def train(
        self,
        command: DeviceTrain | DeviceMeasuringTrain,
        ended: Callable[[DeviceTrainDone | DeviceFailed], None],
    ) -> None:
        """Start a train; ``ended`` hears how many emissions there were, whether it ran out or was stopped."""
        self._command(command, ended)

    def stop_train(self, link: int, qubit: int) -> None:
        """The train's own ``ended`` hears the result; a train that has run out is none to stop."""
        self._command(DeviceStopTrain(link, qubit), lambda _: None)

    def recall(self, link: int, slot: int, told: Callable[[DeviceRemembered], None]) -> None:
        """What a measuring train has read after the emission for that slot."""
        self._command(DeviceRecall(link, slot), told)

    def listen(self, command: DeviceListen, heard: Callable[[DeviceHerald | DeviceFailed], None]) -> None:
        self._command(command, heard)

    def stop_listen(self, link: int) -> None:
        self._command(DeviceStopListen(link), lambda _: None)

    def connect(self, link: int, analyser: int, ended: Callable[[DeviceDone | DeviceFailed], None]) -> None:
        """At a switch: set a link on an analyser; ``ended`` hears when light can pass."""
        self._command(DeviceConnect(link, analyser), ended)

    def steer(self, command: DeviceSteer, done: Callable[[DeviceDone | DeviceFailed], None]) -> None:
        """The devices' copy of the node's clock is to follow the node's own."""
        self._command(command, done)

    def _command(self, command: Any, answered: Callable[[Any], None]) -> None:
        self._kernel.command(
            command.MESSAGE,
            command.pack(),
            lambda message, body: answered(_ANSWERS[message].unpack(body)),
        )
