"""Keys with other nodes, made of pairs that both measure: the driver of ``protocols.key``.

What may live here: its two ends on the network layer's interface, and the ``keys-N`` apps of a scenario.  No bit of a
key or of an outcome may get into an event, a log or a result.
"""

from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

from protocols.ignored import Ignored
from protocols.key.node import Keys
from protocols.key.service import (
    BlockDone,
    BlockGivenUp,
    CloseCircuit,
    Figures,
    Ident,
    Listen,
    OpenCircuit,
    SessionEnded,
    SessionOpened,
    Status,
    Terms,
    Unlisten,
    WantPairs,
)
from protocols.key.store import Key
from protocols.pairs import Pair
from protocols.qnp.service import Delivery
from protocols.wire import EgpBases, KeyWhy, PairKind, ProtocolId
from stack.config import NodeConfig
from stack.network.interface import Measured, NetworkLayer, Tested
from stack.physical.interface import PhysicalLayer
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel, Waiter
from stack.runtime.messenger import Messenger

FIRST_PURPOSE: Final = 0x1000
"""Purpose ids from here on are sessions of keys, by their numbers."""
_AHEAD: Final = 64
"""Pairs of a block that are asked for at once: as many as there are would fill every queue on the way."""


class NoKeys(Exception):
    """The session has ended, or never began: no keys come of it.  ``why``: the reason."""

    def __init__(self, why: KeyWhy) -> None:
        super().__init__(f"no keys: {WORDS[why]}")
        self.why = why


WORDS: Final = {
    KeyWhy.CLOSED: "the session is closed",
    KeyWhy.NOISY: "too many outcomes differ: an eavesdropper, or a bad link",
    KeyWhy.SHORT: "nothing of a block would be secret: larger blocks, or better pairs",
    KeyWhy.COSTLY: "to correct the bits takes more than is secret: larger blocks, or better pairs",
    KeyWhy.UNLIKE: "corrected bits differ still",
    KeyWhy.MALFORMED: "the other end breaks the rules",
    KeyWhy.FULL: "the other end has no room",
    KeyWhy.UNFIT: "the other end does not serve such terms",
    KeyWhy.NO_PAIRS: "no pairs can be had",
    KeyWhy.PEER_LOST: "the other end is gone",
    KeyWhy.FRUITLESS: "too many blocks in a row have made no key",
}


class KeySession:
    """A session that this node has opened."""

    def __init__(self, service: "KeyService", ident: Ident, peer: int, minimum_fidelity: float) -> None:
        self.ident, self.peer = ident, peer
        self.minimum_fidelity = minimum_fidelity
        self.request: int | None = None
        self.unasked = 0  # pairs that are wanted and have not been asked for
        self.last: KeyWhy | None = None
        """Why the last block made no key."""
        self._service = service
        self._waiting: deque[tuple[int, Waiter[list[Key]]]] = deque()

    def status(self) -> Status:
        return self._service.driver.machine.status(self.ident)

    async def take(self, number: int) -> list[Key]:
        """So many keys, as soon as they are there; each is handed out once.  Raises NoKeys."""
        status = self.status()
        if not status.open:
            raise self.failure(status.why)
        waiter: Waiter[list[Key]] = Waiter(self._service.kernel)
        self._waiting.append((number, waiter))
        self.serve()
        return await waiter.wait()

    def serve(self) -> None:
        """Those that wait get what there is, the first first."""
        status = self.status()
        while self._waiting:
            number, waiter = self._waiting[0]
            keys = self._service.enc_keys(self.ident, number)
            if keys:
                self._waiting.popleft()
                waiter.set(keys)
            elif status.open:
                return
            else:
                self._waiting.popleft()
                waiter.fail(self.failure(status.why))

    def failure(self, why: KeyWhy | None) -> NoKeys:
        """Too many blocks in vain: what was wrong with the last of them says more."""
        return NoKeys(self.last if why is KeyWhy.FRUITLESS and self.last else why or KeyWhy.CLOSED)

    def close(self) -> None:
        """Its keys that have not been taken are gone, at both ends."""
        self._service.close(self)


Hearer = Callable[[Any], None]


