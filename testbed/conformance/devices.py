"""The ground of devices: here the quantum plane is the implementation, and a script is the nodes that command it.

What may live here: a small plane, commands to it, and its answers.  All times are true picoseconds.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import numpy as np

from protocols.device import LEAST_ANSWER_PS, Durations, Program
from protocols.wire import (
    MESSAGES,
    DeviceDone,
    DeviceProgram,
    DeviceStopTrain,
    DeviceTrain,
    DeviceTrainDone,
    Message,
    ProtocolId,
)
from stack.runtime.oscillator import Oscillator
from stack.runtime.times import NEVER, ClockMap
from testbed.conformance.ground import Gone
from testbed.conformance.scene import Scene
from testbed.conformance.stage import NotMet
from testbed.plane import BELL_KETS, DeviceModel, LinkConfig, Plane, PlaneConfig, SwitchModel
from testbed.plane.links import NEVER_ATTEMPT, LinkParameters

INIT_PS: Final = 2_000_000
ONE_PS: Final = 50_000
TWO_PS: Final = 400_000
MEASURE_PS: Final = 3_700_000
QUBITS: Final = 3
COMMUNICATION: Final = 1


ENDS: Final = (1, 2)
STATION: Final = 3
SWITCH: Final = 4
OTHER: Final = 5
"""A node with no other link than one at the switch."""
LINK: Final = 1
"""Nodes 1 and 2, at the station."""
RECEIVED: Final = 2
"""The same, but photons come to the nodes."""
PORTS: Final = {3: (1, 2), 4: (1, OTHER), 5: (2, OTHER)}
"""Links at the switch."""
SLOT_PS: Final = 1_000_000
ARMS_PS: Final = (5_000_000, 12_000_000)
ATTEMPT_PS: Final = 25_000
SETTLE_PS: Final = 20_000_000
"""How long the switch takes to let light pass."""
NS: Final = LEAST_ANSWER_PS
LIVES: Final = 4_096
"""Generations of a life."""


class ToldLink:
    """A link that heralds |Ψ+⟩ at every attempt that is both emitted and listened to, as often as it is told."""

    grade: Final = "sampled"
    attempt_ps: Final = ATTEMPT_PS

    def __init__(self, births_ps: tuple[int, int]) -> None:
        self.births_ps = births_ps
        self.parameters = LinkParameters(0, 0)
        self.successes = 0
        """How many are still to come."""

    def draw_attempts(self, rng: Any, alpha: float) -> int:
        self.successes -= 1
        return 1 if self.successes >= 0 else NEVER_ATTEMPT

    def draw_state(self, rng: Any, alpha: float) -> Any:
        return 2, np.outer(BELL_KETS[2], BELL_KETS[2].conj())

    def success_probability(self, alpha: float) -> float:
        return 1.0

    def ceiling(self, alpha: float) -> float:
        return 1.0

    def arriving(self, arrivals: Any) -> "ToldLink":
        return self


class Answer(NamedTuple):
    """What came of a command, and when it is due at its node."""

    due: int
    message: Any


class Bench:
    """Nodes 1 and 2 with equal devices: three data qubits and a communication qubit each, or two where they have links.

    Where clocks are kept, nodes 2 and 3 have one that can be steered.
    """

    def __init__(self, scene: Scene) -> None:
        durations = Durations(INIT_PS, ONE_PS, TWO_PS, TWO_PS, MEASURE_PS, parallel=scene.name.startswith("parallel"))
        linked = scene.name.startswith(("linked", "clocked"))
        model = DeviceModel(QUBITS, 2 if linked else COMMUNICATION, durations=durations)
        self.evidence: list[str] = []
        self.now = 0
        self.links: dict[int, ToldLink] = {}
        config = self._linked(model, scene) if linked else PlaneConfig(1, dict.fromkeys(ENDS, model))
        self.plane = Plane(config)
        self.answered: dict[tuple[int, int], list[Answer]] = {}
        self._sequence = 0

    def _linked(self, model: DeviceModel, scene: Scene) -> PlaneConfig:
        a, b = ARMS_PS
        self.links = {LINK: ToldLink((-a, -b)), RECEIVED: ToldLink((a, b))}
        ends = {number: _config(1, 2, STATION, b, link) for number, link in self.links.items()}
        for number, (one, two) in PORTS.items():
            self.links[number] = ToldLink((-a, -a))
            ends[number] = _config(one, two, SWITCH, a, self.links[number])
        nodes = dict.fromkeys((*ENDS, OTHER), model) | {STATION: None, SWITCH: None}
        clocks = {n: Oscillator(ClockMap(0, 0), None, 1, n) for n in (2, STATION) if scene.name.startswith("clocked")}
        return PlaneConfig(1, nodes, ends, {SWITCH: SwitchModel(2, SETTLE_PS)}, oscillators=clocks)
    async def perform(self, script: Callable[[], Awaitable[None]]) -> None:
        """Run a script; what breaks the plane breaks it as ``Gone``."""
        try:
            await script()
        except NotMet as wrong:
            raise ExceptionGroup("", [wrong]) from None
        except Exception as error:
            raise ExceptionGroup("", [Gone(f"{type(error).__name__}: {error}")]) from error

    def handles(self, node: int = 1) -> list[int]:
        """Those that are good at a moment: what a node is told when it attaches."""
        return self.plane.handles(node)

    def command(self, message: Message | Program, node: int = 1, body: bytes | None = None) -> tuple[int, int]:
        """Submit now; the key under which its answers are found."""
        whole = message.message() if isinstance(message, Program) else message
        self._sequence += 1
        self.evidence.append(f"{self.now:>14} ps  node {node}: {whole}")
        self.plane.submit(node, self.now, self._sequence, whole.MESSAGE, whole.pack() if body is None else body)
        return node, self._sequence

    def at(self, when: int) -> None:
        """Let time pass; what is commanded from now on is commanded then."""
        self.run(when)
        self.now = when

    def communication(self, node: int = 1, number: int = 0) -> int:
        """The handle of a communication qubit."""
        return self.handles(node)[QUBITS + number]

    def answer(self, key: tuple[int, int]) -> Answer:
        """To a command that has been answered; NotMet if it has not, or more than once."""
        answers = self.answered.get(key, [])
        if len(answers) != 1:
            raise NotMet(f"a command of node {key[0]} is answered {len(answers)} times")
        return answers[0]

    def require(self, key: tuple[int, int], wanted: Message, due: int | None = None) -> None:
        """NotMet if the answer to a command is another, or due at another time."""
        answer = self.answer(key)
        if answer.message != wanted:
            raise NotMet(f"{answer.message} came to node {key[0]}; expected {wanted}")
        if due is not None and answer.due != due:
            raise NotMet(f"{answer.message} comes to node {key[0]} at {answer.due} ps, due at {due}")

    def emits_at(self, train: DeviceTrain, when: int, node: int = 1) -> None:
        """NotMet unless the first emission of a train, of which nothing is past, is at that time."""
        for stop, emitted in ((when - 1, 0), (when, 1)):
            key = self.command(train, node)
            self.at(stop)
            stopped = self.command(DeviceStopTrain(train.link, train.qubit), node)
            self.run(stop + 1)
            # The first is over by now: the next may have the same slots.
            if emitted:
                self.run()
            for each in (key, stopped):
                self.require(each, DeviceTrainDone(emitted, train.first_slot if emitted else 0))
        self.now = self.answer(key).due

    def done(self, message: Message, node: int = 1, after: int | None = None) -> None:
        """NotMet unless it is answered Done."""
        self.expect(message, DeviceDone(), node, after)

    def run(self, until: int = NEVER) -> None:
        """Everything that happens before a moment."""
        while self.plane.next_ps() < until:
            self.plane.step()
            for answer in self.plane.take_answers():
                message = MESSAGES[ProtocolId.DEVICE, answer.message].unpack(answer.body)
                self.evidence.append(f"{answer.due_ps:>14} ps  to node {answer.node}: {message}")
                key = answer.node, answer.sequence
                self.answered.setdefault(key, []).append(Answer(answer.due_ps, message))

    def ask(self, message: Message | Program, node: int = 1, body: bytes | None = None) -> Answer:
        """Submit, and what comes of it; time goes on to there."""
        key = self.command(message, node, body)
        while key not in self.answered and self.plane.next_ps() < NEVER:
            self.run(self.plane.next_ps() + 1)
        answer = self.answer(key)
        self.now = max(self.now, answer.due)
        return answer

    def expect(self, message: Message | Program, wanted: Message, node: int = 1, after: int | None = None) -> None:
        """NotMet if the answer is another, or (`after`) due at another time."""
        began = self.now
        answer = self.ask(message, node)
        if answer.message != wanted:
            raise NotMet(f"{answer.message} answers {message}; expected {wanted}")
        if after is not None and answer.due - began != after:
            raise NotMet(f"{answer.message} comes after {answer.due - began} ps, due after {after}")


def _config(one: int, two: int, station: int, arm_b_ps: int, link: Any) -> LinkConfig:
    return LinkConfig(one, two, station, SLOT_PS, ARMS_PS[0], arm_b_ps, link)


def program(*ops: Any) -> DeviceProgram:
    return DeviceProgram(ops)
