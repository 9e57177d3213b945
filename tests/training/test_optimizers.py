"""Adam, against its closed form."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from kvgg_jax.core.config import OptimConfig
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import Batch
from kvgg_jax.training.optimizers import build_optimizer
from kvgg_jax.training.step import init_state, make_train_step, zero_tally

RECIPE = OptimConfig()


def adam_step(gradient: np.ndarray, *, taken: int, rate: float) -> np.ndarray:
    """Kingma & Ba 2015, section 2, from zero moments after `taken` steps; float64."""
    m, v, t = 0.1 * gradient, 0.001 * gradient**2, taken + 1
    corrected = rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    return -corrected * m / (np.sqrt(v) + 1e-7)


def linear() -> keras.Model:
    """Three inputs, two logits: its gradient can be written down."""
    inputs = keras.Input((1, 1, 3))
    logits = keras.layers.Dense(2, name="out")(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, logits)


@pytest.mark.parametrize(("taken", "rate"), [(0, 1e-4), (19, 1e-4), (20, 0.95e-4), (40, 0.9025e-4)])
def test_a_training_step_is_adam_at_the_decayed_rate(taken, rate):
    """The weights move by numpy's formula at the rate of the stair that the step is on."""
    model = linear()
    optimizer = build_optimizer(RECIPE, model)
    state = init_state(model, optimizer)
    state.opt_state["adam/iteration"] = state.opt_state["adam/iteration"] + taken
    images = np.array([[[[255, 51, 0]]], [[[0, 102, 255]]]], np.uint8)
    batch = Batch(images, np.array([0, 1], np.int32), np.ones(2, np.float32))

    x, kernel = images.reshape(2, 3) / 255, np.asarray(state.params["out/kernel"], np.float64)
    odds = np.exp(x @ kernel)
    wrong = odds / odds.sum(axis=1, keepdims=True) - np.eye(2)
    moved = adam_step(x.T @ wrong / 2, taken=taken, rate=rate)

    new, _ = jax.jit(make_train_step(model, optimizer))(state, zero_tally(), batch)
    # in float32 a weight of 1 is known to 6e-8, and it moves by 1e-4 at most
    np.testing.assert_allclose(new.params["out/kernel"] - kernel, moved, rtol=5e-3, atol=2e-7)
    assert int(new.opt_state["adam/iteration"]) == taken + 1
    assert int(new.step) == 1
    slots = new.opt_state
    np.testing.assert_allclose(
        slots["adam/out_kernel_momentum"], 0.1 * (x.T @ wrong / 2), rtol=1e-5
    )


def test_weight_decay_takes_its_share_of_the_kernels_and_leaves_the_rest_alone():
    """AdamW: what Adam does, and minus rate * weight_decay * kernel; biases do not decay."""
    found = {}
    for decay in (0.0, 0.5):
        model = linear()
        model.set_weights([np.full((3, 2), 2, np.float32), np.full(2, 3, np.float32)])
        optimizer = build_optimizer(OptimConfig(lr=0.1, weight_decay=decay), model)
        state = init_state(model, optimizer)
        images = np.array([[[[255, 51, 0]]], [[[0, 102, 255]]]], np.uint8)
        batch = Batch(images, np.array([0, 1], np.int32), np.ones(2, np.float32))
        new, _ = jax.jit(make_train_step(model, optimizer))(state, zero_tally(), batch)
        found[decay] = new
    plain, decayed = found[0.0].params, found[0.5].params
    np.testing.assert_allclose(decayed["out/kernel"], plain["out/kernel"] - 0.1, atol=1e-6)
    np.testing.assert_array_equal(decayed["out/bias"], plain["out/bias"])
    assert found[0.0].opt_state.keys() == found[0.5].opt_state.keys()


def test_batch_norms_weights_do_not_decay():
    """Its scale of 1 is no excess of weight."""
    inputs = keras.Input((1, 1, 3))
    x = keras.layers.BatchNormalization(name="bn")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, name="out")(keras.layers.Flatten()(x)))
    optimizer = build_optimizer(OptimConfig(weight_decay=0.5), model)
    decays = {v.path: optimizer._use_weight_decay(v) for v in model.trainable_variables}
    assert {path for path, decay in decays.items() if decay} == {"out/kernel"}
    assert len(decays) == 4


def test_adam_has_the_constants_of_keras():
    """beta_1 0.9, beta_2 0.999, epsilon 1e-7: what the write-up ran."""
    optimizer = build_optimizer(RECIPE, linear())
    found = optimizer.beta_1, optimizer.beta_2, optimizer.epsilon, optimizer.amsgrad
    assert found == (0.9, 0.999, 1e-7, False)
