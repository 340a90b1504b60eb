"""Circuits over several QPUs: this node's part of a compiled job, shot by shot.

What may live here: the executor of compiled steps (their forms: compiler/steps.py).  Which node does what has been
decided before; nodes meet in remote gates, in qubits that move, and in results that they tell each other.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

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
    """Runs this node's part of jobs, one after the other or side by side."""

    def __init__(self, kernel: Kernel, physical: PhysicalLayer, gates: RemoteGates, results: SharedResults) -> None:
        self._kernel = kernel
        self._physical = physical
        self._gates = gates
        self._results = results

    def part(self, job: int, steps: list[Any]) -> "JobPart":
        """This node's part of a job that all its nodes know by that number, below MOST_JOBS."""
        return JobPart(self._kernel, self._physical, self._gates, self._results, job, steps)

    def decline(self, arguments: dict[str, Any]) -> None:
        """A part that ended with an earlier life of this node, of which the other nodes may never have heard: they are
        told not to wait for it."""
        self.part(arguments["job"], arguments["steps"]).decline()

    async def app(self, arguments: dict[str, Any]) -> None:
        """The ``job-N`` app: all shots of one job; its result holds the measured bits of every shot, None for a
        shot that something has spoilt."""
        job, clbits = arguments["job"], arguments["clbits"]
        bits: list[str | None] = []
        result: dict[str, Any] = {"clbits": clbits, "bits": bits, "pairs": 0, "elapsed_ps": 0, "spoilt": 0}
        self._kernel.results[f"job-{job}"] = result
        part = self.part(job, arguments["steps"])

        def on_shot(found: dict[int, int] | None) -> None:
            bits.append(None if found is None else "".join(str(found.get(clbit, 0)) for clbit in clbits))
            result["spoilt"] += found is None
            result["pairs"], result["elapsed_ps"] = part.pairs, part.elapsed_ps

        await part.run(arguments["shots"], on_shot, arguments["ahead"])
        result["pairs"], result["elapsed_ps"] = part.pairs, part.elapsed_ps
        if part.failed:
            result["failed"] = part.failed


class Cancelled(Exception):
    """The part was to end early."""


type Failure = GateFailed | ResultMissing | Cancelled


class JobPart:
    """One node's part of one job."""

    def __init__(
        self,
        kernel: Kernel,
        physical: PhysicalLayer,
        gates: RemoteGates,
        results: SharedResults,
        job: int,
        steps: list[Any],
    ) -> None:
        self.pairs = 0
        self.elapsed_ps = 0
        self.failed = ""
        """Why it has ended before its last shot, or cannot be called done; for people."""
        self.failure: Failure | None = None
        """The same for programs."""
        self.cancelled = False
        self.patient = True
        """A shot that finds no pairs is spoilt, and the next one tried; else the part has failed."""
        self._kernel = kernel
        self._physical = physical
        self._gates = gates
        self._results = results
        self._job = job
        self._steps = steps
        self._shot = 0

    async def run(
        self, shots: int, on_shot: Callable[[dict[int, int] | None], None], ahead: int = 0, fill: bool = True
    ) -> None:
        """Do them; ``on_shot`` is called after each with the classical bits that are known here, None if it was
        spoilt.

        ``ahead``: pairs that are to be ready for gates; ``fill``: the first shot waits until they are.
        """
        kernel, job, steps = self._kernel, self._job, self._steps
        peers = sorted({body["peer"] for kind, body in flat(steps) if kind in OVER_PAIRS})
        began = kernel.now
        self._gates.enter(peers)
        if ahead:
            controlled = Counter(body["peer"] for kind, body in flat(steps) if kind in OVER_PAIRS and _controls(body))
            gates = {peer: number * shots for peer, number in sorted(controlled.items())}
            await self._gates.reserve(gates, ahead, fill)
        for shot in range(shots):
            self._shot = shot
            used = self._gates.pairs_used
            run = _run_number(job, shot)
            found: dict[int, int] | None = None
            fatal = ""
            try:
                found = await _Shot(self._physical, self._gates, self._results, run, self).run(steps)
                self.failure = None
            except (GateFailed, ResultMissing, Cancelled) as failure:
                kernel.event("job", "shot spoilt", job=job, shot=shot, reason=str(failure))
                self.failure = failure
                fatal = _fatal(failure, self.patient)
                if fatal:
                    self.failed = fatal
                    self._abandon(failure.gate if isinstance(failure, GateFailed) else 0)
            finally:
                self._results.end(run)
                self.pairs += self._gates.pairs_used - used
                self.elapsed_ps = kernel.now - began
            if self.cancelled:
                break
            on_shot(found)
            if fatal:
                break
        self._gates.leave(peers)
        if not self.failed and isinstance(self.failure, GateFailed) and self.failure.reason is RefuseReason.NO_PAIRS:
            self.failed = _NO_PAIRS

    def cancel(self) -> None:
        """End it: what waits for another node fails now, the device's last program is waited for."""
        self.cancelled = True
        run = _run_number(self._job, self._shot)
        self._gates.cancel(run)
        self._results.cancel(run)

    def decline(self) -> None:
        """Not begin."""
        self._abandon(0)

    def _abandon(self, failed: int) -> None:
        """The peers are told of everything for which they may wait; ``failed``: the gate that is not done here."""
        job, shot, steps = self._job, self._shot, self._steps
        self._gates.abandon(_gates_peers_may_wait_for(job, shot, steps, failed))
        told = sorted({peer for kind, body in flat(steps) if kind == "tell" for peer in body["peers"]})
        self._results.give_up([_run_number(job, shot + later) for later in (0, 1)], told)


