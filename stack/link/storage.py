"""Halves on their way from a communication qubit to storage, and test rounds on theirs to the detector.

What may live here: what the link layer does with a half between its herald and its OK.  On a node without storage
qubits a half stays where it was made.
"""

from collections.abc import Callable

from protocols.device import Program
from protocols.egp.service import Err, MeasureTest, Ok
from protocols.measuring import TESTS
from protocols.mhp.trains import SEQUENCE_MODULUS
from stack.physical.interface import PhysicalLayer


class Storage:
    """Moves halves; what became void on the way is given back instead of being told."""

    def __init__(self, physical: PhysicalLayer, rooms: int) -> None:
        self._physical = physical
        self._rooms = rooms
        self._moving: dict[tuple[int, int], bool] = {}  # by link and sequence: is it still good?

    def keep(self, ok: Ok, done: Callable[[Ok], None]) -> None:
        """Move the half of an OK to storage, then tell."""
        if not self._rooms:
            done(ok)
            return
        key = (ok.link, ok.link_sequence)
        self._moving[key] = True

        def moved(place: int) -> None:
            if self._moving.pop(key):
                done(ok._replace(qubit=place))
            else:
                self._physical.memory.release(place)

        self._move(ok.qubit, moved)

    def expire(self, err: Err) -> None:
        """Pairs of this range are void, also those that nobody has been told of."""
        if err.sequence_low is None or err.sequence_high is None:
            return
        span = (err.sequence_high - err.sequence_low) % SEQUENCE_MODULUS
        for link, sequence in self._moving:
            if link == err.link and (sequence - err.sequence_low) % SEQUENCE_MODULUS <= span:
                self._moving[link, sequence] = False

    def test(self, test: MeasureTest, done: Callable[[int], None]) -> None:
        """Do with the half what is done with every half, then measure it; `done` hears the result."""
        if self._rooms:
            self._move(test.qubit, lambda place: self._read(test, place, done))
        else:
            self._read(test, test.qubit, done)

    def _read(self, test: MeasureTest, qubit: int, done: Callable[[int], None]) -> None:
        how = TESTS[test.test]
        program = Program()
        for rotate, angle in ((program.turn_x, how.x_1), (program.turn_y, how.y), (program.turn_x, how.x_2)):
            if angle:
                rotate(qubit, angle)
        program.measure(qubit).release(qubit)

        def read(bits: tuple[int, ...]) -> None:
            self._physical.memory.void(qubit)
            done(bits[0])

        self._physical.submit(program, read)

    def _move(self, qubit: int, moved: Callable[[int], None]) -> None:
        memory = self._physical.memory
        place = memory.take_storage()
        assert place is not None, "the link layer sets a place aside for every half that is kept"

        def swapped(_: tuple[int, ...]) -> None:
            memory.void(qubit)
            moved(place)

        self._physical.submit(Program().init(place).swap(qubit, place).release(qubit), swapped)
