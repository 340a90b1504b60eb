"""EGP's full service: M and R, atomic and consecutive, schedulers, cutting in, test rounds, brightness, NOTIME.
Requirements: protocols/egp/egp.toml."""

import random
from collections import Counter
from math import sqrt
from typing import Any

import pytest
from egp_lab import LINK, ONE, A, B, finish, lossy, sent
from hypothesis import given, settings
from hypothesis import strategies as st
from link_lab import DELAY, ESTIMATE, PURPOSE, SLOT, LinkLab
from machine_pair import Faults

from protocols.correlations import DEVIATIONS, Tally
from protocols.egp.estimation import Estimator
from protocols.egp.facts import LinkFacts, Setting, hopeless
from protocols.egp.schedulers import make_scheduler
from protocols.egp.schedulers.weighted_fair import PARTS, WeightedFair
from protocols.egp.service import KEPT, CutTrain, Err, How, MeasureTest, Ok, OkMeasured, OkPrepared
from protocols.measuring import FULL, PLAIN, Measure, basis_at, makes_sense
from protocols.wire.codec import (
    BellIndex,
    EgpBases,
    EgpBasis,
    EgpError,
    EgpKind,
    EgpMeasuring,
    EgpTest,
    EgpTested,
    EgpTrain,
    MhpGen,
)

XYZ = EgpMeasuring(EgpBases.XYZ)
MEASURED = How(EgpKind.MEASURE, local=XYZ, remote=XYZ)
PREPARED = How(EgpKind.REMOTE, local=XYZ)
ATOMIC = How(atomic=True)

hows = st.builds(
    How,
    kind=st.sampled_from(EgpKind),
    atomic=st.booleans(),
    consecutive=st.booleans(),
    local=st.just(XYZ),
    remote=st.just(XYZ),
)


def trains(lab: LinkLab) -> list[EgpTrain]:
    return [train for _, train in sent(lab, EgpTrain)]


# ---------------------------------------------------------------------------------------- measured and prepared


@pytest.mark.parametrize("asker", [A, B])
def test_measured_pairs(asker: int) -> None:
    """EGP-25: both ends are told a result and a basis at the slot that heralded; no qubit changes hands."""
    lab = LinkLab(ONE, qubits=1)
    lab.create(asker, LINK, number=20, how=MEASURED)
    finish(lab)
    for node in (A, B):
        oks = lab.of(node, OkMeasured)
        assert [ok.link_sequence for ok in oks] == list(range(20))
        assert {ok.directionality for ok in oks} == {int(node != asker)}
        assert not lab.of(node, Ok)
    assert len({ok.basis for ok in lab.of(A, OkMeasured)}) == 3
    assert [ok.basis for ok in lab.of(A, OkMeasured)] != [ok.basis for ok in lab.of(B, OkMeasured)]


def test_measuring_does_not_wait_for_heralds() -> None:
    """EGP-25: an attempt in every slot that measuring leaves free; K waits for the way there and back."""
    lab = LinkLab(ONE, measuring_slots=2)
    lab.create(A, LINK, how=MEASURED)
    lab.create(A, LINK)
    finish(lab)
    first, second = trains(lab)[0], trains(lab)[-1]
    assert (first.spacing, second.spacing) == (2, lab.link_facts(ONE[0], A).spacing_slots)


def test_measured_pairs_share_a_train() -> None:
    """EGP-28: one agreement for as many as there may be in a train; kept ones need one each."""
    lab = LinkLab(ONE)
    lab.create(A, LINK, number=100, how=MEASURED)
    lab.create(A, LINK, number=3)
    finish(lab)
    pairs = [train.pairs for train in trains(lab)]
    # A train that has not brought all of its pairs is followed by one for what is left.
    assert pairs[0] == 64
    assert 2 <= sum(1 for of in pairs if of > 1) <= 4
    assert pairs[-3:] == [1, 1, 1]
    assert len(lab.of(A, OkMeasured)) == len(lab.of(B, OkMeasured)) == 100


