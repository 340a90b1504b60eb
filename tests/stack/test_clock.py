"""A node's clock: what its oscillator does, to the picosecond and in the long run, and what steering does to it."""

import random
from itertools import pairwise
from math import sqrt

import pytest

from stack.config import Noise
from stack.runtime.clock import MOST_RATE, RATE_UNIT, NodeClock
from stack.runtime.oscillator import Gauss, Oscillator, Walk
from stack.runtime.times import MS, NEVER, US, ClockMap, S

ROUGH = Noise(rate=3.3e-7, drift_per_day=1e-6, white_fm=1e-7, flicker_fm=1e-8, wander_ps=900.0, knot_ps=MS)


def oscillator(noise: Noise | None = ROUGH, offset_ps: int = 0, rate_ppb: int = 0, seed: int = 1) -> Oscillator:
    return Oscillator(ClockMap(offset_ps, rate_ppb), noise, seed, 7)


def free(noise: Noise, seed: int = 1) -> list[int]:
    """Time error at the first 4,096 knots, in ps."""
    clock = oscillator(noise, seed=seed)
    return [clock.reading(n * noise.knot_ps) - n * noise.knot_ps for n in range(4_097)]


def allan(errors_ps: list[int], knots: int, knot_ps: int) -> tuple[float, int]:
    """Allan deviation over so many knots (IEEE 1139, from times, without overlap), and of how many differences."""
    x = errors_ps[::knots]
    second = [x[i + 2] - 2 * x[i + 1] + x[i] for i in range(len(x) - 2)]
    return sqrt(sum(d * d for d in second) / (2 * len(second))) / (knots * knot_ps), len(second)


@pytest.mark.parametrize("bends", [[], [(S, 1_000_000), (3 * S, -1_000_000), (4 * S, 0), (2_000 * S, 7)]])
@pytest.mark.parametrize("noise", [ROUGH, None])
@pytest.mark.parametrize("offset_ps", [-3 * S, 0, 1_000 * S])
def test_it_is_inverted_to_the_picosecond(offset_ps: int, noise: Noise | None, bends: list[tuple[int, int]]) -> None:
    clock = oscillator(noise, offset_ps=offset_ps, rate_ppb=-40_000)
    for bend in bends:
        clock.bend(*bend)
    draw = random.Random(5)
    for _ in range(300):
        true = draw.randrange(10 ** draw.randrange(4, 17))
        reading = clock.reading(true)
        first = clock.true_time(reading)
        assert first <= true
        assert clock.reading(first) == reading
        assert clock.reading(first - 1) < reading
        skipped = clock.true_time(reading + 1)
        assert clock.reading(skipped - 1) <= reading < clock.reading(skipped)


def test_a_bend_changes_nothing_before_it_and_its_end_leaves_what_was_gained() -> None:
    clock, straight = oscillator(), oscillator()
    clock.bend(2 * S, 50_000)
    clock.bend(5 * S, 0)
    off = {t: clock.reading(t) - straight.reading(t) for t in (0, S, 2 * S, 3 * S, 5 * S, 6 * S, 1_000 * S)}
    assert list(off.values()) == [0, 0, 0, 50 * US, 150 * US, 150 * US, 150 * US]


def test_it_never_runs_backwards() -> None:
    clock = oscillator(Noise(white_fm=1e-4, flicker_fm=1e-4, wander_ps=MS / 100, knot_ps=MS), rate_ppb=-1_000_000)
    shown = [clock.reading(t) for t in range(0, 200 * MS, 50 * US)]
    assert all(a < b for a, b in pairwise(shown))


def test_what_it_shows_does_not_depend_on_what_was_asked_before() -> None:
    times = [random.Random(2).randrange(100 * S) for _ in range(200)]
    forward, backward = oscillator(), oscillator()
    shown = {t: forward.reading(t) for t in sorted(times)}
    assert {t: backward.reading(t) for t in sorted(times, reverse=True)} == shown
    assert {t: oscillator(seed=2).reading(t) for t in times} != shown


def test_a_question_about_the_far_future_is_answered_at_once() -> None:
    """Timers may be set for the day after tomorrow: 10⁷ knots away, of which a hundred or so are looked at."""
    clock = oscillator()
    assert clock.true_time(NEVER) == NEVER
    far = clock.true_time(10_000 * S)
    assert abs(far - 10_000 * S) < 100 * MS
    assert len(clock._white._known) < 200


def test_without_noise_it_is_the_plain_map() -> None:
    assert oscillator(None).ideal
    clock, plain = oscillator(None, 17, 50_000), ClockMap(17, 50_000)
    assert not clock.ideal
    for t in (0, 1, 999_999_937, 5 * S + 3):
        assert clock.reading(t) == plain.node_time(t)
        assert clock.true_time(t) == plain.true_time(t)


