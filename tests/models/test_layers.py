"""Keras' own layers, faster on CPUs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.models.layers import Conv2D, MaxPooling2D
from support.convolutions import error


def tiny_vgg(layer):
    """Two blocks; 16 px, so that patches, Winograd, stock and taps all take part."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((16, 16, 3))
    for number, (channels, pool) in enumerate(((16, 1), (16, 4), (16, 2), (16, 2)), 1):
        x = layer(channels, 3, padding="same", activation="relu", name=f"conv{number}")(x)
        x = keras.layers.MaxPooling2D(pool, name=f"pool{number}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    return keras.Model(inputs, keras.layers.Dense(4, name="predictions")(x))


def loss_and_gradients(model, x, y):
    def loss(weights):
        logits, _ = model.stateless_call(weights, [], x, training=True)
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(y)), y])

    return jax.jit(jax.value_and_grad(loss))([v.value for v in model.trainable_variables])


def test_a_small_vgg_has_the_stock_layers_loss_and_gradients():
    """One training step's loss and every gradient agree to 1e-4."""
    x = np.random.default_rng(0).random((6, 16, 16, 3), np.float32)
    y = np.arange(6) % 4
    theirs, their_gradients = loss_and_gradients(tiny_vgg(keras.layers.Conv2D), x, y)
    ours, our_gradients = loss_and_gradients(tiny_vgg(Conv2D), x, y)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        assert error(mine, other) < 1e-4


# Keras 3.15 saves through the `__array__` that numpy 2 deprecates, and warns at every load.
@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_layer_has_the_configuration_and_the_weights_of_conv2d(tmp_path):
    """A saved model loads again, and its weights load into plain Conv2D layers, and back."""
    fast, plain = tiny_vgg(Conv2D), tiny_vgg(keras.layers.Conv2D)
    assert fast.layers[1].get_config() == plain.layers[1].get_config()
    assert [v.path for v in fast.weights] == [v.path for v in plain.weights]
    x = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    fast.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again.layers[1]) is Conv2D
    np.testing.assert_array_equal(again(x), fast(x))
    fast.save_weights(tmp_path / "m.weights.h5")
    plain.load_weights(tmp_path / "m.weights.h5")
    assert error(plain(x), fast(x)) < 1e-5


def test_fit_lowers_the_loss_in_mixed_precision():
    """`model.fit` compiles and learns in bfloat16, and weights stay float32."""
    policy = "mixed_bfloat16"
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 3))
    x = Conv2D(16, 3, padding="same", activation="relu", dtype=policy)(inputs)
    x = Conv2D(16, 3, padding="same", activation="relu", dtype=policy)(x)
    x = keras.layers.GlobalAveragePooling2D(dtype=policy)(x)
    model = keras.Model(inputs, keras.layers.Dense(2, dtype="float32")(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    y = np.arange(16) % 2
    images = (
        np.random.default_rng(0).random((16, 12, 12, 3), np.float32)
        * (0.2 + y)[:, None, None, None]
    )
    losses = model.fit(images, y, epochs=8, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert {v.dtype for v in model.trainable_variables} == {"float32"}


@pytest.mark.parametrize(
    "arguments",
    [{"strides": 2, "padding": "same"}, {"padding": "valid"}, {"dilation_rate": 2}, {"groups": 2}],
)
def test_a_layer_of_another_geometry_is_the_stock_layer(arguments):
    """Strides, dilation, groups or no padding: Conv2D's own operation, to the last bit."""
    x = np.random.default_rng(0).random((2, 14, 14, 4), np.float32)
    fast, plain = Conv2D(6, 3, **arguments), keras.layers.Conv2D(6, 3, **arguments)
    fast.build(x.shape)
    plain.build(x.shape)
    for mine, other in zip(fast.weights, plain.weights, strict=True):
        other.assign(mine.value)
    np.testing.assert_array_equal(fast(x), plain(x))


@pytest.mark.parametrize(
    "options", [{"pool_size": 3}, {"strides": 1}, {"padding": "same"}, {"pool_size": 2}]
)
def test_max_pooling_of_any_options_is_that_of_keras(options):
    """Ours applies to 2x2 windows alone, and is Keras' own for others."""
    x = np.random.default_rng(0).normal(size=(2, 7, 8, 3)).astype(np.float32)
    ours, theirs = MaxPooling2D(**options), keras.layers.MaxPooling2D(**options)
    np.testing.assert_array_equal(ours(x), theirs(x))
    assert ours.compute_output_shape(x.shape) == theirs.compute_output_shape(x.shape)
