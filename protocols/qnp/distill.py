"""Purification between two nodes: pairs of equal names at both become fewer and better ones.

Of the two nodes one leads, the one nearer to the head.  It chooses two pairs, does its part, and says in Purify what
it measured; the other does its part, says so in PurifyAck, and knows the result, as the leader does with the answer.
Symmetric: two pairs of one level make one of the next.  Pumping: one pair is purified with fresh ones.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from protocols.pairs import ReleaseQubit
from protocols.qnp.purify import choose_turns, distilled, draws, program, turned, verdict
from protocols.qnp.service import CircuitId
from protocols.qnp.shared import Shared
from protocols.qnp.sketch import Memory, Sketch, waited
from protocols.wire.codec import PairUse, Purification, PurifyScope, QnpInstall, QnpPurify, QnpPurifyAck


class Order(NamedTuple):
    """What the kept pair of a round is for, between ends: the leader says it, and the last round counts."""

    request: int = 0
    use: PairUse = PairUse.DELIVER


NOTHING: Final = Order()


@dataclass(slots=True, eq=False)
class Stored:
    """A half here of a pair that both nodes know by `name`."""

    name: int
    index: int
    qubit: int
    sketch: Sketch  # the half there first
    since: tuple[int, int]  # when each half was so, there and here
    payload: Any  # what its owner wants back with it
    level: int = 0
    raw: int = 1  # pairs that it is made of
    parts: list[Any] = field(default_factory=list)  # the payloads of those that were measured
    busy: "_Round | None" = None


@dataclass(slots=True, eq=False)
class _Round:
    kept: Stored
    measured: Stored
    kept_turn: int
    measured_turn: int
    order: Order
    here: int | None = None
    at: tuple[int, int] = (0, 0)  # when each node began its part, there and here


class Distiller:
    """One node's side.

    `ready(stored, order, now)` gets what is pure; `failed(stored, now)` hears of each half that died, which has been
    released; `memories()` says what halves wait in, there and here; `order(stored)` what the leader wants one for.
    `delay_ps`: the way to the next node towards the other; whoever passes a message on adds what comes after it.
    """

    def __init__(
        self,
        install: QnpInstall,
        scope: PurifyScope,
        rounds: int,
        leads: bool,
        hop: CircuitId,
        shared: Shared,
        ready: Callable[[Stored, Order, int], None],
        failed: Callable[[Stored, int], None],
        memories: Callable[[], tuple[Memory, Memory]],
        delay_ps: int,
        order: Callable[[Stored], Order] = lambda _: NOTHING,
    ) -> None:
        self._method = Purification(install.method)
        self._pumping = bool(install.pumping)
        self._scope, self._rounds, self.leads, self._hop = scope, rounds, leads, hop
        self._shared = shared
        self._ready, self._failed, self._memories, self._order = ready, failed, memories, order
        self._delay_ps = delay_ps
        self._stored: dict[int, Stored] = {}
        self._asked: dict[int, tuple[QnpPurify, int]] = {}  # by the kept pair: what was asked for too early, and when
        self._draw: Iterator[int] = draws(install.head << 32 | install.number)
        self.closed = False

    def __contains__(self, name: int) -> bool:
        return name in self._stored

    def payloads(self) -> list[Any]:
        """Of all that are here, and of what they are made of."""
        return [part for stored in self._stored.values() for part in (stored.payload, *stored.parts)]

    @property
    def raw(self) -> int:
        """Pairs that are here."""
        return sum(stored.raw for stored in self._stored.values())

    def take(self, stored: Stored, now: int) -> None:
        """A fresh half."""
        self._stored[stored.name] = stored
        if self.leads:
            self._match(now)
            return
        self._try_all(now)

    def is_free(self, name: int) -> bool:
        """Is it here, and nothing being done with it?"""
        return name in self._stored and self._stored[name].busy is None

    def lose(self, name: int, now: int) -> list[int]:
        """A half is worth nothing any more, and with it the one that it is being purified with: the names of all."""
        lost = self._stored.get(name)
        if lost is None:
            return []
        involved = [lost] if lost.busy is None else [lost.busy.kept, lost.busy.measured]
        for stored in involved:
            self.forget(stored.name)
            self._die(stored, now, measured=stored.busy is not None and stored.busy.measured is stored)
        if self.leads:
            self._match(now)
        return [stored.name for stored in involved]

    def release_all(self) -> None:
        """The circuit has ended."""
        self.closed = True
        for stored in self._stored.values():
            if stored.busy is None or stored.busy.measured is not stored:
                self._shared.outputs.append(ReleaseQubit(stored.qubit))
        self._stored.clear()
        self._asked.clear()

    # Messages.

    def on_purify(self, message: QnpPurify, now: int) -> None:
        """The leader has done its part of a round."""
        self._asked[message.kept] = message, now - message.age_ps
        self._try(message, now - message.age_ps, now)

    def on_ack(self, message: QnpPurifyAck, now: int) -> None:
        """The other node has done its part."""
        kept = self._stored.get(message.kept)
        if kept is None or kept.busy is None or kept.busy.measured.name != message.measured:
            return  # dead meanwhile
        kept.busy.at = now - message.age_ps, kept.busy.at[1]
        self._finish(kept.busy, message.outcome, now)

    def forget(self, name: int) -> None:
        """The other node gave up a pair: what was to be done with it is off."""
        for message, _ in list(self._asked.values()):
            if name in (message.kept, message.measured):
                del self._asked[message.kept]

    # Rounds.

    def _match(self, now: int) -> None:
        free = sorted((s for s in self._stored.values() if s.busy is None), key=lambda s: -s.level)
        if self._pumping and any(s.level or s.busy for s in self._stored.values()):
            free = [] if free and not free[0].level else free  # fresh ones are for the one that is being pumped
        for position, kept in enumerate(free):
            for measured in free[position + 1 :]:
                if measured.level == (0 if self._pumping else kept.level):
                    pairs = (kept.sketch, kept.index), (measured.sketch, measured.index)
                    turns = choose_turns(self._method, *pairs, self._draw)
                    order = self._order(kept) if kept.level + 1 == self._rounds else NOTHING
                    self._begin(_Round(kept, measured, *turns, order), now)
                    return

    def _try_all(self, now: int) -> None:
        for message, there in list(self._asked.values()):
            self._try(message, there, now)

    def _try(self, message: QnpPurify, there: int, now: int) -> None:
        """`there`: when the leader began its part."""
        kept, measured = (self._stored.get(name) for name in (message.kept, message.measured))
        if kept is None or measured is None or kept.busy or measured.busy:
            return
        del self._asked[message.kept]
        turns = (message.kept_turn % 24, message.measured_turn % 24)
        doing = _Round(kept, measured, *turns, Order(message.request, message.use), at=(there, now))
        self._begin(doing, now, message.outcome)

    def _begin(self, doing: _Round, now: int, theirs: int | None = None) -> None:
        kept, measured = doing.kept, doing.measured
        kept.busy = measured.busy = doing
        steps = program(kept.qubit, measured.qubit, doing.kept_turn, doing.measured_turn, self.leads)

        def done(bits: tuple[int, ...], later: int) -> None:
            ago = self._shared.facts.parity_ps
            doing.here, doing.at = bits[0], (doing.at[0], later - ago)
            if self.closed or self._stored.get(kept.name) is not kept or kept.busy is not doing:
                return
            names = (self._hop.label, self._scope, kept.name, measured.name)
            if theirs is None:
                turns = (doing.kept_turn, doing.measured_turn)
                said = QnpPurify(*names, *turns, doing.here, *doing.order, ago + self._delay_ps)
                self._shared.send(self._hop.neighbour, said)
            else:
                self._shared.send(self._hop.neighbour, QnpPurifyAck(*names, doing.here, ago + self._delay_ps))
                self._finish(doing, theirs, later)

        self._shared.run(steps, (measured.qubit,), done)
        if self.leads:
            self._match(now)

    def _finish(self, doing: _Round, theirs: int, now: int) -> None:
        kept, measured = doing.kept, doing.measured
        assert doing.here is not None
        indexes = turned(kept.index, doing.kept_turn), turned(measured.index, doing.measured_turn)
        index = verdict(self._method, *indexes, (doing.here, theirs))
        if index is None:
            self._die(kept, now)
            self._die(measured, now, measured=True)
            if self.leads:
                self._match(now)
            return
        _, kept.sketch = distilled(
            self._by_then(kept, doing),
            self._by_then(measured, doing),
            (theirs, doing.here),
            (doing.kept_turn, doing.measured_turn),
            (not self.leads, self.leads),
            self._shared.facts.purifying,
        )
        kept.since = doing.at
        kept.index, kept.level, kept.busy = index, kept.level + 1, None
        kept.raw += measured.raw
        kept.parts += [measured.payload, *measured.parts]
        del self._stored[measured.name]
        if kept.level >= self._rounds:
            del self._stored[kept.name]
            self._ready(kept, doing.order, now)
        if self.leads:
            self._match(now)
        else:
            self._try_all(now)

    def _by_then(self, stored: Stored, doing: _Round) -> Sketch:
        """A pair when both nodes began their part of a round."""
        spells = zip(self._memories(), doing.at, stored.since, strict=True)
        there, here = ((memory, at - since) for memory, at, since in spells)
        return waited(stored.sketch, there, here)

    def _die(self, stored: Stored, now: int, measured: bool = False) -> None:
        del self._stored[stored.name]
        if not measured:  # else the program has it
            self._shared.outputs.append(ReleaseQubit(stored.qubit))
        self._failed(stored, now)
