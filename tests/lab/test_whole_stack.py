"""Random networks with random work and random faults through the whole stack: what must hold of every one."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from any_network import scenarios
from engine_lab import local, virtual
from hypothesis import Phase, given, note, settings
from slice_lab import write_and_load
from whole_stack import run_whole, wrong

from testbed.plan.compose import compose

ONCE = settings(max_examples=8, phases=[Phase.generate])
"""A failing example is not made smaller: that takes hundreds of runs."""


def check(text: dict[str, Any]) -> None:
    """A failing one is printed as a scenario file that `bellwire run` accepts, beside ghz-4.qasm."""
    note(yaml.safe_dump(text, sort_keys=False))
    with TemporaryDirectory() as folder:
        assert wrong(run_whole(text, Path(folder))) == []


@ONCE
@given(scenarios(faults=False))
def test_whatever_happens_to_frames(text: dict[str, Any]) -> None:
    check(text)


@ONCE
@given(scenarios())
def test_whatever_happens_to_nodes_and_fibres(text: dict[str, Any]) -> None:
    check(text)


@settings(ONCE, max_examples=2)
@given(scenarios())
def test_whatever_happens_it_is_the_same_in_processes(text: dict[str, Any]) -> None:
    note(yaml.safe_dump(text, sort_keys=False))
    with TemporaryDirectory() as folder:
        scenario, jobs = write_and_load(text, Path(folder))
        ran = local(compose(scenario, "local", jobs), Path(folder) / "local")
        other = virtual(compose(scenario, "virtual", jobs), Path(folder) / "virtual", processes=2)
        assert other.bytes == ran.bytes
        assert other.outcome.results == ran.outcome.results
        assert other.outcome.counters == ran.outcome.counters
        assert other.outcome.plane == ran.outcome.plane