def test_trains_are_for_as_many_pairs_as_come_before_a_test_round() -> None:
    """EGP-23, EGP-28: one pair in ten is measured to learn the fidelity, however many share a train."""
    lab = LinkLab(ONE, test_share=0.1, seed=2)
    lab.create(A, LINK, number=400, how=MEASURED)
    finish(lab)
    tests = sum(1 for train in trains(lab) if train.test)
    assert all(train.pairs == 1 for train in trains(lab) if train.test)
    assert abs(tests - 400 / 9) < 5 * sqrt(400 * 0.1) / 0.9
    assert len(lab.of(A, OkMeasured)) == 400


def test_a_train_of_many_pairs_leaves_when_it_is_no_longer_first() -> None:
    """EGP-24: fair shares count pairs, not trains; what a train has brought stays, nothing is lost."""
    lab = LinkLab(ONE, p=0.5, scheduler="lower-wfq")
    for priority in (1, 2):
        lab.create(A, LINK, number=60, priority=priority, how=MEASURED)
    finish(lab)
    order = [ok.create_id for ok in lab.of(A, OkMeasured)]
    assert order == [ok.create_id for ok in lab.of(B, OkMeasured)]
    assert order[:60].count(0) == pytest.approx(40, abs=3)  # weights 2 and 1
    assert order.count(0) == order.count(1) == 60


@pytest.mark.parametrize(("p", "each"), [(0.95, True), (0.3, False)])
def test_short_trains_are_told_attempt_by_attempt(p: float, each: bool) -> None:
    """EGP-28, MHP-14: four attempts at most, and each Reply home before the next Gen must leave."""
    lab = LinkLab(ONE, p=p, spacing_slots=50)
    lab.create(A, LINK, number=20)
    finish(lab)
    assert all(bool(train.each) is each for train in trains(lab))
    counts = {gen.count for gen in lab.messages(MhpGen)}
    assert (counts == {1}) is each
    assert len(lab.of(A, Ok)) == len(lab.of(B, Ok)) == 20


@pytest.mark.parametrize("asker", [A, B])
def test_prepared_pairs(asker: int) -> None:
    """EGP-25: the creator gets a result, the other node a half."""
    lab = LinkLab(ONE)
    lab.create(asker, LINK, number=5, how=PREPARED)
    finish(lab)
    assert len(lab.of(asker, OkPrepared)) == len(lab.of(A + B - asker, Ok)) == 5
    assert not lab.of(asker, Ok)
    assert not lab.of(A + B - asker, OkPrepared)


@given(lossy, st.integers(0, 2**32), st.integers(1, 3), st.floats(0.05, 1), st.sampled_from(["fcfs", "higher-wfq"]))
@settings(max_examples=40)
def test_every_sort_of_request_ends_alike_at_both_nodes(
    faults: Faults, seed: int, qubits: int, p: float, scheduler: str
) -> None:
    """EGP-8, 11, 12, 14, 22, 23, 25 to 30 % loss: the lab compares what was told with what its devices did."""
    lab = LinkLab(ONE, qubits, p=p, faults=faults, seed=seed, scheduler=scheduler, test_share=0.3, capacity=qubits)
    chance = random.Random(seed)
    wanted: dict[tuple[int, int], tuple[int, How]] = {}
    for _ in range(8):
        lab.run(until=lab.now + chance.randrange(30 * DELAY))
        kind = chance.choice(list(EgpKind))
        how = How(kind, chance.random() < 0.3, chance.random() < 0.3, XYZ, XYZ)
        node, number = chance.choice([A, B]), chance.randint(1, 4)
        wanted[node, lab.create(node, LINK, number, priority=chance.randrange(3), how=how)] = number, how
    finish(lab)
    for (origin, create_id), (number, how) in wanted.items():
        here, there = (lab.story(node, LINK, origin, create_id) for node in (origin, A + B - origin))
        if EgpError.NORES in lab.codes(origin, LINK, origin, create_id):
            assert how.atomic
            assert how.kind != EgpKind.MEASURE
            continue
        for story in (here, there):
            assert len(story.oks) == number or story.errs
            if how.atomic:
                assert len(story.oks) in (0, number), "all or none"


