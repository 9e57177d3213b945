"""The training loss, against numpy; and that nothing but training sees it."""

from __future__ import annotations

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvgg_jax.core.errors import UsageError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import Batch
from kvgg_jax.core.tables.optim import OptimConfig
from kvgg_jax.training.losses import LOSSES, cross_entropy, make_loss
from kvgg_jax.training.optimizers import build_optimizer
from kvgg_jax.training.step import init_state, make_eval_step, make_train_step, zero_tally

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 3, (6, 4)).astype(np.float32)
LABELS = RNG.integers(0, 4, 6, np.int32)


def smoothed(smoothing: float) -> OptimConfig:
    return OptimConfig(label_smoothing=smoothing)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    z = logits.astype(np.float64)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def test_without_smoothing_it_is_the_plain_cross_entropy():
    """The very function, so that a run without it keeps every bit."""
    assert make_loss(OptimConfig()) is cross_entropy
    expected = -log_softmax(LOGITS)[np.arange(6), LABELS]
    np.testing.assert_allclose(cross_entropy(LABELS, LOGITS), expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.1, 0.9])
def test_smoothing_gives_a_share_of_each_label_to_all_classes(smoothing):
    """(1 - s) of one class and s / 4 of each of four."""
    shares = (1 - smoothing) * np.eye(4)[LABELS] + smoothing / 4
    expected = -(shares * log_softmax(LOGITS)).sum(axis=1)
    np.testing.assert_allclose(make_loss(smoothed(smoothing))(LABELS, LOGITS), expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_class_weight_multiplies_the_loss_of_its_images(smoothing):
    """With and without smoothing; the mean stays one over images, as in Keras."""
    weights = np.float32([0.5, 1, 2, 4])
    weighted = make_loss(smoothed(smoothing), weights)(LABELS, LOGITS)
    expected = weights[LABELS] * make_loss(smoothed(smoothing))(LABELS, LOGITS)
    np.testing.assert_allclose(weighted, expected, rtol=1e-6)


SHARES = np.float32([[0.7, 0.3, 0, 0], [0, 0, 0, 1], [0.25, 0.25, 0.25, 0.25]])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, np.float32([0.5, 1, 2, 4])])
def test_mixed_labels_count_by_their_shares(smoothing, weights):
    """In the cross-entropy, in smoothing, and in the weight of the image."""
    targets = (1 - smoothing) * SHARES + smoothing / 4
    counts = 1 if weights is None else SHARES @ weights
    expected = -counts * (targets * log_softmax(LOGITS[:3])).sum(axis=1)
    np.testing.assert_allclose(
        make_loss(smoothed(smoothing), weights)(SHARES, LOGITS[:3]), expected, rtol=1e-5
    )


def test_a_label_that_is_all_of_one_class_is_that_class():
    """Numbers and shares are two ways to say it."""
    whole = np.eye(4, dtype=np.float32)[LABELS]
    np.testing.assert_allclose(
        cross_entropy(whole, LOGITS), cross_entropy(LABELS, LOGITS), rtol=1e-5
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("weights", [None, np.float32([0.5, 1, 2, 4])])
def test_the_focal_loss_counts_a_photo_less_the_more_certain_it_is(gamma, weights):
    """(1 - p) ** gamma times, of numbers and of shares; a class weight is one factor more."""
    loss = make_loss(OptimConfig(loss="focal", focal_gamma=gamma), weights)
    log_p = log_softmax(LOGITS)
    terms = -((1 - np.exp(log_p)) ** gamma) * log_p
    by_class = np.ones(4) if weights is None else weights
    expected = terms[np.arange(6), LABELS] * by_class[LABELS]
    np.testing.assert_allclose(loss(LABELS, LOGITS), expected, rtol=1e-4)
    mixed = (SHARES * terms[:3]).sum(axis=1) * (SHARES @ by_class)
    np.testing.assert_allclose(loss(SHARES, LOGITS[:3]), mixed, rtol=1e-4)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_focal_loss_has_a_gradient_where_the_network_is_sure(gamma):
    """A probability of 1 is 1 in float32, and a root has no derivative at 0."""
    loss = make_loss(OptimConfig(loss="focal", focal_gamma=gamma))
    sure = np.float32([[200, 0, 0, 0], [0, 200, 0, 0]])
    gradient = jax.grad(lambda logits: loss(np.int32([0, 2]), logits).sum())(sure)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient[0], 0, atol=1e-5)
    np.testing.assert_allclose(gradient[1], [0, 1, -1, 0], atol=1e-5)


def test_a_loss_of_the_callers_is_weighted_too_and_must_be_one_number_per_photo():
    """A mean would count fillers."""
    weights = np.float32([0.5, 1, 2, 4])
    found = make_loss(OptimConfig(), weights, own=lambda y, z: jnp.ones(len(z)))(LABELS, LOGITS)
    np.testing.assert_array_equal(found, weights[LABELS])
    loss = make_loss(OptimConfig(), own=lambda y, z: cross_entropy(y, z).mean())
    with pytest.raises(UsageError) as caught:
        loss(LABELS, LOGITS)
    assert str(caught.value) == (
        "`loss` must return a number per photo, of shape (6,), not (): leave out the mean."
    )


def test_each_name_that_a_config_takes_has_its_loss():
    assert tuple(LOSSES) == get_args(OptimConfig.model_fields["loss"].annotation)


def test_the_training_step_minimises_it_and_evaluation_measures_the_plain_one():
    """The training tally holds the smoothed loss, whose gradient was taken; fillers count not."""
    inputs = keras.Input((1, 1, 3))
    model = keras.Model(inputs, keras.layers.Dense(4, name="out")(keras.layers.Flatten()(inputs)))
    optimizer = build_optimizer(OptimConfig(), model)
    state = init_state(model, optimizer)
    images = RNG.integers(0, 256, (6, 1, 1, 3), np.uint8)
    batch = Batch(images, LABELS, np.float32([1, 1, 1, 1, 0, 0]))
    logits = images.reshape(6, 3) / 255 @ np.asarray(state.params["out/kernel"])
    step = jax.jit(make_train_step(model, optimizer, loss=make_loss(smoothed(0.2))))
    _, trained = step(state, zero_tally(), batch)
    evaluated, _ = make_eval_step(model)(state.params, state.model_state, batch)
    log_p = log_softmax(logits)[:4]
    plain = -log_p[np.arange(4), LABELS[:4]].sum()
    assert float(trained.loss) == pytest.approx(0.8 * plain - 0.05 * log_p.sum(), rel=1e-5)
    assert float(evaluated.loss) == pytest.approx(plain, rel=1e-5)
    assert [float(x) for x in trained[1:]] == [float(x) for x in evaluated[1:]]
