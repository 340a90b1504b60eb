"""Circuits over several QPUs: this node's part of a compiled job, shot by shot.

What may live here: the executor of compiled steps (their forms: compiler/steps.py).  Which node does what has been
decided before; nodes meet in remote gates, in qubits that move, and in results that they tell each other.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from protocols.device import MAX_OPS, Program
from protocols.rgp.service import RefuseReason, Role
from protocols.wire import DeviceOpcode, RgpKind
from stack.application.compiler.circuit import TWO_QUBIT, Clause, holds
from stack.application.compiler.steps import COPY
from stack.application.gates import Block, GateFailed, RemoteGates
from stack.application.results import ResultMissing, SharedResults
from stack.physical.interface import PhysicalLayer
from stack.runtime.kernel import Kernel

_ROLES = {"control": Role.CONTROL, "target": Role.TARGET, "source": Role.CONTROL, "destination": Role.TARGET}


class JobRunner:
    """Runs this node's steps of jobs."""

    def __init__(self, kernel: Kernel, physical: PhysicalLayer, gates: RemoteGates, results: SharedResults) -> None:
        self._kernel = kernel
        self._physical = physical
        self._gates = gates
        self._results = results

    async def app(self, arguments: dict[str, Any]) -> None:
        """The ``job-N`` app: all shots of one job; its result holds the measured bits of every shot, None for a
        shot that something has spoilt."""
        kernel = self._kernel
        job, steps, clbits = arguments["job"], arguments["steps"], arguments["clbits"]
        peers = sorted({body["peer"] for kind, body in _flat(steps) if kind in _OVER_PAIRS})
        bits: list[str | None] = []
        result: dict[str, Any] = {"clbits": clbits, "bits": bits, "pairs": 0, "elapsed_ps": 0, "spoilt": 0}
        kernel.results[f"job-{job}"] = result
        began = kernel.now
        self._gates.enter(peers)
        if arguments["ahead"]:
            controlled = Counter(body["peer"] for kind, body in _flat(steps) if kind in _OVER_PAIRS and _controls(body))
            gates = {peer: number * arguments["shots"] for peer, number in sorted(controlled.items())}
            await self._gates.reserve(gates, arguments["ahead"])
        wanting = False  # for want of pairs the last shot was spoilt
        for shot in range(arguments["shots"]):
            used = self._gates.pairs_used
            run = _run_number(job, shot)
            try:
                found = await _Shot(self._physical, self._gates, self._results, run).run(steps)
                bits.append("".join(str(found.get(clbit, 0)) for clbit in clbits))
                wanting = False
            except (GateFailed, ResultMissing) as failure:
                kernel.event("job", "shot spoilt", job=job, shot=shot, reason=str(failure))
                bits.append(None)
                wanting = isinstance(failure, GateFailed) and failure.reason is RefuseReason.NO_PAIRS
                result["spoilt"] += 1
                fatal = _fatal(failure)
                if fatal:
                    result["failed"] = fatal
                    self._abandon(job, shot, steps, failure)
                    break
            finally:
                self._results.end(run)
                result["pairs"] += self._gates.pairs_used - used
                result["elapsed_ps"] = kernel.now - began
        self._gates.leave(peers)
        if wanting:
            result.setdefault("failed", "no more pairs could be had with the other node of a gate")

    def _abandon(self, job: int, shot: int, steps: list[Any], failure: GateFailed | ResultMissing) -> None:
        """The peers are told of everything for which they may wait."""
        failed = failure.gate if isinstance(failure, GateFailed) else 0
        self._gates.abandon(_gates_peers_may_wait_for(job, shot, steps, failed))
        told = sorted({peer for kind, body in _flat(steps) if kind == "tell" for peer in body["peers"]})
        self._results.give_up([_run_number(job, shot + later) for later in (0, 1)], told)


