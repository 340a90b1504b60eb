"""QNP: early and measured deliveries, test rounds, the bank (QNP-2, QNP-18 to QNP-21)."""

from collections import Counter
from typing import Any

from chain_world import DELAY_PS, FULL, World
from test_qnp_chains import at_rest, check_ends, check_measured, line

from protocols.qnp.promise import Wishes
from protocols.qnp.service import (
    CircuitClosed,
    Delivery,
    NeedLinkPairs,
    PairDelivered,
    PairEarly,
    PairLost,
    PairMeasured,
    PairTested,
    RequestEnded,
)
from protocols.qnp.states import CircuitInput
from protocols.wire.codec import (
    EgpBases,
    PairFate,
    PairKind,
    PairUse,
    Purification,
    QnpClaim,
    QnpDiscard,
    QnpForwardAck,
    QnpTrack,
)

PURPOSE = 7
MEASURE = Delivery(PairKind.MEASURE, EgpBases.XYZ, EgpBases.XZ)


def varied(hops: int, **wishes: Any) -> World:
    """All goes well, and link pairs are of both Bell states in turn."""
    world = World(
        line(hops),
        Wishes(cutoff_ps=0, **wishes),
        lambda what, options: options[len(world.mates) % len(options)] if what == "index" else options[0],
        troubles=10**6,
    )
    world.qnp(hops + 1).listen(PURPOSE, kinds=tuple(PairKind))
    return world


def test_measured_pairs_agree_as_if_they_had_been_phi_plus() -> None:
    """QNP-19: over three hops, bases drawn at both ends, no qubit handed up."""
    world = varied(3)
    world.qnp(1).request(4, PURPOSE, 60, 0, 0, delivery=MEASURE)
    world.net.run()
    heads, tails = (world.net.of(node, PairMeasured) for node in (1, 4))
    assert [event.pair_id for event in heads] == [event.pair_id for event in tails]
    assert len(heads) == 60
    bases = Counter((a.basis.name, b.basis.name) for a, b in zip(heads, tails, strict=True))
    assert set(bases) == {(a, b) for a in "XYZ" for b in "XZ"}  # missing one by chance: 6 (5/6)^60 = 1e-4, seed fixed
    check_measured(world)
    assert set(world.owner.values()) == set()
    at_rest(world)


def test_a_half_is_measured_before_it_is_tracked() -> None:
    """QNP-19: so whoever has both Tracks knows that both outcomes are there."""
    world = varied(1)
    world.qnp(1).request(2, PURPOSE, 1, 0, 0, delivery=MEASURE)
    while not world.mates:
        world.net.run(until=world.net.now + 1)
    world.net.run(until=world.net.now)
    assert not [m for *_, m in world.net.sent if isinstance(m, QnpTrack)]
    world.net.run()
    assert len([m for *_, m in world.net.sent if isinstance(m, QnpTrack)]) == 2


def test_early_halves_are_there_before_they_are_pairs() -> None:
    """QNP-18: at both ends, the same qubit twice, and the first time without waiting for a Track."""
    world = varied(3)
    when: dict[tuple[int, int], list[int]] = {}
    inner = world.on_event

    def note(node: int, event: Any, now: int) -> None:
        inner(node, event, now)
        if isinstance(event, PairEarly):
            when[node, event.qubit] = [now]
        elif isinstance(event, PairDelivered):
            when[node, event.pair.qubit].append(now)

    world.net._on_event = note
    world.qnp(1).request(4, PURPOSE, 3, 0, 0, delivery=Delivery(PairKind.EARLY))
    world.net.run()
    assert len(when) == 6
    assert all(early + DELAY_PS < pair for early, pair in when.values())
    assert len(check_ends(world, lossless=True)) == 3
    at_rest(world)


