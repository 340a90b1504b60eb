"""Trains that measure after each emission.  Requirements DEV-15, DEV-16: protocols/device.toml."""

from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import pytest
from plane_bench import ARM_A, ATTEMPT, NS, SLOT, STATION, A, B, Bench, ToldLink, bench, noisy, timed

from protocols.measuring import PLAIN, TESTS
from protocols.wire.codec import (
    DeviceError,
    DeviceFailed,
    DeviceMeasuringTrain,
    DeviceRecall,
    DeviceRemembered,
    DeviceTrainDone,
    EgpBases,
    EgpBasis,
    EgpMeasuring,
    EgpTest,
)
from testbed.plane import BELL_KETS
from testbed.plane.measured import both, effects, one

QUARTER = 1 << 30


def measuring(
    lab: Bench, node: int, first: int, count: int = 1, how: EgpMeasuring = PLAIN, spacing: int = 4, qubit: int = 0
) -> Any:
    row = (1, lab.communication(node, qubit), first, spacing, count, 0)
    return lab.command(node, lab.plane._events.now, DeviceMeasuringTrain(*row, 77 + node, *how))


def pair(lab: Bench, first: int, how_a: EgpMeasuring, how_b: EgpMeasuring) -> tuple[int, int]:
    """Results of both nodes for a pair that heralds at its first attempt."""
    now = lab.plane._events.now
    for node, how in ((A, how_a), (B, how_b)):
        measuring(lab, node, first, how=how)
    lab.listen(now, first)
    lab.run()
    told = [lab.ask(node, lab.plane._events.now, DeviceRecall(1, first))[1] for node in (A, B)]
    assert all(answer.known for answer in told)
    return told[0].outcome, told[1].outcome


@pytest.mark.parametrize("outcome", [2, 3])
def test_results_agree_with_the_bell_state(outcome: int) -> None:
    """Perfect pairs: ZZ differ for both; XX agree for Ψ+ and differ for Ψ−, YY likewise."""
    for test, equal in ((EgpTest.ZZ, False), (EgpTest.XX, outcome == 2), (EgpTest.YY, outcome == 2)):
        seen = set()
        for seed in range(12):
            lab = bench(ToldLink(1, outcome=outcome), seed=seed)
            a, b = pair(lab, 20, TESTS[test], TESTS[test])
            assert (a == b) == equal
            seen.add(a)
        assert seen == {0, 1}


def test_bases_are_the_observables_they_say() -> None:
    """Measuring X by the set XZ or by a rotation onto Z is the same; probabilities choose the basis."""
    full = (1 << 32) - 1
    x = EgpMeasuring(EgpBases.XZ, full, 0)
    z = EgpMeasuring(EgpBases.XZ, 1, 0)
    for seed in range(8):
        a, b = pair(bench(ToldLink(1), seed=seed), 20, x, TESTS[EgpTest.XX])
        assert a == b
        a, b = pair(bench(ToldLink(1), seed=seed), 20, z, PLAIN)
        assert a != b


def test_the_joint_law_is_exact_with_readout_error() -> None:
    """Correlators of 4,000 draws against Tr(rho E⊗E), in every pair of bases: each within 5 σ (false alarm 1e-5)."""
    device = bench(model=replace(timed(), readout_error_0=0.05, readout_error_1=0.005)).plane._devices[A]
    _, rho = noisy().draw_state(np.random.default_rng(3), 0.2)
    rng = np.random.default_rng(11)
    for basis_a in EgpBasis:
        for basis_b in (EgpBasis.Z, EgpBasis.ZMINUSX):
            ea, eb = effects(device, PLAIN, basis_a), effects(device, PLAIN, basis_b)
            law = sum((-1) ** (i + j) * np.trace(rho @ np.kron(ea[i], eb[j])).real for i in (0, 1) for j in (0, 1))
            draws = [(-1) ** sum(both(rho, ea, eb, rng)) for _ in range(4000)]
            assert abs(np.mean(draws) - law) < 5 * sqrt((1 - law**2) / 4000)


def test_readout_error_scales_correlators() -> None:
    """.05 and .005 at both ends: (1 - .055)² = .893 of a Bell pair's correlation, and a constant."""
    device = bench(model=replace(timed(), readout_error_0=0.05, readout_error_1=0.005)).plane._devices[A]
    ket = BELL_KETS[2]
    rho = np.outer(ket, ket.conj())
    e = effects(device, PLAIN, EgpBasis.Z)
    law = sum((-1) ** (i + j) * np.trace(rho @ np.kron(e[i], e[j])).real for i in (0, 1) for j in (0, 1))
    assert law == pytest.approx(-0.893025 + 0.045**2, abs=1e-9)


