"""LSR: neighbours, flooding, ageing and damping in meshes of machines.  Requirements: protocols/lsr/lsr.toml."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsr_lab import ALERT, DELAY, GOOD, MS, Links, Mesh, S, chain, frames, ring
from machine_pair import NO_FAULTS, Faults

from protocols.ignored import Ignored
from protocols.lsr.damper import FULL, LOAD_STEP, Damper, worth_telling
from protocols.lsr.database import Key
from protocols.lsr.node import Lsr
from protocols.lsr.service import Forgotten, NeighbourUp, Settings
from protocols.wire.codec import LsrAck, LsrAdvert, LsrHello, LsrLink, LsrRequest, LsrSummary, LsrVersion

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
        assert not mesh[n].database.link_in_reach(2)
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


@pytest.mark.parametrize(("down_s", "frames_most"), [(1, 40), (3, 60), (1_000, 160), (100_000, 260)])
def test_a_lost_neighbour_is_asked_for_ever_more_rarely_and_found_in_time(down_s: int, frames_most: int) -> None:
    """LSR-13: while nobody watches anything, it is found within an eighth of the time for which it was down."""
    mesh = Mesh(chain(3), Settings())
    mesh.net.cut.add(3)
    mesh.run(10 * S)
    mesh.net.cut.clear()
    mesh.run(10 * S)
    mesh.check()
    before = frames(mesh, LsrHello)
    mesh.net.cut.add(3)
    mesh[2].suspect(3, mesh.net.now)
    mesh.run(down_s * S)
    assert frames(mesh, LsrHello) - before < frames_most
    mesh.net.cut.clear()

    mesh.run(max(down_s * S // 8, Settings().hello_ps) + 10 * MS)

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
    before = {n: mesh[n]._saying.sequence for n in (1, 2)}

    for n in range(2_000):
        mesh.load(1, n % 2)
        mesh.run(5 * MS)
    mesh.net.run()

    for n in (1, 2):
        assert mesh[n]._saying.sequence - before[n] <= 20
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
