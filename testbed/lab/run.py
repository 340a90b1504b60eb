"""`bellwire run`: a scenario under a clock, into a folder, with one exit code.

What may live here: the order of things and what each way of ending means.  It leaves nothing running, whatever
happens.
"""

import os
import platform
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Protocol

import trio

from stack.node import Node
from stack.runtime.inputs import InputLog
from stack.runtime.virtual import CountError
from testbed.broker import EmbeddedBroker
from testbed.clock.agenda import Deed
from testbed.errors import BadInput
from testbed.lab.attached import Attached, program_title
from testbed.lab.children import ProcessDied, lifeline
from testbed.lab.director import Director
from testbed.lab.inputs import read_inputs
from testbed.lab.local import run_local
from testbed.lab.prepare import Options, Prepared, prepare
from testbed.lab.remote import Remotes
from testbed.lab.rescue import RESCUE_S, guard
from testbed.lab.spawning import note
from testbed.lab.virtual import Launch, Progress
from testbed.lab.watch import Watch
from testbed.plan.plan import Plan
from testbed.program import start_there
from testbed.report import requests, sync
from testbed.report.jobs import asked
from testbed.report.outcome import Outcome
from testbed.report.whole import Report, build_report
from testbed.rundir import RunFolder, report_document
from testbed.scenario import Scenario
from testbed.trace.merging import MergeResult, NodeIdentity, merge
from testbed.trace.reading import read_events

EXIT_WELL: Final = 0
EXIT_FAILED: Final = 1
EXIT_BAD_INPUT: Final = 2
EXIT_DIED: Final = 3
EXIT_BROKEN: Final = 4
EXIT_INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Finished:
    """How a run ended: its exit code, one sentence if it did not end well, and what it left."""

    code: int
    trouble: str
    folder: RunFolder
    report: Report | None
    merged: MergeResult | None


type OnEnd = Callable[[int, dict[str, Node]], None]


class Standing(Protocol):
    """What makes a run a testbed that stays, see ``testbed.standing.service``."""

    name: str
    """Its folder has it, too, if nobody says another."""
    telemetry: Callable[[], str]
    """Set by the run: why its telemetry reaches nobody, nothing while it does."""

    def enter(self, scenario: Scenario, folder: RunFolder, launch: Launch, broker: EmbeddedBroker | None) -> None:
        """All is ready to be started; ``broker``: the one of its own, if it has one."""

    def request(self, line: bytes, reply: Callable[[dict[str, Any]], None]) -> None:
        """A command that came over MQTT."""


def run(
    options: Options,
    progress: Progress,
    announce: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] = lambda line: None,
    standing: Standing | None = None,
    on_end: OnEnd = lambda t_ps, nodes: None,
) -> Finished:
    """Run a scenario; ``announce`` is told what a person wants to know at the start, ``warn`` what they should.

    ``on_end`` (``local`` only) is given the time at which the run stops, and each node as it is then.
    With ``standing`` its network comes up without its work, and stays until it is told to end.

    Raises BadInput before anything is started or made.  However the run ends, nothing of it is left running, and the
    trace so far is written, within 5 s if it was broken off.
    """
    made = prepare(options, standing is not None or options.idle)
    out = options.out or _fresh(made.scenario.name if standing is None else standing.name)
    with RunFolder.taken(out):
        return _Run(made, RunFolder.create(out, options.force), standing, on_end).whole(progress, announce, warn)


