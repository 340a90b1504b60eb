"""RGP between two QPUs: telegates over every Bell state, early messages, refusals (RGP-1 to RGP-10)."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ideal_qubits import CX, CZ, H, Qubits, X, Z
from machine_pair import Net

from protocols.ignored import Ignored
from protocols.machine import Send
from protocols.pairs import Pair, ReleaseQubit
from protocols.rgp.node import HOLD_PS, MAX_EARLY, Rgp
from protocols.rgp.service import (
    ApplyZ,
    Done,
    GateRefused,
    NeedPair,
    NeedPairs,
    RefuseReason,
    Role,
    RunControl,
    RunTarget,
)
from protocols.wire.codec import BellIndex, RgpCat, RgpKind, RgpReady, RgpRefused, RgpUncat

C, T = 1, 2  # the nodes: control and target
JOB = 6
DATA_C, DATA_T = 11, 22
DELAY_PS = 10_000


def net(on_event: Any = None) -> Net:
    return Net({C: Rgp(C), T: Rgp(T)}, DELAY_PS, on_event=on_event)


def rgp(network: Net, node: int) -> Rgp:
    machine = network.machines[node]
    assert isinstance(machine, Rgp)
    return machine


def start(network: Net, node: int, gate: int = 0, kind: RgpKind = RgpKind.CNOT) -> None:
    role, qubit, peer = (Role.CONTROL, DATA_C, T) if node == C else (Role.TARGET, DATA_T, C)
    rgp(network, node).start(JOB, gate, role, kind, qubit, peer, network.now)


def half(node: int, pair_id: int, index: int = 0) -> Pair:
    """A pair that the control asked for; a qubit's handle names its node and pair."""
    return Pair(C, pair_id, index, node * 1000 + pair_id)


def pair_up(network: Net, pair_id: int, index: int = 0) -> None:
    rgp(network, C).pair(T, half(C, pair_id, index), network.now)
    rgp(network, T).pair(C, half(T, pair_id, index), network.now)
    network.run()


def both_started(*gates: int, kind: RgpKind = RgpKind.CNOT) -> Net:
    """Both ends have started these gates, or gate 0, and the control knows it."""
    network = net()
    for gate in gates or (0,):
        start(network, C, gate, kind)
        start(network, T, gate, kind)
    network.run(until=DELAY_PS)
    return network


def under_way(kind: RgpKind = RgpKind.CNOT) -> Net:
    """Both ends hold pair 1 for gate 0, too; the control's program runs."""
    network = both_started(kind=kind)
    pair_up(network, 1)
    return network


# Gates.


@pytest.mark.parametrize("kind", [RgpKind.CNOT, RgpKind.CZ, RgpKind.COPY])
@pytest.mark.parametrize(("index", "m1", "m2"), product(BellIndex, (0, 1), (0, 1)))
def test_the_gate_is_done_whatever_the_pair_and_the_outcomes(kind: RgpKind, index: int, m1: int, m2: int) -> None:
    """RGP-2, RGP-3, RGP-4, by exact state vector: both data qubits are halves of pairs, so every state is covered.

    With its copy this target does a CZ and then a CX."""
    gates = {RgpKind.CNOT: [CX], RgpKind.CZ: [CZ], RgpKind.COPY: [CZ, CX]}[kind]
    wanted, qubits = Qubits(), Qubits()
    for register in (wanted, qubits):
        register.add_pair("control's reference", DATA_C)
        register.add_pair("target's reference", DATA_T)
    for gate in gates:
        wanted.run(gate, DATA_C, DATA_T)

    def on_event(node: int, event: Any, now: int) -> None:
        match event:
            case NeedPair():
                qubits.add_pair(1007, 2007, index)
                pair_c, pair_t = half(C, 7, index), half(T, 7, index)
                network.at(now + 5, lambda: rgp(network, C).pair(T, pair_c, network.now))
                network.at(now + 9, lambda: rgp(network, T).pair(C, pair_t, network.now))
            case RunControl(job, number, data, ebit, _):
                qubits.run(CX, data, ebit)
                assert qubits.measure(ebit, m1) == pytest.approx(1 / 2)
                network.at(now + 50, lambda: rgp(network, C).control_measured(job, number, m1, network.now))
            case RunTarget(job, number, what, ebit, data, apply_x, apply_z):
                assert (what, apply_z) == (kind, 0)
                if apply_x:
                    qubits.run(X, ebit)
                for gate in gates:
                    qubits.run(gate, ebit, data)
                qubits.run(H, ebit)
                assert qubits.measure(ebit, m2) == pytest.approx(1 / 2)
                network.at(now + 50, lambda: rgp(network, T).target_measured(job, number, m2, network.now))
            case ApplyZ(_, _, data, apply):
                if apply:
                    qubits.run(Z, data)

    network = net(on_event)
    start(network, C, kind=kind)
    start(network, T, kind=kind)
    network.run()
    assert qubits.overlap(wanted) == pytest.approx(1, abs=1e-12)
    x, z = index >> 1, index & 1
    ready, cat, uncat = network.messages()
    assert ready == RgpReady(JOB, 0, kind, control=0)
    assert cat == RgpCat(JOB, 0, kind, 7, m1 ^ x, 0)
    assert uncat == RgpUncat(JOB, 0, m2 ^ z)
    assert network.events[C] == [
        NeedPair(JOB, 0, T),
        RunControl(JOB, 0, DATA_C, 1007, kind),
        ApplyZ(JOB, 0, DATA_C, m2 ^ z),
        Done(JOB, 0, Role.CONTROL),
    ]
    assert network.events[T] == [
        RunTarget(JOB, 0, kind, 2007, DATA_T, m1 ^ x),
        Done(JOB, 0, Role.TARGET),
    ]


