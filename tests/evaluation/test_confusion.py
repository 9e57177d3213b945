"""A confusion matrix as its cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kvgg_jax.evaluation.confusion import Confusion

ROWS = [[2, 0, 1], [0, 0, 0], [0, 3, 0]]
COLUMNS = {"size": 3, "true": [0, 0, 2], "predicted": [0, 2, 1], "count": [2, 1, 3]}


@pytest.mark.parametrize("written", [ROWS, COLUMNS])
def test_a_confusion_matrix_is_read_from_rows_or_from_its_cells(written: Any) -> None:
    """Both are the same one."""
    read = Confusion.model_validate(written)
    assert read.model_dump() == {k: v if k == "size" else tuple(v) for k, v in COLUMNS.items()}
    assert read.rows() == tuple(map(tuple, ROWS))


@pytest.mark.parametrize(
    "written",
    [
        [[1]] * 2,
        [[1, 2], [3]],
        [[0.5]],
        [1],
        ["a"],
        {**COLUMNS, "size": 2},
        {**COLUMNS, "count": [1]},
        {**COLUMNS, "true": [0, 0, -1]},
        {**COLUMNS, "size": 10**12, "true": [0, 0, 10**12]},
    ],
)
def test_what_is_no_confusion_matrix_is_refused(written: Any) -> None:
    """Not square, no whole numbers, cells outside, columns of other lengths."""
    with pytest.raises(ValueError, match=r"^1 validation error for Confusion"):
        Confusion.model_validate(written)


def test_photos_are_counted_by_true_and_predicted_class() -> None:
    """A class without photos has its row."""
    true, predicted = np.array([0, 0, 0, 2, 2, 2]), np.array([0, 0, 2, 1, 1, 1])
    assert Confusion.of(true, predicted, 3) == Confusion.model_validate(ROWS)
