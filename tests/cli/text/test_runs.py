"""Runs compared in sentences."""

from __future__ import annotations

import pytest

from kvgg_jax.cli.text.runs import pair_text
from kvgg_jax.evaluation.comparison import Pair


@pytest.mark.parametrize(
    ("pair", "text"),
    [
        (
            Pair("a", "b", 100, 3, 20, 0.0005),
            "b is better than a: of 100 images, a alone is right on 3 and b alone on 20 "
            "(McNemar's test, p = 0.0005).",
        ),
        (
            Pair("a", "b", 100, 9, 12, 0.66),
            "No difference shown: of 100 images, a alone is right on 9 and b alone on 12 "
            "(McNemar's test, p = 0.66).",
        ),
        (
            Pair("a", "b", 100, 1, 2, 1.0),
            "No difference shown: of 100 images, a alone is right on 1 and b alone on 2 "
            "(McNemar's test, p = 1). So few cannot show one.",
        ),
        (Pair("a\n", "b", reason="no photos"), r"a\n and b are not tested: no photos"),
    ],
)
def test_a_pair_is_described_in_a_sentence(pair: Pair, text: str) -> None:
    """Better, not shown, too few to show, not tested."""
    assert pair_text(pair) == text