@pytest.mark.parametrize(("index", "m0", "m1"), product(BellIndex, (0, 1), (0, 1)))
def test_a_qubit_moves_whatever_the_pair_and_the_outcomes(index: int, m0: int, m1: int) -> None:
    """RGP-11: the half of a pair that moves is still half of it."""
    wanted, qubits = Qubits(), Qubits()
    wanted.add_pair("reference", "arrived")
    qubits.add_pair("reference", DATA_C)

    def on_event(node: int, event: Any, now: int) -> None:
        match event:
            case NeedPair():
                qubits.add_pair(1007, "arrived", index)
                rgp(network, C).pair(T, half(C, 7, index), now)
                rgp(network, T).pair(C, half(T, 7, index), now)
            case RunControl(job, number, data, ebit, kind):
                assert kind is RgpKind.MOVE
                qubits.run(CX, data, ebit)
                qubits.run(H, data)
                qubits.measure(data, m0)
                qubits.measure(ebit, m1)
                network.at(now + 50, lambda: rgp(network, C).control_measured(job, number, m1, network.now, m0))
            case RunTarget(job, number, kind, _, _, apply_x, apply_z):
                assert kind is RgpKind.MOVE
                if apply_x:
                    qubits.run(X, "arrived")
                if apply_z:
                    qubits.run(Z, "arrived")
                network.at(now + 50, lambda: rgp(network, T).target_measured(job, number, 0, network.now))

    network = net(on_event)
    start(network, C, kind=RgpKind.MOVE)
    start(network, T, kind=RgpKind.MOVE)
    network.run()

    assert qubits.overlap(wanted) == pytest.approx(1, abs=1e-12)
    x, z = index >> 1, index & 1
    ready, cat = RgpReady(JOB, 0, RgpKind.MOVE, 0), RgpCat(JOB, 0, RgpKind.MOVE, 7, m1 ^ x, m0 ^ z)
    assert network.messages() == [ready, cat, RgpUncat(JOB, 0, 0)]
    assert network.of(C, ApplyZ) == [ApplyZ(JOB, 0, DATA_C, 0)]
    assert [network.of(node, Done) for node in (C, T)] == [[Done(JOB, 0, Role.CONTROL)], [Done(JOB, 0, Role.TARGET)]]


def test_the_kind_is_handed_on_as_it_was_started() -> None:
    network = under_way(RgpKind.CZ)
    rgp(network, C).control_measured(JOB, 0, 0, network.now)
    network.run()
    (run,) = network.of(T, RunTarget)
    assert run.kind is RgpKind.CZ


