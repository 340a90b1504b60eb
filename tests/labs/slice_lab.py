"""Runs variants of the shipped two-QPU scenarios under the ``local`` clock, and looks into the nodes afterwards.

What may live here: how a variant is written, run and inspected.  What must hold is in the tests.
"""

import copy
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

import testbed.lab.local as local_clock
from protocols.device import unpack_handle
from protocols.qnp.end import End
from protocols.qnp.records import Holder
from stack.node import Node
from testbed.circuits import CompiledJob, compile_jobs
from testbed.clock.local import LocalHost
from testbed.plan.compose import compose
from testbed.report.outcome import Outcome
from testbed.scenario import Scenario, load_scenario
from testbed.trace.merging import NodeIdentity, merge
from testbed.trace.reading import read_events

SCENARIOS = Path(__file__).parents[2] / "testbed" / "scenarios"

QPUS = ("west", "east")

IDEAL = {"data_qubits": 2, "communication_qubits": 2, "parallel": True}
BUSY = {**IDEAL, "parallel": False, "gate_1q_s": 1e-6, "gate_2q_s": 1e-5, "readout_s": 1e-5}
"""A device that takes its time, so that a death may find it in the middle of a gate."""

PERFECT = {"visibility": 1.0, "efficiency_a": 1.0, "efficiency_b": 1.0, "attenuation_db_per_km": 0.0}
"""A link whose attempts herald with probability 1/2, pairs of fidelity 1."""


def two_qpus(
    work: dict[str, Any],
    device: dict[str, Any] | None = None,
    link: dict[str, Any] | None = None,
    **top: Any,
) -> dict[str, Any]:
    """The text of a scenario: two-qpus.yaml with other work, device, keys of the link or of the top level."""
    text: dict[str, Any] = yaml.safe_load((SCENARIOS / "two-qpus.yaml").read_text())
    del text["job"]
    text.update(copy.deepcopy(work))
    if device is not None:
        text["devices"]["ion"] = device
    for key, value in (link or {}).items():
        if value is None:
            text["links"]["west-east"].pop(key, None)
        else:
            text["links"]["west-east"][key] = value
    text.update(top)
    return text


def with_south(text: dict[str, Any]) -> dict[str, Any]:
    """A third QPU, linked with west over a station of its own: nodes 1, 3 and 5 are west, east and south."""
    text["nodes"]["low"] = {"kind": "station"}
    text["nodes"]["south"] = dict(text["nodes"]["west"])
    text["links"]["west-south"] = {**text["links"]["west-east"], "b": "south", "station": "low"}
    return text


def job(circuit: str = "ghz-4.qasm", shots: int = 20, **more: Any) -> dict[str, Any]:
    return {"job": {"circuit": circuit, "shots": shots, "mapping": {"west": [0, 1], "east": [2, 3]}} | more}


def header(qubits: int) -> str:
    """The first lines of a circuit."""
    return f'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[{qubits}];\ncreg c[{qubits}];\n'


def inverse(gates: list[str]) -> list[str]:
    """Of gates that are their own inverses, and S."""
    return [gate.replace("s q", "sdg q", 1) if gate.startswith("s ") else gate for gate in reversed(gates)]


def teleport(rounds: int = 5, **more: Any) -> dict[str, Any]:
    return {"teleport": {"from": "west", "to": "east", "rounds": rounds, **more}}


@dataclass
class Slice:
    """One run of the whole stack."""

    scenario: Scenario
    jobs: list[CompiledJob]
    outcome: Outcome
    lives: dict[str, list[Node]] = field(default_factory=dict)
    """Every incarnation of every node, by name."""
    folder: Path | None = None

    def result(self, node: str, app: str) -> Any:
        return self.outcome.results[node][app]

    @property
    def finished(self) -> bool:
        """Every program of every node that lives has ended."""
        return not any(results.get("running") for results in self.outcome.results.values())

    def shots(self, index: int = 0) -> tuple[Counter[str], int]:
        """Counts of bit strings in Qiskit's order, and how many shots were spoilt at one QPU or more (of those that all
        came to)."""
        compiled = self.jobs[index]
        parts = [self.result(node, f"job-{index}") for node in compiled.programs]
        counts: Counter[str] = Counter()
        spoilt = 0
        for values in zip(*(part["bits"] for part in parts), strict=False):
            if None in values:
                spoilt += 1
                continue
            bits = ["0"] * compiled.clbits
            for part, value in zip(parts, values, strict=True):
                for clbit, bit in zip(part["clbits"], value, strict=True):
                    bits[compiled.clbits - 1 - clbit] = bit
            counts["".join(bits)] += 1
        return counts, spoilt

    def node(self, name: str) -> Node:
        """The last incarnation."""
        return self.lives[name][-1]

    def all_events(self) -> list[dict[str, Any]]:
        assert self.folder is not None
        return list(read_events(self.folder / "events.jsonl"))

    def events(self, name: str) -> list[dict[str, Any]]:
        return [e for e in self.all_events() if e["event"] == name]


