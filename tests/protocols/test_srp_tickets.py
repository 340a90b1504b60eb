"""SRP: reservations refused, lost, late, of the dead, or without a qubit.  Requirements: protocols/srp/srp.toml."""

from itertools import pairwise
from typing import Any

import pytest
from srp_lab import DELAY, LONGEST, NOTICE, SLOT, SWITCH, Lab

from protocols.ignored import Ignored
from protocols.machine import Send
from protocols.srp.node import NODE_TABLE, TRIES, NodeInput, NodeState, Refused
from protocols.srp.switch import REFRESHES, RESERVATION_TABLE, Connect, ReservationInput, ReservationState, _Timer
from protocols.wire.codec import SrpDeny, SrpGrant, SrpQueued, SrpReason, SrpRelease, SrpReserve


def test_a_grant_after_the_deadline_is_denied() -> None:
    """SRP-3: TOO_LATE."""
    lab = Lab()
    lab.reserve(1, deadline=NOTICE // 2)
    lab.finish()
    assert lab.of(1, Refused) == [Refused(1, SrpReason.TOO_LATE)]
    assert not lab.of(SWITCH, Connect)


def test_strangers_are_denied() -> None:
    """SRP-1: the other end of the link, and links that are not here."""
    lab = Lab()
    lab.switch.receive(SrpReserve(1, 5, 10, 0, 0), 2, 0)
    lab.switch.receive(SrpReserve(77, 5, 10, 0, 0), 1, 0)
    denied = [output for output in lab.switch.poll(0) if type(output) is Send]
    assert [(send.destination, send.message.reason) for send in denied] == [(2, 0), (1, 0)]
    assert not lab.switch._waiting
    node: Any = lab.machines[1]
    node.receive(SrpGrant(1, 1, 5, 5), 3, 0)
    assert [type(event) for event in node.poll(0)] == [Ignored]


def test_a_lost_grant_is_told_again() -> None:
    """SRP-3."""
    lab = Lab()
    lab.trouble = lambda source, destination, message: isinstance(message, SrpGrant) and len(lab.messages(SrpGrant)) < 2
    lab.reserve(1, notice_ps=20 * DELAY)
    lab.wants[1] = 1
    lab.finish()
    assert lab.done == {1: 1}
    one, two = lab.messages(SrpGrant)
    assert one == two


def test_an_old_reserve_does_not_rise_again() -> None:
    """SRP-5: a duplicate that was long on its way finds its reservation ended."""
    lab = Lab()
    lab.want(1)
    lab.finish()
    (old,) = lab.messages(SrpReserve)
    lab.switch.receive(old, 1, lab.now)
    (send,) = lab.switch.poll(lab.now)
    assert send.message == SrpDeny(1, old.ticket, SrpReason.OVER)
    lab.reserve(1)
    lab.run(until=lab.now + DELAY)
    before = lab.switch._links[1].reserve
    lab.switch.receive(SrpRelease(1, old.ticket), 1, lab.now)
    assert lab.switch._links[1].reserve == before
    assert lab.held


def test_a_release_that_overtakes_its_reserve() -> None:
    """SRP-5."""
    lab = Lab()
    lab.switch.receive(SrpRelease(1, 9), 1, 0)
    lab.switch.receive(SrpReserve(1, 9, 10, 0, 0), 1, 0)
    (send,) = lab.switch.poll(0)
    assert send.message.reason == SrpReason.OVER


def test_a_restarted_node_reserves_anew() -> None:
    """SRP-1, SRP-4, SRP-5: its tickets go on growing, and what its former life had asked for is freed."""
    lab = Lab(analysers=1)
    lab.want(6, 1)
    lab.reserve(1)
    lab.run(until=2 * DELAY)
    lab.replace(1, lab.new_node(1))
    lab.want(1)
    lab.finish()
    assert lab.done == {6: 1, 1: 1}
    tickets = [m.ticket for m in lab.messages(SrpReserve) if m.link == 1]
    assert tickets == sorted(tickets)


def test_a_dead_nodes_reservation_is_forgotten() -> None:
    """SRP-3: while the analyser is in use, for longer than any node is silent."""
    lab = Lab(analysers=1)
    lab.reserve(6)
    lab.run(until=DELAY)
    (grant,) = lab.messages(SrpGrant)
    assert lab.switch.train_comes(6, grant.first_slot, grant.first_slot + 10 * LONGEST // SLOT, lab.now) is False
    lab.switch.train_comes(6, grant.first_slot, grant.first_slot, lab.now)
    lab.switch._timers.cancel((_Timer.END, 6))
    lab.reserve(1)
    lab.run(until=3 * DELAY)
    lab.cut.add(1)
    lab.run(until=2 * DELAY + REFRESHES * LONGEST - 1)
    assert lab.switch._waiting
    lab.run(until=2 * DELAY + REFRESHES * LONGEST)
    assert not lab.switch._waiting


def test_a_dead_switch_is_given_up() -> None:
    """SRP-2."""
    lab = Lab()
    lab.cut = {SWITCH}
    lab.reserve(1)
    lab.run(until=1_000_000_000_000)
    assert lab.of(1, Refused) == [Refused(1, None)]
    times = [time for time, *_ in lab.sent]
    assert len(times) == TRIES
    assert [b - a for a, b in pairwise(times)] == [6 * DELAY << min(n, 4) for n in range(TRIES - 1)]


def test_a_restarted_switch_hears_of_who_waits() -> None:
    """SRP-2, SRP-3: at the next refresh."""
    lab = Lab(analysers=1)
    lab.want(1, 2)
    lab.want(6, 2)
    lab.run(until=5 * DELAY)
    lab.held.clear()
    lab.replace(SWITCH, lab.new_switch())
    lab.finish()
    assert lab.done == {1: 2, 6: 2}


def test_queued_says_when_to_come_back() -> None:
    """SRP-2: and the node does, once in that time."""
    lab = Lab(analysers=1)
    lab.reserve(6, slots=LONGEST // SLOT)
    lab.run(until=DELAY)
    (grant,) = lab.messages(SrpGrant)
    lab.switch.train_comes(6, grant.first_slot, grant.first_slot + grant.slots - 1, lab.now)
    lab.reserve(1)
    lab.run(until=LONGEST + 4 * DELAY)
    asked = [time for time, _, _, m in lab.sent if isinstance(m, SrpReserve) and m.link == 1]
    assert len(lab.messages(SrpQueued)) == 2
    assert asked == [DELAY, DELAY + 2 * DELAY + LONGEST]


def test_the_tables_leave_out_no_state() -> None:
    assert {state for state, _ in NODE_TABLE} == set(NodeState)
    assert {stimulus for _, stimulus in NODE_TABLE} == set(NodeInput)
    assert {state for state, _ in RESERVATION_TABLE} == set(ReservationState)
    assert {stimulus for _, stimulus in RESERVATION_TABLE} == set(ReservationInput)


# ---------------------------------------------------------------------------------------------- qubits


def test_no_grant_without_a_qubit_at_either_end() -> None:
    """SRP-11: others are served meanwhile, and are not held up."""
    lab = Lab(analysers=1)
    lab.ready(2, 0)
    lab.want(1)  # 1-2
    lab.want(6, 8)  # 3-4
    lab.run(until=REFRESHES * LONGEST - 1)
    assert lab.done == {6: 8}
    lab.ready(2, 1)
    lab.finish()
    assert lab.done == {6: 8, 1: 1}


def test_a_success_takes_a_qubit_and_a_failure_does_not() -> None:
    """SRP-11."""
    lab = Lab()
    lab.ready(1, 2)
    lab.ready(2, 1)
    for success, left in ((False, {1: 2, 2: 1}), (True, {1: 1, 2: 0})):
        lab.reserve(1)
        lab.run(until=lab.now + DELAY)
        grant = lab.messages(SrpGrant)[-1]
        lab.switch.train_comes(1, grant.first_slot, grant.first_slot, lab.now)
        lab.switch.train_ends(1, success, lab.now)
        assert lab.switch._ready == left


@pytest.mark.parametrize("how", ["stale", "lost"])
def test_what_a_node_said_is_not_believed_for_ever(how: str) -> None:
    """SRP-11: a node that has restarted, or whose word is lost, is tried."""
    lab = Lab()
    lab.ready(2, 0)
    lab.want(1)
    lab.run(until=3 * DELAY)
    assert not lab.held
    if how == "lost":
        lab.switch.lost(2, lab.now)
        lab.run(until=lab.now + DELAY)
        assert lab.held
    lab.finish()
    assert lab.done == {1: 1}
    assert (lab.ends[0].waited_ps >= REFRESHES * LONGEST - DELAY) == (how == "stale")


def test_a_stranger_has_no_qubits() -> None:
    """SRP-11."""
    lab = Lab()
    lab.ready(77, 3)
    assert [type(event) for event in lab.switch.poll(0)] == [Ignored]
    assert not lab.switch._ready
