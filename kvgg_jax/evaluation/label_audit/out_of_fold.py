"""Probabilities for each photo from the features and the labels of other photos alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.events import Emit, Progress, ignore
from kvgg_jax.data.grouping import fill
from kvgg_jax.inference.prediction import Labels, Probabilities

FOLDS = 5
NEIGHBORS = 15
COMPONENTS = 100  # of the features that are kept: as good as all 2,048 of VGG16, and quicker
STRENGTH = 1e-3  # C of the logistic regression: strong L2, so that wrong labels are not learned
BLOCK = 512  # photos compared with all others at once

Points = NDArray[np.float64]
Groups = NDArray[np.int64]


def predict_out_of_fold(
    features: NDArray[np.float32],
    labels: Labels,
    groups: Groups,
    *,
    seed: int,
    emit: Emit = ignore,
) -> tuple[Probabilities, NDArray[np.float64]]:
    """Probabilities [count, classes], and the mean cosine distance [count] to the nearest photos.

    The probabilities are those of a logistic regression on the `features` [count, n], trained in
    `FOLDS` folds, times the votes of the `NEIGHBORS` nearest photos, plus one. `labels` [count]
    are indices of classes. Photos of one of the `groups` [count], which are duplicates, tell
    nothing about each other.
    """
    points = _components(features, seed)
    emit(Progress("comparing labels", 0, 2, unit="parts"))
    votes, distances = _neighbors(points, labels, groups)
    emit(Progress("comparing labels", 1, 2, unit="parts"))
    probabilities = _regression(points, labels, groups, seed) * (votes + 1)
    emit(Progress("comparing labels", 2, 2, unit="parts"))
    return probabilities / probabilities.sum(axis=1, keepdims=True), distances


def _components(features: NDArray[np.float32], seed: int) -> Points:
    """Standardized features on their first principal components."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    scaled = StandardScaler().fit_transform(features.astype(np.float64))
    count = min(COMPONENTS, *scaled.shape)
    return PCA(count, random_state=seed).fit_transform(scaled)


def _regression(points: Points, labels: Labels, groups: Groups, seed: int) -> Probabilities:
    """Of each photo, by a logistic regression that was trained on other folds."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    found = np.zeros((len(labels), int(labels.max()) + 1))
    fold = fill(labels.tolist(), groups, [1 / FOLDS] * FOLDS, seed=seed)
    with threadpool_limits(1):  # between its small products, two threads would wait for each other
        for number in np.unique(fold):
            train, held = fold != number, fold == number
            model: Any = LogisticRegression(C=STRENGTH, max_iter=1000)
            model.fit(points[train], labels[train])
            found[np.ix_(held, model.classes_)] = model.predict_proba(points[held])
    return found


def _neighbors(
    points: Points, labels: Labels, groups: Groups
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Votes [count, classes] of the nearest photos, and the mean distance [count] to them."""
    ways = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    count = min(NEIGHBORS, len(labels) - 1)
    votes = np.zeros((len(labels), int(labels.max()) + 1))
    distances = np.zeros(len(labels))
    for start in range(0, len(ways), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(ways)))
        alike = ways[rows] @ ways.T
        alike[groups[rows, None] == groups] = -1.0  # itself, and its duplicates
        nearest = np.argpartition(-alike, count - 1, axis=1)[:, :count]
        np.add.at(votes, (rows[:, None], labels[nearest]), 1)
        distances[rows] = 1 - np.take_along_axis(alike, nearest, axis=1).mean(axis=1)
    return votes, distances
