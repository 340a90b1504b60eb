"""What passes between KEY and its neighbours in the stack: the terms of a session, and events.

Nothing here has a bit of a key but what `enc_keys` and `dec_keys` return.
"""

from typing import Final, NamedTuple

from protocols.wire.codec import KeyWhy

FULL: Final = (1 << 32) - 1
MOST_SESSIONS: Final = 0xFFF
"""Their numbers lie below, so that each has a purpose of its own below."""
NAMED_SESSIONS: Final = 0x3FF
"""Up to here their users may choose them; the others are given out in turn."""
MOST_BLOCK: Final = 1_000_000
LEAST_KEY_BITS: Final = 8
MOST_KEY_BITS: Final = 4_096
MOST_SECRECY: Final = 128
MOST_CORRECTNESS: Final = 255
MOST_KEYS: Final = 10_000
"""In the store of one session."""


class Ident(NamedTuple):
    """Of a session, at both ends alike."""

    opener: int
    number: int


class Terms(NamedTuple):
    """What a session makes keys of.  The last four concern its opener only."""

    block_pairs: int = 10_000
    x_chance: int = FULL // 2
    """That an end measures in X, of 2^32 - 1: those pairs test the link, those in Z make keys."""
    key_bits: int = 256
    secrecy: int = 33
    """e_sec = 2^-secrecy, of each block: 1.2e-10."""
    correctness: int = 50
    """e_cor = 2^-correctness: 0.9e-15."""
    most_errors: float = 0.11
    """Share of differing bits, in X or in Z, above which a block is given up."""
    stock: int = 1
    """Keys that are kept ready."""
    total: int = 0
    """Keys after which no more are made; 0: as many as are taken."""
    patience: int = 3
    """Blocks in a row without a key, after which the session ends."""

    def make_sense(self) -> bool:
        return (
            1 <= self.block_pairs <= MOST_BLOCK
            and 0 < self.x_chance < FULL
            and LEAST_KEY_BITS <= self.key_bits <= MOST_KEY_BITS
            and self.key_bits % 8 == 0
            and 1 <= self.secrecy <= MOST_SECRECY
            and 1 <= self.correctness <= MOST_CORRECTNESS
        )


class Figures(NamedTuple):
    """Of a block, as far as it came; what anybody may know."""

    pairs: int = 0
    sifted: int = 0  # measured in Z by both ends
    tested: int = 0  # in X
    x_errors: int = 0
    z_errors: int = 0  # that were corrected
    leak: int = 0  # bits said about those in Z, to correct them
    length: int = 0  # bits of key


class Status(NamedTuple):
    """Of a session, at its opener."""

    open: bool
    stored: int
    made: int
    key_bits: int
    stock: int
    why: KeyWhy | None  # why it is closed


class OpenCircuit(NamedTuple):
    """Event at the opener: ask the layer below for measured pairs with the peer, in X and Z."""

    session: Ident
    peer: int
    x_chance: int


class WantPairs(NamedTuple):
    """Event at the opener: so many more."""

    session: Ident
    number: int


class CloseCircuit(NamedTuple):
    """Event at the opener: no more."""

    session: Ident


class Listen(NamedTuple):
    """Event at the responder: pairs of this session are welcome."""

    session: Ident


class Unlisten(NamedTuple):
    """Event at the responder: no more."""

    session: Ident


class BlockDone(NamedTuple):
    """Event at both ends: a block has made keys."""

    session: Ident
    peer: int
    block: int
    figures: Figures
    keys: int


class BlockGivenUp(NamedTuple):
    """Event at both ends: a block has made none."""

    session: Ident
    peer: int
    block: int
    figures: Figures
    why: KeyWhy
    by_peer: bool


class SessionOpened(NamedTuple):
    """Event at both ends."""

    session: Ident
    peer: int


class SessionEnded(NamedTuple):
    """Event at both ends, the last of a session."""

    session: Ident
    peer: int
    why: KeyWhy
    by_peer: bool
