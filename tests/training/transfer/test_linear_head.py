"""A linear head is solved: the optimum of a logistic regression.

Runs that do so are in `integration/test_solved_head.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kvgg_jax.models.heads import LAST, STANDARDIZED
from kvgg_jax.training.transfer import logistic_regression
from kvgg_jax.training.transfer.linear_head import Solution, solve
from kvgg_jax.training.transfer.logistic_regression import STRENGTHS

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


def logits(found: Solution, features: NDArray[Any]) -> NDArray[Any]:
    """As the layers of the head compute them."""
    mean, variance = (found.weights[f"{STANDARDIZED}/moving_{x}"] for x in ("mean", "variance"))
    scaled = (features - mean) / np.sqrt(variance + 1e-7)
    return scaled @ found.weights[f"{LAST}/kernel"] + found.weights[f"{LAST}/bias"]


def clouds(classes: int, count: int = 60) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Features about a center per class, far from 0, and the last one always the same."""
    rng = np.random.default_rng(0)
    labels = np.arange(count, dtype=np.int32) % classes
    features = rng.normal(5, 2, (classes, 6))[labels] + rng.normal(0, 2, (count, 6))
    return np.c_[features, np.ones(count)].astype(np.float32), labels


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_the_logistic_regression_of_scikit_learn_on_standardized_features(
    classes: int, counted: bool, balanced: bool
) -> None:
    """At the strength that it has chosen."""
    features, labels = clouds(classes)
    features, labels = features[:-20], labels[:-20]
    counts = np.resize(np.float32([1, 5, 0.5]), len(labels)) if counted else None
    found = solve(features, labels, classes=classes, seed=0, balanced=balanced, counts=counts)
    weight = "balanced" if balanced else None
    head = LogisticRegression(C=found.strength, class_weight=weight, max_iter=1000, tol=1e-6)
    expected = make_pipeline(StandardScaler(), head)
    expected.fit(features, labels, logisticregression__sample_weight=counts)
    own = np.exp(logits(found, features))
    np.testing.assert_allclose(
        own / own.sum(axis=1, keepdims=True), expected.predict_proba(features), atol=1e-3
    )


def test_the_strength_suits_what_the_features_can_say() -> None:
    """Strong L2 for labels that are noise, weak L2 for clear ones."""
    features, labels = clouds(3)
    noise = np.random.default_rng(1).permutation(labels)
    weak, strong = (solve(features, of, classes=3, seed=0).strength for of in (labels, noise))
    assert {weak, strong} <= {*STRENGTHS.tolist()}
    assert strong < 0.01 < weak


def test_classes_with_one_image_or_none_are_solved_too() -> None:
    """Without cross-validation; a class without an image is hardly ever predicted."""
    features, labels = clouds(4, count=4)
    seen = labels != 2
    found = solve(features[seen], labels[seen], classes=4, seed=0)
    answers = logits(found, features[seen])
    assert answers.argmax(axis=1).tolist() == [0, 1, 3]
    assert np.isfinite(answers).all()


def test_a_solution_short_of_the_optimum_is_one_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where L-BFGS has to stop early."""
    features, labels = clouds(3)
    assert solve(features, labels, classes=3, seed=0).is_exact
    monkeypatch.setattr(logistic_regression, "MOST_STEPS", 2)
    assert not solve(features, labels, classes=3, seed=0).is_exact
