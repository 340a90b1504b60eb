"""Error correction by Cascade: one end asks for parities of the other's bits until its own have none that differ.

What may live here: both ends of that conversation, without a message: who asks (`Corrector`) and who answers
(`Reference`).

Cascade (Brassard and Salvail, EUROCRYPT '93) looks at the bits in several orders.  In each they lie in segments whose
parities both ends know; a segment that differs is halved until the bit is found, and a bit that is turned makes
segments of the other orders differ, which are then halved in their turn.

Every question is a parity of *all bits before a place* in one of the orders.  A segment between two places that are
known has the sum of both as its parity, and the last place of every order is known from the first.  So no question
asks what follows from others, and what leaks is one bit for each: to count it is to count questions.

The size of segments would have to fit the error rate, which nobody knows beforehand: the rate in X need not be that
in Z. So the first order is sounded from above: its segments, large at first, are all halved until few enough of them
differ.  Nothing that was asked on the way is lost, since the parity of a half follows from that of the whole.
"""

from bisect import bisect_left, bisect_right, insort
from hashlib import shake_256
from math import sqrt
from typing import Final, NamedTuple

MOST_QUESTIONS: Final = 200
"""Asked at once at most."""
MOST_ORDERS: Final = 250
_FEW: Final = 0.384
"""The share of segments that differ where each has 0.73 errors, Cascade's choice: (1 - exp(-2 * 0.73)) / 2."""
_FIRST_SEGMENTS: Final = 8
_LEAST_SEGMENT: Final = 4
_GROWTH: Final = (4, 4)
"""By how much the segments of the second order, and of the third, are larger than those before."""
_LAST_ORDERS: Final = 10
"""Orders of two halves each, asked about at once: should bits still differ, one of them is overlooked with 2^-10."""


class Question(NamedTuple):
    """The parity of the first ``place`` bits in an order."""

    order: int
    place: int


def ordering(seed: int, order: int, size: int) -> list[int]:
    """The indexes of the bits in one of the orders: by the words of SHAKE256 over (seed, order), ties by index."""
    data = shake_256(seed.to_bytes(8, "big") + order.to_bytes(2, "big")).digest(4 * size)
    words = [data[at : at + 4] for at in range(0, 4 * size, 4)]
    return sorted(range(size), key=words.__getitem__)


def _prefixes(bits: bytearray, order: list[int]) -> bytearray:
    parities, parity = bytearray(len(order) + 1), 0
    for place, index in enumerate(order, 1):
        parity ^= bits[index]
        parities[place] = parity
    return parities


class Reference:
    """The end whose bits count.  ``bits``: one a byte."""

    def __init__(self, bits: bytearray, seed: int) -> None:
        self._bits, self._seed = bits, seed
        self._orders: dict[int, bytearray] = {}
        self._said: set[Question] = set()

    @property
    def leak(self) -> int:
        """Bits that have been said."""
        return len(self._said)

    def fits(self, question: Question) -> bool:
        return 0 < question.place <= len(self._bits) and question.order <= MOST_ORDERS

    def answer(self, question: Question) -> int:
        order, place = question
        if order not in self._orders:
            self._orders[order] = _prefixes(self._bits, ordering(self._seed, order, len(self._bits)))
        whole = place == len(self._bits)
        self._said.add(Question(0, place) if whole else question)
        return self._orders[order][place]


class _Order:
    """The bits in one order: which of its places are known, and which segments between them differ."""

    def __init__(self, bits: bytearray, seed: int, number: int, whole: int) -> None:
        self.number, self.size = number, len(bits)
        self.order = ordering(seed, number, self.size)
        self._places: list[int] | None = None
        self._mine = _prefixes(bits, self.order)
        self._turned: list[int] = []  # places of bits turned since
        self._cuts = [0, self.size]
        self._theirs = {0: 0, self.size: whole}
        self.odd: dict[int, int] = {}
        """Segments that differ: start and end."""
        self._look(0, self.size)

    def learn(self, place: int, parity: int) -> None:
        if place in self._theirs:
            return
        at = bisect_left(self._cuts, place)
        start, end = self._cuts[at - 1], self._cuts[at]
        self._cuts.insert(at, place)
        self._theirs[place] = parity
        self.odd.pop(start, None)
        self._look(start, place)
        self._look(place, end)

    def turned(self, index: int) -> None:
        """A bit has been turned."""
        if self._places is None:
            self._places = [0] * self.size
            for place, one in enumerate(self.order):
                self._places[one] = place
        place = self._places[index]
        insort(self._turned, place)
        at = bisect_right(self._cuts, place)
        start, end = self._cuts[at - 1], self._cuts[at]
        if self.odd.pop(start, None) is None:
            self.odd[start] = end

    def single(self) -> int | None:
        """The index of a bit that surely differs."""
        for start, end in self.odd.items():
            if end - start == 1:
                return self.order[start]
        return None

    def _look(self, start: int, end: int) -> None:
        if self._theirs[start] ^ self._theirs[end] ^ self._own(start) ^ self._own(end):
            self.odd[start] = end

    def _own(self, place: int) -> int:
        return self._mine[place] ^ (bisect_left(self._turned, place) & 1)


