"""Which halves a repeater swaps, and when: policies.

What may live here: small classes that look at the halves which wait, and at nothing else.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from protocols.qnp.service import LinkSequence

END_RANK: Final = 255
"""Of the two ends, which never swap: higher than any repeater's."""


class Waiting(NamedTuple):
    """A half that waits at a repeater."""

    name: LinkSequence
    reach: int
    """Rank of the node that holds the other end of its chain."""


class SwapPolicy(Protocol):
    """Chooses for one circuit at one repeater; halves are given oldest first."""

    def choose(self, up: Iterable[Waiting], down: Iterable[Waiting]) -> tuple[LinkSequence, LinkSequence] | None:
        """A half towards the head and one towards the tail, to be swapped now; None: wait."""


class SwapAsap:
    """As soon as there is one on either side; the oldest first."""

    def choose(self, up: Iterable[Waiting], down: Iterable[Waiting]) -> tuple[LinkSequence, LinkSequence] | None:
        left, right = next(iter(up), None), next(iter(down), None)
        return None if left is None or right is None else (left.name, right.name)


class Nested:
    """Lower ranks first (Briegel et al. 1998): a node swaps what reaches to nodes of a higher rank on both sides."""

    def __init__(self, rank: int) -> None:
        self._rank = rank

    def choose(self, up: Iterable[Waiting], down: Iterable[Waiting]) -> tuple[LinkSequence, LinkSequence] | None:
        return SwapAsap().choose(self._grown(up), self._grown(down))

    def _grown(self, halves: Iterable[Waiting]) -> list[Waiting]:
        return [half for half in halves if half.reach > self._rank]


def nested_ranks(hops: int) -> list[int]:
    """Ranks of the hops' far nodes for a binary tree over so many links, the tail last.

    The k-th repeater (from 1) has the number of times that 2 divides k: ranks of neighbours differ, and between two
    nodes of one rank stands one of a higher.
    """
    return [(k & -k).bit_length() - 1 for k in range(1, hops)] + [END_RANK]