def test_only_a_pair_of_its_own_asking_serves_the_control() -> None:
    """RGP-1."""
    network = both_started()
    rgp(network, C).pair(T, Pair(T, 1, 0, 1001), network.now)
    network.run()
    assert network.events[C] == [NeedPair(JOB, 0, T)]


def test_pairs_are_kept_ready_while_gates_are_to_come() -> None:
    network = net()
    control = rgp(network, C)
    control.reserve(T, 2, 3, network.now)
    for pair_id in (1, 2):
        control.pair(T, half(C, pair_id), network.now)
    assert control.ready(T) == 2
    for gate in (0, 1, 2):
        start(network, C, gate)
        start(network, T, gate)
        network.run()
    assert [run.ebit for run in network.of(C, RunControl)] == [1001, 1002]
    # One is made up for when the first is used: two gates are left then, and none after the third has one.
    assert [event for event in network.events[C] if isinstance(event, NeedPair | NeedPairs)] == [
        NeedPairs(T, 2),
        NeedPairs(T, 1),
    ]
    control.no_pairs(T, network.now)
    network.run()
    assert [event.gate for event in network.of(C, GateRefused)] == [2]


def test_pairs_go_to_gates_in_the_order_of_their_start() -> None:
    """RGP-1."""
    network = both_started(4, 2, 9)
    for pair_id in (1, 2):
        pair_up(network, pair_id)
    runs = [(event.gate, event.ebit) for event in network.of(C, RunControl)]
    assert runs == [(4, 1001), (2, 1002)]
    rgp(network, C).control_measured(JOB, 2, 0, network.now)  # the later gate is first to come
    network.run()
    assert [(event.gate, event.ebit) for event in network.of(T, RunTarget)] == [(2, 2002)]


def test_pairs_made_ahead_are_used_first() -> None:
    network = net()
    pair_up(network, 1)
    start(network, C)
    start(network, T)
    network.run()
    assert network.events[C] == [RunControl(JOB, 0, DATA_C, 1001)]


@pytest.mark.parametrize("first", [C, T])
def test_no_pair_is_asked_for_before_both_ends_have_come_to_the_gate(first: int) -> None:
    """RGP-5, RGP-10: whoever is first, however long it waits."""
    network = net()
    start(network, first)
    network.run()
    assert network.events == {C: [], T: []}
    start(network, C + T - first)
    network.run(until=network.now + DELAY_PS)
    assert network.events == {C: [NeedPair(JOB, 0, T)], T: []}


def test_a_cat_may_come_before_its_pair() -> None:
    network = both_started()
    rgp(network, C).pair(T, half(C, 1), network.now)
    rgp(network, C).control_measured(JOB, 0, 0, network.now)
    network.run(until=HOLD_PS)
    assert network.events[T] == []
    rgp(network, T).pair(C, half(T, 1), network.now)
    network.run()
    assert network.of(T, RunTarget) == [RunTarget(JOB, 0, RgpKind.CNOT, 2001, DATA_T, 0)]


# Refusals.


def test_ends_that_were_told_different_gates_refuse() -> None:
    """RGP-6, RGP-7: before a pair is spent."""
    network = net()
    start(network, C, kind=RgpKind.CNOT)
    start(network, T, kind=RgpKind.CZ)
    network.run()
    why = RefuseReason.KIND_MISMATCH
    assert network.events[C] == [GateRefused(JOB, 0, Role.CONTROL, why, intact=True)]
    assert network.events[T] == [GateRefused(JOB, 0, Role.TARGET, why, intact=True)]


@pytest.mark.parametrize("role", Role)
def test_two_ends_of_one_kind_refuse(role: Role) -> None:
    """RGP-6, RGP-7, RGP-10: two targets at once, two controls after the hold."""
    network = net()
    for node in (C, T):
        rgp(network, node).start(JOB, 0, role, RgpKind.CNOT, 11, C + T - node, now=0)
    network.run()
    for node in (C, T):
        assert network.events[node] == [GateRefused(JOB, 0, role, RefuseReason.KIND_MISMATCH, intact=True)]
    assert network.now == (HOLD_PS if role is Role.CONTROL else 0) + 2 * DELAY_PS  # the refusals cross


