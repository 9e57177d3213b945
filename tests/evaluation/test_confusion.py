"""Judgements from true and predicted classes, against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from kvgg_jax.evaluation.confusion import ClassScore, class_scores, confused, confusion_matrix


def test_confusion_counts_true_by_predicted() -> None:
    """Row: what it is. Column: what it was called."""
    true, predicted = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 1, 1, 1, 0, 2])
    matrix = confusion_matrix(true, predicted, 4)
    assert matrix.tolist() == [[1, 2, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert matrix.dtype == np.int64


def test_precision_recall_and_f1_by_hand() -> None:
    """Class 0: 8 right, 10 called so, 16 there are; precision 4/5, recall 1/2, F1 8/13."""
    scores = class_scores(np.array([[8, 8], [2, 2]]))
    assert scores == [
        ClassScore(precision=0.8, recall=0.5, f1=pytest.approx(8 / 13), count=16),
        ClassScore(precision=0.2, recall=0.5, f1=pytest.approx(2 / 7), count=4),
    ]


@pytest.mark.parametrize(
    ("confusion", "expected"),
    [
        pytest.param([[3, 0], [2, 0]], ClassScore(None, 0.0, 0.0, 2), id="never named"),
        pytest.param([[3, 1], [0, 0]], ClassScore(0.0, None, 0.0, 0), id="has no picture"),
        pytest.param([[3, 0], [0, 0]], ClassScore(None, None, None, 0), id="neither"),
        pytest.param([[3, 1], [1, 0]], ClassScore(0.0, 0.0, 0.0, 1), id="never right"),
    ],
)
def test_an_undefined_score_is_none(confusion: list[list[int]], expected: ClassScore) -> None:
    """A zero would say that the network is bad at the class; "never right" is such a one."""
    assert class_scores(np.array(confusion))[1] == expected


def test_a_perfect_matrix_scores_one() -> None:
    """All right: 1 everywhere."""
    assert class_scores(np.diag([4, 1])) == [
        ClassScore(1.0, 1.0, 1.0, 4),
        ClassScore(1.0, 1.0, 1.0, 1),
    ]


def test_the_pairs_mixed_up_most_often_come_first() -> None:
    """What is right is not among them, nor what never happened."""
    confusion = np.array([[9, 1, 0], [0, 9, 3], [1, 0, 9]])
    assert confused(confusion, 9) == [(1, 2, 3), (0, 1, 1), (2, 0, 1)]
    assert confused(confusion, 1) == [(1, 2, 3)]
    assert confused(np.eye(3, dtype=np.int64), 9) == []