def test_a_kept_half_is_prepared_by_the_other_end() -> None:
    """R: the creator measures, and the other half is in the state that its result says."""
    for seed in range(6):
        lab = bench(ToldLink(1, outcome=3), seed=seed)
        measuring(lab, A, 20, how=TESTS[EgpTest.XX])
        lab.train(B, 0, 20)
        lab.listen(0, 20)
        lab.run()
        (_, told) = lab.ask(A, lab.plane._events.now, DeviceRecall(1, 20))
        state = lab.plane.oracle.density([(B, lab.communication(B))], lab.plane._events.now)
        # |Ψ−⟩ is anti-correlated in X: result 0 (|+⟩) leaves |−⟩.
        sign = 1 if told.outcome else -1
        assert state == pytest.approx(np.array([[1, sign], [sign, 1]]) / 2, abs=1e-9)


def test_what_measuring_leaves_is_a_state() -> None:
    """The two outcomes' states, weighed, are what tracing the half out leaves."""
    _, rho = noisy().draw_state(np.random.default_rng(3), 0.2)
    device = bench().plane._devices[A]
    e = effects(device, EgpMeasuring(EgpBases.NONE, x_1=QUARTER, y=QUARTER // 3), EgpBasis.X)
    for side in (0, 1):
        kept = np.einsum("abad->bd" if side == 0 else "abcb->ac", rho.reshape(2, 2, 2, 2))
        left = {}
        rng = np.random.default_rng(5)
        for _ in range(40):
            bit, state = one(rho, side, e, rng)
            left[bit] = state
        chances = [np.trace(rho @ (np.kron(x, np.eye(2)) if side == 0 else np.kron(np.eye(2), x))).real for x in e]
        assert sum(chances[bit] * state for bit, state in left.items()) == pytest.approx(kept, abs=1e-12)


def test_it_is_over_when_the_last_half_has_been_measured() -> None:
    """DEV-15: earlier than a Train, which waits for the last herald; the photons may herald all the same."""
    model = timed()
    lab = bench(ToldLink(3), model)
    a = measuring(lab, A, 20, count=3)
    measuring(lab, B, 20, count=3)
    listen = lab.listen(0, 20, 4, 3)
    last = 28 * SLOT - ARM_A
    lab.run()
    assert lab.answers[a] == (last + 3_700_000 + NS, DeviceTrainDone(3, 28))
    assert lab.answers[listen][0] == 28 * SLOT + ATTEMPT + NS
    assert lab.ask(A, lab.plane._events.now, DeviceRecall(1, 28))[1].known
    assert lab.plane.oracle.pairs[0].measured == 2


def test_no_time_to_measure_is_bad() -> None:
    """DEV-15: a rotation takes its time, too."""
    turned = TESTS[EgpTest.XX]
    for spacing, how, bad in ((3, PLAIN, True), (4, PLAIN, False), (4, turned, False)):
        lab = bench(ToldLink(1), timed(measure_ps=3_980_000))
        key = measuring(lab, A, 20, 2, how, spacing)
        lab.run()
        wanted = bad or (spacing * SLOT < 3_980_000 + 50_000 and how is turned)
        assert (lab.answers[key][1] == DeviceFailed(DeviceError.BAD, 0)) == wanted


def test_what_did_not_herald_is_not_remembered() -> None:
    """DEV-16."""
    lab = bench(ToldLink(2))
    for node in (A, B):
        measuring(lab, node, 20, count=2)
    lab.listen(0, 20, 4, 2)
    lab.run()
    now = lab.plane._events.now
    assert lab.ask(A, now, DeviceRecall(1, 20))[1] == DeviceRemembered(0, 0, EgpBasis.Z)
    assert lab.ask(A, now, DeviceRecall(1, 24))[1].known == 1
    assert lab.ask(STATION, now, DeviceRecall(1, 24))[1] == DeviceFailed(DeviceError.NO_LINK, 0)


@pytest.mark.parametrize("stop", [20 * SLOT, 22 * SLOT, 29 * SLOT, 40 * SLOT])
def test_a_stop_or_a_death_in_between_frees_the_qubit(stop: int) -> None:
    """DEV-2, DEV-12, DEV-15: at any time; the qubit serves again, and no answer is missing (the bench checks)."""
    for dies in (False, True):
        lab = bench(ToldLink(1), timed())
        train = measuring(lab, A, 20, count=3)
        lab.listen(0, 20, 4, 3)
        lab.run(stop)
        if dies:
            lab.plane.reset_node(A, stop)
        else:
            lab.stop(A, stop)
        lab.run()
        assert (train in lab.answers) != (dies and stop < 28 * SLOT)
        again = measuring(lab, A, 60)
        lab.run()
        assert isinstance(lab.answers[again][1], DeviceTrainDone)
