"""Figures from true classes and probabilities: by hand, and beside scikit-learn where it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kvgg_jax.evaluation.metrics import (
    BINS,
    FIGURES,
    Bin,
    bootstrap,
    calibration_error,
    compute_metrics,
    margins,
    reliability,
    top_k_accuracy,
)

# Called right: 3 of 4, 1 of 2, and of the third class 0 of 1; no picture is of the fourth or fifth.
TRUE = np.array([0, 0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 0, 1, 1, 3, 0])


def drawn(classes: int, count: int) -> tuple[Any, Any]:
    """Classes, and probabilities that favour them."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, classes, count)
    probabilities = rng.dirichlet(np.ones(classes), count)
    probabilities[np.arange(count), true] += 0.1
    return true, probabilities / probabilities.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", 4 / 7),
        ("balanced_accuracy", (3 / 4 + 1 / 2 + 0) / 3),
        ("macro_f1", (2 * 3 / (4 + 4) + 2 * 1 / (2 + 2) + 0 + 0) / 4),
        # true (4, 2, 1, 0), named (4, 2, 0, 1): product 20, each with itself 21
        ("matthews", (4 * 7 - 20) / (7**2 - 21)),
    ],
)
def test_each_figure_by_hand(name: str, expected: float) -> None:
    """A class without pictures counts for F1 where it was called, else for nothing."""
    assert FIGURES[name](margins(TRUE, PREDICTED, 5)) == pytest.approx(expected, rel=1e-12)


def test_the_correlation_is_zero_where_one_class_alone_is_called() -> None:
    """Undefined, since nothing varies: 0, as scikit-learn has it."""
    assert FIGURES["matthews"](margins(np.array([0, 1]), np.array([0, 0]), 2)) == 0.0


@pytest.mark.filterwarnings("ignore::UserWarning")  # classes called that no picture has
@pytest.mark.parametrize(("classes", "count"), [(2, 30), (4, 240), (30, 60)])
def test_the_figures_are_those_of_scikit_learn(classes: int, count: int) -> None:
    """With its defaults; of 30 classes, some have no picture."""
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    true, probabilities = drawn(classes, count)
    predicted, scores = probabilities.argmax(axis=1), compute_metrics(true, probabilities)
    assert (scores.balanced_accuracy, scores.macro_f1, scores.matthews) == pytest.approx(
        (
            metrics.balanced_accuracy_score(true, predicted),
            metrics.f1_score(true, predicted, average="macro"),
            metrics.matthews_corrcoef(true, predicted),
        ),
        rel=1e-12,
    )
    assert scores.top_k == {
        k: metrics.top_k_accuracy_score(true, probabilities, k=k, labels=range(classes))
        for k in (2, 3, 5)
        if k < classes
    }


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


def test_the_interval_of_the_accuracy_is_that_of_the_binomial() -> None:
    """The bootstrap of a share is a binomial: 95 % between its quantiles for 0.9 of 200."""
    true = np.zeros(200, int)
    predicted = np.repeat([0, 1], [180, 20])
    low, high = bootstrap(true, predicted, 2)["accuracy"]
    assert low == pytest.approx(0.855, abs=0.0051)  # the quantiles are 171 and 188 of 200
    assert high == pytest.approx(0.94, abs=0.0051)


def test_the_bootstrap_redraws_pictures() -> None:
    """Its counts of cells have the spread that drawing pictures one by one gives."""
    rng = np.random.default_rng(1)
    true, predicted = rng.integers(0, 3, 60), rng.integers(0, 3, 60)
    slow = []
    for _ in range(4000):
        rows = rng.integers(0, 60, 60)
        slow.append(FIGURES["macro_f1"](margins(true[rows], predicted[rows], 3)))
    assert bootstrap(true, predicted, 3)["macro_f1"] == pytest.approx(
        np.quantile(slow, (0.025, 0.975)), abs=0.02
    )


def test_intervals_repeat() -> None:
    """The seed is fixed: the same photos give the same text."""
    assert bootstrap(TRUE, PREDICTED, 5) == bootstrap(TRUE, PREDICTED, 5)


def test_a_class_that_a_resample_misses_does_no_harm() -> None:
    """Its recall is undefined there and left out; warnings would be errors here."""
    ends = bootstrap(np.array([0, 1]), np.array([0, 0]), 3)["balanced_accuracy"]
    assert ends == (0.0, 1.0)


def test_many_classes_have_no_curves() -> None:
    """Ten have, eleven not."""
    for classes, expected in ((10, 10), (11, 0)):
        true, probabilities = drawn(classes, 40)
        assert len(compute_metrics(true, probabilities).curves) == expected
