"""A bench for tests of the quantum plane: commands in, answers out, and a link that heralds when told to."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from protocols.device import Durations
from protocols.wire import (
    MESSAGES,
    DeviceListen,
    DeviceStopListen,
    DeviceStopTrain,
    DeviceTrain,
)
from stack.runtime.oscillator import Oscillator
from testbed.plane import BELL_KETS, DeviceModel, LinkConfig, Plane, PlaneConfig
from testbed.plane.events import NEVER
from testbed.plane.links import NEVER_ATTEMPT, LinkId, LinkParameters, make_link

A, B, STATION, FAR = 1, 2, 3, 4
SLOT = 1_000_000
ARM_A, ARM_B = 5_000_000, 12_000_000
ATTEMPT = 25_000
NS = 1_000
IDEAL = DeviceModel(data=2, communication=2)


def answer_of(message: int, body: bytes) -> Any:
    return MESSAGES[128, message].unpack(body) if (128, message) in MESSAGES else None


class ToldLink:
    """Heralds at the attempts it is told, and then never again: a Werner state around |Ψ+⟩ or |Ψ−⟩."""

    grade = "sampled"
    attempt_ps = ATTEMPT

    def __init__(self, *attempts: int, outcome: int = 2, fidelity: float = 1.0, arms: Any = (ARM_A, ARM_B)) -> None:
        self.births_ps = -arms[0], -arms[1]
        self.parameters = LinkParameters(0, 0)
        self.attempts = list(attempts)
        self.outcome = outcome
        self.fidelity = fidelity

    def draw_attempts(self, rng: Any, alpha: float) -> int:
        return self.attempts.pop(0) if self.attempts else NEVER_ATTEMPT

    def draw_state(self, rng: Any, alpha: float) -> Any:
        ket = BELL_KETS[self.outcome]
        noise = (1 - self.fidelity) / 3
        return self.outcome, (self.fidelity - noise) * np.outer(ket, ket.conj()) + noise * np.eye(4)

    def success_probability(self, alpha: float) -> float:
        return alpha


class Bench:
    """Drives one plane. `answers[node, sequence]` is (due, message)."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.answers: dict[tuple[int, int], tuple[int, Any]] = {}
        self.raw: list[Any] = []
        self._sequence = 0

    def command(self, node: int, t: int, message: Any) -> tuple[int, int]:
        """Submit; the key under which the answer will be found. `message` is a codec message or a Program."""
        message = message.message() if hasattr(message, "message") else message
        self._sequence += 1
        self.plane.submit(node, t, self._sequence, message.MESSAGE, message.pack())
        return node, self._sequence

    def run(self, until: int = NEVER) -> None:
        """Execute everything before `until`."""
        while self.plane.next_ps() < until:
            self.step()

    def step(self) -> None:
        """One event, with what must hold of every event (DEV-3, DEV-5, and the promise)."""
        plane = self.plane
        promised = {node: plane.promise(node) for node in plane.config.nodes}
        now = plane.next_ps()
        plane.step()
        for answer in plane.take_answers():
            assert answer.due_ps >= now + NS
            assert answer.due_ps >= promised[answer.node]
            assert (answer.node, answer.sequence) not in self.answers
            self.raw.append(answer)
            self.answers[answer.node, answer.sequence] = (
                answer.due_ps,
                answer_of(answer.message, answer.body),
            )
        for node, before in promised.items():
            assert plane.promise(node) >= before, f"the promise to node {node} was taken back"

    def ask(self, node: int, t: int, message: Any) -> tuple[int, Any]:
        """Submit and run until it is answered."""
        key = self.command(node, t, message)
        while key not in self.answers:
            self.step()
        return self.answers[key]

    # -- link commands, on link 1 unless said otherwise

    def train(
        self, node: int, t: int, first: int, spacing: int = 1, count: int = 1, qubit: int = 0, alpha: int = 0
    ) -> tuple[int, int]:
        """`qubit`: the number of the communication qubit."""
        return self.command(node, t, DeviceTrain(1, self.communication(node, qubit), first, spacing, count, alpha))

    def stop(self, node: int, t: int, qubit: int = 0) -> tuple[int, int]:
        return self.command(node, t, DeviceStopTrain(1, self.communication(node, qubit)))

    def listen(self, t: int, first: int, spacing: int = 1, count: int = 1, node: int = STATION) -> tuple[int, int]:
        return self.command(node, t, DeviceListen(1, first, spacing, count))

    def stop_listening(self, t: int) -> tuple[int, int]:
        return self.command(STATION, t, DeviceStopListen(1))

    # -- handles

    def data(self, node: int, number: int = 0) -> int:
        return self.plane.handles(node)[number]

    def communication(self, node: int, number: int = 0) -> int:
        model = self.plane.config.nodes[node]
        assert model is not None
        return self.plane.handles(node)[model.data + number]

    def pair_fidelity(self, now: int, bell_index: int = 2, qubit_a: int = 0, qubit_b: int = 0) -> float:
        """True fidelity of what the two communication qubits of the link hold."""
        places = (A, self.communication(A, qubit_a)), (B, self.communication(B, qubit_b))
        return self.plane.oracle.pair_fidelity(*places, bell_index, now)


def bench(
    link: Any = None,
    model: DeviceModel = IDEAL,
    *,
    oracle: bool = True,
    seed: int = 7,
    formalism: Any = "auto",
    oscillators: Mapping[int, Oscillator] | None = None,
    frame_hz: float = 0.0,
) -> Bench:
    """Nodes A and B with equal devices, a station between them, and a node FAR away without links."""
    link = link or ToldLink(1)
    arms = (ARM_A, ARM_B)
    if link.grade == "photonic":
        arms = (link.parameters.arm_a_ps, link.parameters.arm_b_ps)
    nodes = {A: model, B: model, STATION: None, FAR: model}
    links = {1: LinkConfig(A, B, STATION, SLOT, *arms, link, frame_hz)}
    config = PlaneConfig(seed, nodes, links, formalism=formalism, oscillators=oscillators or {})
    return Bench(Plane(config, oracle))


def timed(**changes: Any) -> DeviceModel:
    """A device whose operations take time; `changes` to its durations."""
    given = {
        "init_ps": 2_000_000,
        "one_qubit_ps": 50_000,
        "two_qubit_ps": 400_000,
        "swap_ps": 900_000,
        "measure_ps": 3_700_000,
    }
    return DeviceModel(2, 2, durations=Durations(**(given | changes)))


def noisy(kind: str = "single-click", grade: Any = "sampled", seed: int = 3, **changes: Any) -> Any:
    """A real link, dark counts and all; `changes` to its parameters."""
    values = {
        "arm_a_m": 1000,
        "arm_b_m": 2400,
        "attenuation_db_per_km": 0.2,
        "efficiency_a": 0.6,
        "efficiency_b": 0.6,
        "detector_efficiency": 0.9,
        "dark_probability": 1e-4,
        "visibility": 0.95,
        "alpha": 0.2,
        "round_gap_ps": 100_000,
    }
    return make_link(kind, LinkParameters(**(values | changes)), grade, LinkId("link", seed))
