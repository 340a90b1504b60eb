"""Where a telegate's time goes and its fidelity: for each remote gate of a circuit, the means over all shots.

Theory of operation.  A gate's two ends ask for it, a pair comes, the control's program begins, then the target's, and
it is done when the control has heard back: all of that stands in events.jsonl, by (run, gate).  Fidelities are of
processes: of independent errors they multiply, as long as these are small.

    pair         what the oracle knew of it when the heralds arrived, and the decay of both halves till they were used
    operations   depolarising gates of average fidelity F: ((d + 1) F - 1)/d, d = 2 or 4 (Nielsen, 2002)
    readout      1 - (e0 + e1)/2 at each end: a wrong bit is a wrong Pauli on the other side
    memory       of the two data qubits from the first asking to the end: (1 + 2 exp(-t/T2) + exp(-t/T1))/4

What may live here: that account.  Damage by attempts to stored qubits (`attempt_dephasing`) is not in it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import exp, prod
from typing import Any

from protocols.wire import DeviceOpcode
from stack.application.compiler.circuit import TWO_QUBIT
from testbed.circuits import CompiledJob
from testbed.scenario import Device, Scenario

MOST_JOBS = 4096
"""Runs of one job are so far apart: stack.application.jobs."""


@dataclass(slots=True)
class GateBudget:
    """One remote gate of a circuit.  Times in ps, means over the shots in which it was done."""

    gate: int
    kind: str
    control: str
    target: str
    gates_served: int
    """How many gates of the circuit went over its pair."""
    shots: int = 0
    waiting_ps: float = 0.0
    """One QPU was ready, the other not yet."""
    pairing_ps: float = 0.0
    """Both were ready, the pair was not."""
    working_ps: float = 0.0
    """Programs at both ends, and messages between."""
    held_ps: float = 0.0
    """From the heralds till the target used its half."""
    fidelity_pair: float | None = None
    """None: nobody knew, as of a chain's pairs."""
    fidelity_operations: float = 1.0
    fidelity_readout: float = 1.0
    fidelity_memory: float = 1.0

    @property
    def total_ps(self) -> float:
        return self.waiting_ps + self.pairing_ps + self.working_ps

    @property
    def fidelity(self) -> float:
        known = 1.0 if self.fidelity_pair is None else self.fidelity_pair
        return known * self.fidelity_operations * self.fidelity_readout * self.fidelity_memory


