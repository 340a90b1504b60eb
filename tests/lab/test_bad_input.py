"""Bad input: whatever a person may get wrong is one line with the file, the place and a remedy.

Each case damages a sound scenario in one place and says where the error must be seen. `at` is a piece of
the damaged file that stands in the line which the error must name.
"""

import os
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from bad_input_lab import GOOD, line_of, refused, write_good

from testbed.circuits import compile_job
from testbed.errors import BadInput, listed, nearest, one_line, shown
from testbed.scenario import Scenario, load_scenario, with_options
from testbed.scenario.source import MAX_BYTES, load_yaml

TELEPORT = "teleport: {from: west, to: east, rounds: 5}\n"
TOY = "toy: {from: west, to: east, count: 5}\n"


class Case(NamedTuple):
    """`old` becomes `new`; without `old`, `new` is appended."""

    old: str
    new: str
    at: str
    path: str
    problem: str


CASES = {
    # What the acceptance list names
    "unknown node": Case("b: east", "b: eats", "b: eats", "links.west-east.b", "unknown node 'eats'"),
    "link to nowhere": Case("    b: east\n", "", "west-east:", "links.west-east", "without 'b'"),
    "link to nothing": Case("b: east", "b:", "    b:", "links.west-east.b", "found nothing"),
    "unknown station": Case(
        "station: mid", "station: middle", "middle", "links.west-east.station", "unknown node"
    ),
    "fidelity 1.2": Case("0.99", "1.2", "1.2", "devices.ion.gate_2q_fidelity", "1.2 is more than 1"),
    "fidelity of no channel": Case("0.99", "0.1", "0.1", "devices.ion.gate_2q_fidelity", "less than 0.2"),
    "negative length": Case("arm_a_m: 1", "arm_a_m: -1", "-1", "links.west-east.arm_a_m", "negative"),
    "length in words": Case("arm_a_m: 1", "arm_a_m: far", "far", "links.west-east.arm_a_m", "found the text 'far'"),
    "sub-nanosecond arm": Case("arm_b_m: 1", "arm_b_m: 0.1", "0.1", "links.west-east.arm_b_m", "under 1 ns"),
    "length zero": Case("arm_b_m: 1", "arm_b_m: 0", "arm_b_m", "links.west-east.arm_b_m", "0 ns"),
    "sub-nanosecond halves": Case(
        "arm_a_m: 1\n    arm_b_m: 1", "length_m: 0.3", "length_m", "links.west-east.length_m", "0.75 ns"
    ),
    "T2 > 2 T1": Case("t2_s: 1.0", "t2_s: 2.1", "t2_s", "devices.ion.t2_s", "more than twice T1 = 1.0 s"),
    "inherited T2 > 2 T1": Case(
        "t2_s: 1.0", "t2_s: 1.0\n    communication_t1_s: 0.4", "communication_t1_s", "devices.ion.communication_t1_s",
        "t2_s: T2 = 1.0 s is more than twice T1 = 0.4 s of communication_t1_s",
    ),
    "T2 > 2 inherited T1": Case(
        "t2_s: 1.0", "t2_s: 1.0\n    communication_t2_s: 2.1", "communication_t2_s", "devices.ion.communication_t2_s",
        "communication_t2_s: T2 = 2.1 s is more than twice T1 = 1.0 s of t1_s",
    ),
    "duplicate node": Case(
        "  mid:", "  west:", "  west: {kind: station}", "nodes.west", "twice, first in line 11"
    ),
    "duplicate key": Case("seed: 7", "seed: 7\nseed: 8", "seed: 8", "seed", "twice, first in line 1"),
    "qubit mapped twice": Case("east: [1]", "east: [0]", "east: [0]", "job.mapping.east[0]", "mapped twice"),
    "qubit not mapped": Case("east: [1]", "east: [2]", "mapping:", "job.mapping", "qubit 1 is not mapped"),
    "more qubits than the QPU has": Case(
        "east: [1]", "east: [1, 2, 3]", "east: [1", "job.mapping.east", "3 qubits on east, whose device has 2"
    ),
    "missing QASM file": Case("bell.qasm", "ball.qasm", "ball", "job.circuit", "ball.qasm' does not exist"),
    "QASM is a directory": Case("bell.qasm", ".", "circuit: .", "job.circuit", "is a directory"),
    # Keys, types and names
    "unknown key": Case("slot_s", "slot_ms", "slot_ms", "links.west-east.slot_ms", "unknown key of a link"),
    "key without its unit": Case(
        "slot_s", "slot", "slot:", "links.west-east.slot", "unknown key of a link 'slot'"
    ),
    "unknown section": Case("", "nods: {}\n", "nods", "nods", "unknown key of a scenario 'nods'"),
    "unknown device": Case(
        "device: ion\n", "device: ino\n", "ino", "nodes.east.device", "unknown device 'ino'"
    ),
    "device by path": Case("device: ion\n", "device: ../x\n", "../x", "nodes.east.device", "unknown device"),
    "unknown model": Case("barrett-kok", "barret", "barret", "links.west-east.model", "unknown link model"),
    "unknown grade": Case("sampled", "exact", "exact", "links.west-east.grade", "unknown grade 'exact'"),
    "unknown kind": Case("kind: station", "kind: hub", "hub", "nodes.mid.kind", "unknown kind of node 'hub'"),
    "station is a QPU": Case(
        "station: mid", "station: far", "far", "links.west-east.station", "far is a qpu"
    ),
    "end is a station": Case("b: east", "b: mid", "b: mid", "links.west-east.b", "mid is a station"),
    "link to itself": Case("b: east", "b: west", "b: west", "links.west-east.b", "a and b are both west"),
    "station with a device": Case(
        "{kind: station}", "{kind: station, device: ion}", "  mid", "nodes.mid.device", "no meaning here"
    ),
    "QPU without a device": Case(
        "    device: ion\n", "", "  east:\n", "nodes.east", "a node without 'device'"
    ),
    "name with a slash": Case("boss:", "a/b:", "a/b", "nodes.a/b", "cannot be a name"),
    "name that is a number": Case("boss:", "7:", "  7:", "nodes.7", "cannot be a name"),
    "unit in the value": Case("20e-6", "20 us", "20 us", "links.west-east.slot_s", "found the text '20 us'"),
    "number in quotes": Case("seed: 7", "seed: '7'", "seed", "seed", "expected a whole number"),
    "seed with a point": Case("seed: 7", "seed: 7.0", "seed", "seed", "expected a whole number, found 7.0"),
    "seed below zero": Case("seed: 7", "seed: -7", "seed", "seed", "-7 is less than 0"),
    "seed beyond 63 bits": Case("seed: 7", "seed: 9223372036854775808", "seed", "seed", "is more than"),
    "truth for a number": Case("20e-6", "true", "true", "links.west-east.slot_s", "found true"),
    "list for a number": Case("20e-6", "[1]", "slot_s", "links.west-east.slot_s", "found a list"),
    "section for text": Case("bell.qasm", "{a: 1}", "{a: 1}", "job.circuit", "found a section of keys"),
    "text for a section": Case("{kind: controller}", "none", "none", "nodes.boss", "expected a node"),
    "nothing for a section": Case("{kind: controller}", "", "boss:", "nodes.boss", "found nothing"),
    "list for a section": Case("{kind: controller}", "[]", "boss:", "nodes.boss", "found a list"),
    "not a number": Case("20e-6", ".nan", ".nan", "links.west-east.slot_s", "nan is not a finite number"),
    "infinite": Case("t1_s: 1.0", "t1_s: .inf", ".inf", "devices.ion.t1_s", "inf is not a finite number"),
    "infinite by size": Case("20e-6", "1e999", "1e999", "links.west-east.slot_s", "not a finite number"),
    "beyond every float": Case(
        "20e-6", "1" + "0" * 28, "slot_s", "links.west-east.slot_s", "more than 1e+06"
    ),
    # Devices
    "negative duration": Case("100e-6", "-1e-9", "-1e-9", "devices.ion.gate_2q_s", "less than 0"),
    "T1 of a femtosecond": Case(
        "t1_s: 1.0", "t1_s: 1e-15", "1e-15", "devices.ion.t1_s", "less than a nanosecond"
    ),
    "no qubits": Case(
        "data_qubits: 2\n    communication_qubits: 2",
        "data_qubits: 0\n    communication_qubits: 0",
        "  ion:",
        "devices.ion",
        "without qubits",
    ),
    "half a qubit": Case(
        "data_qubits: 2", "data_qubits: 1.5", "1.5", "devices.ion.data_qubits", "whole number"
    ),
    "no communication qubit": Case(
        "    device: ion\n",
        "    device: {data_qubits: 2, communication_qubits: 0}\n",
        "    b: east",
        "links.west-east.b",
        "east has no communication qubit",
    ),
    # Links
    "negative slot": Case("20e-6", "-20e-6", "-20e-6", "links.west-east.slot_s", "less than"),
    "slot too short": Case("20e-6", "40e-9", "40e-9", "links.west-east.slot_s", "still open"),
    "second round too late": Case(
        "20e-6", "20e-6\n    round_gap_s: 20e-6", "round", "links.west-east.round_gap_s", "does not fit"
    ),
    "rounds too close": Case(
        "slot_s: 20e-6",
        "slot_s: 20e-6\n    round_gap_s: 1e-9",
        "round",
        "links.west-east.round_gap_s",
        "still open",
    ),
    "alpha of two rounds": Case(
        "visibility: 0.97", "alpha: 0.1", "alpha", "links.west-east.alpha", "'alpha' has no meaning here"
    ),
    "single click without alpha": Case(
        "barrett-kok", "single-click", "west-east:", "links.west-east", "'alpha'"
    ),
    "both length and arms": Case(
        "arm_a_m: 1", "length_m: 2", "arm_b_m", "links.west-east.arm_b_m", "'arm_b_m' has no meaning here"
    ),
    "no length": Case(
        "    arm_a_m: 1\n    arm_b_m: 1\n", "", "west-east:", "links.west-east", "without a length"
    ),
    "half the arms": Case("    arm_b_m: 1\n", "", "west-east:", "links.west-east", "without 'arm_b_m'"),
    "never a herald": Case("0.97", "1\n    efficiency_a: 0", "west-east:", "links.west-east", "never herald"),
    "always a click": Case(
        "visibility: 0.97", "dark_probability: 1", "dark", "links.west-east.dark_probability", "always click"
    ),
    "visibility above one": Case("0.97", "1.01", "1.01", "links.west-east.visibility", "more than 1"),
    "faster than light": Case(
        "", "speed_m_per_s: 3.0e8\n", "speed", "speed_m_per_s", "more than 2.99792e+08"
    ),
    "classical link with a slot": Case(
        "job:\n",
        "  wire: {kind: classical, a: boss, b: west, length_m: 2, slot_s: 1}\njob:\n",
        "wire",
        "links.wire.slot_s",
        "the link is classical",
    ),
    # Work
    "no shots": Case("shots: 200", "shots: 0", "shots", "job.shots", "0 is less than 1"),
    "negative shots": Case("shots: 200", "shots: -5", "shots", "job.shots", "-5 is less than 1"),
    "huge shots": Case("shots: 200", "shots: 1000000000", "shots", "job.shots", "more than 1000000"),
    "shots missing": Case("  shots: 200\n", "", "job:", "job", "a job without 'shots'"),
    "mapped to a station": Case("east: [1]", "mid: [1]", "mid: [1]", "job.mapping.mid", "mid is a station"),
    "mapped to nobody": Case("east: [1]", "eats: [1]", "eats", "job.mapping.eats", "unknown node 'eats'"),
    "nothing mapped": Case(
        "    west: [0]\n    east: [1]\n", "    west: []\n", "mapping:", "job.mapping", "no qubit is mapped"
    ),
    "negative qubit": Case("east: [1]", "east: [-1]", "[-1]", "job.mapping.east[0]", "less than 0"),
    "two jobs on one QPU": Case(
        GOOD[GOOD.index("job:") :],
        "jobs:\n  - {circuit: bell.qasm, shots: 1, mapping: {west: [0], east: [1]}}\n"
        "  - {name: again, circuit: bell.qasm, shots: 1, mapping: {east: [0, 1]}}\n",
        "again",
        "jobs[1].mapping",
        "again uses east, and so does the job bell",
    ),
    "a job where the teleports start": Case(
        "", TELEPORT, "mapping:", "job.mapping", "bell uses west, and so does the teleport section"
    ),
    "job and jobs": Case("", "jobs: []\n", "jobs: []", "jobs", "'jobs' has no meaning here"),
    "requested fidelity": Case(
        "shots: 200",
        "shots: 1\n  minimum_fidelity: 1.2",
        "minimum",
        "job.minimum_fidelity",
        "1.2 is more than 1",
    ),
    "more pairs ahead than qubits": Case(
        "shots: 200", "shots: 1\n  ahead: 3", "mapping", "job.mapping", "3 pairs ahead for each of 1 ways"
    ),
    "pairs ahead, purified in more rounds than qubits allow": Case(
        "job:",
        "circuits: {purification: dejmps, end_rounds: 1}\njob:\n  ahead: 2",
        "mapping",
        "job.mapping",
        "2 pairs ahead at west, of which the last takes 2 qubits while it is purified, are more than 2 qubits",
    ),
    "teleports ahead, purified in more rounds than qubits allow": Case(
        "",
        TELEPORT.replace("rounds", "ahead: 2, rounds") + "circuits: {purification: dejmps, end_rounds: 1}\n",
        "teleport",
        "teleport.ahead",
        "2 pairs ahead, of which the last takes 2 qubits while it is purified, are more than 2 qubits",
    ),
    "more teleports at a time than qubits": Case(
        "", TELEPORT.replace("rounds", "in_flight: 3, rounds"), "teleport", "teleport.in_flight", "3 is more than 2"
    ),
    "teleport without a link": Case(
        "",
        TELEPORT.replace("to: east", "to: far"),
        "teleport",
        "teleport.to",
        "no quantum link joins west and far",
    ),
    "teleport by a station": Case(
        "", TELEPORT.replace("west", "mid"), "teleport", "teleport.from", "mid is a station"
    ),
    "unknown state": Case(
        "",
        TELEPORT.replace("rounds", "states: [up], rounds"),
        "teleport",
        "teleport.states[0]",
        "unknown state 'up'",
    ),
    "no rounds": Case("", TELEPORT.replace("5", "0"), "teleport", "teleport.rounds", "0 is less than 1"),
    "toy without a link": Case(
        "", TOY.replace("east", "boss"), "toy", "toy.to", "no link joins west and boss"
    ),
    "toy too wide": Case("", TOY.replace("}", ", padding: 1001}"), "toy", "toy.padding", "more than 1000"),
    "program that is not there": Case(
        "", "programs: [{node: west, run: x.py}]\n", "programs", "programs[0].run", "x.py' does not exist"
    ),
    # Channels, faults, the run
    "loss above one": Case("", "channel: {loss: 1.5}\n", "channel", "channel.loss", "1.5 is more than 1"),
    "faults between strangers": Case(
        "",
        "channel: {pairs: [{between: [west, boss], loss: 1}]}\n",
        "channel",
        "channel.pairs[0].between",
        "no link",
    ),
    "a cut of no link": Case(
        "", "faults: [{at_s: 1, cut: west-east-x, for_s: 1}]\n", "faults", "faults[0].cut", "unknown link"
    ),
    "a detector of a QPU's": Case(
        "", "faults: [{at_s: 1, blind: west, for_s: 1}]\n", "faults", "faults[0].blind", "not a station"
    ),
    "a cut for ever": Case("", "faults: [{at_s: 1, cut: west-east}]\n", "faults", "faults[0]", "for_s"),
    "everybody on one side": Case(
        "", "faults: [{at_s: 1, partition: [], for_s: 1}]\n", "faults", "faults[0].partition", "nobody on one side"
    ),
    "a chance of nothing": Case(
        "", "faults: [{at_s: 1, loss: 0, at: [west-east], for_s: 1}]\n", "faults", "faults[0].loss", "nothing would"
    ),
    "loss at no place": Case(
        "", "faults: [{at_s: 1, loss: 1, at: [north], for_s: 1}]\n", "faults", "faults[0].at[0]", "link or node 'north'"
    ),
    "the clock of a link": Case(
        "", "faults: [{at_s: 1, drift_ppm: 5, at: [west-east], for_s: 1}]\n", "faults", "faults[0].at", "not a node"
    ),
    "a disk somewhere": Case(
        "", "faults: [{at_s: 1, disk: full, at: [west], for_s: 1}]\n", "faults", "faults[0].at", "disk says itself"
    ),
    "two faults in one": Case(
        "", "faults: [{at_s: 1, cut: west-east, kill: west}]\n", "faults", "faults[0].cut", "kill"
    ),
    "restart of the living": Case(
        "", "faults: [{at_s: 1, restart: west}]\n", "faults", "faults[0]", "west is not dead at that time"
    ),
    "kill of the dead": Case(
        "",
        "faults:\n  - {at_s: 1, kill: west}\n  - {at_s: 2, kill: west}\n",
        "at_s: 2",
        "faults[1]",
        "west is dead at that time",
    ),
    "freeze without an end": Case(
        "", "faults: [{at_s: 1, freeze: west}]\n", "faults", "faults[0]", "'for_s'"
    ),
    "freeze of the frozen": Case(
        "",
        "faults:\n  - {at_s: 1, freeze: west, for_s: 2}\n  - {at_s: 2, freeze: west, for_s: 1}\n",
        "at_s: 2",
        "faults[1]",
        "already frozen",
    ),
    "fault of nothing": Case("", "faults: [{at_s: 1}]\n", "faults", "faults[0]", "does nothing"),
    "clock too fine": Case(
        "{kind: controller}",
        "{kind: station, clock: {rate_ppm: 0.0001}}",
        "boss",
        "nodes.boss.clock.rate_ppm",
        "finer",
    ),
    "clock of a name that is none": Case(
        "{kind: controller}", "{kind: station, clock: quarz}", "quarz", "nodes.boss.clock", "unknown oscillator"
    ),
    "clock of a kind inside": Case(
        "{kind: controller}",
        "{kind: station, clock: {oscillator: quarz}}",
        "quarz",
        "nodes.boss.clock.oscillator",
        "unknown oscillator",
    ),
    "clock that may run backwards": Case(
        "{kind: controller}",
        "{kind: station, clock: {wander_s: 1e-5, knot_s: 1e-4}}",
        "wander_s",
        "nodes.boss.clock.wander_s",
        "could run backwards",
    ),
    "time server that is none": Case("", "time_sync: {master: nowhere}\n", "nowhere", "time_sync.master", "nowhere"),
    "exchanges too often": Case(
        "", "time_sync: {interval_s: 1e-7}\n", "1e-7", "time_sync.interval_s", "shorter than 1e-6 s"
    ),
    "asymmetry beyond the way": Case(
        "slot_s: 20e-6", "slot_s: 20e-6\n    asymmetry_s: 1", "asymmetry_s", "links.west-east.asymmetry_s", "way back"
    ),
    "plot of nothing known": Case("", "plots: [fidelity]\n", "fidelity", "plots[0]", "unknown plot"),
    "no time at all": Case("", "duration_s: 0\n", "duration_s", "duration_s", "0 is less than 1e-09"),
    "time without end": Case("", "duration_s: 1e7\n", "duration_s", "duration_s", "more than 1e+06"),
    "no time to linger": Case("", "linger_s: 0\n", "linger_s", "linger_s", "0 is less than 1e-09"),
    "dilation of zero": Case("", "dilation: 0\n", "dilation", "dilation", "less than 1e-06"),
    "broker without a host": Case("", "mqtt: mqtt://\n", "mqtt", "mqtt", "no address of an MQTT broker"),
    "broker of another kind": Case("", "mqtt: http://x\n", "mqtt", "mqtt", "no address of an MQTT broker"),
    "broker on port 0": Case("", "mqtt: mqtt://x:0\n", "mqtt", "mqtt", "no address of an MQTT broker"),
    "broker on port 99999": Case(
        "", "mqtt: mqtt://x:99999\n", "mqtt", "mqtt", "no address of an MQTT broker"
    ),
    # YAML itself
    "alias": Case("seed: 7", "a: &x 1\nseed: *x", "a: &x", "a", "the anchor &x is not accepted"),
    "tag": Case("seed: 7", "seed: !!python/object:os.system 7", "seed", "seed", "the tag"),
    "null for a name": Case("a: west", "a: ~", "a: ~", "links.west-east.a", "found nothing"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_good(tmp_path)


def test_the_undamaged_scenario_is_accepted(folder: Path) -> None:
    scenario = load_scenario(folder / "lab.yaml")

    assert compile_job(scenario, scenario.jobs[0]).gates == 1


@pytest.mark.parametrize("name", CASES)
def test_a_damaged_scenario_is_refused_where_it_is_damaged(folder: Path, name: str) -> None:
    case = CASES[name]
    assert case.old in GOOD
    text = GOOD.replace(case.old, case.new, 1) if case.old else GOOD + case.new
    (folder / "lab.yaml").write_text(text)

    error = refused(folder / "lab.yaml")

    assert error.file == str(folder / "lab.yaml")
    assert error.place == f"line {line_of(text, case.at)}, {case.path}"
    assert case.problem in error.problem


@pytest.mark.parametrize("old", ["arm_a_m: 1", "visibility: 0.97", "shots: 200"])
def test_the_least_that_is_named_will_do(folder: Path, old: str) -> None:
    key = old.split(maxsplit=1)[0]
    path = folder / "lab.yaml"
    path.write_text(GOOD.replace(old, f"{key} far", 1))
    named = re.search(r"number from (\S+) to", refused(path).remedy)
    assert named is not None
    path.write_text(GOOD.replace(old, f"{key} {named[1]}", 1))
    load_scenario(path)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("b: east", "b: eats"), ("model: barrett-kok", "model: barrett_kok"), ("visibility", "visibilty")],
)
def test_the_nearest_name_is_suggested(folder: Path, wrong: str, meant: str) -> None:
    (folder / "lab.yaml").write_text(GOOD.replace(wrong, meant))

    assert refused(folder / "lab.yaml").remedy == f"did you mean {wrong.rpartition(': ')[2]!r}?"


