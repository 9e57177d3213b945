"""Multinomial logistic regression by scikit-learn, with the strength of L2 that suits the images.

The problem is convex, so L-BFGS finds its one optimum. How strongly weights are kept small is
chosen by cross-validation within the training images.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

STRENGTHS = np.logspace(-6, 2, 9)  # C of scikit-learn: the larger, the weaker is L2
FOLDS = 5
WORSE = 2  # so many strengths in a row that are worse than the best end the search
TOLERANCE = 1e-6  # of the largest gradient at the optimum
MOST_STEPS = 10_000  # of L-BFGS, which needs some tens

Arrays = NDArray[Any]


def fit(
    features: Arrays,
    labels: Arrays,
    counts: Arrays | None = None,
    *,
    balanced: bool,
    seed: int,
    before_each: Callable[[int], None],
) -> tuple[Any, bool]:
    """scikit-learn's model for `features` [count, n], `labels` and weights `counts` [count], and
    whether L-BFGS came as near to its optimum as `TOLERANCE` asks.

    `balanced` weighs classes as scikit-learn's `class_weight`. `before_each` is called with the
    number of strengths that were tried, and may raise.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    weight = "balanced" if balanced else None
    new = partial(LogisticRegression, class_weight=weight, max_iter=MOST_STEPS, tol=TOLERANCE)
    # one thread for a fit: between the small products of each step, two would wait for each other
    with threadpool_limits(1), warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", ConvergenceWarning)
        strength = _choose_strength(features, labels, counts, new, seed, before_each)
        found.clear()  # what a strength is chosen by need not be exact
        fitted: Any = new(C=strength).fit(features, labels, sample_weight=counts)
    return fitted, not any(issubclass(one.category, ConvergenceWarning) for one in found)


def _choose_strength(
    features: Arrays,
    labels: Arrays,
    counts: Arrays | None,
    new: Callable[..., Any],
    seed: int,
    before_each: Callable[[int], None],
) -> float:
    """The C with the smallest mean cross-entropy on held-out folds; without folds, the middle one.

    From strong L2 to weak, where each fit starts from the one before. The search ends early, since
    a weaker L2 than those that were worse would be worse still, and take longest. Folds are fitted
    side by side, in float32: it tells strengths apart, and is twice as fast.
    """
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedKFold

    fewest = np.unique(labels, return_counts=True)[1].min()
    if fewest < 2:
        return float(np.median(STRENGTHS))
    features = features.astype(np.float32)
    folds = StratifiedKFold(min(FOLDS, fewest), shuffle=True, random_state=seed)
    parts = [(new(warm_start=True), *rows) for rows in folds.split(features, labels)]

    def held_out_loss(part: tuple[Any, Arrays, Arrays], strength: float) -> float:
        model, fitted, held = part
        weights = [None if counts is None else counts[rows] for rows in (fitted, held)]
        model.set_params(C=strength)
        model.fit(features[fitted], labels[fitted], sample_weight=weights[0])
        found = model.predict_proba(features[held])
        return float(log_loss(labels[held], found, sample_weight=weights[1]))

    losses: list[float] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, strength in enumerate(STRENGTHS):
            before_each(number)
            each = pool.map(partial(held_out_loss, strength=strength), parts)
            losses.append(float(np.mean(list(each))))
            if number - np.argmin(losses) == WORSE:
                break
    return float(STRENGTHS[np.argmin(losses)])
