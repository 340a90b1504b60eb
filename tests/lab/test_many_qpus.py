"""Circuits over more QPUs than two: nodes that share their communication qubits between links come to no standstill.

What may live here: topologies of three and four QPUs, and circuits that cross all their links in awkward orders.
"""

import random
from pathlib import Path
from typing import Any

import pytest
from slice_lab import IDEAL, PERFECT, Slice, leaks, run_slice, two_qpus

from testbed.scenario import PAULI_STATES

TOPOLOGIES = {
    "line of 3": [(0, 1), (1, 2)],
    "ring of 3": [(0, 1), (1, 2), (2, 0)],
    "line of 4": [(0, 1), (1, 2), (2, 3)],
    "star of 4": [(0, 1), (0, 2), (0, 3)],
    "ring of 4": [(0, 1), (1, 2), (2, 3), (3, 0)],
}
SHOTS = 4


def network(ways: list[tuple[int, int]], communication_qubits: int, stations: int) -> dict[str, Any]:
    """QPUs q0, q1, ... with one data qubit each, linked as `ways` says over one common station or one each."""
    device = {**IDEAL, "data_qubits": 1, "communication_qubits": communication_qubits}
    text = two_qpus({}, device, PERFECT)
    (link,) = text["links"].values()
    qpus = sorted({end for way in ways for end in way})
    text["nodes"] = {f"q{n}": {"kind": "qpu", "device": "ion"} for n in qpus}
    text["nodes"] |= {f"s{n}": {"kind": "station"} for n in range(stations)}
    text["links"] = {
        f"q{a}-q{b}": {**link, "a": f"q{a}", "b": f"q{b}", "station": f"s{n % stations}"}
        for n, (a, b) in enumerate(ways)
    }
    text["job"] = {"circuit": "circuit.qasm", "shots": SHOTS, "mapping": {f"q{n}": [n] for n in qpus}}
    return text


def crossings(ways: list[tuple[int, int]], seed: int, length: int) -> tuple[str, str]:
    """CNOTs between linked QPUs, in any order and direction, on a basis state; and the bits they leave."""
    rng = random.Random(seed)
    qubits = 1 + max(max(way) for way in ways)
    lines, bits = [], [0] * qubits
    for qubit in range(qubits):
        if rng.random() < 0.7:
            lines.append(f"x q[{qubit}];")
            bits[qubit] = 1
    for _ in range(length):
        control, target = rng.sample(rng.choice(ways), 2)
        lines.append(f"cx q[{control}],q[{target}];")
        bits[target] ^= bits[control]
    header = f'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[{qubits}];\ncreg c[{qubits}];\n'
    return header + "\n".join(lines) + "\nmeasure q -> c;\n", "".join(map(str, reversed(bits)))


def ended_well(ran: Slice) -> None:
    assert not ran.outcome.stuck
    assert ran.finished
    assert [leak for node in ran.jobs[0].programs for leak in leaks(ran.node(node))] == []


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("communication_qubits", [1, 2])
@pytest.mark.parametrize(("stations", "seed"), [(1, 1), (4, 2)])
def test_a_circuit_over_all_of_them_ends(
    topology: str, communication_qubits: int, stations: int, seed: int, tmp_path: Path
) -> None:
    """Whatever gate comes first, and whoever is ahead: no QPU's only qubit waits for a gate that waits for it."""
    ways = TOPOLOGIES[topology]
    qasm, bits = crossings(ways, seed, 10)
    ran = run_slice(network(ways, communication_qubits, stations) | {"duration_s": 5.0}, tmp_path, qasm=qasm)
    ended_well(ran)
    assert ran.shots() == ({bits: SHOTS}, 0)


def test_jobs_and_teleports_on_different_qpus_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Two circuits and a teleport at once; the teleports end at a QPU that a job uses, over its only other qubit."""
    text = network(TOPOLOGIES["ring of 4"], 1, 1) | {
        "jobs": [
            {"name": "one", "circuit": "circuit.qasm", "shots": SHOTS, "mapping": {"q0": [0], "q1": [1]}},
            {"name": "two", "circuit": "circuit.qasm", "shots": SHOTS, "mapping": {"q2": [0, 1]}},
        ],
        "teleport": {"from": "q3", "to": "q0", "rounds": 3},
    }
    del text["job"]
    text["devices"]["ion"]["data_qubits"] = 2
    qasm, bits = crossings([(0, 1)], 3, 5)
    ran = run_slice(text, tmp_path, qasm=qasm)
    ended_well(ran)
    assert [ran.shots(index) for index in (0, 1)] == [({bits: SHOTS}, 0)] * 2
    assert ran.result("q0", "teleport")["states"] == {state: [3, 3] for state in PAULI_STATES}


def test_pairs_ahead_change_nothing_but_the_time(tmp_path: Path) -> None:
    """As many as the qubits allow, with gates in both directions: nobody waits for ever, and none is left over."""
    qasm, expected = crossings(TOPOLOGIES["line of 3"], seed=3, length=12)
    spent = []
    for ahead in (0, 2):
        text = network(TOPOLOGIES["line of 3"], 8, 2)
        text["job"] |= {"ahead": ahead, "merge": False}
        ran = run_slice(text, tmp_path / str(ahead), qasm=qasm)
        ended_well(ran)
        assert ran.shots()[0] == {expected: SHOTS}
        spent.append(ran.result("q1", "job-0")["elapsed_ps"])
    assert spent[1] < 0.8 * spent[0]


def test_states_arrive_over_pairs_that_were_made_before(tmp_path: Path) -> None:
    device = {**IDEAL, "communication_qubits": 6}
    work = {"teleport": {"from": "west", "to": "east", "rounds": 2, "ahead": 5, "in_flight": 2}}
    ran = run_slice(two_qpus(work, device, PERFECT), tmp_path)
    assert ran.finished
    assert [leak for node in ("west", "east") for leak in leaks(ran.node(node))] == []
    assert ran.result("east", "teleport")["states"] == {state: [2, 2] for state in PAULI_STATES}
    assert len(ran.outcome.plane["pairs"]) == 12
