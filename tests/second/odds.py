"""How many attempts bring how many pairs."""

from math import exp, lgamma, log, log1p


def fewer(attempts: int, chance: float, pairs: int) -> float:
    """The probability that so many attempts have fewer successes than `pairs`."""
    if attempts < pairs or chance <= 0:
        return 1.0
    if chance >= 1:
        return 0.0
    win, lose, whole = log(chance), log1p(-chance), lgamma(attempts + 1)
    terms = (whole - lgamma(k + 1) - lgamma(attempts - k + 1) + k * win + (attempts - k) * lose for k in range(pairs))
    return min(1.0, sum(exp(max(term, -700.0)) for term in terms))


def attempts_for(pairs: int, chance: float, miss: float) -> int:
    """The least number of attempts that have fewer successes than `pairs` with probability `miss` at most."""
    low, high = pairs - 1, pairs
    while fewer(high, chance, pairs) > miss and high < 2**32:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fewer(middle, chance, pairs) > miss else (low, middle)
    return min(high, 2**32 - 1)
