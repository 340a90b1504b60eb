"""Device programs: handles, timing, the builder, what the plane makes of them. DEV-n: device.toml."""

from math import pi, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plane_bench import FAR, IDEAL, NS, STATION, A, bench, timed

from protocols.device import (
    MAX_OPS,
    TWO_QUBIT,
    DeviceOp,
    DeviceOpcode,
    Durations,
    Program,
    fault,
    first_generation,
    next_generation,
    pack_handle,
    parity,
    radians,
    released,
    schedule,
    turn,
    unpack_handle,
)
from protocols.wire import DeviceBits, DeviceDone, DeviceError, DeviceFailed, DeviceProgram, DeviceStopTrain
from testbed.plane import BELL_KETS, DeviceModel

Q, R = pack_handle(0), pack_handle(1)
"""Handles of two data qubits."""

# ------------------------------------------------------------------------------------- handles (DEV-1, DEV-2)


@given(st.integers(0, 0xFFFF), st.integers(1, 0xFFFF))
def test_a_handle_says_which_qubit_and_which_generation(index: int, generation: int) -> None:
    handle = pack_handle(index, generation)
    assert handle == index << 16 | generation
    assert unpack_handle(handle) == (index, generation)


def test_generations_start_at_one_and_skip_zero() -> None:
    assert unpack_handle(pack_handle(3)).generation == 1
    assert next_generation(1) == 2
    assert next_generation(0xFFFF) == 1
    assert released(pack_handle(3, 0xFFFF)) == pack_handle(3, 1)


def test_a_node_and_its_devices_agree_on_the_generation_of_each_life() -> None:  # DEV-2
    assert [first_generation(life) for life in (1, 2, 3)] == [1, 4097, 8193]
    assert all(1 <= first_generation(life) <= 0xFFFF for life in range(1, 200))


@pytest.mark.parametrize(("index", "generation"), [(-1, 1), (1 << 16, 1), (0, 0), (0, 1 << 16)])
def test_what_is_no_handle_is_refused(index: int, generation: int) -> None:
    with pytest.raises(ValueError):
        pack_handle(index, generation)


# -------------------------------------------------------------------------------------- timing (DEV-4, DEV-5)

SOME = Durations(init_ps=7, one_qubit_ps=10, two_qubit_ps=100, swap_ps=300, measure_ps=1000)
SOME_PARALLEL = Durations(init_ps=7, one_qubit_ps=10, two_qubit_ps=100, swap_ps=300, measure_ps=1000, parallel=True)
PROGRAM = Program().init(Q).init(R).h(Q).measure(Q).x(R).cx(R, Q).x(R, parity(0))


def test_a_sequential_device_does_one_after_the_other() -> None:
    assert schedule(PROGRAM.ops, SOME) == ([0, 7, 14, 24, 1024, 1034, 1134], 1144)


def test_a_parallel_device_starts_as_soon_as_the_qubits_are_free() -> None:
    assert schedule(PROGRAM.ops, SOME_PARALLEL) == ([0, 0, 7, 17, 7, 1017, 1117], 1127)


def test_a_parallel_device_waits_for_the_results_a_condition_looks_at() -> None:
    program = Program().measure(Q).x(R, parity(0))
    assert schedule(program.ops, SOME_PARALLEL) == ([0, 1000], 1010)


def test_operations_last_what_the_device_says() -> None:
    program = Program().idle(Q, 1500).swap(Q, R).release(Q).cp(Q, R, pi).ry(R, 0.1)
    assert [SOME.of(op) for op in program.ops] == [2000, 300, 0, 100, 10]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=20))
def test_parallel_never_overlaps_a_qubit_and_never_takes_longer(
    steps: list[tuple[int, int, bool]],
) -> None:
    program = Program()
    for a, b, measure in steps:
        if a == b:
            program.measure(pack_handle(a)) if measure else program.x(pack_handle(a))
        else:
            program.cx(pack_handle(a), pack_handle(b))
    starts, total = schedule(program.ops, SOME_PARALLEL)
    busy: dict[int, int] = {}
    for op, start in zip(program.ops, starts, strict=True):
        for qubit in (op.qubit, op.other) if op.opcode in TWO_QUBIT else (op.qubit,):
            assert start >= busy.get(qubit, 0)
            busy[qubit] = start + SOME_PARALLEL.of(op)
    assert total == max(busy.values(), default=0)
    assert total <= schedule(program.ops, SOME)[1]


