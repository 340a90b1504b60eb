"""Runs whose nodes have clocks of their own, through the whole stack."""

from math import cos, pi, sqrt
from pathlib import Path
from typing import Any

import pytest
from engine_lab import local, virtual
from slice_lab import IDEAL, Slice, ended_well, job, run_slice, teleport, two_qpus, write_and_load

from stack.runtime.times import MS
from testbed.plan.compose import compose
from testbed.report.sync import SyncPoint, sync_figures

NODES = ("west", "mid", "east")


def with_clocks(text: dict[str, Any], **clocks: Any) -> dict[str, Any]:
    for node, clock in clocks.items():
        text["nodes"][node]["clock"] = clock
    return text


def heralds(pairs: list[dict[str, Any]]) -> list[tuple[int, float]]:
    return [(pair["outcome"], pair["fidelity_at_emission"]) for pair in pairs]


@pytest.mark.parametrize("offset_s", [-1, 1, 3e-6, -999.999999])
def test_clocks_that_are_wrong_alike_make_the_same_pairs(offset_s: float, tmp_path: Path) -> None:
    plain = run_slice(two_qpus(teleport(4), IDEAL), tmp_path / "plain")
    off = run_slice(
        with_clocks(two_qpus(teleport(4), IDEAL), **{node: {"offset_s": offset_s} for node in NODES}), tmp_path / "off"
    )
    assert off.finished
    assert off.result("east", "teleport") == plain.result("east", "teleport")
    assert heralds(off.outcome.plane["pairs"]) == heralds(plain.outcome.plane["pairs"])


def test_runs_with_clocks_are_equal_in_all_placements(tmp_path: Path) -> None:
    text = with_clocks(two_qpus(teleport(2), IDEAL, {"qubit_frame_hz": 1e9}), **dict.fromkeys(NODES, "white-rabbit"))
    scenario, jobs = write_and_load(text, tmp_path / "text")
    ran = local(compose(scenario, "local", jobs), tmp_path / "local")
    other = virtual(compose(scenario, "virtual", jobs), tmp_path / "virtual")
    assert other.bytes == ran.bytes
    assert other.outcome.plane == ran.outcome.plane
    # Tens of ps at a GHz: every pair is a little turned.
    assert all(0.9 < pair["fidelity_at_emission"] < 0.985 for pair in ran.outcome.plane["pairs"])


# Clocks that the network keeps itself (TTP)

FREE = {"west": {"oscillator": "ocxo", "offset_s": -1}, "mid": "ocxo", "east": {"oscillator": "ocxo", "offset_s": 0.5}}
OFTEN = {"time_sync": {"interval_s": 0.001}}
"""A thousand exchanges a second: clocks are set and settled within 16 ms."""


