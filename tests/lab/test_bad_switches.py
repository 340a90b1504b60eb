"""Bad input about switches and stars: one line with the file, the place and a remedy.  As in test_bad_input."""

from pathlib import Path

import pytest
from bad_input_lab import line_of, refused

from testbed.scenario import load_scenario

GOOD = """\
nodes:
  q1: {kind: qpu, device: ideal}
  q2: {kind: qpu, device: ideal}
  q3: {kind: qpu, device: ideal}
  mid: {kind: station}
  hub:
    kind: station
    switch:
      analysers: 2
      technology: mems
      fidelity_cost: 0.04
links:
  aside: {a: q1, b: q2, station: mid, length_m: 2, model: barrett-kok, grade: sampled, slot_s: 20e-6}
stars:
  floor:
    station: hub
    ends: [q1, q2, q3]
    arm_m: 20
    pairs: all
    link:
      model: barrett-kok
      grade: sampled
      slot_s: 20e-6
      efficiency: 0.2
"""

SMALL = """\
  small:
    station: hub
    ends: [q1, q2]
    arm_m: 5
    link: {model: barrett-kok, grade: sampled, slot_s: 20e-6}
"""

CASES = {
    # (what is replaced, by what, a piece of the line that is named, the path, the problem)
    "no analysers": ("analysers: 2", "analysers: 0", "analysers", "nodes.hub.switch.analysers", "less than 1"),
    "no pool": ("      analysers: 2\n", "", "switch:", "nodes.hub.switch", "without 'analysers'"),
    "no time": ("      technology: mems\n", "", "switch:", "nodes.hub.switch", "without a time to reconfigure"),
    "unknown technology": ("mems", "magic", "magic", "nodes.hub.switch.technology", "unknown technology 'magic'"),
    "two times": (
        "technology: mems",
        "technology: mems\n      reconfigure_s: 1",
        "reconfigure_s",
        "nodes.hub.switch.reconfigure_s",
        "the technology says it",
    ),
    "too dear": ("0.04", "0.9", "0.9", "nodes.hub.switch.fidelity_cost", "more than 0.75"),
    "gain": (
        "fidelity_cost: 0.04",
        "insertion_loss_db: -1",
        "loss_db",
        "nodes.hub.switch.insertion_loss_db",
        "less than 0",
    ),
    "unknown policy": ("fidelity_cost: 0.04", "policy: fair", "policy", "nodes.hub.switch.policy", "unknown policy"),
    "a grant of no time": (
        "fidelity_cost: 0.04",
        "longest_grant_s: 0",
        "longest_grant_s",
        "nodes.hub.switch.longest_grant_s",
        "less than 1e-09",
    ),
    "a switch that is a qpu": (
        "q3: {kind: qpu, device: ideal}",
        "q3: {kind: qpu, device: ideal, switch: {analysers: 1}}",
        "q3: {",
        "nodes.q3.switch",
        "a qpu is no station",
    ),
    "a star around a plain station": (
        "station: hub",
        "station: mid",
        "station: mid\n    ends",
        "stars.floor.station",
        "mid is no switch",
    ),
    "one end": ("[q1, q2, q3]", "[q1]", "ends:", "stars.floor.ends", "a star with 1 ends"),
    "an end twice": ("[q1, q2, q3]", "[q1, q2, q1]", "ends:", "stars.floor.ends[2]", "q1 stands here twice"),
    "an end that is a station": ("[q1, q2, q3]", "[q1, q2, mid]", "ends:", "stars.floor.ends[2]", "mid is a station"),
    "an arm missing": (
        "arm_m: 20",
        "arm_m: {q1: 20, q3: 20}",
        "arm_m",
        "stars.floor.arm_m",
        "the arm of q2 has no length",
    ),
    "an arm too many": ("arm_m: 20", "arm_m: {q4: 20}", "arm_m", "stars.floor.arm_m.q4", "unknown end 'q4'"),
    "an arm too short": ("arm_m: 20", "arm_m: 0.1", "arm_m", "stars.floor.arm_m", "under 1 ns"),
    "a pair of one": ("pairs: all", "pairs: [[q1, q1]]", "pairs", "stars.floor.pairs[0]", "this is no pair"),
    "a pair of strangers": ("pairs: all", "pairs: [[q1, q4]]", "pairs", "stars.floor.pairs[0][1]", "unknown end 'q4'"),
    "a pair twice": ("pairs: all", "pairs: [[q1, q2], [q2, q1]]", "pairs", "stars.floor.pairs[1]", "twice"),
    "no pairs": ("pairs: all", "pairs: []", "pairs", "stars.floor.pairs", "a star without pairs"),
    "pairs in a word": ("pairs: all", "pairs: none", "pairs", "stars.floor.pairs", "or the word all"),
    "a link with ends": (
        "grade: sampled\n      slot",
        "a: q1\n      slot",
        "a: q1\n",
        "stars.floor.link.a",
        "the star says it",
    ),
    "a link with a length": (
        "efficiency: 0.2",
        "length_m: 2",
        "length_m: 2\n",
        "stars.floor.link.length_m",
        "the star says it",
    ),
    "a key twice": (
        "efficiency: 0.2",
        "efficiency: 0.2\n      efficiency_b: 0.3",
        "efficiency_b",
        "stars.floor.link.efficiency_b",
        "twice",
    ),
    "an unknown key of its links": (
        "efficiency: 0.2",
        "eficiency_a: 0.2",
        "eficiency_a",
        "stars.floor.link.eficiency_a",
        "unknown key",
    ),
    "a bad value of its links": (
        "efficiency: 0.2",
        "efficiency: 2",
        "efficiency: 2",
        "stars.floor.link.efficiency",
        "more than 1",
    ),
    "no link": (GOOD[GOOD.index("    link:") :], "    link: 5\n", "link: 5", "stars.floor.link", "no keys"),
    "a request among one": (
        "stars:\n",
        "requests: [{among: [q1], pairs: 1}]\nstars:\n",
        "requests",
        "requests[0].among",
        "a request among 1",
    ),
    "a request among some, twice": (
        "stars:\n",
        "requests: [{among: [q1, q2, q1], pairs: 1}]\nstars:\n",
        "requests",
        "requests[0].among[2]",
        "q1 stands here twice",
    ),
    "a request among some, and from one": (
        "stars:\n",
        "requests: [{among: [q1, q2], from: q1, pairs: 1}]\nstars:\n",
        "requests",
        "requests[0].from",
        "no meaning here",
    ),
    "a request among some who have no link": (
        "stars:\n  floor:\n    station: hub\n    ends: [q1, q2, q3]",
        "requests: [{among: [q1, q2, q3], pairs: 1}]\nstars:\n  floor:\n    station: hub\n    ends: [q1, q2]",
        "requests",
        "requests[0].among",
        "no quantum link joins q1 and q3",
    ),
    "a link of that name": ("aside:", "q1-q2:", "q1-q2:", "links.q1-q2", "a star has a link q1-q2"),
    "a second star with the pair": (
        "stars:\n",
        f"stars:\n{SMALL}",
        "floor:",
        "stars.floor",
        "a second link q1-q2",
    ),
}


def test_the_sound_one_loads(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(GOOD)
    scenario = load_scenario(path)
    assert [(link.number, link.name) for link in scenario.links] == [
        (1, "aside"), (2, "q1-q2"), (3, "q1-q3"), (4, "q2-q3"),
    ]  # fmt: skip
    for link in scenario.links[1:]:
        assert link.physics["efficiency_a"] == link.physics["efficiency_b"] == 0.2
    switch = scenario.node("hub").switch
    assert switch is not None
    assert (switch.reconfigure_ps, switch.longest_grant_ps) == (10**9, 5 * 10**10)


@pytest.mark.parametrize("name", CASES)
def test_a_damaged_switch_is_refused_where_it_is_damaged(tmp_path: Path, name: str) -> None:
    old, new, at, path, problem = CASES[name]
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    (tmp_path / "lab.yaml").write_text(text)

    error = refused(tmp_path / "lab.yaml")

    assert error.place == f"line {line_of(text, at)}, {path}"
    assert problem in error.problem
