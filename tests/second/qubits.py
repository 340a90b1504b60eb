"""The communication qubits of a node: who has which, and the programs that give them back."""

from collections.abc import Callable

from wire import Bits, Op, Program
from world import World

H, SDG, MEASURE, RELEASE = 4, 6, 30, 40
BEFORE = ((), (), (H,), (SDG, H))  # by EgpTest: what turns its basis into Z


def _program(qubit: int, *opcodes: int) -> Program:
    return Program(tuple(Op(opcode, 0, qubit, 0, 0, 0, 0) for opcode in opcodes))


class Qubits:
    """All communication qubits."""

    def __init__(self, world: World, count: int, freed: Callable[[], None]) -> None:
        self.world, self.count, self.freed = world, count, freed
        first = (world.incarnation - 1) * 4096 % 65535 + 1
        self.free = [index << 16 | first for index in range(count)]
        self.kept: set[int] = set()  # by the user

    def take(self) -> int | None:
        """Set a qubit aside."""
        return self.free.pop(0) if self.free else None

    def put(self, qubit: int) -> None:
        """One that was set aside, but has not been used."""
        self.free.append(qubit)
        self.freed()

    def keep(self, qubit: int) -> None:
        """It is the user's now."""
        self.kept.add(qubit)

    def give_back(self, qubit: int) -> None:
        """The user has no more use for it."""
        if qubit in self.kept:
            self.kept.remove(qubit)
            self.release(qubit)

    def release(self, qubit: int) -> None:
        """What it holds is of no more use."""
        self.world.command(_program(qubit, RELEASE), lambda answer: self._released(qubit))

    def _released(self, qubit: int) -> None:
        index, generation = divmod(qubit, 2**16)
        self.free.append(index << 16 | generation % 65535 + 1)
        self.freed()

    def measure(self, qubit: int, test: int, told: Callable[[int], None]) -> None:
        """Measure in the basis of a test round, and release."""

        def measured(answer: object) -> None:
            if isinstance(answer, Bits) and len(answer.bits) == 1:
                told(answer.bits[0])
            self._released(qubit)

        self.world.command(_program(qubit, *BEFORE[test], MEASURE, RELEASE), measured)
