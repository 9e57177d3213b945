"""The optimizers by name, against their closed forms; and what a checkpoint keeps of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvgg_jax.core.config import SETTINGS
from kvgg_jax.core.errors import UsageError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import Batch, TrainState
from kvgg_jax.core.tables.optim import OptimConfig, Optimizer
from kvgg_jax.runs.checkpoint import Checkpoints
from kvgg_jax.training.ema import with_average
from kvgg_jax.training.optimizers import (
    OPTIMIZERS,
    build_optimizer,
    rates_of,
    ready_optimizer,
    slot_names,
)
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


# The others

IMAGES = np.array([[[[255, 51, 0]]], [[[0, 102, 255]]]], np.uint8)
BATCH = Batch(IMAGES, np.array([0, 1], np.int32), np.ones(2, np.float32))
NEEDS: dict[str, dict[str, Any]] = {"adamw": {"weight_decay": 0.1}, "sgd": {"momentum": 0.9}}


def own(rates: Any) -> keras.Optimizer:
    """Without a name, so Keras numbers it across the process."""
    return Own(rates)


class Own(keras.optimizers.Nadam):
    """A caller's."""


def built(name: str, **optim: Any) -> tuple[keras.Model, keras.Optimizer]:
    """A network and its optimizer."""
    model, needs = linear(), NEEDS.get(name, {})
    if name == "own":
        return model, build_optimizer(OptimConfig(**optim), model, build=own)
    return model, build_optimizer(OptimConfig(**{"optimizer": name, **needs, **optim}), model)


def moves(name: str, steps: int = 1, **optim: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    """The gradient of kernel and bias, [4, 2], at the first step; how far each step moved them."""
    model, optimizer = built(name, schedule="constant", **optim)
    state, step = init_state(model, optimizer), jax.jit(make_train_step(model, optimizer))

    def weights() -> np.ndarray:
        return np.vstack([state.params["out/kernel"], state.params["out/bias"]]).astype(np.float64)

    found, x = [weights()], np.append(IMAGES.reshape(2, 3) / 255, np.ones((2, 1)), axis=1)
    odds = np.exp(x @ found[0])
    wrong = odds / odds.sum(axis=1, keepdims=True) - np.eye(2)
    for _ in range(steps):
        state, _ = step(state, zero_tally(), BATCH)
        found.append(weights())
    return x.T @ wrong / 2, list(np.diff(found, axis=0))


def test_momentum_adds_a_share_of_the_step_before():
    """With so small a rate, the gradient is the same in both steps."""
    gradient, (first, second) = moves("sgd", 2, lr=1e-3)
    close = {"rtol": 1e-2, "atol": 1e-6}
    np.testing.assert_allclose(first, -1e-3 * gradient, **close)
    np.testing.assert_allclose(second, -1.9e-3 * gradient, **close)


def test_nesterov_takes_the_step_after_as_well():
    gradient, (moved,) = moves("sgd", lr=1e-3, nesterov=True)
    np.testing.assert_allclose(moved, -1.9e-3 * gradient, rtol=1e-2, atol=1e-6)


def test_lion_takes_the_sign_of_the_gradient():
    gradient, (moved,) = moves("lion", lr=1e-3)
    np.testing.assert_allclose(moved, -1e-3 * np.sign(gradient), rtol=1e-3)


@pytest.mark.parametrize("norm", [0.01, 100.0])
def test_a_gradient_above_the_norm_is_scaled_down_to_it_and_one_below_is_not(norm):
    """The norm is that of all weights together."""
    gradient, (moved,) = moves("sgd", lr=1.0, clip_norm=norm)
    scale = min(1, norm / np.linalg.norm(gradient))
    np.testing.assert_allclose(moved, -scale * gradient, rtol=1e-3, atol=1e-6)


def test_each_name_that_a_config_takes_has_its_optimizer():
    """Those of Keras, in lower case; and it is given the settings that are for it alone."""
    assert tuple(OPTIMIZERS) == get_args(Optimizer)
    assert [made.__name__.lower() for made in OPTIMIZERS.values()] == [*OPTIMIZERS]
    users = {
        key: one.used_by["optimizer"] for key, one in SETTINGS.items() if "optimizer" in one.used_by
    }
    assert users == {"optim.momentum": ("sgd", "rmsprop"), "optim.nesterov": ("sgd",)}
    for name in ("sgd", "rmsprop"):
        assert built(name, momentum=0.5)[1].momentum == 0.5


@pytest.mark.parametrize("name", [*OPTIMIZERS, "own"])
def test_the_step_after_a_resume_is_the_step_that_was_never_interrupted(name, tmp_path: Path):
    """The slots go through a checkpoint by names that the next process makes again, beside the
    averages of the weights."""
    model, optimizer = built(name, lr=0.1, clip_norm=1.0)
    keys, order = slot_names(optimizer), ["out/kernel", "out/bias"]
    apply = jax.jit(optimizer.stateless_apply)

    def step(state: TrainState, kernel: Any) -> TrainState:
        slots, params = [state.opt_state[k] for k in keys], [state.params[k] for k in order]
        params, slots = apply(slots, [jnp.float32(kernel), jnp.ones(2)], params)
        return state._replace(
            params=dict(zip(order, params, strict=True)),
            opt_state={**state.opt_state, **dict(zip(keys, slots, strict=True))},
        )

    begun, first = with_average(init_state(model, optimizer)), np.ones((3, 2))
    state, second = step(begun, first), -0.01 * np.arange(6).reshape(3, 2)
    again = with_average(init_state(*built(name)))  # as a resume does; Keras numbers anew
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_last(state)
        checkpoints.wait()
        restored, _ = checkpoints.load_last(again)
    whole, resumed = step(state, second), step(restored, second)
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)
    without_slots = step(begun._replace(params=state.params), second)
    assert (without_slots.params["out/kernel"] != whole.params["out/kernel"]).any()


