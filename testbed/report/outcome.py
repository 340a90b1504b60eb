"""What a run leaves in memory: the same for every clock, apart from ``wall``.

What may live here: the record that the report is made from.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Outcome:
    """``wall`` holds facts of this machine and this moment: they go to run.json only."""

    end_ps: int
    stuck: bool
    results: dict[str, Any]
    counters: dict[str, dict[str, int]]
    frames_lost: dict[str, int]
    plane: dict[str, Any]
    wall: dict[str, Any] = field(default_factory=dict)
    elsewhere: frozenset[str] = frozenset()
    """Nodes that somebody else has started."""
    interrupted: bool = False
    """It was to end at once, before its end came by itself."""
    ended_early: bool = False
    """Somebody has asked for its end, now or in the run that is done again."""
