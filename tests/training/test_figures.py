"""Figures of a classifier that are not means over photos."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from kvgg_jax.core.history import MONITORS, Monitor
from kvgg_jax.training.figures import monitored_columns, overall_figures

# Right: 3 of 4, 1 of 2, and of the third class 0 of 1; no photo is of the fourth or fifth.
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
    """A class without photos counts for F1 where it was predicted, else for nothing."""
    assert overall_figures(TRUE, PREDICTED, 5)[name] == pytest.approx(expected, rel=1e-12)


def test_the_correlation_is_zero_where_one_class_alone_is_predicted() -> None:
    """Undefined, since nothing varies: 0, as scikit-learn has it."""
    assert overall_figures(np.array([0, 1]), np.array([0, 0]), 2)["matthews"] == 0.0


@pytest.mark.filterwarnings("ignore::UserWarning")  # classes predicted that no photo has
@pytest.mark.parametrize(("classes", "count"), [(2, 30), (4, 240), (30, 60)])
def test_the_figures_are_those_of_scikit_learn(classes: int, count: int) -> None:
    """With its defaults; of 30 classes, some have no photo."""
    true, predicted = np.random.default_rng(0).integers(0, classes, (2, count))
    assert overall_figures(true, predicted, classes) == pytest.approx(
        {
            "accuracy": sklearn_metrics.accuracy_score(true, predicted),
            "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(true, predicted),
            "macro_f1": sklearn_metrics.f1_score(true, predicted, average="macro"),
            "matthews": sklearn_metrics.matthews_corrcoef(true, predicted),
        },
        rel=1e-12,
    )


@pytest.mark.parametrize("monitor", MONITORS)
def test_a_row_gets_the_column_that_only_its_monitor_has(monitor: Monitor) -> None:
    """Of two equal probabilities the first is predicted; accuracy and loss are in all rows."""
    probabilities = np.float32([[0.5, 0.5, 0], [0.2, 0.3, 0.5], [0, 0.9, 0.1], [0, 1, 0]])
    expected = {
        "balanced_accuracy": {"val_balanced_accuracy": (1 / 2 + 1 + 1) / 3},
        "macro_f1": {"val_macro_f1": (2 / 3 + 2 / 3 + 1) / 3},
    }
    found = monitored_columns(monitor, np.array([0, 2, 1, 0]), probabilities)
    assert found == expected.get(monitor, {})
