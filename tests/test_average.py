"""The moving average of the weights: its closed form, and that a run is judged by it."""

from __future__ import annotations

import functools
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import draw_photos, small_config
from faults import states, timeless

from kvgg_jax.average import judged, make_averaging, with_average
from kvgg_jax.config import OptimConfig
from kvgg_jax.errors import Stopped
from kvgg_jax.inference import evaluate
from kvgg_jax.keras_gate import keras
from kvgg_jax.optimizer import build_optimizer
from kvgg_jax.runs import Run
from kvgg_jax.state import Batch, TrainState
from kvgg_jax.step import init_state, make_train_step, zero_tally
from kvgg_jax.training import TrainResult, resume, train

pytestmark = pytest.mark.usefixtures("thin_network")


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
        shown = judged(state)
        average = np.asarray({**shown.params, **shown.model_state}[name])
        np.testing.assert_allclose(average, expected, rtol=1e-5, atol=1e-7)
    assert np.abs(average - value).max() > 1e-4  # it is not the last value


def test_the_first_weights_do_not_count_and_early_ones_are_soon_forgotten():
    """A constant decay of 0.999 would be mostly the first weights after 20 steps."""
    found = trajectory(20, 0.999)
    for state in (found[0], found[-1]):
        seen = [np.asarray(s.params["out/kernel"]) for s in found[: int(state.step)]]
        average = np.asarray(judged(state).params["out/kernel"])
        late = np.mean(seen[-10:], axis=0)
        assert np.abs(average - late).max() <= 0.5 * np.abs(seen[0] - late).max()
    np.testing.assert_array_equal(
        judged(found[0]).params["out/kernel"], found[0].params["out/kernel"]
    )


def test_training_goes_on_with_the_weights_themselves():
    """The average is an onlooker: with and without it the weights take the same way."""
    for plain, averaged in zip(trajectory(5, None), trajectory(5, 0.9), strict=True):
        for name, value in plain.params.items():
            np.testing.assert_allclose(averaged.params[name], value, rtol=1e-5, atol=1e-6)
        assert plain.opt_state.keys() < averaged.opt_state.keys()


def test_a_dropout_seed_is_not_averaged():
    """It is no quantity; and the state without averages is judged as it is."""
    plain, averaged = trajectory(1, None)[0], trajectory(1, 0.9)[0]
    assert judged(plain) == plain
    (seed,) = (name for name in plain.model_state if name.startswith("seed"))
    assert judged(averaged).model_state[seed] is averaged.model_state[seed]
    kept = averaged.opt_state.keys() - plain.opt_state.keys()
    assert f"average/{seed}" not in kept
    assert len(kept) == len(plain.params) + len(plain.model_state) - 1


class Presses:
    """Ctrl-C after so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory, thin_network: None) -> TrainResult:
    """A run of two epochs of two steps, with dropout and a moving average."""
    folder = tmp_path_factory.mktemp("averaged")
    config = small_config(
        draw_photos(folder / "photos", per_class=6),
        model={"dropout": 0.3},
        optim={"lr": 1e-3},
        train={"ema": 0.9},
    )
    return train(config, out=folder / "runs", name="whole")


def test_best_holds_the_averages_that_validation_saw(averaged):
    """So `evaluate` measures, to the bit, what the history says of the best epoch."""
    last, best = states(averaged.run)
    shown = judged(last)
    if averaged.history.best == averaged.history.epochs[-1]:
        jax.tree.map(np.testing.assert_array_equal, best, (shown.params, shown.model_state))
    assert any((np.asarray(last.params[n]) != best[0][n]).any() for n in best[0])
    found, row = evaluate(averaged.run), averaged.history.best
    assert (found.loss, found.accuracy) == (row.val_loss, row.val_accuracy)


@pytest.mark.parametrize("steps", [1, 3], ids=["within epoch 1", "within epoch 2"])
def test_a_run_with_an_average_that_was_cut_and_resumed_is_the_one_never_cut(
    averaged: TrainResult, tmp_path: Path, steps: int
) -> None:
    """The averages are part of the saved state: not one bit differs."""
    with pytest.raises(Stopped):
        train(Run(averaged.run).config(), out=tmp_path, name="cut", stop=Presses(steps))
    result = resume(tmp_path / "cut")
    assert timeless(result.history) == timeless(averaged.history)
    jax.tree.map(np.testing.assert_array_equal, states(result.run), states(averaged.run))


def test_the_best_averages_are_made_up_for_from_the_last_state(averaged, tmp_path):
    """Where the cut fell between the save of `last` and that of `best`."""
    config = Run(averaged.run).config().with_train(epochs=1)
    result = train(config, out=tmp_path, name="cut")
    (best,) = (result.run / "checkpoints" / "best").iterdir()
    _, weights = states(result.run)
    best.rename(best.with_name("1"))
    Run(result.run).update_info(status="unfinished")
    resume(result.run)
    jax.tree.map(np.testing.assert_array_equal, states(result.run)[1], weights)
