"""The moving average of the weights against its closed form; test_resume.py has runs with one."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import Batch, TrainState
from kvgg_jax.core.tables.optim import OptimConfig
from kvgg_jax.training.ema import make_averaging, with_average, with_ema_weights
from kvgg_jax.training.optimizers import build_optimizer
from kvgg_jax.training.step import init_state, make_train_step, zero_tally


@functools.cache
def trajectory(count: int, decay: float | None) -> list[TrainState]:
    """The states of a network with batch norm and dropout, step by step, the first one left out."""
    inputs = keras.Input((2, 2, 3))
    x = keras.layers.BatchNormalization(momentum=0.5, name="bn")(inputs)
    x = keras.layers.Dropout(0.5, seed=1)(keras.layers.Flatten()(x))
    first = keras.initializers.GlorotUniform(seed=1)
    model = keras.Model(inputs, keras.layers.Dense(2, kernel_initializer=first, name="out")(x))
    optimizer = build_optimizer(OptimConfig(lr=0.1), model)
    state, step = init_state(model, optimizer), make_train_step(model, optimizer)
    if decay is not None:
        state, step = with_average(state), make_averaging(step, decay)
    step, rng, found = jax.jit(step), np.random.default_rng(0), []
    for _ in range(count):
        images = rng.integers(0, 256, (4, 2, 2, 3), np.uint8)
        batch = Batch(images, rng.integers(0, 2, 4, np.int32), np.ones(4, np.float32))
        state, _ = step(state, zero_tally(), batch)
        found.append(state)
    return found


@pytest.mark.parametrize("name", ["out/kernel", "out/bias", "bn/gamma", "bn/moving_mean"])
def test_the_average_is_that_of_its_formula(name):
    """d = min(0.3, (1 + step) / (10 + step)), 0 at first; for weights and statistics alike."""
    found = trajectory(8, 0.3)
    expected = np.zeros(())
    for step, state in enumerate(found):
        d = 0.0 if step == 0 else min(0.3, (1 + step) / (10 + step))
        value = np.asarray({**state.params, **state.model_state}[name], np.float64)
        expected = d * expected + (1 - d) * value
        escape_name = with_ema_weights(state)
        average = np.asarray({**escape_name.params, **escape_name.model_state}[name])
        np.testing.assert_allclose(average, expected, rtol=1e-5, atol=1e-7)
    assert np.abs(average - value).max() > 1e-4  # it is not the last value


def test_the_first_weights_do_not_count_and_early_ones_are_soon_forgotten():
    """A constant decay of 0.999 would be mostly the first weights after 20 steps."""
    found = trajectory(20, 0.999)
    for state in (found[0], found[-1]):
        seen = [np.asarray(s.params["out/kernel"]) for s in found[: int(state.step)]]
        average = np.asarray(with_ema_weights(state).params["out/kernel"])
        late = np.mean(seen[-10:], axis=0)
        assert np.abs(average - late).max() <= 0.5 * np.abs(seen[0] - late).max()
    np.testing.assert_array_equal(
        with_ema_weights(found[0]).params["out/kernel"], found[0].params["out/kernel"]
    )


def test_training_goes_on_with_the_weights_themselves():
    """The average is an onlooker: with and without it the weights take the same way."""
    for plain, averaged in zip(trajectory(5, None), trajectory(5, 0.9), strict=True):
        for name, value in plain.params.items():
            np.testing.assert_allclose(averaged.params[name], value, rtol=1e-5, atol=1e-6)
        assert plain.opt_state.keys() < averaged.opt_state.keys()


def test_a_dropout_seed_is_not_averaged():
    """It is no quantity; and a state without averages is evaluated as it is."""
    plain, averaged = trajectory(1, None)[0], trajectory(1, 0.9)[0]
    assert with_ema_weights(plain) == plain
    (seed,) = (name for name in plain.model_state if name.startswith("seed"))
    assert with_ema_weights(averaged).model_state[seed] is averaged.model_state[seed]
    kept = averaged.opt_state.keys() - plain.opt_state.keys()
    assert f"average/{seed}" not in kept
    assert len(kept) == len(plain.params) + len(plain.model_state) - 1


def test_what_is_frozen_is_not_averaged():
    """Neither its weights nor its statistics: in float32 the mean of a constant is not quite it."""
    (state,) = trajectory(1, None)
    params = {name: value for name, value in state.params.items() if not name.startswith("bn/")}
    frozen = {name: value for name, value in state.params.items() if name.startswith("bn/")}
    part = state._replace(params=params, model_state={**state.model_state, **frozen})
    kept = with_average(part).opt_state.keys() - part.opt_state.keys()
    assert kept == {"average/out/kernel", "average/out/bias"}