class _Shot:
    """One shot.  Programs of the device are collected, and handed over when something else is to be done."""

    def __init__(self, physical: PhysicalLayer, gates: RemoteGates, results: SharedResults, run: int) -> None:
        self._physical = physical
        self._gates = gates
        self._results = results
        self._run = run
        self._bits: dict[int, int] = {}
        self._program = Program()

    async def run(self, steps: list[Any]) -> dict[int, int]:
        """The classical bits that are known here at the end.  Raises GateFailed or ResultMissing."""
        await self._do(steps)
        if self._program:
            await self._physical.run(self._program)
        return self._bits

    async def _do(self, steps: list[Any]) -> None:
        for kind, body in steps:
            match kind:
                case "local":
                    for entry in body:
                        if len(self._program) == MAX_OPS:
                            self._submit()
                        self._add(self._program, entry)
                case "measure":
                    await self._measure(body)
                case "telegate" | "move":
                    await self._over_a_pair(kind, body)
                case "tell":
                    for number, clbit in body["results"]:
                        self._results.tell(self._run, number, self._bits.get(clbit, 0), body["peers"])
                case "hear":
                    self._submit()
                    for number, clbit in body["results"]:
                        self._bits[clbit] = await self._results.hear(self._run, number, body["peer"])
                case "if":
                    clauses = tuple(Clause(tuple(clbits), value, negated) for clbits, value, negated in body["when"])
                    if holds(clauses, self._bits):
                        await self._do(body["steps"])

    async def _measure(self, pairs: list[list[int]]) -> None:
        data = self._physical.memory.data
        for start in range(0, len(pairs), _MEASURED_AT_ONCE):
            part = pairs[start : start + _MEASURED_AT_ONCE]
            if len(self._program) + len(part) > MAX_OPS:
                self._submit()
            for qubit, _ in part:
                self._program.measure(data(qubit))
            program, self._program = self._program, Program()
            values = await self._physical.run(program)
            self._bits.update((clbit, value) for (_, clbit), value in zip(part, values, strict=True))

    async def _over_a_pair(self, kind: str, body: dict[str, Any]) -> None:
        role = _ROLES[body["role"]]
        what = RgpKind.MOVE if kind == "move" else RgpKind[body["kind"]]
        block: Block | None = None
        if kind == "telegate" and role is Role.TARGET:
            block = self._block(body["ops"])
        qubit = self._physical.memory.data(body.get("qubit", 0))
        # Not awaited: the device keeps the order of what touches one qubit, and the pair can be made meanwhile.
        before, self._program = self._program, Program()
        if await self._gates.gate(self._run, body["gate"], role, what, qubit, body["peer"], block, before):
            self._program.z(qubit)

    def _block(self, ops: list[list[int]]) -> Block:
        def add(program: Program, copy: int) -> None:
            for entry in ops:
                self._add(program, entry, copy)

        return add

    def _add(self, program: Program, entry: list[int], copy: int = 0) -> None:
        opcode, qubit, other, angle = entry
        data = self._physical.memory.data
        first = copy if qubit == COPY else data(qubit)
        second = 0
        if opcode in TWO_QUBIT:
            second = copy if other == COPY else data(other)
        program.add(DeviceOpcode(opcode), first, second, angle)

    def _submit(self) -> None:
        if self._program:
            self._physical.submit(self._program, lambda _: None)
        self._program = Program()


def _run_number(job: int, shot: int) -> int:
    """What remote gates know a shot of a job as: (run, gate) names a gate at all nodes alike, whichever of the
    circuit's gates are theirs."""
    return shot * _MOST_JOBS + job


def _controls(body: dict[str, Any]) -> bool:
    """Whether this node asks for the pair of a gate or move."""
    return _ROLES[body["role"]] is Role.CONTROL


def _flat(steps: Iterable[Any]) -> Iterator[Any]:
    """All steps, those under conditions included."""
    for step in steps:
        yield step
        if step[0] == "if":
            yield from _flat(step[1]["steps"])


def _gates_peers_may_wait_for(job: int, shot: int, steps: list[Any], failed: int) -> list[tuple[int, int, int]]:
    """(run, gate, peer) of this node's next gates with each peer, from the one that failed on.

    Nodes come to their common gates in the same order.  So a peer waits, or will, for the failed one, which was
    refused here without a word, or for the one that comes next; and never for a later one.  Those under conditions may
    come or not, and do not count as the next.
    """
    gates = [(body["gate"], body["peer"], True) for kind, body in steps if kind in _OVER_PAIRS]
    gates += [
        (body["gate"], body["peer"], False)
        for step in steps
        if step[0] == "if"
        for kind, body in _flat(step[1]["steps"])
        if kind in _OVER_PAIRS
    ]
    gates.sort()
    seen: Counter[int] = Counter()
    found = []
    for later in (0, 1, 2):
        for gate, peer, sure in gates:
            if (later or gate >= failed) and seen[peer] < 2:
                seen[peer] += sure
                found.append((_run_number(job, shot + later), gate, peer))
    return found


def _fatal(failure: GateFailed | ResultMissing) -> str:
    """Why no further shot is tried; nothing, if one may be."""
    if isinstance(failure, ResultMissing):
        return "a node whose result is needed was lost" if failure.lost else "a node has given the job up"
    return _FATAL.get(failure.reason, "")


_MOST_JOBS = 4096

_OVER_PAIRS = ("telegate", "move")

_FATAL = {
    RefuseReason.PEER_LOST: "the other node of a gate was lost",  # and its part of the job with it
    RefuseReason.CANCELLED: "the other node of a gate has given the job up",
}

_MEASURED_AT_ONCE = 32
