"""The quantum plane's links: trains, listens, heralds, what emissions destroy, deaths.

DEV-n: protocols/device.toml. Slots of 1 us, arms of 5 us and 12 us, attempts of 25 ns; most links herald when
told to.
"""

from itertools import product
from math import exp, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plane_bench import ARM_A, ARM_B, ATTEMPT, FAR, NS, SLOT, STATION, A, B, Bench, ToldLink, bench, timed

from protocols.bell import teleport_correction
from protocols.device import Program, pack_handle
from protocols.wire import (
    DeviceBits,
    DeviceDone,
    DeviceError,
    DeviceFailed,
    DeviceHerald,
    DeviceListen,
    DeviceOutcome,
    DeviceStopListen,
    DeviceStopTrain,
    DeviceTrain,
    DeviceTrainDone,
)
from testbed.plane import BELL_KETS, DeviceModel, LinkConfig, Plane, PlaneConfig
from testbed.plane.events import NEVER
from testbed.plane.links import LinkParameters, make_link
from testbed.plane.slots import NO_SLOTS, Slots

PLUS, MINUS, FAIL = DeviceOutcome.PSI_PLUS, DeviceOutcome.PSI_MINUS, DeviceOutcome.FAIL


def over(slot: int) -> int:
    """When the station knows about a slot."""
    return slot * SLOT + ATTEMPT


def home(slot: int, arm: int) -> int:
    """When a node could know about it."""
    return over(slot) + NS + arm


# ------------------------------------------------------------------------------------------------------ slots

rows = st.builds(Slots, st.integers(0, 60), st.integers(1, 12), st.integers(1, 12))


def members(row: Slots) -> list[int]:
    return [row.nth(index) for index in range(row.size)]


@given(rows, rows)
def test_rows_meet_in_what_they_share(a: Slots, b: Slots) -> None:
    assert members(a.meet(b)) == sorted(set(members(a)) & set(members(b)))


@given(rows, st.integers(-5, 200))
def test_rows_are_cut_and_counted(row: Slots, slot: int) -> None:
    inside = members(row)
    assert members(row.starting(slot)) == [s for s in inside if s >= slot]
    assert members(row.ending(slot)) == [s for s in inside if s <= slot]
    assert row.upto(slot) == sum(s <= slot for s in inside)
    assert row.after(slot) == next((s for s in inside if s > slot), None)


