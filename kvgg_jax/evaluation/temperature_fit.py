"""Fit a temperature to held-out photos (Guo, Pleiss, Sun & Weinberger 2017, section 4.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.inference.prediction import Labels, Probabilities
from kvgg_jax.inference.temperature import HIGHEST, LOWEST, apply_temperature, logits

FOLDS, SEED = 5, 0


def losses(true: Labels, probabilities: Probabilities) -> NDArray[np.float64]:
    """Negative log-likelihood of each picture's true class, in nats: [count]."""
    return -logits(probabilities)[np.arange(len(true)), true]


def cross_entropy(true: Labels, probabilities: Probabilities) -> float:
    """Mean of `losses`."""
    return float(losses(true, probabilities).mean())


def fit_temperature(true: Labels, probabilities: Probabilities) -> float:
    """The temperature of the least cross-entropy, within `LOWEST` and `HIGHEST`.

    Cross-entropy is convex in 1 / T, so its slope has one root at most. Where every answer is
    right it falls without end as T goes to 0: then the result is `LOWEST`, and means nothing.
    """
    from scipy.optimize import brentq

    own, of_true = logits(probabilities), -losses(true, probabilities)

    def slope(inverse: float) -> float:
        expected = (apply_temperature(probabilities, 1 / inverse) * own).sum(axis=1)
        return float(np.mean(expected - of_true))

    low, high = 1 / HIGHEST, 1 / LOWEST
    if slope(low) >= 0:
        return HIGHEST
    if slope(high) < 0:
        return LOWEST
    return float(1 / brentq(slope, low, high))


def cross_fit(
    true: Labels, probabilities: Probabilities
) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    """Each picture's probabilities at the temperature that the others fitted; and these.

    What calibration does to pictures it was not fitted on, without setting any aside. Up to
    `FOLDS` folds, to each of which the wrong answers, from 2 of which on it can be done, are dealt
    in turn: a fit without any means nothing.
    """
    right = probabilities.argmax(axis=1) == true
    folds = min(FOLDS, int((~right).sum()))
    order = np.random.default_rng(SEED).permutation(len(true))
    order = order[np.argsort(right[order], kind="stable")]
    fold = np.empty(len(true), int)
    fold[order] = np.arange(len(true)) % folds
    softened = np.empty(probabilities.shape)
    fitted = []
    for k in range(folds):
        inside = fold == k
        fitted.append(fit_temperature(true[~inside], probabilities[~inside]))
        softened[inside] = apply_temperature(probabilities[inside], fitted[-1])
    return softened, tuple(fitted)
