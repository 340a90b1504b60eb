"""What nodes and stations both know of a train: how it is named, which slots are its own, what is a success."""

from typing import Final

from protocols.wire.codec import MhpGen, MhpOutcome

SUCCESSES: Final = frozenset({MhpOutcome.PSI_PLUS, MhpOutcome.PSI_MINUS})

SEQUENCE_MODULUS: Final = 0xFFFF
"""The MHP sequence counts modulo 2^16 - 1, as published."""


def names_slot(gen: MhpGen, slot: int) -> bool:
    """Is this a slot of the train?"""
    attempt, rest = divmod(slot - gen.first_slot, gen.spacing)
    return rest == 0 and 0 <= attempt < gen.count


def same_train(one: MhpGen | None, other: MhpGen) -> bool:
    return one is not None and (one.queue_id, one.first_slot) == (other.queue_id, other.first_slot)
