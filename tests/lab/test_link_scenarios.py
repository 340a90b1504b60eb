"""The shipped scenarios of links, run: what their reports say is what has been published for such links."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbed.circuits import compile_job
from testbed.lab.compose import compose
from testbed.lab.local import run_local
from testbed.lab.report import build_report
from testbed.scenario import Scenario, load_scenario

SCENARIOS = Path(__file__).parents[2] / "testbed" / "scenarios"


def figures(scenario: Scenario) -> dict[tuple[str, str], Any]:
    """A run in one process; its figures by name and subject."""
    jobs = [compile_job(scenario, job) for job in scenario.jobs]
    report = build_report(scenario, jobs, run_local(compose(scenario, "local", jobs), None, {}))
    assert not report.unfinished
    return {(figure.name, figure.subject): figure for figure in report.figures}


def test_metro_pairs_are_worth_what_is_published_when_their_heralds_arrive() -> None:
    """QL2020 at alpha .1: .85038199 at emission by the exact law, about .749 when the heralds arrive."""
    scenario = load_scenario(SCENARIOS / "metro-link.yaml")
    assert scenario.teleport is not None
    seen = figures(replace(scenario, teleport=replace(scenario.teleport, rounds=1)))

    assert seen["pairs_heralded", "metro"].value == 6
    assert seen["fidelity_at_emission", "metro"].value == pytest.approx(0.85038199, abs=1e-5)
    assert seen["fidelity_at_herald", "metro"].value == pytest.approx(0.749, abs=5e-4)
    assert seen["fidelity_estimated", "metro"].value == pytest.approx(0.7501, abs=5e-4)


def test_transducers_reach_what_their_noise_permits() -> None:
    """To leading order in the efficiency (1+N)(sqrt(1+N) - sqrt N)^2, and 1/(1+n)^3."""
    scenario = load_scenario(SCENARIOS / "transducers.yaml")
    seen = figures(replace(scenario, jobs=tuple(replace(job, shots=2) for job in scenario.jobs)))

    published = {"target": 0.98079, "y2022": 0.532, "y2024": 1.1**-3, "y2025": 0.5668, "y2026": 0.8132}
    for link, fidelity in published.items():
        assert seen["fidelity_at_emission", link].value == pytest.approx(fidelity, abs=4e-3), link
        assert seen["fidelity_estimated", link].value == pytest.approx(fidelity, abs=4e-3), link
