"""QPUs around a switch, the whole link layer in `local`: who entangles with whom at what time, and that nothing leaks.

What may live here: runs of small data centres (`switch_lab.star`), and what must hold of each.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from engine_lab import local, paced, virtual
from hypothesis import given, settings
from hypothesis import strategies as st
from slice_lab import SCENARIOS, Slice, job, leaks, run_slice, write_and_load
from switch_lab import Asker, star

from stack.physical.switch import Switch
from testbed.plan.compose import compose
from testbed.report.statistics import jain
from testbed.report.whole import build_report
from testbed.trace.reading import read_trace

QPUS = ("q1", "q2", "q3", "q4")


def run(folder: Path, asker: Asker, text: dict[str, Any], qpus: int = 4, reborn: bool = False) -> Slice:
    """Every QPU asks, `reborn` also in its second life."""
    names = [f"q{n}" for n in range(1, qpus + 1)]
    lives = (1, 2) if reborn else (1,)
    programs = {(name, life): asker.program() for name in names for life in lives}
    return run_slice(text, folder, record=True, programs=programs)


def grants(ran: Slice) -> list[tuple[int, int, int, int]]:
    """(from, to, link, analyser) of every grant, in order; to the end of the run if the switch died with it."""
    found: list[tuple[int, int, int, int]] = []
    open_: dict[int, tuple[int, int]] = {}
    for event in ran.all_events():
        if event["node"] != "hub":
            continue
        if event["event"] == "connect":
            open_[event["link"]] = event["t_ps"], event["analyser"]
        elif event["event"] == "grant ended":
            since, analyser = open_.pop(event["link"])
            found.append((since, event["t_ps"], event["link"], analyser))
        elif event["event"] == "started":
            found += [(since, event["t_ps"], link, analyser) for link, (since, analyser) in open_.items()]
            open_.clear()
    return sorted(found)


def at_once(ran: Slice) -> int:
    """The most grants that lasted at one time."""
    changes = sorted([(since, 1) for since, *_ in grants(ran)] + [(to, -1) for _, to, *_ in grants(ran)])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def check_grants(ran: Slice) -> None:
    """No two links on one analyser, no port on two links, at any time."""
    ends = {link.number: {link.a, link.b} for link in ran.scenario.links}
    everything = grants(ran)
    for index, (since, to, link, analyser) in enumerate(everything):
        for other_since, _, other, other_analyser in everything[index + 1 :]:
            if other_since >= to:
                break
            assert other_since >= since
            assert analyser != other_analyser
            assert ends[link].isdisjoint(ends[other])


def check_rest(ran: Slice) -> None:
    """Every program has ended, no qubit and no analyser is missing."""
    assert not ran.outcome.stuck
    assert ran.finished
    assert [leak for name in ran.lives if name.startswith("q") for leak in leaks(ran.node(name))] == []
    switch: Any = ran.node("hub").station
    assert isinstance(switch, Switch)
    machine = switch._grants.machine
    assert not machine._waiting
    assert len(machine._resting) == ran.scenario.node("hub").switch.analysers  # type: ignore[union-attr]
    assert not machine._ports
    assert not switch._trains
    assert not switch._early


def heralds(ran: Slice) -> Iterator[tuple[int, int]]:
    """(slot, link) of every success."""
    for event in ran.events("heralded"):
        if event["outcome"]:
            yield event["slot"], event["link"]


# ------------------------------------------------------------------------------------------------- without trouble


@pytest.mark.parametrize("grade", ["sampled", "photonic"])
def test_all_pairs_get_what_they_ask_for(tmp_path, grade):
    asker = Asker(number=4)
    ran = run(tmp_path, asker, star(4, 2, link={"grade": grade}))
    check_rest(ran)
    check_grants(ran)
    assert not asker.errs
    assert {link: len(asker.pairs(link)) for link in range(1, 7)} == dict.fromkeys(range(1, 7), 4)


@pytest.mark.parametrize("analysers", [1, 2])
def test_two_pairs_entangle_at_one_time_only_with_two_analysers(tmp_path, analysers):
    """Perfect photons: every second attempt heralds, so two links that are listened to herald in one slot soon."""
    text = star(4, analysers, pairs=[["q1", "q2"], ["q3", "q4"]], link={"efficiency": 1.0})
    asker = Asker(number=40)
    ran = run(tmp_path, asker, text)
    check_rest(ran)
    check_grants(ran)
    slots = Counter(slot for slot, _ in heralds(ran))
    assert sum(slots.values()) == 80
    assert max(slots.values()) == analysers
    assert at_once(ran) == analysers


def test_one_port_one_link(tmp_path):
    """All pairs of q1, and two analysers: they take turns, alike."""
    asker = Asker(number=10, links=lambda a, b: a == 1)
    ran = run(tmp_path, asker, star(4, 2))
    check_rest(ran)
    assert at_once(ran) == 1
    first = Counter(link for *_, link, _ in grants(ran)[:15])
    assert min(first[link] for link in (1, 2, 3)) >= 3


@pytest.mark.parametrize("reconfigure_s", [0, 1e-9, 100e-6, 5e-3])
def test_no_slot_is_looked_at_before_light_can_pass(tmp_path, reconfigure_s):
    """Reconfiguration is in the plan: the first slot of a train lies behind it, and no Listen is refused."""
    asker = Asker(number=2)
    ran = run(tmp_path, asker, star(3, 1, reconfigure_s=reconfigure_s, link={"efficiency": 1.0}), qpus=3)
    check_rest(ran)
    assert not ran.events("listen refused")
    since = {}
    changes = 0
    last = 0
    for event in ran.all_events():
        if event["event"] == "connect":
            since[event["link"]] = event["t_ps"]
            moved, last = event["link"] != last, event["link"]
            changes += moved
        elif event["event"] == "granted" and moved:
            assert event["first_slot"] * 20_000_000 >= since[event["link"]] + reconfigure_s * 1e12
    assert changes >= 3
    assert ran.outcome.end_ps >= 3 * reconfigure_s * 1e12


def test_fidelity_and_rate_pay_for_the_switch(tmp_path):
    """F = 1 becomes .96 at a cost of .04; 3.0103 dB halve each photon's chance, and quarter p (5 sigma of 150)."""
    asker = Asker(number=150)
    text = star(
        2, 1, insertion_loss_db=3.0103, fidelity_cost=0.04, link={"efficiency": 1.0, "attenuation_db_per_km": 0}
    )
    ran = run(tmp_path, asker, text, qpus=2)
    check_rest(ran)
    fidelities = [pair["fidelity_at_herald"] for pair in ran.outcome.plane["pairs"]]
    assert fidelities == pytest.approx([0.96] * 150, abs=1e-6)
    (link,) = ran.node("q1").config.links
    assert link.estimate == pytest.approx(0.96, abs=1e-6)
    assert link.success_probability == pytest.approx(0.125, rel=1e-5)
    firsts = [event["first_slot"] for event in ran.events("train") if event["node"] == "q1"]
    attempts = sum(slot - max(first for first in firsts if first <= slot) + 1 for slot, _ in heralds(ran))
    assert 150 / attempts == pytest.approx(0.125, abs=5 * (0.125**2 * 0.875 / 150) ** 0.5)