def test_an_early_half_that_becomes_no_pair_is_said_to_be_lost() -> None:
    """QNP-18: the link layer takes back the head's link pair before the tail has its own."""
    world = varied(2)
    world.troubles = 0
    world.qnp(1).request(3, PURPOSE, 1, 0, 0, delivery=Delivery(PairKind.EARLY))
    while not world.net.of(1, PairEarly):
        world.net.run(until=world.net.now + DELAY_PS // 10)
    (early,) = world.net.of(1, PairEarly)
    world.qnp(1).link_expired(1, next(s for link, s in world.mates if link == 1), world.net.now)
    world.net.run()
    (lost,) = world.net.of(1, PairLost)
    assert lost.pair.qubit == early.qubit
    assert len(check_ends(world, lossless=True)) == 1  # another was made
    assert [event.cause for event in world.net.of(1, RequestEnded)] == [CircuitInput.SATISFIED]


def test_a_circuit_whose_halves_go_at_once_is_shared_by_nobody() -> None:
    """QNP-2, QNP-18: three requests, three circuits; and a tail refuses a second on such a one."""
    world = varied(2)
    for delivery in (Delivery(PairKind.EARLY), Delivery(PairKind.EARLY), MEASURE):
        world.qnp(1).request(3, PURPOSE, 2, 0, 0, delivery=delivery)
    world.net.run()
    assert len(world.net.of(3, CircuitClosed)) == 3
    assert [event.delivered for event in world.net.of(3, RequestEnded)] == [2, 2, 2]
    at_rest(world)


def test_a_tail_that_listens_to_pairs_only_refuses_other_deliveries() -> None:
    """QNP-2."""
    world = varied(1)
    world.qnp(2).unlisten(PURPOSE)
    world.qnp(2).listen(PURPOSE)
    world.qnp(1).request(2, PURPOSE, 1, 0, 0, delivery=Delivery(PairKind.EARLY))
    world.net.run()
    assert [m.accepted for *_, m in world.net.sent if isinstance(m, QnpForwardAck)] == [0]
    assert [event.cause for event in world.net.of(1, RequestEnded)] == [CircuitInput.REFUSED]


def test_test_rounds_say_what_pairs_are_like_and_are_not_handed_up() -> None:
    """QNP-20: perfect pairs, so every round has the right sign, and the bar is that of no error in so many rounds."""
    world = varied(2)
    world.qnp(1).request(3, PURPOSE, 60, 0, 0, delivery=Delivery(test_share=1 << 31))
    world.net.run()
    assert len(check_ends(world, lossless=True)) == 60
    tests = world.net.of(1, PairTested)
    assert 30 < len(tests) < 100  # of about 120 pairs half: 5 standard deviations
    last = tests[-1]
    assert last.rounds == len(tests)
    assert last.estimate is not None
    assert last.estimate.fidelity == FULL
    assert 0 < last.estimate.error < 0.2 * FULL
    at_rest(world)


def test_what_was_purified_between_the_ends_is_tested_as_it_is_handed_up() -> None:
    """QNP-20: the last Purify says which pair is a test."""
    world = varied(2, method=Purification.DEJMPS, end_rounds=1)
    world.qnp(1).request(3, PURPOSE, 30, 0, 0, delivery=Delivery(test_share=1 << 31))
    world.net.run()
    assert len(check_ends(world, lossless=True)) == 30
    tests = world.net.of(1, PairTested)
    assert len(tests) > 8
    assert all(m.use is PairUse.DELIVER for *_, m in world.net.sent if isinstance(m, QnpTrack))
    at_rest(world)


def banking(hops: int, age_ps: int = 0, bank: int = 2) -> tuple[World, int]:
    world = varied(hops)
    delivery = Delivery(bank=bank, bank_age_ps=age_ps)
    request = world.qnp(1).request(hops + 1, PURPOSE, 0, 0, 0, delivery=delivery)
    world.net.run(until=100 * DELAY_PS)
    return world, request


def finish(world: World, request: int) -> None:
    world.qnp(1).finish(request, world.net.now)
    world.net.run()
    at_rest(world)


def test_a_request_is_served_from_the_bank_at_once() -> None:
    """QNP-21: at the head in the same instant, at the tail when Claim is there; then the bank is filled again."""
    world, request = banking(3)
    assert world.net.of(1, PairDelivered) == []
    assert world.qnp(1)._shared.banked == world.qnp(4)._shared.banked == 2
    asked = world.net.now
    world.qnp(1).want(request, 1, asked)
    world.net.run(until=asked)
    assert len(world.net.of(1, PairDelivered)) == 1
    world.net.run(until=asked + 3 * DELAY_PS)
    assert len(world.net.of(4, PairDelivered)) == 1
    assert len([m for *_, m in world.net.sent if isinstance(m, QnpClaim)]) == 3  # one for each hop
    world.net.run(until=asked + 100 * DELAY_PS)
    assert world.qnp(1)._shared.banked == world.qnp(4)._shared.banked == 2
    assert len(check_ends(world, lossless=True)) == 1
    finish(world, request)


def test_what_is_old_in_the_bank_is_replaced() -> None:
    """QNP-21: both ends let it go, and a fresh one takes its place."""
    age = 200 * DELAY_PS
    world, request = banking(2, age)
    fresh = {pair_id for (_, pair_id) in _banked(world)}
    world.net.run(until=world.net.now + age)
    assert len(_banked(world)) == 2
    assert not fresh & {pair_id for (_, pair_id) in _banked(world)}
    aged = [m for *_, m in world.net.sent if isinstance(m, QnpDiscard)]
    assert {m.fate for m in aged} == {PairFate.AGED}
    assert world.net.of(1, PairLost) == world.net.of(3, PairLost) == []
    finish(world, request)


def test_one_memory_is_left_for_others() -> None:
    """QNP-21: the nodes here have four."""
    world, request = banking(2, bank=10)
    assert len(_banked(world)) == 3
    finish(world, request)


def test_an_end_without_room_says_so_and_is_asked_for_no_more() -> None:
    """QNP-21: two heads bank with one tail."""
    world = World({1: (1, 2), 2: (3, 2)}, Wishes(cutoff_ps=0), lambda what, options: options[0], troubles=0)
    world.qnp(2).listen(PURPOSE)
    requests = {head: world.qnp(head).request(2, PURPOSE, 0, 0, 0, delivery=Delivery(bank=2)) for head in (1, 3)}
    world.net.run(until=1000 * DELAY_PS)
    made = sum(event.number for head in (1, 3) for event in world.net.of(head, NeedLinkPairs))
    assert world.qnp(2)._shared.banked == 3
    assert made <= 5  # no pair is made again and again to be refused
    for head, request in requests.items():
        world.qnp(head).finish(request, world.net.now)
    world.net.run()
    at_rest(world)


def _banked(world: World) -> list[tuple[int, int]]:
    circuits = world.qnp(1)._circuits.values()
    return [(1, pair_id) for circuit in circuits for pair_id in circuit._bank.pairs]  # type: ignore[attr-defined]
