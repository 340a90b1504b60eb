"""report.html: what it says about each remote gate, about the answer, and that it needs nothing besides itself."""

import re
from collections import Counter
from html import escape
from html.parser import HTMLParser

import pytest
from slice_lab import IDEAL, PERFECT, job, run_slice, teleport, two_qpus

from testbed.page import RunFacts
from testbed.page.budget import gate_budgets, idle_fidelity, local_fidelity, process_fidelity
from testbed.page.findings import findings
from testbed.page.html import page, tail
from testbed.page.telegate import first_telegate
from testbed.report.whole import build_report

DEVICE = {**IDEAL, "parallel": False, "gate_2q_s": 100e-6, "readout_s": 50e-6}


def facts_of(ran):
    report = build_report(ran.scenario, ran.jobs, ran.outcome)
    counts = report.sections["counts"]
    return RunFacts(ran.scenario, ran.jobs, ran.outcome, report.figures, counts, report.unfinished)


def test_times_of_a_gate_add_up_and_ideal_devices_lose_nothing(tmp_path):
    ran = run_slice(two_qpus(job(shots=20, merge=False), DEVICE, PERFECT), tmp_path, record=True)
    events = ran.all_events()
    budgets = gate_budgets(ran.scenario, 0, ran.jobs[0], events, ran.outcome.plane["pairs"])
    assert [(b.gate, b.kind, b.control, b.target, b.shots) for b in budgets] == [
        (0, "CNOT", "west", "east", 20), (1, "CNOT", "west", "east", 20)
    ]  # fmt: skip
    for budget in budgets:
        moments = Counter()
        for event in events:
            if event["layer"] == "gates" and event["gate"] == budget.gate:
                moments[event["job"], event["event"]] = (
                    min(moments[event["job"], "asked"] or event["t_ps"], event["t_ps"])
                    if event["event"] == "asked"
                    else max(moments[event["job"], event["event"]], event["t_ps"])
                )
        spans = [moments[run, "done"] - moments[run, "asked"] for run in {run for run, _ in moments}]
        assert budget.total_ps == pytest.approx(sum(spans) / 20, rel=1e-9)
        # CX and readout at the control, then at the target, after at most the circuit's local CX; messages take 10 ns.
        assert 300e6 < budget.working_ps < 401e6
        assert budget.fidelity_pair == pytest.approx(1, abs=1e-9)
        assert budget.fidelity == pytest.approx(1, abs=1e-9)
    assert local_fidelity(ran.scenario, ran.jobs[0]) == 1
    assert idle_fidelity(ran.scenario, ran.jobs[0], budgets, 1e9) == 1


def test_a_noisy_gate_by_its_sources(tmp_path):
    noisy = {**DEVICE, "gate_2q_fidelity": 0.98, "readout_error_0": 0.02, "t2_s": 0.01}
    ran = run_slice(two_qpus(job(shots=5, merge=False), noisy, {**PERFECT, "visibility": 0.9}), tmp_path, record=True)
    first = gate_budgets(ran.scenario, 0, ran.jobs[0], ran.all_events(), ran.outcome.plane["pairs"])[0]
    assert process_fidelity(0.98, 4) == pytest.approx(0.975)
    assert first.fidelity_operations == pytest.approx(0.975**2)
    assert first.fidelity_readout == pytest.approx(0.99**2)
    assert 0.93 < first.fidelity_pair < 0.95, "(1 + M)/2, and a little of T2 while the control measures"
    assert 0.8 < first.fidelity_memory < 1
    (verdict,) = re.findall(r'<div class="verdict open">.*?</div>', page(facts_of(ran), ran.all_events(), None))
    assert "classical fidelity" in verdict


def test_the_page_needs_nothing_besides_itself_and_closes_what_it_opens(tmp_path):
    ran = run_slice(two_qpus(job(shots=5)), tmp_path, record=True)
    text = page(facts_of(ran), ran.all_events(), "<svg><text>a chart</text></svg>")
    opened: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            assert not {"src", "href", "onload"} & {name for name, _ in attrs}
            if tag not in ("meta", "rect", "line", "circle"):
                opened.append(tag)

        def handle_endtag(self, tag):
            if tag not in ("rect", "line", "circle"):
                assert opened.pop() == tag

    Reader().feed(text)
    assert opened == []
    assert "a chart" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_where_no_gate_was_done_there_is_nothing_to_draw(tmp_path):
    ran = run_slice(two_qpus(job(shots=1)), tmp_path, record=True)
    stretch = first_telegate(ran.scenario, ran.all_events())
    assert stretch.nodes == ["west", "mid", "east"]
    assert 0 <= stretch.start_ps < stretch.end_ps
    assert first_telegate(ran.scenario, [e for e in ran.all_events() if e["event"] != "done"]) is None


def test_the_chance_of_luck():
    assert tail(0, 100, 2**-10) == 1
    assert tail(1, 100, 2**-10) == pytest.approx(1 - (1 - 2**-10) ** 100)
    assert tail(100, 100, 0.5) == pytest.approx(2**-100)
    assert tail(66, 100, 2**-10) < 1e-150


def test_a_run_without_circuits_shows_its_network_and_what_was_found(tmp_path):
    ran = run_slice(two_qpus(teleport(2), IDEAL, PERFECT), tmp_path)
    report = build_report(ran.scenario, ran.jobs, ran.outcome)
    report.lines.append("what is < and what is &")
    written = findings(ran.scenario, report, ["<svg>chart</svg>"])
    (made,) = (int(f.value) for f in report.figures if f.name == "pairs_heralded")
    assert f"{made} pairs" in written
    assert all(escape(line) in written for line in report.lines)
    assert "<svg>chart</svg>" in written
