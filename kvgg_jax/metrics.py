"""Judgements from predicted and true classes, after the usual definitions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Precision, recall and F1 in [0, 1] (0 where undefined), and how many pictures it has."""

    precision: float
    recall: float
    f1: float
    count: int


def confusion_matrix(
    true: NDArray[np.integer], predicted: NDArray[np.integer], classes: int
) -> NDArray[np.int64]:
    """Counts [true, predicted], int64 [classes, classes]."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (true, predicted), 1)
    return matrix


def class_scores(confusion: NDArray[np.int64]) -> list[ClassScore]:
    """One score a class from counts [true, predicted]."""
    scores = []
    for k in range(len(confusion)):
        right, named, count = confusion[k, k], confusion[:, k].sum(), confusion[k].sum()
        precision = float(right / named) if named else 0.0
        recall = float(right / count) if count else 0.0
        total = precision + recall
        f1 = 2 * precision * recall / total if total else 0.0
        scores.append(ClassScore(precision, recall, f1, int(count)))
    return scores
