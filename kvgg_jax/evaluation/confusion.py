"""Judgements from predicted and true classes, after the usual definitions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MATRIX = 30  # classes, up to which each cell of a confusion matrix is drawn and written
PAIRS = 20  # most frequent confusions, where it is not


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Precision, recall and F1 in [0, 1], and how many pictures the class has.

    None where there is nothing to divide by: no picture was given to the class (precision), it has
    none (recall), or both (F1).
    """

    precision: float | None
    recall: float | None
    f1: float | None
    count: int


def confusion_matrix(
    true: NDArray[np.integer], predicted: NDArray[np.integer], classes: int
) -> NDArray[np.int64]:
    """Counts [true, predicted], int64 [classes, classes]."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (true, predicted), 1)
    return matrix


def confused(confusion: NDArray[np.int64], most: int = PAIRS) -> list[tuple[int, int, int]]:
    """The pairs that are mixed up most often, up to `most`: (true, predicted, count)."""
    wrong = confusion * ~np.eye(len(confusion), dtype=bool)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [(int(t), int(p), int(wrong[t, p])) for t, p in pairs if wrong[t, p]]


def class_scores(confusion: NDArray[np.int64]) -> list[ClassScore]:
    """One score a class from counts [true, predicted]."""
    scores = []
    for k in range(len(confusion)):
        right, named, count = confusion[k, k], confusion[:, k].sum(), confusion[k].sum()
        f1 = _share(2 * right, named + count)
        scores.append(ClassScore(_share(right, named), _share(right, count), f1, int(count)))
    return scores


def _share(part: np.integer, whole: np.integer) -> float | None:
    return float(part / whole) if whole else None
