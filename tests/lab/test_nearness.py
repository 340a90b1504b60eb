"""What a pair between two QPUs is reckoned to cost: near before far, and nothing where there is no way."""

from math import inf

import yaml
from slice_lab import SCENARIOS, two_qpus, with_south, write_and_load

from testbed.circuits.nearness import nearness
from testbed.scenario import load_scenario


def test_inside_a_building_is_nearer_than_between():
    scenario = load_scenario(SCENARIOS / "two-data-centres.yaml")
    number = {node.name: node.number for node in scenario.nodes}
    distance = nearness(scenario)
    assert distance(number["north-1"], number["north-2"]) == distance(number["south-1"], number["south-2"]) == 1
    # 1 - F + t/T2 + gates and readouts: .015 + .001 + .008 against .020 + .0056 + .008.
    between = distance(number["north-1"], number["south-1"])
    assert 1.35 < between < 1.45
    assert between == distance(number["south-1"], number["north-1"])
    assert distance(number["north-1"], number["north-3"]) == inf, "a QPU does not swap"


def test_a_slow_link_is_far_even_if_its_pairs_are_perfect(tmp_path):
    text = with_south(two_qpus({}, link={"visibility": 1.0}))
    text["links"]["west-south"] |= {"efficiency_a": 0.02, "efficiency_b": 0.02}
    text["job"] = {"circuit": "ghz-4.qasm", "shots": 1, "mapping": {"west": [0, 1], "east": [2, 3]}}
    scenario, _ = write_and_load(text, tmp_path)
    distance = nearness(scenario)
    assert distance(1, 5) > 5 * distance(1, 3)
    del text["job"]["mapping"]
    _, (compiled,) = write_and_load(yaml.safe_load(yaml.safe_dump(text)), tmp_path)
    assert set(compiled.programs) == {"west", "east"}


def test_over_a_repeater_it_costs_both_links_and_the_swap():
    scenario = load_scenario(SCENARIOS / "repeater-chain.yaml")
    ends = [node for node in scenario.nodes if node.kind == "qpu"]
    distance = nearness(scenario)
    assert distance(ends[0].number, ends[-1].number) < inf
