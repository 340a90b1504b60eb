"""Circuits over many QPUs: ebits against the plainest cut, compile time, a QFT over four QPUs and where its time goes.

What may live here: benches of the compiler and of whole jobs.
"""

import cProfile
import pstats
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

from stack.application.compiler.circuit import Circuit
from stack.application.compiler.cut import naive_pairs
from testbed.bench.measure import Measured, timed_local
from testbed.circuits import CompiledJob, compile_jobs
from testbed.circuits.families import text
from testbed.circuits.lower import lower
from testbed.circuits.parse import parse
from testbed.circuits.source import read_source
from testbed.errors import Place
from testbed.plan.compose import compose
from testbed.scenario import Scenario, load_scenario
from testbed.validate.circuits import qpus_scenario

CUTS: Final = (
    ("ghz", 12, 4), ("graph", 12, 4), ("w", 12, 4), ("qft", 8, 4), ("qft", 12, 4), ("grover", 7, 4), ("qaoa", 12, 4),
    ("clifford-t", 12, 4), ("random", 12, 4),
)  # fmt: skip
"""Family, qubits, QPUs: every two linked, full."""

SHOTS: Final = 100


def circuit_figures() -> Iterator[Measured]:
    """Ebits, compile time, and a job with its time by part."""
    for family, qubits, qpus in CUTS:
        with tempfile.TemporaryDirectory(prefix="bellwire-bench-") as folder:
            scenario, job, circuit = _compiled(Path(folder), text(family, qubits), qpus)
        rooms = {n.number: n.device.data_qubits for n in scenario.nodes if n.kind == "qpu" and n.device is not None}
        naive = naive_pairs(circuit, rooms)
        how = f"{circuit.qubits} qubits over {qpus} QPUs; the plainest cut: {naive}"
        yield Measured(f"ebits, {family}-{qubits}", job.gates, "ebits/shot", how, float(naive))
    yield _compile_time()
    yield from _qft()


def _compiled(folder: Path, qasm: str, qpus: int) -> tuple[Scenario, CompiledJob, Circuit]:
    (folder / "circuit.qasm").write_text(qasm, encoding="utf-8")
    circuit = lower(parse(read_source(folder / "circuit.qasm", Place("bench", "circuit"))))
    room = -(-circuit.qubits // qpus)
    document = qpus_scenario(qpus, room, "all", "circuit.qasm", SHOTS, 1)
    (folder / "qpus.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    scenario = load_scenario(folder / "qpus.yaml")
    return scenario, compile_jobs(scenario)[0], circuit


def _compile_time() -> Measured:
    rng = random.Random(1)
    lines = []
    for _ in range(1000):
        a, b = rng.sample(range(100), 2)
        lines.append(rng.choice((f"cx q[{a}],q[{b}];", f"cz q[{a}],q[{b}];", f"h q[{a}];", f"t q[{b}];")))
    head = 'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[100];\ncreg c[100];\n'
    with tempfile.TemporaryDirectory(prefix="bellwire-bench-") as folder:
        began = time.perf_counter()
        _, job, _ = _compiled(Path(folder), head + "\n".join(lines) + "\nmeasure q -> c;\n", 10)
        took = time.perf_counter() - began
    how = f"100 qubits, 1,000 random gates, 10 QPUs: {job.gates} ebits"
    return Measured("compile, 100 qubits", took, "s", how, 5.0)


def _qft() -> Iterator[Measured]:
    """100 shots of an 8-qubit QFT over 4 QPUs, and the share of each part in a second run under the profiler."""
    with tempfile.TemporaryDirectory(prefix="bellwire-bench-") as folder:
        scenario, job, _ = _compiled(Path(folder), text("qft", 8), 4)
        plan = compose(scenario, "local", [job])
    best = min(timed_local(plan).run_s for _ in range(2))
    how = f"{job.gates} ebits a shot, ideal devices, best of 2"
    yield Measured("QFT-8 over 4 QPUs, 100 shots, local", best, "s", how)
    profile = cProfile.Profile()
    profile.runcall(timed_local, plan)
    spent: dict[str, float] = {}
    for (file, _, _), (_, _, own, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        spent[_part(file)] = spent.get(_part(file), 0.0) + own
    total = sum(spent.values())
    for part in sorted(spent, key=lambda p: -spent[p]):
        if spent[part] > 0.01 * total:
            yield Measured(f"  {part}", 100 * spent[part] / total, "%", "share of that, under the profiler")


_PARTS: Final = (
    ("/testbed/plane/state/", "quantum state"),
    ("/numpy/", "quantum state"),
    ("/testbed/plane/", "plane: devices, trains, links"),
    ("/protocols/wire/", "codec"),
    ("/protocols/", "protocol machines"),
    ("/stack/runtime/", "kernel, NIC, messenger"),
    ("/stack/record", "traces"),
    ("/testbed/trace", "traces"),
    ("/stack/", "layers of a node"),
    ("/testbed/clock/", "clock"),
    ("/trio/", "trio"),
    ("sequence", "SeQUeNCe's timeline"),
)


def _part(file: str) -> str:
    return next((name for piece, name in _PARTS if piece in file), "Python itself")
