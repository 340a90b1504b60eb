"""Area `oxford`: the shipped scenario oxford.yaml against the published experiment, and what each of its errors costs.

The process fidelity of the teleported CZ is found as in the laboratory, without further qubits: product eigenstates of
Pauli operators go in, a Pauli operator is measured (Nielsen, Phys. Lett. A 303, 249 (2002)); preparation and readout
errors count as the gate's.  The residual is set from what the CZ lacks; Grover then follows.  The rows stand in
oxford.yaml.
"""

import tempfile
from collections.abc import Iterator
from itertools import product
from math import sqrt
from pathlib import Path
from typing import Any, Final

import yaml

from testbed.circuits import compile_jobs
from testbed.lab.local import run_local
from testbed.plan.compose import compose
from testbed.scenario import load_scenario
from testbed.validate.gates import CHOI, group, shots_of
from testbed.validate.table import Measurement, Parameter, Parameters, Table

ROWS: Final = Path(__file__).with_name("oxford.yaml")
_SCENARIO: Final = Path(__file__).parents[1] / "scenarios" / "oxford.yaml"
_MOST_SHOTS: Final = 100_000

_OFF: Final[dict[str, dict[str, float]]] = {
    "gates": {"gate_1q_fidelity": 1.0, "gate_2q_fidelity": 1.0},
    "readout": {"readout_error_0": 0.0, "readout_error_1": 0.0},
    "memory": {"t2_s": 0.0, "communication_t2_s": 0.0},
    "residual": {"attempt_dephasing": 0.0},
}
"""What takes away each kind of error of the devices; that of the link is its visibility."""

_ERRORS: Final = ("all", "none", "link", *_OFF)

_INTO: Final = {"I": "", "X": "h q[{0}];", "Y": "h q[{0}]; s q[{0}];", "Z": ""}
_OUT: Final = {"I": "", "X": "h q[{0}];", "Y": "sdg q[{0}]; h q[{0}];", "Z": ""}


def _text(values: Parameters, seed: int, shots: int) -> dict[str, Any]:
    """The scenario with the errors that the row wants."""
    text: dict[str, Any] = yaml.safe_load(_SCENARIO.read_text(encoding="utf-8"))
    errors = values["errors"]
    device, link = text["devices"]["oxford"], text["links"]["alice-bob"]
    for kind, off in _OFF.items():
        if errors not in ("all", kind):
            device.update(off)
    if errors not in ("all", "link"):
        link["visibility"] = 1.0
    text["job"] |= {"circuit": "circuit.qasm", "shots": shots}
    return {**text, "seed": seed}


def _bits(values: Parameters, seed: int, shots: int, gates: str) -> Iterator[dict[int, int]]:
    """Both results of every shot of a circuit."""
    head = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2];'
    with tempfile.TemporaryDirectory(prefix="bellwire-validate-") as folder:
        (Path(folder) / "circuit.qasm").write_text(f"{head}\n{gates}\nmeasure q -> c;\n", encoding="utf-8")
        path = Path(folder) / "oxford.yaml"
        path.write_text(yaml.safe_dump(_text(values, seed, shots), sort_keys=False), encoding="utf-8")
        scenario = load_scenario(path)
        jobs = compile_jobs(scenario)
    yield from shots_of(jobs[0], run_local(compose(scenario, "local", jobs), None, {}))


def _cz(values: Parameters, seed: int) -> Measurement:
    """Average gate fidelity (4 F_process + 1)/5; what goes in and what is measured are members of the CZ's group."""
    members = list(group(CHOI["CZ"]))
    each = -(-int(values["shots"]) // (4 * len(members)))
    total, variance = 1.0, 0.0
    for number, (paulis, sign) in enumerate(members):
        out, into = paulis[:2], paulis[2:]
        # The group knows the transpose of what goes in: Y is its own negative.
        sign *= (-1) ** into.count("Y")
        found = 0
        for flips in product((0, 1), repeat=2):
            prepare = "".join(f"x q[{q}];" * flips[q] + _INTO[into[q]].format(q) for q in (0, 1))
            measure = "".join(_OUT[out[q]].format(q) for q in (0, 1))
            odd_in = sum(flip for flip, letter in zip(flips, into, strict=True) if letter != "I")
            run = 4 * len(members) * seed + 4 * number + 2 * flips[0] + flips[1]
            for bits in _bits(values, run, each, f"{prepare} cz q[0], q[1]; {measure}"):
                odd = odd_in + sum(bits[q] for q in (0, 1) if out[q] != "I")
                found += sign * (1 - 2 * (odd & 1))
        mean = found / (4 * each)
        total += mean
        variance += (1 - mean * mean) / (4 * each)
    fidelity = (4 * total / 16 + 1) / 5
    return _with_published(values, fidelity, 0.8 * sqrt(variance) / 16, 4 * each * len(members))


def _grover(values: Parameters, seed: int) -> Measurement:
    """How often the marked one of four is found, over all four."""
    each = -(-int(values["shots"]) // 4)
    right = 0
    for number, marked in enumerate(product((0, 1), repeat=2)):
        flip = "".join(f"x q[{q}];" for q in (0, 1) if not marked[q])
        turn = "h q[0]; h q[1];"
        mean = "x q[0]; x q[1]; cz q[0], q[1]; x q[0]; x q[1];"
        circuit = f"{turn} {flip} cz q[0], q[1]; {flip} {turn} {mean} {turn}"
        right += sum((bits[0], bits[1]) == marked for bits in _bits(values, 4 * seed + number, each, circuit))
    share = right / (4 * each)
    return _with_published(values, share, sqrt(share * (1 - share) / (4 * each)), 4 * each)


def _with_published(values: Parameters, value: float, stderr: float, n: int) -> Measurement:
    """A published figure is uncertain itself: the errors add as squares."""
    return Measurement(value, sqrt(stderr**2 + float(values["published_stderr"]) ** 2), n)


def _check(values: Parameters) -> None:
    shots = values["shots"]
    if not isinstance(shots, int) or not 1 <= shots <= _MOST_SHOTS:
        raise ValueError(f"shots: {shots} is no whole number from 1 to {_MOST_SHOTS}")
    if not 0 <= float(values["published_stderr"]) < 1:
        raise ValueError(f"published_stderr: {values['published_stderr']} is not within 0 and 1")


_COLUMNS: Final = (
    Parameter("errors", "word", "which are there: all, none, or one kind alone", "all", _ERRORS),
    Parameter("shots", "shots", "over all settings", 1200),
    Parameter("published_stderr", "1", "of the expected figure, if it is a measured one", 0.0),
)

TABLES: Final = (
    Table("oxford-cz", "average gate fidelity of the teleported CZ", _COLUMNS, _cz, _check),
    Table("oxford-grover", "how often Grover's search finds the marked state", _COLUMNS, _grover, _check),
)

__all__ = ["ROWS", "TABLES"]
