"""Circuits over several QPUs: this node's part of a compiled job, shot by shot.

What may live here: the executor of compiled steps.  Which node does what has been decided before; nodes meet only in
remote gates.
"""

from collections import Counter
from typing import Any

from protocols.device import MAX_OPS, Program
from protocols.rgp.service import RefuseReason, Role
from protocols.wire import DeviceOpcode, RgpKind
from stack.application.gates import GateFailed, RemoteGates
from stack.physical.interface import PhysicalLayer
from stack.runtime.kernel import Kernel

_ROLES = {"control": Role.CONTROL, "target": Role.TARGET}


class JobRunner:
    """Runs this node's steps of jobs."""

    def __init__(self, kernel: Kernel, physical: PhysicalLayer, gates: RemoteGates) -> None:
        self._kernel = kernel
        self._physical = physical
        self._gates = gates

    async def app(self, arguments: dict[str, Any]) -> None:
        """The ``job-N`` app: all shots of one job; its result holds the measured bits of every shot, or "" for a shot
        that a refused gate has spoilt."""
        kernel = self._kernel
        job, steps = arguments["job"], arguments["steps"]
        peers = sorted({body["peer"] for kind, body in steps if kind == "telegate"})
        clbits = [clbit for kind, body in steps if kind == "measure" for _, clbit in body]
        bits: list[str] = []
        result: dict[str, Any] = {"clbits": clbits, "bits": bits, "pairs": 0, "elapsed_ps": 0, "spoilt": 0}
        kernel.results[f"job-{job}"] = result
        began = kernel.now
        self._gates.enter(peers)
        for shot in range(arguments["shots"]):
            used = self._gates.pairs_used
            try:
                bits.append(await self._shot(_run_number(job, shot), steps))
            except GateFailed as failure:
                kernel.event("job", "shot spoilt", job=job, shot=shot, reason=failure.reason.name)
                bits.append("")
                result["spoilt"] += 1
                if failure.reason in _FATAL:
                    result["failed"] = _FATAL[failure.reason]
                    self._gates.abandon(_what_peers_may_wait_for(job, shot, steps, failure.gate))
                    break
            finally:
                result["pairs"] += self._gates.pairs_used - used
                result["elapsed_ps"] = kernel.now - began
        self._gates.leave(peers)

    async def _shot(self, run: int, steps: list[Any]) -> str:
        """One shot; the measured bits, one character each, in the order of the steps."""
        data = self._physical.memory.data
        bits = ""
        program = Program()
        for kind, body in steps:
            if kind == "local":
                for opcode, qubit, other, angle in body:
                    if len(program) == MAX_OPS:
                        program = self._submit(program)
                    second = data(other) if DeviceOpcode(opcode) in _TWO_QUBIT else 0
                    program.add(DeviceOpcode(opcode), data(qubit), second, angle)
            elif kind == "measure":
                for start in range(0, len(body), _MEASURED_AT_ONCE):
                    part = body[start : start + _MEASURED_AT_ONCE]
                    if len(program) + len(part) > MAX_OPS:
                        program = self._submit(program)
                    for qubit, _ in part:
                        program.measure(data(qubit))
                    results = await self._physical.run(program)
                    bits += "".join(map(str, results))
                    program = Program()
            else:
                # Not awaited: the device keeps the order of what touches one qubit, and the pair can be made meanwhile.
                program = self._submit(program)
                await self._gates.gate(
                    run,
                    body["gate"],
                    _ROLES[body["role"]],
                    RgpKind[body["kind"]],
                    data(body["qubit"]),
                    body["peer"],
                )
        if program:
            await self._physical.run(program)
        return bits

    def _submit(self, program: Program) -> Program:
        if program:
            self._physical.submit(program, lambda _: None)
        return Program()


def _run_number(job: int, shot: int) -> int:
    """What remote gates know a shot of a job as: (run, gate) names a gate at all nodes alike, whichever of the
    circuit's gates are theirs."""
    return shot * _MOST_JOBS + job


def _what_peers_may_wait_for(job: int, shot: int, steps: list[Any], failed: int) -> list[tuple[int, int, int]]:
    """(run, gate, peer) of this node's next two gates with each peer, from the one that failed on.

    Nodes come to their common gates in the same order.  So a peer waits, or will, for the failed one, which was
    refused here without a word, or for the one that comes next; and never for a later one.
    """
    gates = [(body["gate"], body["peer"]) for kind, body in steps if kind == "telegate"]
    seen: Counter[int] = Counter()
    found = []
    for later in (0, 1, 2):
        for gate, peer in gates:
            if later or gate >= failed:
                seen[peer] += 1
                if seen[peer] <= 2:
                    found.append((_run_number(job, shot + later), gate, peer))
    return found


_MOST_JOBS = 4096

_FATAL = {
    RefuseReason.PEER_LOST: "the other node of a gate was lost",  # and its part of the job with it
    RefuseReason.CANCELLED: "the other node of a gate has given the job up",
}
"""Why no further shot is tried."""

_TWO_QUBIT = frozenset({DeviceOpcode.CX, DeviceOpcode.CZ, DeviceOpcode.SWAP, DeviceOpcode.CP})
_MEASURED_AT_ONCE = 32
