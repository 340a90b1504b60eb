"""What a head asks of each hop so that a circuit keeps its promise: a fidelity budget, cutoffs, rounds of purification.

What may live here: arithmetic on what links offer (Werner states: w = (4F - 1)/3 multiplies along a chain); no state.
"""

from dataclasses import dataclass
from math import log
from typing import Final, NamedTuple

from protocols.qnp.circuit import raw_pairs
from protocols.qnp.purify import Imperfect, distilled
from protocols.qnp.shared import NodeFacts
from protocols.qnp.sketch import sketched, werner
from protocols.qnp.swapping import END_RANK, nested_ranks
from protocols.routes import Offer, Route
from protocols.wire.codec import CircuitHop, Purification, QnpInstall

CUTOFF_COST: Final = 0.015
"""Fidelity that waiting at repeaters may cost, unless the budget says otherwise (Kozlowski et al. 2020)."""

QUANTILE: Final = 0.85
"""A cutoff shorter than what so many pairs take to come would waste more than it saves (the same)."""

PATIENCE_PS: Final = 20_000_000_000
"""The least cutoff where memories do not decay."""

MOST_ROUNDS: Final = 2
"""That are considered where the operator says nothing."""

_PHI_PLUS: Final = 0  # any index would do

UNKNOWN: Final = Offer(fidelity=(1 << 32) - 1, pairs_per_ks=(1 << 32) - 1, latency_ps=0, memories=1)
"""Of a link about which nothing is known: all that can be asked for."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How this node's circuits are to be, where the network's operator has a say.  Times in ps."""

    cutoff_ps: int | None = None
    """None: as long as the budget allows.  0: none."""
    nested: bool = False
    method: Purification = Purification.NONE
    link_rounds: int | None = None
    """None: as many as the promise needs."""
    end_rounds: int | None = None
    pumping: bool = False
    refresh_ps: int = 1_000_000_000_000


class Promise(NamedTuple):
    """What every hop must do."""

    link_rounds: int
    end_rounds: int
    minimum_link_fidelity: int
    cutoff_ps: int
    expected: int
    """Fidelity between the ends, by this arithmetic."""


def promise(route: Route, minimum_fidelity: int, facts: NodeFacts, wishes: Wishes) -> Promise | None:
    """The cheapest way to keep what is asked for over this route, or None.

    Repeaters are taken to be like this node, for a route tells of links only.  Fewest raw pairs count as cheapest.
    """
    none = wishes.method is Purification.NONE
    options = range(1 if none else MOST_ROUNDS + 1)
    links = options if none or wishes.link_rounds is None else (wishes.link_rounds,)
    ends = options if none or wishes.end_rounds is None else (wishes.end_rounds,)
    if wishes.method is Purification.EPL:
        ends = range(1)  # it takes pairs as single clicks herald them, and these are pairs of links
    choices = sorted(
        ((link, end) for link in links for end in ends), key=lambda c: (raw_pairs(c[0] + c[1], False), c[1])
    )
    for link_rounds, end_rounds in choices:
        found = _with_rounds(route, minimum_fidelity, facts, wishes, link_rounds, end_rounds)
        if found is not None:
            return found
    if len(route) == 1 and 0 in links and 0 in ends:
        # The link layer knows its own fidelity best, and may have a dimmer setting: it refuses what it cannot do.
        return Promise(0, 0, minimum_fidelity, 0, route[0].offer.fidelity)
    return None


