"""Adam and its learning rates, against their closed forms."""

from __future__ import annotations

from typing import get_args

import jax
import numpy as np
import pytest

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import Batch
from kvgg_jax.core.tables.optim import OptimConfig
from kvgg_jax.training.optimizers import SCHEDULES, build_optimizer, build_schedule
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


# Schedules


@pytest.mark.parametrize(
    ("step", "exponent"), [(0, 0), (19, 0), (20, 1), (39, 1), (40, 2), (99, 4), (2000, 100)]
)
def test_the_rate_falls_by_5_percent_every_20_steps(step, exponent):
    """lr * decay_rate ** floor(step / decay_steps), in float32, on the first step and after."""
    rate = float(build_schedule(RECIPE)(step))
    assert rate == pytest.approx(1e-4 * 0.95**exponent, rel=1e-5)
    assert rate == float(build_schedule(RECIPE)(20 * exponent))  # a stair is flat, to the bit
    if exponent < 2:
        assert rate == np.float32(1e-4) * np.float32(0.95) ** np.float32(exponent)


def test_without_stairs_the_rate_falls_at_every_step():
    """lr * decay_rate ** (step / decay_steps)."""
    schedule = build_schedule(OptimConfig(lr=0.1, decay_steps=10, decay_rate=0.5, staircase=False))
    rates = [float(schedule(step)) for step in (0, 5, 10)]
    assert rates == pytest.approx([0.1, 0.1 * 0.5**0.5, 0.05], rel=1e-6)


def test_a_cosine_falls_from_the_first_rate_to_nearly_none_at_the_last_step():
    """lr * (1 + cos(pi * step / steps)) / 2."""
    schedule = build_schedule(OptimConfig(lr=0.1, schedule="cosine"), steps=40)
    rates = [float(schedule(step)) for step in range(40)]
    expected = [0.05 * (1 + np.cos(np.pi * step / 40)) for step in range(40)]
    assert rates == pytest.approx(expected, rel=1e-4)
    assert (rates[0], rates[20]) == pytest.approx((0.1, 0.05))
    assert 0 < rates[-1] < 0.0002


def test_a_constant_rate_is_the_same_at_every_step():
    """To the bit, whatever the decay keys say."""
    schedule = build_schedule(OptimConfig(lr=0.1, schedule="constant", decay_rate=0.5))
    assert {float(schedule(step)) for step in (0, 1, 1000)} == {float(np.float32(0.1))}


@pytest.mark.parametrize("kind", ["exponential", "cosine", "constant"])
def test_a_warm_up_rises_in_a_line_and_the_schedule_begins_after_it(kind):
    """lr * (step + 1) / (warm-up + 1); the first step is not for nothing."""
    settings = OptimConfig(lr=0.1, schedule=kind, decay_steps=2, decay_rate=0.5)
    warm = build_schedule(settings.model_copy(update={"warmup_steps": 4}), steps=24)
    after = build_schedule(settings, steps=20)
    assert [float(warm(step)) for step in range(4)] == pytest.approx([0.02, 0.04, 0.06, 0.08])
    for step in (4, 5, 10, 23):
        assert float(warm(step)) == pytest.approx(float(after(step - 4)), rel=1e-6)
    traced = jax.jit(warm)
    assert [float(traced(step)) for step in (0, 10)] == [float(warm(step)) for step in (0, 10)]


@pytest.mark.parametrize("steps", [None, 4])
def test_a_cosine_without_steps_to_fall_in_is_a_config_error(steps):
    """It could not be told from a rate of 0."""
    with pytest.raises(ConfigError, match=f"A cosine of {steps} steps, a warm-up of 4"):
        build_schedule(OptimConfig(schedule="cosine", warmup_steps=4), steps=steps)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_says_whether_its_rates_depend_on_the_length(name):
    """A run of twice the steps has the same rates up to its middle, or the flag is set."""
    config = OptimConfig(schedule=name, decay_steps=2, warmup_steps=3)
    short, long = (build_schedule(config, steps=steps) for steps in (20, 40))
    same = all(float(short(step)) == float(long(step)) for step in range(20))
    assert SCHEDULES[name].depends_on_length is not same


def test_each_name_that_a_config_takes_has_its_schedule():
    """And none is out of reach."""
    assert tuple(SCHEDULES) == get_args(OptimConfig.model_fields["schedule"].annotation)
