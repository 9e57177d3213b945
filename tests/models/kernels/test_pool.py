"""Max pooling equals Keras', gradients and ties included."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.models.kernels.pool import max_pool2x2
from kvgg_jax.models.layers import MaxPooling2D


def stock(x):
    return keras.ops.max_pool(x, 2, 2, "valid", "channels_last")


@partial(jax.jit, static_argnums=0)
def pullback(pool, x, g):
    out, back = jax.vjp(pool, x)
    return out, back(g)[0]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [(2, 8, 6, 5), (1, 7, 9, 3), (3, 2, 3, 64), (1, 2, 2, 1)])
def test_values_and_gradients_equal_those_of_keras_bit_for_bit(shape, dtype):
    """Odd sides lose their last row and column, whose gradient is 0."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=shape), dtype)
    g = jnp.asarray(rng.normal(size=(shape[0], shape[1] // 2, shape[2] // 2, shape[3])), dtype)
    for ours, theirs in zip(pullback(max_pool2x2, x, g), pullback(stock, x, g), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=16, max_size=16))
def test_of_equal_values_the_first_takes_the_gradient(values):
    x = jnp.array(values, jnp.float32).reshape(1, 4, 4, 1)
    g = jnp.arange(1.0, 5.0).reshape(1, 2, 2, 1)
    for ours, theirs in zip(pullback(max_pool2x2, x, g), pullback(stock, x, g), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "options", [{"pool_size": 3}, {"strides": 1}, {"padding": "same"}, {"pool_size": 2}]
)
def test_the_layer_is_a_drop_in_for_keras_own(options):
    x = np.random.default_rng(0).normal(size=(2, 7, 8, 3)).astype(np.float32)
    ours, theirs = MaxPooling2D(**options), keras.layers.MaxPooling2D(**options)
    np.testing.assert_array_equal(ours(x), theirs(x))
    assert ours.compute_output_shape(x.shape) == theirs.compute_output_shape(x.shape)


def test_no_scatter_is_left_in_the_gradient_on_a_cpu():
    """The scatter of XLA's own gradient is what costs the time and the memory."""
    x, g = jnp.zeros((2, 8, 8, 4)), jnp.zeros((2, 4, 4, 4))

    def program(pool):
        return jax.jit(lambda x, g: jax.vjp(pool, x)[1](g)).lower(x, g).compile().as_text()

    assert "scatter(" in program(stock)
    assert "scatter(" not in program(max_pool2x2)
