"""The strength of L2: that of scikit-learn's own search, in fewer fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold

from kvgg_jax.training.transfer.logistic_regression import FOLDS, STRENGTHS, WORSE, fit


def clouds(spread: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """120 points in 30 dimensions about one center for each of three classes."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    return rng.normal(size=(3, 30))[labels] + rng.normal(0, spread, (120, 30)), labels


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("spread", [1.0, 3.0, 30.0])
def test_it_chooses_as_scikit_learn_does(spread: float, counted: bool) -> None:
    """By the cross-entropy on held-out folds."""
    features, labels = clouds(spread)
    counts = np.resize([1.0, 5.0, 0.5, 2.0], len(labels)) if counted else None
    own, is_exact = fit(
        features, labels, counts, balanced=False, seed=3, before_each=lambda number: None
    )
    theirs: Any = LogisticRegressionCV(
        Cs=STRENGTHS,
        cv=StratifiedKFold(FOLDS, shuffle=True, random_state=3),
        scoring="neg_log_loss",
        l1_ratios=(0,),
        use_legacy_attributes=False,
        max_iter=10_000,
        tol=1e-6,
    )
    theirs.fit(features, labels, sample_weight=counts)
    assert is_exact
    assert own.C == theirs.C_
    np.testing.assert_allclose(
        own.predict_proba(features), theirs.predict_proba(features), atol=1e-3
    )


def test_it_does_not_try_what_can_only_be_worse() -> None:
    """Noise asks for strong L2: the weak ones, which take longest, are left out."""
    features, labels = clouds(30.0)
    tried: list[int] = []
    own, _ = fit(features, labels, balanced=False, seed=3, before_each=tried.append)
    best = STRENGTHS.tolist().index(own.C)
    assert tried == [*range(best + 1 + WORSE)]
    assert len(tried) < len(STRENGTHS)


def test_it_can_be_stopped_between_two_strengths() -> None:
    """By an error of `before_each`."""

    def stop(number: int) -> None:
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(*clouds(1.0), balanced=False, seed=3, before_each=stop)
