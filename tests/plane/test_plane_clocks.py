"""Nodes with clocks of their own: when their photons come, what that does to a pair, and what the devices promise."""

import random
from math import cos, exp, pi, sqrt

import pytest
from plane_bench import ARM_A, NS, SLOT, STATION, A, B, Bench, bench, noisy

from protocols.wire import DeviceDone, DeviceError, DeviceFailed, DeviceHerald, DeviceListen, DeviceOutcome, DeviceSteer
from stack.config import Noise
from stack.runtime.clock import MOST_RATE
from stack.runtime.oscillator import Oscillator
from stack.runtime.times import MS, US, ClockMap, S
from testbed.plane.links import Arrivals, LinkId, LinkModel, LinkParameters, make_link

NODES = (A, B, STATION)
SLACK = 25 * NS // 2
"""Half a window: a train lasts that much longer where a herald may be later than the photon."""
SURE = {"arm_a_m": 1000, "arm_b_m": 2400, "attenuation_db_per_km": 0.0, "round_gap_ps": 100_000}
"""Barrett-Kok without loss: an attempt heralds with probability 1/2."""


def sure(grade: str = "sampled", seed: int = 5, **changes: float) -> LinkModel:
    return make_link("barrett-kok", LinkParameters(**(SURE | changes)), grade, LinkId("link", seed))  # type: ignore[arg-type]


def clocks(
    *offsets_ps: int, noise: Noise | None = None, rates_ppb: tuple[int, ...] = (0, 0, 0)
) -> dict[int, Oscillator]:
    """Of A, B and the station."""
    return {
        node: Oscillator(ClockMap(offset, rate), noise, 3, node)
        for node, offset, rate in zip(NODES, offsets_ps, rates_ppb, strict=True)
    }


def one_train(lab: Bench, slots: dict[int, int], count: int = 30) -> DeviceHerald:
    """The same row of slots at all three, each by its own count; what the station hears."""
    for node in (A, B):
        lab.train(node, 0, slots[node], count=count)
    listen = lab.listen(0, slots[STATION], count=count)
    lab.run()
    return lab.answers[listen][1]


