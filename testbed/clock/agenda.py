"""What is planned for a run, whatever its clock: deaths and births of nodes, and when the run is over.

What may live here: data and rules about *when*; no process, socket or node is touched here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from stack.runtime.times import NEVER


class Deed(Enum):
    """What can be planned for a node.  (A freeze is no deed: the node's kernel knows its own.)"""

    KILL = "kill"
    RESTART = "restart"


class Planned(NamedTuple):
    """``deed`` befalls ``node`` at true time ``t_ps``, before any of its events at that time."""

    t_ps: int
    node: int
    deed: Deed


class Agenda:
    """Planned deeds in order of time, then node."""

    def __init__(self, planned: Iterable[Planned] = ()) -> None:
        self._left = sorted(planned, key=lambda p: (p.t_ps, p.node, p.deed is Deed.RESTART))
        self._left.reverse()

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
