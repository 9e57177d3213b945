"""The forward pass without Keras is that of the Keras model."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.models.build import variable_names, vgg
from kvgg_jax.models.functional import make_predict_step, weight_shapes
from kvgg_jax.models.preprocess import normalize

CONFIGS = [
    {"head": "8,4", "dropout": 0.5},
    {"head": "gap", "batch_norm": True, "dropout": 0.5},
    {"head": "gap"},
    {"head": "16", "batch_norm": True},
    {"head": "8", "preprocessing": "caffe"},
    {"head": "8", "batch_norm": True, "dropout": 0.5, "weights": "x", "freeze": "3"},
    {"head": "gap", "weights": "x", "freeze": "backbone"},
    {"head": "linear", "weights": "x", "freeze": "backbone", "dropout": 0.5},
    {"head": "linear", "pooled_stages": 1},
]


@pytest.mark.parametrize("size", [32, 224])
@pytest.mark.parametrize("table", CONFIGS, ids=str)
def test_weights_have_the_names_and_shapes_of_the_keras_model(
    table: dict[str, Any], size: int
) -> None:
    """So that a checkpoint of one is a checkpoint of the other."""
    for arch in ("vgg11", "vgg19"):
        config = ModelConfig(arch=arch, **table)
        model = vgg(config, classes=4, image_size=size, seed=None)
        for found, variables in zip(
            weight_shapes(config, classes=4, image_size=size),
            (model.trainable_variables, model.non_trainable_variables),
            strict=True,
        ):
            shapes = [(variable.shape, variable.dtype) for variable in variables]
            assert list(found) == variable_names(variables)
            assert [(array.shape, str(array.dtype)) for array in found.values()] == shapes


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("table", CONFIGS, ids=str)
def test_it_computes_what_the_keras_model_computes(
    table: dict[str, Any], precision: str, thin: None
) -> None:
    """Every bit of it, compiled alike, with moving statistics that do something.

    But for maps in bfloat16 that two layers take: XLA may leave out their rounding for one.
    """
    config = ModelConfig(arch="vgg11", **table)
    model = vgg(config, classes=3, image_size=48, precision=precision, seed=None)
    rng = np.random.default_rng(0)
    for variable in model.variables:  # here, not by Keras, which compiles a program a shape to draw
        if variable.path.endswith("kernel"):
            spread = (2 / np.prod(variable.shape[:-1])) ** 0.5
            variable.assign(rng.normal(0, spread, variable.shape))
    params = values(model.trainable_variables)
    state = {
        name: value if "seed" in name else value * rng.uniform(0.5, 2, value.shape) + 0.1
        for name, value in values(model.non_trainable_variables).items()
    }
    order = [list(params), list(state)]  # jit sorts names
    images = rng.integers(0, 256, (2, 48, 48, 3), np.uint8)

    def with_keras(*weights: Any) -> Any:
        *given, images = weights
        parts = [[part[name] for name in names] for part, names in zip(given, order, strict=True)]
        logits, _ = model.stateless_call(*parts, normalize(images), training=False)
        return logits, jax.nn.softmax(logits)

    found = jax.jit(make_predict_step(config, precision=precision))(params, state, images)
    expected = jax.jit(with_keras)(params, state, images)
    assert np.ptp(expected[0]) > 0.01
    several = config.head == "linear" and precision == "bfloat16"
    close = partial(np.testing.assert_allclose, rtol=0.01) if several else None
    jax.tree.map(close or np.testing.assert_array_equal, found, expected)


def values(variables: list[Any]) -> dict[str, Any]:
    """Copies by name."""
    named = zip(variable_names(variables), variables, strict=True)
    return {name: np.array(variable.value) for name, variable in named}


# What a host program, or JAX_ENABLE_X64 and JAX_NUMPY_DTYPE_PROMOTION, may have set
SETTINGS = {
    "x64": lambda: jax.enable_x64(True),
    "strict": lambda: jax.numpy_dtype_promotion("strict"),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("table", [CONFIGS[3], CONFIGS[4]], ids=str)
def test_settings_of_jax_change_no_type_and_no_number(
    table: dict[str, Any], precision: str, setting: str, thin: None
) -> None:
    """Float32 logits and probabilities, the same to the bit, of weights and images of NumPy."""
    config = ModelConfig(arch="vgg11", **table)
    rng = np.random.default_rng(0)
    weights = [
        {name: rng.uniform(0.01, 0.1, one.shape).astype(one.dtype) for name, one in part.items()}
        for part in weight_shapes(config, classes=3, image_size=32)
    ]
    images = rng.integers(0, 256, (2, 32, 32, 3), np.uint8)
    expected = jax.jit(make_predict_step(config, precision=precision))(*weights, images)
    with SETTINGS[setting]():
        found = jax.jit(make_predict_step(config, precision=precision))(*weights, images)
    assert [one.dtype for one in found] == [jnp.float32, jnp.float32]
    jax.tree.map(np.testing.assert_array_equal, found, expected)
