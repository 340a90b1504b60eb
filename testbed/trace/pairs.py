"""Which frames and events of a trace are about which entangled pair.

What may live here: reading a run in order of time and telling ebits and pairs apart.  The rules for messages are
`protocols.declare.pairs`; the dissector follows the same ones, and a test holds the two together.

An ebit is called LINK:SEQUENCE, a pair between two ends HEAD/PAIR_ID (HEAD.LIFE/PAIR_ID from the head's second life
on), all numbers as they stand on the wire.  A name that is used anew has ~2 behind it, then ~3.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from protocols.declare import LAYERS
from protocols.declare.pairs import NAMING, Name, Names, Naming
from protocols.wire import Header, QnpInstall

_RULES: dict[tuple[int, int], Naming] = {kind: NAMING[layer] for kind, layer in LAYERS.items() if layer in NAMING}
_SEQUENCES = 65535  # MHP counts modulo 2¹⁶ − 1; the value left over says that there is none
_MOST = 64  # ebits that one Expire may name


class Thing:
    """A train, an ebit, a pair or an errand, and what it belongs to."""

    __slots__ = ("kind", "label", "moment", "of", "stamp", "tail")

    def __init__(self, kind: str, label: str) -> None:
        self.kind = kind
        self.label = label
        self.of: list[Thing] = []
        """A train may have made several ebits; anything else belongs to one thing, or to none yet."""
        self.stamp: int | None = None
        self.tail = 0
        self.moment = 0


class Topics(NamedTuple):
    """What a frame or an event is about.  Complete only when all of the trace has been read."""

    things: tuple[Thing, ...] = ()

    def __iter__(self) -> Iterator[Thing]:  # type: ignore[override]
        """Every thing, and what it belongs to, each once."""
        shown: set[Thing] = set()
        waiting = list(reversed(self.things))
        while waiting:
            thing = waiting.pop()
            if thing not in shown:
                shown.add(thing)
                yield thing
                waiting += reversed(thing.of)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its ebits and pairs."""
        return tuple(thing.label for thing in self if thing.kind in ("ebit", "pair"))


class _Circuit(NamedTuple):
    head: int
    tail: int
    link: int