def test_negative_durations_are_refused() -> None:
    with pytest.raises(ValueError, match="measure_ps"):
        Durations(measure_ps=-1)


# ------------------------------------------------------------------------------------- builder (DEV-6, DEV-7)


def test_the_builder_writes_what_the_bus_carries() -> None:
    program = Program().init(Q).rx(R, pi / 2).measure(Q).z(R, parity(0, equals=0)).release(Q)
    assert DeviceProgram.unpack(bytes(program)).ops == (
        DeviceOp(DeviceOpcode.INIT, 0, Q),
        DeviceOp(DeviceOpcode.RX, 0, R, 0, 1 << 30),
        DeviceOp(DeviceOpcode.MEASURE, 0, Q),
        DeviceOp(DeviceOpcode.Z, 0, R, 0, 0, 1, 0),
        DeviceOp(DeviceOpcode.RELEASE, 0, Q),
    )
    assert program.measured == 1


def test_every_operation_has_a_method_and_the_default_condition() -> None:
    program = Program().init(Q).x(Q).y(Q).z(Q).h(Q).s(Q).sdg(Q).t(Q).tdg(Q).sx(Q).rx(Q, 1).ry(Q, 1).rz(Q, 1)
    program.cx(Q, R).cz(Q, R).swap(Q, R).cp(Q, R, 1).measure(Q).idle(Q, 5).release(Q)
    assert {op.opcode for op in program.ops} == set(DeviceOpcode)
    assert not any(op.condition for op in program.ops)


@pytest.mark.parametrize("angle", [0, 1, -1, pi, -pi, 3 * pi / 2, 100.0, -100.0])
def test_angles_wrap_and_return(angle: float) -> None:
    assert -(1 << 31) <= turn(angle) < 1 << 31
    assert abs(np.exp(1j * radians(turn(angle))) - np.exp(1j * angle)) < 2e-9


def test_a_joined_program_looks_at_its_own_results() -> None:
    first = Program().measure(Q)
    first.extend(Program().measure(R).x(Q, parity(0)))
    assert first.ops[-1].condition == 2


def test_the_builder_refuses_what_the_device_would() -> None:
    for wrong in (
        lambda: Program().cx(Q, Q),
        lambda: Program().x(Q, parity(0)),
        lambda: Program().idle(Q, -1),
        lambda: parity(32),
        lambda: parity(0, 0),
        lambda: parity(0, equals=2),
    ):
        with pytest.raises(ValueError):
            wrong()
    full = Program()
    for _ in range(MAX_OPS):
        full.x(Q)
    with pytest.raises(ValueError, match="at most"):
        full.x(Q)


def test_faults_name_the_first_operation_that_makes_no_sense() -> None:
    good = DeviceOp(DeviceOpcode.X, 0, Q)
    assert fault((good, good)) is None
    assert fault((good, good._replace(flags=1))) == 1
    assert fault((DeviceOp(DeviceOpcode.CX, 0, Q, pack_handle(0, 5)), good)) == 0
    assert fault((good._replace(condition=1),)) == 0
    assert fault((DeviceOp(DeviceOpcode.MEASURE, 0, Q), good._replace(condition=1))) is None
    assert fault((DeviceOp(DeviceOpcode.IDLE, 0, Q, 0, -1),)) == 0


# --------------------------------------------------------------------------------------------- on the devices

