"""First weights of a network that Keras builds."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.models.from_keras.random_weights import draw, undrawn

layers, initializers = keras.layers, keras.initializers
Scaled = initializers.VarianceScaling


def build() -> keras.Model:
    """With dropout, batch norm, and names that Keras chooses."""
    image = keras.Input((8, 8, 3))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(image))
    return keras.Model(image, layers.Dropout(0.5)(layers.Conv2D(4, 3)(x)))


def weights(seed: int | None) -> dict[str, np.ndarray]:
    model = undrawn(build)
    draw(model.variables, seed)
    return {variable.path: np.asarray(variable.value) for variable in model.variables}


def test_weights_and_names_are_a_function_of_the_seed():
    """Whatever was built before in the process."""
    first, again, other = weights(1), weights(1), weights(2)
    assert list(first) == [
        "conv2d/kernel", "conv2d/bias", "batch_normalization/gamma", "batch_normalization/beta",
        "batch_normalization/moving_mean", "batch_normalization/moving_variance",
        "conv2d_1/kernel", "conv2d_1/bias", "seed_generator/seed_generator_state",
    ]  # fmt: skip
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
    changed = {name for name in first if (first[name] != other[name]).any()}
    assert changed == {"conv2d/kernel", "conv2d_1/kernel", "seed_generator/seed_generator_state"}


def test_without_a_seed_all_is_zero():
    """To be replaced."""
    assert not any(values.any() for values in weights(None).values())


def test_nothing_of_the_host_program_changes():
    """Its random numbers, the names that Keras gives next, and its precision."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        random.seed(7)
        expected = random.random()
        random.seed(7)
        before = layers.Conv2D(1, 1).name
        model = undrawn(build)
        after = layers.Conv2D(1, 1).name
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    number = int(before.partition("_")[2] or 0)
    assert after == f"conv2d_{number + 1}"
    assert random.random() != expected  # the two layers above drew from it
    assert {layer.compute_dtype for layer in model.layers[1:]} == {"float32"}


def test_half_precision_is_that_of_the_network_alone():
    """Weights stay in float32."""
    model = undrawn(build, precision="bfloat16")
    assert {layer.compute_dtype for layer in model.layers[1:]} == {"bfloat16"}
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}


@pytest.mark.parametrize(
    ("initializer", "deviation"),
    [
        (initializers.GlorotUniform(), math.sqrt(2 / (9 * (16 + 64)))),
        (initializers.HeNormal(), math.sqrt(2 / (9 * 16))),
        (Scaled(2.0, "fan_out", "truncated_normal"), math.sqrt(2 / (9 * 64))),
        (
            Scaled(1.0, "fan_in", "untruncated_normal"),
            math.sqrt(1 / (9 * 16)),
        ),
        (initializers.RandomNormal(stddev=0.3), 0.3),
    ],
)
def test_values_have_the_distribution_of_their_initializer(initializer, deviation):
    """Glorot & Bengio 2010 and He et al. 2015; one that is not known here is asked itself."""

    def layer() -> keras.Layer:
        made = layers.Conv2D(64, 3, kernel_initializer=initializer)
        made.build((None, 8, 8, 16))
        return made

    kernel = undrawn(layer).variables[0]
    draw([kernel], 3)
    values = np.asarray(kernel.value)
    assert values.mean() == pytest.approx(0, abs=0.03 * deviation)
    assert values.std() == pytest.approx(deviation, rel=0.03)
    if "Uniform" in type(initializer).__name__:
        assert np.abs(values).max() <= np.float32(deviation * math.sqrt(3))