class KeyService:
    """Implements ``CircuitUser``."""

    def __init__(
        self,
        kernel: Kernel,
        config: NodeConfig,
        physical: PhysicalLayer,
        network: NetworkLayer,
        messenger: Messenger,
    ) -> None:
        self.kernel = kernel
        self._physical = physical
        self._network = network
        self._messenger = messenger
        self._own: dict[Ident, KeySession] = {}
        self._hearers: dict[int, list[Hearer]] = {}
        machine = Keys(config.number, f"{config.seed}/{config.incarnation}")
        self.driver = Driver(kernel, machine, messenger.send, self._on_event, config.allowance_ps)
        messenger.register(ProtocolId.KEY, self.driver.receive)
        messenger.on_broken(self._peer_lost)

    # -- the service upward ---------------------------------------------------------------------------------------

    def open(self, peer: int, terms: Terms, minimum_fidelity: float = 0.0, number: int = 0) -> KeySession:
        """Make keys with this node, in a session of this number or of any; ValueError if the terms make no sense."""
        ident = self.driver.machine.open(peer, terms, self.kernel.now, number)
        session = self._own[ident] = KeySession(self, ident, peer, minimum_fidelity)
        self._messenger.watch(peer)
        self.driver.flush()
        return session

    def close(self, session: KeySession) -> None:
        if session.ident not in self._own:
            return
        self.driver.machine.close(session.ident, self.kernel.now)
        self.driver.flush()
        self.driver.machine.forget(session.ident)
        del self._own[session.ident]

    def enc_keys(self, ident: Ident, number: int) -> list[Key]:
        """So many keys, or none if there are not as many."""
        keys = self.driver.machine.enc_keys(ident, number, self.kernel.now)
        self._handed_out(ident.opener, keys)
        self.driver.flush()
        return keys

    def dec_keys(self, peer: int, key_ids: list[str]) -> list[Key]:
        """The keys of these names that the peer has handed out, or none if one of them is not here."""
        keys = self.driver.machine.dec_keys(peer, key_ids)
        self._handed_out(peer, keys)
        return keys

    def held(self, ident: Ident) -> list[str]:
        """Names of keys of a peer's session that this node holds for users to whom the peer names them."""
        return self.driver.machine.held(ident)

    def hear(self, peer: int, hearer: Hearer) -> None:
        """Tell ``hearer`` what becomes of blocks and sessions with this peer: events of ``protocols.key.service``."""
        self._hearers.setdefault(peer, []).append(hearer)

    def shown(self) -> list[dict[str, Any]]:
        """The sessions, for people who look."""
        return self.driver.machine.shown()

    def _handed_out(self, opener: int, keys: list[Key]) -> None:
        for key in keys:
            self.kernel.event("keys", "handed out", opener=opener, key_id=key.key_id)

    # -- from the network layer -----------------------------------------------------------------------------------

    def pair_measured(self, peer: int, purpose: int, measured: Measured) -> None:
        ident = Ident(measured.head, purpose - FIRST_PURPOSE)
        self.driver.machine.measured(ident, measured.pair_id, measured.basis, measured.outcome, self.kernel.now)
        self._ask_more(ident)
        self.driver.flush()

    def pair_lost(self, peer: int, purpose: int, pair: Pair) -> None:
        self.driver.machine.lost(Ident(pair.head, purpose - FIRST_PURPOSE), pair.pair_id, self.kernel.now)
        self.driver.flush()

    def no_pairs(self, peer: int, purpose: int, cause: str) -> None:
        ident = Ident(self.kernel.number, purpose - FIRST_PURPOSE)
        session = self._own.get(ident)
        if session is not None and session.request is not None:
            session.request = None
            self.kernel.event("keys", "no pairs", peer=peer, session=ident.number, cause=cause)
            self.driver.machine.no_pairs(ident, self.kernel.now)
            self.driver.flush()

    def peer_finished(self, peer: int, purpose: int) -> None:
        pass  # the peer says Close

    def pair(self, peer: int, purpose: int, pair: Pair) -> None:
        self._physical.memory.release(pair.qubit)  # a pair that is not measured: a peer that breaks the rules

    def pair_early(self, peer: int, purpose: int, qubit: int) -> None:
        self._physical.memory.release(qubit)

    def tested(self, peer: int, purpose: int, tested: Tested) -> None:
        pass

    def ended_at(self, peer: int, purpose: int, node: int, error: str) -> None:
        pass

    # -- what the machine wants -----------------------------------------------------------------------------------

    def _on_event(self, event: Any) -> None:
        match event:
            case OpenCircuit(session=ident, peer=peer, x_chance=chance):
                session = self._own[ident]
                delivery = Delivery(PairKind.MEASURE, EgpBases.XZ, EgpBases.XZ, chance)
                purpose = FIRST_PURPOSE + ident.number
                session.request = self._network.request(
                    peer, purpose, self, session.minimum_fidelity, delivery=delivery, secret=True
                )
            case WantPairs(session=ident, number=number):
                session = self._own[ident]
                at_once = min(number, _AHEAD)
                session.unasked += number - at_once
                if session.request is not None:
                    self._network.want(session.request, at_once)
            case CloseCircuit(session=ident):
                session = self._own[ident]
                request, session.request = session.request, None
                if request is not None:
                    self._network.finish(request)
            case Listen(session=ident):
                self._messenger.watch(ident.opener)
                self._network.listen_to_all(FIRST_PURPOSE + ident.number, self, ident.opener, secret=True)
            case Unlisten(session=ident):
                self._messenger.unwatch(ident.opener)
                self._network.unlisten(FIRST_PURPOSE + ident.number, ident.opener)
            case Ignored(message=message):
                self.kernel.count(f"ignored {message}")
            case _:
                self._told(event)

    def _ask_more(self, ident: Ident) -> None:
        """A pair has come: ask for another, as long as the block lacks some."""
        session = self._own.get(ident)
        if session is not None and session.unasked and session.request is not None:
            session.unasked -= 1
            self._network.want(session.request, 1)

    def _told(self, event: Any) -> None:
        """What people may know."""
        who = {"peer": event.peer, "opener": event.session.opener, "session": event.session.number}
        session = self._own.get(event.session)
        kernel = self.kernel
        match event:
            case SessionOpened():
                kernel.event("keys", "session opened", **who)
            case BlockDone():
                kernel.event("keys", "block", **who, block=event.block, **event.figures._asdict(), keys=event.keys)
            case BlockGivenUp(why=why):
                told = event.figures._asdict() | {"why": why.name, "by_peer": int(event.by_peer)}
                kernel.event("keys", "block given up", **who, block=event.block, **told)
                if session is not None:
                    session.last = why
            case SessionEnded(why=why):
                kernel.event("keys", "session ended", **who, why=why.name, by_peer=int(event.by_peer))
                if session is not None:
                    self._messenger.unwatch(event.peer)
            case _:
                raise AssertionError(f"{event} is no event of Keys")
        for hearer in self._hearers.get(event.peer, ()):
            hearer(event)
        if session is not None:
            session.serve()

    def _peer_lost(self, peer: int) -> None:
        self.driver.machine.peer_lost(peer, self.kernel.now)
        self.driver.flush()