def test_a_control_that_waits_long_does_no_harm() -> None:
    """RGP-10: before the target starts, and while its Ready is on the way."""
    network = net()
    start(network, C)
    network.run(until=HOLD_PS + 1)
    start(network, T)
    network.run(until=HOLD_PS + DELAY_PS)  # the control's Ready finds the gate started, just
    network.run()
    assert RgpReady(JOB, 0, RgpKind.CNOT, control=1) in network.messages()
    assert network.events == {C: [NeedPair(JOB, 0, T)], T: []}


@pytest.mark.parametrize("known", [True, False])
def test_without_its_pair_the_target_refuses(known: bool) -> None:
    """RGP-6, RGP-9: at once when the pair is known to be gone, else after the hold."""
    network = both_started()
    rgp(network, C).pair(T, half(C, 1), network.now)
    if known:
        rgp(network, T).pair(C, half(T, 1), network.now)
        rgp(network, T).pair_lost(C, half(T, 1), network.now)
        rgp(network, C).pair_lost(T, half(C, 1), network.now)  # in use already
    rgp(network, C).control_measured(JOB, 0, 0, network.now)
    network.run()
    assert network.now == 3 * DELAY_PS + (0 if known else HOLD_PS)
    why = RefuseReason.PAIR_LOST
    assert network.of(C, GateRefused) == [GateRefused(JOB, 0, Role.CONTROL, why, intact=False)]
    assert network.of(T, GateRefused) == [GateRefused(JOB, 0, Role.TARGET, why, intact=True)]
    assert network.of(T, ReleaseQubit) == ([ReleaseQubit(2001)] if known else [])
    if not known:
        rgp(network, T).pair(C, half(T, 1), network.now)  # after all
        assert rgp(network, T).poll(network.now) == [ReleaseQubit(2001)]


def test_without_any_pair_both_ends_refuse() -> None:
    """RGP-6, RGP-7."""
    network = both_started()
    rgp(network, C).no_pairs(T, network.now)
    network.run()
    assert network.of(C, GateRefused) == [GateRefused(JOB, 0, Role.CONTROL, RefuseReason.NO_PAIRS, intact=True)]
    assert network.of(T, GateRefused) == [GateRefused(JOB, 0, Role.TARGET, RefuseReason.NO_PAIRS, intact=True)]
    rgp(network, C).pair(T, half(C, 1), network.now)  # too late; it serves the next gate
    start(network, C, gate=1)
    start(network, T, gate=1)
    network.run()
    assert network.of(C, RunControl) == [RunControl(JOB, 1, DATA_C, 1001)]


def test_an_unused_pair_may_be_lost() -> None:
    network = net()
    pair_up(network, 1)
    rgp(network, C).pair_lost(T, half(C, 1), network.now)
    rgp(network, T).pair_lost(C, half(T, 1), network.now)
    start(network, C)
    start(network, T)
    network.run()
    assert network.events == {C: [ReleaseQubit(1001), NeedPair(JOB, 0, T)], T: [ReleaseQubit(2001)]}


def test_spare_pairs_can_be_dropped_by_who_asked_for_them() -> None:
    network = net()
    pair_up(network, 1)
    for node in (C, T):  # one that the target's node asked for
        rgp(network, node).pair(C + T - node, Pair(T, 5, 0, node * 1000 + 5), network.now)
    machine = rgp(network, C)
    machine.drop_pairs(T, network.now, head=T)
    assert machine.poll(network.now) == [ReleaseQubit(1005)]
    machine.drop_pairs(T, network.now, head=C)
    assert machine.poll(network.now) == [ReleaseQubit(1001)]
    rgp(network, T).drop_pairs(C, network.now)
    assert rgp(network, T).poll(network.now) == [ReleaseQubit(2005), ReleaseQubit(2001)]


def test_a_refusal_that_comes_before_the_gate_is_kept() -> None:
    """RGP-5."""
    network = net()
    start(network, C)
    rgp(network, C).cancel(JOB, network.now)
    network.run()
    start(network, T)
    network.run()
    assert network.events[T] == [GateRefused(JOB, 0, Role.TARGET, RefuseReason.CANCELLED, intact=True)]


