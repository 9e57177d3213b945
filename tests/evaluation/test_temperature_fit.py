"""Fit a temperature to held-out photos."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from kvgg_jax.evaluation.temperature_fit import cross_entropy, cross_fit, fit_temperature, losses
from kvgg_jax.inference.temperature import (
    HIGHEST,
    LOWEST,
    apply_temperature,
)


def honest(count: int, classes: int = 4) -> tuple[Any, Any]:
    """Probabilities, and classes drawn by them."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (count, classes))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    true = np.array([rng.choice(classes, p=row) for row in probabilities])
    return true, probabilities


def test_a_probability_of_zero_is_a_finite_loss() -> None:
    """As small as the device can tell from 0: -log of 2 ** -126."""
    one = losses(np.array([1]), np.array([[1.0, 0.0]], np.float32))
    assert one == pytest.approx([126 * np.log(2)])


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(factor: float) -> None:
    """Logits made `factor` times as large as honest ones, in float32."""
    true, probabilities = honest(4000)
    spoilt = apply_temperature(probabilities, 1 / factor).astype(np.float32)
    assert fit_temperature(true, spoilt) == pytest.approx(factor, rel=0.05)


def test_the_fit_is_the_minimum_of_the_cross_entropy() -> None:
    """As a general minimiser finds it."""
    true, probabilities = honest(200)
    best = minimize_scalar(
        lambda t: cross_entropy(true, apply_temperature(probabilities, t)),
        bounds=(0.1, 10),
        method="bounded",
    )
    assert fit_temperature(true, probabilities) == pytest.approx(best.x, rel=1e-4)


def test_without_a_mistake_there_is_no_minimum() -> None:
    """The surer the better: the lowest temperature is all that can be said."""
    assert fit_temperature(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]])) == pytest.approx(
        LOWEST
    )


def test_cross_fitting_keeps_a_picture_out_of_its_own_temperature() -> None:
    """Each fold's pictures are at the temperature that the rest gives."""
    true, probabilities = honest(60)
    softened, temperatures = cross_fit(true, probabilities)
    assert len(temperatures) == 5
    used = np.array([np.log(soft.max() / soft.min()) for soft in softened]) / np.array(
        [np.log(row.max() / row.min()) for row in probabilities]
    )
    for temperature in temperatures:
        inside = np.isclose(used, 1 / temperature, rtol=1e-9)
        assert inside.sum() == 12
        assert fit_temperature(true[~inside], probabilities[~inside]) == temperature


def test_the_mistakes_are_dealt_to_all_folds() -> None:
    """Two mistakes, two folds, one in each: none is fitted without any."""
    true = np.array([0] * 10 + [1] * 2)
    probabilities = np.array([[0.8, 0.2]] * 12)
    _, temperatures = cross_fit(true, probabilities)
    # 5 of 6 are right in each: the odds of 4 become those of 5
    assert temperatures == pytest.approx([np.log(4) / np.log(5)] * 2)


def test_what_float32_cuts_off_does_not_show_at_the_highest_temperature() -> None:
    """Below the smallest float32 a probability is 0, and its logit is gone."""
    for gap in (90.0, 300.0, 1e4):
        logits = np.array([[gap, 0, 0, 0]])
        shares = np.exp(logits - logits.max())
        given = (shares / shares.sum()).astype(np.float32)
        soft = np.exp((logits - logits.max()) / HIGHEST)
        assert np.abs(apply_temperature(given, HIGHEST) - soft / soft.sum()).max() < 1e-4
