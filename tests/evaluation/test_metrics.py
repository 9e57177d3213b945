"""Figures from true classes and probabilities, against cases worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kvgg_jax.evaluation.metrics import (
    calibration_error,
    class_figures,
    compute_metrics,
    reliability,
    top_k_accuracy,
)
from kvgg_jax.evaluation.record import BINS, Bin


def of_counts(confusion: list[list[int]]) -> tuple[Any, Any]:
    """Classes and certain calls, as many of each as counts [true, predicted] say."""
    counts = np.array(confusion)
    true, predicted = (which.ravel().repeat(counts.ravel()) for which in np.indices(counts.shape))
    return true, np.eye(len(counts))[predicted]


def shares_of(confusion: list[list[int]]) -> list[tuple[Any, ...]]:
    """Precision, recall, F1 and count of each class."""
    found = class_figures(*of_counts(confusion))
    return [(one.precision, one.recall, one.f1, one.count) for one in found]


def test_confusion_counts_true_by_predicted() -> None:
    """Row: what it is. Column: what it was called; a class without photos has both."""
    true, predicted = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 1, 1, 1, 0, 2])
    found = compute_metrics(true, np.eye(4)[predicted], "abcd")
    assert found["confusion"] == [[1, 2, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]


def test_precision_recall_and_f1_by_hand() -> None:
    """Class 0: 8 right, 10 called so, 16 there are; precision 4/5, recall 1/2, F1 8/13."""
    assert shares_of([[8, 8], [2, 2]]) == [
        pytest.approx((0.8, 0.5, 8 / 13, 16)),
        pytest.approx((0.2, 0.5, 2 / 7, 4)),
    ]


@pytest.mark.parametrize(
    ("confusion", "expected"),
    [
        pytest.param([[3, 0], [2, 0]], (None, 0.0, 0.0, 2), id="never named"),
        pytest.param([[3, 1], [0, 0]], (0.0, None, 0.0, 0), id="has no photo"),
        pytest.param([[3, 0], [0, 0]], (None, None, None, 0), id="neither"),
        pytest.param([[3, 1], [1, 0]], (0.0, 0.0, 0.0, 1), id="never right"),
        pytest.param([[4, 0], [0, 1]], (1.0, 1.0, 1.0, 1), id="all right"),
    ],
)
def test_an_undefined_score_is_none(confusion: list[list[int]], expected: tuple[Any, ...]) -> None:
    """A zero would say that the network is bad at the class; "never right" is such a one."""
    assert shares_of(confusion)[1] == expected


def test_areas_by_hand() -> None:
    """Falling scores: right, wrong, a tie of right and wrong, wrong."""
    true, scores = np.array([1, 0, 1, 0, 0]), np.array([0.9, 0.8, 0.5, 0.5, 0.1])
    one = class_figures(true, np.stack([1 - scores, scores], axis=1))[1]
    # of 6 pairs, 3 with the first are right, of the second one right, one wrong, one tied
    assert one.roc_area == pytest.approx((3 + 1 + 0.5) / 6)
    assert one.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)


def test_photos_of_one_kind_have_no_area() -> None:
    """A rate over none of them is undefined; warnings would be errors here."""
    found = class_figures(np.zeros(3, int), np.full((3, 2), 0.5))
    assert {(one.roc_area, one.average_precision) for one in found} == {(None, None)}


@pytest.mark.parametrize(("classes", "areas"), [(10, 10), (11, 0)])
def test_many_classes_have_no_areas(classes: int, areas: int) -> None:
    """Ten have, eleven not."""
    found = class_figures(np.arange(40) % classes, np.full((40, classes), 1 / classes))
    assert [one.roc_area for one in found if one.roc_area is not None] == [0.5] * areas


@pytest.mark.parametrize(("true", "k", "expected"), [(2, 1, 1), (1, 2, 0), (0, 2, 1), (1, 3, 1)])
def test_top_k_takes_the_first_of_equal_probabilities(true: int, k: int, expected: int) -> None:
    """As the class called is the first of the most probable ones."""
    assert top_k_accuracy(np.array([true]), np.array([[0.25, 0.25, 0.5]]), k) == expected


def test_calibration_error_by_hand() -> None:
    """Called with 0.9, 0.9, 0.9 and 0.5, one of each wrong: 3/4 of |2/3 - 0.9| + 1/4 of 0.5."""
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.5, 0.5]])
    bins = reliability(np.array([0, 1, 1, 1]), probabilities)
    assert len(bins) == BINS
    assert [(one.count, one.accuracy) for one in bins if one.count] == [(1, 0.0), (3, 2 / 3)]
    assert calibration_error(bins) == pytest.approx(3 / 4 * (0.9 - 2 / 3) + 1 / 4 * 0.5)


def test_a_bin_holds_its_upper_end_and_not_its_lower() -> None:
    """(low, high], so that a certainty of 1 is in the last one; empty ones are all 0."""
    ends = np.array([[3 / 15, 12 / 15], [1.0, 0.0], [0.8 + 1e-9, 0.2 - 1e-9]])
    bins = reliability(np.array([1, 0, 0]), ends)
    assert [k for k, one in enumerate(bins) for _ in range(one.count)] == [11, 12, 14]
    assert bins[0] == Bin(0.0, 1 / 15, 0, 0.0, 0.0)
    assert bins[14].high == 1.0


def test_top_k_is_told_for_less_than_all_classes() -> None:
    """Of four: 2 and 3. The class is first in one photo, second in one, third in one of four."""
    probabilities = np.array([[4, 3, 2, 1]] * 4) / 10
    assert compute_metrics(np.arange(4), probabilities, "abcd")["top_k"] == {"2": 0.5, "3": 0.75}
