"""The quantum plane: what a heralded pair is, what destroys it, what a death leaves; teleportation.

DEV-n: device.toml. Slots of 1 us, arms of 5 us and 12 us, attempts of 25 ns; links herald when told to.
"""

from math import exp, sqrt

import numpy as np
import pytest
from plane_bench import ARM_A, ARM_B, ATTEMPT, NS, SLOT, STATION, A, B, Bench, ToldLink, bench, timed

from protocols.bell import teleport_correction
from protocols.device import (
    Program,
    first_generation,
)
from protocols.wire import (
    DeviceBits,
    DeviceError,
    DeviceFailed,
    DeviceHerald,
    DeviceOutcome,
    DeviceTrainDone,
)
from testbed.plane import DeviceModel
from testbed.plane.events import NEVER

PLUS, MINUS, FAIL = DeviceOutcome.PSI_PLUS, DeviceOutcome.PSI_MINUS, DeviceOutcome.FAIL


def over(slot: int) -> int:
    """When the station knows about a slot."""
    return slot * SLOT + ATTEMPT


def home(slot: int, arm: int) -> int:
    """When a node could know about it."""
    return over(slot) + NS + arm


# ---------------------------------------------------------------------------- what a pair is and what ends it


@pytest.mark.parametrize(("index", "outcome"), [(2, PLUS), (3, MINUS)])
def test_both_nodes_hold_the_pair_that_the_herald_names(index: int, outcome: DeviceOutcome) -> None:
    lab = bench(ToldLink(1, outcome=index))
    for node in (A, B):
        lab.train(node, 0, 100)
    listen = lab.listen(0, 100)
    lab.run()
    assert lab.answers[listen][1] == DeviceHerald(outcome, 100)
    assert lab.pair_fidelity(10**9, index) == pytest.approx(1)
    (pair,) = lab.plane.oracle.pairs
    assert (pair.link, pair.slot, pair.outcome, pair.a, pair.b) == (1, 100, index, (A, 2), (B, 2))
    assert pair.heralds_home_ps == home(100, ARM_B)
    assert pair.lost_ps is None


def test_each_half_decays_from_its_own_emission() -> None:
    t1, t2 = 10**9, 5 * 10**8
    model = DeviceModel(1, 1, t1_communication_ps=t1, t2_communication_ps=t2)
    lab = bench(ToldLink(1), model)
    for node in (A, B):
        lab.train(node, 0, 100)
    lab.listen(0, 100)
    lab.run()

    def expected(*times: int) -> float:
        """Psi+ under damping of both halves: |01> and |10> survive with the half that is excited."""
        ages = [now - (100 * SLOT - arm) for now, arm in zip(times, (ARM_A, ARM_B), strict=True)]
        return (sum(exp(-age / t1) for age in ages) / 2 + exp(-sum(ages) / t2)) / 2

    assert lab.pair_fidelity(200 * SLOT) == pytest.approx(expected(200 * SLOT, 200 * SLOT))
    for node, arm in ((A, ARM_A), (B, ARM_B)):
        excited = lab.plane.oracle.density([(node, lab.communication(node))], 200 * SLOT)[1, 1].real
        assert excited == pytest.approx(exp(-(100 * SLOT + arm) / t1) / 2)
    (pair,) = lab.plane.oracle.pairs
    assert pair.fidelity_at_emission == pytest.approx(1)
    assert pair.fidelity_at_home == pytest.approx(expected(home(100, ARM_A), home(100, ARM_B)))


def test_the_next_emission_destroys_a_half_and_only_that() -> None:  # DEV-11
    lab = bench(ToldLink(1))
    lab.train(A, 0, 100, 30, 2)
    lab.train(B, 0, 100)
    lab.listen(0, 100)
    second = 130 * SLOT - ARM_A
    lab.run(second)
    assert lab.pair_fidelity(second) == pytest.approx(1)
    lab.step()
    assert lab.pair_fidelity(second) == pytest.approx(0.25)
    rho = lab.plane.oracle.density([(B, lab.communication(B))], second)
    assert np.allclose(rho, np.eye(2) / 2)
    assert lab.plane.oracle.pairs[0].lost_ps == second
    assert lab.plane.oracle.pairs[0].fidelity_at_home == pytest.approx(1)
    lab.run()


