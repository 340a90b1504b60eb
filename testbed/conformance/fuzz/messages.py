"""What a fuzzer says: messages of every kind with values that lead somewhere, and bytes that are no message.

What may live here: making them.  Values come from bounds, from chance, and from what the node itself has said lately
under the same name, so that requests, trains, tickets and sessions that exist are hit.
"""

from collections import defaultdict, deque
from random import Random
from typing import Any, Final

from protocols.declare import LAYERS
from protocols.declare.fields import (
    SIGNED,
    Bits,
    Bytes,
    Count,
    Enumerated,
    NamedBits,
    Records,
    Reserved,
    layout,
    public,
)
from protocols.wire import MESSAGES, Message, codec

_KEPT: Final = 24
"""Values of one name that are remembered."""

_CORPUS: Final = 64
"""Messages of one kind that have led to something new, and are varied again."""

_ALIASES: Final = {
    "first_slot": "slot",
    "create_id": "request",
    "origin": "flag",
    "old_sequence": "mhp_sequence",
    "new_sequence": "mhp_sequence",
    "expected_sequence": "mhp_sequence",
    "peer_queue_id": "queue_id",
    "acknowledged": "sequence",
    "heard": "incarnation",
    "neighbour": "node",
    "first_origin": "node",
    "last_origin": "node",
}
"""Names under which the same values go."""


class Field:
    """What values a declared field may have."""

    __slots__ = ("bound", "high", "inner", "low", "maker", "name", "points", "pool")

    def __init__(self, field: Any, size: int) -> None:
        self.name = public(field.name)
        self.pool = _ALIASES.get(self.name, self.name)
        self.points = [int(point) for point in field.points] if isinstance(field, Enumerated) else []
        self.bound = field.count.bound if isinstance(field, Bytes | Records) else 0
        self.inner = fields_of(field.record) if isinstance(field, Records) else []
        self.maker = getattr(codec, field.record.__name__) if isinstance(field, Records) else None
        signed = not isinstance(field, Bytes | Records | Bits | NamedBits) and getattr(field, "fmt", "") in SIGNED
        self.low = -(1 << size - 1) if signed else 0
        self.high = (1 << size - signed) - 1 if size else 0


def fields_of(layer: Any) -> list[Field]:
    """Those that a sender sets, in order."""
    return [Field(field, size) for field, _, size in layout(layer) if not isinstance(field, Reserved | Count)]


class Messages:
    """``protocol``: its number.  All chance comes from ``random``."""

    def __init__(self, protocol: int, random: Random) -> None:
        self._random = random
        self._kinds = [(MESSAGES[kind], fields_of(LAYERS[kind])) for kind in sorted(LAYERS) if kind[0] == protocol]
        self._pool: defaultdict[str, deque[int]] = defaultdict(lambda: deque(maxlen=_KEPT))
        self._corpus: defaultdict[type, list[Any]] = defaultdict(list)

    def know(self, **values: int) -> None:
        """Values that exist."""
        for name, value in values.items():
            self._pool[_ALIASES.get(name, name)].append(value)

    def overhear(self, message: Any) -> None:
        """What the node itself says."""
        for name, value in zip(message._fields, message, strict=True):
            if isinstance(value, int):
                self._pool[_ALIASES.get(name, name)].append(int(value))
            elif isinstance(value, tuple):
                for record in value:
                    self.overhear(record)

    def keep(self, message: Any) -> None:
        """It has led to something new."""
        kept = self._corpus[type(message)]
        if len(kept) >= _CORPUS:
            kept[self._random.randrange(_CORPUS)] = message
        else:
            kept.append(message)

    def message(self) -> Message:
        """One that the codec can pack."""
        random = self._random
        kind, fields = random.choice(self._kinds)
        kept = self._corpus[kind]
        base = random.choice(kept) if kept and random.random() < 0.5 else None
        return kind(*(self._value(f, None if base is None else base[i]) for i, f in enumerate(fields)))

    def body(self, message: Message) -> bytes:
        """Its bytes, now and then damaged."""
        body = message.pack()
        random = self._random
        if random.random() < 0.9:
            return body
        damaged = bytearray(body)
        match random.randrange(4):
            case 0:
                del damaged[random.randrange(len(damaged) + 1) :]
            case 1:
                damaged += random.randbytes(random.randrange(1, 9))
            case 2:
                return random.randbytes(random.randrange(64))
            case _:
                for _ in range(random.randrange(1, 5)):
                    if damaged:
                        damaged[random.randrange(len(damaged))] = random.randrange(256)
        return bytes(damaged)

    def _value(self, field: Field, base: Any) -> Any:
        random = self._random
        chance = random.random()
        if base is not None and chance < 0.7:
            return base
        if field.maker is not None:
            number = field.bound if chance > 0.99 else min(field.bound, random.randrange(4))
            return tuple(field.maker(*(self._value(inner, None) for inner in field.inner)) for _ in range(number))
        if field.bound:
            return random.randbytes(min(field.bound, field.bound if chance > 0.98 else random.randrange(9)))
        if field.points:
            return random.choice(field.points)
        pool = self._pool.get(field.pool)
        if pool and chance < 0.75:
            value = random.choice(pool) + random.choice((0, 0, 0, 0, 0, 1, -1, 2))
        elif chance < 0.9:
            value = random.randrange(6)
        elif chance < 0.95:
            value = random.choice((field.low, field.high, field.high - 1, field.high >> 1))
        else:
            value = random.randint(field.low, field.high)
        return max(field.low, min(field.high, value))
