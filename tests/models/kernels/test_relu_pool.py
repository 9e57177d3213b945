"""ReLU and max pooling equal JAX' and Keras' own to the bit, gradients included, at less memory."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import empty_batch
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.core.tables.optim import OptimConfig
from kvgg_jax.models.build import vgg
from kvgg_jax.models.compile import OPTIONS
from kvgg_jax.models.cost import describe, total
from kvgg_jax.models.kernels.relu_pool import max_pool2x2, relu
from kvgg_jax.models.registry import BACKBONES
from kvgg_jax.models.vgg import Vgg
from kvgg_jax.training.optimizers import build_optimizer
from kvgg_jax.training.step import init_state, make_train_step, zero_tally


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5, 4, 2), (8, 7)])
def test_it_equals_jax_with_its_gradient(shape: tuple[int, ...], dtype: str) -> None:
    """To the bit, zeros and NaN included, compiled or not."""
    rng = np.random.default_rng(0)
    x, g = jnp.asarray(rng.normal(size=(2, *shape)).round(1), dtype)
    x = x.at[(0,) * len(shape)].set(0)
    for wrap in (jax.jit, lambda function: function):
        found, expected = (wrap(lambda x, f=f: jax.vjp(f, x)[0])(x) for f in (relu, jax.nn.relu))
        np.testing.assert_array_equal(found, expected)
        down, right = (
            wrap(lambda x, g, f=f: jax.vjp(f, x)[1](g)[0])(x, g) for f in (relu, jax.nn.relu)
        )
        np.testing.assert_array_equal(down, right)
    assert np.isnan(relu(jnp.asarray([[jnp.nan]], dtype))).all()


def test_a_step_keeps_outputs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scratch memory is little more than what `summary` counts as kept; with JAX' ReLU and
    pooling it is 1.6 times as much."""
    monkeypatch.setitem(BACKBONES, "vgg11", Vgg(((32, 32), (32,), (32,), (32,), (32,))))
    config = ModelConfig(arch="vgg11", head="gap")
    model = vgg(config, classes=3, image_size=64, seed=None)
    optimizer = build_optimizer(OptimConfig(), model)
    step = jax.jit(make_train_step(model, optimizer))
    lowered = step.lower(init_state(model, optimizer), zero_tally(), empty_batch(8, 64))
    compiled = lowered.compile(compiler_options=OPTIONS["cpu"])
    layers = describe(config, classes=3, image_size=64)
    kept = total(layers, image_size=64, batch_size=8).activation_bytes
    assert 0.8 * kept < compiled.memory_analysis().temp_size_in_bytes < 1.4 * kept


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


def test_no_scatter_is_left_in_the_gradient_on_a_cpu():
    """The scatter of XLA's own gradient is what costs the time and the memory."""
    x, g = jnp.zeros((2, 8, 8, 4)), jnp.zeros((2, 4, 4, 4))

    def program(pool):
        return jax.jit(lambda x, g: jax.vjp(pool, x)[1](g)).lower(x, g).compile().as_text()

    assert "scatter(" in program(stock)
    assert "scatter(" not in program(max_pool2x2)


@pytest.mark.parametrize("function", [relu, max_pool2x2])
def test_64_bit_types_change_nothing(function):
    """`jax_enable_x64` makes integers and new floats 64 bits wide; these are pinned."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 6, 3)), jnp.float32)
    g = jnp.ones_like(function(x))
    expected = pullback(function, x, g)
    with jax.enable_x64(True):
        found = pullback(function, x, g)
    assert [one.dtype for one in found] == [jnp.float32] * 2
    jax.tree.map(np.testing.assert_array_equal, found, expected)