def test_a_stop_in_time_keeps_the_pair_and_a_late_one_does_not() -> None:
    for at, kept in ((130 * SLOT - ARM_A - 1, True), (130 * SLOT - ARM_A, False)):
        lab = bench(ToldLink(1))
        trains = [lab.train(node, 0, 100, 30, 50) for node in (A, B)]
        lab.listen(0, 100)
        stop_a = lab.stop(A, at)
        stop_b = lab.stop(B, 130 * SLOT - ARM_B - 1)
        lab.run()
        emitted = DeviceTrainDone(1, 100) if kept else DeviceTrainDone(2, 130)
        due = at + NS if kept else home(130, ARM_A) + NS
        assert lab.answers[stop_a] == lab.answers[trains[0]] == (due, emitted)
        assert lab.answers[stop_b] == lab.answers[trains[1]]
        assert lab.pair_fidelity(10**9) == pytest.approx(1 if kept else 0.25)


def test_emissions_closer_than_the_herald_are_legal_and_destroy() -> None:
    """The photon of slot 100 is still on its way when the node emits for slot 103."""
    lab = bench(ToldLink(1))
    lab.train(A, 0, 100, 3, 2)
    lab.train(B, 0, 100)
    listen = lab.listen(0, 100)
    lab.run()
    assert lab.answers[listen][1] == DeviceHerald(PLUS, 100)
    assert lab.pair_fidelity(10**9) == pytest.approx(0.25)
    (pair,) = lab.plane.oracle.pairs
    assert pair.lost_ps == 103 * SLOT - ARM_A
    assert (pair.fidelity_at_emission, pair.fidelity_at_home) == (pytest.approx(1), 0.25)


def test_a_later_success_of_the_same_trains_replaces_the_pair() -> None:
    lab = bench(ToldLink(1, 1))
    for node in (A, B):
        lab.train(node, 0, 100, 30, 2)
    lab.listen(0, 100)
    lab.listen(101 * SLOT, 101, 1, 100)
    lab.run()
    assert [pair.slot for pair in lab.plane.oracle.pairs] == [100, 130]
    assert lab.pair_fidelity(10**9) == pytest.approx(1)


def test_the_first_emission_destroys_what_the_qubit_held() -> None:  # DEV-11
    lab = bench()
    q, c = lab.data(A), lab.communication(A)
    lab.ask(A, 0, Program().init(q).init(c).h(q).cx(q, c))
    train = lab.train(A, NS, 100)
    emission = 100 * SLOT - ARM_A
    lab.run(emission)
    assert lab.plane.oracle.pair_fidelity((A, q), (A, c), 0, emission) == pytest.approx(1)
    lab.run()
    assert lab.plane.oracle.pair_fidelity((A, q), (A, c), 0, emission) == pytest.approx(0.25)
    assert lab.answers[train][1] == DeviceTrainDone(1, 100)


def test_a_train_stopped_before_it_emits_leaves_the_qubit_alone() -> None:
    lab = bench()
    q, c = lab.data(A), lab.communication(A)
    lab.ask(A, 0, Program().init(q).init(c).h(q).cx(q, c))
    train = lab.train(A, NS, 100)
    stop = lab.stop(A, 2 * NS)
    lab.run()
    assert lab.answers[stop] == lab.answers[train] == (3 * NS, DeviceTrainDone(0, 0))
    assert lab.plane.oracle.pair_fidelity((A, q), (A, c), 0, 10**9) == pytest.approx(1)


# ----------------------------------------------------------------------------------------------------- deaths


