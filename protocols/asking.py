"""How often a node that is not answered asks again, and when it takes the other for dead.

What may live here: that one rule, for protocols that travel as bare datagrams (MHP, SRP).  The reliable sublayer
measures its peers, and has its own (protocols/reliable/timing.py).
"""

from typing import Final

DOUBLINGS: Final = 4
"""Of the interval, at most: where frames get lost, who waits longer and longer is none the wiser."""

TRIES: Final = 259
"""As long as twelve would take if the interval doubled each time: 1 + 2 + 4 + 8 + 255 x 16 = 2^12 - 1."""


def interval_ps(round_trip_ps: int, asked: int) -> int:
    """Until the next question, when `asked` have been asked before the one that leaves now."""
    return 3 * round_trip_ps << min(asked, DOUBLINGS)
