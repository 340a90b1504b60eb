"""Remote gates: between a qubit here and one on another QPU, and qubits that move, each as a call.

What may live here: the driver of ``protocols.rgp``: its programs to the devices, its pairs from the network layer.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from protocols.device import MAX_OPS, Program
from protocols.ignored import Ignored
from protocols.pairs import Pair, ReleaseQubit
from protocols.rgp.node import Rgp
from protocols.rgp.service import (
    ApplyZ,
    Done,
    GateRefused,
    NeedPair,
    NeedPairs,
    RefuseReason,
    Role,
    RunControl,
    RunTarget,
)
from protocols.wire import ProtocolId, RgpKind
from stack.network.interface import NetworkLayer
from stack.physical.interface import PhysicalLayer
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel, Waiter
from stack.runtime.messenger import Messenger

Block = Callable[[Program, int], None]
"""Adds to a program what is done with the copy of a control that the ebit is."""

PURPOSE = 1
"""The network layer's purpose id of pairs for remote gates."""


_MOST_BEFORE: Final = MAX_OPS - 8
"""Operations that go into one program with those of a gate's control."""


class GateFailed(Exception):
    """A remote gate was not done; ``intact`` says whether the data qubit here was left alone."""

    peer = 0
    """With which node."""

    def __init__(self, gate: int, reason: RefuseReason, intact: bool) -> None:
        super().__init__(f"gate {gate}: {reason.name}")
        self.gate = gate
        self.reason = reason
        self.intact = intact


