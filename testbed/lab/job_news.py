"""What becomes of jobs while a run goes on, as their controllers write it down.

What may live here: what their events say of each job.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from testbed.lab.tail import Tail
from testbed.trace.spool import SpoolEvent

_STATES: Final = (
    "queued", "compiling", "loading", "running", "retreating", "cancelling", "done", "cancelled", "failed",
)  # fmt: skip
OVER: Final = ("done", "cancelled", "failed")


class JobNews:
    """``controllers``: names by number."""

    def __init__(self, spools: Path, controllers: Mapping[int, str]) -> None:
        self.jobs: dict[tuple[str, int], dict[str, Any]] = {}
        """By controller and number: state, shots_done, shots, name, qpus, reason, as far as they are known."""
        self._controllers = dict(controllers)
        self._tail = Tail(spools, self._controllers)

    def look(self) -> list[tuple[str, int]]:
        """Read on; which jobs have changed."""
        news = self._tail.news().events
        taken = (self._take(self._controllers[node], event) for node, event in news if event.layer == "job")
        return list(dict.fromkeys(key for key in taken if key is not None))

    def summary(self) -> str:
        """How many are in which state; nothing if there are none."""
        states = [facts["state"] for facts in self.jobs.values()]
        known = [f"{states.count(state)} {state}" for state in _STATES if state in states]
        return f"jobs: {', '.join(known)}" if known else ""

    def _take(self, controller: str, event: SpoolEvent) -> tuple[str, int] | None:
        number = event.fields.get("job")
        if type(number) is not int:
            return None
        facts = self.jobs.setdefault((controller, number), {"state": "queued", "shots_done": 0})
        about = {"called": "name", "qpus": "qpus", "shots": "shots", "shots_done": "shots_done"}
        facts |= {about[key]: value for key, value in event.fields.items() if key in about}
        if event.name in _STATES:
            facts["state"] = event.name
            facts["reason"] = event.fields.get("reason", "")
        return controller, number
