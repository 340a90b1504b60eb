"""What is known of a run before anything of it is made or started: its options, its scenario, its plan.

What may live here: reading, and refusing what this lab cannot run.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from testbed.circuits import CompiledJob, compile_jobs
from testbed.errors import BadInput
from testbed.lab.children import PROGRAM, TEMPLATE
from testbed.lab.inputs import Outside
from testbed.plan.compose import compose
from testbed.plan.plan import Plan
from testbed.scenario import Scenario, load_scenario, with_options
from testbed.scenario.source import noted

OWN_NAMES: Final = ("launcher", "plane", "broker", "guard", TEMPLATE)
"""Processes of a run that are no nodes; their logs and process ids stand beside the nodes'."""


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
    log: bytes = b""
    """Of a replay: the same, as it is written down."""
    until_ps: int | None = None
    """Of a replay: where it is to stop."""
    idle: bool = False
    """Of a replay: of a testbed that stood, whose network came up without its work."""


class Prepared(NamedTuple):
    """All that is known; ``sources``: the files that were read, see ``testbed.scenario.source.noted``."""

    options: Options
    scenario: Scenario
    jobs: list[CompiledJob]
    plan: Plan
    mqtt: str
    sources: dict[str, str]


def prepare(options: Options, stands: bool) -> Prepared:
    """Raises BadInput."""
    _check_options(options)
    with noted() as sources:
        scenario = with_options(
            load_scenario(options.scenario),
            seed=options.seed,
            circuit=options.circuit,
            shots=options.shots,
            dilation=options.dilation,
        )
        scenario = scenario.network() if stands else scenario
        jobs = compile_jobs(scenario)
    mqtt = options.mqtt if options.mqtt is not None else scenario.mqtt
    if mqtt != "none":
        from testbed.telemetry import parse_broker  # an MQTT client takes a third of what this module does to import

        parse_broker(mqtt, *(("command line", "--mqtt") if options.mqtt else (str(options.scenario), "mqtt")))
    plan = compose(scenario, options.clock, jobs, stands)
    if options.inputs:
        outside = Outside(scenario, None, None)
        plan = replace(plan, inputs=tuple(outside.planned(one["t_ps"], one) for one in options.inputs))
    if options.until_ps is not None:
        plan = replace(plan, duration_ps=min(plan.duration_ps, options.until_ps))
    _check(plan, options)
    return Prepared(options, scenario, jobs, plan, mqtt, sources)


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


__all__ = ["Options", "Prepared", "prepare"]
