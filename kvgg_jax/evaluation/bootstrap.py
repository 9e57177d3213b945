"""Figures of a confusion matrix, and their intervals by bootstrap. NumPy alone.

scikit-learn has these figures too, but the bootstrap takes each of them `RESAMPLES` times: here
that is half a second, with scikit-learn a hundred times that. The tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.inference.prediction import Labels

RESAMPLES, LEVEL, SEED = 2000, 0.95, 0


class Margins(NamedTuple):
    """Photos per class, [classes] each: all that the figures below need of a confusion matrix."""

    right: NDArray[np.float64]
    """Of the class, and called so."""
    true: NDArray[np.float64]
    """Of the class."""
    named: NDArray[np.float64]
    """Called so."""


def margins(
    true: Labels, predicted: Labels, classes: int, weights: NDArray[np.integer] | None = None
) -> Margins:
    """Count photos, each as often as `weights` [count] says (None: once)."""
    times = np.ones(len(true)) if weights is None else weights.astype(np.float64)
    right = true == predicted
    return Margins(
        np.bincount(true[right], times[right], classes).astype(np.float64),
        np.bincount(true, times, classes).astype(np.float64),
        np.bincount(predicted, times, classes).astype(np.float64),
    )


def accuracy(of: Margins) -> float:
    """Share of right answers, in [0, 1]."""
    return float(of.right.sum() / of.true.sum())


def balanced_accuracy(of: Margins) -> float:
    """Mean recall of the classes that have photos, in [0, 1] (Brodersen et al. 2010)."""
    there = of.true > 0
    return float(np.mean(of.right[there] / of.true[there]))


def macro_f1(of: Margins) -> float:
    """Mean F1, in [0, 1], of the classes that have photos or were called.

    The mean of F1s, not the F1 of means (Opitz & Burst 2019); each is 2 right / (true + named).
    """
    either = of.true + of.named
    return float(np.mean(2 * of.right[either > 0] / either[either > 0]))


def matthews(of: Margins) -> float:
    """Correlation of true and called classes, in [-1, 1]; 0 where undefined (Gorodkin 2004)."""
    count = of.true.sum()
    both = of.right.sum() * count - of.named @ of.true
    alone = (count**2 - of.named @ of.named) * (count**2 - of.true @ of.true)
    return float(both / np.sqrt(alone)) if alone else 0.0


FIGURES: dict[str, Callable[[Margins], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "matthews": matthews,
}


def bootstrap(true: Labels, predicted: Labels, classes: int) -> dict[str, tuple[float, float]]:
    """Figure -> its 95 % interval: what drawing as many photos again would let expect.

    Percentile bootstrap (Efron & Tibshirani 1993, chapter 13) with a fixed seed. To draw photos
    with replacement is to draw the counts of the confusion matrix's cells from a multinomial.
    """
    cells, counts = np.unique(true * classes + predicted, return_counts=True)
    rows, columns = np.divmod(cells, classes)
    rng, count = np.random.default_rng(SEED), len(true)
    drawn = [
        margins(rows, columns, classes, rng.multinomial(count, counts / count))
        for _ in range(RESAMPLES)
    ]
    ends = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    return {
        name: (float(low), float(high))
        for name, figure in FIGURES.items()
        for low, high in [np.quantile([figure(one) for one in drawn], ends)]
    }
