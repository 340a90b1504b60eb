"""SRP: nodes that lead links, and a switch, their frames carried by hand.  Requirements: protocols/srp/srp.toml."""

import random
from collections import Counter
from itertools import combinations, groupby, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_pair import NO_FAULTS, Faults, Net

from protocols.ignored import Ignored
from protocols.machine import Send
from protocols.srp.node import NODE_TABLE, TRIES, Granted, NodeInput, NodeSrp, NodeState, Refused, SwitchPort
from protocols.srp.policy import FirstCome, LeastServed
from protocols.srp.switch import (
    OVERTAKEN,
    REFRESHES,
    RESERVATION_TABLE,
    Connect,
    GrantEnded,
    ReservationInput,
    ReservationState,
    SwitchFacts,
    SwitchLink,
    SwitchSrp,
    Withdraw,
    _Timer,
)
from protocols.wire.codec import (
    SrpDeny,
    SrpGrant,
    SrpQueued,
    SrpReady,
    SrpReason,
    SrpRelease,
    SrpReserve,
)

SWITCH = 99
SLOT, DELAY, ATTEMPT = 1_000, 10_000, 1_000
RECONFIGURE, LONGEST, NOTICE = 50_000, 400_000, 60_000
TRAIN = 100_000  # how long the trains of the lab last, at most


