"""The quantum plane: trains, listens and heralds in time; who may do what; what the clocks ask.

DEV-n: device.toml. Slots of 1 us, arms of 5 us and 12 us, attempts of 25 ns; links herald when told to.
"""

import struct
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plane_bench import ARM_A, ARM_B, ATTEMPT, FAR, NS, SLOT, STATION, A, B, ToldLink, bench, noisy

from protocols.device import Durations, Program, pack_handle
from protocols.wire import (
    DeviceBits,
    DeviceDone,
    DeviceError,
    DeviceFailed,
    DeviceHerald,
    DeviceListen,
    DeviceOpcode,
    DeviceOutcome,
    DeviceStopListen,
    DeviceStopTrain,
    DeviceTrain,
    DeviceTrainDone,
)
from testbed.plane import DeviceModel, LinkConfig, PlaneConfig
from testbed.plane.events import NEVER
from testbed.plane.programs import Preparer, prepare
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
    lab = bench(ToldLink(2, 3))
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


@given(st.data())
@settings(max_examples=60)
def test_programs_that_differ_in_their_qubits_only_are_compiled_once(data: Any) -> None:
    """Whatever a program does, and however broken its bytes are: what is remembered of another says the same."""
    durations = Durations(init_ps=NS, one_qubit_ps=20 * NS, two_qubit_ps=100 * NS, parallel=data.draw(st.booleans()))
    handles = [index << 16 | generation for index in (0, 1, 2) for generation in (0, 1, 7)]
    handle = st.sampled_from(handles)
    opcode = st.sampled_from([int(code) for code in DeviceOpcode] + [99])
    row = st.tuples(opcode, st.sampled_from([0, 0, 0, 1]), handle, handle, st.integers(-5, 5), st.integers(0, 3))
    rows = data.draw(st.lists(row, max_size=6))
    ops = b"".join(struct.pack("!BBIIiIB", *one, 0) for one in rows)
    body = (bytes([len(rows)]) + ops)[: data.draw(st.sampled_from([None, None, None, -1]))]
    renewed = bytearray(body)
    for start in range(3, len(body) - 7, 19):
        for at in (start, start + 4):
            generation = int.from_bytes(body[at + 2 : at + 4], "big")
            renewed[at + 2 : at + 4] = (generation * 3 + 11).to_bytes(2, "big")
            renewed[at : at + 2] = (40 - int.from_bytes(body[at : at + 2], "big")).to_bytes(2, "big")
    preparer = Preparer(durations, 8)
    for seen in (body, bytes(renewed), body):
        assert preparer.prepare(seen) == prepare(durations, seen)
    assert preparer._prepare.cache_info().misses == 1