class _Shot:
    """One shot.  Programs of the device are collected, and handed over when something else is to be done."""

    def __init__(
        self, physical: PhysicalLayer, gates: RemoteGates, results: SharedResults, run: int, part: "JobPart"
    ) -> None:
        self._physical = physical
        self._gates = gates
        self._results = results
        self._run = run
        self._part = part
        self._bits: dict[int, int] = {}
        self._program = Program()

    async def run(self, steps: list[Any]) -> dict[int, int]:
        """The classical bits that are known here at the end.  Raises GateFailed, ResultMissing or Cancelled."""
        await self._do(steps)
        if self._program:
            await self._physical.run(self._program)
        return self._bits

    async def _do(self, steps: list[Any]) -> None:
        for kind, body in steps:
            if self._part.cancelled:
                raise Cancelled("cancelled")
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
    return shot * MOST_JOBS + job


def _controls(body: dict[str, Any]) -> bool:
    """Whether this node asks for the pair of a gate or move."""
    return _ROLES[body["role"]] is Role.CONTROL


def ways_of(node: int, steps: Iterable[Any]) -> set[tuple[int, int]]:
    """Between which nodes pairs are made for these steps of a node's, who asks for them first."""
    bodies = [body for kind, body in flat(steps) if kind in OVER_PAIRS]
    return {(node, body["peer"]) if _controls(body) else (body["peer"], node) for body in bodies}


def flat(steps: Iterable[Any]) -> Iterator[Any]:
    """All steps, those under conditions included."""
    for step in steps:
        yield step
        if step[0] == "if":
            yield from flat(step[1]["steps"])


def _gates_peers_may_wait_for(job: int, shot: int, steps: list[Any], failed: int) -> list[tuple[int, int, int]]:
    """(run, gate, peer) of this node's next gates with each peer, from the one that failed on.

    Nodes come to their common gates in the same order.  So a peer waits, or will, for the failed one, which was
    refused here without a word, or for the one that comes next; and never for a later one.  Those under conditions may
    come or not, and do not count as the next.
    """
    gates = [(body["gate"], body["peer"], True) for kind, body in steps if kind in OVER_PAIRS]
    gates += [
        (body["gate"], body["peer"], False)
        for step in steps
        if step[0] == "if"
        for kind, body in flat(step[1]["steps"])
        if kind in OVER_PAIRS
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


def _fatal(failure: Failure, patient: bool) -> str:
    """Why no further shot is tried; nothing, if one may be."""
    if isinstance(failure, Cancelled):
        return "it was cancelled"
    if isinstance(failure, ResultMissing):
        return "a node whose result is needed was lost" if failure.lost else "a node has given the job up"
    if failure.reason is RefuseReason.NO_PAIRS and not patient:
        return _NO_PAIRS
    return _FATAL.get(failure.reason, "")


MOST_JOBS: Final = 4096
"""Numbers of jobs that may run at a time."""

OVER_PAIRS: Final = ("telegate", "move")

_NO_PAIRS = "no more pairs could be had with the other node of a gate"

_FATAL = {
    RefuseReason.PEER_LOST: "the other node of a gate was lost",  # and its part of the job with it
    RefuseReason.CANCELLED: "the other node of a gate has given the job up",
}

_MEASURED_AT_ONCE = 32
