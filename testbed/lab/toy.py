"""A lab of toys: nodes that ping, and a plane that answers what it is asked after the delay it is asked for.

What may live here: what proves and times the engine without any quantum physics.
"""

import heapq
from dataclasses import dataclass, replace
from typing import Any

from protocols.wire import derive_key
from stack.config import Faults, NodeConfig, Path
from stack.runtime.times import MS, NEVER
from testbed.clock.federate import PlaneAnswer
from testbed.plan.plan import Plan


class EchoPlane:
    """Answers every command after the delay in its body; executes strictly in order (time, node, sequence)."""

    def __init__(self) -> None:
        self.executed: list[tuple[int, int, int]] = []
        self._pending: list[tuple[int, int, int, int]] = []
        self._answers: list[PlaneAnswer] = []

    def submit(self, node: int, t_ps: int, sequence: int, message: int, body: bytes) -> None:
        if self.executed and (t_ps, node, sequence) < self.executed[-1]:
            raise AssertionError(f"a command of node {node} at {t_ps} ps came after {self.executed[-1]}")
        heapq.heappush(self._pending, (t_ps, node, sequence, int.from_bytes(body, "big")))

    def next_ps(self) -> int:
        return self._pending[0][0] if self._pending else NEVER

    def step(self) -> None:
        t_ps, node, sequence, delay = heapq.heappop(self._pending)
        self.executed.append((t_ps, node, sequence))
        self._answers.append(PlaneAnswer(node, t_ps + delay, sequence, 0, b""))

    def take_answers(self) -> list[PlaneAnswer]:
        answers, self._answers = self._answers, []
        return answers

    def promise(self, node: int) -> int:
        return min((t + delay for t, n, _, delay in self._pending if n == node), default=NEVER)

    def reset_node(self, node: int, t_ps: int) -> None:
        self._pending = [p for p in self._pending if p[1] != node]
        heapq.heapify(self._pending)

    def spent(self, places: list[tuple[int, int]]) -> list[tuple[float, ...] | None]:
        return [None for _ in places]

    def forget(self, kept: int) -> None:
        pass


@dataclass(frozen=True)
class EchoPlaneConfig:
    """Builds an ``EchoPlane`` in whichever process keeps the clock; its summary is ``ballast`` characters long."""

    ballast: int = 0

    def build(self) -> EchoPlane:
        return EchoPlane()

    def summarise(self, plane: Any) -> dict[str, Any]:
        return {"ballast": "x" * self.ballast} if self.ballast else {}


def toy_plan(
    count: int,
    delay_ps: int,
    apps: dict[int, dict[str, dict[str, Any]]],
    seed: int = 1,
    faults: Faults = Faults(),
    changes: dict[int, dict[str, Any]] | None = None,
    **plan: Any,
) -> Plan:
    """``count`` nodes, each ``delay_ps`` from every other; ``changes`` replaces fields of single node configs."""
    numbers = range(1, count + 1)
    nodes = []
    for n in numbers:
        others = [m for m in numbers if m != n]
        config = NodeConfig(
            number=n,
            name=f"n{n}",
            kind="qpu",
            seed=seed,
            paths={m: Path(f"n{m}", delay_ps, faults) for m in others},
            keys={m: derive_key(seed, n, m).hex() for m in others},
            apps=apps.get(n, {}),
        )
        nodes.append(replace(config, **(changes or {}).get(n, {})))
    return Plan("toy", seed, tuple(nodes), **{"linger_ps": MS, "plane": EchoPlaneConfig(), **plan})