def test_nodes_draw_bases_of_their_own() -> None:
    """EGP-25: from the seed, the node, and the train."""
    bases = {}
    for seed in (1, 2):
        lab = LinkLab(ONE, seed=seed)
        lab.create(A, LINK, number=30, how=MEASURED)
        finish(lab)
        for node in (A, B):
            bases[seed, node] = tuple(ok.basis for ok in lab.of(node, OkMeasured))
    assert len(set(bases.values())) == 4


def test_bases_keep_their_probabilities() -> None:
    """30,000 slots: each share within 5 σ (false alarm 2e-6)."""
    n = 30_000
    for how, shares in (
        (XYZ, {EgpBasis.X: 1 / 3, EgpBasis.Y: 1 / 3, EgpBasis.Z: 1 / 3}),
        (EgpMeasuring(EgpBases.XYZ, FULL // 2, FULL // 8), {EgpBasis.X: 0.5, EgpBasis.Y: 0.125, EgpBasis.Z: 0.375}),
        (EgpMeasuring(EgpBases.CHSH, FULL // 4), {EgpBasis.ZPLUSX: 0.25, EgpBasis.ZMINUSX: 0.75}),
        (EgpMeasuring(EgpBases.NONE), {EgpBasis.Z: 1.0}),
    ):
        seen = Counter(basis_at(Measure(12345, how), slot) for slot in range(n))
        assert seen.keys() == shares.keys()
        for basis, share in shares.items():
            assert abs(seen[basis] / n - share) <= 5 * sqrt(share * (1 - share) / n)


def test_probabilities_beyond_one_make_no_sense() -> None:
    lab = LinkLab(ONE)
    wrong = EgpMeasuring(EgpBases.XYZ, FULL // 2 + 1, FULL // 2 + 1)
    assert makes_sense(PLAIN)
    assert not makes_sense(wrong)
    lab.create(A, LINK, how=How(EgpKind.MEASURE, local=wrong))
    lab.settle()
    assert [err.code for err in lab.of(A, Err)] == [EgpError.CREATE]


# ----------------------------------------------------------------------------------- pairs that belong together


def test_an_atomic_request_is_told_at_once() -> None:
    """EGP-22."""
    lab = LinkLab(ONE, qubits=4, capacity=4)
    when: dict[int, list[int]] = {A: [], B: []}
    happened = lab._on_event
    assert happened is not None

    def watch(node: int, event: Any, now: int) -> None:
        if isinstance(event, Ok):
            when[node].append(now)
        happened(node, event, now)

    lab._on_event = watch
    lab.create(A, LINK, number=3, how=ATOMIC)
    finish(lab)
    for node in (A, B):
        assert len(when[node]) == 3
        assert len(set(when[node])) == 1


def test_more_than_a_node_can_keep() -> None:
    """EGP-22: NORES at once where the creator cannot, by AddReject where only the peer cannot; R needs none here."""
    lab = LinkLab(ONE, qubits=2, capacity=2)
    lab.create(A, LINK, number=3, how=ATOMIC)
    lab.create(A, LINK, number=3, how=PREPARED._replace(atomic=True))
    lab.create(A, LINK, number=3, how=MEASURED._replace(atomic=True))
    finish(lab)
    assert [(err.create_id, err.code) for err in lab.of(A, Err)] == [(0, EgpError.NORES), (1, EgpError.NORES)]
    assert len(lab.of(A, OkMeasured)) == 3


@pytest.mark.parametrize("scheduler", ["fcfs", "higher-wfq"])
@pytest.mark.parametrize("how", [ATOMIC, How(consecutive=True)])
def test_nothing_comes_between(how: How, scheduler: str) -> None:
    """EGP-22: not even a request of the strict queue."""
    lab = LinkLab(ONE, qubits=8, p=0.2, scheduler=scheduler)
    together = lab.create(A, LINK, number=4, priority=2, how=how)
    while not any(r.begun for r in lab.egp(A)._links[LINK].requests.open.values()):
        lab.run(until=lab.now + DELAY)
    lab.create(A, LINK, number=4, priority=0)
    finish(lab)
    order = [ok.create_id for ok in lab.of(B, Ok)]
    assert order == [together] * 4 + [together + 1] * 4


def test_what_was_withheld_is_released_when_the_time_is_over() -> None:
    """EGP-22: for want of the last pair nothing is told; the lab finds every qubit again."""
    lab = LinkLab(ONE, qubits=3, p=0.4, capacity=3)
    for seed in range(20):
        lab = LinkLab(ONE, qubits=3, p=0.4, capacity=3, seed=seed)
        lab.create(A, LINK, number=3, max_time_ps=40 * DELAY, how=ATOMIC)
        finish(lab)
        for node in (A, B):
            codes = [err.code for err in lab.of(node, Err)]
            assert (len(lab.of(node, Ok)), codes) in ((3, []), (0, [EgpError.TIMEOUT]))


# ------------------------------------------------------------------------------------------------- schedulers


def request(lab: LinkLab, priority: int, kind: EgpKind = EgpKind.KEEP, number: int = 1) -> int:
    return lab.create(A, LINK, number, priority=priority, how=KEPT._replace(kind=kind))


def test_the_strict_queue_comes_first_and_cuts_in() -> None:
    """EGP-2, EGP-24: NL before what waits, and into a train that runs; FCFS keeps its order."""
    served = {}
    for scheduler in ("fcfs", "lower-wfq"):
        lab = LinkLab(ONE, p=0.01, scheduler=scheduler, seed=4)
        first = request(lab, 2)
        lab.run(until=20 * DELAY)
        second, third = request(lab, 1), request(lab, 0)
        finish(lab)
        served[scheduler] = [ok.create_id for ok in lab.of(A, Ok)]
        assert len(lab.of(A, CutTrain)) == (scheduler != "fcfs")
        assert not lab.of(B, CutTrain)
        assert sorted(served[scheduler]) == [first, second, third]
    assert served == {"fcfs": [0, 1, 2], "lower-wfq": [2, 1, 0]}


@pytest.mark.parametrize(("weights", "share"), [((0, 10, 1), 10 / 11), ((0, 2, 1), 2 / 3)])
def test_shares_follow_the_weights(weights: tuple[int, int, int], share: float) -> None:
    """While both queues are full, the pairs of CK and MD are as their weights (attempts of equal length)."""
    lab = LinkLab(ONE, qubits=4, p=0.5, hold_ps=1_000, scheduler="higher-wfq" if weights[1] == 10 else "lower-wfq")
    request(lab, 1, number=300)
    request(lab, 2, number=300)
    finish(lab)
    order = [ok.create_id for ok in lab.of(A, Ok)]
    both = order[:250]
    assert both.count(0) / 250 == pytest.approx(share, abs=0.02)


def test_virtual_finish_is_as_published() -> None:
    """max(cycle, last finish of the queue) + estimated cycles / weight; times the pairs if atomic."""
    lab = LinkLab(ONE, qubits=0, p=0.1)
    fair = WeightedFair((0, 10, 1))
    requests = lab.egp(A)._links[LINK].requests
    for priority, number, how in ((1, 4, KEPT), (1, 4, ATOMIC), (2, 1, KEPT), (0, 1, KEPT)):
        lab.create(A, LINK, number, priority=priority, how=how)
    ck, atomic, md, nl = requests.open.values()
    cycles = ck.estimated_cycles
    assert cycles == -(-lab.link_facts(ONE[0], A).spacing_slots * 10 // 1)
    step = cycles * PARTS // 10
    assert fair.admit(ck, 1_000) == 1_000 * PARTS + step
    assert fair.admit(atomic, 1_000) == 1_000 * PARTS + step + 4 * step
    assert fair.admit(md, 5_000) == (5_000 + cycles) * PARTS
    assert fair.admit(nl, 5_000) == 0
    assert fair.preempts(nl, ck)
    assert not fair.preempts(ck, md)


def test_both_nodes_have_one_order_and_one_finish() -> None:
    """EGP-26."""
    lab = LinkLab(ONE, qubits=0, scheduler="higher-wfq")
    chance = random.Random(3)
    for _ in range(20):
        lab.run(until=lab.now + chance.randrange(2 * DELAY))
        lab.create(chance.choice([A, B]), LINK, priority=chance.randrange(3))
    lab.run(until=lab.now + 100 * DELAY)
    rows = {
        node: [(r.id, r.queue_sequence, r.virtual_finish) for r in lab.egp(node)._links[LINK].requests.in_line()]
        for node in (A, B)
    }
    assert rows[A] == rows[B]
    assert sorted(row[1] for row in rows[A]) == list(range(20))


@pytest.mark.parametrize("name", ["no-such", "", "../x", "weighted-fair", "__init__"])
def test_a_scheduler_that_there_is_not(name: str) -> None:
    with pytest.raises(ValueError, match="scheduler"):
        make_scheduler(name)


# -------------------------------------------------------------------------- what a link promises: UNSUPP, NOTIME


GRID = tuple(
    Setting(round(a * FULL), 2e-3 * a, round((1 - a) * 0.9 * FULL), round((1 - a) * FULL))
    for a in (0.05, 0.1, 0.2, 0.5)
)


def estimator(**changes: Any) -> Estimator:
    facts: Any = {"own": Setting(0, 2e-4, GRID[1].kept, GRID[1].measured), "settings": GRID, "error": FULL // 200}
    return Estimator(LinkLab(ONE, **(facts | changes)).link_facts(ONE[0], A))


@pytest.mark.parametrize(("asked", "measured", "alpha"), [(0.81, False, 0.1), (0.765, False, 0.15), (0.9, True, 0.1)])
def test_the_brightest_attempts_that_keep_the_fidelity(asked: float, measured: bool, alpha: float) -> None:
    """EGP-4: interpolated between the device data's points; K counts the waiting, M does not."""
    minimum = round(asked * FULL)
    setting = estimator().choose(measured, minimum)
    assert setting is not None
    assert setting.alpha / FULL == pytest.approx(alpha, rel=1e-3)
    assert setting.success_probability == pytest.approx(2e-3 * alpha, rel=1e-3)
    assert setting.fidelity(measured) >= minimum - 2
    assert estimator().setting(setting.alpha).kept == setting.kept


def test_no_minimum_is_the_links_own_brightness() -> None:
    known = estimator()
    setting = known.choose(False, 0)
    assert setting is not None
    assert setting.alpha == 0
    assert known.choose(False, GRID[0].kept + 1) is None
    assert known.choose(False, GRID[0].kept) == GRID[0]


def test_what_the_formula_leaves_open_is_not_promised() -> None:
    """EGP-4: a fidelity that is kept only if the formula behind the device data is right is refused."""
    off = round(0.002 * FULL)
    known = estimator(settings=tuple(setting._replace(error=off) for setting in GRID))
    assert known.choose(False, GRID[0].kept) is None
    assert known.choose(False, GRID[0].kept - off) == GRID[0]._replace(error=off)
    asked = (GRID[0].kept + GRID[1].kept) // 2
    careful, bold = known.choose(False, asked), estimator().choose(False, asked)
    assert careful is not None
    assert bold is not None
    assert careful.alpha < bold.alpha
    assert careful.kept - off == pytest.approx(asked, abs=2)


def test_unsupp_and_notime_are_told_at_once() -> None:
    """EGP-4, EGP-21: nothing has been sent."""
    lab = LinkLab(ONE, own=GRID[1]._replace(alpha=0), settings=GRID)
    unreachable = lab.create(A, LINK, fidelity=round(0.9 * FULL))
    too_short = lab.create(A, LINK, fidelity=round(0.81 * FULL), max_time_ps=200 * SLOT)
    lab.settle()
    codes = [(err.create_id, err.code) for err in lab.of(A, Err)]
    assert codes == [(unreachable, EgpError.UNSUPP), (too_short, EgpError.NOTIME)]
    assert not lab.sent


def test_load_makes_requests_hopeless() -> None:
    """EGP-21: what there is time for alone is NOTIME behind a long queue, unless its queue is strict."""
    for scheduler, codes in (("fcfs", [EgpError.NOTIME] * 2), ("higher-wfq", [EgpError.NOTIME])):
        lab = LinkLab(ONE, qubits=0, p=0.3, scheduler=scheduler)
        lab.create(A, LINK, number=5_000, priority=1)
        lab.run(until=10 * DELAY)
        for priority in (1, 0):
            lab.create(A, LINK, priority=priority, max_time_ps=200 * DELAY)
        lab.settle()
        assert [err.code for err in lab.of(A, Err)] == codes
    alone = LinkLab(ONE, qubits=0, p=0.3)
    alone.create(A, LINK, max_time_ps=200 * DELAY)
    alone.settle()
    assert not alone.of(A, Err)


@pytest.mark.parametrize(("pairs", "attempts", "p", "wanted"), [(1, 1000, 1e-6, True), (1, 1000, 1e-2, False)])
def test_hopeless(pairs: int, attempts: float, p: float, wanted: bool) -> None:
    assert hopeless(pairs, attempts, p) == wanted


@given(st.integers(1, 60), st.floats(0.01, 100))
def test_hopeless_is_never_said_of_what_has_a_chance(pairs: int, mean: float) -> None:
    """Against the sum of the Poisson distribution."""
    from math import exp, factorial

    tail = 1 - sum(exp(-mean) * mean**k / factorial(k) for k in range(pairs))
    if hopeless(pairs, mean * 1e6, 1e-6):
        assert tail < 0.01 + 1e-9


# ------------------------------------------------------------------------------------------------ test rounds


def test_test_rounds_are_measured_by_both_and_are_no_pairs_of_the_request() -> None:
    """EGP-23: both estimates learn the same, and tend to 1 in a lab whose test rounds never disagree."""
    for how, directly in ((KEPT, False), (MEASURED, True)):
        lab = LinkLab(ONE, p=0.6, test_share=0.5, error=FULL // 20)
        lab.create(A, LINK, number=150, how=how)
        finish(lab)
        assert len(lab.of(A, OkMeasured if directly else Ok)) == 150
        assert (len(lab.of(A, MeasureTest)) > 0) != directly
        rows = []
        for node in (A, B):
            known = lab.egp(node).estimator(LINK)
            tested = known.tested(directly, lab.link_facts(ONE[0], A).own)
            assert tested is not None
            rows.append(tested)
        assert rows[0] == rows[1]
        rounds = rows[0][2]
        assert rounds > 80
        assert len(lab.messages(EgpTested)) == 0  # over the reliable sublayer
        if not directly:
            assert rows[0][0] == 1.0


def record(
    known: Estimator, rng: random.Random, fidelity: float, rounds: int, readout: tuple[float, float], alpha: int = 0
) -> None:
    """Test rounds of a Werner state around Ψ− or Ψ+, read with errors."""
    w = (4 * fidelity - 1) / 3
    for _ in range(rounds):
        test = rng.choice([EgpTest.ZZ, EgpTest.XX, EgpTest.YY])
        bell = rng.choice([BellIndex.PSI_PLUS, BellIndex.PSI_MINUS])
        sign = {EgpTest.ZZ: -1, EgpTest.XX: 1 - 2 * (bell & 1), EgpTest.YY: 1 - 2 * (bell & 1)}[test]
        a = rng.getrandbits(1)
        equal = rng.random() < (1 + sign * w) / 2
        bits = [a, a if equal else 1 - a]
        for i, bit in enumerate(bits):
            if rng.random() < readout[bit]:
                bits[i] = 1 - bit
        known.record(False, alpha, test, bell, *bits)


@pytest.mark.parametrize("readout", [(0.0, 0.0), (0.05, 0.005)])
@pytest.mark.parametrize("fidelity", [0.6, 0.99])
def test_the_estimate_is_within_its_error_bar(fidelity: float, readout: tuple[float, float]) -> None:
    """200 links of 900 test rounds or 300 each, device data off by their whole error bar or right: the estimate
    contains the truth in 95 % and more (99 % are promised: fewer than 190 of 200 has probability 1e-6)."""
    rng = random.Random(int(fidelity * 100))
    error = 0.05
    for off in (0.0, error * 0.99):
        inside = 0
        for _ in range(200):
            believed = Setting(0, 0.1, round((fidelity - off) * FULL), ESTIMATE)
            errors = {"error": round(error * FULL), "readout": readout, "peer_readout": readout}
            known = estimator(own=believed, settings=(), **errors)
            record(known, rng, fidelity, 300 if inside % 2 else 900, readout)
            estimate = known.estimate(False, believed)
            inside += abs(estimate.fidelity / FULL - fidelity) <= estimate.error / FULL
        assert inside >= 190


def test_test_rounds_overrule_device_data_that_are_wrong() -> None:
    """And the brightness for an asked fidelity follows; UNSUPP where it cannot."""
    known = estimator(own=Setting(0, 0.1, round(0.9 * FULL), FULL), settings=(), error=FULL // 200)
    record(known, random.Random(1), 0.7, 3_000, (0.0, 0.0))
    estimate = known.estimate(False, known.setting(0))
    assert estimate.fidelity / FULL == pytest.approx(0.7, abs=0.03)
    assert known.choose(False, round(0.85 * FULL)) is None
    assert known.choose(False, round(0.65 * FULL)) is not None


def test_what_was_overruled_at_one_brightness_is_believed_at_no_other() -> None:
    """Of a brightness without a test round, too: as much off, and with the wider bar."""
    known = estimator()
    tested, other = GRID[1], GRID[2]
    record(known, random.Random(1), tested.kept / FULL - 0.2, 3_000, (0.0, 0.0), alpha=tested.alpha)
    estimate, bold = known.estimate(False, other), estimator().estimate(False, other)
    assert (estimate.fidelity - other.kept) / FULL == pytest.approx(-0.2, abs=0.03)
    assert estimate.error > bold.error
    assert estimator().estimate(True, other) == known.estimate(True, other)


def test_where_test_rounds_only_seem_to_contradict_the_bar_reaches_to_them() -> None:
    """Twelve rounds of each basis, all as of a perfect pair, of a link that device data say has .81."""
    known = estimator()
    setting = known.choose(False, GRID[1].kept)
    assert setting is not None
    sure = known.estimate(False, setting)
    for _ in range(12):
        for test in (EgpTest.ZZ, EgpTest.XX, EgpTest.YY):
            known.record(False, setting.alpha, test, BellIndex.PHI_PLUS, 0, int(test == EgpTest.YY))
    doubtful = known.estimate(False, setting)
    assert doubtful.fidelity == sure.fidelity
    assert sure.fidelity + sure.error < FULL <= doubtful.fidelity + doubtful.error


def test_too_few_rounds_say_nothing() -> None:
    tally = Tally()
    assert tally.fidelity(1.0) is None
    tally.rounds, tally.errors, tally.sums = [8, 8, 8], [0, 0, 0], [8.0, 8.0, 8.0]
    found = tally.fidelity(1.0)
    assert found is not None
    assert found[0] == 1.0
    assert found[1] == pytest.approx(sqrt(3 * 0.1 * 0.9 / 8 / 4))
    assert DEVIATIONS > 2.5


def test_facts_of_measuring() -> None:
    facts: LinkFacts = LinkLab(ONE, measuring_slots=3).link_facts(ONE[0], A)
    assert facts.spacing(EgpKind.MEASURE) == 3
    assert facts.spacing(EgpKind.REMOTE) == facts.spacing(EgpKind.KEEP) == facts.spacing_slots
    assert PURPOSE == 7