def test_a_held_qubit_does_not_hold_an_analyser(tmp_path):
    """q1's one qubit is in use for 2 ms after each pair; the others' pairs are made meanwhile."""
    asker = Asker(number=5, hold_ps=2_000_000_000)
    ran = run(tmp_path, asker, star(4, 1))
    check_rest(ran)
    tally = ran.outcome.results["hub"]["switch"]["links"]
    assert sum(link["held_ps"] for link in tally.values()) < 0.75 * ran.events("app ended")[-1]["t_ps"]


def test_no_grant_is_in_vain(tmp_path):
    """SRP-11: the switch knows which QPUs have a qubit; every grant has its train, every train its pair or its end."""
    asker = Asker(number=5, hold_ps=50_000_000)
    ran = run(tmp_path, asker, star(5, 2), qpus=5)
    check_rest(ran)
    tally = ran.outcome.results["hub"]["switch"]["links"]
    assert sum(link["grants"] for link in tally.values()) == sum(link["used"] for link in tally.values()) == 50


def test_a_node_with_another_link_shares_its_qubit(tmp_path):
    """q1 and q2 have a link of their own beside those of the switch, always busy; nobody starves."""
    text = star(3, 1, link={"efficiency": 0.3})
    text["nodes"]["mid"] = {"kind": "station"}
    aside = {key: value for key, value in text["stars"]["floor"]["link"].items() if key != "efficiency"}
    text["links"] = {"aside": {"a": "q1", "b": "q2", "station": "mid", "length_m": 40} | aside}
    asker = Asker(number=30)
    ran = run(tmp_path, asker, text, qpus=3)
    check_rest(ran)
    assert {link: len(asker.pairs(link)) for link in (1, 2, 3, 4)} == dict.fromkeys((1, 2, 3, 4), 30)
    order = [event["link"] for event in ran.events("ok") if event["node"] == "q1"]
    assert max(order.index(link) for link in (1, 2, 3)) < 30


def test_requests_end_in_time(tmp_path):
    """A maximum time that load makes impossible ends in TIMEOUT at both ends."""
    asker = Asker(number=50, max_time_ps=3_000_000_000)
    ran = run(tmp_path, asker, star(4, 1))
    check_rest(ran)
    assert asker.errs
    assert {err.code.name for *_, err in asker.errs} <= {"NOTIME", "TIMEOUT", "EXPIRE", "OTHER"}


