"""Deliveries of the network layer in the whole stack: early, measured, tested, banked, over two hops.

Correlations and fidelities are compared at five standard deviations of what the law says: a chance of 6e-7 each, and
the seed is fixed.
"""

import copy
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from chain_lab import chain, request
from engine_lab import local, virtual
from slice_lab import run_slice, write_and_load
from test_network import figure, quiet

from testbed.plan.compose import compose
from testbed.report.whole import build_report

M = 0.9
"""Visibility of a link: the phase flips with (1 - M)/2, so two links keep M^2 of XX and YY, and all of ZZ."""


def bank(pairs: int, **more: Any) -> dict[str, Any]:
    asked = request(2, pairs, every_s=1e-3, bank_pairs=2, bank_age_s=5e-3, **more)
    return {key: value for key, value in asked.items() if key != "ahead"}


def test_measured_pairs_correlate_as_their_state_says(tmp_path: Path) -> None:
    """QNP-19."""
    asked = request(2, 250, deliver="measure", bases="xyz", remote_bases="xyz", ahead=4)
    run = run_slice(chain(2, {"requests": [asked]}, link={"visibility": M}), tmp_path)
    assert [row[0] for row in run.result("n0", "pairs-0")["measured"]] == sorted(
        row[0] for row in run.result("n2", "pairs-0")["measured"]
    )
    law = {"X,X": M**2, "Y,Y": -(M**2), "Z,Z": 1.0}
    report = build_report(run.scenario, run.jobs, run.outcome)
    seen = {f.name.removeprefix("correlation_"): f for f in report.figures if f.name.startswith("correlation_")}
    assert len(seen) == 9
    for bases, found in seen.items():
        expected = law.get(bases, 0.0)
        assert abs(found.value - expected) <= 5 * sqrt((1 - expected**2) / found.n)
    quiet(run)


def test_chsh_is_violated_by_what_a_circuit_measures(tmp_path: Path) -> None:
    """The head folds the frame into X and Z; the tail's bases lie between them.  S = 2 sqrt 2 for perfect pairs."""
    asked = request(2, 400, deliver="measure", bases="xz", remote_bases="chsh", ahead=4)
    run = run_slice(chain(2, {"requests": [asked]}), tmp_path)
    part = {bases: figure(run, f"correlation_{bases}", "n0-n2-0") for bases in ("Z,ZPLUSX", "Z,ZMINUSX", "X,ZPLUSX")}
    total = sum(part.values()) - figure(run, "correlation_X,ZMINUSX", "n0-n2-0")
    # Each of the four over about 100 pairs, with a variance of 1/2.
    assert abs(total - 2 * sqrt(2)) <= 5 * sqrt(4 * 0.5 / 85)


def test_early_halves_come_before_their_pairs_and_no_memory_is_left_behind(tmp_path: Path) -> None:
    """QNP-18: a cutoff breaks chains whose ends have been handed up."""
    asked = request(3, 40, deliver="early", ahead=3)
    text = chain(3, {"requests": [asked]}, circuits={"cutoff_s": 60e-6}, link={"efficiency_a": 0.3})
    run = run_slice(text, tmp_path)
    head, tail = run.result("n0", "pairs-0"), run.result("n3", "pairs-0")
    assert len(head["pairs"]) == len(tail["pairs"]) == 40
    assert figure(run, "early_lost", "n0-n3-0") > 5
    assert figure(run, "early_lead", "n0-n3-0") > 0
    assert figure(run, "fidelity_delivered", "n0-n3-0") == pytest.approx(1.0)
    quiet(run)


def test_test_rounds_estimate_the_fidelity_between_the_ends(tmp_path: Path) -> None:
    """QNP-20: dephased pairs over two links are (1 + M^2)/2."""
    run = run_slice(chain(2, {"requests": [request(2, 120, test_share=0.5)]}, link={"visibility": M}), tmp_path)
    report = build_report(run.scenario, run.jobs, run.outcome)
    (tested,) = [f for f in report.figures if f.name == "fidelity_tested"]
    assert tested.n > 60
    assert 0.005 < tested.stderr < 0.04
    assert abs(tested.value - (1 + M**2) / 2) <= 5 * tested.stderr
    assert len(run.result("n0", "pairs-0")["pairs"]) == 120
    quiet(run)


def test_a_bank_serves_at_once_what_would_be_waited_for(tmp_path: Path) -> None:
    """QNP-21: the same wants, with and without."""
    without = {key: value for key, value in bank(20).items() if not key.startswith("bank")}
    waits = []
    for asked in (bank(20), without):
        folder = tmp_path / str(len(waits))
        folder.mkdir()
        run = run_slice(chain(2, {"requests": [asked]}), folder)
        assert len(run.result("n0", "pairs-0")["pairs"]) == 20
        waits.append(run.result("n0", "pairs-0")["waited_ps"])
        quiet(run)
    banked, made = waits
    assert banked == [0] * 20
    assert all(ps > 0 for ps in made)


def test_deliveries_leave_the_same_trace_in_virtual(tmp_path: Path) -> None:
    work = [
        request(2, 4, deliver="early"),
        request(2, 4, deliver="measure", bases="xz", remote_bases="chsh"),
        request(2, 4, test_share=0.5, at_s=1e-3),
        bank(3, at_s=2e-3),
    ]
    scenario, jobs = write_and_load(chain(2, {"requests": copy.deepcopy(work)}), tmp_path)
    ran = local(compose(scenario, "local", jobs), tmp_path / "local")
    other = virtual(compose(scenario, "virtual", jobs), tmp_path / "virtual")
    assert {e["event"] for e in ran.events("pair early") + ran.events("pair measured")} == {
        "pair early",
        "pair measured",
    }
    assert other.bytes == ran.bytes
    assert other.outcome.results == ran.outcome.results


