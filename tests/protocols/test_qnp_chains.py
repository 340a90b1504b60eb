"""QNP over repeaters: whatever the links do, both ends believe the truth, and nothing is left over."""

from typing import Any

import pytest
from chain_world import DELAY_PS, World
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.qnp.promise import PATIENCE_PS, Wishes, promise
from protocols.qnp.purify import Imperfect, distilled
from protocols.qnp.service import KEPT, CircuitClosed, Delivery, PairDelivered, PairLost, PairMeasured, RequestEnded
from protocols.qnp.shared import NodeFacts
from protocols.qnp.sketch import MIXED, sketched, werner
from protocols.qnp.states import CircuitInput
from protocols.routes import Hop, Offer
from protocols.wire.codec import EgpBases, EgpBasis, PairKind, Purification, QnpTrack

PURPOSE = 7


DELIVERIES = (
    KEPT,
    Delivery(PairKind.EARLY),
    Delivery(PairKind.MEASURE, EgpBases.XYZ, EgpBases.XYZ),
    Delivery(test_share=1 << 31),
    Delivery(bank=2, bank_age_ps=60 * DELAY_PS),
)


def line(hops: int) -> dict[int, tuple[int, int]]:
    return {link: (link, link + 1) for link in range(1, hops + 1)}


def steady(hops: int, **wishes: Any) -> World:
    world = World(line(hops), Wishes(cutoff_ps=0, **wishes), lambda what, options: options[0], troubles=0)
    world.qnp(hops + 1).listen(PURPOSE)
    return world


def check_ends(world: World, lossless: bool) -> dict[tuple[int, int], int]:
    """Pairs by name that both ends have and nobody lost: same index, and true."""
    kept: dict[tuple[int, int], list[Any]] = {}
    for node in world.net.machines:
        lost = [event.pair for event in world.net.of(node, PairLost)]
        for event in world.net.of(node, PairDelivered):
            if event.pair not in lost:
                kept.setdefault((event.pair.head, event.pair.pair_id), []).append(event.pair)
    for name, pairs in kept.items():
        assert len(pairs) == 2 or not lossless, name
        if len(pairs) == 2:
            a, b = pairs
            assert a.bell_index == b.bell_index == world.bell_index(a.qubit, b.qubit)
    return {name: pairs[0].bell_index for name, pairs in kept.items() if len(pairs) == 2}


def check_measured(world: World) -> None:
    """Both ends have an outcome of each measured pair, and it is as of |Phi+>."""
    found: dict[tuple[int, int], list[PairMeasured]] = {}
    for node in world.net.machines:
        for event in world.net.of(node, PairMeasured):
            found.setdefault((event.head, event.pair_id), []).append(event)
    for one, *others in found.values():
        for other in others:
            if one.basis == other.basis:
                assert one.outcome ^ other.outcome == (one.basis == EgpBasis.Y)


def at_rest(world: World) -> None:
    """Every qubit is with a user or back, no node waits for anything or remembers a circuit."""
    assert set(world.owner.values()) <= {"user"}
    for node, machine in world.net.machines.items():
        assert machine.next_timeout() is None, node
        assert world.qnp(node)._circuits == {}


def test_a_track_gathers_the_swaps_in_both_directions() -> None:
    """QNP-13: one Track per pair, direction and hop."""
    world = steady(3)
    world.qnp(1).request(4, PURPOSE, 2, 0, 0)
    world.net.run()
    assert len(check_ends(world, lossless=True)) == 2
    tracks = [(source, destination) for _, source, destination, m in world.net.sent if isinstance(m, QnpTrack)]
    assert sorted(tracks) == sorted([(a, b) for i in (1, 2, 3) for a, b in ((i, i + 1), (i + 1, i))] * 2)
    at_rest(world)


def test_requests_share_a_circuit() -> None:
    world = steady(2)
    world.qnp(3).listen(PURPOSE + 1)
    for purpose in (PURPOSE, PURPOSE + 1):
        world.qnp(1).request(3, purpose, 3, 0, 0)
    world.net.run()
    assert len(world.net.of(3, CircuitClosed)) == 1
    for node in (1, 3):
        ended = world.net.of(node, RequestEnded)
        assert [(event.purpose, event.delivered) for event in ended] == [(PURPOSE, 3), (PURPOSE + 1, 3)]
        purposes = [event.purpose for event in world.net.of(node, PairDelivered)]
        assert sorted(purposes) == [PURPOSE] * 3 + [PURPOSE + 1] * 3
    assert len(check_ends(world, lossless=True)) == 6
    at_rest(world)