def test_a_dead_node_is_answered_no_more_and_its_handles_are_void() -> None:  # DEV-2, DEV-3
    lab = bench(ToldLink(1))
    q = lab.data(A)
    lab.ask(A, 0, Program().init(q).x(q))
    lab.train(A, NS, 100, 30, 10)
    lab.train(B, NS, 100)
    lab.command(A, 200 * SLOT, Program().init(q))
    listen = lab.listen(NS, 100)
    before = dict(lab.answers)
    lab.run(110 * SLOT)
    lab.plane.reset_node(A, 110 * SLOT)
    assert lab.plane.promise(A) == NEVER
    lab.run()
    assert {key for key in lab.answers if key[0] == A} == {key for key in before if key[0] == A}
    assert lab.answers[listen][1] == DeviceHerald(PLUS, 100)
    assert [handle & 0xFFFF for handle in lab.plane.handles(A)] == [first_generation(2)] * 4
    assert lab.ask(A, 300 * SLOT, Program().x(q))[1] == DeviceFailed(DeviceError.STALE, 0)
    # What is stored goes on as it was; what was to communicate starts afresh, and its pair is gone.
    assert lab.ask(A, 300 * SLOT, Program().measure(lab.data(A)))[1] == DeviceBits(b"\1")
    assert lab.ask(A, 300 * SLOT, Program().measure(lab.communication(A)))[1] == DeviceBits(b"\0")
    assert lab.pair_fidelity(301 * SLOT) == pytest.approx(0.25)
    assert lab.plane.oracle.pairs[0].lost_ps == 110 * SLOT


def test_photons_of_a_dead_node_do_not_reach_the_qubits_of_the_next_incarnation() -> None:
    lab = bench(ToldLink(1))
    lab.train(A, 0, 100, 1, 10)
    lab.train(B, 0, 100)
    listen = lab.listen(0, 100)
    death = 100 * SLOT - ARM_A + 1
    lab.run(death)
    lab.plane.reset_node(A, death)
    c = lab.communication(A)
    fresh = lab.command(A, death + 1, Program().init(c).x(c))
    lab.run()
    assert lab.answers[fresh][1] == DeviceBits(b"")
    assert lab.answers[listen][1] == DeviceHerald(PLUS, 100)
    assert lab.plane.oracle.density([(A, c)], over(100))[1, 1].real == pytest.approx(1)
    assert np.allclose(lab.plane.oracle.density([(B, lab.communication(B))], over(100)), np.eye(2) / 2)
    (pair,) = lab.plane.oracle.pairs
    assert (pair.lost_ps, pair.fidelity_at_home) == (over(100), 0.25)


def test_a_dead_node_does_not_emit_at_the_instant_of_its_death() -> None:
    lab = bench(ToldLink(1))
    lab.train(A, 0, 100, 1, 10)
    lab.train(B, 0, 100, 1, 10)
    listen = lab.listen(0, 100, 1, 10)
    death = 100 * SLOT - ARM_A
    lab.run(death)
    lab.plane.reset_node(A, death)
    lab.run()
    assert lab.answers[listen][1].outcome == FAIL


def test_a_dead_station_listens_no_more_and_the_next_may() -> None:
    lab = bench(ToldLink(20))
    for node in (A, B):
        lab.train(node, 0, 100, 1, 100)
    listen = lab.listen(0, 100, 1, 100)
    lab.run(over(109))
    lab.plane.reset_node(STATION, over(109))
    again = lab.listen(over(109), 100, 1, 100)
    lab.run()
    assert listen not in lab.answers
    # Slots 100 .. 108 were attempts; 109 was cut off.
    assert lab.answers[again][1] == DeviceHerald(PLUS, 120)


# --------------------------------------------------------------------------------------------------- teleport


