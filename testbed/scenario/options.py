"""What the command line puts in place of a scenario's own values, with the same checks.

What may live here: overrides. Their errors have no file: the place is the option.
"""

from dataclasses import replace
from math import isfinite
from pathlib import Path

from testbed.errors import BadInput, Place
from testbed.scenario.load import LEAST_DILATION, MAX_SEED, MOST_DILATION
from testbed.scenario.model import Scenario
from testbed.scenario.source import read_text
from testbed.scenario.work import MAX_SHOTS

COMMAND_LINE = "command line"


def with_options(
    scenario: Scenario,
    *,
    seed: int | None = None,
    circuit: str | Path | None = None,
    shots: int | None = None,
    dilation: float | None = None,
) -> Scenario:
    """The scenario with what was given in place of its own; `circuit` and `shots` go to its one job.

    Raises BadInput.
    """
    if seed is not None:
        if not 0 <= seed <= MAX_SEED:
            raise _bad("--seed", f"{seed} is not a seed", f"give a whole number from 0 to {MAX_SEED}")
        scenario = replace(scenario, seed=seed)
    if dilation is not None:
        if not (isfinite(dilation) and LEAST_DILATION <= dilation <= MOST_DILATION):
            raise _bad("--dilation", f"{dilation:g} is no dilation",
                       f"give a number from {LEAST_DILATION:g} to {MOST_DILATION:g}")  # fmt: skip
        scenario = replace(scenario, dilation=dilation)
    if circuit is None and shots is None:
        return scenario
    option = "--circuit" if circuit is not None else "--shots"
    if len(scenario.jobs) != 1:
        raise _bad(option, f"the scenario {scenario.name} has {len(scenario.jobs)} jobs, not one",
                   "leave the option out, or name a scenario with one job")  # fmt: skip
    job = scenario.jobs[0]
    if shots is not None:
        if not 1 <= shots <= MAX_SHOTS:
            raise _bad("--shots", f"{shots} shots", f"give a whole number from 1 to {MAX_SHOTS}")
        job = replace(job, shots=shots)
    if circuit is not None:
        place = Place(COMMAND_LINE, "--circuit")
        path = Path(circuit)
        read_text(path, "circuit", place)
        job = replace(job, name=path.stem, circuit=path, circuit_place=place, overridden=True)
    return replace(scenario, jobs=(job,))


def _bad(option: str, problem: str, remedy: str) -> BadInput:
    return BadInput(COMMAND_LINE, option, problem, remedy)
