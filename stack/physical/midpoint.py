"""The physical layer at an end of links: trains on the device, heralds from the station.

What may live here: the driver of ``protocols.mhp.node.NodeMhp``, and the joining of the two halves of the truth about a
train: what the station saw, and what this node's own device emitted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from protocols.device import Program
from protocols.egp.service import StartTrain
from protocols.ignored import Ignored
from protocols.mhp.node import Midpoint, NodeMhp, TrainOutcome
from protocols.mhp.trains import STATION_LEAD_PS, SUCCESSES
from protocols.wire import (
    DeviceFailed,
    DeviceMeasuringTrain,
    DeviceRemembered,
    DeviceTrain,
    DeviceTrainDone,
    MhpReply,
    ProtocolId,
)
from stack.config import Device, Link, NodeConfig
from stack.physical.devices import DeviceRefused, Devices
from stack.physical.interface import Herald, QubitMemory
from stack.physical.memory import Memory
from stack.physical.programs import ProgramQueue
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel, Waiter
from stack.runtime.messenger import Messenger


@dataclass(slots=True)
class _Running:
    spec: StartTrain
    done: Callable[[Herald | None], None]
    outcome: TrainOutcome | None = None
    last_emitted_slot: int | None = None
    remembered: DeviceRemembered | None = None
    recalling: int = 0
    """Successes of a train that goes on of which the device has yet to say what it measured."""


class Physical:
    """Implements ``PhysicalLayer``."""

    def __init__(self, kernel: Kernel, config: NodeConfig, device: Device, messenger: Messenger) -> None:
        self._kernel = kernel
        self._devices = Devices(kernel)
        self._programs = ProgramQueue(self._devices)
        self.memory: QubitMemory = Memory(device, config.incarnation, self._release)
        self._running: dict[int, _Running] = {}
        self._heard: Callable[[int], None] = lambda station: None
        own = {link.number: link for link in config.links if config.number in (link.a, link.b)}
        midpoints = {n: _midpoint(config, link) for n, link in own.items()}
        self._driver = Driver(
            kernel, NodeMhp(midpoints), messenger.send, self._on_event, allowance_ps=config.allowance_ps
        )
        if own:
            messenger.register_bare(ProtocolId.MHP, self._receive)

    def _receive(self, message: Any, source: int) -> None:
        if isinstance(message, MhpReply):
            runs = message.link in self._running
            self._driver.receive(message, source)
            if not runs:
                self._heard(source)
        else:
            self._kernel.count(f"ignored {type(message).__name__}")  # a node is no station

    async def run(self, program: Program) -> tuple[int, ...]:
        waiter: Waiter[tuple[int, ...] | DeviceRefused] = Waiter(self._kernel)
        self._programs.submit(program, waiter.set)
        answer = await waiter.wait()
        if isinstance(answer, DeviceRefused):
            raise answer
        return answer

    def submit(self, program: Program, done: Callable[[tuple[int, ...]], None]) -> None:
        def ended(answer: tuple[int, ...] | DeviceRefused) -> None:
            if isinstance(answer, DeviceRefused):
                raise answer
            done(answer)

        self._programs.submit(program, ended)

    def start_train(self, train: StartTrain, done: Callable[[Herald | None], None]) -> None:
        running = _Running(train, done)
        self._running[train.link] = running
        self._programs.hold(train.qubit)
        row = (train.link, train.qubit, train.first_slot, train.spacing, train.count, train.alpha)
        command: DeviceTrain | DeviceMeasuringTrain = DeviceTrain(*row)
        if train.measure is not None:
            command = DeviceMeasuringTrain(*row, train.measure.choice, *train.measure.how)
        self._devices.train(command, lambda answer: self._train_ended(running, answer))
        self._driver.machine.start_train(
            train.link, train.queue_id, train.first_slot, train.spacing, train.count, train.alpha, train.deadline,
            train.pairs, train.each, train.twice,
        )  # fmt: skip
        self._driver.flush()

    def when_heard(self, callback: Callable[[int], None]) -> None:
        self._heard = callback

    def ask(self, link: int) -> None:
        self._driver.machine.ask(link)
        self._driver.flush()

    def cut(self, link: int) -> None:
        self._driver.machine.cut(link)
        self._driver.flush()

    def give_up(self, link: int, qubit: int) -> None:
        # The qubit stays in use until the device says that the train is over; what is to come for it waits for that.
        if self._running.pop(link, None) is not None:
            self._devices.stop_train(link, qubit)
            self._driver.machine.abort(link)
            self._driver.flush()

    def _train_ended(self, running: _Running, answer: DeviceTrainDone | DeviceFailed) -> None:
        """The device emits no more: the train ran out, was stopped, or was refused."""
        self._programs.let_go(running.spec.qubit)
        if isinstance(answer, DeviceFailed):
            self._kernel.event("physical", "train refused", link=running.spec.link, error=int(answer.error))
            if self._running.get(running.spec.link) is running:
                del self._running[running.spec.link]
                self._driver.machine.abort(running.spec.link)
                self._driver.flush()
                running.done(None)
            return
        running.last_emitted_slot = answer.last_slot
        self._finish(running)

    def _on_event(self, event: Any) -> None:
        if isinstance(event, TrainOutcome):
            running = self._running.get(event.link)
            if running is None or running.spec.queue_id != event.queue_id:
                self._kernel.count("outcomes of trains given up")
                return
            if event.more:
                running.recalling += 1
                self._devices.recall(event.link, event.slot, lambda answer: self._another(running, event, answer))
                return
            running.outcome = event
            if running.last_emitted_slot is None:
                self._devices.stop_train(event.link, running.spec.qubit)
            if running.spec.measure is not None and event.outcome in SUCCESSES:
                self._devices.recall(event.link, event.slot, lambda answer: self._recalled(running, answer))
            self._finish(running)
        elif isinstance(event, Ignored):
            self._kernel.count(f"ignored {event.message}")
        else:
            raise AssertionError(f"{event} is no event of NodeMhp")

    def _another(self, running: _Running, outcome: TrainOutcome, answer: DeviceRemembered) -> None:
        """A success after which the train goes on."""
        running.recalling -= 1
        if self._running.get(running.spec.link) is running:
            self._note(running, outcome)
            running.done(Herald(outcome, outcome.slot, answer))
            self._finish(running)

    def _recalled(self, running: _Running, answer: DeviceRemembered) -> None:
        running.remembered = answer
        self._finish(running)

    def _finish(self, running: _Running) -> None:
        outcome, last = running.outcome, running.last_emitted_slot
        if outcome is None or last is None or self._running.get(running.spec.link) is not running:
            return
        if running.recalling:
            return  # what came before comes first
        if running.spec.measure is not None and outcome.outcome in SUCCESSES and running.remembered is None:
            return  # the device will say
        del self._running[running.spec.link]
        self._note(running, outcome)
        running.done(Herald(outcome, last, running.remembered))

    def _note(self, running: _Running, outcome: TrainOutcome) -> None:
        self._kernel.event(
            "physical",
            "herald",
            link=outcome.link,
            queue_id=outcome.queue_id,
            qubit=running.spec.qubit,
            outcome=int(outcome.outcome),
            error=int(outcome.error),
            sequence=outcome.mhp_sequence,
            slot=outcome.slot,
        )

    def _release(self, qubit: int, done: Callable[[], None]) -> None:
        self._kernel.event("physical", "released", qubit=qubit)
        self.submit(Program().release(qubit), lambda _: done())


def _midpoint(config: NodeConfig, link: Link) -> Midpoint:
    return Midpoint(link.station, 2 * config.paths[link.station].delay_ps, link.slot_ps, STATION_LEAD_PS)
