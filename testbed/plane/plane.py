"""The quantum plane: takes device commands, executes them in order of time, gives answers. No sockets, no
clock.

What may live here: the surface that the clocks drive (testbed.clock.federate), and the checks that every
command goes through. Programs are executed by programs.py, trains and listens by trains.py and heralds.py;
the layout of commands is the codec's, the rules (DEV-n) stand in protocols/device.toml.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from numpy.random import Generator

from protocols.device import LEAST_ANSWER_PS
from protocols.wire.codec import (
    DeviceConnect,
    DeviceDone,
    DeviceError,
    DeviceFailed,
    DeviceListen,
    DeviceMeasuringTrain,
    DeviceProgram,
    DeviceRecall,
    DeviceSteer,
    DeviceStopListen,
    DeviceStopTrain,
    DeviceTrain,
)
from protocols.wire.error import WireError
from stack.runtime.clock import MOST_RATE, NodeClock, true_clock
from stack.runtime.times import NEVER
from testbed.clock.federate import PlaneAnswer, Upset
from testbed.errors import BadInput
from testbed.keyed import keyed_generator
from testbed.plane.config import PlaneConfig
from testbed.plane.devices import Device, Qubit
from testbed.plane.events import Answers, Events, priority
from testbed.plane.heralds import make
from testbed.plane.link_times import TrainCommand
from testbed.plane.oracle import HeraldLog, Oracle, SpentLog
from testbed.plane.programs import Prepared, Preparer, run
from testbed.plane.simulator import Event, Timeline
from testbed.plane.state import FORMALISM, NotClifford, StateEngine
from testbed.plane.switches import Switch
from testbed.plane.trains import Link, World

_PREPARED: Final = 4096
"""Programs of a node that are kept compiled."""


class Plane:
    """Every node's devices, every link, one state. All times are true picoseconds.

    oracle=True logs the true fidelity of every heralded pair (`oracle.pairs`); nothing else changes by it.
    """

    def __init__(self, config: PlaneConfig, oracle: bool = False) -> None:
        engine_options = {
            "seed": config.seed,
            "formalism": config.formalism,
            "density_qubits": config.density_qubits,
            "trajectory_qubits": config.trajectory_qubits,
        }
        timeline = Timeline(formalism=FORMALISM, manager_kwargs=engine_options)
        engine = timeline.quantum_manager
        assert isinstance(engine, StateEngine)
        self.config = config
        self._events = Events(timeline)
        self._answers = Answers(config.nodes)
        self._devices = {number: Device(model, engine) for number, model in sorted(config.nodes.items())}
        self._readout: dict[int, Generator] = {
            number: keyed_generator(config.seed, "measure", number) for number in self._devices
        }
        log = HeraldLog() if oracle else None
        spent = SpentLog(engine, self._devices) if oracle else None
        if spent is not None:
            for number, device in self._devices.items():
                device.watch(partial(spent.released, number))
        self._clocks = {number: NodeClock(oscillator) for number, oscillator in config.oscillators.items()}
        world = World(self._events, self._answers, engine, self._devices, self._clocks, log, config.seed)
        self._links: dict[int, Link] = {
            number: make(number, link, world, config.seed) for number, link in sorted(config.links.items())
        }
        self._heard_by: dict[int, list[Link]] = {number: [] for number in self._devices}
        for link in self._links.values():
            self._heard_by[link.config.station].append(link)
        self._switches = {
            number: Switch(model, {link.number: link for link in self._heard_by[number]})
            for number, model in config.switches.items()
        }
        self._prepared = {
            number: Preparer(device.model.durations, _PREPARED).prepare for number, device in self._devices.items()
        }
        self._pending: dict[int, dict[int, Event]] = {number: {} for number in self._devices}
        """Commands submitted but not executed, by sequence."""
        self.oracle = Oracle(engine, self._devices, log, spent)

    # -- what the clocks drive -------------------------------------------------------------------------------

    def submit(self, node: int, t_ps: int, sequence: int, message: int, body: bytes) -> None:
        """A command of `node` at `t_ps`, which must not lie before what has been executed."""
        assert t_ps >= self._events.now, f"node {node} commands at {t_ps} ps, after {self._events.now} ps"
        command: Command
        earliest = t_ps + LEAST_ANSWER_PS
        if message == DeviceProgram.MESSAGE:
            command = self._prepared[node](body)
            if isinstance(command, Prepared):
                earliest = t_ps + command.answer_ps
        else:
            command = _decode(message, body)
        if isinstance(command, DeviceTrain | DeviceMeasuringTrain):
            self._announce(node, t_ps, sequence, command)
        self._answers.expect(node, sequence, earliest)
        order = priority(node, sequence)
        self._pending[node][sequence] = self._events.at(t_ps, order, self, "execute", node, sequence, command)

    def next_ps(self) -> int:
        """The time of the earliest event, or NEVER."""
        return self._events.next_ps()

    def step(self) -> None:
        """Execute the earliest event; there must be one.

        BadInput if it asks of a stabilizer state what that cannot do: the scenario chose the formalism and the work.
        """
        try:
            self._events.step()
        except NotClifford as error:
            remedy = "use Clifford gates alone on so many qubits, and T2 <= T1, or entangle fewer"
            raise BadInput("scenario", "formalism", str(error), remedy) from None

    def take_answers(self) -> list[PlaneAnswer]:
        """What has been answered since the last call; each is due at least 1 ns after its cause."""
        return self._answers.take()

    def promise(self, node: int) -> int:
        """Nothing submitted so far, by whatever node, can make an answer due at `node` before this."""
        # What a link says may lie in the past when its last slot has been decided; news still need an event.
        nothing_before = self.next_ps()
        earliest = self._answers.earliest(node)
        for link in self._heard_by[node]:
            earliest = min(earliest, max(link.promise(), nothing_before))
        return earliest

    def spent(self, places: list[tuple[int, int]]) -> list[tuple[float, ...] | None]:
        """What the oracle saw when halves of pairs were released at these (node, handle): fidelities by Bell index."""
        known = self.oracle.spent
        return [known[place].fidelities if place in known else None for place in places]

    def forget(self, kept: int) -> None:
        """Have the oracle remember no more than the latest `kept` pairs."""
        self.oracle.forget(kept)

    def reset_node(self, node: int, t_ps: int) -> None:
        """The node has died, before anything happened at `t_ps` (DEV-2, DEV-3).

        Its commands are dropped and its trains emit no more; photons on their way may still herald for the
        other end. Communication qubits start afresh, data qubits go on decaying, and no handle is good any
        more.
        """
        assert self.next_ps() >= t_ps >= self._events.now, f"node {node} dies at {t_ps} ps, out of turn"
        self._events.timeline.time = t_ps
        for event in self._pending[node].values():
            self._events.cancel(event)
        self._pending[node].clear()
        self._answers.forget(node)
        for link in self._links.values():
            for key in [key for key in link.coming if key[0] == node]:
                del link.coming[key]
            for train in [train for train in (*link.trains[0], *link.trains[1]) if train.node == node]:
                if not train.dead:
                    link.die(train, t_ps)
        for link in self._heard_by[node]:
            link.deafen(t_ps)
        if node in self._switches:
            self._switches[node].reset()
        self._devices[node].die(t_ps)
        if node in self._clocks:
            self._clocks[node].let_go(t_ps)

    def disturb(self, t_ps: int, upset: Upset) -> None:
        """Fibres are cut or mended, detectors blinded or sighted, clocks drift, before anything happens at `t_ps`."""
        assert self.next_ps() >= t_ps >= self._events.now, f"the network is disturbed at {t_ps} ps, out of turn"
        self._events.timeline.time = t_ps
        for number, (cut, blind) in upset.dark.items():
            self._links[number].darkness.become(cut, blind, t_ps)
        for node, ppb in upset.drifts.items():
            self._drift(node, ppb, t_ps)

    def _drift(self, node: int, ppb: int, t_ps: int) -> None:
        """The devices' copy of a node's clock drifts as the node's own."""
        links = self._links_of(node)
        if node not in self._clocks:
            self._clocks[node] = true_clock()
            for link in links:
                link.wind(node, self._clocks[node])
        self._clocks[node].bend(t_ps, ppb)
        for link in links:
            link.retime(node, t_ps)

    def _links_of(self, node: int) -> list[Link]:
        """Those that the node is an end or the station of."""
        return [link for link in self._links.values() if node in (link.config.a, link.config.b, link.config.station)]

    # -- for whoever builds the run --------------------------------------------------------------------------

    def handles(self, node: int) -> list[int]:
        """The handles that are good now, by index: what a node is told when it attaches to its device bus."""
        return self._devices[node].handles()

    def reach_ps(self, source: int, destination: int) -> int:
        """Least time from a command of one node to an answer to another that it can hasten, or NEVER.

        Only trains do that: they can make a station's herald due one arm delay, an attempt and 1 ns later; the delay
        counts the other way where photons come to a node.
        """
        least = NEVER
        for link in self._heard_by[destination]:
            for side, end in enumerate((link.config.a, link.config.b)):
                if end == source:
                    lead_ps = link.config.leads_ps[side] - link.slack_ps
                    least = min(least, lead_ps + link.model.attempt_ps + LEAST_ANSWER_PS)
        return least

    # -- commands --------------------------------------------------------------------------------------------

    def _announce(self, node: int, t_ps: int, sequence: int, command: TrainCommand) -> None:
        """Note the earliest herald that a submitted train could bring."""
        link = self._links.get(command.link)
        side = link.side(node) if link is not None else None
        row = link.row(command) if link is not None else None
        if link is not None and side is not None and row is not None:
            earliest = link.earliest_herald_ps(row, side, t_ps)
            if earliest < NEVER:
                link.coming[node, sequence] = earliest

    def execute(self, node: int, sequence: int, command: "Command") -> None:
        """Event: a command."""
        del self._pending[node][sequence]
        now = self._events.now
        match command:
            case Prepared():
                answer = run(self._devices[node], command, now, self._readout[node])
                self._answers.give(node, sequence, now + command.answer_ps, answer)
                return
            case DeviceTrain() | DeviceMeasuringTrain():
                failed = self._train(node, sequence, command, now)
            case DeviceStopTrain():
                failed = self._stop_train(node, sequence, command, now)
            case DeviceRecall():
                failed = self._recall(node, sequence, command, now)
            case DeviceListen():
                failed = self._listen(node, sequence, command, now)
            case DeviceConnect():
                failed = self._connect(node, sequence, command, now)
            case DeviceStopListen():
                link = self._heard(node, command.link)
                failed = _NO_LINK if link is None else link.stop_listening(sequence, now)
            case DeviceSteer():
                failed = self._steer(node, sequence, command, now)
            case DeviceFailed():
                failed = command
        if failed is not None:
            self._answers.give(node, sequence, now + LEAST_ANSWER_PS, failed)

    def _steer(self, node: int, sequence: int, command: DeviceSteer, now: int) -> DeviceFailed | None:
        """The devices' copy of a node's clock follows the node's own (DEV-20)."""
        clock = self._clocks.get(node)
        if clock is None or abs(command.rate) > MOST_RATE:
            return DeviceFailed(DeviceError.BAD, 0)
        links = self._links_of(node)
        if command.step:
            for link in links:
                link.jump(node, now)
        clock.steer(now, command.step, command.rate)
        for link in links:
            link.retime(node, now)
        self._answers.give(node, sequence, now + LEAST_ANSWER_PS, DeviceDone())
        return None

    def _heard(self, node: int, number: int) -> Link | None:
        """The link of that number, if the node is its station."""
        link = self._links.get(number)
        return link if link is not None and link.config.station == node else None

    def _listen(self, node: int, sequence: int, command: DeviceListen, now: int) -> DeviceFailed | None:
        link = self._heard(node, command.link)
        if link is None:
            return _NO_LINK
        switch = self._switches.get(node)
        if switch is not None and not switch.passes(command.link, now):
            return DeviceFailed(DeviceError.UNCONNECTED, 0)
        return link.listen(sequence, command, now)

    def _connect(self, node: int, sequence: int, command: DeviceConnect, now: int) -> DeviceFailed | None:
        switch = self._switches.get(node)
        ready_ps = _NO_LINK if switch is None else switch.connect(command, now)
        if isinstance(ready_ps, DeviceFailed):
            return ready_ps
        self._answers.give(node, sequence, ready_ps, DeviceDone())
        return None

    def _train(self, node: int, sequence: int, command: TrainCommand, now: int) -> DeviceFailed | None:
        link = self._links.get(command.link)
        side = link.side(node) if link is not None else None
        if link is None or side is None:
            return _NO_LINK
        link.coming.pop((node, sequence), None)
        qubit = self._devices[node].claim(command.qubit, now)
        if not isinstance(qubit, Qubit):
            return DeviceFailed(qubit, 0)
        return link.start(node, side, qubit, sequence, command, now)

    def _stop_train(self, node: int, sequence: int, command: DeviceStopTrain, now: int) -> DeviceFailed | None:
        link = self._links.get(command.link)
        side = link.side(node) if link is not None else None
        if link is None or side is None:
            return _NO_LINK
        qubit = self._devices[node].find(command.qubit)
        if not isinstance(qubit, Qubit):
            return DeviceFailed(qubit, 0)
        train = link.held(side, qubit)
        if train is None:
            self._answers.give(node, sequence, now + LEAST_ANSWER_PS, DeviceDone())
        else:
            link.stop(train, sequence, now)
        return None

    def _recall(self, node: int, sequence: int, command: DeviceRecall, now: int) -> DeviceFailed | None:
        link = self._links.get(command.link)
        side = link.side(node) if link is not None else None
        if link is None or side is None:
            return _NO_LINK
        self._answers.give(node, sequence, now + LEAST_ANSWER_PS, link.results.recall(side, command.slot))
        return None


type Command = (
    Prepared
    | TrainCommand
    | DeviceStopTrain
    | DeviceRecall
    | DeviceListen
    | DeviceStopListen
    | DeviceConnect
    | DeviceSteer
    | DeviceFailed
)

_NO_LINK: Final = DeviceFailed(DeviceError.NO_LINK, 0)
_BAD: Final = DeviceFailed(DeviceError.BAD, 0)


_COMMANDS: Final[dict[int, Callable[[bytes], Command]]] = {
    kind.MESSAGE: kind.unpack
    for kind in (
        DeviceTrain,
        DeviceMeasuringTrain,
        DeviceRecall,
        DeviceStopTrain,
        DeviceListen,
        DeviceStopListen,
        DeviceConnect,
        DeviceSteer,
    )
}
"""All but programs."""


def _decode(message: int, body: bytes) -> Command:
    """What the bytes of a command say; Failed if they say nothing."""
    unpack = _COMMANDS.get(message)
    try:
        return _BAD if unpack is None else unpack(body)
    except WireError:
        return _BAD
