"""KEY: its arithmetic against naive versions, and two machines over a link of given errors."""

import random
from math import log, log2, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labs.key_pair import DELAY_PS, EAST, FULL, QUICK, WEST, KeyPair
from labs.machine_pair import NO_FAULTS, Faults

from protocols.key.amplification import key_length, seed_bits, toeplitz
from protocols.key.correction import MOST_QUESTIONS, Corrector, Question, Reference, ordering
from protocols.key.node import HOLD_PS, MOST_OF_A_PEER, Keys
from protocols.key.service import BlockDone, BlockGivenUp, Ident, SessionEnded, Terms
from protocols.key.sifting import Read, named, pack_bytes, row, sift, unpack
from protocols.key.store import Store
from protocols.measuring import chosen
from protocols.wire.codec import (
    MESSAGES,
    EgpBases,
    EgpBasis,
    KeyBases,
    KeyClose,
    KeyEstimate,
    KeyOpen,
    KeyParities,
    KeyRefuse,
    KeySeed,
    KeyTests,
    KeyVerified,
    KeyWhy,
)

X, Z = EgpBasis.X, EgpBasis.Z
SMALL = Terms(block_pairs=40, key_bits=8, secrecy=1, correctness=1)

# -- sifting ----------------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.integers(5, 60), st.tuples(st.sampled_from((X, Z)), st.integers(0, 1)), min_size=1))
def test_a_row_says_bases_and_nothing_else(pairs: dict[int, tuple[EgpBasis, int]]) -> None:
    reads = {pair_id: Read(*read) for pair_id, read in pairs.items()}
    said = row(reads, 5, 56)
    assert named(said, 5) == {pair_id: read.basis for pair_id, read in reads.items()}
    assert said == row({pair_id: Read(read.basis, 1 - read.bit) for pair_id, read in reads.items()}, 5, 56)


def test_what_both_have_in_one_basis_is_left() -> None:
    mine = {1: Read(Z, 1), 2: Read(X, 0), 4: Read(Z, 0), 5: Read(X, 1), 9: Read(Z, 1)}
    assert sift(mine, {9: Z, 5: X, 4: X, 3: Z, 1: Z}) == (bytearray([1, 1]), bytearray([1]))


@given(st.lists(st.integers(0, 1), max_size=70))
def test_bits_survive_their_bytes(bits: list[int]) -> None:
    assert list(unpack(pack_bytes(bytearray(bits)), len(bits))) == bits


# -- correction -------------------------------------------------------------------------------------------------------


def corrected(bits: bytearray, others: bytearray, seed: int) -> tuple[Corrector, Reference, int]:
    """One end asks until it has nothing more to ask; the orders and places that it has asked for."""
    reference, corrector = Reference(bits, seed), Corrector(bytearray(others), seed)
    asked: set[tuple[int, int]] = set()
    while questions := corrector.questions():
        assert len(questions) <= MOST_QUESTIONS
        assert asked.isdisjoint(questions), "what is known is asked again"
        asked.update(questions)
        corrector.learn([reference.answer(question) for question in questions])
    return corrector, reference, len(asked)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 1200), st.floats(0, 0.11), st.integers(0, 2**63))
def test_everything_is_corrected_and_every_bit_said_is_counted(size: int, share: float, seed: int) -> None:
    """Up to 11 % of errors.  That the last orders overlook one has a chance of 2^-10 times that of one to be left,
    which is a few per cent: hypothesis draws the same cases each time."""
    draw = random.Random(seed)
    bits = bytearray(draw.getrandbits(1) for _ in range(size))
    others = bytearray(bit ^ (draw.random() < share) for bit in bits)
    corrector, reference, asked = corrected(bits, others, seed & 2**32)
    assert corrector.bits == bits
    assert corrector.corrected == sum(a != b for a, b in zip(bits, others, strict=True))
    assert corrector.leak == reference.leak == asked


