"""`bellwire run`: a scenario under a clock, into a folder, with one exit code.

What may live here: the order of things and what each way of ending means.  It leaves nothing running, whatever
happens.
"""

import os
import platform
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Protocol

import trio

from stack.node import Node
from stack.runtime.virtual import CountError
from testbed.broker import EmbeddedBroker
from testbed.circuits import CompiledJob, compile_jobs
from testbed.errors import BadInput
from testbed.lab.attached import Attached, program_title
from testbed.lab.children import PROGRAM, TEMPLATE, ProcessDied, lifeline
from testbed.lab.compose import compose
from testbed.lab.director import Director
from testbed.lab.inputs import Outside
from testbed.lab.local import run_local
from testbed.lab.outcome import Outcome
from testbed.lab.plan import Plan
from testbed.lab.remote import Remotes
from testbed.lab.rescue import RESCUE_S, guard
from testbed.lab.spawning import note
from testbed.lab.virtual import Launch, Progress
from testbed.lab.watch import Watch
from testbed.program import program
from testbed.report import requests, sync
from testbed.report.jobs import asked
from testbed.report.whole import Report, build_report
from testbed.rundir import RunFolder, report_document
from testbed.scenario import Scenario, load_scenario, with_options
from testbed.trace.merging import MergeResult, NodeIdentity, merge
from testbed.trace.reading import read_events

EXIT_WELL: Final = 0
EXIT_FAILED: Final = 1
EXIT_BAD_INPUT: Final = 2
EXIT_DIED: Final = 3
EXIT_BROKEN: Final = 4
EXIT_INTERRUPTED: Final = 130

OWN_NAMES: Final = ("launcher", "plane", "broker", "guard", TEMPLATE)
"""Processes of a run that are no nodes; their logs and process ids stand beside the nodes'."""

CLOCKS: Final = ("virtual", "local", "paced")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    scenario: Path
    seed: int | None = None
    clock: str = "virtual"
    processes: int | None = None
    dilation: float | None = None
    circuit: Path | None = None
    shots: int | None = None
    out: Path | None = None
    force: bool = False
    mqtt: str | None = None
    remote: tuple[str, ...] = ()
    """Nodes that are started elsewhere."""
    bind: str | None = None
    """The address of this machine at which they reach it."""
    inputs: tuple[dict[str, Any], ...] = ()
    """Of a replay: what came from outside, see ``testbed.lab.inputs``."""
    until_ps: int | None = None
    """Of a replay: where it is to stop."""
    idle: bool = False
    """Of a replay: of a testbed that stood, whose network came up without its work."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a run ended: its exit code, one sentence if it did not end well, and what it left."""

    code: int
    trouble: str
    folder: RunFolder
    report: Report | None
    merged: MergeResult | None


class Standing(Protocol):
    """What makes a run a testbed that stays, see ``testbed.lab.standing``."""

    def enter(self, scenario: Scenario, folder: RunFolder, launch: Launch, broker: EmbeddedBroker | None) -> None:
        """All is ready to be started; ``broker``: the one of its own, if it has one."""

    def request(self, line: bytes, reply: Callable[[dict[str, Any]], None]) -> None:
        """A command that came over MQTT."""


