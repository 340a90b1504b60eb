"""What the launcher tells the outside world while a run goes on: node states and progress over MQTT.

What may live here: which topic says what.  Telemetry runs on a thread of its own; nothing here is felt by virtual time.

Topics, all retained, under bellwire/RUN/: `node/NAME/state` {state, kind, number, incarnation},
`progress` {t_ps, windows}, `result` {end_ps}; `state` (running, ended, lost) is the publisher's own.
"""

from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from testbed.lab.plan import Plan
from testbed.lab.virtual import Progress
from testbed.rundir import RunFolder


class Watch:
    """``setting`` is none, embedded or a broker's URL; raises BadInput for one that cannot be read."""

    def __init__(self, plan: Plan, setting: str, folder: RunFolder) -> None:
        self.also: Progress = lambda facts: None
        """Who else hears of progress."""
        self._plan = {n.name: n for n in plan.nodes}
        self._stack = ExitStack()
        self._telemetry = None
        if setting != "none":
            from testbed.telemetry import Telemetry

            self._telemetry = Telemetry(folder.path.resolve().name, setting, log=folder.log("broker"))

    def __enter__(self) -> Self:
        if self._telemetry is not None:
            self._stack.enter_context(self._telemetry)
        for name in self._plan:
            self.state(name, "booting", 1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            for name in self._plan:
                self.state(name, "down", 0)
        self._stack.close()

    def state(self, node: str, state: str, incarnation: int) -> None:
        """A node has changed its state."""
        config = self._plan[node]
        self._publish(
            f"node/{node}/state",
            {"state": state, "kind": config.kind, "number": config.number, "incarnation": incarnation},
        )

    def progress(self, facts: dict[str, Any]) -> None:
        """About four times a second."""
        self._publish("progress", {"t_ps": facts["t_ps"], "windows": facts["windows"]})
        self.also(facts)

    def ended(self, end_ps: int) -> None:
        """The run has come to its end."""
        for name in self._plan:
            self.state(name, "ended", 0)
        self._publish("result", {"end_ps": end_ps})

    def _publish(self, topic: str, payload: dict[str, Any]) -> None:
        if self._telemetry is not None:
            self._telemetry.publish(topic, payload)