def test_the_efficiency_of_a_large_block() -> None:
    """f = leak / (n h(Q)): Cascade has 1.1 to 1.3 (Martinez-Mateo et al., QIC 15, 453, 2015)."""
    draw, size = random.Random(7), 8_000
    for share, most in ((0.01, 1.3), (0.05, 1.2), (0.11, 1.25)):
        bits = bytearray(draw.getrandbits(1) for _ in range(size))
        wrong = set(draw.sample(range(size), round(share * size)))
        corrector, _, _ = corrected(bits, bytearray(b ^ (i in wrong) for i, b in enumerate(bits)), 1)
        assert corrector.bits == bits
        f = corrector.leak / (size * (-share * log2(share) - (1 - share) * log2(1 - share)))
        assert 1 < f < most


def test_bursts_are_corrected_too() -> None:
    bits = bytearray(random.Random(3).getrandbits(1) for _ in range(600))
    others = bytearray(bit ^ (100 <= index < 160) for index, bit in enumerate(bits))
    assert corrected(bits, others, 5)[0].bits == bits


def test_answers_that_contradict_each_other_end_the_conversation() -> None:
    draw = random.Random(1)
    corrector = Corrector(bytearray(200), 1)
    steps = 0
    while (questions := corrector.questions()) and steps < 2_000:
        corrector.learn([draw.getrandbits(1) for _ in questions])
        steps += 1
    assert steps < 2_000


def test_an_order_has_every_bit_once() -> None:
    assert sorted(ordering(3, 2, 500)) == list(range(500))
    assert ordering(3, 2, 500) != ordering(3, 1, 500) != ordering(4, 1, 500)


def test_a_reference_answers_no_nonsense() -> None:
    reference = Reference(bytearray([1, 0, 1]), 0)
    assert not any(map(reference.fits, (Question(0, 0), Question(0, 4), Question(251, 1))))
    assert reference.answer(Question(0, 3)) == reference.answer(Question(9, 3)) == 0
    assert reference.leak == 1  # the parity of all bits counts once


# -- amplification ----------------------------------------------------------------------------------------------------


def naive(seed: int, bits: int, size: int, rows: int) -> int:
    product = 0
    for r in range(rows):
        parity = sum((seed >> (r + size - 1 - c)) & 1 & (bits >> c) for c in range(size)) & 1
        product |= parity << r
    return product


@settings(deadline=None)
@given(st.data(), st.integers(1, 60), st.integers(1, 40))
def test_a_toeplitz_product_is_the_matrix_times_the_bits(data: st.DataObject, size: int, rows: int) -> None:
    seed = data.draw(st.integers(0, (1 << seed_bits(size, rows)) - 1))
    one, other = (data.draw(st.integers(0, (1 << size) - 1)) for _ in range(2))
    assert toeplitz(seed, one, size, rows) == naive(seed, one, size, rows)
    both = toeplitz(seed, one, size, rows) ^ toeplitz(seed, other, size, rows)
    assert toeplitz(seed, one ^ other, size, rows) == both


def test_a_toeplitz_product_of_many_bits_does_not_overflow_a_digit() -> None:
    size, rows = 5_000, 3
    everything = (1 << seed_bits(size, rows)) - 1
    assert toeplitz(everything, (1 << size) - 1, size, rows) == 0  # 5000 ones in every row
    assert toeplitz(everything, (1 << size) - 2, size, rows) == 7


def by_the_paper(n: int, k: int, errors: int, leak: int, secrecy: int, correctness: int) -> float:
    """Tomamichel, Lim, Gisin, Renner (2012), written once more."""
    e_sec, e_cor = 2.0**-secrecy, 2.0**-correctness
    mu = sqrt((n + k) / (n * k) * (k + 1) / k * log(4 / e_sec))
    q = min(errors / k + mu, 0.5)
    h = 1.0 if q >= 0.5 else -q * log2(q) - (1 - q) * log2(1 - q)
    return n * (1 - h) - leak - log2(2 / (e_sec**2 * e_cor))