def test_a_gate_that_was_not_started_can_be_declined() -> None:
    """RGP-6: whether the peer has come to it or will."""
    network = net()
    start(network, T, gate=0)
    network.run()
    for gate in (0, 1):
        rgp(network, C).decline(JOB, gate, T, network.now)
    network.run()
    start(network, T, gate=1)
    network.run()
    assert network.events[T] == [
        GateRefused(JOB, gate, Role.TARGET, RefuseReason.CANCELLED, intact=True) for gate in (0, 1)
    ]


def test_a_job_may_be_cancelled_at_any_point() -> None:
    """RGP-6, RGP-7."""
    network = both_started(0, 1, 2)
    pair_up(network, 1)
    pair_up(network, 2)
    rgp(network, C).control_measured(JOB, 0, 0, network.now)
    network.run()  # gate 0 runs at the target, gate 1 at the control, gate 2 waits for a pair
    rgp(network, C).cancel(JOB, network.now)
    network.run()
    why = RefuseReason.CANCELLED
    for node, role, intact in ((C, Role.CONTROL, (False, False, True)), (T, Role.TARGET, (False, True, True))):
        refused = [GateRefused(JOB, gate, role, why, intact[gate]) for gate in range(3)]
        assert network.of(node, GateRefused) == refused
    # What the devices answer later is no news.
    rgp(network, C).control_measured(JOB, 1, 0, network.now)
    rgp(network, T).target_measured(JOB, 0, 0, network.now)
    sent = len(network.sent)
    network.run()
    assert len(network.sent) == sent
    rgp(network, T).drop_pairs(C, network.now)
    network.run()
    assert network.of(T, ReleaseQubit) == [ReleaseQubit(2002)]


def test_both_ends_may_cancel_at_once() -> None:
    """RGP-9: the Cat that crosses the target's Refused costs the target its half."""
    network = under_way()
    rgp(network, C).control_measured(JOB, 0, 0, network.now)
    rgp(network, C).poll(network.now)
    cat = RgpCat(JOB, 0, RgpKind.CNOT, 1, 0, 0)
    rgp(network, T).cancel(JOB, network.now)
    rgp(network, T).receive(cat, C, network.now)
    rgp(network, C).cancel(JOB, network.now)
    network.run()
    for node in (C, T):
        assert len(network.of(node, GateRefused)) == 1
        assert network.of(node, Ignored) == []
    assert network.of(T, ReleaseQubit) == [ReleaseQubit(2001)]
    assert network.messages(RgpRefused) == [RgpRefused(JOB, 0, RefuseReason.CANCELLED)] * 2


def test_cancelling_answers_what_came_early() -> None:
    """RGP-6."""
    network = net()
    start(network, T)
    network.run()
    rgp(network, C).cancel(JOB, network.now)
    network.run()
    assert network.of(T, GateRefused)[0].reason is RefuseReason.CANCELLED


def test_a_refusal_takes_the_place_of_an_early_ready() -> None:
    """RGP-5."""
    network = net()
    start(network, T)
    rgp(network, T).cancel(JOB, network.now)
    network.run()
    start(network, C)
    network.run()
    assert network.events[C] == [GateRefused(JOB, 0, Role.CONTROL, RefuseReason.CANCELLED, intact=True)]


def test_no_more_than_a_bound_is_kept() -> None:
    """RGP-6."""
    machine = Rgp(C)
    for gate in range(MAX_EARLY + 1):
        machine.receive(RgpReady(JOB, gate, RgpKind.CNOT, 0), T, now=0)
    assert machine.poll(0) == [Send(T, RgpRefused(JOB, MAX_EARLY, RefuseReason.TOO_EARLY), reliable=True)]


def test_a_cat_without_its_gate_is_refused_and_costs_the_half() -> None:
    """RGP-6, RGP-9: no peer that keeps the rules sends one."""
    machine = Rgp(T)
    machine.receive(RgpCat(JOB, 0, RgpKind.CNOT, 1, 0, 0), C, now=0)
    machine.pair(C, half(T, 1), now=0)
    assert machine.poll(0) == [
        Send(C, RgpRefused(JOB, 0, RefuseReason.TOO_EARLY), reliable=True),
        ReleaseQubit(2001),
    ]


