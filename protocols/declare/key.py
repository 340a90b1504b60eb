"""KEY: keys of two nodes from pairs that both have measured (BBM92)."""

from typing import Any

from protocols.declare.family import Family
from protocols.declare.fields import (
    CodePoint,
    Message,
    Record,
    bits,
    byte_string,
    enum8,
    in_order,
    records,
    u8,
    u16,
    u32,
    u64,
)

PIECE = 1000
QUESTIONS = 200


class KeyWhy(CodePoint):
    """Why a block makes no key, or a session ends."""

    CLOSED = 0, "its opener needs no more"
    NOISY = 1, "more of the tested bits differ than is allowed: an eavesdropper, or a bad link"
    SHORT = 2, "nothing of the block would be secret"
    COSTLY = 3, "to correct it would take more bits than are secret: the bits in Z differ more than those in X"
    UNLIKE = 4, "the corrected bits differ still"
    MALFORMED = 5, "a message that contradicts what was said before"
    FULL = 6, "there is no room: for more sessions, or for more keys"
    UNFIT = 7, "no such session is served: its sizes make no sense"
    NO_PAIRS = 8, "no more pairs can be had"
    PEER_LOST = 9, "the other end is gone, or has started anew"
    FRUITLESS = 10, "too many blocks in a row have made no key"


def _session() -> list[Any]:
    return [
        u16("opener", "node that has opened the session", key=True),
        u16("session", "number that it has given it", key=True),
    ]


def _block() -> list[Any]:
    return [*_session(), u32("block", "number of the block, from 1", key=True)]


class Open(Message):
    """Opens a session: the sender wants keys with the receiver, and may hand them out."""

    name = "Open"
    code = 1
    fields_desc = in_order(
        _session(),
        u32("block_pairs", "pairs in a block", key=True),
        u32("x_chance", "that an end measures in X, not in Z", "of 2³² − 1"),
        u16("key_bits", "of each key; whole bytes", key=True),
        u8("secrecy", "s: of 2^-s is the chance that a key is not secret", key=True),
        u8("correctness", "c: of 2^-c is the chance that the two ends' keys differ", key=True),
        u64("nonce", "drawn at random; the names of keys follow from it"),
    )


class Accept(Message):
    """The session is served, and pairs for it are welcome."""

    name = "Accept"
    code = 2
    fields_desc = in_order(_session())


class Refuse(Message):
    """It is not."""

    name = "Refuse"
    code = 3
    fields_desc = in_order(_session(), enum8("why", KeyWhy, "why", key=True))


class Bases(Message):
    """In which basis the sender has measured each pair of a block; the opener's comes first and says which pairs."""

    name = "Bases"
    code = 4
    fields_desc = in_order(
        _block(),
        u32("first", "pair id of the first pair in this piece", key=True),
        bits("more", 1, "1 = the row goes on"),
        byte_string("row", PIECE, "two bits a pair id, lowest first: 0 not here, 1 Z, 2 X"),
    )


class Tests(Message):
    """What the responder has read of all pairs that both have measured in X: they make no key."""

    name = "Tests"
    code = 5
    fields_desc = in_order(
        _block(),
        bits("more", 1, "1 = the bits go on"),
        byte_string("bits", PIECE, "by rising pair id, lowest bit first"),
    )


class Estimate(Message):
    """The opener has compared them: how the block goes on."""

    name = "Estimate"
    code = 6
    fields_desc = in_order(
        _block(),
        u32("sifted", "pairs that both have measured in Z", key=True),
        u32("tested", "in X", key=True),
        u32("errors", "of these that differ", key=True),
        u64("shuffle", "seed of the orders in which the bits are corrected"),
    )


class KeyQuestion(Record):
    """A parity that is asked for."""

    name = "Question"
    fields_desc = in_order(
        u8("order", "number of the order, from 0"),
        u32("place", "of the first so many bits in that order"),
    )


class Ask(Message):
    """The responder asks for parities of the opener's bits."""

    name = "Ask"
    code = 7
    fields_desc = in_order(_block(), records("questions", KeyQuestion, QUESTIONS, "which"))


class Parities(Message):
    """The opener answers an Ask."""

    name = "Parities"
    code = 8
    fields_desc = in_order(_block(), byte_string("bits", 25, "a bit for each question, lowest bit first"))


class Corrected(Message):
    """The responder has nothing more to ask."""

    name = "Corrected"
    code = 9
    fields_desc = in_order(
        _block(),
        u32("errors", "bits that it has turned", key=True),
        u32("asked", "parities that it was told", key=True),
    )


class Seed(Message):
    """Random bits: of the Toeplitz matrix that verifies, and then of the one that amplifies."""

    name = "Seed"
    code = 10
    fields_desc = in_order(_block(), byte_string("bits", PIECE, "the next of them, lowest bit first"))


class Proof(Message):
    """All random bits have been said; the hash of the opener's bits, and how long the key is."""

    name = "Proof"
    code = 11
    fields_desc = in_order(
        _block(),
        u32("length", "bits of key that the block yields", key=True),
        byte_string("tag", 32, "their hash, lowest bit first"),
    )


class Verified(Message):
    """The responder has the same bits, and the keys that they make."""

    name = "Verified"
    code = 12
    fields_desc = in_order(_block(), u32("keys", "of the session so far", key=True))


class GiveUp(Message):
    """The block makes no key."""

    name = "GiveUp"
    code = 13
    fields_desc = in_order(_block(), enum8("why", KeyWhy, "why", key=True))


class Close(Message):
    """The session is over. Of its keys those that the opener has handed out can still be had from the responder."""

    name = "Close"
    code = 14
    fields_desc = in_order(
        _session(),
        enum8("why", KeyWhy, "why", key=True),
        u32("handed_out", "from the opener: keys that it has handed out, the first ones", key=True),
    )


FAMILY = Family(
    number=13,
    name="KEY",
    title="Keys",
    about="Keys of two nodes from pairs that both have measured in Z or X (BBM92). All of it travels over the reliable"
    " sublayer. Bit strings are little-endian.",
    messages=(
        Open, Accept, Refuse, Bases, Tests, Estimate, Ask, Parities, Corrected, Seed, Proof, Verified, GiveUp, Close,
    ),
    points=(KeyWhy,),
)  # fmt: skip
