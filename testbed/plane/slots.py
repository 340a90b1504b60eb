"""Arithmetic of slots: rows first, first + spacing, ..., and the slots that two rows have in common.

Trains and listens of any length are rows; everything the plane asks about them costs the same however long
they are.
"""

from math import gcd
from typing import NamedTuple


class Slots(NamedTuple):
    """`size` slots from `first` on, `spacing` apart (spacing >= 1; without slots, first is 0)."""

    first: int
    spacing: int
    size: int

    @property
    def last(self) -> int:
        """The last slot; there must be one."""
        return self.first + (self.size - 1) * self.spacing

    def nth(self, index: int) -> int:
        return self.first + index * self.spacing

    def upto(self, slot: int) -> int:
        """How many slots are not later than `slot`."""
        if slot < self.first:
            return 0
        return min(self.size, (slot - self.first) // self.spacing + 1)

    def after(self, slot: int) -> int | None:
        """The first slot later than `slot`, or None."""
        index = self.upto(slot)
        return self.nth(index) if index < self.size else None

    def starting(self, slot: int) -> "Slots":
        """Those not before `slot`."""
        gone = self.upto(slot - 1)
        return Slots(self.nth(gone), self.spacing, self.size - gone) if gone < self.size else NO_SLOTS

    def ending(self, slot: int) -> "Slots":
        """Those not after `slot`."""
        left = self.upto(slot)
        return Slots(self.first, self.spacing, left) if left else NO_SLOTS

    def shifted(self, by: int) -> "Slots":
        """The same row, so many slots later."""
        return Slots(self.first + by, self.spacing, self.size)

    def meet(self, other: "Slots") -> "Slots":
        """Those in both rows, by the Chinese remainder theorem."""
        if not self.size or not other.size:
            return NO_SLOTS
        low, high = max(self.first, other.first), min(self.last, other.last)
        if low > high:
            return NO_SLOTS
        common = gcd(self.spacing, other.spacing)
        offset, rest = divmod(other.first - self.first, common)
        if rest:
            return NO_SLOTS
        modulus = other.spacing // common
        spacing = self.spacing * modulus
        first = self.first + self.spacing * (offset * pow(self.spacing // common, -1, modulus) % modulus)
        # `first` has the right remainders; move it to the first such slot that is not before either row.
        first += -((first - low) // spacing) * spacing
        return Slots(first, spacing, (high - first) // spacing + 1) if first <= high else NO_SLOTS


NO_SLOTS = Slots(0, 1, 0)