def write_and_load(text: dict[str, Any], folder: Path, qasm: str | None = None) -> tuple[Scenario, list[CompiledJob]]:
    """The scenario, and its circuits compiled, by way of a file: what a user's own would go through."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(SCENARIOS / "ghz-4.qasm", folder)
    if qasm is not None:
        (folder / "circuit.qasm").write_text(qasm)
    path = folder / "scenario.yaml"
    path.write_text(yaml.safe_dump(text, sort_keys=False))
    scenario = load_scenario(path)
    return scenario, compile_jobs(scenario)


type NodeProgram = Callable[[Node], Awaitable[None]]


def run_slice(
    text: dict[str, Any],
    folder: Path,
    record: bool = False,
    qasm: str | None = None,
    programs: dict[tuple[str, int], NodeProgram] | None = None,
    on_host: Callable[[LocalHost], None] = lambda host: None,
) -> Slice:
    """Write the scenario into ``folder``, run it, keep hold of the nodes.

    ``programs``, by (node, incarnation), run on top of what the scenario has the node do; ``on_host`` is given the
    host before it runs.
    """
    scenario, jobs = write_and_load(text, folder, qasm)
    plan = compose(scenario, "local", jobs)
    lives: dict[str, list[Node]] = {}
    boot = local_clock.boot

    def remembering(*arguments: Any) -> Node:
        node = boot(*arguments)
        lives.setdefault(node.config.name, []).append(node)
        program = (programs or {}).get((node.config.name, node.config.incarnation))
        if program is not None:
            node.apps["program"] = lambda _: program(node)
            node.config = replace(node.config, apps={**node.config.apps, "program": {}})
        return node

    spools = None
    if record:
        spools = folder / ".spool"
        spools.mkdir()
    local_clock.boot = remembering
    try:
        outcome = local_clock.run_local(plan, spools, {}, on_host)
    finally:
        local_clock.boot = boot
    if spools is not None:
        merge(spools, folder, [NodeIdentity(n.number, n.name, n.kind) for n in plan.nodes])
    return Slice(scenario, jobs, outcome, lives, folder if record else None)


def holders(node: Node) -> Iterator[tuple[int, str]]:
    """Who says to own which communication qubit: (handle, name of the layer)."""
    memory = node.physical.memory
    for index in memory._free:
        yield memory._current[index], "memory"
    for qubit in memory._leaving:
        yield qubit, "memory, on its way back"
    for qubit in node.link._driver.machine._shared.qubits._bound_to:
        yield qubit, "link"
    qnp = node.network._driver.machine
    for circuit in qnp._book.each():
        for record in circuit._records.values():
            mine = getattr(record, "holder", None) in (None, Holder.NETWORK)
            if record.half is not None and record.state.name == "HERE" and mine:
                yield record.half.qubit, "network"
        for record in circuit._bank.pairs.values() if isinstance(circuit, End) else ():
            yield record.half.qubit, "network, banked"
    rgp = node.gates._driver.machine
    for pairs in rgp._spare.values():
        for pair in pairs:
            yield pair.qubit, "gates, spare"
    for pair in rgp._pool.values():
        if pair is not None:
            yield pair.qubit, "gates, pool"
    for gate in rgp._gates.values():
        if gate.pair is not None:
            yield gate.pair.qubit, "gates, in use"
    for session in node.transport.driver.machine._sessions.values():
        sending, receiving = session.sending, session.receiving
        measuring = (pair for pair, _ in sending.measuring.values())
        for pair in (*sending.spare, *receiving._pool.values(), *measuring):
            if pair is not None:
                yield pair.qubit, "transport"


def leaks(node: Node, at_rest: bool = True) -> list[str]:
    """Communication qubits of which not exactly one layer says to be the owner; at rest, that is the link layer, and
    the network layer remembers nothing of what it has asked for."""
    memory = node.physical.memory
    device = node.config.device
    assert device is not None
    owners: dict[int, list[str]] = {}
    for qubit, owner in holders(node):
        owners.setdefault(qubit, []).append(owner)
    found = []
    for index in range(device.data_qubits, device.data_qubits + device.communication_qubits):
        claimed = owners.pop(memory._current[index], [])
        if len(claimed) != 1 or (at_rest and claimed[0] not in ("link", "memory")):
            found.append(f"{node.config.name}: communication qubit {index} is with {claimed or 'nobody'}")
    for qubit, claimed in owners.items():
        if unpack_handle(qubit).qubit >= device.data_qubits:
            found.append(f"{node.config.name}: {claimed} with a void handle {qubit:#x}")
    if at_rest and (any(node.network._created.values()) or node.network._made):
        found.append(f"{node.config.name}: remembers {node.network._created} and {node.network._made}")
    return found


def held_by_programs(node: Node) -> list[str]:
    """What attached programs have of a node: nothing, when all have gone."""
    transport, gates, keys = node.transport, node.gates, node.keys
    held = {
        "data qubits": node.data._holders,
        "ports": transport._accepting,
        "sessions": transport._sessions | transport.driver.machine._sessions,
        "openings": transport._opening,
        "arrivals": transport._qubits.arrived,
        "preparations": transport._qubits.preparations,
        "gates": gates._waiting | gates._driver.machine._gates,
        "before gates": gates._before,
        "blocks of gates": gates._blocks,
        "uses of gates": +gates._jobs,
        "keys": keys._own | keys.driver.machine._sessions,
        "pings": node.echo._waiting,
        "circuits": node.network.shown(),
    }
    return [f"{node.config.name}: {what} {those}" for what, those in held.items() if those]


def ended_well(ran: Slice, qpus: tuple[str, ...] = QPUS) -> None:
    """Every program has ended, and every communication qubit is where it may be used again."""
    assert not ran.outcome.stuck
    assert ran.finished
    assert [leak for name in qpus for leak in leaks(ran.node(name))] == []
