"""KEY, the machine of a node: the sessions that it has opened and those that it has accepted.  KEY-n: key.toml.

    opener                                   responder
    Open                  ->                                   the session
                          <-  Accept
    (pairs are measured at both ends, each half in Z or X by chance)
    Bases                 ->                                   a block: who measured which pair, in which basis
                          <-  Bases, Tests                     and what was read in X, where both did
    Estimate              ->                                   few enough of these differ
                          <-  Ask        (again and again)     parities, until nothing differs in Z
    Parities              ->
                          <-  Corrected
    Seed, Proof           ->                                   a hash of all bits, and the matrix that makes the key
                          <-  Verified                         the responder has it; now the opener has it, too

What is promised of a key.  The responder has it from Verified on, and hands it out only to who names it.  The opener
hands it out only after Verified, and each key once: whoever gets a key there knows that the responder had it, and had
not been found lost.  The responder keeps it until somebody asks for it, also when the opener is gone.  That it will
still be there cannot be promised by anybody: a node may die with its store the moment after it has said that all is
well, which is the coordinated attack of the two generals.  A key that only one end has is never handed out: should
Verified be lost with the opener's knowledge, the responder has keys that nobody can name, and lets go of them at
Close.

What passes between KEY and its neighbours stands in service.py, the states and tables in states.py.
"""

from collections import deque
from itertools import cycle
from typing import Any, Final

from protocols.chance import drawn
from protocols.holds import Holds
from protocols.ignored import Ignored
from protocols.key.end import End, Shared
from protocols.key.opener import Opener
from protocols.key.responder import Responder
from protocols.key.service import MOST_SESSIONS, NAMED_SESSIONS, Ident, Status, Terms
from protocols.key.states import KeyState
from protocols.key.store import Key, Store
from protocols.machine import Output, Send
from protocols.wire.codec import EgpBasis, KeyClose, KeyOpen, KeyRefuse, KeyWhy

HOLD_PS: Final = 1_000_000_000_000
"""1 s: a pair that both have measured may be told here so much later than the opener's bases come."""
MOST_OF_A_PEER: Final = 16
"""Sessions of one peer that are served at once."""
_MOST_LEFT: Final = 64
"""Stores of one peer whose session has ended."""


