"""Figures of a confusion matrix and their intervals: by hand, and beside scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from kvgg_jax.evaluation.bootstrap import FIGURES, bootstrap, margins

# Called right: 3 of 4, 1 of 2, and of the third class 0 of 1; no photo is of the fourth or fifth.
TRUE = np.array([0, 0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 0, 1, 1, 3, 0])


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


@pytest.mark.filterwarnings("ignore::UserWarning")  # classes called that no photo has
@pytest.mark.parametrize(("classes", "count"), [(2, 30), (4, 240), (30, 60)])
def test_the_figures_are_those_of_scikit_learn(classes: int, count: int) -> None:
    """With its defaults; of 30 classes, some have no photo."""
    true, predicted = np.random.default_rng(0).integers(0, classes, (2, count))
    counts = margins(true, predicted, classes)
    assert {name: figure(counts) for name, figure in FIGURES.items()} == pytest.approx(
        {
            "accuracy": sklearn_metrics.accuracy_score(true, predicted),
            "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(true, predicted),
            "macro_f1": sklearn_metrics.f1_score(true, predicted, average="macro"),
            "matthews": sklearn_metrics.matthews_corrcoef(true, predicted),
        },
        rel=1e-12,
    )


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
