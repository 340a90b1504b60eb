"""The network layer over repeaters, in the whole stack under the ``local`` clock."""

import copy
from pathlib import Path
from typing import Any

import pytest
from chain_lab import LINK, chain, request
from slice_lab import Slice, leaks, run_slice

from stack.application.pairs import _Side
from testbed.report.requests import believed_and_true, true_fidelities
from testbed.report.whole import build_report
from testbed.trace.reading import read_events


def quiet(run: Slice) -> None:
    """At the end every memory of every node that lives is free."""
    for lives in run.lives.values():
        if lives[-1].kernel.alive and lives[-1].config.device is not None:
            assert leaks(lives[-1]) == []


def ended(run: Slice, index: int) -> tuple[str, str] | None:
    """Why, and at which node, a request of n0 has ended, if not as it should."""
    result = run.result("n0", f"pairs-{index}")
    return (result["failed"], run.scenario.nodes[result["where"] - 1].name) if "failed" in result else None


def figure(run: Slice, name: str, subject: str) -> float:
    report = build_report(run.scenario, run.jobs, run.outcome)
    (value,) = [f.value for f in report.figures if (f.name, f.subject) == (name, subject)]
    return value


@pytest.mark.parametrize(("hops", "swapping"), [(1, "asap"), (2, "asap"), (4, "asap"), (4, "nested"), (6, "nested")])
def test_pairs_over_repeaters_are_what_both_ends_believe(hops: int, swapping: str, tmp_path: Path) -> None:
    """QNP-4, QNP-13: perfect links and gates leave perfect pairs, of whichever Bell state both ends say."""
    text = chain(hops, {"requests": [request(hops, 12)]}, circuits={"swapping": swapping})
    run = run_slice(text, tmp_path)
    assert run.finished
    ends = [run.result(f"n{end}", "pairs-0")["pairs"] for end in (0, hops)]
    assert [(row[0], row[2]) for row in ends[0]] == [(row[0], row[2]) for row in sorted(ends[1])]
    assert len(ends[0]) == 12
    assert true_fidelities(run.scenario, 0, run.outcome) == pytest.approx([1.0] * 12)
    quiet(run)


def test_a_chain_loses_fidelity_as_its_links_compose(tmp_path: Path) -> None:
    """Barrett-Kok pairs of visibility M are dephased: the sign of XX is right with (1 + M^n)/2 after n links."""
    run = run_slice(chain(3, {"requests": [request(3, 10)]}, link={"visibility": 0.9}), tmp_path)
    assert true_fidelities(run.scenario, 0, run.outcome) == pytest.approx([(1 + 0.9**3) / 2] * 10)


@pytest.mark.parametrize("work", ["teleport", "job"])
def test_transport_and_gates_work_unchanged_over_three_repeaters(work: str, tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        "teleport": {"teleport": {"from": "n0", "to": "n4", "rounds": 2}},
        "job": {"job": {"circuit": "ghz-4.qasm", "shots": 6, "mapping": {"n0": [0, 1], "n4": [2, 3]}}},
    }[work]
    run = run_slice(chain(4, asked), tmp_path)
    assert run.finished
    if work == "teleport":
        assert all(good == n == 2 for n, good in run.result("n4", "teleport")["states"].values())
    else:
        counts, spoilt = run.shots()
        assert spoilt == 0
        assert set(counts) <= {"0000", "1111"}
    quiet(run)


@pytest.mark.parametrize("cutoff_s", [30e-6, 0])
def test_a_cutoff_gives_up_what_waits_and_the_request_goes_on(cutoff_s: float, tmp_path: Path) -> None:
    text = chain(3, {"requests": [request(3, 15)]}, circuits={"cutoff_s": cutoff_s}, link={"efficiency_a": 0.3})
    run = run_slice(text, tmp_path, record=True)
    assert len(run.result("n0", "pairs-0")["pairs"]) == 15
    heralded = sum(figure(run, "pairs_heralded", f"l{i}") for i in range(3))
    assert (heralded > 3 * 20) is bool(cutoff_s)
    quiet(run)


def test_a_repeater_that_dies_ends_the_circuit_and_frees_every_memory(tmp_path: Path) -> None:
    """QNP-10, QNP-15."""
    text = chain(
        4,
        {"requests": [request(4, 1000)]},
        faults=[{"at_s": 3e-3, "kill": "n2"}],
        duration_s=0.5,
        circuits={"refresh_s": 0.01},
        linger_s=0.1,
    )
    run = run_slice(text, tmp_path)
    asking = run.result("n0", "pairs-0")
    assert 0 < len(asking["pairs"]) < 1000
    assert asking["failed"] == "PEER_LOST"
    quiet(run)


