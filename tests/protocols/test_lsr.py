"""LSR: meshes of machines, their frames carried by hand.  Requirements: protocols/lsr/lsr.toml."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_pair import NO_FAULTS, Faults, Net

from protocols.ignored import Ignored
from protocols.lsr.damper import FULL, LOAD_STEP, Damper, worth_telling
from protocols.lsr.database import Database, Key, newer
from protocols.lsr.node import Lsr
from protocols.lsr.service import Changed, Forgotten, NeighbourDown, NeighbourUp, Settings
from protocols.lsr.states import TABLE, Input, State
from protocols.machine import Send
from protocols.routes import Offer
from protocols.wire.codec import LsrAck, LsrAdvert, LsrHello, LsrLink, LsrRequest, LsrSummary, LsrVersion

MS = 10**9
S = 10**12
DELAY = MS // 2
GOOD = Offer(FULL // 10 * 9, 1_000_000, DELAY, 2)
ALERT = Settings(idle_hello_ps=100 * MS)
"""Every neighbour is asked all the time, so that losses are seen though nobody watches."""

type Links = dict[int, tuple[int, int]]
"""By number: the two ends."""


class Mesh:
    """Nodes joined by links; links can be cut, nodes killed and restarted."""

    def __init__(
        self,
        links: Links,
        options: Settings = ALERT,
        faults: Faults = NO_FAULTS,
        seed: int = 1,
        transit: dict[int, bool] | None = None,
        **more: Any,
    ) -> None:
        self.links = links
        self.options = options
        self.more = more
        self.transit = transit or {}
        self.offers = dict.fromkeys(links, GOOD)
        self.down: set[int] = set()  # links that are cut
        self.lives = dict.fromkeys(sorted({end for ends in links.values() for end in ends}), 1)
        self.net = Net({n: self._machine(n) for n in self.lives}, DELAY, faults, seed)
        self.net.trouble = None
        self._chance = self.net._carry
        self.net._carry = self._carry  # type: ignore[method-assign]
        for n in self.lives:
            self._begin(n)

    def _machine(self, n: int) -> Lsr:
        neighbours = {a + b - n: 2 * DELAY for a, b in self.links.values() if n in (a, b)}
        return Lsr(n, self.lives[n], neighbours, self.transit.get(n, True), self.options, **self.more)

    def _begin(self, n: int) -> None:
        machine = self[n]
        for link, (a, b) in self.links.items():
            if n in (a, b):
                machine.offer(link, a + b - n, self.offers[link], self.net.now)
        machine.start(self.net.now)

    def _carry(self, source: int, send: Any) -> None:
        """Frames of two nodes run beside their links: all cut, none arrive."""
        pair = {source, send.destination}
        if all(link in self.down for link, ends in self.links.items() if set(ends) == pair):
            self.net.sent.append((self.net.now, source, *send[:2]))
        else:
            self._chance(source, send)

    def __getitem__(self, n: int) -> Lsr:
        return self.net.machines[n]  # type: ignore[return-value]

    def run(self, for_ps: int) -> None:
        self.net.run(until=self.net.now + for_ps)

    def kill(self, n: int) -> None:
        self.net.cut.add(n)

    def restart(self, n: int) -> None:
        self.lives[n] += 1
        self.net.cut.discard(n)
        self.net.replace(n, self._machine(n))
        self._begin(n)

    def cut(self, *links: int) -> None:
        self.down.update(links)

    def mend(self, *links: int) -> None:
        self.down.difference_update(links)

    def load(self, link: int, part: float) -> None:
        self.offers[link] = self.offers[link]._replace(load=round(part * FULL))
        for n in self.links[link]:
            if n not in self.net.cut:
                self[n].offer(link, sum(self.links[link]) - n, self.offers[link], self.net.now)

    # -- what is true ---------------------------------------------------------------------------------------------

    def works(self, link: int) -> bool:
        """A link works while frames get through between its ends: their links share a way."""
        ends = set(self.links[link])
        together = [other for other, its in self.links.items() if set(its) == ends]
        return not ends & self.net.cut and any(other not in self.down for other in together)

    def component(self, n: int) -> set[int]:
        found, waiting = {n}, [n]
        while waiting:
            here = waiting.pop()
            there = {sum(ends) - here for link, ends in self.links.items() if here in ends and self.works(link)}
            waiting += there - found
            found |= there
        return found

    def check(self) -> None:
        """All databases of a connected part are equal, and say what is true."""
        for n in self.lives:
            if n in self.net.cut:
                continue
            part = self.component(n)
            graph = self[n].graph()
            assert set(graph) == part, f"node {n} reaches {set(graph)}, not {part}"
            for other in part:
                expected = sorted(
                    (sum(ends) - other, link) for link, ends in self.links.items() if other in ends and self.works(link)
                )
                if other == n or self.transit.get(other, True):
                    assert [(hop.node, hop.link) for hop in graph[other]] == expected, f"{other} as {n} sees it"
                else:
                    assert graph[other] == ()
                for hop in graph[other]:
                    assert hop.offer._replace(load=0) == self.offers[hop.link]._replace(load=0)
                    assert abs(hop.offer.load - self.offers[hop.link].load) < LOAD_STEP
                assert self[n].database.life(other) in (self.lives[other], None)
                assert self[n].database.digest() == self[other].database.digest()
                reach = frozenset(part)
                assert self[n].database.versions(reach) == self[other].database.versions(reach)


def chain(count: int) -> Links:
    return {n: (n, n + 1) for n in range(1, count)}


def ring(count: int) -> Links:
    return chain(count) | {count: (1, count)}


def frames(mesh: Mesh, *kinds: type) -> int:
    return len(mesh.net.messages(*kinds))


# ------------------------------------------------------------------------------------------------------ neighbours


def test_two_neighbours_find_each_other_and_rest() -> None:
    """LSR-1, LSR-13: after that, nothing is sent and nothing is due."""
    mesh = Mesh(chain(2), Settings())

    mesh.net.run()

    mesh.check()
    assert mesh.net.now < 20 * MS
    assert frames(mesh) <= 12
    assert mesh.net.of(1, NeighbourUp) == [NeighbourUp(2)]
    assert mesh.net.of(2, NeighbourUp) == [NeighbourUp(1)]


def test_a_neighbour_that_is_not_heard_is_no_neighbour() -> None:
    """LSR-1: frames get through one way only."""
    mesh = Mesh(chain(2))
    mesh.net.trouble = lambda source, destination, message: source == 2

    mesh.run(2 * S)

    assert not mesh[1].neighbour_up(2)
    assert not mesh[2].neighbour_up(1)
    assert mesh[1].graph() == {1: ()}
    mesh.net.trouble = None
    mesh.run(1 * S)
    mesh.check()


def test_a_way_that_carries_one_direction_no_more_is_down_at_both_ends() -> None:
    """LSR-1"""
    mesh = Mesh(chain(3))
    mesh.run(1 * S)
    mesh.net.trouble = lambda source, destination, message: (source, destination) == (2, 3)

    mesh.run(2 * S)

    for n in (1, 2, 3):
        assert not mesh[n].link_up(2)
    assert set(mesh[1].graph()) == {1, 2}


def test_who_answers_nothing_is_lost_after_the_dead_interval_and_not_before() -> None:
    """LSR-10"""
    mesh = Mesh(chain(2), Settings())
    mesh.net.run()
    mesh[1].watch(2, mesh.net.now)
    mesh.run(300 * MS)
    heard = mesh[1]._neighbours[2].heard_at
    mesh.kill(2)

    mesh.net.run(until=heard + 400 * MS)
    assert mesh[1].neighbour_up(2)

    mesh.net.run(until=heard + 700 * MS)
    assert not mesh[1].neighbour_up(2)
    assert mesh[1].graph() == {1: ()}


def test_a_watched_neighbour_is_asked_once_an_interval_and_by_one_side_only() -> None:
    """LSR-10, LSR-3"""
    mesh = Mesh(chain(2), Settings())
    mesh.net.run()
    mesh[1].watch(2, mesh.net.now)
    mesh[2].watch(1, mesh.net.now)
    before = frames(mesh)

    mesh.run(10 * S)

    assert 2 * 95 <= frames(mesh) - before <= 2 * 101
    mesh[1].unwatch(2, mesh.net.now)
    mesh[2].unwatch(1, mesh.net.now)
    mesh.run(1 * S)
    rest = frames(mesh)
    mesh.run(100 * S)
    assert frames(mesh) == rest


def test_a_lost_neighbour_is_asked_for_ever_more_rarely() -> None:
    """LSR-13: while nobody watches anything."""
    mesh = Mesh(chain(3), Settings())
    mesh.kill(3)

    mesh.run(1_000 * S)

    assert frames(mesh, LsrHello) < 40
    mesh.net.cut.clear()
    mesh.run(1_000 * S)
    mesh.check()


def test_the_first_watch_asks_for_lost_neighbours_at_once() -> None:
    mesh = Mesh(chain(3), Settings())
    mesh.kill(3)
    mesh.run(1_000 * S)
    mesh.net.cut.clear()

    mesh[2].watch(1, mesh.net.now)
    mesh.run(100 * MS)

    mesh.check()


def test_a_suspected_neighbour_that_is_there_stays_and_one_that_is_not_goes() -> None:
    """LSR-10: a broken stream is a reason to ask, though nobody watches."""
    mesh = Mesh(chain(3), Settings())
    mesh.net.run()

    mesh[2].suspect(1, mesh.net.now)
    mesh[2].suspect(3, mesh.net.now)
    mesh.kill(3)
    mesh.run(600 * MS)

    assert mesh[2].neighbour_up(1)
    assert not mesh[2].neighbour_up(3)
    assert set(mesh[1].graph()) == {1, 2}


def test_an_old_hello_changes_nothing() -> None:
    """LSR-2: one that says "I do not hear you" is overtaken by one that does."""
    mesh = Mesh(chain(2), Settings())
    mesh.net.run()

    mesh[1].receive(LsrHello(1, 0, 1, 1, 0), 2, mesh.net.now)
    mesh.run(MS)

    assert mesh[1].neighbour_up(2)
    assert [event.reason for event in mesh.net.of(1, Ignored)] == ["overtaken"]


# -------------------------------------------------------------------------------------------------------- flooding


@pytest.mark.parametrize("links", [chain(6), ring(7), chain(5) | {9: (2, 4), 8: (1, 5)}], ids=["chain", "ring", "mesh"])
def test_all_learn_of_all(links: Links) -> None:
    mesh = Mesh(links, Settings())

    mesh.net.run()

    mesh.check()


def test_an_advert_goes_once_over_each_link_or_crosses_itself() -> None:
    """LSR-5: a change costs at most two adverts a link, and nothing after."""
    mesh = Mesh(ring(8), Settings())
    mesh.net.run()
    before = frames(mesh, LsrAdvert)

    mesh.load(1, 0.5)  # one version of each end of the link
    mesh.net.run()

    assert frames(mesh, LsrAdvert) - before <= 2 * 2 * 8
    mesh.check()


def test_a_lost_advert_is_sent_again_until_it_is_acknowledged() -> None:
    """LSR-5"""
    mesh = Mesh(chain(3), Settings())
    mesh.net.run()
    lost: list[Any] = []

    def trouble(source: int, destination: int, message: Any) -> bool:
        if isinstance(message, LsrAdvert) and destination == 3 and len(lost) < 4:
            lost.append(message)
            return True
        return False

    mesh.net.trouble = trouble
    mesh.load(1, 0.5)
    mesh.net.run()

    assert len(lost) == 4
    mesh.check()


def test_a_version_that_is_held_is_acknowledged_and_an_older_one_answered_by_the_newer() -> None:
    """LSR-6"""
    mesh = Mesh(chain(3), Settings())
    mesh.net.run()
    held = mesh[2].database.get(Key(1, 0))
    assert held is not None
    sent = frames(mesh)

    mesh[2].receive(held, 3, mesh.net.now)
    mesh[2].receive(held._replace(sequence=held.sequence - 1 & FULL), 3, mesh.net.now)
    mesh.net.run()

    assert mesh.net.messages()[sent:][:2] == [held, LsrAck((LsrVersion(1, 0, 1, held.sequence),))]


def test_a_neighbour_that_is_down_tells_nothing() -> None:
    machine = Lsr(1, 1, {2: MS})

    machine.receive(LsrAdvert(2, 0, 1, 1, 1, ()), 2, 0)
    machine.receive(LsrAdvert(3, 0, 1, 1, 1, ()), 3, 0)

    assert [e.reason for e in machine.poll(0)] == ["a neighbour that is down", "not a neighbour"]
    assert machine.database.get(Key(2, 0)) is None


def test_an_advert_that_names_a_link_twice_is_ignored() -> None:
    mesh = Mesh(chain(2), Settings())
    mesh.net.run()
    link = LsrLink(1, 1, *GOOD)

    mesh[1].receive(LsrAdvert(2, 0, 1, 100, 1, (link, link)), 2, mesh.net.now)
    mesh.net.run()

    assert [event.reason for event in mesh.net.of(1, Ignored)] == ["a link named twice"]
    mesh.check()


# -------------------------------------------------------------------------------------------- versions, lives, wraps


@pytest.mark.parametrize(
    ("older", "younger"),
    [((1, 5), (1, 6)), ((1, FULL), (1, 0)), ((1, 900), (2, 1)), ((0xFFFF, 900), (1, 1)), ((1, 0xF000_0000), (1, 5))],
)
def test_versions_are_ordered_by_life_then_sequence_and_both_wrap(
    older: tuple[int, int], younger: tuple[int, int]
) -> None:
    """LSR-4"""
    a, b = (LsrVersion(7, 0, *version) for version in (older, younger))

    assert newer(b, a)
    assert not newer(a, b)
    assert not newer(a, a)


def test_sequences_wrap_in_a_running_network() -> None:
    """LSR-4"""
    mesh = Mesh(ring(4), Settings(), first_sequence=FULL)
    mesh.net.run()

    for n in range(1, 12):
        mesh.load(1, n % 2)
        mesh.net.run()
        mesh.check()
    advert = mesh[3].database.get(Key(1, 0))
    assert advert is not None
    assert 5 < advert.sequence < 20


def test_a_restarted_node_outdoes_what_its_earlier_life_has_said() -> None:
    """LSR-7: it says something else now, with a lower sequence."""
    mesh = Mesh(chain(4), Settings())
    mesh.net.run()
    for part in (0.2, 0.5, 0.8):
        mesh.load(2, part)
        mesh.net.run()
    mesh.kill(2)
    mesh.run(1 * S)

    mesh.offers[1] = mesh.offers[1]._replace(fidelity=FULL // 2)
    mesh.restart(2)
    mesh.run(2 * S)
    mesh.load(1, 0.0)
    mesh.run(2 * S)

    mesh.check()
    advert = mesh[4].database.get(Key(2, 0))
    assert advert is not None
    assert (advert.incarnation, advert.sequence) == (2, 1)


def test_a_node_that_restarts_unnoticed_gets_the_whole_database_again() -> None:
    """LSR-8, LSR-2: before anybody had missed it."""
    mesh = Mesh(ring(5), Settings())
    mesh.net.run()

    mesh.restart(3)
    mesh.run(1 * S)

    mesh.check()
    assert mesh.net.of(2, NeighbourDown) == [NeighbourDown(3)]


def test_a_version_of_its_own_that_a_node_has_not_said_is_outdone() -> None:
    """LSR-7"""
    mesh = Mesh(chain(3), Settings())
    mesh.net.run()

    mesh[2].receive(LsrAdvert(1, 0, 1, 500, 1, ()), 3, mesh.net.now)
    mesh.net.run()

    mesh.check()
    advert = mesh[3].database.get(Key(1, 0))
    assert advert is not None
    assert advert.sequence == 501


def test_a_newer_life_replaces_every_part_of_the_earlier_one() -> None:
    """LSR-5"""
    database = Database(1)
    database.install(LsrAdvert(5, 0, 1, 1, 1, (LsrLink(1, 6, *GOOD),)))
    database.install(LsrAdvert(5, 1, 1, 1, 1, (LsrLink(2, 7, *GOOD),)))

    fallen = database.install(LsrAdvert(5, 0, 2, 1, 1, ()))

    assert fallen == [Key(5, 1)]
    assert database.versions(frozenset({5})) == [LsrVersion(5, 0, 2, 1)]
    assert database.supersedes(LsrVersion(5, 1, 1, 9)) == LsrAdvert(5, 0, 2, 1, 1, ())


# ------------------------------------------------------------------------------------------------- database exchange


def test_a_node_that_joins_gets_everything_in_one_exchange() -> None:
    """LSR-8"""
    links = chain(30)
    mesh = Mesh(links, Settings())
    mesh.kill(30)
    mesh.run(1 * S)
    before = len(mesh.net.sent)

    mesh.restart(30)
    mesh.run(1 * S)

    mesh.check()
    to_it = [m for _, _, destination, m in mesh.net.sent[before:] if destination == 30]
    assert sum(isinstance(m, LsrAdvert) for m in to_it) <= 31
    assert sum(isinstance(m, LsrSummary) for m in to_it) <= 3


def test_a_partition_heals() -> None:
    """LSR-8: both sides have changed meanwhile."""
    mesh = Mesh(ring(8))
    mesh.run(1 * S)
    mesh.cut(2, 6)
    mesh.run(2 * S)
    mesh.check()
    mesh.load(4, 0.5)
    mesh.load(8, 0.5)
    mesh.run(2 * S)
    mesh.check()

    mesh.mend(2, 6)
    mesh.run(2 * S)

    mesh.check()
    assert len(mesh[1].graph()) == 8


def test_a_summary_covers_what_is_not_named_in_it() -> None:
    """LSR-8: by pieces; requests and adverts answer them."""
    mesh = Mesh(chain(2), Settings())
    mesh.net.run()
    know = mesh[2].database.get(Key(1, 0)), mesh[2].database.get(Key(2, 0))

    mesh[2].receive(LsrSummary(1, 0, 1, 255, ()), 1, mesh.net.now)  # 1 is not there, of 2 nothing is said
    mesh[2].receive(LsrSummary(3, 0, 0xFFFF, 255, (LsrVersion(9, 0, 1, 1),)), 1, mesh.net.now)
    outputs = [output.message for output in mesh[2].poll(mesh.net.now) if hasattr(output, "message")]

    assert outputs[0] == know[0]
    assert outputs[1] == LsrRequest(((9, 0),))  # type: ignore[arg-type]


class Alone:
    """Node 1 alone, its neighbours played by the test."""

    def __init__(self, peers: Iterable[int]) -> None:
        self.peers = list(peers)
        self.machine = Lsr(1, 1, dict.fromkeys(self.peers, MS), settings=Settings())
        self.now = 0
        self.hellos = 0
        for peer in self.peers:
            self.machine.offer(peer, peer, GOOD, 0)
        self.machine.start(0)
        self.hello(self.peers, heard=1)
        self.poll()

    def hello(self, peers: Iterable[int], heard: int) -> None:
        self.hellos += 1
        for peer in peers:
            self.machine.receive(LsrHello(1, heard, self.hellos, 0, 0), peer, self.now)

    def poll(self) -> list[Any]:
        """What is sent until nothing more is due in the next 20 ms."""
        sent = []
        end = self.now + 20 * MS
        while (due := self.machine.next_timeout()) is not None and due <= end:
            self.now = max(self.now, due)
            sent += [output.message for output in self.machine.poll(self.now) if type(output) is Send]
        self.now = end
        return sent


def test_more_versions_than_fit_into_one_summary_go_into_several() -> None:
    """LSR-8: together the pieces cover all keys, and name every version once."""
    alone = Alone([10])
    for n in range(10, 210):
        links = (LsrLink(n, n - 1 if n > 10 else 1, *GOOD), LsrLink(n + 1, n + 1, *GOOD))
        alone.machine.receive(LsrAdvert(n, 0, 1, 1, 1, links), 10, alone.now)
    assert len(alone.machine.graph()) == 201
    alone.poll()

    alone.hello([10], heard=0)
    alone.hello([10], heard=1)

    pieces = [message for message in alone.poll() if isinstance(message, LsrSummary)][:2]
    assert [(p.first_origin, p.first_part, p.last_origin, p.last_part) for p in pieces] == [
        (0, 0, 128, 0),
        (128, 1, 0xFFFF, 0xFF),
    ]
    assert [version.origin for p in pieces for version in p.versions] == [1, *range(10, 210)]


def test_a_node_with_many_links_says_them_in_parts() -> None:
    """LSR-14: 60 links; then half of them go, and what is left of the second part is said to be empty."""
    alone = Alone(range(2, 62))

    first, second = (alone.machine.database.get(Key(1, part)) for part in (0, 1))
    assert first is not None
    assert second is not None
    assert [link.link for link in first.links + second.links] == list(range(2, 62))
    assert max(len(advert.pack()) for advert in (first, second)) + 32 <= 1200
    alone.hello(range(2, 32), heard=0)
    alone.poll()

    first, second = (alone.machine.database.get(Key(1, part)) for part in (0, 1))
    assert first is not None
    assert second is not None
    assert [link.link for link in first.links] == list(range(32, 62))
    assert second.links == ()


# ------------------------------------------------------------------------------------------------------------ ageing


def test_an_origin_out_of_reach_is_forgotten_at_the_age_limit_and_not_before() -> None:
    """LSR-11"""
    mesh = Mesh(chain(4))
    mesh.run(1 * S)
    mesh.cut(2)
    mesh.run(50 * S)
    assert mesh[1].database.get(Key(4, 0)) is not None
    mesh.check()

    mesh.run(15 * S)

    assert mesh[1].database.get(Key(4, 0)) is None
    assert mesh[1].database.get(Key(3, 0)) is None
    assert mesh.net.of(1, Forgotten) == [Forgotten(3), Forgotten(4)]
    mesh.check()
    mesh.mend(2)
    mesh.run(1 * S)
    mesh.check()


def test_who_comes_back_in_time_is_not_forgotten() -> None:
    """LSR-11"""
    mesh = Mesh(chain(3))
    mesh.run(1 * S)
    mesh.cut(2)
    mesh.run(40 * S)
    mesh.mend(2)

    mesh.run(100 * S)

    assert not mesh.net.of(1, Forgotten)
    mesh.check()


# ----------------------------------------------------------------------------------------------------------- damping


def test_small_changes_of_load_are_not_told() -> None:
    """LSR-9"""
    mesh = Mesh(chain(3), Settings())
    mesh.net.run()
    before = frames(mesh)

    for part in (0.05, 0.1, 0.06, 0.12):
        mesh.load(1, part)
        mesh.net.run()

    assert frames(mesh) == before
    mesh.load(1, 0.13)
    mesh.net.run()
    assert frames(mesh) > before


def test_zero_and_full_are_always_told() -> None:
    """LSR-9"""
    link = LsrLink(1, 2, *GOOD)

    def told(a: int, b: int) -> bool:
        return worth_telling((link._replace(load=a),), (link._replace(load=b),))

    assert told(1, 0)
    assert told(FULL - 1, FULL)
    assert not told(0, 1)
    assert not told(FULL, FULL)
    assert told(0, LOAD_STEP)
    assert worth_telling((link,), (link._replace(memories=1),))
    assert worth_telling((link,), ())


def test_a_load_that_goes_up_and_down_is_told_ever_more_rarely() -> None:
    """LSR-9: two thousand changes in ten seconds."""
    mesh = Mesh(chain(2), Settings())
    mesh.net.run()
    before = {n: mesh[n]._sequence for n in (1, 2)}

    for n in range(2_000):
        mesh.load(1, n % 2)
        mesh.run(5 * MS)
    mesh.net.run()

    for n in (1, 2):
        assert mesh[n]._sequence - before[n] <= 20
    mesh.check()


def test_a_change_that_is_taken_back_is_never_told() -> None:
    """LSR-9"""
    mesh = Mesh(chain(2), Settings())
    mesh.net.run()
    before = frames(mesh)

    mesh.load(1, 1.0)
    mesh.load(1, 0.0)
    mesh.net.run()

    assert frames(mesh) == before


def test_the_hold_starts_anew_after_a_quiet_time() -> None:
    """LSR-9"""
    damper = Damper(Settings(hold_ps=10, most_hold_ps=40), settle_ps=1)
    times = []
    now = 0
    for wait in (0, 0, 0, 0, 0, 1_000, 0):
        now += wait
        damper.changed(now)
        assert damper.due is not None
        now = damper.due
        times.append(now)
        damper.said(now)

    assert [b - a for a, b in pairwise(times)] == [10, 20, 40, 40, 1_001, 10]


# ------------------------------------------------------------------------------------------------------------- graph


def test_a_link_that_one_end_says_is_no_link() -> None:
    """LSR-12"""
    database = Database(1)
    database.install(LsrAdvert(1, 0, 1, 1, 1, (LsrLink(1, 2, *GOOD), LsrLink(2, 3, *GOOD))))
    database.install(LsrAdvert(2, 0, 1, 1, 1, (LsrLink(1, 1, *GOOD),)))
    database.install(LsrAdvert(3, 0, 1, 1, 1, ()))

    assert database.up(1)
    assert not database.up(2)
    assert not database.up(3)
    assert {n: [hop.node for hop in hops] for n, hops in database.graph().items()} == {1: [2], 2: [1]}


def test_a_link_can_do_no_more_than_either_end_says() -> None:
    database = Database(1)
    database.install(LsrAdvert(1, 0, 1, 1, 1, (LsrLink(1, 2, 90, 500, 7, 4, 1),)))
    database.install(LsrAdvert(2, 0, 1, 1, 1, (LsrLink(1, 1, 80, 600, 8, 2, 3),)))

    assert database.graph()[1][0].offer == Offer(80, 500, 8, 2, 3)


def test_no_circuit_passes_through_who_says_so() -> None:
    """LSR-12: adverts do, all the same."""
    mesh = Mesh(chain(4), Settings(), transit={2: False})

    mesh.net.run()

    mesh.check()
    assert set(mesh[1].graph()) == {1, 2, 3, 4}
    assert mesh[1].graph()[2] == ()
    assert [hop.node for hop in mesh[2].graph()[2]] == [1, 3]


def test_links_move_between_parts_without_being_lost() -> None:
    """LSR-14: in whichever order the parts come."""
    a, b = LsrLink(1, 2, *GOOD), LsrLink(2, 3, *GOOD)
    database = Database(1)
    database.install(LsrAdvert(2, 0, 1, 1, 1, (LsrLink(1, 1, *GOOD),)))
    database.install(LsrAdvert(3, 0, 1, 1, 1, (LsrLink(2, 1, *GOOD),)))
    database.install(LsrAdvert(1, 0, 1, 1, 1, (a,)))
    database.install(LsrAdvert(1, 1, 1, 1, 1, (b,)))

    database.install(LsrAdvert(1, 1, 1, 2, 1, (a, b)))
    database.install(LsrAdvert(1, 0, 1, 2, 1, ()))

    assert database.reach() == {1, 2, 3}


def test_changes_are_told_and_only_changes() -> None:
    mesh = Mesh(chain(3), Settings())
    mesh.net.run()
    graph = mesh[1].graph()
    events = len(mesh.net.of(1, Changed))

    mesh[3].suspect(2, mesh.net.now)
    mesh.net.run()
    assert len(mesh.net.of(1, Changed)) == events
    assert mesh[1].graph() is graph

    mesh.load(2, 0.5)
    mesh.net.run()
    assert events < len(mesh.net.of(1, Changed)) <= events + 2
    assert mesh[1].graph() is not graph


def test_the_table_knows_every_input_of_a_neighbour_that_is_up() -> None:
    for state in (State.DIFFER, State.AGREE):
        for stimulus in Input:
            assert (state, stimulus) in TABLE


# ------------------------------------------------------------------------------------------------- whatever happens


def _pairs(count: int) -> list[tuple[int, int]]:
    return [(a, b) for a in range(1, count + 1) for b in range(a + 1, count + 1)]


@st.composite
def networks(draw: st.DrawFn) -> Links:
    count = draw(st.integers(2, 7))
    tree = [(draw(st.integers(1, n - 1)), n) for n in range(2, count + 1)]
    more = draw(st.lists(st.sampled_from(_pairs(count)), max_size=5))
    return dict(enumerate(tree + more, 1))


def happenings(links: Links) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    nodes = sorted({end for ends in links.values() for end in ends})
    link = st.sampled_from(sorted(links))
    one = st.one_of(
        st.tuples(st.sampled_from(["cut", "mend"]), link),
        st.tuples(st.sampled_from(["kill", "restart"]), st.sampled_from(nodes)),
        st.tuples(st.just("load"), link, st.sampled_from([0.0, 0.3, 0.34, 0.7, 1.0])),
        st.tuples(st.just("run"), st.sampled_from([MS // 10, MS, 10 * MS, 150 * MS, 600 * MS])),
    )
    return st.lists(one, max_size=14)


def play(mesh: Mesh, script: Iterable[tuple[Any, ...]]) -> None:
    for deed, *arguments in script:
        if deed == "restart" and arguments[0] not in mesh.net.cut:
            mesh.kill(arguments[0])
        getattr(mesh, deed)(*arguments)


@settings(max_examples=60)
@given(st.data(), networks(), st.integers(0, 1 << 16))
def test_after_quiescence_all_that_are_connected_agree_and_are_right(
    data: st.DataObject, links: Links, seed: int
) -> None:
    """Cuts, deaths, restarts and loads at any time, frames lost, doubled and out of order while they happen."""
    faults = Faults(
        loss=data.draw(st.sampled_from([0.0, 0.1, 0.4])),
        duplicate=data.draw(st.sampled_from([0.0, 0.2])),
        jitter_ps=data.draw(st.sampled_from([0, DELAY, 3 * DELAY])),
    )
    mesh = Mesh(links, ALERT, faults, seed)
    play(mesh, data.draw(happenings(links)))

    mesh.net.faults = NO_FAULTS
    mesh.run(6 * S)
    mesh.check()

    before = frames(mesh, LsrAdvert, LsrSummary, LsrRequest, LsrAck)
    mesh.run(3 * S)
    assert frames(mesh, LsrAdvert, LsrSummary, LsrRequest, LsrAck) == before, "they do not come to rest"
    mesh.check()