def test_slots_have_the_names_that_earlier_runs_saved():
    """Those of Keras' Adam; what has no name of its own is numbered."""
    assert set(slot_names(built("adam")[1])) == {
        "adam/iteration",
        "adam/out_kernel_momentum",
        "adam/out_bias_momentum",
        "adam/out_kernel_velocity",
        "adam/out_bias_velocity",
    }
    assert set(slot_names(built("adafactor")[1])) == {
        "adafactor/iteration",
        "adafactor/kernel",
        "adafactor/kernel_2",
        "adafactor/variable",
        "adafactor/variable_2",
        "adafactor/out_kernel_velocity",
        "adafactor/out_bias_velocity",
    }


def test_what_is_no_optimizer_or_scales_the_loss_is_refused():
    """The training step takes the gradient of the loss as it is."""
    for given, message in (
        (lambda rates: "sgd", "`optimizer` must return an optimizer of Keras, not 'sgd'."),
        (
            lambda rates: keras.optimizers.LossScaleOptimizer(own(rates), name="scaled"),
            "The optimizer scaled scales the loss, which is not supported: leave that out. "
            "Weights and gradients have 32 bits in both precisions.",
        ),
    ):
        with pytest.raises(UsageError) as caught:
            build_optimizer(RECIPE, linear(), build=given)
        assert str(caught.value) == message


def test_a_callers_optimizer_is_built_once_and_for_one_network():
    """To build it again would give it slots twice."""
    model, optimizer = linear(), keras.optimizers.Adam(0.5)
    assert ready_optimizer(optimizer, model) is optimizer
    names = slot_names(optimizer)
    assert len(names) == 2 + 2 * 2
    assert slot_names(ready_optimizer(optimizer, model)) == names
    for given, other, message in (
        ("sgd", model, "`optimizer` must be an optimizer of Keras, not 'sgd'."),
        (
            optimizer,
            linear(),
            f"The optimizer {optimizer.name} was built for other variables than those of this "
            "model: make a new one.",
        ),
    ):
        with pytest.raises(UsageError) as caught:
            ready_optimizer(given, other)
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (0.5, [0.5, 0.5]),
        (lambda: 0.25, [0.25, 0.25]),
        (keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5), [1.0, 0.125]),
    ],
    ids=["number", "function", "schedule"],
)
def test_the_rate_of_any_step_is_known_before_it(rate, expected):
    """Whatever step the optimizer itself is at."""
    rates = rates_of(keras.optimizers.SGD(rate))
    assert [rates(step) for step in (0, 3)] == expected
