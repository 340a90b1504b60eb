"""A plan: everything a run needs to know before its first process starts, whatever the clock.

What may live here: data, and the least delays between hosts that follow from it.  How a scenario becomes a plan is
``testbed.plan.compose``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from stack.config import CONTROLLER_APP, NodeConfig
from stack.runtime.times import LEAST_DELAY, NEVER
from testbed.clock.agenda import Agenda, Ending, Planned
from testbed.clock.federate import Federate, NoPlane
from testbed.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Program:
    """A program of the scenario: attached to ``node`` before time 0."""

    node: int
    path: str


class PlaneMaker(Protocol):
    """Picklable: it builds the plane in whichever process keeps the clock."""

    def build(self) -> Federate:
        """The plane of this run."""

    def summarise(self, plane: Any) -> dict[str, Any]:
        """What the experimenter wants to know of it at the end, as JSON."""


@dataclass(frozen=True, slots=True)
class NoPlaneMaker:
    """A lab without quantum devices."""

    def build(self) -> Federate:
        return NoPlane()

    def summarise(self, plane: Any) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, slots=True)
class Plan:
    """One run."""

    name: str
    seed: int
    nodes: tuple[NodeConfig, ...]
    linger_ps: int
    duration_ps: int = NEVER
    planned: tuple[Planned, ...] = ()
    programs: tuple[Program, ...] = ()
    plane: PlaneMaker = NoPlaneMaker()
    dilation: float = 1.0
    inputs: tuple[Planned, ...] = ()
    """What came from outside to the run that is done again, in the order in which it came."""
    network: Scenario | None = None
    """What may be disturbed while it runs."""
    standing: bool = False
    """It stays until it is told to end, whatever its programs do."""

    @property
    def any_programs(self) -> bool:
        """Whether it ends when its programs have."""
        return not self.standing and (bool(self.programs) or any(n.apps for n in self.nodes))

    def agenda(self) -> Agenda:
        return Agenda(self.planned, self.inputs, {n.number for n in self.nodes if CONTROLLER_APP in n.apps})

    def ending(self) -> Ending:
        return Ending(self.linger_ps, self.duration_ps)

    def holders(self, node: int, sessions: Iterable[int]) -> list[int]:
        """Which of ``programs`` hold these sessions of this node; programs that attached later are none of them."""
        own = [i for i, program in enumerate(self.programs) if program.node == node]
        return [own[session] for session in sessions if session < len(own)]

    def groups(self, processes: int | None) -> list[list[int]]:
        """Node numbers per process: one each, or dealt out in order over ``processes``."""
        numbers = [n.number for n in self.nodes]
        count = len(numbers) if processes is None else max(1, min(processes, len(numbers)))
        size, rest = divmod(len(numbers), count)
        groups, at = [], 0
        for i in range(count):
            width = size + (i < rest)
            groups.append(numbers[at : at + width])
            at += width
        return groups

    def reach(self, groups: list[list[int]]) -> list[list[int]]:
        """Least true time from a cause at one group to an effect at another, over frames and through the plane.

        The diagonal holds the shortest way out and back: what a group does cannot come back to it any sooner.
        """
        index = {node: i for i, group in enumerate(groups) for node in group}
        size = len(groups)
        least = [[NEVER] * size for _ in range(size)]

        def shorten(a: int, b: int, delay: int) -> None:
            i, j = index[a], index[b]
            if i != j:
                least[i][j] = min(least[i][j], delay)

        for node in self.nodes:
            for other, path in node.paths.items():
                shorten(node.number, other, path.delay_ps)
            for link in node.links:
                shorten(link.a, link.station, link.arm_a_ps + LEAST_DELAY)
                shorten(link.b, link.station, link.arm_b_ps + LEAST_DELAY)
        for k in range(size):
            via = least[k]
            for i in range(size):
                first = least[i][k]
                if first != NEVER:
                    row = least[i]
                    for j in range(size):
                        if via[j] != NEVER and first + via[j] < row[j]:
                            row[j] = first + via[j]
        return least