class _Run:
    """One run, in a folder that is there, and empty."""

    def __init__(self, made: Prepared, folder: RunFolder, standing: Standing | None, on_end: OnEnd) -> None:
        self._made = made
        self._folder = folder
        self._standing = standing
        self._on_end = on_end
        self._ending = _Ending(folder)
        self._facts = _facts(made)
        self._outcome: Outcome | None = None
        self._merged: MergeResult | None = None
        self._report: Report | None = None

    def whole(self, progress: Progress, announce: Callable[[str], None], warn: Callable[[str], None]) -> Finished:
        """From its first file to its last."""
        ending, plan = self._ending, self._made.plan
        self._begin()
        began = time.monotonic()
        with ending.judged(), Watch(plan, self._made.mqtt, self._folder, progress) as watch:
            self._tell_of_telemetry(watch, announce, warn)
            with ending.judged():
                self._outcome = self._under_clock(watch, announce)
            self._facts["wall_s"] = round(time.monotonic() - began, 3)
            with ending.judged():
                hurry = RESCUE_S if self._outcome is None or self._outcome.interrupted else None
                self._merged = merge(self._folder.spools, self._folder.path, _identities(plan), hurry)
            if self._outcome is not None:
                self._judge(self._outcome)
            figures = report_document("", 0, self._report.figures if self._report is not None else [])["figures"]
            watch.ended(ending.code, ending.trouble, figures, broken_off=self._outcome is None)
        with ending.judged():
            self._sign()
        return Finished(ending.code, ending.trouble, self._folder, self._report, self._merged)

    def _begin(self) -> None:
        """What is in the folder before anything runs."""
        options, plan = self._made.options, self._made.plan
        if options.clock == "paced":
            names = {node.number: node.name for node in plan.nodes}
            self._folder.write_keys({n.name: {names[peer]: key for peer, key in n.keys.items()} for n in plan.nodes})
        if options.log:
            self._folder.inputs.write_bytes(options.log)

    def _tell_of_telemetry(self, watch: Watch, announce: Callable[[str], None], warn: Callable[[str], None]) -> None:
        if not watch.facts:
            return
        self._facts["telemetry"] = watch.facts
        announce("telemetry at {broker}, topics {topics}".format(**watch.facts))
        if trouble := watch.first_trouble():
            self._facts["telemetry"]["trouble"] = trouble
            warn(f"telemetry: {trouble}; the run goes on without it")

    # -- under its clock ---------------------------------------------------------------------------------------------

    def _under_clock(self, watch: Watch, announce: Callable[[str], None]) -> Outcome:
        """Raises KeyboardInterrupt, ProcessDied, CountError, OSError, or what a node of this process raised."""
        director = self._standing
        if director is None and watch.facts and self._made.options.clock != "local":
            director = Director(self._folder.path.name, self._made.options.clock)
        if director is not None:
            director.telemetry = lambda: watch.trouble
            watch.on_request = director.request
        self._note_processes({}, {}, watch)
        launch: Launch | None = None
        try:
            if self._made.options.clock == "local":
                return self._in_this_process(watch)
            launch = self._launch(watch, announce)
            if director is not None:
                director.enter(self._made.scenario, self._folder, launch, broker=watch.broker)
            trio.run(launch.run)
        except BaseExceptionGroup as group:
            cause = _cause(group)
            # If it is whole, only its programs would not end.
            if launch is None or not (isinstance(cause, KeyboardInterrupt) and launch.whole):
                raise cause from None
        return launch.outcome()

    def _launch(self, watch: Watch, announce: Callable[[str], None]) -> Launch:
        """What starts the processes of a run that has more than one."""
        options, plan, folder = self._made.options, self._made.plan, self._folder
        groups = plan.groups(options.processes)
        remotes = None
        if options.remote and options.bind is not None:
            elsewhere = {n.name: n.number for n in plan.nodes if n.name in options.remote}
            remotes = Remotes(elsewhere, options.bind, folder.path)
            for name in elsewhere:
                announce(f"waiting for {name}; {start_there(remotes.ticket(name))}")
        launch = Launch(
            plan, options.clock, folder.path, folder.spools, groups, watch.progress, remotes=remotes, bind=options.bind
        )
        launch.on_state = partial(self._turned, watch, announce, launch)
        launch.on_troubles = watch.troubles
        launch.on_processes = partial(self._note_processes, launch.addresses, watch=watch)
        self._note_addresses(launch.addresses)
        if remotes is not None:
            self._facts["unrecorded_s"] = launch.unrecorded_s  # it may yet get longer
        return launch

    @staticmethod
    def _turned(watch: Watch, announce: Callable[[str], None], launch: Launch, node: str, state: str) -> None:
        """A node has another state."""
        watch.state(node, state)
        if state == "awaited" and launch.remotes is not None:
            life = launch.configs[launch.remotes.nodes[node]].incarnation
            announce(f"waiting for {node}, life {life}; {start_there(launch.remotes.ticket(node))}")

    def _in_this_process(self, watch: Watch) -> Outcome:
        """``local``: only attached programs have a process of their own, and the guard of the trace."""
        plan, folder = self._made.plan, self._folder
        for node in plan.nodes:
            note(folder.log(node.name), f"node {node.number} shares process {os.getpid()} with all others: local")
        with (
            lifeline() as line,
            guard(line, folder, _identities(plan)) as guard_pid,
            Attached(plan, folder.logs, line) as programs,
            watch.ticking() as on_host,
        ):
            self._note_processes({}, {"guard": guard_pid, **programs.pids}, watch)

            def on_state(node: int, state: str) -> None:
                if state == "killed":
                    programs.pardon(node)
                watch.state(node, state)

            main = threading.current_thread() is threading.main_thread()
            end = programs.end if main else None
            outcome = run_local(
                plan, folder.spools, programs.sessions, on_host, on_state, self._on_end, watch.troubles, end
            )
            programs.finish(outcome)
            if outcome.interrupted and not plan.inputs:  # of what comes from outside this alone can come to it
                InputLog(str(folder.inputs)).write(outcome.end_ps, {"do": "end"})
            return outcome

    def _note_processes(self, addresses: dict[int, tuple[str, int]], pids: dict[str, int], watch: Watch) -> None:
        self._note_addresses(addresses)
        self._facts["pids"] = {"launcher": os.getpid(), **pids, **watch.pids}
        with suppress(OSError):  # the disk may be full by now; at the end it counts
            self._folder.write_run(self._facts)

    def _note_addresses(self, addresses: dict[int, tuple[str, int]]) -> None:
        names = {n.number: n.name for n in self._made.plan.nodes}
        self._facts["addresses"] = {names[n]: f"{host}:{port}" for n, (host, port) in addresses.items()}

    # -- afterwards --------------------------------------------------------------------------------------------------

    def _judge(self, outcome: Outcome) -> None:
        """What came of a run that is whole, in files and as an exit code."""
        made, folder = self._made, self._folder
        with self._ending.judged():
            outcome.ended_early = outcome.interrupted or (not made.plan.standing and _told_to_end(folder))
            report = self._report = build_report(made.scenario, made.jobs, outcome)
            folder.write_report(made.scenario.name, made.scenario.seed, report.figures, **report.sections)
            if outcome.interrupted:
                raise KeyboardInterrupt
            _draw(made, outcome, report, folder)
        if outcome.stuck:
            waiting = _waiting(made.plan, outcome)
            self._ending.judge(EXIT_FAILED, f"nothing can happen any more, but these wait: {waiting}")
        elif self._report is not None and self._report.unfinished:
            self._ending.judge(EXIT_FAILED, f"not finished: {', '.join(self._report.unfinished)}")

    def _sign(self) -> None:
        """The last file: run.json as it stays."""
        complete = self._merged is not None and self._merged.complete
        if complete:
            self._folder.drop_spools()
        self._facts |= {
            "exit_code": self._ending.code,
            "trouble": self._ending.trouble,
            "trace_complete": complete,
            "engine": self._outcome.wall if self._outcome is not None else {},
        }
        self._folder.write_run(self._facts)


