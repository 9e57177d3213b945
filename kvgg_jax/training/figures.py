"""Figures of a classifier that are not means over photos: those of training and of `evaluate`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.history import EXTRA, Monitor
from kvgg_jax.inference.prediction import Labels, Probabilities


def overall_figures(
    true: Labels, predicted: Labels, classes: int, weights: NDArray[np.integer] | None = None
) -> dict[str, float]:
    """Accuracy, balanced accuracy, macro F1 in [0, 1], and Matthews correlation in [-1, 1].

    Each photo counts as often as `weights` [count] says (None: once). scikit-learn has these too,
    but the bootstrap takes them `RESAMPLES` times: here that is half a second, with scikit-learn a
    hundred times that. The tests compare the two.
    """
    times = np.ones(len(true)) if weights is None else weights.astype(np.float64)
    hit = true == predicted
    right = np.bincount(true[hit], times[hit], classes)
    actual, called = (np.bincount(of, times, classes) for of in (true, predicted))
    count, some, either = actual.sum(), actual > 0, actual + called
    covariance = right.sum() * count - called @ actual
    variances = (count**2 - called @ called) * (count**2 - actual @ actual)
    return {
        "accuracy": float(right.sum() / count),
        # mean recall of the classes that have photos (Brodersen et al. 2010)
        "balanced_accuracy": float(np.mean(right[some] / actual[some])),
        # the mean of F1s, not the F1 of means (Opitz & Burst 2019)
        "macro_f1": float(np.mean(2 * right[either > 0] / either[either > 0])),
        # 0 where it is undefined (Gorodkin 2004)
        "matthews": float(covariance / np.sqrt(variances)) if variances else 0.0,
    }


def monitored_columns(
    monitor: Monitor, true: Labels, probabilities: Probabilities
) -> dict[str, Any]:
    """The column of `history.csv` that only a run has which monitors it; empty where all have it.

    `true` is int [count], an index into the classes; `probabilities` are [count, classes].
    """
    column = f"val_{monitor}"
    if column not in EXTRA:
        return {}
    predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
    return {column: overall_figures(true, predicted, classes)[monitor]}
