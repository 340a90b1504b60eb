"""Means, quantiles and fairness of what a run has shown.

What may live here: sums over lists of numbers, whatever they are of.
"""

from math import ceil, sqrt

from testbed.rundir import Figure


def mean_of(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def stderr_of(values: list[float]) -> float | None:
    """The standard error of their mean; None for fewer than two."""
    n = len(values)
    if n < 2:
        return None
    mean = sum(values) / n
    return sqrt(sum((value - mean) ** 2 for value in values) / (n * (n - 1)))


def averaged(name: str, subject: str, values: list[float], unit: str) -> Figure:
    """Their mean, as a figure of a report; there must be some."""
    return Figure(name, subject, sum(values) / len(values), unit, len(values), stderr_of(values))


def quantile(ordered: list[float], share: float) -> float | None:
    """The smallest value that is not exceeded by this share of a sorted list."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None


def jain(shares: list[float] | list[int]) -> float:
    """Jain's index of fairness, (sum x)²/(n sum x²): 1 if all have the same, or nothing, 1/n if one has it all (Jain,
    Chiu and Hawe, 1984)."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0