S2 = 1 / sqrt(2)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("x", (0, 1)), ("y", (0, 1j)), ("z", (1, 0)), ("h", (S2, S2)), ("s", (1, 0)), ("t", (1, 0)),
        ("sx", ((1 + 1j) / 2, (1 - 1j) / 2)),
    ],
)  # fmt: skip
def test_gates_do_to_zero_what_their_name_says(name: str, column: tuple[complex, complex]) -> None:
    lab = bench()
    program = Program().init(Q)
    getattr(program, name)(Q)
    due, answer = lab.ask(A, 0, program)
    assert answer == DeviceBits(b"")
    assert lab.plane.oracle.fidelity([(A, Q)], np.array(column, complex), due) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "phase"),
    [("s", 1j), ("sdg", -1j), ("t", np.exp(0.25j * pi)), ("tdg", np.exp(-0.25j * pi)), ("z", -1)],
)
def test_phase_gates_turn_plus(name: str, phase: complex) -> None:
    lab = bench()
    program = Program().init(Q).h(Q)
    getattr(program, name)(Q)
    due, _ = lab.ask(A, 0, program)
    assert lab.plane.oracle.fidelity([(A, Q)], np.array([S2, S2 * phase]), due) == pytest.approx(1)


@pytest.mark.parametrize("angle", [0.3, -2.0, 3.0])
def test_rotations_follow_their_formula(angle: float) -> None:
    cos, sin = np.cos(angle / 2), np.sin(angle / 2)
    wanted: dict[str, Any] = {"rx": [cos, -1j * sin], "ry": [cos, sin]}
    for name, ket in wanted.items():
        lab = bench()
        due, _ = lab.ask(A, 0, getattr(Program().init(Q), name)(Q, angle))
        assert lab.plane.oracle.fidelity([(A, Q)], np.array(ket, complex), due) == pytest.approx(1)
    lab = bench()
    due, _ = lab.ask(A, 0, Program().init(Q).h(Q).rz(Q, angle))
    ket = np.array([S2, S2 * np.exp(1j * angle)])
    assert lab.plane.oracle.fidelity([(A, Q)], ket, due) == pytest.approx(1)


def test_two_qubit_gates() -> None:
    lab = bench()
    due, _ = lab.ask(A, 0, Program().init(Q).init(R).h(Q).cx(Q, R))
    assert lab.plane.oracle.pair_fidelity((A, Q), (A, R), 0, due) == pytest.approx(1)
    due, _ = lab.ask(A, due, Program().init(Q).init(R).h(Q).h(R).cz(Q, R).h(R))
    assert lab.plane.oracle.pair_fidelity((A, Q), (A, R), 0, due) == pytest.approx(1)
    due, _ = lab.ask(A, due, Program().init(Q).init(R).x(Q).swap(Q, R))
    assert lab.plane.oracle.fidelity([(A, Q), (A, R)], np.array([0, 1, 0, 0]), due) == pytest.approx(1)
    due, _ = lab.ask(A, due, Program().init(Q).init(R).h(Q).x(R).cp(Q, R, 0.7))
    ket = np.array([0, S2, 0, S2 * np.exp(0.7j)])
    assert lab.plane.oracle.fidelity([(A, Q), (A, R)], ket, due) == pytest.approx(1)


def test_a_program_is_answered_when_it_has_ended_but_not_within_a_nanosecond() -> None:  # DEV-5
    assert bench().ask(A, 5, Program().x(Q)) == (5 + NS, DeviceBits(b""))
    sequential = bench(model=timed()).ask(A, 5, Program().init(Q).init(R).measure(Q))
    assert sequential[0] == 5 + 2_000_000 * 2 + 3_700_000
    parallel = bench(model=timed(parallel=True)).ask(A, 5, Program().init(Q).init(R).measure(Q))
    assert parallel[0] == 5 + 2_000_000 + 3_700_000


def test_the_answer_of_a_long_program_is_promised_when_it_is_submitted() -> None:
    lab = bench(model=timed())
    lab.command(A, 0, Program().init(Q).measure(Q))
    assert lab.plane.promise(A) == 5_700_000
    lab.plane.step()
    assert lab.plane.promise(A) == 5_700_000


def test_an_empty_program_is_answered_too() -> None:
    assert bench().ask(A, 0, Program()) == (NS, DeviceBits(b""))


