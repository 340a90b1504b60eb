"""QPUs that are wrong about keys."""

from typing import Any

from protocols.key import node, opener, responder
from protocols.key.amplification import seed_bits, toeplitz
from protocols.key.correction import Corrector, Question, Reference
from protocols.key.node import Keys
from protocols.key.opener import Opener
from protocols.key.responder import Responder
from protocols.key.service import Terms
from protocols.key.sifting import pack
from protocols.key.store import Store
from protocols.wire import KeyBases, KeyClose, KeyGiveUp, KeyProof, KeyRefuse, KeyTests, KeyWhy
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import instead, never_says, nothing, says, value


def _with_terms(**others: Any) -> Wrong:
    """The opener goes by other terms than its user's."""

    def opens(right: Any, one: Keys, peer: int, terms: Terms, *more: int) -> Any:
        return right(one, peer, terms._replace(**others), *more)

    return instead(Keys, "open", opens)


@breaks("KEY-1")
def serves_any_terms() -> Wrong:
    """Keys of no whole number of bytes, of no pairs."""
    return instead(Terms, "make_sense", lambda right, terms: True)


@breaks("KEY-1")
def serves_without_end() -> Wrong:
    """As many sessions as a peer likes."""
    return value(node, "MOST_OF_A_PEER", 10_000)


@breaks("KEY-1")
def says_nothing_of_a_refusal() -> Wrong:
    """The peer waits for ever."""
    return never_says(KeyRefuse)


@breaks("KEY-2")
def says_bases_too_early() -> Wrong:
    """The responder answers at once, also of pairs that it has still to measure."""

    def gathered(right: Any, one: Responder, now: int) -> None:
        one.match(now) if one._theirs and one.state.name == "MATCHING" else right(one, now)

    return instead(Responder, "_gathered", gathered)


@breaks("KEY-2")
def says_bases_before_the_block_is_whole() -> Wrong:
    """The opener is a pair ahead."""

    def gathered(right: Any, one: Opener, now: int) -> None:
        terms = one.terms
        one.terms = terms._replace(block_pairs=terms.block_pairs - 1)
        right(one, now)
        one.terms = terms

    return instead(Opener, "_gathered", gathered)


@breaks("KEY-2")
def says_other_bases() -> Wrong:
    """What was measured in X is said to have been in Z, and the other way round."""
    swapped = bytes.maketrans(bytes(range(256)), bytes((b & 0x55) << 1 | (b & 0xAA) >> 1 for b in range(256)))
    return says(KeyBases, lambda message: message._replace(row=message.row.translate(swapped)))


@breaks("KEY-3")
def tests_have_other_outcomes() -> Wrong:
    """Each is said to be the other one."""
    return says(KeyTests, lambda message: message._replace(bits=bytes(b ^ 1 for b in message.bits)))


@breaks("KEY-3")
def keeps_tests_back() -> Wrong:
    """The last eight outcomes in X are nobody's business."""
    return says(KeyTests, lambda message: message._replace(bits=message.bits[:-1]))


@breaks("KEY-3")
def goes_on_for_nothing() -> Wrong:
    """The opener says Estimate although no bit of the block would be secret."""
    return instead(opener, "key_length", lambda right, *figures: right(*figures) or 1)


@breaks("KEY-3")
def allows_any_noise() -> Wrong:
    """However many of the tested bits differ."""
    return _with_terms(most_errors=1.0)


@breaks("KEY-4")
def tells_parities_of_another_order() -> Wrong:
    """All orders are the first one."""

    class First(Reference):
        def answer(self, question: Question) -> int:
            return super().answer(question._replace(order=0))

    return value(opener, "Reference", First)


@breaks("KEY-4")
def leaves_errors() -> Wrong:
    """What it has found is not turned."""

    def turn(right: Any, one: Corrector) -> None:
        if one._sounded():
            for order in one._orders:
                order.odd.clear()

    return instead(Corrector, "_turn", turn)


