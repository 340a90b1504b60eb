"""What sessions do with the qubits of their node.

What may live here: programs to the devices, and which qubits came by teleport and are still held.
"""

from typing import Final

from protocols.bell import Basis, parity_bit
from protocols.device import MAX_OPS, Program
from protocols.pairs import Pair
from protocols.qtp.node import Qtp
from protocols.qtp.service import RunBellMeasurement, SessionId
from stack.physical.interface import PhysicalLayer
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel, Waiter
from stack.transport.interface import Outcome

_BELL_MEASUREMENT: Final = 6
"""Operations in it, the release of both qubits included."""


class SessionQubits:
    """Of all sessions of one node."""

    def __init__(self, kernel: Kernel, physical: PhysicalLayer, driver: Driver[Qtp]) -> None:
        self.arrived: dict[int, SessionId] = {}
        """Qubits that came by teleport and are still held here."""
        self.preparations: dict[tuple[SessionId, int], Program] = {}
        """What is to be run before a qubit is measured, by session and index."""
        self._kernel = kernel
        self._physical = physical
        self._driver = driver
        physical.memory.when_freed(self._freed)
        physical.memory.when_room(lambda _: self._freed())  # where halves are kept in storage, they come there

    def run_before(self, program: Program) -> None:
        """Run a program before whatever is asked next of its qubits: the device keeps that order."""
        self._physical.submit(program, lambda _: None)

    def release(self, qubit: int) -> None:
        """Give a communication qubit back."""
        self._physical.memory.release(qubit)

    def returned(self, session: SessionId, index: int) -> None:
        """A qubit goes back to its user, who believes that its preparation was run."""
        preparation = self.preparations.pop((session, index), None)
        if preparation is not None:
            self.run_before(preparation)

    async def measured(self, pair: Pair) -> Outcome:
        """Measure this end's half of a pair, and let it go."""
        basis = Basis.X if pair.pair_id & 1 else Basis.Z
        program = Program()
        if basis is Basis.X:
            program.h(pair.qubit)
        waiter: Waiter[int] = Waiter(self._kernel)

        def done(bits: tuple[int, ...]) -> None:  # also if nobody waits for it any more
            self._physical.memory.void(pair.qubit)
            waiter.set(bits[0])

        self._physical.submit(program.measure(pair.qubit).release(pair.qubit), done)
        bit = await waiter.wait()
        if pair.head == self._kernel.number:
            bit ^= parity_bit(pair.bell_index, basis)
        return Outcome(pair, basis, bit)

    def bell_measurement(self, run: RunBellMeasurement) -> None:
        """Of a qubit that is sent and the half that it goes by, after the qubit's preparation."""
        data, half = run.data_qubit, run.pair_qubit
        program = self.preparations.pop((run.session, run.index), None) or Program()
        if len(program) + _BELL_MEASUREMENT > MAX_OPS:
            self.run_before(program)
            program = Program()
        measured = program.measured
        program.bell_measure(data, half).release(data).release(half)
        memory = self._physical.memory
        communication = not memory.is_data(data)

        def done(bits: tuple[int, ...]) -> None:
            m1, m2 = bits[measured:]
            if communication:
                memory.void(data)
            memory.void(half)
            self._driver.machine.measured(run.session, run.index, m1, m2, self._kernel.now)
            self._driver.flush()

        self._physical.submit(program, done)
        if not communication:
            # Should the session end before the device is done, the place is another's at once: programs that touch it
            # are run in order, and the next knows it by its next handle.
            memory.void(data)

    def _freed(self) -> None:
        """A qubit of the node has become free: was it one that had come by teleport?"""
        gone = [qubit for qubit in self.arrived if not self._physical.memory.is_current(qubit)]
        for qubit in gone:
            self._driver.machine.freed(self.arrived.pop(qubit), self._kernel.now)
        if gone:
            self._driver.flush()
