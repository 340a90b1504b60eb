"""The shipped scenarios of links, run: what their reports say is what has been published for such links."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stack.link.service import _facts
from testbed.circuits import compile_job
from testbed.hardware import link_config
from testbed.lab.local import run_local
from testbed.plan.compose import compose
from testbed.report.whole import build_report
from testbed.scenario import PAULI_STATES, Scenario, Teleport, load_scenario
from testbed.scenario.link_types import LINK_TYPES

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
    """To leading order in the efficiency (1+N)(sqrt(1+N) - sqrt N)^2, and .59/(1+n)^3."""
    scenario = load_scenario(SCENARIOS / "transducers.yaml")
    seen = figures(replace(scenario, jobs=tuple(replace(job, shots=2) for job in scenario.jobs)))

    published = {"target": 0.98079, "y2022": 0.532, "y2024": 0.59 * 1.1**-3, "y2025": 0.5668, "y2026": 0.8132}
    for link, fidelity in published.items():
        assert seen["fidelity_at_emission", link].value == pytest.approx(fidelity, abs=4e-3), link
        assert seen["fidelity_estimated", link].value == pytest.approx(fidelity, abs=4e-3), link


ION = {"data_qubits": 1, "communication_qubits": 1, "t1_s": 0.01, "t2_s": 0.01, "emission_s": 1e-6,
       "network": {"efficiency": 0.6, "alpha": 0.2, "noise_photons": 0.05}}  # fmt: skip


@pytest.mark.parametrize("grade", ["sampled", "photonic"])
@pytest.mark.parametrize("model", LINK_TYPES)
def test_every_model_makes_pairs_for_the_stack(model: str, grade: str, tmp_path: Path) -> None:
    """Six teleports over each: no pair is lost, and all are as old at their heralds as photons and heralds travel."""
    link = {"arm_a_m": 400, "arm_b_m": 1000, "model": model, "grade": grade,
            "slot_s": 5e-6, "visibility": 0.95, "dark_probability": 1e-4}  # fmt: skip
    scenario = load_two(tmp_path, link)
    seen = figures(replace(scenario, teleport=Teleport("west", "east", PAULI_STATES, 1)))
    law = link_config(scenario, scenario.links[0], "sampled", 1).model

    assert seen["pairs_heralded", "way"].value >= 6
    assert seen["teleports_lost", "all"].value == 0
    exact = law.heralded_fidelity(law.parameters.alpha)
    emitted, arrived = seen["fidelity_at_emission", "way"].value, seen["fidelity_at_herald", "way"].value
    if grade == "sampled":
        assert emitted == pytest.approx(exact, abs=1e-8)
    # Of a state of fidelity F the decay of both halves leaves about 1 - t/T, T being T1 and T2 alike.
    births = law.births_ps
    ages = [law.attempt_ps + arm - birth for arm, birth in zip((2_000_000, 5_000_000), births, strict=True)]
    assert emitted - arrived == pytest.approx(sum(ages) * 1e-12 / 0.01, rel=0.7)
    assert arrived < emitted


@pytest.mark.parametrize(
    ("model", "ways"), [("dual-rail", 1), ("single-click", 1), ("source-midpoint", 1), ("sender-receiver", 2)]
)
def test_attempts_with_one_qubit_are_as_far_apart_as_published(model: str, ways: int, tmp_path: Path) -> None:
    """tau_l + tau_0, or 2 tau_l + tau_0 for sender and receiver, each rounded up to slots of 100 ns."""
    told = load_two(tmp_path, {"model": model, "grade": "sampled", "slot_s": 1e-7, "length_m": 2000})
    node = compose(told, "local", []).nodes[0]
    (link,) = node.links
    facts = _facts(node, link)
    published_ps = ways * 10_000_000 + 1_000_000  # tau_l of 2 km, tau_0 of the device
    window_ps = 25_000
    assert facts.spacing_slots == -(-(published_ps + window_ps + 2_000) // link.slot_ps)


@pytest.mark.parametrize("grade", ["sampled", "photonic"])
def test_a_source_s_photons_are_kept_though_attempts_overlap_their_flight(grade: str, tmp_path: Path) -> None:
    """20 km at one attempt per tau_l + tau_0: the halves outlive the next attempt's emission by the source."""
    told = load_two(tmp_path, {"model": "source-midpoint", "grade": grade, "slot_s": 1e-5, "length_m": 20000})
    seen = figures(replace(told, teleport=Teleport("west", "east", ("plus", "plus-i"), 3)))
    assert seen["teleports_lost", "all"].value == 0
    assert seen["fidelity_at_herald", "way"].value > 0.9


def load_two(folder: Path, link: dict[str, Any]) -> Scenario:
    """Two such ions and a link."""
    qpu = {"kind": "qpu", "device": ION}
    document = {
        "nodes": {"west": qpu, "mid": {"kind": "station"}, "east": qpu},
        "links": {"way": {"a": "west", "b": "east", "station": "mid"} | link},
    }
    path = folder / "way.yaml"
    path.write_text(json.dumps(document))
    return load_scenario(path)