class Lab(Net):
    """Every pair of `nodes` has a link; each wants `wants` trains, one after the other.

    A granted train comes to the switch if `comes` says so, and ends at any of its slots.  Links that were never wanted
    are the test's own: it reserves for them, and nothing comes of it.
    """

    def __init__(
        self,
        nodes: int = 4,
        analysers: int = 2,
        faults: Faults = NO_FAULTS,
        seed: int = 1,
        policy: Any = None,
        stay: int = 0,
    ) -> None:
        self.links = dict(enumerate(combinations(range(1, nodes + 1), 2), start=1))
        self.lives = dict.fromkeys(range(nodes + 1), 1)
        self.facts = SwitchFacts(analysers, RECONFIGURE, LONGEST, stay)
        self.policy = policy
        machines: dict[int, Any] = {SWITCH: self.new_switch()}
        machines |= {node: self.new_node(node) for node in range(1, nodes + 1)}
        super().__init__(machines, DELAY, faults, seed, self._happened)
        self.chance = random.Random(seed)
        self.comes = 1.0
        self.wants: Counter[int] = Counter()
        self.done: Counter[int] = Counter()
        self.held: dict[int, int] = {}  # analyser by link, as the switch says
        self.together = 0  # the most grants at one time
        self.ends: list[GrantEnded] = []

    def new_switch(self) -> SwitchSrp:
        links = {number: SwitchLink(ends, SLOT, ATTEMPT) for number, ends in self.links.items()}
        return SwitchSrp(links, self.facts, self.policy)

    def new_node(self, node: int) -> NodeSrp:
        return NodeSrp({n: SwitchPort(SWITCH, 2 * DELAY) for n, ends in self.links.items() if min(ends) == node})

    @property
    def switch(self) -> SwitchSrp:
        machine = self.machines[SWITCH]
        assert isinstance(machine, SwitchSrp)
        return machine

    def want(self, link: int, trains: int = 1) -> None:
        self.wants[link] += trains
        self.reserve(link)

    def reserve(self, link: int, **changes: Any) -> None:
        master: Any = self.machines[min(self.links[link])]
        wanted = {"slots": 50, "notice_ps": NOTICE + self.faults.jitter_ps, "deadline": None}
        master.reserve(link, **(wanted | changes), now=self.now)

    def _happened(self, node: int, event: Any, now: int) -> None:
        match event:
            case Granted():
                self._train(node, event)
            case Refused():
                if self.wants[event.link]:
                    self.at(now + 2 * DELAY, lambda: self.reserve(event.link))
            case Connect(link, analyser):
                assert analyser not in self.held.values(), "an analyser for two links"
                used = {end for other in self.held for end in self.links[other]}
                assert used.isdisjoint(self.links[link]), "a port for two links"
                self.held[link] = analyser
                self.together = max(self.together, len(self.held))
                assert len(self.held) <= self.facts.analysers
            case GrantEnded():
                del self.held[event.link]
                self.ends.append(event)
            case _:
                pass

    def _train(self, node: int, granted: Granted) -> None:
        """The node agrees with its peer, or does not; the Gens reach the station, or do not."""
        link, first, slots = granted
        if link not in self.wants:
            return
        if not self.wants[link]:
            self._machine(node).release(link)
            return
        if first * SLOT < self.now + NOTICE - DELAY:
            assert self.faults.loss or self.faults.jitter_ps, "too late to agree on a train"
            self._machine(node).release(link)
            self.reserve(link)
            return
        if self.chance.random() >= self.comes:  # as if the peer were busy, or a Gen lost
            if self.chance.random() < 0.5:
                self._machine(node).release(link)
            self.at(first * SLOT + 5 * DELAY, lambda: self.reserve(link))
            return
        length = self.chance.randrange(min(slots, TRAIN // SLOT))
        switch = self.switch

        def arrived() -> None:
            if self.machines[SWITCH] is switch and switch.train_comes(link, first, first + slots - 1, self.now):
                self.at((first + length) * SLOT + ATTEMPT, ended)
            else:
                self.at(self.now + DELAY, lambda: self.reserve(link))

        def ended() -> None:
            if self.machines[SWITCH] is not switch:
                self.at(self.now + DELAY, lambda: self.reserve(link))
                return
            switch.train_ends(link, True, self.now)
            self.done[link] += 1
            self.wants[link] -= 1
            if self.wants[link]:
                self.at(self.now + DELAY, lambda: self.reserve(link))

        self.at(first * SLOT - 1_500, arrived)

    def _machine(self, node: int) -> NodeSrp:
        machine = self.machines[node]
        assert isinstance(machine, NodeSrp)
        return machine

    def finish(self) -> None:
        """All ends by itself: nothing is held, nobody waits."""
        self.run(until=self.now + 1_000_000_000_000)
        assert all(machine.next_timeout() is None for machine in self.machines.values())
        assert not self.held
        assert not self.switch._waiting
        assert sorted(self.switch._resting) == list(range(self.facts.analysers)), "an analyser is missing"
        assert not self.switch._ports


# ---------------------------------------------------------------------------------------------- without loss


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


# ---------------------------------------------------------------------------------------------- qubits


def ready(lab: Lab, node: int, qubits: int) -> None:
    lab.switch.receive(SrpReady(qubits), node, lab.now)


def test_no_grant_without_a_qubit_at_either_end() -> None:
    """SRP-11: others are served meanwhile, and are not held up."""
    lab = Lab(analysers=1)
    ready(lab, 2, 0)
    lab.want(1)  # 1-2
    lab.want(6, 8)  # 3-4
    lab.run(until=REFRESHES * LONGEST - 1)
    assert lab.done == {6: 8}
    ready(lab, 2, 1)
    lab.finish()
    assert lab.done == {6: 8, 1: 1}


def test_a_success_takes_a_qubit_and_a_failure_does_not() -> None:
    """SRP-11."""
    lab = Lab()
    ready(lab, 1, 2)
    ready(lab, 2, 1)
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
    ready(lab, 2, 0)
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
    ready(lab, 77, 3)
    assert [type(event) for event in lab.switch.poll(0)] == [Ignored]
    assert not lab.switch._ready


# ---------------------------------------------------------------------------------------------- tickets


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
    assert times[1] - times[0] == 6 * DELAY
    assert times[2] - times[1] == 12 * DELAY


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
        lab.at(time, lambda node=node: lab_restart(lab, node))  # type: ignore[misc]
    lab.finish()
    assert all(count == 3 for count in lab.done.values())
    assert set(lab.done) == set(lab.links)


def lab_restart(lab: Lab, node: int) -> None:
    """A switch (0) or a node dies, and lives again; a node then wants what it has not got."""
    if node == 0:
        lab.held.clear()
        lab.replace(SWITCH, lab.new_switch())
        return
    lab.replace(node, lab.new_node(node))
    for link, ends in lab.links.items():
        if min(ends) == node and lab.wants[link]:
            lab.at(lab.now + 1, lambda link=link: lab.reserve(link))  # type: ignore[misc]


def test_the_tables_leave_out_no_state() -> None:
    assert {state for state, _ in NODE_TABLE} == set(NodeState)
    assert {stimulus for _, stimulus in NODE_TABLE} == set(NodeInput)
    assert {state for state, _ in RESERVATION_TABLE} == set(ReservationState)
    assert {stimulus for _, stimulus in RESERVATION_TABLE} == set(ReservationInput)


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
