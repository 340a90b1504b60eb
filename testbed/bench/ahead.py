"""Teleports, telegates and GHZ states over pairs that were made ahead: what the stack itself costs.

What may live here: benches over sampled links and ideal devices.  Each figure is the difference of two runs that make
the same pairs, and use all of them or one: starting, opening and making pairs fall out of it.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from testbed.bench.measure import Measured, Timed, timed_local, timed_virtual
from testbed.circuits import compile_jobs
from testbed.plan.compose import compose
from testbed.plan.plan import Plan
from testbed.scenario import load_scenario
from testbed.scenario.model import PAULI_STATES

TELEPORTS: Final = 198
GATES: Final = 100
GHZ_STATES: Final = 20
QPUS: Final = 8
RUNS: Final = 5

_UNITS: Final[dict[str, str]] = {
    "windows": "rounds of the coordinator",
    "grants": "trips to a node process",
    "frames": "UDP datagrams",
}


class _Work(NamedTuple):
    """Plans that make the same pairs and use those of `pieces` pieces of work, or of one."""

    many: Plan
    one: Plan
    pieces: int


def ahead_figures() -> Iterator[Measured]:
    """Wall time, clock windows, trips and frames for each."""
    yield from _figures(
        "teleport",
        _teleports(1),
        "one after another",
        3,
        {"windows": "3 are unavoidable: the measurement's answer, Teleport, Delivered: each follows from the last",
         "grants": "4 are unavoidable: at the sender two, at the receiver the frame and its device's answer",
         "frames": "2, unavoidable: Teleport and Delivered; acknowledgements ride on them"},
    )  # fmt: skip
    yield from _figures("teleport, 8 in flight", _teleports(8), "windows are shared by what is on its way", 3, {})
    yield from _figures(
        "telegate",
        _telegates(),
        "with preparation and readout of both qubits",
        3,
        {"windows": "5 are unavoidable: the control's answer, Cat, the target's answer, Uncat, the readout's answer",
         "grants": "7 at least: those five, and the answers to the target's preparation and readout",
         "frames": "Cat and Uncat are unavoidable; Ready is for the sake of qubits where no pair is ready"},
    )  # fmt: skip
    work = _ghz()
    local, virtual = _cost(work, timed_local), _cost(work, lambda plan: timed_virtual(plan, QPUS))
    how = f"{GHZ_STATES} states of {QPUS} qubits in a row of QPUs, {QPUS - 1} telegates each, any formalism"
    yield Measured(f"GHZ over {QPUS} QPUs, local", local.ms, "ms/state", how)
    yield Measured(f"GHZ over {QPUS} processes", virtual.ms, "ms/state", "20 per second and more", 50)
    yield from _counted(f"GHZ over {QPUS} processes", virtual, {
        "windows": f"{3 * (QPUS - 1)} in a row: each control is the target of the gate before",
    })  # fmt: skip


class _Cost(NamedTuple):
    ms: float
    counts: dict[str, float]


def _cost(work: _Work, run: Callable[[Plan], Timed]) -> _Cost:
    """Of one piece of work: the best of both runs, in turns, so that a busy machine is busy for both."""
    runs = [(run(work.many), run(work.one)) for _ in range(RUNS)]
    spent = min(many.run_s for many, _ in runs) - min(one.run_s for _, one in runs)
    many, one = (timed.outcome.wall for timed in runs[0])
    pieces = work.pieces - 1
    counts = {name: (many[name] - one[name]) / pieces for name in _UNITS if name in many}
    return _Cost(spent / pieces * 1e3, counts)


def _figures(what: str, work: _Work, how: str, processes: int, why: dict[str, str]) -> Iterator[Measured]:
    local, virtual = _cost(work, timed_local), _cost(work, timed_virtual)
    how = f"{work.pieces} over pairs made ahead, {how}"
    yield Measured(f"{what}, pairs ahead, local", local.ms, "ms", how, 0.6)
    yield Measured(f"{what}, pairs ahead, virtual", virtual.ms, "ms", f"{processes} processes and the plane", 2.5)
    yield from _counted(f"{what}, pairs ahead", virtual, why)


def _counted(what: str, cost: _Cost, why: dict[str, str]) -> Iterator[Measured]:
    for name, unit in _UNITS.items():
        yield Measured(f"{what}, {name}", cost.counts[name], "each", f"{unit}; {why[name]}" if name in why else unit)


def _row(qpus: int, qubits: int) -> dict[str, Any]:
    """QPUs in a row, a sampled link between neighbours, everything ideal; `qubits`: communication qubits of each."""
    device = {"data_qubits": 8, "communication_qubits": qubits, "parallel": True}
    names = [f"q{i}" for i in range(qpus)]
    link = {"length_m": 2, "model": "barrett-kok", "grade": "sampled", "slot_s": 10e-6, "round_gap_s": 1e-6}
    return {
        "nodes": {
            **{name: {"kind": "qpu", "device": dict(device)} for name in names},
            **{f"s{i}": {"kind": "station"} for i in range(1, qpus)},
        },
        "links": {f"l{i}": {"a": names[i - 1], "b": names[i], "station": f"s{i}", **link} for i in range(1, qpus)},
    }


def _plan(text: dict[str, Any], circuit: str = "") -> Plan:
    with tempfile.TemporaryDirectory(prefix="bellwire-bench-") as folder:
        (Path(folder) / "circuit.qasm").write_text(circuit, encoding="utf-8")
        path = Path(folder) / "ahead.yaml"
        path.write_text(yaml.safe_dump(text, sort_keys=False), encoding="utf-8")
        scenario = load_scenario(path)
        return compose(scenario, "virtual", compile_jobs(scenario))


def _teleports(in_flight: int) -> _Work:
    def plan(states: list[str], rounds: int) -> Plan:
        work = {"from": "q0", "to": "q1", "states": states, "rounds": rounds}
        return _plan({**_row(2, TELEPORTS), "teleport": {**work, "ahead": TELEPORTS, "in_flight": in_flight}})

    states = list(PAULI_STATES)
    return _Work(plan(states, TELEPORTS // len(states)), plan(states[:1], 1), TELEPORTS)


def _telegates() -> _Work:
    return _jobs(2, "h q[0];\ncx q[0], q[1];", GATES)


def _ghz() -> _Work:
    return _jobs(QPUS, "h q[0];\n" + "".join(f"cx q[{i}], q[{i + 1}];\n" for i in range(QPUS - 1)), GHZ_STATES)


def _jobs(qpus: int, gates: str, shots: int) -> _Work:
    """A circuit with one qubit on each QPU, `shots` times or once; every QPU shares pairs with two others at most."""
    head = f'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[{qpus}];\ncreg c[{qpus}];\n'

    def plan(count: int) -> Plan:
        mapping = {f"q{i}": [i] for i in range(qpus)}
        job = {"circuit": "circuit.qasm", "shots": count, "mapping": mapping, "ahead": shots}
        return _plan({**_row(qpus, 2 * shots), "job": job}, f"{head}{gates}\nmeasure q -> c;\n")

    return _Work(plan(shots), plan(1), shots)
