"""Time as a node and its emulator see it: integer picoseconds, true time, node time, and the map between them.

What may live here: constants of time and the clock map.  Nothing that waits, nothing that counts events.
"""

from dataclasses import dataclass
from typing import Final

NEVER: Final = (1 << 63) - 1
"""Later than anything that can happen (about 106 days of picoseconds)."""

NS: Final = 1_000
US: Final = 1_000_000
MS: Final = 1_000_000_000
S: Final = 1_000_000_000_000

MOST_PAUSE: Final = 60 * S
"""Where pauses are no reason for time to pass, whoever waits for a peer asks after it at least so often."""

LEAST_DELAY: Final = NS
"""No effect follows its cause by less: the clock's order rests on it."""


@dataclass(frozen=True, slots=True)
class ClockMap:
    """A noiseless oscillator: ``node = true + offset + true * rate_ppb / 1e9``, in whole picoseconds.

    Monotone for rates above -1e9 ppb, so every node time has one first true instant.
    """

    offset_ps: int = 0
    rate_ppb: int = 0

    def __post_init__(self) -> None:
        if self.rate_ppb <= -1_000_000_000:
            raise ValueError("a clock must not stand still or run backwards")

    @property
    def identity(self) -> bool:
        return not (self.offset_ps or self.rate_ppb)

    def node_time(self, true_ps: int) -> int:
        """What the node's clock shows at a true instant."""
        return true_ps + self.offset_ps + true_ps * self.rate_ppb // 1_000_000_000

    def true_time(self, node_ps: int) -> int:
        """The first true instant at which the node's clock shows ``node_ps`` or more."""
        if node_ps >= NEVER:
            return NEVER
        guess = (node_ps - self.offset_ps) * 1_000_000_000 // (1_000_000_000 + self.rate_ppb)
        while self.node_time(guess) >= node_ps:
            guess -= 1
        while self.node_time(guess) < node_ps:
            guess += 1
        return guess