class Corrector:
    """The end that corrects its bits: ask :meth:`questions`, :meth:`learn` the answers, until there are none."""

    def __init__(self, bits: bytearray, seed: int) -> None:
        self.bits = bits
        """As corrected so far; one a byte."""
        self.corrected = 0
        self.leak = 0
        self._seed = seed
        self._orders: list[_Order] = []
        self._sounding = _LEAST_SEGMENT
        while self._sounding * _FIRST_SEGMENTS * 2 <= len(bits):
            self._sounding *= 2
        self._segment = 0  # of the order that was laid last; 0 while the first is sounded
        self._waiting: list[Question] = []
        self._last = False
        self._halved_at = -1
        if bits:
            self._waiting = [Question(0, len(bits))]

    def questions(self) -> list[Question]:
        """What is to be asked now, no more than MOST_QUESTIONS; none: the bits are corrected."""
        if not self._waiting:
            self._turn()
            sensible = self.corrected <= 2 * len(self.bits)
            self._waiting = (self._halves() or self._more()) if sensible else []
        return self._waiting[:MOST_QUESTIONS]

    def learn(self, answers: list[int]) -> None:
        """The answers to the questions that :meth:`questions` has said, in their order."""
        asked, self._waiting = self._waiting[: len(answers)], self._waiting[len(answers) :]
        self.leak += len(asked)
        for (order, place), parity in zip(asked, answers, strict=True):
            if not self._orders:  # the first of all: the parity of everything
                self._orders.append(_Order(self.bits, self._seed, 0, parity))
                self._waiting = self._cuts(0, self._sounding)
            else:
                self._orders[order].learn(place, parity)

    def _turn(self) -> None:
        """Bits that surely differ.  Answers that contradict each other could have one turned for ever."""
        if self._sounded():
            while (index := self._single()) is not None and self.corrected <= 2 * len(self.bits):
                self.bits[index] ^= 1
                self.corrected += 1
                for order in self._orders:
                    order.turned(index)

    def _single(self) -> int | None:
        return next((index for order in self._orders if (index := order.single()) is not None), None)

    def _sounded(self) -> bool:
        """Do so few segments of the first order differ that each has an error or none?"""
        if not self._segment and self._orders:
            segments = -(-len(self.bits) // self._sounding)
            few = _FEW * segments - sqrt(segments) / 2
            if self._sounding <= _LEAST_SEGMENT or len(self._orders[0].odd) <= few:
                self._segment = self._sounding
        return self._segment > 0

    def _halves(self) -> list[Question]:
        """Halve what differs, in the order that has the smallest such segment: there each has an error of its own."""
        if not self._segment:
            return []
        odd = [order for order in self._orders if order.odd]
        if not odd:
            return []
        best = min(odd, key=lambda order: min(end - start for start, end in order.odd.items()))
        return [Question(best.number, (start + end) // 2) for start, end in sorted(best.odd.items())]

    def _more(self) -> list[Question]:
        """Sound deeper, or lay another order."""
        size = len(self.bits)
        if not self._orders or self._last:
            return []
        if not self._segment:
            self._sounding //= 2
            return [q for q in self._cuts(0, self._sounding) if q.place // self._sounding % 2]
        laid = len(self._orders) - 1
        if laid < len(_GROWTH) and (larger := self._segment * _GROWTH[laid]) < size // 2:
            self._segment = larger
            return self._cuts(self._lay(), larger)
        if self._halved_at != self.corrected and len(self._orders) + _LAST_ORDERS <= MOST_ORDERS and size > 1:
            self._halved_at = self.corrected
            return [Question(self._lay(), size // 2) for _ in range(_LAST_ORDERS)]
        self._last = True
        return []

    def _lay(self) -> int:
        number = len(self._orders)
        # A bit more is known of every order: the parity of everything, from the first.
        self._orders.append(_Order(self.bits, self._seed, number, self._orders[0]._theirs[len(self.bits)]))
        return number

    def _cuts(self, order: int, segment: int) -> list[Question]:
        return [Question(order, place) for place in range(segment, len(self.bits), segment)]


__all__ = ["MOST_ORDERS", "MOST_QUESTIONS", "Corrector", "Question", "Reference", "ordering"]
