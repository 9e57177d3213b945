"""How well probabilities rank pictures: ROC and precision-recall curves of one class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curves:
    """One class against the rest: a point for each threshold, from calling nothing so to all."""

    false_positive_rate: Floats
    recall: Floats
    """Also called true positive rate."""
    precision: Floats
    """1 by convention where nothing is called so."""

    @property
    def roc_area(self) -> float:
        """Probability that a picture of the class ranks above another one (Fawcett 2006)."""
        return float(np.trapezoid(self.recall, self.false_positive_rate))

    @property
    def average_precision(self) -> float:
        """Area under precision over recall, by steps: no point between thresholds is reached.

        Davis & Goadrich 2006 say why lines between the points would flatter.
        """
        return float(np.diff(self.recall) @ self.precision[1:])


def curves(is_class: NDArray[np.bool_], scores: NDArray[np.floating]) -> Curves | None:
    """Curves over all thresholds of `scores` [count]; None when all pictures are of one kind."""
    positives = int(is_class.sum())
    if positives in (0, len(is_class)):
        return None
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)  # of each equal score
    found = np.append(0, is_class[order].cumsum()[last])
    named = np.append(0, last + 1)
    return Curves(
        false_positive_rate=(named - found) / (len(is_class) - positives),
        recall=found / positives,
        precision=np.append(1.0, found[1:] / named[1:]),
    )


def one_vs_rest(
    true: NDArray[np.integer], probabilities: NDArray[np.floating]
) -> tuple[Curves | None, ...]:
    """`curves` of each class by its column of `probabilities` [count, classes]."""
    return tuple(curves(true == k, probabilities[:, k]) for k in range(probabilities.shape[1]))
