"""The network that all formats write: Keras' own layers, from pixels to probabilities."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.export.graph import (
    beside,
    check_layers,
    portable,
    predict_function,
    write_beside,
)
from kvgg_jax.models.build import vgg
from kvgg_jax.models.functional import make_predict_step

pytestmark = pytest.mark.usefixtures("thin_network")


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)


@pytest.mark.parametrize("temperature", [None, 2.5])
def test_it_divides_by_255_and_the_temperature_and_gives_probabilities(images, temperature):
    """With Keras' preprocessing for ImageNet weights inside, in float32 whatever the run has."""
    config = ModelConfig(arch="vgg11", head="8", dropout=0.5, preprocessing="caffe")
    model = vgg(config, classes=3, image_size=32, precision="bfloat16", seed=None)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, 0.05, variable.shape))
    weights = {variable.path: variable.value for variable in model.trainable_variables}
    logits, _ = jax.jit(make_predict_step(config))(weights, {}, images)
    new = portable(model, temperature)
    found = predict_function(new)(images).probabilities
    np.testing.assert_allclose(
        found, jax.nn.softmax(logits / (temperature or 1)), rtol=0, atol=1e-5
    )
    assert np.ptp(found) > 0.01
    assert {type(layer).__module__.split(".")[0] for layer in new.layers} == {"keras"}
    assert {layer.compute_dtype for layer in new.layers} == {"float32"}
    assert not [layer for layer in new.layers if isinstance(layer, keras.layers.Dropout)]


def test_a_layer_of_your_own_goes_into_programs_alone():
    """A file of Keras would need its code; a program of JAX does not."""

    class Mine(keras.layers.Layer):
        def call(self, x):
            return x

    image = keras.Input((8, 8, 3))
    network = portable(keras.Model(image, Mine(name="mine")(image)))
    found = predict_function(network)(np.zeros((1, 8, 8, 3), np.uint8)).probabilities
    assert found.shape == (1, 8, 8, 3)
    with pytest.raises(RunError) as caught:
        check_layers(network)
    assert str(caught.value) == (
        "mine (Mine) is a layer of your own, which no file of Keras or TensorFlow can hold: "
        "use --format onnx, stablehlo or safetensors."
    )


def test_what_a_format_has_no_room_for_is_beside_it(tmp_path: Path):
    """As JSON, under the whole name of the file."""
    write_beside(tmp_path / "x.keras", {"classes": ["a", "b"]})
    assert beside(tmp_path / "x.keras") == tmp_path / "x.keras.json"
    assert json.loads((tmp_path / "x.keras.json").read_text()) == {"classes": ["a", "b"]}