def test_a_circuit_runs_over_switched_links(tmp_path):
    """The layers above need not know."""
    text = star(2, 1, device={"data_qubits": 2, "communication_qubits": 2}, link={"efficiency": 1.0})
    text["job"] = job(shots=10)["job"] | {"mapping": {"q1": [0, 1], "q2": [2, 3]}}
    ran = run_slice(text, tmp_path)
    assert ran.finished
    counts, spoilt = ran.shots()
    assert spoilt == 0
    assert set(counts) == {"0000", "1111"}


def test_virtual_leaves_the_same_bytes(tmp_path):
    """With trouble: a bad channel, a switch that restarts."""
    text = star(4, 1, device={"data_qubits": 2, "communication_qubits": 1}, channel={"loss": 0.05})
    text["faults"] = [{"at_s": 0.003, "kill": "hub"}, {"at_s": 0.0032, "restart": "hub"}]
    text["jobs"] = [
        job(shots=3)["job"] | {"name": name, "mapping": {a: [0, 1], b: [2, 3]}}
        for name, a, b in (("one", "q1", "q2"), ("two", "q3", "q4"))
    ]
    scenario, jobs = write_and_load(text, tmp_path)
    one = local(compose(scenario, "local", jobs), tmp_path / "local")
    other = virtual(compose(scenario, "virtual", jobs), tmp_path / "virtual")
    assert one.events("grant ended")
    assert one.bytes == other.bytes
    assert one.outcome.results == other.outcome.results


# ---------------------------------------------------------------------------------------------------- the report


