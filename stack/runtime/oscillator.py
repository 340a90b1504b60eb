"""An oscillator: what a free-running clock shows at a true instant, in whole picoseconds.

What may live here: the time error of one oscillator as a function of (seed, node, true time) and of what somebody has
done to its frequency, and its inverse.
What steers a clock is in clock.py; which oscillators there are to buy is in testbed/oscillators/.

The time error is a constant, a rate and a drift, plus four kinds of noise.  It is worked out at knots, some
milliseconds apart, and is a straight line in between: so it can be inverted to the picosecond, and a query far ahead
costs no more than one nearby.  Noise of frequency makes time a random walk; its value at a knot is found by halving
(the midpoint of a Brownian bridge, Lévy 1948), every draw keyed by the place of its knot.  Flicker noise of frequency
is a sum of such walks whose steps are 4⁰, 4¹, 4² ... knots long (Voss and Clarke 1978).
"""

from hashlib import blake2b
from math import cos, log, pi, sqrt
from struct import Struct
from typing import Final, NamedTuple

from stack.config import Noise
from stack.runtime.times import NEVER, ClockMap

_PS: Final = 1e12
_DAY_S: Final = 86_400.0
_OCTAVES: Final = 10
"""Walks in flicker noise: flat from one knot to 4⁹ of them, 44 minutes of 10 ms knots."""
_KEPT: Final = 4_096
"""Values that a walk remembers; the rest can be found again."""
_TWO: Final = Struct("!QQ")


class Gauss:
    """Standard normal draws by number: ``draw(n)`` is the same whenever it is asked for (Box and Muller 1958)."""

    __slots__ = ("_key",)

    def __init__(self, *entity: int | str) -> None:
        self._key = blake2b("/".join(map(str, entity)).encode(), digest_size=32).digest()

    def draw(self, n: int) -> float:
        u, v = _TWO.unpack(blake2b(n.to_bytes(12, "big", signed=True), digest_size=16, key=self._key).digest())
        return sqrt(-2.0 * log((u + 1) / (1 << 64))) * cos(2.0 * pi * v / (1 << 64))


class Walk:
    """A random walk with steps of variance 1, from 0 at 0; any place can be asked for, in any order."""

    __slots__ = ("_gauss", "_known")

    def __init__(self, gauss: Gauss) -> None:
        self._gauss = gauss
        self._known: dict[int, float] = {}

    def at(self, n: int) -> float:
        """After n steps; 0 before the beginning."""
        if n <= 0:
            return 0.0
        known = self._known
        value = known.get(n)
        if value is None:
            half = n & -n
            if half == n:
                # Powers of two: independent increments outward, so that nothing limits how far the walk goes.
                value = self.at(n >> 1) + sqrt(n - (n >> 1)) * self._gauss.draw(n)
            else:
                between = self.at(n - half) + self.at(n + half)
                value = between / 2 + sqrt(half / 2) * self._gauss.draw(n)
            if len(known) >= _KEPT:
                known.clear()
            known[n] = value
        return value


class _Bend(NamedTuple):
    """From ``true_ps`` on, when it had gained ``before``, an oscillator gains ``ppb`` more."""

    true_ps: int
    before: int
    ppb: int

    def gained(self, true_ps: int) -> int:
        return self.before + (true_ps - self.true_ps) * self.ppb // 1_000_000_000


