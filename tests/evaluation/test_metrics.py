"""Figures from true classes and probabilities: by hand, and beside scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kvgg_jax.evaluation.confusion import Confusion
from kvgg_jax.evaluation.metrics import (
    bootstrap,
    calibration_error,
    class_figures,
    compute_metrics,
    losses,
    ranks_of_true,
    reliability,
)
from kvgg_jax.evaluation.record import BINS, Bin
from kvgg_jax.training.figures import overall_figures


def of_counts(confusion: list[list[int]]) -> tuple[Any, Any]:
    """Classes and certain predictions, as many of each as counts [true, predicted] say."""
    counts = np.array(confusion)
    true, predicted = (which.ravel().repeat(counts.ravel()) for which in np.indices(counts.shape))
    return true, np.eye(len(counts))[predicted]


def shares_of(confusion: list[list[int]]) -> list[tuple[Any, ...]]:
    """Precision, recall, F1 and count of each class."""
    found = class_figures(*of_counts(confusion))
    return [(one.precision, one.recall, one.f1, one.count) for one in found]


def test_confusion_counts_true_by_predicted() -> None:
    """A row per true class, a column per predicted one; a class without photos has both."""
    true, predicted = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 1, 1, 1, 0, 2])
    found = compute_metrics(true, np.eye(4)[predicted], "abcd")
    assert found["cells"].rows() == ((1, 2, 0, 0), (0, 1, 0, 0), (1, 0, 1, 0), (0, 0, 0, 0))


def test_precision_recall_and_f1_by_hand() -> None:
    """Class 0: 8 right, 10 predicted, 16 there are; precision 4/5, recall 1/2, F1 8/13."""
    assert shares_of([[8, 8], [2, 2]]) == [
        pytest.approx((0.8, 0.5, 8 / 13, 16)),
        pytest.approx((0.2, 0.5, 2 / 7, 4)),
    ]


@pytest.mark.parametrize(
    ("confusion", "expected"),
    [
        pytest.param([[3, 0], [2, 0]], (None, 0.0, 0.0, 2), id="never predicted"),
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


@pytest.mark.parametrize(("true", "rank"), [(2, 0), (0, 1), (1, 2)])
def test_of_equal_probabilities_the_first_comes_first(true: int, rank: int) -> None:
    """As the class predicted is the first of the most probable ones."""
    assert ranks_of_true(np.array([true]), np.array([[0.25, 0.25, 0.5]])) == [rank]


def test_calibration_error_by_hand() -> None:
    """Predicted with 0.9, 0.9, 0.9 and 0.5, one of each wrong: 3/4 of |2/3 - 0.9| + 1/4 of 0.5."""
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


def test_top_k_is_given_for_less_than_all_classes() -> None:
    """Of four: 2 and 3. The class is first in one photo, second in one, third in one of four."""
    probabilities = np.array([[4, 3, 2, 1]] * 4) / 10
    assert compute_metrics(np.arange(4), probabilities, "abcd")["top_k"] == {"2": 0.5, "3": 0.75}


def test_a_probability_of_zero_is_a_finite_loss() -> None:
    """As small as the device can tell from 0: -log of 2 ** -126."""
    one = losses(np.array([1]), np.array([[1.0, 0.0]], np.float32))
    assert one == pytest.approx([126 * np.log(2)])


def test_the_interval_of_the_accuracy_is_that_of_the_binomial() -> None:
    """The bootstrap of a share is a binomial: 95 % between its quantiles for 0.9 of 200."""
    true = np.zeros(200, int)
    predicted = np.repeat([0, 1], [180, 20])
    low, high = bootstrap(Confusion.of(true, predicted, 2))["accuracy"]
    assert low == pytest.approx(0.855, abs=0.0051)  # the quantiles are 171 and 188 of 200
    assert high == pytest.approx(0.94, abs=0.0051)


def test_the_bootstrap_draws_photos_again() -> None:
    """Its counts of cells have the spread that drawing photos one by one gives."""
    rng = np.random.default_rng(1)
    true, predicted = rng.integers(0, 3, 60), rng.integers(0, 3, 60)
    slow = []
    for _ in range(4000):
        rows = rng.integers(0, 60, 60)
        slow.append(overall_figures(true[rows], predicted[rows], 3)["macro_f1"])
    assert bootstrap(Confusion.of(true, predicted, 3))["macro_f1"] == pytest.approx(
        np.quantile(slow, (0.025, 0.975)), abs=0.02
    )


def test_intervals_repeat() -> None:
    """The seed is fixed: the same photos give the same text."""
    cells = Confusion.of(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 5)
    assert bootstrap(cells) == bootstrap(cells)


def test_a_class_that_a_resample_misses_does_no_harm() -> None:
    """Its recall is undefined there and left out; warnings would be errors here."""
    ends = bootstrap(Confusion.of(np.array([0, 1]), np.array([0, 0]), 3))["balanced_accuracy"]
    assert ends == (0.0, 1.0)