def test_a_request_may_run_out_of_time() -> None:
    world = steady(2)
    request = world.qnp(1).request(3, PURPOSE, 0, 0, 0, max_time_ps=50 * DELAY_PS)
    world.qnp(1).want(request, 1, 0)
    world.net.run()
    assert [event.cause for event in world.net.of(1, RequestEnded)] == [CircuitInput.TIMEOUT]
    assert len(check_ends(world, lossless=True)) == 1
    at_rest(world)


@pytest.mark.parametrize("method", [Purification.BBPSSW, Purification.DEJMPS])
@pytest.mark.parametrize(
    ("links", "ends", "pumping"), [(1, 0, False), (2, 0, True), (0, 1, False), (0, 2, True), (1, 1, False)]
)
def test_purified_pairs_are_named_rightly(method: Purification, links: int, ends: int, pumping: bool) -> None:
    """QNP-16: perfect pairs of whatever Bell state never fail, and both ends know what they become."""
    world = World(
        line(2),
        Wishes(cutoff_ps=0, method=method, link_rounds=links, end_rounds=ends, pumping=pumping),
        lambda what, options: options[len(world.mates) * 7 % len(options)] if what == "index" else options[0],
        troubles=10**6,
    )
    world.qnp(3).listen(PURPOSE)
    world.qnp(1).request(3, PURPOSE, 4, 0, 0)
    world.net.run()
    assert len(check_ends(world, lossless=True)) == 4
    each = (links + 1 if pumping else 2**links) * (ends + 1 if pumping else 2**ends)
    assert sum(link == 1 for link, _ in world.mates) == 4 * each
    at_rest(world)


@settings(max_examples=60)
@given(data=st.data())
def test_both_ends_believe_the_truth_whatever_the_links_do(data: Any) -> None:
    """QNP-3 to QNP-13, on random trees, with halves that are late, missing or taken back, cutoffs, and users that
    change their mind."""
    size = data.draw(st.integers(2, 6), "nodes")
    links = {n - 1: (data.draw(st.integers(1, n - 1), "parent"), n) for n in range(2, size + 1)}
    wishes = Wishes(
        cutoff_ps=data.draw(st.sampled_from([0, 8, 20])) * DELAY_PS,
        nested=data.draw(st.booleans()),
        method=data.draw(st.sampled_from(Purification)),
        link_rounds=data.draw(st.integers(0, 2), "link rounds"),
        end_rounds=data.draw(st.integers(0, 1), "end rounds"),
        pumping=data.draw(st.booleans()),
    )
    world = World(links, wishes, lambda what, options: data.draw(st.sampled_from(options), what))
    for node in world.net.machines:
        world.qnp(node).listen(PURPOSE, kinds=tuple(PairKind))
    finished = set()
    for _ in range(data.draw(st.integers(1, 3), "requests")):
        head = data.draw(st.integers(1, size), "head")
        tail = data.draw(st.integers(1, size).filter(lambda n: n != head), "tail")  # noqa: B023
        delivery = data.draw(st.sampled_from(DELIVERIES), "delivery")
        number = data.draw(st.integers(1, 4))
        request = world.qnp(head).request(tail, PURPOSE, number, 0, world.net.now, delivery=delivery)
        if data.draw(st.booleans(), "finish"):
            finished.add((head, request))
            when = data.draw(st.integers(0, 30)) * DELAY_PS
            world.net.at(when, lambda n=head, r=request: world.qnp(n).finish(r, world.net.now))
    world.net.run(until=20_000 * DELAY_PS)
    assert not any(world.qnp(node)._circuits for node in world.net.machines), "a circuit waits for ever"
    world.net.run()
    check_ends(world, lossless=True)
    check_measured(world)
    for node in world.net.machines:
        for ended in world.net.of(node, RequestEnded):
            if ended.head == node and (node, ended.request) not in finished:
                assert ended.cause is CircuitInput.SATISFIED
    at_rest(world)


