"""Light that goes out: fibres that are cut while photons are in them, detectors that are blinded, in the whole stack.

What must survive: every request is served in the end, no pair is heralded for an attempt in the dark, and the pairs
that are heralded are as good as before.
"""

from pathlib import Path

import pytest
from chain_lab import chain, request
from slice_lab import leaks, run_slice

from testbed.report.requests import true_fidelities

US = 1_000_000
SLOT_PS, ARM_PS, ATTEMPT_PS = 4 * US, US // 2, US
EVERY, LONG = 500, 120


@pytest.mark.parametrize("grade", ["sampled", "photonic"])
@pytest.mark.parametrize(("fault", "subject"), [("cut", "l0"), ("blind", "s0")])
def test_nothing_is_heralded_in_the_dark(grade: str, fault: str, subject: str, tmp_path: Path) -> None:
    """20 times, each while a train runs: about one attempt in 20 would herald."""
    faults = [{"at_s": EVERY * n * 1e-6, fault: subject, "for_s": LONG * 1e-6} for n in range(1, 21)]
    dim = {"grade": grade, "efficiency_a": 0.3, "efficiency_b": 0.3}
    work = {"requests": [request(1, 40, ahead=1)], "faults": faults}
    run = run_slice(chain(1, work, link=dim), tmp_path, record=True)
    assert len(run.result("n0", "pairs-0")["pairs"]) == 40
    assert true_fidelities(run.scenario, 0, run.outcome) == pytest.approx([1.0] * 40)
    for name in ("n0", "n1"):
        assert leaks(run.node(name)) == []
    slots = [pair["slot"] * SLOT_PS for pair in run.outcome.plane["pairs"]]
    lead_ps = ARM_PS if fault == "cut" else 0
    dark = [
        at
        for at in slots
        for start in (EVERY * n * US for n in range(1, 21))
        if start - ATTEMPT_PS < at < start + LONG * US + lead_ps
    ]
    assert dark == []
    assert max(slots) > 4 * EVERY * US, "it was over before it was dark often enough"
    word = {"cut": "cut", "blind": "blinded"}[fault]
    assert len(run.events(word)) == sum(n * EVERY * US < run.outcome.end_ps for n in range(1, 21))
