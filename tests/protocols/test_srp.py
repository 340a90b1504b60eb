"""SRP: whose turn it is, for how long, and that nothing leaks.  Requirements: protocols/srp/srp.toml."""

from collections import Counter
from itertools import groupby, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_pair import Faults
from srp_lab import DELAY, LONGEST, NOTICE, RECONFIGURE, SLOT, SWITCH, Lab

from protocols.srp.node import Granted
from protocols.srp.policy import FirstCome, LeastServed
from protocols.srp.switch import OVERTAKEN, GrantEnded, Withdraw
from protocols.wire.codec import SrpGrant, SrpRelease, SrpReserve


def test_one_train() -> None:
    """SRP-7: Reserve, Grant, and nothing more: the herald frees the analyser."""
    lab = Lab()
    lab.want(1)
    lab.finish()
    assert [type(m) for m in lab.messages()] == [SrpReserve, SrpGrant]
    (grant,) = lab.messages(SrpGrant)
    assert grant.first_slot * SLOT >= DELAY + max(NOTICE, RECONFIGURE)
    assert grant.first_slot * SLOT < DELAY + max(NOTICE, RECONFIGURE) + SLOT
    assert lab.done == {1: 1}


def test_a_grant_leaves_time_to_reconfigure_but_not_twice() -> None:
    """SRP-10: the analyser that is set on the link already needs no time."""
    lab = Lab()
    for _ in range(2):
        lab.reserve(1, notice_ps=0)
        lab.run(until=lab.now + 1_000_000)
    first, second = (event for event in lab.sent if isinstance(event[3], SrpGrant))
    lead = [grant.first_slot * SLOT - time for time, _, _, grant in (first, second)]
    assert RECONFIGURE < lead[0] <= RECONFIGURE + SLOT + 2_000
    assert lead[1] <= SLOT + 2_000


def served(lab: Lab) -> list[int]:
    """The links that have been granted an analyser, in order."""
    return [ended.link for ended in lab.ends]


@pytest.mark.parametrize(("stay", "turns"), [(0, 8), (1, 8), (10**9, 2)])
def test_an_analyser_waits_for_its_links_next_train(stay: int, turns: int) -> None:
    """SRP-12: two links alike, four trains each: one by one, or all four without reconfiguring."""
    lab = Lab(analysers=1, policy=LeastServed(), stay=stay)
    lab.want(1, 4)
    lab.want(6, 4)
    lab.finish()
    order = served(lab)
    assert lab.done == {1: 4, 6: 4}
    assert 1 + sum(a != b for a, b in pairwise(order)) == turns


def test_a_turn_has_its_end() -> None:
    """SRP-12: however many trains the link wants."""
    stay = 400_000
    lab = Lab(analysers=1, policy=LeastServed(), stay=stay)
    lab.want(1, 40)
    lab.want(6, 40)
    lab.finish()
    began: dict[int, int] = {}
    for turn, ends in groupby(lab.ends, key=lambda ended: ended.link):
        waits = [ended.waited_ps for ended in ends]
        assert all(waited <= 0 for waited in waits[1:])
        began[turn] = began.get(turn, 0) + 1
    assert min(began.values()) > 3


def test_an_analyser_does_not_wait_for_long() -> None:
    """SRP-12: a link that does not come back has it for as long as reconfiguring takes; one that says so, no longer."""
    for says in (False, True):
        lab = Lab(analysers=1, stay=10**9)
        lab.want(1)
        lab.run(until=DELAY)
        lab.reserve(6)
        lab.run(until=DELAY + RECONFIGURE)
        while not lab.ends:
            lab.run(until=lab.now + SLOT)
        ended = lab.now
        assert lab.switch._waiting
        if says:
            lab.switch.receive(SrpRelease(1, lab.messages(SrpGrant)[0].ticket), 1, lab.now)
        lab.run(until=ended + 2 * RECONFIGURE)
        (at,) = (time for time, _, to, message in lab.sent if isinstance(message, SrpGrant) and message.link == 6)
        waited = at - ended
        assert -SLOT <= waited - (0 if says else RECONFIGURE) <= SLOT
        lab.finish()


