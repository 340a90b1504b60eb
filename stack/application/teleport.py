"""The teleport app: known states sent from one node to another, and measured there against what they should be.

What may live here: the two sides of that program, written as a user of the transport layer would.
"""

from collections import deque
from typing import Any

from protocols.device import Program
from protocols.qtp.service import CloseReason
from protocols.wire import QtpService
from stack.physical.interface import PhysicalLayer
from stack.runtime.kernel import Kernel, Waiter
from stack.transport.interface import SessionClosed, SessionRefused, TransportLayer

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

    def __init__(self, kernel: Kernel, physical: PhysicalLayer, transport: TransportLayer) -> None:
        self._kernel = kernel
        self._physical = physical
        self._transport = transport

    async def app(self, arguments: dict[str, Any]) -> None:
        """The ``teleport`` app.  The receiver's result: {state: [arrived, found as sent]}, and how many were lost."""
        if arguments["sends"]:
            states = arguments["states"] * arguments["rounds"]
            await self._send(arguments, states)
        else:
            await self._receive(arguments["peer"], arguments["states"])

    async def _send(self, arguments: dict[str, Any], states: list[str]) -> None:
        result: dict[str, Any] = {"sent": 0, "delivered": 0}
        self._kernel.results["teleport"] = result
        peer, ahead = arguments["peer"], arguments["ahead"]
        on_the_way: deque[Waiter[bool]] = deque()

        async def settle(most: int) -> None:
            """Until at most so many are on the way."""
            while len(on_the_way) > most:
                delivered = await on_the_way.popleft().wait()
                result["sent"] += 1
                result["delivered"] += delivered

        try:
            session = await self._transport.open(peer, PORT, QtpService.TELEPORT, arguments["minimum_fidelity"])
            session.reserve(ahead)
            await session.filled(ahead)
            for number, state in enumerate(states):
                qubit = self._physical.memory.data(number % arguments["in_flight"])
                preparation = Program().init(qubit)
                for gate in _PREPARE[state]:
                    getattr(preparation, gate)(qubit)
                session.reserve(min(ahead, len(states) - number - 1))
                on_the_way.append(session.send(qubit, preparation))
                await settle(arguments["in_flight"] - 1)
            await settle(0)
        except (SessionClosed, SessionRefused) as end:
            why = end.reason if isinstance(end, SessionClosed) else str(end)
            result["failed"] = f"not all was sent: {why}"
            return
        session.close()

    async def _receive(self, peer: int, states: list[str]) -> None:
        tally = {state: [0, 0] for state in states}
        result: dict[str, Any] = {"states": tally, "lost": 0}
        self._kernel.results["teleport"] = result
        self._transport.listen(PORT, QtpService.TELEPORT)
        try:
            session = await self._transport.accept(PORT, peer)
        except SessionClosed as end:
            result["failed"] = str(end)
            self._transport.unlisten(PORT)
            return
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
        self._transport.unlisten(PORT)
        result["lost"] = session.lost
        if session.closed is not None and session.closed is not CloseReason.CLOSED_BY_PEER:
            result["failed"] = f"the session has not been closed by the sender: {session.closed.name}"