class RemoteGates:
    """One node's part in remote gates."""

    def __init__(
        self,
        kernel: Kernel,
        physical: PhysicalLayer,
        network: NetworkLayer,
        messenger: Messenger,
        minimum_fidelity: float = 0.0,
    ) -> None:
        self.pairs_used = 0
        self.minimum_fidelity = minimum_fidelity
        """Of pairs that are asked for from now on."""
        self._kernel = kernel
        self._physical = physical
        self._network = network
        self._driver = Driver(kernel, Rgp(kernel.number), messenger.send, self._on_event)
        self._messenger = messenger
        self._jobs: Counter[int] = Counter()
        self._waiting: dict[tuple[int, int], Waiter[int]] = {}
        self._before: dict[tuple[int, int], Program] = {}
        self._frames: dict[tuple[int, int], int] = {}
        self._blocks: dict[tuple[int, int], Block] = {}
        self._requests: dict[int, int] = {}
        self._filling: dict[int, tuple[int, Waiter[None]]] = {}
        messenger.register(ProtocolId.RGP, self._driver.receive)
        messenger.on_broken(self._peer_lost)
        network.listen(PURPOSE, self)

    async def gate(
        self,
        job: int,
        gate: int,
        role: Role,
        kind: RgpKind,
        qubit: int,
        peer: int,
        block: Block | None = None,
        before: Program | None = None,
    ) -> int:
        """This end's part of one gate; both ends must call.  Raises GateFailed.

        Returns 1 if Z is to be applied to `qubit` before anything else is done to it, else 0.

        block: at the target, what is done with the copy of the control: needed for a COPY; for a CNOT or CZ it stands
        for the gate with `qubit`.  It must commute with Z on the copy.
        before: is run first in any case; if a pair is ready, in one program with the gate's, which saves a trip to the
        device.
        """
        name = (job, gate)
        if before and len(before) > _MOST_BEFORE:
            self._physical.submit(before, lambda _: None)
            before = None
        if before:
            self._before[name] = before
        if not self._messenger.reaches(peer):
            self._run_before(name)
            failure = GateFailed(gate, RefuseReason.NO_PAIRS, intact=True)
            failure.peer = peer
            raise failure
        waiter: Waiter[int] = Waiter(self._kernel)
        self._waiting[name] = waiter
        if block is not None:
            self._blocks[name] = block
        self._kernel.event("gates", "asked", job=job, gate=gate, role=role.name, peer=peer)
        self._driver.machine.start(job, gate, role, kind, qubit, peer, self._kernel.now)
        self._driver.flush()
        if not self._driver.machine.holds(peer, role):
            self._run_before(name)
        self._messenger.watch(peer)
        try:
            return await waiter.wait()
        except GateFailed as failure:
            failure.peer = peer
            raise
        finally:
            self._messenger.unwatch(peer)

    def _run_before(self, name: tuple[int, int]) -> None:
        """What was to be run with the gate cannot wait for it."""
        before = self._before.pop(name, None)
        if before is not None:
            self._physical.submit(before, lambda _: None)

    def abandon(self, gates: Iterable[tuple[int, int, int]]) -> None:
        """This node will do none of these gates, (job, gate, peer), which it has not started: the peers are told."""
        machine, now = self._driver.machine, self._kernel.now
        gates = list(gates)
        jobs = sorted({job for job, _, _ in gates})
        for job in jobs:
            machine.cancel(job, now)
        for job, gate, peer in gates:
            machine.decline(job, gate, peer, now)
        self._driver.flush()

    def cancel(self, run: int, peer: int | None = None) -> None:
        """The gates of this shot, with that peer or with any, that have been started here, and not ended, fail now; the
        peers are told."""
        self._driver.machine.cancel(run, self._kernel.now, peer)
        self._driver.flush()

    def enter(self, peers: Iterable[int]) -> None:
        """A job begins that has gates with these nodes."""
        self._jobs.update(peers)

    async def reserve(self, gates: Mapping[int, int], ahead: int, fill: bool = True) -> None:
        """Keep ``ahead`` pairs ready with each peer, for so many gates that are controlled here; returns when they are
        there, or will not come; without ``fill``, at once.  Every node needs a communication qubit for each of them at
        the same time."""
        machine = self._driver.machine
        for peer, number in gates.items():
            machine.reserve(peer, ahead, number, self._kernel.now)
        self._driver.flush()
        for peer in gates if fill else ():
            if peer in self._requests and machine.ready(peer) < ahead:
                self._filling[peer] = (ahead, Waiter(self._kernel))
                await self._filling[peer][1].wait()

    def _filled(self, peer: int, gone: bool = False) -> None:
        if peer in self._filling and (gone or self._driver.machine.ready(peer) >= self._filling[peer][0]):
            self._filling.pop(peer)[1].set(None)

    def leave(self, peers: Iterable[int]) -> None:
        """It has ended.  With its last job, what is left of pairs with a node is given back."""
        for peer in peers:
            self._jobs[peer] -= 1
            if not self._jobs[peer]:
                self._driver.machine.drop_pairs(peer, self._kernel.now)
                self._driver.machine.forget(peer)
                request = self._requests.pop(peer, None)
                if request is not None:
                    self._network.finish(request)
        self._driver.flush()

    # -- from the network layer -----------------------------------------------------------------------------------

    def pair(self, peer: int, purpose: int, pair: Pair) -> None:
        self._driver.machine.pair(peer, pair, self._kernel.now)
        self._driver.flush()
        self._filled(peer)

    def pair_lost(self, peer: int, purpose: int, pair: Pair) -> None:
        self._driver.machine.pair_lost(peer, pair, self._kernel.now)
        self._driver.flush()

    def no_pairs(self, peer: int, purpose: int, cause: str) -> None:
        self._requests.pop(peer, None)
        self._driver.machine.no_pairs(peer, self._kernel.now)
        self._driver.flush()
        self._filled(peer, gone=True)

    def peer_finished(self, peer: int, purpose: int) -> None:
        # The peer's Cats came before its word that it has finished: pairs that none of them names are left over.
        self._driver.machine.drop_pairs(peer, self._kernel.now, head=peer)
        self._driver.flush()

    def _peer_lost(self, peer: int) -> None:
        self._driver.machine.peer_lost(peer, self._kernel.now)
        self._driver.flush()
        self._filled(peer, gone=True)

    # -- what the machine wants -----------------------------------------------------------------------------------

    def _on_event(self, event: Any) -> None:
        match event:
            case NeedPair(peer=peer):
                self._want(peer, 1)
            case NeedPairs(peer=peer, number=number):
                self._want(peer, number)
            case RunControl():
                self._run_control(event)
            case RunTarget():
                self._run_target(event)
            case ApplyZ(job=job, gate=gate, apply=apply):
                self._frames[job, gate] = apply  # Done follows, and takes it along
            case Done(job=job, gate=gate, role=role):
                self._blocks.pop((job, gate), None)
                self._kernel.event("gates", "done", job=job, gate=gate, role=role.name)
                self._waiting.pop((job, gate)).set(self._frames.pop((job, gate), 0))
            case GateRefused(job=job, gate=gate, reason=reason, intact=intact):
                self._run_before((job, gate))
                self._kernel.event("gates", "refused", job=job, gate=gate, reason=reason.name, intact=intact)
                self._blocks.pop((job, gate), None)
                self._waiting.pop((job, gate)).fail(GateFailed(gate, reason, intact))
            case ReleaseQubit(qubit=qubit):
                self._physical.memory.release(qubit)
            case Ignored(message=message):
                self._kernel.count(f"ignored {message}")
            case _:
                raise AssertionError(f"{event} is no event of Rgp")

    def _want(self, peer: int, number: int) -> None:
        if peer not in self._requests:
            self._requests[peer] = self._network.request(peer, PURPOSE, self, self.minimum_fidelity)
        self._network.want(self._requests[peer], number)

    def _run_control(self, run: RunControl) -> None:
        program = self._before.pop((run.job, run.gate), None) or Program()
        measured = program.measured
        program.cx(run.data_qubit, run.ebit)
        moves = run.kind is RgpKind.MOVE
        if moves:
            program.h(run.data_qubit).measure(run.data_qubit)
        program.measure(run.ebit).release(run.ebit)
        self.pairs_used += 1
        self._began(run.job, run.gate, Role.CONTROL, run.ebit)

        def done(bits: tuple[int, ...]) -> None:
            self._physical.memory.void(run.ebit)
            m0, m1 = bits[measured:] if moves else (0, *bits[measured:])
            self._driver.machine.control_measured(run.job, run.gate, m1, self._kernel.now, m0)
            self._driver.flush()

        self._physical.submit(program, done)

    def _began(self, job: int, gate: int, role: Role, ebit: int) -> None:
        """A gate has its pair: the event joins the two by the qubit."""
        self._kernel.event("gates", "began", job=job, gate=gate, role=role.name, qubit=ebit)

    def _run_target(self, run: RunTarget) -> None:
        self._began(run.job, run.gate, Role.TARGET, run.ebit)
        before = self._before.pop((run.job, run.gate), None)
        program = Program()
        if run.apply_x:
            program.x(run.ebit)
        match run.kind:
            case RgpKind.MOVE:
                if run.apply_z:
                    program.z(run.ebit)
                program.swap(run.ebit, run.data_qubit)
            case _ if (run.job, run.gate) in self._blocks:
                self._blocks[run.job, run.gate](program, run.ebit)
            case RgpKind.CNOT:
                program.cx(run.ebit, run.data_qubit)
            case RgpKind.CZ:
                program.cz(run.ebit, run.data_qubit)
        if run.kind is not RgpKind.MOVE:
            program.h(run.ebit).measure(run.ebit)
        program.release(run.ebit)
        measured = 0
        if before is not None and len(before) + len(program) > MAX_OPS:
            self._physical.submit(before, lambda _: None)
        elif before is not None:
            measured = before.measured
            program = before.extend(program)

        def done(bits: tuple[int, ...]) -> None:
            self._physical.memory.void(run.ebit)
            self._driver.machine.target_measured(run.job, run.gate, sum(bits[measured:]), self._kernel.now)
            self._driver.flush()

        self._physical.submit(program, done)
