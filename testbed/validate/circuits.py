"""Area `circuits`: circuits over several QPUs with ideal devices, against qiskit-aer.

Every row is a run of the whole stack under the `local` clock: a circuit that the compiler has placed, over pairs of
fidelity 1, its outcomes counted and compared with Aer's probabilities by a χ² of one sample (bins of at least five
expected outcomes, in the order of Aer's probabilities, so that the test keeps its power where outcomes are many).  What
stands in a row is that χ² as a normal deviate: by chance it is beyond 5 σ once in 1.7 million rows, for the shipped set
once in 48,000 runs.  An outcome that Aer excludes fails its row at once.

What may live here: the scenarios, the comparison, the tables. The rows stand in circuits.yaml.
"""

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any, Final

import yaml

from testbed.circuits import bit_string, compile_jobs
from testbed.circuits.families import FAMILIES, MORE_QUBITS, text
from testbed.lab.local import run_local
from testbed.plan.compose import compose
from testbed.scenario import load_scenario
from testbed.validate.judge import chi2_survival
from testbed.validate.table import Measurement, Parameter, Parameters, Table

ROWS: Final = Path(__file__).with_name("circuits.yaml")
TOPOLOGIES: Final = ("all", "ring", "line", "star")
LEAST_EXPECTED: Final = 5.0
_IMPOSSIBLE: Final = 1e-10
_HOPELESS: Final = 40.0
_AER_SHOTS: Final = 200_000
_MOST_QUBITS: Final = 12


def qpus_scenario(qpus: int, data_qubits: int, topology: str, circuit: str, shots: int, seed: int) -> dict[str, Any]:
    """The text of a scenario of that many ideal QPUs."""
    ways = {
        "all": [(a, b) for b in range(qpus) for a in range(b)],
        "ring": sorted({(min(a, (a + 1) % qpus), max(a, (a + 1) % qpus)) for a in range(qpus if qpus > 1 else 0)}),
        "line": [(a, a + 1) for a in range(qpus - 1)],
        "star": [(0, a) for a in range(1, qpus)],
    }[topology]
    device = {"data_qubits": data_qubits, "communication_qubits": 2, "parallel": True}
    link = {"station": "mid", "length_m": 2, "model": "barrett-kok", "grade": "sampled", "slot_s": 1e-6}
    return {
        "seed": seed,
        "nodes": {f"q{a}": {"kind": "qpu", "device": dict(device)} for a in range(qpus)} | {"mid": {"kind": "station"}},
        "links": {f"l{a}-{b}": {"a": f"q{a}", "b": f"q{b}", **link, "round_gap_s": 1e-7} for a, b in ways},
        "job": {"circuit": circuit, "shots": shots},
    }


def stack_counts(qasm: str, qubits: int, qpus: int, topology: str, shots: int, seed: int) -> Counter[str]:
    """What the whole stack counts, on QPUs with no more data qubits than that circuit of so many needs."""
    with tempfile.TemporaryDirectory(prefix="bellwire-validate-") as name:
        folder = Path(name)
        (folder / "circuit.qasm").write_text(qasm, encoding="utf-8")
        document = qpus_scenario(qpus, -(-qubits // qpus), topology, "circuit.qasm", shots, seed)
        (folder / "qpus.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        scenario = load_scenario(folder / "qpus.yaml")
        (job,) = jobs = compile_jobs(scenario)
        outcome = run_local(compose(scenario, "local", jobs), None, {})
    parts = [outcome.results[node]["job-0"] for node in job.programs]
    counts: Counter[str] = Counter()
    for shot in range(shots):
        bits: dict[int, int] = {}
        for part in parts:
            bits |= {clbit: int(bit) for clbit, bit in zip(part["clbits"], part["bits"][shot], strict=True)}
        counts[bit_string(bits, job.clbits)] += 1
    return counts


def aer_probabilities(qasm: str, seed: int) -> tuple[dict[str, float], bool]:
    """By bit string, registers run together; and whether they are exact, else frequencies of many shots."""
    from qiskit import qasm2
    from qiskit_aer import AerSimulator

    circuit = qasm2.loads(qasm, custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    feeds_forward = any(op.operation.name == "if_else" for op in circuit.data)
    if feeds_forward:
        result = AerSimulator().run(circuit, shots=_AER_SHOTS, seed_simulator=seed).result()
        return {k.replace(" ", ""): n / _AER_SHOTS for k, n in result.get_counts().items()}, False
    bare = circuit.remove_final_measurements(inplace=False)
    bare.save_probabilities_dict(qubits=list(range(circuit.num_clbits)))
    found = AerSimulator(method="statevector").run(bare).result().data()["probabilities"]
    return {format(key, f"0{circuit.num_clbits}b"): float(p) for key, p in found.items()}, True


def deviate(counts: Mapping[str, int], probabilities: Mapping[str, float], exact: bool) -> tuple[float, int]:
    """χ² of the counts as a normal deviate, and its degrees of freedom (0: there is one bin)."""
    n = sum(counts.values())
    if exact and any(probabilities.get(key, 0.0) < _IMPOSSIBLE for key in counts):
        return _HOPELESS, 0
    bins: list[list[float]] = []
    wanted = seen = 0.0
    for key in sorted(probabilities, key=lambda k: (-probabilities[k], k)):
        wanted += n * probabilities[key]
        seen += counts.get(key, 0)
        if wanted >= LEAST_EXPECTED:
            bins.append([wanted, seen])
            wanted = seen = 0.0
    unknown = sum(count for key, count in counts.items() if key not in probabilities)
    if bins:
        bins[-1][0] += wanted
        bins[-1][1] += seen + unknown
    if len(bins) < 2:
        return 0.0, 0
    chi2 = sum((seen - wanted) ** 2 / wanted for wanted, seen in bins)
    chance = min(max(chi2_survival(chi2, len(bins) - 1), 1e-300), 1 - 1e-15)
    return -NormalDist().inv_cdf(chance), len(bins) - 1


def _agreement(values: Parameters, seed: int) -> Measurement:
    family, qubits = str(values["family"]), int(values["qubits"])
    qasm = text(family, qubits, int(values["circuit_seed"]))
    size = qubits + (MORE_QUBITS[family](qubits) if family in MORE_QUBITS else 0)
    counts = stack_counts(qasm, size, int(values["qpus"]), str(values["topology"]), int(values["shots"]), seed)
    found, dof = deviate(counts, *aer_probabilities(qasm, seed))
    return Measurement(found, 1.0 if dof else None, int(values["shots"]))


def _check(values: Parameters) -> None:
    for name, least, most in (("qubits", 1, _MOST_QUBITS), ("qpus", 1, 16), ("shots", 20, 100_000)):
        number = values[name]
        if not isinstance(number, int) or not least <= number <= most:
            raise ValueError(f"{name}: {number} is no whole number from {least} to {most}")
    if values["qpus"] == 1 and values["topology"] != "all":
        raise ValueError("topology: one QPU has no links")
    text(str(values["family"]), int(values["qubits"]))


TABLES: Final = (
    Table(
        "agreement",
        "χ² of the stack's outcomes against Aer's probabilities, as a normal deviate",
        (
            Parameter("family", "word", "of circuits", None, tuple(FAMILIES)),
            Parameter("qubits", "qubits", "that are measured; of teleport: how often"),
            Parameter("qpus", "QPUs", "with as few data qubits as will do"),
            Parameter("topology", "word", "which QPUs have a link", "all", TOPOLOGIES),
            Parameter("circuit_seed", "number", "of random circuits", 1),
            Parameter("shots", "shots", "of the stack", 300),
        ),
        _agreement,
        _check,
    ),
)