def _facts(made: Prepared) -> dict[str, Any]:
    """run.json: everything about this machine and this moment; real addresses and pids join when all is up."""
    options, plan = made.options, made.plan
    return {
        "scenario": str(options.scenario.resolve()),
        "seed": plan.seed,
        "overrides": {
            "circuit": None if options.circuit is None else str(options.circuit.resolve()),
            "shots": options.shots,
        },
        "clock": options.clock,
        "processes": len(plan.groups(options.processes)) if options.clock != "local" else 1,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "host": {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("bellwire", "sequence", "trio", "numpy")},
        "nodes": {n.name: {"number": n.number, "kind": n.kind} for n in plan.nodes},
        "pids": {},
        "addresses": {},
        "standing": plan.standing,
        "sources": made.sources,
    }


def _told_to_end(folder: RunFolder) -> bool:
    """Whether that has come from outside: by a signal, by a command, or to the run that is done again."""
    return any(one["do"] == Deed.END.value for one in read_inputs(folder.inputs))


def _draw(made: Prepared, outcome: Outcome, report: Report, folder: RunFolder) -> None:
    """What a run leaves to look at."""
    scenario, jobs = made.scenario, made.jobs
    charts: list[str] = []
    if "sync-error" in scenario.plots:
        points = sync.sync_points(scenario, outcome.plane.get("pairs", []))
        charts.append(sync.draw(scenario, points, folder.path / sync.PLOT))
    if "cutoffs" in scenario.plots:
        cutoffs = requests.cutoff_points(scenario, outcome)
        charts.append(requests.draw(scenario, cutoffs, folder.path / requests.PLOT))
    if made.plan.standing or not scenario.links:
        return  # a testbed that stays is looked at while it does
    from testbed.page import RunFacts, write_findings, write_jobs_page, write_page, write_telegate

    if not jobs:
        write_findings(scenario, report, charts, folder.page)
        return
    if scenario.jobs[0].controller:
        write_jobs_page(scenario, asked(scenario, jobs, outcome), report.figures, folder.page)
        return

    chart = write_telegate(scenario, folder.path, folder.telegate) if "telegate" in scenario.plots else None
    counts = report.sections.get("counts", {})
    facts = RunFacts(scenario, jobs, outcome, report.figures, counts, report.unfinished)
    write_page(facts, read_events(folder.events), chart, folder.page)


