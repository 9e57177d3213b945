"""ROC and precision-recall curves: by hand, and beside scikit-learn where it is."""

from __future__ import annotations

import numpy as np
import pytest
from kvgg_jax.evaluation.curves import curves, one_vs_rest


def test_curves_by_hand() -> None:
    """Falling scores: right, wrong, a tie of right and wrong, wrong."""
    one = curves(np.array([True, False, True, False, False]), np.array([0.9, 0.8, 0.5, 0.5, 0.1]))
    assert one is not None
    assert one.false_positive_rate.tolist() == [0, 0, 1 / 3, 2 / 3, 1]
    assert one.recall.tolist() == [0, 0.5, 0.5, 1, 1]
    assert one.precision.tolist() == [1, 1, 1 / 2, 2 / 4, 2 / 5]
    # of 6 pairs, 3 with the first are right, of the second one right, one wrong, one tied
    assert one.roc_area == pytest.approx((3 + 1 + 0.5) / 6)
    assert one.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)


@pytest.mark.parametrize("kind", [True, False])
def test_pictures_of_one_kind_have_no_curve(kind: bool) -> None:
    """A rate over none of them is undefined."""
    assert curves(np.full(3, kind), np.array([0.1, 0.2, 0.3])) is None


def test_curves_are_those_of_scikit_learn() -> None:
    """Points and areas, ties included."""
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    rng = np.random.default_rng(0)
    true, scores = rng.integers(0, 3, 90), rng.random((90, 3)).round(1)
    for k, one in enumerate(one_vs_rest(true, scores)):
        assert one is not None
        is_class, column = true == k, scores[:, k]
        rate, recall, _ = metrics.roc_curve(is_class, column, drop_intermediate=False)
        np.testing.assert_allclose((one.false_positive_rate, one.recall), (rate, recall))
        precision, recall, _ = metrics.precision_recall_curve(is_class, column)
        np.testing.assert_allclose((one.precision, one.recall), (precision[::-1], recall[::-1]))
        assert one.roc_area == pytest.approx(metrics.roc_auc_score(is_class, column))
        expected = metrics.average_precision_score(is_class, column)
        assert one.average_precision == pytest.approx(expected)
