"""Figures of a classifier from true classes and probabilities: scikit-learn's where it has them.

Throughout, `true` is int [count], an index into the classes, and `probabilities` is
[count, classes], rows adding up to 1. The class predicted is the first of the most probable ones.
scikit-learn takes a second to import, so the functions import it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.evaluation.confusion import Confusion
from kvgg_jax.evaluation.record import BINS, LEVEL, RESAMPLES, SEED, Bin, ClassFigures
from kvgg_jax.inference.prediction import Labels, Probabilities
from kvgg_jax.inference.temperature import logits
from kvgg_jax.training.figures import overall_figures

TOP = (2, 3, 5)  # for top-k accuracy, as far as there are more classes
CHUNK = 1000  # photos that are ranked at once
CURVES = 10  # classes, up to which each has its curves and their areas


def compute_metrics(
    true: Labels, probabilities: Probabilities, names: Sequence[str]
) -> dict[str, Any]:
    """All figures of a classifier on labelled photos, as fields of `EvaluationRecord`."""
    classes, predicted = len(names), probabilities.argmax(axis=1)
    cells = Confusion.of(true, predicted, classes)
    bins, ranks = reliability(true, probabilities), ranks_of_true(true, probabilities)
    return {
        **overall_figures(true, predicted, classes),
        "top_k": {str(k): float(np.mean(ranks < k)) for k in TOP if k < classes},
        "calibration_error": calibration_error(bins),
        "intervals": bootstrap(cells),
        "classes": dict(zip(names, class_figures(true, probabilities), strict=True)),
        "cells": cells,
        "reliability": bins,
    }


def bootstrap(cells: Confusion) -> dict[str, tuple[float, float]]:
    """Figure -> its 95 % interval: what drawing as many photos again would let expect.

    Percentile bootstrap (Efron & Tibshirani 1993, chapter 13) with a fixed seed. To draw photos
    with replacement is to draw the counts of the confusion matrix's cells from a multinomial.
    """
    rows, columns, counts = map(np.array, (cells.true, cells.predicted, cells.count))
    rng, count = np.random.default_rng(SEED), counts.sum()
    drawn = [
        overall_figures(rows, columns, cells.size, rng.multinomial(count, counts / count))
        for _ in range(RESAMPLES)
    ]
    ends = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    return {
        name: (float(low), float(high))
        for name in drawn[0]
        for low, high in [np.quantile([figures[name] for figures in drawn], ends)]
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
    for k, (*shares, count) in enumerate(zip(*columns, strict=True)):
        precision, recall, f1 = (None if np.isnan(share) else float(share) for share in shares)
        areas = {}
        if classes <= CURVES and has_curves(true == k):
            scores = true == k, probabilities[:, k]
            areas["roc_area"] = float(roc_auc_score(*scores))
            mean = float(average_precision_score(*scores))
            areas["average_precision"] = min(mean, 1.0)  # rounding may exceed it
        one = ClassFigures(precision=precision, recall=recall, f1=f1, count=count, **areas)
        found.append(one)
    return found


def has_curves(of_class: NDArray[np.bool_]) -> bool:
    """Whether there are photos of the class and others: a rate over none is undefined."""
    return bool(of_class.any() and not of_class.all())


def ranks_of_true(true: Labels, probabilities: Probabilities) -> NDArray[np.integer]:
    """How many classes come before the true one, [count]: 0 where it is predicted.

    Of equal probabilities the first comes first, as for the class predicted; scikit-learn's
    `top_k_accuracy_score` takes the last.
    """
    ranks = np.empty(len(true), np.int64)
    for part in range(0, len(true), CHUNK):
        rows, label = probabilities[part : part + CHUNK], true[part : part + CHUNK, None]
        own, earlier = np.take_along_axis(rows, label, axis=1), np.arange(rows.shape[1]) < label
        ranks[part : part + CHUNK] = ((rows > own) | ((rows == own) & earlier)).sum(axis=1)
    return ranks


def losses(true: Labels, probabilities: Probabilities) -> NDArray[np.float64]:
    """Negative log-likelihood of each photo's true class, in nats: [count]."""
    return -logits(np.take_along_axis(probabilities, true[:, None], axis=1))[:, 0]


def reliability(true: Labels, probabilities: Probabilities) -> tuple[Bin, ...]:
    """How often predictions of a certainty are right, in `BINS` bins of equal width.

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

    In [0, 1], for the class predicted (Naeini et al. 2015; Guo et al. 2017).
    """
    count = sum(one.count for one in bins)
    return sum(one.count * abs(one.accuracy - one.confidence) for one in bins) / count
