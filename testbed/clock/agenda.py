"""What befalls a run, whatever its clock: deaths and births of nodes, disturbances, and when the run is over.

What may live here: data and rules about *when*; no process, socket or node is touched here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol

from stack.config import Path
from stack.runtime.times import NEVER


class Deed(Enum):
    """What can befall a run.  (A planned freeze is no deed: the node's kernel knows its own.)"""

    KILL = "kill"
    RESTART = "restart"
    FREEZE = "freeze"
    THAW = "thaw"
    FAULT = "fault"
    HEAL = "heal"
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
    """What a disturbance comes to: new ways, by the node that sends over them, and what is to follow by itself."""

    ways: dict[int, dict[int, Path]]
    next: Planned | None = None


class Inputs(Protocol):
    """What comes from outside while a run goes on; see ``testbed.lab.inputs``."""

    def stamped(self, t_ps: int, what: Mapping[str, Any]) -> Planned:
        """An input counts at ``t_ps``: it is written down, and this is what it does."""

    def befall(self, planned: Planned) -> Done:
        """The network is disturbed, or mended."""

    def note(self, t_ps: int, node: int, event: str) -> None:
        """A line of the trace about what has befallen a node."""


class Agenda:
    """Planned deeds in order of time, then node; then those that were added, as they came."""

    def __init__(self, planned: Iterable[Planned] = ()) -> None:
        self._left = sorted(planned, key=lambda p: (p.t_ps, p.node, p.deed is Deed.RESTART))
        self._left.reverse()

    def add(self, planned: Planned) -> None:
        """One more, after all that is to be at that time."""
        place = sum(1 for other in self._left if other.t_ps > planned.t_ps)
        self._left.insert(place, planned)

    def next_ps(self) -> int:
        return self._left[-1].t_ps if self._left else NEVER

    def pop(self) -> Planned:
        return self._left.pop()


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
