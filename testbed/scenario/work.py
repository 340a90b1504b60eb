"""What a scenario has its nodes do: circuits, teleports, the toy, and a person's own programs.

What may live here: the `job:`, `jobs:`, `teleport:`, `toy:` and `programs:` sections. Circuits are only named
here; what stands in them is checked when they are compiled.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from testbed.scenario import nodes as node_section
from testbed.scenario import schema
from testbed.scenario.model import (
    NODE_KINDS,
    PAULI_STATES,
    Channel,
    Job,
    Link,
    Node,
    Program,
    Teleport,
    Toy,
    joined,
)
from testbed.scenario.schema import Form, Section
from testbed.scenario.source import Item, read_text

MAX_SHOTS: Final = 1_000_000
MAX_CIRCUIT_QUBITS: Final = 4096
MAX_AHEAD: Final = 65_535
MAX_PINGS: Final = 10_000_000
MAX_PADDING: Final = 1_000

_JOB: Final = Form("job", "a job", (
    "name", "circuit", "shots", "mapping", "merge", "minimum_fidelity", "ahead", "controller", "at_s", "cancel_at_s",
))  # fmt: skip
_TELEPORT: Final = Form("teleport", "a teleport section", (
    "from", "to", "states", "rounds", "minimum_fidelity", "ahead", "in_flight",
))  # fmt: skip
_TOY: Final = Form("toy", "a toy", (
    "from", "to", "count", "padding", "in_flight", "think_s", "timeout_s", "attempts",
))  # fmt: skip
_PROGRAM: Final = Form("programs[]", "a program", ("node", "run"))


def jobs(keys: Section, nodes: Mapping[str, Node], folder: Path, channels: Sequence[Channel]) -> list[Job]:
    """The one `job:`, or the list under `jobs:`. Job names are distinct."""
    if "job" in keys:
        keys.refuse(["jobs"], "there is a `job` already")
        return [_job(keys.need("job"), nodes, folder, channels)]
    read: dict[str, Job] = {}
    for item in schema.items(keys.need("jobs"), "jobs") if "jobs" in keys else []:
        job = _job(item, nodes, folder, channels)
        if job.name in read:
            raise item.bad(f"a second job named {job.name}", "give each job a `name` of its own")
        read[job.name] = job
        first = next(iter(read.values()))
        if job.controller != first.controller:
            raise item.bad(
                f"{job.name} goes to {job.controller or 'no controller'}, {first.name} to "
                f"{first.controller or 'none'}",
                "give all jobs the same `controller`, or none of them one",
            )
    return list(read.values())


def _job(item: Item, nodes: Mapping[str, Node], folder: Path, channels: Sequence[Channel]) -> Job:
    keys = Section(item, _JOB)
    circuit = keys.need("circuit")
    path = folder / schema.text(circuit, "the path of a QASM file")
    read_text(path, "circuit", circuit.place)
    mapping = keys.get("mapping")
    controller = _controller(keys.need("controller"), nodes, channels) if "controller" in keys else ""
    if controller:
        keys.refuse(["mapping", "merge"], f"{controller} places the job")
    else:
        keys.refuse(["at_s", "cancel_at_s"], "it goes to no controller, and begins at once")
    at_ps = keys.seconds("at_s")
    cancel_at_ps = keys.seconds("cancel_at_s", None) if "cancel_at_s" in keys else None
    if cancel_at_ps is not None and cancel_at_ps <= at_ps:
        raise keys.need("cancel_at_s").bad("it is not submitted by then", "write a later time than `at_s`")
    return Job(
        name=schema.name(keys.need("name"), "job") if "name" in keys else path.stem,
        circuit=path,
        shots=keys.integer("shots", None, 1, MAX_SHOTS),
        mapping=None if mapping is None else _mapping(mapping, nodes),
        minimum_fidelity=keys.probability("minimum_fidelity"),
        merge=schema.flag(keys.need("merge")) if "merge" in keys else True,
        ahead=keys.integer("ahead", 0, 0, MAX_AHEAD),
        controller=controller,
        at_ps=at_ps,
        cancel_at_ps=cancel_at_ps,
        circuit_place=circuit.place,
        mapping_place=(mapping or item).place,
    )


def _controller(item: Item, nodes: Mapping[str, Node], channels: Sequence[Channel]) -> str:
    """A controller that has QPUs: each is that of the controller that it names, or of the first that it can reach."""
    name = node_section.name(item, nodes, ("controller",))
    controllers = [node.name for node in nodes.values() if node.kind == "controller"]
    for qpu in (node for node in nodes.values() if node.kind == "qpu"):
        reached = _joined_to(qpu.name, channels)
        ours = [other for other in controllers if other in reached and qpu.controller in ("", other)]
        if name == next(iter(ours), ""):
            return name
    raise item.bad(
        f"{name} has no QPUs: none can reach it, or they are another controller's",
        "join it to a node of the network by a link of kind classical, or name it in the `controller` of its QPUs",
    )


def _mapping(item: Item, nodes: Mapping[str, Node]) -> dict[str, tuple[int, ...]]:
    """Circuit qubits per QPU, each once, none left out. Compiling tells whether the circuit has as many."""
    placed: dict[int, str] = {}
    mapping: dict[str, tuple[int, ...]] = {}
    for node, entry in schema.entries(item, "lists of qubits").items():
        _check_qpu(entry, node, nodes)
        qubits = schema.items(entry, "circuit qubits")
        device = nodes[node].device
        room = device.data_qubits if device is not None else 0
        if len(qubits) > room:
            raise entry.bad(
                f"{len(qubits)} qubits on {node}, whose device has {room} data qubits",
                "map some to another QPU, or give the device more data_qubits",
            )
        for qubit in qubits:
            index = schema.integer(qubit, 0, MAX_CIRCUIT_QUBITS - 1)
            if index in placed:
                raise qubit.bad(
                    f"qubit {index} is mapped twice, to {placed[index]} and to {node}", "map every qubit once"
                )
            placed[index] = node
        mapping[node] = tuple(schema.integer(qubit, 0, MAX_CIRCUIT_QUBITS - 1) for qubit in qubits)
    if not placed:
        raise item.bad("no qubit is mapped", "list the circuit's qubits by node: `west: [0, 1]`")
    missing = next((index for index in range(max(placed)) if index not in placed), None)
    if missing is not None:
        raise item.bad(f"qubit {missing} is not mapped", "add it to the list of a QPU")
    return mapping


def _check_qpu(entry: Item, node: str, nodes: Mapping[str, Node]) -> None:
    # Here the node's name is a key, so the entry itself is the place.
    if node not in nodes:
        schema.unknown(entry, node, list(nodes), "node")
    if nodes[node].kind != "qpu":
        raise entry.bad(f"{node} is a {nodes[node].kind}, not a qpu", "map qubits to QPUs only")


def teleport(item: Item | None, nodes: Mapping[str, Node], links: Sequence[Link], growing: int) -> Teleport | None:
    """``growing``: halves that an end keeps for rounds of purification while a pair is made."""
    if item is None:
        return None
    keys = Section(item, _TELEPORT)
    source, destination = node_section.two(keys, "from", "to", nodes, ("qpu",))
    if not joined(nodes.values(), links, source, destination):
        problem = f"no quantum link joins {source} and {destination}, and no chain of links with repeaters between"
        raise keys.need("to").bad(problem, "add one under links")
    for key, name in (("from", source), ("to", destination)):
        device = nodes[name].device
        if device is None or device.data_qubits == 0:
            raise keys.need(key).bad(f"{name} has no data qubit", "give its device at least one")
    states = keys.get("states")
    start, end = nodes[source].device, nodes[destination].device
    assert start is not None
    assert end is not None
    ahead = keys.integer("ahead", 0, 0, min(start.communication_qubits, end.communication_qubits))
    room = min(start.places, end.places)
    if ahead and ahead + growing > room:  # the last of them would never be made
        raise keys.need("ahead").bad(
            f"{ahead} pairs ahead, of which the last takes {growing + 1} qubits while it is purified, are more than"
            f" {room} qubits have room for",
            "lower `ahead`, purify in fewer rounds, or give both devices more qubits",
        )
    return Teleport(
        source=source,
        destination=destination,
        states=PAULI_STATES if states is None else _states(states),
        rounds=keys.integer("rounds", None, 1, MAX_SHOTS),
        minimum_fidelity=keys.probability("minimum_fidelity"),
        ahead=ahead,
        in_flight=keys.integer("in_flight", 1, 1, start.data_qubits),
    )


def _states(item: Item) -> tuple[str, ...]:
    states = tuple(schema.choice(state, PAULI_STATES, "state") for state in schema.items(item, "states"))
    if not states:
        raise item.bad("no states", f"name some of {', '.join(PAULI_STATES)}, or remove the key for all six")
    return states


def toy(item: Item | None, nodes: Mapping[str, Node], channels: Sequence[Channel]) -> Toy | None:
    if item is None:
        return None
    keys = Section(item, _TOY)
    source, destination = node_section.two(keys, "from", "to", nodes, NODE_KINDS)
    if destination not in _joined_to(source, channels):
        raise keys.need("to").bad(f"no link joins {source} and {destination}", "add one under links")
    return Toy(
        source=source,
        destination=destination,
        count=keys.integer("count", None, 1, MAX_PINGS),
        padding=keys.integer("padding", 0, 0, MAX_PADDING),
        in_flight=keys.integer("in_flight", 1, 1, MAX_PINGS),
        think_ps=keys.seconds("think_s"),
        timeout_ps=keys.seconds("timeout_s", None, 1e-9) if "timeout_s" in keys else None,
        attempts=keys.integer("attempts", None, 1, 0xFFFF) if "attempts" in keys else None,
    )


def _joined_to(start: str, channels: Sequence[Channel]) -> set[str]:
    """The nodes that frames from `start` can reach, over however many channels."""
    reached, waiting = {start}, [start]
    while waiting:
        here = waiting.pop()
        ends = {end for channel in channels if here in (channel.a, channel.b) for end in (channel.a, channel.b)}
        waiting += sorted(ends - reached)
        reached |= ends
    return reached


def programs(item: Item | None, nodes: Mapping[str, Node], folder: Path) -> list[Program]:
    read = []
    for entry in [] if item is None else schema.items(item, "programs"):
        keys = Section(entry, _PROGRAM)
        node = node_section.name(keys.need("node"), nodes)
        run = keys.need("run")
        path = folder / schema.text(run, "the path of a Python file")
        read_text(path, "program", run.place)
        read.append(Program(node, path))
    return read