@breaks("KEY-4")
def pays_any_price() -> Wrong:
    """The responder asks on, whatever is left."""

    def ask(right: Any, one: Responder, now: int) -> None:
        one._budget = 1 << 30
        right(one, now)

    return instead(Responder, "_ask", ask)


@breaks("KEY-5")
def verifies_anything() -> Wrong:
    """The tag is not looked at: it is what it would be."""

    def verify(right: Any, one: Responder, message: KeyProof, now: int) -> None:
        size, seed = len(one._corrector.bits), int.from_bytes(one._seed, "little")
        own = toeplitz(seed & (1 << seed_bits(size, 4)) - 1, pack(one._corrector.bits), size, 4)
        right(one, message._replace(tag=bytes([own])), now)

    return instead(Responder, "_verify", verify)


@breaks("KEY-5")
def proves_something_else() -> Wrong:
    """The tag is of other bits."""
    return says(KeyProof, lambda message: message._replace(tag=bytes(b ^ 1 for b in message.tag)))


@breaks("KEY-6")
def takes_what_is_no_secret() -> Wrong:
    """The opener leaves out what correction has leaked."""
    return instead(opener, "key_length", lambda right, n, k, errors, leak, *bits: right(n, k, errors, 0, *bits))


@breaks("KEY-6")
def believes_any_length() -> Wrong:
    """So does the responder."""
    return instead(responder, "key_length", lambda right, n, k, errors, leak, *bits: right(n, k, errors, 0, *bits))


@breaks("KEY-7")
def names_keys_by_their_number() -> Wrong:
    """The nonce is not in it."""

    def key_id(right: Any, one: Store, number: int) -> str:
        name, one._name = one._name, f"{one.ident.opener}/{one.ident.number}"
        named: str = right(one, number)
        one._name = name
        return named

    return instead(Store, "_key_id", key_id)


@breaks("KEY-7")
def names_keys_at_random() -> Wrong:
    """A UUID of another version."""

    def key_id(right: Any, one: Store, number: int) -> str:
        name: str = right(one, number)
        return f"{name[:14]}4{name[15:]}"

    return instead(Store, "_key_id", key_id)


@breaks("KEY-8")
def hands_out_before_it_is_verified() -> Wrong:
    """The opener has the bits, and takes it for granted that the responder has them."""

    def prove(right: Any, one: Opener, message: Any, now: int) -> None:
        right(one, message, now)
        one.store.put(one._secret, one.figures.length)

    return instead(Opener, "_prove", prove)


@breaks("KEY-8")
def hands_out_twice() -> Wrong:
    """A key stays in the store."""

    def take(right: Any, one: Store, key_ids: list[str]) -> Any:
        kept = dict(one._keys)
        taken = right(one, key_ids)
        one._keys = kept
        return taken

    return instead(Store, "take_named", take)


@breaks("KEY-9")
def forgets_keys_with_their_session() -> Wrong:
    """At the end of a session its keys are gone."""
    return instead(Store, "keep_first", lambda right, one, number: one.drop())


@breaks("KEY-9")
def keeps_what_nobody_was_given() -> Wrong:
    """The peer's Close changes nothing."""
    return nothing(Store, "keep_first")


@breaks("KEY-9")
def hands_out_by_name_twice() -> Wrong:
    """A key stays in the store."""
    return hands_out_twice()


@breaks("KEY-10")
def gives_up_silently() -> Wrong:
    """The peer does not hear of it."""
    return never_says(KeyGiveUp)


@breaks("KEY-10")
def gives_another_reason() -> Wrong:
    """It is not the link's fault."""
    return says(KeyGiveUp, lambda message: message._replace(why=KeyWhy.FULL))


@breaks("KEY-10")
def tries_for_ever() -> Wrong:
    """Blocks in vain are no reason to end."""
    return _with_terms(patience=999)


@breaks("KEY-11")
def does_not_miss_its_peer() -> Wrong:
    """Sessions stay open."""
    return nothing(Keys, "peer_lost")


@breaks("KEY-11")
def leaves_a_lost_opener_alone() -> Wrong:
    """What is said of a session that is not known is passed over."""
    return never_says(KeyClose)