S2 = 1 / sqrt(2)
SIX: list[tuple[str, tuple[complex, complex]]] = [
    ("", (1, 0)), ("x", (0, 1)), ("h", (S2, S2)), ("x h", (S2, -S2)), ("h s", (S2, 1j * S2)),
    ("h sdg", (S2, -1j * S2)),
]  # fmt: skip


def teleport(lab: Bench, t: int, preparation: str, ket: tuple[complex, complex], index: int) -> float:
    """Over the pair that the communication qubits hold at `t`; true fidelity of what arrives."""
    q, c = lab.data(A), lab.communication(A)
    program = Program().init(q)
    for name in preparation.split():
        getattr(program, name)(q)
    due, answer = lab.ask(A, t, program.bell_measure(q, c))
    there = lab.communication(B)
    due, _ = lab.ask(B, due, Program().pauli(there, teleport_correction(index, *answer.bits)))
    return lab.plane.oracle.fidelity([(B, there)], np.array(ket, complex), due)


@pytest.mark.parametrize("index", [2, 3])
def test_six_states_are_teleported_through_a_heralded_pair(index: int) -> None:
    lab = bench(ToldLink(*[1] * 6, outcome=index), timed())
    for turn, (preparation, ket) in enumerate(SIX):
        first = 1000 * turn + 100
        for node in (A, B):
            lab.train(node, 1000 * turn * SLOT, first)
        lab.listen(1000 * turn * SLOT, first)
        t = (first + 50) * SLOT
        lab.run(t)
        assert teleport(lab, t, preparation, ket, index) == pytest.approx(1)


@pytest.mark.parametrize("fidelity", [0.8, 0.9])
def test_the_average_fidelity_of_a_teleport_is_that_of_its_pair(fidelity: float) -> None:
    """F_avg = (2 F + 1)/3 (Horodecki 1999), exact over the six Pauli eigenstates: .86667, .93333."""
    lab = bench(ToldLink(*[1] * 6, fidelity=fidelity))
    found = []
    for turn, (preparation, ket) in enumerate(SIX):
        first = 1000 * turn + 100
        for node in (A, B):
            lab.train(node, 1000 * turn * SLOT, first)
        lab.listen(1000 * turn * SLOT, first)
        t = (first + 50) * SLOT
        lab.run(t)
        found.append(teleport(lab, t, preparation, ket, 2))
    assert np.mean(found) == pytest.approx((2 * fidelity + 1) / 3)
    for pair in lab.plane.oracle.pairs:
        assert pair.fidelity_at_emission == pytest.approx(fidelity)


def test_trajectories_teleport_too() -> None:
    lab = bench(ToldLink(1), timed(), formalism="trajectory")
    for node in (A, B):
        lab.train(node, 0, 100)
    lab.listen(0, 100)
    lab.run(200 * SLOT)
    assert teleport(lab, 200 * SLOT, "h s", (S2, 1j * S2), 2) == pytest.approx(1)


# ----------------------------------------------------------------------------------------- damage by attempts


def test_each_emission_dephases_what_the_node_stores() -> None:
    lab = bench(ToldLink(), DeviceModel(1, 1, attempt_dephasing=0.01))
    q = lab.data(A)
    lab.ask(A, 0, Program().init(q).h(q))
    lab.train(A, NS, 100, 1, 30)
    plus = np.array([S2, S2], complex)
    halfway = 115 * SLOT - ARM_A
    lab.run(halfway + 1)
    assert lab.plane.oracle.fidelity([(A, q)], plus, halfway) == pytest.approx((1 + 0.98**16) / 2)
    lab.ask(A, halfway + 1, Program().idle(q, NS))
    lab.run()
    end = 10**9
    assert lab.plane.oracle.fidelity([(A, q)], plus, end) == pytest.approx((1 + 0.98**30) / 2)
    lab.ask(A, end, Program().z(q))
    minus = np.array([S2, -S2], complex)
    assert lab.plane.oracle.fidelity([(A, q)], minus, end) == pytest.approx((1 + 0.98**30) / 2)