@pytest.mark.parametrize("node", [C, T])
def test_a_lost_peer_refuses_everything_shared_with_it(node: int) -> None:
    """RGP-7, RGP-8."""
    network = net()
    peer = T if node == C else C
    for gate in range(2):
        start(network, C, gate)
        start(network, T, gate)
    network.run(until=DELAY_PS)
    pair_up(network, 1)
    rgp(network, node).pair(peer, Pair(peer, 5, 0, 5555), network.now)
    network.cut.add(peer)
    network.run()
    sent = len(network.sent)
    rgp(network, node).peer_lost(peer, network.now)
    network.run()
    assert len(network.sent) == sent
    refused = network.of(node, GateRefused)
    assert [(event.gate, event.reason) for event in refused] == [(gate, RefuseReason.PEER_LOST) for gate in (0, 1)]
    assert [event.intact for event in refused] == ([False, True] if node == C else [True, True])
    spare = [] if node == C else [ReleaseQubit(2001)]
    assert network.of(node, ReleaseQubit) == [*spare, ReleaseQubit(5555)]
    assert rgp(network, node).next_timeout() is None


@pytest.mark.parametrize("end", ["refused", "peer lost", "cancelled"])
@pytest.mark.parametrize(
    ("node", "after"),
    [
        (C, "start"),
        (C, "start ready"),
        (C, "start ready pair"),
        (C, "start ready pair measured"),
        (T, "start"),
        (T, "start cat"),
        (T, "start cat pair"),
    ],
)
def test_a_gate_may_end_in_any_state(node: int, after: str, end: str) -> None:
    """RGP-6 to RGP-8: told once; the peer hears of it if it is there and does not know."""
    machine, peer = Rgp(node), C + T - node
    steps = {
        "start": lambda: machine.start(JOB, 0, list(Role)[node - 1], RgpKind.CNOT, 11, peer, now=0),
        "ready": lambda: machine.receive(RgpReady(JOB, 0, RgpKind.CNOT, 0), peer, now=0),
        "pair": lambda: machine.pair(peer, half(node, 1), now=0),
        "measured": lambda: machine.control_measured(JOB, 0, 0, now=0),
        "cat": lambda: machine.receive(RgpCat(JOB, 0, RgpKind.CNOT, 1, 0, 0), peer, now=0),
    }
    for step in after.split():
        steps[step]()
    machine.poll(0)
    match end:
        case "refused":
            machine.receive(RgpRefused(JOB, 0, RefuseReason.CANCELLED), peer, now=0)
        case "peer lost":
            machine.peer_lost(peer, now=0)
        case "cancelled":
            machine.cancel(JOB, now=0)
    reason = RefuseReason.PEER_LOST if end == "peer lost" else RefuseReason.CANCELLED
    refused = GateRefused(JOB, 0, list(Role)[node - 1], reason, intact="pair" not in after.split())
    tell = [Send(peer, RgpRefused(JOB, 0, reason), reliable=True)] if end == "cancelled" else []
    assert machine.poll(0) == [*tell, refused]
    assert machine.next_timeout() is None


def test_early_messages_of_a_lost_peer_are_forgotten() -> None:
    """RGP-8."""
    machine = Rgp(T)
    machine.receive(RgpRefused(JOB, 0, RefuseReason.CANCELLED), C, now=0)
    machine.peer_lost(C, now=0)
    machine.start(JOB, 0, Role.TARGET, RgpKind.CNOT, DATA_T, C, now=0)
    assert machine.poll(0) == [Send(C, RgpReady(JOB, 0, RgpKind.CNOT, 0), reliable=True)]


def test_a_peer_that_breaks_the_rules_is_reported() -> None:
    network = under_way()
    machine = rgp(network, C)
    machine.receive(RgpUncat(JOB, 0, 0), T, network.now)  # no Cat was sent
    machine.receive(RgpUncat(JOB, 5, 0), T, network.now)  # no such gate
    machine.receive(RgpCat(JOB, 0, RgpKind.CNOT, 1, 0, 0), T, network.now)  # the control is here
    machine.receive(RgpReady(JOB, 0, RgpKind.CNOT, 0), T, network.now)  # it has said so before
    machine.receive(RgpRefused(JOB, 0, 1), 7, network.now)  # a node that has no part in it
    assert [type(output) for output in machine.poll(network.now)] == [Ignored] * 5
    with pytest.raises(TypeError):
        machine.receive(NeedPair(1, 1, 1), T, network.now)


