"""The rule that names labels as probably wrong."""

from __future__ import annotations

import numpy as np

from kvgg_jax.evaluation.label_audit.label_issues import (
    calibrate_on_labels,
    find_label_issues,
    label_odds,
)


def test_odds_are_those_of_the_best_other_class() -> None:
    """Below 1 where the label is the most probable class."""
    probabilities = np.array([[0.8, 0.15, 0.05], [0.8, 0.15, 0.05], [0.25, 0.25, 0.5]])
    assert np.allclose(label_odds(np.array([0, 2, 2]), probabilities), [0.15 / 0.8, 16, 0.5])


def test_a_label_is_named_from_ten_times_the_probability_on_the_surest_first() -> None:
    """Equal ones in the order of the photos; a probability of 0 is no infinity."""
    probabilities = np.array(
        [[0.9, 0.1], [0.91, 0.09], [0.95, 0.05], [0.09, 0.91], [1.0, 0.0], [0.91, 0.09]]
    )
    labels = np.array([1, 1, 1, 0, 1, 1])
    assert find_label_issues(labels, probabilities).tolist() == [4, 2, 1, 3, 5]


def test_calibration_makes_no_probability_surer() -> None:
    """However right they are; where a model is too sure, it makes them less extreme."""
    labels = np.arange(30) % 3
    probabilities = np.full((30, 3), 0.02)
    probabilities[np.arange(30), labels] = 0.96
    assert np.allclose(calibrate_on_labels(labels, probabilities), probabilities)
    labels[:10] = (labels[:10] + 1) % 3
    calibrated = calibrate_on_labels(labels, probabilities)
    assert np.allclose(calibrated.max(axis=1), 2 / 3, atol=0.01)  # as many are right


def drawn(accuracy: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels of a thousand photos of four classes, ten of them wrong, and a model that is always
    sure and right as often as that."""
    rng, rows = np.random.default_rng(0), np.arange(1000)
    true = rng.integers(0, 4, 1000)
    predicted = np.where(rng.random(1000) < accuracy, true, (true + 1) % 4)
    labels = np.where(rows < 10, (true + 2) % 4, true)
    logits = rng.uniform(0, 1, (1000, 4))
    logits[rows, predicted] += rng.uniform(5, 7, 1000)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, probabilities


def test_a_model_that_is_seldom_wrong_names_the_wrong_labels() -> None:
    """It is sure, and may be."""
    labels, probabilities = drawn(1.0)
    named = find_label_issues(labels, calibrate_on_labels(labels, probabilities))
    assert len({*named.tolist()} & {*range(10)}) >= 9
    assert len(named) <= 10


def test_a_model_that_is_often_wrong_names_few_photos() -> None:
    """Without calibration, it would name all that it mistakes: a third."""
    labels, probabilities = drawn(2 / 3)
    assert len(find_label_issues(labels, probabilities)) > 300
    assert len(find_label_issues(labels, calibrate_on_labels(labels, probabilities))) < 10
