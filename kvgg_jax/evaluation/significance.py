"""Whether two classifiers really differ on the same photos."""

from __future__ import annotations

from collections.abc import Sequence

LEVEL = 0.05  # below it a difference is called one
FEWEST = 6  # disagreements, from which on McNemar's test can get below `LEVEL`: 2 / 2**6 = 0.03


def mcnemar(only_first: int, only_second: int) -> float:
    """P-value of McNemar's test, from the photos that one of two classifiers alone is right on.

    Exact and two-sided, for any counts: if both were equally good, each such photo would be the
    first one's with probability 1/2 (McNemar 1947; Dietterich 1998 on why to use it).
    """
    from scipy.stats import binomtest

    count = only_first + only_second
    return float(binomtest(only_first, count).pvalue) if count else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for being several (Holm 1979), in their order. SciPy has none."""
    adjusted, least = [1.0] * len(p_values), 0.0
    by_size = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, place in enumerate(by_size):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted
