"""The calls of attached programs, beyond ``ping`` and ``sleep``.

What may live here: from a call to the layer that serves it, and what becomes of a program's things when it ends.  The
program's end is ``stack.sdk``.

Every program has qubits and channels of its own, under numbers of its own.  A channel is a session of the transport
layer; the remote gates between its two programs are numbered by it, in the order in which both ask for them.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import trio

from protocols.device import Program
from protocols.qtp.service import CloseReason
from protocols.rgp.service import Role
from protocols.wire import QtpService, RgpKind
from stack.application.data_qubits import DataQubits
from stack.application.gates import GateFailed, RemoteGates
from stack.application.keys import KeyService
from stack.application.programs.keys import KeyCalls
from stack.application.programs.qubits import Held, Holdings
from stack.config import NodeConfig
from stack.physical.interface import PhysicalLayer
from stack.runtime.kernel import Kernel, Waiter
from stack.runtime.session import CallError, whole
from stack.runtime.times import NEVER
from stack.transport.interface import Session, SessionClosed, SessionRefused, TransportLayer

FIRST_PORT: Final = 16
"""Ports below are the node's own."""
_FIRST_PAUSE_PS: Final = 100_000_000
_LONGEST_PAUSE_PS: Final = 100_000_000_000
_MOST_PAIRS: Final = 1_000_000
_GATE_NUMBERS: Final = 1 << 16
_SLOWEST: Final = 1e-6
"""Pairs a second."""


class Programs:
    """What attached programs can do at one node."""

    def __init__(
        self,
        kernel: Kernel,
        config: NodeConfig,
        physical: PhysicalLayer,
        transport: TransportLayer,
        gates: RemoteGates,
        data: DataQubits,
        keys: KeyService,
    ) -> None:
        self.kernel = kernel
        self.config = config
        self.physical = physical
        self.transport = transport
        self.gates = gates
        self.data = data
        self.keys = keys
        self.ports: set[int] = set()
        kernel.for_programs.append(lambda: _Program(self))


class _Channel:
    """One end of a session, as a program has it."""

    def __init__(self, session: Session, opener: int, acceptor: int, port: int) -> None:
        self.session = session
        self.port = port
        self.gates = 0
        # A gate's name must be the same at both ends, and no other gate's at either: session numbers are of a pair of
        # nodes, so both nodes stand in it, one in the number of the job, one in that of the gate.  The highest bit
        # keeps away from the runs of circuits.
        self.job = 1 << 31 | session.ident.number << 16 | opener
        self._acceptor = acceptor

    def next_gate(self) -> int:
        self.gates += 1
        return self._acceptor << 16 | self.gates % _GATE_NUMBERS


