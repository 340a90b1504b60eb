"""`bellwire validate gates`: its stabilizers are those of the states it means, its links make the pairs it says, and
rows that it has never seen are measured or refused by place."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import testbed.validate as validate
from testbed.errors import BadInput
from testbed.hardware import link_config
from testbed.validate import gates, oxford

PAULI = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}


def operator(paulis: str) -> Any:
    found = np.eye(1)
    for letter in paulis:
        found = np.kron(found, PAULI[letter])
    return found


@pytest.mark.parametrize("gate", ["CNOT", "CZ"])
def test_the_members_of_the_group_project_onto_the_choi_state(gate: str) -> None:
    """Qubits 0 and 1 are the gate's, 2 and 3 their references."""
    matrix = {"CNOT": np.eye(4)[[0, 1, 3, 2]], "CZ": np.diag([1, 1, 1, -1])}[gate]
    choi = (matrix / 2).reshape(-1)  # indices: outputs 0 1, inputs 2 3
    members = list(gates.group(gates.CHOI[gate]))
    assert len({member.paulis for member in members}) == 15
    projector = (np.eye(16) + sum(member.sign * operator(member.paulis) for member in members)) / 16
    assert np.allclose(projector, np.outer(choi, choi.conj()))


def test_the_group_of_a_ghz_state() -> None:
    members = dict(gates.group(["XXX", "ZZI", "IZZ"]))
    assert members == {"XXX": 1, "ZZI": 1, "IZZ": 1, "ZIZ": 1, "YYX": -1, "XYY": -1, "YXY": -1}


@pytest.mark.parametrize("fidelity", [0.6, 0.83])
@pytest.mark.parametrize("kind", ["werner", "dephased", "single-click"])
def test_links_make_pairs_of_the_fidelity_of_the_row(kind: str, fidelity: float, tmp_path: Path) -> None:
    values = {"fidelity": fidelity, "pairs": kind, "gate_2q_fidelity": 1.0}
    work = {"requests": [{"from": "q0", "to": "q1", "pairs": 1}]}
    scenario = gates._load(gates._lab(values, 1, 2, work), tmp_path)
    (link,) = scenario.links
    model = link_config(scenario, link, "sampled", 1).model
    assert model.heralded_fidelity(model.parameters.alpha) == pytest.approx(fidelity, abs=1e-9)


def cases(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "cases.yaml"
    path.write_text(yaml.safe_dump(list(rows)))
    return path


def row(number: int, table: str, expected: float, **params: Any) -> dict[str, Any]:
    return {"id": f"r{number}", "table": table, "params": params, "expected": expected}


def test_rows_that_nobody_has_seen(tmp_path: Path) -> None:
    rows = [
        row(1, "teleport", 1, fidelity=1, shots=12),
        row(2, "teledata", 1, fidelity=1, gate="CZ", shots=15),
        row(3, "ghz", 0.5, fidelity=0.5, pairs="dephased", qpus=2, shots=150),
        row(4, "telegate", 0.25, fidelity=1, shots=15),
    ]
    text: list[str] = []
    assert validate.run("gates", cases=cases(tmp_path, *rows), write=text.append) == 1
    verdicts = [line for line in text if line.startswith("r")]
    assert ["FAILED" in line for line in verdicts if line[1].isdigit()] == [False, False, False, True]


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"fidelity": 0.2}, "fidelity"),
        ({"fidelity": 0.4, "pairs": "dephased"}, "fidelity"),
        ({"fidelity": 1, "pairs": "single-click"}, "fidelity"),
        ({"fidelity": 0.9, "shots": 1.5}, "shots"),
        ({"fidelity": 0.9, "gate_2q_fidelity": 1.1}, "gate_2q_fidelity"),
        ({"fidelity": 0.9, "gate": "SWAP"}, "gate"),
        ({"fidelity": 0.9, "colour": 1}, "colour"),
        ({}, "params"),
    ],
)
def test_rows_that_cannot_be(params: dict[str, Any], place: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        validate.run("gates", cases=cases(tmp_path, row(1, "telegate", 0.9, **params)), write=lambda _: None)
    assert place in refused.value.place
    assert "\n" not in str(refused.value)


def test_rows_of_the_area_have_names_of_their_own() -> None:
    ids = [entry["id"] for entry in yaml.safe_load(gates.ROWS.read_text())]
    assert all(a != b for a, b in pairwise(sorted(ids)))


def test_without_errors_the_oxford_experiment_is_perfect() -> None:
    values = {"errors": "none", "shots": 4, "published_stderr": 0.0}
    assert oxford._grover(values, 1).value == 1
    text = oxford._text({**values, "errors": "residual"}, 1, 4)
    assert text["devices"]["oxford"]["attempt_dephasing"] > 0
    assert text["links"]["alice-bob"]["visibility"] == 1
