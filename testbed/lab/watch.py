"""What the launcher tells the outside world while a run goes on: node states and progress, over MQTT and on a terminal.

What may live here: which topic says what.  Telemetry runs on a thread of its own; nothing here is felt by virtual time.

Topics, all retained, under bellwire/RUN/ (RUN is the name of the output folder):
`node/NAME/state` {state, kind, number, incarnation}: booting, up, killed, restarted, ended; down when the run broke off
`progress` {t_ps, windows}, about four times a second
`job/NUMBER` {controller, name, state, shots_done, shots, qpus, reason}: of controllers, with every look at progress
`result` {exit_code, trouble, figures}, figures as in report.json
`state` {state}: running, ended, lost: the publisher's own
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from testbed.broker import EmbeddedBroker
from testbed.clock.local import LocalHost
from testbed.lab.job_news import JobNews
from testbed.lab.plan import Plan
from testbed.lab.virtual import Progress
from testbed.rundir import RunFolder

TICK_S = 0.25
BROKEN_OFF_S = 0.5
"""How long the last words may take when a run has broken off; everything is to be over within 5 s."""


class Watch:
    """``setting`` is none, embedded or a broker's URL, read with ``testbed.telemetry.parse_broker`` before."""

    def __init__(self, plan: Plan, setting: str, folder: RunFolder, also: Progress) -> None:
        self._also = also
        self._plan = {n.name: n for n in plan.nodes}
        self._names = {n.number: n.name for n in plan.nodes}
        self._incarnations = {n.name: n.incarnation for n in plan.nodes}
        self._dead: set[str] = set()
        controllers = {n.number: n.name for n in plan.nodes if n.control is not None}
        self._jobs = JobNews(folder.spools, controllers) if controllers else None
        self._telemetry = None
        self._well = False
        if setting != "none":
            from testbed.telemetry import Telemetry

            run = re.sub(r"[+#\0]", "-", folder.path.resolve().name) or "run"
            self._telemetry = Telemetry(run, setting, log=folder.log("broker"))

    @property
    def facts(self) -> dict[str, Any]:
        """For run.json: where to listen."""
        if self._telemetry is None:
            return {}
        return {"broker": repr(self._telemetry.address), "topics": f"{self._telemetry.root}/#"}

    @property
    def broker(self) -> EmbeddedBroker | None:
        """The embedded one, if there is one."""
        return None if self._telemetry is None else self._telemetry.broker

    @property
    def pids(self) -> dict[str, int]:
        """The embedded broker's process."""
        broker = self.broker
        return {} if broker is None or broker.process is None else {"broker": broker.process.pid}

    def __enter__(self) -> Self:
        if self._telemetry is not None:
            self._telemetry.__enter__()
        for name in self._plan:
            self.state(name, "booting")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._telemetry is not None:
            if self._well:
                self._telemetry.close()
            else:
                self._telemetry.close(BROKEN_OFF_S)

    def state(self, node: str | int, state: str) -> None:
        """A node has changed its state."""
        name = self._names[node] if isinstance(node, int) else node
        if state == "killed":
            self._dead.add(name)
        elif state == "restarted":
            self._dead.discard(name)
            self._incarnations[name] += 1
        config = self._plan[name]
        self._publish(
            f"node/{name}/state",
            {
                "state": state,
                "kind": config.kind,
                "number": config.number,
                "incarnation": self._incarnations[name],
            },
        )

    def progress(self, facts: dict[str, Any]) -> None:
        """About four times a second."""
        self._publish("progress", {"t_ps": facts["t_ps"], "windows": facts["windows"]})
        self._also(facts | {"jobs": self._look_at_jobs()})

    @contextmanager
    def ticking(self) -> Iterator[Callable[[LocalHost], None]]:
        """``local``: a thread looks at the time of the host it is given; nothing in the run knows of it."""
        over = threading.Event()
        hosts: list[LocalHost] = []

        def tick() -> None:
            while not over.wait(TICK_S):
                for host in hosts:
                    self.progress({"t_ps": host.true_now, "windows": 0})

        thread = threading.Thread(target=tick, name="progress", daemon=True)
        thread.start()
        try:
            yield hosts.append
        finally:
            over.set()
            thread.join()

    def ended(self, code: int, trouble: str, figures: object, broken_off: bool) -> None:
        """The run has come to its end, or was broken off; ``figures`` are rows of report.json."""
        self._well = not broken_off
        self._look_at_jobs()
        for name in self._plan:
            if name not in self._dead:
                self.state(name, "down" if broken_off else "ended")
        self._publish("result", {"exit_code": code, "trouble": trouble, "figures": figures})

    def _look_at_jobs(self) -> str:
        """Publish what has changed; all of them in a few words."""
        if self._jobs is None:
            return ""
        for controller, number in self._jobs.look():
            self._publish(f"job/{number}", {"controller": controller, **self._jobs.jobs[controller, number]})
        return self._jobs.summary()

    def _publish(self, topic: str, payload: dict[str, Any]) -> None:
        if self._telemetry is not None:
            self._telemetry.publish(topic, payload)


__all__ = ["Watch"]
