"""The ground of devices: here the quantum plane is the implementation, and a script is the nodes that command it.

What may live here: a small plane, commands to it, and its answers.  All times are true picoseconds.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from protocols.device import Durations, Program
from protocols.wire import MESSAGES, DeviceProgram, Message, ProtocolId
from stack.runtime.times import NEVER
from testbed.conformance.ground import Gone
from testbed.conformance.scene import Scene
from testbed.conformance.stage import NotMet
from testbed.plane import DeviceModel, Plane, PlaneConfig

INIT_PS: Final = 2_000_000
ONE_PS: Final = 50_000
TWO_PS: Final = 400_000
MEASURE_PS: Final = 3_700_000
QUBITS: Final = 3
COMMUNICATION: Final = 1


class Answer(NamedTuple):
    """What came of a command, and when it is due at its node."""

    due: int
    message: Any


class Bench:
    """Nodes 1 and 2 with equal devices: three data qubits and a communication qubit each."""

    def __init__(self, scene: Scene) -> None:
        durations = Durations(INIT_PS, ONE_PS, TWO_PS, TWO_PS, MEASURE_PS, parallel=scene.name.startswith("parallel"))
        model = DeviceModel(QUBITS, COMMUNICATION, durations=durations)
        self.evidence: list[str] = []
        self.now = 0
        self.plane = Plane(PlaneConfig(1, {1: model, 2: model}))
        self.answered: dict[tuple[int, int], list[Answer]] = {}
        self._sequence = 0

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
        self.run()
        answers = self.answered.get(key, [])
        if len(answers) != 1:
            raise NotMet(f"the command is answered {len(answers)} times")
        self.now = max(self.now, answers[0].due)
        return answers[0]

    def expect(self, message: Message | Program, wanted: Message, node: int = 1, after: int | None = None) -> None:
        """NotMet if the answer is another, or (`after`) due at another time."""
        began = self.now
        answer = self.ask(message, node)
        if answer.message != wanted:
            raise NotMet(f"{answer.message} answers {message}; expected {wanted}")
        if after is not None and answer.due - began != after:
            raise NotMet(f"{answer.message} comes after {answer.due - began} ps, due after {after}")


def program(*ops: Any) -> DeviceProgram:
    return DeviceProgram(ops)
