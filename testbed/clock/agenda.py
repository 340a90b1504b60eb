"""What befalls a run, whatever its clock: deaths and births of nodes, disturbances, and when the run is over.

What may live here: data and rules about *when*; no process, socket or node is touched here.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from heapq import heappop, heappush
from typing import Any, NamedTuple, Protocol

from stack.config import Plight
from stack.runtime.times import NEVER
from testbed.clock.federate import CALM, Upset


class Deed(Enum):
    """What can befall a run."""

    KILL = "kill"
    RESTART = "restart"
    FREEZE = "freeze"
    THAW = "thaw"
    FAULT = "fault"
    HEAL = "heal"
    ATTACH = "attach"
    HANGUP = "hangup"
    STIR = "stir"
    END = "end"


class Planned(NamedTuple):
    """``deed`` befalls ``node`` at true time ``t_ps``, before any of its events at that time.

    ``about`` says more of a disturbance of the network, which befalls no single node; see ``testbed.lab.troubles``.
    """

    t_ps: int
    node: int
    deed: Deed
    about: Mapping[str, Any] | None = None
    order: int = 0
    """Whose number is to be told when it is done: it came from outside."""


class Done(NamedTuple):
    """What a disturbance comes to: for nodes, for the quantum plane, and what is to follow by itself."""

    plights: dict[int, Plight]
    upset: Upset = CALM
    next: Planned | None = None


class Inputs(Protocol):
    """What comes from outside while a run goes on; see ``testbed.lab.inputs``."""

    def stamped(self, t_ps: int, what: Mapping[str, Any]) -> Planned:
        """An input counts at ``t_ps``: it is written down, and this is what it does."""

    def befall(self, planned: Planned) -> Done:
        """The network is disturbed, or mended."""

    def turned(self, t_ps: int, node: int, frozen: bool) -> None:
        """A node has been frozen, or thawed."""


class Agenda:
    """Deeds in order of time.  At one time: what was planned, by node; what follows from earlier deeds; and what came
    from outside, as it came, since all else of that time may have been done by then."""

    def __init__(
        self, planned: Iterable[Planned] = (), inputs: Iterable[Planned] = (), resume: Container[int] = ()
    ) -> None:
        """``resume``: nodes whose next life takes up the work of the last."""
        self._left: list[tuple[int, bool, int, Planned]] = []
        self._count = 0
        self._resume = resume
        self._owed = 0
        for one in sorted(planned, key=lambda p: (p.t_ps, p.node, p.deed is Deed.RESTART)):
            self.follow(one)
        for one in inputs:
            self.take(one)

    def follow(self, planned: Planned) -> None:
        """One more, as a consequence of what has been done."""
        self._add(planned, False)

    def take(self, planned: Planned) -> None:
        """One more, from outside."""
        self._add(planned, True)

    def _add(self, planned: Planned, outside: bool) -> None:
        self._count += 1
        self._owed += self.resumes(planned)
        heappush(self._left, (planned.t_ps, outside, self._count, planned))

    @property
    def owed(self) -> bool:
        """Whether a node has yet to come back to its work: the run is not over, even if no program is open."""
        return self._owed > 0

    def resumes(self, planned: Planned) -> bool:
        """Whether it is a birth to work that is there already."""
        return planned.deed is Deed.RESTART and planned.node in self._resume

    def next_ps(self) -> int:
        return self._left[0][0] if self._left else NEVER

    def lets_in(self, nodes: Container[int]) -> bool:
        """Whether a program is to attach to one of these."""
        return any(one.deed is Deed.ATTACH and one.node in nodes for *_, one in self._left)

    def pop(self) -> Planned:
        planned = heappop(self._left)[-1]
        self._owed -= self.resumes(planned)
        return planned


@dataclass(frozen=True, slots=True)
class Ending:
    """A run ends ``linger_ps`` after its last program has ended, or at ``duration_ps``, or when nothing can happen.

    ``linger_ps`` is also how far a node may be ahead of a program that could end the run: it is the lookahead of the
    end itself, and so must be positive.
    """

    linger_ps: int
    duration_ps: int = NEVER

    def __post_init__(self) -> None:
        if self.linger_ps <= 0 or self.duration_ps <= 0:
            raise ValueError("linger and duration must be positive")

    def stop_ps(self, open_programs: int, last_closed: int, any_programs: bool) -> int:
        """The first instant that is no longer part of the run, as far as is known."""
        if any_programs and not open_programs:
            return min(last_closed + self.linger_ps, self.duration_ps)
        return self.duration_ps
