"""Orders of the kit's upper tester for the layers above the link layer, carried out on our own node.

What may live here: one class per layer, its orders by name, and what it tells.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from protocols.key.service import BlockDone, BlockGivenUp, SessionEnded, Terms
from protocols.key.store import Key
from protocols.pairs import Pair
from protocols.qnp.service import Delivery
from protocols.rgp.service import Role
from protocols.wire import EgpBases, EgpBasis, QtpService, RgpKind
from protocols.wire.codec import DeviceOpcode, PairKind
from stack.application.compiler.circuit import Circuit, Op
from stack.application.data_qubits import AllHeld
from stack.application.gates import GateFailed
from stack.application.keys import FIRST_PURPOSE, KeySession
from stack.network.interface import Measured, Tested
from stack.node import Node
from stack.runtime.session import CallError
from stack.transport.interface import Session, SessionClosed, SessionRefused

Tell = Callable[[dict[str, Any]], None]
Orders = dict[str, Callable[..., None]]

_FULL = 0xFFFFFFFF


def _facts(pair: Pair) -> dict[str, Any]:
    return {"head": pair.head, "pair_id": pair.pair_id, "bell_index": int(pair.bell_index), "qubit": pair.qubit}


class Pairs:
    """Who asks the network layer for pairs, and gets them.  Implements ``CircuitUser``."""

    def __init__(self, node: Node, tell: Tell) -> None:
        network = node.network
        self._network, self._tell = network, tell
        self.orders: Orders = {
            "listen": lambda purpose: network.listen_to_all(purpose, self),
            "unlisten": network.unlisten,
            "request": self._request,
            "want": network.want,
            "finish": network.finish,
        }

    def _request(
        self,
        node: int,
        purpose: int,
        fidelity: int = 0,
        priority: int = 0,
        pairs_per_ks: int = 0,
        max_time_ps: int = 0,
        kind: str = "KEEP",
        bases: str = "NONE",
    ) -> None:
        request = self._network.request(
            node,
            purpose,
            self,
            fidelity / _FULL,
            priority=priority,
            pairs_per_s=pairs_per_ks / 1_000,
            max_time_ps=max_time_ps,
            delivery=Delivery(PairKind[kind], EgpBases[bases], EgpBases[bases]),
        )
        self._tell({"event": "requested", "node": node, "request": request})

    def pair(self, peer: int, purpose: int, pair: Pair) -> None:
        self._tell({"event": "pair", "node": peer, "purpose": purpose, **_facts(pair)})

    def pair_lost(self, peer: int, purpose: int, pair: Pair) -> None:
        self._tell({"event": "pair-lost", "node": peer, "purpose": purpose, **_facts(pair)})

    def pair_early(self, peer: int, purpose: int, qubit: int) -> None:
        self._tell({"event": "half", "node": peer, "purpose": purpose, "qubit": qubit})

    def pair_measured(self, peer: int, purpose: int, measured: Measured) -> None:
        facts = {"head": measured.head, "pair_id": measured.pair_id, "basis": measured.basis.name}
        self._tell({"event": "measured", "node": peer, "purpose": purpose, **facts, "outcome": measured.outcome})

    def tested(self, peer: int, purpose: int, tested: Tested) -> None:
        pass

    def ended_at(self, peer: int, purpose: int, node: int, error: str) -> None:
        pass

    def no_pairs(self, peer: int, purpose: int, cause: str) -> None:
        self._tell({"event": "no-pairs", "node": peer, "purpose": purpose, "cause": cause})

    def peer_finished(self, peer: int, purpose: int) -> None:
        self._tell({"event": "finished", "node": peer, "purpose": purpose})


class Sessions:
    """Who opens sessions, and accepts them."""

    def __init__(self, node: Node, tell: Tell) -> None:
        self._kernel, self._transport, self._tell = node.kernel, node.transport, tell
        self._sessions: dict[tuple[int, int], Session] = {}
        self.orders: Orders = {
            "accept": self._accept,
            "open": self._open,
            "teleport": self._teleport,
            "ask-pairs": lambda node, session, number: self._sessions[node, session].ask_pairs(number),
            "stream": lambda node, session, pairs_per_s: self._sessions[node, session].stream(pairs_per_s),
            "note": lambda node, session, text: self._sessions[node, session].note(bytes.fromhex(text)),
            "finish-session": lambda node, session: self._sessions[node, session].finish(),
            "close-session": lambda node, session: self._sessions[node, session].close(),
            "reset-session": lambda node, session: self._sessions[node, session].reset(),
        }

    def _accept(self, port: int, service: str) -> None:
        self._transport.listen(port, QtpService[service])

        async def accept() -> None:
            while True:
                self._opened(await self._transport.accept(port), port, service)

        self._kernel.spawn(accept, name="accept")

    def _open(self, node: int, port: int, service: str) -> None:
        async def open_one() -> None:
            facts = {"node": node, "port": port}
            try:
                session = await self._transport.open(node, port, QtpService[service])
            except SessionRefused:
                self._tell({"event": "session-refused", **facts})
            except SessionClosed:
                self._tell({"event": "session-closed", **facts})
            else:
                self._opened(session, port, service)

        self._kernel.spawn(open_one, name="open")

    def _opened(self, session: Session, port: int, service: str) -> None:
        facts = {"node": session.ident.peer, "session": session.ident.number}
        self._sessions[session.ident.peer, session.ident.number] = session
        self._tell({"event": "session-opened", **facts, "port": port, "service": service})

        async def receive() -> None:
            try:
                while True:
                    came = await session.receive()
                    row = {"index": came.index, "qubit": came.qubit, "x": came.x, "z": came.z}
                    self._tell({"event": "arrived", **facts, **row})
            except SessionClosed:
                if session.closed is None:
                    self._tell({"event": "peer-finished", **facts})

        async def pairs() -> None:
            try:
                while True:
                    self._tell({"event": "session-pair", **facts, **_facts(await session.pair())})
            except SessionClosed:
                assert session.closed is not None
                self._tell({"event": "session-closed", **facts, "reason": session.closed.name})

        async def notes() -> None:
            with suppress(SessionClosed):
                while True:
                    self._tell({"event": "note", **facts, "text": (await session.heard()).hex()})

        self._kernel.spawn(notes, name="notes")
        if service == "TELEPORT":
            self._kernel.spawn(receive, name="receive")
        self._kernel.spawn(pairs, name="pairs")

    def _teleport(self, node: int, session: int, qubit: int, frame: int = 0) -> None:
        facts = {"event": "teleported", "node": node, "session": session, "qubit": qubit}
        try:
            waiter = self._sessions[node, session].send(qubit, frame=frame)
        except SessionClosed:
            self._tell({**facts, "outcome": "returned"})
            return

        async def hear() -> None:
            try:
                outcome = "delivered" if await waiter.wait() else "lost"
            except SessionClosed:
                outcome = "returned"
            self._tell({**facts, "outcome": outcome})

        self._kernel.spawn(hear, name="teleport")


class Gates:
    """Whose gates are with qubits of other nodes."""

    def __init__(self, node: Node, tell: Tell) -> None:
        self._kernel, self._gates, self._tell = node.kernel, node.gates, tell
        self.orders: Orders = {"gate": self._gate, "cancel": self._cancel}

    def _gate(self, job: int, gate: int, role: str, kind: str, qubit: int, node: int) -> None:
        async def act() -> None:
            facts = {"job": job, "gate": gate}
            try:
                z = await self._gates.gate(job, gate, Role[role], RgpKind[kind], qubit, node)
            except GateFailed as failed:
                why = {"reason": failed.reason.name, "intact": failed.intact}
                self._tell({"event": "gate-refused", **facts, **why})
            else:
                self._tell({"event": "gate-done", **facts, "z": z})

        self._kernel.spawn(act, name="gate")

    def _cancel(self, job: int, gates: list[int], node: int) -> None:
        """This node will do none of these gates, and no other of the job that it has begun."""
        self._gates.abandon((job, gate, node) for gate in gates)


class Programs:
    """Who holds data qubits of the node."""

    def __init__(self, node: Node, tell: Tell) -> None:
        self._data, self._tell = node.data, tell
        self._held: list[int] = []
        self.orders: Orders = {"hold": self._hold}

    def _hold(self, qubits: int) -> None:
        self._data.give_back(self._held)
        self._held = []
        with suppress(AllHeld):
            while len(self._held) < qubits:
                self._held.append(self._data.take())
        self._tell({"event": "held", "qubits": len(self._held)})


class Secrets:
    """Who makes keys with other nodes, and says what they are."""

    def __init__(self, node: Node, tell: Tell) -> None:
        self._keys, self._tell = node.keys, tell
        self._network_says = node.keys.pair_measured
        self.orders: Orders = {
            "open-keys": self._open,
            "close-keys": lambda session: self._keys.close(self._sessions[session]),
            "read": self._read,
            "enc-keys": self._enc,
            "dec-keys": lambda node, key_ids: self._told(self._keys.dec_keys(node, key_ids)),
        }
        self._sessions: dict[int, KeySession] = {}
        for peer in node.config.paths:
            node.keys.hear(peer, self._hear)

    def _open(self, node: int, most_errors: float = 0.11, **terms: int) -> None:
        session = self._keys.open(node, Terms(**terms)._replace(most_errors=most_errors))
        self._sessions[session.ident.number] = session
        self._tell({"event": "keys-opened", "node": node, "session": session.ident.number})

    def _read(self, node: int, opener: int, session: int, pairs: list[list[Any]]) -> None:
        """The network layer has measured pairs."""
        for pair_id, basis, outcome in pairs:
            measured = Measured(opener, pair_id, EgpBasis[basis], outcome, _FULL)
            self._network_says(node, FIRST_PURPOSE + session, measured)

    def _enc(self, session: int, number: int) -> None:
        self._told(self._keys.enc_keys(self._sessions[session].ident, number))

    def _told(self, keys: list[Key]) -> None:
        self._tell({"event": "keys", "keys": [[key.key_id, key.data.hex()] for key in keys]})

    def _hear(self, event: Any) -> None:
        facts = {"opener": event.session.opener, "session": event.session.number}
        match event:
            case BlockDone():
                self._tell({"event": "block", **facts, "block": event.block, "why": ""})
            case BlockGivenUp():
                self._tell({"event": "block", **facts, "block": event.block, "why": event.why.name})
            case SessionEnded():
                self._tell({"event": "keys-over", **facts, "why": event.why.name})


class Jobs:
    """Who gives a controller jobs: so many qubits, each prepared and measured."""

    def __init__(self, node: Node, tell: Tell) -> None:
        self._calls, self._kernel, self._tell = node.kernel.calls, node.kernel, tell
        self.orders: Orders = {"submit": self._submit, "cancel-job": self._cancel, "ask-job": self._ask}

    def _submit(self, qubits: int, shots: int) -> None:
        ops = tuple(Op(DeviceOpcode.MEASURE, (qubit,), clbit=qubit) for qubit in range(qubits))
        self._call("submit", Circuit(qubits, qubits, ops).to_json(), shots)

    def _cancel(self, job: int) -> None:
        self._call("cancel_job", job)

    def _ask(self, job: int) -> None:
        self._call("job", job)

    def _call(self, name: str, *arguments: Any) -> None:
        async def call() -> None:
            try:
                facts = await self._calls[name](*arguments)
            except CallError as error:
                self._tell({"event": "job-refused", "reason": str(error)})
            else:
                row = {key: facts[key] for key in ("job", "state", "shots_done", "shots_spoilt")}
                self._tell({"event": "job", **row, "counts": facts.get("counts", {})})

        self._kernel.spawn(call, name="call")