def test_two_pairs_at_once_with_two_analysers_only() -> None:
    """SRP-10."""
    for analysers in (1, 2):
        lab = Lab(analysers=analysers)
        for link, (a, b) in lab.links.items():
            if (a, b) in ((1, 2), (3, 4)):
                lab.want(link, 5)
        lab.finish()
        assert lab.together == analysers


def test_links_of_one_port_take_turns() -> None:
    """SRP-10: node 1 has one fibre."""
    lab = Lab(analysers=2)
    lab.want(1, 3)  # 1-2
    lab.want(2, 3)  # 1-3
    lab.finish()
    assert lab.together == 1
    assert lab.done == {1: 3, 2: 3}


@pytest.mark.parametrize("policy", [LeastServed, FirstCome])
def test_all_pairs_are_served_alike(policy: type) -> None:
    """SRP-6: with everybody always wanting, nobody is far behind."""
    lab = Lab(nodes=5, analysers=2, policy=policy())
    for link in lab.links:
        lab.want(link, 1_000)
    lab.run(until=60_000_000)
    held = Counter[int]()
    for end in lab.ends:
        held[end.link] += end.held_ps
    assert min(lab.done.values()) > 20
    assert max(lab.done.values()) < 1.35 * min(lab.done.values())
    if policy is LeastServed:
        assert max(held.values()) - min(held.values()) < 3 * LONGEST


@pytest.mark.parametrize(("policy", "share"), [(LeastServed, 0.5), (FirstCome, 350 / 500)])
def test_least_served_shares_time_and_first_come_turns(policy: type, share: float) -> None:
    """Two links with trains of 300 slots, two with 100, all with a reconfiguration of 50; there is one analyser."""
    lab = Lab(nodes=8, analysers=1, policy=policy())
    pairs = {(1, 2): 300, (3, 4): 100, (5, 6): 300, (7, 8): 100}
    lengths = {number: pairs[ends] for number, ends in lab.links.items() if ends in pairs}
    for link, slots in lengths.items():
        lab.reserve(link, slots=slots)

    def follow(node: int, event: Any, now: int) -> None:
        if isinstance(event, Granted):
            link, first, slots = event
            lab.at(first * SLOT - 2_000, lambda: lab.switch.train_comes(link, first, first + slots - 1, lab.now))
            lab.at((first + slots) * SLOT, lambda: lab.switch.train_ends(link, True, lab.now))
            lab.at((first + slots) * SLOT, lambda: lab.reserve(link, slots=lengths[link], notice_ps=0))

    lab._on_event = follow
    lab.run(until=100_000_000)
    held = Counter[int]()
    for end in lab.of(SWITCH, GrantEnded):
        held[end.link] += end.held_ps
    long = sum(held[link] for link, slots in lengths.items() if slots == 300)
    assert long / held.total() == pytest.approx(share, abs=0.02)


def test_a_link_whose_ports_are_never_free_together_is_not_starved() -> None:
    """SRP-6: 1-3 and 2-4 overlap for ever; 1-2 gets its turn because its ports are kept free for it."""

    class Last(FirstCome):
        def order(self, waiting: Any) -> Any:
            return sorted(waiting, key=lambda one: one.link == 1)  # the worst policy for link 1 that keeps it in sight

    lab = Lab(nodes=4, analysers=2, policy=Last())
    overlapping = [n for n, ends in lab.links.items() if ends in ((1, 3), (2, 4))]
    for link in overlapping:
        lab.want(link, 10_000)
    lab.run(until=1_000_000)
    lab.policy.order = lambda waiting: sorted(waiting, key=lambda one: one.link != 1)
    lab.want(1, 3)
    lab.run(until=10_000_000)
    assert lab.done[1] == 3
    waits = [end.waited_ps for end in lab.ends if end.link == 1]
    assert max(waits) < (OVERTAKEN + 3) * (LONGEST + RECONFIGURE)


