"""How many pairs of one link a circuit still has to ask its link layer for.

What may live here: that sum.  The link's node nearer to the head does the asking.
"""

from typing import Final

from protocols.machine import Output
from protocols.qnp.service import NeedLinkPairs, StopLinkPairs

MOST_AT_ONCE: Final = 0xFFFF  # the link layer counts pairs in 16 bits

MOST_AHEAD: Final = 8
"""Pairs that a circuit of many hops asks for at a time: the link layer serves requests in turn, and two circuits
that asked two links for all they need in opposite order would wait for each other."""

MOST_IN_VAIN: Final = 32
"""Times in a row that a link drops what it is asked for, with no pair between.  Lost messages do not explain so many; a
peer whose switch is gone does, and can say no more than EXPIRE."""


class Demand:
    """`wanted` chains need `each` pairs of the link, and every pair that died is to be made again."""

    def __init__(
        self, link: int, label: int, minimum_fidelity: int, each: int, ahead: int, outputs: list[Output]
    ) -> None:
        self.wanted = 0
        self.open = False  # nothing is asked for before the circuit is set up
        self._link, self._label, self._minimum_fidelity = link, label, minimum_fidelity
        self._each, self._ahead = each, ahead
        self._outputs = outputs
        self._dead = 0
        self._asked = 0
        self._outstanding = 0
        self._in_vain = 0

    def arrived(self) -> None:
        """One has come."""
        self._in_vain = 0
        if self._outstanding:
            self._outstanding -= 1
        else:
            self._asked += 1  # unasked for, but here it is
        self.ask()

    def died(self, pairs: int | None = None) -> None:
        """So many that had come are no more; None: all that one purified pair is made of."""
        self._dead += self._each if pairs is None else pairs
        self.ask()

    def will_not_come(self, pairs: int) -> bool:
        """The link layer has dropped what it was asked for; whether it is worth while to ask again."""
        self._in_vain += 1
        if self._in_vain == MOST_IN_VAIN:
            return False
        pairs = min(pairs, self._outstanding)
        self._asked -= pairs
        self._outstanding -= pairs
        self.ask()
        return True

    def ask(self) -> None:
        """Ask for what is missing, a few at a time."""
        if not self.open or 2 * self._outstanding > self._ahead:
            return
        missing = self.wanted * self._each + self._dead - self._asked  # QNP-7
        missing = min(missing, self._ahead - self._outstanding)
        while missing > 0:
            number = min(missing, MOST_AT_ONCE)
            self._outputs.append(NeedLinkPairs(self._link, self._label, number, self._minimum_fidelity))
            self._asked += number
            self._outstanding += number
            missing -= number

    def stop(self) -> None:
        """Nothing more is needed."""
        self.open = False
        if self._outstanding:
            self._outputs.append(StopLinkPairs(self._link, self._label))
