"""Random networks with random work and random faults through the whole stack: what must hold of every one."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from any_network import scenarios
from hypothesis import Phase, given, note, settings
from whole_stack import run_whole, wrong

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