def test_errors_of_ours_are_loud() -> None:
    network = under_way()
    with pytest.raises(ValueError):
        start(network, C)
    with pytest.raises(ValueError):
        rgp(network, T).target_measured(JOB, 0, 0, network.now)
    with pytest.raises(ValueError):
        rgp(network, C).target_measured(JOB, 0, 0, network.now)


# All of it at once.


@given(data=st.data())
def test_every_gate_ends_once_at_both_ends_and_every_half_is_accounted_for(data: Any) -> None:
    """RGP-1, RGP-5 to RGP-10, with gates both ways, pairs late or lost or refused, and jobs cancelled."""
    draw = data.draw
    pair_ids = iter(range(1, 1000))
    halves: dict[int, list[int]] = {C: [], T: []}
    used: dict[int, list[int]] = {C: [], T: []}

    def give(end: int, pair: Pair) -> None:
        halves[end].append(pair.qubit)
        rgp(network, end).pair(C + T - end, pair, network.now)

    def on_event(node: int, event: Any, now: int) -> None:
        peer = C + T - node
        match event:
            case NeedPair():
                fate = draw(st.sampled_from(["well"] * 6 + ["lost at the peer", "none"]))
                if fate == "none":
                    network.at(now + 1, lambda: rgp(network, node).no_pairs(peer, network.now))
                    return
                pair_id = next(pair_ids)
                for end in (node, peer):
                    pair = Pair(node, pair_id, 0, end * 1000 + pair_id)
                    due = now + draw(st.integers(0, 4)) * DELAY_PS
                    network.at(due, lambda e=end, p=pair: give(e, p))
                    if fate != "well" and end == peer:
                        due += draw(st.integers(0, 4)) * DELAY_PS
                        network.at(due, lambda p=pair: rgp(network, peer).pair_lost(node, p, network.now))
            case RunControl(job, gate, _, ebit) | RunTarget(job, gate, _, ebit):
                used[node].append(ebit)
                control = isinstance(event, RunControl)
                answer = rgp(network, node).control_measured if control else rgp(network, node).target_measured
                due = now + draw(st.integers(1, 3)) * DELAY_PS
                network.at(due, lambda: answer(job, gate, 0, network.now))

    network = net(on_event)
    gates = draw(st.lists(st.tuples(st.sampled_from([C, T]), st.integers(0, 1)), min_size=1, max_size=6))
    for gate, (control, job) in enumerate(gates):
        for node in (C, T):
            role = Role.CONTROL if node == control else Role.TARGET
            kind = draw(st.sampled_from([RgpKind.CNOT] * 8 + [RgpKind.CZ]))
            network.at(
                draw(st.integers(0, 8)) * DELAY_PS,
                lambda n=node, j=job, g=gate, r=role, k=kind: rgp(network, n).start(
                    j, g, r, k, 500 + g, C + T - n, network.now
                ),
            )
    if draw(st.booleans()):
        node, job = draw(st.sampled_from([C, T])), draw(st.integers(0, 1))
        when = draw(st.integers(9, 24)) * DELAY_PS
        network.at(when, lambda: rgp(network, node).cancel(job, network.now))
    network.run()
    for node in (C, T):
        rgp(network, node).drop_pairs(C + T - node, network.now)
    network.run()

    for node in (C, T):
        ends = [event for event in network.events[node] if isinstance(event, Done | GateRefused)]
        assert sorted(event.gate for event in ends) == list(range(len(gates)))  # RGP-7
        assert all((event.role is Role.CONTROL) == (gates[event.gate][0] == node) for event in ends)
        freed = [event.qubit for event in network.of(node, ReleaseQubit)]
        assert sorted(freed + used[node]) == sorted(halves[node])  # RGP-1, RGP-9
        assert rgp(network, node).next_timeout() is None
        untouched = {event.gate for event in network.of(node, GateRefused) if event.intact}
        touched = {event.gate for event in network.events[node] if isinstance(event, RunControl | RunTarget)}
        assert not untouched & touched
    done = {node: {event.gate for event in network.of(node, Done)} for node in (C, T)}
    for gate, (control, _) in enumerate(gates):
        # The control hears last: when it is done, so is the target.
        assert gate not in done[control] or gate in done[C + T - control]