def test_no_grant_is_longer_than_the_longest() -> None:
    """SRP-6."""
    lab = Lab()
    lab.reserve(1, slots=1_000_000)
    lab.run(until=200_000)
    (grant,) = lab.messages(SrpGrant)
    assert grant.slots == LONGEST // SLOT


def test_a_grant_without_a_train_is_void_at_its_first_slot() -> None:
    """SRP-8."""
    lab = Lab()
    lab.reserve(1)
    lab.finish()
    (grant,) = lab.messages(SrpGrant)
    (end,) = lab.ends
    assert not end.used
    assert end.held_ps == grant.first_slot * SLOT - DELAY


@pytest.mark.parametrize(("first", "last"), [(1, 50), (0, 50), (-1, 10)])
def test_a_train_outside_its_grant_is_none(first: int, last: int) -> None:
    """SRP-9."""
    lab = Lab()
    lab.reserve(1, slots=50)
    lab.run(until=DELAY)
    (grant,) = lab.messages(SrpGrant)
    assert not lab.switch.train_comes(1, grant.first_slot + first, grant.first_slot + last, lab.now)
    assert not lab.switch.train_comes(2, grant.first_slot, grant.first_slot + 1, lab.now)
    assert lab.switch.train_comes(1, grant.first_slot, grant.first_slot + 49, lab.now)
    assert not lab.switch.train_comes(1, grant.first_slot, grant.first_slot + 49, lab.now)


def test_a_train_that_never_ends_loses_its_analyser() -> None:
    """SRP-7: at its last slot, whatever the station says."""
    lab = Lab()
    lab.reserve(1)
    lab.run(until=DELAY)
    (grant,) = lab.messages(SrpGrant)
    assert lab.switch.train_comes(1, grant.first_slot, grant.first_slot + 9, lab.now)
    lab.finish()
    assert lab.of(SWITCH, Withdraw) == [Withdraw(1)]
    assert lab.now > (grant.first_slot + 9) * SLOT


def test_a_release_before_the_grant_and_one_after() -> None:
    """SRP-4."""
    lab = Lab(analysers=1)
    lab.want(6)  # 3-4
    lab.run(until=1)
    lab.reserve(1)
    node: Any = lab.machines[1]
    lab.at(3 * DELAY, lambda: node.release(1))
    lab.finish()
    assert [end.link for end in lab.ends] == [6]
    lab.reserve(1)
    lab.at(lab.now + 2 * DELAY + 1, lambda: node.release(1))  # heard of, and on its way back
    lab.finish()
    assert lab.ends[-1].held_ps == 2 * DELAY + 1


# ---------------------------------------------------------------------------------------------- all together

trouble = st.builds(
    Faults,
    loss=st.floats(0, 0.3),
    duplicate=st.floats(0, 0.3),
    jitter_ps=st.sampled_from([0, DELAY // 4, 3 * DELAY]),
)


@settings(max_examples=30, deadline=None)
@given(
    faults=trouble,
    seed=st.integers(0, 1 << 30),
    analysers=st.integers(1, 3),
    comes=st.floats(0.4, 1),
    stay=st.sampled_from([0, 300_000]),
    deaths=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3_000_000)), max_size=3),
)
def test_nothing_leaks_whatever_happens(
    faults: Faults, seed: int, analysers: int, comes: float, stay: int, deaths: list[tuple[int, int]]
) -> None:
    """SRP-3, SRP-5, SRP-8, SRP-10, SRP-12: what Lab checks at every grant, and that all comes to its end."""
    lab = Lab(4, analysers, faults, seed, stay=stay)
    lab.comes = comes
    for link in lab.links:
        lab.want(link, 3)
    for node, time in deaths:
        lab.at(time, lambda node=node: lab.restart(node))  # type: ignore[misc]
    lab.finish()
    assert all(count == 3 for count in lab.done.values())
    assert set(lab.done) == set(lab.links)