def test_the_report_says_what_the_switch_did(tmp_path):
    """Its figures against the events of the run: grants, waiting, how long analysers were granted, rates, frames."""
    text = star(4, 2, link={"efficiency": 1.0})
    text["requests"] = [{"among": list(QPUS), "pairs": 5}]
    ran = run_slice(text, tmp_path, record=True)
    check_rest(ran)
    report = build_report(ran.scenario, ran.jobs, ran.outcome)
    assert not report.unfinished
    found = {(figure.name, figure.subject): figure for figure in report.figures}
    everything = grants(ran)
    waits = sorted(event["waited_ps"] * 1e-12 for event in ran.events("grant ended"))
    assert found["grants", "hub"].value == len(everything) == len(waits) >= 30
    assert found["grants_in_vain", "hub"].value == len(everything) - sum(e["used"] for e in ran.events("grant ended"))
    assert found["wait_mean", "hub"].value == pytest.approx(sum(waits) / len(waits))
    assert found["wait_q50", "hub"].value == pytest.approx(waits[(len(waits) + 1) // 2 - 1])
    assert found["wait_q90", "hub"].value >= found["wait_q50", "hub"].value
    since = ran.outcome.results["hub"]["switch"]["since_ps"]
    until = max(to for _, to, *_ in everything)
    held = sum(to - since for since, to, *_ in everything)
    assert found["analysers_granted", "hub"].value == pytest.approx(held / (2 * (until - since)))
    assert 0.3 < found["analysers_lit", "hub"].value < found["analysers_granted", "hub"].value <= 1
    assert found["pairs_per_second", "hub"].value == pytest.approx(30 / (until - since) * 1e12)
    last = {link: slot * 20_000_000 for slot, link in heralds(ran)}
    rates = {link.name: 5 / (last[link.number] - since) * 1e12 for link in ran.scenario.links}
    for name, rate in rates.items():
        assert found["pairs_per_second", name].value == pytest.approx(rate)
    assert found["fairness_of_rates", "hub"].value == pytest.approx(jain(list(rates.values())))
    frames = sum(frame.direction == "sent" for frame in read_trace(tmp_path / "trace.pcapng"))
    assert found["frames_per_pair", "hub"].value == pytest.approx(frames / 30)


def test_a_link_of_which_nobody_asks_anything_is_treated_neither_well_nor_badly(tmp_path):
    text = star(4, 2, link={"efficiency": 1.0})
    text["requests"] = [{"among": ["q1", "q2", "q3"], "pairs": 2}]
    ran = run_slice(text, tmp_path)
    found = {(f.name, f.subject): f for f in build_report(ran.scenario, ran.jobs, ran.outcome).figures}
    rates = [found["pairs_per_second", link.name].value for link in ran.scenario.links]
    assert sorted(rates)[:3] == [0, 0, 0] < sorted(rates)[3:4]
    assert found["fairness_of_rates", "hub"].value == pytest.approx(jain([rate for rate in rates if rate]))
    assert found["fairness_of_rates", "hub"].n == found["fairness_of_time", "hub"].n == 3


def test_fairness_is_what_jain_says():
    assert jain([1, 1, 1, 1]) == 1
    assert jain([1, 0, 0, 0]) == 0.25
    assert jain([2, 1]) == pytest.approx(0.9)
    assert jain([0, 0]) == 1


def test_the_data_centre_is_fair_and_keeps_its_analysers_busy(tmp_path):
    """The shipped scenario: without turns of a few trains the analysers were lit for .625 of the time."""
    text = yaml.safe_load((SCENARIOS / "data-centre.yaml").read_text())
    ran = run_slice(text, tmp_path)
    assert ran.finished
    found = {(f.name, f.subject): f.value for f in build_report(ran.scenario, ran.jobs, ran.outcome).figures}
    assert found["grants_in_vain", "hub"] == 0
    # Missing of 1: analysers that wait for their link's next train, and the end, when few links have work.
    assert found["analysers_granted", "hub"] > 0.9
    assert found["analysers_lit", "hub"] > 0.7
    assert found["fairness_of_rates", "hub"] > 0.85
    assert {found["pairs_heralded", link.name] for link in ran.scenario.links} == {10}
    assert found["fidelity_estimated", "q1-q2"] == pytest.approx(0.25 + 0.75 * 0.98 * (1 - 0.04 / 0.75), abs=1e-4)


# ---------------------------------------------------------------------------------------------------- with trouble


def test_a_dead_switch_ends_the_requests(tmp_path):
    """EGP-20: nothing waits for ever."""
    asker = Asker(number=50)
    text = star(4, 2, faults=[{"at_s": 0.004, "kill": "hub"}])
    ran = run(tmp_path, asker, text)
    assert ran.finished
    assert not ran.outcome.stuck
    assert {err.code.name for *_, err in asker.errs} <= {"OTHER", "EXPIRE"}
    assert [leak for name in QPUS for leak in leaks(ran.node(name))] == []


@settings(max_examples=12, deadline=None)
@given(
    loss=st.floats(0, 0.3),
    duplicate=st.floats(0, 0.3),
    jitter_s=st.sampled_from([0, 1e-7, 1e-5]),
    analysers=st.integers(1, 2),
    qubits=st.integers(1, 2),
    seed=st.integers(0, 1000),
    victim=st.sampled_from([None, "hub", "q1", "q2", "q4"]),
    at_ms=st.floats(1.2, 6),
)
def test_whatever_happens_nothing_leaks_and_all_ends(
    tmp_path_factory, loss, duplicate, jitter_s, analysers, qubits, seed, victim, at_ms
):
    asker = Asker(number=3)
    faults = [] if victim is None else [
        {"at_s": round(at_ms * 1e-3, 9), "kill": victim},
        {"at_s": round(at_ms * 1e-3 + 2e-4, 9), "restart": victim},
    ]  # fmt: skip
    text = star(
        4,
        analysers,
        seed=seed,
        device={"communication_qubits": qubits},
        channel={"loss": loss, "duplicate": duplicate, "jitter_s": jitter_s},
        faults=faults,
        link={"efficiency": 0.8},
    )
    ran = run(tmp_path_factory.mktemp("run"), asker, text, reborn=True)
    check_rest(ran)
    check_grants(ran)
    for link in ran.scenario.links:
        told = [err for *_, err in asker.errs if err.link == link.number]
        if not told and victim is None:
            assert len(asker.pairs(link.number)) == 3


def test_a_switch_shares_its_analyser_under_the_wall_clock(tmp_path: Path) -> None:
    """Paced, with whatever delay the machine adds: every pair of three QPUs gets its pairs over one analyser that is
    granted to one link at a time, and grants that came too late for their trains are followed by others."""
    text = star(3, 1, reconfigure_s=1e-3)
    text["requests"] = [{"among": ["q1", "q2", "q3"], "pairs": 1}]
    text["dilation"] = 100.0
    scenario, jobs = write_and_load(text, tmp_path / "scenario")
    ran = paced(compose(scenario, "paced", jobs), tmp_path / "run", processes=1)
    changes = [*ran.events("grant ended"), *ran.events("connect")]
    held: Counter[int] = Counter()
    now: set[int] = set()
    for event in sorted(changes, key=lambda e: e["t_ps"]):  # of one instant the end comes first
        if event["event"] == "connect":
            assert not now
            now.add(event["link"])
        else:
            now.remove(event["link"])
            held[event["link"]] += event["used"]
    assert sorted(held) == [1, 2, 3]
    assert min(held.values()) >= 1
    told = Counter((event["node"], event["link"]) for event in ran.events("ok"))
    assert len(told) == 6
    assert min(told.values()) >= 1