class Pairs:
    """Give it every frame and event in order of time, frames before events of the same instant."""

    def __init__(self) -> None:
        self._things: dict[tuple[object, ...], Thing] = {}
        self._ages: dict[tuple[object, ...], int] = {}
        self._lives: dict[int, int] = {}
        self._circuits: dict[tuple[int, int, int], _Circuit] = {}
        self._at_slot: dict[tuple[int, int], Thing] = {}
        self._qubits: dict[tuple[int, int], Thing] = {}
        self._errands: dict[tuple[int, int, int], Thing] = {}
        self._moment = 0

    # -- frames ------------------------------------------------------------------------------------------------------

    def frame(self, header: Header, message: Any, kind: tuple[int, int]) -> Topics:
        """What a frame is about that carries ``message``, which is of ``kind`` (protocol, message)."""
        source, destination = header.source, header.destination
        self._lives[source] = max(header.incarnation, self._lives.get(source, 0))
        if isinstance(message, QnpInstall) and message.position < len(message.hops):
            self._circuits[_hop(source, destination, message.circuit)] = _Circuit(
                message.head, message.hops[-1].node, message.hops[message.position].link
            )
        naming = _RULES.get(kind)
        if naming is None:
            return Topics()
        found: list[Thing] = []
        firsts: list[Thing | None] = []
        for name in naming.names:
            if name.when is not None:
                value = getattr(message, name.when[0])
                if value not in name.when[1] if name.when[1] else not value:
                    continue
            numbers = [int(getattr(message, field)) for field in name.fields]
            stamp = int(getattr(message, name.stamp)) if name.stamp else None
            about = self._named(name, numbers, stamp, kind[0], source, destination)
            firsts.append(about[0] if about else None)
            found += about
        if naming.joins and len(firsts) > 1 and firsts[0] is not None and firsts[1] is not None:
            _join(firsts[0], firsts[1])
            if firsts[0].kind == "train":
                found.remove(firsts[0])  # it may have made others, which this message is not about
        # A gate may be tried again with another pair: what its messages are about is decided now, if it can be.
        return Topics(tuple(t.of[0] if t.kind == "errand" and t.of else t for t in found))

    def _named(
        self, name: Name, numbers: list[int], stamp: int | None, protocol: int, source: int, destination: int
    ) -> list[Thing]:
        match name.kind, numbers:
            case Names.TRAIN, [link, queue_id]:
                if stamp is None:
                    known = self._things.get(("train", link, queue_id))
                    return [] if known is None else [known]
                return [self._thing("train", (link, queue_id), "", stamp)]
            case Names.EBIT, [link, sequence]:
                ebit = self._ebit(link, sequence, stamp)
                if stamp is not None:
                    self._at_slot[link, stamp] = ebit
                return [ebit]
            case Names.EBITS, [link, low, high]:
                return self._range(link, low, high)
            case Names.PAIR, [label, pair_id]:
                circuit = self._circuits.get(_hop(source, destination, label))
                return [] if circuit is None else [self._pair(circuit, pair_id)]
            case Names.HOP, [label, sequence]:
                circuit = self._circuits.get(_hop(source, destination, label))
                return [] if circuit is None else [self._ebit(circuit.link, sequence)]
            case Names.ENDS, [pair_id]:
                between = [self._between(source, destination, pair_id), self._between(destination, source, pair_id)]
                return [max((p for p in between if p is not None), key=lambda p: p.moment)] if any(between) else []
            case _:
                one, two = numbers
                errand = self._thing("errand", (*_hop(source, destination, protocol), one, two), "")
                for node in (source, destination):
                    self._errands[node, one, two] = errand
                return [errand]

    # -- events ------------------------------------------------------------------------------------------------------

    def event(self, node: int, facts: dict[str, Any]) -> Topics:
        """What an event of ``node`` is about, by the names of its facts."""
        found: list[Thing | None] = []
        match facts:
            case {"link": int(link), "sequence": int(sequence), **more} if more.get("outcome", 1) in (1, 2) or (
                facts["event"] != "herald"
            ):
                found.append(self._things.get(("ebit", link, sequence)))
            case {"link": int(link), "queue_id": int(queue_id)}:
                found.append(self._things.get(("train", link, queue_id)))
            case {"link": int(link), "slot": int(slot)}:
                found.append(self._at_slot.get((link, slot)))
            case {"link": int(link), "sequence_low": int(low), "sequence_high": int(high)}:
                found += self._range(link, low, high)
        if "head" in facts and "pair_id" in facts:
            found.append(self._things.get(("pair", facts["head"], self._life(facts["head"]), facts["pair_id"])))
        if "job" in facts and "gate" in facts:
            found.append(_settled(self._errands.get((node, facts["job"], facts["gate"]))))
        if "session" in facts and "index" in facts:
            found.append(_settled(self._errands.get((node, facts["session"], facts["index"]))))
        about = [thing for thing in found if thing is not None]
        if "qubit" in facts:
            qubit = (node, facts["qubit"])
            if about:
                self._qubits.setdefault(qubit, about[0])
            elif qubit in self._qubits:
                about.append(self._qubits[qubit])
        return Topics(tuple(about))

    # -- things ------------------------------------------------------------------------------------------------------

    def _thing(self, kind: str, key: tuple[int, ...], label: str, stamp: int | None = None) -> Thing:
        """The one with this name; a new one if there is none, or if its stamp says that the number is used anew."""
        full = (kind, *key)
        thing = self._things.get(full)
        if thing is None or (stamp is not None and thing.stamp is not None and thing.stamp != stamp):
            age = self._ages[full] = self._ages.get(full, 0) + 1
            thing = self._things[full] = Thing(kind, f"{label}~{age}" if age > 1 else label)
        if thing.stamp is None:
            thing.stamp = stamp
        self._moment += 1
        thing.moment = self._moment
        return thing

    def _ebit(self, link: int, sequence: int, stamp: int | None = None) -> Thing:
        return self._thing("ebit", (link, sequence), f"{link}:{sequence}", stamp)

    def _range(self, link: int, low: int, high: int) -> list[Thing]:
        found: list[Thing] = []
        while low < _SEQUENCES > high and low != high and len(found) < _MOST:
            found.append(self._ebit(link, low))
            low = (low + 1) % _SEQUENCES
        return found

    def _life(self, node: int) -> int:
        return self._lives.get(node, 1) or 1

    def _pair(self, circuit: _Circuit, pair_id: int) -> Thing:
        head, life = circuit.head, self._life(circuit.head)
        label = f"{head}.{life}/{pair_id}" if life > 1 else f"{head}/{pair_id}"
        pair = self._thing("pair", (head, life, pair_id), label)
        pair.tail = circuit.tail
        return pair

    def _between(self, head: int, tail: int, pair_id: int) -> Thing | None:
        pair = self._things.get(("pair", head, self._life(head), pair_id))
        return pair if pair is not None and pair.tail == tail else None


def _hop(one: int, other: int, label: int) -> tuple[int, int, int]:
    return min(one, other), max(one, other), label


def _join(part: Thing, whole: Thing) -> None:
    if part.kind != "train":
        part.of = [whole]
    elif whole not in part.of:
        part.of.append(whole)


def _settled(errand: Thing | None) -> Thing | None:
    return errand if errand is None or not errand.of else errand.of[0]


__all__ = ["Pairs", "Thing", "Topics"]