# ------------------------------------------------------------------------------------------------------ whole files

WHOLE = {
    "empty": (b"", "line 1", "is empty"),
    "blank": (b" \n\n\t\n", "line 1", "is empty"),
    "comments only": (b"# nothing\n", "line 1", "nothing but comments"),
    "binary": (b"seed: 7\n\x7fELF\x00\x01", "line 2", "binary (byte 0x7f)"),
    "UTF-16": ("seed: 7\n".encode("utf-16"), "line 1", "binary"),
    "Latin-1": ("seed: 7\nname: Zürich\n".encode("latin-1"), "line 2", "not UTF-8 (byte 0xfc)"),
    "no mapping": (b"- 1\n- 2\n", "line 1", "expected a scenario, found a list"),
    "a word": (b"hello\n", "line 1", "expected a scenario, found the text 'hello'"),
    "no nodes": (b"seed: 7\n", "line 1", "without 'nodes'"),
    "no node": (b"seed: 7\nnodes: {}\n", "line 2, nodes", "no nodes"),
    "tab": (b"nodes:\n\twest: 1\n", "line 2, column 1", "not YAML"),
    "open bracket": (b"nodes: [\n", "line 2, column 1", "not YAML"),
    "open quote": (b"seed: 7\nname: 'x\n", "line 3, column 1", "not YAML"),
    "bad indent": (b"a: 1\n  b: 2\n", "line 2, column 4", "not YAML"),
    "bad escape": (b'seed: 7\nname: "\\q"\n', "line 2, column 9", "not YAML"),
    "control character": ("seed: 7\nname: a\u0085\ufffe".encode(), "line 2", "not YAML"),
    "two documents": (b"seed: 7\n---\nseed: 8\n", "line 2", "a second document"),
    "key that is a list": (b"seed: 7\n[1, 2]: 3\n", "line 2", "a key that is not a name"),
    "too deep": (b"a: " + b"[" * 5000, "line 1, a" + "[0]" * 32, "more than 32 deep"),
    "too long": (b"# " + b"x" * MAX_BYTES, "whole file", "bytes"),
    "billion laughs": (
        b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (k, k, k - 1, k - 1) for k in range(98, 123)),
        "line 1, a",
        "the anchor &a is not accepted",
    ),
    "alias of nothing": (b"a: *b\n", "line 1, a", "the alias *b is not accepted"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_is_no_scenario(folder: Path, name: str) -> None:
    content, place, problem = WHOLE[name]
    (folder / "lab.yaml").write_bytes(content)

    error = refused(folder / "lab.yaml")

    assert (error.file, error.place) == (str(folder / "lab.yaml"), place)
    assert problem in error.problem


def test_a_file_of_endless_values(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("testbed.scenario.source.MAX_ITEMS", 100)
    (folder / "lab.yaml").write_bytes(b"a:\n" + b"- 1\n" * 200)

    error = refused(folder / "lab.yaml")

    assert error.place == "line 100, a[98]"
    assert error.problem == "the file has more than 100 values"


def test_a_byte_order_mark_is_no_mistake(folder: Path) -> None:
    (folder / "lab.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())

    assert load_scenario(folder / "lab.yaml").seed == 7


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing.yaml", "it does not exist"),
        ("lab.yaml/x.yaml", "it does not exist"),
        (".", "it is a directory"),
        ("pipe", "it is not an ordinary file"),
        ("x" * 300, "it cannot be read (File name too long)"),
        ("a\0b", "it cannot be read"),
        ("loop", "it cannot be read (Too many levels of symbolic links)"),
    ],
)
def test_a_path_that_is_no_file(folder: Path, name: str, problem: str) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(folder / "loop")

    error = refused(folder / name)

    assert error.place == "whole file"
    assert problem in error.problem


def test_a_file_that_may_not_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in for open: the tests may run as root, who may read everything."""

    def forbid(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbid)

    assert refused(folder / "lab.yaml").problem == "it may not be read"


def test_a_device_file_is_named_in_its_own_errors(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "bad.yaml").write_text("data_qubits: 2\ncommunication_qubits: 2\nt1_s: 1\nt2_s: 3\n")
    (folder / "lab.yaml").write_text(GOOD.replace("    device: ion\n", "    device: bad\n"))
    monkeypatch.setattr("testbed.scenario.devices.FOLDER", folder)

    error = refused(folder / "lab.yaml")

    assert (error.file, error.place) == (str(folder / "bad.yaml"), "line 4, t2_s")


# ----------------------------------------------------------------------------------------------------- command line


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"seed": -1}, "--seed"),
        ({"seed": 1 << 63}, "--seed"),
        ({"shots": 0}, "--shots"),
        ({"shots": 10**9}, "--shots"),
        ({"dilation": 0.0}, "--dilation"),
        ({"dilation": float("nan")}, "--dilation"),
        ({"circuit": "missing.qasm"}, "--circuit"),
        ({"circuit": "/"}, "--circuit"),
    ],
)
def test_bad_options(folder: Path, options: dict[str, object], place: str) -> None:
    scenario = load_scenario(folder / "lab.yaml")

    with pytest.raises(BadInput) as caught:
        with_options(scenario, **options)  # type: ignore[arg-type]

    assert str(caught.value).startswith(f"command line: {place}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_options_for_a_job_need_one_job(folder: Path) -> None:
    scenario: Scenario = replace(load_scenario(folder / "lab.yaml"), jobs=())

    with pytest.raises(BadInput, match=r"command line: --shots: the scenario lab has 0 jobs"):
        with_options(scenario, shots=3)


# ------------------------------------------------------------------------------------------------------- the error


def test_whatever_stands_in_it_an_error_is_one_line() -> None:
    error = BadInput("a\nb", "line 1", "x\r\n\x00\x1b[31m\u2028" + "y" * 1000, "\ud800 do\tthis")

    assert len(str(error).splitlines()) == 1
    assert str(error).encode("utf-8")
    assert "\x1b" not in str(error)
    assert len(str(error)) < 400


def test_an_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(BadInput("f", "p", "q", "r")))

    assert (error.file, error.place, error.problem, error.remedy) == ("f", "p", "q", "r")


def test_words_for_messages() -> None:
    assert nearest("lenght_m", ["length_m", "slot_s"]) == "length_m"
    assert nearest("Barrett-Kok", ["barrett-kok"]) == "barrett-kok"
    assert nearest("zebra", ["length_m", "slot_s"]) is None
    assert listed([]) == "none"
    assert listed(["a", "b", "c"], most=2) == "a, b, …"
    assert len(shown("x" * 100)) == 60
    assert one_line("  a\n b ") == "a b"


def test_the_places_of_a_tree_do_not_depend_on_its_style(folder: Path) -> None:
    (folder / "flow.yaml").write_text("a: {b: [1, {c: 2}]}\n")

    root = load_yaml(folder / "flow.yaml", "file")

    assert root.place.where == "line 1"
