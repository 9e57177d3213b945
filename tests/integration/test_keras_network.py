"""A network of Keras Applications: its forward pass without Keras is that of the Keras model."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.models.build import variable_names, vgg
from kvgg_jax.models.functional import make_predict_step, weight_shapes
from kvgg_jax.models.preprocess import normalize


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_has_the_same_weights_and_computes_the_same(precision: str) -> None:
    """Weights by name, frozen or not, and what is computed; dropout inside has seeds."""
    table = {"head": "linear", "weights": "x", "freeze": "2", "dropout": 0.5}
    config = ModelConfig(arch="efficientnet-b0", **table)
    model = vgg(config, classes=3, image_size=32, precision=precision, seed=None)
    parts = model.trainable_variables, model.non_trainable_variables
    rng, weights = np.random.default_rng(0), []
    for found, variables in zip(
        weight_shapes(config, classes=3, image_size=32), parts, strict=True
    ):
        named = dict(zip(variable_names(variables), variables, strict=True))
        assert found.keys() == named.keys()
        for name, variable in named.items():
            assert (variable.shape, variable.dtype) == (found[name].shape, str(found[name].dtype))
            variable.assign(rng.uniform(0, 0.5, variable.shape).astype(variable.dtype))
        weights.append({name: np.array(one.value) for name, one in named.items()})
    images = rng.integers(0, 256, (2, 32, 32, 3), np.uint8)
    logits = jax.jit(make_predict_step(config, precision=precision))(*weights, images)[0]
    expected = jax.jit(model)(normalize(images))
    np.testing.assert_allclose(logits, expected, rtol=1e-5 if precision == "float32" else 0.02)
