"""What both ends of a session have in common.

What may live here: the state and its moves, the figures of the block, how a block or the session ends.
"""

from collections.abc import Callable, Iterator, Mapping
from hashlib import shake_256
from typing import Any, ClassVar, NamedTuple

from protocols.ignored import Ignored
from protocols.key.service import BlockDone, BlockGivenUp, Figures, Ident, SessionEnded, Terms
from protocols.key.sifting import PIECE, Read, pieces, row
from protocols.key.states import KeyInput, KeyState
from protocols.key.store import Store
from protocols.machine import Output, Send
from protocols.wire.codec import EgpBasis, KeyBases, KeyGiveUp, KeyWhy


class Shared(NamedTuple):
    """What a node lends to its sessions."""

    outputs: list[Output]
    seed: str
    """Of all that is drawn here."""
    hold: Callable[[Ident, int], None]
    unhold: Callable[[Ident], None]


class End:
    """One end of one session."""

    TABLE: ClassVar[dict[tuple[KeyState, KeyInput], KeyState]]

    def __init__(self, ident: Ident, peer: int, terms: Terms, nonce: int, state: KeyState, shared: Shared) -> None:
        self.ident, self.peer, self.terms = ident, peer, terms
        self.state = state
        self.why: KeyWhy | None = None
        self.store = Store(ident, nonce, terms.key_bits)
        self.block = 0
        self.figures = Figures()
        self._reads: dict[int, Read] = {}  # that no block has used yet
        self._shared = shared

    def measured(self, pair_id: int, basis: EgpBasis, outcome: int, now: int) -> None:
        """Both ends have measured a pair."""
        self._reads[pair_id] = Read(basis, outcome & 1)
        self._gathered(now)

    def lost(self, pair_id: int, now: int) -> None:
        """It was none."""
        raise NotImplementedError

    def _gathered(self, now: int) -> None:
        raise NotImplementedError

    def _rest(self, now: int) -> None:
        """A block is over, one way or the other."""
        raise NotImplementedError

    def _forget_block(self) -> None:
        """What is known of it is nobody's any more."""
        raise NotImplementedError

    def hear(self, message: Any, now: int) -> None:
        """A message of the peer about a block or the session."""
        raise NotImplementedError

    # The block.

    def give_up(self, why: KeyWhy, now: int, by_peer: bool = False) -> None:
        """No key comes of this block; each end hears why (KEY-10)."""
        if not by_peer:
            self._say(KeyGiveUp(*self.ident, self.block, why))
        self._move(KeyInput.GIVEN_UP)
        self._forget_block()
        self._tell(BlockGivenUp(self.ident, self.peer, self.block, self.figures, why, by_peer))
        self._rest(now)

    def _say_bases(self, pairs: Mapping[int, Read], first: int, span: int) -> None:
        """In which bases these were measured, from pair id ``first`` on (KEY-2)."""
        for index, (part, more) in enumerate(in_turn(pieces(row(pairs, first, span)))):
            self._say(KeyBases(*self.ident, self.block, first + 4 * PIECE * index, more, part))

    def _done(self, secret: int, now: int) -> None:
        self._move(KeyInput.VERIFIED)
        self._forget_block()
        keys = self.store.put(secret, self.figures.length)
        self._tell(BlockDone(self.ident, self.peer, self.block, self.figures, keys))

    # The session.

    def end(self, why: KeyWhy, by_peer: bool) -> None:
        self._move(KeyInput.CLOSE)
        self.why = why
        self._forget_block()
        self._reads.clear()
        self._tell(SessionEnded(self.ident, self.peer, why, by_peer))

    # Small steps.

    def _move(self, stimulus: KeyInput) -> None:
        self.state = self.TABLE[self.state, stimulus]

    def _say(self, message: Any) -> None:
        self._shared.outputs.append(Send(self.peer, message, reliable=True))

    def _tell(self, event: Output) -> None:
        self._shared.outputs.append(event)

    def _ignore(self, message: NamedTuple) -> None:
        reason = f"the session is in state {self.state.name}"
        self._tell(Ignored(self.peer, type(message).__name__, reason))

    def _drawn(self, what: str, bits: int) -> int:
        """So many bits drawn for this block."""
        key = f"key/{self._shared.seed}/{what}/{self.ident.number}/{self.block}"
        return int.from_bytes(shake_256(key.encode()).digest(-(-bits // 8)), "little") & (1 << bits) - 1


def in_turn(parts: list[bytes]) -> Iterator[tuple[bytes, int]]:
    """Each piece, and whether more follow."""
    for left, part in zip(reversed(range(len(parts))), parts, strict=True):
        yield part, int(left > 0)


def reason(code: int) -> KeyWhy:
    """A peer's reason; one that there is none of breaks the rules."""
    return KeyWhy(code) if code in set(KeyWhy) else KeyWhy.MALFORMED