class KeysApp:
    """One end of one entry of a scenario's ``keys:``."""

    def __init__(self, kernel: Kernel, keys: KeyService) -> None:
        self._kernel = kernel
        self._keys = keys

    async def app(self, arguments: dict[str, Any]) -> None:
        """A ``keys-N`` app.  Its result, at both ends: the figures of each block and why it made no key, if so, in
        ``blocks``; what keys have been handed out, in ``digests``; at the opener also when it began and ended, and why
        there are no more keys, if there are less than it wants."""
        result: dict[str, Any] = {"blocks": [], "digests": {}, "began_ps": 0, "ended_ps": 0}
        self._kernel.results[f"keys-{arguments['number']}"] = result
        if arguments["opens"]:
            await self._open(arguments, result)
        else:
            self._serve(arguments, result)

    async def _open(self, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        kernel = self._kernel
        await kernel.sleep(arguments["at_ps"])
        result["began_ps"] = result["ended_ps"] = kernel.now
        terms, peer = Terms(*arguments["terms"]), arguments["peer"]
        session = self._keys.open(peer, terms, arguments["minimum_fidelity"], arguments["session"])
        self._keys.hear(peer, lambda event: _note_block(event, session.ident, result))
        if arguments["for_ps"]:
            kernel.after(arguments["for_ps"], session.close)
        try:
            while len(result["digests"]) < terms.total or not terms.total:
                _note_keys(await session.take(1), result)
                result["ended_ps"] = kernel.now
        except NoKeys as none:
            result["ended_ps"] = kernel.now
            if none.why is not KeyWhy.CLOSED:
                result["failed"], result["why"] = none.why.name, str(none)
        session.close()

    def _serve(self, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        """What the peer has handed out by its Close can be had here: take it.  The run is not over before."""
        ours = Ident(arguments["peer"], arguments["session"])

        def hear(event: Any) -> None:
            _note_block(event, ours, result)
            if event.session == ours and isinstance(event, SessionOpened):
                self._kernel.program_opened()
            elif event.session == ours and isinstance(event, SessionEnded):
                _note_keys(self._keys.dec_keys(ours.opener, self._keys.held(ours)), result)
                self._kernel.program_closed()

        self._keys.hear(ours.opener, hear)


def _note_block(event: Any, ident: Ident, result: dict[str, Any]) -> None:
    if event.session != ident or not isinstance(event, BlockDone | BlockGivenUp):
        return
    figures: Figures = event.figures
    result["blocks"].append(figures._asdict() | {"why": event.why.name if isinstance(event, BlockGivenUp) else ""})


def _note_keys(keys: list[Key], result: dict[str, Any]) -> None:
    """Whether both ends have the same keys is seen by digests; the keys themselves go nowhere."""
    for key in keys:
        result["digests"][key.key_id] = blake2b(key.data, digest_size=8).hexdigest()
