"""LSR: what nodes hold of each other: versions, lives, the exchange of databases, the graph.  Requirements:
protocols/lsr/lsr.toml."""

from collections.abc import Iterable
from typing import Any

import pytest
from lsr_lab import GOOD, MS, Mesh, S, chain, ring

from protocols.lsr.damper import FULL
from protocols.lsr.database import Database, Key, newer
from protocols.lsr.node import Lsr
from protocols.lsr.service import Changed, NeighbourDown, Settings
from protocols.lsr.states import TABLE, Input, State
from protocols.machine import Send
from protocols.routes import Offer
from protocols.wire.codec import LsrAdvert, LsrHello, LsrLink, LsrRequest, LsrSummary, LsrVersion

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


def test_a_link_does_not_last_if_one_of_its_ends_starts_anew() -> None:
    """QNP-17: seen from far away, where it was never down; the other links are what they were."""
    mesh = Mesh(chain(4), Settings())
    mesh.net.run()
    far = mesh[1]
    before = far.database.topology_changes
    links = sorted({hop.link for hops in far.graph().values() for hop in hops})
    touched = {hop.link for hop in far.graph()[3]}
    assert [far.link_lasts(link, before) for link in links] == [True] * 3

    mesh.restart(3)
    mesh.run(1 * S)

    assert {link for link in links if not far.link_lasts(link, before)} == touched
    assert all(far.link_lasts(link, far.database.topology_changes) for link in links)


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
