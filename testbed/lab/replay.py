"""`run --replay DIR`: the run that left DIR, once more; `replay DIR --until T`: up to a time, to look into its nodes.

What may live here: reading what such a folder says about its own making, and that look.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from stack.node import Node
from testbed.errors import BadInput
from testbed.lab.inputs import check_inputs, read_inputs
from testbed.lab.prepare import Options
from testbed.lab.run import run
from testbed.lab.virtual import Progress
from testbed.program import program
from testbed.rundir import RunFolder
from testbed.scenario import load_scenario
from testbed.scenario.source import digest


def replayed(options: Options, path: Path) -> Options:
    """The options of the run that left the folder ``path``, with what came to it from outside; what the command line
    says itself stays.  Raises BadInput."""
    folder = RunFolder(path)
    source = folder.run
    try:
        facts = json.loads(source.read_text())
        scenario, seed, overrides = Path(facts["scenario"]), int(facts["seed"]), facts["overrides"]
        circuit, shots = overrides["circuit"], overrides["shots"]
        standing = bool(facts.get("standing"))
    except OSError as error:
        raise BadInput(str(source), "file", error.strerror or str(error), "name the folder of a finished run") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(str(source), "file", "it is not a run.json", "name the folder of a finished run") from None
    if options.out is not None and options.out.resolve() == path.resolve():
        raise BadInput("command line", "--out", "the run that is to be done again is there", "name another folder")
    if options.scenario is None and options.circuit is None:
        _check_sources(facts.get("sources", {}), path)
    inputs = read_inputs(folder.inputs)
    log = folder.inputs.read_bytes() if folder.inputs.exists() else b""
    if inputs:
        check_inputs(folder.inputs, inputs, load_scenario(options.scenario or scenario))
    if options.clock == "paced" and (inputs or standing):
        raise BadInput("command line", "--clock", "wall time never comes again", "replay it in virtual or local")
    if standing and not any(one["do"] == "end" for one in inputs):
        end = {"t_ps": _last_ps(folder) + 1, "do": "end"}  # it was cut short
        inputs.append(end)
        log += json.dumps(end).encode() + b"\n"
    return replace(
        options,
        scenario=options.scenario or scenario,
        seed=seed if options.seed is None else options.seed,
        circuit=options.circuit or (Path(circuit) if circuit else None),
        shots=options.shots or shots,
        inputs=tuple(inputs),
        log=log,
        idle=standing,
    )


def _check_sources(sources: Mapping[str, str], path: Path) -> None:
    """Whether the scenario and all that it names are as they were.  Raises BadInput."""
    for name, was in sources.items():
        try:
            now = digest(Path(name).read_bytes())
        except OSError as error:
            now, problem = "", error.strerror or str(error)
        else:
            problem = "it is not as it was when that run was made"
        if now != was:
            again = f"{program()} run SCENARIO --replay {shlex.quote(str(path))}"
            raise BadInput(name, "whole file", problem, f"put it back, or say what is to be run instead: {again}")


class Look(NamedTuple):
    """A run at one of its times; ``nodes`` by name, as ``stack.node.Node.shown`` has them."""

    scenario: str
    t_ps: int
    nodes: dict[str, dict[str, Any]]


def look(path: Path, until_ps: int | None, progress: Progress) -> Look:
    """Run what left the folder ``path`` once more, in this process, and stop: at ``until_ps``, before anything of that
    time, or at its end.  Nothing is left behind.  Raises BadInput."""
    found: list[Look] = []

    def on_end(t_ps: int, nodes: dict[str, Node]) -> None:
        found.append(Look(str(options.scenario), t_ps, {name: node.shown() for name, node in nodes.items()}))

    with TemporaryDirectory(prefix="bellwire-") as out:
        options = replayed(Options(scenario=None, clock="local", out=Path(out), mqtt="none"), path)  # type: ignore[arg-type]
        options = replace(options, until_ps=until_ps)
        finished = run(options, progress, on_end=on_end)
    if not found:
        raise BadInput(path, "replay", finished.trouble or "it did not come so far", "run the scenario as it is")
    return found[0]


def _last_ps(folder: RunFolder) -> int:
    """The time of the last event of a run."""
    last = 0
    try:
        with folder.events.open("rb") as lines:
            for line in lines:
                last = int(json.loads(line)["t_ps"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return last


__all__ = ["Look", "look", "replayed"]
