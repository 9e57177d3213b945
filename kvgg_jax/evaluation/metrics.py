"""Figures that judge a classifier, from true classes and probabilities. NumPy alone.

Throughout, `true` is int [count], an index into the classes, and `probabilities` is
[count, classes], rows adding up to 1. The class called is the first of the most probable ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.evaluation.curves import Curves, one_vs_rest
from kvgg_jax.inference.prediction import Labels, Probabilities

TOP = (2, 3, 5)  # for top-k accuracy, as far as there are more classes
BINS = 15  # of equal width, as Guo et al. 2017 have them
CURVES = 10  # classes, up to which each has its curves
RESAMPLES, LEVEL, SEED = 2000, 0.95, 0  # of the bootstrap


class Margins(NamedTuple):
    """Pictures a class, [classes] each: all that the figures below need of a confusion matrix."""

    right: NDArray[np.float64]
    """Of the class, and called so."""
    true: NDArray[np.float64]
    """Of the class."""
    named: NDArray[np.float64]
    """Called so."""


def margins(
    true: Labels, predicted: Labels, classes: int, weights: NDArray[np.integer] | None = None
) -> Margins:
    """Count pictures, each as often as `weights` [count] says (None: once)."""
    times = np.ones(len(true)) if weights is None else weights.astype(np.float64)
    right = true == predicted
    return Margins(
        *(
            np.bincount(which, of, classes).astype(np.float64)
            for which, of in ((true[right], times[right]), (true, times), (predicted, times))
        )
    )


def accuracy(of: Margins) -> float:
    """Share of right answers, in [0, 1]."""
    return float(of.right.sum() / of.true.sum())


def balanced_accuracy(of: Margins) -> float:
    """Mean recall of the classes that have pictures, in [0, 1] (Brodersen et al. 2010)."""
    there = of.true > 0
    return float(np.mean(of.right[there] / of.true[there]))


def macro_f1(of: Margins) -> float:
    """Mean F1, in [0, 1], of the classes that have pictures or were called.

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
    """Figure -> its 95 % interval: what drawing as many pictures again would let expect.

    Percentile bootstrap (Efron & Tibshirani 1993, chapter 13) with a fixed seed. To draw pictures
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


def top_k_accuracy(true: Labels, probabilities: Probabilities, k: int) -> float:
    """Share of pictures, in [0, 1], whose class is among the `k` most probable ones."""
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.mean((ranked == true[:, None]).any(axis=1)))


@dataclass(frozen=True, slots=True)
class Bin:
    """Pictures whose class was called with a probability in (low, high]; means 0 if none."""

    low: float
    high: float
    count: int
    confidence: float
    """Mean probability of the called class."""
    accuracy: float


def reliability(true: Labels, probabilities: Probabilities) -> tuple[Bin, ...]:
    """How often calls of a certainty are right, in `BINS` bins of equal width."""
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
    """Expected calibration error: the bins' mean |accuracy - confidence|, weighted by pictures.

    In [0, 1], for the called class (Naeini et al. 2015; Guo et al. 2017).
    """
    count = sum(one.count for one in bins)
    return sum(one.count * abs(one.accuracy - one.confidence) for one in bins) / count


@dataclass(frozen=True, slots=True)
class Scores:
    """What `compute_metrics` finds. Shares are in [0, 1], `matthews` in [-1, 1]."""

    balanced_accuracy: float
    macro_f1: float
    matthews: float
    top_k: dict[int, float]
    """k -> top-k accuracy, for each k in `TOP` that is less than the classes."""
    calibration_error: float
    reliability: tuple[Bin, ...]
    intervals: dict[str, tuple[float, float]]
    """Figure -> the ends of its 95 % interval, as `bootstrap` finds them."""
    curves: tuple[Curves | None, ...]
    """A class each; None for one without pictures, nothing at all beyond `CURVES` classes."""


def compute_metrics(true: Labels, probabilities: Probabilities) -> Scores:
    """All figures of a classifier on labelled pictures."""
    classes, predicted = probabilities.shape[1], probabilities.argmax(axis=1)
    of, bins = margins(true, predicted, classes), reliability(true, probabilities)
    return Scores(
        balanced_accuracy=balanced_accuracy(of),
        macro_f1=macro_f1(of),
        matthews=matthews(of),
        top_k={k: top_k_accuracy(true, probabilities, k) for k in TOP if k < classes},
        calibration_error=calibration_error(bins),
        reliability=bins,
        intervals=bootstrap(true, predicted, classes),
        curves=one_vs_rest(true, probabilities) if classes <= CURVES else (),
    )