class Oscillator:
    """The reading of one node's oscillator: ``affine`` and, if there is any, ``noise``; bent where somebody says so."""

    __slots__ = (
        "_affine",
        "_bends",
        "_flicker",
        "_knot_ps",
        "_knots",
        "_noise",
        "_phase",
        "_segment",
        "_wander",
        "_white",
    )

    def __init__(self, affine: ClockMap, noise: Noise | None = None, seed: int = 0, node: int = 0) -> None:
        self._affine = affine
        self._noise = noise
        self._bends: list[_Bend] = []
        self._knot_ps = 1 if noise is None else noise.knot_ps
        self._knots: dict[int, int] = {}
        self._segment = (-1, 0, 0)
        self._white = Walk(Gauss("oscillator", seed, node, "white"))
        self._wander = Gauss("oscillator", seed, node, "wander")
        self._flicker = [Walk(Gauss("oscillator", seed, node, "flicker", octave)) for octave in range(_OCTAVES)]
        # Without it, all walks would take their longest steps together.
        phases = Gauss("oscillator", seed, node, "phase")
        self._phase = [int(abs(phases.draw(octave)) * 4**octave) % 4**octave for octave in range(_OCTAVES)]

    @property
    def ideal(self) -> bool:
        """It shows true time."""
        return self._noise is None and self._affine.identity and not self._bends

    def bend(self, true_ps: int, ppb: int) -> None:
        """From a true instant on, not before the last one told, it runs fast by ``ppb`` of true time, on top of what it
        was made with; what it has gained till then stays."""
        gained = self._bends[-1].gained(true_ps) if self._bends else 0
        self._bends.append(_Bend(true_ps, gained, ppb))

    def reading(self, true_ps: int) -> int:
        """What it shows at a true instant; never runs backwards."""
        shown = self._affine.node_time(true_ps)
        if self._bends:
            shown += self._gained(true_ps)
        return shown if self._noise is None else shown + self._error(true_ps)

    def true_time(self, reading: int) -> int:
        """The first true instant at which it shows ``reading`` or more."""
        affine = self._affine
        if reading >= NEVER or (self._noise is None and not self._bends):
            return affine.true_time(reading)
        guess = affine.true_time(reading)
        for _ in range(64):
            # The error hardly changes over what it shifts: each round leaves a fraction of the last one's change.
            off = 0 if self._noise is None else self._error(guess)
            better = affine.true_time(reading - off - self._gained(guess))
            if abs(better - guess) <= 2:
                break
            guess = better
        while self.reading(guess) >= reading:
            guess -= 1
        while self.reading(guess) < reading:
            guess += 1
        return guess

    def _gained(self, true_ps: int) -> int:
        """By all bends so far."""
        return next((bend.gained(true_ps) for bend in reversed(self._bends) if bend.true_ps <= true_ps), 0)

    def _error(self, true_ps: int) -> int:
        knot, rest = divmod(true_ps, self._knot_ps)
        place, here, there = self._segment
        if place != knot:
            here, there = self._at_knot(knot), self._at_knot(knot + 1)
            self._segment = (knot, here, there)
        return here + (there - here) * rest // self._knot_ps

    def _at_knot(self, n: int) -> int:
        """Time error at knot n, in ps; nothing is wrong before time 0."""
        noise = self._noise
        if n <= 0 or noise is None:
            return 0
        known = self._knots.get(n)
        if known is not None:
            return known
        step_s = self._knot_ps / _PS
        error_s = n * step_s * (noise.rate + noise.drift_per_day / _DAY_S * n * step_s / 2)
        if noise.white_fm:
            # White FM: a walk whose spread over τ is σ_y(1 s) · sqrt(τ · 1 s).
            error_s += noise.white_fm * sqrt(step_s) * self._white.at(n)
        if noise.flicker_fm:
            error_s += noise.flicker_fm * step_s * self._flickered(n)
        if noise.wander_ps:
            # Two thirds of a knot's variance are left on average between knots.
            error_s += noise.wander_ps / _PS * sqrt(1.5) * self._wander.draw(n)
        if len(self._knots) >= _KEPT:
            self._knots.clear()
        error = self._knots[n] = round(error_s * _PS)
        return error

    def _flickered(self, n: int) -> float:
        """Walks with steps of 4^j knots, each of frequency variance 1: S_y = 1/(ln 4 · f), whose Allan variance
        2 ln 2 · S_y f is 1 at every τ."""
        total = 0.0
        for octave, walk in enumerate(self._flicker):
            length, phase = 4**octave, self._phase[octave]
            total += length * (_along(walk, n + phase, length) - _along(walk, phase, length))
        return total


def _along(walk: Walk, place: int, length: int) -> float:
    """A walk whose steps are ``length`` long, on its way from one to the next."""
    step, rest = divmod(place, length)
    here = walk.at(step)
    return here + (walk.at(step + 1) - here) * rest / length if rest else here