def _with_rounds(
    route: Route, minimum_fidelity: int, facts: NodeFacts, wishes: Wishes, link_rounds: int, end_rounds: int
) -> Promise | None:
    if facts.memories < end_places(link_rounds, end_rounds, wishes.pumping):
        return None
    hops, cutoff_ps = len(route), wishes.cutoff_ps
    needed = minimum_fidelity / 0xFFFFFFFF
    fidelities = [purified(hop.offer.fidelity / 0xFFFFFFFF, link_rounds, facts.purifying) for hop in route]
    before_waiting = facts.swap_w ** (hops - 1)
    for fidelity in fidelities:
        before_waiting *= (4 * fidelity - 1) / 3
    best = purified((3 * before_waiting + 1) / 4, end_rounds, facts.purifying)
    if best < needed or (minimum_fidelity and before_waiting <= 0):
        return None
    if hops == 1:
        least = 0 if link_rounds or end_rounds else minimum_fidelity
        # No swap is waited for, but a second half of the link is.
        waits_ps = 0 if not link_rounds else _long(route) if cutoff_ps is None else cutoff_ps
        return Promise(link_rounds, end_rounds, least, waits_ps, round(best * 0xFFFFFFFF))
    if cutoff_ps is None:
        cutoff_ps = _cutoff(route, facts, (best - needed) / 2 if minimum_fidelity else CUTOFF_COST)
    return Promise(link_rounds, end_rounds, 0, cutoff_ps, round(best * 0xFFFFFFFF))


def link_places(rounds: int, pumping: bool) -> int:
    """Halves that a node must be able to keep of one link, so that rounds of purification come to their end: one of
    each level, and one more; pumping needs a fresh one beside the one that grows better."""
    return 1 + (min(rounds, 1) if pumping else rounds)


def end_places(link_rounds: int, end_rounds: int, pumping: bool) -> int:
    """Likewise of an end in all: what waits there for the next round, while the last link pair for it is made."""
    return link_places(link_rounds, pumping) + link_places(end_rounds, pumping) - 1


def purified(fidelity: float, rounds: int, imperfect: Imperfect) -> float:
    """Fidelity of Werner pairs after rounds of BBPSSW (Bennett et al. 1996, eq. 7): no method does worse."""
    for _ in range(rounds):
        one = sketched(werner(fidelity), _PHI_PLUS)
        fidelity = distilled(one, one, (0, 0), imperfect=imperfect)[1].errors(_PHI_PLUS)[0]
    return fidelity


def _cutoff(route: Route, facts: NodeFacts, cost: float) -> int:
    """How long a half may wait at one of the repeaters, so that all their waiting costs no more than `cost`.

    Not less than the quantile of the slowest link's waiting time.  0 (never) where memories do not decay.
    """
    if not facts.memory.t1_ps and not facts.memory.t2_ps:
        return _long(route)
    share = min(cost, CUTOFF_COST) / (len(route) - 1)
    # F = (3w + 1)/4, and for short times w falls by t (2/T1 + 4/T2)/3: see NodeFacts.decay.
    slope = (2 / facts.memory.t1_ps if facts.memory.t1_ps else 0.0) + (
        4 / facts.memory.t2_ps if facts.memory.t2_ps else 0.0
    )
    return max(round(4 * share / slope), _wait_ps(route))


def _long(route: Route) -> int:
    """Of halves that do not suffer, or not much.  Two circuits could wait for each other's memories: long, not for
    ever.  Where frames are lost pairs wait for retransmissions rather than for attempts."""
    return max(100 * _wait_ps(route), PATIENCE_PS)


def _wait_ps(route: Route) -> int:
    """The quantile of a geometric waiting time on the slowest link."""
    slowest = max(1, min(hop.offer.pairs_per_ks for hop in route))
    return round(-log(1 - QUANTILE) * 1e15 / slowest) + 2 * max(hop.offer.latency_ps for hop in route)


def install(
    route: Route, number: int, head: int, label: int, priority: int, pairs_per_ks: int, made: Promise, wishes: Wishes
) -> QnpInstall:
    """The first Install of a circuit."""
    ranks = nested_ranks(len(route)) if wishes.nested else [0] * (len(route) - 1) + [END_RANK]
    hops = tuple(
        CircuitHop(hop.link, hop.node, rank, made.link_rounds, made.minimum_link_fidelity)
        for hop, rank in zip(route, ranks, strict=True)
    )
    return QnpInstall(
        label,
        head,
        number,
        priority,
        pairs_per_ks,
        made.cutoff_ps,
        wishes.refresh_ps,
        wishes.method,
        int(wishes.pumping),
        made.end_rounds,
        0,
        hops,
    )
