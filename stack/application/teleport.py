"""The teleport app: known states sent from one node to another, and measured there against what they should be.

What may live here: the two sides of that program, written as a user of the transport layer would.
"""

from typing import Any

from protocols.device import Program
from protocols.qtp.service import CloseReason
from protocols.wire import QtpService
from stack.physical.interface import PhysicalLayer
from stack.runtime.kernel import Kernel
from stack.transport.service import SessionClosed, SessionRefused, Transport

PORT = 1

_PREPARE = {
    "zero": (),
    "one": ("x",),
    "plus": ("h",),
    "minus": ("x", "h"),
    "plus-i": ("h", "s"),
    "minus-i": ("h", "sdg"),
}
"""Operations that make each Pauli eigenstate from |0>."""

_INVERSE = {"x": "x", "h": "h", "s": "sdg", "sdg": "s"}


class TeleportApp:
    """Sends, or receives and checks."""

    def __init__(self, kernel: Kernel, physical: PhysicalLayer, transport: Transport) -> None:
        self._kernel = kernel
        self._physical = physical
        self._transport = transport

    async def app(self, arguments: dict[str, Any]) -> None:
        """The ``teleport`` app.  The receiver's result: {state: [arrived, found as sent]}, and how many were lost."""
        if arguments["sends"]:
            states = arguments["states"] * arguments["rounds"]
            await self._send(arguments["peer"], states, arguments["minimum_fidelity"])
        else:
            await self._receive(arguments["states"])

    async def _send(self, peer: int, states: list[str], minimum_fidelity: float) -> None:
        result: dict[str, Any] = {"sent": 0, "delivered": 0}
        self._kernel.results["teleport"] = result
        try:
            session = await self._transport.open(peer, PORT, QtpService.TELEPORT, minimum_fidelity)
            for state in states:
                qubit = self._physical.memory.data(0)
                program = Program().init(qubit)
                for gate in _PREPARE[state]:
                    getattr(program, gate)(qubit)
                await self._physical.run(program)
                delivered = await session.teleport(qubit)
                result["sent"] += 1
                result["delivered"] += delivered
        except (SessionClosed, SessionRefused) as end:
            result["failed"] = f"not all was sent: {end}"
            return
        session.close()

    async def _receive(self, states: list[str]) -> None:
        tally = {state: [0, 0] for state in states}
        result: dict[str, Any] = {"states": tally, "lost": 0}
        self._kernel.results["teleport"] = result
        self._transport.listen(PORT, QtpService.TELEPORT)
        session = await self._transport.accept(PORT)
        while True:
            try:
                arrived = await session.receive()
            except SessionClosed:
                break
            state = states[arrived.index % len(states)]
            program = Program()
            if arrived.x:
                program.x(arrived.qubit)
            if arrived.z:
                program.z(arrived.qubit)
            for gate in reversed(_PREPARE[state]):
                getattr(program, _INVERSE[gate])(arrived.qubit)
            program.measure(arrived.qubit).release(arrived.qubit)
            (bit,) = await self._physical.run(program)
            self._physical.memory.void(arrived.qubit)
            tally[state][0] += 1
            tally[state][1] += bit == 0
        await self._transport.unlisten(PORT)
        result["lost"] = session.lost
        if session.closed is not None and session.closed is not CloseReason.CLOSED_BY_PEER:
            result["failed"] = f"the session has not been closed by the sender: {session.closed.name}"
