"""HigherWFQ as published: NL strictly first, CK ten times as heavy as MD."""

from protocols.egp.schedulers.weighted_fair import WeightedFair


def SCHEDULER() -> WeightedFair:
    return WeightedFair((0, 10, 1))