class _Program:
    """What one program holds.  Implements ``stack.runtime.session.Holder``."""

    def __init__(self, node: Programs) -> None:
        self._node = node
        self._kernel = node.kernel
        self.waits = frozenset(
            {"open", "accept", "send", "receive", "reserve", "hear", "pair", "outcome", "gate", "enc_keys"}
        )
        self._qubits = Holdings(node.physical, node.data)
        self._channels: dict[int, _Channel] = {}
        self._keys = KeyCalls(node.kernel, node.config, node.keys)
        self._opened = 0
        self._ports: set[int] = set()
        self.calls: dict[str, Callable[..., Awaitable[Any]]] = {
            "hello": self._hello,
            "qubit": self._qubit,
            "run": self._run,
            "listen": self._listen,
            "unlisten": self._unlisten,
            "accept": self._accept,
            "open": self._open,
            "send": self._send,
            "receive": self._receive,
            "reserve": self._reserve,
            "tell": self._tell,
            "hear": self._hear,
            "finish": self._finish,
            "close": self._close,
            "reset": self._reset,
            "gate": self._gate,
            "ask_pairs": self._ask_pairs,
            "pair": self._pair,
            "outcome": self._outcome,
            **self._keys.calls,
        }

    async def _hello(self) -> dict[str, Any]:
        """Who is here, what it has, and which other nodes there are."""
        config, device = self._node.config, self._node.config.device
        assert device is not None
        return {
            "node": config.name,
            "number": config.number,
            "data_qubits": device.data_qubits,
            "communication_qubits": device.communication_qubits,
            "nodes": {path.name: number for number, path in config.paths.items()},
        }

    def ended(self) -> None:
        """It has gone: its sessions close, its qubits are free again."""
        for channel in self._channels.values():
            channel.session.abandon()
            channel.session.close(give_back=True)
        for port in sorted(self._ports):
            self._node.ports.discard(port)
            self._node.transport.unlisten(port)
        self._qubits.release_all()
        self._keys.close_all()

    # -- qubits ----------------------------------------------------------------------------------------------------

    async def _qubit(self) -> int:
        """A data qubit in |0>; its number."""
        return self._qubits.new()

    async def _run(self, ops: list[Any]) -> list[int]:
        """Operations, as ``stack.application.programs.qubits`` names them; what was measured."""
        return await self._qubits.run(ops)

    # -- sessions --------------------------------------------------------------------------------------------------

    async def _listen(self, port: int, service: str = "TELEPORT") -> None:
        whole("port", port, FIRST_PORT, 0xFFFF)
        kind = _service(service)
        if port in self._node.ports:
            raise CallError(f"a program of this node listens on port {port} already")
        self._node.ports.add(port)
        self._ports.add(port)
        self._node.transport.listen(port, kind)

    async def _unlisten(self, port: int) -> None:
        self._check_port(port)
        self._ports.discard(port)
        self._node.ports.discard(port)
        self._node.transport.unlisten(port)

    async def _accept(self, port: int) -> dict[str, int]:
        """The next session on a port that this program listens on."""
        self._check_port(port)
        session = await self._node.transport.accept(port)
        return self._keep(_Channel(session, session.ident.peer, self._kernel.number, port))

    async def _open(
        self, peer: int, port: int, service: str = "TELEPORT", minimum_fidelity: float = 0.0, patience_ps: int = 0
    ) -> dict[str, int]:
        """A session with the program that listens there; one that does not yet is waited for, ``patience_ps`` long."""
        if peer == self._kernel.number:
            raise CallError("a session needs another node", "refused")
        whole("peer", peer, 1, 0xFFFF)
        whole("port", port, FIRST_PORT, 0xFFFF)
        whole("patience_ps", patience_ps, 0, NEVER)
        if (path := self._node.config.paths.get(peer)) is not None and not path.qubits:
            raise CallError(f"{path.name} has no qubits: no session leads there", "refused")
        if type(minimum_fidelity) not in (int, float) or not 0 <= minimum_fidelity <= 1:
            raise CallError("minimum_fidelity must lie between 0 and 1")
        kind, kernel = _service(service), self._kernel
        end_ps, pause_ps = kernel.now + patience_ps, _FIRST_PAUSE_PS
        while True:
            try:
                session = await self._node.transport.open(peer, port, kind, float(minimum_fidelity))
                return self._keep(_Channel(session, kernel.number, peer, port))
            except SessionRefused as refused:
                if str(refused) != "NO_LISTENER" or kernel.now + pause_ps > end_ps:
                    raise CallError(f"port {port} of {self._name(peer)}: {refused}", "refused") from None
            except SessionClosed as closed:
                raise CallError(f"port {port} of {self._name(peer)}: {closed.reason}", "closed") from None
            await kernel.sleep(pause_ps)
            pause_ps = min(2 * pause_ps, _LONGEST_PAUSE_PS)

    async def _send(self, channel: int, qubit: int, before: list[Any] | None = None) -> bool:
        """Teleport a qubit; whether it was delivered, or is lost."""
        session = self._session(channel, QtpService.TELEPORT)
        held = self._qubits.find(qubit)
        # What was done to it becomes one program with the Bell measurement; a frame that is due goes with the qubit.
        frame = held.frame if not before else 0
        if not before:
            held.frame = 0
        program = self._qubits.before(before or [], qubit)
        self._qubits.pop(qubit)
        sending: Waiter[bool] | None = None
        try:
            sending = session.send(held.handle, program or None, frame)
            delivered = await sending.wait()
        except SessionClosed as closed:
            held.frame ^= frame
            self._qubits.put_back(qubit, held)
            raise self._over(session, closed) from None
        except trio.Cancelled:  # the program has gone
            session.close(give_back=True)
            if sending is not None and sending.failed:
                self._qubits.put_back(qubit, held)
            else:
                self._qubits.gone(held)
            raise
        self._qubits.gone(held)
        return delivered

    async def _receive(self, channel: int) -> int:
        """The next qubit; its number."""
        session = self._session(channel, QtpService.TELEPORT)
        with self._while_open(session):
            incoming = await session.receive()
        return self._qubits.add(Held(incoming.qubit, None, frame=incoming.x << 1 | incoming.z))

    async def _reserve(self, channel: int, pairs: int) -> None:
        """Keep so many pairs ready for qubits to be sent, and wait until they are."""
        session = self._session(channel, QtpService.TELEPORT)
        with self._while_open(session):
            session.reserve(whole("pairs", pairs, 0, 0xFFFF))
        await session.filled(pairs)

    async def _tell(self, channel: int, data: str) -> None:
        """Classical data to the program at the other end: base64."""
        session = self._channel(channel).session
        with self._while_open(session):
            try:
                session.note(b64decode(data, validate=True))
            except (binascii.Error, TypeError, ValueError) as error:
                raise CallError(f"data: {error}") from None

    async def _hear(self, channel: int) -> str:
        """What it says next: base64."""
        session = self._channel(channel).session
        with self._while_open(session):
            return b64encode(await session.heard()).decode()

    async def _finish(self, channel: int) -> None:
        session = self._channel(channel).session
        with self._while_open(session):
            session.finish()

    async def _close(self, channel: int) -> None:
        self._forget(channel).session.close()

    async def _reset(self, channel: int) -> None:
        self._forget(channel).session.reset()

    # -- pairs -----------------------------------------------------------------------------------------------------

    async def _ask_pairs(self, channel: int, pairs: int | None = None, pairs_per_s: float = 0.0) -> None:
        """So many, as fast as they come; or without end, at a rate."""
        session = self._session(channel, QtpService.PAIRS)
        if type(pairs_per_s) not in (int, float) or (pairs_per_s != 0 and not _SLOWEST <= pairs_per_s < 1e12):
            raise CallError(f"pairs_per_s must be a number from {_SLOWEST:g} on, or 0")
        with self._while_open(session):
            if pairs_per_s:
                session.stream(float(pairs_per_s))
            else:
                session.ask_pairs(whole("pairs", pairs, 1, _MOST_PAIRS))

    async def _pair(self, channel: int) -> dict[str, Any]:
        """The next pair, as Phi+: its qubit here, its name, and how good it is thought to be."""
        session = self._session(channel, QtpService.PAIRS)
        with self._while_open(session):
            pair = await session.pair()
        ours = pair.head == self._kernel.number
        held = Held(pair.qubit, None, frame=pair.bell_index if ours else 0, pair=pair)
        number = self._qubits.add(held)
        return {"qubit": number, "head": pair.head, "pair_id": pair.pair_id, "fidelity": pair.goodness / (2**32 - 1)}

    async def _outcome(self, channel: int) -> dict[str, Any]:
        """The next pair, measured at once."""
        session = self._session(channel, QtpService.PAIRS)
        with self._while_open(session):
            outcome = await session.outcome()
        pair = outcome.pair
        name = {"head": pair.head, "pair_id": pair.pair_id, "fidelity": pair.goodness / (2**32 - 1)}
        return name | {"basis": outcome.basis.name, "bit": outcome.bit}

    # -- remote gates ----------------------------------------------------------------------------------------------

    async def _gate(
        self,
        channel: int,
        kind: str,
        qubit: int | None = None,
        block: list[Any] | None = None,
        before: list[Any] | None = None,
    ) -> None:
        """This end's part of the channel's next remote gate: with ``qubit`` its control, with ``block`` its target,
        which does that with the copy of the control."""
        known = self._channel(channel)
        if kind not in ("CNOT", "CZ", "COPY"):
            raise CallError(f"there is no remote gate {kind!r:.40}")
        if (qubit is None) == (block is None):
            raise CallError("this end has either the control or the target")
        if known.session.closed is not None:
            with_whom = self._name(known.session.ident.peer)
            raise CallError(f"the session with {with_whom} has ended: {known.session.closed.name}", "closed")
        peer = known.session.ident.peer
        if qubit is not None:
            held = self._qubits.find(qubit)
            program = self._qubits.before(before or [], qubit)
            role, handle, add = Role.CONTROL, held.handle, None
        else:
            touched, ops = self._qubits.block(block)
            program = self._qubits.before(before or [], *touched)
            role, handle = Role.TARGET, self._qubits.find(touched[0]).handle

            def add(program: Program, copy: int) -> None:
                self._qubits.add_block(program, copy, ops)

        # The other end counts as well: a call that is refused above is no gate.
        if not known.gates:
            self._node.gates.enter([peer])
        gate = known.next_gate()
        try:
            due = await self._node.gates.gate(known.job, gate, role, RgpKind[kind], handle, peer, add, program or None)
        except GateFailed as failed:
            kind = "refused" if failed.intact else "spoilt"
            raise CallError(f"{failed}, with {self._name(peer)}", kind) from None
        if qubit is not None:
            self._qubits.find(qubit).frame ^= due

    # -- what they need --------------------------------------------------------------------------------------------

    def _keep(self, channel: _Channel) -> dict[str, int]:
        self._opened += 1
        self._channels[self._opened] = channel
        gates, peer = self._node.gates, channel.session.ident.peer

        def closed() -> None:
            gates.cancel(channel.job, peer)
            if channel.gates:
                gates.leave([peer])

        channel.session.on_closed = closed
        channel.session.on_pair_gone = self._qubits.lost
        return {"channel": self._opened, "peer": peer, "port": channel.port}

    def _channel(self, number: object) -> _Channel:
        channel = self._channels.get(number) if type(number) is int else None
        if channel is None:
            raise CallError(f"this program has no channel {number!r:.40}", "closed")
        return channel

    def _session(self, number: object, service: QtpService) -> Session:
        """Raises CallError for a channel of another service, too: what is asked of it is done over no such session."""
        session = self._channel(number).session
        if session.service is not service:
            raise CallError(f"channel {number} is a session of {session.service.name}: this call needs {service.name}")
        return session

    def _forget(self, number: int) -> _Channel:
        """The program has done with it: what still comes is let go of."""
        channel = self._channel(number)
        del self._channels[number]
        channel.session.abandon()
        return channel

    @contextmanager
    def _while_open(self, session: Session) -> Iterator[None]:
        """What is asked of a session that has ended, or ends meanwhile, cannot be served."""
        try:
            yield
        except SessionClosed as closed:
            raise self._over(session, closed) from None

    def _over(self, session: Session, closed: SessionClosed) -> CallError:
        """The session has ended: ``over`` if that is as it should be."""
        well = session.closed is CloseReason.CLOSED_BY_PEER or (session.closed is None and session.peer_finished)
        return CallError(f"the session with {self._name(closed.peer)}: {closed.reason}", "over" if well else "closed")

    def _name(self, node: int) -> str:
        path = self._node.config.paths.get(node)
        return f"node {node}" if path is None else path.name

    def _check_port(self, port: object) -> None:
        if type(port) is not int or port not in self._ports:
            raise CallError(f"this program does not listen on port {port!r:.40}")


def _service(name: object) -> QtpService:
    if name not in ("TELEPORT", "PAIRS"):
        raise CallError("service must be TELEPORT or PAIRS")
    return QtpService[str(name)]
