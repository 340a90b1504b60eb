"""Where words stand in a drawing: how much room they take, and that no two share it.

What may live here: what every drawing of ours with words in it needs, and no look of any.  Lengths are pixels, y grows
downwards.  Widths are reckoned, not measured: a little more than Helvetica, Arial or Liberation Sans take.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

LINE: Final = 1.17
"""From one baseline to the next, in font sizes."""
_NARROW: Final = frozenset("iljtfrI.,:;|!'`()[]{}/\\- ")
_WIDE: Final = frozenset("mwMW@%—…→")
_CELL: Final = 48.0


def text_width(text: str, size: float, bold: bool = False) -> float:
    """About so wide is it, in font sizes of `size` pixels: rather too much than too little."""
    wide = 0.0
    for letter in text:
        if letter in _NARROW:
            wide += 0.33
        elif letter in _WIDE:
            wide += 0.95
        elif letter.isupper():
            wide += 0.75
        else:
            wide += 0.56 if letter.isascii() else 1.0
    return wide * size * (1.08 if bold else 1.0)


class Box(NamedTuple):
    """The room that something takes."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def around(cls, x: float, y: float, width: float, height: float) -> "Box":
        """With its middle there."""
        return cls(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    def meets(self, other: "Box") -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def within(self, other: "Box") -> bool:
        return (
            other.left <= self.left
            and self.right <= other.right
            and other.top <= self.top
            and self.bottom <= other.bottom
        )

    def crossed(self, x1: float, y1: float, x2: float, y2: float) -> float:
        """How much of a straight line lies in it, by Liang and Barsky's clipping (1984)."""
        first, last = 0.0, 1.0
        dx, dy = x2 - x1, y2 - y1
        for step, room in ((-dx, x1 - self.left), (dx, self.right - x1), (-dy, y1 - self.top), (dy, self.bottom - y1)):
            if step == 0:
                if room < 0:
                    return 0.0
            elif step < 0:
                first = max(first, room / step)
            else:
                last = min(last, room / step)
        return max(0.0, last - first) * float((dx * dx + dy * dy) ** 0.5)


class Sheet:
    """What is on a drawing already: boxes that nothing may cover, and lines that words should rather not cross."""

    def __init__(self, width: float, height: float) -> None:
        self.edge = Box(0.0, 0.0, width, height)
        self._boxes: dict[tuple[int, int], list[Box]] = {}
        self._lines: dict[tuple[int, int], set[tuple[float, float, float, float]]] = {}

    def take(self, box: Box) -> None:
        """Nothing else may lie there from now on."""
        for cell in _cells(box):
            self._boxes.setdefault(cell, []).append(box)

    def line(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """A straight line, kept in short pieces, so that few are looked at for each box."""
        pieces = 1 + int(max(abs(x2 - x1), abs(y2 - y1)) // _CELL)
        marks = [(x1 + (x2 - x1) * i / pieces, y1 + (y2 - y1) * i / pieces) for i in range(pieces + 1)]
        for (xa, ya), (xb, yb) in pairwise(marks):
            for cell in _cells(Box(min(xa, xb), min(ya, yb), max(xa, xb), max(ya, yb))):
                self._lines.setdefault(cell, set()).add((xa, ya, xb, yb))

    def free(self, boxes: Iterable[Box]) -> bool:
        """Whether all of them are inside the drawing and meet nothing that is taken."""
        return all(
            box.within(self.edge)
            and not any(box.meets(other) for cell in _cells(box) for other in self._boxes.get(cell, ()))
            for box in boxes
        )

    def covered(self, boxes: Iterable[Box]) -> float:
        """The area of what is taken, and of what lies outside, that these would lie on."""
        area = 0.0
        for box in boxes:
            area += _area(box) - _shared(box, self.edge)
            others = {other for cell in _cells(box) for other in self._boxes.get(cell, ())}
            area += sum(sorted(_shared(box, other) for other in others))
        return area

    def crossed(self, boxes: Iterable[Box]) -> float:
        """The length of lines that these would lie on."""
        length = 0.0
        for box in boxes:
            lines = {line for cell in _cells(box) for line in self._lines.get(cell, ())}
            length += sum(sorted(box.crossed(*line) for line in lines))  # sorted: sums do not depend on a set's order
        return length


def _cells(box: Box) -> Iterator[tuple[int, int]]:
    for i in range(int(box.left // _CELL), int(box.right // _CELL) + 1):
        for j in range(int(box.top // _CELL), int(box.bottom // _CELL) + 1):
            yield i, j


def _area(box: Box) -> float:
    return (box.right - box.left) * (box.bottom - box.top)


def _shared(one: Box, other: Box) -> float:
    wide = min(one.right, other.right) - max(one.left, other.left)
    high = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(0.0, wide) * max(0.0, high)


class Block(NamedTuple):
    """Lines of text, one below the other, all centred: (text, size, bold)."""

    lines: Sequence[tuple[str, float, bool]]

    @property
    def width(self) -> float:
        return max(text_width(*line) for line in self.lines)

    @property
    def height(self) -> float:
        return sum(size * LINE for _, size, _ in self.lines)

    def baselines(self, top: float) -> Iterator[float]:
        """Of each line, if the block begins there."""
        for _, size, _ in self.lines:
            yield top + size * 0.95
            top += size * LINE
