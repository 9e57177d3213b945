"""Figures of a classifier from true classes and probabilities: scikit-learn's where it has them.

Throughout, `true` is int [count], an index into the classes, and `probabilities` is
[count, classes], rows adding up to 1. The class called is the first of the most probable ones.
scikit-learn takes a second to import, so the functions do that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.evaluation.bootstrap import FIGURES, bootstrap, margins
from kvgg_jax.evaluation.record import BINS, Bin, ClassFigures
from kvgg_jax.inference.prediction import Labels, Probabilities

TOP = (2, 3, 5)  # for top-k accuracy, as far as there are more classes
CURVES = 10  # classes, up to which each has its curves and their areas


def compute_metrics(
    true: Labels, probabilities: Probabilities, names: Sequence[str]
) -> dict[str, Any]:
    """All figures of a classifier on labelled photos, as fields of `EvaluationRecord`."""
    from sklearn.metrics import confusion_matrix

    classes, predicted = len(names), probabilities.argmax(axis=1)
    counts, bins = margins(true, predicted, classes), reliability(true, probabilities)
    return {
        **{name: figure(counts) for name, figure in FIGURES.items()},
        "top_k": {str(k): top_k_accuracy(true, probabilities, k) for k in TOP if k < classes},
        "calibration_error": calibration_error(bins),
        "intervals": bootstrap(true, predicted, classes),
        "classes": dict(zip(names, class_figures(true, probabilities), strict=True)),
        "confusion": confusion_matrix(true, predicted, labels=range(classes)).tolist(),
        "reliability": bins,
    }


def class_figures(true: Labels, probabilities: Probabilities) -> list[ClassFigures]:
    """One per class; areas up to `CURVES` classes, where a curve exists."""
    from sklearn.metrics import (
        average_precision_score,
        precision_recall_fscore_support,
        roc_auc_score,
    )

    classes = probabilities.shape[1]
    columns = precision_recall_fscore_support(
        true, probabilities.argmax(axis=1), labels=range(classes), zero_division=np.nan
    )
    found = []
    for k, (precision, recall, f1, count) in enumerate(zip(*columns, strict=True)):
        one = ClassFigures(
            precision=_defined(precision), recall=_defined(recall), f1=_defined(f1), count=count
        )
        of_class, scores = true == k, probabilities[:, k]
        if classes <= CURVES and has_curves(of_class):
            areas = {
                "roc_area": float(roc_auc_score(of_class, scores)),
                "average_precision": float(average_precision_score(of_class, scores)),
            }
            one = one.model_copy(update=areas)
        found.append(one)
    return found


def _defined(share: float) -> float | None:
    return None if np.isnan(share) else float(share)


def has_curves(of_class: NDArray[np.bool_]) -> bool:
    """Whether there are photos of the class and others: a rate over none is undefined."""
    return bool(of_class.any() and not of_class.all())


def top_k_accuracy(true: Labels, probabilities: Probabilities, k: int) -> float:
    """Share of photos, in [0, 1], whose class is among the `k` most probable ones.

    Of equal probabilities the first counts, as for the class called; scikit-learn takes the last.
    """
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.mean((ranked == true[:, None]).any(axis=1)))


def reliability(true: Labels, probabilities: Probabilities) -> tuple[Bin, ...]:
    """How often calls of a certainty are right, in `BINS` bins of equal width.

    scikit-learn's `calibration_curve` is for two classes, and leaves out how many photos a bin has.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == true
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    counts, sure, hits = (
        np.bincount(place, of, BINS) for of in (np.ones(len(true)), confidence, right)
    )
    some = np.maximum(counts, 1)
    return tuple(
        Bin(k / BINS, (k + 1) / BINS, int(counts[k]), *map(float, (sure[k], hits[k]) / some[k]))
        for k in range(BINS)
    )


def calibration_error(bins: tuple[Bin, ...]) -> float:
    """Expected calibration error: the bins' mean |accuracy - confidence|, weighted by photos.

    In [0, 1], for the called class (Naeini et al. 2015; Guo et al. 2017).
    """
    count = sum(one.count for one in bins)
    return sum(one.count * abs(one.accuracy - one.confidence) for one in bins) / count