@pytest.mark.parametrize("grade", ["sampled", "photonic"])
@pytest.mark.parametrize("ahead", [1, S, 1_000 * S])
def test_clocks_that_are_wrong_alike_change_nothing_but_the_numbers(grade: str, ahead: int) -> None:
    # Overlap below one: SeQUeNCe's analyser knows neither that nor late photons, so both runs use ours.
    model = sure(grade, visibility=0.99), sure(grade, visibility=0.99)
    plain, all_ahead = bench(model[0]), bench(model[1], oscillators=clocks(ahead, ahead, ahead))
    shift = -(-ahead // SLOT)
    heard = one_train(plain, dict.fromkeys(NODES, 1_000))
    late = one_train(all_ahead, dict.fromkeys(NODES, 1_000 + shift))
    assert heard.outcome != DeviceOutcome.FAIL
    assert (late.outcome, late.slot) == (heard.outcome, heard.slot + shift)
    # Slots of a clock that is ahead by a part of a slot begin that much later.
    rest = shift * SLOT - ahead
    for (node, sequence), (due, _) in plain.answers.items():
        assert all_ahead.answers[node, sequence][0] == due + rest + (SLACK if node != STATION else 0)
    (pair,) = all_ahead.plane.oracle.pairs
    assert pair.arrivals == Arrivals(0, 0)
    assert pair.fidelity_at_emission == plain.plane.oracle.pairs[0].fidelity_at_emission


@pytest.mark.parametrize("grade", ["sampled", "photonic"])
def test_a_clock_ahead_by_slots_numbers_them_otherwise_and_what_is_left_is_early(grade: str) -> None:
    """A is ahead by 3 slots and 4 ns, B behind by 2 ns: A's slot 1,003 is the station's 1,000."""
    lab = bench(sure(grade), oscillators=clocks(3 * SLOT + 4 * NS, 10 * SLOT - 2 * NS, 10 * SLOT))
    heard = one_train(lab, {A: 1_003, B: 1_010, STATION: 1_010}, count=1_000)
    assert heard.outcome != DeviceOutcome.FAIL
    (pair,) = lab.plane.oracle.pairs
    assert pair.arrivals == Arrivals(-4 * NS, 2 * NS)
    assert pair.slot == heard.slot


@pytest.mark.parametrize("late_ps", [-4 * NS, 4 * NS])
@pytest.mark.parametrize("kind", ["source-midpoint", "sender-receiver"])
def test_a_photon_that_is_delivered_starts_by_its_sender_s_clock(kind: str, late_ps: int) -> None:
    """That of A where it sends, that of the station where this has the source; at B it is as late as A was."""
    model = make_link(kind, LinkParameters(5, 5, attenuation_db_per_km=0.0), "photonic", LinkId("link", 5))
    lab = bench(model, oscillators=clocks(10 * SLOT - late_ps, 10 * SLOT, 10 * SLOT))
    heard = one_train(lab, dict.fromkeys(NODES, 1_010))
    (pair,) = lab.plane.oracle.pairs
    assert (heard.outcome, heard.slot) == (DeviceOutcome.PSI_PLUS, 1_010)
    assert pair.arrivals == Arrivals(late_ps, 0)


def test_a_node_emits_when_its_own_clock_says_so() -> None:
    """200 ppm fast and a second ahead, arm and slot by its own count; TrainDone when the herald could be home."""
    fast = clocks(S, 0, 0, rates_ppb=(200_000, 0, 0))
    lab = bench(sure(), oscillators=fast)
    slot = S // SLOT + 2_000
    train = lab.train(A, 0, slot)
    emission = fast[A].true_time(slot * SLOT - ARM_A)
    assert abs(emission - (2_000 * SLOT - ARM_A) * 0.9998) < 300_000
    lab.run(until=emission)
    assert lab.plane.oracle.pairs == []
    lab.run()
    due, done = lab.answers[train]
    assert (done.emitted, done.last_slot) == (1, slot)
    assert due == emission + 2 * ARM_A + 125_000 + 2 * NS + SLACK


@pytest.mark.parametrize("grade", ["sampled", "photonic"])
@pytest.mark.parametrize("late_ps", [SLOT // 2, 13 * NS, -13 * NS])
def test_a_photon_beyond_its_gate_never_heralds(grade: str, late_ps: int) -> None:
    lab = bench(sure(grade, dark_probability=1e-3), oscillators=clocks(10 * SLOT - late_ps, 10 * SLOT, 10 * SLOT))
    heard = one_train(lab, dict.fromkeys(NODES, 1_010), count=200)
    assert (heard.outcome, heard.slot) == (DeviceOutcome.FAIL, 1_209)


def rates(model: LinkModel, late: Arrivals, attempts: int) -> tuple[float, float, int]:
    """Success per attempt and mean fidelity of a plane whose photons are that late, of so many successes."""
    base = 10 * SLOT
    lab = bench(model, oscillators=clocks(base - late.a_ps, base - late.b_ps, base))
    first = 100
    spent = 0
    while spent < attempts:
        t = max(lab.plane._events.now, first * SLOT)
        first = t // SLOT + 40 + base // SLOT
        keys = [lab.train(node, t, first, count=20) for node in (A, B)]
        due, heard = lab.ask(STATION, t, DeviceListen(1, first, 1, 20))
        spent += heard.slot - first + 1
        for node in (A, B):
            lab.stop(node, due)
        while any(key not in lab.answers for key in keys):
            lab.step()
        first = lab.plane._events.now // SLOT
    pairs = lab.plane.oracle.pairs
    return len(pairs) / spent, sum(pair.fidelity_at_emission for pair in pairs) / len(pairs), spent


@pytest.mark.parametrize("kind", ["barrett-kok", "single-click"])
@pytest.mark.parametrize("grade", ["sampled", "photonic"])
def test_late_photons_herald_as_the_exact_law_says(kind: str, grade: str) -> None:
    """Gaussian photons of 5 ns: A 5 ns early, B 8 ns late, against a gate of 25 ns.  Some of both miss it, and what
    meets overlaps little.  5σ each."""
    parameters = {"width_rad_per_s": 1 / (sqrt(2) * 5e-9), "efficiency_a": 0.8, "efficiency_b": 0.9, "alpha": 0.3}
    model = noisy(kind, grade, **parameters)
    late = Arrivals(-5 * NS, 8 * NS)
    law = model.arriving(late)
    p, f = law.success_probability(0.3), law.heralded_fidelity(0.3)
    assert p < 0.97 * model.success_probability(0.3)
    assert f < model.heralded_fidelity(0.3) - 0.03
    seen, fidelity, n = rates(model, late, 4_000 if grade == "sampled" else 600)
    assert abs(seen - p) < 5 * sqrt(p * (1 - p) / n)
    # Single attempts of the photonic grade have states of their own, within [0, 1].
    assert abs(fidelity - f) < (1e-6 if grade == "sampled" else 5 * 0.5 / sqrt(n * p))


@pytest.mark.parametrize(("grade", "listens"), [("sampled", 250), ("photonic", 80)])
def test_rounds_of_late_photons_herald_as_the_exact_law_says(grade: str, listens: int) -> None:
    """A slot is a round: never a herald in the first of a listen, and on average p/(1 + P1) per slot, thinned by the
    gates that late photons miss.  6 sigma of the mean of as many geometric numbers."""
    width = {"width_rad_per_s": 1 / (sqrt(2) * 5e-9), "round_gap_ps": SLOT, "abort": True}
    model = noisy("barrett-kok", grade, efficiency_a=0.8, efficiency_b=0.9, **width)
    late = Arrivals(-5 * NS, 8 * NS)
    p = model.arriving(late).success_probability(0.5)
    assert p < 0.97 * model.success_probability(0.5)
    base = 10 * SLOT
    lab = bench(model, oscillators=clocks(base - late.a_ps, base - late.b_ps, base))
    used: list[int] = []
    first, spacing = 100, 20
    while len(used) < listens:
        t = max(lab.plane._events.now, first * SLOT)
        first = t // SLOT + 40 + base // SLOT
        keys = [lab.train(node, t, first, spacing, count=2_000) for node in (A, B)]
        due, heard = lab.ask(STATION, t, DeviceListen(1, first, spacing, 2_000))
        assert heard.outcome != DeviceOutcome.FAIL
        used.append((heard.slot - first) // spacing + 1)
        for node in (A, B):
            lab.stop(node, due)
        while any(key not in lab.answers for key in keys):
            lab.step()
        first = lab.plane._events.now // SLOT
    assert min(used) >= 2
    mean = sum(used) / listens
    assert abs(mean - 1 / p) < 6 * sqrt(1 - p) / p / sqrt(listens)


@pytest.mark.parametrize("grade", ["sampled", "photonic"])
def test_a_late_frame_turns_the_pair(grade: str) -> None:
    """One fixed error of dt turns Psi+- by 2 pi f dt: F = cos^2(pi f dt)."""
    lab = bench(sure(grade), oscillators=clocks(10 * SLOT + 30, 10 * SLOT - 20, 10 * SLOT), frame_hz=5e9)
    heard = one_train(lab, dict.fromkeys(NODES, 1_010))
    assert heard.outcome != DeviceOutcome.FAIL
    (pair,) = lab.plane.oracle.pairs
    assert pair.fidelity_at_emission == pytest.approx(cos(pi * 5e9 * 50e-12) ** 2, abs=1e-9)


@pytest.mark.parametrize(("relative_ps", "expected"), [(10.0, 0.976), (100.0, 0.504)])
def test_synchronisation_error_costs_what_the_closed_form_says(relative_ps: float, expected: float) -> None:
    """Clocks that wander by 10 ps rms against each other, at 5 GHz: phi = .314, (1 + e^(-phi^2/2))/2 = .976; by 100 ps:
    .504.  A knot for each train, so that errors are independent; 5σ of the mean of n."""
    noise = Noise(wander_ps=relative_ps / sqrt(2), knot_ps=100 * US)
    oscillators = clocks(10 * SLOT, 10 * SLOT, 10 * SLOT, noise=noise)
    oscillators[STATION] = Oscillator(ClockMap(10 * SLOT))
    lab = bench(sure(seed=9), oscillators=oscillators, frame_hz=5e9)
    for n in range(600):
        first = 1_000 + 250 * n
        for node in (A, B):
            lab.train(node, first * SLOT - 50 * SLOT, first, count=12, spacing=1)
        lab.listen(first * SLOT - 50 * SLOT, first, count=12)
    lab.run()
    fidelities = [pair.fidelity_at_emission for pair in lab.plane.oracle.pairs]
    assert len(fidelities) > 590
    mean = sum(fidelities) / len(fidelities)
    spread = sqrt(sum((f - mean) ** 2 for f in fidelities) / len(fidelities))
    phase = 2 * pi * 5e9 * relative_ps * 1e-12
    assert (1 + exp(-(phase**2) / 2)) / 2 == pytest.approx(expected, abs=1e-3)
    assert abs(mean - (1 + exp(-(phase**2) / 2)) / 2) < 5 * spread / sqrt(len(fidelities))


# Steering (DEV-20)


def test_steering_moves_what_is_to_come() -> None:
    """A's clock is made to run slow by a thousandth: it emits later."""
    lab = bench(sure(), oscillators=clocks(0, 0, 0))
    train = lab.train(A, 0, 2_000)
    steer = lab.command(A, 1_000 * SLOT, DeviceSteer(0, -MOST_RATE // 10))
    lab.run()
    assert lab.answers[steer] == (1_000 * SLOT + NS, DeviceDone())
    due, done = lab.answers[train]
    assert (done.emitted, done.last_slot) == (1, 2_000)
    # The last 995 us by its clock take a thousandth longer.
    emission = 1_000 * SLOT + (1_000 * SLOT - ARM_A) * 1_000 / 999
    assert abs(due - (emission + 2 * ARM_A + 125_000 + 2 * NS + SLACK)) <= 1


def test_setting_a_clock_ends_its_trains_and_listens() -> None:
    lab = bench(sure(), oscillators=clocks(0, 0, 0))
    trains = [lab.train(node, 0, 1_000, count=10_000) for node in (A, B)]
    listen = lab.listen(0, 20_000, count=10)
    lab.command(A, 1_500 * SLOT, DeviceSteer(-7 * SLOT, 0))
    lab.command(STATION, 1_600 * SLOT, DeviceSteer(5, 0))
    lab.run(until=1_700 * SLOT)
    due, done = lab.answers[trains[0]]
    assert (due, done.emitted) == (1_500 * SLOT + NS, 1_500 - 1_000 + 1 + ARM_A // SLOT)
    assert lab.answers[listen][0] == 1_600 * SLOT + NS
    assert lab.answers[listen][1].outcome == DeviceOutcome.FAIL
    assert trains[1] not in lab.answers


def test_what_cannot_be_steered_is_refused() -> None:
    assert bench(sure()).ask(A, 0, DeviceSteer(1, 0))[1] == DeviceFailed(DeviceError.BAD, 0)
    lab = bench(sure(), oscillators=clocks(0, 0, 0))
    assert lab.ask(A, 0, DeviceSteer(0, MOST_RATE + 1))[1] == DeviceFailed(DeviceError.BAD, 0)


@pytest.mark.parametrize("grade", ["sampled", "photonic"])
@pytest.mark.parametrize("seed", range(4))
def test_promises_hold_whatever_is_steered(grade: str, seed: int) -> None:
    """Trains, listens, stops and steering at random times; the bench checks every promise and every answer at every
    event, and that each command is answered once."""
    draw = random.Random(seed)
    noise = Noise(white_fm=1e-7, wander_ps=2_000.0, knot_ps=MS)
    lab = bench(noisy("single-click", grade, alpha=0.5), oscillators=clocks(S, S, S, noise=noise))
    keys = []
    t = S // 10
    for _ in range(120):
        t += draw.randrange(1, 60 * SLOT)
        first = (t + S) // SLOT + draw.randrange(20, 60)
        row = {"first": first, "spacing": draw.randrange(1, 3), "count": draw.randrange(1, 40)}
        lab.run(until=t)
        match draw.randrange(5):
            case 0 | 1:
                keys += [lab.train(node, t, **row) for node in (A, B)]
                keys.append(lab.listen(t, **row))
            case 2:
                keys.append(lab.stop(draw.choice((A, B)), t))
            case 3:
                rate = draw.randrange(-MOST_RATE // 1_000, MOST_RATE // 1_000)
                keys.append(lab.command(draw.choice(NODES), t, DeviceSteer(0, rate)))
            case 4:
                step = draw.choice((0, 0, -3 * NS, 5 * SLOT + 7))
                keys.append(lab.command(draw.choice(NODES), t, DeviceSteer(step, 0)))
    lab.run()
    assert all(key in lab.answers for key in keys)


def test_a_node_that_dies_finds_its_bare_oscillator() -> None:
    lab = bench(sure(), oscillators=clocks(0, 0, 0))
    lab.ask(A, SLOT, DeviceSteer(500 * SLOT, 0))
    lab.run(until=10 * SLOT)
    lab.plane.reset_node(A, 10 * SLOT)
    train = lab.train(A, 20 * SLOT, 100)
    lab.run()
    assert lab.answers[train][0] == 100 * SLOT + ARM_A + 125_000 + 2 * NS + SLACK