@dataclass(slots=True)
class _Course:
    """One gate in one shot."""

    asked: dict[str, int] = field(default_factory=dict)
    began: dict[str, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    paired: dict[str, int] = field(default_factory=dict)
    heralded: int | None = None
    fidelity: float | None = None

    @property
    def whole(self) -> bool:
        return all(len(moments) == 2 for moments in (self.asked, self.began, self.done, self.paired))


def gate_budgets(
    scenario: Scenario, index: int, job: CompiledJob, events: Iterable[dict[str, Any]], pairs: list[dict[str, Any]]
) -> list[GateBudget]:
    """Of job number `index`, by number of the gate; gates that were never done have 0 shots.  pairs: as in the plane's
    summary."""
    budgets = {budget.gate: budget for budget in _gates(scenario, job)}
    totals: dict[int, list[_Course]] = {gate: [] for gate in budgets}
    numbers = {node.name: node.number for node in scenario.nodes}
    ends = {link.number: (numbers[link.a], numbers[link.b]) for link in scenario.links}
    for gate, course in _courses(index, events, _true_fidelities(scenario, pairs), ends):
        if gate in totals:
            totals[gate].append(course)
    for gate, courses in totals.items():
        if courses:
            _fill(budgets[gate], courses, scenario)
    return [budgets[gate] for gate in sorted(budgets)]


def _gates(scenario: Scenario, job: CompiledJob) -> Iterator[GateBudget]:
    names = {node.number: node.name for node in scenario.nodes}
    for node, steps in job.programs.items():
        for kind, body in _flat(steps):
            if kind == "move" and body["role"] == "source":
                yield GateBudget(body["gate"], "MOVE", node, names[body["peer"]], 1)
            elif kind == "telegate" and body["role"] == "target":
                served = [op for op in body["ops"] if -1 in op[1:3]]
                yield GateBudget(body["gate"], body["kind"], names[body["peer"]], node, len(served))


def _flat(steps: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    for kind, body in steps:
        yield kind, body
        if kind == "if":
            yield from _flat(body["steps"])


def _true_fidelities(scenario: Scenario, pairs: list[dict[str, Any]]) -> dict[tuple[int, int], float]:
    """By link and slot, when the heralds had arrived."""
    return {(pair["link"], pair["slot"]): pair["fidelity_at_herald"] for pair in pairs}


def _courses(
    index: int,
    events: Iterable[dict[str, Any]],
    fidelities: dict[tuple[int, int], float],
    ends: dict[int, tuple[int, int]],
) -> Iterator[tuple[int, _Course]]:
    """Gates as they are completed."""
    going: dict[tuple[int, int], _Course] = {}
    heralds: dict[tuple[str, int], tuple[int, float | None]] = {}  # (node, qubit) -> when, fidelity
    delivered: dict[tuple[str, int], int] = {}
    for event in events:
        match event["layer"], event["event"]:
            case "physical", "herald" if event["outcome"]:
                fidelity = fidelities.get((event["link"], event["slot"]))
                heralds[event["node"], event["qubit"]] = event["t_ps"], fidelity
            case "network", "pair":
                delivered[event["node"], event["qubit"]] = event["t_ps"]
                if event["peer"] not in ends[event["link"]]:  # a chain's: its last herald says nothing of it
                    heralds[event["node"], event["qubit"]] = event["t_ps"], None
            case "gates", ("asked" | "began" | "done") as moment if event["job"] % MOST_JOBS == index:
                course = going.setdefault((event["job"], event["gate"]), _Course())
                getattr(course, moment)[event["role"]] = event["t_ps"]
                if moment == "began":
                    place = event["node"], event["qubit"]
                    course.paired[event["role"]] = delivered.get(place, event["t_ps"])
                    course.heralded, course.fidelity = heralds.get(place, (event["t_ps"], None))
                elif course.whole:
                    yield event["gate"], going.pop((event["job"], event["gate"]))


def _fill(budget: GateBudget, courses: list[_Course], scenario: Scenario) -> None:
    n = budget.shots = len(courses)
    for course in courses:
        ready, paired = max(course.asked.values()), max(course.paired.values())
        first, end = min(course.asked.values()), max(course.done.values())
        budget.waiting_ps += (ready - first) / n
        budget.pairing_ps += max(0, paired - ready) / n
        budget.working_ps += (end - max(ready, paired)) / n
        budget.held_ps += (max(course.began.values()) - (course.heralded or paired)) / n
    ends = [device for name in (budget.control, budget.target) if (device := scenario.node(name).device) is not None]
    known = [course.fidelity for course in courses if course.fidelity is not None]
    if known:
        held = [_kept(budget.held_ps, d.communication_t1_ps, d.communication_t2_ps) for d in ends]
        budget.fidelity_pair = sum(known) / len(known) * prod(held)
    budget.fidelity_operations = _operations(budget, ends)
    budget.fidelity_readout = prod(1 - (d.readout_error_0 + d.readout_error_1) / 2 for d in ends)
    budget.fidelity_memory = prod(_kept(budget.total_ps, d.t1_ps, d.t2_ps) for d in ends)


def _operations(budget: GateBudget, ends: list[Device]) -> float:
    control, target = ends
    if budget.kind == "MOVE":
        swap = target.gate_2q_fidelity if target.swap_fidelity is None else target.swap_fidelity
        two = process_fidelity(control.gate_2q_fidelity, 4) * process_fidelity(swap, 4)
        return two * process_fidelity(control.gate_1q_fidelity, 2)
    served = process_fidelity(target.gate_2q_fidelity, 4) ** budget.gates_served
    return process_fidelity(control.gate_2q_fidelity, 4) * served * process_fidelity(target.gate_1q_fidelity, 2)


def local_fidelity(scenario: Scenario, job: CompiledJob) -> float:
    """What is left by the circuit's own local gates and by its measurements, all QPUs together."""
    left = 1.0
    for name, steps in job.programs.items():
        device = scenario.node(name).device
        assert device is not None
        for kind, body in _flat(steps):
            if kind == "measure":
                left *= (1 - (device.readout_error_0 + device.readout_error_1) / 2) ** len(body)
            elif kind == "local":
                for opcode, *_ in body:
                    if opcode in TWO_QUBIT:
                        left *= process_fidelity(device.gate_2q_fidelity, 4)
                    elif opcode == DeviceOpcode.INIT:
                        left *= 1 - device.prepare_error
                    else:
                        left *= process_fidelity(device.gate_1q_fidelity, 2)
    return left


def held(job: CompiledJob) -> dict[str, int]:
    """How many qubits of a circuit begin on each node: it prepares them first of all."""
    begin = {name: steps[0][1] if steps and steps[0][0] == "local" else [] for name, steps in job.programs.items()}
    prepared = {name: {entry[1] for entry in ops if entry[0] == DeviceOpcode.INIT} for name, ops in begin.items()}
    return {name: len(qubits) for name, qubits in prepared.items() if qubits}


def idle_fidelity(scenario: Scenario, job: CompiledJob, budgets: Iterable[GateBudget], shot_ps: float) -> float:
    """What is left by the memory of all qubits in the rest of a shot, when they are in no remote gate."""
    idle = {name: qubits * shot_ps for name, qubits in held(job).items()}
    for budget in budgets:
        for name in (budget.control, budget.target):
            if name in idle:
                idle[name] -= budget.total_ps
    left = 1.0
    for name, rest_ps in idle.items():
        device = scenario.node(name).device
        assert device is not None
        left *= _kept(max(0.0, rest_ps), device.t1_ps, device.t2_ps)
    return left


def process_fidelity(average: float, dimension: int) -> float:
    """Of a gate on a space of that dimension, from its average fidelity."""
    return ((dimension + 1) * average - 1) / dimension


def _kept(t_ps: float, t1_ps: int, t2_ps: int) -> float:
    """Process fidelity of waiting."""
    slow = exp(-t_ps / t1_ps) if t1_ps else 1.0
    total_ps = t2_ps or 2 * t1_ps
    return (1 + 2 * (exp(-t_ps / total_ps) if total_ps else 1.0) + slow) / 4
