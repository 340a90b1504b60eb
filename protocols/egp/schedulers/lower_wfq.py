"""LowerWFQ as published: NL strictly first, CK twice as heavy as MD."""

from protocols.egp.schedulers.weighted_fair import WeightedFair


def SCHEDULER() -> WeightedFair:
    return WeightedFair((0, 2, 1))
