"""The end that has opened a session: it asks for pairs, its bits count, and it hands out keys first.

What may live here: its rules.  KEY-n: key.toml.
"""

from typing import Any, Final

from protocols.key.amplification import hashes, key_length, seeds_bits
from protocols.key.correction import Question, Reference
from protocols.key.end import End, Shared, reason
from protocols.key.service import CloseCircuit, Figures, Ident, OpenCircuit, SessionOpened, Status, Terms, WantPairs
from protocols.key.sifting import MOST_SPAN, NOTHING, Read, named, pack, pack_bytes, pieces, sift, unpack
from protocols.key.states import OPENER_TABLE, KeyInput, KeyState
from protocols.key.store import Key
from protocols.wire.codec import (
    EgpBasis,
    KeyAccept,
    KeyAsk,
    KeyBases,
    KeyClose,
    KeyCorrected,
    KeyEstimate,
    KeyGiveUp,
    KeyOpen,
    KeyParities,
    KeyProof,
    KeyRefuse,
    KeySeed,
    KeyTests,
    KeyVerified,
    KeyWhy,
)


class Opener(End):
    """Its end of one session."""

    TABLE = OPENER_TABLE

    def __init__(self, ident: Ident, peer: int, terms: Terms, nonce: int, shared: Shared) -> None:
        super().__init__(ident, peer, terms, nonce, KeyState.OPENING, shared)
        self._fruitless = 0
        self._wanted = 0  # keys that somebody waits for
        self._forget_block()
        self._say(KeyOpen(*ident, *terms[:5], nonce))

    def _forget_block(self) -> None:
        self._mine: dict[int, Read] = {}
        self._first = 0
        self._rows, self._tests = bytearray(), bytearray()
        self._theirs: dict[int, EgpBasis] | None = None
        self._sifted = NOTHING
        self._reference = Reference(bytearray(), 0)
        self._budget = 0
        self._secret = 0

    # The service upward.

    def take(self, number: int, now: int) -> list[Key]:
        """Hand out so many keys that the responder surely has (KEY-8), or none; make more in their place."""
        keys = self.store.take(number) if self.state is not KeyState.CLOSED else []
        self._wanted = 0 if keys else number
        self._refill(now)
        return keys

    def close(self, why: KeyWhy, now: int) -> None:
        """The session is over, as the responder is told."""
        self._say(KeyClose(*self.ident, why, self.store.taken))
        self.end(why, by_peer=False)

    def end(self, why: KeyWhy, by_peer: bool) -> None:
        opened = self.state is not KeyState.OPENING
        super().end(why, by_peer)
        self.store.drop()  # the responder does not keep them for us
        if opened:
            self._tell(CloseCircuit(self.ident))

    def status(self) -> Status:
        is_open = self.state is not KeyState.CLOSED
        return Status(is_open, len(self.store), self.store.made, self.terms.key_bits, self.terms.stock, self.why)

    # Pairs.

    def lost(self, pair_id: int, now: int) -> None:
        if self.state is KeyState.GATHERING and self._reads.pop(pair_id, None) is not None:
            self._tell(WantPairs(self.ident, 1))

    def _refill(self, now: int) -> None:
        terms = self.terms
        enough = len(self.store) >= max(terms.stock, self._wanted) or 0 < terms.total <= self.store.made
        if self.state is not KeyState.RESTING or enough:
            return
        self._move(KeyInput.NEED)
        self.block += 1
        self.figures = Figures()
        missing = terms.block_pairs - len(self._reads)
        if missing > 0:
            self._tell(WantPairs(self.ident, missing))
        else:
            self._gathered(now)

    def _gathered(self, now: int) -> None:
        """A block is whole: say who measured what (KEY-2).  Both ends have measured all of it by now."""
        if self.state is not KeyState.GATHERING or len(self._reads) < self.terms.block_pairs:
            return
        self._mine, self._reads = self._reads, {}
        self._first = first = min(self._mine)
        span = max(self._mine) - first + 1
        self.figures = self.figures._replace(pairs=len(self._mine))
        if span > MOST_SPAN:  # numbers began anew
            self.give_up(KeyWhy.MALFORMED, now)
            return
        self._move(KeyInput.GATHERED)
        self._say_bases(self._mine, first, span)

    def _rest(self, now: int) -> None:
        self._fruitless += 1
        if self._fruitless >= self.terms.patience:
            self.close(KeyWhy.FRUITLESS, now)
        else:
            self._refill(now)

    # Messages.

    def hear(self, message: Any, now: int) -> None:
        block = getattr(message, "block", self.block)
        match message:
            case KeyClose():
                self.end(reason(message.why), by_peer=True)
            case KeyAccept() if self.state is KeyState.OPENING:
                self._move(KeyInput.ACCEPTED)
                self._tell(SessionOpened(self.ident, self.peer))
                self._tell(OpenCircuit(self.ident, self.peer, self.terms.x_chance))
                self._refill(now)
            case KeyRefuse() if self.state is KeyState.OPENING:
                self.end(reason(message.why), by_peer=True)
            case _ if block < self.block:
                pass  # of a block that was given up: it has crossed that
            case KeyGiveUp() if self.state in _WITH_PEER and block == self.block:
                self.give_up(reason(message.why), now, by_peer=True)
            case KeyBases() if self.state is KeyState.SIFTING and self._theirs is None:
                self._take_bases(message, now)
            case KeyTests() if self.state is KeyState.SIFTING and self._theirs is not None:
                self._take_tests(message, now)
            case KeyAsk() if self.state is KeyState.CORRECTING:
                self._answer(message, now)
            case KeyCorrected() if self.state is KeyState.CORRECTING:
                self._prove(message, now)
            case KeyVerified() if self.state is KeyState.PROVING:
                self._verified(message, now)
            case _:
                self._ignore(message)

    def _take_bases(self, message: KeyBases, now: int) -> None:
        """Which of them the responder has, and in which bases it has measured those."""
        expected = self._first + 4 * len(self._rows)
        self._rows += message.row
        if message.first != expected or len(self._rows) > MOST_SPAN // 4:
            self.give_up(KeyWhy.MALFORMED, now)
        elif not message.more:
            self._theirs = named(self._rows, self._first)
            self._sifted = sift(self._mine, self._theirs)

    def _take_tests(self, message: KeyTests, now: int) -> None:
        """Compare what both have read in X (KEY-3)."""
        key, test = self._sifted
        self._tests += message.bits
        if len(self._tests) > -(-len(test) // 8) or (not message.more and len(self._tests) * 8 < len(test)):
            self.give_up(KeyWhy.MALFORMED, now)
            return
        if message.more:
            return
        terms = self.terms
        errors = sum(a != b for a, b in zip(test, unpack(bytes(self._tests), len(test)), strict=True))
        self.figures = self.figures._replace(sifted=len(key), tested=len(test), x_errors=errors)
        self._budget = key_length(len(key), len(test), errors, 0, terms.secrecy, terms.correctness)
        if errors > terms.most_errors * len(test):
            self.give_up(KeyWhy.NOISY, now)
        elif not self._budget:
            self.give_up(KeyWhy.SHORT, now)
        else:
            self._move(KeyInput.ESTIMATED)
            shuffle = self._drawn("shuffle", 64)
            self._reference = Reference(key, shuffle)
            self._say(KeyEstimate(*self.ident, self.block, len(key), len(test), errors, shuffle))

    def _answer(self, message: KeyAsk, now: int) -> None:
        """Parities that are asked for: each is a bit less of key (KEY-4)."""
        questions = [Question(*question) for question in message.questions]
        if not all(map(self._reference.fits, questions)):
            self.give_up(KeyWhy.MALFORMED, now)
            return
        answers = bytearray(self._reference.answer(question) for question in questions)
        self.figures = self.figures._replace(leak=self._reference.leak)
        if self._reference.leak > self._budget:
            self.give_up(KeyWhy.COSTLY, now)
        else:
            self._say(KeyParities(*self.ident, self.block, pack_bytes(answers)))

    def _prove(self, message: KeyCorrected, now: int) -> None:
        """The responder says that it has the same bits: a hash to show it, and how to make the key (KEY-5, KEY-6)."""
        terms, key, leak = self.terms, self._sifted.key, self._reference.leak
        size, tested, errors = len(key), self.figures.tested, self.figures.x_errors
        length = key_length(size, tested, errors, leak, terms.secrecy, terms.correctness)
        self.figures = self.figures._replace(z_errors=message.errors, length=length)
        if message.asked != leak or message.errors > size:
            self.give_up(KeyWhy.MALFORMED, now)
        elif message.errors > terms.most_errors * size:
            self.give_up(KeyWhy.NOISY, now)
        elif not length:
            self.give_up(KeyWhy.SHORT, now)
        else:
            self._move(KeyInput.CORRECTED)
            wide = seeds_bits(size, terms.correctness, length)
            seed = self._drawn("toeplitz", wide)
            tag, self._secret = hashes(seed, pack(key), size, terms.correctness, length)
            for part in pieces(seed.to_bytes(-(-wide // 8), "little")):
                self._say(KeySeed(*self.ident, self.block, part))
            self._say(KeyProof(*self.ident, self.block, length, tag.to_bytes(-(-terms.correctness // 8), "little")))

    def _verified(self, message: KeyVerified, now: int) -> None:
        """The responder has the keys: so they may be handed out (KEY-8)."""
        self._fruitless = 0
        self._done(self._secret, now)
        if self.store.made != message.keys:  # its keys would go by other names
            self.close(KeyWhy.MALFORMED, now)
        else:
            self._refill(now)


_WITH_PEER: Final = (KeyState.SIFTING, KeyState.CORRECTING, KeyState.PROVING)
