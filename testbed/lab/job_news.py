"""What becomes of jobs while a run goes on, as their controllers write it down.

What may live here: reading the events of controllers from their spools as they grow.  No node hears of it, whatever the
clock: what is looked at has been written anyway.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from stack.record import spool_name
from testbed.trace.spool import Spool, SpoolEvent

_STATES: Final = (
    "queued", "compiling", "loading", "running", "retreating", "cancelling", "done", "cancelled", "failed",
)  # fmt: skip
OVER: Final = ("done", "cancelled", "failed")


class JobNews:
    """``controllers``: names by number."""

    def __init__(self, spools: Path, controllers: Mapping[int, str]) -> None:
        self.jobs: dict[tuple[str, int], dict[str, Any]] = {}
        """By controller and number: state, shots_done, shots, name, qpus, reason, as far as they are known."""
        self._spools = spools
        self._controllers = dict(controllers)
        self._lives = dict.fromkeys(controllers, 1)
        self._read_to: dict[Path, int] = {}

    def look(self) -> list[tuple[str, int]]:
        """Read on; which jobs have changed."""
        changed: dict[tuple[str, int], None] = {}
        for number, name in self._controllers.items():
            for incarnation in range(1, self._lives[number] + 2):
                path = self._spools / spool_name(number, incarnation)
                with suppress(OSError):  # not there yet, or no more: the run has ended
                    for event in self._new_events(path):
                        self._lives[number] = max(self._lives[number], incarnation)
                        key = self._take(name, event)
                        if key is not None:
                            changed[key] = None
        return list(changed)

    def summary(self) -> str:
        """How many are in which state; nothing if there are none."""
        states = [facts["state"] for facts in self.jobs.values()]
        known = [f"{states.count(state)} {state}" for state in _STATES if state in states]
        return f"jobs: {', '.join(known)}" if known else ""

    def _new_events(self, path: Path) -> list[SpoolEvent]:
        spool = Spool(path)
        found = [record for record in spool.records(self._read_to.get(path, 0)) if isinstance(record, SpoolEvent)]
        self._read_to[path] = spool.read_to
        return [event for event in found if event.layer == "job"]

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