def run(
    options: Options,
    progress: Progress,
    announce: Callable[[str], None] = lambda line: None,
    standing: Standing | None = None,
    on_end: Callable[[int, dict[str, Node]], None] | None = None,
) -> Finished:
    """Run a scenario; ``announce`` is told what a person wants to know at the start.

    ``on_end`` (``local`` only) is given the time at which the run stops, and each node as it is then.
    With ``standing`` its network comes up without its work, and stays until it is told to end.

    Raises BadInput before anything is started or made.  However the run ends, nothing of it is left running, and the
    trace so far is written, within 5 s if it was broken off.
    """
    _check_options(options)
    scenario = with_options(
        load_scenario(options.scenario),
        seed=options.seed,
        circuit=options.circuit,
        shots=options.shots,
        dilation=options.dilation,
    )
    mqtt = options.mqtt if options.mqtt is not None else scenario.mqtt
    if mqtt != "none":
        from testbed.telemetry import parse_broker  # an MQTT client takes a third of what this module does to import

        parse_broker(mqtt, *(("command line", "--mqtt") if options.mqtt else (str(options.scenario), "mqtt")))
    stands = standing is not None or options.idle
    scenario = scenario.network() if stands else scenario
    jobs = compile_jobs(scenario)
    plan = replace(compose(scenario, options.clock, jobs), standing=stands)
    if options.inputs:
        outside = Outside(scenario, None, None)
        plan = replace(plan, inputs=tuple(outside.planned(one["t_ps"], one) for one in options.inputs))
    if options.until_ps is not None:
        plan = replace(plan, duration_ps=min(plan.duration_ps, options.until_ps))
    _check(plan, options)
    folder = RunFolder.create(options.out or _fresh(scenario.name), options.force)
    if options.clock == "paced":
        names = {node.number: node.name for node in plan.nodes}
        folder.write_keys({n.name: {names[peer]: key for peer, key in n.keys.items()} for n in plan.nodes})
    live = _facts(options, plan) | {"standing": stands}
    ending = _Ending(folder)
    outcome: Outcome | None = None
    merged: MergeResult | None = None
    report: Report | None = None
    began = time.monotonic()
    with ending.judged(), Watch(plan, mqtt, folder, progress) as watch:
        if watch.facts:
            live["telemetry"] = watch.facts
            announce("telemetry at {broker}, topics {topics}".format(**watch.facts))
        with ending.judged():
            director = standing
            if director is None and watch.facts and options.clock != "local":
                director = Director(folder.path.name, options.clock)
            enter = None
            if director is not None:
                enter = partial(director.enter, scenario, folder, broker=watch.broker)
                watch.on_request = director.request
            outcome = _under_clock(plan, options, folder, watch, live, enter, on_end, announce)
        live["wall_s"] = round(time.monotonic() - began, 3)
        with ending.judged():
            hurry = None if outcome is not None else RESCUE_S
            merged = merge(folder.spools, folder.path, _identities(plan), hurry)
        if outcome is not None:
            with ending.judged():
                report = build_report(scenario, jobs, outcome)
                folder.write_report(scenario.name, scenario.seed, report.figures, **report.sections)
                _draw(scenario, jobs, outcome, report, folder)
            if outcome.stuck:
                ending.judge(EXIT_FAILED, f"nothing can happen any more, but these wait: {_waiting(plan, outcome)}")
            elif report is not None and report.unfinished:
                ending.judge(EXIT_FAILED, f"not finished: {', '.join(report.unfinished)}")
        figures = report_document("", 0, report.figures if report is not None else [])["figures"]
        watch.ended(ending.code, ending.trouble, figures, broken_off=outcome is None)
    with ending.judged():
        if merged is not None and merged.complete:
            folder.drop_spools()
        live |= {
            "exit_code": ending.code,
            "trouble": ending.trouble,
            "trace_complete": merged is not None and merged.complete,
            "engine": outcome.wall if outcome is not None else {},
        }
        folder.write_run(live)
    return Finished(ending.code, ending.trouble, folder, report, merged)


def _draw(scenario: Scenario, jobs: list[CompiledJob], outcome: Outcome, report: Report, folder: RunFolder) -> None:
    """What a run leaves to look at."""
    if "sync-error" in scenario.plots:
        points = sync.sync_points(scenario, outcome.plane.get("pairs", []))
        sync.draw(scenario, points, folder.path / sync.PLOT)
    if "cutoffs" in scenario.plots:
        cutoffs = requests.cutoff_points(scenario, outcome)
        requests.draw(scenario, cutoffs, folder.path / requests.PLOT)
    if not jobs:
        return
    from testbed.page import RunFacts, write_jobs_page, write_page, write_telegate

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


def _check_options(options: Options) -> None:
    """What each option may be beside the others."""

    def bad(option: str, problem: str, remedy: str) -> BadInput:
        return BadInput("command line", option, problem, remedy)

    if options.processes is not None and options.processes < 1:
        raise bad("--processes", f"{options.processes} is not positive", "give 1 or more")
    if options.processes is not None and options.clock == "local":
        raise bad(
            "--processes", "under the local clock all nodes share one process", "leave it out, or take --clock virtual"
        )
    if options.remote and (options.clock != "paced" or options.processes is not None):
        raise bad("--remote", "only under the paced clock, and each in a process of its own", "take --clock paced")
    if bool(options.remote) != (options.bind is not None):
        raise bad("--bind", "--remote and --bind go together", "name an address of this machine that they can reach")
    if options.dilation is not None and options.clock != "paced":
        raise bad(
            "--dilation", f"the {options.clock} clock does not follow the wall's", "leave it out, or take --clock paced"
        )


