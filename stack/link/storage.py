"""Halves on their way from a communication qubit to storage, and test rounds on theirs to the detector.

What may live here: what the link layer does with a half between its herald and its OK.  On a node without storage
qubits a half stays where it was made.
"""

from collections.abc import Callable
from dataclasses import dataclass

from protocols.device import Program, unpack_handle
from protocols.egp.service import Err, MeasureTest, Ok
from protocols.measuring import TESTS
from protocols.mhp.trains import SEQUENCE_MODULUS
from stack.physical.interface import PhysicalLayer


@dataclass(slots=True)
class _Half:
    """One on its way: where it lies now, if it has arrived, or who waits for it."""

    place: int | None = None
    wanted: Callable[[int], None] | None = None


class Storage:
    """Moves halves; what became void on the way is given back instead of being told.

    Halves are known by the communication qubit that they were made with, also when they have left it.
    """

    def __init__(self, physical: PhysicalLayer, rooms: int, link_of: Callable[[int], int | None]) -> None:
        """link_of: which link the qubit with this index is for, None: any."""
        self._physical = physical
        self._rooms = rooms
        self._link_of = link_of
        self._halves: dict[int, _Half] = {}
        self._telling: dict[tuple[int, int], bool] = {}  # by link and sequence: is it still good?

    def stash(self, qubit: int) -> None:
        """The half will be told later, or given back; its communication qubit is needed for others."""
        if self._rooms:
            self._begin(qubit)

    def keep(self, ok: Ok, done: Callable[[Ok], None]) -> None:
        """Move the half of an OK to storage, then tell."""
        if not self._rooms:
            done(ok)
            return
        if ok.qubit not in self._halves:
            self._begin(ok.qubit)
        key = (ok.link, ok.link_sequence)
        self._telling[key] = True

        def moved(place: int) -> None:
            if self._telling.pop(key):
                done(ok._replace(qubit=place))
            else:
                self._physical.memory.release(place)

        self._take(ok.qubit, moved)

    def release(self, qubit: int) -> None:
        """The half is of no use, or nothing was made with the qubit."""
        if qubit in self._halves:
            self._take(qubit, self._physical.memory.release)
        else:
            self._physical.memory.release(qubit)

    def expire(self, err: Err) -> None:
        """Pairs of this range are void, also those that nobody has been told of."""
        if err.sequence_low is None or err.sequence_high is None:
            return
        span = (err.sequence_high - err.sequence_low) % SEQUENCE_MODULUS
        for link, sequence in self._telling:
            if link == err.link and (sequence - err.sequence_low) % SEQUENCE_MODULUS <= span:
                self._telling[link, sequence] = False

    def test(self, test: MeasureTest, done: Callable[[int], None]) -> None:
        """Do with the half what is done with every half, then measure it; `done` hears the result."""
        if self._rooms:
            self._begin(test.qubit)
            self._take(test.qubit, lambda place: self._read(test, place, done))
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

    def _begin(self, qubit: int) -> None:
        memory = self._physical.memory
        link = self._link_of(unpack_handle(qubit).qubit)
        place = memory.take_storage(lambda index: self._link_of(index) == link)
        assert place is not None, "the link layer sets a place aside for every half that is kept"
        half = self._halves[qubit] = _Half()

        def swapped(_: tuple[int, ...]) -> None:
            memory.void(qubit)
            if half.wanted is None:
                half.place = place
            else:
                del self._halves[qubit]
                half.wanted(place)

        self._physical.submit(Program().init(place).swap(qubit, place).release(qubit), swapped)

    def _take(self, qubit: int, then: Callable[[int], None]) -> None:
        half = self._halves[qubit]
        if half.place is None:
            half.wanted = then
        else:
            del self._halves[qubit]
            then(half.place)
