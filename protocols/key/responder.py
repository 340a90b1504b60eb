"""The end that has accepted a session: it corrects its bits, and hands out keys that are asked for by name.

What may live here: its rules.  KEY-n: key.toml.
"""

from typing import Any

from protocols.key.amplification import hashes, key_length, seeds_bits
from protocols.key.correction import Corrector, Question
from protocols.key.end import End, Shared, in_turn, reason
from protocols.key.service import MOST_KEYS, Figures, Ident, Listen, SessionOpened, Terms, Unlisten
from protocols.key.sifting import MOST_SPAN, NOTHING, named, pack, pack_bytes, pieces, sift, unpack
from protocols.key.states import RESPONDER_TABLE, KeyInput, KeyState
from protocols.wire.codec import (
    EgpBasis,
    KeyAccept,
    KeyAsk,
    KeyBases,
    KeyClose,
    KeyCorrected,
    KeyEstimate,
    KeyGiveUp,
    KeyParities,
    KeyProof,
    KeyQuestion,
    KeySeed,
    KeyTests,
    KeyVerified,
    KeyWhy,
)


class Responder(End):
    """Its end of one session."""

    TABLE = RESPONDER_TABLE

    def __init__(self, ident: Ident, peer: int, terms: Terms, nonce: int, shared: Shared) -> None:
        super().__init__(ident, peer, terms, nonce, KeyState.GATHERING, shared)
        self._forget_block()
        self._tell(Listen(ident))
        self._say(KeyAccept(*ident))
        self._tell(SessionOpened(ident, peer))

    def _forget_block(self) -> None:
        self._shared.unhold(self.ident)
        self._first = 0
        self._rows, self._seed = bytearray(), bytearray()
        self._theirs: dict[int, EgpBasis] = {}
        self._sifted = NOTHING
        self._corrector = Corrector(bytearray(), 0)
        self._asked: list[Question] = []
        self._budget = 0

    def end(self, why: KeyWhy, by_peer: bool) -> None:
        super().end(why, by_peer)
        self._tell(Unlisten(self.ident))

    # Pairs.

    def lost(self, pair_id: int, now: int) -> None:
        self._reads.pop(pair_id, None)

    def _gathered(self, now: int) -> None:
        while len(self._reads) > 2 * self.terms.block_pairs:  # no block has asked for them
            del self._reads[next(iter(self._reads))]
        if self.state is KeyState.MATCHING and self._theirs.keys() <= self._reads.keys():
            self.match(now)

    def match(self, now: int) -> None:
        """All pairs of the block are here, or no more will come: say what was measured (KEY-2, KEY-3)."""
        self._shared.unhold(self.ident)
        self._move(KeyInput.MATCHED)
        mine = {pair_id: self._reads[pair_id] for pair_id in self._theirs if pair_id in self._reads}
        last = max(self._theirs, default=0)
        self._reads = {pair_id: read for pair_id, read in self._reads.items() if pair_id > last}
        self._sifted = sift(mine, self._theirs)
        key, test = self._sifted
        self.figures = Figures(pairs=len(mine), sifted=len(key), tested=len(test))
        self._say_bases(mine, self._first, 4 * len(self._rows))
        for part, more in in_turn(pieces(pack_bytes(test))):
            self._say(KeyTests(*self.ident, self.block, more, part))

    def _rest(self, now: int) -> None:
        pass

    # Messages.

    def hear(self, message: Any, now: int) -> None:
        block = getattr(message, "block", self.block)
        match message:
            case KeyClose():
                self.end(reason(message.why), by_peer=True)
                self.store.keep_first(message.handed_out)  # KEY-9
            case KeyBases() if self.state is KeyState.GATHERING and (block == self.block + 1 or self._rows):
                self._take_bases(message, now)
            case KeyGiveUp() if block == self.block + 1 and self.state is KeyState.GATHERING:
                self.block = block
                self.figures = Figures()
                self.give_up(reason(message.why), now, by_peer=True)
            case _ if block < self.block:
                pass  # of a block that was given up: it has crossed that
            case _ if block > self.block:
                self._ignore(message)
            case KeyGiveUp():
                if self.state is not KeyState.GATHERING or self._rows:  # else both have given it up
                    self.give_up(reason(message.why), now, by_peer=True)
            case KeyEstimate() if self.state is KeyState.ESTIMATING:
                self._estimate(message, now)
            case KeyParities() if self.state is KeyState.CORRECTING:
                self._learn(message, now)
            case KeySeed() if self.state is KeyState.PROVING:
                self._take_seed(message, now)
            case KeyProof() if self.state is KeyState.PROVING:
                self._verify(message, now)
            case _:
                self._ignore(message)

    def _take_bases(self, message: KeyBases, now: int) -> None:
        if not self._rows:
            self.block, self._first, self.figures = message.block, message.first, Figures()
        expected = self._first + 4 * len(self._rows)
        self._rows += message.row
        fits = message.block == self.block and message.first == expected and len(self._rows) <= MOST_SPAN // 4
        if fits and message.more and message.row:
            return
        self._theirs = named(self._rows, self._first)
        if not fits or message.more or not 0 < len(self._theirs) <= self.terms.block_pairs:
            self.give_up(KeyWhy.MALFORMED, now)
            return
        self._move(KeyInput.GATHERED)
        self._shared.hold(self.ident, now)
        self._gathered(now)

    def _estimate(self, message: KeyEstimate, now: int) -> None:
        terms, (key, test) = self.terms, self._sifted
        self.figures = self.figures._replace(x_errors=message.errors)
        self._budget = key_length(len(key), len(test), message.errors, 0, terms.secrecy, terms.correctness)
        if (message.sifted, message.tested) != (len(key), len(test)) or not self._budget:
            self.give_up(KeyWhy.MALFORMED, now)
            return
        self._move(KeyInput.ESTIMATED)
        self._corrector = Corrector(key, message.shuffle)
        self._ask(now)

    def _ask(self, now: int) -> None:
        """For more parities, as long as they leave something (KEY-4); or there is nothing more to ask."""
        corrector = self._corrector
        self._asked = corrector.questions()
        self.figures = self.figures._replace(leak=corrector.leak, z_errors=corrector.corrected)
        if corrector.leak + len(self._asked) > self._budget:
            self.give_up(KeyWhy.COSTLY, now)
        elif self._asked:
            self._say(KeyAsk(*self.ident, self.block, tuple(KeyQuestion(*q) for q in self._asked)))
        else:
            self._move(KeyInput.CORRECTED)
            self._say(KeyCorrected(*self.ident, self.block, corrector.corrected, corrector.leak))

    def _learn(self, message: KeyParities, now: int) -> None:
        if len(message.bits) != -(-len(self._asked) // 8):
            self.give_up(KeyWhy.MALFORMED, now)
            return
        self._corrector.learn(list(unpack(message.bits, len(self._asked))))
        self._ask(now)

    def _take_seed(self, message: KeySeed, now: int) -> None:
        self._seed += message.bits
        size = len(self._corrector.bits)
        if len(self._seed) * 8 > seeds_bits(size, self.terms.correctness, self._budget) + 8:
            self.give_up(KeyWhy.MALFORMED, now)

    def _verify(self, message: KeyProof, now: int) -> None:
        """Are both strings the same?  Then they become keys (KEY-5, KEY-6), which the opener may hand out."""
        terms, bits, length = self.terms, self._corrector.bits, message.length
        figures, size = self.figures, len(self._corrector.bits)
        most = key_length(size, figures.tested, figures.x_errors, figures.leak, terms.secrecy, terms.correctness)
        wide = seeds_bits(size, terms.correctness, length)
        well_formed = 0 < length <= most and len(self._seed) == -(-wide // 8)
        if not well_formed or len(message.tag) != -(-terms.correctness // 8):
            self.give_up(KeyWhy.MALFORMED, now)
            return
        seed = int.from_bytes(self._seed, "little")
        tag, secret = hashes(seed, pack(bits), size, terms.correctness, length)
        if tag != int.from_bytes(message.tag, "little"):
            self.give_up(KeyWhy.UNLIKE, now)
        elif len(self.store) + self.store.room(length) > MOST_KEYS:
            self.give_up(KeyWhy.FULL, now)
        else:
            self.figures = figures._replace(length=length)
            self._done(secret, now)
            self._say(KeyVerified(*self.ident, self.block, self.store.made))