@settings(max_examples=40)
@given(data=st.data())
def test_a_neighbour_that_is_lost_leaves_nothing_behind(data: Any) -> None:
    """QNP-10: a line on which one stream breaks, at both its ends, in the middle of it all."""
    hops = data.draw(st.integers(1, 5), "hops")
    wishes = Wishes(cutoff_ps=20 * DELAY_PS)
    world = World(line(hops), wishes, lambda what, options: data.draw(st.sampled_from(options), what))
    for node in world.net.machines:
        world.qnp(node).listen(PURPOSE)
    world.qnp(1).request(hops + 1, PURPOSE, 10, 0, 0)
    broken = data.draw(st.integers(1, hops), "link")
    when = data.draw(st.integers(0, 60), "when") * DELAY_PS

    def severs() -> None:
        world.net.trouble = lambda source, destination, _: {source, destination} == {broken, broken + 1}

    def breaks() -> None:
        world.net.trouble = None
        for node, peer in ((broken, broken + 1), (broken + 1, broken)):
            world.qnp(node).peer_lost(peer, world.net.now)

    world.net.at(when, severs)  # what is on the way is delivered; then nothing, and then both know it
    world.net.at(when + 2 * DELAY_PS, breaks)
    world.net.run()
    check_ends(world, lossless=False)
    (ended,) = world.net.of(1, RequestEnded)
    assert ended.cause in (CircuitInput.SATISFIED, CircuitInput.PEER_LOST)
    at_rest(world)


def test_where_memories_do_not_decay_a_cutoff_outlasts_retransmissions() -> None:
    """A fast link may still lose frames: a shorter cutoff would throw away all that two circuits make."""
    hop = Hop(1, 2, Offer(fidelity=(1 << 32) - 1, pairs_per_ks=10**8, latency_ps=10**6, memories=4))
    made = promise((hop, hop), 0, NodeFacts(swaps=True, memories=4), Wishes())
    assert made is not None
    assert made.cutoff_ps == PATIENCE_PS


@pytest.mark.parametrize(("given", "waits"), [(None, PATIENCE_PS), (7, 7)])
def test_halves_of_one_hop_do_not_wait_for_ever_for_a_second_one(given: int | None, waits: int) -> None:
    """Two circuits could each fill the memories that the other lacks."""
    route = (Hop(1, 2, Offer(fidelity=round(0.9 * 0xFFFFFFFF), pairs_per_ks=10**8, latency_ps=10**6, memories=4)),)
    for rounds, cutoff_ps in ((0, 0), (1, waits)):
        wishes = Wishes(given, method=Purification.DEJMPS, link_rounds=rounds, end_rounds=0)
        made = promise(route, 0, NodeFacts(memories=4), wishes)
        assert made is not None
        assert made.cutoff_ps == cutoff_ps


def test_one_hop_is_purified_where_the_link_alone_does_not_do() -> None:
    """QNP-2: and the link layer has the last word where purification would not do either."""
    offered = round(0.9 * 0xFFFFFFFF)
    route = (Hop(1, 2, Offer(fidelity=offered, pairs_per_ks=10**8, latency_ps=10**6, memories=4)),)
    wishes = Wishes(method=Purification.DEJMPS)
    for asked, link_fidelity, rounds in ((0.85, 0.85, 0), (0.92, 0.0, 1), (0.999, 0.999, 0)):
        made = promise(route, round(asked * 0xFFFFFFFF), NodeFacts(memories=4), wishes)
        assert made is not None
        assert made.link_rounds + made.end_rounds == rounds
        assert made.minimum_link_fidelity == round(link_fidelity * 0xFFFFFFFF)


def test_a_promise_counts_the_gates_of_purification() -> None:
    """Two hops of .95, purified once each: .92 with perfect CNOTs, not with CNOTs of F = .97 (w = .96)."""
    route = (Hop(1, 2, Offer(round(0.95 * 0xFFFFFFFF), 10**8, 10**6, 4)),) * 2
    wishes = Wishes(method=Purification.DEJMPS, link_rounds=1)
    asked = round(0.92 * 0xFFFFFFFF)
    assert promise(route, asked, NodeFacts(swaps=True, memories=4), wishes) is not None
    assert promise(route, asked, NodeFacts(swaps=True, memories=4, gate_w=0.96), wishes) is None


def test_a_round_with_noise_against_its_limits() -> None:
    """Fully depolarising gates leave nothing, and readout that says anything tells nothing."""
    good, bad = (sketched(werner(fidelity), 0) for fidelity in (0.9, 0.8))
    chance, kept = distilled(good, bad, (0, 0))
    assert distilled(good, bad, (0, 0), imperfect=Imperfect(0.0, 0.7)) == (0.25, MIXED)
    guess, unselected = distilled(good, bad, (0, 0), imperfect=Imperfect(1.0, 0.0))
    assert guess == pytest.approx(0.25)
    assert unselected.errors(0)[0] < kept.errors(0)[0]
    # Of one node's CNOT alone, as of both: Werner pairs' halves by themselves tell nothing.
    half, noisy = distilled(good, bad, (0, 0), imperfect=Imperfect(0.5, 1.0))
    assert half == pytest.approx(chance / 4 + 3 / 16)
    assert noisy == pytest.approx([chance * k / (chance + 3 / 4) for k in kept])