def test_a_repeater_that_restarts_serves_new_circuits(tmp_path: Path) -> None:
    text = chain(
        3,
        {"requests": [request(3, 1000), request(3, 10, at_s=0.3)]},
        faults=[{"at_s": 3e-3, "kill": "n1"}, {"at_s": 50e-3, "restart": "n1"}],
        circuits={"refresh_s": 0.01},
        linger_s=0.1,
    )
    run = run_slice(text, tmp_path)
    assert run.result("n0", "pairs-0")["failed"] == "PEER_LOST"
    assert len(run.result("n0", "pairs-1")["pairs"]) == 10
    quiet(run)


def test_a_circuit_takes_another_way_when_a_repeater_dies(tmp_path: Path) -> None:
    """QNP-15: a ring of four, both ways two hops long."""
    text = chain(
        2,
        {"requests": [request(2, 400)]},
        faults=[{"at_s": 3e-3, "kill": "n1"}],
        circuits={"refresh_s": 0.01},
        linger_s=0.1,
    )
    text["nodes"] |= {"other": copy.deepcopy(text["nodes"]["n1"]), "t0": {"kind": "station"}, "t1": {"kind": "station"}}
    text["links"] |= {
        "o0": text["links"]["l0"] | {"b": "other", "station": "t0"},
        "o1": text["links"]["l1"] | {"a": "other", "station": "t1"},
    }
    run = run_slice(text, tmp_path)
    assert "failed" not in run.result("n0", "pairs-0")
    assert len(run.result("n0", "pairs-0")["pairs"]) == 400
    quiet(run)


def test_circuits_of_one_hop_that_purify_share_what_memories_there_are(tmp_path: Path) -> None:
    """QNP-2: of three places two are held by halves that wait for a second one, each of another circuit; and so is the
    third, often, by one of the second round."""
    rounds = {"purification": "dejmps", "link_rounds": 1, "end_rounds": 1, "pumping": True}
    wanted = [request(1, 20, ahead=1), request(1, 20, ahead=2, pairs_per_s=1)]
    text = chain(1, {"requests": wanted}, circuits=rounds, channel={"loss": 0.1}, duration_s=60.0)
    run = run_slice(text, tmp_path)
    assert run.finished
    quiet(run)


def test_places_of_a_repeater_are_shared_out_among_its_links(tmp_path: Path) -> None:
    """With two places to keep halves in, one for either side; were both for any, one link could fill them for ever."""
    run = run_slice(chain(2, {"requests": [request(2, 20)]}, device={"storage_qubits": 2}), tmp_path)
    assert len(run.result("n0", "pairs-0")["pairs"]) == 20
    quiet(run)
    run = run_slice(chain(2, {"requests": [request(2, 1)]}, device={"storage_qubits": 1}), tmp_path / "one")
    assert ended(run, 0) == ("NO_MEMORY", "n1")


@pytest.mark.parametrize(("link_rounds", "end_rounds", "needed"), [(1, 0, 2), (0, 2, 3), (1, 2, 4)])
def test_rounds_for_which_an_end_has_no_memories_are_refused(
    link_rounds: int, end_rounds: int, needed: int, tmp_path: Path
) -> None:
    """QNP-12: with one memory fewer the last two halves could never be there together."""
    rounds = {"purification": "dejmps", "link_rounds": link_rounds, "end_rounds": end_rounds}
    for memories in (needed, needed - 1):
        text = chain(2, {"requests": [request(2, 3)]}, circuits=rounds)
        text["nodes"]["n2"]["device"]["communication_qubits"] = memories
        text["nodes"]["n1"]["device"]["communication_qubits"] = 2 * (link_rounds + 1)
        run = run_slice(text, tmp_path / str(memories))
        assert ended(run, 0) == (None if memories == needed else ("NO_MEMORY", "n2"))
        quiet(run)


def test_who_asks_a_node_whose_program_has_died_with_it_hears_that(tmp_path: Path) -> None:
    """It lives again and has no part in the request; the node itself says no more than that nobody listens there."""
    faults = [{"at_s": 0.001, "kill": "n1"}, {"at_s": 0.002, "restart": "n1"}]
    run = run_slice(chain(1, {"requests": [request(1, 3, at_s=0.01)]}, faults=faults), tmp_path)
    assert ended(run, 0) == ("REFUSED", "n1")
    told = "n0: request n0-n1-0: REFUSED at n1 (its part in the request died with an earlier life of the node)"
    assert told in build_report(run.scenario, run.jobs, run.outcome).unfinished


def test_what_nobody_lives_to_estimate_is_no_zero(tmp_path):
    faults = [{"at_s": 0.01, "kill": "n0"}, {"at_s": 0.01, "kill": "n1"}]
    run = run_slice(chain(1, {"requests": [request(1, 10_000)]}, faults=faults), tmp_path)
    report = build_report(run.scenario, run.jobs, run.outcome)
    assert {figure.name for figure in report.figures} >= {"pairs_heralded", "fidelity_at_herald"}
    assert "fidelity_estimated" not in {figure.name for figure in report.figures if figure.subject == "l0"}
    assert f"  fidelity {'as the nodes estimate it':38} no node had one at the end" in report.lines


@pytest.mark.parametrize(
    ("circuits", "asked", "why"),
    [
        ({"purification": "dejmps", "link_rounds": 2, "end_rounds": 2}, {}, ("NO_MEMORY", "n0")),
        ({}, {"pairs_per_s": 4e6}, ("NO_RATE", "n1")),
        ({}, {"minimum_fidelity": 0.99}, ("NO_PROMISE", "n0")),
    ],
)
def test_what_is_lacking_is_told_and_where(
    circuits: dict[str, Any], asked: dict[str, Any], why: tuple[str, str], tmp_path: Path
) -> None:
    """QNP-12: whether it is known before anything is asked of anybody, or a node on the way says so."""
    text = chain(2, {"requests": [request(2, 3, **asked)]}, circuits=circuits, link={"visibility": 0.9})
    run = run_slice(text, tmp_path)
    assert ended(run, 0) == why
    assert why[0] in build_report(run.scenario, run.jobs, run.outcome).unfinished[0]


def test_two_circuits_do_not_fill_an_end_with_halves_that_wait_for_each_other(tmp_path: Path) -> None:
    """QNP-12: an end keeps up to two halves of each circuit for a second round, and needs one memory more."""
    text = chain(2, {"requests": [request(2, 30)]}, circuits={"purification": "dejmps", "end_rounds": 2})
    text["nodes"]["n2"]["device"]["communication_qubits"] = 4
    text["nodes"]["n1"]["device"]["communication_qubits"] = 9
    text["nodes"] |= {"n3": copy.deepcopy(text["nodes"]["n0"]), "s2": {"kind": "station"}}
    text["links"]["l2"] = text["links"]["l1"] | {"b": "n3", "station": "s2"}
    text["requests"].append({"from": "n3", "to": "n2", "pairs": 30})
    run = run_slice(text, tmp_path)
    ends = [run.result("n0", "pairs-0"), run.result("n3", "pairs-1")]
    assert sorted((end.get("failed", ""), len(end["pairs"])) for end in ends) == [("", 30), ("NO_MEMORY", 0)]
    quiet(run)


def test_a_link_that_never_does_what_it_is_asked_has_failed(tmp_path: Path) -> None:
    """QNP-15: its switch is gone, which the far end of the link tells by EXPIRE alone."""
    device = {"data_qubits": 1, "communication_qubits": 2}
    switch = {"analysers": 1, "technology": "electro-optic"}
    link = {key: value for key, value in LINK.items() if key != "length_m"}
    nodes = {name: {"kind": "qpu", "device": dict(device)} for name in ("n0", "n1")}
    text = {
        "nodes": nodes | {"mid": {"kind": "station", "switch": switch}},
        "links": {},
        "stars": {"floor": {"station": "mid", "ends": ["n0", "n1"], "arm_m": 100, "link": link}},
        "requests": [{"from": "n1", "to": "n0", "pairs": 3}, {"from": "n0", "to": "n1", "pairs": 3}],
        "faults": [{"at_s": 1e-6, "kill": "mid"}],
        "duration_s": 20,
    }
    run = run_slice(text, tmp_path)
    assert run.finished
    assert [run.result(*end)["failed"] for end in (("n1", "pairs-0"), ("n0", "pairs-1"))] == ["LINK_FAILED"] * 2
    quiet(run)


def test_a_promise_that_no_way_can_keep_is_refused(tmp_path: Path) -> None:
    text = chain(3, {"requests": [request(3, 5, minimum_fidelity=0.95)]}, link={"visibility": 0.9})
    run = run_slice(text, tmp_path)
    assert run.result("n0", "pairs-0")["failed"] == "NO_PROMISE"
    assert run.result("n0", "pairs-0")["pairs"] == []


