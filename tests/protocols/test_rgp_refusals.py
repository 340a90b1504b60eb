"""RGP: what is refused, cancelled, comes early, or is lost with a peer (RGP-5 to RGP-9)."""

import pytest
from rgp_lab import DATA_C, DATA_T, DELAY_PS, JOB, C, T, both_started, half, net, pair_up, rgp, start, under_way

from protocols.ignored import Ignored
from protocols.machine import Send
from protocols.pairs import Pair, ReleaseQubit
from protocols.rgp.node import HOLD_PS, MAX_EARLY, Rgp
from protocols.rgp.service import (
    GateRefused,
    NeedPair,
    RefuseReason,
    Role,
    RunControl,
)
from protocols.wire.codec import RgpCat, RgpKind, RgpReady, RgpRefused, RgpUncat


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


@pytest.mark.parametrize("node", [C, T])
@pytest.mark.parametrize("lost", [False, True])
def test_who_comes_late_to_a_refused_gate_is_told_again(node: int, lost: bool) -> None:
    """RGP-5, RGP-10: whether the first Refused came, or was lost with the stream; a control asks after the hold."""
    network = net()
    peer = C + T - node
    network.cut |= {node} if lost else set()
    start(network, peer)
    rgp(network, peer).cancel(JOB, network.now)
    network.run()
    network.cut.clear()
    began = network.now
    start(network, node)
    network.run()
    role = Role.CONTROL if node == C else Role.TARGET
    assert network.of(node, GateRefused) == [GateRefused(JOB, 0, role, RefuseReason.CANCELLED, intact=True)]
    assert network.now - began == 2 * DELAY_PS + (HOLD_PS if node == C else 0)
    start(network, peer)  # a gate of that name is another gate from now on
    start(network, node)
    network.run()
    assert network.of(C, NeedPair) == [NeedPair(JOB, 0, T)]


def test_a_control_that_has_not_heard_of_a_refusal_is_told_when_it_goes_on() -> None:
    """RGP-5, RGP-9: the Ready came, what followed it was lost."""
    network = net()
    start(network, T)
    network.run()
    network.cut.add(C)
    rgp(network, T).cancel(JOB, network.now)
    network.run()
    network.cut.clear()
    start(network, C)
    network.run()
    pair_up(network, 1)
    rgp(network, C).control_measured(JOB, 0, 0, network.now)
    network.run()
    refused = GateRefused(JOB, 0, Role.CONTROL, RefuseReason.CANCELLED, intact=False)
    assert network.of(C, GateRefused) == [refused]
    assert network.of(T, ReleaseQubit) == [ReleaseQubit(2001)]


def test_nothing_is_kept_of_refusals_for_nobody() -> None:
    """RGP-5: what is told to a new life about gates of the old one."""
    machine = Rgp(T)
    for gate in range(10):
        machine.receive(RgpRefused(JOB, gate, RefuseReason.CANCELLED), C, now=0)
    assert machine.poll(0) == []
    machine.start(JOB, 3, Role.TARGET, RgpKind.CNOT, DATA_T, C, now=0)
    assert machine.poll(0) == [Send(C, RgpReady(JOB, 3, RgpKind.CNOT, 0), reliable=True)]


def test_what_was_too_much_to_keep_is_refused_here_as_well() -> None:
    """RGP-6, RGP-7: its peer is not there any more to answer."""
    machine = Rgp(C)
    for gate in range(MAX_EARLY + 1):
        machine.receive(RgpReady(JOB, gate, RgpKind.CNOT, 0), T, now=0)
    machine.poll(0)
    machine.start(JOB, MAX_EARLY, Role.CONTROL, RgpKind.CNOT, DATA_C, T, now=0)
    assert machine.poll(0) == [GateRefused(JOB, MAX_EARLY, Role.CONTROL, RefuseReason.TOO_EARLY, intact=True)]


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
    # Each end's, and one more in answer to the Cat: whether its sender has heard the first nobody knows.
    assert network.messages(RgpRefused) == [RgpRefused(JOB, 0, RefuseReason.CANCELLED)] * 3


def test_cancelling_answers_what_came_early() -> None:
    """RGP-6."""
    network = net()
    start(network, T)
    network.run()
    rgp(network, C).cancel(JOB, network.now)
    network.run()
    assert network.of(T, GateRefused)[0].reason is RefuseReason.CANCELLED


def test_a_refusal_undoes_an_early_ready() -> None:
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
