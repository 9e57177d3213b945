"""McNemar's test and Holm's adjustment, by hand."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvgg_jax.evaluation.significance import FEWEST, LEVEL, holm, mcnemar


def exact(first: int, second: int) -> float:
    """Twice the chance of the fewer heads or less, of a fair coin; 1 at most."""
    count, fewer = first + second, min(first, second)
    ways = sum(comb(count, k) for k in range(fewer + 1))
    return float(min(Fraction(1), Fraction(2 * ways, 2**count)))


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_exact_binomial_test(first: int, second: int) -> None:
    """Two-sided, of a fair coin; the order of the two does not matter."""
    assert mcnemar(first, second) == pytest.approx(exact(first, second), rel=1e-9)
    assert mcnemar(first, second) == pytest.approx(mcnemar(second, first), rel=1e-12)


def test_mcnemar_stays_exact_for_many_photos() -> None:
    """Where a float holds neither the ways nor 2 ** n."""
    assert mcnemar(4900, 5100) == pytest.approx(exact(4900, 5100), rel=1e-9)


def test_so_few_disagreements_show_nothing() -> None:
    """All on one side, five are not enough and six are."""
    assert mcnemar(FEWEST - 1, 0) == pytest.approx(2 / 32)
    assert mcnemar(FEWEST - 1, 0) > LEVEL > mcnemar(FEWEST, 0)


def test_holm_by_hand() -> None:
    """The least three times, the next twice, and none below one before it."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.5]) == [0.5]
    assert holm([]) == []