def told(run: Slice, node: str, event: str) -> list[dict[str, Any]]:
    """Events of the network layer of one node."""
    assert run.folder is not None
    found = read_events(run.folder / "events.jsonl")
    return [e for e in found if (e["node"], e["layer"], e["event"]) == (node, "network", event)]


def test_a_request_that_is_refused_says_by_whom_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Side, "serve", lambda side: None)  # the tail has nothing that waits for pairs
    run = run_slice(chain(2, {"requests": [request(2, 5)]}), tmp_path)
    report = build_report(run.scenario, run.jobs, run.outcome)
    assert report.unfinished == ["n0: request n0-n2-0: REFUSED at n2 (nobody there listens for it)"]


def test_a_higher_priority_displaces_a_lower_circuit_which_is_told_why_and_where(tmp_path: Path) -> None:
    """QNP-14: memories of a repeater for two circuits with a promised rate; the third is more important."""
    rate = {"pairs_per_s": 10}
    asked = [request(2, 200, priority=p, **rate) for p in (3, 2)] + [request(2, 5, priority=9, at_s=2e-3, **rate)]
    run = run_slice(chain(2, {"requests": asked}), tmp_path, record=True)
    ends = [run.result("n0", f"pairs-{index}") for index in range(3)]
    assert [end.get("failed", "") for end in ends] == ["", "PREEMPTED", ""]
    assert [len(ends[index]["pairs"]) for index in (0, 2)] == [200, 5]
    assert 0 < len(ends[1]["pairs"]) < 200
    repeater = run.lives["n1"][-1].config.number
    assert ends[1]["where"] == repeater
    for node in ("n0", "n1", "n2"):
        (closed,) = [e for e in told(run, node, "circuit closed") if e["fate"] == "PREEMPTED"]
        assert closed["where"] == repeater
    report = build_report(run.scenario, run.jobs, run.outcome)
    assert "n0: request n0-n2-1: PREEMPTED at n1" in report.unfinished
    quiet(run)


def test_requests_between_the_same_two_nodes_share_a_circuit(tmp_path: Path) -> None:
    """QNP-1: three requests, of which two come while the first is served, and one circuit for all."""
    asked = [request(3, 30), request(3, 10, at_s=0.2e-3), request(3, 10, at_s=0.4e-3)]
    run = run_slice(chain(3, {"requests": asked}), tmp_path, record=True)
    for node in ("n1", "n2", "n3"):
        assert len(told(run, node, "circuit")) == 1
        assert len(told(run, node, "circuit closed")) == 1
    names = [[row[0] for row in run.result("n0", f"pairs-{index}")["pairs"]] for index in range(3)]
    assert [len(one) for one in names] == [30, 10, 10]
    assert len({pair_id for one in names for pair_id in one}) == 50  # each pair went to one of them
    for index in range(3):
        assert sorted(row[0] for row in run.result("n3", f"pairs-{index}")["pairs"]) == sorted(names[index])
    quiet(run)


@pytest.mark.parametrize(
    ("hops", "circuits", "stored"),
    [(3, {}, False), (2, {"purification": "epl", "link_rounds": 1}, False),
     (2, {"purification": "dejmps", "end_rounds": 1}, True)],
)  # fmt: skip
def test_estimates_are_true_pair_by_pair_under_t1(
    hops: int, circuits: dict[str, Any], stored: bool, tmp_path: Path
) -> None:
    """Halves of single clicks lean, swaps and rounds tell by how much, and T1 goes on from there: to first order in
    t/T1, here some hundredths, every pair would be off by more than a thousandth."""
    device: dict[str, Any] = {"t1_s": 0.02, "t2_s": 0.03, "gate_2q_fidelity": 0.99}
    if stored:
        device |= {"communication_t1_s": 10, "storage_qubits": 8}
    link = {"model": "single-click", "alpha": 0.2, "length_m": 20000, "efficiency_a": 0.1, "efficiency_b": 0.1}
    text = chain(hops, {"requests": [request(hops, 8)]}, circuits=circuits, device=device, link=link)
    for each in text["links"].values():
        del each["round_gap_s"]
    run = run_slice(text, tmp_path)
    assert run.finished
    pairs = believed_and_true(run.scenario, 0, run.outcome)
    assert len(pairs) == 8
    for believed, true in pairs:
        assert believed == pytest.approx(true, abs=3e-6)