def test_conditions_look_at_the_parity_of_results() -> None:  # DEV-6
    for first, second in ((0, 0), (0, 1), (1, 0), (1, 1)):
        lab = bench()
        c = lab.communication(A)
        program = Program().init(Q).init(R).init(c)
        if first:
            program.x(Q)
        if second:
            program.x(R)
        program.measure(Q).measure(R).x(c, parity(0, 1)).measure(c).x(c, parity(0, equals=0)).measure(c)
        odd = first ^ second
        assert lab.ask(A, 0, program)[1] == DeviceBits(bytes([first, second, odd, odd ^ 1 ^ first]))


def test_a_skipped_measurement_reads_zero_and_keeps_the_order() -> None:  # DEV-6
    lab = bench()
    program = Program().init(Q).init(R).x(R).measure(Q).measure(R, parity(0)).measure(R)
    assert lab.ask(A, 0, program)[1] == DeviceBits(b"\0\0\1")


def test_a_skipped_operation_takes_its_time() -> None:  # DEV-4
    lab = bench(model=timed())
    assert lab.ask(A, 0, Program().init(Q).measure(Q).x(R, parity(0)))[0] == 5_750_000


def test_a_program_may_have_more_results_than_conditions_can_name() -> None:
    lab = bench()
    program = Program().init(Q).x(Q)
    for _ in range(40):
        program.measure(Q)
    assert lab.ask(A, 0, program.x(Q, parity(31)).measure(Q))[1] == DeviceBits(b"\1" * 40 + b"\0")


def test_a_released_handle_is_stale_and_the_next_one_is_good() -> None:  # DEV-1, DEV-2
    lab = bench()
    lab.ask(A, 0, Program().init(Q).release(Q))
    assert lab.ask(A, NS, Program().x(Q))[1] == DeviceFailed(DeviceError.STALE, 0)
    assert lab.ask(A, 2 * NS, Program().init(released(Q)).measure(released(Q)))[1] == DeviceBits(b"\0")
    assert lab.plane.handles(A)[0] == released(Q)


def test_a_skipped_release_releases_nothing() -> None:
    lab = bench()
    lab.ask(A, 0, Program().init(Q).measure(Q).release(Q, parity(0)))
    assert lab.ask(A, NS, Program().x(Q))[1] == DeviceBits(b"")


def test_a_handle_is_stale_behind_its_own_release() -> None:  # DEV-8
    lab = bench()
    program = Program().init(Q).release(Q).x(Q)
    assert lab.ask(A, 0, program)[1] == DeviceFailed(DeviceError.STALE, 2)
    assert lab.plane.handles(A)[0] == Q


def test_a_released_qubit_leaves_its_pair_and_is_good_for_nothing_but_init() -> None:
    lab = bench()
    due, _ = lab.ask(A, 0, Program().init(Q).init(R).h(Q).cx(Q, R).release(Q))
    rho = lab.plane.oracle.density([(A, released(Q)), (A, R)], due)
    assert np.allclose(rho, np.eye(4) / 4)


@pytest.mark.parametrize(
    ("program", "error", "at"),
    [
        (Program().x(Q).x(pack_handle(9)), DeviceError.FOREIGN, 1),
        (Program().cx(Q, pack_handle(4)), DeviceError.FOREIGN, 0),
        (Program().x(Q).x(Q).cx(Q, pack_handle(1, 2)), DeviceError.STALE, 2),
        (Program().x(Q).x(pack_handle(0, 9)), DeviceError.STALE, 1),
    ],
)
def test_a_refused_program_changes_nothing(program: Program, error: DeviceError, at: int) -> None:  # DEV-3
    lab = bench()
    due, _ = lab.ask(A, 0, Program().init(Q).init(R).h(Q).cx(Q, R))
    before = lab.plane.oracle.density([(A, Q), (A, R)], due)
    assert lab.ask(A, due, program) == (due + NS, DeviceFailed(error, at))
    assert np.array_equal(lab.plane.oracle.density([(A, Q), (A, R)], due), before)
    assert lab.ask(A, due + NS, Program().measure(Q))[1] in (DeviceBits(b"\0"), DeviceBits(b"\1"))


