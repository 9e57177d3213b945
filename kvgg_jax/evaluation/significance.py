"""Whether two classifiers really differ on the same pictures."""

from __future__ import annotations

from collections.abc import Sequence

LEVEL = 0.05  # below it a difference is called one
FEWEST = 6  # disagreements, from which on McNemar's test can get below `LEVEL`: 2 / 2**6 = 0.03


def mcnemar(only_first: int, only_second: int) -> float:
    """P-value of McNemar's test, from the pictures that one of two classifiers alone is right on.

    Exact and two-sided, for any counts: if both were equally good, each such picture would be the
    first one's with probability 1/2 (McNemar 1947; Dietterich 1998 on why to use it).
    """
    count, fewer = only_first + only_second, min(only_first, only_second)
    ways = term = 1  # of choosing up to `fewer` of `count`
    for k in range(fewer):
        term = term * (count - k) // (k + 1)
        ways += term
    return min(1.0, 2 * ways / 2**count)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for being several (Holm 1979), in their order."""
    adjusted, least = [1.0] * len(p_values), 0.0
    by_size = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, place in enumerate(by_size):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted
