"""The bank of a circuit's end: pairs that both ends hold, and that no request has needed yet.

What may live here: which pairs are there, and how many there may be.
"""

from dataclasses import dataclass, field

from protocols.qnp.service import Delivery


@dataclass(slots=True)
class Bank[R]:
    """`R` is what an end knows of a pair."""

    size: int = 0  # that the head keeps filled
    age_ps: int = 0  # 0: they may grow as old as they will
    most: int | None = None  # that both ends have room for; None: nobody has said
    underway: int = 0  # raw pairs tracked for it
    pairs: dict[int, R] = field(default_factory=dict)  # by pair id, the oldest first

    def lacks(self, each: int) -> int:
        """Raw pairs that are to be made for it, if one is made of `each`."""
        return max(0, self.size - len(self.pairs)) * each - self.underway

    def refused(self) -> None:
        """An end had no room for another."""
        self.size = self.most = max(0, self.size - 1)

    def freshest(self) -> R:
        """Take the one that has waited least: what is old is about to be replaced anyway."""
        _, pair = self.pairs.popitem()
        return pair

    def asked(self, deliveries: list[Delivery]) -> None:
        """What the requests of the circuit want of it."""
        size = max((delivery.bank for delivery in deliveries), default=0)
        self.size = size if self.most is None else min(size, self.most)
        self.age_ps = min((d.bank_age_ps for d in deliveries if d.bank and d.bank_age_ps), default=0)