def test_a_refused_program_is_answered_when_it_would_have_been() -> None:  # DEV-5
    assert bench(model=timed()).ask(A, 0, Program().init(Q).x(pack_handle(9)))[0] == 2_050_000


def test_a_qubit_is_busy_until_its_program_ends() -> None:  # DEV-9
    lab = bench(model=timed())
    first = lab.command(A, 0, Program().init(Q).init(R))
    busy = lab.command(A, 3_999_999, Program().x(Q))
    other = lab.command(A, 3_999_999, Program().x(lab.communication(A)))
    free = lab.command(A, 4_000_000, Program().x(Q))
    lab.run()
    assert lab.answers[first] == (4_000_000, DeviceBits(b""))
    assert lab.answers[busy][1] == DeviceFailed(DeviceError.BUSY, 0)
    assert lab.answers[other][1] == lab.answers[free][1] == DeviceBits(b"")


@pytest.mark.parametrize("body", [b"", b"\xff", b"\x01\x63" + bytes(18), bytes(Program().x(Q)) + b"\0"])
def test_bytes_that_are_no_program_are_bad(body: bytes) -> None:  # DEV-7
    lab = bench()
    lab.plane.submit(A, 0, 1, DeviceProgram.MESSAGE, body)
    lab.step()
    assert lab.answers[A, 1] == (NS, DeviceFailed(DeviceError.BAD, 0))


def test_operations_that_make_no_sense_are_bad() -> None:  # DEV-7
    lab = bench()
    good = DeviceOp(DeviceOpcode.X, 0, Q)
    for bad in (
        good._replace(flags=1),
        good._replace(condition=1),
        DeviceOp(DeviceOpcode.CZ, 0, Q, Q),
        DeviceOp(DeviceOpcode.IDLE, 0, Q, 0, -5),
    ):
        assert lab.ask(A, 0, DeviceProgram((good, bad)))[1] == DeviceFailed(DeviceError.BAD, 1)


def test_unknown_commands_are_bad_and_nodes_without_qubits_have_none() -> None:
    lab = bench()
    lab.plane.submit(A, 0, 1, 99, b"")
    lab.plane.submit(A, 0, 2, DeviceStopTrain.MESSAGE, b"short")
    lab.plane.submit(A, 0, 3, DeviceDone.MESSAGE, b"")
    lab.run()
    assert {answer for _, answer in lab.answers.values()} == {DeviceFailed(DeviceError.BAD, 0)}
    assert lab.ask(STATION, 0, Program().x(Q))[1] == DeviceFailed(DeviceError.FOREIGN, 0)


# ------------------------------------------------------------------------------------------------------ noise


def test_qubits_decay_while_operations_last() -> None:
    model = DeviceModel(2, 2, 10**9, 10**9, durations=Durations(one_qubit_ps=10**6, measure_ps=10**6))
    lab = bench(model=model)
    due, _ = lab.ask(A, 0, Program().init(Q).x(Q).idle(Q, 500 * 10**6))
    rho = lab.plane.oracle.density([(A, Q)], due)
    assert due == 501 * 10**6
    assert rho[1, 1].real == pytest.approx(np.exp(-0.501))


def test_gates_depolarise_by_their_average_fidelity() -> None:
    model = DeviceModel(2, 2, one_qubit_fidelity=0.98, two_qubit_fidelity=0.96, swap_fidelity=0.9)
    lab = bench(model=model)
    # Pauli probability 1.5 (1 - F); X and Y of the three Paulis flip |1>.
    due, _ = lab.ask(A, 0, Program().init(Q).x(Q))
    assert lab.plane.oracle.density([(A, Q)], due)[0, 0].real == pytest.approx(0.03 * 2 / 3)
    for program, fidelity in ((Program().cx(Q, R), 0.96), (Program().swap(Q, R), 0.9)):
        due, _ = lab.ask(A, due, Program().init(Q).init(R).extend(program))
        # Of the 15 two-qubit Paulis, three leave |00> alone.
        wanted = 1 - 1.25 * (1 - fidelity) * 12 / 15
        assert lab.plane.oracle.density([(A, Q), (A, R)], due)[0, 0].real == pytest.approx(wanted)