class _Ending:
    """How a run has ended: the first trouble is what counts."""

    def __init__(self, folder: RunFolder) -> None:
        self.code = EXIT_WELL
        self.trouble = ""
        self._log = folder.log("launcher")

    def judge(self, code: int, trouble: str) -> None:
        if self.code == EXIT_WELL:
            self.code, self.trouble = code, trouble

    @contextmanager
    def judged(self) -> Iterator[None]:
        """What goes wrong inside ends there, with a code and a sentence."""
        try:
            yield
        except KeyboardInterrupt:
            self.judge(EXIT_INTERRUPTED, "interrupted")
        except ProcessDied as death:
            self.judge(EXIT_BROKEN if death.broken_rules else EXIT_DIED, str(death))
        except CountError as error:
            self.judge(EXIT_BROKEN, str(error))
        except BadInput as error:  # of this machine, or what only a run can tell of a scenario
            self.judge(EXIT_BAD_INPUT, str(error))
        except OSError as error:
            about = f"{error.filename}: " if error.filename else ""
            self.judge(EXIT_DIED, f"the machine refused: {about}{error.strerror or error}")
        except Exception as error:
            with suppress(OSError), open(self._log, "a") as log:
                traceback.print_exception(error, file=log)
            self.judge(EXIT_DIED, f"an error of Bellwire's own, {type(error).__name__}: {error}; see {self._log}")


def _fresh(name: str) -> Path:
    """A folder of its own for a run whose user named none."""
    out = Path("out")
    for n in range(1, 10_000):
        path = out / (name if n == 1 else f"{name}-{n}")
        if not path.exists():
            return path
    raise BadInput(str(out), "output folder", "ten thousand runs are kept there", "remove some, or name another folder")


def _cause(group: BaseExceptionGroup[Any]) -> BaseException:
    """One cause is worth telling: an interrupt before a death, a death before anything else."""
    error: BaseException = group
    for kind in (KeyboardInterrupt, BadInput, ProcessDied, CountError, OSError):
        found = group.subgroup(kind)
        if found is not None:
            error = found
            break
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _identities(plan: Plan) -> list[NodeIdentity]:
    return [NodeIdentity(n.number, n.name, n.kind) for n in plan.nodes]


def _waiting(plan: Plan, outcome: Outcome) -> str:
    waiting = []
    for node in plan.nodes:
        results = outcome.results[node.name]
        waiting += [f"{node.name}: {name}" for name in results.get("running", [])]
        waiting += [
            f"{node.name}: {program_title(plan, index)}"
            for index in plan.holders(node.number, results.get("sessions", []))
        ]
    return ", ".join(waiting) or "all"


__all__ = ["Finished", "run"]