def test_long_rows_cost_nothing() -> None:
    a, b = Slots(3, 7, 10**12), Slots(5, 11, 10**12)
    assert a.meet(b) == Slots(38, 77, (a.last - 38) // 77 + 1)
    assert NO_SLOTS.meet(a) == a.meet(NO_SLOTS) == NO_SLOTS


# ------------------------------------------------------------------------------- who hears what when (DEV-13)


def test_the_herald_names_the_slot_and_comes_when_the_attempt_is_over() -> None:
    lab = bench(ToldLink(4))
    trains = [lab.train(node, 0, 100, 30, 20) for node in (A, B)]
    listen = lab.listen(0, 100, 30, 20)
    lab.run()
    assert lab.answers[listen] == (over(190) + NS, DeviceHerald(PLUS, 190))
    for train, arm in zip(trains, (ARM_A, ARM_B), strict=True):
        assert lab.answers[train] == (home(670, arm) + NS, DeviceTrainDone(20, 670))


def test_only_slots_in_which_both_emit_and_the_station_listens_are_attempts() -> None:
    lab = bench(ToldLink(3))
    lab.train(A, 0, 100, 2, 1000)
    lab.train(B, 0, 101, 3, 1000)
    listen = lab.listen(0, 100, 5, 1000)
    lab.run()
    # Even, 101 + 3j, multiples of 5: 110, 140, 170, ...
    assert lab.answers[listen][1] == DeviceHerald(PLUS, 170)


def test_without_a_success_the_listen_fails_after_its_last_slot() -> None:
    lab = bench(ToldLink())
    for node in (A, B):
        lab.train(node, 0, 100, 1, 500)
    listen = lab.listen(0, 100, 10, 20)
    lab.run()
    assert lab.answers[listen] == (over(290) + NS, DeviceHerald(FAIL, 290))


def test_a_listen_to_a_silent_link_fails_in_time() -> None:
    lab = bench(ToldLink(1))
    lab.train(A, 0, 100, 1, 500)
    listen = lab.listen(0, 100, 1, 20)
    lab.run()
    assert lab.answers[listen] == (over(119) + NS, DeviceHerald(FAIL, 119))


def test_the_first_success_ends_the_listen_and_the_next_listen_goes_on() -> None:
    lab = bench(ToldLink(2, 3), slot_ps=SLOT)
    for node in (A, B):
        lab.train(node, 0, 100, 40, 20)
    first = lab.listen(0, 100, 1, 10_000)
    lab.run(over(140) + NS)
    assert lab.answers[first][1] == DeviceHerald(PLUS, 140)
    second = lab.listen(over(140) + NS, 141, 1, 10_000)
    lab.run()
    assert lab.answers[second][1] == DeviceHerald(PLUS, 260)


def test_attempts_made_in_vain_count_towards_the_next_success() -> None:
    lab = bench(ToldLink(7))
    for node in (A, B):
        lab.train(node, 0, 100, 1, 100)
    first = lab.listen(0, 100, 1, 5)
    lab.run(over(104) + 1)
    second = lab.listen(over(104) + NS, 110, 1, 50)
    lab.run()
    assert lab.answers[first][1] == DeviceHerald(FAIL, 104)
    assert lab.answers[second][1] == DeviceHerald(PLUS, 111)


def test_a_listen_covers_slots_that_begin_when_it_is_commanded_or_later() -> None:
    for late, slot in ((0, 100), (1, 101)):
        lab = bench(ToldLink(1))
        for node in (A, B):
            lab.train(node, 0, 50, 1, 100)
        listen = lab.listen(100 * SLOT + late, 100, 1, 50)
        lab.run()
        assert lab.answers[listen][1] == DeviceHerald(PLUS, slot)
    lab = bench()
    listen = lab.listen(100 * SLOT, 10, 1, 50)
    lab.run()
    assert lab.answers[listen] == (100 * SLOT + NS, DeviceHerald(FAIL, 0))


def test_trains_that_come_late_skip_what_is_past() -> None:  # DEV-10
    lab = bench(ToldLink(1))
    lab.train(A, 0, 100, 1, 100)
    late = lab.train(B, 110 * SLOT - ARM_B + 1, 100, 1, 20)
    gone = lab.train(B, 200 * SLOT, 100, 1, 20, qubit=1)
    listen = lab.listen(0, 100, 1, 100)
    lab.run()
    assert lab.answers[listen][1] == DeviceHerald(PLUS, 111)
    assert lab.answers[late] == (home(119, ARM_B) + NS, DeviceTrainDone(9, 119))
    assert lab.answers[gone] == (200 * SLOT + NS, DeviceTrainDone(0, 0))


def test_a_train_that_comes_while_the_station_listens_brings_the_herald_sooner() -> None:
    lab = bench(ToldLink(50, 1))
    lab.train(A, 0, 100, 2, 500)
    lab.train(A, 0, 101, 2, 500, qubit=1)
    lab.train(B, 0, 100, 2, 500)
    listen = lab.listen(0, 100, 1, 1000)
    lab.run(120 * SLOT)
    lab.train(B, 120 * SLOT, 141, 2, 10, qubit=1)
    lab.run()
    assert lab.answers[listen][1] == DeviceHerald(PLUS, 141)


def test_a_stop_puts_the_success_off_and_later_attempts_go_on_counting() -> None:
    lab = bench(ToldLink(20))
    lab.train(A, 0, 100, 1, 300)
    lab.train(B, 0, 100, 1, 10)
    listen = lab.listen(0, 100, 1, 300)
    lab.run()
    assert lab.answers[listen][1] == DeviceHerald(FAIL, 399)


def test_equal_trains_of_different_brightness_never_herald() -> None:
    lab = bench(ToldLink(1))
    lab.train(A, 0, 100, 1, 10, alpha=1 << 30)
    lab.train(B, 0, 100, 1, 10, alpha=1 << 29)
    listen = lab.listen(0, 100, 1, 10)
    lab.run()
    assert lab.answers[listen][1].outcome == FAIL


def test_stop_listening_answers_both() -> None:  # DEV-14
    lab = bench(ToldLink(50))
    for node in (A, B):
        lab.train(node, 0, 100, 1, 100)
    listen = lab.listen(0, 100, 1, 100)
    stop = lab.stop_listening(over(110))
    idle = lab.stop_listening(over(110) + 1)
    again = lab.listen(over(110) + 2, 100, 1, 1000)
    lab.run()
    assert lab.answers[listen] == (over(110) + NS, DeviceHerald(FAIL, 110))
    assert lab.answers[stop] == (over(110) + NS, DeviceDone())
    assert lab.answers[idle][1] == DeviceDone()
    # Slots 100 .. 110 were eleven attempts; the fiftieth is in slot 149.
    assert lab.answers[again][1] == DeviceHerald(PLUS, 149)


def test_an_interrupted_attempt_is_none() -> None:
    lab = bench(ToldLink(11))
    for node in (A, B):
        lab.train(node, 0, 100, 1, 100)
    listen = lab.listen(0, 100, 1, 100)
    lab.stop_listening(over(110) - 1)
    again = lab.listen(over(110), 100, 1, 100)
    lab.run()
    assert lab.answers[listen][1] == DeviceHerald(FAIL, 109)
    assert lab.answers[again][1] == DeviceHerald(PLUS, 111)


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

    def expected(now: int) -> float:
        """Psi+ under damping of both halves: |01> and |10> survive with the half that is excited."""
        ages = [now - (100 * SLOT - arm) for arm in (ARM_A, ARM_B)]
        return (sum(exp(-age / t1) for age in ages) / 2 + exp(-sum(ages) / t2)) / 2

    assert lab.pair_fidelity(200 * SLOT) == pytest.approx(expected(200 * SLOT))
    for node, arm in ((A, ARM_A), (B, ARM_B)):
        excited = lab.plane.oracle.density([(node, lab.communication(node))], 200 * SLOT)[1, 1].real
        assert excited == pytest.approx(exp(-(100 * SLOT + arm) / t1) / 2)
    (pair,) = lab.plane.oracle.pairs
    assert pair.fidelity_at_emission == pytest.approx(1)
    assert pair.fidelity_at_home == pytest.approx(expected(home(100, ARM_B)))


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


# ------------------------------------------------------------------------------------ who may do what (DEV-9)


def test_a_qubit_is_busy_from_train_to_train_done() -> None:
    lab = bench()
    c = lab.communication(A)
    train = lab.train(A, 0, 100)
    early = lab.command(A, 1, Program().init(c))
    again = lab.train(A, 2, 500)
    last = lab.command(A, home(100, ARM_A) - 1, Program().init(c))
    free = lab.command(A, home(100, ARM_A) + NS, Program().init(c))
    data = lab.command(A, 3, Program().init(lab.data(A)))
    lab.run()
    for refused in (early, again, last):
        assert lab.answers[refused][1] == DeviceFailed(DeviceError.BUSY, 0)
    assert lab.answers[train][0] == home(100, ARM_A) + NS
    assert lab.answers[free][1] == lab.answers[data][1] == DeviceBits(b"")


def test_a_stopped_train_is_over_when_its_last_photon_has_been_judged() -> None:  # DEV-12
    lab = bench(ToldLink(1))
    train = lab.train(A, 0, 100, 1, 100)
    lab.train(B, 0, 100, 1, 100)
    listen = lab.listen(0, 103)
    first = lab.stop(A, 103 * SLOT - ARM_A)
    second = lab.stop(A, 103 * SLOT - ARM_A + 1)
    lab.run()
    due = home(103, ARM_A) + NS
    for key in (train, first, second):
        assert lab.answers[key] == (due, DeviceTrainDone(4, 103))
    # A stop does not call back what is on the way: slot 103 still heralds.
    assert lab.answers[listen][1] == DeviceHerald(PLUS, 103)


def test_two_trains_of_a_node_share_a_link_but_no_slot() -> None:  # DEV-10
    lab = bench(ToldLink(100, 2))
    for node in (A, B):
        lab.train(node, 0, 100, 40, 10)
        lab.train(node, 0, 120, 40, 10, qubit=1)
    clash = lab.command(A, 1, DeviceTrain(1, lab.communication(A, 1), 140, 1, 1, 0))
    listen = lab.listen(0, 100, 1, 1000)
    lab.run()
    assert lab.answers[clash][1] == DeviceFailed(DeviceError.BUSY, 0)
    assert lab.answers[listen][1] == DeviceHerald(PLUS, 160)


def test_a_shared_slot_is_busy_with_a_free_qubit_too() -> None:
    lab = bench()
    lab.train(A, 0, 100, 2, 10)
    clash = lab.train(A, 0, 101, 3, 10, qubit=1)
    beside = lab.train(A, 1, 101, 2, 10, qubit=1)
    lab.run()
    assert lab.answers[clash][1] == DeviceFailed(DeviceError.BUSY, 0)
    assert lab.answers[beside][1] == DeviceTrainDone(10, 119)


@pytest.mark.parametrize(
    ("node", "message", "error"),
    [
        (A, DeviceTrain(2, pack_handle(2), 9, 1, 1, 0), DeviceError.NO_LINK),
        (FAR, DeviceTrain(1, pack_handle(2), 9, 1, 1, 0), DeviceError.NO_LINK),
        (STATION, DeviceTrain(1, pack_handle(2), 9, 1, 1, 0), DeviceError.NO_LINK),
        (A, DeviceTrain(1, pack_handle(9), 9, 1, 1, 0), DeviceError.FOREIGN),
        (A, DeviceTrain(1, pack_handle(2, 2), 9, 1, 1, 0), DeviceError.STALE),
        (A, DeviceTrain(1, pack_handle(0), 9, 1, 1, 0), DeviceError.BAD),
        (A, DeviceTrain(1, pack_handle(2), 9, 1, 0, 0), DeviceError.BAD),
        (A, DeviceTrain(1, pack_handle(2), 9, 0, 2, 0), DeviceError.BAD),
        (A, DeviceTrain(1, pack_handle(2), 1 << 60, 1, 1, 0), DeviceError.BAD),
        (A, DeviceListen(1, 9, 1, 1), DeviceError.NO_LINK),
        (STATION, DeviceListen(2, 9, 1, 1), DeviceError.NO_LINK),
        (STATION, DeviceListen(1, 9, 1, 0), DeviceError.BAD),
        (STATION, DeviceListen(1, 9, 0, 2), DeviceError.BAD),
        (B, DeviceStopTrain(7, pack_handle(2)), DeviceError.NO_LINK),
        (B, DeviceStopTrain(1, pack_handle(4)), DeviceError.FOREIGN),
        (B, DeviceStopTrain(1, pack_handle(2, 7)), DeviceError.STALE),
        (B, DeviceStopListen(1), DeviceError.NO_LINK),
    ],
)
def test_what_a_node_may_not_do_fails_at_once(node: int, message: Any, error: DeviceError) -> None:
    lab = bench()
    assert lab.ask(node, 5, message) == (5 + NS, DeviceFailed(error, 0))
    assert lab.plane.next_ps() == NEVER


def test_one_listen_at_a_time() -> None:
    lab = bench()
    lab.listen(0, 100, 1, 10)
    second = lab.listen(1, 200)
    lab.run()
    assert lab.answers[second] == (1 + NS, DeviceFailed(DeviceError.BUSY, 0))


def test_stopping_what_does_not_run_is_done() -> None:
    lab = bench()
    assert lab.ask(A, 0, DeviceStopTrain(1, pack_handle(2))) == (NS, DeviceDone())
    assert lab.ask(A, 0, DeviceStopTrain(1, pack_handle(0))) == (NS, DeviceDone())
    assert lab.ask(STATION, 0, DeviceStopListen(1)) == (NS, DeviceDone())


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
    assert [handle & 0xFFFF for handle in lab.plane.handles(A)] == [2, 2, 2, 2]
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


# -------------------------------------------------------------------------------------------- what clocks ask


def test_promises_are_as_good_as_the_plane_knows() -> None:
    lab = bench(ToldLink(4))
    plane = lab.plane
    lab.train(A, 0, 100, 30, 20)
    lab.listen(0, 100, 30, 20)
    lab.run(1)
    assert plane.promise(A) == home(670, ARM_A) + NS
    assert plane.promise(STATION) == over(670) + NS  # nothing can herald yet
    assert plane.promise(B) == plane.promise(FAR) == NEVER
    lab.train(B, 10, 160, 30, 20)
    assert plane.promise(STATION) == over(160) + NS  # the first slot that the new train could make succeed
    lab.run(11)
    assert plane.promise(STATION) == over(250) + NS  # the fourth common slot


def test_a_train_that_dies_before_it_is_executed_promises_nothing() -> None:
    lab = bench(ToldLink(4))
    lab.listen(0, 100, 1, 1000)
    lab.run(1)
    lab.train(A, 10, 100)
    assert lab.plane.promise(STATION) == over(100) + NS
    lab.plane.reset_node(A, 10)
    assert lab.plane.promise(STATION) == over(1099) + NS
    lab.run()
    assert lab.plane.promise(STATION) == NEVER


def test_only_trains_reach_other_nodes() -> None:
    plane = bench().plane
    assert plane.reach_ps(A, STATION) == ARM_A + ATTEMPT + NS
    assert plane.reach_ps(B, STATION) == ARM_B + ATTEMPT + NS
    for source, destination in product((A, B, STATION, FAR), (A, B, FAR)):
        assert plane.reach_ps(source, destination) == NEVER
    # The bound is reached: a train whose first emission is at its command.
    lab = bench(ToldLink(1))
    lab.train(B, 0, 100)
    listen = lab.listen(0, 100)
    lab.train(A, 100 * SLOT - ARM_A, 100)
    lab.run()
    assert lab.answers[listen][0] == 100 * SLOT - ARM_A + plane.reach_ps(A, STATION)


def test_what_is_cancelled_does_not_pile_up() -> None:
    lab = bench(ToldLink(*[1] * 1000))
    plane = lab.plane
    for turn in range(300):
        t = turn * 200 * SLOT
        for node in (A, B):
            lab.train(node, t, turn * 200 + 100, 60, 1_000_000)
            lab.stop(node, t + 140 * SLOT)
        lab.listen(t, turn * 200 + 100, 1, 1_000_000)
        lab.run(t + 190 * SLOT)
    assert len(lab.plane.oracle.pairs) == 300
    assert len(plane._events._heap) < 300
    assert plane.next_ps() == NEVER


def test_a_pair_costs_the_same_whatever_it_took() -> None:
    """A million slots at p = 1e-5: counted in events, since no test measures wall time."""
    lab = bench(ToldLink(123_456))
    for node in (A, B):
        lab.train(node, 0, 100, 30, 1_000_000)
    listen = lab.listen(0, 100, 30, 1_000_000)
    steps = 0
    while listen not in lab.answers:
        lab.step()
        steps += 1
    assert lab.answers[listen][1] == DeviceHerald(PLUS, 100 + 30 * 123_455)
    assert steps == 6  # three commands, two first emissions, one decision


# -------------------------------------------------------------------------------------- the oracle and chance


def traffic(lab: Bench) -> list[Any]:
    """A bit of everything, on a noisy link; the raw answers."""
    q = lab.data(A)
    for turn in range(30):
        t = turn * 400 * SLOT
        for node in (A, B):
            lab.train(node, t, turn * 400 + 100, 35, 8)
            lab.stop(node, t + (200 + 20 * node) * SLOT)
        lab.listen(t, turn * 400 + 100, 1, 200)
        lab.run(t + 399 * SLOT)
        lab.command(A, t + 399 * SLOT, Program().init(q).h(q).cx(lab.communication(A), q).measure(q))
        lab.command(B, t + 399 * SLOT, Program().measure(lab.communication(B)))
    lab.run()
    return lab.raw


def noisy(kind: str = "single-click", grade: Any = "sampled", seed: int = 3, **changes: Any) -> Any:
    values = {
        "arm_a_m": 1000,
        "arm_b_m": 2400,
        "attenuation_db_per_km": 0.2,
        "efficiency_a": 0.6,
        "efficiency_b": 0.6,
        "detector_efficiency": 0.9,
        "dark_probability": 1e-4,
        "visibility": 0.95,
        "alpha": 0.2,
        "round_gap_ps": 100_000,
    }
    return make_link(kind, LinkParameters(**(values | changes)), grade, "link", seed)


DECAYING = DeviceModel(2, 2, 10**11, 10**11, 10**11, 10**11, readout_error_0=0.01, init_error=0.01)


def test_the_oracle_changes_nothing() -> None:
    with_it = bench(noisy(), DECAYING, oracle=True)
    without = bench(noisy(), DECAYING, oracle=False)
    asked = bench(noisy(), DECAYING, oracle=True)
    step = asked.step

    def curious() -> None:
        step()
        asked.pair_fidelity(asked.plane._events.now)
        asked.plane.oracle.density([(A, asked.data(A)), (B, asked.communication(B))], 10**15)

    asked.step = curious  # type: ignore[method-assign]
    assert traffic(with_it) == traffic(without) == traffic(asked)
    assert len(with_it.plane.oracle.pairs) > 5
    with pytest.raises(LookupError, match="oracle=True"):
        _ = without.plane.oracle.pairs
    with pytest.raises(LookupError, match="STALE"):
        asked.plane.oracle.density([(A, pack_handle(0, 7))], 0)


def test_equal_commands_give_equal_answers_and_other_links_move_nothing() -> None:
    first = traffic(bench(noisy(), DECAYING))
    assert traffic(bench(noisy(), DECAYING)) == first
    assert traffic(bench(noisy(), DECAYING, seed=8)) != first
    lab = bench(noisy(), DECAYING)
    config = lab.plane.config
    known = noisy().parameters
    more = LinkConfig(FAR, A, STATION, SLOT, known.arm_a_ps, known.arm_b_ps, noisy())
    wide = Bench(Plane(PlaneConfig(config.seed, config.nodes, {1: config.links[1], 2: more})))
    busy = [
        (FAR, DeviceTrain(2, pack_handle(2), 50, 1, 9000, 0)),
        (A, DeviceTrain(2, pack_handle(3), 50, 1, 9000, 0)),
        (STATION, DeviceListen(2, 50, 1, 9000)),
        (FAR, Program().init(pack_handle(0)).h(pack_handle(0)).measure(pack_handle(0))),
    ]
    wide._sequence = 10_000
    extra = {wide.command(node, 0, message) for node, message in busy}
    wide._sequence = 0
    answers = [answer for answer in traffic(wide) if (answer.node, answer.sequence) not in extra]
    assert answers == first


@pytest.mark.parametrize("kind", ["single-click", "barrett-kok"])
def test_the_law_holds_through_stops_and_interruptions(kind: str) -> None:
    """Trains of four attempts, listens of three, again and again: of n attempts np herald.

    About 6,000 attempts; 5.1 sigma two-sided is a false alarm of 3.4e-7 for each kind.
    """
    link = noisy(kind)
    p = link.success_probability(0.2)
    lab = bench(link, oracle=False)
    attempts = successes = 0
    t = 0
    for _ in range(2000):
        first = t // SLOT + 40
        for node in (A, B):
            lab.train(node, t, first, 1, 4)
        heard = lab.listen(t, first, 1, 3)
        lab.run(t + 90 * SLOT)
        slot = lab.answers[heard][1].slot
        attempts += slot - first + 1
        successes += lab.answers[heard][1].outcome != FAIL
        t += 90 * SLOT
    assert abs(successes - attempts * p) < 5.1 * sqrt(attempts * p * (1 - p))


@pytest.mark.parametrize("kind", ["single-click", "barrett-kok"])
def test_photonic_links_herald_by_the_same_law(kind: str) -> None:
    """Attempts to the first success: mean 1/p, deviation sqrt(1-p)/p; 150 pairs, 5.1 sigma two-sided."""
    link = noisy(kind, "photonic")
    p = link.success_probability(0.2)
    lab = bench(link)
    attempts = []
    t = 0
    while len(attempts) < 150:
        first = t // SLOT + 40
        for node in (A, B):
            lab.train(node, t, first, 1, 100_000)
        listen = lab.listen(t, first, 1, 100_000)
        while listen not in lab.answers:
            lab.step()
        due, herald = lab.answers[listen]
        assert due == herald.slot * SLOT + link.attempt_ps + NS
        attempts.append(herald.slot - first + 1)
        for node in (A, B):
            lab.stop(node, due + 30 * SLOT)
        lab.run(due + 100 * SLOT)
        t = (due // SLOT + 100) * SLOT
    mean = float(np.mean(attempts))
    assert abs(mean - 1 / p) < 5.1 * sqrt((1 - p) / len(attempts)) / p
    true = float(np.mean([pair.fidelity_at_emission for pair in lab.plane.oracle.pairs]))
    wanted = link.heralded_fidelity(0.2)
    # A number within [0, 1] and of mean F varies by F (1 - F) at most.
    assert abs(true - wanted) < 5.1 * sqrt(wanted * (1 - wanted) / len(attempts))


def test_a_photonic_link_obeys_trains_and_listens() -> None:
    perfect = {
        "arm_b_m": 1000,
        "efficiency_a": 1,
        "efficiency_b": 1,
        "detector_efficiency": 1,
        "visibility": 1,
    }
    link = noisy("barrett-kok", "photonic", attenuation_db_per_km=0, dark_probability=0, **perfect)
    assert link.success_probability(0.5) == pytest.approx(0.5)
    lab = bench(link)
    lab.train(A, 0, 100, 2, 500)
    lab.train(B, 0, 100, 3, 500)
    slots = []
    t = 0
    for _ in range(40):
        key = lab.listen(t, 100, 1, 10_000)
        while key not in lab.answers:
            lab.step()
        t, herald = lab.answers[key]
        slots.append(herald.slot)
    assert all((slot - 100) % 6 == 0 for slot in slots)
    assert sorted(set(slots)) == slots
    for node in (A, B):
        lab.stop(node, t)
    listen = lab.listen(t, 0, 1, t // SLOT + 1000)
    lab.run()
    # What was emitted before the stop is judged; then there is silence.
    assert lab.answers[listen][1].slot <= t // SLOT + 1000


# --------------------------------------------------------------------------------------------------- teleport


def test_what_is_stopped_between_two_emissions_does_not_herald() -> None:
    """B emits first, and the photonic attempt begins with that; A stops just before its own emission, or after."""
    perfect = {"efficiency_a": 1, "efficiency_b": 1, "detector_efficiency": 1, "visibility": 1}
    for after, some in ((-1, False), (0, True)):
        heralds = 0
        for seed in range(20):
            link = noisy("barrett-kok", "photonic", seed, dark_probability=0, **perfect)
            lab = bench(link)
            for node in (A, B):
                lab.train(node, 0, 100, 1, 200)
            lab.listen(0, 100)
            lab.stop(A, 100 * SLOT - link.parameters.arm_a_ps + after)
            lab.run()
            heralds += len(lab.plane.oracle.pairs)
        assert (heralds > 0) == some


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


def test_the_average_fidelity_of_a_teleport_is_that_of_its_pair() -> None:
    """F_avg = (2 F + 1)/3 (Horodecki 1999), exact over the six Pauli eigenstates; single-click pairs here."""
    link = noisy()
    fidelities, pairs = [], []
    for preparation, ket in SIX:
        for seed in range(12):
            lab = bench(noisy(), seed=seed)
            for node in (A, B):
                lab.train(node, 0, 100, 100, 1000)
            listen = lab.listen(0, 100, 100, 1000)
            while listen not in lab.answers:
                lab.step()
            due, herald = lab.answers[listen]
            for node in (A, B):
                lab.stop(node, due + 40 * SLOT)
            lab.run(due + 80 * SLOT)
            pairs.append(lab.plane.oracle.pairs[0].fidelity_at_emission)
            index = herald.outcome + 1
            fidelities.append(teleport(lab, due + 80 * SLOT, preparation, ket, index))
    assert np.mean(pairs) == pytest.approx(link.heralded_fidelity(0.2))
    # Each shot's fidelity depends on the Bell outcome; the spread over 72 shots bounds the error of the mean.
    spread = np.std(fidelities) / sqrt(len(fidelities))
    assert abs(np.mean(fidelities) - (2 * link.heralded_fidelity(0.2) + 1) / 3) < 5.1 * spread


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


# --------------------------------------------------------------------------------------------- configurations


def test_planes_that_cannot_be_are_refused() -> None:
    good = {"a": A, "b": B, "station": STATION, "slot_ps": SLOT, "arm_a_ps": 1, "arm_b_ps": 1}
    for wrong in ({"b": A}, {"slot_ps": 0}, {"arm_b_ps": -1}):
        with pytest.raises(ValueError):
            LinkConfig(**(good | wrong), model=ToldLink(1))
    with pytest.raises(ValueError, match="arm delays"):
        LinkConfig(**good, model=noisy(grade="photonic"))
    link = LinkConfig(**good, model=ToldLink(1))
    with pytest.raises(ValueError, match="no node 3"):
        PlaneConfig(1, {A: DeviceModel(0, 1), B: DeviceModel(0, 1)}, {1: link})
    with pytest.raises(ValueError, match="no communication qubit"):
        PlaneConfig(1, {A: DeviceModel(0, 1), B: DeviceModel(1, 0), STATION: None}, {1: link})
    assert BELL_KETS[0][0] == pytest.approx(S2)
