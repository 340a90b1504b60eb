"""Runs whose nodes have clocks of their own, through the whole stack."""

import copy
from pathlib import Path
from typing import Any

import pytest
from engine_lab import local, virtual
from slice_lab import IDEAL, run_slice, teleport, two_qpus, write_and_load

from testbed.lab.compose import compose

NODES = ("west", "mid", "east")


def with_clocks(text: dict[str, Any], **clocks: Any) -> dict[str, Any]:
    for node, clock in clocks.items():
        text["nodes"][node]["clock"] = copy.copy(clock)
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
