"""What nodes and stations both know of a train: how it is named, which slots are its own, what is a success."""

from typing import Final

from protocols.wire.codec import MhpGen, MhpOutcome

SUCCESSES: Final = frozenset({MhpOutcome.PSI_PLUS, MhpOutcome.PSI_MINUS})

STATION_LEAD_PS: Final = 1_000
"""How long before the first slot of a train a station must have both Gens, to have its device listen in time."""

SHORT: Final = 4
"""Attempts of the longest train that is told attempt by attempt.

Trains fail once in a thousand times, so an attempt of so short a train succeeds with .82 or more: telling attempts one
by one costs a fifth more messages.  Longer trains would pay for each photon that is lost with four messages.
"""

MOST_PAIRS: Final = 64
"""Successes of one train, at most: a station keeps that many Replies, and one exchange in 64 pairs costs nothing."""

SEQUENCE_MODULUS: Final = 0xFFFF
"""The MHP sequence counts modulo 2^16 - 1, as published."""


def names_slot(gen: MhpGen, slot: int) -> bool:
    """Is this a slot of the train?"""
    attempt, rest = divmod(slot - gen.first_slot, gen.spacing)
    return rest == 0 and 0 <= attempt < gen.count


def last_slot(gen: MhpGen) -> int:
    return gen.first_slot + (gen.count - 1) * gen.spacing


def same_train(one: MhpGen | None, other: MhpGen) -> bool:
    return one is not None and (one.queue_id, one.first_slot) == (other.queue_id, other.first_slot)
