"""`bellwire run`: a scenario under a clock, into a folder, with one exit code.

What may live here: the order of things and what each way of ending means.  It leaves nothing running, whatever
happens.
"""

import os
import platform
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import trio

from stack.runtime.virtual import CountError
from testbed.circuits import compile_job
from testbed.errors import BadInput
from testbed.lab.children import ProcessDied
from testbed.lab.compose import compose
from testbed.lab.local import run_local
from testbed.lab.outcome import Outcome
from testbed.lab.plan import Plan
from testbed.lab.report import Report, build_report
from testbed.lab.virtual import Launch, Progress
from testbed.lab.watch import Watch
from testbed.rundir import RunFolder
from testbed.scenario import load_scenario, with_options
from testbed.telemetry import parse_broker
from testbed.trace.merging import MergeResult, NodeIdentity, merge

EXIT_WELL: Final = 0
EXIT_FAILED: Final = 1
EXIT_BAD_INPUT: Final = 2
EXIT_DIED: Final = 3
EXIT_BROKEN: Final = 4
EXIT_INTERRUPTED: Final = 130

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


@dataclass(frozen=True, slots=True)
class Finished:
    """How a run ended: its exit code, one sentence if it did not end well, and what it left."""

    code: int
    trouble: str
    folder: RunFolder
    report: Report | None
    merged: MergeResult | None


def run(options: Options, progress: Progress) -> Finished:
    """Run a scenario.  Raises BadInput before anything is started."""
    scenario = with_options(
        load_scenario(options.scenario),
        seed=options.seed,
        circuit=options.circuit,
        shots=options.shots,
        dilation=options.dilation,
    )
    if options.mqtt is not None and options.mqtt != "none":
        parse_broker(options.mqtt, place="--mqtt")
    jobs = [compile_job(scenario, job) for job in scenario.jobs]
    folder = RunFolder.create(options.out or _fresh(scenario.name), options.force)
    plan = compose(scenario, options.clock, jobs)
    began = time.monotonic()
    outcome: Outcome | None = None
    code, trouble = EXIT_WELL, ""
    live = _facts(options, plan)
    folder.write_run(live)
    try:
        with Watch(plan, options.mqtt or scenario.mqtt, folder) as watch:
            outcome = _under_clock(plan, options, folder, watch, progress, live)
            watch.ended(outcome.end_ps)
    except KeyboardInterrupt:
        code, trouble = EXIT_INTERRUPTED, "interrupted"
    except ProcessDied as death:
        code = EXIT_BROKEN if death.broken_rules else EXIT_DIED
        trouble = f"{death.name} {death.how}"
    except CountError as error:
        code, trouble = EXIT_BROKEN, str(error)
    except OSError as error:
        code, trouble = EXIT_DIED, f"the machine refused: {error}"
    live["wall_s"] = round(time.monotonic() - began, 3)
    merged = None
    try:
        merged = _merge(plan, folder)
    except OSError as error:
        code, trouble = code or EXIT_DIED, trouble or f"the trace could not be written: {error}"
    report = None
    if outcome is not None:
        report = build_report(scenario, jobs, outcome)
        folder.write_report(scenario.name, scenario.seed, report.figures, **report.sections)
        if outcome.stuck:
            code, trouble = EXIT_FAILED, "nothing can happen any more, but these programs wait: " + _waiting(outcome)
        elif report.unfinished:
            code, trouble = EXIT_FAILED, f"not finished: {', '.join(report.unfinished)}"
    if merged is not None:
        folder.drop_spools()
    live |= {"exit_code": code, "trouble": trouble, "engine": outcome.wall if outcome is not None else {}}
    folder.write_run(live)
    return Finished(code, trouble, folder, report, merged)


def _fresh(name: str) -> Path:
    """A folder of its own for a run whose user named none."""
    out = Path("out")
    for n in range(1, 10_000):
        path = out / (name if n == 1 else f"{name}-{n}")
        if not path.exists():
            return path
    raise BadInput(str(out), "output folder", "ten thousand runs are kept there", "remove some, or name another folder")


def _under_clock(
    plan: Plan, options: Options, folder: RunFolder, watch: Watch, progress: Progress, live: dict[str, Any]
) -> Outcome:
    if options.clock == "local":
        return _local(plan, folder)
    launch = Launch(plan, options.clock, folder.path, folder.spools, plan.groups(options.processes), watch.progress)
    watch.also = progress
    launch.on_state = watch.state

    def on_up(pids: dict[str, int]) -> None:
        live["pids"] = {"launcher": os.getpid(), **pids}
        live["addresses"] = {launch.names[n]: f"{host}:{port}" for n, (host, port) in launch.addresses.items()}
        folder.write_run(live)

    launch.on_up = on_up
    try:
        trio.run(launch.run)
    except BaseExceptionGroup as group:
        # One cause is worth telling: an interrupt before a death, a death before anything else.
        for kind in (KeyboardInterrupt, ProcessDied, OSError):
            found = group.subgroup(kind)
            if found is not None:
                raise _leaf(found) from None
        raise
    return launch.outcome()


def _leaf(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _local(plan: Plan, folder: RunFolder) -> Outcome:
    """In this process; only attached programs have one of their own."""
    sessions: dict[int, list[socket.socket]] = {}
    children: list[subprocess.Popen[bytes]] = []
    names = {n.number: n.name for n in plan.nodes}
    try:
        for index, program in enumerate(plan.programs):
            ours, theirs = socket.socketpair()
            sessions.setdefault(program.node, []).append(ours)
            env = {**os.environ, "BELLWIRE_SESSION": str(theirs.fileno()), "BELLWIRE_NODE": names[program.node]}
            with open(folder.log(f"program-{index}"), "ab") as log, theirs:
                children.append(
                    subprocess.Popen(
                        [sys.executable, *program.command],
                        pass_fds=[theirs.fileno()],
                        env=env,
                        stdout=log,
                        stderr=log,
                        stdin=subprocess.DEVNULL,
                    )
                )
        try:
            outcome = run_local(plan, folder.spools, sessions)
        except BaseExceptionGroup as group:
            for kind in (KeyboardInterrupt, CountError):
                found = group.subgroup(kind)
                if found is not None:
                    raise _leaf(found) from None
            raise
        for index, child in enumerate(children):
            if child.wait() != 0:
                raise ProcessDied(f"program-{index}", f"ended with exit code {child.returncode}", False)
        return outcome
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
                child.wait()


def _merge(plan: Plan, folder: RunFolder) -> MergeResult | None:
    identities = [NodeIdentity(n.number, n.name, n.kind) for n in plan.nodes]
    return merge(folder.spools, folder.path, identities)


def _waiting(outcome: Outcome) -> str:
    waiting = [f"{node}: {name}" for node, results in outcome.results.items() for name in results.get("running", [])]
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
        "pids": {"launcher": os.getpid()},
        "addresses": {},
    }


__all__ = ["CLOCKS", "Finished", "Options", "run"]
