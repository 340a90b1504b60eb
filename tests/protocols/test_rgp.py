"""RGP between two QPUs: telegates over every Bell state, and whose pair serves which gate (RGP-1 to RGP-5, RGP-10)."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ideal_qubits import CX, CZ, H, Qubits, X, Z
from rgp_lab import DATA_C, DATA_T, DELAY_PS, JOB, C, T, both_started, half, net, pair_up, rgp, start, under_way

from protocols.pairs import Pair, ReleaseQubit
from protocols.rgp.node import HOLD_PS
from protocols.rgp.service import (
    ApplyZ,
    Done,
    GateRefused,
    NeedPair,
    NeedPairs,
    Role,
    RunControl,
    RunTarget,
)
from protocols.wire.codec import BellIndex, RgpCat, RgpKind, RgpReady, RgpUncat

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
