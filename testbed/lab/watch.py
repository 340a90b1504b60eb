"""What the launcher tells the outside world while a run goes on, over MQTT and on a terminal, and hears from it.

What may live here: which topic says what (docs/telemetry.md has the list for people).  Telemetry runs on threads of its
own and reads what nodes have written down anyhow; nothing here is felt by virtual time.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Final, Self

from testbed.broker import OPERATOR, EmbeddedBroker
from testbed.clock.local import LocalHost
from testbed.fault_kinds import BROKER, DISK
from testbed.lab.job_news import JobNews
from testbed.lab.tail import News, Tail
from testbed.lab.tally import Tally
from testbed.lab.virtual import Progress
from testbed.plan.plan import Plan
from testbed.rundir import RunFolder
from testbed.scenario import Scenario

TICK_S = 0.25
FIRST_TRY_S = 1.0
"""How long a broker elsewhere may take to be found wanting before the run begins."""
BROKEN_OFF_S = 0.5
"""How long the last words may take when a run has broken off; everything is to be over within 5 s."""

EVENTS_AT_ONCE: Final = 200
"""Told of one look; how many more there were is told as well."""

Request = Callable[[bytes, Callable[[dict[str, Any]], None]], None]
"""``request(line, reply)``: a command, and who is to be told what came of it; from any thread."""


class Watch:
    """``setting`` is none, embedded or a broker's URL, read with ``testbed.telemetry.parse_broker`` before."""

    def __init__(self, plan: Plan, setting: str, folder: RunFolder, also: Progress) -> None:
        self._also = also
        self._folder = folder
        self._plan = {n.name: n for n in plan.nodes}
        self._names = {n.number: n.name for n in plan.nodes}
        self._incarnations = {n.name: n.incarnation for n in plan.nodes}
        self._dead: set[str] = set()
        controllers = {n.number: n.name for n in plan.nodes if n.control is not None}
        self._jobs = JobNews(folder.spools, controllers) if controllers else None
        self._links = {} if plan.network is None else _links(plan.network)
        jobs = [app for n in plan.nodes for name, app in n.apps.items() if name.startswith("job-")]
        self._tally = Tally(self._names, self._links, {job["job"]: job["shots"] for job in jobs})
        self._telemetry = None
        self._well = False
        self._brokerless = False
        self._over = threading.Event()
        self._reader = threading.Thread(target=self._read, name="watch", daemon=True)
        self._tail = Tail(folder.spools)
        self.on_request: Request | None = None
        """Obeys commands; without it they are refused."""
        if setting != "none":
            from testbed.telemetry import Telemetry

            run = re.sub(r"[+#\0]", "-", folder.path.resolve().name) or "run"
            self._telemetry = Telemetry(run, setting, log=folder.log("broker"), on_request=self._requested)

    @property
    def facts(self) -> dict[str, Any]:
        """For run.json: where to listen."""
        if self._telemetry is None:
            return {}
        address = self._telemetry.address
        shown = repr(address if self.broker is None else address._replace(user=None))
        return {"broker": shown, "topics": f"{self._telemetry.root}/#"}

    @property
    def trouble(self) -> str:
        """Why nothing reaches a broker that is not our own, if so."""
        return "" if self._telemetry is None or self.broker is not None else self._telemetry.trouble

    def first_trouble(self) -> str:
        """The same as soon as it can be known, and put down in logs/broker.log; nobody waits for a silent broker."""
        if self._telemetry is None or self.broker is not None:
            return ""
        self._telemetry.wait_known(FIRST_TRY_S)
        if trouble := self.trouble:
            with suppress(OSError), open(self._folder.log("broker"), "a") as log:
                print(f"{self._telemetry.address!r}: {trouble}; it is sought again", file=log)
        return trouble

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
            if self.broker is not None:
                self._folder.write_operator(self.facts["broker"], OPERATOR, self.broker.passwords[OPERATOR])
            self._reader.start()
        for name in self._plan:
            self.state(name, "booting")
        self.troubles([])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._telemetry is not None:
            self._stop_reading()
            if self._well:
                self._telemetry.close()
            else:
                self._telemetry.close(BROKEN_OFF_S)

    # -- what the run says -------------------------------------------------------------------------------------------

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

    def troubles(self, active: list[dict[str, Any]]) -> None:
        """All that is wrong with the network now, by plan or by command."""
        self._broke(any(one["kind"] == BROKER for one in active))
        for name, about in self._links.items():
            ends = {about["a"], about["b"], about.get("station")}
            own = [one for one in active if not one["at"] or name in one["at"] or ends & set(one["at"])]
            own = [one for one in own if one["kind"] not in (BROKER, DISK)]
            cut = any(one["kind"] == "cut" for one in own)
            self._publish(f"link/{name}/state", about | {"state": "cut" if cut else "up", "faults": own})

    def _broke(self, gone: bool) -> None:
        """Have the embedded broker be there, or not."""
        if self.broker is None or gone == self._brokerless:
            return
        self._brokerless = gone
        if gone:
            self.broker.stop(0.0)
        else:
            self.broker.start()

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
        if self._telemetry is not None:
            self._stop_reading()
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

    # -- what its nodes have written down ----------------------------------------------------------------------------

    def _read(self) -> None:
        while not self._over.wait(TICK_S):
            self._tell(self._tail.news())

    def _stop_reading(self) -> None:
        """The rest is read once more, if it was read at all."""
        if not self._over.is_set():
            self._over.set()
            self._reader.join()
            self._tell(self._tail.news())

    def _tell(self, news: News) -> None:
        for topic, counts in self._tally.take(news).items():
            self._publish(topic, counts)
        if news.events:
            shown = [
                {"t_ps": one.t_ps, "node": self._names[number], "layer": one.layer, "event": one.name, **one.fields}
                for number, one in news.events[:EVENTS_AT_ONCE]
            ]
            self._publish("events", {"events": shown, "skipped": len(news.events) - len(shown)}, retain=False)

    # -- what comes from outside -------------------------------------------------------------------------------------

    def _requested(self, client: str, line: bytes) -> None:
        """A command over MQTT; its answer goes to ``reply/CLIENT``, with the ``id`` that it came with."""
        try:
            named = json.loads(line).get("id")
        except (ValueError, AttributeError, RecursionError):
            named = None

        def reply(answer: dict[str, Any]) -> None:
            self._publish(f"reply/{client}", {"id": named, **answer}, retain=False)

        if self.on_request is None:
            remedy = "take --clock virtual or paced, and wait until it is up"
            reply({"error": {"place": "command", "problem": "nobody here obeys now", "remedy": remedy}})
        else:
            self.on_request(line, reply)

    def _publish(self, topic: str, payload: dict[str, Any], retain: bool = True) -> None:
        if self._telemetry is not None:
            self._telemetry.publish(topic, payload, retain)


def _links(network: Scenario) -> dict[str, dict[str, Any]]:
    """What is said of each link, whatever its state."""
    found: dict[str, dict[str, Any]] = {}
    for link in network.links:
        about = {"a": link.a, "b": link.b, "station": link.station, "length_m": link.length_m}
        found[link.name] = {"number": link.number, **about}
    for wire in network.classical_links:
        found[wire.name] = {"number": None, "a": wire.a, "b": wire.b, "length_m": wire.length_m}
    return found


__all__ = ["Watch"]