def kept(work: dict[str, Any], link: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
    return with_clocks(two_qpus(work, IDEAL, link, **(OFTEN | top)), **FREE)


def apart(ran: Slice) -> list[int]:
    """By how much the photon of west came later than that of east, per pair."""
    return [a - b for a, b in (pair["arrivals_ps"] for pair in ran.outcome.plane["pairs"])]


def test_nodes_that_disagree_by_seconds_set_their_clocks_and_make_pairs(tmp_path: Path) -> None:
    """Timestamps of 10 ps, of which the loop leaves about 4.6 ps rms at each end: 6.5 ps between them, 5σ."""
    ran = run_slice(kept(teleport(10)), tmp_path / "run", record=True)
    assert ran.finished
    assert ran.result("east", "teleport")["lost"] == 0
    assert max(map(abs, apart(ran))) < 5 * 10
    up = {event["node"]: event["t_ps"] for event in ran.events("up")}
    # All come up when the network opens: 16 exchanges after the time of the master's birth, within their clocks' error.
    assert max(up.values()) - min(up.values()) < 1_000
    assert ran.events("tracking")


def test_nobody_hears_anything_else_before_the_clocks_are_set(tmp_path: Path) -> None:
    ran = run_slice(kept(teleport(1)), tmp_path / "run", record=True)
    up = min(event["t_ps"] for event in ran.events("up"))
    assert all(e["layer"] in ("time", "node", "lab") for e in ran.all_events() if e["t_ps"] < up)


@pytest.mark.parametrize("work", [teleport(1), job(shots=2)], ids=["teleport", "job"])
@pytest.mark.parametrize("late", ["west", "east"])
def test_who_comes_up_late_is_waited_for(work: dict[str, Any], late: str, tmp_path: Path) -> None:
    """It cannot set its clock as early as the other end: longer than the reliable sublayer tries (24 ms here)."""
    cut_off = [{"at_s": 0.0, "partition": [late], "for_s": 0.052}]
    text = kept(work, time_sync={"interval_s": 0.001, "master": "mid"}, faults=cut_off)
    ran = run_slice(text, tmp_path / "run", record=True)
    up = {event["node"]: event["t_ps"] for event in ran.events("up")}
    assert up[late] > 24 * MS + min(up.values())
    for node in ("west", "east"):
        assert all("failed" not in result for result in ran.outcome.results[node].values() if isinstance(result, dict))
    ended_well(ran)


def test_who_never_comes_up_is_given_up(tmp_path: Path) -> None:
    """After as many exchanges as the last may take to set its clock."""
    text = kept(teleport(1), time_sync={"interval_s": 0.001, "master": "mid"}, faults=[{"at_s": 0.0, "kill": "east"}])
    ran = run_slice(text, tmp_path / "run")
    ended_well(ran, ("west",))
    assert "PEER_LOST" in ran.result("west", "teleport")["failed"]
    assert 64 * MS < ran.outcome.end_ps < 2_000 * MS


def test_half_of_an_asymmetry_turns_pairs_and_no_node_sees_it(tmp_path: Path) -> None:
    """A fibre that takes 400 ps longer from west to east than back.  Each arm has half of that, and each clock is wrong
    by half of its arm's, west's ahead and east's behind: their photons come 200 ps apart.  5σ of 10 ps."""
    ran = run_slice(
        kept(teleport(6), {"length_m": 20, "qubit_frame_hz": 1e9, "asymmetry_s": 400e-12}), tmp_path / "run"
    )
    assert all(abs(ps + 200) < 50 for ps in apart(ran))
    for node in ("west", "east"):
        exchanges, squares = ran.node(node).kernel.results["time"]
        assert sqrt(squares / exchanges) < 20
    fidelities = [pair["fidelity_at_emission"] for pair in ran.outcome.plane["pairs"]]
    expected = (1 + 0.97 * cos(2 * pi * 1e9 * 200e-12)) / 2
    assert abs(sum(fidelities) / len(fidelities) - expected) < 0.1


def test_time_transfer_is_equal_in_all_placements_over_bad_channels(tmp_path: Path) -> None:
    text = kept(
        teleport(2),
        {"length_m": 20},
        channel={"loss": 0.05, "duplicate": 0.05, "reorder": 0.05, "jitter_s": 20e-9},
        faults=[{"at_s": 0.03, "kill": "mid"}, {"at_s": 0.032, "restart": "mid"}],
        duration_s=0.06,
    )
    scenario, jobs = write_and_load(text, tmp_path / "text")
    ran = local(compose(scenario, "local", jobs), tmp_path / "local")
    assert len(ran.events("exchange")) > 60
    other = virtual(compose(scenario, "virtual", jobs), tmp_path / "virtual", 2)
    assert other.bytes == ran.bytes


def test_a_master_that_restarts_tells_the_same_time(tmp_path: Path) -> None:
    """Its oscillator has run on: clients wait in holdover, and follow again without a step."""
    text = kept({"duration_s": 0.2}, faults=[{"at_s": 0.06, "kill": "mid"}, {"at_s": 0.09, "restart": "mid"}])
    ran = run_slice(text, tmp_path / "run", record=True)
    assert {event["node"] for event in ran.events("holdover")} == {"west", "east"}
    late = [event for event in ran.events("exchange") if event["t_ps"] > 120 * 10**9]
    assert len(late) > 100
    assert max(abs(event["offset_ps"]) for event in late) < 200
    assert len(ran.events("set")) == 2


def test_a_chain_of_nodes_keeps_time_hop_by_hop(tmp_path: Path) -> None:
    """West follows mid over the fibre, and a controller follows west over a wire of its own."""
    text = kept({"duration_s": 0.2})
    text["nodes"]["boss"] = {"kind": "controller", "clock": {"oscillator": "tcxo", "offset_s": 3}}
    text["links"]["wire"] = {"kind": "classical", "a": "boss", "b": "west", "length_m": 30}
    ran = run_slice(text, tmp_path / "run", record=True)
    assert ran.scenario.time_sync is not None
    assert dict(ran.scenario.time_sync.servers) == {"mid": None, "west": "mid", "east": "mid", "boss": "west"}
    assert ran.scenario.time_sync.depth == 2
    (up,) = [event["t_ps"] for event in ran.events("up") if event["node"] == "boss"]
    assert up >= 32 * 10**9
    late = [e for e in ran.events("exchange") if e["node"] == "boss" and e["t_ps"] > 100 * 10**9]
    assert max(abs(event["offset_ps"]) for event in late) < 1_000


def test_clocks_that_differ_are_kept_together_unless_told_otherwise(tmp_path: Path) -> None:
    plain = two_qpus(teleport(1), IDEAL)
    differ = with_clocks(two_qpus(teleport(1), IDEAL), west={"offset_s": 1e-6})
    off = with_clocks(two_qpus(teleport(1), IDEAL, time_sync="off"), west={"offset_s": 1e-6})
    by_others = with_clocks(two_qpus(teleport(1), IDEAL), **dict.fromkeys(NODES, "white-rabbit"))
    has = [
        write_and_load(text, tmp_path / str(n))[0].time_sync is not None
        for n, text in enumerate((plain, differ, off, by_others))
    ]
    assert has == [False, True, False, False]


def test_the_report_says_of_which_errors_its_closed_form_is() -> None:
    point = SyncPoint("l", 20e-12, 0.8886, 1e-3, 0.8949, 100)
    _, (line,) = sync_figures([point])
    assert line.endswith("20.0 ps rms apart; F 0.8886 at emission, 0.8949 if that is Gaussian")