def _check(plan: Plan, options: Options) -> None:
    """What a scenario may say, but not to this lab."""
    names = {n.number: n.name for n in plan.nodes}
    for name in options.remote:
        if name not in names.values():
            known = ", ".join(names.values())
            raise BadInput("command line", "--remote", f"there is no node {name}", f"name one of {known:.200}")
    for planned in plan.planned:
        if names[planned.node] in options.remote:
            problem = f"{names[planned.node]} is started elsewhere, and cannot be killed by plan"
            raise BadInput(options.scenario, "faults", problem, "leave one of the two out")
    if any(names[program.node] in options.remote for program in plan.programs):
        raise BadInput(options.scenario, "programs", "its node is started elsewhere", "name another node")
    for node in plan.nodes:
        if node.name in OWN_NAMES or node.name.startswith(PROGRAM):
            raise BadInput(
                options.scenario, f"nodes.{node.name}", "the lab has a process of that name", "call the node otherwise"
            )
    if options.clock == "paced" and any(node.time is not None for node in plan.nodes):
        raise BadInput(
            options.scenario,
            "time_sync",
            "wall time is a thousand times coarser than what time transfer is about",
            "write time_sync: off, or use --clock virtual or local",
        )


def _fresh(name: str) -> Path:
    """A folder of its own for a run whose user named none."""
    out = Path("out")
    for n in range(1, 10_000):
        path = out / (name if n == 1 else f"{name}-{n}")
        if not path.exists():
            return path
    raise BadInput(str(out), "output folder", "ten thousand runs are kept there", "remove some, or name another folder")


def _under_clock(
    plan: Plan,
    options: Options,
    folder: RunFolder,
    watch: Watch,
    live: dict[str, Any],
    enter: Callable[[Launch], None] | None,
    on_end: Callable[[int, dict[str, Node]], None] | None,
    announce: Callable[[str], None],
) -> Outcome:
    """Raises KeyboardInterrupt, ProcessDied, CountError, OSError, or what a node of this process raised."""

    addresses: dict[int, tuple[str, int]] = {}

    def on_processes(pids: dict[str, int]) -> None:
        names = {n.number: n.name for n in plan.nodes}
        live["addresses"] = {names[n]: f"{host}:{port}" for n, (host, port) in addresses.items()}
        live["pids"] = {"launcher": os.getpid(), **pids, **watch.pids}
        folder.write_run(live)

    on_processes({})
    try:
        if options.clock == "local":
            return _local(plan, folder, watch, on_processes, on_end or (lambda t_ps, nodes: None))
        groups = plan.groups(options.processes)
        remotes = None
        if options.remote and options.bind is not None:
            elsewhere = {n.number: n.name for n in plan.nodes if n.name in options.remote}
            remotes = Remotes(elsewhere, options.bind, folder.path)
            announce(f"waiting for {', '.join(options.remote)}; there: {program()} node TICKET --address ADDRESS")
            announce(f"tickets in {folder.path / 'tickets'}")
        launch = Launch(
            plan, options.clock, folder.path, folder.spools, groups, watch.progress, remotes=remotes, bind=options.bind
        )
        launch.on_state = watch.state
        launch.on_troubles = watch.troubles
        launch.on_processes = on_processes
        addresses = launch.addresses
        live["addresses"] = {launch.names[n]: f"{host}:{port}" for n, (host, port) in addresses.items()}
        if enter is not None:
            enter(launch)
        trio.run(launch.run)
    except BaseExceptionGroup as group:
        raise _cause(group) from None
    return launch.outcome()


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


def _local(
    plan: Plan,
    folder: RunFolder,
    watch: Watch,
    on_processes: Callable[[dict[str, int]], None],
    on_end: Callable[[int, dict[str, Node]], None],
) -> Outcome:
    """In this process; only attached programs have one of their own, and the guard of the trace."""
    for node in plan.nodes:
        note(folder.log(node.name), f"node {node.number} shares process {os.getpid()} with all others: local")
    with (
        lifeline() as line,
        guard(line, folder, _identities(plan)) as guard_pid,
        Attached(plan, folder.logs, line) as programs,
        watch.ticking() as on_host,
    ):
        on_processes({"guard": guard_pid, **programs.pids})

        def on_state(node: int, state: str) -> None:
            if state == "killed":
                programs.pardon(node)
            watch.state(node, state)

        try:
            outcome = run_local(plan, folder.spools, programs.sessions, on_host, on_state, on_end)
        except BaseExceptionGroup as group:
            raise _cause(group) from None
        programs.finish(outcome)
        return outcome


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


def _facts(options: Options, plan: Plan) -> dict[str, Any]:
    """run.json: everything about this machine and this moment; real addresses and pids join when all is up."""
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
    }


__all__ = ["CLOCKS", "Finished", "Options", "run"]