def test_preparation_may_fail() -> None:
    lab = bench(model=DeviceModel(1, 1, init_error=0.03))
    due, _ = lab.ask(A, 0, Program().init(Q))
    assert np.allclose(lab.plane.oracle.density([(A, Q)], due), np.diag([0.97, 0.03]))


def test_readout_errs_by_what_it_finds_and_does_not_touch_the_state() -> None:
    """4,000 readouts each of 0 and 1; 5.1 sigma two-sided is a false alarm of 3.4e-7 each."""
    model = DeviceModel(2, 2, readout_error_0=0.05, readout_error_1=0.2)
    for value, error in ((0, 0.05), (1, 0.2)):
        lab = bench(model=model)
        program = Program().init(Q)
        if value:
            program.x(Q)
        for _ in range(40):
            program.measure(Q)
        wrong = sum(bit != value for shot in range(100) for bit in lab.ask(A, shot * 10**6, program)[1].bits)
        assert abs(wrong / 4000 - error) < 5.1 * sqrt(error * (1 - error) / 4000)
        assert lab.plane.oracle.density([(A, Q)], 10**9)[value, value].real == pytest.approx(1)


# ---------------------------------------------------------------------------------------------- repeatability


def shots(lab: Any, node: int, count: int = 40) -> bytes:
    coin = Program().init(Q).h(Q).measure(Q)
    return b"".join(lab.ask(node, shot * NS, coin)[1].bits for shot in range(count))


def test_equal_seeds_give_equal_results_and_nodes_do_not_move_each_other() -> None:
    alone = shots(bench(), A)
    assert shots(bench(), A) == alone
    assert shots(bench(), FAR) != alone
    assert shots(bench(seed=8), A) != alone
    lab = bench()
    for shot in range(10):
        lab.ask(FAR, shot, Program().init(Q).h(Q).measure(Q))
    coin = Program().init(Q).h(Q).measure(Q)
    assert b"".join(lab.ask(A, 100 + shot, coin)[1].bits for shot in range(40)) == alone


def test_events_at_one_time_go_by_node_and_sequence() -> None:
    lab = bench()
    plane = lab.plane
    body = bytes(Program().x(Q))
    for node, sequence in ((FAR, 1), (A, 9), (A, 2)):
        plane.submit(node, 10, sequence, DeviceProgram.MESSAGE, body)
    lab.run()
    assert list(lab.answers) == [(A, 2), (A, 9), (FAR, 1)]


def test_a_command_in_the_past_is_a_mistake_of_the_caller() -> None:
    lab = bench()
    lab.ask(A, 100, Program().x(Q))
    with pytest.raises(AssertionError):
        lab.command(A, 99, Program().x(Q))


# ----------------------------------------------------------------------------------------------- device model


@pytest.mark.parametrize(
    "wrong",
    [
        {"data": -1},
        {"communication": 1 << 16},
        {"t1_data_ps": 1, "t2_data_ps": 3},
        {"init_error": 1.5},
        {"readout_error_1": -0.1},
        {"one_qubit_fidelity": 0.2},
        {"two_qubit_fidelity": 1.1},
        {"swap_fidelity": 2.0},
    ],
)
def test_a_device_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        DeviceModel(**({"data": 1, "communication": 1} | wrong))


def test_data_qubits_come_first() -> None:
    assert list(IDEAL.data_qubits) == [0, 1]
    assert list(IDEAL.communication_qubits) == [2, 3]
    assert bench().plane.handles(A) == [pack_handle(index) for index in range(4)]


def test_bell_kets_are_those_of_the_index() -> None:
    """|B_xz> = (I (x) X^x Z^z)|Phi+>."""
    x, z = np.array([[0, 1], [1, 0]]), np.diag([1, -1])
    for index, ket in enumerate(BELL_KETS):
        pauli = np.linalg.matrix_power(x, index >> 1) @ np.linalg.matrix_power(z, index & 1)
        assert abs(np.vdot(ket, np.kron(np.eye(2), pauli) @ BELL_KETS[0])) == pytest.approx(1)