COUNTS, BITS = st.integers(1, 10**6), st.integers(1, 100)


@given(COUNTS, COUNTS, st.floats(0, 0.2), st.integers(0, 10**5), BITS, BITS)
def test_the_length_is_that_of_the_paper(n: int, k: int, q: float, leak: int, secrecy: int, correctness: int) -> None:
    length = key_length(n, k, round(q * k), leak, secrecy, correctness)
    exact = by_the_paper(n, k, round(q * k), leak, secrecy, correctness)
    assert length == pytest.approx(max(0.0, exact - 0.5), abs=0.5 + 1e-6 * n)
    assert not key_length(n, 0, 0, 0, 1, 1)
    assert not key_length(0, k, 0, 0, 1, 1)


# -- the choice of bases ----------------------------------------------------------------------------------------------


def test_a_chance_of_the_first_basis() -> None:
    row_, top = [chosen(EgpBases.XZ, FULL // 4, draw) for draw in (0, FULL // 4 - 1, FULL // 4, FULL)], 1 << 32
    assert row_ == [X, X, Z, Z]
    draws = (0, top // 2 - 2, top * 5 // 8, top * 7 // 8, FULL)
    thirds = [chosen(EgpBases.XYZ, FULL // 2, draw).name for draw in draws]
    assert thirds == ["X", "X", "Y", "Z", "Z"]
    assert [chosen(EgpBases.XZ, 0, draw) for draw in (0, FULL)] == [X, Z]


# -- two machines -----------------------------------------------------------------------------------------------------


def made(pair: KeyPair, session: Ident, number: int) -> list[bytes]:
    """Keys that WEST hands out, after a look that EAST has the same."""
    keys = pair.keys[WEST].enc_keys(session, number, pair.net.now)
    assert len(keys) == number
    assert pair.keys[EAST].dec_keys(WEST, [key.key_id for key in keys]) == keys
    return [key.data for key in keys]


def test_both_ends_make_the_same_keys() -> None:
    pair = KeyPair((0.004, 0.004), late_ps=20 * DELAY_PS)
    session = pair.open(QUICK._replace(block_pairs=2_000, stock=3))
    pair.net.run()
    blocks = [pair.of(node, BlockDone) for node in (WEST, EAST)]
    assert [b.figures for b in blocks[0]] == [b.figures for b in blocks[1]]
    assert len(set(made(pair, session, 3))) == 3
    for block in blocks[0]:
        n, k = block.figures.sifted, block.figures.tested
        exact = by_the_paper(n, k, block.figures.x_errors, block.figures.leak, QUICK.secrecy, QUICK.correctness)
        assert block.figures.length == int(exact)
    assert sum(b.figures.length for b in blocks[0]) // QUICK.key_bits == sum(b.keys for b in blocks[0])


def test_a_key_is_handed_out_once_at_each_end() -> None:
    pair = KeyPair()
    session = pair.open(QUICK._replace(total=2, stock=2))
    pair.net.run()
    west, east = pair.keys[WEST], pair.keys[EAST]
    assert not west.enc_keys(session, 5, pair.net.now)
    (key,) = west.enc_keys(session, 1, pair.net.now)
    (other,) = west.enc_keys(session, 1, pair.net.now)
    assert key.key_id != other.key_id
    assert not east.dec_keys(WEST, [key.key_id, key.key_id])
    assert not east.dec_keys(WEST, [key.key_id, "no such key"])
    assert east.dec_keys(WEST, [key.key_id]) == [key]
    assert not east.dec_keys(WEST, [key.key_id])
    assert not west.dec_keys(EAST, [other.key_id]), "the opener's keys are for its own users"


def test_more_than_the_stock_are_made_for_who_asks() -> None:
    pair = KeyPair()
    session = pair.open(QUICK)
    pair.net.run()
    assert not pair.keys[WEST].enc_keys(session, 3, pair.net.now)
    pair.net.run()
    made(pair, session, 3)


@pytest.mark.parametrize(
    ("errors", "why"),
    [
        ((0.25, 0.25), KeyWhy.NOISY),
        ((0.0, 0.25), KeyWhy.NOISY),
        ((0.25, 0.0), KeyWhy.COSTLY),
        ((0.0, 0.09), KeyWhy.SHORT),
    ],
)
def test_errors_are_a_reason_at_both_ends(errors: tuple[float, float], why: KeyWhy) -> None:
    """Intercept and resend in a basis at random makes 25 % of errors in both."""
    pair = KeyPair(errors)
    session = pair.open(QUICK._replace(patience=2, most_errors=0.13))
    pair.net.run()
    for node in (WEST, EAST):
        assert [event.why for event in pair.of(node, BlockGivenUp)] == [why] * 2
        assert [event.why for event in pair.of(node, SessionEnded)] == [KeyWhy.FRUITLESS]
        assert not pair.of(node, BlockDone)
    assert pair.keys[WEST].status(session).why is KeyWhy.FRUITLESS
    assert not pair.keys[WEST].enc_keys(session, 1, pair.net.now)


def test_outcomes_that_are_flipped_at_one_end_make_no_key() -> None:
    pair = KeyPair()
    draw = random.Random(5)
    pair.flip = lambda basis, bit: bit ^ (draw.random() < 0.25)
    pair.open(QUICK._replace(patience=1))
    pair.net.run()
    (block,) = pair.of(WEST, BlockGivenUp)
    assert block.why is KeyWhy.NOISY
    share = block.figures.x_errors / block.figures.tested
    # 5 sigma of some 300 tosses
    assert abs(share - 0.25) < 5 * sqrt(0.25 * 0.75 / block.figures.tested)


def test_error_rates_are_those_of_the_link() -> None:
    """Both rates are reported within 5 sigma (a false alarm: 1e-6), and Z's is what was corrected."""
    pair = KeyPair((0.03, 0.01))
    pair.open(QUICK._replace(block_pairs=12_000, total=1))
    pair.net.run()
    (block,) = pair.of(EAST, BlockDone)
    found = block.figures
    for wrong, n, rate in ((found.z_errors, found.sifted, 0.03), (found.x_errors, found.tested, 0.01)):
        assert abs(wrong / n - rate) < 5 * sqrt(rate * (1 - rate) / n)


@settings(max_examples=10, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from(((0.0, 0.0), (0.01, 0.01), (0.03, 0.002), (0.15, 0.15))),
    st.sampled_from((Faults(0.2, 0.1, DELAY_PS), Faults(0.02, 0.3, 3 * DELAY_PS), NO_FAULTS)),
    st.sampled_from((0, DELAY_PS // 2, 50 * DELAY_PS)),
)
def test_whatever_the_network_does_both_ends_agree(
    seed: int, errors: tuple[float, float], faults: Faults, late_ps: int
) -> None:
    """Loss, repetition, disorder: equal keys at both ends, or a reason at both."""
    pair = KeyPair(errors, faults, seed, late_ps)
    session = pair.open(QUICK._replace(total=1, patience=1))
    pair.net.run()
    done, given_up = ([pair.of(node, kind) for node in (WEST, EAST)] for kind in (BlockDone, BlockGivenUp))
    assert [b.figures for b in done[0]] == [b.figures for b in done[1]]
    assert [b.why for b in given_up[0]] == [b.why for b in given_up[1]]
    if given_up[0]:
        assert all(pair.of(node, SessionEnded) for node in (WEST, EAST))
    else:
        made(pair, session, 1)


def test_no_basis_is_said_before_the_block_has_been_measured() -> None:
    """And no outcome but those that both have in X; parities and hashes aside, nothing else is said of the others."""
    pair = KeyPair()
    pair.open(SMALL._replace(patience=1))
    measured = {WEST: 0, EAST: 0}
    for node in (WEST, EAST):

        def count(*arguments: object, node: int = node, real: object = pair.keys[node].measured) -> None:
            measured[node] += 1
            real(*arguments)  # type: ignore[operator]

        pair.keys[node].measured = count  # type: ignore[method-assign, assignment]
    counted = []
    real_poll = Keys.poll

    for node in (WEST, EAST):

        def poll(now: int, node: int = node) -> list[object]:
            outputs = real_poll(pair.keys[node], now)
            if any(type(getattr(output, "message", None)) is KeyBases for output in outputs):
                counted.append((node, measured[node]))
            return outputs

        pair.keys[node].poll = poll  # type: ignore[method-assign, assignment]
    pair.net.run()
    assert counted == [(WEST, 40), (EAST, 40)]


def test_pairs_that_never_come_are_left_out_of_the_block() -> None:
    """The responder waits for them as long as the hold, and answers without them."""
    pair = KeyPair()
    session = pair.open(QUICK._replace(total=1))
    east, real = pair.keys[EAST], pair.keys[EAST].measured
    swallowed: list[int] = []

    def measured(ident: Ident, pair_id: int, basis: EgpBasis, outcome: int, now: int) -> None:
        if len(swallowed) < 3 and pair_id > 300:
            swallowed.append(pair_id)
        else:
            real(ident, pair_id, basis, outcome, now)

    east.measured = measured  # type: ignore[method-assign]
    pair.net.run()
    assert [b.figures.pairs for b in pair.of(EAST, BlockDone)][:2] == [QUICK.block_pairs - 3, QUICK.block_pairs]
    assert pair.net.now > HOLD_PS
    made(pair, session, 1)


def test_a_lost_peer_ends_the_session_and_what_it_has_handed_out_can_still_be_had() -> None:
    pair = KeyPair()
    session = pair.open(QUICK._replace(stock=2))
    pair.net.run()
    (key,) = pair.keys[WEST].enc_keys(session, 1, pair.net.now)
    pair.net.run()
    pair.lose(WEST)
    pair.net.run()
    assert pair.of(EAST, SessionEnded)[-1].why is KeyWhy.PEER_LOST
    assert pair.keys[EAST].dec_keys(WEST, [key.key_id]) == [key]


def test_the_keys_of_a_lost_responder_are_handed_out_to_nobody() -> None:
    pair = KeyPair()
    session = pair.open(QUICK._replace(stock=2))
    pair.net.run()
    assert pair.keys[WEST].status(session).stored >= 2
    pair.lose(EAST)
    assert not pair.keys[WEST].enc_keys(session, 1, pair.net.now)
    pair.net.settle()
    assert pair.of(WEST, SessionEnded)[-1].why is KeyWhy.PEER_LOST


def test_at_a_close_keys_that_were_not_handed_out_are_gone_at_both_ends() -> None:
    pair = KeyPair()
    session = pair.open(QUICK._replace(stock=2))
    pair.net.run()
    (key,) = pair.keys[WEST].enc_keys(session, 1, pair.net.now)
    pair.net.run()
    assert len(pair.keys[EAST].held(session)) > 1
    pair.keys[WEST].close(session, pair.net.now)
    pair.net.run()
    assert pair.keys[EAST].held(session) == [key.key_id]
    assert not pair.keys[WEST].enc_keys(session, 1, pair.net.now)
    assert pair.keys[EAST].dec_keys(WEST, [key.key_id]) == [key]


@pytest.mark.parametrize("when", [KeyEstimate, KeyParities, KeySeed, KeyVerified])
@pytest.mark.parametrize("gone", [WEST, EAST])
def test_whenever_a_peer_is_lost_nothing_half_known_is_handed_out(when: type, gone: int) -> None:
    """An end is cut off as a message of the block goes: who is left has no key of it, or one that the other has."""
    pair = KeyPair()
    session = pair.open(QUICK._replace(block_pairs=2_000, total=1))
    def trouble(source: int, destination: int, message: object) -> bool:
        kind = MESSAGES.get((getattr(message, "protocol", -1), getattr(message, "message", -1)))
        if kind is when and gone not in pair.net.cut:
            pair.lose(gone)
            return True
        return bool(pair.net.cut)

    pair.net.trouble = trouble
    pair.net.run(10**12)
    assert gone in pair.net.cut
    left = WEST + EAST - gone
    assert pair.of(left, SessionEnded)[-1].why is KeyWhy.PEER_LOST
    if left == WEST:
        assert not pair.keys[WEST].enc_keys(session, 1, pair.net.now)
    else:
        assert len(pair.keys[EAST].held(session)) == (when is KeyVerified)


def opened(**changed: int) -> KeyOpen:
    row_ = {"opener": WEST, "session": 7, "block_pairs": 40, "x_chance": FULL // 2, "key_bits": 8, "secrecy": 1}
    return KeyOpen(**{**row_, "correctness": 1, "nonce": 5, **changed})


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"block_pairs": 0}, KeyWhy.UNFIT), ({"x_chance": 0}, KeyWhy.UNFIT), ({"x_chance": FULL}, KeyWhy.UNFIT),
        ({"key_bits": 12}, KeyWhy.UNFIT), ({"secrecy": 0}, KeyWhy.UNFIT), ({"session": 0}, KeyWhy.UNFIT),
    ],
)  # fmt: skip
def test_terms_that_make_no_sense_are_refused(changed: dict[str, int], why: KeyWhy) -> None:
    east = Keys(EAST, "1")
    east.receive(opened(**changed), WEST, 0)
    (send,) = east.poll(0)
    assert send.message == KeyRefuse(WEST, changed.get("session", 7), why)


def test_sessions_of_one_peer_are_bounded() -> None:
    east = Keys(EAST, "1")
    for number in range(1, MOST_OF_A_PEER + 2):
        east.poll(0)
        east.receive(opened(session=number), WEST, 0)
    assert east.poll(0)[-1].message == KeyRefuse(WEST, MOST_OF_A_PEER + 1, KeyWhy.FULL)


def test_a_session_that_is_not_known_is_said_to_be_over() -> None:
    east = Keys(EAST, "1")
    east.receive(KeyEstimate(WEST, 7, 1, 5, 5, 0, 1), WEST, 0)
    assert east.poll(0)[0].message == KeyClose(WEST, 7, KeyWhy.PEER_LOST, 0)


def test_a_responder_that_lies_about_tests_is_found_out_by_their_number() -> None:
    pair = KeyPair()
    pair.open(QUICK._replace(patience=1))
    west, real = pair.keys[WEST], pair.keys[WEST].receive

    def receive(message: object, source: int, now: int) -> None:
        real(message._replace(bits=message.bits[:-1]) if type(message) is KeyTests else message, source, now)

    west.receive = receive  # type: ignore[method-assign]
    pair.net.run()
    assert [pair.of(node, BlockGivenUp)[0].why for node in (WEST, EAST)] == [KeyWhy.MALFORMED] * 2


def test_the_chance_that_a_hash_overlooks_a_difference() -> None:
    """2-universal: of all seeds at most 2^-rows map two vectors alike; here of all 2^9, exactly."""
    size, rows = 6, 4
    alike = sum(not toeplitz(seed, 0b100110, size, rows) for seed in range(1 << seed_bits(size, rows)))
    assert alike == (1 << seed_bits(size, rows)) >> rows


def test_a_close_may_name_more_keys_than_were_made() -> None:
    """What a peer says it has handed out costs no more than what there is, and keeps no more."""
    store = Store(Ident(WEST, 1), 7, 8)
    store.put(0xABCD, 16)
    names = store.names()
    store.keep_first(0xFFFFFFFF)  # 4 * 10^9 names would take hours, and all memory
    assert store.names() == names
