"""Area `logical`: one logical Bell pair of two surface-code patches, as a job over two QPUs and a noisy seam.

Every row runs the circuit of testbed.circuits.surface through the whole stack on the stabilizer engine, and decodes the
counted outcomes with PyMatching.  Expected is the same decoder's share of errors for the same circuit and noise in
Stim, of 100,000 shots.  What may live here: the scenario, the decoding, the table.  The rows stand in logical.yaml.
"""

import tempfile
from pathlib import Path
from typing import Any, Final

import yaml

from testbed.circuits import compile_jobs
from testbed.circuits.surface import BASES, patches, qasm, stim_circuit
from testbed.lab.local import run_local
from testbed.plan.compose import compose
from testbed.scenario import load_scenario
from testbed.validate.table import Measurement, Parameter, Parameters, Table

ROWS: Final = Path(__file__).with_name("logical.yaml")
_DISTANCES: Final = (3, 5, 7)


def seam_scenario(distance: int, bulk: float, seam: float, shots: int, seed: int) -> dict[str, Any]:
    """Two QPUs with a patch each; a phase error of a pair comes with probability (1 - M)/2."""
    code = patches(distance)
    left = code.left()
    right = sorted(set(range(code.qubits)) - set(left))
    device = {
        "data_qubits": max(len(left), len(right)),
        "communication_qubits": 2,
        "parallel": True,
        "gate_2q_fidelity": 1 - bulk / 1.25,
        "readout_error_0": bulk,
        "readout_error_1": bulk,
    }
    link = {"length_m": 2, "model": "barrett-kok", "grade": "sampled", "slot_s": 1e-6, "round_gap_s": 1e-7}
    return {
        "seed": seed,
        "formalism": "stabilizer",
        "nodes": {
            "left": {"kind": "qpu", "device": device},
            "right": {"kind": "qpu", "device": dict(device)},
            "mid": {"kind": "station"},
        },
        "links": {"seam": {"a": "left", "b": "right", "station": "mid", **link, "visibility": 1 - 2 * seam}},
        "job": {
            "circuit": "patches.qasm",
            "shots": shots,
            "merge": False,
            "mapping": {"left": left, "right": right},
        },
    }


def _outcomes(values: Parameters, seed: int) -> list[list[bool]]:
    """What a run measures, shot by shot, in the order of the circuit."""
    distance, shots = int(values["distance"]), int(values["shots"])
    with tempfile.TemporaryDirectory(prefix="bellwire-validate-") as name:
        folder = Path(name)
        (folder / "patches.qasm").write_text(qasm(distance, str(values["basis"])), encoding="utf-8")
        document = seam_scenario(distance, float(values["bulk"]), float(values["seam"]), shots, seed)
        (folder / "seam.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        scenario = load_scenario(folder / "seam.yaml")
        jobs = compile_jobs(scenario)
        outcome = run_local(compose(scenario, "local", jobs), None, {})
    found = [[False] * jobs[0].clbits for _ in range(shots)]
    for node in jobs[0].programs:
        part = outcome.results[node]["job-0"]
        for row, bits in zip(found, part["bits"], strict=True):
            for clbit, bit in zip(part["clbits"], bits, strict=True):
                row[clbit] = bit == "1"
    return found


def _errors(values: Parameters, seed: int) -> Measurement:
    import numpy as np
    from pymatching import Matching

    noise = float(values["bulk"]), float(values["seam"])
    circuit = stim_circuit(int(values["distance"]), str(values["basis"]), *noise)
    model = circuit.detector_error_model(decompose_errors=True, approximate_disjoint_errors=True)
    matching = Matching.from_detector_error_model(model)
    measured = np.array(_outcomes(values, seed), dtype=np.bool_)
    detected, flipped = circuit.compile_m2d_converter().convert(measurements=measured, separate_observables=True)
    wrong = int(np.sum(matching.decode_batch(detected)[:, 0] != flipped[:, 0]))
    shots = len(measured)
    share = wrong / shots
    return Measurement(share, (share * (1 - share) / shots) ** 0.5 or 1 / shots, shots, 1.0)


def _check(values: Parameters) -> None:
    if values["distance"] not in _DISTANCES:
        raise ValueError(f"distance: {values['distance']} is none of 3, 5 and 7")
    if not isinstance(values["shots"], int) or not 10 <= values["shots"] <= 100_000:
        raise ValueError(f"shots: {values['shots']} is no whole number from 10 to 100,000")
    for name, most in (("bulk", 0.5), ("seam", 0.5)):
        if not 0 < float(values[name]) <= most:
            raise ValueError(f"{name}: {values[name]} is no probability above 0, at most {most:g}")


TABLES: Final = (
    Table(
        "logical-pair",
        "share of shots in which the decoded logical Bell pair has the wrong parity",
        (
            Parameter("distance", "qubits", "of the code, odd"),
            Parameter("basis", "word", "in which all data qubits are measured at the end", None, BASES),
            Parameter("bulk", "probability", "of an error after a gate on two qubits, and of a wrong readout", 0.003),
            Parameter("seam", "probability", "of a phase error on a pair", 0.03),
            Parameter("shots", "shots", "of the stack", 400),
        ),
        _errors,
        _check,
    ),
)