def test_white_noise_of_frequency_falls_with_the_root_of_time() -> None:
    """White FM: σ(τ) = σ(1 s)/sqrt(τ).  The relative error of an Allan deviation from m differences is about
    sqrt(3/(4 m)); 5σ."""
    noise = Noise(white_fm=2e-9, knot_ps=10 * MS)
    errors = free(noise)
    for knots in (1, 4, 16, 64):
        seen, m = allan(errors, knots, noise.knot_ps)
        expected = 2e-9 / sqrt(knots * 0.01)
        assert abs(seen / expected - 1) < 5 * sqrt(3 / (4 * m)), knots


def test_flicker_noise_of_frequency_is_flat() -> None:
    """Within a fifth at every τ: the walks are a factor of four apart, which leaves a ripple.  Mean of 24 oscillators,
    so that the statistical error at the longest τ, sqrt(3/(4 · 24 · 14)) = 5 %, is a quarter of that."""
    noise = Noise(flicker_fm=5e-9, knot_ps=10 * MS)
    runs = [free(noise, seed) for seed in range(24)]
    for knots in (2, 8, 64, 256):
        square = sum(allan(run, knots, noise.knot_ps)[0] ** 2 for run in runs) / len(runs)
        assert 0.8 < sqrt(square) / 5e-9 < 1.2, knots


def test_wander_stays_where_it_is() -> None:
    """Time noise: its spread is that of the key, over a millisecond as over an hour.  700 independent values: relative
    error sqrt(1/1400) = 2.7 %, 5σ."""
    noise = Noise(wander_ps=50.0, knot_ps=MS)
    clock = oscillator(noise)
    draw = random.Random(1)
    for start in (S, 3_600 * S):
        times = [start + 3 * n * MS + draw.randrange(MS) for n in range(700)]
        spread = sqrt(sum((clock.reading(t) - t) ** 2 for t in times) / len(times))
        assert abs(spread / 50 - 1) < 0.14


def test_drift_adds_up() -> None:
    """x = ½ D t²: a ppm per day makes 43.2 ms in a day."""
    clock = oscillator(Noise(drift_per_day=1e-6))
    day = 86_400 * S
    assert clock.reading(day) - day == pytest.approx(0.0432 * S, rel=1e-6)


def test_a_walk_has_independent_steps() -> None:
    """1,023 steps of variance 1 and no memory; 5σ."""
    walk = Walk(Gauss("test", 3))
    steps = [walk.at(n + 1) - walk.at(n) for n in range(1, 1_024)]
    count = len(steps)
    assert abs(sum(s * s for s in steps) / count - 1) < 5 * sqrt(2 / count)
    assert abs(sum(a * b for a, b in pairwise(steps)) / count) < 5 / sqrt(count)


def test_steering_sets_the_time_and_the_rate() -> None:
    clock = NodeClock(oscillator(None, 0, 0))
    clock.steer(S, -300 * US, 5 * RATE_UNIT // 10**6)
    assert clock.node_time(S) == S - 300 * US
    assert clock.node_time(2 * S) == 2 * S - 300 * US + 5 * US
    # Another rate, no step: what it shows goes on without a jump.
    before = clock.node_time(3 * S)
    clock.steer(3 * S, 0, 0)
    assert clock.node_time(3 * S) == before
    assert clock.node_time(4 * S) == before + S
    # What was shown before is remembered, for photons that are on their way.
    assert clock.node_time(2 * S) == 2 * S - 295 * US
    clock.let_go(5 * S)
    assert clock.node_time(5 * S) == 5 * S
    assert clock.node_time(2 * S) == 2 * S - 295 * US


def test_a_steered_clock_is_inverted_to_the_picosecond() -> None:
    clock = NodeClock(oscillator(rate_ppb=20_000))
    draw = random.Random(9)
    for n in range(1, 40):
        clock.steer(n * S, draw.randrange(US), draw.randrange(-MOST_RATE, MOST_RATE))
        for _ in range(20):
            true = n * S + draw.randrange(1, S)
            shown = clock.node_time(true)
            first = clock.true_time(shown)
            assert first <= true
            assert clock.node_time(first) == shown
            assert clock.node_time(first - 1) < shown


def test_a_clock_set_back_shows_times_twice_and_the_later_counts() -> None:
    clock = NodeClock(oscillator(None))
    clock.steer(10 * S, -S, 0)
    assert clock.true_time(9 * S + 5) == 10 * S + 5
    assert clock.true_time(8 * S) == 8 * S


def test_a_clock_is_not_steered_beyond_reason() -> None:
    with pytest.raises(ValueError, match="steered"):
        NodeClock(oscillator(None)).steer(S, 0, MOST_RATE + 1)