class Keys:
    """Both ends of KEY for one node.  ``seed``: of what it draws; another one for each life of the node."""

    def __init__(self, node: int, seed: str, hold_ps: int = HOLD_PS) -> None:
        self._node = node
        self._seed = seed
        self._outputs: list[Output] = []
        self._sessions: dict[Ident, End] = {}
        self._left: dict[int, deque[Store]] = {}  # by peer
        self._numbers = cycle(range(NAMED_SESSIONS + 1, MOST_SESSIONS + 1))
        self._holds: Holds[Ident] = Holds(hold_ps)
        self._shared = Shared(self._outputs, f"{seed}/{node}", self._holds.put, self._holds.drop)

    # The service upward.

    def open(self, peer: int, terms: Terms, now: int, number: int = 0) -> Ident:
        """Make keys with this peer, in a session of this number or of the next that is free; ValueError if the terms
        make no sense, the number is in use or too many sessions are open."""
        if not terms.make_sense():
            raise ValueError(f"{terms} make no sense")
        own = sum(ident.opener == self._node for ident in self._sessions)
        if own >= MOST_SESSIONS - NAMED_SESSIONS or Ident(self._node, number) in self._sessions:
            raise ValueError(f"{own} sessions are open")
        ident = Ident(self._node, number or next(n for n in self._numbers if (self._node, n) not in self._sessions))
        nonce = drawn(f"key nonce/{self._seed}/{self._node}/{ident.number}/{now}")
        self._sessions[ident] = Opener(ident, peer, terms, nonce, self._shared)
        return ident

    def close(self, ident: Ident, now: int) -> None:
        """No more keys; those that were not handed out are gone."""
        session = self._sessions[ident]
        assert isinstance(session, Opener)
        if session.state is not KeyState.CLOSED:
            session.close(KeyWhy.CLOSED, now)

    def forget(self, ident: Ident) -> None:
        """A session of this node that has ended: its number may be another's."""
        assert self._sessions[ident].state is KeyState.CLOSED
        del self._sessions[ident]

    def status(self, ident: Ident) -> Status:
        session = self._sessions[ident]
        assert isinstance(session, Opener)
        return session.status()

    def enc_keys(self, ident: Ident, number: int, now: int) -> list[Key]:
        """So many keys that the peer surely has, or none if there are not as many; each is handed out once."""
        session = self._sessions[ident]
        assert isinstance(session, Opener)
        return session.take(number, now)

    def dec_keys(self, peer: int, key_ids: list[str]) -> list[Key]:
        """The keys of these names that sessions of the peer have made, all or none; each is handed out once."""
        where = [next((s for s in self._stores(peer) if key_id in s), None) for key_id in key_ids]
        if None in where or len(set(key_ids)) != len(key_ids):
            return []
        found = zip(where, key_ids, strict=True)
        return [key for store, key_id in found if store for key in store.take_named([key_id])]

    def held(self, ident: Ident) -> list[str]:
        """The names of keys that this session of a peer, which may have ended, has made and nobody has asked for."""
        return [key_id for store in self._stores(ident.opener) if store.ident == ident for key_id in store.names()]

    def _stores(self, peer: int) -> list[Store]:
        return [s.store for i, s in self._sessions.items() if i.opener == peer] + list(self._left.get(peer, ()))

    # Pairs, from the layer below.

    def measured(self, ident: Ident, pair_id: int, basis: EgpBasis, outcome: int, now: int) -> None:
        """Both ends have measured a pair of this session: X and Z agree, but for errors."""
        session = self._sessions.get(ident)
        if session is not None and session.state is not KeyState.CLOSED:
            session.measured(pair_id, basis, outcome, now)
            self._sweep(session)

    def lost(self, ident: Ident, pair_id: int, now: int) -> None:
        """It was none."""
        session = self._sessions.get(ident)
        if session is not None and session.state is not KeyState.CLOSED:
            session.lost(pair_id, now)

    def no_pairs(self, ident: Ident, now: int) -> None:
        """The layer below will deliver no more for a session of this node."""
        session = self._sessions.get(ident)
        if isinstance(session, Opener) and session.state is not KeyState.CLOSED:
            session.close(KeyWhy.NO_PAIRS, now)

    # The machine.

    def receive(self, message: Any, source: int, now: int) -> None:
        ident = Ident(message.opener, message.session)
        if isinstance(message, KeyOpen):
            self._opened(message, ident, source, now)
            return
        session = self._sessions.get(ident)
        if session is None or session.peer != source or session.state is KeyState.CLOSED:
            if session is None and not isinstance(message, KeyClose) and ident.opener == source:
                self._say(source, KeyClose(*ident, KeyWhy.PEER_LOST, 0))  # KEY-11
            self._ignore(source, message, "no such session with this node")
            return
        session.hear(message, now)
        self._sweep(session)

    def peer_lost(self, peer: int, now: int) -> None:
        """The node is gone, or has started anew (KEY-11)."""
        for session in [s for s in self._sessions.values() if s.peer == peer and s.state is not KeyState.CLOSED]:
            session.end(KeyWhy.PEER_LOST, by_peer=True)
            self._sweep(session)

    def poll(self, now: int) -> list[Output]:
        for ident in self._holds.take_due(now):
            session = self._sessions[ident]
            assert isinstance(session, Responder)
            session.match(now)
        outputs = list(self._outputs)
        self._outputs.clear()
        return outputs

    def next_timeout(self) -> int | None:
        return self._holds.next_due()

    def shown(self) -> list[dict[str, Any]]:
        """The sessions, for people who look."""
        return [
            {
                "opener": session.ident.opener,
                "session": session.ident.number,
                "peer": session.peer,
                "state": session.state.name,
                "block": session.block,
                "keys": len(session.store),
            }
            for session in self._sessions.values()
        ]

    # Small steps.

    def _opened(self, message: KeyOpen, ident: Ident, source: int, now: int) -> None:
        """KEY-1"""
        terms = Terms(message.block_pairs, message.x_chance, message.key_bits, message.secrecy, message.correctness)
        if ident.opener != source or ident in self._sessions:
            self._ignore(source, message, "not its own session, or open already")
        elif not terms.make_sense() or not 0 < ident.number <= MOST_SESSIONS:
            self._say(source, KeyRefuse(*ident, KeyWhy.UNFIT))
        elif sum(known.opener == source for known in self._sessions) >= MOST_OF_A_PEER:
            self._say(source, KeyRefuse(*ident, KeyWhy.FULL))
        else:
            self._sessions[ident] = Responder(ident, source, terms, message.nonce, self._shared)

    def _sweep(self, session: End) -> None:
        """A session that has ended at its responder leaves its keys; at its opener its user must have seen why."""
        if isinstance(session, Responder) and session.state is KeyState.CLOSED:
            self._sessions.pop(session.ident, None)
            if len(session.store):
                self._left.setdefault(session.peer, deque(maxlen=_MOST_LEFT)).append(session.store)

    def _say(self, destination: int, message: Any) -> None:
        self._outputs.append(Send(destination, message, reliable=True))

    def _ignore(self, source: int, message: Any, reason: str) -> None:
        self._outputs.append(Ignored(source, type(message).__name__, reason))
