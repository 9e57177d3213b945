"""ReLU by its output: JAX' own to the bit, at less memory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvgg_jax.core.config import ModelConfig, OptimConfig
from kvgg_jax.core.state import empty_batch
from kvgg_jax.models.build import vgg
from kvgg_jax.models.compile import OPTIONS
from kvgg_jax.models.cost import describe, total
from kvgg_jax.models.kernels.relu import relu
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
    """Its scratch memory is little more than what `summary` says is kept; with JAX' ReLU and
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
