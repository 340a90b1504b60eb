"""A node's clock: its oscillator, steered.  What every protocol of the node takes for the time, and what its devices
emit by.

What may live here: the map between true time and node time, and how steering changes it.  Who decides to steer is
TTP's business (protocols.ttp).
"""

from typing import Final, NamedTuple

from stack.config import NodeConfig
from stack.runtime.oscillator import Oscillator
from stack.runtime.times import NEVER, ClockMap

RATE_UNIT: Final = 10**15
"""Rates of steering are integers in 1e-15."""

MOST_RATE: Final = RATE_UNIT // 100
"""A clock is made to run at most 1 % fast or slow."""

_KEPT: Final = 32
"""Stretches that a clock remembers: photons in flight were emitted by them."""


class _Stretch(NamedTuple):
    """From oscillator reading ``reading`` on the clock shows ``shown`` and runs (1 + rate) times as fast."""

    reading: int
    shown: int
    rate: int

    def at(self, reading: int) -> int:
        gone = reading - self.reading
        return self.shown + gone + gone * self.rate // RATE_UNIT

    def reading_at(self, shown: int) -> int:
        """The first oscillator reading at which it shows ``shown`` or more."""
        guess = self.reading + (shown - self.shown) * RATE_UNIT // (RATE_UNIT + self.rate)
        while self.at(guess) >= shown:
            guess -= 1
        while self.at(guess) < shown:
            guess += 1
        return guess


_FREE: Final = _Stretch(0, 0, 0)


class NodeClock:
    """Deterministic: two copies that are steered alike at the same true instants show the same for ever.

    The node's kernel holds one and the quantum plane another: the node's devices keep the node's time.
    """

    __slots__ = ("_oscillator", "_stretches")

    def __init__(self, oscillator: Oscillator) -> None:
        self._oscillator = oscillator
        self._stretches = [_FREE]

    def node_time(self, true_ps: int) -> int:
        """What the clock shows at a true instant."""
        reading = self._oscillator.reading(true_ps)
        stretches = self._stretches
        stretch = stretches[-1]
        if reading < stretch.reading:
            stretch = next((s for s in reversed(stretches) if s.reading <= reading), stretches[0])
        return stretch.at(reading)

    def true_time(self, node_ps: int) -> int:
        """The first true instant at which the clock shows ``node_ps`` or more, as it is steered now.

        A clock that was set back shows some times twice: the later counts.
        """
        if node_ps >= NEVER:
            return NEVER
        stretches = self._stretches
        reading = stretches[-1].reading_at(node_ps)
        if node_ps < stretches[-1].shown:
            at = next((i for i in reversed(range(len(stretches))) if stretches[i].shown <= node_ps), 0)
            # What a step forward leaves out is shown when the step is made.
            reading = min(stretches[at].reading_at(node_ps), stretches[at + 1].reading)
        return self._oscillator.true_time(reading)

    def steer(self, true_ps: int, step_ps: int, rate: int) -> None:
        """From now on: set forward by ``step_ps``, and run fast by ``rate`` units of 1e-15; ValueError beyond 1 %.

        The rate counts from the bare oscillator, it is not added to the rate before.
        """
        if abs(rate) > MOST_RATE:
            raise ValueError(f"a clock cannot be steered by {rate} units of 1e-15")
        reading = self._oscillator.reading(true_ps)
        self._stretches.append(_Stretch(reading, self._stretches[-1].at(reading) + step_ps, rate))
        del self._stretches[:-_KEPT]

    def bend(self, true_ps: int, ppb: int) -> None:
        """From now on the oscillator is off by ``ppb``, see ``Oscillator.bend``; who steers it is not told."""
        self._oscillator.bend(true_ps, ppb)

    def let_go(self, true_ps: int) -> None:
        """From now on nobody steers it: a node that restarts finds its bare oscillator."""
        reading = self._oscillator.reading(true_ps)
        self._stretches.append(_Stretch(reading, reading, 0))


def true_clock() -> NodeClock:
    """The clock of a node that has none of its own, from the instant at which it needs one."""
    return NodeClock(Oscillator(ClockMap()))


def node_clock(config: NodeConfig) -> NodeClock | None:
    """The clock of a node, or None if it shows true time and is never steered."""
    oscillator = Oscillator(ClockMap(config.offset_ps, config.rate_ppb), config.noise, config.seed, config.number)
    for true_ps, ppb in config.plight.drifts:
        oscillator.bend(true_ps, ppb)
    steered = config.time is not None and config.time.server is not None
    return NodeClock(oscillator) if steered or not oscillator.ideal else None
