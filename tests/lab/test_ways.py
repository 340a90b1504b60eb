"""The classical network: frames between nodes that no single channel joins."""

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
import yaml
from engine_lab import local, virtual

from stack.config import Faults
from testbed.plan.compose import compose
from testbed.plan.ways import all_ways
from testbed.scenario import Scenario, load_scenario

SPEED = 2.0e8  # 1 m takes 5 ns


def scenario(folder: Path, links: dict[str, int], **top: object) -> Scenario:
    """Classical links "ab" of so many metres; nodes are numbered in the order of their names."""
    names = sorted({name for pair in links for name in pair} | {"z"})
    text = {
        "speed_m_per_s": SPEED,
        "nodes": {name: {"kind": "controller"} for name in names},
        "links": {f"{a}-{b}": {"kind": "classical", "a": a, "b": b, "length_m": m} for (a, b), m in links.items()},
        **top,
    }
    path = folder / "scenario.yaml"
    path.write_text(yaml.safe_dump(text, sort_keys=False))
    return load_scenario(path)


def test_frames_take_the_quickest_chain_where_no_channel_joins_two_nodes(tmp_path: Path) -> None:
    ways = all_ways(scenario(tmp_path, {"ab": 10, "bc": 10, "ad": 5, "dc": 14, "ce": 100}))

    assert {n: path.delay_ps for n, path in ways[1].items()} == {2: 50_000, 3: 95_000, 4: 25_000, 5: 595_000}
    assert [ways[1][n].name for n in ways[1]] == ["b", "c", "d", "e"]


def test_the_way_back_is_the_way_there(tmp_path: Path) -> None:
    ways = all_ways(scenario(tmp_path, {"ab": 10, "bc": 10, "ad": 10, "dc": 10, "ce": 1}))

    for a, b in permutations(range(1, 6), 2):
        assert (ways[a][b].delay_ps, ways[a][b].faults) == (ways[b][a].delay_ps, ways[b][a].faults)


def test_a_channel_of_their_own_is_taken_though_a_chain_were_quicker(tmp_path: Path) -> None:
    ways = all_ways(scenario(tmp_path, {"ab": 1, "bc": 1, "ac": 100}))

    assert ways[1][3].delay_ps == 500_000


def test_nodes_without_a_chain_between_them_cannot_reach_each_other(tmp_path: Path) -> None:
    ways = all_ways(scenario(tmp_path, {"ab": 1, "cd": 1}))

    assert [list(there) for there in ways.values()] == [[2], [1], [4], [3], []]


def test_each_channel_of_a_chain_does_its_own_to_a_frame(tmp_path: Path) -> None:
    faults = {"loss": 0.5, "duplicate": 0.1, "jitter_s": 1e-9, "pairs": [{"between": ["b", "c"], "loss": 0.2}]}

    ways = all_ways(scenario(tmp_path, {"ab": 1, "bc": 1}, channel=faults))

    joined = ways[1][3].faults
    assert joined.loss == pytest.approx(0.6)
    assert joined.duplicate == pytest.approx(0.19)
    assert replace(joined, loss=0.0, duplicate=0.0) == Faults(jitter_ps=2000)
    assert ways[1][2].faults == Faults(loss=0.5, duplicate=0.1, jitter_ps=1000)


def test_far_nodes_ping_each_other_with_the_same_bytes_under_both_clocks(tmp_path: Path) -> None:
    toy = {"from": "a", "to": "d", "count": 20, "in_flight": 3, "timeout_s": 1e-6}
    channel = {"loss": 0.1, "jitter_s": 5e-9, "reorder": 0.1}
    plan = compose(scenario(tmp_path, {"ab": 2, "bc": 3, "cd": 4}, toy=toy, channel=channel), "local", [])

    here, apart = local(plan, tmp_path / "local"), virtual(plan, tmp_path / "virtual")

    assert here.bytes == apart.bytes
    assert [e["answered"] for e in here.events("done")] == [20]


def test_in_paced_time_both_ends_of_a_far_way_hold_one_secret_and_nobody_else_does(tmp_path: Path) -> None:
    plan = compose(scenario(tmp_path, {"ab": 2, "bc": 3, "cd": 4}), "paced", [])

    keys = {(node.number, other): key for node in plan.nodes for other, key in node.keys.items()}
    assert len(keys) == 12
    assert all(keys[a, b] == keys[b, a] for a, b in keys)
    assert len(set(keys.values())) == 6
